//! One tag's way: what its manifest needs goes first, children before parents, then what others say about it (signatures, bills
//! of materials), and the tag last: whoever finds the tag finds all of it, also when a run ends in the middle. (What is said in tags
//! of their own, as `sha256-….sig`, comes when it is the turn of those.)

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, join_all};
use futures_util::stream::{self, StreamExt};
use serde_json::json;
use tokio::sync::{OnceCell, watch};

use crate::base::fault::{Fault, Kind, Outcome};
use crate::engine::registry::pace::{Pace, Tries, go};
use crate::engine::registry::pool::Pool;
use crate::engine::registry::progress::Progress;
use crate::model::oci::{Descriptor, Digest, Form, Manifest, Platform, Reference, Repository, Tag};

/// Indexes in indexes, at most.
const DEPTH_MAX: u32 = 8;
/// Manifests of one image, at most: those of an index with the ones that it names, each once.
const MANIFESTS_MAX: u32 = 1_000;
/// What is told of a tag that has arrived without all that refers to it.
pub const OWED: &str = "the tag has arrived, what refers to it has not";
/// How often a tag is tried in all; each of its blobs is tried more often.
const TAG_TRIES: u32 = 4;
/// Children of one index that are brought at a time.
const CHILDREN: usize = 16;
/// Referrers of one image, with those of its children and their own, at most.
const REFERRERS_MAX: usize = 1_000;
const INDEX: &str = "application/vnd.oci.image.index.v1+json";
/// The note of a build's attestation in an index that says of which image it is.
const ATTESTS: &str = "vnd.docker.reference.digest";

/// The blobs that a run has wished for, and the first tag that did: one that several tags share counts for that one.
pub type Claimed = Mutex<BTreeMap<(Repository, Digest), usize>>;

/// The manifests that were met on the way of one tag: each is brought once, however many indexes name it.
#[derive(Default)]
pub struct Walk {
    met: Mutex<BTreeMap<Digest, Arc<OnceCell<()>>>>,
    count: AtomicU32,
    is_final: AtomicBool,
    has_arrived: AtomicBool,
}

impl Walk {
    /// One whose tag is there already: only what refers to it may be missing.
    pub fn arrived() -> Walk {
        Walk { has_arrived: true.into(), ..Walk::default() }
    }

    /// True when the tag points to what it is to point to, whatever became of what is said about it.
    pub fn has_arrived(&self) -> bool {
        self.has_arrived.load(Ordering::Relaxed)
    }

    /// True when a blob did not come however often it was tried: the tag is not tried again for that.
    pub fn is_final(&self) -> bool {
        self.is_final.load(Ordering::Relaxed)
    }

    fn once(&self, digest: &Digest) -> Arc<OnceCell<()>> {
        let mut met = self.met.lock().unwrap_or_else(PoisonError::into_inner);
        met.entry(digest.clone()).or_default().clone()
    }

    fn begin(&self) {
        self.met.lock().unwrap_or_else(PoisonError::into_inner).clear();
        self.count.store(0, Ordering::Relaxed);
    }

    /// One more manifest.
    fn count(&self) -> Outcome<()> {
        if self.count.fetch_add(1, Ordering::Relaxed) < MANIFESTS_MAX {
            return Ok(());
        }
        Err(Fault::new(Kind::Refused, format!("the image has more than {MANIFESTS_MAX} manifests")))
    }
}

