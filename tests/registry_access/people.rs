//! The real program: people change access from afar, with the rights of their roles and no more.

use std::net::TcpListener;

use longshore::base::clock::{Clock, SystemClock};

use crate::machine::{Said, Site, until};

const PASSWORD: &str = "long-enough";

struct Place {
    site: Site,
    url: String,
    _engine: crate::machine::Process,
}

impl Place {
    fn start() -> Place {
        let site = Site::without_engine();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        site.file("config.toml", &format!("local = false\n[token-service]\nlisten = \"127.0.0.1:{port}\"\n"));
        let engine = site.engine();
        for name in ["ada", "dev", "bob", "olga"] {
            let password = format!("{PASSWORD}-{name}\n");
            site.run_with(&["user", "add", name, "--password-stdin"], password.as_bytes()).expect(0, &[]);
        }
        for (project, user, role) in [
            ("feed", "ada", "project-admin"),
            ("feed", "dev", "developer"),
            ("other", "olga", "project-admin"),
        ] {
            site.run(&["project", "add", project]).expect(0, &[]);
            site.run(&["project", "grant", project, user, role]).expect(0, &[]);
        }
        until("the service is open", || std::net::TcpStream::connect(("127.0.0.1", port)).ok());
        Place { site, url: format!("http://127.0.0.1:{port}"), _engine: engine }
    }

    /// A command as somebody, with this on its standard input.
    fn ask(&self, login: &str, input: &str, args: &[&str]) -> Said {
        let mut all = args.to_vec();
        all.extend(["--service", &self.url, "--login", login, "--password-stdin"]);
        self.site.run_with(&all, input.as_bytes())
    }

    fn members(&self) -> String {
        self.site.ok(&["project", "members", "feed", "--json"])
    }
}

/// The secret that a command has printed.
fn secret(out: &str) -> String {
    let secret = out.lines().find_map(|line| line.strip_prefix("secret: ")).expect("a secret").to_owned();
    assert_eq!(secret.len(), 64, "{out}");
    secret
}

#[test]
fn a_system_admin_makes_users_and_projects_from_afar_and_nobody_else_does() {
    let place = Place::start();
    let root = "long-enough-root\n";
    let add_root = ["user", "add", "root", "--admin", "--password-stdin"];
    place.site.run_with(&add_root, root.as_bytes()).expect(0, &[]);
    let eve = "long-enough-root\nlong-enough-eve\n";
    place.ask("root", eve, &["user", "add", "eve"]).expect(0, &["accepted: made user eve", "project grant"]);
    place.ask("root", eve, &["user", "add", "eve", "--admin"]).expect(1, &["eve is a user already"]);
    place
        .ask("root", eve, &["user", "add", "engine"])
        .expect(1, &["engine is the engine itself in the journal"]);
    place
        .ask("root", root, &["user", "set", "nobody", "--admin", "yes"])
        .expect(1, &["nobody is not a user yet"]);
    place
        .ask("root", root, &["user", "set", "eve", "--admin", "yes"])
        .expect(0, &["eve is now a system admin"]);
    place.ask("eve", "long-enough-eve\n", &["project", "add", "new"]).expect(0, &["made project new"]);
    place.ask("root", root, &["user", "set", "eve", "--admin", "no"]).expect(0, &[]);
    place.ask("root", root, &["user", "disable", "eve"]).expect(0, &["disabled eve"]);
    place.ask("eve", "long-enough-eve\n", &["project", "add", "newer"]).expect(1, &["may not log in now"]);
    place.ask("root", root, &["user", "enable", "eve"]).expect(0, &["enabled eve"]);
    for args in [
        &["user", "add", "x"][..],
        &["user", "set", "eve", "--admin", "yes"],
        &["user", "rm", "dev"],
        &["user", "disable", "dev"],
        &["project", "add", "x"],
        &["project", "rm", "feed"],
    ] {
        let input = if args[1] == "add" && args[0] == "user" {
            "long-enough-ada\nlong-enough-x\n"
        } else {
            "long-enough-ada\n"
        };
        place.ask("ada", input, args).expect(1, &["only a system admin"]);
    }
    place.ask("root", root, &["user", "rm", "eve"]).expect(0, &["removed user eve"]);
    place.ask("root", root, &["project", "rm", "new"]).expect(0, &["removed project new"]);
}

