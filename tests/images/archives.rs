//! Files that carry images: there and back, with all that is said about them; and files that are damaged.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use longshore::adapters::archive::TarFiles;
use longshore::adapters::sim::{RegistryCall, Scenario, SimRegistry, layer};
use longshore::base::clock::{Millis, SharedClock, TokioClock};
use longshore::base::fault::{Kind, Outcome};
use longshore::engine::archive::Depot;
use longshore::model::archive::{Carried, ImportAs, Source, Written};
use longshore::model::oci::Platform;
use longshore::model::registry::Registry;
use longshore::ports::archive::Archives;
use longshore::ports::registry::Catalogue;

use crate::flow::SimConnector;
use crate::lab::WithRegistries;

struct Carrier {
    hq: Arc<SimRegistry>,
    branch: Arc<SimRegistry>,
    depot: Depot,
    dir: tempfile::TempDir,
}

fn registry(name: &str) -> Registry {
    Registry::new(name.parse().unwrap(), format!("{name}.example:5000"))
}

fn carrier() -> Carrier {
    let clock: SharedClock = Arc::new(TokioClock::starting_at(Millis(1_760_000_000_000)));
    let fleet = longshore::adapters::sim::Fleet::new(Scenario::uniform(1, "app:1").unwrap(), clock.clone());
    let (hq, branch) = (Arc::new(SimRegistry::new("hq")), Arc::new(SimRegistry::new("branch")));
    let known = [("hq", &hq), ("branch", &branch)].map(|(n, r)| (format!("{n}.example:5000"), r.clone()));
    let connector = WithRegistries { hosts: SimConnector(fleet), registries: BTreeMap::from(known) };
    let depot = Depot::new(Arc::new(connector), Arc::new(TarFiles), clock);
    Carrier { hq, branch, depot, dir: tempfile::tempdir().unwrap() }
}

impl Carrier {
    async fn export(&self, images: &[&str], platforms: &[&str], file: &str) -> Outcome<Written> {
        let source = |text: &&str| Source {
            registry: registry("hq"),
            image: format!("hq.example:5000/{text}").parse().unwrap(),
        };
        let sources: Vec<Source> = images.iter().map(source).collect();
        let platform = |text: &&str| {
            let (os, architecture) = text.split_once('/').unwrap();
            Platform { os: os.into(), architecture: architecture.into(), variant: None }
        };
        let platforms: Vec<Platform> = platforms.iter().map(platform).collect();
        self.depot.export(&sources, &platforms, &self.dir.path().join(file), &|_, _| {}).await
    }

    async fn import(&self, file: &str, names: &ImportAs) -> Outcome<Vec<Carried>> {
        self.depot.import(&self.dir.path().join(file), &registry("branch"), names, &|_, _| {}).await
    }
}

fn fill(hq: &SimRegistry) {
    let base = layer(1, 600_000);
    hq.push_image("feed/web", "v1", &[base.clone(), layer(2, 5_000)]).unwrap();
    let two = [("amd64", vec![base.clone(), layer(3, 5_000)]), ("arm64", vec![layer(4, 5_000)])];
    let index = hq.push_index("feed/web", "v2", &two).unwrap();
    hq.push_artifact("feed/web", &index, "application/vnd.example.signature", Bytes::from_static(b"signed"))
        .unwrap();
    hq.push_image("feed/db", "v4", &[base, layer(5, 0)]).unwrap();
}

#[tokio::test]
async fn images_come_out_of_a_file_as_they_went_in_with_what_is_said_about_them() {
    let lab = carrier();
    fill(&lab.hq);
    let written = lab.export(&["feed/web:v1", "feed/web:v2", "feed/db:v4"], &[], "all.tar").await.unwrap();
    assert_eq!((written.images.len(), written.images[1].referrers), (3, 1), "{written:?}");
    assert_eq!(written.images[1].platforms, ["linux/amd64", "linux/arm64"]);
    assert_eq!(written.bytes, std::fs::metadata(lab.dir.path().join("all.tar")).unwrap().len());
    let done = lab.import("all.tar", &ImportAs::default()).await.unwrap();
    assert_eq!(lab.branch.all_tags(), lab.hq.all_tags());
    assert_eq!(lab.branch.missing(false), []);
    assert_eq!(done[1].referrers, 1);
    let index = &written.images[1].digest;
    let said = lab.branch.referrers(&"feed/web".parse().unwrap(), index).await.unwrap();
    assert_eq!(said.len(), 1, "the signature is there and listed");
    assert!(lab.branch.counts().uploads.values().all(|n| *n == 1), "no blob is sent twice");
    assert_eq!(lab.hq.counts().uploads.len(), 0);

    // Once more: nothing is sent, and it is said that it was there.
    lab.branch.forget_counts();
    let again = lab.import("all.tar", &ImportAs::default()).await.unwrap();
    assert!(again.iter().all(|image| image.was_there && image.sent == 0), "{again:?}");
    assert_eq!(lab.branch.counts().of(RegistryCall::WriteBlob), 0);
    assert_eq!(lab.branch.counts().of(RegistryCall::PutManifest), 0);

    // Below a prefix, the blobs are mounted and not sent.
    let prefix = ImportAs { prefix: Some("mirror/hq".parse().unwrap()), name: None };
    let below = lab.import("all.tar", &prefix).await.unwrap();
    assert_eq!(below[0].image, "branch.example:5000/mirror/hq/feed/web:v1");
    assert_eq!(lab.branch.missing(false), []);
}

