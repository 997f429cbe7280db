//! The simulated fleet keeps the rules of real engines, repeats itself for a seed, and stays cheap when it is large.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use longshore::adapters::sim::{
    Behaviour, Belongs, CallKind, Fleet, HostPlan, Lies, LogStyle, Scenario, Span, Trouble, demo,
};
use longshore::base::clock::{Millis, TokioClock};
use longshore::base::fault::Kind;
use longshore::base::ids::{ContainerId, HostId, InstallId, OpId, PoolId};
use longshore::model::container::{Container, Health, Owner, State, Tag};
use longshore::model::exec::{ExecInput, ExecOutput, ExecWanted};
use longshore::model::pool::{HealthCheck, PoolSpec, Port};
use longshore::ports::runtime::{LogWanted, RawLine, Runtime};
use tokio::time::{Instant, sleep};

fn host(name: &str) -> HostId {
    HostId::new(name).unwrap()
}

fn tag(slot: u32) -> Tag {
    Tag {
        install: InstallId("0a1b2c3d".into()),
        pool: PoolId::new("feed", "web").unwrap(),
        slot,
        generation: 1,
        revision: 1,
        op: OpId(1),
    }
}

fn spec() -> PoolSpec {
    PoolSpec { image: "app:1".into(), ..PoolSpec::default() }
}

fn fleet(scenario: Scenario) -> Arc<Fleet> {
    Fleet::new(scenario, Arc::new(TokioClock::starting_at(Millis(1_760_000_000_000))))
}

/// One host, `h1`, whose containers behave so.
fn one(behaviour: Behaviour) -> (Arc<Fleet>, HostId, Arc<dyn Runtime>) {
    let mut scenario = Scenario::uniform(1, "app:1").unwrap();
    scenario.behaviours.push(behaviour.into());
    let fleet = fleet(scenario);
    let runtime = fleet.runtime(&host("h1")).unwrap();
    (fleet, host("h1"), runtime)
}

fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

async fn running(runtime: &Arc<dyn Runtime>, slot: u32, spec: &PoolSpec) -> ContainerId {
    let id = runtime.create(&tag(slot), spec).await.unwrap();
    runtime.start(&id).await.unwrap();
    id
}

async fn log(runtime: &Arc<dyn Runtime>, id: &ContainerId, wanted: LogWanted) -> Vec<RawLine> {
    let lines = runtime.logs(id, &wanted).await.unwrap();
    lines.map(|line| line.unwrap()).collect().await
}

/// A life with chance in it: crashes, lies, slow answers.
async fn eventful(seed: u64) -> (Vec<Container>, Vec<RawLine>, Vec<String>, Millis) {
    let mut scenario = Scenario::uniform(2, "app:1").unwrap();
    scenario.seed = seed;
    let crash = Behaviour { crash_per_mille: 500, crash_ms: Span(1_000, 30_000), ..Behaviour::default() };
    scenario.behaviours.push(crash.into());
    let fleet = fleet(scenario);
    let runtime = fleet.runtime(&host("h1")).unwrap();
    fleet.fault(&host("h1"), &Trouble::Lies(Lies { twice: 200, lost: 200, late: 200 })).unwrap();
    let mut events = runtime.events().await.unwrap();
    let listener = tokio::spawn(async move {
        let mut seen = Vec::new();
        while let Some(Ok(event)) = events.next().await {
            seen.push(format!("{} {} {:?}", event.at, event.action, event.container));
        }
        seen
    });
    let mut first = None;
    for slot in 1..=20 {
        let id = running(&runtime, slot, &spec()).await;
        first.get_or_insert(id);
    }
    sleep(seconds(60)).await;
    let lines = log(&runtime, &first.unwrap(), LogWanted::default()).await;
    let truth = fleet.snapshot(&host("h1")).unwrap();
    let end = truth.iter().map(|c| c.created).max().unwrap();
    fleet.fault(&host("h1"), &Trouble::Cut).unwrap();
    (truth, lines, listener.await.unwrap(), end)
}

#[tokio::test(start_paused = true)]
async fn the_same_seed_gives_the_same_fleet() {
    let (one, two, other) = (eventful(7).await, eventful(7).await, eventful(8).await);
    assert_eq!(one, two);
    assert_ne!(one.0, other.0);
    assert_ne!(one.1, other.1);
    let ended = one.0.iter().filter(|c| c.state == State::Exited).count();
    assert!((3..=17).contains(&ended), "{ended} of 20 crashed");
    assert!(one.2.len() > 20, "{} events", one.2.len());
}

