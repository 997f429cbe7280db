//! The executor: does one step against one engine, under a per-host limit, and reports what became of it.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::base::fault::{Fault, Kind, Outcome};
use crate::base::ids::{ContainerId, HostId, InstallId, OpId, RegistryName, SiteName};
use crate::engine::bringing::Brought;
use crate::model::container::Tag;
use crate::model::instance::Instance;
use crate::model::pool::PoolSpec;
use crate::model::prewarm::{Proof, PullProgress, Weight};
use crate::model::site::Site;
use crate::plan::slot::Activity;
use crate::plan::sources::Source;
use crate::plan::surplus::Removal;
use crate::ports::runtime::{Ending, Runtime};

/// Containers made at a time on one host: an engine is quickest with 4 to 8 (measured, 8 of them: 96 ms a container).
const CREATES_A_HOST: usize = 8;
/// Pulls at a time on one host: more share the same line.
const PULLS_A_HOST: usize = 4;
/// Removals at a time on one host: most of the time of each is the container's own grace time.
const REMOVALS_A_HOST: usize = 64;
/// Whether a step was taken back is looked at so often during a pull.
const TAKEN_BACK_LOOK: std::time::Duration = std::time::Duration::from_millis(250);
/// A pull is told again after so many thousandths.
const PULL_STEP: u16 = 10;

/// What the executor tells the core.
#[derive(Debug)]
pub enum Report {
    /// A step has come so far.
    Progress(Instance, Activity),
    /// A container was made and started, and how long that took.
    Started(Instance, Took),
    /// It could not be; nothing of it is left.
    Failed(Instance, Fault),
    /// The engine did not answer: it may or may not have happened.
    Unknown(Instance, Fault),
    /// Its image has come to the host, but not from where it should have come first.
    Pulled(Instance, Came),
    /// Its image could not be had from any of these places.
    NotPulled(Instance, Vec<Missed>),
    /// Our list of members and robots was brought to a Harbor, or not.
    Brought(RegistryName, Box<Brought>),
    /// It was not wanted any more before it began.
    Cancelled(Instance),
    /// How a container ended, or why that cannot be told.
    Buried(Instance, Result<Ending, Fault>),
    /// News of a prewarm on one host, or of its image.
    Warm(OpId, WarmNews),
    /// A container was removed, in so many milliseconds without the time that it took to end, or not. No time when it was gone.
    Removed(Removal, Result<Option<u64>, Fault>),
}

/// What the tasks of a prewarm tell.
#[derive(Debug)]
pub enum WarmNews {
    /// What the registries say of its image.
    Weighed(Outcome<Weight>),
    /// Whether a host had it before.
    Looked(HostId, Outcome<Option<Proof>>),
    /// How far it is on its way to a host.
    Progress(HostId, PullProgress),
    /// It has come to a host, from the other one if there was one, or not.
    Came(HostId, Option<HostId>, Outcome<Proof>),
}

/// A place that an image could not be had from.
#[derive(Clone, Debug, PartialEq)]
pub struct Missed {
    /// Which.
    pub source: Source,
    /// Why, as the host's engine says.
    pub fault: Fault,
}

/// An image that came from somewhere else than it should have come from first.
#[derive(Clone, Debug, PartialEq)]
pub struct Came {
    /// From there.
    pub from: Source,
    /// From here it should have come.
    pub instead_of: Source,
    /// Why not, as the host's engine says; none when it was not asked, since it does not answer us.
    pub why: Option<Fault>,
}

/// Why there is no container.
enum Undone {
    /// Its image could not be had.
    NotPulled(Vec<Missed>),
    /// Anything else.
    Fault(Fault),
}

impl From<Fault> for Undone {
    fn from(fault: Fault) -> Undone {
        Undone::Fault(fault)
    }
}

/// How long the two halves of a creation took, in milliseconds, without turns that were waited for and pulls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Took {
    /// Making it.
    pub create_ms: u64,
    /// Starting it.
    pub start_ms: u64,
    /// Bytes that were pulled for it, and in how many milliseconds, turns that were waited for not counted.
    pub pull: Option<(u64, u64)>,
}

/// The per-host limits and the way back to the core.
pub struct Executor {
    install: InstallId,
    creates: BTreeMap<HostId, Arc<Line>>,
    removals: BTreeMap<HostId, Arc<Semaphore>>,
    site_pulls: BTreeMap<SiteName, (u32, Arc<Semaphore>)>,
    reports: mpsc::Sender<Report>,
    /// Ends with the executor: a core that is fenced or dropped does nothing more.
    tasks: JoinSet<()>,
}

