//! Reads an archive: looks through all of its entries first, then gives blobs from where they lie in the file.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::{FutureExt, StreamExt, stream};
use serde::Deserialize;
use tar::{Archive, EntryType};
use tokio::io::{AsyncReadExt, AsyncSeekExt};

use crate::adapters::archive::{BLOCK, PIECE};
use crate::base::fault::{Fault, Kind, Outcome};
use crate::base::text::safe;
use crate::model::oci::{Digest, MANIFEST_MAX};
use crate::ports::archive::{ArchiveReader, BlobBytes};

/// More entries than this no archive of images has; each costs memory.
const ENTRIES_MAX: usize = 200_000;
/// How files begin that hold a compressed tar, with what opens them.
const PACKED: [(&[u8], &str); 4] = [
    (&[0x1f, 0x8b], "gunzip"),
    (&[0x28, 0xb5, 0x2f, 0xfd], "unzstd"),
    (&[0xfd, b'7', b'z', b'X', b'Z'], "unxz"),
    (b"BZh", "bunzip2"),
];

/// Where an entry's bytes lie.
#[derive(Clone, Copy, Debug)]
struct Place {
    at: u64,
    size: u64,
}

/// An archive that is read.
#[derive(Debug)]
pub struct TarReader {
    path: PathBuf,
    length: u64,
    index: Arc<[u8]>,
    blobs: BTreeMap<Digest, Place>,
}

#[derive(Deserialize)]
struct Layout {
    #[serde(rename = "imageLayoutVersion")]
    version: String,
}

/// Opens an archive.
///
/// # Errors
/// When it cannot be read, is not whole, or is no archive of images in the OCI layout.
pub async fn open(file: &Path) -> Outcome<TarReader> {
    let path = file.to_owned();
    let found = tokio::task::spawn_blocking(move || scan(&path)).await;
    let scanned = found.unwrap_or_else(|why| Err(Fault::new(Kind::Bug, why.to_string())));
    scanned.map_err(|why| why.because(format!("{} cannot be read", file.display())))
}

fn io(why: &std::io::Error) -> Fault {
    let kind = match why.kind() {
        std::io::ErrorKind::NotFound => Kind::NotFound,
        std::io::ErrorKind::PermissionDenied => Kind::Refused,
        _ => Kind::Invalid,
    };
    Fault::new(kind, why.to_string())
}

fn bad(why: impl Into<String>) -> Fault {
    Fault::new(Kind::Invalid, why)
}

fn cut(name: &str) -> Fault {
    bad(format!("it is cut off: {} goes on beyond its end", safe(name)))
        .hint("it was not copied as a whole: compare its length with the original's, and copy it again")
}

fn scan(path: &Path) -> Outcome<TarReader> {
    let mut file = File::open(path).map_err(|why| io(&why))?;
    let length = file.metadata().map_err(|why| io(&why))?.len();
    let mut first = Vec::new();
    (&mut file).take(8).read_to_end(&mut first).map_err(|why| io(&why))?;
    if let Some((_, with)) = PACKED.iter().find(|(begin, _)| first.starts_with(begin)) {
        return Err(bad("it is compressed as a whole").hint(format!("unpack it first: {with} FILE")));
    }
    file.seek(SeekFrom::Start(0)).map_err(|why| io(&why))?;
    let Entries { files: entries, link } = entries(&mut file, length)?;
    if length % BLOCK != 0 {
        return Err(cut("its last block"));
    }
    let named = |name: &str| entries.get(name).copied();
    let Some(layout) = named("oci-layout") else { return Err(other_kind(&entries)) };
    if let Some(name) = link {
        return Err(bad(format!("its entry {} is a link; links are not followed", safe(&name)))
            .hint("write it again with skopeo or longshore, which make plain files"));
    }
    let layout: Layout = serde_json::from_slice(&small(&mut file, "oci-layout", layout)?)
        .map_err(|why| bad(why.to_string()).because("its file oci-layout makes no sense"))?;
    if layout.version != "1.0.0" {
        let version = safe(&layout.version).into_owned();
        return Err(bad(format!("its layout has version {version}; only 1.0.0 is read")));
    }
    let index = named("index.json").ok_or_else(|| {
        bad("it has no index.json").hint("it is not whole, or no archive of images: write it again")
    })?;
    let index = small(&mut file, "index.json", index)?.into();
    let mut blobs = BTreeMap::new();
    for (name, place) in &entries {
        let Some(rest) = name.strip_prefix("blobs/") else { continue };
        let digest = rest.replacen('/', ":", 1).parse::<Digest>();
        let digest = digest.map_err(|why| why.because(format!("its entry {} is no blob", safe(name))))?;
        blobs.insert(digest, *place);
    }
    Ok(TarReader { path: path.to_owned(), length, index, blobs })
}

