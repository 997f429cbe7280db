//! Logs: of the chosen pool on the home screen, and of anything on the whole screen.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;

use crate::base::text;
use crate::model::logs::LogTarget;
use crate::tui::event::TailId;
use crate::tui::kit::paint;
use crate::tui::logbuf::{self, Level, LogBuf, Row, What};
use crate::tui::panes::{Pane, PaneId};
use crate::tui::theme::{LANES, Role, Theme};
use crate::tui::verbs::{Act, Verb, When, verb};
use crate::view::units;

const DOC: &str = "One stream for all containers, in the order of time. Each container is a lane with a letter and a colour. \
                   Scrolling up pauses; G goes back to live. Where lines are missing, the stream says how many.";

const WORDS: &[(&str, &str)] = &[
    ("live", "new lines appear as they come"),
    ("paused", "you scrolled up: new lines are kept below, G shows them"),
    ("behind", "how late lines arrive here after they were written"),
    ("skipped", "lines that could not be kept, counted where they are missing"),
];

/// What the tables say of the pane of the home screen.
pub const HOME_PANE: Pane = Pane {
    id: PaneId::Logs,
    title: "Logs",
    doc: DOC,
    verbs: HOME_VERBS,
    columns: &[],
    words: WORDS,
    home: true,
};

/// What the tables say of the view on the whole screen.
pub const PANE: Pane = Pane {
    id: PaneId::FullLogs,
    title: "Logs",
    doc: DOC,
    verbs: VERBS,
    columns: &[],
    words: WORDS,
    home: false,
};

const HOME_VERBS: &[Verb] =
    &[verb("full screen", &["l", "Enter", "f"], When::Always, Act::Logs, "on the whole screen")];

const VERBS: &[Verb] = &[
    verb("follow", &["Space", "Enter"], When::Always, Act::Follow, "pause, or go back to live"),
    verb("search", &["/"], When::Always, Act::Search, "mark text, with everything around it"),
    verb("next match", &["n"], When::Always, Act::Match(1), "to the next match"),
    verb("previous match", &["N"], When::Always, Act::Match(-1), "to the match before"),
    verb("only matching", &["&"], When::Always, Act::Regex, "only lines that match a regular expression"),
    verb("time stamps", &["t"], When::Always, Act::Stamps, "time stamps (UTC) on or off"),
    verb(
        "json",
        &["J"],
        When::Always,
        Act::Json,
        "lay JSON lines out as level, message, key=value, or as they came",
    ),
    verb("wrap", &["w"], When::Always, Act::Wrap, "break long lines or cut them"),
    verb("since 1 minute", &["1"], When::Always, Act::Since(1), "from a minute ago on"),
    verb("since 5 minutes", &["2"], When::Always, Act::Since(5), "from 5 minutes ago on"),
    verb("since 15 minutes", &["3"], When::Always, Act::Since(15), "from 15 minutes ago on"),
    verb("since 30 minutes", &["4"], When::Always, Act::Since(30), "from 30 minutes ago on"),
    verb("since 45 minutes", &["5"], When::Always, Act::Since(45), "from 45 minutes ago on"),
    verb("since 1 hour", &["6"], When::Always, Act::Since(60), "from an hour ago on"),
    verb("newest lines", &["0"], When::Always, Act::Since(0), "the newest lines only"),
    verb(
        "previous log",
        &["p"],
        When::Always,
        Act::Previous,
        "the log of the container that this one replaced",
    ),
    verb("save", &["Ctrl-S"], When::Always, Act::Save, "save all lines that are kept here to a file"),
    verb(
        "copy command",
        &["y"],
        When::Always,
        Act::Yank,
        "show and copy the command line that does the same",
    ),
];

/// A log on the whole screen.
#[derive(Clone, Debug)]
pub struct LogView {
    /// Whose.
    pub target: LogTarget,
    /// Its name for people.
    pub name: String,
    /// The open tail.
    pub tail: TailId,
    /// The lines.
    pub buf: LogBuf,
    /// Paused: the number of the lowest line shown.
    pub bottom: Option<u64>,
    /// How many lines had come when it was paused.
    pub paused_at: u64,
    /// Time stamps are shown.
    pub stamps: bool,
    /// Long lines are broken.
    pub wrap: bool,
    /// JSON lines are laid out.
    pub json: bool,
    /// Text that is marked.
    pub search: String,
    /// Only lines that match this.
    pub regex: String,
    /// Only from so many minutes ago on.
    pub since: u32,
    /// It could not be opened.
    pub fault: Option<String>,
}

