//! The real program on a real engine: every command's words, exit status and effect.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;

use crate::site::{BIN, Site, running, slots, so_many_run, until, within};
use crate::support::Lab;
use portable_pty::{CommandBuilder, PtySize, native_pty_system};

#[test]
fn a_pool_comes_up_is_scaled_in_every_form_and_goes_again() {
    let Some(lab) = Lab::shared() else { return };
    let site = Site::on(&lab.address());
    let file = site.sleepers("life", "web", 2, &lab.image());
    let plan = site.run(&["up", &file, "--plan"]).expect(0, &["web"]);
    assert!(!plan.out.contains("accepted"), "{plan:?}");
    assert_eq!(site.pool("life", "web"), None, "a plan changes nothing");
    let up = site.run(&["up", &file]).expect(0, &["accepted op-1: up life: life/web 2", "op-1 done"]);
    assert!(up.err.contains("no engine is running: this command does the work itself"), "{up:?}");
    let install = site.install();
    assert_eq!(slots(&lab, &install, "web"), running(2));
    for (change, words, count) in
        [("+3", "2 -> 5", 5), ("-2", "5 -> 3", 3), ("x2", "3 -> 6", 6), ("4", "6 -> 4", 4)]
    {
        let plan = site.run(&["scale", "life/web", change, "--plan"]).expect(0, &[words]);
        assert!(!plan.out.contains("accepted"), "{plan:?}");
        site.run(&["scale", "life/web", change]).expect(0, &["accepted op-", words, "done"]);
        let there = slots(&lab, &install, "web");
        assert!(so_many_run(there.clone(), count), "after {change}: {there:?}");
    }
    site.run(&["undo", "life/web"]).expect(0, &["undo life/web 4 -> 6"]);
    assert_eq!(slots(&lab, &install, "web"), running(6));
    let pool = site.pool("life", "web").unwrap();
    assert_eq!(
        (&pool["want"], &pool["running"], &pool["healthy"], &pool["revision"]),
        (&6.into(), &6.into(), &6.into(), &1.into())
    );
    let listed = site.json(&["ps", "life/web"]);
    let states: Vec<_> = listed
        .as_array()
        .unwrap()
        .iter()
        .map(|c| (c["slot"].as_u64().unwrap(), c["state"].as_str().unwrap()))
        .collect();
    assert_eq!(states, (1..=6).map(|slot| (slot, "running")).collect::<Vec<_>>());
    let journal = site.journal().join("\n");
    for sentence in
        ["accepted op-1", "scale life/web 2 -> 5", "undo life/web 4 -> 6", "its pool was scaled down"]
    {
        assert!(journal.contains(sentence), "no {sentence:?} in {journal}");
    }
    site.run(&["down", "life"]).expect(0, &["accepted op-", "done: down life/web"]);
    assert_eq!(slots(&lab, &install, "web"), []);
    assert_eq!(site.json(&["pools"]), serde_json::json!([]));
}

#[test]
fn a_file_that_is_already_up_changes_nothing_and_one_that_differs_replaces() {
    let Some(lab) = Lab::shared() else { return };
    let site = Site::on(&lab.address());
    let file = site.sleepers("again", "web", 2, &lab.image());
    site.ok(&["up", &file]);
    let install = site.install();
    let ids = || {
        lab.docker_ok(&["ps", "-q", "--filter", &format!("label={}={install}", crate::site::INSTALL_LABEL)])
    };
    let before = ids();
    let same = site.run(&["up", &file]).expect(0, &[]);
    assert!(!same.out.contains("accepted op-"), "{same:?}");
    assert_eq!(ids(), before, "nothing was replaced");
    let text = std::fs::read_to_string(&file).unwrap() + "    environment: {MODE: live}\n";
    std::fs::write(&file, text).unwrap();
    site.run(&["up", &file, "--plan"]).expect(0, &["MODE"]);
    site.run(&["up", &file]).expect(0, &["done"]);
    assert_eq!(slots(&lab, &install, "web"), running(2));
    let after = ids();
    assert!(before.lines().all(|id| !after.contains(id)), "all were replaced: {before} {after}");
    site.run(&["exec", "again/web.1", "--", "sh", "-c", "echo mode=$MODE"]).expect(0, &["mode=live"]);
    site.ok(&["down", "again"]);
}

