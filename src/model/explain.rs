//! Why a container is placed where it is, or nowhere: for every host what refuses it, or how it scores.

use serde::{Deserialize, Serialize};

use crate::base::ids::{HostId, PoolId, Slot};
use crate::model::placement::Strategy;

/// The answer to "why there" and "why nowhere".
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Explanation {
    /// The pool.
    pub pool: PoolId,
    /// The slot that was asked about; `None` means one more of the pool.
    pub slot: Option<Slot>,
    /// The strategy that counts for it.
    pub strategy: Strategy,
    /// Where that slot is now.
    pub now_on: Option<HostId>,
    /// Where it would be placed now; `None` when no host takes it.
    pub choice: Option<HostId>,
    /// All of it in one sentence.
    pub sentence: String,
    /// Every host: those that can take it first, best first; then those that refuse.
    pub hosts: Vec<Verdict>,
}

/// What one host says to one container.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Verdict {
    /// The host.
    pub host: HostId,
    /// **All** that refuses it; empty when it can take it.
    pub refused: Vec<Refused>,
    /// The scores that count, each from -1 to 1; empty when it is refused.
    pub scores: Vec<Score>,
    /// Their mean.
    pub total: f64,
}

/// One filter that refuses a container.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Refused {
    /// Which.
    pub filter: Filter,
    /// What was needed and what is there, in one sentence.
    pub why: String,
}

/// The filters, in the order in which they are tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Filter {
    /// The host answers and takes new containers.
    Ready,
    /// The pool is pinned to other hosts, or the host belongs to another cluster.
    Pinned,
    /// The pool's sites.
    Site,
    /// Operating system and architecture.
    Platform,
    /// A constraint of the pool.
    Constraint,
    /// Image policy: may not run there, or is not there and may not be pulled.
    Image,
    /// Networks and volumes that others must have made there.
    External,
    /// Host class, for containers that are replaced on the same class only.
    Class,
    /// CPU that is not reserved.
    Cpu,
    /// Memory that is not reserved.
    Memory,
    /// Processes that are not reserved.
    Pids,
    /// Disk that is not reserved.
    Disk,
    /// Bandwidth that is not reserved.
    Bandwidth,
    /// A fixed port of the host.
    Port,
    /// Most containers of the pool on one host.
    MaxPerHost,
    /// Another pool that it must not share a host with.
    Apart,
    /// Most containers of a whole site.
    SiteLimit,
}

/// One score of one host.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Score {
    /// What is scored.
    pub scorer: Scorer,
    /// From -1 (avoid) to 1 (best).
    pub value: f64,
}

/// What is scored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scorer {
    /// The strategy's own: how full the host would be.
    Strategy,
    /// Few of this pool on the host.
    FewOfPool,
    /// Few of this pool in its site and in the other domains that it is spread over.
    EvenSpread,
    /// Wishes of the pool (`prefer`).
    Preference,
    /// It has just failed this pool.
    JustFailed,
    /// The image is there already.
    ImageThere,
    /// Core pools on strong hosts, others on weak ones.
    ClassFit,
}
