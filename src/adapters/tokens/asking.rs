//! The other side of the listener's `/v1/access`: who may do what, and a change of it, asked of a token service elsewhere.

use std::path::{Path, PathBuf};
use std::time::Duration;

use reqwest::header::CONTENT_TYPE;
use reqwest::{Certificate, Client, RequestBuilder, Response, StatusCode, Url};
use serde::Deserialize;

use crate::adapters::tokens::of_file;
use crate::adapters::tokens::routes::CHANGES;
use crate::base::fault::{Fault, Kind, Outcome};
use crate::base::text::safe;
use crate::model::access::command::AccessCommand;
use crate::model::access::view::AccessView;

/// From the first byte to the last: checking a password takes some 50 ms, and a full service answers at once.
const PATIENCE: Duration = Duration::from_secs(30);
/// Bytes of an answer: a sentence.
const ANSWER_MAX: usize = 64 << 10;
/// Bytes of a list: of 10,000 people in 1,000 projects there are some 2 MB.
const LIST_MAX: usize = 16 << 20;

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
    secret: Option<String>,
    hint: Option<String>,
    errors: Vec<Told>,
}

#[derive(Deserialize)]
struct Told {
    message: String,
}

/// What was done.
pub struct Changed {
    /// In words.
    pub text: String,
    /// The secret that the service has drawn for a robot.
    pub secret: Option<String>,
}

/// Asks for one change, and says what was done. It is sent once: what became of it may stay unknown.
///
/// # Errors
/// When it is refused, with the service's own words, or the service cannot be reached.
pub async fn change(door: &Door, command: &AccessCommand) -> Outcome<Changed> {
    ask(door, command, PATIENCE).await
}

/// Who may do what, as far as the user may see it.
///
/// # Errors
/// When the service refuses it, or cannot be reached.
pub async fn look(door: &Door) -> Outcome<AccessView> {
    let request = client(door, PATIENCE)?.get(place(&door.url)?);
    let lost = |why: String| Fault::new(Kind::Unreachable, why);
    let bytes = exchange(door, request, LIST_MAX, &lost).await?;
    if bytes.len() > LIST_MAX {
        let text = format!("{}: the list is longer than {} MiB", door.url, LIST_MAX >> 20);
        return Err(Fault::new(Kind::Exhausted, text));
    }
    serde_json::from_slice(&bytes).map_err(|_| no_service(door))
}

async fn ask(door: &Door, command: &AccessCommand, patience: Duration) -> Outcome<Changed> {
    let body = serde_json::to_vec(command)
        .map_err(|e| Fault::new(Kind::Bug, format!("the change cannot be written: {e}")))?;
    let request = client(door, patience)?.post(place(&door.url)?);
    let request = request.header(CONTENT_TYPE, "application/json").body(body);
    let bytes = exchange(door, request, ANSWER_MAX, &|why| unknown(&why, command)).await?;
    let said: Said = serde_json::from_slice(&bytes).map_err(|_| no_service(door))?;
    let secret = said.secret.map(|secret| safe(&secret).into_owned());
    Ok(Changed { text: safe(&said.text).into_owned(), secret })
}

fn no_service(door: &Door) -> Fault {
    Fault::new(Kind::Invalid, format!("{}: that is no token service", door.url))
}

