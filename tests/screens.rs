//! The console, driven without a terminal: screens as snapshots, keys as effects, tables as rules, noise as properties.
#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests")]

#[path = "console/access.rs"]
mod access;
#[path = "console/big.rs"]
mod big;
#[path = "console/fleet.rs"]
mod fleet;
#[path = "console/fleet_keys.rs"]
mod fleet_keys;
#[path = "console/harness.rs"]
mod harness;
#[path = "console/images.rs"]
mod images;
#[path = "console/images_keys.rs"]
mod images_keys;
#[path = "console/keys.rs"]
mod keys;
#[path = "console/noise.rs"]
mod noise;
#[path = "console/prewarm_keys.rs"]
mod prewarm_keys;
#[path = "console/tables.rs"]
mod tables;
#[path = "console/world.rs"]
mod world;

use harness::Console;
use longshore::base::clock::Millis;
use longshore::model::host::Seen;
use longshore::model::journal::{Entry, What};
use longshore::model::query::{Query, Reply, Request};
use longshore::model::world::{SlotStatus, World};
use longshore::tui::app::Settings;
use longshore::tui::effect::Effect;
use longshore::tui::event::Event;

const SIZES: [(u16, u16); 3] = [(120, 40), (80, 24), (60, 15)];

fn never(why: Option<&str>) -> World {
    let mut w = world::empty();
    world::host(&mut w, "local", Seen::Never { why: why.map(str::to_owned) });
    w
}

fn hosts_only() -> World {
    let mut w = world::empty();
    world::live(&mut w, "bj-03");
    w
}

fn lost() -> World {
    let mut w = world::empty();
    let last = Millis(world::NOW.0 - 400_000);
    world::live(&mut w, "bj-03");
    world::pool(&mut w, "feed/web", 4, 4, SlotStatus::Running);
    let why = "connection refused".to_owned();
    world::host(&mut w, "tc-01", Seen::Lost { last, since: last, why });
    world::pool(&mut w, "feed/cache", 3, 1, SlotStatus::HostLost);
    w
}

fn long_names() -> World {
    let mut w = world::empty();
    let name = "x".repeat(63);
    world::live(&mut w, &name);
    world::pool(&mut w, &format!("{name}/{name}"), 10_000 / 100, 99, SlotStatus::Waiting("y".repeat(300)));
    world::scaled(&mut w, &format!("{name}/{name}"), &"bob".repeat(30), 9_999, 6_000);
    w
}

fn wide() -> World {
    let mut w = world::empty();
    world::live(&mut w, "bj-03");
    world::pool(
        &mut w,
        "feed/web",
        2,
        1,
        SlotStatus::Waiting("没有主机有两个空闲的处理器，请稍候再试一次".into()),
    );
    world::scaled(&mut w, "feed/web", "王小明", 1, 6_000);
    let owner = longshore::model::container::Owner::Compose {
        project: "商店".into(),
        service: "数据库服务器名称很长".into(),
    };
    world::container(&mut w, "bj-03", "商店-数据库-1", owner, 5);
    w
}

#[test]
fn screens_of_home() {
    let worlds = [
        ("no_core", World::default()),
        ("connecting", never(None)),
        ("no_engine", never(Some("/var/run/docker.sock: no such file"))),
        ("no_pools", hosts_only()),
        ("ordinary", world::feed()),
        ("lost", lost()),
        ("many", world::many(200, 3)),
        ("long_names", long_names()),
        ("wide", wide()),
        ("hostile", world::hostile()),
    ];
    for (name, world) in worlds {
        for (w, h) in SIZES {
            let mut console = Console::new((w, h), world.clone());
            console.rest();
            if name == "ordinary" {
                console.logs();
            }
            insta::assert_snapshot!(format!("home_{name}_{w}x{h}"), console.screen());
        }
    }
}

#[test]
fn screens_of_other_panes_and_views() {
    for (w, h) in SIZES {
        let mut console = Console::new((w, h), world::feed());
        console.keys("2");
        insta::assert_snapshot!(format!("containers_{w}x{h}"), console.screen());
        console.keys("4");
        insta::assert_snapshot!(format!("operations_{w}x{h}"), console.screen());
        console.keys("5");
        insta::assert_snapshot!(format!("hosts_{w}x{h}"), console.screen());
        console.keys("q 1 j d");
        insta::assert_snapshot!(format!("describe_{w}x{h}"), console.screen());
        console.keys("q l");
        console.logs();
        insta::assert_snapshot!(format!("logs_{w}x{h}"), console.screen());
        console.keys("q ?");
        insta::assert_snapshot!(format!("help_{w}x{h}"), console.screen());
        console.keys("Esc :");
        console.text("sc");
        insta::assert_snapshot!(format!("palette_{w}x{h}"), console.screen());
        console.keys("Esc 6");
        let asked = console.take().into_iter().find_map(|e| match e {
            Effect::Ask(ticket, Request::Query(Query::Journal { .. })) => Some(ticket),
            _ => None,
        });
        let entry = |seq: u64, what| Entry {
            seq,
            at: world::NOW,
            what,
            by: "alice".into(),
            op: None,
            pool: Some(world::pool_id("feed/web")),
            slot: Some(3),
            host: None,
            text: "create web.3 on bj-03".into(),
        };
        let entries = vec![entry(3, What::Failed), entry(2, What::Intent), entry(1, What::Accepted)];
        console.event(Event::Replied(asked.unwrap(), Reply::Journal(entries)));
        insta::assert_snapshot!(format!("journal_{w}x{h}"), console.screen());
    }
}

