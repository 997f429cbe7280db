//! Prewarming: an image is brought onto hosts before it is needed there, and proved on each of them by its digest.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::base::clock::Millis;
use crate::base::ids::{HostId, OpId, PoolId, RegistryName, SiteName};
use crate::base::text::Untrusted;
use crate::model::oci::Digest;

/// How far a pull is, in what the engine has told of it so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PullProgress {
    /// Thousandths of the bytes that are known so far; 1000 only at the end.
    pub thousandths: u16,
    /// Bytes that have arrived.
    pub bytes: u64,
    /// Bytes of the layers that are known so far.
    pub of: u64,
    /// Layers that have arrived.
    pub layers: u32,
    /// Layers that are known so far.
    pub of_layers: u32,
}

/// An image that is on a host, as its engine describes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldImage {
    /// The digest of its configuration: what the engine calls it.
    pub id: Untrusted,
    /// `REPOSITORY@DIGEST` for each registry that it was pulled from; empty when it was built or loaded there.
    pub digests: Vec<Untrusted>,
    /// Bytes on disk, unpacked.
    pub size: u64,
}

/// What a registry says of an image: what it is, and how much of it goes over a line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Weight {
    /// What the reference points to there.
    pub digest: Digest,
    /// The ids of its configurations, one a platform.
    pub ids: Vec<Digest>,
    /// Bytes of the layers of the largest of its platforms, as they are transferred.
    pub layers: Vec<u64>,
    /// The registry that said so, under the name that people gave it.
    pub registry: RegistryName,
}

impl Weight {
    /// Bytes to transfer for a host that has none of it.
    pub fn bytes(&self) -> u64 {
        self.layers.iter().fold(0, |sum, layer| sum.saturating_add(*layer))
    }
}

impl Prewarm {
    /// Whether what a host has under the name is the image; without a known digest all that bears the name is.
    pub fn is_it(&self, held: &HeldImage) -> bool {
        match &self.digest {
            Some(digest) => held.is(digest) || self.ids.iter().any(|id| id.as_str() == held.id.raw()),
            None => true,
        }
    }
}

impl HeldImage {
    /// The digests under which registries gave it, without their repositories.
    pub fn sums(&self) -> impl Iterator<Item = Digest> {
        self.digests.iter().filter_map(|d| d.raw().rsplit_once('@')?.1.parse().ok())
    }

    /// True when a registry gave it under this digest.
    pub fn is(&self, digest: &Digest) -> bool {
        self.sums().any(|sum| sum == *digest)
    }
}

/// What somebody asks for: an image, and the hosts onto which it is to come.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PrewarmAsk {
    /// The image as a pool names it; `None` for the one that the pool wants.
    pub image: Option<String>,
    /// The hosts where this pool may be placed.
    pub pool: Option<PoolId>,
    /// Only these hosts, or (without a pool) these.
    pub hosts: Vec<HostId>,
    /// Only hosts of these sites, or (without a pool) those.
    pub sites: Vec<SiteName>,
    /// Pulls at a time at each site; `None` for [`PULLS_A_SITE`].
    pub limit: Option<u32>,
    /// Bytes a second at each site, on the average: pulls begin so far apart.
    pub rate: Option<u64>,
    /// The image's bytes as they are transferred, where its registry cannot be asked.
    pub size: Option<u64>,
    /// Hosts may give it to each other through this engine, where that is faster.
    pub from_peers: bool,
}

/// Pulls at a time at each site when nobody says otherwise: a site's line is shared with those who work.
pub const PULLS_A_SITE: u32 = 4;

/// A prewarm as it was accepted, durable as a part of its operation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Prewarm {
    /// The image as a pool names it.
    pub image: String,
    /// The hosts onto which it is to come.
    pub hosts: Vec<HostId>,
    /// Pulls at a time at each site.
    pub limit: u32,
    /// Bytes a second at each site, on the average.
    #[serde(default)]
    pub rate: Option<u64>,
    /// Bytes to transfer for a host that has none of its layers: as its registry, or whoever asked, has said.
    #[serde(default)]
    pub size: Option<u64>,
    /// Hosts may give it to each other through this engine, where that is faster.
    #[serde(default)]
    pub from_peers: bool,
    /// What it has to be on every host: asked from its registry once, as it begins.
    #[serde(default)]
    pub digest: Option<Digest>,
    /// The ids of its configurations, one a platform: what an engine calls it that got it without a registry's digest.
    #[serde(default)]
    pub ids: Vec<Digest>,
    /// Its registry was asked for all that.
    #[serde(default)]
    pub asked: bool,
    /// Why it has not told the digest.
    #[serde(default)]
    pub unproved: Option<String>,
}

