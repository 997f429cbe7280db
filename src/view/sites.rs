//! Sites as rows: who answers there, what they hold, where they pull from, what they take at most.

use std::collections::BTreeMap;

use crate::base::clock::Millis;
use crate::base::ids::SiteName;
use crate::base::text;
use crate::model::host::HostState;
use crate::model::world::World;
use crate::view::units::{self, Grade};

/// One site.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SiteRow {
    /// Its name.
    pub name: SiteName,
    /// How it stands.
    pub grade: Grade,
    /// `ok`, `3 silent`, `lost 2m`.
    pub state: String,
    /// Its hosts.
    pub hosts: u32,
    /// Of these, those that are ready.
    pub ready: u32,
    /// Of these, those that do not answer.
    pub silent: u32,
    /// Containers of ours on record there.
    pub ours: u32,
    /// All containers, as last listed.
    pub total: u32,
    /// The registry that its hosts pull from first, sanitised; empty when there is none.
    pub registry: String,
    /// Its limits in a few words; empty when there is none.
    pub limits: String,
}

#[derive(Default)]
struct Sum {
    ready: u32,
    ours: u32,
    total: u32,
}

/// All sites, by name.
pub fn rows(world: &World, now: Millis) -> Vec<SiteRow> {
    let mut sums: BTreeMap<&SiteName, Sum> = BTreeMap::new();
    for host in world.hosts.values() {
        let Some(site) = &host.record.site else { continue };
        let sum = sums.entry(site).or_default();
        sum.ready += u32::from(host.state_at(now) == HostState::Ready);
        sum.ours += host.taken.containers;
        sum.total += u32::try_from(host.containers.len()).unwrap_or(u32::MAX);
    }
    let row = |(name, view): (&SiteName, &crate::model::site::SiteView)| {
        let sum = sums.remove(name).unwrap_or(Sum { ready: 0, ours: 0, total: 0 });
        let (grade, state) = match (view.lost, view.silent) {
            (Some(since), _) => (Grade::Lost, format!("lost {}", units::age(now.since(since)))),
            (None, 0) => (Grade::Ok, "ok".to_owned()),
            (None, n) => (Grade::Warn, format!("{n} silent")),
        };
        SiteRow {
            name: name.clone(),
            grade,
            state,
            hosts: view.hosts,
            ready: sum.ready,
            silent: view.silent,
            ours: sum.ours,
            total: sum.total,
            registry: view.site.registry.as_deref().map_or_else(String::new, |r| text::safe(r).into_owned()),
            limits: limits(&view.site.limits),
        }
    };
    world.sites.iter().map(row).collect()
}

/// Limits in a few words.
fn limits(limits: &crate::model::site::SiteLimits) -> String {
    let mut parts = Vec::new();
    parts.extend(limits.containers.map(|n| text::count(u64::from(n), "container")));
    parts.extend(limits.pulls.map(|n| format!("{} at a time", text::count(u64::from(n), "pull"))));
    if !limits.images.is_empty() {
        parts.push(format!("images {}", text::safe(&limits.images.join(", "))));
    }
    parts.join(" · ")
}
