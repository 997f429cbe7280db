//! Pulling an image with progress over its layers, given up when nothing moves.

use std::collections::HashMap;

use bytes::Bytes;
use serde::Deserialize;

use crate::adapters::credentials::Keyring;
use crate::adapters::docker::auth;
use crate::adapters::docker::client::{Client, timed_out};
use crate::adapters::docker::limits::{Limits, PULL, PULL_SILENCE};
use crate::adapters::docker::lines::Lines;
use crate::adapters::docker::{encode, faults, lifecycle};
use crate::base::fault::{Kind, Outcome};
use crate::model::prewarm::PullProgress;

/// Most layers that are followed: an image has at most 127, a hostile engine may name any number.
const LAYERS_MAX: usize = 1024;

/// A reference taken apart as the engine wants it: what to pull, and its tag or digest.
pub(super) fn split(image: &str) -> (&str, &str) {
    if image.contains('@') {
        return (image, "");
    }
    let name_at = image.rfind('/').map_or(0, |slash| slash + 1);
    match image.get(name_at..).and_then(|name| name.find(':')) {
        Some(colon) => {
            let (name, tag) = image.split_at(name_at + colon);
            (name, tag.trim_start_matches(':'))
        }
        // Without a tag the engine would pull every tag of the repository.
        None => (image, "latest"),
    }
}

/// The registry of a reference: the first part if it looks like a host, else Docker's own.
pub(super) fn registry(image: &str) -> &str {
    match image.split_once('/') {
        Some((host, _)) if host.contains(['.', ':']) || host == "localhost" => host,
        _ => "docker.io",
    }
}

/// Pulls an image unless it is there.
pub(super) async fn pull(
    client: &Client,
    credentials: &Keyring,
    image: &str,
    progress: &(dyn Fn(PullProgress) + Send + Sync),
) -> Outcome<()> {
    if lifecycle::has_image(client, image).await? {
        progress(PullProgress { thousandths: 1000, ..PullProgress::default() });
        return Ok(());
    }
    let login = auth::header(credentials, registry(image)).await?;
    let headers: Vec<(&str, &str)> = login.iter().map(|value| ("X-Registry-Auth", value.as_str())).collect();
    let (from, tag) = split(image);
    let path = format!("/images/create?fromImage={}&tag={}", encode(from), encode(tag));
    let because = || format!("cannot pull {image}");
    let response = client.post_stream(PULL, &path, Bytes::new(), &headers).await;
    let mut lines = Lines::new(response.map_err(|f| f.because(because()))?.into_body());
    let mut layers = Layers::default();
    loop {
        let Ok(next) = tokio::time::timeout(PULL_SILENCE, lines.next()).await else {
            return Err(timed_out(Limits { deadline: PULL_SILENCE, ..PULL }).because(because()));
        };
        let Some(line) = next else { break };
        let line = line.map_err(|why| client.cut(&why).because(because()))?;
        let Ok(said) = serde_json::from_slice::<Said>(&line) else { continue };
        if let Some(error) = said.error {
            return Err(faults::from_text(Kind::Refused, &error).because(because()));
        }
        if let Some(done) = layers.note(said) {
            progress(done);
        }
    }
    progress(PullProgress { thousandths: 1000, ..layers.now() });
    Ok(())
}

#[derive(Deserialize)]
struct Said {
    #[serde(default)]
    status: String,
    id: Option<String>,
    error: Option<String>,
    #[serde(rename = "progressDetail")]
    detail: Option<Detail>,
}

#[derive(Deserialize)]
struct Detail {
    current: Option<u64>,
    total: Option<u64>,
}

/// How much of each layer has arrived.
#[derive(Default)]
struct Layers {
    bytes: HashMap<String, (u64, u64)>,
    told: u16,
    arrived: u32,
}

impl Layers {
    /// Where it stands.
    fn now(&self) -> PullProgress {
        let (bytes, of) = self
            .bytes
            .values()
            .fold((0u64, 0u64), |(have, all), (h, a)| (have.saturating_add(*h), all.saturating_add(*a)));
        let of_layers =
            u32::try_from(self.bytes.values().filter(|(_, all)| *all > 0).count()).unwrap_or(u32::MAX);
        PullProgress { thousandths: self.told, bytes, of, layers: self.arrived, of_layers }
    }

    /// Notes a line; tells where it stands when the thousandths of the bytes known so far have grown. Unpacking is not counted.
    fn note(&mut self, said: Said) -> Option<PullProgress> {
        let id = said.id?;
        if self.bytes.len() >= LAYERS_MAX && !self.bytes.contains_key(&id) {
            return None;
        }
        let layer = self.bytes.entry(id).or_default();
        match (said.status.as_str(), said.detail) {
            ("Downloading", Some(Detail { current: Some(current), total: Some(total) })) => {
                *layer = (current.min(total), total);
            }
            ("Download complete" | "Pull complete", _) => {
                self.arrived += u32::from(layer.1 > 0 && said.status == "Download complete");
                layer.0 = layer.1;
            }
            _ => return None,
        }
        let (have, all) = self
            .bytes
            .values()
            .fold((0u128, 0u128), |(have, all), (h, a)| (have + u128::from(*h), all + u128::from(*a)));
        // 1000 is kept for the end: layers that are not announced yet may follow.
        let done = u16::try_from((have * 1000).checked_div(all)?).unwrap_or(1000).min(999);
        if done <= self.told {
            return None;
        }
        self.told = done;
        Some(self.now())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_taken_apart() {
        assert_eq!(split("busybox"), ("busybox", "latest"));
        assert_eq!(split("localhost:5000/a/b"), ("localhost:5000/a/b", "latest"));
        assert_eq!(split("localhost:5000/a/b:7"), ("localhost:5000/a/b", "7"));
        assert_eq!(split("a@sha256:00"), ("a@sha256:00", ""));
        let registries = ["busybox", "lab/busybox:1", "localhost/a", "r.example:5000/a/b"].map(registry);
        assert_eq!(registries, ["docker.io", "docker.io", "localhost", "r.example:5000"]);
    }

    #[test]
    fn progress_only_grows_and_leaves_the_end_open() {
        let mut layers = Layers::default();
        let mut note = |json: &str| layers.note(serde_json::from_str(json).unwrap()).map(|p| p.thousandths);
        let down = |id: &str, current: u64, total: u64| {
            format!(
                r#"{{"status":"Downloading","id":"{id}","progressDetail":{{"current":{current},"total":{total}}}}}"#
            )
        };
        assert_eq!(note(r#"{"status":"Pulling from lab/busybox","id":"1"}"#), None);
        assert_eq!(note(&down("a", 50, 100)), Some(500));
        assert_eq!(note(&down("b", 0, 100)), None);
        assert_eq!(note(&down("b", 60, 100)), Some(550));
        assert_eq!(note(r#"{"status":"Download complete","id":"a","progressDetail":{}}"#), Some(800));
        assert_eq!(note(r#"{"status":"Pull complete","id":"b"}"#), Some(999));
    }
}
