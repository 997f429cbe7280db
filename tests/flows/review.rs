//! Stories that a hostile reader suspected: jobs on hosts that leave, what keeps a drain from its end, losses that heal in steps.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use crate::flow::{Flow, cluster, host, pass, pool_id, spec};
use longshore::adapters::sim::{Behaviour, Fleet, Scenario, Span, Trouble};
use longshore::base::clock::{Clock, Millis, SharedClock, TokioClock};
use longshore::base::ids::{HostId, OpId};
use longshore::model::command::{Busy, Command, HostEdit};
use longshore::model::container::{Health, State};
use longshore::model::host::HostState;
use longshore::model::moves::Move;
use longshore::model::operation::OpStatus;
use longshore::model::placement::Strategy;
use longshore::model::pool::{Mount, MountKind, PoolSpec, RestartCondition, RestartPolicy};
use longshore::model::world::SlotStatus;

fn job(replicas: u32) -> PoolSpec {
    let restart = RestartPolicy { condition: RestartCondition::None, ..RestartPolicy::default() };
    PoolSpec { restart, ..spec(replicas) }
}

fn with_data(replicas: u32) -> PoolSpec {
    let (source, target) = ("data".into(), "/data".into());
    let mounts = vec![Mount { kind: MountKind::Volume, source, target, read_only: false, external: false }];
    PoolSpec { mounts, ..spec(replicas) }
}

/// Hosts on which everything ends well after two seconds; one job has run.
async fn done_job(hosts: usize) -> (Flow, HostId) {
    let mut scenario = Scenario::uniform(hosts, "app:1").unwrap();
    let ends =
        Behaviour { crash_per_mille: 1_000, crash_ms: Span(2_000, 2_000), exit: 0, ..Behaviour::default() };
    scenario.behaviours.insert(0, ends.into());
    let flow = Flow::begin(scenario).await;
    flow.up(cluster("feed", &[("job", job(1))])).await;
    flow.until("it has run", |w| w.pool(&pool_id("feed/job")).is_some_and(|p| p.counts.finished == 1)).await;
    let (on, _, _) = flow.truth().remove(0);
    (flow, on)
}

async fn drain(flow: &Flow, id: &HostId, force: bool) -> OpId {
    flow.command("alice", Command::Drain { hosts: vec![id.clone()], force }).await.unwrap().op.unwrap()
}

async fn until_over(flow: &Flow, id: OpId) -> OpStatus {
    flow.until("the operation is over", |w| w.operations.iter().any(|o| o.id == id && o.status.is_over()))
        .await;
    flow.world().operations.iter().find(|o| o.id == id).unwrap().status.clone()
}

fn status(flow: &Flow, pool: &str) -> Vec<SlotStatus> {
    flow.pool(pool).unwrap().slots.iter().map(|s| s.status.clone()).collect()
}

