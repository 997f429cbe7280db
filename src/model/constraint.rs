//! Constraint expressions as people write them (`node.labels.disk == ssd`): text to data and back.

use std::fmt;
use std::str::FromStr;

use crate::base::fault::{Fault, Kind};
use crate::model::placement::{Attribute, Constraint, Operator};

/// Longest expression that is read, in bytes: far beyond what people write.
pub const EXPRESSION_MAX: usize = 1_000;
/// Most that a compiled regular expression may take, in bytes: a hostile one must not eat the memory.
pub const REGEX_MAX: usize = 1 << 20;

/// What an attribute looks like, for messages.
pub const ATTRIBUTE_EXPECTED: &str = "node.id, node.hostname, node.platform.os, node.platform.arch, node.site, \
    node.cluster, node.class, node.cpus, node.memory, node.version, node.labels.KEY or engine.labels.KEY";
/// What an expression looks like, for messages.
pub const EXPRESSION_EXPECTED: &str =
    "ATTRIBUTE OPERATOR VALUE, with ==, !=, =~, !~, <, <=, >, >=, `in (a, b)` or `not in (a, b)`";

/// The attributes without a key of their own. Their case does not matter, as in Swarm.
const PLAIN: [(&str, Attribute); 10] = [
    ("node.id", Attribute::Id),
    ("node.hostname", Attribute::Hostname),
    ("node.platform.os", Attribute::Os),
    ("node.platform.arch", Attribute::Arch),
    ("node.site", Attribute::Site),
    ("node.cluster", Attribute::Cluster),
    ("node.class", Attribute::Class),
    ("node.cpus", Attribute::Cpus),
    ("node.memory", Attribute::Memory),
    ("node.version", Attribute::Version),
];
const LABEL: &str = "node.labels.";
const ENGINE_LABEL: &str = "engine.labels.";

/// The operators that are signs, the longer ones first.
const SIGNS: [(&str, Operator); 8] = [
    ("==", Operator::Is),
    ("!=", Operator::IsNot),
    ("=~", Operator::Matches),
    ("!~", Operator::MatchesNot),
    ("<=", Operator::AtMost),
    (">=", Operator::AtLeast),
    ("<", Operator::Less),
    (">", Operator::More),
];

fn invalid(what: String, expected: &str) -> Fault {
    Fault::new(Kind::Invalid, what).hint(format!("write {expected}"))
}

/// True for the key of a label that expressions can name.
pub fn is_label_key(key: &str) -> bool {
    !key.is_empty() && key.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-/".contains(&b))
}

impl Attribute {
    /// True when values of it are compared as something larger or smaller.
    fn has_order(&self) -> bool {
        use Attribute::{Class, Cpus, EngineLabel, Label, Memory, Version};
        matches!(self, Class | Cpus | Memory | Version | Label(_) | EngineLabel(_))
    }
}

impl fmt::Display for Attribute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Attribute::Label(key) => write!(f, "{LABEL}{key}"),
            Attribute::EngineLabel(key) => write!(f, "{ENGINE_LABEL}{key}"),
            plain => f.write_str(PLAIN.iter().find(|(_, a)| a == plain).map_or("", |(name, _)| name)),
        }
    }
}

impl FromStr for Attribute {
    type Err = Fault;

    fn from_str(text: &str) -> Result<Attribute, Fault> {
        let after = |prefix: &str| {
            let (head, key) = text.split_at_checked(prefix.len())?;
            head.eq_ignore_ascii_case(prefix).then_some(key)
        };
        if let Some((_, found)) = PLAIN.iter().find(|(name, _)| name.eq_ignore_ascii_case(text)) {
            return Ok(found.clone());
        }
        for (prefix, make) in
            [(LABEL, Attribute::Label as fn(String) -> Attribute), (ENGINE_LABEL, Attribute::EngineLabel)]
        {
            match after(prefix) {
                Some(key) if is_label_key(key) => return Ok(make(key.to_owned())),
                Some(_) => {
                    let expected = "a label of letters, digits, '.', '_', '-' and '/'";
                    return Err(invalid(format!("{text:?} names no label"), expected));
                }
                None => {}
            }
        }
        if text.eq_ignore_ascii_case("node.role") {
            let what = "hosts have no role here: `node.role` is of Swarm";
            return Err(Fault::new(Kind::Invalid, what).hint("use a label: node.labels.role == worker"));
        }
        Err(invalid(format!("{text:?} is nothing that hosts have"), ATTRIBUTE_EXPECTED))
    }
}

