//! Tokens for a registry: asked of its token service, kept by scope until shortly before they end.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue, WWW_AUTHENTICATE};
use reqwest::{StatusCode, Url};
use serde::Deserialize;
use tokio::time::Instant;

use crate::adapters::credentials::Credentials;
use crate::adapters::oci::challenge::Challenge;
use crate::adapters::oci::faults;
use crate::adapters::oci::limits::{ERROR_CAP, Limits, TOKEN_CAP, TOKEN_LIFE, TOKEN_SPARE, TOKENS_MAX};
use crate::adapters::oci::origin::{Origins, host_of};
use crate::adapters::oci::pace;
use crate::adapters::oci::retry::{Tries, may_help, retry_after};
use crate::adapters::oci::transport::{self, Transport};
use crate::base::clock::SharedClock;
use crate::base::fault::{Fault, Kind, Outcome};
use crate::ports::desk::OwnTokens;

/// A login for one registry and the tokens that it brought.
pub(super) struct Auth {
    pub origins: Origins,
    pub transport: Transport,
    pub limits: Limits,
    pub clock: SharedClock,
    login: Login,
    /// What the registry asked for last; none until it has asked.
    known: Mutex<Option<Challenge>>,
    tokens: Mutex<HashMap<String, Arc<tokio::sync::Mutex<Option<Token>>>>>,
}

/// How it logs in: with a name and a secret of somebody, or, where tokens are our own to give, with nothing.
pub(super) struct Login {
    pub credentials: Option<Credentials>,
    pub own: Option<Arc<dyn OwnTokens>>,
}

#[derive(Clone)]
struct Token {
    value: String,
    until: Instant,
}

#[derive(Deserialize)]
struct Given {
    token: Option<String>,
    access_token: Option<String>,
    expires_in: Option<u64>,
}

impl Token {
    /// One that is given out now, used until shortly before it ends.
    fn lasting(value: String, life: Duration) -> Token {
        Token { value, until: Instant::now() + life - TOKEN_SPARE.min(life / 5) }
    }
}

impl Auth {
    pub fn new(
        origins: Origins,
        transport: Transport,
        limits: Limits,
        clock: SharedClock,
        login: Login,
    ) -> Auth {
        let (known, tokens) = (Mutex::new(None), Mutex::new(HashMap::new()));
        Auth { origins, transport, limits, clock, login, known, tokens }
    }

    /// What the registry asked for last.
    pub fn known(&self) -> Option<Challenge> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Learns from the 401 of the registry itself (never from that of a place it pointed to).
    pub fn challenged(&self, host: &str, headers: &HeaderMap) -> Outcome<Challenge> {
        let asked = headers.get_all(WWW_AUTHENTICATE).iter().filter_map(|v| v.to_str().ok());
        let challenge = Challenge::read(asked).ok_or_else(|| {
            Fault::new(Kind::Refused, format!("{host} wants a login and does not say of which kind"))
        })?;
        *self.known.lock().unwrap_or_else(PoisonError::into_inner) = Some(challenge.clone());
        Ok(challenge)
    }

    /// The header that a call to the registry itself carries. `refused` is the one that was answered with 401 just now.
    pub async fn header(
        &self,
        scopes: &[String],
        refused: Option<&HeaderValue>,
    ) -> Outcome<Option<HeaderValue>> {
        match (self.known(), &self.login.credentials) {
            (None, _) => Ok(None),
            (Some(Challenge::Basic), Some(Credentials::Password { username, secret })) => {
                basic(username, secret).map(Some)
            }
            (Some(Challenge::Basic), _) => {
                Err(Fault::new(Kind::Refused, "the registry wants a name and a password")
                    .hint("log in to the registry first"))
            }
            (Some(Challenge::Bearer { realm, service, .. }), _) => {
                let token = self.token(&realm, service.as_deref(), scopes, refused).await?;
                bearer(&token).map(Some)
            }
        }
    }