impl LogView {
    /// A log that has just been asked for.
    pub fn new(target: LogTarget, name: String, tail: TailId) -> LogView {
        LogView {
            target,
            name,
            tail,
            buf: LogBuf::new(logbuf::FULL_BYTES),
            bottom: None,
            paused_at: 0,
            stamps: true,
            wrap: false,
            json: true,
            search: String::new(),
            regex: String::new(),
            since: 0,
            fault: None,
        }
    }

    /// Scrolls by rows; reaching the newest goes back to live.
    pub fn scroll(&mut self, by: i64) {
        let last = self.buf.len().saturating_sub(1);
        let at = self.bottom.map_or(last, |seq| self.buf.place(seq));
        let to = i64::try_from(at).unwrap_or(0).saturating_add(by).max(0);
        let to = usize::try_from(to).unwrap_or(0);
        if to >= last {
            self.bottom = None;
        } else {
            self.pause_at(to);
        }
    }

    /// Pauses with the row at `place` lowest.
    pub fn pause_at(&mut self, place: usize) {
        if self.bottom.is_none() {
            self.paused_at = self.buf.seen;
        }
        self.bottom = self.buf.seq(place);
    }

    /// Moves to the next (`1`) or the previous (`-1`) row with the searched text; false when there is none.
    pub fn find(&mut self, direction: i32, height: usize) -> bool {
        let needle = self.search.to_lowercase();
        if needle.is_empty() || self.buf.is_empty() {
            return false;
        }
        let last = self.buf.len() - 1;
        let lowest = self.bottom.map_or(last, |seq| self.buf.place(seq));
        let middle = if self.bottom.is_some() { lowest.saturating_sub(height / 2) } else { lowest + 1 };
        let hit = |i: &usize| self.buf.get(*i).is_some_and(|r| r.text().to_lowercase().contains(&needle));
        let found = if direction > 0 {
            (middle + 1..=last).find(hit)
        } else {
            (0..middle.min(last + 1)).rev().find(hit)
        };
        if let Some(found) = found {
            self.pause_at((found + height / 2).min(last));
        }
        found.is_some()
    }

    /// What stands in the title: whose, how many streams, live or how far behind.
    pub fn title(&self) -> String {
        let mut title = format!("Logs of {}{}", self.name, streams(&self.buf));
        if self.since > 0 {
            title.push_str(&format!(" · since {} min", self.since));
        }
        if !self.regex.is_empty() {
            title.push_str(&format!(" · only /{}/", self.regex));
        }
        let new = self.buf.seen.saturating_sub(self.paused_at);
        title.push_str(&match self.bottom {
            Some(_) => format!(" · paused, {} below, G: live", logbuf::lines(new)),
            None => live(&self.buf),
        });
        title
    }
}

fn streams(buf: &LogBuf) -> String {
    match buf.lanes.len() {
        0 | 1 => String::new(),
        n => format!(" · {n} streams merged"),
    }
}

/// `live`, `12s behind` or `ended`.
fn live(buf: &LogBuf) -> String {
    if buf.ended {
        " · ended".to_owned()
    } else if buf.lag_ms < 3_000 || buf.seen == 0 {
        " · live".to_owned()
    } else {
        format!(" · {} behind", units::age(buf.lag_ms))
    }
}

/// The title of the pane on the home screen.
pub fn home_title(name: &str, buf: &LogBuf) -> String {
    format!("3 Logs of {name}{}{}", streams(buf), live(buf))
}

/// How rows of a log are drawn.
#[derive(Clone, Copy, Debug)]
pub struct Looks<'a> {
    /// The number of the lowest row; the newest if `None`.
    pub bottom: Option<u64>,
    /// Time stamps.
    pub stamps: bool,
    /// Long lines are broken.
    pub wrap: bool,
    /// JSON lines are laid out.
    pub json: bool,
    /// Text that is marked.
    pub search: &'a str,
}

