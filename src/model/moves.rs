//! Moves of containers from host to host: what rebalancing proposes and what it does.

use serde::{Deserialize, Serialize};

use crate::base::ids::{HostId, PoolId, Slot};

/// One container that goes from one host to another: the new one serves before the old one ends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Move {
    /// Its pool.
    pub pool: PoolId,
    /// Its slot.
    pub slot: Slot,
    /// Its generation when this was worked out: a later one is not moved.
    pub generation: u32,
    /// Where it is.
    pub from: HostId,
    /// Where it goes.
    pub to: HostId,
    /// What is better then, in one sentence.
    pub why: String,
}

/// Moves that would even the load out, with their effect. Nothing is done by asking for it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Proposal {
    /// The moves, the most useful first.
    pub moves: Vec<Move>,
    /// How things stand.
    pub before: Balance,
    /// How they would stand.
    pub after: Balance,
    /// What cannot be bettered, and why.
    pub blocked: Vec<String>,
}

/// How evenly the load lies on the hosts that take containers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Balance {
    /// Share of the fullest host that is reserved (the scarcest of its resources), 0 to 1.
    pub fullest: f64,
    /// The same of the emptiest.
    pub emptiest: f64,
    /// Largest difference, over all pools, between the host (or spread domain) with most and that with fewest of it.
    pub skew: u32,
    /// Pools of two or more containers that have all of them on one host.
    pub one_basket: u32,
}
