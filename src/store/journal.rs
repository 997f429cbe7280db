//! Questions to the journal and to the past operations.

use rusqlite::{Connection, Row};

use crate::base::clock::Millis;
use crate::base::fault::Outcome;
use crate::base::ids::{HostId, OpId, PoolId};
use crate::model::journal::{Entry, What};
use crate::model::operation::Operation;
use crate::store::fault::from_sqlite;
use crate::store::load::records;

/// Which lines of the journal.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Only lines before this number.
    pub before: Option<u64>,
    /// At most so many (capped at [`LIMIT_MAX`]).
    pub limit: u32,
    /// Only about this pool.
    pub pool: Option<PoolId>,
    /// Only of this operation.
    pub op: Option<OpId>,
}

/// Most lines that one question may bring.
pub const LIMIT_MAX: u32 = 10_000;

/// Lines of the journal, newest first.
///
/// # Errors
/// When the database cannot be read.
pub fn journal(connection: &Connection, filter: &Filter) -> Outcome<Vec<Entry>> {
    let sql = "SELECT seq, at, what, by, op, pool, slot, host, text FROM journal
               WHERE (?1 IS NULL OR seq < ?1) AND (?2 IS NULL OR pool = ?2) AND (?3 IS NULL OR op = ?3)
               ORDER BY seq DESC LIMIT ?4";
    let mut statement = connection.prepare_cached(sql).map_err(|e| from_sqlite(&e))?;
    let values = rusqlite::params![
        filter.before,
        filter.pool.as_ref().map(ToString::to_string),
        filter.op.map(|op| op.0),
        filter.limit.min(LIMIT_MAX)
    ];
    let rows = statement.query_map(values, entry).map_err(|e| from_sqlite(&e))?;
    rows.collect::<Result<_, _>>().map_err(|e| from_sqlite(&e))
}

fn entry(row: &Row<'_>) -> rusqlite::Result<Entry> {
    let what: String = row.get(2)?;
    let pool: Option<String> = row.get(5)?;
    let host: Option<String> = row.get(7)?;
    Ok(Entry {
        seq: row.get(0)?,
        at: Millis(row.get(1)?),
        what: What::from_word(&what).unwrap_or(What::Observed),
        by: row.get(3)?,
        op: row.get::<_, Option<u64>>(4)?.map(OpId),
        pool: pool.and_then(|p| p.parse().ok()),
        slot: row.get(6)?,
        host: host.and_then(|h| HostId::new(&h).ok()),
        text: row.get(8)?,
    })
}

/// Operations, newest first.
///
/// # Errors
/// When the database cannot be read.
pub fn operations(connection: &Connection, limit: u32) -> Outcome<Vec<Operation>> {
    let sql = format!("SELECT record FROM operations ORDER BY id DESC LIMIT {}", limit.min(LIMIT_MAX));
    records(connection, "an operation", &sql)
}
