//! Registries and the engine: what is recorded, who answers, what is shown, on virtual time.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::flow::{Flow, SimConnector, pass};
use futures_util::future::BoxFuture;
use longshore::adapters::sim::{CallKind, Scenario, SimRegistry};
use longshore::base::fault::{Fault, Kind, Outcome};
use longshore::base::ids::RegistryName;
use longshore::engine::core::Connector;
use longshore::model::command::Command;
use longshore::model::host::{HostConfig, Seen};
use longshore::model::pool::PoolSpec;
use longshore::model::registry::Registry;
use longshore::ports::registry::RegistryClient;
use longshore::ports::runtime::Runtime;

/// A fleet, and registries by the address of their endpoints.
struct WithRegistries {
    hosts: SimConnector,
    registries: BTreeMap<String, Arc<SimRegistry>>,
}

impl Connector for WithRegistries {
    fn connect(&self, host: &HostConfig) -> Outcome<Arc<dyn Runtime>> {
        self.hosts.connect(host)
    }

    fn registry<'a>(&'a self, registry: &'a Registry) -> BoxFuture<'a, Outcome<Arc<dyn RegistryClient>>> {
        let address = registry.addresses().next().unwrap_or_default();
        let known = self.registries.get(address).cloned().map(|r| r as Arc<dyn RegistryClient>);
        let client = known.ok_or_else(|| Fault::new(Kind::Unreachable, format!("{address}: no route")));
        Box::pin(async move { client })
    }
}

async fn begin(names: &[&str]) -> (Flow, BTreeMap<String, Arc<SimRegistry>>) {
    let mut flow = Flow::begin(Scenario::uniform(2, "app:1").unwrap()).await;
    let one = |name: &&str| (format!("{name}.example:5000"), Arc::new(SimRegistry::new(name)));
    let registries: BTreeMap<_, _> = names.iter().map(one).collect();
    let hosts = SimConnector(flow.fleet.clone());
    let connector = WithRegistries { hosts, registries: registries.clone() };
    let hosts = flow.fleet.hosts();
    flow.crash();
    flow.start_with(Arc::new(connector), hosts).await;
    (flow, registries)
}

fn name(text: &str) -> RegistryName {
    text.parse().unwrap()
}

async fn put(flow: &Flow, registry: Registry) {
    flow.command("alice", Command::PutRegistry(Box::new(registry))).await.unwrap();
}

fn seen(flow: &Flow, registry: &str, endpoint: usize) -> Seen {
    flow.world().registries[&name(registry)].endpoints[endpoint].seen.clone()
}

#[tokio::test(start_paused = true)]
async fn a_registry_that_falls_silent_keeps_its_age_and_its_reason_and_comes_back() {
    let (flow, registries) = begin(&["hq"]).await;
    put(&flow, Registry::new(name("hq"), "hq.example:5000".into())).await;
    pass(2).await;
    assert!(matches!(seen(&flow, "hq", 0), Seen::At(_)), "{:?}", seen(&flow, "hq", 0));
    registries["hq.example:5000"].trouble(|t| t.unreachable = true);
    pass(20).await;
    let Seen::Lost { last, since, why } = seen(&flow, "hq", 0) else { panic!("{:?}", seen(&flow, "hq", 0)) };
    assert!(last < since && !why.is_empty(), "{why}");
    pass(20).await;
    let Seen::Lost { since: later, .. } = seen(&flow, "hq", 0) else { panic!("it is not back") };
    assert_eq!(since, later, "since when it is silent does not move");
    registries["hq.example:5000"].trouble(|t| t.unreachable = false);
    pass(5).await;
    assert!(matches!(seen(&flow, "hq", 0), Seen::At(_)));
}

#[tokio::test(start_paused = true)]
async fn calls_go_to_the_first_endpoint_that_is_well() {
    let (flow, registries) = begin(&["a", "b"]).await;
    let endpoints =
        vec!["a.example:5000".to_owned(), "b.example:5000".to_owned(), "c.example:5000".to_owned()];
    let registry = Registry::new(name("hq"), "hq.example".into());
    put(&flow, Registry { endpoints, ..registry }).await;
    pass(2).await;
    assert_eq!(flow.world().registries[&name("hq")].active, Some(0));
    assert!(matches!(seen(&flow, "hq", 2), Seen::Never { why: Some(_) }), "{:?}", seen(&flow, "hq", 2));
    registries["a.example:5000"].trouble(|t| t.unreachable = true);
    pass(20).await;
    assert_eq!(flow.world().registries[&name("hq")].active, Some(1));
}

#[tokio::test(start_paused = true)]
async fn a_registry_that_is_forgotten_is_asked_no_more() {
    let (flow, registries) = begin(&["hq"]).await;
    put(&flow, Registry::new(name("hq"), "hq.example:5000".into())).await;
    pass(2).await;
    flow.command("alice", Command::RemoveRegistry(name("hq"))).await.unwrap();
    assert!(flow.world().registries.is_empty());
    registries["hq.example:5000"].forget_counts();
    pass(120).await;
    assert_eq!(registries["hq.example:5000"].counts().total(), 0, "nobody asks it any more");
}

#[tokio::test(start_paused = true)]
async fn while_a_registry_is_down_the_wait_names_it_and_its_return_ends_the_wait() {
    let (flow, registries) = begin(&["hq"]).await;
    put(&flow, Registry::new(name("hq"), "hq.example:5000".into())).await;
    pass(2).await;
    registries["hq.example:5000"].trouble(|t| t.unreachable = true);
    pass(20).await;
    let spec = PoolSpec { image: "hq.example:5000/feed/web:2".into(), ..crate::flow::spec(2) };
    flow.up(crate::flow::cluster("feed", &[("web", spec)])).await;
    let waits = |flow: &Flow| {
        let view = flow.pool("feed/web").unwrap();
        view.waits.iter().map(|w| (w.slots, w.why.clone())).collect::<Vec<_>>()
    };
    pass(5).await;
    let [(slots, why)] = &waits(&flow)[..] else { panic!("{:?}", waits(&flow)) };
    assert_eq!(*slots, 2, "both for the same reason: {why}");
    let begins = "image hq.example:5000/feed/web:2 cannot be pulled: registry hq (hq.example:5000) has not answered since 20";
    assert!(why.starts_with(begins), "{why}");
    // That is no failure of theirs: however long it lasts, there is no crash loop, and it is tried seldom.
    pass(600).await;
    let slots = flow.pool("feed/web").unwrap().slots;
    assert!(slots.iter().all(|s| s.instance.as_ref().unwrap().failures == 0), "{slots:#?}");
    let tries = |flow: &Flow| flow.fleet.calls(&crate::flow::host("h1")).unwrap().of(CallKind::Pull);
    let before = tries(&flow);
    assert!(before <= 15, "once a minute: {before} in ten minutes");
    registries["hq.example:5000"].trouble(|t| t.unreachable = false);
    pass(8).await;
    assert!(tries(&flow) > before, "tried at once when it answers again");
    assert!(waits(&flow).iter().all(|(_, why)| !why.contains("has not answered")), "{:?}", waits(&flow));
}
