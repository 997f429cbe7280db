//! What can go wrong with a simulated host, and the condition that it is in.

use serde::{Deserialize, Serialize};

use crate::adapters::sim::Ms;

/// Something that happens to a host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Trouble {
    /// It cannot be reached: every call fails at once. What was under way keeps its effect but not its answer.
    Cut,
    /// Its engine is stopped (as by SIGSTOP): calls wait until their deadline. What was sent is done when it wakes.
    Hang,
    /// Answers take so many times as long.
    Slow {
        /// The factor.
        factor: u32,
    },
    /// Its disk is full: nothing can be pulled or made.
    DiskFull,
    /// Its memory is used up: nothing can be started, and the kernel kills so many containers.
    OutOfMemory {
        /// How many running containers are killed.
        kills: usize,
    },
    /// Its event stream cannot be trusted.
    Lies(Lies),
    /// Its clock is wrong by so many milliseconds.
    ClockSkew {
        /// Added to every stamp.
        ms: i64,
    },
    /// The machine restarts: its containers end with 137 and it is away for its boot time.
    Restart,
    /// All is well again.
    Back,
}

/// How an event stream lies, in thousandths of its events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Lies {
    /// Told twice.
    pub twice: u32,
    /// Never told.
    pub lost: u32,
    /// Told after the one that follows.
    pub late: u32,
}

/// How a host can be reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Link {
    #[default]
    Up,
    Cut,
    Hung,
}

/// The condition of a host.
#[derive(Clone, Debug, Default)]
pub(super) struct Condition {
    pub link: Link,
    /// Factor on answer times; 0 and 1 mean normal.
    pub slow: u32,
    pub disk_full: bool,
    pub no_memory: bool,
    pub lies: Lies,
    pub skew_ms: Ms,
}
