//! Scores of hosts: how full a host would be, how strong it is, and hashes that break ties the same way every time.

use crate::model::host::{HostFacts, HostRecord, Need};
use crate::plan::place::books::Books;

/// What a container that reserves nothing counts for fullness (Kubernetes' scheduler: 100 millicores, 200 MB).
const UNSTATED: (u64, u64) = (100, 200 << 20);

/// What a host that does not tell its capacity counts as having: room for a hundred of such.
const UNKNOWN: (u64, u64) = (100 * UNSTATED.0, 100 * UNSTATED.1);

/// CPU and memory of one container as they count for fullness.
pub(super) fn weight(need: &Need) -> (u64, u64) {
    let or = |n: u64, unstated: u64| if n == 0 { unstated } else { n };
    (or(need.cpu_milli, UNSTATED.0), or(need.memory, UNSTATED.1))
}

fn size(cap: &Need) -> (f64, f64) {
    let or = |n: u64, unknown: u64| if n == 0 { unknown as f64 } else { n as f64 };
    (or(cap.cpu_milli, UNKNOWN.0), or(cap.memory, UNKNOWN.1))
}

/// Ten to the power of the free share of CPU and of memory (Nomad's `computeFreePercentage`).
pub(super) fn free(cap: &Need, taken: (u64, u64)) -> (f64, f64) {
    let (cpu, memory) = size(cap);
    (10f64.powf(1.0 - taken.0 as f64 / cpu), 10f64.powf(1.0 - taken.1 as f64 / memory))
}

/// By what one more container divides these: both are equal for all hosts of a class.
pub(super) fn after(cap: &Need, need: &Need) -> (f64, f64) {
    let ((cpu, memory), weight) = (size(cap), weight(need));
    (10f64.powf(-(weight.0 as f64) / cpu), 10f64.powf(-(weight.1 as f64) / memory))
}

/// Nomad's `ScoreFitSpread` (structs/funcs.go), from the sum of the two powers. Not clamped, so that hosts that are more
/// than full keep their order.
pub(super) fn fullness(sum: f64) -> f64 {
    (sum - 2.0) / 18.0
}

/// The best that any host of a class can be after one more container, when `sum` is the best before it.
pub(super) fn best_fullness(sum: f64, after: (f64, f64)) -> f64 {
    let (high, low) = (after.0.max(after.1), after.0.min(after.1));
    let most = sum.min(10.0);
    fullness(high * most + low * (sum - most))
}

/// A host that holds something already is better to fill by this.
const IN_USE: f64 = 0.25;

/// Whatever is left counts by this, beside how uneven it is.
const LEFT: f64 = 0.1;

/// So little of a mean host is nothing.
const NOTHING: f64 = 0.03;

/// How hosts are filled. Nomad's and best fit's "the fullest" leave hosts with memory but no CPU, or the other way round: on
/// unequal hosts they place fewer than chance does. So what is left shall be even, and little; a host in use comes first.
/// The weights are those that placed most on generated fleets with few hosts in use (`benches/place.rs`).
#[derive(Clone, Copy, Debug)]
pub(super) struct Packing {
    /// CPU and memory of a mean host.
    unit: (f64, f64),
    /// Both are reserved: otherwise one of them tells nothing, and what is left need not be even.
    both: bool,
}

impl Packing {
    pub fn new(books: &Books, need: &Need, hosts_by_size: &[f64]) -> Packing {
        let (mut cpu, mut memory, mut hosts) = (0.0, 0.0, 0.0);
        for (of, times) in books.sizes.iter().zip(hosts_by_size) {
            let size = size(of);
            (cpu, memory, hosts) = (cpu + size.0 * times, memory + size.1 * times, hosts + times);
        }
        let unit = if hosts > 0.0 { (cpu / hosts, memory / hosts) } else { size(&Need::default()) };
        Packing { unit, both: need.cpu_milli > 0 && need.memory > 0 }
    }

    /// 0 to 1, for a host that holds so many, with one more container.
    pub fn score(&self, cap: &Need, taken: (u64, u64), need: &Need, holds: u32) -> f64 {
        let ((cpu, memory), weight) = (size(cap), weight(need));
        let left = |cap: f64, taken: u64, more: u64, unit: f64| {
            ((cap - taken.saturating_add(more) as f64) / unit).max(0.0)
        };
        let cpu = left(cpu, taken.0, weight.0, self.unit.0);
        let memory = left(memory, taken.1, weight.1, self.unit.1);
        let uneven = if self.both { ((cpu + NOTHING) / (memory + NOTHING)).ln().abs() } else { 0.0 };
        let in_use = if holds > 0 { IN_USE } else { 0.0 };
        in_use + (1.0 - IN_USE) / (1.0 + uneven + LEFT * (cpu + memory))
    }
}