impl Executor {
    /// An executor that reports to `reports`.
    pub fn new(install: InstallId, reports: mpsc::Sender<Report>) -> Executor {
        Executor {
            install,
            creates: BTreeMap::new(),
            removals: BTreeMap::new(),
            site_pulls: BTreeMap::new(),
            reports,
            tasks: JoinSet::new(),
        }
    }

    /// Makes and starts the container of a record that is durable already. Setting `cancelled` before its turn has come
    /// takes it back. An image that is missing comes from the first of its `sources` that has it.
    pub fn create(
        &mut self,
        runtime: Arc<dyn Runtime>,
        instance: Instance,
        spec: Arc<PoolSpec>,
        site: Option<&Site>,
        sources: Vec<Source>,
        cancelled: Arc<AtomicBool>,
    ) {
        let site_pulls = site.and_then(|site| self.turns_of_site(site));
        let line = self.line(&instance.host);
        line.put(Making { runtime, instance, spec, site_pulls, sources, cancelled });
    }

    /// A host's line of creations; one task sees to it.
    fn line(&mut self, host: &HostId) -> Arc<Line> {
        if let Some(line) = self.creates.get(host) {
            return line.clone();
        }
        let line = Arc::new(Line::new());
        self.creates.insert(host.clone(), line.clone());
        self.spawn(line.clone().serve(self.install.clone(), self.reports.clone()));
        line
    }

    /// The turns that a pull on a host takes: those of the host and of its site, which it shares with creations.
    pub fn pull_turns(&mut self, host: &HostId, site: Option<&Site>) -> PullTurns {
        PullTurns { line: self.line(host), site: site.and_then(|site| self.turns_of_site(site)) }
    }

    /// The way back to the core.
    pub fn reports(&self) -> mpsc::Sender<Report> {
        self.reports.clone()
    }

    /// The turns of a site whose line is to be spared; a changed limit counts for pulls that begin from now on.
    fn turns_of_site(&mut self, site: &Site) -> Option<Arc<Semaphore>> {
        let limit = site.limits.pulls?;
        let fresh = || (limit, Arc::new(Semaphore::new(usize::try_from(limit.max(1)).unwrap_or(1))));
        let turns = self.site_pulls.entry(site.name.clone()).or_insert_with(fresh);
        if turns.0 != limit {
            *turns = fresh();
        }
        Some(turns.1.clone())
    }

    fn spawn(&mut self, step: impl Future<Output = ()> + Send + 'static) {
        while self.tasks.try_join_next().is_some() {}
        self.tasks.spawn(step);
    }

    /// Asks how a container ended.
    pub fn bury(&mut self, runtime: Arc<dyn Runtime>, instance: Instance, container: ContainerId) {
        let reports = self.reports.clone();
        self.spawn(async move {
            let ending = runtime.ending(&container).await;
            let _ = reports.send(Report::Buried(instance, ending)).await;
        });
    }

    /// Removes networks that were made for a pool which is gone. One that is still in use stays, another pool has it.
    pub fn remove_networks(&mut self, runtime: Arc<dyn Runtime>, names: Vec<String>) {
        let install = self.install.clone();
        self.spawn(async move {
            for name in names {
                let _ = runtime.remove_network(&name, &install).await;
            }
        });
    }

    /// Stops (if it runs) and removes a container.
    pub fn remove(&mut self, runtime: Arc<dyn Runtime>, removal: Removal) {
        let turn = turns(&mut self.removals, &removal.host, REMOVALS_A_HOST);
        let reports = self.reports.clone();
        self.spawn(async move {
            let _turn = turn.acquire().await;
            let result = unmake(&*runtime, &removal).await;
            let _ = reports.send(Report::Removed(removal, result)).await;
        });
    }
}

fn turns(map: &mut BTreeMap<HostId, Arc<Semaphore>>, host: &HostId, at_once: usize) -> Arc<Semaphore> {
    map.entry(host.clone()).or_insert_with(|| Arc::new(Semaphore::new(at_once))).clone()
}

/// What a pull takes its turns of.
pub struct PullTurns {
    line: Arc<Line>,
    site: Option<Arc<Semaphore>>,
}

impl PullTurns {
    /// Waits for them; they are given back when what this gives is dropped.
    pub async fn take(&self) -> impl Send + use<'_> {
        let of_host = self.line.pulls.acquire().await.ok();
        let of_site = match &self.site {
            Some(site) => site.acquire().await.ok(),
            None => None,
        };
        (of_host, of_site)
    }
}

