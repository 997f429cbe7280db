//! The journal: who did what, what was tried, what became of it.

use crate::base::text;
use crate::model::journal::{Entry, What};
use crate::tui::kit::table::{Column, Line, left, rest, right};
use crate::tui::panes::rows::{Cx, Listed, RowKey};
use crate::tui::panes::{Pane, PaneId};
use crate::tui::theme::Role;
use crate::tui::verbs::{Act, Verb, When, verb};
use crate::view::units;

/// What the tables say of it.
pub const PANE: Pane = Pane {
    id: PaneId::Journal,
    title: "Journal",
    doc: "Everything that people asked for and the engine did, newest first, kept for good. Times are UTC.",
    verbs: VERBS,
    columns: COLUMNS,
    words: &[
        ("accepted", "a request was accepted and is durable"),
        ("intent", "a step is about to be tried"),
        ("outcome", "a step ended as it should"),
        ("unknown", "no answer came in time: the step may or may not have happened; it is read back"),
        ("observed", "something changed by itself"),
    ],
    home: false,
};

const VERBS: &[Verb] = &[
    verb("describe", &["Enter", "d"], When::Always, Act::Describe, "the whole line"),
    verb("filter", &["/"], When::Always, Act::Filter, "only rows with this text; !text for those without"),
    verb("reload", &["Ctrl-R", "r"], When::Always, Act::Reload, "read it again"),
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
    right("NUMBER", 7, 4, "its number; later is larger"),
    left("TIME", 8, 1, "when it was written (UTC)"),
    left("WHAT", 8, 0, "what sort of line"),
    left("BY", 8, 3, "a person, or the engine"),
    left("ABOUT", 18, 5, "the pool, slot or host"),
    rest("TEXT", 37, "the sentence"),
];

impl Listed for Entry {
    fn key(&self) -> RowKey {
        RowKey::Entry(self.seq)
    }

    fn words(&self) -> String {
        format!("{} {} {} {}", self.what.word(), self.by, about(self), text::safe(&self.text))
    }

    fn line(&self, _cx: &Cx<'_>, cursor: bool) -> Line {
        let role = match self.what {
            What::Failed | What::Refused => Role::Bad,
            What::Unknown => Role::Warn,
            What::Accepted | What::Ended => Role::Busy,
            What::Intent | What::Outcome | What::Observed | What::Engine => Role::Dim,
        };
        Line::Row {
            mark: (' ', Role::Dim),
            cells: vec![
                (self.seq.to_string(), Role::Dim),
                (units::clock_seconds(self.at.0), Role::Dim),
                (self.what.word().to_owned(), role),
                (text::safe(&self.by).into_owned(), Role::Dim),
                (about(self), Role::Dim),
                (text::safe(&self.text).into_owned(), Role::Text),
            ],
            cursor,
            run: None,
        }
    }
}

fn about(entry: &Entry) -> String {
    match (&entry.pool, entry.slot, &entry.host) {
        (Some(pool), Some(slot), _) => format!("{pool}.{slot}"),
        (Some(pool), None, _) => pool.to_string(),
        (None, _, Some(host)) => host.to_string(),
        (None, _, None) => String::new(),
    }
}
