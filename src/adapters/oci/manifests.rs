//! Manifests: looked at, read with their digest checked, put byte for byte, removed.

use bytes::Bytes;
use reqwest::header::{ACCEPT, CONTENT_TYPE};
use reqwest::{Method, StatusCode};

use crate::adapters::oci::Inner;
use crate::adapters::oci::call::{Call, Got, headers};
use crate::adapters::oci::challenge::scope;
use crate::adapters::oci::faults;
use crate::base::fault::{Fault, Kind, Outcome};
use crate::model::oci::{
    Descriptor, Digest, MANIFEST_MAX, MEDIA_TYPES, Manifest, Reference, Repository, Tag,
};
use crate::ports::registry::Action;

/// The digest that the registry says its answer has.
const DIGEST: &str = "docker-content-digest";
/// Present where the registry itself keeps the list of referrers (distribution specification, pushing manifests with subject).
const SUBJECT: &str = "oci-subject";

/// True when the media type is one that we carry: others show that the header cannot be relied on.
fn is_known(media_type: &str) -> bool {
    MEDIA_TYPES.iter().any(|(m, _)| *m == media_type)
}

impl Inner {
    fn about(&self, what: &str, of: &Repository, reference: &Reference, method: Method) -> Outcome<Call> {
        let action = match method {
            Method::PUT => Action::Push,
            Method::DELETE => Action::Delete,
            _ => Action::Pull,
        };
        let path = format!("/v2/{of}/manifests/{reference}");
        let call = self.get(format!("{what} {}", named(of, reference)), path, vec![scope(of, action)]);
        // All four: without them Distribution serves another form, under another digest.
        let accept = MEDIA_TYPES.iter().map(|(m, _)| (ACCEPT, (*m).to_owned())).collect::<Vec<_>>();
        Ok(Call { method, headers: headers(&accept)?, cap: Some(MANIFEST_MAX), ..call })
    }

    pub(super) async fn head(&self, of: &Repository, reference: &Reference) -> Outcome<Option<Descriptor>> {
        let got = self.caller.send(&self.about("look at", of, reference, Method::HEAD)?).await?;
        if got.status == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        let got = got.ok().map_err(|why| why.because(format!("cannot look at {}", named(of, reference))))?;
        let digest = got.header(DIGEST).and_then(|d| d.parse::<Digest>().ok());
        let media_type = got.header("content-type").and_then(|t| t.split(';').next()).map(str::trim);
        let size = got.header("content-length").and_then(|l| l.parse::<u64>().ok());
        match (digest, media_type, size) {
            (Some(digest), Some(media_type), Some(size)) if is_known(media_type) => {
                check(reference, &digest).map_err(|why| why.because(named(of, reference)))?;
                let media_type = media_type.to_owned();
                let (urls, annotations) = (Vec::new(), std::collections::BTreeMap::new());
                Ok(Some(Descriptor {
                    media_type,
                    digest,
                    size,
                    platform: None,
                    artifact_type: None,
                    urls,
                    annotations,
                }))
            }
            // Not all registries tell it so: then the manifest itself does.
            _ => Ok(self.find(of, reference).await?.map(|m| m.descriptor())),
        }
    }

    pub(super) async fn manifest(&self, of: &Repository, reference: &Reference) -> Outcome<Manifest> {
        match self.look(of, reference).await? {
            Ok(manifest) => Ok(manifest),
            Err(absent) => Err(absent.fault().because(format!("cannot read {}", named(of, reference)))),
        }
    }

    /// The manifest, if it is there.
    pub(super) async fn find(&self, of: &Repository, reference: &Reference) -> Outcome<Option<Manifest>> {
        Ok(self.look(of, reference).await?.ok())
    }

    async fn look(&self, of: &Repository, reference: &Reference) -> Outcome<Result<Manifest, Got>> {
        let because = |why: Fault| why.because(format!("cannot read {}", named(of, reference)));
        let got =
            self.caller.send(&self.about("read", of, reference, Method::GET)?).await.map_err(because)?;
        if got.status == StatusCode::NOT_FOUND {
            return Ok(Err(got));
        }
        let got = got.ok().map_err(because)?;
        // The digest first: damage is told as such, not as a text that makes no sense.
        let found = Digest::of(&got.body);
        check(reference, &found).map_err(because)?;
        if let Some(said) = got.header(DIGEST).and_then(|d| d.parse::<Digest>().ok()) {
            check(&Reference::Digest(said), &found).map_err(because)?;
        }
        let manifest = Manifest::read(got.header("content-type").unwrap_or_default(), &got.body[..]);
        let manifest = manifest.map_err(because)?;
        Ok(Ok(manifest))
    }

