//! The port to one image registry: what it holds, and moving content in and out.
//!
//! Names and nouns are those of the OCI distribution specification v1.1. Every call has a deadline of its own inside the adapter,
//! and is repeated there where that is safe; a fault carries the registry's own code in its reasons. What is listed or
//! served is checked: a manifest that does not have its digest is a fault, never a manifest.

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;

use crate::base::fault::Outcome;
use crate::model::oci::{Descriptor, Digest, Manifest, Reference, Repository, Tag};
use crate::model::registry::{Page, RegistryFacts};

/// What a caller may want to do in a repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Action {
    /// Read.
    Pull,
    /// Write.
    Push,
    /// Remove.
    Delete,
}

/// The bytes of a blob from some offset on.
pub struct BlobStream {
    /// The length of the whole blob, where the registry tells it.
    pub size: Option<u64>,
    /// The offset at which the bytes begin: 0 where the registry did not honour the one that was asked for.
    pub from: u64,
    /// The bytes. Not checked against the digest: whoever reads all of them does that.
    pub bytes: BoxStream<'static, Outcome<Bytes>>,
}

/// Opens the source of an upload, which may be asked for again from its beginning.
pub type Source<'a> =
    dyn Fn() -> BoxFuture<'a, Outcome<BoxStream<'static, Outcome<Bytes>>>> + Send + Sync + 'a;

/// Looking at a registry. Nothing is changed.
pub trait Catalogue: Send + Sync {
    /// What it says of itself; the cheapest call there is, also used as a sign of life.
    fn facts(&self) -> BoxFuture<'_, Outcome<RegistryFacts>>;

    /// A page of all repositories, from where `next` of the page before says. `Refused` when it does not list them to us.
    fn repositories<'a>(&'a self, next: Option<&'a str>) -> BoxFuture<'a, Outcome<Page<Repository>>>;

    /// A page of a repository's tags. `NotFound` when there is no such repository (an emptied one has an empty list).
    fn tags<'a>(&'a self, of: &'a Repository, next: Option<&'a str>) -> BoxFuture<'a, Outcome<Page<Tag>>>;

    /// What a reference points to, without its content; `None` when it is not there.
    fn head<'a>(
        &'a self,
        of: &'a Repository,
        reference: &'a Reference,
    ) -> BoxFuture<'a, Outcome<Option<Descriptor>>>;

    /// The manifest that a reference points to. `NotFound` when it is not there.
    fn manifest<'a>(
        &'a self,
        of: &'a Repository,
        reference: &'a Reference,
    ) -> BoxFuture<'a, Outcome<Manifest>>;

    /// The manifests that say something about this one (signatures, bills of materials), by the registry's own list or by
    /// the tag that stands for it.
    fn referrers<'a>(
        &'a self,
        of: &'a Repository,
        digest: &'a Digest,
    ) -> BoxFuture<'a, Outcome<Vec<Descriptor>>>;

    /// Whether the caller's rights suffice, asked before the first byte is sent. True also where the registry cannot tell.
    fn may<'a>(&'a self, of: &'a Repository, action: Action) -> BoxFuture<'a, Outcome<bool>>;
}

/// Moving content.
pub trait Content: Send + Sync {
    /// The length of a blob; `None` when this repository does not have it.
    fn has_blob<'a>(&'a self, of: &'a Repository, digest: &'a Digest) -> BoxFuture<'a, Outcome<Option<u64>>>;

    /// The bytes of a blob from an offset on. `NotFound` when it is not there. What breaks off is not asked for again: the rest is
    /// another call.
    fn read_blob<'a>(
        &'a self,
        of: &'a Repository,
        digest: &'a Digest,
        from: u64,
    ) -> BoxFuture<'a, Outcome<BlobStream>>;

    /// Lets a repository have a blob that another one of the same registry has, without moving bytes. False when the
    /// registry does not do that: then the blob has to be written.
    fn mount<'a>(
        &'a self,
        to: &'a Repository,
        digest: &'a Digest,
        from: &'a Repository,
    ) -> BoxFuture<'a, Outcome<bool>>;

    /// Writes a blob of this length; the registry checks the digest. An upload that breaks off leaves nothing that can be
    /// seen, and is sent again only when the registry has lost it. The source's own faults come back as they are.
    fn write_blob<'a>(
        &'a self,
        to: &'a Repository,
        digest: &'a Digest,
        size: u64,
        source: &'a Source<'a>,
    ) -> BoxFuture<'a, Outcome<()>>;

    /// Puts a manifest, byte for byte, under a reference. All that it needs must be there (`Conflict` when it is not).
    fn put_manifest<'a>(
        &'a self,
        to: &'a Repository,
        reference: &'a Reference,
        manifest: &'a Manifest,
    ) -> BoxFuture<'a, Outcome<()>>;

    /// The same, and keeps no list of referrers for it where the registry does not do so itself: whoever brings it sees to that list.
    fn put_alone<'a>(
        &'a self,
        to: &'a Repository,
        reference: &'a Reference,
        manifest: &'a Manifest,
    ) -> BoxFuture<'a, Outcome<()>>;

    /// Removes a tag and leaves the manifest. `Refused` where the registry cannot do that. Succeeds if it is not there.
    fn delete_tag<'a>(&'a self, of: &'a Repository, tag: &'a Tag) -> BoxFuture<'a, Outcome<()>>;

    /// Removes a manifest and with it **every tag that points to it**. Succeeds if it is not there.
    fn delete_manifest<'a>(&'a self, of: &'a Repository, digest: &'a Digest) -> BoxFuture<'a, Outcome<()>>;
}

/// One registry.
pub trait RegistryClient: Catalogue + Content {}

impl<T: Catalogue + Content> RegistryClient for T {}
