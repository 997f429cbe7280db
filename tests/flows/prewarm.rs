//! Prewarms in whole flows: an image comes onto hosts before it is needed, is proved on each, and a restart goes on with it.

use std::sync::Arc;

use crate::flow::{Flow, SimConnector, cluster, host, pass, pool_id, spec};
use futures_util::future::BoxFuture;
use longshore::adapters::sim::{CallKind, ImagePlan, Scenario, SimRegistry, Trouble, layer};
use longshore::base::clock::{Millis, SharedClock, TokioClock};
use longshore::base::fault::{Fault, Kind, Outcome};
use longshore::base::ids::{OpId, SiteName};
use longshore::engine::core::Connector;
use longshore::model::command::{Command, HostEdit};
use longshore::model::coverage::EstimateAsk;
use longshore::model::host::HostConfig;
use longshore::model::oci::Digest;
use longshore::model::operation::{OpStatus, Operation};
use longshore::model::pool::PoolSpec;
use longshore::model::prewarm::{Came, PrewarmAsk, PrewarmView, WarmState};
use longshore::model::query::{Query, Reply, Request};
use longshore::model::registry::Registry;
use longshore::model::site::{Site, SiteLimits};
use longshore::ports::registry::RegistryClient;
use longshore::ports::runtime::Runtime;

const IMAGE: &str = "hq.example:5000/feed/web:2";

/// A fleet, and the one registry that the images come from.
struct WithRegistry(SimConnector, Arc<SimRegistry>);

impl Connector for WithRegistry {
    fn connect(&self, host: &HostConfig) -> Outcome<Arc<dyn Runtime>> {
        self.0.connect(host)
    }

    fn registry<'a>(&'a self, registry: &'a Registry) -> BoxFuture<'a, Outcome<Arc<dyn RegistryClient>>> {
        let known =
            (registry.address == "hq.example:5000").then(|| self.1.clone() as Arc<dyn RegistryClient>);
        let fault = Fault::new(Kind::Unreachable, format!("{}: no route", registry.address));
        Box::pin(async move { known.ok_or(fault) })
    }
}

struct Scene {
    flow: Flow,
    registry: Arc<SimRegistry>,
    digest: Digest,
}

fn image(name: &str, digest: Option<String>) -> ImagePlan {
    ImagePlan { name: name.into(), size_mb: 400, on: vec![], everywhere: false, healthcheck: false, digest }
}

/// So many hosts, of which the first half stands at bj and the others at tc; hq has the image, and is recorded.
async fn scene(hosts: usize, more: &[ImagePlan]) -> Scene {
    let registry = Arc::new(SimRegistry::new("hq"));
    let digest = registry.push_image("feed/web", "2", &[layer(1, 3_000), layer(2, 5_000)]).unwrap();
    let mut scenario = Scenario::uniform(hosts, "there:1").unwrap();
    scenario.images.push(image(IMAGE, Some(digest.to_string())));
    scenario.images.extend_from_slice(more);
    let clock: SharedClock = Arc::new(TokioClock::starting_at(Millis(1_760_000_000_000)));
    let fleet = longshore::adapters::sim::Fleet::new(scenario, clock.clone());
    let mut flow = Flow { fleet, dir: tempfile::tempdir().unwrap(), clock, core: None };
    start(&mut flow, &registry).await;
    let hq = Registry::new("hq".parse().unwrap(), "hq.example:5000".into());
    flow.command("alice", Command::PutRegistry(Box::new(hq))).await.unwrap();
    for (name, range) in [("bj", 1..=hosts / 2), ("tc", hosts / 2 + 1..=hosts)] {
        put_site(&flow, name, None, None).await;
        let edit = Box::new(HostEdit { site: Some(Some(site(name))), ..HostEdit::default() });
        let hosts = range.map(|n| host(&format!("h{n}"))).collect();
        flow.command("alice", Command::EditHosts { hosts, edit }).await.unwrap();
    }
    pass(5).await;
    Scene { flow, registry, digest }
}

async fn start(flow: &mut Flow, registry: &Arc<SimRegistry>) {
    let hosts = flow.fleet.hosts();
    let connector = WithRegistry(SimConnector(flow.fleet.clone()), registry.clone());
    flow.start_with(Arc::new(connector), hosts).await;
}

fn site(name: &str) -> SiteName {
    name.parse().unwrap()
}

async fn put_site(flow: &Flow, name: &str, registry: Option<&str>, pulls: Option<u32>) {
    let limits = SiteLimits { pulls, ..SiteLimits::default() };
    let site = Site { name: site(name), registry: registry.map(str::to_owned), limits };
    flow.command("alice", Command::PutSite(site)).await.unwrap();
}

