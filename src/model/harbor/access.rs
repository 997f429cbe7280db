//! Who may do what in Harbor: its roles beside ours, members, robots, and the single steps that change them.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::base::clock::Millis;
use crate::base::ids::{ProjectName, UserName};
use crate::base::text::{Untrusted, count};
use crate::model::access::{Access, Role};
use crate::model::harbor::Secret;

/// A role in a project of Harbor's. Three of them are ours; the others are shown as what they are and never changed
/// without being told so.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HarborRole {
    /// 1, `projectAdmin`.
    ProjectAdmin,
    /// 2, `developer`.
    Developer,
    /// 3, `guest`.
    Guest,
    /// 4, `maintainer`: a developer who also deletes and scans, and does not say who the members are.
    Maintainer,
    /// 5, `limitedGuest`: a guest who does not see the members.
    LimitedGuest,
    /// A role that somebody has made in Harbor, or a later Harbor has.
    Other {
        /// Its number.
        id: i64,
        /// Its name.
        name: Untrusted,
    },
}

/// Harbor's fixed roles with their numbers (`src/common/const.go`) and names.
const ROLES: [(i64, &str, HarborRole); 5] = [
    (1, "projectAdmin", HarborRole::ProjectAdmin),
    (2, "developer", HarborRole::Developer),
    (3, "guest", HarborRole::Guest),
    (4, "maintainer", HarborRole::Maintainer),
    (5, "limitedGuest", HarborRole::LimitedGuest),
];

impl HarborRole {
    /// From the number and the name that Harbor gives.
    pub fn of(id: i64, name: &str) -> HarborRole {
        let fixed = ROLES.into_iter().find(|(known, ..)| *known == id).map(|(.., role)| role);
        fixed.unwrap_or_else(|| HarborRole::Other { id, name: name.into() })
    }

    /// Harbor's number for it.
    pub fn id(&self) -> i64 {
        match self {
            HarborRole::Other { id, .. } => *id,
            fixed => ROLES.iter().find(|(.., role)| role == fixed).map_or(0, |(id, ..)| *id),
        }
    }

    /// The same role in our own words; none where we have no such word.
    pub fn ours(&self) -> Option<Role> {
        match self {
            HarborRole::ProjectAdmin => Some(Role::ProjectAdmin),
            HarborRole::Developer => Some(Role::Developer),
            HarborRole::Guest => Some(Role::Guest),
            HarborRole::Maintainer | HarborRole::LimitedGuest | HarborRole::Other { .. } => None,
        }
    }
}

impl From<Role> for HarborRole {
    fn from(role: Role) -> HarborRole {
        match role {
            Role::Guest => HarborRole::Guest,
            Role::Developer => HarborRole::Developer,
            Role::ProjectAdmin => HarborRole::ProjectAdmin,
        }
    }
}

impl fmt::Display for HarborRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            HarborRole::Other { id, name } if name.raw().is_empty() => write!(f, "role {id}"),
            HarborRole::Other { id, name } => write!(f, "{} (role {id})", name.safe()),
            fixed => f.pad(ROLES.iter().find(|(.., role)| role == fixed).map_or("", |(_, name, _)| name)),
        }
    }
}

/// What sort of member it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MemberKind {
    /// A person.
    User,
    /// A group of the directory that Harbor asks.
    Group,
    /// Anything else that it says.
    Other(Untrusted),
}

/// A member of a project.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// The number of the membership, not of the person.
    pub id: i64,
    /// Who.
    pub name: Untrusted,
    /// What sort.
    pub kind: MemberKind,
    /// What they may do.
    pub role: HarborRole,
}

/// One right of a robot: a resource and what may be done with it, in Harbor's words.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Right {
    /// `repository`, `artifact`, `tag` …
    pub resource: Untrusted,
    /// `pull`, `push`, `delete` …
    pub action: Untrusted,
}

