//! Users, projects, members and robots as they are shown: without any hash, so that it may go to whoever may look.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::base::clock::Millis;
use crate::base::ids::{ProjectName, UserName};
use crate::model::access::{Access, Project, Role, Subject};

/// A robot whose time ends within this is named before it does: somebody has to put a new one into a pipeline.
pub const SOON_MS: u64 = 14 * 86_400_000;

/// Who may do what, and how the token service stands.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct AccessView {
    /// People by name.
    pub users: BTreeMap<UserName, UserView>,
    /// Projects by name, with their members.
    pub projects: BTreeMap<ProjectName, Project>,
    /// Robots, by project and name.
    pub robots: Vec<RobotView>,
    /// The service that gives out tokens; none when it is not configured.
    pub service: Option<ServiceView>,
}

/// A person who can log in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserView {
    /// May do everything everywhere.
    pub admin: bool,
    /// Cannot log in for now.
    pub disabled: bool,
}

/// A program that can log in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RobotView {
    /// Where.
    pub project: ProjectName,
    /// Its name there.
    pub name: UserName,
    /// What it may do there.
    pub role: Role,
    /// It cannot log in from then on; none means never.
    pub expires: Option<Millis>,
    /// Cannot log in for now.
    pub disabled: bool,
}

/// The service that gives out tokens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceView {
    /// Where registries' clients reach it.
    pub url: String,
    /// It answers.
    pub open: bool,
    /// Why not.
    pub trouble: Option<String>,
    /// What it has done since it was opened.
    #[serde(default)]
    pub counts: ServiceCounts,
}

/// What the token service has done since it was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ServiceCounts {
    /// Tokens that were given out.
    pub tokens: u64,
    /// Rights that were asked for and refused.
    pub denied: u64,
    /// Log-ins with a wrong name or secret.
    pub failed: u64,
    /// Log-ins that were not even looked at.
    pub throttled: u64,
}

/// How a robot stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum RobotState {
    /// Its time is over.
    Expired,
    /// Its time ends soon.
    Expiring,
    /// Somebody keeps it from logging in.
    Disabled,
    /// It can log in.
    Active,
}

impl RobotState {
    /// The state as it is shown.
    pub fn word(self) -> &'static str {
        match self {
            RobotState::Expired => "expired",
            RobotState::Expiring => "expires soon",
            RobotState::Disabled => "disabled",
            RobotState::Active => "active",
        }
    }
}

impl RobotView {
    /// It as one that logs in.
    pub fn subject(&self) -> Subject {
        Subject::Robot(self.project.clone(), self.name.clone())
    }

    /// How it stands now.
    pub fn state(&self, now: Millis) -> RobotState {
        match self.expires {
            Some(at) if at <= now => RobotState::Expired,
            _ if self.disabled => RobotState::Disabled,
            Some(at) if at <= now.plus(SOON_MS) => RobotState::Expiring,
            _ => RobotState::Active,
        }
    }
}

impl AccessView {
    /// What is kept, without what nobody needs to see.
    pub fn of(access: &Access, service: Option<ServiceView>) -> AccessView {
        let users = access.users.values().map(|u| {
            let view = UserView { admin: u.admin, disabled: u.disabled };
            (u.name.clone(), view)
        });
        let mut robots: Vec<RobotView> = access
            .robots
            .iter()
            .map(|r| RobotView {
                project: r.project.clone(),
                name: r.name.clone(),
                role: r.role,
                expires: r.expires,
                disabled: r.disabled,
            })
            .collect();
        robots.sort_by(|a, b| (&a.project, &a.name).cmp(&(&b.project, &b.name)));
        AccessView { users: users.collect(), projects: access.projects.clone(), robots, service }
    }

    /// The projects of somebody, with their role in each.
    pub fn roles_of<'a>(&'a self, user: &'a UserName) -> impl Iterator<Item = (&'a ProjectName, Role)> {
        self.projects.values().filter_map(move |p| p.members.get(user).map(|role| (&p.name, *role)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::access::{Robot, User};

    #[test]
    fn what_is_shown_holds_no_hash_and_a_robot_says_how_it_stands() {
        let mut access = Access::default();
        let hash = "$argon2id$secret".to_owned();
        let name: UserName = "ada".parse().unwrap();
        let user = User { name: name.clone(), password: hash.clone(), admin: true, disabled: false };
        access.users.insert(name, user);
        let robot = |name: &str, expires: Option<i64>, disabled| Robot {
            name: name.parse().unwrap(),
            project: "feed".parse().unwrap(),
            role: Role::Guest,
            secret: hash.clone(),
            expires: expires.map(Millis),
            disabled,
        };
        let day = 86_400_000;
        access.robots = vec![
            robot("d", Some(30 * day), true),
            robot("c", Some(15 * day), false),
            robot("b", Some(14 * day), false),
            robot("a", Some(0), true),
        ];
        let view = AccessView::of(&access, None);
        assert!(!serde_json::to_string(&view).unwrap().contains("argon"), "{view:?}");
        let states: Vec<&str> = view.robots.iter().map(|r| r.state(Millis(0)).word()).collect();
        assert_eq!(states, ["expired", "expires soon", "active", "disabled"]);
    }
}
