//! The records of `--json` about registries, what they hold, and what is replicated between them.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::base::stamp::rfc3339;
use crate::model::host::Seen;
use crate::model::registry::{EndpointView, RegistryView, RepositoryRow, TagRow};
use crate::model::replication::{
    Cause, DiffRow, Difference, Filter, On, Pattern, RuleView, RunView, TagRun, TagState, Transfer,
};
use crate::view::json::harbor::HarborRecord;
use crate::view::json::{seen_at, seen_word};
use crate::view::registries;
use crate::view::replication::{self, LineRow};

/// A registry. What is not known is `null`, never zero.
#[derive(Clone, Debug, Serialize)]
#[expect(missing_docs, reason = "docs/json.md says what each field means, in one place")]
pub struct RegistryRecord {
    pub registry: String,
    pub kind: &'static str,
    pub address: String,
    pub sites: Vec<String>,
    pub storage: Option<String>,
    pub version: Option<String>,
    pub plain_http: bool,
    pub endpoints: Vec<EndpointRecord>,
    pub active: Option<String>,
    pub repositories: Option<u32>,
    pub tags: Option<u32>,
    pub counted: Option<String>,
    pub counted_ms: Option<i64>,
    pub harbor: Option<HarborRecord>,
}

/// An endpoint of a registry.
#[derive(Clone, Debug, Serialize)]
#[expect(missing_docs, reason = "docs/json.md says what each field means, in one place")]
pub struct EndpointRecord {
    pub address: String,
    pub state: &'static str,
    pub last_seen: Option<String>,
    pub last_seen_ms: Option<i64>,
    pub why: Option<String>,
    pub took_ms: Option<u64>,
    pub version: Option<String>,
    pub lists: Option<bool>,
}

impl EndpointRecord {
    fn of(e: &EndpointView) -> EndpointRecord {
        let at = seen_at(&e.seen);
        EndpointRecord {
            address: e.address.clone(),
            state: seen_word(&e.seen),
            last_seen: at.map(rfc3339),
            last_seen_ms: at.map(|at| at.0),
            why: match &e.seen {
                Seen::Never { why } => why.clone(),
                Seen::Lost { why, .. } => Some(why.clone()),
                Seen::At(_) => None,
            },
            took_ms: e.took_ms,
            version: e.facts.as_ref().and_then(|f| Some(f.version.as_ref()?.raw().to_owned())),
            lists: e.facts.as_ref().map(|f| f.lists),
        }
    }
}

impl RegistryRecord {
    /// The record of a registry.
    pub fn of(view: &RegistryView) -> RegistryRecord {
        let registry = &view.registry;
        RegistryRecord {
            registry: registry.name.to_string(),
            kind: registries::kind(registry.kind),
            address: registry.address.clone(),
            sites: registry.sites.iter().map(ToString::to_string).collect(),
            storage: registries::storage(view),
            version: registries::version(view),
            plain_http: registry.plain_http,
            endpoints: view.endpoints.iter().map(EndpointRecord::of).collect(),
            active: view.active.and_then(|i| view.endpoints.get(i)).map(|e| e.address.clone()),
            repositories: view.counted.map(|c| c.repositories),
            tags: view.counted.map(|c| c.tags),
            counted: view.counted.map(|c| rfc3339(c.at)),
            counted_ms: view.counted.map(|c| c.at.0),
            harbor: view.harbor.as_deref().map(HarborRecord::of),
        }
    }
}

/// A repository.
#[derive(Clone, Debug, Serialize)]
#[expect(missing_docs, reason = "docs/json.md says what each field means, in one place")]
pub struct RepositoryRecord {
    pub repository: String,
    pub tags: Option<u32>,
    pub used_by: Vec<String>,
}

impl RepositoryRecord {
    /// The record of a repository.
    pub fn of(row: &RepositoryRow) -> RepositoryRecord {
        let used_by = row.used_by.iter().map(ToString::to_string).collect();
        RepositoryRecord { repository: row.repository.to_string(), tags: row.tags, used_by }
    }
}

/// A tag. What has not been read of it is `null`, or an empty list of platforms and labels.
#[derive(Clone, Debug, Serialize)]
#[expect(missing_docs, reason = "docs/json.md says what each field means, in one place")]
pub struct TagRecord {
    pub tag: String,
    pub digest: Option<String>,
    pub size: Option<u64>,
    pub platforms: Vec<String>,
    pub created: Option<String>,
    pub created_ms: Option<i64>,
    pub labels: BTreeMap<String, String>,
    pub used_by: Vec<String>,
    pub why: Option<String>,
}

