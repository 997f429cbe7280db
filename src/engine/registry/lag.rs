//! How far each line is behind, tag by tag, as comparisons found it: kept between runs, and while one compares anew.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

use crate::base::clock::Millis;
use crate::base::ids::RuleName;
use crate::base::text::Untrusted;
use crate::model::oci::{Repository, Tag};
use crate::model::replication::{DiffRow, Difference, Line, Rule, TagRun, TagState};

/// One tag that a target lacks or has otherwise.
#[derive(Clone, Debug, PartialEq)]
struct Behind {
    /// It was first seen so then.
    since: Millis,
    /// Bytes that it needs, at least; what is on its way is not counted here.
    bytes: u64,
    /// Why it could not be brought.
    why: Option<Untrusted>,
    /// The comparison that saw it last.
    round: u64,
}

type Key = (Line, Repository, Tag);

#[derive(Default)]
struct Lag {
    tags: BTreeMap<Key, Behind>,
    round: u64,
}

/// The lag of a line.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LineLag {
    /// Tags.
    pub tags: u32,
    /// Bytes, at least, without those that are on their way.
    pub bytes: u64,
    /// Since when.
    pub since: Option<Millis>,
    /// Why one of them could not be brought.
    pub why: Option<Untrusted>,
}

/// What is behind, by rule.
#[derive(Default)]
pub struct Lags(Mutex<BTreeMap<RuleName, Lag>>);

fn key(tag: &TagRun) -> Key {
    (tag.line.clone(), tag.repository.clone(), tag.tag.clone())
}

impl Lags {
    fn with<T>(&self, rule: &RuleName, work: impl FnOnce(&mut Lag) -> T) -> T {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        work(all.entry(rule.clone()).or_default())
    }

    /// A comparison begins.
    pub fn begin(&self, rule: &RuleName) {
        self.with(rule, |lag| lag.round += 1);
    }

    /// A comparison has found this.
    pub fn row(&self, rule: &RuleName, row: &DiffRow, now: Millis) {
        self.with(rule, |lag| {
            let key = (row.line.clone(), row.repository.clone(), row.tag.clone());
            let round = lag.round;
            match &row.difference {
                Difference::Missing | Difference::Behind => {
                    let fresh = Behind { since: now, bytes: 0, why: None, round };
                    let behind = lag.tags.entry(key).or_insert(fresh);
                    behind.round = round;
                    behind.bytes = row.bytes.unwrap_or(behind.bytes);
                }
                Difference::Unknown(_) => {
                    if let Some(behind) = lag.tags.get_mut(&key) {
                        behind.round = round;
                    }
                }
                _ => {
                    // It may have been behind the other way.
                    let (line, repository, tag) = key;
                    let back = line.back();
                    lag.tags.remove(&(back, repository.clone(), tag.clone()));
                    lag.tags.remove(&(line, repository, tag));
                }
            }
        });
    }

    /// A comparison of these repositories, or of all, has ended; it could ask for everything. What it did not see is gone.
    pub fn finish(&self, rule: &RuleName, only: Option<&BTreeSet<Repository>>) {
        self.with(rule, |lag| {
            let round = lag.round;
            lag.tags.retain(|(_, repository, _), behind| {
                behind.round == round || only.is_some_and(|only| !only.contains(repository))
            });
        });
    }

    /// A tag is on its way: what is left of it is known by the run.
    pub fn moving(&self, rule: &RuleName, tag: &TagRun) {
        self.with(rule, |lag| {
            if let Some(behind) = lag.tags.get_mut(&key(tag)) {
                (behind.bytes, behind.why) = (0, None);
            }
        });
    }

    /// A tag has ended so.
    pub fn ended(&self, rule: &RuleName, tag: &TagRun) {
        self.with(rule, |lag| match &tag.state {
            TagState::Done | TagState::Skipped(_) | TagState::Conflict => drop(lag.tags.remove(&key(tag))),
            state => {
                if let Some(behind) = lag.tags.get_mut(&key(tag)) {
                    behind.bytes = tag.bytes.saturating_sub(tag.moved);
                    behind.why = match state {
                        TagState::Failed(why) => Some(why.clone()),
                        _ => None,
                    };
                }
            }
        });
    }

    /// What an engine before this one left undone.
    pub fn seed(&self, rule: &RuleName, tag: &TagRun, since: Millis) {
        self.with(rule, |lag| {
            let round = lag.round;
            lag.tags.entry(key(tag)).or_insert(Behind { since, bytes: 0, why: None, round });
        });
        self.ended(rule, tag);
    }

