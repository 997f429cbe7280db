//! The core: one task that owns what is wanted, takes commands, plans, hands out steps and publishes the world.
//!
//! It waits only for the database, never for an engine: a host that hangs cannot hold it up.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;

use crate::base::clock::{Millis, SharedClock};
use crate::base::fault::{Fault, Kind, Outcome};
use crate::base::ids::{ContainerId, HostId, OpId, PoolId, SiteName, Slot};
use crate::engine::execute::{Executor, Report};
use crate::engine::handle::{CALLS_MAX, Call};
use crate::engine::identity;
use crate::engine::intake::Caller;
use crate::engine::intents;
use crate::engine::observe::{Eyes, Observer};
use crate::model::desired::{Desired, Write};
use crate::model::host::{HostConfig, HostView, Seen};
use crate::model::operation::Progress;
use crate::model::pool::PoolSpec;
use crate::model::site::SiteView;
use crate::model::world::{EngineView, Mode, PoolView, World};
use crate::plan::place::Room;
use crate::plan::reconcile::{Input, Plan, reconcile};
use crate::plan::restart::is_ahead;
use crate::plan::slot::{Activity, Step};
use crate::ports::runtime::Runtime;
use crate::store::Store;

/// Reports of steps that may wait for the core; the executor waits beyond that.
const REPORTS_MAX: usize = 256;

/// So long after its start a core waits for hosts that have not been tried yet before it places anything.
const SETTLE: std::time::Duration = std::time::Duration::from_secs(2);
/// While it does, it looks again after so many milliseconds.
const SETTLE_AGAIN_MS: u64 = 500;

/// Makes the runtime behind a host's address; given by `wire.rs`, which knows the adapters.
pub trait Connector: Send + Sync {
    /// Connects lazily: no round trip is made here.
    ///
    /// # Errors
    /// When the address cannot be used.
    fn connect(&self, host: &HostConfig) -> Outcome<Arc<dyn Runtime>>;
}

/// What a core is made of.
pub struct Parts {
    /// Where stamps come from.
    pub clock: SharedClock,
    /// The durable state; `None` for a console that only observes and has none.
    pub store: Option<Store>,
    /// What is wanted, as last written.
    pub desired: Desired,
    /// How hosts are connected.
    pub connector: Arc<dyn Connector>,
    /// Hosts that come from the configuration and the environment.
    pub hosts: Vec<HostConfig>,
    /// Who runs it, in which mode.
    pub engine: EngineView,
}

/// A call with the session that it came from.
#[derive(Debug)]
pub struct Incoming {
    /// Who asks.
    pub caller: Caller,
    /// What.
    pub call: Call,
}

