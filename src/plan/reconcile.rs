//! Reconciliation: from all that is wanted and seen to the next steps, and to the state of every pool in words.
//!
//! It takes no input but the whole; what woke it is of no concern. So the path after a restart is the everyday path.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::base::clock::Millis;
use crate::base::ids::{ContainerId, HostId, OpId, PoolId, Slot};
use crate::model::desired::Desired;
use crate::model::host::HostView;
use crate::model::instance::{Instance, Phase};
use crate::model::operation::{OpKind, Operation};
use crate::model::pool::{Pool, STOP_GRACE_MS};
use crate::model::world::{Counts, PoolView, SlotStatus, SlotView, Wait};
use crate::plan::batch;
use crate::plan::loss::{Losses, is_silent, is_tied};
use crate::plan::misplaced;
use crate::plan::moves::{self, Allow};
use crate::plan::place::Room;
use crate::plan::restart::is_ahead;
use crate::plan::seen::{Index, Seen};
use crate::plan::slot::{Activity, Decision, Doing, Scene, Step, decide};
use crate::plan::surplus::{Ours, Removal, of_busy_slot, of_slot, removal_order};

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
    pub busy: &'a BTreeMap<(PoolId, Slot), Doing>,
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
    reconcile_all(input, &index, room)
}

/// The same with an index that is kept. `index` has the lists of the input's hosts.
pub fn reconcile_all(input: &Input<'_>, index: &Index, room: &mut Room) -> Plan {
    let unknown = index.pools().filter(|id| !input.desired.pools.contains_key(*id));
    reconcile_some(input, index, input.desired.pools.keys().chain(unknown), room)
}

/// Works out the next steps of these pools only: of the others nothing has changed since they were planned last.
pub fn reconcile_some<'a>(
    input: &Input<'_>,
    index: &Index,
    pools: impl IntoIterator<Item = &'a PoolId>,
    room: &mut Room,
) -> Plan {
    room.wait_for_all = input.beginning;
    let losses = Losses::of(input.desired, input.hosts, input.now);
    let mut plan = Plan::default();
    let mut wake_at = None;
    for id in pools {
        let seen = index.pool(id, input.hosts);
        match input.desired.pools.get(id) {
            Some(pool) => plan_pool(input, pool, &seen, &losses, room, &mut plan),
            None => left_behind(input, id, &seen, &mut plan),
        }
        if let Some(at) = plan.wake_at.take() {
            plan.wakes.push((id.clone(), at));
            wake_at = earliest(wake_at, Some(at));
        }
    }
    plan.wake_at = wake_at;
    plan
}

/// Containers of a pool that was taken down while their host was away. (Of a pool that this state has never known, nothing is
/// touched: an older state may have been restored.)
fn left_behind(input: &Input<'_>, id: &PoolId, seen: &Seen<'_>, plan: &mut Plan) {
    if !input.desired.revisions.contains_key(id) {
        return;
    }
    for ours in seen.slots.values().flatten() {
        if input.leaving.contains(&(ours.host.clone(), ours.container.id.clone())) {
            continue;
        }
        plan.removals.push(removal(ours, STOP_GRACE_MS, "its pool was taken down while its host was away"));
    }
}

fn plan_pool(
    input: &Input<'_>,
    pool: &Pool,
    seen: &Seen<'_>,
    losses: &Losses,
    room: &mut Room,
    plan: &mut Plan,
) {
    let records = input.desired.instances.get(&pool.id);
    let op = input.desired.running_on(&pool.id).map_or_else(Default::default, |o| o.id);
    let scene = Scene {
        now: input.now,
        pool,
        op,
        moves_op: rebalancing(input.desired),
        hosts: input.hosts,
        losses,
        leaving: input.leaving,
    };
    let mut view = PoolView {
        pool: pool.clone(),
        slots: Vec::new(),
        waits: Vec::new(),
        misplaced: misplaced::of(input.desired, pool, room),
        next_batch: batch::next(pool, records, input.now),
        counts: Counts::default(),
    };
    let mut budget = Budget::of(input, pool, seen, records);
    if view.next_batch.is_some() {
        budget.renew = 0;
        plan.wake_at = earliest(plan.wake_at, view.next_batch);
    }
    let mut removals = Vec::new();
    for slot in pool.slots() {
        let instance = records.and_then(|r| r.get(&slot));
        let ours = seen.slots.get(&slot).map_or(&[][..], Vec::as_slice);
        let activity = under_way(input, pool, slot);
        let outdated = instance.is_some_and(|i| i.revision != pool.revision);
        let decision = decide(&scene, slot, instance, ours, activity, room, budget.allow(outdated));
        budget.spend(&scene, instance, &decision);
        match instance {
            Some(instance) if activity.is_some() => removals.extend(of_busy_slot(ours, instance)),
            Some(instance) if decision.update.is_none() => {
                let is_away = |host: &HostId| moves::is_drained(&scene, host);
                removals.extend(of_slot(ours, instance, input.now, is_away));
            }
            _ => {}
        }
        record(&mut view, plan, slot, instance, decision);
    }
    surplus(input, pool, seen, records, &mut view, plan, &mut removals);
    push_removals(input, pool, removals, plan);
    finish(input, pool, seen, view, plan);
}

