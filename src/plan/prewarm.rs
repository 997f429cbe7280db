//! Prewarming, decided: which hosts are asked, which begin now and from whom, what the others wait for, and how the whole stands.
//!
//! An engine cannot be told to pull more slowly. So a rate is kept by beginning the pulls of a site so far apart that on the
//! average no more than it goes over the line: `size / rate` between two beginnings.

use std::collections::{BTreeMap, BTreeSet};

use crate::base::clock::Millis;
use crate::base::fault::{Fault, Kind};
use crate::base::ids::{HostId, SiteName};
use crate::base::text::{count, took};
use crate::model::estimate::{Question, SiteQuestion, Way};
use crate::model::operation::Progress;
use crate::model::prewarm::{Came, HostWarm, Prewarm, PrewarmView, WarmState};
use crate::model::site::Site;
use crate::plan::estimate::estimate;
use crate::plan::progress::Standing;

/// Hosts that are asked at a time whether they have the image: each answers within milliseconds.
const LOOKS_MAX: usize = 64;
/// Archives that one host gives at a time: more share its one card.
const GIVES_A_HOST: usize = 1;
/// So long between the attempts on one host; after the last of them it has failed.
const RETRY_MS: &[u64] = &[5_000, 20_000, 60_000];
/// A host that does not answer for so long is not waited for any more.
pub const GIVE_UP_MS: u64 = 600_000;

/// What the decision is made from.
pub struct Input<'a> {
    /// What is wanted.
    pub wanted: &'a Prewarm,
    /// Its hosts as they stand.
    pub hosts: &'a BTreeMap<HostId, HostWarm>,
    /// Hosts that have said whether they had it before.
    pub looked: &'a BTreeSet<HostId>,
    /// Hosts that are being asked.
    pub looking: &'a BTreeSet<HostId>,
    /// Sites, with their limits and registries.
    pub sites: &'a BTreeMap<SiteName, Site>,
    /// When the last pull of each site began.
    pub begun: &'a BTreeMap<Option<SiteName>, Millis>,
    /// How quick pulls and hand-overs of a site were.
    pub rates: &'a dyn Fn(Option<&SiteName>) -> Rates,
    /// Now.
    pub now: Millis,
}

/// Bytes a second, as measured; none until there was one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rates {
    /// Of one pull.
    pub pull: Option<u64>,
    /// Of one hand-over from host to host.
    pub give: Option<u64>,
}

/// What is to be done now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Next {
    /// Hosts to be asked whether they have it.
    pub look: Vec<HostId>,
    /// Hosts that begin, and the host that gives it; `None` for a pull.
    pub begin: Vec<(HostId, Option<HostId>)>,
    /// What the others wait for.
    pub waits: BTreeMap<HostId, String>,
    /// Look again then.
    pub wake_at: Option<Millis>,
}

/// What is to be done now.
pub fn next(input: &Input<'_>) -> Next {
    let mut next = Next::default();
    let mut sites: BTreeMap<Option<&SiteName>, Vec<(&HostId, &HostWarm)>> = BTreeMap::new();
    for (id, host) in input.hosts {
        sites.entry(host.site.as_ref()).or_default().push((id, host));
    }
    let mut room = LOOKS_MAX.saturating_sub(input.looking.len());
    for (id, host) in input.hosts.iter().filter(|(id, host)| is_open(host) && !input.looked.contains(*id)) {
        if host.silent.is_some() {
            next.waits.insert(id.clone(), "it does not answer".to_owned());
        } else if input.looking.contains(id) {
            next.waits.insert(id.clone(), "it is asked whether it has the image".to_owned());
        } else if let Some(at) = host.retry_at.filter(|at| *at > input.now) {
            next.waits.insert(id.clone(), again(host, at, input.now));
            next.wake_at = Some(next.wake_at.map_or(at, |w| w.min(at)));
        } else if room > 0 {
            room -= 1;
            next.look.push(id.clone());
        }
    }
    for (site, hosts) in sites {
        of_site(input, site, &hosts, &mut next);
    }
    next
}

/// True while something is still to be done there.
fn is_open(host: &HostWarm) -> bool {
    matches!(host.state, WarmState::Waiting(_))
}

