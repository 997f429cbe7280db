//! The real program as the token service of two real registries: people and robots made on the command line, clients that
//! are not ours held to their roles at both, replication between the two, ends and take-over.

use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use crate::registry::{Registry, free_port};
use crate::site::{Process, Site, until};
use crate::support::Lab;
use crate::support::skopeo::{copy, delete, image, look, skopeo, with_logins};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// A machine with an engine that gives out tokens, and two registries that ask it.
struct Place {
    site: Site,
    engine: Option<Process>,
    registries: Vec<(String, Registry)>,
    port: u16,
}

const PASSWORD: &str = "long-enough";

impl Place {
    /// Everything as an operator would do it; `None`, with the reason printed, when no registries are asked for.
    fn start() -> Option<Place> {
        let plain = [Registry::start()?, Registry::start()?];
        let site = Site::without_engine();
        let port = free_port();
        site.file("config.toml", &format!("local = false\n[token-service]\nlisten = \"127.0.0.1:{port}\"\n"));
        let early = site.run(&["registry", "add", "north", &plain[0].address()]).expect(0, &["accepted"]);
        assert!(!early.out.contains("trouble"), "{early:?}");
        let engine = site.engine();
        site.ok(&["registry", "add", "south", &plain[1].address()]);
        let mut registries = Vec::new();
        for (name, mut registry) in ["north", "south"].into_iter().zip(plain) {
            registry.kill();
            let pem =
                site.file(&format!("{name}.pem"), &site.ok(&["registry", "auth-config", name, "--pem"]));
            let config = site.ok(&["registry", "auth-config", name, "--certificate", &pem]);
            registry.configure(&config);
            registry.launch();
            registries.push((name.to_owned(), registry));
        }
        let place = Place { site, engine: Some(engine), registries, port };
        place.people();
        Some(place)
    }

    fn people(&self) {
        for (name, more) in [("root", "--admin"), ("ada", ""), ("dev", ""), ("gail", ""), ("newcomer", "")] {
            let mut args = vec!["user", "add", name, "--password-stdin"];
            args.extend(Some(more).filter(|m| !m.is_empty()));
            let said = self.site.run_with(&args, format!("{PASSWORD}-{name}\n").as_bytes());
            said.expect(0, &["accepted: made "]);
        }
        for project in ["feed", "other"] {
            self.site.run(&["project", "add", project]).expect(0, &["nobody is a member yet"]);
        }
        for (user, role) in [("ada", "project-admin"), ("dev", "developer"), ("gail", "guest")] {
            self.site.run(&["project", "grant", "feed", user, role]).expect(0, &["accepted: appointed "]);
        }
    }

    fn images(&self, name: &str) -> Vec<String> {
        self.registries.iter().map(|(_, registry)| format!("{}/{name}", registry.address())).collect()
    }

    /// A robot's secret, as it is printed once.
    fn robot(&self, name: &str, role: &str, expires: &str) -> String {
        let said = self.site.json(&["robot", "add", name, "--role", role, "--expires", expires]);
        said["secret"].as_str().unwrap().to_owned()
    }

    /// A token as a client gets it; the status when it gets none.
    async fn token(&self, login: &str, secret: &str, scope: &str) -> Result<String, u16> {
        use base64::Engine;
        let basic = base64::engine::general_purpose::STANDARD.encode(format!("{login}:{secret}"));
        let path = format!("/token?service=north&scope={scope}");
        let header = format!("Authorization: Basic {basic}\r\n");
        let (status, body) = http(&format!("127.0.0.1:{}", self.port), &path, &header).await;
        let said: serde_json::Value = serde_json::from_str(&body).unwrap_or(serde_json::Value::Null);
        said["token"].as_str().map(str::to_owned).ok_or(status)
    }
}

