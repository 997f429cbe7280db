//! The OCI client against registries that are sick, slow or hostile: each call ends, tells the true reason, and no login leaves home.
#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test's helpers")]
#![expect(clippy::disallowed_methods, reason = "a test's helpers wait for processes outside")]

#[cfg(test)]
#[path = "registry_faults/login.rs"]
mod login;
#[cfg(test)]
#[path = "registry_faults/moving.rs"]
mod moving;
#[cfg(test)]
#[allow(dead_code, clippy::allow_attributes, reason = "each test program uses a part of it")]
#[path = "support/proxy.rs"]
mod proxy;
#[cfg(test)]
#[allow(dead_code, clippy::allow_attributes, reason = "each test program uses a part of it")]
#[path = "support/registry.rs"]
mod registry;
#[cfg(test)]
#[path = "registry_faults/trouble.rs"]
mod trouble;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{FutureExt, StreamExt, stream};
use longshore::adapters::credentials::Credentials;
use longshore::adapters::oci::{Client, Limits};
use longshore::base::clock::SystemClock;
use longshore::base::fault::{Fault, Kind, Outcome};
use longshore::model::oci::{Digest, Reference, Repository};
use longshore::ports::registry::{Catalogue, Content};
use proxy::{Proxy, Reply, Seen};

/// Short enough for tests that wait for them.
fn limits() -> Limits {
    let ms = Duration::from_millis;
    Limits {
        connect: ms(2000),
        answer: ms(1500),
        list: ms(1500),
        commit: ms(1500),
        window: ms(1500),
        least: 1000,
        tries: 3,
        pause: ms(5),
        pause_max: ms(10),
        enough: ms(20_000),
        patience: ms(20_000),
        rest: ms(1000),
    }
}

/// A client of these endpoints; with a login when `is_known`.
fn client_of(endpoints: &[&str], is_known: bool) -> Client {
    let json = serde_json::json!({ "name": "lab", "address": endpoints[0], "endpoints": endpoints });
    let me = Credentials::Password { username: "me".to_owned(), secret: "secret".to_owned() };
    let registry = serde_json::from_value(json).unwrap();
    Client::new(&registry, is_known.then_some(me), Arc::new(SystemClock), limits()).unwrap()
}

fn client(of: &Proxy) -> Client {
    client_of(&[&of.address], false)
}

fn repository() -> Repository {
    "feed/web".parse().unwrap()
}

fn tag() -> Reference {
    Reference::Tag("v1".parse().unwrap())
}

const OCI: &str = "application/vnd.oci.image.manifest.v1+json";

/// A manifest that needs nothing.
fn manifest() -> Vec<u8> {
    format!(r#"{{"schemaVersion":2,"mediaType":"{OCI}","layers":[]}}"#).into_bytes()
}

/// The answer that serves it.
fn served() -> Reply {
    let digest = Digest::of(&manifest()).to_string();
    Reply::Answer(200, vec![("Content-Type", OCI.to_owned()), ("Docker-Content-Digest", digest)], manifest())
}

fn status(status: u16) -> Reply {
    Reply::Answer(status, Vec::new(), Vec::new())
}

fn json(text: &str) -> Reply {
    Reply::Answer(200, vec![("Content-Type", "application/json".to_owned())], text.into())
}

/// The answer of a server that honours Range, or of one that does not.
fn blob(seen: &Seen, bytes: &[u8], in_parts: bool) -> Reply {
    let from =
        seen.header("range").and_then(|r| r.strip_prefix("bytes=")?.strip_suffix('-')?.parse::<usize>().ok());
    match from.filter(|_| in_parts) {
        None => Reply::Answer(200, Vec::new(), bytes.to_vec()),
        Some(from) => {
            let range = format!("bytes {from}-{}/{}", bytes.len() - 1, bytes.len());
            Reply::Answer(206, vec![("Content-Range", range)], bytes[from..].to_vec())
        }
    }
}

/// Counts from 0.
#[derive(Clone, Default)]
struct Turns(Arc<AtomicUsize>);

impl Turns {
    fn next(&self) -> usize {
        self.0.fetch_add(1, Ordering::SeqCst)
    }
}

fn bytes(length: usize) -> Vec<u8> {
    (0..length).map(|i| u8::try_from(i % 251).unwrap()).collect()
}

/// The bytes from an offset on, until they end or break off: where they began, what came, and why no more did.
async fn read(client: &Client, digest: &Digest, from: u64) -> Outcome<(u64, Vec<u8>, Option<Fault>)> {
    let mut found = client.read_blob(&repository(), digest, from).await?;
    let (mut all, mut end) = (Vec::new(), None);
    while let Some(part) = found.bytes.next().await {
        match part {
            Ok(part) => all.extend_from_slice(&part),
            Err(fault) => end = Some(fault),
        }
    }
    Ok((found.from, all, end))
}

/// All of it, in one go.
async fn read_all(client: &Client, digest: &Digest) -> Outcome<Vec<u8>> {
    let (_, all, end) = read(client, digest, 0).await?;
    end.map_or(Ok(all), Err)
}

async fn write(client: &Client, blob: &[u8]) -> Outcome<()> {
    let of = Bytes::copy_from_slice(blob);
    let source = || {
        let parts: Vec<Outcome<Bytes>> = of.chunks(10_000).map(|c| Ok(Bytes::copy_from_slice(c))).collect();
        async move { Ok(stream::iter(parts).boxed()) }.boxed()
    };
    client.write_blob(&repository(), &Digest::of(blob), blob.len() as u64, &source).await
}

/// The call ends in time, whatever comes of it.
async fn in_time<T>(what: impl Future<Output = Outcome<T>>) -> Outcome<T> {
    tokio::time::timeout(Duration::from_secs(60), what).await.expect("it has no end")
}

async fn fault_of<T>(what: impl Future<Output = Outcome<T>>) -> Fault {
    match in_time(what).await {
        Ok(_) => panic!("it should have failed"),
        Err(fault) => fault,
    }
}
