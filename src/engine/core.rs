//! The core: one task that owns what is wanted, takes commands, plans, hands out steps and publishes the world.
//!
//! It waits only for the database, never for an engine: a host that hangs cannot hold it up.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;

use crate::base::clock::{Millis, SharedClock};
use crate::base::fault::{Fault, Kind, Outcome};
use crate::base::ids::{ContainerId, HostId, OpId, PoolId, RegistryName, SiteName};
use crate::engine::access::service::{TokenService, Tokens};
use crate::engine::coverage::Lately;
use crate::engine::doubt::{Doubt, UnderWay};
use crate::engine::execute::{Executor, Report};
use crate::engine::handle::{CALLS_MAX, Call};
use crate::engine::identity::Engines;
use crate::engine::intake::Caller;
use crate::engine::layer::RegistryLayer;
use crate::engine::losses::Told;
use crate::engine::observe::{Eyes, Observer};
use crate::engine::pace::Clocked;
use crate::engine::prewarm::{Speeds, Warming};
use crate::engine::registry::Replicator;
use crate::engine::registry::clients::Clients;
use crate::engine::registry::health::Health;
use crate::engine::registry::hints::Hints;
use crate::model::access::view::AccessView;
use crate::model::desired::{Desired, Write};
use crate::model::host::{HostConfig, HostView};
use crate::model::operation::Progress;
use crate::model::pool::PoolSpec;
use crate::model::registry::{Registry, RegistryView};
use crate::model::replication::ReplicationView;
use crate::model::site::{MassLoss, SiteView};
use crate::model::world::{EngineView, Mode, PoolView, World};
use crate::plan::loss::Losses;
use crate::plan::place::Room;
use crate::plan::seen::Index;
use crate::plan::slot::Activity;
use crate::ports::registry::RegistryClient;
use crate::ports::registry_admin::RegistryAdmin;
use crate::ports::runtime::Runtime;
use crate::store::Store;

/// Reports of steps that may wait for the core; the executor waits beyond that.
const REPORTS_MAX: usize = 256;

/// After a turn the core rests as long as it took, at most this long: what arrives meanwhile is one turn. Calls do not wait.
const REST_MAX: Duration = Duration::from_millis(250);

/// Views that say nothing new but a later time or other measured use wait so long for each host, …
const MURMUR_A_HOST: Duration = Duration::from_millis(4);
/// … and at most this long.
const MURMUR_MAX: Duration = Duration::from_secs(4);

/// Makes the runtime behind a host's address; given by `wire.rs`, which knows the adapters.
pub trait Connector: Send + Sync {
    /// Connects lazily: no round trip is made here.
    ///
    /// # Errors
    /// When the address cannot be used.
    fn connect(&self, host: &HostConfig) -> Outcome<Arc<dyn Runtime>>;

    /// Connects to a registry, lazily as well; only the credentials are looked up.
    ///
    /// # Errors
    /// When its address, its authorities or the credentials for it cannot be used.
    fn registry<'a>(&'a self, registry: &'a Registry) -> BoxFuture<'a, Outcome<Arc<dyn RegistryClient>>> {
        let fault = Fault::new(Kind::Refused, format!("{}: there are no registries here", registry.name));
        Box::pin(async { Err(fault) })
    }

    /// The token service for registries, if one is configured.
    fn tokens(&self) -> Option<Arc<dyn TokenService>> {
        None
    }

