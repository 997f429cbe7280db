//! The core's side of Harbors: questions are asked there now, deeds are written down before and after, and neither holds the core.

use std::sync::Arc;

use futures_util::stream::{self, StreamExt};
use tokio::sync::oneshot;

use crate::base::clock::Millis;
use crate::base::fault::{Fault, Kind, Outcome};
use crate::base::ids::RegistryName;
use crate::engine::core::{Connector, Core};
use crate::engine::intake::{self, Caller};
use crate::engine::registry::bring::{Compared, Wanted, compare};
use crate::engine::registry::harbor::reach;
use crate::model::command::{Refusal, RefusalKind};
use crate::model::desired::Write;
use crate::model::harbor::HarborProject;
use crate::model::harbor::ask::{
    AccessRows, HarborAsk, HarborDeed, HarborDone, HarborSaid, PolicyName, PolicyRow, ProjectRow,
};
use crate::model::harbor::runs::Policy;
use crate::model::journal::{Draft, What};
use crate::model::query::Reply;
use crate::model::registry::{Registry, RegistryKind};
use crate::ports::registry_admin::RegistryAdmin;
use crate::store::Store;

/// Quotas and last executions that are asked for at a time, a call each.
const AT_ONCE: usize = 4;

impl Core {
    /// The record of a registry that is a Harbor.
    fn harbor(&self, name: &RegistryName) -> Result<Registry, Refusal> {
        let Some(registry) = self.desired.registries.get(name) else {
            let text = format!("there is no registry {name}");
            return Err(Refusal::new(RefusalKind::NotFound, text).hint("see `longshore registry ls`"));
        };
        if registry.kind != RegistryKind::Harbor {
            let text = format!("registry {name} is recorded as distribution, not as Harbor");
            let hint = format!("if it is one: longshore registry set {name} --kind harbor");
            return Err(Refusal::new(RefusalKind::Invalid, text).hint(hint));
        }
        Ok(registry.clone())
    }

    /// Asks a Harbor, and answers when it has.
    pub(super) fn harbor_question(&self, name: &RegistryName, ask: HarborAsk, reply: oneshot::Sender<Reply>) {
        let registry = match self.harbor(name) {
            Ok(registry) => registry,
            Err(refusal) => return drop(reply.send(Reply::Refused(refusal))),
        };
        let connector = self.connector.clone();
        let (access, brought) = (self.desired.access.clone(), self.desired.brought.get(name).cloned());
        let now = self.clock.now();
        tokio::spawn(async move {
            let said = match ask {
                HarborAsk::Access(choices) => {
                    let follows = brought.is_some();
                    let brought = brought.unwrap_or_default();
                    let wanted = Wanted { access, brought, choices, by_hand: true };
                    plan(&*connector, &registry, &wanted, follows, now).await
                }
                ask => answer(&*connector, &registry, ask).await,
            };
            let said = said.map_err(|fault| fault.because(format!("Harbor {}", registry.name)));
            let _ = reply.send(said.map_or_else(Reply::Failed, |said| Reply::Harbor(Box::new(said))));
        });
    }

    /// Does something at a Harbor: it is in the journal before it is tried, and what became of it after.
    pub(super) async fn harbor_deed(
        &mut self,
        name: &RegistryName,
        deed: HarborDeed,
        caller: &Caller,
        reply: oneshot::Sender<Reply>,
    ) {
        let may = !caller.read_only && self.is_active();
        let registry = if may { self.harbor(name) } else { Err(intake::read_only()) };
        let (Ok(registry), Some(store)) = (registry.clone(), self.store.clone()) else {
            let refusal = registry.err().unwrap_or_else(intake::read_only);
            return drop(reply.send(Reply::Refused(refusal)));
        };
        let mut writes = vec![Write::Journal(Draft::by(&caller.who, What::Accepted, words(&deed, name)))];
        let leaves = deed == HarborDeed::LeaveAccess;
        if leaves {
            writes.push(Write::DropBrought(name.clone()));
        }
        if let Err(fault) = self.try_write(writes).await {
            return drop(reply.send(Reply::Refused(fault.into())));
        }
        if leaves {
            self.show_access(name, None);
            let lines = vec![format!("grants follow to Harbor {name} no more; what is there stays")];
            let done = HarborDone { lines, ..HarborDone::nothing() };
            return drop(reply.send(Reply::HarborDone(Box::new(done))));
        }
        if let HarborDeed::Access(choices) = deed {
            // A core that was replaced is told so at its next turn.
            return drop(self.begin_bringing(registry, choices, Some(reply)).await);
        }
        let (connector, look) = (self.connector.clone(), self.layer.harbors.alarm(name));
        tokio::spawn(async move {
            let done = carry_out(&*connector, &registry, deed).await;
            tell(&store, &registry.name, &done).await;
            if let Some(look) = look {
                look.notify_one();
            }
            let _ = reply.send(Reply::HarborDone(Box::new(done)));
        });
    }
}

