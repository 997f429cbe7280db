//! Names, digests and manifests of the OCI distribution and image specifications (v1.1), and of Docker's older forms of them.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::base::fault::{Fault, Kind, Outcome};
use crate::base::hash::sha256;

/// The longest name of a repository, in bytes: many clients allow 255 for the host and this together.
pub const REPOSITORY_MAX: usize = 255;
/// The longest manifest that is read, in bytes: the specification asks registries to take at least 4 MiB.
pub const MANIFEST_MAX: usize = 4 << 20;

/// What a blob or a manifest is called by its content: `sha256:` and 64 hexadecimal digits, or another algorithm's form.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Digest(Arc<str>);

impl Digest {
    /// The digest of these bytes.
    pub fn of(bytes: &[u8]) -> Digest {
        Digest::of_sum(&sha256(bytes))
    }

    /// The digest with this SHA-256 sum in hexadecimal digits.
    pub fn of_sum(hex: &str) -> Digest {
        Digest(format!("sha256:{hex}").into())
    }

    /// The whole text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The algorithm's name, before the colon.
    pub fn algorithm(&self) -> &str {
        self.0.split_once(':').map_or("", |(algorithm, _)| algorithm)
    }

    /// What follows the colon.
    pub fn hex(&self) -> &str {
        self.0.split_once(':').map_or("", |(_, hex)| hex)
    }

    /// The first twelve digits, as people know it.
    pub fn short(&self) -> &str {
        self.hex().get(..12).unwrap_or(self.hex())
    }

    /// The tag under which clients keep referrers where a registry does not (image specification, referrers tag schema).
    pub fn referrers_tag(&self) -> Option<Tag> {
        let hex = self.hex();
        format!("{}-{}", self.algorithm(), hex.get(..64).unwrap_or(hex)).parse().ok()
    }
}

impl FromStr for Digest {
    type Err = Fault;
    fn from_str(text: &str) -> Outcome<Digest> {
        let hex = |s: &str| s.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        let is_ok = match text.split_once(':') {
            Some(("sha256", sum)) => sum.len() == 64 && hex(sum),
            Some(("sha512", sum)) => sum.len() == 128 && hex(sum),
            Some((algorithm, sum)) => {
                let name = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"+._-".contains(&b);
                let word = |b: u8| b.is_ascii_alphanumeric() || b"=_-".contains(&b);
                !algorithm.is_empty()
                    && algorithm.bytes().all(name)
                    && (32..=256).contains(&sum.len())
                    && sum.bytes().all(word)
            }
            None => false,
        };
        if is_ok {
            return Ok(Digest(text.into()));
        }
        Err(Fault::new(Kind::Invalid, format!("{text:?} is not a digest"))
            .hint("a digest is `sha256:` and 64 hexadecimal digits"))
    }
}

/// The path of a repository in its registry, such as `feed/web`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Repository(Arc<str>);

impl Repository {
    /// The path.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Its first part: the project, to which rights are given.
    pub fn project(&self) -> &str {
        self.0.split_once('/').map_or(&self.0, |(project, _)| project)
    }
}

impl FromStr for Repository {
    type Err = Fault;
    fn from_str(text: &str) -> Outcome<Repository> {
        if text.len() <= REPOSITORY_MAX && !text.is_empty() && text.split('/').all(is_path_part) {
            return Ok(Repository(text.into()));
        }
        Err(Fault::new(Kind::Invalid, format!("{text:?} is not the name of a repository"))
            .hint("lower-case letters and digits, with `.`, `_`, `__` or `-` between them, in parts with `/` between"))
    }
}

/// `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*`: between two letters or digits stands one of these separators.
fn is_path_part(part: &str) -> bool {
    let word = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let (bytes, mut i) = (part.as_bytes(), 0);
    if !bytes.first().copied().is_some_and(word) || !bytes.last().copied().is_some_and(word) {
        return false;
    }
    while let Some(from) = bytes.get(i..) {
        let gap: Vec<u8> = from.iter().copied().take_while(|b| !word(*b)).collect();
        let is_ok =
            matches!(gap.as_slice(), [] | [b'.' | b'_'] | [b'_', b'_']) || gap.iter().all(|b| *b == b'-');
        if !is_ok {
            return false;
        }
        i += gap.len().max(1);
    }
    true
}

/// A name that points to a manifest and can be moved.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Tag(Arc<str>);

