//! What changed between two specifications of a pool, in short sentences.

use std::collections::BTreeMap;

use crate::base::text::{bytes, safe, took};
use crate::model::placement::{Attribute, LossRule, OnLoss, Placement};
use crate::model::pool::{
    HealthCheck, Limits, Mount, MountKind, Network, PoolSpec, Port, Resources, RestartPolicy,
};

/// Longest value that is shown, in characters; the rest is an ellipsis.
const SHOWN_MAX: usize = 200;
/// Parts of names whose values are not shown.
const SECRET: [&str; 6] = ["PASS", "SECRET", "TOKEN", "KEY", "CREDENTIAL", "AUTH"];

/// Sentences of what changed, safe to show; empty exactly when the two are equal.
pub fn diff(old: &PoolSpec, new: &PoolSpec) -> Vec<String> {
    let mut out = Vec::new();
    let list = |words: &Option<Vec<String>>| words.as_ref().map(|w| format!("{w:?}"));
    changed(&mut out, "image", Some(old.image.as_str()), Some(new.image.as_str()));
    maybe(&mut out, "command", &list(&old.command), &list(&new.command));
    maybe(&mut out, "entrypoint", &list(&old.entrypoint), &list(&new.entrypoint));
    map(&mut out, "environment", &old.environment, &new.environment);
    items(&mut out, "port", &old.ports, &new.ports, port);
    items(&mut out, "mount", &old.mounts, &new.mounts, mount);
    items(&mut out, "network", &old.networks, &new.networks, network);
    maybe(&mut out, "network mode", &old.network_mode, &new.network_mode);
    map(&mut out, "label", &old.labels, &new.labels);
    map(&mut out, "pool label", &old.pool_labels, &new.pool_labels);
    maybe(&mut out, "user", &old.user, &new.user);
    maybe(&mut out, "working directory", &old.working_dir, &new.working_dir);
    maybe(
        &mut out,
        "health check",
        &old.healthcheck.as_ref().map(health),
        &new.healthcheck.as_ref().map(health),
    );
    maybe(&mut out, "stop signal", &old.stop_signal, &new.stop_signal);
    value(&mut out, "stop grace period", &old.stop_grace_ms, &new.stop_grace_ms, |ms| time(*ms));
    resources(&mut out, &old.resources, &new.resources);
    value(&mut out, "restart policy", &old.restart, &new.restart, restart);
    value(&mut out, "replicas", &old.replicas, &new.replicas, ToString::to_string);
    value(&mut out, "limits", &old.limits, &new.limits, limits);
    value(&mut out, "protect", &old.protect, &new.protect, ToString::to_string);
    value(&mut out, "core", &old.core, &new.core, ToString::to_string);
    let (before, after) = (&old.update_parallelism, &new.update_parallelism);
    value(&mut out, "update parallelism", before, after, ToString::to_string);
    let (before, after) = (&old.update_delay_ms, &new.update_delay_ms);
    value(&mut out, "update delay", before, after, |ms| time(*ms));
    placement(&mut out, &old.placement, &new.placement);
    out
}

fn placement(out: &mut Vec<String>, old: &Placement, new: &Placement) {
    items(out, "constraint", &old.constraints, &new.constraints, ToString::to_string);
    let over = |all: &[Attribute]| {
        let names: Vec<String> = all.iter().map(ToString::to_string).collect();
        if names.is_empty() { "no attribute".to_owned() } else { names.join(", then ") }
    };
    value(out, "spread over", &old.spread, &new.spread, |all| over(all));
    let most = |n: &Option<u32>| n.map(|n| n.to_string());
    maybe(out, "most on one host", &most(&old.max_per_host), &most(&new.max_per_host));
    value(out, "strategy", &old.strategy, &new.strategy, ToString::to_string);
    items(out, "pool kept apart", &old.apart, &new.apart, ToString::to_string);
    items(out, "wish", &old.prefer, &new.prefer, |w| format!("{} (weight {})", w.constraint, w.weight));
    items(out, "site", &old.sites, &new.sites, ToString::to_string);
    value(
        out,
        "image must be there",
        &old.image_must_be_there,
        &new.image_must_be_there,
        ToString::to_string,
    );
    maybe(out, "platform", &old.platform, &new.platform);
    value(out, "on host loss", &old.on_loss, &new.on_loss, on_loss);
}

