//! The use of containers: from control groups when the engine is on this machine, else one-shot samples of the engine.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream;
use serde::Deserialize;
use tokio::time::Instant;

use crate::adapters::docker::cgroup::{Buffer, Files, Sample};
use crate::adapters::docker::client::Client;
use crate::adapters::docker::limits::{STATS, STATS_AT_ONCE};
use crate::adapters::docker::{lookup, stamp};
use crate::base::fault::{Fault, Kind, Outcome};
use crate::base::ids::ContainerId;
use crate::model::container::Usage;

/// A container without a control group is looked for again after so long: it may run by then.
const ABSENT: Duration = Duration::from_secs(30);
/// What was not measured for so long is forgotten when there is too much to remember.
const FORGET: Duration = Duration::from_secs(300);
/// How many containers are asked about before the way of measuring is decided: most that are asked for do run.
const TRIES: usize = 8;

const UNDECIDED: u8 = 0;
const GROUPS: u8 = 1;
const ENGINE: u8 = 2;

/// What is remembered between samples of one engine.
pub(super) struct Meter {
    root: PathBuf,
    way: AtomicU8,
    /// The machine's memory, to tell a limit from none. Zero until known.
    machine: AtomicU64,
    start: Instant,
    seen: Arc<Mutex<HashMap<ContainerId, Known>>>,
}

#[derive(Default)]
struct Known {
    files: Option<Files>,
    absent_since: Option<Instant>,
    /// When it was measured last, by our own timer.
    touched: Option<Instant>,
    /// When the previous sample was taken and the CPU time then, both in nanoseconds.
    before: Option<(u64, u64)>,
}

impl Known {
    /// The use since the previous sample, which this one replaces.
    fn usage(&mut self, at: u64, sample: Sample, machine: u64) -> Usage {
        self.touched = Some(Instant::now());
        let before = self.before.replace((at, sample.cpu_nanos));
        let cpu_milli = before.and_then(|(then, cpu)| {
            let (passed, used) = (at.checked_sub(then)?, sample.cpu_nanos.checked_sub(cpu)?);
            u64::try_from((u128::from(used) * 1000).checked_div(u128::from(passed))?).ok()
        });
        let memory_limit = sample.limit.filter(|limit| machine == 0 || *limit < machine);
        Usage { cpu_milli, memory: sample.memory, memory_limit }
    }
}

impl Meter {
    pub(super) fn new(local: bool, root: PathBuf) -> Meter {
        Meter {
            root,
            way: AtomicU8::new(if local { UNDECIDED } else { ENGINE }),
            machine: AtomicU64::new(0),
            start: Instant::now(),
            seen: Arc::default(),
        }
    }

    /// True when samples cost the engine nothing. Until the first use it is a guess by the address.
    pub(super) fn is_free(&self) -> bool {
        self.way.load(Ordering::Relaxed) != ENGINE
    }

    /// Remembers the machine's memory.
    pub(super) fn machine_memory(&self, bytes: u64) {
        self.machine.store(bytes, Ordering::Relaxed);
    }

    /// The use of these containers; those that do not run are left out.
    pub(super) async fn usage(
        &self,
        client: &Client,
        ids: &[ContainerId],
    ) -> Outcome<BTreeMap<ContainerId, Usage>> {
        if ids.is_empty() {
            return Ok(BTreeMap::new());
        }
        if self.machine.load(Ordering::Relaxed) == 0 {
            self.machine_memory(lookup::facts(client).await?.memory);
        }
        if self.way.load(Ordering::Relaxed) == UNDECIDED {
            self.decide(client, ids).await?;
        }
        match self.way.load(Ordering::Relaxed) {
            ENGINE => self.by_engine(client, ids).await,
            _ => self.by_groups(client, ids).await,
        }
    }

