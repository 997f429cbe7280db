//! Draws the whole screen from the state. Pure: no IO, nothing is changed but the buffer.

mod first;
mod foot;
mod over;

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use crate::base::text;
use crate::tui::app::{App, Loaded, Mode, View};
use crate::tui::kit::{last, paint};
use crate::tui::panes::logs::{self, Looks};
use crate::tui::panes::{self, PaneId, heat, hosts, replication};
use crate::tui::theme::Role;
use crate::view::heat::Layout;
use crate::view::units;

/// Below this size one worded line is all there is.
pub const SIZE_MIN: (u16, u16) = (40, 10);
/// The age of the data is shown from this age on: the engine publishes at least every five seconds when all is well.
pub const DATA_OLD_MS: u64 = 10_000;

/// Draws the whole screen into `buf`, whatever its size.
pub fn draw(app: &App, buf: &mut Buffer) {
    let area = buf.area;
    if area.width == 0 || area.height == 0 {
        return;
    }
    if area.width < SIZE_MIN.0 || area.height < SIZE_MIN.1 {
        let line =
            format!("longshore needs {}x{}; this is {}x{}", SIZE_MIN.0, SIZE_MIN.1, area.width, area.height);
        paint::put(buf, area, 0, 0, &line, app.theme.style(Role::Text));
        last::pass(buf, app.settings.ascii);
        return;
    }
    header(app, buf, Rect { height: 1, ..area });
    let lines = foot::lines(app, usize::from(area.width).saturating_sub(2));
    let foot_height = u16::try_from(lines.len()).unwrap_or(1).min(area.height / 2);
    // What the foot says beyond one line covers the body's last lines: nothing above it moves.
    let banner = app.banner();
    let above = 1 + u16::try_from(banner.len()).unwrap_or(0);
    for (y, line) in (1..above).zip(&banner) {
        paint::put(buf, area, 1, y, line, app.theme.style(Role::Bad));
    }
    let body = Rect { y: above, height: area.height.saturating_sub(1 + above), ..area };
    match app.views.last() {
        None if first::applies(app) => first::draw(app, buf, body),
        None if app.is_wide() => quadrants(app, buf, body),
        None => tabs(app, buf, body),
        Some(view) => whole(app, view, buf, body),
    }
    foot::draw(app, buf, Rect { y: area.height - foot_height, height: foot_height, ..area }, &lines);
    match &app.mode {
        Mode::Normal | Mode::Field(..) => {}
        Mode::Palette(palette) => over::palette(app, palette, buf, body),
        Mode::Help(top) => over::help(app, *top, buf, area),
        Mode::Dialog(dialog) => over::dialog(app, dialog, buf, area),
    }
    last::pass(buf, app.settings.ascii);
}

fn header(app: &App, buf: &mut Buffer, area: Rect) {
    let style = |role| app.theme.style(role);
    let (engine, t) = (&app.world.engine, &app.totals);
    let mut x = 0;
    let mut push = |buf: &mut Buffer, line: &str, role: Role| {
        x += paint::put(buf, area, x, 0, line, style(role));
    };
    if engine.simulated {
        push(buf, " PRACTICE ", Role::Practice);
    } else if !app.settings.environment.is_empty() {
        push(buf, &format!(" {} ", text::safe(&app.settings.environment)), Role::Prod);
    }
    push(buf, " longshore ", Role::Key);
    if app.settings.read_only {
        push(buf, " read-only ", Role::Warn);
    }
    push(buf, &format!(" {}", engine_words(app)), Role::Dim);
    push(buf, "   hosts ", Role::Dim);
    push(buf, &format!("{} ok", t.hosts_ok), if t.hosts_ok > 0 { Role::Ok } else { Role::Dim });
    if t.hosts_lost > 0 {
        push(buf, &format!(" · {} lost", t.hosts_lost), Role::Bad);
    }
    if t.hosts_never > 0 {
        push(buf, &format!(" · {} not seen", t.hosts_never), Role::Warn);
    }
    push(buf, "   pools ", Role::Dim);
    push(buf, &format!("{} ok", t.pools_ok), if t.pools_ok > 0 { Role::Ok } else { Role::Dim });
    if t.pools_bad > 0 {
        push(buf, &format!(" · {} warn", t.pools_bad), Role::Bad);
    }
    if let Some(trouble) = &engine.trouble {
        push(buf, &format!("   ! {}", text::safe(trouble)), Role::Bad);
    }
    let old = app.now.since(app.world.at);
    if app.world.revision > 0 && old >= DATA_OLD_MS {
        push(buf, &format!("   data {} old", units::age(old)), Role::Warn);
    }
    let clock = format!(" {} UTC ", units::clock(app.now.0));
    if usize::from(area.width.saturating_sub(x)) > text::width(&clock) && app.now.0 > 0 {
        paint::put_right(buf, area, 0, &clock, style(Role::Dim));
    }
}