#[test]
fn who_is_refused_without_end_fills_no_journal() {
    let place = Place::start();
    let grant = ["project", "grant", "feed", "bob", "guest"];
    let mut last = None;
    for _ in 0..31 {
        last = Some(place.ask("dev", "long-enough-dev\n", &grant));
    }
    last.unwrap().expect(1, &["too many changes were refused"]);
    let journal: Vec<serde_json::Value> = serde_json::from_value(place.site.json(&["journal"])).unwrap();
    assert_eq!(journal.iter().filter(|line| line["by"] == "dev").count(), 30);
}

#[test]
fn doctor_names_a_certificate_before_it_ends() {
    let site = Site::without_engine();
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let now = u64::try_from(SystemClock.now().0).unwrap();
    let now = std::time::UNIX_EPOCH + std::time::Duration::from_millis(now);
    let write = |days: i64| {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::new(["localhost".to_owned()]).unwrap();
        let shift = std::time::Duration::from_secs(days.unsigned_abs() * 86_400 + 60);
        params.not_after = if days < 0 { (now - shift).into() } else { (now + shift).into() };
        site.file("tls.key", &key.serialize_pem());
        site.file("tls.pem", &params.self_signed(&key).unwrap().pem())
    };
    let pem = write(100);
    let pair = format!("certificate = {pem:?}\nkey = {:?}\n", pem.replace("tls.pem", "tls.key"));
    site.file(
        "config.toml",
        &format!("local = false\n[token-service]\nlisten = \"127.0.0.1:{port}\"\n{pair}"),
    );
    let engine = site.engine();
    until("the service is open", || std::net::TcpStream::connect(("127.0.0.1", port)).ok());
    let line = |said: &Said, name: &str| {
        let line = said.out.lines().find(|line| line.contains(name)).unwrap_or_else(|| panic!("{said:?}"));
        line.to_owned()
    };
    let (shown, tokens) = ("certificate of the token service", "certificate of tokens");
    for (days, verdict, words) in
        [(100, "ok", "ends in 100 days"), (20, "warn", "ends in 20 days"), (-2, "FAIL", "has ended, 2d ago")]
    {
        write(days);
        let said = site.run(&["doctor"]);
        let found = line(&said, shown);
        assert!(found.starts_with(verdict) && found.contains(words), "{said:?}");
        assert_eq!(said.out.contains("put a new certificate and its key"), days < 21, "{said:?}");
        assert!(line(&said, tokens).starts_with("ok"), "{said:?}");
    }
    site.file("tls.pem", "nonsense");
    assert!(line(&site.run(&["doctor"]), shown).starts_with("FAIL"));
    drop(engine);
}

