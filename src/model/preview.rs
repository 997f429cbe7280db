//! What a scale would do, worked out before anyone confirms it.

use serde::{Deserialize, Serialize};

use crate::base::ids::{HostId, PoolId, Slot};
use crate::model::command::Refusal;
use crate::model::container::{Health, State};
use crate::model::coverage::Coverage;
use crate::model::placement::Strategy;

/// What a change of a pool's number would do. Bound to the version that it was made from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Preview {
    /// The pool.
    pub pool: PoolId,
    /// The number now.
    pub from: u32,
    /// The number after.
    pub to: u32,
    /// The pool's version that this was worked out from.
    pub version: u64,
    /// The strategy that places them.
    #[serde(default)]
    pub strategy: Strategy,
    /// Which hosts get how many new containers.
    pub places: Vec<PlaceOn>,
    /// Which containers go, in the order in which they go.
    pub removals: Vec<Leaving>,
    /// Hosts that get none, each with the reason.
    pub refused_hosts: Vec<(HostId, String)>,
    /// New containers that would find no host.
    pub unplaced: u32,
    /// Time that it should take, from this pool's own past.
    pub eta_ms: Option<u64>,
    /// How far its image is on the hosts that get new containers.
    #[serde(default)]
    pub coverage: Option<Coverage>,
    /// Other things to know before confirming.
    pub notes: Vec<String>,
    /// Why it cannot be done, or what must be typed first.
    pub refusal: Option<Refusal>,
}

/// New containers on one host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlaceOn {
    /// The host.
    pub host: HostId,
    /// How many.
    pub count: u32,
    /// The image is there already; `None` when it is not known.
    pub has_image: Option<bool>,
}

/// A container that would go.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Leaving {
    /// Its slot.
    pub slot: Slot,
    /// Its host.
    pub host: HostId,
    /// Its state.
    pub state: State,
    /// Its health.
    pub health: Health,
    /// Its age in milliseconds.
    pub age_ms: u64,
}
