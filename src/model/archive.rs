//! Images on their way into files and out of them: what is asked for, and what became of it.

use serde::Serialize;

use crate::model::image::ImageName;
use crate::model::oci::{Digest, Platform, Repository, Tag};
use crate::model::registry::Registry;

/// An image to be written into an archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// Where it is.
    pub registry: Registry,
    /// Its name there.
    pub image: ImageName,
}

/// How the images of an archive are called at their target.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImportAs {
    /// Put before the path of each.
    pub prefix: Option<Repository>,
    /// The one image of the archive gets this name instead of its own.
    pub name: Option<(Repository, Tag)>,
}

/// An archive that was written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Written {
    /// The images in it.
    pub images: Vec<WrittenImage>,
    /// Bytes of the file.
    pub bytes: u64,
    /// Blobs in it, each once, manifests not counted.
    pub blobs: usize,
}

/// An image of an archive that was written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct WrittenImage {
    /// Its name, with the registry that it came from.
    pub image: String,
    /// What its name in the archive points to.
    pub digest: Digest,
    /// Platforms of it that are in the archive.
    pub platforms: Vec<String>,
    /// Platforms of its index that were left out.
    pub left_out: Vec<String>,
    /// Signatures, bills of materials and the like that are in the archive with it.
    pub referrers: usize,
}

/// An image of an archive that was brought into a registry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Carried {
    /// Its name at the target.
    pub image: String,
    /// What the name points to.
    pub digest: Digest,
    /// What its tag pointed to before, when that was something else.
    pub before: Option<Digest>,
    /// It was there already, as a whole.
    pub was_there: bool,
    /// Blobs that were sent.
    pub sent: usize,
    /// Their bytes.
    pub bytes: u64,
    /// Blobs that were there already.
    pub there: usize,
    /// Signatures, bills of materials and the like that came with it.
    pub referrers: usize,
    /// Platforms of its index that the archive does not hold.
    pub left_out: Vec<String>,
}

/// Platforms in words.
pub fn words<'a>(platforms: impl IntoIterator<Item = &'a Platform>) -> Vec<String> {
    platforms.into_iter().map(ToString::to_string).collect()
}
