//! Who may ask for what, request by request, and that no list of requests lifts anybody above who asked.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

const NOW: Millis = Millis(1_000_000);
const HASHED: &str = "$argon2id$v=19$m=8,t=1,p=1$c2FsdHNhbHQ$aGFzaA";

fn operator() -> Subject {
    Subject::Operator("alice".into())
}

fn who(login: &str) -> Subject {
    if login == "os" { operator() } else { login.parse().unwrap() }
}

fn user(name: &str) -> UserName {
    name.parse().unwrap()
}

fn project(name: &str) -> ProjectName {
    name.parse().unwrap()
}

fn put(name: &str, admin: bool) -> AccessCommand {
    AccessCommand::PutUser { name: user(name), password: Some(HASHED.into()), admin }
}

fn add(name: &str) -> AccessCommand {
    AccessCommand::AddUser { name: user(name), password: HASHED.into(), admin: false }
}

fn appoint(of: &str, name: &str, role: Role) -> AccessCommand {
    AccessCommand::Grant { project: project(of), user: user(name), role }
}

fn revoke(of: &str, name: &str) -> AccessCommand {
    AccessCommand::Revoke { project: project(of), user: user(name) }
}

fn robot(of: &str, name: &str, role: Role) -> AccessCommand {
    let (project, name) = (project(of), user(name));
    AccessCommand::MakeRobot { project, name, role, secret: HASHED.into(), expires: Some(Millis(NOW.0 + 1)) }
}

fn ask(access: &mut Access, by: &str, command: AccessCommand) -> Result<String, String> {
    let applied = apply(access, &who(by), command, NOW).map_err(|r| r.text)?;
    applied.changes.into_iter().for_each(|change| access.change(change));
    Ok(applied.sentence)
}

fn house() -> Access {
    let mut access = Access::default();
    let people = ["root", "gail", "dev", "ada", "adam", "newcomer", "olga"];
    let users = people.map(|name| put(name, name == "root"));
    let projects = ["feed", "other"].map(|name| AccessCommand::PutProject { name: project(name) });
    let members = [
        appoint("feed", "gail", Role::Guest),
        appoint("feed", "dev", Role::Developer),
        appoint("feed", "ada", Role::ProjectAdmin),
        appoint("feed", "adam", Role::ProjectAdmin),
        appoint("other", "olga", Role::ProjectAdmin),
    ];
    for command in users.into_iter().chain(projects).chain(members) {
        ask(&mut access, "os", command).unwrap();
    }
    ask(&mut access, "ada", robot("feed", "ci", Role::Developer)).unwrap();
    access
}

/// Each request, and who of these may make it: operator, system admin, project admin, developer, guest, newcomer,
/// project admin of another project, robot.
#[test]
fn every_request_is_for_exactly_those_who_may() {
    let (feed, ci) = (project("feed"), user("ci"));
    let askers = ["os", "root", "ada", "dev", "gail", "newcomer", "olga", "robot$feed+ci"];
    let (system, admins) = ("11000000", "11100000");
    let table = [
        (put("bob", false), system),
        (put("bob", true), system),
        (add("bob"), system),
        (AccessCommand::PutUser { name: user("ada"), password: None, admin: true }, system),
        (AccessCommand::SetPassword { name: user("gail"), password: HASHED.into() }, "11001000"),
        (AccessCommand::DisableUser { name: user("gail"), disabled: true }, system),
        (AccessCommand::RemoveUser { name: user("gail") }, system),
        (AccessCommand::PutProject { name: project("new") }, system),
        (AccessCommand::RemoveProject { name: feed.clone() }, system),
        (appoint("feed", "newcomer", Role::Guest), admins),
        (appoint("feed", "newcomer", Role::Developer), admins),
        (appoint("feed", "newcomer", Role::ProjectAdmin), system),
        (appoint("feed", "dev", Role::ProjectAdmin), system),
        (appoint("feed", "gail", Role::Developer), admins),
        (appoint("feed", "dev", Role::Guest), admins),
        (appoint("feed", "adam", Role::Guest), system),
        (revoke("feed", "dev"), admins),
        (revoke("feed", "gail"), admins),
        (revoke("feed", "adam"), system),
        (robot("feed", "cd", Role::Guest), admins),
        (robot("feed", "cd", Role::ProjectAdmin), admins),
        (
            AccessCommand::RenewRobot {
                project: feed.clone(),
                name: ci.clone(),
                secret: None,
                expires: None,
            },
            admins,
        ),
        (AccessCommand::DisableRobot { project: feed.clone(), name: ci.clone(), disabled: true }, admins),
        (AccessCommand::RemoveRobot { project: feed, name: ci }, admins),
    ];
    for (command, may) in table {
        for (asker, expected) in askers.into_iter().zip(may.chars()) {
            let done = ask(&mut house(), asker, command.clone());
            assert_eq!(done.is_ok(), expected == '1', "{asker}: {command:?}: {done:?}");
        }
    }
}

