//! When rules run by themselves: at their times, when a registry told of a change, when one answers again. Decides; starts nothing.

use std::collections::{BTreeMap, BTreeSet};

use crate::base::clock::Millis;
use crate::base::ids::{RegistryName, RuleName};
use crate::engine::registry::hints::{Told, ToldBy};
use crate::model::host::Seen;
use crate::model::oci::Repository;
use crate::model::registry::RegistryView;
use crate::model::replication::{Cause, Rule, RunId, RunState, RunView, Trigger};
use crate::plan::replicate::filter::Selector;
use crate::plan::replicate::schedule;

/// A rule that runs on events and has no timer of its own compares everything this often: what events missed is found then.
pub const FULL_EVERY_MS: u64 = 3_600_000;
/// From the first hint to the run: what a push of several tags tells is one run.
pub const HINT_PAUSE_MS: u64 = 2_000;
/// A registry that comes and goes starts a rule at most this often.
pub const RETURN_APART_MS: u64 = 60_000;
/// A time that passed by more than this without a run was missed.
pub const MISSED_AFTER_MS: u64 = 60_000;
/// A run that could not be begun is tried again after this long.
const AGAIN_MS: u64 = 10_000;
/// A rule whose runs take longer than the time between them rests this long after each.
const REST_MS: u64 = 5_000;

/// A run that is to begin now.
#[derive(Clone, Debug, PartialEq)]
pub struct Start {
    /// Of this rule.
    pub rule: Rule,
    /// Why.
    pub cause: Cause,
    /// Only these repositories; `None` compares everything.
    pub only: Option<BTreeSet<Repository>>,
    /// Its time was then, which is long ago.
    pub late: Option<Millis>,
}

#[derive(Clone, Debug)]
struct Entry {
    rule: Rule,
    /// When its last comparison of everything began.
    since: Option<Millis>,
    /// Times before this do not count: the rule was made, or changed, then.
    known: Millis,
    /// What it wants to be where was changed then.
    content: Millis,
    /// When its last run was over.
    ended: Option<Millis>,
    /// A run goes on.
    running: bool,
    /// A run with this number was begun; it may not be seen yet.
    awaited: Option<RunId>,
    told: Option<(Told, Millis)>,
    returned: Option<Millis>,
    begun: Option<Millis>,
    rest_until: Option<Millis>,
    said: Option<String>,
    due: Option<Millis>,
    missed: Option<Millis>,
    /// The run whose times were taken last: each is taken once, so that times to come do not move on with the clock.
    taken: Option<(RunId, Option<Millis>)>,
}

/// All rules, and what would start them.
#[derive(Debug, Default)]
pub struct Triggers {
    rules: BTreeMap<RuleName, Entry>,
    lost: BTreeSet<RegistryName>,
}

/// The timer of a trigger.
fn timer(trigger: &Trigger) -> Trigger {
    let own = trigger.every_ms.is_some() || trigger.cron.is_some();
    let every_ms = if trigger.event && !own { Some(FULL_EVERY_MS) } else { trigger.every_ms };
    Trigger { every_ms, cron: trigger.cron.clone(), event: trigger.event }
}

fn runs_by_itself(rule: &Rule) -> bool {
    let t = &rule.trigger;
    rule.enabled && (t.event || t.every_ms.is_some() || t.cron.is_some())
}

/// True when both say the same of what is to be where.
pub(super) fn same_content(a: &Rule, b: &Rule) -> bool {
    let Rule { name, source, targets, two_way, filters, platforms, prefix, .. } = a;
    (name, source, targets, two_way) == (&b.name, &b.source, &b.targets, &b.two_way)
        && (filters, platforms, prefix) == (&b.filters, &b.platforms, &b.prefix)
}

impl Entry {
    fn new(rule: Rule, since: Option<Millis>, now: Millis) -> Entry {
        Entry {
            rule,
            since,
            known: since.unwrap_or(now),
            content: Millis(0),
            ended: None,
            running: false,
            awaited: None,
            told: None,
            returned: None,
            begun: None,
            rest_until: None,
            said: None,
            due: None,
            missed: None,
            taken: None,
        }
    }

