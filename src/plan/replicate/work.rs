//! What has to be moved for a set of tags, each thing once, and in which order: blobs, then manifests with children first, then tags.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use crate::model::oci::{Descriptor, Digest, Manifest, Platform, Repository, Tag};

/// The annotation by which BuildKit's attestations name the image that they are about; they have no platform of their own.
const ABOUT: &str = "vnd.docker.reference.digest";
/// Indexes within indexes are followed so far.
const DEPTH_MAX: usize = 8;

/// One thing that the target is to have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// The repository at the source.
    pub from: Repository,
    /// The repository at the target.
    pub to: Repository,
    /// The tag; none for what is carried by its digest only, such as a referrer.
    pub tag: Option<Tag>,
    /// Its manifest.
    pub root: Digest,
}

/// What is known of the target. What is not known is taken as absent: then it is asked for before it is sent.
#[derive(Clone, Debug, Default)]
pub struct Target {
    /// Blobs, and the repositories that have them.
    pub blobs: BTreeMap<Digest, BTreeSet<Repository>>,
    /// Manifests that repositories have.
    pub manifests: BTreeSet<(Repository, Digest)>,
}

/// A blob that has to be sent over the line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transfer {
    /// The blob.
    pub digest: Digest,
    /// Its length in bytes.
    pub size: u64,
    /// From this repository of the source.
    pub from: Repository,
    /// Into this repository of the target.
    pub to: Repository,
    /// Then mounted from there into these, which need it too.
    pub then: BTreeSet<Repository>,
}

/// A blob that another repository of the target has already.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// The blob.
    pub digest: Digest,
    /// Its length: so many bytes go over the line if the target does not mount.
    pub size: u64,
    /// The repository that has it.
    pub has: Repository,
    /// The repository that needs it.
    pub to: Repository,
    /// The repository of the source that has it, if it must be sent after all.
    pub from: Repository,
}

/// A manifest that has to be put.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Put {
    /// The manifest.
    pub digest: Digest,
    /// Into this repository.
    pub to: Repository,
    /// How many levels of manifests are below it; those of a lower level are put first.
    pub level: usize,
}

/// What one wanted thing comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Share {
    /// Bytes that are moved for it: what several need counts for the first of them.
    pub bytes: u64,
    /// Bytes that it needs and the target does not have, counted as if it were alone.
    pub alone: u64,
    /// Children of indexes that the rule's platforms leave out: they are named in an index and will not be there.
    pub gaps: Vec<Digest>,
    /// The manifest that was not at hand, if one was not: then nothing is planned for it.
    pub lacks: Option<Digest>,
}

/// All that has to be done, each thing once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Work {
    /// Blobs to send, the largest first.
    pub transfers: Vec<Transfer>,
    /// Blobs to mount, the largest first.
    pub mounts: Vec<Mount>,
    /// Manifests to put, children first.
    pub puts: Vec<Put>,
    /// One for each that was wanted, in the same order. Tags are written when all of theirs is there.
    pub shares: Vec<Share>,
}

impl Work {
    /// Bytes that go over the line, if everything that can be mounted is.
    pub fn bytes(&self) -> u64 {
        self.transfers.iter().map(|t| t.size).sum()
    }
}

/// What one wanted thing needs.
struct Needs<'a> {
    manifests: BTreeMap<Digest, usize>,
    blobs: Vec<&'a Descriptor>,
    gaps: Vec<Digest>,
}