/// How strong a host is, 0 to 1: cores and memory beside the strongest, less a twentieth for each year that it is older
/// than the newest, at most a quarter. `None` when its engine has not told.
pub(super) fn strength(facts: &HostFacts, record: &HostRecord, strongest: &Strongest) -> Option<f64> {
    if facts.cpus == 0 || facts.memory == 0 {
        return None;
    }
    let part = |n: u64, of: u64| n as f64 / of.max(1) as f64;
    let size = f64::midpoint(part(facts.cpus, strongest.cpus), part(facts.memory, strongest.memory));
    let years = match (record.in_service, strongest.newest) {
        (Some(at), Some(newest)) => (newest - at.0).max(0) as f64 / (365.25 * 86_400_000.0),
        _ => 0.0,
    };
    Some((size - (years / 20.0).min(0.25)).clamp(0.0, 1.0))
}

/// The strongest that there is of each.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Strongest {
    pub cpus: u64,
    pub memory: u64,
    pub newest: Option<i64>,
}

/// Core pools go to strong hosts; others leave these free, by a far weaker score: an even load counts more for them.
pub(super) fn class_fit(core: bool, strength: Option<f64>) -> f64 {
    let lean = strength.map_or(0.0, |s| 2.0 * s - 1.0);
    if core { lean * 0.5 } else { -lean * 0.05 }
}

/// Nomad's even spread (`evenSpreadScoreBoost`, spread.go) of a domain that holds `here` where others hold `min` to `max`.
pub(super) fn even(here: u32, min: u32, max: u32) -> f64 {
    let (h, lo, hi) = (f64::from(here), f64::from(min), f64::from(max));
    let value = match () {
        () if max == 0 => 1.0,
        () if min == max => -1.0,
        () if here != min && min == 0 => -1.0,
        () if here != min => (lo - h) / lo,
        () if min == 0 => 1.0,
        () => (hi - lo) / lo,
    };
    value.clamp(-1.0, 1.0)
}

/// Bits that sort as the number does.
pub(super) fn bits(value: f64) -> u64 {
    let bits = value.to_bits();
    if bits >> 63 == 0 { bits | (1 << 63) } else { !bits }
}

/// Back from [`bits`].
pub(super) fn from_bits(bits: u64) -> f64 {
    f64::from_bits(if bits >> 63 == 1 { bits & !(1 << 63) } else { !bits })
}

/// A hash of a text that never changes (FNV-1a, then mixed).
pub(super) fn hash(text: &str) -> u64 {
    let fnv = |h: u64, b: u8| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3);
    mix(text.bytes().fold(0xcbf2_9ce4_8422_2325, fnv))
}

/// SplitMix64's last step: spreads every bit over all.
pub(super) fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_sort_as_numbers_do_and_come_back() {
        let values = [-3.5, -0.1, 0.0, 1e-9, 2.0, 19.9, 20.0];
        assert!(values.windows(2).all(|w| bits(w[0]) < bits(w[1])));
        assert!(values.iter().all(|v| from_bits(bits(*v)) == *v));
    }

    #[test]
    fn an_empty_host_is_best_to_spread_and_a_host_in_use_that_is_left_even_is_best_to_fill() {
        assert_eq!((fullness(20.0), fullness(2.0)), (1.0, 0.0));
        let need =
            |cores: u64, gib: u64| Need { cpu_milli: cores * 1000, memory: gib << 30, ..Need::default() };
        let (cap, unit) = (need(16, 64), (16_000.0, (64u64 << 30) as f64));
        let score =
            |both, taken: Need, holds| Packing { unit, both }.score(&cap, weight(&taken), &need(2, 8), holds);
        assert!(score(true, need(4, 16), 2) > score(true, need(0, 0), 0));
        assert!(score(true, need(4, 16), 2) > score(true, need(12, 16), 2));
        assert!(score(false, need(4, 16), 2) < score(false, need(12, 16), 2));
        assert_eq!(score(true, need(14, 56), 7), 1.0);
    }

    #[test]
    fn evenness_follows_nomad() {
        assert_eq!(even(0, 0, 0), 1.0);
        assert_eq!(even(2, 2, 2), -1.0);
        assert_eq!(even(2, 2, 3), 0.5);
        assert_eq!(even(3, 2, 3), -0.5);
        assert_eq!(even(1, 0, 1), -1.0);
        assert_eq!(even(0, 0, 1), 1.0);
    }
}
