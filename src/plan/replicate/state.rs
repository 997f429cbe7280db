//! How a whole stands, worked out from its parts: a run from its tags, a line from its differences, a rate from its bytes.

use std::collections::BTreeMap;

use crate::base::clock::Millis;
use crate::model::oci::{Repository, Tag};
use crate::model::replication::{DiffRow, Difference, RunState, TagCounts, TagRun, TagState};

/// A rate is that of the last so many milliseconds: long enough to be steady, short enough to show what happens now.
pub const RATE_MS: u64 = 10_000;
/// Without a byte for so long, what should move is called stalled. Longer than a registry needs to take in a large blob.
pub const STALLED_MS: u64 = 60_000;

/// What is known of a run besides its tags.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RunFacts {
    /// Both sides were listed and compared to the end.
    pub compared: bool,
    /// Somebody paused it.
    pub paused: bool,
    /// Somebody stopped it.
    pub stopped: bool,
    /// It could not compare at all.
    pub failed: bool,
}

/// How a run stands. A stop or a pause that came when nothing was left to do changes nothing.
pub fn run_state(facts: RunFacts, tags: &TagCounts) -> RunState {
    let is_left = !facts.compared || tags.waiting > 0 || tags.moving > 0;
    if facts.failed {
        RunState::Failed
    } else if is_left && facts.stopped {
        RunState::Stopped
    } else if is_left && facts.paused {
        RunState::Paused
    } else if !facts.compared {
        RunState::Comparing
    } else if is_left {
        RunState::Moving
    } else if tags.failed > 0 || tags.conflicts > 0 || tags.unknown > 0 {
        RunState::Incomplete
    } else {
        RunState::Done
    }
}

/// The counts of a run's tags. What is the same, extra or unknown is counted by the comparison and is not among them. A tag that
/// was stopped counts as waiting: its turn did not come.
pub fn counts(tags: &[TagRun]) -> TagCounts {
    let mut out = TagCounts::default();
    for tag in tags {
        let count = match &tag.state {
            TagState::Waiting | TagState::Stopped => &mut out.waiting,
            TagState::Moving => &mut out.moving,
            TagState::Done => &mut out.done,
            TagState::Skipped(_) => &mut out.same,
            TagState::Failed(_) => &mut out.failed,
            TagState::Conflict => &mut out.conflicts,
        };
        *count += 1;
    }
    out
}

/// Bytes a second over the last [`RATE_MS`], from samples of (when, bytes that had arrived in all by then), oldest first. None
/// without two samples, or while nothing moves.
pub fn rate(samples: &[(Millis, u64)], now: Millis) -> Option<u64> {
    let old = samples.iter().rev().find(|(at, _)| now.since(*at) >= RATE_MS);
    let (since, first) = old.or(samples.first())?;
    let (_, last) = samples.last()?;
    let took = now.since(*since);
    let moved = last.saturating_sub(*first);
    (took > 0 && moved > 0).then(|| moved.saturating_mul(1000) / took)
}

/// How long it will take at this rate, in milliseconds. None while that cannot be said.
pub fn eta_ms(bytes: u64, moved: u64, rate: Option<u64>) -> Option<u64> {
    let left = bytes.saturating_sub(moved);
    if left == 0 {
        return Some(0);
    }
    let rate = rate.filter(|r| *r > 0)?;
    u64::try_from((u128::from(left) * 1000).div_ceil(u128::from(rate))).ok()
}

/// Since when nothing moves although something should: the last byte's time, once that is [`STALLED_MS`] ago.
pub fn stalled(state: RunState, last_byte: Millis, now: Millis) -> Option<Millis> {
    (state == RunState::Moving && now.since(last_byte) >= STALLED_MS).then_some(last_byte)
}

/// When each tag was first seen to be behind on a line, durable or not.
pub type BehindSince = BTreeMap<(Repository, Tag), Millis>;

/// How far a line is behind, from the rows of its last comparison.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lag {
    /// Tags that the target lacks or has otherwise.
    pub tags: u32,
    /// Bytes that have to be moved for them, as far as that is worked out.
    pub bytes: u64,
    /// The oldest of the differences was first seen then.
    pub since: Option<Millis>,
    /// Conflicts that wait for somebody.
    pub conflicts: u32,
}

