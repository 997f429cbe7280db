//! One slot of a pool: what it is doing, and the next step towards what is wanted.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::base::clock::Millis;
use crate::base::ids::{ContainerId, HostId, OpId, Slot};
use crate::base::text::took;
use crate::model::container::{Health, State};
use crate::model::host::{HostView, Seen};
use crate::model::instance::{Instance, Phase};
use crate::model::pool::Pool;
use crate::model::world::SlotStatus;
use crate::plan::place::{Ask, Room};
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
    /// The next step.
    pub step: Option<Step>,
    /// A new record, with the sentence for the journal, if it is worth one. No engine is asked for it.
    pub update: Option<(Instance, Option<String>)>,
    /// Nothing happens before this time by itself.
    pub wake_at: Option<Millis>,
}

impl Decision {
    fn just(status: SlotStatus) -> Decision {
        Decision { status, container: None, step: None, update: None, wake_at: None }
    }

    fn step(status: SlotStatus, step: Step) -> Decision {
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
    /// Every host.
    pub hosts: &'a BTreeMap<HostId, Arc<HostView>>,
}

/// Decides for one slot that is wanted. `ours` are its containers on hosts that answer; `renew` allows to replace it
/// because its revision is old.
pub fn decide(
    scene: &Scene<'_>,
    slot: Slot,
    instance: Option<&Instance>,
    ours: &[Ours<'_>],
    activity: Option<&Activity>,
    room: &mut Room,
    renew: bool,
) -> Decision {
    let current = instance.and_then(|i| ours.iter().find(|o| is_current(o, i)));
    let container = current.map(|o| o.container.id.clone());
    if let Some(activity) = activity {
        return Decision { container, ..Decision::just(working(activity)) };
    }
    let Some(instance) = instance else {
        if let Some(alive) = ours.iter().filter(|o| o.is_alive()).max_by_key(|o| o.tag.generation) {
            return adopt(scene, alive);
        }
        let seen = ours.iter().map(|o| o.tag.generation).max().unwrap_or(0);
        return place(scene, slot, seen.saturating_add(1), None, ours, "it is wanted", room);
    };
    match scene.hosts.get(&instance.host).map(|h| &h.seen) {
        None => {
            let why = format!("its host {} is not known any more", instance.host);
            // It may be known under another name now, which shows when every engine has said who it is.
            if let Some(silent) = scene.hosts.values().find(|h| is_silent(h)) {
                let why = format!("{why}, and {} has not answered yet", silent.config.id);
                return Decision::just(SlotStatus::Waiting(why));
            }
            return place(scene, slot, next_generation(instance, ours), Some(instance), ours, &why, room);
        }
        Some(Seen::At(_)) => {}
        Some(Seen::Never { why: None }) => {
            return Decision::just(SlotStatus::Waiting(format!("{} has not answered yet", instance.host)));
        }
        Some(Seen::Never { .. } | Seen::Lost { .. }) => {
            let last = scene.hosts.get(&instance.host).and_then(|h| last_known(h, instance));
            return Decision { container: last, ..Decision::just(SlotStatus::HostLost) };
        }
    }
    let mut decision = match current {
        None => missing(scene, instance, ours, room),
        Some(one) => present(scene, instance, one, ours, room, renew),
    };
    decision.container = decision.container.or(container);
    decision
}

fn is_silent(host: &HostView) -> bool {
    match host.seen {
        Seen::Never { why: None } => true,
        Seen::At(_) => host.facts.engine_id.raw().is_empty(),
        Seen::Never { .. } | Seen::Lost { .. } => false,
    }
}

/// A container of ours runs in a slot of which there is no record (it was on a host that had been forgotten, or the state
/// was restored): its labels are the record.
fn adopt(scene: &Scene<'_>, one: &Ours<'_>) -> Decision {
    let record = Instance {
        pool: scene.pool.id.clone(),
        slot: one.tag.slot,
        generation: one.tag.generation,
        host: one.host.clone(),
        revision: one.tag.revision,
        op: one.tag.op,
        phase: Phase::Started,
        failures: 0,
        retry_at: None,
        cause: None,
        since: scene.now,
        moved_from: None,
        move_to: None,
    };
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
    let host = match room.choose(&Ask { avoid: failed_on, ..Ask::new(scene.pool, slot) }) {
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
        moved_from: None,
        move_to: None,
    };
    Decision::step(SlotStatus::Creating, Step::Create { instance: fresh, why: why.to_owned() })
}

/// The next generation on the same host.
fn again(scene: &Scene<'_>, instance: &Instance, ours: &[Ours<'_>], generation: u32, why: &str) -> Decision {
    if ours.iter().any(|o| o.is_alive() && o.tag.generation != generation) {
        return Decision::just(SlotStatus::Stopping);
    }
    // The same generation is the same container, of which an earlier attempt may have left a part: its labels stay.
    let is_same = generation == instance.generation;
    let next = Instance {
        generation,
        revision: if is_same { instance.revision } else { scene.pool.revision },
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
            if instance.failures > 0 {
                let generation = next_generation(instance, ours);
                let decision = place(
                    scene,
                    instance.slot,
                    generation,
                    Some(instance),
                    ours,
                    "its last attempt failed",
                    room,
                );
                keep_generation_on_same_host(decision, instance)
            } else {
                let generation = resumed_generation(scene, instance, ours);
                again(scene, instance, ours, generation, "it was intended and is not there")
            }
        }),
        Phase::Ended => not_yet(scene, instance).unwrap_or_else(|| {
            let why = instance.cause.clone().unwrap_or_else(|| "it ended".into());
            again(scene, instance, ours, next_generation(instance, ours), &why)
        }),
        Phase::Finished if instance.revision != scene.pool.revision => {
            again(scene, instance, ours, next_generation(instance, ours), "its specification has changed")
        }
        Phase::Finished => Decision::just(SlotStatus::Finished),
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
            None => {
                let generation = resumed_generation(scene, instance, ours);
                again(scene, instance, ours, generation, "it was made and not started")
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
            Decision { update: Some((record(Phase::Started), None)), ..Decision::just(healthy) }
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
