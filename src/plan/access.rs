//! Who may do what in the registries: rights by role, the scopes of a token, and why something is not allowed.

pub mod apply;
pub mod seen;

use std::collections::BTreeSet;

use crate::base::clock::Millis;
use crate::base::ids::{ProjectName, UserName};
use crate::model::access::scope::{Granted, Right, Scope};
use crate::model::access::{Access, Project, Role, Subject};

/// What each role gives in the repositories of its project. Saying who the members are is apart: see [`apply`].
pub const RIGHTS: &[(Role, &[Right])] = &[
    (Role::Guest, &[Right::Pull]),
    (Role::Developer, &[Right::Pull, Right::Push]),
    (Role::ProjectAdmin, &[Right::Pull, Right::Push, Right::Delete]),
];

/// How a subject stands, somewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// System admin: may do everything.
    System,
    /// Has this role in the project.
    Member(Role),
}

impl Standing {
    /// What may be done in a repository.
    pub fn rights(self) -> &'static [Right] {
        match self {
            Standing::System => &[Right::Pull, Right::Push, Right::Delete],
            Standing::Member(role) => {
                RIGHTS.iter().find(|(r, _)| *r == role).map_or(&[], |(_, rights)| rights)
            }
        }
    }
}

/// Which of the things is missing that are needed to do anything at all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lack {
    /// Nobody by this name can log in.
    User(String),
    /// They are kept from logging in.
    Disabled(String),
    /// The robot's time is over.
    Expired(String),
    /// There is no such project.
    Project(String),
    /// Can log in, and is no member of the project.
    Membership(String, ProjectName),
    /// Neither can log in nor is a member.
    Both(String, ProjectName),
}

impl Lack {
    /// The reason in one sentence.
    pub fn sentence(&self) -> String {
        match self {
            Lack::User(who) => format!("{who} is not a user yet"),
            Lack::Disabled(who) => format!("{who} is disabled"),
            Lack::Expired(who) => format!("the time of {who} is over"),
            Lack::Project(name) => format!("there is no project {name}"),
            Lack::Membership(who, project) => format!("{who} is a user, but not a member of {project}"),
            Lack::Both(who, project) => format!("{who} is not a user yet, and not a member of {project}"),
        }
    }

    /// What to do about it.
    pub fn hint(&self) -> String {
        match self {
            Lack::User(who) => format!("a system admin makes users: longshore user add {who}"),
            Lack::Disabled(_) => "a system admin can enable users, a project admin robots".to_owned(),
            Lack::Expired(_) => "a project admin can renew it: longshore robot renew PROJECT/NAME".to_owned(),
            Lack::Project(name) => format!("a system admin makes projects: longshore project add {name}"),
            Lack::Membership(_, project) => format!("ask a project admin of {project}"),
            Lack::Both(_, project) => {
                format!(
                    "a system admin makes users; then a project admin of {project} makes the user a member"
                )
            }
        }
    }
}

/// Whether the subject can act at all, wherever it is.
///
/// # Errors
/// What is missing for that.
pub fn active(access: &Access, subject: &Subject, now: Millis) -> Result<(), Lack> {
    let who = subject.to_string();
    let disabled = match subject {
        Subject::Operator(_) => false,
        Subject::User(name) => match access.users.get(name) {
            Some(user) => user.disabled,
            None => return Err(Lack::User(who)),
        },
        Subject::Robot(project, name) => {
            if !access.projects.contains_key(project) {
                return Err(Lack::Project(project.to_string()));
            }
            match access.robot(project, name) {
                Some(robot) if robot.is_expired(now) => return Err(Lack::Expired(who)),
                Some(robot) => robot.disabled,
                None => return Err(Lack::User(who)),
            }
        }
    };
    if disabled { Err(Lack::Disabled(who)) } else { Ok(()) }
}

/// True for those who may do everything.
pub fn is_system(access: &Access, subject: &Subject, now: Millis) -> bool {
    match subject {
        Subject::Operator(_) => true,
        Subject::User(name) => {
            active(access, subject, now).is_ok() && access.users.get(name).is_some_and(|u| u.admin)
        }
        Subject::Robot(..) => false,
    }
}

