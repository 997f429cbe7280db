//! Images on real registries: looking into them, files to and from skopeo, rules for images, by the real program.

use std::path::Path;
use std::process::Command;

use crate::registry::Registry;
use crate::site::Site;
use serde_json::Value;

/// Runs skopeo, which must succeed, and gives what it wrote.
fn skopeo(args: &[&str]) -> String {
    let out = Command::new("skopeo").args(args).output().expect("skopeo");
    assert!(out.status.success(), "skopeo {args:?}: {}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8(out.stdout).unwrap()
}

/// An image in the OCI layout with two layers of real tars, made by hand, for skopeo to push.
fn layout(dir: &Path, seed: u8, architecture: &str, user: &str, size: usize) {
    let mut archive = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    let mut byte = u32::from(seed);
    let content: Vec<u8> = (0..size)
        .map(|_| {
            byte = byte.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            u8::try_from(byte >> 24).unwrap()
        })
        .collect();
    header.set_size(content.len() as u64);
    header.set_mode(0o644);
    header.set_cksum();
    archive.append_data(&mut header, "content", content.as_slice()).unwrap();
    let layer = archive.into_inner().unwrap();
    let blob = |bytes: &[u8]| {
        let sum = longshore::base::hash::sha256(bytes);
        let at = dir.join("blobs/sha256");
        std::fs::create_dir_all(&at).unwrap();
        std::fs::write(at.join(&sum), bytes).unwrap();
        (format!("sha256:{sum}"), bytes.len())
    };
    let (layer, layer_size) = blob(&layer);
    let config = serde_json::json!({
        "created": "2026-01-02T03:04:05Z", "architecture": architecture, "os": "linux",
        "config": { "User": user, "Labels": { "team": "feed" }, "ExposedPorts": { "80/tcp": {} } },
        "rootfs": { "type": "layers", "diff_ids": [layer] },
    });
    let (config, config_size) = blob(config.to_string().as_bytes());
    let manifest = serde_json::json!({
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": { "mediaType": "application/vnd.oci.image.config.v1+json", "digest": config, "size": config_size },
        "layers": [{ "mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": layer, "size": layer_size }],
    });
    let (manifest, manifest_size) = blob(manifest.to_string().as_bytes());
    let index = serde_json::json!({ "schemaVersion": 2, "manifests": [{
        "mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": manifest, "size": manifest_size,
        "annotations": { "org.opencontainers.image.ref.name": "x" },
    }]});
    std::fs::write(dir.join("index.json"), index.to_string()).unwrap();
    std::fs::write(dir.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
}

/// Pushes an image by skopeo.
fn push(site: &Site, to: &Registry, path: &str, seed: u8, user: &str, size: usize) {
    let dir = site.dir().join(format!("layout-{seed}"));
    layout(&dir, seed, "amd64", user, size);
    let from = format!("oci:{}:x", dir.display());
    skopeo(&["copy", "--dest-tls-verify=false", &from, &format!("docker://{}/{path}", to.address())]);
}

/// The digest of an image, as skopeo sees it.
fn digest(of: &Registry, path: &str) -> String {
    let raw =
        skopeo(&["inspect", "--raw", "--tls-verify=false", &format!("docker://{}/{path}", of.address())]);
    format!("sha256:{}", longshore::base::hash::sha256(raw.as_bytes()))
}

fn at(site: &Site, name: &str) -> String {
    site.dir().join(name).display().to_string()
}

#[test]
fn a_real_registry_is_browsed_with_filter_and_parts() {
    let Some(hq) = Registry::start() else { return };
    let site = Site::without_engine();
    let engine = site.engine();
    site.ok(&["registry", "add", "hq", &hq.address()]);
    push(&site, &hq, "feed/web:v0", 1, "app", 20_000);
    let from = format!("docker://{}/feed/web:v0", hq.address());
    for n in 1..12 {
        let to = format!("docker://{}/feed/web:v{n}", hq.address());
        skopeo(&["copy", "--src-tls-verify=false", "--dest-tls-verify=false", &from, &to]);
    }
    push(&site, &hq, "feed/db:v1", 2, "", 5_000);
    let rows = site.json(&["images", "ls", "hq"]);
    assert_eq!((&rows[0]["repository"], &rows[1]["tags"]), (&"feed/db".into(), &12.into()), "{rows:#}");
    let rows = site.json(&["images", "ls", "hq", "feed/web", "--filter", "=v3"]);
    assert_eq!(rows.as_array().unwrap().len(), 1);
    let row = &rows[0];
    assert_eq!((&row["digest"], &row["why"]), (&Value::from(digest(&hq, "feed/web:v3")), &Value::Null));
    assert_eq!((&row["platforms"][0], &row["labels"]["team"]), (&"linux/amd64".into(), &"feed".into()));
    assert!(
        row["size"].as_u64().unwrap() > 20_000 && row["created"] == "2026-01-02T03:04:05.000Z",
        "{row:#}"
    );
    let said = site.run(&["images", "ls", "hq", "feed/web", "--limit", "5"]).expect(0, &["there are more"]);
    assert_eq!(said.out.lines().count(), 6, "{said:?}");
    let place = said.err.split("--after '").nth(1).unwrap().split('\'').next().unwrap().to_owned();
    let rest = site.json(&["images", "ls", "hq", "feed/web", "--limit", "50", "--after", &place]);
    assert_eq!(rest.as_array().unwrap().len(), 7);
    assert_eq!(
        site.json(&["images", "ls", "hq", "feed/web", "--filter", "!v1"]).as_array().unwrap().len(),
        9
    );
    site.run(&["images", "ls", "hq", "feed/nope"])
        .expect(1, &["registry hq cannot be browsed", "NAME_UNKNOWN"]);
    site.run(&["images", "ls", "nope"]).expect(1, &["there is no registry nope"]);
    drop(engine);
}

#[test]
fn files_go_from_us_to_skopeo_and_back() {
    let (Some(hq), Some(branch)) = (Registry::start(), Registry::start()) else { return };
    let site = Site::without_engine();
    site.ok(&["registry", "add", "hq", &hq.address()]);
    site.ok(&["registry", "add", "branch", &branch.address()]);
    push(&site, &hq, "feed/web:v1", 1, "app", 3_000_000);
    push(&site, &hq, "feed/db:v4", 2, "", 400_000);
    // Ours, read by skopeo: by its name, and without one where there is one image only.
    let (both, one) = (at(&site, "both.tar"), at(&site, "one.tar"));
    site.run(&["image", "export", "hq/feed/web:v1", "hq/feed/db:v4", "-o", &both]).expect(0, &["blobs"]);
    site.ok(&["image", "export", &format!("{}/feed/web:v1", hq.address()), "-o", &one]);
    let named = format!("oci-archive:{both}:feed/db:v4");
    for (from, to) in
        [(named.as_str(), "by-skopeo/db:v4"), (&format!("oci-archive:{one}"), "by-skopeo/web:v1")]
    {
        let to = format!("docker://{}/{to}", branch.address());
        skopeo(&["copy", "--preserve-digests", "--dest-tls-verify=false", from, &to]);
    }
    assert_eq!(digest(&branch, "by-skopeo/web:v1"), digest(&hq, "feed/web:v1"));
    assert_eq!(digest(&branch, "by-skopeo/db:v4"), digest(&hq, "feed/db:v4"));
    // Ours, read by us: what is there is not sent again, and what was sent is what it was.
    site.run(&["image", "import", &both, "--to", "branch"]).expect(0, &["feed/web:v1", "sent"]);
    assert_eq!(digest(&branch, "feed/web:v1"), digest(&hq, "feed/web:v1"));
    site.run(&["image", "import", &both, "--to", "branch"]).expect(0, &["was there already"]);
    site.ok(&["image", "import", &one, "--to", "branch/mirror/hq"]);
    assert_eq!(digest(&branch, "mirror/hq/feed/web:v1"), digest(&hq, "feed/web:v1"));
    // Skopeo's, read by us: with a name, and without one.
    let (theirs, nameless) = (at(&site, "theirs.tar"), at(&site, "nameless.tar"));
    let from = format!("docker://{}/feed/web:v1", hq.address());
    for to in [format!("oci-archive:{theirs}:feed/web:v9"), format!("oci-archive:{nameless}")] {
        skopeo(&["copy", "--preserve-digests", "--src-tls-verify=false", &from, &to]);
    }
    site.ok(&["image", "import", &theirs, "--to", "branch"]);
    assert_eq!(digest(&branch, "feed/web:v9"), digest(&hq, "feed/web:v1"));
    site.run(&["image", "import", &nameless, "--to", "branch"])
        .expect(1, &["no name", "--as REPOSITORY:TAG"]);
    site.ok(&["image", "import", &nameless, "--to", &branch.address(), "--as", "feed/web:v10"]);
    assert_eq!(digest(&branch, "feed/web:v10"), digest(&hq, "feed/web:v1"));
    // An archive of the older kind is named, not guessed at.
    let old = at(&site, "docker.tar");
    skopeo(&["copy", "--src-tls-verify=false", &from, &format!("docker-archive:{old}:feed/web:v1")]);
    site.run(&["image", "import", &old, "--to", "branch"])
        .expect(1, &["`docker save` from before Docker 25"]);
}

#[test]
fn several_platforms_and_what_is_said_about_them_travel_in_one_file() {
    let (Some(hq), Some(branch)) = (Registry::start(), Registry::start()) else { return };
    let site = Site::without_engine();
    let (a, b) = (site.dir().join("a"), site.dir().join("b"));
    layout(&a, 1, "amd64", "app", 50_000);
    layout(&b, 2, "arm64", "app", 50_000);
    // One index of both, in a layout of its own.
    let read = |dir: &Path| -> Value {
        serde_json::from_slice(&std::fs::read(dir.join("index.json")).unwrap()).unwrap()
    };
    let child = |dir: &Path, architecture: &str| {
        let mut of = read(dir)["manifests"][0].clone();
        of["platform"] = serde_json::json!({ "os": "linux", "architecture": architecture });
        of.as_object_mut().unwrap().remove("annotations");
        of
    };
    let index =
        serde_json::json!({ "schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": [child(&a, "amd64"), child(&b, "arm64")] })
        .to_string();
    let sum = longshore::base::hash::sha256(index.as_bytes());
    for entry in std::fs::read_dir(b.join("blobs/sha256")).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), a.join("blobs/sha256").join(entry.file_name())).unwrap();
    }
    std::fs::write(a.join("blobs/sha256").join(&sum), &index).unwrap();
    let top = serde_json::json!({ "schemaVersion": 2, "manifests": [{
        "mediaType": "application/vnd.oci.image.index.v1+json", "digest": format!("sha256:{sum}"),
        "size": index.len(), "annotations": { "org.opencontainers.image.ref.name": "x" } }]});
    std::fs::write(a.join("index.json"), top.to_string()).unwrap();
    let to = format!("docker://{}/feed/web:v1", hq.address());
    skopeo(&[
        "copy",
        "--all",
        "--preserve-digests",
        "--dest-tls-verify=false",
        &format!("oci:{}:x", a.display()),
        &to,
    ]);
    assert_eq!(digest(&hq, "feed/web:v1"), format!("sha256:{sum}"));
    let (all, arm) = (at(&site, "all.tar"), at(&site, "arm.tar"));
    let image = format!("{}/feed/web:v1", hq.address());
    site.run(&["image", "export", &image, "-o", &all]).expect(0, &["linux/amd64, linux/arm64"]);
    site.ok(&["image", "import", &all, "--to", &branch.address()]);
    assert_eq!(digest(&branch, "feed/web:v1"), format!("sha256:{sum}"));
    site.ok(&["image", "export", &image, "--platform", "linux/arm64", "-o", &arm]);
    site.ok(&["image", "import", &arm, "--to", &branch.address(), "--as", "feed/web:arm"]);
    let said = skopeo(&[
        "inspect",
        "--tls-verify=false",
        "--override-arch=arm64",
        &format!("docker://{}/feed/web:arm", branch.address()),
    ]);
    assert!(said.contains("\"Architecture\": \"arm64\""), "{said}");
}

