//! HTTP to one origin: a log-in that never leaves it, deadlines, caps, repeated reads, faults in words.
//!
//! No cookies are kept: Harbor asks for its CSRF token only where a session is carried (`src/server/middleware/csrf`).

use std::path::Path;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use reqwest::header::{ACCEPT, CONTENT_TYPE, DATE, HeaderMap, LINK, LOCATION, RETRY_AFTER};
use reqwest::{Certificate, Client, Method, Response, Url};
use tokio::time::{Instant, timeout_at};

use crate::adapters::harbor::faults;
use crate::base::fault::{Fault, Kind, Outcome};
use crate::model::harbor::Secret;

/// A machine that is up accepts a connection within milliseconds; a TLS handshake around the world takes below 2 s.
const DIAL: Duration = Duration::from_secs(5);
/// What we read: logs are plain text, all else is JSON.
const KINDS: &str = "application/json, text/plain;q=0.9, */*;q=0.1";
/// Tries of a call that reads.
const TRIES: u32 = 3;
/// No answer asks for a longer pause than so: what a stranger says must not lead beyond the end of time.
const PAUSE_MAX: Duration = Duration::from_secs(86_400);
/// Before the second try; doubled before the third.
const PAUSE: Duration = Duration::from_millis(500);

/// How long one kind of call may take and how large its answer may be.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// The call in words, for the error sentence: "cannot …".
    pub what: &'static str,
    /// From the first try's beginning to the last byte of the last one's answer.
    pub deadline: Duration,
    /// Largest answer in bytes.
    pub cap: usize,
    /// Of a longer answer the end is kept; otherwise it is a fault.
    pub tail: bool,
}

/// Whom we log in as.
#[derive(Clone, Debug)]
pub struct Credentials {
    /// The name, such as `admin` or `robot$feed+ci`.
    pub user: String,
    /// The password.
    pub password: Secret,
}

/// One request.
#[derive(Clone)]
pub(super) struct Call {
    pub limits: Limits,
    pub method: Method,
    /// Below the origin, percent-encoded, beginning with `/`.
    pub path: String,
    pub query: Vec<(&'static str, String)>,
    pub body: Option<serde_json::Value>,
    /// The log-in goes along.
    pub login: bool,
    /// The path has a project's name: one that is a number would else be taken for the project with that number.
    pub by_name: bool,
}

impl Call {
    /// A call that reads.
    pub(super) fn get(limits: Limits, path: impl Into<String>) -> Call {
        Call::new(limits, Method::GET, path, None)
    }

    /// A call.
    pub(super) fn new(
        limits: Limits,
        method: Method,
        path: impl Into<String>,
        body: Option<serde_json::Value>,
    ) -> Call {
        Call { limits, method, path: path.into(), query: vec![], body, login: true, by_name: false }
    }

