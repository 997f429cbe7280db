//! `volumes` and `tmpfs` of a service: the short form `[SOURCE:]TARGET[:MODE]`, and the long form.

use std::path::{Component, Path, PathBuf};

use crate::model::pool::{Mount, MountKind};
use crate::spec::cx::{Cx, Field, Section};
use crate::spec::file::{Cluster, Named};
use crate::spec::keys;
use crate::spec::tree::Value;

/// Most mounts of one service: a guard, far beyond real files.
const MOUNTS_MAX: usize = 1_000;
const TARGET_EXPECTED: &str = "an absolute path inside the container";

/// The mounts of a service.
pub fn read(cx: &mut Cx<'_>, cluster: &Cluster, service: &Section<'_>) -> Vec<Mount> {
    let mut mounts: Vec<Mount> = Vec::new();
    if let Some(field) = service.get("volumes") {
        for item in cx.list(&field) {
            let mount = match item.node.value {
                Value::Map(_) => long(cx, cluster, &item),
                _ => cx.text(&item).map(str::to_owned).and_then(|text| short(cx, cluster, &item, &text)),
            };
            add(cx, &mut mounts, &item, mount);
        }
    }
    if let Some(field) = service.get("tmpfs") {
        let is_list = matches!(field.node.value, Value::List(_));
        let items = if is_list { cx.list(&field) } else { vec![field] };
        for item in items {
            let mount = tmpfs(cx, &item);
            add(cx, &mut mounts, &item, mount);
        }
    }
    mounts
}

fn add(cx: &mut Cx<'_>, mounts: &mut Vec<Mount>, item: &Field<'_>, mount: Option<Mount>) {
    let Some(mount) = mount else { return };
    if mounts.len() >= MOUNTS_MAX {
        cx.error(item.fault("there are too many mounts").expected(format!("at most {MOUNTS_MAX}")));
        return;
    }
    if !mount.target.starts_with('/') {
        let what = format!("{:?} is not an absolute path", mount.target);
        cx.error(item.fault(what).expected(TARGET_EXPECTED));
    } else if mounts.iter().any(|m| m.target.trim_end_matches('/') == mount.target.trim_end_matches('/')) {
        let what = format!("{:?} is mounted twice", mount.target);
        cx.error(item.fault(what).hint("keep one of them"));
    }
    mounts.push(mount);
}

fn tmpfs(cx: &mut Cx<'_>, item: &Field<'_>) -> Option<Mount> {
    let text = cx.text(item)?;
    if text.contains(':') {
        let fault = item.fault(format!("options of a tmpfs are not supported: {text:?}"));
        cx.error(fault.expected("a path alone").hint("limit the memory of the pool instead"));
        return None;
    }
    let (kind, target) = (MountKind::Tmpfs, text.to_owned());
    Some(Mount { kind, source: String::new(), target, read_only: false, external: false })
}

fn short(cx: &mut Cx<'_>, cluster: &Cluster, item: &Field<'_>, text: &str) -> Option<Mount> {
    let parts: Vec<&str> = text.split(':').collect();
    let (source, target, mode) = match parts[..] {
        [target] => ("", target, ""),
        [source, target] => (source, target, ""),
        [source, target, mode] => (source, target, mode),
        _ => {
            let fault = item.fault(format!("{text:?} has too many parts"));
            cx.error(fault.expected("[SOURCE:]TARGET[:ro]"));
            return None;
        }
    };
    let read_only = mode.split(',').filter(|m| !m.is_empty()).fold(false, |so_far, word| match word {
        "ro" => true,
        "rw" => false,
        "cached" | "delegated" | "consistent" => so_far,
        _ => {
            let fault = item.fault(format!("the mode {word:?} is not supported"));
            cx.error(fault.expected("ro or rw"));
            so_far
        }
    });
    let target = target.to_owned();
    if parts.len() == 1 {
        let (kind, source, external) = (MountKind::Volume, String::new(), false);
        return Some(Mount { kind, source, target, read_only, external });
    }
    if source.starts_with(['.', '/', '~']) {
        let (kind, source) = (MountKind::Bind, resolve(cx, source));
        return Some(Mount { kind, source, target, read_only, external: false });
    }
    let Named { name: source, external } = volume(cx, cluster, item, source)?;
    Some(Mount { kind: MountKind::Volume, source, target, read_only, external })
}

