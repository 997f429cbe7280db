//! What registries say has happened, merged until the core looks. Hints and never the truth: whoever takes them goes and compares.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;

use crate::base::ids::RegistryName;
use crate::model::oci::Repository;
use crate::ports::desk::Hint;

/// Registries of which hints are kept; of more than these nobody makes rules.
pub const REGISTRIES_MAX: usize = 1_024;
/// Repositories of a registry that are kept one by one; beyond that all of it counts as told of.
pub const REPOSITORIES_MAX: usize = 1_024;

/// Where a registry says that something has happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    /// In these repositories.
    In(BTreeSet<Repository>),
    /// In so many that it is not kept in which.
    Anywhere,
}

impl Told {
    /// Both together.
    pub fn merge(&mut self, other: Told) {
        match (&mut *self, other) {
            (Told::In(all), Told::In(more)) => {
                all.extend(more);
                if all.len() > REPOSITORIES_MAX {
                    *self = Told::Anywhere;
                }
            }
            _ => *self = Told::Anywhere,
        }
    }
}

/// By the registry that says so.
pub type ToldBy = BTreeMap<RegistryName, Told>;

/// The way to tell, for whoever hears registries. Cheap to clone; telling never waits.
#[derive(Clone)]
pub struct Hints {
    told: Arc<Mutex<ToldBy>>,
    wake: Arc<Notify>,
}

impl Hints {
    /// Nothing was told yet; `wake` is notified when something is.
    pub fn new(wake: Arc<Notify>) -> Hints {
        Hints { told: Arc::default(), wake }
    }

    /// Takes a hint. What says nothing new is merged. False when there is no room for it, or it names no registry.
    pub fn hint(&self, hint: Hint) -> bool {
        let Some(registry) = hint.registry else { return false };
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if !told.contains_key(&registry) && told.len() >= REGISTRIES_MAX {
            return false;
        }
        let new = Told::In(BTreeSet::from([hint.repository]));
        told.entry(registry).or_insert_with(|| Told::In(BTreeSet::new())).merge(new);
        drop(told);
        self.wake.notify_one();
        true
    }

    /// All that was told since this was asked last.
    pub fn take(&self) -> ToldBy {
        std::mem::take(&mut *self.told.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ports::desk::Happened;

    fn hint(registry: Option<&str>, repository: &str) -> Hint {
        let (tag, digest) = (None, None);
        let registry = registry.map(|r| r.parse().unwrap());
        Hint { registry, repository: repository.parse().unwrap(), tag, digest, action: Happened::Push }
    }

    #[test]
    fn hints_merge_and_too_many_mean_all() {
        let hints = Hints::new(Arc::default());
        assert!(!hints.hint(hint(None, "a/b")));
        assert!(hints.hint(hint(Some("hq"), "a/b")) && hints.hint(hint(Some("hq"), "a/b")));
        let told = hints.take();
        assert_eq!(told[&"hq".parse().unwrap()], Told::In(["a/b".parse().unwrap()].into()));
        assert!(hints.take().is_empty());
        for n in 0..=REPOSITORIES_MAX {
            assert!(hints.hint(hint(Some("hq"), &format!("a/r{n}"))));
        }
        assert_eq!(hints.take()[&"hq".parse().unwrap()], Told::Anywhere);
        for n in 0..REGISTRIES_MAX {
            assert!(hints.hint(hint(Some(&format!("r{n}")), "a")));
        }
        assert!(!hints.hint(hint(Some("more"), "a")) && hints.hint(hint(Some("r0"), "b")));
    }
}
