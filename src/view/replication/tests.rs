//! The words of replication: what stands where, problems first, never better than it is.

use super::*;
use crate::model::registry::RegistryView;
use crate::model::replication::{Cause, ReplicationView, RunId, TagCounts};
use std::sync::Arc;

const NOW: Millis = Millis(10_000_000);

fn line_view(from: &str, to: &str) -> LineView {
    LineView {
        line: Line { from: from.parse().unwrap(), to: to.parse().unwrap() },
        compared: Some(NOW),
        tags_behind: 0,
        bytes_behind: 0,
        behind_since: None,
        conflicts: 0,
        reviews: 0,
        transfers: Vec::new(),
        rate: None,
        budget: None,
        trouble: None,
        limits: None,
    }
}

fn blob(moved: u64, last_ago: i64) -> Transfer {
    Transfer {
        line: line_view("hq", "bj").line,
        repository: "feed/web".parse().unwrap(),
        digest: crate::model::oci::Digest::of(b"blob"),
        size: 1 << 20,
        moved,
        since: Millis(NOW.0 - last_ago - 2_000),
        last: Millis(NOW.0 - last_ago),
    }
}

fn run() -> RunView {
    RunView {
        id: RunId(7),
        rule: "all".parse().unwrap(),
        cause: Cause::Schedule,
        began: Millis(NOW.0 - 60_000),
        ended: None,
        state: RunState::Moving,
        compared: 200,
        tags: TagCounts { same: 150, done: 30, waiting: 18, moving: 2, ..TagCounts::default() },
        bytes: 3 << 30,
        moved: 1 << 30,
        rate: Some(8 << 20),
        eta_ms: Some(40_000),
        stalled: None,
        reason: None,
        joined: 0,
    }
}

