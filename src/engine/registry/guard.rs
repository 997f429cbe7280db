//! A side of two masters from which much is gone at once may have been restored from an old backup: what it has otherwise is then
//! not written over the other side, somebody is asked.

use std::collections::BTreeMap;

use crate::base::clock::Millis;
use crate::model::replication::known::{Conflict, Known, Side};
use crate::plan::replicate::deletes::DeleteLimits;

/// What was first missed so long before the run counts for it too: a look at the two in between, or a run that broke off, does not
/// switch the question off. In milliseconds: a day.
const RECENT: u64 = 24 * 60 * 60 * 1000;

/// How the reason of such a question begins.
const MUCH: &str = "much is gone at once from";

/// What one side of a line showed.
#[derive(Default)]
struct One {
    known: u64,
    lost: u64,
    moves: Vec<Conflict>,
}

/// What a comparison of two masters has seen of their sides.
///
/// Only tags that are gone are counted, and only those that were first missed within a day before the run, or by it. Tags that merely point elsewhere
/// are not: one digest is remembered of each, so that a tag that was moved back looks as one that was moved on, and a release may
/// move most tags of a registry in an hour.
#[derive(Default)]
pub struct Guard(BTreeMap<(usize, Side), One>);

impl Guard {
    /// Counts a tag of a line, as it is remembered now; `absent` is the side that does not have it, `since` when the run began.
    pub fn count(&mut self, line: usize, known: &Known, absent: Option<Side>, since: Millis) {
        if known.last.is_none() {
            return;
        }
        for side in [Side::Source, Side::Target] {
            let one = self.0.entry((line, side)).or_default();
            one.known += 1;
            one.lost += u64::from(
                absent == Some(side) && known.gone_since.is_some_and(|at| at.plus(RECENT) >= since),
            );
        }
    }

    /// A tag that this side would write over what the other one has, as the question that it may become.
    pub fn moved(&mut self, line: usize, from: Side, question: Conflict) {
        self.0.entry((line, from)).or_default().moves.push(question);
    }

    /// The moves that are asked about instead of being made.
    pub fn questions(self) -> Vec<Conflict> {
        let limits = DeleteLimits::default();
        let is_much = |one: &One| {
            let least = u64::from(limits.shrink_min);
            one.lost > least && one.lost * 100 > one.known * u64::from(limits.shrink_percent)
        };
        let much = self.0.into_iter().filter(|(_, one)| is_much(one));
        much.flat_map(|((_, side), one)| {
            let why = format!(
                "{MUCH} the {} ({} of {} tags): what it has otherwise may be old",
                side.noun(),
                one.lost,
                one.known
            );
            one.moves.into_iter().map(move |question| Conflict { why: why.clone(), ..question })
        })
        .collect()
    }
}

/// True for a question that was asked because much was gone: it waits until somebody answers, also when nothing more goes.
pub fn is_of_guard(conflict: &Conflict) -> bool {
    conflict.why.starts_with(MUCH)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::oci::Digest;
    use crate::model::replication::Line;

    fn question() -> Conflict {
        Conflict {
            rule: "masters".parse().unwrap(),
            line: Line { from: "bj".parse().unwrap(), to: "tc".parse().unwrap() },
            repository: "feed/web".parse().unwrap(),
            tag: "v1".parse().unwrap(),
            source: None,
            target: None,
            before: None,
            why: String::new(),
            since: Millis(5),
            answered: None,
            trouble: None,
        }
    }

    /// When the run began.
    const RUN: i64 = 1_000_000_000;
    const DAY: i64 = 24 * 60 * 60 * 1000;

    /// Questions about one move of the target after so many of 40 tags went from `side`, first seen then.
    fn asked(lost: u32, side: Side, first_seen: i64) -> usize {
        let mut guard = Guard::default();
        for n in 0..40 {
            let is_lost = n < lost;
            let gone_since = is_lost.then_some(Millis(first_seen));
            let known = Known { last: Some(Digest::of(b"a")), gone_since, ..Known::default() };
            guard.count(0, &known, is_lost.then_some(side), Millis(RUN));
        }
        guard.moved(0, Side::Target, question());
        let all = guard.questions();
        assert!(all.iter().all(is_of_guard));
        all.len()
    }

    #[test]
    fn moves_of_a_side_that_lost_much_at_once_are_asked_about() {
        assert_eq!(asked(11, Side::Target, RUN), 1);
        assert_eq!(asked(10, Side::Target, RUN), 0, "ten may go");
        assert_eq!(asked(11, Side::Source, RUN), 0, "the other side lost them");
        assert_eq!(asked(11, Side::Target, RUN - DAY), 1, "somebody looked in between");
        assert_eq!(asked(11, Side::Target, RUN - DAY - 1), 0, "they were gone before");
    }
}
