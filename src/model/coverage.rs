//! How far an image is where it is needed: which hosts have it, what the others have to pull, over which lines.

use serde::{Deserialize, Serialize};

use crate::base::ids::{HostId, PoolId, RegistryName, SiteName};
use crate::model::prewarm::Weight;

/// Whether a host has an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Holds {
    /// It has it.
    Yes,
    /// It has another image under that name.
    Other,
    /// It has not.
    No,
    /// Its images are not listed yet, or it does not answer.
    Unknown,
}

impl Holds {
    /// In one word.
    pub fn word(self) -> &'static str {
        match self {
            Holds::Yes => "held",
            Holds::Other => "another",
            Holds::No => "missing",
            Holds::Unknown => "not known",
        }
    }
}

/// One host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostHolds {
    /// Which.
    pub host: HostId,
    /// Its site.
    pub site: Option<SiteName>,
    /// Whether it has the image, as it was listed last.
    pub holds: Holds,
}

/// The hosts of one site.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SiteHolds {
    /// Which.
    pub site: Option<SiteName>,
    /// Hosts there that are meant.
    pub hosts: u32,
    /// Of these, those that have to pull.
    pub lack: u32,
    /// What they pull from: the name of the site's own registry, or of the one in the image's name.
    pub from: String,
    /// The site's own registry has it; `None` when there is none or it cannot be asked.
    pub has: Option<bool>,
    /// Why it cannot be asked.
    pub why: Option<String>,
    /// The line that the image comes over, under the name that people use; none where the source stands.
    pub line: Option<String>,
    /// How long it takes, from pulls that were measured there; `None` when none was.
    pub eta_ms: Option<u64>,
}

/// How far an image is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Coverage {
    /// The image.
    pub image: String,
    /// The pool that it is for.
    pub pool: Option<PoolId>,
    /// What its registry says of it.
    pub weight: Option<Weight>,
    /// Why that is not known.
    pub unweighed: Option<String>,
    /// The hosts that are meant.
    pub hosts: Vec<HostHolds>,
    /// Hosts that are left out although they seem to be meant, each with the reason.
    #[serde(default)]
    pub left_out: Vec<(HostId, String)>,
    /// The same by site.
    pub sites: Vec<SiteHolds>,
    /// Until all of them have it, from pulls that were measured; `None` when some were not.
    pub eta_ms: Option<u64>,
    /// What to know before so much is pulled.
    pub warnings: Vec<String>,
}

impl Coverage {
    /// How many of the hosts stand so.
    pub fn count(&self, holds: Holds) -> u32 {
        u32::try_from(self.hosts.iter().filter(|h| h.holds == holds).count()).unwrap_or(u32::MAX)
    }

    /// Hosts that have to pull.
    pub fn lack(&self) -> u32 {
        self.count(Holds::No) + self.count(Holds::Other)
    }

    /// Bytes to transfer for a host that has none of its layers.
    pub fn bytes(&self) -> Option<u64> {
        self.weight.as_ref().map(Weight::bytes)
    }
}

/// What is asked of the estimator. What is not given is looked up; what cannot be, is asked for by name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct EstimateAsk {
    /// The image.
    pub image: Option<String>,
    /// The pool whose hosts (and image, if none is named) are meant.
    pub pool: Option<PoolId>,
    /// So many hosts at these sites, instead of those that lack it now.
    pub hosts: Vec<(SiteName, u32)>,
    /// Bytes as they are transferred.
    pub size: Option<u64>,
    /// What the line to a site, or to all others, carries in bits a second.
    pub lines: Vec<(Option<SiteName>, u64)>,
    /// What the source can send.
    pub uplink: Option<u64>,
    /// What a host's card can do.
    pub card: Option<u64>,
    /// What a site's own registry can send; `None` for a site without one.
    pub registries: Vec<(Option<SiteName>, Option<u64>)>,
    /// Hosts of one site that pull at a time; 0 lets all.
    pub parallel: u32,
    /// What hosts have of it already, in per cent.
    pub present_percent: u8,
    /// Hosts may give it to each other.
    pub peers: bool,
}

/// The name that stands for a registry of which only the address is known.
pub fn source_name(registry: Option<&RegistryName>) -> String {
    registry.map_or_else(|| "source".to_owned(), ToString::to_string)
}

/// The reference by which an engine lists an image: with its tag, and without Docker's own registry.
pub fn listed_as(image: &str) -> String {
    let image = image.strip_prefix("docker.io/").unwrap_or(image);
    let image = image.strip_prefix("library/").unwrap_or(image);
    let last = image.rsplit('/').next().unwrap_or(image);
    if last.contains(':') || image.contains('@') { image.to_owned() } else { format!("{image}:latest") }
}
