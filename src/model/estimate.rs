//! An estimate of how an image comes to many hosts: the question, and the answer with its arithmetic.

use serde::{Deserialize, Serialize};

use crate::base::ids::{RegistryName, SiteName};

/// What is to be estimated. Bandwidths are in bits a second.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Question {
    /// The image's layers as they are transferred, in bytes; its whole length is one layer.
    pub layers: Vec<u64>,
    /// What hosts have of it already, in per cent.
    #[serde(default)]
    pub present_percent: u8,
    /// The registry that has it.
    pub source: RegistryName,
    /// What that registry can send.
    pub uplink: u64,
    /// What the card of a host can do, each way.
    pub card: u64,
    /// Hosts of one site that pull at a time; 0 lets all.
    #[serde(default)]
    pub parallel: u32,
    /// Hosts may give it to each other.
    #[serde(default)]
    pub peers: bool,
    /// Where it has to go.
    pub sites: Vec<SiteQuestion>,
}

/// One site.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SiteQuestion {
    /// Its name.
    pub site: SiteName,
    /// Its hosts that need the image.
    pub hosts: u32,
    /// Its line to the source, under the name that people use, and what it can carry (its budget, if it has one); none where the
    /// source stands.
    #[serde(default)]
    pub line: Option<(String, u64)>,
    /// What a registry of its own can send; none where it has none.
    #[serde(default)]
    pub registry: Option<u64>,
}

/// A way to bring the image there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Way {
    /// Each host pulls from the source.
    Star,
    /// Each site's registry pulls from the source, and its hosts from it.
    Tree,
    /// One host of each site pulls from the source, and hosts give it on.
    Peers,
}

impl Way {
    /// The word for it.
    pub fn noun(self) -> &'static str {
        match self {
            Way::Star => "star",
            Way::Tree => "tree",
            Way::Peers => "peers",
        }
    }
}

/// What a line carries.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LineLoad {
    /// The line.
    pub line: String,
    /// Bytes over it.
    pub bytes: u64,
    /// For so long it is full, in milliseconds.
    pub full_ms: u64,
}

/// What a registry has to bear at most.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Peak {
    /// The source, or a site whose own registry it is.
    pub at: String,
    /// Pulls at a time.
    pub pulls: u64,
    /// Bits a second that they can take together, up to its uplink.
    pub bits_per_s: u64,
}

/// One way, worked out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Estimate {
    /// Which.
    pub way: Way,
    /// Until the last host has it, in milliseconds.
    pub ms: u64,
    /// What the lines carry.
    pub lines: Vec<LineLoad>,
    /// What the registries bear.
    pub peaks: Vec<Peak>,
    /// The arithmetic, a sentence a line.
    pub steps: Vec<String>,
}

/// The answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// The ways that there are; the star is always the first.
    pub ways: Vec<Estimate>,
    /// The way to take.
    pub best: Way,
    /// Which one and why.
    pub advice: String,
    /// Lines that a star would fill for long.
    pub warnings: Vec<String>,
}

impl Question {
    /// Bytes that each host lacks.
    pub fn lacking(&self) -> u64 {
        let whole: u128 = self.layers.iter().map(|l| u128::from(*l)).sum();
        u64::try_from(whole * u128::from(100 - self.present_percent.min(100)) / 100).unwrap_or(u64::MAX)
    }

    /// Hosts of a site that pull at a time.
    pub fn at_a_time(&self, hosts: u32) -> u32 {
        if self.parallel == 0 { hosts } else { hosts.min(self.parallel) }
    }
}
