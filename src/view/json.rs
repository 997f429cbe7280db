//! The records of `--json`: field names and meanings that scripts may rely on (see docs/json.md).
//!
//! Texts from outside stand here as they came; the printer escapes hostile characters inside the JSON.

pub mod access;
pub mod fleet;
pub mod harbor;
pub mod prewarm;
pub mod registries;

use serde::Serialize;

use crate::base::clock::Millis;
use crate::base::ids::HostId;
use crate::base::stamp::rfc3339;
use crate::model::container::{Container, Health, Owner};
use crate::model::host::{HostView, Seen};
use crate::model::journal::Entry;
use crate::model::operation::{OpKind, OpStatus, Operation};
use crate::model::pool::Limits;
use crate::model::preview::Preview;
use crate::model::world::{PoolView, World};

/// A pool.
#[derive(Clone, Debug, Serialize)]
#[expect(missing_docs, reason = "docs/json.md says what each field means, in one place")]
pub struct PoolRecord {
    pub cluster: String,
    pub pool: String,
    pub want: u32,
    pub running: u32,
    pub healthy: u32,
    pub unhealthy: u32,
    pub lost: u32,
    pub failing: u32,
    pub finished: u32,
    pub leaving: u32,
    pub outdated: u32,
    pub revision: u32,
    pub down: bool,
    pub protect: bool,
    pub core: bool,
    pub limits: Limits,
    pub image: String,
    pub cpu_milli: Option<u64>,
    pub memory: Option<u64>,
    pub waits: Vec<WaitRecord>,
    pub last_scale: Option<ScaleRecord>,
    pub version: u64,
}

/// Why something wanted is not the case.
#[derive(Clone, Debug, Serialize)]
#[expect(missing_docs, reason = "docs/json.md says what each field means, in one place")]
pub struct WaitRecord {
    pub slots: u32,
    pub why: String,
}

/// The last change of a pool's number.
#[derive(Clone, Debug, Serialize)]
#[expect(missing_docs, reason = "docs/json.md says what each field means, in one place")]
pub struct ScaleRecord {
    pub op: String,
    pub by: String,
    pub at: String,
    pub at_ms: i64,
    pub from: u32,
    pub to: u32,
}

impl PoolRecord {
    /// The record of a pool; CPU and memory are sums over those of its containers that are
    /// sampled, on hosts that answer.
    pub fn of(view: &PoolView, world: &World) -> PoolRecord {
        let (pool, counts) = (&view.pool, &view.counts);
        let (cpu_milli, memory) = use_of(view, world);
        PoolRecord {
            cluster: pool.id.cluster.to_string(),
            pool: pool.id.pool.to_string(),
            want: pool.want,
            running: counts.running,
            healthy: counts.healthy,
            unhealthy: counts.unhealthy,
            lost: counts.lost,
            failing: counts.failing,
            finished: counts.finished,
            leaving: counts.leaving,
            outdated: counts.outdated,
            revision: pool.revision,
            down: pool.down,
            protect: pool.spec.protect,
            core: pool.spec.core,
            limits: pool.spec.limits.clone(),
            image: pool.spec.image.clone(),
            cpu_milli,
            memory,
            waits: view.waits.iter().map(|w| WaitRecord { slots: w.slots, why: w.why.clone() }).collect(),
            last_scale: pool.last_scale.as_ref().map(|s| ScaleRecord {
                op: s.op.to_string(),
                by: s.by.clone(),
                at: rfc3339(s.at),
                at_ms: s.at.0,
                from: s.from,
                to: s.to,
            }),
            version: pool.version,
        }
    }
}

fn use_of(view: &PoolView, world: &World) -> (Option<u64>, Option<u64>) {
    let mut sums: (Option<u64>, Option<u64>) = (None, None);
    for slot in &view.slots {
        let (Some(host), Some(id)) = (&slot.host, &slot.container) else { continue };
        let Some(usage) = world.hosts.get(host).filter(|h| h.is_live()).and_then(|h| h.usage.get(id)) else {
            continue;
        };
        sums.1 = Some(sums.1.unwrap_or(0) + usage.memory);
        if let Some(cpu) = usage.cpu_milli {
            sums.0 = Some(sums.0.unwrap_or(0) + cpu);
        }
    }
    sums
}

