//! Removing tags from one repository of one registry: a tag alone where the registry can do that, else a whole manifest, and that
//! only when nothing that stays hangs on it.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::stream::{self, StreamExt, TryStreamExt};

use crate::base::fault::{Fault, Kind, Outcome};
use crate::engine::registry::pace::again;
use crate::engine::registry::pages::Pages;
use crate::model::oci::{Digest, Reference, Repository, Tag};
use crate::plan::replicate::deletes::Around;
use crate::ports::registry::RegistryClient;

/// Tags that are looked at at a time.
const LOOKS: usize = 16;
/// A call is tried so often.
const TRIES: u32 = 4;
/// Indexes within indexes are followed so far.
const DEPTH_MAX: u32 = 8;

/// What hangs on each of these manifests of a repository, by all of its tags, whether a rule wants them or not.
///
/// # Errors
/// When any of the tags could not be looked at: then nothing is known.
pub async fn around(
    registry: &dyn RegistryClient,
    of: &Repository,
    digests: &BTreeSet<Digest>,
) -> Outcome<BTreeMap<Digest, Around>> {
    let tags = tags(registry, of).await?;
    let looks = stream::iter(tags.into_iter().map(|tag| async move {
        let reference = Reference::Tag(tag.clone());
        let found = again(TRIES, || registry.head(of, &reference)).await?;
        Ok::<_, Fault>(found.map(|descriptor| (tag, descriptor)))
    }));
    let found: Vec<_> =
        looks.buffer_unordered(LOOKS).try_filter_map(|f| async move { Ok(f) }).try_collect().await?;
    let mut out: BTreeMap<Digest, Around> = digests.iter().map(|d| (d.clone(), Around::default())).collect();
    for (tag, descriptor) in found {
        if let Some(one) = out.get_mut(&descriptor.digest) {
            one.tags.insert(tag.clone());
        }
        let is_index = descriptor.media_type.contains("index") || descriptor.media_type.contains("list");
        if is_index {
            for part in parts(registry, of, &descriptor.digest).await? {
                if let Some(one) = out.get_mut(&part) {
                    one.needed_by.insert(tag.clone());
                }
            }
        }
    }
    Ok(out)
}

async fn tags(registry: &dyn RegistryClient, of: &Repository) -> Outcome<Vec<Tag>> {
    let (mut out, mut pages) = (Vec::new(), Pages::default());
    loop {
        let next = pages.next();
        let page = again(TRIES, || registry.tags(of, next.as_deref())).await?;
        out.extend(page.items);
        if !pages.turn(page.next)? {
            return Ok(out);
        }
    }
}

/// The manifests that an index needs, and those that these need in turn.
async fn parts(registry: &dyn RegistryClient, of: &Repository, index: &Digest) -> Outcome<BTreeSet<Digest>> {
    let (mut out, mut open) = (BTreeSet::new(), vec![(index.clone(), 0)]);
    while let Some((digest, depth)) = open.pop() {
        let reference = Reference::Digest(digest);
        let manifest = match again(TRIES, || registry.manifest(of, &reference)).await {
            Ok(manifest) => manifest,
            // A child that the index names and that is not there needs nothing.
            Err(fault) if fault.kind == Kind::NotFound && depth > 0 => continue,
            Err(fault) => return Err(fault),
        };
        for child in &manifest.manifests {
            let is_index = child.media_type.contains("index") || child.media_type.contains("list");
            if out.insert(child.digest.clone()) && is_index && depth < DEPTH_MAX {
                open.push((child.digest.clone(), depth + 1));
            }
        }
    }
    Ok(out)
}

/// Removes these tags, which all point to this manifest, and were looked at just now. Gives false when the registry could not
/// remove a tag alone (`alone` says whether that may be tried), and true otherwise.
///
/// # Errors
/// Why they stay; `Refused` when something that stays hangs on the manifest.
pub async fn remove(
    registry: &dyn RegistryClient,
    of: &Repository,
    digest: &Digest,
    tags: &BTreeSet<Tag>,
    alone: bool,
) -> Outcome<bool> {
    if alone {
        let mut is_able = true;
        for tag in tags {
            match again(TRIES, || registry.delete_tag(of, tag)).await {
                Ok(()) => {}
                Err(fault) if fault.kind == Kind::Refused => {
                    is_able = false;
                    break;
                }
                Err(fault) => return Err(fault),
            }
        }
        if is_able {
            return Ok(true);
        }
    }
    let all = around(registry, of, &[digest.clone()].into()).await?;
    let around = all.get(digest).cloned().unwrap_or_default();
    let list = |tags: Vec<&Tag>| tags.into_iter().map(Tag::as_str).collect::<Vec<_>>().join(", ");
    let staying: Vec<&Tag> = around.tags.difference(tags).collect();
    let whole = "this registry deletes whole images only, and";
    if !staying.is_empty() {
        return Err(Fault::new(Kind::Refused, format!("{whole} {} has the same one", list(staying))));
    }
    let parents: Vec<&Tag> = around.needed_by.difference(tags).collect();
    if !parents.is_empty() {
        return Err(Fault::new(Kind::Refused, format!("{whole} {} needs this one", list(parents))));
    }
    again(TRIES, || registry.delete_manifest(of, digest)).await?;
    Ok(false)
}
