//! An operation: something that a person asked for, from the acknowledgement to its end.

use serde::{Deserialize, Serialize};

use crate::base::clock::Millis;
use crate::base::ids::{HostId, OpId, PoolId};
use crate::model::prewarm::Prewarm;

/// Something that was asked for and acknowledged.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Operation {
    /// Its number.
    pub id: OpId,
    /// What it does.
    pub kind: OpKind,
    /// The pools that it is about.
    pub pools: Vec<PoolId>,
    /// Who asked.
    pub by: String,
    /// When it was acknowledged.
    pub at: Millis,
    /// Where it stands.
    pub status: OpStatus,
    /// When it ended.
    pub ended: Option<Millis>,
    /// Counters of the present state of its pools (zero for one that has ended).
    #[serde(default)]
    pub progress: Progress,
}

/// What an operation does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum OpKind {
    /// Bring the pools of a file up.
    Up,
    /// Take pools away.
    Down,
    /// Change the number of a pool.
    Scale {
        /// The number before.
        from: u32,
        /// The number after.
        to: u32,
        /// It takes back this operation.
        undoes: Option<OpId>,
    },
    /// Replace the containers of pools by fresh ones, a batch at a time.
    Restart,
    /// Move everything away from some hosts.
    Drain {
        /// Which.
        hosts: Vec<HostId>,
    },
    /// Move containers so that the load is even.
    Rebalance {
        /// How many.
        moves: u32,
    },
    /// Bring an image onto hosts before it is needed there.
    Prewarm(Box<Prewarm>),
}

impl OpKind {
    /// The operation in one word.
    pub fn word(&self) -> &'static str {
        match self {
            OpKind::Up => "up",
            OpKind::Down => "down",
            OpKind::Scale { undoes: Some(_), .. } => "undo",
            OpKind::Scale { .. } => "scale",
            OpKind::Restart => "restart",
            OpKind::Drain { .. } => "drain",
            OpKind::Rebalance { .. } => "rebalance",
            OpKind::Prewarm(_) => "prewarm",
        }
    }
}

/// Where an operation stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "status")]
pub enum OpStatus {
    /// Waits until another operation on the same pool has ended.
    Queued {
        /// The one that it waits for.
        behind: OpId,
    },
    /// Under way.
    Running,
    /// Under way, but nothing has moved for longer than [`STALLED_AFTER_MS`].
    Stalled {
        /// What it waits for.
        why: String,
    },
    /// What it asked for is the case.
    Done,
    /// Given up.
    Failed {
        /// The reason.
        why: String,
    },
    /// A newer operation asked for something else.
    Superseded {
        /// That operation.
        by: OpId,
    },
    /// Taken back before it ran, or ended before its time.
    Cancelled,
}

/// An operation in which nothing moves for this long is called stalled.
pub const STALLED_AFTER_MS: u64 = 30_000;

/// An operation whose containers all wait for something that does not come by itself is called stalled after this.
pub const STUCK_AFTER_MS: u64 = 3_000;

impl OpStatus {
    /// The status in one word.
    pub fn word(&self) -> &'static str {
        match self {
            OpStatus::Queued { .. } => "queued",
            OpStatus::Running => "running",
            OpStatus::Stalled { .. } => "stalled",
            OpStatus::Done => "done",
            OpStatus::Failed { .. } => "failed",
            OpStatus::Superseded { .. } => "superseded",
            OpStatus::Cancelled => "cancelled",
        }
    }

    /// True when nothing more will happen.
    pub fn is_over(&self) -> bool {
        !matches!(self, OpStatus::Queued { .. } | OpStatus::Running | OpStatus::Stalled { .. })
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
fn is_zero(n: &u64) -> bool {
    *n == 0
}

/// Counters that an operation's progress strip shows, derived from the world, never kept.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Progress {
    /// Containers wanted at the end.
    pub target: u32,
    /// Slots that have a host.
    pub placed: u32,
    /// Images being pulled now.
    pub pulling: u32,
    /// Containers made.
    pub created: u32,
    /// Containers running.
    pub running: u32,
    /// Running, and healthy if they have a check.
    pub healthy: u32,
    /// Containers that still have to go.
    pub leaving: u32,
    /// Slots whose last attempt failed.
    pub failed: u32,
    /// The reason of such a failure.
    pub reason: Option<String>,
    /// Milliseconds until it is done, from this pool's own past; `None` when there is none to judge by.
    pub eta_ms: Option<u64>,
    /// Bytes of an image that have arrived on hosts where it is on its way; 0 for what brings no image.
    #[serde(skip_serializing_if = "is_zero")]
    pub bytes: u64,
    /// It pauses between two batches; the next begins then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_batch: Option<Millis>,
}
