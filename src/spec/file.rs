//! The top level of a pool file: the cluster's name, its networks and volumes, and the list of its pools.

use std::collections::BTreeMap;
use std::path::Path;

use crate::base::fault::Fault;
use crate::base::ids::{ClusterName, PoolName};
use crate::model::pool::ClusterSpec;
use crate::spec::cx::{CLUSTER_VARIABLE, Cx, Field, Section};
use crate::spec::fault::{At, PoolFileFault};
use crate::spec::tree::{self, Node, Value};
use crate::spec::{dotenv, keys, service, vars};

/// Most services of one file: a guard, far beyond real files.
const SERVICES_MAX: usize = 1_000;

/// What services need to know of the file around them.
#[derive(Debug, Default)]
pub struct Cluster {
    /// The name, checked or not: only used to build other names.
    pub name: String,
    /// Networks by their key.
    pub networks: BTreeMap<String, Named>,
    /// Volumes by their key.
    pub volumes: BTreeMap<String, Named>,
    /// `x-longshore.core` of the file.
    pub core: bool,
}

/// A network or a volume of the top level.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// Its name on the engines.
    pub name: String,
    /// Made by somebody else.
    pub external: bool,
}

/// The whole file; `None` when it is too broken to go on.
pub fn read(cx: &mut Cx<'_>, text: &str) -> Option<ClusterSpec> {
    let (root, faults) = tree::parse(text.strip_prefix('\u{feff}').unwrap_or(text));
    let broken = root.is_none() && !faults.is_empty();
    for fault in faults {
        cx.break_at(fault);
    }
    let Some(Node { at, value: Value::Map(entries) }) = root else {
        if !broken {
            let fault = PoolFileFault::new(At { line: 1, column: 1 }, "", "the file has no keys");
            cx.error(fault.expected("a Compose file with `services`"));
        }
        return None;
    };
    let mut root = Node { at, value: Value::Map(entries) };
    read_dotenv(cx);
    let name = cluster_name(cx, &root);
    vars::complete(cx, &mut root);
    let field = Field { node: &root, path: String::new() };
    let top = cx.section(&field, &keys::FILE);
    let mut cluster = Cluster { name: name.to_string(), ..Cluster::default() };
    read_core(cx, &top, &mut cluster);
    cluster.networks = read_networks(cx, &top, &cluster.name);
    cluster.volumes = read_volumes(cx, &top, &cluster.name);
    let pools = read_services(cx, &top, &cluster);
    Some(ClusterSpec { name, pools, source: text.to_owned() })
}

fn read_dotenv(cx: &mut Cx<'_>) {
    let path = cx.sources.folder.join(".env");
    match (cx.sources.read)(&path) {
        Ok(None) => {}
        Ok(Some(text)) => {
            let env = cx.sources.env;
            let (pairs, faults) = dotenv::parse(&text, false, env);
            cx.dotenv = pairs.into_iter().filter_map(|(key, value)| Some((key, value?))).collect();
            for fault in faults {
                cx.error(fault.in_file(".env"));
            }
        }
        Err(why) => cx.error(PoolFileFault::new(At::default(), "", why).in_file(".env")),
    }
}

/// `name:`, else the folder's name as Compose normalises it. It is known to the file as `COMPOSE_PROJECT_NAME`.
fn cluster_name(cx: &mut Cx<'_>, root: &Node) -> ClusterName {
    let Value::Map(entries) = &root.value else { return unnamed() };
    let named = entries.iter().find(|e| e.key == "name").and_then(|e| match &e.value.value {
        Value::Text(text) => Some((e.value.at, text.clone())),
        _ => None,
    });
    let name = match named {
        Some((at, text)) => {
            let name = vars::value(cx, &text, at, "name").unwrap_or(text);
            ClusterName::new(&name).map_err(|e| name_fault(at, "name", &e))
        }
        None => {
            let name = normalised(&cx.sources.folder);
            let what = "the file has no `name`, and its folder has no name to use";
            ClusterName::new(&name).map_err(|_| {
                PoolFileFault::new(root.at, "", what).hint("write `name: something` at the top of the file")
            })
        }
    };
    match name {
        Ok(name) => {
            cx.dotenv.insert(CLUSTER_VARIABLE.to_owned(), name.to_string());
            name
        }
        Err(fault) => {
            cx.error(fault);
            unnamed()
        }
    }
}

/// Stands in for a name that was refused, so that the rest of the file is checked as well.
#[expect(clippy::expect_used, reason = "a constant that keeps the rule of names; a test makes it")]
fn unnamed() -> ClusterName {
    ClusterName::new("unnamed").expect("a valid name")
}

fn normalised(folder: &Path) -> String {
    let name = folder.file_name().map(|n| n.to_string_lossy().to_lowercase()).unwrap_or_default();
    let kept: String = name.chars().filter(|c| c.is_ascii_alphanumeric() || "-_".contains(*c)).collect();
    kept.trim_start_matches(['-', '_']).to_owned()
}

