//! Replication by the real program between real registries: killed again and again, through faults of all kinds, stopped inside a blob.
//!
//! `LONGSHORE_TEST_REGISTRY=1` asks for it.

mod faults;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::proxy::{Proxy, Reply, Trouble};
use crate::registry::Registry;
use crate::site::{Process, Site, pause, within};
use bytes::Bytes;
use futures_util::{FutureExt, StreamExt, stream};
use longshore::adapters::oci::{Client, Limits};
use longshore::adapters::sim::layer;
use longshore::base::clock::SystemClock;
use longshore::base::fault::Outcome;
use longshore::base::ids::Seeded;
use longshore::model::oci::{Digest, Manifest, Reference, Repository, Tag};
use longshore::ports::registry::{Catalogue, Content};

/// Repositories, and tags in each, of the set that is killed again and again.
const REPOSITORIES: u64 = 5;
const TAGS: u64 = 5;
/// How often the engine is killed.
const KILLS: u32 = 20;

const OCI: &str = "application/vnd.oci.image.manifest.v1+json";

fn client(address: &str) -> Client {
    let json = serde_json::json!({ "name": "lab", "address": address });
    Client::new(&serde_json::from_value(json).unwrap(), None, Arc::new(SystemClock), Limits::default())
        .unwrap()
}

fn repository(text: &str) -> Repository {
    text.parse().unwrap()
}

async fn put_blob(client: &Client, to: &Repository, blob: &Bytes) -> serde_json::Value {
    let digest = Digest::of(blob);
    let of = blob.clone();
    let source = || {
        let parts: Vec<Outcome<Bytes>> = vec![Ok(of.clone())];
        async move { Ok(stream::iter(parts).boxed()) }.boxed()
    };
    client.write_blob(to, &digest, blob.len() as u64, &source).await.unwrap();
    serde_json::json!({ "mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": digest.to_string(), "size": blob.len() })
}

/// Pushes an image of these layers.
async fn push(client: &Client, to: &str, tag: &str, layers: &[Bytes]) -> Digest {
    let to = repository(to);
    let config = put_blob(client, &to, &Bytes::from(format!("{{\"of\": \"{to}:{tag}\"}}"))).await;
    let mut all = Vec::new();
    for layer in layers {
        all.push(put_blob(client, &to, layer).await);
    }
    let json = serde_json::json!({ "schemaVersion": 2, "mediaType": OCI, "config": config, "layers": all });
    let manifest = Manifest::read(OCI, json.to_string().into_bytes()).unwrap();
    let tag: Tag = tag.parse().unwrap();
    client.put_manifest(&to, &Reference::Tag(tag), &manifest).await.unwrap();
    manifest.digest
}

/// All tags of a registry and what they point to. Fails if one of them needs a blob that is not there.
async fn whole(client: &Client) -> BTreeMap<String, Digest> {
    let mut out = BTreeMap::new();
    for of in client.repositories(None).await.unwrap().items {
        let Ok(tags) = client.tags(&of, None).await else { continue };
        for tag in tags.items {
            let manifest = client.manifest(&of, &Reference::Tag(tag.clone())).await.unwrap();
            for blob in &manifest.blobs {
                let there = client.has_blob(&of, &blob.digest).await.unwrap();
                assert_eq!(there, Some(blob.size), "{of}:{tag} points to {} which is not there", blob.digest);
            }
            out.insert(format!("{of}:{tag}"), manifest.digest);
        }
    }
    out
}

/// A machine that knows two registries and a rule from the one to the other.
fn knows(site: Site, hq: &str, bj: &str, rule: &[&str]) -> Site {
    site.ok(&["registry", "add", "hq", hq]);
    site.ok(&["registry", "add", "bj", bj]);
    let mut args = vec!["replicate", "rule", "add", "all", "--from", "hq", "--to", "bj"];
    args.extend(rule);
    site.ok(&args);
    site
}

/// The last run of the rule.
fn last_run(site: &Site) -> serde_json::Value {
    site.json_any(&["replicate", "runs", "all", "--limit", "1"])[0].clone()
}

