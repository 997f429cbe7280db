//! A line whose transfers fail one after another is left alone until the next run: this one ends soon, and says why.
//! (The pattern is known as a circuit breaker: M. Nygard, "Release It!", 2007.)

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::base::fault::{Fault, Kind, Outcome};

/// After so many transfers in a row that were given up, none of which came through …
const IN_A_ROW: u32 = 8;
/// … over at least so long (a registry that begins anew is waited for), no other is tried.
const AT_LEAST: Duration = Duration::from_secs(60);

#[derive(Debug)]
struct Row {
    count: u32,
    since: Instant,
    last: Instant,
    why: Fault,
}

/// What became of a line's last transfers.
#[derive(Debug, Default)]
pub struct Breaker(Mutex<Option<Row>>);

impl Breaker {
    fn with<T>(&self, work: impl FnOnce(&mut Option<Row>) -> T) -> T {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// A transfer has come through, or somebody wants it to be tried anew.
    pub fn reset(&self) {
        self.with(|row| *row = None);
    }

    /// A transfer that began then was given up. What only this blob or this repository suffers from does not count.
    pub fn gave_up(&self, began: Instant, fault: &Fault) {
        if !fault.is_unknown() {
            return;
        }
        self.with(|row| {
            let (count, since) = row.as_ref().map_or((0, began), |r| (r.count, r.since));
            let last = Instant::now();
            *row = Some(Row { count: count + 1, since, last, why: fault.clone() });
        });
    }

    /// Whether one more may be tried.
    ///
    /// # Errors
    /// With the fault of the last one, while the line is left alone.
    pub fn check(&self) -> Outcome<()> {
        self.with(|row| {
            let Some(row) = row else { return Ok(()) };
            let is_open = row.count >= IN_A_ROW && row.last - row.since >= AT_LEAST;
            if !is_open {
                return Ok(());
            }
            let (count, seconds) = (row.count, row.since.elapsed().as_secs());
            let words = format!("not tried: the last {count} transfers here failed, for {seconds} s");
            let fault = Fault { kind: Kind::Refused, ..row.why.clone() };
            Err(fault.because(words).hint("mend the registry or the line to it, then run the rule again"))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_line_is_left_alone_after_a_row_of_failures_that_took_its_time() {
        let (line, cut) = (Breaker::default(), Fault::new(Kind::Timeout, "cut"));
        let began = Instant::now();
        for _ in 0..3 * IN_A_ROW {
            line.gave_up(began, &cut);
            line.check().unwrap();
        }
        tokio::time::sleep(AT_LEAST).await;
        line.gave_up(Instant::now(), &Fault::new(Kind::Invalid, "damaged"));
        line.check().unwrap();
        line.gave_up(Instant::now(), &cut);
        let fault = line.check().unwrap_err();
        assert_eq!(fault.to_string(), "not tried: the last 25 transfers here failed, for 60 s: cut");
        line.reset();
        line.check().unwrap();
    }
}
