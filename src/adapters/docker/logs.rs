//! A container's log as a stream of lines. Nothing is read ahead of the reader: a slow one slows only this stream.

use std::collections::VecDeque;

use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};
use http_body_util::BodyExt;
use hyper::body::Incoming;

use crate::adapters::docker::client::Client;
use crate::adapters::docker::frames::Assembler;
use crate::adapters::docker::limits::OPEN;
use crate::adapters::docker::lookup;
use crate::base::fault::{Fault, Kind, Outcome};
use crate::base::ids::ContainerId;
use crate::ports::runtime::{LogWanted, RawLine};

/// What engines of API 1.42 and later call framed output.
const FRAMED: &str = "application/vnd.docker.multiplexed-stream";

struct Reader {
    body: Incoming,
    assembler: Assembler,
    ready: VecDeque<RawLine>,
    ended: bool,
}

/// Opens the log of a container.
pub(super) async fn open(
    client: &Client,
    id: &ContainerId,
    wanted: &LogWanted,
) -> Outcome<BoxStream<'static, Outcome<RawLine>>> {
    let mut path =
        format!("/containers/{id}/logs?stdout=1&stderr=1&timestamps=1&follow={}", u8::from(wanted.follow));
    if let Some(since) = wanted.since {
        path.push_str(&format!("&since={}.{:03}000000", since.0.max(0) / 1000, since.0.max(0) % 1000));
    }
    if let Some(tail) = wanted.tail {
        path.push_str(&format!("&tail={tail}"));
    }
    let response = client.stream(OPEN, &path).await?;
    let kind = response.headers().get("content-type").and_then(|v| v.to_str().ok()).unwrap_or_default();
    // Older engines do not say whether the bytes are framed: the container's terminal decides it.
    let tty = kind != FRAMED && lookup::details(client, id.as_str()).await?.config.is_some_and(|c| c.tty);
    let reader = Reader {
        body: response.into_body(),
        assembler: Assembler::new(tty),
        ready: VecDeque::new(),
        ended: false,
    };
    Ok(stream::unfold(reader, next).boxed())
}

async fn next(mut reader: Reader) -> Option<(Outcome<RawLine>, Reader)> {
    loop {
        if let Some(line) = reader.ready.pop_front() {
            return Some((Ok(line), reader));
        }
        if reader.ended {
            return None;
        }
        let fed = match reader.body.frame().await {
            Some(Ok(frame)) => match frame.data_ref() {
                Some(data) => reader.assembler.feed(data, &mut reader.ready),
                None => Ok(()),
            },
            Some(Err(why)) => {
                Err(Fault::new(Kind::Unreachable, why.to_string()).because("the log stream was cut"))
            }
            None => {
                reader.ended = true;
                reader.assembler.finish(&mut reader.ready);
                Ok(())
            }
        };
        if let Err(fault) = fed {
            reader.ended = true;
            return Some((Err(fault), reader));
        }
    }
}