/// What is to be done, in one sentence.
fn words(deed: &HarborDeed, name: &RegistryName) -> String {
    match deed {
        HarborDeed::Start { policy } => format!("Harbor {name}: start policy {policy}"),
        HarborDeed::Stop { execution } => format!("Harbor {name}: stop execution {execution}"),
        HarborDeed::Access(choices) => {
            let more = [
                (choices.remove_extra, "take away what only it has"),
                (choices.replace_unknown, "replace roles that are unknown here"),
                (choices.close_public, "close public projects"),
            ];
            let more: Vec<&str> = more.into_iter().filter_map(|(yes, text)| yes.then_some(text)).collect();
            let more = if more.is_empty() { String::new() } else { format!(" ({})", more.join(", ")) };
            format!("Harbor {name}: bring projects, members and robots there, and let grants follow{more}")
        }
        HarborDeed::LeaveAccess => format!("Harbor {name}: grants follow no more"),
    }
}

/// Writes down what became of it. It has happened: a disk that says no is told by the next write.
async fn tell(store: &Store, name: &RegistryName, done: &HarborDone) {
    let line = |what, text: String| Write::Journal(Draft::engine(what, format!("Harbor {name}: {text}")));
    let mut lines: Vec<Write> = done.lines.iter().map(|text| line(What::Outcome, text.clone())).collect();
    if let Some(fault) = &done.failed {
        let what = if fault.is_unknown() { What::Unknown } else { What::Failed };
        lines.push(line(what, fault.to_string()));
    }
    let _ = store.apply(Arc::new(lines)).await;
}

async fn carry_out(connector: &dyn Connector, registry: &Registry, deed: HarborDeed) -> HarborDone {
    let mut done = HarborDone::nothing();
    let result = match deed {
        HarborDeed::Start { policy } => start(connector, registry, &policy, &mut done).await,
        HarborDeed::Stop { execution } => stop(connector, registry, execution, &mut done).await,
        HarborDeed::Access(_) | HarborDeed::LeaveAccess => Ok(()),
    };
    done.failed = result.err();
    done
}

async fn start(
    connector: &dyn Connector,
    registry: &Registry,
    policy: &PolicyName,
    done: &mut HarborDone,
) -> Outcome<()> {
    let admin = reach(connector, registry).await?;
    let policy = find_policy(&*admin, policy).await?;
    let execution = admin.start(policy.id).await.map_err(|fault| {
        let name = &registry.name;
        if fault.is_unknown() {
            let look =
                format!("look before you start it again: longshore harbor executions {name} {}", policy.id);
            fault.hint(look)
        } else {
            fault
        }
    })?;
    done.execution = Some(execution);
    done.lines.push(format!("policy {} ({}) runs as execution {execution}", policy.name, policy.id));
    Ok(())
}

async fn stop(
    connector: &dyn Connector,
    registry: &Registry,
    execution: i64,
    done: &mut HarborDone,
) -> Outcome<()> {
    reach(connector, registry).await?.stop(execution).await?;
    done.execution = Some(execution);
    done.lines.push(format!("execution {execution} is asked to stop: it ends between two blobs"));
    Ok(())
}

