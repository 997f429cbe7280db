//! Rules that run by themselves, in a whole engine on virtual time: at their times, when told, when a registry is back.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::flow::{Flow, SimConnector, pass};
use bytes::Bytes;
use futures_util::future::BoxFuture;
use longshore::adapters::sim::{RegistryCall, Scenario, SimRegistry, layer};
use longshore::base::clock::{Millis, TokioClock};
use longshore::base::fault::{Fault, Kind, Outcome};
use longshore::base::ids::{RegistryName, RuleName};
use longshore::engine::core::Connector;
use longshore::model::command::Command;
use longshore::model::host::HostConfig;
use longshore::model::journal::What;
use longshore::model::query::{PageAsk, Query, Reply, Request};
use longshore::model::registry::Registry;
use longshore::model::replication::{
    Cause, DiffRow, LineView, Rule, RuleView, RunState, RunView, TagState, Trigger,
};
use longshore::ports::desk::{Happened, Hint};
use longshore::ports::registry::RegistryClient;
use longshore::ports::runtime::Runtime;

/// A fleet, and two registries.
struct Registries {
    hosts: SimConnector,
    all: BTreeMap<String, Arc<SimRegistry>>,
}

impl Connector for Registries {
    fn connect(&self, host: &HostConfig) -> Outcome<Arc<dyn Runtime>> {
        self.hosts.connect(host)
    }

    fn registry<'a>(&'a self, registry: &'a Registry) -> BoxFuture<'a, Outcome<Arc<dyn RegistryClient>>> {
        let address = registry.addresses().next().unwrap_or_default();
        let known = self.all.get(address).cloned().map(|r| r as Arc<dyn RegistryClient>);
        let client = known.ok_or_else(|| Fault::new(Kind::Unreachable, format!("{address}: no route")));
        Box::pin(async move { client })
    }
}

struct Lab {
    flow: Flow,
    hq: Arc<SimRegistry>,
    bj: Arc<SimRegistry>,
}

fn name(text: &str) -> RegistryName {
    text.parse().unwrap()
}

fn rule(change: impl FnOnce(&mut Trigger)) -> Rule {
    let mut rule = Rule::new("all".parse().unwrap(), name("hq"));
    rule.targets = vec![name("bj")];
    change(&mut rule.trigger);
    rule
}

impl Lab {
    async fn new() -> Lab {
        let flow = Flow::begin(Scenario::uniform(1, "app:1").unwrap()).await;
        let (hq, bj) = (Arc::new(SimRegistry::new("hq")), Arc::new(SimRegistry::new("bj")));
        let mut lab = Lab { flow, hq, bj };
        lab.restart(0).await;
        for one in ["hq", "bj"] {
            let registry = Registry::new(name(one), format!("{one}.example:5000"));
            lab.flow.command("alice", Command::PutRegistry(Box::new(registry))).await.unwrap();
        }
        lab.push("feed/web", "v1");
        lab.push("feed/api", "v1");
        pass(2).await;
        lab
    }

    /// The engine is killed, and begins again after so long.
    async fn restart(&mut self, after_s: u64) {
        self.flow.crash();
        pass(after_s).await;
        let hosts = SimConnector(self.flow.fleet.clone());
        let all = [("hq.example:5000", &self.hq), ("bj.example:5000", &self.bj)];
        let all = all.map(|(at, one)| (at.to_owned(), one.clone())).into();
        let connector = Registries { hosts, all };
        let hosts = self.flow.fleet.hosts();
        self.flow.start_with(Arc::new(connector), hosts).await;
    }

    fn push(&self, repository: &str, tag: &str) {
        let seed = repository.bytes().chain(tag.bytes()).map(u64::from).sum();
        let layers: Vec<Bytes> = vec![layer(1, 4_000), layer(seed, 2_000)];
        self.hq.push_image(repository, tag, &layers).unwrap();
    }

    async fn put(&self, rule: Rule) {
        self.flow.command("alice", Command::PutRule(Box::new(rule))).await.unwrap();
    }

    fn view(&self) -> RuleView {
        self.flow.world().replication.rules[0].clone()
    }

    fn run(&self) -> RunView {
        self.view().run.unwrap_or_else(|| panic!("no run: {:?}", self.view()))
    }

    fn line(&self) -> LineView {
        self.flow.world().replication.lines[0].clone()
    }

    fn is_equal(&self) -> bool {
        self.hq.all_tags() == self.bj.all_tags() && self.bj.missing(false).is_empty()
    }

