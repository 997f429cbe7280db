//! Runs that are stopped, joined, paused or overtaken by a change of their rule; and what has to have an end.

use std::time::Duration;

use longshore::adapters::sim::{RegistryCall, RegistryPace, SimRegistry, layer};
use longshore::base::ids::RuleName;
use longshore::model::oci::{Manifest, Reference, Repository};
use longshore::model::replication::{
    Budget, Cause, Difference, LineLimits, On, Rule, RunId, RunState, TagRun, TagState,
};
use longshore::ports::registry::{Catalogue, Content};
use tokio::time::Instant;

use crate::{Lab, fill, line, only, rule};

#[tokio::test(start_paused = true)]
async fn a_run_that_is_stopped_while_it_compares_is_no_done_one() {
    let lab = Lab::new().await;
    fill(&lab.hq, 3, 3, 100);
    lab.run(rule(&["branch"])).await;
    lab.hq.pace(RegistryPace { latency_ms: 500, ..RegistryPace::default() });
    let handle = lab.handle();
    let id = handle.start(rule(&["branch"]), Cause::Schedule).await.unwrap();
    tokio::time::sleep(Duration::from_millis(700)).await;
    handle.stop(id).await.unwrap();
    let view = handle.ended(id).await.unwrap();
    assert_eq!(view.state, RunState::Stopped, "{view:?}");
}

#[tokio::test(start_paused = true)]
async fn who_joins_a_run_that_moves_is_told_of_what_came_meanwhile() {
    let lab = Lab::new().await;
    lab.hq.push_image("feed/web", "v1", &[layer(1, 1_000_000)]).unwrap();
    let handle = lab.handle();
    let slow = Budget { from: 0, until: 24, bytes_per_s: Some(100_000), requests_per_hour: None };
    handle.set_limits(LineLimits { line: line(), parallel: 2, budgets: vec![slow] });
    let id = handle.start(rule(&["branch"]), Cause::Schedule).await.unwrap();
    tokio::time::sleep(Duration::from_secs(5)).await;
    lab.hq.push_image("feed/web", "v2", &[layer(2, 100)]).unwrap();
    assert_eq!(handle.start(rule(&["branch"]), Cause::Schedule).await.unwrap(), id, "it is joined");
    assert_eq!(handle.ended(id).await.unwrap().state, RunState::Done);
    assert!(lab.is_equal());
    // One that ends is joined no more, and one of another content makes way.
    for is_other in [false, true] {
        lab.hq.push_image("feed/web", "v3", &[layer(3 + u64::from(is_other), 1_000_000)]).unwrap();
        let old = handle.start(rule(&["branch"]), Cause::Schedule).await.unwrap();
        tokio::time::sleep(Duration::from_secs(3)).await;
        let mut next = rule(&["branch"]);
        if is_other {
            next.filters = vec![only(On::Tag, "v[12]")];
        } else {
            handle.stop(old).await.unwrap();
        }
        let new = handle.start(next, Cause::Schedule).await.unwrap();
        assert!(new > old);
        assert_eq!(handle.ended(new).await.unwrap().state, RunState::Done);
        let records = handle.runs(&RuleName::new("all").unwrap(), 9).await.unwrap();
        let state = records.iter().find(|r| r.id == old).unwrap().state;
        assert_eq!(state, RunState::Stopped);
    }
}

#[tokio::test(start_paused = true)]
async fn a_rule_that_is_gone_writes_nothing_more() {
    let lab = Lab::new().await;
    lab.hq.push_image("feed/web", "v1", &[layer(1, 1_000_000)]).unwrap();
    let handle = lab.handle();
    let slow = Budget { from: 0, until: 24, bytes_per_s: Some(100_000), requests_per_hour: None };
    handle.set_limits(LineLimits { line: line(), parallel: 2, budgets: vec![slow] });
    let id = handle.start(rule(&["branch"]), Cause::Schedule).await.unwrap();
    tokio::time::sleep(Duration::from_secs(3)).await;
    handle.set_rules(&[]).await.unwrap();
    assert_eq!(handle.ended(id).await.unwrap().state, RunState::Stopped);
    assert!(lab.branch.all_tags().is_empty());
}