/// The body of the answer, of so many bytes at most. `lost` says what it means that none came to what was sent.
async fn exchange(
    door: &Door,
    request: RequestBuilder,
    most: usize,
    lost: &(dyn Fn(String) -> Fault + Sync),
) -> Outcome<Vec<u8>> {
    let lost_by = |e: reqwest::Error| {
        if !e.is_connect() {
            return lost(format!("{} gave no answer: {}", door.url, innermost(&e)));
        }
        Fault::new(Kind::Unreachable, format!("{} cannot be reached: {}", door.url, innermost(&e)))
            .hint("look whether it is open (`longshore doctor` there), and whether its certificate is trusted here (--ca)")
    };
    let response = request.basic_auth(&door.login, Some(&door.secret)).send().await.map_err(lost_by)?;
    let status = response.status();
    let bytes = read(response, most).await.map_err(lost_by)?;
    if status.is_success() {
        return Ok(bytes);
    }
    let said: Said = serde_json::from_slice(&bytes).map_err(|_| no_service(door))?;
    if status == StatusCode::REQUEST_TIMEOUT {
        return Err(lost(format!("{} gave no answer in its time", door.url)));
    }
    if status == StatusCode::METHOD_NOT_ALLOWED {
        let text = format!("{}: the token service cannot do that", door.url);
        return Err(Fault::new(Kind::Refused, text).hint("an older longshore runs there: upgrade it"));
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
fn unknown(why: &str, command: &AccessCommand) -> Fault {
    let look = "look before you repeat it: who administers the service sees it in `longshore journal`";
    let secret = match command.clone().robot_hash() {
        Some(_) => {
            "; if it was made, the robot's secret is lost: `longshore robot renew --new-secret` gives another"
        }
        None => "",
    };
    Fault::new(Kind::Unreachable, why.to_owned())
        .because("it is not known whether the change was made")
        .hint(format!("{look}{secret}"))
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

fn client(door: &Door, patience: Duration) -> Outcome<Client> {
    // The process has one provider of cryptography: when somebody has chosen it already, that is the one.
    let _chosen = rustls::crypto::ring::default_provider().install_default();
    let mut builder = Client::builder()
        .user_agent(concat!("longshore/", env!("CARGO_PKG_VERSION")))
        .timeout(patience)
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

async fn read(mut response: Response, most: usize) -> Result<Vec<u8>, reqwest::Error> {
    let mut bytes = Vec::new();
    while let Some(part) = response.chunk().await? {
        bytes.extend_from_slice(&part);
        if bytes.len() > most {
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
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;
    use crate::model::access::command::DRAW;

    /// A service that reads what it is asked and gives this answer (none: it says nothing, and waits if it is told to).
    async fn answered(answer: &'static str, wait: bool, command: &AccessCommand) -> Outcome<Changed> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let serving = async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut read = Vec::new();
            while !String::from_utf8_lossy(&read).contains("}}") {
                assert!(stream.read_buf(&mut read).await.unwrap() > 0, "the request comes whole");
            }
            stream.write_all(answer.as_bytes()).await.unwrap();
            if wait {
                std::future::pending::<()>().await;
            }
        };
        let door = Door { url, login: "ada".into(), secret: "a-good-one".into(), ca: None };
        let serving = tokio::spawn(serving);
        let done = ask(&door, command, Duration::from_secs(2)).await;
        serving.abort();
        done
    }

    fn grant() -> AccessCommand {
        let (project, user) = ("feed".parse().unwrap(), "bob".parse().unwrap());
        AccessCommand::Grant { project, user, role: crate::model::access::Role::Guest }
    }

    fn renewal() -> AccessCommand {
        let (project, name) = ("feed".parse().unwrap(), "ci".parse().unwrap());
        AccessCommand::RenewRobot { project, name, secret: Some(DRAW.into()), expires: None }
    }

    #[tokio::test]
    async fn what_was_sent_and_not_answered_is_said_to_be_unknown() {
        let timed_out = "HTTP/1.1 408 Request Timeout\r\nContent-Length: 2\r\n\r\n{}";
        let cut = "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"text\":";
        for (answer, wait) in [("", false), ("", true), (cut, false), (cut, true), (timed_out, false)] {
            let fault = answered(answer, wait, &grant()).await.map(|_| ()).unwrap_err();
            assert!(fault.is_unknown(), "{fault:?}");
            let text = fault.to_string();
            assert!(
                text.starts_with("it is not known whether the change was made: http://127.0.0.1:"),
                "{text}"
            );
            assert!(text.contains(" gave no answer") && !text.contains("a-good-one"), "{text}");
            let hint = fault.hint.unwrap();
            assert!(hint.starts_with("look before you repeat it") && !hint.contains("secret"), "{hint}");
        }
        let hint = answered("", false, &renewal()).await.map(|_| ()).unwrap_err().hint.unwrap();
        assert!(hint.contains("the robot's secret is lost"), "{hint}");
    }

    #[tokio::test]
    async fn what_never_left_or_was_refused_is_not_called_unknown() {
        let unused = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let door = Door {
            url: format!("http://{unused}"),
            login: "ada".into(),
            secret: "a-good-one".into(),
            ca: None,
        };
        let text = change(&door, &grant()).await.map(|_| ()).unwrap_err().to_string();
        assert!(text.contains("cannot be reached") && !text.contains("not known"), "{text}");
        let refused =
            "HTTP/1.1 403 Forbidden\r\nContent-Length: 30\r\n\r\n{\"text\":\"no\",\"hint\":\"ask ada\"}";
        let fault = answered(refused, false, &grant()).await.map(|_| ()).unwrap_err();
        assert_eq!((fault.kind, fault.to_string().as_str()), (Kind::Refused, "no"));
        assert_eq!(fault.hint.as_deref(), Some("ask ada"));
        let made = "HTTP/1.1 200 OK\r\nContent-Length: 31\r\n\r\n{\"text\":\"done\",\"secret\":\"s3cr\"}";
        let made = answered(made, false, &renewal()).await.unwrap();
        assert_eq!((made.text.as_str(), made.secret.as_deref()), ("done", Some("s3cr")));
    }

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
