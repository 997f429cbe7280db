//! What advice counts once of all hosts, so that no pool has to look at all of them again.

use std::collections::{BTreeMap, BTreeSet};

use crate::base::ids::{ClusterName, HostId, SiteName};
use crate::model::host::{HostState, HostView, Need};
use crate::model::pool::Pool;
use crate::model::world::World;

/// Hosts out of service that are looked at for a pool without room: it shall stay a pass over pools, not over pools by hosts.
const RESTING_MAX: usize = 16;

/// Ready hosts, by the cluster that they belong to and their site.
#[derive(Debug, Default)]
pub struct Fleet {
    ready: BTreeMap<(Option<ClusterName>, Option<SiteName>), u32>,
    /// Hosts that answer and would take containers but for a person's word, by cluster.
    resting: BTreeMap<Option<ClusterName>, Vec<HostId>>,
}

impl Fleet {
    /// Counts.
    pub fn new(world: &World) -> Fleet {
        let mut fleet = Fleet::default();
        for (id, host) in &world.hosts {
            let (cluster, site) = (host.record.cluster.clone(), host.record.site.clone());
            match host.state_at(world.at) {
                HostState::Ready => *fleet.ready.entry((cluster, site)).or_default() += 1,
                HostState::Cordoned | HostState::Drained => {
                    let resting = fleet.resting.entry(cluster).or_default();
                    if resting.len() < RESTING_MAX {
                        resting.push(id.clone());
                    }
                }
                HostState::Joining | HostState::Draining | HostState::Lost => {}
            }
        }
        fleet
    }

    /// Ready hosts that a pool may use by its pins, its cluster and its sites, and the sites that they stand in. What a
    /// constraint says is not known here: it may be fewer.
    pub fn open_to(&self, world: &World, pool: &Pool) -> (u32, BTreeSet<SiteName>) {
        let (mut count, mut sites) = (0, BTreeSet::new());
        let mut add = |n: u32, site: &Option<SiteName>| {
            let wanted = &pool.spec.placement.sites;
            if wanted.is_empty() || site.as_ref().is_some_and(|s| wanted.contains(s)) {
                count += n;
                sites.extend(site.clone());
            }
        };
        if pool.hosts.is_empty() {
            for ((cluster, site), n) in &self.ready {
                if cluster.as_ref().is_none_or(|c| *c == pool.id.cluster) {
                    add(*n, site);
                }
            }
        } else {
            let pinned = pool.hosts.iter().filter_map(|h| world.hosts.get(h));
            pinned.filter(|h| h.state_at(world.at) == HostState::Ready).for_each(|h| add(1, &h.record.site));
        }
        (count, sites)
    }

    /// A cordoned or drained host that would have room for one more of a pool.
    pub fn resting_for(&self, world: &World, pool: &Pool) -> Option<&HostId> {
        let need = pool.spec.need();
        let own = self.resting.get(&Some(pool.id.cluster.clone()));
        let mut all = self.resting.get(&None).into_iter().chain(own).flatten();
        all.find(|id| world.hosts.get(*id).is_some_and(|h| fits(h, &need)))
    }
}

/// True when one more of this need fits: what is not known refuses nothing.
pub fn fits(host: &HostView, need: &Need) -> bool {
    let (all, taken) = (host.capacity(), host.taken.need);
    let one = |need: u64, taken: u64, all: u64| need == 0 || all == 0 || taken.saturating_add(need) <= all;
    one(need.cpu_milli, taken.cpu_milli, all.cpu_milli)
        && one(need.memory, taken.memory, all.memory)
        && one(need.pids, taken.pids, all.pids)
        && one(need.disk, taken.disk, all.disk)
        && one(need.bandwidth, taken.bandwidth, all.bandwidth)
}