/// What is under way on a slot. A step that is over, on a host that has fallen silent since, holds nothing up: no list will
/// come that shows its effect.
fn under_way<'a>(input: &'a Input<'_>, pool: &Pool, slot: Slot) -> Option<&'a Activity> {
    let Doing { activity, host } = input.busy.get(&(pool.id.clone(), slot))?;
    let is_over = matches!(activity, Activity::Settling | Activity::Unknown(_));
    let silent = input.hosts.get(host).is_some_and(|h| is_silent(h));
    (!(is_over && silent)).then_some(activity)
}

/// The rebalancing that is under way; number 0 when there is none.
fn rebalancing(desired: &Desired) -> OpId {
    let is_it = |o: &&Operation| matches!(o.kind, OpKind::Rebalance { .. }) && !o.status.is_over();
    desired.operations.values().rev().find(is_it).map_or_else(Default::default, |o| o.id)
}

/// What a pool's limits leave room for, slot by slot.
struct Budget {
    /// Slots that may be renewed, or stopped to move.
    renew: u32,
    /// Slots that may begin to move.
    go: u32,
    /// Containers beyond the wanted number, within the pool's maximum.
    surge: u32,
    /// Slots that may stop serving.
    stop: u32,
    /// Slots of lost hosts that may be replaced.
    replace: u32,
    /// Slots for which another host may be sought in vain: every one of them may look at every host.
    seek: u32,
}

/// So many slots of a pool look for another host in vain before the rest of them wait for the next plan.
const SEEK_IN_VAIN: u32 = 8;

impl Budget {
    fn of(
        input: &Input<'_>,
        pool: &Pool,
        seen: &Seen<'_>,
        records: Option<&BTreeMap<Slot, Instance>>,
    ) -> Budget {
        let (renew, serving) = renewal_budget(input, pool, seen, records);
        let moved = || records.into_iter().flat_map(BTreeMap::values).filter_map(|i| i.moved_from.as_ref());
        let lost = |host: &HostId| input.hosts.get(host).is_some_and(|h| is_silent(h));
        let replacing = u32::try_from(moved().filter(|f| lost(&f.host)).count()).unwrap_or(u32::MAX);
        let moving = u32::try_from(moved().filter(|f| !lost(&f.host)).count()).unwrap_or(u32::MAX);
        let limits = &pool.spec.limits;
        let over = limits.max.map_or(u32::MAX, |max| max.saturating_sub(pool.target()));
        let min = limits.min.unwrap_or(0);
        // What is tied by its data stops first, and only when that is forced: then one may be away, whatever the minimum.
        let floor = if is_tied(pool) { min.min(pool.target().saturating_sub(1)) } else { min };
        Budget {
            renew,
            go: pool.spec.update_parallelism.max(1).saturating_sub(moving),
            surge: over.saturating_sub(moving),
            stop: serving.saturating_sub(floor).min(renew),
            replace: pool.spec.placement.on_loss.at_once.max(1).saturating_sub(replacing),
            seek: SEEK_IN_VAIN,
        }
    }

    fn allow(&self, outdated: bool) -> Allow {
        Allow {
            renew: outdated && self.renew > 0,
            go: self.go > 0,
            surge: self.surge > 0,
            stop: self.stop > 0,
            replace: self.replace > 0,
            seek: self.seek > 0,
        }
    }

    fn spend(&mut self, scene: &Scene<'_>, before: Option<&Instance>, decision: &Decision) {
        let had = before.is_some_and(|i| i.moved_from.is_some());
        if let Some(Step::Create { instance, .. }) = &decision.step
            && let Some(from) = instance.moved_from.as_ref().filter(|_| !had)
        {
            if scene.hosts.get(&from.host).is_some_and(|h| is_silent(h)) {
                self.replace = self.replace.saturating_sub(1);
            } else {
                self.go = self.go.saturating_sub(1);
                self.surge = self.surge.saturating_sub(1);
                let renews = before.is_some_and(|i| i.revision != scene.pool.revision);
                self.renew = self.renew.saturating_sub(u32::from(renews));
            }
        }
        if decision.why.is_some() && before.is_some_and(|i| i.revision != scene.pool.revision) {
            self.seek = self.seek.saturating_sub(1);
        }
        if let Some((next, _)) = &decision.update
            && decision.status == SlotStatus::Stopping
            && next.phase == Phase::Ended
        {
            self.renew = self.renew.saturating_sub(1);
            self.go = self.go.saturating_sub(1);
            self.stop = self.stop.saturating_sub(1);
        }
    }
}

