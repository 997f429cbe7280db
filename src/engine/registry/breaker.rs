//! A line on which nothing comes through any more: it is tried with one small blob now and then, and where that is in vain, too,
//! its runs end soon, and say why. (The pattern is known as a circuit breaker: M. Nygard, "Release It!", 2007.)

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::base::fault::{Fault, Kind, Outcome};
use crate::model::oci::Repository;

/// After so many blobs and tags in a row that were given up, only one of them is tried …
const IN_A_ROW: u32 = 8;
/// … every so often.
const PROBE_EVERY: Duration = Duration::from_secs(30);
/// After so many in vain, too …
const PROBES: u32 = 3;
/// … and so long after the first in the row (a registry that begins anew is waited for), the rest is not tried.
const AT_LEAST: Duration = Duration::from_secs(90);
/// A row whose last failure is so long ago says nothing any more.
const FORGOTTEN: Duration = Duration::from_secs(600);
/// Repositories of a row that are remembered.
const REPOSITORIES_MAX: usize = 100;

#[derive(Debug)]
struct Row {
    count: u32,
    first: Instant,
    last: Instant,
    /// When the next tag may be tried, and the next blob.
    next_tag: Instant,
    next_blob: Instant,
    /// Of these repositories: what only they suffer from says little about others.
    of: BTreeSet<Repository>,
    why: Fault,
}

/// What became of the last blobs and tags of a line.
#[derive(Debug, Default)]
pub struct Breaker(Mutex<Option<Row>>);

/// What may be tried now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pass {
    /// All.
    All,
    /// One, of which [`likeness`] to these repositories is least.
    One(BTreeSet<Repository>),
    /// None before that.
    Later(Instant),
    /// None, for this reason.
    None(Fault),
}

/// How much what a repository suffers from may be what these do: nothing, the project (a quota), or itself.
pub fn likeness(of: &BTreeSet<Repository>, repository: &Repository) -> u8 {
    let project = |of: &Repository| of.as_str().split('/').next().unwrap_or_default().to_owned();
    if of.contains(repository) {
        return 2;
    }
    let mine = project(repository);
    u8::from(of.iter().any(|other| project(other) == mine))
}

impl Row {
    fn is_open(&self) -> bool {
        self.count >= IN_A_ROW
    }

    fn is_hopeless(&self) -> bool {
        self.count >= IN_A_ROW + PROBES && self.last - self.first >= AT_LEAST
    }
}

