//! `deploy`, `restart`, `scale` and resources of a service, and our own `x-longshore`.

use crate::model::pool::{Limits, PoolSpec, REPLICAS_MAX, RestartCondition, RestartPolicy};
use crate::spec::cx::{Cx, Field, Section};
use crate::spec::fault::PoolFileFault;
use crate::spec::{keys, placement};

/// `parallelism: 0` means all at a time in Compose; this is more than any pool has.
const ALL_AT_A_TIME: u32 = REPLICAS_MAX;

/// Fills in everything that is about numbers of containers, their resources, their places and their ends.
pub fn read(cx: &mut Cx<'_>, cluster: &str, name: &str, service: &Section<'_>, spec: &mut PoolSpec) {
    let field = service.get("deploy");
    let deploy = field.as_ref().map(|f| cx.section(f, &keys::DEPLOY)).unwrap_or_default();
    if let Some(mode) = deploy.get("mode")
        && let Some(text) = cx.text(&mode)
        && text != "replicated"
    {
        let fault = mode.fault(format!("the mode {text:?} is not supported")).expected("replicated");
        cx.error(fault.hint("give `replicas`, one for each host"));
    }
    spec.replicas = replicas(cx, service, &deploy);
    resources(cx, service, &deploy, spec);
    spec.restart = restart(cx, service, &deploy);
    if let Some(labels) = deploy.get("labels") {
        spec.pool_labels = labels_of(cx, &labels);
    }
    if let Some(update) = deploy.get("update_config") {
        let section = cx.section(&update, &keys::UPDATE_CONFIG);
        if let Some(field) = section.get("parallelism") {
            let n = cx.number(&field, 0, i64::from(REPLICAS_MAX)).unwrap_or(1);
            spec.update_parallelism = if n == 0 { ALL_AT_A_TIME } else { n };
        }
        if let Some(ms) = section.get("delay").and_then(|f| cx.duration(&f)) {
            spec.update_delay_ms = ms;
        }
    }
    let field = service.get("x-longshore");
    let ours = field.as_ref().map(|f| cx.section(f, &keys::X_SERVICE)).unwrap_or_default();
    extension(cx, &ours, spec);
    placement::service(cx, service, &deploy, &mut spec.placement);
    placement::extension(cx, cluster, name, &ours, &mut spec.placement);
    check_replicas(cx, service, &deploy, spec);
}

/// Labels, each checked not to pose as ours.
pub fn labels_of(cx: &mut Cx<'_>, field: &Field<'_>) -> std::collections::BTreeMap<String, String> {
    let mut labels = std::collections::BTreeMap::new();
    for (key, value, item) in cx.pairs(field) {
        if key.starts_with(crate::model::container::LABEL_PREFIX) {
            let fault = item.fault(format!("the label {key:?} is one of ours"));
            cx.error(fault.hint("labels that begin with io.longshore. tell longshore its containers apart"));
        }
        labels.insert(key, value.unwrap_or_default());
    }
    labels
}

