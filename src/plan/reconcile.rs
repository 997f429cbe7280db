//! Reconciliation: from all that is wanted and seen to the next steps, and to the state of every pool in words.
//!
//! It takes no input but the whole; what woke it is of no concern. So the path after a restart is the everyday path.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::base::clock::Millis;
use crate::base::ids::{ContainerId, HostId, PoolId, Slot};
use crate::model::container::{Health, State};
use crate::model::desired::Desired;
use crate::model::host::HostView;
use crate::model::instance::Instance;
use crate::model::pool::Pool;
use crate::model::world::{Counts, PoolView, SlotStatus, SlotView, Wait};
use crate::plan::place::Room;
use crate::plan::seen::{Index, Seen};
use crate::plan::slot::{Activity, Decision, Scene, Step, decide};
use crate::plan::surplus::{Ours, Removal, of_slot, removal_order};

/// Everything that is known.
pub struct Input<'a> {
    /// The present.
    pub now: Millis,
    /// All that is wanted.
    pub desired: &'a Desired,
    /// All that is seen.
    pub hosts: &'a BTreeMap<HostId, Arc<HostView>>,
    /// The engine has only just begun: hosts that have not been tried yet are waited for before anything is placed, so
    /// that the first host to answer does not get everything.
    pub beginning: bool,
    /// What is under way on a slot.
    pub busy: &'a BTreeMap<(PoolId, Slot), Activity>,
    /// Containers whose removal is under way.
    pub leaving: &'a BTreeSet<(HostId, ContainerId)>,
}

/// What follows from it.
#[derive(Debug, Default)]
pub struct Plan {
    /// Containers to be made, or to be asked how they ended.
    pub steps: Vec<Step>,
    /// Containers to be removed, in this order.
    pub removals: Vec<Removal>,
    /// New records, with a sentence for the journal if it is worth one.
    pub updates: Vec<(Instance, Option<String>)>,
    /// Slots whose record goes: not wanted, and nothing of them is left.
    pub forgotten: Vec<(PoolId, Slot)>,
    /// Pools that were taken down and of which nothing is left.
    pub gone: Vec<PoolId>,
    /// The state of every pool that was planned.
    pub pools: BTreeMap<PoolId, PoolView>,
    /// When to look again, if nothing else happens before.
    pub wake_at: Option<Millis>,
    /// The same by pool.
    pub wakes: Vec<(PoolId, Millis)>,
}

/// Works out the next steps of every pool. What they place is counted in `room`, which holds what is on record.
pub fn reconcile(input: &Input<'_>, room: &mut Room) -> Plan {
    let index = Index::of(&input.desired.install, input.hosts);
    reconcile_some(input, &index, input.desired.pools.keys(), room)
}

/// Works out the next steps of these pools only: of the others nothing has changed since they were planned last. `index` has
/// the lists of the input's hosts.
pub fn reconcile_some<'a>(
    input: &Input<'_>,
    index: &Index,
    pools: impl IntoIterator<Item = &'a PoolId>,
    room: &mut Room,
) -> Plan {
    room.wait_for_all = input.beginning;
    let mut plan = Plan::default();
    let mut wake_at = None;
    for pool in pools.into_iter().filter_map(|id| input.desired.pools.get(id)) {
        plan_pool(input, pool, &index.pool(&pool.id, input.hosts), room, &mut plan);
        if let Some(at) = plan.wake_at.take() {
            plan.wakes.push((pool.id.clone(), at));
            wake_at = earliest(wake_at, Some(at));
        }
    }
    plan.wake_at = wake_at;
    plan
}

fn plan_pool(input: &Input<'_>, pool: &Pool, seen: &Seen<'_>, room: &mut Room, plan: &mut Plan) {
    let records = input.desired.instances.get(&pool.id);
    let op = input.desired.running_on(&pool.id).map_or_else(Default::default, |o| o.id);
    let scene = Scene { now: input.now, pool, op, hosts: input.hosts };
    let mut view =
        PoolView { pool: pool.clone(), slots: Vec::new(), waits: Vec::new(), counts: Counts::default() };
    let mut budget = renewal_budget(input, pool, seen);
    let mut removals = Vec::new();
    for slot in 1..=pool.target() {
        let instance = records.and_then(|r| r.get(&slot));
        let ours = seen.slots.get(&slot).map_or(&[][..], Vec::as_slice);
        let activity = input.busy.get(&(pool.id.clone(), slot));
        let renewable = instance.is_some_and(|i| i.revision != pool.revision) && budget > 0;
        let decision = decide(&scene, slot, instance, ours, activity, room, renewable);
        if renewable && matches!(decision.status, SlotStatus::Stopping) {
            budget -= 1;
        }
        if let Some(instance) = instance
            && activity.is_none()
        {
            removals.extend(of_slot(ours, instance, input.now));
        }
        record(&mut view, plan, slot, instance, decision);
    }
    surplus(input, pool, seen, records, &mut view, plan, &mut removals);
    push_removals(input, pool, removals, plan);
    finish(input, pool, seen, view, plan);
}

/// How many slots may be renewed now: the pool's parallelism less those that do not serve already.
fn renewal_budget(input: &Input<'_>, pool: &Pool, seen: &Seen<'_>) -> u32 {
    let serving = |slot: &Slot| {
        let ours = seen.slots.get(slot).map_or(&[][..], Vec::as_slice);
        !input.busy.contains_key(&(pool.id.clone(), *slot))
            && ours.iter().any(|o| {
                o.container.state == State::Running
                    && matches!(o.container.health, Health::None | Health::Healthy)
            })
    };
    let away = (1..=pool.target()).filter(|slot| !serving(slot)).count();
    pool.spec.update_parallelism.max(1).saturating_sub(u32::try_from(away).unwrap_or(u32::MAX))
}