    /// Only these rules are there, with these ends.
    pub fn keep<'a>(&self, rules: impl Iterator<Item = &'a Rule>) {
        let rules: BTreeMap<&RuleName, &Rule> = rules.map(|rule| (&rule.name, rule)).collect();
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|name, _| rules.contains_key(name));
        for (name, lag) in all.iter_mut() {
            let Some(rule) = rules.get(name) else { continue };
            lag.tags.retain(|(line, ..), _| {
                let there = rule.source == line.from && rule.targets.contains(&line.to);
                there || rule.two_way && rule.source == line.to && rule.targets.contains(&line.from)
            });
        }
    }

    /// How far a line is behind. What several rules want counts once.
    pub fn of(&self, line: &Line) -> LineLag {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut out = LineLag::default();
        let mut counted: BTreeSet<(&Repository, &Tag)> = BTreeSet::new();
        let several = all.values().filter(|lag| lag.tags.keys().any(|(of, ..)| of == line)).count() > 1;
        for ((_, repository, tag), behind) in
            all.values().flat_map(|lag| &lag.tags).filter(|((of, ..), _)| of == line)
        {
            if several && !counted.insert((repository, tag)) {
                continue;
            }
            out.tags += 1;
            out.bytes += behind.bytes;
            out.since = Some(out.since.map_or(behind.since, |at| at.min(behind.since)));
            out.why = out.why.or_else(|| behind.why.clone());
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line() -> Line {
        Line { from: "hq".parse().unwrap(), to: "bj".parse().unwrap() }
    }

    fn row(tag: &str, difference: Difference, bytes: Option<u64>) -> DiffRow {
        let (line, repository) = (line(), "feed/web".parse().unwrap());
        let (source, target) = (None, None);
        DiffRow { line, repository, tag: tag.parse().unwrap(), difference, source, target, bytes }
    }

    fn ended(tag: &str, state: TagState, left: u64) -> TagRun {
        let (line, repository) = (line(), "feed/web".parse().unwrap());
        let (bytes, moved, retries, gaps) = (left + 7, 7, 0, vec![]);
        TagRun {
            line,
            repository,
            tag: tag.parse().unwrap(),
            digest: None,
            state,
            bytes,
            moved,
            retries,
            gaps,
        }
    }

    #[test]
    fn what_is_behind_stays_so_between_runs_and_keeps_its_age() {
        let (lags, all) = (Lags::default(), RuleName::new("all").unwrap());
        let now = |n: i64| Millis(1_000 * n);
        lags.begin(&all);
        lags.row(&all, &row("v1", Difference::Missing, Some(30)), now(1));
        lags.row(&all, &row("v2", Difference::Behind, None), now(2));
        lags.row(&all, &row("v3", Difference::Conflict, None), now(2));
        lags.finish(&all, None);
        let lag = lags.of(&line());
        assert_eq!((lag.tags, lag.bytes, lag.since), (2, 30, Some(now(1))));
        lags.moving(&all, &ended("v1", TagState::Moving, 0));
        assert_eq!(lags.of(&line()).bytes, 0, "the run knows what is on its way");
        lags.ended(&all, &ended("v1", TagState::Failed("disk full".into()), 20));
        lags.ended(&all, &ended("v2", TagState::Done, 0));
        let lag = lags.of(&line());
        assert_eq!((lag.tags, lag.bytes, lag.since), (1, 20, Some(now(1))));
        assert!(lag.why.is_some());
        // A comparison that is under way changes nothing until it has seen.
        lags.begin(&all);
        assert_eq!(lags.of(&line()).tags, 1);
        lags.row(&all, &row("v1", Difference::Missing, None), now(9));
        lags.finish(&all, None);
        assert_eq!(lags.of(&line()).since, Some(now(1)), "it is as old as it is");
        // One of other repositories does not judge this one.
        lags.begin(&all);
        lags.finish(&all, Some(&["ads/x".parse().unwrap()].into()));
        assert_eq!(lags.of(&line()).tags, 1);
        lags.begin(&all);
        lags.finish(&all, Some(&["feed/web".parse().unwrap()].into()));
        assert_eq!(lags.of(&line()), LineLag::default(), "it is gone from the source");
    }

    #[test]
    fn what_two_rules_want_counts_once_and_a_rule_that_is_gone_not_at_all() {
        let (lags, now) = (Lags::default(), Millis(5));
        let rule = |name: &str| Rule {
            targets: vec!["bj".parse().unwrap()],
            ..Rule::new(name.parse().unwrap(), "hq".parse().unwrap())
        };
        for name in ["a", "b"] {
            lags.row(&rule(name).name, &row("v1", Difference::Missing, Some(10)), now);
        }
        lags.row(&rule("b").name, &row("v2", Difference::Missing, Some(1)), now);
        assert_eq!((lags.of(&line()).tags, lags.of(&line()).bytes), (2, 11));
        lags.keep([rule("a")].iter());
        assert_eq!((lags.of(&line()).tags, lags.of(&line()).bytes), (1, 10));
        lags.keep([Rule { targets: vec!["tc".parse().unwrap()], ..rule("a") }].iter());
        assert_eq!(lags.of(&line()), LineLag::default());
    }
}
