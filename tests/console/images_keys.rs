//! Registries and replication: keys in, effects out.

use std::sync::Arc;

use longshore::base::fault::{Fault, Kind};
use longshore::model::command::Command;
use longshore::model::query::{Query, Reply, Request};
use longshore::model::replication::known::Choice;
use longshore::model::replication::{RunId, RunState};
use longshore::tui::app::Settings;
use longshore::tui::effect::Effect;
use longshore::tui::event::{Event, Ticket};
use longshore::tui::panes::PaneId;

use crate::harness::Console;
use crate::images::{change_replication, line, never, sites};
use crate::world;

fn asked(console: &mut Console) -> Vec<(Ticket, Query)> {
    let queries = console.commands().into_iter();
    queries.filter_map(|(t, r)| if let Request::Query(q) = r { Some((t, q)) } else { None }).collect()
}

fn sent(console: &mut Console) -> Vec<Command> {
    let commands = console.commands().into_iter();
    commands.filter_map(|(_, r)| if let Request::Command(c) = r { Some(c) } else { None }).collect()
}

/// The run of the rule `all`, with its tags.
fn on_run() -> Console {
    let mut console = Console::new((120, 40), sites());
    console.keys("8 /");
    console.text("all: hq");
    console.keys("Enter");
    console.take();
    console.key("Enter");
    assert_eq!(console.answered(0, false), 1);
    assert_eq!(console.app.top(), PaneId::Run);
    console
}

#[test]
fn from_registries_to_tags_and_back() {
    let mut console = Console::new((120, 40), sites());
    console.keys("7");
    assert_eq!(console.app.top(), PaneId::Registries);
    console.keys("/");
    console.text("harbor");
    console.keys("Enter Enter");
    let [(ticket, Query::Browse { registry, repository: None, ask })] = &asked(&mut console)[..] else {
        panic!("the repositories are asked for")
    };
    assert_eq!((registry.as_str(), ask.after.as_deref(), ask.filter.as_str()), ("hq", None, ""));
    assert!(console.screen().contains("Asking for them…"));
    let reply = crate::images::answer(
        &Query::Browse { registry: registry.clone(), repository: None, ask: ask.clone() },
        0,
        false,
    );
    console.event(Event::Replied(*ticket, reply.unwrap()));
    assert!(console.screen().contains("Repositories of hq (31)"), "{}", console.screen());
    console.keys("j Enter");
    assert_eq!(console.answered(30, false), 1);
    assert_eq!(console.app.top(), PaneId::Tags);
    assert!(console.screen().contains("Tags of hq · line-01/app-01 (30)"), "{}", console.screen());
    console.keys("j j Enter");
    let screen = console.screen();
    assert!(screen.contains("used-by: feed/web") && screen.contains("label: team=feed"), "{screen}");
    console.keys("Esc y");
    assert!(console.take().contains(&Effect::Copy("longshore images ls hq line-01/app-01".into())));
    console.keys("Esc Esc Esc");
    assert_eq!(console.app.top(), PaneId::Registries);
}

#[test]
fn a_hundred_thousand_tags_come_part_by_part_and_are_filtered_by_the_engine() {
    const ALL: usize = 100_000;
    let mut console = Console::new((120, 40), sites());
    console.keys("7 g Enter");
    console.answered(ALL, false);
    console.keys("Enter");
    console.answered(ALL, false);
    assert!(console.screen().contains("(500 and more)"), "{}", console.screen());
    console.keys("j j j");
    assert_eq!(console.answered(ALL, false), 0, "nothing is asked for while the end is far");
    let mut parts = 1;
    loop {
        console.key("G");
        console.key("G");
        let n = console.answered(ALL, false);
        assert!(n <= 1, "one part at a time, however many keys");
        if n == 0 {
            break;
        }
        parts += n;
    }
    assert_eq!(parts, ALL / 500);
    assert!(console.screen().contains("(100000)") && console.screen().contains("v2.99999"));
    console.key("/");
    console.text("v2.77");
    assert_eq!(asked(&mut console), [], "not while somebody types");
    console.pass(300);
    let [(_, Query::Browse { ask, .. })] = &asked(&mut console)[..] else { panic!("asked once") };
    assert_eq!((ask.filter.as_str(), ask.after.as_deref()), ("v2.77", None));
}