impl Tag {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Tag {
    type Err = Fault;
    fn from_str(text: &str) -> Outcome<Tag> {
        let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
        let first = text.bytes().next().is_some_and(word);
        if first && text.len() <= 128 && text.bytes().all(|b| word(b) || b == b'.' || b == b'-') {
            return Ok(Tag(text.into()));
        }
        Err(Fault::new(Kind::Invalid, format!("{text:?} is not a tag"))
            .hint("a tag is 1 to 128 letters, digits, `_`, `.` or `-`, the first a letter, a digit or `_`"))
    }
}

macro_rules! text_type {
    ($($type:ident),*) => {$(
        impl TryFrom<String> for $type {
            type Error = Fault;
            fn try_from(text: String) -> Outcome<$type> {
                text.parse()
            }
        }
        impl From<$type> for String {
            fn from(value: $type) -> String {
                value.0.to_string()
            }
        }
        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }
        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", &self.0)
            }
        }
    )*};
}
text_type!(Digest, Repository, Tag);

/// By what a manifest is asked for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reference {
    /// By a name that can be moved.
    Tag(Tag),
    /// By its content.
    Digest(Digest),
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reference::Tag(tag) => tag.fmt(f),
            Reference::Digest(digest) => digest.fmt(f),
        }
    }
}

/// The media types of the manifests that longshore carries.
pub const MEDIA_TYPES: &[(&str, Form)] = &[
    ("application/vnd.oci.image.manifest.v1+json", Form::Image),
    ("application/vnd.oci.image.index.v1+json", Form::Index),
    ("application/vnd.docker.distribution.manifest.v2+json", Form::Image),
    ("application/vnd.docker.distribution.manifest.list.v2+json", Form::Index),
];

/// What a manifest describes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Form {
    /// A configuration and layers: an image for one platform, or any artifact.
    Image,
    /// Other manifests, often one for each platform.
    Index,
}

/// `OS/ARCHITECTURE[/VARIANT]`, for which an image was made.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(default)]
pub struct Platform {
    /// The operating system, such as `linux`.
    pub os: String,
    /// The processor, such as `amd64`.
    pub architecture: String,
    /// Its variant, such as `v8`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        self.variant.as_ref().map_or(Ok(()), |v| write!(f, "/{v}"))
    }
}

/// What points to a blob or a manifest (image specification, descriptor).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    /// What it is.
    #[serde(default)]
    pub media_type: String,
    /// Its content.
    pub digest: Digest,
    /// Its length in bytes.
    #[serde(default)]
    pub size: u64,
    /// For which platform it was made, in an index.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<Platform>,
    /// What kind of artifact a referrer is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
    /// Addresses outside of any registry; such layers are not carried (image specification: non-distributable).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub urls: Vec<String>,
    /// Free notes.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

/// A manifest: its bytes as they came, which are what its digest is of, and what they say.
#[derive(Clone, Debug, PartialEq)]
pub struct Manifest {
    /// Its media type, as it was served; it must be put with the same.
    pub media_type: String,
    /// Its bytes, never written anew.
    pub bytes: Arc<[u8]>,
    /// The digest of the bytes.
    pub digest: Digest,
    /// What it describes.
    pub form: Form,
    /// Blobs that it needs: the configuration first, then the layers, without those that live elsewhere.
    pub blobs: Vec<Descriptor>,
    /// Manifests that it needs, of an index.
    pub manifests: Vec<Descriptor>,
    /// What it says something about, when it is a referrer.
    pub subject: Option<Descriptor>,
    /// What kind of artifact it is.
    pub artifact_type: Option<String>,
    /// Free notes.
    pub annotations: BTreeMap<String, String>,
}

/// The parts of a manifest that are read; all else stays in the bytes.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Said {
    #[serde(default)]
    schema_version: u32,
    media_type: Option<String>,
    config: Option<Descriptor>,
    layers: Option<Vec<Descriptor>>,
    manifests: Option<Vec<Descriptor>>,
    subject: Option<Descriptor>,
    artifact_type: Option<String>,
    annotations: Option<BTreeMap<String, String>>,
}