fn of_site(input: &Input<'_>, site: Option<&SiteName>, hosts: &[(&HostId, &HostWarm)], next: &mut Next) {
    let named = site.map_or_else(|| "hosts of no site".to_owned(), |s| format!("site {s}"));
    let limit = site.and_then(|s| input.sites.get(s)).and_then(|s| s.limits.pulls);
    let at_a_time = limit.unwrap_or(u32::MAX).min(input.wanted.limit).max(1) as usize;
    let mut coming = hosts.iter().filter(|(_, h)| matches!(h.state, WarmState::Coming { .. })).count();
    let mut last = input.begun.get(&site.cloned()).copied();
    let mut gives = givers(hosts);
    let unknown = hosts.iter().any(|(id, h)| is_open(h) && h.silent.is_none() && !input.looked.contains(*id));
    let by_peers = from_peers(input, site, hosts);
    for (id, host) in hosts.iter().filter(|(id, host)| is_open(host) && input.looked.contains(*id)) {
        let id = (*id).clone();
        if host.silent.is_some() {
            next.waits.insert(id, "it does not answer".to_owned());
            continue;
        }
        if let Some(at) = host.retry_at.filter(|at| *at > input.now) {
            next.waits.insert(id, again(host, at, input.now));
            next.wake_at = Some(next.wake_at.map_or(at, |w| w.min(at)));
            continue;
        }
        if coming >= at_a_time {
            next.waits.insert(id, format!("{at_a_time} at a time at {named}"));
            continue;
        }
        if let Some(at) = spaced(input.wanted, last).filter(|at| *at > input.now) {
            next.waits.insert(id, format!("the rate lets the next begin in {}", took(at.since(input.now))));
            next.wake_at = Some(next.wake_at.map_or(at, |w| w.min(at)));
            continue;
        }
        // What could not be handed over is pulled.
        let giver = if by_peers && host.tries == 0 {
            match giver(&gives, unknown, coming) {
                Ok(giver) => giver,
                Err(why) => {
                    next.waits.insert(id, why.to_owned());
                    continue;
                }
            }
        } else {
            None
        };
        if let Some(count) = giver.as_ref().and_then(|g| gives.get_mut(g)) {
            *count += 1;
        }
        next.begin.push((id, giver));
        (coming, last) = (coming + 1, Some(input.now));
    }
}

/// That a host is tried again, when, and why.
fn again(host: &HostWarm, at: Millis, now: Millis) -> String {
    let why = host.why.as_deref().unwrap_or("it failed");
    format!("tried again in {}: {why}", took(at.since(now)))
}

/// When the rate lets the next one begin.
fn spaced(wanted: &Prewarm, last: Option<Millis>) -> Option<Millis> {
    let (rate, size, last) = (wanted.rate?, wanted.size?, last?);
    Some(last.plus(gap_ms(size, rate)))
}

/// Milliseconds between two beginnings so that no more than `rate` bytes a second go over a line on the average.
pub fn gap_ms(size: u64, rate: u64) -> u64 {
    u64::try_from(u128::from(size) * 1000 / u128::from(rate.max(1))).unwrap_or(u64::MAX)
}

/// Hosts that have it and answer, each with the number of hosts that it gives it to.
fn givers(hosts: &[(&HostId, &HostWarm)]) -> BTreeMap<HostId, usize> {
    let held = hosts.iter().filter(|(_, h)| matches!(h.state, WarmState::Held(_)) && h.silent.is_none());
    let gives = |id: &HostId| {
        let is = |h: &HostWarm| matches!(&h.state, WarmState::Coming { from: Some(from), .. } if from == id);
        hosts.iter().filter(|(_, h)| is(h)).count()
    };
    held.map(|(id, _)| ((*id).clone(), gives(id))).collect()
}

/// The host that gives it to the next one, or `None` when the next one has to pull it for the others.
fn giver(
    gives: &BTreeMap<HostId, usize>,
    unknown: bool,
    coming: usize,
) -> Result<Option<HostId>, &'static str> {
    let free = gives.iter().filter(|(_, n)| **n < GIVES_A_HOST).min_by_key(|(_, n)| **n);
    match free {
        Some((host, _)) => Ok(Some(host.clone())),
        None if !gives.is_empty() => Err("hosts that have it are giving it to others"),
        None if unknown => Err("until all hosts of its site have said whether they have it"),
        None if coming > 0 => Err("another host brings it to its site first"),
        None => Ok(None),
    }
}

/// Whether the hosts of a site give it to each other: only where that was allowed, a site without a registry of its own, and
/// not where the estimate from measured speeds says that pulling is as quick.
fn from_peers(input: &Input<'_>, site: Option<&SiteName>, hosts: &[(&HostId, &HostWarm)]) -> bool {
    let own = site.and_then(|s| input.sites.get(s)).is_some_and(|s| s.registry.is_some());
    if !input.wanted.from_peers || own || input.wanted.image.contains('@') {
        return false;
    }
    let Rates { pull: Some(pull), give: Some(give) } = (input.rates)(site) else { return true };
    let lacking = hosts.iter().filter(|(_, h)| !matches!(h.state, WarmState::Held(_))).count();
    quicker_by_peers(input.wanted.size.unwrap_or(1 << 20), lacking, pull, give)
}

/// What the estimate says of one site with these measured speeds, in bytes a second.
fn quicker_by_peers(size: u64, lacking: usize, pull: u64, give: u64) -> bool {
    let (Ok(site), Ok(source)) = ("site".parse::<SiteName>(), "registry".parse()) else { return false };
    let bits = |bytes: u64| bytes.saturating_mul(8).max(1);
    let hosts = u32::try_from(lacking).unwrap_or(u32::MAX);
    let question = Question {
        layers: vec![size],
        present_percent: 0,
        source,
        uplink: u64::MAX,
        card: bits(give),
        parallel: 0,
        peers: true,
        sites: vec![SiteQuestion {
            site,
            hosts,
            line: Some(("its line".to_owned(), bits(pull))),
            registry: None,
        }],
    };
    estimate(&question).is_ok_and(|answer| answer.best == Way::Peers)
}

