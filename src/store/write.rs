//! Writes to rows: how each durable change is stored.

use rusqlite::{Transaction, params};
use serde::Serialize;

use crate::base::clock::Millis;
use crate::base::fault::{Fault, Kind, Outcome};
use crate::model::access::command::AccessChange;
use crate::model::desired::Write;
use crate::model::journal::Draft;
use crate::model::replication::Line;
use crate::store::fault::{from_json, from_sqlite};

fn json<T: Serialize>(noun: &str, value: &T) -> Outcome<String> {
    serde_json::to_string(value).map_err(|e| from_json(noun, &e))
}

/// Stores one change inside a transaction.
pub fn write(tx: &Transaction<'_>, at: Millis, write: &Write) -> Outcome<()> {
    match write {
        Write::PutPool(pool) => {
            let record = json("a pool", pool)?;
            run(
                tx,
                "INSERT INTO pools (id, want, version, revision, record) VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT (id) DO UPDATE
                 SET want = ?2, version = ?3, revision = ?4, record = ?5",
                params![pool.id.to_string(), pool.want, pool.version, pool.revision, record],
            )
        }
        Write::PutRevision { pool, revision, source, by } => run(
            tx,
            "INSERT INTO revisions (pool, revision, at, by, spec, source)
             SELECT ?1, ?2, ?3, ?4, json_extract(record, '$.spec'), ?5 FROM pools WHERE id = ?1",
            params![pool.to_string(), revision, at.0, by, source.as_ref()],
        ),
        Write::DropPool(pool) => run(tx, "DELETE FROM pools WHERE id = ?1", params![pool.to_string()]),
        Write::PutInstance(instance) => {
            let record = json("an instance", instance)?;
            run(
                tx,
                "INSERT INTO instances (pool, slot, record) VALUES (?1, ?2, ?3) ON CONFLICT (pool, slot) DO UPDATE SET record = ?3",
                params![instance.pool.to_string(), instance.slot, record],
            )
        }
        Write::DropInstance(pool, slot) => {
            run(tx, "DELETE FROM instances WHERE pool = ?1 AND slot = ?2", params![pool.to_string(), slot])
        }
        Write::PutOperation(op) => {
            let record = json("an operation", op)?;
            run(
                tx,
                "INSERT INTO operations (id, over, record) VALUES (?1, ?2, ?3) ON CONFLICT (id) DO UPDATE SET over = ?2, record = ?3",
                params![op.id.0, op.status.is_over(), record],
            )
        }
        Write::PutPrewarm(view) => {
            let sql = "INSERT OR REPLACE INTO prewarms (op, record) VALUES (?1, ?2)";
            run(tx, sql, params![view.op.0, json("a prewarm", view)?])
        }
        Write::PutQueued(op, queued) => {
            let record = json("a queued command", queued)?;
            run(tx, "INSERT OR REPLACE INTO queued (op, record) VALUES (?1, ?2)", params![op.0, record])
        }
        Write::DropQueued(op) => run(tx, "DELETE FROM queued WHERE op = ?1", params![op.0]),
        Write::Journal(draft) => journal(tx, at, draft),
        about_hosts => write_host(tx, about_hosts),
    }
}

/// The changes about hosts and sites; every other one belongs to [`write()`].
fn write_host(tx: &Transaction<'_>, write: &Write) -> Outcome<()> {
    match write {
        Write::PutHost(host) => {
            let sql = "INSERT OR REPLACE INTO hosts (id, config) VALUES (?1, ?2)";
            run(tx, sql, params![host.id.as_str(), json("a host", host)?])
        }
        Write::DropHost(host) => [
            "DELETE FROM hosts WHERE id = ?1",
            "DELETE FROM records WHERE host = ?1",
            "DELETE FROM identities WHERE host = ?1",
        ]
        .iter()
        .try_for_each(|sql| run(tx, sql, params![host.as_str()])),
        Write::PutRecord(host, record) => {
            let sql = "INSERT OR REPLACE INTO records (host, record) VALUES (?1, ?2)";
            run(tx, sql, params![host.as_str(), json("a host's record", record)?])
        }
        Write::PutIdentity(host, identity) => {
            let sql = "INSERT OR REPLACE INTO identities (host, identity) VALUES (?1, ?2)";
            run(tx, sql, params![host.as_str(), identity])
        }
        Write::PutSite(site) => {
            let sql = "INSERT OR REPLACE INTO sites (name, record) VALUES (?1, ?2)";
            run(tx, sql, params![site.name.as_str(), json("a site", site)?])
        }
        Write::DropSite(site) => run(tx, "DELETE FROM sites WHERE name = ?1", params![site.as_str()]),
        about_registries => write_registry(tx, about_registries),
    }
}

