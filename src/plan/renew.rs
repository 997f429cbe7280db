//! Renewals: whether a slot's host takes what replaces its container, and what becomes of the slot if not.

use crate::model::container::{Health, State};
use crate::model::explain::{Filter, Refused};
use crate::model::instance::{Instance, Phase};
use crate::model::world::SlotStatus;
use crate::plan::loss::is_tied;
use crate::plan::moves::{self, Allow};
use crate::plan::place::{Ask, Room};
use crate::plan::slot::{Decision, Scene, Step};
use crate::plan::surplus::{Ours, is_current};

/// What becomes of a container of an old revision that may be renewed now.
#[derive(Debug)]
pub enum Renewal {
    /// It ends, then the new one is placed: where it was, if that host takes it.
    EndFirst,
    /// Its successor begins on another host, and it serves meanwhile.
    Elsewhere(Box<Decision>),
    /// It stays, for this reason; without one when that passes by itself.
    Stays(Option<String>),
}

/// Why its present host does not take what its pool now wants, were the slot not there already; `None` when it does, or when
/// the host has not said yet who it is. With `down`, nothing of a tied slot runs: that its host is cordoned or drained does
/// not keep it from its data.
pub fn refused(scene: &Scene<'_>, instance: &Instance, room: &mut Room, down: bool) -> Option<String> {
    let host = scene.hosts.get(&instance.host).filter(|h| !h.facts.engine_id.raw().is_empty())?;
    let why = room.refusals_but_own(host, &Ask::new(scene.pool, instance.slot));
    let counts = |refused: &Refused| !(down && is_tied(scene.pool) && refused.filter == Filter::Ready);
    let why: Vec<String> = why.into_iter().filter(counts).map(|refused| refused.why).collect();
    let (host, revision) = (&instance.host, scene.pool.revision);
    (!why.is_empty()).then(|| format!("{host} does not take revision {revision} ({})", why.join("; ")))
}

/// What a refusal means for a pool that is tied to its hosts; `None` for one that is not.
pub fn tied(scene: &Scene<'_>, refused: &str) -> Option<String> {
    let what =
        if scene.pool.spec.keeps_data() { "its data is there" } else { "its pool's rule ties it there" };
    is_tied(scene.pool).then(|| format!("{refused}, and {what}"))
}

/// True for a container that is renewed once its turn comes.
pub fn is_due(scene: &Scene<'_>, instance: &Instance, current: &Ours<'_>) -> bool {
    instance.revision != scene.pool.revision
        && current.container.state == State::Running
        && matches!(instance.phase, Phase::Started | Phase::Finished)
}

/// Decides about a container that is due, and whose turn it is.
pub fn renew(
    scene: &Scene<'_>,
    instance: &Instance,
    current: &Ours<'_>,
    ours: &[Ours<'_>],
    room: &mut Room,
    allow: Allow,
) -> Renewal {
    let Some(refused) = refused(scene, instance, room, false) else { return Renewal::EndFirst };
    if let Some(why) = tied(scene, &refused) {
        return Renewal::Stays(Some(why));
    }
    if !allow.seek {
        return Renewal::Stays(Some(refused));
    }
    let start_first = allow.surge
        && instance.phase == Phase::Started
        && current.container.health != Health::Unhealthy
        && !ours.iter().any(|o| o.is_alive() && !is_current(o, instance));
    if start_first && !allow.go {
        return Renewal::Stays(None);
    }
    // Also where it ends first: so the next slot of this plan does not count on the same place.
    let to = match room.choose(&Ask::new(scene.pool, instance.slot)) {
        Ok(to) => to,
        Err(why) => return Renewal::Stays(Some(format!("{refused}; {why}"))),
    };
    if !start_first {
        return Renewal::EndFirst;
    }
    let next = moves::successor(scene, instance, ours, to, scene.op);
    let step = Step::Create { instance: next, why: refused };
    Renewal::Elsewhere(Box::new(Decision::step(SlotStatus::Moving, step)))
}
