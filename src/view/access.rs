//! Users, projects, members and robots as tables, for people.

use crate::base::clock::Millis;
use crate::base::stamp::rfc3339;
use crate::base::text::{age, count};
use crate::model::access::view::{AccessView, RobotState, RobotView, UserView};
use crate::model::access::{Project, Role};
use crate::view::table::{Side, Table};
use crate::view::units::Grade;

/// How a user stands, in a word.
pub fn standing(user: Option<&UserView>) -> &'static str {
    match user {
        None => "no user",
        Some(user) if user.disabled => RobotState::Disabled.word(),
        Some(_) => RobotState::Active.word(),
    }
}

/// How many users, projects and robots there are, and what is the matter with them.
pub fn users(access: &AccessView) -> Table {
    use Side::{Cut, Left};
    let mut table = Table::new(&[("USER", Left), ("STATE", Left), ("MEMBER OF", Cut)]);
    for (name, user) in &access.users {
        let roles: Vec<String> =
            access.roles_of(name).map(|(project, role)| format!("{project} ({role})")).collect();
        let of = match (user.admin, roles.is_empty()) {
            (true, true) => "everything (system admin)".to_owned(),
            (true, false) => format!("everything (system admin), {}", roles.join(", ")),
            (false, true) => "-".to_owned(),
            (false, false) => roles.join(", "),
        };
        table.row([name.as_str(), standing(Some(user)), &of]);
    }
    table
}

/// Projects, with how many have which role.
pub fn projects(access: &AccessView) -> Table {
    use Side::{Cut, Left, Right};
    let heads =
        [("PROJECT", Left), ("ADMINS", Cut), ("DEVELOPERS", Right), ("GUESTS", Right), ("ROBOTS", Right)];
    let mut table = Table::new(&heads);
    for project in access.projects.values() {
        let of = |role: Role| project.members.values().filter(|r| **r == role).count().to_string();
        let admins: Vec<&str> = project
            .members
            .iter()
            .filter(|(_, role)| **role == Role::ProjectAdmin)
            .map(|(name, _)| name.as_str())
            .collect();
        let admins = if admins.is_empty() { "-".to_owned() } else { admins.join(", ") };
        let robots = access.robots.iter().filter(|r| r.project == project.name).count().to_string();
        table.row([project.name.to_string(), admins, of(Role::Developer), of(Role::Guest), robots]);
    }
    table
}

/// The members and robots of a project, those with most rights first.
pub fn members(access: &AccessView, project: &Project, now: Millis) -> Table {
    use Side::{Cut, Left};
    let mut table = Table::new(&[("MEMBER", Cut), ("ROLE", Left), ("STATE", Left), ("UNTIL", Left)]);
    let mut all: Vec<_> = project.members.iter().collect();
    all.sort_by_key(|(name, role)| (std::cmp::Reverse(**role), *name));
    for (name, role) in all {
        table.row([name.as_str(), role.word(), standing(access.users.get(name)), "-"]);
    }
    for robot in problems_first(access, now).into_iter().filter(|r| r.project == project.name) {
        let who = robot.subject().to_string();
        table.row([who.as_str(), robot.role.word(), robot.state(now).word(), &until(robot, now)]);
    }
    table
}

/// Robots: those whose time is over, then those whose time ends soon, then the others by name.
pub fn problems_first(access: &AccessView, now: Millis) -> Vec<&RobotView> {
    let mut robots: Vec<&RobotView> = access.robots.iter().collect();
    robots.sort_by_key(|r| {
        let state = r.state(now);
        let end = (state == RobotState::Expiring).then_some(r.expires).flatten();
        (state, end, &r.project, &r.name)
    });
    robots
}

/// Robots with the end of their time.
pub fn robots(robots: &[&RobotView], now: Millis) -> Table {
    use Side::{Cut, Left};
    let mut table = Table::new(&[("ROBOT", Cut), ("ROLE", Left), ("STATE", Left), ("UNTIL", Left)]);
    for robot in robots {
        let who = robot.subject().to_string();
        table.row([who.as_str(), robot.role.word(), robot.state(now).word(), &until(robot, now)]);
    }
    table
}

/// When a robot's time ends: the day, and how far away that is.
pub fn until(robot: &RobotView, now: Millis) -> String {
    let Some(at) = robot.expires else { return "for good".to_owned() };
    let stamp = rfc3339(at);
    let day = stamp.get(..10).unwrap_or(&stamp);
    match at <= now {
        true => format!("{day} ({} ago)", age(now.since(at))),
        false => format!("{day} (in {})", age(at.since(now))),
    }
}

/// One row of the access view.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessRow {
    /// `project`, `robot` or `user`.
    pub sort: &'static str,
    /// Its name.
    pub name: String,
    /// How it stands.
    pub grade: Grade,
    /// The same in words.
    pub state: String,
    /// A robot's role; empty for others.
    pub role: String,
    /// When a robot's time ends; empty for others.
    pub until: String,
    /// Sentences beneath it: who is a member.
    pub notes: Vec<String>,
    /// The command that changes it.
    pub command: String,
}

/// What needs somebody, then projects with their members, robots, and users who are members of nothing.
pub fn rows(access: &AccessView, now: Millis) -> Vec<AccessRow> {
    let projects = access.projects.values().map(|project| project_row(access, project));
    let robots = problems_first(access, now).into_iter().map(|robot| robot_row(robot, now));
    let lonely =
        access.users.iter().filter(|(name, user)| !user.admin && access.roles_of(name).next().is_none());
    let users = lonely.map(|(name, user)| AccessRow {
        sort: "user",
        name: name.to_string(),
        grade: if user.disabled { Grade::Off } else { Grade::Ok },
        state: standing(Some(user)).to_owned(),
        role: String::new(),
        until: String::new(),
        notes: vec!["a member of nothing".to_owned()],
        command: format!("longshore project grant PROJECT {name} ROLE"),
    });
    let mut all: Vec<AccessRow> = projects.chain(robots).chain(users).collect();
    all.sort_by_key(|row| std::cmp::Reverse(row.grade.is_problem()));
    all
}

