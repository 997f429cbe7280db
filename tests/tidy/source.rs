//! Reads Rust source well enough for the house rules: blanks out comments and texts, finds paths, functions and modules.

/// One `.rs` file, as text and as code alone.
pub struct Source {
    /// Path from the repository's root, with `/`.
    pub path: String,
    /// As it is.
    pub text: String,
    /// Comments, strings and character literals are blanked out, line breaks stay.
    pub code: String,
    /// String literals with their line.
    pub strings: Vec<(usize, String)>,
}

/// A function's name, first line, and lines from its opening to its closing brace.
#[derive(Debug, PartialEq)]
pub struct Function {
    pub name: String,
    pub line: usize,
    pub lines: usize,
}

impl Source {
    pub fn new(path: &str, text: &str) -> Source {
        let (code, strings) = blank(text);
        Source { path: path.to_owned(), text: text.to_owned(), code, strings }
    }

    /// Where unit tests begin: the line of the first `#[cfg(test)]`, or past the end.
    pub fn tests_from(&self) -> usize {
        let found = self.code.lines().position(|l| l.trim_start().starts_with("#[cfg(test)]"));
        found.map_or(usize::MAX, |i| i + 1)
    }

    /// The line, from 1, of a byte of the code.
    pub fn line_of(&self, at: usize) -> usize {
        1 + self.code.as_bytes()[..at].iter().filter(|b| **b == b'\n').count()
    }

    /// Starts of a word that stands alone.
    pub fn words<'a>(&'a self, word: &'a str) -> impl Iterator<Item = usize> + 'a {
        let whole = |c: Option<char>| !c.is_some_and(|c| c.is_alphanumeric() || c == '_');
        self.code.match_indices(word).map(|(at, _)| at).filter(move |at| {
            whole(self.code[..*at].chars().next_back()) && whole(self.code[at + word.len()..].chars().next())
        })
    }

    /// Every path that begins with `root::`, use trees taken apart, with its line.
    pub fn paths(&self, root: &str) -> Vec<(usize, String)> {
        let mut out = Vec::new();
        for at in self.words(root) {
            let rest = self.code[at + root.len()..].trim_start();
            if let Some(tree) = rest.strip_prefix("::") {
                let mut found = Vec::new();
                take_tree("", tree, &mut found);
                out.extend(found.into_iter().map(|p| (self.line_of(at), p)));
            }
        }
        out
    }

    /// Lines where a foreign crate is named: as the head of a path, or alone in a `use`.
    pub fn names_crate(&self, name: &str) -> Vec<usize> {
        let heads = self.words(name).filter(|at| {
            let (before, after) = (self.code[..*at].trim_end(), self.code[at + name.len()..].trim_start());
            let own = before
                .strip_suffix("::")
                .is_some_and(|b| b.ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == '>'));
            let used =
                before.trim_end_matches("::").trim_end().ends_with("use") || before.ends_with("extern crate");
            !own && !before.ends_with('.') && (after.starts_with("::") || used)
        });
        heads.map(|at| self.line_of(at)).collect()
    }

    /// Every function with a body.
    pub fn functions(&self) -> Vec<Function> {
        let named = |at: &usize| {
            self.code[at + 2..].trim_start().starts_with(|c: char| c.is_alphabetic() || c == '_')
        };
        self.words("fn").filter(named).filter_map(|at| self.function(at)).collect()
    }

    fn function(&self, at: usize) -> Option<Function> {
        let name = self.code[at + 2..].trim_start();
        let name = name[..name.find(|c: char| !c.is_alphanumeric() && c != '_')?].to_owned();
        let (mut depth, mut open) = (0_i32, None);
        for (i, c) in self.code[at..].char_indices() {
            match c {
                '(' | '[' => depth += 1,
                ')' | ']' => depth -= 1,
                ';' if depth == 0 && open.is_none() => return None,
                '{' => {
                    if open.is_none() && depth == 0 {
                        (open, depth) = (Some(at + i), 0);
                    }
                    depth += i32::from(open.is_some());
                }
                '}' if open.is_some() => {
                    depth -= 1;
                    if depth == 0 {
                        let lines = self.code[open?..=at + i].matches('\n').count() + 1;
                        return Some(Function { name, line: self.line_of(at), lines });
                    }
                }
                _ => {}
            }
        }
        None
    }

    /// The attributes `#[name(…)]` and `#![name(…)]`: line and what is between the brackets.
    pub fn attributes(&self, name: &str) -> Vec<(usize, String)> {
        let begins = |at: &usize| {
            let before = self.code[..*at].trim_end();
            let line = before.rsplit('\n').next().unwrap_or(before);
            let inside = before.ends_with("#[") || before.ends_with("#![") || line.contains("cfg_attr(");
            inside && self.code[at + name.len()..].trim_start().starts_with('(')
        };
        let whole = |at: usize| {
            let mut depth = 0_i32;
            for (i, c) in self.code[at..].char_indices() {
                depth += i32::from(c == '(') - i32::from(c == ')');
                if c == ')' && depth == 0 {
                    return self.code[at..=at + i].to_owned();
                }
            }
            self.code[at..].to_owned()
        };
        self.words(name).filter(begins).map(|at| (self.line_of(at), whole(at))).collect()
    }
}

