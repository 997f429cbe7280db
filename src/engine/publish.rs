//! Publishing: one immutable world after each turn in which something has changed, but not more of them than anybody can see.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::base::ids::OpId;
use crate::engine::core::Core;
use crate::engine::pace::Clocked;
use crate::model::prewarm::PrewarmView;
use crate::model::world::{EngineView, World};

/// Worlds of a large fleet follow each other no closer than this: each costs its readers a look at everything.
const PAUSE_MAX: Duration = Duration::from_millis(50);
/// A fleet of so many pools and hosts is that large; smaller ones are published sooner, …
const LARGE: u32 = 1_000;
/// … and one of no more than these at once.
const SMALL: u32 = 100;

impl Core {
    /// Publishes the world, now or as soon as the last one is old enough.
    pub(super) fn publish_world(&mut self) {
        self.count_taken();
        let parts = u32::try_from(self.hosts.len() + self.pools.len()).unwrap_or(LARGE).min(LARGE);
        let due = self.published.map(|at| at + PAUSE_MAX * parts.saturating_sub(SMALL) / LARGE);
        if let Some(due) = due.filter(|due| *due > Instant::now()) {
            self.publish_at = Some(due);
            return;
        }
        self.publish_at = None;
        let before = self.publish.borrow().clone();
        let operations = &self.desired.operations;
        let same = before.operations.iter().eq(operations.values().rev());
        let operations = if same {
            before.operations.clone()
        } else {
            Arc::new(operations.values().rev().cloned().collect())
        };
        let next = World {
            at: before.at,
            revision: before.revision,
            engine: self.engine_view(),
            hosts: self.hosts.clone(),
            pools: self.pools.clone(),
            operations,
            sites: self.sites.clone(),
            mass_loss: self.mass_loss.clone(),
            registries: self.registries.clone(),
            replication: self.replication.clone(),
            prewarms: self.published_prewarms(&before),
            access: self.access.clone(),
        };
        // Only what differs is a new world: a relist that brings nothing new wakes nobody but through its time stamp.
        if same_parts(&before, &next) {
            return;
        }
        self.published = Some(Instant::now());
        self.revision += 1;
        self.publish.send_replace(Arc::new(World { at: self.clock.now(), revision: self.revision, ..next }));
    }

    /// Prewarms as they stand; shared with the world before when nothing of them has changed.
    fn published_prewarms(&self, before: &World) -> Arc<BTreeMap<OpId, Arc<PrewarmView>>> {
        let (old, new) = (&before.prewarms, &self.desired.prewarms);
        let same = old.len() == new.len() && old.iter().zip(new).all(|(a, b)| Arc::ptr_eq(a.1, b.1));
        if same { old.clone() } else { Arc::new(new.clone()) }
    }

    /// The core itself, with what hinders it or what belongs to it.
    fn engine_view(&self) -> EngineView {
        let of_tokens = || self.access.service.as_ref().and_then(|service| service.trouble.clone());
        EngineView { trouble: self.engine.trouble.clone().or_else(of_tokens), ..self.engine.clone() }
    }

    /// Brings what our containers take, and how quick each host is, into the views of the hosts where that may have changed.
    fn count_taken(&mut self) {
        for id in std::mem::take(&mut self.counted) {
            let taken = self.room.taken(&id);
            let paces = self.clocked.get(&id).map(Clocked::paces).unwrap_or_default();
            if let Some(view) = self.hosts.get_mut(&id).filter(|v| v.taken != taken || v.paces != paces) {
                let view = Arc::make_mut(view);
                (view.taken, view.paces) = (taken, paces);
            }
        }
    }
}

fn same_parts(a: &World, b: &World) -> bool {
    a.revision > 0
        && a.engine == b.engine
        && Arc::ptr_eq(&a.operations, &b.operations)
        && Arc::ptr_eq(&a.sites, &b.sites)
        && Arc::ptr_eq(&a.registries, &b.registries)
        && Arc::ptr_eq(&a.replication, &b.replication)
        && Arc::ptr_eq(&a.prewarms, &b.prewarms)
        && Arc::ptr_eq(&a.access, &b.access)
        && a.mass_loss == b.mass_loss
        && a.hosts.len() == b.hosts.len()
        && a.hosts.iter().zip(&b.hosts).all(|(x, y)| Arc::ptr_eq(x.1, y.1))
        && a.pools.len() == b.pools.len()
        && a.pools.iter().zip(&b.pools).all(|(x, y)| Arc::ptr_eq(x.1, y.1))
}
