//! A small world with hostile texts everywhere, and scripted answers.

use std::sync::Arc;

use longshore::base::clock::Millis;
use longshore::base::fault::{Fault, Kind};
use longshore::base::ids::{ContainerId, HostId, InstallId, OpId, PoolId};
use longshore::model::command::{Accepted, Refusal};
use longshore::model::container::{Container, Health, Owner, State, Tag, Usage};
use longshore::model::explain::{Explanation, Filter, Refused, Score, Scorer, Verdict};
use longshore::model::host::{HostConfig, HostFacts, HostSource, HostView, Seen};
use longshore::model::journal::{Entry, What};
use longshore::model::logs::{LogChunk, LogLine};
use longshore::model::moves::{Balance, Move, Proposal};
use longshore::model::operation::{OpKind, OpStatus, Operation, Progress};
use longshore::model::pool::{LastScale, Limits, Pool, PoolSpec};
use longshore::model::preview::{Leaving, PlaceOn, Preview};
use longshore::model::query::{Query, Reply, Request};
use longshore::model::world::{Counts, EngineView, Mode, PoolView, SlotStatus, SlotView, Wait, World};

pub fn accept() -> Reply {
    Reply::Accepted(Accepted { op: Some(OpId(12)), text: "feed/web 3 -> 5".into() })
}

/// Text that would clear the screen, set the clipboard, reorder and hide.
pub const EVIL: &str = "a\u{1b}[2J\u{1b}]52;c;x\u{7}\u{9b}31m\u{202e}b\u{200b}\u{e0041}\r\n中";
pub const NOW: Millis = Millis(1_763_674_950_123);

pub fn pool_id() -> PoolId {
    PoolId::new("feed", "web").unwrap()
}

pub fn host_view(name: &str, seen: Seen, containers: Vec<Container>) -> Arc<HostView> {
    let config = HostConfig {
        id: HostId::new(name).unwrap(),
        address: format!("tcp://{name}:2376"),
        tls_dir: None,
        source: HostSource::Added,
    };
    let facts = HostFacts {
        engine_id: "ENGINE".into(),
        version: "28.1".into(),
        os: EVIL.into(),
        arch: "x86_64".into(),
        cpus: 8,
        memory: 16 << 30,
        ..HostFacts::default()
    };
    let usage = Usage { cpu_milli: Some(710), memory: 432_013_312, memory_limit: None };
    let usage = containers.iter().map(|c| (c.id.clone(), usage)).collect();
    let mut view = HostView {
        seen,
        facts: Arc::new(facts),
        containers: Arc::new(containers),
        usage: Arc::new(usage),
        lists: 1,
        ..HostView::never(config)
    };
    view.state = view.state_at(NOW);
    Arc::new(view)
}

pub fn container(id: &str, name: &str, owner: Owner) -> Container {
    Container {
        id: ContainerId::new(id),
        name: name.into(),
        image: "registry.example/feed/web:v2".into(),
        state: State::Running,
        health: Health::Healthy,
        exit: None,
        created: Millis(NOW.0 - 7_200_000),
        ports: vec!["8080->80/tcp".into()],
        address: Some("172.17.0.2".into()),
        owner,
    }
}

pub fn tag(slot: u32) -> Owner {
    let install = InstallId("0a1b2c3d".into());
    Owner::Longshore(Tag { install, pool: pool_id(), slot, generation: 1, revision: 2, op: OpId(3) })
}

pub fn slot(slot: u32, host: Option<&str>, id: Option<&str>, status: SlotStatus) -> SlotView {
    SlotView {
        slot,
        instance: None,
        host: host.map(|h| HostId::new(h).unwrap()),
        container: id.map(ContainerId::new),
        status,
        why: None,
    }
}