fn record(view: &mut PoolView, plan: &mut Plan, slot: Slot, instance: Option<&Instance>, decision: Decision) {
    let Decision { status, container, step, update, wake_at } = decision;
    let placed = match &step {
        Some(Step::Create { instance, .. }) => Some(instance),
        _ => instance,
    };
    view.slots.push(SlotView {
        slot,
        host: placed.map(|i| i.host.clone()),
        instance: placed.cloned(),
        container,
        status,
    });
    plan.steps.extend(step);
    plan.updates.extend(update);
    plan.wake_at = earliest(plan.wake_at, wake_at);
}

fn earliest(a: Option<Millis>, b: Option<Millis>) -> Option<Millis> {
    a.into_iter().chain(b).min()
}

/// Slots above the target: their containers go, then their records.
fn surplus<'a>(
    input: &Input<'_>,
    pool: &Pool,
    seen: &Seen<'a>,
    records: Option<&BTreeMap<Slot, Instance>>,
    view: &mut PoolView,
    plan: &mut Plan,
    removals: &mut Vec<(Ours<'a>, &'static str)>,
) {
    let above = (std::ops::Bound::Excluded(pool.target()), std::ops::Bound::Unbounded);
    let why = if pool.down { "its pool was taken down" } else { "its pool was scaled down" };
    let mut slots: BTreeSet<Slot> = seen.slots.range(above).map(|(slot, _)| *slot).collect();
    slots.extend(seen.lost.range(above).map(|(slot, _)| *slot));
    slots.extend(records.into_iter().flat_map(|r| r.range(above)).map(|(slot, _)| *slot));
    for slot in slots {
        let ours = seen.slots.get(&slot).map_or(&[][..], Vec::as_slice);
        let instance = records.and_then(|r| r.get(&slot));
        let lost = seen.lost.contains_key(&slot);
        let busy = input.busy.contains_key(&(pool.id.clone(), slot));
        removals.extend(ours.iter().map(|o| (*o, why)));
        let settled = instance.is_none_or(|i| input.hosts.get(&i.host).is_none_or(|h| h.is_live()));
        if ours.is_empty() && !lost && !busy && settled {
            if instance.is_some() {
                plan.forgotten.push((pool.id.clone(), slot));
            }
            continue;
        }
        let status =
            if ours.is_empty() && (lost || !settled) { SlotStatus::HostLost } else { SlotStatus::Stopping };
        view.counts.leaving += 1;
        view.slots.push(SlotView {
            slot,
            host: ours.first().map(|o| o.host.clone()).or_else(|| instance.map(|i| i.host.clone())),
            instance: instance.cloned(),
            container: ours.first().map(|o| o.container.id.clone()),
            status,
        });
    }
}

fn push_removals(
    input: &Input<'_>,
    pool: &Pool,
    mut removals: Vec<(Ours<'_>, &'static str)>,
    plan: &mut Plan,
) {
    removals.sort_by_key(|(ours, _)| removal_order(ours.container));
    for (ours, why) in removals {
        if input.leaving.contains(&(ours.host.clone(), ours.container.id.clone())) {
            continue;
        }
        plan.removals.push(Removal {
            host: ours.host.clone(),
            container: ours.container.id.clone(),
            pool: pool.id.clone(),
            tag: ours.tag.clone(),
            stop_ms: ours.is_alive().then_some(pool.spec.stop_grace_ms),
            why: why.to_owned(),
        });
    }
}

fn finish(input: &Input<'_>, pool: &Pool, seen: &Seen<'_>, mut view: PoolView, plan: &mut Plan) {
    let counts = &mut view.counts;
    counts.want = pool.target();
    let mut waits: BTreeMap<String, u32> = BTreeMap::new();
    for slot in view.slots.iter().filter(|s| s.slot <= pool.target()) {
        match &slot.status {
            SlotStatus::Running => {
                counts.running += 1;
                counts.healthy += 1;
            }
            SlotStatus::Checking => counts.running += 1,
            SlotStatus::Unhealthy => {
                counts.running += 1;
                counts.unhealthy += 1;
            }
            SlotStatus::HostLost | SlotStatus::AwaitingHost => counts.lost += 1,
            SlotStatus::Moving => {
                counts.running += 1;
                counts.healthy += 1;
            }
            SlotStatus::CrashLoop(_) | SlotStatus::BackOff(_) => counts.failing += 1,
            SlotStatus::Finished => counts.finished += 1,
            SlotStatus::Waiting(why) => *waits.entry(why.clone()).or_default() += 1,
            _ => {}
        }
        let failing = matches!(slot.status, SlotStatus::CrashLoop(_) | SlotStatus::BackOff(_));
        if let Some(cause) = slot.instance.as_ref().and_then(|i| i.cause.clone()).filter(|_| failing) {
            *waits.entry(cause).or_default() += 1;
        }
        if slot.status == SlotStatus::HostLost
            && let Some(host) = &slot.host
        {
            *waits
                .entry(format!("{host} does not answer; its containers are not replaced meanwhile"))
                .or_default() += 1;
        }
        if slot.instance.as_ref().is_some_and(|i| i.revision != pool.revision) {
            counts.outdated += 1;
        }
    }
    view.waits = waits.into_iter().map(|(why, slots)| Wait { slots, why }).collect();
    let nothing_left = seen.slots.is_empty() && seen.lost.is_empty() && view.slots.is_empty();
    if pool.down && nothing_left && !input.busy.keys().any(|(id, _)| *id == pool.id) {
        plan.gone.push(pool.id.clone());
    }
    plan.pools.insert(pool.id.clone(), view);
}