    /// Connects to what a registry has besides its images: projects, members, replication of its own. Lazily as well; calls
    /// go to the first of its addresses.
    ///
    /// # Errors
    /// When it has none of that, or its address, its authorities or the credentials for it cannot be used.
    fn registry_admin<'a>(
        &'a self,
        registry: &'a Registry,
    ) -> BoxFuture<'a, Outcome<Arc<dyn RegistryAdmin>>> {
        let fault = Fault::new(Kind::Refused, format!("{}: there is no Harbor here", registry.name));
        Box::pin(async { Err(fault) })
    }
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
    /// Where whoever hears registries tells what they say.
    pub hints: Hints,
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
    core.layer.policing.inbox = Some(calls.downgrade());
    core.note_registries();
    core.start_observers();
    let hints = core.hints.clone();
    let task = tokio::spawn(async move {
        let fault = core.run(inbox, outcomes).await;
        let _ = stop.send(fault);
    });
    Running { calls, world, stopped, hints, task }
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
    pub(super) connector: Arc<dyn Connector>,
    pub(super) fixed_hosts: Vec<HostConfig>,
    pub(super) engine: EngineView,
    pub(super) publish: watch::Sender<Arc<World>>,
    pub(super) executor: Executor,
    pub(super) observers: BTreeMap<HostId, Observer>,
    pub(super) unusable: BTreeMap<HostId, (HostConfig, String)>,
    pub(super) hosts: BTreeMap<HostId, Arc<HostView>>,
    pub(super) eyes: Eyes,
    /// Pools may name other external networks and volumes than the observers know.
    pub(super) names_changed: bool,
    /// The names on record by engine, until one changes.
    pub(super) engines: Option<Arc<Engines>>,
    /// Where containers are, by pool.
    pub(super) index: Index,
    /// What all hosts hold by our records.
    pub(super) room: Room,
    /// What has to be planned again.
    pub(super) doubt: Doubt,
    /// Hosts of which what our containers take, or how quick they are, may have changed.
    pub(super) counted: BTreeSet<HostId>,
    /// How quick hosts are.
    pub(super) clocked: BTreeMap<HostId, Clocked>,
    pub(super) busy: UnderWay,
    pub(super) leaving: BTreeMap<(HostId, ContainerId), Option<u64>>,
    /// Removals that failed: not tried again before this time.
    pub(super) rest: BTreeMap<(HostId, ContainerId), Millis>,
    pub(super) pools: BTreeMap<PoolId, Arc<PoolView>>,
    pub(super) specs: BTreeMap<(PoolId, u32), Arc<PoolSpec>>,
    pub(super) sites: Arc<BTreeMap<SiteName, SiteView>>,
    pub(super) mass_loss: Option<MassLoss>,
    /// Whether registries answer.
    pub(super) health: Health,
    /// How registries are reached.
    pub(super) clients: Arc<Clients>,
    /// What registries say has happened since the last turn.
    pub(super) hints: Hints,
    /// What moves images between them; only in a core that may write.
    pub(super) replicator: Option<Replicator>,
    /// Image registries as they stand.
    pub(super) registries: Arc<BTreeMap<RegistryName, RegistryView>>,
    /// Replication as it stands.
    pub(super) replication: Arc<ReplicationView>,
    /// Who may do what in the registries, as it is shown.
    pub(super) access: Arc<AccessView>,
    /// What gives out tokens by it; only in a core that may write.
    pub(super) tokens: Option<Tokens>,
    /// What looks at registries, and what is remembered of them.
    pub(super) layer: RegistryLayer,
    pub(super) losses: Losses,
    /// What the journal has been told about lost hosts.
    pub(super) told: Told,
    /// Prewarms that are carried out.
    pub(super) warming: BTreeMap<OpId, Warming>,
    /// What registries have said of images lately.
    pub(super) lately: Lately,
    /// How quick pulls were.
    pub(super) speeds: Speeds,
    /// When each operation's counters last moved.
    pub(super) moved: BTreeMap<OpId, (Progress, Millis)>,
    pub(super) begun: Instant,
    /// It began only just now: nothing is placed before every host has answered or failed once.
    pub(super) beginning: bool,
    /// Everything is planned at this time at the latest.
    pub(super) all_at: Instant,
    /// Operations are judged again at this time.
    pub(super) alarm: Option<Millis>,
    /// Nothing but calls before this time.
    pub(super) not_before: Instant,
    pub(super) published: Option<Instant>,
    /// Views that say nothing new wait until then.
    pub(super) murmur_at: Option<Instant>,
    /// A world waits until then.
    pub(super) publish_at: Option<Instant>,
    /// Something but a view has changed: take another turn.
    pub(super) dirty: bool,
    pub(super) fenced: Option<Fault>,
    pub(super) revision: u64,
}

