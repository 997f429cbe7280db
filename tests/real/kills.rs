//! Two masters that are real registries, an engine between them, and skopeo as the client: changes, an outage, deletes, a conflict;
//! and the drill of a lost site. `LONGSHORE_TEST_REGISTRY=1` asks for it.

use std::collections::BTreeMap;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::registry::Registry;
use crate::site::{Process, Site, until};
use crate::support::skopeo::image_of;
use longshore::base::hash::sha256;
use serde_json::Value;

/// Bytes of an image's only layer.
const LAYER: usize = 200_000;

/// Two registries, an engine, a rule of two masters.
struct Pair {
    bj: Registry,
    tc: Registry,
    site: Site,
    _engine: Process,
}

/// An image in skopeo's `dir:` form whose layer is made from a seed.
fn image(seed: u64) -> tempfile::TempDir {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let layer: Vec<u8> = std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[0]
    })
    .take(LAYER)
    .collect();
    image_of(&layer)
}

/// Runs skopeo; true when it says that all went well.
fn skopeo(args: &[&str]) -> bool {
    let mut command = Command::new("skopeo");
    command
        .arg("--insecure-policy")
        .args(args)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command.status().expect("skopeo").success()
}

/// Pushes an image that is made from a seed; gives the digest of its manifest once the registry has acknowledged it.
fn push(registry: &Registry, tag: &str, seed: u64) -> Option<String> {
    let dir = image(seed);
    let digest = sha256(&std::fs::read(dir.path().join("manifest.json")).unwrap());
    let (from, to) =
        (format!("dir:{}", dir.path().display()), format!("docker://{}/feed/web:{tag}", registry.address()));
    skopeo(&["copy", "--preserve-digests", "--dest-tls-verify=false", "--dest-no-creds", &from, &to])
        .then(|| format!("sha256:{digest}"))
}

/// What a tag points to, as skopeo sees it.
fn digest(registry: &Registry, tag: &str) -> Option<String> {
    let image = format!("docker://{}/feed/web:{tag}", registry.address());
    let args = ["--insecure-policy", "inspect", "--raw", "--tls-verify=false", "--no-creds", &image];
    let done = Command::new("skopeo").args(args).stdin(Stdio::null()).output().expect("skopeo");
    done.status.success().then(|| format!("sha256:{}", sha256(&done.stdout)))
}

/// Pulls all of an image, every digest checked by skopeo.
fn pulls(registry: &Registry, tag: &str) -> bool {
    let dir = tempfile::tempdir().unwrap();
    let from = format!("docker://{}/feed/web:{tag}", registry.address());
    skopeo(&[
        "copy",
        "--src-tls-verify=false",
        "--src-no-creds",
        &from,
        &format!("dir:{}", dir.path().display()),
    ])
}

impl Pair {
    fn begin(name: &str) -> Option<Pair> {
        let (bj, tc) = (Registry::start()?, Registry::start()?);
        let site = Site::without_engine();
        let engine = site.engine();
        for (name, registry) in [("bj", &bj), ("tc", &tc)] {
            site.ok(&["registry", "add", name, &registry.address(), "--plain-http", "yes"]);
        }
        site.ok(&[
            "replicate",
            "rule",
            "add",
            name,
            "--from",
            "bj",
            "--to",
            "tc",
            "--two-way",
            "--deletes",
            "--grace",
            "1s",
        ]);
        Some(Pair { bj, tc, site, _engine: engine })
    }

    /// Runs the rule to its end, and gives the run.
    fn run(&self, rule: &str) -> Value {
        let said = self.site.ok(&["replicate", "run", rule]);
        let id: u64 =
            said.split("run-").nth(1).unwrap().split_whitespace().next().unwrap().parse().expect("a number");
        until("the run is over", || {
            let all = self.site.json_any(&["replicate", "status"]);
            let rules = all["rules"].as_array().unwrap().clone();
            let run =
                rules.into_iter().map(|r| r["run"].clone()).find(|r| r["run"] == format!("run-{id}"))?;
            let is_over = !["comparing", "moving", "stalled", "paused"].contains(&run["state"].as_str()?);
            is_over.then_some(run)
        })
    }

    fn is_whole(&self, rule: &str) -> Value {
        let said = self.site.run(&["replicate", "verify", rule, "--read", "--json"]).expect(0, &[]);
        serde_json::from_str::<Value>(&said.out).unwrap()[0].clone()
    }
}