    /// When its timer starts it next. A rule that never compared everything does so at once, if it does not wait for an hour.
    fn timer_due(&self, zone: &dyn Fn(Millis) -> i32) -> Option<Millis> {
        if !self.rule.enabled {
            return None;
        }
        let timer = timer(&self.rule.trigger);
        let every = timer.every_ms.map(|ms| self.since.map_or(self.known, |at| at.plus(ms).max(self.known)));
        let cron = Trigger { every_ms: None, ..timer };
        // What came while a run went on was not missed, and is not made up for.
        let after = self.known.max(self.since.unwrap_or(self.known)).max(self.ended.unwrap_or(self.known));
        // A line that makes no sense was refused as the rule was recorded.
        let cron = schedule::next(&cron, after, zone).ok().flatten();
        let due = every.into_iter().chain(cron).min()?;
        Some(due.max(self.ended.map_or(due, |at| at.plus(REST_MS))))
    }

    fn take_rule(&mut self, rule: &Rule, now: Millis) {
        if !same_content(&self.rule, rule) {
            (self.since, self.content) = (None, now);
        }
        if (self.rule.enabled, &self.rule.trigger) != (rule.enabled, &rule.trigger) || self.since.is_none() {
            self.known = now;
            self.missed = None;
        }
        self.rule = rule.clone();
        self.told = self.told.take().filter(|_| rule.enabled && rule.trigger.event);
        self.returned = self.returned.filter(|_| runs_by_itself(rule));
    }

    fn take_run(&mut self, run: Option<&RunView>) {
        let newest = run.filter(|r| self.awaited.is_none_or(|id| r.id >= id));
        self.running = newest.map_or(self.awaited.is_some(), |r| !r.state.is_over());
        let Some(run) = newest else { return };
        self.awaited = None;
        if self.taken.replace((run.id, run.ended)) == Some((run.id, run.ended)) {
            return;
        }
        // What began before the rule was changed compared something else.
        if run.cause != Cause::Event && run.began >= self.content {
            self.since = self.since.max(Some(run.began));
        }
        self.ended = self.ended.max(run.ended);
    }

    /// A clock that was set back leaves stamps that are still to come: they count as now.
    fn clamp(&mut self, now: Millis) {
        let Entry { since, known, content, ended, told, returned, begun, rest_until, missed, .. } = self;
        for at in [since, ended, returned, begun, missed] {
            *at = at.map(|at| at.min(now));
        }
        (*known, *content) = ((*known).min(now), (*content).min(now));
        if let Some((_, at)) = told {
            *at = (*at).min(now);
        }
        *rest_until = rest_until.map(|at| at.min(now.plus(AGAIN_MS)));
    }

    /// What starts it now.
    fn start(&self, now: Millis) -> Option<Start> {
        if self.running || self.rest_until.is_some_and(|at| at > now) {
            return None;
        }
        let start = |cause, only, late| Some(Start { rule: self.rule.clone(), cause, only, late });
        if self.return_due().is_some_and(|at| at <= now) {
            return start(Cause::Return, None, None);
        }
        if let Some(due) = self.due.filter(|due| *due <= now) {
            let late = Some(due).filter(|due| now.since(*due) > MISSED_AFTER_MS);
            return start(Cause::Schedule, None, late);
        }
        let (told, _) = self.told.as_ref().filter(|(_, at)| now.since(*at) >= HINT_PAUSE_MS)?;
        match told {
            Told::In(some) => start(Cause::Event, Some(some.clone()), None),
            Told::Anywhere => start(Cause::Event, None, None),
        }
    }

    fn return_due(&self) -> Option<Millis> {
        let returned = self.returned?;
        Some(self.begun.map_or(returned, |at| at.plus(RETURN_APART_MS).max(returned)))
    }

    /// When something may start it.
    fn wake(&self) -> Option<Millis> {
        if self.running {
            return None;
        }
        let told = self.told.as_ref().map(|(_, at)| at.plus(HINT_PAUSE_MS));
        let all = [self.due, told, self.return_due()].into_iter().flatten();
        all.min().map(|at| self.rest_until.map_or(at, |rest| at.max(rest)))
    }
}

impl Triggers {
    /// A rule was there when this engine began; it compared everything last then.
    pub fn remember(&mut self, rule: &Rule, since: Option<Millis>, now: Millis) {
        self.rules.insert(rule.name.clone(), Entry::new(rule.clone(), since, now));
    }

