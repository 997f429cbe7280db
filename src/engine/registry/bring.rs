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
use crate::plan::harbor::{AccessPlan, Apart, SeenProject, access};
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
    /// Somebody waits for the answer: then robots are made, whose secrets are told once, and let in again.
    pub by_hand: bool,
}

impl Wanted {
    /// Whether robots of this project are our business.
    fn has_robots(&self, project: &str) -> bool {
        let here = self.access.robots.iter().any(|robot| robot.project.as_str() == project);
        let there = self.brought.robots.iter().any(|(at, _)| at.as_str() == project);
        here || there || self.choices.remove_extra
    }
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
    /// What was brought there now: to be added to what is remembered then.
    pub made: Brought,
    /// What is known not to be there any more: to be taken from what is remembered then.
    pub gone: Brought,
}

/// Our list beside a Harbor's.
#[derive(Debug)]
pub struct Compared {
    /// What would have to be done.
    pub plan: AccessPlan,
    /// Lists of which something of ours depends, and that could not be read.
    pub unread: Vec<Fault>,
}

impl Came {
    /// Notes what this step has changed there.
    fn note(&mut self, step: &AccessStep) {
        self.made.note_made(step);
        self.gone.note_end(step);
    }

    /// What is remembered of a Harbor, after this. Forgotten is only what is not wanted now and is known not to be there; while
    /// another run is under way nothing is, since that one may have brought it again.
    pub fn after(&self, kept: &Brought, wanted: &Access, is_alone: bool) -> Brought {
        let next = kept.with(&self.made);
        if is_alone { next.without(&self.gone, wanted) } else { next }
    }
}

/// What would have to be done.
///
/// # Errors
/// When Harbor cannot be read, or our login there may not do that.
pub async fn compare(admin: &dyn RegistryAdmin, wanted: &Wanted, now: Millis) -> Outcome<Compared> {
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
        let (members, robots) = (admin.members(&project).await, admin.robots(&project).await);
        let because = |fault: &Fault| fault.clone().because(project.name.to_string());
        let mut unread: Vec<Fault> = members.as_ref().err().map(because).into_iter().collect();
        if wanted.has_robots(project.name.raw()) {
            unread.extend(robots.as_ref().err().map(because));
        }
        (SeenProject { members: members.ok(), robots: robots.ok(), project }, unread)
    };
    let read: Vec<(SeenProject, Vec<Fault>)> =
        stream::iter(projects.collect::<Vec<_>>()).map(read).buffered(AT_ONCE).collect().await;
    let (seen, unread): (Vec<SeenProject>, Vec<Vec<Fault>>) = read.into_iter().unzip();
    let plan = access(&wanted.access, &seen, &login, wanted.choices, &wanted.brought, now);
    Ok(Compared { plan, unread: unread.concat() })
}

/// Makes it so. A step that is refused does not keep the others from being made. When Harbor does not answer any more, the rest
/// is left, but for what takes away: each of those is tried, for one that hangs must not hold up a revocation.
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
    let Compared { plan, unread } = compare(&*admin, &wanted, now).await?;
    // Where a list could not be read, or something stays that should go, it is not as here, though no step failed.
    let mut came = Came { failed: unread, gone: plan.gone, ..Came::default() };
    came.failed.extend(plan.left.iter().map(left));
    let mut is_over = false;
    for step in plan.steps {
        if is_over && !step.takes_away() {
            continue;
        }
        if !wanted.by_hand && step.waits(&wanted.brought) {
            came.waiting.push(step.to_string());
            continue;
        }
        match admin.apply(&step).await {
            Ok(Applied::Done) => {
                came.lines.push(step.to_string());
                came.note(&step);
            }
            Ok(Applied::Already) => {
                came.lines.push(format!("{step}: it was so already"));
                came.note(&step);
            }
            Ok(Applied::Robot { login, secret, expires }) => {
                came.lines.push(step.to_string());
                came.robots.push(NewRobot { login, secret: secret.reveal().to_owned(), expires });
                came.note(&step);
            }
            Err(fault) => {
                is_over |= fault.is_unknown();
                came.failed.push(fault);
            }
        }
    }
    Ok(came)
}

/// What was brought there and stays, as a fault.
fn left(apart: &Apart) -> Fault {
    let fault = Fault::new(Kind::Refused, apart.to_string());
    match apart {
        Apart::Unseen(_) => {
            fault.hint("log in as an administrator of Harbor, or let nothing follow any more (--off)")
        }
        _ => {
            fault.hint("take it away with `registry access-plan NAME --yes --replace-unknown`, or in Harbor")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_came_is_applied_to_what_is_kept_by_then() {
        let one = |name: &str| Brought {
            robots: [("feed".parse().unwrap(), name.parse().unwrap())].into(),
            ..Brought::default()
        };
        let (first, second) =
            (Came { made: one("ci"), ..Came::default() }, Came { made: one("cd"), ..Came::default() });
        // Both runs began with nothing; each has made a robot, and neither overwrites what the other reported.
        let (none, wanted) = (Brought::default(), Access::default());
        let kept = second.after(&first.after(&none, &wanted, false), &wanted, true);
        assert_eq!(kept, one("ci").with(&one("cd")));
        let ended = Came { gone: one("ci"), ..Came::default() };
        assert_eq!(ended.after(&kept, &wanted, false), kept, "another run may just have made it again");
        assert_eq!(ended.after(&kept, &wanted, true), one("cd"));
    }
}
