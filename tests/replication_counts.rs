//! What replication asks of two real registries, request by request: each blob is fetched once and sent in two calls, mounts
//! send nothing, and a run with nothing to do costs one look a side and tag.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "real processes are waited for in real time; tests say what failed by failing"
)]

#[cfg(test)]
#[allow(dead_code, clippy::allow_attributes, reason = "each test program uses a part of it")]
#[path = "support/proxy.rs"]
mod proxy;
#[cfg(test)]
#[allow(dead_code, clippy::allow_attributes, reason = "each test program uses a part of it")]
#[path = "support/registry.rs"]
mod registry;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{FutureExt, StreamExt, stream};
use longshore::adapters::oci::{Client, Limits};
use longshore::adapters::sim::layer;
use longshore::base::clock::{SharedClock, SystemClock};
use longshore::base::ids::{InstallId, RegistryName, RuleName};
use longshore::engine::registry::{Registries, Replicator};
use longshore::model::oci::{Digest, Manifest, Reference, Repository};
use longshore::model::registry::Registry as Known;
use longshore::model::replication::{Cause, Rule, RunState, RunView};
use longshore::ports::registry::{Content, RegistryClient};
use longshore::store::Store;
use proxy::{Proxy, Reply, Trouble};
use registry::Registry;
use serde_json::json;

const REPOSITORIES: [&str; 2] = ["feed/a", "feed/b"];
const TAGS: usize = 3;
/// One layer of all, one of each repository; a layer and a configuration of each tag.
const BLOBS: usize = 1 + REPOSITORIES.len() * (1 + 2 * TAGS);

fn name(text: &str) -> RegistryName {
    RegistryName::new(text).unwrap()
}

fn client(at: &str, address: &str) -> Client {
    let known = Known::new(name(at), address.to_owned());
    Client::new(&known, None, Arc::new(SystemClock), Limits::default()).unwrap()
}

async fn push_blob(client: &Client, to: &Repository, bytes: &Bytes) -> serde_json::Value {
    let (content, digest, size) = (bytes.clone(), Digest::of(bytes), bytes.len() as u64);
    let source = move || std::future::ready(Ok(stream::iter([Ok(content.clone())]).boxed())).boxed();
    client.write_blob(to, &digest, size, &source).await.unwrap();
    json!({ "mediaType": "application/octet-stream", "digest": digest, "size": size })
}

/// Images that share a layer in their repository, and one over repositories.
async fn fill(address: &str) {
    let client = client("set", address);
    for (r, repository) in (0..).zip(REPOSITORIES) {
        let to: Repository = repository.parse().unwrap();
        for t in 0..TAGS as u64 {
            let mut layers = Vec::new();
            for seed in [1, 10 + r, 100 + 10 * r + t] {
                layers.push(push_blob(&client, &to, &layer(seed, 300_000)).await);
            }
            let form = "application/vnd.oci.image.manifest.v1+json";
            let said = Bytes::from(json!({ "os": "linux", "n": 10 * r + t }).to_string());
            let config = push_blob(&client, &to, &said).await;
            let said = json!({ "schemaVersion": 2, "mediaType": form, "config": config, "layers": layers });
            let manifest = Manifest::read(form, said.to_string().into_bytes()).unwrap();
            let at = Reference::Tag(format!("v{t}").parse().unwrap());
            client.put_manifest(&to, &at, &manifest).await.unwrap();
        }
    }
}

/// The same registry, with a list of all that it is asked.
async fn watched(behind: &Registry) -> Proxy {
    Proxy::before(&behind.address(), |_| (Reply::Pass, Trouble::None)).await
}

/// Requests by what they are: the method, and the path without names and digests.
fn kinds(proxy: &Proxy, from: usize) -> BTreeMap<String, usize> {
    let mut out = BTreeMap::new();
    for seen in proxy.seen().iter().skip(from) {
        let path = seen.path.split('?').next().unwrap();
        let kind = match path {
            "/v2/" => "base",
            "/v2/_catalog" => "catalogue",
            p if p.ends_with("/tags/list") => "tags",
            p if p.contains("/blobs/uploads/") && seen.path.contains("mount=") => "mount",
            p if p.contains("/blobs/uploads/") => "upload",
            p if p.contains("/blobs/") => "blob",
            p if p.contains("/manifests/sha256-") => "list of referrers",
            p if p.contains("/manifests/") => "manifest",
            p if p.contains("/referrers/") => "referrers",
            p => panic!("what is {p}?"),
        };
        *out.entry(format!("{} {kind}", seen.method)).or_insert(0) += 1;
    }
    out
}

