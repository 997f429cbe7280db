//! `networks` and `network_mode` of a service.

use std::collections::BTreeSet;

use crate::model::pool::{Network, PoolSpec};
use crate::spec::cx::{Cx, Field, Section};
use crate::spec::file::Cluster;
use crate::spec::keys;
use crate::spec::tree::Value;

/// Fills in `networks` or `network_mode`. Without either a pool joins the cluster's default network, as in Compose; on
/// every network it is reached by its service's name.
pub fn read(cx: &mut Cx<'_>, cluster: &Cluster, service: &Section<'_>, name: &str, spec: &mut PoolSpec) {
    let listed = service.get("networks");
    if let Some(field) = service.get("network_mode") {
        spec.network_mode = mode(cx, &field);
        if let Some(networks) = &listed {
            let fault = networks.fault("`networks` and `network_mode` exclude each other");
            cx.error(fault.hint("keep one of them"));
        }
        let isolated = matches!(spec.network_mode.as_deref(), Some("host" | "none"));
        if isolated && let Some(ports) = service.get("ports") {
            let mode = spec.network_mode.as_deref().unwrap_or_default();
            cx.warn(ports.fault(format!("`ports` have no effect with `network_mode: {mode}`")));
        }
        return;
    }
    if let Some(field) = listed {
        if let Value::Map(_) = field.node.value {
            for (key, _, value) in cx.map(&field) {
                let aliases = aliases(cx, &value);
                join(cx, cluster, &value, key, name, aliases, spec);
            }
        } else {
            for item in cx.list(&field) {
                if let Some(key) = cx.text(&item) {
                    join(cx, cluster, &item, key, name, Vec::new(), spec);
                }
            }
        }
        if !spec.networks.is_empty() || matches!(&field.node.value, Value::Text(_)) {
            return;
        }
    }
    if let Some(default) = cluster.networks.get("default") {
        let (name, external, aliases) = (default.name.clone(), default.external, vec![name.to_owned()]);
        spec.networks.push(Network { name, aliases, external });
    }
}

fn mode(cx: &mut Cx<'_>, field: &Field<'_>) -> Option<String> {
    let text = cx.text(field)?;
    if ["none", "host", "bridge"].contains(&text) {
        return Some(text.to_owned());
    }
    let fault = field.fault(format!("the network mode {text:?} is not supported"));
    cx.error(fault.expected("none, host or bridge"));
    None
}

fn aliases(cx: &mut Cx<'_>, value: &Field<'_>) -> Vec<String> {
    if value.node.value == Value::Null {
        return Vec::new();
    }
    let section = cx.section(value, &keys::MEMBERSHIP);
    section.get("aliases").map(|f| cx.texts(&f)).unwrap_or_default()
}

fn join(
    cx: &mut Cx<'_>,
    cluster: &Cluster,
    at: &Field<'_>,
    key: &str,
    service: &str,
    more: Vec<String>,
    spec: &mut PoolSpec,
) {
    let Some(named) = cluster.networks.get(key) else {
        let fault = at.fault(format!("the network {key:?} is not declared"));
        let fault = fault.hint("add it under `networks:` at the top level");
        let fault = cx.meant(fault, key, cluster.networks.keys().map(String::as_str));
        cx.error(fault);
        return;
    };
    if spec.networks.iter().any(|n| n.name == named.name) {
        cx.error(at.fault(format!("the network {:?} is joined twice", named.name)).hint("keep one of them"));
        return;
    }
    let mut seen = BTreeSet::from([service.to_owned()]);
    let more = more.into_iter().filter(|alias| seen.insert(alias.clone()));
    let aliases: Vec<String> = std::iter::once(service.to_owned()).chain(more.collect::<Vec<_>>()).collect();
    spec.networks.push(Network { name: named.name.clone(), aliases, external: named.external });
}
