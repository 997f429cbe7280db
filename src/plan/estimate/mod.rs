//! How long it takes to bring an image to many hosts, and what that does to lines and registries: star, tree, peers.
//!
//! A lower bound from bandwidths alone: unpacking, slow disks and other traffic come on top. With `D` bytes for each host, `N`
//! hosts of a site, `L` its line, `U` the source's uplink, `R` its own registry's uplink, `W` a host's card and `P` pulls at a time:
//!
//! - star: `max(N·D/L, ⌈N/P⌉·D/W)` a site, and `ΣN·D/U` for the source (each host pulls over the line);
//! - tree: `max(D/L, D/U shared)`, then `max(N·D/R, ⌈N/P⌉·D/W)` (a registry has to have an image before it gives it on);
//! - peers: `D/L`, then `⌈log2 N⌉·D/W`: each host that has it gives it to one that has not, so their number doubles. No way can be
//!   quicker than `max(D/L, N·D/(L + N·W))` (Kurose and Ross, Computer Networking, section on peer-to-peer file distribution).

mod words;

use serde::{Deserialize, Serialize};

use crate::base::fault::{Fault, Kind, Outcome};
use crate::base::ids::{RegistryName, SiteName};
use crate::plan::estimate::words::{advice, gb, mbit, minutes};

/// A line that is full for longer than this is worth a warning.
pub const BUSY_MS: u64 = 10 * 60_000;

/// What is to be estimated. Bandwidths are in bits a second.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Question {
    /// The image's layers as they are transferred, in bytes; its whole length is one layer.
    pub layers: Vec<u64>,
    /// What hosts have of it already, in per cent.
    #[serde(default)]
    pub present_percent: u8,
    /// The registry that has it.
    pub source: RegistryName,
    /// What that registry can send.
    pub uplink: u64,
    /// What the card of a host can do, each way.
    pub card: u64,
    /// Hosts of one site that pull at a time; 0 lets all.
    #[serde(default)]
    pub parallel: u32,
    /// Hosts may give it to each other.
    #[serde(default)]
    pub peers: bool,
    /// Where it has to go.
    pub sites: Vec<SiteQuestion>,
}

/// One site.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SiteQuestion {
    /// Its name.
    pub site: SiteName,
    /// Its hosts that need the image.
    pub hosts: u32,
    /// Its line to the source, under the name that people use, and what it can carry (its budget, if it has one); none where the
    /// source stands.
    #[serde(default)]
    pub line: Option<(String, u64)>,
    /// What a registry of its own can send; none where it has none.
    #[serde(default)]
    pub registry: Option<u64>,
}

/// A way to bring the image there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Way {
    /// Each host pulls from the source.
    Star,
    /// Each site's registry pulls from the source, and its hosts from it.
    Tree,
    /// One host of each site pulls from the source, and hosts give it on.
    Peers,
}

impl Way {
    /// The word for it.
    pub fn noun(self) -> &'static str {
        match self {
            Way::Star => "star",
            Way::Tree => "tree",
            Way::Peers => "peers",
        }
    }
}

/// What a line carries.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LineLoad {
    /// The line.
    pub line: String,
    /// Bytes over it.
    pub bytes: u64,
    /// For so long it is full, in milliseconds.
    pub full_ms: u64,
}

/// What a registry has to bear at most.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Peak {
    /// The source, or a site whose own registry it is.
    pub at: String,
    /// Pulls at a time.
    pub pulls: u64,
    /// Bits a second that they can take together, up to its uplink.
    pub bits_per_s: u64,
}

/// One way, worked out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Estimate {
    /// Which.
    pub way: Way,
    /// Until the last host has it, in milliseconds.
    pub ms: u64,
    /// What the lines carry.
    pub lines: Vec<LineLoad>,
    /// What the registries bear.
    pub peaks: Vec<Peak>,
    /// The arithmetic, a sentence a line.
    pub steps: Vec<String>,
}

/// The answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// The ways that there are; the star is always the first.
    pub ways: Vec<Estimate>,
    /// The way to take.
    pub best: Way,
    /// Which one and why.
    pub advice: String,
    /// Lines that a star would fill for long.
    pub warnings: Vec<String>,
}

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

impl Question {
    /// Bytes that each host lacks.
    pub fn lacking(&self) -> u64 {
        let whole: u128 = self.layers.iter().map(|l| u128::from(*l)).sum();
        u64::try_from(whole * u128::from(100 - self.present_percent.min(100)) / 100).unwrap_or(u64::MAX)
    }

    /// Hosts of a site that pull at a time.
    fn at_a_time(&self, hosts: u32) -> u32 {
        if self.parallel == 0 { hosts } else { hosts.min(self.parallel) }
    }
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
