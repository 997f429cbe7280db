//! Whether a run may go on, and how long to wait before something is tried again.

use std::time::Duration;

use tokio::sync::watch;

use crate::base::fault::{Fault, Kind, Outcome};

/// What people want of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// It goes on.
    Go,
    /// It stands still, also inside a blob.
    Paused,
    /// It ends, also inside a blob.
    Stopped,
}

/// Waits until a run may go on. One whose owner is gone never may.
pub async fn go(pace: &watch::Receiver<Pace>) {
    let mut pace = pace.clone();
    if pace.wait_for(|p| *p == Pace::Go).await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// How often a transfer, or a call about one, is tried in all. (Of each the client tries the single requests again, within
/// seconds: see `src/adapters/oci/limits.rs`.)
pub const TRIES: u32 = 5;
/// So often in all where the content was not what it is to be: it may have been hurt on the way once, and a second time it is so
/// at the source.
const HURTS: u32 = 2;
/// The first pause before it is tried again; each further one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// The pause before the try after this one, which is counted from 0.
fn pause(after: u32) -> Duration {
    (FIRST_PAUSE * 2u32.saturating_pow(after.min(16))).min(LONGEST_PAUSE)
}

/// True when the same call may have another outcome later: not where the other side said no, or where what was asked for
/// is not there.
fn may_pass(fault: &Fault) -> bool {
    !matches!(fault.kind, Kind::Refused | Kind::NotFound | Kind::Conflict | Kind::Fenced)
}

/// The tries of one thing.
#[derive(Debug)]
pub struct Tries {
    most: u32,
    done: u32,
    hurts: u32,
}

impl Tries {
    /// So many, the first included.
    pub fn new(most: u32) -> Tries {
        Tries { most, done: 0, hurts: 0 }
    }

    /// It got on: what was in vain before is forgotten.
    pub fn reset(&mut self) {
        self.done = 0;
    }

    /// The pause before the next try, after one that ended so; none when it is not worth its while.
    pub fn again(&mut self, fault: &Fault) -> Option<Duration> {
        self.done += 1;
        self.hurts += u32::from(fault.kind == Kind::Invalid);
        let is_hurt = fault.kind == Kind::Invalid;
        let may = if is_hurt { self.hurts < HURTS } else { may_pass(fault) && self.done < self.most };
        may.then(|| pause(self.done - 1))
    }
}

/// Calls again, with growing pauses, while that may help.
///
/// # Errors
/// The last call's.
pub async fn again<T, F: Future<Output = Outcome<T>>>(tries: u32, call: impl Fn() -> F) -> Outcome<T> {
    let mut tries = Tries::new(tries);
    loop {
        match call().await {
            Err(fault) => match tries.again(&fault) {
                Some(pause) => tokio::time::sleep(pause).await,
                None => return Err(fault),
            },
            done => return done,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pauses(tries: &mut Tries, kind: Kind) -> Vec<u64> {
        let fault = Fault::new(kind, "no");
        std::iter::from_fn(|| tries.again(&fault)).take(99).map(|p| p.as_secs()).collect()
    }

    #[test]
    fn tries_are_counted_and_what_is_hurt_or_refused_is_not_tried_so_often() {
        let mut tries = Tries::new(TRIES);
        assert_eq!(pauses(&mut tries, Kind::Unreachable), [1, 2, 4, 8]);
        assert_eq!(tries.again(&Fault::new(Kind::Timeout, "late")), None, "what was given up stays so");
        tries.reset();
        assert_eq!(pauses(&mut tries, Kind::Exhausted), [1, 2, 4, 8]);
        assert_eq!(pauses(&mut Tries::new(TRIES), Kind::Refused), [0; 0]);
        let mut hurt = Tries::new(TRIES);
        assert!(hurt.again(&Fault::new(Kind::Timeout, "late")).is_some());
        assert!(
            hurt.again(&Fault::new(Kind::Invalid, "hurt")).is_some(),
            "a cut before it is another matter"
        );
        hurt.reset();
        assert_eq!(pauses(&mut hurt, Kind::Invalid), [0; 0], "however far it came meanwhile");
        assert_eq!(
            pauses(&mut Tries::new(1), Kind::Invalid),
            [1],
            "a line that is tried once says that, too"
        );
    }
}
