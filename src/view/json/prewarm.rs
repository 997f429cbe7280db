//! The records of `--json` about prewarms and how far an image is.

use serde::Serialize;

use crate::model::coverage::Coverage;
use crate::model::operation::{OpKind, Operation};
use crate::model::prewarm::{Came, HostWarm, PrewarmView, WarmState};
use crate::view::json::OpRecord;

/// An operation with, for a prewarm, its hosts.
#[derive(Clone, Debug, Serialize)]
#[expect(missing_docs, reason = "docs/json.md says what each field means, in one place")]
pub struct PrewarmRecord {
    #[serde(flatten)]
    pub op: OpRecord,
    pub image: Option<String>,
    pub digest: Option<String>,
    pub unproved: Option<String>,
    pub bytes: Option<u64>,
    pub hosts: Option<Vec<WarmRecord>>,
}

/// A host of a prewarm.
#[derive(Clone, Debug, Serialize)]
#[expect(missing_docs, reason = "docs/json.md says what each field means, in one place")]
pub struct WarmRecord {
    pub host: String,
    pub site: Option<String>,
    pub state: &'static str,
    pub why: Option<String>,
    pub attempts: u32,
    pub id: Option<String>,
    pub digest: Option<String>,
    pub pulled_as: Option<String>,
    pub from_host: Option<String>,
    pub took_ms: Option<u64>,
    pub bytes: Option<u64>,
    pub of_bytes: Option<u64>,
    pub layers: Option<u32>,
    pub of_layers: Option<u32>,
}

impl PrewarmRecord {
    /// The record of an operation.
    pub fn of(op: &Operation, view: Option<&PrewarmView>) -> PrewarmRecord {
        let wanted = match &op.kind {
            OpKind::Prewarm(wanted) => Some(wanted),
            _ => None,
        };
        let digest = view.and_then(|v| v.digest.as_ref()).or_else(|| wanted?.digest.as_ref());
        PrewarmRecord {
            op: OpRecord::of(op),
            image: wanted.map(|w| w.image.clone()),
            digest: digest.map(ToString::to_string),
            unproved: view.and_then(|v| v.unproved.clone()).or_else(|| wanted?.unproved.clone()),
            bytes: view.and_then(|v| v.size).or_else(|| wanted?.size),
            hosts: view.map(|v| v.hosts.iter().map(|(id, h)| WarmRecord::of(id.as_str(), h)).collect()),
        }
    }
}

impl WarmRecord {
    fn of(name: &str, host: &HostWarm) -> WarmRecord {
        let mut out = WarmRecord {
            host: name.to_owned(),
            site: host.site.as_ref().map(ToString::to_string),
            state: host.state.word(),
            why: None,
            attempts: host.tries,
            id: None,
            digest: None,
            pulled_as: None,
            from_host: None,
            took_ms: None,
            bytes: None,
            of_bytes: None,
            layers: None,
            of_layers: None,
        };
        match &host.state {
            WarmState::Waiting(why) | WarmState::Failed(why) => out.why = Some(why.clone()),
            WarmState::Coming { from, progress } => {
                out.from_host = from.as_ref().map(ToString::to_string);
                out.bytes = progress.map(|p| p.bytes);
                out.of_bytes = progress.map(|p| p.of);
                out.layers = progress.map(|p| p.layers);
                out.of_layers = progress.map(|p| p.of_layers);
            }
            WarmState::Held(proof) => {
                out.id = Some(proof.id.raw().to_owned());
                out.digest = proof.digest.as_ref().map(ToString::to_string);
                out.took_ms = Some(proof.ms);
                out.bytes = Some(proof.bytes);
                match &proof.came {
                    Came::WasThere => {}
                    Came::Pulled(reference) => out.pulled_as = Some(reference.clone()),
                    Came::From(host) => out.from_host = Some(host.to_string()),
                }
            }
        }
        out
    }
}

/// How far an image is.
#[derive(Clone, Debug, Serialize)]
#[expect(missing_docs, reason = "docs/json.md says what each field means, in one place")]
pub struct CoverageRecord {
    pub image: String,
    pub pool: Option<String>,
    pub digest: Option<String>,
    pub bytes: Option<u64>,
    pub unknown_because: Option<String>,
    pub hosts: Vec<HoldsRecord>,
    pub left_out: Vec<LeftOutRecord>,
    pub sites: Vec<SiteHoldsRecord>,
    pub eta_ms: Option<u64>,
    pub warnings: Vec<String>,
}

/// Whether a host has an image.
#[derive(Clone, Debug, Serialize)]
#[expect(missing_docs, reason = "docs/json.md says what each field means, in one place")]
pub struct HoldsRecord {
    pub host: String,
    pub site: Option<String>,
    pub holds: &'static str,
}

/// A host that is left out.
#[derive(Clone, Debug, Serialize)]
#[expect(missing_docs, reason = "docs/json.md says what each field means, in one place")]
pub struct LeftOutRecord {
    pub host: String,
    pub why: String,
}

/// A site whose hosts need an image.
#[derive(Clone, Debug, Serialize)]
#[expect(missing_docs, reason = "docs/json.md says what each field means, in one place")]
pub struct SiteHoldsRecord {
    pub site: Option<String>,
    pub hosts: u32,
    pub lack: u32,
    pub from: String,
    pub registry_holds: Option<bool>,
    pub why: Option<String>,
    pub line: Option<String>,
    pub eta_ms: Option<u64>,
}

impl CoverageRecord {
    /// The record of it.
    pub fn of(found: &Coverage) -> CoverageRecord {
        let host = |h: &crate::model::coverage::HostHolds| HoldsRecord {
            host: h.host.to_string(),
            site: h.site.as_ref().map(ToString::to_string),
            holds: h.holds.word(),
        };
        let site = |s: &crate::model::coverage::SiteHolds| SiteHoldsRecord {
            site: s.site.as_ref().map(ToString::to_string),
            hosts: s.hosts,
            lack: s.lack,
            from: s.from.clone(),
            registry_holds: s.has,
            why: s.why.clone(),
            line: s.line.clone(),
            eta_ms: s.eta_ms,
        };
        let left = |(host, why): &(crate::base::ids::HostId, String)| LeftOutRecord {
            host: host.to_string(),
            why: why.clone(),
        };
        CoverageRecord {
            image: found.image.clone(),
            pool: found.pool.as_ref().map(ToString::to_string),
            digest: found.weight.as_ref().map(|w| w.digest.to_string()),
            bytes: found.bytes(),
            unknown_because: found.unweighed.clone(),
            hosts: found.hosts.iter().map(host).collect(),
            left_out: found.left_out.iter().map(left).collect(),
            sites: found.sites.iter().map(site).collect(),
            eta_ms: found.eta_ms,
            warnings: found.warnings.clone(),
        }
    }
}