#[test]
fn people_change_access_with_the_rights_of_their_roles() {
    let place = Place::start();
    let grant = ["project", "grant", "feed", "bob", "developer"];
    let done = place.ask("ada", "long-enough-ada\n", &grant);
    done.expect(0, &["accepted: appointed bob developer of feed"]);
    assert!(place.members().contains("\"bob\""), "{}", place.members());

    // A developer, a project admin of another project, and a right that only a system admin has.
    let more = ["project", "grant", "feed", "olga", "guest"];
    place.ask("dev", "long-enough-dev\n", &more).expect(1, &["dev"]);
    place.ask("olga", "long-enough-olga\n", &more).expect(1, &["olga is a user, but not a member of feed"]);
    let admin = ["project", "grant", "feed", "bob", "project-admin"];
    place.ask("ada", "long-enough-ada\n", &admin).expect(1, &["system admin"]);
    assert!(!place.members().contains("\"olga\""), "{}", place.members());

    // A robot with a secret that is printed once, and one's own password.
    let robot = ["robot", "add", "feed/ci", "--role", "guest"];
    let made = place.ask("ada", "long-enough-ada\n", &robot).expect(0, &["robot$feed+ci", "secret: "]);
    let first = secret(&made.out);
    let as_robot = |secret: &str| place.ask("robot$feed+ci", &format!("{secret}\n"), &grant);
    as_robot(&first).expect(1, &["robots change nothing"]);
    let renew = ["robot", "renew", "feed/ci", "--new-secret"];
    let second = secret(&place.ask("ada", "long-enough-ada\n", &renew).expect(0, &["with a new secret"]).out);
    as_robot(&second).expect(1, &["robots change nothing"]);
    as_robot(&first).expect(1, &["name or secret is wrong"]);
    place.ask("dev", "long-enough-dev\n", &renew).expect(1, &["dev"]);
    as_robot(&second).expect(1, &["robots change nothing"]);
    let passwd = ["user", "passwd", "bob"];
    place.ask("bob", "long-enough-bob\nanother-good-one\n", &passwd).expect(0, &["accepted"]);
    place.ask("dev", "long-enough-dev\nanother-good-one\n", &["user", "passwd", "ada"]).expect(1, &[]);
    let revoke = ["project", "revoke", "feed", "bob"];
    place.ask("ada", "long-enough-ada\n", &revoke).expect(0, &["bob is no longer developer of feed"]);

    // A wrong password is refused, counted, and stopped in the end.
    place.ask("bob", "long-enough-bob\n", &revoke).expect(1, &["name or secret is wrong"]);
    for _ in 0..9 {
        place.ask("bob", "long-enough-bob\n", &revoke).expect(1, &[]);
    }
    place.ask("bob", "another-good-one\n", &revoke).expect(1, &["too many log-ins have failed"]);
    let far = ["--service", "http://longshore.example", "--login", "ada", "--password-stdin"];
    let said = place.site.run_with(&[&grant[..], &far].concat(), b"long-enough-ada\n");
    said.expect(1, &["without TLS"]);

    // Who did it is in the journal, by the name that logged in.
    let journal: Vec<serde_json::Value> = serde_json::from_value(place.site.json(&["journal"])).unwrap();
    let by = |text: &str| {
        let line = journal.iter().find(|line| line["text"].as_str().is_some_and(|is| is.contains(text)));
        line.and_then(|line| line["by"].as_str()).unwrap_or_default().to_owned()
    };
    assert_eq!(by("appointed bob developer of feed"), "ada");
    assert_eq!(by("refused: olga is a user"), "olga");
    for secret in [first, second] {
        assert!(journal.iter().all(|line| !line.to_string().contains(&secret)), "a secret is in the journal");
    }
}

#[test]
fn people_see_what_they_are_members_of_from_wherever_they_are() {
    let place = Place::start();
    let robot = ["robot", "add", "feed/ci", "--role", "guest"];
    let made = place.ask("ada", "long-enough-ada\n", &robot).expect(0, &[]);
    let list = |who: &str, args: &[&str]| {
        let args = [args, &["--json"]].concat();
        let said = place.ask(who, &format!("long-enough-{who}\n"), &args).expect(0, &[]);
        serde_json::from_str::<Vec<serde_json::Value>>(&said.out).unwrap()
    };
    let names = |list: &[serde_json::Value], key: &str| {
        list.iter().map(|v| v[key].as_str().unwrap_or_default().to_owned()).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(names(&list("ada", &["user", "ls"]), "user"), "ada dev");
    let members = |who: &str| names(&list(who, &["project", "members", "feed"]), "member");
    assert_eq!(
        (members("ada").as_str(), members("dev").as_str()),
        ("ada dev robot$feed+ci", "ada dev robot$feed+ci")
    );
    assert_eq!((list("ada", &["robot", "ls"]).len(), list("olga", &["robot", "ls"]).len()), (1, 0));
    assert_eq!(names(&list("olga", &["user", "ls"]), "user"), "olga");
    let elsewhere = place.ask("olga", "long-enough-olga\n", &["project", "members", "feed"]);
    elsewhere.expect(1, &["there is no project feed", "you are a member of"]);
    let as_robot = place.ask("robot$feed+ci", &format!("{}\n", secret(&made.out)), &["user", "ls"]);
    as_robot.expect(1, &["see nothing here"]);
    place
        .ask("bob", "long-enough-bob\n", &["project", "ls"])
        .expect(0, &["you are a member of no project there"]);
    place.ask("bob", "long-enough-bad\n", &["project", "ls"]).expect(1, &["name or secret is wrong"]);
}
