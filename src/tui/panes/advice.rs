//! Advice: risks, the worst first, each with its evidence and the command that mends it.

use crate::base::clock::Millis;
use crate::tui::kit::table::{Column, Line, left, rest};
use crate::tui::panes::rows::{self, Cx, Listed, RowKey};
use crate::tui::panes::{Pane, PaneId};
use crate::tui::theme::Role;
use crate::tui::verbs::{Act, Verb, When, verb};
use crate::view::advice::{Advice, Severity};

/// What the tables say of it.
pub const PANE: Pane = Pane {
    id: PaneId::Advice,
    title: "Advice",
    doc: "Risks that stand in your fleet though nothing fails yet, the worst first: what was counted, and a command that \
          mends it. Enter copies the command; words in capitals in it are yours to fill in. Nothing is done from here.",
    verbs: VERBS,
    columns: COLUMNS,
    words: &[
        ("high", "one failure away from an outage, or less than wanted already"),
        ("medium", "it hurts when something else goes wrong"),
        ("low", "it makes later work harder"),
        ("one host", "all containers of a pool share one host, and its fate"),
        ("uneven", "one host or domain has at least two more than another that could take one"),
        ("moving image", "the image's name does not say which version it is"),
    ],
    home: false,
};

const VERBS: &[Verb] = &[
    verb("copy command", &["Enter", "y"], When::Always, Act::Yank, "copy the command that mends it"),
    verb("filter", &["/"], When::Always, Act::Filter, "only rows with this text; !text for those without"),
    verb("describe", &["d"], When::Always, Act::Describe, "all of it, to read and search"),
];

/// Its columns.
pub const COLUMNS: &[Column] = &[
    left("RISK", 8, 0, "how bad it is"),
    left("WHAT", 15, 0, "what sort of risk"),
    rest("ABOUT", 20, "the pool, host or site"),
];

impl Listed for Advice {
    fn key(&self) -> RowKey {
        RowKey::Advice(format!("{} {} {}", self.risk, self.subject, self.command))
    }

    fn words(&self) -> String {
        let Advice { risk, severity, subject, evidence, command } = self;
        format!("{} {risk} {subject} {evidence} {command}", severity.word())
    }

    fn notes(&self, _now: Millis, _user: &str) -> Vec<(String, Role)> {
        vec![(self.evidence.clone(), Role::Text), (self.command.clone(), Role::Key)]
    }

    fn line(&self, _cx: &Cx<'_>, cursor: bool) -> Line {
        let grade = self.severity.grade();
        let role = if self.severity == Severity::Low { Role::Dim } else { rows::role(grade) };
        Line::Row {
            mark: rows::mark(grade),
            cells: vec![
                (self.severity.word().to_owned(), role),
                (self.risk.to_owned(), role),
                (self.subject.clone(), Role::Text),
            ],
            cursor,
            run: None,
        }
    }
}
