//! The lines of an open log, bounded by bytes. What is missing is counted where it is missing.

use std::collections::VecDeque;

use regex::Regex;

use crate::base::clock::Millis;
use crate::base::text::{self, Untrusted};
use crate::model::logs::LogChunk;

/// Bytes that a full-screen log keeps: about 60,000 lines of 100 characters.
pub const FULL_BYTES: usize = 8 << 20;
/// Bytes that the home screen's log keeps.
pub const HOME_BYTES: usize = 512 << 10;
/// What a row costs beside its text.
const ROW_COST: usize = 64;

/// One row of a log.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// The engine's stamp; zero for what is not a line.
    pub at: Millis,
    /// What it is.
    pub what: What,
}

/// What a row of a log is.
#[derive(Clone, Debug, PartialEq)]
pub enum What {
    /// A line of a container.
    Line {
        /// Which stream.
        lane: u16,
        /// Standard error.
        stderr: bool,
        /// The text.
        text: Untrusted,
    },
    /// So many lines are missing here.
    Skipped(u64),
    /// A sentence about the stream.
    Note(String),
}

impl Row {
    /// The row as safe text, without stamp and lane.
    pub fn text(&self) -> std::borrow::Cow<'_, str> {
        match &self.what {
            What::Line { text, .. } if text.raw().contains(['\t', '\u{1b}']) => tidy(text.raw()).into(),
            What::Line { text, .. } => text.safe(),
            What::Skipped(n) => format!("… {} skipped here (the link is too slow) …", lines(*n)).into(),
            What::Note(note) => format!("… {} …", text::safe(note)).into(),
        }
    }
}

/// Tabs become spaces and colour codes go; all else that is hostile is shown.
fn tidy(raw: &str) -> String {
    let mut out = String::with_capacity(raw.len());
    let mut rest = raw;
    while let Some(at) = rest.find("\u{1b}[") {
        let (head, tail) = rest.split_at(at);
        out.push_str(head);
        let body = &tail[2..];
        let end = body.find(|c: char| !c.is_ascii_digit() && c != ';').unwrap_or(body.len());
        if body[end..].starts_with('m') {
            rest = &body[end + 1..];
        } else {
            out.push('\u{1b}');
            rest = &tail[1..];
        }
    }
    out.push_str(rest);
    text::safe(&out.replace('\t', "    ")).into_owned()
}

/// A line that is a JSON object, laid out: level, message, then `key=value`. `None` for any other line.
pub fn laid_out(line: &str) -> Option<String> {
    const LEVEL: [&str; 3] = ["level", "lvl", "severity"];
    const MESSAGE: [&str; 2] = ["msg", "message"];
    const TIME: [&str; 4] = ["time", "ts", "timestamp", "@timestamp"];
    if !line.trim_start().starts_with('{') {
        return None;
    }
    let object: serde_json::Map<String, serde_json::Value> = serde_json::from_str(line).ok()?;
    let plain = |v: &serde_json::Value| v.as_str().map_or_else(|| v.to_string(), str::to_owned);
    let first = LEVEL.iter().chain(&MESSAGE).filter_map(|k| object.get(*k)).map(plain);
    let known = |k: &str| [&LEVEL[..], &MESSAGE, &TIME].concat().contains(&k);
    let rest = object.iter().filter(|(k, _)| !known(k)).map(|(k, v)| format!("{k}={}", plain(v)));
    Some(text::safe(&first.chain(rest).collect::<Vec<_>>().join(" ")).into_owned())
}

/// `1,204 lines`.
pub fn lines(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::new();
    for (i, d) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(d);
    }
    format!("{out} line{}", if n == 1 { "" } else { "s" })
}

/// How a line sounds, judged by its text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// An error.
    Error,
    /// A warning.
    Warning,
    /// For developers.
    Debug,
    /// Anything else.
    Plain,
}