impl Operator {
    /// The operator as it is written.
    pub fn sign(self) -> &'static str {
        match self {
            Operator::In => "in",
            Operator::NotIn => "not in",
            sign => SIGNS.iter().find(|(_, op)| *op == sign).map_or("", |(text, _)| text),
        }
    }
}

impl fmt::Display for Constraint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} ", self.attribute, self.operator.sign())?;
        if matches!(self.operator, Operator::In | Operator::NotIn) {
            let items: Vec<String> = self.values.iter().map(|v| written(v, true)).collect();
            return write!(f, "({})", items.join(", "));
        }
        let one = self.values.first().map_or("", String::as_str);
        f.write_str(&written(one, false))
    }
}

/// A value, in double quotes where it would be read otherwise without them.
fn written(value: &str, in_list: bool) -> String {
    let apart = in_list && value.contains([',', '(', ')', '"']);
    if value.is_empty() || value.trim() != value || value.starts_with('"') || apart {
        return format!("\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\""));
    }
    value.to_owned()
}

impl FromStr for Constraint {
    type Err = Fault;

    fn from_str(text: &str) -> Result<Constraint, Fault> {
        if text.len() > EXPRESSION_MAX {
            return Err(invalid(format!("the expression has {} bytes", text.len()), "at most 1000"));
        }
        let text = text.trim();
        let end = text.find(|c: char| c.is_whitespace() || "=!<>~(".contains(c)).unwrap_or(text.len());
        let (name, rest) = text.split_at(end);
        if name.is_empty() {
            return Err(invalid(format!("{text:?} names nothing of a host"), EXPRESSION_EXPECTED));
        }
        let attribute: Attribute = name.parse()?;
        let (operator, rest) = operator(rest.trim_start())
            .ok_or_else(|| invalid(format!("{text:?} compares with nothing"), EXPRESSION_EXPECTED))?;
        let values = match operator {
            Operator::In | Operator::NotIn => list(rest.trim())?,
            _ => vec![single(rest.trim())?],
        };
        let constraint = Constraint { attribute, operator, values };
        constraint.check()?;
        Ok(constraint)
    }
}

fn operator(rest: &str) -> Option<(Operator, &str)> {
    if let Some((sign, op)) = SIGNS.iter().find(|(sign, _)| rest.starts_with(sign)) {
        return Some((*op, &rest[sign.len()..]));
    }
    let word = |text: &str, word: &str| -> Option<usize> {
        let head = text.get(..word.len())?;
        let next = text[word.len()..].chars().next();
        let ends = next.is_none_or(|c| c.is_whitespace() || c == '(');
        (head.eq_ignore_ascii_case(word) && ends).then_some(word.len())
    };
    if let Some(at) = word(rest, "in") {
        return Some((Operator::In, &rest[at..]));
    }
    let after = rest[word(rest, "not")?..].trim_start();
    word(after, "in").map(|at| (Operator::NotIn, &after[at..]))
}

fn single(text: &str) -> Result<String, Fault> {
    if !text.starts_with('"') {
        return if text.is_empty() {
            Err(invalid("the expression has no value".to_owned(), "a value, or \"\" for an empty one"))
        } else {
            Ok(text.to_owned())
        };
    }
    match quoted(text) {
        Some((value, "")) => Ok(value),
        _ => Err(invalid(format!("the quotes of {text:?} do not fit"), "\"VALUE\", with \\\" for a quote")),
    }
}

/// The content of a quoted text, and what comes after it.
fn quoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut chars = text.strip_prefix('"')?.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((value, &text[at + 2..])),
            '\\' => value.push(chars.next()?.1),
            c => value.push(c),
        }
    }
    None
}

