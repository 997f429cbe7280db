//! The durable side of replication: runs, their tags, where blobs were sent; with `memory.rs` what is remembered of tags.

use rusqlite::{Connection, Transaction, params};
use serde::Serialize;

use crate::base::fault::Outcome;
use crate::base::ids::{RegistryName, RuleName};
use crate::model::oci::{Digest, Repository, Tag};
use crate::model::policy::ImageFacts;
use crate::model::replication::known::{Conflict, Known};
use crate::model::replication::review::{Report, Review};
use crate::model::replication::{Line, RunId, RunView, TagRun};
use crate::store::Store;
use crate::store::fault::{from_json, from_sqlite};
use crate::store::load::records;
use crate::store::memory;

/// Most notes that callers give in one call, so that one transaction stays short.
pub const NOTES_MAX: usize = 2_000;
/// Runs of a rule that are kept, with their tags.
pub const RUNS_KEPT: u32 = 50;
/// Images of which it is kept what they say of themselves.
pub const FACTS_KEPT: u32 = 10_000;
/// Most rows that one question may bring.
pub const PAGE_MAX: u32 = 1_000;

/// Something about replication to be made durable.
#[derive(Clone, Debug, PartialEq)]
pub enum Note {
    /// A run as it stands. When it is over, runs of the same rule beyond [`RUNS_KEPT`] are dropped.
    Run(Box<RunView>),
    /// A tag of a run, by its place in it.
    Tag(RunId, u32, Box<TagRun>),
    /// A blob is about to be sent to, or was found in, this repository of a registry.
    Placed(RegistryName, Digest, Repository),
    /// A blob is not there after all.
    Unplaced(RegistryName, Digest, Repository),
    /// What is remembered of a tag from now on.
    Known(Box<Remembered>),
    /// Nothing is remembered any more of the tags of a line's repository, as the source calls it.
    Forgotten(Line, Repository),
    /// A tag was changed on both sides; in place of what was said about it before.
    Conflict(Box<Conflict>),
    /// A tag is not in conflict any more.
    Settled(RuleName, Repository, Tag),
    /// A tag is written without all that refers to it.
    Owed(Owed),
    /// All that refers to a tag is there, or is to be brought no more.
    Paid(Owed),
    /// Deletions of a rule's line that wait for a yes; in place of those before.
    Review(Box<Review>),
    /// Nothing of this rule's line to that registry waits any more.
    Reviewed(RuleName, RegistryName),
    /// What a comparison of every tag and blob has found. Only the last [`REPORTS_KEPT`] of a rule are kept.
    Report(Box<Report>),
    /// What the image with this digest says of itself, for each platform. Of these the last [`FACTS_KEPT`] are kept.
    ImageFacts(Digest, Vec<ImageFacts>),
    /// What the name of an image points to; none when there is no such image any more. Of these the last [`FACTS_KEPT`] are
    /// kept, too.
    ImageTag(String, Option<Digest>),
}

/// Reports of a rule that are kept.
pub const REPORTS_KEPT: u32 = 20;

/// A tag of a rule at a registry: the repository as the rule's source calls it.
pub type Owed = (RuleName, RegistryName, Repository, Tag);

/// What is remembered of one tag on a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remembered {
    /// From the rule's source to its target.
    pub line: Line,
    /// The repository at the source.
    pub from: Repository,
    /// The repository at the target.
    pub to: Repository,
    /// The tag.
    pub tag: Tag,
    /// It counts only if this is what was remembered until now; none counts always.
    pub before: Option<Known>,
    /// What is remembered from now on; nothing when that is empty.
    pub known: Known,
}

fn json<T: Serialize>(noun: &str, value: &T) -> Outcome<String> {
    serde_json::to_string(value).map_err(|e| from_json(noun, &e))
}

