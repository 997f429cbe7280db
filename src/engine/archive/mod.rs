//! Images carried in files for places without a line: from registries into an archive, and from an archive into a registry.
//! Every byte is checked against its digest on the way, and no blob is ever held in memory as a whole.

mod export;
mod import;
mod stream;

use std::path::Path;
use std::sync::Arc;

use crate::base::clock::SharedClock;
use crate::base::fault::{Fault, Kind, Outcome};
use crate::engine::core::Connector;
use crate::engine::registry::summary::{self, Depth, Summary};
use crate::model::archive::{Carried, ImportAs, Source, Written};
use crate::model::image::ImageName;
use crate::model::oci::{Digest, Platform, Reference, Repository};
use crate::model::registry::Registry;
use crate::ports::archive::Archives;
use crate::ports::registry::RegistryClient;

/// The note of a manifest in an archive's index that says what it is called there (image specification, annotations).
const REF_NAME: &str = "org.opencontainers.image.ref.name";
/// The same with the registry, as containerd and Docker write it.
const FULL_NAME: &str = "io.containerd.image.name";
/// The media type of an archive's index.
const INDEX: &str = "application/vnd.oci.image.index.v1+json";
/// Indexes in indexes, at most.
const DEPTH_MAX: u32 = 8;
/// Manifests of one archive, at most: all of them are held in memory, a few kilobytes each.
const MANIFESTS_MAX: usize = 50_000;

/// Bytes of these manifests together, at most.
const MANIFEST_BYTES_MAX: u64 = 256 << 20;

/// Told as it goes on: bytes of blobs that have passed, and what is carried now.
pub type Tell<'a> = dyn Fn(u64, &str) + Send + Sync + 'a;

/// Carries images. It needs no running engine.
#[derive(Clone)]
pub struct Depot {
    connector: Arc<dyn Connector>,
    archives: Arc<dyn Archives>,
    clock: SharedClock,
}

impl Depot {
    /// One that reaches registries and files so.
    pub fn new(connector: Arc<dyn Connector>, archives: Arc<dyn Archives>, clock: SharedClock) -> Depot {
        Depot { connector, archives, clock }
    }

    /// The present time.
    pub fn clock(&self) -> &SharedClock {
        &self.clock
    }

    /// Writes these images, all that they need and all that is said about them into a new archive.
    ///
    /// # Errors
    /// When anything of it cannot be had or is damaged, or the disk says no: then there is no archive.
    pub async fn export(
        &self,
        sources: &[Source],
        platforms: &[Platform],
        file: &Path,
        tell: &Tell<'_>,
    ) -> Outcome<Written> {
        let mut clients = Vec::new();
        for source in sources {
            clients.push(self.connector.registry(&source.registry).await?);
        }
        export::write(self.archives.as_ref(), sources, &clients, platforms, file, tell).await
    }

    /// Brings the images of an archive into a registry. What is there already stays.
    ///
    /// # Errors
    /// When the archive is damaged, or the registry does not take an image. What has arrived by then stays, and no tag points
    /// to anything that is not there.
    pub async fn import(
        &self,
        file: &Path,
        to: &Registry,
        names: &ImportAs,
        tell: &Tell<'_>,
    ) -> Outcome<Vec<Carried>> {
        let archive = self.archives.read(file).await?;
        let client = self.connector.registry(to).await?;
        import::push(&archive, &client, to, names, tell).await
    }

    /// What an image says of itself, of all of its platforms, and what its name points to now.
    ///
    /// # Errors
    /// When it is not there or cannot be read.
    pub async fn look(&self, registry: &Registry, image: &ImageName) -> Outcome<(Digest, Summary)> {
        let client = self.connector.registry(registry).await?;
        look(client.as_ref(), image).await
    }
}

/// What an image says of itself, of all of its platforms, and what its name points to now.
///
/// # Errors
/// When it is not there or cannot be read.
pub async fn look(client: &dyn RegistryClient, image: &ImageName) -> Outcome<(Digest, Summary)> {
    let digest = resolve(client, image).await?;
    let summary = summary::read(client, &image.repository, &digest, Depth::All).await;
    Ok((digest, summary.map_err(|why| why.because(format!("{image} cannot be read")))?))
}

/// What the name of an image points to.
///
/// # Errors
/// `NotFound` when it is not there.
pub async fn resolve(client: &dyn RegistryClient, image: &ImageName) -> Outcome<Digest> {
    let reference =
        image.reference().ok_or_else(|| Fault::new(Kind::Invalid, "a name without tag and digest"))?;
    let found = client.head(&image.repository, &reference).await;
    let found = found.map_err(|why| why.because(format!("{image} cannot be looked up")))?;
    let absent = || {
        Fault::new(Kind::NotFound, format!("{image} is not there"))
            .hint("see what is: longshore images ls REGISTRY REPOSITORY")
    };
    found.map(|d| d.digest).ok_or_else(absent)
}

/// Reads a manifest by its digest, checked.
async fn manifest(
    client: &dyn RegistryClient,
    of: &Repository,
    digest: &Digest,
) -> Outcome<crate::model::oci::Manifest> {
    if digest.algorithm() != "sha256" {
        return Err(unchecked(digest));
    }
    let found = client.manifest(of, &Reference::Digest(digest.clone())).await?;
    if found.digest != *digest {
        return Err(Fault::new(Kind::Invalid, format!("the registry gave another manifest for {digest}")));
    }
    Ok(found)
}

/// A digest that nobody here can check.
fn unchecked(digest: &Digest) -> Fault {
    Fault::new(Kind::Refused, format!("digests by {} cannot be checked here: {digest}", digest.algorithm()))
        .hint("only sha256 is carried in archives")
}
