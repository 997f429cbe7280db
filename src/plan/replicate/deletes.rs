//! What is proposed to be deleted, and what is not and why: people read this plan and say yes before anything goes.
//!
//! A listing that failed, is empty or has shrunk too much is no proof that something was deleted: nothing is proposed from it.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::base::clock::Millis;
use crate::base::text::{Untrusted, age, count};
use crate::model::oci::{Digest, Repository, Tag};
use crate::model::replication::known::Side;
use crate::model::replication::review::{DeleteItem, DeletePlan, Held, How};
use crate::plan::replicate::difference::Sight;

/// How much may be deleted, and how soon.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct DeleteLimits {
    /// Tags in one run, at most; the next run proposes the others.
    pub cap: u32,
    /// A tag must have been gone for so long, in milliseconds.
    pub grace_ms: u64,
    /// A listing that lacks more than this share of the tags that are remembered, in per cent, is not believed …
    pub shrink_percent: u32,
    /// … if it lacks more than so many of them: of three tags one may go.
    pub shrink_min: u32,
}

impl Default for DeleteLimits {
    /// One hour is longer than most accidents take to be noticed and mended; 100 tags are what a person reads through.
    fn default() -> DeleteLimits {
        DeleteLimits { cap: 100, grace_ms: 3_600_000, shrink_percent: 20, shrink_min: 10 }
    }
}

/// What a listing of one repository on one side showed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listing {
    /// Tags that are remembered as common to both sides: what should be there.
    pub known: u32,
    /// Of these, those that were listed; or why it could not be listed. A repository that is not there has none.
    pub found: Result<u32, Untrusted>,
}

/// A tag that one side does not have any more (`Deed::Propose`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// The repository, as the source calls it.
    pub repository: Repository,
    /// The tag.
    pub tag: Tag,
    /// Where it would be deleted.
    pub at: Side,
    /// What it points to there.
    pub digest: Digest,
    /// Since when it is gone on the other side, as far as is known.
    pub gone_since: Option<Millis>,
}

/// What else hangs on a manifest, on the side where it would be deleted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Around {
    /// The registry can remove a tag and leave the manifest.
    pub tags_alone: bool,
    /// All tags of the repository that point to the manifest.
    pub tags: BTreeSet<Tag>,
    /// Tags of indexes that need the manifest as a part.
    pub needed_by: BTreeSet<Tag>,
}

/// Listings of a rule's line: by repository (as the source calls it) and the side that was listed.
pub type Listings = BTreeMap<(Repository, Side), Listing>;

/// Makes the plan. `around` tells what hangs on a candidate's manifest.
pub fn plan(
    candidates: &[Candidate],
    listings: &Listings,
    around: impl Fn(&Candidate) -> Around,
    limits: &DeleteLimits,
    now: Millis,
) -> DeletePlan {
    let mut out = DeletePlan::default();
    let mut groups: BTreeMap<(&Repository, Side, &Digest), Vec<(&Candidate, Millis)>> = BTreeMap::new();
    let sides = [Side::Source, Side::Target].map(|side| doubt_of_side(listings, side, limits));
    for candidate in candidates {
        let listed = candidate.at.other();
        let whole = if listed == Side::Source { &sides[0] } else { &sides[1] };
        let gone = ripe(candidate, limits, now);
        match whole.clone().or_else(|| doubt_of_repository(listings, candidate, limits)).map_or(gone, Err) {
            Ok(since) => {
                let key = (&candidate.repository, candidate.at, &candidate.digest);
                groups.entry(key).or_default().push((candidate, since));
            }
            Err(why) => out.hold(candidate, why),
        }
    }
    for group in groups.into_values() {
        let Some((first, _)) = group.first() else { continue };
        let verdict = how(&around(first), group.iter().map(|(c, _)| &c.tag).collect());
        let is_room = out.items.len() + group.len() <= limits.cap as usize;
        for (candidate, since) in group {
            match &verdict {
                Err(why) => out.hold(candidate, why.clone()),
                Ok(_) if !is_room => {
                    out.hold(candidate, format!("a run deletes at most {}", count(limits.cap.into(), "tag")));
                }
                Ok(how) => out.items.push(DeleteItem {
                    repository: candidate.repository.clone(),
                    tag: candidate.tag.clone(),
                    at: candidate.at,
                    digest: candidate.digest.clone(),
                    gone_since: since,
                    how: how.clone(),
                }),
            }
        }
    }
    out
}

