//! Bad input and sick surroundings, with the real program: each ends in a clear sentence, and nothing is lost.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use crate::site::{Said, Site, pause, running, slots, so_many_run, until};
use crate::support::Lab;

/// A refusal is one line that says what, and one that says what to do.
fn refused(said: Said, words: &[&str]) {
    let said = said.expect(1, words);
    let lines: Vec<&str> = said.err.lines().collect();
    assert!(lines.iter().any(|l| l.starts_with("longshore: ")), "{said:?}");
    assert!(lines.iter().any(|l| l.starts_with("hint: ")), "a hint: {said:?}");
}

#[test]
fn an_engine_that_hangs_is_said_to_and_nothing_is_lost_or_doubled() {
    let Some(mut lab) = Lab::start_own(&[]) else { return };
    let site = Site::on(&lab.address());
    let mut engine = site.engine();
    site.run(&["up", &site.sleepers("hang", "web", 3, &lab.image()), "--wait"]).expect(0, &["done"]);
    let install = site.install();

    // It hangs: what is shown is old and says so; a number is still acknowledged.
    lab.freeze();
    until("it is said to be lost", || {
        let said = site.run(&["hosts"]);
        (said.out.contains("lost") && said.out.contains("no answer within")).then_some(())
    });
    let listed = site.run(&["ps", "hang/web"]);
    assert!(listed.out.contains("hang/web.3") && listed.out.contains(" ago"), "old, not empty: {listed:?}");
    assert!(listed.err.contains("does not answer"), "{listed:?}");
    assert_eq!(listed.status, 1, "no host answered");
    site.run(&["scale", "hang/web", "8"]).expect(0, &["accepted op-2: scale hang/web 3 -> 8"]);
    pause(1500);
    lab.thaw();
    site.until_serving("hang", "web", 8);
    assert_eq!(slots(&lab, &install, "web"), running(8));

    // It hangs in the middle of creating: those under way are neither lost nor made twice.
    site.run(&["scale", "hang/web", "30"]).expect(0, &["accepted op-3"]);
    pause(300);
    lab.freeze();
    pause(2500);
    lab.thaw();
    site.until_serving("hang", "web", 30);
    assert_eq!(slots(&lab, &install, "web"), running(30));
    site.run(&["scale", "hang/web", "4", "--wait"]).expect(0, &["done"]);

    // Without an engine of ours, a listing ends by its deadline, in words.
    engine.kill();
    lab.freeze();
    let said = site.run(&["pools"]);
    assert!(said.err.contains("has not answered"), "{said:?}");
    assert!(said.out.contains("hang/web"), "what is wanted is known: {said:?}");
    lab.thaw();

    // It dies with everything in it, and returns.
    let _engine = site.engine();
    site.until_serving("hang", "web", 4);
    lab.kill();
    until("its death is said", || {
        let said = site.run(&["hosts"]).out;
        said.contains("lost").then_some(())
    });
    site.run(&["scale", "hang/web", "5"]).expect(0, &["accepted"]);
    lab.restart();
    site.until_serving("hang", "web", 5);
    let mut there = slots(&lab, &install, "web");
    there.retain(|(_, state)| state == "running");
    assert!(so_many_run(there.clone(), 5), "{there:?}");
}