/// Bytes of bodies of uploads that came through a proxy as a whole, by digest: how often.
fn uploads(proxy: &Proxy) -> BTreeMap<String, u32> {
    let mut out = BTreeMap::new();
    for seen in proxy.seen() {
        if seen.method == "PUT"
            && let Some((_, digest)) = seen.path.split_once("digest=")
        {
            *out.entry(digest.replace("%3A", ":")).or_insert(0) += 1;
        }
    }
    out
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_engine_killed_at_twenty_points_ends_with_all_of_it_and_sends_nothing_twice() {
    let (Some(hq), Some(bj)) = (Registry::start(), Registry::start()) else { return };
    let (source, target) = (client(&hq.address()), client(&bj.address()));
    let base = layer(1, 300_000);
    for r in 0..REPOSITORIES {
        let own = layer(100 + r, 200_000);
        for t in 0..TAGS {
            let tops = [layer(1_000 + r * 100 + t, 150_000), layer(9_000 + r * 100 + t, 60_000)];
            let layers = [base.clone(), own.clone(), tops[0].clone(), tops[1].clone()];
            push(&source, &format!("feed/r{r}"), &format!("v{t}"), &layers).await;
        }
    }
    let counting = Proxy::before(&bj.address(), |_| (Reply::Pass, Trouble::None)).await;
    let site = knows(Site::without_engine(), &hq.address(), &counting.address, &[]);
    site.ok(&["replicate", "limits", "hq:bj", "--parallel", "2", "--budget", "all=1M/s"]);
    let seed = u64::from(std::process::id());
    let mut random = Seeded::new(seed);
    let mut states = Vec::new();
    for round in 0..KILLS {
        let mut engine = site.engine();
        if round == 0 {
            site.ok(&["replicate", "run", "all"]);
        }
        let ms = 300 + random.below(900);
        pause(ms);
        engine.kill();
        let there = whole(&target).await.len();
        states.push((ms, uploads(&counting).len(), there));
    }
    println!("seed {seed}: killed after (ms, blobs sent by then, tags there then): {states:?}");
    let in_the_middle =
        states.iter().filter(|(_, sent, there)| *sent > 0 && *there < (REPOSITORIES * TAGS) as usize);
    assert!(
        in_the_middle.count() >= 5,
        "too few kills were in the middle of the work to say anything: {states:?}"
    );
    site.ok(&["replicate", "limits", "hq:bj", "--budget", ""]);
    let _engine = site.engine();
    site.ok(&["replicate", "run", "all", "--wait=50"]);
    let all = whole(&source).await;
    assert_eq!(whole(&target).await, all);
    assert_eq!(all.len() as u64, REPOSITORIES * TAGS);
    let twice: Vec<_> = uploads(&counting).into_iter().filter(|(_, n)| *n > 1).collect();
    assert!(twice.is_empty(), "arrived, and sent again: {twice:?}");
    let said = site.run(&["replicate", "diff", "all"]).expect(0, &["in sync"]);
    assert!(said.out.is_empty(), "{said:?}");
    let runs = site.json_any(&["replicate", "runs", "all", "--limit", "50"]);
    let open = |r: &&serde_json::Value| r["ended"].is_null();
    assert_eq!(runs.as_array().unwrap().iter().filter(open).count(), 0, "no run is left open: {runs}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_run_rests_goes_on_and_stops_inside_a_blob_within_its_budget() {
    let (Some(hq), Some(bj)) = (Registry::start(), Registry::start()) else { return };
    let (source, target) = (client(&hq.address()), client(&bj.address()));
    push(&source, "feed/large", "v1", &[layer(1, 6_000_000)]).await;
    push(&source, "feed/small", "v1", &[layer(2, 3_000_000)]).await;
    let site = knows(Site::without_engine(), &hq.address(), &bj.address(), &[]);
    site.ok(&["replicate", "limits", "hq:bj", "--parallel", "1", "--budget", "all=1M/s"]);
    let said = site.run(&["replicate", "diff", "all"]).expect(1, &["2 missing"]);
    assert!(said.err.contains("8.5M to move") && said.out.contains("5.7M"), "{said:?}");
    let _engine = site.engine();
    site.ok(&["replicate", "run", "all"]);
    let moved = || last_run(&site)["moved"].as_u64().unwrap();
    let began = Instant::now();
    within(Duration::from_secs(20), "the first megabyte has arrived", || (moved() > 1_000_000).then_some(()));
    let id = last_run(&site)["run"].as_str().unwrap().to_owned();
    site.ok(&["replicate", "pause", &id]);
    pause(700);
    let before = moved();
    pause(1_500);
    assert_eq!(moved(), before, "it rests inside the blob");
    assert_eq!(last_run(&site)["state"], "paused");
    assert!(whole(&target).await.is_empty());
    // The other one first, from now on.
    site.ok(&["replicate", "first", "feed/small:v1"]);
    site.ok(&["replicate", "resume", &id]);
    within(Duration::from_secs(20), "it goes on", || (moved() > before).then_some(()));
    let rate = moved() as f64 / began.elapsed().as_secs_f64();
    assert!(rate < 1_300_000.0, "{rate} bytes a second over a line of 1M/s");
    site.ok(&["replicate", "stop", &id]);
    within(Duration::from_secs(10), "it is stopped", || {
        (last_run(&site)["state"] == "stopped").then_some(())
    });
    let there = whole(&target).await;
    assert!(!there.contains_key("feed/large:v1"), "stopped inside its blob: {there:?}");
    let tags = site.json_any(&["replicate", "tags", &id]);
    assert!(tags.as_array().unwrap().iter().any(|t| t["state"] == "stopped"), "{tags}");
    // What is stopped does not go on by itself, and nothing of it is lost.
    site.ok(&["replicate", "limits", "hq:bj", "--budget", ""]);
    let said =
        site.run(&["replicate", "run", "all", "--wait=40"]).expect(0, &["2 of 2 tags as they should be"]);
    assert!(said.err.contains("run-"), "{said:?}");
    assert_eq!(whole(&target).await, whole(&source).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_rule_runs_at_its_times_in_the_real_program_and_a_dead_target_is_caught_up() {
    let (Some(hq), Some(mut bj)) = (Registry::start(), Registry::start()) else { return };
    let source = client(&hq.address());
    push(&source, "feed/web", "v1", &[layer(1, 50_000)]).await;
    let site = knows(Site::without_engine(), &hq.address(), &bj.address(), &["--every", "10s"]);
    let _engine = site.engine();
    let target = client(&bj.address());
    let mut there = BTreeMap::new();
    for _ in 0..80 {
        there = whole(&target).await;
        if !there.is_empty() {
            break;
        }
        pause(250);
    }
    assert_eq!(there.len(), 1, "{}", last_run(&site));
    bj.kill();
    push(&source, "feed/web", "v2", &[layer(2, 50_000)]).await;
    within(Duration::from_secs(50), "its run fails", || (last_run(&site)["state"] == "failed").then_some(()));
    let status = site.json_any(&["replicate", "status"]);
    assert_eq!(status["lines"][0]["state"], "unreachable", "{status}");
    assert!(site.run(&["journal"]).out.contains("could not compare"));
    bj.launch();
    for _ in 0..120 {
        there = whole(&target).await;
        if there.len() == 2 {
            break;
        }
        pause(250);
    }
    assert_eq!(there, whole(&source).await, "{}", last_run(&site));
}
