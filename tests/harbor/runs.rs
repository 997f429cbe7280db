//! Replication: endpoints, policies, executions, tasks, logs, start and stop.

use longshore::base::clock::Millis;
use longshore::base::fault::Kind;
use longshore::model::harbor::Wellness;
use longshore::model::harbor::runs::{PolicyTrigger, Progress};
use longshore::ports::registry_admin::RunAdmin;

use crate::server::{Server, json, reply};
use crate::{fixture, harbor};

#[tokio::test]
async fn endpoints_are_read_with_words_that_are_new() {
    let server = Server::start(|_| json(fixture!("registries.json")));
    let all = harbor(&server.address).endpoints().await.unwrap();
    let [branch, hub] = &all[..] else { panic!("{all:?}") };
    assert_eq!((branch.health.clone(), branch.insecure, branch.is_local()), (Wellness::Sick, true, false));
    assert_eq!(branch.user.as_ref().unwrap().raw(), "copier");
    assert_eq!(
        (hub.kind.raw(), hub.health.to_string(), hub.url.raw()),
        ("registry-of-tomorrow", "paused".to_owned(), "")
    );
    assert_eq!(server.lines(), ["GET /api/v2.0/registries?page=1&page_size=100"]);
}

#[tokio::test]
async fn policies_are_read_whole_bare_and_odd() {
    let server = Server::start(|_| json(fixture!("policies.json")));
    let all = harbor(&server.address).policies().await.unwrap();
    let [whole, bare, odd] = &all[..] else { panic!("{all:?}") };
    assert_eq!(whole.trigger, PolicyTrigger::Scheduled("0 0 2 * * *".into()));
    assert!(whole.from.as_ref().unwrap().is_local() && !whole.to.as_ref().unwrap().is_local());
    let filters: Vec<_> = whole.filters.iter().map(|f| (f.on.raw(), f.value.raw(), f.exclude)).collect();
    assert_eq!(
        filters,
        [
            ("name", "feed/**", false),
            ("tag", "*-rc*", true),
            ("label", "gold,blue", false),
            ("resource", "", false)
        ]
    );
    // Harbor's code multiplies by 128 where its pages say kilobytes.
    assert_eq!((whole.kilobits_per_s, whole.bytes_per_s()), (Some(1024), Some(131_072)));
    assert_eq!((whole.by_chunk, whole.single, whole.deletes), (Some(true), Some(true), true));
    assert_eq!((bare.enabled, bare.deletes, bare.kilobits_per_s, bare.by_chunk), (false, false, None, None));
    assert_eq!((odd.trigger.to_string(), odd.kilobits_per_s), ("on_full_moon".to_owned(), None));
}

#[tokio::test]
async fn executions_and_tasks_say_how_they_stand() {
    let server = Server::start(|request| {
        let of = if request.target.contains("tasks") {
            fixture!("tasks.json")
        } else {
            fixture!("executions.json")
        };
        reply(200, &[("X-Total-Count", "4")], of)
    });
    let harbor = harbor(&server.address);
    let page = harbor.executions(11, None).await.unwrap();
    assert_eq!(page.next, None);
    let states: Vec<_> = page.items.iter().map(|e| (e.id, e.progress().to_string(), e.disagrees())).collect();
    assert_eq!(
        states,
        [
            (103, "running".to_owned(), false),
            (102, "failed".to_owned(), false),
            (101, "Paused".to_owned(), false),
            (100, "(not said)".to_owned(), false)
        ]
    );
    assert_eq!((page.items[0].ended, page.items[0].began), (None, Some(Millis(1_767_323_045_000))));
    assert!(page.items[1].why.raw().starts_with("Execution skipped"));
    let tasks = harbor.tasks(103, Some("1")).await.unwrap().items;
    let states: Vec<Progress> = tasks.iter().map(|t| t.state.clone()).collect();
    let odd = Progress::Other("Hibernating".into());
    assert_eq!(states, [Progress::Done, Progress::Failed, Progress::Waiting, odd]);
    assert_eq!(
        server.lines(),
        [
            "GET /api/v2.0/replication/executions?policy_id=11&sort=-start_time&page=1&page_size=100",
            "GET /api/v2.0/replication/executions/103/tasks?page=1&page_size=100"
        ]
    );
}

#[tokio::test]
async fn a_log_is_plain_text_and_a_very_long_one_loses_its_beginning() {
    let server = Server::start(|_| reply(200, &[("Content-Type", "text/plain")], fixture!("task.log")));
    let log = harbor(&server.address).log(103, 502).await.unwrap();
    assert_eq!((log.text.raw(), log.cut), (fixture!("task.log"), false));
    assert_eq!(server.lines(), ["GET /api/v2.0/replication/executions/103/tasks/502/log"]);
    let long: String = (0..200_000).map(|n| format!("line {n}\n")).collect();
    let server = Server::start(move |_| reply(200, &[("Content-Type", "text/plain")], &long));
    let log = harbor(&server.address).log(103, 502).await.unwrap();
    assert!(log.cut && log.text.raw().len() <= 1 << 20, "{}", log.text.raw().len());
    assert!(log.text.raw().starts_with("line ") && log.text.raw().ends_with("line 199999\n"));
}

#[tokio::test]
async fn a_start_gives_the_number_and_a_stop_is_a_put() {
    let server = Server::start(|request| match request.method.as_str() {
        "POST" => reply(201, &[("Location", "/api/v2.0/replication/executions/104")], ""),
        _ => reply(200, &[], ""),
    });
    let harbor = harbor(&server.address);
    assert_eq!(harbor.start(11).await.unwrap(), 104);
    harbor.stop(104).await.unwrap();
    assert_eq!(
        server.lines(),
        ["POST /api/v2.0/replication/executions", "PUT /api/v2.0/replication/executions/104"]
    );
    assert_eq!(server.requests()[0].body, r#"{"policy_id":11}"#);
    assert_eq!(server.requests()[1].body, "");
}

#[tokio::test]
async fn a_disabled_policy_is_not_started() {
    let server = Server::start(|_| reply(412, &[], fixture!("error-412.json")));
    let fault = harbor(&server.address).start(12).await.unwrap_err();
    assert_eq!(fault.kind, Kind::Refused);
    assert!(fault.to_string().ends_with("PRECONDITION: the policy 12 is disabled"), "{fault}");
    let mute = Server::start(|_| reply(201, &[], ""));
    let fault = harbor(&mute.address).start(12).await.unwrap_err();
    assert!(!fault.is_unknown() && fault.hint.unwrap().contains("do not start it again"));
}