/// A volume that the file declares.
fn volume(cx: &mut Cx<'_>, cluster: &Cluster, at: &Field<'_>, key: &str) -> Option<Named> {
    if let Some(named) = cluster.volumes.get(key) {
        return Some(named.clone());
    }
    let fault = at.fault(format!("the volume {key:?} is not declared"));
    let fault = fault.hint(format!(
        "add it under `volumes:` at the top level, or write `./{key}` if it is a folder beside the file"
    ));
    let fault = cx.meant(fault, key, cluster.volumes.keys().map(String::as_str));
    cx.error(fault);
    None
}

fn long(cx: &mut Cx<'_>, cluster: &Cluster, item: &Field<'_>) -> Option<Mount> {
    let section = cx.section(item, &keys::MOUNT);
    for (key, table) in
        [("bind", &keys::MOUNT_BIND), ("volume", &keys::MOUNT_VOLUME), ("tmpfs", &keys::MOUNT_TMPFS)]
    {
        if let Some(options) = section.get(key) {
            cx.section(&options, table);
        }
    }
    let text = |cx: &mut Cx<'_>, key: &str| section.get(key).and_then(|f| cx.text(&f).map(str::to_owned));
    let source = text(cx, "source").filter(|s| !s.is_empty());
    let target = text(cx, "target");
    let read_only = section.get("read_only").and_then(|f| cx.truth(&f)).unwrap_or(false);
    let kind = match section.get("type") {
        None => {
            cx.error(item.fault("it has no `type`").expected("bind, volume or tmpfs"));
            return None;
        }
        Some(field) => match cx.text(&field)? {
            "bind" => MountKind::Bind,
            "volume" => MountKind::Volume,
            "tmpfs" => MountKind::Tmpfs,
            other => {
                let what = format!("the type {other:?} is not supported");
                cx.error(field.fault(what).expected("bind, volume or tmpfs"));
                return None;
            }
        },
    };
    let mut external = false;
    let source = match (kind, source) {
        (MountKind::Bind, None) => {
            cx.error(item.fault("it has no `source`").expected("the path on the host"));
            return None;
        }
        (MountKind::Bind, Some(path)) => resolve(cx, &path),
        (MountKind::Volume, Some(key)) => {
            let field = section.get("source")?;
            let named = volume(cx, cluster, &field, &key)?;
            external = named.external;
            named.name
        }
        (MountKind::Volume, None) | (MountKind::Tmpfs, _) => String::new(),
    };
    let Some(target) = target else {
        cx.error(item.fault("it has no `target`").expected(TARGET_EXPECTED));
        return None;
    };
    Some(Mount { kind, source, target, read_only, external })
}

/// A path of the host: `~` is the home folder, a relative path starts at the file's folder; `.` and `..` are resolved in
/// the text alone. An absolute path stays as it is.
pub fn resolve(cx: &Cx<'_>, path: &str) -> String {
    let home = |rest: &str| (cx.sources.env)("HOME").map(|home| format!("{home}{rest}"));
    let path = match path.strip_prefix('~') {
        Some(rest) if rest.is_empty() || rest.starts_with('/') => {
            home(rest).unwrap_or_else(|| path.to_owned())
        }
        _ => path.to_owned(),
    };
    if path.starts_with('/') {
        return path;
    }
    let mut whole = PathBuf::new();
    for part in cx.sources.folder.join(Path::new(&path)).components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => drop(whole.pop()),
            part => whole.push(part),
        }
    }
    whole.to_string_lossy().into_owned()
}