/// A creation that waits for its turn.
struct Making {
    runtime: Arc<dyn Runtime>,
    instance: Instance,
    spec: Arc<PoolSpec>,
    /// The turns of its site, when that has a limit.
    site_pulls: Option<Arc<Semaphore>>,
    /// Where its image can be had, in order.
    sources: Vec<Source>,
    cancelled: Arc<AtomicBool>,
}

/// The creations of one host in the order in which they came. Only those whose turn has come are tasks: a hundred thousand
/// may wait.
struct Line {
    waiting: Mutex<VecDeque<Making>>,
    came: Notify,
    creates: Arc<Semaphore>,
    pulls: Semaphore,
}

impl Line {
    fn new() -> Line {
        Line {
            waiting: Mutex::default(),
            came: Notify::new(),
            creates: Arc::new(Semaphore::new(CREATES_A_HOST)),
            pulls: Semaphore::new(PULLS_A_HOST),
        }
    }

    fn put(&self, making: Making) {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).push_back(making);
        self.came.notify_one();
    }

    fn take(&self) -> Option<Making> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let first = waiting.pop_front();
        if waiting.is_empty() {
            waiting.shrink_to_fit();
        }
        first
    }

    /// Hands out turns; what it began ends with it.
    async fn serve(self: Arc<Line>, install: InstallId, reports: mpsc::Sender<Report>) {
        let mut begun = JoinSet::new();
        loop {
            let held = self.creates.clone().acquire_owned().await.ok();
            while begun.try_join_next().is_some() {}
            let Some(making) = self.take() else {
                drop(held);
                tokio::select! {
                    () = self.came.notified() => {}
                    Some(_) = begun.join_next() => {}
                }
                continue;
            };
            begun.spawn(self.clone().carry_out(making, held, install.clone(), reports.clone()));
        }
    }

    async fn carry_out(
        self: Arc<Line>,
        making: Making,
        mut held: Option<OwnedSemaphorePermit>,
        install: InstallId,
        reports: mpsc::Sender<Report>,
    ) {
        let Making { runtime, instance, spec, site_pulls, sources, cancelled } = making;
        let report = if cancelled.load(Ordering::SeqCst) {
            Report::Cancelled(instance)
        } else {
            let tag = instance.tag(&install);
            let (site, sources) = (site_pulls.as_deref(), sources.as_slice());
            let mut turns = Turns { line: &self, site, sources, held: &mut held };
            match make(&*runtime, &tag, &spec, &instance, &mut turns, &cancelled, &reports).await {
                Ok(Some(took)) => Report::Started(instance, took),
                Ok(None) => Report::Cancelled(instance),
                Err(Undone::NotPulled(missed)) => Report::NotPulled(instance, missed),
                Err(Undone::Fault(fault)) if fault.is_unknown() => Report::Unknown(instance, fault),
                Err(Undone::Fault(fault)) => Report::Failed(instance, fault),
            }
        };
        let _ = reports.send(report).await;
        // Its turn is over when the core knows: what is not reported yet is no more than what may run at a time.
        drop(held);
    }
}

/// The limits that one creation takes its turns of.
struct Turns<'a> {
    line: &'a Line,
    /// Those of its site, when that has a limit.
    site: Option<&'a Semaphore>,
    /// Where its image can be had, in order.
    sources: &'a [Source],
    held: &'a mut Option<OwnedSemaphorePermit>,
}

/// Completes when a step was taken back.
async fn taken_back(cancelled: &AtomicBool) {
    while !cancelled.load(Ordering::SeqCst) {
        tokio::time::sleep(TAKEN_BACK_LOOK).await;
    }
}

