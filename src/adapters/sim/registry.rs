//! A simulated image registry: in memory, on tokio's time, with faults that can be set, as truthful as a real one.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Instant, sleep, sleep_until};

use crate::base::fault::{Fault, Kind, Outcome};
use crate::model::oci::{Descriptor, Digest, Manifest, Reference, Repository, Tag};

/// The calls of the port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "each is called like the port's function")]
pub enum RegistryCall {
    Facts,
    Repositories,
    Tags,
    Head,
    Manifest,
    Referrers,
    May,
    HasBlob,
    ReadBlob,
    Mount,
    WriteBlob,
    PutManifest,
    DeleteTag,
    DeleteManifest,
}

/// What is wrong with a simulated registry, or what it never could. All may be changed at any time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RegistryTrouble {
    /// Nothing reaches it.
    pub unreachable: bool,
    /// So many requests from now on are answered with 500.
    pub fail_next: u32,
    /// So many requests from now on are answered with 429.
    pub limit_next: u32,
    /// So many reads of a blob from now on break off in the middle.
    pub cut_reads: u32,
    /// It gives no blobs of so many bytes or more.
    pub mute_blobs: Option<usize>,
    /// So many reads of a blob from now on have one bit wrong.
    pub flip_reads: u32,
    /// So many uploads from now on break off in the middle.
    pub cut_writes: u32,
    /// Uploads are refused for want of space.
    pub full: bool,
    /// Reads of a blob begin at its first byte whatever was asked for.
    pub no_range: bool,
    /// It does not mount.
    pub no_mount: bool,
    /// It does not list its repositories.
    pub no_catalogue: bool,
    /// It removes nothing.
    pub no_delete: bool,
    /// It removes whole manifests only, with all of their tags.
    pub whole_only: bool,
    /// It keeps no list of referrers: the tag that stands for it is all there is.
    pub no_referrers: bool,
    /// It does not answer what refers to an image.
    pub mute_referrers: bool,
    /// It takes an index although some of its manifests are absent.
    pub takes_gaps: bool,
    /// It lists no tags: the list breaks off with a fault after the first page.
    pub cut_lists: bool,
    /// It takes no writes from us.
    pub read_only: bool,
}

/// How quick a simulated registry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RegistryPace {
    /// From a request to its answer.
    pub latency_ms: u64,
    /// Bytes of blobs a second, in and out together; none is no limit.
    pub bytes_per_s: Option<u64>,
    /// Names on a page of a list.
    pub page: usize,
}

impl Default for RegistryPace {
    fn default() -> RegistryPace {
        RegistryPace { latency_ms: 0, bytes_per_s: None, page: 100 }
    }
}

/// What was asked of a simulated registry so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RegistryCounts {
    /// Requests by kind.
    pub calls: BTreeMap<RegistryCall, u64>,
    /// Bytes of blobs that were sent out.
    pub bytes_out: u64,
    /// Bytes of blobs that came in, also of uploads that broke off.
    pub bytes_in: u64,
    /// How often each blob was uploaded to its end.
    pub uploads: BTreeMap<Digest, u64>,
    /// Requests under way at once, at most.
    pub at_once: u64,
}

impl RegistryCounts {
    /// Requests of one kind.
    pub fn of(&self, call: RegistryCall) -> u64 {
        self.calls.get(&call).copied().unwrap_or(0)
    }

    /// All requests.
    pub fn total(&self) -> u64 {
        self.calls.values().sum()
    }
}

#[derive(Default)]
pub(super) struct Held {
    pub tags: BTreeMap<Tag, Digest>,
    pub manifests: BTreeMap<Digest, Manifest>,
    pub blobs: BTreeSet<Digest>,
}

#[derive(Default)]
pub(super) struct RegistryState {
    pub repositories: BTreeMap<Repository, Held>,
    pub blobs: BTreeMap<Digest, Bytes>,
    pub trouble: RegistryTrouble,
    pub pace: RegistryPace,
    pub counts: RegistryCounts,
    under_way: u64,
    busy_until: Option<Instant>,
}

/// A registry that exists in memory only. Clones are the same registry.
#[derive(Clone)]
pub struct SimRegistry {
    pub(super) name: Arc<str>,
    state: Arc<Mutex<RegistryState>>,
}

impl std::fmt::Debug for SimRegistry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SimRegistry({})", self.name)
    }
}

/// One request under way; ends when it is dropped.
pub(super) struct UnderWay(SimRegistry);

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.state().under_way -= 1;
    }
}

