//! Inventories of hosts: CSV and Ansible's INI and YAML in, hosts with their records out, every fault with its place.
//!
//! All of it is pure. When there is a fault nothing is handed out, so that nothing half-read is imported.

mod ansible;
mod csv;
mod draft;
mod hostnames;
mod ini;
mod sheet;
mod yaml;

use std::fmt;
use std::str::FromStr;

use crate::base::fault::{Fault, Kind};
use crate::model::command::NewHost;
use crate::spec::fault::{PoolFileFault, PoolFileFaults};
use crate::spec::inventory::sheet::Sheet;

pub use crate::spec::inventory::draft::{class, is_label_value};

/// Longest inventory, in bytes: tens of thousands of hosts.
pub const INVENTORY_MAX: usize = 8 << 20;
/// Most hosts of one inventory: a guard against a slipped range.
pub const HOSTS_MAX: usize = 20_000;
/// What the labels that stand for Ansible's groups begin with: `group.NAME=true`.
pub const GROUP_LABEL: &str = "group.";

/// How an inventory is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Comma-separated values with a row of names.
    Csv,
    /// Ansible's INI.
    Ini,
    /// Ansible's YAML.
    Yaml,
}

impl Format {
    /// The format in one word.
    pub fn name(self) -> &'static str {
        match self {
            Format::Csv => "csv",
            Format::Ini => "ini",
            Format::Yaml => "yaml",
        }
    }

    /// The format that a file most likely has: by the end of its name, else by its first line that says something.
    pub fn guess(file_name: &str, text: &str) -> Format {
        let end = file_name.rsplit_once('.').map_or("", |(_, end)| end).to_ascii_lowercase();
        match end.as_str() {
            "csv" => return Format::Csv,
            "yml" | "yaml" | "json" => return Format::Yaml,
            "ini" | "cfg" => return Format::Ini,
            _ => {}
        }
        let says = |line: &&str| !line.is_empty() && !line.starts_with(['#', ';']);
        let first = text.trim_start_matches('\u{feff}').lines().map(str::trim).find(says).unwrap_or("");
        if first.starts_with("---")
            || first.starts_with('{')
            || (first.ends_with(':') && !first.contains(' '))
        {
            Format::Yaml
        } else if first.contains(',') && !first.starts_with('[') && !first.contains('=') {
            Format::Csv
        } else {
            Format::Ini
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Format {
    type Err = Fault;
    fn from_str(text: &str) -> Result<Format, Fault> {
        [Format::Csv, Format::Ini, Format::Yaml].into_iter().find(|f| f.name() == text).ok_or_else(|| {
            Fault::new(Kind::Invalid, format!("{text:?} is not a format of inventories"))
                .hint("use csv, ini (Ansible) or yaml (Ansible)")
        })
    }
}

/// An inventory that was understood.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    /// The hosts in the file's order.
    pub hosts: Vec<NewHost>,
    /// What may surprise, in the order of the lines.
    pub notes: Vec<PoolFileFault>,
    /// The inventory knows groups: labels that begin with [`GROUP_LABEL`] and that it does not name are out of date.
    pub groups: bool,
}

/// Reads an inventory from its text. `file_name` is only used in messages.
///
/// # Errors
/// Everything that is wrong with it, at once.
pub fn read(file_name: &str, text: &str, format: Format) -> Result<Found, PoolFileFaults> {
    let mut sheet = Sheet::new(file_name);
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if text.len() > INVENTORY_MAX {
        let what = format!("the inventory has {} bytes", text.len());
        sheet.fault(
            PoolFileFault::new(Default::default(), "", what).expected(format!("at most {INVENTORY_MAX}")),
        );
        return sheet.finish(false);
    }
    match format {
        Format::Csv => csv::read(&mut sheet, text),
        Format::Ini => {
            let inventory = ini::read(&mut sheet, text);
            ansible::hosts(&mut sheet, &inventory);
        }
        Format::Yaml => {
            let inventory = yaml::read(&mut sheet, text);
            ansible::hosts(&mut sheet, &inventory);
        }
    }
    sheet.finish(format != Format::Csv)
}
