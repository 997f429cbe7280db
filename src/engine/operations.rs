//! What becomes of steps and operations: reports from the executor are written down, operations are judged by the world.

use std::sync::Arc;

use crate::base::fault::{Fault, Outcome};
use crate::base::ids::{HostId, OpId};
use crate::engine::core::{Busy, Core};
use crate::engine::execute::{Report, Took, describe};
use crate::engine::intake;
use crate::engine::pace::Clocked;
use crate::model::desired::Write;
use crate::model::instance::Instance;
use crate::model::journal::{Draft, What};
use crate::model::operation::{OpKind, OpStatus, Operation, Progress, STALLED_AFTER_MS, STUCK_AFTER_MS};
use crate::model::pool::RestartPolicy;
use crate::plan::progress::{PROVEN_AFTER_MS, Standing, of};
use crate::plan::restart::{Ended, after};
use crate::plan::slot::Activity;
use crate::plan::surplus::Removal;
use crate::ports::runtime::Ending;

/// A removal that failed is not tried again before this, in milliseconds.
const REMOVAL_REST_MS: u64 = 5_000;

/// Queued commands whose release could not be made durable are tried again after this, in milliseconds.
const WRITE_REST_MS: u64 = 1_000;

impl Core {
    /// Takes over a batch of reports: one transaction for all of them.
    pub(super) async fn settle(&mut self, reports: Vec<Report>) {
        let mut writes = Vec::new();
        for report in reports {
            match report {
                Report::Progress(instance, activity) => self.show(&instance, activity),
                Report::Started(instance, took) => self.started(&instance, took, &mut writes),
                Report::Failed(instance, fault) => self.failed(&instance, &fault, &mut writes),
                Report::Unknown(instance, fault) => self.unknown(&instance, &fault, &mut writes),
                Report::Pulled(instance, came) => self.pulled(&instance, &came, &mut writes),
                Report::NotPulled(instance, missed) => self.not_pulled(&instance, &missed, &mut writes),
                Report::Brought(name, done) => self.brought(&name, *done, &mut writes),
                Report::Cancelled(instance) => {
                    self.busy.remove(&(instance.pool.clone(), instance.slot));
                    writes.push(line(What::Outcome, &instance, "not wanted any more, not begun"));
                }
                Report::Buried(instance, ending) => self.buried(&instance, ending, &mut writes),
                Report::Warm(op, news) => self.warmed(op, news, &mut writes),
                Report::Removed(removal, result) => self.removed(&removal, &result, &mut writes),
            }
        }
        // A disk that says no is shown as trouble; the next observation leads to the same records again.
        let _ = self.write(writes).await;
        self.stir();
    }

    /// Forgets that a slot's step is under way only when a list that began after it has come.
    pub(super) fn settle_later(&mut self, instance: &Instance, activity: Activity) {
        let key = (instance.pool.clone(), instance.slot);
        let Some(observer) = self.observers.get(&instance.host) else {
            self.busy.remove(&key);
            return;
        };
        let settles = Some((instance.host.clone(), observer.refresh()));
        let cancelled = Arc::default();
        let (generation, host) = (instance.generation, instance.host.clone());
        self.busy.insert(key, Busy { activity, settles, cancelled, generation, host });
    }

    /// A host's times, to be added to.
    fn clocked(&mut self, host: &HostId) -> &mut Clocked {
        self.counted.insert(host.clone());
        self.clocked.entry(host.clone()).or_default()
    }

    fn show(&mut self, instance: &Instance, activity: Activity) {
        let key = (instance.pool.clone(), instance.slot);
        if let Some(busy) =
            self.busy.get_mut(&key).filter(|b| b.settles.is_none() && b.generation == instance.generation)
        {
            busy.activity = activity;
            self.stir();
        }
    }

    fn started(&mut self, instance: &Instance, took: Took, writes: &mut Vec<Write>) {
        let clocked = self.clocked(&instance.host);
        clocked.create.note(took.create_ms);
        clocked.start.note(took.start_ms);
        if let Some((bytes, ms)) = took.pull {
            let site = self.desired.records.get(&instance.host).and_then(|r| r.site.clone());
            self.speeds.note(site, false, bytes, ms);
        }
        self.settle_later(instance, Activity::Settling);
        let record = instance.begun(self.clock.now());
        writes.push(line(What::Outcome, instance, "made and started"));
        writes.push(Write::PutInstance(record));
    }

