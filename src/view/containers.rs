//! Containers as rows: the slots of a pool, or the members of a group that is not ours.

use crate::base::clock::Millis;
use crate::base::ids::{ContainerId, HostId, PoolId, Slot};
use crate::base::text;
use crate::model::container::{Container, Health, State};
use crate::model::host::HostView;
use crate::model::world::{PoolView, SlotStatus, SlotView, World};
use crate::view::units::Grade;

/// One slot of a pool, or one container.
#[derive(Clone, Debug, PartialEq)]
pub struct ContainerRow {
    /// The slot, for our own.
    pub slot: Option<Slot>,
    /// Its host, once it has one.
    pub host: Option<HostId>,
    /// Its container, once there is one.
    pub container: Option<ContainerId>,
    /// `web.1`, or the engine's name for it.
    pub name: String,
    /// What it does, in one or two words.
    pub state: String,
    /// Why it waits or fails, in one sentence.
    pub why: Option<String>,
    /// How it stands.
    pub grade: Grade,
    /// When its container was made.
    pub created: Option<Millis>,
    /// Thousandths of a core.
    pub cpu_milli: Option<u64>,
    /// Bytes.
    pub memory: Option<u64>,
    /// Thousandths of the image that are pulled.
    pub pulled: Option<u16>,
    /// Its host answers.
    pub live: bool,
}

/// The rows of a pool, by slot.
pub fn of_pool(world: &World, pool: &PoolId) -> Vec<ContainerRow> {
    world
        .pool(pool)
        .map_or_else(Vec::new, |view| view.slots.iter().map(|s| slot_row(world, view, s)).collect())
}

fn slot_row(world: &World, view: &PoolView, slot: &SlotView) -> ContainerRow {
    let host = slot.host.as_ref().and_then(|h| world.hosts.get(h));
    let container = host.zip(slot.container.as_ref()).and_then(|(h, c)| h.container(c));
    let usage = host.zip(slot.container.as_ref()).and_then(|(h, c)| h.usage.get(c));
    let (grade, mut why) = slot_grade(slot);
    if let (None, true, Some(instance)) = (&why, grade == Grade::Bad, &slot.instance) {
        why = instance.cause.as_deref().map(|c| text::safe(c).into_owned());
    }
    ContainerRow {
        slot: Some(slot.slot),
        host: slot.host.clone(),
        container: slot.container.clone(),
        name: format!("{}.{}", view.pool.id.pool, slot.slot),
        state: slot_word(slot, container),
        why,
        grade,
        created: container.map(|c| c.created),
        cpu_milli: usage.and_then(|u| u.cpu_milli),
        memory: usage.map(|u| u.memory),
        pulled: if let SlotStatus::Pulling(done) = slot.status { done } else { None },
        live: host.is_none_or(|h| h.is_live()),
    }
}

fn slot_word(slot: &SlotView, container: Option<&Container>) -> String {
    match (&slot.status, container.map(|c| c.health)) {
        (SlotStatus::Running, Some(Health::Healthy)) => "healthy".to_owned(),
        (SlotStatus::Pulling(Some(done)), _) => format!("pulling {}%", done / 10),
        (status, _) => status.word().to_owned(),
    }
}

fn slot_grade(slot: &SlotView) -> (Grade, Option<String>) {
    match &slot.status {
        SlotStatus::Waiting(why) => (Grade::Warn, Some(text::safe(why).into_owned())),
        SlotStatus::Pulling(_) | SlotStatus::Creating | SlotStatus::Starting | SlotStatus::Checking => {
            (Grade::Busy, None)
        }
        SlotStatus::Running => (Grade::Ok, None),
        SlotStatus::Unhealthy | SlotStatus::CrashLoop(_) | SlotStatus::BackOff(_) => (Grade::Bad, None),
        SlotStatus::Finished => (Grade::Off, None),
        SlotStatus::Paused => {
            (Grade::Warn, Some("frozen by somebody: docker unpause lets it go on".to_owned()))
        }
        SlotStatus::Stopping | SlotStatus::Moving => (Grade::Busy, None),
        SlotStatus::HostLost => (Grade::Lost, None),
        SlotStatus::AwaitingHost => {
            (Grade::Lost, Some("its pool's rule; giving the host up replaces it elsewhere".to_owned()))
        }
    }
}

/// The rows of any containers, in the order given; those that are gone are left out.
pub fn of_members(world: &World, members: &[(HostId, ContainerId)]) -> Vec<ContainerRow> {
    let row = |(id, container): &(HostId, ContainerId)| {
        let host = world.hosts.get(id)?;
        Some(any_row(host, host.container(container)?))
    };
    members.iter().filter_map(row).collect()
}

/// The row of a container that need not be ours.
pub fn any_row(host: &HostView, container: &Container) -> ContainerRow {
    let usage = host.usage.get(&container.id);
    let (state, grade) = match (container.state, container.health) {
        (State::Running, Health::Healthy) => ("healthy".to_owned(), Grade::Ok),
        (State::Running, Health::Unhealthy) => ("unhealthy".to_owned(), Grade::Bad),
        (State::Running, Health::Starting) => ("checking".to_owned(), Grade::Busy),
        (State::Running, Health::None) => ("running".to_owned(), Grade::Ok),
        (State::Exited, _) => match container.exit {
            Some(status) => (format!("exited {status}"), if status == 0 { Grade::Off } else { Grade::Bad }),
            None => ("exited".to_owned(), Grade::Off),
        },
        (State::Dead | State::Unknown, _) => (container.state.word().to_owned(), Grade::Bad),
        (state, _) => (state.word().to_owned(), Grade::Busy),
    };
    ContainerRow {
        slot: None,
        host: Some(host.config.id.clone()),
        container: Some(container.id.clone()),
        name: container.name.safe().into_owned(),
        state,
        why: None,
        grade: if host.is_live() { grade } else { Grade::Lost },
        created: Some(container.created),
        cpu_milli: usage.and_then(|u| u.cpu_milli),
        memory: usage.map(|u| u.memory),
        pulled: None,
        live: host.is_live(),
    }
}
