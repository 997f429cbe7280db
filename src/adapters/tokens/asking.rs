//! The other side of the listener's `/v1/access`: a change of who may do what, asked of a token service elsewhere.

use std::path::{Path, PathBuf};
use std::time::Duration;

use reqwest::header::CONTENT_TYPE;
use reqwest::{Certificate, Client, Response, StatusCode, Url};
use serde::Deserialize;

use crate::adapters::tokens::of_file;
use crate::adapters::tokens::routes::CHANGES;
use crate::base::fault::{Fault, Kind, Outcome};
use crate::base::text::safe;
use crate::model::access::command::AccessCommand;

/// From the first byte to the last: checking a password takes some 50 ms, and a full service answers at once.
const PATIENCE: Duration = Duration::from_secs(30);
/// Bytes of an answer: a sentence.
const ANSWER_MAX: usize = 64 << 10;

/// A token service, and as whom it is asked.
pub struct Door {
    /// Where it is: `https://NAME:PORT`.
    pub url: String,
    /// A user's name.
    pub login: String,
    /// Their password.
    pub secret: String,
    /// Further certificate authorities, PEM.
    pub ca: Option<PathBuf>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Said {
    text: String,
    hint: Option<String>,
    errors: Vec<Told>,
}

#[derive(Deserialize)]
struct Told {
    message: String,
}

/// Asks for one change, and says what was done. It is sent once: what became of it may stay unknown.
///
/// # Errors
/// When it is refused, with the service's own words, or the service cannot be reached.
pub async fn change(door: &Door, command: &AccessCommand) -> Outcome<String> {
    let (client, url) = (client(door)?, place(&door.url)?);
    let body = serde_json::to_vec(command)
        .map_err(|e| Fault::new(Kind::Bug, format!("the change cannot be written: {e}")))?;
    let request = client.post(url).basic_auth(&door.login, Some(&door.secret));
    let lost = |e: reqwest::Error| {
        if !e.is_connect() {
            return unknown(&format!("{} gave no answer: {}", door.url, innermost(&e)));
        }
        Fault::new(Kind::Unreachable, format!("{} cannot be reached: {}", door.url, innermost(&e)))
            .hint("look whether it is open (`longshore doctor` there), and whether its certificate is trusted here (--ca)")
    };
    let response = request.header(CONTENT_TYPE, "application/json").body(body).send().await.map_err(lost)?;
    let status = response.status();
    let said: Said = read(response).await.map_err(lost).and_then(|bytes| {
        let no_answer = |_| Fault::new(Kind::Invalid, format!("{}: that is no token service", door.url));
        serde_json::from_slice(&bytes).map_err(no_answer)
    })?;
    if status.is_success() {
        return Ok(safe(&said.text).into_owned());
    }
    if status == StatusCode::REQUEST_TIMEOUT {
        return Err(unknown(&format!("{} gave no answer in its time", door.url)));
    }
    let told = said.errors.first().map(|told| told.message.as_str());
    let text =
        if said.text.is_empty() { told.unwrap_or("it was refused without a reason") } else { &said.text };
    let fault = Fault::new(Kind::Refused, safe(text).into_owned());
    Err(match said.hint {
        Some(hint) => fault.hint(safe(&hint).into_owned()),
        None => fault,
    })
}

/// It was sent, and no answer came.
fn unknown(why: &str) -> Fault {
    Fault::new(Kind::Unreachable, why.to_owned())
        .because("it is not known whether the change was made")
        .hint("look before you repeat it: who administers the service sees it in `longshore journal`")
}

/// Where changes are taken. Without TLS only on this machine: a password goes along.
fn place(base: &str) -> Outcome<Url> {
    let bad = |why: &str| {
        Fault::new(Kind::Invalid, format!("{base:?} {why}"))
            .hint("write https://NAME:PORT; http:// is for an address of this machine only")
    };
    let url = Url::parse(&format!("{}{CHANGES}", base.trim_end_matches('/')))
        .map_err(|_| bad("is no address of a token service"))?;
    let is_bare = url.username().is_empty() && url.password().is_none() && url.query().is_none();
    match url.scheme() {
        _ if !is_bare => Err(bad("has more in it than an address")),
        "https" => Ok(url),
        "http" if is_here(&url) => Ok(url),
        "http" => Err(bad("would take a password over a network without TLS")),
        _ => Err(bad("is no address of a token service")),
    }
}

fn is_here(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

fn client(door: &Door) -> Outcome<Client> {
    // The process has one provider of cryptography: when somebody has chosen it already, that is the one.
    let _chosen = rustls::crypto::ring::default_provider().install_default();
    let mut builder = Client::builder()
        .user_agent(concat!("longshore/", env!("CARGO_PKG_VERSION")))
        .timeout(PATIENCE)
        // A redirect could lead the password elsewhere.
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never());
    if door.url.get(..5).is_some_and(|s| s.eq_ignore_ascii_case("http:")) {
        builder = builder.no_proxy();
    }
    if let Some(path) = &door.ca {
        builder = builder.tls_certs_merge(authorities(path)?);
    }
    builder.build().map_err(|e| Fault::new(Kind::Invalid, innermost(&e)))
}

fn authorities(path: &Path) -> Outcome<Vec<Certificate>> {
    let pem = std::fs::read(path).map_err(|e| of_file(path, e))?;
    let list = Certificate::from_pem_bundle(&pem).map_err(|e| of_file(path, innermost(&e)))?;
    if list.is_empty() { Err(of_file(path, "there is no certificate in it")) } else { Ok(list) }
}

async fn read(mut response: Response) -> Result<Vec<u8>, reqwest::Error> {
    let mut bytes = Vec::new();
    while let Some(part) = response.chunk().await? {
        bytes.extend_from_slice(&part);
        if bytes.len() > ANSWER_MAX {
            break;
        }
    }
    Ok(bytes)
}

fn innermost(why: &dyn std::error::Error) -> String {
    let mut innermost = why;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_crosses_no_network_in_the_clear() {
        for url in [
            "https://longshore.example:5443",
            "https://longshore.example/",
            "http://127.0.0.1:5443",
            "http://[::1]:1",
        ] {
            assert!(place(url).is_ok_and(|to| to.path() == "/v1/access"), "{url}");
        }
        for url in [
            "http://longshore.example",
            "longshore.example:5443",
            "",
            "ftp://x",
            "https://a:b@x",
            "https://x?y",
        ] {
            assert!(place(url).is_err_and(|fault| fault.hint.is_some()), "{url}");
        }
    }
}