/// One tag on its way.
pub struct Image<'a> {
    /// Its place in the run.
    pub place: usize,
    /// The line's transfers.
    pub pool: &'a Arc<Pool>,
    /// The repository at the source, and at the target.
    pub from: &'a Repository,
    /// At the target.
    pub to: &'a Repository,
    /// Only these platforms; empty is all.
    pub platforms: &'a [Platform],
    /// Whether the run may go on.
    pub pace: watch::Receiver<Pace>,
    /// What goes first.
    pub priority: &'a (dyn Fn() -> i32 + Send + Sync),
    /// What the run has wished for.
    pub claimed: &'a Claimed,
    /// Told of each blob that counts for this tag.
    pub claim: &'a (dyn Fn(&Digest, Arc<Progress>) + Send + Sync),
    /// Done before a tag is written without all that refers to it: that this is owed must survive a crash.
    pub owe: &'a (dyn Fn() -> BoxFuture<'a, Outcome<()>> + Send + Sync),
    /// Done just before the tag is written; it may say no.
    pub before: &'a (dyn Fn() -> BoxFuture<'a, Outcome<()>> + Send + Sync),
    /// Children that were left out by the platform filter.
    pub gaps: Mutex<Vec<Platform>>,
    /// The manifests that were met on the way.
    pub walk: Walk,
}

