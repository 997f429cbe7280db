//! The parts of a run, from which its state is worked out: each tag with the blobs that count for it.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::base::clock::Millis;
use crate::base::ids::RuleName;
use crate::base::text::Untrusted;
use crate::engine::registry::lag::Lags;
use crate::engine::registry::pace::Pace;
use crate::engine::registry::progress::{Meter, Progress};
use crate::model::oci::{Digest, Repository, Tag};
use crate::model::replication::known::{Conflict, Known};
use crate::model::replication::{
    Cause, DiffRow, Difference, Line, RunId, RunState, RunView, TagCounts, TagRun, TagState,
};
use crate::plan::replicate::state::{RunFacts, run_state};

/// One tag that was not the same, and what it needs.
pub struct Part {
    /// As it stands, but for the blobs that are under way.
    tag: TagRun,
    /// The place of its line among the rule's: one for each target, then that of the way back.
    pub way: usize,
    /// What it replaces where it is written.
    pub replaces: Option<Digest>,
    /// What is remembered of it.
    pub known: Known,
    /// What goes first.
    pub priority: i32,
    /// The blobs that count for it.
    claims: Vec<(Digest, Arc<Progress>)>,
}

impl Part {
    /// Where the source has it.
    pub fn repository(&self) -> &Repository {
        &self.tag.repository
    }

    /// As it stands now.
    pub fn view(&self) -> TagRun {
        let mut tag = self.tag.clone();
        tag.bytes = self.claims.iter().map(|(_, p)| p.bytes()).sum();
        tag.moved = self.claims.iter().map(|(_, p)| p.moved()).sum();
        tag.retries += self.claims.iter().map(|(_, p)| p.retries()).sum::<u32>();
        tag
    }
}

/// What a run is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// It compares.
    Comparing,
    /// It moves.
    Moving,
    /// It is over.
    Over,
}

/// All that is known of a run.
pub struct Parts {
    id: RunId,
    rule: RuleName,
    cause: Cause,
    began: Millis,
    ended: Option<Millis>,
    phase: Phase,
    parts: Vec<Part>,
    waiting: BTreeSet<(Reverse<i32>, usize)>,
    same: u32,
    extra: u32,
    unknown: u32,
    compared: u32,
    reason: Option<Untrusted>,
    is_failed: bool,
    /// Others that asked for the same.
    pub joined: u32,
    meter: Meter,
    default_priority: i32,
    /// Only these repositories are compared.
    only: Option<BTreeSet<Repository>>,
    /// What somebody wants to be compared besides, or once more; `Some(None)` is everything.
    wider: Option<Option<BTreeSet<Repository>>>,
    /// Both sides were compared to the end.
    was_compared: bool,
    /// Tags that it dealt with before it was widened.
    before: BTreeMap<(Line, Repository, Tag), usize>,
    /// Everything was compared.
    compared_all: bool,
    lags: Arc<Lags>,
}

impl Parts {
    /// A run that begins.
    pub fn new(id: RunId, rule: RuleName, cause: Cause, began: Millis, priority: i32) -> Parts {
        Parts {
            id,
            rule,
            cause,
            began,
            ended: None,
            phase: Phase::Comparing,
            parts: Vec::new(),
            waiting: BTreeSet::new(),
            same: 0,
            extra: 0,
            unknown: 0,
            compared: 0,
            reason: None,
            is_failed: false,
            joined: 0,
            meter: Meter::new(),
            default_priority: priority,
            only: None,
            wider: None,
            was_compared: false,
            before: BTreeMap::new(),
            compared_all: false,
            lags: Arc::default(),
        }
    }

    /// The same for these repositories only, and with the place where it is kept what is behind.
    #[must_use]
    pub fn within(self, only: Option<BTreeSet<Repository>>, lags: Arc<Lags>) -> Parts {
        Parts { only, lags, ..self }
    }

    /// The repositories that are compared; `None` is all of them.
    pub fn only(&self) -> Option<BTreeSet<Repository>> {
        self.only.clone()
    }

    /// When a comparison of everything began, if it could ask for all of it.
    pub fn whole_since(&self) -> Option<Millis> {
        self.compared_all.then_some(self.began)
    }

