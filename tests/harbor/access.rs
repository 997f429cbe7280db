//! Members and robots, and each step: method, path, headers and body.

use longshore::base::clock::Millis;
use longshore::base::fault::Kind;
use longshore::base::ids::{ProjectName, UserName};
use longshore::model::access::Role;
use longshore::model::harbor::access::{AccessStep, Applied, HarborRobot, HarborRole, Member, MemberKind};
use longshore::ports::registry_admin::AccessAdmin;
use serde_json::{Value, json as value};

use crate::server::{Server, json, reply};
use crate::{feed, fixture, harbor};

fn project() -> ProjectName {
    ProjectName::new("feed").unwrap()
}

fn user(name: &str) -> UserName {
    UserName::new(name).unwrap()
}

fn member() -> Member {
    Member { id: 3, name: "bo".into(), kind: MemberKind::User, role: HarborRole::Maintainer }
}

fn robot() -> HarborRobot {
    HarborRobot {
        id: 21,
        login: "robot$feed+ci".into(),
        description: "builds".into(),
        level: "project".into(),
        grants: vec![],
        days: 30,
        expires: None,
        disabled: false,
        editable: true,
    }
}

#[tokio::test]
async fn members_keep_roles_and_sorts_that_we_have_no_word_for() {
    let server = Server::start(|_| reply(200, &[("X-Total-Count", "6")], fixture!("members.json")));
    let members = harbor(&server.address).members(&feed()).await.unwrap();
    let rows: Vec<String> = members.iter().map(|m| format!("{} {:?} {}", m.name, m.kind, m.role)).collect();
    assert_eq!(
        rows,
        [
            "admin User projectAdmin",
            "anna User developer",
            "bo User maintainer",
            "staff Group limitedGuest",
            "cy Other(\"x\") release-manager (role 17)",
            "dan Other(\"\") guest",
        ]
    );
    assert_eq!(server.lines(), ["GET /api/v2.0/projects/7/members?page=1&page_size=100"]);
    assert!(!server.requests()[0].headers.contains_key("x-is-resource-name"), "by number");
}

/// Harbor counts memberships of people who are gone: then every reading is short in the same way, and that is the list.
#[tokio::test]
async fn a_count_that_is_always_higher_does_not_hide_the_list() {
    let server = Server::start(|_| {
        let link = "</api/v2.0/projects/7/members?page=1>; rel=\"prev\"";
        reply(200, &[("X-Total-Count", "8"), ("Link", link)], fixture!("members.json"))
    });
    assert_eq!(harbor(&server.address).members(&feed()).await.unwrap().len(), 6);
    assert_eq!(server.requests().len(), 2);
}

#[tokio::test]
async fn robots_are_asked_for_by_the_projects_number() {
    let server = Server::start(|_| reply(200, &[("X-Total-Count", "2")], fixture!("robots.json")));
    let robots = harbor(&server.address).robots(&feed()).await.unwrap();
    assert_eq!(
        server.lines(),
        ["GET /api/v2.0/robots?q=Level%3Dproject%2CProjectID%3D7&page=1&page_size=100"]
    );
    let [ci, old] = &robots[..] else { panic!("{robots:?}") };
    assert_eq!((ci.short(), ci.role(&project())), (Some("ci"), Some(Role::Developer)));
    assert_eq!((ci.expires, ci.disabled, ci.days), (Some(Millis(1_800_000_000_000)), false, 30));
    assert_eq!((old.expires, old.disabled, old.editable, old.role(&project())), (None, true, false, None));
}

