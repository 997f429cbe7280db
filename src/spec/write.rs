//! The canonical pool file of a model: every value written out, so that reading it back gives the same pools.

use std::collections::BTreeMap;
use std::fmt::Write;

use crate::model::placement::{OnLoss, Placement, Strategy};
use crate::model::pool::{
    ClusterSpec, HealthCheck, Limits, MountKind, Network, PoolSpec, Resources, RestartCondition,
};

/// The pool file. [`ClusterSpec::source`] is not used: this is the text for a model that has none, or whose comments do
/// not matter.
pub fn to_compose(cluster: &ClusterSpec) -> String {
    let mut out = Writer::default();
    out.line(0, "name", &quoted(cluster.name.as_str()));
    out.open(0, "services");
    for (name, spec) in &cluster.pools {
        out.open(1, &quoted(name.as_str()));
        service(&mut out, name.as_str(), spec);
    }
    let networks: BTreeMap<&str, &Network> =
        cluster.pools.iter().flat_map(|(_, s)| &s.networks).map(|n| (n.name.as_str(), n)).collect();
    if !networks.is_empty() {
        out.open(0, "networks");
        for network in networks.values() {
            let value = format!("{{name: {}, external: {}}}", quoted(&network.name), network.external);
            out.line(1, &key(&network.name), &value);
        }
    }
    let volumes: BTreeMap<&str, bool> = cluster
        .pools
        .iter()
        .flat_map(|(_, s)| &s.mounts)
        .filter(|m| m.kind == MountKind::Volume && !m.source.is_empty())
        .map(|m| (m.source.as_str(), m.external))
        .collect();
    if !volumes.is_empty() {
        out.open(0, "volumes");
        for (volume, external) in volumes {
            let external = if external { ", external: true" } else { "" };
            out.line(1, &key(volume), &format!("{{name: {}{external}}}", quoted(volume)));
        }
    }
    out.0
}

#[derive(Default)]
struct Writer(String);

impl Writer {
    fn raw(&mut self, depth: usize, text: &str) {
        let indent = depth * 2;
        // Writing to a String cannot fail.
        let _ = writeln!(self.0, "{:indent$}{text}", "");
    }

    fn open(&mut self, depth: usize, key: &str) {
        self.raw(depth, &format!("{key}:"));
    }

    fn line(&mut self, depth: usize, key: &str, value: &str) {
        self.raw(depth, &format!("{key}: {value}"));
    }

    fn text(&mut self, depth: usize, key: &str, value: Option<&String>) {
        if let Some(value) = value {
            self.line(depth, key, &quoted(value));
        }
    }

    fn map(&mut self, depth: usize, name: &str, map: &BTreeMap<String, String>) {
        if !map.is_empty() {
            self.open(depth, name);
            for (k, value) in map {
                self.line(depth + 1, &key(k), &quoted(value));
            }
        }
    }
}

/// A double-quoted scalar; dollars are doubled, so that they are no variables.
fn quoted(text: &str) -> String {
    key(&text.replace('$', "$$"))
}