fn engine_words(app: &App) -> String {
    use crate::model::world::Mode as Engine;
    let engine = &app.world.engine;
    let whose = if engine.attached && app.size.0 >= 100 {
        format!(" ({}, pid {})", text::safe(&engine.user), engine.pid)
    } else {
        String::new()
    };
    match engine.mode {
        Engine::Starting => "engine starting".to_owned(),
        Engine::Active => format!("engine active{whose}"),
        Engine::ObserveOnly => format!("engine observes only, nothing is mended{whose}"),
    }
}

fn quadrants(app: &App, buf: &mut Buffer, area: Rect) {
    let left = area.width.saturating_mul(4) / 7;
    let high = (area.height.saturating_mul(11) / 20).max(8);
    let log_width = area.width.saturating_mul(2) / 3;
    let place =
        |x: u16, y: u16, width: u16, height: u16| Rect { x: area.x + x, y: area.y + y, width, height };
    let low = area.height - high;
    let rects = [
        (PaneId::Pools, place(0, 0, left, high)),
        (PaneId::Containers, place(left, 0, area.width - left, high)),
        (PaneId::Logs, place(0, high, log_width, low)),
        (app.fourth(), place(log_width, high, area.width - log_width, low)),
    ];
    for (pane, rect) in rects {
        let inner = paint::frame(buf, rect, &home_title(app, pane), app.top() == pane, &app.theme);
        home_pane(app, pane, buf, inner);
    }
}

fn tabs(app: &App, buf: &mut Buffer, area: Rect) {
    let mut x = 0;
    let home = [PaneId::Pools, PaneId::Containers, PaneId::Logs, app.fourth()].map(panes::pane);
    for (i, pane) in home.iter().enumerate() {
        let role = if pane.id == app.top() { Role::ButtonFocus } else { Role::Dim };
        x += paint::put(buf, area, x, 0, &format!(" {} {} ", i + 1, pane.title), app.theme.style(role)) + 1;
    }
    let about = match app.top() {
        PaneId::Pools | PaneId::Operations => String::new(),
        PaneId::HomeReplication => replication_title(app),
        top => home_title(app, top).trim_start_matches(|c: char| c.is_ascii_digit()).trim().to_owned(),
    };
    let room = Rect { x: area.x + x, width: area.width.saturating_sub(x), ..area };
    let about = text::fit(&about, usize::from(room.width)).into_owned();
    paint::put_right(buf, room, 0, &about, app.theme.style(Role::Title));
    home_pane(app, app.top(), buf, Rect { y: area.y + 1, height: area.height.saturating_sub(1), ..area });
}

fn home_title(app: &App, pane: PaneId) -> String {
    let chosen = || match app.pools.current() {
        Some(panes::pools::Item::Pool(p)) => p.id.to_string(),
        Some(panes::pools::Item::Group(g)) => g.name.clone(),
        None => "no pool".to_owned(),
    };
    let filtered =
        |filter: &str| if filter.is_empty() { String::new() } else { format!(" · only {filter:?}") };
    match pane {
        PaneId::Pools => format!("1 Pools ({}){}", app.world.pools.len(), filtered(&app.pools.filter)),
        PaneId::Containers => {
            let count = app.containers.count();
            format!("2 Containers of {} ({count}){}", chosen(), filtered(&app.containers.filter))
        }
        PaneId::Logs => logs::home_title(&chosen(), &app.tail.buf),
        PaneId::HomeReplication => format!("4 Replication · {}", replication_title(app)),
        _ if !app.world.registries.is_empty() => {
            format!("4 Operations (o) · {}{}", app.images.summary, filtered(&app.operations.filter))
        }
        _ => format!("4 Operations{}", filtered(&app.operations.filter)),
    }
}

