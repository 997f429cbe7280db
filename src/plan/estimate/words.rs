//! Figures of an estimate in words, and the advice. Networks count in powers of ten, so all of this does.

use crate::model::estimate::{Estimate, Question, Way};

/// `1.2 GB`, `300 MB`.
pub fn gb(bytes: u64) -> String {
    tenths(bytes, &[("GB", 1_000_000_000), ("MB", 1_000_000), ("kB", 1000)], "B")
}

/// `100 Mbit/s`, `2.5 Gbit/s`.
pub fn mbit(bits_per_s: u64) -> String {
    tenths(bits_per_s, &[("Gbit/s", 1_000_000_000), ("Mbit/s", 1_000_000), ("kbit/s", 1000)], "bit/s")
}

/// `45 s`, `64 min`, `3.5 h`: whole minutes up to two hours, rounded to the nearest.
pub fn minutes(ms: u64) -> String {
    match ms {
        0..1_000 => format!("{}.{} s", ms / 1000, ms % 1000 / 100),
        1_000..120_000 => format!("{} s", (ms + 500) / 1000),
        120_000..7_200_000 => format!("{} min", (ms + 30_000) / 60_000),
        _ => tenths(ms, &[("h", 3_600_000)], "h"),
    }
}

/// With one digit behind the point unless that is 0 or the number has three digits before it.
fn tenths(n: u64, units: &[(&str, u64)], smallest: &str) -> String {
    let Some((unit, size)) = units.iter().find(|(_, size)| n >= *size) else {
        return format!("{n} {smallest}");
    };
    let tenths = (u128::from(n) * 10 + u128::from(size / 2)) / u128::from(*size);
    let (whole, rest) = (tenths / 10, tenths % 10);
    if rest == 0 || whole >= 100 { format!("{whole} {unit}") } else { format!("{whole}.{rest} {unit}") }
}

/// Which way to take, and why. A way that needs less is taken where it is not slower by more than a tenth: the star needs
/// nothing more, the tree registries that are there, peers that hosts work for each other.
pub fn advice(question: &Question, ways: &[Estimate]) -> (Way, String) {
    let quickest = ways.iter().map(|w| w.ms).min().unwrap_or(0);
    let near = |w: &&Estimate| w.ms <= quickest.saturating_add(quickest / 10);
    let (Some(best), Some(star)) = (ways.iter().find(near), ways.first()) else {
        return (Way::Star, String::new());
    };
    if best.way == Way::Star {
        let others = if ways.len() > 1 { "no other way is much quicker" } else { "there is no other way" };
        return (best.way, format!("star: all hosts have it after {}; {others}", minutes(best.ms)));
    }
    let hosts: u32 = question.sites.iter().map(|s| s.hosts).sum();
    let widest = star.lines.iter().max_by_key(|l| l.full_ms);
    let saved = widest.and_then(|before| {
        let after = best.lines.iter().find(|l| l.line == before.line)?;
        (after.bytes < before.bytes)
            .then(|| format!("{} carries {} instead of {}", before.line, gb(after.bytes), gb(before.bytes)))
    });
    let why =
        saved.unwrap_or_else(|| format!("{} does not send to all {hosts} hosts itself", question.source));
    let (way, took, instead) = (best.way.noun(), minutes(best.ms), minutes(star.ms));
    (best.way, format!("{way}: {took} instead of {instead}, because {why}"))
}
