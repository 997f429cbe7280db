//! Makes images, indexes and artifacts in a simulated registry, as clients would that push them.

use bytes::Bytes;
use serde_json::json;

use crate::adapters::sim::registry::SimRegistry;
use crate::base::fault::{Fault, Kind, Outcome};
use crate::model::oci::{Descriptor, Digest, Manifest, Platform, Reference, Repository, Tag};

const IMAGE: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// Bytes that repeat for a seed and that no other seed gives.
pub fn layer(seed: u64, size: usize) -> Bytes {
    let mut chance = crate::base::ids::Seeded::new(seed);
    let mut out = Vec::with_capacity(size + 8);
    while out.len() < size {
        out.extend_from_slice(&chance.next_u64().to_le_bytes());
    }
    out.truncate(size);
    out.into()
}

impl SimRegistry {
    /// Pushes a blob.
    pub fn push_blob(&self, to: &Repository, bytes: Bytes) -> Digest {
        let digest = Digest::of(&bytes);
        let mut state = self.state();
        state.blobs.insert(digest.clone(), bytes);
        state.repositories.entry(to.clone()).or_default().blobs.insert(digest.clone());
        digest
    }

    fn image(
        &self,
        to: &Repository,
        note: &str,
        layers: &[Bytes],
        more: serde_json::Value,
    ) -> Outcome<Manifest> {
        let config = Bytes::from(json!({ "architecture": "amd64", "os": "linux", "note": note }).to_string());
        let mut said = json!({
            "schemaVersion": 2,
            "mediaType": IMAGE,
            "config": { "mediaType": "application/vnd.oci.image.config.v1+json",
                        "digest": self.push_blob(to, config.clone()), "size": config.len() },
            "layers": layers.iter().map(|l| json!({
                "mediaType": "application/vnd.oci.image.layer.v1.tar+gzip",
                "digest": self.push_blob(to, l.clone()), "size": l.len() })).collect::<Vec<_>>(),
        });
        if let (Some(said), serde_json::Value::Object(more)) = (said.as_object_mut(), more) {
            said.extend(more);
        }
        Manifest::read(IMAGE, said.to_string().into_bytes())
    }

    fn put(&self, to: &Repository, reference: &Reference, manifest: &Manifest) -> Outcome<Digest> {
        self.state().store(&self.name, to, reference, manifest)?;
        Ok(manifest.digest.clone())
    }

    /// Pushes an image with these layers under a tag.
    ///
    /// # Errors
    /// When a name is not valid.
    pub fn push_image(&self, to: &str, tag: &str, layers: &[Bytes]) -> Outcome<Digest> {
        let (to, tag): (Repository, Tag) = (to.parse()?, tag.parse()?);
        let manifest = self.image(&to, tag.as_str(), layers, json!({}))?;
        self.put(&to, &Reference::Tag(tag), &manifest)
    }

    /// Pushes an index of one image for each processor, with these layers, under a tag.
    ///
    /// # Errors
    /// When a name is not valid.
    pub fn push_index(&self, to: &str, tag: &str, images: &[(&str, Vec<Bytes>)]) -> Outcome<Digest> {
        let (to, tag): (Repository, Tag) = (to.parse()?, tag.parse()?);
        let mut children = Vec::new();
        for (architecture, layers) in images {
            let manifest = self.image(&to, architecture, layers, json!({}))?;
            self.put(&to, &Reference::Digest(manifest.digest.clone()), &manifest)?;
            let platform =
                Platform { os: "linux".to_owned(), architecture: (*architecture).to_owned(), variant: None };
            children.push(Descriptor { platform: Some(platform), ..manifest.descriptor() });
        }
        self.put(&to, &Reference::Tag(tag), &index(&children)?)
    }

    /// Pushes an artifact that says something about another manifest; where the registry keeps no list of referrers also
    /// the tag that stands for it.
    ///
    /// # Errors
    /// When a name is not valid, or the manifest is not there.
    pub fn push_artifact(&self, to: &str, about: &Digest, kind: &str, payload: Bytes) -> Outcome<Digest> {
        let to: Repository = to.parse()?;
        let subject = self.state().resolve(&to, &Reference::Digest(about.clone())).map(Manifest::descriptor);
        let subject = subject.ok_or_else(|| self.absent("the subject is not there"))?;
        let more = json!({ "artifactType": kind, "subject": subject });
        let manifest = self.image(&to, kind, &[payload], more)?;
        let digest = self.put(&to, &Reference::Digest(manifest.digest.clone()), &manifest)?;
        let by_tag = self.state().trouble.no_referrers;
        if by_tag {
            self.keep_referrer(&to, about, &manifest)?;
        }
        Ok(digest)
    }

    /// Adds a referrer to the tag that stands for the list, as clients do where a registry keeps none.
    pub(super) fn keep_referrer(&self, to: &Repository, about: &Digest, new: &Manifest) -> Outcome<()> {
        let Some(tag) = about.referrers_tag().map(Reference::Tag) else { return Ok(()) };
        let old = self.state().resolve(to, &tag).map(|m| m.manifests.clone()).unwrap_or_default();
        if old.iter().any(|d| d.digest == new.digest) {
            return Ok(());
        }
        let all: Vec<_> = old.into_iter().chain([new.descriptor()]).collect();
        self.put(to, &tag, &index(&all)?).map(drop)
    }

    /// The length of a manifest, in bytes; none when it is not there.
    pub fn manifest_size(&self, of: &str, digest: &Digest) -> Option<u64> {
        let of: Repository = of.parse().ok()?;
        self.state().resolve(&of, &Reference::Digest(digest.clone())).map(|m| m.bytes.len() as u64)
    }

    /// Lets a tag point to a manifest that is there.
    ///
    /// # Errors
    /// When it is not there, or a name is not valid.
    pub fn move_tag(&self, of: &str, tag: &str, digest: &Digest) -> Outcome<()> {
        let (of, tag): (Repository, Tag) = (of.parse()?, tag.parse()?);
        let mut state = self.state();
        let held = state.repositories.get_mut(&of).filter(|h| h.manifests.contains_key(digest));
        let held = held.ok_or_else(|| Fault::new(Kind::NotFound, format!("{digest} is not in {of}")))?;
        held.tags.insert(tag, digest.clone());
        Ok(())
    }

    /// Removes a tag, as somebody else would.
    ///
    /// # Errors
    /// When a name is not valid.
    pub fn drop_tag(&self, of: &str, tag: &str) -> Outcome<()> {
        let (of, tag): (Repository, Tag) = (of.parse()?, tag.parse()?);
        if let Some(held) = self.state().repositories.get_mut(&of) {
            held.tags.remove(&tag);
        }
        Ok(())
    }
}

fn index(manifests: &[Descriptor]) -> Outcome<Manifest> {
    let said = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": manifests });
    Manifest::read(INDEX, said.to_string().into_bytes())
}
