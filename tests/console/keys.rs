//! Keys in, effects out.

use std::sync::Arc;

use longshore::base::ids::OpId;
use longshore::model::command::{Accepted, Busy, Change, Command, Refusal, RefusalKind};
use longshore::model::preview::{PlaceOn, Preview};
use longshore::model::query::{Query, Reply, Request};
use longshore::model::world::SlotStatus;
use longshore::tui::app::{Mode, Settings};
use longshore::tui::effect::Effect;
use longshore::tui::event::{Event, Ticket};
use longshore::tui::panes::PaneId;

use crate::harness::Console;
use crate::world;

/// Answers previews until the staged number has its own.
pub fn answer_preview(console: &mut Console, refusal: Option<&Refusal>) {
    for _ in 0..3 {
        answer_once(console, refusal);
    }
    assert!(console.app.staged.as_ref().unwrap().preview.is_some());
}

/// Answers the last preview that was asked for.
fn answer_once(console: &mut Console, refusal: Option<&Refusal>) {
    let asked = console.effects.iter().rev().find_map(|e| match e {
        Effect::Ask(t, Request::Query(Query::Preview { pool, change: Change::To(n), .. })) => {
            Some((*t, pool.clone(), *n))
        }
        _ => None,
    });
    let (ticket, pool, to) = asked.expect("a preview was asked for");
    let view = console.app.world.pool(&pool).unwrap();
    let (from, version) = (view.pool.want, view.pool.version);
    let host = "bj-03".parse().unwrap();
    let places =
        if to > from { vec![PlaceOn { host, count: to - from, has_image: Some(false) }] } else { Vec::new() };
    let preview = Preview {
        pool,
        from,
        to,
        version,
        strategy: Default::default(),
        places,
        removals: Vec::new(),
        refused_hosts: vec![("tc-01".parse().unwrap(), "does not answer".into())],
        unplaced: 0,
        eta_ms: Some(40_000),
        coverage: None,
        notes: vec!["the host bj-03 must pull the image first".into()],
        refusal: refusal.cloned(),
    };
    console.event(Event::Replied(ticket, Reply::Preview(Box::new(preview))));
}

fn on_web() -> Console {
    let mut console = Console::new((120, 40), world::feed());
    console.key("j");
    assert_eq!(console.app.pool().unwrap().to_string(), "feed/web");
    console.take();
    console
}

fn scale(to: u32, busy: Busy, confirm: Option<&str>) -> Request {
    Request::Command(Command::SetReplicas {
        pool: world::pool_id("feed/web"),
        change: Change::To(to),
        expect: Some(5),
        busy,
        confirm: confirm.map(str::to_owned),
        strategy: None,
    })
}

fn sent(console: &mut Console) -> Vec<Request> {
    console.commands().into_iter().map(|(_, r)| r).collect()
}

fn refuse(console: &mut Console, ticket: Ticket, why: RefusalKind) {
    let refusal = Refusal::new(why, "a reason").hint("a hint");
    console.event(Event::Replied(ticket, Reply::Refused(refusal)));
}

#[test]
fn ten_presses_are_one_change_sent_after_a_pause() {
    let mut console = on_web();
    console.keys("+ + + + + + + + + +");
    let previews =
        console.effects.iter().filter(|e| matches!(e, Effect::Ask(_, Request::Query(Query::Preview { .. }))));
    assert_eq!(previews.count(), 1, "one preview is asked for at a time");
    console.pass(2_000);
    assert_eq!(sent(&mut console.clone_effects()), [], "nothing is sent before the preview has come");
    answer_preview(&mut console, None);
    console.key("+");
    answer_preview(&mut console, None);
    console.pass(700);
    assert_eq!(sent(&mut console), []);
    console.pass(200);
    assert_eq!(sent(&mut console), [scale(51, Busy::Refuse, None)]);
    console.pass(5_000);
    assert_eq!(sent(&mut console), []);
}

#[test]
fn an_old_view_is_acted_on_only_when_a_person_says_so() {
    let mut console = on_web();
    let mut old = world::feed();
    world::with_pool(&mut old, "feed/web", |view| view.counts.lost = 3);
    console.event(Event::World(std::sync::Arc::new(old)));
    console.key("+");
    answer_preview(&mut console, None);
    console.pass(5_000);
    assert_eq!(sent(&mut console), [], "a pause sends nothing");
    assert!(
        console.screen().contains("3 containers of it on hosts that do not answer"),
        "{}",
        console.screen()
    );
    console.key("Enter");
    assert_eq!(sent(&mut console).len(), 1);
}

#[test]
fn enter_sends_at_once_and_esc_drops() {
    let mut console = on_web();
    console.keys("+ Enter");
    assert_eq!(sent(&mut console), [scale(41, Busy::Refuse, None)]);
    console.keys("+ Esc");
    console.pass(3_000);
    assert_eq!(sent(&mut console), []);
    assert!(console.screen().contains("nothing was sent"));
    console.keys("+ - Enter");
    assert_eq!(sent(&mut console), []);
}

