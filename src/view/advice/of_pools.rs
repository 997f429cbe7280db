//! Risks of one pool: where its containers are, what they are made from, what they may take.

use std::collections::BTreeMap;

use crate::base::clock::Millis;
use crate::base::ids::{HostId, SiteName};
use crate::base::text::{self, safe};
use crate::model::container::Health;
use crate::model::host::{HostState, HostView};
use crate::model::placement::{Attribute, LossRule, Operator, Strategy};
use crate::model::pool::{HealthCheck, PoolSpec};
use crate::model::world::{PoolView, SlotStatus, World};
use crate::view::advice::fleet::{Fleet, fits};
use crate::view::advice::{Advice, DAY_MS, Severity};
use crate::view::units;

/// An image that is older than this has missed repairs.
const IMAGE_OLD_MS: u64 = 180 * DAY_MS;

/// What one pass over its slots tells.
#[derive(Default)]
struct Seen<'a> {
    on: BTreeMap<&'a HostId, u32>,
    placed: u32,
    homeless: u32,
    cpu_most: Option<u64>,
    memory_most: Option<u64>,
    measured: u32,
    checks: u32,
    running: u32,
}

/// Adds the risks of a pool.
pub fn add(world: &World, fleet: &Fleet, view: &PoolView, now: Millis, out: &mut Vec<Advice>) {
    let seen = look(world, view);
    let mut push = |risk, severity, evidence: String, command: String| {
        out.push(Advice { risk, severity, subject: view.pool.id.to_string(), evidence, command });
    };
    rules(world, view, &mut push);
    place(world, fleet, view, &seen, &mut push);
    room(world, fleet, view, &seen, &mut push);
    resources(view, &seen, &mut push);
    disk(world, view, &seen, &mut push);
    health(view, &seen, &mut push);
    image(world, view, &seen, now, &mut push);
}

type Push<'a> = dyn FnMut(&'static str, Severity, String, String) + 'a;

fn look<'a>(world: &'a World, view: &'a PoolView) -> Seen<'a> {
    let mut seen = Seen::default();
    for slot in &view.slots {
        if matches!(slot.status, SlotStatus::Stopping | SlotStatus::Finished) || !view.pool.wants(slot.slot) {
            continue;
        }
        let Some(id) = &slot.host else {
            seen.homeless += u32::from(matches!(slot.status, SlotStatus::Waiting(_)));
            continue;
        };
        *seen.on.entry(id).or_default() += 1;
        seen.placed += 1;
        let Some((host, container)) = world.hosts.get(id).zip(slot.container.as_ref()) else { continue };
        if let Some(usage) = host.usage.get(container) {
            seen.measured += 1;
            seen.memory_most = seen.memory_most.max(Some(usage.memory));
            seen.cpu_most = seen.cpu_most.max(usage.cpu_milli);
        }
        if let Some(container) = host.container(container) {
            seen.running += 1;
            seen.checks += u32::from(container.health != Health::None);
        }
    }
    seen
}

fn core_or(view: &PoolView, core: Severity, other: Severity) -> Severity {
    if view.pool.spec.core { core } else { other }
}

/// Containers that are where their pool's rules would not put them any more.
fn rules(world: &World, view: &PoolView, push: &mut Push<'_>) {
    let Some(first) = view.misplaced.first() else { return };
    let (id, spec) = (&view.pool.id, &view.pool.spec);
    let count: usize = view.misplaced.iter().map(|m| m.slots.len()).sum();
    let more = match view.misplaced.len() {
        1 => String::new(),
        hosts => format!(" (and {} more)", text::count(u64::try_from(hosts - 1).unwrap_or(u64::MAX), "host")),
    };
    let evidence = format!(
        "{} placed otherwise today: {} {}{more}",
        if count == 1 { "1 container would be".to_owned() } else { format!("{count} containers would be") },
        first.host,
        safe(&first.why)
    );
    // What is tied to its host is moved by no rebalancing.
    let command = match spec.loss_rule() {
        LossRule::Elsewhere | LossRule::SameClass => format!("longshore rebalance {id}"),
        LossRule::Wait | LossRule::Never => {
            world.hosts.get(&first.host).and_then(|host| missing_label(host, spec)).map_or_else(
                || format!("longshore hosts drain {} --force", first.host),
                |label| format!("longshore hosts label {} {label}", first.host),
            )
        }
    };
    push("against its rules", core_or(view, Severity::High, Severity::Medium), evidence, command);
}

