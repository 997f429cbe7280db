//! What a scale would do: worked out with the same placement that will do it.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::base::clock::Millis;
use crate::base::ids::{HostId, Slot};
use crate::model::command::Refusal;
use crate::model::container::{Health, Owner, State};
use crate::model::desired::Desired;
use crate::model::host::HostView;
use crate::model::placement::Strategy;
use crate::model::pool::Pool;
use crate::model::preview::{Leaving, PlaceOn, Preview};
use crate::plan::place::{Ask, Room};
use crate::plan::surplus::removal_order;

/// Hosts that get none and are listed one by one, at most; a note says how many more there are.
pub const REFUSED_LISTED: usize = 50;

/// What is asked of a pool.
pub struct Scale<'a> {
    /// The pool as it is.
    pub pool: &'a Pool,
    /// The number that it is to have.
    pub to: u32,
    /// The slots that go, in this order.
    pub going: Vec<Slot>,
    /// Why it would be refused.
    pub refusal: Option<Refusal>,
    /// How new containers are placed; `None` for the pool's own way.
    pub strategy: Option<Strategy>,
}

/// Works out what changing a pool's number would do. `room` is the same afterwards.
pub fn preview(
    desired: &Desired,
    hosts: &BTreeMap<HostId, Arc<HostView>>,
    room: &mut Room,
    scale: Scale<'_>,
    now: Millis,
) -> Preview {
    let Scale { pool, to, going, refusal, strategy } = scale;
    let mut preview = Preview {
        pool: pool.id.clone(),
        from: pool.target(),
        to,
        version: pool.version,
        strategy: strategy.unwrap_or_else(|| pool.strategy()),
        places: Vec::new(),
        removals: removals(desired, hosts, pool, &going, now),
        refused_hosts: Vec::new(),
        unplaced: 0,
        eta_ms: desired.pace_ms(&pool.id).map(|pace| pace * u64::from(to.saturating_sub(pool.target()))),
        coverage: None,
        notes: Vec::new(),
        refusal,
    };
    let after = Pool { want: to, down: false, holes: pool.holes_at(to, &going), ..pool.clone() };
    add_places(desired, hosts, room, &after, &mut preview);
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
    preview: &mut Preview,
) {
    let placed = desired.instances.get(&pool.id);
    let fresh: Vec<Slot> = pool.slots().filter(|slot| placed.is_none_or(|p| !p.contains_key(slot))).collect();
    if fresh.is_empty() {
        return;
    }
    let ask = |slot| Ask { strategy: preview.strategy, ..Ask::new(pool, slot) };
    let (refused, more) = room.refused_hosts(&ask(pool.top().saturating_add(1)), REFUSED_LISTED);
    room.begin_trial();
    let (mut unplaced, mut note) = (0, None);
    let mut counts: BTreeMap<HostId, u32> = BTreeMap::new();
    for (done, slot) in fresh.iter().enumerate() {
        match room.choose(&ask(*slot)) {
            Ok(host) => *counts.entry(host).or_default() += 1,
            Err(why) => {
                unplaced = u32::try_from(fresh.len() - done).unwrap_or(u32::MAX);
                note = Some(why);
                break;
            }
        }
    }
    room.end_trial();
    preview.unplaced = unplaced;
    preview.notes.extend(note);
    preview.refused_hosts = refused;
    if more > 0 {
        let more = crate::base::text::count(u64::from(more), "more host");
        preview.notes.push(format!("{more} cannot take it: `longshore why` says why of each"));
    }
    let has_image = |host: &HostId| {
        let images = hosts.get(host)?.images.as_ref()?;
        Some(images.contains_key(&pool.spec.image))
    };
    preview.places = counts
        .into_iter()
        .map(|(host, count)| PlaceOn { has_image: has_image(&host), host, count })
        .collect();
}

fn removals(
    desired: &Desired,
    hosts: &BTreeMap<HostId, Arc<HostView>>,
    pool: &Pool,
    going: &[Slot],
    now: Millis,
) -> Vec<Leaving> {
    let turns: BTreeMap<Slot, usize> = going.iter().enumerate().map(|(turn, slot)| (*slot, turn)).collect();
    let mut out = Vec::new();
    for (host, view) in hosts {
        for container in view.containers.iter() {
            let Owner::Longshore(tag) = &container.owner else { continue };
            if tag.install != desired.install || tag.pool != pool.id {
                continue;
            }
            if let Some(turn) = turns.get(&tag.slot) {
                let leaving = Leaving {
                    slot: tag.slot,
                    host: host.clone(),
                    state: container.state,
                    health: container.health,
                    age_ms: now.since(container.created),
                };
                out.push((*turn, removal_order(container), leaving));
            }
        }
    }
    out.sort_by_key(|(turn, order, _)| (*turn, *order));
    out.into_iter().map(|(_, _, leaving)| leaving).collect()
}

/// One sentence about the containers that go: how many, how healthy.
pub fn describe_removals(removals: &[Leaving]) -> String {
    let healthy =
        removals.iter().filter(|r| r.state == State::Running && r.health != Health::Unhealthy).count();
    format!("{} go, {healthy} of them serving", crate::base::text::count(removals.len() as u64, "container"))
}
