//! One slot of a pool: what it is doing, and the next step towards what is wanted.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::base::clock::Millis;
use crate::base::ids::{ContainerId, HostId, OpId, Slot};
use crate::base::text::took;
use crate::model::container::{Health, State};
use crate::model::host::{HostView, Seen};
use crate::model::instance::{Instance, Phase};
use crate::model::placement::LossRule;
use crate::model::pool::Pool;
use crate::model::world::SlotStatus;
use crate::plan::loss::{Fate, Losses, fate, is_silent};
use crate::plan::moves::{self, Allow, Away, is_away, is_from};
use crate::plan::place::{Ask, Room};
use crate::plan::renew::{self, Renewal};
use crate::plan::restart::{Ended, after, is_ahead, is_crash_loop};
use crate::plan::surplus::{Ours, is_current};

/// What the engine is doing with a slot right now; while it does, nothing else is decided for that slot.
#[derive(Clone, Debug, PartialEq)]
pub enum Activity {
    /// The image is being pulled: thousandths done.
    Pulling(Option<u16>),
    /// The container is being made.
    Creating,
    /// The container is being started.
    Starting,
    /// It is being found out how it ended.
    Burying,
    /// The step is over, the list that shows its effect is not here yet.
    Settling,
    /// The engine did not answer in time: its list will tell what became of it.
    Unknown(String),
}

/// What the engine is doing with a slot, and on which host: which need not be the one on record, once what returned has been
/// taken back.
#[derive(Clone, Debug, PartialEq)]
pub struct Doing {
    /// What.
    pub activity: Activity,
    /// Where.
    pub host: HostId,
}

/// A step for the executor. Its record is durable before it is tried.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Make and start the container of this record (a new generation, or one that did not come to its end).
    Create {
        /// The record, as it is to be written first.
        instance: Instance,
        /// Why, in words.
        why: String,
    },
    /// Ask how the container of this record ended, and write it down.
    Bury {
        /// The record.
        instance: Instance,
        /// The container.
        container: ContainerId,
    },
}

impl Step {
    /// Where it happens.
    pub fn host(&self) -> &HostId {
        match self {
            Step::Create { instance, .. } | Step::Bury { instance, .. } => &instance.host,
        }
    }
}

/// What was decided for one slot.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    /// What the slot is doing.
    pub status: SlotStatus,
    /// Its container, if there is one.
    pub container: Option<ContainerId>,
    /// The host of that container, if it is not the record's.
    pub host: Option<HostId>,
    /// Why it is not where or as it should be, when the status does not say.
    pub why: Option<String>,
    /// The next step.
    pub step: Option<Step>,
    /// A new record, with the sentence for the journal, if it is worth one. No engine is asked for it.
    pub update: Option<(Instance, Option<String>)>,
    /// Nothing happens before this time by itself.
    pub wake_at: Option<Millis>,
}

impl Decision {
    pub(super) fn just(status: SlotStatus) -> Decision {
        Decision { status, container: None, host: None, why: None, step: None, update: None, wake_at: None }
    }

    pub(super) fn step(status: SlotStatus, step: Step) -> Decision {
        Decision { step: Some(step), ..Decision::just(status) }
    }
}

/// What a decision is made from.
pub struct Scene<'a> {
    /// The present.
    pub now: Millis,
    /// The pool.
    pub pool: &'a Pool,
    /// The operation that new generations belong to.
    pub op: OpId,
    /// The operation that wishes to move belong to.
    pub moves_op: OpId,
    /// Every host.
    pub hosts: &'a BTreeMap<HostId, Arc<HostView>>,
    /// What is lost, of all hosts together.
    pub losses: &'a Losses,
    /// Containers whose removal is under way.
    pub leaving: &'a BTreeSet<(HostId, ContainerId)>,
}

