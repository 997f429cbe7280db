//! What the images that pools name say of themselves: looked up by digest, beside the core, and remembered.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::{FutureExt, stream};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::base::fault::{Fault, Kind, Outcome};
use crate::base::ids::RegistryName;
use crate::engine::archive::resolve;
use crate::engine::observe::Wakes;
use crate::engine::registry::clients::Clients;
use crate::engine::registry::summary::{self, Depth};
use crate::model::image::{ImageName, own_name};
use crate::model::oci::Digest;
use crate::model::policy::ImageFacts;
use crate::model::registry::Registry;
use crate::ports::registry::RegistryClient;
use crate::store::Store;
use crate::store::replication::Note;

/// A tag may have moved after so long; it is looked up again.
const FACTS_FOR: Duration = Duration::from_secs(600);
/// What could not be looked up is tried again after so long.
const AGAIN: Duration = Duration::from_secs(60);
/// Images that are looked up at a time.
const AT_ONCE: usize = 4;

/// What the name of an image points to, and what that says for each platform; or why that is not known.
pub type Found = Outcome<(Digest, Arc<Vec<ImageFacts>>)>;

/// What is known of one image.
#[derive(Clone, Debug)]
pub struct Entry {
    /// What it was found to be.
    pub found: Found,
    /// Why it could not be looked up the last time: what was known before counts until it can.
    pub late: Option<Fault>,
    at: Instant,
    /// Its name is a digest: that stays as it is.
    fixed: bool,
}

impl Entry {
    /// True while it need not be looked up again.
    pub fn is_fresh(&self) -> bool {
        let kept = if self.found.is_ok() && self.late.is_none() { FACTS_FOR } else { AGAIN };
        (self.fixed && self.found.is_ok()) || self.at.elapsed() < kept
    }
}

/// What is known, by the names of images.
pub type Known = BTreeMap<String, Entry>;

/// Looks images up. Clones share what is known.
#[derive(Clone)]
pub struct Looker {
    clients: Arc<Clients>,
    store: Option<Store>,
    known: watch::Sender<Arc<Known>>,
    wakes: Wakes,
}

impl Looker {
    /// Nothing is known yet. `wakes` are notified when that changes.
    pub fn new(clients: Arc<Clients>, store: Option<Store>, wakes: Wakes) -> Looker {
        let (known, _) = watch::channel(Arc::default());
        Looker { clients, store, known, wakes }
    }

    /// What is known now.
    pub fn known(&self) -> Arc<Known> {
        self.known.borrow().clone()
    }

    /// Sees what is known, and when that changes.
    pub fn watch(&self) -> watch::Receiver<Arc<Known>> {
        self.known.subscribe()
    }

    /// True when all of these are known well enough.
    pub fn knows<'a>(&self, mut images: impl Iterator<Item = &'a str>) -> bool {
        let known = self.known.borrow();
        images.all(|image| known.get(image).is_some_and(Entry::is_fresh))
    }

    /// Looks up those of these images that are not known well enough.
    pub async fn look(&self, images: &BTreeSet<String>, registries: &BTreeMap<RegistryName, Registry>) {
        let known = self.known();
        let open = images.iter().filter(|image| !known.get(*image).is_some_and(Entry::is_fresh));
        let one = |image: &'_ String| {
            let (image, before) = (image.clone(), known.get(image).cloned());
            async move {
                let entry = self.anew(&image, before, registries).await;
                (image, entry)
            }
            .boxed()
        };
        let all: Vec<BoxFuture<'_, (String, Entry)>> = open.map(one).collect();
        let mut all = stream::iter(all).buffer_unordered(AT_ONCE);
        while let Some((image, entry)) = all.next().await {
            self.known.send_modify(|known| drop(Arc::make_mut(known).insert(image, entry)));
            self.wakes.changed.notify_one();
        }
    }

    /// Forgets what nobody names any more and is old.
    pub fn forget(&self, wanted: &BTreeSet<String>) {
        let is_kept =
            |image: &String, entry: &Entry| wanted.contains(image) || entry.is_fresh() && !entry.fixed;
        if self.known.borrow().iter().any(|(image, entry)| !is_kept(image, entry)) {
            self.known.send_modify(|known| Arc::make_mut(known).retain(|image, entry| is_kept(image, entry)));
        }
    }

    /// What is known of an image once it was looked up (again). A registry that is silent takes nothing back that it has said.
    async fn anew(
        &self,
        image: &str,
        before: Option<Entry>,
        registries: &BTreeMap<RegistryName, Registry>,
    ) -> Entry {
        let of = |found, late| Entry { found, late, at: Instant::now(), fixed: image.contains('@') };
        let before = before.map(|entry| entry.found);
        let (client, name, digest) = match self.points_to(image, registries).await {
            Ok(found) => found,
            Err(fault) if fault.kind == Kind::NotFound => {
                if !matches!(before, Some(Err(_))) {
                    self.note(Note::ImageTag(image.to_owned(), None)).await;
                }
                return of(Err(fault), None);
            }
            Err(fault) => {
                return match self.before(image, before).await {
                    Some(found) => of(Ok(found), Some(fault)),
                    None => of(Err(fault), None),
                };
            }
        };
        match before {
            Some(Ok(known)) if known.0 == digest => return of(Ok(known), None),
            _ => {}
        }
        let facts = self.facts(&*client, &name, &digest).await;
        if facts.is_ok() {
            self.note(Note::ImageTag(image.to_owned(), Some(digest.clone()))).await;
        }
        of(facts.map(|facts| (digest, facts)), None)
    }

    /// What was known of an image: by this process, or by one before it.
    async fn before(&self, image: &str, known: Option<Found>) -> Option<(Digest, Arc<Vec<ImageFacts>>)> {
        if let Some(Ok(known)) = known {
            return Some(known);
        }
        let (digest, facts) = self.store.as_ref()?.image_before(image).await.ok()??;
        Some((digest, Arc::new(facts)))
    }

    /// Keeps it over a restart. A session that may not write asks again the next time.
    async fn note(&self, what: Note) {
        if let Some(store) = &self.store {
            let _ = store.note(vec![what]).await;
        }
    }

    async fn points_to(
        &self,
        image: &str,
        registries: &BTreeMap<RegistryName, Registry>,
    ) -> Outcome<(Arc<dyn RegistryClient>, ImageName, Digest)> {
        let name: ImageName = image.parse()?;
        let registry =
            registries.values().find(|r| own_name(&r.address) == name.registry).ok_or_else(|| {
                Fault::new(Kind::NotFound, format!("no registry with the address {} is known", name.registry))
                    .hint(format!("make it known: longshore registry add NAME {}", name.registry))
            })?;
        let client = self.clients.one(registry).await?;
        let digest = resolve(client.as_ref(), &name).await?;
        Ok((client, name, digest))
    }

    async fn facts(
        &self,
        client: &dyn RegistryClient,
        name: &ImageName,
        digest: &Digest,
    ) -> Outcome<Arc<Vec<ImageFacts>>> {
        if let Some(store) = &self.store
            && let Some(facts) = store.image_facts(digest).await?
        {
            return Ok(Arc::new(facts));
        }
        let summary = summary::read(client, &name.repository, digest, Depth::All).await?;
        if let Some(why) = summary.why {
            return Err(why);
        }
        if summary.facts.is_empty() {
            return Err(Fault::new(Kind::Invalid, "it has no configuration of a container image"));
        }
        self.note(Note::ImageFacts(digest.clone(), summary.facts.clone())).await;
        Ok(Arc::new(summary.facts))
    }
}
