//! The core's side of replication: it is begun with the core, told what people decided, asked for runs, and shown.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::oneshot;

use crate::base::fault::{Fault, Kind, Outcome};
use crate::base::ids::{RegistryName, RuleName};
use crate::engine::core::Core;
use crate::engine::intake::{self, Caller};
use crate::engine::registry::{Handle, Replicator, is_asked};
use crate::model::command::{Accepted, Command, Refusal, RefusalKind};
use crate::model::desired::Write;
use crate::model::journal::{Draft, What};
use crate::model::oci::{Repository, Tag};
use crate::model::query::{PageAsk, Query, Reply};
use crate::model::registry::Page;
use crate::model::replication::known::{Answered, Choice};
use crate::model::replication::{
    Cause, DiffRow, Difference, Line, ReplicationView, Rule, RuleView, RunId, TagRun, TagState,
};
use crate::store::Store;
use crate::store::replication::PAGE_MAX;

/// So many rows of a list at a time, whatever is asked for.
const ROWS_MAX: u32 = 1_000;
/// A tag or repository that somebody wants first goes before all rules' own priorities.
const FIRST: i32 = i32::MAX;

/// What nothing can be done about without a core that may write.
fn no_replication() -> Fault {
    Fault::new(Kind::Refused, "replication runs in the active engine only, and this is not one")
        .hint("start one: `longshore engine`, or the console")
}

fn no_rule(name: &RuleName) -> Fault {
    Fault::new(Kind::NotFound, format!("there is no rule {name}")).hint("see `longshore replicate rule ls`")
}

impl Core {
    /// Begins replication, and goes on with the runs that a core before this left unfinished.
    pub(super) async fn begin_replication(&mut self) -> Outcome<()> {
        let Some(store) = self.store.clone().filter(|_| self.is_active()) else { return Ok(()) };
        let registries = self.clients.of(&self.desired.registries).await;
        let replicator = Replicator::begin(registries, store, self.clock.clone()).await?;
        let handle = replicator.handle();
        self.desired.line_limits.values().for_each(|limits| handle.set_limits(limits.clone()));
        let rules: Vec<Rule> = self.desired.rules.values().cloned().collect();
        self.recall_rules(&handle, &rules).await?;
        handle.resume_unfinished(&rules).await?;
        let (mut views, wakes) = (handle.views(), self.eyes.wakes.clone());
        tokio::spawn(async move {
            while views.changed().await.is_ok() {
                wakes.changed.notify_one();
            }
        });
        self.replicator = Some(replicator);
        Ok(())
    }

    /// People have decided something else about registries or lines.
    pub(super) fn equip_replication(&self) {
        let Some(handle) = self.replication_handle() else { return };
        handle.keep_rules(self.desired.rules.values());
        self.desired.line_limits.values().for_each(|limits| handle.set_limits(limits.clone()));
        let (clients, wanted) = (self.clients.clone(), self.desired.registries.clone());
        let rules: Vec<Rule> = self.desired.rules.values().cloned().collect();
        tokio::spawn(async move {
            handle.set_registries(clients.of(&wanted).await);
            // A disk that says no is shown as trouble by the core's own writes.
            let _ = handle.set_rules(&rules).await;
        });
    }

    /// The login of a registry is another: what was connected with the old one is connected anew.
    pub(super) fn log_in_anew(&mut self, name: &RegistryName) {
        self.health.forget(name);
        if let Some(alarm) = self.layer.harbors.alarm(name) {
            alarm.notify_one();
        }
        self.health.look_at(&self.desired.registries);
        let (clients, wanted, name) = (self.clients.clone(), self.desired.registries.clone(), name.clone());
        let handle = self.replication_handle();
        tokio::spawn(async move {
            clients.forget(&name).await;
            let fresh = clients.of(&wanted).await;
            if let Some(handle) = handle {
                handle.set_registries(fresh);
            }
        });
    }

    pub(super) fn replication_handle(&self) -> Option<Handle> {
        self.replicator.as_ref().map(Replicator::handle)
    }

