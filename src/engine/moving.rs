//! Operations that move containers: how a drain or a rebalancing stands, and when a host counts as drained.

use std::sync::Arc;

use crate::base::ids::{HostId, OpId};
use crate::engine::core::Core;
use crate::model::container::{Container, State, Tag};
use crate::model::desired::Write;
use crate::model::host::{Duty, HostRecord};
use crate::model::instance::{Instance, Phase};
use crate::model::journal::{Draft, What};
use crate::model::operation::{OpKind, Operation, Progress};
use crate::plan::loss::is_silent;
use crate::plan::moves::{Left, left};
use crate::plan::progress::Standing;

/// True for a record that lives on this host, or takes over from a container there. What has ended for good stays for its log.
fn is_on(instance: &Instance, host: &HostId) -> bool {
    let there = instance.host == *host && instance.phase != Phase::Finished;
    there || instance.moved_from.as_ref().is_some_and(|from| from.host == *host)
}

fn is_alive(state: State) -> bool {
    matches!(state, State::Running | State::Paused | State::Restarting)
}

impl Core {
    /// Where a drain or a rebalancing stands. Hosts on which nothing is left are marked as drained.
    pub(super) fn moving(&self, op: &Operation, writes: &mut Vec<Write>) -> (Progress, Standing) {
        let view = |id: &_| self.pools.get(id).map(Arc::as_ref);
        let OpKind::Drain { hosts } = &op.kind else {
            let wishes = |i: &Instance| i.move_to.is_some() || (i.op == op.id && i.moved_from.is_some());
            let left = left(&self.desired, wishes, view);
            let standing = match left.slots {
                0 if self.is_leaving(op.id) => Standing::Moving,
                0 => Standing::Reached,
                _ => standing(&left),
            };
            return (progress(op, &left), standing);
        };
        let duty = |host: &HostId| self.desired.records.get(host).map(|r| &r.duty);
        let ours = |host: &HostId| matches!(duty(host), Some(Duty::Draining { op: by, .. }) if *by == op.id);
        let open: Vec<&HostId> = hosts.iter().filter(|h| self.hosts.contains_key(*h) && ours(h)).collect();
        let mut left = left(&self.desired, |i| open.iter().any(|h| is_on(i, h)), view);
        for why in open.iter().filter_map(|host| self.runs_on(host)) {
            (left.slots, left.blocked) = (left.slots + 1, left.blocked + 1);
            left.why.get_or_insert(why);
        }
        let drained: Vec<&HostId> = open.iter().copied().filter(|host| self.is_empty(host)).collect();
        if self.is_active() {
            writes.extend(drained.iter().flat_map(|host| self.drained(host, op.id)));
        }
        let standing = if open.is_empty() {
            if hosts.iter().any(|h| matches!(duty(h), Some(Duty::Drained { .. }))) {
                Standing::Reached
            } else {
                let other = hosts.iter().find_map(|h| match duty(h) {
                    Some(Duty::Draining { op, .. }) => Some(*op),
                    _ => None,
                });
                Standing::TakenBack(other)
            }
        } else if drained.len() == open.len() {
            Standing::Reached
        } else if let Some(host) =
            open.iter().find(|h| self.is_gone(h)).filter(|_| left.slots == left.blocked)
        {
            let why = left.why.clone().unwrap_or_else(|| {
                format!("{host} does not answer: what is left on it cannot be seen; if it will not come back: `longshore hosts give-up {host}`")
            });
            Standing::Stuck(why)
        } else {
            standing(&left)
        };
        (progress(op, &left), standing)
    }

    /// True while a container is being removed whose successor this operation has made.
    fn is_leaving(&self, op: OpId) -> bool {
        let tag = |host: &HostId, id| self.hosts.get(host)?.container(id)?.owner.ours(&self.desired.install);
        self.leaving.keys().filter_map(|(host, id)| tag(host, id)).any(|tag| {
            let record = self.desired.instances.get(&tag.pool).and_then(|slots| slots.get(&tag.slot));
            record.is_some_and(|i| i.op == op && i.generation > tag.generation)
        })
    }

    /// A container on this host that runs although its slot has ended for good; in words.
    fn runs_on(&self, host: &HostId) -> Option<String> {
        let view = self.hosts.get(host).filter(|h| h.is_live())?;
        let runs = |c: &&Container| {
            is_alive(c.state) && c.owner.ours(&self.desired.install).is_some_and(|t| self.keeps(t, host))
        };
        let one = view.containers.iter().find(runs)?;
        Some(format!(
            "{} runs on {host}, unhealthy, and its restart policy makes no other: end it (docker stop {})",
            one.owner.ours(&self.desired.install)?,
            one.id.short()
        ))
    }

    /// True for the container of a record that has ended for good: it stays for its log.
    fn keeps(&self, tag: &Tag, host: &HostId) -> bool {
        let record = self.desired.instances.get(&tag.pool).and_then(|slots| slots.get(&tag.slot));
        record
            .is_some_and(|i| i.phase == Phase::Finished && i.host == *host && i.generation == tag.generation)
    }

    fn is_gone(&self, host: &HostId) -> bool {
        self.hosts.get(host).is_some_and(|h| is_silent(h))
    }

    /// Nothing of ours with a record is left on a host, and none of ours runs there. A host that does not answer is not empty,
    /// unless it was given up.
    fn is_empty(&self, host: &HostId) -> bool {
        let Some(view) = self.hosts.get(host) else { return false };
        let recorded = self.desired.instances.values().flat_map(|s| s.values()).any(|i| is_on(i, host));
        let busy = self.busy.values().any(|b| b.host == *host);
        let left = |c: &Container| {
            let tag = c.owner.ours(&self.desired.install);
            tag.is_some_and(|tag| {
                self.desired.revisions.contains_key(&tag.pool)
                    && (is_alive(c.state) || !self.keeps(tag, host))
            })
        };
        let running = || view.containers.iter().any(left);
        let seen = view.is_live() && !view.facts.engine_id.raw().is_empty();
        !recorded && !busy && (view.record.given_up.is_some() || (seen && !running()))
    }

    fn drained(&self, host: &HostId, op: OpId) -> Vec<Write> {
        let before = self.desired.records.get(host).map(|r| (**r).clone()).unwrap_or_default();
        let by = match &before.duty {
            Duty::Draining { by, .. } => by.clone(),
            _ => crate::model::journal::ENGINE.to_owned(),
        };
        let duty = Duty::Drained { by, at: self.clock.now() };
        let text = format!("host {host} is drained: nothing of ours is left to move from it");
        vec![
            Write::PutRecord(host.clone(), Box::new(HostRecord { duty, ..before })),
            Write::Journal(Draft::engine(What::Observed, text).host(host).op(op)),
        ]
    }
}

fn standing(left: &Left) -> Standing {
    match &left.why {
        Some(why) if left.blocked == left.slots => Standing::Stuck(why.clone()),
        _ => Standing::Moving,
    }
}

/// Counters of an operation that moves: the most that ever had to go, what has gone, what is left, and what blocks it.
fn progress(op: &Operation, left: &Left) -> Progress {
    let target = op.progress.target.max(left.slots);
    let moved = target - left.slots;
    Progress {
        target,
        placed: moved,
        created: moved,
        running: moved,
        healthy: moved,
        leaving: left.slots,
        reason: left.why.clone(),
        ..Progress::default()
    }
}
