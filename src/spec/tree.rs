//! YAML text to a small tree that knows the place of every key and value; anchors, aliases and `<<` are resolved here.
//!
//! Built on the parser's events, because its ready-made tree drops duplicate keys and the text of plain scalars
//! (`1.10` would become a number). Sizes and depth are capped, also after aliases are copied ("billion laughs").

use std::collections::{HashMap, HashSet};

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, ScanError, StrInput, Tag};

use crate::spec::fault::{At, PoolFileFault};

/// Longest pool file in bytes. The largest real Compose files are near 200 KiB.
pub const TEXT_MAX: usize = 1 << 20;
/// Deepest nesting. Compose itself needs about 10.
pub const DEPTH_MAX: usize = 40;
/// Most that the tree may cost after aliases are copied, in bytes (each node counts [`NODE_COST`] and its text).
const COST_MAX: usize = 32 << 20;
/// What a node costs besides its text, in bytes; near its size in memory.
const NODE_COST: usize = 96;

/// A value with its place.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// Where it begins. For a copied alias: where the anchor's value begins.
    pub at: At,
    /// What it is.
    pub value: Value,
}

/// What a node is. Scalars stay text: each reader knows what it wants.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Nothing, `~` or `null`.
    Null,
    /// A scalar, as written (escapes and folding resolved).
    Text(String),
    /// A sequence.
    List(Vec<Node>),
    /// A mapping in the file's order, merged keys last.
    Map(Vec<Entry>),
}

/// A key and its value.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// The key.
    pub key: String,
    /// Where the key begins.
    pub at: At,
    /// The value.
    pub value: Node,
}

/// Reads one YAML document. The tree is `None` when the text is no YAML or a cap was reached; faults that leave a usable
/// tree (duplicate keys, unknown anchors) come beside it, so that the rest is checked as well.
pub fn parse(text: &str) -> (Option<Node>, Vec<PoolFileFault>) {
    if text.len() > TEXT_MAX {
        let what = format!("the file has {} bytes", text.len());
        let fault = PoolFileFault::new(At::default(), "", what).expected(format!("at most {TEXT_MAX}"));
        return (None, vec![fault]);
    }
    let mut builder = Builder::default();
    let mut parser = Parser::<StrInput<'_>>::new_from_str(text);
    while let Some(next) = parser.next_event() {
        let done = match next {
            Ok((event, span)) => builder.take(event, place(&span.start)),
            Err(error) => Err(Box::new(syntax(text, &error))),
        };
        if let Err(fault) = done {
            builder.faults.push(*fault);
            return (None, builder.faults);
        }
    }
    (builder.root, builder.faults)
}

fn place(mark: &Marker) -> At {
    At { line: mark.line().max(1), column: mark.col() + 1 }
}

/// The parser's own words, and a hint for the two mistakes that people make most.
fn syntax(text: &str, error: &ScanError) -> PoolFileFault {
    let at = place(error.marker());
    let fault = PoolFileFault::new(at, "", format!("this is not YAML: {}", error.info()));
    let indented_by_tab = |line: &str| line.trim_start_matches(' ').starts_with('\t');
    let near = text.lines().enumerate().skip(at.line.saturating_sub(2)).take(2);
    match near.into_iter().find(|(_, line)| indented_by_tab(line)) {
        Some((i, _)) => fault.hint(format!("line {} is indented with a tab; YAML wants spaces", i + 1)),
        None => {
            fault.hint("look at the indentation, the colons and the quotes of this line and the one before")
        }
    }
}

/// A fault that ends the reading is boxed: it is rare and large.
type Step = Result<(), Box<PoolFileFault>>;

/// A list or a map that is not complete yet.
struct Frame {
    at: At,
    anchor: usize,
    /// What had been spent when it began.
    spent: usize,
    parts: Parts,
}

enum Parts {
    List(Vec<Node>),
    Map { entries: Vec<Entry>, seen: HashMap<String, usize>, merges: Vec<Node>, key: Option<(String, At)> },
}

struct Anchored {
    node: Node,
    cost: usize,
    depth: usize,
}

#[derive(Default)]
struct Builder {
    stack: Vec<Frame>,
    anchors: HashMap<usize, Anchored>,
    root: Option<Node>,
    documents: usize,
    spent: usize,
    faults: Vec<PoolFileFault>,
}