/// How long it took when it was made and started, `None` when it was taken back before there was anything of it.
async fn make(
    runtime: &dyn Runtime,
    tag: &Tag,
    spec: &PoolSpec,
    instance: &Instance,
    turns: &mut Turns<'_>,
    cancelled: &AtomicBool,
    reports: &mpsc::Sender<Report>,
) -> Result<Option<Took>, Undone> {
    // Progress is only shown: when the core is busy, it may be dropped.
    let tell = |activity| drop(reports.try_send(Report::Progress(instance.clone(), activity)));
    let (shown, most) = (AtomicU16::new(0), AtomicU64::new(0));
    let mut pull_took = None;
    let pulled = |progress: PullProgress| {
        let done = progress.thousandths;
        most.fetch_max(progress.bytes, Ordering::Relaxed);
        if done.abs_diff(shown.load(Ordering::Relaxed)) >= PULL_STEP {
            shown.store(done, Ordering::Relaxed);
            tell(Activity::Pulling(Some(done)));
        }
    };
    let mut begun = Instant::now();
    let id = match runtime.create(tag, spec).await {
        Err(fault) if fault.kind == Kind::NotFound => {
            tell(Activity::Pulling(None));
            // An hour's pull must not keep the host's other pools from being mended.
            *turns.held = None;
            let pull = async {
                let _turn = turns.line.pulls.acquire().await;
                let _turn_of_site = match turns.site {
                    Some(site) => site.acquire().await.ok(),
                    None => None,
                };
                let begun = Instant::now();
                let done = fetch(runtime, &spec.image, turns.sources, &pulled).await;
                done.map(|came| (came, millis_since(begun)))
            };
            let done = tokio::select! {
                done = pull => done,
                // A pull may take an hour: nobody waits for one that is not wanted any more.
                () = taken_back(cancelled) => return Ok(None),
            };
            let (came, took) = done.map_err(Undone::NotPulled)?;
            pull_took = Some((most.load(Ordering::Relaxed), took));
            if let Some(came) = came {
                // The core takes reports until it ends, and then nothing more is done.
                let _ = reports.send(Report::Pulled(instance.clone(), came)).await;
            }
            tell(Activity::Creating);
            *turns.held = turns.line.creates.clone().acquire_owned().await.ok();
            begun = Instant::now();
            runtime.create(tag, spec).await?
        }
        other => other?,
    };
    let create_ms = millis_since(begun);
    tell(Activity::Starting);
    begun = Instant::now();
    match runtime.start(&id).await {
        Err(fault) if !fault.is_unknown() => {
            // It will never run: leave nothing behind. If this fails too, the next list shows it and it is tried again.
            let _ = runtime.remove(&id).await;
            Err(fault.into())
        }
        other => {
            Ok(other.map(|()| Some(Took { create_ms, start_ms: millis_since(begun), pull: pull_took }))?)
        }
    }
}

/// Gets an image onto the host, from the first of its sources that has it; says so when that is not the one that should have.
async fn fetch(
    runtime: &dyn Runtime,
    image: &str,
    sources: &[Source],
    progress: &(dyn Fn(PullProgress) + Send + Sync),
) -> Result<Option<Came>, Vec<Missed>> {
    let mut missed: Vec<Missed> = Vec::new();
    for source in sources {
        let pulled = match runtime.pull(&source.reference, progress).await {
            Ok(()) if source.reference != image => runtime.name_image(&source.reference, image).await,
            done => done,
        };
        match pulled {
            Ok(()) => return Ok(came(sources, source, &missed)),
            Err(fault) => missed.push(Missed { source: source.clone(), fault }),
        }
    }
    Err(missed)
}

/// What is worth telling of where an image came from: not that the site's own registry just does not have it.
fn came(sources: &[Source], from: &Source, missed: &[Missed]) -> Option<Came> {
    let first = sources.iter().find(|s| s.preferred).filter(|first| *first != from)?;
    let why = missed.iter().find(|m| m.source == *first).map(|m| m.fault.clone());
    let is_only_lacking = first.silent.is_none() && why.as_ref().is_some_and(|f| f.kind == Kind::NotFound);
    (!is_only_lacking).then(|| Came { from: from.clone(), instead_of: first.clone(), why })
}

fn millis_since(begun: Instant) -> u64 {
    u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX)
}

async fn unmake(runtime: &dyn Runtime, removal: &Removal) -> Result<Option<u64>, Fault> {
    if let Some(grace_ms) = removal.stop_ms {
        match runtime.stop(&removal.container, grace_ms).await {
            Err(fault) if fault.kind == Kind::NotFound => return Ok(None),
            other => other?,
        }
    }
    let begun = Instant::now();
    runtime.remove(&removal.container).await?;
    Ok(Some(millis_since(begun)))
}

/// How a container ended, in one sentence.
pub fn describe(ending: &Ending) -> String {
    let ran = match (ending.started, ending.finished) {
        (Some(started), Some(finished)) => {
            format!(" after {}", crate::base::text::took(finished.since(started)))
        }
        _ => String::new(),
    };
    if ending.oom {
        return format!("ended: killed by the kernel for its memory limit{ran}");
    }
    if let Some(error) = ending.error.as_ref().filter(|e| !e.raw().is_empty()) {
        return format!("ended: {error}{ran}");
    }
    let signal = match ending.exit {
        137 => " (killed)",
        143 => " (terminated)",
        139 => " (segmentation fault)",
        134 => " (aborted)",
        _ => "",
    };
    format!("ended: exit status {}{signal}{ran}", ending.exit)
}
