//! Faults by a proxy before a registry, for the whole job: it ends in a true state with a reason, and no login leaves home.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::proxy::Seen;
use crate::replication::*;

/// What the job is to come to.
struct End {
    state: &'static str,
    /// Words of its reason.
    reason: &'static str,
}

const DONE: End = End { state: "done", reason: "" };

type Handler = Box<dyn Fn(&Seen, usize) -> (Reply, Trouble) + Send + Sync>;

/// One fault: at the source or at the target.
struct Case {
    name: &'static str,
    at_source: bool,
    handler: Handler,
    end: End,
}

fn case(
    name: &'static str,
    at_source: bool,
    end: End,
    handler: impl Fn(&Seen, usize) -> (Reply, Trouble) + Send + Sync + 'static,
) -> Case {
    Case { name, at_source, handler: Box::new(handler), end }
}

fn pass() -> (Reply, Trouble) {
    (Reply::Pass, Trouble::None)
}

fn answer(status: u16, headers: Vec<(&'static str, String)>) -> (Reply, Trouble) {
    let body = br#"{"errors":[{"code":"DENIED","message":"not today"}]}"#.to_vec();
    (Reply::Answer(status, headers, body), Trouble::None)
}

fn is_blob(seen: &Seen) -> bool {
    seen.method == "GET" && seen.path.contains("/blobs/sha256")
}

/// A date so many seconds from now, as HTTP writes it.
fn in_seconds(seconds: u64) -> String {
    let at = std::time::SystemTime::now() + Duration::from_secs(seconds);
    httpdate::fmt_http_date(at)
}

/// Spoils the first answers with a blob.
fn spoil(first: usize, trouble: Trouble) -> impl Fn(&Seen, usize) -> (Reply, Trouble) + Send + Sync {
    let turns = AtomicUsize::new(0);
    move |seen, _| {
        let spoilt = is_blob(seen) && turns.fetch_add(1, Ordering::SeqCst) < first;
        (Reply::Pass, if spoilt { trouble } else { Trouble::None })
    }
}

fn cases(elsewhere: &str) -> Vec<Case> {
    let elsewhere = elsewhere.to_owned();
    vec![
        case("500", true, DONE, |_, n| if n < 3 { answer(500, vec![]) } else { pass() }),
        case("500 for ever", true, End { state: "failed", reason: "500" }, |_, _| answer(500, vec![])),
        case("500 for every blob", true, End { state: "incomplete", reason: "500" }, |seen, _| {
            if is_blob(seen) { answer(500, vec![]) } else { pass() }
        }),
        case("500 for every upload", false, End { state: "incomplete", reason: "500" }, |seen, _| {
            if seen.method == "PUT" { answer(500, vec![]) } else { pass() }
        }),
        case("redirect in circles", true, End { state: "incomplete", reason: "circles" }, |seen, _| {
            if is_blob(seen) { answer(307, vec![("Location", seen.path.clone())]) } else { pass() }
        }),
        case("500 at the target", false, DONE, |_, n| if n < 3 { answer(503, vec![]) } else { pass() }),
        case("429 in seconds", true, DONE, |_, n| {
            if n < 2 { answer(429, vec![("Retry-After", "1".to_owned())]) } else { pass() }
        }),
        case("429 by date", false, DONE, |_, n| {
            if n < 2 { answer(429, vec![("Retry-After", in_seconds(2))]) } else { pass() }
        }),
        case("cut", true, DONE, spoil(2, Trouble::Cut(40_000))),
        case("bit flip", true, DONE, spoil(1, Trouble::Flip(50_000))),
        case("wrong length", true, DONE, spoil(1, Trouble::Longer(7))),
        case("a byte a second", true, DONE, spoil(1, Trouble::Drip)),
        case("redirect", true, DONE, move |seen, _| {
            if is_blob(seen) {
                let at = format!("http://{elsewhere}{}", seen.path);
                return answer(307, vec![("Location", at)]);
            }
            pass()
        }),
        case("403", false, End { state: "incomplete", reason: "DENIED" }, |seen, _| {
            if seen.method == "PUT" { answer(403, vec![]) } else { pass() }
        }),
        case("401 loop", true, End { state: "failed", reason: "401" }, |seen, _| {
            let realm = seen.header("host").unwrap_or_default().to_owned();
            if seen.path.starts_with("/token") {
                let body = br#"{"token":"t0ken","expires_in":300}"#.to_vec();
                return (Reply::Answer(200, vec![], body), Trouble::None);
            }
            let ask = format!(r#"Bearer realm="http://{realm}/token",service="lab""#);
            answer(401, vec![("WWW-Authenticate", ask)])
        }),
        case("a token that ends inside a blob", true, DONE, expiring()),
    ]
}

/// Wants tokens; while the first blob is sent the token that was shown ends, and the connection with it.
fn expiring() -> impl Fn(&Seen, usize) -> (Reply, Trouble) + Send + Sync {
    let (made, ended) = (AtomicUsize::new(0), Mutex::new(None::<String>));
    move |seen, _| {
        if seen.path.starts_with("/token") {
            let n = made.fetch_add(1, Ordering::SeqCst);
            let body = format!(r#"{{"token":"t0ken-{n}","expires_in":300}}"#).into_bytes();
            return (Reply::Answer(200, vec![], body), Trouble::None);
        }
        let shown = seen.header("authorization").unwrap_or_default().to_owned();
        let mut ended = ended.lock().unwrap();
        if !shown.starts_with("Bearer t0ken-") || ended.as_ref() == Some(&shown) {
            let realm = seen.header("host").unwrap_or_default();
            let ask = format!(r#"Bearer realm="http://{realm}/token",service="lab""#);
            return answer(401, vec![("WWW-Authenticate", ask)]);
        }
        if is_blob(seen) && ended.is_none() {
            *ended = Some(shown);
            return (Reply::Pass, Trouble::Cut(60_000));
        }
        pass()
    }
}

/// One job through one fault.
struct Job {
    name: &'static str,
    end: End,
    site: Site,
    run: Process,
    proxy: Proxy,
}

async fn begin(case: Case, hq: &str, bj: &str) -> Job {
    let Case { name, at_source, handler, end } = case;
    let turns = AtomicUsize::new(0);
    let behind = if at_source { hq } else { bj };
    let proxy = Proxy::before(behind, move |seen| handler(seen, turns.fetch_add(1, Ordering::SeqCst))).await;
    let site = Site::without_engine();
    // me:secret, for the registry behind the proxy only.
    let auths = serde_json::json!({ "auths": { &proxy.address: { "auth": "bWU6c2VjcmV0" } } });
    std::fs::create_dir_all(site.dir().join("home/.docker")).unwrap();
    std::fs::write(site.dir().join("home/.docker/config.json"), auths.to_string()).unwrap();
    let prefix: String = name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    let (from, to) = if at_source { (proxy.address.as_str(), bj) } else { (hq, proxy.address.as_str()) };
    let site = knows(site, from, to, &["--prefix", &format!("case/{prefix}"), "--repositories", "feed/web"]);
    let run = site.spawn(&["replicate", "run", "all", "--wait=100", "--json"]);
    Job { name, end, site, run, proxy }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn every_fault_ends_in_a_true_state_with_its_reason_and_no_login_leaves_home() {
    let (Some(hq), Some(bj)) = (Registry::start(), Registry::start()) else { return };
    let source = client(&hq.address());
    let digest = push(&source, "feed/web", "v1", &[layer(1, 200_000), layer(2, 120_000)]).await;
    let behind = hq.address();
    let elsewhere = Proxy::before(&behind, |_| (Reply::Pass, Trouble::None)).await;
    let mut jobs = Vec::new();
    for case in cases(&elsewhere.address) {
        jobs.push(begin(case, &hq.address(), &bj.address()).await);
    }
    let began = Instant::now();
    for job in &mut jobs {
        let status = within(Duration::from_secs(110), job.name, || job.run.ended());
        let run = last_run(&job.site);
        println!("{}: {} in {:?}: {} {}", job.name, status, began.elapsed(), run["state"], run["reason"]);
        assert_eq!(run["state"], job.end.state, "{}: {} {run}", job.name, job.run.said());
        assert_eq!(status.success(), job.end.state == "done", "{}: {}", job.name, job.run.said());
        let reason = run["reason"].as_str().unwrap_or_default();
        assert!(reason.contains(job.end.reason), "{}: {reason}", job.name);
        assert_eq!(reason.is_empty(), job.end.state == "done", "{}: {reason}", job.name);
        assert!(job.proxy.seen().len() < 200, "{}: {} requests", job.name, job.proxy.seen().len());
    }
    let there = whole(&client(&bj.address())).await;
    let done = jobs.iter().filter(|job| job.end.state == "done").count();
    assert_eq!(there.len(), done, "{there:?}");
    assert!(there.values().all(|d| *d == digest), "{there:?}");
    let hops = elsewhere.seen();
    assert!(hops.len() >= 2, "the redirect was followed");
    assert!(hops.iter().all(|seen| !seen.has_login()), "a login went to another host: {hops:?}");
    let shown = jobs.iter().filter(|job| job.proxy.seen().iter().any(Seen::has_login)).count();
    assert!(shown >= 2, "the login was shown to those that asked for it");
}
