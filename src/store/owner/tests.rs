//! Tests of the owner: durability, fencing, refusals.

use super::*;
use crate::base::clock::SystemClock;
use crate::base::ids::HostId;
use crate::model::host::HostRecord;
use crate::model::journal::{Draft, What};
use crate::model::operation::{OpKind, OpStatus};
use crate::model::pool::{Pool, PoolSpec};
use std::sync::Arc;

fn clock() -> SharedClock {
    Arc::new(SystemClock)
}

fn install() -> InstallId {
    InstallId("0a1b2c3d".into())
}

fn pool(want: u32) -> Pool {
    let id = PoolId::new("feed", "web").unwrap();
    let spec = PoolSpec { image: "lab/busybox:1".into(), ..PoolSpec::default() };
    Pool {
        id,
        revision: 1,
        spec,
        want,
        version: 1,
        down: false,
        holes: Default::default(),
        hosts: vec![],
        last_scale: None,
    }
}

#[tokio::test]
async fn what_was_applied_is_there_after_opening_again() {
    let dir = tempfile::tempdir().unwrap();
    let first = Store::open(dir.path(), clock(), install()).await.unwrap();
    let op = Operation {
        id: OpId(1),
        kind: OpKind::Up,
        pools: vec![pool(3).id],
        by: "alice".into(),
        at: Millis(1),
        status: OpStatus::Running,
        ended: None,
        progress: crate::model::operation::Progress::default(),
    };
    let line = Draft::by("alice", What::Accepted, "up feed").pool(&pool(3).id).op(op.id);
    let writes = vec![Write::PutPool(Box::new(pool(3))), Write::PutOperation(op), Write::Journal(line)];
    let mut expected = first.desired.clone();
    writes.iter().for_each(|w| expected.apply(w));
    first.store.apply(writes).await.unwrap();
    let second = Store::open(dir.path(), clock(), InstallId("ffffffff".into())).await.unwrap();
    assert_eq!(second.desired, expected);
    assert_eq!((first.epoch, second.epoch), (1, 2));
    let journal = second.store.journal(None, 10, Some(pool(3).id), None).await.unwrap();
    assert_eq!((journal.len(), journal[0].text.as_str(), journal[0].seq), (1, "up feed", 1));
}

#[tokio::test]
async fn an_older_holder_is_fenced() {
    let dir = tempfile::tempdir().unwrap();
    let old = Store::open(dir.path(), clock(), install()).await.unwrap();
    let new = Store::open(dir.path(), clock(), install()).await.unwrap();
    assert_eq!(
        old.store.apply(vec![Write::PutPool(Box::new(pool(1)))]).await.unwrap_err().kind,
        Kind::Fenced
    );
    new.store.apply(vec![Write::PutPool(Box::new(pool(2)))]).await.unwrap();
    assert_eq!(Store::open(dir.path(), clock(), install()).await.unwrap().desired.pools[&pool(2).id].want, 2);
}

#[tokio::test]
async fn a_state_that_was_removed_acknowledges_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let opened = Store::open(dir.path(), clock(), install()).await.unwrap();
    let kept = dir.path().join("kept.db");
    std::fs::rename(dir.path().join(open::FILE), &kept).unwrap();
    let fault = opened.store.apply(vec![Write::PutPool(Box::new(pool(1)))]).await.unwrap_err();
    assert!(fault.to_string().contains("was removed or replaced"), "{fault}");
    std::fs::write(dir.path().join(open::FILE), b"").unwrap();
    assert_eq!(
        opened.store.apply(vec![Write::PutPool(Box::new(pool(1)))]).await.unwrap_err().kind,
        Kind::Refused
    );
    std::fs::rename(kept, dir.path().join(open::FILE)).unwrap();
    opened.store.apply(vec![Write::PutPool(Box::new(pool(1)))]).await.unwrap();
}

#[tokio::test]
async fn old_lines_of_the_engine_go_and_those_of_people_stay() {
    let dir = tempfile::tempdir().unwrap();
    let opened = Store::open(dir.path(), clock(), install()).await.unwrap();
    for n in 0..10 {
        let by = if n % 2 == 0 { "alice" } else { "engine" };
        let line = Draft::by(by, What::Outcome, n.to_string());
        opened.store.apply(vec![Write::Journal(line)]).await.unwrap();
    }
    let mut connection = open::open(dir.path()).unwrap();
    let tx = connection.transaction().unwrap();
    write::prune(&tx, 6).unwrap();
    tx.commit().unwrap();
    let left = opened.store.journal(None, 100, None, None).await.unwrap();
    let texts: Vec<&str> = left.iter().rev().map(|l| l.text.as_str()).collect();
    assert_eq!(texts, ["0", "2", "4", "6", "7", "8", "9"]);
}