    pub(super) fn failed(&mut self, instance: &Instance, fault: &Fault, writes: &mut Vec<Write>) {
        self.settle_later(instance, Activity::Settling);
        let policy = self.policy(instance);
        let cause = fault.to_string();
        writes.push(line(What::Failed, instance, &cause));
        writes.push(Write::PutInstance(after(&policy, instance, &Ended::Failed, cause, self.clock.now())));
    }

    pub(super) fn unknown(&mut self, instance: &Instance, fault: &Fault, writes: &mut Vec<Write>) {
        let why = fault.to_string();
        writes.push(line(What::Unknown, instance, &format!("{why}; reading back by name")));
        self.settle_later(instance, Activity::Unknown(why));
    }

    fn buried(&mut self, instance: &Instance, ending: Result<Ending, Fault>, writes: &mut Vec<Write>) {
        self.settle_later(instance, Activity::Settling);
        // Gone or unreachable meanwhile: the next list decides.
        let Ok(ending) = ending else { return };
        let cause = describe(&ending);
        let ran_ms = ending.started.zip(ending.finished).map(|(started, finished)| finished.since(started));
        let ended = Ended::Exit { status: ending.exit, ran_ms };
        let next = after(&self.policy(instance), instance, &ended, cause.clone(), self.clock.now());
        writes.push(line(What::Observed, instance, &cause));
        writes.push(Write::PutInstance(next));
    }

    fn removed(&mut self, removal: &Removal, result: &Result<Option<u64>, Fault>, writes: &mut Vec<Write>) {
        if let Ok(Some(ms)) = result {
            self.clocked(&removal.host).remove.note(*ms);
        }
        let key = (removal.host.clone(), removal.container.clone());
        match self.observers.get(&removal.host) {
            Some(observer) => drop(self.leaving.insert(key.clone(), Some(observer.refresh()))),
            // Its host was forgotten meanwhile: no list will come that shows it gone.
            None => drop(self.leaving.remove(&key)),
        }
        let (what, text) = match result {
            Ok(_) => (What::Outcome, "removed".to_owned()),
            Err(fault) => {
                self.rest.insert(key, self.clock.now().plus(REMOVAL_REST_MS));
                let what = if fault.is_unknown() { What::Unknown } else { What::Failed };
                (what, format!("not removed: {fault}"))
            }
        };
        let text = format!("{} g{}: {text}", removal.tag, removal.tag.generation);
        writes.push(Write::Journal(
            Draft::engine(what, text).slot(&removal.pool, removal.tag.slot).host(&removal.host),
        ));
    }

    fn policy(&self, instance: &Instance) -> RestartPolicy {
        self.desired.pools.get(&instance.pool).map(|p| p.spec.restart.clone()).unwrap_or_default()
    }

    /// Ends operations that have reached what they asked for, or cannot any more; names those that are stuck; releases
    /// those that waited.
    pub(super) async fn judge_operations(&mut self) -> Outcome<()> {
        let open: Vec<Operation> =
            self.desired.operations.values().filter(|o| !o.status.is_over()).cloned().collect();
        let now = self.clock.now();
        let mut writes = Vec::new();
        let mut open_moves = false;
        for op in open.iter().filter(|o| !matches!(o.status, OpStatus::Queued { .. })) {
            let (progress, standing) = self.standing(op, &mut writes);
            let moved = self.moved.entry(op.id).or_insert((Progress::default(), now));
            if moved.0 != progress {
                *moved = (progress.clone(), now);
            }
            let quiet_ms = now.since(moved.1);
            let status = match standing {
                Standing::Reached => OpStatus::Done,
                Standing::Failed(why) => OpStatus::Failed { why },
                Standing::TakenBack(None) => OpStatus::Cancelled,
                Standing::TakenBack(Some(by)) => OpStatus::Superseded { by },
                Standing::Stuck(why) if quiet_ms >= STUCK_AFTER_MS => OpStatus::Stalled { why },
                Standing::Stuck(_) => OpStatus::Running,
                Standing::Moving if quiet_ms >= STALLED_AFTER_MS && progress.next_batch.is_none() => {
                    OpStatus::Stalled {
                        why: format!("nothing has moved for {}", crate::base::text::took(quiet_ms)),
                    }
                }
                Standing::Moving => OpStatus::Running,
            };
            let next = Operation { status, progress, ..op.clone() };
            open_moves |= next.status == OpStatus::Running;
            if next.status.is_over() && self.is_active() {
                self.moved.remove(&op.id);
                writes.extend(end(next, now));
            } else if next != *op {
                self.desired.operations.insert(op.id, next);
            }
        }
        if open_moves {
            self.look_again_in(PROVEN_AFTER_MS);
        }
        self.write(writes).await?;
        if self.is_active() {
            self.release_queued().await?;
        }
        Ok(())
    }

