//! Logins for registries as the Docker CLI keeps them: stored ones and credential helpers, each for its registry only.

pub mod keep;

use std::fmt;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::base::fault::{Fault, Kind, Outcome};

/// Under this name the Docker CLI keeps the login of Docker's own registry.
const DOCKER_HUB: &str = "https://index.docker.io/v1/";
/// A credential helper that asks a locked key store hangs: it is given up.
const HELPER: Duration = Duration::from_secs(10);
/// What a helper says when it has no login for a registry.
const NONE_KEPT: &str = "credentials not found";
/// Largest answer of a credential helper: a token has a few kB.
const HELPER_CAP: usize = 64 << 10;
/// Largest configuration file of the Docker CLI that is read.
const CONFIG_CAP: u64 = 4 << 20;

/// A login. It is never shown, not even by `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub enum Credentials {
    /// A name and a password, or a robot's secret.
    Password {
        /// Who logs in.
        username: String,
        /// The secret.
        secret: String,
    },
    /// A token that a token service takes in place of a password (OAuth 2 refresh token).
    IdentityToken(String),
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Credentials::Password { username, .. } => write!(f, "Password({username:?}, hidden)"),
            Credentials::IdentityToken(_) => f.write_str("IdentityToken(hidden)"),
        }
    }
}