impl Manifest {
    /// Reads a manifest that was served with this media type (none, or one that says nothing, is settled by the content).
    ///
    /// # Errors
    /// When it is not one of the four kinds, or makes no sense.
    pub fn read(media_type: &str, bytes: impl Into<Arc<[u8]>>) -> Outcome<Manifest> {
        let bytes: Arc<[u8]> = bytes.into();
        let wrong = |why: String| Fault::new(Kind::Invalid, why).because("a manifest cannot be read");
        if bytes.len() > MANIFEST_MAX {
            return Err(wrong(format!("it has {} bytes, more than {MANIFEST_MAX}", bytes.len())));
        }
        let said: Said = serde_json::from_slice(&bytes).map_err(|e| wrong(e.to_string()))?;
        if said.schema_version != 2 {
            let version = said.schema_version;
            return Err(wrong(format!("its schema version is {version}; only 2 is carried")));
        }
        let served = media_type.split(';').next().unwrap_or_default().trim();
        let known = |name: &str| MEDIA_TYPES.iter().find(|(m, _)| *m == name).copied();
        let by_content = || if said.manifests.is_some() { MEDIA_TYPES.get(1) } else { MEDIA_TYPES.first() };
        let named = known(served).or_else(|| said.media_type.as_deref().and_then(known));
        let is_vague = served.is_empty() || matches!(served, "application/json" | "application/octet-stream");
        let Some((media_type, form)) = named.or_else(|| by_content().copied().filter(|_| is_vague)) else {
            return Err(wrong(format!("its media type {served:?} is not known")));
        };
        let here = |d: &Descriptor| d.urls.is_empty();
        let layers = said.layers.unwrap_or_default().into_iter().filter(here);
        let (blobs, manifests) = match form {
            Form::Image => (said.config.into_iter().chain(layers).collect(), Vec::new()),
            Form::Index => (Vec::new(), said.manifests.unwrap_or_default()),
        };
        Ok(Manifest {
            media_type: media_type.to_owned(),
            digest: Digest::of(&bytes),
            bytes,
            form,
            blobs,
            manifests,
            subject: said.subject,
            artifact_type: said.artifact_type,
            annotations: said.annotations.unwrap_or_default(),
        })
    }

    /// The descriptor of this manifest.
    pub fn descriptor(&self) -> Descriptor {
        Descriptor {
            media_type: self.media_type.clone(),
            digest: self.digest.clone(),
            size: self.bytes.len() as u64,
            platform: None,
            artifact_type: self.artifact_type.clone(),
            urls: Vec::new(),
            annotations: self.annotations.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_specification() {
        for good in ["a", "feed/web", "a.b_c__d---e/f0", "library/busybox"] {
            assert!(good.parse::<Repository>().is_ok(), "{good}");
        }
        for bad in ["", "/", "a/", "/a", "A", "a..b", "a___b", "a._b", "-a", "a-", "a b", "a//b"] {
            assert!(bad.parse::<Repository>().is_err(), "{bad}");
        }
        assert!("v2.31_a-b".parse::<Tag>().is_ok() && "_x".parse::<Tag>().is_ok());
        assert!(["", ".a", "-a", "a:b", &"x".repeat(129)].iter().all(|t| t.parse::<Tag>().is_err()));
        let digest = Digest::of(b"");
        assert_eq!(digest.as_str().parse::<Digest>().unwrap(), digest);
        assert!(
            ["", "sha256:", "sha256:00", "sha256", &digest.as_str().to_uppercase()]
                .iter()
                .all(|d| d.parse::<Digest>().is_err())
        );
    }

    #[test]
    fn a_manifest_keeps_its_bytes_and_says_what_it_needs() {
        let (config, layer) = (Digest::of(b"{}"), Digest::of(b"layer"));
        let text = format!(
            r#"{{"schemaVersion":2,"config":{{"digest":"{config}","size":2}},"layers":[{{"digest":"{layer}","size":5}},{{"digest":"{layer}","size":5,"urls":["https://elsewhere.example/x"]}}]}}"#
        );
        let manifest =
            Manifest::read("application/vnd.oci.image.manifest.v1+json; charset=utf-8", text.as_bytes())
                .unwrap();
        assert_eq!(manifest.blobs.iter().map(|b| &b.digest).collect::<Vec<_>>(), [&config, &layer]);
        assert_eq!(manifest.digest, Digest::of(text.as_bytes()));
        assert_eq!(Manifest::read("", text.as_bytes()).unwrap().form, Form::Image);
        assert!(Manifest::read("text/html", text.as_bytes()).is_err());
        assert!(Manifest::read("", &br#"{"schemaVersion":1}"#[..]).is_err());
    }
}