/// How replication stands, and whether operations wait behind it.
fn replication_title(app: &App) -> String {
    let operations = match app.images.open_operations {
        0 => String::new(),
        n => format!(" · {} (o)", text::count(n as u64, "operation")),
    };
    let only = match app.images.home.filter.as_str() {
        "" => String::new(),
        filter => format!(" · only {filter:?}"),
    };
    // What the person has asked for is told first: titles are cut at their end.
    let summary = if operations.is_empty() { app.images.summary.clone() } else { String::new() };
    format!("{summary}{operations}{only}").trim_start_matches(" · ").to_owned()
}

fn home_pane(app: &App, pane: PaneId, buf: &mut Buffer, area: Rect) {
    let focused = app.top() == pane;
    let columns = panes::pane(pane).columns;
    let cx = app.cx();
    match pane {
        PaneId::Pools => app.pools.draw(buf, area, columns, focused, &cx),
        PaneId::Containers => app.containers.draw(buf, area, columns, focused, &cx),
        PaneId::Operations => app.operations.draw(buf, area, columns, focused, &cx),
        PaneId::HomeReplication => app.images.home.draw(buf, area, columns, focused, &cx),
        _ => {
            let looks = Looks { bottom: None, stamps: area.width >= 70, wrap: false, json: true, search: "" };
            logs::draw(&app.tail.buf, looks, buf, area, &app.theme);
        }
    }
    if let Some(empty) = first::empty(app, pane) {
        sentences(app, buf, area, &empty);
    }
}

/// Words in an empty pane, so that emptiness, waiting and failure differ.
fn sentences(app: &App, buf: &mut Buffer, area: Rect, lines: &[String]) {
    let mut y = 2.min(area.height.saturating_sub(1));
    for line in lines {
        for part in paint::wrap(line, usize::from(area.width.saturating_sub(4))) {
            paint::put(buf, area, 2, y, &part, app.theme.style(Role::Note));
            y += 1;
        }
    }
}

/// The title of a view on the whole screen: what it shows, how much of it, and by which filter.
fn title(app: &App, view: &View, map: &Layout) -> String {
    let count = |title: &str, shown: usize, filter: &str| match filter {
        "" => format!("{title} ({shown})"),
        _ => format!("{title} ({shown}) · only {filter:?}"),
    };
    let fleet = &app.fleet;
    match view {
        View::Hosts => {
            let all = app.hosts.filter.is_empty();
            count("Hosts", if all { app.world.hosts.len() } else { app.hosts.count() }, &app.hosts.filter)
        }
        View::OnHost(id) => count(&app.on_host_title(id), fleet.on_host.count(), &fleet.on_host.filter),
        View::Heat => heat::title(&fleet.heat, map, fleet.metric),
        View::Sites => count("Sites", fleet.sites.count(), &fleet.sites.filter),
        View::Access => count("Access", fleet.access.count(), &fleet.access.filter),
        View::Advice => count("Advice", fleet.advice.count(), &fleet.advice.filter),
        View::Operations => count("Operations", app.operations.count(), &app.operations.filter),
        View::Journal => count("Journal", app.journal.count(), &app.journal.filter),
        View::Registries | View::Repositories(_) | View::Tags(..) | View::Replication | View::Run(_) => {
            app.images_title(view)
        }
        View::Logs(view) => view.title(),
        View::Text(view) => view.title.clone(),
    }
}

