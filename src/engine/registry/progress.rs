//! How far a blob is, and how quickly bytes have moved over the last seconds.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

/// How far one blob is. Shared by all that want it.
#[derive(Debug, Default)]
pub struct Progress {
    size: u64,
    moved: AtomicU64,
    found: AtomicBool,
    retries: AtomicU32,
}

impl Progress {
    /// A blob of this length of which nothing has moved.
    pub fn new(size: u64) -> Progress {
        Progress { size, ..Progress::default() }
    }

    /// Bytes that have to be moved: none when the target had it or could mount it.
    pub fn bytes(&self) -> u64 {
        if self.found.load(Ordering::Relaxed) { 0 } else { self.size }
    }

    /// Of these, those that were given to the target.
    pub fn moved(&self) -> u64 {
        self.moved.load(Ordering::Relaxed)
    }

    /// How often it was begun again.
    pub fn retries(&self) -> u32 {
        self.retries.load(Ordering::Relaxed)
    }

    pub(super) fn at(&self, offset: u64) {
        self.moved.store(offset, Ordering::Relaxed);
    }

    pub(super) fn found(&self) {
        self.found.store(true, Ordering::Relaxed);
        self.at(0);
    }

    pub(super) fn again(&self) {
        self.retries.fetch_add(1, Ordering::Relaxed);
        self.at(0);
    }
}

/// Rates are worked out over this long.
const WINDOW: Duration = Duration::from_secs(5);
/// Nothing has moved for so long although something should: that is said.
pub const STALLED: Duration = Duration::from_secs(30);

/// Samples of a count that grows.
#[derive(Debug)]
pub struct Meter {
    samples: VecDeque<(Instant, u64)>,
    last_change: (Instant, u64),
}

impl Meter {
    /// A meter that begins now.
    pub fn new() -> Meter {
        Meter { samples: VecDeque::new(), last_change: (Instant::now(), 0) }
    }

    /// Takes a sample; `mark` is anything that changes when there is progress.
    pub fn sample(&mut self, count: u64, mark: u64) {
        let now = Instant::now();
        if mark != self.last_change.1 {
            self.last_change = (now, mark);
        }
        self.samples.push_back((now, count));
        while self.samples.len() > 2 && self.samples.get(1).is_some_and(|s| now - s.0 >= WINDOW) {
            self.samples.pop_front();
        }
    }

    /// Forgets how long nothing has changed: what stood still was meant to.
    pub fn excuse(&mut self) {
        self.last_change.0 = Instant::now();
    }

    /// Units a second over the window; none while nothing moves.
    pub fn rate(&self) -> Option<u64> {
        let (first, last) = (self.samples.front()?, self.samples.back()?);
        let micros = u64::try_from((last.0 - first.0).as_micros()).ok().filter(|us| *us > 0)?;
        let units = last.1.saturating_sub(first.1);
        let rate = u128::from(units) * 1_000_000 / u128::from(micros);
        u64::try_from(rate).ok().filter(|rate| *rate > 0)
    }

    /// For how long there has been no progress, when that is too long.
    pub fn stalled(&self) -> Option<Duration> {
        Some(self.last_change.0.elapsed()).filter(|length| *length >= STALLED)
    }
}