/// Rights in one project, or in all (`*`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// `project` or `system`.
    pub kind: Untrusted,
    /// The project's name, `*` for all of them.
    pub namespace: Untrusted,
    /// What may be done there.
    pub rights: BTreeSet<Right>,
}

/// A robot account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HarborRobot {
    /// Its number.
    pub id: i64,
    /// What it logs in as: `robot$PROJECT+NAME`, or another prefix where Harbor's administrator chose one.
    pub login: Untrusted,
    /// What it is for.
    pub description: Untrusted,
    /// `project` or `system`.
    pub level: Untrusted,
    /// What it may do.
    pub grants: Vec<Grant>,
    /// The life that was asked for, in days; -1 means for ever.
    pub days: i64,
    /// It cannot log in from then on; none means never.
    pub expires: Option<Millis>,
    /// Cannot log in for now.
    pub disabled: bool,
    /// False for those of old versions, of which only `disabled` can be changed.
    pub editable: bool,
}

impl HarborRobot {
    /// The name within its project: what stands after the `+`, which no name may hold.
    pub fn short(&self) -> Option<&str> {
        self.login.raw().rsplit_once('+').map(|(_, name)| name)
    }

    /// The role that its rights in this project amount to: exactly the rights that we give for it, and none elsewhere.
    pub fn role(&self, project: &ProjectName) -> Option<Role> {
        let [grant] = &self.grants[..] else { return None };
        let here = grant.kind.raw() == "project" && grant.namespace.raw() == project.as_str();
        let all = [Role::Guest, Role::Developer, Role::ProjectAdmin];
        all.into_iter().find(|role| here && grant.rights == rights(*role))
    }
}

/// The rights that a robot needs for a role. Without those beyond pull and push for a project admin's: members are never a
/// robot's business.
pub fn rights(role: Role) -> BTreeSet<Right> {
    const ALL: [(Role, &str, &str); 6] = [
        (Role::Guest, "repository", "pull"),
        (Role::Developer, "repository", "push"),
        (Role::ProjectAdmin, "repository", "delete"),
        (Role::ProjectAdmin, "artifact", "delete"),
        (Role::ProjectAdmin, "tag", "create"),
        (Role::ProjectAdmin, "tag", "delete"),
    ];
    let of = |(_, resource, action): (Role, &str, &str)| Right {
        resource: resource.into(),
        action: action.into(),
    };
    ALL.into_iter().filter(|(least, ..)| role >= *least).map(of).collect()
}

/// What was brought to a Harbor from our own list: what goes here goes there as well. All else there is left alone.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Brought {
    /// Memberships.
    pub members: BTreeSet<(ProjectName, UserName)>,
    /// Robots that we have made there. Not those of others that are called the same.
    pub robots: BTreeSet<(ProjectName, UserName)>,
}

impl Brought {
    /// The same with all memberships that are wanted now.
    #[must_use]
    pub fn and(&self, wanted: &Access) -> Brought {
        let mut next = self.clone();
        next.members.extend(memberships(wanted));
        next
    }

    /// The same with these.
    #[must_use]
    pub fn with(&self, made: &Brought) -> Brought {
        let mut next = self.clone();
        next.members.extend(made.members.iter().cloned());
        next.robots.extend(made.robots.iter().cloned());
        next
    }

    /// Notes what this step has given.
    pub fn note_made(&mut self, step: &AccessStep) {
        match step {
            AccessStep::AddMember { project, user, .. } => {
                self.members.insert((project.clone(), user.clone()));
            }
            AccessStep::AddRobot { project, name, .. } => {
                self.robots.insert((project.clone(), name.clone()));
            }
            _ => {}
        }
    }

    /// What of it is not wanted any more.
    #[must_use]
    pub fn unwanted(&self, wanted: &Access) -> Brought {
        let members: BTreeSet<_> = memberships(wanted).collect();
        let is_gone = |(project, name): &&(ProjectName, UserName)| wanted.robot(project, name).is_none();
        Brought {
            members: self.members.difference(&members).cloned().collect(),
            robots: self.robots.iter().filter(is_gone).cloned().collect(),
        }
    }

