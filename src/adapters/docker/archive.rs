//! Whole images as archives (`docker save`, `docker load`), streamed: no more than a few pieces are ever in memory.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use serde::Deserialize;

use crate::adapters::docker::client::{Client, timed_out};
use crate::adapters::docker::limits::{EXPORT, LOAD, Limits, PULL_SILENCE, UNPACK};
use crate::adapters::docker::lines::Lines;
use crate::adapters::docker::{encode, faults};
use crate::base::fault::{Fault, Kind, Outcome};

/// Whether something moves is looked at so often.
const LOOK: Duration = Duration::from_secs(5);

/// The archive of an image.
pub(super) async fn export(client: &Client, image: &str) -> Outcome<BoxStream<'static, Outcome<Bytes>>> {
    let response = client.stream(EXPORT, &format!("/images/{}/get", encode(image))).await;
    let body = response.map_err(|f| f.because(format!("cannot take {image} from the host")))?.into_body();
    let pieces = stream::unfold(Some(body), |body| async move {
        let mut body = body?;
        let piece = next(&mut body).await?;
        let rest = piece.is_ok().then_some(body);
        Some((piece, rest))
    });
    Ok(pieces.boxed())
}

/// The next piece of an archive; `None` at its orderly end.
async fn next(body: &mut Incoming) -> Option<Outcome<Bytes>> {
    loop {
        // A host that gives nothing for so long has died in the middle.
        let Ok(frame) = tokio::time::timeout(PULL_SILENCE, body.frame()).await else {
            return Some(Err(timed_out(Limits { deadline: PULL_SILENCE, ..EXPORT })));
        };
        match frame? {
            Ok(frame) => {
                if let Ok(data) = frame.into_data() {
                    return Some(Ok(data));
                }
            }
            Err(why) => {
                let fault = Fault::new(Kind::Unreachable, why.to_string());
                return Some(Err(fault.because("the archive of the image was cut off")));
            }
        }
    }
}

#[derive(Deserialize)]
struct Said {
    error: Option<String>,
}

/// How far an archive is on its way in.
#[derive(Default)]
struct Watch {
    bytes: AtomicU64,
    all: AtomicBool,
}

/// Takes an image from an archive.
pub(super) async fn load(client: &Client, archive: BoxStream<'static, Outcome<Bytes>>) -> Outcome<()> {
    let watch = Arc::new(Watch::default());
    let counted = count(archive, watch.clone());
    let taken = take(client, counted);
    let done = tokio::select! {
        done = taken => done,
        fault = silence(&watch) => Err(fault),
    };
    done.map_err(|f| f.because("the host does not take the image in"))
}

/// The same archive; what has gone through is noted.
fn count(
    archive: BoxStream<'static, Outcome<Bytes>>,
    watch: Arc<Watch>,
) -> BoxStream<'static, Outcome<Bytes>> {
    let end = watch.clone();
    let pieces = archive.inspect(move |piece| {
        let bytes = piece.as_ref().map_or(0, Bytes::len);
        watch.bytes.fetch_add(u64::try_from(bytes).unwrap_or(0), Ordering::Relaxed);
    });
    let over = stream::once(async move {
        end.all.store(true, Ordering::Relaxed);
        None
    });
    pieces.map(Some).chain(over).filter_map(|piece| async { piece }).boxed()
}

async fn take(client: &Client, archive: BoxStream<'static, Outcome<Bytes>>) -> Outcome<()> {
    let response = client.post_body(LOAD, "/images/load?quiet=1", "application/x-tar", archive).await?;
    let mut lines = Lines::new(response.into_body());
    while let Some(line) = lines.next().await {
        let line = line.map_err(|why| client.cut(&why))?;
        // What is no JSON says nothing of a failure either.
        if let Ok(Said { error: Some(error) }) = serde_json::from_slice::<Said>(&line) {
            return Err(faults::from_text(Kind::Refused, &error));
        }
    }
    Ok(())
}

/// Completes when nothing has moved for too long; after the last byte the engine may unpack in silence for longer.
async fn silence(watch: &Watch) -> Fault {
    let (mut seen, mut quiet) = (0, Duration::ZERO);
    loop {
        tokio::time::sleep(LOOK).await;
        let (bytes, all) = (watch.bytes.load(Ordering::Relaxed), watch.all.load(Ordering::Relaxed));
        quiet = if bytes == seen { quiet + LOOK } else { Duration::ZERO };
        seen = bytes;
        let limit = if all { UNPACK } else { PULL_SILENCE };
        if quiet >= limit {
            return timed_out(Limits { deadline: limit, ..LOAD });
        }
    }
}
