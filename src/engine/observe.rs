//! Observers: one task a host keeps that host's view fresh. Events are a hint, the list is the truth.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

use crate::base::clock::{Millis, SharedClock};
use crate::base::fault::{Fault, Kind, Outcome};
use crate::base::ids::{ContainerId, HostId, PoolId};
use crate::model::container::{Container, Owner, State};
use crate::model::host::{HostConfig, HostView, Seen};
use crate::ports::runtime::{EngineEvent, Runtime};

/// Longest time of one list; a host that needs longer counts as lost. (10,000 containers take about one second.)
const LIST_DEADLINE: Duration = Duration::from_secs(8);
/// Longest time for the engine's facts.
const FACTS_DEADLINE: Duration = Duration::from_secs(8);
/// A list at least so often, whatever the events say.
const RELIST_EVERY: Duration = Duration::from_secs(10);
/// A list at most so often, and never for more than a fifth of the time (see [`pause_after`]).
const RELIST_PAUSE: Duration = Duration::from_millis(100);
/// First wait before a list is repeated that still shows a container running whose end was announced; it doubles.
const DYING_PAUSE: Duration = Duration::from_millis(100);
/// So often is such a list repeated before the usual rhythm is good enough: about a minute in all.
const DYING_TRIES: u32 = 9;
/// First wait before a host that does not answer is tried again; it doubles up to [`RETRY_MAX`].
const RETRY_MIN: Duration = Duration::from_millis(500);
/// Longest wait before a host that does not answer is tried again.
const RETRY_MAX: Duration = Duration::from_secs(10);
/// Time between two samples of the use of containers, where sampling costs the engine nothing.
const SAMPLE_FREE_EVERY: Duration = Duration::from_secs(2);
/// The same where each sample costs the engine something.
const SAMPLE_PAID_EVERY: Duration = Duration::from_secs(5);
/// Longest time of one sampling.
const SAMPLE_DEADLINE: Duration = Duration::from_secs(8);
/// Somebody has to say so this often that they look, or sampling stops.
pub const LOOK_FOR: Duration = Duration::from_secs(12);

/// What is looked at: pools whose containers' use is wanted. Shared by all observers.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Look {
    /// Until when; `None` when nobody looks.
    pub until: Option<Instant>,
    /// These pools; empty means all.
    pub pools: Vec<PoolId>,
}

/// The core's end of one observer. Dropping it ends the task.
pub struct Observer {
    /// The engine behind it.
    pub runtime: Arc<dyn Runtime>,
    /// The latest view.
    pub view: watch::Receiver<Arc<HostView>>,
    begun: Arc<AtomicU64>,
    poke: Arc<Notify>,
    task: JoinHandle<()>,
}

impl Drop for Observer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Observer {
    /// Starts observing. `changed` is notified at each new view.
    pub fn start(
        config: HostConfig,
        runtime: Arc<dyn Runtime>,
        clock: SharedClock,
        look: watch::Receiver<Look>,
        changed: Arc<Notify>,
    ) -> Observer {
        let begun = Arc::new(AtomicU64::new(0));
        let poke = Arc::new(Notify::new());
        let (slot, view) = watch::channel(Arc::new(HostView::never(config)));
        let eye = Eye {
            runtime: runtime.clone(),
            clock,
            slot,
            begun: begun.clone(),
            poke: poke.clone(),
            look,
            changed,
            retry: RETRY_MIN,
            dying: Dying::default(),
        };
        Observer { runtime, view, begun, poke, task: tokio::spawn(eye.watch()) }
    }

    /// Asks for a fresh list soon, and returns the number that the view's `lists` must reach to show everything that has
    /// happened up to now.
    pub fn refresh(&self) -> u64 {
        self.poke.notify_one();
        self.begun.load(Ordering::SeqCst) + 1
    }
}

/// One list, with its number and its time.
struct Listed {
    number: u64,
    at: Millis,
    containers: Vec<Container>,
}