    /// The same without these; what is wanted now is kept.
    #[must_use]
    pub fn without(&self, gone: &Brought, wanted: &Access) -> Brought {
        let gone = gone.unwanted(wanted);
        Brought {
            members: self.members.difference(&gone.members).cloned().collect(),
            robots: self.robots.difference(&gone.robots).cloned().collect(),
        }
    }

    /// Notes that what this step takes away is not there any more.
    pub fn note_end(&mut self, step: &AccessStep) {
        match step {
            AccessStep::RemoveMember { project, member } => {
                self.members.extend(member.name.raw().parse().ok().map(|user| (project.clone(), user)));
            }
            AccessStep::RemoveRobot { project, robot } => {
                let short = robot.short().and_then(|short| short.parse().ok());
                self.robots.extend(short.map(|robot| (project.clone(), robot)));
            }
            _ => {}
        }
    }

    /// Whether a member of this name was brought there.
    pub fn has_member(&self, project: &ProjectName, name: &str) -> bool {
        self.members.iter().any(|(at, user)| at == project && user.as_str() == name)
    }

    /// Whether a robot of this name was made there by us.
    pub fn has_robot(&self, project: &ProjectName, name: &str) -> bool {
        self.robots.iter().any(|(at, robot)| at == project && robot.as_str() == name)
    }
}

fn memberships(access: &Access) -> impl Iterator<Item = (ProjectName, UserName)> + '_ {
    let of = |project: &crate::model::access::Project| {
        let name = project.name.clone();
        project.members.keys().map(move |user| (name.clone(), user.clone())).collect::<Vec<_>>()
    };
    access.projects.values().flat_map(of)
}

/// One change, made by one call to Harbor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AccessStep {
    /// Makes a project that nobody reads without a log-in.
    CreateProject(ProjectName),
    /// Ends pulls without a log-in.
    ClosePublic(ProjectName),
    /// Gives a person a role. They must be known to Harbor, or to the directory that it asks.
    AddMember {
        /// Where.
        project: ProjectName,
        /// Who.
        user: UserName,
        /// What they may do.
        role: Role,
    },
    /// Gives a member another role.
    ChangeMember {
        /// Where.
        project: ProjectName,
        /// The membership.
        member: Member,
        /// What they may do from now on.
        role: Role,
    },
    /// Takes a member's role away.
    RemoveMember {
        /// Where.
        project: ProjectName,
        /// The membership.
        member: Member,
    },
    /// Makes a robot; Harbor makes its secret and tells it once.
    AddRobot {
        /// Where.
        project: ProjectName,
        /// Its name within the project.
        name: UserName,
        /// What it may do.
        role: Role,
        /// Its life in days; none means for ever. Never 0, by which Harbor means its own default.
        days: Option<u32>,
    },
    /// Changes what a robot may do, and whether it can log in. Its secret and its life stay.
    ChangeRobot {
        /// Where.
        project: ProjectName,
        /// The robot as it is.
        robot: HarborRobot,
        /// What it may do from now on; none leaves that.
        role: Option<Role>,
        /// It cannot log in from now on.
        disabled: bool,
    },
    /// Ends a robot for good.
    RemoveRobot {
        /// Where.
        project: ProjectName,
        /// Which.
        robot: HarborRobot,
    },
}