#[test]
fn a_preview_that_refuses_or_is_late_is_not_sent_by_itself() {
    let mut console = on_web();
    console.key("+");
    answer_preview(&mut console, Some(&Refusal::new(RefusalKind::Limit, "at most 40")));
    console.pass(3_000);
    assert_eq!(sent(&mut console), []);
    assert!(console.screen().contains("at most 40"));
    // An answer about another number is no answer.
    console.key("Esc");
    console.key("+");
    let old = console.clone_effects();
    console.key("+");
    let mut late = Console { effects: old.effects, ..console };
    answer_once(&mut late, None);
    late.pass(3_000);
    assert_eq!(sent(&mut late), []);
}

#[test]
fn leaving_the_pool_or_a_change_by_somebody_drops_what_is_staged() {
    let mut console = on_web();
    console.keys("+ j");
    assert!(console.app.staged.is_none() && console.screen().contains("40→41 was not sent"));
    console.keys("k +");
    let mut world = world::feed();
    world::with_pool(&mut world, "feed/web", |v| {
        v.pool.version += 1;
        v.pool.want = 42;
    });
    console.event(Event::World(Arc::new(world)));
    assert!(console.screen().contains("changed feed/web meanwhile (now 42)"));
    assert_eq!(sent(&mut console), []);
}

#[test]
fn set_to_understands_numbers_and_zero_asks_for_the_name() {
    let mut console = on_web();
    for (typed, to) in [("50", 50), ("+5", 45), ("-3", 37), ("x2", 80)] {
        console.key("s");
        console.text(typed);
        console.keys("Enter Enter");
        assert_eq!(sent(&mut console), [scale(to, Busy::Refuse, None)]);
    }
    console.key("s");
    console.text("0");
    console.keys("Enter Enter");
    assert_eq!(sent(&mut console), []);
    console.text("feed/wob");
    console.pass(400);
    console.key("Enter");
    assert!(console.screen().contains("that is not feed/web"));
    console.key("Ctrl-U");
    console.text("feed/web");
    console.key("Enter");
    assert_eq!(sent(&mut console), [scale(0, Busy::Refuse, Some("feed/web"))]);
}

#[test]
fn a_busy_pool_offers_choices_with_cancel_focused() {
    for (keys, wanted) in
        [("Enter", None), ("Tab Enter", Some(Busy::Queue)), ("Tab Tab Enter", Some(Busy::Replace))]
    {
        let mut console = on_web();
        console.keys("+ Enter");
        let ticket = console.commands()[0].0;
        refuse(&mut console, ticket, RefusalKind::Busy { op: OpId(9), by: "bob".into() });
        console.keys("Tab Tab Enter");
        assert_eq!(sent(&mut console), [], "a confirmation ignores what is younger than 300 ms");
        console.keys("Tab");
        console.pass(400);
        console.keys(keys);
        let expected: Vec<Request> = wanted.into_iter().map(|b| scale(41, b, None)).collect();
        assert_eq!(sent(&mut console), expected);
    }
}

#[test]
fn undo_is_staged_and_sent_as_undo() {
    let mut console = Console::new((120, 40), world::feed());
    console.keys("u");
    assert!(console.screen().contains("undo feed/cache 12→8"));
    console.key("Enter");
    assert_eq!(
        sent(&mut console),
        [Request::Command(Command::Undo { pool: world::pool_id("feed/cache"), op: Some(OpId(40)) })]
    );
    console.keys("j u");
    assert!(console.screen().contains("nothing to undo"));
}

#[test]
fn answers_and_refusals_stand_at_the_foot_until_the_next_key() {
    let mut console = on_web();
    console.keys("+ Enter");
    let ticket = console.commands()[0].0;
    refuse(&mut console, ticket, RefusalKind::Limit);
    assert!(console.screen().contains("not done: a reason · a hint"));
    console.key("j");
    assert!(!console.screen().contains("a reason"));
    console.keys("k + Enter");
    let ticket = console.commands()[0].0;
    let accepted = Accepted { op: Some(OpId(12)), text: "feed/web goes to 41".into() };
    console.event(Event::Replied(ticket, Reply::Accepted(accepted)));
    assert!(console.screen().contains("feed/web goes to 41 (op-12)"));
}

#[test]
fn read_only_is_said_and_nothing_is_sent() {
    let settings = Settings { read_only: true, user: "alice".into(), ..Settings::default() };
    let mut console = Console::with((120, 40), world::feed(), settings);
    console.keys("+ - s u");
    assert!(console.screen().contains("this console is read-only"));
    console.key(":");
    console.text("scale");
    assert!(console.screen().contains("not now: this console is read-only"));
    console.key("Enter");
    assert_eq!(sent(&mut console), []);
    assert!(matches!(console.app.mode, Mode::Normal) && console.app.staged.is_none());
}