/// How a host came to have the image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Came {
    /// It was there.
    WasThere,
    /// The host pulled it under this reference.
    Pulled(String),
    /// This host gave it, through our engine.
    From(HostId),
}

/// That a host has the image, as its engine said after it came.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proof {
    /// The image's own id there.
    pub id: Untrusted,
    /// The digest under which a registry gave it; none for one that was handed over or built: its id is the proof then.
    pub digest: Option<Digest>,
    /// How it came.
    pub came: Came,
    /// How long that took, in milliseconds.
    pub ms: u64,
    /// Bytes that came for it, as they were transferred; 0 when it was there, or its engine did not tell.
    #[serde(default)]
    pub bytes: u64,
}

/// How a host of a prewarm stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WarmState {
    /// It waits; the sentence says for what.
    Waiting(String),
    /// The image is on its way: from whom, and how far it is once that is known.
    Coming {
        /// The host that gives it; `None` for a registry.
        from: Option<HostId>,
        /// How far it is.
        progress: Option<PullProgress>,
    },
    /// It has it.
    Held(Proof),
    /// It could not be brought there.
    Failed(String),
}

impl WarmState {
    /// The state in one word.
    pub fn word(&self) -> &'static str {
        match self {
            WarmState::Waiting(_) => "waiting",
            WarmState::Coming { from: None, .. } => "pulling",
            WarmState::Coming { .. } => "receiving",
            WarmState::Held(_) => "held",
            WarmState::Failed(_) => "failed",
        }
    }

    /// True when nothing more happens there.
    pub fn is_over(&self) -> bool {
        matches!(self, WarmState::Held(_) | WarmState::Failed(_))
    }
}

/// One host of a prewarm.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostWarm {
    /// Its site.
    pub site: Option<SiteName>,
    /// How it stands.
    pub state: WarmState,
    /// Attempts that have failed.
    pub tries: u32,
    /// Why the last of them did.
    pub why: Option<String>,
    /// Not tried again before this time.
    pub retry_at: Option<Millis>,
    /// It does not answer since then.
    pub silent: Option<Millis>,
}

impl HostWarm {
    /// A host of which nothing is known yet.
    pub fn new(site: Option<SiteName>) -> HostWarm {
        let state = WarmState::Waiting("its turn has not come".to_owned());
        HostWarm { site, state, tries: 0, why: None, retry_at: None, silent: None }
    }
}

/// A prewarm as it stands: every host of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PrewarmView {
    /// Its operation.
    pub op: OpId,
    /// The image.
    pub image: String,
    /// What it has to be on every host; `None` while or because that is not known.
    pub digest: Option<Digest>,
    /// Why that is not known.
    pub unproved: Option<String>,
    /// Bytes to transfer for a host that has none of it.
    pub size: Option<u64>,
    /// Its hosts.
    pub hosts: BTreeMap<HostId, HostWarm>,
}

/// Hosts of a prewarm by how they stand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WarmCounts {
    /// They wait.
    pub waiting: u32,
    /// It is on its way to them.
    pub coming: u32,
    /// They have it.
    pub held: u32,
    /// It could not be brought to them.
    pub failed: u32,
}

impl PrewarmView {
    /// The hosts by how they stand.
    pub fn counts(&self) -> WarmCounts {
        let mut counts = WarmCounts::default();
        for host in self.hosts.values() {
            let count = match host.state {
                WarmState::Waiting(_) => &mut counts.waiting,
                WarmState::Coming { .. } => &mut counts.coming,
                WarmState::Held(_) => &mut counts.held,
                WarmState::Failed(_) => &mut counts.failed,
            };
            *count += 1;
        }
        counts
    }

    /// The image's ids and digests on the hosts that have it: more than one means that they do not have the same.
    pub fn different(&self) -> BTreeSet<String> {
        let held = self.hosts.values().filter_map(|h| match &h.state {
            WarmState::Held(proof) => Some(proof.id.raw().to_owned()),
            _ => None,
        });
        held.collect()
    }
}
