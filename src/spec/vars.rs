//! Puts variables into every value of the tree, once, before anything is read from it.

use crate::spec::cx::{Cx, join};
use crate::spec::fault::{At, PoolFileFault};
use crate::spec::interpolate::{Problem, interpolate};
use crate::spec::tree::{Node, Value};

/// Most that all values may have together after variables are put in, in bytes.
const GROWN_MAX: usize = 32 << 20;

/// Completes the values below `node`. Top-level extensions (`x-…`) other than our own are left alone: nothing reads them.
pub fn complete(cx: &mut Cx<'_>, root: &mut Node) {
    let mut grown = 0;
    let Value::Map(entries) = &mut root.value else { return };
    for entry in entries.iter_mut() {
        if !entry.key.starts_with("x-") || entry.key == "x-longshore" {
            let path = join("", &entry.key);
            walk(cx, &mut entry.value, &path, &mut grown);
        }
    }
}

fn walk(cx: &mut Cx<'_>, node: &mut Node, path: &str, grown: &mut usize) {
    match &mut node.value {
        Value::Null => {}
        Value::Text(text) => {
            if let Some(new) = value(cx, text, node.at, path) {
                *text = new;
            }
            *grown += text.len();
            if *grown > GROWN_MAX {
                cx.error(PoolFileFault::new(
                    At::default(),
                    "",
                    "the file grows too large with its variables",
                ));
                text.clear();
            }
        }
        Value::List(items) => {
            for (i, item) in items.iter_mut().enumerate() {
                walk(cx, item, &format!("{path}[{i}]"), grown);
            }
        }
        Value::Map(entries) => {
            for entry in entries {
                walk(cx, &mut entry.value, &join(path, &entry.key), grown);
            }
        }
    }
}

/// The completed text; `None` when nothing is to be changed or a fault was found.
pub fn value(cx: &mut Cx<'_>, text: &str, at: At, path: &str) -> Option<String> {
    if text.contains('\0') {
        cx.error(PoolFileFault::new(at, path, "the text has a zero byte").hint("engines cannot take it"));
    }
    if !text.contains('$') {
        return None;
    }
    let mut unset = Vec::new();
    let result = interpolate(text, &|name| cx.lookup(name), &mut unset);
    for name in unset {
        let what = format!("the variable {name} is not set and counts as empty");
        let hint = format!("set it, or write ${{{name}:-default}}");
        cx.warn(PoolFileFault::new(at, path, what).hint(hint));
    }
    let fault = match result {
        Ok(text) => return Some(text),
        Err(Problem::Syntax(why)) => {
            PoolFileFault::new(at, path, why).hint("variables are $NAME or ${NAME}; write $$ for a dollar")
        }
        Err(Problem::Missing { name, message }) => {
            let empty = if cx.lookup(&name).is_some() { "is empty" } else { "is not set" };
            let said = if message.is_empty() { String::new() } else { format!(": {message}") };
            PoolFileFault::new(at, path, format!("the variable {name} {empty}{said}"))
                .hint("set it in the environment or in the .env file beside the pool file")
        }
        Err(Problem::TooLong) => PoolFileFault::new(at, path, "the value grows too long with its variables"),
    };
    cx.break_at(fault);
    None
}
