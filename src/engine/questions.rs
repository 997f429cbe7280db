//! Calls: commands are decided here and answered once they are durable, questions are answered without holding the core.

use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::{Instant, timeout};

use crate::base::fault::{Fault, Kind, Outcome};
use crate::base::ids::{ContainerId, HostId, PoolId, Slot};
use crate::engine::access;
use crate::engine::core::{Core, Incoming};
use crate::engine::coverage::{GLANCE, Looking};
use crate::engine::handle::Call;
use crate::engine::intake::{self, Caller};
use crate::engine::inventory;
use crate::engine::observe::{LOOK_FOR, Look, Observer};
use crate::engine::policing;
use crate::engine::registries;
use crate::engine::tails;
use crate::model::command::{Accepted, Change, Command, Refusal, RefusalKind, Target};
use crate::model::container::Owner;
use crate::model::coverage::Holds;
use crate::model::desired::Write;
use crate::model::exec::{ExecSession, ExecWanted};
use crate::model::journal::{Draft, What};
use crate::model::placement::Strategy;
use crate::model::pool::{Pool, PoolSpec};
use crate::model::preview::Preview;
use crate::model::query::{Query, Reply, Request};
use crate::plan::place::Ask;
use crate::plan::preview::{Scale, preview};
use crate::plan::rebalance::propose;
use crate::plan::shrink;

/// A preview waits no longer than this for the hosts to say whether they have the image.
const IMAGE_DEADLINE: Duration = Duration::from_millis(250);

/// The answer to all that needs the registries themselves, until the engine speaks to them.
fn not_there_yet() -> Refusal {
    Refusal::new(RefusalKind::Unavailable, "this engine does not speak to registries yet: not there yet")
}

impl Core {
    /// Takes one call.
    pub(super) async fn take(&mut self, incoming: Incoming) {
        let Some(Incoming { caller, call }) = self.look_first(incoming) else { return };
        match call {
            Call::Ask { request: Request::Command(Command::Harbor { registry, deed }), reply } => {
                self.harbor_deed(&registry, deed, &caller, reply).await;
            }
            Call::Ask { request: Request::Command(command), reply }
            | Call::Looked { request: Request::Command(command), reply } => {
                let answer = match self.command(&command, &caller).await {
                    Ok(accepted) => Reply::Accepted(accepted),
                    Err(refusal) => Reply::Refused(refusal),
                };
                let _ = reply.send(answer);
            }
            Call::Ask { request: Request::Query(query), reply }
            | Call::Looked { request: Request::Query(query), reply } => self.question(query, reply),
            Call::Tail { request, sink } => {
                let sources = self.observers.iter().map(|(id, o)| (id.clone(), o.runtime.clone())).collect();
                tokio::spawn(tails::serve(
                    request,
                    self.desired.install.clone(),
                    sources,
                    self.world(),
                    sink,
                ));
            }
            Call::Exec { host, container, wanted, reply } => {
                self.exec(host, container, wanted, &caller, reply).await;
            }
        }
    }

    async fn command(&mut self, command: &Command, caller: &Caller) -> Result<Accepted, Refusal> {
        if let Some(done) = self.run_command(command, caller).await {
            return done;
        }
        let decided = if self.is_active() { self.decide(command, caller) } else { Err(intake::read_only()) };
        match decided {
            Ok(admission) => {
                self.try_write(admission.writes).await?;
                self.follow_up(command);
                match command {
                    // What these change is noted as it is written down.
                    Command::Up { .. }
                    | Command::Down { .. }
                    | Command::SetReplicas { .. }
                    | Command::Restart { .. }
                    | Command::Undo { .. }
                    | Command::Cancel { .. }
                    | Command::Prewarm(_)
                    | Command::PutRegistry(_)
                    | Command::RemoveRegistry(_)
                    | Command::RenewLogin(_)
                    | Command::PutRule(_)
                    | Command::RemoveRule(_)
                    | Command::PutLineLimits(_)
                    | Command::Access(_) => self.stir(),
                    _ => self.replan(),
                }
                let mut accepted = admission.accepted;
                if let Command::Up { spec, .. } = command
                    && let Ok(warnings) = self.may_push(spec)
                    && !warnings.is_empty()
                {
                    accepted.text = format!("{} (warning: {})", accepted.text, warnings.join("; "));
                }
                Ok(accepted)
            }
            Err(refusal) => {
                if self.is_active() && !matches!(refusal.why, RefusalKind::NeedsName(_)) {
                    let text = format!("refused: {}", refusal.text);
                    let _ = self
                        .try_write(vec![Write::Journal(Draft::by(&caller.who, What::Refused, text))])
                        .await;
                }
                Err(refusal)
            }
        }
    }

