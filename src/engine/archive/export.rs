//! From registries into an archive: manifests are gathered first, then every blob is streamed once.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use futures_util::{FutureExt, StreamExt};
use serde_json::json;

use crate::base::fault::{Fault, Kind, Outcome};
use crate::engine::archive::{
    DEPTH_MAX, FULL_NAME, INDEX, MANIFESTS_MAX, REF_NAME, Tell, manifest, resolve, stream,
};
use crate::engine::registry::chosen;
use crate::model::archive::{Source, Written, WrittenImage, words};
use crate::model::oci::{Descriptor, Digest, Form, Manifest, Platform, Reference, Repository, Tag};
use crate::ports::archive::Archives;
use crate::ports::registry::RegistryClient;

/// Tags by which signatures and the like are kept beside an image in registries without referrers (cosign): `sha256-HEX` and
/// one of these.
const COMPANIONS: [&str; 3] = ["sig", "att", "sbom"];

/// A blob, and where it is.
struct Lies {
    size: u64,
    client: usize,
    of: Repository,
}

/// All that goes into the archive.
#[derive(Default)]
struct Load {
    manifests: BTreeMap<Digest, Manifest>,
    blobs: BTreeMap<Digest, Lies>,
    /// What the index names, in order.
    named: Vec<serde_json::Value>,
}

/// Writes an archive of these images.
pub async fn write(
    archives: &dyn Archives,
    sources: &[Source],
    clients: &[Arc<dyn RegistryClient>],
    platforms: &[Platform],
    file: &Path,
    tell: &Tell<'_>,
) -> Outcome<Written> {
    // Before anything is asked for: a file that cannot be written is known at once.
    let mut out = archives.write(file).await?;
    let mut load = Load::default();
    let mut images = Vec::new();
    for (at, (source, client)) in sources.iter().zip(clients).enumerate() {
        tell(0, &source.image.to_string());
        let image = Gather { client, at, of: &source.image.repository, platforms, load: &mut load };
        images.push(image.image(source).await.map_err(|why| why.because(format!("{}", source.image)))?);
    }
    for manifest in load.manifests.values() {
        let bytes = bytes::Bytes::copy_from_slice(&manifest.bytes);
        let one = futures_util::stream::iter([Ok(bytes)]).boxed();
        out.blob(&manifest.digest, manifest.bytes.len() as u64, one).await?;
    }
    let mut passed = 0;
    for (digest, lies) in &load.blobs {
        let client =
            clients.get(lies.client).ok_or_else(|| Fault::new(Kind::Bug, "a registry is missing"))?;
        let bytes = stream::of_registry(client, &lies.of, digest, lies.size)?;
        let counted = bytes.inspect(|piece| {
            if let Ok(piece) = piece {
                passed += piece.len() as u64;
                tell(passed, lies.of.as_str());
            }
        });
        out.blob(digest, lies.size, counted.boxed()).await?;
    }
    let index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": load.named });
    let bytes = out.finish(index.to_string().into_bytes()).await?;
    Ok(Written { images, bytes, blobs: load.blobs.len() })
}

/// Gathers one image.
struct Gather<'a> {
    client: &'a Arc<dyn RegistryClient>,
    at: usize,
    of: &'a Repository,
    platforms: &'a [Platform],
    load: &'a mut Load,
}

