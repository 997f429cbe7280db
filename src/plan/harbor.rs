//! From our access model to Harbor: which steps make its projects, members and robots as they should be, and what stays apart.
//!
//! Only what was read is compared: a list that could not be read leads to no step, least of all to a removal.

use std::collections::BTreeSet;
use std::fmt;

use crate::base::clock::Millis;
use crate::base::ids::{ProjectName, UserName};
use crate::base::text::Untrusted;
use crate::model::access::{Access, Project, Robot, Role};
use crate::model::harbor::access::{AccessStep, Brought, HarborRobot, HarborRole, Member, MemberKind};
use crate::model::harbor::ask::AccessChoices;
use crate::model::harbor::{HarborProject, Login};

/// A day in milliseconds: a robot's life in Harbor has whole days.
const DAY_MS: u64 = 24 * 3600 * 1000;
/// The longest life that Harbor takes, in days; longer is for ever.
const DAYS_MAX: u64 = 2_147_483_646;

/// A project of Harbor's as it was read. None means that the list could not be read.
#[derive(Clone, Debug)]
pub struct SeenProject {
    /// The project.
    pub project: HarborProject,
    /// Its members.
    pub members: Option<Vec<Member>>,
    /// Its robots.
    pub robots: Option<Vec<HarborRobot>>,
}

/// Something that differs and for which there is no step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Apart {
    /// The project could not be compared: its list of members or robots was not read.
    NotRead(ProjectName, &'static str),
    /// Everybody may read it.
    Public(ProjectName),
    /// It is a cache of another registry; nobody can push to it.
    Cache(ProjectName),
    /// A member that only Harbor has.
    Extra(ProjectName, Member),
    /// A member who has a role that we have no word for, where this one is wanted.
    Unknown(ProjectName, Member, Role),
    /// Harbor's own log-in that we use: it is never changed.
    Ourselves(ProjectName, Member),
    /// A robot that only Harbor has.
    ExtraRobot(ProjectName, Untrusted),
    /// A robot whose rights are no role of ours, where this one is wanted.
    UnknownRobot(ProjectName, Untrusted, Role),
    /// A robot whose life in Harbor ends later than it should, or that has none: its life cannot be changed.
    LivesLonger(ProjectName, Untrusted),
    /// A robot that has less than a day left: Harbor cannot make such a one.
    TooShort(ProjectName, UserName),
    /// What was brought to this project and is not wanted any more may still be there: our log-in does not see the project.
    Unseen(ProjectName),
    /// A user who may do everything here: in Harbor that is set for the user, not for a project.
    Administrator(UserName),
}

impl fmt::Display for Apart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Apart::NotRead(project, what) => {
                write!(f, "{project}: its {what} could not be read, nothing is done there")
            }
            Apart::Public(project) => write!(f, "{project}: everybody may read it without a log-in"),
            Apart::Cache(project) => {
                write!(f, "{project}: a cache of another registry, nobody can push to it")
            }
            Apart::Extra(project, m) => write!(f, "{project}: {} is {} only in Harbor", m.name, m.role),
            Apart::Unknown(project, m, wanted) => {
                let wanted = HarborRole::from(*wanted);
                write!(f, "{project}: {} is {} in Harbor, should be {wanted}; it is left", m.name, m.role)
            }
            Apart::Ourselves(project, m) => {
                write!(f, "{project}: {} is {}, and what we log in as; it is left", m.name, m.role)
            }
            Apart::ExtraRobot(project, login) => write!(f, "{project}: robot {login} is only in Harbor"),
            Apart::UnknownRobot(project, login, wanted) => {
                let wanted = HarborRole::from(*wanted);
                write!(f, "{project}: robot {login} has rights of its own, should be {wanted}; it is left")
            }
            Apart::LivesLonger(project, login) => {
                write!(f, "{project}: robot {login} lives longer in Harbor; end it there and make it anew")
            }
            Apart::TooShort(project, name) => {
                write!(f, "{project}: robot {name} has less than a day left, Harbor cannot make it")
            }
            Apart::Unseen(project) => {
                write!(
                    f,
                    "{project}: our log-in does not see it, what is to go from there may still be there"
                )
            }
            Apart::Administrator(user) => {
                write!(f, "{user} may do everything here; in Harbor that is set by hand")
            }
        }
    }
}

/// The steps, in the order in which they have to be made, and what stays apart.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AccessPlan {
    /// One call each; what takes away comes first.
    pub steps: Vec<AccessStep>,
    /// To be shown beside them.
    pub apart: Vec<Apart>,
    /// Of those, what was brought there, is not wanted any more, and stays all the same: a revocation that did not arrive.
    pub left: Vec<Apart>,
    /// What was brought there, is not wanted any more, and was seen not to be there.
    pub gone: Brought,
}

