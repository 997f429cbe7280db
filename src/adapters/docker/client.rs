//! HTTP to one engine: kept-alive connections, a deadline and a cap on every answer, the API version from the answers.

use std::future::Future;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::{Method, Request, Response, StatusCode, header};
use hyper_util::client::legacy::Client as Http;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::adapters::docker::dial::Dialer;
use crate::adapters::docker::faults;
use crate::adapters::docker::limits::{IDLE_CONNECTIONS, Limits};
use crate::base::fault::{Fault, Kind, Outcome};

/// Newest minor version of the engine's API 1.x that this adapter was written for.
const NEWEST: u32 = 53;
/// An idle connection is given up after so long: longer than any interval between lists.
const IDLE: Duration = Duration::from_secs(90);

/// What a request carries: bytes that are there, or a stream of them.
type Body = UnsyncBoxBody<Bytes, Fault>;

/// HTTP to one engine.
pub(super) struct Client {
    http: Http<Dialer, Body>,
    dialer: Dialer,
    /// The engine's newest minor version, read from the header of each answer; zero until the first. The first call
    /// goes without a version, so that nothing is asked beforehand.
    minor: AtomicU32,
}

/// A whole answer.
pub(super) struct Answer {
    pub(super) body: Bytes,
}

impl Answer {
    /// The body as JSON of the wanted shape.
    pub(super) fn json<T: DeserializeOwned>(&self, limits: Limits) -> Outcome<T> {
        serde_json::from_slice(&self.body).map_err(|why| nonsense(limits, &why.to_string()))
    }
}

/// The fault of an answer that makes no sense.
pub(super) fn nonsense(limits: Limits, why: &str) -> Fault {
    Fault::new(Kind::Bug, why).because(format!("asked to {}, the engine answered nonsense", limits.what))
}