fn counts(of: &[(&str, usize)]) -> BTreeMap<String, usize> {
    of.iter().map(|(kind, n)| ((*kind).to_owned(), *n)).collect()
}

async fn run(replicator: &Replicator) -> RunView {
    let mut rule = Rule::new(RuleName::new("all").unwrap(), name("hq"));
    rule.targets = vec![name("branch")];
    let handle = replicator.handle();
    let id = handle.start(rule, Cause::Schedule).await.unwrap();
    tokio::time::timeout(Duration::from_secs(60), handle.ended(id)).await.expect("it ends").unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn blobs_are_fetched_once_sent_in_two_calls_and_a_run_in_sync_looks_once_a_tag() {
    let (Some(hq), Some(branch)) = (Registry::start(), Registry::start()) else { return };
    fill(&hq.address()).await;
    let (source, target) = (watched(&hq).await, watched(&branch).await);
    let dir = tempfile::tempdir().unwrap();
    let clock: SharedClock = Arc::new(SystemClock);
    let opened = Store::open(dir.path(), clock.clone(), InstallId("0a1b2c3d".into())).await.unwrap();
    let of =
        |at: &str, proxy: &Proxy| (name(at), Arc::new(client(at, &proxy.address)) as Arc<dyn RegistryClient>);
    let registries: Registries = [of("hq", &source), of("branch", &target)].into();
    let replicator = Replicator::begin(registries, opened.store, clock).await.unwrap();

    let tags = REPOSITORIES.len() * TAGS;
    let view = run(&replicator).await;
    assert_eq!((view.state, view.tags.done as usize), (RunState::Done, tags), "{view:?}");
    let fetched: Vec<String> =
        source.seen().iter().filter(|s| s.path.contains("/blobs/")).map(|s| s.path.clone()).collect();
    assert_eq!(fetched.iter().collect::<BTreeSet<_>>().len(), fetched.len(), "a blob was fetched twice");
    let sent = kinds(&target, 0);
    let asked = kinds(&source, 0);
    assert_eq!(asked["GET blob"], BLOBS, "{asked:?}");
    assert_eq!((asked["HEAD manifest"], asked["GET manifest"]), (tags, tags), "{asked:?}");
    assert_eq!((sent["POST upload"], sent["PUT upload"]), (BLOBS, BLOBS), "{sent:?}");
    // The layer of both repositories is mounted in the second, and not sent.
    assert_eq!((sent["POST mount"], sent["PUT manifest"]), (1, tags), "{sent:?}");
    // In a repository that was not there only blobs are looked for that another tag has brought meanwhile: at most the two
    // layers that a tag shares. And nothing is asked about tags that are not listed.
    let shared = 2 * REPOSITORIES.len() * (TAGS - 1);
    assert!(sent.get("HEAD blob").is_none_or(|n| *n <= shared), "{sent:?}");
    assert!(!sent.contains_key("HEAD manifest"), "{sent:?}");
    let others = ["PATCH upload", "GET upload", "DELETE upload", "GET blob", "GET manifest"];
    assert!(others.iter().all(|kind| !sent.contains_key(*kind)), "{sent:?}");

    let before = [source.seen().len(), target.seen().len()];
    let view = run(&replicator).await;
    assert_eq!((view.state, view.tags.same as usize), (RunState::Done, tags), "{view:?}");
    let lists = REPOSITORIES.len();
    let looks = [("GET base", 1), ("GET tags", lists), ("HEAD manifest", tags)];
    assert_eq!(kinds(&target, before[1]), counts(&looks));
    let at_source: Vec<_> = looks.into_iter().chain([("GET catalogue", 1)]).collect();
    assert_eq!(kinds(&source, before[0]), counts(&at_source));
    replicator.end().await;
}
