//! What a scale would do: worked out with the same placement that will do it.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::base::clock::Millis;
use crate::base::ids::{HostId, Slot};
use crate::model::command::Refusal;
use crate::model::container::{Health, Owner, State};
use crate::model::desired::Desired;
use crate::model::host::HostView;
use crate::model::pool::Pool;
use crate::model::preview::{Leaving, PlaceOn, Preview};
use crate::plan::place::{Ask, Room};
use crate::plan::surplus::removal_order;

/// Works out what changing a pool's number to `to` would do. `room` is the same afterwards.
pub fn preview(
    desired: &Desired,
    hosts: &BTreeMap<HostId, Arc<HostView>>,
    room: &mut Room,
    pool: &Pool,
    to: u32,
    refusal: Option<Refusal>,
    now: Millis,
) -> Preview {
    let mut preview = Preview {
        pool: pool.id.clone(),
        from: pool.target(),
        to,
        version: pool.version,
        strategy: pool.strategy(),
        places: Vec::new(),
        removals: removals(desired, hosts, pool, to, now),
        refused_hosts: Vec::new(),
        unplaced: 0,
        eta_ms: desired.pace_ms(&pool.id).map(|pace| pace * u64::from(to.saturating_sub(pool.target()))),
        notes: Vec::new(),
        refusal,
    };
    add_places(desired, hosts, room, pool, to, &mut preview);
    if let Some(scale) = &pool.last_scale {
        let ago = crate::base::text::age(now.since(scale.at));
        preview.notes.push(format!("last scale: {} {} -> {}, {ago} ago", scale.by, scale.from, scale.to));
    }
    preview
}

fn add_places(
    desired: &Desired,
    hosts: &BTreeMap<HostId, Arc<HostView>>,
    room: &mut Room,
    pool: &Pool,
    to: u32,
    preview: &mut Preview,
) {
    let placed = desired.instances.get(&pool.id);
    let fresh: Vec<Slot> = (1..=to).filter(|slot| placed.is_none_or(|p| !p.contains_key(slot))).collect();
    if fresh.is_empty() {
        return;
    }
    preview.refused_hosts = hosts.values().filter_map(|h| refusal(room, h, &Ask::new(pool, to))).collect();
    room.begin_trial();
    let mut counts: BTreeMap<HostId, u32> = BTreeMap::new();
    for (done, slot) in fresh.iter().enumerate() {
        match room.choose(&Ask::new(pool, *slot)) {
            Ok(host) => *counts.entry(host).or_default() += 1,
            Err(why) => {
                preview.unplaced = u32::try_from(fresh.len() - done).unwrap_or(u32::MAX);
                preview.notes.push(why);
                break;
            }
        }
    }
    room.end_trial();
    preview.places =
        counts.into_iter().map(|(host, count)| PlaceOn { host, count, has_image: None }).collect();
}

/// A host that takes none, with all of its reasons.
fn refusal(room: &Room, host: &HostView, ask: &Ask<'_>) -> Option<(HostId, String)> {
    let why: Vec<String> = room.refusals(host, ask).into_iter().map(|r| r.why).collect();
    (!why.is_empty()).then(|| (host.config.id.clone(), why.join("; ")))
}

fn removals(
    desired: &Desired,
    hosts: &BTreeMap<HostId, Arc<HostView>>,
    pool: &Pool,
    to: u32,
    now: Millis,
) -> Vec<Leaving> {
    let mut out = Vec::new();
    for (host, view) in hosts {
        for container in view.containers.iter() {
            let Owner::Longshore(tag) = &container.owner else { continue };
            let goes = tag.install == desired.install && tag.pool == pool.id && tag.slot > to;
            if goes {
                let leaving = Leaving {
                    slot: tag.slot,
                    host: host.clone(),
                    state: container.state,
                    health: container.health,
                    age_ms: now.since(container.created),
                };
                out.push((removal_order(container), leaving));
            }
        }
    }
    out.sort_by_key(|(order, leaving)| (*order, leaving.slot));
    out.into_iter().map(|(_, leaving)| leaving).collect()
}

/// One sentence about the containers that go: how many, how healthy.
pub fn describe_removals(removals: &[Leaving]) -> String {
    let healthy =
        removals.iter().filter(|r| r.state == State::Running && r.health != Health::Unhealthy).count();
    format!("{} go, {healthy} of them serving", crate::base::text::count(removals.len() as u64, "container"))
}
