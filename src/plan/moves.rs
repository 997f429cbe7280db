//! Containers that go from one host to another: the new one serves before the old one ends. Drained hosts, lost hosts that
//! return and rebalancing all lead here.

use crate::base::clock::Millis;
use crate::base::ids::{HostId, OpId, PoolId};
use crate::model::container::{Health, State};
use crate::model::desired::Desired;
use crate::model::host::{Duty, HostView};
use crate::model::instance::{Instance, MovedFrom, Phase};
use crate::model::pool::Pool;
use crate::model::world::{PoolView, SlotStatus};
use crate::plan::loss::{is_silent, is_tied};
use crate::plan::place::{Ask, Room};
use crate::plan::progress::{PROVEN_AFTER_MS, ended_well};
use crate::plan::restart::back_off_ms;
use crate::plan::slot::{Decision, Scene, Step};
use crate::plan::surplus::{Ours, is_current};

/// What a pool's limits leave room for just now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Allow {
    /// A slot of an old revision may be renewed.
    pub renew: bool,
    /// One more slot may begin to move.
    pub go: bool,
    /// One container more than wanted is within the pool's maximum.
    pub surge: bool,
    /// One container fewer than serve now is within the pool's minimum.
    pub stop: bool,
    /// One more slot of a lost host may be replaced.
    pub replace: bool,
    /// Another host may be sought for one whose host does not take what replaces it.
    pub seek: bool,
}

/// Whether a container is to leave its host.
#[derive(Clone, Debug, PartialEq)]
pub enum Away {
    /// It stays.
    No,
    /// It is to go.
    Yes {
        /// On behalf of this operation.
        op: OpId,
        /// Although its pool's rule ties it to its host: then it ends before the new one begins.
        forced: bool,
    },
    /// It would, but its pool's rule ties it to its host; in these words.
    Tied(String),
}

/// Whether containers of this pool are to leave this host because it is drained.
pub fn away(host: &HostView, pool: &Pool) -> Away {
    let (op, force) = match &host.record.duty {
        Duty::Active | Duty::Cordoned { .. } => return Away::No,
        Duty::Draining { op, force, .. } => (*op, *force),
        Duty::Drained { .. } => (OpId::default(), false),
    };
    if is_tied(pool) && !force {
        let id = &host.config.id;
        let why = if pool.spec.keeps_data() { "keeps data on" } else { "is tied by its rule to" };
        return Away::Tied(format!("{why} {id}: `longshore hosts drain {id} --force` moves it all the same"));
    }
    Away::Yes { op, forced: is_tied(pool) }
}

/// True when containers of the scene's pool are to leave this host.
pub fn is_away(scene: &Scene<'_>, host: &HostId) -> bool {
    scene.hosts.get(host).is_some_and(|h| matches!(away(h, scene.pool), Away::Yes { .. }))
}

/// True for a host that is drained, or being drained: what is only kept for its log goes from there, whatever ties the rest.
pub fn is_drained(scene: &Scene<'_>, host: &HostId) -> bool {
    let drains = |h: &HostView| matches!(h.record.duty, Duty::Draining { .. } | Duty::Drained { .. });
    scene.hosts.get(host).is_some_and(|h| drains(h))
}

/// True while a container serves: it runs, and is healthy if it has a check.
pub fn serves(one: &Ours<'_>) -> bool {
    one.container.state == State::Running && matches!(one.container.health, Health::None | Health::Healthy)
}

/// True for the container that an instance takes over from.
pub fn is_from(one: &Ours<'_>, instance: &Instance) -> bool {
    instance.moved_from.as_ref().is_some_and(|f| *one.host == f.host && one.tag.generation == f.generation)
}

/// The content of [`Instance::moved_from`] for the successor of this record.
pub fn leaving(instance: &Instance) -> Box<MovedFrom> {
    let Instance { host, generation, revision, op, .. } = instance;
    Box::new(MovedFrom { host: host.clone(), generation: *generation, revision: *revision, op: *op })
}

fn update(status: SlotStatus, next: Instance, sentence: Option<String>, now: Millis) -> Decision {
    Decision { update: Some((next, sentence)), wake_at: Some(now), ..Decision::just(status) }
}

