//! One simulated host: everything that is true on it, brought up to the present whenever somebody looks.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Semaphore, broadcast, watch};
use tokio::time::{Duration, Instant};

use crate::adapters::sim::agenda::{Agenda, Due};
use crate::adapters::sim::chance::{chance, hex, number_of};
use crate::adapters::sim::gate::Calls;
use crate::adapters::sim::images::SimImage;
use crate::adapters::sim::scenario::{HostPlan, Scenario};
use crate::adapters::sim::trouble::{Condition, Link, Trouble};
use crate::adapters::sim::unit::{Bound, End, Run, Unit, scripted};
use crate::adapters::sim::{Ms, length, ms};
use crate::base::clock::Millis;
use crate::base::fault::{Fault, Kind, Outcome};
use crate::base::ids::{ContainerId, HostId, InstallId, PoolId};
use crate::model::container::{Container, Health, Owner, State};
use crate::model::pool::PoolSpec;
use crate::ports::runtime::EngineEvent;

/// Events that wait for a reader; a reader that falls further behind loses its stream, as with a real engine.
const EVENTS_MAX: usize = 128;

/// A simulated host behind the runtime port. Clones are the same host.
#[derive(Clone)]
pub struct SimHost(pub(super) Arc<Inner>);

/// What the clones of a host share.
pub(super) struct Inner {
    pub plan: HostPlan,
    pub scenario: Arc<Scenario>,
    /// Shared by all hosts of the fleet.
    pub specs: Arc<Specs>,
    pub slots: Option<Semaphore>,
    start: Instant,
    changed: watch::Receiver<u64>,
    state: Mutex<HostState>,
}

/// The specification that containers of each pool were made from last: very many containers share one.
#[derive(Debug, Default)]
pub(super) struct Specs(Mutex<BTreeMap<PoolId, Arc<PoolSpec>>>);

impl Specs {
    /// The same specification, shared.
    pub fn shared(&self, pool: &PoolId, spec: &PoolSpec) -> Arc<PoolSpec> {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match last.get(pool).filter(|same| ***same == *spec) {
            Some(same) => same.clone(),
            None => {
                let spec = Arc::new(spec.clone());
                last.insert(pool.clone(), spec.clone());
                spec
            }
        }
    }
}

/// The truth of one host.
pub(super) struct HostState {
    pub host: HostId,
    pub seed: u64,
    /// Boxed: half of a tree's places are empty.
    pub units: BTreeMap<ContainerId, Box<Unit>>,
    pub names: BTreeMap<Arc<str>, ContainerId>,
    /// Who was last given a port of the host; it counts only while that container runs.
    pub ports: BTreeMap<(u16, String), Vec<(Option<String>, ContainerId)>>,
    pub images: BTreeMap<String, SimImage>,
    /// Networks by name, with the install whose creation made each; that of a stranger's has no name.
    pub networks: BTreeMap<String, InstallId>,
    /// Volumes that have a name.
    pub volumes: BTreeSet<String>,
    pub condition: Condition,
    /// Grows when connections are lost: streams of an older session have ended.
    pub session: u64,
    pub agenda: Agenda,
    pub timeline: BTreeMap<(Ms, u64), Trouble>,
    /// What was sent while the engine was stopped.
    pub deferred: Vec<Box<dyn FnOnce(&mut HostState, Ms) + Send>>,
    pub calls: Calls,
    pub events: broadcast::Sender<EngineEvent>,
    pub changed: watch::Sender<u64>,
    pub held: Option<EngineEvent>,
    pub told: u64,
    pub made: u64,
    boot_ms: crate::adapters::sim::Span,
    epoch: Millis,
}