/// Onto all hosts of both sites.
fn everywhere() -> PrewarmAsk {
    PrewarmAsk { image: Some(IMAGE.into()), sites: vec![site("bj"), site("tc")], ..PrewarmAsk::default() }
}

impl Scene {
    async fn begin(&self, ask: PrewarmAsk) -> OpId {
        let accepted = self.flow.command("alice", Command::Prewarm(Box::new(ask))).await.unwrap();
        accepted.op.unwrap()
    }

    fn op(&self, op: OpId) -> Option<Operation> {
        self.flow.world().operations.iter().find(|o| o.id == op).cloned()
    }

    fn view(&self, op: OpId) -> PrewarmView {
        (*self.flow.world().prewarms[&op]).clone()
    }

    async fn end(&self, op: OpId) -> OpStatus {
        self.flow
            .until(&format!("{op} ends"), |w| w.operations.iter().any(|o| o.id == op && o.status.is_over()))
            .await;
        self.op(op).unwrap().status
    }

    fn coming(&self, op: OpId) -> usize {
        let is = |h: &&longshore::model::prewarm::HostWarm| matches!(h.state, WarmState::Coming { .. });
        self.flow.world().prewarms.get(&op).map_or(0, |v| v.hosts.values().filter(is).count())
    }

    fn came(&self, op: OpId, name: &str) -> Came {
        match &self.view(op).hosts[&host(name)].state {
            WarmState::Held(proof) => proof.came.clone(),
            other => panic!("{name} has not got it: {other:?}"),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn every_host_gets_it_and_is_proved_by_its_digest() {
    let s = scene(6, &[]).await;
    let op = s.begin(PrewarmAsk { limit: Some(1), ..everywhere() }).await;
    pass(2).await;
    assert_eq!(s.coming(op), 2, "one at a time at each of the two sites");
    let running = s.op(op).unwrap();
    assert!(running.progress.bytes > 0 && running.progress.target == 6, "{running:?}");
    assert_eq!(s.end(op).await, OpStatus::Done);
    let view = s.view(op);
    assert_eq!((view.digest.as_ref(), view.size), (Some(&s.digest), Some(8_000)));
    for (name, warm) in &view.hosts {
        let WarmState::Held(proof) = &warm.state else { panic!("{name}: {warm:?}") };
        assert_eq!(proof.digest.as_ref(), Some(&s.digest), "{name}");
    }
    // A pool that is brought up now pulls nothing.
    let before = s.flow.fleet.calls(&host("h1")).unwrap().of(CallKind::Pull);
    s.flow.up(cluster("feed", &[("web", PoolSpec { image: IMAGE.into(), ..spec(6) })])).await;
    s.flow.until_serving("feed/web", 6).await;
    assert_eq!(s.flow.fleet.calls(&host("h1")).unwrap().of(CallKind::Pull), before);
    let told = s.flow.journal().await.iter().filter(|l| l.op == Some(op) && l.host.is_some()).count();
    assert_eq!(told, 6, "the journal has a line for each host");
}

#[tokio::test(start_paused = true)]
async fn a_tag_that_a_sites_registry_has_otherwise_is_not_taken_for_the_image() {
    // bj's own registry has another image under the same name.
    let old = image("bj.example:5000/feed/web:2", Some(Digest::of(b"old").to_string()));
    let s = scene(2, &[old]).await;
    put_site(&s.flow, "bj", Some("bj.example:5000"), None).await;
    let op = s.begin(PrewarmAsk { sites: vec![site("bj")], ..everywhere() }).await;
    assert_eq!(s.end(op).await, OpStatus::Done);
    assert_eq!(s.came(op, "h1"), Came::Pulled(IMAGE.into()), "it came from where its name says");
}

#[tokio::test(start_paused = true)]
async fn an_engine_that_is_killed_goes_on_and_pulls_nothing_twice() {
    let mut s = scene(6, &[]).await;
    let op = s.begin(PrewarmAsk { limit: Some(1), ..everywhere() }).await;
    pass(8).await;
    let held = s.view(op).counts().held;
    assert!((1..6).contains(&held), "killed in the middle: {held}");
    s.flow.crash();
    let registry = s.registry.clone();
    // The tag moves while nobody works: what was accepted is what is brought.
    registry.push_image("feed/web", "2", &[layer(3, 100)]).unwrap();
    start(&mut s.flow, &registry).await;
    assert_eq!(s.end(op).await, OpStatus::Done);
    assert_eq!(s.view(op).digest.as_ref(), Some(&s.digest));
    let view = s.view(op);
    let was_there = view.hosts.values().filter(|h| match &h.state {
        WarmState::Held(proof) => proof.came == Came::WasThere,
        _ => false,
    });
    assert!(was_there.count() >= held as usize, "what had arrived is proved, not pulled");
    // What each host has got is still there after another restart.
    s.flow.crash();
    start(&mut s.flow, &registry).await;
    pass(1).await;
    assert_eq!(s.view(op).counts().held, 6);
}

#[tokio::test(start_paused = true)]
async fn a_host_that_fails_is_named_with_its_reason_and_the_others_get_it() {
    let s = scene(4, &[]).await;
    s.flow.fleet.fault(&host("h2"), &Trouble::DiskFull).unwrap();
    let op = s.begin(everywhere()).await;
    let OpStatus::Failed { why } = s.end(op).await else { panic!("{:?}", s.op(op)) };
    assert!(why.contains("it is not on 1 of 4 hosts: h2:") && why.contains("no space left"), "{why}");
    let view = s.view(op);
    assert_eq!((view.counts().held, view.hosts[&host("h2")].tries), (3, 4));
    // The same again: those that have it are proved, the one that failed gets it.
    s.flow.fleet.fault(&host("h2"), &Trouble::Back).unwrap();
    let again = s.begin(everywhere()).await;
    assert_eq!(s.end(again).await, OpStatus::Done);
    assert_eq!(s.came(again, "h1"), Came::WasThere);
}

#[tokio::test(start_paused = true)]
async fn a_host_that_vanishes_is_waited_for_and_then_given_up() {
    let s = scene(4, &[]).await;
    let op = s.begin(PrewarmAsk { limit: Some(1), ..everywhere() }).await;
    pass(1).await;
    s.flow.fleet.fault(&host("h1"), &Trouble::Cut).unwrap();
    s.flow
        .until("it is said", |w| {
            w.operations
                .iter()
                .any(|o| matches!(&o.status, OpStatus::Stalled { why } if why.contains("h1 does not answer")))
        })
        .await;
    pass(600).await;
    let OpStatus::Failed { why } = s.end(op).await else { panic!("not failed") };
    assert!(why.contains("h1: it has not answered for"), "{why}");
}

#[tokio::test(start_paused = true)]
async fn one_that_is_cancelled_breaks_off_and_keeps_what_has_arrived() {
    let s = scene(6, &[]).await;
    let op = s.begin(PrewarmAsk { limit: Some(1), ..everywhere() }).await;
    pass(8).await;
    s.flow.command("bob", Command::Cancel { op }).await.unwrap();
    assert_eq!(s.end(op).await, OpStatus::Cancelled);
    let pulls = |s: &Scene| {
        (1..=6).map(|n| s.flow.fleet.calls(&host(&format!("h{n}"))).unwrap().of(CallKind::Pull)).sum::<u64>()
    };
    let before = pulls(&s);
    pass(60).await;
    assert_eq!(pulls(&s), before, "nothing more is pulled");
    assert!(s.view(op).counts().held > 0);
}

#[tokio::test(start_paused = true)]
async fn a_rate_lets_pulls_begin_so_far_apart() {
    let s = scene(4, &[]).await;
    // 400 MB at 10 MB/s: 40 s from one beginning to the next.
    let op = s.begin(PrewarmAsk { size: Some(400_000_000), rate: Some(10_000_000), ..everywhere() }).await;
    pass(20).await;
    assert_eq!(s.view(op).counts().held, 2, "one at each site");
    let why = |s: &Scene| match &s.view(op).hosts[&host("h2")].state {
        WarmState::Waiting(why) => why.clone(),
        other => panic!("{other:?}"),
    };
    assert!(why(&s).contains("the rate lets the next begin in"), "{}", why(&s));
    assert_eq!(s.op(op).unwrap().status, OpStatus::Running, "waiting for its own time is no stall");
    pass(15).await;
    assert_eq!(s.op(op).unwrap().status, OpStatus::Running, "waiting for its own time is no stall");
    assert_eq!(s.end(op).await, OpStatus::Done);
}

#[tokio::test(start_paused = true)]
async fn hosts_of_a_site_without_a_registry_give_it_to_each_other() {
    let s = scene(8, &[]).await;
    let op = s.begin(PrewarmAsk { from_peers: true, ..everywhere() }).await;
    assert_eq!(s.end(op).await, OpStatus::Done);
    let view = s.view(op);
    let pulled = view.hosts.values().filter(|h| match &h.state {
        WarmState::Held(proof) => matches!(proof.came, Came::Pulled(_)),
        _ => false,
    });
    assert_eq!(pulled.count(), 2, "one for each site");
    assert_eq!(view.different().len(), 1, "all have the same image by its id");
}

#[tokio::test(start_paused = true)]
async fn a_pools_image_goes_where_the_pool_may_be_placed_and_what_makes_no_sense_is_refused() {
    let s = scene(4, &[]).await;
    let mut spec = PoolSpec { image: "there:1".into(), ..spec(1) };
    spec.placement.sites = vec![site("bj")];
    s.flow.up(cluster("feed", &[("web", spec)])).await;
    s.flow.until_serving("feed/web", 1).await;
    let ask =
        PrewarmAsk { image: Some(IMAGE.into()), pool: Some(pool_id("feed/web")), ..PrewarmAsk::default() };
    let op = s.begin(ask).await;
    assert_eq!(s.end(op).await, OpStatus::Done);
    let hosts: Vec<String> = s.view(op).hosts.keys().map(ToString::to_string).collect();
    assert_eq!(hosts, ["h1", "h2"]);
    let refused =
        async |ask| s.flow.command("alice", Command::Prewarm(Box::new(ask))).await.unwrap_err().text;
    let only = PrewarmAsk { image: Some(IMAGE.into()), ..PrewarmAsk::default() };
    assert!(refused(only).await.contains("onto which hosts"));
    let none = PrewarmAsk { pool: Some(pool_id("feed/none")), ..PrewarmAsk::default() };
    assert!(refused(none).await.contains("there is no pool feed/none"));
    let absent = PrewarmAsk { image: Some("hq.example:5000/feed/web:9".into()), ..everywhere() };
    let op = s.begin(absent).await;
    let OpStatus::Failed { why } = s.end(op).await else { panic!("not failed") };
    assert!(why.contains("registry hq"), "{why}");
    let guest = s.flow.command("guest", Command::Prewarm(Box::new(everywhere()))).await.unwrap_err();
    assert!(guest.text.contains("read-only"));
}

#[tokio::test(start_paused = true)]
async fn an_estimate_takes_the_size_from_the_registry_and_asks_for_all_that_is_missing_at_once() {
    let s = scene(4, &[]).await;
    let ask =
        async |ask: EstimateAsk| s.flow.ask_as("guest", Request::Query(Query::Estimate(Box::new(ask)))).await;
    let image =
        EstimateAsk { image: Some(IMAGE.into()), hosts: vec![(site("tc"), 40)], ..EstimateAsk::default() };
    let Reply::Failed(fault) = ask(image.clone()).await else { panic!("there is no line known") };
    let text = fault.to_string();
    assert!(["--line tc=", "--uplink", "--card"].iter().all(|what| text.contains(what)), "{text}");
    assert!(!text.contains("--size"), "the registry knows it: {text}");
    let given = |ask: EstimateAsk| EstimateAsk {
        lines: vec![(None, 8_000)],
        uplink: Some(1_000_000_000),
        card: Some(1_000_000_000),
        ..ask
    };
    let answer = async |of: EstimateAsk| match ask(given(of)).await {
        Reply::Estimate(answer) => *answer,
        other => panic!("no estimate: {other:?}"),
    };
    // 40 hosts pull 8 kB each over 8 kbit/s.
    let all = answer(image.clone()).await;
    assert!((320_000..325_000).contains(&all.ways[0].ms), "{all:?}");
    let named = EstimateAsk { image: None, size: Some(8_000), ..image.clone() };
    assert_eq!(answer(named).await.ways[0].ms, all.ways[0].ms);
    // Those of a pool that lack it now: two at tc.
    let mut spec = PoolSpec { image: "there:1".into(), ..spec(1) };
    spec.placement.sites = vec![site("tc")];
    s.flow.up(cluster("feed", &[("web", spec)])).await;
    let pool = EstimateAsk { hosts: vec![], pool: Some(pool_id("feed/web")), ..image.clone() };
    let two = answer(pool).await;
    assert!((16_000..17_000).contains(&two.ways[0].ms), "{two:?}");
    let absent = EstimateAsk { image: Some("hq.example:5000/feed/web:9".into()), ..image };
    let Reply::Failed(fault) = ask(given(absent)).await else { panic!("nobody knows its size") };
    assert!(fault.to_string().contains("--size"), "{fault}");
}