/// What the engine itself answers to a request for a container.
fn engine_json(lab: &Lab, id: &str) -> Vec<u8> {
    let mut stream = UnixStream::connect(lab.socket()).unwrap();
    write!(stream, "GET /containers/{id}/json HTTP/1.0\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let body = answer.windows(4).position(|w| w == b"\r\n\r\n").unwrap() + 4;
    answer.split_off(body)
}

#[test]
fn inspect_is_the_engines_own_json_byte_for_byte() {
    let Some(lab) = Lab::shared() else { return };
    let site = Site::on(&lab.address());
    let more = format!(
        "    image: {}\n    command: [sleep, \"100000\"]\n    stop_signal: SIGKILL\n    labels: {{note: \"<&> \\u2603 \\e[31m\"}}\n",
        lab.image()
    );
    site.ok(&["up", &site.pool_file("inspected", "web", 1, &more)]);
    let id = site.json(&["ps"])[0]["id"].as_str().unwrap().to_owned();
    let expected = engine_json(&lab, &id);
    assert!(expected.starts_with(b"{\"Id\":"), "{}", String::from_utf8_lossy(&expected));
    for name in ["inspected/web.1".to_owned(), format!("local:{id}"), format!("local:{}", &id[..12])] {
        let said = site.run(&["inspect", &name]).expect(0, &[]);
        assert_eq!(said.out.as_bytes(), expected, "{name}");
    }
    site.run(&["inspect", "inspected/web.7"]).expect(1, &["inspected/web has no slot 7", "hint: "]);
    site.run(&["inspect", "local:nosuch"]).expect(1, &["nosuch", "hint: "]);
    site.ok(&["down", "inspected"]);
}

#[test]
fn programs_run_in_containers_with_our_input_and_their_status() {
    let Some(lab) = Lab::shared() else { return };
    let site = Site::on(&lab.address());
    site.ok(&["up", &site.sleepers("run", "web", 1, &lab.image())]);
    // Without an engine, and through one.
    for engine in [None, Some(())].map(|wanted| wanted.map(|()| site.engine())) {
        site.run(&["exec", "run/web.1", "--", "sh", "-c", "exit 7"]).expect(7, &[]);
        site.run(&["exec", "run/web.1", "--", "true"]).expect(0, &[]);
        // The engine's own words and number, which differ by version.
        let said = site.run(&["exec", "run/web.1", "--", "no-such-program"]);
        assert!([126, 127].contains(&said.status) && said.out.contains("no-such-program"), "{said:?}");
        let said =
            site.run(&["exec", "run/web.1", "--", "sh", "-c", "echo out; echo err >&2"]).expect(0, &[]);
        assert_eq!((said.out.as_str(), said.err.as_str()), ("out\n", "err\n"));
        let big = vec![b'x'; 300_000];
        let said = site.run_with(&["exec", "-i", "run/web.1", "--", "wc", "-c"], &big).expect(0, &[]);
        assert_eq!(said.out.trim(), "300000");
        let said = site.run_with(&["exec", "run/web.1", "--", "cat"], b"not sent").expect(0, &[]);
        assert_eq!(said.out, "", "without -i nothing is sent");
        site.run(&["--read-only", "exec", "run/web.1", "--", "true"]).expect(1, &["read-only", "hint: "]);
        site.run(&["exec", "-t", "run/web.1", "--", "true"]).expect(1, &["-t needs a terminal"]);
        drop(engine);
    }
    site.ok(&["down", "run"]);
}

#[test]
fn a_program_gets_a_terminal() {
    let Some(lab) = Lab::shared() else { return };
    let site = Site::on(&lab.address());
    site.ok(&["up", &site.sleepers("tty", "web", 1, &lab.image())]);
    let pty =
        native_pty_system().openpty(PtySize { rows: 31, cols: 97, pixel_width: 0, pixel_height: 0 }).unwrap();
    let mut command = CommandBuilder::new(BIN);
    command.env_clear();
    site.env().into_iter().for_each(|(name, value)| command.env(name, value));
    command.arg("--state");
    command.arg(site.state());
    command.args(["exec", "-it", "tty/web.1", "--", "sh"]);
    let mut child = pty.slave.spawn_command(command).unwrap();
    drop(pty.slave);
    let mut writer = pty.master.take_writer().unwrap();
    let mut reader = pty.master.try_clone_reader().unwrap();
    writer.write_all(b"test -t 0 && echo ON-A-TTY; stty size; exit 9\r").unwrap();
    let mut shown = Vec::new();
    // The pty gives an error at the end, not an end.
    let _end = reader.read_to_end(&mut shown);
    let shown = String::from_utf8_lossy(&shown).into_owned();
    let status = child.wait().unwrap();
    assert!(shown.contains("\nON-A-TTY\r"), "{shown}");
    assert!(shown.contains("\n31 97\r"), "{shown}");
    assert_eq!(status.exit_code(), 9, "{shown}");
    site.ok(&["down", "tty"]);
}

#[test]
fn logs_are_merged_followed_and_clean() {
    let Some(lab) = Lab::shared() else { return };
    let site = Site::on(&lab.address());
    let script = "    command: [sh, -c, 'printf \"evil\\033[2J\\033]52;c;x\\007\\n\"; i=0; while :; do i=$$((i+1)); echo line $$i; sleep 0.2; done']\n    stop_signal: SIGKILL\n";
    let file = site.pool_file("talk", "web", 2, &format!("    image: {}\n{script}", lab.image()));
    site.ok(&["up", &file]);
    let mut follow = site.spawn(&["logs", "-f", "talk/web"]);
    until("both talk", || {
        let said = follow.said();
        (said.matches("line 5\n").count() == 2).then_some(())
    });
    follow.signal("INT");
    follow.wait();
    let said =
        site.run(&["logs", "talk/web"]).expect(0, &["web.1", "web.2", "line 3", "evil\\e[2J\\e]52;c;x"]).out;
    assert!(!said.contains('\x1b') && !said.contains('\x07'), "{said:?}");
    let one = site.run(&["logs", "--tail", "1", "talk/web.2"]).expect(0, &["line"]).out;
    assert_eq!(one.lines().count(), 1, "{one}");
    site.ok(&["down", "talk"]);
}

#[test]
fn what_is_not_ours_is_shown_and_left_alone() {
    let Some(lab) = Lab::shared() else { return };
    let site = Site::on(&lab.address());
    let image = lab.image();
    let name = format!("shop-api-{}", std::process::id());
    let labels = ["com.docker.compose.project=shop", "com.docker.compose.service=api", "note=\u{1b}[31mred"];
    let mut make = vec!["run", "-d", "--network=none", "--name", &name];
    labels.iter().for_each(|label| make.extend(["--label", label]));
    make.extend([image.as_str(), "sleep", "100000"]);
    let stranger = lab.docker_ok(&make);
    // Another install's container, with our pool's name.
    let other = lab.docker_ok(&[
        "run",
        "-d",
        "--network=none",
        "--label",
        "io.longshore.install=ffffffff",
        "--label",
        "io.longshore.cluster=mine",
        "--label",
        "io.longshore.pool=web",
        "--label",
        "io.longshore.slot=1",
        "--label",
        "io.longshore.generation=1",
        &image,
        "sleep",
        "100000",
    ]);
    site.ok(&["up", &site.sleepers("mine", "web", 1, &image)]);
    let ours = site.ok(&["ps"]);
    assert!(ours.contains("mine/web.1") && !ours.contains(&stranger[..12]), "{ours}");
    let all = site.ok(&["ps", "-a"]);
    let line =
        all.lines().find(|l| l.contains(&stranger[..12])).unwrap_or_else(|| panic!("not shown: {all}"));
    assert!(line.contains("shop") && line.contains("api"), "{line}");
    assert!(!all.contains('\x1b'));
    site.ok(&["down", "mine"]);
    let running = lab.docker_ok(&["ps", "-q", "--no-trunc"]);
    assert!(running.contains(&stranger) && running.contains(&other), "strangers are left alone");
    lab.docker_ok(&["rm", "-f", &stranger, &other]);
}

#[test]
fn a_container_that_is_killed_is_replaced_and_the_journal_says_why() {
    let Some(lab) = Lab::shared() else { return };
    let site = Site::on(&lab.address());
    let _engine = site.engine();
    site.run(&["up", &site.sleepers("heal", "web", 3, &lab.image()), "--wait"])
        .expect(0, &["accepted", "done"]);
    let install = site.install();
    let id = site.json(&["ps", "heal/web"])[1]["id"].as_str().unwrap().to_owned();
    lab.docker_ok(&["kill", "-s", "KILL", &id]);
    // Long before the next list that is made anyway.
    within(std::time::Duration::from_secs(8), "slot 2 is there again, newer", || {
        let all = site.json(&["ps", "heal/web"]);
        let again = all
            .as_array()
            .unwrap()
            .iter()
            .any(|c| c["slot"] == 2 && c["state"] == "running" && c["generation"] == 2);
        again.then_some(())
    });
    let mut there = slots(&lab, &install, "web");
    there.retain(|(_, state)| state == "running");
    assert_eq!(there, running(3));
    let journal = site.journal().join("\n");
    let cause = journal.lines().find(|l| l.contains("heal/web.2") && l.contains("137"));
    assert!(cause.is_some(), "no cause in {journal}");
    assert!(!journal.contains("op-0"), "mending belongs to no operation: {journal}");
    site.run(&["down", "heal", "--wait"]).expect(0, &["done"]);
}

#[test]
fn hosts_are_added_imported_and_removed_while_an_engine_runs() {
    let Some(lab) = Lab::shared() else { return };
    let site = Site::without_engine();
    let _engine = site.engine();
    site.run(&["hosts", "add", "lab", &lab.address()]).expect(0, &["lab"]);
    until("it is live", || {
        site.run(&["hosts"]).out.lines().any(|l| l.starts_with("lab") && l.contains("live")).then_some(())
    });
    site.run(&["hosts", "add", "lab", &lab.address()]).expect(1, &["lab", "hint: "]);
    site.run(&["hosts", "add", "twin", &lab.address()]).expect(1, &["lab"]);
    site.run(&["hosts", "add", "bad", "gopher://x"]).expect(1, &["gopher", "hint: "]);
    site.run(&["hosts", "remove", "nosuch"]).expect(1, &["nosuch", "hint: "]);
    site.run(&["up", &site.sleepers("added", "web", 1, &lab.image()), "--wait"]).expect(0, &["done"]);
    site.run(&["hosts", "remove", "lab"]).expect(1, &["lab", "--force"]);
    site.run(&["down", "added", "--wait"]).expect(0, &["done"]);
    site.run(&["hosts", "remove", "lab"]).expect(0, &["lab"]);
    assert!(!site.run(&["hosts"]).out.contains("lab"), "gone");
}

#[test]
fn doctor_completions_help_and_usage() {
    let site = Site::without_engine();
    site.run(&["doctor"])
        .expect(1, &["state directory", "engine local", "/nonexistent/longshore-test/docker.sock", "-> "]);
    for shell in ["bash", "zsh", "fish"] {
        site.run(&["completions", shell]).expect(0, &["longshore", "scale"]);
    }
    site.run(&["--version"]).expect(0, &["longshore "]);
    site.run(&["--help"]).expect(0, &["scale", "journal", "doctor"]);
    for nonsense in [
        &["frobnicate"] as &[&str],
        &["scale", "feed/web"],
        &["scale", "feed", "2"],
        &["scale", "feed/web", "many"],
        &["ps", "Feed/Web"],
    ] {
        let said = site.run(nonsense).expect(2, &["longshore: ", "hint: "]);
        assert_eq!(said.out, "", "{nonsense:?}");
    }
    let Some(lab) = Lab::shared() else { return };
    let site = Site::on(&lab.address());
    site.run(&["doctor"]).expect(0, &["ok    engine local"]);
}
