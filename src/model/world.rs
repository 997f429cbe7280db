//! The world: one immutable snapshot of all that is wanted and seen, from which every screen is drawn.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::base::clock::Millis;
use crate::base::ids::{ContainerId, HostId, InstallId, OpId, PoolId, RegistryName, SiteName, Slot};
use crate::model::access::view::AccessView;
use crate::model::container::Container;
use crate::model::host::HostView;
use crate::model::instance::{Instance, Phase};
use crate::model::operation::Operation;
use crate::model::pool::Pool;
use crate::model::prewarm::PrewarmView;
use crate::model::registry::RegistryView;
use crate::model::replication::ReplicationView;
use crate::model::site::{MassLoss, SiteView};

/// One snapshot. Parts that did not change are shared with the snapshot before.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct World {
    /// When it was made.
    pub at: Millis,
    /// Grows with each snapshot.
    pub revision: u64,
    /// The engine core that made it.
    pub engine: EngineView,
    /// Every known host.
    pub hosts: BTreeMap<HostId, Arc<HostView>>,
    /// Every pool of this install.
    pub pools: BTreeMap<PoolId, Arc<PoolView>>,
    /// Operations that are not over, and the last that are, newest first.
    pub operations: Arc<Vec<Operation>>,
    /// Every site that is recorded or that a host names.
    #[serde(default)]
    pub sites: Arc<BTreeMap<SiteName, SiteView>>,
    /// Very many hosts vanished together: nothing is replaced until somebody answers.
    #[serde(default)]
    pub mass_loss: Option<MassLoss>,
    /// Every image registry that is recorded.
    #[serde(default)]
    pub registries: Arc<BTreeMap<RegistryName, RegistryView>>,
    /// What is replicated between them, and how far it is.
    #[serde(default)]
    pub replication: Arc<ReplicationView>,
    /// Prewarms that are carried out, and the last that were, host by host.
    #[serde(default)]
    pub prewarms: Arc<BTreeMap<OpId, Arc<PrewarmView>>>,
    /// Who may do what in the registries.
    #[serde(default)]
    pub access: Arc<AccessView>,
}

/// The engine core behind a world.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct EngineView {
    /// The install.
    pub install: Option<InstallId>,
    /// What the core may do.
    pub mode: Mode,
    /// Number of the present holder of the state directory's lock.
    pub epoch: u64,
    /// The holder's user.
    pub user: String,
    /// The holder's process.
    pub pid: u32,
    /// Since when.
    pub since: Millis,
    /// This console works through another process's engine.
    pub attached: bool,
    /// Something that hinders the core itself (state disk full, database locked), in words.
    pub trouble: Option<String>,
    /// A practice fleet, not real hosts.
    pub simulated: bool,
}

/// What an engine core may do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// No core yet: starting, or waiting for a takeover.
    #[default]
    Starting,
    /// It holds the lock: it observes and mends.
    Active,
    /// It only observes: nothing is mended by this process.
    ObserveOnly,
}

/// A pool as wanted and as it stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PoolView {
    /// As wanted.
    pub pool: Pool,
    /// One row a slot that is wanted or still there, by slot.
    pub slots: Vec<SlotView>,
    /// Why something wanted is not the case, one sentence each with its number of slots.
    pub waits: Vec<Wait>,
    /// Containers whose place breaks the rules of the pool by now.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub misplaced: Vec<Misplaced>,
    /// It is being renewed, and the next batch begins then.
    #[serde(default)]
    pub next_batch: Option<Millis>,
    /// Counters.
    pub counts: Counts,
}

/// Containers of a pool on one host that its rules would not place there any more. They run on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Misplaced {
    /// The host.
    pub host: HostId,
    /// The slots.
    pub slots: Vec<Slot>,
    /// Which rules the host breaks, in words that follow its name.
    pub why: String,
}

/// One slot of a pool, joined with its container.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SlotView {
    /// The slot.
    pub slot: Slot,
    /// Its durable record; `None` until it has been placed.
    pub instance: Option<Instance>,
    /// Where its container is.
    pub host: Option<HostId>,
    /// Its container, as last listed.
    pub container: Option<ContainerId>,
    /// What it is doing, in one of the product's words.
    pub status: SlotStatus,
    /// Why it is not where or as it should be, when its status does not say (its host is lost, or it should move and cannot).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

/// What a slot is doing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SlotStatus {
    /// It waits for something; the sentence says for what.
    Waiting(String),
    /// Its image is being pulled: thousandths done, when known.
    Pulling(Option<u16>),
    /// Its container is being made.
    Creating,
    /// Its container is being started.
    Starting,
    /// Running; the health check has not decided yet.
    Checking,
    /// Running, and healthy if it has a check.
    Running,
    /// Running, but its health check fails.
    Unhealthy,
    /// It fails again and again; the next attempt is at the given time.
    CrashLoop(Millis),
    /// It ended and will be replaced at the given time.
    BackOff(Millis),
    /// It ended and stays so, by its restart policy.
    Finished,
    /// Somebody froze it.
    Paused,
    /// It is asked to end.
    Stopping,
    /// It was last seen on a host that does not answer.
    HostLost,
    /// Its host is lost, and its pool's rule is that it waits for it.
    AwaitingHost,
    /// It serves while its successor on another host is made.
    Moving,
}

impl SlotStatus {
    /// The status in one word.
    pub fn word(&self) -> &'static str {
        match self {
            SlotStatus::Waiting(_) => "waiting",
            SlotStatus::Pulling(_) => "pulling",
            SlotStatus::Creating => "creating",
            SlotStatus::Starting => "starting",
            SlotStatus::Checking => "checking",
            SlotStatus::Running => "running",
            SlotStatus::Unhealthy => "unhealthy",
            SlotStatus::CrashLoop(_) => "crash loop",
            SlotStatus::BackOff(_) => "back-off",
            SlotStatus::Finished => "finished",
            SlotStatus::Paused => "paused",
            SlotStatus::Stopping => "stopping",
            SlotStatus::HostLost => "host lost",
            SlotStatus::AwaitingHost => "waiting for its host",
            SlotStatus::Moving => "moving",
        }
    }
}

/// Something wanted that cannot be had now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wait {
    /// How many slots wait for it.
    pub slots: u32,
    /// Why, in one sentence.
    pub why: String,
}

/// Counters of a pool.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Containers wanted.
    pub want: u32,
    /// Containers running, wherever (not on lost hosts).
    pub running: u32,
    /// Running, and healthy if they have a check.
    pub healthy: u32,
    /// Running, but unhealthy.
    pub unhealthy: u32,
    /// On hosts that do not answer.
    pub lost: u32,
    /// In a crash loop or backing off.
    pub failing: u32,
    /// Finished by their restart policy.
    pub finished: u32,
    /// Surplus containers that still have to go.
    pub leaving: u32,
    /// Containers made from an older revision.
    pub outdated: u32,
}

impl World {
    /// The container with this id on this host.
    pub fn container(&self, host: &HostId, id: &ContainerId) -> Option<&Container> {
        self.hosts.get(host)?.container(id)
    }

    /// The pool with this id.
    pub fn pool(&self, id: &PoolId) -> Option<&PoolView> {
        self.pools.get(id).map(Arc::as_ref)
    }
}

impl SlotView {
    /// True when it has ended for good.
    pub fn is_finished(&self) -> bool {
        self.instance.as_ref().is_some_and(|i| i.phase == Phase::Finished)
    }
}