/// The lag of a line after a comparison, and since when each tag is behind. A tag that could not be asked stays as behind as it
/// was; one that was not compared this time, too.
pub fn lag(before: &BehindSince, rows: &[DiffRow], now: Millis) -> (BehindSince, Lag) {
    let (mut since, mut lag) = (before.clone(), Lag::default());
    for row in rows {
        let key = (row.repository.clone(), row.tag.clone());
        match &row.difference {
            Difference::Missing | Difference::Behind | Difference::Conflict => {
                since.entry(key).or_insert(now);
                lag.bytes += row.bytes.unwrap_or(0);
                lag.conflicts += u32::from(row.difference == Difference::Conflict);
            }
            Difference::Same | Difference::Extra => drop(since.remove(&key)),
            Difference::Unknown(_) => {}
        }
    }
    lag.tags = u32::try_from(since.len()).unwrap_or(u32::MAX);
    lag.since = since.values().min().copied();
    (since, lag)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::replication::Line;
    use proptest::prelude::*;

    #[test]
    fn a_run_stands_as_its_tags_do() {
        let all = RunFacts { compared: true, ..RunFacts::default() };
        let of = |facts: RunFacts, tags: TagCounts| run_state(facts, &tags);
        let none = TagCounts::default();
        assert_eq!(of(RunFacts::default(), none), RunState::Comparing);
        assert_eq!(of(all, none), RunState::Done);
        assert_eq!(of(all, TagCounts { moving: 1, failed: 1, ..none }), RunState::Moving);
        assert_eq!(of(all, TagCounts { waiting: 1, ..none }), RunState::Moving);
        for bad in [
            TagCounts { failed: 1, ..none },
            TagCounts { conflicts: 1, ..none },
            TagCounts { unknown: 1, ..none },
        ] {
            assert_eq!(of(all, bad), RunState::Incomplete);
        }
        assert_eq!(of(all, TagCounts { extra: 3, same: 2, done: 1, ..none }), RunState::Done);
        let stopped = RunFacts { stopped: true, ..all };
        assert_eq!(of(stopped, TagCounts { waiting: 1, ..none }), RunState::Stopped);
        assert_eq!(of(stopped, none), RunState::Done, "it came too late");
        assert_eq!(of(RunFacts { paused: true, ..all }, TagCounts { moving: 1, ..none }), RunState::Paused);
        assert_eq!(of(RunFacts { failed: true, ..RunFacts::default() }, none), RunState::Failed);
    }

    #[test]
    fn rates_and_times_are_of_what_happens_now() {
        let at = |s: i64| Millis(s * 1000);
        assert_eq!(rate(&[], at(5)), None);
        assert_eq!(rate(&[(at(0), 0), (at(5), 5000)], at(5)), Some(1000));
        assert_eq!(rate(&[(at(0), 0), (at(90), 1000), (at(100), 11_000)], at(100)), Some(1000));
        assert_eq!(rate(&[(at(0), 0), (at(5), 5000)], at(60)), None, "nothing came of late");
        assert_eq!(eta_ms(3000, 1000, Some(1000)), Some(2000));
        assert_eq!((eta_ms(3, 3, None), eta_ms(3, 2, None), eta_ms(3, 2, Some(0))), (Some(0), None, None));
        assert_eq!(stalled(RunState::Moving, at(0), at(60)), Some(at(0)));
        assert_eq!(stalled(RunState::Moving, at(1), at(60)), None);
        assert_eq!(stalled(RunState::Paused, at(0), at(600)), None);
    }

    fn row(tag: &str, difference: Difference) -> DiffRow {
        let line = Line { from: "bj".parse().unwrap(), to: "sh".parse().unwrap() };
        let (repository, tag) = ("feed/web".parse().unwrap(), tag.parse().unwrap());
        DiffRow { line, repository, tag, difference, source: None, target: None, bytes: Some(10) }
    }

    #[test]
    fn a_line_is_behind_since_its_oldest_difference_and_silence_mends_nothing() {
        let (first, lag1) = lag(&BehindSince::new(), &[row("a", Difference::Missing)], Millis(1));
        assert_eq!((lag1.tags, lag1.bytes, lag1.since), (1, 10, Some(Millis(1))));
        let rows = [row("a", Difference::Behind), row("b", Difference::Conflict)];
        let (second, lag2) = lag(&first, &rows, Millis(2));
        assert_eq!((lag2.tags, lag2.conflicts, lag2.since), (2, 1, Some(Millis(1))));
        let (third, lag3) = lag(&second, &[row("a", Difference::Unknown("x".into()))], Millis(3));
        assert_eq!((lag3.tags, lag3.since), (2, Some(Millis(1))));
        let (_, lag4) = lag(&third, &[row("a", Difference::Same)], Millis(4));
        assert_eq!((lag4.tags, lag4.since), (1, Some(Millis(2))));
    }

    proptest! {
        #[test]
        fn a_state_is_over_exactly_when_nothing_is_left(
            compared: bool, paused: bool, stopped: bool, failed: bool, waiting in 0..2u32, moving in 0..2u32, bad in 0..2u32,
        ) {
            let facts = RunFacts { compared, paused, stopped, failed };
            let state = run_state(facts, &TagCounts { waiting, moving, failed: bad, ..TagCounts::default() });
            let is_left = !compared || waiting + moving > 0;
            prop_assert_eq!(state.is_over(), failed || stopped || !is_left);
            prop_assert!(state != RunState::Done || bad == 0);
        }
    }
}
