//! The heat map: every host a cell, by site; a sign and a colour say how full it is.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use crate::base::text;
use crate::model::host::HostState;
use crate::model::world::World;
use crate::tui::kit::{list, paint};
use crate::tui::panes::{Pane, PaneId, hosts};
use crate::tui::theme::{Role, Theme};
use crate::tui::verbs::{Act, Verb, When, verb};
use crate::view::heat::{self, Cell, Group, Heat, Layout, Metric, Piece};
use crate::view::units;

/// What the tables say of it.
pub const PANE: Pane = Pane {
    id: PaneId::Heat,
    title: "Heat map",
    doc: "All hosts on one screen, by site. The higher and the redder a cell, the fuller its host. Move over the cells: the \
          line at the foot tells of the host under the cursor. When there are more hosts than cells, a cell stands for \
          several hosts and shows the fullest of them, or that one of them needs a person; the title says how many.",
    verbs: VERBS,
    columns: &[],
    words: &[
        ("▁ to █", "from nothing to all that it has"),
        ("!", "more than it has"),
        ("?", "lost: it does not answer"),
        ("/", "cordoned or drained: it takes no new containers"),
        ("~", "draining"),
        (":", "joining"),
        ("·", "not known"),
    ],
    home: false,
};

const VERBS: &[Verb] = &[
    verb("open", &["Enter"], When::OnHostOrSite, Act::OpenHost, "its containers, or the hosts of the cell"),
    verb("describe", &["d"], When::OnHostOrSite, Act::Describe, "all that is known of it"),
    verb("measure", &["Space", "M"], When::Always, Act::Metric, "memory or CPU, reserved or used"),
    verb("cell left", &["Left", "h"], When::Always, Act::Side(-1), "to the cell on the left"),
    verb("cell right", &["Right", "l"], When::Always, Act::Side(1), "to the cell on the right"),
    hosts::CORDON,
    hosts::DRAIN,
    hosts::UNDRAIN,
    hosts::GIVE_UP,
    verb("back", &["Esc"], When::Always, Act::Back, "back to the hosts view"),
    verb(
        "copy command",
        &["y"],
        When::Always,
        Act::Yank,
        "show and copy the command line that does the same",
    ),
];

/// The rows and columns around the map: header and foot of the screen, frame, and the two lines beneath.
pub const AROUND: (u16, u16) = (4, 6);

/// Its title.
pub fn title(groups: &[Group], map: &Layout, metric: Metric) -> String {
    let hosts: usize = groups.iter().map(|g| g.hosts.len()).sum();
    let each = if map.each > 1 { format!(", {} a cell", map.each) } else { String::new() };
    format!("Heat map · {} · {}{each}", metric.name(), text::count(hosts as u64, "host"))
}

/// Draws the map with its two lines beneath. `at` is the number of the cell under the cursor.
pub fn draw(
    (groups, map, at): (&[Group], &Layout, usize),
    world: &World,
    buf: &mut Buffer,
    area: Rect,
    theme: &Theme,
) {
    let area = Rect { x: area.x + 1.min(area.width), width: area.width.saturating_sub(2), ..area };
    let height = area.height.saturating_sub(2);
    let is_cell = |(_, p): &&(u16, Piece)| matches!(p, Piece::Cell(_));
    let mut counts = map.lines.iter().map(|l| l.iter().filter(is_cell).count());
    let mut before = 0;
    let here = counts.position(|n| {
        before += n;
        before > at
    });
    let top = list::top(here.unwrap_or(0), map.lines.len(), usize::from(height));
    let mut number: usize = map.lines[..top].iter().flatten().filter(is_cell).count();
    for (y, line) in (0..height).zip(map.lines.iter().skip(top)) {
        for (x, piece) in line {
            match piece {
                Piece::Name(group) => {
                    let name = if map.inline { name(&groups[*group]) } else { heading(&groups[*group]) };
                    paint::put(buf, area, *x, y, &name, theme.style(Role::Column));
                }
                Piece::Cell(cell) => {
                    let hosts = of(groups, cell);
                    let role = if number == at { Role::Cursor } else { role(hosts) };
                    paint::put(buf, area, *x, y, &heat::sign(hosts).to_string(), theme.style(role));
                    number += 1;
                }
            }
        }
    }
    let told = map.cells().nth(at).map_or_else(String::new, |c| told(of(groups, c), world));
    paint::put(buf, area, 0, height, &told, theme.style(Role::Text));
    let legend = "▁ to █ full  ! over  ? lost  / no new ones  ~ draining  : joining  · unknown";
    paint::put(buf, area, 0, height + 1, legend, theme.style(Role::Dim));
}

/// The hosts of a cell.
pub fn of<'a>(groups: &'a [Group], cell: &Cell) -> &'a [Heat] {
    groups.get(cell.group).and_then(|g| g.hosts.get(cell.first..cell.first + cell.count)).unwrap_or(&[])
}

/// A group's name: its site.
pub fn name(group: &Group) -> String {
    group.site.as_ref().map_or_else(|| "no site".to_owned(), ToString::to_string)
}

fn heading(group: &Group) -> String {
    let name = group.site.as_ref().map_or_else(|| "no site".to_owned(), |s| format!("site {s}"));
    let lost = group.hosts.iter().filter(|h| h.state == HostState::Lost).count();
    let lost = if lost > 0 { format!(" · {lost} lost") } else { String::new() };
    format!("{name} ({}){lost}", group.hosts.len())
}

fn role(hosts: &[Heat]) -> Role {
    match heat::sign(hosts) {
        '?' => Role::Lost,
        '!' => Role::Bad,
        '~' => Role::Busy,
        '/' => Role::Off,
        ':' | '·' => Role::Dim,
        _ => match hosts.iter().filter_map(|h| h.percent).max() {
            Some(90..) => Role::Bad,
            Some(70..) => Role::Warn,
            _ => Role::Ok,
        },
    }
}

/// The line of the cell under the cursor.
fn told(hosts: &[Heat], world: &World) -> String {
    let percent = |h: &Heat| h.percent.map_or_else(|| "not known".to_owned(), |p| format!("{p}%"));
    let [host] = hosts else {
        let (Some(first), Some(last)) = (hosts.first(), hosts.last()) else { return String::new() };
        let fullest = hosts.iter().max_by_key(|h| h.percent).unwrap_or(first);
        let lost = hosts.iter().filter(|h| h.state == HostState::Lost).count();
        return format!(
            "{} to {} ({} hosts, {lost} lost): fullest {} {}",
            first.id,
            last.id,
            hosts.len(),
            fullest.id,
            percent(fullest)
        );
    };
    let Some(view) = world.hosts.get(&host.id) else { return format!("{} is gone", host.id) };
    let (all, taken) = (view.capacity(), view.taken.need);
    format!(
        "{} {}: {} · {}/{} cores, {}/{} reserved · {}",
        host.id,
        host.state.word(),
        percent(host),
        units::cores(taken.cpu_milli),
        all.cpu_milli / 1000,
        text::bytes(taken.memory),
        text::bytes(all.memory),
        text::count(u64::from(view.taken.containers), "container"),
    )
}
