//! Many hosts: a world of three sites and one of a thousand hosts, for tests of the console.

use std::sync::Arc;

use longshore::base::clock::Millis;
use longshore::base::ids::{HostId, OpId, SiteName};
use longshore::model::explain::{Explanation, Filter, Refused, Score, Scorer, Verdict};
use longshore::model::host::{Capacity, Duty, HostView, Need, Seen};
use longshore::model::operation::{OpKind, OpStatus, Progress};
use longshore::model::placement::{LossRule, Strategy};
use longshore::model::query::{Query, Reply, Request};
use longshore::model::site::{MassLoss, Site, SiteLimits, SiteView};
use longshore::model::world::{SlotStatus, World};
use longshore::tui::effect::Effect;
use longshore::tui::event::Event;

use crate::harness::Console;
use crate::world::{self, NOW};

pub fn edit(world: &mut World, name: &str, change: impl FnOnce(&mut HostView)) {
    change(Arc::make_mut(world.hosts.get_mut(&HostId::new(name).unwrap()).unwrap()));
}

fn place(world: &mut World, name: &str, site: &str, (count, cpu, memory): (u32, u64, u64)) {
    edit(world, name, |h| {
        Arc::make_mut(&mut h.record).site = Some(SiteName::new(site).unwrap());
        h.taken.containers = count;
        h.taken.need = Need { cpu_milli: cpu, memory: memory << 30, ..Need::default() };
    });
}

fn site(world: &mut World, name: &str, lost: Option<i64>) {
    let id = SiteName::new(name).unwrap();
    let here: Vec<&Arc<HostView>> =
        world.hosts.values().filter(|h| h.record.site.as_ref() == Some(&id)).collect();
    let count = |n: usize| u32::try_from(n).unwrap();
    let (hosts, silent) = (count(here.len()), count(here.iter().filter(|h| !h.is_live()).count()));
    let limits = SiteLimits { containers: Some(400), pulls: Some(4), images: Vec::new() };
    let site = Site { name: id.clone(), registry: Some(format!("registry.{name}.example:5000")), limits };
    let view = SiteView { site, hosts, silent, lost: lost.map(|ms| Millis(NOW.0 - ms)) };
    Arc::make_mut(&mut world.sites).insert(id, view);
}

/// Three sites: one well, one with some trouble, one that is lost as a whole.
pub fn fleet() -> World {
    let mut w = world::empty();
    for i in 1..=6_u32 {
        let name = format!("bj-{i:02}");
        world::live(&mut w, &name);
        place(&mut w, &name, "bj", (2 * i, u64::from(i) * 2_500, u64::from(i) * 9));
    }
    for i in 1..=3 {
        world::live(&mut w, &format!("tc-{i:02}"));
    }
    world::pool(&mut w, "feed/web", 12, 12, SlotStatus::Running);
    world::pool(&mut w, "feed/db", 9, 9, SlotStatus::Running);
    world::with_pool(&mut w, "feed/db", |v| v.pool.spec.placement.on_loss.rule = Some(LossRule::Wait));
    world::pool(&mut w, "pay/api", 4, 3, SlotStatus::Waiting("no host has 20 free cpu".into()));
    world::pool(&mut w, "pay/core", 1, 1, SlotStatus::Running);
    world::with_pool(&mut w, "pay/core", |v| v.pool.spec.core = true);
    for i in 1..=3 {
        place(&mut w, &format!("tc-{i:02}"), "tc", (3, 4_000, 16));
    }
    let duty = |at| Duty::Cordoned { by: "bob".into(), at: Millis(NOW.0 - at) };
    edit(&mut w, "tc-01", |h| Arc::make_mut(&mut h.record).duty = duty(9 * 86_400_000));
    edit(&mut w, "tc-02", |h| {
        Arc::make_mut(&mut h.record).duty =
            Duty::Draining { by: "eve".into(), at: Millis(NOW.0 - 60_000), op: OpId(44), force: false };
    });
    let last = Millis(NOW.0 - 130_000);
    edit(&mut w, "tc-03", |h| h.seen = Seen::Lost { last, since: last, why: "no route to host".into() });
    for i in 1..=34 {
        let name = format!("ali-{i:02}");
        world::host(&mut w, &name, Seen::Lost { last, since: last, why: "no route to host".into() });
        place(&mut w, &name, "ali", (24, 9_000, 30));
    }
    edit(&mut w, "bj-06", |h| {
        let record = Arc::make_mut(&mut h.record);
        record.labels.insert("rack".into(), "r7 \u{202e}evil".into());
        record.in_service = Some(Millis(NOW.0 - 400 * 86_400_000));
        record.capacity = Capacity { disk: Some(2 << 40), ..Capacity::default() };
    });
    let owner =
        longshore::model::container::Owner::Compose { project: "商店".into(), service: "db".into() };
    world::container(&mut w, "bj-06", "商店-数据库-1", owner, 120);
    for (name, lost) in [("bj", None), ("tc", None), ("ali", Some(130_000))] {
        site(&mut w, name, lost);
    }
    let progress = Progress {
        target: 40,
        healthy: 12,
        leaving: 28,
        reason: Some("feed/db.1 is tied to this host".into()),
        ..Progress::default()
    };
    let hosts = vec![HostId::new("tc-02").unwrap()];
    world::operation(&mut w, 44, "feed/web", OpKind::Drain { hosts }, OpStatus::Running, progress.clone());
    let progress = Progress { target: 9, healthy: 4, leaving: 5, reason: None, ..progress };
    world::operation(&mut w, 43, "feed/web", OpKind::Rebalance { moves: 9 }, OpStatus::Running, progress);
    w
}