/// A container.
#[derive(Clone, Debug, Serialize)]
#[expect(missing_docs, reason = "docs/json.md says what each field means, in one place")]
pub struct ContainerRecord {
    pub host: String,
    pub host_state: &'static str,
    pub seen: Option<String>,
    pub seen_ms: Option<i64>,
    pub id: String,
    pub name: String,
    pub image: String,
    pub state: &'static str,
    pub health: &'static str,
    pub exit: Option<i64>,
    pub created: String,
    pub created_ms: i64,
    pub pool: Option<String>,
    pub slot: Option<u32>,
    pub generation: Option<u32>,
    pub revision: Option<u32>,
    pub owner: &'static str,
    pub owner_name: Option<String>,
    pub ports: Vec<String>,
    pub address: Option<String>,
    pub cpu_milli: Option<u64>,
    pub memory: Option<u64>,
    pub memory_limit: Option<u64>,
}

impl ContainerRecord {
    /// The record of a container of `host`.
    pub fn of(container: &Container, host: &HostView, world: &World) -> ContainerRecord {
        let usage = host.usage.get(&container.id);
        let (owner, owner_name) = owner_of(container, world);
        let tag = match &container.owner {
            Owner::Longshore(tag) => Some(tag),
            _ => None,
        };
        let seen = seen_at(&host.seen);
        ContainerRecord {
            host: host.config.id.to_string(),
            host_state: seen_word(&host.seen),
            seen: seen.map(rfc3339),
            seen_ms: seen.map(|at| at.0),
            id: container.id.to_string(),
            name: container.name.raw().to_owned(),
            image: container.image.raw().to_owned(),
            state: container.state.word(),
            health: health_word(container.health),
            exit: container.exit,
            created: rfc3339(container.created),
            created_ms: container.created.0,
            pool: tag.map(|t| t.pool.to_string()),
            slot: tag.map(|t| t.slot),
            generation: tag.map(|t| t.generation),
            revision: tag.map(|t| t.revision),
            owner,
            owner_name,
            ports: container.ports.iter().map(|p| p.raw().to_owned()).collect(),
            address: container.address.as_ref().map(|a| a.raw().to_owned()),
            cpu_milli: usage.and_then(|u| u.cpu_milli),
            memory: usage.map(|u| u.memory),
            memory_limit: usage.and_then(|u| u.memory_limit),
        }
    }
}

/// Whose a container is, in one word, and under what name.
pub fn owner_of(container: &Container, world: &World) -> (&'static str, Option<String>) {
    match &container.owner {
        Owner::Longshore(tag) if world.engine.install.as_ref() == Some(&tag.install) => ("ours", None),
        Owner::Longshore(tag) => ("other-longshore", Some(tag.install.to_string())),
        Owner::Compose { project, .. } => ("compose", Some(project.raw().to_owned())),
        Owner::Swarm { service } => ("swarm", Some(service.raw().to_owned())),
        Owner::Nobody => ("nobody", None),
    }
}

/// A health in one word.
pub fn health_word(health: Health) -> &'static str {
    match health {
        Health::None => "none",
        Health::Starting => "starting",
        Health::Healthy => "healthy",
        Health::Unhealthy => "unhealthy",
    }
}

/// How much a host's view can be trusted, in one word.
pub fn seen_word(seen: &Seen) -> &'static str {
    match seen {
        Seen::Never { .. } => "never",
        Seen::At(_) => "live",
        Seen::Lost { .. } => "lost",
    }
}

/// When a host's last complete list was made.
pub fn seen_at(seen: &Seen) -> Option<Millis> {
    match seen {
        Seen::Never { .. } => None,
        Seen::At(at) | Seen::Lost { last: at, .. } => Some(*at),
    }
}

/// An operation.
#[derive(Clone, Debug, Serialize)]
#[expect(missing_docs, reason = "docs/json.md says what each field means, in one place")]
pub struct OpRecord {
    pub op: String,
    pub kind: &'static str,
    pub pools: Vec<String>,
    pub by: String,
    pub at: String,
    pub at_ms: i64,
    pub status: &'static str,
    pub why: Option<String>,
    pub other: Option<String>,
    pub ended: Option<String>,
    pub ended_ms: Option<i64>,
    pub from: Option<u32>,
    pub to: Option<u32>,
    pub undoes: Option<String>,
    pub progress: crate::model::operation::Progress,
}

