//! What the promises of registries have in common: content that is made for them, and words for what went wrong.

use std::sync::atomic::Ordering;

use bytes::Bytes;
use futures_util::{FutureExt, StreamExt, TryStreamExt, stream};
use serde_json::json;

use crate::base::fault::Outcome;
use crate::model::oci::{Descriptor, Digest, Manifest, Reference, Repository, Tag};
use crate::ports::contract::registry::RegistryEnv;
use crate::ports::contract::runtime_kit::{Kept, OrBroken, ensure, same};

/// Media types of the specifications, as they are put.
pub(super) const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub(super) const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub(super) const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
pub(super) const DOCKER_INDEX: &str = "application/vnd.docker.distribution.manifest.list.v2+json";

/// How large the parts of a source are.
const PART: usize = 64 << 10;

/// A tag's reference.
pub(super) fn by_tag(name: &str) -> Result<Reference, String> {
    Ok(Reference::Tag(name.parse::<Tag>().or_broken("a tag")?))
}

/// A digest's reference.
pub(super) fn by_digest(manifest: &Manifest) -> Reference {
    Reference::Digest(manifest.digest.clone())
}

impl RegistryEnv {
    fn count(&self) -> u32 {
        self.made.fetch_add(1, Ordering::Relaxed)
    }

    /// A repository that nothing else uses.
    pub(super) fn repository(&self) -> Result<Repository, String> {
        format!("{}/r{}", self.prefix, self.count()).parse().or_broken("a repository")
    }

    /// So many bytes that no other promise has.
    pub(super) fn bytes(&self, length: usize) -> Vec<u8> {
        // xorshift64*: cheap, and no two seeds give the same bytes.
        let text = Digest::of(format!("{}/{}", self.prefix, self.count()).as_bytes());
        let seed = text.hex().get(..16).and_then(|h| u64::from_str_radix(h, 16).ok());
        let mut state = seed.unwrap_or(1).max(1);
        let mut out = Vec::with_capacity(length + 8);
        while out.len() < length {
            state ^= state >> 12;
            state ^= state << 25;
            state ^= state >> 27;
            out.extend_from_slice(&state.wrapping_mul(0x2545_F491_4F6C_DD1D).to_le_bytes());
        }
        out.truncate(length);
        out
    }

    /// Writes these bytes, in parts, as a blob that is said to have this digest and length.
    pub(super) async fn write(
        &self,
        to: &Repository,
        digest: &Digest,
        size: u64,
        bytes: &[u8],
    ) -> Outcome<()> {
        let bytes = Bytes::copy_from_slice(bytes);
        // (A closure that only borrows: one with a destructor could not be lent for as long as the port asks.)
        let source = || {
            let part = |at: usize| Ok(bytes.slice(at..(at + PART).min(bytes.len())));
            let parts: Vec<Outcome<Bytes>> = (0..bytes.len()).step_by(PART).map(part).collect();
            async move { Ok(stream::iter(parts).boxed()) }.boxed()
        };
        self.registry.write_blob(to, digest, size, &source).await
    }

    /// Writes a blob.
    pub(super) async fn put_blob(&self, to: &Repository, bytes: &[u8]) -> Result<Descriptor, String> {
        let (digest, size) = (Digest::of(bytes), bytes.len() as u64);
        self.write(to, &digest, size, bytes).await.or_broken("write a blob")?;
        let media_type = "application/octet-stream".to_owned();
        Ok(Descriptor {
            media_type,
            digest,
            size,
            platform: None,
            artifact_type: None,
            urls: Vec::new(),
            annotations: std::collections::BTreeMap::new(),
        })
    }

    /// The whole of a blob from an offset on, and the offset at which it began.
    pub(super) async fn blob(
        &self,
        of: &Repository,
        digest: &Digest,
        from: u64,
    ) -> Result<(u64, Vec<u8>), String> {
        let found = self.registry.read_blob(of, digest, from).await.or_broken("read a blob")?;
        let begins = found.from;
        let bytes: Vec<Bytes> = found.bytes.try_collect().await.or_broken("read a blob's bytes")?;
        Ok((begins, bytes.concat()))
    }