impl Builder {
    fn take(&mut self, event: Event<'_>, at: At) -> Step {
        match event {
            Event::DocumentStart(_) => {
                self.documents += 1;
                if self.documents > 1 {
                    let fault =
                        PoolFileFault::new(at, "", "a second document begins here").expected("one document");
                    return Err(Box::new(fault.hint("write one file for each cluster")));
                }
            }
            Event::Scalar(text, style, anchor, tag) => {
                let value = self.scalar(text.into_owned(), style, tag.as_deref(), at);
                let begun = self.spent;
                self.add(Node { at, value }, anchor, begun)?;
            }
            Event::Alias(id) => self.alias(id, at)?,
            Event::SequenceStart(anchor, tag) => {
                self.refuse_tag(tag.as_deref(), &["seq"], at);
                self.open(at, anchor, Parts::List(Vec::new()))?;
            }
            Event::MappingStart(anchor, tag) => {
                self.refuse_tag(tag.as_deref(), &["map"], at);
                let (entries, seen, merges) = (Vec::new(), HashMap::new(), Vec::new());
                self.open(at, anchor, Parts::Map { entries, seen, merges, key: None })?;
            }
            Event::SequenceEnd | Event::MappingEnd => self.close()?,
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => {}
        }
        Ok(())
    }

    fn scalar(&mut self, text: String, style: ScalarStyle, tag: Option<&Tag>, at: At) -> Value {
        let core = tag.filter(|t| t.is_yaml_core_schema()).map(|t| t.suffix.as_str());
        self.refuse_tag(tag, &["str", "int", "float", "bool", "null", "merge"], at);
        let says_null = matches!(text.as_str(), "" | "~" | "null" | "Null" | "NULL");
        if says_null && style == ScalarStyle::Plain && core != Some("str") {
            Value::Null
        } else {
            Value::Text(text)
        }
    }

    fn refuse_tag(&mut self, tag: Option<&Tag>, fine: &[&str], at: At) {
        if let Some(tag) = tag
            && !(tag.is_yaml_core_schema() && fine.contains(&tag.suffix.as_str()))
            && !(tag.handle.is_empty() && tag.suffix == "!")
        {
            let what = format!("the tag {tag} is not supported");
            self.faults.push(PoolFileFault::new(at, "", what).hint("write the value without a tag"));
        }
    }

    fn alias(&mut self, id: usize, at: At) -> Step {
        let Some(anchored) = self.anchors.get(&id) else {
            let what = "this alias refers to a value that is not complete yet";
            self.faults.push(PoolFileFault::new(at, "", what).hint("a value cannot contain itself"));
            let begun = self.spent;
            return self.add(Node { at, value: Value::Null }, 0, begun);
        };
        let begun = self.spent;
        self.spent = self.spent.saturating_add(anchored.cost);
        if self.spent > COST_MAX {
            return Err(too_large(at));
        }
        if self.stack.len() + anchored.depth > DEPTH_MAX {
            return Err(too_deep(at));
        }
        let node = anchored.node.clone();
        self.add(node, 0, begun)
    }

    fn open(&mut self, at: At, anchor: usize, parts: Parts) -> Step {
        if self.stack.len() >= DEPTH_MAX {
            return Err(too_deep(at));
        }
        self.stack.push(Frame { at, anchor, spent: self.spent, parts });
        Ok(())
    }

    fn close(&mut self) -> Step {
        let Some(frame) = self.stack.pop() else { return Ok(()) };
        let value = match frame.parts {
            Parts::List(items) => Value::List(items),
            Parts::Map { mut entries, merges, .. } => {
                self.merge(&mut entries, merges);
                Value::Map(entries)
            }
        };
        self.add(Node { at: frame.at, value }, frame.anchor, frame.spent)
    }

    /// Puts a complete node where it belongs. `begun`: what had been spent before it.
    fn add(&mut self, node: Node, anchor: usize, begun: usize) -> Step {
        let text = if let Value::Text(text) = &node.value { text.len() } else { 0 };
        self.spent = self.spent.saturating_add(NODE_COST + text);
        if self.spent > COST_MAX {
            return Err(too_large(node.at));
        }
        if anchor > 0 {
            let anchored = Anchored { node: node.clone(), cost: self.spent - begun, depth: depth(&node) };
            self.spent = self.spent.saturating_add(anchored.cost);
            self.anchors.insert(anchor, anchored);
        }
        let Some(frame) = self.stack.last_mut() else {
            self.root = Some(node);
            return Ok(());
        };
        match &mut frame.parts {
            Parts::List(items) => items.push(node),
            Parts::Map { entries, seen, merges, key } => match key.take() {
                None => *key = Some(key_of(node, &mut self.faults)),
                Some((name, _)) if name == "<<" => merges.push(node),
                Some((name, at)) => {
                    if let Some(first) = seen.insert(name.clone(), at.line) {
                        let what = format!("the key {name:?} is given twice, first in line {first}");
                        self.faults.push(PoolFileFault::new(at, "", what).hint("keep one of them"));
                        seen.insert(name, first);
                    } else {
                        entries.push(Entry { key: name, at, value: node });
                    }
                }
            },
        }
        Ok(())
    }

