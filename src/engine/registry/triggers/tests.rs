//! What starts rules, and what does not.

use super::*;
use crate::model::registry::{EndpointView, Registry};

const T0: Millis = Millis(1_700_000_000_000);

fn rule(change: impl FnOnce(&mut Rule)) -> Rule {
    let mut rule = Rule::new("all".parse().unwrap(), "hq".parse().unwrap());
    rule.targets = vec!["bj".parse().unwrap()];
    change(&mut rule);
    rule
}

fn every(ms: u64) -> Rule {
    rule(|r| r.trigger.every_ms = Some(ms))
}

fn on_event() -> Rule {
    rule(|r| r.trigger.event = true)
}

fn run(id: u64, state: RunState, began: Millis, ended: Option<Millis>) -> RunView {
    RunView {
        id: RunId(id),
        rule: "all".parse().unwrap(),
        cause: Cause::Schedule,
        began,
        ended,
        state,
        compared: 0,
        tags: crate::model::replication::TagCounts::default(),
        bytes: 0,
        moved: 0,
        rate: None,
        eta_ms: None,
        stalled: None,
        reason: None,
        joined: 0,
    }
}

/// Triggers of one rule, and time.
struct Lab {
    triggers: Triggers,
    rule: Rule,
    run: Option<RunView>,
    now: Millis,
}

impl Lab {
    fn new(rule: Rule) -> Lab {
        Lab { triggers: Triggers::default(), rule, run: None, now: T0 }
    }

    fn look(&mut self) -> Vec<Start> {
        let rules = std::iter::once((&self.rule, self.run.as_ref()));
        self.triggers.look(rules, self.now, &|_| 0)
    }

    fn after(&mut self, ms: u64) -> Vec<Start> {
        self.now = self.now.plus(ms);
        self.look()
    }

    /// Begins what is due now, lets it take so long, and gives its cause.
    fn begins(&mut self, took: u64, state: RunState) -> Start {
        let mut starts = self.look();
        assert_eq!(starts.len(), 1, "{:?}", self.triggers);
        let id = self.run.as_ref().map_or(1, |r| r.id.0 + 1);
        self.triggers.begun(&starts[0], RunId(id), self.now);
        assert!(self.look().is_empty(), "it has begun, seen or not");
        let began = self.now;
        self.run = Some(run(id, RunState::Moving, began, None));
        assert!(self.after(took).is_empty(), "it goes on");
        let cause = starts[0].cause.clone();
        self.run = Some(RunView { cause, ..run(id, state, began, Some(self.now)) });
        starts.remove(0)
    }

    fn next_in(&mut self) -> Option<u64> {
        self.look();
        self.triggers.times(&self.rule.name).0.map(|at| at.since(self.now))
    }

    fn tell(&mut self, registry: &str, repository: &str) {
        let told = Told::In([repository.parse().unwrap()].into());
        self.triggers.tell(&[(registry.parse().unwrap(), told)].into(), self.now);
    }

    fn see(&mut self, name: &str, answers: bool) {
        let mut view = RegistryView::never(Registry::new(name.parse().unwrap(), format!("{name}:5000")));
        let why = String::new();
        let seen = if answers { Seen::At(self.now) } else { Seen::Lost { last: T0, since: T0, why } };
        view.endpoints = vec![EndpointView { seen, ..view.endpoints[0].clone() }];
        self.triggers.see(&[(name.parse().unwrap(), view)].into(), self.now);
    }
}

#[test]
fn a_rule_with_a_time_between_runs_begins_at_once_and_then_from_its_beginnings() {
    let mut lab = Lab::new(every(600_000));
    let start = lab.begins(100_000, RunState::Done);
    assert_eq!((start.cause, start.only, start.late), (Cause::Schedule, None, None));
    assert_eq!(lab.next_in(), Some(500_000));
    assert!(lab.after(499_999).is_empty());
    lab.now = lab.now.plus(1);
    lab.begins(650_000, RunState::Done);
    assert_eq!(lab.next_in(), Some(REST_MS), "a run that takes longer than that rests before the next");
    lab.rule.enabled = false;
    assert!(lab.after(700_000).is_empty());
    assert_eq!(lab.next_in(), None);
    lab.rule.enabled = true;
    assert_eq!(lab.begins(1, RunState::Done).late, None, "what passed while it was off was not missed");
}

#[test]
fn a_rule_by_hand_never_begins() {
    let mut lab = Lab::new(rule(|_| {}));
    lab.tell("hq", "a/b");
    lab.see("hq", false);
    lab.see("hq", true);
    assert!(lab.after(1_000_000_000).is_empty());
    assert_eq!(lab.triggers.wake(), None);
}

#[test]
fn a_time_that_passed_while_no_engine_ran_is_late_and_made_up_for_once() {
    let mut lab = Lab::new(rule(|r| r.trigger.cron = Some("0 2 * * *".into())));
    let day = 86_400_000;
    let last = Millis(T0.0 - T0.0.rem_euclid(86_400_000) + 7_200_000 - 3 * 86_400_000);
    lab.triggers.remember(&lab.rule.clone(), Some(last), lab.now);
    let start = lab.begins(1_000, RunState::Done);
    assert_eq!(start.late, Some(last.plus(day)), "since the first that passed");
    assert!(lab.look().is_empty());
    assert!(lab.next_in().unwrap() <= day);
    assert_eq!(lab.triggers.times(&lab.rule.name).1, None);
}