    /// A manifest of this media type with a fresh configuration and layer, whose blobs have been written.
    pub(super) async fn image(&self, to: &Repository, media_type: &str) -> Result<Manifest, String> {
        let config = format!(r#"{{"architecture":"amd64","os":"linux","seed":{}}}"#, self.count());
        let config = self.put_blob(to, format!("{config}{}", self.prefix).as_bytes()).await?;
        let layer = self.put_blob(to, &self.bytes(2_000)).await?;
        let (of_config, of_layer) = if media_type == DOCKER_MANIFEST {
            (
                "application/vnd.docker.container.image.v1+json",
                "application/vnd.docker.image.rootfs.diff.tar.gzip",
            )
        } else {
            ("application/vnd.oci.image.config.v1+json", "application/vnd.oci.image.layer.v1.tar+gzip")
        };
        let said = json!({
            "schemaVersion": 2,
            "mediaType": media_type,
            "config": { "mediaType": of_config, "digest": config.digest, "size": config.size },
            "layers": [{ "mediaType": of_layer, "digest": layer.digest, "size": layer.size }],
        });
        read(media_type, &said)
    }

    /// An image that is there under these tags.
    pub(super) async fn tagged(&self, to: &Repository, tags: &[&str]) -> Result<Manifest, String> {
        let image = self.image(to, OCI_MANIFEST).await?;
        for tag in tags {
            self.registry.put_manifest(to, &by_tag(tag)?, &image).await.or_broken("put a manifest")?;
        }
        Ok(image)
    }

    /// An artifact that says something about another manifest; its blobs have been written.
    pub(super) async fn signature(&self, to: &Repository, of: &Manifest) -> Result<Manifest, String> {
        let config = self.put_blob(to, b"{}").await?;
        let layer = self.put_blob(to, &self.bytes(200)).await?;
        let said = json!({
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "artifactType": "application/vnd.example.signature",
            "config": { "mediaType": "application/vnd.oci.empty.v1+json", "digest": config.digest, "size": 2 },
            "layers": [{ "mediaType": "text/plain", "digest": layer.digest, "size": layer.size }],
            "subject": { "mediaType": of.media_type, "digest": of.digest, "size": of.bytes.len() },
            "annotations": { "org.example.by": "contract" },
        });
        read(OCI_MANIFEST, &said)
    }

    /// All tags of a repository, by as many pages as it takes.
    pub(super) async fn all_tags(&self, of: &Repository) -> Result<Vec<String>, String> {
        let (mut out, mut next) = (Vec::new(), None::<String>);
        for _ in 0..1000 {
            let page = self.registry.tags(of, next.as_deref()).await.or_broken("tags")?;
            out.extend(page.items.iter().map(ToString::to_string));
            next = page.next;
            if next.is_none() {
                return Ok(out);
            }
        }
        Err("the list of tags has no end".to_owned())
    }

    /// The manifest is there under this reference, byte for byte.
    pub(super) async fn serves(&self, of: &Repository, at: &Reference, wanted: &Manifest) -> Kept {
        let found = self.registry.manifest(of, at).await.or_broken("get a manifest")?;
        same("the digest", &found.digest, &wanted.digest)?;
        same("the media type", &found.media_type, &wanted.media_type)?;
        ensure(found.bytes == wanted.bytes, || format!("the bytes of {at} are not those that were put"))?;
        let head = self.registry.head(of, at).await.or_broken("head")?;
        let head = head.ok_or_else(|| format!("{at} is there and head does not see it"))?;
        same("the digest by head", &head.digest, &wanted.digest)?;
        same("the media type by head", &head.media_type, &wanted.media_type)?;
        same("the size by head", &head.size, &(wanted.bytes.len() as u64))
    }
}

/// An index of this media type.
pub(super) fn index(media_type: &str, children: &[&Manifest]) -> Result<Manifest, String> {
    let children: Vec<_> = children
        .iter()
        .map(|m| {
            json!({
                "mediaType": m.media_type, "digest": m.digest, "size": m.bytes.len(),
                "platform": { "os": "linux", "architecture": "amd64" },
            })
        })
        .collect();
    read(media_type, &json!({ "schemaVersion": 2, "mediaType": media_type, "manifests": children }))
}

fn read(media_type: &str, said: &serde_json::Value) -> Result<Manifest, String> {
    Manifest::read(media_type, said.to_string().as_bytes()).or_broken("a manifest of ours")
}
