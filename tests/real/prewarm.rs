//! Prewarms on two real engines and a real registry: pulled and proved by digest, handed over from host to host.

use std::io::Write;

use crate::registry::Registry;
use crate::site::{Site, until};
use crate::support::Lab;
use serde_json::Value;

/// Bytes of the layer that cannot be compressed.
const LAYER: usize = 120 << 20;

struct Scene {
    registry: Registry,
    labs: [Lab; 2],
    site: Site,
    image: String,
}

impl Scene {
    /// Two engines that know nothing of the image, a registry that has it, and a longshore that knows all three.
    fn start() -> Option<Scene> {
        let registry = Registry::start()?;
        let labs = [Lab::start_own(&[])?, Lab::start_own(&[])?];
        let image = format!("{}/feed/web:2", registry.address());
        publish(&labs[0], &image);
        let site = Site::without_engine();
        Some(Scene { registry, labs, site, image })
    }

    fn join(&self) {
        for (name, lab) in ["h1", "h2"].iter().zip(&self.labs) {
            let add = ["hosts", "add", name, &lab.address(), "--site", "bj"];
            self.site.run(&add).expect(0, &["added"]);
        }
        let address = self.registry.address();
        self.site.run(&["registry", "add", "hq", &address]).expect(0, &["hq"]);
    }

    /// What an engine says of the image itself: its id and the digests of registries.
    fn held(&self, lab: usize) -> Option<(String, Vec<String>)> {
        let out = self.labs[lab].docker(&["image", "inspect", &self.image]);
        let said: Value = serde_json::from_slice(&out.stdout).ok()?;
        let image = said.get(0)?;
        let digests = image["RepoDigests"].as_array().cloned().unwrap_or_default();
        let sum = |d: &Value| d.as_str().and_then(|d| d.split_once('@')).map(|(_, sum)| sum.to_owned());
        Some((image["Id"].as_str()?.to_owned(), digests.iter().filter_map(sum).collect()))
    }

    fn forget(&self, lab: usize) {
        self.labs[lab].docker_ok(&["image", "rm", "--force", &self.image]);
        assert_eq!(self.held(lab), None);
    }
}

/// Makes an image with a layer of its own, pushes it, and leaves nothing of it on the engine.
fn publish(lab: &Lab, image: &str) {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("ballast");
    let mut bytes = vec![0_u8; LAYER];
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    for word in bytes.chunks_mut(8) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        word.copy_from_slice(&state.to_le_bytes()[..word.len()]);
    }
    std::fs::File::create(&file).unwrap().write_all(&bytes).unwrap();
    let made = lab.docker_ok(&["create", "--network", "none", crate::support::IMAGE, "true"]);
    let made = made.trim();
    lab.docker_ok(&["cp", file.to_str().unwrap(), &format!("{made}:/ballast")]);
    lab.docker_ok(&["commit", made, image]);
    lab.docker_ok(&["rm", made]);
    lab.docker_ok(&["push", image]);
    lab.docker_ok(&["image", "rm", image]);
}

/// The most memory that a process ever had, in KiB.
fn peak_kib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:")).unwrap();
    line.split_whitespace().next().unwrap().parse().unwrap()
}

fn op_of(said: &crate::site::Said) -> String {
    let at = said.out.find("op-").unwrap_or_else(|| panic!("no operation: {said:?}"));
    said.out[at..].chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '-').collect()
}