/// What is decided for a slot whose record has taken over from another container that may still be there. `None` leaves it
/// to what is decided for every slot, with `moved_from` kept.
pub fn in_flight(
    scene: &Scene<'_>,
    instance: &Instance,
    current: Option<&Ours<'_>>,
    ours: &[Ours<'_>],
) -> Option<Decision> {
    let from = instance.moved_from.as_deref()?;
    let name = format!("{}.{}", instance.pool, instance.slot);
    if current.is_some_and(serves) && instance.phase == Phase::Started {
        let proven = instance.since.plus(PROVEN_AFTER_MS);
        // (A start that lies ahead was noted before the clock was put back.)
        if scene.now < proven && scene.now >= instance.since {
            return Some(Decision { wake_at: Some(proven), ..Decision::just(SlotStatus::Running) });
        }
        let sentence = format!("{name}: moved from {} to {}", from.host, instance.host);
        let next = Instance { moved_from: None, move_to: None, ..instance.clone() };
        return Some(update(SlotStatus::Running, next, Some(sentence), scene.now));
    }
    let Some(old) = ours.iter().find(|o| is_from(o, instance) && o.is_alive()) else {
        let silent = scene.hosts.get(&from.host).is_some_and(|h| !h.is_live());
        // It may still be there: it is waited for as long as its host is known.
        let next = Instance { moved_from: None, ..instance.clone() };
        return (!silent).then(|| update(SlotStatus::Starting, next, None, scene.now));
    };
    if current.is_some_and(serves) && instance.phase == Phase::Intended {
        return None;
    }
    let target = scene.hosts.get(&instance.host);
    let has_failed = instance.failures > 0 || matches!(instance.phase, Phase::Ended | Phase::Finished);
    let is_wished = instance.move_to.as_ref() == Some(&instance.host) && !has_failed;
    let goes_on = is_away(scene, &from.host) || is_wished || from.revision != scene.pool.revision;
    if goes_on && target.is_some_and(|h| !is_silent(h)) {
        return (instance.phase == Phase::Finished).then(|| finished(scene, instance));
    }
    let why = match (target.is_some_and(|h| !is_silent(h)), &instance.cause) {
        (false, _) => format!("{} does not answer", instance.host),
        (true, Some(cause)) if has_failed => format!("on {}: {cause}", instance.host),
        _ => format!("it serves and the one on {} does not yet", instance.host),
    };
    let sentence = format!("{name}: the one on {} stays ({why})", from.host);
    Some(update(SlotStatus::Moving, Instance::found(old.tag, old.host, scene.now), Some(sentence), scene.now))
}

/// The new container ended and its restart policy has no other try, but the old one serves on a host that it must leave: one
/// that ended well has done its work; after a failure it is tried again, later each time.
fn finished(scene: &Scene<'_>, instance: &Instance) -> Decision {
    if ended_well(instance) {
        let next = Instance { moved_from: None, move_to: None, ..instance.clone() };
        return update(SlotStatus::Finished, next, None, scene.now);
    }
    let wait = back_off_ms(&scene.pool.spec.restart, instance.failures.max(2));
    let next = Instance { phase: Phase::Ended, retry_at: Some(scene.now.plus(wait)), ..instance.clone() };
    update(SlotStatus::Moving, next, None, scene.now)
}

/// Of two containers of one slot that serve (one was left behind on a host that has returned), the newer is the slot's. One
/// that is older is taken back while nothing newer runs.
pub fn settle_rivals(
    scene: &Scene<'_>,
    instance: &Instance,
    current: Option<&Ours<'_>>,
    ours: &[Ours<'_>],
) -> Option<Decision> {
    if instance.phase == Phase::Finished {
        return None;
    }
    let rivals = ours.iter().filter(|o| {
        !is_current(o, instance)
            && !is_from(o, instance)
            && serves(o)
            && o.tag.revision == scene.pool.revision
            && !scene.leaving.contains(&(o.host.clone(), o.container.id.clone()))
    });
    let best = rivals.max_by_key(|o| o.tag.generation)?;
    let newer = best.tag.generation > instance.generation;
    let older = best.tag.generation < instance.generation
        && !current.is_some_and(Ours::is_alive)
        && !is_away(scene, best.host);
    if !newer && !older {
        return None;
    }
    let word = if newer { "is newer" } else { "serves, and nothing newer does" };
    let sentence = format!("{}: found on {}, {word}: taken back", best.tag, best.host);
    Some(update(
        SlotStatus::Running,
        Instance::found(best.tag, best.host, scene.now),
        Some(sentence),
        scene.now,
    ))
}

/// A wish to move that cannot be met any more, and why.
pub fn hopeless(scene: &Scene<'_>, instance: &Instance) -> Option<Decision> {
    let to = instance.move_to.as_ref().filter(|_| instance.moved_from.is_none())?;
    let why = if *to == instance.host {
        None
    } else if scene.hosts.get(to).is_none_or(|h| is_silent(h)) {
        Some(format!("{to} does not answer"))
    } else if scene.hosts.get(&instance.host).is_none_or(|h| is_silent(h)) {
        Some(format!("{} does not answer", instance.host))
    } else if instance.failures > 0 || matches!(instance.phase, Phase::Ended | Phase::Finished) {
        Some(instance.cause.clone().unwrap_or_else(|| "it does not run".into()))
    } else {
        return None;
    };
    Some(dropped(scene, instance, why))
}

fn dropped(scene: &Scene<'_>, instance: &Instance, why: Option<String>) -> Decision {
    let sentence = why.map(|why| {
        let to = instance.move_to.as_ref().map_or("", |to| to.as_str());
        format!("{}.{}: not moved to {to}: {why}", instance.pool, instance.slot)
    });
    let next = Instance { move_to: None, ..instance.clone() };
    update(SlotStatus::Running, next, sentence, scene.now)
}

/// A running container that is to leave its host, or may. `Ok` is what is done for it; `Err` leaves it where it is for now,
/// for the given reason if there is one.
pub fn begin(
    scene: &Scene<'_>,
    instance: &Instance,
    current: &Ours<'_>,
    ours: &[Ours<'_>],
    room: &mut Room,
    allow: Allow,
) -> Result<Decision, Option<String>> {
    let host = scene.hosts.get(&instance.host).ok_or(None)?;
    let wish = instance.move_to.as_ref();
    let (op, forced, drained) = match away(host, scene.pool) {
        Away::Yes { op, forced } => (op, forced, true),
        Away::Tied(why) if wish.is_none() => return Err(Some(why)),
        Away::No | Away::Tied(_) if wish.is_some() => (scene.moves_op, false, false),
        Away::No | Away::Tied(_) => return Err(None),
    };
    if !drained && is_tied(scene.pool) {
        let why = "its pool's rule ties it to its host".to_owned();
        return Ok(dropped(scene, instance, Some(why)));
    }
    let movable = matches!(current.container.state, State::Running | State::Paused)
        && instance.phase == Phase::Started
        && current.container.health != Health::Unhealthy
        && !ours.iter().any(|o| o.is_alive() && !is_current(o, instance));
    if !movable || !allow.go {
        return Err(None);
    }
    let ask = Ask {
        not_on: Some(&instance.host),
        only: wish.filter(|_| !drained),
        ..Ask::new(scene.pool, instance.slot)
    };
    if forced || !allow.surge {
        if drained {
            return stop_first(scene, instance, room, &ask, allow);
        }
        let why = "its pool has its maximum already, and no container is ended for evenness".to_owned();
        return Ok(dropped(scene, instance, Some(why)));
    }
    let to = match room.choose(&ask) {
        Ok(to) => to,
        Err(why) if drained => return Err(Some(format!("cannot leave {}: {why}", instance.host))),
        Err(_) if room.wait_for_all => return Err(None),
        Err(why) => return Ok(dropped(scene, instance, Some(why))),
    };
    let move_to = (!drained).then(|| to.clone());
    let next = Instance { move_to, ..successor(scene, instance, ours, to, op) };
    let why = if drained { format!("{} is drained", instance.host) } else { "to rebalance".into() };
    Ok(Decision::step(SlotStatus::Moving, Step::Create { instance: next, why }))
}

/// The record of a container on another host that takes over from this one, which serves meanwhile.
pub fn successor(
    scene: &Scene<'_>,
    instance: &Instance,
    ours: &[Ours<'_>],
    to: HostId,
    op: OpId,
) -> Instance {
    Instance {
        generation: ours.iter().map(|o| o.tag.generation).max().unwrap_or(0).max(instance.generation) + 1,
        host: to,
        revision: scene.pool.revision,
        op,
        phase: Phase::Intended,
        failures: 0,
        retry_at: None,
        cause: None,
        since: scene.now,
        renewed: instance.renewed_as(scene.pool.revision, scene.now),
        moved_from: Some(leaving(instance)),
        move_to: None,
        ..instance.clone()
    }
}

/// Ends the old container before the new one begins: the same data cannot be used twice, or the pool is at its maximum.
fn stop_first(
    scene: &Scene<'_>,
    instance: &Instance,
    room: &Room,
    ask: &Ask<'_>,
    allow: Allow,
) -> Result<Decision, Option<String>> {
    if !allow.stop {
        return Err(too_few(scene.pool, &instance.host));
    }
    // Only asked: what is on trial in `room` is the whole plan.
    if room.wait_for_all || !scene.hosts.values().any(|h| room.refusals(h, ask).is_empty()) {
        return Err(Some(format!("cannot leave {}: no other host can take it", instance.host)));
    }
    let cause = format!("{} is drained", instance.host);
    let next = Instance {
        phase: Phase::Ended,
        retry_at: Some(scene.now),
        cause: Some(cause),
        since: scene.now,
        ..instance.clone()
    };
    Ok(update(SlotStatus::Stopping, next, None, scene.now))
}

/// Why none may stop first just now; `None` when that passes by itself.
fn too_few(pool: &Pool, host: &HostId) -> Option<String> {
    let (id, target, min) = (&pool.id, pool.target(), pool.spec.limits.min.unwrap_or(0));
    let full = pool.spec.limits.max.filter(|max| *max <= target && !is_tied(pool));
    let Some(max) = full else {
        let why = is_tied(pool)
            .then_some("its data lets it end only before its successor begins, and too few serve");
        return why.map(|why| format!("cannot leave {host} yet: {why}"));
    };
    if min < target {
        return Some(format!(
            "cannot leave {host} yet: its pool has its maximum ({max}), and too few of it serve"
        ));
    }
    let room = target.saturating_add(1);
    Some(format!(
        "cannot leave {host}: its pool has its maximum ({max}) and its minimum ({min}): let it have one more with `longshore set {id} max={room}`"
    ))
}

/// What keeps an operation that moves containers, slot by slot.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Left {
    /// Slots that still have to go.
    pub slots: u32,
    /// Of these, those that wait for something that does not come by itself.
    pub blocked: u32,
    /// What the first of these waits for.
    pub why: Option<String>,
}

/// What is left on the hosts that `is_from` names, or wishes to move; from the records and the pools' views.
pub fn left<'a>(
    desired: &Desired,
    is_meant: impl Fn(&Instance) -> bool,
    pool: impl Fn(&PoolId) -> Option<&'a PoolView>,
) -> Left {
    let mut left = Left::default();
    for (id, slots) in &desired.instances {
        let meant: Vec<&Instance> = slots.values().filter(|i| is_meant(i)).collect();
        if meant.is_empty() {
            continue;
        }
        let view = pool(id);
        for instance in meant {
            left.slots += 1;
            let slots = view.map_or(&[][..], |v| v.slots.as_slice());
            let slot = slots.iter().find(|s| s.slot == instance.slot);
            let why = slot.and_then(|s| match &s.status {
                SlotStatus::Waiting(why) => Some(why.clone()),
                _ => s.why.clone(),
            });
            if let Some(why) = why {
                left.blocked += 1;
                left.why.get_or_insert_with(|| format!("{id}.{} {why}", instance.slot));
            }
        }
    }
    left
}
