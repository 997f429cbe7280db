//! One call to the registry: logged in, tried again where that may help, moved to another endpoint, redirects followed.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue, LOCATION};
use reqwest::{Method, Response, StatusCode, Url};
use tokio::sync::Semaphore;

use crate::adapters::oci::challenge::Challenge;
use crate::adapters::oci::faults;
use crate::adapters::oci::limits::{ERROR_CAP, HOPS};
use crate::adapters::oci::origin::{check_hop, host_of, same_origin};
use crate::adapters::oci::pace;
use crate::adapters::oci::retry::{Endpoints, Tries, may_help, retry_after};
use crate::adapters::oci::token::Auth;
use crate::adapters::oci::transport;
use crate::base::fault::{Fault, Kind, Outcome};

/// How much has passed, for budgets of requests and bytes. Only grows.
#[derive(Debug, Default)]
pub struct Traffic {
    requests: AtomicU64,
    sent: AtomicU64,
    received: AtomicU64,
}

impl Traffic {
    /// Requests that went out, those that were tried again included; those to token services and stores not.
    pub fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    /// Bytes of blobs that were sent.
    pub fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// Bytes of bodies that were received.
    pub fn received(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }

    pub(super) fn count_request(&self) {
        self.requests.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn count_sent(&self, bytes: usize) {
        self.sent.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub(super) fn count_received(&self, bytes: usize) {
        self.received.fetch_add(bytes as u64, Ordering::Relaxed);
    }
}

/// Where a call goes.
#[derive(Clone, Debug)]
pub(super) enum Place {
    /// To whichever endpoint is well: a path and query.
    Path(String),
    /// To this one, which alone knows of the upload; with credentials when it is the registry's own.
    At { endpoint: usize, url: Url, own: bool },
}

/// One call. All of them may be repeated without harm.
#[derive(Clone, Debug)]
pub(super) struct Call {
    /// What is done, after "may not": for sentences.
    pub what: String,
    pub method: Method,
    pub place: Place,
    pub scopes: Vec<String>,
    pub headers: HeaderMap,
    pub body: Bytes,
    /// Until the answer begins.
    pub deadline: Duration,
    /// Largest answer that is read; none hands the answer on as a stream.
    pub cap: Option<usize>,
}

/// An answer, whatever its status.
#[derive(Debug)]
pub(super) struct Got {
    pub status: StatusCode,
    pub headers: HeaderMap,
    /// Where it came from in the end.
    pub url: Url,
    pub endpoint: usize,
    /// The body, unless it is handed on.
    pub body: Bytes,
    pub stream: Option<Response>,
}

impl Got {
    /// The fault that its status means.
    pub fn fault(&self) -> Fault {
        faults::fault_of(&host_of(&self.url), self.status, &self.body)
    }

    /// One of its headers, where it is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|v| v.to_str().ok())
    }

    /// The answer, or the fault that its status means.
    pub fn ok(self) -> Outcome<Got> {
        if self.status.is_success() { Ok(self) } else { Err(self.fault()) }
    }
}

/// What all calls to one registry share.
pub(super) struct Caller {
    pub auth: Auth,
    pub endpoints: Endpoints,
    pub traffic: Arc<Traffic>,
    /// Calls under way that wait for their answer. Streams have bounds of their own: whoever holds one may still call.
    pub calls: Semaphore,
}

impl Caller {
    /// Makes the call until there is an answer that is worth having: neither 429 nor a failure of the server.
    ///
    /// # Errors
    /// When that did not come about within tries and time, or the registry does not let us.
    pub async fn send(&self, call: &Call) -> Outcome<Got> {
        let limits = &self.auth.limits;
        let mut tries = Tries::new(limits);
        let mut moves = 0;
        loop {
            let endpoint = match call.place {
                Place::Path(_) => self.endpoints.choose(),
                Place::At { endpoint, .. } => endpoint,
            };
            let host = self.auth.origins.endpoints.get(endpoint).map_or_else(String::new, host_of);
            self.endpoints.wait(endpoint, &host, limits).await?;
            let result = {
                let _turn = self.calls.acquire().await;
                self.attempt(endpoint, call).await
            };
            let (fault, asked) = match result {
                Ok(got) if !may_help(got.status) => {
                    self.endpoints.answered(endpoint);
                    return Ok(got);
                }
                Ok(got) => {
                    let asked = retry_after(&got.headers, self.auth.clock.now());
                    if let Some(pause) = asked {
                        self.endpoints.pause(endpoint, pause);
                    } else if got.status == StatusCode::TOO_MANY_REQUESTS {
                        self.endpoints.pause(endpoint, limits.pause);
                    }
                    (got.fault(), asked)
                }
                Err(fault) if fault.is_unknown() => (fault, None),
                Err(fault) => return Err(fault),
            };
            // Another endpoint is asked at once, each of them once in a call.
            let is_free = matches!(call.place, Place::Path(_));
            let failed = asked.is_none() && fault.kind != Kind::Exhausted;
            if failed
                && self.endpoints.failed(endpoint, limits)
                && is_free
                && moves < self.auth.origins.endpoints.len()
            {
                moves += 1;
                continue;
            }
            tries.again(fault, asked).await?;
        }
    }

