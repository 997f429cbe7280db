//! Writing a blob: begun with POST, sent in one PUT (two calls) or, where a registry wants that, in PATCHes.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use reqwest::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, HeaderName};
use reqwest::{Body, Method, StatusCode, Url};

use crate::adapters::oci::Inner;
use crate::adapters::oci::call::{Call, Got, Place, headers};
use crate::adapters::oci::challenge::scope;
use crate::adapters::oci::faults;
use crate::adapters::oci::feed::Feed;
use crate::adapters::oci::limits::{CANCEL, CHUNK, ERROR_CAP};
use crate::adapters::oci::origin::host_of;
use crate::adapters::oci::retry::{Tries, retry_after};
use crate::adapters::oci::transport;
use crate::base::fault::{Fault, Kind, Outcome};
use crate::model::oci::{Digest, Repository};
use crate::ports::registry::{Action, Source};

/// Why one try of an upload has ended.
enum Ended {
    /// Nothing was sent.
    Unbegun(Fault),
    /// The source failed: that is handed on as it is.
    Source(Fault),
    /// The registry takes blobs in parts only.
    WantsParts,
    /// The token ended between two calls; there is a new one now.
    Renewed(Fault),
    /// The registry failed.
    Target(Fault),
}

impl From<Fault> for Ended {
    fn from(fault: Fault) -> Ended {
        Ended::Target(fault)
    }
}

/// One blob on its way.
struct Blob<'a> {
    to: &'a Repository,
    digest: &'a Digest,
    size: u64,
}