pub fn world() -> World {
    let pool = Pool {
        id: pool_id(),
        revision: 2,
        spec: PoolSpec {
            image: format!("web{EVIL}"),
            limits: Limits { min: Some(1), max: Some(60), step: Some(20) },
            protect: true,
            ..PoolSpec::default()
        },
        want: 3,
        version: 9,
        down: false,
        hosts: Vec::new(),
        holes: Default::default(),
        last_scale: Some(LastScale { op: OpId(4), by: EVIL.into(), at: NOW, from: 2, to: 3, strategy: None }),
    };
    let waiting = SlotStatus::Waiting("no host".into());
    let slots = vec![
        slot(1, Some("bj-03"), Some("aaaa1111"), SlotStatus::Running),
        slot(2, Some("lost-1"), Some("bbbb2222"), SlotStatus::HostLost),
        slot(3, None, None, waiting),
    ];
    let waits = vec![Wait { slots: 1, why: format!("no host has 2 free cpus {EVIL}") }];
    let counts = Counts { want: 3, running: 1, healthy: 1, lost: 1, ..Counts::default() };
    let view = PoolView { pool, slots, waits, misplaced: vec![], next_batch: None, counts };
    let lost = Seen::Lost { last: Millis(NOW.0 - 180_000), since: NOW, why: format!("timed out {EVIL}") };
    let compose = Owner::Compose { project: EVIL.into(), service: "db".into() };
    let hosts = [
        host_view(
            "bj-03",
            Seen::At(NOW),
            vec![container("aaaa1111", "n1", tag(1)), container("cccc3333", EVIL, compose)],
        ),
        host_view("lost-1", lost, vec![container("bbbb2222", "n2", tag(2))]),
        host_view("never-1", Seen::Never { why: Some("refused".into()) }, Vec::new()),
    ];
    World {
        at: NOW,
        revision: 1,
        engine: EngineView {
            install: Some(InstallId("0a1b2c3d".into())),
            mode: Mode::Active,
            ..EngineView::default()
        },
        hosts: hosts.into_iter().map(|h| (h.config.id.clone(), h)).collect(),
        pools: [(pool_id(), Arc::new(view))].into(),
        ..World::default()
    }
}

pub fn operation(status: OpStatus) -> Operation {
    let progress = Progress {
        target: 5,
        placed: 4,
        created: 3,
        running: 3,
        healthy: 2,
        failed: 1,
        reason: Some(format!("exit 1 {EVIL}")),
        eta_ms: Some(12_000),
        ..Progress::default()
    };
    Operation {
        id: OpId(12),
        kind: OpKind::Scale { from: 3, to: 5, undoes: None },
        pools: vec![pool_id()],
        by: format!("alice{EVIL}"),
        at: NOW,
        ended: status.is_over().then_some(Millis(NOW.0 + 12_300)),
        status,
        progress,
    }
}

pub fn preview(refusal: Option<Refusal>) -> Preview {
    let host = |name: &str| HostId::new(name).unwrap();
    Preview {
        pool: pool_id(),
        from: 3,
        to: 5,
        version: 9,
        strategy: Default::default(),
        places: vec![
            PlaceOn { host: host("bj-03"), count: 1, has_image: Some(true) },
            PlaceOn { host: host("bj-07"), count: 2, has_image: Some(false) },
        ],
        removals: vec![Leaving {
            slot: 3,
            host: host("bj-03"),
            state: State::Running,
            health: Health::Unhealthy,
            age_ms: 90_000,
        }],
        refused_hosts: vec![(host("lost-1"), format!("does not answer {EVIL}"))],
        unplaced: 1,
        eta_ms: Some(12_300),
        coverage: Some(crate::prewarm::coverage()),
        notes: vec![format!("note {EVIL}")],
        refusal,
    }
}