impl AccessStep {
    /// Whether somebody can do less after it. Those come first: nothing that is added may keep them from being made.
    pub fn takes_away(&self) -> bool {
        match self {
            AccessStep::RemoveMember { .. } | AccessStep::RemoveRobot { .. } | AccessStep::ClosePublic(_) => {
                true
            }
            AccessStep::ChangeMember { member, role, .. } => match member.role {
                HarborRole::ProjectAdmin | HarborRole::Maintainer => *role < Role::ProjectAdmin,
                HarborRole::Developer => *role < Role::Developer,
                HarborRole::Guest | HarborRole::LimitedGuest => false,
                // Nobody here knows what it may do: it may be anything.
                HarborRole::Other { .. } => true,
            },
            AccessStep::ChangeRobot { disabled: true, .. } => true,
            AccessStep::ChangeRobot { project, robot, role: Some(role), .. } if !robot.disabled => {
                let wanted = rights(*role);
                let here = |g: &&Grant| g.kind.raw() == "project" && g.namespace.raw() == project.as_str();
                robot.grants.iter().find(here).is_some_and(|grant| grant.rights.is_superset(&wanted))
            }
            AccessStep::ChangeRobot { .. }
            | AccessStep::CreateProject(_)
            | AccessStep::AddMember { .. }
            | AccessStep::AddRobot { .. } => false,
        }
    }

    /// Whether somebody has to ask for it: Harbor makes a new robot's secret and tells it once; and a robot that somebody has
    /// shut out there, or that is not of our making, gets no more by itself.
    pub fn waits(&self, brought: &Brought) -> bool {
        match self {
            AccessStep::AddRobot { .. } => true,
            AccessStep::ChangeRobot { project, robot, disabled, .. } if !self.takes_away() => {
                let ours = robot.short().is_some_and(|short| brought.has_robot(project, short));
                !ours || (robot.disabled && !disabled)
            }
            _ => false,
        }
    }
}

impl fmt::Display for AccessStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AccessStep::CreateProject(project) => write!(f, "make project {project}"),
            AccessStep::ClosePublic(project) => write!(f, "end pulls without a log-in from {project}"),
            AccessStep::AddMember { project, user, role } => {
                write!(f, "{project}: {user} becomes {}", HarborRole::from(*role))
            }
            AccessStep::ChangeMember { project, member, role } => {
                let (name, old) = (&member.name, &member.role);
                write!(f, "{project}: {name} becomes {}, was {old}", HarborRole::from(*role))
            }
            AccessStep::RemoveMember { project, member } => {
                write!(f, "{project}: {} is no longer {}", member.name, member.role)
            }
            AccessStep::AddRobot { project, name, role, days } => {
                write!(f, "{project}: make robot {name} as {}", HarborRole::from(*role))?;
                match days {
                    Some(days) => write!(f, ", for {}", count(u64::from(*days), "day")),
                    None => f.write_str(", for ever"),
                }
            }
            AccessStep::ChangeRobot { project, robot, role, disabled } => {
                write!(f, "{project}: robot {}", robot.login)?;
                if let Some(role) = role {
                    write!(f, " becomes {}", HarborRole::from(*role))?;
                }
                f.write_str(if *disabled { ", cannot log in" } else { ", can log in" })
            }
            AccessStep::RemoveRobot { project, robot } => write!(f, "{project}: end robot {}", robot.login),
        }
    }
}

