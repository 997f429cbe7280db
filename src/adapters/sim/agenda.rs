//! What is due on a host: the changes of its containers, told as events in order of time.

use std::collections::BTreeMap;

use crate::adapters::sim::Ms;
use crate::adapters::sim::chance::{chance, happens};
use crate::adapters::sim::host::HostState;
use crate::adapters::sim::unit::{Run, Unit};
use crate::base::ids::ContainerId;
use crate::model::container::Health;
use crate::ports::runtime::EngineEvent;

/// Changes that come by themselves, by time and then by the order in which they were fixed.
#[derive(Debug, Default)]
pub(super) struct Agenda {
    due: BTreeMap<(Ms, u64), (ContainerId, usize, Due)>,
    count: u64,
}

/// A change that comes by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    Start,
    Healthy,
    Sick,
    Die,
}

impl Agenda {
    /// Notes the changes of a container's last run that come after `now`.
    pub fn note(&mut self, unit: &Unit, now: Ms) {
        let Some((index, run)) = unit.runs.len().checked_sub(1).zip(unit.runs.last()) else { return };
        let times = [
            (Some(run.start), Due::Start),
            (run.healthy, Due::Healthy),
            (run.sick, Due::Sick),
            (run.end.as_ref().map(|end| end.at), Due::Die),
        ];
        for (at, due) in times {
            if let Some(at) = at.filter(|at| *at >= now) {
                self.add(at, &unit.id, index, due);
            }
        }
    }

    /// Notes one change.
    pub fn add(&mut self, at: Ms, id: &ContainerId, run: usize, due: Due) {
        self.count += 1;
        self.due.insert((at, self.count), (id.clone(), run, due));
    }

    /// When the next is due.
    pub fn next(&self) -> Option<Ms> {
        self.due.first_key_value().map(|((at, _), _)| *at)
    }

    fn pop(&mut self, now: Ms) -> Option<(Ms, ContainerId, usize, Due)> {
        self.next().filter(|at| *at <= now)?;
        let ((at, _), (id, run, due)) = self.due.pop_first()?;
        Some((at, id, run, due))
    }
}

impl HostState {
    /// Tells everything that was due until `now`.
    pub fn tell_due(&mut self, now: Ms) {
        while let Some((at, id, index, due)) = self.agenda.pop(now) {
            let Some(unit) = self.units.get(&id) else { continue };
            let Some(run) = unit.runs.get(index) else { continue };
            let oom = run.end.as_ref().is_some_and(|end| end.oom);
            if !still_true(unit, run, due, at) {
                continue;
            }
            match due {
                Due::Start => self.tell(&id, "start", at),
                Due::Healthy => self.tell(&id, "health_status: healthy", at),
                Due::Sick => self.tell(&id, "health_status: unhealthy", at),
                Due::Die => {
                    if oom {
                        self.tell(&id, "oom", at);
                    }
                    self.tell(&id, "die", at);
                }
            }
        }
    }

    /// Tells one event, or lies about it.
    pub fn tell(&mut self, id: &ContainerId, action: &str, at: Ms) {
        let event = EngineEvent { container: Some(id.clone()), action: action.into(), at: self.stamp(at) };
        self.told += 1;
        let lies = self.condition.lies;
        let mut dice = chance(&[self.seed, 2, self.told]);
        let (lost, twice, late) =
            (happens(&mut dice, lies.lost), happens(&mut dice, lies.twice), happens(&mut dice, lies.late));
        if lost {
            return;
        }
        if late && self.held.is_none() {
            self.held = Some(event);
            return;
        }
        let held = self.held.take();
        for event in [Some(event.clone()), twice.then_some(event), held].into_iter().flatten() {
            // Nobody listening is no fault: events are for those who have subscribed.
            let _ = self.events.send(event);
        }
        self.changed.send_modify(|n| *n += 1);
    }
}

/// An end may have been moved, a health check overruled, or the container ended before.
fn still_true(unit: &Unit, run: &Run, due: Due, at: Ms) -> bool {
    match due {
        Due::Start => run.start == at && run.end.as_ref().is_none_or(|end| end.at >= at),
        Due::Die => run.end.as_ref().is_some_and(|end| end.at == at),
        Due::Healthy => run.runs_at(at) && unit.health(at) == Health::Healthy,
        Due::Sick => run.runs_at(at) && unit.health(at) == Health::Unhealthy,
    }
}