impl SimHost {
    /// A host as the scenario has it, with nothing on it yet.
    pub(super) fn new(
        plan: &HostPlan,
        scenario: &Arc<Scenario>,
        specs: &Arc<Specs>,
        start: Instant,
        epoch: Millis,
    ) -> SimHost {
        let (changed, watcher) = watch::channel(0);
        let on_it = |i: &&crate::adapters::sim::ImagePlan| i.everywhere || i.on.contains(&plan.name);
        let timeline = scenario.timeline.iter().filter(|t| t.host == plan.name).enumerate();
        let state = HostState {
            host: plan.name.clone(),
            seed: chance(&[scenario.seed, number_of(plan.name.as_str())]).next_u64(),
            units: BTreeMap::new(),
            names: BTreeMap::new(),
            ports: BTreeMap::new(),
            images: scenario
                .images
                .iter()
                .filter(on_it)
                .map(|i| (with_tag(&i.name), SimImage::of(&with_tag(&i.name), Some(i))))
                .collect(),
            networks: plan.networks.iter().map(|n| (n.clone(), InstallId::default())).collect(),
            volumes: plan.volumes.iter().cloned().collect(),
            condition: Condition::default(),
            session: 0,
            agenda: Agenda::default(),
            timeline: timeline
                .map(|(i, t)| ((ms(t.at_s.saturating_mul(1000)), i as u64), t.trouble.clone()))
                .collect(),
            deferred: Vec::new(),
            calls: Calls::default(),
            events: broadcast::Sender::new(EVENTS_MAX),
            changed,
            held: None,
            told: 0,
            made: 0,
            boot_ms: plan.boot_ms,
            epoch,
        };
        SimHost(Arc::new(Inner {
            plan: plan.clone(),
            scenario: scenario.clone(),
            specs: specs.clone(),
            slots: (plan.slots > 0).then(|| Semaphore::new(plan.slots)),
            start,
            changed: watcher,
            state: Mutex::new(state),
        }))
    }

    /// The truth, brought up to the present.
    pub(super) fn state(&self) -> (MutexGuard<'_, HostState>, Ms) {
        let now = self.now();
        let mut state = self.0.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.settle(now);
        (state, now)
    }

    /// Milliseconds since the fleet was made.
    pub(super) fn now(&self) -> Ms {
        ms(u64::try_from(self.0.start.elapsed().as_millis()).unwrap_or(u64::MAX))
    }

    /// The moment of a time of the fleet.
    pub(super) fn instant(&self, at: Ms) -> Instant {
        self.0.start + Duration::from_millis(length(at))
    }

    /// Tells when something changed that a waiting call must look at.
    pub(super) fn watch(&self) -> watch::Receiver<u64> {
        let mut watcher = self.0.changed.clone();
        watcher.mark_unchanged();
        watcher
    }
}

impl HostState {
    /// Lets everything happen that was to happen until `now`.
    pub fn settle(&mut self, now: Ms) {
        while let Some(((at, n), trouble)) = self.timeline.pop_first() {
            if at > now {
                self.timeline.insert((at, n), trouble);
                break;
            }
            if self.condition.link != Link::Hung {
                self.tell_due(at);
            }
            self.befall(&trouble, at);
        }
        if self.condition.link != Link::Hung {
            self.tell_due(now);
        }
    }

    /// Lets trouble happen.
    pub fn befall(&mut self, trouble: &Trouble, at: Ms) {
        match trouble {
            Trouble::Cut => self.lose_connections(),
            Trouble::Hang => self.condition.link = Link::Hung,
            Trouble::Slow { factor } => self.condition.slow = *factor,
            Trouble::DiskFull => self.condition.disk_full = true,
            Trouble::OutOfMemory { kills } => {
                self.condition.no_memory = true;
                let victims: Vec<_> = self
                    .units
                    .values()
                    .filter(|u| u.is_running(at))
                    .take(*kills)
                    .map(|u| u.id.clone())
                    .collect();
                for id in victims {
                    self.end(&id, End { at, exit: 137, oom: true, by_itself: true });
                }
            }
            Trouble::Lies(lies) => self.condition.lies = *lies,
            Trouble::ClockSkew { ms } => self.condition.skew_ms = *ms,
            Trouble::Restart => {
                let ids: Vec<_> = self.units.keys().cloned().collect();
                for id in ids {
                    self.end(&id, End { at, exit: 137, oom: false, by_itself: false });
                }
                self.deferred.clear();
                self.lose_connections();
                let away = self.boot_ms.pick(&mut chance(&[self.seed, 3, self.session]));
                self.timeline.insert((at + ms(away), u64::MAX - self.session), Trouble::Back);
            }
            Trouble::Back => {
                self.condition = Condition::default();
                for work in std::mem::take(&mut self.deferred) {
                    work(self, at);
                }
            }
        }
        self.changed.send_modify(|n| *n += 1);
    }

    fn lose_connections(&mut self) {
        self.condition.link = Link::Cut;
        self.session += 1;
    }

    /// When its scenario changes its condition next.
    pub fn next_turn(&self) -> Option<Ms> {
        self.timeline.first_key_value().map(|((at, _), _)| *at)
    }