/// The same with hostile bytes in all that comes from outside.
pub fn hostile() -> World {
    let mut w = mass_loss();
    let evil = || "\u{1b}]52;c;eA==\u{7}\u{9b}31m\u{202e}txt\u{200b}".to_owned();
    edit(&mut w, "tc-01", |h| {
        let record = Arc::make_mut(&mut h.record);
        record.duty = Duty::Cordoned { by: evil(), at: NOW };
        record.class = Some(evil());
        record.labels.insert(evil(), evil());
        h.config.address = evil();
    });
    edit(&mut w, "tc-03", |h| h.seen = Seen::Lost { last: NOW, since: NOW, why: evil() });
    for site in Arc::make_mut(&mut w.sites).values_mut() {
        site.site.registry = Some(evil());
        site.site.limits.images = vec![evil()];
    }
    world::with_pool(&mut w, "pay/api", |v| {
        v.waits[0].why = evil();
        v.pool.spec.image = evil();
    });
    let progress = Progress { target: 3, reason: Some(evil()), ..Progress::default() };
    let kind = OpKind::Rebalance { moves: 9 };
    world::operation(&mut w, 45, "feed/web", kind, OpStatus::Running, progress);
    w
}

/// The same while the engine asks what shall become of the lost site.
pub fn mass_loss() -> World {
    let mut w = fleet();
    let sites = vec![SiteName::new("ali").unwrap()];
    w.mass_loss = Some(MassLoss { lost: 35, of: 43, sites, containers: 816 });
    w
}

/// A thousand hosts of ten sites.
pub fn thousand() -> World {
    let mut w = world::empty();
    for i in 0..1_000_u64 {
        let name = format!("h{i:04}");
        world::live(&mut w, &name);
        place(&mut w, &name, &format!("site-{}", i % 10), (100, i % 17_000 * 16, i % 70));
        if i % 97 == 0 {
            let seen = Seen::Lost { last: Millis(NOW.0 - 60_000), since: NOW, why: "gone".into() };
            edit(&mut w, &name, |h| h.seen = seen);
        }
    }
    w
}

pub fn explanation() -> Explanation {
    let host = |name: &str| HostId::new(name).unwrap();
    let score = |scorer, value| Score { scorer, value };
    let takes = |name: &str, even: f64| Verdict {
        host: host(name),
        refused: Vec::new(),
        scores: vec![score(Scorer::FewOfPool, 0.5), score(Scorer::EvenSpread, even)],
        total: (0.5 + even) / 2.0,
    };
    let mut hosts = vec![takes("bj-01", 0.9), takes("bj-02", -0.25)];
    for i in 1..=34 {
        let mut refused = vec![Refused { filter: Filter::Ready, why: "it does not answer".into() }];
        if i % 3 == 0 {
            let why = "needs 20.0 cores, 7.0 of 16.0 are free".into();
            refused.push(Refused { filter: Filter::Cpu, why });
        }
        hosts.push(Verdict { host: host(&format!("ali-{i:02}")), refused, scores: Vec::new(), total: 0.0 });
    }
    Explanation {
        pool: world::pool_id("pay/api"),
        slot: Some(4),
        strategy: Strategy::Spread,
        now_on: None,
        choice: Some(host("bj-01")),
        sentence: "pay/api.4 would go to bj-01: it has the fewest of the pool".into(),
        hosts,
    }
}

/// Answers the question why that was asked last.
pub fn answer_why(console: &mut Console) {
    let asked = console.effects.iter().rev().find_map(|e| match e {
        Effect::Ask(ticket, Request::Query(Query::Why { .. })) => Some(*ticket),
        _ => None,
    });
    console.event(Event::Replied(asked.expect("why was asked"), Reply::Why(Box::new(explanation()))));
}
