//! The source of an upload on its way out: cut to length, counted, watched, its own faults kept.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::Stream;
use futures_util::stream::BoxStream;
use tokio::time::{Instant, sleep};

use crate::adapters::oci::call::Traffic;
use crate::adapters::oci::limits::Limits;
use crate::base::fault::{Fault, Kind, Outcome};

/// A source, read by one request after the other.
#[derive(Clone)]
pub(super) struct Feed(Arc<Mutex<State>>);

struct State {
    source: BoxStream<'static, Outcome<Bytes>>,
    traffic: Arc<Traffic>,
    /// Given by the source and not yet sent.
    rest: Bytes,
    /// What is still to come of the whole blob.
    left: u64,
    /// Bytes handed to the connection so far.
    moved: u64,
    /// The source keeps us waiting now …
    waits: bool,
    /// … or did since this was looked at last.
    waited: bool,
    /// When the last byte of the present request was handed over.
    done: Option<Instant>,
    fault: Option<Fault>,
}

impl Feed {
    /// A source that is to give `size` bytes.
    pub fn new(source: BoxStream<'static, Outcome<Bytes>>, size: u64, traffic: Arc<Traffic>) -> Feed {
        let (rest, fault, done) = (Bytes::new(), None, None);
        Feed(Arc::new(Mutex::new(State {
            source,
            traffic,
            rest,
            left: size,
            moved: 0,
            waits: false,
            waited: false,
            done,
            fault,
        })))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next `length` bytes as a body.
    pub fn portion(&self, length: u64) -> Portion {
        let mut state = self.lock();
        state.done = (length == 0).then(Instant::now);
        drop(state);
        Portion { feed: self.clone(), left: length }
    }

    /// What went wrong with the source.
    pub fn fault(&self) -> Option<Fault> {
        self.lock().fault.clone()
    }

    /// Ends with a fault when the other side takes next to nothing, or does not answer after the last byte. A source that is slow
    /// to give is not its fault.
    pub async fn watch(&self, host: &str, limits: &Limits) -> Fault {
        let mut before = 0;
        loop {
            sleep(limits.window).await;
            let mut state = self.lock();
            let (moved, waited) = (state.moved - before, state.waits || std::mem::take(&mut state.waited));
            before = state.moved;
            match state.done {
                Some(at) if at.elapsed() > limits.commit => {
                    let seconds = limits.commit.as_secs();
                    let words = format!("{host} did not answer within {seconds} s of the last byte");
                    return Fault::new(Kind::Timeout, words);
                }
                None if moved < limits.least && !waited => {
                    let within = limits.window.as_secs_f32();
                    let words =
                        format!("{host} took {moved} bytes within {within:.1} s: that counts as dead");
                    return Fault::new(Kind::Timeout, words);
                }
                _ => {}
            }
        }
    }
}

/// A part of a feed, as the body of one request.
pub(super) struct Portion {
    feed: Feed,
    left: u64,
}

impl State {
    /// The source's next bytes. Nobody asks again while it is pending: a body that waits is woken, not polled.
    fn poll_source(&mut self, context: &mut Context<'_>) -> Poll<Option<Outcome<Bytes>>> {
        let polled = self.source.as_mut().poll_next(context);
        self.waits = polled.is_pending();
        self.waited |= self.waits;
        polled
    }

    /// The next bytes, at most `most`; a fault when the source gives less or more than it is to.
    fn poll(&mut self, context: &mut Context<'_>, most: u64) -> Poll<Outcome<Bytes>> {
        while self.rest.is_empty() {
            match self.poll_source(context) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Some(Ok(bytes))) => self.rest = bytes,
                Poll::Ready(Some(Err(fault))) => return Poll::Ready(Err(fault)),
                Poll::Ready(None) => return Poll::Ready(Err(self.early())),
            }
        }
        Poll::Ready(Ok(self.take(most)))
    }

    fn early(&self) -> Fault {
        Fault::new(Kind::Invalid, format!("the source ended {} bytes early", self.left))
    }

    fn take(&mut self, most: u64) -> Bytes {
        let length = usize::try_from(most).unwrap_or(usize::MAX).min(self.rest.len());
        let bytes = self.rest.split_to(length);
        self.left = self.left.saturating_sub(length as u64);
        self.moved += length as u64;
        self.traffic.count_sent(length);
        bytes
    }

    /// The last byte, once the source has said that it is the last: else this is not the blob that was meant.
    fn poll_last(&mut self, context: &mut Context<'_>) -> Poll<Outcome<Bytes>> {
        loop {
            if self.rest.len() > 1 {
                let words = "the source gives more bytes than it was said to have";
                return Poll::Ready(Err(Fault::new(Kind::Invalid, words)));
            }
            match self.poll_source(context) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Some(Ok(more))) => {
                    self.rest = [self.rest.as_ref(), more.as_ref()].concat().into();
                }
                Poll::Ready(Some(Err(fault))) => return Poll::Ready(Err(fault)),
                Poll::Ready(None) if self.rest.is_empty() => return Poll::Ready(Err(self.early())),
                Poll::Ready(None) => return Poll::Ready(Ok(self.take(1))),
            }
        }
    }
}

