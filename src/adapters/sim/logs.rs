//! Logs of simulated containers: each line follows from the container's seed and its number, so none is kept.

use std::collections::VecDeque;

use futures_util::stream::{self, BoxStream, StreamExt};

use crate::adapters::sim::behaviour::{Behaviour, LogStyle};
use crate::adapters::sim::chance::{chance, hex};
use crate::adapters::sim::host::SimHost;
use crate::adapters::sim::inspect::rfc3339;
use crate::adapters::sim::trouble::Link;
use crate::adapters::sim::unit::{Run, Unit};
use crate::adapters::sim::{Ms, length};
use crate::base::clock::Millis;
use crate::base::fault::Outcome;
use crate::base::ids::{ContainerId, Seeded};
use crate::ports::runtime::{LogWanted, RawLine};

/// Lines that an engine keeps of a container, as with a rotated log file.
pub const LOG_KEPT: u64 = 100_000;
/// Lines that are made at a time.
const BATCH: u64 = 256;

/// The place of a line: which run, and which line of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    run: usize,
    line: u64,
}

/// Microseconds between two lines of it; `None` when it logs nothing.
fn gap(b: &Behaviour) -> Option<u64> {
    60_000_000_u64.checked_div(b.log_per_minute).map(|gap| gap.max(1))
}

/// When a line is written. Line 0 comes with the start; later ones somewhere in their own gap.
fn time_of(unit: &Unit, run: usize, start: Ms, line: u64, gap: u64) -> Ms {
    if line == 0 {
        return start;
    }
    let jitter = chance(&[unit.seed, 10, run as u64, line]).below(gap);
    start + crate::adapters::sim::ms((line.saturating_mul(gap).saturating_add(jitter)) / 1000)
}

/// How many lines a run has written by a time: the regular ones, and a last word when it ended by itself with a failure.
fn written(unit: &Unit, index: usize, run: &Run, now: Ms) -> u64 {
    if run.start > now {
        return 0;
    }
    let until = run.ended(now).map_or(now, |end| end.at);
    if let Some(play) = &unit.play {
        return play.lines.partition_point(|(at, ..)| run.start + at <= until) as u64;
    }
    let regular = match gap(&unit.behaviour) {
        None => 1,
        Some(gap) => {
            let whole = length(until - run.start).saturating_mul(1000) / gap;
            whole + u64::from(time_of(unit, index, run.start, whole, gap) <= until)
        }
    };
    regular + u64::from(last_word(run, now).is_some())
}

fn last_word(run: &Run, now: Ms) -> Option<&crate::adapters::sim::unit::End> {
    run.ended(now).filter(|end| end.by_itself && end.exit != 0 && !end.oom)
}

/// One line, by its place.
fn line_at(unit: &Unit, place: Place, total: u64, now: Ms, stamp: &dyn Fn(Ms) -> Millis) -> Option<RawLine> {
    let run = unit.runs.get(place.run)?;
    if let Some(play) = &unit.play {
        let (at, stderr, text) = play.lines.get(usize::try_from(place.line).ok()?)?;
        return Some(RawLine { at: stamp(run.start + at), stderr: *stderr, text: text.as_str().into() });
    }
    if let Some(end) = last_word(run, now).filter(|_| place.line + 1 == total) {
        let text = format!("FATAL unrecoverable error, exit status {}", end.exit);
        return Some(RawLine { at: stamp(end.at), stderr: true, text: text.into() });
    }
    let gap = gap(&unit.behaviour).unwrap_or(1);
    let at = stamp(time_of(unit, place.run, run.start, place.line, gap));
    if place.line == 0 {
        let text = format!("INFO starting {} (run {})", unit.image, place.run + 1);
        return Some(RawLine { at, stderr: false, text: text.into() });
    }
    let mut dice = chance(&[unit.seed, 11, place.run as u64, place.line]);
    let (text, stderr) = text_of(&unit.behaviour, place.line, at, &mut dice);
    Some(RawLine { at, stderr, text: text.into() })
}