/// The changes about registries and replication; every other one belongs to [`write_host`].
fn write_registry(tx: &Transaction<'_>, write: &Write) -> Outcome<()> {
    let key = |line: &Line| format!("{}/{}", line.from, line.to);
    match write {
        Write::PutRegistry(registry) => {
            let sql = "INSERT OR REPLACE INTO registries (name, record) VALUES (?1, ?2)";
            run(tx, sql, params![registry.name.as_str(), json("a registry", registry)?])
        }
        Write::DropRegistry(name) => {
            run(tx, "DELETE FROM registries WHERE name = ?1", params![name.as_str()])
        }
        Write::PutRule(rule) => {
            let sql = "INSERT OR REPLACE INTO rules (name, record) VALUES (?1, ?2)";
            run(tx, sql, params![rule.name.as_str(), json("a rule", rule)?])
        }
        Write::DropRule(name) => run(tx, "DELETE FROM rules WHERE name = ?1", params![name.as_str()]),
        Write::PutBrought(name, brought) => {
            let sql = "INSERT OR REPLACE INTO brought (name, record) VALUES (?1, ?2)";
            run(tx, sql, params![name.as_str(), json("what was brought to a Harbor", brought)?])
        }
        Write::DropBrought(name) => run(tx, "DELETE FROM brought WHERE name = ?1", params![name.as_str()]),
        Write::PutLineLimits(limits) => {
            let sql = "INSERT OR REPLACE INTO line_limits (name, record) VALUES (?1, ?2)";
            run(tx, sql, params![key(&limits.line), json("a line's limits", limits)?])
        }
        Write::Access(change) => write_access(tx, change),
        Write::PutImagePolicy(stored) => {
            let sql = "INSERT OR REPLACE INTO image_policy (id, record) VALUES (1, ?1)";
            run(tx, sql, params![json("the rules for images", stored)?])
        }
        Write::DropImagePolicy => run(tx, "DELETE FROM image_policy", params![]),
        Write::DropLineLimits(line) => run(tx, "DELETE FROM line_limits WHERE name = ?1", params![key(line)]),
        other => Err(Fault::new(Kind::Bug, format!("a change that nobody stores: {other:?}"))),
    }
}

/// The changes about users, projects and robots.
fn write_access(tx: &Transaction<'_>, change: &AccessChange) -> Outcome<()> {
    match change {
        AccessChange::User(user) => {
            let sql = "INSERT OR REPLACE INTO users (name, record) VALUES (?1, ?2)";
            run(tx, sql, params![user.name.as_str(), json("a user", user)?])
        }
        AccessChange::NoUser(name) => run(tx, "DELETE FROM users WHERE name = ?1", params![name.as_str()]),
        AccessChange::Project(project) => {
            let sql = "INSERT OR REPLACE INTO projects (name, record) VALUES (?1, ?2)";
            run(tx, sql, params![project.name.as_str(), json("a project", project)?])
        }
        AccessChange::NoProject(name) => {
            run(tx, "DELETE FROM projects WHERE name = ?1", params![name.as_str()])
        }
        AccessChange::Robot(robot) => {
            let sql = "INSERT OR REPLACE INTO robots (project, name, record) VALUES (?1, ?2, ?3)";
            let (project, name) = (robot.project.as_str(), robot.name.as_str());
            run(tx, sql, params![project, name, json("a robot", robot)?])
        }
        AccessChange::NoRobot(project, name) => {
            let sql = "DELETE FROM robots WHERE project = ?1 AND name = ?2";
            run(tx, sql, params![project.as_str(), name.as_str()])
        }
    }
}

fn journal(tx: &Transaction<'_>, at: Millis, draft: &Draft) -> Outcome<()> {
    run(
        tx,
        "INSERT INTO journal (at, what, by, op, pool, slot, host, text) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        params![
            at.0,
            draft.what.word(),
            draft.by,
            draft.op.map(|op| op.0),
            draft.pool.as_ref().map(ToString::to_string),
            draft.slot,
            draft.host.as_ref().map(|h| h.as_str().to_owned()),
            draft.text
        ],
    )?;
    let newest = tx.last_insert_rowid();
    if newest % PRUNE_EVERY == 0 { prune(tx, newest - ENGINE_LINES_KEPT) } else { Ok(()) }
}

/// The engine's own lines are kept so far back (a pool in a crash loop writes some thousand a day); those of people for good.
const ENGINE_LINES_KEPT: i64 = 500_000;
/// Old lines are looked for once in so many new ones.
const PRUNE_EVERY: i64 = 4_096;

/// Drops the engine's own lines up to a number.
pub fn prune(tx: &Transaction<'_>, up_to: i64) -> Outcome<()> {
    run(tx, "DELETE FROM journal WHERE seq <= ?1 AND by = 'engine' AND what <> 'engine'", params![up_to])
}

fn run(tx: &Transaction<'_>, sql: &str, values: &[&dyn rusqlite::ToSql]) -> Outcome<()> {
    let mut statement = tx.prepare_cached(sql).map_err(|e| from_sqlite(&e))?;
    statement.execute(values).map(|_| ()).map_err(|e| from_sqlite(&e))
}