    async fn token(
        &self,
        realm: &str,
        service: Option<&str>,
        scopes: &[String],
        refused: Option<&HeaderValue>,
    ) -> Outcome<String> {
        // One flight for each kind of right: the others wait for its token.
        let slot = self.slot(&format!("{realm} {} {}", service.unwrap_or_default(), scopes.join(" ")));
        let mut kept = slot.lock().await;
        if let Some(token) = kept.as_ref() {
            let was_refused = refused.is_some_and(|r| bearer(&token.value).is_ok_and(|own| own == r));
            if token.until > Instant::now() && !was_refused {
                return Ok(token.value.clone());
            }
        }
        let own = self.login.own.as_ref().map(|own| own.give(realm, service, scopes)).transpose()?.flatten();
        let token = match own {
            Some((value, life)) => Token::lasting(value, life),
            None => self.ask(realm, service, scopes).await?,
        };
        *kept = Some(token.clone());
        Ok(token.value)
    }

    fn slot(&self, key: &str) -> Arc<tokio::sync::Mutex<Option<Token>>> {
        let mut tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        if tokens.len() >= TOKENS_MAX && !tokens.contains_key(key) {
            tokens.clear();
        }
        Arc::clone(tokens.entry(key.to_owned()).or_default())
    }

    /// Asks the token service, again where that may help.
    async fn ask(&self, realm: &str, service: Option<&str>, scopes: &[String]) -> Outcome<Token> {
        let url = Url::parse(realm).map_err(|why| {
            Fault::new(Kind::Invalid, why.to_string()).because("the registry's token service has no address")
        })?;
        let host = host_of(&url);
        if !self.origins.may_ask(&url) {
            return Err(Fault::new(
                Kind::Refused,
                format!("the token service at {host} would be asked without TLS"),
            )
            .hint("the registry's `realm` must begin with https://"));
        }
        let mut tries = Tries::new(&self.limits);
        loop {
            let (fault, asked) = match self.ask_once(&url, service, scopes).await {
                Ok(answer) => match answer {
                    Asked::Given(token) => return Ok(token),
                    Asked::Failed(fault, pause) => (fault, pause),
                },
                Err(fault) if fault.is_unknown() => (fault, None),
                Err(fault) => return Err(fault),
            };
            tries.again(fault.because("no token could be had"), asked).await?;
        }
    }

    async fn ask_once(&self, realm: &Url, service: Option<&str>, scopes: &[String]) -> Outcome<Asked> {
        let host = host_of(realm);
        let response =
            tokio::time::timeout(self.limits.answer, self.question(realm, service, scopes)?.send())
                .await
                .map_err(|_| {
                    Fault::new(Kind::Timeout, format!("the token service at {host} does not answer"))
                })?
                .map_err(|why| transport::fault_of(why, &host))?;
        let (status, headers) = (response.status(), response.headers().clone());
        if !status.is_success() {
            let body = pace::whole(response, ERROR_CAP, &self.limits).await;
            let fault = faults::fault_of(&host, status, body.as_deref().unwrap_or(&[]));
            if may_help(status) {
                return Ok(Asked::Failed(fault, retry_after(&headers, self.clock.now())));
            }
            let is_login = matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN);
            return Err(match (is_login, &self.login.credentials) {
                (true, Some(_)) => fault
                    .because("the token service does not accept the login")
                    .hint("log in to the registry anew"),
                (true, None) => {
                    fault.because("the token service wants a login").hint("log in to the registry first")
                }
                (false, _) => fault.because("no token could be had"),
            });
        }
        let body = pace::whole(response, TOKEN_CAP, &self.limits).await?;
        let wrong =
            || Fault::new(Kind::Invalid, format!("the answer of the token service at {host} makes no sense"));
        let given: Given = serde_json::from_slice(&body).map_err(|_| wrong())?;
        let value = [given.token, given.access_token]
            .into_iter()
            .flatten()
            .find(|t| !t.is_empty())
            .ok_or_else(wrong)?;
        let life = given.expires_in.filter(|s| *s > 0).map_or(TOKEN_LIFE, Duration::from_secs);
        Ok(Asked::Given(Token::lasting(value, life.min(Duration::from_secs(86_400)))))
    }

    fn question(
        &self,
        realm: &Url,
        service: Option<&str>,
        scopes: &[String],
    ) -> Outcome<reqwest::RequestBuilder> {
        let client = self.transport.to(realm);
        if let Some(Credentials::IdentityToken(token)) = &self.login.credentials {
            // OAuth 2: the identity token is a refresh token (token specification, POST form).
            let mut form =
                Url::parse("https://form.invalid/").map_err(|why| Fault::new(Kind::Bug, why.to_string()))?;
            form.query_pairs_mut()
                .append_pair("grant_type", "refresh_token")
                .append_pair("refresh_token", token)
                .append_pair("client_id", "longshore")
                .append_pair("service", service.unwrap_or_default())
                .append_pair("scope", &scopes.join(" "));
            let body = form.query().unwrap_or_default().to_owned();
            let kind = "application/x-www-form-urlencoded";
            return Ok(client.post(realm.clone()).header("content-type", kind).body(body));
        }
        let mut url = realm.clone();
        {
            let mut pairs = url.query_pairs_mut();
            pairs.extend_pairs(service.map(|s| ("service", s)));
            pairs.extend_pairs(scopes.iter().map(|s| ("scope", s.as_str())));
        }
        let request = client.get(url);
        Ok(match &self.login.credentials {
            Some(Credentials::Password { username, secret }) => {
                request.header(AUTHORIZATION, basic(username, secret)?)
            }
            _ => request,
        })
    }

    /// The actions in a repository that the token for this scope grants; `None` when that cannot be told.
    pub async fn granted(&self, scope: &str) -> Outcome<Option<Vec<String>>> {
        let Some(Challenge::Bearer { realm, service, .. }) = self.known() else { return Ok(None) };
        let token = self.token(&realm, service.as_deref(), &[scope.to_owned()], None).await?;
        Ok(actions_in(&token, scope))
    }
}

