//! Flows under trouble that a hostile reader would try: engines under two names or another engine behind one, people who
//! queue up behind each other, a state that cannot be written, hosts that go while they are used.

use std::sync::Arc;

use crate::flow::{Flow, cluster, host, pass, pool_id, spec};
use crate::switch::{Named, Switch};
use longshore::adapters::sim::{Behaviour, ImagePlan, Scenario, Span, Trouble};
use longshore::model::command::{Busy, Command, NewHost, Target};
use longshore::model::container::State;
use longshore::model::host::{HostConfig, HostSource, Seen};
use longshore::model::operation::OpStatus;
use longshore::model::pool::{PoolSpec, RestartCondition, RestartPolicy};

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
    flow.fleet.fault(&host("h1"), &Trouble::Cut).unwrap();
    flow.until("a is lost", |w| !w.hosts[&host("a")].is_live()).await;
    switch.turn();
    pass(300).await;
    assert_eq!(flow.fleet.snapshot(&host("h2")).unwrap().len(), 0, "nothing was made on the other engine");
    flow.fleet.fault(&host("h1"), &Trouble::Back).unwrap();
    assert_eq!(flow.truth().len(), 3);
    let generations: Vec<u32> = flow.truth().iter().map(|(_, _, tag)| tag.generation).collect();
    assert_eq!(generations, [1, 1, 1]);
    assert!(
        flow.pool("feed/web").unwrap().slots.iter().all(|s| s.instance.as_ref().unwrap().generation == 1)
    );
}

#[tokio::test(start_paused = true)]
async fn the_first_of_new_hosts_that_answers_does_not_get_everything() {
    let mut scenario = Scenario::uniform(3, "app:1").unwrap();
    scenario.hosts[1].latency_ms = Span(700, 800);
    scenario.hosts[2].latency_ms = Span(900, 1_000);
    let mut flow = Flow::begin(scenario).await;
    flow.crash();
    flow.start_with(Arc::new(crate::flow::SimConnector(flow.fleet.clone())), vec![]).await;
    pass(60).await;
    let added = |host: HostConfig| NewHost {
        config: HostConfig { source: HostSource::Added, ..host },
        record: Default::default(),
    };
    let hosts = flow.fleet.hosts().into_iter().map(added).collect();
    flow.command("alice", Command::AddHosts(hosts)).await.unwrap();
    flow.up(cluster("feed", &[("web", spec(6))])).await;
    flow.until_serving("feed/web", 6).await;
    let counts = ["h1", "h2", "h3"].map(|h| flow.fleet.snapshot(&host(h)).unwrap().len());
    assert_eq!(counts, [2, 2, 2]);
}

