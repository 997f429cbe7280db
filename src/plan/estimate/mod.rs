//! How long it takes to bring an image to many hosts, and what that does to lines and registries: star, tree, peers.
//!
//! A lower bound from bandwidths alone: unpacking, slow disks and other traffic come on top. With `D` bytes for each host, `N`
//! hosts of a site, `L` its line, `U` the source's uplink, `R` its own registry's uplink, `W` a host's card and `P` pulls at a time:
//!
//! - star: `max(N·D/L, ⌈N/P⌉·D/W)` a site, and `ΣN·D/U` for the source (each host pulls over the line);
//! - tree: `max(D/L, D/U shared)`, then `max(N·D/R, ⌈N/P⌉·D/W)` (a registry has to have an image before it gives it on);
//! - peers: `D/L`, then `⌈log2 N⌉·D/W`: each host that has it gives it to one that has not, so their number doubles. No way can be
//!   quicker than `max(D/L, N·D/(L + N·W))` (Kurose and Ross, Computer Networking, section on peer-to-peer file distribution).

pub mod words;

use crate::base::fault::{Fault, Kind, Outcome};
use crate::model::estimate::{Answer, Estimate, LineLoad, Peak, Question, SiteQuestion, Way};
use crate::plan::estimate::words::{advice, gb, mbit, minutes};

/// A line that is full for longer than this is worth a warning.
pub const BUSY_MS: u64 = 10 * 60_000;

/// Works out all ways that there are.
///
/// # Errors
/// `Invalid` when a number makes no sense.
pub fn estimate(question: &Question) -> Outcome<Answer> {
    check(question)?;
    let mut ways = vec![of(question, Way::Star)];
    if question.sites.iter().any(|s| s.registry.is_some()) {
        ways.push(of(question, Way::Tree));
    }
    if question.peers {
        ways.push(of(question, Way::Peers));
    }
    let (best, advice) = advice(question, &ways);
    let warnings = ways.first().map(|star| warnings(question, star)).unwrap_or_default();
    Ok(Answer { ways, best, advice, warnings })
}

fn check(question: &Question) -> Outcome<()> {
    let wrong = |why: &str| Err(Fault::new(Kind::Invalid, format!("this cannot be estimated: {why}")));
    let lines = question.sites.iter().filter_map(|s| s.line.as_ref().map(|(_, bits)| *bits));
    let rates = lines.chain(question.sites.iter().filter_map(|s| s.registry));
    if rates.chain([question.uplink, question.card]).any(|bits| bits == 0) {
        return wrong("a bandwidth is 0");
    }
    if question.present_percent > 100 {
        return wrong("hosts have more than 100 % of the image");
    }
    if question.sites.iter().all(|s| s.hosts == 0) {
        return wrong("no host needs the image");
    }
    Ok(())
}

/// How long so many bytes take at so many bits a second, in milliseconds.
fn ms(bytes: u64, bits_per_s: u64) -> u64 {
    let bits = u128::from(bytes) * 8000;
    u64::try_from(bits.div_ceil(u128::from(bits_per_s.max(1)))).unwrap_or(u64::MAX)
}

/// Rounds of doubling until all have it.
fn rounds(hosts: u32) -> u32 {
    hosts.max(1).next_power_of_two().trailing_zeros()
}

fn of(question: &Question, way: Way) -> Estimate {
    let data = question.lacking();
    let mut out = Estimate { way, ms: 0, lines: Vec::new(), peaks: Vec::new(), steps: Vec::new() };
    let sites: Vec<&SiteQuestion> = question.sites.iter().filter(|s| s.hosts > 0).collect();
    // How many copies leave the source for a site, and how many of them at a time.
    let copies = |site: &SiteQuestion| match way {
        Way::Tree if site.registry.is_some() => (1, 1),
        Way::Peers => (1, 1),
        Way::Star | Way::Tree => (u64::from(site.hosts), u64::from(question.at_a_time(site.hosts))),
    };
    let all: u64 = sites.iter().map(|s| copies(s).0).sum();
    let total = data.saturating_mul(all);
    let up = ms(total, question.uplink);
    let (source, uplink) = (&question.source, mbit(question.uplink));
    out.steps.push(format!(
        "{source} sends {all} x {} = {}: {} at {uplink}",
        gb(data),
        gb(total),
        minutes(up)
    ));
    for site in &sites {
        let (n, _) = copies(site);
        let first = to_site(question, site, n, up, &mut out);
        out.ms = out.ms.max(first.saturating_add(within(question, site, way, &mut out)));
    }
    let pulls: u64 = sites.iter().map(|s| copies(s).1).sum();
    let bits_per_s = question.uplink.min(question.card.saturating_mul(pulls));
    out.peaks.insert(0, Peak { at: source.to_string(), pulls, bits_per_s });
    out.steps.push(format!("{}: the last host has it after {}", way.noun(), minutes(out.ms)));
    out
}

