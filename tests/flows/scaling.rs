//! Whole flows through the engine core on the simulated fleet, in virtual time: what is asked for is what runs.

use crate::flow::{Flow, cluster, host, pass, pool_id, spec};
use longshore::adapters::sim::{Scenario, Trouble};
use longshore::model::command::{Busy, Command, RefusalKind, Target};
use longshore::model::container::{Health, State};
use longshore::model::journal::What;
use longshore::model::operation::OpStatus;
use longshore::model::pool::{Limits, PoolSpec, Port};
use longshore::model::query::{Query, Reply, Request};
use longshore::model::world::SlotStatus;

async fn web(hosts: usize, count: u32) -> Flow {
    let flow = Flow::begin(Scenario::uniform(hosts, "app:1").unwrap()).await;
    flow.up(cluster("feed", &[("web", spec(count))])).await;
    flow.until_serving("feed/web", count).await;
    flow
}

#[tokio::test(start_paused = true)]
async fn up_scale_undo_down() {
    let flow = web(3, 4).await;
    assert_eq!(flow.running_slots("feed/web"), [1, 2, 3, 4]);
    let accepted = flow.scale("alice", "feed/web", "+5", Busy::Refuse).await.unwrap();
    assert_eq!(accepted.text, "scale feed/web 4 -> 9");
    flow.until_serving("feed/web", 9).await;
    let by_host: Vec<usize> = ["h1", "h2", "h3"]
        .iter()
        .map(|h| flow.truth().iter().filter(|(on, ..)| *on == host(h)).count())
        .collect();
    assert_eq!(by_host, [3, 3, 3], "spread over the hosts");
    flow.command("alice", Command::Undo { pool: pool_id("feed/web"), op: None }).await.unwrap();
    flow.until_serving("feed/web", 4).await;
    assert_eq!(flow.running_slots("feed/web").len(), 4);
    let again =
        flow.command("alice", Command::Undo { pool: pool_id("feed/web"), op: None }).await.unwrap_err();
    assert!(again.text.contains("taken back already"), "{}", again.text);
    let target = Target::Pool(pool_id("feed/web"));
    flow.command("alice", Command::Down { target, confirm: None }).await.unwrap();
    flow.until("the pool is gone", |w| w.pools.is_empty()).await;
    assert!(flow.truth().is_empty(), "nothing of ours is left");
    flow.until("every operation is over", |w| w.operations.iter().all(|o| o.status.is_over())).await;
}

#[tokio::test(start_paused = true)]
async fn a_pool_that_was_taken_down_can_be_brought_up_again() {
    let mut flow = web(1, 2).await;
    for _ in 0..2 {
        flow.command("alice", Command::Down { target: Target::Pool(pool_id("feed/web")), confirm: None })
            .await
            .unwrap();
        flow.until("the pool is gone", |w| w.pools.is_empty()).await;
        flow.crash();
        flow.start().await;
        flow.up(cluster("feed", &[("web", spec(2))])).await;
        flow.until_serving("feed/web", 2).await;
    }
    assert_eq!(flow.pool("feed/web").unwrap().pool.revision, 3, "a revision's number is never used twice");
}

#[tokio::test(start_paused = true)]
async fn a_killed_container_is_replaced_with_its_cause_in_the_journal() {
    let flow = web(2, 3).await;
    pass(60).await;
    let (on, victim, tag) = flow.truth().into_iter().find(|(_, _, t)| t.slot == 2).unwrap();
    flow.fleet.kill(&on, &victim.id, 137).unwrap();
    flow.until("slot 2 has a new generation", |w| {
        let pool = w.pool(&pool_id("feed/web")).unwrap();
        pool.slots[1].instance.as_ref().is_some_and(|i| i.generation == tag.generation + 1)
            && pool.counts.healthy == 3
    })
    .await;
    assert_eq!(flow.running_slots("feed/web"), [1, 2, 3]);
    let journal = flow.journal().await;
    let cause = journal.iter().find(|l| l.what == What::Observed && l.slot == Some(2)).unwrap();
    assert!(cause.text.contains("exit status 137 (killed)"), "{}", cause.text);
    let dead: Vec<_> = flow.truth().into_iter().filter(|(_, c, _)| c.state == State::Exited).collect();
    assert_eq!(dead.len(), 1, "the last ended container is kept for its log");
}