pub fn answers(request: &Request) -> Reply {
    let Request::Query(query) = request else { return accept() };
    match query {
        Query::Inspect { .. } => Reply::Inspect("{\"Name\":\t\"\u{9b}x\"}".into()),
        Query::Journal { before: Some(_), .. } => Reply::Journal(Vec::new()),
        Query::Journal { .. } => Reply::Journal(
            [7, 6]
                .map(|seq| Entry {
                    seq,
                    at: NOW,
                    what: What::Failed,
                    by: EVIL.into(),
                    op: Some(OpId(12)),
                    pool: Some(pool_id()),
                    slot: Some(3),
                    host: Some(HostId::new("bj-03").unwrap()),
                    text: format!("line {seq} {EVIL}"),
                })
                .to_vec(),
        ),
        Query::Why { .. } => Reply::Why(Box::new(explanation(2))),
        Query::Rebalance { .. } => Reply::Proposal(Box::new(proposal())),
        Query::Pool { .. } => Reply::Pool(Box::new(world().pools[&pool_id()].pool.clone())),
        Query::Operations { limit: u32::MAX } => Reply::Operations(vec![crate::prewarm::prewarm_op()]),
        Query::Prewarm { .. } => Reply::Prewarm(Box::new(crate::prewarm::prewarm())),
        Query::Coverage(_) => Reply::Coverage(Box::new(crate::prewarm::coverage())),
        Query::Operations { .. } => Reply::Operations(vec![
            operation(OpStatus::Stalled { why: EVIL.into() }),
            operation(OpStatus::Superseded { by: OpId(13) }),
        ]),
        _ => Reply::Failed(Fault::new(Kind::Bug, "not asked in this test")),
    }
}

/// Two hosts that can take it, and `refusing` that do not.
pub fn explanation(refusing: u32) -> Explanation {
    let host = |name: &str| HostId::new(name).unwrap();
    let can = |name: &str, value: f64| Verdict {
        host: host(name),
        refused: Vec::new(),
        scores: vec![
            Score { scorer: Scorer::Strategy, value },
            Score { scorer: Scorer::ImageThere, value: 0.0 },
            Score { scorer: Scorer::FewOfPool, value: -0.5 },
        ],
        total: value / 2.0,
    };
    let refused = |i: u32| {
        let refused = |filter, why: String| Refused { filter, why };
        let cpu = format!("2 cpus needed, {} are free {EVIL}", i / 10);
        let all = vec![refused(Filter::Cpu, cpu), refused(Filter::MaxPerHost, "it has 4, at most 4".into())];
        Verdict { host: host(&format!("full-{i}")), refused: all, scores: Vec::new(), total: 0.0 }
    };
    let hosts = [can("bj-03", 0.9), can("bj-07", 0.4)].into_iter().chain((0..refusing).map(refused));
    Explanation {
        pool: pool_id(),
        slot: Some(3),
        strategy: Default::default(),
        now_on: Some(host("bj-07")),
        choice: Some(host("bj-03")),
        sentence: format!("feed/web.3 would go to bj-03 {EVIL}"),
        hosts: hosts.collect(),
    }
}

pub fn proposal() -> Proposal {
    let host = |name: &str| HostId::new(name).unwrap();
    let step = Move {
        pool: pool_id(),
        slot: 1,
        generation: 1,
        from: host("bj-03"),
        to: host("bj-07"),
        why: format!("bj-03 is full {EVIL}"),
    };
    Proposal {
        moves: vec![step],
        before: Balance { fullest: 0.92, emptiest: 0.1, skew: 5, one_basket: 2 },
        after: Balance { fullest: 0.71, emptiest: 0.304, skew: 1, one_basket: 0 },
        blocked: vec![format!("feed/db.1 keeps data on bj-03 {EVIL}")],
    }
}

pub fn log_chunks() -> Vec<LogChunk> {
    let line = |lane, text: &str| LogLine { at: NOW, lane, stderr: lane == 1, text: text.into() };
    vec![
        LogChunk::Lanes(vec!["web.1".into(), format!("web.12{EVIL}")]),
        LogChunk::Lines(vec![line(0, "GET /"), line(1, EVIL)]),
        LogChunk::Skipped(1204),
        LogChunk::Note(format!("host lost {EVIL}")),
        LogChunk::End,
    ]
}
