//! Containers that are where the rules of their pool would not put them any more: labels, the site or the machine of their host
//! have changed since they were placed, or the rules have. Nothing is done about it unasked: they serve.

use std::collections::BTreeMap;

use crate::base::ids::{HostId, Slot};
use crate::model::desired::Desired;
use crate::model::instance::{Instance, Phase};
use crate::model::pool::Pool;
use crate::model::world::Misplaced;
use crate::plan::place::Room;

/// What of a pool breaks its constraints, its sites, its platform or its most on a host, host by host. A pool without such
/// rules costs nothing.
pub fn of(desired: &Desired, pool: &Pool, room: &Room) -> Vec<Misplaced> {
    let rules = &pool.spec.placement;
    let of_hosts = !rules.constraints.is_empty() || !rules.sites.is_empty() || rules.platform.is_some();
    if !of_hosts && rules.max_per_host.is_none() {
        return Vec::new();
    }
    let mut on: BTreeMap<&HostId, Vec<Slot>> = BTreeMap::new();
    let records = desired.instances.get(&pool.id);
    for instance in records.into_iter().flat_map(BTreeMap::values).filter(|i| is_settled(i, pool)) {
        on.entry(&instance.host).or_default().push(instance.slot);
    }
    let broken = if of_hosts { room.broken_rules(pool, on.keys().copied()) } else { BTreeMap::new() };
    let mut out = Vec::new();
    for (host, mut slots) in on {
        if let Some(why) = broken.get(host) {
            out.push(Misplaced { host: host.clone(), slots, why: why.clone() });
            continue;
        }
        let most = rules.max_per_host.and_then(|most| usize::try_from(most).ok()).unwrap_or(usize::MAX);
        if slots.len() > most {
            let why = format!("holds {} of the pool, at most {most} are allowed", slots.len());
            out.push(Misplaced { host: host.clone(), slots: slots.split_off(most), why });
        }
    }
    out
}

/// True for one that runs as far as its record tells and is not about to move.
fn is_settled(instance: &Instance, pool: &Pool) -> bool {
    instance.phase == Phase::Started
        && pool.wants(instance.slot)
        && instance.moved_from.is_none()
        && instance.move_to.is_none()
}
