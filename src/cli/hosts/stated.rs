//! What a person says about hosts on the command line, read and checked.

use std::collections::BTreeMap;

use crate::base::clock::Millis;
use crate::base::fault::{Fault, Kind};
use crate::base::ids::{ClusterName, SiteName};
use crate::cli::args::hosts::RecordArgs;
use crate::cli::cx::Stop;
use crate::model::command::HostEdit;
use crate::model::constraint::is_label_key;
use crate::model::host::{Capacity, HostRecord};
use crate::spec::inventory::{class, is_label_value};
use crate::spec::units;

/// What was said; `Some(None)` takes a thing away.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Stated {
    site: Option<Option<SiteName>>,
    cluster: Option<Option<ClusterName>>,
    class: Option<Option<String>>,
    in_service: Option<Option<Millis>>,
    disk: Option<Option<u64>>,
    bandwidth: Option<Option<u64>>,
    pids: Option<Option<u64>>,
    cpu_percent: Option<Option<u32>>,
}

/// A value that may be empty; anything else that cannot be read is a usage fault.
pub fn value<T>(
    option: &str,
    text: Option<&str>,
    expected: &str,
    read: impl Fn(&str) -> Option<T>,
) -> Result<Option<Option<T>>, Stop> {
    let Some(text) = text.map(str::trim) else { return Ok(None) };
    if text.is_empty() {
        return Ok(Some(None));
    }
    read(text).map(|value| Some(Some(value))).ok_or_else(|| {
        let fault = Fault::new(Kind::Invalid, format!("{option}: {text:?} does not fit"));
        Stop::usage(&fault.hint(format!("write {expected}")))
    })
}

impl Stated {
    /// Reads the options.
    pub fn read(args: &RecordArgs) -> Result<Stated, Stop> {
        let name = "lower-case letters, digits, '-', '_' or '.'";
        let some = |n: Option<u64>| n.filter(|n| *n > 0);
        let percent =
            |t: &str| t.trim_end_matches('%').parse::<u32>().ok().filter(|n| (1..=10_000).contains(n));
        Ok(Stated {
            site: value("--site", args.site.as_deref(), name, |t| t.parse().ok())?,
            cluster: value("--cluster", args.cluster.as_deref(), name, |t| t.parse().ok())?,
            class: value("--class", args.class.as_deref(), "a word without blanks", class)?,
            in_service: value("--in-service", args.in_service.as_deref(), units::DAY_EXPECTED, units::day)?,
            disk: value("--disk", args.disk.as_deref(), units::SIZE_EXPECTED, |t| some(units::size(t)))?,
            bandwidth: value("--bandwidth", args.bandwidth.as_deref(), units::BANDWIDTH_EXPECTED, |t| {
                some(units::bandwidth(t))
            })?,
            pids: value("--pids", args.pids.as_deref(), "a number from 1", |t| some(t.parse().ok()))?,
            cpu_percent: value("--cpu-percent", args.cpu_percent.as_deref(), "1 to 10000", percent)?,
        })
    }

    /// The record of a new host.
    pub fn record(self, labels: BTreeMap<String, String>) -> HostRecord {
        HostRecord {
            capacity: self.capacity(Capacity::default()),
            site: self.site.flatten(),
            cluster: self.cluster.flatten(),
            class: self.class.flatten(),
            in_service: self.in_service.flatten(),
            labels,
            ..HostRecord::default()
        }
    }

    /// What changes of a host that has `before`.
    pub fn edit(&self, labels: &BTreeMap<String, Option<String>>, before: Capacity) -> HostEdit {
        let capacity = self.capacity(before);
        HostEdit {
            site: self.site.clone(),
            cluster: self.cluster.clone(),
            class: self.class.clone(),
            in_service: self.in_service,
            labels: labels.clone(),
            capacity: (capacity != before).then_some(capacity),
        }
    }

    fn capacity(&self, before: Capacity) -> Capacity {
        Capacity {
            disk: self.disk.unwrap_or(before.disk),
            bandwidth: self.bandwidth.unwrap_or(before.bandwidth),
            pids: self.pids.unwrap_or(before.pids),
            cpu_percent: self.cpu_percent.unwrap_or(before.cpu_percent),
        }
    }
}

/// Reads `KEY=VALUE`.
pub fn label(word: &str) -> Result<(String, String), Stop> {
    match word.split_once('=') {
        Some((key, value)) if is_label_key(key) && !is_label_value(value) => {
            let fault = Fault::new(Kind::Invalid, format!("the value of the label {key} cannot be kept"));
            Err(Stop::usage(&fault.hint("write a shorter one, without characters that are invisible")))
        }
        Some((key, value)) if is_label_key(key) => Ok((key.to_owned(), value.to_owned())),
        _ => {
            let fault = Fault::new(Kind::Invalid, format!("{word:?} is not a label"));
            Err(Stop::usage(
                &fault.hint("write KEY=VALUE, the key of letters, digits, '.', '_', '-' and '/'"),
            ))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_on_the_command_line_is_checked_as_what_is_imported() {
        assert!(label("rack=a 7").is_ok());
        for value in ["\u{1b}[2J", "a\u{202e}b", "a\nb", &"x".repeat(256)] {
            assert!(label(&format!("rack={value}")).is_err(), "{value:?}");
        }
        let said = |class: &str| RecordArgs { class: Some(class.to_owned()), ..RecordArgs::default() };
        assert!(Stated::read(&said("big-ssd")).is_ok());
        for class in ["a b", "\u{1b}[2J", "a\u{200b}b", &"x".repeat(64)] {
            assert!(Stated::read(&said(class)).is_err(), "{class:?}");
        }
    }
}
