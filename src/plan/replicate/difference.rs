//! How one tag differs between two registries, and what follows from that: a comparison of three, with what is remembered.
//!
//! What is remembered of a tag on a line is the digest that both sides last had in common. So a tag that we wrote ourselves is
//! no change, a side that still has it did not move, and what is absent on one side was deleted there, or is new on the other.

use crate::base::clock::Millis;
use crate::base::text::Untrusted;
use crate::model::oci::{Digest, Repository, Tag};
use crate::model::replication::known::{Known, Side, Tombstone};
use crate::model::replication::{Deletes, DiffRow, Difference, Line, Rule};

/// What one side shows of a tag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sight {
    /// It points to this.
    There(Digest),
    /// The registry answered, and does not have it.
    Absent,
    /// The registry could not be asked; in these words.
    Unknown(Untrusted),
}

impl Sight {
    /// What it points to, where that is known.
    pub fn digest(&self) -> Option<&Digest> {
        match self {
            Sight::There(digest) => Some(digest),
            Sight::Absent | Sight::Unknown(_) => None,
        }
    }
}

impl Known {
    /// What counts as common: what we wrote, if it arrived; else what both had; else what was deleted, if a side shows it still
    /// (its listing may have lied when it seemed to be gone).
    fn base(&self, source: Option<&Digest>, target: Option<&Digest>) -> Option<&Digest> {
        let arrived = self.intent.as_ref().filter(|intent| {
            let there = if intent.to == Side::Source { source } else { target };
            there == Some(&intent.digest)
        });
        let buried = self.tombstone.as_ref().map(|stone| &stone.digest);
        let left = buried.filter(|d| source == Some(*d) || target == Some(*d));
        arrived.map(|i| &i.digest).or(self.last.as_ref()).or(left)
    }

    /// What is remembered after both sides were seen like this. A side that could not be asked teaches nothing.
    #[must_use]
    pub fn learn(&self, source: &Sight, target: &Sight, now: Millis) -> Known {
        if matches!(source, Sight::Unknown(_)) || matches!(target, Sight::Unknown(_)) {
            return self.clone();
        }
        let (s, t) = (source.digest(), target.digest());
        let base = self.base(s, t).cloned();
        let mut next = self.clone();
        if base != self.last {
            (next.last, next.intent) = (base.clone(), None);
        }
        next.gone_since = None;
        match (s, t) {
            (Some(s), Some(t)) if s == t => {
                next.tombstone = next.tombstone.filter(|stone| stone.digest != *s);
                (next.last, next.intent) = (Some(s.clone()), None);
            }
            (None, None) => {
                next.tombstone = base.map(|digest| Tombstone { digest, at: now }).or(next.tombstone);
                // (An intent stays: if this listing lied, what we wrote must still be known for ours.)
                next.last = None;
            }
            (Some(one), None) | (None, Some(one)) => {
                let is_left = base.as_ref() == Some(one) || self.is_buried(one);
                next.gone_since = is_left.then(|| self.gone_since.unwrap_or(now));
            }
            _ => {}
        }
        next
    }

    /// What is remembered after somebody said no to a deletion: nothing. With two masters the tag is then brought back to the other
    /// side; with one direction it stays where it is, and is not missed by later listings.
    #[must_use]
    pub fn spared() -> Known {
        Known::default()
    }

    fn is_buried(&self, digest: &Digest) -> bool {
        self.tombstone.as_ref().is_some_and(|stone| stone.digest == *digest)
    }
}

/// What a rule allows on its line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Way {
    /// Both ends are masters.
    pub two_way: bool,
    /// What becomes of tags that are gone from one side.
    pub deletes: Deletes,
}

impl Way {
    /// What this rule allows.
    pub fn of(rule: &Rule) -> Way {
        Way { two_way: rule.two_way, deletes: rule.deletes }
    }
}

/// What is to be done about one tag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Deed {
    /// Nothing.
    Nothing,
    /// The tag is to point to this on that side.
    Write {
        /// Where.
        to: Side,
        /// To what.
        digest: Digest,
    },
    /// It is proposed to delete the tag there, as long as it points to this. Somebody has to say yes.
    Propose {
        /// Where.
        at: Side,
        /// What it points to.
        digest: Digest,
    },
    /// Somebody has to choose (see `conflict`).
    Ask,
}

