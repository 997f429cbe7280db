//! What the token service has done since it was started, counted.

use std::sync::atomic::{AtomicU64, Ordering};

macro_rules! counts {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {
        /// Counters that go up.
        #[derive(Debug, Default)]
        pub struct Counts { $($(#[$doc])* pub(crate) $name: AtomicU64),* }

        /// The counters at one moment.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
        pub struct Counted { $($(#[$doc])* pub $name: u64),* }

        impl Counts {
            /// The counters now.
            pub fn read(&self) -> Counted {
                Counted { $($name: self.$name.load(Ordering::Relaxed)),* }
            }
        }
    };
}

counts! {
    /// Tokens that were given out.
    tokens,
    /// Scopes that were granted, in whole or in part.
    granted,
    /// Scopes of which something was denied.
    denied,
    /// Requests for tokens without a log-in.
    anonymous,
    /// Log-ins with a wrong name or secret.
    failed,
    /// Log-ins that were not even looked at, after too many failures.
    throttled,
    /// Requests that could not be answered for want of room or of what is known.
    unavailable,
    /// Reports of registries that were taken.
    reports,
    /// Reports that were refused: no secret, a wrong one, or they make no sense.
    reports_refused,
    /// Hints that were handed on.
    hints,
    /// Hints for which there was no room; their registry repeats them.
    hints_full,
}

/// One more.
pub(crate) fn one(counter: &AtomicU64) {
    more(counter, 1);
}

/// So many more.
pub(crate) fn more(counter: &AtomicU64, by: usize) {
    counter.fetch_add(by as u64, Ordering::Relaxed);
}
