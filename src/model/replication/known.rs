//! What is remembered of tags between two registries, the conflicts that wait for somebody, and the answers to them.

use serde::{Deserialize, Serialize};

use crate::base::clock::Millis;
use crate::base::ids::RuleName;
use crate::base::text::Untrusted;
use crate::model::oci::{Digest, Repository, Tag};
use crate::model::replication::Line;

/// One end of a rule's line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Side {
    /// The rule's source.
    Source,
    /// The rule's target.
    Target,
}

impl Side {
    /// The other end.
    #[must_use]
    pub fn other(self) -> Side {
        match self {
            Side::Source => Side::Target,
            Side::Target => Side::Source,
        }
    }

    /// What people call it.
    pub fn noun(self) -> &'static str {
        match self {
            Side::Source => "source",
            Side::Target => "target",
        }
    }
}

/// What is remembered of one tag on one line, durable.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Known {
    /// What both sides last had in common.
    pub last: Option<Digest>,
    /// What we are about to write, kept **before** it is written: whatever became of it, it is no change of others.
    pub intent: Option<Intent>,
    /// What was deleted on both sides last.
    pub tombstone: Option<Tombstone>,
    /// One side does not have it any more, and the other one still has what both had: first seen then.
    pub gone_since: Option<Millis>,
}

/// A tag that is being written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Intent {
    /// Where.
    pub to: Side,
    /// What it is to point to.
    pub digest: Digest,
}

/// A tag that is gone on both sides.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tombstone {
    /// What it pointed to.
    pub digest: Digest,
    /// When that was noticed.
    pub at: Millis,
}

/// A way out of a conflict.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Choice {
    /// Both sides get what the source has; where it has nothing, the tag is deleted at the target.
    SourceWins,
    /// The same the other way round.
    TargetWins,
    /// The tag gets what the source has; what the target has stays, on both sides, under a tag of its own.
    KeepBoth,
}

/// What somebody chose, and what they had before their eyes then.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// The choice.
    pub choice: Choice,
    /// What the source had.
    pub source: Option<Digest>,
    /// What the target had.
    pub target: Option<Digest>,
}

/// A tag that was changed on both sides: nothing is done to it until somebody chooses.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Conflict {
    /// The rule that joins the two.
    pub rule: RuleName,
    /// From the rule's source to its target.
    pub line: Line,
    /// The repository, as the source calls it.
    pub repository: Repository,
    /// The tag.
    pub tag: Tag,
    /// What the source has.
    pub source: Option<Digest>,
    /// What the target has.
    pub target: Option<Digest>,
    /// What both had before.
    pub before: Option<Digest>,
    /// What is in conflict, in words.
    pub why: String,
    /// It was first seen then.
    pub since: Millis,
    /// What somebody chose, while that is being carried out.
    #[serde(default)]
    pub answered: Option<Answered>,
    /// Why what was chosen could not be carried out.
    #[serde(default)]
    pub trouble: Option<Untrusted>,
}

/// A choice that was accepted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answered {
    /// The choice, and what it was made for.
    pub answer: Answer,
    /// Who chose.
    pub by: String,
    /// When.
    pub at: Millis,
}