enum Asked {
    Given(Token),
    Failed(Fault, Option<Duration>),
}

fn secret(text: &str) -> Outcome<HeaderValue> {
    let mut value = HeaderValue::from_str(text)
        .map_err(|_| Fault::new(Kind::Invalid, "the login or token holds what no header may hold"))?;
    value.set_sensitive(true);
    Ok(value)
}

fn basic(username: &str, password: &str) -> Outcome<HeaderValue> {
    secret(&format!("Basic {}", STANDARD.encode(format!("{username}:{password}"))))
}

fn bearer(token: &str) -> Outcome<HeaderValue> {
    secret(&format!("Bearer {token}"))
}

/// What a token says that it grants, for foresight only: the registry is who decides. `None` for what is no JSON web token.
fn actions_in(token: &str, scope: &str) -> Option<Vec<String>> {
    #[derive(Deserialize)]
    struct Claims {
        access: Option<Vec<Access>>,
    }
    #[derive(Deserialize)]
    struct Access {
        name: String,
        #[serde(default)]
        actions: Vec<String>,
    }
    let payload = URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?.trim_end_matches('=')).ok()?;
    let claims: Claims = serde_json::from_slice(&payload).ok()?;
    let name = scope.strip_prefix("repository:")?.rsplit_once(':')?.0;
    let of = claims.access?.into_iter().filter(|a| a.name == name);
    Some(of.flat_map(|a| a.actions).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_tells_what_it_grants() {
        let claims = r#"{"access":[{"type":"repository","name":"a/b","actions":["pull"]},{"type":"repository","name":"c","actions":["push"]}]}"#;
        let token = format!("x.{}.y", URL_SAFE_NO_PAD.encode(claims));
        assert_eq!(actions_in(&token, "repository:a/b:pull,push"), Some(vec!["pull".to_owned()]));
        assert_eq!(actions_in(&token, "repository:d:pull"), Some(Vec::new()));
        for opaque in ["", "opaque", "a.b.c", "a.e30.c"] {
            assert_eq!(actions_in(opaque, "repository:d:pull"), None, "{opaque}");
        }
    }

    #[test]
    fn secrets_are_not_shown() {
        let shown = format!("{:?} {:?}", basic("me", "password").unwrap(), bearer("token").unwrap());
        assert_eq!(shown, "Sensitive Sensitive");
    }
}
