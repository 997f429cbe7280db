//! Grants follow to every Harbor for which somebody has asked that: after each change of our list, and every few minutes, since
//! somebody may have changed something there. What cannot be brought is told, and tried again.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::{Mutex, oneshot};
use tokio::task::JoinSet;

use crate::base::clock::Millis;
use crate::base::fault::{Fault, Kind, Outcome};
use crate::base::ids::RegistryName;
use crate::engine::core::Core;
use crate::engine::execute::Report;
use crate::engine::registry::bring::{Came, Wanted, bring};
use crate::model::access::Access;
use crate::model::desired::Write;
use crate::model::harbor::access::Brought as List;
use crate::model::harbor::ask::{AccessChoices, HarborDone};
use crate::model::harbor::view::AccessView;
use crate::model::journal::{Draft, What};
use crate::model::query::Reply;
use crate::model::registry::{Registry, RegistryKind};

/// A Harbor that is as it should be is compared again after this long, in milliseconds.
const EVERY_MS: u64 = 5 * 60_000;
/// One that is behind is tried again after this long, in milliseconds.
const AGAIN_MS: u64 = 60_000;

/// What became of bringing our list to a Harbor.
#[derive(Debug)]
pub struct Brought {
    access: Arc<Access>,
    outcome: Outcome<Came>,
}

/// Grants that are on their way to Harbors.
#[derive(Default)]
pub(super) struct Bringing {
    under_way: BTreeMap<RegistryName, usize>,
    /// The list that was brought last, when, and whether that went well.
    last: BTreeMap<RegistryName, (Arc<Access>, Millis, bool)>,
    views: BTreeMap<RegistryName, AccessView>,
    /// One at a time to each.
    gates: BTreeMap<RegistryName, Arc<Mutex<()>>>,
}

impl Bringing {
    /// How a Harbor stands with our list.
    pub(super) fn view(&self, name: &RegistryName) -> AccessView {
        self.views.get(name).cloned().unwrap_or_default()
    }
}

impl Core {
    /// Begins to bring our list to each Harbor that it follows to and that may be behind.
    pub(super) async fn bring_access(&mut self) -> Outcome<()> {
        if !self.is_active() || self.desired.brought.is_empty() {
            return Ok(());
        }
        let now = self.clock.now();
        let names: Vec<RegistryName> = self.desired.brought.keys().cloned().collect();
        for name in names {
            if self.layer.bringing.under_way.contains_key(&name) {
                continue;
            }
            if let Some((access, at, well)) = self.layer.bringing.last.get(&name)
                && Arc::ptr_eq(access, &self.desired.access)
            {
                let pause = if *well { EVERY_MS } else { AGAIN_MS };
                let passed = now.since(*at);
                if passed < pause {
                    self.look_again_in(pause - passed);
                    continue;
                }
            }
            let found = self.desired.registries.get(&name).filter(|r| r.kind == RegistryKind::Harbor);
            if let Some(registry) = found.cloned() {
                self.begin_bringing(registry, AccessChoices::default(), None).await?;
            }
        }
        Ok(())
    }

    /// Brings it once. What may be there from now on is on record before anything is sent: what goes later goes there, too.
    pub(super) async fn begin_bringing(
        &mut self,
        registry: Registry,
        choices: AccessChoices,
        reply: Option<oneshot::Sender<Reply>>,
    ) -> Outcome<()> {
        let name = registry.name.clone();
        let access = self.desired.access.clone();
        let before = self.desired.brought.get(&name).cloned();
        let brought = before.clone().unwrap_or_default().and(&access);
        if before.as_ref() != Some(&brought) {
            let write = Write::PutBrought(name.clone(), Box::new(brought.clone()));
            if let Err(fault) = self.try_write(vec![write]).await {
                drop(reply.map(|reply| reply.send(Reply::Refused(fault.clone().into()))));
                return if self.fenced.is_some() { Err(fault) } else { Ok(()) };
            }
        }
        *self.layer.bringing.under_way.entry(name.clone()).or_default() += 1;
        let gate = self.layer.bringing.gates.entry(name.clone()).or_default().clone();
        let wanted = Wanted { access: access.clone(), brought, choices, by_hand: reply.is_some() };
        let (connector, now, reports) = (self.connector.clone(), self.clock.now(), self.executor.reports());
        let look = self.layer.harbors.alarm(&name);
        tokio::spawn(async move {
            let _turn = gate.lock().await;
            let work = async move { bring(&*connector, &registry, wanted, now).await };
            let outcome = to_its_end(work).await;
            let outcome = outcome.map_err(|fault| fault.because(format!("Harbor {name} cannot be compared")));
            let answer = reply.map(|reply| (reply, said(&outcome)));
            // The core takes reports until it ends, and then nothing is written any more.
            let _ = reports.send(Report::Brought(name, Box::new(Brought { access, outcome }))).await;
            if let Some(look) = look {
                look.notify_one();
            }
            if let Some((reply, answer)) = answer {
                let _ = reply.send(answer);
            }
        });
        Ok(())
    }

