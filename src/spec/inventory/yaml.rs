//! Ansible's YAML inventories: groups as maps of `hosts`, `children` and `vars`.

use std::collections::BTreeMap;

use crate::spec::fault::{At, PoolFileFault};
use crate::spec::inventory::ansible::Inventory;
use crate::spec::inventory::draft::Placed;
use crate::spec::inventory::hostnames;
use crate::spec::inventory::sheet::Sheet;
use crate::spec::tree::{self, Entry, Node, Value};

/// Tags of Ansible on values that we do not read.
const TAGS: [&str; 4] = ["!vault", "!unsafe", "!vault-encrypted", "!Vault"];

/// Reads the whole text.
pub fn read(sheet: &mut Sheet, text: &str) -> Inventory {
    let mut inventory = Inventory::default();
    let (root, faults) = tree::parse(text);
    let broken = !faults.is_empty();
    for fault in faults {
        // Encrypted values are common, and nothing that we need is ever encrypted.
        if !TAGS.iter().any(|tag| fault.what == format!("the tag {tag} is not supported")) {
            sheet.fault(fault);
        }
    }
    match root {
        Some(Node { value: Value::Map(groups), .. }) => {
            if let Some(plugin) =
                groups.iter().find(|e| e.key == "plugin" && matches!(e.value.value, Value::Text(_)))
            {
                let fault = PoolFileFault::new(
                    plugin.at,
                    "plugin",
                    "this configures a plugin of Ansible: it holds no hosts",
                );
                sheet.fault(fault.hint("import what `ansible-inventory -i FILE --list --yaml` prints"));
                return inventory;
            }
            for entry in &groups {
                group(sheet, &mut inventory, entry, "");
            }
        }
        Some(node) => sheet.fault(
            PoolFileFault::new(node.at, "", "the file has no groups")
                .expected("`all:` with `hosts` or `children`"),
        ),
        None if broken => {}
        None => sheet.fault(PoolFileFault::new(At::default(), "", "the inventory names no host")),
    }
    inventory
}

fn group(sheet: &mut Sheet, inventory: &mut Inventory, entry: &Entry, path: &str) {
    let (name, at) = (entry.key.as_str(), entry.at);
    let path = if path.is_empty() { name.to_owned() } else { format!("{path}.children.{name}") };
    let parts = match &entry.value.value {
        Value::Null => &Vec::new(),
        Value::Map(parts) => parts,
        _ => {
            let fault = PoolFileFault::new(entry.value.at, &path, "this is not a group");
            return sheet.fault(fault.expected("a map with hosts, children or vars"));
        }
    };
    inventory.group(name, at);
    for part in parts {
        let path = format!("{path}.{}", part.key);
        match part.key.as_str() {
            "hosts" => {
                for host in named(sheet, part, &path) {
                    let vars = variables(sheet, &host, &path);
                    hostnames::add(sheet, inventory, &host.key, host.at, name, &vars);
                }
            }
            "children" => {
                for child in named(sheet, part, &path) {
                    inventory.group(name, at).children.insert(child.key.clone());
                    group(sheet, inventory, &child, path.trim_end_matches(".children"));
                }
            }
            "vars" => {
                let vars = variables(sheet, part, &path);
                inventory.group(name, at).vars.extend(vars);
            }
            other => {
                let note = PoolFileFault::new(part.at, &path, format!("{other:?} of a group is not read"));
                sheet.note(note.hint("a group has hosts, children and vars"));
            }
        }
    }
}

/// The entries of `hosts` or `children`: a map, or a single name.
fn named(sheet: &mut Sheet, part: &Entry, path: &str) -> Vec<Entry> {
    match &part.value.value {
        Value::Null => Vec::new(),
        Value::Map(entries) => entries.clone(),
        Value::Text(one) => {
            let value = Node { at: part.value.at, value: Value::Null };
            vec![Entry { key: one.clone(), at: part.value.at, value }]
        }
        Value::List(_) => {
            let fault = PoolFileFault::new(part.value.at, path, "a list is given");
            sheet.fault(fault.expected("a map: each name with a colon behind it"));
            Vec::new()
        }
    }
}

/// Variables that are texts; a map of labels becomes one. Others are kept only by name.
fn variables(sheet: &mut Sheet, of: &Entry, path: &str) -> BTreeMap<String, Placed> {
    let entries = match &of.value.value {
        Value::Null => return BTreeMap::new(),
        Value::Map(entries) => entries,
        _ => {
            let fault = PoolFileFault::new(of.value.at, path, format!("{:?} has no variables", of.key));
            sheet.fault(fault.expected("a map of variables, or nothing"));
            return BTreeMap::new();
        }
    };
    let mut vars = BTreeMap::new();
    for entry in entries {
        let text = match &entry.value.value {
            Value::Text(text) => text.clone(),
            Value::Map(pairs) if entry.key == "longshore_labels" => {
                let pair = |e: &Entry| match &e.value.value {
                    Value::Text(text) => Some(format!("{}={text}", e.key)),
                    _ => None,
                };
                pairs.iter().filter_map(pair).collect::<Vec<_>>().join(";")
            }
            Value::Null => continue,
            Value::List(_) | Value::Map(_) if entry.key.starts_with("longshore_") => {
                let fault = PoolFileFault::new(entry.value.at, &entry.key, "a list or a map is given");
                sheet.fault(fault.expected("a text"));
                continue;
            }
            Value::List(_) | Value::Map(_) => continue,
        };
        vars.insert(entry.key.clone(), Placed { at: entry.value.at, text });
    }
    vars
}