#[tokio::test(start_paused = true)]
async fn a_container_removed_outside_is_made_again_and_strangers_are_left_alone() {
    let flow = web(1, 2).await;
    let stranger = flow.fleet.make_stranger(&host("h1"), "somebody-elses", None).unwrap();
    let (on, victim, _) = flow.truth().remove(0);
    flow.fleet.remove_outside(&on, &victim.id).unwrap();
    pass(30).await;
    flow.until_serving("feed/web", 2).await;
    assert!(flow.journal().await.iter().any(|l| l.text.contains("removed outside of longshore")));
    flow.command("alice", Command::Down { target: Target::Pool(pool_id("feed/web")), confirm: None })
        .await
        .unwrap();
    flow.until("the pool is gone", |w| w.pools.is_empty()).await;
    let left = flow.fleet.snapshot(&host("h1")).unwrap();
    assert_eq!(left.iter().map(|c| c.id.clone()).collect::<Vec<_>>(), [stranger]);
}

#[tokio::test(start_paused = true)]
async fn an_unhealthy_container_is_replaced() {
    let flow = web(1, 2).await;
    pass(60).await;
    let (on, victim, tag) = flow.truth().remove(0);
    flow.fleet.set_health(&on, &victim.id, Health::Unhealthy).unwrap();
    pass(60).await;
    flow.until_serving("feed/web", 2).await;
    assert!(!flow.truth().iter().any(|(_, c, _)| c.id == victim.id && c.state == State::Running));
    assert!(
        flow.journal()
            .await
            .iter()
            .any(|l| l.slot == Some(tag.slot) && l.text.contains("health check failed"))
    );
}

#[tokio::test(start_paused = true)]
async fn a_host_that_is_lost_is_not_an_empty_host() {
    let flow = web(2, 4).await;
    flow.fleet.fault(&host("h2"), &Trouble::Cut).unwrap();
    flow.until("h2 is lost", |w| !w.hosts[&host("h2")].is_live()).await;
    pass(250).await;
    let pool = flow.pool("feed/web").unwrap();
    assert_eq!((pool.counts.lost, pool.counts.running), (2, 2));
    assert_eq!(flow.running_slots("feed/web").len(), 4, "nothing was made elsewhere");
    assert_eq!(flow.world().hosts[&host("h2")].containers.len(), 2, "the last view is kept");
    flow.fleet.fault(&host("h2"), &Trouble::Back).unwrap();
    flow.until_serving("feed/web", 4).await;
}

#[tokio::test(start_paused = true)]
async fn a_creation_that_timed_out_is_read_back_and_never_doubled() {
    let flow = web(1, 1).await;
    flow.fleet.fault(&host("h1"), &Trouble::Hang).unwrap();
    flow.scale("alice", "feed/web", "4", Busy::Refuse).await.unwrap();
    pass(200).await;
    flow.fleet.fault(&host("h1"), &Trouble::Back).unwrap();
    flow.until_serving("feed/web", 4).await;
    pass(60).await;
    assert_eq!(flow.truth().len(), 4, "one container a slot, those of timed out calls included");
    assert!(flow.truth().iter().all(|(_, _, tag)| tag.generation == 1));
}

#[tokio::test(start_paused = true)]
async fn limits_names_versions_and_readers_are_refused_in_words() {
    let flow = Flow::begin(Scenario::uniform(1, "app:1").unwrap()).await;
    let limits = Limits { min: Some(1), max: Some(6), step: Some(3) };
    flow.up(cluster("pay", &[("api", PoolSpec { limits, protect: true, ..spec(3) })])).await;
    flow.until_serving("pay/api", 3).await;
    let refused = |why: RefusalKind, text: &str| (why, text.to_owned());
    for (change, expected) in [
        ("9", refused(RefusalKind::Limit, "pay/api may have at most 6, not 9")),
        ("0", refused(RefusalKind::Limit, "pay/api must have at least 1, not 0")),
        ("2", refused(RefusalKind::NeedsName("pay/api".into()), "pay/api is protected")),
    ] {
        let refusal = flow.scale("alice", "pay/api", change, Busy::Refuse).await.unwrap_err();
        assert_eq!((refusal.why, refusal.text), expected);
    }
    let stale = Command::SetReplicas {
        pool: pool_id("pay/api"),
        change: "5".parse().unwrap(),
        expect: Some(99),
        busy: Busy::Refuse,
        confirm: None,
        strategy: None,
    };
    assert_eq!(flow.command("alice", stale.clone()).await.unwrap_err().why, RefusalKind::Changed);
    assert_eq!(flow.command("guest", stale).await.unwrap_err().why, RefusalKind::ReadOnly);
    let none = flow.scale("alice", "pay/nothing", "1", Busy::Refuse).await.unwrap_err();
    assert_eq!((none.why, none.hint.as_deref()), (RefusalKind::NotFound, Some("pools: pay/api")));
    let down = Command::Down { target: Target::Cluster("pay".parse().unwrap()), confirm: None };
    assert_eq!(flow.command("alice", down).await.unwrap_err().why, RefusalKind::NeedsName("pay".into()));
    assert_eq!(flow.pool("pay/api").unwrap().counts.want, 3, "nothing was changed");
}

