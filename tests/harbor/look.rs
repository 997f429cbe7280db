//! Health, log-in, projects with paging, quotas, artifacts.

use longshore::base::clock::Millis;
use longshore::base::fault::Kind;
use longshore::model::harbor::{Login, Quota, Wellness};
use longshore::ports::registry_admin::Condition;

use crate::server::{Request, Server, json, reply};
use crate::{BASIC, feed, fixture, harbor};

#[tokio::test]
async fn health_is_asked_without_a_log_in_and_tells_of_each_part() {
    let server = Server::start(|_| json(fixture!("health.json")));
    let health = harbor(&server.address).health().await.unwrap();
    assert_eq!(health.status, Wellness::Sick);
    let parts: Vec<String> =
        health.components.iter().map(|c| format!("{} {} {}", c.name, c.health, c.error.is_some())).collect();
    let wanted = [
        "core healthy false",
        "jobservice unhealthy true",
        "registryctl starting false",
        "trivy (not said) false",
    ];
    assert_eq!(parts, wanted);
    assert_eq!(server.lines(), ["GET /api/v2.0/health"]);
    assert!(!server.requests()[0].headers.contains_key("authorization"));
}

/// Who asks, then two pages; the second repeats a project that moved while the list was read.
fn pages(request: &Request) -> Vec<u8> {
    let list = |next: &str, body| {
        let link = format!("</api/v2.0/projects?page={next}&page_size=100>; rel=\"next\"");
        let headers: &[(&str, &str)] = if next.is_empty() {
            &[("X-Total-Count", "3"), ("Link", "</api/v2.0/projects?page=1>; rel=\"prev\"")]
        } else {
            &[("X-Total-Count", "3"), ("Link", &link)]
        };
        reply(200, headers, body)
    };
    match request.target.as_str() {
        "/api/v2.0/users/current" => json(fixture!("user.json")),
        "/api/v2.0/projects?page=1&page_size=100" => list("2", fixture!("projects-1.json")),
        "/api/v2.0/projects?page=2&page_size=100" => list("", fixture!("projects-2.json")),
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn all_pages_make_one_list_and_nothing_comes_twice() {
    let server = Server::start(pages);
    let projects = harbor(&server.address).projects().await.unwrap();
    let rows: Vec<_> =
        projects.iter().map(|p| (p.id, p.name.raw(), p.public, p.repositories, p.cache_of)).collect();
    assert_eq!(
        rows,
        [
            (1, "library", Some(true), 2, None),
            (7, "feed", Some(false), 12, None),
            (9, "hub-cache", None, 0, Some(3))
        ]
    );
    assert_eq!(projects[0].created, Some(Millis(1_735_787_045_678)));
    assert_eq!(server.requests().len(), 3);
    assert!(server.requests().iter().all(|r| r.headers["authorization"] == BASIC), "each call logs in");
    assert!(
        server.requests().iter().all(|r| !r.headers.contains_key("cookie")),
        "no session, so no CSRF token"
    );
}

/// Harbor treats whom it does not know as nobody, and gives nobody the public projects with status 200.
#[tokio::test]
async fn a_wrong_password_is_no_short_list_of_projects() {
    let server = Server::start(|request| match request.target.as_str() {
        "/api/v2.0/users/current" => reply(401, &[], fixture!("error-401.json")),
        _ => json(fixture!("projects-1.json")),
    });
    let fault = harbor(&server.address).projects().await.unwrap_err();
    assert_eq!(fault.kind, Kind::Refused);
    let words = format!(
        "cannot log in at {}: it does not accept our log-in (status 401): UNAUTHORIZED: unauthorized",
        server.address
    );
    assert_eq!(fault.to_string(), words);
    assert!(!format!("{fault:?}").contains("Passw0rd"));
}

#[tokio::test]
async fn people_and_robots_are_told_apart() {
    let person = Server::start(|_| json(fixture!("user.json")));
    let login = harbor(&person.address).login().await.unwrap();
    assert_eq!(login, Login::User { name: "admin".into(), admin: true });
    let robot =
        Server::start(|_| reply(412, &[], r#"{"errors":[{"code":"PRECONDITION","message":"robot"}]}"#));
    assert_eq!(harbor(&robot.address).login().await.unwrap(), Login::NoPerson);
}

#[tokio::test]
async fn a_list_that_is_shorter_than_told_is_no_list() {
    let who = |r: &Request| r.target.ends_with("current");
    let empty = Server::start(move |r| match who(r) {
        true => json(fixture!("user.json")),
        false => reply(200, &[("X-Total-Count", "5")], "[]"),
    });
    let fault = harbor(&empty.address).projects().await.unwrap_err();
    assert_eq!(fault.kind, Kind::Bug, "{fault}");
    let null = Server::start(move |r| json(if who(r) { fixture!("user.json") } else { "null" }));
    assert_eq!(harbor(&null.address).projects().await.unwrap_err().kind, Kind::Bug);
    let none = Server::start(move |r| match who(r) {
        true => json(fixture!("user.json")),
        false => reply(200, &[("X-Total-Count", "0")], "[]"),
    });
    assert_eq!(harbor(&none.address).projects().await.unwrap(), []);
}

#[tokio::test]
async fn a_quota_is_told_limitless_or_unknown() {
    for (body, wanted) in [
        (fixture!("summary.json"), Some(Quota { used: 734_003_200, limit: Some(10_737_418_240) })),
        (r#"{"quota":{"hard":{"storage":-1},"used":{"storage":5}}}"#, Some(Quota { used: 5, limit: None })),
        (r#"{"quota":{"hard":{}}}"#, None),
        ("{}", None),
    ] {
        let server = Server::start(move |_| json(body));
        assert_eq!(harbor(&server.address).quota(&feed()).await.unwrap(), wanted, "{body}");
        assert_eq!(server.lines(), ["GET /api/v2.0/projects/7/summary"]);
    }
}

#[tokio::test]
async fn artifacts_of_a_nested_repository_are_asked_for_by_a_name_encoded_twice() {
    let server = Server::start(|_| reply(200, &[("X-Total-Count", "102")], fixture!("artifacts.json")));
    let of = "feed/web/front".parse().unwrap();
    let page = harbor(&server.address).artifacts(&of, None).await.unwrap();
    assert_eq!(
        server.lines(),
        [
            "GET /api/v2.0/projects/feed/repositories/web%252Ffront/artifacts?with_tag=true&page=1&page_size=100"
        ]
    );
    assert_eq!(page.next.as_deref(), Some("2"));
    let [one, odd] = &page.items[..] else { panic!("{page:?}") };
    assert_eq!((one.size, one.tags.len(), one.pulled), (5_242_880, 2, None));
    assert_eq!((odd.kind.raw(), odd.tags.len(), odd.pushed), ("SOMETHING.NEW", 0, None));
    let bad = harbor(&server.address).artifacts(&of, Some("0")).await.unwrap_err();
    assert_eq!(bad.kind, Kind::Invalid);
}