#[tokio::test(start_paused = true)]
async fn indexes_that_name_the_same_ones_many_times_cost_little() {
    const INDEX: &str = "application/vnd.oci.image.index.v1+json";
    let lab = Lab::new().await;
    let repository = "feed/web".parse().unwrap();
    lab.hq.push_index("feed/web", "v0", &[("amd64", vec![layer(1, 50)])]).unwrap();
    let mut digest = lab.hq.all_tags().into_values().next().unwrap();
    let put = async |tag: &str, children: Vec<serde_json::Value>| {
        let list = serde_json::json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": children});
        let index = Manifest::read(INDEX, list.to_string().into_bytes()).unwrap();
        lab.hq.put_manifest(&repository, &Reference::Tag(tag.parse().unwrap()), &index).await.unwrap();
        index.digest
    };
    let child = |digest: String, n: usize| serde_json::json!({"mediaType": INDEX, "digest": digest, "size": 100, "annotations": {"n": n.to_string()}});
    for level in 1..5 {
        digest = put(&format!("v{level}"), (0..60).map(|n| child(digest.to_string(), n)).collect()).await;
    }
    lab.branch.forget_counts();
    let view = lab.run(rule(&["branch"])).await;
    assert_eq!(view.state, RunState::Done, "{view:?}");
    assert!(lab.is_equal());
    let heads = lab.branch.counts().of(RegistryCall::Head);
    assert!(heads < 100, "60 to the fourth without an end to it, and now {heads}");
    // More than a thousand are no image.
    let mut many = Vec::new();
    for n in 0..1_001 {
        let tag = format!("p{n}");
        let one = put(&tag, vec![child(digest.to_string(), n)]).await;
        many.push(child(one.to_string(), 0));
        lab.hq.drop_tag("feed/web", &tag).unwrap();
    }
    put("many", many).await;
    let view = lab.run(rule(&["branch"])).await;
    assert!(view.reason.unwrap().safe().contains("more than 1000 manifests"));
}

#[tokio::test(start_paused = true)]
async fn a_paused_run_holds_up_no_other() {
    let lab = Lab::new().await;
    lab.hq.push_image("feed/web", "v1", &[layer(1, 1_000_000)]).unwrap();
    lab.hq.push_image("ads/top", "v1", &[layer(2, 1_000)]).unwrap();
    let of = |name: &str, glob: &str| {
        let filters = vec![only(On::Repository, glob)];
        Rule { name: RuleName::new(name).unwrap(), filters, ..rule(&["branch"]) }
    };
    let handle = lab.handle();
    let slow = Budget { from: 0, until: 24, bytes_per_s: Some(100_000), requests_per_hour: None };
    handle.set_limits(LineLimits { line: line(), parallel: 1, budgets: vec![slow] });
    let first = handle.start(of("feed", "feed/**"), Cause::Schedule).await.unwrap();
    tokio::time::sleep(Duration::from_secs(3)).await;
    handle.pause(first).await.unwrap();
    let second = handle.start(of("ads", "ads/**"), Cause::Schedule).await.unwrap();
    let ended = tokio::time::timeout(Duration::from_secs(600), handle.ended(second)).await;
    assert_eq!(ended.expect("it goes on").unwrap().state, RunState::Done);
    handle.resume(first).await.unwrap();
    assert_eq!(handle.ended(first).await.unwrap().state, RunState::Done);
    assert!(lab.is_equal());
}

#[tokio::test(start_paused = true)]
async fn a_damaged_blob_is_sent_twice_and_not_more() {
    let lab = Lab::new().await;
    lab.hq.push_image("feed/web", "v1", &[layer(1, 1_000)]).unwrap();
    lab.hq.trouble(|t| t.flip_reads = 9_999);
    let view = lab.run(rule(&["branch"])).await;
    assert_eq!(view.state, RunState::Incomplete, "{view:?}");
    let reads = lab.hq.counts().of(RegistryCall::ReadBlob);
    assert!(reads <= 4, "two blobs, twice each: {reads}");
}