/// The label that a host has lost and a pool asks for, as `hosts label` takes it.
fn missing_label(host: &HostView, spec: &PoolSpec) -> Option<String> {
    let is_plain = |text: &str| text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-/".contains(&b));
    spec.placement.constraints.iter().find_map(|c| match (&c.attribute, c.operator, c.values.as_slice()) {
        (Attribute::Label(key), Operator::Is, [value])
            if host.record.labels.get(key) != Some(value) && is_plain(value) =>
        {
            Some(format!("{key}={value}"))
        }
        _ => None,
    })
}

/// Eggs and baskets.
fn place(world: &World, fleet: &Fleet, view: &PoolView, seen: &Seen<'_>, push: &mut Push<'_>) {
    let (pool, id) = (&view.pool, &view.pool.id);
    let rebalance = || format!("longshore rebalance {id}");
    if pool.want == 1 && pool.spec.core {
        let evidence = "other pools depend on it, and it has 1 container".to_owned();
        push("single instance", Severity::High, evidence, format!("longshore scale {id} +1"));
    }
    if pool.want < 2 || seen.placed < 2 {
        return;
    }
    let (open, sites) = fleet.open_to(world, pool);
    if let (1, Some(host)) = (seen.on.len(), seen.on.keys().next()) {
        let others = open.saturating_sub(1);
        let command = if others > 0 { rebalance() } else { "longshore hosts add NAME ADDRESS".to_owned() };
        let evidence = format!(
            "all of its {} containers are on {host}; {} ready",
            seen.placed,
            text::count(u64::from(others), "other host")
        );
        push("one host", core_or(view, Severity::High, Severity::Medium), evidence, command);
        return;
    }
    let site = |host: &&HostId| world.hosts.get(*host).and_then(|h| h.record.site.as_ref());
    let mut stand = seen.on.keys().map(site);
    let by_site = pool.spec.placement.constraints.iter().any(|c| c.attribute == Attribute::Site);
    if !by_site
        && let Some(Some(first)) = stand.next()
        && stand.all(|s| s == Some(first))
        && sites.iter().any(|s| s != first)
    {
        let others: Vec<&str> = sites.iter().filter(|s| *s != first).map(SiteName::as_str).take(3).collect();
        let evidence = format!(
            "all of its {} containers are in {first}; {} ready in {}",
            seen.placed,
            if sites.len() > 2 { "hosts are" } else { "another site is" },
            others.join(", ")
        );
        push("one site", core_or(view, Severity::High, Severity::Medium), evidence, rebalance());
    }
    if pool.strategy() == Strategy::Spread
        && let Some(evidence) = skew(world, &pool.spec, seen)
    {
        push("uneven", Severity::Low, evidence, rebalance());
    }
}

/// A host or domain with at least two more than another that could take one more. That it may hold the pool at all is
/// taken from the fact that it does.
fn skew(world: &World, spec: &PoolSpec, seen: &Seen<'_>) -> Option<String> {
    let need = spec.need();
    let takes = |h: &HostView| h.state_at(world.at) == HostState::Ready && fits(h, &need);
    let hosts = || seen.on.iter().filter_map(|(id, n)| Some((*id, world.hosts.get(*id)?, *n)));
    let sentence = |most: (&str, u32), least: (&str, u32)| {
        (most.1 >= least.1 + 2).then(|| format!("{} on {}, {} on {}", most.1, most.0, least.1, least.0))
    };
    if let Some(attribute) = spec.placement.spread.first() {
        let mut domains: BTreeMap<String, (u32, bool)> = BTreeMap::new();
        for (_, host, n) in hosts() {
            let domain = domains.entry(value(host, attribute)?).or_default();
            *domain = (domain.0 + n, domain.1 || takes(host));
        }
        let most = domains.iter().max_by_key(|(_, (n, _))| *n)?;
        let least = domains.iter().filter(|(_, (_, takes))| *takes).min_by_key(|(_, (n, _))| *n)?;
        return sentence((&safe(most.0), most.1.0), (&safe(least.0), least.1.0));
    }
    let most = hosts().max_by_key(|(_, _, n)| *n)?;
    let least = hosts().filter(|(_, h, _)| takes(h)).min_by_key(|(_, _, n)| *n)?;
    sentence((most.0.as_str(), most.2), (least.0.as_str(), least.2))
}