impl Inner {
    pub(super) async fn write<'a>(
        &self,
        to: &Repository,
        digest: &Digest,
        size: u64,
        source: &'a Source<'a>,
    ) -> Outcome<()> {
        let closed = |_| Fault::new(Kind::Bug, "the writes are closed");
        let _turn = self.writes.acquire().await.map_err(closed)?;
        let because = |why: Fault| why.because(format!("cannot write {digest} to {to}"));
        let blob = Blob { to, digest, size };
        let (mut tries, mut was_renewed) = (None, false);
        loop {
            let fault = match self.upload(&blob, source).await {
                Ok(()) => return Ok(()),
                Err(Ended::Source(fault)) => return Err(fault),
                Err(Ended::Unbegun(fault)) if fault.kind != Kind::Conflict => return Err(because(fault)),
                Err(Ended::WantsParts) => {
                    self.in_parts.store(true, Ordering::Relaxed);
                    continue;
                }
                Err(Ended::Renewed(_)) if !was_renewed => {
                    was_renewed = true;
                    continue;
                }
                Err(Ended::Renewed(fault)) => return Err(because(fault)),
                Err(Ended::Unbegun(fault) | Ended::Target(fault)) => fault,
            };
            let is_lost = fault.kind == Kind::Conflict;
            // The answer may have been lost, not the blob.
            if (is_lost || fault.is_unknown())
                && self.has_blob(to, digest).await.is_ok_and(|found| found == Some(size))
            {
                return Ok(());
            }
            // An upload that the registry does not know any more is begun anew. Else whoever wants the blob knows whether it is worth
            // sending once more; a pause that the registry asks for is kept by the next call.
            if !is_lost {
                return Err(because(fault));
            }
            tries
                .get_or_insert_with(|| Tries::new(&self.caller.auth.limits))
                .again(because(fault), None)
                .await?;
        }
    }

    async fn upload<'a>(&self, blob: &Blob<'_>, source: &'a Source<'a>) -> Result<(), Ended> {
        let path = format!("/v2/{}/blobs/uploads/", blob.to);
        let call = self.get(format!("write to {}", blob.to), path, vec![scope(blob.to, Action::Push)]);
        let begun = self.caller.send(&Call { method: Method::POST, ..call }).await.and_then(Got::ok);
        let begun = begun.map_err(Ended::Unbegun)?;
        let mut place = self.location(&begun)?;
        let least = begun.header("oci-chunk-min-length").and_then(|l| l.parse::<u64>().ok());
        let bytes =
            if blob.size > 0 { source().await.map_err(Ended::Source) } else { Ok(stream::empty().boxed()) };
        let ended = match bytes {
            Err(ended) => Err(ended),
            Ok(bytes) => {
                let feed = Feed::new(bytes, blob.size, Arc::clone(&self.caller.traffic));
                if least.is_some() || self.in_parts.load(Ordering::Relaxed) {
                    self.parts(blob, &mut place, &feed, least.unwrap_or(0).max(CHUNK)).await
                } else {
                    self.whole(blob, &place, &feed).await
                }
            }
        };
        if ended.is_err() {
            self.cancel(blob.to, place).await;
        }
        ended
    }

    /// In one piece: one call less than in parts (15 % less time at 8 connections, measured on Distribution 2.8.2).
    async fn whole(&self, blob: &Blob<'_>, place: &Place, feed: &Feed) -> Result<(), Ended> {
        let place = finished(place, blob.digest);
        let got = self.exchange(blob, &place, Method::PUT, &[], feed, blob.size).await?;
        let is_unable = matches!(got.status.as_u16(), 405 | 411 | 413 | 415 | 501)
            || faults::codes(&got.body).iter().any(|c| c == "UNSUPPORTED");
        if is_unable {
            return Err(Ended::WantsParts);
        }
        self.judge(got).map(drop)
    }

    /// In parts, each at the place that the answer to the one before names.
    async fn parts(&self, blob: &Blob<'_>, place: &mut Place, feed: &Feed, part: u64) -> Result<(), Ended> {
        let mut at = 0;
        while at < blob.size {
            let length = part.min(blob.size - at);
            let range = (CONTENT_RANGE, format!("{at}-{}", at + length - 1));
            let got = self.exchange(blob, place, Method::PATCH, &[range], feed, length).await?;
            let got = self.judge(got)?;
            if got.header("location").is_some() {
                *place = self.location(&got)?;
            }
            at += length;
        }
        let last = finished(place, blob.digest);
        let got = self.exchange(blob, &last, Method::PUT, &[], feed, 0).await?;
        self.judge(got).map(drop)
    }

    /// The answer, if it is one of success.
    fn judge(&self, got: Got) -> Result<Got, Ended> {
        if got.status.is_success() {
            self.caller.endpoints.answered(got.endpoint);
            return Ok(got);
        }
        let is_busy = got.status == StatusCode::TOO_MANY_REQUESTS;
        let asked = retry_after(&got.headers, self.caller.auth.clock.now());
        if let Some(pause) = asked.or(is_busy.then_some(self.caller.auth.limits.pause)) {
            self.caller.endpoints.pause(got.endpoint, pause);
        }
        Err(Ended::Target(got.fault()))
    }

    /// Sends the next bytes of the feed as the body of one request.
    async fn exchange(
        &self,
        blob: &Blob<'_>,
        place: &Place,
        method: Method,
        more: &[(HeaderName, String)],
        feed: &Feed,
        length: u64,
    ) -> Result<Got, Ended> {
        let Place::At { endpoint, url, own } = place else {
            return Err(Fault::new(Kind::Bug, "an upload has a place").into());
        };
        let (caller, limits) = (&self.caller, &self.caller.auth.limits);
        let scopes = [scope(blob.to, Action::Push)];
        let login = if *own { caller.auth.header(&scopes, None).await? } else { None };
        let mut request = caller.auth.transport.to(url).request(method, url.clone()).headers(headers(more)?);
        request = request.header(CONTENT_TYPE, "application/octet-stream").header(CONTENT_LENGTH, length);
        if let Some(login) = &login {
            request = request.header(AUTHORIZATION, login.clone());
        }
        let portion = feed.portion(length);
        request =
            request.body(if length > 0 { Body::wrap_stream(portion) } else { Body::from(Bytes::new()) });
        caller.traffic.count_request();
        let host = host_of(url);
        let answer = tokio::select! {
            answer = request.send() => answer.map_err(|why| transport::fault_of(why, &host)),
            fault = feed.watch(&host, limits) => Err(fault),
        };
        // (The connection's fault only follows from the source's.)
        if let Some(fault) = feed.fault() {
            return Err(Ended::Source(fault));
        }
        let response = answer.inspect_err(|_| {
            caller.endpoints.failed(*endpoint, limits);
        })?;
        let got = caller.read(*endpoint, Some(ERROR_CAP), response).await?;
        if got.status == StatusCode::UNAUTHORIZED && login.is_some() {
            caller.auth.header(&scopes, login.as_ref()).await?;
            let fault = got.fault().because(format!("{host} does not let this account write to {}", blob.to));
            return Err(Ended::Renewed(fault));
        }
        Ok(got)
    }

    /// Where an upload goes on.
    pub(super) fn location(&self, got: &Got) -> Outcome<Place> {
        let none = || Fault::new(Kind::Invalid, "the registry does not say where the upload goes on");
        let location = got.header("location").ok_or_else(none)?;
        let base = self.caller.endpoint(got.endpoint)?;
        let (url, own) = self.caller.auth.origins.upload(base, &got.url, location)?;
        Ok(Place::At { endpoint: got.endpoint, url, own })
    }

    /// Lets the registry forget an upload. A courtesy: it forgets by itself, too.
    pub(super) async fn cancel(&self, to: &Repository, place: Place) {
        let call = self.get(format!("write to {to}"), String::new(), vec![scope(to, Action::Push)]);
        let call = Call { method: Method::DELETE, place, ..call };
        let _ = tokio::time::timeout(CANCEL, self.caller.send(&call)).await;
    }
}

/// The place with the digest added to the query that the registry gave it, which stays as it is.
fn finished(place: &Place, digest: &Digest) -> Place {
    let with = |url: &Url| {
        let mut url = url.clone();
        let query = url.query().filter(|q| !q.is_empty()).map_or_else(String::new, |q| format!("{q}&"));
        url.set_query(Some(&format!("{query}digest={digest}")));
        url
    };
    match place {
        Place::At { endpoint, url, own } => Place::At { endpoint: *endpoint, url: with(url), own: *own },
        Place::Path(path) => Place::Path(path.clone()),
    }
}