impl Client {
    pub(super) fn new(dialer: Dialer) -> Client {
        let http = Http::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE)
            .pool_max_idle_per_host(IDLE_CONNECTIONS)
            .build(dialer.clone());
        Client { http, dialer, minor: AtomicU32::new(0) }
    }

    /// True when the engine may be on this machine.
    pub(super) fn is_local(&self) -> bool {
        self.dialer.is_local()
    }

    /// The API version spoken, once the engine has answered.
    pub(super) fn api(&self) -> Option<String> {
        match self.minor.load(Ordering::Relaxed) {
            0 => None,
            minor => Some(format!("1.{}", minor.min(NEWEST))),
        }
    }

    /// `GET path`; an answer of 400 or more is a fault.
    pub(super) async fn get(&self, limits: Limits, path: &str) -> Outcome<Answer> {
        self.call(limits, Method::GET, path, Bytes::new()).await
    }

    /// `POST path` with JSON.
    pub(super) async fn post(&self, limits: Limits, path: &str, body: &impl Serialize) -> Outcome<Answer> {
        self.call(limits, Method::POST, path, to_json(body)?).await
    }

    /// `POST path` without a body.
    pub(super) async fn post_empty(&self, limits: Limits, path: &str) -> Outcome<Answer> {
        self.call(limits, Method::POST, path, Bytes::new()).await
    }

    /// `DELETE path`.
    pub(super) async fn delete(&self, limits: Limits, path: &str) -> Outcome<Answer> {
        self.call(limits, Method::DELETE, path, Bytes::new()).await
    }

    async fn call(&self, limits: Limits, method: Method, path: &str, body: Bytes) -> Outcome<Answer> {
        within(limits, async {
            let response = self.exchange(&method, path, &body, &[], limits).await?;
            let body = self.read(response.into_body(), limits).await?;
            Ok(Answer { body })
        })
        .await
    }

    /// Opens a stream: the deadline holds for its head, what follows has none.
    pub(super) async fn stream(&self, limits: Limits, path: &str) -> Outcome<Response<Incoming>> {
        within(limits, self.exchange(&Method::GET, path, &Bytes::new(), &[], limits)).await
    }

    /// `POST path` with extra headers whose answer is a stream (a pull, an exec).
    pub(super) async fn post_stream(
        &self,
        limits: Limits,
        path: &str,
        body: Bytes,
        headers: &[(&str, &str)],
    ) -> Outcome<Response<Incoming>> {
        within(limits, self.exchange(&Method::POST, path, &body, headers, limits)).await
    }

    /// `POST path` with a body that comes piece by piece, never whole in memory; gives the head of the answer. No deadline: the
    /// caller watches that something moves.
    pub(super) async fn post_body(
        &self,
        limits: Limits,
        path: &str,
        content: &str,
        body: BoxStream<'static, Outcome<Bytes>>,
    ) -> Outcome<Response<Incoming>> {
        let spoken = self.minor.load(Ordering::Relaxed);
        let mut request =
            self.request(&Method::POST, path, &Bytes::new(), &[("Content-Type", content)], spoken)?;
        *request.body_mut() = StreamBody::new(body.map(|piece| piece.map(Frame::data))).boxed_unsync();
        let response = self.http.request(request).await.map_err(|why| self.lost(&why))?;
        if response.status().as_u16() < 400 {
            return Ok(response);
        }
        let status = response.status().as_u16();
        Err(faults::from_answer(status, &self.read(response.into_body(), limits).await?))
    }

    /// Sends one request and reads the head of its answer; a status of 400 or more becomes a fault.
    async fn exchange(
        &self,
        method: &Method,
        path: &str,
        body: &Bytes,
        headers: &[(&str, &str)],
        limits: Limits,
    ) -> Outcome<Response<Incoming>> {
        let mut retried = false;
        loop {
            let spoken = self.minor.load(Ordering::Relaxed);
            let request = self.request(method, path, body, headers, spoken)?;
            let response = match self.http.request(request).await {
                Ok(response) => response,
                // Reading again is harmless: a kept connection that the engine closed meanwhile is no alarm.
                Err(why) if *method == Method::GET && !why.is_connect() && !retried => {
                    retried = true;
                    continue;
                }
                Err(why) => return Err(self.lost(&why)),
            };
            let offered = api_minor(&response);
            if offered != 0 {
                self.minor.store(offered, Ordering::Relaxed);
            }
            let status = response.status();
            if status.as_u16() < 400 {
                return Ok(response);
            }
            // The engine behind the address was replaced by another version: it says so and does nothing.
            if status == StatusCode::BAD_REQUEST
                && spoken != 0
                && offered != 0
                && offered != spoken
                && !retried
            {
                retried = true;
                continue;
            }
            let text = self.read(response.into_body(), limits).await?;
            return Err(faults::from_answer(status.as_u16(), &text));
        }
    }

    fn request(
        &self,
        method: &Method,
        path: &str,
        body: &Bytes,
        headers: &[(&str, &str)],
        spoken: u32,
    ) -> Outcome<Request<Body>> {
        let uri = match spoken {
            0 => format!("http://engine{path}"),
            minor => format!("http://engine/v1.{}{path}", minor.min(NEWEST)),
        };
        let mut request = Request::builder().method(method).uri(uri).header(header::HOST, "docker");
        if !body.is_empty() {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let body = Full::new(body.clone()).map_err(|never| match never {}).boxed_unsync();
        request.body(body).map_err(|why| {
            Fault::new(Kind::Invalid, why.to_string()).because(format!("cannot ask for {path:?}"))
        })
    }

    /// Reads a body up to the cap.
    pub(super) async fn read(&self, mut body: Incoming, limits: Limits) -> Outcome<Bytes> {
        use hyper::body::Body;
        let told = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
        if told > limits.cap {
            return Err(too_large(limits));
        }
        let mut whole = BytesMut::with_capacity(told);
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|why| self.cut(&why))?;
            let Some(data) = frame.data_ref() else { continue };
            if whole.len() + data.len() > limits.cap {
                return Err(too_large(limits));
            }
            whole.extend_from_slice(data);
        }
        Ok(whole.freeze())
    }

    /// The fault of a connection that ended in the middle of an answer.
    pub(super) fn cut(&self, why: &hyper::Error) -> Fault {
        let reason = self.dialer.complaint().unwrap_or_else(|| why.to_string());
        Fault::new(Kind::Unreachable, reason).because("the connection to the engine was cut")
    }

    fn lost(&self, why: &hyper_util::client::legacy::Error) -> Fault {
        let mut source: Option<&(dyn std::error::Error + 'static)> = Some(why);
        let mut innermost = why.to_string();
        while let Some(error) = source {
            if let Some(fault) = error.downcast_ref::<Fault>() {
                return fault.clone();
            }
            if error.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_parse) {
                return Fault::new(Kind::Bug, error.to_string())
                    .because("what answers there is not an engine");
            }
            innermost = error.to_string();
            source = error.source();
        }
        let reason = self.dialer.complaint().unwrap_or(innermost);
        Fault::new(Kind::Unreachable, reason).because("the connection to the engine was cut")
    }
}

fn too_large(limits: Limits) -> Fault {
    let text = format!("asked to {}, the engine answered more than {} bytes", limits.what, limits.cap);
    Fault::new(Kind::Refused, text)
}

/// The minor version in the answer's `Api-Version` header; zero when it has none that makes sense.
fn api_minor(response: &Response<Incoming>) -> u32 {
    let header = response.headers().get("api-version").and_then(|v| v.to_str().ok());
    header.and_then(|v| v.strip_prefix("1.")).and_then(|minor| minor.parse().ok()).unwrap_or(0)
}

pub(super) fn to_json(body: &impl Serialize) -> Outcome<Bytes> {
    serde_json::to_vec(body).map(Bytes::from).map_err(|why| Fault::new(Kind::Bug, why.to_string()))
}

/// Runs `work` within the deadline; past it the outcome is unknown.
async fn within<T>(limits: Limits, work: impl Future<Output = Outcome<T>>) -> Outcome<T> {
    match tokio::time::timeout(limits.deadline, work).await {
        Ok(result) => result,
        Err(_) => Err(timed_out(limits)),
    }
}

/// The fault of a deadline that has passed.
pub(super) fn timed_out(limits: Limits) -> Fault {
    let seconds = limits.deadline.as_secs();
    Fault::new(
        Kind::Timeout,
        format!("asked to {}, the engine did not answer within {seconds} s", limits.what),
    )
}