/// How many slots may be renewed now: the pool's parallelism less those that do not serve already. Also how many serve.
fn renewal_budget(
    input: &Input<'_>,
    pool: &Pool,
    seen: &Seen<'_>,
    records: Option<&BTreeMap<Slot, Instance>>,
) -> (u32, u32) {
    // One that runs still, but is to end now, serves no more.
    let condemned = |slot: &Slot| {
        records
            .and_then(|r| r.get(slot))
            .is_some_and(|i| i.phase == Phase::Ended && !i.retry_at.is_some_and(|at| is_ahead(at, input.now)))
    };
    let serving = |slot: &Slot| {
        let ours = seen.slots.get(slot).map_or(&[][..], Vec::as_slice);
        under_way(input, pool, *slot).is_none() && !condemned(slot) && ours.iter().any(moves::serves)
    };
    let serving = pool.slots().filter(serving).count();
    let serving = u32::try_from(serving).unwrap_or(u32::MAX);
    let away = pool.target().saturating_sub(serving);
    (pool.spec.update_parallelism.max(1).saturating_sub(away), serving)
}

fn record(view: &mut PoolView, plan: &mut Plan, slot: Slot, instance: Option<&Instance>, decision: Decision) {
    let Decision { status, container, host, why, step, update, wake_at } = decision;
    let placed = match &step {
        Some(Step::Create { instance, .. }) => Some(instance),
        _ => instance,
    };
    view.slots.push(SlotView {
        slot,
        host: host.or_else(|| placed.map(|i| i.host.clone())),
        instance: placed.cloned(),
        container,
        status,
        why,
    });
    plan.steps.extend(step);
    plan.updates.extend(update);
    plan.wake_at = earliest(plan.wake_at, wake_at);
}

fn earliest(a: Option<Millis>, b: Option<Millis>) -> Option<Millis> {
    a.into_iter().chain(b).min()
}

/// Slots that are not wanted: their containers go, then their records.
fn surplus<'a>(
    input: &Input<'_>,
    pool: &Pool,
    seen: &Seen<'a>,
    records: Option<&BTreeMap<Slot, Instance>>,
    view: &mut PoolView,
    plan: &mut Plan,
    removals: &mut Vec<(Ours<'a>, &'static str)>,
) {
    let why = if pool.down { "its pool was taken down" } else { "its pool was scaled down" };
    let known = seen.slots.keys().chain(seen.lost.keys()).chain(records.into_iter().flat_map(|r| r.keys()));
    let slots: BTreeSet<Slot> = known.filter(|slot| !pool.wants(**slot)).copied().collect();
    for slot in slots {
        let ours = seen.slots.get(&slot).map_or(&[][..], Vec::as_slice);
        let instance = records.and_then(|r| r.get(&slot));
        let lost = seen.lost.contains_key(&slot);
        let busy = input.busy.contains_key(&(pool.id.clone(), slot));
        removals.extend(ours.iter().map(|o| (*o, why)));
        let told = |h: &Arc<HostView>| h.is_live() || h.record.given_up.is_some();
        let settled = instance.is_none_or(|i| input.hosts.get(&i.host).is_none_or(told));
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
            why: None,
        });
    }
    view.slots.sort_by_key(|s| s.slot);
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
        plan.removals.push(removal(&ours, pool.spec.stop_grace_ms, why));
    }
}

fn removal(ours: &Ours<'_>, grace_ms: u64, why: &str) -> Removal {
    Removal {
        host: ours.host.clone(),
        container: ours.container.id.clone(),
        pool: ours.tag.pool.clone(),
        tag: ours.tag.clone(),
        stop_ms: ours.is_alive().then_some(grace_ms),
        why: why.to_owned(),
    }
}

fn finish(input: &Input<'_>, pool: &Pool, seen: &Seen<'_>, mut view: PoolView, plan: &mut Plan) {
    let counts = &mut view.counts;
    counts.want = pool.target();
    let mut waits: BTreeMap<String, u32> = BTreeMap::new();
    for slot in view.slots.iter().filter(|s| pool.wants(s.slot)) {
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
        if let Some(why) = &slot.why {
            *waits.entry(why.clone()).or_default() += 1;
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
