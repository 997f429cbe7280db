//! Merged logs: the streams of many containers as one, ordered by time, bounded, with every dropped line counted.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use crate::base::clock::Millis;
use crate::base::fault::Fault;
use crate::base::ids::{ContainerId, HostId, InstallId, PoolId, Slot};
use crate::model::container::{Owner, Tag};
use crate::model::logs::{LANES_MAX, LogChunk, LogLine, LogRequest, LogTarget};
use crate::model::world::World;
use crate::ports::runtime::{LogWanted, RawLine, Runtime};

/// Lines are gathered for so long and then ordered by time.
const GATHER: Duration = Duration::from_millis(60);
/// Lines that one chunk may bring while following; the oldest beyond that are dropped and counted.
const CHUNK_LINES: usize = 1_000;
/// Bytes of text in one chunk; with the number of chunks that may wait it bounds the memory of a tail.
const CHUNK_BYTES: usize = 256 * 1024;
/// Lines that are handed on together when they are there already: one wake-up for all of them.
const READ_LINES: usize = 128;
/// Such handfuls that one container may be ahead of the merge.
const LANE_HANDFULS: usize = 2;
/// The same for all containers of a live tail together.
const TAIL_HANDFULS: usize = 8;

/// One container whose log is wanted.
#[derive(Clone, Debug, PartialEq)]
struct Source {
    lane: String,
    host: HostId,
    container: ContainerId,
}

type Runtimes = BTreeMap<HostId, Arc<dyn Runtime>>;

/// Serves one tail until it has ended or the reader is gone.
pub async fn serve(
    request: LogRequest,
    install: InstallId,
    runtimes: Runtimes,
    world: watch::Receiver<Arc<World>>,
    sink: mpsc::Sender<LogChunk>,
) {
    let sources = find(&world.borrow(), &install, &request.target);
    let _ = sink.send(LogChunk::Lanes(sources.iter().map(|s| s.lane.clone()).collect())).await;
    if sources.is_empty() && !request.follow {
        let _ = sink.send(LogChunk::Note("there is no container with a log".into())).await;
    }
    if request.follow {
        let follow = Follow {
            request,
            install,
            runtimes,
            sink: sink.clone(),
            lanes: Vec::new(),
            readers: JoinSet::new(),
        };
        follow.run(world, sources).await;
    } else {
        once(&request, &runtimes, &sources, &sink).await;
    }
    let _ = sink.send(LogChunk::End).await;
}

/// The containers of a target, by slot; the newest generation of each slot, or the one before it.
fn find(world: &World, install: &InstallId, target: &LogTarget) -> Vec<Source> {
    if let LogTarget::Container(host, id) = target {
        let name = world.container(host, id).map_or_else(|| id.short().to_owned(), |c| c.name.to_string());
        return vec![Source { lane: name, host: host.clone(), container: id.clone() }];
    }
    let (pool, only, back) = match target {
        LogTarget::Pool(pool) => (pool, None, 0),
        LogTarget::Slot(pool, slot) => (pool, Some(*slot), 0),
        LogTarget::Previous(pool, slot) => (pool, Some(*slot), 1),
        LogTarget::Container(..) => return Vec::new(),
    };
    let mut slots: BTreeMap<Slot, Vec<(u32, Source)>> = BTreeMap::new();
    for (host, tag, id) in ours(world, install, pool).filter(|(_, tag, _)| only.is_none_or(|s| s == tag.slot))
    {
        let source = Source { lane: lane_name(tag), host: host.clone(), container: id.clone() };
        slots.entry(tag.slot).or_default().push((tag.generation, source));
    }
    let pick = |mut all: Vec<(u32, Source)>| {
        all.sort_by_key(|(generation, _)| std::cmp::Reverse(*generation));
        all.into_iter().nth(back).map(|(_, source)| source)
    };
    slots.into_values().filter_map(pick).collect()
}

/// True when no host has listed anything else.
fn same_lists(a: &World, b: &World) -> bool {
    a.hosts.len() == b.hosts.len()
        && a.hosts.values().zip(b.hosts.values()).all(|(x, y)| Arc::ptr_eq(&x.containers, &y.containers))
}

fn lane_name(tag: &Tag) -> String {
    format!("{}.{}", tag.pool.pool, tag.slot)
}

fn ours<'a>(
    world: &'a World,
    install: &'a InstallId,
    pool: &'a PoolId,
) -> impl Iterator<Item = (&'a HostId, &'a Tag, &'a ContainerId)> {
    world.hosts.iter().flat_map(move |(host, view)| {
        view.containers.iter().filter_map(move |c| match &c.owner {
            Owner::Longshore(tag) if tag.install == *install && tag.pool == *pool => Some((host, tag, &c.id)),
            _ => None,
        })
    })
}

