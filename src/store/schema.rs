//! The schema's versions: forward only, each migration all or nothing, a newer file is refused.

use rusqlite::{Connection, TransactionBehavior};

use crate::base::fault::{Fault, Kind, Outcome};
use crate::store::fault::from_sqlite;

/// Every migration, in order. The database's `user_version` is the number of those that it has had.
pub const MIGRATIONS: &[(&str, &str)] = &[
    ("0001_initial", include_str!("schema/0001_initial.sql")),
    ("0002_hosts_and_sites", include_str!("schema/0002_hosts_and_sites.sql")),
    ("0003_replication", include_str!("schema/0003_replication.sql")),
    ("0004_registries_and_rules", include_str!("schema/0004_registries_and_rules.sql")),
    ("0005_two_masters", include_str!("schema/0005_two_masters.sql")),
    ("0006_access", include_str!("schema/0006_access.sql")),
    ("0007_image_policy", include_str!("schema/0007_image_policy.sql")),
    ("0008_brought", include_str!("schema/0008_brought.sql")),
    ("0009_prewarms", include_str!("schema/0009_prewarms.sql")),
    ("0010_image_tags", include_str!("schema/0010_image_tags.sql")),
    ("0011_owed", include_str!("schema/0011_owed.sql")),
];

/// Brings a database to the newest schema.
///
/// # Errors
/// When it was written by a newer longshore, or the disk says no.
pub fn migrate(connection: &mut Connection) -> Outcome<()> {
    let newest = MIGRATIONS.len();
    let version = version(connection)?;
    refuse_newer(version)?;
    if version == newest {
        return Ok(());
    }
    let tx =
        connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(|e| from_sqlite(&e))?;
    for (name, sql) in MIGRATIONS.iter().skip(version) {
        tx.execute_batch(sql).map_err(|e| from_sqlite(&e).because(format!("migration {name}")))?;
    }
    tx.pragma_update(None, "user_version", newest).map_err(|e| from_sqlite(&e))?;
    tx.commit().map_err(|e| from_sqlite(&e))
}

/// Refuses a database that a newer longshore has written.
///
/// # Errors
/// A refusal in words.
pub fn refuse_newer(version: usize) -> Outcome<()> {
    let newest = MIGRATIONS.len();
    if version <= newest {
        return Ok(());
    }
    Err(Fault::new(
        Kind::Refused,
        format!("the state was written by a newer longshore (schema {version}, this one knows {newest})"),
    )
    .hint("use that newer longshore, or give another state directory with --state DIR; nothing was changed"))
}

/// The schema version of a database.
///
/// # Errors
/// When the file is no database of ours or the disk says no.
pub fn version(connection: &Connection) -> Outcome<usize> {
    connection
        .pragma_query_value(None, "user_version", |row| row.get::<_, usize>(0))
        .map_err(|e| from_sqlite(&e))
}
