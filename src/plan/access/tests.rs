//! Every right of every role, and what no list of scopes can bring about.

use proptest::prelude::*;

use super::*;
use crate::model::access::{Robot, User};

const NOW: Millis = Millis(1_000_000);

fn user(name: &str, admin: bool, disabled: bool) -> (UserName, User) {
    let name: UserName = name.parse().unwrap();
    (name.clone(), User { name, password: "$argon2id$x".into(), admin, disabled })
}

fn robot(name: &str, role: Role, expires: Option<Millis>, disabled: bool) -> Robot {
    let (name, project) = (name.parse().unwrap(), "feed".parse().unwrap());
    Robot { name, project, role, secret: "$argon2id$x".into(), expires, disabled }
}

/// Two projects; in `feed` one of each sort.
fn house() -> Access {
    let people = ["root", "gail", "dev", "ada", "newcomer", "off", "boss-off"];
    let mut access = Access::default();
    access
        .users
        .extend(people.map(|name| user(name, name == "root" || name == "boss-off", name.ends_with("off"))));
    let members = [("gail", Role::Guest), ("dev", Role::Developer), ("ada", Role::ProjectAdmin)];
    let members = members.into_iter().chain([("off", Role::ProjectAdmin), ("ghost", Role::ProjectAdmin)]);
    let members = members.map(|(name, role)| (name.parse().unwrap(), role)).collect();
    for (name, members) in [("feed", members), ("other", Default::default())] {
        let name: ProjectName = name.parse().unwrap();
        access.projects.insert(name.clone(), Project { name, members });
    }
    access.robots = vec![
        robot("reader", Role::Guest, None, false),
        robot("writer", Role::Developer, Some(Millis(NOW.0 + 1)), false),
        robot("cleaner", Role::ProjectAdmin, None, false),
        robot("late", Role::Developer, Some(NOW), false),
        robot("off", Role::Developer, None, true),
    ];
    access
}

fn who(login: &str) -> Subject {
    login.strip_prefix("os:").map_or_else(|| login.parse().unwrap(), |name| Subject::Operator(name.into()))
}

/// What the subject gets, as the text of the scopes.
fn get(login: &str, asked: &str) -> String {
    let granted = grant(&house(), &who(login), &Scope::list(asked).unwrap(), NOW);
    granted.scopes.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
}

#[test]
fn every_role_has_exactly_its_rights() {
    // Who; pull, push, delete of feed/web; of other/web; the catalogue.
    let table = [
        ("os:alice", [true; 3], true, true),
        ("root", [true; 3], true, true),
        ("ada", [true; 3], false, false),
        ("dev", [true, true, false], false, false),
        ("gail", [true, false, false], false, false),
        ("newcomer", [false; 3], false, false),
        ("off", [false; 3], false, false),
        ("boss-off", [false; 3], false, false),
        ("ghost", [false; 3], false, false),
        ("stranger", [false; 3], false, false),
        ("robot$feed+reader", [true, false, false], false, false),
        ("robot$feed+writer", [true, true, false], false, false),
        ("robot$feed+cleaner", [true; 3], false, false),
        ("robot$feed+late", [false; 3], false, false),
        ("robot$feed+off", [false; 3], false, false),
        ("robot$other+reader", [false; 3], false, false),
        ("robot$none+reader", [false; 3], false, false),
    ];
    for (login, rights, elsewhere, catalogue) in table {
        for (right, expected) in ["pull", "push", "delete"].into_iter().zip(rights) {
            let scope = format!("repository:feed/web:{right}");
            let expect = if expected { scope.clone() } else { String::new() };
            assert_eq!(get(login, &scope), expect, "{login}: {right}");
            let scope = format!("repository:other/web:{right}");
            let expect = if elsewhere { scope.clone() } else { String::new() };
            assert_eq!(get(login, &scope), expect, "{login}: {right} elsewhere");
        }
        let expect = if catalogue { "registry:catalog:*" } else { "" };
        assert_eq!(get(login, "registry:catalog:*"), expect, "{login}: catalogue");
    }
}