/// Judges the level of a line by the first word of that sort in its first 120 bytes.
pub fn level(line: &str) -> Level {
    let head = line.get(..120).unwrap_or(line);
    for word in head.split(|c: char| !c.is_ascii_alphanumeric()) {
        match word {
            "ERROR" | "error" | "Error" | "ERR" | "FATAL" | "fatal" | "CRIT" | "PANIC" | "panic" | "E" => {
                return Level::Error;
            }
            "WARN" | "warn" | "WARNING" | "warning" | "Warning" => return Level::Warning,
            "DEBUG" | "debug" | "TRACE" | "trace" => return Level::Debug,
            "INFO" | "info" | "NOTICE" => return Level::Plain,
            _ => {}
        }
    }
    Level::Plain
}

/// A ring of rows, numbered without end.
#[derive(Clone, Debug)]
pub struct LogBuf {
    rows: VecDeque<Row>,
    first: u64,
    bytes: usize,
    bound: usize,
    /// Names of the streams.
    pub lanes: Vec<String>,
    /// Nothing more will come.
    pub ended: bool,
    /// How late the newest line came, in milliseconds.
    pub lag_ms: u64,
    /// Lines that came, ever.
    pub seen: u64,
    /// Lines that were dropped here to keep the bound.
    pub dropped: u64,
    filter: Option<Regex>,
    hits: VecDeque<u64>,
}

impl LogBuf {
    /// An empty log that keeps at most `bound` bytes.
    pub fn new(bound: usize) -> LogBuf {
        LogBuf {
            rows: VecDeque::new(),
            first: 0,
            bytes: 0,
            bound,
            lanes: Vec::new(),
            ended: false,
            lag_ms: 0,
            seen: 0,
            dropped: 0,
            filter: None,
            hits: VecDeque::new(),
        }
    }

    /// Takes what a tail brought.
    pub fn take(&mut self, chunk: LogChunk, now: Millis) {
        match chunk {
            LogChunk::Lanes(names) => self.lanes = names.iter().map(|n| text::safe(n).into_owned()).collect(),
            LogChunk::Lines(lines) => {
                if let Some(last) = lines.last() {
                    self.lag_ms = now.since(last.at);
                }
                for line in lines {
                    self.seen += 1;
                    let what = What::Line { lane: line.lane, stderr: line.stderr, text: line.text };
                    self.push(Row { at: line.at, what });
                }
            }
            LogChunk::Skipped(n) => self.push(Row { at: Millis::default(), what: What::Skipped(n) }),
            LogChunk::Note(note) => self.push(Row { at: Millis::default(), what: What::Note(note) }),
            LogChunk::End => self.ended = true,
        }
    }

    fn push(&mut self, row: Row) {
        let seq = self.first + self.rows.len() as u64;
        self.bytes += cost(&row);
        if self.filter.as_ref().is_some_and(|f| keeps(f, &row)) {
            self.hits.push_back(seq);
        }
        self.rows.push_back(row);
        while self.bytes > self.bound && self.rows.len() > 1 {
            if let Some(old) = self.rows.pop_front() {
                self.bytes -= cost(&old);
                self.first += 1;
                self.dropped += 1;
            }
        }
        while self.hits.front().is_some_and(|h| *h < self.first) {
            self.hits.pop_front();
        }
    }

    /// Shows only lines that match, or all again.
    pub fn set_filter(&mut self, filter: Option<Regex>) {
        self.hits.clear();
        if let Some(filter) = &filter {
            let kept = (self.first..).zip(&self.rows).filter(|(_, r)| keeps(filter, r)).map(|(seq, _)| seq);
            self.hits = kept.collect();
        }
        self.filter = filter;
    }

    /// Rows that are shown with the present filter.
    pub fn len(&self) -> usize {
        if self.filter.is_some() { self.hits.len() } else { self.rows.len() }
    }

    /// True when nothing is shown.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The shown row at a place counted from the oldest.
    pub fn get(&self, place: usize) -> Option<&Row> {
        self.rows.get(usize::try_from(self.seq(place)? - self.first).ok()?)
    }

