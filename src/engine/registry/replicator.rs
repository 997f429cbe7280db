//! The public entry: owns the runs and the lines, joins what is asked for twice, and tells how everything stands.

mod diff;
mod past;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::sleep;

use crate::base::clock::SharedClock;
use crate::base::fault::{Fault, Kind, Outcome};
use crate::base::ids::{RegistryName, RuleName};
use crate::engine::registry::budget::Purse;
use crate::engine::registry::lag::Lags;
use crate::engine::registry::lines::{Lines, Views};
use crate::engine::registry::matters::Matters;
use crate::engine::registry::notes::Notes;
use crate::engine::registry::pace::Pace;
use crate::engine::registry::parts::Parts;
use crate::engine::registry::pool::{Ends, Pool};
use crate::engine::registry::run::Run;
use crate::engine::registry::tasks::Tasks;
use crate::engine::registry::triggers::same_content;
use crate::model::oci::{Repository, Tag};
use crate::model::replication::known::Conflict;
use crate::model::replication::review::Review;
use crate::model::replication::{Cause, Line, LineLimits, Rule, RunId, RunState, RunView, TagRun};
use crate::plan::replicate::filter::Selector;
use crate::ports::registry::RegistryClient;
use crate::store::Store;
use crate::store::replication::{Note, PAGE_MAX};

pub use diff::Diff;
pub use past::Past;

/// How to reach each registry.
pub type Registries = BTreeMap<RegistryName, Arc<dyn RegistryClient>>;

/// While something goes on, views are made so often.
const TICK: Duration = Duration::from_millis(500);
/// A run that was stopped is over within this time as a rule; who asks for the next one waits no longer, since the engine's core waits too.
const ENDS_IN: Duration = Duration::from_secs(1);
/// Runs that are over and that nobody has asked about yet; the oldest is forgotten beyond that.
pub const ENDED_MAX: usize = 256;

struct State {
    registries: Registries,
    pools: BTreeMap<Line, Arc<Pool>>,
    limits: BTreeMap<Line, LineLimits>,
    /// The run of each rule that goes on, or the last one.
    runs: BTreeMap<RuleName, Arc<Run>>,
    lines: Lines,
    next: u64,
    /// Runs that are over since this was asked last.
    ended: VecDeque<RunView>,
}

struct Inner {
    store: Store,
    clock: SharedClock,
    notes: Notes,
    tasks: Tasks,
    lags: Arc<Lags>,
    matters: Arc<Matters>,
    deleting: tokio::sync::Mutex<()>,
    /// It compares, and keeps nothing.
    looks: bool,
    state: Mutex<State>,
    changed: Notify,
    views: watch::Sender<Arc<Views>>,
}

/// Replication as a whole. When it is dropped, all that goes on ends where it is; the next one finds it again.
pub struct Replicator {
    handle: Handle,
}

/// The way to ask something of it. Cheap to clone.
#[derive(Clone)]
pub struct Handle(Arc<Inner>);

impl Drop for Replicator {
    fn drop(&mut self) {
        self.handle.0.tasks.abort();
    }
}

impl Replicator {
    /// Begins with these registries. The clock also says what local time is, for budgets by hours.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn begin(registries: Registries, store: Store, clock: SharedClock) -> Outcome<Replicator> {
        Replicator::start(registries, store, clock, false).await
    }

    /// One that only compares, by a store that is only read: no run is begun or gone on with, and no report is kept.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn to_look(registries: Registries, store: Store, clock: SharedClock) -> Outcome<Replicator> {
        Replicator::start(registries, store, clock, true).await
    }

    async fn start(
        registries: Registries,
        store: Store,
        clock: SharedClock,
        looks: bool,
    ) -> Outcome<Replicator> {
        // (Who only looks may do so by a state of before there was any of this.)
        let owed = if looks { Vec::new() } else { store.owed().await? };
        let matters = Arc::new(Matters::new(store.conflicts().await?, store.reviews().await?, owed));
        let (notes, writer) = Notes::new(store.clone());
        let tasks = Tasks::new();
        tasks.spawn(writer);
        let state = State {
            registries,
            pools: BTreeMap::new(),
            limits: BTreeMap::new(),
            runs: BTreeMap::new(),
            lines: Lines::default(),
            next: store.last_run().await?.0 + 1,
            ended: VecDeque::new(),
        };
        let (views, changed) = (watch::Sender::new(Arc::default()), Notify::new());
        let (state, deleting, lags) = (Mutex::new(state), tokio::sync::Mutex::new(()), Arc::default());
        let inner =
            Inner { store, clock, notes, tasks, lags, matters, deleting, looks, state, changed, views };
        let handle = Handle(Arc::new(inner));
        let teller = handle.clone();
        handle.0.tasks.spawn(async move { teller.tell().await });
        Ok(Replicator { handle })
    }

    /// The way to ask something of it.
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Ends all that goes on, where it is, and waits until it has.
    pub async fn end(self) {
        self.handle.0.tasks.end().await;
    }
}