impl Listed {
    fn show(self, view: &mut HostView) {
        view.seen = Seen::At(self.at);
        view.lists = self.number;
        if *view.containers != self.containers {
            view.containers = Arc::new(self.containers);
        }
    }
}

/// What wakes the core and steers its observers, and the observers that were started before there was a core: looking at
/// hosts needs nothing of the state, so the first lists are on their way while the state is read.
#[derive(Default)]
pub struct Eyes {
    /// What is looked at.
    pub look: watch::Sender<Look>,
    /// Notified at each new view.
    pub changed: Arc<Notify>,
    early: BTreeMap<HostId, Observer>,
}

impl Eyes {
    /// Starts observing a host; again for the same host takes the observer over that was started early.
    pub fn observe(
        &mut self,
        host: &HostConfig,
        connect: impl FnOnce() -> Outcome<Arc<dyn Runtime>>,
        clock: &SharedClock,
    ) -> Outcome<Observer> {
        if let Some(early) = self.early.remove(&host.id) {
            return Ok(early);
        }
        let (look, changed) = (self.look.subscribe(), self.changed.clone());
        Ok(Observer::start(host.clone(), connect()?, clock.clone(), look, changed))
    }

    /// Starts observing a host before there is a core. A host that cannot be used is left to the core, which says why.
    pub fn observe_early(
        &mut self,
        host: &HostConfig,
        connect: impl FnOnce() -> Outcome<Arc<dyn Runtime>>,
        clock: &SharedClock,
    ) {
        if let Ok(observer) = self.observe(host, connect, clock) {
            self.early.insert(host.id.clone(), observer);
        }
    }
}

type Events = BoxStream<'static, Outcome<EngineEvent>>;

struct Eye {
    runtime: Arc<dyn Runtime>,
    clock: SharedClock,
    slot: watch::Sender<Arc<HostView>>,
    begun: Arc<AtomicU64>,
    poke: Arc<Notify>,
    look: watch::Receiver<Look>,
    changed: Arc<Notify>,
    retry: Duration,
    dying: Dying,
}

/// Containers whose end was announced while the list still shows them running: Docker says `die` first, then cleans up
/// (a second or more on a busy machine), and only then lists them as ended. No further event tells of that.
#[derive(Default)]
struct Dying {
    ids: BTreeSet<ContainerId>,
    tries: u32,
}

impl Dying {
    fn hear(&mut self, event: EngineEvent) {
        let Some(id) = event.container else { return };
        match event.action.raw() {
            "die" => {
                self.ids.insert(id);
                self.tries = 0;
            }
            "start" | "destroy" => drop(self.ids.remove(&id)),
            _ => {}
        }
    }

    fn see(&mut self, containers: &[Container]) {
        if self.ids.is_empty() {
            return;
        }
        self.tries += 1;
        if self.tries > DYING_TRIES {
            self.ids.clear();
        }
        let running = containers.iter().filter(|c| c.state == State::Running);
        let running: BTreeSet<&ContainerId> = running.map(|c| &c.id).collect();
        self.ids.retain(|id| running.contains(id));
    }

    /// When the next list is due at the latest.
    fn relist_in(&self) -> Duration {
        if self.ids.is_empty() { RELIST_EVERY } else { (DYING_PAUSE * (1 << self.tries)).min(RELIST_EVERY) }
    }
}

impl Eye {
    async fn watch(mut self) {
        let mut events: Option<Events> = None;
        let mut facts_known = false;
        loop {
            let started = Instant::now();
            let listed =
                if facts_known { self.list().await } else { self.list_with_facts(&mut facts_known).await };
            match listed {
                Ok(()) => {
                    self.retry = RETRY_MIN;
                    let containers = self.slot.borrow().containers.clone();
                    self.dying.see(&containers);
                }
                Err(fault) => {
                    (events, facts_known) = (None, false);
                    self.lose(&fault);
                    self.wait_to_retry().await;
                    continue;
                }
            }
            if events.is_none() {
                // Subscribed after the list: list once more, so that nothing between the two is missed.
                if let Ok(Ok(stream)) = timeout(FACTS_DEADLINE, self.runtime.events()).await {
                    events = Some(stream);
                    continue;
                }
            }
            self.idle(&mut events, pause_after(started.elapsed())).await;
        }
    }