#[tokio::test]
async fn a_file_is_the_same_for_the_same_images_and_is_never_written_over() {
    let lab = carrier();
    fill(&lab.hq);
    lab.export(&["feed/web:v2"], &[], "a.tar").await.unwrap();
    lab.export(&["feed/web:v2"], &[], "b.tar").await.unwrap();
    let read = |name: &str| std::fs::read(lab.dir.path().join(name)).unwrap();
    assert!(read("a.tar") == read("b.tar"), "equal images make equal files");
    let fault = lab.export(&["feed/web:v1"], &[], "a.tar").await.unwrap_err();
    assert_eq!(fault.kind, Kind::Conflict);
    assert!(read("a.tar") == read("b.tar"));
}

#[tokio::test]
async fn two_that_write_one_file_do_not_write_into_one_another_and_the_second_replaces_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("all.tar");
    // Somebody has put a link where a file that is not whole yet would be: nothing is written through it.
    let kept = dir.path().join("kept");
    std::fs::write(&kept, "mine").unwrap();
    std::os::unix::fs::symlink(&kept, dir.path().join("all.tar.partial")).unwrap();
    let first = TarFiles.write(&file).await.unwrap();
    let second = TarFiles.write(&file).await.unwrap();
    first.finish(b"{}".to_vec()).await.unwrap();
    let whole = std::fs::read(&file).unwrap();
    let fault = second.finish(b"{\"other\":true}".to_vec()).await.unwrap_err();
    assert_eq!(
        (fault.kind, fault.to_string().contains("is there already")),
        (Kind::Conflict, true),
        "{fault}"
    );
    assert!(std::fs::read(&file).unwrap() == whole, "the file stays as it is");
    assert_eq!(std::fs::read_to_string(&kept).unwrap(), "mine");
    let left = std::fs::read_dir(dir.path()).unwrap().count();
    assert_eq!(left, 3, "nothing that is not whole is left over");
}

#[tokio::test]
async fn one_platform_stands_for_itself_and_several_leave_the_index_as_it_is() {
    let lab = carrier();
    fill(&lab.hq);
    let one = lab.export(&["feed/web:v2"], &["linux/arm64"], "one.tar").await.unwrap();
    let whole = lab.hq.all_tags()[&("feed/web".parse().unwrap(), "v2".parse().unwrap())].clone();
    assert_ne!(one.images[0].digest, whole);
    lab.import("one.tar", &ImportAs::default()).await.unwrap();
    assert_eq!(lab.branch.missing(false), [], "it needs nothing of the others");
    let fault = lab.export(&["feed/web:v2"], &["linux/s390x"], "none.tar").await.unwrap_err();
    assert!(fault.to_string().contains("was not made for linux/s390x"), "{fault}");
    assert!(!lab.dir.path().join("none.tar").exists() && !lab.dir.path().join("none.tar.partial").exists());

    let name = ("feed/web".parse().unwrap(), "two".parse().unwrap());
    let both = lab.export(&["feed/web:v2"], &["linux/arm64", "linux/s390x"], "two.tar").await.unwrap();
    assert_eq!(
        (&both.images[0].digest, both.images[0].left_out.as_slice()),
        (&whole, &["linux/amd64".to_owned()][..])
    );
    let names = ImportAs { prefix: None, name: Some(name) };
    let fault = lab.import("two.tar", &names).await.unwrap_err();
    assert!(fault.to_string().contains("takes no index without the platforms"), "{fault}");
    lab.branch.trouble(|t| t.takes_gaps = true);
    assert_eq!(lab.import("two.tar", &names).await.unwrap()[0].left_out, ["linux/amd64"]);
}

#[tokio::test]
async fn what_a_registry_gives_wrong_leaves_no_file_and_what_breaks_off_goes_on() {
    let lab = carrier();
    fill(&lab.hq);
    lab.hq.trouble(|t| t.flip_reads = 1);
    let fault = lab.export(&["feed/web:v1"], &[], "bad.tar").await.unwrap_err();
    assert_eq!(fault.kind, Kind::Invalid, "{fault}");
    assert_eq!(std::fs::read_dir(lab.dir.path()).unwrap().count(), 0, "nothing is left behind");
    lab.hq.trouble(|t| t.cut_reads = 2);
    let written = lab.export(&["feed/web:v1"], &[], "cut.tar").await;
    assert!(written.is_ok(), "{written:?}");
    assert_eq!(lab.import("cut.tar", &ImportAs::default()).await.unwrap()[0].sent, 3);
}

