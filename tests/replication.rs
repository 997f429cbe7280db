//! Replication between simulated registries on virtual time: copies, faults, budgets, crashes.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "tests say what failed by failing")]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use longshore::adapters::sim::{RegistryCall, RegistryPace, SimRegistry, layer};
use longshore::base::clock::{Millis, SharedClock, TokioClock};
use longshore::base::ids::{InstallId, RegistryName, RuleName, Seeded};
use longshore::engine::registry::{Handle, Registries, Replicator};
use longshore::model::oci::Platform;
use longshore::model::replication::{
    Budget, Cause, Deletes, Difference, Filter, Line, LineLimits, On, Pattern, Rule, RunState, RunView,
    TagState, Trigger,
};
use longshore::ports::registry::RegistryClient;
use longshore::store::Store;
use proptest::prelude::*;

#[path = "replication/ends.rs"]
mod ends;

fn name(text: &str) -> RegistryName {
    RegistryName::new(text).unwrap()
}

fn rule(targets: &[&str]) -> Rule {
    Rule {
        name: RuleName::new("all").unwrap(),
        source: name("hq"),
        targets: targets.iter().map(|t| name(t)).collect(),
        two_way: false,
        filters: vec![],
        platforms: vec![],
        trigger: Trigger::default(),
        deletes: Deletes::Keep,
        compare_referrers: false,
        grace_ms: None,
        prefix: None,
        priority: 0,
        enabled: true,
    }
}

fn only(on: On, glob: &str) -> Filter {
    Filter { on, pattern: Pattern::Glob(glob.to_owned()), exclude: false }
}

/// Two registries and what replicates between them.
struct Lab {
    hq: SimRegistry,
    branch: SimRegistry,
    dir: tempfile::TempDir,
    replicator: Option<Replicator>,
}

impl Lab {
    async fn new() -> Lab {
        let dir = tempfile::tempdir().unwrap();
        let mut lab =
            Lab { hq: SimRegistry::new("hq"), branch: SimRegistry::new("branch"), dir, replicator: None };
        lab.begin().await;
        lab
    }

    async fn begin(&mut self) {
        let (store, clock) = store(self.dir.path()).await;
        let hq: Arc<dyn RegistryClient> = Arc::new(self.hq.clone());
        let branch: Arc<dyn RegistryClient> = Arc::new(self.branch.clone());
        let registries: Registries = BTreeMap::from([(name("hq"), hq), (name("branch"), branch)]);
        self.replicator = Some(Replicator::begin(registries, store, clock).await.unwrap());
    }

    async fn crash(&mut self) {
        if let Some(replicator) = self.replicator.take() {
            replicator.end().await;
        }
    }

    fn handle(&self) -> Handle {
        self.replicator.as_ref().unwrap().handle()
    }

    async fn run(&self, rule: Rule) -> RunView {
        let handle = self.handle();
        let id = handle.start(rule, Cause::Schedule).await.unwrap();
        tokio::time::timeout(Duration::from_secs(7200), handle.ended(id)).await.expect("it ends").unwrap()
    }

    fn is_equal(&self) -> bool {
        self.hq.all_tags() == self.branch.all_tags() && self.branch.missing(false).is_empty()
    }

    fn uploads_at_most(&self, most: u64) -> bool {
        self.branch.counts().uploads.values().all(|n| *n <= most)
    }
}

async fn store(dir: &Path) -> (Store, SharedClock) {
    let clock: SharedClock = Arc::new(TokioClock::starting_at(Millis(1_763_700_000_000)));
    let opened = Store::open(dir, clock.clone(), InstallId("0a1b2c3d".into())).await.unwrap();
    (opened.store, clock)
}

fn line() -> Line {
    Line { from: name("hq"), to: name("branch") }
}

