//! Who may do what in which project of the registries: users, robots, projects and roles.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::base::clock::Millis;
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
