//! A world builder for tests of the console: pools, hosts and containers in every state.

use std::sync::Arc;

use longshore::base::clock::Millis;
use longshore::base::ids::{ContainerId, HostId, InstallId, OpId, PoolId};
use longshore::base::text::Untrusted;
use longshore::model::container::{Container, Health, Owner, State, Tag, Usage};
use longshore::model::host::{HostConfig, HostFacts, HostSource, HostView, Seen};
use longshore::model::operation::{OpKind, OpStatus, Operation, Progress};
use longshore::model::pool::{LastScale, Pool, PoolSpec};
use longshore::model::world::{Counts, EngineView, Mode, PoolView, SlotStatus, SlotView, Wait, World};

/// 14:02:11 UTC.
pub const NOW: Millis = Millis(1_792_505_000_000 / 86_400_000 * 86_400_000 + 50_531_000);
const DAY: u64 = 86_400_000;

/// A world with an engine and nothing else.
pub fn empty() -> World {
    let engine = EngineView {
        install: Some(InstallId("0a1b2c3d".into())),
        mode: Mode::Active,
        epoch: 3,
        user: "alice".into(),
        pid: 4711,
        since: NOW,
        attached: true,
        trouble: None,
        simulated: false,
    };
    World { at: NOW, revision: 1, engine, ..World::default() }
}

pub fn pool_id(id: &str) -> PoolId {
    id.parse().unwrap()
}

pub fn host(world: &mut World, name: &str, seen: Seen) {
    let id = HostId::new(name).unwrap();
    let config = HostConfig {
        id: id.clone(),
        address: format!("ssh://ops@{name}.internal"),
        tls_dir: None,
        source: HostSource::Added,
    };
    let facts = HostFacts {
        engine_id: format!("engine-of-{name}").into(),
        cpus: 16,
        memory: 64 << 30,
        version: "28.3.1".into(),
        ..HostFacts::default()
    };
    let view = HostView { seen, facts: Arc::new(facts), ..HostView::never(config) };
    world.hosts.insert(id, Arc::new(view));
}

pub fn live(world: &mut World, name: &str) {
    host(world, name, Seen::At(NOW));
}

/// Puts a container on a host.
pub fn container(world: &mut World, host: &str, name: &str, owner: Owner, cpu: u64) -> ContainerId {
    let id = ContainerId::new(&format!("{:0<12}{:x}", name.replace(['/', '.'], ""), cpu));
    let view = world.hosts.get_mut(&HostId::new(host).unwrap()).unwrap();
    let view = Arc::make_mut(view);
    Arc::make_mut(&mut view.containers).push(Container {
        id: id.clone(),
        name: Untrusted::from(name),
        image: "shop/app:1".into(),
        state: State::Running,
        health: Health::Healthy,
        exit: None,
        created: Millis(NOW.0 - 3 * DAY as i64),
        ports: Vec::new(),
        address: Some("10.0.0.7".into()),
        owner,
    });
    Arc::make_mut(&mut view.containers).sort_by(|a, b| a.id.cmp(&b.id));
    let usage = Usage { cpu_milli: Some(cpu), memory: 412 << 20, memory_limit: Some(1 << 30) };
    Arc::make_mut(&mut view.usage).insert(id.clone(), usage);
    id
}

/// A pool whose first `have` slots run, spread over the live hosts, and whose others have the status `rest`.
pub fn pool(world: &mut World, id: &str, want: u32, have: u32, rest: impl Into<Option<SlotStatus>>) {
    let rest = rest.into().unwrap_or(SlotStatus::Running);
    let id = pool_id(id);
    let hosts: Vec<HostId> =
        world.hosts.iter().filter(|(_, h)| h.is_live()).map(|(id, _)| id.clone()).collect();
    let mut slots = Vec::new();
    for slot in 1..=want {
        let host = hosts.get(slot as usize % hosts.len().max(1)).cloned();
        let mut view =
            SlotView { slot, instance: None, host: None, container: None, status: rest.clone(), why: None };
        if let (true, Some(host)) = (slot <= have, host) {
            let tag = Tag {
                install: InstallId("0a1b2c3d".into()),
                pool: id.clone(),
                slot,
                generation: 1,
                revision: 1,
                op: OpId(1),
            };
            let cpu = 300 + u64::from(slot * 37 % 500);
            let made = container(world, host.as_str(), &tag.container_name(), Owner::Longshore(tag), cpu);
            view = SlotView { host: Some(host), container: Some(made), status: SlotStatus::Running, ..view };
        }
        if matches!(view.status, SlotStatus::HostLost) {
            let gone = world.hosts.iter().find(|(_, h)| !h.is_live());
            view.host = gone.map(|(id, _)| id.clone());
        }
        slots.push(view);
    }
    let waits = match &rest {
        SlotStatus::Waiting(why) if have < want => vec![Wait { slots: want - have, why: why.clone() }],
        _ => Vec::new(),
    };
    let failing = if matches!(rest, SlotStatus::CrashLoop(_)) { want - have } else { 0 };
    let lost = if matches!(rest, SlotStatus::HostLost) { want - have } else { 0 };
    let counts = Counts { want, running: have, healthy: have, failing, lost, ..Counts::default() };
    let mut spec = PoolSpec { image: "shop/app:1".into(), replicas: want, ..PoolSpec::default() };
    spec.resources.cpu_limit_milli = Some(1_000);
    spec.resources.memory_limit = Some(1 << 30);
    let pool = Pool {
        id: id.clone(),
        revision: 7,
        spec,
        want,
        version: 5,
        down: false,
        hosts: Vec::new(),
        holes: Default::default(),
        last_scale: None,
    };
    world
        .pools
        .insert(id, Arc::new(PoolView { pool, slots, waits, misplaced: vec![], next_batch: None, counts }));
}