    fn decide(&self, command: &Command, caller: &Caller) -> Result<intake::Admission, Refusal> {
        if caller.read_only {
            return Err(intake::read_only());
        }
        if let Command::AddHosts(new) = command {
            new.iter().try_for_each(|host| self.can_connect(&host.config))?;
        }
        if let Command::Prewarm(ask) = command {
            return self.decide_prewarm(ask, caller);
        }
        if let Command::Up { spec, .. } = command {
            self.may_push(spec)?;
        }
        let (desired, hosts, fixed) = (&self.desired, &self.hosts, &self.fixed_hosts);
        let known = inventory::Known { desired, hosts, fixed, now: self.clock.now() };
        let decided = inventory::decide(&known, command, caller)
            .or_else(|| registries::decide(desired, command, caller))
            .or_else(|| access::decide(desired, command, caller, known.now))
            .or_else(|| policing::decide(desired, command, caller, known.now))
            .or_else(|| self.decide_run(command));
        decided.unwrap_or_else(|| {
            intake::decide(&self.desired, command, caller, &|p, keep| self.going(p, keep), known.now)
        })
    }

    /// Decides about a command that moves content between registries; `None` when it is about something else.
    #[expect(clippy::unused_self, reason = "the runs will be its own")]
    fn decide_run(&self, command: &Command) -> Option<intake::Decided> {
        match command {
            Command::ResolveConflict { .. } | Command::ConfirmDeletes { .. } => Some(Err(not_there_yet())),
            _ => None,
        }
    }

    /// The slots of a pool that go so that `keep` stay.
    pub(super) fn going(&self, pool: &Pool, keep: u32) -> Vec<Slot> {
        let seen = self.index.pool(&pool.id, &self.hosts);
        shrink::chosen(&self.desired, &self.hosts, &seen, pool, keep)
    }

    /// What follows from a durable change besides a new plan.
    fn follow_up(&mut self, command: &Command) {
        match command {
            Command::AddHosts(new) => {
                new.iter().for_each(|host| self.observe(host.config.clone()));
                // As at the start: the first of them to answer must not get everything.
                (self.begun, self.beginning) = (Instant::now(), true);
            }
            Command::RemoveHost { host, .. } => self.forget_host(host),
            Command::RenewLogin(name) => self.log_in_anew(name),
            Command::AcceptEngine { host } => drop(self.observers.get(host).map(Observer::refresh)),
            _ => {}
        }
    }

