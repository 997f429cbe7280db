//! The answers of the token service: `/token` by GET and POST, `/v1/access`, `/events`, `/health`.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::header::{
    AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, HeaderMap, HeaderName, RETRY_AFTER, WWW_AUTHENTICATE,
};
use hyper::{Method, Request, Response, StatusCode};
use tokio::time::Instant;

use crate::adapters::tokens::counts::{Counts, more, one};
use crate::adapters::tokens::events;
use crate::adapters::tokens::form::{Fields, basic};
use crate::adapters::tokens::guard::Guard;
use crate::adapters::tokens::limits::Limits;
use crate::adapters::tokens::secrets::is_as_ours;
use crate::adapters::tokens::sign::Signer;
use crate::base::clock::SharedClock;
use crate::base::fault::{Fault, Kind};
use crate::base::hash::sha256;
use crate::base::ids::{RegistryName, UserName};
use crate::base::stamp::rfc3339;
use crate::model::access::Subject;
use crate::model::access::command::{AccessCommand, DRAW};
use crate::model::access::scope::Scope;
use crate::model::command::{Refusal, RefusalKind};
use crate::ports::desk::Desk;

/// Where people see, and change, who may do what.
pub(crate) const CHANGES: &str = "/v1/access";
/// Where a proxy says who asks it.
const FORWARDED_FOR: &str = "x-forwarded-for";

/// What an answer is made of.
pub(crate) type Answer = Response<Full<Bytes>>;

/// What all requests share.
pub(crate) struct Service {
    pub desk: Arc<dyn Desk>,
    pub signer: Signer,
    pub clock: SharedClock,
    pub counts: Arc<Counts>,
    pub guard: Mutex<Guard>,
    pub limits: Limits,
    /// What ends TLS in front: from there, a request's header says where it came from.
    pub proxies: Option<Vec<IpAddr>>,
    /// The hash of the secret that registries report with; none refuses all reports.
    pub events_secret: Option<String>,
}

impl Service {
    /// Answers one request.
    pub(crate) async fn answer(&self, peer: IpAddr, request: Request<Incoming>) -> Answer {
        let from = self.client(peer, request.headers());
        let work = self.route(from, request);
        tokio::time::timeout(self.limits.request, work)
            .await
            .unwrap_or_else(|_| plain(StatusCode::REQUEST_TIMEOUT, "the request took too long"))
    }

    /// Where a request came from. Only what our own proxy says is believed, and of that only what it has added itself: the last.
    fn client(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let is_proxy = |proxies: &Vec<IpAddr>| proxies.contains(&peer.to_canonical());
        if !self.proxies.as_ref().is_some_and(is_proxy) {
            return peer;
        }
        let last = headers.get_all(FORWARDED_FOR).iter().next_back().and_then(|v| v.to_str().ok());
        last.and_then(|all| all.rsplit(',').next()?.trim().parse().ok()).unwrap_or(peer)
    }

    async fn route(&self, from: IpAddr, request: Request<Incoming>) -> Answer {
        let path = request.uri().path().to_owned();
        match (request.method(), path.as_str()) {
            (&Method::GET, "/token") => self.by_query(from, &request).await,
            (&Method::POST, "/token") => self.by_form(from, request).await,
            (&Method::GET, CHANGES) => self.look(from, &request).await,
            (&Method::POST, CHANGES) => self.change(from, request).await,
            (&Method::POST, "/events") => self.report(None, request).await,
            (&Method::POST, _) if path.starts_with("/events/") => {
                self.report(path.strip_prefix("/events/"), request).await
            }
            (&Method::GET, "/health") => match self.desk.well() {
                Ok(()) => plain(StatusCode::OK, "well"),
                Err(_) => plain(StatusCode::SERVICE_UNAVAILABLE, "not ready"),
            },
            (_, "/token" | "/events" | "/health" | CHANGES) => {
                plain(StatusCode::METHOD_NOT_ALLOWED, "this is asked for otherwise")
            }
            _ => plain(StatusCode::NOT_FOUND, "there is nothing here"),
        }
    }

    /// `GET /token?service=…&scope=…` with Basic credentials (Distribution, token specification).
    async fn by_query(&self, from: IpAddr, request: &Request<Incoming>) -> Answer {
        let Ok(fields) = Fields::read(request.uri().query().unwrap_or("")) else {
            return plain(StatusCode::BAD_REQUEST, "the query cannot be read");
        };
        let header = request.headers().get(AUTHORIZATION);
        let Some(header) = header else {
            one(&self.counts.anonymous);
            return unauthorized("log in first: nothing is given to nobody");
        };
        let Some((login, secret)) = header.to_str().ok().and_then(basic) else {
            return unauthorized("the credentials cannot be read");
        };
        self.give(from, &login, &secret, &fields).await
    }

