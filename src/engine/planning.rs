//! Planning and carrying out: what may have changed is planned again, written down, and only then handed out.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use crate::base::fault::Outcome;
use crate::base::ids::{HostId, PoolId};
use crate::engine::core::{Busy, Core};
use crate::engine::doubt::Scope;
use crate::engine::intents;
use crate::model::pool::PoolSpec;
use crate::plan::reconcile::{Input, Plan, reconcile_all, reconcile_some};
use crate::plan::restart::is_ahead;
use crate::plan::slot::{Activity, Step};

/// So long after its start a core waits for hosts that have not been tried yet before it places anything.
const SETTLE: Duration = Duration::from_secs(2);
/// So often everything is planned, whatever has changed: a safety net.
const ALL_EVERY: Duration = Duration::from_secs(300);
/// Records may lead to new steps at once (an ended container to its successor): planned until nothing changes, but not more
/// often than this in one turn.
const ROUNDS_MAX: usize = 8;

impl Core {
    /// One round: see, plan, write down, hand out, publish.
    pub(super) async fn turn(&mut self) -> Outcome<()> {
        if let Some(fault) = self.fenced.take() {
            return Err(fault);
        }
        let due = self.alarm.is_some_and(|at| at <= self.clock.now());
        if due {
            self.alarm = None;
        }
        self.name_externals();
        self.see().await?;
        self.see_registries();
        self.release_held().await?;
        self.bring_access().await?;
        self.see_replication();
        self.begin_due_runs().await?;
        self.see_prewarms().await?;
        self.see_tokens();
        self.see_policy();
        let mut planned = false;
        for _ in 0..ROUNDS_MAX {
            let Some(scope) = self.scope() else { break };
            planned = true;
            let plan = self.plan(&scope);
            if !self.carry_out(&scope, plan).await? {
                break;
            }
        }
        if std::mem::take(&mut self.dirty) || planned || due {
            self.judge_operations().await?;
        }
        self.publish_world();
        Ok(())
    }

    /// What has to be planned now.
    fn scope(&mut self) -> Option<Scope> {
        let now = self.clock.now();
        let beginning = self.begun.elapsed() < SETTLE;
        if self.beginning && !beginning {
            self.doubt.room();
        }
        self.beginning = beginning;
        if beginning {
            let left = SETTLE.saturating_sub(self.begun.elapsed()).as_millis();
            self.look_again_in(u64::try_from(left).unwrap_or(0).max(1));
        }
        if self.all_at <= Instant::now() {
            self.doubt.everything();
        }
        let rested: Vec<_> =
            self.rest.iter().filter(|(_, at)| !is_ahead(**at, now)).map(|(key, _)| key.clone()).collect();
        for key in rested {
            self.rest.remove(&key);
            self.doubt_container(&key);
        }
        let changed = self.busy.take_changed();
        self.doubt.pools(changed);
        let scope = self.doubt.take(now);
        if scope == Some(Scope::All) {
            self.all_at = Instant::now() + ALL_EVERY;
        }
        scope
    }

    fn plan(&mut self, scope: &Scope) -> Plan {
        let busy = self.busy.activities(scope);
        let leaving: BTreeSet<_> = self.leaving.keys().chain(self.rest.keys()).cloned().collect();
        let (now, desired, hosts, beginning) = (self.clock.now(), &self.desired, &self.hosts, self.beginning);
        let input = Input { now, desired, hosts, beginning, busy: &busy, leaving: &leaving };
        // What is placed counts from when it is on record.
        self.room.begin_trial();
        let mut plan = match scope {
            Scope::All => reconcile_all(&input, &self.index, &mut self.room),
            Scope::Some(pools) => reconcile_some(&input, &self.index, pools, &mut self.room),
        };
        self.room.end_trial();
        plan.steps.retain(|step| self.is_trusted(step.host()));
        plan.removals.retain(|removal| self.is_trusted(&removal.host));
        plan.updates.retain(|(instance, _)| self.is_trusted(&instance.host));
        plan
    }

    /// A host whose engine has not said who it is yet is shown, but nothing is done there.
    fn is_trusted(&self, host: &HostId) -> bool {
        self.hosts.get(host).is_none_or(|view| !view.facts.engine_id.raw().is_empty())
    }

