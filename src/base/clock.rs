//! Injected time: wall-clock stamps come from a `Clock`, waiting is done with tokio's timers.

use std::fmt;
use std::ops::{Add, Sub};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// A point in time: milliseconds since the Unix epoch (UTC). Used for stamps and ages only, never for timeouts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Millis(pub i64);

impl Millis {
    /// Milliseconds from `earlier` to `self`, zero when the clock went backwards.
    pub fn since(self, earlier: Millis) -> u64 {
        u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0)
    }

    /// This stamp moved later by `ms` milliseconds.
    pub fn plus(self, ms: u64) -> Millis {
        Millis(self.0.saturating_add(i64::try_from(ms).unwrap_or(i64::MAX)))
    }
}

impl Add<u64> for Millis {
    type Output = Millis;
    fn add(self, ms: u64) -> Millis {
        self.plus(ms)
    }
}

impl Sub<Millis> for Millis {
    type Output = u64;
    fn sub(self, earlier: Millis) -> u64 {
        self.since(earlier)
    }
}

impl fmt::Display for Millis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// Where stamps come from. Handed in everywhere, so that whole flows run on virtual time.
pub trait Clock: Send + Sync {
    /// The present wall-clock time.
    fn now(&self) -> Millis;

    /// How many minutes the clocks on the wall are ahead of UTC at a moment, summer time included. Without a zone: none.
    fn offset_min(&self, _at: Millis) -> i32 {
        0
    }
}

/// A clock that can be shared by all parts of the program.
pub type SharedClock = Arc<dyn Clock>;

/// The machine's own wall clock.
#[derive(Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the one place that may read the machine's wall clock")]
    fn now(&self) -> Millis {
        let since_epoch = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        Millis(since_epoch.map_or(0, |d| i64::try_from(d.as_millis()).unwrap_or(i64::MAX)))
    }
}

/// A wall clock that follows tokio's timers: with paused time it is virtual and deterministic.
#[derive(Debug)]
pub struct TokioClock {
    start: tokio::time::Instant,
    epoch: Millis,
    zone: fn(Millis) -> i32,
}

impl TokioClock {
    /// A clock that reads `epoch` now and moves on with tokio's time. Call it inside a runtime.
    pub fn starting_at(epoch: Millis) -> TokioClock {
        TokioClock { start: tokio::time::Instant::now(), epoch, zone: |_| 0 }
    }

    /// The same in a zone: minutes ahead of UTC at a moment.
    #[must_use]
    pub fn in_zone(self, zone: fn(Millis) -> i32) -> TokioClock {
        TokioClock { zone, ..self }
    }
}

impl Clock for TokioClock {
    fn now(&self) -> Millis {
        self.epoch.plus(u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX))
    }

    fn offset_min(&self, at: Millis) -> i32 {
        (self.zone)(at)
    }
}
