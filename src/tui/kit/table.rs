//! A table: columns that give way by rank when it gets narrow, and only the visible lines formatted.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;

use crate::base::text;
use crate::tui::kit::paint;
use crate::tui::theme::{Role, Theme};

/// One column.
#[derive(Debug)]
pub struct Column {
    /// Its heading.
    pub title: &'static str,
    /// What it says, for help.
    pub doc: &'static str,
    /// Columns of the terminal that it wants.
    pub width: u16,
    /// It takes what is left; its width is the least that it accepts.
    pub grows: bool,
    /// Set to the right.
    pub right: bool,
    /// Who gives way first when it is too narrow: the highest; 0 never does.
    pub rank: u8,
}

/// Shorthand for the tables of columns: set to the left.
pub const fn left(title: &'static str, width: u16, rank: u8, doc: &'static str) -> Column {
    Column { title, doc, width, grows: false, right: false, rank }
}

/// Shorthand: set to the right.
pub const fn right(title: &'static str, width: u16, rank: u8, doc: &'static str) -> Column {
    Column { title, doc, width, grows: false, right: true, rank }
}

/// Shorthand: takes what is left, and at least `width`; never gives way.
pub const fn rest(title: &'static str, width: u16, doc: &'static str) -> Column {
    Column { title, doc, width, grows: true, right: false, rank: 0 }
}

/// A line of a table.
#[derive(Clone, Debug)]
pub enum Line {
    /// A row: its mark, its cells in the order of the columns, and whether the cursor is on it.
    Row {
        /// One character before the row.
        mark: (char, Role),
        /// The cells.
        cells: Vec<(String, Role)>,
        /// The cursor is on it.
        cursor: bool,
        /// From the cell with this number on, the text runs over the rest of the columns.
        run: Option<usize>,
    },
    /// A sentence beneath a row.
    Note(String, Role),
}

/// The columns that fit, as (index, x, width).
pub fn places(columns: &[Column], width: u16) -> Vec<(usize, u16, u16)> {
    let mut kept: Vec<usize> = (0..columns.len()).collect();
    let need = |kept: &[usize]| -> u16 { kept.iter().map(|i| columns[*i].width + 1).sum() };
    while need(&kept) > width.saturating_sub(2) {
        let Some(out) =
            kept.iter().copied().filter(|i| columns[*i].rank > 0).max_by_key(|i| columns[*i].rank)
        else {
            break;
        };
        kept.retain(|i| *i != out);
    }
    let rest = width.saturating_sub(need(&kept) + 2);
    let mut x = 3;
    let mut out = Vec::new();
    for i in kept {
        let w = columns[i].width + if columns[i].grows { rest } else { 0 };
        out.push((i, x, w));
        x += w + 1;
    }
    out
}

/// Draws heading and lines. `line` is called for visible lines only.
pub fn draw(
    buf: &mut Buffer,
    area: Rect,
    theme: &Theme,
    columns: &[Column],
    lines: std::ops::Range<usize>,
    focused: bool,
    mut line: impl FnMut(usize) -> Line,
) {
    if area.height == 0 || area.width < 4 {
        return;
    }
    let places = places(columns, area.width);
    for (i, x, w) in &places {
        cell(buf, area, *x, 0, *w, columns[*i].right, columns[*i].title, theme.style(Role::Column));
    }
    for (y, at) in (1..area.height).zip(lines) {
        match line(at) {
            Line::Note(text, role) => {
                paint::put(buf, area, 5, y, &text, theme.style(role));
            }
            Line::Row { mark, cells, cursor, run } => {
                paint::put(buf, area, 1, y, &mark.0.to_string(), theme.style(mark.1));
                for (i, x, w) in &places {
                    let Some((text, role)) = cells.get(*i) else { continue };
                    if run == Some(*i) {
                        paint::put(buf, area, *x, y, text, theme.style(*role));
                        break;
                    }
                    cell(buf, area, *x, y, *w, columns[*i].right, text, theme.style(*role));
                }
                if cursor {
                    cursor_row(buf, area, y, focused, theme);
                }
            }
        }
    }
}

/// Makes a row the cursor's: visible with and without colours, and told by a sign as well.
pub fn cursor_row(buf: &mut Buffer, area: Rect, y: u16, focused: bool, theme: &Theme) {
    let style = if focused { theme.style(Role::Cursor) } else { theme.style(Role::TitleFocus) };
    if focused {
        paint::row_style(buf, area, y, style);
    }
    paint::put(buf, area, 0, y, "▸", style);
}

fn cell(buf: &mut Buffer, area: Rect, x: u16, y: u16, width: u16, right: bool, line: &str, style: Style) {
    let place =
        Rect { x: area.x + x.min(area.width), width: width.min(area.width.saturating_sub(x)), ..area };
    let used = u16::try_from(text::width(line)).unwrap_or(u16::MAX);
    let indent = if right { place.width.saturating_sub(used) } else { 0 };
    paint::put(buf, place, indent, y, line, style);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_give_way_by_rank() {
        let columns = [rest("A", 12, ""), left("B", 10, 1, ""), left("C", 10, 2, "")];
        let shown = |w| places(&columns, w).into_iter().map(|(i, _, w)| (i, w)).collect::<Vec<_>>();
        assert_eq!(shown(60), [(0, 35), (1, 10), (2, 10)]);
        assert_eq!(shown(30), [(0, 16), (1, 10)]);
        assert_eq!(shown(14), [(0, 12)]);
    }
}