/// What came of a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Applied {
    /// It is so now.
    Done,
    /// It was so already.
    Already,
    /// A robot was made: the only time that its secret is seen.
    Robot {
        /// What it logs in as.
        login: Untrusted,
        /// Its password.
        secret: Secret,
        /// It cannot log in from then on.
        expires: Option<Millis>,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_keep_their_numbers_and_their_words() {
        for id in 1..=5 {
            assert_eq!(HarborRole::of(id, "whatever").id(), id);
        }
        assert_eq!(HarborRole::of(2, "").ours(), Some(Role::Developer));
        for (id, name, shown) in [
            (4, "maintainer", "maintainer"),
            (5, "", "limitedGuest"),
            (9, "auditor\n", r"auditor\n (role 9)"),
            (0, "", "role 0"),
        ] {
            let role = HarborRole::of(id, name);
            assert_eq!((role.ours(), role.id(), role.to_string().as_str()), (None, id, shown));
        }
        for ours in [Role::Guest, Role::Developer, Role::ProjectAdmin] {
            assert_eq!(HarborRole::from(ours).ours(), Some(ours));
        }
    }

    #[test]
    fn what_takes_away_is_told_from_what_gives() {
        let project = ProjectName::new("feed").unwrap();
        let member = |role, to| AccessStep::ChangeMember {
            project: project.clone(),
            member: Member { id: 1, name: "a".into(), kind: MemberKind::User, role },
            role: to,
        };
        for (from, to, less) in [
            (HarborRole::ProjectAdmin, Role::Developer, true),
            (HarborRole::Maintainer, Role::Developer, true),
            (HarborRole::Developer, Role::Guest, true),
            (HarborRole::Other { id: 9, name: "x".into() }, Role::Guest, true),
            (HarborRole::Maintainer, Role::ProjectAdmin, false),
            (HarborRole::Guest, Role::Developer, false),
            (HarborRole::LimitedGuest, Role::Guest, false),
        ] {
            assert_eq!(member(from.clone(), to).takes_away(), less, "{from} to {to}");
        }
        let robot = |from: Role, was_disabled, role, disabled| AccessStep::ChangeRobot {
            project: project.clone(),
            robot: HarborRobot {
                id: 1,
                login: "robot$feed+ci".into(),
                description: "".into(),
                level: "project".into(),
                grants: vec![Grant {
                    kind: "project".into(),
                    namespace: "feed".into(),
                    rights: rights(from),
                }],
                days: -1,
                expires: None,
                disabled: was_disabled,
                editable: true,
            },
            role,
            disabled,
        };
        let mut made = Brought::default();
        made.robots.insert((project.clone(), "ci".parse().unwrap()));
        let none = Brought::default();
        let less = robot(Role::Developer, false, Some(Role::Guest), false);
        assert!(!less.waits(&none) && !robot(Role::Guest, false, None, true).waits(&none));
        let more = robot(Role::Guest, false, Some(Role::Developer), false);
        assert!(more.waits(&none) && !more.waits(&made), "only a robot of ours gets more by itself");
        let enabled = robot(Role::Guest, true, None, false);
        assert!(enabled.waits(&none) && enabled.waits(&made), "whoever shut it out meant that");
        assert!(robot(Role::Guest, false, None, true).takes_away());
        assert!(robot(Role::Developer, false, Some(Role::Guest), false).takes_away());
        assert!(!robot(Role::Guest, false, Some(Role::Developer), false).takes_away());
        assert!(!robot(Role::Guest, true, None, false).takes_away(), "it can log in again");
        assert!(!robot(Role::Developer, true, Some(Role::Guest), false).takes_away(), "it can log in again");
    }

    #[test]
    fn a_robots_role_is_told_only_when_its_rights_are_exactly_those() {
        let project = ProjectName::new("feed").unwrap();
        let grant = |kind: &str, namespace: &str, rights| Grant {
            kind: kind.into(),
            namespace: namespace.into(),
            rights,
        };
        let robot = |grants| HarborRobot {
            id: 1,
            login: "robot$feed+ci".into(),
            description: "".into(),
            level: "project".into(),
            grants,
            days: -1,
            expires: None,
            disabled: false,
            editable: true,
        };
        for role in [Role::Guest, Role::Developer, Role::ProjectAdmin] {
            assert_eq!(robot(vec![grant("project", "feed", rights(role))]).role(&project), Some(role));
        }
        let mut more = rights(Role::Guest);
        more.insert(Right { resource: "robot".into(), action: "create".into() });
        for odd in [
            vec![],
            vec![grant("project", "feed", more)],
            vec![grant("project", "*", rights(Role::Guest))],
            vec![grant("system", "feed", rights(Role::Guest))],
            vec![grant("project", "feed", rights(Role::Guest)), grant("project", "pay", rights(Role::Guest))],
        ] {
            assert_eq!(robot(odd.clone()).role(&project), None, "{odd:?}");
        }
        assert_eq!(robot(vec![]).short(), Some("ci"));
    }
}