    /// The lasting number of the shown row at a place.
    pub fn seq(&self, place: usize) -> Option<u64> {
        if self.filter.is_some() {
            self.hits.get(place).copied()
        } else {
            (place < self.rows.len()).then(|| self.first + place as u64)
        }
    }

    /// The place of the first shown row whose number is at least `seq`.
    pub fn place(&self, seq: u64) -> usize {
        let at = if self.filter.is_some() {
            self.hits.partition_point(|h| *h < seq)
        } else {
            usize::try_from(seq.saturating_sub(self.first)).unwrap_or(usize::MAX)
        };
        at.min(self.len().saturating_sub(1))
    }

    /// Bytes that are kept.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// The name of a stream.
    pub fn lane(&self, lane: u16) -> &str {
        self.lanes.get(usize::from(lane)).map_or("?", String::as_str)
    }
}

fn cost(row: &Row) -> usize {
    ROW_COST
        + match &row.what {
            What::Line { text, .. } => text.raw().len(),
            What::Skipped(_) => 0,
            What::Note(note) => note.len(),
        }
}

fn keeps(filter: &Regex, row: &Row) -> bool {
    match &row.what {
        What::Line { text, .. } => filter.is_match(text.raw()),
        What::Skipped(_) | What::Note(_) => true,
    }
}

/// The letter of a lane: `A` to `Z`, then `a` to `z`, then again.
pub fn letter(lane: u16) -> char {
    let at = u32::from(lane) % 52;
    char::from_u32(if at < 26 { 65 + at } else { 97 + at - 26 }).unwrap_or('?')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::logs::LogLine;

    fn chunk(texts: &[&str]) -> LogChunk {
        let line = |t: &&str| LogLine { at: Millis(5), lane: 0, stderr: false, text: (*t).into() };
        LogChunk::Lines(texts.iter().map(line).collect())
    }

    #[test]
    fn memory_is_bounded_and_places_last() {
        let mut log = LogBuf::new(10_000);
        log.take(chunk(&["first", "second"]), Millis(5));
        let second = log.seq(1).unwrap();
        for _ in 0..1_000 {
            log.take(chunk(&["x".repeat(100).as_str()]), Millis(5));
        }
        assert!(log.bytes() <= 10_000 && log.len() < 100);
        assert_eq!(log.seen, 1_002);
        assert_eq!(log.dropped, 1_002 - log.len() as u64);
        assert_eq!(log.place(second), 0);
    }

    #[test]
    fn a_filter_keeps_what_matches_and_what_is_missing() {
        let mut log = LogBuf::new(1 << 20);
        log.take(chunk(&["GET 200", "GET 503"]), Millis(5));
        log.take(LogChunk::Skipped(1_204), Millis(5));
        log.set_filter(Regex::new("503").ok());
        log.take(chunk(&["PUT 200", "PUT 503"]), Millis(5));
        let shown: Vec<_> =
            (0..log.len()).filter_map(|i| log.get(i)).map(|r| r.text().into_owned()).collect();
        assert_eq!(shown, ["GET 503", "… 1,204 lines skipped here (the link is too slow) …", "PUT 503"]);
    }

    #[test]
    fn colour_codes_go_and_the_rest_is_shown() {
        let row = Row {
            at: Millis(0),
            what: What::Line { lane: 0, stderr: false, text: "\u{1b}[1;31mred\u{1b}[0m\t\u{1b}[2J".into() },
        };
        assert_eq!(row.text(), "red    \\e[2J");
        let json = r#"{"ts":1,"user":"bob\u001b[2J","msg":"slow query","ms":200,"level":"WARN"}"#;
        assert_eq!(laid_out(json).unwrap(), r"WARN slow query ms=200 user=bob\e[2J");
        assert_eq!(laid_out("{ no"), None);
        assert_eq!(level("2026 ERROR no"), Level::Error);
        assert_eq!(level("{\"level\":\"warn\"}"), Level::Warning);
        assert_eq!([letter(0), letter(25), letter(26), letter(52)], ['A', 'Z', 'a', 'A']);
    }
}