#[test]
fn a_large_file_is_carried_in_little_memory() {
    let (Some(hq), Some(branch)) = (Registry::start(), Registry::start()) else { return };
    let site = Site::without_engine();
    push(&site, &hq, "feed/big:v1", 3, "app", 128 << 20);
    let file = at(&site, "big.tar");
    let image = format!("{}/feed/big:v1", hq.address());
    // The most memory that the program ever had, in KiB, as the kernel tells when it ends.
    let most = |args: &[&str]| -> u64 {
        let out = site.dir().join("time");
        let mut command = Command::new("/usr/bin/time");
        command.env_clear().envs(site.env()).args(["-f", "%M", "-o"]).arg(&out).arg(crate::site::BIN);
        command.arg("--state").arg(site.state()).args(args);
        let done = command.output().expect("time");
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        std::fs::read_to_string(out).unwrap().trim().parse().unwrap()
    };
    if !Path::new("/usr/bin/time").exists() {
        println!("skipped: there is no /usr/bin/time to tell the memory");
        return;
    }
    let export = most(&["image", "export", &image, "-o", &file]);
    let import = most(&["image", "import", &file, "--to", &branch.address()]);
    println!("128 MiB: export {export} KiB, import {import} KiB at most");
    assert!(export < 60 << 10 && import < 60 << 10, "export {export} KiB, import {import} KiB");
    assert_eq!(digest(&branch, "feed/big:v1"), digest(&hq, "feed/big:v1"));
}