/// What a host has for an attribute; `None` when it is not known.
fn value(host: &HostView, attribute: &Attribute) -> Option<String> {
    let facts = &host.facts;
    match attribute {
        Attribute::Id => Some(host.config.id.to_string()),
        Attribute::Hostname => Some(facts.hostname.raw().to_owned()),
        Attribute::Os => Some(facts.os.raw().to_owned()),
        Attribute::Arch => Some(facts.arch.raw().to_owned()),
        Attribute::Site => host.record.site.as_ref().map(ToString::to_string),
        Attribute::Cluster => host.record.cluster.as_ref().map(ToString::to_string),
        Attribute::Class => host.class(),
        Attribute::Cpus => Some(facts.cpus.to_string()),
        Attribute::Memory => Some(facts.memory.to_string()),
        Attribute::Version => Some(facts.version.raw().to_owned()),
        Attribute::Label(key) => host.record.labels.get(key).cloned(),
        Attribute::EngineLabel(key) => facts.labels.get(key).map(|v| v.raw().to_owned()),
    }
}

/// Not enough hosts.
fn room(world: &World, fleet: &Fleet, view: &PoolView, seen: &Seen<'_>, push: &mut Push<'_>) {
    let pool = &view.pool;
    if let Some(most) = pool.spec.placement.max_per_host {
        let (open, _) = fleet.open_to(world, pool);
        let room = u64::from(open) * u64::from(most);
        if room < u64::from(pool.want) {
            let evidence = format!(
                "wants {}, but at most {most} a host on {} makes {room}",
                pool.want,
                text::count(u64::from(open), "ready host")
            );
            let severity = if seen.homeless > 0 { Severity::High } else { Severity::Medium };
            push("too few hosts", severity, evidence, more_room(world, fleet, view));
            return;
        }
    }
    if seen.homeless > 0 {
        let why = view.waits.iter().max_by_key(|w| w.slots).map(|w| format!(": {}", safe(&w.why)));
        let evidence = format!("{} of {} have no host{}", seen.homeless, pool.want, why.unwrap_or_default());
        push("no room", Severity::High, evidence, more_room(world, fleet, view));
    }
}

fn more_room(world: &World, fleet: &Fleet, view: &PoolView) -> String {
    match fleet.resting_for(world, &view.pool) {
        Some(host) if view.pool.hosts.is_empty() => format!("longshore hosts undrain {host}"),
        _ => "longshore hosts add NAME ADDRESS".to_owned(),
    }
}

/// Limits and reservations.
fn resources(view: &PoolView, seen: &Seen<'_>, push: &mut Push<'_>) {
    let (id, have) = (&view.pool.id, &view.pool.spec.resources);
    let used = |most: String| format!("; {} measured, at most {most}", seen.measured);
    let memory = seen.memory_most.map(|m| (format_size(half_more(m)), used(text::bytes(m))));
    let (size, measured) = memory.unwrap_or_else(|| ("SIZE".to_owned(), String::new()));
    if have.memory_limit.is_none() {
        let evidence = format!("each of {} can take all memory of its host{measured}", seen.placed);
        let severity = core_or(view, Severity::Medium, Severity::Low);
        push("no memory limit", severity, evidence, format!("longshore set {id} memory={size}"));
    }
    if !view.pool.spec.core {
        return;
    }
    if have.memory_reserved.is_none() {
        let evidence = format!("a core pool without a memory reservation can be crowded out{measured}");
        let command = format!("longshore set {id} memory-reserved={size}");
        push("no reservation", Severity::Medium, evidence, command);
    }
    if have.cpu_reserved_milli.is_none() {
        let cores = seen.cpu_most.map(|c| {
            let tenths = (c + c / 2).div_ceil(100).max(1);
            format!("{}.{}", tenths / 10, tenths % 10)
        });
        let measured = seen.cpu_most.map(|c| used(format!("{} cores", units::cores(c))));
        let evidence = format!(
            "a core pool without a CPU reservation can be crowded out{}",
            measured.unwrap_or_default()
        );
        let cores = cores.unwrap_or_else(|| "CORES".to_owned());
        push(
            "no reservation",
            Severity::Medium,
            evidence,
            format!("longshore set {id} cpu-reserved={cores}"),
        );
    }
}