/// Until a site has its copies from the source.
fn to_site(question: &Question, site: &SiteQuestion, copies: u64, up: u64, out: &mut Estimate) -> u64 {
    let data = question.lacking();
    // (One after another where fewer than all may pull at a time; a single copy is pulled at the speed of one card.)
    let waves = copies.div_ceil(u64::from(question.at_a_time(site.hosts).max(1)));
    let own = ms(data, question.card).saturating_mul(waves);
    let Some((line, bits)) = &site.line else { return up.max(own) };
    let bytes = data.saturating_mul(copies);
    let full_ms = ms(bytes, *bits);
    let (each, sum, took) = (gb(data), gb(bytes), minutes(full_ms));
    out.steps.push(format!("{line} carries {copies} x {each} = {sum}: {took} at {}", mbit(*bits)));
    out.lines.push(LineLoad { line: line.clone(), bytes, full_ms });
    up.max(own).max(full_ms)
}

/// Until the hosts of a site have it, once it has its copies.
fn within(question: &Question, site: &SiteQuestion, way: Way, out: &mut Estimate) -> u64 {
    let (data, name) = (question.lacking(), &site.site);
    match (way, site.registry) {
        (Way::Tree, Some(registry)) => {
            let bytes = data.saturating_mul(u64::from(site.hosts));
            let at_a_time = question.at_a_time(site.hosts);
            let own =
                ms(data, question.card).saturating_mul(u64::from(site.hosts.div_ceil(at_a_time.max(1))));
            let took = ms(bytes, registry).max(own);
            let (each, sum, hosts) = (gb(data), gb(bytes), site.hosts);
            out.steps.push(format!(
                "the registry of {name} sends {hosts} x {each} = {sum}: {} at {}, {at_a_time} hosts at a time",
                minutes(took),
                mbit(registry)
            ));
            let pulls = u64::from(at_a_time);
            let bits_per_s = registry.min(question.card.saturating_mul(pulls));
            out.peaks.push(Peak { at: name.to_string(), pulls, bits_per_s });
            took
        }
        (Way::Peers, _) => {
            let (rounds, one) = (rounds(site.hosts), ms(data, question.card));
            let took = one.saturating_mul(u64::from(rounds));
            out.steps.push(format!(
                "{} hosts of {name} have it after {rounds} rounds of doubling x {} = {}",
                site.hosts,
                minutes(one),
                minutes(took)
            ));
            took
        }
        (Way::Star | Way::Tree, _) => 0,
    }
}

/// Lines that the star fills for long.
fn warnings(question: &Question, star: &Estimate) -> Vec<String> {
    let of = |line: &str| {
        let named = |s: &&SiteQuestion| s.line.as_ref().is_some_and(|(name, _)| name == line);
        question.sites.iter().find(named)
    };
    let long = star.lines.iter().filter(|l| l.full_ms > BUSY_MS);
    long.filter_map(|load| {
        let site = of(&load.line)?;
        let (_, bits) = site.line.as_ref()?;
        let (each, sum, took) = (gb(question.lacking()), gb(load.bytes), minutes(load.full_ms));
        Some(format!("{} hosts x {each} over {} = {sum}, {took} at {}", site.hosts, load.line, mbit(*bits)))
    })
    .collect()
}

#[cfg(test)]
mod tests;
