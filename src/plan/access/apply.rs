//! Requests about users, projects, members and robots: who may ask for what, and the changes that come of it.

use crate::base::clock::Millis;
use crate::base::ids::{ProjectName, UserName};
use crate::model::access::command::{AccessChange, AccessCommand};
use crate::model::access::{self, Access, Project, Robot, Role, Subject, User};
use crate::model::command::{Refusal, RefusalKind};
use crate::model::journal;
use crate::model::oci::Repository;
use crate::plan::access::{Lack, Standing, active, is_system, project_admins, standing};

/// How every hash that we keep begins: what does not is a password by mistake, and is not kept.
const HASH: &str = "$argon2id$";

/// What an accepted request comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Applied {
    /// The changes, in order; empty when everything is so already.
    pub changes: Vec<AccessChange>,
    /// What was done, for the journal and for who asked.
    pub sentence: String,
}

impl Applied {
    fn new(changes: Vec<AccessChange>, sentence: String) -> Result<Applied, Refusal> {
        Ok(Applied { changes, sentence })
    }
}

/// Decides about one request.
///
/// # Errors
/// Why it is refused: no right to ask for it, or it makes no sense.
pub fn apply(access: &Access, by: &Subject, command: AccessCommand, now: Millis) -> Result<Applied, Refusal> {
    let ask = Ask { access, by, now };
    if matches!(by, Subject::Robot(..)) {
        return Err(refused("robots change nothing about access", "log in as a person"));
    }
    active(access, by, now).map_err(|lack| lacking(&lack))?;
    match command {
        AccessCommand::AddUser { name, password, admin } => ask.add_user(name, password, admin),
        AccessCommand::PutUser { name, password, admin } => ask.put_user(name, password, admin),
        AccessCommand::SetPassword { name, password } => ask.set_password(&name, password),
        AccessCommand::DisableUser { name, disabled } => ask.disable_user(&name, disabled),
        AccessCommand::RemoveUser { name } => ask.remove_user(&name),
        AccessCommand::PutProject { name } => ask.put_project(name),
        AccessCommand::RemoveProject { name } => ask.remove_project(&name),
        AccessCommand::Grant { project, user, role } => ask.grant(&project, &user, role),
        AccessCommand::Revoke { project, user } => ask.revoke(&project, &user),
        AccessCommand::MakeRobot { project, name, role, secret, expires } => {
            ask.make_robot(Robot { name, project, role, secret, expires, disabled: false })
        }
        AccessCommand::RenewRobot { project, name, secret, expires } => {
            ask.renew_robot(&project, &name, secret, expires)
        }
        AccessCommand::DisableRobot { project, name, disabled } => {
            ask.disable_robot(&project, &name, disabled)
        }
        AccessCommand::RemoveRobot { project, name } => {
            let robot = ask.robot(&project, &name)?;
            let sentence = format!("removed {}", robot.subject());
            Applied::new(vec![AccessChange::NoRobot(project, name)], sentence)
        }
    }
}

fn refused(text: impl Into<String>, hint: &str) -> Refusal {
    Refusal { why: RefusalKind::Invalid, text: text.into(), hint: Some(hint.to_owned()) }
}

fn lacking(lack: &Lack) -> Refusal {
    let why = match lack {
        Lack::User(_) | Lack::Project(_) | Lack::Both(..) => RefusalKind::NotFound,
        Lack::Disabled(_) | Lack::Expired(_) | Lack::Membership(..) => RefusalKind::Invalid,
    };
    Refusal { why, text: lack.sentence(), hint: Some(lack.hint()) }
}

/// A secret that is not hashed must not reach the disk.
fn hashed(hash: &str) -> Result<(), Refusal> {
    let is_hash = hash.starts_with(HASH) && hash.len() <= 512 && hash.bytes().all(|b| b.is_ascii_graphic());
    if is_hash { Ok(()) } else { Err(refused("this is no hash of a password", "hash it before it is sent")) }
}

/// A newcomer must not be called what the engine is called in the journal or at registries: their deeds would read as its own.
/// Who has such a name from earlier on keeps it.
fn free(name: &UserName) -> Result<(), Refusal> {
    let whose = match name.as_str() {
        journal::ENGINE => "in the journal",
        access::ENGINE => "in the logs of registries",
        _ => return Ok(()),
    };
    let text = format!("{name} is the engine itself {whose}: nobody else may be called so");
    Err(refused(text, "choose another name"))
}

/// A request's surroundings: what is, who asks, when.
struct Ask<'a> {
    access: &'a Access,
    by: &'a Subject,
    now: Millis,
}

impl<'a> Ask<'a> {
    fn is_system(&self) -> bool {
        is_system(self.access, self.by, self.now)
    }

    fn need_system(&self, what: &str) -> Result<(), Refusal> {
        if self.is_system() {
            return Ok(());
        }
        Err(refused(format!("only a system admin {what}; {} is none", self.by), "ask a system admin"))
    }