    /// `<<`: keys of the map itself win, then those of the earlier merged map.
    fn merge(&mut self, entries: &mut Vec<Entry>, merges: Vec<Node>) {
        let mut have: HashSet<String> = entries.iter().map(|e| e.key.clone()).collect();
        let mut maps = Vec::new();
        for merge in merges {
            match merge.value {
                Value::List(items) => maps.extend(items),
                _ => maps.push(merge),
            }
        }
        for map in maps {
            let Value::Map(more) = map.value else {
                let what = "`<<` is given something that is not a map";
                self.faults.push(
                    PoolFileFault::new(map.at, "", what)
                        .expected("an alias of a map (`<<: *name`) or a list of them"),
                );
                continue;
            };
            entries.extend(more.into_iter().filter(|entry| have.insert(entry.key.clone())));
        }
    }
}

fn key_of(node: Node, faults: &mut Vec<PoolFileFault>) -> (String, At) {
    let key = match node.value {
        Value::Text(text) => text,
        Value::Null => "null".to_owned(),
        Value::List(_) | Value::Map(_) => {
            let what = "a list or a map is used as a key";
            let hint = "quote the key when it begins with `[`, `{` or `?`";
            faults.push(PoolFileFault::new(node.at, "", what).expected("a name").hint(hint));
            "?".to_owned()
        }
    };
    (key, node.at)
}

fn depth(node: &Node) -> usize {
    match &node.value {
        Value::Null | Value::Text(_) => 1,
        Value::List(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Value::Map(entries) => 1 + entries.iter().map(|e| depth(&e.value)).max().unwrap_or(0),
    }
}

fn too_deep(at: At) -> Box<PoolFileFault> {
    Box::new(
        PoolFileFault::new(at, "", "the file is nested too deeply")
            .expected(format!("at most {DEPTH_MAX} levels")),
    )
}

fn too_large(at: At) -> Box<PoolFileFault> {
    Box::new(
        PoolFileFault::new(at, "", "the file has too many values, counting those that its aliases copy")
            .hint("use fewer anchors of anchors"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(node: &Node, key: &str) -> Option<String> {
        let Value::Map(entries) = &node.value else { return None };
        match &entries.iter().find(|e| e.key == key)?.value.value {
            Value::Text(text) => Some(text.clone()),
            _ => None,
        }
    }

    #[test]
    fn own_keys_win_over_merged_ones_and_earlier_maps_over_later() {
        let (root, faults) = parse(
            "a: &a {x: a, y: a, z: a}\nb: &b {y: b, z: b, w: b}\nc: {<<: [*a, *b], x: c}\nd: {<<: *b, <<: *a}\n",
        );
        assert_eq!(faults, []);
        let Some(Node { value: Value::Map(entries), .. }) = root else { panic!("no map") };
        let c = &entries[2].value;
        assert_eq!(["x", "y", "z", "w"].map(|k| text(c, k).unwrap()), ["c", "a", "a", "b"]);
        assert_eq!(text(&entries[3].value, "y").unwrap(), "b");
    }

    #[test]
    fn duplicates_are_faults_with_both_lines() {
        let (root, faults) = parse("a: 1\nb: 2\na: 3\n");
        assert_eq!(text(&root.unwrap(), "a").unwrap(), "1");
        assert_eq!(faults[0].at, At { line: 3, column: 1 });
        assert!(faults[0].what.contains("first in line 1"));
    }

    #[test]
    fn laughs_and_depth_are_capped() {
        let mut laughs = "a0: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol]\n".to_owned();
        for i in 1..12 {
            let of = format!("*a{}", i - 1);
            laughs.push_str(&format!("a{i}: &a{i} [{}]\n", [of.as_str(); 9].join(", ")));
        }
        let (root, faults) = parse(&laughs);
        assert!(root.is_none() && faults[0].what.contains("too many values"), "{faults:?}");
        for deep in ["[", "- ", "? ", "{a: "] {
            let (root, faults) = parse(&deep.repeat(100_000));
            let why = &faults[0].what;
            assert!(root.is_none() && (why.contains("too deeply") || why.contains("recursion")), "{why}");
        }
        let mut chain = "a0: &a0 [x]\n".to_owned();
        for i in 1..60 {
            chain.push_str(&format!("a{i}: &a{i} [*a{}]\n", i - 1));
        }
        assert!(parse(&chain).1[0].what.contains("too deeply"));
    }

    #[test]
    fn an_alias_of_itself_is_a_fault() {
        let (_, faults) = parse("a: &a [*a]\n");
        assert!(faults[0].what.contains("not complete"), "{faults:?}");
        assert!(!parse("a: *nobody\n").1.is_empty());
    }
}
