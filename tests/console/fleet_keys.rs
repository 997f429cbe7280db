//! Many hosts: keys in, effects out.

use std::sync::Arc;

use longshore::base::fault::{Fault, Kind};
use longshore::base::ids::HostId;
use longshore::model::command::{Change, Command};
use longshore::model::placement::Strategy;
use longshore::model::query::{Query, Reply, Request};
use longshore::tui::app::Settings;
use longshore::tui::effect::Effect;
use longshore::tui::event::Event;
use longshore::tui::panes::PaneId;

use crate::fleet::{fleet, mass_loss, thousand};
use crate::harness::Console;
use crate::keys::answer_preview;
use crate::world;

fn on_hosts() -> Console {
    let mut console = Console::new((120, 40), fleet());
    console.key("5");
    console.take();
    console
}

fn ids(names: &[&str]) -> Vec<HostId> {
    names.iter().map(|n| HostId::new(n).unwrap()).collect()
}

fn sent(console: &mut Console) -> Vec<Command> {
    let commands = console.commands().into_iter();
    commands.filter_map(|(_, r)| if let Request::Command(c) = r { Some(c) } else { None }).collect()
}

/// Puts the cursor on a host by filtering for it.
fn choose(console: &mut Console, name: &str) {
    console.key("/");
    console.text(name);
    console.key("Enter");
}

#[test]
fn a_lost_site_is_one_line_that_unfolds() {
    let mut console = on_hosts();
    let line = "site ali: all 34 hosts lost 2m ago, 816 containers there";
    assert!(console.screen().contains(line) && !console.screen().contains("ali-07"));
    console.key("Enter");
    assert!(console.screen().contains("ali-07"));
    console.key("z");
    assert!(!console.screen().contains("ali-07"));
    console.keys("G z");
    assert!(console.screen().contains("only the hosts of a site that is lost as a whole"));
}

#[test]
fn cordon_and_back_is_sent_at_once() {
    let mut console = on_hosts();
    choose(&mut console, "bj-03");
    console.key("c");
    assert_eq!(sent(&mut console), [Command::Cordon { hosts: ids(&["bj-03"]) }]);
    console.key("Esc");
    choose(&mut console, "tc-01");
    console.keys("c U");
    let undrain = Command::Undrain { hosts: ids(&["tc-01"]) };
    assert_eq!(sent(&mut console), [undrain.clone(), undrain]);
}

#[test]
fn a_drain_says_what_moves_and_what_is_tied() {
    let mut console = on_hosts();
    choose(&mut console, "bj-02");
    console.key("D");
    let screen = console.screen();
    assert!(screen.contains("move to other hosts") || screen.contains("moves to another host"), "{screen}");
    assert!(screen.contains("tied to it") && screen.contains("of feed/db"), "{screen}");
    assert!(screen.contains("longshore hosts drain bj-02"), "{screen}");
    console.key("Enter");
    assert_eq!(sent(&mut console), [], "a question is deaf at first, and Cancel has the focus");
    console.pass(400);
    console.keys("Tab Enter");
    assert_eq!(sent(&mut console), [Command::Drain { hosts: ids(&["bj-02"]), force: false }]);
    console.key("D");
    console.pass(400);
    console.keys("Tab Tab Enter");
    assert_eq!(sent(&mut console), [Command::Drain { hosts: ids(&["bj-02"]), force: true }]);
}

#[test]
fn giving_up_asks_for_the_name() {
    let mut console = on_hosts();
    choose(&mut console, "bj-02");
    console.key("R");
    assert!(console.screen().contains("bj-02 is not lost"));
    console.key("Esc");
    choose(&mut console, "tc-03");
    console.key("R");
    console.pass(400);
    console.text("tc-01");
    console.key("Enter");
    assert!(console.screen().contains("that is not tc-03"));
    assert_eq!(sent(&mut console), []);
    console.keys("Ctrl-U");
    console.text("tc-03");
    console.key("Enter");
    assert_eq!(sent(&mut console), [Command::GiveUp { hosts: ids(&["tc-03"]) }]);
    console.keys("Esc g R");
    console.pass(400);
    console.text("ali");
    console.key("Enter");
    let [Command::GiveUp { hosts }] = &sent(&mut console)[..] else { panic!("a whole site") };
    assert_eq!(hosts.len(), 34);
}

#[test]
fn a_read_only_console_changes_no_host() {
    let settings = Settings { read_only: true, ..Settings::default() };
    let mut console = Console::with((120, 40), fleet(), settings);
    console.keys("5 G");
    for key in ["c", "D", "U", "R"] {
        console.key(key);
        assert!(console.screen().contains("read-only (--read-only)"), "{key}");
        console.pass(400);
        console.keys("Tab Enter Esc 5 G");
    }
    assert_eq!(sent(&mut console), []);
}

#[test]
fn a_host_shows_all_that_runs_on_it() {
    let mut console = on_hosts();
    choose(&mut console, "bj-06");
    console.key("Enter");
    assert_eq!(console.app.top(), PaneId::OnHost);
    let screen = console.screen();
    assert!(screen.contains("feed/web.") && screen.contains("feed/db.") && screen.contains("compose 商店"));
    console.keys("g l");
    assert!(console.take().iter().any(|e| matches!(e, Effect::OpenTail(..))));
    console.keys("Esc w");
    assert!(matches!(console.commands()[..], [(_, Request::Query(Query::Why { slot: Some(_), .. }))]));
    console.keys("G w");
    assert!(console.screen().contains("no container of a pool of longshore is under the cursor"));
    console.keys("Esc y");
    assert!(console.take().contains(&Effect::Copy("longshore hosts drain bj-06".into())));
}