    /// The list and the facts go out together. The very first list is shown as soon as it is there (nothing is done on a
    /// host before its facts are known); a later one only with the facts, for another engine may answer by now.
    async fn list_with_facts(&mut self, known: &mut bool) -> Outcome<()> {
        let runtime = self.runtime.clone();
        let facts = async move { timeout(FACTS_DEADLINE, runtime.facts()).await };
        let is_first = self.slot.borrow().facts.engine_id.raw().is_empty();
        let listed = async {
            let listed = self.fetch().await?;
            Ok(if is_first {
                self.publish(|view| listed.show(view));
                None
            } else {
                Some(listed)
            })
        };
        let (listed, facts): (Outcome<Option<Listed>>, _) = tokio::join!(listed, facts);
        let listed = listed?;
        let facts = Arc::new(facts.unwrap_or_else(|_| Err(slow("facts", FACTS_DEADLINE)))?);
        *known = true;
        self.publish(|view| {
            view.facts = facts;
            if let Some(listed) = listed {
                listed.show(view);
            }
        });
        Ok(())
    }

    async fn list(&self) -> Outcome<()> {
        let listed = self.fetch().await?;
        self.publish(|view| listed.show(view));
        Ok(())
    }

    async fn fetch(&self) -> Outcome<Listed> {
        let number = self.begun.fetch_add(1, Ordering::SeqCst) + 1;
        let listed = timeout(LIST_DEADLINE, self.runtime.list()).await;
        let mut containers = listed.unwrap_or_else(|_| Err(slow("a list of containers", LIST_DEADLINE)))?;
        containers.sort_by(|a, b| a.id.cmp(&b.id));
        Ok(Listed { number, at: self.clock.now(), containers })
    }

    fn lose(&self, fault: &Fault) {
        let now = self.clock.now();
        let why = fault.to_string();
        self.publish(|view| {
            view.seen = match &view.seen {
                Seen::Never { .. } => Seen::Never { why: Some(why) },
                Seen::At(last) => Seen::Lost { last: *last, since: now, why },
                Seen::Lost { last, since, .. } => Seen::Lost { last: *last, since: *since, why },
            };
            view.usage = Arc::default();
        });
    }

    fn publish(&self, change: impl FnOnce(&mut HostView)) {
        let mut view = (**self.slot.borrow()).clone();
        change(&mut view);
        self.slot.send_replace(Arc::new(view));
        self.changed.notify_one();
    }

    async fn wait_to_retry(&mut self) {
        sleep(self.retry).await;
        self.retry = (self.retry * 2).min(RETRY_MAX);
    }

    /// Waits for a reason to list again, and samples use meanwhile.
    async fn idle(&mut self, events: &mut Option<Events>, pause: Duration) {
        let earliest = Instant::now() + pause;
        let latest = earliest.max(Instant::now() + self.dying.relist_in());
        loop {
            let sample_every =
                if self.runtime.usage_is_free() { SAMPLE_FREE_EVERY } else { SAMPLE_PAID_EVERY };
            let looked = self.is_looked_at();
            tokio::select! {
                () = self.poke.notified() => break,
                event = next_event(events) => match event {
                    Some(Ok(event)) => { self.dying.hear(event); break }
                    Some(Err(_)) | None => { *events = None; break; }
                },
                () = tokio::time::sleep_until(latest) => break,
                changed = self.look.changed(), if !looked => if changed.is_err() { return; },
                () = sleep(sample_every), if looked => {}
            }
            if self.is_looked_at() {
                self.sample().await;
            }
        }
        // A burst of events makes one list; those that come meanwhile are read away by the next round.
        tokio::time::sleep_until(earliest.min(latest)).await;
        self.drain(events);
    }