#[tokio::test(start_paused = true)]
async fn a_job_that_is_done_is_not_done_again_because_its_host_goes() {
    for lost in [false, true] {
        let (flow, on) = done_job(2).await;
        if lost {
            flow.fleet.fault(&on, &Trouble::Cut).unwrap();
            pass(1_000).await;
            assert_eq!(status(&flow, "feed/job"), [SlotStatus::Finished], "it is done, wherever it was");
            flow.command("alice", Command::GiveUp { hosts: vec![on.clone()] }).await.unwrap();
        } else {
            let op = drain(&flow, &on, false).await;
            assert_eq!(until_over(&flow, op).await, OpStatus::Done);
        }
        pass(60).await;
        assert_eq!(flow.truth().len(), 1, "lost {lost}");
        assert_eq!(status(&flow, "feed/job"), [SlotStatus::Finished], "lost {lost}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_new_job_does_not_begin_on_a_drained_host() {
    for after_drain in [false, true] {
        let (flow, on) = done_job(2).await;
        if after_drain {
            let op = drain(&flow, &on, false).await;
            until_over(&flow, op).await;
        } else {
            drain(&flow, &on, false).await;
        }
        let mut again = job(1);
        again.environment.insert("RUN".into(), "2".into());
        flow.up(cluster("feed", &[("job", again)])).await;
        for _ in 0..100 {
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            let fresh = flow.truth().into_iter().find(|(_, _, tag)| tag.revision == 2);
            assert!(fresh.is_none_or(|(at, _, _)| at != on), "after {after_drain}: made on the drained host");
        }
        assert!(
            flow.truth().iter().any(|(_, _, tag)| tag.revision == 2),
            "after {after_drain}: nothing was made"
        );
    }
}

/// The simulated hosts under the source `added`, so that they can be removed.
async fn removable(flow: &mut Flow) {
    use longshore::model::command::NewHost;
    use longshore::model::host::{HostConfig, HostSource};
    flow.crash();
    let connector = Arc::new(crate::flow::SimConnector(flow.fleet.clone()));
    flow.start_with(connector, vec![]).await;
    let added = |h: HostConfig| NewHost {
        config: HostConfig { source: HostSource::Added, ..h },
        record: Default::default(),
    };
    let hosts = flow.fleet.hosts().into_iter().map(added).collect();
    flow.command("alice", Command::AddHosts(hosts)).await.unwrap();
    pass(30).await;
}

#[tokio::test(start_paused = true)]
async fn a_drained_host_with_a_done_job_can_be_removed_and_the_job_is_not_done_again() {
    let mut scenario = Scenario::uniform(2, "app:1").unwrap();
    let ends =
        Behaviour { crash_per_mille: 1_000, crash_ms: Span(2_000, 2_000), exit: 0, ..Behaviour::default() };
    scenario.behaviours.insert(0, ends.into());
    let mut flow = Flow::begin(scenario).await;
    removable(&mut flow).await;
    flow.up(cluster("feed", &[("job", job(1))])).await;
    flow.until("it has run", |w| w.pool(&pool_id("feed/job")).is_some_and(|p| p.counts.finished == 1)).await;
    let (on, _, _) = flow.truth().remove(0);
    let op = drain(&flow, &on, false).await;
    until_over(&flow, op).await;
    let remove = Command::RemoveHost { host: on.clone(), force: false };
    flow.command("alice", remove).await.unwrap();
    pass(60).await;
    assert_eq!(flow.truth().len(), 1, "the job has been done already");
    assert_eq!(status(&flow, "feed/job"), [SlotStatus::Finished]);
}

#[tokio::test(start_paused = true)]
async fn a_host_on_which_something_unhealthy_runs_for_good_is_not_called_drained() {
    let flow = Flow::begin(Scenario::uniform(2, "app:1").unwrap()).await;
    flow.up(cluster("feed", &[("job", job(1))])).await;
    flow.until_serving("feed/job", 1).await;
    pass(60).await;
    let (on, one, _) = flow.truth().remove(0);
    flow.fleet.set_health(&on, &one.id, Health::Unhealthy).unwrap();
    pass(60).await;
    let op = drain(&flow, &on, false).await;
    pass(60).await;
    let runs = flow.truth().iter().any(|(h, c, _)| *h == on && c.state == State::Running);
    let status = flow.world().operations.iter().find(|o| o.id == op).unwrap().status.clone();
    assert!(!runs || status != OpStatus::Done, "it still runs on {on}, and the drain says {status:?}");
}

#[tokio::test(start_paused = true)]
async fn an_old_log_of_data_that_lives_elsewhere_keeps_no_drain_from_its_end() {
    let flow = Flow::begin(Scenario::uniform(2, "app:1").unwrap()).await;
    flow.up(cluster("feed", &[("db", with_data(1))])).await;
    flow.until_serving("feed/db", 1).await;
    pass(10).await;
    let (on, _, _) = flow.truth().remove(0);
    // The machine goes down and stays away; it is given up, and returns after all with its container ended.
    flow.fleet.fault(&on, &Trouble::Restart).unwrap();
    tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    flow.command("alice", Command::GiveUp { hosts: vec![on.clone()] }).await.unwrap();
    flow.until_serving("feed/db", 1).await;
    pass(120).await;
    let op = drain(&flow, &on, false).await;
    pass(120).await;
    let status = flow.world().operations.iter().find(|o| o.id == op).unwrap().status.clone();
    assert_eq!(status, OpStatus::Done, "{:?}", flow.truth());
}

#[tokio::test(start_paused = true)]
async fn hosts_that_return_one_after_another_are_not_replaced_on_the_way() {
    let flow = Flow::begin(Scenario::uniform(10, "app:1").unwrap()).await;
    flow.up(cluster("feed", &[("web", spec(20))])).await;
    flow.until_serving("feed/web", 20).await;
    for n in 1..=5 {
        flow.fleet.fault(&host(&format!("h{n}")), &Trouble::Cut).unwrap();
    }
    pass(1_800).await;
    assert_eq!(flow.truth().len(), 20);
    for n in 1..=5 {
        flow.fleet.fault(&host(&format!("h{n}")), &Trouble::Back).unwrap();
        pass(3).await;
    }
    pass(60).await;
    let renewed = flow.truth().iter().filter(|(_, _, t)| t.generation > 1).count();
    assert_eq!(renewed, 0, "a line that comes back host by host");
}

struct Shifted(TokioClock, AtomicI64);

impl Clock for Shifted {
    fn now(&self) -> Millis {
        Millis(self.0.now().0 + self.1.load(Ordering::SeqCst))
    }
}

/// A flow whose engine's clock can be put forward or back.
async fn shifted(hosts: usize, pools: &[(&str, PoolSpec)]) -> (Flow, Arc<Shifted>) {
    let epoch = Millis(1_760_000_000_000);
    let clock = Arc::new(Shifted(TokioClock::starting_at(epoch), AtomicI64::new(0)));
    let shared: SharedClock = clock.clone();
    let of_fleet: SharedClock = Arc::new(TokioClock::starting_at(epoch));
    let fleet = Fleet::new(Scenario::uniform(hosts, "app:1").unwrap(), of_fleet);
    let mut flow = Flow { fleet, dir: tempfile::tempdir().unwrap(), clock: shared, core: None };
    flow.start().await;
    flow.up(cluster("feed", pools)).await;
    for (name, spec) in pools {
        flow.until_serving(&format!("feed/{name}"), spec.replicas).await;
    }
    pass(10).await;
    (flow, clock)
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_is_put_back_during_a_drain_or_a_loss_stops_neither() {
    for loss in [false, true] {
        let (flow, clock) = shifted(3, &[("web", spec(6))]).await;
        let h1 = host("h1");
        if loss {
            flow.fleet.fault(&h1, &Trouble::Cut).unwrap();
        } else {
            drain(&flow, &h1, false).await;
        }
        tokio::time::sleep(std::time::Duration::from_millis(1_200)).await;
        clock.1.store(-86_400_000, Ordering::SeqCst);
        pass(900).await;
        let elsewhere = flow.truth().iter().filter(|(h, _, _)| *h != h1).count();
        assert_eq!(
            elsewhere,
            6,
            "loss {loss}: a day must not pass first: {:?}",
            flow.pool("feed/web").unwrap().slots
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_flapping_host_does_not_flood_the_journal() {
    let flow = Flow::begin(Scenario::uniform(3, "app:1").unwrap()).await;
    flow.up(cluster("feed", &[("web", spec(6))])).await;
    flow.until_serving("feed/web", 6).await;
    let before = flow.journal().await.len();
    for _ in 0..60 {
        flow.fleet.fault(&host("h1"), &Trouble::Cut).unwrap();
        pass(45).await;
        flow.fleet.fault(&host("h1"), &Trouble::Back).unwrap();
        pass(15).await;
    }
    let lines = flow.journal().await.len() - before;
    assert!(lines <= 130, "{lines} lines an hour");
}

#[tokio::test(start_paused = true)]
async fn what_a_rebalancing_cannot_end_can_be_cancelled() {
    let mut scenario = Scenario::uniform(2, "app:1").unwrap();
    scenario.images.push(longshore::adapters::sim::ImagePlan {
        name: "huge:1".into(),
        size_mb: 10_000_000,
        on: vec![host("h1")],
        everywhere: false,
        healthcheck: false,
        digest: None,
    });
    let flow = Flow::begin(scenario).await;
    flow.command("alice", Command::Cordon { hosts: vec![host("h2")] }).await.unwrap();
    flow.up(cluster("feed", &[("web", PoolSpec { image: "huge:1".into(), ..spec(2) })])).await;
    flow.until_serving("feed/web", 2).await;
    flow.command("alice", Command::Undrain { hosts: vec![host("h2")] }).await.unwrap();
    let one = Move {
        pool: pool_id("feed/web"),
        slot: 1,
        generation: 1,
        from: host("h1"),
        to: host("h2"),
        why: "even".into(),
    };
    let op = flow.command("alice", Command::Rebalance { moves: vec![one] }).await.unwrap().op.unwrap();
    pass(600).await;
    let over = |flow: &Flow| flow.world().operations.iter().any(|o| o.id == op && o.status.is_over());
    let cancelled = flow.command("alice", Command::Cancel { op }).await;
    assert!(over(&flow) || cancelled.is_ok(), "{cancelled:?}");
    pass(60).await;
    assert!(over(&flow));
    assert_eq!(flow.running_slots("feed/web"), [1, 2]);
}

#[tokio::test(start_paused = true)]
async fn a_drain_that_somebody_cancels_says_what_ends_it() {
    let flow = Flow::begin(Scenario::uniform(1, "app:1").unwrap()).await;
    flow.up(cluster("feed", &[("web", spec(2))])).await;
    flow.until_serving("feed/web", 2).await;
    let op = drain(&flow, &host("h1"), false).await;
    let refusal = flow.command("alice", Command::Cancel { op }).await.unwrap_err();
    assert!(refusal.hint.as_deref().unwrap_or_default().contains("undrain"), "{refusal:?}");
}

#[tokio::test(start_paused = true)]
async fn a_constraint_that_no_present_host_meets_moves_nothing() {
    let flow = Flow::begin(Scenario::uniform(3, "app:1").unwrap()).await;
    flow.up(cluster("feed", &[("web", spec(6))])).await;
    flow.until_serving("feed/web", 6).await;
    let mut ssd = spec(6);
    ssd.placement.constraints = vec!["node.labels.disk == ssd".parse().unwrap()];
    flow.up(cluster("feed", &[("web", ssd)])).await;
    pass(120).await;
    assert_eq!(flow.running_slots("feed/web").len(), 6);
    assert!(flow.truth().iter().all(|(_, _, t)| t.generation == 1));
    let labels = [("disk".to_owned(), Some("ssd".to_owned()))].into();
    let edit = Box::new(HostEdit { labels, ..HostEdit::default() });
    flow.command("alice", Command::EditHosts { hosts: vec![host("h3")], edit }).await.unwrap();
    flow.scale("alice", "feed/web", "8", Busy::Replace).await.unwrap();
    flow.until_serving("feed/web", 8).await;
    drain(&flow, &host("h3"), false).await;
    pass(120).await;
    assert_eq!(flow.running_slots("feed/web").len(), 8);
    assert_eq!(flow.world().hosts[&host("h3")].state, HostState::Draining);
}

/// The same pool with another environment: every container is to be renewed.
fn renewed(spec: PoolSpec) -> PoolSpec {
    let environment = [("RUN".to_owned(), "2".to_owned())].into();
    PoolSpec { environment, ..spec }
}

async fn label(flow: &Flow, name: &str) {
    let labels = [("disk".to_owned(), Some("ssd".to_owned()))].into();
    let edit = Box::new(HostEdit { labels, ..HostEdit::default() });
    flow.command("alice", Command::EditHosts { hosts: vec![host(name)], edit }).await.unwrap();
}

/// Brings up and lets two minutes pass; at least so many serve all the while.
async fn up_and_watch(flow: &Flow, specs: &[(&str, PoolSpec)], at_least: usize) -> OpStatus {
    let op = flow.up(cluster("feed", specs)).await.op.unwrap();
    for _ in 0..1_200 {
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        let runs = flow.truth().iter().filter(|(_, c, _)| c.state == State::Running).count();
        assert!(runs >= at_least, "{runs} of at least {at_least} run");
    }
    flow.world().operations.iter().find(|o| o.id == op).unwrap().status.clone()
}

#[tokio::test(start_paused = true)]
async fn a_renewal_goes_to_hosts_that_take_what_is_wanted_now() {
    for max in [None, Some(6)] {
        let flow = Flow::begin(Scenario::uniform(3, "app:1").unwrap()).await;
        let mut before = spec(6);
        before.limits.max = max;
        flow.up(cluster("feed", &[("web", before.clone())])).await;
        flow.until_serving("feed/web", 6).await;
        label(&flow, "h3").await;
        let mut after = renewed(before);
        after.placement.constraints = vec!["node.labels.disk == ssd".parse().unwrap()];
        // In place, or within its maximum, one ends before the next begins.
        let status = up_and_watch(&flow, &[("web", after)], 5).await;
        assert_eq!(status, OpStatus::Done, "max {max:?}");
        let truth = flow.truth();
        assert_eq!(truth.len(), 6, "max {max:?}: {truth:?}");
        assert!(truth.iter().all(|(on, _, tag)| on.as_str() == "h3" && tag.revision == 2), "{truth:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_renewal_leaves_a_cordoned_host() {
    let flow = Flow::begin(Scenario::uniform(3, "app:1").unwrap()).await;
    flow.up(cluster("feed", &[("web", spec(3))])).await;
    flow.until_serving("feed/web", 3).await;
    flow.command("alice", Command::Cordon { hosts: vec![host("h1")] }).await.unwrap();
    let status = up_and_watch(&flow, &[("web", renewed(spec(3)))], 2).await;
    assert_eq!(status, OpStatus::Done);
    let truth = flow.truth();
    assert!(truth.iter().all(|(on, _, tag)| on.as_str() != "h1" && tag.revision == 2), "{truth:?}");
    assert_eq!(truth.len(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_renewal_that_needs_more_memory_does_not_overfill_a_host() {
    let sized = |gib: u64| {
        let mut spec = spec(4);
        spec.resources.memory_reserved = Some(gib << 30);
        spec
    };
    let mut scenario = Scenario::uniform(2, "app:1").unwrap();
    scenario.hosts.iter_mut().for_each(|h| h.memory_mb = 8 << 10);
    let flow = Flow::begin(scenario).await;
    flow.command("alice", Command::Cordon { hosts: vec![host("h2")] }).await.unwrap();
    flow.up(cluster("feed", &[("web", sized(1))])).await;
    flow.until_serving("feed/web", 4).await;
    flow.command("alice", Command::Undrain { hosts: vec![host("h2")] }).await.unwrap();
    let status = up_and_watch(&flow, &[("web", sized(3))], 3).await;
    assert_eq!(status, OpStatus::Done);
    for name in ["h1", "h2"] {
        let there = flow.truth().iter().filter(|(on, _, _)| on.as_str() == name).count();
        assert_eq!(there, 2, "on {name}: {:?}", flow.truth());
    }
}

#[tokio::test(start_paused = true)]
async fn what_no_host_takes_keeps_its_old_container_and_the_operation_says_why() {
    for data in [false, true] {
        let flow = Flow::begin(Scenario::uniform(3, "app:1").unwrap()).await;
        let before = if data { with_data(3) } else { spec(3) };
        flow.up(cluster("feed", &[("web", before.clone())])).await;
        flow.until_serving("feed/web", 3).await;
        if data {
            label(&flow, "h3").await;
        }
        let mut after = renewed(before);
        after.placement.constraints = vec!["node.labels.disk == ssd".parse().unwrap()];
        let status = up_and_watch(&flow, &[("web", after)], 2).await;
        let OpStatus::Stalled { why } = &status else { panic!("data {data}: {status:?}") };
        assert!(why.contains("does not take revision 2"), "{why}");
        assert_eq!(why.contains("its data is there"), data, "{why}");
        let old = flow.truth().iter().filter(|(_, _, tag)| tag.revision == 1).count();
        assert_eq!(old, if data { 2 } else { 3 }, "data {data}");
        for name in ["h1", "h2", "h3"] {
            label(&flow, name).await;
        }
        flow.until("all are renewed", |w| {
            w.pool(&pool_id("feed/web")).is_some_and(|p| p.counts.outdated == 0)
        })
        .await;
        flow.until_serving("feed/web", 3).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_strategy_asked_for_with_a_change_counts_for_what_that_change_adds_only() {
    let flow = Flow::begin(Scenario::uniform(4, "app:1").unwrap()).await;
    flow.up(cluster("feed", &[("web", spec(1))])).await;
    flow.until_serving("feed/web", 1).await;
    pass(10).await;
    let (full, _, _) = flow.truth().remove(0);
    let command = Command::SetReplicas {
        pool: pool_id("feed/web"),
        change: "7".parse().unwrap(),
        expect: None,
        busy: Busy::Refuse,
        confirm: None,
        strategy: Some(Strategy::Binpack),
    };
    let accepted = flow.command("alice", command).await.unwrap();
    assert!(accepted.text.ends_with("1 -> 7, by binpack"), "{}", accepted.text);
    assert!(flow.journal().await.iter().any(|line| format!("{line:?}").contains(", by binpack")));
    flow.until_serving("feed/web", 7).await;
    pass(30).await;
    assert!(flow.truth().iter().all(|(on, _, _)| *on == full), "packed: {:?}", flow.truth());
    let op = drain(&flow, &full, false).await;
    assert_eq!(until_over(&flow, op).await, OpStatus::Done);
    let mut on: Vec<HostId> = flow.truth().into_iter().map(|(on, _, _)| on).collect();
    on.sort();
    on.dedup();
    assert_eq!(on.len(), 3, "what is replaced is spread: {on:?}");
}

#[tokio::test(start_paused = true)]
async fn who_removes_a_host_by_force_is_told_that_data_stays_behind() {
    let mut flow = Flow::begin(Scenario::uniform(1, "app:1").unwrap()).await;
    removable(&mut flow).await;
    flow.up(cluster("feed", &[("db", with_data(2)), ("web", spec(1))])).await;
    flow.until_serving("feed/db", 2).await;
    flow.until_serving("feed/web", 1).await;
    flow.fleet.fault(&host("h1"), &Trouble::Cut).unwrap();
    pass(60).await;
    let remove = Command::RemoveHost { host: host("h1"), force: false };
    let refusal = flow.command("alice", remove).await.unwrap_err();
    let hint = refusal.hint.unwrap_or_default();
    assert!(hint.ends_with("; 2 of them keep data there, which the new ones will not have"), "{hint}");
}