impl DeletePlan {
    fn hold(&mut self, candidate: &Candidate, why: String) {
        self.held.push(Held {
            repository: candidate.repository.clone(),
            tag: candidate.tag.clone(),
            at: candidate.at,
            why,
        });
    }
}

/// When it went, if that is long enough ago.
fn ripe(candidate: &Candidate, limits: &DeleteLimits, now: Millis) -> Result<Millis, String> {
    let Some(since) = candidate.gone_since else {
        return Err("that it is gone was seen only now; the next run looks again".to_owned());
    };
    let gone = now - since;
    if gone >= limits.grace_ms {
        return Ok(since);
    }
    Err(format!("it is gone since {} only; it is proposed after {}", age(gone), age(limits.grace_ms)))
}

/// Why nothing that one side seems to lack is believed, if so.
fn doubt_of_side(listings: &Listings, side: Side, limits: &DeleteLimits) -> Option<String> {
    let of_side = || listings.iter().filter(|((_, s), _)| *s == side).map(|(_, listing)| listing);
    // One repository that could not be listed holds up its own tags only; it counts as complete here.
    let known: u64 = of_side().map(|l| u64::from(l.known)).sum();
    let found: u64 = of_side().map(|l| l.found.as_ref().map_or(u64::from(l.known), |f| u64::from(*f))).sum();
    doubt(&format!("the {}", side.noun()), known, found, limits)
}

/// Why what one repository seems to lack is not believed, if so.
fn doubt_of_repository(listings: &Listings, candidate: &Candidate, limits: &DeleteLimits) -> Option<String> {
    let side = candidate.at.other();
    let name = format!("{} at the {}", candidate.repository, side.noun());
    let Some(listing) = listings.get(&(candidate.repository.clone(), side)) else {
        return Some(format!("{name} was not listed"));
    };
    match &listing.found {
        Err(why) => Some(format!("{name} could not be listed: {why}")),
        Ok(found) => doubt(&name, listing.known.into(), (*found).into(), limits),
    }
}

fn doubt(name: &str, known: u64, found: u64, limits: &DeleteLimits) -> Option<String> {
    let lost = known.saturating_sub(found);
    if known > 0 && found == 0 {
        return Some(format!(
            "{name} shows none of the {} that it had: an empty list deletes nothing",
            count(known, "tag")
        ));
    }
    let is_much =
        lost > u64::from(limits.shrink_min) && lost * 100 > known * u64::from(limits.shrink_percent);
    is_much.then(|| {
        let share = limits.shrink_percent;
        format!("{name} lacks {lost} of {known} tags, more than {share} %: such a list deletes nothing")
    })
}

/// How a manifest whose tags `going` are proposed is deleted; or why it is not.
fn how(around: &Around, going: BTreeSet<&Tag>) -> Result<How, String> {
    if around.tags_alone {
        return Ok(How::Tag);
    }
    let list = |tags: &[&Tag]| tags.iter().map(|t| t.as_str()).collect::<Vec<_>>().join(", ");
    let staying: Vec<&Tag> = around.tags.iter().filter(|t| !going.contains(t)).collect();
    if !staying.is_empty() {
        return Err(format!(
            "this registry deletes whole images only, and {} has the same one",
            list(&staying)
        ));
    }
    let parents: Vec<&Tag> = around.needed_by.iter().filter(|t| !going.contains(t)).collect();
    if !parents.is_empty() {
        return Err(format!(
            "this registry deletes whole images only, and {} needs this one",
            list(&parents)
        ));
    }
    Ok(How::Manifest(going.into_iter().cloned().collect()))
}

