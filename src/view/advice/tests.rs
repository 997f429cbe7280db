//! Each risk is found where it is, and not where it is not.

use std::sync::Arc;

use super::*;
use crate::base::ids::{ContainerId, HostId, InstallId, OpId, PoolId, SiteName};
use crate::base::text::is_hostile;
use crate::model::container::{Container, Health, Owner, State, Tag, Usage};
use crate::model::host::{
    Duty, HostConfig, HostFacts, HostRecord, HostSource, HostState, HostView, Image, Need, Seen,
};
use crate::model::placement::{Attribute, Constraint, Operator, Strategy};
use crate::model::pool::{HealthCheck, Pool, PoolSpec};
use crate::model::site::{Site, SiteView};
use crate::model::world::{Counts, PoolView, SlotStatus, SlotView, Wait};

const NOW: Millis = Millis(1_800_000_000_000);

fn ago(days: i64) -> Millis {
    Millis(NOW.0 - days * 86_400_000)
}

fn host(world: &mut World, name: &str, change: impl FnOnce(&mut HostView)) {
    let id = HostId::new(name).unwrap();
    let config =
        HostConfig { id: id.clone(), address: "sim://".into(), tls_dir: None, source: HostSource::Added };
    let facts = HostFacts { cpus: 8, memory: 32 << 30, engine_id: "e".into(), ..HostFacts::default() };
    let mut view = HostView { seen: Seen::At(NOW), facts: Arc::new(facts), ..HostView::never(config) };
    change(&mut view);
    view.state = view.state_at(NOW);
    world.hosts.insert(id, Arc::new(view));
}

fn record(change: impl FnOnce(&mut HostRecord)) -> impl FnOnce(&mut HostView) {
    move |host| change(Arc::make_mut(&mut host.record))
}

fn at_site(name: &str) -> impl FnOnce(&mut HostView) {
    let site = SiteName::new(name).unwrap();
    record(move |r| r.site = Some(site))
}

/// A pool without a flaw but for where it stands: one slot on each host named, `-` for none.
fn pool(world: &mut World, on: &[&str], change: impl FnOnce(&mut Pool)) {
    let id = PoolId::new("feed", "web").unwrap();
    let mut slots = Vec::new();
    for (slot, name) in (1..).zip(on) {
        let mut view = SlotView {
            slot,
            instance: None,
            host: None,
            container: None,
            status: SlotStatus::Waiting("no host has 2 free cpu".into()),
            why: None,
        };
        if *name != "-" {
            let made = container(world, name, &id, slot);
            view.host = Some(HostId::new(name).unwrap());
            (view.container, view.status) = (Some(made), SlotStatus::Running);
        }
        slots.push(view);
    }
    let want = u32::try_from(on.len()).unwrap();
    let mut spec = PoolSpec { image: "shop/app:1".into(), replicas: want, ..PoolSpec::default() };
    spec.resources.memory_limit = Some(1 << 30);
    let test = vec!["CMD".into(), "true".into()];
    spec.healthcheck =
        Some(HealthCheck { test, interval_ms: None, timeout_ms: None, retries: None, start_period_ms: None });
    let mut pool = Pool {
        id: id.clone(),
        revision: 1,
        spec,
        want,
        version: 1,
        down: false,
        hosts: Vec::new(),
        holes: Default::default(),
        last_scale: None,
    };
    change(&mut pool);
    let homeless = u32::try_from(on.iter().filter(|h| **h == "-").count()).unwrap();
    let waits = if homeless > 0 {
        vec![Wait { slots: homeless, why: "no \u{202e}host has 2 free cpu".into() }]
    } else {
        Vec::new()
    };
    let counts = Counts { want, running: want - homeless, ..Counts::default() };
    world
        .pools
        .insert(id, Arc::new(PoolView { pool, slots, waits, misplaced: vec![], next_batch: None, counts }));
}

