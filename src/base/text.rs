//! Text from outside is untrusted by type; here it becomes safe to show. Also widths, ages, bytes and durations in words.

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Serialize};
use unicode_segmentation::UnicodeSegmentation;
use unicode_width::UnicodeWidthStr;

/// Text that came from an engine, a registry, a container or a file: it can only be shown sanitised.
///
/// `Display` and `Debug` print [`safe`] text. The bytes as they came are reachable by [`Untrusted::raw`] alone.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Untrusted(Box<str>);

impl Untrusted {
    /// Takes text as it came.
    pub fn new(text: impl Into<Box<str>>) -> Untrusted {
        Untrusted(text.into())
    }

    /// The text made safe to show on one line (see [`safe`]).
    pub fn safe(&self) -> Cow<'_, str> {
        safe(&self.0)
    }

    /// The text as it came: only to compare it, to parse it or to hand it back to where it came from.
    pub fn raw(&self) -> &str {
        &self.0
    }
}

impl From<&str> for Untrusted {
    fn from(text: &str) -> Untrusted {
        Untrusted(text.into())
    }
}

impl From<String> for Untrusted {
    fn from(text: String) -> Untrusted {
        Untrusted(text.into())
    }
}

impl fmt::Display for Untrusted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.safe())
    }
}

impl fmt::Debug for Untrusted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.safe())
    }
}

/// True for a character that must never reach a terminal: C0, DEL, C1, bidirectional controls, zero-width and other
/// invisible format characters, line and paragraph separators, variation tags and private use.
///
/// The list follows UTS 39 (default ignorables) and the "Trojan Source" paper (CVE-2021-42574).
pub fn is_hostile(c: char) -> bool {
    matches!(c,
        '\u{0}'..='\u{1f}' | '\u{7f}'..='\u{9f}' | '\u{ad}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
        | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}'
        | '\u{fe00}'..='\u{fe0e}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{e000}'..='\u{f8ff}'
        | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{10ffff}')
}

/// Most combining marks that may follow one another; more are shown as their count (a defence against "zalgo" text).
const MARKS_MAX: usize = 4;

/// Makes text safe for one line of a terminal, a log file or the CLI: hostile characters are shown as visible escapes
/// (`\e`, `\n`, `\t`, `\x07`, `\u{202e}`), overlong runs of combining marks are cut.
pub fn safe(text: &str) -> Cow<'_, str> {
    let bytes_fine = text.bytes().all(|b| (0x20..0x7f).contains(&b));
    if bytes_fine || (!text.chars().any(is_hostile) && !has_mark_run(text)) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    let mut marks = 0;
    for c in text.chars() {
        if is_hostile(c) {
            push_escaped(&mut out, c);
        } else if is_mark(c) {
            marks += 1;
            if marks <= MARKS_MAX {
                out.push(c);
            }
            continue;
        } else {
            out.push(c);
        }
        marks = 0;
    }
    Cow::Owned(out)
}

fn is_mark(c: char) -> bool {
    !c.is_ascii() && unicode_width::UnicodeWidthChar::width(c) == Some(0)
}

fn has_mark_run(text: &str) -> bool {
    let mut run = 0;
    text.chars().any(|c| {
        run = if is_mark(c) { run + 1 } else { 0 };
        run > MARKS_MAX
    })
}

fn push_escaped(out: &mut String, c: char) {
    match c {
        '\u{1b}' => out.push_str("\\e"),
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        '\t' => out.push_str("\\t"),
        c if u32::from(c) < 0x100 => out.push_str(&format!("\\x{:02x}", u32::from(c))),
        c => out.push_str(&format!("\\u{{{:x}}}", u32::from(c))),
    }
}

/// [`safe`] for each line of a text of several lines, with tabs as spaces.
pub fn safe_lines(text: &str) -> String {
    text.lines().map(|line| safe(&line.replace('\t', "    ")).into_owned()).collect::<Vec<_>>().join("\n")
}

/// Columns that text takes on a terminal.
pub fn width(text: &str) -> usize {
    UnicodeWidthStr::width(text)
}