impl Gather<'_> {
    async fn image(mut self, source: &Source) -> Outcome<WrittenImage> {
        let digest = resolve(self.client.as_ref(), &source.image).await?;
        let whole = manifest(self.client.as_ref(), self.of, &digest).await?;
        let root = self.root(whole).await?;
        let (kept, left) = chosen(&root, self.platforms);
        let names = |all: &[&Descriptor]| words(all.iter().filter_map(|d| d.platform.as_ref()));
        let mut out = WrittenImage {
            image: source.image.to_string(),
            digest: root.digest.clone(),
            platforms: names(&kept),
            left_out: names(&left),
            referrers: 0,
        };
        let mut about = vec![root.digest.clone()];
        about.extend(kept.iter().map(|d| d.digest.clone()));
        let of = &source.image;
        let short = match &of.tag {
            Some(tag) => format!("{}:{tag}", of.repository),
            None => format!("{}@{}", of.repository, out.digest),
        };
        let notes = json!({ REF_NAME: short, FULL_NAME: format!("{}/{short}", source.registry.address) });
        self.name(&root, Some(notes));
        self.take(root, 0).await?;
        out.referrers = self.referrers(about).await?;
        Ok(out)
    }

    /// What the name points to in the archive: the index, or the one image that is wanted of it. An index without its other
    /// images would be refused by most registries.
    async fn root(&self, whole: Manifest) -> Outcome<Manifest> {
        let [platform] = self.platforms else { return Ok(whole) };
        if whole.form != Form::Index {
            return Ok(whole);
        }
        let (kept, _) = chosen(&whole, self.platforms);
        let image = kept.iter().find(|d| d.platform.as_ref().is_some_and(|p| p.os == platform.os));
        let Some(image) = image else {
            let there = words(whole.manifests.iter().filter_map(|d| d.platform.as_ref())).join(", ");
            return Err(Fault::new(Kind::NotFound, format!("it was not made for {platform}"))
                .hint(format!("it was made for {there}")));
        };
        manifest(self.client.as_ref(), self.of, &image.digest).await
    }

    fn name(&mut self, manifest: &Manifest, notes: Option<serde_json::Value>) {
        let mut entry = json!({
            "mediaType": manifest.media_type, "digest": manifest.digest, "size": manifest.bytes.len(),
        });
        if let Some(entry) = entry.as_object_mut() {
            entry.extend(manifest.artifact_type.clone().map(|kind| ("artifactType".to_owned(), kind.into())));
            entry.extend(notes.map(|notes| ("annotations".to_owned(), notes)));
        }
        self.load.named.push(entry);
    }

    /// Takes a manifest and all that it needs.
    fn take(&mut self, manifest: Manifest, depth: u32) -> BoxFuture<'_, Outcome<()>> {
        async move {
            if depth > DEPTH_MAX {
                return Err(Fault::new(
                    Kind::Invalid,
                    format!("indexes are nested more than {DEPTH_MAX} deep"),
                ));
            }
            if self.load.manifests.len() >= MANIFESTS_MAX {
                return Err(Fault::new(Kind::Exhausted, format!("more than {MANIFESTS_MAX} manifests")));
            }
            for blob in &manifest.blobs {
                let (client, of) = (self.at, self.of.clone());
                let lies = Lies { size: blob.size, client, of };
                let known = self.load.blobs.entry(blob.digest.clone()).or_insert(lies);
                if known.size != blob.size {
                    let text =
                        format!("{} is said to have {} and {} bytes", blob.digest, known.size, blob.size);
                    return Err(Fault::new(Kind::Invalid, text));
                }
            }
            let (kept, _) = chosen(&manifest, self.platforms);
            let children: Vec<Digest> = kept.into_iter().map(|d| d.digest.clone()).collect();
            self.load.manifests.insert(manifest.digest.clone(), manifest);
            for child in children {
                self.fetch(&child, depth + 1).await?;
            }
            Ok(())
        }
        .boxed()
    }

    async fn fetch(&mut self, digest: &Digest, depth: u32) -> Outcome<()> {
        if self.load.manifests.contains_key(digest) {
            return Ok(());
        }
        let found = manifest(self.client.as_ref(), self.of, digest).await?;
        self.take(found, depth).await
    }

    /// Takes what is said about these manifests, and about that in turn. Gives how many.
    async fn referrers(&mut self, mut about: Vec<Digest>) -> Outcome<usize> {
        let mut known: BTreeSet<Digest> = about.iter().cloned().collect();
        let mut count = 0;
        while let Some(subject) = about.pop() {
            for said in self.client.referrers(self.of, &subject).await? {
                if !known.insert(said.digest.clone()) {
                    continue;
                }
                let found = manifest(self.client.as_ref(), self.of, &said.digest).await?;
                self.name(&found, None);
                self.take(found, 0).await?;
                about.push(said.digest);
                count += 1;
            }
            count += self.companions(&subject).await?;
        }
        Ok(count)
    }

    /// Takes what stands in tags of its own beside a manifest.
    async fn companions(&mut self, about: &Digest) -> Outcome<usize> {
        let mut count = 0;
        for end in COMPANIONS {
            let tag: Tag = format!("{}-{}.{end}", about.algorithm(), about.hex()).parse()?;
            let Some(there) = self.client.head(self.of, &Reference::Tag(tag.clone())).await? else {
                continue;
            };
            let found = manifest(self.client.as_ref(), self.of, &there.digest).await?;
            let short = format!("{}:{tag}", self.of);
            self.name(&found, Some(json!({ REF_NAME: short })));
            self.take(found, 0).await?;
            count += 1;
        }
        Ok(count)
    }
}
