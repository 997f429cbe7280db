//! Sites: who answers there, what they hold, where they pull from.

use crate::tui::kit::table::{Column, Line, left, rest, right};
use crate::tui::panes::rows::{self, Cx, Listed, RowKey};
use crate::tui::panes::{Pane, PaneId, hosts};
use crate::tui::theme::Role;
use crate::tui::verbs::{Act, Verb, When, verb};
use crate::view::sites::SiteRow;

/// What the tables say of it.
pub const PANE: Pane = Pane {
    id: PaneId::Sites,
    title: "Sites",
    doc: "A site is the hosts that share a building, a line and a fate. Each may have a registry that its hosts pull from \
          first, and limits of its own. A site of which no host answers is lost as a whole: its age says since when.",
    verbs: VERBS,
    columns: COLUMNS,
    words: &[
        ("silent", "so many of its hosts do not answer"),
        ("lost", "none of its hosts answers; the age says since when"),
        ("limits", "most containers, most pulls at a time, images that may run there"),
    ],
    home: false,
};

const VERBS: &[Verb] = &[
    verb("open", &["Enter"], When::OnHostOrSite, Act::OpenHost, "its hosts"),
    verb("describe", &["d"], When::OnHostOrSite, Act::Describe, "all that is known of it"),
    verb("filter", &["/"], When::Always, Act::Filter, "only rows with this text; !text for those without"),
    hosts::GIVE_UP,
    verb(
        "copy command",
        &["y"],
        When::Always,
        Act::Yank,
        "show and copy the command line that does the same",
    ),
];

/// Its columns.
pub const COLUMNS: &[Column] = &[
    rest("SITE", 12, "its name"),
    left("STATE", 10, 0, "whether its hosts answer"),
    right("READY", 7, 0, "hosts that are ready / its hosts"),
    right("SILENT", 6, 2, "hosts that do not answer"),
    right("OURS", 5, 1, "containers of this install on record there"),
    right("ALL", 6, 4, "all containers on its hosts"),
    left("REGISTRY", 28, 3, "registry that its hosts pull from first"),
    left("LIMITS", 24, 5, "what the whole site takes at most"),
];

impl Listed for SiteRow {
    fn key(&self) -> RowKey {
        RowKey::Site(self.name.clone())
    }

    fn words(&self) -> String {
        format!("{} {} {}", self.name, self.state, self.registry)
    }

    fn line(&self, _cx: &Cx<'_>, cursor: bool) -> Line {
        let plain = if self.grade.is_problem() { rows::role(self.grade) } else { Role::Text };
        let or_none = |text: &str| if text.is_empty() { "-".to_owned() } else { text.to_owned() };
        Line::Row {
            mark: rows::mark(self.grade),
            cells: vec![
                (self.name.to_string(), plain),
                (self.state.clone(), rows::role(self.grade)),
                (format!("{}/{}", self.ready, self.hosts), plain),
                (self.silent.to_string(), plain),
                (self.ours.to_string(), plain),
                (self.total.to_string(), Role::Dim),
                (or_none(&self.registry), Role::Dim),
                (or_none(&self.limits), Role::Dim),
            ],
            cursor,
            run: None,
        }
    }
}
