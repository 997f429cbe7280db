//! All hosts: who answers, what they hold, what is reserved and used of them, what still fits.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use crate::base::clock::Millis;
use crate::base::text;
use crate::tui::kit::paint;
use crate::tui::kit::table::{Column, Line, left, rest, right};
use crate::tui::panes::rows::{self, Cx, Listed, RowKey};
use crate::tui::panes::{Pane, PaneId};
use crate::tui::theme::{Role, Theme};
use crate::tui::verbs::{Act, Verb, When, verb};
use crate::view::hosts::{HostRow, Item, Total};
use crate::view::units::{self, Grade};

/// What the tables say of it.
pub const PANE: Pane = Pane {
    id: PaneId::Hosts,
    title: "Hosts",
    doc: "Every host that longshore watches, those that need a person first. The two lines above add all of them up. A host \
          that does not answer is lost, not empty: its containers are shown as they were last seen, and what they are \
          replaced by is up to their pool's rule. A site of which every host is lost is one line.",
    verbs: VERBS,
    columns: COLUMNS,
    words: WORDS,
    home: false,
};

const WORDS: &[(&str, &str)] = &[
    ("ready", "answers and takes containers"),
    ("joining", "has not said yet who it is"),
    ("cordoned", "takes no new containers; those that it has stay"),
    ("draining", "takes none, and what it holds moves away"),
    ("drained", "nothing of ours is left on it; it takes none"),
    ("silent", "has not answered for a few seconds; the age says since when"),
    ("lost", "has not answered for 30 seconds; the age says how old the picture is"),
    ("never seen", "has not answered, and the first try failed: the line beneath says why"),
    ("reserved", "promised to our containers on record, used or not"),
    ("tied", "its pool's rule keeps it on its host: it moves only by force"),
    ("give up", "you say that a lost host will not come back: what it held is replaced"),
];

const VERBS: &[Verb] = &[
    verb("open", &["Enter"], When::OnHostOrSite, Act::OpenHost, "its containers; unfolds a lost site"),
    verb("describe", &["d"], When::OnHostOrSite, Act::Describe, "all that is known of it"),
    verb("filter", &["/"], When::Always, Act::Filter, "only rows with this text; !text for those without"),
    verb("order", &["o"], When::Always, Act::Order, "problems first, by name, or fullest first"),
    verb("heat map", &["H"], When::Always, Act::Goto(PaneId::Heat), "all hosts on one screen"),
    CORDON,
    DRAIN,
    UNDRAIN,
    GIVE_UP,
    verb("fold", &["z"], When::OnHostOrSite, Act::Fold, "fold or unfold the hosts of a lost site"),
    verb(
        "copy command",
        &["y"],
        When::Always,
        Act::Yank,
        "show and copy the command line that does the same",
    ),
];

/// Take it out of service and back.
pub const CORDON: Verb =
    verb("cordon", &["c"], When::ChangeHost, Act::Cordon, "let it take no new containers; again: let it");
/// Empty it.
pub const DRAIN: Verb =
    verb("drain", &["D"], When::ChangeHost, Act::Drain, "move all that it holds away; it asks first");
/// Back into service.
pub const UNDRAIN: Verb =
    verb("undrain", &["U"], When::ChangeHost, Act::Undrain, "let it take containers again");
/// Replace what it held.
pub const GIVE_UP: Verb = verb(
    "give up",
    &["R"],
    When::LostHost,
    Act::GiveUp,
    "replace what a lost host or site held; it asks for its name",
);

/// Its columns.
pub const COLUMNS: &[Column] = &[
    rest("HOST", 12, "our name for it"),
    left("SITE", 7, 6, "the data centre that it stands in"),
    left("STATE", 10, 0, "whether it answers and takes containers"),
    right("OURS", 4, 2, "containers of this install on record there"),
    right("ALL", 4, 7, "all containers on it"),
    right("CPU", 7, 1, "cores reserved / cores"),
    right("USED", 4, 5, "cores in use by measured containers"),
    right("MEM", 9, 1, "memory reserved / memory"),
    right("USED", 4, 8, "memory in use by measured containers"),
    left("REST", 9, 4, "cores and memory that are not reserved: what still fits"),
    left("CLASS", 8, 9, "its class: as stated, or cores and memory"),
    left("LAST 15 MIN", 11, 3, "CPU of the last 15 minutes, 90 s a cell"),
    left("ENGINE", 8, 10, "version of its container engine"),
];

