//! All that is known of one object, as `key: value` lines, safe to show.

use crate::base::clock::Millis;
use crate::base::ids::{ContainerId, HostId, OpId, PoolId, SiteName, Slot};
use crate::base::text::{self, safe};
use crate::model::container::Owner;
use crate::model::holdings::{External, Holdings};
use crate::model::host::{Duty, HostView};
use crate::model::pace::{LAST, Pace, Paces};
use crate::model::world::World;
use crate::view::{coverage, hosts, ops, pools, sites, units};

/// A pool.
pub fn pool(world: &World, id: &PoolId, now: Millis) -> Vec<String> {
    let Some(view) = world.pool(id) else { return vec![format!("{id} is gone")] };
    let (pool, c) = (&view.pool, view.counts);
    let mut out = vec![format!("pool: {id}"), format!("image: {}", safe(&pool.spec.image))];
    out.extend(coverage::held_where(world, &pool.spec.image));
    out.extend([
        format!("wanted: {}", pool.target()),
        format!(
            "running: {} ({} healthy, {} unhealthy, {} failing)",
            c.running, c.healthy, c.unhealthy, c.failing
        ),
        format!("lost: {}", c.lost),
        format!("leaving: {}", c.leaving),
        format!("revision: r{} ({} containers are older)", pool.revision, c.outdated),
    ]);
    let limits = &pool.spec.limits;
    for (name, limit) in [("fewest", limits.min), ("most", limits.max), ("largest-step", limits.step)] {
        out.extend(limit.map(|n| format!("{name}: {n}")));
    }
    if pool.spec.protect {
        out.push("protected: yes, zero and removal ask for its name".to_owned());
    }
    if let Some(last) = &pool.last_scale {
        let sentence = pools::change_sentence(&last.by, last.from, last.to, last.at, now);
        out.push(format!("last-scale: {sentence} ({})", last.op));
    }
    out.extend(pools::trouble(view).map(|t| format!("trouble: {t}")));
    out.push(String::new());
    let spec = &pool.spec;
    if let Some(command) = &spec.command {
        out.push(format!("command: {}", safe(&command.join(" "))));
    }
    let port = |p: &crate::model::pool::Port| {
        let published = p.published.map_or_else(|| "any".to_owned(), |n| n.to_string());
        format!("port: {published} -> {}/{}", p.target, safe(&p.protocol))
    };
    out.extend(spec.ports.iter().map(port));
    out.extend(spec.mounts.iter().map(|m| format!("mount: {} -> {}", safe(&m.source), safe(&m.target))));
    out.extend(spec.networks.iter().map(|n| format!("network: {}", safe(&n.name))));
    let secret = "(value hidden: it may be a secret)";
    out.extend(spec.environment.keys().map(|k| format!("environment: {} = {secret}", safe(k))));
    out.extend(spec.labels.iter().map(|(k, v)| format!("label: {} = {}", safe(k), safe(v))));
    out
}

/// A slot of a pool, with its container.
pub fn slot(world: &World, id: &PoolId, number: Slot, now: Millis) -> Vec<String> {
    let found = world.pool(id).and_then(|p| p.slots.iter().find(|s| s.slot == number));
    let Some(slot) = found else { return vec![format!("{id}.{number} is gone")] };
    let mut out = vec![format!("instance: {id}.{number}"), format!("state: {}", slot.status.word())];
    if let crate::model::world::SlotStatus::Waiting(why) = &slot.status {
        out.push(format!("waits-for: {}", safe(why)));
    }
    if let Some(i) = &slot.instance {
        let made_for = if i.op.0 > 0 { i.op.to_string() } else { "made to mend".to_owned() };
        out.push(format!("generation: {} (revision r{}, {made_for})", i.generation, i.revision));
        out.push(format!("failures-in-a-row: {}", i.failures));
        out.extend(i.cause.as_ref().map(|c| format!("last-cause: {}", safe(c))));
        out.extend(i.retry_at.map(|at| format!("next-attempt: {} UTC", units::clock_seconds(at.0))));
    }
    match (&slot.host, &slot.container) {
        (Some(host), Some(id)) => out.extend(container(world, host, id, now)),
        (Some(host), None) => out.push(format!("host: {host}, no container there yet")),
        (None, _) => out.push("host: none yet".to_owned()),
    }
    out
}