#[test]
fn less_than_asked_is_granted_and_the_rest_is_recorded_with_its_reason() {
    assert_eq!(get("dev", "repository:feed/web:pull,push,delete"), "repository:feed/web:pull,push");
    assert_eq!(get("dev", "repository:feed/web:*"), "repository:feed/web:pull,push");
    assert_eq!(get("gail", "repository:feed/web:pull repository:other/a:pull"), "repository:feed/web:pull");
    // A project is a whole part of the path, and a host in front is none of ours.
    for odd in [
        "repository:feeder/web:pull",
        "repository:localhost:5000/feed/web:pull",
        "repository(plugin):feed/web:pull",
        "thing:feed/web:pull",
    ] {
        assert_eq!(get("dev", odd), "", "{odd}");
    }
    let asked = Scope::list("repository:feed/web:pull,push repository:other/web:pull").unwrap();
    let granted = grant(&house(), &who("gail"), &asked, NOW);
    assert_eq!(
        granted.denied,
        [
            "push of feed/web: gail is guest of feed",
            "pull of other/web: gail is a user, but not a member of other"
        ]
    );
}

#[test]
fn what_is_missing_is_said() {
    let lack = |login: &str, project: &str| {
        standing(&house(), &who(login), project, NOW).map_err(|lack| lack.sentence()).unwrap_err()
    };
    assert_eq!(lack("stranger", "feed"), "stranger is not a user yet, and not a member of feed");
    assert_eq!(lack("newcomer", "feed"), "newcomer is a user, but not a member of feed");
    assert_eq!(lack("ghost", "other"), "ghost is not a user yet, and not a member of other");
    assert_eq!(lack("off", "feed"), "off is disabled");
    assert_eq!(lack("dev", "none"), "there is no project none");
    assert_eq!(lack("robot$feed+late", "feed"), "the time of robot$feed+late is over");
}

#[test]
fn a_token_of_a_robot_ends_with_the_robot() {
    let granted = grant(&house(), &who("robot$feed+writer"), &[], NOW);
    assert_eq!(granted.until, Some(Millis(NOW.0 + 1)));
    assert_eq!(grant(&house(), &who("dev"), &[], NOW).until, None);
}

fn any_scope() -> impl Strategy<Value = Scope> {
    let names = ["feed/web", "feed", "other/web", "none/x", "catalog", "localhost:5000/feed/web"];
    let rights =
        proptest::sample::subsequence(vec![Right::Pull, Right::Push, Right::Delete, Right::All], 0..=4);
    let kinds = ["repository", "registry", "repository(plugin)"];
    (proptest::sample::select(kinds.to_vec()), proptest::sample::select(names.to_vec()), rights).prop_map(
        |(kind, name, rights)| Scope {
            kind: kind.to_owned(),
            name: name.to_owned(),
            rights: rights.into_iter().collect(),
        },
    )
}

proptest! {
    #[test]
    fn never_more_than_asked_and_a_higher_role_never_has_less(asked in prop::collection::vec(any_scope(), 0..6)) {
        let access = house();
        let get = |login: &str| grant(&access, &who(login), &asked, NOW).scopes;
        let mut before: BTreeSet<(String, Right)> = BTreeSet::new();
        for login in ["stranger", "gail", "dev", "ada", "root"] {
            let granted = get(login);
            prop_assert_eq!(&grant(&access, &who(login), &granted, NOW).scopes, &granted, "granted again");
            let flat: BTreeSet<(String, Right)> =
                granted.iter().flat_map(|s| s.rights.iter().map(|r| (format!("{}:{}", s.kind, s.name), *r))).collect();
            for (name, right) in &flat {
                let asked = asked.iter().any(|s| format!("{}:{}", s.kind, s.name) == *name
                    && (s.rights.contains(right) || s.rights.contains(&Right::All)));
                prop_assert!(asked, "{} got {:?} of {}", login, right, name);
            }
            prop_assert!(before.is_subset(&flat), "{} has less than the role below", login);
            before = flat;
        }
    }
}