#[test]
fn the_last_project_admin_stays_unless_a_system_admin_says_so() {
    let mut access = house();
    assert_eq!(
        ask(&mut access, "adam", revoke("feed", "adam")).unwrap(),
        "adam is no longer project admin of feed"
    );
    for stepping_down in [revoke("feed", "ada"), appoint("feed", "ada", Role::Guest)] {
        let why = ask(&mut access, "ada", stepping_down).unwrap_err();
        assert_eq!(why, "ada is the last project admin of feed");
    }
    ask(&mut access, "root", revoke("feed", "ada")).unwrap();
    let mut access = house();
    ask(&mut access, "root", AccessCommand::DisableUser { name: user("adam"), disabled: true }).unwrap();
    let why = ask(&mut access, "ada", revoke("feed", "ada")).unwrap_err();
    assert_eq!(why, "ada is the last project admin of feed", "one who cannot log in does not count");
}

#[test]
fn a_newcomer_needs_to_be_a_user_and_a_member_and_is_told_which_is_missing() {
    let mut access = house();
    assert_eq!(
        ask(&mut access, "ada", appoint("feed", "bob", Role::Guest)).unwrap_err(),
        "bob is not a user yet"
    );
    ask(&mut access, "root", put("bob", false)).unwrap();
    let why = ask(&mut access, "bob", revoke("feed", "gail")).unwrap_err();
    assert_eq!(why, "bob is a user, but not a member of feed");
    assert_eq!(
        ask(&mut access, "ada", appoint("feed", "bob", Role::Guest)).unwrap(),
        "appointed bob guest of feed"
    );
    assert_eq!(
        ask(&mut access, "ada", appoint("feed", "bob", Role::Developer)).unwrap(),
        "appointed bob developer of feed (was guest)"
    );
    assert_eq!(ask(&mut access, "stranger", put("x", true)).unwrap_err(), "stranger is not a user yet");
}

#[test]
fn who_is_removed_and_comes_back_finds_nothing() {
    let mut access = house();
    let said = ask(&mut access, "root", AccessCommand::RemoveUser { name: user("dev") }).unwrap();
    assert_eq!(said, "removed user dev, a member of 1 projects");
    ask(&mut access, "root", put("dev", false)).unwrap();
    assert!(!access.projects[&project("feed")].members.contains_key(&user("dev")));
    ask(&mut access, "root", AccessCommand::RemoveProject { name: project("feed") }).unwrap();
    ask(&mut access, "root", AccessCommand::PutProject { name: project("feed") }).unwrap();
    assert_eq!((access.projects[&project("feed")].members.len(), access.robots.len()), (0, 0));
}

#[test]
fn what_makes_no_sense_is_refused() {
    let mut access = house();
    let plain = AccessCommand::SetPassword { name: user("gail"), password: "hunter2".into() };
    assert!(
        ask(&mut access, "gail", plain).unwrap_err().contains("no hash"),
        "a plain password is never kept"
    );
    let late = AccessCommand::RenewRobot {
        project: project("feed"),
        name: user("ci"),
        secret: None,
        expires: Some(NOW),
    };
    assert!(ask(&mut access, "ada", late).unwrap_err().contains("over at once"));
    assert!(ask(&mut access, "ada", robot("feed", "ci", Role::Guest)).unwrap_err().contains("already"));
    let bare = AccessCommand::PutUser { name: user("bob"), password: None, admin: false };
    assert_eq!(ask(&mut access, "root", bare).unwrap_err(), "bob is not a user yet");
    assert!(ask(&mut access, "root", AccessCommand::PutProject { name: project("a..b") }).is_err());
    let disabled = AccessCommand::DisableUser { name: user("root"), disabled: true };
    ask(&mut access, "root", disabled).unwrap();
    assert_eq!(ask(&mut access, "root", put("x", true)).unwrap_err(), "root is disabled");
}

#[test]
fn who_is_there_already_is_not_made_anew() {
    let mut access = house();
    let before = access.clone();
    let why = ask(&mut access, "root", add("ada")).unwrap_err();
    assert_eq!((why.as_str(), &access), ("ada is a user already: nothing was changed", &before));
    assert_eq!(ask(&mut access, "root", add("bob")).unwrap(), "made user bob");
    let plain = AccessCommand::AddUser { name: user("eve"), password: "hunter2".into(), admin: false };
    assert_eq!(ask(&mut access, "root", plain).unwrap_err(), "this is no hash of a password");
}