const PATHS: [&str; 8] =
    ["/", "/feed", "/feed/next", "/api/v2/user", "/api/v2/orders", "/search", "/static/app.js", "/healthz"];
const WORK: [&str; 6] = [
    "request handled",
    "cache refreshed",
    "connection from pool reused",
    "batch written",
    "configuration is current",
    "session renewed",
];
const WOES: [&str; 4] = [
    "upstream timed out",
    "connection reset by peer",
    "retrying after a refused connection",
    "queue is above its high mark",
];

fn text_of(b: &Behaviour, n: u64, at: Millis, dice: &mut Seeded) -> (String, bool) {
    let pick = |list: &[&'static str], dice: &mut Seeded| {
        let i = usize::try_from(dice.below(list.len() as u64)).unwrap_or(0);
        list.get(i).copied().unwrap_or("")
    };
    let luck = dice.below(1000);
    let (path, took, ip) = (pick(&PATHS, dice), 2 + dice.below(90), dice.below(65_536));
    let ip = format!("10.{}.{}.7", ip / 256, ip % 256);
    if !b.log_lines.is_empty() {
        let i = usize::try_from(dice.below(b.log_lines.len() as u64)).unwrap_or(0);
        let line = b.log_lines.get(i).cloned().unwrap_or_default();
        let filled = line
            .replace("{n}", &n.to_string())
            .replace("{ms}", &took.to_string())
            .replace("{ip}", &ip)
            .replace("{path}", path)
            .replace("{id}", &hex(dice, 8));
        return (filled, line.starts_with("ERROR"));
    }
    let level = match luck {
        0..8 => "ERROR",
        8..40 => "WARN",
        40..900 => "INFO",
        _ => "DEBUG",
    };
    let bad = luck < 40;
    let words = if bad { pick(&WOES, dice) } else { pick(&WORK, dice) };
    match b.log_style {
        LogStyle::Web => {
            let (status, took) = if luck < 8 {
                (503, took + 2000)
            } else if luck < 40 {
                (404, took)
            } else {
                (200, took)
            };
            let size = 200 + dice.below(40_000);
            (format!("{ip} - - \"GET {path} HTTP/1.1\" {status} {size} {took}ms"), luck < 8)
        }
        LogStyle::Json => {
            let id = hex(dice, 12);
            let stamp = rfc3339(at.0);
            let level = level.to_lowercase();
            let text = format!(
                r#"{{"time":"{stamp}","level":"{level}","msg":"{words}","path":"{path}","ms":{took},"request":"{id}"}}"#
            );
            (text, luck < 8)
        }
        LogStyle::App => (format!("{level} {words} n={n} took={took}ms peer={ip}"), bad),
    }
}

/// The first place that is wanted.
fn first_place(unit: &Unit, wanted: &LogWanted, now: Ms, stamp: &dyn Fn(Ms) -> Millis) -> Place {
    let most = wanted.tail.map_or(LOG_KEPT, u64::from).min(LOG_KEPT);
    let mut left = most;
    let mut place = Place { run: unit.runs.len(), line: 0 };
    for (index, run) in unit.runs.iter().enumerate().rev() {
        let lines = written(unit, index, run, now);
        place = Place { run: index, line: lines.saturating_sub(left) };
        left = left.saturating_sub(lines);
        if left == 0 {
            break;
        }
    }
    wanted.since.map_or(place, |since| place.max(since_place(unit, since, now, stamp)))
}

/// The first place whose line was written at that stamp or later.
fn since_place(unit: &Unit, since: Millis, now: Ms, stamp: &dyn Fn(Ms) -> Millis) -> Place {
    for (index, run) in unit.runs.iter().enumerate() {
        let total = written(unit, index, run, now);
        let is_late = |line: u64| {
            line_at(unit, Place { run: index, line }, total, now, stamp).is_some_and(|l| l.at >= since)
        };
        let (mut low, mut high) = (0, total);
        while low < high {
            let middle = low + (high - low) / 2;
            if is_late(middle) {
                high = middle;
            } else {
                low = middle + 1;
            }
        }
        if low < total || index + 1 == unit.runs.len() {
            return Place { run: index, line: low };
        }
    }
    Place::default()
}

