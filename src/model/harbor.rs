//! What only Harbor has: its parts and their health, projects with numbers and quotas, and what it knows of artifacts.
//!
//! Words that Harbor uses and we do not know are kept as they are and shown so; they never turn into a word of ours.

pub mod access;
pub mod ask;
pub mod runs;
pub mod view;

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::base::clock::Millis;
use crate::base::fault::Outcome;
use crate::base::ids::ProjectName;
use crate::base::text::Untrusted;

/// Whether something is well, in Harbor's words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Wellness {
    /// `healthy`.
    Well,
    /// `unhealthy`.
    Sick,
    /// Anything else that it says, an empty text included.
    Other(Untrusted),
}

impl Wellness {
    /// From Harbor's word.
    pub fn of(word: &str) -> Wellness {
        match word {
            "healthy" => Wellness::Well,
            "unhealthy" => Wellness::Sick,
            other => Wellness::Other(other.into()),
        }
    }
}

impl fmt::Display for Wellness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Wellness::Well => f.pad("healthy"),
            Wellness::Sick => f.pad("unhealthy"),
            Wellness::Other(word) => show(f, word),
        }
    }
}

/// A word of Harbor's that we do not know; an empty one has to be seen as well.
fn show(f: &mut fmt::Formatter<'_>, word: &Untrusted) -> fmt::Result {
    if word.raw().is_empty() { f.pad("(not said)") } else { fmt::Display::fmt(word, f) }
}

/// One of Harbor's parts: `core`, `database`, `jobservice`, `registry` …
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Component {
    /// Its name.
    pub name: Untrusted,
    /// How it is.
    pub health: Wellness,
    /// What is wrong with it.
    pub error: Option<Untrusted>,
}

/// How Harbor is, in its own words. It tells that to everybody, without a log-in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HarborHealth {
    /// The whole: well only when each part is.
    pub status: Wellness,
    /// Its parts.
    pub components: Vec<Component>,
}

/// As whom Harbor knows us.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Login {
    /// A person.
    User {
        /// Their name.
        name: Untrusted,
        /// An administrator of the whole Harbor: only they see replication and all quotas.
        admin: bool,
    },
    /// Known, but no person: a robot.
    NoPerson,
}

/// A project of Harbor's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HarborProject {
    /// Its number.
    pub id: i64,
    /// Its name: up to 255 characters, so not always one of ours.
    pub name: Untrusted,
    /// Everybody may pull from it, without a log-in. None when Harbor does not say.
    pub public: Option<bool>,
    /// Repositories in it.
    pub repositories: u64,
    /// It is a cache of this replication endpoint: nobody can push to it.
    pub cache_of: Option<i64>,
    /// Since when.
    pub created: Option<Millis>,
}

impl HarborProject {
    /// The same name in our own access model.
    ///
    /// # Errors
    /// `Invalid` when the name is longer than ours may be.
    pub fn ours(&self) -> Outcome<ProjectName> {
        ProjectName::new(self.name.raw())
    }
}

/// What a project may hold and holds, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quota {
    /// In use.
    pub used: u64,
    /// At most; none means that nothing limits it.
    pub limit: Option<u64>,
}

/// What Harbor says of itself. It tells that only to those whom it knows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HarborFacts {
    /// Its version, such as `v2.12.1-0a1b2c3d`.
    pub version: Option<Untrusted>,
    /// Where its registry keeps content (`filesystem`, `s3` …).
    pub storage: Option<Untrusted>,
    /// Nothing can be pushed or deleted for now.
    pub read_only: Option<bool>,
}

/// How much room there is where Harbor keeps its content, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Space {
    /// In all.
    pub total: u64,
    /// Free.
    pub free: u64,
}

/// The quota of a project, from the list of all of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProjectQuota {
    /// The project; none when Harbor does not say.
    pub project: Option<Untrusted>,
    /// What it may hold and holds.
    pub quota: Quota,
}

/// What Harbor knows of one artifact: one call for up to a hundred, where the registry's protocol needs two for each.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ArtifactFacts {
    /// Its digest.
    pub digest: Untrusted,
    /// What it is (`IMAGE`, `CHART` …).
    pub kind: Untrusted,
    /// Bytes of its manifest and layers.
    pub size: u64,
    /// Tags that point to it.
    pub tags: Vec<Untrusted>,
    /// When it was pushed.
    pub pushed: Option<Millis>,
    /// When it was pulled last; none means never.
    pub pulled: Option<Millis>,
}

/// A secret that is shown once: nothing prints it by accident, and it is not kept anywhere.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Takes a secret.
    pub fn new(secret: impl Into<String>) -> Secret {
        Secret(secret.into())
    }

    /// The secret itself.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_words_are_shown_as_they_are() {
        let shown: Vec<String> =
            ["healthy", "unhealthy", "pending\u{1b}", ""].map(|w| Wellness::of(w).to_string()).into();
        assert_eq!(shown, ["healthy", "unhealthy", r"pending\e", "(not said)"]);
    }

    #[test]
    fn a_secret_is_not_printed() {
        let shown = format!("{:?}", Some(Secret::new("hunter2")));
        assert!(!shown.contains("hunter2"), "{shown}");
    }
}