/// Changes a pool that is there.
pub fn with_pool(world: &mut World, id: &str, change: impl FnOnce(&mut PoolView)) {
    change(Arc::make_mut(world.pools.get_mut(&pool_id(id)).unwrap()));
}

/// Somebody scaled a pool `ms` ago.
pub fn scaled(world: &mut World, id: &str, by: &str, from: u32, ms: i64) {
    with_pool(world, id, |view| {
        let to = view.pool.want;
        view.pool.last_scale =
            Some(LastScale { op: OpId(40), by: by.into(), at: Millis(NOW.0 - ms), from, to, strategy: None });
    });
}

pub fn operation(world: &mut World, id: u64, pool: &str, kind: OpKind, status: OpStatus, progress: Progress) {
    let ended = status.is_over().then_some(Millis(NOW.0 - 60_000));
    let at = Millis(NOW.0 - 72_400);
    let op = Operation {
        id: OpId(id),
        kind,
        pools: vec![pool_id(pool)],
        by: "bob".into(),
        at,
        status,
        ended,
        progress,
    };
    Arc::make_mut(&mut world.operations).push(op);
}

/// An ordinary day: three pools of two clusters, one that waits, one that fails, and things that are not ours.
pub fn feed() -> World {
    let mut w = empty();
    for name in ["ali-12", "bj-03", "bj-07"] {
        live(&mut w, name);
    }
    let why = "link cut 3 minutes ago: no route to host";
    let last = Millis(NOW.0 - 190_000);
    host(&mut w, "tc-01", Seen::Lost { last, since: last, why: why.into() });
    pool(&mut w, "feed/cache", 12, 12, SlotStatus::Running);
    pool(
        &mut w,
        "feed/web",
        40,
        38,
        SlotStatus::Waiting("no host has 2 free cpu: 2 full, 1 draining".into()),
    );
    with_pool(&mut w, "feed/web", |v| v.slots[38].status = SlotStatus::Pulling(Some(620)));
    pool(&mut w, "pay/api", 10, 8, SlotStatus::CrashLoop(Millis(NOW.0 + 9_000)));
    pool(&mut w, "pay/batch", 4, 3, SlotStatus::HostLost);
    pool(&mut w, "pay/worker", 0, 0, SlotStatus::Running);
    scaled(&mut w, "feed/cache", "bob", 8, 8_000);
    let compose = |s: &str| Owner::Compose { project: "shop".into(), service: s.into() };
    container(&mut w, "bj-03", "shop-db-1", compose("db"), 120);
    container(&mut w, "bj-07", "shop-web-1", compose("web"), 410);
    container(&mut w, "bj-07", "metrics", Owner::Swarm { service: "metrics".into() }, 90);
    container(&mut w, "ali-12", "test-of-joe", Owner::Nobody, 1);
    let progress = Progress {
        target: 40,
        placed: 39,
        pulling: 1,
        created: 38,
        running: 38,
        healthy: 38,
        eta_ms: Some(40_000),
        ..Progress::default()
    };
    let scale = |from, to| OpKind::Scale { from, to, undoes: None };
    operation(&mut w, 41, "feed/web", scale(30, 40), OpStatus::Running, progress);
    operation(&mut w, 40, "feed/cache", scale(8, 12), OpStatus::Done, Progress::default());
    w
}

/// Many pools and containers.
pub fn many(pools: u32, each: u32) -> World {
    let mut w = empty();
    for i in 0..50 {
        live(&mut w, &format!("host-{i:03}"));
    }
    for i in 0..pools {
        pool(&mut w, &format!("line-{:02}/pool-{i:04}", i % 20), each, each, SlotStatus::Running);
    }
    w
}

/// Labels of a container as another tool would set them, with hostile bytes in each.
pub fn hostile() -> World {
    let mut w = empty();
    live(&mut w, "h1");
    pool(&mut w, "feed/web", 2, 1, SlotStatus::Waiting("\u{1b}[2Jno \u{202e}room\u{7}\r".into()));
    let evil = "\u{1b}]52;c;ZWNobyBwd25lZA==\u{7}\u{9b}31m\u{202e}txt.exe\u{200b}";
    let owner = Owner::Compose { project: evil.into(), service: evil.into() };
    container(&mut w, "h1", evil, owner, 5);
    scaled(&mut w, "feed/web", evil, 1, 8_000);
    let failed = OpStatus::Failed { why: evil.into() };
    operation(&mut w, 9, "feed/web", OpKind::Up, failed, Progress::default());
    w.engine.trouble = Some(evil.into());
    w.engine.user = evil.into();
    w
}