#[test]
fn an_answer_that_is_late_or_fails_changes_nothing_else() {
    let mut console = Console::new((120, 40), sites());
    console.keys("7 g Enter");
    let (late, _) = asked(&mut console).remove(0);
    console.key("r");
    let (ticket, _) = asked(&mut console).remove(0);
    let fault = Fault::new(Kind::Unreachable, "tc does not answer");
    console.event(Event::Replied(ticket, Reply::Failed(fault)));
    let screen = console.screen();
    assert!(screen.contains("They cannot be had: tc does not answer"), "{screen}");
    let page = longshore::model::registry::Page { items: Vec::new(), next: None };
    console.event(Event::Replied(late, Reply::Repositories(page)));
    assert!(console.screen().contains("tc does not answer"), "a failure never becomes emptiness");
}

#[test]
fn pane_four_is_replication_when_there_are_registries_and_operations_are_a_key_away() {
    let mut console = Console::new((120, 40), sites());
    assert!(console.screen().contains("4 Replication · 1 operation (o)"), "{}", console.screen());
    console.keys("4");
    assert_eq!(console.app.top(), PaneId::HomeReplication);
    console.keys("o");
    assert_eq!(console.app.top(), PaneId::Operations);
    assert!(console.screen().contains("4 Operations (o) · 1 unreachable"), "{}", console.screen());
    console.keys("1 4");
    assert_eq!(console.app.top(), PaneId::Operations, "it stays as it was chosen");
    console.keys("o Enter");
    assert_eq!(console.app.top(), PaneId::Replication);
    let mut console = Console::new((120, 40), world::feed());
    console.keys("4");
    assert_eq!(console.app.top(), PaneId::Operations);
    console.keys("o");
    assert!(console.screen().contains("there are no registries yet"));
}

#[test]
fn a_run_is_paused_resumed_stopped_and_tried_again() {
    let mut console = on_run();
    console.key("p");
    assert_eq!(sent(&mut console), [Command::PauseRun(RunId(9))]);
    let mut paused = sites();
    change_replication(&mut paused, |r| r.rules[0].run.as_mut().unwrap().state = RunState::Paused);
    console.event(Event::World(Arc::new(paused)));
    console.key("p");
    assert_eq!(sent(&mut console), [Command::ResumeRun(RunId(9))]);
    console.key("r");
    assert!(console.screen().contains("nothing of run-9 has failed"));
    console.key("X");
    assert!(console.screen().contains("Stop run-9 in PROD") && console.screen().contains("Let it run"));
    console.key("Enter");
    assert_eq!(sent(&mut console), [], "a question is deaf at first, and leaving it has the focus");
    console.pass(400);
    console.keys("Tab Enter");
    assert_eq!(sent(&mut console), [Command::StopRun(RunId(9))]);
    console.keys("Esc / Ctrl-U");
    console.text("both");
    console.keys("Enter r");
    assert!(matches!(&sent(&mut console)[..], [Command::Replicate { rule }] if rule.as_str() == "both"));
    console.keys("p");
    assert!(console.screen().contains("run-8 is over"), "{}", console.screen());
    console.keys("Enter r");
    assert_eq!(sent(&mut console), [Command::RetryRun(RunId(8))]);
}

#[test]
fn a_tag_is_brought_first() {
    let mut console = on_run();
    console.keys("G P");
    let [Command::Prioritise { image, line: Some(on) }] = &sent(&mut console)[..] else { panic!("one") };
    assert_eq!((image.as_str(), on), ("feed/web:v2.39", &line("hq", "bj")));
    console.keys("g j j P");
    assert!(console.screen().contains("no tag is under the cursor"), "{}", console.screen());
}

