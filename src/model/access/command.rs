//! What can be asked of users, projects, members and robots, and the changes that come of it.

use serde::{Deserialize, Serialize};

use crate::base::clock::Millis;
use crate::base::ids::{ProjectName, UserName};
use crate::model::access::{Access, Project, Robot, Role, User};

/// In the place of a robot's secret's hash, in what is sent to a token service: that draws the secret itself, and tells it once.
pub const DRAW: &str = "";

/// One request about access. Passwords and secrets are here only as hashes in the PHC string format: who takes the request
/// from a person hashes them first. A robot's secret is always drawn, never chosen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AccessCommand {
    /// Makes a user; one that is there already stays as they are, and the request is refused.
    AddUser {
        /// Who.
        name: UserName,
        /// The password's hash.
        password: String,
        /// A system admin.
        admin: bool,
    },
    /// Makes a user, or says whether an existing one is a system admin.
    PutUser {
        /// Who.
        name: UserName,
        /// The password's hash: needed for a new user; of an existing one none leaves it.
        password: Option<String>,
        /// A system admin.
        admin: bool,
    },
    /// Gives a user another password; users may do that for themselves.
    SetPassword {
        /// Whose.
        name: UserName,
        /// The new password's hash.
        password: String,
    },
    /// Keeps a user from logging in, or lets them again.
    DisableUser {
        /// Who.
        name: UserName,
        /// True: no log-in.
        disabled: bool,
    },
    /// Removes a user and all their memberships.
    RemoveUser {
        /// Who.
        name: UserName,
    },
    /// Makes a project; one that is there stays as it is.
    PutProject {
        /// Its name: the first part of its repositories' paths.
        name: ProjectName,
    },
    /// Removes a project, its memberships and robots. Its images stay in the registries.
    RemoveProject {
        /// Which.
        name: ProjectName,
    },
    /// Makes a user a member of a project, or changes a member's role.
    Grant {
        /// Where.
        project: ProjectName,
        /// Whom.
        user: UserName,
        /// To be what.
        role: Role,
    },
    /// Ends a membership.
    Revoke {
        /// Where.
        project: ProjectName,
        /// Whose.
        user: UserName,
    },
    /// Makes a robot.
    MakeRobot {
        /// Where.
        project: ProjectName,
        /// Its name there.
        name: UserName,
        /// What it may do there.
        role: Role,
        /// Its secret's hash.
        secret: String,
        /// When its time ends; none means never.
        expires: Option<Millis>,
    },
    /// Gives a robot more time, and a new secret if there is one here.
    RenewRobot {
        /// Where.
        project: ProjectName,
        /// Which.
        name: UserName,
        /// The new secret's hash; none leaves the old secret.
        secret: Option<String>,
        /// When its time ends; none means never.
        expires: Option<Millis>,
    },
    /// Keeps a robot from logging in, or lets it again.
    DisableRobot {
        /// Where.
        project: ProjectName,
        /// Which.
        name: UserName,
        /// True: no log-in.
        disabled: bool,
    },
    /// Removes a robot.
    RemoveRobot {
        /// Where.
        project: ProjectName,
        /// Which.
        name: UserName,
    },
}

impl AccessCommand {
    /// Where the hash of a robot's new secret stands; none when the request gives no robot a new secret.
    pub fn robot_hash(&mut self) -> Option<&mut String> {
        match self {
            AccessCommand::MakeRobot { secret, .. } => Some(secret),
            AccessCommand::RenewRobot { secret, .. } => secret.as_mut(),
            _ => None,
        }
    }

    /// The hash of a password that a person has chosen, if there is one in it.
    pub fn password_hash(&self) -> Option<&str> {
        match self {
            AccessCommand::AddUser { password, .. } | AccessCommand::SetPassword { password, .. } => {
                Some(password)
            }
            AccessCommand::PutUser { password, .. } => password.as_deref(),
            _ => None,
        }
    }
}

/// One change of [`Access`]: a whole row that is to be kept, or the key of one that goes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AccessChange {
    /// This user is new or other than before.
    User(User),
    /// No such user any more.
    NoUser(UserName),
    /// This project is new or other than before.
    Project(Project),
    /// No such project any more.
    NoProject(ProjectName),
    /// This robot is new or other than before.
    Robot(Robot),
    /// No such robot any more: project and name.
    NoRobot(ProjectName, UserName),
}

impl Access {
    /// Makes one change.
    pub fn change(&mut self, change: AccessChange) {
        match change {
            AccessChange::User(user) => drop(self.users.insert(user.name.clone(), user)),
            AccessChange::NoUser(name) => drop(self.users.remove(&name)),
            AccessChange::Project(project) => drop(self.projects.insert(project.name.clone(), project)),
            AccessChange::NoProject(name) => drop(self.projects.remove(&name)),
            AccessChange::Robot(robot) => {
                let same = |r: &Robot| r.project == robot.project && r.name == robot.name;
                match self.robots.iter_mut().find(|r| same(r)) {
                    Some(place) => *place = robot,
                    None => self.robots.push(robot),
                }
            }
            AccessChange::NoRobot(project, name) => {
                self.robots.retain(|r| r.project != project || r.name != name);
            }
        }
    }
}
