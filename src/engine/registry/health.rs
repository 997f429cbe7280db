//! Whether registries answer: one task a registry asks each of its endpoints for a sign of life.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

use crate::base::clock::SharedClock;
use crate::base::fault::Outcome;
use crate::base::ids::RegistryName;
use crate::engine::core::Connector;
use crate::engine::observe::Wakes;
use crate::model::host::Seen;
use crate::model::registry::{Registry, RegistryFacts, RegistryView};
use crate::ports::registry::RegistryClient;

/// Each endpoint is asked this often: a registry that falls silent is known before the next pull, for a call a quarter of a minute.
const PROBE_EVERY: Duration = Duration::from_secs(15);
/// One that did not answer is asked again this soon.
const PROBE_AGAIN: Duration = Duration::from_secs(3);

/// What is seen of every registry.
pub type Views = BTreeMap<RegistryName, RegistryView>;

/// The tasks that look at registries. They end when this is dropped.
pub struct Health {
    connector: Arc<dyn Connector>,
    clock: SharedClock,
    wakes: Wakes,
    views: watch::Sender<Arc<Views>>,
    taken: watch::Receiver<Arc<Views>>,
    tasks: BTreeMap<RegistryName, (Registry, JoinHandle<()>)>,
    /// Notified when somebody found a registry silent: it is asked at once.
    alarms: BTreeMap<RegistryName, Arc<Notify>>,
}

impl Health {
    /// Nothing is looked at yet. `wakes` are notified when something is seen.
    pub fn new(connector: Arc<dyn Connector>, clock: SharedClock, wakes: Wakes) -> Health {
        let (views, taken) = watch::channel(Arc::default());
        Health { connector, clock, wakes, views, taken, tasks: BTreeMap::new(), alarms: BTreeMap::new() }
    }

    /// What is seen, if that has changed since this was asked last.
    pub fn take(&mut self) -> Option<Arc<Views>> {
        self.taken.has_changed().ok().filter(|changed| *changed)?;
        Some(self.taken.borrow_and_update().clone())
    }

    /// Nothing that was seen of a registry counts any more.
    pub fn forget(&mut self, name: &RegistryName) {
        if let Some((_, task)) = self.tasks.remove(name) {
            task.abort();
        }
        self.alarms.remove(name);
        self.views.send_modify(|views| drop(Arc::make_mut(views).remove(name)));
    }

    /// These registries are to be looked at, and no others.
    pub fn look_at(&mut self, wanted: &BTreeMap<RegistryName, Registry>) {
        let same = |name: &RegistryName, had: &Registry| wanted.get(name) == Some(had);
        let gone: Vec<RegistryName> =
            self.tasks.iter().filter(|(name, (had, _))| !same(name, had)).map(|(n, _)| n.clone()).collect();
        for name in gone {
            self.forget(&name);
        }
        for (name, registry) in wanted {
            if !self.tasks.contains_key(name) {
                let alarm = Arc::new(Notify::new());
                let task = self.begin(registry, alarm.clone());
                self.alarms.insert(name.clone(), alarm);
                self.tasks.insert(name.clone(), (registry.clone(), task));
            }
        }
    }

    /// Somebody found it silent: whether that is so is asked now.
    pub fn ask_now(&self, name: &RegistryName) {
        if let Some(alarm) = self.alarms.get(name) {
            alarm.notify_one();
        }
    }

    fn begin(&self, registry: &Registry, alarm: Arc<Notify>) -> JoinHandle<()> {
        let view = RegistryView::never(registry.clone());
        let (connector, clock) = (self.connector.clone(), self.clock.clone());
        let (views, wakes) = (self.views.clone(), self.wakes.clone());
        tokio::spawn(async move {
            // Each endpoint has a client of its own: one that fails over would say that all are well.
            let mut clients = Vec::new();
            for endpoint in &view.endpoints {
                let one = Registry { endpoints: vec![endpoint.address.clone()], ..view.registry.clone() };
                clients.push(connector.registry(&one).await);
            }
            look(view, clients, clock, (views, wakes, alarm)).await;
        })
    }
}

impl Drop for Health {
    fn drop(&mut self) {
        self.tasks.values().for_each(|(_, task)| task.abort());
    }
}

type Client = Outcome<Arc<dyn RegistryClient>>;

async fn look(
    mut view: RegistryView,
    clients: Vec<Client>,
    clock: SharedClock,
    (views, wakes, alarm): (watch::Sender<Arc<Views>>, Wakes, Arc<Notify>),
) {
    loop {
        let asked = clients.iter().map(ask);
        for (endpoint, (answer, took_ms)) in view.endpoints.iter_mut().zip(join_all(asked).await) {
            let now = clock.now();
            match answer {
                Ok(facts) => {
                    (endpoint.seen, endpoint.took_ms, endpoint.facts) =
                        (Seen::At(now), Some(took_ms), Some(facts));
                }
                Err(fault) => {
                    let why = fault.to_string();
                    endpoint.seen = match &endpoint.seen {
                        Seen::At(last) => Seen::Lost { last: *last, since: now, why },
                        Seen::Lost { last, since, .. } => Seen::Lost { last: *last, since: *since, why },
                        Seen::Never { .. } => Seen::Never { why: Some(why) },
                    };
                }
            }
        }
        view.active = view.endpoints.iter().position(|e| matches!(e.seen, Seen::At(_)));
        let name = &view.registry.name;
        views.send_modify(|views| drop(Arc::make_mut(views).insert(name.clone(), view.clone())));
        wakes.changed.notify_one();
        let all_well = view.endpoints.iter().all(|e| matches!(e.seen, Seen::At(_)));
        // Its time has come, or somebody asks: both lead to the next look.
        let _ = timeout(if all_well { PROBE_EVERY } else { PROBE_AGAIN }, alarm.notified()).await;
    }
}

async fn ask(client: &Client) -> (Outcome<RegistryFacts>, u64) {
    let begun = Instant::now();
    let answer = match client {
        Ok(client) => client.facts().await,
        Err(fault) => Err(fault.clone()),
    };
    (answer, u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX))
}