#[tokio::test(start_paused = true)]
async fn two_people_at_once() {
    let flow = web(1, 2).await;
    let first = flow.scale("alice", "feed/web", "20", Busy::Refuse).await.unwrap().op.unwrap();
    let busy = flow.scale("bob", "feed/web", "5", Busy::Refuse).await.unwrap_err();
    assert_eq!(busy.why, RefusalKind::Busy { op: first, by: "alice".into() });
    assert!(busy.text.contains("alice started scale op-"), "{}", busy.text);
    let queued = flow.scale("bob", "feed/web", "5", Busy::Queue).await.unwrap().op.unwrap();
    flow.until_serving("feed/web", 5).await;
    let world = flow.world();
    let status = |id| world.operations.iter().find(|o| o.id == id).unwrap().status.clone();
    assert_eq!((status(first), status(queued)), (OpStatus::Done, OpStatus::Done));
    let third = flow.scale("alice", "feed/web", "8", Busy::Refuse).await.unwrap().op.unwrap();
    let fourth = flow.scale("bob", "feed/web", "3", Busy::Replace).await.unwrap().op.unwrap();
    flow.until_serving("feed/web", 3).await;
    let superseded = flow.world().operations.iter().find(|o| o.id == third).unwrap().status.clone();
    assert_eq!(superseded, OpStatus::Superseded { by: fourth });
}