/// How one tag differs and what follows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// How it differs, seen from the side that is ahead.
    pub difference: Difference,
    /// The side that is ahead: the target only with two masters.
    pub from: Side,
    /// What is to be done.
    pub deed: Deed,
    /// Why, in words.
    pub why: &'static str,
}

impl Verdict {
    fn new(difference: Difference, from: Side, deed: Deed, why: &'static str) -> Verdict {
        Verdict { difference, from, deed, why }
    }

    /// The row of the comparison; its line leads away from the side that is ahead.
    pub fn row(
        &self,
        line: &Line,
        repository: &Repository,
        tag: &Tag,
        source: &Sight,
        target: &Sight,
    ) -> DiffRow {
        let (line, from, to) = match self.from {
            Side::Source => (line.clone(), source, target),
            Side::Target => (line.back(), target, source),
        };
        DiffRow {
            line,
            repository: repository.clone(),
            tag: tag.clone(),
            difference: self.difference.clone(),
            source: from.digest().cloned(),
            target: to.digest().cloned(),
            bytes: None,
        }
    }
}

/// How a tag differs between source and target, and what is to be done about it.
pub fn decide(way: Way, source: &Sight, target: &Sight, known: &Known) -> Verdict {
    if let Sight::Unknown(why) = source {
        let said = Difference::Unknown(why.clone());
        return Verdict::new(said, Side::Source, Deed::Nothing, "the source could not be asked");
    }
    if let Sight::Unknown(why) = target {
        let said = Difference::Unknown(why.clone());
        return Verdict::new(said, Side::Source, Deed::Nothing, "the target could not be asked");
    }
    let (s, t) = (source.digest(), target.digest());
    let base = known.base(s, t);
    match (s, t) {
        _ if s == t => {
            Verdict::new(Difference::Same, Side::Source, Deed::Nothing, "both sides have the same")
        }
        (Some(s), _) if !way.two_way => one_way(s, t, base),
        (None, Some(t)) if !way.two_way => left_over(way, t, Side::Target, base, known),
        _ => two_way(way, s, t, base, known),
    }
}

/// The source has it: whatever the target has, it gets that.
fn one_way(source: &Digest, target: Option<&Digest>, base: Option<&Digest>) -> Verdict {
    let (difference, why) = match target {
        None => (Difference::Missing, "the target does not have it"),
        Some(_) if target == base => (Difference::Behind, "it was moved at the source"),
        Some(_) => (Difference::Behind, "the target has another, and the rule has one direction"),
    };
    Verdict::new(difference, Side::Source, Deed::Write { to: Side::Target, digest: source.clone() }, why)
}

/// Only one side has it, and it is not to be brought to the other one.
fn left_over(way: Way, digest: &Digest, at: Side, base: Option<&Digest>, known: &Known) -> Verdict {
    let is_ours = base == Some(digest);
    let deed = match way.deletes {
        Deletes::Review if is_ours || known.is_buried(digest) => Deed::Propose { at, digest: digest.clone() },
        Deletes::Review | Deletes::Keep => Deed::Nothing,
    };
    let why = match (is_ours, known.is_buried(digest), at) {
        (true, _, Side::Target) => "it was deleted at the source",
        (true, _, Side::Source) => "it was deleted at the target",
        (_, true, _) => "it was deleted on both sides, and the same is back",
        _ => "it never came from the source, so nothing is deleted",
    };
    Verdict::new(Difference::Extra, at.other(), deed, why)
}

