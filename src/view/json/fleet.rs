//! The records of `--json` about hosts, sites and risks.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::base::stamp::rfc3339;
use crate::model::host::{Capacity, Duty, HostView, Need, Seen};
use crate::model::pace::Pace;
use crate::model::site::SiteView;
use crate::model::world::World;
use crate::view::advice::Advice;
use crate::view::json::{owner_of, seen_at, seen_word};

/// A host. What is not known because it has never answered is `null`, never zero.
#[derive(Clone, Debug, Serialize)]
#[expect(missing_docs, reason = "docs/json.md says what each field means, in one place")]
pub struct HostRecord {
    pub name: String,
    pub address: String,
    pub state: &'static str,
    pub lifecycle: &'static str,
    pub last_seen: Option<String>,
    pub last_seen_ms: Option<i64>,
    pub why: Option<String>,
    pub site: Option<String>,
    pub cluster: Option<String>,
    pub class: Option<String>,
    pub labels: BTreeMap<String, String>,
    pub in_service: Option<String>,
    pub in_service_ms: Option<i64>,
    pub capacity: Capacity,
    pub reserved: Need,
    pub create: Option<Pace>,
    pub start: Option<Pace>,
    pub remove: Option<Pace>,
    pub duty_by: Option<String>,
    pub given_up: Option<String>,
    pub given_up_ms: Option<i64>,
    pub engine_id: Option<String>,
    pub version: Option<String>,
    pub os: Option<String>,
    pub arch: Option<String>,
    pub cpus: Option<u64>,
    pub memory: Option<u64>,
    pub containers: Option<usize>,
    pub ours: Option<usize>,
}

impl HostRecord {
    /// The record of a host.
    pub fn of(host: &HostView, world: &World) -> HostRecord {
        let at = seen_at(&host.seen);
        let known = at.map(|_| &*host.facts);
        let ours = host.containers.iter().filter(|c| owner_of(c, world).0 == "ours").count();
        let record = &*host.record;
        HostRecord {
            name: host.config.id.to_string(),
            address: host.config.address.clone(),
            state: seen_word(&host.seen),
            lifecycle: host.state.word(),
            last_seen: at.map(rfc3339),
            last_seen_ms: at.map(|at| at.0),
            why: match &host.seen {
                Seen::Never { why } => why.clone(),
                Seen::Lost { why, .. } => Some(why.clone()),
                Seen::At(_) => None,
            },
            site: record.site.as_ref().map(ToString::to_string),
            cluster: record.cluster.as_ref().map(ToString::to_string),
            class: host.class(),
            labels: record.labels.clone(),
            in_service: record.in_service.map(rfc3339),
            in_service_ms: record.in_service.map(|at| at.0),
            capacity: record.capacity,
            reserved: host.taken.need,
            create: known_pace(host.paces.create),
            start: known_pace(host.paces.start),
            remove: known_pace(host.paces.remove),
            duty_by: match &record.duty {
                Duty::Active => None,
                Duty::Cordoned { by, .. } | Duty::Draining { by, .. } | Duty::Drained { by, .. } => {
                    Some(by.clone())
                }
            },
            given_up: record.given_up.map(rfc3339),
            given_up_ms: record.given_up.map(|at| at.0),
            engine_id: known.map(|f| f.engine_id.raw().to_owned()),
            version: known.map(|f| f.version.raw().to_owned()),
            os: known.map(|f| f.os.raw().to_owned()),
            arch: known.map(|f| f.arch.raw().to_owned()),
            cpus: known.map(|f| f.cpus),
            memory: known.map(|f| f.memory),
            containers: at.map(|_| host.containers.len()),
            ours: at.map(|_| ours),
        }
    }
}

fn known_pace(pace: Pace) -> Option<Pace> {
    (pace.count > 0).then_some(pace)
}

/// A site.
#[derive(Clone, Debug, Serialize)]
#[expect(missing_docs, reason = "docs/json.md says what each field means, in one place")]
pub struct SiteRecord {
    pub site: String,
    pub hosts: u32,
    pub silent: u32,
    pub lost: Option<String>,
    pub lost_ms: Option<i64>,
    pub registry: Option<String>,
    pub max_containers: Option<u32>,
    pub max_pulls: Option<u32>,
    pub allowed_images: Vec<String>,
}

impl SiteRecord {
    /// The record of a site.
    pub fn of(view: &SiteView) -> SiteRecord {
        let limits = &view.site.limits;
        SiteRecord {
            site: view.site.name.to_string(),
            hosts: view.hosts,
            silent: view.silent,
            lost: view.lost.map(rfc3339),
            lost_ms: view.lost.map(|at| at.0),
            registry: view.site.registry.clone(),
            max_containers: limits.containers,
            max_pulls: limits.pulls,
            allowed_images: limits.images.clone(),
        }
    }
}

/// A risk.
#[derive(Clone, Debug, Serialize)]
#[expect(missing_docs, reason = "docs/json.md says what each field means, in one place")]
pub struct AdviceRecord<'a> {
    pub severity: &'static str,
    pub risk: &'static str,
    pub subject: &'a str,
    pub evidence: &'a str,
    pub command: &'a str,
}

impl AdviceRecord<'_> {
    /// The record of a risk.
    pub fn of(advice: &Advice) -> AdviceRecord<'_> {
        AdviceRecord {
            severity: advice.severity.word(),
            risk: advice.risk,
            subject: &advice.subject,
            evidence: &advice.evidence,
            command: &advice.command,
        }
    }
}
