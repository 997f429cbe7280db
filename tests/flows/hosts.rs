//! Whole stories of hosts: they are lost, return, are drained and rebalanced; on the simulated fleet, in virtual time.

use std::collections::BTreeMap;

use crate::flow::{Flow, cluster, host, pass, pool_id, spec};
use longshore::adapters::sim::{Scenario, Trouble};
use longshore::base::ids::OpId;
use longshore::model::command::{Busy, Command, HostEdit};
use longshore::model::container::{Health, State};
use longshore::model::host::{Duty, HostState};
use longshore::model::moves::Move;
use longshore::model::operation::{OpStatus, Operation};
use longshore::model::placement::{LossRule, OnLoss};
use longshore::model::pool::{HealthCheck, Limits, Mount, MountKind, PoolSpec};
use longshore::model::query::{Query, Reply, Request};
use longshore::model::world::SlotStatus;

async fn web(hosts: usize, spec: PoolSpec) -> Flow {
    let flow = Flow::begin(Scenario::uniform(hosts, "app:1").unwrap()).await;
    let want = spec.replicas;
    flow.up(cluster("feed", &[("web", spec)])).await;
    flow.until_serving("feed/web", want).await;
    flow
}

fn with_rule(replicas: u32, rule: LossRule) -> PoolSpec {
    let mut spec = spec(replicas);
    spec.placement.on_loss = OnLoss { rule: Some(rule), ..OnLoss::default() };
    spec
}

/// Running containers of the pool on a host, in truth.
fn on(flow: &Flow, name: &str) -> usize {
    flow.truth().iter().filter(|(h, c, _)| *h == host(name) && c.state == State::Running).count()
}

fn by_host(flow: &Flow) -> BTreeMap<String, usize> {
    let mut out = BTreeMap::new();
    for (host, _, _) in flow.truth().iter().filter(|(_, c, _)| c.state == State::Running) {
        *out.entry(host.to_string()).or_default() += 1;
    }
    out
}

async fn lines(flow: &Flow, with: &str) -> usize {
    flow.journal().await.iter().filter(|l| l.text.contains(with)).count()
}

async fn drain(flow: &Flow, names: &[&str], force: bool) -> OpId {
    let hosts = names.iter().map(|n| host(n)).collect();
    flow.command("alice", Command::Drain { hosts, force }).await.unwrap().op.unwrap()
}

fn op(flow: &Flow, id: OpId) -> Operation {
    flow.world().operations.iter().find(|o| o.id == id).unwrap().clone()
}

async fn until_over(flow: &Flow, id: OpId) -> OpStatus {
    flow.until("the operation is over", |w| w.operations.iter().any(|o| o.id == id && o.status.is_over()))
        .await;
    op(flow, id).status
}

async fn site(flow: &Flow, name: &str, hosts: &[&str]) {
    let hosts = hosts.iter().map(|n| host(n)).collect();
    let edit = HostEdit { site: Some(Some(name.parse().unwrap())), ..HostEdit::default() };
    flow.command("alice", Command::EditHosts { hosts, edit: Box::new(edit) }).await.unwrap();
}

/// Lets time pass and sees that never fewer serve, never a slot twice for long.
async fn watch(flow: &Flow, seconds: u64, at_least: usize) {
    for _ in 0..seconds * 5 {
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        let running = flow.truth().iter().filter(|(_, c, _)| c.state == State::Running).count();
        assert!(running >= at_least, "{running} of at least {at_least} run");
    }
}

#[tokio::test(start_paused = true)]
async fn a_lost_host_is_replaced_after_its_time_and_its_return_leaves_the_wanted_number() {
    let flow = web(4, spec(8)).await;
    assert_eq!(on(&flow, "h2"), 2);
    flow.fleet.fault(&host("h2"), &Trouble::Cut).unwrap();
    pass(200).await;
    assert_eq!(flow.truth().len(), 8, "nothing is replaced before its time");
    assert_eq!(flow.pool("feed/web").unwrap().counts.lost, 2);
    flow.until("replaced", |w| w.pool(&pool_id("feed/web")).is_some_and(|p| p.counts.healthy == 8)).await;
    assert_eq!(flow.truth().len(), 10);
    pass(60).await;
    flow.fleet.fault(&host("h2"), &Trouble::Back).unwrap();
    flow.until("back", |w| w.hosts[&host("h2")].is_live()).await;
    pass(60).await;
    assert_eq!(flow.running_slots("feed/web"), (1..=8).collect::<Vec<_>>());
    assert_eq!(on(&flow, "h2"), 0, "the newer ones stay");
    assert_eq!(lines(&flow, "host h2 lost: no answer for 30s").await, 1, "{:?}", flow.journal().await);
    assert_eq!(lines(&flow, "host h2 is back after").await, 1);
}