fn list(text: &str) -> Result<Vec<String>, Fault> {
    let bad = || invalid(format!("{text:?} is not a list of values"), "(a, b), with \"…\" around odd values");
    let inner = text.strip_prefix('(').and_then(|t| t.strip_suffix(')')).ok_or_else(bad)?;
    let (mut values, mut rest) = (Vec::new(), inner.trim());
    loop {
        let (value, after) = if rest.starts_with('"') {
            quoted(rest).ok_or_else(bad)?
        } else {
            let end = rest.find(',').unwrap_or(rest.len());
            (rest[..end].trim().to_owned(), &rest[end..])
        };
        let plain = !rest.starts_with('"');
        if plain && (value.is_empty() || value.contains(['(', ')', '"'])) {
            return Err(bad());
        }
        values.push(value);
        rest = match after.trim_start() {
            "" => return Ok(values),
            more => more.strip_prefix(',').ok_or_else(bad)?.trim_start(),
        };
    }
}

impl Constraint {
    /// Checks that the values fit the operator and the attribute.
    ///
    /// # Errors
    /// What is wrong, and what would be right.
    pub fn check(&self) -> Result<(), Fault> {
        let value = self.values.first().map_or("", String::as_str);
        match self.operator {
            Operator::Matches | Operator::MatchesNot => regex(value).map(drop),
            Operator::Less | Operator::AtMost | Operator::More | Operator::AtLeast => {
                let sign = self.operator.sign();
                if !self.attribute.has_order() {
                    let what = format!("{} has no order for `{sign}`", self.attribute);
                    return Err(invalid(what, "==, !=, =~, !~, in or not in"));
                }
                let (fits, expected) = match self.attribute {
                    Attribute::Cpus => (is_number(value), "a number of cores like 8 or 1.5"),
                    Attribute::Memory => (is_size(value), "a size like 512M or 64G"),
                    Attribute::Version => (is_version(value), "a version like 28.1"),
                    _ => {
                        let fits = is_size(value) || is_version(value);
                        (fits, "a number, a size like 64G, or a version like 28.1")
                    }
                };
                if fits {
                    Ok(())
                } else {
                    Err(invalid(format!("{value:?} has no order for `{sign}`"), expected))
                }
            }
            Operator::Is | Operator::IsNot | Operator::In | Operator::NotIn => Ok(()),
        }
    }
}

/// Compiles a regular expression of a constraint: it may match any part of the value, within [`REGEX_MAX`].
///
/// # Errors
/// When it does not compile or is too large, with the reason.
pub fn regex(pattern: &str) -> Result<regex::Regex, Fault> {
    regex::RegexBuilder::new(pattern).size_limit(REGEX_MAX).build().map_err(|e| {
        // The error draws the place over several lines; its last one is the reason.
        let whole = e.to_string();
        let reason = whole.lines().last().unwrap_or("").trim().trim_start_matches("error: ").to_owned();
        invalid(format!("{pattern:?} is not a regular expression: {reason}"), "one like ^web-[0-9]+$")
    })
}

fn is_number(text: &str) -> bool {
    let (whole, part) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |t: &str| !t.is_empty() && t.len() <= 15 && t.bytes().all(|b| b.is_ascii_digit());
    digits(whole) && digits(part)
}

fn is_size(text: &str) -> bool {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let unit = unit.trim_start().to_ascii_lowercase();
    let unit = unit.strip_suffix('b').unwrap_or(&unit);
    is_number(number) && ["", "k", "ki", "m", "mi", "g", "gi", "t", "ti", "p", "pi"].contains(&unit)
}

