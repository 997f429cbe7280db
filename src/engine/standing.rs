//! How hosts and sites stand: what people recorded about them joined with what is seen, and since when a whole site is lost.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::base::clock::Millis;
use crate::base::ids::{HostId, SiteName};
use crate::engine::core::Core;
use crate::model::desired::Desired;
use crate::model::host::{HostState, HostView, LOST_AFTER_MS, Seen};
use crate::model::site::{Site, SiteLimits, SiteView};

impl Core {
    /// A fresh view with what is recorded about its host.
    pub(super) fn with_record(&self, fresh: &Arc<HostView>) -> Arc<HostView> {
        let mut view = (**fresh).clone();
        let id = &fresh.config.id;
        view.record = self.desired.records.get(id).cloned().unwrap_or_default();
        view.state = view.state_at(self.clock.now());
        view.taken = self.hosts.get(id).map(|old| old.taken).unwrap_or_default();
        Arc::new(view)
    }

    /// Brings every host's record and state up to date, and the sites made of them. Returns the hosts that have changed.
    pub(super) fn refresh_hosts(&mut self) -> BTreeSet<HostId> {
        let now = self.clock.now();
        let mut changed = BTreeSet::new();
        let mut next: Option<Millis> = None;
        for (id, view) in &mut self.hosts {
            let record = self.desired.records.get(id);
            let same =
                record.map_or_else(|| *view.record == Default::default(), |r| Arc::ptr_eq(r, &view.record));
            let state = view.state_at(now);
            if !same || state != view.state {
                let view = Arc::make_mut(view);
                view.record = record.cloned().unwrap_or_default();
                view.state = view.state_at(now);
                changed.insert(id.clone());
            }
            if let Seen::Lost { last, .. } = &view.seen
                && view.state != HostState::Lost
            {
                next = next.into_iter().chain([last.plus(LOST_AFTER_MS)]).min();
            }
        }
        if let Some(at) = next {
            self.look_again_in(at.since(now));
        }
        let sites = sites(&self.desired, &self.hosts, &self.sites, now);
        if sites != *self.sites {
            // Containers on the hosts of a site are looked at again when these change; what a whole site's loss means for
            // others, when it is lost or found.
            let lost = |all: &BTreeMap<SiteName, SiteView>| {
                all.values().filter(|s| s.lost.is_some()).map(|s| s.site.name.clone()).collect::<Vec<_>>()
            };
            if lost(&sites) != lost(&self.sites) {
                self.doubt.everything();
            }
            self.sites = Arc::new(sites);
        }
        for view in changed.iter().filter_map(|id| self.hosts.get(id)) {
            self.room.put_host(view);
        }
        changed
    }
}

/// Every site that is recorded or that a host names.
fn sites(
    desired: &Desired,
    hosts: &BTreeMap<HostId, Arc<HostView>>,
    before: &BTreeMap<SiteName, SiteView>,
    now: Millis,
) -> BTreeMap<SiteName, SiteView> {
    let fresh = |site: &Site| SiteView { site: site.clone(), hosts: 0, silent: 0, lost: None };
    let mut out: BTreeMap<SiteName, SiteView> =
        desired.sites.values().map(|site| (site.name.clone(), fresh(site))).collect();
    let mut gone: BTreeMap<&SiteName, u32> = BTreeMap::new();
    for host in hosts.values() {
        let Some(name) = &host.record.site else { continue };
        let view = out.entry(name.clone()).or_insert_with(|| {
            fresh(&Site { name: name.clone(), registry: None, limits: SiteLimits::default() })
        });
        view.hosts += 1;
        view.silent += u32::from(!host.is_live());
        *gone.entry(name).or_default() += u32::from(host.state == HostState::Lost);
    }
    for (name, view) in &mut out {
        if view.hosts > 0 && gone.get(name).copied().unwrap_or(0) == view.hosts {
            view.lost = before.get(name).and_then(|b| b.lost).or(Some(now));
        }
    }
    out
}