fn two_way(
    way: Way,
    s: Option<&Digest>,
    t: Option<&Digest>,
    base: Option<&Digest>,
    known: &Known,
) -> Verdict {
    let ask = |why| Verdict::new(Difference::Conflict, Side::Source, Deed::Ask, why);
    // (The side that is ahead, what it has, what the other one has.)
    let (from, ahead, behind) = match base {
        Some(_) if t == base => (Side::Source, s, t),
        Some(_) if s == base => (Side::Target, t, s),
        Some(_) if s.is_none() || t.is_none() => {
            return ask("it was deleted on one side and moved on the other");
        }
        Some(_) => return ask("it was moved on both sides"),
        None if t.is_none() => (Side::Source, s, t),
        None if s.is_none() => (Side::Target, t, s),
        None => return ask("both sides had it before they were first compared"),
    };
    match (ahead, behind) {
        (Some(new), None) if known.is_buried(new) => left_over(way, new, from, base, known),
        (Some(new), Some(_)) if known.is_buried(new) => {
            ask("one side moved it back to what was deleted before")
        }
        (Some(new), _) => {
            let (difference, why) = match behind {
                None => (Difference::Missing, "it is new on one side"),
                Some(_) => (Difference::Behind, "it was moved on one side"),
            };
            Verdict::new(difference, from, Deed::Write { to: from.other(), digest: new.clone() }, why)
        }
        (None, Some(left)) => left_over(way, left, from.other(), base, known),
        (None, None) => Verdict::new(Difference::Same, Side::Source, Deed::Nothing, "neither side has it"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::replication::known::Intent;

    fn d(n: u8) -> Digest {
        Digest::of(&[n])
    }

    /// 0 is absent, 9 unknown.
    fn sight(n: u8) -> Sight {
        match n {
            0 => Sight::Absent,
            9 => Sight::Unknown("down".into()),
            n => Sight::There(d(n)),
        }
    }

    fn known(last: u8, stone: u8) -> Known {
        let tombstone = (stone > 0).then(|| Tombstone { digest: d(stone), at: Millis(1) });
        Known { last: (last > 0).then(|| d(last)), tombstone, ..Known::default() }
    }

    /// `=` same, `?` unknown, `c` conflict, `> <` written to target or source, `D d` deletion proposed at target or source, `x` left.
    fn mark(verdict: &Verdict) -> char {
        match (&verdict.difference, &verdict.deed) {
            (Difference::Same, Deed::Nothing) => '=',
            (Difference::Unknown(_), Deed::Nothing) => '?',
            (Difference::Conflict, Deed::Ask) => 'c',
            (Difference::Missing | Difference::Behind, Deed::Write { to: Side::Target, .. }) => '>',
            (Difference::Missing | Difference::Behind, Deed::Write { to: Side::Source, .. }) => '<',
            (Difference::Extra, Deed::Propose { at: Side::Target, .. }) => 'D',
            (Difference::Extra, Deed::Propose { at: Side::Source, .. }) => 'd',
            (Difference::Extra, Deed::Nothing) => 'x',
            other => panic!("{other:?}"),
        }
    }

    /// The whole table: source, target, common before, tombstone; with one direction; with two.
    const TABLE: &[(u8, u8, u8, u8, char, char)] = &[
        (0, 0, 0, 0, '=', '='),
        (0, 0, 1, 0, '=', '='),
        (1, 1, 0, 0, '=', '='),
        (2, 2, 1, 1, '=', '='),
        (9, 1, 1, 0, '?', '?'),
        (1, 9, 1, 0, '?', '?'),
        (0, 9, 1, 0, '?', '?'),
        (9, 0, 1, 0, '?', '?'),
        (1, 0, 0, 0, '>', '>'),
        (0, 1, 0, 0, 'x', '<'),
        (1, 2, 0, 0, '>', 'c'),
        (2, 1, 1, 0, '>', '>'),
        (1, 2, 1, 0, '>', '<'),
        (2, 3, 1, 0, '>', 'c'),
        (0, 1, 1, 0, 'D', 'D'),
        (1, 0, 1, 0, '>', 'd'),
        (0, 2, 1, 0, 'x', 'c'),
        (2, 0, 1, 0, '>', 'c'),
        (1, 0, 0, 1, '>', 'd'),
        (0, 1, 0, 1, 'D', 'D'),
        (2, 0, 0, 1, '>', '>'),
        (0, 2, 0, 1, 'x', '<'),
        (2, 1, 2, 1, '>', 'c'),
        (1, 2, 2, 1, '>', 'c'),
    ];

    #[test]
    fn every_case_has_its_answer() {
        for &(s, t, last, stone, one, two) in TABLE {
            let said = |two_way, deletes| {
                mark(&decide(Way { two_way, deletes }, &sight(s), &sight(t), &known(last, stone)))
            };
            let case = format!("source {s}, target {t}, last {last}, tombstone {stone}");
            assert_eq!(said(false, Deletes::Review), one, "one way: {case}");
            assert_eq!(said(true, Deletes::Review), two, "two ways: {case}");
            let kept = |c: char| if "dD".contains(c) { 'x' } else { c };
            assert_eq!(said(false, Deletes::Keep), kept(one), "one way, kept: {case}");
            assert_eq!(said(true, Deletes::Keep), kept(two), "two ways, kept: {case}");
        }
    }

    #[test]
    fn what_we_wrote_ourselves_is_no_change_though_the_memory_of_it_was_lost() {
        let way = Way { two_way: true, deletes: Deletes::Review };
        let intent = Some(Intent { to: Side::Target, digest: d(2) });
        let cut = Known { intent, ..known(1, 0) };
        let after = |s, t| mark(&decide(way, &sight(s), &sight(t), &cut));
        assert_eq!(after(2, 1), '>', "it was not written");
        assert_eq!(after(3, 2), '>', "it was written, and the source moved on");
        assert_eq!(after(1, 2), '>', "it was written, and the source moved back");
        assert_eq!(after(0, 2), 'D', "it was written, and the source deleted it");
        assert_eq!(after(2, 3), 'c', "the target was moved by somebody else");
        let learnt = cut.learn(&sight(3), &sight(2), Millis(5));
        assert_eq!((learnt.last, learnt.intent), (Some(d(2)), None));
    }

    #[test]
    fn memory_is_made_of_what_both_sides_showed() {
        let now = Millis(7);
        let equal = known(0, 0).learn(&sight(1), &sight(1), now);
        assert_eq!(equal, known(1, 0));
        assert_eq!(equal.learn(&sight(9), &sight(0), now), equal, "silence teaches nothing");
        let gone = equal.learn(&sight(0), &sight(1), now);
        assert_eq!((gone.gone_since, gone.last.clone()), (Some(now), Some(d(1))));
        assert_eq!(
            gone.learn(&sight(0), &sight(1), Millis(9)).gone_since,
            Some(now),
            "the first time counts"
        );
        assert_eq!(gone.learn(&sight(1), &sight(1), Millis(9)).gone_since, None);
        let buried = gone.learn(&sight(0), &sight(0), now);
        assert_eq!(buried.tombstone, Some(Tombstone { digest: d(1), at: now }));
        assert_eq!(buried.last, None);
        assert_eq!(buried.learn(&sight(0), &sight(0), Millis(9)), buried);
        assert_eq!(buried.learn(&sight(1), &sight(0), Millis(9)).gone_since, Some(Millis(9)));
        assert_eq!(buried.learn(&sight(1), &sight(1), now).tombstone, None, "somebody wanted it back");
    }

    #[test]
    fn what_was_spared_is_not_proposed_again() {
        let of = |two_way| {
            let way = Way { two_way, deletes: Deletes::Review };
            mark(&decide(way, &sight(0), &sight(1), &Known::spared()))
        };
        assert_eq!((of(false), of(true)), ('x', '<'));
    }

    #[test]
    fn a_row_leads_away_from_the_side_that_is_ahead() {
        let line = Line { from: "bj".parse().unwrap(), to: "sh".parse().unwrap() };
        let (repository, tag) = ("feed/web".parse().unwrap(), "v1".parse().unwrap());
        let way = Way { two_way: true, deletes: Deletes::Keep };
        let (s, t) = (sight(1), sight(2));
        let row = decide(way, &s, &t, &known(1, 0)).row(&line, &repository, &tag, &s, &t);
        assert_eq!(row.line.to_string(), "sh → bj");
        assert_eq!((row.difference, row.source, row.target), (Difference::Behind, Some(d(2)), Some(d(1))));
    }
}
