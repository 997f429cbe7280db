//! One host of an inventory as written, and the checks that make a host of it: the same for every format.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::base::fault::Fault;
use crate::base::ids::{ClusterName, HostId, NAME_MAX, SiteName};
use crate::base::text::is_hostile;
use crate::model::command::NewHost;
use crate::model::constraint::is_label_key;
use crate::model::host::{Capacity, HostConfig, HostRecord, HostSource};
use crate::spec::fault::{At, PoolFileFault};
use crate::spec::inventory::sheet::Sheet;
use crate::spec::units;

/// What can be said of a host besides its name: columns of a CSV, and variables `longshore_…` of Ansible.
pub const FIELDS: [&str; 11] = [
    "address",
    "site",
    "cluster",
    "class",
    "labels",
    "in_service",
    "disk",
    "bandwidth",
    "pids",
    "cpu_percent",
    "tls_dir",
];
/// Longest value of a label, in characters.
const LABEL_MAX: usize = 255;
/// Most CPU that may be reserved, per cent: a guard against a slipped digit.
const CPU_PERCENT_MAX: u32 = 10_000;

/// What an address looks like, for messages.
pub const ADDRESS_EXPECTED: &str = "unix:///path, tcp://host:port or ssh://[user@]host[:port]";

/// A value with its place.
#[derive(Clone, Debug, PartialEq)]
pub struct Placed {
    /// Where.
    pub at: At,
    /// What.
    pub text: String,
}

/// A host as written.
#[derive(Clone, Debug, Default)]
pub struct Draft {
    /// Where it is named.
    pub at: At,
    /// Its name.
    pub name: String,
    /// Its [`FIELDS`]; an empty value says nothing.
    pub fields: BTreeMap<&'static str, Placed>,
    /// What is wrong with its address has been said already.
    pub address_said: bool,
    /// Labels besides those of the field `labels`.
    pub labels: Vec<(String, Placed)>,
}

impl Draft {
    /// Checks it, and adds the host to the sheet or what is wrong with it.
    pub fn check(&self, sheet: &mut Sheet) {
        let id = self.id(sheet);
        let address = self.address(sheet);
        let record = HostRecord {
            site: self.field(sheet, "site", |t| named(t, SiteName::new), "the name of a site"),
            cluster: self.field(sheet, "cluster", |t| named(t, ClusterName::new), "the name of a cluster"),
            class: self.field(
                sheet,
                "class",
                |t| Ok(class(t)),
                "a word without blanks, at most 63 characters",
            ),
            labels: self.all_labels(sheet),
            in_service: self.field(sheet, "in_service", |t| Ok(units::day(t)), units::DAY_EXPECTED),
            capacity: self.capacity(sheet),
            ..HostRecord::default()
        };
        let tls_dir =
            self.fields.get("tls_dir").filter(|p| !p.text.is_empty()).map(|p| PathBuf::from(&p.text));
        if let (Some(id), Some(address)) = (id, address) {
            let config = HostConfig { id, address, tls_dir, source: HostSource::Added };
            sheet.host(self.at, NewHost { config, record });
        }
    }

    fn id(&self, sheet: &mut Sheet) -> Option<HostId> {
        let name = self.name.to_lowercase();
        if let Ok(id) = HostId::new(&name) {
            return Some(id);
        }
        let what = if name.is_empty() {
            "a host without a name".to_owned()
        } else {
            format!("{:?} cannot be the name of a host", self.name)
        };
        let expected =
            format!("1 to {NAME_MAX} letters, digits, '-', '_' or '.', starting with a letter or a digit");
        sheet.fault(PoolFileFault::new(self.at, "", what).expected(expected));
        None
    }

    fn address(&self, sheet: &mut Sheet) -> Option<String> {
        if self.address_said {
            return None;
        }
        let Some(given) = self.fields.get("address").filter(|p| !p.text.is_empty()) else {
            let what = format!("the host {:?} has no address", self.name);
            sheet.fault(PoolFileFault::new(self.at, "", what).expected(ADDRESS_EXPECTED));
            return None;
        };
        if is_address(&given.text) {
            return Some(given.text.clone());
        }
        let what = format!("{:?} is not an address", given.text);
        sheet.fault(PoolFileFault::new(given.at, "", what).expected(ADDRESS_EXPECTED));
        None
    }