impl Breaker {
    fn with<T>(&self, work: impl FnOnce(&mut Option<Row>) -> T) -> T {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Something has come through.
    pub fn came(&self) {
        self.with(|row| *row = None);
    }

    /// What was tried says nothing of the line: another may be tried now.
    pub fn said_nothing(&self) {
        let now = Instant::now();
        self.with(|row| row.as_mut().map(|row| (row.next_tag, row.next_blob) = (now, now)));
    }

    /// Something was given up. What the other side refuses, or is damaged, says nothing of the line.
    pub fn gave_up(&self, of: &Repository, fault: &Fault) {
        if !fault.is_unknown() && fault.kind != Kind::Exhausted {
            return self.said_nothing();
        }
        self.with(|row| {
            let now = Instant::now();
            row.take_if(|row| now - row.last >= FORGOTTEN);
            let begin = || Row {
                count: 0,
                first: now,
                last: now,
                next_tag: now,
                next_blob: now,
                of: BTreeSet::new(),
                why: fault.clone(),
            };
            let row = row.get_or_insert_with(begin);
            (row.count, row.last, row.why) = (row.count + 1, now, fault.clone());
            if row.of.len() < REPOSITORIES_MAX {
                row.of.insert(of.clone());
            }
        });
    }

    /// Somebody wants what was not tried any more to be tried.
    pub fn retry(&self) {
        self.with(|row| row.take_if(|row| row.is_hopeless() || row.last.elapsed() >= FORGOTTEN));
    }

    /// True when one at a time is tried.
    pub fn is_open(&self) -> bool {
        self.with(|row| row.as_ref().is_some_and(Row::is_open))
    }

    /// Which blobs may be tried now. Who is told of one is to try it: for others it is later.
    pub fn blobs(&self) -> Pass {
        let pass = self.pass(|row| row.next_blob);
        if matches!(pass, Pass::One(_)) {
            self.with(|row| row.as_mut().map(|row| row.next_blob = Instant::now() + PROBE_EVERY));
        }
        pass
    }

    /// Which tags may be tried now. Who tries one says so ([`Breaker::tries_tag`]).
    pub fn tags(&self) -> Pass {
        self.pass(|row| row.next_tag)
    }

    /// A tag is tried: where one at a time is, for others it is later.
    pub fn tries_tag(&self) {
        self.with(|row| {
            let open = row.as_mut().filter(|row| row.is_open());
            open.map(|row| row.next_tag = Instant::now() + PROBE_EVERY)
        });
    }

    fn pass(&self, next: fn(&Row) -> Instant) -> Pass {
        if let Err(fault) = self.check() {
            return Pass::None(fault);
        }
        self.with(|row| match row.as_ref().filter(|row| row.is_open()) {
            None => Pass::All,
            Some(row) if Instant::now() < next(row) => Pass::Later(next(row)),
            Some(row) => Pass::One(row.of.clone()),
        })
    }

    /// Whether anything is worth its while.
    ///
    /// # Errors
    /// With the last fault, where nothing is until somebody wants it again.
    pub fn check(&self) -> Outcome<()> {
        self.with(|row| {
            let Some(row) = row.as_ref().filter(|row| row.is_hopeless()) else { return Ok(()) };
            let (count, seconds) = (row.count, (row.last - row.first).as_secs());
            let words = format!("not tried: the last {count} tries here failed, over {seconds} s");
            let fault = Fault { kind: Kind::Unreachable, ..row.why.clone() }.because(words);
            let next = "mend the registry or the line to it, then run the rule again";
            Err(if fault.hint.is_some() { fault } else { fault.hint(next) })
        })
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::sleep;

    use super::*;

    fn of(name: &str) -> Repository {
        name.parse().unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn a_row_of_failures_lets_one_through_now_and_then_and_in_the_end_none() {
        let (line, cut) = (Breaker::default(), Fault::new(Kind::Timeout, "cut"));
        for _ in 1..IN_A_ROW {
            line.gave_up(&of("a"), &cut);
        }
        line.gave_up(&of("b"), &Fault::new(Kind::Invalid, "damaged"));
        line.gave_up(&of("b"), &Fault::new(Kind::Refused, "no right"));
        assert_eq!((line.blobs(), line.tags(), line.is_open()), (Pass::All, Pass::All, false));
        line.tries_tag(); // As all do before: that takes no turn from the first one that is tried alone.
        line.gave_up(&of("a"), &cut);
        let one = Pass::One([of("a")].into());
        assert_eq!((line.tags(), line.blobs(), line.is_open()), (one.clone(), one.clone(), true));
        line.tries_tag();
        for _ in 0..PROBES {
            let later = Pass::Later(Instant::now() + PROBE_EVERY);
            assert_eq!((line.blobs(), line.tags()), (later.clone(), later), "one at a time");
            line.gave_up(&of("c"), &Fault::new(Kind::Invalid, "damaged"));
            assert!(matches!(line.blobs(), Pass::One(_)), "that said nothing");
            line.gave_up(&of("c"), &cut);
            line.retry();
            sleep(PROBE_EVERY).await;
            assert_eq!(line.blobs(), Pass::One([of("a"), of("c")].into()), "it went on");
            line.tries_tag();
        }
        line.gave_up(&of("c"), &cut);
        let fault = line.check().unwrap_err();
        assert_eq!(fault.to_string(), "not tried: the last 12 tries here failed, over 90 s: cut");
        assert!(fault.is_unknown() && line.blobs() == Pass::None(fault.clone()));
        assert_eq!(line.tags(), Pass::None(fault));
        line.retry();
        assert_eq!(line.blobs(), Pass::All);
    }

    #[tokio::test(start_paused = true)]
    async fn neither_time_nor_number_alone_ends_it_and_a_success_or_a_long_time_ends_the_row() {
        let (line, cut) = (Breaker::default(), Fault::new(Kind::Unreachable, "cut"));
        line.gave_up(&of("a"), &cut);
        sleep(AT_LEAST * 2).await;
        line.gave_up(&of("a"), &cut);
        assert_eq!(line.blobs(), Pass::All);
        line.came();
        for _ in 0..100 {
            line.gave_up(&of("a"), &cut);
        }
        sleep(AT_LEAST).await;
        line.check().unwrap();
        line.retry();
        assert!(line.is_open());
        sleep(FORGOTTEN).await;
        line.gave_up(&of("a"), &cut);
        assert!(!line.is_open() && line.check().is_ok(), "a failure of yesterday is none of today");
        for _ in 0..IN_A_ROW {
            line.gave_up(&of("a"), &cut);
        }
        assert!(line.is_open());
        line.came();
        assert_eq!((line.blobs(), line.is_open()), (Pass::All, false));
    }

    #[test]
    fn what_a_project_suffers_from_is_not_what_another_does() {
        let failed = [of("feed/web"), of("top")].into();
        let likeness =
            ["ads/web", "feed/api", "feed/web", "top", "top/web"].map(|r| likeness(&failed, &of(r)));
        assert_eq!(likeness, [0, 1, 2, 2, 1]);
    }
}