/// Stores one note inside a transaction.
///
/// # Errors
/// When the database says no.
pub fn write(tx: &Transaction<'_>, note: &Note) -> Outcome<()> {
    match note {
        Note::Run(view) => put_run(tx, view),
        Note::Tag(id, seq, tag) => {
            let sql = "INSERT OR REPLACE INTO run_tags (run, seq, record) VALUES (?1, ?2, ?3)";
            run(tx, sql, params![id.0, seq, json("a run's tag", tag)?])
        }
        Note::Placed(registry, digest, repository) => {
            let sql = "INSERT OR IGNORE INTO placed (registry, digest, repository) VALUES (?1, ?2, ?3)";
            run(tx, sql, params![registry.as_str(), digest.as_str(), repository.as_str()])
        }
        Note::Unplaced(registry, digest, repository) => {
            let sql = "DELETE FROM placed WHERE registry = ?1 AND digest = ?2 AND repository = ?3";
            run(tx, sql, params![registry.as_str(), digest.as_str(), repository.as_str()])
        }
        Note::ImageFacts(digest, facts) => {
            let sql = "INSERT OR REPLACE INTO image_facts (digest, record) VALUES (?1, ?2)";
            run(tx, sql, params![digest.as_str(), json("what an image says", facts)?])?;
            let prune = "DELETE FROM image_facts WHERE seq <= (SELECT max(seq) FROM image_facts) - ?1";
            run(tx, prune, params![FACTS_KEPT])
        }
        Note::ImageTag(image, None) => run(tx, "DELETE FROM image_tags WHERE image = ?1", params![image]),
        Note::ImageTag(image, Some(digest)) => {
            let sql = "INSERT OR REPLACE INTO image_tags (image, digest) VALUES (?1, ?2)";
            run(tx, sql, params![image, digest.as_str()])?;
            let prune = "DELETE FROM image_tags WHERE seq <= (SELECT max(seq) FROM image_tags) - ?1";
            run(tx, prune, params![FACTS_KEPT])
        }
        Note::Known(what) => memory::put_known(tx, what),
        Note::Forgotten(line, repository) => {
            let sql = "DELETE FROM known_tags WHERE source = ?1 AND target = ?2 AND repository = ?3";
            run(tx, sql, params![line.from.as_str(), line.to.as_str(), repository.as_str()])
        }
        Note::Conflict(what) => {
            let sql =
                "INSERT OR REPLACE INTO conflicts (rule, repository, tag, record) VALUES (?1, ?2, ?3, ?4)";
            let (rule, record) = (what.rule.as_str(), json("a conflict", what)?);
            run(tx, sql, params![rule, what.repository.as_str(), what.tag.as_str(), record])
        }
        Note::Settled(rule, repository, tag) => {
            let sql = "DELETE FROM conflicts WHERE rule = ?1 AND repository = ?2 AND tag = ?3";
            run(tx, sql, params![rule.as_str(), repository.as_str(), tag.as_str()])
        }
        Note::Owed((rule, registry, repository, tag)) => {
            let sql = "INSERT OR IGNORE INTO owed (rule, registry, repository, tag) VALUES (?1, ?2, ?3, ?4)";
            run(tx, sql, params![rule.as_str(), registry.as_str(), repository.as_str(), tag.as_str()])
        }
        Note::Paid((rule, registry, repository, tag)) => {
            let sql = "DELETE FROM owed WHERE rule = ?1 AND registry = ?2 AND repository = ?3 AND tag = ?4";
            run(tx, sql, params![rule.as_str(), registry.as_str(), repository.as_str(), tag.as_str()])
        }
        Note::Review(what) => {
            let sql = "INSERT OR REPLACE INTO reviews (rule, target, record) VALUES (?1, ?2, ?3)";
            run(tx, sql, params![what.rule.as_str(), what.line.to.as_str(), json("a review", what)?])
        }
        Note::Reviewed(rule, target) => {
            let sql = "DELETE FROM reviews WHERE rule = ?1 AND target = ?2";
            run(tx, sql, params![rule.as_str(), target.as_str()])
        }
        Note::Report(what) => put_report(tx, what),
    }
}

fn put_report(tx: &Transaction<'_>, report: &Report) -> Outcome<()> {
    let sql = "INSERT OR REPLACE INTO reports (rule, at, record) VALUES (?1, ?2, ?3)";
    run(tx, sql, params![report.rule.as_str(), report.at.0, json("a report", report)?])?;
    let prune = "DELETE FROM reports WHERE rule = ?1 AND at <=
                 (SELECT at FROM reports WHERE rule = ?1 ORDER BY at DESC LIMIT 1 OFFSET ?2)";
    run(tx, prune, params![report.rule.as_str(), REPORTS_KEPT])
}

fn put_run(tx: &Transaction<'_>, view: &RunView) -> Outcome<()> {
    let over = view.state.is_over();
    let sql = "INSERT INTO runs (id, rule, over, record) VALUES (?1, ?2, ?3, ?4)
               ON CONFLICT (id) DO UPDATE SET over = ?3, record = ?4";
    run(tx, sql, params![view.id.0, view.rule.as_str(), over, json("a run", view)?])?;
    if !over {
        return Ok(());
    }
    let prune = "DELETE FROM runs WHERE rule = ?1 AND over = 1 AND id <=
                 (SELECT id FROM runs WHERE rule = ?1 ORDER BY id DESC LIMIT 1 OFFSET ?2)";
    run(tx, prune, params![view.rule.as_str(), RUNS_KEPT])
}

/// Carries one statement out.
pub(super) fn run(tx: &Transaction<'_>, sql: &str, values: &[&dyn rusqlite::ToSql]) -> Outcome<()> {
    let mut statement = tx.prepare_cached(sql).map_err(|e| from_sqlite(&e))?;
    statement.execute(values).map(|_| ()).map_err(|e| from_sqlite(&e))
}

