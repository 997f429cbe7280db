//! What an image says of itself: read from its manifest and its configuration, by digest, every byte checked.

use std::collections::BTreeSet;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::{FutureExt, StreamExt, stream};

use crate::base::fault::{Fault, Kind, Outcome};
use crate::engine::registry::pace::again;
use crate::model::oci::{Descriptor, Digest, Form, Manifest, Platform, Reference, Repository};
use crate::model::policy::ImageFacts;
use crate::ports::registry::RegistryClient;

/// Configurations are small; a longer one is no configuration that a person wrote.
const CONFIG_MAX: u64 = 1 << 20;
/// Images of one index that are looked at, at most: the widest that are known have about twenty.
const CHILDREN_MAX: usize = 32;
/// Manifests of one index that are asked for at a time.
const AT_ONCE: usize = 4;
/// Media types of the configurations of container images; all others are artifacts.
const CONFIGS: [&str; 2] =
    ["application/vnd.oci.image.config.v1+json", "application/vnd.docker.container.image.v1+json"];

/// What an image says of itself.
#[derive(Clone, Debug, PartialEq)]
pub struct Summary {
    /// Bytes of all that it needs, each blob once, manifests included; none when a part of it could not be read.
    pub size: Option<u64>,
    /// Platforms that it was made for.
    pub platforms: Vec<Platform>,
    /// Its configurations: of all of its platforms, or of the first only. None of an artifact.
    pub facts: Vec<ImageFacts>,
    /// Why a part of it could not be read.
    pub why: Option<Fault>,
}

/// Which configurations of an index are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// Only the first: what lists show.
    First,
    /// Those of all platforms: what rules look at.
    All,
}

/// Reads what the manifest with this digest says.
///
/// # Errors
/// When the manifest itself cannot be had. A configuration or child that cannot be had is told in the summary.
pub async fn read(
    client: &dyn RegistryClient,
    of: &Repository,
    digest: &Digest,
    depth: Depth,
) -> Outcome<Summary> {
    let manifest = client.manifest(of, &Reference::Digest(digest.clone())).await?;
    match manifest.form {
        Form::Image => Ok(image(client, of, &manifest, true).await),
        Form::Index => Ok(index(client, of, &manifest, depth).await),
    }
}

/// Bytes of these, each digest once.
fn sum<'a>(parts: impl Iterator<Item = &'a Descriptor>) -> u64 {
    let mut seen = BTreeSet::new();
    parts.filter(|d| seen.insert(&d.digest)).map(|d| d.size).sum()
}

async fn image(client: &dyn RegistryClient, of: &Repository, manifest: &Manifest, facts: bool) -> Summary {
    let size = Some(manifest.bytes.len() as u64 + sum(manifest.blobs.iter()));
    let mut out = Summary { size, platforms: Vec::new(), facts: Vec::new(), why: None };
    let config = manifest.blobs.first().filter(|d| CONFIGS.contains(&d.media_type.as_str()));
    let Some(config) = config.filter(|_| facts) else { return out };
    match configuration(client, of, config).await {
        Ok(facts) => {
            out.platforms.extend(Some(facts.platform.clone()).filter(|p| !p.os.is_empty()));
            out.facts.push(facts);
        }
        Err(fault) => out.why = Some(fault.because("its configuration cannot be read")),
    }
    out
}

async fn configuration(
    client: &dyn RegistryClient,
    of: &Repository,
    config: &Descriptor,
) -> Outcome<ImageFacts> {
    if config.size > CONFIG_MAX {
        let text = format!("it has {} bytes, more than {CONFIG_MAX}", config.size);
        return Err(Fault::new(Kind::Invalid, text));
    }
    ImageFacts::read(&blob(client, of, config).await?)
}

/// A small blob, with its length and digest checked.
///
/// # Errors
/// When it cannot be had, or is not what its descriptor says.
pub async fn blob(client: &dyn RegistryClient, of: &Repository, what: &Descriptor) -> Outcome<Vec<u8>> {
    // (Once more only: somebody may be waiting for the answer.)
    again(2, || whole(client, of, what)).await
}

async fn whole(client: &dyn RegistryClient, of: &Repository, what: &Descriptor) -> Outcome<Vec<u8>> {
    let opened = client.read_blob(of, &what.digest, 0).await?;
    let mut bytes = opened.bytes;
    let mut out: Vec<u8> = Vec::new();
    while let Some(piece) = bytes.next().await {
        let piece: Bytes = piece?;
        out.extend_from_slice(&piece);
        if out.len() as u64 > what.size {
            break;
        }
    }
    if out.len() as u64 != what.size || Digest::of(&out) != what.digest {
        return Err(Fault::new(Kind::Invalid, "its bytes do not have their length and digest")
            .hint("it is damaged in the registry, or on the way from it"));
    }
    Ok(out)
}

/// What builders put beside images: attestations are of no platform.
fn is_image(d: &&Descriptor) -> bool {
    d.platform.as_ref().is_none_or(|p| p.os != "unknown")
}

async fn index<'a>(
    client: &'a dyn RegistryClient,
    of: &'a Repository,
    manifest: &'a Manifest,
    depth: Depth,
) -> Summary {
    let images: Vec<&Descriptor> = manifest.manifests.iter().filter(is_image).collect();
    let platforms = images.iter().filter_map(|d| d.platform.clone()).collect();
    let mut out = Summary { size: None, platforms, facts: Vec::new(), why: None };
    if manifest.manifests.len() > CHILDREN_MAX {
        let (many, text) = (manifest.manifests.len(), "manifests, more than are looked at");
        out.why = Some(Fault::new(Kind::Exhausted, format!("it has {many} {text} ({CHILDREN_MAX})")));
        return out;
    }
    let first = images.first().map(|d| d.digest.clone());
    let child = |child: &'a Descriptor| {
        let facts = is_image(&child) && (depth == Depth::All || first.as_ref() == Some(&child.digest));
        let read = async move {
            let read = client.manifest(of, &Reference::Digest(child.digest.clone())).await?;
            let summary = image(client, of, &read, facts).await;
            Ok::<_, Fault>((child, read, summary))
        };
        read.boxed()
    };
    let children: Vec<BoxFuture<'_, _>> = manifest.manifests.iter().map(child).collect();
    let children: Vec<_> = stream::iter(children).buffered(AT_ONCE).collect().await;
    let (mut blobs, mut size) = (Vec::new(), manifest.bytes.len() as u64);
    for child in children {
        match child {
            Ok((child, read, summary)) => {
                size += read.bytes.len() as u64;
                blobs.extend(read.blobs);
                out.facts.extend(summary.facts.into_iter().map(|facts| of_platform(facts, child)));
                out.why = out.why.or(summary.why);
            }
            Err(fault) => out.why = out.why.or(Some(fault.because("one of its images cannot be read"))),
        }
    }
    if out.why.is_none() {
        out.size = Some(size + sum(blobs.iter()));
    }
    out
}

/// An index knows the platform of its image better: a configuration may leave the variant out.
fn of_platform(facts: ImageFacts, child: &Descriptor) -> ImageFacts {
    let platform = child.platform.clone().unwrap_or_else(|| facts.platform.clone());
    ImageFacts { platform, ..facts }
}