    /// `POST /token` with a form (Distribution, OAuth2 token specification); only by password.
    async fn by_form(&self, from: IpAddr, request: Request<Incoming>) -> Answer {
        if !has_type(&request, "application/x-www-form-urlencoded") {
            return plain(StatusCode::UNSUPPORTED_MEDIA_TYPE, "a form is expected");
        }
        let body = match body(request, self.limits.form_bytes).await {
            Ok(body) => body,
            Err(answer) => return answer,
        };
        let fields = std::str::from_utf8(&body).ok().and_then(|text| Fields::read(text).ok());
        let Some(fields) = fields else {
            return plain(StatusCode::BAD_REQUEST, "the form cannot be read");
        };
        if fields.get("grant_type") != Some("password") {
            let error = serde_json::json!({"error": "unsupported_grant_type"});
            return json(StatusCode::BAD_REQUEST, &error);
        }
        let (Some(login), Some(secret)) = (fields.get("username"), fields.get("password")) else {
            one(&self.counts.anonymous);
            return unauthorized("log in first: nothing is given to nobody");
        };
        self.give(from, login, secret, &fields).await
    }

    async fn give(&self, from: IpAddr, login: &str, secret: &str, fields: &Fields) -> Answer {
        let Some(service) = fields.get("service").filter(|s| self.desk.knows(s)) else {
            return plain(StatusCode::BAD_REQUEST, "no registry of ours calls itself so");
        };
        let asked = match Scope::list(&fields.all("scope").collect::<Vec<_>>().join(" ")) {
            Ok(asked) => asked,
            Err(why) => return plain(StatusCode::BAD_REQUEST, &why.to_string()),
        };
        let subject = match self.log_in(from, login, secret).await {
            Ok(subject) => subject,
            Err(answer) => return answer,
        };
        let now = self.clock.now();
        let token = self.desk.allowed(&subject, &asked).and_then(|granted| {
            more(&self.counts.granted, granted.scopes.len());
            more(&self.counts.denied, granted.denied.len());
            granted.denied.iter().for_each(|what| self.guard().denied(what));
            let token = self.signer.token(&subject, service, &granted, now)?;
            Ok((granted, token))
        });
        let (granted, token) = match token {
            Ok(done) => done,
            Err(why) => return self.unavailable(&why),
        };
        one(&self.counts.tokens);
        let scopes: Vec<String> = granted.scopes.iter().map(ToString::to_string).collect();
        let said = serde_json::json!({
            "token": token.text,
            "access_token": token.text,
            "expires_in": token.seconds,
            "issued_at": rfc3339(token.issued),
            "scope": scopes.join(" "),
        });
        json(StatusCode::OK, &said)
    }

    fn guard(&self) -> std::sync::MutexGuard<'_, Guard> {
        self.guard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The answer to one that has failed too often, if this is one.
    fn throttled(&self, from: IpAddr, login: &str) -> Option<Answer> {
        let mut guard = self.guard();
        let left = guard.blocked(login, from, Instant::now())?;
        guard.untried(login, from);
        one(&self.counts.throttled);
        Some(later(StatusCode::TOO_MANY_REQUESTS, left.as_secs() + 1, "too many log-ins have failed"))
    }

    async fn log_in(&self, from: IpAddr, login: &str, secret: &str) -> Result<Subject, Answer> {
        if let Some(answer) = self.throttled(from, login) {
            return Err(answer);
        }
        match self.desk.authenticate(login, secret).await {
            Ok(Some(subject)) => {
                // Again: of many guesses at the same time, the right one must not tell itself after the others failed.
                if let Some(answer) = self.throttled(from, login) {
                    return Err(answer);
                }
                self.guard().succeeded(login, from);
                Ok(subject)
            }
            Ok(None) => {
                one(&self.counts.failed);
                self.guard().failed(login, from, Instant::now());
                Err(unauthorized("name or secret is wrong, or they may not log in now"))
            }
            Err(why) => Err(self.unavailable(&why)),
        }
    }

    /// `GET /v1/access`: who may do what, as far as whoever logs in may see it.
    async fn look(&self, from: IpAddr, request: &Request<Incoming>) -> Answer {
        let subject = match self.person(from, request.headers(), "a look by a robot").await {
            Ok((subject, _)) => subject,
            Err(answer) => return answer,
        };
        let seen = self.desk.seen(&subject).map(serde_json::to_value);
        match seen {
            Ok(Ok(seen)) => json(StatusCode::OK, &seen),
            Ok(Err(_)) => plain(StatusCode::INTERNAL_SERVER_ERROR, "the answer cannot be written"),
            Err(why) => self.unavailable(&why),
        }
    }