/// A container.
pub fn container(world: &World, host: &HostId, id: &ContainerId, now: Millis) -> Vec<String> {
    let mut out = vec![format!("host: {host}")];
    out.extend(world.hosts.get(host).map(|h| {
        let (_, state, why) = hosts::stands(h, now);
        format!("host-state: {state}{}", why.map(|w| format!(", {w}")).unwrap_or_default())
    }));
    let Some(c) = world.container(host, id) else {
        out.push("container: gone since the list was made".to_owned());
        return out;
    };
    out.push(format!("container: {}", c.name));
    out.push(format!("id: {}", c.id));
    out.push(format!("image: {}", c.image));
    out.push(format!("engine-state: {}", c.state.word()));
    out.extend(c.exit.map(|status| format!("exit-status: {status}")));
    out.push(format!("made: {} ago", units::age(now.since(c.created))));
    out.extend(c.address.as_ref().map(|a| format!("address: {a}")));
    out.extend(c.ports.iter().map(|p| format!("port: {p}")));
    out.push(match &c.owner {
        Owner::Longshore(tag) => format!("owner: longshore {}, {tag}", safe(&tag.install.0)),
        Owner::Compose { project, service } => {
            format!("owner: compose {project}/{service} (not ours: never touched)")
        }
        Owner::Swarm { service } => format!("owner: swarm {service} (not ours: never touched)"),
        Owner::Nobody => "owner: none (not ours: never touched)".to_owned(),
    });
    if let Some(usage) = world.hosts.get(host).and_then(|h| h.usage.get(id)) {
        out.extend(usage.cpu_milli.map(|cpu| format!("cpu: {} cores", units::cores(cpu))));
        let limit = usage.memory_limit.map(|l| format!(" of {}", text::bytes(l))).unwrap_or_default();
        out.push(format!("memory: {}{limit}", units::memory(usage.memory)));
    }
    out
}

/// A host.
pub fn host(world: &World, id: &HostId, now: Millis) -> Vec<String> {
    let Some(h) = world.hosts.get(id) else { return vec![format!("{id} is gone")] };
    let (_, state, why) = hosts::stands(h, now);
    let mut out = vec![
        format!("host: {id}"),
        format!("address: {}", safe(&h.config.address)),
        format!("state: {state}"),
    ];
    out.extend(why.map(|w| format!("why: {w}")));
    let (f, r) = (&h.facts, &h.record);
    out.extend(r.site.as_ref().map(|s| format!("site: {s}")));
    out.extend(r.cluster.as_ref().map(|c| format!("cluster: {c} (takes its pools only)")));
    out.push(format!("duty: {}", duty(&r.duty, now)));
    out.extend(r.given_up.map(|at| format!("given-up: {}", units::ago(now.since(at)))));
    out.extend(h.class().map(|c| {
        let how = if r.class.is_some() { "stated" } else { "measured" };
        format!("class: {} ({how})", safe(&c))
    }));
    out.extend(r.in_service.map(|at| format!("in-service: {}", units::ago(now.since(at)))));
    out.push(String::new());
    out.push(format!("machine: {} ({}, {})", f.hostname, f.os, f.arch));
    out.push(format!("engine: {} (API {}), identity {}", f.version, f.api, f.engine_id));
    out.extend(f.swarm.then(|| "swarm: member".to_owned()));
    out.extend(capacity(h));
    out.push(format!("containers: {} ({} of ours on record)", h.containers.len(), h.taken.containers));
    out.push(match &h.images {
        Some(images) => format!("images: {}", images.len()),
        None => "images: not listed yet".to_owned(),
    });
    out.extend(paces(h));
    out.extend(externals(h));
    out.extend(r.labels.iter().map(|(k, v)| format!("label: {} = {}", safe(k), safe(v))));
    out.extend(f.labels.iter().map(|(k, v)| format!("engine-label: {} = {v}", safe(k))));
    out
}

/// How quick a host is, a line for each kind of work that was done there.
fn paces(h: &HostView) -> Vec<String> {
    let Paces { create, start, remove } = h.paces;
    let all = [("create", create), ("start", start), ("remove", remove)];
    let known = all.into_iter().filter(|(_, pace)| pace.count > 0);
    let line = |(name, pace): (&str, Pace)| {
        let last = pace.count.min(u64::try_from(LAST).unwrap_or(u64::MAX));
        let (median, worst) = (text::took(pace.median_ms), text::took(pace.worst_ms));
        format!("time-to-{name}: {median} (median of the last {last}), longest {worst} of {}", pace.count)
    };
    known.map(line).collect()
}