/// What has to be done so that these projects, their members and robots are in Harbor as they are here. Projects that only
/// Harbor has are none of our business, but for what was brought there before. With the same things in Harbor as here, there are no steps.
pub fn access(
    wanted: &Access,
    seen: &[SeenProject],
    login: &Login,
    choices: AccessChoices,
    brought: &Brought,
    now: Millis,
) -> AccessPlan {
    let mut plan = AccessPlan::default();
    let admins = wanted.users.values().filter(|user| user.admin && !user.disabled);
    plan.apart.extend(admins.map(|user| Apart::Administrator(user.name.clone())));
    let mut one = One { plan: &mut plan, wanted, login, choices, brought, now };
    for project in wanted.projects.values() {
        match seen.iter().find(|s| s.project.name.raw() == project.name.as_str()) {
            Some(seen) => one.compare(project, seen),
            None => one.make(project),
        }
    }
    for seen in seen {
        let Ok(name) = seen.project.ours() else { continue };
        if !wanted.projects.contains_key(&name) {
            one.forget(&name, seen);
        }
    }
    one.look_for_the_rest(seen);
    // (The sort is stable: a project is still made before its members.)
    plan.steps.sort_by_key(|step| !step.takes_away());
    plan
}

struct One<'a> {
    plan: &'a mut AccessPlan,
    wanted: &'a Access,
    login: &'a Login,
    choices: AccessChoices,
    brought: &'a Brought,
    now: Millis,
}

