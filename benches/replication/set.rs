//! The measured set: repositories whose images share layers, of bytes that are random and the same each time.

use bytes::Bytes;
use futures_util::{FutureExt, StreamExt, stream};
use longshore::adapters::oci::{Client, Limits};
use longshore::base::clock::SystemClock;
use longshore::base::hash::Sha256;
use longshore::base::ids::RegistryName;
use longshore::model::oci::{Digest, Manifest, Reference, Repository};
use longshore::model::registry::Registry;
use longshore::ports::registry::Content;
use serde_json::{Value, json};
use std::sync::Arc;

/// Pieces that a blob is made and sent in.
const PIECE: u64 = 1 << 20;
const MIB: u64 = 1 << 20;
/// What gzip files begin with: a copier that sees other bytes would press them together on the way.
const GZIP: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];

/// How large a set is.
#[derive(Clone, Copy)]
pub struct Shape {
    /// Repositories; every second one is of Docker's form, the others of OCI's.
    pub repositories: u64,
    /// Tags of each.
    pub tags: u64,
    /// Layers that all tags of a repository share, and those that a tag has alone.
    pub shared: u64,
    pub own: u64,
    /// Layers are so many times smaller than from 1 to 8 MiB.
    pub smaller: u64,
}

impl Shape {
    /// Blobs, each counted once: layers and configurations.
    pub fn blobs(&self) -> u64 {
        self.repositories * (self.shared + self.tags * (self.own + 1))
    }
}

/// A blob that is not kept: its bytes are made anew whenever they are wanted.
#[derive(Clone)]
struct Layer {
    seed: u64,
    size: u64,
    digest: Digest,
}

/// The next of a row of numbers without order (splitmix64).
fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

fn piece(seed: u64, number: u64, size: u64) -> Bytes {
    let mut state = seed.wrapping_mul(1 << 20).wrapping_add(number);
    let mut bytes = Vec::with_capacity(usize::try_from(size).expect("a piece") + 8);
    while (bytes.len() as u64) < size {
        bytes.extend_from_slice(&next(&mut state).to_le_bytes());
    }
    bytes.truncate(usize::try_from(size).expect("a piece"));
    if number == 0 {
        let head = GZIP.len().min(bytes.len());
        bytes[..head].copy_from_slice(&GZIP[..head]);
    }
    bytes.into()
}

impl Layer {
    fn new(seed: u64, size: u64) -> Layer {
        let mut sum = Sha256::default();
        pieces(seed, size).for_each(|piece| sum.update(&piece));
        Layer { seed, size, digest: Digest::of_sum(&sum.hex()) }
    }
}

fn pieces(seed: u64, size: u64) -> impl Iterator<Item = Bytes> + Send + 'static {
    (0..size.div_ceil(PIECE)).map(move |n| piece(seed, n, PIECE.min(size - n * PIECE)))
}

/// A client of a registry of this bench.
pub fn client(address: &str) -> Client {
    let registry = Registry::new(RegistryName::new("set").expect("a name"), address.to_owned());
    Client::new(&registry, None, Arc::new(SystemClock), Limits::default()).expect("a client")
}

async fn push_layer(client: &Client, to: &Repository, layer: &Layer) {
    let (seed, size) = (layer.seed, layer.size);
    let source = move || async move { Ok(stream::iter(pieces(seed, size).map(Ok)).boxed()) }.boxed();
    client.write_blob(to, &layer.digest, size, &source).await.expect("a layer is pushed");
}

/// Pushes an image of these layers.
async fn push_image(client: &Client, to: &Repository, tag: &str, layers: &[Layer], is_docker: bool) {
    let diffs: Vec<&str> = layers.iter().map(|l| l.digest.as_str()).collect();
    let config = json!({
        "architecture": "amd64", "os": "linux", "config": { "Labels": { "tag": tag, "of": to.as_str() } },
        "rootfs": { "type": "layers", "diff_ids": diffs },
    });
    let config = Bytes::from(config.to_string());
    let digest = Digest::of(&config);
    let (content, size) = (config.clone(), config.len() as u64);
    let source = move || std::future::ready(Ok(stream::iter([Ok(content.clone())]).boxed())).boxed();
    client.write_blob(to, &digest, size, &source).await.expect("a configuration is pushed");
    let (form, of_config, of_layer) = if is_docker {
        (
            "application/vnd.docker.distribution.manifest.v2+json",
            "application/vnd.docker.container.image.v1+json",
            "application/vnd.docker.image.rootfs.diff.tar.gzip",
        )
    } else {
        (
            "application/vnd.oci.image.manifest.v1+json",
            "application/vnd.oci.image.config.v1+json",
            "application/vnd.oci.image.layer.v1.tar+gzip",
        )
    };
    let described = |l: &Layer| json!({ "mediaType": of_layer, "size": l.size, "digest": l.digest.as_str() });
    let layers: Vec<Value> = layers.iter().map(described).collect();
    let manifest = json!({
        "schemaVersion": 2, "mediaType": form, "layers": layers,
        "config": { "mediaType": of_config, "size": size, "digest": digest.as_str() },
    });
    let manifest = Manifest::read(form, manifest.to_string().into_bytes()).expect("a manifest");
    let at = Reference::Tag(tag.parse().expect("a tag"));
    client.put_manifest(to, &at, &manifest).await.expect("a manifest is pushed");
}

