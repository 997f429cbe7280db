//! Risks of hosts and sites.

use crate::base::clock::Millis;
use crate::base::ids::HostId;
use crate::base::text;
use crate::model::host::{Duty, HostState, HostView, Need, Seen};
use crate::model::world::World;
use crate::view::advice::{Advice, DAY_MS, Severity};
use crate::view::units;

/// A host that has been lost for longer will hardly come back by itself.
const LOST_LONG_MS: u64 = DAY_MS;
/// A host that has been kept out of service for longer was perhaps forgotten.
const RESTING_LONG_MS: u64 = 7 * DAY_MS;

/// Adds the risks of all hosts and sites.
pub fn add(world: &World, now: Millis, out: &mut Vec<Advice>) {
    for (name, site) in world.sites.iter() {
        if let Some(since) = site.lost.filter(|at| now.since(*at) > LOST_LONG_MS) {
            let hosts = text::count(u64::from(site.hosts), "host");
            let age = units::age(now.since(since));
            out.push(Advice {
                risk: "site lost",
                severity: Severity::High,
                subject: format!("site {name}"),
                evidence: format!("all of its {hosts} have not answered for {age}"),
                command: format!("longshore hosts give-up --site {name}"),
            });
        }
    }
    for (id, host) in &world.hosts {
        let site = host.record.site.as_ref().and_then(|s| world.sites.get(s));
        if site.is_none_or(|s| s.lost.is_none()) {
            out.extend(lost(id, host, now));
        }
        out.extend(resting(id, host, now));
        out.extend(overcommitted(id, host));
    }
}

fn lost(id: &HostId, host: &HostView, now: Millis) -> Option<Advice> {
    let Seen::Lost { last, .. } = &host.seen else { return None };
    let silent = now.since(*last);
    if silent <= LOST_LONG_MS {
        return None;
    }
    let held = text::count(u64::from(host.taken.containers), "container");
    let gone = host.taken.containers == 0 || host.record.given_up.is_some();
    Some(Advice {
        risk: "host lost",
        severity: if gone { Severity::Low } else { Severity::Medium },
        subject: format!("host {id}"),
        evidence: format!("has not answered for {}; {held} of ours on record there", units::age(silent)),
        command: format!("longshore hosts {} {id}", if gone { "remove" } else { "give-up" }),
    })
}

fn resting(id: &HostId, host: &HostView, now: Millis) -> Option<Advice> {
    let (by, at, risk, verb) = match &host.record.duty {
        Duty::Cordoned { by, at } => (by, *at, "cordoned long", "undrain"),
        Duty::Drained { by, at } => (by, *at, "drained long", "remove"),
        Duty::Active | Duty::Draining { .. } => return None,
    };
    let age = now.since(at);
    let has = match host.capacity() {
        Need { cpu_milli, memory, .. } if cpu_milli > 0 => {
            format!("; its {} cores and {} lie idle", cpu_milli / 1000, text::bytes(memory))
        }
        _ => String::new(),
    };
    (age > RESTING_LONG_MS && host.state_at(now) != HostState::Lost).then(|| Advice {
        risk,
        severity: Severity::Low,
        subject: format!("host {id}"),
        evidence: format!("takes no containers for {} by word of {}{has}", units::age(age), text::safe(by)),
        command: format!("longshore hosts {verb} {id}"),
    })
}

fn overcommitted(id: &HostId, host: &HostView) -> Option<Advice> {
    let (all, taken) = (host.capacity(), host.taken.need);
    let sorts = [
        ("CPU", taken.cpu_milli, all.cpu_milli),
        ("memory", taken.memory, all.memory),
        ("processes", taken.pids, all.pids),
        ("disk", taken.disk, all.disk),
        ("bandwidth", taken.bandwidth, all.bandwidth),
    ];
    let over: Vec<String> = sorts
        .iter()
        .filter(|(_, taken, all)| *all > 0 && taken > all)
        .map(|(name, taken, all)| format!("{name} {}", units::percent(*taken, *all)))
        .collect();
    (!over.is_empty()).then(|| Advice {
        risk: "overcommitted",
        severity: Severity::Medium,
        subject: format!("host {id}"),
        evidence: format!("reserved of what it has: {}", over.join(", ")),
        command: "longshore rebalance".to_owned(),
    })
}
