//! What is remembered of tags between two registries, and what waits for somebody: the durable side of two masters.

use std::collections::BTreeMap;

use rusqlite::types::Value;
use rusqlite::{Transaction, params};

use crate::base::clock::Millis;
use crate::base::fault::{Fault, Kind, Outcome};
use crate::base::ids::RuleName;
use crate::model::oci::{Digest, Repository, Tag};
use crate::model::replication::Line;
use crate::model::replication::known::{Conflict, Intent, Known, Side, Tombstone};
use crate::model::replication::review::{Report, Review};
use crate::store::Store;
use crate::store::load::records;
use crate::store::replication::{Owed, Remembered, record, rows, run};

/// A tag of a line, in the order of the table's key.
const KEY: &str = "source = ?1 AND target = ?2 AND repository = ?3 AND there = ?4 AND tag = ?5";
/// What is remembered of it is this. (`IS` holds for two absent values as well.)
const IS: &str = "last IS ?6 AND intent_to IS ?7 AND intent IS ?8 AND buried IS ?9 AND buried_at IS ?10
                  AND gone_since IS ?11";

/// The columns of what is remembered, as values.
fn values(known: &Known) -> [Value; 6] {
    let text = |text: Option<&str>| text.map_or(Value::Null, |t| Value::Text(t.to_owned()));
    let time = |at: Option<Millis>| at.map_or(Value::Null, |at| Value::Integer(at.0));
    let (intent, stone) = (known.intent.as_ref(), known.tombstone.as_ref());
    [
        text(known.last.as_ref().map(Digest::as_str)),
        text(intent.map(|i| i.to.noun())),
        text(intent.map(|i| i.digest.as_str())),
        text(stone.map(|s| s.digest.as_str())),
        time(stone.map(|s| s.at)),
        time(known.gone_since),
    ]
}

/// Remembers something of a tag, if what was remembered until now is what the writer knew. What is forgotten has no row.
///
/// # Errors
/// When the database says no.
pub fn put_known(tx: &Transaction<'_>, what: &Remembered) -> Outcome<()> {
    const SET: &str =
        "last = ?12, intent_to = ?13, intent = ?14, buried = ?15, buried_at = ?16, gone_since = ?17";
    const INTO: &str =
        "INTO known_tags (source, target, repository, there, tag, last, intent_to, intent, buried, buried_at,
                        gone_since) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)";
    let none = Known::default();
    let line = &what.line;
    let key = [line.from.as_str(), line.to.as_str(), what.from.as_str(), what.to.as_str(), what.tag.as_str()];
    let with = |sql: String, more: &[&Known]| {
        let mut all: Vec<Value> = key.iter().map(|text| Value::Text((*text).to_owned())).collect();
        all.extend(more.iter().flat_map(|known| values(known)));
        let all: Vec<&dyn rusqlite::ToSql> = all.iter().map(|v| v as &dyn rusqlite::ToSql).collect();
        run(tx, &sql, &all)
    };
    let known = &what.known;
    match &what.before {
        None if *known == none => with(format!("DELETE FROM known_tags WHERE {KEY}"), &[]),
        None => with(format!("INSERT OR REPLACE {INTO}"), &[known]),
        Some(before) if *before == none => with(format!("INSERT OR IGNORE {INTO}"), &[known]),
        Some(before) if *known == none => {
            with(format!("DELETE FROM known_tags WHERE {KEY} AND {IS}"), &[before])
        }
        Some(before) => with(format!("UPDATE known_tags SET {SET} WHERE {KEY} AND {IS}"), &[before, known]),
    }
}

/// A row of the table, as it is read.
struct Row {
    tag: String,
    last: Option<String>,
    intent_to: Option<String>,
    intent: Option<String>,
    buried: Option<String>,
    buried_at: Option<i64>,
    gone_since: Option<i64>,
}