#[test]
fn the_cursor_stays_on_its_pool() {
    let mut console = on_web();
    let mut world = world::feed();
    world::pool(&mut world, "aaa/first", 1, 1, SlotStatus::Running);
    console.event(Event::World(Arc::new(world)));
    assert_eq!(console.app.pool().unwrap().to_string(), "feed/web");
    console.key("/");
    console.text("api");
    assert_eq!(console.app.pool().unwrap().to_string(), "pay/api");
    console.keys("Enter Esc");
    assert!(console.app.pools.filter.is_empty());
}

#[test]
fn pastes_reach_text_fields_only() {
    let mut console = on_web();
    console.event(Event::Paste("+++\nq\r".into()));
    assert!(console.app.staged.is_none() && console.screen().contains("pasted text was ignored"));
    console.key("s");
    console.event(Event::Paste("55\r".into()));
    assert_eq!(sent(&mut console), []);
    console.keys("Enter Enter");
    assert_eq!(sent(&mut console), [scale(55, Busy::Refuse, None)]);
}

#[test]
fn the_log_opens_only_when_the_cursor_rests() {
    let mut console = Console::new((120, 40), world::feed());
    let opened = |c: &mut Console| c.take().iter().filter(|e| matches!(e, Effect::OpenTail(..))).count();
    console.pass(200);
    console.key("j");
    console.pass(200);
    assert_eq!(opened(&mut console), 0);
    console.pass(200);
    assert_eq!(opened(&mut console), 1);
    console.key("5");
    assert!(console.take().iter().any(|e| matches!(e, Effect::CloseTail(_))));
    console.pass(1_000);
    assert_eq!(opened(&mut console), 0);
    console.key("q");
    console.pass(400);
    assert_eq!(opened(&mut console), 1);
    console.key("l");
    assert_eq!(opened(&mut console), 1);
}

#[test]
fn logs_pause_by_scrolling_and_come_back_to_live() {
    let mut console = on_web();
    console.key("l");
    console.logs();
    assert_eq!(console.app.top(), PaneId::FullLogs);
    console.keys("k k");
    assert!(console.screen().contains("paused"));
    console.keys("G");
    assert!(console.screen().contains("live"));
    console.key("&");
    console.text("503");
    console.key("Enter");
    assert!(!console.screen().contains("ERROR") && console.screen().contains("1,204 lines skipped"));
    console.keys("Esc /");
    console.text("warn");
    console.keys("Enter n N");
    assert!(console.screen().contains("WARN upstream"));
    console.take();
    console.keys("3 Ctrl-S y");
    let effects = console.take();
    assert!(effects.iter().any(|e| matches!(e, Effect::OpenTail(_, r) if r.since.is_some())));
    assert!(effects.iter().any(|e| matches!(e, Effect::SaveFile { .. })));
    assert!(effects.contains(&Effect::Copy("longshore logs feed/web --follow".into())));
}

#[test]
fn quitting_asks_and_ctrl_c_twice_quits() {
    let mut world = world::feed();
    world.engine.attached = false;
    let mut console = Console::new((120, 40), world);
    console.key("q");
    assert!(console.screen().contains("Quit the console"));
    console.keys("Tab Enter");
    assert!(!console.effects.contains(&Effect::Quit));
    console.pass(400);
    console.key("Enter");
    assert!(console.effects.contains(&Effect::Quit));
    let mut console = on_web();
    console.keys("+ Ctrl-C");
    assert!(console.app.staged.is_none() && !console.effects.contains(&Effect::Quit));
    console.key("Ctrl-C");
    assert!(console.effects.contains(&Effect::Quit));
}

#[test]
fn q_asks_only_where_something_ends_with_the_console() {
    for (attached, pools, asks) in [(false, true, true), (true, true, false), (false, false, false)] {
        let mut world = world::feed();
        world.engine.attached = attached;
        if !pools {
            world.pools.clear();
            world.operations = Vec::new().into();
            world.replication = Default::default();
            world.access = Default::default();
        }
        let mut console = Console::new((120, 40), world);
        console.key("q");
        assert_eq!(console.screen().contains("Quit the console"), asks, "{attached} {pools}");
        assert_eq!(console.effects.contains(&Effect::Quit), !asks, "{attached} {pools}");
    }
}

#[test]
fn looking_is_told_to_the_engine() {
    let mut console = on_web();
    console.pass(10_500);
    let looks = |e: &&Effect| matches!(e, Effect::Ask(_, Request::Query(Query::Look { .. })));
    assert_eq!(console.effects.iter().filter(looks).count(), 3);
}

#[test]
fn a_shell_is_asked_for_and_inspect_shows_json() {
    let mut console = on_web();
    console.keys("2 G x");
    console.pass(400);
    console.keys("Tab Enter");
    assert!(console.take().iter().any(|e| matches!(e, Effect::Exec { .. })));
    console.key("i");
    let (ticket, _) = console.commands().remove(0);
    console.event(Event::Replied(ticket, Reply::Inspect(r#"{"Id":"abc","Evil":"\u001b[2J"}"#.into())));
    assert!(console.screen().contains("\"Id\": \"abc\""));
}
