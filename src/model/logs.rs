//! Log lines: what can be asked for, and what comes.

use serde::{Deserialize, Serialize};

use crate::base::clock::Millis;
use crate::base::ids::{ContainerId, HostId, PoolId, Slot};
use crate::base::text::Untrusted;

/// Whose log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LogTarget {
    /// All containers of a pool, merged by time.
    Pool(PoolId),
    /// One slot of a pool: its newest container.
    Slot(PoolId, Slot),
    /// The container of that slot before the present one.
    Previous(PoolId, Slot),
    /// Any container.
    Container(HostId, ContainerId),
}

/// What part of a log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogRequest {
    /// Whose.
    pub target: LogTarget,
    /// Only lines from this time on.
    pub since: Option<Millis>,
    /// At most so many of the last lines of each container; `None` for all.
    pub tail: Option<u32>,
    /// Go on with new lines.
    pub follow: bool,
}

/// One line of one container.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LogLine {
    /// The engine's stamp.
    pub at: Millis,
    /// Which of the merged streams: an index into the names of [`LogChunk::Lanes`].
    pub lane: u16,
    /// Standard error rather than standard output.
    pub stderr: bool,
    /// The text, without the line end.
    pub text: Untrusted,
}

/// What a tail brings.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LogChunk {
    /// The names of the lanes so far (`web.1`); sent first and whenever one is added.
    Lanes(Vec<String>),
    /// Lines, ordered by time within the chunk.
    Lines(Vec<LogLine>),
    /// So many lines were dropped here, because the reader was too slow.
    Skipped(u64),
    /// A sentence about the stream itself (a host lost, streams left out).
    Note(String),
    /// Nothing more will come.
    End,
}

/// Most containers whose logs are merged into one tail: each costs the engine a stream.
pub const LANES_MAX: usize = 64;
/// Longest line that is kept, in bytes; a longer one is split.
pub const LINE_MAX: usize = 16 * 1024;