    fn question(&mut self, query: Query, reply: oneshot::Sender<Reply>) {
        match query {
            Query::Look { pools } => {
                let until = Some(Instant::now() + LOOK_FOR);
                self.eyes.look.send_replace(Look { until, pools });
                let _ = reply.send(Reply::Nothing);
            }
            Query::Pool { pool } => drop(reply.send(self.whole_pool(&pool))),
            Query::Why { pool, slot, strategy } => {
                let _ = reply.send(self.why(&pool, slot, strategy));
            }
            Query::Rebalance { target, limit } => {
                let _ = reply.send(self.proposal(target.as_ref(), limit));
            }
            Query::Preview { pool, change, confirm, strategy } => {
                self.foresee(&pool, change, confirm.as_deref(), strategy, reply);
            }
            Query::Browse { registry, repository, ask } => self.browse(&registry, repository, ask, reply),
            Query::RunTags { .. }
            | Query::Diff { .. }
            | Query::Runs { .. }
            | Query::Conflicts { .. }
            | Query::Verify { .. }
            | Query::Reviews { .. } => {
                if let Some((_, reply)) = self.run_question(query, reply) {
                    let _ = reply.send(Reply::Refused(not_there_yet()));
                }
            }
            Query::Coverage(ask) => self.cover(&ask, reply),
            Query::Estimate(ask) => self.estimate(*ask, reply),
            Query::Prewarm { op } => drop(reply.send(self.told_prewarm(op))),
            Query::CheckImages { images } => self.check_images(images, reply),
            Query::ImagePolicy => {
                let found = self.desired.image_policy.clone().map(Box::new);
                let _ = reply.send(Reply::ImagePolicy(found));
            }
            Query::Harbor { registry, ask } => self.harbor_question(&registry, ask, reply),
            Query::Inspect { host, container } => match self.runtime(&host) {
                Ok(runtime) => drop(tokio::spawn(async move {
                    let answer = runtime.inspect(&container).await.map_or_else(Reply::Failed, Reply::Inspect);
                    let _ = reply.send(answer);
                })),
                Err(fault) => drop(reply.send(Reply::Failed(fault))),
            },
            Query::Journal { before, limit, pool, op } => {
                let Some(store) = self.store.clone() else {
                    return drop(reply.send(Reply::Journal(Vec::new())));
                };
                tokio::spawn(async move {
                    let lines = store.journal(before, limit, pool, op).await;
                    let _ = reply.send(lines.map_or_else(Reply::Failed, Reply::Journal));
                });
            }
            Query::Operations { limit } => {
                let Some(store) = self.store.clone() else {
                    return drop(reply.send(Reply::Operations(Vec::new())));
                };
                let live = self.desired.operations.clone();
                tokio::spawn(async move {
                    let answer = store.operations(limit).await.map(|past| {
                        past.into_iter().map(|op| live.get(&op.id).cloned().unwrap_or(op)).collect()
                    });
                    let _ = reply.send(answer.map_or_else(Reply::Failed, Reply::Operations));
                });
            }
        }
    }

    /// The whole record of a pool.
    fn whole_pool(&self, pool: &PoolId) -> Reply {
        match self.desired.pools.get(pool) {
            Some(pool) => Reply::Pool(Box::new(pool.clone())),
            None => Reply::Failed(
                Fault::new(Kind::NotFound, format!("there is no pool {pool}")).hint("see `longshore pools`"),
            ),
        }
    }

    /// What a scale would do.
    fn foresee(
        &mut self,
        pool: &PoolId,
        change: Change,
        confirm: Option<&str>,
        strategy: Option<Strategy>,
        reply: oneshot::Sender<Reply>,
    ) {
        let Some(pool) = self.desired.pools.get(pool) else {
            let fault =
                Fault::new(Kind::NotFound, format!("there is no pool {pool}")).hint("see `longshore pools`");
            return drop(reply.send(Reply::Failed(fault)));
        };
        let (to, refusal) = match intake::check_scale(pool, change, confirm) {
            Ok(to) => (to, None),
            Err(refusal) => (change.apply(pool.target()).unwrap_or(pool.target()), Some(refusal)),
        };
        let now = self.clock.now();
        self.room.wait_for_all = false;
        let going = self.going(pool, to);
        let scale = Scale { pool, to, going, refusal, strategy };
        let worked_out = preview(&self.desired, &self.hosts, &mut self.room, scale, now);
        let places: Vec<HostId> = worked_out.places.iter().map(|p| p.host.clone()).collect();
        let looking = self.looking(&pool.spec.image, &places);
        self.add_images(worked_out, pool.spec.clone(), looking, reply);
    }

    /// Why a slot is where it is or nowhere, or where one more would go.
    fn why(&mut self, id: &PoolId, slot: Option<Slot>, strategy: Option<Strategy>) -> Reply {
        let Some(pool) = self.desired.pools.get(id) else {
            let fault = Fault::new(Kind::NotFound, format!("there is no pool {id}"));
            return Reply::Failed(fault.hint("see `longshore pools`"));
        };
        let records = self.desired.instances.get(id);
        let newest = records.and_then(|r| r.keys().next_back()).copied().unwrap_or(0);
        let is_there = |slot: &Slot| pool.wants(*slot) || records.is_some_and(|r| r.contains_key(slot));
        if let Some(slot) = slot.filter(|slot| !is_there(slot)) {
            let fault = Fault::new(Kind::NotFound, format!("{id} has no slot {slot}"));
            return Reply::Failed(fault.hint(format!("see `longshore ps {id}`")));
        }
        self.room.wait_for_all = false;
        let ask = Ask::new(pool, slot.unwrap_or(newest.max(pool.top()) + 1));
        let ask = Ask { strategy: strategy.unwrap_or(ask.strategy), ..ask };
        Reply::Why(Box::new(self.room.explain(&ask)))
    }

