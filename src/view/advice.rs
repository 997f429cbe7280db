//! Advice: risks that stand in the world, each with its evidence in numbers and the command that mends it.
//!
//! One pass over hosts, pools and slots: the cost grows with the world and not with its square.

mod fleet;
mod of_hosts;
mod of_pools;
mod of_replication;
#[cfg(test)]
mod tests;

use crate::base::clock::Millis;
use crate::model::world::World;
use crate::view::units::Grade;

/// A day in milliseconds.
const DAY_MS: u64 = 86_400_000;

/// How bad a risk is: the worst comes first in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// One failure away from an outage, or less than wanted already.
    High,
    /// It will hurt when something else goes wrong.
    Medium,
    /// Untidy: it makes later work harder.
    Low,
}

impl Severity {
    /// The severity in one word.
    pub fn word(self) -> &'static str {
        match self {
            Severity::High => "high",
            Severity::Medium => "medium",
            Severity::Low => "low",
        }
    }

    /// How a row of it is marked.
    pub fn grade(self) -> Grade {
        match self {
            Severity::High => Grade::Bad,
            Severity::Medium => Grade::Warn,
            Severity::Low => Grade::Ok,
        }
    }
}

/// One risk. All of it is safe to show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Advice {
    /// What sort of risk, in a few words.
    pub risk: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// The pool, host or site that it is about.
    pub subject: String,
    /// What was counted, in one sentence.
    pub evidence: String,
    /// The command line that mends it. Words in capitals are for a person to fill in.
    pub command: String,
}

/// All risks, the worst first, then by subject.
pub fn advise(world: &World, now: Millis) -> Vec<Advice> {
    let fleet = fleet::Fleet::new(world);
    let mut out = Vec::new();
    of_hosts::add(world, now, &mut out);
    of_replication::add(world, now, &mut out);
    for view in world.pools.values().filter(|v| !v.pool.down && v.pool.want > 0) {
        of_pools::add(world, &fleet, view, now, &mut out);
    }
    out.sort_by(|a, b| {
        (a.severity, &a.subject, a.risk, &a.evidence).cmp(&(b.severity, &b.subject, b.risk, &b.evidence))
    });
    out
}
