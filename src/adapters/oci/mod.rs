//! The OCI distribution client: one registry behind its endpoints, for listing, reading and writing images.

mod blobs;
mod call;
mod catalogue;
mod challenge;
mod faults;
mod feed;
mod limits;
mod manifests;
mod origin;
mod pace;
mod referrers;
mod retry;
mod token;
mod transport;
mod upload;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::sync::Semaphore;

use crate::adapters::credentials::Credentials;
use crate::adapters::oci::call::Caller;
use crate::adapters::oci::retry::Endpoints;
use crate::adapters::oci::token::{Auth, Login};
use crate::base::clock::SharedClock;
use crate::base::fault::Outcome;
use crate::model::oci::{Descriptor, Digest, Manifest, Reference, Repository, Tag};
use crate::model::registry::{Page, Registry, RegistryFacts};
use crate::ports::desk::OwnTokens;
use crate::ports::registry::{Action, BlobStream, Catalogue, Content, Source};

pub use call::Traffic;
pub use limits::Limits;
pub use transport::Transport;

/// One registry. Cheap to clone; clones share tokens, connections, pauses and bounds.
#[derive(Clone)]
pub struct Client(Arc<Inner>);

/// What the parts of the client share.
struct Inner {
    caller: Caller,
    /// Streams of blobs that are being read, and uploads: bounded apart, since an upload holds its place while it waits
    /// for a blob that may come from the same registry.
    reads: Arc<Semaphore>,
    writes: Semaphore,
    /// The registry took no blob in one piece: they go in parts.
    in_parts: AtomicBool,
    /// The registry has no list of referrers: tags stand for it.
    no_referrers: AtomicBool,
    /// Whether it lists its repositories to us, once that is known.
    lists: std::sync::Mutex<Option<bool>>,
    /// One change of a referrers tag at a time: it is read, added to and put.
    referrers: tokio::sync::Mutex<()>,
}

impl Client {
    /// A client of this registry. Nothing is connected yet.
    ///
    /// # Errors
    /// When an address makes no sense or the file of authorities cannot be used.
    pub fn new(
        registry: &Registry,
        credentials: Option<Credentials>,
        clock: SharedClock,
        limits: Limits,
    ) -> Outcome<Client> {
        Client::signing(registry, credentials, None, clock, limits)
    }

    /// The same, which gives itself the tokens of our own token service.
    ///
    /// # Errors
    /// When an address makes no sense or the file of authorities cannot be used.
    pub fn signing(
        registry: &Registry,
        credentials: Option<Credentials>,
        own: Option<Arc<dyn OwnTokens>>,
        clock: SharedClock,
        limits: Limits,
    ) -> Outcome<Client> {
        let origins = origin::Origins::of(registry)?;
        let transport = Transport::new(registry.ca.as_deref().map(Path::new), &limits)?;
        let at_once = usize::try_from(registry.parallel.max(1)).unwrap_or(1);
        let endpoints = Endpoints::new(origins.endpoints.len());
        let auth = Auth::new(origins, transport, limits, clock, Login { credentials, own });
        let calls = Semaphore::new(at_once);
        Ok(Client(Arc::new(Inner {
            caller: Caller { auth, endpoints, traffic: Arc::default(), calls },
            reads: Arc::new(Semaphore::new(at_once)),
            writes: Semaphore::new(at_once),
            in_parts: AtomicBool::new(false),
            no_referrers: AtomicBool::new(false),
            lists: std::sync::Mutex::new(None),
            referrers: tokio::sync::Mutex::new(()),
        })))
    }

    /// What has passed so far.
    pub fn traffic(&self) -> Arc<Traffic> {
        Arc::clone(&self.0.caller.traffic)
    }

    /// The endpoint that calls go to now, by its place in the registry's list.
    pub fn active(&self) -> usize {
        self.0.caller.endpoints.choose()
    }
}

impl Catalogue for Client {
    fn facts(&self) -> BoxFuture<'_, Outcome<RegistryFacts>> {
        self.0.facts().boxed()
    }

    fn repositories<'a>(&'a self, next: Option<&'a str>) -> BoxFuture<'a, Outcome<Page<Repository>>> {
        self.0.repositories(next).boxed()
    }

    fn tags<'a>(&'a self, of: &'a Repository, next: Option<&'a str>) -> BoxFuture<'a, Outcome<Page<Tag>>> {
        self.0.tags(of, next).boxed()
    }

    fn head<'a>(
        &'a self,
        of: &'a Repository,
        reference: &'a Reference,
    ) -> BoxFuture<'a, Outcome<Option<Descriptor>>> {
        self.0.head(of, reference).boxed()
    }

    fn manifest<'a>(
        &'a self,
        of: &'a Repository,
        reference: &'a Reference,
    ) -> BoxFuture<'a, Outcome<Manifest>> {
        self.0.manifest(of, reference).boxed()
    }

    fn referrers<'a>(
        &'a self,
        of: &'a Repository,
        digest: &'a Digest,
    ) -> BoxFuture<'a, Outcome<Vec<Descriptor>>> {
        self.0.referrers_of(of, digest).boxed()
    }

    fn may<'a>(&'a self, of: &'a Repository, action: Action) -> BoxFuture<'a, Outcome<bool>> {
        self.0.may(of, action).boxed()
    }
}

impl Content for Client {
    fn has_blob<'a>(&'a self, of: &'a Repository, digest: &'a Digest) -> BoxFuture<'a, Outcome<Option<u64>>> {
        self.0.has_blob(of, digest).boxed()
    }

    fn read_blob<'a>(
        &'a self,
        of: &'a Repository,
        digest: &'a Digest,
        from: u64,
    ) -> BoxFuture<'a, Outcome<BlobStream>> {
        blobs::read(Arc::clone(&self.0), of, digest, from).boxed()
    }

    fn mount<'a>(
        &'a self,
        to: &'a Repository,
        digest: &'a Digest,
        from: &'a Repository,
    ) -> BoxFuture<'a, Outcome<bool>> {
        self.0.mount(to, digest, from).boxed()
    }

    fn write_blob<'a>(
        &'a self,
        to: &'a Repository,
        digest: &'a Digest,
        size: u64,
        source: &'a Source<'a>,
    ) -> BoxFuture<'a, Outcome<()>> {
        self.0.write(to, digest, size, source).boxed()
    }

    fn put_manifest<'a>(
        &'a self,
        to: &'a Repository,
        reference: &'a Reference,
        manifest: &'a Manifest,
    ) -> BoxFuture<'a, Outcome<()>> {
        self.0.put_manifest(to, reference, manifest).boxed()
    }

    fn put_alone<'a>(
        &'a self,
        to: &'a Repository,
        reference: &'a Reference,
        manifest: &'a Manifest,
    ) -> BoxFuture<'a, Outcome<()>> {
        async move { self.0.put(to, reference, manifest).await.map(drop) }.boxed()
    }

    fn delete_tag<'a>(&'a self, of: &'a Repository, tag: &'a Tag) -> BoxFuture<'a, Outcome<()>> {
        self.0.delete_tag(of, tag).boxed()
    }

    fn delete_manifest<'a>(&'a self, of: &'a Repository, digest: &'a Digest) -> BoxFuture<'a, Outcome<()>> {
        self.0.delete_manifest(of, digest).boxed()
    }
}
