//! What no plan may do, and what must be the case in the end.

use std::collections::BTreeSet;

use longshore::base::ids::HostId;
use longshore::model::container::{Owner, State};
use longshore::model::host::Duty;
use longshore::model::instance::Instance;
use longshore::model::placement::LossRule;
use longshore::model::pool::Pool;
use longshore::plan::loss::{MASS_LOSS_MIN, MASS_LOSS_SHARE, SITE_LOSS_MIN, is_tied};
use longshore::plan::reconcile::Plan;
use longshore::plan::slot::Step;

use crate::model::Model;

impl Model {
    /// Counted anew, the simple way: whether so much is silent together that nothing may be replaced.
    pub fn is_mass(&self) -> bool {
        let counted = || self.views.values().filter(|v| v.record.given_up.is_none());
        let lost = counted().filter(|v| !v.is_live()).count() as u32;
        let of = counted().count() as u32;
        let whole = ["bj", "sh", "gz"].iter().any(|name| {
            let here = || counted().filter(|v| v.record.site.as_ref().is_some_and(|s| s.as_str() == *name));
            here().count() >= SITE_LOSS_MIN as usize && here().all(|v| !v.is_live())
        });
        whole || (lost >= MASS_LOSS_MIN && lost * 100 > of * MASS_LOSS_SHARE)
    }

    /// What no plan may do.
    pub fn check(&self, plan: &Plan) {
        let mut slots = BTreeSet::new();
        for step in &plan.steps {
            let Step::Create { instance, .. } = step else { continue };
            assert!(self.is_live(&instance.host), "made on a host that does not answer: {instance:?}");
            assert!(slots.insert((instance.pool.clone(), instance.slot)), "two for one slot: {instance:?}");
            let pool = &self.desired.pools[&instance.pool];
            assert!(pool.wants(instance.slot), "more than wanted: {instance:?}");
            let from = |host: &HostId, generation: u32| {
                instance.moved_from.as_ref().is_some_and(|f| f.host == *host && f.generation == generation)
            };
            for (host, view) in self.views.iter().filter(|(_, v)| v.is_live()) {
                let other = view.containers.iter().find(|c| {
                    c.state == State::Running
                        && c.owner.ours(&self.desired.install).is_some_and(|t| {
                            t.pool == instance.pool
                                && t.slot == instance.slot
                                && t.generation != instance.generation
                                && !from(host, t.generation)
                        })
                });
                assert!(other.is_none(), "made beside a running one: {instance:?} and {other:?}");
            }
            self.check_move(instance, pool);
        }
        for removal in &plan.removals {
            assert!(self.is_live(&removal.host), "removed on a host that does not answer: {removal:?}");
            let view = &self.views[&removal.host];
            let victim = view.container(&removal.container).unwrap();
            assert!(victim.owner.ours(&self.desired.install).is_some(), "not ours: {removal:?}");
        }
        for (pool, slot) in &plan.forgotten {
            let record = &self.desired.instances[pool][slot];
            let silent =
                self.views.get(&record.host).is_some_and(|v| !v.is_live() && v.record.given_up.is_none());
            assert!(!silent, "unreachable is not empty: {record:?}");
            assert!(!self.desired.pools[pool].wants(*slot), "dropped though wanted: {record:?}");
        }
        for (id, view) in &plan.pools {
            let mut seen = BTreeSet::new();
            assert!(view.slots.iter().all(|s| seen.insert(s.slot)), "a slot twice in {id}");
        }
    }