/// Works out the work for these, in their order. `manifests` are those of the source, by digest: the roots and all their
/// children that are carried.
pub fn work(
    wanted: &[Wanted],
    manifests: &BTreeMap<Digest, Manifest>,
    platforms: &[Platform],
    target: &Target,
) -> Work {
    let mut out = Work::default();
    let mut asked: BTreeSet<(&Repository, &Digest)> = BTreeSet::new();
    let mut sent: BTreeMap<&Digest, usize> = BTreeMap::new();
    let mut puts: BTreeSet<(usize, &Repository, Digest)> = BTreeSet::new();
    for one in wanted {
        let mut share = Share { bytes: 0, alone: 0, gaps: Vec::new(), lacks: None };
        let needs = match needs(&one.root, manifests, platforms) {
            Ok(needs) => needs,
            Err(lacks) => {
                out.shares.push(Share { lacks: Some(lacks), ..share });
                continue;
            }
        };
        share.gaps = needs.gaps;
        for blob in needs.blobs {
            let have = target.blobs.get(&blob.digest);
            if have.is_some_and(|all| all.contains(&one.to)) {
                continue;
            }
            let is_new = asked.insert((&one.to, &blob.digest));
            match have.and_then(|all| all.first()) {
                Some(_) if !is_new => {}
                Some(has) => out.mounts.push(Mount {
                    digest: blob.digest.clone(),
                    size: blob.size,
                    has: has.clone(),
                    to: one.to.clone(),
                    from: one.from.clone(),
                }),
                None => {
                    share.alone += blob.size;
                    if let Some(at) = sent.get(&blob.digest).copied() {
                        let transfer: &mut Transfer = &mut out.transfers[at];
                        if is_new {
                            transfer.then.insert(one.to.clone());
                        }
                        continue;
                    }
                    share.bytes += blob.size;
                    sent.insert(&blob.digest, out.transfers.len());
                    out.transfers.push(Transfer {
                        digest: blob.digest.clone(),
                        size: blob.size,
                        from: one.from.clone(),
                        to: one.to.clone(),
                        then: BTreeSet::new(),
                    });
                }
            }
        }
        let absent = |digest: &Digest| !target.manifests.contains(&(one.to.clone(), digest.clone()));
        let new = needs.manifests.into_iter().filter(|(digest, _)| absent(digest));
        puts.extend(new.map(|(digest, level)| (level, &one.to, digest)));
        out.shares.push(share);
    }
    out.transfers.sort_by_key(|t| Reverse(t.size));
    out.mounts.sort_by_key(|m| Reverse(m.size));
    let put = |(level, to, digest): (usize, &Repository, Digest)| Put { digest, to: to.clone(), level };
    out.puts = puts.into_iter().map(put).collect();
    out
}

/// All that hangs on a manifest; or the digest of the manifest that is not at hand.
fn needs<'a>(
    root: &Digest,
    manifests: &'a BTreeMap<Digest, Manifest>,
    platforms: &[Platform],
) -> Result<Needs<'a>, Digest> {
    let mut out = Needs { manifests: BTreeMap::new(), blobs: Vec::new(), gaps: Vec::new() };
    let mut seen = BTreeSet::new();
    gather(root, manifests, platforms, DEPTH_MAX, &mut out, &mut seen)?;
    Ok(out)
}

/// The level of a manifest: 0 for an image, one more than its highest child for an index.
fn gather<'a>(
    digest: &Digest,
    manifests: &'a BTreeMap<Digest, Manifest>,
    platforms: &[Platform],
    depth: usize,
    out: &mut Needs<'a>,
    seen: &mut BTreeSet<&'a Digest>,
) -> Result<usize, Digest> {
    if let Some(level) = out.manifests.get(digest) {
        return Ok(*level);
    }
    let manifest = manifests.get(digest).filter(|_| depth > 0).ok_or_else(|| digest.clone())?;
    for blob in &manifest.blobs {
        if seen.insert(&blob.digest) {
            out.blobs.push(blob);
        }
    }
    let mut level = 0;
    for child in &manifest.manifests {
        if is_carried(child, &manifest.manifests, platforms) {
            level = level.max(gather(&child.digest, manifests, platforms, depth - 1, out, seen)? + 1);
        } else if !out.gaps.contains(&child.digest) {
            out.gaps.push(child.digest.clone());
        }
    }
    out.manifests.insert(digest.clone(), level);
    Ok(level)
}