    /// Takes over how runs and lines stand.
    pub(super) fn see_replication(&mut self) {
        let Some(handle) = self.replication_handle() else { return };
        let views = handle.views().borrow().clone();
        let rule = |old: &RuleView| RuleView {
            run: views.of_rule(&old.rule.name).cloned().or_else(|| old.run.clone()),
            ..old.clone()
        };
        let rules = self.replication.rules.iter().map(rule).collect();
        let next = ReplicationView { rules, lines: views.lines.clone() };
        if *self.replication != next {
            self.replication = Arc::new(next);
        }
    }

    fn rule(&self, name: &RuleName) -> Result<Rule, Refusal> {
        self.desired.rules.get(name).cloned().ok_or_else(|| {
            Refusal::new(RefusalKind::NotFound, format!("there is no rule {name}"))
                .hint("see `longshore replicate rule ls`")
        })
    }

    /// The rule of two masters between these two by which this tag is in conflict.
    fn rule_between(&self, handle: &Handle, line: &Line, tag: (&Repository, &Tag)) -> Result<Rule, Refusal> {
        let is_it = |r: &&Rule| r.two_way && r.source == line.from && r.targets.contains(&line.to);
        let of_line: Vec<&Rule> = self.desired.rules.values().filter(is_it).collect();
        let has = |r: &&&Rule| handle.conflicts(Some(&r.name)).iter().any(|c| (&c.repository, &c.tag) == tag);
        let found = of_line.iter().find(has).or(of_line.first());
        found.map(|rule| (*rule).clone()).ok_or_else(|| {
            let text = format!("no rule joins {} and {} as two masters", line.from, line.to);
            Refusal::new(RefusalKind::NotFound, text).hint("see `longshore replicate rule ls`")
        })
    }

    /// The rule of a run that is shown.
    fn rule_of(&self, run: RunId) -> Result<RuleName, Refusal> {
        self.replication.run(run).map(|view| view.rule.clone()).ok_or_else(|| {
            Refusal::new(RefusalKind::NotFound, format!("there is no {run}, or it was long ago"))
                .hint("see `longshore replicate status`")
        })
    }

    /// Carries out a command about runs; `None` when it is about something else.
    pub(super) async fn run_command(
        &mut self,
        command: &Command,
        caller: &Caller,
    ) -> Option<Result<Accepted, Refusal>> {
        let is_it = matches!(
            command,
            Command::Replicate { .. }
                | Command::PauseRun(_)
                | Command::ResumeRun(_)
                | Command::StopRun(_)
                | Command::RetryRun(_)
                | Command::Prioritise { .. }
                | Command::ResolveConflict { .. }
                | Command::ConfirmDeletes { .. }
                | Command::SpareDeletes { .. }
                | Command::Rejoin { .. }
        );
        if !is_it {
            return None;
        }
        if caller.read_only || !self.is_active() {
            return Some(Err(intake::read_only()));
        }
        let done = self.run_it(command, caller).await;
        if let Ok(accepted) = &done {
            let line = Draft::by(&caller.who, What::Accepted, accepted.text.clone());
            // What was done is done: a disk that says no is shown as trouble.
            let _ = self.try_write(vec![Write::Journal(line)]).await;
        }
        Some(done)
    }