    fn hint(&self, repository: &str) {
        let registry = Some(name("hq"));
        let (repository, action) = (repository.parse().unwrap(), Happened::Push);
        let hint = Hint { registry, repository, tag: None, digest: None, action };
        assert!(self.flow.core.as_ref().unwrap().hints.hint(hint));
    }

    async fn journal_of(&self, what: What, words: &str) -> usize {
        let all = self.flow.journal().await;
        all.iter().filter(|line| line.what == what && line.text.contains(words)).count()
    }

    async fn diff(&self, limit: u32) -> Vec<DiffRow> {
        let (mut all, mut after) = (Vec::new(), None);
        loop {
            let ask = PageAsk { after, limit, ..PageAsk::default() };
            let rule = RuleName::new("all").unwrap();
            let Reply::Diff(page) =
                self.flow.ask_as("alice", Request::Query(Query::Diff { rule, ask })).await
            else {
                panic!("no comparison")
            };
            all.extend(page.items);
            after = page.next;
            if after.is_none() {
                return all;
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_rule_with_a_time_between_runs_runs_by_itself_and_says_when_next() {
    let lab = Lab::new().await;
    lab.put(rule(|t| t.every_ms = Some(600_000))).await;
    pass(5).await;
    assert!(lab.is_equal(), "{:?}", lab.view());
    let first = lab.run();
    assert_eq!((first.state, first.cause), (RunState::Done, Cause::Schedule));
    assert_eq!(lab.view().next, Some(first.began.plus(600_000)));
    assert_eq!((lab.line().tags_behind, lab.line().compared), (0, Some(first.began)));
    lab.push("feed/web", "v22");
    pass(590).await;
    assert!(!lab.is_equal() && lab.run().id == first.id);
    pass(10).await;
    assert!(lab.is_equal());
    assert_eq!(lab.run().began.since(first.began), 600_000);
}

#[tokio::test(start_paused = true)]
async fn cron_is_in_local_time() {
    let mut lab = Lab::new().await;
    // Eight hours ahead. It began at 08:53:20 UTC: 16:53:20 on the wall.
    lab.flow.clock = Arc::new(TokioClock::starting_at(Millis(1_760_000_000_000)).in_zone(|_| 480));
    lab.restart(0).await;
    lab.put(rule(|t| t.cron = Some("0 17 * * *".into()))).await;
    pass(5).await;
    assert_eq!(lab.view().next, Some(Millis(1_760_000_400_000)), "{:?}", lab.view());
    assert!(lab.view().run.is_none());
    pass(400).await;
    assert!(lab.is_equal());
    assert_eq!(lab.view().next, Some(Millis(1_760_000_400_000 + 86_400_000)));
}

#[tokio::test(start_paused = true)]
async fn a_hint_compares_what_it_names_and_a_lost_one_is_found_by_the_timer() {
    let lab = Lab::new().await;
    lab.put(rule(|t| t.event = true)).await;
    pass(5).await;
    assert!(lab.is_equal(), "the first comparison is of everything");
    lab.push("feed/web", "v22");
    lab.push("feed/api", "v333");
    lab.hq.forget_counts();
    for _ in 0..50 {
        lab.hint("feed/web");
    }
    pass(5).await;
    let run = lab.run();
    assert_eq!((run.cause, run.state, run.compared), (Cause::Event, RunState::Done, 2));
    assert_eq!(lab.hq.counts().of(RegistryCall::Tags), 1, "only the one repository was listed");
    let there = lab.bj.all_tags();
    assert!(there.keys().any(|k| format!("{k:?}").contains("v22")) && !lab.is_equal());
    assert!(lab.line().compared.is_some_and(|at| at < run.began), "that was no comparison of everything");
    pass(3_600).await;
    assert!(lab.is_equal(), "what no hint told is found within the hour: {:?}", lab.view());
    assert_eq!(lab.run().cause, Cause::Schedule);
}

#[tokio::test(start_paused = true)]
async fn somebody_who_asks_for_a_run_gets_all_of_it_even_if_a_small_one_goes_on() {
    let lab = Lab::new().await;
    lab.put(rule(|t| t.event = true)).await;
    pass(5).await;
    lab.push("feed/web", "v22");
    lab.push("feed/api", "v333");
    lab.hq.pace(longshore::adapters::sim::RegistryPace { latency_ms: 500, ..Default::default() });
    lab.hint("feed/web");
    pass(3).await;
    let small = lab.run();
    assert_eq!((small.cause, small.state.is_over()), (Cause::Event, false));
    let rule = RuleName::new("all").unwrap();
    let said = lab.flow.command("alice", Command::Replicate { rule }).await.unwrap();
    assert!(said.text.starts_with(&small.id.to_string()), "it is the same run: {}", said.text);
    pass(30).await;
    let run = lab.run();
    assert_eq!((run.id, run.state, run.joined, run.compared), (small.id, RunState::Done, 1, 4), "{run:?}");
    assert_eq!((run.tags.done, run.tags.same), (2, 2));
    assert!(lab.is_equal());
}

#[tokio::test(start_paused = true)]
async fn a_registry_that_is_back_is_brought_up_to_date() {
    let lab = Lab::new().await;
    lab.put(rule(|t| t.every_ms = Some(60_000))).await;
    pass(5).await;
    lab.bj.trouble(|t| t.unreachable = true);
    lab.push("feed/web", "v22");
    pass(300).await;
    lab.flow
        .until("its run fails", |w| {
            w.replication.rules[0].run.as_ref().is_some_and(|r| r.state == RunState::Failed)
        })
        .await;
    assert_eq!(lab.journal_of(What::Failed, "could not compare").await, 1, "the same reason is told once");
    // From now on its timer is far away.
    lab.put(rule(|t| t.every_ms = Some(86_400_000))).await;
    pass(60).await;
    lab.bj.trouble(|t| t.unreachable = false);
    pass(70).await;
    assert!(lab.is_equal(), "{:?}", lab.view());
    assert_eq!((lab.run().cause, lab.run().state), (Cause::Return, RunState::Done));
    assert_eq!(lab.journal_of(What::Outcome, "rule all is done").await, 1);
}

#[tokio::test(start_paused = true)]
async fn a_time_that_passed_without_an_engine_is_told_and_made_up_for() {
    let mut lab = Lab::new().await;
    lab.put(rule(|t| t.every_ms = Some(600_000))).await;
    pass(5).await;
    let first = lab.run();
    lab.push("feed/web", "v22");
    lab.restart(7_200).await;
    pass(5).await;
    assert!(lab.is_equal() && lab.run().id > first.id);
    assert_eq!(lab.journal_of(What::Failed, "makes up for it").await, 1);
    assert_eq!(lab.view().missed, None);
    // One whose time has not come waits on, and shows its last run.
    let run = lab.run();
    lab.restart(60).await;
    pass(5).await;
    assert_eq!((lab.run().id, lab.view().next), (run.id, Some(run.began.plus(600_000))));
}

#[tokio::test(start_paused = true)]
async fn what_is_behind_is_known_between_runs_and_after_a_restart() {
    let mut lab = Lab::new().await;
    lab.put(rule(|_| {})).await;
    let rows = lab.diff(1).await;
    assert_eq!(rows.len(), 2, "all parts of one comparison");
    let bytes: u64 = rows.iter().filter_map(|r| r.bytes).sum();
    assert!((8_000..9_000).contains(&bytes), "the shared layer counts once: {rows:?}");
    let line = lab.line();
    assert_eq!((line.tags_behind, line.bytes_behind), (2, bytes));
    assert!(line.compared.is_some() && line.behind_since == line.compared);
    pass(60).await;
    lab.bj.trouble(|t| t.full = true);
    let run = Command::Replicate { rule: RuleName::new("all").unwrap() };
    lab.flow.command("alice", run.clone()).await.unwrap();
    pass(200).await;
    assert_eq!(lab.run().state, RunState::Incomplete);
    let failed = lab.line();
    assert_eq!((failed.tags_behind, failed.behind_since), (2, line.behind_since), "it is as old as it is");
    assert!(failed.trouble.is_some() && failed.bytes_behind > 4_000, "{failed:?}");
    lab.restart(10).await;
    pass(5).await;
    lab.diff(100).await;
    assert_eq!(lab.line().tags_behind, 2);
    assert_eq!(lab.run().state, RunState::Incomplete, "the last run is remembered");
    lab.bj.trouble(|t| t.full = false);
    lab.flow.command("alice", run).await.unwrap();
    pass(60).await;
    assert!(lab.is_equal());
    let line = lab.line();
    assert_eq!((line.tags_behind, line.bytes_behind, line.behind_since), (0, 0, None));
    let tags = Query::RunTags { run: lab.run().id, ask: PageAsk { limit: 10, ..PageAsk::default() } };
    let Reply::RunTags(page) = lab.flow.ask_as("alice", Request::Query(tags)).await else {
        panic!("no tags")
    };
    assert!(page.items.len() == 2 && page.items.iter().all(|t| t.state == TagState::Done));
}