/// A value that Compose knows at two places: both may be given when they are equal.
fn one_of<T: PartialEq>(
    cx: &mut Cx<'_>,
    places: &[Option<Field<'_>>; 2],
    read: &mut dyn FnMut(&mut Cx<'_>, &Field<'_>) -> Option<T>,
) -> Option<T> {
    let [a, b] = places.each_ref().map(|place| place.as_ref().and_then(|f| read(cx, f)));
    if let ([Some(first), Some(second)], Some(a), Some(b)) = (places, &a, &b)
        && a != b
    {
        let what = format!("this contradicts {} in line {}", first.path, first.node.at.line);
        cx.error(second.fault(what).hint("keep one of them"));
    }
    b.or(a)
}

fn replicas(cx: &mut Cx<'_>, service: &Section<'_>, deploy: &Section<'_>) -> u32 {
    let mut read = |cx: &mut Cx<'_>, f: &Field<'_>| cx.number(f, 0, i64::from(REPLICAS_MAX));
    one_of(cx, &[service.get("scale"), deploy.get("replicas")], &mut read).unwrap_or(1)
}

fn resources(cx: &mut Cx<'_>, service: &Section<'_>, deploy: &Section<'_>, spec: &mut PoolSpec) {
    let field = deploy.get("resources");
    let both = field.as_ref().map(|f| cx.section(f, &keys::RESOURCES)).unwrap_or_default();
    let field = both.get("limits");
    let limits = field.as_ref().map(|f| cx.section(f, &keys::LIMITS)).unwrap_or_default();
    let field = both.get("reservations");
    let reserved = field.as_ref().map(|f| cx.section(f, &keys::RESERVATIONS)).unwrap_or_default();

    let mut cpus = |cx: &mut Cx<'_>, f: &Field<'_>| cx.cpus(f);
    let mut size = |cx: &mut Cx<'_>, f: &Field<'_>| cx.size(f).filter(|n| *n > 0);
    // Zero and -1 mean no limit (Docker).
    let mut pids = |cx: &mut Cx<'_>, f: &Field<'_>| cx.number::<i64>(f, -1, 1 << 40).filter(|n| *n > 0);
    let r = &mut spec.resources;
    r.cpu_limit_milli = one_of(cx, &[service.get("cpus"), limits.get("cpus")], &mut cpus);
    r.memory_limit = one_of(cx, &[service.get("mem_limit"), limits.get("memory")], &mut size);
    r.pids_limit = one_of(cx, &[service.get("pids_limit"), limits.get("pids")], &mut pids);
    r.cpu_reserved_milli = reserved.get("cpus").and_then(|f| cx.cpus(&f));
    r.memory_reserved = one_of(cx, &[service.get("mem_reservation"), reserved.get("memory")], &mut size);

    let more =
        |reserved: Option<u64>, limit: Option<u64>| matches!((reserved, limit), (Some(r), Some(l)) if r > l);
    let at = |key: &str| reserved.get(key).or_else(|| service.get("mem_reservation"));
    for (key, exceeded) in [
        ("cpus", more(r.cpu_reserved_milli, r.cpu_limit_milli)),
        ("memory", more(r.memory_reserved, r.memory_limit)),
    ] {
        if exceeded && let Some(field) = at(key) {
            cx.error(
                field.fault("more is reserved than the limit allows").hint("lower it, or raise the limit"),
            );
        }
    }
}

fn restart(cx: &mut Cx<'_>, service: &Section<'_>, deploy: &Section<'_>) -> RestartPolicy {
    let mut policy = RestartPolicy::default();
    if let Some(field) = service.get("restart")
        && let Some(text) = cx.text(&field)
    {
        match short_restart(text) {
            Some((condition, most)) => (policy.condition, policy.max_attempts) = (condition, most),
            None => {
                let fault = field.fault(format!("{text:?} is not a restart policy"));
                cx.error(fault.expected("no, always, on-failure, on-failure:N or unless-stopped"));
            }
        }
    }
    let Some(field) = deploy.get("restart_policy") else { return policy };
    // The long form replaces the short one as a whole, as in Compose.
    let mut policy = RestartPolicy::default();
    let section = cx.section(&field, &keys::RESTART_POLICY);
    if let Some(field) = section.get("condition") {
        match cx.text(&field) {
            Some("none") => policy.condition = RestartCondition::None,
            Some("on-failure") => policy.condition = RestartCondition::OnFailure,
            Some("any") | None => {}
            Some(other) => {
                let fault = field.fault(format!("{other:?} is not a condition"));
                cx.error(fault.expected("none, on-failure or any"));
            }
        }
    }
    if let Some(ms) = section.get("delay").and_then(|f| cx.duration(&f)) {
        policy.delay_ms = ms;
    }
    if let Some(ms) = section.get("window").and_then(|f| cx.duration(&f)) {
        policy.window_ms = ms;
    }
    let most = section.get("max_attempts").and_then(|f| cx.number::<u32>(&f, 0, i64::from(u32::MAX)));
    policy.max_attempts = most.filter(|n| *n > 0);
    policy
}

fn short_restart(text: &str) -> Option<(RestartCondition, Option<u32>)> {
    match text {
        "no" | "false" => Some((RestartCondition::None, None)),
        "always" | "unless-stopped" => Some((RestartCondition::Any, None)),
        "on-failure" => Some((RestartCondition::OnFailure, None)),
        _ => {
            let most: u32 = text.strip_prefix("on-failure:")?.parse().ok()?;
            Some((RestartCondition::OnFailure, Some(most).filter(|n| *n > 0)))
        }
    }
}

fn extension(cx: &mut Cx<'_>, section: &Section<'_>, spec: &mut PoolSpec) {
    if let Some(core) = section.get("core").and_then(|f| cx.truth(&f)) {
        spec.core = core;
    }
    if let Some(field) = section.get("reserve") {
        let reserve = cx.section(&field, &keys::X_RESERVE);
        spec.resources.disk_reserved = reserve.get("disk").and_then(|f| cx.size(&f)).filter(|n| *n > 0);
        let bits = reserve.get("bandwidth").and_then(|f| cx.bandwidth(&f));
        spec.resources.bandwidth_reserved = bits.filter(|n| *n > 0);
    }
    spec.protect = section.get("protect").and_then(|f| cx.truth(&f)).unwrap_or(false);
    let Some(field) = section.get("limits") else { return };
    let limits = cx.section(&field, &keys::X_LIMITS);
    let mut number = |key: &str, min: i64| -> Option<u32> {
        limits.get(key).and_then(|f| cx.number(&f, min, i64::from(REPLICAS_MAX)))
    };
    spec.limits = Limits { min: number("min", 0), max: number("max", 0), step: number("step", 1) };
    if let (Some(min), Some(max)) = (spec.limits.min, spec.limits.max)
        && min > max
    {
        cx.error(field.fault(format!("`min` {min} is above `max` {max}")).hint("swap them"));
        spec.limits = Limits::default();
    }
}

fn check_replicas(cx: &mut Cx<'_>, service: &Section<'_>, deploy: &Section<'_>, spec: &PoolSpec) {
    let given = deploy.get("replicas").or_else(|| service.get("scale"));
    let PoolSpec { replicas, limits, .. } = spec;
    let (min, max) = (limits.min.unwrap_or(0), limits.max.unwrap_or(REPLICAS_MAX));
    if !(min..=max).contains(replicas) {
        let what = match given {
            Some(_) => format!("{replicas} replicas are outside the limits of this pool"),
            None => "the file gives no `replicas`, and 1 is outside the limits of this pool".to_owned(),
        };
        let (at, path) = match (&given, service.get("x-longshore")) {
            (Some(given), _) => (given.node.at, given.path.clone()),
            (None, Some(ours)) => (ours.node.at, ours.path),
            (None, None) => return,
        };
        cx.error(PoolFileFault::new(at, &path, what).expected(format!("{min} to {max}")));
    }
    let fixed = spec.ports.iter().find(|p| p.published.is_some());
    if let (Some(port), Some(ports), true) = (fixed, service.get("ports"), *replicas > 1) {
        let published = port.published.unwrap_or_default();
        let what = format!(
            "the host port {published} is fixed: at most one of the {replicas} containers fits on a host"
        );
        cx.warn(ports.fault(what).hint("publish without a host port to let the engine choose"));
    }
}