/// `28`, `28.1.2`, `v28.1.0-rc.1`: what engines and semantic versions say.
fn is_version(text: &str) -> bool {
    let text = text.strip_prefix('v').unwrap_or(text);
    let end = text.find(['-', '+', '~']).unwrap_or(text.len());
    let (numbers, suffix) = text.split_at(end);
    let numbers =
        numbers.split('.').all(|n| !n.is_empty() && n.len() <= 9 && n.bytes().all(|b| b.is_ascii_digit()));
    numbers && suffix.bytes().all(|b| b.is_ascii_alphanumeric() || b".-+~_".contains(&b))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(text: &str) -> Constraint {
        text.parse().unwrap_or_else(|e| panic!("{text}: {e}"))
    }

    #[test]
    fn expressions_of_swarm_and_ours_are_read() {
        use Operator::*;
        let label = |key: &str| Attribute::Label(key.to_owned());
        let cases = [
            ("node.labels.disk==ssd", label("disk"), Is, vec!["ssd"]),
            ("  NODE.Hostname  !=  db 1 ", Attribute::Hostname, IsNot, vec!["db 1"]),
            ("node.labels.io.example/tier == a=b", label("io.example/tier"), Is, vec!["a=b"]),
            (
                "engine.labels.os=~ ^(deb|ub).*$",
                Attribute::EngineLabel("os".into()),
                Matches,
                vec!["^(deb|ub).*$"],
            ),
            ("node.platform.arch !~ arm", Attribute::Arch, MatchesNot, vec!["arm"]),
            ("node.site in (bj, \"a, b\",sh)", Attribute::Site, In, vec!["bj", "a, b", "sh"]),
            ("node.class NOT  IN(old)", Attribute::Class, NotIn, vec!["old"]),
            ("node.cpus >= 1.5", Attribute::Cpus, AtLeast, vec!["1.5"]),
            ("node.memory<64G", Attribute::Memory, Less, vec!["64G"]),
            ("node.version > 28.1.0-rc.1", Attribute::Version, More, vec!["28.1.0-rc.1"]),
            ("node.labels.age <= 3", label("age"), AtMost, vec!["3"]),
            ("node.labels.gone == \"\"", label("gone"), Is, vec![""]),
        ];
        for (text, attribute, operator, values) in cases {
            let values = values.into_iter().map(str::to_owned).collect();
            assert_eq!(read(text), Constraint { attribute, operator, values }, "{text}");
        }
    }

    #[test]
    fn bad_expressions_say_what_is_wrong_and_what_would_be_right() {
        let cases = [
            ("", "names nothing"),
            ("== a", "names nothing"),
            ("node.labels.disk", "compares with nothing"),
            ("node.labels.disk = ssd", "compares with nothing"),
            ("node.labels.disk inside (a)", "compares with nothing"),
            ("node.labels.disk not (a)", "compares with nothing"),
            ("node.labels. == a", "names no label"),
            ("node.label.disk == ssd", "is nothing that hosts have"),
            ("node.role == manager", "no role"),
            ("node.site ==", "no value"),
            ("node.site in bj", "not a list"),
            ("node.site in ()", "not a list"),
            ("node.site in (a,,b)", "not a list"),
            ("node.site in (\"a)", "not a list"),
            ("node.site == \"bj\" x", "quotes"),
            ("node.hostname =~ (", "not a regular expression: unclosed group"),
            ("node.hostname =~ a{99999}{99999}", "not a regular expression"),
            ("node.hostname < 3", "has no order"),
            ("node.cpus > many", "has no order"),
            ("node.memory > 64X", "has no order"),
            ("node.version >= new", "has no order"),
        ];
        for (text, part) in cases {
            let fault = text.parse::<Constraint>().map(|c| c.to_string()).unwrap_err();
            assert!(fault.to_string().contains(part), "{text}: {fault}");
            assert!(fault.hint.is_some(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            which in 0usize..12, key in "[a-zA-Z0-9._/-]{1,8}", op in 0usize..6,
            values in proptest::collection::vec(prop_oneof!["[^\0]{0,8}", "[a-c ,()\"\\\\]{0,6}"], 1..4),
        ) {
            let attribute = match which {
                10 => Attribute::Label(key),
                11 => Attribute::EngineLabel(key),
                plain => PLAIN[plain].1.clone(),
            };
            let (operator, values) = match op {
                0 => (Operator::In, values),
                1 => (Operator::NotIn, values),
                2 => (Operator::Matches, vec![regex::escape(&values[0])]),
                3 => (Operator::IsNot, values[..1].to_vec()),
                _ => (Operator::Is, values[..1].to_vec()),
            };
            let constraint = Constraint { attribute, operator, values };
            prop_assert_eq!(constraint.to_string().parse::<Constraint>(), Ok(constraint.clone()), "{}", constraint);
        }

        #[test]
        fn no_text_breaks_the_reader(text in any::<String>(), near in "(node|engine)\\.[a-z.]{0,8} ?[=!<>~in]{0,3} ?[(),\"\\\\a-z0-9.]{0,9}") {
            for text in [text, near] {
                if let Ok(read) = text.parse::<Constraint>() {
                    prop_assert_eq!(read.to_string().parse::<Constraint>(), Ok(read));
                }
            }
        }
    }
}
