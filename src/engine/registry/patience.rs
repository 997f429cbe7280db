//! How long one transfer is tried: counted once for both its sides, so that tries do not multiply.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::base::fault::{Fault, Kind, Outcome};
use crate::engine::registry::pace::{PATIENCE, TRIES, may_pass, pause};

/// After so many bytes more than ever a transfer gets on: its tries are counted anew.
const GOT_ON: u64 = 64 << 10;

/// So often in all. Bytes that do not have their digest may have been hurt on the way once; a second time they are so at the
/// source. Storage that is full is not emptied by sending.
const HURTS: u32 = 2;

#[derive(Debug, Default)]
struct Spent {
    tries: u32,
    /// Of all, those after which a second one like it is the last.
    hurts: u32,
    time: Duration,
    /// The offset at which it got on last.
    at: u64,
}

/// The tries of one transfer. Whoever makes one, the reader of its source or the writer to its target, counts it here; bytes
/// that were sent before and are sent again do not make up for it.
#[derive(Debug, Default)]
pub struct Patience(Mutex<Spent>);

impl Patience {
    fn with<T>(&self, work: impl FnOnce(&mut Spent) -> T) -> T {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Bytes have come up to this offset.
    pub fn came(&self, offset: u64) {
        self.with(|spent| {
            if offset >= spent.at + GOT_ON {
                *spent = Spent { at: offset, hurts: spent.hurts, ..Spent::default() };
            }
        });
    }

    /// Makes a transfer that is one call, again while that may help.
    ///
    /// # Errors
    /// The last try's.
    pub async fn of_call<T, F: Future<Output = Outcome<T>>>(call: impl Fn() -> F) -> Outcome<T> {
        let patience = Patience::default();
        loop {
            let began = Instant::now();
            match call().await {
                Err(fault) => match patience.again(&fault, began.elapsed()) {
                    Some(pause) => sleep(pause).await,
                    None => return Err(fault),
                },
                done => return done,
            }
        }
    }

    /// The offset at which it got on last.
    pub fn mark(&self) -> u64 {
        self.with(|spent| spent.at)
    }

    /// The pause before the next try, after one that took so long in vain; none when there have been enough.
    pub fn again(&self, fault: &Fault, took: Duration) -> Option<Duration> {
        self.with(|spent| {
            spent.time += took;
            spent.tries += 1;
            let is_late = spent.tries > 1 && spent.time >= PATIENCE;
            spent.hurts += u32::from(matches!(fault.kind, Kind::Invalid | Kind::Exhausted));
            let may = may_pass(fault) && spent.tries < TRIES && spent.hurts < HURTS && !is_late;
            may.then(|| {
                let pause = pause(spent.tries - 1);
                spent.time += pause;
                pause
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut() -> Fault {
        Fault::new(Kind::Unreachable, "cut")
    }

    #[test]
    fn both_sides_share_the_tries_of_a_transfer() {
        let patience = Patience::default();
        let pauses: Vec<_> = std::iter::from_fn(|| patience.again(&cut(), Duration::ZERO)).collect();
        assert_eq!(pauses.iter().map(Duration::as_secs).collect::<Vec<_>>(), [1, 2, 4, 8]);
        assert_eq!(patience.again(&cut(), Duration::ZERO), None, "what was given up stays so");
        patience.came(GOT_ON - 1);
        assert_eq!(patience.again(&cut(), Duration::ZERO), None);
        patience.came(GOT_ON);
        assert!(patience.again(&cut(), Duration::ZERO).is_some());
        for _ in 0..9 {
            patience.came(GOT_ON); // The same bytes once more.
            patience.again(&cut(), Duration::ZERO);
        }
        assert_eq!(patience.again(&cut(), Duration::ZERO), None);
    }

    #[test]
    fn time_in_vain_is_bounded_and_some_faults_are_not_tried_so_often() {
        let patience = Patience::default();
        assert!(patience.again(&cut(), PATIENCE).is_some(), "once more in any case");
        assert!(patience.again(&cut(), Duration::ZERO).is_none());
        for (kind, most) in [(Kind::Invalid, 1), (Kind::Exhausted, 1), (Kind::Refused, 0)] {
            let patience = Patience::default();
            let fault = Fault::new(kind, "no");
            assert_eq!(std::iter::from_fn(|| patience.again(&fault, Duration::ZERO)).count(), most);
        }
        let (patience, hurt) = (Patience::default(), Fault::new(Kind::Invalid, "another digest"));
        assert!(patience.again(&cut(), Duration::ZERO).is_some());
        assert!(patience.again(&hurt, Duration::ZERO).is_some(), "a cut before it is another matter");
        patience.came(GOT_ON);
        assert!(patience.again(&hurt, Duration::ZERO).is_none(), "however far it came meanwhile");
    }
}