/// How the subject stands in a project, by its name as it was given.
///
/// # Errors
/// What is missing.
pub fn standing(access: &Access, subject: &Subject, project: &str, now: Millis) -> Result<Standing, Lack> {
    let known = project.parse::<ProjectName>().ok().and_then(|name| access.projects.get(&name));
    match (active(access, subject, now), known) {
        (Err(Lack::User(who)), Some(project)) => Err(Lack::Both(who, project.name.clone())),
        (Err(lack), _) => Err(lack),
        (Ok(()), _) if is_system(access, subject, now) => Ok(Standing::System),
        (Ok(()), None) => Err(Lack::Project(project.to_owned())),
        (Ok(()), Some(project)) => member(access, subject, project).map(Standing::Member),
    }
}

/// The role of somebody who can act.
fn member(access: &Access, subject: &Subject, project: &Project) -> Result<Role, Lack> {
    let role = match subject {
        Subject::Operator(_) => None,
        Subject::User(name) => project.members.get(name).copied(),
        Subject::Robot(home, name) if *home == project.name => access.robot(home, name).map(|r| r.role),
        Subject::Robot(..) => None,
    };
    role.ok_or_else(|| Lack::Membership(subject.to_string(), project.name.clone()))
}

/// What a token for the subject may carry of what was asked for. Asking for too much is no error: less is granted.
pub fn grant(access: &Access, subject: &Subject, asked: &[Scope], now: Millis) -> Granted {
    let mut out = Granted { until: until(access, subject), ..Granted::default() };
    for scope in asked {
        let asked = asked_of(scope);
        let (allowed, why) = allowed(access, subject, scope, now);
        let rights: BTreeSet<Right> = asked.intersection(&allowed).copied().collect();
        let missing: Vec<&str> = asked.difference(&rights).map(|r| r.name()).collect();
        if !missing.is_empty() {
            out.denied.push(format!("{} of {}: {why}", missing.join(","), scope.name));
        }
        if !rights.is_empty() {
            out.scopes.push(Scope { rights, ..scope.clone() });
        }
    }
    out
}

/// When the subject's own time ends.
fn until(access: &Access, subject: &Subject) -> Option<Millis> {
    match subject {
        Subject::Robot(project, name) => access.robot(project, name).and_then(|r| r.expires),
        Subject::Operator(_) | Subject::User(_) => None,
    }
}

/// The rights that a scope asks for. `*` on a repository means all that there are.
fn asked_of(scope: &Scope) -> BTreeSet<Right> {
    if scope.kind == "registry" || !scope.rights.contains(&Right::All) {
        return scope.rights.clone();
    }
    BTreeSet::from([Right::Pull, Right::Push, Right::Delete])
}

/// All that the subject may do with what a scope names, and why no more.
fn allowed(access: &Access, subject: &Subject, scope: &Scope, now: Millis) -> (BTreeSet<Right>, String) {
    let nothing = BTreeSet::new();
    match (scope.kind.as_str(), scope.name.as_str()) {
        ("registry", "catalog") => match active(access, subject, now) {
            Err(lack) => (nothing, lack.sentence()),
            Ok(()) if is_system(access, subject, now) => (scope.rights.clone(), String::new()),
            Ok(()) => (nothing, format!("{subject} is no system admin; only they list all repositories")),
        },
        ("repository" | "repository(image)", path) => {
            let project = path.split('/').next().unwrap_or(path);
            match standing(access, subject, project, now) {
                Err(lack) => (nothing, lack.sentence()),
                Ok(standing) => {
                    let title = match standing {
                        Standing::System => "system admin".to_owned(),
                        Standing::Member(role) => format!("{role} of {project}"),
                    };
                    (standing.rights().iter().copied().collect(), format!("{subject} is {title}"))
                }
            }
        }
        (kind, _) => (nothing, format!("no rights are given on a {kind}")),
    }
}

/// The project admins of a project who can act.
pub fn project_admins<'a>(access: &'a Access, project: &'a Project) -> impl Iterator<Item = &'a UserName> {
    let admins =
        project.members.iter().filter(|(_, role)| **role == Role::ProjectAdmin).map(|(name, _)| name);
    admins.filter(|name| access.users.get(*name).is_some_and(|u| !u.disabled))
}

#[cfg(test)]
mod tests;
