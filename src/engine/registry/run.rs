//! One run of a rule: compares, then brings tag after tag, and says at any time how it stands.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::future::{BoxFuture, FutureExt};
use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::sync::watch;

use crate::base::clock::SharedClock;
use crate::base::fault::{Fault, Outcome};
use crate::base::text::Untrusted;
use crate::engine::registry::compare::{Comparison, Found};
use crate::engine::registry::image::{Claimed, Image};
use crate::engine::registry::notes::Notes;
use crate::engine::registry::pace::{Pace, again, may_pass, pause};
use crate::engine::registry::parts::{Part, Parts, Phase};
use crate::engine::registry::pool::Pool;
use crate::model::oci::{Platform, Repository, Tag};
use crate::model::replication::{Rule, RunId, RunView, TagRun, TagState};
use crate::plan::replicate::filter::Selector;
use crate::store::replication::{Note, SeenTag};

/// Tags of a run that are under way at a time: enough that the largest blobs of many are known.
const TAGS: usize = 64;
/// A tag, and a sign of life, are tried so often.
const TRIES: u32 = 4;

/// A run with its parts.
pub struct Run {
    /// Its number.
    pub id: RunId,
    /// Of this rule, as it was when the run began.
    pub rule: Rule,
    /// One pool for each target.
    pub pools: Vec<Arc<Pool>>,
    /// What people want of it.
    pub pace: watch::Sender<Pace>,
    parts: Mutex<Parts>,
    notes: Notes,
    clock: SharedClock,
    claimed: Claimed,
}

impl Run {
    /// A run that has not begun.
    pub fn new(
        rule: Rule,
        parts: Parts,
        id: RunId,
        pools: Vec<Arc<Pool>>,
        notes: Notes,
        clock: SharedClock,
    ) -> Run {
        let pace = watch::Sender::new(Pace::Go);
        Run { id, rule, pools, pace, parts: Mutex::new(parts), notes, clock, claimed: Claimed::default() }
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

    /// Somebody else asks for these repositories, or for all. False when this run is over.
    pub fn join(&self, only: Option<&BTreeSet<Repository>>) -> bool {
        self.with(|parts| parts.join(only))
    }

    async fn once(&self) {
        self.with(Parts::begin);
        if let Err(fault) = self.compare().await {
            self.with(|parts| parts.fail(&Untrusted::from(fault.to_string())));
        }
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
        for (place, pool) in self.pools.iter().enumerate() {
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
        let tell = |found: Found| {
            self.with(|parts| match found {
                Found::Row(target, row) => parts.row(target, row),
                Found::Unknown(fault) => parts.unknown(&Untrusted::from(fault.to_string())),
            });
        };
        let only = self.with(|parts| parts.only());
        Comparison::new(&self.rule, &selector, &lines, self.pace.subscribe(), &tell)
            .only(only.as_ref())
            .all()
            .await
    }

    /// Brings all that waits, many tags at a time.
    async fn bring_all(&self) {
        // A rule whose filters make no sense was refused as the run began.
        let Ok(selector) = Selector::of(&self.rule) else { return };
        let mut moving: FuturesUnordered<BoxFuture<'_, ()>> = FuturesUnordered::new();
        loop {
            while moving.len() < TAGS {
                let Some(place) = self.with(Parts::next) else { break };
                moving.push(self.bring(&selector, place).boxed());
            }
            if moving.next().await.is_none() {
                return;
            }
        }
    }

    async fn bring(&self, selector: &Selector, place: usize) {
        let Some((target, tag)) = self.with(|p| p.part(place).map(|p| (p.target, p.view()))) else { return };
        let Some(pool) = self.pools.get(target) else { return };
        let mut gaps = Vec::new();
        let outcome = match selector.at_target(&tag.repository) {
            Ok(to) => self.tries(pool, place, &tag, &to, &mut gaps).await,
            Err(fault) => Err(fault),
        };
        let mut notes = Vec::new();
        let state = match (outcome, &tag.digest) {
            (Ok(()), Some(digest)) => {
                let line = tag.line.clone();
                let origin = line.from.clone();
                let agreed = SeenTag { digest: digest.clone(), origin, at: self.clock.now() };
                notes.push(Note::Seen(line, tag.repository.clone(), tag.tag.clone(), agreed));
                TagState::Done
            }
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

    async fn tries(
        &self,
        pool: &Arc<Pool>,
        place: usize,
        tag: &TagRun,
        to: &Repository,
        gaps: &mut Vec<Platform>,
    ) -> Outcome<()> {
        let Some(digest) = &tag.digest else { return Ok(()) };
        let image = Image {
            place,
            pool,
            from: &tag.repository,
            to,
            platforms: &self.rule.platforms,
            pace: self.pace.subscribe(),
            priority: &|| self.with(|p| p.part(place).map_or(0, |p| p.priority)),
            claimed: &self.claimed,
            claim: &|digest, progress| self.with(|p| p.claim(place, digest, progress)),
            gaps: Mutex::default(),
        };
        let mut done = 0;
        let outcome = loop {
            match image.bring(&tag.tag, digest).await {
                Err(fault) if may_pass(&fault) && done + 1 < TRIES => {
                    self.with(|parts| parts.retried(place));
                    tokio::time::sleep(pause(done)).await;
                }
                other => break other,
            }
            done += 1;
        };
        *gaps = image.gaps();
        outcome
    }

    /// What people want of it from now on.
    pub fn set_pace(&self, pace: Pace) {
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
        let to = Selector::of(&self.rule).and_then(|s| s.at_target(repository));
        if let Ok(to) = to {
            for (target, digest) in blobs {
                if let Some(pool) = self.pools.get(target) {
                    pool.raise(&to, &digest, priority);
                }
            }
        }
        count
    }
}