fn container(world: &mut World, host: &str, pool: &PoolId, slot: u32) -> ContainerId {
    let id = ContainerId::new(&format!("{slot:012x}"));
    let install = InstallId("0a1b2c3d".into());
    let tag = Tag { install, pool: pool.clone(), slot, generation: 1, revision: 1, op: OpId(1) };
    let view = Arc::make_mut(world.hosts.get_mut(&HostId::new(host).unwrap()).unwrap());
    Arc::make_mut(&mut view.containers).push(Container {
        id: id.clone(),
        name: tag.container_name().into(),
        image: "shop/app:1".into(),
        state: State::Running,
        health: Health::None,
        exit: None,
        created: NOW,
        ports: Vec::new(),
        address: None,
        owner: Owner::Longshore(tag),
    });
    let usage = Usage { cpu_milli: Some(410), memory: (300 << 20) + u64::from(slot), memory_limit: None };
    Arc::make_mut(&mut view.usage).insert(id.clone(), usage);
    id
}

fn two_hosts() -> World {
    let mut world = World::default();
    host(&mut world, "h1", |_| {});
    host(&mut world, "h2", |_| {});
    world
}

fn found(world: &World) -> Vec<(&'static str, String, String)> {
    advise(world, NOW).into_iter().map(|a| (a.risk, a.evidence, a.command)).collect()
}

fn risks(world: &World) -> Vec<&'static str> {
    advise(world, NOW).iter().map(|a| a.risk).collect()
}

#[test]
fn a_sound_fleet_gets_no_advice() {
    let mut world = two_hosts();
    pool(&mut world, &["h1", "h2", "h1"], |_| {});
    assert_eq!(found(&world), []);
    assert_eq!(found(&World::default()), []);
    pool(&mut world, &["h1", "h1"], |p| p.down = true);
    assert_eq!(found(&world), []);
}

#[test]
fn all_on_one_host() {
    let mut world = two_hosts();
    pool(&mut world, &["h1", "h1", "h1"], |_| {});
    let expected = "all of its 3 containers are on h1; 1 other host ready";
    assert_eq!(found(&world), [("one host", expected.to_owned(), "longshore rebalance feed/web".to_owned())]);
    assert_eq!(advise(&world, NOW)[0].severity, Severity::Medium);
    pool(&mut world, &["h1"], |_| {});
    assert_eq!(risks(&world), [""; 0]);
    pool(&mut world, &["h1", "h1"], |p| p.hosts = vec![HostId::new("h1").unwrap()]);
    assert_eq!(advise(&world, NOW)[0].command, "longshore hosts add NAME ADDRESS");
}

#[test]
fn all_in_one_site() {
    let mut world = World::default();
    for (name, site) in [("h1", "bj"), ("h2", "bj"), ("h3", "tc")] {
        host(&mut world, name, at_site(site));
    }
    pool(&mut world, &["h1", "h2"], |_| {});
    let [(risk, evidence, _)] = &found(&world)[..] else { panic!("{:?}", found(&world)) };
    assert_eq!(
        (*risk, evidence.as_str()),
        ("one site", "all of its 2 containers are in bj; another site is ready in tc")
    );
    pool(&mut world, &["h1", "h3"], |_| {});
    assert_eq!(risks(&world), [""; 0]);
    pool(&mut world, &["h1", "h2"], |p| p.spec.placement.sites = vec![SiteName::new("bj").unwrap()]);
    assert_eq!(risks(&world), [""; 0], "a pool that is pinned to a site is there on purpose");
    let constraint =
        Constraint { attribute: Attribute::Site, operator: Operator::Is, values: vec!["bj".into()] };
    pool(&mut world, &["h1", "h2"], |p| p.spec.placement.constraints = vec![constraint]);
    assert_eq!(risks(&world), [""; 0], "so is one that a constraint keeps there");
}

#[test]
fn an_only_container_of_a_core_pool() {
    let mut world = two_hosts();
    let sound = |p: &mut Pool| {
        p.spec.core = true;
        (p.spec.resources.memory_reserved, p.spec.resources.cpu_reserved_milli) = (Some(1), Some(1));
    };
    pool(&mut world, &["h1"], sound);
    let first = advise(&world, NOW).remove(0);
    assert_eq!((first.risk, first.severity), ("single instance", Severity::High));
    assert_eq!(first.command, "longshore scale feed/web +1");
    pool(&mut world, &["h1", "h2"], sound);
    assert_eq!(risks(&world), [""; 0]);
}

