//! What the core sees: observers are started and ended, and their new views are taken over.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::base::fault::Outcome;
use crate::base::ids::{HostId, PoolId};
use crate::engine::core::Core;
use crate::engine::identity::{self, Engines};
use crate::engine::observe::Observer;
use crate::model::holdings::External;
use crate::model::host::{HostConfig, HostView, Seen};

impl Core {
    pub(super) fn start_observers(&mut self) {
        self.name_externals();
        let known: Vec<HostConfig> =
            self.fixed_hosts.iter().chain(self.desired.hosts.values()).cloned().collect();
        for host in known {
            self.observe(host);
        }
    }

    /// Tells the observers what pools name that others make, if that may have changed.
    pub(super) fn name_externals(&mut self) {
        if !std::mem::take(&mut self.names_changed) {
            return;
        }
        let all = self.desired.pools.values().flat_map(|pool| pool.spec.externals());
        let named = all.map(|(sort, name)| External { sort, name: name.to_owned() }).collect();
        self.eyes.named.send_if_modified(|before| {
            let changed = **before != named;
            if changed {
                *before = Arc::new(named);
            }
            changed
        });
    }

    pub(super) fn observe(&mut self, host: HostConfig) {
        self.unusable.remove(&host.id);
        let view = match self.eyes.observe(&host, || self.connector.connect(&host), &self.clock) {
            Ok(observer) => {
                self.observers.insert(host.id.clone(), observer);
                HostView::never(host)
            }
            Err(fault) => {
                self.unusable.insert(host.id.clone(), (host.clone(), fault.to_string()));
                HostView { seen: Seen::Never { why: Some(fault.to_string()) }, ..HostView::never(host) }
            }
        };
        self.take_view(Arc::new(view));
        self.doubt.everything();
    }

    pub(super) fn forget_host(&mut self, host: &HostId) {
        // What is handed out and not begun is not begun any more on a host that is forgotten.
        for busy in self.busy.values().filter(|busy| busy.host == *host) {
            busy.cancelled.store(true, Ordering::SeqCst);
        }
        self.observers.remove(host);
        self.unusable.remove(host);
        self.hosts.remove(host);
        self.index.drop_host(host, &mut BTreeSet::new());
        self.room.drop_host(host);
        self.clocked.remove(host);
        self.list_came(host);
        self.doubt.everything();
    }

    /// Puts a host's view where it is looked up. Returns the one before.
    fn take_view(&mut self, view: Arc<HostView>) -> Option<Arc<HostView>> {
        let id = view.config.id.clone();
        let mut changed = BTreeSet::new();
        self.index.put(&id, &view.containers, &mut changed);
        self.doubt.pools(changed);
        self.room.put_host(&view);
        self.counted.insert(id.clone());
        self.hosts.insert(id, view)
    }

    /// Takes over the observers' new views, and what they lead to.
    pub(super) async fn see(&mut self) -> Outcome<()> {
        let mut learnt = Vec::new();
        let mut batch = Vec::new();
        for fresh in self.fresh_views() {
            // Of two names of one engine that answer for the first time together, the second must see the first on record.
            if learnt.iter().any(|write| identity::is_about(write, &fresh)) {
                self.believe(std::mem::take(&mut batch), std::mem::take(&mut learnt)).await?;
            }
            let engines = self.engines.get_or_insert_with(|| Arc::new(Engines::of(&self.desired))).clone();
            batch.push(identity::check(&self.desired, &engines, &self.hosts, &fresh, &mut learnt));
        }
        self.believe(batch, learnt).await?;
        let (turned, writes) = self.refresh_hosts();
        self.doubt_hosts(&turned);
        if self.is_active() {
            self.write(writes).await?;
        }
        Ok(())
    }

    /// Takes views over once what was learnt from them is durable.
    async fn believe(
        &mut self,
        batch: Vec<Arc<HostView>>,
        learnt: Vec<crate::model::desired::Write>,
    ) -> Outcome<()> {
        if self.is_active() && !self.write(learnt).await? {
            // Who answers there is not durable: nothing may be decided from these views. The next lists bring them again.
            return Ok(());
        }
        let mut turned = BTreeSet::new();
        for fresh in batch {
            let fresh = self.with_record(&fresh);
            let id = fresh.config.id.clone();
            let (is_live, facts) = (fresh.is_live(), fresh.facts.clone());
            let holdings = fresh.holdings.clone();
            let old = self.take_view(fresh);
            if old.as_ref().is_some_and(|o| o.holdings != holdings) {
                self.doubt.room();
            }
            if old.is_none_or(|o| o.is_live() != is_live || !Arc::ptr_eq(&o.facts, &facts)) {
                turned.insert(id.clone());
            }
            self.list_came(&id);
        }
        self.doubt_hosts(&turned);
        Ok(())
    }

    /// Hosts have turned up, gone silent, or changed in what people decided about them: so may everything that is on them.
    fn doubt_hosts(&mut self, turned: &BTreeSet<HostId>) {
        if turned.is_empty() {
            return;
        }
        self.doubt.room();
        let mut pools: BTreeSet<PoolId> = BTreeSet::new();
        turned.iter().for_each(|host| self.index.pools_on(host, &mut pools));
        for (id, slots) in &self.desired.instances {
            if !pools.contains(id) && slots.values().any(|i| i.hosts().any(|host| turned.contains(host))) {
                pools.insert(id.clone());
            }
        }
        self.doubt.pools(pools);
    }

    /// Steps and removals on a host whose effect its last list shows are over.
    fn list_came(&mut self, host: &HostId) {
        let view = self.hosts.get(host);
        let shown = |list: u64| view.is_none_or(|h| h.lists >= list && h.is_live());
        self.busy.listed(host, shown);
        let first = (host.clone(), crate::base::ids::ContainerId::new(""));
        let of_host = self.leaving.range(first..).take_while(|((h, _), _)| h == host);
        let over: Vec<_> =
            of_host.filter(|(_, list)| list.is_some_and(shown)).map(|(key, _)| key.clone()).collect();
        for key in over {
            self.leaving.remove(&key);
            self.doubt_container(&key);
        }
    }

    /// Something about a container may have changed that its host's list does not show.
    pub(super) fn doubt_container(&mut self, (host, id): &(HostId, crate::base::ids::ContainerId)) {
        let container = self.hosts.get(host).and_then(|h| h.container(id));
        if let Some(tag) = container.and_then(|c| c.owner.ours(&self.desired.install)) {
            self.doubt.pool(&tag.pool);
        }
    }

    fn fresh_views(&mut self) -> Vec<Arc<HostView>> {
        let changed = |o: &&mut Observer| o.view.has_changed().unwrap_or(false);
        self.observers.values_mut().filter(changed).map(|o| o.view.borrow_and_update().clone()).collect()
    }
}
