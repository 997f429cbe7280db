//! Grants at Harbor: what is missing is given, what is unknown is left and told, and a second look finds nothing to do.

use std::collections::BTreeMap;

use proptest::prelude::*;

use crate::base::clock::Millis;
use crate::base::ids::{ProjectName, UserName};
use crate::model::access::{Access, Project, Robot, Role, User};
use crate::model::harbor::access::{
    AccessStep, Brought, Grant, HarborRobot, HarborRole, Member, MemberKind, rights,
};
use crate::model::harbor::ask::AccessChoices;
use crate::model::harbor::{HarborProject, Login};
use crate::plan::harbor::{AccessPlan, Apart, SeenProject, access};

const NOW: Millis = Millis(1_800_000_000_000);
const DAY: u64 = 86_400_000;
const ALL: AccessChoices = AccessChoices { remove_extra: true, replace_unknown: true, close_public: true };

fn user(name: &str) -> UserName {
    UserName::new(name).unwrap()
}

fn project(name: &str) -> ProjectName {
    ProjectName::new(name).unwrap()
}

fn wanted(members: &[(&str, Role)], robots: Vec<Robot>) -> Access {
    let members: BTreeMap<UserName, Role> = members.iter().map(|(name, role)| (user(name), *role)).collect();
    let one = Project { name: project("feed"), members };
    Access { projects: [(one.name.clone(), one)].into(), robots, ..Access::default() }
}

fn robot(name: &str, role: Role, expires: Option<Millis>) -> Robot {
    Robot {
        name: user(name),
        project: project("feed"),
        role,
        secret: String::new(),
        expires,
        disabled: false,
    }
}

fn member(id: i64, name: &str, role: HarborRole) -> Member {
    Member { id, name: name.into(), kind: MemberKind::User, role }
}

fn seen_robot(id: i64, name: &str, role: Role, expires: Option<Millis>) -> HarborRobot {
    let grant = Grant { kind: "project".into(), namespace: "feed".into(), rights: rights(role) };
    HarborRobot {
        id,
        login: format!("robot$feed+{name}").into(),
        description: "".into(),
        level: "project".into(),
        grants: vec![grant],
        days: -1,
        expires,
        disabled: false,
        editable: true,
    }
}

fn seen(members: Vec<Member>, robots: Vec<HarborRobot>) -> SeenProject {
    let project = HarborProject {
        id: 7,
        name: "feed".into(),
        public: Some(false),
        repositories: 0,
        cache_of: None,
        created: None,
    };
    SeenProject { project, members: Some(members), robots: Some(robots) }
}

fn plan(wanted: &Access, seen: &[SeenProject], choices: AccessChoices) -> AccessPlan {
    let login = Login::User { name: "admin".into(), admin: true };
    access(wanted, seen, &login, choices, &Brought::default(), NOW)
}

#[test]
fn what_was_brought_goes_with_its_grant_and_what_others_gave_stays() {
    let (first, next) = (
        wanted(&[("anna", Role::Developer), ("bo", Role::Guest)], vec![]),
        wanted(&[("bo", Role::Guest)], vec![]),
    );
    let login = Login::User { name: "admin".into(), admin: true };
    let there = [seen(
        vec![
            member(1, "anna", HarborRole::Developer),
            member(2, "bo", HarborRole::Guest),
            member(3, "cy", HarborRole::Guest),
        ],
        vec![seen_robot(1, "ci", Role::Guest, None), seen_robot(2, "old", Role::Guest, None)],
    )];
    let mut brought = Brought::default().and(&first);
    brought.robots.insert((project("feed"), user("ci")));
    let plan = access(&next, &there, &login, AccessChoices::default(), &brought, NOW);
    let (steps, apart) = words(&plan);
    assert_eq!(steps, ["feed: anna is no longer developer", "feed: end robot robot$feed+ci"]);
    assert_eq!(apart, ["feed: cy is guest only in Harbor", "feed: robot robot$feed+old is only in Harbor"]);
    // The project is gone here: what was brought goes, what others gave and the project itself stay.
    let none = Access::default();
    let (steps, apart) = words(&access(&none, &there, &login, AccessChoices::default(), &brought, NOW));
    let gone =
        ["feed: anna is no longer developer", "feed: bo is no longer guest", "feed: end robot robot$feed+ci"];
    assert_eq!((steps, apart), (gone.map(str::to_owned).to_vec(), vec![]));
    assert!(
        plan.gone.members.is_empty() && plan.gone.robots.is_empty(),
        "they are still there: {:?}",
        plan.gone
    );
}

