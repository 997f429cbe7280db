//! Observers: one task a host keeps that host's view fresh. Events are a hint, the list is the truth.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

use crate::base::clock::{Millis, SharedClock};
use crate::base::fault::{Fault, Kind, Outcome};
use crate::base::ids::{ContainerId, HostId, PoolId};
use crate::engine::dying::Dying;
use crate::engine::held::{Held, Named};
use crate::model::container::{Container, Owner, State};
use crate::model::host::{HostConfig, HostView, Image, Seen};
use crate::ports::runtime::{EngineEvent, Runtime};

/// Longest time of one list; a host that needs longer counts as lost. (10,000 containers take about one second.)
const LIST_DEADLINE: Duration = Duration::from_secs(8);
/// Longest time for the engine's facts.
const FACTS_DEADLINE: Duration = Duration::from_secs(8);
/// A list at least so often, whatever the events say.
const RELIST_EVERY: Duration = Duration::from_secs(10);
/// With many hosts lists are further apart, so that all hosts together make about ten a second: this for each host. Events
/// tell of changes meanwhile, and that the engine still answers is asked at least every [`RELIST_EVERY`].
const RELIST_EVERY_A_HOST: Duration = Duration::from_millis(100);
/// Longest time that an engine may take to say that it is there.
const PING_DEADLINE: Duration = Duration::from_secs(8);
/// A list of images at least so often; also with many hosts all together make no more than one a second.
const IMAGES_EVERY: Duration = Duration::from_secs(600);
/// The same, for each host.
const IMAGES_EVERY_A_HOST: Duration = Duration::from_secs(1);
/// An image that a container has and that is not in the list yet is looked for at most so often.
const IMAGES_AGAIN: Duration = Duration::from_secs(15);
/// Longest time of one list of images.
const IMAGES_DEADLINE: Duration = Duration::from_secs(8);
/// A list at most so often, and never for more than a fifth of the time (see [`pause_after`]).
const RELIST_PAUSE: Duration = Duration::from_millis(100);
/// First wait before a host that does not answer is tried again; it doubles up to [`RETRY_MAX`].
const RETRY_MIN: Duration = Duration::from_millis(500);
/// Longest wait before a host that does not answer is tried again.
const RETRY_MAX: Duration = Duration::from_secs(10);
/// Time between two samples of the use of containers, where sampling costs the engine nothing.
const SAMPLE_FREE_EVERY: Duration = Duration::from_secs(2);
/// The same where each sample costs the engine something.
const SAMPLE_PAID_EVERY: Duration = Duration::from_secs(5);
/// With many hosts samples are further apart, so that all hosts together make about twenty-five a second: those of a thousand
/// are forty seconds old at most, and the history's cells are ninety seconds wide.
const SAMPLE_EVERY_A_HOST: Duration = Duration::from_millis(40);
/// When somebody begins to look, the first samples come twice as quickly.
const FIRST_SAMPLE_A_HOST: Duration = Duration::from_millis(20);
/// From so many hosts on, what is due is done in beats of [`BEAT`]: a thousand hosts would else wake the process hundreds of
/// times a second for a few microseconds of work each.
const BEAT_FROM_HOSTS: u32 = 50;
/// See [`BEAT_FROM_HOSTS`].
const BEAT: Duration = Duration::from_millis(250);
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
    awaited: Arc<AtomicU64>,
    poke: Arc<Notify>,
    wakes: Wakes,
    task: JoinHandle<()>,
}

impl Drop for Observer {
    fn drop(&mut self) {
        self.wakes.hosts.fetch_sub(1, Ordering::SeqCst);
        self.task.abort();
    }
}

/// How observers wake the core, and how many of them there are.
#[derive(Clone, Debug, Default)]
pub struct Wakes {
    /// A view has changed.
    pub changed: Arc<Notify>,
    /// A view says the same as before, only of a later time or of other measured use: the core takes it when it has time.
    pub murmur: Arc<Notify>,
    hosts: Arc<AtomicU32>,
}