    /// Takes over what became of it: what was done is in the journal, what could not be done is told once and shown until it is.
    pub(super) fn brought(&mut self, name: &RegistryName, done: Brought, writes: &mut Vec<Write>) {
        if let Some(count) = self.layer.bringing.under_way.get_mut(name) {
            *count -= 1;
            if *count == 0 {
                self.layer.bringing.under_way.remove(name);
            }
        }
        let now = self.clock.now();
        let line = |what, text: &str| Write::Journal(Draft::engine(what, format!("Harbor {name}: {text}")));
        let (why, waiting) = match &done.outcome {
            Ok(came) => {
                writes.extend(came.lines.iter().map(|text| line(What::Outcome, text)));
                // Somebody may have said meanwhile that grants follow no more.
                if let Some(kept) = self.desired.brought.get(name) {
                    // (Another report that came with this one may have changed it.)
                    let kept = pending(writes, name).unwrap_or(kept);
                    let is_alone = !self.layer.bringing.under_way.contains_key(name);
                    let next = came.after(kept, &self.desired.access, is_alone);
                    if next != *kept {
                        writes.push(Write::PutBrought(name.clone(), Box::new(next)));
                    }
                }
                (together(&came.failed).map(|fault| fault.to_string()), came.waiting.clone())
            }
            Err(fault) => (Some(fault.to_string()), Vec::new()),
        };
        self.layer.bringing.last.insert(name.clone(), (done.access, now, why.is_none()));
        let view = match why {
            None => AccessView::Brought { at: now, waiting },
            Some(why) => {
                let (since, told) = match self.layer.bringing.view(name) {
                    AccessView::Behind { since, why: before } => (since, before.raw() == why),
                    _ => (now, false),
                };
                if !told {
                    writes.push(line(What::Failed, &format!("grants could not be brought there: {why}")));
                }
                AccessView::Behind { since, why: why.into() }
            }
        };
        self.show_access(name, Some(view));
    }

    /// Grants follow to it no more.
    pub(super) fn show_access(&mut self, name: &RegistryName, view: Option<AccessView>) {
        match view {
            Some(view) => drop(self.layer.bringing.views.insert(name.clone(), view)),
            None => {
                self.layer.bringing.views.remove(name);
                self.layer.bringing.last.remove(name);
            }
        }
        let view = self.layer.bringing.view(name);
        let registries = Arc::make_mut(&mut self.registries);
        if let Some(harbor) = registries.get_mut(name).and_then(|known| known.harbor.as_mut()) {
            harbor.access = view;
        }
        self.stir();
    }
}

/// What is to be remembered of a Harbor by writes that are not made yet.
fn pending<'a>(writes: &'a [Write], name: &RegistryName) -> Option<&'a List> {
    writes.iter().rev().find_map(|write| match write {
        Write::PutBrought(of, list) if of == name => Some(&**list),
        _ => None,
    })
}

/// What came of this work. That it died is an outcome as well: without a report, this Harbor would be under way for ever.
async fn to_its_end(work: impl Future<Output = Outcome<Came>> + Send + 'static) -> Outcome<Came> {
    let mut task = JoinSet::new();
    // (In a set, so that it ends with whoever waits for it.)
    let _ends = task.spawn(work);
    match task.join_next().await {
        Some(Ok(outcome)) => outcome,
        died => {
            let why = died.and_then(Result::err).map_or_else(String::new, |e| format!(": {e}"));
            Err(Fault::new(Kind::Bug, format!("bringing it broke off{why}")).hint("please report this"))
        }
    }
}

/// One fault of several.
fn together(failed: &[Fault]) -> Option<Fault> {
    let first = failed.first()?.clone();
    let others = failed.iter().skip(1).map(ToString::to_string);
    Some(others.fold(first, |fault, other| fault.with_reason(format!("also: {other}"))))
}

/// The answer to who asked for it.
fn said(outcome: &Outcome<Came>) -> Reply {
    let done = match outcome {
        Ok(came) => HarborDone {
            lines: came.lines.clone(),
            robots: came.robots.clone(),
            failed: together(&came.failed),
            ..HarborDone::nothing()
        },
        Err(fault) => HarborDone { failed: Some(fault.clone()), ..HarborDone::nothing() },
    };
    Reply::HarborDone(Box::new(done))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn work_that_dies_is_reported_too() {
        let fault = to_its_end(async { panic!("a fault of ours") }).await.map(drop).unwrap_err();
        assert_eq!(fault.kind, Kind::Bug);
        assert!(fault.to_string().contains("bringing it broke off"), "{fault}");
        assert!(to_its_end(async { Ok(Came::default()) }).await.is_ok());
    }
}