#[tokio::test]
async fn a_list_of_changes_is_all_or_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let opened = Store::open(dir.path(), clock(), install()).await.unwrap();
    let orphan = crate::model::instance::Instance {
        pool: PoolId::new("no", "pool").unwrap(),
        slot: 1,
        generation: 1,
        host: crate::base::ids::HostId::new("h1").unwrap(),
        revision: 1,
        op: OpId(1),
        phase: crate::model::instance::Phase::Intended,
        failures: 0,
        retry_at: None,
        cause: None,
        since: Millis(0),
        moved_from: None,
        move_to: None,
        renewed: None,
    };
    let fault = opened
        .store
        .apply(vec![Write::PutPool(Box::new(pool(1))), Write::PutInstance(orphan)])
        .await
        .unwrap_err();
    assert_eq!(fault.kind, Kind::Bug);
    assert!(Store::open(dir.path(), clock(), install()).await.unwrap().desired.pools.is_empty());
}

#[tokio::test]
async fn a_state_of_a_newer_version_is_refused_and_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    drop(Store::open(dir.path(), clock(), install()).await.unwrap());
    let path = dir.path().join(open::FILE);
    let raw = Connection::open_with_flags(&path, rusqlite::OpenFlags::SQLITE_OPEN_READ_WRITE).unwrap();
    raw.pragma_update(None, "user_version", 99).unwrap();
    drop(raw);
    let fault = Store::open(dir.path(), clock(), install()).await.err().unwrap();
    assert!(fault.to_string().contains("newer longshore (schema 99"), "{fault}");
    assert!(Store::open_read_only(dir.path(), clock()).await.is_err());
}

#[expect(clippy::disallowed_methods, reason = "writes what an older version left")]
/// A state as the first version left it: with a host, a pool and an instance that know nothing of sites and placement.
#[tokio::test]
async fn a_state_of_the_first_version_is_brought_up_to_date() {
    let dir = tempfile::tempdir().unwrap();
    drop(Store::open(dir.path(), clock(), install()).await.unwrap());
    for entry in std::fs::read_dir(dir.path()).unwrap().flatten() {
        std::fs::remove_file(entry.path()).unwrap();
    }
    let old = rusqlite::Connection::open(dir.path().join("longshore.db")).unwrap();
    old.execute_batch(include_str!("../schema/0001_initial.sql")).unwrap();
    old.execute_batch(include_str!("state_of_the_first_version.sql")).unwrap();
    old.pragma_update(None, "user_version", 1).unwrap();
    drop(old);
    let opened = Store::open(dir.path(), clock(), install()).await.unwrap();
    let (desired, web) = (opened.desired, pool(3).id);
    assert_eq!((desired.pools[&web].want, desired.hosts.len()), (2, 1));
    assert_eq!(desired.pools[&web].spec.placement, crate::model::placement::Placement::default());
    assert_eq!(desired.instances[&web][&1].moved_from, None);
    let site = crate::model::site::Site {
        name: crate::base::ids::SiteName::new("bj").unwrap(),
        registry: Some("reg.bj:5000".into()),
        limits: crate::model::site::SiteLimits::default(),
    };
    let record = HostRecord { site: Some(site.name.clone()), ..HostRecord::default() };
    let host = HostId::new("h1").unwrap();
    let writes = vec![Write::PutSite(site.clone()), Write::PutRecord(host.clone(), Box::new(record.clone()))];
    opened.store.apply(writes).await.unwrap();
    let again = Store::open(dir.path(), clock(), install()).await.unwrap().desired;
    assert_eq!((again.sites.get(&site.name), again.records[&host].as_ref()), (Some(&site), &record));
}

