//! The real program: people change access from afar, with the rights of their roles and no more.

use std::net::TcpListener;

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
    place.ask("ada", "long-enough-ada\n", &robot).expect(0, &["robot$feed+ci", "secret: "]);
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
}
