//! Whole stories of what is checked about hosts: what others have made there, how quick they are, and containers whose place
//! breaks the rules of their pool by now; on the simulated fleet, in virtual time.

use std::collections::BTreeMap;

use crate::flow::{Flow, cluster, host, pass, pool_id, spec};
use longshore::adapters::sim::{CallKind, Scenario, Span, Trouble};
use longshore::model::command::{Busy, Command, HostEdit, Target};
use longshore::model::container::State;
use longshore::model::explain::{Explanation, Filter};
use longshore::model::holdings::Sort;
use longshore::model::moves::Proposal;
use longshore::model::placement::LossRule;
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

#[tokio::test(start_paused = true)]
async fn how_quick_each_host_is_is_measured_without_pulls() {
    let mut scenario = Scenario::uniform(2, "app:1").unwrap();
    scenario.hosts[0].latency_ms = Span(10, 10);
    scenario.hosts[1].latency_ms = Span(400, 400);
    // h2 has to pull, which takes 8 s.
    (scenario.images[0].everywhere, scenario.images[0].on) = (false, vec![host("h1")]);
    (scenario.images[0].size_mb, scenario.hosts[1].pull_mb_per_s) = (80, 10);
    let flow = Flow::begin(scenario).await;
    assert_eq!(flow.world().hosts.values().map(|h| h.paces).max_by_key(|p| p.create.count), None);
    flow.up(cluster("feed", &[("web", spec(8))])).await;
    flow.until_serving("feed/web", 8).await;
    flow.scale("alice", "feed/web", "4", Busy::Refuse).await.unwrap();
    flow.until_serving("feed/web", 4).await;
    let paces = |name: &str| flow.world().hosts[&host(name)].paces;
    let (quick, slow) = (paces("h1"), paces("h2"));
    for pace in [quick, slow] {
        assert_eq!((pace.create.count, pace.start.count, pace.remove.count), (4, 4, 2), "{pace:?}");
        assert!(pace.start.median_ms >= pace.create.median_ms, "starting takes longer here: {pace:?}");
        assert!(pace.start.worst_ms >= pace.start.median_ms, "{pace:?}");
    }
    assert_eq!((quick.create.worst_ms, quick.remove.median_ms), (10, 10), "{quick:?}");
    assert_eq!((slow.create.median_ms, slow.create.worst_ms), (400, 400), "no pull is counted: {slow:?}");
    assert_eq!((slow.remove.median_ms, slow.remove.worst_ms), (400, 400), "no grace time is counted");
    let said = longshore::view::describe::host(&flow.world(), &host("h2"), flow.clock.now());
    let line = "time-to-create: 0.4s (median of the last 4), longest 0.4s of 4";
    assert!(said.iter().any(|l| l == line), "{said:#?}");
}

async fn label(flow: &Flow, name: &str, disk: &str) {
    let labels = [("disk".to_owned(), Some(disk.to_owned()))].into();
    let edit = Box::new(HostEdit { labels, ..HostEdit::default() });
    flow.command("alice", Command::EditHosts { hosts: vec![host(name)], edit }).await.unwrap();
}

/// The advice about rules: evidence and command.
fn rules(flow: &Flow) -> Vec<(String, String)> {
    let all = longshore::view::advice::advise(&flow.world(), flow.clock.now());
    all.into_iter().filter(|a| a.risk == "against its rules").map(|a| (a.evidence, a.command)).collect()
}

/// What `longshore rebalance feed/web` proposes, made.
async fn rebalance(flow: &Flow) -> Proposal {
    let query = Query::Rebalance { target: Some(Target::Pool(pool_id("feed/web"))), limit: 100 };
    let Reply::Proposal(proposal) = flow.ask_as("alice", Request::Query(query)).await else { panic!() };
    if !proposal.moves.is_empty() {
        flow.command("alice", Command::Rebalance { moves: proposal.moves.clone() }).await.unwrap();
    }
    *proposal
}

#[tokio::test(start_paused = true)]
async fn what_breaks_its_rules_after_a_relabelling_is_advised_and_mended_only_when_asked() {
    let flow = Flow::begin(Scenario::uniform(3, "app:1").unwrap()).await;
    label(&flow, "h1", "ssd").await;
    label(&flow, "h2", "ssd").await;
    let mut web = spec(4);
    web.placement.constraints = vec!["node.labels.disk == ssd".parse().unwrap()];
    flow.up(cluster("feed", &[("web", web.clone())])).await;
    flow.until_serving("feed/web", 4).await;
    assert_eq!(rules(&flow), []);
    label(&flow, "h2", "hdd").await;
    pass(600).await;
    assert_eq!(by_host(&flow), [("h1".to_owned(), 2), ("h2".to_owned(), 2)].into(), "nothing moves unasked");
    assert_eq!(
        rules(&flow),
        [(
            "2 containers would be placed otherwise today: h2 node.labels.disk == ssd does not hold: it is hdd".into(),
            "longshore rebalance feed/web".into()
        )]
    );
    label(&flow, "h3", "ssd").await;
    let proposal = rebalance(&flow).await;
    assert_eq!(proposal.moves.len(), 2, "{proposal:?}");
    assert!(
        proposal.moves.iter().all(|m| m.from == host("h2") && m.why.contains("it is hdd")),
        "{proposal:?}"
    );
    pass(120).await;
    flow.until_serving("feed/web", 4).await;
    assert_eq!(by_host(&flow), [("h1".to_owned(), 2), ("h3".to_owned(), 2)].into());
    assert_eq!((rules(&flow), rebalance(&flow).await.moves), (vec![], vec![]));
    // Data stays where it is: then the label is what mends.
    web.placement.on_loss.rule = Some(LossRule::Wait);
    flow.up(cluster("feed", &[("web", web)])).await;
    label(&flow, "h3", "hdd").await;
    pass(5).await;
    assert_eq!(rules(&flow)[0].1, "longshore hosts label h3 disk=ssd");
    let proposal = rebalance(&flow).await;
    assert_eq!(proposal.moves, []);
    assert!(proposal.blocked.iter().any(|b| b.contains("its rule is wait")), "{proposal:?}");
    label(&flow, "h3", "ssd").await;
    pass(5).await;
    assert_eq!(rules(&flow), []);
}

#[tokio::test(start_paused = true)]
async fn more_than_the_most_on_a_host_is_advised_and_mended() {
    let flow = Flow::begin(Scenario::uniform(4, "app:1").unwrap()).await;
    flow.command("alice", Command::Cordon { hosts: vec![host("h3"), host("h4")] }).await.unwrap();
    flow.up(cluster("feed", &[("web", spec(4))])).await;
    flow.until_serving("feed/web", 4).await;
    let mut web = spec(4);
    web.placement.max_per_host = Some(1);
    flow.up(cluster("feed", &[("web", web)])).await;
    pass(60).await;
    let evidence = "2 containers would be placed otherwise today: h1 holds 2 of the pool, at most 1 are allowed (and 1 host more)";
    assert_eq!(rules(&flow), [(evidence.to_owned(), "longshore rebalance feed/web".to_owned())]);
    let proposal = rebalance(&flow).await;
    assert!(proposal.moves.is_empty() && proposal.blocked[0].contains("cordoned"), "{proposal:?}");
    flow.command("alice", Command::Undrain { hosts: vec![host("h3"), host("h4")] }).await.unwrap();
    assert_eq!(rebalance(&flow).await.moves.len(), 2);
    pass(120).await;
    assert_eq!(by_host(&flow).into_values().collect::<Vec<_>>(), [1, 1, 1, 1]);
    assert_eq!(rules(&flow), []);
}