#[tokio::test]
async fn registries_rules_and_limits_are_there_after_opening_again() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), clock(), install()).await.unwrap().store;
    let registry: crate::model::registry::Registry =
        serde_json::from_str(r#"{"name":"hq","address":"hq.example:5000","sites":["bj"]}"#).unwrap();
    let other = crate::model::registry::Registry { name: "bj".parse().unwrap(), ..registry.clone() };
    let rule: crate::model::replication::Rule =
        serde_json::from_str(r#"{"name":"all","source":"hq","targets":["bj"],"priority":3}"#).unwrap();
    let limits: crate::model::replication::LineLimits =
        serde_json::from_str(r#"{"line":{"from":"hq","to":"bj"},"parallel":4}"#).unwrap();
    let put = |r: &crate::model::registry::Registry| Write::PutRegistry(Box::new(r.clone()));
    let rule_put = Write::PutRule(Box::new(rule.clone()));
    let all = vec![put(&registry), put(&other), rule_put, Write::PutLineLimits(limits.clone())];
    store.apply(all).await.unwrap();
    let again = Store::open(dir.path(), clock(), install()).await.unwrap();
    assert_eq!(again.desired.registries.values().cloned().collect::<Vec<_>>(), [other.clone(), registry]);
    assert_eq!(again.desired.rules[&rule.name], rule);
    assert_eq!(again.desired.line_limits[&limits.line], limits);
    let gone =
        vec![Write::DropRegistry(other.name), Write::DropRule(rule.name), Write::DropLineLimits(limits.line)];
    again.store.apply(gone).await.unwrap();
    let last = Store::open(dir.path(), clock(), install()).await.unwrap().desired;
    assert_eq!((last.registries.len(), last.rules.len(), last.line_limits.len()), (1, 0, 0));
}

#[tokio::test]
async fn who_may_do_what_is_there_after_opening_again() {
    use crate::model::access::command::AccessChange as Change;
    use crate::model::access::{Project, Robot, Role, User};
    let dir = tempfile::tempdir().unwrap();
    let opened = Store::open(dir.path(), clock(), install()).await.unwrap();
    let hash = "$argon2id$x".to_owned();
    let user = |name: &str, admin| {
        Change::User(User { name: name.parse().unwrap(), password: hash.clone(), admin, disabled: !admin })
    };
    let robot = |name: &str, expires| {
        let (name, project) = (name.parse().unwrap(), "feed".parse().unwrap());
        Change::Robot(Robot {
            name,
            project,
            role: Role::Guest,
            secret: hash.clone(),
            expires,
            disabled: false,
        })
    };
    let members = [("ada".parse().unwrap(), Role::ProjectAdmin)].into();
    let project = |name: &str| {
        Change::Project(Project { name: name.parse().unwrap(), members: Clone::clone(&members) })
    };
    let all = [
        user("ada", true),
        user("bob", false),
        project("feed"),
        project("ads"),
        robot("ci", Some(Millis(9))),
        robot("scan", None),
        robot("ci", Some(Millis(10))),
        Change::NoUser("bob".parse().unwrap()),
        Change::NoProject("ads".parse().unwrap()),
        Change::NoRobot("feed".parse().unwrap(), "scan".parse().unwrap()),
    ];
    let writes: Vec<Write> = all.into_iter().map(|change| Write::Access(Box::new(change))).collect();
    let mut expected = opened.desired.clone();
    writes.iter().for_each(|w| expected.apply(w));
    opened.store.apply(writes).await.unwrap();
    let again = Store::open(dir.path(), clock(), install()).await.unwrap().desired;
    assert_eq!(again.access, expected.access);
    assert_eq!((again.access.users.len(), again.access.projects.len(), again.access.robots.len()), (1, 1, 1));
}

#[tokio::test]
async fn damage_is_named_and_not_repaired() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join(open::FILE), "this is no database, whatever its name says. ".repeat(100))
        .unwrap();
    let fault = Store::open(dir.path(), clock(), install()).await.err().unwrap();
    assert!(fault.to_string().contains("damaged"), "{fault}");
}

#[tokio::test]
async fn a_directory_that_others_can_write_is_refused() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o777)).unwrap();
    let fault = Store::open(dir.path(), clock(), install()).await.err().unwrap();
    assert!(fault.hint.unwrap().contains("chmod o-w"));
}

#[tokio::test]
async fn files_are_private_whatever_the_umask() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let opened = Store::open(dir.path(), clock(), install()).await.unwrap();
    opened.store.apply(vec![Write::PutPool(Box::new(pool(1)))]).await.unwrap();
    for entry in std::fs::read_dir(dir.path()).unwrap() {
        let entry = entry.unwrap();
        assert_eq!(entry.metadata().unwrap().permissions().mode() & 0o077, 0, "{:?}", entry.file_name());
    }
}

#[tokio::test]
async fn another_programs_lock_is_named_and_nothing_is_half_done() {
    let dir = tempfile::tempdir().unwrap();
    let opened = Store::open(dir.path(), clock(), install()).await.unwrap();
    let mut other =
        Connection::open_with_flags(dir.path().join(open::FILE), rusqlite::OpenFlags::SQLITE_OPEN_READ_WRITE)
            .unwrap();
    let held = other.transaction_with_behavior(TransactionBehavior::Immediate).unwrap();
    let fault = opened.store.apply(vec![Write::PutPool(Box::new(pool(1)))]).await.unwrap_err();
    assert!(fault.to_string().contains("locked by another program"), "{fault}");
    drop(held);
    opened.store.apply(vec![Write::PutPool(Box::new(pool(2)))]).await.unwrap();
}
