//! The commands about users, projects, robots and logins: what is asked of the engine, and what is printed.

use std::sync::Arc;

use longshore::base::clock::Millis;
use longshore::model::access::command::AccessCommand;
use longshore::model::access::view::{AccessView, RobotView, UserView};
use longshore::model::access::{Project, Role};
use longshore::model::command::{Accepted, Command};
use longshore::model::query::{Reply, Request};
use longshore::model::registry::{Registry, RegistryKind, RegistryView};
use longshore::model::world::World;

use crate::data::*;
use crate::fake::*;

fn with_access(world: &mut World) {
    let user = |admin, disabled| UserView { admin, disabled };
    let members = [("ada".parse().unwrap(), Role::ProjectAdmin), ("bob".parse().unwrap(), Role::Guest)];
    let feed = Project { name: "feed".parse().unwrap(), members: members.into() };
    let robot = |name: &str, expires: Option<i64>| RobotView {
        project: "feed".parse().unwrap(),
        name: name.parse().unwrap(),
        role: Role::Developer,
        expires: expires.map(|ms| Millis(NOW.0 + ms)),
        disabled: false,
    };
    let users = [("ada", user(false, false)), ("bob", user(false, true)), ("root", user(true, false))];
    world.access = Arc::new(AccessView {
        users: users.map(|(name, user)| (name.parse().unwrap(), user)).into(),
        projects: [(feed.name.clone(), feed)].into(),
        robots: vec![robot("ci", Some(90 * 86_400_000)), robot("old", Some(-1)), robot("scan", None)],
        service: None,
    });
    let registry = |name: &str, kind| {
        let registry = Registry::new(name.parse().unwrap(), format!("{name}.example:5000"));
        RegistryView::never(Registry { kind, ..registry })
    };
    let all = [registry("hq", RegistryKind::Distribution), registry("harbor", RegistryKind::Harbor)];
    world.registries = Arc::new(all.into_iter().map(|v| (v.registry.name.clone(), v)).collect());
}

fn accepting() -> Fake {
    let accepted = || Reply::Accepted(Accepted { op: None, text: "done".into() });
    Fake::new(move |_| accepted()).with(with_access)
}

async fn typed(fake: &Fake, keys: Vec<&'static str>, line: &str) -> Ran {
    let mut run = Run::new();
    run.io.keys = Box::new(Typed(keys, None));
    run.go(fake, line).await
}