/// Status and body of one small request.
async fn http(address: &str, path: &str, header: &str) -> (u16, String) {
    let Ok(mut stream) = tokio::net::TcpStream::connect(address).await else { return (0, String::new()) };
    let text = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n{header}\r\n");
    stream.write_all(text.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let status = answer.split(' ').nth(1).and_then(|s| s.parse().ok()).unwrap_or(0);
    (status, answer.split_once("\r\n\r\n").map_or(String::new(), |(_, body)| body.to_owned()))
}

fn password(name: &str) -> String {
    format!("{PASSWORD}-{name}")
}

#[tokio::test(flavor = "multi_thread")]
async fn people_made_on_the_command_line_are_held_to_their_roles_at_both_registries() {
    let Some(place) = Place::start() else { return };
    let dir = image();
    let robot = place.robot("feed/ci", "developer", "1h");
    let secret = |name: &str| if name.starts_with("robot") { robot.clone() } else { password(name) };
    // Who, and whether they pull, push and delete in feed, and pull elsewhere.
    let table = [
        ("root", [true; 4]),
        ("ada", [true, true, true, false]),
        ("dev", [true, true, false, false]),
        ("gail", [true, false, false, false]),
        ("robot$feed+ci", [true, true, false, false]),
        ("newcomer", [false; 4]),
        ("stranger", [false; 4]),
        ("", [false; 4]),
    ];
    for (n, base) in place.images("feed/app:base").into_iter().enumerate() {
        let other = place.images("other/app:base")[n].clone();
        for to in [&base, &other] {
            copy("root", &password("root"), &dir, to).await.expect("the system admin puts the images");
        }
        for (i, (who, [pull, push, remove, elsewhere])) in table.into_iter().enumerate() {
            let secret = secret(who);
            let seen = look(who, &secret, &base).await;
            assert_eq!(seen.is_ok(), pull, "{who:?} pulls: {seen:?}");
            let seen = look(who, &secret, &other).await;
            assert_eq!(seen.is_ok(), elsewhere, "{who:?} pulls elsewhere: {seen:?}");
            let own = place.images(&format!("feed/own-{i}:1"))[n].clone();
            let pushed = copy(who, &secret, &dir, &own).await;
            assert_eq!(pushed.is_ok(), push, "{who:?} pushes: {pushed:?}");
            if !push {
                copy("root", &password("root"), &dir, &own).await.unwrap();
            }
            let gone = delete(who, &secret, &own).await;
            assert_eq!(gone.is_ok(), remove, "{who:?} deletes: {gone:?}");
            assert_eq!(
                look("root", &password("root"), &own).await.is_ok(),
                !remove,
                "{who:?}: what is there"
            );
        }
    }
    let journal = place.site.journal().join("\n");
    for text in [
        "made system admin root",
        "appointed ada project admin of feed",
        "appointed dev developer of feed",
        "appointed gail guest of feed",
        "made robot$feed+ci, developer, until ",
    ] {
        assert!(journal.contains(text), "no {text:?} in {journal}");
    }
    assert!(!journal.contains("argon2") && !journal.contains(PASSWORD) && !journal.contains(&robot));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_grant_holds_at_both_at_once_and_what_ends_is_over_within_the_stated_time() {
    let Some(place) = Place::start() else { return };
    let dir = image();
    let images = place.images("feed/app:1");
    for to in &images {
        copy("dev", &password("dev"), &dir, to).await.unwrap();
    }
    let all_look = async |who: &str, secret: &str, expected: bool| {
        for from in &images {
            let seen = look(who, secret, from).await;
            assert_eq!(seen.is_ok(), expected, "{who}: {seen:?}");
        }
    };
    let newcomer = password("newcomer");
    all_look("newcomer", &newcomer, false).await;
    place.site.ok(&["project", "grant", "feed", "newcomer", "guest"]);
    all_look("newcomer", &newcomer, true).await;
    let before = place.token("newcomer", &newcomer, "repository:feed/app:pull").await.unwrap();
    place.site.ok(&["project", "revoke", "feed", "newcomer"]);
    all_look("newcomer", &newcomer, false).await;
    // What was given out before ends within five minutes by its own word; the registry checks that.
    assert!(lifetime(&before) <= 300, "{} s", lifetime(&before));
    place.site.ok(&["user", "disable", "newcomer"]);
    assert_eq!(place.token("newcomer", &newcomer, "repository:feed/app:pull").await, Err(401));
    let secret = place.robot("feed/short", "guest", "3s");
    all_look("robot$feed+short", &secret, true).await;
    let of_robot = place.token("robot$feed+short", &secret, "repository:feed/app:pull").await;
    assert!(of_robot.is_err() || lifetime(&of_robot.unwrap()) <= 3, "no token outlives its robot");
    tokio::time::sleep(Duration::from_secs(3)).await;
    all_look("robot$feed+short", &secret, false).await;
    place.site.run(&["robot", "ls"]).expect(0, &["robot$feed+short", "expired"]);
    let renewed = place.site.json(&["robot", "renew", "feed/short", "--new-secret"]);
    all_look("robot$feed+short", &secret, false).await;
    all_look("robot$feed+short", renewed["secret"].as_str().unwrap(), true).await;
}

/// For how many seconds a token is valid, as it says itself.
fn lifetime(token: &str) -> i64 {
    use base64::Engine;
    let claims = token.split('.').nth(1).unwrap();
    let claims = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(claims).unwrap();
    let claims: serde_json::Value = serde_json::from_slice(&claims).unwrap();
    claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_engine_replicates_between_registries_that_ask_it_and_a_successor_goes_on() {
    let Some(mut place) = Place::start() else { return };
    let dir = image();
    let [from, to] = &place.images("feed/app:1")[..] else { panic!("two registries") };
    copy("dev", &password("dev"), &dir, from).await.unwrap();
    let live = |place: &Place| place.site.run(&["registry", "ls"]).out.matches("ok, ").count() == 2;
    until("both registries answer the engine", || live(&place).then_some(()));
    place.site.ok(&["replicate", "rule", "add", "copy", "--from", "north", "--to", "south"]);
    place.site.run(&["replicate", "diff", "copy"]).expect(1, &["feed/app"]);
    place.site.ok(&["replicate", "run", "copy"]);
    until("south has it too", || {
        let said = place.site.run(&["replicate", "diff", "copy"]);
        (said.status == 0).then_some(())
    });
    let digest = async |image: &str| {
        let creds = format!("--creds=gail:{}", password("gail"));
        let name = format!("docker://{image}");
        let said = skopeo(&["inspect", "--tls-verify=false", &creds, "--format", "{{.Digest}}", &name]).await;
        said.expect("a guest looks at it")
    };
    assert_eq!(digest(from).await, digest(to).await);
    assert!(look("", "", to).await.is_err(), "nobody reads it without a log-in");
    // Another engine stands by and goes on when this one is killed: with its registries' tokens, too.
    let second = place.site.spawn(&["engine"]);
    until("the second engine stands by", || second.said().contains("standing by").then_some(()));
    place.engine.take().unwrap().kill();
    until("the second engine is at work", || second.said().contains("engine active").then_some(()));
    let mut works = Err(String::new());
    for _ in 0..100 {
        works = look("gail", &password("gail"), to).await;
        if works.is_ok() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(works.is_ok(), "{works:?}\n{}", second.said());
    assert_eq!(http(&format!("127.0.0.1:{}", place.port), "/health", "").await.0, 200);
    let doctor = place.site.run(&["doctor"]);
    assert!(doctor.out.contains("token service"), "{doctor:?}");
    place.engine = Some(second);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_is_checked_kept_as_the_docker_cli_does_and_forgotten() {
    let Some(place) = Place::start() else { return };
    let dir = image();
    let to = place.images("feed/app:1")[0].clone();
    copy("dev", &password("dev"), &dir, &to).await.unwrap();
    let file = place.site.dir().join("home/.docker/config.json");
    let log_in = |name: &str, secret: &str| {
        let args = ["registry", "login", "north", "--username", name, "--password-stdin"];
        place.site.run_with(&args, secret.as_bytes())
    };
    log_in("gail", "not-her-password").expect(1, &["hint: "]);
    assert!(!file.exists(), "nothing is kept of a login that is wrong");
    log_in("gail", &password("gail")).expect(0, &["config.json", "the login for registry north has changed"]);
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let (from, there) = (format!("docker://{to}"), tempfile::tempdir().unwrap());
    let pull = format!("dir:{}", there.path().display());
    with_logins(&file, &["copy", "--src-tls-verify=false", &from, &pull])
        .await
        .expect("skopeo finds the login");
    place.site.run(&["registry", "logout", "north"]).expect(0, &["was taken out of"]);
    let refused = with_logins(&file, &["copy", "--src-tls-verify=false", &from, &pull]).await;
    assert!(refused.is_err(), "{refused:?}");
    place.site.run(&["registry", "logout", "north"]).expect(0, &["nothing to forget"]);
    place.site.run(&["--read-only", "project", "rm", "feed"]).expect(1, &["read-only"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_docker_command_line_is_held_to_what_the_command_line_granted() {
    let Some(place) = Place::start() else { return };
    let Some(lab) = Lab::start_own(&[]) else { return };
    let secret = place.robot("feed/ci", "developer", "1h");
    for (n, image) in place.images("feed/lab:1").iter().enumerate() {
        lab.docker_ok(&["tag", &lab.image(), image]);
        let address = image.split('/').next().unwrap().to_owned();
        let as_who = |login: &str, secret: &str, command: &[&str]| {
            let dir = tempfile::tempdir().unwrap();
            let run = |args: &[&str]| {
                let config = ["--config", dir.path().to_str().unwrap()];
                let all: Vec<&str> = config.iter().chain(args).copied().collect();
                lab.docker(&all).status.success()
            };
            let is_in = login.is_empty() || run(&["login", "-u", login, "-p", secret, &address]);
            is_in && run(command)
        };
        let (push, pull) = (["push", image.as_str()], ["pull", image.as_str()]);
        for nobody in ["", "gail", "newcomer", "stranger"] {
            assert!(!as_who(nobody, &password(nobody), &push), "{nobody:?} pushed at {n}");
        }
        assert!(as_who("dev", &password("dev"), &push) && as_who("gail", &password("gail"), &pull));
        assert!(as_who("robot$feed+ci", &secret, &pull));
        for nobody in ["", "newcomer", "stranger"] {
            assert!(!as_who(nobody, &password(nobody), &pull), "{nobody:?} pulled at {n}");
        }
    }
}
