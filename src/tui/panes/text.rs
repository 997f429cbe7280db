//! Text on the whole screen: the engine's JSON, and all that is known of an object.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use crate::base::text;
use crate::tui::kit::paint;
use crate::tui::panes::rows::RowKey;
use crate::tui::panes::{Pane, PaneId, STATES};
use crate::tui::theme::{Role, Theme};
use crate::tui::verbs::{Act, Verb, When, verb};

/// What the tables say of it.
pub const PANE: Pane = Pane {
    id: PaneId::Text,
    title: "Text",
    doc: "Text to read: the engine's own JSON of a container, or all that is known of a pool, a container, a host or an \
          operation.",
    verbs: VERBS,
    columns: &[],
    words: STATES,
    home: false,
};

const VERBS: &[Verb] = &[
    verb("search", &["/"], When::Always, Act::Search, "mark text"),
    verb("next match", &["n"], When::Always, Act::Match(1), "to the next match"),
    verb("previous match", &["N"], When::Always, Act::Match(-1), "to the match before"),
    verb("save", &["Ctrl-S"], When::Always, Act::Save, "save the text to a file"),
    verb(
        "copy command",
        &["y"],
        When::Always,
        Act::Yank,
        "show and copy the command line that does the same",
    ),
];

/// A text on the whole screen.
#[derive(Clone, Debug)]
pub struct TextView {
    /// Its title.
    pub title: String,
    /// The object that it is about.
    pub about: Option<RowKey>,
    /// It is made anew with each snapshot.
    pub lives: bool,
    /// The command line that shows the same.
    pub command: String,
    /// Its lines, safe to show.
    pub lines: Vec<String>,
    /// The first line shown.
    pub top: usize,
    /// Text that is marked.
    pub search: String,
}

impl TextView {
    /// Scrolls, never past the end.
    pub fn scroll(&mut self, by: i64, height: usize) {
        let last = self.lines.len().saturating_sub(height.max(1));
        let to = i64::try_from(self.top).unwrap_or(0).saturating_add(by).max(0);
        self.top = usize::try_from(to).unwrap_or(0).min(last);
    }

    /// Scrolls to the next or the previous match; false when there is none.
    pub fn find(&mut self, direction: i32, height: usize) -> bool {
        let needle = self.search.to_lowercase();
        if needle.is_empty() {
            return false;
        }
        let hit = |i: &usize| self.lines.get(*i).is_some_and(|l| l.to_lowercase().contains(&needle));
        let middle = self.top + if self.top > 0 { height / 3 } else { 0 };
        let found = if direction > 0 {
            (middle + 1..self.lines.len()).find(hit).or_else(|| (0..self.lines.len()).find(hit))
        } else {
            (0..middle).rev().find(hit).or_else(|| (0..self.lines.len()).rev().find(hit))
        };
        if let Some(found) = found {
            self.top = 0;
            self.scroll(i64::try_from(found.saturating_sub(height / 3)).unwrap_or(0), height);
        }
        found.is_some()
    }

    /// Draws the visible lines.
    pub fn draw(&self, buf: &mut Buffer, area: Rect, theme: &Theme) {
        for (y, line) in (0..area.height).zip(self.lines.iter().skip(self.top)) {
            let (role, at) = match line.split_once(": ") {
                Some((key, _)) if !key.trim_start().contains(' ') => (Role::Dim, text::width(key) + 1),
                _ => (Role::Text, 0),
            };
            paint::put(buf, area, 1, y, line, theme.style(Role::Text));
            let wide = u16::try_from(at).unwrap_or(u16::MAX).min(area.width.saturating_sub(1));
            if wide > 0 {
                buf.set_style(
                    Rect { x: area.x + 1, y: area.y + y, width: wide, height: 1 },
                    theme.style(role),
                );
            }
            crate::tui::panes::logs::marks(buf, area, 1, y, line, &self.search, theme.style(Role::Match));
        }
    }
}