impl Wakes {
    /// So many hosts are observed.
    pub fn hosts(&self) -> u32 {
        self.hosts.load(Ordering::SeqCst)
    }
}

impl Observer {
    /// Starts observing. `wakes` are notified at each new view.
    pub fn start(
        config: HostConfig,
        runtime: Arc<dyn Runtime>,
        clock: SharedClock,
        (look, named): (watch::Receiver<Look>, watch::Receiver<Named>),
        wakes: Wakes,
    ) -> Observer {
        let (begun, awaited) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        wakes.hosts.fetch_add(1, Ordering::SeqCst);
        // Hosts that were added together do not list together for ever.
        let stride =
            config.id.as_str().bytes().fold(17_u32, |n, b| n.wrapping_mul(31).wrapping_add(b.into()));
        let poke = Arc::new(Notify::new());
        let (slot, view) = watch::channel(Arc::new(HostView::never(config)));
        let eye = Eye {
            runtime: runtime.clone(),
            clock,
            slot,
            begun: begun.clone(),
            awaited: awaited.clone(),
            poke: poke.clone(),
            look,
            wakes: wakes.clone(),
            retry: RETRY_MIN,
            dying: Dying::default(),
            stride,
            images_at: None,
            held: Held::new(named),
        };
        Observer { runtime, view, begun, awaited, poke, wakes, task: tokio::spawn(eye.watch()) }
    }

    /// Asks for a fresh list soon, and returns the number that the view's `lists` must reach to show everything that has
    /// happened up to now.
    pub fn refresh(&self) -> u64 {
        let number = self.begun.load(Ordering::SeqCst) + 1;
        self.awaited.fetch_max(number, Ordering::SeqCst);
        self.poke.notify_one();
        number
    }
}

/// One list, with its number and its time.
struct Listed {
    number: u64,
    at: Millis,
    containers: Vec<Container>,
}

impl Listed {
    /// True when it says anything new.
    fn show(self, view: &mut HostView) -> bool {
        let is_new = !view.is_live();
        view.seen = Seen::At(self.at);
        view.lists = self.number;
        if *view.containers == self.containers {
            return is_new;
        }
        view.containers = Arc::new(self.containers);
        true
    }
}

