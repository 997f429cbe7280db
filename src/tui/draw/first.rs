//! What stands where there is nothing yet: waiting, emptiness and failure look different and say what to do next.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use crate::base::text;
use crate::model::host::Seen;
use crate::tui::app::App;
use crate::tui::kit::paint;
use crate::tui::panes::PaneId;
use crate::tui::theme::Role;

/// True when the home screen has nothing to show: no engine core yet, no host, or no host that ever answered.
pub fn applies(app: &App) -> bool {
    let world = &app.world;
    let seen = world.hosts.values().any(|h| !matches!(h.seen, Seen::Never { .. }));
    !seen && world.pools.is_empty()
}

/// The first page.
pub fn draw(app: &App, buf: &mut Buffer, area: Rect) {
    let world = &app.world;
    let mut lines: Vec<(String, Role)> = Vec::new();
    let mut add = |line: &str, role: Role| lines.push((line.to_owned(), role));
    if world.revision == 0 {
        add("Starting…", Role::TitleFocus);
        add("", Role::Text);
        add("Waiting for the engine core's first picture of the hosts.", Role::Text);
    } else if world.hosts.values().any(|h| matches!(h.seen, Seen::Never { why: None })) {
        add("Connecting…", Role::TitleFocus);
        add("", Role::Text);
        for host in world.hosts.values() {
            add(&format!("{} at {}", host.config.id, text::safe(&host.config.address)), Role::Text);
        }
    } else {
        add("No container engine answers here.", Role::Bad);
        add("", Role::Text);
        for host in world.hosts.values() {
            if let Seen::Never { why: Some(why) } = &host.seen {
                let address = text::safe(&host.config.address);
                add(&format!("{} at {address}: {}", host.config.id, text::safe(why)), Role::Warn);
            }
        }
        add("", Role::Text);
        add("What you can do:", Role::Text);
        add("", Role::Text);
    }
    let steps: &[(&str, &str)] = if lines.first().is_some_and(|(_, role)| *role == Role::Bad) {
        &[
            ("longshore demo", "practise on a fleet that is not real"),
            ("longshore hosts add NAME ADDRESS", "watch an engine: unix://, ssh:// or tcp://"),
            ("longshore doctor", "find out what is missing"),
            ("?", "what this console is"),
        ]
    } else {
        &[]
    };
    let sheet = paint::centred(area, 78.min(area.width.saturating_sub(2)), area.height);
    let wrapped: Vec<(String, Role)> = lines
        .iter()
        .flat_map(|(l, role)| paint::wrap(l, usize::from(sheet.width)).into_iter().map(|p| (p, *role)))
        .collect();
    let used = wrapped.len() + steps.len();
    let mut y = u16::try_from(usize::from(area.height).saturating_sub(used) / 3).unwrap_or(0);
    for (line, role) in wrapped {
        paint::put(buf, sheet, 0, y, &line, app.theme.style(role));
        y += 1;
    }
    for (command, doc) in steps {
        paint::put(buf, sheet, 2, y, command, app.theme.style(Role::Key));
        paint::put(buf, sheet, 38, y, doc, app.theme.style(Role::Dim));
        y += 1;
    }
}

/// What to do where there is no rule.
const RULE: &str = "Make a rule: longshore replicate rule add NAME --from REGISTRY --to REGISTRY";

/// Words for an empty pane; `None` when it is not empty.
pub fn empty(app: &App, pane: PaneId) -> Option<Vec<String>> {
    let filtered =
        |filter: &str| (!filter.is_empty()).then(|| vec![format!("Nothing fits {filter:?}. Esc shows all.")]);
    match pane {
        PaneId::Pools if app.pools.count() == 0 => filtered(&app.pools.filter).or_else(|| {
            Some(vec![
                "No pools yet, and nothing else runs on the hosts.".to_owned(),
                String::new(),
                "Begin with `longshore up FILE`: FILE is a Compose file whose services become pools."
                    .to_owned(),
            ])
        }),
        PaneId::Containers if app.containers.count() == 0 => filtered(&app.containers.filter).or_else(|| {
            Some(vec![match app.pool() {
                Some(pool) => format!("{pool} has no containers and wants none. + adds one."),
                None => "No pool is chosen.".to_owned(),
            }])
        }),
        PaneId::Operations | PaneId::AllOperations if app.operations.count() == 0 => {
            filtered(&app.operations.filter).or_else(|| {
                Some(vec![
                    "Nothing was asked for lately.".to_owned(),
                    "The journal (6) goes further back.".to_owned(),
                ])
            })
        }
        PaneId::Hosts if app.hosts.count() == 0 => filtered(&app.hosts.filter)
            .or_else(|| Some(vec!["No hosts. Add one: longshore hosts add NAME ADDRESS".to_owned()])),
        PaneId::OnHost if app.fleet.on_host.count() == 0 => filtered(&app.fleet.on_host.filter)
            .or_else(|| Some(vec!["Nothing is on this host, as it was last listed.".to_owned()])),
        PaneId::Heat if app.fleet.heat.is_empty() => {
            Some(vec!["No hosts. Add one: longshore hosts add NAME ADDRESS".to_owned()])
        }
        PaneId::Sites if app.fleet.sites.count() == 0 => filtered(&app.fleet.sites.filter).or_else(|| {
            Some(vec![
                "No host names a site.".to_owned(),
                "Say where a host stands: longshore hosts label HOST --site SITE".to_owned(),
            ])
        }),
        PaneId::Registries if app.images.registries.count() == 0 => filtered(&app.images.registries.filter)
            .or_else(|| {
                Some(vec![
                    "No registries. Add one: longshore registry add NAME ADDRESS".to_owned(),
                    "Then its repositories and tags can be looked at here, and brought to other registries."
                        .to_owned(),
                ])
            }),
        PaneId::Access if app.fleet.access.count() == 0 => filtered(&app.fleet.access.filter).or_else(|| {
            Some(vec![
                "There are no users and no projects yet.".to_owned(),
                "Make them: longshore user add NAME, longshore project add PROJECT".to_owned(),
            ])
        }),
        PaneId::HomeReplication if app.images.home.count() == 0 => filtered(&app.images.home.filter)
            .or_else(|| Some(vec!["Nothing is replicated yet.".to_owned(), RULE.to_owned()])),
        PaneId::Replication if app.images.rules.count() == 0 => filtered(&app.images.rules.filter)
            .or_else(|| Some(vec!["No rule says what is to be where.".to_owned(), RULE.to_owned()])),
        PaneId::Advice if app.fleet.advice.count() == 0 => {
            filtered(&app.fleet.advice.filter).or_else(|| Some(vec!["No risk was found.".to_owned()]))
        }
        PaneId::Logs if app.tail.buf.is_empty() => Some(vec![match (app.pool(), app.tail.buf.ended) {
            (None, _) => "Not a pool of longshore: choose one of its containers and press l.".to_owned(),
            (Some(_), true) => "The log has ended without a line.".to_owned(),
            (Some(_), false) => "Waiting for lines…".to_owned(),
        }]),
        _ => None,
    }
}
