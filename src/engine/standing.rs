//! How hosts and sites stand: what people recorded about them joined with what is seen, and since when a whole site is lost.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::base::clock::Millis;
use crate::base::ids::{HostId, SiteName};
use crate::engine::core::Core;
use crate::model::desired::{Desired, Write};
use crate::model::host::{HostRecord, HostState, HostView, LOST_AFTER_MS, Seen};
use crate::model::journal::{Draft, What};
use crate::model::site::{MassLoss, Site, SiteLimits, SiteView};
use crate::plan::loss::{Losses, is_silent, mass_loss};

impl Core {
    /// A fresh view with what is recorded about its host.
    pub(super) fn with_record(&self, fresh: &Arc<HostView>) -> Arc<HostView> {
        let mut view = (**fresh).clone();
        let id = &fresh.config.id;
        view.record = self.desired.records.get(id).cloned().unwrap_or_default();
        let old = self.hosts.get(id);
        view.taken = old.map(|old| old.taken).unwrap_or_default();
        view.paces = old.map(|old| old.paces).unwrap_or_default();
        view.silent = old.and_then(|old| old.silent);
        keep_silence(&mut view, self.clock.now());
        view.state = view.state_at(self.clock.now());
        Arc::new(view)
    }

    /// Brings every host's record and state up to date, the sites made of them, and whether so much is lost that people are
    /// asked. Returns the hosts that have changed, and what is to be written about it.
    pub(super) fn refresh_hosts(&mut self) -> (BTreeSet<HostId>, Vec<Write>) {
        let now = self.clock.now();
        let mut changed = BTreeSet::new();
        let mut next: Option<Millis> = None;
        for (id, view) in &mut self.hosts {
            let record = self.desired.records.get(id);
            let same =
                record.map_or_else(|| *view.record == Default::default(), |r| Arc::ptr_eq(r, &view.record));
            let state = view.state_at(now);
            let silent = is_silent(view) != view.silent.is_some() || view.silent.is_some_and(|at| at > now);
            if !same || state != view.state || silent {
                let view = Arc::make_mut(view);
                view.record = record.cloned().unwrap_or_default();
                keep_silence(view, now);
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
            self.sites = Arc::new(sites);
        }
        for view in changed.iter().filter_map(|id| self.hosts.get(id)) {
            self.room.put_host(view);
        }
        (changed, self.judge_losses(now))
    }

    /// Of very many that were silent together some answer again: the others are about to, or have to be silent for their whole
    /// time again. (Kubernetes' node controller does the same when it leaves its disruption mode.)
    fn count_silence_anew(&mut self, now: Millis) {
        for view in self.hosts.values_mut().filter(|view| view.silent.is_some()) {
            Arc::make_mut(view).silent = Some(now);
        }
    }

    /// What is lost of all hosts together, and what is to be written about it.
    fn judge_losses(&mut self, now: Millis) -> Vec<Write> {
        let losses = Losses::of(&self.desired, &self.hosts, now);
        if losses != self.losses {
            if self.losses.mass && !losses.mass {
                self.count_silence_anew(now);
            }
            // What many hosts or a whole site do together counts for containers on any of them.
            self.losses = losses;
            self.doubt.everything();
        }
        let mut writes = returned(&self.desired, &self.hosts);
        let (lines, look) = self.told.tell(&self.desired, &self.hosts, now);
        writes.extend(lines.into_iter().map(Write::Journal));
        if let Some(at) = look {
            self.look_again_in(at.since(now));
        }
        let mass = mass_loss(&self.desired, &self.hosts, now);
        if mass.is_some() != self.mass_loss.is_some() {
            writes.push(Write::Journal(Draft::engine(What::Observed, mass_sentence(mass.as_ref()))));
        }
        self.mass_loss = mass;
        writes
    }
}

/// Keeps since when a host has been silent. What lies ahead was noted before the clock was put back: it counts from now.
fn keep_silence(view: &mut HostView, now: Millis) {
    view.silent = is_silent(view).then(|| view.silent_since().unwrap_or(now).min(now));
    if let (Seen::Lost { last, since, .. }, Some(silent)) = (&mut view.seen, view.silent) {
        (*last, *since) = ((*last).min(silent), (*since).min(silent));
    }
}

/// Hosts that were given up and answer: that is forgotten.
fn returned(desired: &Desired, hosts: &BTreeMap<HostId, Arc<HostView>>) -> Vec<Write> {
    let is_back =
        |id: &HostId| hosts.get(id).is_some_and(|h| h.is_live() && !h.facts.engine_id.raw().is_empty());
    let back = desired.records.iter().filter(|(id, r)| r.given_up.is_some() && is_back(id));
    back.flat_map(|(id, record)| {
        let text = format!("host {id} answers again: it is not given up any more");
        let record = HostRecord { given_up: None, ..(**record).clone() };
        let line = Draft::engine(What::Observed, text).host(id);
        [Write::PutRecord(id.clone(), Box::new(record)), Write::Journal(line)]
    })
    .collect()
}

fn mass_sentence(mass: Option<&MassLoss>) -> String {
    let Some(mass) = mass else {
        return "no longer so much is lost together: what stays silent is replaced after its time, counted from now".into();
    };
    let what = match mass.sites.as_slice() {
        [] => format!("{} of {} hosts are lost together", mass.lost, mass.of),
        [site] => format!("site {site} is lost as a whole"),
        many => format!("{} sites are lost as a whole", many.len()),
    };
    format!("{what}: nothing is replaced until they answer or are given up (longshore hosts give-up)")
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
