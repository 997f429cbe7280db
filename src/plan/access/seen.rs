//! What somebody who has logged in may see of who may do what.

use crate::base::clock::Millis;
use crate::base::ids::{ProjectName, UserName};
use crate::model::access::view::AccessView;
use crate::model::access::{Access, Subject};
use crate::plan::access::{active, is_system, standing};

/// What this one may see: system admins all; members of a project its members and robots, as Harbor does; everybody themselves.
/// Nothing is of use to a robot.
pub fn seen_by(access: &Access, by: &Subject, now: Millis) -> AccessView {
    if active(access, by, now).is_err() || matches!(by, Subject::Robot(..)) {
        return AccessView::default();
    }
    let is_mine = |project: &ProjectName| standing(access, by, project.as_str(), now).is_ok();
    let projects = access.projects.iter().filter(|(name, _)| is_mine(name));
    let mut seen = Access {
        projects: projects.map(|(name, project)| (name.clone(), project.clone())).collect(),
        robots: access.robots.iter().filter(|robot| is_mine(&robot.project)).cloned().collect(),
        ..Access::default()
    };
    let is_system = is_system(access, by, now);
    let is_known = |name: &UserName| {
        let is_member = || seen.projects.values().any(|project| project.members.contains_key(name));
        is_system || matches!(by, Subject::User(me) if me == name) || is_member()
    };
    let users = access.users.iter().filter(|(name, _)| is_known(name));
    seen.users = users.map(|(name, user)| (name.clone(), user.clone())).collect();
    AccessView::of(&seen, None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::access::{Project, Robot, Role, User};

    fn access() -> Access {
        let mut access = Access::default();
        for (name, admin, disabled) in [
            ("root", true, false),
            ("ada", false, false),
            ("dev", false, false),
            ("bob", false, false),
            ("gone", false, true),
        ] {
            let name: UserName = name.parse().unwrap();
            let user = User { name: name.clone(), password: "$argon2id$".into(), admin, disabled };
            access.users.insert(name, user);
        }
        for (name, members) in [
            ("feed", &[("ada", Role::ProjectAdmin), ("dev", Role::Developer), ("gone", Role::Guest)][..]),
            ("ads", &[("bob", Role::ProjectAdmin), ("dev", Role::Guest)]),
        ] {
            let members = members.iter().map(|(name, role)| (name.parse().unwrap(), *role)).collect();
            let name: ProjectName = name.parse().unwrap();
            access.projects.insert(name.clone(), Project { name: name.clone(), members });
            access.robots.push(Robot {
                project: name,
                name: "ci".parse().unwrap(),
                role: Role::Guest,
                secret: "$argon2id$".into(),
                expires: None,
                disabled: false,
            });
        }
        access
    }

    fn seen(by: &str) -> (String, String, String) {
        let view = seen_by(&access(), &by.parse().unwrap(), Millis(0));
        let words = |all: Vec<String>| all.join(" ");
        let users = words(view.users.keys().map(ToString::to_string).collect());
        let of =
            |p: &Project| p.members.iter().map(|(name, role)| format!("{}:{name}={role}", p.name)).collect();
        let members =
            words(view.projects.values().flat_map(|p: &Project| -> Vec<String> { of(p) }).collect());
        (users, members, words(view.robots.iter().map(|r| r.project.to_string()).collect()))
    }

    fn is(users: &str, members: &str, robots: &str) -> (String, String, String) {
        (users.to_owned(), members.to_owned(), robots.to_owned())
    }

    #[test]
    fn everybody_sees_what_their_role_is_about_and_no_more() {
        let (feed, ads) = (
            "feed:ada=project admin feed:dev=developer feed:gone=guest",
            "ads:bob=project admin ads:dev=guest",
        );
        assert_eq!(seen("root"), is("ada bob dev gone root", &format!("{ads} {feed}"), "ads feed"));
        assert_eq!(seen("ada"), is("ada dev gone", feed, "feed"));
        assert_eq!(seen("bob"), is("bob dev", ads, "ads"));
        assert_eq!(seen("dev"), is("ada bob dev gone", &format!("{ads} {feed}"), "ads feed"));
        for nobody in ["gone", "stranger", "robot$feed+ci"] {
            assert_eq!(seen(nobody), is("", "", ""), "{nobody}");
        }
    }
}