/// Repositories of some tags, whose images share layers within and across repositories.
fn fill(registry: &SimRegistry, repositories: u64, tags: u64, size: usize) {
    let base = layer(1, size);
    for r in 0..repositories {
        let own = layer(100 + r, size);
        for t in 0..tags {
            let top = layer(10_000 + r * 1000 + t, size / 2);
            let layers = [base.clone(), own.clone(), top];
            registry.push_image(&format!("feed/r{r}"), &format!("v{t}"), &layers).unwrap();
        }
    }
}

#[tokio::test(start_paused = true)]
async fn everything_arrives_once_and_a_second_run_has_nothing_to_do() {
    let lab = Lab::new().await;
    fill(&lab.hq, 4, 50, 4_000);
    let view = lab.run(rule(&["branch"])).await;
    assert_eq!((view.state, view.tags.done, view.compared), (RunState::Done, 200, 200), "{view:?}");
    assert!(lab.is_equal() && lab.uploads_at_most(1));
    assert_eq!(view.moved, view.bytes);
    let unique: u64 = 4_000 + 4 * 4_000 + 200 * 2_000;
    assert!(lab.hq.counts().bytes_out >= unique && lab.hq.counts().bytes_out < unique + 200 * 100);
    assert_eq!(lab.branch.counts().bytes_in, lab.hq.counts().bytes_out);
    lab.hq.forget_counts();
    lab.branch.forget_counts();
    lab.hq.pace(RegistryPace { latency_ms: 20, ..RegistryPace::default() });
    lab.branch.pace(RegistryPace { latency_ms: 20, ..RegistryPace::default() });
    let began = tokio::time::Instant::now();
    let view = lab.run(rule(&["branch"])).await;
    assert_eq!((view.state, view.tags.same, view.bytes), (RunState::Done, 200, 0));
    assert!(began.elapsed() < Duration::from_millis(800), "{:?}", began.elapsed());
    let (hq, branch) = (lab.hq.counts(), lab.branch.counts());
    assert_eq!(hq.of(RegistryCall::Head) + branch.of(RegistryCall::Head), 400);
    assert!(hq.total() + branch.total() < 400 + 20, "{hq:?} {branch:?}");
}

#[tokio::test(start_paused = true)]
async fn a_layer_of_many_tags_is_moved_once_and_mounted_elsewhere() {
    let lab = Lab::new().await;
    lab.hq.pace(RegistryPace { latency_ms: 5, bytes_per_s: Some(100_000), page: 3 });
    fill(&lab.hq, 5, 4, 20_000);
    assert_eq!(lab.run(rule(&["branch"])).await.state, RunState::Done);
    assert!(lab.is_equal() && lab.uploads_at_most(1));
    assert!(lab.branch.counts().of(RegistryCall::Mount) >= 4);
    // A registry that does not mount gets them again, and is asked a few times only.
    let lab = Lab::new().await;
    lab.branch.trouble(|t| t.no_mount = true);
    fill(&lab.hq, 20, 2, 1_000);
    assert_eq!(lab.run(rule(&["branch"])).await.state, RunState::Done);
    assert!(lab.is_equal());
    assert!(lab.branch.counts().of(RegistryCall::Mount) <= 12);
}

#[tokio::test(start_paused = true)]
async fn a_cut_source_goes_on_at_its_offset_while_the_upload_lives() {
    for no_range in [false, true] {
        let lab = Lab::new().await;
        lab.hq.push_image("feed/web", "v1", &[layer(7, 1_000_000)]).unwrap();
        lab.hq.trouble(|t| (t.cut_reads, t.no_range) = (3, no_range));
        assert_eq!(lab.run(rule(&["branch"])).await.state, RunState::Done);
        assert!(lab.is_equal());
        let (out, sent) = (lab.hq.counts().bytes_out, lab.branch.counts().bytes_in);
        assert!(sent < 1_000_200, "the target got {sent}");
        assert_eq!(out < 1_000_200, !no_range, "the source sent {out}");
    }
}