fn on_loss(on_loss: &OnLoss) -> String {
    let OnLoss { rule, after_ms, at_once } = on_loss;
    let rule = rule.map_or("as its data demands", LossRule::word);
    format!("{rule} after {}, {at_once} at once", time(*after_ms))
}

/// A value made safe and short.
fn shown(text: &str) -> String {
    let mut chars = text.chars();
    let head: String = chars.by_ref().take(SHOWN_MAX).collect();
    let tail = if chars.next().is_some() { "…" } else { "" };
    format!("{}{tail}", safe(&head))
}

fn changed(out: &mut Vec<String>, what: &str, old: Option<&str>, new: Option<&str>) {
    match (old, new) {
        (a, b) if a == b => {}
        (None, Some(new)) => out.push(format!("{what} added: {}", shown(new))),
        (Some(old), None) => out.push(format!("{what} removed, was {}", shown(old))),
        (Some(old), Some(new)) => out.push(format!("{what} {} -> {}", shown(old), shown(new))),
        (None, None) => {}
    }
}

fn maybe<T: AsRef<str>>(out: &mut Vec<String>, what: &str, old: &Option<T>, new: &Option<T>) {
    changed(out, what, old.as_ref().map(AsRef::as_ref), new.as_ref().map(AsRef::as_ref));
}

fn value<T: PartialEq>(out: &mut Vec<String>, what: &str, old: &T, new: &T, show: impl Fn(&T) -> String) {
    if old != new {
        out.push(format!("{what} {} -> {}", shown(&show(old)), shown(&show(new))));
    }
}

fn map(out: &mut Vec<String>, what: &str, old: &BTreeMap<String, String>, new: &BTreeMap<String, String>) {
    let mut keys: Vec<&String> = old.keys().chain(new.keys()).collect();
    keys.sort_unstable();
    keys.dedup();
    for key in keys {
        let name = format!("{what} {}", shown(key));
        let upper = key.to_ascii_uppercase();
        let (before, after) = (old.get(key), new.get(key));
        if !SECRET.iter().any(|part| upper.contains(part)) {
            maybe(out, &name, &before, &after);
        } else if before != after {
            let how = match (before, after) {
                (None, _) => "added",
                (_, None) => "removed",
                _ => "changed",
            };
            out.push(format!("{name} {how} (value not shown)"));
        }
    }
}

/// Lists: what was added and removed; only the order may differ as well.
fn items<T: PartialEq>(out: &mut Vec<String>, what: &str, old: &[T], new: &[T], show: fn(&T) -> String) {
    let before = out.len();
    let gone = old.iter().filter(|item| !new.contains(item));
    out.extend(gone.map(|item| format!("{what} removed: {}", shown(&show(item)))));
    let come = new.iter().filter(|item| !old.contains(item));
    out.extend(come.map(|item| format!("{what} added: {}", shown(&show(item)))));
    if out.len() == before && old != new {
        out.push(format!("{what}s in another order or number"));
    }
}

fn port(port: &Port) -> String {
    let address = port.host_ip.as_ref().map(|a| format!("{a}:")).unwrap_or_default();
    let published = port.published.map_or_else(|| "any".to_owned(), |p| p.to_string());
    format!("{address}{published} -> {}/{}", port.target, port.protocol)
}

fn mount(mount: &Mount) -> String {
    let kind = match mount.kind {
        MountKind::Bind => "folder",
        MountKind::Volume => "volume",
        MountKind::Tmpfs => "memory",
    };
    let read_only = if mount.read_only { ", read-only" } else { "" };
    let external = if mount.external { ", external" } else { "" };
    format!("{kind} {} on {}{read_only}{external}", mount.source, mount.target)
}

