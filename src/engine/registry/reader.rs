//! The source's side of a transfer: bytes that are checked on the way, go on at the offset where they broke off, and stand
//! still while nobody wants them.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::{Buf, Bytes};
use futures_util::stream::{self, BoxStream, StreamExt};
use tokio::time::{sleep, timeout};

use crate::base::fault::{Fault, Kind, Outcome};
use crate::base::hash::Sha256;
use crate::engine::registry::pace::{TRIES, may_pass, pause};
use crate::engine::registry::pool::{Flight, Pool};
use crate::model::oci::Digest;

/// A source that sends nothing for so long is asked anew.
const SILENCE: Duration = Duration::from_secs(60);

struct Reader {
    pool: Arc<Pool>,
    flight: Arc<Flight>,
    offset: u64,
    sum: Option<Sha256>,
    open: Option<BoxStream<'static, Outcome<Bytes>>>,
    /// Times it broke off since bytes came last.
    broken: u32,
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
    let mut reader = Reader { pool, flight, offset: 0, sum, open: None, broken: 0 };
    reader.flight.progress.at(0);
    if reader.flight.size == 0 {
        reader.check()?;
    }
    Ok(stream::unfold(Some(reader), |reader| async move {
        let mut reader = reader?;
        if reader.offset == reader.flight.size {
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
            match self.piece().await {
                Ok(bytes) if bytes.is_empty() => {}
                Ok(bytes) => {
                    self.broken = 0;
                    return self.take(bytes).await;
                }
                Err(fault) if may_pass(&fault) && self.broken + 1 < TRIES => {
                    self.open = None;
                    sleep(pause(self.broken)).await;
                    self.broken += 1;
                }
                Err(fault) => return Err(fault),
            }
        }
    }

    /// Some bytes from the present offset on.
    async fn piece(&mut self) -> Outcome<Bytes> {
        let mut stream = match self.open.take() {
            Some(stream) => stream,
            None => self.reopen().await?,
        };
        let next = timeout(SILENCE, stream.next()).await.map_err(|_| {
            Fault::new(Kind::Timeout, format!("the source sent nothing for {} s", SILENCE.as_secs()))
        })?;
        let bytes = next.unwrap_or_else(|| {
            let (at, size) = (self.offset, self.flight.size);
            Err(Fault::new(Kind::Unreachable, format!("the source ended after {at} of {size} bytes")))
        })?;
        self.open = Some(stream);
        Ok(bytes)
    }

    async fn reopen(&mut self) -> Outcome<BoxStream<'static, Outcome<Bytes>>> {
        let ends = &self.pool.ends;
        ends.purse.request().await;
        let opened = ends.source.read_blob(&self.flight.from, &self.flight.digest, self.offset).await?;
        // A source that does not know of offsets sends what was there already: it is passed over.
        let Some(skip) = self.offset.checked_sub(opened.from) else {
            return Err(Fault::new(Kind::Bug, "the source began behind the offset that was asked for"));
        };
        let bytes = opened.bytes.scan(skip, |skip, piece| {
            let piece = piece.map(|mut bytes| {
                let part = usize::try_from(*skip).unwrap_or(usize::MAX).min(bytes.len());
                bytes.advance(part);
                *skip -= part as u64;
                bytes
            });
            std::future::ready(Some(piece))
        });
        Ok(bytes.boxed())
    }

    async fn take(&mut self, bytes: Bytes) -> Outcome<Bytes> {
        let length = bytes.len() as u64;
        self.pool.ends.purse.bytes(length).await;
        if let Some(sum) = &mut self.sum {
            sum.update(&bytes);
        }
        self.offset += length;
        if self.offset >= self.flight.size {
            // Before the last bytes go on: an upload that must not succeed does not become complete.
            self.check()?;
        }
        self.pool.carried.fetch_add(length, Ordering::Relaxed);
        self.flight.moved(self.offset, self.pool.ends.clock.now());
        Ok(bytes)
    }

    fn check(&mut self) -> Outcome<()> {
        let (size, digest) = (self.flight.size, &self.flight.digest);
        if self.offset > size {
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
