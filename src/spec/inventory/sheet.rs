//! Collects the hosts of an inventory and what is wrong with it.

use std::collections::HashMap;

use crate::model::command::NewHost;
use crate::spec::fault::{At, PoolFileFault, PoolFileFaults, Severity};
use crate::spec::inventory::{Found, HOSTS_MAX};

/// Most findings that are kept: nobody reads more.
const FOUND_MAX: usize = 500;

/// What was found so far.
pub struct Sheet {
    file: String,
    hosts: Vec<NewHost>,
    faults: Vec<PoolFileFault>,
    notes: Vec<PoolFileFault>,
    left_out: usize,
    names: HashMap<String, At>,
    addresses: HashMap<String, At>,
}

impl Sheet {
    /// Nothing found yet.
    pub fn new(file: &str) -> Sheet {
        Sheet {
            file: file.to_owned(),
            hosts: Vec::new(),
            faults: Vec::new(),
            notes: Vec::new(),
            left_out: 0,
            names: HashMap::new(),
            addresses: HashMap::new(),
        }
    }

    /// Something is wrong.
    pub fn fault(&mut self, fault: PoolFileFault) {
        if self.faults.len() < FOUND_MAX {
            self.faults.push(fault.in_file(self.file.as_str()));
        } else {
            self.left_out += 1;
        }
    }

    /// Something may surprise.
    pub fn note(&mut self, mut note: PoolFileFault) {
        note.severity = Severity::Warning;
        if self.notes.len() < FOUND_MAX {
            self.notes.push(note.in_file(self.file.as_str()));
        }
    }

    /// One host more, if neither its name nor its address is there already.
    pub fn host(&mut self, at: At, host: NewHost) {
        let twice = |what: String, first: At| {
            PoolFileFault::new(at, "", format!("{what} is given twice, first in line {}", first.line))
        };
        let name = host.config.id.to_string();
        if let Some(first) = self.names.get(&name).copied() {
            return self.fault(twice(format!("the host {name}"), first).hint("keep one of them"));
        }
        let address = host.config.address.clone();
        if let Some(first) = self.addresses.get(&address).copied() {
            let fault = twice(format!("the address {address}"), first);
            return self.fault(fault.hint("one engine is one host under one name"));
        }
        if self.hosts.len() >= HOSTS_MAX {
            let fault = PoolFileFault::new(at, "", "there are too many hosts");
            return self.fault(fault.expected(format!("at most {HOSTS_MAX}")));
        }
        self.names.insert(name, at);
        self.addresses.insert(address, at);
        self.hosts.push(host);
    }

    /// The hosts, or everything that is wrong.
    ///
    /// # Errors
    /// When something is wrong.
    pub fn finish(mut self, groups: bool) -> Result<Found, PoolFileFaults> {
        if self.hosts.is_empty() && self.faults.is_empty() {
            self.fault(PoolFileFault::new(At::default(), "", "the inventory names no host"));
        }
        self.faults.sort_by_key(|f| f.at);
        self.notes.sort_by_key(|f| f.at);
        if self.left_out > 0 {
            let what = format!("{} more findings are not shown", self.left_out);
            self.faults.push(PoolFileFault::new(At::default(), "", what).in_file(self.file.as_str()));
        }
        if self.faults.is_empty() {
            Ok(Found { hosts: self.hosts, notes: self.notes, groups })
        } else {
            Err(PoolFileFaults { faults: self.faults, warnings: self.notes })
        }
    }
}