/// What pools name of a host and others make.
fn externals(h: &HostView) -> Vec<String> {
    let Holdings { there, absent, faults } = &*h.holdings;
    let line = |e: &External, what: &str| format!("{}: {} {what}", e.sort.word(), safe(&e.name));
    let mut out: Vec<String> = there.iter().map(|e| line(e, "is there")).collect();
    out.extend(absent.iter().map(|e| line(e, "is not there, and pools name it")));
    out.extend(faults.iter().map(|(sort, why)| format!("{}s: not told: {}", sort.word(), safe(why))));
    out
}

/// What people decided about a host, by whom and when.
fn duty(duty: &Duty, now: Millis) -> String {
    let said =
        |word: &str, by: &str, at: Millis| format!("{word} by {}, {}", safe(by), units::ago(now.since(at)));
    match duty {
        Duty::Active => "takes new containers".to_owned(),
        Duty::Cordoned { by, at } => said("cordoned", by, *at),
        Duty::Draining { by, at, op, force } => {
            let force = if *force { ", tied containers too" } else { "" };
            format!("{} ({op}{force})", said("draining", by, *at))
        }
        Duty::Drained { by, at } => said("drained", by, *at),
    }
}

/// What is reserved of what a host has, a line for each sort that is known.
fn capacity(h: &HostView) -> Vec<String> {
    let (all, taken) = (h.capacity(), h.taken.need);
    let line = |name: &str, taken: String, all: u64, whole: String| match all {
        0 => format!("{name}: {taken} reserved, not known of how much"),
        _ => format!("{name}: {taken} of {whole} reserved"),
    };
    let mut out = vec![
        line("cores", units::cores(taken.cpu_milli), all.cpu_milli, units::cores(all.cpu_milli)),
        line("memory", text::bytes(taken.memory), all.memory, text::bytes(all.memory)),
    ];
    let others = [
        ("processes", taken.pids.to_string(), taken.pids, all.pids, all.pids.to_string()),
        ("disk", text::bytes(taken.disk), taken.disk, all.disk, text::bytes(all.disk)),
        ("bandwidth", taken.bandwidth.to_string(), taken.bandwidth, all.bandwidth, all.bandwidth.to_string()),
    ];
    let known = others.into_iter().filter(|(_, _, taken, all, _)| *taken > 0 || *all > 0);
    out.extend(known.map(|(name, shown, _, all, whole)| line(name, shown, all, whole)));
    out
}

/// A site: itself, and its hosts in so far as they need a person.
pub fn site(world: &World, name: &SiteName, now: Millis) -> Vec<String> {
    let Some(row) = sites::rows(world, now).into_iter().find(|r| r.name == *name) else {
        return vec![format!("site {name} is gone")];
    };
    let or_none = |text: &str| if text.is_empty() { "none".to_owned() } else { text.to_owned() };
    vec![
        format!("site: {name}"),
        format!("state: {}", row.state),
        format!("hosts: {} ({} ready, {} silent)", row.hosts, row.ready, row.silent),
        format!("containers: {} ({} of ours on record)", row.total, row.ours),
        format!("registry: {}", or_none(&row.registry)),
        format!("limits: {}", or_none(&row.limits)),
    ]
}

/// An operation.
pub fn operation(world: &World, id: OpId, now: Millis) -> Vec<String> {
    let Some(op) = world.operations.iter().find(|o| o.id == id) else {
        return vec![format!("{id} is over for long: see the journal")];
    };
    let row = ops::row(op, now);
    let p = &op.progress;
    let mut out = vec![
        format!("operation: {id}"),
        format!("what: {}", row.what),
        format!("by: {}", row.by),
        format!("acknowledged: {} UTC", units::clock_seconds(op.at.0)),
        format!("status: {}", row.status),
        format!("stands: {}", row.line),
        String::new(),
    ];
    if let Some(view) = world.prewarms.get(&id) {
        out.extend(coverage::described(view));
        return out;
    }
    out.extend([
        format!("wanted: {}", p.target),
        format!("placed: {}", p.placed),
        format!("pulling: {}", p.pulling),
        format!("created: {}", p.created),
        format!("running: {}", p.running),
        format!("healthy: {}", p.healthy),
        format!("leaving: {}", p.leaving),
        format!("failed: {}", p.failed),
    ]);
    out
}
