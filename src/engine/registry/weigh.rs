//! How many bytes the differences of a comparison come to: what their manifests need and the target does not have.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use futures_util::stream::{self, StreamExt};

use crate::engine::registry::pool::Pool;
use crate::model::oci::{Digest, Manifest, Reference, Repository};
use crate::model::replication::{DiffRow, Difference, Rule};
use crate::plan::replicate::filter::Selector;
use crate::plan::replicate::work::{Target, Wanted, is_carried, work};

/// Tags of a line that are weighed; of more than these the rest has no bytes told.
const TAGS_MAX: usize = 2_000;
/// Manifests that are read for that, and blobs that a target is asked for, at most each.
const ASKED_MAX: usize = 10_000;
/// Calls under way at a time.
const AT_A_TIME: usize = 16;
/// Repositories of the target in which a blob is known to be, that are asked the journal for.
const PLACES: u32 = 4;
/// Indexes in indexes, at most.
const DEPTH_MAX: u32 = 8;

/// Says of each tag that has to be moved how many bytes it needs and the target does not have; what several need counts for the
/// first of them. What cannot be found out stays untold.
pub(super) async fn weigh(rule: &Rule, selector: &Selector, pools: &[Arc<Pool>], rows: &mut [DiffRow]) {
    for pool in pools {
        let places: Vec<usize> = rows
            .iter()
            .enumerate()
            .filter(|(_, r)| r.line == pool.ends.line && r.source.is_some())
            .filter(|(_, r)| matches!(r.difference, Difference::Missing | Difference::Behind))
            .map(|(place, _)| place)
            .take(TAGS_MAX)
            .collect();
        let mut wanted = Vec::new();
        for place in &places {
            let row = &rows[*place];
            let (Some(root), Ok(to)) = (row.source.clone(), selector.at_target(&row.repository)) else {
                continue;
            };
            let (from, to) = if row.line.from == rule.source {
                (row.repository.clone(), to)
            } else {
                (to, row.repository.clone())
            };
            wanted.push((*place, Wanted { from, to, tag: Some(row.tag.clone()), root }));
        }
        let (places, wanted): (Vec<usize>, Vec<Wanted>) = wanted.into_iter().unzip();
        let manifests = manifests(rule, pool, &wanted).await;
        let (target, unknown) = there(pool, &wanted, &manifests).await;
        let work = work(&wanted, &manifests, &rule.platforms, &target);
        for ((place, share), one) in places.iter().zip(&work.shares).zip(&wanted) {
            let is_known = share.lacks.is_none() && !unknown.contains(&one.root);
            rows[*place].bytes = is_known.then_some(share.bytes);
        }
    }
}

/// The manifests of these, with those of their carried children, as far as the source gives them.
async fn manifests(rule: &Rule, pool: &Pool, wanted: &[Wanted]) -> BTreeMap<Digest, Manifest> {
    let mut known: BTreeMap<Digest, Manifest> = BTreeMap::new();
    let mut next: BTreeMap<Digest, Repository> =
        wanted.iter().map(|w| (w.root.clone(), w.from.clone())).collect();
    for _ in 0..DEPTH_MAX {
        next.retain(|digest, _| !known.contains_key(digest));
        let room = ASKED_MAX.saturating_sub(known.len());
        let asked = std::mem::take(&mut next).into_iter().take(room);
        let read: Vec<(Repository, Manifest)> = stream::iter(asked)
            .map(|(digest, from)| fetch(pool, from, digest))
            .buffer_unordered(AT_A_TIME)
            .filter_map(std::future::ready)
            .collect()
            .await;
        for (from, manifest) in read {
            for child in &manifest.manifests {
                if is_carried(child, &manifest.manifests, &rule.platforms) {
                    next.insert(child.digest.clone(), from.clone());
                }
            }
            known.insert(manifest.digest.clone(), manifest);
        }
        if next.is_empty() {
            break;
        }
    }
    known
}

fn fetch(pool: &Pool, from: Repository, digest: Digest) -> BoxFuture<'_, Option<(Repository, Manifest)>> {
    async move {
        pool.ends.purse.request().await;
        let manifest = pool.ends.source.manifest(&from, &Reference::Digest(digest)).await.ok()?;
        Some((from, manifest))
    }
    .boxed()
}

/// Which blobs the target has, and the manifests of which that is not known of every blob.
async fn there(
    pool: &Pool,
    wanted: &[Wanted],
    manifests: &BTreeMap<Digest, Manifest>,
) -> (Target, BTreeSet<Digest>) {
    let (mut asked, mut unknown) = (BTreeMap::new(), BTreeSet::new());
    for one in wanted {
        let (mut open, mut seen) = (vec![&one.root], BTreeSet::new());
        while let Some(digest) = open.pop() {
            let Some(manifest) = manifests.get(digest).filter(|_| seen.insert(digest)) else { continue };
            open.extend(manifest.manifests.iter().map(|child| &child.digest));
            for blob in &manifest.blobs {
                if asked.len() < ASKED_MAX || asked.contains_key(&blob.digest) {
                    asked.entry(blob.digest.clone()).or_insert_with(|| one.to.clone());
                } else {
                    unknown.insert(one.root.clone());
                }
            }
        }
    }
    let answers: Vec<(Digest, Option<BTreeSet<Repository>>)> = stream::iter(asked)
        .map(|(digest, to)| places(pool, to, digest))
        .buffer_unordered(AT_A_TIME)
        .collect()
        .await;
    let (mut target, mut silent) = (Target::default(), BTreeSet::new());
    for (digest, at) in answers {
        match at {
            Some(at) if at.is_empty() => {}
            Some(at) => drop(target.blobs.insert(digest, at)),
            None => drop(silent.insert(digest)),
        }
    }
    if !silent.is_empty() {
        unknown.extend(wanted.iter().map(|w| w.root.clone()));
    }
    (target, unknown)
}

/// Where the target has a blob: as the journal says, else by asking; `None` when it does not answer.
fn places(
    pool: &Pool,
    to: Repository,
    digest: Digest,
) -> BoxFuture<'_, (Digest, Option<BTreeSet<Repository>>)> {
    async move {
        let ends = &pool.ends;
        let mut at: BTreeSet<Repository> = pool.recent(&digest).into_iter().collect();
        if at.is_empty() {
            at.extend(ends.store.placed(&ends.line.to, &digest, PLACES).await.into_iter().flatten());
        }
        if !at.is_empty() {
            return (digest, Some(at));
        }
        ends.purse.request().await;
        match ends.target.has_blob(&to, &digest).await {
            Ok(Some(_)) => (digest, Some(BTreeSet::from([to]))),
            Ok(None) => (digest, Some(BTreeSet::new())),
            Err(_) => (digest, None),
        }
    }
    .boxed()
}
