//! Puts the containers on the hosts that a scenario says are there from the start.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::adapters::sim::chance::{chance, number_of};
use crate::adapters::sim::host::{HostState, NewUnit, with_tag};
use crate::adapters::sim::images::SimImage;
use crate::adapters::sim::ms;
use crate::adapters::sim::scenario::{Belongs, Existing, Scenario};
use crate::adapters::sim::unit::{Bound, End, Run};
use crate::base::ids::{HostId, OpId, Slot};
use crate::model::container::{Owner, Tag};

/// Slots given so far, by the entry of the scenario.
pub(super) type SlotsGiven = BTreeMap<usize, Slot>;

/// Puts a host's part of what exists on it.
pub(super) fn populate(state: &mut HostState, scenario: &Scenario, slots: &mut SlotsGiven) {
    let host = state.host.clone();
    for (index, existing) in scenario.existing.iter().enumerate() {
        if !existing.hosts.is_empty() && !existing.hosts.contains(&host) {
            continue;
        }
        let name = with_tag(&existing.image);
        let plan = scenario.images.iter().find(|i| with_tag(&i.name) == name);
        state.images.entry(name.clone()).or_insert_with(|| SimImage::of(&name, plan));
        let checked =
            scenario.images.iter().any(|i| i.healthcheck && with_tag(&i.name) == with_tag(&existing.image));
        let mut behaviour = None;
        for number in 1..=existing.count {
            let slot = slots.entry(index).or_insert(0);
            *slot += 1;
            let (name, owner) = named(existing, &host, number, *slot);
            let behaviour = behaviour.get_or_insert_with(|| scenario.behaviour(&existing.image, &owner));
            let port = existing.port.filter(|_| number == 1).map(|published| Bound {
                ip: None,
                published,
                target: published,
                protocol: "tcp".into(),
            });
            let unit = NewUnit {
                name,
                image: existing.image.clone(),
                owner,
                spec: None,
                behaviour: Arc::clone(behaviour),
                checked,
                bound: port.into_iter().collect(),
            };
            settle_in(state, existing, unit, index);
        }
    }
}

/// Gives an existing container its past.
fn settle_in(state: &mut HostState, existing: &Existing, unit: NewUnit, index: usize) {
    let mut dice = chance(&[state.seed, 12, index as u64, number_of(&unit.name)]);
    let start = -ms(existing.age_s.pick(&mut dice).saturating_mul(1000));
    let id = state.put(unit, start);
    if let Some(exit) = existing.exited {
        let end = End { at: start / 2, exit, oom: false, by_itself: true };
        if let Some(unit) = state.units.get_mut(&id) {
            unit.runs.push(Run { start, healthy: None, sick: None, end: Some(end) });
        }
        return;
    }
    state.begin(&id, start, 0);
}

fn named(existing: &Existing, host: &HostId, number: u32, slot: Slot) -> (String, Owner) {
    match &existing.belongs {
        Belongs::Compose { project, service } => (
            format!("{project}_{service}_{number}"),
            Owner::Compose { project: project.as_str().into(), service: service.as_str().into() },
        ),
        Belongs::Swarm { service } => {
            let mut dice = chance(&[number_of(host.as_str()), number_of(service), u64::from(number)]);
            let task = crate::adapters::sim::chance::hex(&mut dice, 24);
            (format!("{service}.{slot}.{task}"), Owner::Swarm { service: service.as_str().into() })
        }
        Belongs::Loose { name } if existing.count == 1 => (name.clone(), Owner::Nobody),
        Belongs::Loose { name } => (format!("{name}-{number}"), Owner::Nobody),
        Belongs::Pool { install, pool } => {
            let tag = Tag {
                install: install.clone(),
                pool: pool.clone(),
                slot,
                generation: 1,
                revision: 1,
                op: OpId(1),
            };
            (tag.container_name(), Owner::Longshore(tag))
        }
    }
}