    /// The person who asks. (Robots are not kept out by a wrong secret: here each of their calls would cost the engine a line.)
    async fn person(
        &self,
        from: IpAddr,
        headers: &HeaderMap,
        what: &str,
    ) -> Result<(Subject, UserName), Answer> {
        let header = headers.get(AUTHORIZATION).and_then(|h| h.to_str().ok());
        let Some((login, secret)) = header.and_then(basic) else {
            one(&self.counts.anonymous);
            return Err(unauthorized("log in with a name and a password"));
        };
        let subject = self.log_in(from, &login, &secret).await?;
        let Subject::User(user) = &subject else {
            self.guard().denied(what);
            return Err(plain(StatusCode::FORBIDDEN, "robots change nothing, and see nothing here"));
        };
        let user = user.clone();
        Ok((subject, user))
    }

    /// `POST /v1/access`: one change of who may do what, as whoever logs in with it.
    async fn change(&self, from: IpAddr, request: Request<Incoming>) -> Answer {
        let (subject, user) = match self.person(from, request.headers(), "a change by a robot").await {
            Ok(person) => person,
            Err(answer) => return answer,
        };
        if !has_type(&request, "application/json") {
            return plain(StatusCode::UNSUPPORTED_MEDIA_TYPE, "a change in JSON is expected");
        }
        let body = match body(request, self.limits.form_bytes).await {
            Ok(body) => body,
            Err(answer) => return answer,
        };
        let Ok(mut command) = serde_json::from_slice::<AccessCommand>(&body) else {
            return plain(StatusCode::BAD_REQUEST, "the change cannot be read");
        };
        if command.password_hash().is_some_and(|hash| !is_as_ours(hash)) {
            return plain(StatusCode::BAD_REQUEST, "the hash is not of the sort that is kept here");
        }
        let asked = self.guard().asks(&user, Instant::now());
        if let Err((why, left)) = asked {
            self.guard().denied(&format!("a change by {user}: {why}"));
            let text = format!("{why}: nothing was changed");
            return later(StatusCode::TOO_MANY_REQUESTS, left.as_secs() + 1, &text);
        }
        let secret = match self.draw(&mut command).await {
            Ok(secret) => secret,
            Err(answer) => return answer,
        };
        let answer = self.desk.change(subject.clone(), command).await;
        // (That the engine is not to be had is no line of its journal.)
        let is_gone = |r: &Refusal| matches!(r.why, RefusalKind::Unavailable | RefusalKind::Fenced);
        if !answer.as_ref().is_err_and(is_gone) {
            self.guard().answered(&user, answer.is_err(), Instant::now());
        }
        match answer {
            Ok(accepted) => {
                // (The one time that it is told: it is kept as a hash only.)
                json(StatusCode::OK, &serde_json::json!({ "text": accepted.text, "secret": secret }))
            }
            Err(refusal) => {
                let status = match refusal.why {
                    RefusalKind::NotFound => StatusCode::NOT_FOUND,
                    RefusalKind::Unavailable | RefusalKind::Fenced => StatusCode::SERVICE_UNAVAILABLE,
                    _ => StatusCode::FORBIDDEN,
                };
                json(status, &serde_json::json!({ "text": refusal.text, "hint": refusal.hint }))
            }
        }
    }

    /// Draws the secret that a change gives a robot, and puts its hash there. What comes from afar as a hash may be of anything:
    /// of a word that the first guess finds, and nobody counts guesses at robots' secrets.
    async fn draw(&self, command: &mut AccessCommand) -> Result<Option<String>, Answer> {
        let Some(place) = command.robot_hash() else { return Ok(None) };
        if place != DRAW {
            let text = "robots' secrets are drawn here, never sent: nothing was changed";
            let hint =
                "leave the secret empty, and it comes with the answer; an older longshore cannot do that";
            return Err(json(StatusCode::BAD_REQUEST, &serde_json::json!({ "text": text, "hint": hint })));
        }
        let (secret, hash) = self.desk.draw().await.map_err(|why| self.unavailable(&why))?;
        *place = hash;
        Ok(Some(secret))
    }

