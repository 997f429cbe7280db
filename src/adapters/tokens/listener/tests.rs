//! The listener as strangers and registries meet it: over a socket, with requests written by hand.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use futures_util::future::BoxFuture;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;
use crate::adapters::tokens::keys::SigningKey;
use crate::base::clock::SystemClock;
use crate::model::access::Subject;
use crate::model::access::command::AccessCommand;
use crate::model::access::scope::{Granted, Scope};
use crate::model::access::view::{AccessView, UserView};
use crate::model::command::{Accepted, Refusal, RefusalKind};
use crate::ports::desk::Hint;

/// `alice` with `right` may have everything; `full` meets a desk without room, `broken` one without a list.
struct OneUser(mpsc::Sender<Hint>);

impl Desk for OneUser {
    fn well(&self) -> Outcome<()> {
        Ok(())
    }

    fn knows(&self, service: &str) -> bool {
        service == "hub"
    }

    fn authenticate<'a>(
        &'a self,
        login: &'a str,
        secret: &'a str,
    ) -> BoxFuture<'a, Outcome<Option<Subject>>> {
        Box::pin(async move {
            match (login, secret) {
                ("full", _) => Err(Fault::new(Kind::Exhausted, "full")),
                ("broken", _) => Err(Fault::new(Kind::Unreachable, "the list of users is in /secret/place")),
                (_, "right") => Ok(login.parse().ok()),
                _ => Ok(None),
            }
        })
    }

    fn seen(&self, by: &Subject) -> Outcome<AccessView> {
        let Subject::User(name) = by else { return Ok(AccessView::default()) };
        let user = UserView { admin: false, disabled: false };
        Ok(AccessView { users: [(name.clone(), user)].into(), ..AccessView::default() })
    }

    fn allowed(&self, subject: &Subject, asked: &[Scope]) -> Outcome<Granted> {
        if subject.to_string() == "gail" {
            let denied = vec!["push of feed/web: gail is guest of feed".to_owned()];
            return Ok(Granted { denied, ..Granted::default() });
        }
        Ok(Granted { scopes: asked.to_vec(), ..Granted::default() })
    }

    fn change(&self, by: Subject, command: AccessCommand) -> BoxFuture<'static, Result<Accepted, Refusal>> {
        let user = match command {
            AccessCommand::Grant { user, .. } => user,
            // What is kept, so that tests see it.
            AccessCommand::MakeRobot { secret, .. }
            | AccessCommand::RenewRobot { secret: Some(secret), .. } => {
                let text = format!("kept {secret}");
                return Box::pin(async { Ok(Accepted { op: None, text }) });
            }
            other => panic!("{other:?}"),
        };
        let refusal = Refusal::new(RefusalKind::Invalid, format!("{by} may not")).hint("ask ada");
        let text = format!("{user} by {by}");
        let done = if by.to_string() == "ada" { Ok(Accepted { op: None, text }) } else { Err(refusal) };
        Box::pin(async { done })
    }

    fn draw(&self) -> BoxFuture<'static, Outcome<(String, String)>> {
        Box::pin(async { Ok(("drawn-here".to_owned(), "$hash".to_owned())) })
    }

    fn hint(&self, hint: Hint) -> bool {
        self.0.try_send(hint).is_ok()
    }
}

struct Open {
    address: SocketAddr,
    counts: Arc<Counts>,
    hints: mpsc::Receiver<Hint>,
    journal: mpsc::Receiver<Draft>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn listen(address: &str, limits: Limits) -> Listen {
    let events_secret = Some("reports".to_owned());
    Listen { address: address.parse().unwrap(), tls: None, proxies: None, events_secret, limits }
}

async fn try_open(listen: Listen) -> Outcome<(Listener, mpsc::Receiver<Hint>, mpsc::Receiver<Draft>)> {
    let state = tempfile::tempdir().unwrap();
    let signer = Signer::new(SigningKey::open(state.path()).unwrap(), "us");
    let ((hints_in, hints), (journal_in, journal)) = (mpsc::channel(2), mpsc::channel(64));
    let parts = Parts {
        desk: Arc::new(OneUser(hints_in)),
        signer,
        clock: Arc::new(SystemClock),
        journal: journal_in,
    };
    Listener::open(listen, parts).await.map(|listener| (listener, hints, journal))
}

async fn open(limits: Limits) -> Open {
    open_as(listen("127.0.0.1:0", limits)).await
}

async fn open_as(listen: Listen) -> Open {
    let (listener, hints, journal) = try_open(listen).await.unwrap();
    let (address, counts) = (listener.address(), listener.counts());
    Open { address, counts, hints, journal, task: tokio::spawn(listener.serve()) }
}

impl Open {
    /// The whole answer to what is sent; empty when the connection is just closed.
    async fn send(&self, text: &str) -> String {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        // (Who is refused early may find the connection closed while it still writes.)
        let _sent = stream.write_all(text.as_bytes()).await;
        let mut answer = Vec::new();
        let _reset = stream.read_to_end(&mut answer).await;
        String::from_utf8(answer).unwrap()
    }

