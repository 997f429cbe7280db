//! The program itself with a Harbor played back: what the engine sees of it, and every command about it.
//!
//! No real Harbor: the replies are those of `fixtures/harbor/README.md`.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::server::{Reply, Request, Server, json, reply};
use crate::site::{Process, Site, until};
use crate::{BASIC, fixture};

/// A Harbor that answers all that is read with the fixtures. Its jobservice is ill.
fn play(request: &Request) -> Reply {
    let (path, _) = request.target.split_once('?').unwrap_or((&request.target, ""));
    let list = |body: &'static str, total: &str| reply(200, &[("X-Total-Count", total)], body);
    // What moves images is asked of the registry behind it: without a log-in it says how to log in, and that is answer enough.
    if path.starts_with("/v2/") {
        return reply(200, &[("Docker-Distribution-Api-Version", "registry/2.0")], "{}");
    }
    let is_known = request.headers.get("authorization").is_some_and(|login| login == BASIC);
    match (request.method.as_str(), path.trim_start_matches("/api/v2.0/")) {
        ("GET", "health") => json(fixture!("health.json")),
        (_, _) if !is_known => reply(401, &[], fixture!("error-401.json")),
        ("GET", "users/current") => json(fixture!("user.json")),
        ("GET", "systeminfo") => json(fixture!("systeminfo.json")),
        ("GET", "systeminfo/volumes") => json(fixture!("volumes.json")),
        ("GET", "quotas") => list(fixture!("quotas.json"), "3"),
        ("GET", "projects") => list(fixture!("projects-1.json"), "2"),
        ("GET", "projects/1/summary") => reply(403, &[], ""),
        ("GET", "projects/7/summary") => json(fixture!("summary.json")),
        ("GET", "projects/7/members") => list(fixture!("members.json"), "6"),
        ("GET", "robots") => list(fixture!("robots.json"), "2"),
        ("GET", "registries") => list(fixture!("registries.json"), "2"),
        ("GET", "replication/policies") => list(fixture!("policies.json"), "3"),
        ("GET", "replication/executions") => list(fixture!("executions.json"), "4"),
        ("GET", "replication/executions/103/tasks") => list(fixture!("tasks.json"), "4"),
        ("GET", "replication/executions/103/tasks/502/log") => {
            reply(200, &[("Content-Type", "text/plain")], fixture!("task.log"))
        }
        ("POST", "replication/executions") => {
            reply(201, &[("Location", "/api/v2.0/replication/executions/104")], "")
        }
        ("PUT", "replication/executions/103") => reply(200, &[], ""),
        ("GET", _) => reply(404, &[], r#"{"errors":[{"code":"NOT_FOUND","message":"not found"}]}"#),
        other => panic!("{other:?}"),
    }
}

/// A machine whose Docker CLI is logged in to this Harbor, with an engine that knows it as `hq`.
pub fn site(address: &str, password: &str) -> (Site, Process) {
    let site = Site::without_engine();
    let home = site.dir().join("home/.docker");
    std::fs::create_dir_all(&home).unwrap();
    let auth = BASIC.trim_start_matches("Basic ");
    let auth = if password.is_empty() { auth } else { password };
    let config = format!(r#"{{"auths":{{"{address}":{{"auth":"{auth}"}}}}}}"#);
    std::fs::write(home.join("config.json"), config).unwrap();
    let engine = site.engine();
    site.run(&["registry", "add", "hq", address, "--kind", "harbor"]).expect(0, &["registry hq recorded"]);
    (site, engine)
}

/// What `registry show hq --json` says once this Harbor was asked.
fn asked(site: &Site) -> serde_json::Value {
    until("Harbor was asked", || {
        let said = site.json_any(&["registry", "show", "hq"]);
        (!said["harbor"]["asked"].is_null()).then_some(said)
    })
}

#[test]
fn the_engine_asks_a_harbor_and_shows_its_parts_in_words() {
    let server = Server::start(play);
    let (site, _engine) = site(&server.address, "");
    let said = asked(&site);
    assert_eq!(
        (said["version"].as_str(), said["storage"].as_str()),
        (Some("Harbor v2.12.1-0a1b2c3d"), Some("s3"))
    );
    let harbor = &said["harbor"];
    assert_eq!(
        (harbor["health"].as_str(), harbor["administrator"].as_bool()),
        (Some("unhealthy"), Some(true))
    );
    assert_eq!((harbor["projects"].as_u64(), harbor["repositories"].as_u64()), (Some(2), Some(14)));
    assert_eq!(harbor["fullest"]["project"], "feed");
    assert_eq!(harbor["policies"][0]["last"]["state"], "moving");
    assert_eq!(harbor["why"], serde_json::json!([]));
    let text = site.run(&["registry", "show", "hq"]).expect(0, &[]).out;
    for line in [
        "registry: hq (harbor)",
        "state: parts ill",
        "storage: s3",
        "part: jobservice unhealthy: failed to check health",
        "login: admin (administrator)",
        "room: 50G of 100G free",
        "policy: to-branch (11) Local → branch, scheduled 0 0 2 * * *; execution 103 moving: 1 of 4 repositories done, 1 failed",
        "policy: bare (12) ? → ?, (not said), disabled",
    ] {
        assert!(text.contains(line), "{line} is not in:\n{text}");
    }
    let listed = site.run(&["registry", "ls"]);
    assert!(listed.err.contains("registry hq: Harbor is unhealthy: jobservice is unhealthy"), "{listed:#?}");
    assert!(listed.out.contains("Harbor v2.12.1-0a1b2c3d"), "{listed:#?}");
}

#[test]
fn a_wrong_password_is_told_and_is_no_empty_harbor() {
    let server = Server::start(play);
    let (site, _engine) = site(&server.address, "bWU6d3Jvbmc=");
    let said = asked(&site);
    assert_eq!(said["harbor"]["health"], "unhealthy", "health needs no log-in");
    assert!(said["harbor"]["projects"].is_null() && said["harbor"]["policies"].is_null(), "{said}");
    assert!(said["harbor"]["why"][0].as_str().unwrap().contains("does not accept our log-in"), "{said}");
    let refused = site.run(&["harbor", "projects", "hq"]);
    assert_eq!(refused.status, 1);
    assert!(refused.err.contains("Harbor hq: cannot log in at"), "{refused:#?}");
    assert!(refused.err.contains("hint: check the name and the password"), "{refused:#?}");
}

#[test]
fn all_that_only_harbor_has_is_listed() {
    let server = Server::start(play);
    let (site, _engine) = site(&server.address, "");
    for (args, wanted) in [
        (&["projects", "hq"][..], &["library", "everybody", "feed", "members", "700M of 10G"][..]),
        (&["members", "hq", "feed"], &["anna", "developer", "maintainer", "no such role here", "group"]),
        (&["robots", "hq", "feed"], &["robot$feed+ci", "feed: pull repository, push repository", "disabled"]),
        (&["registries", "hq"], &["branch", "docker-registry", "unhealthy", "(certificate not checked)"]),
        (&["policies", "hq"], &["to-branch", "scheduled 0 0 2 * * *", "moving: 1 of 4 repositories done"]),
        (
            &["executions", "hq", "to-branch"],
            &["103", "moving", "102", "failed", "Execution skipped", "Paused"],
        ),
        (&["executions", "hq", "11", "--limit", "1"], &["103"]),
        (&["tasks", "hq", "103"], &["502", "failed", "501", "done", "503", "waiting", "Hibernating"]),
        (&["log", "hq", "103", "502"], &["failed to pushing the blob"]),
    ] {
        let args: Vec<&str> = ["harbor"].into_iter().chain(args.iter().copied()).collect();
        let out = site.run(&args).expect(0, &[]).out;
        for word in wanted {
            assert!(out.contains(word), "{args:?}: {word} is not in:\n{out}");
        }
    }
    let failed = site.json(&["harbor", "tasks", "hq", "103", "--failed"]);
    let states: Vec<&str> = failed.as_array().unwrap().iter().map(|t| t["state"].as_str().unwrap()).collect();
    assert_eq!(states, ["failed", "Hibernating"], "an unknown word is something to look at");
    let runs = site.json(&["harbor", "executions", "hq", "to-branch"]);
    assert_eq!((&runs[0]["state"], &runs[0]["said"]), (&"moving".into(), &"running".into()));
    for (args, said) in [
        (&["harbor", "members", "hq", "pay"][..], "there is no project pay"),
        (&["harbor", "executions", "hq", "nightly"], "policies: to-branch, bare, odd"),
        (&["harbor", "tasks", "hq", "9"], "NOT_FOUND"),
        (&["harbor", "policies", "tc"], "there is no registry tc"),
    ] {
        let refused = site.run(args);
        assert!(refused.status == 1 && refused.err.contains(said), "{refused:#?}");
    }
}

#[test]
fn a_policy_is_started_and_stopped_and_both_are_in_the_journal() {
    let asked_for = Arc::new(AtomicU32::new(0));
    let count = asked_for.clone();
    let server = Server::start(move |request| {
        // The execution that was started: running when it is looked at first, then over with a task that failed.
        if request.method == "GET" && request.target.contains("/replication/executions?") {
            let begun = request.target.contains("policy_id=11");
            if begun && count.fetch_add(1, Ordering::Relaxed) > 0 {
                let over = r#"[{"id":104,"policy_id":11,"status":"Failed","trigger":"manual","total":2,"succeed":1,"failed":1,"end_time":"2026-01-02T03:04:05.000Z"}]"#;
                return reply(200, &[("X-Total-Count", "1")], over);
            }
            let now = r#"[{"id":104,"policy_id":11,"status":"InProgress","trigger":"manual","total":2,"in_progress":2}]"#;
            return reply(200, &[("X-Total-Count", "1")], now);
        }
        play(request)
    });
    let (site, _engine) = site(&server.address, "");
    site.run(&["harbor", "start", "hq", "to-branch"])
        .expect(0, &["policy to-branch (11) runs as execution 104"]);
    asked_for.store(0, Ordering::Relaxed);
    let waited = site.run(&["harbor", "start", "hq", "11", "--wait=60"]);
    assert_eq!(waited.status, 1, "{waited:#?}");
    assert!(
        waited.err.contains("execution 104 is incomplete: 1 of 2 repositories done, 1 failed"),
        "{waited:#?}"
    );
    assert!(waited.err.contains("hint: longshore harbor tasks hq 104 --failed"), "{waited:#?}");
    let stopped = site.run(&["harbor", "stop", "hq", "103", "--json"]).expect(0, &[]).out;
    let stopped: serde_json::Value = serde_json::from_str(&stopped).unwrap();
    assert_eq!((&stopped["accepted"], &stopped["execution"]), (&true.into(), &103.into()));
    let unknown = site.run(&["harbor", "start", "hq", "nightly"]);
    assert!(
        unknown.status == 1 && unknown.err.contains("there is no replication policy nightly"),
        "{unknown:#?}"
    );
    let reading = site.run(&["harbor", "stop", "hq", "103", "--read-only"]);
    assert!(reading.status == 1 && reading.err.contains("read-only"), "{reading:#?}");
    let journal = site.journal().join("\n");
    for line in [
        "Harbor hq: start policy to-branch",
        "Harbor hq: policy to-branch (11) runs as execution 104",
        "Harbor hq: stop execution 103",
        "Harbor hq: execution 103 is asked to stop",
        "Harbor hq: there is no replication policy nightly",
    ] {
        assert!(journal.contains(line), "{line} is not in:\n{journal}");
    }
    let starts = server.requests().iter().filter(|r| r.method == "POST").count();
    assert_eq!(starts, 2, "each start once");
}

#[test]
fn a_plain_registry_is_no_harbor() {
    let server = Server::start(play);
    let site = Site::without_engine();
    let _engine = site.engine();
    site.run(&["registry", "add", "plain", &server.address]).expect(0, &[]);
    let refused = site.run(&["harbor", "policies", "plain"]);
    assert!(
        refused.status == 1 && refused.err.contains("is recorded as distribution, not as Harbor"),
        "{refused:#?}"
    );
    assert!(refused.err.contains("longshore registry set plain --kind harbor"), "{refused:#?}");
    assert!(site.json_any(&["registry", "show", "plain"])["harbor"].is_null());
    assert!(server.lines().iter().all(|line| line.contains(" /v2/")), "{:?}", server.lines());
}