/// A double-quoted key: keys have no variables.
fn key(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            c if crate::base::text::is_hostile(c) => {
                let _ = write!(out, "\\U{:08x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

fn list(items: &[String]) -> String {
    format!("[{}]", items.iter().map(|i| quoted(i)).collect::<Vec<_>>().join(", "))
}

fn service(out: &mut Writer, name: &str, spec: &PoolSpec) {
    out.line(2, "image", &quoted(&spec.image));
    for (key, words) in [("entrypoint", &spec.entrypoint), ("command", &spec.command)] {
        if let Some(words) = words {
            out.line(2, key, &list(words));
        }
    }
    out.map(2, "environment", &spec.environment);
    ports_and_mounts(out, spec);
    out.text(2, "network_mode", spec.network_mode.as_ref());
    if !spec.networks.is_empty() {
        out.open(2, "networks");
        for network in &spec.networks {
            let aliases: Vec<String> = network.aliases.iter().filter(|a| *a != name).cloned().collect();
            out.line(3, &key(&network.name), &format!("{{aliases: {}}}", list(&aliases)));
        }
    }
    out.map(2, "labels", &spec.labels);
    out.text(2, "user", spec.user.as_ref());
    out.text(2, "working_dir", spec.working_dir.as_ref());
    if let Some(check) = &spec.healthcheck {
        health(out, check);
    }
    out.text(2, "stop_signal", spec.stop_signal.as_ref());
    out.line(2, "stop_grace_period", &format!("{}ms", spec.stop_grace_ms));
    out.text(2, "platform", spec.placement.platform.as_ref());
    if spec.placement.image_must_be_there {
        out.line(2, "pull_policy", "never");
    }
    deploy(out, spec);
    out.open(2, "x-longshore");
    out.line(3, "core", &spec.core.to_string());
    out.line(3, "protect", &spec.protect.to_string());
    let Limits { min, max, step } = spec.limits;
    let given: Vec<String> = [("min", min), ("max", max), ("step", step)]
        .into_iter()
        .filter_map(|(key, value)| Some(format!("{key}: {}", value?)))
        .collect();
    if !given.is_empty() {
        out.line(3, "limits", &format!("{{{}}}", given.join(", ")));
    }
    wishes(out, spec);
}

/// What `x-longshore` says about hosts.
fn wishes(out: &mut Writer, spec: &PoolSpec) {
    let placement = &spec.placement;
    if placement.strategy != Strategy::default() {
        out.line(3, "strategy", placement.strategy.word());
    }
    let names = |all: &mut dyn Iterator<Item = String>| list(&all.collect::<Vec<_>>());
    if !placement.sites.is_empty() {
        out.line(3, "sites", &names(&mut placement.sites.iter().map(ToString::to_string)));
    }
    if !placement.apart.is_empty() {
        out.line(3, "apart", &names(&mut placement.apart.iter().map(ToString::to_string)));
    }
    if !placement.prefer.is_empty() {
        out.open(3, "prefer");
    }
    for wish in &placement.prefer {
        let constraint = quoted(&wish.constraint.to_string());
        out.raw(4, &format!("- {{match: {constraint}, weight: {}}}", wish.weight));
    }
    if placement.on_loss != OnLoss::default() {
        let OnLoss { rule, after_ms, at_once } = &placement.on_loss;
        let rule = rule.map_or_else(String::new, |rule| format!("rule: {}, ", rule.word()));
        out.line(3, "on_host_loss", &format!("{{{rule}after: {after_ms}ms, at_once: {at_once}}}"));
    }
    let Resources { disk_reserved, bandwidth_reserved, .. } = &spec.resources;
    let reserved: Vec<String> = [("disk", disk_reserved), ("bandwidth", bandwidth_reserved)]
        .into_iter()
        .filter_map(|(key, value)| Some(format!("{key}: {}", (*value)?)))
        .collect();
    if !reserved.is_empty() {
        out.line(3, "reserve", &format!("{{{}}}", reserved.join(", ")));
    }
}

fn ports_and_mounts(out: &mut Writer, spec: &PoolSpec) {
    if !spec.ports.is_empty() {
        out.open(2, "ports");
    }
    for port in &spec.ports {
        let mut text = format!("target: {}, protocol: {}", port.target, quoted(&port.protocol));
        if let Some(published) = port.published {
            let _ = write!(text, ", published: {published}");
        }
        if let Some(address) = &port.host_ip {
            let _ = write!(text, ", host_ip: {}", quoted(address));
        }
        out.raw(3, &format!("- {{{text}}}"));
    }
    if !spec.mounts.is_empty() {
        out.open(2, "volumes");
    }
    for mount in &spec.mounts {
        let kind = match mount.kind {
            MountKind::Bind => "bind",
            MountKind::Volume => "volume",
            MountKind::Tmpfs => "tmpfs",
        };
        let (source, target) = (quoted(&mount.source), quoted(&mount.target));
        let read_only = mount.read_only;
        out.raw(
            3,
            &format!("- {{type: {kind}, source: {source}, target: {target}, read_only: {read_only}}}"),
        );
    }
}

fn health(out: &mut Writer, check: &HealthCheck) {
    out.open(2, "healthcheck");
    out.line(3, "test", &list(&check.test));
    let times = [
        ("interval", check.interval_ms),
        ("timeout", check.timeout_ms),
        ("start_period", check.start_period_ms),
    ];
    for (key, ms) in times {
        if let Some(ms) = ms {
            out.line(3, key, &format!("{ms}ms"));
        }
    }
    if let Some(retries) = check.retries {
        out.line(3, "retries", &retries.to_string());
    }
}

fn deploy(out: &mut Writer, spec: &PoolSpec) {
    out.open(2, "deploy");
    out.line(3, "replicas", &spec.replicas.to_string());
    let delay = match spec.update_delay_ms {
        0 => String::new(),
        ms => format!(", delay: {ms}ms"),
    };
    out.line(3, "update_config", &format!("{{parallelism: {}{delay}}}", spec.update_parallelism));
    let condition = match spec.restart.condition {
        RestartCondition::None => "none",
        RestartCondition::OnFailure => "on-failure",
        RestartCondition::Any => "any",
    };
    out.open(3, "restart_policy");
    out.line(4, "condition", condition);
    out.line(4, "delay", &format!("{}ms", spec.restart.delay_ms));
    out.line(4, "window", &format!("{}ms", spec.restart.window_ms));
    if let Some(most) = spec.restart.max_attempts {
        out.line(4, "max_attempts", &most.to_string());
    }
    out.map(3, "labels", &spec.pool_labels);
    let Placement { constraints, spread, max_per_host, .. } = &spec.placement;
    if !constraints.is_empty() || !spread.is_empty() || max_per_host.is_some() {
        out.open(3, "placement");
    }
    if !constraints.is_empty() {
        let all: Vec<String> = constraints.iter().map(ToString::to_string).collect();
        out.line(4, "constraints", &list(&all));
    }
    if !spread.is_empty() {
        let all: Vec<String> =
            spread.iter().map(|a| format!("{{spread: {}}}", quoted(&a.to_string()))).collect();
        out.line(4, "preferences", &format!("[{}]", all.join(", ")));
    }
    if let Some(most) = max_per_host {
        out.line(4, "max_replicas_per_node", &most.to_string());
    }
    resources(out, &spec.resources);
}

fn resources(out: &mut Writer, resources: &Resources) {
    if (Resources { disk_reserved: None, bandwidth_reserved: None, ..resources.clone() })
        == Resources::default()
    {
        return;
    }
    let cpus = |milli: u64| format!("\"{}.{:03}\"", milli / 1000, milli % 1000);
    out.open(3, "resources");
    let group = |out: &mut Writer, name: &str, cpu: Option<u64>, memory: Option<u64>, pids: Option<i64>| {
        let values: Vec<String> = [
            cpu.map(|c| format!("cpus: {}", cpus(c))),
            memory.map(|m| format!("memory: {m}b")),
            pids.map(|p| format!("pids: {p}")),
        ]
        .into_iter()
        .flatten()
        .collect();
        if !values.is_empty() {
            out.line(4, name, &format!("{{{}}}", values.join(", ")));
        }
    };
    group(out, "limits", resources.cpu_limit_milli, resources.memory_limit, resources.pids_limit);
    group(out, "reservations", resources.cpu_reserved_milli, resources.memory_reserved, None);
}