/// True when a rule for these platforms carries this child of an index. What is about another child goes with that one.
pub fn is_carried(child: &Descriptor, siblings: &[Descriptor], platforms: &[Platform]) -> bool {
    let fits = |child: &Descriptor| {
        let Some(own) = &child.platform else { return true };
        platforms.iter().any(|p| {
            let is_variant = p.variant.is_none() || p.variant == own.variant;
            p.os == own.os && p.architecture == own.architecture && is_variant
        })
    };
    if platforms.is_empty() {
        return true;
    }
    match child.annotations.get(ABOUT) {
        Some(about) => siblings.iter().any(|s| s.digest.as_str() == about && fits(s)),
        None => fits(child),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::oci::Form;
    use proptest::prelude::*;

    fn blob(n: u8) -> Descriptor {
        let json = format!(r#"{{"digest": "{}", "size": {}}}"#, Digest::of(&[n]), u64::from(n) * 10);
        serde_json::from_str(&json).unwrap()
    }

    fn manifest(name: &str, blobs: &[u8], manifests: Vec<Descriptor>) -> Manifest {
        Manifest {
            media_type: String::new(),
            bytes: name.as_bytes().into(),
            digest: Digest::of(name.as_bytes()),
            form: if manifests.is_empty() { Form::Image } else { Form::Index },
            blobs: blobs.iter().map(|n| blob(*n)).collect(),
            manifests,
            subject: None,
            artifact_type: None,
            annotations: BTreeMap::new(),
        }
    }

    fn child(of: &Manifest, platform: &str) -> Descriptor {
        let (os, architecture) = platform.split_once('/').unwrap();
        let (os, architecture) = (os.to_owned(), architecture.to_owned());
        Descriptor { platform: Some(Platform { os, architecture, variant: None }), ..of.descriptor() }
    }

    fn wanted(repository: &str, tag: &str, root: &str) -> Wanted {
        let repository: Repository = repository.parse().unwrap();
        let tag = tag.parse().ok();
        Wanted { from: repository.clone(), to: repository, tag, root: Digest::of(root.as_bytes()) }
    }

    fn by_digest(all: &[&Manifest]) -> BTreeMap<Digest, Manifest> {
        all.iter().map(|m| (m.digest.clone(), (*m).clone())).collect()
    }

    fn sizes(work: &Work) -> Vec<u64> {
        work.transfers.iter().map(|t| t.size).collect()
    }

    #[test]
    fn each_blob_goes_once_the_largest_first_and_is_mounted_where_else_it_is_needed() {
        let all = by_digest(&[&manifest("a", &[1, 5, 9], vec![]), &manifest("b", &[2, 5, 9], vec![])]);
        let tags = [wanted("x", "1", "a"), wanted("x", "2", "b"), wanted("y", "1", "b")];
        let work = work(&tags, &all, &[], &Target::default());
        assert_eq!(sizes(&work), [90, 50, 20, 10]);
        assert_eq!(work.bytes(), 170);
        let y: BTreeSet<Repository> = ["y".parse().unwrap()].into();
        let then: Vec<bool> = work.transfers.iter().map(|t| t.then == y).collect();
        assert_eq!(then, [true, true, true, false]);
        let shares: Vec<_> = work.shares.iter().map(|s| (s.bytes, s.alone)).collect();
        assert_eq!(shares, [(150, 150), (20, 160), (0, 160)]);
        assert_eq!(work.puts.len(), 3);
    }

    #[test]
    fn what_the_target_has_is_not_sent() {
        let all = by_digest(&[&manifest("a", &[1, 5], vec![])]);
        let (x, y): (Repository, Repository) = ("x".parse().unwrap(), "y".parse().unwrap());
        let mut target = Target::default();
        target.blobs.insert(blob(1).digest, [x.clone(), y].into());
        target.blobs.insert(blob(5).digest, ["z".parse().unwrap()].into());
        let plan = work(&[wanted("x", "1", "a")], &all, &[], &target);
        assert_eq!((plan.bytes(), plan.mounts.len(), plan.mounts[0].size), (0, 1, 50));
        assert_eq!(plan.mounts[0].has.as_str(), "z");
        target.manifests.insert((x, Digest::of(b"a")));
        assert!(work(&[wanted("x", "1", "a")], &all, &[], &target).puts.is_empty());
    }

    #[test]
    fn children_go_before_their_index_and_an_index_keeps_those_that_are_left_out() {
        let (amd, arm) = (manifest("amd", &[1, 3], vec![]), manifest("arm", &[2, 3], vec![]));
        let proof = manifest("proof", &[4], vec![]);
        let mut about = child(&proof, "unknown/unknown");
        about.annotations.insert(ABOUT.to_owned(), arm.digest.to_string());
        let index =
            manifest("index", &[], vec![child(&amd, "linux/amd64"), child(&arm, "linux/arm64"), about]);
        let outer = manifest("outer", &[], vec![index.descriptor()]);
        let all = by_digest(&[&amd, &arm, &proof, &index, &outer]);
        let every = work(&[wanted("x", "1", "outer")], &all, &[], &Target::default());
        let order: Vec<&Digest> = every.puts.iter().map(|p| &p.digest).collect();
        assert_eq!((order.len(), order[3], order[4]), (5, &index.digest, &outer.digest));
        let only: Platform = serde_json::from_str(r#"{"os": "linux", "architecture": "amd64"}"#).unwrap();
        let some = work(&[wanted("x", "1", "outer")], &all, std::slice::from_ref(&only), &Target::default());
        assert_eq!(sizes(&some), [30, 10]);
        assert_eq!(some.shares[0].gaps, [arm.digest.clone(), proof.digest.clone()]);
        let arm64 = Platform { architecture: "arm64".into(), ..only };
        let other = work(&[wanted("x", "1", "outer")], &all, &[arm64], &Target::default());
        assert_eq!(sizes(&other), [40, 30, 20], "what is said about an image goes with it");
        let sparse = by_digest(&[&amd, &proof, &index]);
        let lacking = work(&[wanted("x", "1", "index")], &sparse, &[], &Target::default());
        assert_eq!(lacking.shares[0].lacks, Some(arm.digest));
        assert!(lacking.transfers.is_empty() && lacking.puts.is_empty());
    }

    proptest! {
        #[test]
        fn after_the_work_every_repository_has_what_its_tags_need(
            images in prop::collection::vec(prop::collection::btree_set(1..12u8, 1..6), 1..6),
            tags in prop::collection::vec((0..3u8, 0..6usize), 1..12),
            has in prop::collection::btree_set((0..3u8, 1..12u8), 0..12),
        ) {
            let made: Vec<Manifest> = images.iter().enumerate()
                .map(|(i, b)| manifest(&format!("m{i}"), &b.iter().copied().collect::<Vec<_>>(), vec![])).collect();
            let all = by_digest(&made.iter().collect::<Vec<_>>());
            let tags: Vec<Wanted> = tags.iter().enumerate()
                .map(|(i, (r, m))| wanted(&format!("r{r}"), &format!("t{i}"), &format!("m{}", m % made.len()))).collect();
            let mut target = Target::default();
            for (r, n) in has {
                target.blobs.entry(blob(n).digest).or_default().insert(format!("r{r}").parse().unwrap());
            }
            let work = work(&tags, &all, &[], &target);
            let mut there: BTreeSet<(Repository, Digest)> = target.blobs.iter()
                .flat_map(|(d, rs)| rs.iter().map(move |r| (r.clone(), d.clone()))).collect();
            for t in &work.transfers {
                prop_assert!(!target.blobs.contains_key(&t.digest), "it is there: mount it");
                for to in t.then.iter().chain([&t.to]) {
                    prop_assert!(there.insert((to.clone(), t.digest.clone())), "twice");
                }
            }
            for m in &work.mounts {
                prop_assert!(there.contains(&(m.has.clone(), m.digest.clone())));
                prop_assert!(there.insert((m.to.clone(), m.digest.clone())), "twice");
            }
            for tag in &tags {
                for b in &all[&tag.root].blobs {
                    prop_assert!(there.contains(&(tag.to.clone(), b.digest.clone())));
                }
                prop_assert!(work.puts.iter().any(|p| p.digest == tag.root && p.to == tag.to));
            }
            prop_assert_eq!(work.shares.iter().map(|s| s.bytes).sum::<u64>(), work.bytes());
            let digests: BTreeSet<_> = work.transfers.iter().map(|t| &t.digest).collect();
            prop_assert_eq!(digests.len(), work.transfers.len());
            prop_assert!(work.transfers.is_sorted_by_key(|t| Reverse(t.size)));
        }
    }
}