    /// What registries told.
    pub fn tell(&mut self, told: &ToldBy, now: Millis) {
        for entry in self.rules.values_mut() {
            let rule = &entry.rule;
            if !rule.enabled || !rule.trigger.event {
                continue;
            }
            let Ok(selector) = Selector::of(rule) else { continue };
            let heard =
                |name: &RegistryName| *name == rule.source || rule.two_way && rule.targets.contains(name);
            for (_, where_to) in told.iter().filter(|(name, _)| heard(name)) {
                let wanted = match where_to {
                    Told::Anywhere => Told::Anywhere,
                    Told::In(all) => {
                        Told::In(all.iter().filter(|r| selector.wants_repository(r)).cloned().collect())
                    }
                };
                if wanted == Told::In(BTreeSet::new()) {
                    continue;
                }
                match &mut entry.told {
                    Some((before, _)) => before.merge(wanted),
                    None => entry.told = Some((wanted, now)),
                }
            }
        }
    }

    /// How registries stand. One that answers again lets the rules compare that listen to it, or that failed meanwhile.
    pub fn see(&mut self, registries: &BTreeMap<RegistryName, RegistryView>, now: Millis) {
        self.lost.retain(|name| registries.contains_key(name));
        for (name, view) in registries {
            let answers = view.endpoints.iter().any(|e| matches!(e.seen, Seen::At(_)));
            let is_lost = view
                .endpoints
                .iter()
                .any(|e| matches!(e.seen, Seen::Lost { .. } | Seen::Never { why: Some(_) }));
            if !answers && is_lost {
                self.lost.insert(name.clone());
            } else if answers && self.lost.remove(name) {
                let touches = |r: &Rule| r.source == *name || r.targets.contains(name);
                for entry in self.rules.values_mut().filter(|e| touches(&e.rule) && runs_by_itself(&e.rule)) {
                    entry.returned = Some(now);
                }
            }
        }
    }

    /// Looks at all rules, each with the run that goes on or was the last, and says what begins now.
    pub fn look<'a>(
        &mut self,
        rules: impl Iterator<Item = (&'a Rule, Option<&'a RunView>)>,
        now: Millis,
        zone: &dyn Fn(Millis) -> i32,
    ) -> Vec<Start> {
        let (mut out, mut names) = (Vec::new(), BTreeSet::new());
        for (rule, run) in rules {
            names.insert(&rule.name);
            let entry =
                self.rules.entry(rule.name.clone()).or_insert_with(|| Entry::new(rule.clone(), None, now));
            let before = (entry.since, entry.known, entry.ended);
            entry.clamp(now);
            let is_new = entry.due.is_none();
            if entry.rule != *rule {
                entry.take_rule(rule, now);
                entry.due = entry.timer_due(zone);
            }
            entry.take_run(run);
            entry.clamp(now);
            if is_new || before != (entry.since, entry.known, entry.ended) {
                entry.due = entry.timer_due(zone);
            }
            // Of what only failed while a registry was away, nothing is to be done when it did not fail.
            let failed = run.is_some_and(|r| matches!(r.state, RunState::Failed | RunState::Incomplete));
            if !entry.running && !failed && !rule.trigger.event {
                entry.returned = None;
            }
            let late = entry.due.filter(|due| !entry.running && now.since(*due) > MISSED_AFTER_MS);
            entry.missed = entry.missed.or(late);
            out.extend(entry.start(now));
        }
        let gone: Vec<RuleName> = self.rules.keys().filter(|n| !names.contains(n)).cloned().collect();
        gone.iter().for_each(|name| drop(self.rules.remove(name)));
        out
    }

    /// A run has begun, or the one that went on was joined.
    pub fn begun(&mut self, start: &Start, id: RunId, now: Millis) {
        let Some(entry) = self.rules.get_mut(&start.rule.name) else { return };
        entry.awaited = Some(id);
        entry.running = true;
        (entry.begun, entry.rest_until, entry.said) = (Some(now), None, None);
        if start.only.is_none() {
            (entry.since, entry.returned, entry.missed) = (Some(now), None, None);
        }
        // What was told before it began is compared now.
        entry.told = None;
    }

    /// A run could not begin. True when these words are new.
    pub fn could_not(&mut self, start: &Start, why: &str, now: Millis) -> bool {
        let Some(entry) = self.rules.get_mut(&start.rule.name) else { return false };
        entry.rest_until = Some(now.plus(AGAIN_MS));
        entry.said.replace(why.to_owned()).as_deref() != Some(why)
    }

    /// When a rule runs by itself next, and which time it has missed.
    pub fn times(&self, rule: &RuleName) -> (Option<Millis>, Option<Millis>) {
        self.rules.get(rule).map_or((None, None), |e| (e.due, e.missed))
    }

    /// When to look again.
    pub fn wake(&self) -> Option<Millis> {
        self.rules.values().filter_map(Entry::wake).min()
    }
}

#[cfg(test)]
mod tests;
