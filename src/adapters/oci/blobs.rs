//! Blobs that are there: looked for, read from an offset on, mounted from another repository.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use reqwest::header::RANGE;
use reqwest::{Method, Response, StatusCode};
use tokio::sync::OwnedSemaphorePermit;

use crate::adapters::oci::Inner;
use crate::adapters::oci::call::{Call, Got, headers};
use crate::adapters::oci::challenge::scope;
use crate::adapters::oci::origin::host_of;
use crate::adapters::oci::pace::Pace;
use crate::base::fault::{Fault, Kind, Outcome};
use crate::model::oci::{Digest, Repository};
use crate::ports::registry::{Action, BlobStream};

impl Inner {
    pub(super) async fn has_blob(&self, of: &Repository, digest: &Digest) -> Outcome<Option<u64>> {
        let because = |why: Fault| why.because(format!("cannot look for {digest} in {of}"));
        let path = format!("/v2/{of}/blobs/{digest}");
        let call = self.get(format!("look for blobs in {of}"), path, vec![scope(of, Action::Pull)]);
        let got = self.caller.send(&Call { method: Method::HEAD, ..call }).await.map_err(because)?;
        if got.status == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        let got = got.ok().map_err(because)?;
        let length = got.header("content-length").and_then(|l| l.parse().ok());
        let none = || because(Fault::new(Kind::Invalid, "the registry does not say how long it is"));
        length.map(Some).ok_or_else(none)
    }

    pub(super) async fn mount(&self, to: &Repository, digest: &Digest, from: &Repository) -> Outcome<bool> {
        let path = format!("/v2/{to}/blobs/uploads/?mount={digest}&from={from}");
        let scopes = vec![scope(to, Action::Push), scope(from, Action::Pull)];
        let call = self.get(format!("let {to} have a blob of {from}"), path, scopes);
        let got = match self.caller.send(&Call { method: Method::POST, ..call }).await {
            Ok(got) => got,
            // Without the right to read there, the blob may be written all the same.
            Err(fault) if fault.kind == Kind::Refused => return Ok(false),
            Err(fault) => return Err(fault.because(format!("cannot let {to} have {digest} of {from}"))),
        };
        if got.status == StatusCode::ACCEPTED {
            // An upload has begun instead.
            if let Ok(place) = self.location(&got) {
                self.cancel(to, place).await;
            }
        }
        Ok(got.status == StatusCode::CREATED)
    }

    /// Asks for a blob from an offset on.
    async fn open(&self, of: &Repository, digest: &Digest, from: u64) -> Outcome<Got> {
        let path = format!("/v2/{of}/blobs/{digest}");
        let call = self.get(format!("read blobs of {of}"), path, vec![scope(of, Action::Pull)]);
        let part = if from > 0 { vec![(RANGE, format!("bytes={from}-"))] } else { Vec::new() };
        self.caller.send(&Call { headers: headers(&part)?, cap: None, ..call }).await?.ok()
    }
}

/// Where the bytes of an answer begin, and how long the whole is.
fn span(got: &Got, asked: u64) -> Outcome<(u64, Option<u64>)> {
    let length = got.header("content-length").and_then(|l| l.parse::<u64>().ok());
    if got.status != StatusCode::PARTIAL_CONTENT {
        return Ok((0, length));
    }
    let wrong = || {
        let host = host_of(&got.url);
        Fault::new(Kind::Invalid, format!("{host} sent another part of it than was asked for"))
    };
    // `bytes FIRST-LAST/WHOLE`, where the whole may be `*`.
    let range = got.header("content-range").and_then(|r| r.strip_prefix("bytes ")).ok_or_else(wrong)?;
    let (span, whole) = range.split_once('/').ok_or_else(wrong)?;
    let first = span.split_once('-').and_then(|(first, _)| first.trim().parse::<u64>().ok());
    if first != Some(asked) {
        return Err(wrong());
    }
    Ok((asked, whole.trim().parse().ok().or(length.map(|l| l + asked))))
}

/// A blob that is being read.
struct Reader {
    inner: Arc<Inner>,
    size: Option<u64>,
    /// The offset of the next byte.
    at: u64,
    response: Response,
    pace: Pace,
    _turn: OwnedSemaphorePermit,
}

/// Opens a blob. Where it breaks off, whoever reads it knows whether the rest is still wanted.
pub(super) async fn read(
    inner: Arc<Inner>,
    of: &Repository,
    digest: &Digest,
    from: u64,
) -> Outcome<BlobStream> {
    let cannot = format!("cannot read {digest} of {of}");
    let because = |why: Fault| why.because(cannot.clone());
    let closed = |_| Fault::new(Kind::Bug, "the reads are closed");
    let turn = Arc::clone(&inner.reads).acquire_owned().await.map_err(closed)?;
    let got = inner.open(of, digest, from).await.map_err(because)?;
    let (from, size) = span(&got, from).map_err(because)?;
    let pace = Pace::new(&inner.caller.auth.limits);
    let none = || Fault::new(Kind::Bug, "an answer that is to be streamed has a stream");
    let response = got.stream.ok_or_else(none)?;
    let reader = Reader { inner, size, at: from, response, pace, _turn: turn };
    let bytes = stream::try_unfold((reader, cannot), |(mut reader, cannot)| async move {
        let next = reader.next().await.map_err(|why| why.because(cannot.clone()))?;
        Ok(next.map(|bytes| (bytes, (reader, cannot))))
    });
    Ok(BlobStream { size, from, bytes: bytes.boxed() })
}

impl Reader {
    /// The next bytes; `None` at the end of the blob.
    async fn next(&mut self) -> Outcome<Option<Bytes>> {
        let Some(bytes) = self.pace.next(&mut self.response).await? else {
            return match self.size {
                Some(size) if self.at < size => {
                    let words = format!("the transfer ended {} bytes early", size - self.at);
                    Err(Fault::new(Kind::Unreachable, words))
                }
                _ => Ok(None),
            };
        };
        self.inner.caller.traffic.count_received(bytes.len());
        self.at += bytes.len() as u64;
        if self.size.is_some_and(|size| self.at > size) {
            return Err(Fault::new(Kind::Invalid, "more bytes came than it has"));
        }
        Ok(Some(bytes))
    }
}