#[test]
fn an_uneven_spread() {
    let mut world = two_hosts();
    pool(&mut world, &["h1", "h1", "h1", "h2"], |_| {});
    assert_eq!(found(&world)[0].1, "3 on h1, 1 on h2");
    pool(&mut world, &["h1", "h1", "h1", "h2"], |p| p.spec.placement.strategy = Strategy::Binpack);
    assert_eq!(risks(&world), [""; 0], "binpack is uneven by intent");
    host(&mut world, "h2", |h| h.taken.need.memory = 32 << 30);
    pool(&mut world, &["h1", "h1", "h1", "h2"], |p| p.spec.resources.memory_reserved = Some(1 << 30));
    assert_eq!(risks(&world), [""; 0], "the other host is full");
    let rack = |name: &str| {
        let name = name.to_owned();
        record(move |r| drop(r.labels.insert("rack".into(), name)))
    };
    let mut world = World::default();
    for (name, r) in [("h1", "a"), ("h2", "a"), ("h3", "b")] {
        host(&mut world, name, rack(r));
    }
    let by_rack = |p: &mut Pool| p.spec.placement.spread = vec![Attribute::Label("rack".into())];
    pool(&mut world, &["h1", "h1", "h2", "h3"], by_rack);
    assert_eq!(found(&world)[0].1, "3 on a, 1 on b");
    pool(&mut world, &["h1", "h2", "h3"], by_rack);
    assert_eq!(risks(&world), [""; 0]);
}

#[test]
fn no_limits_and_no_reservations() {
    let mut world = two_hosts();
    pool(&mut world, &["h1", "h2"], |p| {
        p.spec.core = true;
        p.spec.resources.memory_limit = None;
    });
    let commands: Vec<String> = advise(&world, NOW).into_iter().map(|a| a.command).collect();
    assert_eq!(
        commands,
        [
            "longshore set feed/web memory=464M",
            "longshore set feed/web cpu-reserved=0.7",
            "longshore set feed/web memory-reserved=464M",
        ]
    );
    assert!(advise(&world, NOW)[0].evidence.ends_with("2 measured, at most 300M"));
    pool(&mut world, &["-", "-"], |p| p.spec.resources.memory_limit = None);
    assert!(found(&world).iter().any(|(_, _, c)| c == "longshore set feed/web memory=SIZE"));
}

#[test]
fn no_health_check() {
    let mut world = two_hosts();
    pool(&mut world, &["h1", "h2"], |p| p.spec.healthcheck = None);
    assert_eq!(found(&world)[0].2, "longshore set feed/web healthcheck=\"CMD-SHELL COMMAND\"");
    let h1 = Arc::make_mut(world.hosts.get_mut(&HostId::new("h1").unwrap()).unwrap());
    Arc::make_mut(&mut h1.containers)[0].health = Health::Healthy;
    assert_eq!(risks(&world), [""; 0], "the image brings a check of its own");
    pool(&mut world, &["h1", "h2"], |p| {
        p.spec.healthcheck.as_mut().unwrap().test = vec!["NONE".into()];
    });
    assert_eq!(risks(&world), ["no health check"]);
}

#[test]
fn old_and_moving_images() {
    let mut world = two_hosts();
    let images = |days| {
        let image = Image { id: "sha256:1".into(), created: ago(days), size: 1, digest: None };
        Some(Arc::new([("shop/app:1".to_owned(), image)].into()))
    };
    host(&mut world, "h2", |h| h.images = images(200));
    pool(&mut world, &["h1", "h2"], |_| {});
    assert_eq!(found(&world)[0].1, "shop/app:1 was built 200 days ago");
    host(&mut world, "h2", |h| h.images = images(20));
    pool(&mut world, &["h1", "h2"], |_| {});
    assert_eq!(risks(&world), [""; 0]);
    for (name, moves) in [
        ("app", true),
        ("shop/app:latest", true),
        ("registry.example:5000/app", true),
        ("registry.example:5000/app:2", false),
        ("app@sha256:00", false),
    ] {
        pool(&mut world, &["h1", "h2"], |p| p.spec.image = name.into());
        assert_eq!(risks(&world) == ["moving image"], moves, "{name}");
    }
}