#[test]
fn an_image_is_held_against_rules_without_an_engine() {
    let Some(hq) = Registry::start() else { return };
    let site = Site::without_engine();
    push(&site, &hq, "feed/web:root", 1, "", 5_000);
    push(&site, &hq, "feed/web:app", 2, "app", 5_000);
    let rules = site.file("rules.toml", "no_root = true\nports_denied = [22]\n\n[labels]\nteam = \"*\"\n");
    let image = |tag: &str| format!("{}/feed/web:{tag}", hq.address());
    let bad = site.run(&["image", "check", &image("root"), "--policy", &rules]);
    bad.expect(1, &["breach   no_root: it names no user", "pass     ports_denied", "may not run"]);
    site.run(&["image", "check", &image("app"), "--policy", &rules]).expect(0, &["may run"]);
    let json = site.json_any(&["image", "check", &image("root"), "--policy", &rules]);
    assert_eq!(
        (&json["passes"], &json["rules"][1]["verdict"]),
        (&false.into(), &"breach".into()),
        "{json:#}"
    );
    site.run(&["image", "check", &image("nope"), "--policy", &rules]).expect(1, &["is not there", "unknown"]);
    assert!(!site.state().exists(), "no state was made");
    // The rules of the install: at the push of a pool file, and for `image check`.
    site.ok(&["registry", "add", "hq", &hq.address()]);
    site.ok(&["policy", "set", &rules]);
    assert!(site.ok(&["policy", "show"]).contains("no_root = true"));
    site.run(&["image", "check", "hq/feed/web:root"]).expect(1, &["no_root"]);
    let pools = |tag: &str| site.sleepers("feed", "web", 1, &image(tag));
    site.run(&["check", &pools("root")]).expect(1, &["refused: image", "no_root"]);
    site.run(&["up", "--plan", &pools("root")]).expect(1, &["refused: image"]);
    site.run(&["up", &pools("root")]).expect(1, &["the rules for images do not allow this"]);
    site.run(&["check", &pools("app")]).expect(0, &["good"]);
    site.ok(&["policy", "rm"]);
    site.run(&["image", "check", "hq/feed/web:root"]).expect(1, &["has no rules for images"]);
    let broken = site.file("bad.toml", "no_root = 1\n");
    site.run(&["policy", "set", &broken]).expect(1, &["bad.toml:1:11"]);
}