    /// Somebody else asks for these repositories, or for all. False when this run is over.
    pub fn join(&mut self, only: Option<&BTreeSet<Repository>>) -> bool {
        if self.phase == Phase::Over {
            return false;
        }
        self.joined += 1;
        let more = match &self.only {
            // What has changed since it compared is not known to it.
            _ if self.phase == Phase::Moving => only.cloned(),
            Some(own) if only.is_none_or(|only| !only.is_subset(own)) => None,
            _ => return true,
        };
        self.wider = Some(match (self.wider.take(), more) {
            (None, more) => more,
            (Some(Some(mut all)), Some(more)) => {
                all.extend(more);
                Some(all)
            }
            _ => None,
        });
        true
    }

    /// It compares from now on.
    pub fn begin(&mut self) {
        self.lags.begin(&self.rule);
    }

    /// All that it knew of is done: it is over, or compares everything because somebody joined who wants that. True when it goes on.
    pub fn widen(&mut self, now: Millis) -> bool {
        let Some(only) = self.wider.take().filter(|_| !self.is_failed) else {
            self.enter(Phase::Over, now);
            return false;
        };
        self.only = only;
        (self.phase, self.was_compared) = (Phase::Comparing, false);
        (self.same, self.extra, self.unknown, self.compared) = (0, 0, 0, 0);
        let key = |p: &Part| (p.tag.line.clone(), p.tag.repository.clone(), p.tag.tag.clone());
        self.before = self.parts.iter().enumerate().map(|(place, part)| (key(part), place)).collect();
        true
    }

    /// A tag that was dealt with before is compared once more.
    fn once_more(&mut self, place: usize, way: usize, row: DiffRow, known: Known) {
        let Some(part) = self.parts.get_mut(place) else { return };
        match row.difference {
            Difference::Missing | Difference::Behind => {
                (part.tag.state, part.tag.digest) = (TagState::Waiting, row.source);
                (part.way, part.replaces, part.known) = (way, row.target, known);
                self.waiting.insert((Reverse(part.priority), place));
            }
            Difference::Conflict => part.tag.state = TagState::Conflict,
            Difference::Same | Difference::Extra => part.tag.state = TagState::Done,
            Difference::Unknown(why) => {
                self.unknown += 1;
                self.explain(&why);
            }
        }
    }

    /// Takes one row of the comparison in. A tag that waits gets a place.
    pub fn row(&mut self, way: usize, row: DiffRow, known: Known) {
        self.compared += 1;
        self.lags.row(&self.rule, &row, self.began);
        if !self.before.is_empty() {
            let key = (row.line.clone(), row.repository.clone(), row.tag.clone());
            if let Some(place) = self.before.get(&key).copied() {
                return self.once_more(place, way, row, known);
            }
        }
        let state = match row.difference {
            Difference::Same => {
                self.same += 1;
                return;
            }
            Difference::Extra => {
                self.extra += 1;
                return;
            }
            Difference::Unknown(why) => {
                self.unknown += 1;
                self.explain(&why);
                return;
            }
            Difference::Missing | Difference::Behind => TagState::Waiting,
            Difference::Conflict => TagState::Conflict,
        };
        let is_waiting = state == TagState::Waiting;
        let (line, repository, tag, digest) = (row.line, row.repository, row.tag, row.source);
        let replaces = row.target;
        let gaps = Vec::new();
        let tag = TagRun { line, repository, tag, digest, state, bytes: 0, moved: 0, retries: 0, gaps };
        let priority = self.default_priority;
        if is_waiting {
            self.waiting.insert((Reverse(priority), self.parts.len()));
        }
        self.parts.push(Part { tag, way, replaces, known, priority, claims: Vec::new() });
    }

    /// These are asked about instead of being moved.
    pub fn ask(&mut self, about: &[Conflict]) {
        let tags: BTreeSet<(&Repository, &Tag)> = about.iter().map(|c| (&c.repository, &c.tag)).collect();
        for (place, part) in self.parts.iter_mut().enumerate() {
            let is_meant = tags.contains(&(&part.tag.repository, &part.tag.tag));
            if is_meant && self.waiting.remove(&(Reverse(part.priority), place)) {
                part.tag.state = TagState::Conflict;
            }
        }
    }