impl DeleteItem {
    /// Holds a proposal that was accepted against what is seen just before it is done: here, where it goes, with all tags
    /// that point to its manifest; and there, where it is gone.
    ///
    /// # Errors
    /// Why it stays, in words.
    pub fn confirm(&self, here: &Sight, sharing: &BTreeSet<Tag>, there: &Sight) -> Result<(), String> {
        match there {
            Sight::There(_) => return Err(format!("{} is back at the {}", self.tag, self.at.other().noun())),
            Sight::Unknown(why) => {
                return Err(format!("the {} could not be asked: {why}", self.at.other().noun()));
            }
            Sight::Absent => {}
        }
        match here {
            Sight::Unknown(why) => return Err(format!("the {} could not be asked: {why}", self.at.noun())),
            Sight::Absent => return Err("it is gone already".to_owned()),
            Sight::There(digest) if *digest != self.digest => return Err("it was moved meanwhile".to_owned()),
            Sight::There(_) => {}
        }
        let How::Manifest(tags) = &self.how else { return Ok(()) };
        match sharing.iter().find(|t| !tags.contains(t)) {
            Some(other) => Err(format!("{other} points to the same image by now")),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HOUR: u64 = 3_600_000;

    fn d(n: u8) -> Digest {
        Digest::of(&[n])
    }

    fn candidate(tag: &str, digest: u8, gone: Option<i64>) -> Candidate {
        Candidate {
            repository: "feed/web".parse().unwrap(),
            tag: tag.parse().unwrap(),
            at: Side::Target,
            digest: d(digest),
            gone_since: gone.map(Millis),
        }
    }

    fn listed(known: u32, found: Result<u32, Untrusted>) -> Listings {
        [(("feed/web".parse().unwrap(), Side::Source), Listing { known, found })].into()
    }

    fn now() -> Millis {
        Millis(0).plus(HOUR * 2)
    }

    fn alone(_: &Candidate) -> Around {
        Around { tags_alone: true, ..Around::default() }
    }

    fn one(listings: &Listings, gone: Option<i64>) -> Result<DeleteItem, String> {
        let plan = plan(&[candidate("v1", 1, gone)], listings, alone, &DeleteLimits::default(), now());
        plan.items.into_iter().next().ok_or_else(|| plan.held[0].why.clone())
    }

    #[test]
    fn only_a_listing_that_makes_sense_deletes() {
        assert_eq!(one(&listed(10, Ok(9)), Some(0)).unwrap().how, How::Tag);
        assert_eq!(
            one(&listed(1, Ok(0)), Some(0)).unwrap_err(),
            "the source shows none of the 1 tag that it had: an empty list deletes nothing"
        );
        assert_eq!(
            one(&listed(100, Ok(79)), Some(0)).unwrap_err(),
            "the source lacks 21 of 100 tags, more than 20 %: such a list deletes nothing"
        );
        assert!(one(&listed(100, Ok(80)), Some(0)).is_ok());
        assert_eq!(
            one(&listed(10, Err("503".into())), Some(0)).unwrap_err(),
            "feed/web at the source could not be listed: 503"
        );
        assert_eq!(one(&Listings::new(), Some(0)).unwrap_err(), "feed/web at the source was not listed");
        let mut both = listed(10, Ok(0));
        both.insert(("ads/web".parse().unwrap(), Side::Source), Listing { known: 500, found: Ok(500) });
        let why = one(&both, Some(0)).unwrap_err();
        assert!(why.starts_with("feed/web at the source shows none"), "{why}");
    }

    #[test]
    fn it_must_be_gone_for_a_while() {
        let fine = listed(10, Ok(9));
        assert!(one(&fine, Some(i64::try_from(HOUR).unwrap())).is_ok());
        let young = one(&fine, Some(i64::try_from(HOUR).unwrap() + 1)).unwrap_err();
        assert_eq!(young, "it is gone since 59m only; it is proposed after 1h");
        assert!(one(&fine, None).is_err());
    }

    #[test]
    fn a_tag_that_shares_its_image_stays_where_tags_cannot_go_alone() {
        let shared = |_: &Candidate| Around {
            tags: ["v1", "v1.0", "latest"].map(|t| t.parse().unwrap()).into(),
            ..Around::default()
        };
        let make = |tags: &[&str]| {
            let all: Vec<_> = tags.iter().map(|t| candidate(t, 1, Some(0))).collect();
            plan(&all, &listed(10, Ok(9)), shared, &DeleteLimits::default(), now())
        };
        let some = make(&["v1", "v1.0"]);
        assert!(some.items.is_empty());
        assert_eq!(some.held[0].why, "this registry deletes whole images only, and latest has the same one");
        let all = make(&["v1", "v1.0", "latest"]);
        assert_eq!(all.items.len(), 3);
        let part =
            |_: &Candidate| Around { needed_by: ["multi".parse().unwrap()].into(), ..Around::default() };
        let part =
            plan(&[candidate("v1", 1, Some(0))], &listed(10, Ok(9)), part, &DeleteLimits::default(), now());
        assert_eq!(part.held[0].why, "this registry deletes whole images only, and multi needs this one");
    }

    #[test]
    fn what_was_accepted_is_looked_at_once_more() {
        let item = DeleteItem {
            how: How::Manifest(["v1".parse().unwrap()].into()),
            ..one(&listed(10, Ok(9)), Some(0)).unwrap()
        };
        let (here, none) = (Sight::There(d(1)), BTreeSet::new());
        assert_eq!(item.confirm(&here, &["v1".parse().unwrap()].into(), &Sight::Absent), Ok(()));
        let said = |here: &Sight, sharing: &BTreeSet<Tag>, there: &Sight| {
            item.confirm(here, sharing, there).unwrap_err()
        };
        assert_eq!(said(&here, &none, &Sight::There(d(1))), "v1 is back at the source");
        assert_eq!(said(&here, &none, &Sight::Unknown("503".into())), "the source could not be asked: 503");
        assert_eq!(said(&Sight::There(d(2)), &none, &Sight::Absent), "it was moved meanwhile");
        assert_eq!(said(&Sight::Absent, &none, &Sight::Absent), "it is gone already");
        let other: BTreeSet<Tag> = ["v1".parse().unwrap(), "v2".parse().unwrap()].into();
        assert_eq!(said(&here, &other, &Sight::Absent), "v2 points to the same image by now");
    }

    proptest! {
        #[test]
        fn every_candidate_is_proposed_or_held_and_never_more_than_the_cap(
            tags in prop::collection::btree_map("[a-z]{1,3}", (0..6u8, prop::option::of(0..3i64)), 0..30),
            cap in 0..10u32, known in 0..60u32, lost in 0..60u32, tags_alone: bool,
        ) {
            let all: Vec<Candidate> = tags.iter().map(|(t, (n, gone))| candidate(t, *n, gone.map(|g| g * i64::try_from(HOUR).unwrap()))).collect();
            let around = |c: &Candidate| Around {
                tags_alone,
                tags: all.iter().filter(|o| o.digest == c.digest).map(|o| o.tag.clone()).collect(),
                ..Around::default()
            };
            let limits = DeleteLimits { cap, ..DeleteLimits::default() };
            let found = known.saturating_sub(lost);
            let plan = plan(&all, &listed(known, Ok(found)), around, &limits, now());
            prop_assert_eq!(plan.items.len() + plan.held.len(), all.len());
            prop_assert!(plan.items.len() <= cap as usize);
            if known > 0 && found == 0 {
                prop_assert!(plan.items.is_empty());
            }
            for item in &plan.items {
                prop_assert!(now() - item.gone_since >= HOUR);
                if let How::Manifest(going) = &item.how {
                    let sharing = all.iter().filter(|o| o.digest == item.digest);
                    prop_assert!(sharing.into_iter().all(|o| going.contains(&o.tag)), "no tag goes unnamed");
                    prop_assert!(going.iter().all(|t| plan.items.iter().any(|i| i.tag == *t)));
                }
            }
        }
    }
}