/// Half as much again, rounded up: to 16 MiB, above 1 GiB to 256 MiB.
fn half_more(bytes: u64) -> u64 {
    let step: u64 = if bytes > 1 << 30 { 256 << 20 } else { 16 << 20 };
    bytes.saturating_add(bytes / 2).div_ceil(step).max(1).saturating_mul(step)
}

/// As pool files write it, exactly.
fn format_size(bytes: u64) -> String {
    if bytes.is_multiple_of(1 << 30) { format!("{}G", bytes >> 30) } else { format!("{}M", bytes >> 20) }
}

/// Disk that is reserved on hosts that say nothing of theirs.
fn disk(world: &World, view: &PoolView, seen: &Seen<'_>, push: &mut Push<'_>) {
    let Some(disk) = view.pool.spec.resources.disk_reserved else { return };
    let blind = |id: &&&HostId| world.hosts.get(**id).is_some_and(|h| h.record.capacity.disk.is_none());
    let blind: Vec<&&HostId> = seen.on.keys().filter(blind).collect();
    let Some(first) = blind.first() else { return };
    let evidence = format!(
        "reserves {} of disk each, and {} of its {} hosts do not state theirs: nothing is refused there",
        text::bytes(disk),
        blind.len(),
        seen.on.len()
    );
    let command = format!("longshore hosts label {first} --disk SIZE");
    push("disk not stated", Severity::Low, evidence, command);
}

/// No health check, neither ours nor the image's.
fn health(view: &PoolView, seen: &Seen<'_>, push: &mut Push<'_>) {
    let check = &view.pool.spec.healthcheck;
    let off = check.as_ref().is_some_and(HealthCheck::is_off);
    let bare = check.is_none() && seen.running > 0 && seen.checks == 0;
    if !off && !bare {
        return;
    }
    let evidence = if off {
        "its file switches the image's check off: running counts as healthy".to_owned()
    } else {
        format!(
            "none of {} has one: running counts as healthy",
            text::count(u64::from(seen.running), "container")
        )
    };
    let test = match view.pool.spec.ports.first() {
        Some(port) => format!("wget -q -O /dev/null http://127.0.0.1:{}/", port.target),
        None => "COMMAND".to_owned(),
    };
    let command = format!("longshore set {} healthcheck=\"CMD-SHELL {test}\"", view.pool.id);
    push("no health check", core_or(view, Severity::Medium, Severity::Low), evidence, command);
}

/// An old image, or one whose name does not say which.
fn image(world: &World, view: &PoolView, seen: &Seen<'_>, now: Millis, push: &mut Push<'_>) {
    let name = view.pool.spec.image.as_str();
    let (plain, digest) = name.split_once('@').map_or((name, false), |(n, _)| (n, true));
    let tag = plain.rsplit('/').next().and_then(|last| last.split_once(':')).map(|(_, tag)| tag);
    let (shown, command) = (safe(name), "longshore up FILE");
    if !digest && tag.is_none_or(|t| t == "latest") {
        let what = if tag.is_none() { "has no tag" } else { "is whatever was pushed last" };
        let evidence = format!("{shown} {what}: two hosts may run two versions of it");
        push("moving image", Severity::Low, evidence, command.to_owned());
    }
    let whole = if tag.is_none() && !digest { format!("{name}:latest") } else { name.to_owned() };
    let there = |id: &&HostId| world.hosts.get(*id)?.images.as_ref()?.get(&whole);
    let Some(image) = seen.on.keys().find_map(there) else { return };
    let age = now.since(image.created);
    if age > IMAGE_OLD_MS && image.created.0 > 0 {
        let evidence = format!("{shown} was built {} days ago", age / DAY_MS);
        push("old image", Severity::Low, evidence, command.to_owned());
    }
}
