//! What is proposed to be deleted, and what a comparison of every tag and blob has found.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::base::clock::Millis;
use crate::base::ids::{RegistryName, RuleName};
use crate::base::text::Untrusted;
use crate::model::oci::{Digest, Repository, Tag};
use crate::model::replication::known::Side;
use crate::model::replication::{Line, RunId};

/// How a deletion is done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum How {
    /// The tag alone.
    Tag,
    /// The manifest, and with it these tags, which are all proposed to go.
    Manifest(BTreeSet<Tag>),
}

/// One proposal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeleteItem {
    /// The repository, as the source calls it.
    pub repository: Repository,
    /// The tag.
    pub tag: Tag,
    /// Where it goes.
    pub at: Side,
    /// What it points to there; if it points elsewhere by then, it stays.
    pub digest: Digest,
    /// Since when the other side does not have it.
    pub gone_since: Millis,
    /// How it is done.
    pub how: How,
}

impl DeleteItem {
    /// True for the same tag on the same side.
    pub fn is_same_tag(&self, other: &DeleteItem) -> bool {
        (&self.repository, &self.tag, self.at) == (&other.repository, &other.tag, other.at)
    }

    /// The same as what is not proposed, for this reason.
    pub fn held(&self, why: &str) -> Held {
        let (repository, tag) = (self.repository.clone(), self.tag.clone());
        Held { repository, tag, at: self.at, why: why.to_owned() }
    }
}

/// What is not proposed, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// The repository, as the source calls it.
    pub repository: Repository,
    /// The tag.
    pub tag: Tag,
    /// Where it stays.
    pub at: Side,
    /// Why, in words.
    pub why: String,
}

/// What a person is asked to say yes to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeletePlan {
    /// What would go.
    pub items: Vec<DeleteItem>,
    /// What stays, with the reasons.
    pub held: Vec<Held>,
}

/// Deletions of a line that wait for a yes, and those that are being carried out. Durable.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Review {
    /// The rule.
    pub rule: RuleName,
    /// From the rule's source to its target.
    pub line: Line,
    /// The run that found them.
    pub run: RunId,
    /// When.
    pub at: Millis,
    /// What would go, and what stays although one side does not have it any more.
    pub plan: DeletePlan,
    /// What somebody said yes to, and is not done yet.
    #[serde(default)]
    pub going: Vec<Going>,
}

/// A deletion that somebody said yes to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Going {
    /// What goes.
    pub item: DeleteItem,
    /// Who said so.
    pub by: String,
}

/// What a comparison of every tag, manifest and blob of a rule has found. Durable.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// The rule.
    pub rule: RuleName,
    /// When it began.
    pub at: Millis,
    /// How long it took, in milliseconds.
    pub took_ms: u64,
    /// Blobs were read to their end, not only asked for.
    pub read: bool,
    /// Tags that were compared.
    pub tags: u32,
    /// Of these, those that both ends have alike.
    pub same: u32,
    /// Those that somebody has to choose about.
    pub conflicts: u32,
    /// Those that only one end has and that are not to be copied.
    pub extra: u32,
    /// What each registry holds of it.
    pub ends: Vec<EndReport>,
    /// What is not as it should be, one sentence each, at most [`FINDINGS_MAX`].
    pub findings: Vec<Untrusted>,
    /// How many findings there are in all.
    pub found: u32,
}

/// The most findings that a report names.
pub const FINDINGS_MAX: usize = 200;

impl Report {
    /// Every tag is the same on both ends, and everything that they need is there.
    pub fn is_whole(&self) -> bool {
        self.found == 0
    }
}

/// What one registry holds of what a rule wants.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndReport {
    /// Which.
    pub registry: RegistryName,
    /// Manifests that were read and have their digest.
    pub manifests: u32,
    /// Blobs that are there with the length that the manifests name.
    pub blobs: u32,
    /// Their bytes.
    pub bytes: u64,
}