#[test]
fn what_cannot_run_says_why() {
    let Some(lab) = Lab::shared() else { return };
    let site = Site::on(&lab.address());
    let _engine = site.engine();
    let image = lab.image();
    let sleep = "    command: [sleep, \"100000\"]\n    stop_signal: SIGKILL\n";
    let cases: [(&str, String, &[&str]); 3] = [
        ("absent", format!("    image: localhost:1/nowhere/app:9\n{sleep}"), &["localhost:1/nowhere/app:9"]),
        (
            "nocmd",
            format!("    image: {image}\n    command: [\"/no/such/program\"]\n"),
            &["/no/such/program"],
        ),
        ("tight", format!("    image: {image}\n{sleep}    mem_limit: 1m\n"), &["memory"]),
    ];
    for (name, more, words) in cases {
        let file = site.pool_file(name, "web", 1, &more);
        let said = site.run(&["up", &file, "--wait=6"]);
        let journal = site.ok(&["journal", "--pool", &format!("{name}/web")]);
        assert_eq!(said.status, 1, "{said:?}");
        let last = said.err.lines().rfind(|l| l.starts_with("longshore: ")).unwrap();
        for word in words {
            assert!(last.contains(word), "{name}: the command says {word}: {said:#?}");
            assert!(journal.contains(word), "{name}: the journal says {word}: {journal}");
        }
        site.run(&["down", name, "--wait"]).expect(0, &["done"]);
    }
    // One that starts well and ends at once is a crash loop, which is said and not fed.
    let more = format!("    image: {image}\n    command: [sh, -c, \"exit 3\"]\n");
    site.run(&["up", &site.pool_file("ended", "web", 1, &more)]).expect(0, &["accepted"]);
    until("the loop is said", || {
        let said = site.run(&["pools", "ended"]).out;
        (said.contains("exit status 3") && said.contains("failing")).then_some(())
    });
    let made = site.journal().iter().filter(|l| l.contains("make ended/web.1")).count();
    assert!(made < 8, "made {made} times");
    site.run(&["down", "ended", "--wait"]).expect(0, &["done"]);
}

#[test]
fn a_port_that_is_taken_is_named() {
    let Some(lab) = Lab::shared() else { return };
    let site = Site::on(&lab.address());
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    // The lab's engine has no bridge: published ports exist only on paper, but two of one pool exclude each other.
    let text = format!(
        "name: port\nservices:\n  web:\n    image: {}\n    command: [sleep, \"100000\"]\n    stop_signal: SIGKILL\n    \
         network_mode: bridge\n    ports: [\"{port}:80\"]\n    deploy: {{replicas: 2}}\n",
        lab.image()
    );
    let said = site.run(&["up", &site.file("port.yml", &text), "--wait=5"]);
    assert_eq!(said.status, 1, "{said:?}");
    assert!(said.err.contains(&port.to_string()), "{said:#?}");
    site.run(&["down", "port"]).expect(0, &["done"]);
}

#[test]
fn an_unknown_host_or_engine_is_named() {
    let site = Site::without_engine();
    for args in [&["pools"] as &[&str], &["ps"], &["hosts"]] {
        let said = site.run(args);
        assert_eq!(said.status, 1, "{args:?} {said:?}");
        let all = format!("{}{}", said.out, said.err);
        assert!(all.contains("/nonexistent/longshore-test/docker.sock"), "{args:?}: {said:?}");
    }
    refused(site.run(&["logs", "nowhere:nginx"]), &["there is no host nowhere"]);
    refused(site.run(&["inspect", "nowhere:nginx"]), &["there is no host nowhere"]);
    let said = site.run(&["--host", "tcp://no-such-host.invalid:2376", "ps"]);
    assert_eq!(said.status, 1, "{said:?}");
    assert!(said.err.contains("no-such-host.invalid"), "{said:?}");
    let said = site.run(&["--host", "ftp://x", "ps"]);
    assert_eq!(said.status, 1, "{said:?}");
    assert!(said.err.contains("ftp"), "{said:?}");
}

fn mount(args: &[&str]) -> bool {
    Command::new("mount").args(args).output().is_ok_and(|out| out.status.success())
}

/// Unmounts with its test.
struct Mounted<'a>(&'a Path);

impl Drop for Mounted<'_> {
    fn drop(&mut self) {
        let _unmounted = Command::new("umount").arg("-l").arg(self.0).status();
    }
}