/// What is wrong with a tar file that has no `oci-layout`.
fn other_kind(entries: &BTreeMap<String, Place>) -> Fault {
    if entries.contains_key("manifest.json") {
        return bad("it is an archive of `docker save` from before Docker 25, which is not read").hint(
            "turn it into one that is: skopeo copy docker-archive:FILE oci-archive:OTHER.tar:REPOSITORY:TAG",
        );
    }
    bad("it has no file oci-layout: it is no archive of images in the OCI layout")
        .hint("archives are written by `longshore image export`, `skopeo copy … oci-archive:FILE` or `docker save` from version 25 on")
}

/// What is in a tar file.
#[derive(Default)]
struct Entries {
    files: BTreeMap<String, Place>,
    /// The first link in it: older archives of Docker have some, archives in the OCI layout must not.
    link: Option<String>,
}

/// Every file in it by its name. Nothing but plain files and folders, no name twice, none that leads out of it.
fn entries(file: &mut File, length: u64) -> Outcome<Entries> {
    let mut out = Entries::default();
    let mut archive = Archive::new(file);
    let no_tar = |why: std::io::Error| {
        bad(why.to_string())
            .because("it is no tar file, or damaged")
            .hint("compare its checksum with the original's")
    };
    for entry in archive.entries_with_seek().map_err(no_tar)? {
        let entry = entry.map_err(no_tar)?;
        let raw = entry.path_bytes().into_owned();
        let name = String::from_utf8(raw).map_err(|_| bad("it has an entry whose name is no text"))?;
        let name = name.strip_prefix("./").unwrap_or(&name).to_owned();
        let leads_out = name.starts_with('/') || name.split('/').any(|part| part == "..");
        if leads_out {
            return Err(bad(format!("its entry {} leads out of it", safe(&name)))
                .hint("archives of images have no such names: somebody has tampered with it"));
        }
        match entry.header().entry_type() {
            EntryType::Regular | EntryType::Continuous => {}
            EntryType::Directory => continue,
            EntryType::Symlink | EntryType::Link => {
                out.link.get_or_insert(name);
                continue;
            }
            other => {
                let text = format!("its entry {} is no plain file ({other:?})", safe(&name));
                return Err(bad(text).hint("archives of images have none of these"));
            }
        }
        let place = Place { at: entry.raw_file_position(), size: entry.size() };
        if place.at.checked_add(place.size).is_none_or(|end| end > length) {
            return Err(cut(&name));
        }
        if out.files.len() >= ENTRIES_MAX {
            return Err(Fault::new(Kind::Exhausted, format!("it has more than {ENTRIES_MAX} entries")));
        }
        if out.files.insert(name.clone(), place).is_some() {
            return Err(bad(format!("it has two entries called {}", safe(&name)))
                .hint("which of them counts differs from reader to reader: write it again"));
        }
    }
    Ok(out)
}

fn small(file: &mut File, name: &str, place: Place) -> Outcome<Vec<u8>> {
    if place.size > MANIFEST_MAX as u64 {
        return Err(bad(format!("its {name} has {} bytes, more than {MANIFEST_MAX}", place.size)));
    }
    let mut out = Vec::new();
    file.seek(SeekFrom::Start(place.at)).map_err(|why| io(&why))?;
    file.take(place.size).read_to_end(&mut out).map_err(|why| io(&why))?;
    Ok(out)
}

impl TarReader {
    async fn bytes(&self, digest: &Digest) -> Outcome<BlobBytes> {
        let because = |why: Fault| why.because(format!("{} cannot be read", self.path.display()));
        let place = self.blobs.get(digest).copied();
        let place =
            place.ok_or_else(|| because(Fault::new(Kind::NotFound, format!("it does not hold {digest}"))))?;
        let mut file = tokio::fs::File::open(&self.path).await.map_err(|why| because(io(&why)))?;
        file.seek(SeekFrom::Start(place.at)).await.map_err(|why| because(io(&why)))?;
        let begin = (file, place.size);
        let bytes = stream::unfold(Some(begin), |state| async move {
            let (mut file, left) = state.filter(|(_, left)| *left > 0)?;
            let mut piece = vec![0; usize::try_from(left.min(PIECE)).unwrap_or(0)];
            match file.read_exact(&mut piece).await {
                Ok(read) => Some((Ok(Bytes::from(piece)), Some((file, left - read as u64)))),
                Err(why) => Some((Err(io(&why).because("the archive cannot be read on")), None)),
            }
        });
        Ok(bytes.boxed())
    }
}

impl ArchiveReader for TarReader {
    fn index(&self) -> Arc<[u8]> {
        self.index.clone()
    }

    fn size(&self, digest: &Digest) -> Option<u64> {
        self.blobs.get(digest).map(|place| place.size)
    }

    fn length(&self) -> u64 {
        self.length
    }

    fn open<'a>(&'a self, digest: &'a Digest) -> BoxFuture<'a, Outcome<BlobBytes>> {
        self.bytes(digest).boxed()
    }
}