fn network(network: &Network) -> String {
    let external = if network.external { ", external" } else { "" };
    format!("{} as {}{external}", network.name, network.aliases.join(", "))
}

fn health(check: &HealthCheck) -> String {
    let HealthCheck { test, interval_ms, timeout_ms, retries, start_period_ms } = check;
    let mut out = if test.is_empty() { "the image's".to_owned() } else { test.join(" ") };
    for (name, ms) in [("every", interval_ms), ("timeout", timeout_ms), ("start period", start_period_ms)] {
        if let Some(ms) = ms {
            out.push_str(&format!(", {name} {}", time(*ms)));
        }
    }
    if let Some(n) = retries {
        out.push_str(&format!(", {n} retries"));
    }
    out
}

/// Exact, unlike [`took`], when the duration is not in whole seconds.
fn time(ms: u64) -> String {
    if ms.is_multiple_of(100) && ms < 60_000 { took(ms) } else { format!("{ms}ms") }
}

fn resources(out: &mut Vec<String>, old: &Resources, new: &Resources) {
    let cpus = |milli: Option<u64>| milli.map(|m| format!("{}.{:03}", m / 1000, m % 1000));
    let size =
        |n: Option<u64>| n.map(|n| if n.is_multiple_of(1 << 20) { bytes(n) } else { format!("{n} bytes") });
    maybe(out, "CPU limit", &cpus(old.cpu_limit_milli), &cpus(new.cpu_limit_milli));
    maybe(out, "memory limit", &size(old.memory_limit), &size(new.memory_limit));
    let pids = |n: Option<i64>| n.map(|n| n.to_string());
    maybe(out, "process limit", &pids(old.pids_limit), &pids(new.pids_limit));
    maybe(out, "CPU reservation", &cpus(old.cpu_reserved_milli), &cpus(new.cpu_reserved_milli));
    maybe(out, "memory reservation", &size(old.memory_reserved), &size(new.memory_reserved));
    maybe(out, "disk reservation", &size(old.disk_reserved), &size(new.disk_reserved));
    let bits = |n: Option<u64>| n.map(|n| format!("{n} bit/s"));
    maybe(out, "bandwidth reservation", &bits(old.bandwidth_reserved), &bits(new.bandwidth_reserved));
}

fn restart(policy: &RestartPolicy) -> String {
    let RestartPolicy { condition, delay_ms, max_attempts, window_ms } = policy;
    let most = max_attempts.map_or_else(|| "no limit".to_owned(), |n| format!("at most {n} attempts"));
    format!("{condition:?} after {}, {most}, window {}", time(*delay_ms), time(*window_ms))
}

fn limits(limits: &Limits) -> String {
    let show = |n: Option<u32>| n.map_or_else(|| "none".to_owned(), |n| n.to_string());
    format!("min {} max {} step {}", show(limits.min), show(limits.max), show(limits.step))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_sentences() {
        let old = PoolSpec { image: "web:v1".into(), replicas: 2, ..PoolSpec::default() };
        let mut new = PoolSpec { image: "web:v2".into(), replicas: 3, ..PoolSpec::default() };
        new.environment.insert("MODE".into(), "live\u{1b}".into());
        new.environment.insert("DB_PASSWORD".into(), "hunter2".into());
        new.command = Some(vec!["serve".into()]);
        new.resources.memory_limit = Some(512 << 20);
        new.ports.push(Port { target: 80, published: None, host_ip: None, protocol: "tcp".into() });
        assert_eq!(
            diff(&old, &new),
            [
                "image web:v1 -> web:v2",
                r#"command added: ["serve"]"#,
                "environment DB_PASSWORD added (value not shown)",
                r"environment MODE added: live\e",
                "port added: any -> 80/tcp",
                "memory limit added: 512M",
                "replicas 2 -> 3",
            ]
        );
        assert_eq!(diff(&new, &new), Vec::<String>::new());
    }
}
