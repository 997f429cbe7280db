//! One run of a rule: compares, then brings tag after tag, and says at any time how it stands.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt};
use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::sync::watch;
use tokio::time::sleep;

use crate::base::clock::SharedClock;
use crate::base::fault::{Fault, Outcome};
use crate::base::ids::RegistryName;
use crate::base::text::Untrusted;
use crate::engine::registry::breaker::{Pass, likeness};
use crate::engine::registry::compare::{Compared, Comparison, Found, again_for_referrers};
use crate::engine::registry::guard::{Guard, is_of_guard};
use crate::engine::registry::image::{Claimed, Image, Walk};
use crate::engine::registry::matters::{Key, Matters};
use crate::engine::registry::notes::Notes;
use crate::engine::registry::pace::{Pace, again};
use crate::engine::registry::parts::{Part, Parts, Phase};
use crate::engine::registry::pool::Pool;
use crate::engine::registry::review::{Gone, propose};
use crate::engine::registry::trail::Trail;
use crate::model::oci::{Digest, Platform, Repository, Tag};
use crate::model::replication::known::{Conflict, Known, Side};
use crate::model::replication::{Deletes, DiffRow, Difference, Rule, RunId, RunView, TagRun, TagState};
use crate::plan::replicate::deletes::Candidate;
use crate::plan::replicate::difference::{Deed, Sight, Verdict, Way};
use crate::plan::replicate::filter::Selector;
use crate::store::replication::{Note, Owed};

/// Tags of a run that are under way at a time: enough that the largest blobs of many are known.
const TAGS: usize = 64;
/// So many more while nothing comes through: those that try whether something does.
const PROBES: usize = 16;
/// How often it is looked then whether tags may go.
const LOOK: Duration = Duration::from_secs(1);
/// A sign of life is asked for so often.
const TRIES: u32 = 4;

/// A run with its parts.
pub struct Run {
    /// Its number.
    pub id: RunId,
    /// Of this rule, as it was when the run began.
    pub rule: Rule,
    /// One pool for each target; with two masters then that of the way back.
    pub pools: Vec<Arc<Pool>>,
    /// What people want of it.
    pub pace: watch::Sender<Pace>,
    parts: Mutex<Parts>,
    matters: Arc<Matters>,
    found: Mutex<Matter>,
    notes: Notes,
    clock: SharedClock,
    claimed: Claimed,
    /// It is over, and its record is written.
    done: watch::Sender<bool>,
}

/// What a comparison has found for somebody to decide.
#[derive(Default)]
struct Matter {
    conflicts: Vec<Conflict>,
    /// Conflicts of before that are none any more.
    well: Vec<Key>,
    /// By the place of the line.
    gone: BTreeMap<usize, Gone>,
    /// What is gone at once from one of two masters.
    guard: Guard,
    /// Tags of which something is owed.
    met: BTreeSet<Owed>,
}

/// One tag whose turn it is.
struct Turn {
    place: usize,
    way: usize,
    tag: TagRun,
    replaces: Option<Digest>,
    known: Known,
}

impl Run {
    /// A run that has not begun.
    pub fn new(
        rule: Rule,
        parts: Parts,
        id: RunId,
        pools: Vec<Arc<Pool>>,
        matters: Arc<Matters>,
        notes: Notes,
        clock: SharedClock,
    ) -> Run {
        let (pace, claimed) = (watch::Sender::new(Pace::Go), Claimed::default());
        let (parts, found, done) = (Mutex::new(parts), Mutex::default(), watch::Sender::new(false));
        Run { id, rule, pools, pace, parts, matters, found, notes, clock, claimed, done }
    }