impl SimRegistry {
    /// An empty registry, which calls itself this in faults.
    pub fn new(name: &str) -> SimRegistry {
        SimRegistry { name: name.into(), state: Arc::default() }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, RegistryState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes what is wrong with it.
    pub fn trouble(&self, change: impl FnOnce(&mut RegistryTrouble)) {
        change(&mut self.state().trouble);
    }

    /// Makes it this quick.
    pub fn pace(&self, pace: RegistryPace) {
        self.state().pace = pace;
    }

    /// What was asked of it so far.
    pub fn counts(&self) -> RegistryCounts {
        self.state().counts.clone()
    }

    /// Counts anew from now on.
    pub fn forget_counts(&self) {
        self.state().counts = RegistryCounts::default();
    }

    /// Every tag with what it points to.
    pub fn all_tags(&self) -> BTreeMap<(Repository, Tag), Digest> {
        let state = self.state();
        let of = |(r, held): (&Repository, &Held)| {
            held.tags.iter().map(|(t, d)| ((r.clone(), t.clone()), d.clone())).collect::<Vec<_>>()
        };
        state.repositories.iter().flat_map(of).collect()
    }

    /// What is absent although a tag needs it: empty in a registry that is whole. An index's manifests count only where
    /// `gaps` is false.
    pub fn missing(&self, gaps: bool) -> Vec<(Repository, Digest)> {
        let state = self.state();
        let mut out = Vec::new();
        for (repository, held) in &state.repositories {
            let mut next: Vec<&Digest> = held.tags.values().collect();
            while let Some(digest) = next.pop() {
                let Some(manifest) = held.manifests.get(digest) else {
                    out.push((repository.clone(), digest.clone()));
                    continue;
                };
                let kept = |d: &&Descriptor| !gaps || held.manifests.contains_key(&d.digest);
                next.extend(manifest.manifests.iter().filter(kept).map(|d| &d.digest));
                let absent =
                    |d: &&Descriptor| !held.blobs.contains(&d.digest) || !state.blobs.contains_key(&d.digest);
                out.extend(
                    manifest.blobs.iter().filter(absent).map(|d| (repository.clone(), d.digest.clone())),
                );
            }
        }
        out
    }

    /// Begins a request: counted, delayed, and refused as its troubles have it.
    pub(super) async fn request(&self, call: RegistryCall) -> Outcome<UnderWay> {
        let latency = {
            let mut state = self.state();
            *state.counts.calls.entry(call).or_default() += 1;
            state.under_way += 1;
            state.counts.at_once = state.counts.at_once.max(state.under_way);
            state.pace.latency_ms
        };
        let under_way = UnderWay(self.clone());
        if latency > 0 {
            sleep(Duration::from_millis(latency)).await;
        }
        let mut state = self.state();
        let trouble = &mut state.trouble;
        if trouble.unreachable {
            return Err(self.gone());
        }
        if trouble.fail_next > 0 {
            trouble.fail_next -= 1;
            return Err(Fault::new(Kind::Unreachable, format!("{}: 500 Internal Server Error", self.name)));
        }
        if trouble.limit_next > 0 {
            trouble.limit_next -= 1;
            return Err(Fault::new(Kind::Exhausted, format!("{}: 429 TOOMANYREQUESTS", self.name)));
        }
        drop(state);
        Ok(under_way)
    }

    /// Waits as long as these bytes take on the registry's one line, and fails when it is gone.
    pub(super) async fn carry(&self, bytes: usize) -> Outcome<()> {
        let until = {
            let mut state = self.state();
            state.pace.bytes_per_s.map(|rate| {
                let now = Instant::now();
                let begin = state.busy_until.map_or(now, |at| at.max(now));
                let length = Duration::from_micros(bytes as u64 * 1_000_000 / rate.max(1));
                state.busy_until = Some(begin + length);
                begin + length
            })
        };
        if let Some(until) = until {
            sleep_until(until).await;
        }
        if self.state().trouble.unreachable { Err(self.gone()) } else { Ok(()) }
    }

    pub(super) fn gone(&self) -> Fault {
        Fault::new(Kind::Unreachable, format!("{}: connection refused", self.name))
            .hint("the simulated registry is cut off")
    }

    pub(super) fn refused(&self, why: &str) -> Fault {
        Fault::new(Kind::Refused, format!("{}: {why}", self.name))
    }

    pub(super) fn absent(&self, what: &str) -> Fault {
        Fault::new(Kind::NotFound, format!("{}: {what}", self.name))
    }
}

impl RegistryState {
    /// What a reference points to.
    pub(super) fn resolve(&self, of: &Repository, reference: &Reference) -> Option<&Manifest> {
        let held = self.repositories.get(of)?;
        let digest = match reference {
            Reference::Tag(tag) => held.tags.get(tag)?,
            Reference::Digest(digest) => digest,
        };
        held.manifests.get(digest)
    }

    /// Stores a manifest under a reference, if all that it needs is there.
    pub(super) fn store(
        &mut self,
        name: &str,
        to: &Repository,
        reference: &Reference,
        manifest: &Manifest,
    ) -> Outcome<()> {
        if let Reference::Digest(digest) = reference
            && digest != &manifest.digest
        {
            return Err(Fault::new(Kind::Invalid, format!("{name}: DIGEST_INVALID")));
        }
        let takes_gaps = self.trouble.takes_gaps;
        let held = self.repositories.entry(to.clone()).or_default();
        let blob = manifest.blobs.iter().find(|d| !held.blobs.contains(&d.digest));
        let child = manifest
            .manifests
            .iter()
            .find(|d| !takes_gaps && !held.manifests.contains_key(&d.digest))
            .map(|d| &d.digest);
        if let Some(digest) = blob.map(|d| &d.digest).or(child) {
            let text = format!("{name}: MANIFEST_BLOB_UNKNOWN: {digest} is not in {to}");
            return Err(Fault::new(Kind::Conflict, text));
        }
        held.manifests.insert(manifest.digest.clone(), manifest.clone());
        if let Reference::Tag(tag) = reference {
            held.tags.insert(tag.clone(), manifest.digest.clone());
        }
        Ok(())
    }
}
