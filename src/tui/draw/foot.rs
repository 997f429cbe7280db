//! The foot: what is staged and what it would do, a sentence, a text field, or the keys.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::widgets::{Clear, Widget};

use crate::base::text;
use crate::model::preview::Preview;
use crate::tui::app::staged::Staged;
use crate::tui::app::{App, Field, Mode};
use crate::tui::kit::paint;
use crate::tui::panes;
use crate::tui::theme::Role;
use crate::view::{coverage, units};

/// Lines of the preview that are shown at most.
const PREVIEW_LINES: usize = 5;

/// The lines of the foot.
pub fn lines(app: &App, columns: usize) -> Vec<(String, Role)> {
    let mut out = Vec::new();
    if let Some(staged) = &app.staged {
        for (line, role) in staged_lines(staged) {
            out.extend(paint::wrap(&line, columns).into_iter().take(2).map(|l| (l, role)));
        }
        out.truncate(PREVIEW_LINES);
        out.extend(app.foot.as_ref().map(|foot| (foot.text.clone(), foot.role)));
        out.push((keys_of_staged(app, staged), Role::Staged));
        return out;
    }
    if let Mode::Field(field, input) = &app.mode {
        let what = match field {
            Field::Filter => "filter (!text: without)",
            Field::Search => "search",
            Field::Regex => "only lines that match (regular expression)",
        };
        out.push((format!("{what}: {}_", input.text), Role::Key));
        return out;
    }
    if let Some(foot) = &app.foot {
        let hint = foot.hint.as_ref().map(|h| format!(" · {h}")).unwrap_or_default();
        let text = format!("{}{hint}", foot.text);
        out.extend(paint::wrap(&text, columns).into_iter().take(3).map(|l| (l, foot.role)));
        return out;
    }
    out.push((String::new(), Role::Dim));
    out
}

/// Draws the lines; the empty one becomes the keys.
pub fn draw(app: &App, buf: &mut Buffer, area: Rect, lines: &[(String, Role)]) {
    Clear.render(area, buf);
    for (y, (line, role)) in (0..area.height).zip(lines) {
        if line.is_empty() && *role == Role::Dim {
            keys(app, buf, area, y);
        } else {
            paint::put(buf, area, 1, y, line, app.theme.style(*role));
        }
    }
}

/// The keys of the view on top, as many as fit.
fn keys(app: &App, buf: &mut Buffer, area: Rect, y: u16) {
    let pane = panes::pane(app.top());
    let mut shown: Vec<(String, &str)> = vec![(String::from("?"), "help"), (String::from(":"), "command")];
    let own = pane.verbs.iter().filter(|v| !v.keys.is_empty() && app.reason(v.when).is_none());
    shown.extend(own.map(|v| (v.keys[0].to_owned(), v.name)));
    let mut x = 1;
    for (key, name) in shown {
        let wide = text::width(&key) + text::width(name) + 3;
        if usize::from(x) + wide > usize::from(area.width) {
            break;
        }
        x += paint::put(buf, area, x, y, &key, app.theme.style(Role::Key)) + 1;
        x += paint::put(buf, area, x, y, name, app.theme.style(Role::Dim)) + 2;
    }
}

fn keys_of_staged(app: &App, staged: &Staged) -> String {
    let what = if staged.undo.is_some() { "undo " } else { "" };
    let by = staged.strategy.map(|s| format!(" by {s}")).unwrap_or_default();
    let by = if staged.to > staged.from && staged.undo.is_none() {
        format!("{by} (s: other strategy)")
    } else {
        by
    };
    let lacks = staged.preview.as_ref().and_then(|p| p.coverage.as_ref()).is_some_and(|c| c.lack() > 0);
    let first = if lacks && !app.world.registries.is_empty() { " (P: its image first)" } else { "" };
    let head = format!("{what}{} {}→{}{by}{first}", staged.pool, staged.from, staged.to);
    if let Some(why) = app.stale(&staged.pool) {
        return format!("{head} · {why} · Enter sends it all the same · Esc drops it");
    }
    match staged.due_in(app.now, app.settings.pause_ms) {
        Some(ms) => format!("{head} in {} · Enter now · Esc drops it", text::took(ms)),
        None if staged.preview.is_none() => {
            format!("{head} · asking what it would do… · Enter now · Esc drops it")
        }
        None => format!("{head} · waits for you: Enter sends it all the same · Esc drops it"),
    }
}

/// What a staged number would do.
pub fn staged_lines(staged: &Staged) -> Vec<(String, Role)> {
    match (&staged.preview, &staged.blind) {
        (Some(preview), _) => preview_lines(preview),
        (None, Some(why)) => vec![(format!("no preview: {why}"), Role::Warn)],
        (None, None) => Vec::new(),
    }
}

fn preview_lines(p: &Preview) -> Vec<(String, Role)> {
    let mut out = Vec::new();
    if let Some(refusal) = &p.refusal {
        let hint = refusal.hint.as_deref().map(|h| format!(" · {}", text::safe(h))).unwrap_or_default();
        out.push((format!("{refusal}{hint}"), Role::Bad));
    }
    if !p.places.is_empty() {
        let place = |x: &crate::model::preview::PlaceOn| {
            let image = if x.has_image == Some(false) { " (pulls the image)" } else { "" };
            format!("{} +{}{image}", x.host, x.count)
        };
        let eta = p.eta_ms.map(|ms| format!(" · about {}", text::age(ms.max(1000)))).unwrap_or_default();
        let places: Vec<String> = p.places.iter().map(place).collect();
        out.push((format!("new, by {}: {}{eta}", p.strategy, places.join(", ")), Role::Text));
    }
    if let Some(found) = p.coverage.as_ref().filter(|_| !p.places.is_empty()) {
        let warning = found.warnings.first().map(|w| format!(" · {}", text::safe(w)));
        let role = if warning.is_some() { Role::Warn } else { Role::Note };
        out.push((format!("{}{}", coverage::short(found), warning.unwrap_or_default()), role));
    }
    if !p.removals.is_empty() {
        let leave = |l: &crate::model::preview::Leaving| {
            let health = match l.health {
                crate::model::container::Health::Healthy => "healthy",
                crate::model::container::Health::Unhealthy => "unhealthy",
                _ => l.state.word(),
            };
            format!("{}.{} on {} ({health}, {})", p.pool.pool, l.slot, l.host, units::age(l.age_ms))
        };
        let first: Vec<String> = p.removals.iter().take(4).map(leave).collect();
        let more = p.removals.len().saturating_sub(first.len());
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        out.push((format!("goes: {}{more}", first.join(", ")), Role::Warn));
    }
    if p.unplaced > 0 {
        out.push((
            format!("{} would find no host", text::count(u64::from(p.unplaced), "container")),
            Role::Bad,
        ));
    }
    if !p.refused_hosts.is_empty() && (p.unplaced > 0 || p.places.is_empty()) {
        let why: Vec<String> =
            p.refused_hosts.iter().take(4).map(|(h, why)| format!("{h}: {}", text::safe(why))).collect();
        out.push((why.join(" · "), Role::Note));
    }
    out.extend(p.notes.iter().map(|n| (text::safe(n).into_owned(), Role::Note)));
    out
}