    async fn run_it(&self, command: &Command, caller: &Caller) -> Result<Accepted, Refusal> {
        let handle = self.replication_handle().ok_or_else(no_replication)?;
        let text = match command {
            Command::Replicate { rule } => {
                let run = handle.start(self.rule(rule)?, Cause::Person(caller.who.clone())).await?;
                format!("{run} of {rule}")
            }
            Command::RetryRun(run) => {
                let rule = self.rule(&self.rule_of(*run)?)?;
                let name = rule.name.clone();
                let next = handle.start(rule, Cause::Person(caller.who.clone())).await?;
                format!("{next} tries again what {run} of {name} left")
            }
            Command::PauseRun(run) => {
                handle.pause(*run).await?;
                format!("{run} is paused")
            }
            Command::ResumeRun(run) => {
                handle.resume(*run).await?;
                format!("{run} goes on")
            }
            Command::StopRun(run) => {
                handle.stop(*run).await?;
                format!("{run} is stopped; what has arrived stays")
            }
            Command::Prioritise { image, .. } => {
                let (repository, tag) = named(image)?;
                let tags = handle.prioritise(&repository, tag.as_ref(), FIRST);
                if tags == 0 {
                    let text = format!("no run has {image} still to move");
                    let hint = "see `longshore replicate status`, or run the rule that brings it";
                    return Err(Refusal::new(RefusalKind::NotFound, text).hint(hint));
                }
                format!("{image} goes first ({tags} tags)")
            }
            other => return self.decided(&handle, other, caller).await,
        };
        Ok(Accepted { op: None, text })
    }

    /// Carries out what somebody has decided about conflicts and deletions.
    async fn decided(
        &self,
        handle: &Handle,
        command: &Command,
        caller: &Caller,
    ) -> Result<Accepted, Refusal> {
        let text = match command {
            Command::ResolveConflict { line, repository, tag, answer } => {
                let rule = self.rule_between(handle, line, (repository, tag))?;
                let by = caller.who.clone();
                let answered = Answered { answer: answer.clone(), by, at: self.clock.now() };
                let text = match answer.choice {
                    Choice::SourceWins => format!("{repository}:{tag}: {}'s counts", line.from),
                    Choice::TargetWins => format!("{repository}:{tag}: {}'s counts", line.to),
                    Choice::KeepBoth => {
                        format!("{repository}:{tag}: both are kept, and {}'s counts", line.from)
                    }
                };
                let key = (rule.name.clone(), repository.clone(), tag.clone());
                handle.resolve(rule, key, answered).await?;
                text
            }
            Command::ConfirmDeletes { rule, run } => {
                let count = handle.confirm(self.rule(rule)?, *run, &caller.who).await?;
                format!(
                    "{} of {rule} that {run} found gone: both sides are asked once more, then deleted",
                    tags(count)
                )
            }
            Command::SpareDeletes { rule, run, tags: spared } => {
                let wanted = self.rule(rule)?;
                let count = handle.spare(&wanted, *run, spared).await?;
                let next = if wanted.two_way {
                    "the next run copies what is gone back"
                } else {
                    "what is there stays"
                };
                format!("{} of {rule} not deleted: {next}", tags(count))
            }
            Command::Rejoin { rule, confirm } => {
                let wanted = self.rule(rule)?;
                if confirm.as_deref() != Some(rule.as_str()) {
                    let text = format!("rejoin of {rule}: what is deleted on one side only comes back by it");
                    return Err(Refusal::new(RefusalKind::NeedsName(rule.to_string()), text).hint(format!(
                        "if that is meant: longshore replicate rejoin {rule} --yes-name {rule}"
                    )));
                }
                let count = handle.rejoin(&wanted).await?;
                format!("what {rule} remembered of {} is forgotten: its next run compares anew", tags(count))
            }
            _ => return Err(Refusal::new(RefusalKind::Invalid, "this is not about a run")),
        };
        Ok(Accepted { op: None, text })
    }

    /// What compares the ends of a rule: replication itself, or where no engine runs one that only looks.
    fn comparing(&self, rule: &RuleName) -> impl Future<Output = Outcome<(Comparing, Rule)>> + Send + use<> {
        let (handle, store, clock) = (self.replication_handle(), self.store.clone(), self.clock.clone());
        let (clients, registries) = (self.clients.clone(), self.desired.registries.clone());
        let found = self.rule(rule);
        let missing = no_rule(rule);
        async move {
            let rule = found.map_err(|_| missing)?;
            if let Some(handle) = handle {
                return Ok((Comparing { handle, _own: None }, rule));
            }
            let store = store.ok_or_else(no_replication)?;
            let own = Replicator::to_look(clients.of(&registries).await, store, clock).await?;
            Ok((Comparing { handle: own.handle(), _own: Some(own) }, rule))
        }
    }