    fn standing(&mut self, op: &Operation, writes: &mut Vec<Write>) -> (Progress, Standing) {
        if matches!(op.kind, OpKind::Prewarm(_)) {
            return self.warm_standing(op, writes);
        }
        if matches!(op.kind, OpKind::Drain { .. } | OpKind::Rebalance { .. }) {
            return self.moving(op, writes);
        }
        let pace = op.pools.first().and_then(|p| self.desired.pace_ms(p));
        let (progress, standing) = of(op, pace, self.clock.now(), |id| self.pools.get(id).map(Arc::as_ref));
        let all_gone = op.pools.iter().all(|p| !self.desired.pools.contains_key(p));
        let standing = match (&op.kind, all_gone) {
            (OpKind::Down, true) => Standing::Reached,
            (OpKind::Down, false) if standing == Standing::Reached => Standing::Moving,
            (_, true) => Standing::Failed("its pools are gone".into()),
            _ => standing,
        };
        (progress, standing)
    }

    async fn release_queued(&mut self) -> Outcome<()> {
        let over = |op: &OpId| self.desired.operations.get(op).is_none_or(|o| o.status.is_over());
        let ready: Vec<OpId> =
            self.desired.queued.iter().filter(|(_, q)| over(&q.behind)).map(|(id, _)| *id).collect();
        for id in ready {
            let Some(queued) = self.desired.queued.get(&id).cloned() else { continue };
            let now = self.clock.now();
            let writes = match intake::wait_on(&self.desired, id, &queued) {
                Some(writes) => writes,
                None => {
                    match intake::release(&self.desired, id, &queued, &|p, keep| self.going(p, keep), now) {
                        Ok(admission) if admission.accepted.op.is_some() => admission.writes,
                        Ok(_) => self.end_queued(id, &OpStatus::Done),
                        Err(refusal) => self.end_queued(id, &OpStatus::Failed { why: refusal.text }),
                    }
                }
            };
            if self.write(writes).await? {
                self.stir();
            } else {
                // Planning again at once would try for ever and hear nobody meanwhile.
                self.look_again_in(WRITE_REST_MS);
            }
        }
        Ok(())
    }

    fn end_queued(&self, id: OpId, status: &OpStatus) -> Vec<Write> {
        let op = self.desired.operations.get(&id).cloned();
        let mut writes: Vec<Write> = op
            .into_iter()
            .flat_map(|op| end(Operation { status: status.clone(), ..op }, self.clock.now()))
            .collect();
        writes.push(Write::DropQueued(id));
        writes
    }
}

pub(super) fn line(what: What, instance: &Instance, text: &str) -> Write {
    let text =
        format!("{}.{} g{} on {}: {text}", instance.pool, instance.slot, instance.generation, instance.host);
    Write::Journal(
        Draft::engine(what, text).slot(&instance.pool, instance.slot).host(&instance.host).op(instance.op),
    )
}

fn end(op: Operation, now: crate::base::clock::Millis) -> Vec<Write> {
    let why = match &op.status {
        OpStatus::Failed { why } => format!(": {why}"),
        _ => format!(" after {}", crate::base::text::took(now.since(op.at))),
    };
    let mut line =
        Draft::engine(What::Ended, format!("{} {} {}{why}", op.id, op.kind.word(), op.status.word()))
            .op(op.id);
    if let [pool] = op.pools.as_slice() {
        line = line.pool(pool);
    }
    vec![Write::PutOperation(Operation { ended: Some(now), ..op }), Write::Journal(line)]
}