#[tokio::test(start_paused = true)]
async fn an_engine_that_somebody_accepts_is_the_host_from_now_on() {
    let mut flow = Flow::begin(Scenario::uniform(2, "app:1").unwrap()).await;
    flow.crash();
    let switch = Arc::new(Switch::between(&flow.fleet, "h1", "h2"));
    flow.start_with(Arc::new(Named::one(switch.clone())), vec![config("a")]).await;
    flow.up(cluster("feed", &[("web", spec(3))])).await;
    flow.until_serving("feed/web", 3).await;
    let accept = Command::AcceptEngine { host: host("a") };
    let refusal = flow.command("alice", accept.clone()).await.unwrap_err();
    assert!(refusal.text.contains("no other engine answers"), "{refusal}");
    flow.fleet.fault(&host("h1"), &Trouble::Cut).unwrap();
    flow.until("a is lost", |w| !w.hosts[&host("a")].is_live()).await;
    switch.turn();
    flow.until("the other engine is noticed", |w| w.hosts[&host("a")].other_engine).await;
    pass(1_000).await;
    assert_eq!(flow.fleet.snapshot(&host("h2")).unwrap().len(), 0, "nothing is done before somebody says so");
    flow.command("alice", accept).await.unwrap();
    flow.until_serving("feed/web", 3).await;
    assert_eq!(flow.fleet.snapshot(&host("h2")).unwrap().len(), 3);
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

#[tokio::test(start_paused = true)]
async fn everybody_who_queued_gets_a_turn() {
    let flow = Flow::begin(Scenario::uniform(1, "app:1").unwrap()).await;
    flow.up(cluster("feed", &[("web", spec(2))])).await;
    flow.until_serving("feed/web", 2).await;
    flow.scale("alice", "feed/web", "30", Busy::Refuse).await.unwrap();
    let bob = flow.scale("bob", "feed/web", "5", Busy::Queue).await.unwrap().op.unwrap();
    let carol = flow.scale("carol", "feed/web", "7", Busy::Queue).await.unwrap().op.unwrap();
    // Alice changes her mind while both wait.
    flow.scale("alice", "feed/web", "20", Busy::Refuse).await.unwrap();
    flow.until_serving("feed/web", 7).await;
    pass(10).await;
    let world = flow.world();
    let status = |id| world.operations.iter().find(|o| o.id == id).unwrap().status.clone();
    assert_eq!((status(bob), status(carol)), (OpStatus::Done, OpStatus::Done));
    assert_eq!(flow.running_slots("feed/web").len(), 7);
}

#[tokio::test(start_paused = true)]
async fn a_release_that_cannot_be_written_does_not_deafen_the_engine() {
    let flow = Flow::begin(Scenario::uniform(1, "app:1").unwrap()).await;
    flow.up(cluster("feed", &[("web", spec(2))])).await;
    flow.until_serving("feed/web", 2).await;
    let other = rusqlite::Connection::open_with_flags(
        flow.dir.path().join("longshore.db"),
        rusqlite::OpenFlags::SQLITE_OPEN_READ_WRITE,
    )
    .unwrap();
    other.busy_timeout(std::time::Duration::from_secs(5)).unwrap();
    other
        .execute_batch("CREATE TRIGGER no BEFORE DELETE ON queued BEGIN SELECT RAISE(FAIL, 'no'); END")
        .unwrap();
    flow.scale("alice", "feed/web", "6", Busy::Refuse).await.unwrap();
    let bob = flow.scale("bob", "feed/web", "5", Busy::Queue).await.unwrap().op.unwrap();
    flow.until_serving("feed/web", 6).await;
    pass(5).await;
    let asked = tokio::time::timeout(std::time::Duration::from_secs(60), flow.journal()).await;
    assert!(asked.is_ok(), "the engine hears nobody");
    assert!(flow.world().engine.trouble.is_some(), "and says why nothing goes on");
    other.execute_batch("DROP TRIGGER no").unwrap();
    flow.until_serving("feed/web", 5).await;
    flow.until("bob's is done", |w| w.operations.iter().any(|o| o.id == bob && o.status == OpStatus::Done))
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_host_that_is_forgotten_during_a_removal_and_known_again_is_cleared() {
    let mut flow = Flow::begin(Scenario::uniform(2, "app:1").unwrap()).await;
    flow.crash();
    let connector = Arc::new(crate::flow::SimConnector(flow.fleet.clone()));
    let first = flow.fleet.hosts().remove(0);
    flow.start_with(connector, vec![first]).await;
    let second = HostConfig { source: HostSource::Added, ..flow.fleet.hosts().remove(1) };
    flow.command(
        "alice",
        Command::AddHosts(vec![NewHost { config: second.clone(), record: Default::default() }]),
    )
    .await
    .unwrap();
    flow.up(cluster("feed", &[("web", spec(6))])).await;
    flow.until_serving("feed/web", 6).await;
    flow.fleet.fault(&host("h2"), &Trouble::Hang).unwrap();
    flow.scale("alice", "feed/web", "1", Busy::Refuse).await.unwrap();
    tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    flow.command("alice", Command::RemoveHost { host: host("h2"), force: true }).await.unwrap();
    pass(200).await;
    flow.fleet.fault(&host("h2"), &Trouble::Back).unwrap();
    let left = flow.fleet.snapshot(&host("h2")).unwrap().len();
    flow.command("alice", Command::AddHosts(vec![NewHost { config: second, record: Default::default() }]))
        .await
        .unwrap();
    pass(200).await;
    assert_eq!(flow.truth().len(), 1, "{left} were left on h2 while it was forgotten");
}

#[tokio::test(start_paused = true)]
async fn a_pool_brought_up_while_it_goes_down_follows_its_file_again() {
    let flow = Flow::begin(Scenario::uniform(1, "app:1").unwrap()).await;
    flow.up(cluster("feed", &[("web", spec(2))])).await;
    flow.until_serving("feed/web", 2).await;
    flow.scale("alice", "feed/web", "5", Busy::Refuse).await.unwrap();
    flow.until_serving("feed/web", 5).await;
    let target = Target::Pool(pool_id("feed/web"));
    flow.command("alice", Command::Down { target, confirm: None }).await.unwrap();
    flow.up(cluster("feed", &[("web", spec(3))])).await;
    flow.until_serving("feed/web", 3).await;
    flow.up(cluster("feed", &[("web", spec(4))])).await;
    flow.until_serving("feed/web", 4).await;
}

#[tokio::test(start_paused = true)]
async fn jobs_that_failed_are_not_reported_as_done() {
    let mut scenario = Scenario::uniform(1, "app:1").unwrap();
    let behaviour = Behaviour { crash_per_mille: 1_000, crash_ms: Span(1, 1), ..Behaviour::default() };
    scenario.behaviours.insert(0, behaviour.into());
    let flow = Flow::begin(scenario).await;
    let restart = RestartPolicy { condition: RestartCondition::None, ..RestartPolicy::default() };
    flow.up(cluster("feed", &[("job", PoolSpec { restart, ..spec(2) })])).await;
    flow.until("it is over", |w| w.operations.iter().any(|o| o.status.is_over())).await;
    let status = flow.world().operations[0].status.clone();
    assert!(matches!(&status, OpStatus::Failed { why } if why.contains("exit status 1")), "{status:?}");
}

#[tokio::test(start_paused = true)]
async fn a_pool_that_goes_down_does_not_wait_for_its_pulls() {
    let mut scenario = Scenario::uniform(1, "app:1").unwrap();
    scenario.images.push(ImagePlan {
        name: "huge:1".into(),
        size_mb: 1_000_000,
        on: vec![],
        everywhere: false,
        healthcheck: false,
        digest: None,
    });
    let flow = Flow::begin(scenario).await;
    flow.up(cluster("feed", &[("web", PoolSpec { image: "huge:1".into(), ..spec(12) })])).await;
    pass(5).await;
    let target = Target::Pool(pool_id("feed/web"));
    flow.command("alice", Command::Down { target, confirm: None }).await.unwrap();
    pass(20).await;
    assert!(flow.world().pools.is_empty(), "{:?}", flow.pool("feed/web").unwrap().slots);
    assert!(flow.truth().is_empty());
}