/// Where logins are looked up: the directory of the Docker CLI's `config.json`, if there is one.
#[derive(Clone, Debug, Default)]
pub struct Keyring {
    /// The directory.
    pub config_dir: Option<PathBuf>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Config {
    auths: std::collections::HashMap<String, Stored>,
    #[serde(rename = "credHelpers")]
    helpers: std::collections::HashMap<String, String>,
    #[serde(rename = "credsStore")]
    store: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Stored {
    auth: Option<String>,
    identitytoken: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct FromHelper {
    username: String,
    secret: String,
}

impl Keyring {
    /// The login that is kept for a registry (`HOST[:PORT]`); `None` when there is none.
    ///
    /// # Errors
    /// When the configuration or the helper's answer cannot be read. No error repeats a secret.
    pub async fn find(&self, registry: &str) -> Outcome<Option<Credentials>> {
        let Some(config) = self.config()? else { return Ok(None) };
        let key = key_of(registry);
        if let Some(helper) = helper_of(&config, registry) {
            return Ok(ask(helper, key).await?.map(login));
        }
        let Some(stored) = names_of(key).iter().find_map(|name| config.auths.get(name)) else {
            return Ok(None);
        };
        if let Some(token) = stored.identitytoken.as_ref().filter(|t| !t.is_empty()) {
            return Ok(Some(Credentials::IdentityToken(token.clone())));
        }
        let Some(auth) = stored.auth.as_ref().filter(|a| !a.is_empty()) else { return Ok(None) };
        let plain = STANDARD.decode(auth).ok().and_then(|bytes| String::from_utf8(bytes).ok());
        let pair = plain.as_deref().and_then(|p| p.trim_end_matches('\0').split_once(':'));
        let Some((username, secret)) = pair else {
            return Err(Fault::new(Kind::Invalid, format!("the stored login for {registry} cannot be read"))
                .hint(format!("docker login {registry}")));
        };
        Ok(Some(login(FromHelper { username: username.into(), secret: secret.into() })))
    }

    fn config(&self) -> Outcome<Option<Config>> {
        let Some(path) = self.config_dir.as_ref().map(|dir| dir.join("config.json")) else { return Ok(None) };
        let because =
            |why: String| Fault::new(Kind::Invalid, why).because(format!("cannot read {}", path.display()));
        match std::fs::metadata(&path) {
            Err(why) if why.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(why) => return Err(because(why.to_string())),
            Ok(meta) if meta.len() > CONFIG_CAP => return Err(because("it is far too large".to_owned())),
            Ok(_) => {}
        }
        let text = std::fs::read(&path).map_err(|why| because(why.to_string()))?;
        serde_json::from_slice(&text).map(Some).map_err(|why| because(why.to_string()))
    }
}

/// Under which key the CLI keeps the login of a registry.
fn key_of(registry: &str) -> &str {
    if registry == "docker.io" { DOCKER_HUB } else { registry }
}

/// The CLI has written keys in all of these forms.
fn names_of(key: &str) -> [String; 3] {
    [key.to_owned(), format!("https://{key}"), format!("https://{key}/v1/")]
}

/// The credential helper that a registry's login is with.
fn helper_of<'a>(config: &'a Config, registry: &str) -> Option<&'a str> {
    let of = |name: &str| config.helpers.get(name);
    of(registry).or_else(|| of(key_of(registry))).or_else(|| config.store()).map(String::as_str)
}

fn login(found: FromHelper) -> Credentials {
    // The helpers' word for an identity token instead of a password.
    if found.username == "<token>" {
        return Credentials::IdentityToken(found.secret);
    }
    Credentials::Password { username: found.username, secret: found.secret }
}

/// Asks `docker-credential-NAME`. `None` when it has no login for that registry.
async fn ask(helper: &str, registry: &str) -> Outcome<Option<FromHelper>> {
    let Some(said) = call(helper, "get", registry).await? else { return Ok(None) };
    serde_json::from_slice(&said).map(Some).map_err(|_| {
        Fault::new(Kind::Refused, "its answer makes no sense").because(format!("docker-credential-{helper}"))
    })
}

/// Lets `docker-credential-NAME` do something. `None` when it says that it has no such login.
async fn call(helper: &str, verb: &str, input: &str) -> Outcome<Option<Vec<u8>>> {
    let because = |why: &str| Fault::new(Kind::Refused, why).because(format!("docker-credential-{helper}"));
    if helper.is_empty() || !helper.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b)) {
        return Err(Fault::new(Kind::Invalid, format!("{helper:?} is not the name of a credential helper")));
    }
    let mut child = tokio::process::Command::new(format!("docker-credential-{helper}"))
        .arg(verb)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .map_err(|why| because(&why.to_string()))?;
    let work = async {
        if let Some(mut stdin) = child.stdin.take() {
            stdin.write_all(input.as_bytes()).await?;
        }
        let mut said = Vec::new();
        if let Some(stdout) = child.stdout.take() {
            stdout.take(HELPER_CAP as u64 + 1).read_to_end(&mut said).await?;
        }
        Ok::<_, std::io::Error>((said, child.wait().await?))
    };
    let (said, status) = match tokio::time::timeout(HELPER, work).await {
        Err(_) => return Err(because(&format!("no answer within {} s", HELPER.as_secs()))),
        Ok(Err(why)) => return Err(because(&why.to_string())),
        Ok(Ok(answer)) => answer,
    };
    if said.len() > HELPER_CAP {
        return Err(because("its answer is far too large"));
    }
    if !status.success() {
        // The helpers' agreed text for "no login stored"; anything else may hold a secret and is not repeated.
        let none = String::from_utf8_lossy(&said).contains(NONE_KEPT);
        return if none { Ok(None) } else { Err(because("it failed")) };
    }
    Ok(Some(said))
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn find(config: &str, registry: &str) -> Outcome<Option<Credentials>> {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("config.json"), config).unwrap();
        Keyring { config_dir: Some(dir.path().to_owned()) }.find(registry).await
    }

    #[tokio::test]
    async fn a_login_is_given_to_its_own_registry_only() {
        let config = r#"{"auths":{"r.example:5000":{"auth":"bWU6YTpi"},"https://index.docker.io/v1/":{"auth":"eDp5"},"t.example":{"identitytoken":"i"}}}"#;
        let me = Credentials::Password { username: "me".to_owned(), secret: "a:b".to_owned() };
        assert_eq!(format!("{me:?}"), r#"Password("me", hidden)"#);
        assert_eq!(find(config, "r.example:5000").await, Ok(Some(me)));
        let hub = Credentials::Password { username: "x".to_owned(), secret: "y".to_owned() };
        assert_eq!(find(config, "docker.io").await, Ok(Some(hub)));
        let token = Credentials::IdentityToken("i".to_owned());
        assert_eq!(format!("{token:?}"), "IdentityToken(hidden)");
        assert_eq!(find(config, "t.example").await, Ok(Some(token)));
        assert_eq!(find(config, "r.example").await, Ok(None));
        assert_eq!(find(config, "evil.example").await, Ok(None));
        assert_eq!(find("{}", "r.example").await, Ok(None));
    }

    #[tokio::test]
    async fn what_cannot_be_read_is_a_fault() {
        for bad in ["", "3", r#"{"auths":{"r":{"auth":"%%"}}}"#, r#"{"credHelpers":{"r":"../../bin/sh"}}"#] {
            assert!(find(bad, "r").await.is_err(), "{bad}");
        }
        let missing = find(r#"{"credsStore":"longshore-test-none"}"#, "r").await.unwrap_err();
        assert!(missing.to_string().starts_with("docker-credential-longshore-test-none: "), "{missing}");
    }
}