    /// Moves that would even the load out, but of slots on which something is under way.
    fn proposal(&mut self, target: Option<&Target>, limit: u32) -> Reply {
        if let Some(target) = target.filter(|t| !self.desired.pools.keys().any(|id| t.covers(id))) {
            let fault = Fault::new(Kind::NotFound, format!("there is no pool or cluster {target}"));
            return Reply::Failed(fault.hint("see `longshore pools`"));
        }
        self.room.wait_for_all = false;
        let mut proposal = propose(&self.desired, &self.hosts, &mut self.room, target, limit);
        let busy = &self.busy;
        proposal.moves.retain(|m| !busy.of_pool(&m.pool).any(|((_, slot), _)| *slot == m.slot));
        Reply::Proposal(Box::new(proposal))
    }

    fn add_images(
        &self,
        mut worked_out: Preview,
        spec: PoolSpec,
        looking: Looking,
        reply: oneshot::Sender<Reply>,
    ) {
        let runtimes: Vec<_> = worked_out.places.iter().map(|p| self.runtime(&p.host).ok()).collect();
        tokio::spawn(async move {
            let asked = runtimes.iter().map(|runtime| async {
                let runtime = runtime.as_ref()?;
                timeout(IMAGE_DEADLINE, runtime.has_image(&spec.image)).await.ok()?.ok()
            });
            let asked = futures_util::future::join_all(asked);
            // Without a host that gets one, no registry is asked.
            let coverage =
                async { if worked_out.places.is_empty() { None } else { Some(looking.look(GLANCE).await) } };
            let (known, coverage) = futures_util::future::join(asked, coverage).await;
            for (place, has_image) in worked_out.places.iter_mut().zip(known) {
                place.has_image = has_image;
            }
            // Another image under the same name is no image that is there.
            for held in coverage.iter().flat_map(|c| &c.hosts).filter(|h| h.holds == Holds::Other) {
                let place = worked_out.places.iter_mut().find(|p| p.host == held.host);
                place.into_iter().for_each(|p| p.has_image = p.has_image.map(|_| false));
            }
            worked_out.coverage = coverage;
            let _ = reply.send(Reply::Preview(Box::new(worked_out)));
        });
    }

    async fn exec(
        &mut self,
        host: HostId,
        container: ContainerId,
        wanted: ExecWanted,
        caller: &Caller,
        reply: oneshot::Sender<Outcome<ExecSession>>,
    ) {
        if caller.read_only {
            let refusal = intake::read_only();
            return drop(reply.send(Err(Fault::new(Kind::Refused, refusal.text))));
        }
        let owner = self.hosts.get(&host).and_then(|h| h.container(&container)).map(|c| c.owner.clone());
        let text = format!("runs {} in {}", wanted.command.join(" "), container.short());
        let mut line = Draft::by(&caller.who, What::Accepted, text).host(&host);
        if let Some(Owner::Longshore(tag)) = &owner {
            line = line.slot(&tag.pool, tag.slot);
        }
        let _ = self.try_write(vec![Write::Journal(line)]).await;
        match self.runtime(&host) {
            Ok(runtime) => drop(tokio::spawn(async move {
                let session = runtime.exec(&container, &wanted).await;
                let _ = reply.send(session);
            })),
            Err(fault) => drop(reply.send(Err(fault))),
        }
    }

    fn runtime(&self, host: &HostId) -> Outcome<std::sync::Arc<dyn crate::ports::runtime::Runtime>> {
        self.observers.get(host).map(|o| o.runtime.clone()).ok_or_else(|| {
            Fault::new(Kind::NotFound, format!("there is no host {host}")).hint("see `longshore hosts`")
        })
    }
}
