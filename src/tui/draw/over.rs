//! What lies over the screen: palette, help and dialogs.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use crate::base::text;
use crate::tui::app::App;
use crate::tui::app::dialog::Dialog;
use crate::tui::app::palette::Palette;
use crate::tui::kit::{list, paint};
use crate::tui::panes;
use crate::tui::theme::Role;

/// The command palette, at the bottom of the body.
pub fn palette(app: &App, palette: &Palette, buf: &mut Buffer, area: Rect) {
    let entries = app.entries(&palette.input.text);
    let rows = u16::try_from(entries.len()).unwrap_or(u16::MAX).clamp(1, 14);
    let height = (rows + 3).min(area.height);
    let width = area.width.min(90);
    let place =
        Rect { x: area.x + (area.width - width) / 2, y: area.y + (area.height - height) / 3, width, height };
    let inner = paint::sheet(buf, place, "Command", &app.theme);
    paint::put(buf, inner, 0, 0, &format!(": {}_", palette.input.text), app.theme.style(Role::Key));
    let lines = Rect { y: inner.y + 1, height: inner.height.saturating_sub(1), ..inner };
    if entries.is_empty() {
        paint::put(buf, lines, 0, 0, "nothing is called like that", app.theme.style(Role::Note));
    }
    let top = list::top(palette.at, entries.len(), usize::from(lines.height));
    for (y, (i, entry)) in (0..lines.height).zip(entries.iter().enumerate().skip(top)) {
        let dim = entry.reason.is_some();
        let (name, doc) = if dim { (Role::Dim, Role::Dim) } else { (Role::Text, Role::Dim) };
        paint::put(buf, lines, 1, y, &text::fit(&entry.name, 24), app.theme.style(name));
        let right = paint::put_right(buf, lines, y, &format!("{} ", entry.keys), app.theme.style(Role::Key));
        let doc_area = Rect { width: right, ..lines };
        let what = entry.reason.as_ref().map_or_else(|| entry.doc.clone(), |r| format!("not now: {r}"));
        paint::put(buf, doc_area, 27, y, &what, app.theme.style(doc));
        if i == palette.at {
            paint::row_style(buf, lines, y, app.theme.style(Role::Cursor));
        }
    }
}

/// Help about the view.
pub fn help(app: &App, top: usize, buf: &mut Buffer, area: Rect) {
    let (columns, rows) = app.sheet_size();
    let lines = app.help(columns);
    let width = u16::try_from(columns + 6).unwrap_or(area.width);
    let height = u16::try_from(lines.len() + 2).unwrap_or(area.height).min(area.height);
    let place = paint::centred(area, width, height);
    let title = format!("Help: {} · j/k scroll · Esc closes", panes::pane(app.top()).title);
    let inner = paint::sheet(buf, place, &title, &app.theme);
    let top = top.min(lines.len().saturating_sub(rows.min(usize::from(inner.height))));
    for (y, (line, role)) in (0..inner.height).zip(lines.iter().skip(top)) {
        paint::put(buf, inner, 0, y, line, app.theme.style(*role));
    }
}

/// A question.
pub fn dialog(app: &App, dialog: &Dialog, buf: &mut Buffer, area: Rect) {
    let width = area.width.saturating_sub(4).clamp(20, 76);
    let columns = usize::from(width.saturating_sub(4));
    let wrapped = |text: &str, role| paint::wrap(text, columns).into_iter().map(move |l| (l, role));
    let mut lines: Vec<(String, Role)> = dialog.body.iter().flat_map(|l| wrapped(l, Role::Dialog)).collect();
    let mut last: Vec<(String, Role)> = Vec::new();
    if let Some(input) = &dialog.input {
        // What is to be typed is said above it.
        let asked = dialog.body.last().map_or(0, |line| paint::wrap(line, columns).len());
        last = lines.split_off(lines.len() - asked);
        last.push((format!("> {}_", input.text), Role::Input));
    }
    if let Some(error) = &dialog.error {
        last.extend(wrapped(error, Role::Bad));
    }
    let rows = button_rows(dialog, columns);
    // The buttons are always there: what does not fit above them is counted.
    let room = usize::from(area.height).saturating_sub(rows.len() + last.len() + 3);
    if lines.len() > room {
        let shown = room.saturating_sub(1);
        let more = format!("… and {} more lines", lines.len() - shown);
        lines.truncate(shown);
        lines.push((more, Role::Dim));
    }
    lines.append(&mut last);
    let height = u16::try_from(lines.len() + rows.len() + 3).unwrap_or(u16::MAX);
    let inner = paint::sheet(buf, paint::centred(area, width, height), &dialog.title, &app.theme);
    let mut y = 0;
    for (line, role) in lines {
        paint::put(buf, inner, 0, y, &line, app.theme.style(role));
        y += 1;
    }
    y += 1;
    for row in rows {
        let mut x = 0;
        for i in row {
            let role = if i == dialog.focus { Role::ButtonFocus } else { Role::Button };
            let label = if i == dialog.focus {
                format!("[ {} ]", dialog.buttons[i].0)
            } else {
                format!("  {}  ", dialog.buttons[i].0)
            };
            x += paint::put(buf, inner, x, y, &label, app.theme.style(role)) + 2;
        }
        y += 1;
    }
}

/// Which buttons stand in which row.
fn button_rows(dialog: &Dialog, columns: usize) -> Vec<Vec<usize>> {
    let mut rows: Vec<Vec<usize>> = vec![Vec::new()];
    let mut used = 0;
    for (i, (label, _)) in dialog.buttons.iter().enumerate() {
        let wide = text::width(label) + 6;
        if used + wide > columns && used > 0 {
            rows.push(Vec::new());
            used = 0;
        }
        used += wide;
        rows.last_mut().into_iter().for_each(|r| r.push(i));
    }
    rows
}