fn name_fault(at: At, path: &str, fault: &Fault) -> PoolFileFault {
    let place = PoolFileFault::new(at, path, fault.to_string());
    match &fault.hint {
        Some(hint) => place.hint(hint.clone()),
        None => place,
    }
}

fn read_core(cx: &mut Cx<'_>, top: &Section<'_>, cluster: &mut Cluster) {
    if let Some(field) = top.get("x-longshore") {
        let section = cx.section(&field, &keys::X_FILE);
        cluster.core = section.get("core").and_then(|f| cx.truth(&f)).unwrap_or(false);
    }
}

fn read_networks(cx: &mut Cx<'_>, top: &Section<'_>, cluster: &str) -> BTreeMap<String, Named> {
    let mut all = read_named(cx, top.get("networks"), cluster, &keys::NETWORK, &["bridge", "default"]);
    let default = || Named { name: format!("{cluster}_default"), external: false };
    all.entry("default".to_owned()).or_insert_with(default);
    all
}

fn read_volumes(cx: &mut Cx<'_>, top: &Section<'_>, cluster: &str) -> BTreeMap<String, Named> {
    read_named(cx, top.get("volumes"), cluster, &keys::VOLUME, &["local", "default"])
}

/// Named things of the top level: `KEY:` with nothing, or with `name`, `external`, `driver`.
fn read_named(
    cx: &mut Cx<'_>,
    field: Option<Field<'_>>,
    cluster: &str,
    table: &keys::Table,
    drivers: &[&str],
) -> BTreeMap<String, Named> {
    let mut all = BTreeMap::new();
    let Some(field) = field else { return all };
    for (key, at, value) in cx.map(&field) {
        let mut named = Named { name: format!("{cluster}_{key}"), external: false };
        if value.node.value != Value::Null {
            let section = cx.section(&value, table);
            let given = read_external(cx, &section, &mut named);
            if let Some(name) = section.get("name").and_then(|f| cx.text(&f).map(str::to_owned)).or(given) {
                named.name = name;
            } else if named.external {
                key.clone_into(&mut named.name);
            }
            if let Some(driver) = section.get("driver")
                && let Some(text) = cx.text(&driver)
                && !drivers.contains(&text)
            {
                let what = format!("the driver {text:?} is not supported");
                let fault = driver.fault(what).expected(drivers.join(" or "));
                cx.error(fault.hint("make it yourself on the hosts and say `external: true`"));
            }
        }
        if !engine_name(&named.name) {
            let what = format!("{:?} is not a name that engines take", named.name);
            let fault = PoolFileFault::new(at, &value.path, what);
            cx.error(fault.expected("letters, digits, '_', '.' and '-', the first a letter or a digit"));
        }
        all.insert(key.to_owned(), named);
    }
    all
}

/// `external: true`, or the older `external: { name: … }`; the name of the older form.
fn read_external(cx: &mut Cx<'_>, section: &Section<'_>, named: &mut Named) -> Option<String> {
    let field = section.get("external")?;
    if matches!(field.node.value, Value::Map(_)) {
        named.external = true;
        let only_name = keys::Table { name: "external", keys: &[("name", keys::Rule::Obey)] };
        let name = cx.section(&field, &only_name).get("name")?;
        return cx.text(&name).map(str::to_owned);
    }
    named.external = cx.truth(&field).unwrap_or(false);
    None
}

/// The rule of Docker for names of networks and volumes.
fn engine_name(name: &str) -> bool {
    name.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b))
}

fn read_services(
    cx: &mut Cx<'_>,
    top: &Section<'_>,
    cluster: &Cluster,
) -> Vec<(PoolName, crate::model::pool::PoolSpec)> {
    let mut pools = Vec::new();
    let Some(field) = top.get("services") else {
        let fault = PoolFileFault::new(At { line: 1, column: 1 }, "services", "the file has no services");
        cx.error(fault.expected("`services:` with at least one service, each a pool"));
        return pools;
    };
    let services = cx.map(&field);
    if services.len() > SERVICES_MAX || (services.is_empty() && matches!(field.node.value, Value::Map(_))) {
        let what = format!("there are {} services", services.len());
        cx.error(field.fault(what).expected(format!("1 to {SERVICES_MAX}")));
        return pools;
    }
    for (key, at, value) in services {
        let name = PoolName::new(key);
        if let Err(fault) = &name {
            cx.error(name_fault(at, &value.path, fault));
        }
        let spec = service::read(cx, cluster, key, at, &value);
        pools.extend(name.ok().map(|name| (name, spec)));
    }
    pools
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_are_named_as_compose_names_them() {
        let cases = [("/srv/My App", "myapp"), ("/srv/_-x_1", "x_1"), ("/srv/été", "t"), ("/", "")];
        for (folder, name) in cases {
            assert_eq!(normalised(Path::new(folder)), name);
        }
        assert_eq!(unnamed().as_str(), "unnamed");
    }
}
