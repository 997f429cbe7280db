//! Archives of images as tar files in the OCI image layout, as `skopeo` calls them `oci-archive:`.

mod reader;
mod writer;

use std::path::Path;
use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use crate::base::fault::Outcome;
use crate::ports::archive::{ArchiveReader, ArchiveWriter, Archives};

/// A tar file is a row of blocks of so many bytes; two empty ones end it.
const BLOCK: u64 = 512;
/// Bytes that are read from the disk at a time.
const PIECE: u64 = 256 << 10;
/// What the file `oci-layout` says (image specification, version 1.0.0 of the layout is the only one).
const LAYOUT: &str = r#"{"imageLayoutVersion":"1.0.0"}"#;

/// Tar files on this machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct TarFiles;

impl Archives for TarFiles {
    fn read<'a>(&'a self, file: &'a Path) -> BoxFuture<'a, Outcome<Arc<dyn ArchiveReader>>> {
        async move { Ok(Arc::new(reader::open(file).await?) as Arc<dyn ArchiveReader>) }.boxed()
    }

    fn write<'a>(&'a self, file: &'a Path) -> BoxFuture<'a, Outcome<Box<dyn ArchiveWriter>>> {
        async move { Ok(Box::new(writer::begin(file).await?) as Box<dyn ArchiveWriter>) }.boxed()
    }
}