#[tokio::test(start_paused = true)]
async fn an_image_that_is_nowhere_stalls_with_the_reason() {
    let flow = Flow::begin(Scenario::uniform(1, "app:1").unwrap()).await;
    let missing = PoolSpec { image: "nowhere/app:9".into(), ..spec(2) };
    flow.up(cluster("feed", &[("web", missing)])).await;
    flow.until("it is stalled", |w| matches!(w.operations.first().map(|o| &o.status), Some(OpStatus::Stalled { why }) if why.contains("nowhere/app:9"))).await;
    pass(600).await;
    let creates = flow.journal().await.iter().filter(|l| l.what == What::Intent).count();
    assert!(creates < 40, "it is not fed: {creates} attempts in ten minutes");
    // What may stay like this for ever keeps nobody from a restart.
    let target = Target::Pool(pool_id("feed/web"));
    flow.command("bob", Command::Restart { target }).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_container_that_ends_at_once_is_not_shown_as_done() {
    let flow = Flow::begin(Scenario::uniform(1, "app:1").unwrap()).await;
    let command = Some(["sh", "-c", "exit 3"].map(String::from).to_vec());
    let op = flow.up(cluster("feed", &[("web", PoolSpec { command, ..spec(2) })])).await.op.unwrap();
    let status =
        |w: &longshore::model::world::World| w.operations.iter().find(|o| o.id == op).unwrap().status.clone();
    flow.until("it is stalled with the reason", |w| {
        assert_ne!(status(w), OpStatus::Done);
        matches!(status(w), OpStatus::Stalled { why } if why.contains("exit status 3"))
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_taken_port_goes_elsewhere_or_is_named() {
    let flow = Flow::begin(Scenario::uniform(2, "app:1").unwrap()).await;
    flow.fleet.make_stranger(&host("h1"), "other", Some(8080)).unwrap();
    let port = Port { target: 80, published: Some(8080), host_ip: None, protocol: "tcp".into() };
    flow.up(cluster("feed", &[("web", PoolSpec { ports: vec![port], ..spec(2) })])).await;
    flow.until("one runs, the other says why not", |w| {
        let pool = w.pool(&pool_id("feed/web"));
        pool.is_some_and(|p| p.counts.healthy == 1 && p.waits.iter().any(|w| w.why.contains("8080")))
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_new_revision_replaces_containers_a_few_at_a_time() {
    let flow = web(2, 4).await;
    let mut fresh = spec(4);
    fresh.environment.insert("MODE".into(), "live".into());
    flow.up(cluster("feed", &[("web", fresh)])).await;
    let mut fewest = 4;
    for _ in 0..2_000 {
        fewest = fewest.min(flow.running_slots("feed/web").len());
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    flow.until_serving("feed/web", 4).await;
    assert!(
        flow.truth().iter().filter(|(_, c, _)| c.state == State::Running).all(|(_, _, t)| t.revision == 2)
    );
    assert_eq!(fewest, 3, "one at a time");
}

#[tokio::test(start_paused = true)]
async fn a_restart_goes_in_batches_with_pauses_and_is_never_called_stalled() {
    let flow = Flow::begin(Scenario::uniform(2, "app:1").unwrap()).await;
    let batches = PoolSpec { update_parallelism: 2, update_delay_ms: 60_000, ..spec(5) };
    flow.up(cluster("feed", &[("web", batches)])).await;
    flow.until_serving("feed/web", 5).await;
    let begun = tokio::time::Instant::now();
    let target = Target::Pool(pool_id("feed/web"));
    let accepted = flow.command("alice", Command::Restart { target: target.clone() }).await.unwrap();
    assert_eq!(accepted.text, "restart feed/web: 5 containers");
    let by_other = flow.command("bob", Command::Restart { target }).await.unwrap_err();
    assert!(matches!(by_other.why, RefusalKind::Busy { .. }), "{}", by_other.text);
    let (mut fewest, mut renewed, mut steps) = (5, 0, Vec::new());
    loop {
        let truth = flow.truth();
        let fresh = |(_, c, t): &&(_, _, _)| -> bool {
            let (c, t): (&longshore::model::container::Container, &longshore::model::container::Tag) = (c, t);
            c.state == State::Running && t.revision == 2
        };
        let now = truth.iter().filter(fresh).count();
        if now != renewed {
            steps.push((begun.elapsed().as_secs() / 60, now));
            renewed = now;
        }
        fewest = fewest.min(flow.running_slots("feed/web").len());
        let world = flow.world();
        let op = world.operations.iter().find(|o| Some(o.id) == accepted.op).unwrap();
        assert!(!matches!(op.status, OpStatus::Stalled { .. }), "{:?}", op.status);
        if op.status == OpStatus::Done {
            break;
        }
        assert!(begun.elapsed().as_secs() < 600, "{:?}", op.status);
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    assert_eq!(renewed, 5);
    assert!(fewest >= 3, "at most two are away: {fewest}");
    assert!(steps.contains(&(0, 2)) && steps.contains(&(1, 4)) && steps.contains(&(2, 5)), "{steps:?}");
}

#[tokio::test(start_paused = true)]
async fn a_container_that_begins_anew_during_the_pause_puts_no_batch_off() {
    let flow = Flow::begin(Scenario::uniform(2, "app:1").unwrap()).await;
    let batches = PoolSpec { update_parallelism: 1, update_delay_ms: 60_000, ..spec(3) };
    flow.up(cluster("feed", &[("web", batches)])).await;
    flow.until_serving("feed/web", 3).await;
    let begun = tokio::time::Instant::now();
    let target = Target::Pool(pool_id("feed/web"));
    flow.command("alice", Command::Restart { target }).await.unwrap();
    let fresh = || flow.truth().into_iter().find(|(_, c, t)| c.state == State::Running && t.revision == 2);
    let mut renewed_at: Vec<u64> = Vec::new();
    for second in 0.. {
        let pool = flow.pool("feed/web").unwrap();
        let renewed = 3 - pool.counts.outdated as usize;
        if renewed > renewed_at.len() {
            renewed_at.push(begun.elapsed().as_secs());
        }
        if renewed == 3 {
            break;
        }
        assert!(second < 400, "the renewal never ends: {renewed_at:?}, {:?}", pool.next_batch);
        // What was renewed ends again and again.
        if second % 20 == 19
            && let Some((on, victim, _)) = fresh()
        {
            flow.fleet.kill(&on, &victim.id, 137).unwrap();
        }
        pass(1).await;
    }
    let gaps: Vec<u64> = renewed_at.windows(2).map(|two| two[1] - two[0]).collect();
    assert!(gaps.iter().all(|gap| (60..100).contains(gap)), "a minute between two: {renewed_at:?}");
}

#[tokio::test(start_paused = true)]
async fn a_restart_that_is_cancelled_keeps_what_was_renewed_and_leaves_the_rest_alone() {
    let mut flow = Flow::begin(Scenario::uniform(2, "app:1").unwrap()).await;
    let slow = |count| PoolSpec { update_parallelism: 1, update_delay_ms: 60_000, ..spec(count) };
    flow.up(cluster("feed", &[("web", slow(3))])).await;
    flow.until_serving("feed/web", 3).await;
    let target = Target::Pool(pool_id("feed/web"));
    let restart = Command::Restart { target: target.clone() };
    // The second takes the place of the first: the containers are those of the same file all the same.
    flow.command("alice", restart.clone()).await.unwrap();
    let op = flow.command("alice", restart.clone()).await.unwrap().op.unwrap();
    let outdated = |flow: &Flow| flow.pool("feed/web").unwrap().counts.outdated;
    flow.until("one is renewed", |w| w.pool(&pool_id("feed/web")).is_some_and(|p| p.counts.outdated == 2))
        .await;
    pass(10).await;
    let said = flow.command("alice", Command::Cancel { op }).await.unwrap();
    assert!(said.text.contains("what was renewed stays"), "{}", said.text);
    pass(1).await;
    let status = |flow: &Flow| flow.world().operations.iter().find(|o| o.id == op).unwrap().status.clone();
    assert_eq!((status(&flow), outdated(&flow)), (OpStatus::Cancelled, 0));
    for _ in 0..2 {
        pass(300).await;
        let mut revisions: Vec<u32> = flow.truth().iter().map(|(_, _, tag)| tag.revision).collect();
        revisions.sort_unstable();
        assert_eq!((revisions, flow.running_slots("feed/web")), (vec![1, 1, 3], vec![1, 2, 3]));
        flow.crash();
        flow.start().await;
        flow.until_serving("feed/web", 3).await;
    }
    let over = flow.command("alice", Command::Cancel { op }).await.unwrap_err();
    assert!(over.hint.as_deref().is_some_and(|hint| hint.contains("it is over")), "{over:?}");
    // The next one renews all of them.
    let next = flow.command("alice", restart.clone()).await.unwrap().op.unwrap();
    let done = |w: &longshore::model::world::World| {
        w.operations.iter().any(|o| o.id == next && o.status == OpStatus::Done)
    };
    flow.until("all are renewed", done).await;
    assert!(
        flow.truth().iter().filter(|(_, c, _)| c.state == State::Running).all(|(_, _, t)| t.revision == 4)
    );
    let down = Command::Down { target, confirm: None };
    let down = flow.command("alice", down).await.unwrap().op.unwrap();
    let refused = flow.command("alice", restart).await.unwrap_err();
    assert!(refused.text.contains("is being taken down"), "{refused:?}");
    let not_so = flow.command("alice", Command::Cancel { op: down }).await.unwrap_err();
    assert!(not_so.hint.as_deref().is_some_and(|hint| hint.contains("longshore up FILE")), "{not_so:?}");
}

#[tokio::test(start_paused = true)]
async fn scaled_numbers_survive_bringing_the_file_up_again() {
    let flow = web(1, 2).await;
    flow.scale("alice", "feed/web", "5", Busy::Refuse).await.unwrap();
    flow.until_serving("feed/web", 5).await;
    let accepted = flow.up(cluster("feed", &[("web", spec(2))])).await;
    assert_eq!(accepted.op, None, "{}", accepted.text);
    let reset = Command::Up { spec: Box::new(cluster("feed", &[("web", spec(2))])), reset_scale: true };
    flow.command("alice", reset).await.unwrap();
    flow.until_serving("feed/web", 2).await;
}

#[tokio::test(start_paused = true)]
async fn a_preview_says_what_the_scale_then_does() {
    let flow = web(3, 2).await;
    let ask = |change: &str| Query::Preview {
        pool: pool_id("feed/web"),
        change: change.parse().unwrap(),
        confirm: None,
        strategy: None,
    };
    let Reply::Preview(up) = flow.ask_as("alice", Request::Query(ask("+4"))).await else {
        panic!("no preview")
    };
    assert_eq!((up.from, up.to, up.unplaced), (2, 6, 0));
    flow.scale("alice", "feed/web", "+4", Busy::Refuse).await.unwrap();
    flow.until_serving("feed/web", 6).await;
    for place in &up.places {
        let fresh = flow.truth().iter().filter(|(on, _, t)| *on == place.host && t.slot > 2).count();
        assert_eq!(fresh, place.count as usize, "{}", place.host);
        assert_eq!(place.has_image, Some(true));
    }
    let Reply::Preview(down) = flow.ask_as("alice", Request::Query(ask("-3"))).await else {
        panic!("no preview")
    };
    let slots: Vec<u32> = down.removals.iter().map(|r| r.slot).collect();
    flow.scale("alice", "feed/web", "-3", Busy::Refuse).await.unwrap();
    flow.until_serving("feed/web", 3).await;
    let stay: Vec<u32> = (1..=6).filter(|slot| !slots.contains(slot)).collect();
    assert_eq!((slots.len(), flow.running_slots("feed/web")), (3, stay));
}

#[tokio::test(start_paused = true)]
async fn the_first_host_that_answers_does_not_get_everything() {
    let mut scenario = Scenario::uniform(4, "app:1").unwrap();
    for (i, host) in scenario.hosts.iter_mut().enumerate() {
        host.latency_ms = longshore::adapters::sim::Span(5 + 200 * i as u64, 10 + 200 * i as u64);
    }
    let flow = Flow::begin(scenario).await;
    flow.up(cluster("feed", &[("web", spec(8))])).await;
    flow.until_serving("feed/web", 8).await;
    for host in ["h1", "h2", "h3", "h4"].map(host) {
        assert_eq!(flow.truth().iter().filter(|(on, ..)| *on == host).count(), 2, "{host}");
    }
}

/// F1: kill -9 of the core around every step of a scale-up and a scale-down, by crashing after each of many short times.
#[tokio::test(start_paused = true)]
async fn a_core_that_is_killed_anywhere_ends_with_exactly_the_wanted_containers() {
    for after_ms in (0..400).step_by(7) {
        let mut flow = web(2, 2).await;
        let stranger = flow.fleet.make_stranger(&host("h1"), "other", None).unwrap();
        flow.scale("alice", "feed/web", "8", Busy::Refuse).await.unwrap();
        tokio::time::sleep(std::time::Duration::from_millis(after_ms)).await;
        flow.crash();
        pass(1).await;
        flow.start().await;
        tokio::time::sleep(std::time::Duration::from_millis(after_ms / 2)).await;
        flow.crash();
        flow.start().await;
        flow.until_serving("feed/web", 8).await;
        pass(30).await;
        assert_eq!(
            flow.running_slots("feed/web"),
            (1..=8).collect::<Vec<_>>(),
            "up, killed after {after_ms} ms"
        );
        assert_eq!(flow.truth().len(), 8, "nothing is left over, killed after {after_ms} ms");
        flow.scale("alice", "feed/web", "3", Busy::Replace).await.unwrap();
        tokio::time::sleep(std::time::Duration::from_millis(after_ms)).await;
        flow.crash();
        flow.start().await;
        flow.until_serving("feed/web", 3).await;
        pass(30).await;
        let wanted: Vec<u32> = flow.pool("feed/web").unwrap().pool.slots().collect();
        assert_eq!(flow.running_slots("feed/web"), wanted, "down, killed after {after_ms} ms");
        assert_eq!(wanted.len(), 3);
        assert_eq!(flow.truth().len(), 3);
        assert!(flow.fleet.snapshot(&host("h1")).unwrap().iter().any(|c| c.id == stranger));
    }
}

#[tokio::test(start_paused = true)]
async fn a_quiet_world_is_a_fixpoint() {
    let flow = web(2, 6).await;
    pass(60).await;
    let before = flow.journal().await.len();
    let world = flow.world();
    pass(600).await;
    assert_eq!(flow.journal().await.len(), before, "nothing is done when nothing is to be done");
    let after = flow.world();
    assert!(
        after.pools.iter().zip(&world.pools).all(|(a, b)| std::sync::Arc::ptr_eq(a.1, b.1)),
        "unchanged parts are shared"
    );
    assert!(flow.pool("feed/web").unwrap().slots.iter().all(|s| s.status == SlotStatus::Running));
}