/// Pushes the set; gives the bytes of its layers, each counted once.
pub async fn push(address: &str, shape: Shape) -> u64 {
    let client = client(address);
    let sizes = stream::iter(0..shape.repositories).map(|r| push_repository(&client, shape, r));
    sizes.buffer_unordered(4).collect::<Vec<u64>>().await.into_iter().sum()
}

async fn push_repository(client: &Client, shape: Shape, r: u64) -> u64 {
    let to: Repository = format!("set{r:02}").parse().expect("a repository");
    let mut chance = 77 + r;
    let mut layer = |n: u64| {
        // As many from 1 to 2 MiB as from 2 to 4 and from 4 to 8.
        let least = MIB << (next(&mut chance) % 3);
        let size = (least + next(&mut chance) % least) / shape.smaller;
        Layer::new(r * 1_000 + n, size)
    };
    let shared: Vec<Layer> = (0..shape.shared).map(&mut layer).collect();
    let mut all = 0;
    for layer in &shared {
        all += layer.size;
        push_layer(client, &to, layer).await;
    }
    for t in 0..shape.tags {
        let own: Vec<Layer> = (0..shape.own).map(|n| layer(100 + t * shape.own + n)).collect();
        for layer in &own {
            all += layer.size;
            push_layer(client, &to, layer).await;
        }
        let layers: Vec<Layer> = shared.iter().chain(&own).cloned().collect();
        push_image(client, &to, &format!("v{t}"), &layers, r.is_multiple_of(2)).await;
    }
    all
}

/// Pushes one image of one layer of this size.
pub async fn push_large(address: &str, size: u64) {
    let (client, to) = (client(address), "large".parse().expect("a repository"));
    let layer = Layer::new(424_242, size);
    push_layer(&client, &to, &layer).await;
    push_image(&client, &to, "v1", &[layer], false).await;
}

/// All tags of a registry with what they point to.
pub async fn digests(address: &str) -> Vec<(String, Digest)> {
    use longshore::ports::registry::Catalogue;
    let client = client(address);
    let mut all = Vec::new();
    for repository in client.repositories(None).await.expect("repositories").items {
        for tag in client.tags(&repository, None).await.expect("tags").items {
            let at = Reference::Tag(tag.clone());
            let found = client.head(&repository, &at).await.expect("an answer").expect("a manifest");
            all.push((format!("{repository}:{tag}"), found.digest));
        }
    }
    all.sort();
    all
}

/// Lets so many more tags of each repository point to what its first one does, in the registry's own storage.
pub fn tag_all(storage: &std::path::Path, more: u64) {
    let repositories = storage.join("docker/registry/v2/repositories");
    for repository in std::fs::read_dir(repositories).expect("repositories").flatten() {
        let tags = repository.path().join("_manifests/tags");
        let link = std::fs::read(tags.join("v0/current/link")).expect("the first tag");
        for n in 1..=more {
            let tag = tags.join(format!("v{n}/current"));
            std::fs::create_dir_all(&tag).expect("a tag");
            std::fs::write(tag.join("link"), &link).expect("a tag");
        }
    }
}

/// Reads every blob in the storage of a registry and compares it with its digest; gives how many there are.
pub fn verify(storage: &std::path::Path) -> u64 {
    let root = storage.join("docker/registry/v2/blobs/sha256");
    let mut count = 0;
    for part in std::fs::read_dir(root).expect("blobs").flatten() {
        for blob in std::fs::read_dir(part.path()).expect("blobs").flatten() {
            let mut file = std::fs::File::open(blob.path().join("data")).expect("a blob");
            let (mut sum, mut buffer) = (Sha256::default(), vec![0; 1 << 20]);
            loop {
                let n = std::io::Read::read(&mut file, &mut buffer).expect("its bytes");
                if n == 0 {
                    break;
                }
                sum.update(&buffer[..n]);
            }
            assert_eq!(*blob.file_name(), *sum.hex(), "a blob without its digest");
            count += 1;
        }
    }
    count
}
