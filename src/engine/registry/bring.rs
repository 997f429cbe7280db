//! Bringing our list of projects, members and robots to a Harbor: it is read, compared, and made so, step by step.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures_util::stream::{self, StreamExt};

use crate::base::clock::Millis;
use crate::base::fault::{Fault, Kind, Outcome};
use crate::base::ids::ProjectName;
use crate::engine::core::Connector;
use crate::engine::registry::harbor::reach;
use crate::model::access::Access;
use crate::model::harbor::access::{AccessStep, Applied, Brought};
use crate::model::harbor::ask::{AccessChoices, NewRobot};
use crate::model::harbor::{HarborProject, Login};
use crate::model::registry::Registry;
use crate::plan::harbor::{AccessPlan, SeenProject, access};
use crate::ports::registry_admin::RegistryAdmin;

/// Projects that are read at a time: two lists each.
const AT_ONCE: usize = 4;

/// What is to be brought.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// The list as it is here.
    pub access: Arc<Access>,
    /// What was brought before.
    pub brought: Brought,
    /// What somebody has decided about things that only Harbor has.
    pub choices: AccessChoices,
    /// Somebody waits for the answer: then robots are made, whose secrets are told once.
    pub by_hand: bool,
}

/// What became of it.
#[derive(Debug, Default)]
pub struct Came {
    /// What was done, one sentence each.
    pub lines: Vec<String>,
    /// Robots that were made.
    pub robots: Vec<NewRobot>,
    /// Steps that wait for somebody to ask for them.
    pub waiting: Vec<String>,
    /// What could not be done, each with its step.
    pub failed: Vec<Fault>,
    /// What we have brought there, from now on.
    pub brought: Brought,
}

/// What would have to be done.
///
/// # Errors
/// When Harbor cannot be read, or our login there may not do that.
pub async fn compare(admin: &dyn RegistryAdmin, wanted: &Wanted, now: Millis) -> Outcome<AccessPlan> {
    let login = admin.login().await?;
    if login == Login::NoPerson {
        let fault =
            Fault::new(Kind::Refused, "our log-in there is a robot: it cannot say who the members are");
        return Err(fault.hint("log in as an administrator of Harbor, or as an admin of the projects"));
    }
    let named: BTreeSet<&str> = (wanted.access.projects.keys())
        .chain(wanted.brought.members.iter().chain(&wanted.brought.robots).map(|(project, _)| project))
        .map(ProjectName::as_str)
        .collect();
    let projects = admin.projects().await?.into_iter().filter(|p| named.contains(p.name.raw()));
    let read = |project: HarborProject| async move {
        let (members, robots) = (admin.members(&project).await.ok(), admin.robots(&project).await.ok());
        SeenProject { project, members, robots }
    };
    let seen: Vec<SeenProject> =
        stream::iter(projects.collect::<Vec<_>>()).map(read).buffered(AT_ONCE).collect().await;
    Ok(access(&wanted.access, &seen, &login, wanted.choices, &wanted.brought, now))
}

/// Makes it so. A step that is refused does not keep the others from being made; when Harbor does not answer any more, the rest
/// is left.
///
/// # Errors
/// When it could not even be compared: then nothing was changed.
pub async fn bring(
    connector: &dyn Connector,
    registry: &Registry,
    wanted: Wanted,
    now: Millis,
) -> Outcome<Came> {
    let admin = reach(connector, registry).await?;
    let plan = compare(&*admin, &wanted, now).await?;
    let mut came = Came::default();
    let mut brought = wanted.brought.and(&wanted.access);
    for step in plan.steps {
        if matches!(step, AccessStep::AddRobot { .. }) && !wanted.by_hand {
            came.waiting.push(step.to_string());
            continue;
        }
        match admin.apply(&step).await {
            Ok(Applied::Done) => came.lines.push(step.to_string()),
            Ok(Applied::Already) => came.lines.push(format!("{step}: it was so already")),
            Ok(Applied::Robot { login, secret, expires }) => {
                came.lines.push(step.to_string());
                came.robots.push(NewRobot { login, secret: secret.reveal().to_owned(), expires });
                if let AccessStep::AddRobot { project, name, .. } = &step {
                    brought.robots.insert((project.clone(), name.clone()));
                }
            }
            Err(fault) => {
                let is_over = fault.is_unknown() || fault.kind == Kind::Unreachable;
                came.failed.push(fault);
                if is_over {
                    break;
                }
            }
        }
    }
    // What is not wanted any more and is gone there is forgotten; while something failed, nothing is.
    came.brought = if came.failed.is_empty() { brought.only(&wanted.access) } else { brought };
    Ok(came)
}
