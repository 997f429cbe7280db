//! The one printer: everything that the command line says goes through it and leaves it sanitised.

use std::fmt::Write as _;
use std::io::{ErrorKind, Write};

use serde::Serialize;

use crate::base::text::{fit, is_hostile, safe};
use crate::cli::Color;
use crate::cli::cx::Stop;
use crate::cli::io::Io;

/// Colours of log lanes (of the 16 that every terminal has): cyan, green, yellow, blue, magenta, and their bright sisters.
const LANE_COLOURS: [u8; 10] = [36, 32, 33, 34, 35, 96, 92, 93, 94, 95];

/// Writes lines and JSON to the two outputs.
pub struct Printer<'a> {
    /// The surroundings.
    pub io: &'a mut Io,
    colour: bool,
    progress_shown: bool,
    broken: Option<(ErrorKind, String)>,
}

impl<'a> Printer<'a> {
    /// A printer with the colours that were asked for.
    pub fn new(io: &'a mut Io, color: Color) -> Printer<'a> {
        let set = |key: &str| io.env.get(key).is_some_and(|v| !v.is_empty());
        let dumb = io.env.get("TERM").is_some_and(|term| term == "dumb");
        let colour = match color {
            Color::Always => true,
            Color::Never => false,
            Color::Auto => io.out_is_tty && !set("NO_COLOR") && !dumb,
        };
        Printer { io, colour, progress_shown: false, broken: None }
    }

    /// The width that tables keep: that of the terminal, or none where the output is read by a program.
    pub fn columns(&self) -> Option<usize> {
        self.io.out_is_tty.then_some(self.io.width)
    }

    /// One line on standard output.
    pub fn line(&mut self, line: &str) -> Result<(), Stop> {
        let line = format!("{}\n", safe(line));
        self.put(line.as_bytes())
    }

    /// Several lines on standard output.
    pub fn text(&mut self, text: &str) -> Result<(), Stop> {
        text.lines().try_for_each(|line| self.line(line))
    }

    /// A line of a log: `prefix` in the colour of its lane.
    pub fn lane_line(&mut self, lane: u16, prefix: &str, text: &str) -> Result<(), Stop> {
        let (prefix, text) = (safe(prefix), safe(text));
        let line = if self.colour {
            let colour = LANE_COLOURS[usize::from(lane) % LANE_COLOURS.len()];
            format!("\u{1b}[{colour}m{prefix}\u{1b}[0m{text}\n")
        } else {
            format!("{prefix}{text}\n")
        };
        self.put(line.as_bytes())
    }

    /// Bytes on standard output as they are: only for what is asked for byte for byte.
    pub fn raw(&mut self, bytes: &[u8]) -> Result<(), Stop> {
        self.put(bytes)
    }

    /// Bytes on standard error as they are.
    pub fn raw_error(&mut self, bytes: &[u8]) {
        self.complain(bytes);
    }

    /// JSON over several lines, hostile characters escaped.
    pub fn json(&mut self, value: &impl Serialize) -> Result<(), Stop> {
        self.put_json(serde_json::to_string_pretty(value))
    }

    /// JSON on one line, hostile characters escaped.
    pub fn json_line(&mut self, value: &impl Serialize) -> Result<(), Stop> {
        self.put_json(serde_json::to_string(value))
    }

    fn put_json(&mut self, json: serde_json::Result<String>) -> Result<(), Stop> {
        let json = json.map_err(|e| Stop::said(format!("the answer cannot be written as JSON: {e}")))?;
        let line = format!("{}\n", escape_json(&json));
        self.put(line.as_bytes())
    }

    /// One line on standard error, after all that was printed before it.
    pub fn note(&mut self, line: &str) {
        // A fault of standard output is kept, and told by the next call that can.
        drop(self.flush());
        self.clear_progress();
        let line = format!("{}\n", safe(line));
        self.complain(line.as_bytes());
    }

    /// What went wrong, and what to do, on standard error. Further lines of a text of several follow as they are.
    pub fn failure(&mut self, text: &str, hint: Option<&str>) {
        for (i, line) in text.lines().enumerate() {
            self.note(&if i == 0 { format!("longshore: {line}") } else { line.to_owned() });
        }
        for line in hint.into_iter().flat_map(str::lines) {
            self.note(&format!("hint: {line}"));
        }
    }

    /// True when progress is one line that is written over and over.
    pub fn rewrites(&self) -> bool {
        self.io.err_is_tty
    }

    /// Where something stands: on a terminal the line before is written over.
    pub fn progress(&mut self, line: &str) {
        if !self.rewrites() {
            return self.note(line);
        }
        let line = safe(line).into_owned();
        let shown = format!("\r\u{1b}[K{}", fit(&line, self.io.width.saturating_sub(1)));
        self.complain(shown.as_bytes());
        self.progress_shown = true;
    }

    fn clear_progress(&mut self) {
        if std::mem::take(&mut self.progress_shown) {
            self.complain(b"\r\x1b[K");
        }
    }

    /// Sends what is buffered.
    pub fn flush(&mut self) -> Result<(), Stop> {
        if self.broken.is_none()
            && let Err(e) = self.io.out.flush()
        {
            self.broken = Some((e.kind(), e.to_string()));
        }
        self.whole()
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), Stop> {
        self.clear_progress();
        if self.broken.is_none()
            && let Err(e) = self.io.out.write_all(bytes)
        {
            self.broken = Some((e.kind(), e.to_string()));
        }
        self.whole()
    }

    fn whole(&self) -> Result<(), Stop> {
        match &self.broken {
            None => Ok(()),
            Some((ErrorKind::BrokenPipe, _)) => Err(Stop::BrokenPipe),
            Some((_, why)) => Err(Stop::said(format!("standard output cannot be written: {why}"))),
        }
    }

    fn complain(&mut self, bytes: &[u8]) {
        // Nobody is left to be told when standard error itself is gone.
        let _ = self.io.err.write_all(bytes).and_then(|()| self.io.err.flush());
    }
}

/// Makes JSON safe for a terminal without changing what it means: hostile characters inside strings become escapes (`\u` and
/// four digits), those between (tabs, carriage returns) a space. Line ends between values stay.
pub fn escape_json(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    let (mut inside, mut escaped) = (false, false);
    for c in json.chars() {
        match c {
            '"' if !escaped => inside = !inside,
            c if is_hostile(c) && (inside || c != '\n') => {
                push_hostile(&mut out, c, inside);
                escaped = false;
                continue;
            }
            _ => {}
        }
        escaped = inside && c == '\\' && !escaped;
        out.push(c);
    }
    out
}

fn push_hostile(out: &mut String, c: char, inside: bool) {
    if !inside {
        out.push(' ');
        return;
    }
    for unit in c.encode_utf16(&mut [0; 2]) {
        // Writing to a string cannot fail.
        let _ = write!(out, "\\u{unit:04x}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn json_of_an_engine_becomes_safe_and_stays_json() {
        let json = "{\"a\\\\\":\t\"\u{202e}x\u{9b}\u{e0041}\\\"\u{7f}\"}\r\n";
        assert_eq!(escape_json(json), "{\"a\\\\\": \"\\u202ex\\u009b\\udb40\\udc41\\\"\\u007f\"} \n");
    }

    proptest! {
        #[test]
        fn escaped_json_means_the_same(texts in proptest::collection::vec(any::<String>(), 0..5)) {
            let json = escape_json(&serde_json::to_string_pretty(&texts).unwrap());
            prop_assert!(!json.chars().any(|c| c != '\n' && is_hostile(c)));
            prop_assert_eq!(serde_json::from_str::<Vec<String>>(&json).unwrap(), texts);
        }
    }
}