#[test]
fn screens_of_dialogs_and_staging() {
    for (w, h) in SIZES {
        let mut console = Console::new((w, h), world::feed());
        console.keys("j + + + + +");
        keys::answer_preview(&mut console, None);
        insta::assert_snapshot!(format!("staged_{w}x{h}"), console.screen());
        console.keys("Esc s");
        insta::assert_snapshot!(format!("set_to_{w}x{h}"), console.screen());
        console.text("0");
        console.keys("Enter Enter");
        insta::assert_snapshot!(format!("zero_{w}x{h}"), console.screen());
    }
}

#[test]
fn a_small_or_ascii_terminal_is_told_in_words() {
    let console = Console::new((30, 5), world::feed());
    insta::assert_snapshot!("too_small", console.screen());
    let settings = Settings { ascii: true, read_only: true, user: "alice".into(), ..Settings::default() };
    let console = Console::with((100, 30), world::feed(), settings);
    assert!(console.screen().is_ascii());
    insta::assert_snapshot!("ascii_100x30", console.screen());
}

#[test]
fn screens_of_many_hosts() {
    for (w, h) in SIZES {
        let mut console = Console::new((w, h), fleet::fleet());
        let shot = |console: &Console, name: &str| {
            insta::assert_snapshot!(format!("fleet_{name}_{w}x{h}"), console.screen());
        };
        console.keys("5");
        shot(&console, "hosts");
        console.keys("j j j D");
        shot(&console, "drain");
        console.keys("Esc G Enter");
        shot(&console, "on_host");
        console.keys("Esc d");
        shot(&console, "host");
        console.keys("Esc H");
        shot(&console, "heat");
        console.keys("Esc Esc A");
        shot(&console, "advice");
        console.keys("Esc :");
        console.text("sites");
        console.keys("Enter");
        shot(&console, "sites");
        console.keys("R");
        shot(&console, "give_up");
        console.keys("Esc Esc 4");
        shot(&console, "operations");
        console.keys("1 j j w");
        fleet::answer_why(&mut console);
        shot(&console, "why");
    }
}

#[test]
fn screens_of_trouble_and_of_a_thousand_hosts() {
    for (w, h) in SIZES {
        let mut console = Console::new((w, h), fleet::mass_loss());
        insta::assert_snapshot!(format!("fleet_mass_loss_{w}x{h}"), console.screen());
        console.keys("5");
        insta::assert_snapshot!(format!("fleet_mass_loss_hosts_{w}x{h}"), console.screen());
        let mut console = Console::new((w, h), fleet::thousand());
        console.keys("5 H");
        insta::assert_snapshot!(format!("fleet_thousand_{w}x{h}"), console.screen());
    }
}

#[test]
fn screens_of_registries_and_replication() {
    let worlds = [
        ("sites", images::sites()),
        ("stalled", images::stalled()),
        ("never", images::never()),
        ("many", images::many()),
        ("hostile", images::hostile()),
    ];
    for (name, world) in worlds {
        let evil = name == "hostile";
        for (w, h) in SIZES {
            let shot = |console: &Console, view: &str| {
                insta::assert_snapshot!(format!("images_{name}_{view}_{w}x{h}"), console.screen());
            };
            let mut console = Console::new((w, h), world.clone());
            console.keys("4");
            shot(&console, "home");
            console.keys("7");
            shot(&console, "registries");
            console.keys("8");
            shot(&console, "replication");
            console.keys("/");
            console.text("all: hq");
            console.keys("Enter Enter");
            console.answered(300, evil);
            shot(&console, "run");
            if name == "many" {
                continue;
            }
            console.keys("7 g Enter");
            console.answered(300, evil);
            shot(&console, "repositories");
            console.key("Enter");
            console.answered(300, evil);
            shot(&console, "tags");
            console.key("d");
            shot(&console, "tag");
        }
    }
}

#[test]
fn screens_of_no_registries_and_of_a_conflict() {
    for (w, h) in SIZES {
        let mut console = Console::new((w, h), world::feed());
        console.key("7");
        insta::assert_snapshot!(format!("images_none_registries_{w}x{h}"), console.screen());
        console.key("8");
        insta::assert_snapshot!(format!("images_none_replication_{w}x{h}"), console.screen());
        let mut console = Console::new((w, h), images::sites());
        console.keys("8 /");
        console.text("all: hq");
        console.keys("Enter Enter");
        console.answered(300, false);
        console.keys("c");
        console.answered(300, false);
        insta::assert_snapshot!(format!("images_conflict_{w}x{h}"), console.screen());
        console.keys("Esc X");
        insta::assert_snapshot!(format!("images_stop_{w}x{h}"), console.screen());
        console.keys("Esc ?");
        insta::assert_snapshot!(format!("images_help_{w}x{h}"), console.screen());
    }
}