    async fn get(&self, path: &str, credentials: Option<&str>) -> String {
        let header = credentials.map(|c| format!("Authorization: Basic {}\r\n", STANDARD.encode(c)));
        let header = header.unwrap_or_default();
        self.send(&format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{header}\r\n")).await
    }

    async fn post(&self, path: &str, kind: &str, header: &str, body: &str) -> String {
        let length = body.len();
        self.send(&format!(
            "POST {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n{header}\r\n{body}"
        ))
        .await
    }
}

fn status(answer: &str) -> u16 {
    answer.split(' ').nth(1).and_then(|s| s.parse().ok()).unwrap_or(0)
}

#[tokio::test]
async fn plain_http_stays_on_this_machine_unless_somebody_says_otherwise() {
    let refused = |listen: Listen| async move { try_open(listen).await.map(|_| ()).map_err(|f| f.kind) };
    assert_eq!(refused(listen("0.0.0.0:0", Limits::default())).await, Err(Kind::Refused));
    assert_eq!(refused(listen("127.0.0.1:0", Limits::default())).await, Ok(()));
    let told = Listen { proxies: Some(vec![]), ..listen("0.0.0.0:0", Limits::default()) };
    assert_eq!(refused(told).await, Ok(()));
    let files = TlsFiles { certificate: "/nowhere/c.pem".into(), key: "/nowhere/k.pem".into() };
    let tls = Listen { tls: Some(files), ..listen("0.0.0.0:0", Limits::default()) };
    assert_eq!(refused(tls).await, Err(Kind::Refused), "no certificate, no listener");
}

#[tokio::test]
async fn tokens_are_given_by_query_and_by_form_to_those_who_log_in() {
    let at = open(Limits::default()).await;
    let query = "/token?service=hub&scope=repository%3Afeed%2Fweb%3Apull&scope=registry:catalog:*";
    let given = at.get(query, Some("alice:right")).await;
    assert_eq!(status(&given), 200, "{given}");
    assert!(given.contains("\"scope\":\"repository:feed/web:pull registry:catalog:*\""), "{given}");
    assert!(given.contains("\"access_token\":\"ey") && given.contains("cache-control: no-store"), "{given}");
    let form = "grant_type=password&username=robot%24feed%2Bci&password=right&service=hub&client_id=docker&scope=repository:a/b:pull";
    let kind = "application/x-www-form-urlencoded";
    let given = at.post("/token", kind, "", form).await;
    assert!(status(&given) == 200 && given.contains("\"scope\":\"repository:a/b:pull\""), "{given}");
    let anonymous = at.get(query, None).await;
    assert!(status(&anonymous) == 401 && anonymous.contains("www-authenticate: Basic"), "{anonymous}");
    assert_eq!(status(&at.get(query, Some("alice:wrong")).await), 401);
    assert_eq!(status(&at.get(query, Some("nocolon")).await), 401);
    assert_eq!(status(&at.get("/token?service=other", Some("alice:right")).await), 400);
    assert_eq!(status(&at.get("/token", Some("alice:right")).await), 400);
    assert_eq!(status(&at.get("/token?service=hub&scope=nonsense", Some("alice:right")).await), 400);
    assert_eq!(status(&at.post("/token", kind, "", "grant_type=refresh_token&service=hub").await), 400);
    assert_eq!(status(&at.post("/token", "text/plain", "", form).await), 415);
    assert_eq!(status(&at.post("/token", kind, "", &"x".repeat(40_000)).await), 413);
    let full = at.get(query, Some("full:x")).await;
    assert!(status(&full) == 503 && full.contains("retry-after:"), "{full}");
    let broken = at.get(query, Some("broken:x")).await;
    assert!(status(&broken) == 503 && !broken.contains("secret/place"), "{broken}");
    assert_eq!(status(&at.get("/health", None).await), 200);
    assert_eq!(status(&at.get("/", None).await), 404);
    assert_eq!(status(&at.post("/health", kind, "", "").await), 405);
    let counted = at.counts.read();
    assert_eq!((counted.tokens, counted.granted, counted.anonymous), (2, 3, 1), "{counted:?}");
    assert_eq!((counted.failed, counted.unavailable), (1, 2), "{counted:?}");
}

#[tokio::test]
async fn who_guesses_is_stopped_and_told_once() {
    let limits =
        Limits { failures_of_name: 3, journal_every: Duration::from_millis(300), ..Limits::default() };
    let mut at = open(limits).await;
    for _ in 0..3 {
        assert_eq!(status(&at.get("/token?service=hub", Some("alice:wrong")).await), 401);
    }
    for secret in ["wrong", "right"] {
        let stopped = at.get("/token?service=hub", Some(&format!("alice:{secret}"))).await;
        assert!(status(&stopped) == 429 && stopped.contains("retry-after:"), "{stopped}");
    }
    assert_eq!(status(&at.get("/token?service=hub", Some("bob:right")).await), 200, "others are let in");
    let mut told = String::new();
    while !told.contains("not looked at") {
        let line = tokio::time::timeout(Duration::from_secs(20), at.journal.recv()).await.unwrap().unwrap();
        assert_eq!(line.what, What::Refused);
        told.push_str(&line.text);
    }
    assert!(told.contains("alice from 127.0.0.1 failed"), "{told}");
    assert_eq!((at.counts.read().failed, at.counts.read().throttled), (3, 2));
}

#[tokio::test]
async fn behind_a_proxy_each_client_is_counted_by_the_address_that_the_proxy_saw() {
    let limits = Limits { failures_of_address: 3, failures_of_name: 2, ..Limits::default() };
    let here = "127.0.0.1".parse().unwrap();
    let listen = |proxies| Listen { proxies, ..listen("127.0.0.1:0", limits.clone()) };
    let ask = async |at: &Open, forwarded: &str, login: &str| {
        let login = STANDARD.encode(login);
        let head = format!("X-Forwarded-For: {forwarded}\r\nAuthorization: Basic {login}\r\n");
        status(
            &at.send(&format!(
                "GET /token?service=hub HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{head}\r\n"
            ))
            .await,
        )
    };
    let at = open_as(listen(Some(vec![here]))).await;
    for n in 0..4 {
        // Who asks may write what they like in front; the proxy adds what it saw.
        let asked = ask(&at, &format!("10.0.0.{n}, 192.0.2.1"), &format!("user-{n}:wrong")).await;
        assert_eq!(asked, if n < 3 { 401 } else { 429 });
    }
    assert_eq!(ask(&at, "192.0.2.1", "alice:right").await, 429);
    assert_eq!(ask(&at, "192.0.2.2", "alice:right").await, 200, "nobody locks out the others");
    assert_eq!(ask(&at, "192.0.2.1", "robot$feed+ci:right").await, 200, "nor robots");
    // Not from our proxy: what the header says is nothing.
    for proxies in [None, Some(vec![]), Some(vec!["192.0.2.9".parse().unwrap()])] {
        let at = open_as(listen(proxies)).await;
        for n in 0..4 {
            let asked = ask(&at, &format!("10.0.0.{n}"), &format!("user-{n}:wrong")).await;
            assert_eq!(asked, if n < 3 { 401 } else { 429 });
        }
    }
}

#[tokio::test]
async fn reports_need_the_secret_and_become_hints() {
    let mut at = open(Limits::default()).await;
    let kind = "application/vnd.docker.distribution.events.v2+json";
    let event = r#"{"action":"push","target":{"mediaType":"application/vnd.oci.image.manifest.v1+json","repository":"feed/web","tag":"1"}}"#;
    let body = |count: usize| format!("{{\"events\":[{}]}}", vec![event; count].join(","));
    let secret = "Authorization: Bearer reports\r\n";
    for wrong in ["", "Authorization: Bearer report\r\n", "Authorization: Basic reports\r\n"] {
        assert_eq!(status(&at.post("/events/hub", kind, wrong, &body(1)).await), 401, "{wrong:?}");
    }
    assert_eq!(status(&at.post("/events/hub", "application/json", secret, &body(1)).await), 415);
    assert_eq!(status(&at.post("/events/hub", kind, secret, "{").await), 400);
    for nobody in ["/events", "/events/", "/events/No%20name", "/events/elsewhere"] {
        assert_eq!(status(&at.post(nobody, kind, secret, &body(1)).await), 404, "{nobody}");
    }
    assert_eq!(status(&at.post("/events/hub", kind, secret, &" ".repeat((1 << 20) + 1)).await), 413);
    let of_2_8 = "application/vnd.docker.distribution.events.v1+json";
    assert_eq!(status(&at.post("/events/hub", of_2_8, secret, &body(1)).await), 200);
    let hint = at.hints.try_recv().unwrap();
    assert_eq!((hint.registry.unwrap().as_str(), hint.repository.as_str()), ("hub", "feed/web"));
    assert_eq!(
        status(&at.post("/events/hub", kind, secret, &body(5)).await),
        503,
        "two have room, three come again"
    );
    let counted = at.counts.read();
    assert_eq!((counted.reports, counted.hints, counted.hints_full), (2, 3, 3), "{counted:?}");
    assert_eq!(counted.reports_refused, 10, "{counted:?}");
}

#[tokio::test]
async fn who_is_slow_long_or_many_holds_nobody_up() {
    let limits = Limits {
        headers: Duration::from_millis(200),
        request: Duration::from_millis(200),
        connections: 2,
        ..Limits::default()
    };
    let at = open(limits).await;
    let long = format!("GET /token?{} HTTP/1.1\r\nHost: x\r\n\r\n", "x".repeat(64 << 10));
    assert!(!at.send(&long).await.contains(" 200 "));
    let mut idle = Vec::new();
    for _ in 0..6 {
        let mut stream = TcpStream::connect(at.address).await.unwrap();
        stream.write_all(b"GET /health HT").await.unwrap();
        idle.push(stream);
    }
    assert_eq!(status(&at.get("/health", None).await), 200, "the idle ones give up their places");
    let slow = "POST /token HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 9\r\nConnection: close\r\n\r\na";
    assert_eq!(status(&at.send(slow).await), 408);
}

#[tokio::test]
async fn one_address_takes_not_all_places() {
    let limits = Limits {
        connections: 6,
        connections_of_address: 4,
        journal_every: Duration::from_millis(300),
        ..Limits::default()
    };
    let ask = async |at: &Open, from: &str| {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind(format!("{from}:0").parse().unwrap()).unwrap();
        let mut stream = socket.connect(at.address).await.unwrap();
        let _sent = stream.write_all(b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await;
        let mut answer = Vec::new();
        let _reset = stream.read_to_end(&mut answer).await;
        status(&String::from_utf8(answer).unwrap())
    };
    let idle = async |at: &Open| {
        let mut idle = Vec::new();
        for _ in 0..4 {
            let mut stream = TcpStream::connect(at.address).await.unwrap();
            stream.write_all(b"GET /health HT").await.unwrap();
            idle.push(stream);
        }
        idle
    };
    let mut at = open(limits.clone()).await;
    let held = idle(&at).await;
    assert_eq!(ask(&at, "127.0.0.1").await, 0, "it has four already");
    assert_eq!(ask(&at, "127.0.0.2").await, 200, "others have room");
    let line = tokio::time::timeout(Duration::from_secs(20), at.journal.recv()).await.unwrap().unwrap();
    assert!(
        line.text.contains("1 connection to the token service closed at once, the last from 127.0.0.1"),
        "{line:?}"
    );
    drop(held);
    for _ in 0..200 {
        if ask(&at, "127.0.0.1").await == 200 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(ask(&at, "127.0.0.1").await, 200, "who lets go may come again");
    // Behind a proxy all connections are its own.
    let at = open_as(Listen { proxies: Some(vec![]), ..listen("127.0.0.1:0", limits) }).await;
    let _held = idle(&at).await;
    assert_eq!(ask(&at, "127.0.0.1").await, 200);
}

#[tokio::test]
async fn a_change_goes_on_under_the_name_that_logged_in() {
    let limits = Limits { failures_of_name: 2, ..Limits::default() };
    let at = open(limits).await;
    let grant = r#"{"grant":{"project":"feed","user":"bob","role":"developer"}}"#;
    let post = async |credentials: &str, kind: &str, body: &str| {
        let header = format!("Authorization: Basic {}\r\n", STANDARD.encode(credentials));
        at.post("/v1/access", kind, &header, body).await
    };
    let done = post("ada:right", "application/json", grant).await;
    assert!(status(&done) == 200 && done.contains(r#""text":"bob by ada""#), "{done}");
    let refused = post("gail:right", "application/json", grant).await;
    assert!(
        status(&refused) == 403 && refused.contains("gail may not") && refused.contains("ask ada"),
        "{refused}"
    );
    let robot = post("robot$feed+ci:right", "application/json", grant).await;
    assert!(status(&robot) == 403 && robot.contains("robots change nothing"), "{robot}");
    assert_eq!(status(&post("ada:right", "text/plain", grant).await), 415);
    assert_eq!(status(&post("ada:right", "application/json", "{}").await), 400);
    // A hash that is dear to check would hold up everybody's log-ins, a cheap one could be guessed, and what is none would
    // be a fault at each of them.
    for hash in [
        "$argon2id$v=19$m=4194304,t=99,p=1$c2FsdHNhbHRzYWx0c2FsdA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
        "$argon2id$v=19$m=64,t=1,p=1$c2FsdHNhbHRzYWx0c2FsdA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
        "$argon2id$v=19$m=19456,t=2,p=1$nonsense",
        "hunter2",
        "",
    ] {
        for body in [
            format!(r#"{{"set-password":{{"name":"ada","password":"{hash}"}}}}"#),
            format!(r#"{{"put-user":{{"name":"eve","password":"{hash}","admin":false}}}}"#),
            format!(r#"{{"add-user":{{"name":"eve","password":"{hash}","admin":false}}}}"#),
        ] {
            let answer = post("ada:right", "application/json", &body).await;
            assert!(status(&answer) == 400 && answer.contains("not of the sort"), "{body}: {answer}");
        }
    }
    assert_eq!(status(&at.post("/v1/access", "application/json", "", grant).await), 401);
    assert_eq!(status(&at.get("/v1/access", None).await), 401);
    let seen = at.get("/v1/access", Some("ada:right")).await;
    assert!(status(&seen) == 200 && seen.contains(r#""users":{"ada":"#), "{seen}");
    assert_eq!(status(&at.get("/v1/access", Some("robot$feed+ci:right")).await), 403);
    assert_eq!(status(&at.get("/v1/access", Some("broken:x")).await), 503);
    assert_eq!(
        status(&at.send("PUT /v1/access HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await),
        405
    );
    for wanted in [401, 401, 429] {
        assert_eq!(status(&post("ada:wrong", "application/json", grant).await), wanted);
    }
    assert_eq!(status(&post("ada:right", "application/json", grant).await), 429, "as for tokens");
    assert_eq!(at.counts.read().failed, 2);
}

#[tokio::test]
async fn a_robots_secret_is_drawn_here_told_once_and_never_taken_from_afar() {
    let limits = Limits { journal_every: Duration::from_millis(100), ..Limits::default() };
    let mut at = open(limits).await;
    let post = async |body: String| {
        let header = format!("Authorization: Basic {}\r\n", STANDARD.encode("ada:right"));
        at.post("/v1/access", "application/json", &header, &body).await
    };
    let make = |secret: &str| {
        format!(
            r#"{{"make-robot":{{"project":"feed","name":"ci","role":"guest","secret":"{secret}","expires":null}}}}"#
        )
    };
    let renew = |secret: &str| {
        format!(r#"{{"renew-robot":{{"project":"feed","name":"ci","secret":{secret},"expires":null}}}}"#)
    };
    for body in [make(""), renew("\"\"")] {
        let made = post(body).await;
        assert_eq!(status(&made), 200, "{made}");
        let told: serde_json::Value = serde_json::from_str(made.split_once("\r\n\r\n").unwrap().1).unwrap();
        assert_eq!((&told["text"], &told["secret"]), (&"kept $hash".into(), &"drawn-here".into()));
        assert!(made.contains("cache-control: no-store"), "{made}");
    }
    // Also what would have been taken as a hash of ours: it may be of a word that the first guess finds.
    let weak =
        "$argon2id$v=19$m=64,t=1,p=1$c2FsdHNhbHRzYWx0c2FsdA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    for body in [make(weak), make("secret"), renew(&format!("\"{weak}\""))] {
        let refused = post(body).await;
        assert!(status(&refused) == 400 && refused.contains("drawn here, never sent"), "{refused}");
        assert!(!refused.contains("drawn-here"), "{refused}");
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    while let Ok(line) = at.journal.try_recv() {
        assert!(!line.text.contains("drawn-here"), "{line:?}");
    }
}

#[tokio::test]
async fn who_is_refused_again_and_again_costs_the_journal_no_more_than_so_many_lines() {
    let limits =
        Limits { refusals_of_user: 3, journal_every: Duration::from_millis(300), ..Limits::default() };
    let mut at = open(limits).await;
    let grant = r#"{"grant":{"project":"feed","user":"bob","role":"developer"}}"#;
    let post = async |who: &str| {
        let header = format!("Authorization: Basic {}\r\n", STANDARD.encode(format!("{who}:right")));
        at.post("/v1/access", "application/json", &header, grant).await
    };
    for _ in 0..10 {
        assert_eq!(status(&post("ada").await), 200, "what is accepted is not refused for the three");
    }
    for _ in 0..3 {
        assert_eq!(status(&post("gail").await), 403);
    }
    let stopped = post("gail").await;
    assert!(status(&stopped) == 429 && stopped.contains("retry-after:"), "{stopped}");
    assert!(stopped.contains("too many changes were refused"), "{stopped}");
    assert_eq!(status(&post("gail").await), 429);
    assert_eq!(status(&post("dev").await), 403, "others are heard");
    assert_eq!(status(&at.get("/token?service=hub", Some("gail:right")).await), 200, "and tokens are given");
    let mut told = String::new();
    while !told.contains("a change by gail refused: too many changes were refused") {
        let line = tokio::time::timeout(Duration::from_secs(20), at.journal.recv()).await.unwrap().unwrap();
        told.push_str(&line.text);
    }
}

#[tokio::test]
async fn a_right_that_is_refused_is_told_to_the_journal() {
    let limits = Limits { journal_every: Duration::from_millis(300), ..Limits::default() };
    let mut at = open(limits).await;
    let query = "/token?service=hub&scope=repository:feed/web:push";
    assert_eq!(status(&at.get(query, Some("gail:right")).await), 200);
    let line = tokio::time::timeout(Duration::from_secs(20), at.journal.recv()).await.unwrap().unwrap();
    assert_eq!(line.text, "push of feed/web refused: gail is guest of feed (once)");
    assert_eq!(at.counts.read().denied, 1);
}

/// A certificate and its key for a name, in these files.
fn write_pair(files: &TlsFiles, name: &str) {
    let made = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
    std::fs::write(&files.certificate, made.cert.pem()).unwrap();
    std::fs::write(&files.key, made.signing_key.serialize_pem()).unwrap();
}

/// Whether somebody who trusts only the certificate in the file can shake hands.
async fn is_shown(address: SocketAddr, certificate: &[u8]) -> bool {
    use tokio_rustls::rustls::pki_types::CertificateDer;
    use tokio_rustls::rustls::pki_types::pem::PemObject;
    use tokio_rustls::rustls::{ClientConfig, RootCertStore, crypto::ring};
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(certificate).unwrap()).unwrap();
    let client = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let stream = TcpStream::connect(address).await.unwrap();
    let name = "longshore.test".try_into().unwrap();
    tokio_rustls::TlsConnector::from(Arc::new(client)).connect(name, stream).await.is_ok()
}

#[tokio::test]
async fn a_renewed_certificate_is_shown_without_a_restart_and_a_broken_one_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let files = TlsFiles { certificate: dir.path().join("c.pem"), key: dir.path().join("k.pem") };
    write_pair(&files, "longshore.test");
    let first = std::fs::read(&files.certificate).unwrap();
    let limits = Limits { journal_every: Duration::from_millis(100), ..Limits::default() };
    let mut at = open_as(Listen { tls: Some(files.clone()), ..listen("127.0.0.1:0", limits) }).await;
    assert!(is_shown(at.address, &first).await);
    let mut told =
        async || tokio::time::timeout(Duration::from_secs(20), at.journal.recv()).await.unwrap().unwrap();
    std::fs::write(&files.key, "no key at all").unwrap();
    let line = told().await;
    assert!(line.what == What::Failed && line.text.contains("the old one stays"), "{line:?}");
    assert!(is_shown(at.address, &first).await);
    // Of two files one is written first: whatever is told of that moment, the new pair is shown in the end.
    write_pair(&files, "longshore.test");
    while told().await.what != What::Outcome {}
    let second = std::fs::read(&files.certificate).unwrap();
    assert!(is_shown(at.address, &second).await && !is_shown(at.address, &first).await);
}
