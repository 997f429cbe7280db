//! Rules that run by themselves: begins what is due, tells the journal what failed and which times were missed, and shows both.

use std::sync::Arc;

use crate::base::clock::Millis;
use crate::base::fault::Outcome;
use crate::base::ids::RuleName;
use crate::base::stamp::rfc3339;
use crate::base::text::{bytes, count};
use crate::engine::core::Core;
use crate::engine::registry::Handle;
use crate::engine::registry::triggers::Start;
use crate::model::desired::Write;
use crate::model::journal::{Draft, What};
use crate::model::replication::{Cause, Rule, RunState, RunView};

/// The journal's line about the end of a run, if it needs one; the reason is kept so that the same one is told once.
fn end_line(run: &RunView, told: &mut Option<String>) -> Option<Draft> {
    let all = count(u64::from(run.compared), "tag");
    let tags = &run.tags;
    let open = tags.failed + tags.conflicts + tags.unknown;
    let reason = run.reason.as_ref().map(|r| format!(": {r}")).unwrap_or_default();
    let is_asked = matches!(run.cause, Cause::Person(_));
    match run.state {
        RunState::Failed | RunState::Incomplete => {
            let text = if run.state == RunState::Failed {
                format!("rule {} could not compare{reason}", run.rule)
            } else {
                format!("rule {} left {open} of {all} as they were{reason}", run.rule)
            };
            let is_new = told.replace(text.clone()).as_deref() != Some(&text);
            (is_new || is_asked).then(|| Draft::engine(What::Failed, format!("{}: {text}", run.id)))
        }
        RunState::Done => {
            let was_failing = told.take().is_some();
            let moved = if run.moved > 0 { format!(", {} moved", bytes(run.moved)) } else { String::new() };
            let text = format!("{}: rule {} is done: {all} as they should be{moved}", run.id, run.rule);
            (was_failing || is_asked).then(|| Draft::engine(What::Outcome, text))
        }
        RunState::Stopped => is_asked.then(|| {
            Draft::engine(What::Outcome, format!("{}: rule {} was stopped{reason}", run.id, run.rule))
        }),
        RunState::Comparing | RunState::Moving | RunState::Paused => None,
    }
}

impl Core {
    /// Takes over what is remembered of rules: their last runs, and when they compared everything.
    pub(super) async fn recall_rules(&mut self, handle: &Handle, rules: &[Rule]) -> Outcome<()> {
        let now = self.clock.now();
        for rule in rules {
            let past = handle.recall(rule).await?;
            self.layer.triggers.remember(rule, past.since, now);
            let views = &mut Arc::make_mut(&mut self.replication).rules;
            if let Some(view) = views.iter_mut().find(|view| view.rule.name == rule.name) {
                view.run = view.run.take().or(past.run);
            }
        }
        Ok(())
    }

    /// Begins the runs whose time has come, of which a registry told, or whose registry is back.
    ///
    /// # Errors
    /// Only when this core is fenced: then it must stop.
    pub(super) async fn begin_due_runs(&mut self) -> Outcome<()> {
        let Some(handle) = self.replication_handle() else { return Ok(()) };
        self.tell_ends(&handle).await?;
        let now = self.clock.now();
        let told = self.hints.take();
        self.layer.triggers.tell(&told, now);
        self.layer.triggers.see(&self.registries, now);
        let (replication, clock) = (self.replication.clone(), self.clock.clone());
        let rules = replication.rules.iter().map(|view| (&view.rule, view.run.as_ref()));
        let starts = self.layer.triggers.look(rules, now, &|at| clock.offset_min(at));
        for start in starts {
            self.begin_due(&handle, &start).await?;
        }
        self.show_times();
        if let Some(at) = self.layer.triggers.wake() {
            self.look_again_in(at.since(self.clock.now()).max(1));
        }
        Ok(())
    }

    async fn begin_due(&mut self, handle: &Handle, start: &Start) -> Outcome<()> {
        let (rule, name) = (start.rule.clone(), &start.rule.name);
        let begun = handle.start_some(rule, start.cause.clone(), start.only.clone()).await;
        let now = self.clock.now();
        let text = match begun {
            Ok(id) => {
                self.layer.triggers.begun(start, id, now);
                let Some(at) = start.late else { return Ok(()) };
                format!("rule {name} did not run at {}; {id} makes up for it", rfc3339(at))
            }
            Err(fault) => {
                let text = format!("rule {name} could not run: {fault}");
                if !self.layer.triggers.could_not(start, &text, now) {
                    return Ok(());
                }
                text
            }
        };
        self.write(vec![Write::Journal(Draft::engine(What::Failed, text))]).await.map(|_| ())
    }

    /// Tells the journal how runs have ended, where somebody wants to know.
    async fn tell_ends(&mut self, handle: &Handle) -> Outcome<()> {
        let mut lines = Vec::new();
        for run in handle.take_ended() {
            let mut told = self.layer.failing.remove(&run.rule);
            lines.extend(end_line(&run, &mut told).map(Write::Journal));
            if let Some(told) = told {
                self.layer.failing.insert(run.rule.clone(), told);
            }
        }
        self.write(lines).await.map(|_| ())
    }

    /// Brings when rules run next, and which times were missed, into what is shown.
    fn show_times(&mut self) {
        let times = |name: &RuleName| -> (Option<Millis>, Option<Millis>) { self.layer.triggers.times(name) };
        let differs = |name: &RuleName, shown: (Option<Millis>, Option<Millis>)| times(name) != shown;
        if !self.replication.rules.iter().any(|v| differs(&v.rule.name, (v.next, v.missed))) {
            return;
        }
        let triggers = &self.layer.triggers;
        for view in &mut Arc::make_mut(&mut self.replication).rules {
            (view.next, view.missed) = triggers.times(&view.rule.name);
        }
    }
}
