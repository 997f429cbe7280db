//! How far an image is, and how a prewarm stands on each host, in words.

use std::collections::BTreeMap;

use crate::base::ids::HostId;
use crate::base::text::{self, safe, took};
use crate::model::coverage::{Coverage, Holds, SiteHolds, listed_as};
use crate::model::prewarm::{Came, HostWarm, PrewarmView, Proof, WarmState};
use crate::model::world::World;
use crate::view::units;

/// How far an image is: how many hosts hold it, what the others pull and from where, how long that takes, and warnings.
pub fn sentences(found: &Coverage) -> Vec<String> {
    let (all, held, lack) = (found.hosts.len(), found.count(Holds::Yes), found.lack());
    let mut out = vec![format!("{held} of {} hold the image", text::count(all as u64, "host"))];
    let (other, unknown) = (found.count(Holds::Other), found.count(Holds::Unknown));
    if other > 0 {
        out.push(format!("{} another image under that name", have(other)));
    }
    if unknown > 0 {
        out.push(format!("of {} it is not known", text::count(unknown.into(), "host")));
    }
    if lack == 0 {
        return out;
    }
    out.push(match (found.bytes(), &found.unweighed) {
        (Some(bytes), _) => {
            let each = units::transfer(bytes);
            let sum = units::transfer(bytes.saturating_mul(lack.into()));
            match lack {
                1 => format!("{} it: up to {each}", pull(lack)),
                _ => format!("{} it: up to {each} each, {sum} together", pull(lack)),
            }
        }
        (None, why) => {
            let why = why.as_deref().unwrap_or("its registry was not asked");
            format!("{} it; how much is not known: {}", pull(lack), safe(why))
        }
    });
    out.extend(found.sites.iter().filter(|s| s.lack > 0).map(site));
    out.push(match found.eta_ms {
        Some(ms) => format!("from pulls measured there it takes about {}", took(ms)),
        None => {
            "how long it takes is not known: no pull has been measured at all of these sites yet".to_owned()
        }
    });
    out.extend(found.warnings.iter().map(|w| format!("warning: {}", safe(w))));
    out
}

/// Hosts of one reason that are named; of more the number is said.
const NAMED: usize = 3;

/// The hosts that are left out, a line for each reason.
pub fn left_out(found: &Coverage) -> Vec<String> {
    let mut by_reason: BTreeMap<&str, Vec<&HostId>> = BTreeMap::new();
    for (host, why) in &found.left_out {
        by_reason.entry(why).or_default().push(host);
    }
    let line = |(why, hosts): (&str, Vec<&HostId>)| {
        let mut names: Vec<String> = hosts.iter().take(NAMED).map(ToString::to_string).collect();
        if hosts.len() > NAMED {
            names.push(format!("{} more", hosts.len() - NAMED));
        }
        format!("left out: {} ({}): {}", text::count(hosts.len() as u64, "host"), names.join(", "), safe(why))
    };
    by_reason.into_iter().map(line).collect()
}

fn have(hosts: u32) -> String {
    if hosts == 1 { "1 host has".to_owned() } else { format!("{hosts} hosts have") }
}

fn pull(hosts: u32) -> String {
    if hosts == 1 { "1 host has to pull".to_owned() } else { format!("{hosts} hosts have to pull") }
}

fn site(of: &SiteHolds) -> String {
    let name = of.site.as_ref().map_or_else(|| "hosts of no site".to_owned(), |s| format!("site {s}"));
    let has = match (of.has, &of.why) {
        (Some(true), _) => ", which holds it",
        (Some(false), _) => ", which does not hold it yet",
        (None, Some(_)) => ", which could not be asked",
        (None, None) => "",
    };
    let over = of.line.as_ref().filter(|_| of.has != Some(true)).map(|l| format!(", over {}", safe(l)));
    let eta = of.eta_ms.map(|ms| format!(", about {}", took(ms))).unwrap_or_default();
    format!(
        "{name}: {} of {} from {}{has}{}{eta}",
        of.lack,
        of.hosts,
        safe(&of.from),
        over.unwrap_or_default()
    )
}

/// The shortest form, for the foot of the screen: `image on 3 of 5 hosts, 2 pull 1.2 GB each, ~40 s`.
pub fn short(found: &Coverage) -> String {
    let (all, held, lack) = (found.hosts.len(), found.count(Holds::Yes), found.lack());
    let mut out = format!("image on {held} of {}", text::count(all as u64, "host"));
    if lack > 0 {
        let each = found.bytes().map(|b| format!(" {} each", units::transfer(b))).unwrap_or_default();
        out.push_str(&format!(", {lack} to pull{each}"));
        out.push_str(&found.eta_ms.map_or_else(String::new, |ms| format!(", ~{}", took(ms))));
    }
    out
}

/// One host of a prewarm as a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WarmRow {
    /// The host.
    pub host: String,
    /// Its site, or `-`.
    pub site: String,
    /// How it stands, in one word.
    pub state: &'static str,
    /// The proof, how far it is, what it waits for, or why it failed.
    pub how: String,
}