#[test]
fn the_heat_map_moves_and_opens() {
    let mut console = Console::new((80, 24), thousand());
    console.keys("5 H");
    assert!(console.screen().contains("h0000 lost"), "{}", console.screen());
    console.keys("Right Right");
    assert!(console.screen().contains("h0020 ready"), "{}", console.screen());
    console.keys("h j");
    assert!(!console.screen().contains("h0010 "), "{}", console.screen());
    console.key("k");
    assert!(console.screen().contains("h0010 "), "{}", console.screen());
    console.key("Space");
    assert!(console.screen().contains("CPU reserved · 1000 hosts"));
    console.key("Enter");
    assert_eq!(console.app.top(), PaneId::OnHost);
    console.keys("Esc Esc");
    assert_eq!(console.app.top(), PaneId::Hosts);
    let mut console = Console::new((60, 15), thousand());
    console.keys("5 H");
    assert!(console.screen().contains("3 a cell"), "{}", console.screen());
    console.keys("Right Enter");
    assert_eq!(console.app.top(), PaneId::Hosts);
}

#[test]
fn why_shows_the_explanation_or_why_there_is_none() {
    let mut console = Console::new((120, 40), fleet());
    console.keys("j j");
    assert_eq!(console.app.pool().unwrap().to_string(), "pay/api");
    console.key("w");
    let (ticket, request) = console.commands().remove(0);
    let expected = Query::Why { pool: world::pool_id("pay/api"), slot: Some(4), strategy: None };
    assert_eq!(request, Request::Query(expected), "of a pool that waits, the slot that waits");
    console.event(Event::Replied(ticket, Reply::Failed(Fault::new(Kind::Bug, "cannot be said yet"))));
    assert!(console.screen().contains("no reason for pay/api.4: cannot be said yet"));
    console.key("w");
    crate::fleet::answer_why(&mut console);
    assert!(console.screen().contains("not ready (34 hosts)"), "{}", console.screen());
    console.take();
    console.key("y");
    assert!(console.take().contains(&Effect::Copy("longshore why pay/api.4".into())));
}

#[test]
fn advice_is_copied_and_filtered() {
    let mut console = Console::new((120, 40), fleet());
    console.keys("A");
    assert_eq!(console.app.top(), PaneId::Advice);
    console.key("/");
    console.text("single");
    console.keys("Enter Enter");
    assert!(console.take().contains(&Effect::Copy("longshore scale pay/core +1".into())));
}

#[test]
fn a_mass_loss_is_shown_until_it_is_answered() {
    let mut console = Console::new((80, 24), mass_loss());
    assert!(console.screen().contains("35 of 43 hosts vanished together (site ali)"));
    console.key("5");
    assert!(console.screen().contains("816 containers are NOT"), "{}", console.screen());
    console.event(Event::World(Arc::new(fleet())));
    assert!(!console.screen().contains("vanished"));
}

#[test]
fn sites_lead_to_their_hosts() {
    let mut console = Console::new((120, 40), fleet());
    console.key(":");
    console.text("sites");
    console.key("Enter");
    assert_eq!(console.app.top(), PaneId::Sites);
    console.keys("G Enter");
    let screen = console.screen();
    assert!(screen.contains("tc-02") && !screen.contains("bj-02"), "{screen}");
}

#[test]
fn a_staged_number_may_take_another_strategy() {
    let mut console = Console::new((120, 40), world::feed());
    console.keys("j + s");
    answer_preview(&mut console, None);
    console.take();
    assert!(console.screen().contains("40→41 by binpack"), "{}", console.screen());
    console.key("y");
    let copied = Effect::Copy("longshore scale feed/web 41 --strategy binpack".into());
    assert!(console.take().contains(&copied));
    console.key("Enter");
    let [Command::SetReplicas { change: Change::To(41), strategy: Some(Strategy::Binpack), .. }] =
        &sent(&mut console)[..]
    else {
        panic!("the strategy goes with the number")
    };
    console.keys("Esc - s");
    assert!(console.screen().contains("counts only for containers that are added"));
}

#[test]
fn a_strategy_chosen_while_a_preview_is_open_is_asked_for_after_it() {
    let mut console = Console::new((120, 40), world::feed());
    console.keys("j + s s");
    answer_preview(&mut console, None);
    let last = console.take().into_iter().rev().find_map(|e| match e {
        Effect::Ask(_, Request::Query(Query::Preview { strategy, .. })) => Some(strategy),
        _ => None,
    });
    assert_eq!(last, Some(Some(Strategy::Random)));
}

#[test]
fn a_slot_that_waits_for_its_host_says_so() {
    let mut fleet = fleet();
    world::with_pool(&mut fleet, "feed/db", |v| {
        v.slots[8].status = longshore::model::world::SlotStatus::AwaitingHost;
        v.slots[8].host = Some(HostId::new("tc-03").unwrap());
    });
    let mut console = Console::new((120, 40), fleet);
    console.key("2");
    let screen = console.screen();
    assert!(screen.contains("db.9       tc-03 waiting for its host: its "), "{screen}");
}

#[test]
fn from_one_view_to_another() {
    for from in ["5", "A", "6", "5 H"] {
        for (key, title) in [("5", "Hosts ("), ("A", "Advice ("), ("6", "Journal"), ("1", "1 Pools")] {
            let mut console = Console::new((120, 40), fleet());
            console.keys(from);
            console.keys(key);
            assert!(console.screen().contains(title), "from {from} by {key}:\n{}", console.screen());
        }
    }
}