fn wanted(request: &LogRequest, follow: bool) -> LogWanted {
    LogWanted { since: request.since, tail: request.tail, follow }
}

fn lane_number(index: usize) -> u16 {
    u16::try_from(index).unwrap_or(u16::MAX)
}

fn line(lane: u16, raw: RawLine) -> LogLine {
    LogLine { at: raw.at, lane, stderr: raw.stderr, text: raw.text }
}

/// A handful of lines; a failure stands as a note in the place where it happened.
type Handful = Vec<Result<LogLine, String>>;

/// Reads one container's log into a channel; a failure becomes a note.
async fn read(
    lane: u16,
    source: Source,
    runtime: Arc<dyn Runtime>,
    wanted: LogWanted,
    out: mpsc::Sender<Handful>,
) {
    let note = |fault: Fault| format!("{}: {fault}", source.lane);
    let mut lines = match runtime.logs(&source.container, &wanted).await {
        Ok(lines) => lines.ready_chunks(READ_LINES),
        Err(fault) => return drop(out.send(vec![Err(note(fault))]).await),
    };
    while let Some(ready) = lines.next().await {
        let handful: Handful =
            ready.into_iter().map(|raw| raw.map(|raw| line(lane, raw)).map_err(note)).collect();
        let failed = handful.iter().any(Result::is_err);
        if out.send(handful).await.is_err() || failed {
            return;
        }
    }
}

/// Everything that there is, merged exactly by time. The reader sets the pace, nothing is dropped.
async fn once(request: &LogRequest, runtimes: &Runtimes, sources: &[Source], sink: &mpsc::Sender<LogChunk>) {
    let mut readers = JoinSet::new();
    let mut lanes = Vec::new();
    for (index, source) in sources.iter().enumerate() {
        let Some(runtime) = runtimes.get(&source.host) else { continue };
        let (out, lines) = mpsc::channel(LANE_HANDFULS);
        readers.spawn(read(lane_number(index), source.clone(), runtime.clone(), wanted(request, false), out));
        lanes.push((VecDeque::new(), lines));
    }
    let (mut chunk, mut bytes) = (Vec::new(), 0);
    loop {
        for (ready, lines) in &mut lanes {
            while ready.is_empty() {
                let Some(handful) = lines.recv().await else { break };
                for item in handful {
                    match item {
                        Ok(line) => ready.push_back(line),
                        Err(note) => drop(sink.send(LogChunk::Note(note)).await),
                    }
                }
            }
        }
        let first = |ready: &VecDeque<LogLine>| ready.front().map(|line| line.at);
        let oldest =
            lanes.iter_mut().filter(|(ready, _)| !ready.is_empty()).min_by_key(|(ready, _)| first(ready));
        let taken = oldest.and_then(|(ready, _)| ready.pop_front());
        let ended = taken.is_none();
        bytes += taken.as_ref().map_or(0, |line| line.text.raw().len());
        chunk.extend(taken);
        if (chunk.len() >= CHUNK_LINES || bytes >= CHUNK_BYTES || ended) && !chunk.is_empty() {
            let full = std::mem::take(&mut chunk);
            bytes = 0;
            if sink.send(LogChunk::Lines(full)).await.is_err() {
                return;
            }
        }
        if ended {
            return;
        }
    }
}

/// A live tail: new containers of the pool join in, a slow reader loses the oldest lines and is told how many.
struct Follow {
    request: LogRequest,
    install: InstallId,
    runtimes: Runtimes,
    sink: mpsc::Sender<LogChunk>,
    lanes: Vec<Source>,
    readers: JoinSet<()>,
}