/// Takes a use tree apart: `a::{b, c::d}` is `a::b` and `a::c::d`. Gives what follows the tree.
fn take_tree<'a>(prefix: &str, tree: &'a str, out: &mut Vec<String>) -> &'a str {
    let tree = tree.trim_start();
    if let Some(mut rest) = tree.strip_prefix('{') {
        loop {
            rest = rest.trim_start();
            match rest.chars().next() {
                Some('}') => return &rest[1..],
                Some(',') => rest = &rest[1..],
                None => return rest,
                Some(_) => {
                    let left = take_tree(prefix, rest, out);
                    // Whatever is not a path (`as name`) is passed over.
                    rest = if left.len() == rest.len() { &rest[1..] } else { left };
                }
            }
        }
    }
    let end = tree.find(|c: char| !c.is_alphanumeric() && c != '_' && c != '*').unwrap_or(tree.len());
    if end == 0 {
        return tree;
    }
    let path = if prefix.is_empty() { tree[..end].to_owned() } else { format!("{prefix}::{}", &tree[..end]) };
    let rest = &tree[end..];
    match rest.trim_start().strip_prefix("::") {
        Some(more) if more.trim_start().starts_with('<') => out.push(path),
        Some(more) => return take_tree(&path, more, out),
        None => out.push(path),
    }
    let alias = rest.trim_start().strip_prefix("as ");
    alias.map_or(rest, |a| a.trim_start().trim_start_matches(|c: char| c.is_alphanumeric() || c == '_'))
}

/// Blanks out comments and literals; gives also the string literals.
fn blank(text: &str) -> (String, Vec<(usize, String)>) {
    let (mut code, mut strings) = (String::with_capacity(text.len()), Vec::new());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let (length, inner) = literal(rest, code.chars().next_back());
        if length == 0 {
            code.push(c);
            rest = &rest[c.len_utf8()..];
            continue;
        }
        if let Some(inner) = inner {
            strings.push((1 + code.matches('\n').count(), inner.to_owned()));
        }
        code.extend(rest[..length].chars().map(|c| if c == '\n' { '\n' } else { ' ' }));
        rest = &rest[length..];
    }
    (code, strings)
}

/// The bytes of the comment or literal that begins here (0: none does), and a string's inside.
fn literal(rest: &str, before: Option<char>) -> (usize, Option<&str>) {
    let in_word = before.is_some_and(|c| c.is_alphanumeric() || c == '_');
    if rest.starts_with("//") {
        return (rest.find('\n').unwrap_or(rest.len()), None);
    }
    if rest.starts_with("/*") {
        return (comment(rest), None);
    }
    let marks = ["br", "cr", "r"].into_iter().find(|m| !in_word && rest.starts_with(m));
    if let Some(mark) = marks {
        let hashes = rest[mark.len()..].bytes().take_while(|b| *b == b'#').count();
        let open = mark.len() + hashes;
        if rest[open..].starts_with('"') {
            let close = format!("\"{}", "#".repeat(hashes));
            let end = rest[open + 1..].find(&close).map_or(rest.len(), |i| open + 1 + i);
            return ((end + close.len()).min(rest.len()), Some(&rest[open + 1..end]));
        }
    }
    if let Some(inside) = rest.strip_prefix('"') {
        let mut skip = false;
        let end = inside.find(|c| {
            let ends = c == '"' && !skip;
            skip = c == '\\' && !skip;
            ends
        });
        let end = end.unwrap_or(inside.len());
        return ((end + 2).min(rest.len()), Some(&inside[..end]));
    }
    (if rest.starts_with('\'') { character(rest) } else { 0 }, None)
}

/// The length of a block comment, which may hold others.
fn comment(rest: &str) -> usize {
    let (mut depth, mut at) = (0_u32, 0);
    while at < rest.len() {
        match &rest.as_bytes()[at..rest.len().min(at + 2)] {
            b"/*" => (depth, at) = (depth + 1, at + 2),
            b"*/" => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            return at;
        }
    }
    rest.len()
}

/// The length of a character literal; 0 for a lifetime.
fn character(rest: &str) -> usize {
    let mut inside = rest[1..].char_indices();
    match inside.next() {
        Some((_, '\\')) => rest[3..].find('\'').map_or(0, |i| i + 4),
        Some((_, c)) if rest[1 + c.len_utf8()..].starts_with('\'') => 2 + c.len_utf8(),
        _ => 0,
    }
}
