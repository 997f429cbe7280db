//! When a call is tried again and after what pause; which endpoint it goes to; how long a host asked to be left alone.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use reqwest::StatusCode;
use reqwest::header::{HeaderMap, RETRY_AFTER};
use tokio::time::Instant;

use crate::adapters::oci::limits::Limits;
use crate::base::clock::Millis;
use crate::base::fault::{Fault, Kind, Outcome};

/// What an answer's `Retry-After` asks for: seconds, or a date, from which the present is taken.
pub(super) fn retry_after(headers: &HeaderMap, now: Millis) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse::<u64>() {
        return Some(Duration::from_secs(seconds));
    }
    let date = httpdate::parse_http_date(text).ok()?;
    let at = date.duration_since(std::time::UNIX_EPOCH).ok()?;
    let now = Duration::from_millis(u64::try_from(now.0).unwrap_or(0));
    Some(at.saturating_sub(now))
}

/// Whether asking once more may help.
pub(super) fn may_help(status: StatusCode) -> bool {
    matches!(status.as_u16(), 408 | 429 | 500 | 502 | 503 | 504)
}

/// The tries of one call.
pub(super) struct Tries<'a> {
    limits: &'a Limits,
    began: Instant,
    count: u32,
}

impl<'a> Tries<'a> {
    /// The first one.
    pub fn new(limits: &'a Limits) -> Tries<'a> {
        Tries { limits, began: Instant::now(), count: 1 }
    }

    /// Waits until the next try may begin. `asked` is the pause that the host wants: such tries are bounded by time alone.
    ///
    /// # Errors
    /// With the fault of the last try, when there have been enough of them or the time is over.
    pub async fn again(&mut self, fault: Fault, asked: Option<Duration>) -> Outcome<()> {
        let own = self.limits.pause.saturating_mul(1 << (self.count - 1).min(16)).min(self.limits.pause_max);
        // (At least a moment: a host that asks for no pause at all must not be asked in a circle.)
        let pause = asked.unwrap_or(own).max(self.limits.pause);
        let left = self.limits.patience.saturating_sub(self.began.elapsed());
        if pause > left {
            let seconds = pause.as_secs();
            return Err(match asked {
                Some(asked) if asked > self.limits.pause => fault
                    .because(format!("it wants to be asked again only in {seconds} s, which is too long")),
                _ => self.given_up(fault),
            });
        }
        if asked.is_none() {
            if self.count >= self.limits.tries || self.began.elapsed() >= self.limits.enough {
                return Err(self.given_up(fault));
            }
            self.count += 1;
        }
        tokio::time::sleep(pause).await;
        Ok(())
    }

    fn given_up(&self, fault: Fault) -> Fault {
        match self.count {
            1 => fault,
            n => fault.because(format!("given up after {n} tries")),
        }
    }
}

/// The endpoints of a registry: where the next call goes.
#[derive(Debug)]
pub(super) struct Endpoints(Mutex<Vec<Endpoint>>);

#[derive(Clone, Copy, Debug, Default)]
struct Endpoint {
    /// Not asked before, after a failure, while there is another.
    rests_until: Option<Instant>,
    /// Not asked before, because it wanted so.
    paused_until: Option<Instant>,
}

impl Endpoints {
    /// So many, all well.
    pub fn new(count: usize) -> Endpoints {
        Endpoints(Mutex::new(vec![Endpoint::default(); count]))
    }

