//! The name of an image, read: its registry, its repository, its tag, its digest.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::base::fault::{Fault, Kind, Outcome};
use crate::model::oci::{Digest, Reference, Repository, Tag};

/// Docker's names for its own registry, the usual one first.
pub const HUB: [&str; 3] = ["docker.io", "index.docker.io", "registry-1.docker.io"];

/// One name for Docker's own registry; all others are what they are.
pub fn own_name(registry: &str) -> &str {
    if HUB.contains(&registry) { HUB[0] } else { registry }
}

/// Whether the first part of a reference is the address of a registry (distribution/reference, `splitDockerDomain`).
pub fn is_address(first: &str) -> bool {
    first.contains(['.', ':']) || first == "localhost" || first.bytes().any(|b| b.is_ascii_uppercase())
}

/// The name of an image as pool files have it: `[HOST[:PORT]/]PATH[:TAG][@DIGEST]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageName {
    /// The registry; Docker's own where none is named.
    pub registry: String,
    /// The path in it.
    pub repository: Repository,
    /// The tag; `latest` where neither tag nor digest is named.
    pub tag: Option<Tag>,
    /// The digest.
    pub digest: Option<Digest>,
}

impl ImageName {
    /// By what its manifest is asked for: the digest goes before the tag.
    pub fn reference(&self) -> Option<Reference> {
        let by_digest = self.digest.clone().map(Reference::Digest);
        by_digest.or_else(|| self.tag.clone().map(Reference::Tag))
    }
}

impl FromStr for ImageName {
    type Err = Fault;
    fn from_str(text: &str) -> Outcome<ImageName> {
        let wrong = |fault: Fault| {
            let why = format!("{text:?} is not the name of an image");
            Fault { kind: Kind::Invalid, ..fault }
                .because(why)
                .hint("write [HOST[:PORT]/]PATH[:TAG][@DIGEST]")
        };
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) => (rest, Some(digest.parse().map_err(wrong)?)),
            None => (text, None),
        };
        let (registry, path) = match rest.split_once('/') {
            Some((first, path)) if is_address(first) => (own_name(first), path),
            _ => (HUB[0], rest),
        };
        let (path, tag) = match path.rsplit_once(':') {
            Some((path, tag)) => (path, Some(tag.parse::<Tag>().map_err(wrong)?)),
            None => (path, None),
        };
        let is_official = registry == HUB[0] && !path.contains('/');
        let repository =
            if is_official { format!("library/{path}").parse() } else { path.parse() }.map_err(wrong)?;
        let tag = match (tag, &digest) {
            (None, None) => Some("latest".parse()?),
            (tag, _) => tag,
        };
        Ok(ImageName { registry: registry.to_owned(), repository, tag, digest })
    }
}

impl fmt::Display for ImageName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.registry, self.repository)?;
        self.tag.as_ref().map_or(Ok(()), |tag| write!(f, ":{tag}"))?;
        self.digest.as_ref().map_or(Ok(()), |digest| write!(f, "@{digest}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_the_docker_cli_reads_them() {
        let digest = Digest::of(b"x");
        let by_digest = format!("localhost/a/b:1@{digest}");
        let bare = format!("r.example/a@{digest}");
        let read = |text: &str| text.parse::<ImageName>().map(|name| name.to_string());
        for (text, is) in [
            ("nginx", "docker.io/library/nginx:latest"),
            ("a/b:v1", "docker.io/a/b:v1"),
            ("index.docker.io/library/x", "docker.io/library/x:latest"),
            ("r.example:5000/feed/web:v1", "r.example:5000/feed/web:v1"),
            ("r.example:5000/web", "r.example:5000/web:latest"),
            (by_digest.as_str(), by_digest.as_str()),
            (bare.as_str(), bare.as_str()),
            ("Hub/b", "Hub/b:latest"),
        ] {
            assert_eq!(read(text).unwrap(), is, "{text}");
        }
        for bad in ["", "r.example/", "a:b:c", "a/B", "a@sha256:1", "a b", "/a"] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}
