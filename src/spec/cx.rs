//! What every part of the reader uses: the collector of findings and the typed reading of single values.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::{Path, PathBuf};

use crate::spec::fault::{At, PoolFileFault, PoolFileFaults, Severity};
use crate::spec::keys::{self, Rule, Table};
use crate::spec::tree::{Entry, Node, Value};
use crate::spec::units;

/// Most findings that are kept: nobody reads more, and a hostile file could make millions.
const FOUND_MAX: usize = 500;

/// The variable that holds the cluster's name, as in Compose.
pub const CLUSTER_VARIABLE: &str = "COMPOSE_PROJECT_NAME";

/// Where the reader gets what is not in the text. Closures, so that tests need no disk and no environment.
pub struct Sources<'s> {
    /// The folder of the pool file, absolute: relative paths start here, and its name is the default name of the cluster.
    pub folder: PathBuf,
    /// A variable of the environment.
    pub env: &'s dyn Fn(&str) -> Option<String>,
    /// Another file's text; `Ok(None)` when it does not exist, an error in words when it cannot be read.
    pub read: &'s dyn Fn(&Path) -> Result<Option<String>, String>,
}

/// The reader's state: what was found so far, and the variables.
pub struct Cx<'s> {
    /// The file's name for messages.
    pub file: String,
    /// The outside.
    pub sources: &'s Sources<'s>,
    /// Variables of the `.env` file; the environment wins over them.
    pub dotenv: BTreeMap<String, String>,
    found: Vec<PoolFileFault>,
    /// Findings that were too many to keep.
    left_out: usize,
    /// An error was among them.
    left_out_error: bool,
    /// Places whose value could not be made out: what follows from that is not said again.
    broken: HashSet<At>,
    said: HashSet<(String, At, String)>,
}

/// A value with the keys that lead to it.
#[derive(Clone, Debug)]
pub struct Field<'t> {
    /// The value.
    pub node: &'t Node,
    /// Its key path.
    pub path: String,
}

impl Field<'_> {
    /// A fault at this value.
    pub fn fault(&self, what: impl Into<String>) -> PoolFileFault {
        PoolFileFault::new(self.node.at, &self.path, what)
    }
}

/// A map whose keys were checked against a [`Table`]: only keys that are obeyed are left.
#[derive(Debug, Default)]
pub struct Section<'t> {
    path: String,
    entries: Vec<&'t Entry>,
}

impl<'t> Section<'t> {
    /// The value of a key; `None` when it is absent or null.
    pub fn get(&self, key: &str) -> Option<Field<'t>> {
        let entry = self.entries.iter().find(|e| e.key == key)?;
        let present = entry.value.value != Value::Null;
        present.then(|| Field { node: &entry.value, path: join(&self.path, key) })
    }
}

/// A key path with one key more.
pub fn join(path: &str, key: &str) -> String {
    let plain = !key.is_empty() && key.chars().all(|c| c.is_alphanumeric() || c == '-' || c == '_');
    match (path.is_empty(), plain) {
        (true, true) => key.to_owned(),
        (true, false) => format!("{key:?}"),
        (false, true) => format!("{path}.{key}"),
        (false, false) => format!("{path}.{key:?}"),
    }
}

