//! `$VAR` and `${VAR…}` in values, by the rules of the Compose Specification.

/// Longest value after variables are put in, in bytes: an environment of Linux cannot hold more in one string.
pub const VALUE_MAX: usize = 128 << 10;
/// Deepest nesting of `${A:-${B:-…}}`.
const NESTING_MAX: usize = 8;

/// Why a value could not be completed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Problem {
    /// The text breaks the grammar; a sentence says how.
    Syntax(String),
    /// `${NAME:?message}`: the variable has no value.
    Missing {
        /// The variable.
        name: String,
        /// The message of the file's author; may be empty.
        message: String,
    },
    /// The result is longer than [`VALUE_MAX`].
    TooLong,
}

/// Puts variables into `text`. Names of variables that have neither value nor default are added to `unset`; they count as
/// empty.
///
/// # Errors
/// The first [`Problem`].
pub fn interpolate(
    text: &str,
    lookup: &dyn Fn(&str) -> Option<String>,
    unset: &mut Vec<String>,
) -> Result<String, Problem> {
    expand(text, lookup, unset, 0)
}

fn expand(
    text: &str,
    lookup: &dyn Fn(&str) -> Option<String>,
    unset: &mut Vec<String>,
    nesting: usize,
) -> Result<String, Problem> {
    if nesting > NESTING_MAX {
        return Err(Problem::Syntax(format!("more than {NESTING_MAX} variables are nested")));
    }
    let mut out = String::new();
    let mut rest = text;
    while let Some((plain, after)) = rest.split_once('$') {
        out.push_str(plain);
        if let Some(tail) = after.strip_prefix('$') {
            out.push('$');
            rest = tail;
        } else if let Some(body) = after.strip_prefix('{') {
            let end =
                closing(body).ok_or_else(|| Problem::Syntax(format!("`${{{body}` is not closed by `}}`")))?;
            out.push_str(&braced(&body[..end], lookup, unset, nesting)?);
            rest = &body[end + 1..];
        } else {
            let end = name_end(after);
            if end == 0 {
                return Err(Problem::Syntax("a `$` stands before something that is no name".to_owned()));
            }
            let name = &after[..end];
            out.push_str(&lookup(name).unwrap_or_else(|| note(name, unset)));
            rest = &after[end..];
        }
        if out.len() > VALUE_MAX {
            return Err(Problem::TooLong);
        }
    }
    out.push_str(rest);
    if out.len() > VALUE_MAX { Err(Problem::TooLong) } else { Ok(out) }
}

fn note(name: &str, unset: &mut Vec<String>) -> String {
    unset.push(name.to_owned());
    String::new()
}

/// Bytes of the name that `text` begins with.
fn name_end(text: &str) -> usize {
    if text.bytes().next().is_some_and(|b| b.is_ascii_digit()) {
        return 0;
    }
    text.bytes().take_while(|b| b.is_ascii_alphanumeric() || *b == b'_').count()
}

/// Index of the `}` that closes a body whose `${` has been read; inner `${…}` are skipped.
fn closing(body: &str) -> Option<usize> {
    let bytes = body.as_bytes();
    let (mut open, mut i) = (0usize, 0);
    while let Some(b) = bytes.get(i) {
        match b {
            b'$' if bytes.get(i + 1) == Some(&b'{') => {
                open += 1;
                i += 1;
            }
            b'$' if bytes.get(i + 1) == Some(&b'$') => i += 1,
            b'}' if open == 0 => return Some(i),
            b'}' => open -= 1,
            _ => {}
        }
        i += 1;
    }
    None
}

/// The value of the inside of `${…}`.
fn braced(
    body: &str,
    lookup: &dyn Fn(&str) -> Option<String>,
    unset: &mut Vec<String>,
    nesting: usize,
) -> Result<String, Problem> {
    let (name, operation) = body.split_at(name_end(body));
    if name.is_empty() {
        return Err(Problem::Syntax(format!("`${{{body}}}` has no name of a variable")));
    }
    let value = lookup(name);
    // With the colon an empty variable counts as unset.
    let filled = |colon: bool| value.clone().filter(|v| !(colon && v.is_empty()));
    let (colon, operator) = match operation.strip_prefix(':') {
        Some(tail) => (true, tail),
        None => (false, operation),
    };
    let mut word = |text: &str| expand(text, lookup, unset, nesting + 1);
    match (operator.chars().next(), operator.get(1..)) {
        (None, _) if !colon => Ok(value.unwrap_or_else(|| note(name, unset))),
        (Some('-'), Some(default)) => filled(colon).map_or_else(|| word(default), Ok),
        (Some('+'), Some(other)) => filled(colon).map_or_else(|| Ok(String::new()), |_| word(other)),
        (Some('?'), Some(message)) => match filled(colon) {
            Some(value) => Ok(value),
            None => Err(Problem::Missing { name: name.to_owned(), message: word(message)? }),
        },
        _ => Err(Problem::Syntax(format!("`${{{body}}}` is not understood"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn run(text: &str) -> Result<String, Problem> {
        let lookup = |name: &str| match name {
            "FULL" => Some("full".to_owned()),
            "EMPTY" => Some(String::new()),
            _ => None,
        };
        interpolate(text, &lookup, &mut Vec::new())
    }

    #[test]
    fn every_form_of_the_specification() {
        let cases = [
            ("a$FULL-b", "afull-b"),
            ("${FULL}${NONE}", "full"),
            ("${EMPTY:-d}/${EMPTY-d}/${NONE:-d}/${NONE-d}/${FULL:-d}", "d//d/d/full"),
            ("${EMPTY:+x}/${EMPTY+x}/${NONE:+x}/${NONE+x}/${FULL:+x}", "/x///x"),
            ("${FULL:?m}${EMPTY?m}", "full"),
            ("$$FULL $${FULL} $$", "$FULL ${FULL} $"),
            ("${NONE:-${EMPTY:-${FULL}}}!", "full!"),
            ("${NONE:-a}b}", "ab}"),
            ("${NONE:-$$}", "$"),
            ("${NONE:-é:?}", "é:?"),
        ];
        for (text, expected) in cases {
            assert_eq!(run(text).as_deref(), Ok(expected), "{text}");
        }
        for bad in
            ["$", "a$ b", "${", "${}", "${FULL", "${1A}", "${FULL:}", "${FULL!x}", "$1", "${A:-${B}", "${Aé}"]
        {
            assert!(matches!(run(bad), Err(Problem::Syntax(_))), "{bad}");
        }
        let missing = |message: &str| Err(Problem::Missing { name: "NONE".into(), message: message.into() });
        assert_eq!(run("${NONE:?say $FULL}"), missing("say full"));
        assert_eq!(run("${NONE?}"), missing(""));
    }

    #[test]
    fn values_do_not_grow_without_end() {
        let big = |_: &str| Some("x".repeat(1 << 16));
        assert_eq!(interpolate("$A$A$A", &big, &mut Vec::new()), Err(Problem::TooLong));
        let deep = format!("{}x{}", "${A:-".repeat(50), "}".repeat(50));
        assert!(matches!(interpolate(&deep, &|_| None, &mut Vec::new()), Err(Problem::Syntax(_))));
    }

    proptest! {
        #[test]
        fn text_without_a_dollar_stays_and_doubled_dollars_come_back(text in "\\PC*") {
            let escaped = text.replace('$', "$$");
            prop_assert_eq!(run(&escaped), Ok(text));
        }

        #[test]
        fn nothing_panics(text in "[$ {}:?+A-Zé\\-]{0,40}") {
            let _ = run(&text);
        }
    }
}
