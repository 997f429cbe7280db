//! Flows under trouble that a hostile reader would try: engines under two names or another engine behind one, people who
//! queue up behind each other, a state that cannot be written, hosts that go while they are used.
#![expect(clippy::unwrap_used, clippy::panic, reason = "tests say what failed by failing")]

#[path = "support/flow.rs"]
mod flow;
#[path = "support/switch.rs"]
mod switch;

use std::sync::Arc;

use flow::{Flow, cluster, host, pass, pool_id, spec};
use longshore::adapters::sim::Scenario;
use longshore::model::command::Busy;
use longshore::model::container::State;
use longshore::model::host::{HostConfig, HostSource, Seen};
use switch::{Named, Switch};

fn config(name: &str) -> HostConfig {
    let address = format!("sim://{name}");
    HostConfig { id: host(name), address, tls_dir: None, source: HostSource::Config }
}

fn running_ids(flow: &Flow) -> Vec<String> {
    let mut ids: Vec<String> = flow
        .truth()
        .into_iter()
        .filter(|(_, c, _)| c.state == State::Running)
        .map(|(_, c, _)| c.id.to_string())
        .collect();
    ids.sort();
    ids
}

/// One engine, reached as `a`; returns the flow with three containers on it.
async fn on_a() -> Flow {
    let mut flow = Flow::begin(Scenario::uniform(1, "app:1").unwrap()).await;
    flow.crash();
    flow.start_with(Arc::new(Named::all(&flow.fleet, "h1")), vec![config("a")]).await;
    flow.up(cluster("feed", &[("web", spec(3))])).await;
    flow.until_serving("feed/web", 3).await;
    flow
}

#[tokio::test(start_paused = true)]
async fn one_engine_under_two_names_is_one_host() {
    let mut flow = on_a().await;
    let before = running_ids(&flow);
    flow.crash();
    flow.start_with(Arc::new(Named::all(&flow.fleet, "h1")), vec![config("a"), config("b")]).await;
    pass(120).await;
    assert_eq!(running_ids(&flow), before, "nothing was replaced");
    let world = flow.world();
    let Seen::Never { why: Some(why) } = &world.hosts[&host("b")].seen else {
        panic!("{:?}", world.hosts[&host("b")].seen)
    };
    assert!(why.contains("the same engine as host a"), "{why}");
    flow.scale("alice", "feed/web", "6", Busy::Refuse).await.unwrap();
    flow.until_serving("feed/web", 6).await;
    assert_eq!(flow.running_slots("feed/web"), [1, 2, 3, 4, 5, 6]);
}

#[tokio::test(start_paused = true)]
async fn an_engine_under_a_new_name_keeps_its_containers() {
    let mut flow = on_a().await;
    let before = running_ids(&flow);
    flow.crash();
    flow.start_with(Arc::new(Named::all(&flow.fleet, "h1")), vec![config("b")]).await;
    flow.until_serving("feed/web", 3).await;
    pass(120).await;
    assert_eq!(running_ids(&flow), before, "nothing was replaced");
    assert!(flow.journal().await.iter().any(|l| l.text.contains("the engine that was known as a")));
}

#[tokio::test(start_paused = true)]
async fn another_engine_that_answers_after_a_cut_is_not_touched() {
    let mut flow = Flow::begin(Scenario::uniform(2, "app:1").unwrap()).await;
    flow.crash();
    let switch = Arc::new(Switch::between(&flow.fleet, "h1", "h2"));
    flow.start_with(Arc::new(Named::one(switch.clone())), vec![config("a")]).await;
    flow.up(cluster("feed", &[("web", spec(3))])).await;
    flow.until_serving("feed/web", 3).await;
    flow.fleet.fault(&host("h1"), &longshore::adapters::sim::Trouble::Cut).unwrap();
    flow.until("a is lost", |w| !w.hosts[&host("a")].is_live()).await;
    switch.turn();
    pass(300).await;
    assert_eq!(flow.fleet.snapshot(&host("h2")).unwrap().len(), 0, "nothing was made on the other engine");
    flow.fleet.fault(&host("h1"), &longshore::adapters::sim::Trouble::Back).unwrap();
    assert_eq!(flow.truth().len(), 3);
    let generations: Vec<u32> = flow.truth().iter().map(|(_, _, tag)| tag.generation).collect();
    assert_eq!(generations, [1, 1, 1]);
    assert!(
        flow.pool("feed/web").unwrap().slots.iter().all(|s| s.instance.as_ref().unwrap().generation == 1)
    );
}

#[tokio::test(start_paused = true)]
async fn a_half_made_container_is_finished_by_whoever_asks_next() {
    for after_ms in (0..90).step_by(3) {
        for fresh_revision in [false, true] {
            let mut flow = Flow::begin(Scenario::uniform(1, "app:1").unwrap()).await;
            flow.up(cluster("feed", &[("web", spec(2))])).await;
            flow.until_serving("feed/web", 2).await;
            flow.scale("alice", "feed/web", "6", Busy::Refuse).await.unwrap();
            tokio::time::sleep(std::time::Duration::from_millis(after_ms)).await;
            flow.crash();
            pass(1).await;
            flow.start().await;
            if fresh_revision {
                let mut changed = spec(2);
                changed.environment.insert("MODE".into(), "live".into());
                flow.up(cluster("feed", &[("web", changed)])).await;
                flow.until("renewed", |w| {
                    w.pool(&pool_id("feed/web"))
                        .is_some_and(|p| p.counts.outdated == 0 && p.counts.healthy == 6)
                })
                .await;
            } else {
                flow.scale("bob", "feed/web", "7", Busy::Replace).await.unwrap();
                flow.until_serving("feed/web", 7).await;
            }
            let journal = flow.journal().await;
            let taken = journal.iter().find(|l| l.text.contains("is taken"));
            assert!(taken.is_none(), "killed after {after_ms} ms: {taken:?}");
        }
    }
}
