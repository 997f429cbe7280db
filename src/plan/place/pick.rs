//! The choice itself: the best branch's best host, one of a few hosts that are named, or any by a seeded number.

use crate::base::ids::HostId;
use crate::model::placement::Strategy;
use crate::plan::place::Ask;
use crate::plan::place::batch::{Batch, Key};
use crate::plan::place::books::Books;
use crate::plan::place::refuse::fits;
use crate::plan::place::score;

impl Batch {
    /// The best host for this ask. A host that has just failed it is taken only if there is no other.
    pub fn pick(&mut self, books: &Books, ask: &Ask<'_>) -> Option<u32> {
        let host = |id: Option<&HostId>| id.and_then(|id| books.host(id));
        let (avoid, not_on) = (host(ask.avoid), host(ask.not_on));
        if avoid.is_some() {
            let found = self.pick_but(books, ask, [avoid, not_on]);
            if found.is_some() {
                return found;
            }
        }
        self.pick_but(books, ask, [not_on, None])
    }

    fn pick_but(&mut self, books: &Books, ask: &Ask<'_>, skip: [Option<u32>; 2]) -> Option<u32> {
        self.set_skip(books, skip);
        let found = if let Some(only) = ask.only {
            self.best_of(books, [only])
        } else if !self.terms.hosts.is_empty() {
            let hosts = self.terms.hosts.clone();
            self.best_of(books, &hosts)
        } else if ask.strategy == Strategy::Random {
            self.any(books, ask)
        } else {
            self.best(books)
        };
        self.set_skip(books, [None; 2]);
        found
    }

    fn set_skip(&mut self, books: &Books, skip: [Option<u32>; 2]) {
        let changed: Vec<u32> = self.skip.into_iter().chain(skip).flatten().collect();
        self.skip = skip;
        for host in changed {
            let node = books.node(host);
            if node.ready {
                self.requeue(books, node.class);
            }
        }
    }

    fn best(&mut self, books: &Books) -> Option<u32> {
        loop {
            let (key, class) = self.branches.get(self.contest.winner()?)?.head?;
            let host = key.host;
            if host.is_some() {
                return host;
            }
            self.look(books, class);
        }
    }

    /// True when nothing but this ask itself refuses a host.
    pub fn takes(&self, books: &Books, ix: u32) -> bool {
        let node = books.node(ix);
        node.ready
            && self.members.get(node.class as usize).is_some_and(|m| m.open)
            && books.site_full(books.class(node.class).site).is_none()
            && fits(books, &self.terms, ix)
    }

    /// Where a host stands among all: the least is the best.
    pub fn rank(&self, books: &Books, ix: u32) -> (Vec<u32>, Key) {
        let node = books.node(ix);
        let member = &self.members[node.class as usize];
        let of_pool = if self.terms.by_host { books.of_pool(self.terms.pool, ix) } else { 0 };
        (self.crowd(books, ix, of_pool), self.key_of(of_pool, node, member, ix))
    }

    /// Containers of the pool in each domain of a host that was asked for, on the host itself, and in its site.
    pub fn crowd(&self, books: &Books, ix: u32, of_pool: u32) -> Vec<u32> {
        let branch = self.members[books.node(ix).class as usize].branch;
        let (before, after) = self.layout.split(branch, self.terms.spread.len());
        let count = |at: &usize| self.counts[*at];
        before.iter().map(count).chain([of_pool]).chain(after.iter().map(count)).collect()
    }

    fn best_of<'h>(&self, books: &Books, hosts: impl IntoIterator<Item = &'h HostId>) -> Option<u32> {
        let known = hosts.into_iter().filter_map(|id| books.host(id));
        let able = known.filter(|ix| !self.skip.contains(&Some(*ix)) && self.takes(books, *ix));
        able.min_by_key(|ix| self.rank(books, *ix))
    }

    fn any(&self, books: &Books, ask: &Ask<'_>) -> Option<u32> {
        let start = self.start(ask);
        let ring = books.ring.range((start, 0)..).chain(books.ring.range(..(start, 0)));
        ring.map(|(_, ix)| *ix).find(|ix| !self.skip.contains(&Some(*ix)) && self.takes(books, *ix))
    }

    /// Where the walk for a random choice begins: the same for the same slot of the same pool.
    fn start(&self, ask: &Ask<'_>) -> u64 {
        score::mix(self.terms.hash ^ score::mix(u64::from(ask.slot)))
    }

    /// How far a host is from there, 0 to 1.
    pub fn distance(&self, books: &Books, ask: &Ask<'_>, ix: u32) -> f64 {
        books.node(ix).hash.wrapping_sub(self.start(ask)) as f64 / u64::MAX as f64
    }

    /// The order in which hosts are shown: those that this ask would take first.
    pub fn standing(&self, books: &Books, ask: &Ask<'_>, ix: u32) -> (bool, u64, (Vec<u32>, Key)) {
        let random = ask.strategy == Strategy::Random;
        let far = if random { score::bits(self.distance(books, ask, ix)) } else { 0 };
        (ask.avoid == Some(&books.node(ix).id), far, self.rank(books, ix))
    }
}

/// Most and fewest of the pool in the domains beside a host's own, level by level.
pub(super) fn siblings(batch: &Batch) -> Vec<(u32, u32)> {
    let mut out = vec![(u32::MAX, 0); batch.counts.len()];
    let mut by_parent: std::collections::BTreeMap<usize, (u32, u32)> = std::collections::BTreeMap::new();
    let parents = || batch.layout.domains.iter().map(|(parent, ..)| *parent);
    for (parent, count) in parents().zip(&batch.counts) {
        let ends = by_parent.entry(parent).or_insert((u32::MAX, 0));
        *ends = (ends.0.min(*count), ends.1.max(*count));
    }
    for (at, parent) in parents().enumerate() {
        out[at] = by_parent.get(&parent).copied().unwrap_or((0, 0));
    }
    out
}