/// Writes a tar of these entries.
fn tar_of(path: &Path, entries: &[(&str, tar::EntryType, &[u8])]) {
    let mut out = tar::Builder::new(std::fs::File::create(path).unwrap());
    for (name, kind, bytes) in entries {
        let mut header = tar::Header::new_gnu();
        // By hand: the builder refuses the names that are tried here.
        let field = &mut header.as_old_mut().name;
        field[..name.len()].copy_from_slice(name.as_bytes());
        header.set_entry_type(*kind);
        header.set_size(bytes.len() as u64);
        if *kind == tar::EntryType::Symlink {
            header.set_link_name("/etc/passwd").unwrap();
        }
        header.set_mode(0o644);
        header.set_cksum();
        out.append(&header, *bytes).unwrap();
    }
    out.finish().unwrap();
}

#[tokio::test]
async fn a_file_that_is_cut_damaged_or_made_up_is_told_as_such_and_sends_nothing() {
    use tar::EntryType::{Fifo, Regular, Symlink};
    let lab = carrier();
    fill(&lab.hq);
    lab.export(&["feed/web:v1"], &[], "good.tar").await.unwrap();
    let good = std::fs::read(lab.dir.path().join("good.tar")).unwrap();
    let write = |bytes: &[u8]| std::fs::write(lab.dir.path().join("x.tar"), bytes).unwrap();
    let layout: &[u8] = br#"{"imageLayoutVersion":"1.0.0"}"#;
    let make = |entries: &[(&str, tar::EntryType, &[u8])]| tar_of(&lab.dir.path().join("x.tar"), entries);
    let told = async |words: &str| {
        let fault = lab.import("x.tar", &ImportAs::default()).await.unwrap_err();
        assert!(fault.to_string().contains(words), "{words:?} is not in {fault}");
        assert_eq!(lab.branch.counts().uploads.len(), 0, "{words}");
        assert!(lab.branch.all_tags().is_empty());
    };
    write(&good[..good.len() / 2]);
    told("cut off").await;
    write(&good[..700]);
    told("cut off").await;
    write(b"no tar at all, but long enough to have a header: ".repeat(40).as_slice());
    told("no tar file, or damaged").await;
    write(&[0x1f, 0x8b, 8, 0, 0, 0]);
    told("compressed as a whole").await;
    make(&[("oci-layout", Regular, layout), ("blobs/sha256/../../../etc/passwd", Regular, b"x")]);
    told("leads out of it").await;
    make(&[("oci-layout", Regular, layout), ("/etc/passwd", Regular, b"x")]);
    told("leads out of it").await;
    make(&[("oci-layout", Regular, layout), ("blobs/sha256/x", Symlink, b"")]);
    told("is a link").await;
    make(&[("oci-layout", Regular, layout), ("pipe", Fifo, b"")]);
    told("no plain file").await;
    make(&[("oci-layout", Regular, layout), ("index.json", Regular, b"{}"), ("index.json", Regular, b"{}")]);
    told("two entries called index.json").await;
    make(&[("manifest.json", Regular, b"[]")]);
    told("`docker save` from before Docker 25").await;
    make(&[("oci-layout", Regular, br#"{"imageLayoutVersion":"2.0.0"}"#), ("index.json", Regular, b"{}")]);
    told("version 2.0.0").await;
    make(&[("oci-layout", Regular, layout)]);
    told("no index.json").await;
    make(&[
        ("oci-layout", Regular, layout),
        ("index.json", Regular, br#"{"schemaVersion":2,"manifests":[]}"#),
    ]);
    told("holds no image").await;
    make(&[
        ("oci-layout", Regular, layout),
        ("blobs/sha256/abc", Regular, b"x"),
        ("index.json", Regular, b"{}"),
    ]);
    told("is no blob").await;
}

#[tokio::test]
async fn a_damaged_blob_never_gets_a_name() {
    let lab = carrier();
    fill(&lab.hq);
    lab.export(&["feed/web:v1"], &[], "good.tar").await.unwrap();
    let mut bytes = std::fs::read(lab.dir.path().join("good.tar")).unwrap();
    // The large layer lies in the middle.
    let at = bytes.len() / 2;
    bytes[at] ^= 1;
    std::fs::write(lab.dir.path().join("bad.tar"), bytes).unwrap();
    let fault = lab.import("bad.tar", &ImportAs::default()).await.unwrap_err();
    assert!(fault.to_string().contains("have the digest"), "{fault}");
    assert!(lab.branch.all_tags().is_empty() && lab.branch.missing(false).is_empty());
    // The good one goes on with what is missing.
    let done = lab.import("good.tar", &ImportAs::default()).await.unwrap();
    assert!(!done[0].was_there && lab.branch.missing(false).is_empty());
}
