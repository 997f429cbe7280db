//! Access: projects with their members, robots with the end of their time; what needs somebody comes first.

use crate::base::clock::Millis;
use crate::tui::kit::table::{Column, Line, left, rest};
use crate::tui::panes::rows::{self, Cx, Listed, RowKey};
use crate::tui::panes::{Pane, PaneId};
use crate::tui::theme::Role;
use crate::tui::verbs::{Act, Verb, When, verb};
use crate::view::access::AccessRow;

/// What the tables say of it.
pub const PANE: Pane = Pane {
    id: PaneId::Access,
    title: "Access",
    doc: "Who may do what in the registries: one list for all of them. A project is the first part of a repository's path; its \
          members are people, its robots are programs that log in for a time. What needs somebody comes first. Nothing is \
          changed from here: y copies the command that does it.",
    verbs: VERBS,
    columns: COLUMNS,
    words: &[
        ("guest", "pulls"),
        ("developer", "pulls and pushes"),
        ("project admin", "pulls, pushes, deletes, and says who the members are"),
        ("expired", "a robot whose time is over: it cannot log in"),
        ("expires soon", "a robot whose time ends within 14 days"),
        ("no members", "nobody but system admins gets anything in this project"),
    ],
    home: false,
};

const VERBS: &[Verb] = &[
    verb("filter", &["/"], When::Always, Act::Filter, "only rows with this text; !text for those without"),
    verb(
        "copy command",
        &["Enter", "y"],
        When::Always,
        Act::Yank,
        "show and copy the command that changes it; words in capitals are yours to fill in",
    ),
];

/// Its columns.
pub const COLUMNS: &[Column] = &[
    left("SORT", 8, 0, "project, robot, or a user who is no member"),
    rest("NAME", 20, "its name; a robot's is how it logs in"),
    left("STATE", 13, 0, "whether it can log in, or how many members there are"),
    left("ROLE", 14, 2, "a robot's role"),
    left("UNTIL", 24, 1, "when a robot's time ends"),
];

impl Listed for AccessRow {
    fn key(&self) -> RowKey {
        RowKey::Access(self.command.clone())
    }

    fn words(&self) -> String {
        format!("{} {} {} {} {}", self.sort, self.name, self.state, self.role, self.notes.join(" "))
    }

    fn notes(&self, _now: Millis, _user: &str) -> Vec<(String, Role)> {
        self.notes.iter().map(|note| (note.clone(), Role::Dim)).collect()
    }

    fn line(&self, _cx: &Cx<'_>, cursor: bool) -> Line {
        let plain = if self.grade.is_problem() { rows::role(self.grade) } else { Role::Text };
        Line::Row {
            mark: rows::mark(self.grade),
            cells: vec![
                (self.sort.to_owned(), Role::Dim),
                (self.name.clone(), plain),
                (self.state.clone(), rows::role(self.grade)),
                (self.role.clone(), Role::Dim),
                (self.until.clone(), plain),
            ],
            cursor,
            run: None,
        }
    }
}
