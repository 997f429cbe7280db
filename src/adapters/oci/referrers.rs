//! What says something about a manifest: the registry's own list, or the tag that stands for it (distribution specification,
//! listing referrers and the referrers tag schema).

use std::sync::atomic::Ordering;

use reqwest::StatusCode;
use reqwest::header::ACCEPT;
use serde_json::json;

use crate::adapters::oci::Inner;
use crate::adapters::oci::call::{Call, headers};
use crate::adapters::oci::challenge::scope;
use crate::adapters::oci::faults;
use crate::adapters::oci::limits::{LIST_CAP, REFERRER_PAGES};
use crate::base::fault::{Fault, Kind, Outcome};
use crate::model::oci::{Descriptor, Digest, Form, Manifest, Reference, Repository};
use crate::ports::registry::Action;

const INDEX: &str = "application/vnd.oci.image.index.v1+json";

#[derive(serde::Deserialize)]
struct Listed {
    manifests: Option<Vec<Descriptor>>,
}

impl Inner {
    pub(super) async fn referrers_of(&self, of: &Repository, digest: &Digest) -> Outcome<Vec<Descriptor>> {
        let because = |why: Fault| why.because(format!("cannot list what refers to {of}@{digest}"));
        if !self.no_referrers.load(Ordering::Relaxed)
            && let Some(listed) = self.listed_referrers(of, digest).await.map_err(because)?
        {
            return Ok(listed);
        }
        let index = self.referrers_tag(of, digest).await.map_err(because)?;
        Ok(index.map(|m| m.manifests).unwrap_or_default())
    }

    /// By the registry's own list; `None` where it has none.
    async fn listed_referrers(&self, of: &Repository, digest: &Digest) -> Outcome<Option<Vec<Descriptor>>> {
        let (mut out, mut path) = (Vec::new(), format!("/v2/{of}/referrers/{digest}"));
        for page in 0..REFERRER_PAGES {
            let call =
                self.get(format!("list what refers to {of}"), path.clone(), vec![scope(of, Action::Pull)]);
            let accept = headers(&[(ACCEPT, INDEX.to_owned())])?;
            let got = self.caller.send(&Call { headers: accept, cap: Some(LIST_CAP), ..call }).await?;
            let is_none = matches!(got.status, StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED);
            if page == 0 && is_none {
                // Without a code of a registry it is the path that is not known: no use in asking again.
                if faults::codes(&got.body).is_empty() {
                    self.no_referrers.store(true, Ordering::Relaxed);
                }
                return Ok(None);
            }
            let got = got.ok()?;
            let wrong = |why: String| Fault::new(Kind::Invalid, why).because("the list makes no sense");
            let listed: Listed = serde_json::from_slice(&got.body).map_err(|why| wrong(why.to_string()))?;
            out.extend(listed.manifests.ok_or_else(|| wrong("it is no index".to_owned()))?);
            match self.next_of(&path, &got)? {
                Some(next) => path = next,
                None => return Ok(Some(out)),
            }
        }
        Err(Fault::new(Kind::Exhausted, format!("there are more than {REFERRER_PAGES} pages of them")))
    }

    async fn referrers_tag(&self, of: &Repository, digest: &Digest) -> Outcome<Option<Manifest>> {
        let Some(tag) = digest.referrers_tag() else { return Ok(None) };
        let found = self.find(of, &Reference::Tag(tag)).await?;
        Ok(found.filter(|m| m.form == Form::Index))
    }

    /// Adds a referrer to the tag that stands for the list. Others may do so at the same time: it is looked at once more.
    pub(super) async fn keep_referrer(
        &self,
        of: &Repository,
        subject: &Digest,
        new: &Manifest,
    ) -> Outcome<()> {
        let Some(tag) = subject.referrers_tag() else {
            return Err(Fault::new(Kind::Invalid, format!("no tag can stand for {subject}")));
        };
        let _one = self.referrers.lock().await;
        for _ in 0..3 {
            let mut list = self.referrers_tag(of, subject).await?.map(|m| m.manifests).unwrap_or_default();
            if list.iter().any(|d| d.digest == new.digest) {
                return Ok(());
            }
            list.push(described(new));
            let index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": list });
            let index = Manifest::read(INDEX, index.to_string().as_bytes())?;
            self.put(of, &Reference::Tag(tag.clone()), &index).await?;
        }
        let words = format!("others keep changing {of}:{tag}");
        Err(Fault::new(Kind::Conflict, words).hint("put it once more"))
    }
}

/// A referrer as the list has it: its kind is that of its configuration where it says none.
fn described(of: &Manifest) -> Descriptor {
    let kind = || of.blobs.first().filter(|_| of.form == Form::Image).map(|config| config.media_type.clone());
    Descriptor { artifact_type: of.artifact_type.clone().or_else(kind), ..of.descriptor() }
}