/// What was brought is forgotten only when it was seen not to be there: else a revocation would be lost for ever.
#[test]
fn what_is_to_go_is_remembered_until_it_is_seen_to_be_gone() {
    let mut brought = Brought::default().and(&wanted(&[("anna", Role::Developer)], vec![]));
    brought.robots.insert((project("feed"), user("ci")));
    let admin = Login::User { name: "admin".into(), admin: true };
    let member_only = Login::User { name: "bo".into(), admin: false };
    let look = |seen: &[SeenProject], login: &Login| {
        let plan = access(&wanted(&[], vec![]), seen, login, AccessChoices::default(), &brought, NOW);
        let left: Vec<String> = plan.left.iter().map(ToString::to_string).collect();
        (plan.gone.members.len(), plan.gone.robots.len(), left)
    };
    assert_eq!(look(&[seen(vec![], vec![])], &admin), (1, 1, vec![]));
    let blind = SeenProject { members: None, robots: None, ..seen(vec![], vec![]) };
    assert_eq!(look(&[blind], &admin), (0, 0, vec![]), "what was not read is not gone");
    let there =
        seen(vec![member(1, "anna", HarborRole::Developer)], vec![seen_robot(1, "ci", Role::Guest, None)]);
    assert_eq!(look(&[there], &admin), (0, 0, vec![]), "steps take them away");
    let changed = seen(vec![member(1, "anna", HarborRole::Maintainer)], vec![]);
    assert_eq!(look(&[changed], &admin), (0, 1, vec!["feed: anna is maintainer only in Harbor".to_owned()]));
    assert_eq!(look(&[], &admin), (1, 1, vec![]), "an administrator sees all projects that there are");
    let (members, robots, left) = look(&[], &member_only);
    assert!(
        (members, robots) == (0, 0) && left.len() == 1 && left[0].contains("does not see it"),
        "{left:?}"
    );
    let kept =
        brought.without(&brought, &wanted(&[("anna", Role::Guest)], vec![robot("ci", Role::Guest, None)]));
    assert_eq!(kept, brought, "what is wanted again is not forgotten");
}

fn words(plan: &AccessPlan) -> (Vec<String>, Vec<String>) {
    (
        plan.steps.iter().map(ToString::to_string).collect(),
        plan.apart.iter().map(ToString::to_string).collect(),
    )
}

#[test]
fn a_new_site_gets_projects_before_members_before_robots() {
    let robots = vec![robot("ci", Role::Developer, Some(NOW + 10 * DAY + 5))];
    let wanted = wanted(&[("anna", Role::ProjectAdmin), ("bo", Role::Guest)], robots);
    let (steps, apart) = words(&plan(&wanted, &[], AccessChoices::default()));
    assert_eq!(
        steps,
        [
            "make project feed",
            "feed: anna becomes projectAdmin",
            "feed: bo becomes guest",
            "feed: make robot ci as developer, for 10 days",
        ]
    );
    assert!(apart.is_empty(), "{apart:?}");
}

#[test]
fn roles_without_a_word_of_ours_are_told_and_left_until_somebody_chooses() {
    let wanted = wanted(&[("anna", Role::Developer), ("bo", Role::Developer), ("cy", Role::Guest)], vec![]);
    let members = vec![
        member(1, "anna", HarborRole::Maintainer),
        member(2, "bo", HarborRole::Guest),
        member(3, "cy", HarborRole::Other { id: 12, name: "auditor".into() }),
        member(4, "dan", HarborRole::LimitedGuest),
        member(5, "admin", HarborRole::ProjectAdmin),
        Member { kind: MemberKind::Group, ..member(6, "staff", HarborRole::Developer) },
    ];
    let (steps, apart) = words(&plan(&wanted, &[seen(members.clone(), vec![])], AccessChoices::default()));
    assert_eq!(steps, ["feed: bo becomes developer, was guest"]);
    assert_eq!(
        apart,
        [
            "feed: anna is maintainer in Harbor, should be developer; it is left",
            "feed: cy is auditor (role 12) in Harbor, should be guest; it is left",
            "feed: dan is limitedGuest only in Harbor",
            "feed: admin is projectAdmin, and what we log in as; it is left",
            "feed: staff is developer only in Harbor",
        ]
    );
    let (steps, apart) = words(&plan(&wanted, &[seen(members, vec![])], ALL));
    assert_eq!(
        steps,
        [
            "feed: anna becomes developer, was maintainer",
            "feed: cy becomes guest, was auditor (role 12)",
            "feed: dan is no longer limitedGuest",
            "feed: bo becomes developer, was guest",
        ]
    );
    assert_eq!(apart.len(), 2, "ourselves and the group stay: {apart:?}");
}