fn whole(app: &App, view: &View, buf: &mut Buffer, area: Rect) {
    let columns = panes::pane(app.top()).columns;
    let cx = app.cx();
    let map = if matches!(view, View::Heat) { app.heat_layout() } else { Layout::default() };
    let fleet = &app.fleet;
    let title = title(app, view, &map);
    let mut inner = paint::frame(buf, area, &title, true, &app.theme);
    if matches!(view, View::Hosts) {
        inner = hosts::head(&fleet.total, buf, inner, &app.theme);
    }
    if matches!(view, View::Replication) {
        inner = replication::head(&app.images.matrix, buf, inner, &app.theme);
    }
    if let View::Run(id) = view
        && let Some(run) = app.world.replication.run(*id)
    {
        let line = crate::view::replication::run_line(run, app.now);
        let grade = crate::view::replication::run_stands(run).0;
        inner = replication::run_head(&line, grade, buf, inner, &app.theme);
    }
    match view {
        View::Hosts => app.hosts.draw(buf, inner, columns, true, &cx),
        View::OnHost(_) => fleet.on_host.draw(buf, inner, columns, true, &cx),
        View::Heat => {
            let at = app.heat_cell(&map);
            heat::draw((&fleet.heat, &map, at), &app.world, buf, inner, &app.theme);
        }
        View::Sites => fleet.sites.draw(buf, inner, columns, true, &cx),
        View::Access => fleet.access.draw(buf, inner, columns, true, &cx),
        View::Advice => fleet.advice.draw(buf, inner, columns, true, &cx),
        View::Operations => app.operations.draw(buf, inner, columns, true, &cx),
        View::Journal => app.journal.draw(buf, inner, columns, true, &cx),
        View::Registries => app.images.registries.draw(buf, inner, columns, true, &cx),
        View::Repositories(_) => app.images.repositories.rows.draw(buf, inner, columns, true, &cx),
        View::Tags(..) => app.images.tags.rows.draw(buf, inner, columns, true, &cx),
        View::Replication => app.images.rules.draw(buf, inner, columns, true, &cx),
        View::Run(_) => app.images.run.rows.draw(buf, inner, columns, true, &cx),
        View::Text(view) => view.draw(buf, inner, &app.theme),
        View::Logs(view) => {
            let looks = Looks {
                bottom: view.bottom,
                stamps: view.stamps,
                wrap: view.wrap,
                json: view.json,
                search: &view.search,
            };
            logs::draw(&view.buf, looks, buf, inner, &app.theme);
        }
    }
    if let Some(lines) = nothing_in(app, view) {
        sentences(app, buf, inner, &lines);
    }
}

/// Words for a view in which nothing stands.
fn nothing_in(app: &App, view: &View) -> Option<Vec<String>> {
    match view {
        View::Logs(view) if view.buf.is_empty() => Some(vec![match (&view.fault, view.buf.ended) {
            (Some(fault), _) => format!("The log cannot be opened: {fault}"),
            (None, true) => "The log has ended; it holds no lines that are wanted here.".to_owned(),
            (None, false) => "Waiting for the first line…".to_owned(),
        }]),
        View::Journal => match (&app.journal_state, app.journal.count()) {
            (Loaded::Waiting, 0) => Some(vec!["Reading the journal…".to_owned()]),
            (Loaded::Failed(why), _) => Some(vec![format!("The journal cannot be read: {why}")]),
            (Loaded::Here, 0) => Some(vec!["No line fits.".to_owned()]),
            _ => None,
        },
        View::Repositories(_) | View::Tags(..) | View::Run(_) => nothing_of_page(app),
        View::Registries | View::Replication | View::Access => first::empty(app, app.top()),
        View::Hosts | View::OnHost(_) | View::Heat | View::Sites | View::Advice | View::Operations => {
            first::empty(app, app.top())
        }
        View::Logs(_) | View::Text(_) => None,
    }
}

/// Words for a long list of which nothing is here: it is being asked for, it failed, or there is nothing.
fn nothing_of_page(app: &App) -> Option<Vec<String>> {
    match app.page_state()? {
        (Loaded::Waiting, 0) => Some(vec!["Asking for them…".to_owned()]),
        (Loaded::Failed(why), 0) => {
            Some(vec![format!("They cannot be had: {why}"), "r asks again, Esc goes back.".to_owned()])
        }
        (Loaded::Here, 0) if !app.filter().is_empty() => {
            Some(vec![format!("Nothing fits {:?}. Esc shows all.", app.filter())])
        }
        (Loaded::Here, 0) => Some(vec!["There is nothing in it.".to_owned()]),
        _ => None,
    }
}
