//! Rows to memory: everything that decisions need, read once when a core starts.

use std::str::FromStr;
use std::sync::Arc;

use rusqlite::Connection;
use serde::de::DeserializeOwned;

use crate::base::fault::{Fault, Kind, Outcome};
use crate::base::ids::{HostId, InstallId, OpId, RegistryName};
use crate::model::access::command::AccessChange;
use crate::model::desired::{Desired, QueuedCommand, Write};
use crate::model::harbor::access::Brought;
use crate::model::host::{HostConfig, HostRecord};
use crate::model::instance::Instance;
use crate::model::operation::Operation;
use crate::model::policy::StoredPolicy;
use crate::model::pool::Pool;
use crate::model::prewarm::PrewarmView;
use crate::model::registry::Registry;
use crate::model::replication::{LineLimits, Rule};
use crate::model::site::Site;
use crate::store::fault::{from_json, from_sqlite};

/// Reads everything that is wanted.
///
/// # Errors
/// When a row cannot be read: nothing is guessed.
pub fn load(connection: &Connection) -> Outcome<Desired> {
    let install =
        meta(connection, "install")?.ok_or_else(|| Fault::new(Kind::Bug, "the state has no install id"))?;
    let mut desired = Desired { install: InstallId(install.into()), next_op: 1, ..Desired::default() };
    for host in records::<HostConfig>(connection, "a host", "SELECT config FROM hosts")? {
        desired.apply(&Write::PutHost(host));
    }
    for (host, record) in pairs(connection, "SELECT host, record FROM records")? {
        let record: HostRecord = decode("a host's record", &record)?;
        desired.apply(&Write::PutRecord(HostId::from_str(&host)?, Box::new(record)));
    }
    for site in records::<Site>(connection, "a site", "SELECT record FROM sites")? {
        desired.apply(&Write::PutSite(site));
    }
    load_registries(connection, &mut desired)?;
    let access = records(connection, "a user", "SELECT record FROM users")?
        .into_iter()
        .map(AccessChange::User)
        .chain(
            records(connection, "a project", "SELECT record FROM projects")?
                .into_iter()
                .map(AccessChange::Project),
        )
        .chain(
            records(connection, "a robot", "SELECT record FROM robots ORDER BY project, name")?
                .into_iter()
                .map(AccessChange::Robot),
        );
    for change in access {
        desired.apply(&Write::Access(Box::new(change)));
    }
    for stored in
        records::<StoredPolicy>(connection, "the rules for images", "SELECT record FROM image_policy")?
    {
        desired.apply(&Write::PutImagePolicy(Box::new(stored)));
    }
    for pool in records::<Pool>(connection, "a pool", "SELECT record FROM pools")? {
        desired.apply(&Write::PutPool(Box::new(pool)));
    }
    for instance in records::<Instance>(connection, "an instance", "SELECT record FROM instances")? {
        desired.apply(&Write::PutInstance(instance));
    }
    for (pool, revision) in
        pairs(connection, "SELECT pool, CAST(max(revision) AS TEXT) FROM revisions GROUP BY pool")?
    {
        desired.revisions.insert(pool.parse()?, revision.parse().unwrap_or(0));
    }
    for (host, identity) in pairs(connection, "SELECT host, identity FROM identities")? {
        desired.apply(&Write::PutIdentity(HostId::from_str(&host)?, identity));
    }
    let recent = "SELECT record FROM (SELECT id, record FROM operations WHERE over = 0 UNION
                  SELECT id, record FROM (SELECT id, record FROM operations ORDER BY id DESC LIMIT 64)) ORDER BY id";
    for op in records::<Operation>(connection, "an operation", recent)? {
        desired.apply(&Write::PutOperation(op));
    }
    let last = "SELECT record FROM (SELECT op, record FROM prewarms ORDER BY op DESC LIMIT 16) ORDER BY op";
    for view in records::<PrewarmView>(connection, "a prewarm", last)? {
        desired.apply(&Write::PutPrewarm(Arc::new(view)));
    }
    for (op, record) in pairs(connection, "SELECT CAST(op AS TEXT), record FROM queued")? {
        let queued: QueuedCommand = decode("a queued command", &record)?;
        desired.apply(&Write::PutQueued(OpId::from_str(&op)?, Box::new(queued)));
    }
    Ok(desired)
}

/// One value of the `meta` table.
pub fn meta(connection: &Connection, key: &str) -> Outcome<Option<String>> {
    let mut statement =
        connection.prepare_cached("SELECT value FROM meta WHERE key = ?1").map_err(|e| from_sqlite(&e))?;
    let mut rows = statement.query([key]).map_err(|e| from_sqlite(&e))?;
    match rows.next().map_err(|e| from_sqlite(&e))? {
        Some(row) => row.get(0).map(Some).map_err(|e| from_sqlite(&e)),
        None => Ok(None),
    }
}

/// Registries, rules, limits of lines, and what was brought to Harbors.
fn load_registries(connection: &Connection, desired: &mut Desired) -> Outcome<()> {
    for registry in records::<Registry>(connection, "a registry", "SELECT record FROM registries")? {
        desired.apply(&Write::PutRegistry(Box::new(registry)));
    }
    for rule in records::<Rule>(connection, "a rule", "SELECT record FROM rules")? {
        desired.apply(&Write::PutRule(Box::new(rule)));
    }
    for limits in records::<LineLimits>(connection, "a line's limits", "SELECT record FROM line_limits")? {
        desired.apply(&Write::PutLineLimits(limits));
    }
    for (name, record) in pairs(connection, "SELECT name, record FROM brought")? {
        let brought: Brought = decode("what was brought to a Harbor", &record)?;
        desired.apply(&Write::PutBrought(RegistryName::from_str(&name)?, Box::new(brought)));
    }
    Ok(())
}

/// Every record that a query of one JSON column gives.
pub fn records<T: DeserializeOwned>(connection: &Connection, noun: &str, sql: &str) -> Outcome<Vec<T>> {
    let mut statement = connection.prepare(sql).map_err(|e| from_sqlite(&e))?;
    let mut rows = statement.query([]).map_err(|e| from_sqlite(&e))?;
    let mut out = Vec::new();
    while let Some(row) = rows.next().map_err(|e| from_sqlite(&e))? {
        let text: String = row.get(0).map_err(|e| from_sqlite(&e))?;
        out.push(decode(noun, &text)?);
    }
    Ok(out)
}

fn pairs(connection: &Connection, sql: &str) -> Outcome<Vec<(String, String)>> {
    let mut statement = connection.prepare(sql).map_err(|e| from_sqlite(&e))?;
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).map_err(|e| from_sqlite(&e))?;
    rows.collect::<Result<_, _>>().map_err(|e| from_sqlite(&e))
}

fn decode<T: DeserializeOwned>(noun: &str, text: &str) -> Outcome<T> {
    serde_json::from_str(text).map_err(|e| from_json(noun, &e))
}