/// What wakes the core and steers its observers, and the observers that were started before there was a core: looking at
/// hosts needs nothing of the state, so the first lists are on their way while the state is read.
#[derive(Default)]
pub struct Eyes {
    /// What is looked at.
    pub look: watch::Sender<Look>,
    /// What pools name that others make.
    pub named: watch::Sender<Named>,
    /// Notified at each new view.
    pub wakes: Wakes,
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
        let (orders, wakes) = ((self.look.subscribe(), self.named.subscribe()), self.wakes.clone());
        Ok(Observer::start(host.clone(), connect()?, clock.clone(), orders, wakes))
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
    awaited: Arc<AtomicU64>,
    poke: Arc<Notify>,
    look: watch::Receiver<Look>,
    wakes: Wakes,
    retry: Duration,
    dying: Dying,
    /// Grows with each wait; from it follows where in its interval the next list of many falls.
    stride: u32,
    /// When images were listed last.
    images_at: Option<Instant>,
    /// What others have made there.
    held: Held,
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
            self.look_at_images().await;
            if let Err(fault) = self.idle(&mut events, pause_after(started.elapsed())).await {
                (events, facts_known) = (None, false);
                self.lose(&fault);
                self.wait_to_retry().await;
            }
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
            // What was there is of the engine that answered before.
            if view.facts.engine_id != facts.engine_id {
                view.holdings = Arc::default();
            }
            view.facts = facts;
            if let Some(listed) = listed {
                listed.show(view);
            }
            true
        });
        Ok(())
    }

    async fn list(&self) -> Outcome<()> {
        let listed = self.fetch().await?;
        let awaited = self.awaited.load(Ordering::SeqCst);
        let is_awaited = awaited > 0
            && listed.number >= awaited
            && self.awaited.compare_exchange(awaited, 0, Ordering::SeqCst, Ordering::SeqCst).is_ok();
        self.publish(|view| listed.show(view) || is_awaited);
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
            true
        });
    }

    /// Publishes a changed view. `change` tells whether anything waits for it.
    fn publish(&self, change: impl FnOnce(&mut HostView) -> bool) {
        let mut view = (**self.slot.borrow()).clone();
        let is_new = change(&mut view);
        self.slot.send_replace(Arc::new(view));
        if is_new { self.wakes.changed.notify_one() } else { self.wakes.murmur.notify_one() }
    }

    /// Time until the next list, when nothing happens before.
    fn relist_every(&mut self, events: bool) -> Duration {
        let many = RELIST_EVERY_A_HOST * self.wakes.hosts();
        if !events || many <= RELIST_EVERY {
            return RELIST_EVERY;
        }
        // A low-discrepancy walk (golden ratio) spreads the hosts evenly over three quarters to all of the interval.
        self.stride = self.stride.wrapping_add(0x9e37_79b9);
        many / 4 * 3 + many / 4 / 256 * (self.stride >> 24)
    }

    /// Asks whether the engine still answers. With a live event stream in which nothing is waiting, that confirms the last
    /// list: it is as good as a new one, but none (nothing that waits for a list may take it for one).
    async fn ping(&self) -> Outcome<()> {
        let ping = timeout(PING_DEADLINE, self.runtime.ping()).await;
        ping.unwrap_or_else(|_| Err(slow("a sign of life", PING_DEADLINE)))?;
        let now = self.clock.now();
        self.publish(|view| {
            if view.is_live() {
                view.seen = Seen::At(now);
            }
            false
        });
        Ok(())
    }

    /// Lists images when it is time: seldom, or when a container has one that is not in the list. Without an answer the list
    /// of before stays: it is used to choose well, not to decide what is there.
    async fn look_at_images(&mut self) {
        let view = self.slot.borrow().clone();
        let usual = IMAGES_EVERY.max(IMAGES_EVERY_A_HOST * self.wakes.hosts());
        let is_due = self.images_at.is_none_or(|at| match at.elapsed() {
            waited if waited < IMAGES_AGAIN => false,
            waited => waited >= usual || view.images.as_ref().is_none_or(|i| lacks_one(i, &view.containers)),
        });
        if !is_due {
            return;
        }
        self.images_at = Some(Instant::now());
        let Ok(Ok(images)) = timeout(IMAGES_DEADLINE, self.runtime.images()).await else { return };
        if view.images.as_ref().is_none_or(|known| **known != images) {
            self.publish(|view| {
                view.images = Some(Arc::new(images));
                true
            });
        }
    }

    async fn wait_to_retry(&mut self) {
        sleep(self.retry).await;
        self.retry = (self.retry * 2).min(RETRY_MAX);
    }

    /// Waits for a reason to list again; samples use and asks for a sign of life meanwhile.
    ///
    /// # Errors
    /// When the engine does not answer any more.
    async fn idle(&mut self, events: &mut Option<Events>, pause: Duration) -> Outcome<()> {
        let earliest = Instant::now() + pause;
        let usual = self.relist_every(events.is_some());
        let latest = earliest.max(self.on_the_beat(self.dying.relist_in(usual)));
        let (mut sample_at, mut ping_at) = (self.on_the_beat(self.sample_every()), self.ping_at());
        loop {
            let looked = self.is_looked_at();
            let holdings = self.slot.borrow().holdings.clone();
            let (hosts, place) = (self.wakes.hosts(), self.stride >> 24);
            tokio::select! {
                () = self.poke.notified() => break,
                event = next_event(events) => match event {
                    Some(Ok(event)) => { self.dying.hear(event); break }
                    Some(Err(_)) | None => { *events = None; break; }
                },
                () = tokio::time::sleep_until(latest) => break,
                now = self.held.next(&self.runtime, &holdings, hosts, place) => {
                    if now != *holdings {
                        self.publish(|view| {
                            view.holdings = Arc::new(now);
                            true
                        });
                    }
                    continue;
                }
                () = tokio::time::sleep_until(ping_at), if ping_at < latest => {
                    self.ping().await?;
                    ping_at = self.ping_at();
                    continue;
                }
                changed = self.look.changed(), if !looked => {
                    if changed.is_err() {
                        return Ok(());
                    }
                    // Somebody begins to look: they want to see something soon, but not from a thousand hosts at once.
                    let spread = FIRST_SAMPLE_A_HOST * self.wakes.hosts();
                    sample_at = self.on_the_beat(spread / 256 * (self.stride >> 24));
                }
                () = tokio::time::sleep_until(sample_at), if looked => {}
            }
            if self.is_looked_at() && sample_at <= Instant::now() {
                self.sample().await;
                sample_at = self.on_the_beat(self.sample_every());
            }
        }
        // A burst of events makes one list; those that come meanwhile are read away by the next round.
        tokio::time::sleep_until(earliest.min(latest)).await;
        self.drain(events);
        Ok(())
    }

    fn ping_at(&mut self) -> Instant {
        self.stride = self.stride.wrapping_add(0x9e37_79b9);
        self.on_the_beat(RELIST_EVERY / 4 * 3 + RELIST_EVERY / 4 / 256 * (self.stride >> 24))
    }

    /// When something is to be done that is due in this time: with many hosts at the next beat of all of them.
    fn on_the_beat(&self, due: Duration) -> Instant {
        Instant::now() + on_the_beat(self.clock.now(), due, self.wakes.hosts())
    }

    fn sample_every(&self) -> Duration {
        let usual = if self.runtime.usage_is_free() { SAMPLE_FREE_EVERY } else { SAMPLE_PAID_EVERY };
        usual.max(SAMPLE_EVERY_A_HOST * self.wakes.hosts())
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
            self.publish(|view| {
                view.usage = Arc::new(usage);
                false
            });
        }
    }
}