#[test]
fn two_engines_get_it_are_proved_by_digest_and_hand_it_over() {
    let Some(mut scene) = Scene::start() else { return };
    let engine = scene.site.engine();
    scene.join();
    let image = scene.image.clone();

    // Until a host that has just joined has listed its images, the plan says that it is not known.
    let plan = until("both hosts have listed their images", || {
        let plan = scene.site.json(&["prewarm", &image, "--site", "bj", "--plan"]);
        plan["hosts"].as_array().unwrap().iter().all(|h| h["holds"] != "not known").then_some(plan)
    });
    assert_eq!(plan["hosts"].as_array().unwrap().len(), 2, "{plan}");
    assert!(plan["hosts"].as_array().unwrap().iter().all(|h| h["holds"] == "missing"), "{plan}");
    assert!(plan["bytes"].as_u64().unwrap() >= LAYER as u64, "{plan}");
    let digest = plan["digest"].as_str().unwrap().to_owned();

    let said = scene.site.run(&["prewarm", &image, "--hosts", "h1,h2", "--wait=180"]);
    let said = said.expect(0, &["accepted", "done"]);
    let detail = scene.site.json(&["ops", &op_of(&said)]);
    assert_eq!(detail["digest"], digest, "{detail}");
    for (lab, name) in ["h1", "h2"].iter().enumerate() {
        let (id, digests) = scene.held(lab).unwrap();
        assert_eq!(digests, std::slice::from_ref(&digest), "{name}: the engine's own word");
        let host = detail["hosts"].as_array().unwrap().iter().find(|h| h["host"] == **name).unwrap();
        assert_eq!((&host["digest"], &host["id"]), (&digest.clone().into(), &id.into()), "{host}");
        assert!(host["bytes"].as_u64().unwrap() >= LAYER as u64, "what came over the line is told: {host}");
    }
    // Again: nothing is pulled, both are proved.
    let again = scene.site.run(&["prewarm", &image, "--site", "bj", "--wait=60"]).expect(0, &["done"]);
    scene.site.run(&["ops", &op_of(&again)]).expect(0, &["h1", "was there", &digest]);

    // A host whose tag points to something else is not taken for one that has it.
    scene.labs[1].docker_ok(&["tag", crate::support::IMAGE, &image]);
    let plan = scene.site.json(&["prewarm", &image, "--hosts", "h2", "--plan"]);
    let moved = scene.site.run(&["prewarm", &image, "--hosts", "h2", "--wait=120"]).expect(0, &["done"]);
    assert_eq!(scene.held(1).unwrap().1, std::slice::from_ref(&digest), "{plan} {moved:?}");

    // From host to host: nobody pulls, the registry is gone, the id proves it.
    scene.forget(1);
    scene.registry.kill();
    let begun = std::time::SystemTime::now();
    let given = scene.site.run(&["prewarm", &image, "--site", "bj", "--from-peers", "--wait=180"]);
    let given = given.expect(0, &["done"]);
    let took = begun.elapsed().unwrap();
    let detail = scene.site.json(&["ops", &op_of(&given)]);
    let host = detail["hosts"].as_array().unwrap().iter().find(|h| h["host"] == "h2").unwrap().clone();
    assert_eq!((&host["from_host"], &host["digest"]), (&"h1".into(), &Value::Null), "{host}");
    let ((one, _), (two, none)) = (scene.held(0).unwrap(), scene.held(1).unwrap());
    assert_eq!((one, none), (two, Vec::<String>::new()), "the same image, without a registry's digest");
    let peak = peak_kib(engine.pid());
    println!(
        "handed over {LAYER} bytes and more in {} ms, the engine's peak is {peak} KiB",
        took.as_millis()
    );
    assert!(peak < 100 * 1024, "the archive streams: {peak} KiB");
}

#[test]
fn what_cannot_be_pulled_is_told_with_its_reason() {
    let Some(mut scene) = Scene::start() else { return };
    let _engine = scene.site.engine();
    scene.join();
    let absent = scene.image.replace(":2", ":3");
    let said = scene.site.run(&["prewarm", &absent, "--site", "bj", "--wait=60"]);
    said.expect(1, &["failed", "registry hq"]);
    scene.registry.kill();
    let image = scene.image.clone();
    let said = scene.site.run(&["prewarm", &image, "--hosts", "h1"]).expect(0, &["accepted"]);
    let op = op_of(&said);
    // It is tried again after 5, 20 and 60 seconds.
    for _ in 0..200 {
        let shown = scene.site.ok(&["ops", &op]);
        if shown.contains("failed") && shown.contains("attempts") {
            break;
        }
        crate::site::pause(1_000);
    }
    scene.site.run(&["ops", &op]).expect(0, &["not known", "failed", "attempts"]);
}