fn world(lines: Vec<LineView>, run: Option<RunView>) -> World {
    let registry = |name: &str| {
        let text = format!(r#"{{"name":"{name}","address":"{name}.example"}}"#);
        let mut view = RegistryView::never(serde_json::from_str(&text).unwrap());
        view.endpoints[0].seen = Seen::At(NOW);
        (view.registry.name.clone(), view)
    };
    let rule = serde_json::from_str(r#"{"name":"all","source":"hq","targets":["bj","tc"]}"#).unwrap();
    let rules = vec![RuleView { rule, run, next: None, missed: None }];
    World {
        at: NOW,
        registries: Arc::new(["hq", "bj", "tc"].map(registry).into()),
        replication: Arc::new(ReplicationView { rules, lines }),
        ..World::default()
    }
}

fn standing(view: LineView) -> (Standing, String) {
    let row = lines(&world(vec![view], None), NOW).remove(0);
    (row.standing, row.cell())
}

#[test]
fn a_line_stands_as_its_worst_part() {
    let line = || line_view("hq", "bj");
    let behind = || LineView {
        tags_behind: 3,
        bytes_behind: 120 << 20,
        behind_since: Some(Millis(NOW.0 - 130_000)),
        ..line()
    };
    assert_eq!(standing(line()), (Standing::InSync, "in sync".into()));
    assert_eq!(standing(LineView { compared: None, ..line() }), (Standing::Unknown, "not known".into()));
    assert_eq!(standing(behind()), (Standing::Behind, "behind 3 120M 2m".into()));
    let moving = LineView { transfers: vec![blob(5, 1_000)], rate: Some(9), ..behind() };
    assert_eq!(standing(moving.clone()).0, Standing::Moving);
    let resting = LineView { transfers: vec![blob(5, 31_000)], ..moving.clone() };
    assert_eq!(standing(resting), (Standing::Stalled, "stalled 3 120M 2m".into()));
    let one_moves = LineView { transfers: vec![blob(5, 31_000), blob(5, 500)], ..moving.clone() };
    assert_eq!(standing(one_moves).0, Standing::Moving, "another blob still moves");
    assert_eq!(standing(LineView { conflicts: 1, ..moving.clone() }).0, Standing::Conflict);
    assert_eq!(standing(LineView { trouble: Some("no space".into()), ..moving }).0, Standing::Failed);
    let paused = Some(RunView { state: RunState::Paused, ..run() });
    let rows = lines(&world(vec![behind(), line_view("hq", "tc")], paused), NOW);
    assert_eq!(rows.iter().map(|r| r.standing).collect::<Vec<_>>(), [Standing::Paused, Standing::InSync]);
    assert_eq!((summary(&rows).as_str(), summary(&[]).as_str()), ("1 paused", "no lines"));
    assert_eq!(standing(LineView { reviews: 4, ..line() }).0, Standing::Review);
}

#[test]
fn a_silent_end_is_unreachable_and_comes_first() {
    let mut w = world(vec![line_view("hq", "bj"), line_view("hq", "tc")], None);
    let tc = "tc".parse().unwrap();
    Arc::make_mut(&mut w.registries).get_mut(&tc).unwrap().endpoints[0].seen =
        Seen::Lost { last: Millis(NOW.0 - 300_000), since: NOW, why: "no route \u{1b}[2J".into() };
    let rows = lines(&w, NOW);
    assert_eq!((rows[0].standing, rows[0].cell().as_str()), (Standing::Unreachable, "unreachable 5m"));
    assert_eq!(rows[0].notes, ["tc has not answered for 5m: no route \\e[2J"]);
    assert_eq!(rows[1].standing, Standing::InSync);
    assert_eq!(summary(&rows), "1 unreachable");
    let m = matrix(&rows);
    assert_eq!((m.from.len(), m.to.len()), (1, 2));
    assert_eq!(m.cells[0][1].as_ref().unwrap().standing, Standing::Unreachable);
}

#[test]
fn a_run_is_told_from_its_parts() {
    assert_eq!(
        run_line(&run(), NOW),
        "180 of 200 tags as they should be · 1.0G of 3.0G · 8.0M/s · ~40s left"
    );
    let paused = RunView { state: RunState::Paused, ..run() };
    assert_eq!(run_line(&paused, NOW), "180 of 200 tags as they should be · 1.0G of 3.0G");
    let stalled =
        RunView { stalled: Some(Millis(NOW.0 - 70_000)), reason: Some("bj answers 503".into()), ..run() };
    assert_eq!(run_stands(&stalled), (Grade::Warn, "stalled"));
    assert!(run_line(&stalled, NOW).starts_with("stalled, nothing has moved for 1m: bj answers 503 · "));
    assert!(!run_line(&stalled, NOW).contains("left"), "no end is foretold while nothing moves");
    let mut over = RunView { state: RunState::Done, ended: Some(NOW), ..run() };
    over.tags.failed = 2;
    over.reason = Some("denied".into());
    assert_eq!(run_stands(&over), (Grade::Bad, "incomplete"), "done is not believed while a tag is not");
    assert!(run_line(&over, NOW).contains("2 failed: denied · incomplete in 1m00s, just now"));
    let failed = RunView { state: RunState::Failed, reason: Some("hq lists nothing".into()), ..run() };
    assert_eq!(run_line(&failed, NOW), "could not compare: hq lists nothing");
}

#[test]
fn a_missed_schedule_is_said() {
    let mut w = world(Vec::new(), Some(RunView { state: RunState::Done, ended: Some(NOW), ..run() }));
    Arc::make_mut(&mut w.replication).rules[0].missed = Some(Millis(NOW.0 - 3_700_000));
    let row = rules(&w, NOW).remove(0);
    assert_eq!((row.state, row.grade, row.what.as_str()), ("missed", Grade::Warn, "hq → bj, tc"));
    assert_eq!(row.notes[0], "its time passed 1h ago and it did not run");
}

#[test]
fn a_blob_says_how_fast_it_is_or_that_it_is_not() {
    let line = transfer(&blob(512 << 10, 1_000), NOW);
    assert!(line.starts_with("feed/web ") && line.ends_with(" 50% of 1.0M · 253K/s · ~2s left"), "{line}");
    assert!(transfer(&blob(512 << 10, 45_000), NOW).ends_with("50% of 1.0M · stalled for 40s"));
    let fresh = Transfer { since: NOW, last: NOW, ..blob(0, 0) };
    assert_eq!(pace(&fresh, NOW), Pace { grade: Grade::Busy, rate: None, eta_ms: None, stalled_ms: None });
}