impl<'s> Cx<'s> {
    /// A reader that has found nothing yet.
    pub fn new(file: &str, sources: &'s Sources<'s>) -> Cx<'s> {
        Cx {
            file: file.to_owned(),
            sources,
            dotenv: BTreeMap::new(),
            found: Vec::new(),
            left_out: 0,
            left_out_error: false,
            broken: HashSet::new(),
            said: HashSet::new(),
        }
    }

    /// A variable: the environment's, else the `.env` file's. The cluster's name is what the file says, nothing else.
    pub fn lookup(&self, name: &str) -> Option<String> {
        let own = || self.dotenv.get(name).cloned();
        if name == CLUSTER_VARIABLE {
            return own();
        }
        (self.sources.env)(name).or_else(own)
    }

    /// Records an error.
    pub fn error(&mut self, fault: PoolFileFault) {
        self.record(fault, Severity::Error);
    }

    /// Records an error that leaves the value at its place unknown: further errors there are not said.
    pub fn break_at(&mut self, fault: PoolFileFault) {
        let at = fault.at;
        self.error(fault);
        if at.line > 0 {
            self.broken.insert(at);
        }
    }

    /// Records a warning.
    pub fn warn(&mut self, fault: PoolFileFault) {
        self.record(fault, Severity::Warning);
    }

    /// The same fault of a value that is reached twice (an alias, a merge) is said once.
    fn record(&mut self, mut fault: PoolFileFault, severity: Severity) {
        fault.severity = severity;
        if fault.file.is_empty() {
            if self.broken.contains(&fault.at) {
                return;
            }
            fault.file.clone_from(&self.file);
        }
        if self.found.len() >= FOUND_MAX {
            self.left_out += 1;
            self.left_out_error |= severity == Severity::Error;
            return;
        }
        if self.said.insert((fault.file.clone(), fault.at, fault.what.clone())) {
            self.found.push(fault);
        }
    }

    /// The findings in the order of their lines, the pool file's own first; an error when one of them is.
    ///
    /// # Errors
    /// All findings, when there is an error among them.
    pub fn finish<T>(mut self, result: Option<T>) -> Result<(T, Vec<PoolFileFault>), PoolFileFaults> {
        let own = self.file.clone();
        self.found.sort_by_key(|f| (f.file != own, f.file.clone(), f.at));
        if self.left_out > 0 {
            let what = format!("{} more findings are not shown", self.left_out);
            let mut fault = PoolFileFault::new(At::default(), "", what).in_file(own.as_str());
            fault.severity = if self.left_out_error { Severity::Error } else { Severity::Warning };
            self.found.push(fault);
        }
        let (mut faults, warnings): (Vec<_>, Vec<_>) =
            self.found.into_iter().partition(|f| f.severity == Severity::Error);
        match result {
            Some(result) if faults.is_empty() => Ok((result, warnings)),
            Some(_) => Err(PoolFileFaults { faults, warnings }),
            None => {
                if faults.is_empty() {
                    faults.push(
                        PoolFileFault::new(At::default(), "", "the file could not be read").in_file(own),
                    );
                }
                Err(PoolFileFaults { faults, warnings })
            }
        }
    }

    /// A map with known keys: unknown and refused ones are reported, extensions (`x-…`) skipped.
    pub fn section<'t>(&mut self, field: &Field<'t>, table: &Table) -> Section<'t> {
        let Value::Map(entries) = &field.node.value else {
            let what = format!("{} is given", kind(field.node));
            self.error(field.fault(what).expected(format!("a map with the keys of {}", table.name)));
            return Section::default();
        };
        let mut kept = Vec::new();
        for entry in entries {
            let path = join(&field.path, &entry.key);
            match table.rule(&entry.key) {
                Some(Rule::Obey) => kept.push(entry),
                Some(Rule::Ignore) => {}
                Some(Rule::Warn(why)) => {
                    let what = format!("`{}` has no effect: {why}", entry.key);
                    self.warn(PoolFileFault::new(entry.at, &path, what));
                }
                Some(Rule::Refuse(..)) if changes_nothing(&entry.value) => {}
                Some(Rule::Refuse(why, hint)) => {
                    let what = format!("`{}` is not supported: {why}", entry.key);
                    self.error(PoolFileFault::new(entry.at, &path, what).hint(*hint));
                }
                None if entry.key.starts_with("x-") => {}
                None => {
                    let what = format!("`{}` is not a key of {}", entry.key, table.name);
                    let fault = PoolFileFault::new(entry.at, &path, what);
                    let fault = self.meant(fault, &entry.key, table.keys.iter().map(|(name, _)| *name));
                    self.error(fault);
                }
            }
        }
        Section { path: field.path.clone(), entries: kept }
    }

    /// The fault with the word that was probably meant, when there is one.
    pub fn meant<'w>(
        &self,
        fault: PoolFileFault,
        word: &str,
        known: impl Iterator<Item = &'w str>,
    ) -> PoolFileFault {
        // Comparing words is the slowest thing here: not for findings that are left out.
        let near = if self.found.len() < FOUND_MAX { keys::near(word, known) } else { None };
        match near {
            Some(near) => fault.hint(format!("did you mean `{near}`?")),
            None => fault,
        }
    }

    /// The entries of a map whose keys people choose, each with its key, the key's place and its value.
    pub fn map<'t>(&mut self, field: &Field<'t>) -> Vec<(&'t str, At, Field<'t>)> {
        let Value::Map(entries) = &field.node.value else {
            self.error(field.fault(format!("{} is given", kind(field.node))).expected("a map"));
            return Vec::new();
        };
        let with_path = |e: &'t Entry| Field { node: &e.value, path: join(&field.path, &e.key) };
        entries.iter().map(|e| (e.key.as_str(), e.at, with_path(e))).collect()
    }

    /// The items of a list.
    pub fn list<'t>(&mut self, field: &Field<'t>) -> Vec<Field<'t>> {
        let Value::List(items) = &field.node.value else {
            self.error(field.fault(format!("{} is given", kind(field.node))).expected("a list"));
            return Vec::new();
        };
        let path = |i| format!("{}[{i}]", field.path);
        items.iter().enumerate().map(|(i, node)| Field { node, path: path(i) }).collect()
    }

    /// A text, number or truth value, as written.
    pub fn text<'t>(&mut self, field: &Field<'t>) -> Option<&'t str> {
        if let Value::Text(text) = &field.node.value {
            return Some(text);
        }
        self.error(field.fault(format!("{} is given", kind(field.node))).expected("a text"));
        None
    }

    /// A list of texts.
    pub fn texts(&mut self, field: &Field<'_>) -> Vec<String> {
        let items = self.list(field);
        items.iter().filter_map(|item| self.text(item).map(str::to_owned)).collect()
    }

    /// A truth value.
    pub fn truth(&mut self, field: &Field<'_>) -> Option<bool> {
        match self.text(field)?.to_ascii_lowercase().as_str() {
            "true" | "yes" | "y" | "on" => Some(true),
            "false" | "no" | "n" | "off" => Some(false),
            other => {
                self.error(field.fault(format!("{other:?} is not a truth value")).expected("true or false"));
                None
            }
        }
    }

    /// A whole number within limits, both included.
    pub fn number<T: TryFrom<i64>>(&mut self, field: &Field<'_>, min: i64, max: i64) -> Option<T> {
        let text = self.text(field)?;
        let number = text.trim().parse::<i64>().ok().filter(|n| (min..=max).contains(n));
        let number = number.and_then(|n| T::try_from(n).ok());
        if number.is_none() {
            let what = format!("{text:?} does not fit here");
            self.error(field.fault(what).expected(format!("a whole number from {min} to {max}")));
        }
        number
    }

    /// A duration in milliseconds.
    pub fn duration(&mut self, field: &Field<'_>) -> Option<u64> {
        self.parsed(field, "duration", units::duration, units::DURATION_EXPECTED)
    }

    /// A size in bytes.
    pub fn size(&mut self, field: &Field<'_>) -> Option<u64> {
        self.parsed(field, "size", units::size, units::SIZE_EXPECTED)
    }

    /// A bandwidth in bits per second.
    pub fn bandwidth(&mut self, field: &Field<'_>) -> Option<u64> {
        self.parsed(field, "bandwidth", units::bandwidth, units::BANDWIDTH_EXPECTED)
    }

    /// Processors in thousandths; zero means no value, as in Compose.
    pub fn cpus(&mut self, field: &Field<'_>) -> Option<u64> {
        self.parsed(field, "number of processors", units::cpus, units::CPUS_EXPECTED).filter(|n| *n > 0)
    }

    fn parsed<T>(
        &mut self,
        field: &Field<'_>,
        noun: &str,
        parse: fn(&str) -> Option<T>,
        expected: &str,
    ) -> Option<T> {
        let text = self.text(field)?;
        let value = parse(text);
        if value.is_none() {
            self.error(field.fault(format!("{text:?} is not a {noun}")).expected(expected));
        }
        value
    }

    /// `KEY: VALUE` or a list of `KEY=VALUE`; `None` where only the key is given.
    pub fn pairs<'t>(&mut self, field: &Field<'t>) -> Vec<(String, Option<String>, Field<'t>)> {
        let mut pairs: Vec<(String, Option<String>, Field<'t>)> = Vec::new();
        let mut seen = BTreeSet::new();
        if matches!(field.node.value, Value::List(_)) {
            for item in self.list(field) {
                let Some(text) = self.text(&item) else { continue };
                let (key, value) = match text.split_once('=') {
                    Some((key, value)) => (key, Some(value.to_owned())),
                    None => (text, None),
                };
                if !seen.insert(key) {
                    let what = format!("{key:?} is given twice");
                    self.error(item.fault(what).hint("keep one of them"));
                }
                pairs.push((key.to_owned(), value, item));
            }
        } else {
            for (key, _, value) in self.map(field) {
                let text = match value.node.value {
                    Value::Null => None,
                    _ => self.text(&value).map(str::to_owned),
                };
                pairs.push((key.to_owned(), text, value));
            }
        }
        pairs.retain(|(key, _, item)| {
            if key.is_empty() {
                self.error(item.fault("the name is empty").expected("NAME=VALUE"));
            }
            !key.is_empty()
        });
        pairs
    }
}

/// What a node is, for "… is given".
fn kind(node: &Node) -> &'static str {
    match node.value {
        Value::Null => "nothing",
        Value::Text(_) => "a text",
        Value::List(_) => "a list",
        Value::Map(_) => "a map",
    }
}

/// `privileged: false`, `cap_add: []`, `build:`: the key asks for nothing.
fn changes_nothing(node: &Node) -> bool {
    match &node.value {
        Value::Null => true,
        Value::Text(text) => matches!(text.as_str(), "false" | "False" | "FALSE"),
        Value::List(items) => items.is_empty(),
        Value::Map(entries) => entries.is_empty(),
    }
}
