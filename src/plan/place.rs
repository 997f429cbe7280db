//! Where new containers go: hosts that can take them, those with the fewest of the pool first.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::base::ids::{HostId, PoolId, SiteName, Slot};
use crate::model::desired::Desired;
use crate::model::explain::{Filter, Refused};
use crate::model::host::{Duty, HostView, Need, Seen, Taken};
use crate::model::instance::{Instance, Phase};
use crate::model::placement::Strategy;
use crate::model::pool::{Pool, PoolSpec};
use crate::model::site::Site;

/// The reason of a host whose engine has not said yet who it is.
const NOT_YET: &str = "has not answered yet";

/// What is asked of a placement: one container of a pool.
#[derive(Clone, Copy, Debug)]
pub struct Ask<'a> {
    /// The pool.
    pub pool: &'a Pool,
    /// The slot that it is for. Where that slot was counted before is given back first.
    pub slot: Slot,
    /// Which of the hosts that can take it is preferred.
    pub strategy: Strategy,
    /// The host of its last failure: taken only if there is no other.
    pub avoid: Option<&'a HostId>,
    /// Not this host: it moves away from there.
    pub not_on: Option<&'a HostId>,
    /// Only on hosts of this class.
    pub class: Option<&'a str>,
    /// Only on this host.
    pub only: Option<&'a HostId>,
}

impl<'a> Ask<'a> {
    /// One container of a pool, without further wishes.
    pub fn new(pool: &'a Pool, slot: Slot) -> Ask<'a> {
        Ask { pool, slot, strategy: pool.strategy(), avoid: None, not_on: None, class: None, only: None }
    }
}

/// What one slot takes, and where.
#[derive(Clone, Debug, PartialEq)]
struct Entry {
    /// Its host, and the one that it moves away from.
    hosts: Vec<HostId>,
    need: Need,
    ports: Vec<(String, u16)>,
}

/// All that placement counts: hosts, and what every slot takes of them. Kept up to date by its owner, change by change.
#[derive(Default)]
pub struct Room {
    hosts: BTreeMap<HostId, Arc<HostView>>,
    sites: BTreeMap<SiteName, Site>,
    entries: BTreeMap<(PoolId, Slot), Entry>,
    of_pool: BTreeMap<(HostId, PoolId), u32>,
    taken: BTreeMap<HostId, Taken>,
    ports: BTreeSet<(HostId, String, u16)>,
    /// What each change since [`Room::begin_trial`] replaced.
    undo: Option<Vec<((PoolId, Slot), Option<Entry>)>>,
    /// Nothing is placed before every host has answered or failed once.
    pub wait_for_all: bool,
}

impl Room {
    /// Counts everything that is on record.
    pub fn new(desired: &Desired, hosts: &BTreeMap<HostId, Arc<HostView>>) -> Room {
        let mut room = Room { hosts: hosts.clone(), sites: desired.sites.clone(), ..Room::default() };
        for (id, slots) in &desired.instances {
            let Some(pool) = desired.pools.get(id) else { continue };
            slots.values().for_each(|instance| room.put(instance, pool));
        }
        room
    }

    /// A host is new, or its view has changed.
    pub fn put_host(&mut self, view: &Arc<HostView>) {
        self.hosts.insert(view.config.id.clone(), view.clone());
    }

    /// A host is not known any more. What is counted on it stays counted, should it come back.
    pub fn drop_host(&mut self, host: &HostId) {
        self.hosts.remove(host);
    }

    /// The sites as recorded.
    pub fn set_sites(&mut self, sites: &BTreeMap<SiteName, Site>) {
        self.sites.clone_from(sites);
    }

    /// Counts an instance where its record says, instead of where it was counted before. One that is finished, or that only
    /// waits for a host, takes nothing.
    pub fn put(&mut self, instance: &Instance, pool: &Pool) {
        let key = (instance.pool.clone(), instance.slot);
        if instance.phase == Phase::Finished {
            return self.set(key, None);
        }
        let mut hosts = vec![instance.host.clone()];
        hosts
            .extend(instance.moved_from.iter().map(|from| from.host.clone()).filter(|h| *h != instance.host));
        self.set(key, Some(entry(hosts, pool)));
    }

    /// A slot takes nothing any more.
    pub fn drop_slot(&mut self, pool: &PoolId, slot: Slot) {
        self.set((pool.clone(), slot), None);
    }

    /// From now on changes are on trial, until [`Room::end_trial`] takes them all back.
    pub fn begin_trial(&mut self) {
        self.undo = Some(Vec::new());
    }

    /// Takes back every change since [`Room::begin_trial`].
    pub fn end_trial(&mut self) {
        for (key, before) in self.undo.take().unwrap_or_default().into_iter().rev() {
            self.set(key, before);
        }
    }

    fn set(&mut self, key: (PoolId, Slot), entry: Option<Entry>) {
        let before = self.entries.get(&key).cloned();
        if before == entry {
            return;
        }
        if let Some(old) = &before {
            self.count(&key.0, old, false);
        }
        if let Some(new) = &entry {
            self.count(&key.0, new, true);
        }
        match entry {
            Some(new) => drop(self.entries.insert(key.clone(), new)),
            None => drop(self.entries.remove(&key)),
        }
        if let Some(undo) = &mut self.undo {
            undo.push((key, before));
        }
    }

