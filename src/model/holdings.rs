//! What pools name and others have made on the hosts: external networks and volumes, and which of them a host has.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

/// The sort of something external.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Sort {
    /// A network of the engine.
    Network,
    /// A volume of the engine.
    Volume,
}

impl Sort {
    /// Every sort.
    pub const ALL: [Sort; 2] = [Sort::Network, Sort::Volume];

    /// The sort in one word; the Docker CLI has a command of that name.
    pub fn word(self) -> &'static str {
        match self {
            Sort::Network => "network",
            Sort::Volume => "volume",
        }
    }
}

/// A network or volume that a pool names and that longshore never makes (Compose `external: true`).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct External {
    /// What it is.
    pub sort: Sort,
    /// Its name on the engine.
    pub name: String,
}

/// Which of the external things that pools name a host has. Nothing is known of those that are in neither set.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default)]
pub struct Holdings {
    /// It has these.
    pub there: BTreeSet<External>,
    /// It does not have these.
    pub absent: BTreeSet<External>,
    /// It was asked last for things of this sort and did not answer: why, in words.
    pub faults: BTreeMap<Sort, String>,
}

/// Whether a host has something external.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Has<'a> {
    /// It has.
    Yes,
    /// It has not.
    No,
    /// It was not asked yet.
    NotAsked,
    /// It was asked and did not answer: why.
    NotTold(&'a str),
}

impl Holdings {
    /// Whether the host has it.
    pub fn has(&self, external: &External) -> Has<'_> {
        if self.there.contains(external) {
            return Has::Yes;
        }
        if self.absent.contains(external) {
            return Has::No;
        }
        self.faults.get(&external.sort).map_or(Has::NotAsked, |why| Has::NotTold(why))
    }

    /// Takes over what a host said of these names of one sort. Without an answer what was known before stays.
    pub fn learn(&mut self, sort: Sort, names: &BTreeSet<String>, told: Result<BTreeSet<String>, String>) {
        let there = match told {
            Ok(there) => there,
            Err(why) => return drop(self.faults.insert(sort, why)),
        };
        self.faults.remove(&sort);
        for set in [&mut self.there, &mut self.absent] {
            set.retain(|e| e.sort != sort);
        }
        for name in names {
            let set = if there.contains(name) { &mut self.there } else { &mut self.absent };
            set.insert(External { sort, name: name.clone() });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_answer_is_neither_yes_nor_no() {
        let external = |sort, name: &str| External { sort, name: name.to_owned() };
        let (front, back) = (external(Sort::Network, "front"), external(Sort::Network, "back"));
        let data = external(Sort::Volume, "data");
        let names = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect::<BTreeSet<_>>();
        let mut holdings = Holdings::default();
        assert_eq!(holdings.has(&front), Has::NotAsked);
        holdings.learn(Sort::Volume, &names(&["data"]), Err("hangs".into()));
        assert_eq!((holdings.has(&data), holdings.has(&front)), (Has::NotTold("hangs"), Has::NotAsked));
        holdings.learn(Sort::Network, &names(&["front", "back"]), Ok(names(&["front", "other"])));
        assert_eq!((holdings.has(&front), holdings.has(&back)), (Has::Yes, Has::No));
        holdings.learn(Sort::Network, &names(&["front", "back"]), Err("hangs".into()));
        assert_eq!((holdings.has(&front), holdings.has(&back)), (Has::Yes, Has::No), "what was known stays");
        holdings.learn(Sort::Volume, &names(&["data"]), Ok(names(&["data"])));
        assert_eq!((holdings.has(&data), holdings.faults.len()), (Has::Yes, 1));
        let json = serde_json::to_string(&holdings).unwrap();
        assert_eq!(serde_json::from_str::<Holdings>(&json).unwrap(), holdings);
    }
}