    pub(super) async fn put_manifest(
        &self,
        to: &Repository,
        at: &Reference,
        manifest: &Manifest,
    ) -> Outcome<()> {
        let got = self.put(to, at, manifest).await?;
        match &manifest.subject {
            Some(subject) if got.header(SUBJECT).is_none() => {
                let kept = self.keep_referrer(to, &subject.digest, manifest).await;
                kept.map_err(|why| {
                    why.because(format!("{} is there, but not listed as a referrer", named(to, at)))
                })
            }
            _ => Ok(()),
        }
    }

    /// Puts it and nothing more.
    pub(super) async fn put(&self, to: &Repository, at: &Reference, manifest: &Manifest) -> Outcome<Got> {
        check(at, &manifest.digest)?;
        let call = self.about("write", to, at, Method::PUT)?;
        let call = Call {
            headers: headers(&[(CONTENT_TYPE, manifest.media_type.clone())])?,
            body: Bytes::copy_from_slice(&manifest.bytes),
            deadline: self.caller.auth.limits.list,
            ..call
        };
        let because = |why: Fault| why.because(format!("cannot write {}", named(to, at)));
        let got = self.caller.send(&call).await.map_err(because)?;
        if !got.status.is_success() {
            let codes = faults::codes(&got.body);
            let is_needed = codes.iter().any(|c| matches!(c.as_str(), "BLOB_UNKNOWN" | "MANIFEST_UNKNOWN"));
            let fault = got.fault();
            // Some say of what is missing only that it is unknown.
            return Err(because(if is_needed { Fault { kind: Kind::Conflict, ..fault } } else { fault }));
        }
        if let Some(said) = got.header(DIGEST).and_then(|d| d.parse::<Digest>().ok()) {
            check(&Reference::Digest(said), &manifest.digest).map_err(because)?;
        }
        Ok(got)
    }

    pub(super) async fn delete_manifest(&self, of: &Repository, digest: &Digest) -> Outcome<()> {
        let reference = Reference::Digest(digest.clone());
        let got = self.caller.send(&self.about("remove", of, &reference, Method::DELETE)?).await?;
        if got.status.is_success() || got.status == StatusCode::NOT_FOUND {
            return Ok(());
        }
        Err(got.fault().because(format!("cannot remove {}", named(of, &reference))))
    }

    pub(super) async fn delete_tag(&self, of: &Repository, tag: &Tag) -> Outcome<()> {
        let reference = Reference::Tag(tag.clone());
        let got = self.caller.send(&self.about("remove", of, &reference, Method::DELETE)?).await?;
        if got.status.is_success() || got.status == StatusCode::NOT_FOUND {
            return Ok(());
        }
        let fault = got.fault().because(format!("cannot remove {}", named(of, &reference)));
        let is_unable = matches!(got.status.as_u16(), 400 | 405 | 501);
        if !is_unable {
            return Err(fault);
        }
        // It says so of any tag, also of one that is not there.
        if self.head(of, &reference).await?.is_none() {
            return Ok(());
        }
        let hint = "this registry removes manifests only, with all of their tags: remove the digest";
        Err(Fault { kind: Kind::Refused, ..fault }.hint(hint))
    }
}

/// `feed/web:v1` or `feed/web@sha256:…`.
fn named(of: &Repository, reference: &Reference) -> String {
    match reference {
        Reference::Tag(tag) => format!("{of}:{tag}"),
        Reference::Digest(digest) => format!("{of}@{digest}"),
    }
}

/// What was asked for by digest has that digest.
fn check(asked: &Reference, found: &Digest) -> Outcome<()> {
    match asked {
        Reference::Digest(digest) if digest.algorithm() != found.algorithm() => {
            let words = format!("digests by {} are not checked here", digest.algorithm());
            Err(Fault::new(Kind::Refused, words))
        }
        Reference::Digest(digest) if digest != found => {
            Err(Fault::new(Kind::Invalid, format!("the content has the digest {found}, not {digest}"))
                .hint("it was damaged on the way or in the registry: nothing was taken"))
        }
        Reference::Digest(_) | Reference::Tag(_) => Ok(()),
    }
}
