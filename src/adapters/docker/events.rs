//! The engine's event stream, as hints about containers.

use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};
use serde::Deserialize;

use crate::adapters::docker::client::Client;
use crate::adapters::docker::encode;
use crate::adapters::docker::limits::OPEN;
use crate::adapters::docker::lines::Lines;
use crate::base::clock::Millis;
use crate::base::fault::{Fault, Kind, Outcome};
use crate::base::ids::ContainerId;
use crate::ports::runtime::EngineEvent;

/// The events that change what a list would show; exec and attach events would drown them.
const WANTED: &str = r#"{"type":["container"],"event":["create","start","die","stop","kill","oom","destroy","rename","pause","unpause","health_status"]}"#;

#[derive(Deserialize)]
struct Event {
    #[serde(rename = "Action")]
    action: String,
    #[serde(rename = "Actor")]
    actor: Option<Actor>,
    #[serde(default)]
    time: i64,
    #[serde(default, rename = "timeNano")]
    nanos: i64,
}

#[derive(Deserialize)]
struct Actor {
    #[serde(rename = "ID", default)]
    id: String,
}

/// Opens the stream. It has no deadline: an idle engine says nothing for hours.
pub(super) async fn open(client: &Client) -> Outcome<BoxStream<'static, Outcome<EngineEvent>>> {
    let response = client.stream(OPEN, &format!("/events?filters={}", encode(WANTED))).await?;
    let lines = Lines::new(response.into_body());
    let events = stream::unfold(Some(lines), |lines| async move {
        let mut lines = lines?;
        loop {
            match lines.next().await? {
                Ok(line) => match read(&line) {
                    Some(event) => return Some((Ok(event), Some(lines))),
                    // A line that makes no sense is no reason to lose the others: the list is the truth.
                    None => continue,
                },
                Err(why) => {
                    let fault = Fault::new(Kind::Unreachable, why.to_string());
                    return Some((Err(fault.because("the event stream was cut")), None));
                }
            }
        }
    });
    Ok(events.boxed())
}

fn read(line: &[u8]) -> Option<EngineEvent> {
    let event: Event = serde_json::from_slice(line).ok()?;
    let at = if event.nanos > 0 { event.nanos / 1_000_000 } else { event.time.saturating_mul(1000) };
    let container = event.actor.filter(|a| !a.id.is_empty()).map(|a| ContainerId::new(&a.id));
    Some(EngineEvent { container, action: event.action.into(), at: Millis(at) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_read_and_nonsense_is_not() {
        let line = br#"{"status":"die","id":"ab","from":"i","Type":"container","Action":"die","Actor":{"ID":"ab",
            "Attributes":{"exitCode":"1"}},"scope":"local","time":1795210952,"timeNano":1795210952500000000}"#;
        assert_eq!(
            read(line),
            Some(EngineEvent {
                container: Some(ContainerId::new("ab")),
                action: "die".into(),
                at: Millis(1_795_210_952_500)
            })
        );
        for bad in [&b"{}"[..], b"[]", b"<html>", b"\xff", b"{\"Action\":3}"] {
            assert_eq!(read(bad), None);
        }
    }
}
