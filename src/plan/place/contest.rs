//! Which combination of domains is the best: a contest in rounds, so that one change asks for a few comparisons only.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;

use crate::plan::place::batch::Key;
use crate::plan::place::sorted::Layout;

/// One combination of domains: its classes, the best first. What was put in and has changed since is thrown out late.
pub(super) struct Branch {
    queue: BinaryHeap<Reverse<(Key, u32)>>,
    /// The best one.
    pub head: Option<(Key, u32)>,
    /// The queue is cleaned when it has grown to this.
    limit: usize,
}

impl Branch {
    pub fn new(keys: Vec<(Key, u32)>) -> Branch {
        let queue: BinaryHeap<_> = keys.into_iter().map(Reverse).collect();
        let (head, limit) = (queue.peek().map(|top| top.0), 4 * queue.len() + 64);
        Branch { queue, head, limit }
    }

    /// Puts a class in at its new place, if it has one; `is_now` tells what still holds. True when the head is another.
    pub fn put(&mut self, key: Option<(Key, u32)>, is_now: impl Fn(&(Key, u32)) -> bool) -> bool {
        self.queue.extend(key.map(Reverse));
        if self.queue.len() > self.limit {
            let mut keys: Vec<_> = std::mem::take(&mut self.queue).into_vec();
            keys.retain(|key| is_now(&key.0));
            keys.sort_unstable();
            keys.dedup();
            self.limit = 4 * keys.len() + 64;
            self.queue = keys.into();
        }
        while self.queue.peek().is_some_and(|top| !is_now(&top.0)) {
            self.queue.pop();
        }
        let head = self.queue.peek().map(|top| top.0);
        let changed = head != self.head;
        self.head = head;
        changed
    }
}

/// The winners of all rounds: each place holds the better of the two below it, the first one the best of all.
pub(super) struct Contest {
    /// Branches from the middle on, their winners before.
    winners: Vec<u32>,
    branches: usize,
    /// So many levels of domains were asked for: they count before the host, the rest after it.
    asked: usize,
}

impl Contest {
    pub fn new(branches: usize, asked: usize) -> Contest {
        let size = branches.next_power_of_two();
        let leaf = |at: usize| u32::try_from(at.saturating_sub(size)).unwrap_or(u32::MAX);
        Contest { winners: (0..2 * size).map(leaf).collect(), branches, asked }
    }

    /// Lets all play.
    pub fn begin(&mut self, branches: &[Branch], layout: &Layout, counts: &[u32]) {
        for at in (1..self.winners.len() / 2).rev() {
            self.play(at, branches, layout, counts);
        }
    }

    /// A branch has changed: it plays again, up to the last round.
    pub fn again(&mut self, branch: usize, branches: &[Branch], layout: &Layout, counts: &[u32]) {
        let mut at = (self.winners.len() / 2 + branch) / 2;
        while at > 0 {
            self.play(at, branches, layout, counts);
            at /= 2;
        }
    }

    fn play(&mut self, at: usize, branches: &[Branch], layout: &Layout, counts: &[u32]) {
        let (a, b) = (self.winners[2 * at], self.winners[2 * at + 1]);
        let second = self.is_better(b as usize, a as usize, branches, layout, counts);
        self.winners[at] = if second { b } else { a };
    }

    /// The one in whose domains that were asked for fewest are, from the outermost in; then the one whose best host holds
    /// fewest, then the one in whose site fewest are, then the one with the better host.
    fn is_better(&self, b: usize, a: usize, branches: &[Branch], layout: &Layout, counts: &[u32]) -> bool {
        let head = |at: usize| branches.get(at).and_then(|branch| branch.head);
        let (Some(y), x) = (head(b), head(a)) else { return false };
        let Some(x) = x else { return true };
        let count = |domain: &usize| counts[*domain];
        let (p, q) = (layout.split(b, self.asked), layout.split(a, self.asked));
        let asked = p.0.iter().map(count).cmp(q.0.iter().map(count));
        let host = || y.0.of_pool.cmp(&x.0.of_pool);
        let site = || p.1.iter().map(count).cmp(q.1.iter().map(count));
        asked.then_with(host).then_with(site).then_with(|| y.cmp(&x)) == Ordering::Less
    }

    /// The best branch, if there is any.
    pub fn winner(&self) -> Option<usize> {
        (self.branches > 0).then(|| self.winners[1] as usize)
    }
}