#[tokio::test(start_paused = true)]
async fn what_waits_for_its_host_is_replaced_when_that_is_given_up() {
    for rule in [LossRule::Wait, LossRule::Never] {
        let flow = web(3, with_rule(3, rule)).await;
        flow.fleet.fault(&host("h1"), &Trouble::Hang).unwrap();
        pass(3_600).await;
        let view = flow.pool("feed/web").unwrap();
        assert_eq!(view.slots.iter().filter(|s| s.status == SlotStatus::AwaitingHost).count(), 1);
        assert!(view.waits[0].why.contains("longshore hosts give-up h1"), "{:?}", view.waits);
        assert_eq!(flow.truth().len(), 3, "an hour of silence replaces nothing");
        flow.command("alice", Command::GiveUp { hosts: vec![host("h1")] }).await.unwrap();
        flow.until_serving("feed/web", 3).await;
        flow.fleet.fault(&host("h1"), &Trouble::Back).unwrap();
        flow.until("it answers", |w| w.hosts[&host("h1")].is_live()).await;
        pass(60).await;
        assert_eq!(flow.running_slots("feed/web"), [1, 2, 3]);
        assert_eq!(flow.world().hosts[&host("h1")].record.given_up, None, "forgotten when it answers");
        assert_eq!(lines(&flow, "not given up any more").await, 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_site_that_is_lost_is_one_event_and_nothing_is_replaced() {
    let flow = web(6, spec(12)).await;
    site(&flow, "bj", &["h1", "h2", "h3"]).await;
    site(&flow, "sh", &["h4", "h5", "h6"]).await;
    for name in ["h1", "h2", "h3"] {
        flow.fleet.fault(&host(name), &Trouble::Cut).unwrap();
    }
    pass(1_200).await;
    assert_eq!(flow.truth().len(), 12, "very many are lost together: people are asked");
    let mass = flow.world().mass_loss.clone().unwrap();
    assert_eq!((mass.lost, mass.of, mass.containers), (3, 6, 6));
    assert_eq!(lines(&flow, "site bj lost: 3 hosts, 6 containers").await, 1, "{:?}", flow.journal().await);
    assert_eq!(lines(&flow, "host h").await, 0, "{:?}", flow.journal().await);
    let waits = flow.pool("feed/web").unwrap().waits;
    assert_eq!(waits.iter().map(|w| w.slots).collect::<Vec<_>>(), [6], "one sentence: {waits:?}");
    assert!(waits[0].why.starts_with("site bj is lost"), "{waits:?}");
    for name in ["h1", "h2", "h3"] {
        flow.fleet.fault(&host(name), &Trouble::Back).unwrap();
    }
    flow.until_serving("feed/web", 12).await;
    pass(60).await;
    assert_eq!(lines(&flow, "site bj is back after").await, 1);
    assert_eq!(lines(&flow, "host h").await, 0);
    assert_eq!(flow.world().mass_loss, None);
    assert_eq!(flow.running_slots("feed/web").len(), 12);
}

#[tokio::test(start_paused = true)]
async fn a_core_that_begins_while_a_host_is_silent_counts_its_own_time() {
    let mut flow = web(4, spec(4)).await;
    flow.fleet.fault(&host("h3"), &Trouble::Hang).unwrap();
    pass(250).await;
    flow.crash();
    pass(3_600).await;
    flow.start().await;
    pass(200).await;
    assert_eq!(flow.truth().len(), 4, "it was away itself: that is no silence of the host");
    flow.until("replaced", |w| w.pool(&pool_id("feed/web")).is_some_and(|p| p.counts.healthy == 4)).await;
    flow.fleet.fault(&host("h3"), &Trouble::Back).unwrap();
    flow.until("it answers", |w| w.hosts[&host("h3")].is_live()).await;
    pass(60).await;
    assert_eq!(flow.running_slots("feed/web"), [1, 2, 3, 4]);
}

#[tokio::test(start_paused = true)]
async fn a_drained_host_is_empty_and_never_fewer_serve() {
    let flow = web(3, spec(9)).await;
    let op = drain(&flow, &["h2"], false).await;
    watch(&flow, 40, 9).await;
    assert_eq!(until_over(&flow, op).await, OpStatus::Done);
    assert_eq!(on(&flow, "h2"), 0);
    assert_eq!(flow.running_slots("feed/web").len(), 9);
    assert!(matches!(flow.world().hosts[&host("h2")].record.duty, Duty::Drained { .. }));
    assert_eq!(flow.world().hosts[&host("h2")].state, HostState::Drained);
    assert_eq!(lines(&flow, "host h2 is drained").await, 1);
    let before = flow.journal().await.len();
    pass(600).await;
    assert_eq!(flow.journal().await.len(), before, "nothing happens any more");
    flow.command("alice", Command::Undrain { hosts: vec![host("h2")] }).await.unwrap();
    flow.scale("alice", "feed/web", "12", Busy::Refuse).await.unwrap();
    flow.until_serving("feed/web", 12).await;
    assert_eq!(on(&flow, "h2"), 3);
}

#[tokio::test(start_paused = true)]
async fn data_stays_unless_it_is_forced_and_what_blocks_is_said() {
    let mut db = spec(2);
    let (source, target) = ("data".into(), "/data".into());
    db.mounts = vec![Mount { kind: MountKind::Volume, source, target, read_only: false, external: false }];
    let flow = web(2, db).await;
    let first = drain(&flow, &["h1"], false).await;
    pass(60).await;
    let OpStatus::Stalled { why } = op(&flow, first).status else { panic!("{:?}", op(&flow, first)) };
    assert!(why.contains("keeps data on h1") && why.contains("--force"), "{why}");
    assert_eq!(on(&flow, "h1"), 1);
    let second = drain(&flow, &["h1"], true).await;
    assert_eq!(until_over(&flow, second).await, OpStatus::Done);
    assert_eq!(until_over(&flow, first).await, OpStatus::Superseded { by: second });
    flow.until_serving("feed/web", 2).await;
    assert_eq!(by_host(&flow), BTreeMap::from([("h2".to_owned(), 2)]));
}

#[tokio::test(start_paused = true)]
async fn at_its_maximum_a_pool_stops_first_within_its_minimum() {
    let mut full = spec(3);
    full.limits = Limits { min: Some(2), max: Some(3), step: None };
    let flow = web(3, full).await;
    let id = drain(&flow, &["h1"], false).await;
    for _ in 0..400 {
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        let running = flow.truth().iter().filter(|(_, c, _)| c.state == State::Running).count();
        assert!((2..=3).contains(&running), "{running}");
    }
    assert_eq!(until_over(&flow, id).await, OpStatus::Done);
    assert_eq!(flow.running_slots("feed/web"), [1, 2, 3]);
}

#[tokio::test(start_paused = true)]
async fn a_drain_that_nothing_can_take_says_so_and_undraining_ends_it() {
    let flow = web(2, spec(4)).await;
    let id = drain(&flow, &["h1", "h2"], false).await;
    watch(&flow, 60, 4).await;
    let OpStatus::Stalled { why } = op(&flow, id).status else { panic!("{:?}", op(&flow, id)) };
    assert!(why.contains("cannot leave h1: no host can take it"), "{why}");
    flow.command("alice", Command::Undrain { hosts: vec![host("h1"), host("h2")] }).await.unwrap();
    assert_eq!(until_over(&flow, id).await, OpStatus::Cancelled);
    pass(30).await;
    assert_eq!(flow.running_slots("feed/web"), [1, 2, 3, 4]);
    assert!(flow.truth().iter().all(|(_, _, tag)| tag.generation == 1));
}

#[tokio::test(start_paused = true)]
async fn whatever_happens_during_a_drain_it_ends_right() {
    for after_ms in (0..6_000).step_by(250) {
        for what in 0..7 {
            let mut flow = web(3, spec(6)).await;
            let mut want = 6;
            drain(&flow, &["h1"], false).await;
            tokio::time::sleep(std::time::Duration::from_millis(after_ms)).await;
            let mut drained = true;
            match what {
                0 => {
                    flow.crash();
                    pass(1).await;
                    flow.start().await;
                }
                1 => {
                    flow.command("bob", Command::Undrain { hosts: vec![host("h1")] }).await.unwrap();
                    drained = false;
                }
                2 => {
                    want = 3;
                    flow.scale("bob", "feed/web", "3", Busy::Replace).await.unwrap();
                }
                3 => {
                    let mut changed = spec(6);
                    changed.environment.insert("MODE".into(), "live".into());
                    flow.up(cluster("feed", &[("web", changed)])).await;
                }
                4 => {
                    flow.fleet.fault(&host("h1"), &Trouble::Cut).unwrap();
                    pass(20).await;
                    flow.fleet.fault(&host("h1"), &Trouble::Back).unwrap();
                }
                5 => {
                    flow.fleet.fault(&host("h2"), &Trouble::Cut).unwrap();
                    pass(400).await;
                    flow.fleet.fault(&host("h2"), &Trouble::Back).unwrap();
                }
                _ => {
                    flow.command("bob", Command::Cordon { hosts: vec![host("h1")] }).await.unwrap();
                    drained = false;
                }
            }
            pass(120).await;
            let name = format!("event {what} after {after_ms} ms");
            let view = flow.pool("feed/web").unwrap();
            let right = (want, want, 0, 0);
            let c = view.counts;
            assert_eq!((c.healthy, c.want, c.leaving, c.outdated), right, "{name}: {view:#?}");
            assert_eq!(flow.running_slots("feed/web"), view.pool.slots().collect::<Vec<_>>(), "{name}");
            assert!(view.slots.iter().all(|s| s.instance.as_ref().unwrap().moved_from.is_none()), "{name}");
            if drained {
                assert_eq!(on(&flow, "h1"), 0, "{name}");
                assert_eq!(flow.world().hosts[&host("h1")].state, HostState::Drained, "{name}");
            }
            assert!(flow.world().operations.iter().all(|o| o.status.is_over()), "{name}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_move_whose_new_container_fails_leaves_the_old_one_in_peace() {
    let flow = web(2, spec(2)).await;
    flow.fleet.fault(&host("h2"), &Trouble::DiskFull).unwrap();
    drain(&flow, &["h1"], false).await;
    watch(&flow, 600, 2).await;
    assert_eq!(flow.pool("feed/web").unwrap().counts.healthy, 2);
    flow.command("alice", Command::Undrain { hosts: vec![host("h1")] }).await.unwrap();
    pass(400).await;
    assert_eq!(flow.running_slots("feed/web"), [1, 2]);
}

fn wished(flow: &Flow, slot: u32, to: &str) -> Move {
    let view = flow.pool("feed/web").unwrap();
    let record = view.slots.iter().find(|s| s.slot == slot).unwrap().instance.clone().unwrap();
    let (generation, from) = (record.generation, record.host);
    Move { pool: pool_id("feed/web"), slot, generation, from, to: host(to), why: "more even".into() }
}

#[tokio::test(start_paused = true)]
async fn rebalancing_moves_what_was_proposed_and_drops_what_cannot() {
    let mut one = spec(4);
    one.placement.on_loss.rule = Some(LossRule::Elsewhere);
    let flow = web(3, one).await;
    let moves = vec![wished(&flow, 1, "h3"), wished(&flow, 2, "h3")];
    let stale = Move { generation: 7, ..moves[0].clone() };
    assert!(flow.command("alice", Command::Rebalance { moves: vec![stale] }).await.is_err());
    let first = flow.command("alice", Command::Rebalance { moves }).await.unwrap().op.unwrap();
    watch(&flow, 30, 4).await;
    assert_eq!(until_over(&flow, first).await, OpStatus::Done);
    assert_eq!(op(&flow, first).progress.target, 2);
    assert_eq!(on(&flow, "h3"), 3);
    let from = wished(&flow, 4, "h3").from;
    flow.command("alice", Command::Cordon { hosts: vec![host("h2")] }).await.unwrap();
    let to = if from == host("h2") { "h1" } else { "h2" };
    let moves = vec![wished(&flow, 4, to)];
    flow.command("alice", Command::Cordon { hosts: vec![host(to)] }).await.unwrap();
    let second = flow.command("alice", Command::Rebalance { moves }).await.unwrap().op.unwrap();
    assert_eq!(until_over(&flow, second).await, OpStatus::Done);
    assert_eq!(lines(&flow, "not moved to").await, 1);
    assert_eq!(flow.running_slots("feed/web"), [1, 2, 3, 4]);
}

/// The slots that a preview says would go, in its order.
async fn foretold(flow: &Flow, change: &str) -> Vec<u32> {
    let (pool, change) = (pool_id("feed/web"), change.parse().unwrap());
    let query = Query::Preview { pool, change, confirm: None, strategy: None };
    match flow.ask_as("alice", Request::Query(query)).await {
        Reply::Preview(preview) => preview.removals.iter().map(|r| r.slot).collect(),
        other => panic!("no preview: {other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn what_hurts_least_goes_as_foretold_and_the_same_number_comes_back() {
    let mut checked = spec(9);
    let test = vec!["CMD".to_owned(), "true".to_owned()];
    checked.healthcheck = Some(HealthCheck {
        test,
        interval_ms: None,
        timeout_ms: None,
        retries: Some(1_000),
        start_period_ms: None,
    });
    checked.restart.condition = longshore::model::pool::RestartCondition::None;
    let mut flow = web(3, checked).await;
    // Two more on h1 and h2 than on h3, then one of h1 fails its check and h3 takes no more.
    flow.command("alice", Command::Cordon { hosts: vec![host("h3")] }).await.unwrap();
    flow.scale("alice", "feed/web", "13", Busy::Refuse).await.unwrap();
    flow.until_serving("feed/web", 13).await;
    assert_eq!((on(&flow, "h1"), on(&flow, "h2"), on(&flow, "h3")), (5, 5, 3));
    flow.command("alice", Command::Undrain { hosts: vec![host("h3")] }).await.unwrap();
    let (_, sick, tag) =
        flow.truth().into_iter().find(|(h, _, t)| *h == host("h1") && (2..9).contains(&t.slot)).unwrap();
    flow.fleet.set_health(&host("h1"), &sick.id, Health::Unhealthy).unwrap();
    flow.until("it is seen", |w| w.pool(&pool_id("feed/web")).is_some_and(|p| p.counts.healthy == 12)).await;
    let told = foretold(&flow, "-4").await;
    assert_eq!((told.len(), told[0]), (4, tag.slot), "the unhealthy one first");
    let accepted = flow.scale("alice", "feed/web", "-4", Busy::Replace).await.unwrap();
    // The choice is durable: a core that begins anew makes the same.
    flow.crash();
    flow.start().await;
    flow.until_serving("feed/web", 9).await;
    let stay: Vec<u32> = (1..=13).filter(|slot| !told.contains(slot)).collect();
    assert_eq!(flow.running_slots("feed/web"), stay);
    assert_eq!((on(&flow, "h1"), on(&flow, "h2"), on(&flow, "h3")), (3, 3, 3), "even");
    // A cordoned host gives before others do.
    flow.command("alice", Command::Cordon { hosts: vec![host("h2")] }).await.unwrap();
    let told = foretold(&flow, "-2").await;
    flow.scale("alice", "feed/web", "-2", Busy::Replace).await.unwrap();
    flow.until_serving("feed/web", 7).await;
    assert!(told.iter().all(|slot| !flow.running_slots("feed/web").contains(slot)));
    assert_eq!((on(&flow, "h1"), on(&flow, "h2"), on(&flow, "h3")), (3, 1, 3));
    let undone = flow.command("alice", Command::Undo { pool: pool_id("feed/web"), op: None }).await.unwrap();
    assert!(undone.op > accepted.op && undone.text.ends_with("7 -> 9"), "{}", undone.text);
    flow.until_serving("feed/web", 9).await;
    flow.scale("alice", "feed/web", "13", Busy::Replace).await.unwrap();
    flow.until_serving("feed/web", 13).await;
    assert_eq!(flow.running_slots("feed/web"), (1..=13).collect::<Vec<_>>(), "holes are filled first");
}

#[tokio::test(start_paused = true)]
async fn a_minimum_holds_in_a_drain_and_what_blocks_it_is_said() {
    let mut full = spec(6);
    full.limits = Limits { min: Some(6), max: Some(6), step: None };
    let flow = web(3, full.clone()).await;
    let id = drain(&flow, &["h1"], true).await;
    watch(&flow, 120, 6).await;
    let OpStatus::Stalled { why } = op(&flow, id).status else { panic!("{:?}", op(&flow, id)) };
    let says = "cannot leave h1: its pool has its maximum (6) and its minimum (6): let it have one more with \
                `longshore set feed/web max=7`";
    assert!(why.ends_with(says), "{why}");
    full.limits.max = Some(7);
    flow.up(cluster("feed", &[("web", full)])).await;
    watch(&flow, 60, 6).await;
    assert_eq!(until_over(&flow, id).await, OpStatus::Done);
    assert_eq!((on(&flow, "h1"), flow.running_slots("feed/web").len()), (0, 6));
}

#[tokio::test(start_paused = true)]
async fn only_a_forced_move_of_data_goes_one_below_the_minimum() {
    let mut db = spec(4);
    let (source, target) = ("data".into(), "/data".into());
    db.mounts = vec![Mount { kind: MountKind::Volume, source, target, read_only: false, external: false }];
    db.limits = Limits { min: Some(4), max: None, step: None };
    let flow = web(2, db).await;
    let id = drain(&flow, &["h1"], true).await;
    watch(&flow, 120, 3).await;
    assert_eq!(until_over(&flow, id).await, OpStatus::Done);
    assert_eq!((on(&flow, "h1"), on(&flow, "h2")), (0, 4));
}
