//! Several endpoints behind one registry, and sites whose own registry is down: real registries, killed and started again.

use std::sync::Arc;
use std::time::Duration;

use crate::registry::Registry;
use crate::site::{Site, within};
use crate::support::Lab;
use futures_util::{FutureExt, StreamExt, stream};
use longshore::adapters::oci::{Client, Limits};
use longshore::base::clock::SystemClock;
use longshore::base::hash::sha256;
use longshore::model::oci::{Digest, Manifest, Reference};
use longshore::model::registry::Registry as Record;
use longshore::ports::registry::{Catalogue, Content};
use serde_json::Value;

/// Puts an image of one layer under a tag, over a client of these endpoints.
async fn put(client: &Client, repository: &str, tag: &str, layer: &[u8]) {
    let repository = repository.parse().unwrap();
    let digest = |bytes: &[u8]| Digest::of_sum(&sha256(bytes));
    let config = br#"{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[]}}"#;
    for part in [layer, config] {
        let bytes = bytes::Bytes::copy_from_slice(part);
        let source = move || {
            let bytes = bytes.clone();
            async move { Ok(stream::once(async move { Ok(bytes) }).boxed()) }.boxed()
        };
        client.write_blob(&repository, &digest(part), part.len() as u64, &source).await.unwrap();
    }
    let text = serde_json::json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": digest(config).to_string(), "size": config.len()},
        "layers": [{"mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": digest(layer).to_string(), "size": layer.len()}],
    });
    let kind = "application/vnd.oci.image.manifest.v1+json";
    let manifest = Manifest::read(kind, text.to_string().into_bytes()).unwrap();
    client.put_manifest(&repository, &named(tag), &manifest).await.unwrap();
}

fn named(tag: &str) -> Reference {
    Reference::Tag(tag.parse().unwrap())
}

fn client(record: &Record) -> Client {
    Client::new(record, None, Arc::new(SystemClock), Limits::default()).unwrap()
}

/// What the engine says of a registry.
fn shown(site: &Site, name: &str) -> Value {
    site.json_any(&["registry", "show", name])
}

fn soon<T>(what: &str, look: impl FnMut() -> Option<T>) -> T {
    within(Duration::from_secs(90), what, look)
}