/// Cuts text to at most `columns`, with `…` where something is missing. Never splits a character or a grapheme.
pub fn fit(text: &str, columns: usize) -> Cow<'_, str> {
    if width(text) <= columns {
        return Cow::Borrowed(text);
    }
    if columns == 0 {
        return Cow::Borrowed("");
    }
    let mut out = String::new();
    let mut used = 0;
    for g in text.graphemes(true) {
        let w = width(g);
        if used + w + 1 > columns {
            break;
        }
        used += w;
        out.push_str(g);
    }
    out.push('…');
    Cow::Owned(out)
}

/// A duration in at most three characters of digits and a unit: `0s`, `59s`, `4m`, `3h`, `12d`.
pub fn age(ms: u64) -> String {
    let s = ms / 1000;
    match s {
        0..60 => format!("{s}s"),
        60..3600 => format!("{}m", s / 60),
        3600..86_400 => format!("{}h", s / 3600),
        _ => format!("{}d", s / 86_400),
    }
}

/// A short duration with a tenth: `0.4s`, `12.3s`, `4m10s`.
pub fn took(ms: u64) -> String {
    match ms {
        0..60_000 => format!("{}.{}s", ms / 1000, ms % 1000 / 100),
        _ => format!("{}m{:02}s", ms / 60_000, ms / 1000 % 60),
    }
}

/// Bytes in binary units, short: `512`, `1.5K`, `412M`, `2.0G`.
pub fn bytes(n: u64) -> String {
    const UNITS: [&str; 5] = ["K", "M", "G", "T", "P"];
    if n < 1024 {
        return n.to_string();
    }
    let (mut whole, mut rest, mut unit) = (n, 0, 0);
    for (i, _) in UNITS.iter().enumerate() {
        rest = whole % 1024;
        whole /= 1024;
        unit = i;
        if whole < 1024 {
            break;
        }
    }
    if whole < 10 {
        format!("{whole}.{}{}", rest * 10 / 1024, UNITS[unit])
    } else {
        format!("{whole}{}", UNITS[unit])
    }
}

/// `1 container`, `3 containers`: a count with its noun, for nouns whose plural is made with an s.
pub fn count(n: u64, noun: &str) -> String {
    if n == 1 { format!("1 {noun}") } else { format!("{n} {noun}s") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn hostile_text_is_shown_not_sent() {
        assert_eq!(safe("a\u{1b}[2Jb\u{9b}c\u{202e}d\u{200b}e\r"), r"a\e[2Jb\x9bc\u{202e}d\u{200b}e\r");
        assert_eq!(format!("{:?} {}", Untrusted::from("\u{7}"), Untrusted::from("\n")), r#""\x07" \n"#);
        assert!(matches!(safe("plain 中文 é"), Cow::Borrowed(_)));
        assert!(safe(&format!("e{}", "\u{301}".repeat(10_000))).chars().count() < 10);
    }

    #[test]
    fn sizes_and_ages_read_well() {
        assert_eq!(
            [age(0), age(59_999), age(60_000), age(7_200_000), age(90_000_000)],
            ["0s", "59s", "1m", "2h", "1d"]
        );
        assert_eq!(
            [bytes(0), bytes(1536), bytes(432_013_312), bytes(2 << 30)],
            ["0", "1.5K", "412M", "2.0G"]
        );
        assert_eq!([took(450), took(61_000)], ["0.4s", "1m01s"]);
        assert_eq!(fit("中文中文", 5), "中文…");
    }

    proptest! {
        #[test]
        fn safe_leaves_nothing_hostile_and_is_stable(text in any::<String>()) {
            let once = safe(&text).into_owned();
            prop_assert!(!once.chars().any(is_hostile));
            prop_assert_eq!(safe(&once).into_owned(), once.clone());
        }

        #[test]
        fn fit_never_exceeds_its_columns(text in any::<String>(), columns in 0usize..40) {
            let shown = safe(&text).into_owned();
            prop_assert!(width(&fit(&shown, columns)) <= columns);
        }
    }
}