async fn find_policy(admin: &dyn RegistryAdmin, wanted: &PolicyName) -> Outcome<Policy> {
    let all = admin.policies().await?;
    let names: Vec<String> = all.iter().map(|p| p.name.safe().into_owned()).collect();
    all.into_iter().find(|policy| wanted.is(policy)).ok_or_else(|| {
        let fault = Fault::new(Kind::NotFound, format!("there is no replication policy {wanted}"));
        match names.len() {
            0 => fault.hint("it has none that this log-in may see"),
            1..=8 => fault.hint(format!("policies: {}", names.join(", "))),
            _ => fault.hint("see `longshore harbor policies REGISTRY`"),
        }
    })
}

async fn find_project(admin: &dyn RegistryAdmin, wanted: &str) -> Outcome<HarborProject> {
    let found = admin.projects().await?.into_iter().find(|p| p.name.raw() == wanted);
    found.ok_or_else(|| {
        Fault::new(Kind::NotFound, format!("there is no project {wanted} that this log-in may see"))
            .hint("see `longshore harbor projects REGISTRY`")
    })
}

async fn answer(connector: &dyn Connector, registry: &Registry, ask: HarborAsk) -> Outcome<HarborSaid> {
    let admin = reach(connector, registry).await?;
    Ok(match ask {
        HarborAsk::Projects => HarborSaid::Projects(projects(&*admin).await?),
        HarborAsk::Members { project } => {
            HarborSaid::Members(admin.members(&find_project(&*admin, &project).await?).await?)
        }
        HarborAsk::Robots { project } => {
            HarborSaid::Robots(admin.robots(&find_project(&*admin, &project).await?).await?)
        }
        HarborAsk::Endpoints => HarborSaid::Endpoints(admin.endpoints().await?),
        HarborAsk::Policies => HarborSaid::Policies(policies(&*admin).await?),
        HarborAsk::Executions { policy, after } => {
            let policy = find_policy(&*admin, &policy).await?;
            HarborSaid::Executions(admin.executions(policy.id, after.as_deref()).await?)
        }
        HarborAsk::Tasks { execution, after } => {
            HarborSaid::Tasks(admin.tasks(execution, after.as_deref()).await?)
        }
        HarborAsk::Log { execution, task } => HarborSaid::Log(admin.log(execution, task).await?),
        HarborAsk::Access(_) => return Err(Fault::new(Kind::Bug, "access is compared with our own list")),
    })
}

/// What would have to be done so that it is as here.
async fn plan(
    connector: &dyn Connector,
    registry: &Registry,
    wanted: &Wanted,
    follows: bool,
    now: Millis,
) -> Outcome<HarborSaid> {
    let admin = reach(connector, registry).await?;
    let Compared { plan, unread } = compare(&*admin, wanted, now).await?;
    let steps = plan.steps.iter().map(ToString::to_string).collect();
    let unread = unread.iter().map(ToString::to_string);
    let apart = plan.apart.iter().map(ToString::to_string).chain(unread).collect();
    Ok(HarborSaid::Access(AccessRows { steps, apart, follows }))
}

/// Each project with its quota; one that cannot be read is told as such.
async fn projects(admin: &dyn RegistryAdmin) -> Outcome<Vec<ProjectRow>> {
    let all = admin.projects().await?;
    let row = |project: HarborProject| async move {
        let (quota, why) = match admin.quota(&project).await {
            Ok(quota) => (quota, None),
            Err(fault) => (None, Some(fault.to_string().into())),
        };
        ProjectRow { project, quota, why }
    };
    Ok(stream::iter(all).map(row).buffered(AT_ONCE).collect().await)
}

async fn policies(admin: &dyn RegistryAdmin) -> Outcome<Vec<PolicyRow>> {
    let all = admin.policies().await?;
    let row = |policy: Policy| async move {
        let page = admin.executions(policy.id, None).await?;
        Ok(PolicyRow { policy, last: page.items.into_iter().next() })
    };
    let rows: Vec<Outcome<PolicyRow>> = stream::iter(all).map(row).buffered(AT_ONCE).collect().await;
    rows.into_iter().collect()
}