impl Stream for Portion {
    type Item = Outcome<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Outcome<Bytes>>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        let feed = self.feed.clone();
        let mut state = feed.lock();
        // The last byte is held back until the source has said that it is the last.
        let holds_back = state.left <= self.left;
        let most = if holds_back { self.left.saturating_sub(1) } else { self.left };
        let polled = if most > 0 { state.poll(context, most) } else { state.poll_last(context) };
        match polled {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Ok(bytes)) => {
                self.left = self.left.saturating_sub(bytes.len() as u64);
                if self.left == 0 {
                    state.done = Some(Instant::now());
                }
                Poll::Ready(Some(Ok(bytes)))
            }
            Poll::Ready(Err(fault)) => {
                state.fault = Some(fault.clone());
                self.left = 0;
                Poll::Ready(Some(Err(fault)))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::{StreamExt, TryStreamExt, stream};

    use super::*;

    fn feed(parts: Vec<Outcome<Bytes>>, size: u64) -> Feed {
        Feed::new(stream::iter(parts).boxed(), size, Arc::default())
    }

    async fn all(feed: &Feed, length: u64) -> Outcome<Vec<u8>> {
        let parts: Vec<Bytes> = feed.portion(length).try_collect().await?;
        Ok(parts.concat())
    }

    #[tokio::test]
    async fn portions_follow_each_other_to_the_last_byte() {
        let parts = || vec![Ok(Bytes::from("abc")), Ok(Bytes::new()), Ok(Bytes::from("defg"))];
        let one = feed(parts(), 7);
        assert_eq!(all(&one, 7).await.unwrap(), b"abcdefg");
        let three = feed(parts(), 7);
        assert_eq!(all(&three, 2).await.unwrap(), b"ab");
        assert_eq!(all(&three, 2).await.unwrap(), b"cd");
        assert_eq!(all(&three, 3).await.unwrap(), b"efg");
        for wrong in [6, 8] {
            let source = feed(parts(), wrong);
            let fault = all(&source, wrong).await.unwrap_err();
            assert_eq!((fault.kind, source.fault()), (Kind::Invalid, Some(fault.clone())));
        }
        let broken = feed(vec![Ok(Bytes::from("abc")), Err(Fault::new(Kind::Exhausted, "disk"))], 7);
        assert_eq!(all(&broken, 7).await.unwrap_err().reasons, ["disk"]);
    }

    #[tokio::test(start_paused = true)]
    async fn who_takes_nothing_is_given_up_and_a_slow_source_is_not_blamed() {
        let limits = Limits::default();
        let began = Instant::now();
        let fault = feed(vec![], 7).watch("r", &limits).await;
        assert_eq!((fault.kind, began.elapsed()), (Kind::Timeout, limits.window));
        // (Asked once, as a connection does: it waits until it is woken.)
        let never = Feed::new(stream::pending().boxed(), 7, Arc::default());
        let mut portion = never.portion(7);
        let watched = async {
            tokio::select! { _ = never.watch("r", &limits) => "blamed", _ = portion.next() => "read" }
        };
        assert!(tokio::time::timeout(limits.window * 10, watched).await.is_err());
        // Once it has given something, it is the taker's turn again.
        let slow = stream::once(sleep(limits.window * 3)).map(|()| Ok(Bytes::from("abc")));
        let slow = Feed::new(slow.chain(stream::iter([Ok(Bytes::from("d"))])).boxed(), 7, Arc::default());
        let mut portion = slow.portion(7);
        let began = Instant::now();
        let taker = async {
            assert_eq!(portion.next().await.unwrap().unwrap(), "abc");
            std::future::pending::<()>().await;
        };
        let fault =
            tokio::select! { fault = slow.watch("r", &limits) => fault, () = taker => unreachable!() };
        assert!(fault.to_string().contains("counts as dead"), "{fault}");
        assert!(
            (4..=5).contains(&(began.elapsed().as_secs() / limits.window.as_secs())),
            "not sooner, nor much later"
        );
    }
}