#[test]
fn a_full_or_read_only_state_disk_loses_nothing_that_was_acknowledged() {
    let site = Site::without_engine();
    let disk = site.dir().join("disk");
    std::fs::create_dir(&disk).unwrap();
    let shown = disk.display().to_string();
    if !mount(&["-t", "tmpfs", "-o", "size=600k,mode=700", "tmpfs", &shown]) {
        return println!("skipped: a small disk for the state needs root and mount(2)");
    }
    let _mounted = Mounted(&disk);
    let site = site.with_state(disk.join("state"));
    let file = site.sleepers("full", "web", 1, "app:1");
    let mut engine = site.engine();
    site.run(&["up", &file]).expect(0, &["accepted op-1"]);
    // Another program fills the disk.
    let filler = disk.join("filler");
    let _full = std::fs::write(&filler, vec![0; 1 << 20]);
    let mut last = 1;
    let refusal = (2..200).find_map(|n| {
        let said = site.run(&["scale", "full/web", &n.to_string(), "--busy", "replace"]);
        if said.status == 0 {
            last = n;
        }
        (said.status != 0).then_some(said)
    });
    refused(refusal.unwrap(), &["full"]);
    assert_eq!(site.pool("full", "web").unwrap()["want"], last, "the last acknowledged number");
    engine.kill();
    assert_eq!(site.pool("full", "web").unwrap()["want"], last, "also after kill -9");
    let engine = site.run(&["scale", "full/web", "150", "--busy", "replace"]);
    refused(engine, &["full"]);
    // With room again, all goes on.
    std::fs::remove_file(&filler).unwrap();
    let mut engine = site.engine();
    site.run(&["scale", "full/web", "7", "--busy", "replace"]).expect(0, &["accepted"]);
    engine.kill();
    assert_eq!(site.pool("full", "web").unwrap()["want"], 7);
    // Read-only: looking still works, changing is refused in words.
    assert!(mount(&["-o", "remount,ro", &shown]));
    refused(site.run(&["scale", "full/web", "9"]), &["Read-only", &shown]);
    let said = site.run(&["engine"]);
    refused(said, &["Read-only", &shown]);
    assert_eq!(site.pool("full", "web").unwrap()["want"], 7, "looking works: {}", site.run(&["pools"]).err);
}

#[test]
fn a_state_that_others_can_write_or_a_newer_longshore_wrote_is_refused() {
    let site = Site::without_engine();
    site.run(&["up", &site.sleepers("newer", "web", 1, "app:1"), "--wait=1"]).expect(1, &["accepted op-1"]);
    std::fs::set_permissions(site.state(), std::fs::Permissions::from_mode(0o777)).unwrap();
    refused(site.run(&["scale", "newer/web", "2"]), &["can be written by everybody", "chmod o-w"]);
    std::fs::set_permissions(site.state(), std::fs::Permissions::from_mode(0o700)).unwrap();

    let database = site.state().join("longshore.db");
    let file = |name: &str| site.state().join(name);
    let names = ["longshore.db", "longshore.db-wal", "longshore.db-shm"];
    let set = |version: u32| {
        let connection =
            rusqlite::Connection::open_with_flags(&database, rusqlite::OpenFlags::SQLITE_OPEN_READ_WRITE)
                .unwrap();
        connection.pragma_update(None, "user_version", version).unwrap();
    };
    set(99);
    for args in [&["scale", "newer/web", "2"] as &[&str], &["pools"], &["engine"], &["journal"]] {
        refused(site.run(args), &["written by a newer longshore", "schema 99"]);
    }
    set(1);
    assert_eq!(site.pool("newer", "web").unwrap()["want"], 1, "nothing was changed");

    let kept: Vec<_> = names.iter().filter_map(|n| Some((file(n), std::fs::read(file(n)).ok()?))).collect();
    kept.iter().for_each(|(path, _)| std::fs::remove_file(path).unwrap());
    std::fs::write(&database, b"this is no database, but somebody's diary").unwrap();
    refused(site.run(&["scale", "newer/web", "2"]), &["longshore.db: the state database is damaged"]);
    assert_eq!(
        std::fs::read(&database).unwrap(),
        b"this is no database, but somebody's diary",
        "left as it was"
    );
    kept.iter().for_each(|(path, bytes)| std::fs::write(path, bytes).unwrap());
    assert_eq!(site.pool("newer", "web").unwrap()["want"], 1);
}

