//! Rules on images: what may run at all, checked when a pool file is pushed and again at placement.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::base::clock::Millis;
use crate::base::fault::{Fault, Kind, Outcome};
use crate::base::stamp::parse_rfc3339;
use crate::model::oci::{Digest, MANIFEST_MAX, Platform};

/// Builders that want equal bytes each time write this day, or the year 1, for "not told": before Docker's own first.
const OLDEST_TOLD: Millis = Millis(315_532_800_000);

/// Rules that an image must meet; what is not stated is not asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ImagePolicy {
    /// Registries that images may come from (`HOST[:PORT]`, `*` for any text); empty allows all.
    pub registries: Vec<String>,
    /// One of these digests must be its lowest layers: the bases that may be built upon, each a list of layers.
    pub bases: Vec<Base>,
    /// Ports that it must not expose.
    pub ports_denied: Vec<u16>,
    /// It must not run as root.
    pub no_root: bool,
    /// Labels that it must have; a value of `*` allows any that is not empty.
    pub labels: BTreeMap<String, String>,
    /// It must not be older than so many days.
    pub age_days_max: Option<u32>,
    /// It must be named by its digest.
    pub digest_required: bool,
    /// What becomes of an image that breaks a rule.
    pub breach: Stance,
    /// What becomes of an image of which it is not known whether it breaks a rule.
    pub unknown: Stance,
}

/// What becomes of an image that does not pass.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stance {
    /// It may not run.
    #[default]
    Refuse,
    /// It may run, and people are told.
    Warn,
}

/// The rules of an install, as somebody set them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredPolicy {
    /// The rules.
    pub policy: ImagePolicy,
    /// The text that they were read from, with its comments.
    pub source: String,
    /// Who set them.
    pub by: String,
    /// When.
    pub at: Millis,
}

/// An image, held against the rules.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageVerdict {
    /// Its name.
    pub image: String,
    /// What the name pointed to when it was looked at.
    #[serde(default)]
    pub digest: Option<Digest>,
    /// The rules that it does not meet, and those of which that is not known.
    pub breaches: Vec<Breach>,
    /// It may run: nothing is broken, or the rules only warn.
    pub passes: bool,
}

impl ImageVerdict {
    /// What is wrong with it, in one sentence; empty when nothing is.
    pub fn sentence(&self) -> String {
        let words: Vec<String> = self.breaches.iter().map(|b| format!("{}: {}", b.rule, b.why)).collect();
        words.join("; ")
    }
}

/// A base image that may be built upon.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Base {
    /// What people call it.
    pub name: String,
    /// The digests of its layers, uncompressed, the lowest first (`rootfs.diff_ids` of its configuration).
    pub layers: Vec<Digest>,
}

/// What an image's configuration says of it (image specification, image configuration).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ImageFacts {
    /// For which platform it was made.
    pub platform: Platform,
    /// When it was made.
    pub created: Option<Millis>,
    /// The user that its program runs as; empty means root.
    pub user: String,
    /// Ports that it exposes.
    pub ports: Vec<u16>,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// The digests of its layers, uncompressed, the lowest first.
    pub layers: Vec<Digest>,
}

/// One rule that an image does not meet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Breach {
    /// Which rule, by its key in the policy.
    pub rule: String,
    /// What is wrong, in words with the values found and wanted.
    pub why: String,
    /// It could not be looked at, for want of what it looks at. That is not a pass: whoever decides says so, too.
    #[serde(default)]
    pub unknown: bool,
}

impl ImagePolicy {
    /// Whether some rule looks at the image itself, and not only at its name.
    pub fn needs_facts(&self) -> bool {
        let ImagePolicy { bases, ports_denied, no_root, labels, age_days_max, .. } = self;
        !bases.is_empty()
            || !ports_denied.is_empty()
            || *no_root
            || !labels.is_empty()
            || age_days_max.is_some()
    }
}

/// The parts of an image configuration that are read. Engines write `null` where there is nothing.
#[derive(Deserialize)]
struct SaidOfImage {
    created: Option<String>,
    architecture: Option<String>,
    os: Option<String>,
    variant: Option<String>,
    config: Option<SaidOfRunning>,
    rootfs: Option<SaidOfLayers>,
}

#[derive(Default, Deserialize)]
struct SaidOfRunning {
    #[serde(rename = "User")]
    user: Option<String>,
    #[serde(rename = "ExposedPorts")]
    ports: Option<BTreeMap<String, serde::de::IgnoredAny>>,
    #[serde(rename = "Labels")]
    labels: Option<BTreeMap<String, Option<String>>>,
}

#[derive(Deserialize)]
struct SaidOfLayers {
    diff_ids: Option<Vec<Digest>>,
}