#[tokio::test(start_paused = true)]
async fn every_passing_trouble_is_outlived() {
    let troubles: [fn(&SimRegistry, &SimRegistry); 6] = [
        |hq, _| hq.trouble(|t| t.fail_next = 3),
        |_, branch| branch.trouble(|t| t.fail_next = 3),
        |hq, branch| {
            hq.trouble(|t| t.limit_next = 2);
            branch.trouble(|t| t.limit_next = 2);
        },
        |hq, _| hq.trouble(|t| t.flip_reads = 2),
        |_, branch| branch.trouble(|t| t.cut_writes = 4),
        |hq, _| hq.pace(RegistryPace { bytes_per_s: Some(2_000), ..RegistryPace::default() }),
    ];
    for (n, trouble) in troubles.iter().enumerate() {
        let lab = Lab::new().await;
        fill(&lab.hq, 2, 3, 3_000);
        trouble(&lab.hq, &lab.branch);
        let view = lab.run(rule(&["branch"])).await;
        assert_eq!(view.state, RunState::Done, "{n}: {view:?}");
        assert!(lab.is_equal(), "{n}");
    }
}

#[tokio::test(start_paused = true)]
async fn lasting_trouble_ends_in_a_true_state_with_its_reason() {
    type Case = (fn(&SimRegistry, &SimRegistry), RunState, &'static str);
    let cases: [Case; 7] = [
        (|hq, _| hq.trouble(|t| t.unreachable = true), RunState::Failed, "source hq does not answer"),
        (|_, b| b.trouble(|t| t.unreachable = true), RunState::Failed, "target branch does not answer"),
        (|hq, _| hq.trouble(|t| t.no_catalogue = true), RunState::Failed, "does not list"),
        (|hq, _| hq.trouble(|t| t.cut_lists = true), RunState::Failed, "cannot be listed"),
        (|_, b| b.trouble(|t| t.read_only = true), RunState::Incomplete, "DENIED"),
        (|_, b| b.trouble(|t| t.full = true), RunState::Incomplete, "no space left"),
        (|hq, _| hq.trouble(|t| t.flip_reads = 9_999), RunState::Incomplete, "do not have their digest"),
    ];
    for (trouble, state, reason) in cases {
        let lab = Lab::new().await;
        fill(&lab.hq, 2, 2, 3_000);
        trouble(&lab.hq, &lab.branch);
        let view = lab.run(rule(&["branch"])).await;
        assert_eq!(view.state, state, "{view:?}");
        assert!(view.reason.clone().unwrap().safe().contains(reason), "{view:?}");
        assert!(lab.branch.all_tags().is_empty() && lab.branch.missing(false).is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn a_failed_list_of_the_source_is_no_empty_source() {
    let lab = Lab::new().await;
    fill(&lab.hq, 1, 3, 100);
    assert_eq!(lab.run(rule(&["branch"])).await.state, RunState::Done);
    lab.hq.drop_tag("feed/r0", "v1").unwrap();
    let diff = lab.handle().diff(&rule(&["branch"])).await.unwrap();
    let extra: Vec<_> = diff.rows.iter().filter(|r| r.difference == Difference::Extra).collect();
    assert_eq!((extra.len(), extra[0].tag.as_str()), (1, "v1"));
    let mut named = rule(&["branch"]);
    named.filters = vec![only(On::Repository, "feed/r0")];
    lab.hq.trouble(|t| (t.no_catalogue, t.cut_lists) = (true, true));
    let diff = lab.handle().diff(&named).await.unwrap();
    assert!(diff.rows.is_empty() && diff.unknown.len() == 1, "{diff:?}");
    let view = lab.run(named).await;
    assert_eq!((view.state, view.tags.extra, view.tags.unknown), (RunState::Incomplete, 0, 1));
}

#[tokio::test(start_paused = true)]
async fn indexes_signatures_and_bills_of_materials_travel_along() {
    for (from_tags, to_tags) in [(false, false), (false, true), (true, true), (true, false)] {
        let lab = Lab::new().await;
        lab.hq.trouble(|t| t.no_referrers = from_tags);
        lab.branch.trouble(|t| t.no_referrers = to_tags);
        let images = [("amd64", vec![layer(1, 500)]), ("arm64", vec![layer(2, 500)])];
        let index = lab.hq.push_index("feed/web", "v1", &images).unwrap();
        let sbom = lab.hq.push_artifact("feed/web", &index, "application/spdx+json", layer(3, 90)).unwrap();
        lab.hq.push_artifact("feed/web", &sbom, "application/signature", layer(4, 90)).unwrap();
        let mut wanted = rule(&["branch"]);
        wanted.filters = vec![only(On::Tag, "v*")];
        let view = lab.run(wanted).await;
        assert_eq!(view.state, RunState::Done, "{view:?}");
        let web = "feed/web".parse().unwrap();
        for subject in [&index, &sbom] {
            use longshore::ports::registry::Catalogue;
            let listed = lab.branch.referrers(&web, subject).await.unwrap();
            assert_eq!(listed.len(), 1, "{from_tags} {to_tags}");
        }
        assert!(lab.branch.missing(false).is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn platforms_that_are_left_out_are_gaps_and_the_index_stays_as_it_is() {
    for takes_gaps in [true, false] {
        let lab = Lab::new().await;
        lab.branch.trouble(|t| t.takes_gaps = takes_gaps);
        let images = [("amd64", vec![layer(1, 500)]), ("arm64", vec![layer(2, 90_000)])];
        lab.hq.push_index("feed/web", "v1", &images).unwrap();
        let mut wanted = rule(&["branch"]);
        wanted.platforms = vec![Platform { os: "linux".into(), architecture: "amd64".into(), variant: None }];
        let view = lab.run(wanted).await;
        let tags = lab.handle().tags(view.id, 0, 9).await.unwrap();
        assert_eq!(tags[0].gaps[0].architecture, "arm64");
        assert!(lab.branch.counts().bytes_in < 2_000);
        if takes_gaps {
            assert_eq!((view.state, &tags[0].state), (RunState::Done, &TagState::Done));
            assert_eq!(lab.hq.all_tags(), lab.branch.all_tags());
            assert!(lab.branch.missing(true).is_empty());
        } else {
            assert_eq!(view.state, RunState::Incomplete);
            assert!(view.reason.unwrap().safe().contains("linux/arm64"), "{:?}", tags[0]);
            assert!(lab.branch.all_tags().is_empty());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn pause_and_stop_take_effect_inside_a_blob() {
    let lab = Lab::new().await;
    lab.hq.push_image("feed/web", "v1", &[layer(7, 10_000_000)]).unwrap();
    lab.hq.pace(RegistryPace { bytes_per_s: Some(1_000_000), ..RegistryPace::default() });
    let handle = lab.handle();
    let id = handle.start(rule(&["branch"]), Cause::Person("ann".into())).await.unwrap();
    assert_eq!(handle.start(rule(&["branch"]), Cause::Event).await.unwrap(), id, "it joins");
    tokio::time::sleep(Duration::from_secs(3)).await;
    let view = handle.views().borrow().of_rule(&rule(&[]).name).cloned().unwrap();
    assert_eq!((view.state, view.joined), (RunState::Moving, 1));
    assert!(view.rate.is_some_and(|r| r > 500_000) && view.eta_ms.is_some(), "{view:?}");
    handle.pause(id).await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    let sent = lab.branch.counts().bytes_in;
    tokio::time::sleep(Duration::from_secs(50)).await;
    assert_eq!(lab.branch.counts().bytes_in, sent);
    let view = handle.views().borrow().runs[0].clone();
    assert_eq!((view.state, view.stalled), (RunState::Paused, None));
    handle.resume(id).await.unwrap();
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(lab.branch.counts().bytes_in > sent);
    handle.stop(id).await.unwrap();
    let view = handle.ended(id).await.unwrap();
    assert_eq!(view.state, RunState::Stopped);
    let sent = lab.branch.counts().bytes_in;
    tokio::time::sleep(Duration::from_secs(50)).await;
    assert_eq!(lab.branch.counts().bytes_in, sent);
    assert_eq!(handle.tags(id, 0, 9).await.unwrap()[0].state, TagState::Stopped);
    assert!(lab.branch.all_tags().is_empty() && sent < 7_000_000);
    assert_eq!(lab.run(rule(&["branch"])).await.state, RunState::Done);
}

#[tokio::test(start_paused = true)]
async fn a_line_carries_what_it_may_and_a_change_counts_at_once() {
    let lab = Lab::new().await;
    lab.hq.push_image("feed/web", "v1", &[layer(7, 3_000_000), layer(8, 3_000_000)]).unwrap();
    let limit = |bytes_per_s| LineLimits {
        line: line(),
        parallel: 4,
        budgets: vec![Budget { from: 0, until: 24, bytes_per_s, requests_per_hour: None }],
    };
    let handle = lab.handle();
    handle.set_limits(limit(Some(100_000)));
    let id = handle.start(rule(&["branch"]), Cause::Schedule).await.unwrap();
    tokio::time::sleep(Duration::from_secs(20)).await;
    let sent = lab.branch.counts().bytes_in;
    assert!((1_700_000..2_300_000).contains(&sent), "{sent}");
    let view = handle.views().borrow().lines[0].clone();
    assert_eq!((view.transfers.len(), view.tags_behind), (2, 1));
    handle.set_limits(limit(Some(1_000)));
    tokio::time::sleep(Duration::from_secs(20)).await;
    assert!(lab.branch.counts().bytes_in - sent < 200_000);
    handle.set_limits(limit(None));
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(handle.ended(id).await.unwrap().state, RunState::Done);
}

#[tokio::test(start_paused = true)]
async fn the_largest_goes_first_unless_somebody_wants_another() {
    let lab = Lab::new().await;
    for (n, size) in [(1, 100_000), (2, 400_000), (3, 200_000)] {
        lab.hq.push_image("feed/web", &format!("v{n}"), &[layer(n, size)]).unwrap();
    }
    lab.hq.pace(RegistryPace { bytes_per_s: Some(10_000), ..RegistryPace::default() });
    let handle = lab.handle();
    handle.set_limits(LineLimits { line: line(), parallel: 1, budgets: vec![] });
    let id = handle.start(rule(&["branch"]), Cause::Schedule).await.unwrap();
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(handle.views().borrow().lines[0].transfers[0].size, 400_000);
    let tag = "v1".parse().unwrap();
    assert_eq!(handle.prioritise(&"feed/web".parse().unwrap(), Some(&tag), 9), 1);
    tokio::time::sleep(Duration::from_secs(40)).await;
    assert_eq!(handle.views().borrow().lines[0].transfers[0].size, 100_000);
    assert_eq!(handle.ended(id).await.unwrap().state, RunState::Done);
}

#[tokio::test(start_paused = true)]
async fn a_run_that_stands_still_says_so() {
    let lab = Lab::new().await;
    lab.hq.push_image("feed/web", "v1", &[layer(7, 100_000)]).unwrap();
    lab.hq.pace(RegistryPace { bytes_per_s: Some(1_600), ..RegistryPace::default() });
    let handle = lab.handle();
    let id = handle.start(rule(&["branch"]), Cause::Schedule).await.unwrap();
    tokio::time::sleep(Duration::from_secs(40)).await;
    let view = handle.views().borrow().runs[0].clone();
    assert!(view.state == RunState::Moving && view.stalled.is_some(), "{view:?}");
    assert_eq!(handle.ended(id).await.unwrap().state, RunState::Done);
}

#[tokio::test(start_paused = true)]
async fn one_target_that_is_gone_does_not_hold_up_the_other() {
    let mut lab = Lab::new().await;
    fill(&lab.hq, 1, 3, 500);
    let gone = SimRegistry::new("gone");
    gone.trouble(|t| t.unreachable = true);
    lab.crash().await;
    let (store, clock) = store(lab.dir.path()).await;
    let mut registries: Registries = BTreeMap::new();
    for (at, registry) in [("hq", &lab.hq), ("branch", &lab.branch), ("gone", &gone)] {
        registries.insert(name(at), Arc::new(registry.clone()));
    }
    lab.replicator = Some(Replicator::begin(registries, store, clock).await.unwrap());
    let view = lab.run(rule(&["gone", "branch"])).await;
    assert_eq!((view.state, view.tags.done), (RunState::Incomplete, 3), "{view:?}");
    assert!(lab.is_equal());
}

/// Ends the engine after each of many lengths of time, begins anew from the database, and lets it end its work.
#[tokio::test(start_paused = true)]
async fn a_crash_at_any_time_costs_only_the_blobs_in_flight() {
    for at_ms in (0..1200).step_by(60) {
        let mut lab = Lab::new().await;
        fill(&lab.hq, 3, 3, 20_000);
        for registry in [&lab.hq, &lab.branch] {
            registry.pace(RegistryPace { latency_ms: 4, bytes_per_s: Some(400_000), page: 2 });
        }
        let handle = lab.handle();
        handle.start(rule(&["branch"]), Cause::Schedule).await.unwrap();
        tokio::time::sleep(Duration::from_millis(at_ms)).await;
        lab.crash().await;
        assert!(lab.branch.missing(false).is_empty(), "a tag without its content after {at_ms} ms");
        lab.begin().await;
        let handle = lab.handle();
        let resumed = handle.resume_unfinished(&[rule(&["branch"])]).await.unwrap();
        for id in &resumed {
            assert_eq!(handle.ended(*id).await.unwrap().state, RunState::Done, "{at_ms}");
        }
        assert!(lab.is_equal(), "{at_ms}");
        assert!(lab.uploads_at_most(1), "sent twice although it had arrived, {at_ms}");
        let old = handle.runs(&rule(&[]).name, 9).await.unwrap();
        assert!(old.iter().all(|r| r.state.is_over()), "{old:?}");
    }
}

/// A registry as chance has it: shared layers, several tags on one manifest, indexes, artifacts.
fn at_random(registry: &SimRegistry, seed: u64) {
    let mut chance = Seeded::new(seed);
    for _ in 0..1 + chance.below(12) {
        let to = format!("p{}/r{}", chance.below(2), chance.below(3));
        let tag = format!("t{}", chance.below(4));
        let some: Vec<Bytes> =
            (0..chance.below(4)).map(|_| layer(chance.below(9), 200)).chain([Bytes::new()]).collect();
        let digest = match chance.below(3) {
            0 => registry.push_index(&to, &tag, &[("amd64", some), ("arm64", vec![layer(5, 99)])]),
            _ => registry.push_image(&to, &tag, &some),
        }
        .unwrap();
        if chance.below(3) == 0 {
            registry.move_tag(&to, "moved", &digest).unwrap();
        }
        if chance.below(3) == 0 {
            registry.push_artifact(&to, &digest, "x/sig", layer(chance.below(99), 20)).unwrap();
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]
    #[test]
    fn random_registries_become_equal(seed in any::<u64>(), faults in 0u32..6, by_tags in any::<bool>()) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(async {
            let lab = Lab::new().await;
            lab.hq.trouble(|t| t.no_referrers = by_tags);
            lab.branch.trouble(|t| t.no_referrers = by_tags);
            at_random(&lab.hq, seed);
            at_random(&lab.branch, seed / 3);
            lab.branch.forget_counts();
            lab.hq.trouble(|t| (t.cut_reads, t.flip_reads) = (faults, faults / 2));
            lab.branch.trouble(|t| t.cut_writes = faults / 3);
            let view = lab.run(rule(&["branch"])).await;
            assert_eq!(view.state, RunState::Done, "{view:?}");
            let there = lab.branch.all_tags();
            for (tag, digest) in lab.hq.all_tags() {
                assert_eq!(there.get(&tag), Some(&digest), "{tag:?}");
            }
            assert!(lab.branch.missing(false).is_empty());
            assert!(lab.uploads_at_most(1));
            assert_eq!(lab.run(rule(&["branch"])).await.bytes, 0);
        });
    }
}