    /// A new record that takes over from another: within the pool's limits and rule.
    pub fn check_move(&self, next: &Instance, pool: &Pool) {
        let before = self.desired.instances.get(&next.pool).and_then(|s| s.get(&next.slot));
        let Some(from) = next.moved_from.as_ref().filter(|_| before.is_some_and(|b| b.moved_from.is_none()))
        else {
            return;
        };
        let silent = |host: &HostId| self.views.get(host).is_some_and(|v| !v.is_live());
        let alike = self.desired.instances[&next.pool]
            .values()
            .filter_map(|i| i.moved_from.as_ref())
            .filter(|f| silent(&f.host) == silent(&from.host))
            .count();
        if !silent(&from.host) {
            assert!(alike < pool.spec.update_parallelism as usize, "too many moves: {next:?}");
            let duty = &self.views[&from.host].record.duty;
            assert!(
                *duty != Duty::Active || before.is_some_and(|b| b.move_to.is_some()),
                "moved without a reason: {next:?}"
            );
            assert!(
                pool.spec.limits.max.is_none_or(|max| pool.target() < max),
                "above the maximum: {next:?}"
            );
            return;
        }
        let record = &self.views[&from.host].record;
        assert!(alike < pool.spec.placement.on_loss.at_once as usize, "too many replaced: {next:?}");
        if record.given_up.is_none() {
            assert!(!self.is_mass(), "replaced in a mass loss: {next:?}");
            assert!(!is_tied(pool), "replaced against its rule: {next:?}");
            let silent = self.now.since(self.views[&from.host].silent.unwrap());
            assert!(silent >= pool.spec.placement.on_loss.after_ms, "replaced too early: {next:?}");
            if pool.spec.loss_rule() == LossRule::SameClass {
                assert_eq!(self.views[&next.host].class(), self.views[&from.host].class(), "{next:?}");
            }
        }
    }

    /// Not more than wanted runs where it can be seen, but for what is moved and what is on its way out.
    pub fn check_numbers(&self) {
        for (id, pool) in &self.desired.pools {
            let records = self.desired.instances.get(id);
            let moving =
                records.into_iter().flat_map(|r| r.values()).filter(|i| i.moved_from.is_some()).count();
            let mut alive = 0;
            for (host, view) in self.views.iter().filter(|(_, v)| v.is_live()) {
                alive += view
                    .containers
                    .iter()
                    .filter(|c| c.state == State::Running)
                    .filter(|c| c.owner.ours(&self.desired.install).is_some_and(|t| t.pool == *id))
                    .filter(|c| !self.leaving.contains(&(host.clone(), c.id.clone())))
                    .count();
            }
            let most = pool.target() as usize + moving;
            assert!(alive <= most, "{alive} of {id} run, {most} at most");
        }
    }

    pub fn check_end(&self, plan: &Plan) {
        for (id, pool) in &self.desired.pools {
            let mut slots = Vec::new();
            for (host, truth) in &self.truth {
                for c in truth.containers.iter().filter(|c| c.state == State::Running) {
                    let Some(tag) = c.owner.ours(&self.desired.install).filter(|t| t.pool == *id) else {
                        continue;
                    };
                    slots.push(tag.slot);
                    // Only what no host takes may stay as it was, and then it says so.
                    let view = plan.pools[id].slots.iter().find(|s| s.slot == tag.slot);
                    let why = view.and_then(|s| s.why.as_deref()).unwrap_or_default();
                    let kept = is_tied(pool) || why.contains("no host");
                    let says = why.contains("does not take revision") || why.contains("--force");
                    assert!(tag.revision == pool.revision || kept && says, "{tag} on {host}: {view:?}");
                    let duty = &self.views[host].record.duty;
                    let tied = is_tied(pool);
                    let full = pool.spec.limits.max.is_some_and(|m| m <= pool.target());
                    let stays = match duty {
                        Duty::Draining { force, .. } => tied && !force || full,
                        Duty::Drained { .. } => tied,
                        _ => true,
                    };
                    assert!(stays, "{tag} stays on {host}, which is drained ({duty:?})");
                }
            }
            slots.sort_unstable();
            let view = &plan.pools[id];
            assert_eq!(slots, pool.slots().collect::<Vec<_>>(), "{id}: {view:#?}");
        }
        for record in self.desired.instances.values().flat_map(|s| s.values()) {
            assert!(record.moved_from.is_none() && record.move_to.is_none(), "still moving: {record:?}");
        }
        for (host, truth) in &self.truth {
            let ours = truth.containers.iter().filter_map(|c| c.owner.ours(&self.desired.install));
            let mut orphans = ours.filter(|t| !self.desired.pools.contains_key(&t.pool));
            assert_eq!(orphans.next(), None, "left behind on {host}");
            let strangers = truth.containers.iter().filter(|c| c.owner == Owner::Nobody).count();
            assert_eq!(strangers, 1, "what is not ours on {host}");
        }
    }
}
