//! A container as an engine reports it, and whose it is.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::base::clock::Millis;
use crate::base::ids::{ContainerId, InstallId, OpId, PoolId, Slot};
use crate::base::text::Untrusted;

/// One container on one host, as last listed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Container {
    /// The engine's id.
    pub id: ContainerId,
    /// The engine's name, without the leading slash.
    pub name: Untrusted,
    /// The image as it was asked for.
    pub image: Untrusted,
    /// What the engine says it does.
    pub state: State,
    /// What its health check says.
    pub health: Health,
    /// Exit status, when it has ended and the engine told.
    pub exit: Option<i64>,
    /// When it was made.
    pub created: Millis,
    /// Published ports, short (`8080->80/tcp`).
    pub ports: Vec<Untrusted>,
    /// Address on its first network, when it has one.
    pub address: Option<Untrusted>,
    /// Whose it is.
    pub owner: Owner,
}

/// What an engine says that a container does (Docker's words).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// Made, never started.
    Created,
    /// Running.
    Running,
    /// Frozen by somebody.
    Paused,
    /// The engine itself is restarting it.
    Restarting,
    /// Being removed.
    Removing,
    /// Ended.
    Exited,
    /// The engine failed to stop or remove it.
    Dead,
    /// A word that we do not know.
    Unknown,
}

impl State {
    /// The state in one word.
    pub fn word(self) -> &'static str {
        match self {
            State::Created => "created",
            State::Running => "running",
            State::Paused => "paused",
            State::Restarting => "restarting",
            State::Removing => "removing",
            State::Exited => "exited",
            State::Dead => "dead",
            State::Unknown => "unknown",
        }
    }
}

/// What a container's health check says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Health {
    /// It has no check.
    None,
    /// The check has not decided yet.
    Starting,
    /// The check passes.
    Healthy,
    /// The check failed as often as it may.
    Unhealthy,
}

/// Whose a container is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Owner {
    /// Made by a longshore (ours only if the tag's install is ours).
    Longshore(Tag),
    /// Made by Docker Compose.
    Compose {
        /// Compose project.
        project: Untrusted,
        /// Service in it.
        service: Untrusted,
    },
    /// A task of Docker Swarm.
    Swarm {
        /// Swarm service.
        service: Untrusted,
    },
    /// Made by hand, or by something that leaves no label.
    Nobody,
}

impl Owner {
    /// Reads the owner from a container's labels.
    pub fn from_labels(labels: &BTreeMap<String, String>) -> Owner {
        let get = |key: &str| labels.get(key).map(|v| Untrusted::from(v.as_str()));
        if let Some(tag) = Tag::from_labels(labels) {
            Owner::Longshore(tag)
        } else if let Some(service) = get("com.docker.swarm.service.name") {
            Owner::Swarm { service }
        } else if let Some(project) = get("com.docker.compose.project") {
            Owner::Compose { project, service: get("com.docker.compose.service").unwrap_or_default() }
        } else {
            Owner::Nobody
        }
    }

    /// Reads the owner from a container's labels and its name. An image that was committed from one of our containers hands
    /// our labels on to whatever is run from it: only the name says that it is the one.
    pub fn of(name: &str, labels: &BTreeMap<String, String>) -> Owner {
        match Owner::from_labels(labels) {
            Owner::Longshore(tag) if tag.container_name() != name => Owner::Nobody,
            owner => owner,
        }
    }

    /// The tag, when a longshore with this install made it.
    pub fn ours(&self, install: &InstallId) -> Option<&Tag> {
        match self {
            Owner::Longshore(tag) if tag.install == *install => Some(tag),
            _ => None,
        }
    }
}

/// What the labels of one of our containers say.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tag {
    /// The install that made it.
    pub install: InstallId,
    /// Its pool.
    pub pool: PoolId,
    /// Its number in the pool.
    pub slot: Slot,
    /// Which attempt at that slot, from 1. A slot's newest generation is the wanted one.
    pub generation: u32,
    /// The pool's revision that it was made from.
    pub revision: u32,
    /// The operation that made it.
    pub op: OpId,
}

/// The prefix of our labels.
pub const LABEL_PREFIX: &str = "io.longshore.";

impl Tag {
    /// The container's name: `<install>-<cluster>-<pool>-<slot>-g<generation>`. An engine refuses a second one of a name,
    /// which makes it the compare-and-set of a creation.
    pub fn container_name(&self) -> String {
        let Tag { install, pool, slot, generation, .. } = self;
        format!("{install}-{}-{}-{slot}-g{generation}", pool.cluster, pool.pool)
    }

    /// The labels that say all this.
    pub fn to_labels(&self) -> BTreeMap<String, String> {
        [
            ("install", self.install.to_string()),
            ("cluster", self.pool.cluster.to_string()),
            ("pool", self.pool.pool.to_string()),
            ("slot", self.slot.to_string()),
            ("generation", self.generation.to_string()),
            ("revision", self.revision.to_string()),
            ("operation", self.op.0.to_string()),
        ]
        .into_iter()
        .map(|(key, value)| (format!("{LABEL_PREFIX}{key}"), value))
        .collect()
    }

    /// Reads the labels back; `None` when one is missing or does not parse.
    pub fn from_labels(labels: &BTreeMap<String, String>) -> Option<Tag> {
        let get = |key: &str| labels.get(&format!("{LABEL_PREFIX}{key}"));
        Some(Tag {
            install: InstallId(
                get("install").filter(|i| i.bytes().all(|b| b.is_ascii_alphanumeric()))?.as_str().into(),
            ),
            pool: PoolId::new(get("cluster")?, get("pool")?).ok()?,
            slot: get("slot")?.parse().ok().filter(|slot| *slot > 0)?,
            generation: get("generation")?.parse().ok().filter(|generation| *generation > 0)?,
            revision: get("revision")?.parse().ok()?,
            op: OpId(get("operation")?.parse().ok()?),
        })
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.pool, self.slot)
    }
}

/// Measured use of one container. Cgroup numbers, so a container never shows its host's (MZ-19).
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Usage {
    /// CPU in thousandths of a core, averaged since the previous sample; `None` until there are two samples.
    pub cpu_milli: Option<u64>,
    /// Memory in use without inactive page cache, in bytes (the rule of `docker stats`).
    pub memory: u64,
    /// Memory limit in bytes; `None` when there is none.
    pub memory_limit: Option<u64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_survives_its_labels() {
        let tag = Tag {
            install: InstallId("0a1b2c3d".into()),
            pool: PoolId::new("feed", "web").unwrap(),
            slot: 7,
            generation: 2,
            revision: 3,
            op: OpId(41),
        };
        assert_eq!(Tag::from_labels(&tag.to_labels()), Some(tag.clone()));
        assert_eq!(tag.container_name(), "0a1b2c3d-feed-web-7-g2");
        assert_eq!(Owner::of(&tag.container_name(), &tag.to_labels()), Owner::Longshore(tag.clone()));
        assert_eq!(Owner::of("debug-copy-of-web", &tag.to_labels()), Owner::Nobody);
        let mut broken = tag.to_labels();
        broken.insert("io.longshore.slot".into(), "seven".into());
        assert_eq!(Owner::from_labels(&broken), Owner::Nobody);
    }
}