#[tokio::test(start_paused = true)]
async fn what_was_sent_to_a_stopped_engine_is_done_when_it_wakes() {
    let (fleet, h1, runtime) = one(Behaviour::default());
    fleet.fault(&h1, &Trouble::Hang).unwrap();
    let before = Instant::now();
    let fault = runtime.create(&tag(1), &spec()).await.unwrap_err();
    assert_eq!((fault.kind, before.elapsed().as_secs()), (Kind::Timeout, 10));
    assert_eq!(runtime.list().await.unwrap_err().kind, Kind::Timeout);
    assert!(fleet.snapshot(&h1).unwrap().is_empty());
    // A caller that gives up does not take its request back.
    let gave_up = runtime.clone();
    tokio::time::timeout(seconds(1), async { gave_up.create(&tag(2), &spec()).await }).await.unwrap_err();
    fleet.fault(&h1, &Trouble::Back).unwrap();
    let names: Vec<String> = fleet.snapshot(&h1).unwrap().iter().map(|c| c.name.to_string()).collect();
    assert_eq!(names.len(), 2, "{names:?}");
    let id = runtime.create(&tag(1), &spec()).await.unwrap();
    assert_eq!(fleet.snapshot(&h1).unwrap().len(), 2, "the one that appeared is adopted");
    assert!(fleet.snapshot(&h1).unwrap().iter().any(|c| c.id == id));
    assert_eq!(fleet.calls(&h1).unwrap().of(CallKind::Create), 3);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_waits_is_answered_when_the_engine_wakes_in_time() {
    let mut scenario = Scenario::uniform(1, "app:1").unwrap();
    let turns = "timeline = [{ at_s = 1, host = 'h1', trouble = 'hang' }, { at_s = 5, host = 'h1', trouble = 'back' }]";
    let text = format!("{turns}\nhosts = [{{ name = 'h1' }}]");
    scenario.timeline = Scenario::parse(&text).unwrap().timeline;
    let fleet = fleet(scenario);
    let runtime = fleet.runtime(&host("h1")).unwrap();
    let begin = Instant::now();
    sleep(seconds(2)).await;
    runtime.create(&tag(1), &spec()).await.unwrap();
    assert_eq!(begin.elapsed().as_secs(), 5);
}

#[tokio::test(start_paused = true)]
async fn a_cut_loses_the_answer_but_not_the_effect() {
    let mut scenario = Scenario::uniform(1, "app:1").unwrap();
    scenario.hosts[0].latency_ms = Span(100, 100);
    let fleet = fleet(scenario);
    let (h1, runtime) = (host("h1"), fleet.runtime(&host("h1")).unwrap());
    let (there, hand) = (h1.clone(), fleet.clone());
    tokio::spawn(async move {
        sleep(Duration::from_millis(70)).await;
        hand.fault(&there, &Trouble::Cut).unwrap();
    });
    let fault = runtime.facts().await.unwrap_err();
    assert_eq!(fault.kind, Kind::Unreachable);
    fleet.fault(&h1, &Trouble::Back).unwrap();
    let (there, hand) = (h1.clone(), fleet.clone());
    tokio::spawn(async move {
        sleep(Duration::from_millis(70)).await;
        hand.fault(&there, &Trouble::Cut).unwrap();
    });
    let fault = runtime.create(&tag(1), &spec()).await.unwrap_err();
    assert_eq!(fault.kind, Kind::Unreachable);
    assert_eq!(fleet.snapshot(&h1).unwrap().len(), 1, "made, though nobody was told");
    let before = Instant::now();
    assert_eq!(runtime.list().await.unwrap_err().kind, Kind::Unreachable);
    assert!(before.elapsed().is_zero(), "a host that is cut off fails at once");
}

#[tokio::test(start_paused = true)]
async fn racing_creations_make_one_container() {
    let (fleet, h1, runtime) = one(Behaviour::default());
    let (tag, spec) = (tag(1), spec());
    let race = (0..20).map(|_| runtime.create(&tag, &spec));
    let ids: Vec<_> = futures_util::future::join_all(race).await.into_iter().map(|id| id.unwrap()).collect();
    assert!(ids.iter().all(|id| *id == ids[0]));
    assert_eq!(fleet.snapshot(&h1).unwrap().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn names_images_and_ports_are_taken_once() {
    let (fleet, h1, runtime) = one(Behaviour::default());
    let stranger = fleet.make_stranger(&h1, &tag(1).container_name(), Some(8080)).unwrap();
    assert_eq!(runtime.create(&tag(1), &spec()).await.unwrap_err().kind, Kind::Conflict);
    let missing = PoolSpec { image: "other:1".into(), ..spec() };
    assert_eq!(runtime.create(&tag(2), &missing).await.unwrap_err().kind, Kind::NotFound);
    assert_eq!(runtime.pull("other:1", &|_| {}).await.unwrap_err().kind, Kind::NotFound);
    let port = Port { target: 80, published: Some(8080), host_ip: None, protocol: "tcp".into() };
    let with_port = PoolSpec { ports: vec![port.clone()], ..spec() };
    let id = runtime.create(&tag(3), &with_port).await.unwrap();
    let fault = runtime.start(&id).await.unwrap_err();
    assert_eq!(
        (fault.kind, fault.to_string().as_str()),
        (Kind::Conflict, "port 8080 is already taken on this host")
    );
    runtime.remove(&stranger).await.unwrap();
    runtime.start(&id).await.unwrap();
    let listed = runtime.list().await.unwrap();
    assert_eq!(listed[0].ports[0].to_string(), "8080->80/tcp");
    let free = PoolSpec { ports: vec![Port { published: None, ..port }], ..spec() };
    for slot in 4..6 {
        running(&runtime, slot, &free).await;
    }
    let mut ports: Vec<String> =
        runtime.list().await.unwrap().iter().flat_map(|c| c.ports.iter().map(ToString::to_string)).collect();
    ports.sort();
    assert_eq!(ports, ["32768->80/tcp", "32769->80/tcp", "8080->80/tcp"]);
}

#[tokio::test(start_paused = true)]
async fn a_life_from_start_to_end_is_seen_and_told() {
    let check = HealthCheck {
        test: vec!["CMD".into(), "ok".into()],
        interval_ms: None,
        timeout_ms: None,
        retries: None,
        start_period_ms: None,
    };
    let behaviour = Behaviour {
        crash_per_mille: 1000,
        crash_ms: Span(20_000, 20_000),
        exit: 3,
        healthy_ms: Span(5_000, 5_000),
        ..Behaviour::default()
    };
    let (_fleet, _, runtime) = one(behaviour);
    let mut events = runtime.events().await.unwrap();
    let checked = PoolSpec { healthcheck: Some(check), ..spec() };
    let id = running(&runtime, 1, &checked).await;
    let seen = |list: Vec<Container>| (list[0].state, list[0].health, list[0].exit);
    assert_eq!(seen(runtime.list().await.unwrap()), (State::Running, Health::Starting, None));
    runtime.start(&id).await.unwrap();
    sleep(seconds(6)).await;
    assert_eq!(seen(runtime.list().await.unwrap()), (State::Running, Health::Healthy, None));
    sleep(seconds(20)).await;
    assert_eq!(seen(runtime.list().await.unwrap()), (State::Exited, Health::None, Some(3)));
    let ending = runtime.ending(&id).await.unwrap();
    assert_eq!((ending.exit, ending.oom), (3, false));
    assert_eq!(ending.finished.unwrap() - ending.started.unwrap(), 20_000);
    runtime.stop(&id, 1000).await.unwrap();
    runtime.remove(&id).await.unwrap();
    runtime.remove(&id).await.unwrap();
    assert_eq!(runtime.ending(&id).await.unwrap_err().kind, Kind::NotFound);
    assert_eq!(runtime.stop(&id, 0).await.unwrap_err().kind, Kind::NotFound);
    let mut told = Vec::new();
    for _ in 0..5 {
        told.push(events.next().await.unwrap().unwrap().action.to_string());
    }
    assert_eq!(told, ["create", "start", "health_status: healthy", "die", "destroy"]);
}

#[tokio::test(start_paused = true)]
async fn events_come_when_they_happen() {
    let behaviour = Behaviour { crash_per_mille: 1000, crash_ms: Span(9_000, 9_000), ..Behaviour::default() };
    let (fleet, h1, runtime) = one(behaviour);
    running(&runtime, 1, &spec()).await;
    let mut events = runtime.events().await.unwrap();
    let begin = Instant::now();
    assert_eq!(events.next().await.unwrap().unwrap().action.raw(), "die");
    assert!((8..10).contains(&begin.elapsed().as_secs()), "{:?}", begin.elapsed());
    fleet.fault(&h1, &Trouble::Restart).unwrap();
    assert_eq!(events.next().await.unwrap().unwrap_err().kind, Kind::Unreachable);
    assert!(events.next().await.is_none());
    assert_eq!(runtime.list().await.unwrap_err().kind, Kind::Unreachable);
    sleep(seconds(41)).await;
    assert_eq!(runtime.list().await.unwrap().len(), 1, "back after its boot time");
}

#[tokio::test(start_paused = true)]
async fn stopping_takes_the_grace_time_of_those_that_do_not_listen() {
    let (_fleet, _, runtime) = one(Behaviour { ignores_term: true, ..Behaviour::default() });
    let id = running(&runtime, 1, &spec()).await;
    let begin = Instant::now();
    runtime.stop(&id, 7_000).await.unwrap();
    assert_eq!(begin.elapsed().as_secs(), 7);
    assert_eq!(runtime.ending(&id).await.unwrap().exit, 137);
    runtime.start(&id).await.unwrap();
    assert_eq!(runtime.list().await.unwrap()[0].state, State::Running);
}

#[tokio::test(start_paused = true)]
async fn disk_and_memory_run_out() {
    let mut scenario = Scenario::uniform(1, "app:1").unwrap();
    scenario.hosts[0].memory_mb = 1024;
    scenario.hosts[0].enforce_memory = true;
    let fleet = fleet(scenario);
    let (h1, runtime) = (host("h1"), fleet.runtime(&host("h1")).unwrap());
    let mut big = spec();
    big.resources.memory_reserved = Some(600 << 20);
    let first = running(&runtime, 1, &big).await;
    let second = runtime.create(&tag(2), &big).await.unwrap();
    assert_eq!(runtime.start(&second).await.unwrap_err().kind, Kind::Exhausted);
    runtime.stop(&first, 5_000).await.unwrap();
    runtime.start(&second).await.unwrap();
    fleet.fault(&h1, &Trouble::DiskFull).unwrap();
    assert_eq!(runtime.create(&tag(3), &big).await.unwrap_err().kind, Kind::Exhausted);
    fleet.fault(&h1, &Trouble::OutOfMemory { kills: 1 }).unwrap();
    let ending = runtime.ending(&second).await.unwrap();
    assert_eq!((ending.exit, ending.oom), (137, true));
    fleet.fault(&h1, &Trouble::ClockSkew { ms: -60_000 }).unwrap();
    assert!(runtime.ending(&second).await.unwrap().finished.unwrap() < ending.finished.unwrap());
}

#[tokio::test(start_paused = true)]
async fn networks_are_made_and_kept_while_used() {
    let (_fleet, _, runtime) = one(Behaviour::default());
    let mut joined = spec();
    let network =
        |external| longshore::model::pool::Network { name: "feed_net".into(), aliases: vec![], external };
    joined.networks = vec![network(true)];
    assert_eq!(runtime.create(&tag(1), &joined).await.unwrap_err().kind, Kind::Refused);
    joined.networks = vec![network(false)];
    let id = running(&runtime, 1, &joined).await;
    assert_eq!(runtime.remove_network("feed_net", &tag(1).install).await.unwrap_err().kind, Kind::Conflict);
    runtime.remove(&id).await.unwrap();
    runtime.remove_network("feed_net", &tag(1).install).await.unwrap();
    runtime.remove_network("feed_net", &tag(1).install).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn logs_are_the_same_whichever_way_they_are_read() {
    let (fleet, h1, runtime) =
        one(Behaviour { log_per_minute: 600, log_style: LogStyle::Web, ..Behaviour::default() });
    let id = running(&runtime, 1, &spec()).await;
    sleep(seconds(30)).await;
    let all = log(&runtime, &id, LogWanted::default()).await;
    assert!((299..=302).contains(&all.len()), "{} lines in 30 s", all.len());
    assert!(all.windows(2).all(|w| w[0].at <= w[1].at));
    let tail = log(&runtime, &id, LogWanted { tail: Some(10), ..LogWanted::default() }).await;
    assert_eq!(tail, all[all.len() - 10..]);
    let since = all[200].at;
    let rest = log(&runtime, &id, LogWanted { since: Some(since), ..LogWanted::default() }).await;
    let first = all.iter().position(|l| l.at >= since).unwrap();
    assert_eq!(rest[..all.len() - first], all[first..]);
    // Followed from here, and ended by a kill.
    let wanted = LogWanted { tail: Some(0), follow: true, since: None };
    let follower = runtime.logs(&id, &wanted).await.unwrap();
    let (hand, there, victim) = (fleet.clone(), h1.clone(), id.clone());
    tokio::spawn(async move {
        sleep(seconds(10)).await;
        hand.kill(&there, &victim, 9).unwrap();
    });
    let followed: Vec<RawLine> = follower.map(|l| l.unwrap()).collect().await;
    assert!((98..=103).contains(&followed.len()), "{} lines in 10 s", followed.len());
    assert_eq!(followed.last().unwrap().text.raw(), "FATAL unrecoverable error, exit status 9");
    let whole = log(&runtime, &id, LogWanted::default()).await;
    assert_eq!(whole[whole.len() - followed.len()..], followed);
    runtime.start(&id).await.unwrap();
    let again = log(&runtime, &id, LogWanted::default()).await;
    assert_eq!(again.len(), whole.len() + 1, "the log goes on over runs");
}

#[tokio::test(start_paused = true)]
async fn fifty_thousand_lines_a_second_are_followed() {
    let (_fleet, _, runtime) = one(Behaviour { log_per_minute: 3_000_000, ..Behaviour::default() });
    let id = running(&runtime, 1, &spec()).await;
    let wanted = LogWanted { tail: Some(0), follow: true, since: None };
    let lines = runtime.logs(&id, &wanted).await.unwrap();
    let begin = Instant::now();
    let count = lines.take(50_000).filter(|l| std::future::ready(l.is_ok())).count().await;
    assert_eq!(count, 50_000);
    assert!((999..=1002).contains(&begin.elapsed().as_millis()), "{:?}", begin.elapsed());
}

#[tokio::test(start_paused = true)]
async fn programs_run_in_containers() {
    let (fleet, h1, runtime) = one(Behaviour::default());
    let id = running(&runtime, 1, &spec()).await;
    let wanted = |command: &[&str], tty| ExecWanted {
        command: command.iter().map(ToString::to_string).collect(),
        tty,
        stdin: true,
    };
    let mut plain = runtime.exec(&id, &wanted(&["sh"], None)).await.unwrap();
    plain.input.send(ExecInput::Bytes(b"echo hi\nls nowhere; nothing\nexit 4\n".to_vec())).await.unwrap();
    let mut said = Vec::new();
    while let Some(output) = plain.output.recv().await {
        said.push(output);
    }
    assert_eq!(said.first(), Some(&ExecOutput::Out(b"hi\n".to_vec())));
    assert!(said.contains(&ExecOutput::Err(b"sh: nothing: not found\n".to_vec())));
    assert_eq!(said.last(), Some(&ExecOutput::Exit(4)));
    let mut cat = runtime.exec(&id, &wanted(&["cat"], None)).await.unwrap();
    cat.input.send(ExecInput::Bytes(vec![0, 255])).await.unwrap();
    drop(cat.input);
    assert_eq!(cat.output.recv().await, Some(ExecOutput::Out(vec![0, 255])));
    assert_eq!(cat.output.recv().await, Some(ExecOutput::Exit(0)));
    let mut shell = runtime.exec(&id, &wanted(&["/bin/sh"], Some((80, 24)))).await.unwrap();
    assert_eq!(shell.output.recv().await, Some(ExecOutput::Out(b"/ # ".to_vec())));
    fleet.fault(&h1, &Trouble::Cut).unwrap();
    assert!(matches!(shell.output.recv().await, Some(ExecOutput::Lost(_))));
    fleet.fault(&h1, &Trouble::Back).unwrap();
    let mut shell = runtime.exec(&id, &wanted(&["/bin/sh"], Some((80, 24)))).await.unwrap();
    fleet.kill(&h1, &id, 1).unwrap();
    let mut last = None;
    while let Some(output) = shell.output.recv().await {
        last = Some(output);
    }
    assert_eq!(last, Some(ExecOutput::Exit(137)));
    assert_eq!(runtime.exec(&id, &wanted(&["ls"], None)).await.unwrap_err().kind, Kind::Conflict);
}

#[tokio::test(start_paused = true)]
async fn inspect_is_json_in_the_shape_of_dockers() {
    let (_fleet, _, runtime) = one(Behaviour::default());
    let id = running(&runtime, 1, &spec()).await;
    let json: serde_json::Value = serde_json::from_str(&runtime.inspect(&id).await.unwrap()).unwrap();
    assert_eq!(json["Id"], id.as_str());
    assert_eq!(json["State"]["Status"], "running");
    assert_eq!(json["Config"]["Labels"]["io.longshore.slot"], "1");
    assert!(json["Created"].as_str().unwrap().starts_with("2025-10-09T"));
}

#[tokio::test(start_paused = true)]
async fn pulls_take_their_time_and_can_be_cut() {
    let text = "hosts = [{ name = 'h1', pull_mb_per_s = 10 }]\nimages = [{ name = 'big', size_mb = 100 }]";
    let fleet = fleet(Scenario::parse(text).unwrap());
    let (h1, runtime) = (host("h1"), fleet.runtime(&host("h1")).unwrap());
    let begin = Instant::now();
    let steps = std::sync::Mutex::new(Vec::new());
    runtime.pull("big:latest", &|n| steps.lock().unwrap().push(n.thousandths)).await.unwrap();
    assert_eq!(begin.elapsed().as_secs(), 10);
    let steps = steps.into_inner().unwrap();
    assert!(steps.windows(2).all(|w| w[0] < w[1]) && steps.last() == Some(&1000), "{steps:?}");
    assert!(runtime.has_image("big").await.unwrap());
    runtime.pull("big", &|_| {}).await.unwrap();
    assert_eq!(begin.elapsed().as_secs(), 10, "the second costs nothing");
    assert_eq!(fleet.calls(&h1).unwrap().of(CallKind::Pull), 2);
}

#[tokio::test(start_paused = true)]
async fn a_hundred_thousand_containers_are_cheap() {
    let mut scenario = Scenario::sized(100, 1000).unwrap();
    scenario.existing[0].belongs =
        Belongs::Pool { install: InstallId("0a1b2c3d".into()), pool: PoolId::new("feed", "web").unwrap() };
    let fleet = fleet(scenario);
    let mut slots = std::collections::BTreeSet::new();
    for entry in fleet.hosts() {
        assert_eq!(entry.address, format!("sim://{}", entry.id));
        let list = fleet.runtime(&entry.id).unwrap().list().await.unwrap();
        assert!(list.windows(2).all(|w| w[0].id < w[1].id), "sorted by id");
        for container in list {
            assert_eq!(container.state, State::Running);
            let Owner::Longshore(tag) = container.owner else { panic!("not ours") };
            slots.insert(tag.slot);
        }
    }
    assert_eq!((slots.len(), slots.last()), (100_000, Some(&100_000)));
}

#[tokio::test(start_paused = true)]
async fn usage_is_of_those_that_run() {
    let (_fleet, _, runtime) = one(Behaviour { cpu_milli: 500, memory_mb: 100, ..Behaviour::default() });
    let mut limited = spec();
    limited.resources.memory_limit = Some(50 << 20);
    let (one, two) = (running(&runtime, 1, &spec()).await, running(&runtime, 2, &limited).await);
    let three = runtime.create(&tag(3), &spec()).await.unwrap();
    let usage = runtime.usage(&[one.clone(), two.clone(), three]).await.unwrap();
    assert_eq!(usage.len(), 2);
    assert!((250..=800).contains(&usage[&one].cpu_milli.unwrap()));
    assert_eq!(usage[&two].memory, (50 << 20) / 20 * 19);
    assert_eq!(usage[&two].memory_limit, Some(50 << 20));
}

#[tokio::test(start_paused = true)]
async fn a_busy_engine_works_on_few_calls_at_a_time() {
    let mut scenario = Scenario::uniform(1, "app:1").unwrap();
    scenario.hosts[0] = HostPlan { slots: 2, latency_ms: Span(1000, 1000), ..HostPlan::new(host("h1")) };
    let fleet = fleet(scenario);
    let runtime = fleet.runtime(&host("h1")).unwrap();
    let begin = Instant::now();
    let calls = futures_util::future::join_all((0..6).map(|_| runtime.list())).await;
    assert!(calls.iter().all(Result::is_ok));
    assert_eq!(begin.elapsed().as_secs(), 3);
}

#[test]
fn a_scenario_that_is_wrong_is_named_by_its_line() {
    let fault = Scenario::parse("seed = 1\n\n[[hosts]]\nname = \"h1\"\ncpu = 4\n").unwrap_err();
    assert_eq!(fault.kind, Kind::Invalid);
    assert!(fault.to_string().contains("line 5") && fault.to_string().contains("cpu"), "{fault}");
    let fault = Scenario::parse("[[hosts]]\nname = \"H 1\"\n").unwrap_err();
    assert!(fault.to_string().contains("line 2"), "{fault}");
    let fault = Scenario::parse("timeline = [{ at_s = 5, host = 'h9', trouble = 'cut' }]").unwrap_err();
    assert!(fault.to_string().contains("there is no host h9"), "{fault}");
}

#[test]
fn every_scenario_file_is_valid() {
    let mut files = 0;
    for entry in std::fs::read_dir("fixtures/scenarios").unwrap() {
        let path = entry.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        if let Err(fault) = Scenario::parse(&text) {
            panic!("{}: {fault}", path.display());
        }
        files += 1;
    }
    assert!(files >= 3);
}

#[tokio::test(start_paused = true)]
async fn the_demonstration_loses_a_host_and_gets_it_back() {
    let (scenario, pools) = demo().unwrap();
    assert_eq!((scenario.hosts.len(), pools.len()), (12, 3));
    let images: Vec<String> = scenario.images.iter().map(|i| i.name.clone()).collect();
    let mut wanted = 0;
    for line in pools.iter().flat_map(|(_, text)| text.lines()) {
        if let Some(image) = line.trim().strip_prefix("image: ") {
            assert!(images.iter().any(|i| i == image), "{image} is in no registry");
        }
        if let Some(replicas) = line.trim().strip_prefix("replicas: ") {
            wanted += replicas.parse::<u32>().unwrap();
        }
    }
    assert!((90..=130).contains(&wanted), "{wanted} containers");
    let fleet = fleet(scenario);
    let runtime = fleet.runtime(&host("bj-03")).unwrap();
    assert!(!runtime.list().await.unwrap().is_empty(), "strangers are there");
    sleep(seconds(241)).await;
    assert_eq!(runtime.list().await.unwrap_err().kind, Kind::Unreachable);
    sleep(seconds(120)).await;
    assert!(!runtime.list().await.unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn the_storm_passes_over_all_hosts() {
    let scenario = Scenario::parse(include_str!("../fixtures/scenarios/storm.toml")).unwrap();
    let fleet = fleet(scenario);
    let mut failed = std::collections::BTreeMap::new();
    for _ in 0..60 {
        for entry in fleet.hosts() {
            let runtime = fleet.runtime(&entry.id).unwrap();
            match tokio::time::timeout(seconds(1), async { runtime.list().await.map(|l| l.len()) }).await {
                Ok(Ok(_)) => {}
                Ok(Err(fault)) => *failed.entry((entry.id.clone(), fault.kind.to_word())).or_insert(0) += 1,
                Err(_) => *failed.entry((entry.id.clone(), "late")).or_insert(0) += 1,
            }
        }
        sleep(seconds(4)).await;
    }
    let hosts: Vec<String> = failed.keys().map(|(host, word)| format!("{host} {word}")).collect();
    assert_eq!(hosts, ["h1 unreachable", "h2 late", "h5 unreachable"]);
    for entry in fleet.hosts() {
        assert!(fleet.runtime(&entry.id).unwrap().list().await.is_ok(), "{} is well again", entry.id);
    }
}

trait Word {
    fn to_word(&self) -> &'static str;
}

impl Word for Kind {
    fn to_word(&self) -> &'static str {
        match self {
            Kind::Unreachable => "unreachable",
            Kind::Timeout => "timeout",
            _ => "other",
        }
    }
}
