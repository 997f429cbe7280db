//! The one pool of blob transfers of a line: the largest first, one flight per digest, whoever wants the same blob shares it.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{oneshot, watch};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::base::clock::{Millis, SharedClock};
use crate::base::fault::{Fault, Kind, Outcome};
use crate::engine::registry::breaker::{Breaker, Pass, likeness};
use crate::engine::registry::budget::Purse;
use crate::engine::registry::flight;
use crate::engine::registry::notes::Notes;
use crate::engine::registry::pace::Pace;
use crate::engine::registry::progress::Progress;
use crate::engine::registry::tasks::Tasks;
use crate::model::oci::{Digest, Repository};
use crate::model::replication::{Line, Transfer};
use crate::ports::registry::RegistryClient;
use crate::store::Store;

/// Blobs at a time where nobody has said otherwise: beyond this, uploads to a registry on two cores gain nothing (measured).
pub const PARALLEL: usize = 8;

/// Which blob, and into which repository of the target.
type Key = (Repository, Digest);
/// The order in which jobs begin.
type Order = (Reverse<i32>, Reverse<u64>, Digest, Repository);

/// What everything that goes over a line needs.
pub struct Ends {
    /// Which line.
    pub line: Line,
    /// Where it begins.
    pub source: Arc<dyn RegistryClient>,
    /// Where it ends.
    pub target: Arc<dyn RegistryClient>,
    /// What it may carry.
    pub purse: Arc<Purse>,
    /// The journal.
    pub notes: Notes,
    /// The journal, to be asked.
    pub store: Store,
    /// The time.
    pub clock: SharedClock,
}

/// One blob on its way to one repository.
pub struct Flight {
    id: u64,
    /// Where the source has it.
    pub from: Repository,
    /// Where it is to be.
    pub to: Repository,
    /// The blob.
    pub digest: Digest,
    /// Its length.
    pub size: u64,
    /// How far it is.
    pub progress: Arc<Progress>,
    /// The source was asked for it as often as makes sense.
    pub(super) is_given_up: AtomicBool,
    stop: CancellationToken,
    since: Millis,
    last: Mutex<Millis>,
}

impl Flight {
    /// Something has arrived.
    pub(super) fn moved(&self, offset: u64, now: Millis) {
        self.progress.at(offset);
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = now;
    }
}

struct Want {
    pace: watch::Receiver<Pace>,
    done: oneshot::Sender<Outcome<()>>,
}

struct Job {
    flight: Arc<Flight>,
    priority: i32,
    wants: BTreeMap<u64, Want>,
}

#[derive(Default)]
struct State {
    jobs: HashMap<Key, Job>,
    waiting: BTreeSet<Order>,
    busy: HashSet<Digest>,
    flying: HashMap<u64, Arc<Flight>>,
    parallel: usize,
    next: u64,
    /// Where blobs were found lately: known before the journal has it.
    recent: HashMap<Digest, Repository>,
    /// Repositories of which the target listed nothing when it was asked last.
    absent: HashSet<Repository>,
    /// It is looked again whether blobs may go, then.
    wakes: Option<Instant>,
}

/// Blobs of which it is remembered where they were found lately.
const RECENT_MAX: usize = 8_192;

/// The pool of one line.
pub struct Pool {
    /// Its ends.
    pub ends: Ends,
    state: Mutex<State>,
    tasks: Tasks,
    changed: watch::Sender<()>,
    /// Bytes that went over the line since it began.
    pub carried: AtomicU64,
    /// Mounts that a registry did not do although it could have.
    pub(super) vain_mounts: AtomicU64,
    /// What became of the last transfers.
    pub(super) breaker: Breaker,
}

/// A wish for a blob. Dropping it takes the wish back; a blob that nobody wishes for stops, wherever it is.
pub struct Ticket {
    pool: Arc<Pool>,
    key: Key,
    id: u64,
    done: oneshot::Receiver<Outcome<()>>,
    /// How far the blob is.
    pub progress: Arc<Progress>,
}

impl Ticket {
    /// Waits until the blob is where it is to be.
    ///
    /// # Errors
    /// Why it is not.
    pub async fn wait(mut self) -> Outcome<()> {
        let gone = || Err(Fault::new(Kind::Bug, "replication has stopped"));
        (&mut self.done).await.unwrap_or_else(|_| gone())
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.pool.unwant(&self.key, self.id);
    }
}

fn order(job: &Job) -> Order {
    let flight = &job.flight;
    (Reverse(job.priority), Reverse(flight.size), flight.digest.clone(), flight.to.clone())
}

impl Pool {
    /// The pool of a line.
    pub fn new(ends: Ends, tasks: Tasks) -> Arc<Pool> {
        let state = State { parallel: PARALLEL, ..State::default() };
        Arc::new(Pool {
            ends,
            state: Mutex::new(state),
            tasks,
            changed: watch::Sender::new(()),
            carried: AtomicU64::new(0),
            vain_mounts: AtomicU64::new(0),
            breaker: Breaker::default(),
        })
    }

