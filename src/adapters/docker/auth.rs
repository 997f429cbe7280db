//! Logins for registries from the Docker CLI's configuration: stored ones and credential helpers, each for its registry only.

use std::path::PathBuf;
use std::process::Stdio;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use serde::Deserialize;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::adapters::docker::limits::{CONFIG_CAP, HELPER, HELPER_CAP};
use crate::base::fault::{Fault, Kind, Outcome};

/// Under this name the Docker CLI keeps the login of Docker's own registry.
const DOCKER_HUB: &str = "https://index.docker.io/v1/";

/// Where logins are looked up: the directory of the Docker CLI's `config.json`, if there is one.
#[derive(Clone, Debug, Default)]
pub(super) struct Credentials {
    pub(super) config_dir: Option<PathBuf>,
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

impl Credentials {
    /// The value of `X-Registry-Auth` for a registry; `None` for an anonymous pull.
    pub(super) async fn header(&self, registry: &str) -> Outcome<Option<String>> {
        let Some(config) = self.config()? else { return Ok(None) };
        let key = if registry == "docker.io" { DOCKER_HUB } else { registry };
        let helper =
            config.helpers.get(registry).or_else(|| config.helpers.get(key)).or(config.store.as_ref());
        if let Some(helper) = helper {
            return Ok(ask(helper, key).await?.map(|found| login(&found, registry)));
        }
        // The CLI has written keys in all of these forms.
        let names = [key.to_owned(), format!("https://{key}"), format!("https://{key}/v1/")];
        let Some(stored) = names.iter().find_map(|name| config.auths.get(name)) else { return Ok(None) };
        if let Some(token) = stored.identitytoken.as_ref().filter(|t| !t.is_empty()) {
            return Ok(Some(encode(&json!({ "identitytoken": token, "serveraddress": registry }))));
        }
        let Some(auth) = stored.auth.as_ref().filter(|a| !a.is_empty()) else { return Ok(None) };
        let plain = STANDARD.decode(auth).ok().and_then(|bytes| String::from_utf8(bytes).ok());
        let pair = plain.as_deref().and_then(|p| p.trim_end_matches('\0').split_once(':'));
        let Some((username, secret)) = pair else {
            return Err(Fault::new(Kind::Invalid, format!("the stored login for {registry} cannot be read"))
                .hint(format!("docker login {registry}")));
        };
        Ok(Some(login(&FromHelper { username: username.into(), secret: secret.into() }, registry)))
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

fn login(found: &FromHelper, registry: &str) -> String {
    // The helpers' word for an identity token instead of a password.
    if found.username == "<token>" {
        return encode(&json!({ "identitytoken": found.secret, "serveraddress": registry }));
    }
    encode(&json!({ "username": found.username, "password": found.secret, "serveraddress": registry }))
}

fn encode(value: &serde_json::Value) -> String {
    URL_SAFE.encode(value.to_string())
}

/// Asks `docker-credential-NAME`. `None` when it has no login for that registry.
async fn ask(helper: &str, registry: &str) -> Outcome<Option<FromHelper>> {
    let because = |why: &str| Fault::new(Kind::Refused, why).because(format!("docker-credential-{helper}"));
    if helper.is_empty() || !helper.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b)) {
        return Err(Fault::new(Kind::Invalid, format!("{helper:?} is not the name of a credential helper")));
    }
    let mut child = tokio::process::Command::new(format!("docker-credential-{helper}"))
        .arg("get")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .map_err(|why| because(&why.to_string()))?;
    let work = async {
        if let Some(mut stdin) = child.stdin.take() {
            stdin.write_all(registry.as_bytes()).await?;
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
        let none = String::from_utf8_lossy(&said).contains("credentials not found");
        return if none { Ok(None) } else { Err(because("it failed")) };
    }
    serde_json::from_slice(&said).map(Some).map_err(|_| because("its answer makes no sense"))
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn header(config: &str, registry: &str) -> Outcome<Option<String>> {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("config.json"), config).unwrap();
        let found = Credentials { config_dir: Some(dir.path().to_owned()) }.header(registry).await?;
        Ok(found.map(|h| String::from_utf8(URL_SAFE.decode(h).unwrap()).unwrap()))
    }

    #[tokio::test]
    async fn a_login_is_given_to_its_own_registry_only() {
        let config = r#"{"auths":{"r.example:5000":{"auth":"bWU6YTpi"},"https://index.docker.io/v1/":{"auth":"eDp5"}}}"#;
        let found = header(config, "r.example:5000").await.unwrap().unwrap();
        assert_eq!(found, r#"{"password":"a:b","serveraddress":"r.example:5000","username":"me"}"#);
        assert!(header(config, "docker.io").await.unwrap().unwrap().contains(r#""username":"x""#));
        assert_eq!(header(config, "r.example").await, Ok(None));
        assert_eq!(header(config, "evil.example").await, Ok(None));
        assert_eq!(header("{}", "r.example").await, Ok(None));
    }

    #[tokio::test]
    async fn what_cannot_be_read_stops_the_pull() {
        for bad in ["", "3", r#"{"auths":{"r":{"auth":"%%"}}}"#, r#"{"credHelpers":{"r":"../../bin/sh"}}"#] {
            assert!(header(bad, "r").await.is_err(), "{bad}");
        }
        let missing = header(r#"{"credsStore":"longshore-test-none"}"#, "r").await.unwrap_err();
        assert!(missing.to_string().starts_with("docker-credential-longshore-test-none: "), "{missing}");
    }
}
