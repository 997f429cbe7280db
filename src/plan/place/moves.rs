//! What rebalancing asks of placement: whether a slot would be better placed elsewhere, and how crowded a pool is.

use std::collections::BTreeMap;

use crate::base::ids::HostId;
use crate::model::host::Need;
use crate::plan::place::books::{Books, Entry};
use crate::plan::place::refuse::open_classes;
use crate::plan::place::sorted::Layout;
use crate::plan::place::terms::{Terms, domains};
use crate::plan::place::{Ask, Room};

impl Room {
    /// How many of the pool are in each domain of a host that it asks to be spread over, then on the host itself, then in its
    /// site.
    pub fn crowding(&mut self, ask: &Ask<'_>, host: &HostId) -> Vec<u32> {
        let (pool, shape) = self.pool(ask.pool);
        self.ready(ask, pool, shape);
        let (Some(batch), Some(ix)) = (&self.batch, self.books.host(host)) else { return Vec::new() };
        if self.books.node(ix).view.is_none() {
            return Vec::new();
        }
        batch.crowd(&self.books, ix, self.books.of_pool(pool, ix))
    }

    /// Moves a slot to the best host for it, and counts it there, if the pool is spread better then (`or_equal`: not worse).
    ///
    /// # Errors
    /// Why it stays where it is: no host takes it, or `None` when none is better.
    pub fn relocate(&mut self, ask: &Ask<'_>, or_equal: bool) -> Result<HostId, Option<String>> {
        let (pool, shape) = self.pool(ask.pool);
        let key = (pool, ask.slot);
        let Some(before) = self.books.entries.get(&key).cloned() else { return Err(None) };
        let from = self.books.node(before.host).id.clone();
        self.set(key, None);
        let picked = self.pick(ask, pool);
        let outcome = match picked {
            Ok(to) if to != from => {
                let (here, there) = (self.crowding(ask, &from), self.crowding(ask, &to));
                if there < here || (or_equal && there == here) { Ok(to) } else { Err(None) }
            }
            Ok(_) => Err(None),
            Err(why) => Err(Some(why)),
        };
        match &outcome {
            Ok(to) => {
                let host = self.books.intern_host(to);
                self.set(key, Some(Entry { host, from: None, shape }));
            }
            Err(_) => self.set(key, Some(before)),
        }
        outcome
    }

    /// Largest difference between hosts that could hold the pool, and between domains beside each other that it asks to be
    /// spread over.
    pub fn skew(&mut self, ask: &Ask<'_>) -> u32 {
        let (pool, shape) = self.pool(ask.pool);
        let asked = self.domains_asked(ask);
        let own = match &self.batch {
            Some(batch) if batch.terms.are_of(ask, pool, &shape) => None,
            // All that a choice needs would be far more than is needed here.
            _ => {
                let terms = Terms::new(&self.books, ask, shape);
                self.books.sort_for(&terms);
                Some((open_classes(&self.books, &terms), self.books.layout(&terms)))
            }
        };
        match (own, &self.batch) {
            (Some((open, Some(layout))), _) => skew(&self.books, pool, &|class| open[class], &layout, asked),
            (None, Some(batch)) => {
                skew(&self.books, pool, &|class| batch.members[class].open, &batch.layout, asked)
            }
            _ => 0,
        }
    }

    /// How many levels of domains a pool asks to be spread over.
    pub fn domains_asked(&self, ask: &Ask<'_>) -> usize {
        domains(&ask.pool.spec.placement.spread).len()
    }

    /// How many classes of hosts there are: so long does it take to look at a pool anew.
    pub fn classes(&self) -> usize {
        self.books.classes.len()
    }

    /// Share of a host's scarcest resource that is reserved, if it is ready and its capacity is known.
    pub fn share(&self, host: &HostId) -> Option<f64> {
        let node = self.books.node(*self.books.known.get(host)?);
        node.ready.then(|| share(&node.taken.need, &node.cap)).flatten()
    }

    /// True when a host is ready: it takes and gives containers.
    pub fn takes_part(&self, host: &HostId) -> bool {
        self.books.host(host).is_some_and(|ix| self.books.node(ix).ready)
    }

    /// What all ready hosts have, and what is reserved of it.
    pub fn totals(&self) -> (Need, Need) {
        let (mut cap, mut taken) = (Need::default(), Need::default());
        for node in self.books.hosts.iter().filter(|n| n.ready) {
            cap.cpu_milli += node.cap.cpu_milli;
            cap.memory += node.cap.memory;
            taken.cpu_milli += node.taken.need.cpu_milli;
            taken.memory += node.taken.need.memory;
        }
        (cap, taken)
    }
}

fn skew(books: &Books, pool: u32, open: &dyn Fn(usize) -> bool, layout: &Layout, asked: usize) -> u32 {
    let mut counts = vec![0; layout.domains.len()];
    let (mut holders, mut least, mut most) = (0, u32::MAX, 0);
    for (ix, times) in &books.pools[pool as usize].on {
        let node = books.node(*ix);
        if node.view.is_none() {
            continue;
        }
        let class = node.class as usize;
        for at in &layout.paths[layout.of_class[class] as usize] {
            counts[*at] += times;
        }
        if node.ready && open(class) {
            (holders, least, most) = (holders + 1, least.min(*times), most.max(*times));
        }
    }
    let (mut hosts, mut is_open) = (0, vec![false; layout.paths.len()]);
    for (at, class) in books.classes.iter().enumerate() {
        if !class.ready.is_empty() && open(at) {
            hosts += class.ready.len();
            is_open[layout.of_class[at] as usize] = true;
        }
    }
    let by_host = if holders < hosts { most } else { most - least.min(most) };
    let mut beside: BTreeMap<usize, (u32, u32)> = BTreeMap::new();
    for (path, _) in layout.paths.iter().zip(is_open).filter(|(_, is_open)| *is_open) {
        for at in path.iter().take(asked) {
            let (within, count) = (layout.domains[*at].0, counts[*at]);
            let ends = beside.entry(within).or_insert((count, count));
            *ends = (ends.0.min(count), ends.1.max(count));
        }
    }
    by_host.max(beside.values().map(|(least, most)| most - least).max().unwrap_or(0))
}

/// The larger of the shares of CPU and memory; `None` when neither is known.
pub(crate) fn share(taken: &Need, cap: &Need) -> Option<f64> {
    let part = |taken: u64, cap: u64| (cap > 0).then(|| taken as f64 / cap as f64);
    let (cpu, memory) = (part(taken.cpu_milli, cap.cpu_milli), part(taken.memory, cap.memory));
    cpu.into_iter().chain(memory).reduce(f64::max)
}