impl One<'_> {
    fn make(&mut self, project: &Project) {
        self.plan.steps.push(AccessStep::CreateProject(project.name.clone()));
        self.members(project, &[]);
        self.robots(project, &[]);
    }

    fn compare(&mut self, project: &Project, seen: &SeenProject) {
        let name = &project.name;
        if seen.project.public != Some(false) {
            match self.choices.close_public {
                true => self.plan.steps.push(AccessStep::ClosePublic(name.clone())),
                false => self.plan.apart.push(Apart::Public(name.clone())),
            }
        }
        if seen.project.cache_of.is_some() {
            self.plan.apart.push(Apart::Cache(name.clone()));
        }
        match &seen.members {
            Some(members) => self.members(project, members),
            None => self.plan.apart.push(Apart::NotRead(name.clone(), "list of members")),
        }
        match &seen.robots {
            Some(robots) => self.robots(project, robots),
            None => self.plan.apart.push(Apart::NotRead(name.clone(), "list of robots")),
        }
    }

    /// What is to go from a project whose list was read without it, or that an administrator does not see, is gone.
    fn look_for_the_rest(&mut self, seen: &[SeenProject]) {
        let unwanted = self.brought.unwanted(self.wanted);
        let all = matches!(self.login, Login::User { admin: true, .. });
        let find = |name: &ProjectName| seen.iter().find(|s| s.project.name.raw() == name.as_str());
        let mut unseen = BTreeSet::new();
        for (project, user) in unwanted.members {
            let same = |m: &Member| m.kind == MemberKind::User && m.name.raw() == user.as_str();
            let gone = match find(&project) {
                Some(seen) => seen.members.as_ref().is_some_and(|all| !all.iter().any(same)),
                None if all => true,
                None => {
                    unseen.insert(project.clone());
                    false
                }
            };
            if gone {
                self.plan.gone.members.insert((project, user));
            }
        }
        for (project, robot) in unwanted.robots {
            let same = |r: &HarborRobot| r.short() == Some(robot.as_str());
            let gone = match find(&project) {
                Some(seen) => seen.robots.as_ref().is_some_and(|all| !all.iter().any(same)),
                None if all => true,
                None => {
                    unseen.insert(project.clone());
                    false
                }
            };
            if gone {
                self.plan.gone.robots.insert((project, robot));
            }
        }
        self.plan.left.extend(unseen.iter().cloned().map(Apart::Unseen));
        self.plan.apart.extend(unseen.into_iter().map(Apart::Unseen));
    }

    /// A project that is gone here: what was brought there goes, the project and its images stay.
    fn forget(&mut self, name: &ProjectName, seen: &SeenProject) {
        if seen.members.is_none() {
            self.plan.apart.push(Apart::NotRead(name.clone(), "list of members"));
        }
        if seen.robots.is_none() {
            self.plan.apart.push(Apart::NotRead(name.clone(), "list of robots"));
        }
        for member in seen.members.iter().flatten().filter(|m| m.kind == MemberKind::User) {
            if self.brought.has_member(name, member.name.raw()) {
                self.leaves(name, member, true);
            }
        }
        for robot in seen.robots.iter().flatten() {
            if robot.short().is_some_and(|short| self.brought.has_robot(name, short)) {
                let (project, robot) = (name.clone(), robot.clone());
                self.plan.steps.push(AccessStep::RemoveRobot { project, robot });
            }
        }
    }

    /// True for somebody whom we know and who cannot log in here: they lose their roles there as well.
    fn is_shut_out(&self, name: &str) -> bool {
        self.wanted.users.values().any(|user| user.name.as_str() == name && user.disabled)
    }

    fn members(&mut self, project: &Project, seen: &[Member]) {
        for (user, role) in &project.members {
            if self.is_shut_out(user.as_str()) {
                continue;
            }
            let is = seen.iter().find(|m| m.kind == MemberKind::User && m.name.raw() == user.as_str());
            match is {
                Some(is) => self.member(&project.name, is, *role),
                None => self.plan.steps.push(AccessStep::AddMember {
                    project: project.name.clone(),
                    user: user.clone(),
                    role: *role,
                }),
            }
        }
        for member in seen {
            let user = member.kind == MemberKind::User;
            let named = user && project.members.keys().any(|name| name.as_str() == member.name.raw());
            let shut_out = user && self.is_shut_out(member.name.raw());
            if !named || shut_out {
                let ours = self.brought.has_member(&project.name, member.name.raw());
                self.leaves(&project.name, member, user && (shut_out || ours || self.choices.remove_extra));
            }
        }
    }

    fn member(&mut self, project: &ProjectName, is: &Member, role: Role) {
        if is.role == HarborRole::from(role) {
            return;
        }
        let step = || AccessStep::ChangeMember { project: project.clone(), member: is.clone(), role };
        if self.is_ourselves(is) {
            self.plan.apart.push(Apart::Ourselves(project.clone(), is.clone()));
        } else if is.role.ours().is_some() || self.choices.replace_unknown {
            self.plan.steps.push(step());
        } else {
            self.plan.apart.push(Apart::Unknown(project.clone(), is.clone(), role));
        }
    }

    /// A member that is not wanted. Groups are never removed: we know nobody in them.
    fn leaves(&mut self, project: &ProjectName, member: &Member, remove: bool) {
        let (project, member) = (project.clone(), member.clone());
        if self.is_ourselves(&member) {
            self.plan.apart.push(Apart::Ourselves(project, member));
        } else if remove && (member.role.ours().is_some() || self.choices.replace_unknown) {
            self.plan.steps.push(AccessStep::RemoveMember { project, member });
        } else {
            let ours =
                member.kind == MemberKind::User && self.brought.has_member(&project, member.name.raw());
            let left = Apart::Extra(project, member);
            if ours {
                self.plan.left.push(left.clone());
            }
            self.plan.apart.push(left);
        }
    }

    fn is_ourselves(&self, member: &Member) -> bool {
        matches!(self.login, Login::User { name, .. } if member.kind == MemberKind::User && *name == member.name)
    }

    fn robots(&mut self, project: &Project, seen: &[HarborRobot]) {
        let (wanted, now) = (self.wanted, self.now);
        let ours = || wanted.robots.iter().filter(|robot| robot.project == project.name);
        for robot in ours() {
            let over = robot.expires.is_some_and(|expires| expires <= now);
            match seen.iter().find(|s| s.short() == Some(robot.name.as_str())) {
                Some(is) => self.robot(robot, is, over),
                None if over || robot.disabled => {}
                None => self.new_robot(robot),
            }
        }
        for is in seen.iter().filter(|is| !ours().any(|robot| is.short() == Some(robot.name.as_str()))) {
            let ours = is.short().is_some_and(|short| self.brought.has_robot(&project.name, short));
            let project = project.name.clone();
            match ours || self.choices.remove_extra {
                true => self.plan.steps.push(AccessStep::RemoveRobot { project, robot: is.clone() }),
                false => self.plan.apart.push(Apart::ExtraRobot(project, is.login.clone())),
            }
        }
    }

    fn new_robot(&mut self, robot: &Robot) {
        let (project, name, role) = (robot.project.clone(), robot.name.clone(), robot.role);
        // Rounded down: it may end earlier than it should, never later.
        let days = robot.expires.map(|expires| (expires.since(self.now) / DAY_MS).min(DAYS_MAX));
        let days = days.map(|days| u32::try_from(days).unwrap_or(u32::MAX));
        if days == Some(0) {
            self.plan.apart.push(Apart::TooShort(project, name));
        } else {
            self.plan.steps.push(AccessStep::AddRobot { project, name, role, days });
        }
    }

    fn robot(&mut self, robot: &Robot, is: &HarborRobot, over: bool) {
        let project = robot.project.clone();
        let disabled = robot.disabled || over;
        let has = is.role(&project);
        let changes = has != Some(robot.role);
        // A robot that can log in no more does no harm by its rights.
        let may = has.is_some() || self.choices.replace_unknown;
        let role = (changes && may && !disabled && is.editable).then_some(robot.role);
        if changes && role.is_none() && !disabled {
            self.plan.apart.push(Apart::UnknownRobot(project.clone(), is.login.clone(), robot.role));
        }
        let outlives = robot.expires.is_some_and(|ours| is.expires.is_none_or(|theirs| theirs > ours));
        if outlives && !disabled {
            self.plan.apart.push(Apart::LivesLonger(project.clone(), is.login.clone()));
        }
        if role.is_some() || is.disabled != disabled {
            let robot = is.clone();
            self.plan.steps.push(AccessStep::ChangeRobot { project, robot, role, disabled });
        }
    }
}

#[cfg(test)]
mod tests;
