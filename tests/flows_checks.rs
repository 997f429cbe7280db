//! Whole stories of what is checked about hosts: what others have made there, how quick they are, and containers whose place
//! breaks the rules of their pool by now; on the simulated fleet, in virtual time.
#![expect(clippy::unwrap_used, clippy::panic, reason = "tests say what failed by failing")]

#[expect(dead_code, reason = "each test program uses a part of it")]
#[path = "support/flow.rs"]
mod flow;

use std::collections::BTreeMap;

use flow::{Flow, cluster, host, pass, pool_id, spec};
use longshore::adapters::sim::{CallKind, Scenario, Span, Trouble};
use longshore::model::command::{Busy, Command};
use longshore::model::container::State;
use longshore::model::explain::{Explanation, Filter};
use longshore::model::holdings::Sort;
use longshore::model::pool::{Mount, MountKind, Network, PoolSpec};
use longshore::model::query::{Query, Reply, Request};

fn on_front(replicas: u32) -> PoolSpec {
    let networks = vec![Network { name: "front".into(), aliases: vec![], external: true }];
    PoolSpec { networks, ..spec(replicas) }
}

fn with_data(replicas: u32) -> PoolSpec {
    let (kind, source, target) = (MountKind::Volume, "data".into(), "/data".into());
    let mounts = vec![Mount { kind, source, target, read_only: true, external: true }];
    PoolSpec { mounts, ..spec(replicas) }
}

/// Running containers by host, in truth.
fn by_host(flow: &Flow) -> BTreeMap<String, usize> {
    let mut out = BTreeMap::new();
    for (host, _, _) in flow.truth().iter().filter(|(_, c, _)| c.state == State::Running) {
        *out.entry(host.to_string()).or_default() += 1;
    }
    out
}

async fn why(flow: &Flow, pool: &str) -> Explanation {
    let query = Query::Why { pool: pool_id(pool), slot: None, strategy: None };
    match flow.ask_as("alice", Request::Query(query)).await {
        Reply::Why(explanation) => *explanation,
        other => panic!("no explanation: {other:?}"),
    }
}

fn asked(flow: &Flow) -> Vec<u64> {
    let hosts = flow.fleet.hosts();
    hosts.iter().map(|h| flow.fleet.calls(&h.id).unwrap().of(CallKind::Holds)).collect()
}

#[tokio::test(start_paused = true)]
async fn a_pool_runs_only_where_others_have_made_what_it_names() {
    let mut scenario = Scenario::uniform(3, "app:1").unwrap();
    scenario.hosts[0].networks = vec!["front".into()];
    scenario.hosts[1].networks = vec!["front".into(), "front-2".into()];
    // Slow to say so: the quick one must not get everything meanwhile.
    scenario.hosts[1].latency_ms = Span(3_000, 3_000);
    let flow = Flow::begin(scenario).await;
    flow.up(cluster("plain", &[("web", spec(3))])).await;
    flow.until_serving("plain/web", 3).await;
    pass(3_600).await;
    assert_eq!(asked(&flow), [0, 0, 0], "no pool names anything");
    flow.command("alice", Command::Down { target: "plain".parse().unwrap(), confirm: None }).await.unwrap();
    flow.until("it is gone", |w| w.pools.is_empty()).await;
    flow.up(cluster("feed", &[("web", on_front(6))])).await;
    flow.until_serving("feed/web", 6).await;
    assert_eq!(by_host(&flow), [("h1".to_owned(), 3), ("h2".to_owned(), 3)].into());
    let explained = why(&flow, "feed/web").await;
    let refused = &explained.hosts.last().unwrap();
    assert_eq!(refused.host, host("h3"));
    let [refused] = &refused.refused[..] else { panic!("{refused:?}") };
    assert_eq!(refused.filter, Filter::External);
    assert_eq!(refused.why, r#"has no network "front", make it there: docker network create front"#);
    // Somebody makes it: that is seen within a quarter of a minute.
    flow.fleet.make_external(&host("h3"), Sort::Network, "front").unwrap();
    pass(20).await;
    flow.scale("alice", "feed/web", "9", Busy::Refuse).await.unwrap();
    flow.until_serving("feed/web", 9).await;
    assert_eq!(by_host(&flow)["h3"], 3);
    let before = asked(&flow);
    pass(1_000).await;
    let often: Vec<u64> = asked(&flow).iter().zip(before).map(|(now, before)| now - before).collect();
    assert!(often.iter().all(|n| (1..=2).contains(n)), "as often as images: {often:?}");
}

#[tokio::test(start_paused = true)]
async fn a_missing_volume_is_waited_for_and_never_made() {
    let flow = Flow::begin(Scenario::uniform(2, "app:1").unwrap()).await;
    flow.up(cluster("feed", &[("db", with_data(2))])).await;
    flow.until("it waits", |w| w.pool(&pool_id("feed/db")).is_some_and(|p| !p.waits.is_empty())).await;
    pass(60).await;
    let waits = flow.pool("feed/db").unwrap().waits;
    assert_eq!(
        waits.iter().map(|w| (w.slots, w.why.as_str())).collect::<Vec<_>>(),
        [(2, r#"no host can take it (2 hosts: have no volume "data": docker volume create data)"#)]
    );
    assert_eq!(flow.truth().len(), 0);
    flow.fleet.make_external(&host("h2"), Sort::Volume, "data").unwrap();
    flow.until_serving("feed/db", 2).await;
    assert_eq!(by_host(&flow), [("h2".to_owned(), 2)].into());
    // A core that begins anew knows nothing yet, and moves nothing for it.
    let mut flow = flow;
    flow.crash();
    flow.start().await;
    flow.until_serving("feed/db", 2).await;
    let (at, one, _) = flow.truth().remove(0);
    flow.fleet.kill(&at, &one.id, 1).unwrap();
    pass(30).await;
    flow.until_serving("feed/db", 2).await;
    assert_eq!(by_host(&flow), [("h2".to_owned(), 2)].into());
}

#[tokio::test(start_paused = true)]
async fn a_host_that_does_not_say_what_it_has_is_named_and_holds_no_other_up() {
    let mut scenario = Scenario::uniform(2, "app:1").unwrap();
    scenario.hosts[0].networks = vec!["front".into()];
    scenario.hosts[1].networks = vec!["front".into()];
    let flow = Flow::begin(scenario).await;
    flow.until("both answer", |w| w.hosts.values().all(|h| h.is_live())).await;
    pass(5).await;
    flow.fleet.fault(&host("h2"), &Trouble::Hang).unwrap();
    flow.up(cluster("feed", &[("web", on_front(2))])).await;
    flow.until_serving("feed/web", 2).await;
    assert_eq!(by_host(&flow), [("h1".to_owned(), 2)].into());
}
