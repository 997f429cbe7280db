//! Log chunks as lines for a plain terminal or a pipe: each with its lane, what is missing said where it is missing.

use crate::base::stamp::rfc3339;
use crate::base::text::{safe, width};
use crate::model::logs::{LogChunk, LogLine};

/// One line to print.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogRow {
    /// A line of a container.
    Line {
        /// Which lane: chooses its colour.
        lane: u16,
        /// Stamp (if asked for) and lane, padded, with the gap that follows.
        prefix: String,
        /// The text, sanitised; tabs are spaces.
        text: String,
        /// It came from standard error.
        stderr: bool,
    },
    /// A line about the log itself.
    About(String),
    /// Nothing more will come.
    End,
}

/// Makes lines from chunks; remembers the names of the lanes.
#[derive(Clone, Debug, Default)]
pub struct LogLines {
    lanes: Vec<String>,
    wide: usize,
    stamps: bool,
}

impl LogLines {
    /// A maker that knows no lane yet. With `stamps`, each line begins with its time.
    pub fn new(stamps: bool) -> LogLines {
        LogLines { stamps, ..LogLines::default() }
    }

    /// The name of a lane, `?` while it is not known.
    pub fn lane(&self, lane: u16) -> &str {
        self.lanes.get(usize::from(lane)).map_or("?", String::as_str)
    }

    /// The lines of a chunk.
    pub fn rows(&mut self, chunk: &LogChunk) -> Vec<LogRow> {
        match chunk {
            LogChunk::Lanes(names) => {
                self.lanes = names.iter().map(|name| safe(name).into_owned()).collect();
                self.wide = self.lanes.iter().map(|name| width(name)).max().unwrap_or(0);
                Vec::new()
            }
            LogChunk::Lines(lines) => lines.iter().map(|line| self.row(line)).collect(),
            LogChunk::Skipped(n) => {
                vec![LogRow::About(format!("… {n} {} skipped …", if *n == 1 { "line" } else { "lines" }))]
            }
            LogChunk::Note(text) => vec![LogRow::About(format!("… {} …", safe(text)))],
            LogChunk::End => vec![LogRow::End],
        }
    }

    fn row(&self, line: &LogLine) -> LogRow {
        let lane = self.lane(line.lane);
        let fill = " ".repeat(self.wide.saturating_sub(width(lane)) + 2);
        let stamp = if self.stamps { format!("{}  ", rfc3339(line.at)) } else { String::new() };
        LogRow::Line {
            lane: line.lane,
            prefix: format!("{stamp}{lane}{fill}"),
            text: safe(&line.text.raw().replace('\t', "    ")).into_owned(),
            stderr: line.stderr,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock::Millis;

    #[test]
    fn lanes_line_up_and_losses_are_said() {
        let mut lines = LogLines::new(false);
        assert!(lines.rows(&LogChunk::Lanes(vec!["web.1".into(), "web.12".into()])).is_empty());
        let line = |lane, text: &str| LogLine { at: Millis(0), lane, stderr: false, text: text.into() };
        let rows = lines.rows(&LogChunk::Lines(vec![line(0, "a\tb"), line(1, "\u{1b}[2J"), line(9, "x")]));
        let shown: Vec<String> = rows
            .iter()
            .map(|row| match row {
                LogRow::Line { prefix, text, .. } => format!("{prefix}{text}"),
                other => format!("{other:?}"),
            })
            .collect();
        assert_eq!(shown, ["web.1   a    b", r"web.12  \e[2J", "?       x"]);
        assert_eq!(lines.rows(&LogChunk::Skipped(1204)), [LogRow::About("… 1204 lines skipped …".into())]);
        assert_eq!(lines.rows(&LogChunk::End), [LogRow::End]);
    }
}
