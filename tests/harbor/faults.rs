//! Errors in words, what is repeated and what is not, and where the password never goes.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use longshore::adapters::harbor::Harbor;
use longshore::base::fault::{Fault, Kind};
use longshore::ports::registry_admin::{Condition, RunAdmin};

use crate::server::{Reply, Server, json, reply};
use crate::{BASIC, fixture, harbor, registry};

async fn policies(answer: impl Fn() -> Reply + Send + Sync + 'static) -> (Fault, usize) {
    let server = Server::start(move |_| answer());
    let fault = harbor(&server.address).policies().await.unwrap_err();
    (fault, server.requests().len())
}

#[tokio::test]
async fn each_status_has_its_kind_and_harbors_own_code() {
    for (status, kind, tries) in [
        (400, Kind::Invalid, 1),
        (401, Kind::Refused, 1),
        (403, Kind::Refused, 1),
        (404, Kind::NotFound, 1),
        (409, Kind::Conflict, 1),
        (412, Kind::Refused, 1),
        (429, Kind::Refused, 3),
        (500, Kind::Refused, 1),
        (503, Kind::Unreachable, 3),
        (418, Kind::Refused, 1),
    ] {
        let body = r#"{"errors":[{"code":"SOME_CODE","message":"some words"}]}"#;
        let (fault, made) = policies(move || reply(status, &[("Retry-After", "0")], body)).await;
        assert_eq!((fault.kind, made), (kind, tries), "{status}: {fault}");
        assert!(fault.to_string().ends_with("SOME_CODE: some words"), "{fault}");
        assert!(fault.to_string().starts_with("cannot list replication policies at 127.0.0.1:"), "{fault}");
    }
}

#[tokio::test]
async fn pages_and_nonsense_are_no_answers() {
    let html: &[(&str, &str)] = &[("Content-Type", "text/html; charset=utf-8")];
    let (page, _) = policies(|| reply(200, html, "<html>\u{1b}]0;x\u{7}</html>")).await;
    assert_eq!(page.kind, Kind::Bug, "{page}");
    let (gateway, _) = policies(|| reply(502, html, "<html>nginx</html>")).await;
    assert_eq!(
        (gateway.kind, gateway.to_string().contains("nginx")),
        (Kind::Unreachable, false),
        "{gateway}"
    );
    for body in ["", "{}", "[{}]", "[{\"id\":\"x\"}]", "<html>"] {
        let (fault, made) = policies(move || json(body)).await;
        assert_eq!((fault.kind, made), (Kind::Bug, 1), "{body}: {fault}");
    }
}