/// Takes note of a failure on a host: it is tried again after a while, or it has failed.
pub fn failed(host: &mut HostWarm, fault: &Fault, from: Option<&HostId>, now: Millis) {
    // A registry that says no, or that the host does not reach, may do so only for now; an image that is not there stays away.
    let passing = !matches!(fault.kind, Kind::NotFound | Kind::Invalid | Kind::Fenced);
    host.why = Some(fault.to_string());
    // The next attempt is another way: that is tried at once.
    let wait = if from.is_some() && host.tries == 0 {
        Some(0)
    } else {
        RETRY_MS.get(host.tries as usize).copied().filter(|_| passing)
    };
    host.tries += 1;
    host.state = match wait {
        Some(ms) => {
            host.retry_at = Some(now.plus(ms));
            WarmState::Waiting(format!("tried again in {}: {fault}", took(ms)))
        }
        None => WarmState::Failed(fault.to_string()),
    };
}

/// Takes note of whether a host answers: one that is silent for too long has failed, whatever was on its way there.
pub fn heard(host: &mut HostWarm, answers: bool, now: Millis) {
    if host.state.is_over() {
        host.silent = (!answers).then(|| host.silent.unwrap_or(now));
        return;
    }
    if answers {
        host.silent = None;
        return;
    }
    let since = *host.silent.get_or_insert(now);
    if is_open(host) && now.since(since) >= GIVE_UP_MS {
        host.state = WarmState::Failed(format!("it has not answered for {}", took(GIVE_UP_MS)));
    }
}

/// How the whole stands, and its counters.
pub fn standing(view: &PrewarmView, now: Millis) -> (Progress, Standing) {
    let counts = view.counts();
    let failures = view.hosts.iter().filter_map(|(id, h)| match &h.state {
        WarmState::Failed(why) => Some((id, why)),
        _ => None,
    });
    let reason = failures.clone().next().map(|(id, why)| format!("{id}: {why}"));
    let all = u32::try_from(view.hosts.len()).unwrap_or(u32::MAX);
    let progress = Progress {
        target: all,
        placed: all - counts.waiting,
        pulling: counts.coming,
        created: counts.held,
        running: counts.held,
        healthy: counts.held,
        failed: counts.failed,
        reason: reason.clone(),
        eta_ms: eta_ms(view),
        bytes: view.hosts.values().map(arrived).sum(),
        ..Progress::default()
    };
    let standing = if counts.waiting + counts.coming > 0 {
        stuck(view, now).map_or(Standing::Moving, Standing::Stuck)
    } else if let Some(why) = reason {
        let more = if counts.failed > 1 { ", among them " } else { ": " };
        Standing::Failed(format!(
            "it is not on {} of {}{more}{why}",
            counts.failed,
            count(all.into(), "host")
        ))
    } else if view.digest.is_none() && view.different().len() > 1 {
        let ids: Vec<String> = view.different().into_iter().collect();
        Standing::Failed(format!("hosts have different images under this name: {}", ids.join(", ")))
    } else {
        Standing::Reached
    };
    (progress, standing)
}

fn arrived(host: &HostWarm) -> u64 {
    match &host.state {
        WarmState::Coming { progress, .. } => progress.map_or(0, |p| p.bytes),
        _ => 0,
    }
}

/// Why nothing goes on by itself: all that is left waits for hosts that do not answer.
fn stuck(view: &PrewarmView, now: Millis) -> Option<String> {
    let open: Vec<_> = view.hosts.iter().filter(|(_, h)| !h.state.is_over()).collect();
    let (id, host) = open.first()?;
    let since = host.silent?;
    let all = open.iter().all(|(_, h)| h.silent.is_some() && is_open(h));
    let left = took(GIVE_UP_MS.saturating_sub(now.since(since)));
    all.then(|| format!("{id} does not answer: it is waited for {left} more"))
}

/// From how long it took on hosts of this prewarm, and how many work at a time.
fn eta_ms(view: &PrewarmView) -> Option<u64> {
    let mut took: Vec<u64> = view
        .hosts
        .values()
        .filter_map(|h| match &h.state {
            WarmState::Held(proof) if proof.came != Came::WasThere => Some(proof.ms),
            _ => None,
        })
        .collect();
    took.sort_unstable();
    let median = *took.get(took.len() / 2)?;
    let counts = view.counts();
    let rounds = (counts.waiting + counts.coming).div_ceil(counts.coming.max(1));
    Some(median.saturating_mul(rounds.into()))
}

#[cfg(test)]
mod tests;