    /// A socket may lead into a virtual machine: only a running container whose control group is here tells.
    async fn decide(&self, client: &Client, ids: &[ContainerId]) -> Outcome<()> {
        for id in ids.iter().take(TRIES) {
            if Files::find(&self.root, id.as_str(), None).is_some() {
                self.way.store(GROUPS, Ordering::Relaxed);
                return Ok(());
            }
            match self.ask_place(client, id).await? {
                Place::Here(_) => {
                    self.way.store(GROUPS, Ordering::Relaxed);
                    return Ok(());
                }
                Place::NotRunning => {}
                Place::Elsewhere => {
                    self.way.store(ENGINE, Ordering::Relaxed);
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    async fn ask_place(&self, client: &Client, id: &ContainerId) -> Outcome<Place> {
        let details = match lookup::details(client, id.as_str()).await {
            Ok(details) => details,
            Err(fault) if fault.kind == Kind::NotFound => return Ok(Place::NotRunning),
            Err(fault) => return Err(fault),
        };
        let Some(pid) = details.state.map(|s| s.pid).filter(|pid| *pid > 0) else {
            return Ok(Place::NotRunning);
        };
        let text = tokio::fs::read_to_string(format!("/proc/{pid}/cgroup")).await.ok();
        let found = text.and_then(|text| Files::find(&self.root, id.as_str(), Some(&text)));
        Ok(found.map_or(Place::Elsewhere, Place::Here))
    }

    async fn by_groups(&self, client: &Client, ids: &[ContainerId]) -> Outcome<BTreeMap<ContainerId, Usage>> {
        let (mut found, lost) = self.read_groups(ids.to_vec()).await?;
        // Those in unusual places: the engine knows their process, the kernel its group.
        for id in lost {
            let place = self.ask_place(client, &id).await?;
            let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
            let known = seen.entry(id.clone()).or_default();
            let Place::Here(files) = place else {
                known.absent_since = Some(Instant::now());
                continue;
            };
            let sample = known.files.insert(files).sample(&mut Buffer::new());
            if let Some(sample) = sample {
                found.insert(id, known.usage(self.nanos(), sample, self.machine.load(Ordering::Relaxed)));
            }
        }
        Ok(found)
    }

    /// Reads all groups in one blocking job; also gives the containers whose group was not found.
    async fn read_groups(
        &self,
        ids: Vec<ContainerId>,
    ) -> Outcome<(BTreeMap<ContainerId, Usage>, Vec<ContainerId>)> {
        let (seen, root, start) = (self.seen.clone(), self.root.clone(), self.start);
        let machine = self.machine.load(Ordering::Relaxed);
        let job = tokio::task::spawn_blocking(move || {
            let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
            let mut buffer = Buffer::new();
            let (mut found, mut lost) = (Vec::with_capacity(ids.len()), Vec::new());
            for id in ids {
                let known = seen.entry(id.clone()).or_default();
                if known.files.is_none() {
                    known.files = Files::find(&root, id.as_str(), None);
                }
                let at = nanos(start);
                match known.files.as_mut().and_then(|files| files.sample(&mut buffer)) {
                    Some(sample) => found.push((id, known.usage(at, sample, machine))),
                    None => {
                        // It has ended, or has not been found yet; a new start has new numbers.
                        (known.files, known.before) = (None, None);
                        if known.absent_since.is_none_or(|since| since.elapsed() >= ABSENT) {
                            lost.push(id);
                        }
                    }
                }
            }
            forget(&mut seen, found.len());
            (found.into_iter().collect(), lost)
        });
        job.await
            .map_err(|why| Fault::new(Kind::Bug, why.to_string()).because("reading control groups failed"))
    }

    async fn by_engine(&self, client: &Client, ids: &[ContainerId]) -> Outcome<BTreeMap<ContainerId, Usage>> {
        // All at once: each takes the engine a second, however few are asked for.
        let samples: Vec<_> = stream::iter(ids.to_vec())
            .map(|id| async move {
                let sample = one_shot(client, &id).await;
                (id, sample)
            })
            .buffer_unordered(STATS_AT_ONCE)
            .collect()
            .await;
        let machine = self.machine.load(Ordering::Relaxed);
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let mut found = BTreeMap::new();
        for (id, sample) in samples {
            match sample {
                Ok(Some((at, sample))) => {
                    let known = seen.entry(id.clone()).or_default();
                    found.insert(id, known.usage(at, sample, machine));
                }
                Ok(None) => {}
                // A part would read as "the others do not run".
                Err(fault) => return Err(fault),
            }
        }
        forget(&mut seen, found.len());
        Ok(found)
    }

    fn nanos(&self) -> u64 {
        nanos(self.start)
    }
}

enum Place {
    Here(Files),
    NotRunning,
    Elsewhere,
}

fn nanos(start: Instant) -> u64 {
    u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX)
}

/// Containers come and go for months: see [`FORGET`].
fn forget(seen: &mut HashMap<ContainerId, Known>, live: usize) {
    if seen.len() > 2 * live + 1024 {
        seen.retain(|_, known| known.touched.is_some_and(|at| at.elapsed() < FORGET));
    }
}

#[derive(Deserialize)]
struct Stats {
    #[serde(default)]
    read: String,
    cpu_stats: Option<CpuStats>,
    memory_stats: Option<MemoryStats>,
}

#[derive(Deserialize)]
struct CpuStats {
    cpu_usage: CpuUsage,
}

#[derive(Deserialize)]
struct CpuUsage {
    #[serde(default)]
    total_usage: u64,
}

#[derive(Deserialize)]
struct MemoryStats {
    usage: Option<u64>,
    limit: Option<u64>,
    stats: Option<MemoryDetail>,
}

#[derive(Deserialize)]
struct MemoryDetail {
    total_inactive_file: Option<u64>,
    inactive_file: Option<u64>,
}

/// One sample of the engine, stamped by it; `None` when the container does not run.
async fn one_shot(client: &Client, id: &ContainerId) -> Outcome<Option<(u64, Sample)>> {
    let path = format!("/containers/{id}/stats?stream=false&one-shot=true");
    let stats: Stats = match client.get(STATS, &path).await {
        Ok(answer) => answer.json(STATS)?,
        Err(fault) if matches!(fault.kind, Kind::NotFound | Kind::Conflict) => return Ok(None),
        Err(fault) => return Err(fault),
    };
    // One that does not run is answered with Go's zero time and no numbers.
    let at = stamp::nanos(&stats.read).and_then(|n| u64::try_from(n).ok());
    let (Some(at), Some(cpu), Some(memory)) = (at, stats.cpu_stats, stats.memory_stats) else {
        return Ok(None);
    };
    let Some(used) = memory.usage else { return Ok(None) };
    let cache = memory.stats.and_then(|s| s.total_inactive_file.or(s.inactive_file)).unwrap_or(0);
    let sample = Sample {
        cpu_nanos: cpu.cpu_usage.total_usage,
        memory: used.saturating_sub(cache),
        limit: memory.limit.filter(|limit| *limit > 0),
    };
    Ok(Some((at, sample)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_is_the_difference_to_the_previous_sample() {
        let mut known = Known::default();
        let sample = |cpu_nanos| Sample { cpu_nanos, memory: 5, limit: Some(100) };
        assert_eq!(known.usage(1_000_000_000, sample(0), 100).cpu_milli, None);
        let second = known.usage(3_000_000_000, sample(500_000_000), 101);
        assert_eq!(second, Usage { cpu_milli: Some(250), memory: 5, memory_limit: Some(100) });
        // A restarted container counts from zero again; the same moment twice has no rate.
        assert_eq!(known.usage(4_000_000_000, sample(0), 100).cpu_milli, None);
        assert_eq!(
            known.usage(4_000_000_000, sample(9), 100),
            Usage { cpu_milli: None, memory: 5, memory_limit: None }
        );
    }
}
