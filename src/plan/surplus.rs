//! Which containers have to go, and in which order.

use crate::base::clock::Millis;
use crate::base::ids::{ContainerId, HostId, PoolId};
use crate::model::container::{Container, Health, State, Tag};
use crate::model::instance::{Instance, Phase};
use crate::plan::moves::is_from;
use crate::plan::restart::is_ahead;

/// A container of ours on a host that answers, with what its labels say.
#[derive(Clone, Copy, Debug)]
pub struct Ours<'a> {
    /// Where it is.
    pub host: &'a HostId,
    /// What the engine says.
    pub container: &'a Container,
    /// What its labels say.
    pub tag: &'a Tag,
}

impl Ours<'_> {
    /// True while its program may still be doing something.
    pub fn is_alive(&self) -> bool {
        matches!(self.container.state, State::Running | State::Paused | State::Restarting)
    }
}

/// A container that has to go.
#[derive(Clone, Debug, PartialEq)]
pub struct Removal {
    /// Its host.
    pub host: HostId,
    /// Its id.
    pub container: ContainerId,
    /// Its pool.
    pub pool: PoolId,
    /// What its labels say.
    pub tag: Tag,
    /// It runs: it is asked to end first, and has so many milliseconds.
    pub stop_ms: Option<u64>,
    /// Why, in words.
    pub why: String,
}

/// The order of removal: not running first, then unhealthy, then the youngest.
pub fn removal_order(c: &Container) -> (bool, bool, std::cmp::Reverse<i64>) {
    (c.state == State::Running, c.health != Health::Unhealthy, std::cmp::Reverse(c.created.0))
}

/// True when a container is the one that an instance's record means.
pub fn is_current(one: &Ours<'_>, instance: &Instance) -> bool {
    one.tag.generation == instance.generation && *one.host == instance.host
}

/// Of the containers of one slot that is wanted: those that have to go. One dead predecessor is kept for its log, if its
/// host is not drained (`is_away`). The one that the record takes over from stays until it is taken over.
pub fn of_slot<'a>(
    all: &[Ours<'a>],
    instance: &Instance,
    now: Millis,
    is_away: impl Fn(&HostId) -> bool,
) -> Vec<(Ours<'a>, &'static str)> {
    let mut out = Vec::new();
    let mut dead: Vec<Ours<'a>> = Vec::new();
    for one in all.iter().filter(|o| !is_current(o, instance) && !is_from(o, instance)) {
        if is_away(one.host) {
            out.push((*one, "its host is drained"));
        } else if one.is_alive()
            || one.container.state == State::Created
            || one.tag.generation > instance.generation
        {
            out.push((*one, "it is not the wanted generation of its slot"));
        } else {
            dead.push(*one);
        }
    }
    dead.sort_by_key(|o| std::cmp::Reverse((o.tag.generation, o.container.created.0)));
    out.extend(dead.into_iter().skip(1).map(|o| (o, "only the last ended container of a slot is kept")));
    if instance.phase == Phase::Ended && !instance.retry_at.is_some_and(|at| is_ahead(at, now)) {
        let condemned = all.iter().filter(|o| is_current(o, instance) && o.is_alive());
        out.extend(condemned.map(|o| (*o, "it is being replaced")));
    }
    out
}

/// Of the containers of one slot on which something is under way: those that have to go already. Hosts that returned meanwhile
/// may have brought several that run; the newest of them stays until it is known what becomes of the slot.
pub fn of_busy_slot<'a>(all: &[Ours<'a>], instance: &Instance) -> Vec<(Ours<'a>, &'static str)> {
    let mut rivals: Vec<Ours<'a>> = all
        .iter()
        .filter(|o| o.is_alive() && !is_current(o, instance) && !is_from(o, instance))
        .copied()
        .collect();
    rivals.sort_by_key(|o| std::cmp::Reverse((o.tag.generation, o.container.created.0)));
    let why = "a newer one of its slot runs";
    rivals.into_iter().skip(1).map(|o| (o, why)).collect()
}