impl Listed for Item {
    fn key(&self) -> RowKey {
        match self {
            Item::Host(h) => RowKey::Host(h.id.clone()),
            Item::Site(s) => RowKey::Site(s.name.clone()),
        }
    }

    fn words(&self) -> String {
        match self {
            Item::Host(h) => {
                let site = h.site.as_ref().map_or("", |s| s.as_str());
                format!("{} {} {} {} site:{site}", h.id, h.state, h.address, h.class)
            }
            Item::Site(s) => format!("site:{} lost", s.name),
        }
    }

    fn notes(&self, _now: Millis, _user: &str) -> Vec<(String, Role)> {
        match self {
            Item::Host(h) => {
                let role = if h.grade.is_problem() { rows::role(h.grade) } else { Role::Note };
                h.why.iter().map(|why| (why.clone(), role)).collect()
            }
            Item::Site(_) => Vec::new(),
        }
    }

    fn line(&self, cx: &Cx<'_>, cursor: bool) -> Line {
        match self {
            Item::Host(h) => host_line(h, cx, cursor),
            Item::Site(s) => Line::Row {
                mark: rows::mark(Grade::Lost),
                cells: vec![(format!("{} · Enter shows them", s.sentence(cx.now)), Role::Lost)],
                cursor,
                run: Some(0),
            },
        }
    }
}

fn host_line(h: &HostRow, cx: &Cx<'_>, cursor: bool) -> Line {
    let plain = if h.grade.is_problem() { rows::role(h.grade) } else { Role::Text };
    let of = |part: String, whole: u64, shown: String| match whole {
        0 => "-".to_owned(),
        _ => format!("{part}/{shown}"),
    };
    let measured = |shown: String| if h.used.measured > 0 { shown } else { "-".to_owned() };
    let (all, reserved, left) = (&h.capacity, &h.reserved, h.rest());
    let full = if crate::view::hosts::share(reserved, all) > 1000 { Role::Warn } else { plain };
    let fits = match all.cpu_milli {
        0 => "-".to_owned(),
        _ => format!("{}c {}", units::cores(left.cpu_milli), text::bytes(left.memory)),
    };
    Line::Row {
        mark: rows::mark(h.grade),
        cells: vec![
            (h.id.to_string(), plain),
            (h.site.as_ref().map_or("-", |s| s.as_str()).to_owned(), Role::Dim),
            (h.state.clone(), rows::role(h.grade)),
            (h.ours.to_string(), plain),
            (h.total.to_string(), Role::Dim),
            (of(units::cores(reserved.cpu_milli), all.cpu_milli, (all.cpu_milli / 1000).to_string()), full),
            (measured(units::cores(h.used.cpu_milli)), Role::Dim),
            (of(text::bytes(reserved.memory), all.memory, text::bytes(all.memory)), full),
            (measured(units::memory(h.used.memory)), Role::Dim),
            (fits, plain),
            (h.class.clone(), Role::Dim),
            (cx.host_sparks.line(&h.id), Role::Spark),
            (h.version.clone(), Role::Dim),
        ],
        cursor,
        run: None,
    }
}

/// Draws the head and gives the area that is left.
pub fn head(total: &Total, buf: &mut Buffer, area: Rect, theme: &Theme) -> Rect {
    let lines = total.lines(usize::from(area.width.saturating_sub(2)));
    for (y, line) in (0..2).zip(&lines) {
        paint::put(buf, area, 1, y, line, theme.style(Role::Text));
    }
    Rect { y: area.y + 2.min(area.height), height: area.height.saturating_sub(2), ..area }
}