#[tokio::test]
async fn each_step_is_one_call() {
    let developer = Role::Developer;
    let steps = [
        (
            AccessStep::CreateProject(project()),
            "POST /api/v2.0/projects",
            value!({"project_name": "feed", "metadata": {"public": "false"}}),
        ),
        (
            AccessStep::ClosePublic(project()),
            "PUT /api/v2.0/projects/feed/metadatas/public",
            value!({"public": "false"}),
        ),
        (
            AccessStep::AddMember { project: project(), user: user("anna"), role: developer },
            "POST /api/v2.0/projects/feed/members",
            value!({"role_id": 2, "member_user": {"username": "anna"}}),
        ),
        (
            AccessStep::ChangeMember { project: project(), member: member(), role: Role::ProjectAdmin },
            "PUT /api/v2.0/projects/feed/members/3",
            value!({"role_id": 1}),
        ),
        (
            AccessStep::RemoveMember { project: project(), member: member() },
            "DELETE /api/v2.0/projects/feed/members/3",
            Value::Null,
        ),
        (
            AccessStep::ChangeRobot {
                project: project(),
                robot: robot(),
                role: Some(Role::Guest),
                disabled: true,
            },
            "PUT /api/v2.0/robots/21",
            value!({"id": 21, "name": "robot$feed+ci", "description": "builds", "level": "project", "duration": 30, "disable": true,
                "permissions": [{"kind": "project", "namespace": "feed", "access": [{"resource": "repository", "action": "pull"}]}]}),
        ),
        (
            AccessStep::RemoveRobot { project: project(), robot: robot() },
            "DELETE /api/v2.0/robots/21",
            Value::Null,
        ),
    ];
    for (step, line, body) in steps {
        let server = Server::start(|_| reply(200, &[], ""));
        assert_eq!(harbor(&server.address).apply(&step).await.unwrap(), Applied::Done, "{step}");
        let [request] = &server.requests()[..] else { panic!("{step}: {:?}", server.lines()) };
        assert_eq!(request.line(), line);
        let sent: Value = serde_json::from_str(&request.body).unwrap_or(Value::Null);
        assert_eq!(sent, body, "{step}");
        let by_name = request.target.contains("/projects/feed/");
        assert_eq!(request.headers.contains_key("x-is-resource-name"), by_name, "{step}");
    }
}

#[tokio::test]
async fn a_robots_secret_comes_once_and_is_not_printed() {
    let server =
        Server::start(|_| reply(201, &[("Location", "/api/v2.0/robots/23")], fixture!("robot-made.json")));
    let step =
        AccessStep::AddRobot { project: project(), name: user("deploy"), role: Role::Guest, days: None };
    let made = harbor(&server.address).apply(&step).await.unwrap();
    assert!(!format!("{made:?}").contains("Th3-Secret"), "{made:?}");
    let Applied::Robot { login, secret, expires } = made else { panic!("no robot") };
    assert_eq!((login.raw(), secret.reveal()), ("robot$feed+deploy", "Th3-Secret-That-Is-Shown-Once"));
    assert_eq!(expires, Some(Millis(1_800_000_000_000)));
    let sent: Value = serde_json::from_str(&server.requests()[0].body).unwrap();
    assert_eq!(
        (&sent["name"], &sent["duration"], &sent["level"]),
        (&value!("deploy"), &value!(-1), &value!("project"))
    );
    // A life of 0 days means the server's own default: that is never sent.
    let step =
        AccessStep::AddRobot { project: project(), name: user("deploy"), role: Role::Guest, days: Some(0) };
    assert_eq!(harbor(&server.address).apply(&step).await.unwrap_err().kind, Kind::Invalid);
    assert_eq!(server.requests().len(), 1);
}

#[tokio::test]
async fn a_member_who_is_there_already_is_looked_at() {
    let server = Server::start(|request| match request.method.as_str() {
        "POST" => reply(409, &[], fixture!("error-409.json")),
        _ => json(fixture!("members.json")),
    });
    let add = |name, role| AccessStep::AddMember { project: project(), user: user(name), role };
    let same = harbor(&server.address).apply(&add("anna", Role::Developer)).await;
    assert_eq!(same.unwrap(), Applied::Already);
    assert_eq!(server.lines()[1], "GET /api/v2.0/projects/feed/members?entityname=anna&page=1&page_size=100");
    let other = harbor(&server.address).apply(&add("bo", Role::Developer)).await.unwrap_err();
    assert_eq!(other.kind, Kind::Conflict);
    assert!(other.to_string().ends_with("already exist: bo is maintainer there"), "{other}");
}

#[tokio::test]
async fn what_is_gone_or_there_already_is_well() {
    let gone = Server::start(|_| reply(404, &[], r#"{"errors":[{"code":"NOT_FOUND","message":"no"}]}"#));
    for step in [
        AccessStep::RemoveMember { project: project(), member: member() },
        AccessStep::RemoveRobot { project: project(), robot: robot() },
    ] {
        assert_eq!(harbor(&gone.address).apply(&step).await.unwrap(), Applied::Already);
    }
    let change = AccessStep::ChangeMember { project: project(), member: member(), role: Role::Guest };
    assert_eq!(harbor(&gone.address).apply(&change).await.unwrap_err().kind, Kind::NotFound);
    let there = Server::start(|_| reply(409, &[], fixture!("error-409.json")));
    let create = AccessStep::CreateProject(project());
    assert_eq!(harbor(&there.address).apply(&create).await.unwrap(), Applied::Already);
}