/// The hosts of a prewarm: failed ones first, then what is on its way, what waits, what has it.
pub fn host_rows(view: &PrewarmView) -> Vec<WarmRow> {
    let rank = |h: &HostWarm| match h.state {
        WarmState::Failed(_) => 0,
        WarmState::Coming { .. } => 1,
        WarmState::Waiting(_) => 2,
        WarmState::Held(_) => 3,
    };
    let mut hosts: Vec<(&HostId, &HostWarm)> = view.hosts.iter().collect();
    hosts.sort_by_key(|(id, h)| (rank(h), *id));
    let row = |(id, host): (&HostId, &HostWarm)| WarmRow {
        host: id.to_string(),
        site: host.site.as_ref().map_or_else(|| "-".to_owned(), ToString::to_string),
        state: host.state.word(),
        how: how(host),
    };
    hosts.into_iter().map(row).collect()
}

fn how(host: &HostWarm) -> String {
    match &host.state {
        WarmState::Waiting(why) => safe(why).into_owned(),
        WarmState::Failed(why) if host.tries > 1 => format!("{} ({} attempts)", safe(why), host.tries),
        WarmState::Failed(why) => safe(why).into_owned(),
        WarmState::Held(proof) => proved(proof),
        WarmState::Coming { from, progress } => {
            let from = from.as_ref().map(|host| format!("from {host}")).unwrap_or_default();
            let Some(p) = progress else {
                return if from.is_empty() { "begun".to_owned() } else { format!("{from}, begun") };
            };
            let layers = match p.of_layers {
                0 => String::new(),
                all => format!(", {} of {} layers", p.layers, all),
            };
            let (have, all) = (units::transfer(p.bytes), units::transfer(p.of));
            let sep = if from.is_empty() { "" } else { ", " };
            format!("{from}{sep}{} %, {have} of {all}{layers}", p.thousandths / 10)
        }
    }
}

/// What proves that a host has an image, and how it came, in words.
fn proved(proof: &Proof) -> String {
    let by = match &proof.digest {
        Some(digest) => digest.to_string(),
        None => format!("by its id {}", proof.id),
    };
    match &proof.came {
        Came::WasThere => format!("{by}, was there"),
        Came::Pulled(reference) => format!("{by}, pulled as {} in {}", safe(reference), took(proof.ms)),
        Came::From(host) => format!("{by}, from {host} in {}", took(proof.ms)),
    }
}

/// Hosts whose lines are listed one by one in a description.
const LISTED: usize = 200;

/// A prewarm in detail, a line a host.
pub fn described(view: &PrewarmView) -> Vec<String> {
    let counts = view.counts();
    let mut out = vec![format!("image: {}", safe(&view.image))];
    out.push(match (&view.digest, &view.unproved) {
        (Some(digest), _) => format!("digest: {digest}"),
        (None, Some(why)) => format!("digest: not known ({}): each host's own is listed", safe(why)),
        (None, None) => "digest: its registry is being asked".to_owned(),
    });
    out.extend(view.size.map(|bytes| format!("size: {} to transfer at most", units::transfer(bytes))));
    out.push(format!(
        "hosts: {} held, {} on their way, {} waiting, {} failed",
        counts.held, counts.coming, counts.waiting, counts.failed
    ));
    out.push(String::new());
    let rows = host_rows(view);
    out.extend(rows.iter().take(LISTED).map(|r| format!("{}: {}, {}", r.host, r.state, r.how)));
    if rows.len() > LISTED {
        out.push(format!("… and {} more: `longshore ops {}` lists them all", rows.len() - LISTED, view.op));
    }
    out
}

/// Where an image is held, as hosts have listed it: a line for each different image that bears the name.
pub fn held_where(world: &World, image: &str) -> Vec<String> {
    let name = listed_as(image);
    let mut by_digest: Vec<(String, Vec<&HostId>)> = Vec::new();
    let (mut missing, mut unknown) = (0_u32, 0_u32);
    for (id, host) in &world.hosts {
        let Some(images) = host.images.as_ref().filter(|_| host.is_live()) else {
            unknown += 1;
            continue;
        };
        let Some(found) = images.get(&name) else {
            missing += 1;
            continue;
        };
        let digest = match &found.digest {
            Some(digest) => digest.safe().into_owned(),
            None => format!("no registry's digest, id {}", found.id),
        };
        match by_digest.iter_mut().find(|(d, _)| *d == digest) {
            Some((_, hosts)) => hosts.push(id),
            None => by_digest.push((digest, vec![id])),
        }
    }
    let mut out: Vec<String> = by_digest
        .into_iter()
        .map(|(digest, hosts)| {
            let names: Vec<&str> = hosts.iter().take(8).map(|h| h.as_str()).collect();
            let more = if hosts.len() > names.len() { ", …" } else { "" };
            let count = text::count(hosts.len() as u64, "host");
            format!("held-on: {count} ({}{more}), {digest}", names.join(", "))
        })
        .collect();
    if out.is_empty() {
        out.push("held-on: no host that answers".to_owned());
    }
    out.push(format!("not-held-on: {}", text::count(missing.into(), "host")));
    if unknown > 0 {
        out.push(format!(
            "not-known-of: {} (images not listed, or no answer)",
            text::count(unknown.into(), "host")
        ));
    }
    out
}
