//! The load of simulated containers: a base, the time of day, and noise.

use crate::adapters::sim::chance::chance;
use crate::adapters::sim::unit::Unit;
use crate::adapters::sim::{Ms, length};
use crate::base::clock::Millis;
use crate::model::container::Usage;

/// The sine of each hour's angle in thousandths; the peak is at 14:00 UTC.
const DAY: [i64; 25] = [
    -866, -966, -1000, -966, -866, -707, -500, -259, 0, 259, 500, 707, 866, 966, 1000, 966, 866, 707, 500,
    259, 0, -259, -500, -707, -866,
];
const HOUR_MS: i64 = 3_600_000;
/// Noise changes so often, as often as people sample.
const NOISE_MS: i64 = 5_000;

/// What a container uses at a time; `None` when it does not run.
pub(super) fn usage(unit: &Unit, now: Ms, stamp: Millis) -> Option<Usage> {
    let run = unit.run(now).filter(|run| run.runs_at(now))?;
    let b = &unit.behaviour;
    let mut noise = chance(&[unit.seed, 8, stamp.0.div_euclid(NOISE_MS).unsigned_abs()]);
    let swing = thousandths(b.cpu_milli, b.daily_swing);
    let cpu = i64::try_from(b.cpu_milli).unwrap_or(0) + swing * day(stamp) / 1000;
    let cpu = length(cpu) * (900 + noise.below(200)) / 1000;
    let grown = length(now - run.start).saturating_mul(b.memory_growth_mb << 20) / length(HOUR_MS);
    let memory = (b.memory_mb << 20) / 1000 * (970 + noise.below(60)) + grown;
    let resources = unit.spec.as_ref().map(|spec| &spec.resources);
    let limit = resources.and_then(|r| r.memory_limit);
    let most = resources.and_then(|r| r.cpu_limit_milli).unwrap_or(u64::MAX);
    Some(Usage {
        cpu_milli: Some(cpu.min(most)),
        // Near its limit a container gives page cache back: it stays a little below.
        memory: memory.min(limit.map_or(u64::MAX, |limit| limit / 20 * 19)),
        memory_limit: limit,
    })
}

fn thousandths(of: u64, parts: u64) -> i64 {
    i64::try_from(of.saturating_mul(parts) / 1000).unwrap_or(0)
}

/// Where in the day it is, from -1000 to 1000.
fn day(stamp: Millis) -> i64 {
    let in_day = stamp.0.rem_euclid(24 * HOUR_MS);
    let (hour, rest) = (in_day / HOUR_MS, in_day % HOUR_MS);
    let at = |i: i64| usize::try_from(i).ok().and_then(|i| DAY.get(i)).copied().unwrap_or(0);
    at(hour) + (at(hour + 1) - at(hour)) * rest / HOUR_MS
}
