//! The access view: what needs somebody comes first, and the command that changes it is copied.

use std::sync::Arc;

use longshore::base::clock::Millis;
use longshore::model::access::view::{AccessView, RobotView, UserView};
use longshore::model::access::{Project, Role};
use longshore::model::world::World;
use longshore::tui::effect::Effect;
use longshore::tui::panes::PaneId;

use crate::harness::Console;
use crate::world::{NOW, feed};

const DAY: i64 = 86_400_000;

fn with_access() -> World {
    let robot = |name: &str, days: Option<i64>| RobotView {
        project: "feed".parse().unwrap(),
        name: name.parse().unwrap(),
        role: Role::Developer,
        expires: days.map(|d| Millis(NOW.0 + d * DAY)),
        disabled: false,
    };
    let project = |name: &str, members: &[(&str, Role)]| {
        let members = members.iter().map(|(name, role)| (name.parse().unwrap(), *role)).collect();
        Project { name: name.parse().unwrap(), members }
    };
    let feed_members = [("ada", Role::ProjectAdmin), ("bob", Role::Developer), ("gail", Role::Guest)];
    let projects = [project("feed", &feed_members), project("ads", &[])];
    let users = ["ada", "bob", "gail", "newcomer"]
        .map(|name| (name.parse().unwrap(), UserView { admin: false, disabled: name == "bob" }));
    let mut world = feed();
    world.access = Arc::new(AccessView {
        users: users.into(),
        projects: projects.into_iter().map(|p| (p.name.clone(), p)).collect(),
        robots: vec![robot("ci", Some(80)), robot("old", Some(-2)), robot("scan", Some(3)), robot("x", None)],
        service: None,
    });
    world
}

#[test]
fn access_at_each_size() {
    for (w, h) in crate::SIZES {
        let mut console = Console::new((w, h), with_access());
        console.key("9");
        assert_eq!(console.app.top(), PaneId::Access);
        insta::assert_snapshot!(format!("access_{w}x{h}"), console.screen());
    }
}

#[test]
fn access_is_filtered_and_its_commands_are_copied() {
    let mut console = Console::new((120, 40), with_access());
    console.key(":");
    console.text("access");
    console.key("Enter");
    assert_eq!(console.app.top(), PaneId::Access);
    console.key("y");
    assert!(console.take().contains(&Effect::Copy("longshore project grant ads USER ROLE".into())));
    console.key("/");
    console.text("scan");
    console.keys("Enter y");
    assert!(console.take().contains(&Effect::Copy("longshore robot renew feed/scan".into())));
    let screen = console.screen();
    assert!(screen.contains("Access (1)") && screen.contains("expires soon"), "{screen}");
    let mut console = Console::new((120, 40), feed());
    console.key("9");
    assert!(console.screen().contains("There are no users and no projects yet."), "{}", console.screen());
}