#[test]
fn what_was_not_read_leads_to_no_step() {
    let wanted = wanted(&[("anna", Role::Developer)], vec![robot("ci", Role::Guest, None)]);
    let blind = SeenProject { members: None, robots: None, ..seen(vec![], vec![]) };
    let plan = plan(&wanted, &[blind], ALL);
    assert_eq!(plan.steps, []);
    assert_eq!(plan.apart.len(), 2, "{:?}", plan.apart);
}

#[test]
fn who_cannot_log_in_here_has_no_role_there() {
    let mut wanted = wanted(&[("anna", Role::Developer), ("bo", Role::Guest)], vec![]);
    for (name, disabled) in [("anna", true), ("bo", false)] {
        let one = User { name: user(name), password: String::new(), admin: name == "bo", disabled };
        wanted.users.insert(user(name), one);
    }
    let members = vec![member(1, "anna", HarborRole::Developer)];
    let (steps, apart) = words(&plan(&wanted, &[seen(members, vec![])], AccessChoices::default()));
    assert_eq!(steps, ["feed: anna is no longer developer", "feed: bo becomes guest"]);
    assert_eq!(apart, ["bo may do everything here; in Harbor that is set by hand"]);
}

#[test]
fn robots_end_no_later_than_they_should() {
    let soon = Some(NOW + DAY / 2);
    let wanted = wanted(
        &[],
        vec![
            robot("short", Role::Guest, soon),
            robot("over", Role::Guest, Some(NOW)),
            robot("gone", Role::Guest, Some(NOW)),
            robot("long", Role::Guest, Some(NOW + 3 * DAY)),
            robot("ever", Role::Guest, None),
            robot("more", Role::Developer, None),
        ],
    );
    let there = vec![
        seen_robot(1, "over", Role::Guest, None),
        seen_robot(2, "long", Role::Guest, None),
        seen_robot(3, "more", Role::Guest, None),
        seen_robot(4, "alien", Role::Guest, None),
    ];
    let (steps, apart) = words(&plan(&wanted, &[seen(vec![], there)], AccessChoices::default()));
    assert_eq!(
        steps,
        [
            "feed: robot robot$feed+over, cannot log in",
            "feed: make robot ever as guest, for ever",
            "feed: robot robot$feed+more becomes developer, can log in",
        ]
    );
    assert_eq!(
        apart,
        [
            "feed: robot short has less than a day left, Harbor cannot make it",
            "feed: robot robot$feed+long lives longer in Harbor; end it there and make it anew",
            "feed: robot robot$feed+alien is only in Harbor",
        ]
    );
}

#[test]
fn a_robot_with_rights_of_its_own_is_left() {
    let wanted = wanted(&[], vec![robot("ci", Role::Developer, None)]);
    let mut odd = seen_robot(1, "ci", Role::Guest, None);
    odd.grants[0].namespace = "*".into();
    let left = plan(&wanted, &[seen(vec![], vec![odd.clone()])], AccessChoices::default());
    assert_eq!(left.steps, []);
    assert!(matches!(&left.apart[..], [Apart::UnknownRobot(.., Role::Developer)]), "{:?}", left.apart);
    let chosen = plan(&wanted, &[seen(vec![], vec![odd])], ALL);
    assert!(
        matches!(
            &chosen.steps[..],
            [AccessStep::ChangeRobot { role: Some(Role::Developer), disabled: false, .. }]
        ),
        "{:?}",
        chosen.steps
    );
}

#[test]
fn a_public_project_is_told_and_closed_only_when_chosen() {
    let wanted = wanted(&[], vec![]);
    for public in [Some(true), None] {
        let mut open = seen(vec![], vec![]);
        open.project.public = public;
        assert_eq!(
            plan(&wanted, &[open.clone()], AccessChoices::default()).apart,
            [Apart::Public(project("feed"))]
        );
        assert_eq!(plan(&wanted, &[open], ALL).steps, [AccessStep::ClosePublic(project("feed"))]);
    }
}