impl Follow {
    async fn run(mut self, mut world: watch::Receiver<Arc<World>>, sources: Vec<Source>) {
        let (out, mut lines) = mpsc::channel(TAIL_HANDFULS);
        if let Some(note) = self.join(sources, &out, None) {
            let _ = self.sink.send(LogChunk::Note(note)).await;
        }
        let mut seen = world.borrow_and_update().clone();
        self.add_new(&seen, &out);
        let mut skipped = 0;
        let mut batch = Vec::new();
        loop {
            tokio::select! {
                received = lines.recv() => batch.extend(received.into_iter().flatten()),
                changed = world.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    let now = world.borrow_and_update().clone();
                    if !same_lists(&seen, &now) {
                        self.add_new(&now, &out);
                    }
                    seen = now;
                    continue;
                }
                () = self.sink.closed() => return,
            }
            skipped += gather(&mut lines, &mut batch).await;
            if !self.pass_on(&mut batch, &mut skipped) {
                return;
            }
        }
    }

    /// Starts reading sources up to the limit of lanes; tells how many are left out.
    fn join(
        &mut self,
        sources: Vec<Source>,
        out: &mpsc::Sender<Handful>,
        since: Option<Millis>,
    ) -> Option<String> {
        let total = self.lanes.len() + sources.len();
        for source in sources.into_iter().take(LANES_MAX - self.lanes.len().min(LANES_MAX)) {
            let Some(runtime) = self.runtimes.get(&source.host) else { continue };
            let wanted = LogWanted { since: since.or(self.request.since), ..wanted(&self.request, true) };
            let lane = lane_number(self.lanes.len());
            self.readers.spawn(read(lane, source.clone(), runtime.clone(), wanted, out.clone()));
            self.lanes.push(source);
        }
        (total > LANES_MAX)
            .then(|| format!("{LANES_MAX} of {total} containers are followed; open one to see another's log"))
    }

    /// A container that has come since (a scale-up, a replacement) joins, with its log from the start.
    fn add_new(&mut self, world: &World, out: &mpsc::Sender<Handful>) {
        if !matches!(self.request.target, LogTarget::Pool(_) | LogTarget::Slot(..))
            || self.lanes.len() >= LANES_MAX
        {
            return;
        }
        let mut fresh = find(world, &self.install, &self.request.target);
        fresh.retain(|s| !self.lanes.iter().any(|l| l.container == s.container));
        if !fresh.is_empty() {
            self.join(fresh, out, None);
            let names = self.lanes.iter().map(|s| s.lane.clone()).collect();
            // Sent before any of their lines; a full queue means that the reader is slow, then the names wait for the next change.
            let _ = self.sink.try_send(LogChunk::Lanes(names));
        }
    }

    /// Hands a batch to the reader if there is room; otherwise it is counted as skipped. False when the reader is gone.
    fn pass_on(&self, batch: &mut Handful, skipped: &mut u64) -> bool {
        let mut fresh = Vec::with_capacity(batch.len());
        for item in batch.drain(..) {
            match item {
                Ok(line) => fresh.push(line),
                Err(note) => drop(self.sink.try_send(LogChunk::Note(note))),
            }
        }
        fresh.sort_by_key(|l| l.at);
        if self.sink.is_closed() {
            return false;
        }
        for part in parts(fresh) {
            // Two places: one for the count of what is missing, one for the lines.
            if self.sink.capacity() < 2 {
                *skipped += part.len() as u64;
                continue;
            }
            if *skipped > 0 && self.sink.try_send(LogChunk::Skipped(*skipped)).is_ok() {
                *skipped = 0;
            }
            let _ = self.sink.try_send(LogChunk::Lines(part));
        }
        true
    }
}

/// Lines in parts of about [`CHUNK_BYTES`] each.
fn parts(lines: Vec<LogLine>) -> Vec<Vec<LogLine>> {
    let mut parts: Vec<Vec<LogLine>> = Vec::new();
    let mut bytes = CHUNK_BYTES;
    for line in lines {
        if bytes >= CHUNK_BYTES {
            parts.push(Vec::new());
            bytes = 0;
        }
        bytes += line.text.raw().len();
        if let Some(part) = parts.last_mut() {
            part.push(line);
        }
    }
    parts
}

/// Reads on for a moment so that lines of many containers can be ordered; keeps the newest, counts the rest.
async fn gather(lines: &mut mpsc::Receiver<Handful>, batch: &mut Handful) -> u64 {
    let until = Instant::now() + GATHER;
    let mut dropped = 0;
    loop {
        tokio::select! {
            got = lines.recv() => match got {
                Some(handful) => batch.extend(handful),
                None => return dropped,
            },
            () = sleep_until(until) => return dropped + trim(batch),
        }
        // Not at each handful: what is dropped is moved away in large pieces.
        if batch.len() > CHUNK_LINES * 4 {
            dropped += trim(batch);
        }
    }
}

/// Keeps the newest lines of a batch; tells how many went.
fn trim(batch: &mut Handful) -> u64 {
    let surplus = batch.len().saturating_sub(CHUNK_LINES);
    batch.drain(..surplus).filter(Result::is_ok).count() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_lines_make_small_chunks() {
        let long = |n| LogLine {
            at: Millis(n),
            lane: 0,
            stderr: false,
            text: "x".repeat(16 * 1024).as_str().into(),
        };
        let parts = parts((0..100).map(long).collect());
        let sizes: Vec<usize> = parts.iter().map(Vec::len).collect();
        assert_eq!(sizes, [16, 16, 16, 16, 16, 16, 4]);
        assert!(parts.concat().is_sorted_by_key(|l| l.at));
    }
}