/// Every row that a query with these values gives, each made by `make`.
pub(super) fn rows<T>(
    connection: &Connection,
    sql: &str,
    values: &[&dyn rusqlite::ToSql],
    make: impl Fn(&rusqlite::Row<'_>) -> rusqlite::Result<Outcome<T>>,
) -> Outcome<Vec<T>> {
    let mut statement = connection.prepare_cached(sql).map_err(|e| from_sqlite(&e))?;
    let mut rows = statement.query(values).map_err(|e| from_sqlite(&e))?;
    let mut out = Vec::new();
    while let Some(row) = rows.next().map_err(|e| from_sqlite(&e))? {
        out.push(make(row).map_err(|e| from_sqlite(&e))??);
    }
    Ok(out)
}

/// Reads a record.
pub(super) fn record<T: serde::de::DeserializeOwned>(noun: &str, text: &str) -> Outcome<T> {
    serde_json::from_str(text).map_err(|e| from_json(noun, &e))
}

impl Store {
    /// The runs that were not over when this was last written, oldest first.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn unfinished_runs(&self) -> Outcome<Vec<RunView>> {
        self.read(|c| records(c, "a run", "SELECT record FROM runs WHERE over = 0 ORDER BY id")).await
    }

    /// The highest number that a run ever had; 0 before the first.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn last_run(&self) -> Outcome<RunId> {
        let sql = "SELECT coalesce(max(id), 0) FROM runs";
        let found = self.read(|c| rows(c, sql, &[], |row| Ok(Ok(RunId(row.get(0)?))))).await?;
        Ok(found.first().copied().unwrap_or_default())
    }

    /// Runs of a rule, newest first, at most so many and at most [`PAGE_MAX`].
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn runs_of(&self, rule: &RuleName, limit: u32) -> Outcome<Vec<RunView>> {
        let rule = rule.to_string();
        let sql = "SELECT record FROM runs WHERE rule = ?1 ORDER BY id DESC LIMIT ?2";
        self.read(move |c| {
            rows(c, sql, params![rule, limit.min(PAGE_MAX)], |row| {
                Ok(record("a run", &row.get::<_, String>(0)?))
            })
        })
        .await
    }

    /// Tags of a run from a place on, in order, each with its place; at most so many and at most [`PAGE_MAX`].
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn run_tags(&self, id: RunId, from: u32, limit: u32) -> Outcome<Vec<(u32, TagRun)>> {
        let sql = "SELECT seq, record FROM run_tags WHERE run = ?1 AND seq >= ?2 ORDER BY seq LIMIT ?3";
        self.read(move |c| {
            rows(c, sql, params![id.0, from, limit.min(PAGE_MAX)], |row| {
                let (seq, text): (u32, String) = (row.get(0)?, row.get(1)?);
                Ok(record("a run's tag", &text).map(|tag| (seq, tag)))
            })
        })
        .await
    }

    /// Repositories of a registry to which a blob was sent, at most so many.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn placed(
        &self,
        registry: &RegistryName,
        digest: &Digest,
        limit: u32,
    ) -> Outcome<Vec<Repository>> {
        let (registry, digest) = (registry.to_string(), digest.to_string());
        let sql = "SELECT repository FROM placed WHERE registry = ?1 AND digest = ?2 LIMIT ?3";
        self.read(move |c| {
            rows(c, sql, params![registry, digest, limit.min(PAGE_MAX)], |row| {
                Ok(row.get::<_, String>(0)?.parse())
            })
        })
        .await
    }

    /// What the image with a digest says of itself, when it was looked at before.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn image_facts(&self, digest: &Digest) -> Outcome<Option<Vec<ImageFacts>>> {
        let digest = digest.to_string();
        let sql = "SELECT record FROM image_facts WHERE digest = ?1";
        let read = |row: &rusqlite::Row<'_>| Ok(record("what an image says", &row.get::<_, String>(0)?));
        Ok(self.read(move |c| rows(c, sql, params![digest], read)).await?.into_iter().next())
    }

    /// What the name of an image pointed to when that was last known, and what that says of itself.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn image_before(&self, image: &str) -> Outcome<Option<(Digest, Vec<ImageFacts>)>> {
        let image = image.to_owned();
        let sql = "SELECT t.digest, f.record FROM image_tags t JOIN image_facts f ON f.digest = t.digest WHERE t.image = ?1";
        let read = |row: &rusqlite::Row<'_>| {
            let (digest, facts) = (row.get::<_, String>(0)?, row.get::<_, String>(1)?);
            Ok(digest.parse().and_then(|digest: Digest| Ok((digest, record("what an image says", &facts)?))))
        };
        Ok(self.read(move |c| rows(c, sql, params![image], read)).await?.into_iter().next())
    }
}

#[cfg(test)]
mod tests;
