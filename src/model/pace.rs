//! How quick a host is with what is done there: measured by the engine core that runs now, from call to answer.

use serde::{Deserialize, Serialize};

/// How long one kind of work takes on a host. All zero until some was done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Pace {
    /// How often it was done, successfully, since this engine core began.
    pub count: u64,
    /// Median of the last [`LAST`] times, in milliseconds.
    pub median_ms: u64,
    /// The longest of all, in milliseconds.
    pub worst_ms: u64,
}

/// The median is of so many times.
pub const LAST: usize = 32;

/// The paces of a host.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Paces {
    /// Making a container of an image that is there.
    pub create: Pace,
    /// Starting it.
    pub start: Pace,
    /// Removing one that has ended.
    pub remove: Pace,
}
