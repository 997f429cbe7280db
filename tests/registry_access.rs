//! Real registries that ask our token service: clients that are not ours may do exactly what their role says.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "real processes are waited for in real time; tests say what failed by failing"
)]

#[cfg(test)]
#[allow(dead_code, clippy::allow_attributes, reason = "each test program uses a part of it")]
mod support;

#[cfg(test)]
#[path = "support/site.rs"]
#[allow(dead_code, clippy::allow_attributes, reason = "each test program uses a part of it")]
mod machine;
#[cfg(test)]
#[path = "registry_access/people.rs"]
mod people;
#[path = "registry_access/site.rs"]
mod site;

use std::time::Duration;

use longshore::model::access::Role;
use longshore::model::access::command::AccessCommand;
use longshore::ports::desk::Happened;
use site::{SOON_MS, Site, is_there};
use support::Lab;
use support::skopeo::{copy, delete, image, look};

/// What somebody may do in `feed/app`, and whether they pull from `other/app`.
struct May {
    login: &'static str,
    secret: &'static str,
    pull: bool,
    push: bool,
    delete: bool,
    elsewhere: bool,
}

fn may(login: &'static str, secret: &'static str, rights: [bool; 4]) -> May {
    let [pull, push, delete, elsewhere] = rights;
    May { login, secret, pull, push, delete, elsewhere }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_role_can_do_exactly_its_part_in_two_registries() {
    let Some(site) = Site::start(2).await else { return };
    let dir = image();
    let table = [
        may("root", "pw-root", [true; 4]),
        may("ada", "pw-ada", [true, true, true, false]),
        may("dev", "pw-dev", [true, true, false, false]),
        may("gail", "pw-gail", [true, false, false, false]),
        may("newcomer", "pw-newcomer", [false; 4]),
        may("stranger", "pw-stranger", [false; 4]),
        may("gail", "pw-dev", [false; 4]),
        may("", "", [false; 4]),
        may("robot$feed+ci", "robot-secret", [true, true, false, false]),
        may("robot$feed+late", "robot-secret", [false; 4]),
        may("robot$other+ci", "robot-secret", [false; 4]),
    ];
    for registry in &site.registries {
        for project in ["feed", "other"] {
            let to = registry.image(&format!("{project}/app:base"));
            copy("root", "pw-root", &dir, &to).await.expect("the system admin puts the images");
        }
        for (i, who) in table.iter().enumerate() {
            let name = format!("{} with {:?}", who.login, who.secret);
            let pull = look(who.login, who.secret, &registry.image("feed/app:base")).await;
            assert_eq!(pull.is_ok(), who.pull, "{name} pulls: {pull:?}");
            let elsewhere = look(who.login, who.secret, &registry.image("other/app:base")).await;
            assert_eq!(elsewhere.is_ok(), who.elsewhere, "{name} pulls elsewhere: {elsewhere:?}");
            let own = registry.image(&format!("feed/own-{i}:1"));
            let push = copy(who.login, who.secret, &dir, &own).await;
            assert_eq!(push.is_ok(), who.push, "{name} pushes: {push:?}");
            if !who.push {
                copy("root", "pw-root", &dir, &own).await.unwrap();
            }
            let gone = delete(who.login, who.secret, &own).await;
            assert_eq!(gone.is_ok(), who.delete, "{name} deletes: {gone:?}");
            assert_eq!(is_there(&own).await, !who.delete, "{name}: what {own} shows");
        }
    }
    let counted = site.counts.read();
    assert!(counted.granted > 0 && counted.denied > 0 && counted.failed > 0, "{counted:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_granted_and_taken_holds_at_once_in_both_registries() {
    let Some(site) = Site::start(2).await else { return };
    let dir = image();
    for registry in &site.registries {
        copy("root", "pw-root", &dir, &registry.image("feed/app:1")).await.unwrap();
    }
    let all_look = async |expected: bool| {
        for registry in &site.registries {
            let seen = look("newcomer", "pw-newcomer", &registry.image("feed/app:1")).await;
            assert_eq!(seen.is_ok(), expected, "{seen:?}");
        }
    };
    all_look(false).await;
    let (project, user) = ("feed".parse().unwrap(), "newcomer".parse().unwrap());
    site.ask("ada", AccessCommand::Grant { project, user, role: Role::Guest });
    all_look(true).await;
    let (project, user) = ("feed".parse().unwrap(), "newcomer".parse().unwrap());
    site.ask("ada", AccessCommand::Revoke { project, user });
    all_look(false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_for_one_registry_is_refused_by_the_other_and_reports_arrive() {
    let Some(mut site) = Site::start(2).await else { return };
    let dir = image();
    for registry in &site.registries {
        copy("dev", "pw-dev", &dir, &registry.image("feed/app:1")).await.unwrap();
    }
    let scope = "repository:feed/app:pull";
    let token = site.token("dev", "pw-dev", "hub-0", scope).await;
    assert_eq!(site.get("hub-0", "/v2/feed/app/tags/list", &token).await, 200);
    assert_eq!(site.get("hub-1", "/v2/feed/app/tags/list", &token).await, 401, "another registry's token");
    assert_eq!(site.get("hub-0", "/v2/feed/app/tags/list", "").await, 401);
    assert_eq!(site.get("hub-0", "/v2/_catalog", &token).await, 401);
    let catalogue = site.token("root", "pw-root", "hub-0", "registry:catalog:*").await;
    assert_eq!(site.get("hub-0", "/v2/_catalog", &catalogue).await, 200);
    let mut cut = token.clone();
    cut.truncate(token.len() - 8);
    assert_eq!(site.get("hub-0", "/v2/feed/app/tags/list", &cut).await, 401, "a signature that is not ours");
    let mut from = std::collections::BTreeSet::new();
    while from.len() < 2 {
        let hint = tokio::time::timeout(Duration::from_secs(20), site.hints.recv()).await.unwrap().unwrap();
        assert_eq!((hint.repository.as_str(), hint.action), ("feed/app", Happened::Push));
        assert_eq!(hint.tag.unwrap().as_str(), "1");
        from.insert(hint.registry.unwrap().to_string());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_robot_whose_time_ends_is_refused_from_then_on() {
    let Some(site) = Site::start(1).await else { return };
    let registry = &site.registries[0];
    copy("robot$feed+ci", "robot-secret", &image(), &registry.image("feed/app:1")).await.unwrap();
    let (project, name) = ("feed".parse().unwrap(), "ci".parse().unwrap());
    let expires = Some(site.now().plus(SOON_MS));
    site.ask("ada", AccessCommand::RenewRobot { project, name, secret: None, expires });
    tokio::time::sleep(Duration::from_millis(SOON_MS)).await;
    let seen = look("robot$feed+ci", "robot-secret", &registry.image("feed/app:1")).await;
    assert!(seen.is_err(), "{seen:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_docker_command_line_is_held_to_the_same_roles() {
    let Some(site) = Site::start(1).await else { return };
    let Some(lab) = Lab::start_own(&[]) else { return };
    let image = site.registries[0].image("feed/lab:1");
    lab.docker_ok(&["tag", &lab.image(), &image]);
    let as_who = |login: &str, secret: &str, command: &[&str]| {
        let dir = tempfile::tempdir().unwrap();
        let config = ["--config", dir.path().to_str().unwrap()];
        let run = |args: &[&str]| {
            let all: Vec<&str> = config.iter().chain(args).copied().collect();
            lab.docker(&all)
        };
        if !login.is_empty() {
            let done = run(&["login", "-u", login, "-p", secret, &site.registries[0].address]);
            if !done.status.success() {
                return Err(String::from_utf8_lossy(&done.stderr).into_owned());
            }
        }
        let done = run(command);
        if done.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&done.stderr).into_owned()) }
    };
    let push = ["push", image.as_str()];
    let pull = ["pull", image.as_str()];
    for (login, secret) in [("", ""), ("gail", "pw-gail"), ("newcomer", "pw-newcomer"), ("stranger", "x")] {
        let pushed = as_who(login, secret, &push);
        assert!(pushed.is_err(), "{login} pushed");
    }
    as_who("dev", "pw-dev", &push).unwrap();
    as_who("gail", "pw-gail", &pull).unwrap();
    as_who("robot$feed+ci", "robot-secret", &pull).unwrap();
    for (login, secret) in
        [("", ""), ("newcomer", "pw-newcomer"), ("stranger", "x"), ("robot$feed+late", "robot-secret")]
    {
        let pulled = as_who(login, secret, &pull);
        assert!(pulled.is_err(), "{login} pulled");
    }
}
