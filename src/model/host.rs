//! A host: one container engine under a name, how it is reached, and what it last said.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::base::clock::Millis;
use crate::base::ids::{ContainerId, HostId};
use crate::base::text::Untrusted;
use crate::model::container::{Container, Usage};

/// How a host is reached.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostConfig {
    /// Our name for it.
    pub id: HostId,
    /// `unix:///path`, `tcp://host:port`, `ssh://[user@]host[:port]` or `sim://…`.
    pub address: String,
    /// Directory with `ca.pem`, `cert.pem` and `key.pem` for TLS; `None` means plain.
    #[serde(default)]
    pub tls_dir: Option<std::path::PathBuf>,
    /// Where this entry came from.
    #[serde(default)]
    pub source: HostSource,
}

/// Where a host's entry came from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HostSource {
    /// Added with `longshore hosts add` or in the console: kept in the state directory.
    #[default]
    Added,
    /// The configuration file.
    Config,
    /// The environment: `DOCKER_HOST`, the Docker CLI's current context or the default socket.
    Environment,
    /// A Docker context that was imported.
    Context,
    /// The simulated fleet.
    Simulated,
}

/// What an engine says about itself and its machine.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct HostFacts {
    /// The engine's own identity: another identity behind the same address is another host.
    pub engine_id: Untrusted,
    /// The machine's own name.
    pub hostname: Untrusted,
    /// Engine version.
    pub version: Untrusted,
    /// API version spoken with it.
    pub api: Untrusted,
    /// Operating system in words.
    pub os: Untrusted,
    /// Architecture (`x86_64`).
    pub arch: Untrusted,
    /// Cores.
    pub cpus: u64,
    /// Memory in bytes.
    pub memory: u64,
    /// Engine labels.
    pub labels: BTreeMap<String, Untrusted>,
    /// Member of a Docker Swarm.
    pub swarm: bool,
    /// The engine's clock when it said all this; `None` when it did not tell.
    pub clock: Option<Millis>,
}

/// How much a host's view can be trusted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Seen {
    /// No answer yet since this engine core started.
    Never {
        /// The reason, once a first try has failed.
        why: Option<String>,
    },
    /// Answered: the list was complete at this time.
    At(Millis),
    /// Answered once, does not now: what is shown is the last view.
    Lost {
        /// When the last complete list was made.
        last: Millis,
        /// When it was noticed.
        since: Millis,
        /// Why, in words.
        why: String,
    },
}

/// One host as last seen. Cheap to clone and to share: the parts are behind `Arc`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HostView {
    /// How it is reached.
    pub config: HostConfig,
    /// How much the rest can be trusted.
    pub seen: Seen,
    /// What the engine says about itself; defaults until it has answered.
    pub facts: Arc<HostFacts>,
    /// Every container on it, ours or not, as last listed, **sorted by id**.
    pub containers: Arc<Vec<Container>>,
    /// Measured use by container, of those that are sampled.
    pub usage: Arc<BTreeMap<ContainerId, Usage>>,
    /// Grows by one with each complete list.
    pub lists: u64,
}

impl HostView {
    /// A host of which nothing is known yet.
    pub fn never(config: HostConfig) -> HostView {
        HostView {
            config,
            seen: Seen::Never { why: None },
            facts: Arc::default(),
            containers: Arc::default(),
            usage: Arc::default(),
            lists: 0,
        }
    }

    /// True when the last list is current.
    pub fn is_live(&self) -> bool {
        matches!(self.seen, Seen::At(_))
    }

    /// The container with this id.
    pub fn container(&self, id: &ContainerId) -> Option<&Container> {
        let at = self.containers.binary_search_by(|c| c.id.cmp(id)).ok()?;
        self.containers.get(at)
    }
}