    fn with<T>(&self, work: impl FnOnce(&mut State) -> T) -> T {
        work(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// From now on so many blobs go at a time.
    pub fn set_parallel(self: &Arc<Pool>, parallel: u32) {
        self.with(|s| s.parallel = usize::try_from(parallel.max(1)).unwrap_or(PARALLEL));
        self.pump();
    }

    /// Something that blobs wait for has changed, such as the pace of a run.
    pub fn look_again(self: &Arc<Pool>) {
        self.changed.send_replace(());
        self.pump();
    }

    /// Blobs on their way now.
    pub fn transfers(&self) -> Vec<Transfer> {
        let of = |f: &Arc<Flight>| Transfer {
            line: self.ends.line.clone(),
            repository: f.to.clone(),
            digest: f.digest.clone(),
            size: f.size,
            moved: f.progress.moved(),
            since: f.since,
            last: *f.last.lock().unwrap_or_else(PoisonError::into_inner),
        };
        let mut out: Vec<Transfer> = self.with(|s| s.flying.values().map(of).collect());
        out.sort_by(|a, b| (a.since, &a.digest).cmp(&(b.since, &b.digest)));
        out
    }

    /// Wishes for a blob of the source's repository `from` in the target's repository `to`.
    pub fn want(
        self: &Arc<Pool>,
        (from, to): (&Repository, &Repository),
        (digest, size): (&Digest, u64),
        priority: i32,
        pace: watch::Receiver<Pace>,
    ) -> Ticket {
        let key = (to.clone(), digest.clone());
        let (done, answer) = oneshot::channel();
        let now = self.ends.clock.now();
        let (id, progress) = self.with(|s| {
            s.next += 1;
            let id = s.next;
            let job = s.jobs.entry(key.clone()).or_insert_with(|| {
                let flight = Flight {
                    id,
                    from: from.clone(),
                    to: to.clone(),
                    digest: digest.clone(),
                    size,
                    progress: Arc::new(Progress::new(size)),
                    is_given_up: AtomicBool::new(false),
                    stop: CancellationToken::new(),
                    since: now,
                    last: Mutex::new(now),
                };
                Job { flight: Arc::new(flight), priority, wants: BTreeMap::new() }
            });
            let is_flying = s.flying.contains_key(&job.flight.id);
            s.waiting.remove(&order(job));
            job.priority = job.priority.max(priority);
            if !is_flying {
                s.waiting.insert(order(job));
            }
            job.wants.insert(id, Want { pace, done });
            (id, job.flight.progress.clone())
        });
        self.look_again();
        Ticket { pool: self.clone(), key, id, done: answer, progress }
    }

    fn unwant(self: &Arc<Pool>, key: &Key, id: u64) {
        let is_last = self.with(|s| {
            let Some(job) = s.jobs.get_mut(key) else { return false };
            if job.wants.remove(&id).is_none() || !job.wants.is_empty() {
                return false;
            }
            let order = order(job);
            job.flight.stop.cancel();
            s.waiting.remove(&order);
            s.jobs.remove(key);
            true
        });
        if is_last {
            self.look_again();
        }
    }

    /// Whether the target lists nothing of a repository. In such a one only blobs are looked for that the journal places there:
    /// all others are new to it, or at worst are sent once more.
    pub(super) fn tell_absent(&self, repository: &Repository, is_absent: bool) {
        self.with(|s| {
            if is_absent {
                s.absent.insert(repository.clone());
            } else {
                s.absent.remove(repository);
            }
        });
    }

    /// True when the target lists nothing of a repository.
    pub(super) fn is_absent(&self, repository: &Repository) -> bool {
        self.with(|s| s.absent.contains(repository))
    }

    /// A blob was found, or put, in a repository of the target.
    pub(super) fn found(&self, digest: &Digest, at: &Repository) {
        self.with(|s| {
            if s.recent.len() >= RECENT_MAX {
                s.recent.clear();
            }
            s.recent.insert(digest.clone(), at.clone());
        });
    }

    /// Where a blob was found lately.
    pub(super) fn recent(&self, digest: &Digest) -> Option<Repository> {
        self.with(|s| s.recent.get(digest).cloned())
    }

    /// What wants this blob now has this priority.
    pub fn raise(self: &Arc<Pool>, to: &Repository, digest: &Digest, priority: i32) {
        self.with(|s| {
            let Some(job) = s.jobs.get_mut(&(to.clone(), digest.clone())) else { return };
            let was_waiting = s.waiting.remove(&order(job));
            job.priority = job.priority.max(priority);
            if was_waiting {
                s.waiting.insert(order(job));
            }
        });
    }

    /// Begins as many flights as may be under way.
    fn pump(self: &Arc<Pool>) {
        let now = self.ends.clock.now();
        let waits = self.with(|s| {
            s.make_room(now);
            s.flying.len() < s.parallel && s.next(&Pass::All).is_some()
        });
        if !waits {
            return;
        }
        let pass = self.breaker.blobs();
        let begun: Vec<Arc<Flight>> = self.with(|s| {
            let mut begun = Vec::new();
            while s.flying.len() < s.parallel {
                let Some(next) = s.next(&pass) else { break };
                s.waiting.remove(&next);
                let Some(job) = s.jobs.get(&(next.3, next.2.clone())) else { continue };
                s.busy.insert(next.2);
                s.flying.insert(job.flight.id, job.flight.clone());
                begun.push(job.flight.clone());
                if matches!(pass, Pass::One(_)) {
                    break;
                }
            }
            begun
        });
        match &pass {
            Pass::All | Pass::One(_) => {}
            Pass::Later(at) => self.pump_at(*at),
            Pass::None(fault) => self.drop_all(fault),
        }
        for flight in begun {
            let pool = self.clone();
            self.tasks.spawn(async move {
                let outcome = tokio::select! {
                    () = flight.stop.cancelled() => Err(Fault::new(Kind::Refused, "it was stopped")),
                    outcome = flight::fly(&pool, &flight) => outcome,
                };
                pool.landed(&flight, &outcome);
            });
        }
    }

    /// Looks again whether blobs may go, then.
    fn pump_at(self: &Arc<Pool>, at: Instant) {
        if self.with(|s| s.wakes.is_some_and(|then| then <= at)) {
            return;
        }
        self.with(|s| s.wakes = Some(at));
        let pool = self.clone();
        self.tasks.spawn(async move {
            sleep_until(at).await;
            pool.with(|s| s.wakes = None);
            pool.pump();
        });
    }

    /// Nothing comes through: what waits for its turn is told so.
    fn drop_all(&self, fault: &Fault) {
        // (Those of paused runs wait on.)
        let jobs: Vec<Job> = self.with(|s| {
            let mut out = Vec::new();
            while let Some(next) = s.next(&Pass::All) {
                s.waiting.remove(&next);
                out.extend(s.jobs.remove(&(next.3, next.2)));
            }
            out
        });
        for job in jobs {
            let why = fault.clone().because(format!("blob {}", job.flight.digest.short()));
            for want in job.wants.into_values() {
                // Whoever wished for it may have gone meanwhile.
                let _ = want.done.send(Err(why.clone()));
            }
        }
    }

    fn landed(self: &Arc<Pool>, flight: &Flight, outcome: &Outcome<()>) {
        let wants = self.with(|s| {
            s.busy.remove(&flight.digest);
            s.flying.remove(&flight.id);
            let key = (flight.to.clone(), flight.digest.clone());
            let is_this = s.jobs.get(&key).is_some_and(|job| job.flight.id == flight.id);
            is_this.then(|| s.jobs.remove(&key)).flatten().map(|job| job.wants)
        });
        for want in wants.into_iter().flat_map(BTreeMap::into_values) {
            // Whoever wished for it may have gone meanwhile.
            let _ = want.done.send(outcome.clone());
        }
        self.pump();
    }

    /// Waits until a run that goes on wants this blob.
    pub(super) async fn may_go(&self, flight: &Flight) {
        let key = (flight.to.clone(), flight.digest.clone());
        let mut changed = self.changed.subscribe();
        while !self.with(|s| s.jobs.get(&key).is_some_and(is_wanted_now)) {
            if changed.changed().await.is_err() {
                return;
            }
        }
    }
}

impl State {
    /// The blob whose turn it is.
    fn next(&self, pass: &Pass) -> Option<Order> {
        let may = |(_, _, digest, to): &&Order| {
            let job = self.jobs.get(&(to.clone(), digest.clone()));
            !self.busy.contains(digest) && job.is_some_and(is_wanted_now)
        };
        let mut all = self.waiting.iter().filter(may);
        match pass {
            Pass::All => all.next().cloned(),
            // The smallest: it says soonest how the line is.
            Pass::One(of) => all.min_by_key(|(_, Reverse(size), _, to)| (likeness(of, to), *size)).cloned(),
            Pass::Later(_) | Pass::None(_) => None,
        }
    }

    /// Blobs of runs that rest make room for those of runs that go on: they end where they are, and wait for their turn again.
    fn make_room(&mut self, now: Millis) {
        let is_next = |(_, _, digest, to): &Order| {
            self.jobs.get(&(to.clone(), digest.clone())).is_some_and(is_wanted_now)
        };
        if !self.waiting.iter().any(is_next) {
            return;
        }
        let flying = &self.flying;
        let resting =
            self.jobs.values_mut().filter(|j| flying.contains_key(&j.flight.id) && !is_wanted_now(j));
        for job in resting {
            self.next += 1;
            let old = &job.flight;
            old.stop.cancel();
            let flight = Flight {
                id: self.next,
                from: old.from.clone(),
                to: old.to.clone(),
                digest: old.digest.clone(),
                size: old.size,
                progress: old.progress.clone(),
                is_given_up: AtomicBool::new(false),
                stop: CancellationToken::new(),
                since: now,
                last: Mutex::new(now),
            };
            job.flight = Arc::new(flight);
            self.waiting.insert(order(job));
        }
    }
}

fn is_wanted_now(job: &Job) -> bool {
    job.wants.values().any(|w| *w.pace.borrow() == Pace::Go)
}