#[test]
fn not_enough_hosts() {
    let mut world = two_hosts();
    pool(&mut world, &["h1", "h2", "-"], |_| {});
    let (risk, evidence, command) = found(&world).remove(0);
    assert_eq!((risk, command.as_str()), ("no room", "longshore hosts add NAME ADDRESS"));
    assert_eq!(evidence, r"1 of 3 have no host: no \u{202e}host has 2 free cpu");
    let cordoned = || Duty::Cordoned { by: "bob".into(), at: ago(1) };
    host(&mut world, "h3", record(|r| r.duty = cordoned()));
    assert_eq!(found(&world)[0].2, "longshore hosts undrain h3");
    pool(&mut world, &["h1", "h2", "-"], |p| p.spec.placement.max_per_host = Some(1));
    assert_eq!(found(&world)[0].1, "wants 3, but at most 1 a host on 2 ready hosts makes 2");
    pool(&mut world, &["h1", "h2"], |p| p.spec.placement.max_per_host = Some(1));
    assert_eq!(risks(&world), [""; 0]);
}

#[test]
fn hosts_that_are_lost_or_forgotten() {
    let lost = |days| {
        move |h: &mut HostView| {
            h.seen = Seen::Lost { last: ago(days), since: ago(days), why: "gone".into() };
            h.taken.containers = 4;
        }
    };
    let mut world = two_hosts();
    host(&mut world, "h3", lost(2));
    host(&mut world, "h4", lost(0));
    let drained = Duty::Drained { by: "eve\u{1b}".into(), at: ago(9) };
    host(&mut world, "h5", record(|r| r.duty = drained));
    let cordoned = Duty::Cordoned { by: "bob".into(), at: ago(8) };
    host(&mut world, "h6", record(|r| r.duty = cordoned));
    let fresh = Duty::Cordoned { by: "bob".into(), at: ago(3) };
    host(&mut world, "h7", record(|r| r.duty = fresh));
    let commands: Vec<String> = advise(&world, NOW).into_iter().map(|a| a.command).collect();
    assert_eq!(
        commands,
        ["longshore hosts give-up h3", "longshore hosts remove h5", "longshore hosts undrain h6"]
    );
    assert!(advise(&world, NOW).iter().all(|a| !a.evidence.chars().any(is_hostile)));
}

#[test]
fn a_whole_site_is_one_advice() {
    let mut world = World::default();
    let name = SiteName::new("bj").unwrap();
    for i in 0..34 {
        host(&mut world, &format!("bj-{i}"), |h| {
            at_site("bj")(h);
            h.seen = Seen::Lost { last: ago(2), since: ago(2), why: "gone".into() };
        });
    }
    let site = Site { name: name.clone(), registry: None, limits: Default::default() };
    let view = SiteView { site, hosts: 34, silent: 34, lost: Some(ago(2)) };
    world.sites = Arc::new([(name, view)].into());
    assert_eq!(
        found(&world),
        [(
            "site lost",
            "all of its 34 hosts have not answered for 2d".to_owned(),
            "longshore hosts give-up --site bj".to_owned()
        )]
    );
}

#[test]
fn too_much_is_promised_or_not_known() {
    let mut world = two_hosts();
    host(&mut world, "h1", |h| {
        h.taken.need = Need { cpu_milli: 8_000, memory: 40 << 30, ..Need::default() };
    });
    assert_eq!(found(&world)[0].1, "reserved of what it has: memory 125%");
    host(&mut world, "h1", |h| h.taken.need.memory = 32 << 30);
    assert_eq!(risks(&world), [""; 0]);
    pool(&mut world, &["h1", "h2"], |p| p.spec.resources.disk_reserved = Some(10 << 30));
    assert_eq!(found(&world)[0].2, "longshore hosts label h1 --disk SIZE");
    for name in ["h1", "h2"] {
        host(&mut world, name, record(|r| r.capacity.disk = Some(1 << 40)));
    }
    pool(&mut world, &["h1", "h2"], |p| p.spec.resources.disk_reserved = Some(10 << 30));
    assert_eq!(risks(&world), [""; 0]);
}

#[test]
fn the_worst_comes_first() {
    let mut world = two_hosts();
    host(&mut world, "h1", |h| h.taken.need.memory = 40 << 30);
    pool(&mut world, &["h1", "h1", "-"], |p| {
        p.spec.core = true;
        p.spec.image = "app".into();
    });
    let all = advise(&world, NOW);
    assert!(all.is_sorted_by_key(|a| a.severity) && all.len() > 4, "{all:?}");
    assert_eq!(all[0].severity, Severity::High);
    assert_eq!(world.hosts[&HostId::new("h1").unwrap()].state, HostState::Ready);
}