#[test]
fn a_conflict_is_resolved_knowing_both_sides() {
    let mut console = on_run();
    console.keys("G c");
    assert!(console.screen().contains("only a tag that was moved on both sides"));
    console.keys("g c");
    assert_eq!(console.answered(0, false), 2);
    let screen = console.screen();
    assert!(screen.contains("feed/web:v2.0 was changed on both sides"), "{screen}");
    assert!(screen.contains("made 10m ago") && screen.contains("Keep hq's "), "{screen}");
    console.pass(400);
    console.keys("Tab Tab Enter");
    let [Command::ResolveConflict { answer, tag, line: on, .. }] = &sent(&mut console)[..] else {
        panic!("one command")
    };
    assert_eq!((answer.choice, tag.as_str(), on), (Choice::TargetWins, "v2.0", &line("hq", "bj")));
    assert!(answer.source.is_some() && answer.target.is_some(), "an answer is for what was seen: {answer:?}");
    console.keys("g c");
    assert_eq!(console.answered(0, false), 2);
    assert!(console.screen().contains("stays under v2.0-bj"), "{}", console.screen());
    console.pass(400);
    console.keys("Tab Tab Tab Enter");
    let [Command::ResolveConflict { answer, .. }] = &sent(&mut console)[..] else { panic!("one command") };
    assert_eq!(answer.choice, Choice::KeepBoth);
    // A side that cannot be asked leaves nothing to choose.
    console.keys("g c");
    let both = asked(&mut console);
    let fault = || Fault::new(Kind::Unreachable, "no route to host");
    both.into_iter().for_each(|(t, _)| console.event(Event::Replied(t, Reply::Failed(fault()))));
    assert!(console.screen().contains("hq could not be asked: no route to host"), "{}", console.screen());
    console.keys("Tab Enter");
    assert_eq!(sent(&mut console), []);
}

#[test]
fn answers_of_an_earlier_question_do_not_mix_with_those_of_the_last() {
    let mut console = on_run();
    console.keys("g c");
    let first = asked(&mut console);
    console.key("c");
    let second = asked(&mut console);
    let absent = || Reply::Tags(longshore::model::registry::Page { items: Vec::new(), next: None });
    let asks = |console: &Console| console.screen().contains("was changed on both sides");
    // Both sides of the first question: what they say is of then.
    first.iter().for_each(|(ticket, _)| console.event(Event::Replied(*ticket, absent())));
    assert!(!asks(&console), "{}", console.screen());
    let told = |query: &Query| crate::images::answer(query, 0, false).unwrap();
    console.event(Event::Replied(second[0].0, told(&second[0].1)));
    assert!(!asks(&console), "one side is no pair");
    console.event(Event::Replied(second[1].0, told(&second[1].1)));
    let screen = console.screen();
    assert!(asks(&console) && !screen.contains("is not there any more"), "{screen}");
}

#[test]
fn deletions_ask_for_the_name_of_the_rule() {
    let mut world = sites();
    let on_all = |console: &mut Console| {
        console.keys("8 /");
        console.text("all: hq");
        console.keys("Enter D");
    };
    let mut console = Console::new((120, 40), world.clone());
    on_all(&mut console);
    assert!(console.screen().contains("no deletion of all waits for a yes"));
    change_replication(&mut world, |r| r.lines[0].reviews = 4);
    let mut console = Console::new((120, 40), world);
    on_all(&mut console);
    assert!(console.screen().contains("4 tags gone from hq"), "{}", console.screen());
    console.pass(400);
    console.text("every");
    console.key("Enter");
    assert!(console.screen().contains("that is not all") && sent(&mut console).is_empty());
    console.keys("Ctrl-U");
    console.text("all");
    console.key("Enter");
    assert_eq!(sent(&mut console), [Command::ConfirmDeletes { rule: "all".parse().unwrap(), run: RunId(9) }]);
}

#[test]
fn a_read_only_console_changes_no_run() {
    let settings = Settings { read_only: true, ..Settings::default() };
    let mut console = Console::with((120, 40), sites(), settings);
    console.keys("8 G");
    for key in ["r", "p", "X", "D"] {
        console.key(key);
        assert!(console.screen().contains("read-only (--read-only)"), "{key}");
    }
    assert_eq!(sent(&mut console), []);
}

#[test]
fn a_run_that_goes_on_is_asked_for_again() {
    let mut console = on_run();
    console.pass(1_000);
    assert_eq!(asked(&mut console), []);
    console.pass(1_500);
    assert!(matches!(asked(&mut console)[..], [(_, Query::RunTags { run: RunId(9), .. })]));
}

#[test]
fn registries_that_never_answered_are_not_empty() {
    let mut console = Console::new((120, 40), never());
    console.keys("7");
    let screen = console.screen();
    assert!(
        screen.contains("never seen") && screen.contains("hq-0.example:5000 has never answered"),
        "{screen}"
    );
    assert!(!screen.contains(" 0 "), "what is not counted is a dash:\n{screen}");
}