impl Image<'_> {
    /// Brings the manifest with this digest, all that it needs and all that is said about it, and lets the tag point to it. That
    /// is done also where what is said about it does not come: the image is more urgent than its signature.
    ///
    /// # Errors
    /// Why that cannot be.
    pub async fn bring(&self, tag: &Tag, digest: &Digest) -> Outcome<()> {
        self.walk.begin();
        let manifest = self.fetch(digest).await?;
        if self.walk.has_arrived() {
            return self.referrers(&manifest).await.map_err(|f| f.because(OWED));
        }
        self.needs(&manifest, 0).await?;
        let about = self.referrers(&manifest).await;
        if about.is_err() {
            (self.owe)().await?;
        }
        // A pause and the budget are waited for before both sides are asked once more, so that nothing lies between that and the write.
        self.call().await;
        (self.before)().await?;
        self.put_now(&Reference::Tag(tag.clone()), &manifest).await?;
        self.walk.has_arrived.store(true, Ordering::Relaxed);
        about.map_err(|f| f.because(OWED))
    }

    /// Brings it, with further tries where they may help: not where one of its blobs was tried often enough.
    ///
    /// # Errors
    /// Why it cannot be had.
    pub async fn bring_again(&self, tag: &Tag, digest: &Digest, retried: impl Fn()) -> Outcome<()> {
        let breaker = &self.pool.breaker;
        go(&self.pace).await;
        breaker.check()?;
        let mut tries = Tries::new(if breaker.is_open() { 1 } else { TAG_TRIES });
        loop {
            let Err(fault) = self.bring(tag, digest).await else { break };
            let helps = !matches!(fault.kind, Kind::Invalid | Kind::Exhausted) && !self.walk.is_final();
            let Some(pause) = tries.again(&fault).filter(|_| helps) else {
                // (Its blobs have told theirs.)
                if !self.walk.is_final() {
                    breaker.gave_up(self.to, &fault);
                }
                return Err(fault);
            };
            retried();
            tokio::time::sleep(pause).await;
        }
        breaker.came();
        Ok(())
    }

    async fn call(&self) {
        go(&self.pace).await;
        self.pool.ends.purse.request().await;
    }

    async fn fetch(&self, digest: &Digest) -> Outcome<Manifest> {
        self.call().await;
        let reference = Reference::Digest(digest.clone());
        let manifest = self.pool.ends.source.manifest(self.from, &reference).await?;
        if manifest.digest.algorithm() == digest.algorithm() && manifest.digest != *digest {
            return Err(Fault::new(Kind::Invalid, format!("the source gave another manifest for {digest}")));
        }
        Ok(manifest)
    }

    async fn put(&self, reference: &Reference, manifest: &Manifest) -> Outcome<()> {
        self.call().await;
        self.put_now(reference, manifest).await
    }

    /// (A list of referrers that the target does not keep itself is seen to at the end: a tag for it that came into being before its own
    /// turn would look as somebody else's.)
    async fn put_now(&self, reference: &Reference, manifest: &Manifest) -> Outcome<()> {
        let target = &self.pool.ends.target;
        let put = match reference {
            Reference::Tag(_) => target.put_manifest(self.to, reference, manifest).await,
            Reference::Digest(_) => target.put_alone(self.to, reference, manifest).await,
        };
        let gaps = self.gaps();
        put.map_err(|fault| match fault.kind {
            Kind::Conflict if manifest.form == Form::Index && !gaps.is_empty() => {
                let gaps = gaps.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
                fault
                    .because(format!(
                        "the target takes no index without the platforms that the rule leaves out ({gaps})"
                    ))
                    .hint("carry all platforms, or set the target to take such indexes")
            }
            _ => fault,
        })
    }

    /// The platforms that were left out.
    pub fn gaps(&self) -> Vec<Platform> {
        self.gaps.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Brings all that a manifest needs.
    fn needs<'b>(&'b self, manifest: &'b Manifest, depth: u32) -> BoxFuture<'b, Outcome<()>> {
        async move {
            if depth > DEPTH_MAX {
                return Err(Fault::new(
                    Kind::Invalid,
                    format!("indexes are nested more than {DEPTH_MAX} deep"),
                ));
            }
            let children = self.children(manifest);
            // All are waited for: one that fails does not stop others in the middle, what has arrived stays.
            let children: Vec<_> =
                children.iter().map(|c| self.child(&c.digest, depth + 1).boxed()).collect();
            let children = stream::iter(children).buffer_unordered(CHILDREN);
            children.collect::<Vec<_>>().await.into_iter().collect::<Outcome<()>>()?;
            let blobs: Vec<_> = manifest.blobs.iter().map(|blob| self.wish(blob).boxed()).collect();
            join_all(blobs).await.into_iter().collect()
        }
        .boxed()
    }

    /// Brings a manifest without a tag. Of an image that the target has, all is there: it would not have taken it else.
    async fn child(&self, digest: &Digest, depth: u32) -> Outcome<()> {
        // (A source may lie about other sums, which are not checked here: two that name each other would wait for each other.)
        if digest.algorithm() != "sha256" {
            return self.child_once(digest, depth).await;
        }
        let once = self.walk.once(digest);
        once.get_or_try_init(|| self.child_once(digest, depth)).await.copied()
    }

    async fn child_once(&self, digest: &Digest, depth: u32) -> Outcome<()> {
        self.walk.count()?;
        let reference = Reference::Digest(digest.clone());
        self.call().await;
        let here = self.pool.ends.target.head(self.to, &reference).await?;
        let is_index = |d: &Descriptor| d.media_type.contains("index") || d.media_type.contains("list");
        if here.as_ref().is_some_and(|d| !is_index(d)) {
            return Ok(());
        }
        let manifest = self.fetch(digest).await?;
        self.needs(&manifest, depth).await?;
        if here.is_none() { self.put(&reference, &manifest).await } else { Ok(()) }
    }

    async fn wish(&self, blob: &Descriptor) -> Outcome<()> {
        let what = (&blob.digest, blob.size);
        let ticket = self.pool.want((self.from, self.to), what, (self.priority)(), self.pace.clone());
        let key = (self.to.clone(), blob.digest.clone());
        let first = {
            let mut claimed = self.claimed.lock().unwrap_or_else(PoisonError::into_inner);
            *claimed.entry(key).or_insert(self.place)
        };
        if first == self.place {
            (self.claim)(&blob.digest, ticket.progress.clone());
        }
        ticket.wait().await.inspect_err(|_| self.walk.is_final.store(true, Ordering::Relaxed))
    }

    /// The children of an index that are carried; the others are gaps.
    fn children<'b>(&self, manifest: &'b Manifest) -> Vec<&'b Descriptor> {
        let (kept, left) = chosen(manifest, self.platforms);
        let mut gaps = self.gaps.lock().unwrap_or_else(PoisonError::into_inner);
        for platform in left.into_iter().filter_map(|d| d.platform.clone()) {
            if !gaps.contains(&platform) {
                gaps.push(platform);
            }
        }
        kept
    }

    /// The manifest and its carried children.
    fn carried(&self, manifest: &Manifest) -> Vec<Digest> {
        let (kept, _) = chosen(manifest, self.platforms);
        std::iter::once(&manifest.digest).chain(kept.iter().map(|d| &d.digest)).cloned().collect()
    }

    /// Brings what is said about a manifest and its children, and what is said about that in turn.
    async fn referrers(&self, root: &Manifest) -> Outcome<()> {
        let mut about = self.carried(root);
        let mut known: BTreeSet<Digest> = about.iter().cloned().collect();
        let (mut is_there, mut gone) = (self.walk.has_arrived(), Vec::new());
        self.walk.count.store(0, Ordering::Relaxed);
        while let Some(subject) = about.pop() {
            self.call().await;
            let mut said = self.pool.ends.source.referrers(self.from, &subject).await?;
            // Nothing is said about what is not there yet.
            if !said.is_empty() && !is_there {
                let reference = Reference::Digest(root.digest.clone());
                self.call().await;
                if self.pool.ends.target.head(self.to, &reference).await?.is_none() {
                    self.put(&reference, root).await?;
                }
                is_there = true;
            }
            for referrer in &said {
                if known.len() >= REFERRERS_MAX {
                    return Err(Fault::new(Kind::Refused, format!("more than {REFERRERS_MAX} referrers")));
                }
                if known.insert(referrer.digest.clone()) {
                    match self.child(&referrer.digest, 1).await {
                        Ok(()) => about.push(referrer.digest.clone()),
                        // A list may name what was deleted.
                        Err(fault) if fault.kind == Kind::NotFound => gone.push(referrer.digest.clone()),
                        Err(fault) => return Err(fault),
                    }
                }
            }
            said.retain(|referrer| !gone.contains(&referrer.digest));
            if !said.is_empty() {
                self.list(&subject, &said).await?;
            }
        }
        Ok(())
    }

    /// Sees to it that the target lists these referrers: by itself, or by the tag that stands for the list.
    async fn list(&self, subject: &Digest, said: &[Descriptor]) -> Outcome<()> {
        let ends = &self.pool.ends;
        self.call().await;
        let listed = ends.target.referrers(self.to, subject).await?;
        let is_missing = |d: &&Descriptor| !listed.iter().any(|l| l.digest == d.digest);
        if !said.iter().any(|d| is_missing(&d)) {
            return Ok(());
        }
        let Some(tag) = subject.referrers_tag().map(Reference::Tag) else { return Ok(()) };
        self.call().await;
        if ends.source.head(self.from, &tag).await?.is_some() {
            self.call().await;
            let list = ends.source.manifest(self.from, &tag).await?;
            let all_there = list.manifests.iter().all(|d| said.iter().any(|s| s.digest == d.digest));
            // What only the target lists stays listed.
            let keeps = listed.iter().all(|l| list.manifests.iter().any(|d| d.digest == l.digest));
            if all_there && keeps {
                return self.put(&tag, &list).await;
            }
        }
        let all: Vec<&Descriptor> = listed.iter().chain(said.iter().filter(is_missing)).collect();
        let list = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": all });
        let list = Manifest::read(INDEX, list.to_string().into_bytes())?;
        self.put(&tag, &list).await
    }
}

/// The children of an index for these platforms, and the others. What attests of a child goes with it.
pub fn chosen<'a>(
    manifest: &'a Manifest,
    platforms: &[Platform],
) -> (Vec<&'a Descriptor>, Vec<&'a Descriptor>) {
    let is_wanted = |of: &Platform| {
        platforms.iter().any(|p| {
            let variant = p.variant.is_none() || p.variant == of.variant;
            p.os == of.os && p.architecture == of.architecture && variant
        })
    };
    let plain = |d: &Descriptor| d.platform.as_ref().is_none_or(is_wanted);
    let keep = |d: &&Descriptor| {
        let subject = d.annotations.get(ATTESTS);
        let of = subject.and_then(|s| manifest.manifests.iter().find(|m| m.digest.as_str() == s));
        platforms.is_empty() || of.map_or_else(|| plain(d), plain)
    };
    manifest.manifests.iter().partition(keep)
}
