//! `environment` and `env_file` of a service.

use std::collections::BTreeMap;

use crate::spec::cx::{Cx, Field, Section};
use crate::spec::fault::{At, PoolFileFault};
use crate::spec::tree::Value;
use crate::spec::{dotenv, keys, mounts};

/// The environment of a service: its `env_file`s in their order, then `environment`, which wins.
pub fn read(cx: &mut Cx<'_>, service: &Section<'_>) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    if let Some(field) = service.get("env_file") {
        let is_list = matches!(field.node.value, Value::List(_));
        let files = if is_list { cx.list(&field) } else { vec![field] };
        for file in files {
            read_env_file(cx, &file, &mut all);
        }
    }
    if let Some(field) = service.get("environment") {
        for (key, value, item) in cx.pairs(&field) {
            if key.contains(['=', '\0']) {
                cx.error(
                    item.fault(format!("{key:?} is not a name of a variable")).expected("a name without `=`"),
                );
            }
            match value.or_else(|| cx.lookup(&key)) {
                Some(value) => drop(all.insert(key, value)),
                None => {
                    all.remove(&key);
                    let what = format!("{key} has no value here or in the environment and is left out");
                    cx.warn(item.fault(what).hint(format!("write `{key}: \"\"` for an empty value")));
                }
            }
        }
    }
    all
}

/// One file: a path, or `path`, `required` and `format`.
fn read_env_file(cx: &mut Cx<'_>, field: &Field<'_>, all: &mut BTreeMap<String, String>) {
    let (mut required, mut raw) = (true, false);
    let path = if let Value::Map(_) = field.node.value {
        let section = cx.section(field, &keys::ENV_FILE);
        required = section.get("required").and_then(|f| cx.truth(&f)).unwrap_or(true);
        if let Some(format) = section.get("format") {
            raw = cx.text(&format) == Some("raw");
            if !raw {
                cx.error(format.fault("this format is not known").expected("raw, or no `format`"));
            }
        }
        let path = section.get("path");
        if path.is_none() {
            cx.error(field.fault("it has no `path`").expected("the path of a file"));
        }
        path
    } else {
        Some(field.clone())
    };
    let Some(path) = path else { return };
    let Some(text) = cx.text(&path).filter(|t| !t.is_empty()) else { return };
    let whole = mounts::resolve(cx, text);
    match (cx.sources.read)(std::path::Path::new(&whole)) {
        Ok(Some(content)) => take(cx, text, &content, raw, all),
        Ok(None) if required => {
            let fault = path.fault(format!("the file {text:?} does not exist"));
            cx.error(fault.hint(
                "paths start at the folder of the pool file; `required: false` allows it to be missing",
            ));
        }
        Ok(None) => {}
        Err(why) => cx.error(path.fault(format!("the file {text:?}: {why}"))),
    }
}

fn take(cx: &mut Cx<'_>, name: &str, content: &str, raw: bool, all: &mut BTreeMap<String, String>) {
    let (pairs, faults) = dotenv::parse(content, raw, &|name| cx.lookup(name));
    for fault in faults {
        cx.error(fault.in_file(name));
    }
    for (key, value) in pairs {
        match value.or_else(|| cx.lookup(&key)) {
            Some(value) if value.contains('\0') => {
                let fault = PoolFileFault::new(At::default(), &key, "the value has a zero byte");
                cx.error(fault.in_file(name));
            }
            Some(value) => drop(all.insert(key, value)),
            None => drop(all.remove(&key)),
        }
    }
}
