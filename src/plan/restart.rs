//! What follows when a container has ended or failed: a new generation, when, or none.

use crate::base::clock::Millis;
use crate::model::instance::{Instance, Phase};
use crate::model::pool::{RestartCondition, RestartPolicy};

/// Longest wait between two attempts, in milliseconds: a crash loop is shown, not fed.
pub const BACK_OFF_MAX_MS: u64 = 5 * 60_000;
/// So many failures in a row are called a crash loop.
pub const CRASH_LOOP_AFTER: u32 = 3;

/// How an attempt ended, as far as the decision needs it.
#[derive(Clone, Debug, PartialEq)]
pub enum Ended {
    /// The program ended by itself with this status, after so many milliseconds.
    Exit {
        /// Exit status.
        status: i64,
        /// How long it ran; `None` when the engine did not tell.
        ran_ms: Option<u64>,
    },
    /// The health check failed as often as it may, so long after the start.
    Unhealthy {
        /// How long it ran.
        ran_ms: Option<u64>,
    },
    /// Somebody removed the container outside of longshore.
    Removed,
    /// It could not be made or started.
    Failed,
}

/// The wait before attempt number `failures + 1`: nothing after the first failure, then the delay, doubled each time.
pub fn back_off_ms(policy: &RestartPolicy, failures: u32) -> u64 {
    match failures {
        0 | 1 => 0,
        n => policy.delay_ms.max(100).saturating_mul(1 << (n - 2).min(16)).min(BACK_OFF_MAX_MS),
    }
}

/// The instance's record after an attempt has ended.
pub fn after(
    policy: &RestartPolicy,
    instance: &Instance,
    ended: &Ended,
    cause: String,
    now: Millis,
) -> Instance {
    let ran_ms = match ended {
        Ended::Exit { ran_ms, .. } | Ended::Unhealthy { ran_ms } => *ran_ms,
        Ended::Removed | Ended::Failed => None,
    };
    let ran_well = ran_ms.is_some_and(|ms| ms >= policy.window_ms) || *ended == Ended::Removed;
    let failures = if ran_well { 1 } else { instance.failures.saturating_add(1) };
    let again = match (ended, policy.condition) {
        (Ended::Removed | Ended::Failed, _) => true,
        (Ended::Exit { status: 0, .. }, condition) => condition == RestartCondition::Any,
        (_, condition) => condition != RestartCondition::None,
    };
    let given_up = policy.max_attempts.is_some_and(|max| failures > max) && *ended != Ended::Failed;
    let phase = match (again && !given_up, ended) {
        (false, _) => Phase::Finished,
        (true, Ended::Failed) => Phase::Intended,
        (true, _) => Phase::Ended,
    };
    let retry_at = (phase != Phase::Finished).then(|| now.plus(back_off_ms(policy, failures)));
    Instance { phase, failures, retry_at, cause: Some(cause), since: now, ..instance.clone() }
}

/// True while the time of the next attempt is to be waited for. No wait is longer than the longest: a time beyond that was
/// set before the clock was put back.
pub fn is_ahead(at: Millis, now: Millis) -> bool {
    at > now && at.since(now) <= BACK_OFF_MAX_MS
}

/// True when an instance fails again and again.
pub fn is_crash_loop(instance: &Instance) -> bool {
    instance.failures >= CRASH_LOOP_AFTER
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_was_put_back_holds_nobody_up() {
        let now = Millis(1_000_000);
        assert!(is_ahead(now.plus(1), now) && is_ahead(now.plus(BACK_OFF_MAX_MS), now));
        assert!(!is_ahead(now, now) && !is_ahead(now.plus(3_600_000), now));
    }
}