    fn count(&mut self, pool: &PoolId, entry: &Entry, more: bool) {
        let step = |n: u64, by: u64| if more { n.saturating_add(by) } else { n.saturating_sub(by) };
        for host in &entry.hosts {
            let of_pool = self.of_pool.entry((host.clone(), pool.clone())).or_default();
            *of_pool = if more { *of_pool + 1 } else { of_pool.saturating_sub(1) };
            let taken = self.taken.entry(host.clone()).or_default();
            taken.containers = if more { taken.containers + 1 } else { taken.containers.saturating_sub(1) };
            let (n, by) = (&mut taken.need, &entry.need);
            n.cpu_milli = step(n.cpu_milli, by.cpu_milli);
            n.memory = step(n.memory, by.memory);
            n.pids = step(n.pids, by.pids);
            n.disk = step(n.disk, by.disk);
            n.bandwidth = step(n.bandwidth, by.bandwidth);
            for (protocol, port) in &entry.ports {
                let key = (host.clone(), protocol.clone(), *port);
                let _ = if more { self.ports.insert(key) } else { self.ports.remove(&key) };
            }
        }
    }

    /// What our containers on record take of a host.
    pub fn taken(&self, host: &HostId) -> Taken {
        self.taken.get(host).copied().unwrap_or_default()
    }

    /// **All** reasons why a host cannot take a container; empty when it can.
    pub fn refusals(&self, host: &HostView, ask: &Ask<'_>) -> Vec<Refused> {
        let (id, pool) = (&host.config.id, ask.pool);
        let mut out = Vec::new();
        let mut refuse = |filter, why: String| out.push(Refused { filter, why });
        match &host.seen {
            Seen::At(_) if host.facts.engine_id.raw().is_empty() => refuse(Filter::Ready, NOT_YET.into()),
            Seen::At(_) => {}
            Seen::Never { why: None } => refuse(Filter::Ready, NOT_YET.into()),
            Seen::Never { why: Some(why) } | Seen::Lost { why, .. } => {
                refuse(Filter::Ready, format!("is not reachable: {why}"));
            }
        }
        match &host.record.duty {
            Duty::Active => {}
            Duty::Cordoned { by, .. } => refuse(Filter::Ready, format!("is cordoned by {by}")),
            Duty::Draining { by, .. } => refuse(Filter::Ready, format!("is being drained by {by}")),
            Duty::Drained { by, .. } => refuse(Filter::Ready, format!("was drained by {by}")),
        }
        if !pool.hosts.is_empty() && !pool.hosts.contains(id) {
            refuse(Filter::Pinned, "the pool is pinned to other hosts".into());
        }
        if ask.not_on == Some(id) {
            refuse(Filter::Pinned, "it moves away from there".into());
        }
        if ask.only.is_some_and(|only| only != id) {
            refuse(Filter::Pinned, "it is asked for another host".into());
        }
        if ask.class.is_some_and(|class| host.class().as_deref() != Some(class)) {
            refuse(Filter::Class, format!("is not of class {}", ask.class.unwrap_or_default()));
        }
        for (protocol, port) in fixed_ports(&pool.spec) {
            if self.ports.contains(&(id.clone(), protocol.clone(), port)) {
                refuse(
                    Filter::Port,
                    format!("port {port}/{protocol} is taken there by one of our containers"),
                );
            }
        }
        let need = pool.spec.need().memory;
        let taken = self.taken(id).need.memory;
        if need > 0 && host.facts.memory > 0 && taken.saturating_add(need) > host.facts.memory {
            let left = host.facts.memory.saturating_sub(taken);
            let (need, left) = (crate::base::text::bytes(need), crate::base::text::bytes(left));
            refuse(Filter::Memory, format!("memory: {need} needed, {left} not reserved"));
        }
        out
    }

    /// Chooses a host for one container and counts it there.
    ///
    /// # Errors
    /// One sentence that says why no host takes it.
    pub fn choose(&mut self, ask: &Ask<'_>) -> Result<HostId, String> {
        let key = (ask.pool.id.clone(), ask.slot);
        let before = self.entries.get(&key).cloned();
        self.set(key.clone(), None);
        match self.best(ask) {
            Ok(host) => {
                self.set(key, Some(entry(vec![host.clone()], ask.pool)));
                Ok(host)
            }
            Err(why) => {
                self.set(key, before);
                Err(why)
            }
        }
    }

    fn best(&self, ask: &Ask<'_>) -> Result<HostId, String> {
        let untried = |host: &Arc<HostView>| self.refusals(host, ask).iter().any(|r| r.why == NOT_YET);
        if self.wait_for_all
            && let Some(host) = self.hosts.values().find(|h| untried(h))
        {
            return Err(no_host(&[(host.config.id.clone(), NOT_YET.into())]));
        }
        let mut refused = Vec::new();
        let mut best: Option<(bool, u32, u32, &HostId)> = None;
        for (id, host) in &self.hosts {
            if let Some(why) = self.refusals(host, ask).into_iter().next() {
                refused.push((id.clone(), why.why));
                continue;
            }
            let of_pool = self.of_pool.get(&(id.clone(), ask.pool.id.clone())).copied().unwrap_or(0);
            let score = (Some(id) == ask.avoid, of_pool, self.taken(id).containers, id);
            if best.is_none_or(|b| score < b) {
                best = Some(score);
            }
        }
        best.map(|(_, _, _, id)| id.clone()).ok_or_else(|| no_host(&refused))
    }
}

fn entry(hosts: Vec<HostId>, pool: &Pool) -> Entry {
    Entry { hosts, need: pool.spec.need(), ports: fixed_ports(&pool.spec).collect() }
}

/// The sentence for "no host": reasons with the number of hosts that gave them.
fn no_host(refused: &[(HostId, String)]) -> String {
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

fn fixed_ports(spec: &PoolSpec) -> impl Iterator<Item = (String, u16)> + '_ {
    spec.ports.iter().filter_map(|p| p.published.map(|port| (p.protocol.clone(), port)))
}