#[test]
fn the_console_looks_into_a_real_registry() {
    let Some(hq) = Registry::start() else { return };
    let site = Site::without_engine();
    site.ok(&["registry", "add", "hq", &hq.address()]);
    push(&site, &hq, "feed/web:v1", 1, "app", 20_000);
    push(&site, &hq, "feed/web:v2", 2, "app", 20_000);
    push(&site, &hq, "feed/db:v1", 3, "", 5_000);
    for at in [(120, 40), (80, 24)] {
        let mut console = crate::terminal::Terminal::open(&site, &[], at);
        console.keys("7");
        console.until_shows(&["Registries (1)", "hq", "ok"]);
        console.keys("\r");
        console.until_shows(&["Repositories of hq (2)", "feed/db", "feed/web"]);
        console.keys("j\r");
        console.until_shows(&["Tags of hq · feed/web (2)", "v1", "v2"]);
        console.until("the details are there", |screen| screen.contains(&digest(&hq, "feed/web:v1")[7..19]));
        console.keys("d");
        console.until_shows(&["label: team=feed", "platforms: linux/amd64"]);
        console.keys("\x1b/");
        console.keys("v2\r");
        console.until("only one is left", |screen| screen.contains("(1)") && screen.contains("only \"v2\""));
        console.quit();
    }
}
