//! Risks of replication: a target that is long behind, a time that passed without a run, a rule that fails.

use crate::base::clock::Millis;
use crate::base::text::{age, bytes, count};
use crate::model::replication::{RuleView, RunState};
use crate::model::world::World;
use crate::view::advice::{Advice, DAY_MS, Severity};
use crate::view::replication::takes;
use crate::view::units;

/// A target that lacks something for so long is told of: a run that goes on brings most things sooner.
const BEHIND_MS: u64 = 15 * 60_000;

/// Adds what is wrong with lines and rules.
pub fn add(world: &World, now: Millis, out: &mut Vec<Advice>) {
    for line in &world.replication.lines {
        let Some(since) = line.behind_since.filter(|at| now.since(*at) >= BEHIND_MS) else { continue };
        let long = now.since(since);
        let rule = world.replication.rules.iter().find(|view| takes(&view.rule, &line.line));
        let why = line.trouble.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
        let (tags, least) = (count(u64::from(line.tags_behind), "tag"), bytes(line.bytes_behind));
        out.push(Advice {
            risk: "target behind",
            severity: if long >= DAY_MS { Severity::High } else { Severity::Medium },
            subject: line.line.to_string(),
            evidence: format!("{tags}, at least {least}, missing for {}{why}", age(long)),
            command: rule.map_or_else(
                || "longshore replicate rule ls".to_owned(),
                |view| format!("longshore replicate run {}", view.rule.name),
            ),
        });
    }
    world.replication.rules.iter().for_each(|view| of_rule(view, now, out));
}

fn of_rule(view: &RuleView, now: Millis, out: &mut Vec<Advice>) {
    let name = &view.rule.name;
    if let Some(at) = view.missed {
        out.push(Advice {
            risk: "schedule missed",
            severity: Severity::Medium,
            subject: name.to_string(),
            evidence: format!("its time passed {} and it did not run", units::ago(now.since(at))),
            command: format!("longshore replicate run {name}"),
        });
    }
    let failed = view.run.as_ref().filter(|r| matches!(r.state, RunState::Failed | RunState::Incomplete));
    if let Some(run) = failed {
        let why = run.reason.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
        let command = if run.state == RunState::Failed {
            format!("longshore replicate run {name}")
        } else {
            format!("longshore replicate tags {} --failed", run.id)
        };
        out.push(Advice {
            risk: "replication fails",
            severity: Severity::Medium,
            subject: name.to_string(),
            evidence: format!("{} is {}{why}", run.id, crate::view::replication::run_stands(run).1),
            command,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::replication::{
        Cause, Line, LineView, ReplicationView, Rule, RunId, RunView, TagCounts,
    };
    use std::sync::Arc;

    const NOW: Millis = Millis(10_000_000_000);

    fn ago(ms: i64) -> Millis {
        Millis(NOW.0 - ms)
    }

    #[test]
    fn lag_missed_times_and_failures_are_told_with_the_next_step() {
        let mut rule = Rule::new("all".parse().unwrap(), "hq".parse().unwrap());
        rule.targets = vec!["bj".parse().unwrap()];
        let line = LineView {
            line: Line { from: "hq".parse().unwrap(), to: "bj".parse().unwrap() },
            compared: Some(NOW),
            tags_behind: 3,
            bytes_behind: 5 << 20,
            behind_since: Some(ago(60_000)),
            conflicts: 0,
            reviews: 0,
            transfers: Vec::new(),
            rate: None,
            budget: None,
            trouble: None,
            limits: None,
        };
        let run = RunView {
            id: RunId(7),
            rule: rule.name.clone(),
            cause: Cause::Schedule,
            began: ago(1_000),
            ended: Some(NOW),
            state: RunState::Done,
            compared: 9,
            tags: TagCounts::default(),
            bytes: 0,
            moved: 0,
            rate: None,
            eta_ms: None,
            stalled: None,
            reason: None,
            joined: 0,
        };
        let view = RuleView { rule, run: Some(run.clone()), next: None, missed: None };
        let advise = |line: &LineView, view: &RuleView| {
            let (rules, lines) = (vec![view.clone()], vec![line.clone()]);
            let replication = Arc::new(ReplicationView { rules, lines });
            let mut out = Vec::new();
            add(&World { replication, ..World::default() }, NOW, &mut out);
            out.iter().map(|a| (a.severity, a.evidence.clone(), a.command.clone())).collect::<Vec<_>>()
        };
        assert!(advise(&line, &view).is_empty(), "it is on its way");
        let old = LineView { behind_since: Some(ago(40 * 60_000)), ..line.clone() };
        let told = advise(&old, &view);
        assert_eq!(told[0].0, Severity::Medium);
        assert_eq!(told[0].1, "3 tags, at least 5.0M, missing for 40m");
        assert_eq!(told[0].2, "longshore replicate run all");
        let older = LineView { behind_since: Some(ago(90_000_000)), ..line.clone() };
        assert_eq!(advise(&older, &view)[0].0, Severity::High);
        let missed = RuleView { missed: Some(ago(7_200_000)), ..view.clone() };
        assert_eq!(advise(&line, &missed)[0].1, "its time passed 2h ago and it did not run");
        let failed = RunView { state: RunState::Incomplete, reason: Some("disk full".into()), ..run };
        let told = advise(&line, &RuleView { run: Some(failed), ..view });
        assert_eq!(told[0].1, "run-7 is incomplete: disk full");
        assert_eq!(told[0].2, "longshore replicate tags run-7 --failed");
    }
}