#[tokio::test]
async fn cut_answers_are_asked_for_again_and_large_ones_are_refused() {
    let cut = || b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\nConnection: close\r\n\r\n[{".to_vec();
    let (fault, made) = policies(cut).await;
    assert_eq!((fault.kind, made), (Kind::Unreachable, 3), "{fault}");
    let told = || b"HTTP/1.1 200 OK\r\nContent-Length: 1073741824\r\n\r\n[".to_vec();
    let (fault, made) = policies(told).await;
    assert_eq!((fault.kind, made), (Kind::Refused, 1), "{fault}");
    let untold = || {
        let mut reply = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n".to_vec();
        reply.resize(5 << 20, b'[');
        reply
    };
    let (fault, made) = policies(untold).await;
    assert_eq!((fault.kind, made), (Kind::Refused, 1), "{fault}");
}

#[tokio::test]
async fn a_read_is_repeated_until_it_succeeds() {
    let count = Arc::new(AtomicUsize::new(0));
    let server = Server::start({
        let count = count.clone();
        move |_| match count.fetch_add(1, Ordering::SeqCst) {
            0 => {
                let dates = [
                    ("Retry-After", "Fri, 31 Dec 1999 23:59:59 GMT"),
                    ("Date", "Fri, 31 Dec 1999 23:59:59 GMT"),
                ];
                reply(429, &dates, "")
            }
            1 => vec![],
            _ => json(fixture!("policies.json")),
        }
    });
    assert_eq!(harbor(&server.address).policies().await.unwrap().len(), 3);
    assert_eq!(count.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn a_server_that_asks_for_an_hour_is_not_waited_for() {
    // What is beyond all time is a day: a stranger's number must not end the task that asks.
    let (_, made) = policies(|| reply(503, &[("Retry-After", "18446744073709551615")], "")).await;
    assert_eq!(made, 1);
    let (fault, made) = policies(|| reply(429, &[("Retry-After", "3600")], "")).await;
    assert_eq!(made, 1);
    assert!(fault.to_string().contains("it asks to wait 3600 s"), "{fault}");
}

/// Two starts are two executions: whatever happens, a start is sent once, and what became of it is unknown.
#[tokio::test]
async fn a_write_is_never_repeated() {
    for answer in [vec![], reply(503, &[("Retry-After", "0")], ""), reply(429, &[("Retry-After", "0")], "")] {
        let limited = answer.starts_with(b"HTTP/1.1 429");
        let server = Server::start(move |_| answer.clone());
        let fault = harbor(&server.address).start(11).await.unwrap_err();
        assert_eq!(server.requests().len(), 1, "{fault}");
        assert_eq!(fault.is_unknown(), !limited, "{fault}");
    }
}

/// Virtual time: the deadline passes at once when nothing else moves.
#[tokio::test(start_paused = true)]
async fn a_server_that_says_nothing_is_given_up() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let fault = harbor(&address).start(11).await.unwrap_err();
    assert!(fault.is_unknown(), "{fault}");
}

#[tokio::test]
async fn the_password_goes_to_its_origin_and_nowhere_else() {
    let other = Server::start(|_| json("[]"));
    let elsewhere = format!("http://{}/api/v2.0/replication/policies", other.address);
    for status in [301, 302, 307, 308] {
        let target = elsewhere.clone();
        let server = Server::start(move |_| reply(status, &[("Location", &target)], ""));
        let fault = harbor(&server.address).policies().await.unwrap_err();
        assert_eq!(fault.kind, Kind::Refused, "{fault}");
        assert!(fault.to_string().contains(&elsewhere), "{fault}");
        assert_eq!(server.requests()[0].headers["authorization"], BASIC);
    }
    // A next page and a made thing that are said to be elsewhere: only their numbers count.
    let link = format!("<{elsewhere}?page=2>; rel=\"next\"");
    let server = Server::start(move |request| match request.target.contains("page=1") {
        true => reply(200, &[("Link", &link)], fixture!("policies.json")),
        false => reply(200, &[("Link", "</x?page=1>; rel=\"prev\"")], r#"[{"id":99,"name":"last"}]"#),
    });
    assert_eq!(harbor(&server.address).policies().await.unwrap().len(), 4);
    let made = format!("{elsewhere}/104");
    let server = Server::start(move |_| reply(201, &[("Location", &made)], ""));
    assert_eq!(harbor(&server.address).start(11).await.unwrap(), 104);
    assert_eq!(other.lines(), Vec::<String>::new());
}

#[tokio::test]
async fn an_address_is_a_host_and_nothing_else() {
    for bad in ["", "a/b", "user:pw@host", "host?x", "host#x", "http://host", "host:port", "a\\b"] {
        let fault = Harbor::connect(&registry(bad), bad, None).err();
        assert_eq!(fault.map(|f| f.kind), Some(Kind::Invalid), "{bad}");
    }
    let mut with_ca = registry("host");
    with_ca.ca = Some("/there/is/no.pem".to_owned());
    with_ca.plain_http = false;
    assert_eq!(Harbor::connect(&with_ca, "host", None).err().map(|f| f.kind), Some(Kind::Invalid));
}

#[tokio::test]
async fn without_a_log_in_none_is_sent() {
    let server = Server::start(|_| json(fixture!("user.json")));
    let nobody = Harbor::connect(&registry(&server.address), &server.address, None).unwrap();
    nobody.login().await.unwrap();
    assert!(!server.requests()[0].headers.contains_key("authorization"));
}
