//! Writes an archive: one entry after the other, under another name until it is whole.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use futures_util::{FutureExt, StreamExt};
use tar::{EntryType, Header};
use tokio::fs::{File, OpenOptions};
use tokio::io::{AsyncWriteExt, BufWriter};

use crate::adapters::archive::{BLOCK, LAYOUT, PIECE};
use crate::base::fault::{Fault, Kind, Outcome};
use crate::model::oci::Digest;
use crate::ports::archive::ArchiveWriter;

/// What fills the last block of a file; an archive ends with two blocks of it.
const ZEROES: [u8; 1_024] = [0; 1_024];

/// How many archives this process has begun.
static WRITERS: AtomicU64 = AtomicU64::new(0);

/// An archive that is being written.
pub struct TarWriter {
    out: BufWriter<File>,
    /// Where it is written to until it is whole.
    partial: Partial,
    target: PathBuf,
    length: u64,
}

/// The file under its first name: removed unless it was kept.
struct Partial(Option<PathBuf>);

impl Drop for Partial {
    fn drop(&mut self) {
        if let Some(path) = &self.0 {
            // It is of no use to anybody; where it cannot be removed it stays, under a name that says so.
            let _ = std::fs::remove_file(path);
        }
    }
}

fn fault(path: &Path, why: &std::io::Error) -> Fault {
    let kind = match why.kind() {
        std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => Kind::Exhausted,
        _ => Kind::Refused,
    };
    Fault::new(kind, why.to_string()).because(format!("{} cannot be written", path.display()))
}

fn is_there(file: &Path) -> Fault {
    Fault::new(Kind::Conflict, format!("{} is there already", file.display()))
        .hint("remove it first, or give another name")
}

/// Begins an archive.
///
/// # Errors
/// When a file of that name is there, or the disk says no.
pub async fn begin(file: &Path) -> Outcome<TarWriter> {
    if file.symlink_metadata().is_ok() {
        return Err(is_there(file));
    }
    let mut name = file.file_name().unwrap_or_default().to_owned();
    // A name of this writer's own, that was not there before: two that write at a time must not write into one another's file,
    // and no link leads anywhere else.
    name.push(format!(".{}-{}.partial", std::process::id(), WRITERS.fetch_add(1, Ordering::Relaxed)));
    let path = file.with_file_name(name);
    match tokio::fs::remove_file(&path).await {
        Err(why) if why.kind() != ErrorKind::NotFound => return Err(fault(&path, &why)),
        _ => {}
    }
    let out = OpenOptions::new().write(true).create_new(true).open(&path).await;
    let out = out.map_err(|why| fault(&path, &why))?;
    let mut writer = TarWriter {
        out: BufWriter::with_capacity(usize::try_from(PIECE).unwrap_or(1 << 16), out),
        partial: Partial(Some(path)),
        target: file.to_owned(),
        length: 0,
    };
    writer.entry("oci-layout", LAYOUT.as_bytes()).await?;
    Ok(writer)
}

impl TarWriter {
    async fn put(&mut self, bytes: &[u8]) -> Outcome<()> {
        self.out.write_all(bytes).await.map_err(|why| fault(&self.target, &why))?;
        self.length += bytes.len() as u64;
        Ok(())
    }

    /// The block that says what comes: the same for the same content, so that equal archives are equal files.
    async fn header(&mut self, name: &str, size: u64) -> Outcome<()> {
        let mut header = Header::new_gnu();
        header.set_entry_type(EntryType::Regular);
        header.set_path(name).map_err(|why| fault(&self.target, &why))?;
        header.set_size(size);
        header.set_mode(0o644);
        header.set_mtime(0);
        header.set_uid(0);
        header.set_gid(0);
        header.set_cksum();
        self.put(header.as_bytes()).await
    }

    async fn fill(&mut self, size: u64) -> Outcome<()> {
        let rest = usize::try_from((BLOCK - size % BLOCK) % BLOCK).unwrap_or(0);
        self.put(&ZEROES[..rest]).await
    }

    async fn entry(&mut self, name: &str, bytes: &[u8]) -> Outcome<()> {
        let size = bytes.len() as u64;
        self.header(name, size).await?;
        self.put(bytes).await?;
        self.fill(size).await
    }

    async fn add(
        &mut self,
        digest: &Digest,
        size: u64,
        mut bytes: BoxStream<'_, Outcome<Bytes>>,
    ) -> Outcome<()> {
        self.header(&format!("blobs/{}/{}", digest.algorithm(), digest.hex()), size).await?;
        let mut left = size;
        while let Some(piece) = bytes.next().await {
            let piece = piece?;
            left = left.checked_sub(piece.len() as u64).ok_or_else(|| {
                Fault::new(
                    Kind::Invalid,
                    format!("{digest} has more than the {size} bytes it was said to have"),
                )
            })?;
            self.put(&piece).await?;
        }
        if left > 0 {
            let text = format!("{digest} ended {left} bytes before the {size} it was said to have");
            return Err(Fault::new(Kind::Invalid, text));
        }
        self.fill(size).await
    }

    async fn end(mut self, index: Vec<u8>) -> Outcome<u64> {
        self.entry("index.json", &index).await?;
        self.put(&ZEROES).await?;
        let failed = |why: std::io::Error| fault(&self.target, &why);
        self.out.flush().await.map_err(failed)?;
        self.out.get_ref().sync_all().await.map_err(failed)?;
        if let Some(path) = &self.partial.0 {
            // Takes the name only if nothing has it; a file that has appeared meanwhile stays. Where files have one name only,
            // it is looked at once more.
            match tokio::fs::hard_link(path, &self.target).await {
                Ok(()) => return Ok(self.length),
                Err(why) if why.kind() == ErrorKind::AlreadyExists => return Err(is_there(&self.target)),
                Err(_) if self.target.symlink_metadata().is_ok() => return Err(is_there(&self.target)),
                Err(_) => tokio::fs::rename(path, &self.target).await.map_err(failed)?,
            }
        }
        self.partial.0 = None;
        Ok(self.length)
    }
}

impl ArchiveWriter for TarWriter {
    fn blob<'a>(
        &'a mut self,
        digest: &'a Digest,
        size: u64,
        bytes: BoxStream<'a, Outcome<Bytes>>,
    ) -> BoxFuture<'a, Outcome<()>> {
        self.add(digest, size, bytes).boxed()
    }

    fn finish(self: Box<Self>, index: Vec<u8>) -> BoxFuture<'static, Outcome<u64>> {
        (*self).end(index).boxed()
    }
}
