//! Measured times of one host, kept in memory: the last of each kind of work, and a summary of them.

use std::collections::VecDeque;

use crate::model::pace::{LAST, Pace, Paces};

/// The times of one kind of work.
#[derive(Debug, Default)]
pub struct Times {
    last: VecDeque<u64>,
    count: u64,
    worst: u64,
}

impl Times {
    /// One more.
    pub fn note(&mut self, ms: u64) {
        if self.last.len() == LAST {
            self.last.pop_front();
        }
        self.last.push_back(ms);
        self.count += 1;
        self.worst = self.worst.max(ms);
    }

    fn pace(&self) -> Pace {
        let mut sorted: Vec<u64> = self.last.iter().copied().collect();
        sorted.sort_unstable();
        let median_ms = sorted.get(sorted.len() / 2).copied().unwrap_or(0);
        Pace { count: self.count, median_ms, worst_ms: self.worst }
    }
}

/// The times of one host.
#[derive(Debug, Default)]
pub struct Clocked {
    /// Making a container, without the pull of its image.
    pub create: Times,
    /// Starting it.
    pub start: Times,
    /// Removing it, without the time that it may take to end.
    pub remove: Times,
}

impl Clocked {
    /// The summary.
    pub fn paces(&self) -> Paces {
        Paces { create: self.create.pace(), start: self.start.pace(), remove: self.remove.pace() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_of_the_last_and_the_worst_of_all() {
        let mut times = Times::default();
        assert_eq!(times.pace(), Pace::default());
        times.note(9_000);
        (1..=32).for_each(|ms| times.note(ms));
        assert_eq!(times.pace(), Pace { count: 33, median_ms: 17, worst_ms: 9_000 });
    }
}