/// A running core. Dropping it stops it; containers run on.
pub struct Running {
    /// Where calls go.
    pub calls: mpsc::Sender<Incoming>,
    /// The latest world.
    pub world: watch::Receiver<Arc<World>>,
    /// Completes when the core has stopped by itself: the reason.
    pub stopped: oneshot::Receiver<Fault>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Starts a core.
pub fn start(parts: Parts) -> Running {
    start_seeing(parts, Eyes::default())
}

/// Starts a core whose observers may have been started before.
pub fn start_seeing(parts: Parts, eyes: Eyes) -> Running {
    let (calls, inbox) = mpsc::channel(CALLS_MAX);
    let (reports, outcomes) = mpsc::channel(REPORTS_MAX);
    let (publish, world) =
        watch::channel(Arc::new(World { engine: parts.engine.clone(), ..World::default() }));
    let (stop, stopped) = oneshot::channel();
    let mut core = Core::new(parts, eyes, publish, reports);
    core.start_observers();
    let task = tokio::spawn(async move {
        let fault = core.run(inbox, outcomes).await;
        let _ = stop.send(fault);
    });
    Running { calls, world, stopped, task }
}

/// A step on a slot that is under way, or over and not yet seen.
pub(super) struct Busy {
    pub(super) activity: Activity,
    /// Over: the list with this number on this host shows its effect.
    pub(super) settles: Option<(HostId, u64)>,
    pub(super) cancelled: Arc<AtomicBool>,
    pub(super) generation: u32,
    pub(super) host: HostId,
}

pub(super) struct Core {
    pub(super) clock: SharedClock,
    pub(super) store: Option<Store>,
    pub(super) desired: Desired,
    connector: Arc<dyn Connector>,
    pub(super) fixed_hosts: Vec<HostConfig>,
    engine: EngineView,
    publish: watch::Sender<Arc<World>>,
    executor: Executor,
    pub(super) observers: BTreeMap<HostId, Observer>,
    unusable: BTreeMap<HostId, (HostConfig, String)>,
    pub(super) hosts: BTreeMap<HostId, Arc<HostView>>,
    pub(super) eyes: Eyes,
    pub(super) busy: BTreeMap<(PoolId, Slot), Busy>,
    pub(super) leaving: BTreeMap<(HostId, ContainerId), Option<u64>>,
    /// Removals that failed: not tried again before this time.
    pub(super) rest: BTreeMap<(HostId, ContainerId), Millis>,
    pub(super) pools: BTreeMap<PoolId, Arc<PoolView>>,
    pub(super) specs: BTreeMap<(PoolId, u32), Arc<PoolSpec>>,
    pub(super) sites: Arc<BTreeMap<SiteName, SiteView>>,
    /// When each operation's counters last moved.
    pub(super) moved: BTreeMap<OpId, (Progress, Millis)>,
    begun: Instant,
    wake_at: Option<Millis>,
    /// Something but a view has changed: plan again.
    dirty: bool,
    fenced: Option<Fault>,
    revision: u64,
}

impl Core {
    fn new(
        parts: Parts,
        eyes: Eyes,
        publish: watch::Sender<Arc<World>>,
        reports: mpsc::Sender<Report>,
    ) -> Core {
        let Parts { clock, store, desired, connector, hosts, engine } = parts;
        Core {
            executor: Executor::new(desired.install.clone(), reports),
            clock,
            store,
            desired,
            connector,
            fixed_hosts: hosts,
            engine,
            publish,
            observers: BTreeMap::new(),
            unusable: BTreeMap::new(),
            hosts: BTreeMap::new(),
            eyes,
            busy: BTreeMap::new(),
            leaving: BTreeMap::new(),
            rest: BTreeMap::new(),
            pools: BTreeMap::new(),
            specs: BTreeMap::new(),
            sites: Arc::default(),
            moved: BTreeMap::new(),
            begun: Instant::now(),
            wake_at: None,
            dirty: true,
            fenced: None,
            revision: 0,
        }
    }

    /// Plans again after so many milliseconds at the latest.
    pub(super) fn look_again_in(&mut self, ms: u64) {
        let at = self.clock.now().plus(ms);
        self.wake_at = Some(self.wake_at.map_or(at, |w| w.min(at)));
    }

    /// Something has changed that leads to another plan.
    pub(super) fn replan(&mut self) {
        self.dirty = true;
    }

    /// The world as it is published.
    pub(super) fn world(&self) -> watch::Receiver<Arc<World>> {
        self.publish.subscribe()
    }

    /// Checks that a host's address can be used.
    pub(super) fn can_connect(&self, host: &HostConfig) -> Outcome<()> {
        self.connector.connect(host).map(|_| ())
    }

    pub(super) fn is_active(&self) -> bool {
        self.engine.mode == Mode::Active
    }

    fn start_observers(&mut self) {
        let known: Vec<HostConfig> =
            self.fixed_hosts.iter().chain(self.desired.hosts.values()).cloned().collect();
        for host in known {
            self.observe(host);
        }
    }

    pub(super) fn observe(&mut self, host: HostConfig) {
        self.unusable.remove(&host.id);
        match self.eyes.observe(&host, || self.connector.connect(&host), &self.clock) {
            Ok(observer) => {
                self.hosts.insert(host.id.clone(), Arc::new(HostView::never(host.clone())));
                self.observers.insert(host.id, observer);
            }
            Err(fault) => {
                let view = HostView {
                    seen: Seen::Never { why: Some(fault.to_string()) },
                    ..HostView::never(host.clone())
                };
                self.hosts.insert(host.id.clone(), Arc::new(view));
                self.unusable.insert(host.id.clone(), (host, fault.to_string()));
            }
        }
    }

    pub(super) fn forget_host(&mut self, host: &HostId) {
        // What is handed out and not begun is not begun any more on a host that is forgotten.
        for busy in self.busy.values().filter(|busy| busy.host == *host) {
            busy.cancelled.store(true, Ordering::SeqCst);
        }
        self.observers.remove(host);
        self.unusable.remove(host);
        self.hosts.remove(host);
    }