/// Harbor after a step, as its API description says.
fn after(seen: &mut Vec<SeenProject>, step: &AccessStep) {
    let fresh = |name: &ProjectName| {
        let mut made = self::seen(vec![member(900, "admin", HarborRole::ProjectAdmin)], vec![]);
        made.project.name = name.as_str().into();
        made
    };
    if let AccessStep::CreateProject(name) = step {
        seen.push(fresh(name));
        return;
    }
    let Some(one) = seen.first_mut() else { panic!("no project yet: {step}") };
    let (members, robots) = (one.members.as_mut().unwrap(), one.robots.as_mut().unwrap());
    match step {
        AccessStep::CreateProject(_) => {}
        AccessStep::ClosePublic(_) => one.project.public = Some(false),
        AccessStep::AddMember { user, role, .. } => {
            assert!(members.iter().all(|m| m.name.raw() != user.as_str()), "twice: {step}");
            let id = 100 + i64::try_from(members.len()).unwrap();
            members.push(member(id, user.as_str(), HarborRole::from(*role)));
        }
        AccessStep::ChangeMember { member, role, .. } => {
            let is = members.iter_mut().find(|m| m.id == member.id).unwrap();
            is.role = HarborRole::from(*role);
        }
        AccessStep::RemoveMember { member, .. } => members.retain(|m| m.id != member.id),
        AccessStep::AddRobot { name, role, days, .. } => {
            assert_ne!(*days, Some(0));
            let expires = days.map(|days| NOW + u64::from(days) * DAY);
            let id = 500 + i64::try_from(robots.len()).unwrap();
            robots.push(seen_robot(id, name.as_str(), *role, expires));
        }
        AccessStep::ChangeRobot { robot, role, disabled, .. } => {
            let is = robots.iter_mut().find(|r| r.id == robot.id).unwrap();
            is.disabled = *disabled;
            if let Some(role) = role {
                is.grants = seen_robot(0, "x", *role, None).grants;
            }
        }
        AccessStep::RemoveRobot { robot, .. } => robots.retain(|r| r.id != robot.id),
    }
}

fn role() -> impl Strategy<Value = Role> {
    prop_oneof![Just(Role::Guest), Just(Role::Developer), Just(Role::ProjectAdmin)]
}

proptest! {
    /// After its steps a plan made anew has none left; and without a choice no unknown role was touched.
    #[test]
    fn once_made_there_is_nothing_left_to_do(
        members in proptest::collection::btree_map("[a-e]", role(), 0..5),
        robots in proptest::collection::btree_map("[p-s]", (role(), proptest::option::of(0u64..4), any::<bool>()), 0..4),
        there in proptest::collection::btree_map("[a-g]", 1i64..8, 0..6),
        robots_there in proptest::collection::btree_map("[p-u]", (role(), any::<bool>()), 0..4),
        exists in any::<bool>(),
        public in proptest::option::of(any::<bool>()),
        choices in (any::<bool>(), any::<bool>(), any::<bool>()),
    ) {
        let members: Vec<(&str, Role)> = members.iter().map(|(name, role)| (name.as_str(), *role)).collect();
        let robots = robots.iter().map(|(name, (role, days, disabled))| Robot {
            disabled: *disabled, ..robot(name, *role, days.map(|days| NOW + days * DAY))
        });
        let wanted = wanted(&members, robots.collect());
        let mut harbor = Vec::new();
        if exists {
            let all = there.iter().zip(1i64..).map(|((name, role), id)| member(id, name, HarborRole::of(*role, "odd")));
            let robots = robots_there.iter().zip(1i64..).map(|((name, (role, disabled)), id)| HarborRobot {
                disabled: *disabled, ..seen_robot(id, name, *role, None)
            });
            let mut one = seen(all.collect(), robots.collect());
            one.project.public = public;
            harbor.push(one);
        }
        let choices = AccessChoices { remove_extra: choices.0, replace_unknown: choices.1, close_public: choices.2 };
        for step in plan(&wanted, &harbor, choices).steps {
            if let AccessStep::ChangeMember { member, .. } | AccessStep::RemoveMember { member, .. } = &step {
                prop_assert!(choices.replace_unknown || member.role.ours().is_some(), "{}", step);
            }
            after(&mut harbor, &step);
        }
        prop_assert_eq!(plan(&wanted, &harbor, choices).steps, vec![]);
        for (name, role) in &members {
            let is = harbor[0].members.as_ref().unwrap().iter().find(|m| m.name.raw() == *name);
            let is = is.map(|m| m.role.clone());
            let left = is.as_ref().is_some_and(|is| is.ours().is_none()) && !choices.replace_unknown;
            prop_assert!(left || is == Some(HarborRole::from(*role)), "{} is {:?}", name, is);
        }
    }
}
