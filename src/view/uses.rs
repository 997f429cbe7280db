//! What the containers of each host use, by host and by pool, kept from snapshot to snapshot.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use crate::base::ids::{ContainerId, HostId, InstallId, PoolId};
use crate::model::container::{Container, Owner, Usage};
use crate::model::host::HostView;
use crate::model::world::World;
use crate::view::pools::Used;

/// Measured use: a host whose list and samples did not change is not looked at again.
#[derive(Clone, Debug, Default)]
pub struct Uses {
    install: Option<InstallId>,
    hosts: BTreeMap<HostId, OfHost>,
    pools: HashMap<PoolId, Used>,
    /// Hosts with containers that are not ours.
    mixed: BTreeSet<HostId>,
}

/// One host as it was summed up.
#[derive(Clone, Debug)]
struct OfHost {
    usage: Arc<BTreeMap<ContainerId, Usage>>,
    containers: Arc<Vec<Container>>,
    used: Used,
    pools: Vec<(PoolId, Used)>,
}

impl Uses {
    /// Takes a new snapshot: the work grows with the hosts, and with the containers of those that changed.
    pub fn update(&mut self, world: &World) {
        if self.install != world.engine.install {
            *self = Uses { install: world.engine.install.clone(), ..Uses::default() };
        }
        let gone: Vec<HostId> =
            self.hosts.keys().filter(|id| !world.hosts.contains_key(*id)).cloned().collect();
        gone.iter().for_each(|id| self.forget(id));
        for (id, host) in &world.hosts {
            let same = |old: &OfHost| {
                Arc::ptr_eq(&old.usage, &host.usage) && Arc::ptr_eq(&old.containers, &host.containers)
            };
            if !self.hosts.get(id).is_some_and(same) {
                self.put(id, host);
            }
        }
    }

    fn forget(&mut self, id: &HostId) {
        self.mixed.remove(id);
        let Some(old) = self.hosts.remove(id) else { return };
        for (pool, used) in &old.pools {
            if let Some(sum) = self.pools.get_mut(pool) {
                sum.take(used);
                if sum.measured == 0 {
                    self.pools.remove(pool);
                }
            }
        }
    }

    fn put(&mut self, id: &HostId, host: &HostView) {
        self.forget(id);
        let ours = |container: &Container| match &container.owner {
            Owner::Longshore(tag) if self.install.as_ref().is_none_or(|i| *i == tag.install) => {
                Some(tag.pool.clone())
            }
            _ => None,
        };
        if host.containers.iter().any(|c| ours(c).is_none() || self.install.is_none()) {
            self.mixed.insert(id.clone());
        }
        let mut used = Used::default();
        host.usage.values().for_each(|u| used.add(u));
        let mut pools: HashMap<PoolId, Used> = HashMap::new();
        // Both are sorted by id.
        let mut samples = host.usage.iter().peekable();
        for container in host.containers.iter().take_while(|_| used.measured > 0) {
            while samples.next_if(|(id, _)| **id < container.id).is_some() {}
            let Some((_, usage)) = samples.next_if(|(id, _)| **id == container.id) else { continue };
            if let Some(pool) = ours(container) {
                pools.entry(pool).or_default().add(usage);
            }
        }
        for (pool, used) in &pools {
            self.pools.entry(pool.clone()).or_default().put(used);
        }
        let pools = pools.into_iter().collect();
        let (usage, containers) = (host.usage.clone(), host.containers.clone());
        self.hosts.insert(id.clone(), OfHost { usage, containers, used, pools });
    }

    /// Measured use of a host.
    pub fn of(&self, id: &HostId) -> Used {
        self.hosts.get(id).map(|host| host.used).unwrap_or_default()
    }

    /// Measured use of a pool.
    pub fn of_pool(&self, id: &PoolId) -> Used {
        self.pools.get(id).copied().unwrap_or_default()
    }

    /// True unless every container on a host is ours.
    pub fn is_mixed(&self, id: &HostId) -> bool {
        self.mixed.contains(id)
    }

    /// All hosts.
    pub fn all(&self) -> impl Iterator<Item = (&HostId, &Used)> {
        self.hosts.iter().map(|(id, host)| (id, &host.used))
    }
}