    /// When it began.
    pub fn began(&self) -> Millis {
        self.began
    }

    /// Something could not be compared.
    pub fn unknown(&mut self, why: &Untrusted) {
        self.unknown += 1;
        self.explain(why);
    }

    /// It could not compare at all.
    pub fn fail(&mut self, why: &Untrusted) {
        self.is_failed = true;
        self.explain(why);
    }

    fn explain(&mut self, why: &Untrusted) {
        self.reason.get_or_insert_with(|| why.clone());
    }

    /// It compares, moves or is over from now on.
    pub fn enter(&mut self, phase: Phase, now: Millis) {
        if (self.phase, phase) == (Phase::Comparing, Phase::Moving) {
            self.was_compared = !self.is_failed;
            if !self.is_failed && self.unknown == 0 {
                self.compared_all |= self.only.is_none();
                self.lags.finish(&self.rule, self.only.as_ref());
            }
        }
        self.phase = phase;
        if phase == Phase::Over {
            self.ended = Some(now);
        }
    }

    /// True while there are tags whose turn has not come.
    pub fn waits(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// The next tag: it is moving from now on. Of those whose turn it may be, the first of the lowest rank.
    pub fn next(&mut self, rank: impl Fn(&Part) -> Option<u8>) -> Option<usize> {
        let mut chosen = None;
        for entry in &self.waiting {
            let Some(rank) = self.parts.get(entry.1).and_then(&rank) else { continue };
            if chosen.is_none_or(|(least, _)| rank < least) {
                chosen = Some((rank, *entry));
            }
            if rank == 0 {
                break;
            }
        }
        let (_, entry) = chosen?;
        self.waiting.remove(&entry);
        let place = entry.1;
        if let Some(part) = self.parts.get_mut(place) {
            part.tag.state = TagState::Moving;
            self.lags.moving(&self.rule, &part.tag);
        }
        Some(place)
    }

    /// One tag.
    pub fn part(&self, place: usize) -> Option<&Part> {
        self.parts.get(place)
    }

    /// A blob counts for this tag.
    pub fn claim(&mut self, place: usize, digest: &Digest, progress: Arc<Progress>) {
        let Some(part) = self.parts.get_mut(place) else { return };
        match part.claims.iter_mut().find(|(d, _)| d == digest) {
            // What has arrived stays counted when the tag is tried again.
            Some((_, old)) if old.moved() > 0 && old.moved() == old.bytes() => {}
            Some((_, old)) => *old = progress,
            None => part.claims.push((digest.clone(), progress)),
        }
    }

    /// It was tried again.
    pub fn retried(&mut self, place: usize) {
        if let Some(part) = self.parts.get_mut(place) {
            part.tag.retries += 1;
        }
    }

    /// A tag has ended so.
    pub fn ended(&mut self, place: usize, state: TagState, gaps: Vec<crate::model::oci::Platform>) {
        if let TagState::Failed(why) = &state {
            self.explain(&why.clone());
        }
        if let Some(part) = self.parts.get_mut(place) {
            part.tag.state = state;
            part.tag.gaps = gaps;
            self.lags.ended(&self.rule, &part.view());
        }
    }

    /// What has not ended is stopped. Gives the places.
    pub fn stop(&mut self) -> Vec<usize> {
        self.waiting.clear();
        let open = |p: &Part| matches!(p.tag.state, TagState::Waiting | TagState::Moving);
        let places: Vec<usize> =
            self.parts.iter().enumerate().filter(|(_, p)| open(p)).map(|(n, _)| n).collect();
        for place in &places {
            self.parts[*place].tag.state = TagState::Stopped;
            self.lags.ended(&self.rule, &self.parts[*place].view());
        }
        places
    }

    /// Gives matching tags this priority. Gives the blobs of those that are moving already, and how many tags there are.
    pub fn raise(
        &mut self,
        repository: &Repository,
        tag: Option<&Tag>,
        priority: i32,
    ) -> (u32, Vec<(usize, Digest)>) {
        let (mut count, mut blobs) = (0, Vec::new());
        for (place, part) in self.parts.iter_mut().enumerate() {
            let is_meant = part.tag.repository == *repository && tag.is_none_or(|t| *t == part.tag.tag);
            if !is_meant || !matches!(part.tag.state, TagState::Waiting | TagState::Moving) {
                continue;
            }
            count += 1;
            if self.waiting.remove(&(Reverse(part.priority), place)) {
                self.waiting.insert((Reverse(priority), place));
            }
            part.priority = priority;
            blobs.extend(part.claims.iter().map(|(d, _)| (part.way, d.clone())));
        }
        (count, blobs)
    }

    /// Tags from a place on.
    pub fn tags(&self, from: usize, limit: usize) -> Vec<TagRun> {
        self.parts.iter().skip(from).take(limit).map(Part::view).collect()
    }

    /// True when everything could be compared.
    pub fn is_whole(&self) -> bool {
        !self.is_failed && self.unknown == 0
    }

    /// Why a tag of one line could not be brought.
    pub fn trouble(&self, line: &Line) -> Option<Untrusted> {
        let of = |p: &&Part| p.tag.line == *line;
        self.parts.iter().filter(of).find_map(|part| match &part.tag.state {
            TagState::Failed(why) => Some(why.clone()),
            _ => None,
        })
    }

    /// Bytes of a line that are on their way.
    pub fn left(&self, line: &Line) -> u64 {
        let moving = |p: &&Part| p.tag.state == TagState::Moving && p.tag.line == *line;
        let claims = self.parts.iter().filter(moving).flat_map(|p| &p.claims);
        claims.map(|(_, p)| p.bytes().saturating_sub(p.moved())).sum()
    }

    /// Tags by how they stand, counted.
    fn counts(&self) -> (TagCounts, u32) {
        let mut counts =
            TagCounts { same: self.same, extra: self.extra, unknown: self.unknown, ..TagCounts::default() };
        let mut stopped = 0;
        for part in &self.parts {
            match part.tag.state {
                TagState::Waiting => counts.waiting += 1,
                TagState::Moving => counts.moving += 1,
                TagState::Done => counts.done += 1,
                TagState::Skipped(_) => counts.same += 1,
                TagState::Failed(_) => counts.failed += 1,
                TagState::Conflict => counts.conflicts += 1,
                TagState::Stopped => stopped += 1,
            }
        }
        (counts, stopped)
    }

    /// The run in numbers; its state is worked out from its parts. Takes a sample of its progress.
    pub fn view(&mut self, pace: Pace, now: Millis) -> RunView {
        let (tags, stopped) = self.counts();
        let claims = || self.parts.iter().flat_map(|p| &p.claims);
        let bytes: u64 = claims().map(|(_, p)| p.bytes()).sum();
        let moved: u64 = claims().map(|(_, p)| p.moved()).sum();
        let facts = RunFacts {
            compared: self.was_compared,
            paused: false,
            stopped: pace == Pace::Stopped,
            failed: self.is_failed,
        };
        let state = match (self.phase, pace) {
            // (A tag that was stopped is one whose turn did not come.)
            (Phase::Over, _) => run_state(facts, &TagCounts { waiting: tags.waiting + stopped, ..tags }),
            (_, Pace::Paused) => RunState::Paused,
            (Phase::Comparing, _) => RunState::Comparing,
            (Phase::Moving, _) => RunState::Moving,
        };
        let settled = tags.done + tags.failed;
        self.meter.sample(moved, moved + u64::from(settled) + u64::from(self.compared));
        if state == RunState::Paused {
            self.meter.excuse();
        }
        let rate = self.meter.rate().filter(|_| state == RunState::Moving);
        let eta_ms = rate.map(|rate| bytes.saturating_sub(moved).saturating_mul(1000) / rate);
        let quiet = self.meter.stalled().filter(|_| !state.is_over());
        let since = |length: std::time::Duration| {
            Millis(now.0.saturating_sub(i64::try_from(length.as_millis()).unwrap_or(i64::MAX)))
        };
        RunView {
            id: self.id,
            rule: self.rule.clone(),
            cause: self.cause.clone(),
            began: self.began,
            ended: self.ended,
            state,
            compared: self.compared,
            tags,
            bytes,
            moved,
            rate,
            eta_ms,
            stalled: quiet.map(since),
            reason: self.reason.clone(),
            joined: self.joined,
        }
    }
}