    /// One try: at most two 401s, the second of which is the end.
    async fn attempt(&self, endpoint: usize, call: &Call) -> Outcome<Got> {
        let base = self.endpoint(endpoint)?;
        let (url, own) = match &call.place {
            Place::Path(path) => (self.url(base, path)?, true),
            Place::At { url, own, .. } => (url.clone(), *own),
        };
        let mut refused: Option<HeaderValue> = None;
        let mut is_second = false;
        loop {
            let login = if own { self.auth.header(&call.scopes, refused.as_ref()).await? } else { None };
            let response = self.follow(call, url.clone(), login.as_ref()).await?;
            let is_ours = own && same_origin(response.url(), base);
            if response.status() != StatusCode::UNAUTHORIZED || !is_ours {
                return self.read(endpoint, call.cap, response).await;
            }
            let host = host_of(response.url());
            if is_second {
                let got = self.read(endpoint, call.cap, response).await?;
                let may_not = format!("{host} does not let this account {}", call.what);
                return Err(Fault { kind: Kind::Refused, ..got.fault() }.because(may_not));
            }
            let challenge = self.auth.challenged(&host, response.headers())?;
            // A body that is read to its end leaves its connection for the next call.
            let _ = self.read(endpoint, call.cap, response).await;
            let shown_the_same = login.is_some() && challenge == Challenge::Basic;
            if shown_the_same {
                let words = format!("{host} does not accept the name and the password");
                return Err(Fault::new(Kind::Refused, words).hint("log in to the registry anew"));
            }
            refused = login;
            is_second = true;
        }
    }

    /// Sends and follows redirects of GET and HEAD. The login goes to the first host only.
    async fn follow(&self, call: &Call, url: Url, login: Option<&HeaderValue>) -> Outcome<Response> {
        let first = url.clone();
        let mut url = url;
        for _ in 0..=HOPS {
            let mut request = self.auth.transport.to(&url).request(call.method.clone(), url.clone());
            request = request.headers(call.headers.clone());
            if let Some(login) = login.filter(|_| same_origin(&url, &first)) {
                request = request.header(AUTHORIZATION, login.clone());
            }
            if !call.body.is_empty() || call.method == Method::POST || call.method == Method::PUT {
                request = request.body(call.body.clone());
            }
            let response = self.answer(request, &url, call.deadline).await?;
            let is_safe = matches!(call.method, Method::GET | Method::HEAD);
            let is_moved = matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308);
            let to = response.headers().get(LOCATION).and_then(|l| l.to_str().ok()).map(str::to_owned);
            let Some(to) = to.filter(|_| is_safe && is_moved) else { return Ok(response) };
            let wrong = |why: String| {
                Fault::new(Kind::Refused, why)
                    .because(format!("{} sends to where we do not go", host_of(&url)))
            };
            let mut next = url.join(&to).map_err(|why| wrong(why.to_string()))?;
            check_hop(&url, &next).map_err(wrong)?;
            if !next.username().is_empty() || next.password().is_some() {
                return Err(wrong("the address holds a login".to_owned()));
            }
            next.set_fragment(None);
            url = next;
        }
        Err(Fault::new(Kind::Refused, format!("{} sends in circles", host_of(&first))))
    }

    /// Sends one request and waits for the head of its answer.
    pub async fn answer(
        &self,
        request: reqwest::RequestBuilder,
        url: &Url,
        deadline: Duration,
    ) -> Outcome<Response> {
        self.traffic.count_request();
        let host = host_of(url);
        match tokio::time::timeout(deadline, request.send()).await {
            Err(_) => {
                let words = format!("{host} did not answer within {} s", deadline.as_secs());
                Err(Fault::new(Kind::Timeout, words))
            }
            Ok(answer) => answer.map_err(|why| transport::fault_of(why, &host)),
        }
    }

    /// Reads what is left of an answer; a body that is wanted as a stream is handed on. That of an error says why.
    pub async fn read(&self, endpoint: usize, cap: Option<usize>, response: Response) -> Outcome<Got> {
        let (status, headers, url) = (response.status(), response.headers().clone(), response.url().clone());
        let (body, stream) = match cap {
            None if status.is_success() => (Bytes::new(), Some(response)),
            Some(cap) if status.is_success() => (pace::whole(response, cap, &self.auth.limits).await?, None),
            // An error whose words do not arrive is still that error.
            _ => (
                pace::whole(response, ERROR_CAP, &self.auth.limits).await.unwrap_or_else(|_| Bytes::new()),
                None,
            ),
        };
        self.traffic.count_received(body.len());
        Ok(Got { status, headers, url, endpoint, body, stream })
    }

    /// The base URL of an endpoint.
    pub fn endpoint(&self, endpoint: usize) -> Outcome<&Url> {
        let found = self.auth.origins.endpoints.get(endpoint);
        found.ok_or_else(|| Fault::new(Kind::Bug, "there is no such endpoint"))
    }

    fn url(&self, base: &Url, path: &str) -> Outcome<Url> {
        let url = base.join(path).map_err(|why| Fault::new(Kind::Bug, why.to_string()))?;
        if same_origin(&url, base) {
            Ok(url)
        } else {
            Err(Fault::new(Kind::Bug, "a path that leaves its host"))
        }
    }
}

/// Headers of these names and values.
pub(super) fn headers(of: &[(HeaderName, String)]) -> Outcome<HeaderMap> {
    let mut out = HeaderMap::new();
    for (name, value) in of {
        let value = HeaderValue::from_str(value).map_err(|why| Fault::new(Kind::Invalid, why.to_string()))?;
        out.append(name, value);
    }
    Ok(out)
}