impl OpRecord {
    /// The record of an operation.
    pub fn of(op: &Operation) -> OpRecord {
        let (from, to, undoes) = match &op.kind {
            OpKind::Scale { from, to, undoes } => (Some(*from), Some(*to), *undoes),
            _ => (None, None, None),
        };
        let (why, other) = match &op.status {
            OpStatus::Failed { why } | OpStatus::Stalled { why } => (Some(why.clone()), None),
            OpStatus::Queued { behind: other } | OpStatus::Superseded { by: other } => (None, Some(*other)),
            OpStatus::Running | OpStatus::Done | OpStatus::Cancelled => (None, None),
        };
        OpRecord {
            op: op.id.to_string(),
            kind: op.kind.word(),
            pools: op.pools.iter().map(ToString::to_string).collect(),
            by: op.by.clone(),
            at: rfc3339(op.at),
            at_ms: op.at.0,
            status: op.status.word(),
            why,
            other: other.map(|o| o.to_string()),
            ended: op.ended.map(rfc3339),
            ended_ms: op.ended.map(|at| at.0),
            from,
            to,
            undoes: undoes.map(|o| o.to_string()),
            progress: op.progress.clone(),
        }
    }
}

/// A line of the journal.
#[derive(Clone, Debug, Serialize)]
#[expect(missing_docs, reason = "docs/json.md says what each field means, in one place")]
pub struct EntryRecord {
    pub seq: u64,
    pub at: String,
    pub at_ms: i64,
    pub what: &'static str,
    pub by: String,
    pub op: Option<String>,
    pub pool: Option<String>,
    pub slot: Option<u32>,
    pub host: Option<HostId>,
    pub text: String,
}

impl EntryRecord {
    /// The record of a line.
    pub fn of(entry: &Entry) -> EntryRecord {
        EntryRecord {
            seq: entry.seq,
            at: rfc3339(entry.at),
            at_ms: entry.at.0,
            what: entry.what.word(),
            by: entry.by.clone(),
            op: entry.op.map(|op| op.to_string()),
            pool: entry.pool.as_ref().map(ToString::to_string),
            slot: entry.slot,
            host: entry.host.clone(),
            text: entry.text.clone(),
        }
    }
}

/// What a scale would do.
#[derive(Clone, Debug, Serialize)]
#[expect(missing_docs, reason = "docs/json.md says what each field means, in one place")]
pub struct PreviewRecord {
    pub pool: String,
    pub from: u32,
    pub to: u32,
    pub version: u64,
    pub strategy: &'static str,
    pub places: Vec<PlaceRecord>,
    pub removals: Vec<LeavingRecord>,
    pub refused_hosts: Vec<RefusedHostRecord>,
    pub unplaced: u32,
    pub eta_ms: Option<u64>,
    pub image: Option<prewarm::CoverageRecord>,
    pub notes: Vec<String>,
    pub refusal: Option<String>,
    pub hint: Option<String>,
}

/// New containers on a host.
#[derive(Clone, Debug, Serialize)]
#[expect(missing_docs, reason = "docs/json.md says what each field means, in one place")]
pub struct PlaceRecord {
    pub host: String,
    pub count: u32,
    pub has_image: Option<bool>,
}

/// A container that would go.
#[derive(Clone, Debug, Serialize)]
#[expect(missing_docs, reason = "docs/json.md says what each field means, in one place")]
pub struct LeavingRecord {
    pub slot: u32,
    pub host: String,
    pub state: &'static str,
    pub health: &'static str,
    pub age_ms: u64,
}

/// A host that would get none.
#[derive(Clone, Debug, Serialize)]
#[expect(missing_docs, reason = "docs/json.md says what each field means, in one place")]
pub struct RefusedHostRecord {
    pub host: String,
    pub why: String,
}

impl PreviewRecord {
    /// The record of a preview.
    pub fn of(preview: &Preview) -> PreviewRecord {
        let place = |p: &crate::model::preview::PlaceOn| PlaceRecord {
            host: p.host.to_string(),
            count: p.count,
            has_image: p.has_image,
        };
        let leaving = |l: &crate::model::preview::Leaving| LeavingRecord {
            slot: l.slot,
            host: l.host.to_string(),
            state: l.state.word(),
            health: health_word(l.health),
            age_ms: l.age_ms,
        };
        let refused =
            |(host, why): &(HostId, String)| RefusedHostRecord { host: host.to_string(), why: why.clone() };
        PreviewRecord {
            pool: preview.pool.to_string(),
            from: preview.from,
            to: preview.to,
            version: preview.version,
            strategy: preview.strategy.word(),
            places: preview.places.iter().map(place).collect(),
            removals: preview.removals.iter().map(leaving).collect(),
            refused_hosts: preview.refused_hosts.iter().map(refused).collect(),
            unplaced: preview.unplaced,
            eta_ms: preview.eta_ms,
            image: preview.coverage.as_ref().map(prewarm::CoverageRecord::of),
            notes: preview.notes.clone(),
            refusal: preview.refusal.as_ref().map(|r| r.text.clone()),
            hint: preview.refusal.as_ref().and_then(|r| r.hint.clone()),
        }
    }
}