#[test]
fn two_real_masters_converge_after_an_outage_deletes_and_a_conflict() {
    let Some(mut pair) = Pair::begin("masters") else { return };
    for n in 0..4 {
        push(&pair.bj, &format!("bj{n}"), n).expect("pushed");
        push(&pair.tc, &format!("tc{n}"), 10 + n).expect("pushed");
    }
    let run = pair.run("masters");
    assert_eq!((run["state"].as_str(), run["tags"]["done"].as_u64()), (Some("done"), Some(8)), "{run}");
    assert_eq!(pair.is_whole("masters")["same"], 8);
    assert_eq!(pair.run("masters")["tags"]["same"], 8, "nothing goes round");
    // One is gone for a while; both change meanwhile.
    pair.tc.kill();
    let new = push(&pair.bj, "bj0", 50).expect("pushed");
    let run = pair.run("masters");
    assert!(run["state"] == "failed" && run["reason"].as_str().unwrap().contains("does not answer"), "{run}");
    pair.tc.launch();
    let moved = push(&pair.tc, "tc0", 51).expect("pushed");
    assert_eq!(pair.run("masters")["state"], "done");
    assert_eq!((digest(&pair.tc, "bj0"), digest(&pair.bj, "tc0")), (Some(new), Some(moved)));
    // Deleted on either side: gone from both after a yes, and not back.
    for (registry, tag) in [(&pair.bj, "bj1"), (&pair.tc, "tc1")] {
        let image = format!("docker://{}/feed/web:{tag}", registry.address());
        assert!(skopeo(&["delete", "--tls-verify=false", "--no-creds", &image]), "{tag}");
    }
    pair.run("masters");
    crate::site::pause(1_200);
    pair.run("masters");
    let said = pair
        .site
        .run(&["replicate", "deletes", "masters"])
        .expect(0, &["feed/web:bj1", "feed/web:tc1", "waits for a yes"]);
    let (_, rest) = said.err.split_once("--yes ").unwrap();
    let run = rest.split(';').next().unwrap();
    assert!(digest(&pair.tc, "bj1").is_some() && digest(&pair.bj, "tc1").is_some());
    pair.site.run(&["replicate", "deletes", "masters", "--yes", run]).expect(0, &["deleted 2 tags"]);
    assert_eq!((digest(&pair.tc, "bj1"), digest(&pair.bj, "tc1")), (None, None));
    assert_eq!(pair.run("masters")["state"], "done");
    assert_eq!((digest(&pair.bj, "bj1"), digest(&pair.tc, "tc1")), (None, None));
    assert!(pair.site.journal().iter().any(|l| l.contains("deleted feed/web:bj1")));
    // Moved on both sides: shown, left alone, and both kept when somebody says so.
    let (ours, theirs) = (push(&pair.bj, "bj2", 60).unwrap(), push(&pair.tc, "bj2", 61).unwrap());
    assert_eq!(pair.run("masters")["tags"]["conflicts"], 1);
    pair.site
        .run(&["replicate", "conflicts"])
        .expect(0, &["feed/web:bj2", "it was moved on both sides", "waits"]);
    pair.site
        .run(&["replicate", "verify", "masters"])
        .expect(1, &["feed/web:bj2 is in conflict", "NOT whole"]);
    assert_eq!(
        (digest(&pair.bj, "bj2"), digest(&pair.tc, "bj2")),
        (Some(ours.clone()), Some(theirs.clone()))
    );
    pair.site
        .run(&["replicate", "resolve", "masters", "feed/web:bj2", "--both"])
        .expect(0, &["the same on both sides"]);
    assert_eq!((digest(&pair.tc, "bj2"), digest(&pair.bj, "bj2-tc")), (Some(ours), Some(theirs)));
    assert_eq!(pair.run("masters")["state"], "done");
    let report = pair.is_whole("masters");
    assert_eq!((report["tags"].as_u64(), report["conflicts"].as_u64()), (Some(7), Some(0)), "{report}");
}

/// The drill of a lost site: one registry is killed while clients push to both; what was acknowledged is at the survivor at once,
/// and on both once the other is back.
#[test]
fn nothing_acknowledged_is_lost_when_a_site_is_lost() {
    let Some(mut pair) = Pair::begin("drill") else { return };
    let mut acknowledged: BTreeMap<String, String> = BTreeMap::new();
    let mut refused = 0;
    for round in 0..12_u64 {
        if round == 5 {
            // In the middle of a push: a client that is told nothing was promised nothing.
            let address = pair.tc.address();
            let lost = std::thread::spawn(move || {
                let dir = image(999);
                let (from, to) =
                    (format!("dir:{}", dir.path().display()), format!("docker://{address}/feed/web:cut"));
                skopeo(&[
                    "copy",
                    "--preserve-digests",
                    "--dest-tls-verify=false",
                    "--dest-no-creds",
                    &from,
                    &to,
                ])
            });
            std::thread::sleep(Duration::from_millis(30));
            pair.tc.kill();
            if lost.join().unwrap() {
                println!("the push was quicker than the kill");
            }
        }
        for (n, registry) in [&pair.bj, &pair.tc].into_iter().enumerate() {
            let (tag, seed) = (format!("r{round}-{n}"), 100 + round * 2 + n as u64);
            match push(registry, &tag, seed) {
                Some(digest) => drop(acknowledged.insert(tag, digest)),
                None => refused += 1,
            }
        }
        if round % 3 == 2 {
            pair.run("drill");
        }
    }
    assert!(refused == 7 && acknowledged.len() == 17, "{refused} {}", acknowledged.len());
    // The survivor has all that was acknowledged by it, and what had come over before.
    let at_once = acknowledged.iter().filter(|(tag, _)| tag.ends_with("-0"));
    for (tag, wanted) in at_once {
        assert_eq!(digest(&pair.bj, tag).as_ref(), Some(wanted), "{tag}");
    }
    assert!(
        pulls(&pair.bj, "r11-0") && pulls(&pair.bj, "r2-1"),
        "hosts of the lost site pull from the other"
    );
    pair.tc.launch();
    assert_eq!(pair.run("drill")["state"], "done");
    for (tag, wanted) in &acknowledged {
        for registry in [&pair.bj, &pair.tc] {
            assert_eq!(digest(registry, tag).as_ref(), Some(wanted), "{tag}");
        }
    }
    let report = pair.is_whole("drill");
    assert!(report["same"] == report["tags"] && report["tags"].as_u64() >= Some(17), "{report}");
    let kept = pair.site.json(&["replicate", "verify", "drill", "--kept"]);
    assert_eq!(kept[0], report, "the report is kept");
    assert!(pair.site.journal().iter().any(|l| l.contains("drill: verified") && l.contains("all is whole")));
}
