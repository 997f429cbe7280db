//! Calls: commands are decided here and answered once they are durable, questions are answered without holding the core.

use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::{Instant, timeout};

use crate::base::fault::{Fault, Kind, Outcome};
use crate::base::ids::{ContainerId, HostId};
use crate::engine::core::{Core, Incoming};
use crate::engine::handle::Call;
use crate::engine::intake::{self, Caller};
use crate::engine::observe::{LOOK_FOR, Look};
use crate::engine::tails;
use crate::model::command::{Accepted, Command, Refusal, RefusalKind};
use crate::model::container::Owner;
use crate::model::desired::Write;
use crate::model::exec::{ExecSession, ExecWanted};
use crate::model::host::{HostConfig, HostSource};
use crate::model::journal::{Draft, What};
use crate::model::pool::PoolSpec;
use crate::model::preview::Preview;
use crate::model::query::{Query, Reply, Request};
use crate::plan::preview::preview;

/// A preview waits no longer than this for the hosts to say whether they have the image.
const IMAGE_DEADLINE: Duration = Duration::from_millis(250);

impl Core {
    /// Takes one call.
    pub(super) async fn take(&mut self, incoming: Incoming) {
        let Incoming { caller, call } = incoming;
        match call {
            Call::Ask { request: Request::Command(command), reply } => {
                let answer = match self.command(&command, &caller).await {
                    Ok(accepted) => Reply::Accepted(accepted),
                    Err(refusal) => Reply::Refused(refusal),
                };
                let _ = reply.send(answer);
            }
            Call::Ask { request: Request::Query(query), reply } => self.question(query, reply),
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
        let decided = if self.is_active() { self.decide(command, caller) } else { Err(intake::read_only()) };
        match decided {
            Ok(admission) => {
                self.try_write(admission.writes).await?;
                self.follow_up(command);
                self.replan();
                Ok(admission.accepted)
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
        let done = |writes: Vec<Write>, text: String| intake::Admission {
            writes,
            accepted: Accepted { op: None, text },
        };
        match command {
            Command::AddHost(_) | Command::RemoveHost { .. } if caller.read_only => Err(intake::read_only()),
            Command::AddHost(host) => {
                self.may_add(host)?;
                let text = format!("host {} added: {}", host.id, host.address);
                let line = Draft::by(&caller.who, What::Accepted, text.clone()).host(&host.id);
                Ok(done(vec![Write::PutHost(host.clone()), Write::Journal(line)], text))
            }
            Command::RemoveHost { host, force } => {
                self.may_remove(host, *force)?;
                let text = format!("host {host} removed");
                let line = Draft::by(&caller.who, What::Accepted, text.clone()).host(host);
                Ok(done(vec![Write::DropHost(host.clone()), Write::Journal(line)], text))
            }
            other => intake::decide(&self.desired, other, caller, self.clock.now()),
        }
    }

    /// What follows from a durable change besides a new plan.
    fn follow_up(&mut self, command: &Command) {
        match command {
            Command::AddHost(host) => self.observe(host.clone()),
            Command::RemoveHost { host, .. } => self.forget_host(host),
            _ => {}
        }
    }

    fn may_add(&self, host: &HostConfig) -> Result<(), Refusal> {
        if let Some(known) = self.hosts.get(&host.id) {
            let text = format!("there is a host {} already: {}", host.id, known.config.address);
            return Err(Refusal::new(RefusalKind::Changed, text)
                .hint("choose another name, or remove that one first"));
        }
        if let Some(known) = self.hosts.values().find(|h| h.config.address == host.address) {
            let text = format!("{} is known already as host {}", host.address, known.config.id);
            return Err(
                Refusal::new(RefusalKind::Changed, text).hint("one engine is one host: use that name")
            );
        }
        Ok(self.can_connect(host)?)
    }

    fn may_remove(&self, host: &HostId, force: bool) -> Result<(), Refusal> {
        if let Some(fixed) = self.fixed_hosts.iter().find(|h| h.id == *host) {
            let from = match fixed.source {
                HostSource::Environment => {
                    "the environment (DOCKER_HOST, the Docker context or the default socket)"
                }
                HostSource::Simulated => "the simulated fleet",
                _ => "the configuration",
            };
            return Err(Refusal::new(RefusalKind::Invalid, format!("host {host} comes from {from}"))
                .hint("change it there; only hosts that were added here can be removed here"));
        }
        let Some(view) = self.hosts.get(host) else {
            return Err(Refusal::new(RefusalKind::NotFound, format!("there is no host {host}"))
                .hint("see `longshore hosts`"));
        };
        let listed = view.containers.iter().filter(|c| c.owner.ours(&self.desired.install).is_some()).count();
        let recorded =
            self.desired.instances.values().flat_map(|s| s.values()).filter(|i| i.host == *host).count();
        let ours = listed.max(recorded) as u64;
        if ours > 0 && !force {
            let text = format!("host {host} holds {} of ours", crate::base::text::count(ours, "container"));
            let hint = "scale or take down its pools first, or forget it all the same with --force: its containers stay, new ones are made elsewhere";
            return Err(Refusal::new(
                RefusalKind::Busy { op: Default::default(), by: "engine".into() },
                text,
            )
            .hint(hint));
        }
        Ok(())
    }

    fn question(&mut self, query: Query, reply: oneshot::Sender<Reply>) {
        match query {
            Query::Look { pools } => {
                let until = Some(Instant::now() + LOOK_FOR);
                self.eyes.look.send_replace(Look { until, pools });
                let _ = reply.send(Reply::Nothing);
            }
            Query::Pool { pool } => {
                let answer = match self.desired.pools.get(&pool) {
                    Some(pool) => Reply::Pool(Box::new(pool.clone())),
                    None => Reply::Failed(
                        Fault::new(Kind::NotFound, format!("there is no pool {pool}"))
                            .hint("see `longshore pools`"),
                    ),
                };
                let _ = reply.send(answer);
            }
            Query::Preview { pool, change, confirm } => {
                let Some(pool) = self.desired.pools.get(&pool) else {
                    let fault = Fault::new(Kind::NotFound, format!("there is no pool {pool}"))
                        .hint("see `longshore pools`");
                    return drop(reply.send(Reply::Failed(fault)));
                };
                let (to, refusal) = match intake::check_scale(pool, change, confirm.as_deref()) {
                    Ok(to) => (to, None),
                    Err(refusal) => (change.apply(pool.target()).unwrap_or(pool.target()), Some(refusal)),
                };
                let now = self.clock.now();
                let worked_out = preview(&self.desired, &self.hosts, pool, to, refusal, now);
                self.add_images(worked_out, pool.spec.clone(), reply);
            }
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

    fn add_images(&self, mut worked_out: Preview, spec: PoolSpec, reply: oneshot::Sender<Reply>) {
        let runtimes: Vec<_> = worked_out.places.iter().map(|p| self.runtime(&p.host).ok()).collect();
        tokio::spawn(async move {
            let asked = runtimes.iter().map(|runtime| async {
                let runtime = runtime.as_ref()?;
                timeout(IMAGE_DEADLINE, runtime.has_image(&spec.image)).await.ok()?.ok()
            });
            let known = futures_util::future::join_all(asked).await;
            for (place, has_image) in worked_out.places.iter_mut().zip(known) {
                place.has_image = has_image;
            }
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