/// One reader of one log.
struct Tail {
    host: SimHost,
    id: ContainerId,
    place: Place,
    /// Where a log that is not followed ends: the time when it was opened.
    until: Option<Ms>,
    session: u64,
    lines: VecDeque<RawLine>,
    over: bool,
}

impl SimHost {
    /// Opens a log, from the place that is wanted.
    pub(super) fn open_log(
        &self,
        id: &ContainerId,
        wanted: &LogWanted,
    ) -> Outcome<BoxStream<'static, Outcome<RawLine>>> {
        let (state, now) = self.state();
        let unit = state.unit(id)?;
        let place = first_place(unit, wanted, now, &|at| state.stamp(at));
        let tail = Tail {
            host: self.clone(),
            id: id.clone(),
            place,
            until: (!wanted.follow).then_some(now),
            session: state.session,
            lines: VecDeque::new(),
            over: false,
        };
        Ok(stream::unfold(tail, Tail::next).boxed())
    }
}

impl Tail {
    async fn next(mut self) -> Option<(Outcome<RawLine>, Tail)> {
        loop {
            if let Some(line) = self.lines.pop_front() {
                return Some((Ok(line), self));
            }
            if self.over {
                return None;
            }
            let mut changed = self.host.watch();
            match self.fill() {
                Ok(_) if !self.lines.is_empty() => tokio::task::consume_budget().await,
                Ok(Some(wake)) => self.host.rest(wake, &mut changed).await,
                Ok(None) => return None,
                Err(fault) => {
                    self.over = true;
                    return Some((Err(fault), self));
                }
            }
        }
    }

    /// Makes the next lines; gives when to look again, or nothing when the log is at its end.
    fn fill(&mut self) -> Outcome<Option<Option<Ms>>> {
        let host = self.host.clone();
        let (state, now) = host.state();
        let now = self.until.unwrap_or(now);
        if state.session != self.session {
            return Err(host.unreachable());
        }
        let fault = state.next_turn();
        if state.condition.link == Link::Hung {
            return Ok(Some(fault));
        }
        let Some(unit) = state.units.get(&self.id) else { return Ok(None) };
        let unit = unit.clone();
        let skew = state.stamp(0);
        drop(state);
        let stamp = |at: Ms| Millis(skew.0.saturating_add(at));
        while let Some(run) = unit.runs.get(self.place.run) {
            let total = written(&unit, self.place.run, run, now);
            let until = total.min(self.place.line + BATCH);
            let places = (self.place.line..until).map(|line| Place { run: self.place.run, line });
            self.lines.extend(places.filter_map(|p| line_at(&unit, p, total, now, &stamp)));
            self.place.line = self.place.line.max(until);
            if !self.lines.is_empty() || run.ended(now).is_none() {
                break;
            }
            self.place = Place { run: self.place.run + 1, line: 0 };
        }
        Ok(self.again(&unit, now, fault))
    }

    fn again(&self, unit: &Unit, now: Ms, fault: Option<Ms>) -> Option<Option<Ms>> {
        if self.until.is_some() || (!unit.runs.is_empty() && self.place.run >= unit.runs.len()) {
            return None;
        }
        let run = unit.runs.get(self.place.run);
        let next = run.and_then(|run| {
            if let Some(play) = &unit.play {
                let (at, ..) = play.lines.get(usize::try_from(self.place.line).ok()?)?;
                return Some((run.start + at).max(now + 1));
            }
            let gap = gap(&unit.behaviour)?;
            Some(time_of(unit, self.place.run, run.start, self.place.line, gap).max(now + 1))
        });
        let end = run.and_then(|run| run.end.as_ref().map(|end| end.at));
        Some([next, end, fault].into_iter().flatten().min())
    }
}