    /// The same call with one more parameter.
    pub(super) fn with(mut self, name: &'static str, value: impl Into<String>) -> Call {
        self.query.push((name, value.into()));
        self
    }
}

/// A call that failed.
pub(super) struct Failed {
    pub fault: Fault,
    /// The status of the answer, where there was one.
    pub status: Option<u16>,
}

impl From<Failed> for Fault {
    fn from(failed: Failed) -> Fault {
        failed.fault
    }
}

/// One answer that is not an error.
pub(super) struct Answer {
    pub body: Bytes,
    /// Something was left out at the beginning of the body.
    pub cut: bool,
    /// `X-Total-Count`.
    pub total: Option<u64>,
    /// `Link` names a next page; none when there is no such header.
    pub more: Option<bool>,
    /// `Location`: the last part of its path, which is a number in Harbor's.
    pub made: Option<i64>,
}

/// The connections to one origin.
pub(super) struct Http {
    client: Client,
    origin: Url,
    credentials: Option<Credentials>,
}

impl Http {
    /// A client for `HOST[:PORT]`. Nothing is sent yet; `ca` has further certificate authorities, PEM.
    pub(super) fn new(
        address: &str,
        plain: bool,
        ca: Option<&Path>,
        credentials: Option<Credentials>,
    ) -> Outcome<Http> {
        // The process has one provider of cryptography: when somebody has chosen it already, that is the one.
        let _chosen = rustls::crypto::ring::default_provider().install_default();
        let origin = origin(address, plain)?;
        let mut builder = Client::builder()
            .user_agent(concat!("longshore/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(DIAL)
            // A redirect could lead to another origin; Harbor's API has none.
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .https_only(!plain);
        if plain {
            // A proxy would read the password.
            builder = builder.no_proxy();
        }
        if let Some(path) = ca {
            builder = builder.tls_certs_merge(authorities(path)?);
        }
        let client = builder.build().map_err(|why| Fault::new(Kind::Invalid, chain(&why)))?;
        Ok(Http { client, origin, credentials })
    }

    /// Sends a call; repeats it while that is safe and there is time.
    pub(super) async fn send(&self, call: &Call) -> Result<Answer, Failed> {
        let until = Instant::now() + call.limits.deadline;
        let mut left = if call.method == Method::GET { TRIES } else { 1 };
        let mut pause = PAUSE;
        loop {
            left -= 1;
            let Ok(tried) = timeout_at(until, self.once(call)).await else {
                let seconds = call.limits.deadline.as_secs();
                let late = Fault::new(Kind::Timeout, format!("no whole answer within {seconds} s"));
                return Err(Failed { fault: self.told(call, late), status: None });
            };
            let Failure { fault, status, again } = match tried {
                Ok(answer) => return Ok(answer),
                Err(failure) => failure,
            };
            let wait = match again {
                Again::No => None,
                Again::Yes => Some(pause),
                Again::After(wait) => Some(wait),
            };
            match wait.filter(|wait| left > 0 && Instant::now() + *wait < until) {
                Some(wait) => tokio::time::sleep(wait).await,
                None => return Err(Failed { fault: self.told(call, fault), status }),
            }
            pause *= 2;
        }
    }

    fn told(&self, call: &Call, fault: Fault) -> Fault {
        let host = self.origin.host_str().unwrap_or_default();
        let port = self.origin.port().map(|p| format!(":{p}")).unwrap_or_default();
        fault.because(format!("cannot {} at {host}{port}", call.limits.what))
    }

    async fn once(&self, call: &Call) -> Result<Answer, Failure> {
        let mut url = self.origin.clone();
        url.set_path(&call.path);
        if !call.query.is_empty() {
            url.query_pairs_mut().extend_pairs(&call.query);
        }
        let mut request = self.client.request(call.method.clone(), url).header(ACCEPT, KINDS);
        if call.by_name {
            request = request.header("X-Is-Resource-Name", "true");
        }
        if let (true, Some(login)) = (call.login, &self.credentials) {
            request = request.basic_auth(&login.user, Some(login.password.reveal()));
        }
        if let Some(body) = &call.body {
            request = request.json(body);
        }
        let mut response = request.send().await.map_err(|why| cannot_reach(&why))?;
        let status = response.status().as_u16();
        let (body, cut) = read(&mut response, call.limits).await?;
        if !(200..300).contains(&status) {
            let headers = response.headers();
            let html = is_html(headers);
            let wait = retry_after(headers);
            let target = headers.get(LOCATION).and_then(|v| v.to_str().ok());
            let fault = faults::of(status, &body, html, target, wait);
            let again = match (status, wait) {
                (429 | 502 | 503 | 504, Some(wait)) => Again::After(wait),
                (429 | 502 | 503 | 504, None) => Again::Yes,
                _ => Again::No,
            };
            return Err(Failure { fault, status: Some(status), again });
        }
        if is_html(response.headers()) {
            return Err(Failure { fault: faults::a_page(status), status: Some(status), again: Again::No });
        }
        Ok(answer(response.headers(), body, cut))
    }
}

/// What is to be done after a failure, where the call may be repeated.
enum Again {
    No,
    Yes,
    After(Duration),
}

struct Failure {
    fault: Fault,
    status: Option<u16>,
    again: Again,
}

fn answer(headers: &HeaderMap, body: Bytes, cut: bool) -> Answer {
    let text = |name: &str| headers.get(name).and_then(|v| v.to_str().ok());
    let made = text(LOCATION.as_str()).and_then(|to| to.trim_end_matches('/').rsplit('/').next());
    let next =
        |link: &str| link.split(';').any(|part| part.contains("rel=\"next\"") || part.contains("rel=next"));
    Answer {
        body,
        cut,
        total: text("x-total-count").and_then(|n| n.trim().parse().ok()),
        more: text(LINK.as_str()).map(next),
        made: made.and_then(|id| id.parse().ok()),
    }
}

fn origin(address: &str, plain: bool) -> Outcome<Url> {
    let bad = || {
        Fault::new(Kind::Invalid, format!("{address:?} is no address of a registry"))
            .hint("write it as HOST or HOST:PORT")
    };
    let scheme = if plain { "http" } else { "https" };
    let url = Url::parse(&format!("{scheme}://{address}/")).map_err(|_| bad())?;
    let bare = url.path() == "/" && url.query().is_none() && url.fragment().is_none();
    let nobody = url.username().is_empty() && url.password().is_none();
    if bare && nobody && !address.contains(['/', '\\', '@']) { Ok(url) } else { Err(bad()) }
}

fn authorities(path: &Path) -> Outcome<Vec<Certificate>> {
    let bad = |why: String| Fault::new(Kind::Invalid, why).because(format!("cannot use {}", path.display()));
    let pem = std::fs::read(path).map_err(|why| bad(why.to_string()))?;
    let list = Certificate::from_pem_bundle(&pem).map_err(|why| bad(chain(&why)))?;
    if list.is_empty() { Err(bad("there is no certificate in it".to_owned())) } else { Ok(list) }
}

/// The body, at most as much as the cap allows.
async fn read(response: &mut Response, limits: Limits) -> Result<(Bytes, bool), Failure> {
    let too_much = || Failure {
        fault: Fault::new(Kind::Refused, format!("its answer is larger than {} bytes", limits.cap)),
        status: None,
        again: Again::No,
    };
    let cap = u64::try_from(limits.cap).unwrap_or(u64::MAX);
    if !limits.tail && response.content_length().is_some_and(|n| n > cap) {
        return Err(too_much());
    }
    let mut body = BytesMut::new();
    let mut cut = false;
    while let Some(part) = response.chunk().await.map_err(|why| cannot_reach(&why))? {
        body.extend_from_slice(&part);
        if body.len() <= limits.cap {
            continue;
        }
        if !limits.tail {
            return Err(too_much());
        }
        let _older = body.split_to(body.len() - limits.cap);
        cut = true;
    }
    Ok((body.freeze(), cut))
}

/// No answer, or not the whole of it.
fn cannot_reach(why: &reqwest::Error) -> Failure {
    let text = chain(why);
    let tls = ["certificate", "handshake", "tls"].iter().any(|word| text.to_lowercase().contains(word));
    // What cannot be trusted now cannot be trusted in a second either.
    let again = if tls || why.is_builder() { Again::No } else { Again::Yes };
    let fault = Fault::new(Kind::Unreachable, text);
    let fault = if tls { fault.hint("give the registry's certificate authority with `ca`") } else { fault };
    Failure { fault, status: None, again }
}

/// An error with its reasons, without the address (which the sentence around it has).
fn chain(why: &dyn std::error::Error) -> String {
    let mut innermost = why;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}

fn is_html(headers: &HeaderMap) -> bool {
    headers.get(CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"text/html"))
}

/// `Retry-After` in seconds, or as a date, which is read by the server's own clock.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = |name| headers.get(name).and_then(|v| v.to_str().ok()).map(str::trim);
    let wanted = text(RETRY_AFTER)?;
    if let Ok(seconds) = wanted.parse() {
        return Some(Duration::from_secs(seconds).min(PAUSE_MAX));
    }
    let (then, now) = (httpdate::parse_http_date(wanted).ok()?, httpdate::parse_http_date(text(DATE)?).ok()?);
    Some(then.duration_since(now).unwrap_or(Duration::ZERO).min(PAUSE_MAX))
}

/// Percent-encodes one part of a path.
pub(super) fn encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}