    async fn run(
        &mut self,
        mut inbox: mpsc::Receiver<Incoming>,
        mut outcomes: mpsc::Receiver<Report>,
    ) -> Fault {
        let mut reports = Vec::new();
        loop {
            if let Err(fault) = self.turn().await {
                return fault;
            }
            if self.dirty {
                continue;
            }
            let wake = self.sleep_until_wake();
            let changed = self.eyes.changed.clone();
            tokio::select! {
                incoming = inbox.recv() => match incoming {
                    Some(incoming) => self.take(incoming).await,
                    None => return Fault::new(Kind::Bug, "nobody is connected to the engine any more"),
                },
                _ = outcomes.recv_many(&mut reports, REPORTS_MAX) => {
                    let batch = std::mem::take(&mut reports);
                    self.settle(batch).await;
                }
                () = changed.notified() => {}
                () = wake => {}
            }
        }
    }

    fn sleep_until_wake(&self) -> impl Future<Output = ()> + use<> {
        let now = self.clock.now();
        let wait =
            self.wake_at.map(|at| Instant::now() + std::time::Duration::from_millis(at.since(now).max(5)));
        async move {
            match wait {
                Some(at) => tokio::time::sleep_until(at).await,
                None => std::future::pending().await,
            }
        }
    }

    /// One round: see, plan, write down, hand out, publish.
    async fn turn(&mut self) -> Outcome<()> {
        if let Some(fault) = self.fenced.take() {
            return Err(fault);
        }
        let due = self.wake_at.is_some_and(|at| at <= self.clock.now());
        let seen = self.see().await?;
        if std::mem::take(&mut self.dirty) || seen || due {
            // Records may lead to new steps at once (an ended container to its successor): plan until nothing changes.
            const ROUNDS_MAX: usize = 8;
            for _ in 0..ROUNDS_MAX {
                let plan = self.plan();
                if !self.carry_out(plan).await? {
                    break;
                }
            }
            self.judge_operations().await?;
        }
        self.publish_world();
        Ok(())
    }

    /// Takes over the observers' new views. True when anything but measured use has changed.
    async fn see(&mut self) -> Outcome<bool> {
        let mut replan = false;
        for fresh in self.fresh_views() {
            let id = fresh.config.id.clone();
            let mut learnt = Vec::new();
            let fresh = identity::check(&self.desired, &self.hosts, &fresh, &mut learnt);
            if self.is_active() && !self.write(learnt).await? {
                // Who answers there is not durable: nothing may be decided from this view. The next list brings it again.
                continue;
            }
            let fresh = self.with_record(&fresh);
            let old = self.hosts.insert(id, fresh.clone());
            replan |= old.is_none_or(|o| {
                o.lists != fresh.lists || o.seen != fresh.seen || !Arc::ptr_eq(&o.facts, &fresh.facts)
            });
        }
        replan |= self.refresh_hosts();
        let hosts = &self.hosts;
        let shown = |host: &HostId, list: u64| hosts.get(host).is_none_or(|h| h.lists >= list && h.is_live());
        self.busy.retain(|_, busy| !busy.settles.as_ref().is_some_and(|(host, list)| shown(host, *list)));
        self.leaving.retain(|(host, _), list| !list.is_some_and(|list| shown(host, list)));
        Ok(replan)
    }

    fn fresh_views(&mut self) -> Vec<Arc<HostView>> {
        let changed = |o: &&mut Observer| o.view.has_changed().unwrap_or(false);
        self.observers.values_mut().filter(changed).map(|o| o.view.borrow_and_update().clone()).collect()
    }

    pub(super) fn plan(&mut self) -> Plan {
        let busy = self.busy.iter().map(|(slot, busy)| (slot.clone(), busy.activity.clone())).collect();
        let now = self.clock.now();
        self.rest.retain(|_, at| is_ahead(*at, now));
        let leaving: BTreeSet<_> = self.leaving.keys().chain(self.rest.keys()).cloned().collect();
        let beginning = self.begun.elapsed() < SETTLE;
        let (desired, hosts) = (&self.desired, &self.hosts);
        let input = Input { now, desired, hosts, beginning, busy: &busy, leaving: &leaving };
        let mut plan = reconcile(&input, &mut Room::new(desired, hosts));
        if beginning {
            plan.wake_at = plan.wake_at.into_iter().chain([now.plus(SETTLE_AGAIN_MS)]).min();
        }
        plan.steps.retain(|step| self.is_trusted(step.host()));
        plan.removals.retain(|removal| self.is_trusted(&removal.host));
        plan.updates.retain(|(instance, _)| self.is_trusted(&instance.host));
        plan.wake_at = plan.wake_at.into_iter().chain(self.rest.values().min().copied()).min();
        plan
    }

