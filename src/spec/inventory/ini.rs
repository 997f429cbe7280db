//! Ansible's INI inventories: sections of hosts, of groups and of variables.

use std::collections::{BTreeMap, BTreeSet};

use crate::spec::fault::{At, PoolFileFault};
use crate::spec::inventory::ansible::{ALL, Inventory, UNGROUPED};
use crate::spec::inventory::draft::Placed;
use crate::spec::inventory::hostnames;
use crate::spec::inventory::sheet::Sheet;

/// What the lines of a section are.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Lines {
    Hosts,
    Children,
    Vars,
    /// Of a section that makes no sense: said once.
    Skipped,
}

/// Reads all lines.
pub fn read(sheet: &mut Sheet, text: &str) -> Inventory {
    let mut inventory = Inventory::default();
    // Groups that are spoken of, and those that are there.
    let mut named: Vec<(String, At, &'static str)> = Vec::new();
    let mut declared: BTreeSet<String> = [ALL, UNGROUPED].map(str::to_owned).into();
    let (mut group, mut lines) = (UNGROUPED.to_owned(), Lines::Hosts);
    for (i, raw) in text.lines().enumerate() {
        let line = raw.trim();
        let column = raw.len() - raw.trim_start().len() + 1;
        let at = At { line: i + 1, column };
        if line.is_empty() || line.starts_with(['#', ';']) {
            continue;
        }
        if let Some((name, tag)) = section(line) {
            lines = kind(sheet, at, line, tag);
            name.clone_into(&mut group);
            inventory.group(name, at);
            match lines {
                Lines::Vars => named.push((group.clone(), at, "variables are given to")),
                Lines::Hosts | Lines::Children => drop(declared.insert(group.clone())),
                Lines::Skipped => {}
            }
            continue;
        }
        if line.starts_with('[') && line.ends_with(']') {
            sheet.fault(
                PoolFileFault::new(at, "", format!("{line:?} is not a section"))
                    .expected("[GROUP], [GROUP:children] or [GROUP:vars], without blanks"),
            );
            lines = Lines::Skipped;
            continue;
        }
        match lines {
            Lines::Hosts => hosts(sheet, &mut inventory, &group, at, line),
            Lines::Children => {
                let child = line.split('#').next().unwrap_or("").trim_end();
                if child.is_empty() || child.contains([':', ']']) || child.contains(char::is_whitespace) {
                    let fault = PoolFileFault::new(at, "", format!("{line:?} is not the name of a group"));
                    sheet.fault(fault.expected("one group a line"));
                    continue;
                }
                inventory.group(&group, at).children.insert(child.to_owned());
                named.push((child.to_owned(), at, "the section takes in"));
            }
            Lines::Vars => match line.split_once('=') {
                Some((key, value)) => {
                    let value = Placed { at, text: literal(value.trim()) };
                    inventory.group(&group, at).vars.insert(key.trim().to_owned(), value);
                }
                None => sheet.fault(
                    PoolFileFault::new(at, "", format!("{line:?} gives no variable")).expected("KEY=VALUE"),
                ),
            },
            Lines::Skipped => {}
        }
    }
    for (name, at, how) in named.into_iter().filter(|(name, ..)| !declared.contains(name)) {
        let fault = PoolFileFault::new(at, "", format!("{how} the group {name:?}, which is nowhere"));
        sheet.fault(fault.expected(format!("a section [{name}] or [{name}:children]")));
    }
    inventory
}

/// `[name]` or `[name:tag]`, with a comment behind it or without.
fn section(line: &str) -> Option<(&str, Option<&str>)> {
    let (inner, rest) = line.strip_prefix('[')?.split_once(']')?;
    let rest = rest.trim_start();
    if !rest.is_empty() && !rest.starts_with('#') {
        return None;
    }
    let (name, tag) = inner.split_once(':').map_or((inner, None), |(name, tag)| (name, Some(tag)));
    let word = |t: &str| !t.is_empty() && t.chars().all(|c| c.is_alphanumeric() || c == '_');
    let fits = !name.is_empty() && !name.contains(char::is_whitespace) && tag.is_none_or(word);
    fits.then_some((name, tag))
}

fn kind(sheet: &mut Sheet, at: At, line: &str, tag: Option<&str>) -> Lines {
    match tag {
        None | Some("hosts") => Lines::Hosts,
        Some("children") => Lines::Children,
        Some("vars") => Lines::Vars,
        Some(other) => {
            let fault = PoolFileFault::new(at, "", format!("{line:?}: there are no sections of {other:?}"));
            sheet.fault(fault.expected("children or vars"));
            Lines::Skipped
        }
    }
}

/// A host or a range of hosts, with variables behind it.
fn hosts(sheet: &mut Sheet, inventory: &mut Inventory, group: &str, at: At, line: &str) {
    let words = match split(line) {
        Ok(words) => words,
        Err(why) => {
            return sheet.fault(PoolFileFault::new(at, "", why).hint("close the quotes of this line"));
        }
    };
    let Some((pattern, pairs)) = words.split_first() else { return };
    let mut vars = BTreeMap::new();
    for pair in pairs {
        match pair.split_once('=') {
            Some((key, value)) => {
                vars.insert(key.to_owned(), Placed { at, text: literal(value) });
            }
            None => {
                let fault = PoolFileFault::new(at, "", format!("{pair:?} gives no variable"));
                sheet.fault(fault.expected("KEY=VALUE behind the name of a host"));
            }
        }
    }
    inventory.group(group, at);
    hostnames::add(sheet, inventory, pattern, at, group, &vars);
}

/// A value of Python as Ansible reads it, as far as it is a text or a number; anything else stays as it is written.
fn literal(value: &str) -> String {
    let bare = |rest: &str| rest.trim().is_empty() || rest.trim_start().starts_with('#');
    if let Some(quote) = value.chars().next().filter(|c| matches!(c, '\'' | '"')) {
        let (mut out, mut escaped) = (String::new(), false);
        for (i, c) in value.char_indices().skip(1) {
            match c {
                _ if escaped => {
                    out.push(c);
                    escaped = false;
                }
                '\\' => escaped = true,
                c if c == quote => return if bare(&value[i + 1..]) { out } else { value.to_owned() },
                c => out.push(c),
            }
        }
        return value.to_owned();
    }
    let head = value.split('#').next().unwrap_or("").trim();
    let number = !head.is_empty() && head.bytes().all(|b| b.is_ascii_digit());
    if number { head.to_owned() } else { value.to_owned() }
}

/// Words as Python's `shlex` parts them, where `#` begins a comment even within a word.
fn split(line: &str) -> Result<Vec<String>, String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        match c {
            '#' => break,
            c if c.is_whitespace() => words.extend(word.take()),
            '\\' => match chars.next() {
                Some(next) => word.get_or_insert_default().push(next),
                None => return Err("the line ends with a backslash".to_owned()),
            },
            quote @ ('\'' | '"') => {
                let into = word.get_or_insert_default();
                loop {
                    match chars.next() {
                        None => return Err(format!("the quote {quote} is not closed")),
                        Some(c) if c == quote => break,
                        Some('\\') if quote == '"' => match chars.next() {
                            Some(c @ ('"' | '\\')) => into.push(c),
                            Some(c) => into.extend(['\\', c]),
                            None => return Err(format!("the quote {quote} is not closed")),
                        },
                        Some(c) => into.push(c),
                    }
                }
            }
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    Ok(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_parted_as_ansible_parts_them() {
        let words = split(r#"db1 a='x y' b="p \"q\"" c=1#2 d=3"#).unwrap();
        assert_eq!(words, ["db1", "a=x y", r#"b=p "q""#, "c=1"]);
        assert!(split("db1 a='x").is_err() && split("db1 \\").is_err());
    }

    #[test]
    fn values_are_read_as_python_would() {
        let cases = [
            ("'ops'", "ops"),
            ("\"ops\" # who", "ops"),
            ("22 # port", "22"),
            ("ops # who", "ops # who"),
            ("'a' b", "'a' b"),
            ("'a", "'a"),
            ("", ""),
            ("022", "022"),
        ];
        for (text, value) in cases {
            assert_eq!(literal(text), value, "{text}");
        }
    }

    #[test]
    fn sections_are_told_from_other_lines() {
        assert_eq!(section("[web]"), Some(("web", None)));
        assert_eq!(section("[web:vars] # x"), Some(("web", Some("vars"))));
        assert_eq!(section("[a b]").or(section("[]")).or(section("[web:]")).or(section("[web] x")), None);
    }
}
