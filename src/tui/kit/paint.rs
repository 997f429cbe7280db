//! Puts styled text into the buffer, never outside of its area.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::widgets::{Block, BorderType, Clear, Widget};

use crate::base::text;
use crate::tui::theme::{Role, Theme};

/// Writes one line at a place inside `area`, cut with `…` at its right edge. Returns the columns used.
pub fn put(buf: &mut Buffer, area: Rect, x: u16, y: u16, line: &str, style: Style) -> u16 {
    let area = area.intersection(buf.area);
    let left = area.x.saturating_add(x);
    let top = area.y.saturating_add(y);
    if left >= area.right() || top >= area.bottom() {
        return 0;
    }
    let room = usize::from(area.right() - left);
    let shown = text::fit(line, room);
    let (end, _) = buf.set_stringn(left, top, shown.as_ref(), room, style);
    end.saturating_sub(left)
}

/// Writes pieces after each other. Returns the columns used.
pub fn pieces(buf: &mut Buffer, area: Rect, x: u16, y: u16, parts: &[(&str, Style)]) -> u16 {
    parts.iter().fold(0, |used, (part, style)| used + put(buf, area, x.saturating_add(used), y, part, *style))
}

/// Writes a line so that it ends at the right edge. Returns the column at which it starts.
pub fn put_right(buf: &mut Buffer, area: Rect, y: u16, line: &str, style: Style) -> u16 {
    let w = u16::try_from(text::width(line)).unwrap_or(u16::MAX).min(area.width);
    put(buf, area, area.width - w, y, line, style);
    area.width - w
}

/// Gives a whole row a style.
pub fn row_style(buf: &mut Buffer, area: Rect, y: u16, style: Style) {
    let line = Rect { x: area.x, y: area.y.saturating_add(y), width: area.width, height: 1 };
    buf.set_style(line.intersection(area), style);
}

/// Draws a frame with a title and returns what is inside.
pub fn frame(buf: &mut Buffer, area: Rect, title: &str, focused: bool, theme: &Theme) -> Rect {
    let (border, heading) =
        if focused { (Role::BorderFocus, Role::TitleFocus) } else { (Role::Border, Role::Title) };
    let block = Block::bordered().border_type(BorderType::Rounded).border_style(theme.style(border));
    let inner = block.inner(area);
    block.render(area, buf);
    let edge = Rect { x: area.x + 2.min(area.width), width: area.width.saturating_sub(4), height: 1, ..area };
    let shown = text::fit(title, usize::from(edge.width).saturating_sub(2)).into_owned();
    put(buf, edge, 0, 0, &format!(" {shown} "), theme.style(heading));
    inner
}

/// Empties an area and frames it: a dialog.
pub fn sheet(buf: &mut Buffer, area: Rect, title: &str, theme: &Theme) -> Rect {
    Clear.render(area, buf);
    let block =
        Block::bordered().border_type(BorderType::Rounded).border_style(theme.style(Role::DialogBorder));
    let inner = block.inner(area);
    block.render(area, buf);
    let edge = Rect { x: area.x + 2.min(area.width), width: area.width.saturating_sub(4), height: 1, ..area };
    put(
        buf,
        edge,
        0,
        0,
        &format!(" {title} "),
        theme.style(Role::DialogBorder).add_modifier(ratatui::style::Modifier::BOLD),
    );
    Rect { x: inner.x + 1.min(inner.width), width: inner.width.saturating_sub(2), ..inner }
}

/// A rectangle of at most this size in the middle of `area`.
pub fn centred(area: Rect, width: u16, height: u16) -> Rect {
    let (w, h) = (width.min(area.width), height.min(area.height));
    Rect { x: area.x + (area.width - w) / 2, y: area.y + (area.height - h) / 2, width: w, height: h }
}

/// Breaks text into lines of at most `columns`, at spaces where possible.
pub fn wrap(line: &str, columns: usize) -> Vec<String> {
    let columns = columns.max(1);
    let mut out = vec![String::new()];
    for word in line.split(' ') {
        let mut word = word;
        let used = out.last().map_or(0, |l| text::width(l));
        if used > 0 && used + 1 + text::width(word) > columns {
            out.push(String::new());
        } else if used > 0 {
            out.last_mut().into_iter().for_each(|l| l.push(' '));
        }
        while text::width(word) > columns {
            let cut = cut_at(word, columns);
            let (head, tail) = word.split_at(cut);
            out.last_mut().into_iter().for_each(|l| l.push_str(head));
            out.push(String::new());
            word = tail;
        }
        out.last_mut().into_iter().for_each(|l| l.push_str(word));
    }
    out
}

/// [`wrap`] for text whose lines are indented: what is broken stands two columns further in.
pub fn wrap_indented(line: &str, columns: usize) -> Vec<String> {
    if text::width(line) <= columns {
        return vec![line.to_owned()];
    }
    let rest = line.trim_start_matches(' ');
    let indent = " ".repeat((line.len() - rest.len()).min(columns / 2));
    let parts = wrap(rest, columns.saturating_sub(indent.len() + 2)).into_iter();
    parts.enumerate().map(|(i, part)| format!("{indent}{}{part}", if i > 0 { "  " } else { "" })).collect()
}

/// The byte at which text has filled `columns`; at least one character, so that breaking makes headway.
pub fn cut_at(word: &str, columns: usize) -> usize {
    use unicode_segmentation::UnicodeSegmentation;
    let (mut used, mut at) = (0, 0);
    for g in word.graphemes(true) {
        used += text::width(g);
        if used > columns && at > 0 {
            break;
        }
        at += g.len();
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrapping_keeps_words_and_breaks_long_ones() {
        assert_eq!(wrap("no host has two free cpu", 10), ["no host", "has two", "free cpu"]);
        assert_eq!(wrap("abcdefghij", 4), ["abcd", "efgh", "ij"]);
        assert_eq!(wrap("中文中文", 3), ["中", "文", "中", "文"]);
        assert_eq!(wrap_indented("  no host has two", 11), ["  no host", "    has two"]);
    }
}
