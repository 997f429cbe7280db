//! One engine at a time, by real processes: attached consoles take over when its holder dies, and never beside it.

use std::time::Duration;

use crate::site::{Process, Site, until, within};

/// What is promised for a takeover.
const TAKEOVER: Duration = Duration::from_secs(5);

/// The processes that have started an engine, in order, with their epochs, as the journal has it.
fn starts(site: &Site) -> Vec<(u32, u32)> {
    let number = |text: &str, before: &str| -> u32 {
        let rest = text.split(before).nth(1).unwrap();
        rest.split(|c: char| !c.is_ascii_digit()).next().unwrap().parse().unwrap()
    };
    let journal = site.journal();
    let lines = journal.iter().filter(|l| l.contains("engine started by "));
    lines.map(|l| (number(l, "(pid "), number(l, "epoch "))).collect()
}

fn two(site: &Site) -> (Process, Process) {
    let first = site.engine();
    until("the first has written that it began", || (starts(site).len() == 1).then_some(()));
    let second = site.spawn(&["engine"]);
    // The second is attached when it still runs and has not begun an engine of its own.
    crate::site::pause(700);
    assert_eq!(starts(site), [(first.pid(), 1)]);
    (first, second)
}

#[test]
fn the_attached_one_takes_over_when_the_holder_is_killed() {
    let site = Site::without_engine();
    let (mut first, mut second) = two(&site);
    assert!(second.ended().is_none(), "it waits: {}", second.said());
    first.kill();
    within(TAKEOVER, "the second has taken over", || (starts(&site).len() == 2).then_some(()));
    assert_eq!(starts(&site).last(), Some(&(second.pid(), 2)), "with the next epoch");
    // It is an engine like any other: commands go through it, and say so by not being one themselves.
    let up = site.run(&["up", &site.sleepers("taken", "web", 1, "app:1")]).expect(0, &["accepted op-1"]);
    assert!(!up.err.contains("no engine is running"), "{up:?}");
    second.signal("TERM");
    assert_eq!(second.wait(), 0);
    let free = site.run(&["scale", "taken/web", "2", "--wait=1"]);
    assert!(free.err.contains("no engine is running"), "{free:?}");
}

#[test]
fn of_many_that_wait_exactly_one_takes_over() {
    let site = Site::without_engine();
    let mut all = vec![site.engine()];
    all.extend((0..5).map(|_| site.spawn(&["engine"])));
    crate::site::pause(700);
    while all.len() > 1 {
        let before = starts(&site);
        let (holder, epoch) = *before.last().unwrap();
        let at = all.iter().position(|p| p.pid() == holder).unwrap();
        all.remove(at).kill();
        within(TAKEOVER, "one has taken over", || (starts(&site).len() > before.len()).then_some(()));
        crate::site::pause(300);
        let after = starts(&site);
        assert_eq!(after.len(), before.len() + 1, "only one: {after:?}");
        assert_eq!(after.last().unwrap().1, epoch + 1);
    }
}

#[test]
fn a_paused_holder_keeps_the_lock_and_is_named() {
    let site = Site::without_engine();
    let first = site.engine();
    site.run(&["up", &site.sleepers("paused", "web", 1, "app:1")]).expect(0, &["accepted"]);
    first.signal("STOP");
    let refused = site.run(&["scale", "paused/web", "2"]);
    assert_eq!(refused.status, 1, "{refused:?}");
    assert!(refused.err.contains(&format!("pid {}", first.pid())), "it says who holds it: {refused:?}");
    assert!(refused.err.contains("hint: "), "{refused:?}");
    first.signal("CONT");
    site.run(&["scale", "paused/web", "3", "--busy", "replace"]).expect(0, &["accepted"]);
    assert_eq!(starts(&site), [(first.pid(), 1)], "nobody else was the engine meanwhile");
    assert_eq!(site.pool("paused", "web").unwrap()["want"], 3, "what was refused was not done");
}

#[test]
fn the_journal_names_the_user_behind_the_socket() {
    let site = Site::without_engine();
    let _engine = site.engine();
    site.run(&["up", &site.sleepers("who", "web", 1, "app:1")]).expect(0, &["accepted op-1"]);
    let me = std::process::Command::new("id").arg("-un").output().unwrap().stdout;
    let me = String::from_utf8(me).unwrap().trim().to_owned();
    let all = site.json(&["journal"]);
    let line = all.as_array().unwrap().iter().find(|l| l["what"] == "accepted").unwrap();
    assert_eq!(line["by"], me.as_str(), "{line}");
}