impl Handle {
    fn with<T>(&self, work: impl FnOnce(&mut State) -> T) -> T {
        work(&mut self.0.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// From now on registries are reached so. Runs under way keep theirs until they end.
    pub fn set_registries(&self, registries: Registries) {
        self.with(|s| {
            let is_same = |name: &RegistryName| match (s.registries.get(name), registries.get(name)) {
                (Some(old), Some(new)) => Arc::ptr_eq(old, new),
                _ => false,
            };
            let kept: Vec<Line> =
                s.pools.keys().filter(|l| is_same(&l.from) && is_same(&l.to)).cloned().collect();
            s.pools.retain(|line, _| kept.contains(line));
            s.registries = registries;
        });
    }

    /// What waits for somebody.
    pub(super) fn matters(&self) -> &Matters {
        &self.0.matters
    }

    /// The run of a rule that goes on.
    pub(super) fn going_run(&self, rule: &RuleName) -> Option<RunId> {
        let run = self.with(|s| s.runs.get(rule).cloned())?;
        (!run.view().state.is_over()).then_some(run.id)
    }

    /// Held while deletions are carried out.
    pub(super) fn deleting(&self) -> &tokio::sync::Mutex<()> {
        &self.0.deleting
    }

    /// True when it keeps nothing.
    pub(super) fn looks(&self) -> bool {
        self.0.looks
    }

    /// The durable state.
    pub(super) fn store(&self) -> &Store {
        &self.0.store
    }

    /// The time.
    pub(super) fn clock(&self) -> &SharedClock {
        &self.0.clock
    }

    /// How to reach a registry.
    pub(super) fn registry(&self, name: &RegistryName) -> Outcome<Arc<dyn RegistryClient>> {
        self.with(|s| s.registries.get(name).cloned()).ok_or_else(|| {
            Fault::new(Kind::NotFound, format!("there is no registry {name}"))
                .hint("see `longshore registry ls`")
        })
    }

    /// Writes notes that survive a crash once this returns.
    pub(super) async fn note(&self, notes: Vec<Note>) -> Outcome<()> {
        if notes.is_empty() { Ok(()) } else { self.0.notes.now(notes).await }
    }

    /// Something that is shown has changed.
    pub(super) fn stir(&self) {
        self.0.changed.notify_one();
    }

    /// Begins a task that ends with the replicator.
    pub(super) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.0.tasks.spawn(task);
    }

    /// These rules are wanted: their lines are shown, and nothing else waits for somebody.
    ///
    /// # Errors
    /// When the journal cannot be written.
    pub async fn set_rules(&self, rules: &[Rule]) -> Outcome<()> {
        for rule in rules {
            // A rule whose registry is not known says so when it runs.
            let _ = self.pools(rule);
        }
        let runs: Vec<Arc<Run>> = self.with(|s| s.runs.values().cloned().collect());
        for run in runs {
            // What is not wanted any more is not written any more.
            if !rules.iter().any(|r| same_content(r, &run.rule)) {
                run.set_pace(Pace::Stopped);
            }
        }
        self.note(self.matters().keep(rules)).await?;
        self.stir();
        Ok(())
    }

    /// Tags that were changed on both sides and wait for somebody, of a rule or of all.
    pub fn conflicts(&self, rule: Option<&RuleName>) -> Vec<Conflict> {
        self.matters().conflicts(rule)
    }

    /// Deletions that wait for a yes or are being carried out, of a rule or of all.
    pub fn reviews(&self, rule: Option<&RuleName>) -> Vec<Review> {
        self.matters().reviews(rule)
    }

    /// The pools of a rule's lines, one for each target; with two masters then that of the way back.
    pub(super) fn pools(&self, rule: &Rule) -> Outcome<Vec<Arc<Pool>>> {
        let there = rule.targets.iter().map(|to| Line { from: rule.source.clone(), to: to.clone() });
        let back = rule.targets.iter().filter(|_| rule.two_way);
        let back = back.map(|to| Line { from: to.clone(), to: rule.source.clone() });
        let lines = there.chain(back);
        self.with(|s| lines.map(|line| self.pool(s, line)).collect())
    }

    fn pool(&self, state: &mut State, line: Line) -> Outcome<Arc<Pool>> {
        if let Some(pool) = state.pools.get(&line) {
            return Ok(pool.clone());
        }
        let find = |name: &RegistryName| {
            state.registries.get(name).cloned().ok_or_else(|| {
                Fault::new(Kind::NotFound, format!("there is no registry {name}"))
                    .hint("add it, or change the rule")
            })
        };
        let inner = &self.0;
        let ends = Ends {
            source: find(&line.from)?,
            target: find(&line.to)?,
            line: line.clone(),
            purse: Arc::new(Purse::new(inner.clock.clone())),
            notes: inner.notes.clone(),
            store: inner.store.clone(),
            clock: inner.clock.clone(),
        };
        let pool = Pool::new(ends, inner.tasks.clone());
        if let Some(limits) = state.limits.get(&line) {
            pool.set_parallel(limits.parallel);
            pool.ends.purse.set(limits.clone());
        }
        state.pools.insert(line, pool.clone());
        Ok(pool)
    }

    /// Begins a run of a rule, or joins the one that goes on. It is durable once this returns.
    ///
    /// # Errors
    /// When a registry is not known, a filter makes no sense, or the journal cannot be written.
    pub async fn start(&self, rule: Rule, cause: Cause) -> Outcome<RunId> {
        self.start_at(rule, cause, Pace::Go, None).await
    }

    /// The same for some repositories only. A run that goes on and compares fewer is widened to all of them.
    ///
    /// # Errors
    /// As [`Handle::start`].
    pub async fn start_some(
        &self,
        rule: Rule,
        cause: Cause,
        only: Option<BTreeSet<Repository>>,
    ) -> Outcome<RunId> {
        self.start_at(rule, cause, Pace::Go, only).await
    }

    async fn start_at(
        &self,
        rule: Rule,
        cause: Cause,
        pace: Pace,
        only: Option<BTreeSet<Repository>>,
    ) -> Outcome<RunId> {
        Selector::of(&rule)?;
        let pools = self.pools(&rule)?;
        let name = rule.name.clone();
        let now = self.0.clock.now();
        self.make_way(&rule).await?;
        let begun = self.with(|s| {
            if let Some(run) = s.runs.get(&name).filter(|run| run.join(only.as_ref())) {
                return Err(run.id);
            }
            let id = RunId(s.next);
            s.next += 1;
            let lags = self.0.lags.clone();
            let parts = Parts::new(id, name.clone(), cause, now, rule.priority).within(only, lags);
            let (matters, notes) = (self.0.matters.clone(), self.0.notes.clone());
            let run = Run::new(rule, parts, id, pools, matters, notes, self.0.clock.clone());
            let run = Arc::new(run);
            run.set_pace(pace);
            let before = s.runs.insert(name.clone(), run.clone());
            Ok((run, before))
        });
        let (run, before) = match begun {
            Ok(begun) => begun,
            Err(joined) => return Ok(joined),
        };
        if let Err(fault) = self.0.notes.now(vec![Note::Run(Box::new(run.view()))]).await {
            self.with(|s| match before {
                Some(before) => s.runs.insert(name, before),
                None => s.runs.remove(&name),
            });
            return Err(fault.because("the run cannot be written down"));
        }
        let (id, handle) = (run.id, self.clone());
        self.0.tasks.spawn(async move {
            run.go().await;
            handle.with(|s| {
                if s.ended.len() >= ENDED_MAX {
                    s.ended.pop_front();
                }
                s.ended.push_back(run.view());
            });
            handle.0.changed.notify_one();
            handle.carry_on(&run.rule).await;
        });
        self.0.changed.notify_one();
        Ok(id)
    }

    /// A run of what the rule was before ends first, and one that ends is waited for: it can be joined no more.
    async fn make_way(&self, rule: &Rule) -> Outcome<()> {
        let Some(run) = self.with(|s| s.runs.get(&rule.name).cloned()) else { return Ok(()) };
        if run.view().state.is_over() {
            return Ok(());
        }
        if !same_content(&run.rule, rule) {
            run.set_pace(Pace::Stopped);
        }
        if *run.pace.borrow() != Pace::Stopped || tokio::time::timeout(ENDS_IN, run.over()).await.is_ok() {
            return Ok(());
        }
        // Two at once must not be: both would write.
        Err(Fault::new(
            Kind::Conflict,
            format!("{} of {} was stopped and has not ended yet", run.id, rule.name),
        )
        .hint("ask again in a moment: `longshore replicate runs` shows when it is over"))
    }

    /// Goes on with what an engine core that ended left unfinished: a new run for each rule that is still there. Of a rule
    /// that is gone the old run is closed.
    ///
    /// # Errors
    /// When the journal cannot be read or written.
    pub async fn resume_unfinished(&self, rules: &[Rule]) -> Outcome<Vec<RunId>> {
        self.set_rules(rules).await?;
        for rule in rules {
            let (handle, rule) = (self.clone(), rule.clone());
            self.spawn(async move { handle.carry_on(&rule).await });
        }
        let own: Vec<RunId> = self.with(|s| s.runs.values().map(|run| run.id).collect());
        let mut out = Vec::new();
        for mut old in self.0.store.unfinished_runs().await? {
            if own.contains(&old.id) {
                continue;
            }
            let pace = if old.state == RunState::Paused { Pace::Paused } else { Pace::Go };
            let next = match rules.iter().find(|r| r.name == old.rule) {
                Some(rule) => Some(self.start_at(rule.clone(), Cause::Resume, pace, None).await?),
                None => None,
            };
            let why = next.map_or("its rule is gone".to_owned(), |id| format!("{id} goes on with it"));
            old.reason = Some(format!("longshore ended in the middle of it; {why}").into());
            (old.state, old.ended) = (RunState::Incomplete, Some(self.0.clock.now()));
            self.0.notes.now(vec![Note::Run(Box::new(old))]).await?;
            out.extend(next);
        }
        Ok(out)
    }

    fn run(&self, id: RunId) -> Outcome<Arc<Run>> {
        self.with(|s| s.runs.values().find(|run| run.id == id).cloned())
            .filter(|run| !run.view().state.is_over())
            .ok_or_else(|| Fault::new(Kind::NotFound, format!("{id} does not go on any more")))
    }

    async fn set_pace(&self, id: RunId, pace: Pace) -> Outcome<()> {
        let run = self.run(id)?;
        run.set_pace(pace);
        self.0.changed.notify_one();
        if pace == Pace::Stopped {
            return Ok(());
        }
        // A run that is paused stays so through a restart.
        self.0.notes.now(vec![Note::Run(Box::new(run.view()))]).await
    }

    /// Lets a run stand still, also inside a blob.
    ///
    /// # Errors
    /// When it does not go on.
    pub async fn pause(&self, id: RunId) -> Outcome<()> {
        self.set_pace(id, Pace::Paused).await
    }

    /// Lets a run go on.
    ///
    /// # Errors
    /// When it is over.
    pub async fn resume(&self, id: RunId) -> Outcome<()> {
        self.set_pace(id, Pace::Go).await
    }

    /// Ends a run, also inside a blob. What has arrived stays.
    ///
    /// # Errors
    /// When it is over.
    pub async fn stop(&self, id: RunId) -> Outcome<()> {
        self.set_pace(id, Pace::Stopped).await
    }

    /// Gives a tag, or all of a repository, this priority in every run that goes on. Gives how many tags that are.
    pub fn prioritise(&self, repository: &Repository, tag: Option<&Tag>, priority: i32) -> u32 {
        let runs: Vec<Arc<Run>> = self.with(|s| s.runs.values().cloned().collect());
        runs.iter().map(|run| run.raise(repository, tag, priority)).sum()
    }

    /// What a line may carry from now on, also what is under way.
    pub fn set_limits(&self, limits: LineLimits) {
        let pool = self.with(|s| {
            s.limits.insert(limits.line.clone(), limits.clone());
            s.pools.get(&limits.line).cloned()
        });
        if let Some(pool) = pool {
            pool.set_parallel(limits.parallel);
            pool.ends.purse.set(limits);
        }
        self.0.changed.notify_one();
    }

    /// How everything stands, the newest only.
    pub fn views(&self) -> watch::Receiver<Arc<Views>> {
        self.0.views.subscribe()
    }

    /// Waits until a run is over.
    ///
    /// # Errors
    /// When there is no such run, or replication has ended.
    pub async fn ended(&self, id: RunId) -> Outcome<RunView> {
        let mut views = self.views();
        // (The run of a rule that another one has taken the place of is shown no more.)
        let is_there = || self.with(|s| s.runs.values().any(|run| run.id == id));
        let over = |views: &Arc<Views>| views.runs.iter().any(|r| r.id == id && r.state.is_over());
        let of = |views: &Arc<Views>| over(views) || !is_there();
        let found = views.wait_for(of).await.ok().and_then(|v| v.runs.iter().find(|r| r.id == id).cloned());
        found.ok_or_else(|| Fault::new(Kind::NotFound, format!("there is no {id}")))
    }

    /// Tags of a run that were not the same on both sides, from a place on.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub async fn tags(&self, id: RunId, from: u32, limit: u32) -> Outcome<Vec<TagRun>> {
        if let Some(run) = self.with(|s| s.runs.values().find(|run| run.id == id).cloned()) {
            let (from, limit) = (usize::try_from(from), usize::try_from(limit));
            return Ok(run.with(|p| p.tags(from.unwrap_or(usize::MAX), limit.unwrap_or(0))));
        }
        let (mut all, mut from) = (Vec::new(), from);
        while all.len() < usize::try_from(limit).unwrap_or(usize::MAX) {
            let room = limit.saturating_sub(u32::try_from(all.len()).unwrap_or(u32::MAX));
            let tags = self.0.store.run_tags(id, from, room.min(PAGE_MAX)).await?;
            let Some((last, _)) = tags.last() else { break };
            from = last + 1;
            all.extend(tags.into_iter().map(|(_, tag)| tag));
        }
        Ok(all)
    }

    /// The runs of a rule that are remembered, newest first.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub async fn runs(&self, rule: &RuleName, limit: u32) -> Outcome<Vec<RunView>> {
        let mut runs = self.0.store.runs_of(rule, limit).await?;
        if let Some(live) = self.with(|s| s.runs.get(rule).cloned()) {
            runs.iter_mut().filter(|r| r.id == live.id).for_each(|r| *r = live.view());
        }
        Ok(runs)
    }

    /// Makes views as long as something goes on, and once when something has changed.
    async fn tell(&self) {
        loop {
            let (runs, pools) = self.with(|s| {
                (s.runs.values().cloned().collect::<Vec<_>>(), s.pools.values().cloned().collect::<Vec<_>>())
            });
            let of_runs: Vec<(Arc<Run>, RunView)> =
                runs.into_iter().map(|run| (run.clone(), run.view())).collect();
            let goes_on = of_runs.iter().any(|(_, view)| !view.state.is_over());
            let views = self.with(|s| s.lines.views(&pools, &of_runs, (&self.0.lags, &self.0.matters)));
            self.0.views.send_replace(Arc::new(views));
            tokio::select! {
                () = self.0.changed.notified() => {}
                () = sleep(TICK), if goes_on => {}
            }
        }
    }
}