    fn matter<T>(&self, work: impl FnOnce(&mut Matter) -> T) -> T {
        work(&mut self.found.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Looks at, or changes, its parts.
    pub fn with<T>(&self, work: impl FnOnce(&mut Parts) -> T) -> T {
        work(&mut self.parts.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The run in numbers.
    pub fn view(&self) -> RunView {
        let (pace, now) = (*self.pace.borrow(), self.clock.now());
        self.with(|parts| parts.view(pace, now))
    }

    /// Does all of it. When this ends the run is over, and its record is written.
    pub async fn go(&self) {
        let mut pace = self.pace.subscribe();
        let is_stopped = tokio::select! {
            _ = pace.wait_for(|p| *p == Pace::Stopped) => true,
            () = self.work() => false,
        };
        if is_stopped {
            self.stopped().await;
            self.with(|parts| parts.enter(Phase::Over, self.clock.now()));
        }
        // A record that cannot be written leaves the run open: it is found again, and compares anew.
        let _ = self.notes.now(vec![Note::Run(Box::new(self.view()))]).await;
        self.done.send_replace(true);
    }

    async fn stopped(&self) {
        let notes = self.with(|parts| {
            let places = parts.stop();
            places.into_iter().filter_map(|n| self.note(n, &parts.part(n)?.view())).collect::<Vec<_>>()
        });
        self.notes.lazily(notes).await;
    }

    fn note(&self, place: usize, tag: &TagRun) -> Option<Note> {
        Some(Note::Tag(self.id, u32::try_from(place).ok()?, Box::new(tag.clone())))
    }

    /// Compares and moves, again while somebody joins who wants more of the rule than that.
    async fn work(&self) {
        loop {
            self.once().await;
            if !self.with(|parts| parts.widen(self.clock.now())) {
                return;
            }
        }
    }

    /// Somebody else asks for these repositories, or for all. False when this run is over, or ends.
    pub fn join(&self, only: Option<&BTreeSet<Repository>>) -> bool {
        *self.pace.borrow() != Pace::Stopped && self.with(|parts| parts.join(only))
    }

    /// Waits until it is over and its record is written.
    pub async fn over(&self) {
        // (What it waits for is in this run itself, so it cannot be gone.)
        let _ = self.done.subscribe().wait_for(|done| *done).await;
    }

    async fn once(&self) {
        self.with(Parts::begin);
        self.pools.iter().for_each(|pool| pool.breaker.retry());
        let owed = self.matters.debts.of(&self.rule.name);
        match self.compare().await {
            Err(fault) => {
                self.with(|parts| parts.fail(&Untrusted::from(fault.to_string())));
                // Of two masters nothing moves on half a look: what was lost at one side is known by the whole only.
                if self.rule.two_way {
                    self.with(Parts::stop);
                }
            }
            Ok(()) => self.tell_matters(&owed).await,
        }
        // Both ends have answered meanwhile, whatever others have made of the line.
        self.pools.iter().for_each(|pool| pool.breaker.retry());
        self.with(|parts| parts.enter(Phase::Moving, self.clock.now()));
        let waiting = self.with(|parts| parts.tags(0, usize::MAX));
        let notes: Vec<Note> =
            waiting.iter().enumerate().filter_map(|(place, tag)| self.note(place, tag)).collect();
        drop(waiting);
        self.notes.lazily(notes).await;
        self.bring_all().await;
    }

    fn compare(&self) -> BoxFuture<'_, Outcome<()>> {
        self.comparison().boxed()
    }

    async fn comparison(&self) -> Outcome<()> {
        let selector = Selector::of(&self.rule)?;
        let Some(first) = self.pools.first() else { return Ok(()) };
        again(TRIES, || first.ends.source.facts())
            .await
            .map_err(|f| f.because(format!("the source {} does not answer", first.ends.line.from)))?;
        let (mut lines, mut last) = (Vec::new(), None::<Fault>);
        for (place, pool) in self.pools.iter().take(self.rule.targets.len()).enumerate() {
            match again(TRIES, || pool.ends.target.facts()).await {
                Ok(_) => lines.push((place, pool.clone())),
                Err(fault) => {
                    let fault = fault.because(format!("the target {} does not answer", pool.ends.line.to));
                    self.with(|parts| parts.unknown(&Untrusted::from(fault.to_string())));
                    last = Some(fault);
                }
            }
        }
        if let (true, Some(fault)) = (lines.is_empty(), last) {
            return Err(fault);
        }
        let tell = |found: Found| match found {
            Found::Tag(tag) => self.compared(*tag),
            Found::Listed(line, repository, side, listing) => self.matter(|m| {
                m.gone.entry(line).or_default().listings.insert((repository, side), listing);
            }),
            Found::Unknown(fault) => {
                self.with(|parts| parts.unknown(&Untrusted::from(fault.to_string())));
            }
        };
        let only = self.with(|parts| parts.only());
        Comparison::new(&self.rule, &selector, &lines, self.pace.subscribe(), &tell)
            .only(only.as_ref())
            .all()
            .await
    }

    /// Takes one compared tag in.
    fn compared(&self, tag: Compared) {
        let Compared { place, mut row, mut verdict, known, source, target, lacks } = tag;
        let at = (self.rule.name.clone(), row.repository.clone(), row.tag.clone());
        let owing = self.owing(&row).or(lacks);
        let question = self.guarded(place, &mut row, &mut verdict, &known, (&source, &target));
        if row.difference == Difference::Same
            && let Some(digest) = source.digest()
            && let Some(to) = owing
        {
            again_for_referrers(&mut row, to);
            if to == Side::Source {
                verdict.deed = Deed::Write { to, digest: digest.clone() };
            }
        }
        match &verdict.deed {
            Deed::Ask => self.matter(|m| m.conflicts.push(question)),
            Deed::Propose { at, digest } => {
                let (repository, tag) = (row.repository.clone(), row.tag.clone());
                let (digest, gone_since) = (digest.clone(), known.gone_since);
                let candidate = Candidate { repository, tag, at: *at, digest, gone_since };
                self.matter(|m| m.gone.entry(place).or_default().candidates.push(candidate));
            }
            Deed::Nothing | Deed::Write { .. } => {}
        }
        let is_settled = !matches!(row.difference, Difference::Unknown(_)) && verdict.deed != Deed::Ask;
        if is_settled && self.rule.two_way && self.matters.conflict(&at).is_some() {
            self.matter(|m| m.well.push(at));
        }
        let is_back = matches!(verdict.deed, Deed::Write { to: Side::Source, .. });
        let way = if is_back { self.rule.targets.len() + place } else { place };
        self.with(|parts| parts.row(way, row, known));
    }

    /// The side at which a tag is without all that refers to it.
    fn owing(&self, row: &DiffRow) -> Option<Side> {
        let owes = |to: &RegistryName| {
            let tag = (row.repository.clone(), row.tag.clone());
            let owed = (self.rule.name.clone(), to.clone(), tag.0, tag.1);
            let owes = self.matters.debts.owes(&owed);
            if owes {
                self.matter(|m| m.met.insert(owed));
            }
            owes
        };
        let (to, from) = (owes(&row.line.to), self.rule.two_way && owes(&row.line.from));
        if to { Some(Side::Target) } else { from.then_some(Side::Source) }
    }

    /// Counts a tag for the guard, and gives the question that it is, or would be. A move that is asked about is none.
    fn guarded(
        &self,
        place: usize,
        row: &mut DiffRow,
        verdict: &mut Verdict,
        known: &Known,
        (source, target): (&Sight, &Sight),
    ) -> Conflict {
        let line = self.pools.get(place).map_or_else(|| row.line.clone(), |pool| pool.ends.line.clone());
        let question = Conflict {
            rule: self.rule.name.clone(),
            line,
            repository: row.repository.clone(),
            tag: row.tag.clone(),
            source: source.digest().cloned(),
            target: target.digest().cloned(),
            before: known.last.clone(),
            why: verdict.why.to_owned(),
            since: self.clock.now(),
            answered: None,
            trouble: None,
        };
        if !self.rule.two_way || matches!(row.difference, Difference::Unknown(_)) {
            return question;
        }
        let absent = match (source, target) {
            (Sight::Absent, _) => Some(Side::Source),
            (_, Sight::Absent) => Some(Side::Target),
            _ => None,
        };
        let began = self.with(|parts| parts.began());
        self.matter(|m| m.guard.count(place, known, absent, began));
        if !matches!(verdict.deed, Deed::Write { .. }) || absent.is_some() {
            return question;
        }
        let at = (self.rule.name.clone(), row.repository.clone(), row.tag.clone());
        let is_same = |c: &Conflict| c.source == question.source && c.target == question.target;
        if let Some(open) = self.matters.conflict(&at).filter(|c| is_of_guard(c) && is_same(c)) {
            (row.difference, verdict.deed) = (Difference::Conflict, Deed::Ask);
            return open;
        }
        self.matter(|m| m.guard.moved(place, verdict.from, question.clone()));
        question
    }

    /// Keeps what the comparison has found for somebody to decide.
    async fn tell_matters(&self, owed: &BTreeSet<Owed>) {
        let Matter { mut conflicts, well, mut gone, guard, met } = self.matter(std::mem::take);
        let guarded = guard.questions();
        self.with(|parts| parts.ask(&guarded));
        conflicts.extend(guarded);
        // One of a few repositories says nothing of conflicts and deletions in others.
        let is_all = self.with(|parts| parts.only().is_none());
        let whole = is_all && self.with(|parts| parts.is_whole());
        let mut notes = self.matters.compared(&self.rule.name, conflicts, &well, whole);
        if whole {
            notes.extend(self.matters.debts.sweep(owed, &met));
        }
        if let (Deletes::Review, true, Ok(selector)) = (self.rule.deletes, is_all, Selector::of(&self.rule)) {
            for (line, pool) in self.pools.iter().take(self.rule.targets.len()).enumerate() {
                let gone = gone.remove(&line).unwrap_or_default();
                let review = propose(pool, (&self.rule, &selector), self.id, &gone, &self.matters).await;
                notes.extend(self.matters.proposed(review));
            }
        }
        // What is lost in a crash is found again by the next run.
        self.notes.lazily(notes).await;
    }

    /// Brings all that waits, many tags at a time.
    async fn bring_all(&self) {
        // A rule whose filters make no sense was refused as the run began.
        let Ok(selector) = Selector::of(&self.rule) else { return };
        let mut moving: FuturesUnordered<BoxFuture<'_, ()>> = FuturesUnordered::new();
        let mut pace = self.pace.subscribe();
        loop {
            let is_open = self.pools.iter().any(|pool| pool.breaker.is_open());
            let most = if is_open { TAGS + PROBES } else { TAGS };
            while moving.len() < most {
                let Some(turn) = self.turn(&selector) else { break };
                moving.push(self.bring(&selector, turn).boxed());
            }
            let waits = self.with(|parts| parts.waits());
            if moving.is_empty() && !waits {
                return;
            }
            tokio::select! {
                Some(()) = moving.next() => {}
                _ = pace.changed() => {}
                // (There was room, and none might go.)
                () = sleep(LOOK), if waits && moving.len() < most && *self.pace.borrow() == Pace::Go => {}
            }
        }
    }

    /// The next tag whose turn it is; none while the run rests. Where nothing comes through, one now and then, of another repository
    /// if there is one.
    fn turn(&self, selector: &Selector) -> Option<Turn> {
        if *self.pace.borrow() != Pace::Go {
            return None;
        }
        let passes: Vec<Pass> = self.pools.iter().map(|pool| pool.breaker.tags()).collect();
        let targets = self.rule.targets.len();
        let like = |part: &Part, of: &BTreeSet<Repository>| {
            let repository = part.repository();
            let there = if part.way < targets { selector.at_target(repository).ok() } else { None };
            likeness(of, there.as_ref().unwrap_or(repository))
        };
        let rank = |part: &Part| match passes.get(part.way) {
            None | Some(Pass::All | Pass::None(_)) => Some(0),
            Some(Pass::One(of)) => Some(like(part, of)),
            Some(Pass::Later(_)) => None,
        };
        let turn = self.with(|parts| {
            let place = parts.next(rank)?;
            let part = parts.part(place)?;
            let (way, tag, known) = (part.way, part.view(), part.known.clone());
            Some(Turn { place, way, tag, replaces: part.replaces.clone(), known })
        })?;
        if let Some(pool) = self.pools.get(turn.way) {
            pool.breaker.tries_tag();
        }
        Some(turn)
    }

    async fn bring(&self, selector: &Selector, turn: Turn) {
        let (place, mut gaps) = (turn.place, Vec::new());
        let (outcome, mut notes) = match selector.at_target(&turn.tag.repository) {
            Ok(there) => self.write(&turn, &there, &mut gaps).await,
            Err(fault) => (Err(fault), Vec::new()),
        };
        let state = match (outcome, &turn.tag.digest) {
            (Ok(()), Some(_)) => TagState::Done,
            (Ok(()), None) => TagState::Skipped("the source does not have it any more".to_owned()),
            (Err(fault), _) => TagState::Failed(Untrusted::from(fault.to_string())),
        };
        let view = self.with(|parts| {
            parts.ended(place, state, gaps);
            parts.part(place).map(Part::view)
        });
        notes.extend(view.and_then(|tag| self.note(place, &tag)));
        self.notes.lazily(notes).await;
    }

    /// Writes one tag where it is to be. Gives what is remembered of it then.
    async fn write(
        &self,
        turn: &Turn,
        there: &Repository,
        gaps: &mut Vec<Platform>,
    ) -> (Outcome<()>, Vec<Note>) {
        let targets = self.rule.targets.len();
        let is_back = turn.way >= targets;
        let forward = if is_back { turn.way - targets } else { turn.way };
        let (Some(pool), Some(forward)) = (self.pools.get(turn.way), self.pools.get(forward)) else {
            return (Ok(()), Vec::new());
        };
        let Some(digest) = &turn.tag.digest else { return (Ok(()), Vec::new()) };
        let source = &turn.tag.repository;
        let trail = Trail {
            ends: &forward.ends,
            way: Way::of(&self.rule),
            from: source,
            there,
            tag: &turn.tag.tag,
            to: if is_back { Side::Source } else { Side::Target },
            digest,
            replaces: turn.replaces.as_ref(),
            known: &turn.known,
        };
        let (from, to) = if is_back { (there, source) } else { (source, there) };
        let (outcome, has_arrived) = self.tries(pool, turn, (from, to), &trail, gaps).await;
        let mut notes = if has_arrived { vec![trail.arrived()] } else { Vec::new() };
        if outcome.is_ok() {
            notes.extend(self.matters.debts.paid(&self.owed(pool, turn), to));
        }
        (outcome, notes)
    }

    async fn tries(
        &self,
        pool: &Arc<Pool>,
        turn: &Turn,
        (from, to): (&Repository, &Repository),
        trail: &Trail<'_>,
        gaps: &mut Vec<Platform>,
    ) -> (Outcome<()>, bool) {
        let place = turn.place;
        let (before, owe) = (|| trail.before().boxed(), || self.owe(pool, turn).boxed());
        let image = Image {
            place,
            pool,
            from,
            to,
            platforms: &self.rule.platforms,
            pace: self.pace.subscribe(),
            priority: &|| self.with(|p| p.part(place).map_or(0, |p| p.priority)),
            claimed: &self.claimed,
            claim: &|digest, progress| self.with(|p| p.claim(place, digest, progress)),
            owe: &owe,
            before: &before,
            gaps: Mutex::default(),
            walk: if trail.replaces == Some(trail.digest) { Walk::arrived() } else { Walk::default() },
        };
        let retried = || self.with(|parts| parts.retried(place));
        let outcome = image.bring_again(trail.tag, trail.digest, retried).await;
        *gaps = image.gaps();
        (outcome, image.walk.has_arrived())
    }

    fn owed(&self, pool: &Pool, turn: &Turn) -> Owed {
        let (repository, tag) = (turn.tag.repository.clone(), turn.tag.tag.clone());
        (self.rule.name.clone(), pool.ends.line.to.clone(), repository, tag)
    }

    /// The tag is to be written without all that refers to it.
    async fn owe(&self, pool: &Pool, turn: &Turn) -> Outcome<()> {
        let owed = self.owed(pool, turn);
        self.notes.now(vec![Note::Owed(owed.clone())]).await?;
        self.matters.debts.owe(owed);
        Ok(())
    }

    /// What people want of it from now on.
    pub fn set_pace(&self, pace: Pace) {
        // First: whoever waits for the pace looks at that next.
        if pace == Pace::Go {
            self.pools.iter().for_each(|pool| pool.breaker.retry());
        }
        self.pace.send_if_modified(|now| {
            let changes = *now != pace && *now != Pace::Stopped;
            if changes {
                *now = pace;
            }
            changes
        });
        for pool in &self.pools {
            pool.look_again();
        }
    }

    /// Gives its matching tags this priority, also where their blobs wait already. Gives how many there are.
    pub fn raise(&self, repository: &Repository, tag: Option<&Tag>, priority: i32) -> u32 {
        let (count, blobs) = self.with(|parts| parts.raise(repository, tag, priority));
        let there = Selector::of(&self.rule).and_then(|s| s.at_target(repository));
        if let Ok(there) = there {
            for (way, digest) in blobs {
                let to = if way < self.rule.targets.len() { &there } else { repository };
                if let Some(pool) = self.pools.get(way) {
                    pool.raise(to, &digest, priority);
                }
            }
        }
        count
    }
}