#[test]
fn nobody_new_is_called_what_the_engine_is_called() {
    for (name, whose) in [("engine", "in the journal"), ("longshore-engine", "in the logs of registries")] {
        let mut access = house();
        let text = format!("{name} is the engine itself {whose}: nobody else may be called so");
        for new in [put(name, false), add(name), robot("feed", name, Role::Guest)] {
            assert_eq!(ask(&mut access, "os", new).unwrap_err(), text);
        }
        // Who is called so from earlier on is read, stays, and can be changed and removed.
        let kept = User { name: user(name), password: HASHED.into(), admin: false, disabled: false };
        access.change(AccessChange::User(kept));
        let mut old: Robot = access.robots[0].clone();
        old.name = user(name);
        access.change(AccessChange::Robot(old));
        let mut access: Access = serde_json::from_str(&serde_json::to_string(&access).unwrap()).unwrap();
        assert!(access.users.contains_key(&user(name)) && access.robots.len() == 2);
        let own = AccessCommand::SetPassword { name: user(name), password: HASHED.into() };
        ask(&mut access, name, own).unwrap();
        ask(&mut access, "os", put(name, true)).unwrap();
        let (project, robot) = (project("feed"), user(name));
        ask(&mut access, "ada", AccessCommand::RemoveRobot { project, name: robot }).unwrap();
        ask(&mut access, "os", AccessCommand::RemoveUser { name: user(name) }).unwrap();
    }
    for fine in ["engineer", "engine2", "longshore"] {
        ask(&mut house(), "os", put(fine, false)).unwrap();
    }
}

#[test]
fn what_is_so_already_changes_nothing() {
    let access = house();
    for command in [
        appoint("feed", "dev", Role::Developer),
        AccessCommand::PutProject { name: project("feed") },
        AccessCommand::DisableUser { name: user("dev"), disabled: false },
        AccessCommand::PutUser { name: user("dev"), password: None, admin: false },
    ] {
        let applied = apply(&access, &operator(), command, NOW).unwrap();
        assert!(applied.changes.is_empty() && applied.sentence.contains("already"), "{applied:?}");
    }
}

fn any_command() -> impl Strategy<Value = AccessCommand> {
    let name = prop::sample::select(&["root", "gail", "dev", "ada", "adam", "newcomer", "olga", "bob", "ci"])
        .prop_map(user);
    let of = prop::sample::select(&["feed", "other", "new"]).prop_map(project);
    let role = prop::sample::select(&[Role::Guest, Role::Developer, Role::ProjectAdmin]);
    (0..13, name, of, role, any::<bool>()).prop_map(|(kind, name, project, role, flag)| match kind {
        0 => AccessCommand::PutUser { name, password: Some(HASHED.into()), admin: flag },
        1 => AccessCommand::SetPassword { name, password: HASHED.into() },
        2 => AccessCommand::DisableUser { name, disabled: flag },
        3 => AccessCommand::RemoveUser { name },
        4 => AccessCommand::PutProject { name: project },
        5 => AccessCommand::RemoveProject { name: project },
        6 | 7 => AccessCommand::Grant { project, user: name, role },
        8 => AccessCommand::Revoke { project, user: name },
        9 => AccessCommand::MakeRobot { project, name, role, secret: HASHED.into(), expires: None },
        10 => AccessCommand::AddUser { name, password: HASHED.into(), admin: flag },
        11 => AccessCommand::DisableRobot { project, name, disabled: flag },
        _ => AccessCommand::RemoveRobot { project, name },
    })
}

fn admins(access: &Access) -> BTreeSet<(String, String)> {
    let system = access.users.values().filter(|u| u.admin).map(|u| ("*".to_owned(), u.name.to_string()));
    let of = |p: &Project| {
        let admins = p.members.iter().filter(|(_, role)| **role == Role::ProjectAdmin);
        admins.map(|(name, _)| (p.name.to_string(), name.to_string())).collect::<Vec<_>>()
    };
    system.chain(access.projects.values().flat_map(of)).collect()
}

proptest! {
    #[test]
    fn nobody_below_a_system_admin_makes_an_admin_or_leaves_a_project_without_one(
        requests in prop::collection::vec((prop::sample::select(&["ada", "adam", "dev", "gail", "olga", "newcomer", "robot$feed+ci"]), any_command()), 0..40)
    ) {
        let mut access = house();
        for (by, command) in requests {
            let before = access.clone();
            let done = ask(&mut access, by, command.clone());
            prop_assert!(done.is_ok() || access == before);
            prop_assert!(admins(&access).is_subset(&admins(&before)), "{} made an admin by {:?}", by, command);
            prop_assert_eq!(access.projects.len(), 2);
            prop_assert_eq!(access.users.len(), before.users.len());
            for (name, project) in &access.projects {
                prop_assert!(project_admins(&access, project).next().is_some(), "{} has no admin", name);
                let other = before.projects[name] != *project;
                let was = before.projects[name].members.get(&user(by.strip_prefix("robot$feed+").unwrap_or(by)));
                prop_assert!(!other || was == Some(&Role::ProjectAdmin), "{} changed {}", by, name);
            }
        }
    }

    #[test]
    fn members_are_users_and_robots_have_projects_whatever_is_asked(
        requests in prop::collection::vec((prop::sample::select(&["os", "root", "ada"]), any_command()), 0..60)
    ) {
        let mut access = house();
        for (by, command) in requests {
            let _refused = ask(&mut access, by, command);
            for project in access.projects.values() {
                prop_assert!(project.members.keys().all(|name| access.users.contains_key(name)));
            }
            prop_assert!(access.robots.iter().all(|r| access.projects.contains_key(&r.project)));
            let text = serde_json::to_string(&access).unwrap();
            prop_assert_eq!(&serde_json::from_str::<Access>(&text).unwrap(), &access);
        }
    }
}