/// Decides for one slot that is wanted. `ours` are its containers on hosts that answer; `allow` is what its pool's limits
/// leave room for.
pub fn decide(
    scene: &Scene<'_>,
    slot: Slot,
    instance: Option<&Instance>,
    ours: &[Ours<'_>],
    activity: Option<&Activity>,
    room: &mut Room,
    allow: Allow,
) -> Decision {
    let Some(instance) = instance else {
        if let Some(activity) = activity {
            return Decision::just(working(activity));
        }
        if let Some(alive) = ours.iter().filter(|o| o.is_alive()).max_by_key(|o| o.tag.generation) {
            return adopt(scene, alive);
        }
        let seen = ours.iter().map(|o| o.tag.generation).max().unwrap_or(0);
        return place(scene, slot, seen.saturating_add(1), None, ours, "it is wanted", room);
    };
    let current = ours.iter().find(|o| is_current(o, instance));
    let mut decision = match activity {
        Some(activity) => Decision::just(working(activity)),
        None => decide_known(scene, instance, current, ours, room, allow),
    };
    decision.container = decision.container.or_else(|| current.map(|o| o.container.id.clone()));
    show_old(decision, instance, ours)
}

/// While the container that is moved away from serves and the new one does not, the slot shows the old one.
fn show_old(mut decision: Decision, instance: &Instance, ours: &[Ours<'_>]) -> Decision {
    let begun = match &decision.step {
        Some(Step::Create { instance: next, .. }) => next,
        _ => instance,
    };
    let Some(old) = ours.iter().find(|o| is_from(o, begun) && moves::serves(o)) else { return decision };
    if matches!(decision.status, SlotStatus::Running | SlotStatus::HostLost | SlotStatus::AwaitingHost) {
        return decision;
    }
    if let SlotStatus::Waiting(why) = &decision.status {
        decision.why = Some(why.clone());
    }
    let (container, host) = (Some(old.container.id.clone()), Some(old.host.clone()));
    Decision { status: SlotStatus::Moving, container, host, ..decision }
}

fn decide_known(
    scene: &Scene<'_>,
    instance: &Instance,
    current: Option<&Ours<'_>>,
    ours: &[Ours<'_>],
    room: &mut Room,
    allow: Allow,
) -> Decision {
    if let Some(decision) = moves::settle_rivals(scene, instance, current, ours)
        .or_else(|| moves::in_flight(scene, instance, current, ours))
        .or_else(|| moves::hopeless(scene, instance))
    {
        return decision;
    }
    // What it takes over from is not in the way of the new one.
    let others: Vec<Ours<'_>> = ours.iter().filter(|o| !is_from(o, instance)).copied().collect();
    let ours = &others[..];
    let host = scene.hosts.get(&instance.host);
    // What has ended for good is done, whatever has become of its host since.
    if is_done(scene, instance) && host.is_none_or(|h| is_silent(h)) {
        return Decision::just(SlotStatus::Finished);
    }
    let Some(host) = host else { return forgotten(scene, instance, ours, room) };
    match &host.seen {
        Seen::At(_) => {}
        Seen::Never { why: None } => {
            return Decision::just(SlotStatus::Waiting(format!("{} has not answered yet", instance.host)));
        }
        Seen::Never { .. } | Seen::Lost { .. } => return silent(scene, instance, host, ours, room, allow),
    }
    let Some(one) = current else { return missing(scene, instance, ours, room) };
    if instance.moved_from.is_some() {
        return present(scene, instance, one, ours, room, false);
    }
    match moves::begin(scene, instance, one, ours, room, allow) {
        Ok(decision) => decision,
        Err(why) => {
            let mut renew = allow.renew && !is_away(scene, &instance.host);
            let mut stays = None;
            if renew && renew::is_due(scene, instance, one) {
                match renew::renew(scene, instance, one, ours, room, allow) {
                    Renewal::EndFirst => {}
                    Renewal::Elsewhere(decision) => return *decision,
                    Renewal::Stays(why) => (renew, stays) = (false, why),
                }
            }
            Decision { why: why.or(stays), ..present(scene, instance, one, ours, room, renew) }
        }
    }
}

/// True when a slot has ended for good and nothing else is wanted of it since.
fn is_done(scene: &Scene<'_>, instance: &Instance) -> bool {
    instance.phase == Phase::Finished && instance.revision == scene.pool.revision
}

/// Its host was taken out of the inventory.
fn forgotten(scene: &Scene<'_>, instance: &Instance, ours: &[Ours<'_>], room: &mut Room) -> Decision {
    let why = format!("its host {} is not known any more", instance.host);
    // It may be known under another name now, which shows when every engine has said who it is.
    if let Some(untold) = scene.hosts.values().find(|h| is_untold(h)) {
        let why = format!("{why}, and {} has not answered yet", untold.config.id);
        return Decision::just(SlotStatus::Waiting(why));
    }
    if scene.pool.spec.loss_rule() == LossRule::Never {
        let why = format!(
            "{why}, and its pool's rule is never: add the host again, or bring the pool up with another rule (on_loss)"
        );
        return Decision::just(SlotStatus::Waiting(why));
    }
    place(scene, instance.slot, next_generation(instance, ours), Some(instance), ours, &why, room)
}

/// Its host does not answer.
fn silent(
    scene: &Scene<'_>,
    instance: &Instance,
    host: &HostView,
    ours: &[Ours<'_>],
    room: &mut Room,
    allow: Allow,
) -> Decision {
    let waits = |status, why| Decision {
        container: last_known(host, instance),
        why: Some(why),
        ..Decision::just(status)
    };
    let why = match fate(scene.losses, host, scene.pool, scene.now) {
        Fate::Wait { status, why, wake_at } => return Decision { wake_at, ..waits(status, why) },
        Fate::Replace { why, .. } => why,
    };
    let counts = instance.moved_from.as_ref().is_some_and(|f| is_silent_host(scene, &f.host));
    if !allow.replace && !counts {
        let at_once = scene.pool.spec.placement.on_loss.at_once.max(1);
        return waits(
            SlotStatus::HostLost,
            format!("{why}; its containers are being replaced, {at_once} at a time"),
        );
    }
    let decision =
        place(scene, instance.slot, next_generation(instance, ours), Some(instance), ours, &why, room);
    match decision.status {
        SlotStatus::Waiting(no_room) => waits(SlotStatus::HostLost, format!("{why}; {no_room}")),
        _ => decision,
    }
}

pub(super) fn is_silent_host(scene: &Scene<'_>, host: &HostId) -> bool {
    scene.hosts.get(host).is_some_and(|h| is_silent(h))
}

fn is_untold(host: &HostView) -> bool {
    match host.seen {
        Seen::Never { why: None } => true,
        Seen::At(_) => host.facts.engine_id.raw().is_empty(),
        Seen::Never { .. } | Seen::Lost { .. } => false,
    }
}

/// The class that a successor must have: that of the host which was lost, where the pool's rule says so.
fn class_of(scene: &Scene<'_>, lost: &HostId) -> Option<String> {
    let host = scene.hosts.get(lost).filter(|h| is_silent(h) && h.record.given_up.is_none())?;
    (scene.pool.spec.loss_rule() == LossRule::SameClass).then(|| host.class())?
}

/// A container of ours runs in a slot of which there is no record (it was on a host that had been forgotten, or the state
/// was restored): its labels are the record.
fn adopt(scene: &Scene<'_>, one: &Ours<'_>) -> Decision {
    let record = Instance::found(one.tag, one.host, scene.now);
    let sentence = format!("{}: found running on {} without a record, taken over", one.tag, one.host);
    Decision {
        container: Some(one.container.id.clone()),
        update: Some((record, Some(sentence))),
        ..Decision::just(SlotStatus::Starting)
    }
}

fn working(activity: &Activity) -> SlotStatus {
    match activity {
        Activity::Pulling(done) => SlotStatus::Pulling(*done),
        Activity::Creating => SlotStatus::Creating,
        Activity::Starting | Activity::Settling => SlotStatus::Starting,
        Activity::Burying => SlotStatus::Waiting("finding out how it ended".into()),
        Activity::Unknown(why) => {
            SlotStatus::Waiting(format!("outcome unknown, reading back by name: {why}"))
        }
    }
}

fn last_known(host: &HostView, instance: &Instance) -> Option<ContainerId> {
    let is_it = |c: &&crate::model::container::Container| match &c.owner {
        crate::model::container::Owner::Longshore(tag) => {
            tag.pool == instance.pool && tag.slot == instance.slot && tag.generation == instance.generation
        }
        _ => false,
    };
    host.containers.iter().find(is_it).map(|c| c.id.clone())
}

/// A record for a new generation on a host of its choice.
fn place(
    scene: &Scene<'_>,
    slot: Slot,
    generation: u32,
    before: Option<&Instance>,
    ours: &[Ours<'_>],
    why: &str,
    room: &mut Room,
) -> Decision {
    if ours.iter().any(Ours::is_alive) {
        return Decision::just(SlotStatus::Stopping);
    }
    let failed_on = before.map(|old| &old.host).filter(|host| scene.hosts.contains_key(*host));
    // A successor on another host takes over from what may still serve where it was.
    let moved_from = before.and_then(|old| match &old.moved_from {
        Some(from) => Some(from.clone()),
        None if old.phase == Phase::Finished => None,
        None => is_silent_host(scene, &old.host).then(|| moves::leaving(old)),
    });
    let left = moved_from.as_ref().map(|from| &from.host);
    let class = left.and_then(|host| class_of(scene, host));
    // What replaces another follows the pool's own way, whatever was asked for with the last change.
    let is_added = before.is_none_or(|old| old.op == scene.op && moved_from.is_none());
    let strategy = if is_added { scene.pool.strategy_in(scene.op) } else { scene.pool.strategy() };
    let wishes =
        Ask { avoid: failed_on, not_on: left, class: class.as_deref(), ..Ask::new(scene.pool, slot) };
    let ask = Ask { strategy, ..wishes };
    let host = match room.choose(&ask) {
        Ok(host) => host,
        Err(why) => return Decision::just(SlotStatus::Waiting(why)),
    };
    let fresh = Instance {
        pool: scene.pool.id.clone(),
        slot,
        generation,
        host,
        revision: scene.pool.revision,
        op: scene.op,
        phase: Phase::Intended,
        failures: before.map_or(0, |b| b.failures),
        retry_at: None,
        cause: before.and_then(|b| b.cause.clone()),
        since: scene.now,
        renewed: before.and_then(|old| old.renewed_as(scene.pool.revision, scene.now)),
        moved_from,
        move_to: None,
    };
    Decision::step(SlotStatus::Creating, Step::Create { instance: fresh, why: why.to_owned() })
}

/// The next generation on the same host, unless another revision is wanted meanwhile, which that host does not take.
fn again_or_elsewhere(
    scene: &Scene<'_>,
    instance: &Instance,
    ours: &[Ours<'_>],
    generation: u32,
    why: &str,
    room: &mut Room,
) -> Decision {
    let outdated = instance.revision != scene.pool.revision;
    let Some(refused) = outdated.then(|| renew::refused(scene, instance, room, true)).flatten() else {
        return again(scene, instance, ours, generation, why);
    };
    if let Some(why) = renew::tied(scene, &refused) {
        return Decision::just(SlotStatus::Waiting(why));
    }
    place(scene, instance.slot, next_generation(instance, ours), Some(instance), ours, &refused, room)
}

/// The next generation on the same host.
fn again(scene: &Scene<'_>, instance: &Instance, ours: &[Ours<'_>], generation: u32, why: &str) -> Decision {
    if ours.iter().any(|o| o.is_alive() && o.tag.generation != generation) {
        return Decision::just(SlotStatus::Stopping);
    }
    // The same generation is the same container, of which an earlier attempt may have left a part: its labels stay.
    let is_same = generation == instance.generation;
    let revision = if is_same { instance.revision } else { scene.pool.revision };
    let next = Instance {
        generation,
        revision,
        renewed: instance.renewed_as(revision, scene.now),
        op: if is_same { instance.op } else { scene.op },
        phase: Phase::Intended,
        retry_at: None,
        since: scene.now,
        ..instance.clone()
    };
    Decision::step(SlotStatus::Creating, Step::Create { instance: next, why: why.to_owned() })
}

/// The generation of an attempt that goes on with an intention: the same, unless another revision is wanted meanwhile.
fn resumed_generation(scene: &Scene<'_>, instance: &Instance, ours: &[Ours<'_>]) -> u32 {
    if instance.revision == scene.pool.revision {
        instance.generation
    } else {
        next_generation(instance, ours)
    }
}

fn next_generation(instance: &Instance, ours: &[Ours<'_>]) -> u32 {
    ours.iter().map(|o| o.tag.generation).max().unwrap_or(0).max(instance.generation).saturating_add(1)
}

/// Waits for the time of the next attempt; `None` when it has come.
fn not_yet(scene: &Scene<'_>, instance: &Instance) -> Option<Decision> {
    let at = instance.retry_at.filter(|at| is_ahead(*at, scene.now))?;
    let status = if is_crash_loop(instance) { SlotStatus::CrashLoop(at) } else { SlotStatus::BackOff(at) };
    Some(Decision { wake_at: Some(at), ..Decision::just(status) })
}

fn missing(scene: &Scene<'_>, instance: &Instance, ours: &[Ours<'_>], room: &mut Room) -> Decision {
    match instance.phase {
        Phase::Started => {
            let cause = "its container was removed outside of longshore".to_owned();
            let next = after(&scene.pool.spec.restart, instance, &Ended::Removed, cause.clone(), scene.now);
            let sentence = format!("{}.{}: {cause}", scene.pool.id, instance.slot);
            Decision {
                update: Some((next, Some(sentence))),
                wake_at: Some(scene.now),
                ..Decision::just(SlotStatus::BackOff(scene.now))
            }
        }
        Phase::Intended => not_yet(scene, instance).unwrap_or_else(|| {
            if instance.failures > 0 || is_away(scene, &instance.host) {
                let generation = next_generation(instance, ours);
                let decision = place(
                    scene,
                    instance.slot,
                    generation,
                    Some(instance),
                    ours,
                    if instance.failures > 0 { "its last attempt failed" } else { "its host is drained" },
                    room,
                );
                keep_generation_on_same_host(decision, instance)
            } else {
                let generation = resumed_generation(scene, instance, ours);
                let why = "it was intended and is not there";
                again_or_elsewhere(scene, instance, ours, generation, why, room)
            }
        }),
        Phase::Ended => not_yet(scene, instance).unwrap_or_else(|| {
            let why = instance.cause.clone().unwrap_or_else(|| "it ended".into());
            if instance.moved_from.is_some() || is_away(scene, &instance.host) {
                let generation = next_generation(instance, ours);
                return place(scene, instance.slot, generation, Some(instance), ours, &why, room);
            }
            again_or_elsewhere(scene, instance, ours, next_generation(instance, ours), &why, room)
        }),
        Phase::Finished if is_done(scene, instance) => Decision::just(SlotStatus::Finished),
        Phase::Finished => afresh(scene, instance, ours, room),
    }
}

/// What has ended for good begins again, because something else is wanted of it now: where it was, if that host may stay.
fn afresh(scene: &Scene<'_>, instance: &Instance, ours: &[Ours<'_>], room: &mut Room) -> Decision {
    let (generation, why) = (next_generation(instance, ours), "its specification has changed");
    match scene.hosts.get(&instance.host).map(|host| moves::away(host, scene.pool)) {
        Some(Away::Yes { .. }) => place(scene, instance.slot, generation, Some(instance), ours, why, room),
        Some(Away::Tied(why)) => Decision::just(SlotStatus::Waiting(format!(
            "{why}; or let it run there again: `longshore hosts undrain {}`",
            instance.host
        ))),
        Some(Away::No) | None => again_or_elsewhere(scene, instance, ours, generation, why, room),
    }
}

/// A definite failure left nothing behind: the same name can be used again on the same host.
fn keep_generation_on_same_host(mut decision: Decision, before: &Instance) -> Decision {
    if let Some(Step::Create { instance, .. }) = &mut decision.step
        && instance.host == before.host
        && instance.revision == before.revision
    {
        (instance.generation, instance.op) = (before.generation, before.op);
    }
    decision
}

fn present(
    scene: &Scene<'_>,
    instance: &Instance,
    one: &Ours<'_>,
    ours: &[Ours<'_>],
    room: &mut Room,
    renew: bool,
) -> Decision {
    match one.container.state {
        State::Running => running(scene, instance, one, renew),
        State::Created => match not_yet(scene, instance) {
            Some(wait) => wait,
            None if is_away(scene, &instance.host) => {
                let generation = next_generation(instance, ours);
                let why = "its host is drained";
                place(scene, instance.slot, generation, Some(instance), ours, why, room)
            }
            None => {
                let generation = resumed_generation(scene, instance, ours);
                let why = "it was made and not started";
                again_or_elsewhere(scene, instance, ours, generation, why, room)
            }
        },
        State::Paused => Decision::just(SlotStatus::Paused),
        State::Restarting => Decision::just(SlotStatus::Starting),
        State::Removing => Decision::just(SlotStatus::Stopping),
        State::Unknown => Decision::just(SlotStatus::Waiting(
            "its engine reports a state that longshore does not know".into(),
        )),
        State::Exited | State::Dead => match instance.phase {
            Phase::Intended | Phase::Started => {
                let step = Step::Bury { instance: instance.clone(), container: one.container.id.clone() };
                Decision::step(SlotStatus::BackOff(scene.now), step)
            }
            Phase::Ended | Phase::Finished => missing(scene, instance, ours, room),
        },
    }
}

fn running(scene: &Scene<'_>, instance: &Instance, one: &Ours<'_>, renew: bool) -> Decision {
    let healthy = match one.container.health {
        Health::Unhealthy => SlotStatus::Unhealthy,
        Health::Starting => SlotStatus::Checking,
        Health::None | Health::Healthy => SlotStatus::Running,
    };
    let outdated = instance.revision != scene.pool.revision;
    let record = |phase| Instance { phase, retry_at: None, since: scene.now, ..instance.clone() };
    match (instance.phase, one.container.health) {
        (Phase::Intended, _) => {
            let next = Instance { retry_at: None, ..instance.begun(scene.now) };
            Decision { update: Some((next, None)), ..Decision::just(healthy) }
        }
        (Phase::Started | Phase::Finished, _) if outdated && renew => {
            let why = format!("revision {} replaces {}", scene.pool.revision, instance.revision);
            let next = Instance { retry_at: Some(scene.now), cause: Some(why), ..record(Phase::Ended) };
            Decision {
                update: Some((next, None)),
                wake_at: Some(scene.now),
                ..Decision::just(SlotStatus::Stopping)
            }
        }
        (Phase::Started, Health::Unhealthy) => {
            let ran_ms = scene.now.since(instance.since);
            let cause = format!("its health check failed after {}", took(ran_ms));
            let ended = Ended::Unhealthy { ran_ms: Some(ran_ms) };
            let next = after(&scene.pool.spec.restart, instance, &ended, cause.clone(), scene.now);
            let sentence = format!("{}.{}: {cause}", scene.pool.id, instance.slot);
            Decision {
                wake_at: next.retry_at,
                update: Some((next, Some(sentence))),
                ..Decision::just(healthy)
            }
        }
        (Phase::Ended, health) => match instance.retry_at {
            Some(at) if is_ahead(at, scene.now) && health != Health::Unhealthy && !outdated => {
                let sentence = format!("{}.{}: healthy again", scene.pool.id, instance.slot);
                Decision { update: Some((record(Phase::Started), Some(sentence))), ..Decision::just(healthy) }
            }
            Some(at) if is_ahead(at, scene.now) => Decision { wake_at: Some(at), ..Decision::just(healthy) },
            _ => Decision::just(SlotStatus::Stopping),
        },
        (Phase::Started | Phase::Finished, _) => Decision::just(healthy),
    }
}