#[test]
fn a_state_directory_that_cannot_be_is_refused() {
    let site = Site::without_engine();
    let long = site.dir().join("a-very-long-name-of-a-directory/".repeat(5));
    let site = site.with_state(long);
    refused(site.run(&["engine"]), &["engine.sock", "--state DIR", "shorter"]);
    let in_a_file = site.dir().join("file");
    std::fs::write(&in_a_file, "x").unwrap();
    let site = site.with_state(in_a_file.join("state"));
    refused(site.run(&["engine"]), &["the state directory", "cannot be made"]);
    let site = site.with_state(in_a_file);
    refused(site.run(&["engine"]), &["is not a directory"]);
}

#[test]
fn a_broken_configuration_is_named_with_its_place() {
    let site = Site::without_engine();
    site.file(
        "config.toml",
        "theme = \"dark\"\n[[hosts]]\nname = \"bj-01\"\nadress = \"tcp://bj-01:2376\"\n",
    );
    for args in [&["pools"] as &[&str], &["engine"], &["scale", "a/b", "2"]] {
        refused(site.run(args), &["config.toml:4:1: unknown field `adress`"]);
    }
    site.run(&["doctor"]).expect(1, &["config.toml:4:1"]);
    site.file("config.toml", "theme = \n");
    refused(site.run(&["pools"]), &["config.toml:1:"]);
}

#[test]
fn every_fault_of_a_pool_file_is_told_at_once() {
    let site = Site::without_engine();
    let text = "name: Bad Name\nservices:\n  web:\n    image: app:1\n    comand: [x]\n    ports: [\"99999:80\"]\n    deploy: {replicas: many}\n  cache:\n    healthcheck: {interval: soon}\n";
    let file = site.file("broken.yml", text);
    let said = site.run(&["up", &file]).expect(
        1,
        &[
            "broken.yml:1:",
            "broken.yml:5:5",
            "comand",
            "broken.yml:6:",
            "99999",
            "broken.yml:7:",
            "many",
            "broken.yml:9:",
        ],
    );
    assert!(!said.out.contains("accepted"), "{said:?}");
    assert_eq!(site.json_any(&["pools"]), serde_json::json!([]), "nothing of it was taken");
    site.run(&["up", "/nonexistent/pools.yml"])
        .expect(1, &["/nonexistent/pools.yml: there is no such file", "nothing was changed"]);
    site.run(&["up", &site.file("tab.yml", "name: x\nservices:\n\tweb: {}\n")]).expect(1, &["tab.yml:3:"]);
}

#[test]
fn of_many_who_scale_at_once_nobodys_change_is_lost() {
    let site = Site::without_engine();
    let _engine = site.engine();
    site.run(&["up", &site.sleepers("both", "web", 1, "app:1")]).expect(0, &["accepted op-1"]);
    let mut all: Vec<_> = (0..12).map(|_| site.spawn(&["scale", "both/web", "+1"])).collect();
    for process in &mut all {
        assert_eq!(process.wait(), 0, "{}", process.said());
    }
    assert_eq!(site.pool("both", "web").unwrap()["want"], 13);
    let journal = site.journal().join("\n") + "\n";
    for (process, from) in all.iter().map(crate::site::Process::said).zip(1..) {
        let op =
            process.lines().find_map(|l| l.strip_prefix("accepted ")?.split(':').next().map(str::to_owned));
        assert!(journal.contains(&op.unwrap()), "{process}");
        let step = format!("scale both/web {from} -> {}", from + 1);
        assert_eq!(journal.matches(&format!("{step}\n")).count(), 1, "{step}: {journal}");
    }
    // Undo takes back only what nobody has changed since, and says so.
    site.run(&["undo", "both/web"]).expect(0, &["undo both/web 13 -> 12"]);
}

#[test]
fn somebody_elses_state_is_refused() {
    let site = Site::without_engine();
    std::fs::create_dir(site.state()).unwrap();
    std::fs::set_permissions(site.state(), std::fs::Permissions::from_mode(0o700)).unwrap();
    if std::os::unix::fs::chown(site.state(), Some(65534), Some(65534)).is_err() {
        return println!("skipped: another user's directory needs root");
    }
    refused(site.run(&["engine"]), &["belongs to user 65534"]);
}
