//! The command line, driven without a process or an engine: what it prints, in which order, and its exit status.

#[cfg(test)]
mod access;
#[cfg(test)]
mod data;
#[cfg(test)]
mod fake;
#[cfg(test)]
mod fleet;
#[cfg(test)]
mod images;
#[cfg(test)]
mod prewarm;

use std::io;
use std::sync::Arc;

use longshore::base::ids::{ContainerId, HostId};
use longshore::cli::Purpose;
use longshore::model::command::{Accepted, Change, Command, Refusal, RefusalKind};
use longshore::model::exec::{ExecInput, ExecOutput};
use longshore::model::host::Seen;
use longshore::model::logs::LogTarget;
use longshore::model::operation::OpStatus;
use longshore::model::query::{Reply, Request};
use longshore::model::world::World;

use crate::data::*;
use crate::fake::*;

#[tokio::test(start_paused = true)]
async fn scale_takes_every_form_of_change() {
    for (form, change) in
        [("5", Change::To(5)), ("+5", Change::By(5)), ("-3", Change::By(-3)), ("x1.5", Change::Times(1.5))]
    {
        for line in
            [format!("scale feed/web {form} --busy queue"), format!("scale --busy=queue feed/web {form}")]
        {
            let fake = Fake::new(|_| accept());
            let ran = run(&fake, &line).await;
            assert_eq!((ran.status, ran.err.as_str()), (0, ""), "{line}");
            assert_eq!(ran.out, "accepted op-12: feed/web 3 -> 5\n");
            let asked = fake.asked();
            let [Request::Command(Command::SetReplicas { change: sent, .. })] = &asked[..] else {
                panic!("{asked:?}")
            };
            assert_eq!(*sent, change, "{line}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn nonsense_is_refused_before_anything_is_opened() {
    for line in [
        "scale feed/web five",
        "scale feed 5",
        "scale feed/web",
        "scale feed/web 5 --wait=soon",
        "scale feed/web -x",
        "frobnicate",
        "logs --tail few feed/web",
        "logs --since yesterday feed/web",
        "cancel op-x",
        "exec feed/web.1",
        "pools Feed/web",
        "journal --op x",
        "hosts add BAD tcp://x",
        "hosts add ok tcp://x --label nonsense",
        "hosts add ok tcp://x --disk much",
        "hosts cordon",
        "hosts cordon bj-03 --site bj",
        "hosts label bj-03",
        "hosts label disk=ssd",
        "hosts label bj-03 --in-service yesterday",
        "hosts label bj-03 --of-site bj a=b",
        "hosts import --format csv",
        "hosts drain bj-03 --wait=soon",
        "hosts --site bj add x tcp://x",
        "sites set BJ",
        "sites set bj --max-pulls 0",
        "sites set bj --registry https://x",
        "scale feed/web 5 --strategy tight",
        "why feed/web --strategy tight",
        "why feed",
        "rebalance --limit 0",
        "rebalance --wait",
        "set feed/web",
        "set feed/web memory",
        "set feed/web colour=red",
        "set feed/web memory=lots",
        "set feed/web healthcheck=CMD",
    ] {
        let fake = Fake::mute();
        let ran = run(&fake, line).await;
        assert_eq!((ran.status, ran.out.as_str()), (2, ""), "{line}: {}", ran.err);
        assert!(ran.err.starts_with("longshore: ") && ran.err.contains("\nhint: "), "{line}: {}", ran.err);
        assert!(fake.opened.lock().unwrap().is_empty(), "{line}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_refusal_has_its_reason_and_its_hint() {
    let fake = Fake::new(|_| {
        Reply::Refused(Refusal::new(RefusalKind::Limit, format!("at most 4 {EVIL}")).hint("raise limits.max"))
    });
    let ran = run(&fake, "scale feed/web 5").await;
    clean(&ran);
    assert_eq!((ran.status, ran.out.as_str()), (1, ""));
    assert!(ran.err.starts_with("longshore: at most 4 a\\e[2J"), "{}", ran.err);
    assert!(ran.err.ends_with("\nhint: raise limits.max\n"), "{}", ran.err);
}

#[tokio::test(start_paused = true)]
async fn the_acknowledgement_is_printed_before_the_waiting_ends() {
    let fake = Fake::new(|_| accept());
    let seen = Run::new();
    let paper = seen.paper.clone();
    let (ran, ()) = tokio::join!(seen.go(&fake, "scale feed/web 5 --wait"), async {
        while !paper.text(false).contains("accepted") {
            tokio::task::yield_now().await;
        }
        assert_eq!(paper.text(false), "accepted op-12: feed/web 3 -> 5\n");
        fake.world
            .send_modify(|w| Arc::make_mut(w).operations = Arc::new(vec![operation(OpStatus::Running)]));
        tokio::time::sleep(std::time::Duration::from_secs(3)).await;
        assert!(paper.text(true).contains("op-12 scale: placed 4/5, created 3"), "{}", paper.text(true));
        fake.world.send_modify(|w| Arc::make_mut(w).operations = Arc::new(vec![operation(OpStatus::Done)]));
    });
    clean(&ran);
    assert_eq!(ran.status, 0);
    assert_eq!(ran.out, "accepted op-12: feed/web 3 -> 5\nop-12 done: feed/web 3 -> 5 in 12.3s\n");
    assert_eq!(ran.err.lines().count(), 1, "unchanged progress is said once: {}", ran.err);
}

#[tokio::test(start_paused = true)]
async fn without_an_engine_the_command_waits_and_says_why() {
    let mut fake = Fake::new(|request| match request {
        Request::Command(_) => accept(),
        // The world shows it no more: the list of operations does.
        Request::Query(_) => Reply::Operations(vec![operation(OpStatus::Failed { why: "no image".into() })]),
    });
    fake.own = true;
    let ran = run(&fake, "scale feed/web 5").await;
    assert_eq!(ran.status, 1);
    assert!(ran.err.starts_with("no engine is running: this command does the work itself"), "{}", ran.err);
    assert!(ran.err.contains("longshore: op-12 failed: feed/web 3 -> 5: no image\nhint: "), "{}", ran.err);
}

#[tokio::test(start_paused = true)]
async fn ctrl_c_leaves_the_acknowledged_to_the_next_engine() {
    let mut fake = Fake::new(|_| accept()).with(|w| {
        w.operations = Arc::new(vec![operation(OpStatus::Running)]);
    });
    fake.own = true;
    let seen = Run::new();
    let (paper, interrupt) = (seen.paper.clone(), Arc::clone(&seen.io.interrupt));
    let (ran, ()) = tokio::join!(seen.go(&fake, "scale feed/web 5"), async {
        while !paper.text(false).contains("accepted") {
            tokio::task::yield_now().await;
        }
        interrupt.notify_one();
    });
    assert_eq!(ran.status, 1);
    assert!(ran.err.contains("op-12 is acknowledged but not over"), "{}", ran.err);
    assert!(ran.err.contains("start `longshore engine`"), "{}", ran.err);
}

#[tokio::test(start_paused = true)]
async fn patience_ends_with_what_is_missing_and_why() {
    let fake = Fake::new(|_| accept()).with(|w| {
        w.operations = Arc::new(vec![operation(OpStatus::Running)]);
    });
    let ran = run(&fake, "scale feed/web 5 --wait=30").await;
    clean(&ran);
    assert_eq!(ran.status, 1);
    for part in [
        "op-12 is not over after 30.0s: 2 of 5 containers healthy; 1 without a host; 1 failed: exit 1",
        "1 waiting: no host has 2 free cpus",
        "hint: the engine goes on with it",
    ] {
        assert!(ran.err.contains(part), "{part:?} not in {}", ran.err);
    }
}

#[tokio::test(start_paused = true)]
async fn on_a_terminal_progress_is_one_line_that_is_written_over() {
    let fake = Fake::new(|_| accept());
    let mut seen = Run::new();
    (seen.io.err_is_tty, seen.io.width) = (true, 40);
    let (ran, ()) = tokio::join!(seen.go(&fake, "scale feed/web 5 --wait"), async {
        for status in [OpStatus::Running, OpStatus::Running, OpStatus::Done] {
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            fake.world.send_modify(|w| Arc::make_mut(w).operations = Arc::new(vec![operation(status)]));
        }
    });
    assert_eq!(ran.status, 0);
    let strip = "\r\u{1b}[Kop-12 scale: placed 4/5, created 3, ru…";
    assert_eq!(ran.err, format!("{strip}{strip}\r\u{1b}[K"));
}

#[tokio::test(start_paused = true)]
async fn a_read_only_session_changes_nothing() {
    for line in [
        "scale feed/web 5",
        "down feed",
        "undo feed/web",
        "cancel 3",
        "hosts remove bj-03",
        "hosts cordon bj-03",
        "hosts drain --site bj",
        "hosts import",
        "sites set bj",
        "rebalance --yes",
        "set feed/web pids=5",
    ] {
        let fake = Fake::mute();
        let ran = run(&fake, &format!("--read-only {line}")).await;
        assert_eq!(ran.status, 1, "{line}");
        assert!(ran.err.contains("read-only"), "{}", ran.err);
    }
}

#[tokio::test(start_paused = true)]
async fn a_plan_is_told_in_words_and_refusals_give_one() {
    let refusal = Refusal::new(RefusalKind::Limit, "at most 4").hint("raise limits.max");
    let fake = Fake::new(|_| Reply::Preview(Box::new(preview(None))));
    let ran = run(&fake, "scale feed/web +2 --plan").await;
    clean(&ran);
    assert_eq!(ran.status, 0);
    insta::assert_snapshot!("plan", ran.out);
    assert_eq!(fake.opened.lock().unwrap()[0].1, Purpose::Look);
    let fake = Fake::new(move |_| Reply::Preview(Box::new(preview(Some(refusal.clone())))));
    let ran = run(&fake, "scale feed/web -3 --plan").await;
    assert_eq!(ran.status, 1);
    assert!(ran.err.ends_with("longshore: this would be refused: at most 4\nhint: raise limits.max\n"));
    let ran = run(&fake, "scale feed/web +2 --plan --json").await;
    clean(&ran);
    assert_eq!(ran.status, 1);
    insta::assert_snapshot!("plan_json", ran.out);
}

#[tokio::test(start_paused = true)]
async fn listings_are_sanitised_and_as_documented() {
    for (name, line) in [
        ("pools", "pools"),
        ("ps", "ps"),
        ("ps_all", "ps --all"),
        ("hosts", "hosts"),
        ("sites", "sites"),
        ("advice", "advice"),
        ("journal", "journal"),
        ("ops", "ops"),
        ("doctor", "doctor"),
    ] {
        let fake = fake_again();
        let text = run(&fake, line).await;
        clean(&text);
        let json = run(&fake_again(), &format!("{line} --json")).await;
        clean(&json);
        let value: serde_json::Value = serde_json::from_str(&json.out).unwrap();
        let docs = include_str!("../../docs/json.md");
        for field in value[0].as_object().unwrap().keys() {
            assert!(docs.contains(&format!("`{field}`")), "docs/json.md says nothing of {field} in {line}");
        }
        insta::assert_snapshot!(name, format!("{}\n--- stderr\n{}", text.out, text.err));
        insta::assert_snapshot!(format!("{name}_json"), json.out);
        let expected = u8::from(name == "doctor");
        assert_eq!((text.status, json.status), (expected, expected), "{line}");
    }
}

fn fake_again() -> Fake {
    Fake::new(answers).with(fleet::with_sites)
}

#[tokio::test(start_paused = true)]
async fn json_is_lossless() {
    let ran = run(&Fake::mute(), "pools --json").await;
    let value: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(value[0]["image"], format!("web{EVIL}"));
    let ran = run(&Fake::mute(), "ps --all --json").await;
    let value: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(value[2]["name"], EVIL);
    assert_eq!(value[1]["host_state"], "lost");
}

#[tokio::test(start_paused = true)]
async fn a_listing_fails_only_when_no_host_answers() {
    let fake = Fake::mute().with(|w| {
        w.hosts.remove(&HostId::new("bj-03").unwrap());
    });
    let ran = run(&fake, "ps").await;
    assert_eq!(ran.status, 1);
    assert!(ran.out.contains("3m ago"), "the last view is still shown: {}", ran.out);
    let silent = Fake::mute().with(|w| {
        w.hosts = [host_view("slow-1", Seen::Never { why: None }, Vec::new())]
            .map(|h| (h.config.id.clone(), h))
            .into();
    });
    let ran = run(&silent, "ps --json").await;
    assert_eq!((ran.status, ran.out.as_str()), (1, "[]\n"));
    assert!(ran.err.contains("host slow-1 has not answered yet (no answer within 5 s)"), "{}", ran.err);
}

#[tokio::test(start_paused = true)]
async fn a_listing_waits_for_the_first_world() {
    let fake = Fake::mute().with(|w| *w = World::default());
    let (ran, ()) = tokio::join!(run(&fake, "pools"), async {
        tokio::time::sleep(std::time::Duration::from_secs(2)).await;
        fake.world.send_replace(Arc::new(world()));
    });
    assert_eq!(ran.status, 0);
    assert!(ran.out.contains("feed/web"));
    let fake = Fake::mute().with(|w| *w = World::default());
    let ran = run(&fake, "pools").await;
    assert_eq!(ran.status, 1);
    assert!(ran.err.contains("the engine has said nothing for 5 s\nhint: "), "{}", ran.err);
}

#[tokio::test(start_paused = true)]
async fn inspect_is_byte_for_byte_for_programs_and_safe_for_terminals() {
    let ran = run(&fake_again(), "inspect feed/web.1").await;
    assert_eq!((ran.status, ran.out.as_str()), (0, "{\"Name\":\t\"\u{9b}x\"}"));
    let mut tty = Run::new();
    tty.io.out_is_tty = true;
    let ran = tty.go(&fake_again(), "inspect bj-03:aaaa").await;
    assert_eq!(ran.out, "{\"Name\": \"\\u009bx\"}\n");
    for (line, text) in [
        ("inspect feed/web", "is a pool, not one container"),
        ("inspect feed/web.3", "has no container now: it is waiting"),
        ("inspect feed/web.9", "has no slot 9"),
        ("inspect feed/none", "there is no pool feed/none"),
        ("inspect lost-1:zz", "whether it has a container zz is not known"),
        ("inspect bj-03:zz", "bj-03 has no container zz"),
    ] {
        let ran = run(&Fake::mute(), line).await;
        assert_eq!(ran.status, 1);
        assert!(ran.err.contains(text), "{text}: {}", ran.err);
    }
}

#[tokio::test(start_paused = true)]
async fn one_slow_host_does_not_hold_up_work_on_another() {
    let fake = Fake::new(answers).with(|w| {
        let slow = host_view("slow-1", Seen::Never { why: None }, Vec::new());
        w.hosts.insert(slow.config.id.clone(), slow);
    });
    let start = tokio::time::Instant::now();
    let ran = run(&fake, "inspect feed/web.1").await;
    assert_eq!((ran.status, ran.err.as_str()), (0, ""));
    assert_eq!(start.elapsed().as_millis(), 0);
}

#[tokio::test(start_paused = true)]
async fn logs_are_sanitised_and_targets_are_understood() {
    for (line, target) in [
        ("logs feed/web", LogTarget::Pool(pool_id())),
        ("logs -f feed/web.2", LogTarget::Slot(pool_id(), 2)),
        ("logs --previous feed/web.2", LogTarget::Previous(pool_id(), 2)),
        (
            "logs bj-03:cccc",
            LogTarget::Container(HostId::new("bj-03").unwrap(), ContainerId::new("cccc3333")),
        ),
    ] {
        let mut fake = Fake::mute();
        fake.chunks = log_chunks();
        let ran = run(&fake, line).await;
        clean(&ran);
        assert_eq!(ran.status, 0);
        assert!(ran.out.contains("… 1204 lines skipped …\n"), "{}", ran.out);
        assert_eq!(*fake.tailed.lock().unwrap(), [target]);
    }
    let mut fake = Fake::mute();
    fake.chunks = log_chunks();
    let ran = run(&fake, "logs feed/web --json").await;
    clean(&ran);
    assert!(ran.out.lines().all(|l| serde_json::from_str::<serde_json::Value>(l).is_ok()), "{}", ran.out);
    assert_eq!(run(&Fake::mute(), "logs --previous feed/web").await.status, 2);
}

#[tokio::test(start_paused = true)]
async fn lanes_are_coloured_only_where_colours_are_wanted() {
    for (tty, flag, no_color, coloured) in [
        (true, "auto", "", true),
        (true, "auto", "1", false),
        (true, "never", "", false),
        (false, "auto", "", false),
        (false, "always", "1", true),
    ] {
        let mut fake = Fake::mute();
        fake.chunks = log_chunks();
        let mut go = Run::new();
        go.io.out_is_tty = tty;
        go.io.env.insert("NO_COLOR".into(), no_color.into());
        let ran = go.go(&fake, &format!("logs feed/web --color {flag}")).await;
        assert_eq!(ran.out.contains("\u{1b}[36mweb.1"), coloured, "{tty} {flag} {no_color:?}");
        assert!(!ran.out.contains("\u{1b}[2J"));
    }
}

#[tokio::test(start_paused = true)]
async fn the_status_of_a_program_is_ours() {
    for (status, ours) in [(0, 0), (3, 3), (127, 127), (300, 255), (-1, 0)] {
        let mut fake = Fake::mute();
        fake.exec = vec![ExecOutput::Out(b"hi\n".to_vec()), ExecOutput::Exit(status)];
        let ran = run(&fake, "exec -i feed/web.1 -- sh -c true").await;
        assert_eq!((ran.status, ran.out.as_str()), (ours, "hi\n"));
        assert_eq!(*fake.typed.lock().unwrap(), [ExecInput::Bytes(b"abc".to_vec())]);
    }
    let mut fake = Fake::mute();
    fake.exec = vec![ExecOutput::Lost(EVIL.into())];
    let ran = run(&fake, "exec feed/web.1 -- ls").await;
    clean(&ran);
    assert_eq!(ran.status, 1);
    assert!(ran.err.contains("hint: the program may still run"), "{}", ran.err);
    assert!(fake.typed.lock().unwrap().is_empty(), "without -i nothing is typed");
    assert_eq!(run(&Fake::mute(), "exec -t feed/web.1 -- sh").await.status, 1);
}

#[tokio::test(start_paused = true)]
async fn a_broken_pipe_ends_quietly_and_a_full_disk_does_not() {
    for (kind, line, status) in [
        (io::ErrorKind::BrokenPipe, "ps", 0),
        (io::ErrorKind::StorageFull, "ps", 1),
        (io::ErrorKind::BrokenPipe, "scale feed/web 5", 0),
        (io::ErrorKind::StorageFull, "scale feed/web 5", 1),
        (io::ErrorKind::StorageFull, "--help", 1),
    ] {
        let fake = Fake::new(answers).with(|w| {
            w.hosts.retain(|_, h| h.is_live());
        });
        let mut go = Run::new();
        go.io.out = Box::new(Pen(Paper::default(), false, Some(kind)));
        let ran = go.go(&fake, line).await;
        assert_eq!(ran.status, status, "{kind} {line}");
        if status == 0 {
            assert_eq!(ran.err, "", "{kind} {line}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn hosts_are_added_removed_and_imported() {
    let answer = |_: &Request| Reply::Accepted(Accepted { op: None, text: "host new-1 added".into() });
    let fake = Fake::new(answer);
    let ran = run(&fake, "hosts import").await;
    assert_eq!(
        (ran.status, ran.out.as_str()),
        (0, "= bj-03: unchanged\n+ new-1: new, ssh://new-1\naccepted: host new-1 added\n")
    );
    let asked = fake.asked();
    assert!(
        matches!(&asked[..], [Request::Command(Command::AddHosts(h))] if h[0].config.address == "ssh://new-1")
    );
    let fake = Fake::new(answer);
    assert_eq!(run(&fake, "hosts remove bj-03 --force").await.status, 0);
    assert!(matches!(&fake.asked()[..], [Request::Command(Command::RemoveHost { force: true, .. })]));
}

#[tokio::test(start_paused = true)]
async fn whole_screens_are_handed_over() {
    let ran = run(&Fake::mute(), "--environment PROD --theme plain").await;
    assert_eq!(
        (ran.status, ran.err.as_str()),
        (1, "longshore: console Some(\"PROD\") Some(\"plain\")\nhint: a hint\n")
    );
    assert_eq!(run(&Fake::mute(), "demo --seed 7").await.err, "longshore: demo Some(7)\n");
    assert_eq!(run(&Fake::mute(), "engine").await.status, 0);
}

#[tokio::test(start_paused = true)]
async fn every_page_of_help_is_as_it_was_read_over() {
    for verb in [
        "",
        "demo",
        "engine",
        "up",
        "down",
        "scale",
        "undo",
        "cancel",
        "pools",
        "ps",
        "hosts",
        "hosts add",
        "hosts remove",
        "hosts import",
        "hosts label",
        "hosts cordon",
        "hosts drain",
        "hosts undrain",
        "hosts give-up",
        "hosts accept",
        "sites",
        "sites set",
        "sites remove",
        "registry auth-config",
        "registry login",
        "registry logout",
        "user",
        "user add",
        "user passwd",
        "project",
        "project grant",
        "project revoke",
        "robot",
        "robot add",
        "robot renew",
        "images",
        "images ls",
        "image export",
        "image import",
        "image check",
        "policy set",
        "why",
        "rebalance",
        "advice",
        "set",
        "logs",
        "inspect",
        "exec",
        "journal",
        "ops",
        "prewarm",
        "estimate",
        "check",
        "doctor",
        "completions",
    ] {
        let ran = run(&Fake::mute(), &format!("{verb} --help")).await;
        assert_eq!((ran.status, ran.err.as_str()), (0, ""), "{verb}");
        assert!(verb.is_empty() || ran.out.contains("Example"), "{verb} has no example");
        assert!(ran.out.lines().all(|l| l.chars().count() <= 130), "{verb}");
        let name =
            if verb.is_empty() { "help".to_owned() } else { format!("help_{}", verb.replace(' ', "_")) };
        insta::assert_snapshot!(name, ran.out);
    }
}

#[tokio::test(start_paused = true)]
async fn completions_exist_for_every_shell() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let ran = run(&Fake::mute(), &format!("completions {shell}")).await;
        assert_eq!(ran.status, 0);
        assert!(ran.out.contains("journal"), "{shell}");
    }
}