impl Core {
    fn new(
        parts: Parts,
        eyes: Eyes,
        publish: watch::Sender<Arc<World>>,
        reports: mpsc::Sender<Report>,
    ) -> Core {
        let Parts { clock, store, desired, connector, hosts, engine } = parts;
        let mut doubt = Doubt::default();
        doubt.everything();
        let now = Instant::now();
        let clients = Arc::new(Clients::new(connector.clone()));
        let speeds = Speeds::from_past(&desired);
        let health = Health::new(connector.clone(), clock.clone(), eyes.wakes.clone());
        let hints = Hints::new(eyes.wakes.changed.clone());
        let layer = RegistryLayer::new(&connector, &clients, store.clone(), &clock, &eyes.wakes);
        Core {
            index: Index::new(&desired.install),
            room: Room::new(&desired, &BTreeMap::new()),
            doubt,
            counted: BTreeSet::new(),
            clocked: BTreeMap::new(),
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
            names_changed: true,
            engines: None,
            busy: UnderWay::default(),
            leaving: BTreeMap::new(),
            rest: BTreeMap::new(),
            pools: BTreeMap::new(),
            specs: BTreeMap::new(),
            sites: Arc::default(),
            mass_loss: None,
            hints,
            health,
            layer,
            clients,
            replicator: None,
            registries: Arc::default(),
            replication: Arc::default(),
            access: Arc::default(),
            tokens: None,
            losses: Losses::default(),
            told: Told::default(),
            warming: BTreeMap::new(),
            lately: Lately::default(),
            speeds,
            moved: BTreeMap::new(),
            begun: now,
            beginning: true,
            all_at: now,
            alarm: None,
            not_before: now,
            published: None,
            murmur_at: None,
            publish_at: None,
            dirty: true,
            fenced: None,
            revision: 0,
        }
    }

    /// Takes another turn after so many milliseconds at the latest.
    pub(super) fn look_again_in(&mut self, ms: u64) {
        let at = self.clock.now().plus(ms);
        self.alarm = Some(self.alarm.map_or(at, |w| w.min(at)));
    }

    /// Anything may have changed: everything is planned again.
    pub(super) fn replan(&mut self) {
        self.doubt.everything();
        self.dirty = true;
    }

    /// Something has changed that was noted where it changed: take another turn.
    pub(super) fn stir(&mut self) {
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

    async fn run(
        &mut self,
        mut inbox: mpsc::Receiver<Incoming>,
        mut outcomes: mpsc::Receiver<Report>,
    ) -> Fault {
        let mut reports = Vec::new();
        self.begin_tokens();
        if let Err(fault) = self.begin_replication().await {
            self.engine.trouble = Some(fault.because("replication cannot begin").to_string());
        }
        loop {
            let begun = Instant::now();
            if let Err(fault) = self.turn().await {
                return fault;
            }
            self.not_before = self.not_before.max(Instant::now() + begun.elapsed().min(REST_MAX));
            let (wakes, not_before) = (self.eyes.wakes.clone(), self.not_before);
            loop {
                let wake = self.sleep_until_wake();
                tokio::select! {
                    biased;
                    incoming = inbox.recv() => match incoming {
                        Some(incoming) => self.take(incoming).await,
                        None => {
                            return Fault::new(Kind::Bug, "nobody is connected to the engine any more");
                        }
                    },
                    _ = rested(not_before, outcomes.recv_many(&mut reports, REPORTS_MAX)) => {
                        let batch = std::mem::take(&mut reports);
                        self.settle(batch).await;
                    }
                    () = rested(not_before, wakes.changed.notified()) => {}
                    () = wakes.murmur.notified(), if self.murmur_at.is_none() => {
                        let pause = (MURMUR_A_HOST * wakes.hosts()).min(MURMUR_MAX);
                        self.murmur_at = Some(Instant::now() + pause);
                        continue;
                    }
                    () = wake => {}
                }
                break;
            }
            self.murmur_at = self.murmur_at.filter(|at| *at > Instant::now());
        }
    }

    fn sleep_until_wake(&self) -> impl Future<Output = ()> + use<> {
        let now = self.clock.now();
        let in_ms = |at: Millis| Instant::now() + Duration::from_millis(at.since(now).max(5));
        let by_clock = self.alarm.into_iter().chain(self.doubt.next()).min().map(in_ms);
        let again = (self.dirty || self.doubt.is_open()).then_some(self.not_before);
        let by_time = [by_clock, again, Some(self.all_at)].into_iter().flatten().min();
        let not_before = self.not_before;
        let turn_at = by_time.map(|at| at.max(not_before));
        let next = [self.publish_at, self.murmur_at, turn_at].into_iter().flatten().min();
        async move {
            match next {
                Some(at) => tokio::time::sleep_until(at).await,
                None => std::future::pending().await,
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
                writes.iter().for_each(|write| self.apply(write));
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
}

/// Waits for something, but not before a time.
async fn rested<T>(not_before: Instant, what: impl Future<Output = T>) -> T {
    tokio::time::sleep_until(not_before).await;
    what.await
}