fn project_row(access: &AccessView, project: &Project) -> AccessRow {
    let name = &project.name;
    let of = |role: Role, noun: &str| {
        let members = project.members.iter().filter(|(_, r)| **r == role);
        let names: Vec<String> = members
            .map(|(name, _)| match standing(access.users.get(name)) {
                "active" => name.to_string(),
                other => format!("{name} ({other})"),
            })
            .collect();
        (!names.is_empty()).then(|| format!("{noun}: {}", names.join(", ")))
    };
    let notes = [(Role::ProjectAdmin, "admins"), (Role::Developer, "developers"), (Role::Guest, "guests")];
    let members = project.members.len();
    AccessRow {
        sort: "project",
        name: name.to_string(),
        grade: if members == 0 { Grade::Warn } else { Grade::Ok },
        state: if members == 0 { "no members".to_owned() } else { count(members as u64, "member") },
        role: String::new(),
        until: String::new(),
        notes: notes.into_iter().filter_map(|(role, noun)| of(role, noun)).collect(),
        command: format!("longshore project grant {name} USER ROLE"),
    }
}

fn robot_row(robot: &RobotView, now: Millis) -> AccessRow {
    let state = robot.state(now);
    let (project, name) = (&robot.project, &robot.name);
    AccessRow {
        sort: "robot",
        name: robot.subject().to_string(),
        grade: match state {
            RobotState::Expired => Grade::Bad,
            RobotState::Expiring => Grade::Warn,
            RobotState::Disabled => Grade::Off,
            RobotState::Active => Grade::Ok,
        },
        state: state.word().to_owned(),
        role: robot.role.word().to_owned(),
        until: until(robot, now),
        notes: Vec::new(),
        command: format!("longshore robot renew {project}/{name}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 86_400_000;

    fn access() -> AccessView {
        let robot = |name: &str, days: Option<i64>| RobotView {
            project: "feed".parse().unwrap(),
            name: name.parse().unwrap(),
            role: Role::Developer,
            expires: days.map(|d| Millis(d * DAY)),
            disabled: false,
        };
        let user = |admin, disabled| UserView { admin, disabled };
        let names: [crate::base::ids::UserName; 3] = ["ada", "bob", "root"].map(|n| n.parse().unwrap());
        let [ada, bob, root] = names;
        let members = [(ada.clone(), Role::ProjectAdmin), (bob.clone(), Role::Guest)].into();
        let feed = Project { name: "feed".parse().unwrap(), members };
        AccessView {
            users: [(ada, user(false, false)), (bob, user(false, true)), (root, user(true, false))].into(),
            projects: [(feed.name.clone(), feed)].into(),
            robots: vec![
                robot("a", None),
                robot("b", Some(105)),
                robot("c", Some(102)),
                robot("d", Some(99)),
            ],
            service: None,
        }
    }

    #[test]
    fn robots_that_need_somebody_come_first() {
        let (access, now) = (access(), Millis(100 * DAY));
        let lines = robots(&problems_first(&access, now), now).lines(None);
        let rest: Vec<&str> = lines.iter().skip(1).map(String::as_str).collect();
        assert_eq!(
            rest,
            [
                "robot$feed+d  developer  expired       1970-04-10 (1d ago)",
                "robot$feed+c  developer  expires soon  1970-04-13 (in 2d)",
                "robot$feed+b  developer  expires soon  1970-04-16 (in 5d)",
                "robot$feed+a  developer  active        for good",
            ]
        );
    }

    #[test]
    fn members_and_users_say_how_they_stand() {
        let access = access();
        let feed = access.projects.values().next().unwrap();
        let lines = members(&access, feed, Millis(100 * DAY)).lines(None);
        assert!(lines[1].starts_with("ada ") && lines[1].contains("project admin"), "{lines:#?}");
        assert!(lines[2].starts_with("bob ") && lines[2].contains("disabled"), "{lines:#?}");
        assert_eq!(lines.len(), 7);
        let lines = users(&access).lines(None);
        assert!(
            lines[1].ends_with("feed (project admin)") && lines[3].contains("system admin"),
            "{lines:#?}"
        );
        let lines = projects(&access).lines(None);
        assert!(lines[1].starts_with("feed     ada"), "{lines:#?}");
    }
    #[test]
    fn the_view_begins_with_what_needs_somebody() {
        let mut access = access();
        let empty = Project { name: "ads".parse().unwrap(), members: Default::default() };
        access.projects.insert(empty.name.clone(), empty);
        access.users.insert("eve".parse().unwrap(), UserView { admin: false, disabled: false });
        let rows = rows(&access, Millis(100 * DAY));
        let shown: Vec<String> = rows.iter().map(|r| format!("{} {}", r.name, r.state)).collect();
        assert_eq!(
            shown,
            [
                "ads no members",
                "robot$feed+d expired",
                "robot$feed+c expires soon",
                "robot$feed+b expires soon",
                "feed 2 members",
                "robot$feed+a active",
                "eve active",
            ]
        );
        assert_eq!(rows[4].notes, ["admins: ada", "guests: bob (disabled)"]);
        assert_eq!(rows[1].command, "longshore robot renew feed/d");
    }
}