impl TagRecord {
    /// The record of a tag.
    pub fn of(row: &TagRow) -> TagRecord {
        TagRecord {
            tag: row.tag.to_string(),
            digest: row.digest.as_ref().map(ToString::to_string),
            size: row.size,
            platforms: row.platforms.iter().map(ToString::to_string).collect(),
            created: row.created.map(rfc3339),
            created_ms: row.created.map(|at| at.0),
            labels: row.labels.iter().map(|(k, v)| (k.raw().to_owned(), v.raw().to_owned())).collect(),
            used_by: row.used_by.iter().map(ToString::to_string).collect(),
            why: row.why.as_ref().map(|w| w.raw().to_owned()),
        }
    }
}

/// A line between two registries.
#[derive(Clone, Debug, Serialize)]
#[expect(missing_docs, reason = "docs/json.md says what each field means, in one place")]
pub struct LineRecord<'a> {
    pub from: &'a str,
    pub to: &'a str,
    pub state: &'static str,
    pub tags_behind: u32,
    pub bytes_behind: u64,
    pub behind_ms: Option<u64>,
    pub bytes_per_s: Option<u64>,
    pub notes: &'a [String],
}

impl LineRecord<'_> {
    /// The record of a line.
    pub fn of(row: &LineRow) -> LineRecord<'_> {
        LineRecord {
            from: row.line.from.as_str(),
            to: row.line.to.as_str(),
            state: row.standing.word(),
            tags_behind: row.tags,
            bytes_behind: row.bytes,
            behind_ms: row.since_ms,
            bytes_per_s: row.rate,
            notes: &row.notes,
        }
    }
}

/// A replication rule.
#[derive(Clone, Debug, Serialize)]
#[expect(missing_docs, reason = "docs/json.md says what each field means, in one place")]
pub struct RuleRecord {
    pub rule: String,
    pub source: String,
    pub targets: Vec<String>,
    pub two_way: bool,
    pub compare_referrers: bool,
    pub enabled: bool,
    pub next: Option<String>,
    pub next_ms: Option<i64>,
    pub missed: Option<String>,
    pub missed_ms: Option<i64>,
    pub every_ms: Option<u64>,
    pub cron: Option<String>,
    pub on_event: bool,
    pub filters: Vec<FilterRecord>,
    pub platforms: Vec<String>,
    pub deletes: crate::model::replication::Deletes,
    pub prefix: Option<String>,
    pub priority: i32,
    pub run: Option<RunRecord>,
}

/// A filter of a rule.
#[derive(Clone, Debug, Serialize)]
#[expect(missing_docs, reason = "docs/json.md says what each field means, in one place")]
pub struct FilterRecord {
    pub on: On,
    pub kind: &'static str,
    pub pattern: String,
    pub exclude: bool,
}

impl FilterRecord {
    fn of(filter: &Filter) -> FilterRecord {
        let (kind, pattern) = match &filter.pattern {
            Pattern::Glob(text) => ("glob", text),
            Pattern::Regex(text) => ("regex", text),
            Pattern::Semver(text) => ("semver", text),
        };
        FilterRecord { on: filter.on, kind, pattern: pattern.clone(), exclude: filter.exclude }
    }
}

impl RuleRecord {
    /// The record of a rule.
    pub fn of(view: &RuleView) -> RuleRecord {
        let rule = &view.rule;
        RuleRecord {
            rule: rule.name.to_string(),
            source: rule.source.to_string(),
            targets: rule.targets.iter().map(ToString::to_string).collect(),
            two_way: rule.two_way,
            compare_referrers: rule.compare_referrers,
            enabled: rule.enabled,
            next: view.next.map(rfc3339),
            next_ms: view.next.map(|at| at.0),
            missed: view.missed.map(rfc3339),
            missed_ms: view.missed.map(|at| at.0),
            every_ms: rule.trigger.every_ms,
            cron: rule.trigger.cron.clone(),
            on_event: rule.trigger.event,
            filters: rule.filters.iter().map(FilterRecord::of).collect(),
            platforms: rule.platforms.iter().map(ToString::to_string).collect(),
            deletes: rule.deletes,
            prefix: rule.prefix.as_ref().map(ToString::to_string),
            priority: rule.priority,
            run: view.run.as_ref().map(RunRecord::of),
        }
    }
}

