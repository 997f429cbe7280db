//! The `.env` and `env_file` format: `KEY=VALUE` lines with quotes, comments and variables.

use std::collections::BTreeMap;

use crate::spec::fault::{At, PoolFileFault};
use crate::spec::interpolate::{Problem, interpolate};

/// Variables in the order of the file. `None` for a bare `KEY`: its value comes from the environment.
pub type Pairs = Vec<(String, Option<String>)>;

/// Reads the whole text. Values may use variables of `lookup` and of lines before; single quotes keep them as they are.
/// With `raw` every value is taken as it stands (`format: raw`).
pub fn parse(text: &str, raw: bool, lookup: &dyn Fn(&str) -> Option<String>) -> (Pairs, Vec<PoolFileFault>) {
    let mut known: BTreeMap<String, String> = BTreeMap::new();
    let (mut pairs, mut faults) = (Pairs::new(), Vec::new());
    let mut lines = text.strip_prefix('\u{feff}').unwrap_or(text).lines().enumerate();
    while let Some((i, line)) = lines.next() {
        let trimmed = line.trim();
        if trimmed.is_empty() || trimmed.starts_with('#') {
            continue;
        }
        let at = At { line: i + 1, column: 1 };
        let statement = trimmed.strip_prefix("export ").unwrap_or(trimmed).trim_start();
        let (key, value) = match statement.split_once('=') {
            Some((key, value)) => (key.trim_end(), Some(value)),
            None => (statement, None),
        };
        if key.is_empty() || key.contains(|c: char| c.is_whitespace() || c == '\'' || c == '"' || c == '\0') {
            faults
                .push(PoolFileFault::new(at, "", format!("{key:?} is not a variable")).expected("KEY=VALUE"));
            continue;
        }
        let Some(value) = value else {
            pairs.push((key.to_owned(), None));
            continue;
        };
        let find = |name: &str| lookup(name).or_else(|| known.get(name).cloned());
        let mut more = || lines.next().map(|(_, line)| line);
        let value =
            if raw { Ok(value.to_owned()) } else { self::value(value.trim_start(), &mut more, &find) };
        match value {
            Ok(value) => {
                known.insert(key.to_owned(), value.clone());
                pairs.push((key.to_owned(), Some(value)));
            }
            Err(why) => faults.push(PoolFileFault::new(at, key, why)),
        }
    }
    (pairs, faults)
}

/// A value: quoted (maybe over several lines) or up to a comment.
fn value<'t>(
    text: &'t str,
    more: &mut dyn FnMut() -> Option<&'t str>,
    lookup: &dyn Fn(&str) -> Option<String>,
) -> Result<String, String> {
    let complete = |text: &str| {
        interpolate(text, lookup, &mut Vec::new()).map_err(|problem| match problem {
            Problem::Syntax(why) => format!("{why}; write `$$` for a dollar"),
            Problem::Missing { name, message } => format!("{name} is not set: {message}"),
            Problem::TooLong => "the value is too long".to_owned(),
        })
    };
    let Some(quote) = text.chars().next().filter(|c| matches!(c, '\'' | '"')) else {
        let end = text.find(" #").unwrap_or(text.len());
        return if text.starts_with('#') { Ok(String::new()) } else { complete(text[..end].trim_end()) };
    };
    let mut body = text[1..].to_owned();
    let end = loop {
        match closing(&body, quote) {
            Some(end) => break end,
            None => match more() {
                Some(line) => body.extend(["\n", line]),
                None => return Err(format!("the quote {quote} is not closed")),
            },
        }
    };
    let tail = body[end + 1..].trim();
    if !tail.is_empty() && !tail.starts_with('#') {
        return Err(format!("{tail:?} stands after the closing quote"));
    }
    body.truncate(end);
    if quote == '\'' { Ok(body) } else { complete(&unescape(&body)) }
}

fn closing(body: &str, quote: char) -> Option<usize> {
    let mut escaped = false;
    body.char_indices().find_map(|(i, c)| {
        let closes = c == quote && !escaped;
        escaped = c == '\\' && quote == '"' && !escaped;
        closes.then_some(i)
    })
}

fn unescape(body: &str) -> String {
    let mut out = String::with_capacity(body.len());
    let mut chars = body.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        match chars.next() {
            Some('n') => out.push('\n'),
            Some('r') => out.push('\r'),
            Some('t') => out.push('\t'),
            Some('$') => out.push_str("$$"),
            Some(c @ ('"' | '\\')) => out.push(c),
            Some(c) => out.extend(['\\', c]),
            None => out.push('\\'),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn lines_as_compose_reads_them() {
        let text = "# note\nA=1\nexport B = two words # note\nC='$A #x'\nD=\"$A\\n${OUT}\"\nE\nF=\nG=\"x\ny\"\nH=a#b\nI=$A/$OUT\n";
        let (pairs, faults) = parse(text, false, &|name| (name == "OUT").then(|| "out".to_owned()));
        assert_eq!(faults, []);
        let expected = [
            ("A", Some("1")),
            ("B", Some("two words")),
            ("C", Some("$A #x")),
            ("D", Some("1\nout")),
            ("E", None),
            ("F", Some("")),
            ("G", Some("x\ny")),
            ("H", Some("a#b")),
            ("I", Some("1/out")),
        ];
        let got: Vec<_> = pairs.iter().map(|(k, v)| (k.as_str(), v.as_deref())).collect();
        assert_eq!(got, expected);
        assert_eq!(parse("A='$x' #\n", true, &|_| None).0, [("A".to_owned(), Some("'$x' #".to_owned()))]);
    }

    #[test]
    fn faults_have_their_lines() {
        let (pairs, faults) = parse("A=1\nno good\n=x\nB='open\n", false, &|_| None);
        assert_eq!(pairs.len(), 1);
        assert_eq!(faults.iter().map(|f| f.at.line).collect::<Vec<_>>(), [2, 3, 4]);
    }

    proptest! {
        #[test]
        fn nothing_panics(text in "[A-C='\"\\\\$# \né{}]{0,60}", raw in any::<bool>()) {
            let _ = parse(&text, raw, &|_| None);
        }
    }
}
