//! A host: one container engine under a name, how it is reached, and what it last said.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::base::clock::Millis;
use crate::base::ids::{ClusterName, ContainerId, HostId, OpId, SiteName};
use crate::base::text::Untrusted;
use crate::model::container::{Container, Usage};
use crate::model::holdings::Holdings;
use crate::model::pace::Paces;

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

/// What people have decided about a host, durable. Kept apart from how it is reached: hosts that come from the
/// configuration or the environment have it, too.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct HostRecord {
    /// The site (data centre) that it stands in.
    pub site: Option<SiteName>,
    /// The cluster that it belongs to: it takes that cluster's pools only. `None` takes any.
    pub cluster: Option<ClusterName>,
    /// Labels that people gave it.
    pub labels: BTreeMap<String, String>,
    /// Class as stated; otherwise it is measured (see [`HostView::class`]).
    pub class: Option<String>,
    /// In service since (its age).
    pub in_service: Option<Millis>,
    /// What its engine does not tell.
    pub capacity: Capacity,
    /// Whether it takes new containers.
    pub duty: Duty,
    /// Somebody said that it will not come back: what it held is replaced now. Forgotten when it answers again.
    pub given_up: Option<Millis>,
}

/// Capacity that an engine does not tell. `None` is unknown: then nothing is refused for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Capacity {
    /// Disk for containers, bytes.
    pub disk: Option<u64>,
    /// Bandwidth, bits per second.
    pub bandwidth: Option<u64>,
    /// Processes.
    pub pids: Option<u64>,
    /// CPU that may be reserved, per cent of its cores (overcommit above 100); 100 when absent.
    pub cpu_percent: Option<u32>,
}

/// Whether a host takes new containers, as people decided.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Duty {
    /// It takes new containers.
    #[default]
    Active,
    /// It takes none; those that it has stay.
    Cordoned {
        /// Who said so.
        by: String,
        /// When.
        at: Millis,
    },
    /// It takes none, and those that it has move away.
    Draining {
        /// Who said so.
        by: String,
        /// When.
        at: Millis,
        /// The operation.
        op: OpId,
        /// Move also what its pool's rule ties to this host (`wait`, `never`).
        force: bool,
    },
    /// Nothing of ours is left on it; it takes none.
    Drained {
        /// Who had it drained.
        by: String,
        /// Since when.
        at: Millis,
    },
}

/// The state of a host in one word, from what people decided and what is seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HostState {
    /// It has not said yet who it is.
    #[default]
    Joining,
    /// It answers and takes containers.
    Ready,
    /// It takes no new containers.
    Cordoned,
    /// What it holds moves away.
    Draining,
    /// Nothing of ours is left on it.
    Drained,
    /// It has not answered for [`LOST_AFTER_MS`].
    Lost,
}

/// A host that has been silent for this long is called lost. (Swarm: three missed heartbeats of 5 s; we are slower to judge
/// because nothing is gained by an early word: placement avoids a silent host at once.)
pub const LOST_AFTER_MS: u64 = 30_000;

impl HostState {
    /// The state in one word.
    pub fn word(self) -> &'static str {
        match self {
            HostState::Joining => "joining",
            HostState::Ready => "ready",
            HostState::Cordoned => "cordoned",
            HostState::Draining => "draining",
            HostState::Drained => "drained",
            HostState::Lost => "lost",
        }
    }
}

/// What one container needs, or many together, or a host has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Need {
    /// CPU in thousandths of a core.
    pub cpu_milli: u64,
    /// Memory in bytes.
    pub memory: u64,
    /// Processes.
    pub pids: u64,
    /// Disk in bytes.
    pub disk: u64,
    /// Bandwidth in bits per second.
    pub bandwidth: u64,
}

/// What containers of ours on record take of a host.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Taken {
    /// How many.
    pub containers: u32,
    /// What they have reserved together.
    pub need: Need,
}