/// So long it is until the first beat at which something is due in this time. What is urgent does not wait for one.
fn on_the_beat(now: Millis, due: Duration, hosts: u32) -> Duration {
    if hosts < BEAT_FROM_HOSTS || due < BEAT * 4 {
        return due;
    }
    let beat = BEAT.as_millis();
    let into = (u128::from(now.0.unsigned_abs()) + due.as_millis()) % beat;
    due + Duration::from_millis(u64::try_from((beat - into) % beat).unwrap_or(0))
}

/// Lists take at most about a fifth of the time: a host with many containers is listed less often.
fn pause_after(took: Duration) -> Duration {
    RELIST_PAUSE.max(took * 4).min(RELIST_EVERY)
}

/// True when a container has an image that is not in the list (those that are run by their digest are in none).
fn lacks_one(images: &BTreeMap<String, Image>, containers: &[Container]) -> bool {
    let is_named = |image: &str| {
        let last = image.rsplit('/').next().unwrap_or(image);
        let is_digest = image.starts_with("sha256:") || (last.len() == 12 && !last.contains(':'));
        !is_digest && !image.contains('@')
    };
    let listed = |image: &str| images.contains_key(image) || images.contains_key(&format!("{image}:latest"));
    containers.iter().map(|c| c.image.raw()).any(|image| is_named(image) && !listed(image))
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
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn many_hosts_do_what_is_due_together_and_urgent_things_wait_for_nobody(
            now in 0_i64..10_000_000_000_000, due in 0_u64..100_000, hosts in 0_u32..2_000,
        ) {
            let due = Duration::from_millis(due);
            let at = on_the_beat(Millis(now), due, hosts);
            if hosts < BEAT_FROM_HOSTS || due < BEAT * 4 {
                prop_assert_eq!(at, due);
            } else {
                prop_assert!(at >= due && at < due + BEAT);
                let beats = (now + i64::try_from(at.as_millis()).unwrap()) % 250;
                prop_assert_eq!(beats, 0);
            }
        }
    }
}
