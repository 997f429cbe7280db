//! Where new containers go: hosts that can take them, those with the fewest of the pool first.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::base::ids::{HostId, PoolId};
use crate::model::desired::Desired;
use crate::model::host::{HostView, Seen};
use crate::model::instance::Phase;
use crate::model::pool::{Pool, PoolSpec};

/// The reason of a host whose engine has not said yet who it is.
const NOT_YET: &str = "has not answered yet";

/// What a placement counts, gathered once for many choices and kept up to date while choosing.
pub struct Room<'a> {
    hosts: &'a BTreeMap<HostId, Arc<HostView>>,
    of_pool: BTreeMap<(HostId, PoolId), u32>,
    of_all: BTreeMap<HostId, u32>,
    memory: BTreeMap<HostId, u64>,
    ports: BTreeSet<(HostId, String, u16)>,
    /// Nothing is placed before every host has answered or failed once.
    pub wait_for_all: bool,
}

impl<'a> Room<'a> {
    /// Counts what the instances on record take.
    pub fn new(desired: &Desired, hosts: &'a BTreeMap<HostId, Arc<HostView>>) -> Room<'a> {
        let mut room = Room {
            hosts,
            of_pool: BTreeMap::new(),
            of_all: BTreeMap::new(),
            memory: BTreeMap::new(),
            ports: BTreeSet::new(),
            wait_for_all: false,
        };
        for (id, slots) in &desired.instances {
            let Some(pool) = desired.pools.get(id) else { continue };
            for instance in slots.values().filter(|i| i.phase != Phase::Finished) {
                room.take(&instance.host, pool);
            }
        }
        room
    }

    fn take(&mut self, host: &HostId, pool: &Pool) {
        *self.of_pool.entry((host.clone(), pool.id.clone())).or_default() += 1;
        *self.of_all.entry(host.clone()).or_default() += 1;
        *self.memory.entry(host.clone()).or_default() += needs_memory(&pool.spec);
        for (protocol, port) in fixed_ports(&pool.spec) {
            self.ports.insert((host.clone(), protocol, port));
        }
    }

    fn give_back(&mut self, host: &HostId, pool: &Pool) {
        for counter in [self.of_pool.get_mut(&(host.clone(), pool.id.clone())), self.of_all.get_mut(host)]
            .into_iter()
            .flatten()
        {
            *counter = counter.saturating_sub(1);
        }
        if let Some(bytes) = self.memory.get_mut(host) {
            *bytes = bytes.saturating_sub(needs_memory(&pool.spec));
        }
        for (protocol, port) in fixed_ports(&pool.spec) {
            self.ports.remove(&(host.clone(), protocol, port));
        }
    }

    /// Why a host cannot take one more of a pool; `None` when it can.
    pub fn refuses(&self, host: &HostView, pool: &Pool) -> Option<String> {
        let id = &host.config.id;
        if !pool.hosts.is_empty() && !pool.hosts.contains(id) {
            return Some("the pool is pinned to other hosts".into());
        }
        match &host.seen {
            Seen::At(_) if host.facts.engine_id.raw().is_empty() => return Some(NOT_YET.into()),
            Seen::At(_) => {}
            Seen::Never { why: None } => return Some(NOT_YET.into()),
            Seen::Never { why: Some(why) } | Seen::Lost { why, .. } => {
                return Some(format!("is not reachable: {why}"));
            }
        }
        for (protocol, port) in fixed_ports(&pool.spec) {
            if self.ports.contains(&(id.clone(), protocol.clone(), port)) {
                return Some(format!("port {port}/{protocol} is taken there by one of our containers"));
            }
        }
        let need = needs_memory(&pool.spec);
        let taken = self.memory.get(id).copied().unwrap_or(0);
        if need > 0 && host.facts.memory > 0 && taken + need > host.facts.memory {
            let left = host.facts.memory.saturating_sub(taken);
            let (need, left) = (crate::base::text::bytes(need), crate::base::text::bytes(left));
            return Some(format!("memory: {need} needed, {left} not reserved"));
        }
        None
    }

    /// Chooses a host for one more of a pool and counts it there; `avoid` is the host of the last failure, taken only if
    /// there is no other. `Err` tells for each host why it refuses.
    pub fn choose(&mut self, pool: &Pool, avoid: Option<&HostId>) -> Result<HostId, Vec<(HostId, String)>> {
        let untried = |host: &HostView| self.refuses(host, pool).is_some_and(|why| why == NOT_YET);
        if self.wait_for_all
            && let Some(host) = self.hosts.values().find(|h| untried(h))
        {
            return Err(vec![(host.config.id.clone(), NOT_YET.into())]);
        }
        let mut refused = Vec::new();
        let mut best: Option<(bool, u32, u32, &HostId)> = None;
        for (id, host) in self.hosts {
            if let Some(why) = self.refuses(host, pool) {
                refused.push((id.clone(), why));
                continue;
            }
            let of_pool = self.of_pool.get(&(id.clone(), pool.id.clone())).copied().unwrap_or(0);
            let of_all = self.of_all.get(id).copied().unwrap_or(0);
            let score = (Some(id) == avoid, of_pool, of_all, id);
            if best.is_none_or(|b| score < b) {
                best = Some(score);
            }
        }
        let chosen = best.map(|(_, _, _, id)| id.clone()).ok_or(refused)?;
        self.take(&chosen, pool);
        Ok(chosen)
    }

    /// Chooses again for an instance that failed where it is.
    pub fn choose_again(&mut self, pool: &Pool, failed_on: &HostId) -> Result<HostId, Vec<(HostId, String)>> {
        self.give_back(failed_on, pool);
        let chosen = self.choose(pool, Some(failed_on));
        if chosen.is_err() {
            self.take(failed_on, pool);
        }
        chosen
    }
}

/// The sentence for "no host": reasons with the number of hosts that gave them.
pub fn no_host(refused: &[(HostId, String)]) -> String {
    if refused.is_empty() {
        return "no host is known: add one with `longshore hosts add NAME ADDRESS`".into();
    }
    let mut reasons: BTreeMap<&str, Vec<&HostId>> = BTreeMap::new();
    for (host, why) in refused {
        reasons.entry(why).or_default().push(host);
    }
    let parts: Vec<String> = reasons
        .iter()
        .map(|(why, hosts)| match hosts.as_slice() {
            [one] => format!("{one}: {why}"),
            many => format!("{} hosts: {why}", many.len()),
        })
        .collect();
    format!("no host can take it ({})", parts.join("; "))
}

fn needs_memory(spec: &PoolSpec) -> u64 {
    spec.resources.memory_reserved.unwrap_or(0)
}

fn fixed_ports(spec: &PoolSpec) -> impl Iterator<Item = (String, u16)> + '_ {
    spec.ports.iter().filter_map(|p| p.published.map(|port| (p.protocol.clone(), port)))
}