/// An image on a host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Image {
    /// Its content's digest, as the engine calls it.
    pub id: Untrusted,
    /// When it was built.
    pub created: Millis,
    /// Bytes on disk.
    pub size: u64,
    /// The digest under which a registry gave it (the first, of several); none when it was built or loaded there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<Untrusted>,
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
    /// Another engine than the one on record answers at its address: nothing is done, and nothing of it is replaced, until
    /// somebody says that this is right.
    #[serde(default)]
    pub other_engine: bool,
    /// Images on it by reference (`name:tag`), as last listed; `None` until then.
    #[serde(default)]
    pub images: Option<Arc<BTreeMap<String, Image>>>,
    /// Which of the networks and volumes that pools name and others have made it has, as last told.
    #[serde(default)]
    pub holdings: Arc<Holdings>,
    /// What people have decided about it.
    #[serde(default)]
    pub record: Arc<HostRecord>,
    /// Its state in one word.
    #[serde(default)]
    pub state: HostState,
    /// What our containers on record take of it.
    #[serde(default)]
    pub taken: Taken,
    /// How quick it is with what is done there.
    #[serde(default)]
    pub paces: Paces,
    /// Since when this engine core has heard nothing of it, counted anew when a mass loss ends; `None` while it answers.
    #[serde(default)]
    pub silent: Option<Millis>,
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
            other_engine: false,
            images: None,
            holdings: Arc::default(),
            record: Arc::default(),
            state: HostState::Joining,
            taken: Taken::default(),
            paces: Paces::default(),
            silent: None,
        }
    }

    /// Since when this engine core has heard nothing of it: its own silence, not the time for which the core was not there
    /// (or was asleep with its machine). `None` while the host answers or was not tried yet.
    pub fn silent_since(&self) -> Option<Millis> {
        match &self.seen {
            Seen::At(_) | Seen::Never { why: None } => None,
            Seen::Never { .. } => self.silent,
            Seen::Lost { since, .. } => Some(self.silent.unwrap_or(*since)),
        }
    }

    /// True when the last list is current.
    pub fn is_live(&self) -> bool {
        matches!(self.seen, Seen::At(_))
    }

    /// Its class: as stated, or measured as cores and memory (`32c-64g`); `None` until its engine has told.
    pub fn class(&self) -> Option<String> {
        const GIB: u64 = 1 << 30;
        let HostFacts { cpus, memory, .. } = &*self.facts;
        let measured = || (*cpus > 0).then(|| format!("{cpus}c-{}g", memory.saturating_add(GIB / 2) / GIB));
        self.record.class.clone().or_else(measured)
    }

    /// What it has. Zero means that it is not known.
    pub fn capacity(&self) -> Need {
        let given = &self.record.capacity;
        Need {
            cpu_milli: self.facts.cpus * 10 * u64::from(given.cpu_percent.unwrap_or(100)),
            memory: self.facts.memory,
            pids: given.pids.unwrap_or(0),
            disk: given.disk.unwrap_or(0),
            bandwidth: given.bandwidth.unwrap_or(0),
        }
    }

    /// The state in one word, at `now`.
    pub fn state_at(&self, now: Millis) -> HostState {
        match &self.seen {
            Seen::Lost { last, .. } if now.since(*last) >= LOST_AFTER_MS => return HostState::Lost,
            Seen::Never { why: Some(_) } => return HostState::Lost,
            Seen::Never { why: None } => return HostState::Joining,
            Seen::At(_) if self.facts.engine_id.raw().is_empty() => return HostState::Joining,
            Seen::At(_) | Seen::Lost { .. } => {}
        }
        match self.record.duty {
            Duty::Active => HostState::Ready,
            Duty::Cordoned { .. } => HostState::Cordoned,
            Duty::Draining { .. } => HostState::Draining,
            Duty::Drained { .. } => HostState::Drained,
        }
    }

    /// The container with this id.
    pub fn container(&self, id: &ContainerId) -> Option<&Container> {
        let at = self.containers.binary_search_by(|c| c.id.cmp(id)).ok()?;
        self.containers.get(at)
    }
}
