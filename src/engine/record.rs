//! Taking a durable change over: into what is wanted, into the count of what hosts hold, and into what is planned again.

use std::sync::Arc;

use crate::base::ids::PoolId;
use crate::engine::core::Core;
use crate::model::desired::Write;
use crate::model::harbor::view::HarborView;
use crate::model::instance::{Instance, Phase};
use crate::model::pool::Pool;
use crate::model::registry::{Registry, RegistryView};
use crate::model::replication::{ReplicationView, Rule, RuleView};

impl Core {
    /// Makes one change in memory. It is durable already.
    pub(super) fn apply(&mut self, write: &Write) {
        match write {
            Write::PutInstance(new) => self.note_instance(new),
            Write::DropInstance(pool, slot) => {
                self.count_out(pool, Some(*slot));
                self.doubt.pool(pool);
            }
            Write::DropPool(pool) => {
                self.names_changed = true;
                self.count_out(pool, None);
                self.pools.remove(pool);
                self.specs.retain(|(of, _), _| of != pool);
                self.doubt.forget(pool);
            }
            Write::PutPool(pool) => {
                self.names_changed = true;
                self.layer.policing.note();
                self.doubt.pool(&pool.id);
                self.note_need(pool);
            }
            Write::PutOperation(op) => self.doubt.pools(op.pools.iter().cloned()),
            Write::PutSite(_) | Write::DropSite(_) => {
                self.desired.apply(write);
                self.room.set_sites(&self.desired.sites);
                return self.doubt.everything();
            }
            Write::PutRegistry(_) | Write::DropRegistry(_) | Write::PutRule(_) | Write::DropRule(_) => {
                self.desired.apply(write);
                return self.note_registries();
            }
            Write::PutLineLimits(_) | Write::DropLineLimits(_) => {
                self.desired.apply(write);
                return self.equip_replication();
            }
            Write::PutBrought(..) | Write::DropBrought(_) => {
                self.desired.apply(write);
                return self.stir();
            }
            Write::Access(_) => {
                self.desired.apply(write);
                return self.note_access();
            }
            Write::PutImagePolicy(_) | Write::DropImagePolicy => {
                self.desired.apply(write);
                self.layer.policing.note();
                return self.doubt.everything();
            }
            Write::PutHost(_) | Write::DropHost(_) => {
                self.engines = None;
                self.doubt.everything();
            }
            // Joined with the host's view by the next turn, which then doubts what is on it.
            Write::PutRecord(..) => self.stir(),
            Write::PutIdentity(..) => self.engines = None,
            Write::PutRevision { .. }
            | Write::PutPrewarm(_)
            | Write::PutQueued(..)
            | Write::DropQueued(_)
            | Write::Journal(_) => {}
        }
        self.desired.apply(write);
    }

    /// Brings what people decided about registries and rules into what is shown; what is seen of them is kept.
    pub(super) fn note_registries(&mut self) {
        let view = |r: &Registry| match self.registries.get(&r.name) {
            Some(old) => old.decided(r.clone()),
            None => RegistryView::never(r.clone()),
        };
        let registries = self.desired.registries.values().map(|r| (r.name.clone(), view(r))).collect();
        let rule = |r: &Rule| {
            let old = self.replication.rule(&r.name).cloned();
            let fresh = RuleView { rule: r.clone(), run: None, next: None, missed: None };
            old.map_or(fresh, |old| RuleView { rule: r.clone(), ..old })
        };
        let rules = self.desired.rules.values().map(rule).collect();
        let lines = self.replication.lines.clone();
        self.registries = Arc::new(registries);
        self.layer.policing.note();
        self.health.look_at(&self.desired.registries);
        if self.is_active() {
            self.layer.counting.look_at(&self.desired.registries);
        }
        self.layer.harbors.look_at(&self.desired.registries);
        self.equip_replication();
        self.replication = Arc::new(ReplicationView { rules, lines });
        // The token service serves those that are known.
        self.note_access();
    }

    /// Takes over what has been seen of registries since.
    pub(super) fn see_registries(&mut self) {
        self.see_counts();
        let (seen, harbors) = (self.health.take(), self.layer.harbors.take());
        if seen.is_none() && harbors.is_none() {
            return;
        }
        let registries = Arc::make_mut(&mut self.registries);
        for view in seen.iter().flat_map(|seen| seen.values()) {
            if let Some(known) =
                registries.get_mut(&view.registry.name).filter(|k| k.registry == view.registry)
            {
                let harbor = known.harbor.take();
                *known = RegistryView { counted: known.counted, harbor, ..view.clone() };
            }
        }
        for (name, (of, view)) in harbors.iter().flat_map(|seen| seen.iter()) {
            if let Some(known) = registries.get_mut(name).filter(|known| known.registry == *of) {
                let access = self.layer.bringing.view(name);
                known.harbor = Some(Box::new(HarborView { access, ..(**view).clone() }));
            }
        }
    }

    /// Takes over what has been counted in registries since.
    fn see_counts(&mut self) {
        let counts = self.layer.counting.counts();
        let new = |view: &RegistryView| {
            let sums = counts.get(&view.registry.name).and_then(|c| c.sums);
            sums.filter(|sums| view.counted != Some(*sums))
        };
        if self.registries.values().any(|view| new(view).is_some()) {
            for view in Arc::make_mut(&mut self.registries).values_mut() {
                view.counted = new(view).or(view.counted);
            }
        }
    }

    fn note_instance(&mut self, new: &Instance) {
        self.doubt.pool(&new.pool);
        let old = self.desired.instances.get(&new.pool).and_then(|slots| slots.get(&new.slot));
        let takes = |i: &Instance| (i.host.clone(), i.moved_from.clone(), i.phase == Phase::Finished);
        if old.map(takes).is_some_and(|before| before != takes(new)) {
            self.doubt.room();
        }
        self.counted.extend(old.into_iter().chain([new]).flat_map(Instance::hosts).cloned());
        match self.desired.pools.get(&new.pool) {
            Some(pool) => self.room.put(new, pool),
            None => self.room.drop_slot(&new.pool, new.slot),
        }
    }

    /// A slot, or every slot of a pool, takes nothing any more.
    fn count_out(&mut self, pool: &PoolId, slot: Option<u32>) {
        let slots = self.desired.instances.get(pool).into_iter().flatten();
        for (number, instance) in slots.filter(|(number, _)| slot.is_none_or(|s| s == **number)) {
            self.counted.extend(instance.hosts().cloned());
            self.room.drop_slot(pool, *number);
        }
        self.doubt.room();
    }

    /// A pool's specification is another: its containers may need something else.
    fn note_need(&mut self, pool: &Pool) {
        if self.desired.pools.get(&pool.id).is_some_and(|old| old.spec == pool.spec) {
            return;
        }
        for instance in self.desired.instances.get(&pool.id).into_iter().flat_map(|slots| slots.values()) {
            self.counted.extend(instance.hosts().cloned());
            self.room.put(instance, pool);
        }
        self.doubt.room();
    }
}
