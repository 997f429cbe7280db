//! Two masters on virtual time: changes on both sides, sides that are down, deletes with review, conflicts and the ways out, crashes.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests say what failed by failing"
)]

use std::collections::BTreeSet;
use std::time::Duration;

use longshore::adapters::sim::{RegistryPace, SimRegistry, layer};
use longshore::base::fault::Kind;
use longshore::model::oci::Tag;
use longshore::model::replication::known::Choice;
use longshore::model::replication::{Budget, Cause, Difference, Line, LineLimits, RunState};
use longshore::ports::registry::Catalogue;

#[path = "replication_masters/histories.rs"]
mod histories;
#[path = "replication_masters/lab.rs"]
mod lab;

use lab::{HOUR, Lab, WEB, back, repository, there};

#[tokio::test(start_paused = true)]
async fn changes_of_both_masters_reach_the_other_and_go_no_further() {
    let lab = Lab::new().await;
    lab.push(&lab.bj, "a", 1);
    let b = lab.push(&lab.tc, "b", 2);
    lab.tc.push_image("ads/top", "v1", &[layer(7, 500)]).unwrap();
    let view = lab.run().await;
    assert_eq!((view.state, view.tags.done), (RunState::Done, 3), "{view:?}");
    assert!(lab.is_equal());
    for _ in 0..3 {
        let writes = lab.writes();
        let view = lab.run().await;
        assert_eq!((view.state, view.tags.same, lab.writes()), (RunState::Done, 3, writes));
    }
    // Moved at the target only: copied back, and by the line that leads there.
    let moved = lab.push(&lab.tc, "a", 3);
    lab.push(&lab.bj, "b", 4);
    let view = lab.run().await;
    let tags = lab.handle().tags(view.id, 0, 9).await.unwrap();
    let lines: BTreeSet<(String, Line)> = tags.iter().map(|t| (t.tag.to_string(), t.line.clone())).collect();
    assert_eq!(lines, BTreeSet::from([("a".into(), back()), ("b".into(), there())]));
    assert_eq!(lab.both("a"), (Some(moved.clone()), Some(moved)));
    assert!(lab.is_equal() && lab.at(&lab.bj, "b") != Some(b));
    assert!(lab.line(&back()).await.compared.is_some());
}

#[tokio::test(start_paused = true)]
async fn the_way_back_has_a_budget_of_its_own() {
    let lab = Lab::new().await;
    lab.settled().await;
    let budget = Budget { from: 0, until: 24, bytes_per_s: Some(10_000), requests_per_hour: None };
    lab.handle().set_limits(LineLimits { line: back(), parallel: 4, budgets: vec![budget] });
    let took = async |registry: &SimRegistry, seed| {
        registry.push_image(WEB, "big", &[layer(seed, 300_000)]).unwrap();
        let began = tokio::time::Instant::now();
        assert_eq!(lab.run().await.state, RunState::Done);
        began.elapsed()
    };
    assert!(took(&lab.bj, 50).await < Duration::from_secs(5));
    let slow = took(&lab.tc, 51).await;
    assert!(slow > Duration::from_secs(25) && slow < Duration::from_secs(60), "{slow:?}");
    assert!(lab.is_equal());
}