    /// A host whose engine has not said who it is yet is shown, but nothing is done there.
    fn is_trusted(&self, host: &HostId) -> bool {
        self.hosts.get(host).is_none_or(|view| !view.facts.engine_id.raw().is_empty())
    }

    /// Writes down what was planned, then hands it out. True when records have changed that lead to another plan.
    async fn carry_out(&mut self, plan: Plan) -> Outcome<bool> {
        self.wake_at = plan.wake_at;
        self.take_views(&plan);
        if !self.is_active() {
            return Ok(false);
        }
        self.cancel_unwanted();
        let unused_networks: Vec<String> = plan.gone.iter().flat_map(|id| self.own_networks(id)).collect();
        let again = !plan.updates.is_empty() || !plan.forgotten.is_empty() || !plan.gone.is_empty();
        let writes = intents::of(&plan);
        let Plan { steps, removals, .. } = plan;
        if !self.write(writes).await? {
            // Not durable: nothing is tried. The next turn plans the same again.
            self.wake_at = Some(self.clock.now().plus(1000));
            return Ok(false);
        }
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
        Ok(again)
    }

    /// Takes over the pools' views; those that have not changed stay shared with the worlds before.
    fn take_views(&mut self, plan: &Plan) {
        for (id, view) in &plan.pools {
            match self.pools.get(id) {
                Some(old) if **old == *view => {}
                _ => drop(self.pools.insert(id.clone(), Arc::new(view.clone()))),
            }
        }
        self.pools.retain(|id, _| self.desired.pools.contains_key(id));
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
                self.executor.create(runtime, instance, spec, site, cancelled);
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
    fn cancel_unwanted(&self) {
        for ((pool, slot), busy) in &self.busy {
            let wanted = self.desired.pools.get(pool).is_some_and(|p| *slot <= p.target());
            if !wanted {
                busy.cancelled.store(true, Ordering::SeqCst);
            }
        }
    }

    /// Makes changes durable and takes them over. False when the disk said no (shown as trouble).
    ///
    /// # Errors
    /// Only when this core is fenced: then it must stop.
    pub(super) async fn write(&mut self, writes: Vec<Write>) -> Outcome<bool> {
        if writes.is_empty() {
            return Ok(true);
        }
        match self.try_write(writes).await {
            Ok(()) => Ok(true),
            Err(fault) if fault.kind == Kind::Fenced => Err(fault),
            Err(_) => Ok(false),
        }
    }

    /// The same, with the reason.
    pub(super) async fn try_write(&mut self, writes: Vec<Write>) -> Outcome<()> {
        let Some(store) = &self.store else {
            return Err(Fault::new(Kind::Refused, "this process has no state of its own to write to"));
        };
        // Shared, not copied: bringing ten thousand up is one list.
        let writes = Arc::new(writes);
        match store.apply(writes.clone()).await {
            Ok(()) => {
                self.engine.trouble = None;
                writes.iter().for_each(|write| self.desired.apply(write));
                Ok(())
            }
            Err(fault) => {
                self.engine.trouble = Some(fault.to_string());
                if fault.kind == Kind::Fenced {
                    self.fenced = Some(fault.clone());
                }
                Err(fault)
            }
        }
    }

    pub(super) fn publish_world(&mut self) {
        self.revision += 1;
        let operations: Vec<_> = self.desired.operations.values().rev().cloned().collect();
        let before = self.publish.borrow().clone();
        let operations =
            if *before.operations == operations { before.operations.clone() } else { Arc::new(operations) };
        let next = World {
            at: before.at,
            revision: before.revision,
            engine: self.engine.clone(),
            hosts: self.hosts.clone(),
            pools: self.pools.clone(),
            operations,
            sites: self.sites.clone(),
            mass_loss: None,
        };
        // Only what differs is a new world: a relist that brings nothing new wakes nobody but through its time stamp.
        if same_parts(&before, &next) {
            return;
        }
        self.publish.send_replace(Arc::new(World { at: self.clock.now(), revision: self.revision, ..next }));
    }
}

fn same_parts(a: &World, b: &World) -> bool {
    a.revision > 0
        && a.engine == b.engine
        && Arc::ptr_eq(&a.operations, &b.operations)
        && Arc::ptr_eq(&a.sites, &b.sites)
        && a.mass_loss == b.mass_loss
        && a.hosts.len() == b.hosts.len()
        && a.hosts.iter().zip(&b.hosts).all(|(x, y)| Arc::ptr_eq(x.1, y.1))
        && a.pools.len() == b.pools.len()
        && a.pools.iter().zip(&b.pools).all(|(x, y)| Arc::ptr_eq(x.1, y.1))
}