fn one(fake: &Fake) -> AccessCommand {
    match &fake.asked()[..] {
        [Request::Command(Command::Access(asked))] => (**asked).clone(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_password_is_typed_twice_or_handed_in_and_never_printed() {
    // Typed with a slip that is taken back; the second time in other blocks.
    let fake = accepting();
    let ran =
        typed(&fake, vec!["long-pas\u{e9}\u{7f}\u{7f}ssword\rlong", "-password\r"], "user add eve").await;
    assert_eq!((ran.status, ran.out.as_str()), (0, "accepted: done\n"), "{}", ran.err);
    assert!(ran.err.contains("password of eve: ") && !ran.err.contains("long-"), "{}", ran.err);
    assert!(ran.err.contains("longshore project grant PROJECT eve"), "the second step is named: {}", ran.err);
    let password = "$argon2id$13".to_owned();
    assert_eq!(one(&fake), AccessCommand::AddUser { name: "eve".parse().unwrap(), password, admin: false });
    let fake = accepting();
    let ran = typed(&fake, vec!["long-", "password\n"], "user passwd ada --password-stdin --json").await;
    assert_eq!(ran.out, "{\"accepted\":true,\"op\":null,\"text\":\"done\"}\n", "{}", ran.err);
    let password = "$argon2id$13".to_owned();
    assert_eq!(one(&fake), AccessCommand::SetPassword { name: "ada".parse().unwrap(), password });
    for (keys, line, words) in [
        (vec!["long-password\rother-password\r"], "user add eve", "not the same"),
        (vec!["short\rshort\r"], "user add eve", "at least 8 characters"),
        (vec!["long-password\r", "\u{3}"], "user add eve", "stopped: nothing was changed"),
        (vec![], "user add eve --password-stdin", "is empty"),
        (vec!["long-\npassword\n"], "user add eve --password-stdin", "line ends"),
        (vec![], "user add ada --password-stdin", "ada is a user already"),
        (vec![], "user passwd eve --password-stdin", "eve is not a user yet"),
        (vec![], "user set eve --admin yes", "eve is not a user yet"),
        (vec![], "robot ls nowhere", "there is no project nowhere"),
        (vec![], "project members nowhere", "there is no project nowhere"),
        (vec![], "registry login nowhere -u ada --password-stdin", "there is no registry nowhere"),
        (vec![], "--read-only user rm ada", "read-only"),
    ] {
        let fake = Fake::mute().with(with_access);
        let ran = typed(&fake, keys, line).await;
        assert!(ran.status != 0 && ran.out.is_empty() && ran.err.contains(words), "{line}: {}", ran.err);
    }
}

#[tokio::test(start_paused = true)]
async fn a_robots_secret_is_printed_once_and_only_its_hash_is_sent() {
    let fake = accepting();
    let ran = run(&fake, "robot add feed/new --role developer --expires 30d").await;
    assert_eq!(ran.out, "accepted: done\nlogin:  robot$feed+new\nsecret: drawn-secret\n", "{}", ran.err);
    assert!(ran.err.contains("shown this once"), "{}", ran.err);
    let AccessCommand::MakeRobot { secret, expires, role, .. } = one(&fake) else { panic!() };
    assert_eq!((secret.as_str(), role), ("$argon2id$drawn", Role::Developer));
    assert_eq!(expires, Some(NOW.plus(30 * 86_400_000)));
    let fake = accepting();
    let ran = run(&fake, "robot renew robot$feed+ci --expires never --new-secret --json").await;
    let said: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!((&said["login"], &said["secret"]), (&"robot$feed+ci".into(), &"drawn-secret".into()));
    assert!(said["expires_ms"].is_null());
    let fake = accepting();
    let ran = run(&fake, "robot renew feed/ci").await;
    assert_eq!(ran.out, "accepted: done\n");
    assert!(matches!(one(&fake), AccessCommand::RenewRobot { secret: None, expires: Some(_), .. }));
}

/// What comes of a command that asks a token service, as `root`.
async fn afar(line: &str, typed_in: Vec<&'static str>) -> Ran {
    let door = "--service https://far.example:5443 --login root --password-stdin";
    // Nothing is asked of the engine of this machine.
    typed(&Fake::mute(), typed_in, &format!("{line} {door}")).await
}

#[tokio::test(start_paused = true)]
async fn a_robots_secret_from_afar_is_drawn_there_and_shown_as_from_here() {
    for (line, sent) in [
        ("robot add feed/ci --role guest --expires never", "MakeRobot"),
        ("robot renew feed/ci --expires never --new-secret", "RenewRobot"),
    ] {
        let here = run(&accepting(), line).await;
        let there = afar(line, vec!["right-one\n"]).await;
        assert_eq!(there.status, 0, "{}", there.err);
        let said = there.out.lines().next().unwrap();
        assert!(said.starts_with("accepted: root at https://far.example:5443, None: "), "{said}");
        assert!(
            said.contains(sent) && said.contains("secret: \"\"") || said.contains("Some(\"\")"),
            "{said}"
        );
        let rest = |ran: &Ran| ran.out.split_once('\n').unwrap().1.to_owned();
        assert_eq!(rest(&there), rest(&here).replace("drawn-secret", "drawn-there"));
        assert_eq!(there.err, here.err, "the same notes");
        let json = |ran: &Ran| {
            let mut said: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
            said["text"] = "".into();
            said
        };
        let here = json(&run(&accepting(), &format!("{line} --json")).await);
        let mut there = json(&afar(&format!("{line} --json"), vec!["right-one\n"]).await);
        assert_eq!(there["secret"], "drawn-there");
        there["secret"] = here["secret"].clone();
        assert_eq!(there, here, "the same fields");
    }
    let wrong = afar("robot add feed/ci --role guest", vec!["wrong-one\n"]).await;
    assert!(wrong.status == 1 && wrong.out.is_empty(), "{}", wrong.out);
    assert!(wrong.err.contains("name or secret is wrong"), "{}", wrong.err);
}

#[tokio::test(start_paused = true)]
async fn users_and_projects_are_changed_from_afar() {
    for (line, sent) in [
        ("user set bob --admin yes", "PutUser { name: \"bob\", password: None, admin: true }"),
        ("user disable bob", "DisableUser { name: \"bob\", disabled: true }"),
        ("user enable bob", "DisableUser { name: \"bob\", disabled: false }"),
        ("user rm bob", "RemoveUser { name: \"bob\" }"),
        ("project add feed", "PutProject { name: \"feed\" }"),
        ("project rm feed", "RemoveProject { name: \"feed\" }"),
        ("robot renew feed/ci --expires never", "secret: None"),
    ] {
        let ran = afar(line, vec!["right-one\n"]).await;
        assert_eq!((ran.status, ran.err.as_str()), (0, ""), "{line}");
        assert!(
            ran.out.contains("root at https://far.example:5443") && ran.out.contains(sent),
            "{}",
            ran.out
        );
        assert!(afar(line, vec!["wrong-one\n"]).await.err.contains("name or secret is wrong"), "{line}");
    }
    let ran = afar("user add eve", vec!["right-one\nlong-password\n"]).await;
    let sent = "AddUser { name: \"eve\", password: \"$argon2id$13\", admin: false }";
    assert!(ran.status == 0 && ran.out.contains(sent), "{} {}", ran.out, ran.err);
    assert!(ran.err.contains("longshore project grant PROJECT eve"), "{}", ran.err);
    let ran = afar("user add eve", vec!["right-one\nshort\n"]).await;
    assert!(ran.status == 1 && ran.err.contains("at least 8 characters"), "{}", ran.err);
    for half in ["user rm bob --service https://far.example", "project add x --login root"] {
        assert_eq!(run(&Fake::mute(), half).await.status, 2, "{half}");
    }
}

#[tokio::test(start_paused = true)]
async fn grants_and_the_rest_are_sent_as_they_were_asked() {
    let (project, user) = (|| "feed".parse().unwrap(), || "bob".parse().unwrap());
    let name = user;
    for (line, expected) in [
        ("project grant feed bob project-admin", {
            AccessCommand::Grant { project: project(), user: user(), role: Role::ProjectAdmin }
        }),
        ("project revoke feed bob", AccessCommand::Revoke { project: project(), user: user() }),
        ("project add feed", AccessCommand::PutProject { name: project() }),
        ("project rm feed", AccessCommand::RemoveProject { name: project() }),
        ("user disable bob", AccessCommand::DisableUser { name: name(), disabled: true }),
        ("user enable bob", AccessCommand::DisableUser { name: name(), disabled: false }),
        ("user rm bob", AccessCommand::RemoveUser { name: name() }),
        ("user set bob --admin yes", AccessCommand::PutUser { name: name(), password: None, admin: true }),
        ("robot rm feed/bob", AccessCommand::RemoveRobot { project: project(), name: name() }),
        ("robot enable feed/bob", {
            AccessCommand::DisableRobot { project: project(), name: name(), disabled: false }
        }),
        ("robot disable feed/bob", {
            AccessCommand::DisableRobot { project: project(), name: name(), disabled: true }
        }),
    ] {
        let fake = accepting();
        let ran = run(&fake, line).await;
        assert_eq!((ran.status, ran.out.as_str()), (0, "accepted: done\n"), "{line}: {}", ran.err);
        assert_eq!(one(&fake), expected, "{line}");
    }
    for line in [
        "project grant feed bob owner",
        "user add Bob",
        "robot add feed",
        "robot add feed/x --role guest --expires soon",
    ] {
        let ran = run(&Fake::mute(), line).await;
        assert_eq!((ran.status, ran.out.as_str()), (2, ""), "{line}: {}", ran.err);
    }
}

#[tokio::test(start_paused = true)]
async fn access_is_listed_for_people_and_for_programs() {
    let mut text = String::new();
    for line in ["user", "project", "project members feed", "robot"] {
        for json in ["", " --json"] {
            let ran = run(&Fake::mute().with(with_access), &format!("{line}{json}")).await;
            assert_eq!((ran.status, ran.err.as_str()), (0, ""), "{line}");
            clean(&ran);
            text.push_str(&format!("$ longshore {line}{json}\n{}\n", ran.out));
        }
    }
    insta::assert_snapshot!("access_lists", text);
    for line in ["user", "project", "robot"] {
        let ran = run(&Fake::mute(), line).await;
        assert!(ran.status == 0 && ran.out.is_empty() && ran.err.contains(" add "), "{line}: {}", ran.err);
    }
}

#[tokio::test(start_paused = true)]
async fn a_registrys_configuration_is_printed_and_a_login_is_kept() {
    let mut fake = Fake::mute().with(with_access);
    fake.own = true;
    let ran = run(&fake, "registry auth-config hq").await;
    assert_eq!(ran.status, 0);
    assert!(
        ran.out.contains("realm: \"https://longshore.example:5443/token\"\n    service: \"hq\"\n"),
        "{}",
        ran.out
    );
    assert!(ran.out.contains("Bearer s3cret") && ran.err.contains("secret of reports"), "{}", ran.err);
    let ran = run(&fake, "registry auth-config hq --no-reports --certificate /etc/l.pem").await;
    assert!(!ran.out.contains("s3cret") && ran.out.contains("rootcertbundle: \"/etc/l.pem\""), "{}", ran.out);
    let ran = run(&fake, "registry auth-config hq --pem").await;
    assert!(ran.out.starts_with("-----BEGIN CERTIFICATE-----\n"), "{}", ran.out);
    let ran = run(&fake, "registry auth-config hq --json").await;
    assert_eq!(serde_json::from_str::<serde_json::Value>(&ran.out).unwrap()["service"], "hq");
    let ran = run(&fake, "registry auth-config harbor").await;
    assert!(ran.status == 1 && ran.err.contains("users and tokens of its own"), "{}", ran.err);
    let ran = run(&Fake::mute().with(with_access), "registry auth-config hq").await;
    assert!(ran.status == 1 && ran.err.contains("[token-service]"), "{}", ran.err);
    let fake = accepting();
    let ran = typed(&fake, vec!["right-one\n"], "registry login hq -u robot$feed+ci --password-stdin").await;
    assert_eq!((ran.status, ran.out.as_str()), (0, "accepted: done\n"), "{}", ran.err);
    assert!(ran.err.contains("as good as in the clear"), "{}", ran.err);
    let renewed = |fake: &Fake| matches!(&fake.asked()[..], [Request::Command(Command::RenewLogin(_))]);
    assert!(renewed(&fake), "{:?}", fake.asked());
    let fake = Fake::mute().with(with_access);
    let ran = typed(&fake, vec!["wrong-one\n"], "registry login hq -u ada --password-stdin").await;
    assert!(ran.status == 1 && ran.err.contains("hq.example:5000 does not accept ada"), "{}", ran.err);
    let fake = accepting();
    assert!(run(&fake, "registry logout hq").await.err.contains("docker-credential-pass") && renewed(&fake));
    let ran = run(&Fake::mute().with(with_access), "registry logout harbor").await;
    assert!(ran.status == 0 && ran.err.contains("nothing to forget"), "{}", ran.err);
}
