//! Reading answers within bounds of size and time: a body that barely moves counts as dead.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use reqwest::Response;
use tokio::time::{Instant, timeout};

use crate::adapters::oci::limits::Limits;
use crate::adapters::oci::origin::host_of;
use crate::adapters::oci::transport;
use crate::base::fault::{Fault, Kind, Outcome};

/// Sees to it that an answer moves. Only time spent waiting for the other side counts, not that of a slow reader here.
#[derive(Debug)]
pub(super) struct Pace {
    window: Duration,
    least: u64,
    waited: Duration,
    moved: u64,
}

impl Pace {
    /// A pace that has just begun.
    pub fn new(limits: &Limits) -> Pace {
        Pace { window: limits.window, least: limits.least, waited: Duration::ZERO, moved: 0 }
    }

    /// The next bytes of a body; `None` at its end. A cut is a fault.
    pub async fn next(&mut self, response: &mut Response) -> Outcome<Option<Bytes>> {
        loop {
            let began = Instant::now();
            let Ok(part) = timeout(self.window.saturating_sub(self.waited), response.chunk()).await else {
                if self.moved < self.least {
                    let host = host_of(response.url());
                    let (moved, within) = (self.moved, self.window.as_secs_f32());
                    let words =
                        format!("{host} sent {moved} bytes within {within:.1} s: that counts as dead");
                    return Err(Fault::new(Kind::Timeout, words));
                }
                (self.waited, self.moved) = (Duration::ZERO, 0);
                continue;
            };
            self.waited += began.elapsed();
            let host = host_of(response.url());
            let part = part.map_err(|why| transport::fault_of(why, &host))?;
            self.moved += part.as_ref().map_or(0, |p| p.len() as u64);
            return Ok(part);
        }
    }
}

/// The whole of a body.
///
/// # Errors
/// When it is longer than `cap`, is cut, or barely moves.
pub(super) async fn whole(mut response: Response, cap: usize, limits: &Limits) -> Outcome<Bytes> {
    let mut pace = Pace::new(limits);
    let mut out = BytesMut::new();
    while let Some(part) = pace.next(&mut response).await? {
        if out.len() + part.len() > cap {
            let host = host_of(response.url());
            return Err(Fault::new(Kind::Invalid, format!("{host} sent more than {cap} bytes")));
        }
        out.extend_from_slice(&part);
    }
    Ok(out.freeze())
}