    fn verify(&self, rule: &RuleName, kept: bool, read: bool, reply: oneshot::Sender<Reply>) {
        let comparing = self.comparing(rule);
        tokio::spawn(async move {
            let answer = match comparing.await {
                Ok((by, rule)) if kept => by.handle.reports(&rule.name).await,
                Ok((by, rule)) => by.handle.verify(&rule, read).await.map(|report| vec![report]),
                Err(fault) => Err(fault),
            };
            let _ = reply.send(answer.map_or_else(Reply::Failed, Reply::Reports));
        });
    }

    /// Answers a question about runs; gives it back when it is about something else.
    pub(super) fn run_question(
        &self,
        query: Query,
        reply: oneshot::Sender<Reply>,
    ) -> Option<(Query, oneshot::Sender<Reply>)> {
        match query {
            Query::Diff { rule, ask } => {
                let kept = self.layer.diffs.clone();
                let comparing = self.comparing(&rule);
                tokio::spawn(async move {
                    let answer = match comparing.await {
                        Ok((by, rule)) => diff(&by.handle, &rule, &ask, &kept).await,
                        Err(fault) => Err(fault),
                    };
                    let _ = reply.send(answer.unwrap_or_else(Reply::Failed));
                });
                None
            }
            Query::RunTags { run, ask } => {
                let (handle, store) = (self.replication_handle(), self.store.clone());
                tokio::spawn(async move {
                    let answer = run_tags(handle, store, run, &ask).await;
                    let _ = reply.send(answer.map_or_else(Reply::Failed, Reply::RunTags));
                });
                None
            }
            Query::Runs { rule, limit } => {
                let rules: Vec<RuleName> =
                    rule.map_or_else(|| self.desired.rules.keys().cloned().collect(), |one| vec![one]);
                let (handle, store) = (self.replication_handle(), self.store.clone());
                tokio::spawn(async move {
                    let answer = runs(handle, store, &rules, limit.min(ROWS_MAX)).await;
                    let _ = reply.send(answer.unwrap_or_else(Reply::Failed));
                });
                None
            }
            Query::Conflicts { rule, ask } => {
                let all = self.replication_handle().ok_or_else(no_replication);
                let all = all.map(|handle| handle.conflicts(rule.as_ref()));
                let page = all.map(|all| part(all, &ask, |c| format!("{}:{}", c.repository, c.tag)));
                let _ = reply.send(page.map_or_else(Reply::Failed, Reply::Conflicts));
                None
            }
            Query::Reviews { rule } => {
                let all = self.replication_handle().ok_or_else(no_replication);
                let all = all.map(|handle| handle.reviews(rule.as_ref()));
                let _ = reply.send(all.map_or_else(Reply::Failed, Reply::Reviews));
                None
            }
            Query::Verify { rule, kept, read } => {
                self.verify(&rule, kept, read, reply);
                None
            }
            other => Some((other, reply)),
        }
    }
}

/// What compares, as long as it does.
struct Comparing {
    handle: Handle,
    /// One of its own ends with it.
    _own: Option<Replicator>,
}

fn tags(count: usize) -> String {
    crate::base::text::count(u64::try_from(count).unwrap_or(u64::MAX), "tag")
}

/// The repository and the tag that an image reference means, whatever registry it names.
fn named(image: &str) -> Outcome<(Repository, Option<Tag>)> {
    let path = match image.split_once('/') {
        Some((host, path)) if host.contains(['.', ':']) || host == "localhost" => path,
        _ => image,
    };
    match path.rsplit_once(':') {
        Some((repository, tag)) => Ok((repository.parse()?, Some(tag.parse()?))),
        None => Ok((path.parse()?, None)),
    }
}