/// A run of a rule.
#[derive(Clone, Debug, Serialize)]
#[expect(missing_docs, reason = "docs/json.md says what each field means, in one place")]
pub struct RunRecord {
    pub run: String,
    pub rule: String,
    pub cause: &'static str,
    pub by: Option<String>,
    pub state: &'static str,
    pub began: String,
    pub began_ms: i64,
    pub ended: Option<String>,
    pub ended_ms: Option<i64>,
    pub compared: u32,
    pub tags: crate::model::replication::TagCounts,
    pub bytes: u64,
    pub moved: u64,
    pub bytes_per_s: Option<u64>,
    pub eta_ms: Option<u64>,
    pub reason: Option<String>,
    pub joined: u32,
}

impl RunRecord {
    /// The record of a run.
    pub fn of(run: &RunView) -> RunRecord {
        let (cause, by) = match &run.cause {
            Cause::Person(who) => ("person", Some(who.clone())),
            Cause::Schedule => ("schedule", None),
            Cause::Event => ("event", None),
            Cause::Return => ("return", None),
            Cause::Resume => ("resume", None),
        };
        RunRecord {
            run: run.id.to_string(),
            rule: run.rule.to_string(),
            cause,
            by,
            state: replication::run_stands(run).1,
            began: rfc3339(run.began),
            began_ms: run.began.0,
            ended: run.ended.map(rfc3339),
            ended_ms: run.ended.map(|at| at.0),
            compared: run.compared,
            tags: run.tags,
            bytes: run.bytes,
            moved: run.moved,
            bytes_per_s: run.rate,
            eta_ms: run.eta_ms,
            reason: run.reason.as_ref().map(|r| r.raw().to_owned()),
            joined: run.joined,
        }
    }
}

/// A tag of a run.
#[derive(Clone, Debug, Serialize)]
#[expect(missing_docs, reason = "docs/json.md says what each field means, in one place")]
pub struct TagRunRecord {
    pub from: String,
    pub to: String,
    pub repository: String,
    pub tag: String,
    pub state: &'static str,
    pub reason: Option<String>,
    pub digest: Option<String>,
    pub bytes: u64,
    pub moved: u64,
    pub retries: u32,
}

impl TagRunRecord {
    /// The record of a tag of a run.
    pub fn of(tag: &TagRun) -> TagRunRecord {
        TagRunRecord {
            from: tag.line.from.to_string(),
            to: tag.line.to.to_string(),
            repository: tag.repository.to_string(),
            tag: tag.tag.to_string(),
            state: replication::tag_stands(tag).1,
            reason: match &tag.state {
                TagState::Failed(why) => Some(why.raw().to_owned()),
                TagState::Skipped(why) => Some(why.clone()),
                _ => None,
            },
            digest: tag.digest.as_ref().map(ToString::to_string),
            bytes: tag.bytes,
            moved: tag.moved,
            retries: tag.retries,
        }
    }
}

/// A tag of a comparison.
#[derive(Clone, Debug, Serialize)]
#[expect(missing_docs, reason = "docs/json.md says what each field means, in one place")]
pub struct DiffRecord {
    pub from: String,
    pub to: String,
    pub repository: String,
    pub tag: String,
    pub difference: &'static str,
    pub why: Option<String>,
    pub source: Option<String>,
    pub target: Option<String>,
    pub bytes: Option<u64>,
}

impl DiffRecord {
    /// The record of a tag of a comparison.
    pub fn of(row: &DiffRow) -> DiffRecord {
        DiffRecord {
            from: row.line.from.to_string(),
            to: row.line.to.to_string(),
            repository: row.repository.to_string(),
            tag: row.tag.to_string(),
            difference: replication::difference(&row.difference),
            why: match &row.difference {
                Difference::Unknown(why) => Some(why.raw().to_owned()),
                _ => None,
            },
            source: row.source.as_ref().map(ToString::to_string),
            target: row.target.as_ref().map(ToString::to_string),
            bytes: row.bytes,
        }
    }
}

/// A blob on its way.
#[derive(Clone, Debug, Serialize)]
#[expect(missing_docs, reason = "docs/json.md says what each field means, in one place")]
pub struct TransferRecord {
    pub from: String,
    pub to: String,
    pub repository: String,
    pub digest: String,
    pub size: u64,
    pub moved: u64,
    pub since: String,
    pub since_ms: i64,
    pub last: String,
    pub last_ms: i64,
}

impl TransferRecord {
    /// The record of a blob on its way.
    pub fn of(t: &Transfer) -> TransferRecord {
        TransferRecord {
            from: t.line.from.to_string(),
            to: t.line.to.to_string(),
            repository: t.repository.to_string(),
            digest: t.digest.to_string(),
            size: t.size,
            moved: t.moved,
            since: rfc3339(t.since),
            since_ms: t.since.0,
            last: rfc3339(t.last),
            last_ms: t.last.0,
        }
    }
}
