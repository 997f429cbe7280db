//! Who may do what in which project of the registries: users, robots, projects and roles.

pub mod command;
pub mod scope;
pub mod view;

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::base::clock::Millis;
use crate::base::fault::{Fault, Kind};
use crate::base::ids::{ProjectName, UserName};

/// What a member of a project may do there. A newcomer needs two things: to be a user, and to be a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Reads.
    Guest,
    /// Reads and writes.
    Developer,
    /// Reads, writes, deletes, and says who the members are.
    ProjectAdmin,
}

impl Role {
    /// The role as it is shown.
    pub fn word(self) -> &'static str {
        match self {
            Role::Guest => "guest",
            Role::Developer => "developer",
            Role::ProjectAdmin => "project admin",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

/// Who asks. What they may do is looked up each time: it may have changed since they logged in.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Subject {
    /// A person who runs longshore on the engine's machine, by the name that the kernel gives. Counts as a system admin:
    /// who can do that can read the state directory as well.
    Operator(String),
    /// A person who logged in.
    User(UserName),
    /// A program that logged in: project and name.
    Robot(ProjectName, UserName),
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Subject::Operator(name) => f.pad(name),
            Subject::User(name) => f.pad(name.as_str()),
            Subject::Robot(project, name) => f.pad(&format!("{ROBOT}{project}+{name}")),
        }
    }
}

/// In whose name registries see the engine's own calls: the subject of the tokens that it gives itself.
pub const ENGINE: &str = "longshore-engine";

/// How the log-in name of every robot begins (Harbor's form: `robot$PROJECT+NAME`).
pub const ROBOT: &str = "robot$";

impl FromStr for Subject {
    type Err = Fault;

    /// Reads a log-in name: a user's, or a robot's.
    fn from_str(login: &str) -> Result<Subject, Fault> {
        let Some(robot) = login.strip_prefix(ROBOT) else {
            return Ok(Subject::User(login.parse()?));
        };
        let (project, name) = robot.split_once('+').ok_or_else(|| {
            Fault::new(Kind::Invalid, format!("{login:?} does not name a robot"))
                .hint("robots log in as robot$PROJECT+NAME")
        })?;
        Ok(Subject::Robot(project.parse()?, name.parse()?))
    }
}

/// A project: the first part of the paths of its repositories. Nobody reads it without a log-in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Project {
    /// Its name.
    pub name: ProjectName,
    /// Who may do what.
    #[serde(default)]
    pub members: BTreeMap<UserName, Role>,
}

/// A person who can log in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// Their name.
    pub name: UserName,
    /// The password's hash in the PHC string format; never the password.
    pub password: String,
    /// May do everything everywhere.
    #[serde(default)]
    pub admin: bool,
    /// Cannot log in for now.
    #[serde(default)]
    pub disabled: bool,
}

/// A program that can log in to one project, for a time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Robot {
    /// Its name, unique in its project. It logs in as `robot$PROJECT+NAME`, as Harbor's do.
    pub name: UserName,
    /// Where.
    pub project: ProjectName,
    /// What it may do there; never who the members are.
    pub role: Role,
    /// The secret's hash in the PHC string format.
    pub secret: String,
    /// It cannot log in from then on; none means never.
    pub expires: Option<Millis>,
    /// Cannot log in for now.
    #[serde(default)]
    pub disabled: bool,
}

/// All of it, as it is kept.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Access {
    /// People by name.
    pub users: BTreeMap<UserName, User>,
    /// Projects by name.
    pub projects: BTreeMap<ProjectName, Project>,
    /// Robots by project and name.
    pub robots: Vec<Robot>,
}

impl Robot {
    /// It as one that asks.
    pub fn subject(&self) -> Subject {
        Subject::Robot(self.project.clone(), self.name.clone())
    }

    /// True from the moment on at which its time is over.
    pub fn is_expired(&self, now: Millis) -> bool {
        self.expires.is_some_and(|at| at <= now)
    }
}

impl Access {
    /// A robot by project and name.
    pub fn robot(&self, project: &ProjectName, name: &UserName) -> Option<&Robot> {
        self.robots.iter().find(|r| r.project == *project && r.name == *name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn log_in_names_are_read_as_they_are_written() {
        for login in ["alice", "robot$feed+ci", "robot"] {
            assert_eq!(login.parse::<Subject>().unwrap().to_string(), login);
        }
        assert!(matches!("robot$feed+ci".parse(), Ok(Subject::Robot(..))));
        for bad in
            ["", "robot$feed", "robot$+ci", "robot$feed+", "robot$feed+ci+x", "Alice", "a:b", "a\u{202e}"]
        {
            assert!(bad.parse::<Subject>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_robot_expires_at_its_time_and_one_without_never() {
        let robot = |expires| Robot {
            name: "ci".parse().unwrap(),
            project: "feed".parse().unwrap(),
            role: Role::Guest,
            secret: String::new(),
            expires,
            disabled: false,
        };
        let at = robot(Some(Millis(1000)));
        assert!(!at.is_expired(Millis(999)) && at.is_expired(Millis(1000)));
        assert!(!robot(None).is_expired(Millis(i64::MAX)));
    }
}