impl Row {
    fn known(self) -> Outcome<(Tag, Known)> {
        let digest = |text: Option<String>| text.map(|t| t.parse::<Digest>()).transpose();
        let side = |text: &str| match text {
            "source" => Ok(Side::Source),
            "target" => Ok(Side::Target),
            other => Err(Fault::new(Kind::Bug, format!("{other:?} is not a side of a line"))),
        };
        let to = self.intent_to.as_deref().map(side).transpose()?;
        let intent = to.zip(digest(self.intent)?).map(|(to, digest)| Intent { to, digest });
        let stone = digest(self.buried)?.zip(self.buried_at);
        let tombstone = stone.map(|(digest, at)| Tombstone { digest, at: Millis(at) });
        let gone_since = self.gone_since.map(Millis);
        Ok((self.tag.parse()?, Known { last: digest(self.last)?, intent, tombstone, gone_since }))
    }
}

impl Store {
    /// What is remembered of the tags of a repository (`from` at the source, `to` at the target) on a line.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn known(
        &self,
        line: &Line,
        from: &Repository,
        to: &Repository,
    ) -> Outcome<BTreeMap<Tag, Known>> {
        let (source, target) = (line.from.to_string(), line.to.to_string());
        let (from, to) = (from.to_string(), to.to_string());
        let sql = "SELECT tag, last, intent_to, intent, buried, buried_at, gone_since FROM known_tags
                   WHERE source = ?1 AND target = ?2 AND repository = ?3 AND there = ?4";
        let found = self.read(move |c| {
            rows(c, sql, params![source, target, from, to], |row| {
                let row = Row {
                    tag: row.get(0)?,
                    last: row.get(1)?,
                    intent_to: row.get(2)?,
                    intent: row.get(3)?,
                    buried: row.get(4)?,
                    buried_at: row.get(5)?,
                    gone_since: row.get(6)?,
                };
                Ok(row.known())
            })
        });
        Ok(found.await?.into_iter().collect())
    }

    /// Repositories of a line, as the source calls them, of which any tag is remembered.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn known_repositories(&self, line: &Line) -> Outcome<Vec<Repository>> {
        let (from, to) = (line.from.to_string(), line.to.to_string());
        let sql = "SELECT DISTINCT repository FROM known_tags WHERE source = ?1 AND target = ?2";
        self.read(move |c| rows(c, sql, params![from, to], |row| Ok(row.get::<_, String>(0)?.parse()))).await
    }

    /// All conflicts that wait for somebody.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn conflicts(&self) -> Outcome<Vec<Conflict>> {
        let sql = "SELECT record FROM conflicts ORDER BY rule, repository, tag";
        self.read(move |c| records(c, "a conflict", sql)).await
    }

    /// All tags that were written without all that refers to them.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn owed(&self) -> Outcome<Vec<Owed>> {
        let sql = "SELECT rule, registry, repository, tag FROM owed";
        self.read(move |c| {
            rows(c, sql, &[], |row| {
                let text = |n: usize| row.get::<_, String>(n);
                let (rule, registry, repository, tag) = (text(0)?, text(1)?, text(2)?, text(3)?);
                let read = || Ok((rule.parse()?, registry.parse()?, repository.parse()?, tag.parse()?));
                Ok(read())
            })
        })
        .await
    }

    /// How many tags of a line's repository (`from` at the source, `to` at the target) are remembered.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn known_count(&self, line: &Line, from: &Repository, to: &Repository) -> Outcome<usize> {
        let (source, target) = (line.from.to_string(), line.to.to_string());
        let (from, to) = (from.to_string(), to.to_string());
        let sql = "SELECT count(*) FROM known_tags
                   WHERE source = ?1 AND target = ?2 AND repository = ?3 AND there = ?4";
        let found =
            self.read(move |c| rows(c, sql, params![source, target, from, to], |row| Ok(Ok(row.get(0)?))));
        Ok(found.await?.into_iter().next().unwrap_or_default())
    }

    /// All deletions that wait for a yes, or are being carried out.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn reviews(&self) -> Outcome<Vec<Review>> {
        let sql = "SELECT record FROM reviews ORDER BY rule, target";
        self.read(move |c| records(c, "a review", sql)).await
    }

    /// The reports of a rule that are kept, newest first.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn reports(&self, rule: &RuleName) -> Outcome<Vec<Report>> {
        let rule = rule.to_string();
        let sql = "SELECT record FROM reports WHERE rule = ?1 ORDER BY at DESC";
        self.read(move |c| {
            rows(c, sql, params![rule], |row| Ok(record("a report", &row.get::<_, String>(0)?)))
        })
        .await
    }
}
