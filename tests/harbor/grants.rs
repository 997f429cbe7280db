//! Our own list of projects, members and robots beside a Harbor's: compared, brought there, and followed from then on.

use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use crate::cli::site;
use crate::server::{Reply, Request, Server, json as answer, reply};
use crate::site::{Site, until};
use crate::{BASIC, fixture};

/// A Harbor with one project, its members (by number, name and role), and its robots. It does not know `ghost`, and breaks
/// off when `cut` is to become a member.
#[derive(Clone, Default)]
struct Feed {
    members: Arc<Mutex<Vec<(i64, String, i64)>>>,
    robots: Arc<Mutex<Vec<Value>>>,
    /// Requests that fail for now: `METHOD path`.
    fails: Arc<Mutex<Vec<&'static str>>>,
}

impl Feed {
    fn names(&self) -> Vec<String> {
        self.members.lock().unwrap().iter().map(|(_, name, role)| format!("{name} {role}")).collect()
    }

    /// Somebody gives a member another role in Harbor itself.
    fn set_role(&self, name: &str, role: i64) {
        let mut members = self.members.lock().unwrap();
        members.iter_mut().filter(|(_, is, _)| is == name).for_each(|(.., is)| *is = role);
    }

    fn fail(&self, requests: &[&'static str]) {
        *self.fails.lock().unwrap() = requests.to_vec();
    }

    fn answer(&self, request: &Request) -> Reply {
        let (path, _) = request.target.split_once('?').unwrap_or((&request.target, ""));
        let list = |rows: Vec<Value>| {
            let total = rows.len().to_string();
            reply(200, &[("X-Total-Count", &total)], &Value::from(rows).to_string())
        };
        if path.starts_with("/v2/") {
            return reply(200, &[], "{}");
        }
        let is_known = request.headers.get("authorization").is_some_and(|login| login == BASIC);
        let asked = format!("{} {}", request.method, path.trim_start_matches("/api/v2.0/"));
        if is_known && self.fails.lock().unwrap().iter().any(|fails| *fails == asked) {
            // (A change is broken off: whether it was made is not known.)
            if request.method != "GET" {
                return Vec::new();
            }
            return reply(500, &[], r#"{"errors":[{"code":"UNKNOWN","message":"the database is gone"}]}"#);
        }
        let mut members = self.members.lock().unwrap();
        match (request.method.as_str(), path.trim_start_matches("/api/v2.0/")) {
            ("GET", "health") => answer(r#"{"status":"healthy","components":[]}"#),
            _ if !is_known => reply(401, &[], fixture!("error-401.json")),
            ("GET", "users/current") => answer(fixture!("user.json")),
            ("GET", "systeminfo") => answer(fixture!("systeminfo.json")),
            ("GET", "systeminfo/volumes") => answer(fixture!("volumes.json")),
            ("GET", "projects") => list(vec![
                json!({"project_id": 7, "name": "feed", "repo_count": 0, "metadata": {"public": "false"}}),
            ]),
            ("GET", "projects/7/members") => list(
                members
                    .iter()
                    .map(|(id, name, role)| {
                        json!({"id": id, "project_id": 7, "entity_name": name, "entity_type": "u", "role_id": role})
                    })
                    .collect(),
            ),
            ("POST", "projects/feed/members") => {
                let body: Value = serde_json::from_str(&request.body).unwrap();
                let name = body["member_user"]["username"].as_str().unwrap().to_owned();
                if name == "cut" {
                    return Vec::new();
                }
                if name == "ghost" {
                    return reply(404, &[], r#"{"errors":[{"code":"NOT_FOUND","message":"User ghost not found"}]}"#);
                }
                let id = members.iter().map(|(id, ..)| *id).max().unwrap_or(0) + 1;
                members.push((id, name, body["role_id"].as_i64().unwrap()));
                reply(201, &[("Location", "/api/v2.0/projects/7/members/9")], "")
            }
            ("DELETE", path) if path.starts_with("projects/feed/members/") => {
                let id: i64 = path.rsplit('/').next().unwrap().parse().unwrap();
                members.retain(|(known, ..)| *known != id);
                reply(200, &[], "")
            }
            ("PUT", "robots/21") => {
                let body: Value = serde_json::from_str(&request.body).unwrap();
                self.robots.lock().unwrap()[0]["disable"] = body["disable"].clone();
                reply(200, &[], "")
            }
            ("POST", "robots") => reply(201, &[], fixture!("robot-made.json")),
            ("GET", "robots") => list(self.robots.lock().unwrap().clone()),
            ("GET", "quotas" | "replication/policies") => list(vec![]),
            other => panic!("{other:?}"),
        }
    }
}

fn make_user(site: &Site, name: &str) {
    let said = site.run_with(&["user", "add", name, "--password-stdin"], b"a-long-enough-password\n");
    said.expect(0, &[]);
}

fn access(site: &Site) -> Value {
    site.json_any(&["registry", "show", "hq"])["harbor"].clone()
}

#[test]
fn grants_follow_to_a_harbor_once_somebody_has_asked_for_that() {
    let feed = Feed::default();
    feed.members.lock().unwrap().push((1, "cy".to_owned(), 4));
    let harbor = feed.clone();
    let server = Server::start(move |request| harbor.answer(request));
    let (site, _engine) = site(&server.address, "");
    for name in ["anna", "bo", "ghost"] {
        make_user(&site, name);
    }
    site.run(&["project", "add", "feed"]).expect(0, &[]);
    site.run(&["project", "grant", "feed", "anna", "developer"]).expect(0, &[]);
    site.run(&["robot", "add", "feed/deploy", "--role", "guest", "--expires", "90d"]).expect(0, &[]);

    // The dry run says what would be, and changes nothing; nothing follows by itself.
    let plan = site.run(&["registry", "access-plan", "hq"]);
    assert_eq!(plan.status, 1, "{plan:#?}");
    for line in [
        "would: feed: anna becomes developer",
        "would: feed: make robot deploy as guest, for 89 days",
        "stays apart: feed: cy is maintainer only in Harbor",
        "grants do not follow to hq yet",
    ] {
        assert!(plan.out.contains(line) || plan.err.contains(line), "{line} is not in {plan:#?}");
    }
    assert_eq!((feed.names(), access(&site)["access"].as_str()), (vec!["cy 4".to_owned()], Some("apart")));

    // Brought there by hand: the robot's secret is seen once, and is in no journal.
    let done =
        site.run(&["registry", "access-plan", "hq", "--yes"]).expect(0, &["feed: anna becomes developer"]);
    assert!(done.out.contains("robot robot$feed+deploy: secret Th3-Secret-That-Is-Shown-Once"), "{done:#?}");
    assert_eq!(feed.names(), ["cy 4", "anna 2"]);
    let journal = site.journal().join("\n");
    assert!(
        journal.contains("Harbor hq: feed: anna becomes developer") && !journal.contains("Th3-Secret"),
        "{journal}"
    );

    // From now on grants follow, and what is taken away here goes there; what others gave stays.
    site.run(&["project", "grant", "feed", "bo", "guest"]).expect(0, &[]);
    until("bo's grant has followed", || feed.names().contains(&"bo 3".to_owned()).then_some(()));
    site.run(&["project", "revoke", "feed", "anna"]).expect(0, &[]);
    until("anna is gone", || (feed.names() == ["cy 4", "bo 3"]).then_some(()));

    // What Harbor refuses is told, shown and in the journal, and does not keep the rest from following.
    site.run(&["project", "grant", "feed", "ghost", "guest"]).expect(0, &[]);
    let behind = until("it is told that Harbor is behind", || {
        let said = access(&site);
        (said["access"] == "behind").then_some(said)
    });
    assert!(behind["access_why"].as_str().unwrap().contains("User ghost not found"), "{behind}");
    let shown = site.run(&["registry", "show", "hq"]);
    assert!(shown.out.contains("access: behind for"), "{shown:#?}");
    let told = "Harbor hq: grants could not be brought there: feed: ghost becomes guest";
    assert!(site.journal().join("\n").contains(told), "{:#?}", site.journal());
    site.run(&["project", "revoke", "feed", "ghost"]).expect(0, &[]);
    until("it is as here again", || (access(&site)["access"] != "behind").then_some(()));

    // No more.
    site.run(&["registry", "access-plan", "hq", "--off"]).expect(0, &["no more"]);
    let requests = server.requests().iter().filter(|r| r.method != "GET").count();
    site.run(&["project", "revoke", "feed", "bo"]).expect(0, &[]);
    let plan = site.run(&["registry", "access-plan", "hq"]);
    assert!(plan.err.contains("grants do not follow to hq yet"), "{plan:#?}");
    assert_eq!(server.requests().iter().filter(|r| r.method != "GET").count(), requests);
    assert_eq!(feed.names(), ["cy 4", "bo 3"], "what is there stays");
}

/// An engine whose grants follow to this Harbor already: anna is developer.
fn following(feed: &Feed) -> (Site, crate::site::Process, Server) {
    let harbor = feed.clone();
    let server = Server::start(move |request| harbor.answer(request));
    let (site, engine) = site(&server.address, "");
    for name in ["anna", "bo", "cut"] {
        make_user(&site, name);
    }
    site.run(&["project", "add", "feed"]).expect(0, &[]);
    site.run(&["project", "grant", "feed", "anna", "developer"]).expect(0, &[]);
    site.run(&["registry", "access-plan", "hq", "--yes"]).expect(0, &["feed: anna becomes developer"]);
    (site, engine, server)
}

fn behind(site: &Site, word: &str) {
    let said = until("it is told that Harbor is behind", || {
        let said = access(site);
        (said["access"] == "behind").then_some(said)
    });
    assert!(said["access_why"].as_str().unwrap().contains(word), "{word:?}: {said}");
}

#[test]
fn a_revocation_that_cannot_be_made_yet_is_shown_and_made_later() {
    let feed = Feed::default();
    let (site, _engine, _server) = following(&feed);
    // The list of members cannot be read: nothing is taken away, and nobody says that it is as here.
    feed.fail(&["GET projects/7/members"]);
    site.run(&["project", "revoke", "feed", "anna"]).expect(0, &[]);
    behind(&site, "the database is gone");
    assert_eq!(feed.names(), ["anna 2"]);
    feed.fail(&[]);
    site.run(&["project", "grant", "feed", "bo", "guest"]).expect(0, &[]);
    until("what was revoked before is gone", || (feed.names() == ["bo 3"]).then_some(()));
    until("it is as here again", || (access(&site)["access"] == "brought").then_some(()));
    // Somebody gave her another role in Harbor meanwhile: it stays, and is told.
    feed.set_role("bo", 4);
    site.run(&["project", "revoke", "feed", "bo"]).expect(0, &[]);
    behind(&site, "feed: bo is maintainer only in Harbor");
    let again = site.run(&["registry", "access-plan", "hq", "--yes", "--replace-unknown"]);
    again.expect(0, &["feed: bo is no longer maintainer"]);
    assert!(feed.names().is_empty());
    until("it is as here again", || (access(&site)["access"] == "brought").then_some(()));
}

#[test]
fn a_grant_that_hangs_holds_up_no_revocation() {
    let feed = Feed::default();
    let (site, _engine, _server) = following(&feed);
    site.run(&["project", "grant", "feed", "bo", "guest"]).expect(0, &[]);
    until("bo's grant has followed", || (feed.names() == ["anna 2", "bo 3"]).then_some(()));
    // Harbor breaks off at one grant, and at one removal: each other removal is made all the same.
    site.run(&["project", "grant", "feed", "cut", "guest"]).expect(0, &[]);
    behind(&site, "feed: cut becomes guest");
    feed.fail(&["DELETE projects/feed/members/1"]);
    site.run(&["project", "revoke", "feed", "anna"]).expect(0, &[]);
    site.run(&["project", "revoke", "feed", "bo"]).expect(0, &[]);
    until("bo is gone", || (feed.names() == ["anna 2"]).then_some(()));
    feed.fail(&[]);
    site.run(&["project", "grant", "feed", "bo", "developer"]).expect(0, &[]);
    until("anna is gone", || (!feed.names().contains(&"anna 2".to_owned())).then_some(()));
}

#[test]
fn a_robot_that_somebody_shut_out_in_harbor_stays_out_until_a_person_asks() {
    let feed = Feed::default();
    // Not of our making: it is only called the same.
    feed.robots.lock().unwrap().push(
        json!({"id": 21, "name": "robot$feed+ci", "level": "project", "duration": -1, "editable": true,
        "disable": true, "expires_at": -1, "permissions": [{"kind": "project", "namespace": "feed",
        "access": [{"resource": "repository", "action": "pull"}]}]}),
    );
    let is_out = || feed.robots.lock().unwrap()[0]["disable"] == true;
    let (site, _engine, server) = following(&feed);
    site.run(&["robot", "add", "feed/ci", "--role", "guest", "--expires", "never"]).expect(0, &[]);
    let said = until("it waits for a person", || {
        let said = access(&site);
        (said["access"] == "waiting").then_some(said)
    });
    assert!(said["access_why"].as_str().unwrap().contains("robot robot$feed+ci, can log in"), "{said}");
    assert!(is_out() && !server.lines().iter().any(|line| line.starts_with("PUT")), "{:?}", server.lines());
    site.run(&["registry", "access-plan", "hq", "--yes"]).expect(0, &["robot robot$feed+ci, can log in"]);
    assert!(!is_out());
    // What takes away follows by itself.
    site.run(&["robot", "disable", "feed/ci"]).expect(0, &[]);
    until("it cannot log in", || is_out().then_some(()));
    site.run(&["robot", "enable", "feed/ci"]).expect(0, &[]);
    until("it waits for a person", || (access(&site)["access"] == "waiting").then_some(()));
    assert!(is_out());
}