    fn with<T>(&self, f: impl FnOnce(&mut Vec<Endpoint>) -> T) -> T {
        f(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The first that is well; else the one whose rest ends first.
    pub fn choose(&self) -> usize {
        let now = Instant::now();
        self.with(|all| {
            let well = all.iter().position(|e| e.rests_until.is_none_or(|until| until <= now));
            let soonest = || all.iter().enumerate().min_by_key(|(_, e)| e.rests_until).map_or(0, |(i, _)| i);
            well.unwrap_or_else(soonest)
        })
    }

    /// It failed. True when there is another that is well.
    pub fn failed(&self, endpoint: usize, limits: &Limits) -> bool {
        let now = Instant::now();
        self.with(|all| {
            if let Some(e) = all.get_mut(endpoint) {
                e.rests_until = Some(now + limits.rest);
            }
            all.iter().any(|e| e.rests_until.is_none_or(|until| until <= now))
        })
    }

    /// It answered.
    pub fn answered(&self, endpoint: usize) {
        self.with(|all| all.get_mut(endpoint).map(|e| e.rests_until = None));
    }

    /// It wants to be left alone for so long, by all calls.
    pub fn pause(&self, endpoint: usize, pause: Duration) {
        let until = Instant::now() + pause.min(Duration::from_secs(86_400));
        self.with(|all| all.get_mut(endpoint).map(|e| e.paused_until = e.paused_until.max(Some(until))));
    }

    /// Waits while an endpoint wants to be left alone.
    ///
    /// # Errors
    /// When that takes longer than the patience of a call.
    pub async fn wait(&self, endpoint: usize, host: &str, limits: &Limits) -> Outcome<()> {
        let began = Instant::now();
        loop {
            let until = self.with(|all| all.get(endpoint).and_then(|e| e.paused_until));
            let left = until.map_or(Duration::ZERO, |until| until.saturating_duration_since(Instant::now()));
            if left.is_zero() {
                return Ok(());
            }
            if began.elapsed() + left > limits.patience {
                let words = format!("{host} wants no more requests for {} s", left.as_secs());
                return Err(Fault::new(Kind::Exhausted, words)
                    .hint("ask again later, or log in for a larger allowance"));
            }
            tokio::time::sleep(left).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(text: &str) -> Option<Duration> {
        let mut headers = HeaderMap::new();
        headers.insert(RETRY_AFTER, text.parse().unwrap());
        // Wed, 21 Oct 2015 07:28:00 GMT is 1,445,412,480 s (RFC 9110's example).
        retry_after(&headers, Millis(1_445_412_470_000))
    }

    #[test]
    fn a_pause_is_read_in_seconds_and_as_a_date() {
        assert_eq!(after("120"), Some(Duration::from_secs(120)));
        assert_eq!(after("Wed, 21 Oct 2015 07:28:00 GMT"), Some(Duration::from_secs(10)));
        assert_eq!(after("Wed, 21 Oct 2009 07:28:00 GMT"), Some(Duration::ZERO));
        assert_eq!((after("soon"), after("-3"), after("")), (None, None, None));
    }

    #[tokio::test(start_paused = true)]
    async fn tries_and_time_are_bounded() {
        let limits = Limits::default();
        let fault = || Fault::new(Kind::Unreachable, "cut");
        let (mut tries, began) = (Tries::new(&limits), Instant::now());
        for _ in 1..limits.tries {
            tries.again(fault(), None).await.unwrap();
        }
        assert_eq!(tries.again(fault(), None).await.unwrap_err().reasons, ["given up after 6 tries", "cut"]);
        assert_eq!(began.elapsed(), Duration::from_millis(250 * 31));
        let (mut asked, began) = (Tries::new(&limits), Instant::now());
        while asked.again(fault(), Some(Duration::ZERO)).await.is_ok() {}
        assert!(began.elapsed() <= limits.patience + limits.pause);
        assert!(Tries::new(&limits).again(fault(), Some(Duration::from_secs(3600))).await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_endpoint_that_is_well_is_asked() {
        let (limits, two) = (Limits::default(), Endpoints::new(2));
        assert_eq!(two.choose(), 0);
        assert!(two.failed(0, &limits));
        assert_eq!(two.choose(), 1);
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert!(!two.failed(1, &limits));
        assert_eq!(two.choose(), 0);
        tokio::time::sleep(limits.rest).await;
        assert_eq!(two.choose(), 0);
        two.pause(0, Duration::from_secs(3));
        let began = Instant::now();
        two.wait(0, "r", &limits).await.unwrap();
        assert_eq!(began.elapsed(), Duration::from_secs(3));
        two.pause(0, Duration::from_secs(3600));
        assert_eq!(two.wait(0, "r", &limits).await.unwrap_err().kind, Kind::Exhausted);
    }
}