/// A part of a list that is here as a whole; the next one is asked for by its place.
fn part<T>(all: Vec<T>, ask: &PageAsk, name: impl Fn(&T) -> String) -> Page<T> {
    let from = ask.after.as_deref().and_then(|at| at.parse().ok()).unwrap_or(0_usize);
    let limit = usize::try_from(ask.limit.clamp(1, ROWS_MAX)).unwrap_or(usize::MAX);
    let mut wanted = all.into_iter().filter(|row| is_asked(&ask.filter, &name(row))).skip(from);
    let items: Vec<T> = wanted.by_ref().take(limit).collect();
    let next = wanted.next().map(|_| (from + items.len()).to_string());
    Page { items, next }
}

/// Comparisons whose later parts may be asked for, by rule; the oldest is forgotten first.
pub(super) type Diffs = Arc<Mutex<VecDeque<(RuleName, Arc<Vec<DiffRow>>)>>>;
/// So many of them.
pub const DIFFS_MAX: usize = 4;

fn kept_rows(kept: &Diffs, rule: &RuleName) -> Option<Arc<Vec<DiffRow>>> {
    let kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
    kept.iter().find(|(of, _)| of == rule).map(|(_, rows)| rows.clone())
}

async fn diff(handle: &Handle, rule: &Rule, ask: &PageAsk, kept: &Diffs) -> Outcome<Reply> {
    let name = |row: &DiffRow| format!("{}:{}", row.repository, row.tag);
    // The next part is one of the same comparison; a first part is always a new one.
    if let Some(rows) = kept_rows(kept, &rule.name).filter(|_| ask.after.is_some()) {
        return Ok(Reply::Diff(part(rows.to_vec(), ask, name)));
    }
    let found = handle.diff(rule).await?;
    // What could not be compared is a failure, never an empty list of differences.
    if let Some(fault) = found.unknown.into_iter().next() {
        return Err(fault.because(format!("{} cannot be compared as a whole", rule.name)));
    }
    let mut rows = found.rows;
    rows.sort_by_key(|row| row.difference == Difference::Same);
    let answer = part(rows.clone(), ask, name);
    let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
    kept.retain(|(of, _)| *of != rule.name);
    if answer.next.is_some() {
        kept.push_back((rule.name.clone(), Arc::new(rows)));
        while kept.len() > DIFFS_MAX {
            kept.pop_front();
        }
    }
    Ok(Reply::Diff(answer))
}

/// All tags of a run that is over, as they were written down.
async fn kept_tags(store: &Store, run: RunId) -> Outcome<Vec<TagRun>> {
    let (mut all, mut from) = (Vec::new(), 0);
    loop {
        let tags = store.run_tags(run, from, PAGE_MAX).await?;
        let Some((last, _)) = tags.last() else { return Ok(all) };
        from = last + 1;
        all.extend(tags.into_iter().map(|(_, tag)| tag));
    }
}

async fn run_tags(
    handle: Option<Handle>,
    store: Option<Store>,
    run: RunId,
    ask: &PageAsk,
) -> Outcome<Page<TagRun>> {
    let mut all = match handle {
        Some(handle) => handle.tags(run, 0, u32::MAX).await?,
        // What was written down can be read without an engine.
        None => kept_tags(&store.ok_or_else(no_replication)?, run).await?,
    };
    all.sort_by_key(|tag| !matches!(tag.state, TagState::Failed(_) | TagState::Conflict));
    Ok(part(all, ask, |tag| format!("{}:{}", tag.repository, tag.tag)))
}

async fn runs(
    handle: Option<Handle>,
    store: Option<Store>,
    rules: &[RuleName],
    limit: u32,
) -> Outcome<Reply> {
    let mut all = Vec::new();
    for rule in rules {
        all.extend(match (&handle, &store) {
            (Some(handle), _) => handle.runs(rule, limit).await?,
            (None, Some(store)) => store.runs_of(rule, limit).await?,
            (None, None) => return Err(no_replication()),
        });
    }
    all.sort_by_key(|run| std::cmp::Reverse(run.id));
    all.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
    Ok(Reply::Runs(all))
}