/// Draws the rows that fit, the lowest at the bottom.
pub fn draw(log: &LogBuf, looks: Looks<'_>, buf: &mut Buffer, area: Rect, theme: &Theme) {
    let height = usize::from(area.height);
    if height == 0 || log.is_empty() {
        return;
    }
    let name_width = log.lanes.iter().map(|l| text::width(l)).max().unwrap_or(0).min(14);
    let indent = if looks.stamps { 13 } else { 0 } + if log.lanes.len() > 1 { 3 + name_width } else { 0 };
    let room = usize::from(area.width).saturating_sub(indent).max(8);
    let mut parts: Vec<(usize, Vec<String>)> = Vec::new();
    let (mut used, mut at) = (0, looks.bottom.map_or(log.len() - 1, |seq| log.place(seq)));
    while used < height {
        let Some(row) = log.get(at) else { break };
        let laid_out = match &row.what {
            What::Line { text, .. } if looks.json => logbuf::laid_out(text.raw()),
            _ => None,
        };
        let shown = laid_out.unwrap_or_else(|| row.text().into_owned());
        let lines = if looks.wrap { paint::wrap(&shown, room) } else { vec![shown] };
        used += lines.len();
        parts.push((at, lines));
        let Some(above) = at.checked_sub(1) else { break };
        at = above;
    }
    let mut skip = used.saturating_sub(height);
    let mut y = 0;
    for (place, lines) in parts.into_iter().rev() {
        for (i, line) in lines.into_iter().enumerate() {
            if skip > 0 {
                skip -= 1;
                continue;
            }
            if let Some(row) = log.get(place) {
                let place = Place { y, first: i == 0, indent, name_width };
                draw_line(log, row, &line, looks, buf, area, place, theme);
            }
            y += 1;
        }
    }
}

#[derive(Clone, Copy)]
struct Place {
    y: u16,
    first: bool,
    indent: usize,
    name_width: usize,
}

fn draw_line(
    log: &LogBuf,
    row: &Row,
    line: &str,
    looks: Looks<'_>,
    buf: &mut Buffer,
    area: Rect,
    at: Place,
    theme: &Theme,
) {
    let mut x = 0;
    let What::Line { lane, stderr, .. } = row.what else {
        paint::put(buf, area, 0, at.y, line, theme.style(Role::Warn));
        return;
    };
    if at.first {
        if looks.stamps {
            paint::put(buf, area, 0, at.y, &units::clock_millis(row.at.0), theme.style(Role::Dim));
            x = 13;
        }
        if log.lanes.len() > 1 {
            let style = theme.style(LANES[usize::from(lane) % LANES.len()]);
            let name = text::fit(log.lane(lane), at.name_width).into_owned();
            let letter = logbuf::letter(lane);
            paint::put(buf, area, x, at.y, &format!("{letter} {name}"), style);
        }
    }
    let x = u16::try_from(at.indent).unwrap_or(u16::MAX);
    let role = match logbuf::level(line) {
        Level::Error => Role::Error,
        Level::Warning => Role::Warning,
        Level::Debug => Role::Debug,
        Level::Plain if stderr => Role::Warning,
        Level::Plain => Role::Text,
    };
    paint::put(buf, area, x, at.y, line, theme.style(role));
    marks(buf, area, x, at.y, line, looks.search, theme.style(Role::Match));
}

/// Marks every place where `needle` stands in a line, whatever its case.
pub fn marks(buf: &mut Buffer, area: Rect, x: u16, y: u16, line: &str, needle: &str, style: Style) {
    if needle.is_empty() || y >= area.height {
        return;
    }
    let (low, needle) = (line.to_lowercase(), needle.to_lowercase());
    if low.len() != line.len() {
        return;
    }
    for (at, found) in low.match_indices(&needle) {
        let Some(before) = line.get(..at) else { continue };
        let left = usize::from(x) + text::width(before);
        let Ok(left) = u16::try_from(left) else { continue };
        if left < area.width {
            let wide = u16::try_from(text::width(found)).unwrap_or(u16::MAX).min(area.width - left);
            buf.set_style(Rect { x: area.x + left, y: area.y + y, width: wide, height: 1 }, style);
        }
    }
}
