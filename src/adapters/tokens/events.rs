//! What registries report (Distribution's notifications): read into hints, everything else left out.

use serde::Deserialize;

use crate::base::fault::{Fault, Kind, Outcome};
use crate::base::ids::RegistryName;
use crate::model::oci::MEDIA_TYPES;
use crate::ports::desk::{Happened, Hint};

/// The media types of a report: the documents say the second, Distribution 2.8.2 sends the first.
pub const TYPES: &[&str] = &[
    "application/vnd.docker.distribution.events.v1+json",
    "application/vnd.docker.distribution.events.v2+json",
];

#[derive(Deserialize)]
struct Report {
    events: Vec<Event>,
}

#[derive(Deserialize)]
#[serde(default, rename_all = "camelCase")]
#[derive(Default)]
struct Event {
    action: String,
    target: Target,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Target {
    media_type: String,
    digest: String,
    repository: String,
    tag: String,
}

/// The hints in a report. Pulls, blobs, and what names no repository are left out.
///
/// # Errors
/// `Invalid` when it is no report.
pub fn read(registry: Option<&RegistryName>, body: &[u8]) -> Outcome<Vec<Hint>> {
    let report: Report = serde_json::from_slice(body)
        .map_err(|e| Fault::new(Kind::Invalid, format!("the report cannot be read: {e}")))?;
    Ok(report.events.iter().filter_map(|event| hint(registry, event)).collect())
}

fn hint(registry: Option<&RegistryName>, event: &Event) -> Option<Hint> {
    let target = &event.target;
    let action = match event.action.as_str() {
        "push" => Happened::Push,
        "delete" => Happened::Delete,
        _ => return None,
    };
    let is_manifest = MEDIA_TYPES.iter().any(|(name, _)| *name == target.media_type);
    if action == Happened::Push && !is_manifest {
        return None;
    }
    Some(Hint {
        registry: registry.cloned(),
        repository: target.repository.parse().ok()?,
        tag: target.tag.parse().ok(),
        digest: target.digest.parse().ok(),
        action,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::oci::Tag;

    #[test]
    fn pushes_and_deletes_of_manifests_become_hints_and_nothing_else_does() {
        let digest = format!("sha256:{}", "0".repeat(64));
        let event = |action: &str, media: &str, repository: &str, tag: &str| {
            serde_json::json!({"id": "1", "action": action, "request": {"addr": "x"}, "target":
                {"mediaType": media, "digest": digest, "repository": repository, "tag": tag, "size": 1}})
        };
        let manifest = "application/vnd.oci.image.manifest.v1+json";
        let mut gone = event("delete", "", "feed/web", "");
        gone["target"].as_object_mut().unwrap().remove("mediaType");
        let body = serde_json::json!({"events": [
            event("push", manifest, "feed/web", "1.0"),
            event("push", "application/octet-stream", "feed/web", ""),
            event("pull", manifest, "feed/web", "1.0"),
            event("mount", manifest, "feed/web", ""),
            event("push", manifest, "../etc", "1.0"),
            event("push", manifest, "feed/web", "\u{1b}]0;x"),
            {"action": "push"},
            {},
            gone,
        ]});
        let name: RegistryName = "north".parse().unwrap();
        let hints = read(Some(&name), body.to_string().as_bytes()).unwrap();
        let seen: Vec<_> = hints
            .iter()
            .map(|h| (h.action, h.repository.as_str(), h.tag.as_ref().map(Tag::as_str)))
            .collect();
        let expected = [
            (Happened::Push, "feed/web", Some("1.0")),
            (Happened::Push, "feed/web", None),
            (Happened::Delete, "feed/web", None),
        ];
        assert_eq!(seen, expected);
        assert!(hints.iter().all(|h| h.registry.as_ref() == Some(&name) && h.digest.is_some()));
        for bad in ["", "[]", "{}", "{\"events\": 1}", "null"] {
            assert!(read(None, bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
