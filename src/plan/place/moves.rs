//! What rebalancing asks of placement: whether a slot would be better placed elsewhere, and how crowded a pool is.

use crate::base::ids::HostId;
use crate::model::host::Need;
use crate::plan::place::books::Entry;
use crate::plan::place::{Ask, Room};

impl Room {
    /// How many of the pool are in each domain of a host, the outermost first, and last on the host itself.
    pub fn crowding(&mut self, ask: &Ask<'_>, host: &HostId) -> Vec<u32> {
        let (pool, shape) = self.pool(ask.pool);
        self.ready(ask, pool, shape);
        let (Some(batch), Some(ix)) = (&self.batch, self.books.host(host)) else { return Vec::new() };
        if self.books.node(ix).view.is_none() {
            return Vec::new();
        }
        let mut out = batch.domains(&self.books, ix);
        out.push(self.books.of_pool(pool, ix));
        out
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

    /// Largest difference between hosts (and between domains beside each other) that could hold the pool.
    pub fn skew(&mut self, ask: &Ask<'_>) -> u32 {
        let (pool, shape) = self.pool(ask.pool);
        self.ready(ask, pool, shape);
        let Some(batch) = &self.batch else { return 0 };
        let open = |class: usize| batch.members[class].open;
        let classes = self.books.classes.iter().enumerate().filter(|(at, _)| open(*at));
        let hosts: usize = classes.clone().map(|(_, c)| c.ready.len()).sum();
        let on = self.books.pools[pool as usize].on.iter().filter(|(ix, _)| {
            let node = self.books.node(**ix);
            node.ready && open(node.class as usize)
        });
        let counts: Vec<u32> = on.map(|(_, n)| *n).collect();
        let least = if counts.len() < hosts { 0 } else { counts.iter().copied().min().unwrap_or(0) };
        let by_host = counts.iter().copied().max().unwrap_or(0) - least;
        let open_domains = classes.filter(|(_, c)| !c.ready.is_empty());
        let mut beside: std::collections::BTreeMap<usize, (u32, u32)> = std::collections::BTreeMap::new();
        for (class, _) in open_domains {
            for at in &batch.layout.paths[batch.members[class].branch] {
                let (within, count) = (batch.layout.domains[*at].0, batch.counts[*at]);
                let ends = beside.entry(within).or_insert((count, count));
                *ends = (ends.0.min(count), ends.1.max(count));
            }
        }
        by_host.max(beside.values().map(|(least, most)| most - least).max().unwrap_or(0))
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

/// The larger of the shares of CPU and memory; `None` when neither is known.
pub(crate) fn share(taken: &Need, cap: &Need) -> Option<f64> {
    let part = |taken: u64, cap: u64| (cap > 0).then(|| taken as f64 / cap as f64);
    let (cpu, memory) = (part(taken.cpu_milli, cap.cpu_milli), part(taken.memory, cap.memory));
    cpu.into_iter().chain(memory).reduce(f64::max)
}