#[tokio::test(start_paused = true)]
async fn a_side_that_is_down_for_a_while_catches_up_and_loses_nothing() {
    for down in ["bj", "tc"] {
        let lab = Lab::new().await;
        lab.settled().await;
        let sick = if down == "bj" { &lab.bj } else { &lab.tc };
        sick.trouble(|t| t.unreachable = true);
        let (a, b) = (lab.push(&lab.bj, "a", 1), lab.push(&lab.tc, "b", 2));
        let view = lab.run().await;
        assert_eq!(view.state, RunState::Failed, "{view:?}");
        assert!(view.reason.unwrap().safe().contains("does not answer"));
        sick.trouble(|t| t.unreachable = false);
        assert_eq!(lab.run().await.state, RunState::Done);
        assert_eq!((lab.at(&lab.tc, "a"), lab.at(&lab.bj, "b")), (Some(a), Some(b)));
        assert!(lab.is_equal() && lab.held().is_empty(), "{:?}", lab.held());
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_deleted_stays_so_and_goes_from_the_other_side_after_a_yes() {
    for at in ["bj", "tc"] {
        let lab = Lab::new().await;
        lab.settled().await;
        let (here, other) = if at == "bj" { (&lab.bj, &lab.tc) } else { (&lab.tc, &lab.bj) };
        let old = lab.push(here, "v1", 1);
        assert_eq!(lab.run().await.state, RunState::Done);
        here.drop_tag(WEB, "v1").unwrap();
        let view = lab.run().await;
        assert_eq!((view.tags.extra, lab.at(here, "v1")), (1, None), "{view:?}");
        assert!(lab.items().is_empty());
        assert_eq!(lab.held(), ["it is gone since 0s only; it is proposed after 1h"]);
        tokio::time::sleep(HOUR).await;
        lab.run().await;
        let side = if at == "bj" { "target" } else { "source" };
        assert_eq!(lab.items(), [("v1".to_owned(), side)]);
        let line = if at == "bj" { there() } else { back() };
        assert_eq!(lab.line(&line).await.reviews, 1);
        assert_eq!(lab.at(other, "v1"), Some(old.clone()), "nobody has said yes");
        assert_eq!(lab.accept().await, 1);
        assert_eq!(lab.both("v1"), (None, None));
        assert_eq!(lab.line(&line).await.reviews, 0);
        let told = lab.journal().await;
        assert!(
            told.iter().any(|t| t.contains("deleted feed/web:v1") && t.contains("ann said yes")),
            "{told:?}"
        );
        let writes = lab.writes();
        assert_eq!((lab.run().await.state, lab.writes()), (RunState::Done, writes));
        // From a backup, say: the very same is no new image.
        assert_eq!(lab.push(other, "v1", 1), old);
        lab.run().await;
        assert_eq!(lab.at(here, "v1"), None);
        // Another one under that tag is a change, against a deletion: somebody has to choose.
        lab.push(other, "v1", 2);
        assert_eq!(lab.run().await.tags.conflicts, 1);
        assert_eq!(lab.conflict().why, "it was deleted on one side and moved on the other");
    }
}

#[tokio::test(start_paused = true)]
async fn a_no_keeps_the_tag_and_brings_it_back() {
    let lab = Lab::new().await;
    lab.settled().await;
    for (n, tag) in ["v1", "v2"].iter().enumerate() {
        lab.push(&lab.bj, tag, n as u64);
    }
    lab.run().await;
    let kept = lab.at(&lab.tc, "v1");
    lab.bj.drop_tag(WEB, "v1").unwrap();
    lab.bj.drop_tag(WEB, "v2").unwrap();
    lab.run().await;
    tokio::time::sleep(HOUR).await;
    let view = lab.run().await;
    assert_eq!(lab.items().len(), 2);
    let of = |tag: &str| vec![(repository(), tag.parse::<Tag>().unwrap())];
    let handle = lab.handle();
    let stranger = handle.spare(&lab.rule, view.id, &of("stays1")).await.unwrap_err();
    assert_eq!(stranger.kind, Kind::NotFound);
    assert_eq!(handle.spare(&lab.rule, view.id, &of("v1")).await.unwrap(), 1);
    assert_eq!(lab.items().len(), 1);
    let late = lab.run().await;
    let fault = handle.confirm(lab.rule.clone(), view.id, "ann").await.unwrap_err();
    assert!(fault.kind == Kind::Conflict && fault.to_string().contains("has compared since"), "{fault}");
    assert_eq!(late.tags.done, 1);
    assert_eq!(lab.both("v1"), (kept.clone(), kept));
    assert_eq!(lab.accept().await, 1);
    assert_eq!(lab.both("v2"), (None, None));
    assert!(lab.is_equal());
}

#[tokio::test(start_paused = true)]
async fn a_list_that_is_empty_or_fails_deletes_nothing() {
    let mut lab = Lab::new().await;
    lab.rule.grace_ms = Some(0);
    lab.settled().await;
    let all = lab.tc.all_tags();
    // An empty one.
    for n in 0..4 {
        lab.bj.drop_tag(WEB, &format!("stays{n}")).unwrap();
    }
    lab.run().await;
    assert!(lab.items().is_empty());
    assert!(lab.held().iter().all(|why| why.contains("an empty list deletes nothing")), "{:?}", lab.held());
    assert_eq!(lab.held().len(), 4);
    assert_eq!((lab.accept().await, &lab.tc.all_tags()), (0, &all));
    // One that fails, or lists no repositories.
    for n in 0..3 {
        lab.push(&lab.bj, &format!("stays{n}"), 900 + n);
    }
    for trouble in [true, false] {
        lab.bj.trouble(|t| (t.cut_lists, t.no_catalogue) = (trouble, !trouble));
        let view = lab.run().await;
        let proposed = lab.items();
        assert_eq!(trouble, !matches!(view.state, RunState::Done), "{view:?}");
        assert_eq!(
            proposed.len(),
            usize::from(!trouble),
            "the list of tags alone tells what is gone: {proposed:?}"
        );
        lab.bj.trouble(|t| (t.cut_lists, t.no_catalogue) = (false, false));
    }
    // What is back by the time of the yes stays; what could not be asked for, too.
    lab.push(&lab.bj, "stays3", 903);
    assert_eq!(lab.accept().await, 1);
    assert!(lab.held()[0].contains("is back at the source"), "{:?}", lab.held());
    lab.bj.drop_tag(WEB, "stays3").unwrap();
    lab.run().await;
    assert_eq!(lab.items().len(), 1);
    lab.bj.trouble(|t| t.unreachable = true);
    assert_eq!(lab.accept().await, 1);
    assert!(lab.held()[0].contains("the source could not be asked"), "{:?}", lab.held());
    assert_eq!(lab.tc.all_tags(), all);
}

#[tokio::test(start_paused = true)]
async fn a_registry_that_removes_whole_images_loses_no_tag_that_stays() {
    let mut lab = Lab::new().await;
    lab.rule.grace_ms = Some(0);
    lab.tc.trouble(|t| t.whole_only = true);
    lab.settled().await;
    let same = lab.push(&lab.bj, "latest", 1);
    for tag in ["v1", "v1.0"] {
        lab.bj.move_tag(WEB, tag, &same).unwrap();
    }
    lab.push(&lab.bj, "alone", 2);
    let index = lab.bj.push_index(WEB, "multi", &[("amd64", vec![layer(5, 90)])]).unwrap();
    lab.run().await;
    for tag in ["v1", "v1.0", "alone"] {
        lab.bj.drop_tag(WEB, tag).unwrap();
    }
    lab.run().await;
    assert_eq!(lab.items().len(), 3);
    assert_eq!(lab.accept().await, 3);
    assert_eq!(lab.at(&lab.tc, "alone"), None);
    assert!(lab.at(&lab.tc, "v1").is_some() && lab.at(&lab.tc, "latest").is_some());
    let why = "this registry deletes whole images only, and latest has the same one";
    assert!(lab.held().iter().all(|w| w == why) && lab.held().len() == 2, "{:?}", lab.held());
    lab.run().await;
    assert!(lab.items().is_empty(), "it is known by now");
    assert_eq!(lab.held(), [why, why]);
    lab.bj.drop_tag(WEB, "latest").unwrap();
    lab.run().await;
    assert_eq!(lab.accept().await, 3);
    assert!(lab.is_equal() && lab.at(&lab.tc, "multi") == Some(index));
}

#[tokio::test(start_paused = true)]
async fn a_tag_moved_on_both_sides_waits_and_each_choice_is_carried_out() {
    for choice in [Choice::SourceWins, Choice::TargetWins, Choice::KeepBoth] {
        let mut lab = Lab::new().await;
        lab.settled().await;
        lab.push(&lab.bj, "v1", 1);
        lab.run().await;
        let (ours, theirs) = (lab.push(&lab.bj, "v1", 2), lab.push(&lab.tc, "v1", 3));
        for _ in 0..2 {
            let view = lab.run().await;
            assert_eq!((view.state, view.tags.conflicts), (RunState::Incomplete, 1), "{view:?}");
            assert_eq!(lab.both("v1"), (Some(ours.clone()), Some(theirs.clone())), "nothing is done to it");
        }
        let diff = lab.handle().diff(&lab.rule).await.unwrap();
        assert_eq!(diff.rows.iter().filter(|r| r.difference == Difference::Conflict).count(), 1);
        let conflict = lab.conflict();
        assert_eq!(conflict.why, "it was moved on both sides");
        assert_eq!((&conflict.source, &conflict.target), (&Some(ours.clone()), &Some(theirs.clone())));
        lab.crash().await;
        lab.handle().resume_unfinished(std::slice::from_ref(&lab.rule)).await.unwrap();
        assert_eq!(lab.line(&there()).await.conflicts, 1, "it is remembered");
        assert_eq!(lab.conflict(), conflict);
        lab.answered(choice).await;
        assert!(lab.handle().conflicts(None).is_empty());
        assert_eq!(lab.line(&there()).await.conflicts, 0);
        let wanted = if choice == Choice::TargetWins { &theirs } else { &ours };
        assert_eq!(lab.both("v1"), (Some(wanted.clone()), Some(wanted.clone())), "{choice:?}");
        let aside = (choice == Choice::KeepBoth).then_some(theirs);
        assert_eq!(lab.both("v1-tc"), (aside.clone(), aside));
        assert!(lab.journal().await.iter().any(|t| t.contains("as ann chose")));
        let writes = lab.writes();
        assert_eq!((lab.run().await.state, lab.writes()), (RunState::Done, writes), "{choice:?}");
        assert!(lab.is_equal());
    }
}

#[tokio::test(start_paused = true)]
async fn deleted_here_and_moved_there_is_a_conflict_with_two_ways_out() {
    for choice in [Choice::SourceWins, Choice::TargetWins] {
        let lab = Lab::new().await;
        lab.settled().await;
        lab.push(&lab.bj, "v1", 1);
        lab.run().await;
        lab.bj.drop_tag(WEB, "v1").unwrap();
        let moved = lab.push(&lab.tc, "v1", 2);
        assert_eq!(lab.run().await.tags.conflicts, 1);
        assert_eq!(lab.conflict().why, "it was deleted on one side and moved on the other");
        lab.answered(choice).await;
        let left = (choice == Choice::TargetWins).then_some(moved);
        assert_eq!(lab.both("v1"), (left.clone(), left));
        assert!(lab.handle().conflicts(None).is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_to_an_old_state_is_refused() {
    let lab = Lab::new().await;
    lab.settled().await;
    let (ours, theirs) = (lab.push(&lab.bj, "v1", 2), lab.push(&lab.tc, "v1", 3));
    lab.run().await;
    let old = lab.conflict();
    // It moved, and a run has seen that.
    let newer = lab.push(&lab.tc, "v1", 4);
    lab.run().await;
    let fault = lab.answer(&old, Choice::SourceWins).await.unwrap_err();
    assert_eq!(fault.kind, Kind::Conflict, "{fault}");
    // It moved again, and no run has seen that: it is found as both are asked once more.
    let newest = lab.push(&lab.tc, "v1", 5);
    lab.answered(Choice::SourceWins).await;
    assert_eq!(lab.both("v1"), (Some(ours.clone()), Some(newest)), "{newer} {theirs}");
    assert!(lab.conflict().trouble.unwrap().safe().contains("not what it was"));
    lab.run().await;
    lab.answered(Choice::SourceWins).await;
    assert_eq!(lab.both("v1"), (Some(ours.clone()), Some(ours)));
    let fault = lab.answer(&old, Choice::SourceWins).await.unwrap_err();
    assert_eq!(fault.kind, Kind::NotFound, "{fault}");
}

#[tokio::test(start_paused = true)]
async fn what_a_killed_engine_wrote_is_no_change_of_others() {
    let mut seen = BTreeSet::new();
    for moment in (0..400).step_by(20) {
        let mut lab = Lab::new().await;
        lab.settled().await;
        lab.push(&lab.bj, "v1", 1);
        lab.run().await;
        for registry in [&lab.bj, &lab.tc] {
            registry.pace(RegistryPace { latency_ms: 15, ..RegistryPace::default() });
        }
        let moved = lab.push(&lab.bj, "v1", 2);
        lab.handle().start(lab.rule.clone(), Cause::Schedule).await.unwrap();
        tokio::time::sleep(Duration::from_millis(moment)).await;
        lab.crash().await;
        let was_written = lab.at(&lab.tc, "v1") == Some(moved.clone());
        seen.insert(was_written);
        let theirs = lab.push(&lab.tc, "v1", 3);
        let view = lab.run().await;
        if was_written {
            assert_eq!(view.state, RunState::Done, "at {moment}: {view:?}");
            assert_eq!(lab.both("v1"), (Some(theirs.clone()), Some(theirs)));
        } else {
            assert_eq!(view.tags.conflicts, 1, "at {moment}: {view:?}");
            assert_eq!(lab.both("v1"), (Some(moved), Some(theirs)));
        }
    }
    assert_eq!(seen.len(), 2, "both happened");
}

#[tokio::test(start_paused = true)]
async fn what_was_decided_is_carried_out_after_a_crash_anywhere() {
    for moment in (0..300).step_by(15) {
        let mut lab = Lab::new().await;
        lab.rule.grace_ms = Some(0);
        lab.settled().await;
        for (n, tag) in ["gone1", "gone2", "v1"].iter().enumerate() {
            lab.push(&lab.bj, tag, n as u64);
        }
        lab.run().await;
        lab.bj.drop_tag(WEB, "gone1").unwrap();
        lab.tc.drop_tag(WEB, "gone2").unwrap();
        let (ours, theirs) = (lab.push(&lab.bj, "v1", 7), lab.push(&lab.tc, "v1", 8));
        let run = lab.run().await.id;
        assert_eq!((lab.items().len(), lab.handle().conflicts(None).len()), (2, 1));
        for registry in [&lab.bj, &lab.tc] {
            registry.pace(RegistryPace { latency_ms: 15, ..RegistryPace::default() });
        }
        lab.answer(&lab.conflict(), Choice::KeepBoth).await.unwrap();
        lab.handle().confirm(lab.rule.clone(), run, "ann").await.unwrap();
        tokio::time::sleep(Duration::from_millis(moment)).await;
        lab.crash().await;
        lab.handle().resume_unfinished(std::slice::from_ref(&lab.rule)).await.unwrap();
        lab.until(|lab| {
            let handle = lab.handle();
            handle.conflicts(None).is_empty() && handle.reviews(None).iter().all(|r| r.going.is_empty())
        })
        .await;
        assert_eq!((lab.both("gone1"), lab.both("gone2")), ((None, None), (None, None)), "at {moment}");
        assert_eq!(lab.both("v1"), (Some(ours.clone()), Some(ours)), "at {moment}");
        assert_eq!(lab.both("v1-tc"), (Some(theirs.clone()), Some(theirs)), "at {moment}");
        assert_eq!(lab.run().await.state, RunState::Done);
        assert!(lab.is_equal());
    }
}

#[tokio::test(start_paused = true)]
async fn with_one_direction_deletes_are_reviewed_too_and_what_never_came_from_us_stays() {
    let mut lab = Lab::new().await;
    (lab.rule.two_way, lab.rule.grace_ms, lab.rule.prefix) = (false, Some(0), Some("bj".parse().unwrap()));
    for n in 0..4 {
        lab.push(&lab.bj, &format!("v{n}"), n);
    }
    lab.tc.push_image("bj/feed/web", "foreign", &[layer(9, 90)]).unwrap();
    assert_eq!(lab.run().await.state, RunState::Done);
    lab.bj.drop_tag(WEB, "v1").unwrap();
    let view = lab.run().await;
    assert_eq!((view.tags.extra, lab.items()), (2, vec![("v1".to_owned(), "target")]));
    assert_eq!(lab.accept().await, 1);
    let left: Vec<String> = lab.tc.all_tags().keys().map(|(r, t)| format!("{r}:{t}")).collect();
    assert_eq!(left, ["foreign", "v0", "v2", "v3"].map(|t| format!("bj/feed/web:{t}")));
}

#[tokio::test(start_paused = true)]
async fn a_side_that_was_rebuilt_empty_is_no_whole_one_and_joins_anew() {
    let lab = Lab::new().await;
    lab.settled().await;
    let all = lab.bj.all_tags();
    for n in 0..4 {
        lab.tc.drop_tag(WEB, &format!("stays{n}")).unwrap();
    }
    lab.run().await;
    assert!(lab.tc.all_tags().is_empty(), "an absent tag was deleted there, as far as is known");
    assert!(lab.held()[0].ends_with("longshore replicate rejoin masters"), "{:?}", lab.held());
    let report = lab.handle().verify(&lab.rule, false).await.unwrap();
    assert!(!report.is_whole() && report.found == 4, "{report:?}");
    let said = report.findings[0].safe().into_owned();
    assert!(said.contains("is gone from tc") && said.contains("replicate rejoin masters"), "{said}");
    assert_eq!(lab.handle().rejoin(&lab.rule).await.unwrap(), 4);
    assert!(lab.held().is_empty() && lab.items().is_empty());
    let moved = lab.push(&lab.tc, "stays3", 1);
    let view = lab.run().await;
    assert_eq!((view.tags.done, view.tags.conflicts), (3, 1), "{view:?}");
    assert_eq!(lab.both("stays3").1, Some(moved), "what both have otherwise is asked about");
    lab.answered(Choice::SourceWins).await;
    assert_eq!(lab.tc.all_tags(), all);
    assert!(lab.handle().verify(&lab.rule, false).await.unwrap().is_whole());
}

#[tokio::test(start_paused = true)]
async fn a_side_that_lost_much_at_once_writes_nothing_over_the_other() {
    let lab = Lab::new().await;
    let old: Vec<_> = (0..30).map(|n| lab.push(&lab.bj, &format!("v{n}"), n)).collect();
    lab.run().await;
    let new = lab.push(&lab.bj, "v29", 900);
    lab.run().await;
    // The target comes back from a backup: it lacks what is newer than that, and has what v29 was before.
    lab.tc.move_tag(WEB, "v29", &old[29]).unwrap();
    for n in 0..12 {
        lab.tc.drop_tag(WEB, &format!("v{n}")).unwrap();
    }
    // Somebody looks first, which must not switch the question off.
    assert!(!lab.handle().verify(&lab.rule, false).await.unwrap().is_whole());
    for _ in 0..2 {
        let view = lab.run().await;
        assert_eq!((view.tags.conflicts, view.tags.done), (1, 0), "{view:?}");
        assert_eq!(lab.both("v29"), (Some(new.clone()), Some(old[29].clone())));
        assert!(lab.conflict().why.contains("12 of 30 tags"), "{:?}", lab.conflict());
    }
    lab.answered(Choice::SourceWins).await;
    assert_eq!(lab.both("v29"), (Some(new.clone()), Some(new)));
    // A day later only few are gone: what the side moved counts.
    tokio::time::sleep(Duration::from_secs(25 * 3_600)).await;
    lab.tc.drop_tag(WEB, "v20").unwrap();
    let moved = lab.push(&lab.tc, "v29", 901);
    lab.run().await;
    assert_eq!(lab.both("v29"), (Some(moved.clone()), Some(moved)));
}

#[tokio::test(start_paused = true)]
async fn no_wait_for_the_budget_lies_between_the_last_look_and_the_write() {
    for minutes in 0..12 {
        let lab = Lab::new().await;
        lab.settled().await;
        lab.push(&lab.bj, "v1", 1);
        lab.run().await;
        // One request a minute.
        let budget = Budget { from: 0, until: 24, bytes_per_s: None, requests_per_hour: Some(60) };
        lab.handle().set_limits(LineLimits { line: there(), parallel: 4, budgets: vec![budget] });
        lab.push(&lab.bj, "v1", 2);
        let id = lab.handle().start(lab.rule.clone(), Cause::Schedule).await.unwrap();
        tokio::time::sleep(Duration::from_secs(30 + 60 * minutes)).await;
        let theirs = lab.push(&lab.tc, "v1", 3);
        tokio::time::timeout(10 * HOUR, lab.handle().ended(id)).await.unwrap().unwrap();
        assert_eq!(lab.at(&lab.tc, "v1"), Some(theirs), "pushed after {minutes} minutes");
    }
}

#[tokio::test(start_paused = true)]
async fn signatures_between_masters_without_lists_of_referrers_are_no_conflict() {
    let lab = Lab::new().await;
    for registry in [&lab.bj, &lab.tc] {
        registry.trouble(|t| t.no_referrers = true);
    }
    lab.settled().await;
    for round in 0..3 {
        let image = lab.push(&lab.bj, "v1", round);
        for n in 0..3 {
            lab.bj.push_artifact(WEB, &image, "text/sig", format!("{round} {n}").into()).unwrap();
        }
        let view = lab.run().await;
        assert_eq!((view.state, view.tags.conflicts), (RunState::Done, 0), "{view:?}");
        let writes = lab.writes();
        assert_eq!((lab.run().await.state, lab.writes()), (RunState::Done, writes));
        assert!(lab.is_equal());
    }
}

#[tokio::test(start_paused = true)]
async fn a_signature_that_did_not_come_the_way_back_comes_with_the_next_run() {
    for crashes in [false, true] {
        let mut lab = Lab::new().await;
        lab.settled().await;
        let image = lab.push(&lab.tc, "v1", 1);
        lab.tc.push_artifact(WEB, &image, "text/sig", "signed".into()).unwrap();
        lab.tc.trouble(|t| t.mute_referrers = true);
        assert_eq!(lab.run().await.state, RunState::Incomplete);
        assert_eq!(lab.at(&lab.bj, "v1").as_ref(), Some(&image));
        let writes = lab.writes();
        assert_eq!(
            (lab.run().await.state, lab.writes()),
            (RunState::Incomplete, writes),
            "no write, no event"
        );
        lab.tc.trouble(|t| t.mute_referrers = false);
        if crashes {
            lab.crash().await;
        }
        assert_eq!(lab.run().await.state, RunState::Done);
        assert_eq!(lab.bj.referrers(&repository(), &image).await.unwrap().len(), 1);
        let writes = lab.writes();
        assert_eq!((lab.run().await.state, lab.writes()), (RunState::Done, writes), "it is owed no more");
        assert!(lab.is_equal());
    }
}

#[tokio::test(start_paused = true)]
async fn a_signature_that_did_not_come_with_an_answer_comes_with_the_next_run() {
    let lab = Lab::new().await;
    lab.settled().await;
    let image = lab.push(&lab.tc, "v1", 1);
    lab.tc.push_artifact(WEB, &image, "text/sig", "signed".into()).unwrap();
    lab.push(&lab.bj, "v1", 2);
    lab.run().await;
    lab.tc.trouble(|t| t.mute_referrers = true);
    lab.answer(&lab.conflict(), Choice::TargetWins).await.unwrap();
    tokio::time::sleep(HOUR).await;
    assert!(lab.handle().conflicts(None).is_empty(), "what was chosen is done");
    assert_eq!(lab.at(&lab.bj, "v1").as_ref(), Some(&image));
    lab.tc.trouble(|t| t.mute_referrers = false);
    lab.run().await;
    lab.run().await;
    assert_eq!(lab.bj.referrers(&repository(), &image).await.unwrap().len(), 1);
}