/// Two processes that serve one storage, as two machines on a shared file system do; a third registry is the target.
#[tokio::test(flavor = "multi_thread")]
async fn of_two_endpoints_one_may_die_and_reading_writing_and_replication_go_on() {
    let Some(mut first) = Registry::start() else { return };
    let (second, target) = (first.twin(), Registry::start().unwrap());
    let site = Site::without_engine();
    let _engine = site.engine();
    // The address itself is a name before both; here nobody listens there.
    let address = format!("127.0.0.1:{}", crate::registry::free_port());
    let (one, two) = (first.address(), second.address());
    let add = ["registry", "add", "hq", &address, "--endpoint", &one, "--endpoint", &two, "--storage", "nfs"];
    site.run(&add).expect(0, &[]);
    site.run(&["registry", "add", "branch", &target.address()]).expect(0, &[]);
    site.run(&["replicate", "rule", "add", "all", "--from", "hq", "--to", "branch"]).expect(0, &[]);
    let record: Record = serde_json::from_value(serde_json::json!({
        "name": "hq", "address": address, "endpoints": [one, two],
    }))
    .unwrap();
    let both = client(&record);
    put(&both, "feed/web", "v1", &vec![7; 300_000]).await;
    let state = |at: usize| shown(&site, "hq")["endpoints"][at]["state"].as_str().unwrap().to_owned();
    soon("both are seen", || (state(0) == "live" && state(1) == "live").then_some(()));
    assert_eq!(shown(&site, "hq")["active"], Value::from(one.as_str()));
    assert_eq!(shown(&site, "hq")["storage"], "nfs");

    first.kill();
    // Reading, listing and writing go on over the other, with the client that had the first before.
    let tags = both.tags(&"feed/web".parse().unwrap(), None).await.unwrap().items;
    assert_eq!(tags, ["v1".parse().unwrap()]);
    let manifest = both.manifest(&"feed/web".parse().unwrap(), &named("v1")).await;
    assert!(manifest.is_ok(), "{manifest:?}");
    put(&both, "feed/web", "v2", &vec![8; 300_000]).await;
    soon("the death is seen", || (state(0) == "lost").then_some(()));
    let said = site.run(&["registry", "show", "hq"]).expect(0, &["1 of 2 answer"]);
    assert!(said.out.contains(&format!("{one} has not answered for")), "{said:#?}");
    assert!(said.out.contains("(calls go here)"), "{said:#?}");
    assert_eq!(shown(&site, "hq")["active"], Value::from(two.as_str()));
    // Replication reads from the one that is left.
    site.run(&["replicate", "run", "all"]).expect(0, &[]);
    let copy = client(&Record::new("branch".parse().unwrap(), target.address()));
    for tag in ["v1", "v2"] {
        let mut found = false;
        for _ in 0..600 {
            let at = copy.head(&"feed/web".parse().unwrap(), &named(tag)).await.unwrap();
            found = at.is_some();
            if found {
                break;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        assert!(found, "{tag} has come: {:#?}", site.run(&["replicate", "status"]));
    }

    first.launch();
    soon("its return is seen", || (state(0) == "live").then_some(()));
    assert_eq!(shown(&site, "hq")["active"], Value::from(one.as_str()), "the first that is well counts");
    drop(second);
    soon("the other's death is seen", || (state(1) == "lost").then_some(()));
    put(&both, "feed/web", "v3", &vec![9; 1_000]).await;
}

/// Builds an image from busybox under this reference on a host, pushes it, and takes it off that host again.
fn publish(lab: &Lab, reference: &str, copies: &[String]) {
    for name in std::iter::once(reference).chain(copies.iter().map(String::as_str)) {
        lab.docker_ok(&["tag", &lab.image(), name]);
        lab.docker_ok(&["push", name]);
        lab.docker_ok(&["rmi", name]);
    }
}

fn has(lab: &Lab, reference: &str) -> bool {
    lab.docker(&["image", "inspect", reference]).status.success()
}

/// Two registries, a rule between them, and a host of a site whose own registry is one of the two.
#[test]
fn hosts_of_a_site_whose_registry_is_down_pull_from_the_other_and_it_is_told() {
    let Some(mut own) = Registry::start() else { return };
    let Some(other) = Registry::start() else { return };
    let Some(lab) = Lab::start_own(&[]) else { return };
    let site = Site::without_engine();
    let _engine = site.engine();
    site.run(&["hosts", "add", "h1", &lab.address(), "--site", "bj"]).expect(0, &[]);
    site.run(&["sites", "set", "bj"]).expect(0, &[]);
    site.run(&["registry", "add", "north", &own.address(), "--site", "bj"]).expect(0, &[]);
    site.run(&["registry", "add", "south", &other.address()]).expect(0, &[]);
    site.run(&["replicate", "rule", "add", "all", "--from", "north", "--to", "south"]).expect(0, &[]);
    let image = |registry: &Registry, tag: &str| format!("{}/feed/web:{tag}", registry.address());
    for tag in ["1", "2", "3"] {
        publish(&lab, &image(&own, tag), &[image(&other, tag)]);
    }
    let journal = || site.journal().join("\n");

    // While both are well, the site's own is the one; nothing is told.
    let one = site.sleepers("feed", "web", 1, &image(&other, "1"));
    site.run(&["up", &one, "--wait=60"]).expect(0, &["done"]);
    assert!(has(&lab, &image(&own, "1")), "it came from the site's own registry");
    assert!(!journal().contains("was pulled from"), "{}", journal());

    // Its own registry is down: the image that is named by it comes from the other one.
    own.kill();
    let silent = || shown(&site, "north")["endpoints"][0]["state"] == "lost";
    soon("its death is seen", || silent().then_some(()));
    let two = site.sleepers("ads", "web", 1, &image(&own, "2"));
    site.run(&["up", &two, "--wait=90"]).expect(0, &["done"]);
    assert!(has(&lab, &image(&other, "2")) && has(&lab, &image(&own, "2")), "by both names");
    let told = format!("its image was pulled from registry south ({})", other.address());
    let why = format!("registry north ({}) has not answered since", own.address());
    let lines = journal();
    assert!(lines.lines().any(|line| line.contains(&told) && line.contains(&why)), "{lines}");

    // Both are down: the pool's waiting line names what is down and since when, not a connection that was refused.
    let mut other = other;
    other.kill();
    let three = site.sleepers("pay", "web", 1, &image(&own, "3"));
    site.run(&["up", &three]).expect(0, &[]);
    let waits = soon("the wait is explained", || {
        let pool = site.pool("pay", "web")?;
        let why = pool["waits"][0]["why"].as_str()?.to_owned();
        (why.matches("has not answered since").count() == 2).then_some(why)
    });
    assert!(waits.starts_with(&format!("image {} cannot be pulled: ", image(&own, "3"))), "{waits}");
    assert!(waits.contains("registry north (") && waits.contains("registry south ("), "{waits}");
    assert!(!waits.contains("refused") && !waits.contains("dial"), "{waits}");
    let listed = site.run(&["pools"]);
    assert!(listed.out.contains("pay/web: 1 waiting: image"), "{listed:#?}");

    // One of them returns: the wait is over at once.
    own.launch();
    let begun = std::time::Instant::now();
    soon("it runs after the return", || site.pool("pay", "web").filter(|p| p["running"] == 1).map(|_| ()));
    assert!(
        begun.elapsed() < Duration::from_secs(30),
        "not after a pause of a minute: {:?}",
        begun.elapsed()
    );
}