impl ImageFacts {
    /// Reads an image configuration. What is not in it stays at its default; what is in it and cannot be understood is a
    /// fault, because a rule would pass that was never looked at.
    ///
    /// # Errors
    /// `Invalid` when it is too long, no such JSON, or holds a time, a port or a digest that is none.
    pub fn read(config: &[u8]) -> Outcome<ImageFacts> {
        let wrong =
            |why: String| Fault::new(Kind::Invalid, why).because("an image configuration cannot be read");
        if config.len() > MANIFEST_MAX {
            return Err(wrong(format!("it has {} bytes, more than {MANIFEST_MAX}", config.len())));
        }
        let said: SaidOfImage = serde_json::from_slice(config).map_err(|e| wrong(e.to_string()))?;
        let created = match said.created.as_deref() {
            None | Some("") => None,
            Some(text) => {
                Some(parse_rfc3339(text).map_err(|f| f.because("an image configuration cannot be read"))?)
            }
        };
        let running = said.config.unwrap_or_default();
        let mut ports = BTreeSet::new();
        for text in running.ports.unwrap_or_default().keys() {
            let range =
                ports_of(text).ok_or_else(|| wrong(format!("it exposes {text:?}, which is no port")))?;
            ports.extend(range);
        }
        let labels = running.labels.unwrap_or_default().into_iter();
        Ok(ImageFacts {
            platform: Platform {
                os: said.os.unwrap_or_default(),
                architecture: said.architecture.unwrap_or_default(),
                variant: said.variant.filter(|v| !v.is_empty()),
            },
            created: created.filter(|at| *at >= OLDEST_TOLD),
            user: running.user.unwrap_or_default(),
            ports: ports.into_iter().collect(),
            labels: labels.map(|(key, value)| (key, value.unwrap_or_default())).collect(),
            layers: said.rootfs.and_then(|r| r.diff_ids).unwrap_or_default(),
        })
    }
}

/// `PORT`, `PORT/PROTOCOL` or `FIRST-LAST/PROTOCOL` (image specification, `ExposedPorts`; ranges are Docker's).
fn ports_of(text: &str) -> Option<std::ops::RangeInclusive<u16>> {
    let (numbers, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    let port = |digits: &str| {
        let is_number = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
        digits.parse::<u16>().ok().filter(|_| is_number)
    };
    let (first, last) = match numbers.split_once('-') {
        Some((first, last)) => (port(first)?, port(last)?),
        None => (port(numbers)?, port(numbers)?),
    };
    let is_protocol = !protocol.is_empty() && protocol.bytes().all(|b| b.is_ascii_alphanumeric());
    (is_protocol && first <= last).then_some(first..=last)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_configuration_is_read_as_engines_write_it() {
        let layer = Digest::of(b"layer");
        let text = format!(
            r#"{{"created":"2026-01-02T03:04:05.678901234Z","architecture":"arm64","os":"linux","variant":"v8",
                "config":{{"User":"1000:1000","ExposedPorts":{{"80/tcp":{{}},"53/udp":{{}},"9000-9002/tcp":{{}}}},
                "Labels":{{"a":"b","empty":null}},"Cmd":["x"]}},"rootfs":{{"type":"layers","diff_ids":["{layer}"]}},"history":[]}}"#
        );
        let facts = ImageFacts::read(text.as_bytes()).unwrap();
        assert_eq!(facts.platform.to_string(), "linux/arm64/v8");
        assert_eq!(facts.created, Some(parse_rfc3339("2026-01-02T03:04:05.678Z").unwrap()));
        assert_eq!(
            (facts.user.as_str(), facts.ports.as_slice()),
            ("1000:1000", &[53, 80, 9000, 9001, 9002][..])
        );
        assert_eq!(facts.labels.get("a").map(String::as_str), Some("b"));
        assert_eq!(facts.layers, [layer]);
    }

    #[test]
    fn what_is_missing_is_not_told_and_what_is_wrong_is_a_fault() {
        for bare in
            ["{}", r#"{"config":null,"rootfs":null,"created":""}"#, r#"{"config":{"ExposedPorts":null}}"#]
        {
            assert_eq!(ImageFacts::read(bare.as_bytes()).unwrap(), ImageFacts::default(), "{bare}");
        }
        let epoch = ImageFacts::read(br#"{"created":"1970-01-01T00:00:00Z"}"#).unwrap();
        assert_eq!(epoch.created, None, "reproducible builds do not tell when they were made");
        for bad in [
            "",
            "[]",
            "null",
            r#"{"created":"yesterday"}"#,
            r#"{"config":{"ExposedPorts":{"80-70/tcp":{}}}}"#,
            r#"{"config":{"ExposedPorts":{"+80/tcp":{}}}}"#,
            r#"{"config":{"ExposedPorts":{"65536":{}}}}"#,
            r#"{"config":{"User":0}}"#,
            r#"{"rootfs":{"diff_ids":["sha256:0"]}}"#,
            r#"{"config":{"User":"a"},"config":{"User":""}}"#,
        ] {
            assert!(ImageFacts::read(bad.as_bytes()).is_err(), "{bad}");
        }
        assert!(ImageFacts::read(&vec![b' '; MANIFEST_MAX + 1]).is_err());
    }

    proptest! {
        #[test]
        fn no_bytes_break_the_reader(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = ImageFacts::read(&bytes);
        }
    }
}