#[test]
fn what_cannot_begin_is_missed_after_a_while_and_told_once() {
    let mut lab = Lab::new(every(600_000));
    let start = lab.look().remove(0);
    assert!(lab.triggers.could_not(&start, "no registry", lab.now));
    assert!(lab.after(AGAIN_MS - 1).is_empty());
    assert_eq!(lab.after(1).len(), 1);
    assert!(!lab.triggers.could_not(&start, "no registry", lab.now));
    assert!(lab.triggers.could_not(&start, "the disk is full", lab.now));
    lab.after(MISSED_AFTER_MS);
    assert_eq!(lab.triggers.times(&lab.rule.name).1, Some(T0));
    lab.begins(1, RunState::Done);
    assert_eq!(lab.triggers.times(&lab.rule.name).1, None);
}

#[test]
fn hints_are_merged_filtered_and_wait_for_the_run_that_goes_on() {
    let mut lab = Lab::new(on_event());
    let only = |glob: &str| crate::model::replication::Filter {
        on: crate::model::replication::On::Repository,
        pattern: crate::model::replication::Pattern::Glob(glob.to_owned()),
        exclude: false,
    };
    lab.rule.filters = vec![only("feed/*")];
    assert_eq!(lab.begins(1, RunState::Done).cause, Cause::Schedule, "the first compares everything");
    lab.now = lab.now.plus(10_000);
    lab.look();
    for (registry, repository) in [("bj", "feed/a"), ("hq", "ads/a"), ("hq", "feed/b"), ("hq", "feed/c")] {
        lab.tell(registry, repository);
    }
    assert!(lab.after(HINT_PAUSE_MS - 1).is_empty());
    assert_eq!(lab.triggers.wake(), Some(lab.now.plus(1)));
    lab.now = lab.now.plus(1);
    let start = lab.look().remove(0);
    let both: BTreeSet<Repository> = ["feed/b".parse().unwrap(), "feed/c".parse().unwrap()].into();
    assert_eq!((start.cause.clone(), start.only.clone()), (Cause::Event, Some(both)));
    lab.triggers.begun(&start, RunId(2), lab.now);
    lab.run = Some(RunView { cause: Cause::Event, ..run(2, RunState::Moving, lab.now, None) });
    lab.tell("hq", "feed/d");
    assert!(lab.after(60_000).is_empty(), "never twice at once");
    lab.run = Some(RunView { cause: Cause::Event, ..run(2, RunState::Done, lab.now, Some(lab.now)) });
    let start = lab.begins(1, RunState::Done);
    assert_eq!(start.only, Some(["feed/d".parse().unwrap()].into()), "what was told meanwhile is not lost");
    let next = lab.next_in().unwrap();
    assert!(
        next < FULL_EVERY_MS && next > FULL_EVERY_MS - 120_000,
        "events do not put the timer off: {next}"
    );
    lab.now = lab.now.plus(next);
    assert_eq!(lab.begins(1, RunState::Done).cause, Cause::Schedule, "what hints missed is found");
}

#[test]
fn two_masters_hear_both_sides() {
    let mut lab = Lab::new(on_event());
    lab.rule.two_way = true;
    lab.begins(1, RunState::Done);
    lab.tell("bj", "feed/a");
    assert_eq!(lab.after(HINT_PAUSE_MS).remove(0).cause, Cause::Event);
}

#[test]
fn a_registry_that_answers_again_is_compared_with() {
    let mut lab = Lab::new(on_event());
    lab.begins(1, RunState::Done);
    lab.now = lab.now.plus(RETURN_APART_MS);
    lab.look();
    lab.see("bj", true);
    assert!(lab.look().is_empty(), "it was never away");
    lab.see("bj", false);
    lab.see("bj", true);
    assert_eq!(lab.begins(1, RunState::Done).cause, Cause::Return);
    lab.see("bj", false);
    lab.see("bj", true);
    assert!(lab.after(RETURN_APART_MS / 2).is_empty(), "not each time that it comes and goes");
    lab.now = lab.now.plus(RETURN_APART_MS);
    assert_eq!(lab.begins(1, RunState::Done).cause, Cause::Return);
}

#[test]
fn a_rule_that_failed_while_its_registry_was_away_is_tried_again_when_it_is_back() {
    for state in [RunState::Failed, RunState::Incomplete, RunState::Done] {
        let mut lab = Lab::new(every(86_400_000));
        lab.begins(1, RunState::Done);
        lab.now = lab.now.plus(86_400_000);
        lab.see("bj", false);
        lab.begins(1, state);
        lab.now = lab.now.plus(RETURN_APART_MS);
        lab.look();
        lab.see("bj", true);
        let starts = lab.look();
        assert_eq!(starts.len(), usize::from(state != RunState::Done), "{state:?}");
        assert!(starts.iter().all(|s| s.cause == Cause::Return));
    }
}

#[test]
fn a_rule_that_wants_something_else_compares_at_once_and_another_hour_does_not() {
    let mut lab = Lab::new(every(86_400_000));
    lab.begins(1, RunState::Done);
    assert!(lab.after(10_000).is_empty());
    lab.rule.targets.push("tc".parse().unwrap());
    assert_eq!(lab.begins(1, RunState::Done).cause, Cause::Schedule);
    lab.rule.trigger.cron = Some("0 2 * * *".into());
    assert!(lab.after(10_000).is_empty());
    assert!(lab.next_in().is_some_and(|ms| ms <= 86_400_000));
}

#[test]
fn a_clock_that_was_set_back_stops_no_rule() {
    let mut lab = Lab::new(every(60_000));
    lab.now = T0.plus(365 * 24 * 3_600_000);
    lab.begins(1_000, RunState::Done);
    // The clock was a year ahead, and is right again.
    lab.now = T0;
    assert!(lab.look().is_empty());
    assert!(lab.after(30_000).is_empty());
    assert_eq!(lab.after(31_000).len(), 1, "a minute later, not a year");
}