    fn user(&self, name: &UserName) -> Result<&'a User, Refusal> {
        self.access.users.get(name).ok_or_else(|| lacking(&Lack::User(name.to_string())))
    }

    fn project(&self, name: &ProjectName) -> Result<&'a Project, Refusal> {
        self.access.projects.get(name).ok_or_else(|| lacking(&Lack::Project(name.to_string())))
    }

    /// The project, if who asks may say who its members and robots are.
    fn manage(&self, name: &ProjectName) -> Result<&'a Project, Refusal> {
        let project = self.project(name)?;
        if self.is_system() {
            return Ok(project);
        }
        let standing =
            standing(self.access, self.by, name.as_str(), self.now).map_err(|lack| lacking(&lack))?;
        if standing == Standing::Member(Role::ProjectAdmin) {
            return Ok(project);
        }
        let text =
            format!("only project admins of {name} say who its members and robots are; {} is none", self.by);
        Err(refused(text, &format!("ask a project admin of {name}")))
    }

    fn robot(&self, project: &ProjectName, name: &UserName) -> Result<&'a Robot, Refusal> {
        self.manage(project)?;
        let none = || Refusal::new(RefusalKind::NotFound, format!("{project} has no robot {name}"));
        self.access.robot(project, name).ok_or_else(none)
    }

    fn add_user(&self, name: UserName, password: String, admin: bool) -> Result<Applied, Refusal> {
        self.need_system("makes users")?;
        if self.access.users.contains_key(&name) {
            let hint = format!("another password: longshore user passwd {name}");
            return Err(refused(format!("{name} is a user already: nothing was changed"), &hint));
        }
        self.put_user(name, Some(password), admin)
    }

    fn put_user(&self, name: UserName, password: Option<String>, admin: bool) -> Result<Applied, Refusal> {
        self.need_system("makes users")?;
        password.as_deref().map_or(Ok(()), hashed)?;
        let word = if admin { "system admin" } else { "user" };
        let (user, sentence) = match (self.access.users.get(&name), password) {
            (None, None) => return Err(lacking(&Lack::User(name.to_string()))),
            (None, Some(password)) => {
                free(&name)?;
                let sentence = format!("made {word} {name}");
                (User { name, password, admin, disabled: false }, sentence)
            }
            (Some(old), password) => {
                let new_password = if password.is_some() { ", with a new password" } else { "" };
                let password = password.unwrap_or_else(|| old.password.clone());
                let user = User { password, admin, ..old.clone() };
                if user == *old {
                    return Applied::new(Vec::new(), format!("{name} is a {word} already"));
                }
                (user, format!("{name} is now a {word}{new_password}"))
            }
        };
        Applied::new(vec![AccessChange::User(user)], sentence)
    }

    fn set_password(&self, name: &UserName, password: String) -> Result<Applied, Refusal> {
        let own = *self.by == Subject::User(name.clone());
        if !own {
            self.need_system("gives others a new password")?;
        }
        hashed(&password)?;
        let user = User { password, ..self.user(name)?.clone() };
        Applied::new(vec![AccessChange::User(user)], format!("gave {name} a new password"))
    }

    fn disable_user(&self, name: &UserName, disabled: bool) -> Result<Applied, Refusal> {
        self.need_system("disables and enables users")?;
        let word = if disabled { "disabled" } else { "enabled" };
        let old = self.user(name)?;
        if old.disabled == disabled {
            return Applied::new(Vec::new(), format!("{name} is {word} already"));
        }
        let user = User { disabled, ..old.clone() };
        Applied::new(vec![AccessChange::User(user)], format!("{word} {name}"))
    }

    fn remove_user(&self, name: &UserName) -> Result<Applied, Refusal> {
        self.need_system("removes users")?;
        self.user(name)?;
        // A later user of the same name must not find memberships.
        let of = self.access.projects.values().filter(|p| p.members.contains_key(name));
        let mut changes: Vec<AccessChange> = of
            .map(|p| {
                let mut project = p.clone();
                project.members.remove(name);
                AccessChange::Project(project)
            })
            .collect();
        let sentence = format!("removed user {name}, a member of {} projects", changes.len());
        changes.push(AccessChange::NoUser(name.clone()));
        Applied::new(changes, sentence)
    }

    fn put_project(&self, name: ProjectName) -> Result<Applied, Refusal> {
        self.need_system("makes projects")?;
        if self.access.projects.contains_key(&name) {
            return Applied::new(Vec::new(), format!("there is a project {name} already"));
        }
        if name.as_str().parse::<Repository>().is_err() {
            let hint = "letters and digits, with a single `.` or `_`, or `-`, between them";
            return Err(refused(format!("no repository's path can begin with {name}"), hint));
        }
        let sentence = format!("made project {name}");
        Applied::new(vec![AccessChange::Project(Project { name, members: Default::default() })], sentence)
    }

    fn remove_project(&self, name: &ProjectName) -> Result<Applied, Refusal> {
        self.need_system("removes projects")?;
        let members = self.project(name)?.members.len();
        let robots = self.access.robots.iter().filter(|r| r.project == *name);
        let mut changes: Vec<AccessChange> =
            robots.map(|r| AccessChange::NoRobot(name.clone(), r.name.clone())).collect();
        let sentence = format!("removed project {name} with {members} members and {} robots", changes.len());
        changes.push(AccessChange::NoProject(name.clone()));
        Applied::new(changes, sentence)
    }

    fn grant(&self, name: &ProjectName, user: &UserName, role: Role) -> Result<Applied, Refusal> {
        let project = self.manage(name)?;
        self.user(user)?;
        let old = project.members.get(user).copied();
        if old == Some(role) {
            return Applied::new(Vec::new(), format!("{user} is {role} of {name} already"));
        }
        if role == Role::ProjectAdmin {
            self.need_system("appoints project admins")?;
        }
        if old == Some(Role::ProjectAdmin) {
            self.may_end_admin(project, user)?;
        }
        let mut project = project.clone();
        project.members.insert(user.clone(), role);
        let before = old.map_or_else(String::new, |old| format!(" (was {old})"));
        Applied::new(
            vec![AccessChange::Project(project)],
            format!("appointed {user} {role} of {name}{before}"),
        )
    }

    fn revoke(&self, name: &ProjectName, user: &UserName) -> Result<Applied, Refusal> {
        let mut project = self.manage(name)?.clone();
        let Some(role) = project.members.get(user).copied() else {
            let text = format!("{user} is not a member of {name}");
            return Err(Refusal::new(RefusalKind::NotFound, text));
        };
        if role == Role::ProjectAdmin {
            self.may_end_admin(&project, user)?;
        }
        project.members.remove(user);
        let sentence = format!("{user} is no longer {role} of {name}");
        Applied::new(vec![AccessChange::Project(project)], sentence)
    }

    /// A project admin may step down, and not take down another; the last one only goes by a system admin's word.
    fn may_end_admin(&self, project: &Project, user: &UserName) -> Result<(), Refusal> {
        if self.is_system() {
            return Ok(());
        }
        let name = &project.name;
        if *self.by != Subject::User(user.clone()) {
            let text = format!("{user} is project admin of {name}; only a system admin changes that");
            return Err(refused(text, "ask a system admin"));
        }
        if project_admins(self.access, project).all(|admin| admin == user) {
            let text = format!("{user} is the last project admin of {name}");
            return Err(refused(text, "a system admin appoints another one first"));
        }
        Ok(())
    }

    fn make_robot(&self, robot: Robot) -> Result<Applied, Refusal> {
        self.manage(&robot.project)?;
        hashed(&robot.secret)?;
        free(&robot.name)?;
        self.in_time(robot.expires)?;
        let who = robot.subject();
        if self.access.robot(&robot.project, &robot.name).is_some() {
            return Err(refused(format!("there is {who} already"), "renew it, or choose another name"));
        }
        let sentence = format!("made {who}, {}, {}", robot.role, lasting(robot.expires));
        Applied::new(vec![AccessChange::Robot(robot)], sentence)
    }

    fn renew_robot(
        &self,
        project: &ProjectName,
        name: &UserName,
        secret: Option<String>,
        expires: Option<Millis>,
    ) -> Result<Applied, Refusal> {
        let old = self.robot(project, name)?;
        secret.as_deref().map_or(Ok(()), hashed)?;
        self.in_time(expires)?;
        let with = if secret.is_some() { ", with a new secret" } else { "" };
        let secret = secret.unwrap_or_else(|| old.secret.clone());
        let sentence = format!("renewed {}, {}{with}", old.subject(), lasting(expires));
        Applied::new(vec![AccessChange::Robot(Robot { secret, expires, ..old.clone() })], sentence)
    }

    fn disable_robot(
        &self,
        project: &ProjectName,
        name: &UserName,
        disabled: bool,
    ) -> Result<Applied, Refusal> {
        let old = self.robot(project, name)?;
        let (who, word) = (old.subject(), if disabled { "disabled" } else { "enabled" });
        if old.disabled == disabled {
            return Applied::new(Vec::new(), format!("{who} is {word} already"));
        }
        Applied::new(vec![AccessChange::Robot(Robot { disabled, ..old.clone() })], format!("{word} {who}"))
    }

    fn in_time(&self, expires: Option<Millis>) -> Result<(), Refusal> {
        match expires {
            Some(at) if at <= self.now => {
                Err(refused("the robot's time would be over at once", "give a time that is still to come"))
            }
            _ => Ok(()),
        }
    }
}

fn lasting(expires: Option<Millis>) -> String {
    expires.map_or_else(|| "for good".to_owned(), |at| format!("until {}", crate::base::stamp::rfc3339(at)))
}

#[cfg(test)]
mod tests;