    /// Reads a field: `Ok(None)` is a value that does not fit, an error says itself what would.
    fn field<T>(
        &self,
        sheet: &mut Sheet,
        name: &'static str,
        read: impl Fn(&str) -> Result<Option<T>, Fault>,
        expected: &str,
    ) -> Option<T> {
        let given = self.fields.get(name).filter(|p| !p.text.trim().is_empty())?;
        let fault = match read(given.text.trim()) {
            Ok(Some(value)) => return Some(value),
            Ok(None) => {
                let what = format!("{:?} does not fit here", given.text);
                PoolFileFault::new(given.at, name, what).expected(expected)
            }
            Err(fault) => {
                let place = PoolFileFault::new(given.at, name, fault.to_string()).expected(expected);
                fault.hint.into_iter().fold(place, PoolFileFault::hint)
            }
        };
        sheet.fault(fault);
        None
    }

    fn capacity(&self, sheet: &mut Sheet) -> Capacity {
        let some = |n: Option<u64>| Ok(n.filter(|n| *n > 0));
        let percent = |t: &str| {
            let number = t.strip_suffix('%').unwrap_or(t).trim().parse::<u32>().ok();
            Ok(number.filter(|n| (1..=CPU_PERCENT_MAX).contains(n)))
        };
        Capacity {
            disk: self.field(sheet, "disk", |t| some(units::size(t)), units::SIZE_EXPECTED),
            bandwidth: self.field(
                sheet,
                "bandwidth",
                |t| some(units::bandwidth(t)),
                units::BANDWIDTH_EXPECTED,
            ),
            pids: self.field(sheet, "pids", |t| some(t.parse().ok()), "a number of processes, from 1"),
            cpu_percent: self.field(sheet, "cpu_percent", percent, "per cent of its cores, 1 to 10000"),
        }
    }

    fn all_labels(&self, sheet: &mut Sheet) -> BTreeMap<String, String> {
        let mut all = BTreeMap::new();
        let packed = self.fields.get("labels").into_iter().flat_map(|given| {
            given.text.split(';').map(str::trim).filter(|pair| !pair.is_empty()).map(|pair| {
                let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
                let value = Placed { at: given.at, text: value.trim().to_owned() };
                (key.trim().to_owned(), value, pair.contains('='))
            })
        });
        let single = self.labels.iter().map(|(key, value)| (key.clone(), value.clone(), true));
        for (key, value, whole) in single.chain(packed).collect::<Vec<_>>() {
            let wrong = |what: String| PoolFileFault::new(value.at, "labels", what);
            if !whole || !is_label_key(&key) {
                let fault = wrong(format!("{key:?} is not a label"));
                sheet.fault(
                    fault.expected("KEY=VALUE;KEY=VALUE, keys of letters, digits, '.', '_', '-' and '/'"),
                );
            } else if !is_label_value(&value.text) {
                let fault = wrong(format!("the value of the label {key} cannot be kept"));
                sheet
                    .fault(fault.expected(format!("at most {LABEL_MAX} characters, none of them invisible")));
            } else if all.insert(key.clone(), value.text.clone()).is_some_and(|before| before != value.text) {
                sheet.fault(wrong(format!("the label {key} is given twice")).hint("keep one of them"));
            }
        }
        all
    }
}

fn named<T>(text: &str, make: impl Fn(&str) -> Result<T, Fault>) -> Result<Option<T>, Fault> {
    make(text).map(Some)
}

/// Reads the class of a host: a word without blanks and without what is invisible.
pub fn class(text: &str) -> Option<String> {
    let fits =
        text.chars().count() <= NAME_MAX && !text.contains(|c: char| c.is_whitespace() || is_hostile(c));
    fits.then(|| text.to_owned())
}

/// True for a value that a label may have.
pub fn is_label_value(text: &str) -> bool {
    text.chars().count() <= LABEL_MAX && !text.chars().any(is_hostile)
}

/// True for a text that looks like the address of an engine; the adapter that dials it looks closer.
pub fn is_address(text: &str) -> bool {
    if text.chars().any(|c| c.is_whitespace() || is_hostile(c)) {
        return false;
    }
    match text.split_once("://") {
        Some(("unix", path)) => path.len() > 1 && path.starts_with('/'),
        Some(("tcp" | "ssh", rest)) => {
            let host = rest.rsplit_once('@').map_or(rest, |(_, host)| host);
            !host.is_empty() && !host.starts_with([':', '/', '-']) && !rest.starts_with(['@', '-'])
        }
        Some(("sim", rest)) => !rest.is_empty(),
        _ => false,
    }
}