#[tokio::test(start_paused = true)]
async fn the_tries_of_a_blob_do_not_multiply() {
    type Case = (&'static str, u64, fn(&SimRegistry, &SimRegistry));
    let cases: [Case; 3] = [
        ("none given", 5, |hq, _| hq.trouble(|t| t.mute_blobs = Some(0))),
        // (Two of them come so far that it counts.)
        ("always cut", 9, |hq, _| hq.trouble(|t| t.cut_reads = u32::MAX)),
        ("never taken", 5, |_, branch| branch.trouble(|t| t.cut_writes = u32::MAX)),
    ];
    for (name, most, trouble) in cases {
        let lab = Lab::new().await;
        lab.hq.push_image("feed/web", "v1", &[layer(1, 40_000)]).unwrap();
        trouble(&lab.hq, &lab.branch);
        let began = Instant::now();
        let view = lab.run(rule(&["branch"])).await;
        assert_eq!(view.state, RunState::Incomplete, "{name}: {view:?}");
        let reads = lab.hq.counts().of(RegistryCall::ReadBlob);
        assert!((10..=2 * most).contains(&reads), "{name}: two blobs, {most} times each: {reads}");
        assert!(began.elapsed() < Duration::from_secs(40), "{name}: {:?}", began.elapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn a_blob_of_which_some_more_comes_each_time_arrives() {
    let lab = Lab::new().await;
    lab.hq.push_image("feed/web", "v1", &[layer(1, 40_000_000)]).unwrap();
    lab.hq.trouble(|t| t.cut_reads = 9);
    let view = lab.run(rule(&["branch"])).await;
    assert_eq!(view.state, RunState::Done, "{view:?}");
    assert!(lab.is_equal() && lab.hq.counts().bytes_out < 40_100_000);
}

/// How many tags of a run failed with these words.
async fn said(lab: &Lab, id: RunId, words: &str) -> usize {
    let tags = lab.handle().tags(id, 0, 1_000).await.unwrap();
    let has = |t: &&TagRun| matches!(&t.state, TagState::Failed(why) if why.safe().contains(words));
    tags.iter().filter(has).count()
}

#[tokio::test(start_paused = true)]
async fn a_line_on_which_nothing_comes_through_ends_its_run_soon_and_is_tried_by_the_next() {
    type Case = (&'static str, fn(&Lab, bool));
    let cases: [Case; 4] = [
        ("the source gives no blobs", |lab, is| lab.hq.trouble(|t| t.mute_blobs = is.then_some(0))),
        ("the source is gone", |lab, is| lab.hq.trouble(|t| t.unreachable = is)),
        ("the target takes no blobs", |lab, is| {
            lab.branch.trouble(|t| t.cut_writes = if is { u32::MAX } else { 0 });
        }),
        ("the target is full", |lab, is| lab.branch.trouble(|t| t.full = is)),
    ];
    for (name, trouble) in cases {
        let lab = Lab::new().await;
        fill(&lab.hq, 40, 20, 500);
        lab.hq.pace(RegistryPace { latency_ms: 10, ..RegistryPace::default() });
        let id = lab.handle().start(rule(&["branch"]), Cause::Schedule).await.unwrap();
        // It has compared, and some has come.
        while lab.branch.counts().bytes_in < 50_000 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        trouble(&lab, true);
        let began = Instant::now();
        let view = lab.handle().ended(id).await.unwrap();
        assert_eq!(view.state, RunState::Incomplete, "{name}: {view:?}");
        assert!(view.tags.failed > 500, "{name}: {view:?}");
        let took = began.elapsed();
        assert!(took > Duration::from_secs(90) && took < Duration::from_secs(240), "{name}: {took:?}");
        assert!(said(&lab, id, "not tried: the last ").await > 200, "{name}");
        trouble(&lab, false);
        assert_eq!(lab.run(rule(&["branch"])).await.state, RunState::Done, "{name}");
        assert!(lab.is_equal(), "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_registry_that_is_away_for_a_minute_costs_some_tags_and_not_the_rest() {
    let lab = Lab::new().await;
    fill(&lab.hq, 20, 20, 500);
    lab.hq.pace(RegistryPace { latency_ms: 10, ..RegistryPace::default() });
    let id = lab.handle().start(rule(&["branch"]), Cause::Schedule).await.unwrap();
    while lab.branch.counts().bytes_in < 20_000 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    lab.hq.trouble(|t| t.unreachable = true);
    tokio::time::sleep(Duration::from_secs(60)).await;
    lab.hq.trouble(|t| t.unreachable = false);
    let view = lab.handle().ended(id).await.unwrap();
    assert_eq!(said(&lab, id, "not tried").await, 0);
    assert!(view.tags.done > 200, "{view:?}");
}

#[tokio::test(start_paused = true)]
async fn what_never_comes_does_not_keep_the_others_from_coming() {
    // More of them than go at a time, and they go first.
    for bad in [20, 150] {
        let lab = Lab::new().await;
        fill(&lab.hq, 4, 20, 500);
        for n in 0..bad {
            lab.hq.push_image("bad/large", &format!("v{n}"), &[layer(500_000 + n, 9_000)]).unwrap();
        }
        lab.hq.trouble(|t| t.mute_blobs = Some(9_000));
        let view = lab.run(rule(&["branch"])).await;
        let came = (view.state, view.tags.done, u64::from(view.tags.failed));
        assert_eq!(came, (RunState::Incomplete, 80, bad), "{view:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_paused_run_outlasts_a_line_that_another_run_has_given_up() {
    let lab = Lab::new().await;
    fill(&lab.hq, 20, 10, 2_000);
    lab.hq.pace(RegistryPace { latency_ms: 10, ..RegistryPace::default() });
    let of = |name: &str, glob: &str| Rule {
        name: RuleName::new(name).unwrap(),
        filters: vec![only(On::Repository, glob)],
        ..rule(&["branch"])
    };
    let handle = lab.handle();
    let rests = handle.start(of("rests", "feed/r?"), Cause::Schedule).await.unwrap();
    while lab.branch.counts().bytes_in < 10_000 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    handle.pause(rests).await.unwrap();
    lab.hq.trouble(|t| t.mute_blobs = Some(0));
    let goes = handle.start(of("goes", "feed/r??"), Cause::Schedule).await.unwrap();
    assert_eq!(handle.ended(goes).await.unwrap().state, RunState::Incomplete);
    assert!(said(&lab, goes, "not tried").await > 0);
    assert_eq!(
        (said(&lab, rests, "").await, handle.runs(&of("rests", "*").name, 1).await.unwrap()[0].state),
        (0, RunState::Paused)
    );
    lab.hq.trouble(|t| t.mute_blobs = None);
    handle.resume(rests).await.unwrap();
    assert_eq!(handle.ended(rests).await.unwrap().state, RunState::Done);
}

fn named(name: &str) -> Repository {
    name.parse().unwrap()
}

#[tokio::test(start_paused = true)]
async fn who_finds_a_tag_finds_what_refers_to_it_also_after_a_stop_in_the_middle() {
    for stops_after_ms in [None, Some(300), Some(600), Some(900), Some(1_200), Some(1_500), Some(1_800)] {
        let lab = Lab::new().await;
        let image = lab.hq.push_image("feed/web", "v1", &[layer(1, 100)]).unwrap();
        lab.hq.push_artifact("feed/web", &image, "text/sig", "signed".into()).unwrap();
        for registry in [&lab.hq, &lab.branch] {
            registry.pace(RegistryPace { latency_ms: 100, ..RegistryPace::default() });
        }
        let listed = async || lab.branch.referrers(&named("feed/web"), &image).await.unwrap().len();
        let id = lab.handle().start(rule(&["branch"]), Cause::Schedule).await.unwrap();
        if let Some(ms) = stops_after_ms {
            tokio::time::sleep(Duration::from_millis(ms)).await;
            lab.handle().stop(id).await.unwrap();
            lab.handle().ended(id).await.unwrap();
        }
        while stops_after_ms.is_none() && lab.branch.all_tags().is_empty() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let has_tag = !lab.branch.all_tags().is_empty();
        assert!(!has_tag || listed().await == 1, "stopped after {stops_after_ms:?}");
        lab.run(rule(&["branch"])).await;
        assert_eq!(listed().await, 1, "stopped after {stops_after_ms:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn referrers_that_did_not_come_with_their_tag_come_with_the_next_run() {
    for crashes in [false, true] {
        let mut lab = Lab::new().await;
        let image = lab.hq.push_image("feed/web", "v1", &[layer(1, 100)]).unwrap();
        lab.hq.push_artifact("feed/web", &image, "text/sig", "signed".into()).unwrap();
        lab.hq.push_image("ads/top", "v1", &[layer(2, 100)]).unwrap();
        lab.hq.trouble(|t| t.mute_referrers = true);
        let view = lab.run(rule(&["branch"])).await;
        assert_eq!(view.state, RunState::Incomplete, "{view:?}");
        assert!(view.reason.unwrap().safe().contains("what refers to it has not"));
        assert!(lab.is_equal(), "the image is more urgent than its signature");
        // What cannot be brought is asked for with each run, and nothing is written again for that: a write would be an event.
        let writes = || lab.branch.counts().of(RegistryCall::PutManifest);
        let before = writes();
        assert_eq!((lab.run(rule(&["branch"])).await.state, writes()), (RunState::Incomplete, before));
        lab.hq.trouble(|t| t.mute_referrers = false);
        if crashes {
            lab.crash().await;
            lab.begin().await;
        }
        // A run about another repository comes between.
        let some = Some([named("ads/top")].into());
        let id = lab.handle().start_some(rule(&["branch"]), Cause::Schedule, some).await.unwrap();
        assert_eq!(lab.handle().ended(id).await.unwrap().state, RunState::Done);
        if crashes {
            lab.crash().await;
            lab.begin().await;
        }
        let listed = async || lab.branch.referrers(&named("feed/web"), &image).await.unwrap().len();
        assert_eq!(listed().await, 0);
        assert_eq!(lab.run(rule(&["branch"])).await.state, RunState::Done);
        assert_eq!(listed().await, 1);
        let view = lab.run(rule(&["branch"])).await;
        assert_eq!((view.tags.same, view.tags.done), (2, 0), "it is owed no more");
    }
}

#[tokio::test(start_paused = true)]
async fn a_signature_that_comes_later_follows_where_the_rule_compares_that_too() {
    for (two_way, by_tags) in [(false, false), (true, false), (false, true)] {
        let lab = Lab::new().await;
        lab.hq.trouble(|t| t.no_referrers = by_tags);
        lab.branch.trouble(|t| t.no_referrers = by_tags);
        let image = lab.hq.push_image("feed/web", "v1", &[layer(1, 1_000)]).unwrap();
        let plain = Rule { two_way, ..rule(&["branch"]) };
        assert_eq!(lab.run(plain.clone()).await.state, RunState::Done);
        // At the side that the image came to, with two masters.
        let (signed, other) = if two_way { (&lab.branch, &lab.hq) } else { (&lab.hq, &lab.branch) };
        signed.push_artifact("feed/web", &image, "x/sig", layer(2, 20)).unwrap();
        let listed = async || other.referrers(&named("feed/web"), &image).await.unwrap().len();
        if !by_tags {
            // Its tag says nothing of it.
            assert_eq!((lab.run(plain.clone()).await.tags.done, listed().await), (0, 0));
        }
        let compares = Rule { compare_referrers: true, ..plain };
        let diff = lab.handle().diff(&compares).await.unwrap();
        assert!(by_tags || diff.rows[0].difference == Difference::Behind, "{diff:?}");
        let view = lab.run(compares.clone()).await;
        assert_eq!((view.state, listed().await), (RunState::Done, 1), "{two_way} {by_tags}: {view:?}");
        let view = lab.run(compares.clone()).await;
        assert_eq!((view.state, view.tags.done), (RunState::Done, 0), "{two_way} {by_tags}: {view:?}");
        if by_tags {
            // Of what a list names although it was deleted only the list itself suffers.
            let gone = signed.push_artifact("feed/web", &image, "x/sig", layer(3, 20)).unwrap();
            signed.delete_manifest(&named("feed/web"), &gone).await.unwrap();
            let view = lab.run(compares.clone()).await;
            assert_eq!((view.tags.same, view.tags.failed), (1, 1), "{view:?}");
        }
        lab.branch.trouble(|t| t.mute_referrers = true);
        let view = lab.run(compares).await;
        assert!(view.state == RunState::Incomplete && view.tags.unknown > 0, "{view:?}");
    }
}
