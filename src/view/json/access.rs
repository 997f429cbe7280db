//! The records of `--json` about users, projects, members and robots. No hash is in any of them.

use serde::Serialize;

use crate::base::clock::Millis;
use crate::base::stamp::rfc3339;
use crate::model::access::view::{AccessView, RobotView};
use crate::model::access::{Project, Role};
use crate::view::access::standing;

/// Where somebody is a member.
#[derive(Clone, Debug, Serialize)]
#[expect(missing_docs, reason = "docs/json.md says what each field means, in one place")]
pub struct Membership {
    pub project: String,
    pub role: Role,
}

/// A user.
#[derive(Clone, Debug, Serialize)]
#[expect(missing_docs, reason = "docs/json.md says what each field means, in one place")]
pub struct UserRecord {
    pub user: String,
    pub state: &'static str,
    pub admin: bool,
    pub projects: Vec<Membership>,
}

impl UserRecord {
    /// All users by name.
    pub fn all(access: &AccessView) -> Vec<UserRecord> {
        let of = |(project, role): (&crate::base::ids::ProjectName, Role)| Membership {
            project: project.to_string(),
            role,
        };
        let users = access.users.iter().map(|(name, user)| UserRecord {
            user: name.to_string(),
            state: standing(Some(user)),
            admin: user.admin,
            projects: access.roles_of(name).map(of).collect(),
        });
        users.collect()
    }
}

/// A member of a project, or a robot of it.
#[derive(Clone, Debug, Serialize)]
#[expect(missing_docs, reason = "docs/json.md says what each field means, in one place")]
pub struct MemberRecord {
    pub member: String,
    pub robot: bool,
    pub role: Role,
    pub state: &'static str,
    pub expires: Option<String>,
    pub expires_ms: Option<i64>,
}

impl MemberRecord {
    /// The members of a project, then its robots.
    pub fn all(access: &AccessView, project: &Project, now: Millis) -> Vec<MemberRecord> {
        let users = project.members.iter().map(|(name, role)| MemberRecord {
            member: name.to_string(),
            robot: false,
            role: *role,
            state: standing(access.users.get(name)),
            expires: None,
            expires_ms: None,
        });
        let robots = access.robots.iter().filter(|r| r.project == project.name).map(|r| MemberRecord {
            member: r.subject().to_string(),
            robot: true,
            role: r.role,
            state: r.state(now).word(),
            expires: r.expires.map(rfc3339),
            expires_ms: r.expires.map(|at| at.0),
        });
        users.chain(robots).collect()
    }
}

/// A project.
#[derive(Clone, Debug, Serialize)]
#[expect(missing_docs, reason = "docs/json.md says what each field means, in one place")]
pub struct ProjectRecord {
    pub project: String,
    pub members: std::collections::BTreeMap<String, Role>,
    pub robots: usize,
}

impl ProjectRecord {
    /// All projects by name.
    pub fn all(access: &AccessView) -> Vec<ProjectRecord> {
        let projects = access.projects.values().map(|project| ProjectRecord {
            project: project.name.to_string(),
            members: project.members.iter().map(|(name, role)| (name.to_string(), *role)).collect(),
            robots: access.robots.iter().filter(|r| r.project == project.name).count(),
        });
        projects.collect()
    }
}

/// A robot.
#[derive(Clone, Debug, Serialize)]
#[expect(missing_docs, reason = "docs/json.md says what each field means, in one place")]
pub struct RobotRecord {
    pub robot: String,
    pub project: String,
    pub name: String,
    pub role: Role,
    pub state: &'static str,
    pub expires: Option<String>,
    pub expires_ms: Option<i64>,
}

impl RobotRecord {
    /// The record of a robot.
    pub fn of(robot: &RobotView, now: Millis) -> RobotRecord {
        RobotRecord {
            robot: robot.subject().to_string(),
            project: robot.project.to_string(),
            name: robot.name.to_string(),
            role: robot.role,
            state: robot.state(now).word(),
            expires: robot.expires.map(rfc3339),
            expires_ms: robot.expires.map(|at| at.0),
        }
    }
}