    /// The engine's stamp of a time.
    pub fn stamp(&self, at: Ms) -> Millis {
        Millis(self.epoch.0.saturating_add(at).saturating_add(self.condition.skew_ms))
    }

    /// The container with this id.
    pub fn unit(&self, id: &ContainerId) -> Outcome<&Unit> {
        self.units.get(id).map(Box::as_ref).ok_or_else(|| {
            Fault::new(Kind::NotFound, format!("there is no container {} on {}", id.short(), self.host))
        })
    }

    /// Ends a container's run at a time, unless it has ended or will end before.
    pub fn end(&mut self, id: &ContainerId, mut end: End) {
        let Some(unit) = self.units.get_mut(id) else { return };
        let Some((index, run)) = unit.runs.len().checked_sub(1).zip(unit.runs.last_mut()) else { return };
        end.at = end.at.max(run.start);
        if run.end.as_ref().is_some_and(|earlier| earlier.at <= end.at) {
            return;
        }
        let at = end.at;
        run.end = Some(end);
        self.agenda.add(at, id, index, Due::Die);
        self.changed.send_modify(|n| *n += 1);
    }

    /// Puts a new container on the host, not started.
    pub fn put(&mut self, wanted: NewUnit, at: Ms) -> ContainerId {
        self.made += 1;
        let mut dice = chance(&[self.seed, 4, self.made, number_of(&wanted.name)]);
        let name: Arc<str> = wanted.name.into();
        let unit = Unit {
            id: ContainerId::new(&hex(&mut dice, 64)),
            seed: dice.next_u64(),
            name: name.clone(),
            image: wanted.image,
            owner: wanted.owner,
            play: scripted(wanted.spec.as_deref()),
            spec: wanted.spec,
            behaviour: wanted.behaviour,
            checked: wanted.checked,
            created: at,
            runs: Vec::new(),
            bound: wanted.bound,
            forced: None,
            error: None,
            serial: self.made,
        };
        let id = unit.id.clone();
        self.names.insert(name, id.clone());
        self.units.insert(id.clone(), Box::new(unit));
        id
    }

    /// Starts a container's next run, drawn from its seed; its port claims are taken over.
    pub fn begin(&mut self, id: &ContainerId, start: Ms, base: Ms) {
        let Some(unit) = self.units.get_mut(id) else { return };
        let run = Run::drawn(unit, start, base);
        unit.forced = None;
        unit.error = None;
        // Most containers have one run, ever.
        unit.runs.reserve_exact(1);
        unit.runs.push(run);
        for port in &unit.bound {
            let holders = self.ports.entry((port.published, port.protocol.clone())).or_default();
            holders.retain(|(ip, other)| *ip != port.ip && other != id);
            holders.push((port.ip.clone(), id.clone()));
        }
        self.agenda.note(unit, base.max(start));
    }

    /// Takes a container away, by force.
    pub fn take_away(&mut self, id: &ContainerId, at: Ms) {
        self.end(id, End { at, exit: 137, oom: false, by_itself: false });
        self.tell_due(at);
        if let Some(unit) = self.units.remove(id) {
            self.names.remove(&unit.name);
            self.tell(id, "destroy", at);
        }
    }

    /// Overrules a container's health check.
    pub fn force_health(&mut self, id: &ContainerId, health: Health, at: Ms) {
        let Some(unit) = self.units.get_mut(id) else { return };
        unit.checked = true;
        unit.forced = Some(health);
        if unit.state(at) == State::Running {
            let word = if health == Health::Healthy { "healthy" } else { "unhealthy" };
            self.tell(id, &format!("health_status: {word}"), at);
        }
    }

    /// Every container as the engine lists it, by id.
    pub fn listed(&self, now: Ms) -> Vec<Container> {
        self.units.values().map(|unit| unit.listed(now, |at| self.stamp(at))).collect()
    }
}

/// A container to be put on a host.
pub(super) struct NewUnit {
    pub name: String,
    pub image: String,
    pub owner: Owner,
    pub spec: Option<Arc<PoolSpec>>,
    pub behaviour: Arc<crate::adapters::sim::Behaviour>,
    pub checked: bool,
    pub bound: Vec<Bound>,
}

/// An image reference with its tag: without one it means `:latest` (Docker's rule).
pub(super) fn with_tag(image: &str) -> String {
    let last = image.rsplit('/').next().unwrap_or(image);
    if last.contains(':') || image.contains('@') { image.into() } else { format!("{image}:latest") }
}