    /// Reads away what has already arrived; a stream that has ended is dropped.
    fn drain(&mut self, events: &mut Option<Events>) {
        while let Some(stream) = events {
            match futures_util::FutureExt::now_or_never(stream.next()) {
                Some(Some(Ok(event))) => self.dying.hear(event),
                Some(_) => *events = None,
                None => return,
            }
        }
    }

    fn is_looked_at(&self) -> bool {
        self.look.borrow().until.is_some_and(|until| Instant::now() < until)
    }

    async fn sample(&self) {
        let view = self.slot.borrow().clone();
        let all = self.runtime.usage_is_free();
        let wanted = self.look.borrow().pools.clone();
        let looked_at = |owner: &Owner| match owner {
            _ if all || wanted.is_empty() => true,
            Owner::Longshore(tag) => wanted.contains(&tag.pool),
            _ => false,
        };
        let ids: Vec<ContainerId> = view
            .containers
            .iter()
            .filter(|c| c.state == State::Running && looked_at(&c.owner))
            .map(|c| c.id.clone())
            .collect();
        let sampled = if ids.is_empty() {
            Ok(BTreeMap::new())
        } else {
            timeout(SAMPLE_DEADLINE, self.runtime.usage(&ids))
                .await
                .unwrap_or_else(|_| Err(slow("samples", SAMPLE_DEADLINE)))
        };
        // A failed sampling leaves the numbers of before out rather than showing them as current.
        let usage = sampled.unwrap_or_else(|_| BTreeMap::new());
        if *view.usage != usage {
            self.publish(|view| view.usage = Arc::new(usage));
        }
    }
}

/// Lists take at most about a fifth of the time: a host with many containers is listed less often.
fn pause_after(took: Duration) -> Duration {
    RELIST_PAUSE.max(took * 4).min(RELIST_EVERY)
}

async fn next_event(events: &mut Option<Events>) -> Option<Outcome<EngineEvent>> {
    match events {
        Some(stream) => stream.next().await,
        None => std::future::pending().await,
    }
}

fn slow(what: &str, deadline: Duration) -> Fault {
    Fault::new(Kind::Timeout, format!("no answer within {} s ({what})", deadline.as_secs()))
        .hint("the engine accepts connections but hangs: look at it on its host")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock::Millis;

    #[test]
    fn a_list_that_lags_behind_a_death_is_soon_repeated() {
        let event = |action: &str| EngineEvent {
            container: Some(ContainerId::new("ab")),
            action: action.into(),
            at: Millis(0),
        };
        let listed = |state| {
            let owner = Owner::Nobody;
            let (name, image) = ("web".into(), "app:1".into());
            let (ports, id, created) = (Vec::new(), ContainerId::new("ab"), Millis(0));
            let health = crate::model::container::Health::None;
            [Container { id, name, image, state, health, exit: None, created, ports, address: None, owner }]
        };
        let mut dying = Dying::default();
        dying.see(&listed(State::Running));
        assert_eq!(dying.relist_in(), RELIST_EVERY);
        dying.hear(event("kill"));
        assert_eq!(dying.relist_in(), RELIST_EVERY, "a signal is no death");
        dying.hear(event("die"));
        let mut waits = Vec::new();
        while dying.relist_in() < RELIST_EVERY {
            dying.see(&listed(State::Running));
            waits.push(dying.relist_in());
        }
        assert!(
            waits[0] <= DYING_PAUSE * 2 && waits.len() >= 6,
            "soon and often, but not for ever: {waits:?}"
        );
        dying.hear(event("die"));
        dying.see(&listed(State::Exited));
        assert_eq!(dying.relist_in(), RELIST_EVERY, "the list has caught up");
        dying.hear(event("die"));
        dying.hear(event("start"));
        assert_eq!(dying.relist_in(), RELIST_EVERY, "it was started again");
    }
}
