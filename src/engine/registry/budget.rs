//! What a line may carry: bytes a second and requests an hour, shared by all that goes over it, changeable at any time.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, timeout};

use crate::base::clock::SharedClock;
use crate::model::replication::{Budget, LineLimits};
use crate::plan::replicate::schedule::budget_at;

/// A waiting caller looks again after this long at the latest: another hour may have begun.
const LOOK_AGAIN: Duration = Duration::from_secs(30);
const HOUR_US: u128 = 3_600_000_000;
const SECOND_US: u128 = 1_000_000;

/// A debt that goes down with time. Whoever comes while there is too much of it waits.
struct Debt {
    /// Units times the length of the rate's period in microseconds.
    owed: u128,
    at: Instant,
}

impl Debt {
    /// Takes this many units at this rate a period, or says how long to wait first.
    fn take(&mut self, units: u64, rate: u64, period_us: u128, burst: u128) -> Option<Duration> {
        let now = Instant::now();
        let rate = u128::from(rate.max(1));
        self.owed = self.owed.saturating_sub(now.duration_since(self.at).as_micros() * rate);
        self.at = now;
        let most = burst * period_us;
        if self.owed > most {
            let wait = (self.owed - most).div_ceil(rate);
            return Some(Duration::from_micros(u64::try_from(wait).unwrap_or(u64::MAX)));
        }
        self.owed += u128::from(units) * period_us;
        None
    }
}

struct State {
    limits: Option<LineLimits>,
    bytes: Debt,
    requests: Debt,
}

/// The budget of one line.
pub struct Purse {
    state: Mutex<State>,
    changed: Notify,
    clock: SharedClock,
}

impl Purse {
    /// A line without limits.
    pub fn new(clock: SharedClock) -> Purse {
        let debt = || Debt { owed: 0, at: Instant::now() };
        let state = State { limits: None, bytes: debt(), requests: debt() };
        Purse { state: Mutex::new(state), changed: Notify::new(), clock }
    }

    fn with<T>(&self, work: impl FnOnce(&mut State) -> T) -> T {
        work(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// From now on these limits count, also for those that wait.
    pub fn set(&self, limits: LineLimits) {
        self.with(|s| s.limits = Some(limits));
        self.changed.notify_waiters();
    }

    /// What counts at this hour of local time.
    pub fn active(&self) -> Option<Budget> {
        let now = self.clock.now();
        let offset = self.clock.offset_min(now);
        self.with(|s| budget_at(&s.limits.as_ref()?.budgets, now, offset))
    }

    /// What people decided, if anything.
    pub fn limits(&self) -> Option<LineLimits> {
        self.with(|s| s.limits.clone())
    }

    /// Waits until this many bytes may go.
    pub async fn bytes(&self, count: u64) {
        self.wait(|state, budget| {
            let rate = budget.bytes_per_s?;
            state.bytes.take(count, rate, SECOND_US, 0)
        })
        .await;
    }

    /// Waits until one more request may be made: a minute's share may go at once.
    pub async fn request(&self) {
        self.wait(|state, budget| {
            let rate = budget.requests_per_hour?;
            state.requests.take(1, rate, HOUR_US, u128::from(rate / 60))
        })
        .await;
    }

    async fn wait(&self, take: impl Fn(&mut State, Budget) -> Option<Duration>) {
        loop {
            let changed = self.changed.notified();
            let Some(budget) = self.active() else { return };
            let Some(length) = self.with(|state| take(state, budget)) else { return };
            // Woken or not: look again.
            let _ = timeout(length.min(LOOK_AGAIN), changed).await;
        }
    }
}