    fn unavailable(&self, why: &Fault) -> Answer {
        one(&self.counts.unavailable);
        let text = match why.kind {
            Kind::Exhausted => "too many log in at once",
            // What went wrong inside is nothing for a stranger.
            _ => "no tokens can be given out now",
        };
        later(StatusCode::SERVICE_UNAVAILABLE, 2, text)
    }

    /// A registry's report.
    async fn report(&self, name: Option<&str>, request: Request<Incoming>) -> Answer {
        let refuse = |status, text| {
            one(&self.counts.reports_refused);
            plain(status, text)
        };
        let header = request.headers().get(AUTHORIZATION).and_then(|h| h.to_str().ok());
        let secret = header.and_then(|h| h.strip_prefix("Bearer "));
        // Of the two only the hashes are compared: the time that takes says nothing about the secret.
        let is_known = secret.is_some_and(|s| Some(sha256(s.as_bytes())) == self.events_secret);
        if !is_known {
            return refuse(StatusCode::UNAUTHORIZED, "the secret of reports is missing or wrong");
        }
        if !events::TYPES.iter().any(|kind| has_type(&request, kind)) {
            return refuse(StatusCode::UNSUPPORTED_MEDIA_TYPE, "a registry's report is expected");
        }
        // What never could be taken must not be repeated for ever, as the registry does after a 503.
        let registry = name.and_then(|name| name.parse::<RegistryName>().ok());
        let Some(registry) = registry.filter(|name| self.desk.knows(name.as_str())) else {
            let text = "the address names no registry of ours: report to /events/NAME, as `registry auth-config` says";
            return refuse(StatusCode::NOT_FOUND, text);
        };
        let body = match body(request, self.limits.events_bytes).await {
            Ok(body) => body,
            Err(answer) => {
                one(&self.counts.reports_refused);
                return answer;
            }
        };
        let Ok(hints) = events::read(Some(&registry), &body) else {
            return refuse(StatusCode::BAD_REQUEST, "the report cannot be read");
        };
        one(&self.counts.reports);
        for (i, hint) in hints.iter().enumerate() {
            if !self.desk.hint(hint.clone()) {
                more(&self.counts.hints_full, hints.len() - i);
                return later(StatusCode::SERVICE_UNAVAILABLE, 2, "no room for more reports");
            }
            one(&self.counts.hints);
        }
        plain(StatusCode::OK, "taken")
    }
}

fn has_type(request: &Request<Incoming>, wanted: &str) -> bool {
    let said = request.headers().get(CONTENT_TYPE).and_then(|v| v.to_str().ok());
    said.and_then(|v| v.split(';').next()).is_some_and(|v| v.trim().eq_ignore_ascii_case(wanted))
}

/// The whole body, if it is not longer than so.
async fn body(request: Request<Incoming>, max: usize) -> Result<Bytes, Answer> {
    let whole = Limited::new(request.into_body(), max).collect().await;
    whole.map(http_body_util::Collected::to_bytes).map_err(|e| {
        match e.is::<http_body_util::LengthLimitError>() {
            true => plain(StatusCode::PAYLOAD_TOO_LARGE, "the request is too long"),
            false => plain(StatusCode::BAD_REQUEST, "the request broke off"),
        }
    })
}

fn json(status: StatusCode, value: &serde_json::Value) -> Answer {
    let mut answer = Response::new(Full::new(Bytes::from(value.to_string())));
    *answer.status_mut() = status;
    with(with(answer, CONTENT_TYPE, "application/json"), CACHE_CONTROL, "no-store")
}

/// A sentence in the form of registries' errors.
fn plain(status: StatusCode, text: &str) -> Answer {
    if status.is_success() {
        return json(status, &serde_json::json!({ "status": text }));
    }
    let code = match status {
        StatusCode::UNAUTHORIZED => "UNAUTHORIZED",
        StatusCode::TOO_MANY_REQUESTS => "TOOMANYREQUESTS",
        StatusCode::SERVICE_UNAVAILABLE => "UNAVAILABLE",
        _ => "UNSUPPORTED",
    };
    json(status, &serde_json::json!({ "errors": [{ "code": code, "message": text }] }))
}

fn unauthorized(text: &str) -> Answer {
    with(plain(StatusCode::UNAUTHORIZED, text), WWW_AUTHENTICATE, "Basic realm=\"longshore\"")
}

fn later(status: StatusCode, seconds: u64, text: &str) -> Answer {
    with(plain(status, text), RETRY_AFTER, &seconds.to_string())
}

fn with(mut answer: Answer, name: HeaderName, value: &str) -> Answer {
    if let Ok(value) = value.parse() {
        answer.headers_mut().insert(name, value);
    }
    answer
}
