//! The source's side of a transfer: bytes that are checked on the way, and stand still while nobody wants them.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use futures_util::stream::{self, BoxStream, StreamExt};

use crate::base::fault::{Fault, Kind, Outcome};
use crate::base::hash::Sha256;
use crate::engine::registry::pool::{Flight, Pool};
use crate::engine::registry::steady::Steady;
use crate::model::oci::Digest;

struct Reader {
    pool: Arc<Pool>,
    flight: Arc<Flight>,
    source: Steady,
    sum: Option<Sha256>,
}

/// Opens the blob at its first byte. The stream goes on by itself where the source breaks off; its end is only reached when
/// length and digest are right.
///
/// # Errors
/// When the source does not give it.
pub(super) async fn open(
    pool: Arc<Pool>,
    flight: Arc<Flight>,
) -> Outcome<BoxStream<'static, Outcome<Bytes>>> {
    // Sums of other algorithms are left to the target, which checks them in any case.
    let sum = (flight.digest.algorithm() == "sha256").then(Sha256::default);
    let (client, from) = (pool.ends.source.clone(), flight.from.clone());
    let source = Steady::new(client, from, flight.digest.clone(), flight.size);
    let mut reader = Reader { pool, flight, source, sum };
    reader.flight.progress.at(0);
    if reader.flight.size == 0 {
        reader.check()?;
    }
    Ok(stream::unfold(Some(reader), |reader| async move {
        let mut reader = reader?;
        if reader.source.at() == reader.flight.size {
            return None;
        }
        match reader.next().await {
            Ok(bytes) => Some((Ok(bytes), Some(reader))),
            Err(fault) => Some((Err(fault), None)),
        }
    })
    .boxed())
}

impl Reader {
    async fn next(&mut self) -> Outcome<Bytes> {
        loop {
            self.pool.may_go(&self.flight).await;
            if !self.source.is_open() {
                self.pool.ends.purse.request().await;
            }
            match self.source.step().await {
                Ok(Some(bytes)) => return self.take(bytes).await,
                Ok(None) => {}
                Err(fault) => {
                    self.flight.is_given_up.store(true, Ordering::Relaxed);
                    let from = &self.pool.ends.line.from;
                    return Err(fault.because(format!("{from} does not give it")));
                }
            }
        }
    }

    async fn take(&mut self, bytes: Bytes) -> Outcome<Bytes> {
        let length = bytes.len() as u64;
        self.pool.ends.purse.bytes(length).await;
        if let Some(sum) = &mut self.sum {
            sum.update(&bytes);
        }
        if self.source.at() >= self.flight.size {
            // Before the last bytes go on: an upload that must not succeed does not become complete.
            self.check()?;
        }
        self.pool.carried.fetch_add(length, Ordering::Relaxed);
        self.flight.moved(self.source.at(), self.pool.ends.clock.now());
        Ok(bytes)
    }

    fn check(&mut self) -> Outcome<()> {
        let (size, digest) = (self.flight.size, &self.flight.digest);
        if self.source.at() > size {
            return Err(Fault::new(Kind::Invalid, format!("the source sent more than {size} bytes")));
        }
        let is_right = self.sum.take().is_none_or(|sum| Digest::of_sum(&sum.hex()) == *digest);
        if is_right {
            return Ok(());
        }
        Err(Fault::new(Kind::Invalid, "the source's bytes do not have their digest")
            .hint("the blob is damaged at the source, or on the way from it: pull it there to see"))
    }
}
