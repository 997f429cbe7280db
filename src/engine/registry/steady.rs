//! A blob that is read to its end: a registry that breaks off is asked for the rest.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, Bytes};
use futures_util::stream::{BoxStream, StreamExt};
use tokio::time::{sleep, timeout};

use crate::base::fault::{Fault, Kind, Outcome};
use crate::engine::registry::pace::{TRIES, Tries};
use crate::model::oci::{Digest, Repository};
use crate::ports::registry::RegistryClient;

/// A registry that sends nothing for so long is asked anew.
const SILENCE: Duration = Duration::from_secs(60);

/// After so many more bytes, or a quarter of the blob, it gets on: its tries are counted anew. (Not after each one: a registry
/// that drips would be listened to for days.)
const GOT_ON: u64 = 64 << 10;

/// A blob on its way from a registry. Its bytes are not checked.
pub struct Steady {
    client: Arc<dyn RegistryClient>,
    of: Repository,
    digest: Digest,
    size: u64,
    at: u64,
    open: Option<BoxStream<'static, Outcome<Bytes>>>,
    tries: Tries,
    /// Where it was when it got on last.
    mark: u64,
}

impl Steady {
    /// A blob of this length, from its first byte on. Nothing is asked for yet.
    pub fn new(client: Arc<dyn RegistryClient>, of: Repository, digest: Digest, size: u64) -> Steady {
        Steady { client, of, digest, size, at: 0, open: None, tries: Tries::new(TRIES), mark: 0 }
    }

    /// The offset of the next byte.
    pub fn at(&self) -> u64 {
        self.at
    }

    /// False when the next step begins with a request.
    pub fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// The next bytes; `None` when all have come.
    ///
    /// # Errors
    /// When the registry does not give them, however often it is asked.
    pub async fn next(&mut self) -> Outcome<Option<Bytes>> {
        while self.at < self.size {
            if let Some(bytes) = self.step().await? {
                return Ok(Some(bytes));
            }
        }
        Ok(None)
    }

    /// One try to have some bytes. None came when a further step is worth its while; the pause before it is over by then.
    ///
    /// # Errors
    /// When it is not.
    pub async fn step(&mut self) -> Outcome<Option<Bytes>> {
        match self.piece().await {
            Ok(bytes) => {
                self.at += bytes.len() as u64;
                if self.at - self.mark >= GOT_ON.min(self.size / 4).max(1) {
                    self.mark = self.at;
                    self.tries.reset();
                }
                Ok(Some(bytes).filter(|b| !b.is_empty()))
            }
            Err(fault) => {
                self.open = None;
                // What has become wrong does not become right by its rest.
                let pause = self.tries.again(&fault).filter(|_| fault.kind != Kind::Invalid);
                sleep(pause.ok_or(fault)?).await;
                Ok(None)
            }
        }
    }

    async fn piece(&mut self) -> Outcome<Bytes> {
        let mut open = match self.open.take() {
            Some(open) => open,
            None => self.reopen().await?,
        };
        let next = timeout(SILENCE, open.next()).await.map_err(|_| {
            Fault::new(Kind::Timeout, format!("the registry sent nothing for {} s", SILENCE.as_secs()))
        })?;
        self.open = Some(open);
        next.unwrap_or_else(|| {
            let (at, size) = (self.at, self.size);
            Err(Fault::new(Kind::Unreachable, format!("the registry ended after {at} of {size} bytes")))
        })
    }

    async fn reopen(&mut self) -> Outcome<BoxStream<'static, Outcome<Bytes>>> {
        let opened = self.client.read_blob(&self.of, &self.digest, self.at).await?;
        if opened.size.is_some_and(|size| size != self.size) {
            let (found, size) = (opened.size.unwrap_or_default(), self.size);
            return Err(Fault::new(Kind::Invalid, format!("it has {found} bytes there, not {size}")));
        }
        // A registry that does not know of offsets sends what was there already: it is passed over.
        let skip = self.at.checked_sub(opened.from);
        let skip =
            skip.ok_or_else(|| Fault::new(Kind::Bug, "the registry began behind the offset asked for"))?;
        let rest = opened.bytes.scan(skip, |skip, piece| {
            let piece = piece.map(|mut bytes| {
                let part = usize::try_from(*skip).unwrap_or(usize::MAX).min(bytes.len());
                bytes.advance(part);
                *skip -= part as u64;
                bytes
            });
            std::future::ready(Some(piece))
        });
        Ok(rest.boxed())
    }
}