    /// Writes down what was planned, then hands it out. True when records have changed that lead to another plan.
    async fn carry_out(&mut self, scope: &Scope, mut plan: Plan) -> Outcome<bool> {
        let planned = self.take_views(&mut plan);
        if !self.is_active() {
            return Ok(false);
        }
        self.cancel_unwanted(&planned);
        let unused_networks: Vec<String> = plan.gone.iter().flat_map(|id| self.own_networks(id)).collect();
        let again = !plan.updates.is_empty() || !plan.forgotten.is_empty() || !plan.gone.is_empty();
        let writes = intents::of(&plan);
        if !self.write(writes).await? {
            // Not durable: nothing is tried. The same is planned again in a moment.
            match scope {
                Scope::All => self.doubt.everything(),
                Scope::Some(pools) => self.doubt.pools(pools.iter().cloned()),
            }
            self.not_before = Instant::now() + Duration::from_secs(1);
            return Ok(false);
        }
        let Plan { steps, removals, updates, forgotten, .. } = plan;
        if !unused_networks.is_empty() {
            for observer in self
                .observers
                .iter()
                .filter(|(id, _)| self.hosts.get(*id).is_some_and(|h| h.is_live()))
                .map(|(_, o)| o)
            {
                self.executor.remove_networks(observer.runtime.clone(), unused_networks.clone());
            }
        }
        for step in steps {
            self.hand_out(step);
        }
        for removal in removals {
            if let Some(observer) = self.observers.get(&removal.host) {
                self.leaving.insert((removal.host.clone(), removal.container.clone()), None);
                self.executor.remove(observer.runtime.clone(), removal);
            }
        }
        // A plan's own intents do not change it; a new record may.
        let renewed: BTreeSet<&PoolId> =
            updates.iter().map(|(i, _)| &i.pool).chain(forgotten.iter().map(|(pool, _)| pool)).collect();
        let _own = self.busy.take_changed();
        planned.iter().filter(|id| !renewed.contains(id)).for_each(|id| self.doubt.settled(id));
        Ok(again)
    }

    /// Takes over the pools' views; those that have not changed stay shared with the worlds before. Returns which they are.
    fn take_views(&mut self, plan: &mut Plan) -> Vec<PoolId> {
        let mut wakes = std::mem::take(&mut plan.wakes).into_iter().peekable();
        let mut planned = Vec::with_capacity(plan.pools.len());
        for (id, mut view) in std::mem::take(&mut plan.pools) {
            let wake_at = wakes.next_if(|(of, _)| *of == id).map(|(_, at)| at);
            self.doubt.planned(&id, &view, wake_at);
            match self.pools.get(&id) {
                Some(old) if **old == view => {}
                _ => {
                    view.slots.shrink_to_fit();
                    self.pools.insert(id.clone(), Arc::new(view));
                }
            }
            planned.push(id);
        }
        planned
    }

    fn hand_out(&mut self, step: Step) {
        let (instance, activity) = match &step {
            Step::Create { instance, .. } => (instance, Activity::Creating),
            Step::Bury { instance, .. } => (instance, Activity::Burying),
        };
        let Some(observer) = self.observers.get(&instance.host) else { return };
        let runtime = observer.runtime.clone();
        let cancelled = Arc::new(AtomicBool::new(false));
        let busy = Busy {
            activity,
            settles: None,
            cancelled: cancelled.clone(),
            generation: instance.generation,
            host: instance.host.clone(),
        };
        self.busy.insert((instance.pool.clone(), instance.slot), busy);
        match step {
            Step::Create { instance, .. } => {
                let Some(spec) = self.spec(&instance.pool) else { return };
                let record = self.desired.records.get(&instance.host);
                let site = record.and_then(|r| r.site.as_ref()).and_then(|name| self.desired.sites.get(name));
                let sources = self.sources_on(&instance.host, &spec.image);
                self.executor.create(runtime, instance, spec, site, sources, cancelled);
            }
            Step::Bury { instance, container } => self.executor.bury(runtime, instance, container),
        }
    }

    /// Networks that longshore makes for a pool and that no other pool names.
    fn own_networks(&self, id: &PoolId) -> Vec<String> {
        let others: BTreeSet<&str> = self
            .desired
            .pools
            .values()
            .filter(|p| p.id != *id)
            .flat_map(|p| p.spec.networks.iter().map(|n| n.name.as_str()))
            .collect();
        let own = self.desired.pools.get(id).into_iter().flat_map(|p| &p.spec.networks);
        own.filter(|n| !n.external && !others.contains(n.name.as_str())).map(|n| n.name.clone()).collect()
    }

    fn spec(&mut self, id: &PoolId) -> Option<Arc<PoolSpec>> {
        let pool = self.desired.pools.get(id)?;
        let key = (id.clone(), pool.revision);
        if !self.specs.contains_key(&key) {
            self.specs.retain(|(pool, _), _| pool != id);
            self.specs.insert(key.clone(), Arc::new(pool.spec.clone()));
        }
        self.specs.get(&key).cloned()
    }

    /// Takes back creations whose turn has not come and that nobody wants any more.
    fn cancel_unwanted(&self, planned: &[PoolId]) {
        for ((pool, slot), busy) in planned.iter().flat_map(|id| self.busy.of_pool(id)) {
            let wanted = self.desired.pools.get(pool).is_some_and(|p| p.wants(*slot));
            if !wanted {
                busy.cancelled.store(true, Ordering::SeqCst);
            }
        }
    }
}
