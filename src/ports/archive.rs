//! The port to archives of images: one file that holds what a registry would (OCI image specification, image layout).

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;

use crate::base::fault::Outcome;
use crate::model::oci::Digest;

/// The bytes of a blob on their way. Not checked against its digest: whoever reads all of them does that.
pub type BlobBytes = BoxStream<'static, Outcome<Bytes>>;

/// An archive that is read. Its names, lengths and kinds of entries have been looked through: all of them lie inside the file.
pub trait ArchiveReader: Send + Sync {
    /// Its index, as it is.
    fn index(&self) -> Arc<[u8]>;

    /// The length of a blob; none when it is not in there.
    fn size(&self, digest: &Digest) -> Option<u64>;

    /// Bytes of the whole file.
    fn length(&self) -> u64;

    /// The bytes of a blob. `NotFound` when it is not in there.
    fn open<'a>(&'a self, digest: &'a Digest) -> BoxFuture<'a, Outcome<BlobBytes>>;
}

/// An archive that is being written. Dropped before its end it leaves nothing behind.
pub trait ArchiveWriter: Send {
    /// Adds a blob of this length. Its bytes are written as they come; a source that gives less or more is a fault.
    fn blob<'a>(
        &'a mut self,
        digest: &'a Digest,
        size: u64,
        bytes: BoxStream<'a, Outcome<Bytes>>,
    ) -> BoxFuture<'a, Outcome<()>>;

    /// Adds the index, and lets the file have its name: from then on the archive is there as a whole. Gives its length.
    fn finish(self: Box<Self>, index: Vec<u8>) -> BoxFuture<'static, Outcome<u64>>;
}

/// Opens archives.
pub trait Archives: Send + Sync {
    /// Opens one to read it, and looks all of its entries through.
    fn read<'a>(&'a self, file: &'a Path) -> BoxFuture<'a, Outcome<Arc<dyn ArchiveReader>>>;

    /// Begins one. Refused when a file of that name is there already.
    fn write<'a>(&'a self, file: &'a Path) -> BoxFuture<'a, Outcome<Box<dyn ArchiveWriter>>>;
}
