//! All hosts: who answers, what they hold, what is used of them.

use crate::base::clock::Millis;
use crate::tui::kit::table::{Column, Line, left, rest, right};
use crate::tui::panes::rows::{self, Cx, Listed, RowKey};
use crate::tui::panes::{Pane, PaneId};
use crate::tui::theme::Role;
use crate::tui::verbs::{Act, Verb, When, verb};
use crate::view::hosts::HostRow;
use crate::view::units::{self, Grade};

/// What the tables say of it.
pub const PANE: Pane = Pane {
    id: PaneId::Hosts,
    title: "Hosts",
    doc: "Every host that longshore watches. A host that does not answer is lost, not empty: its containers are shown as \
          they were last seen, and nothing of them is replaced in haste.",
    verbs: VERBS,
    columns: COLUMNS,
    words: &[
        ("ok", "answers; its list of containers is current"),
        ("connecting", "has not answered yet since the engine started"),
        ("never seen", "has not answered, and the first try failed: the line beneath says why"),
        ("lost", "answered once and does not now; the age says how old the picture is"),
    ],
    home: false,
};

const VERBS: &[Verb] = &[
    verb("describe", &["Enter", "d"], When::Always, Act::Describe, "all that is known of it"),
    verb("filter", &["/"], When::Always, Act::Filter, "only rows with this text; !text for those without"),
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
    rest("HOST", 12, "our name for it"),
    left("STATE", 11, 0, "whether it answers"),
    right("OURS", 5, 2, "containers of this install"),
    right("ALL", 5, 3, "all containers on it"),
    right("CPU", 9, 4, "cores in use by measured containers / cores"),
    right("MEM", 10, 5, "memory in use by measured containers / memory"),
    left("ENGINE", 10, 7, "version of its container engine"),
    left("ADDRESS", 28, 6, "how it is reached"),
];

impl Listed for HostRow {
    fn key(&self) -> RowKey {
        RowKey::Host(self.id.clone())
    }

    fn words(&self) -> String {
        format!("{} {} {}", self.id, self.state, self.address)
    }

    fn notes(&self, _now: Millis, _user: &str) -> Vec<(String, Role)> {
        self.why.iter().map(|why| (why.clone(), rows::role(self.grade))).collect()
    }

    fn line(&self, _cx: &Cx<'_>, cursor: bool) -> Line {
        let plain = if self.grade == Grade::Lost { Role::Lost } else { Role::Text };
        let known = self.cpus > 0;
        let of = |used: String, all: String| if known { format!("{used}/{all}") } else { "-".to_owned() };
        Line::Row {
            mark: rows::mark(self.grade),
            cells: vec![
                (self.id.to_string(), plain),
                (self.state.clone(), rows::role(self.grade)),
                (self.ours.to_string(), plain),
                (self.total.to_string(), plain),
                (of(units::cores(self.used.cpu_milli), self.cpus.to_string()), plain),
                (of(units::memory(self.used.memory), units::memory(self.memory)), plain),
                (self.version.clone(), Role::Dim),
                (self.address.clone(), Role::Dim),
            ],
            cursor,
            run: None,
        }
    }
}
