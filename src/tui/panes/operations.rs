//! Home, 4, and the view of all operations: what was asked, by whom, how far it is.

use crate::base::clock::Millis;
use crate::tui::kit::bars;
use crate::tui::kit::table::{Column, Line, left, rest, right};
use crate::tui::panes::rows::{self, Cx, Listed, RowKey};
use crate::tui::panes::{Pane, PaneId, replication};
use crate::tui::theme::Role;
use crate::tui::verbs::{Act, Verb, When, verb};
use crate::view::ops::OpRow;
use crate::view::units;

const DOC: &str = "An operation is something that a person asked for, from the acknowledgement to its end. What runs shows \
                   how far it is; when nothing has moved for half a minute it says so and what it waits for.";

/// What the tables say of the pane of the home screen.
pub const HOME_PANE: Pane = Pane {
    id: PaneId::Operations,
    title: "Operations",
    doc: DOC,
    verbs: HOME_VERBS,
    columns: HOME_COLUMNS,
    words: WORDS,
    home: true,
};

/// What the tables say of the view of all.
pub const PANE: Pane =
    Pane { id: PaneId::AllOperations, verbs: VERBS, columns: COLUMNS, home: false, ..HOME_PANE };

const OPEN: Verb = verb("open", &["Enter", "d"], When::Always, Act::Describe, "all that is known of it");
const CANCEL: Verb = verb(
    "cancel operation",
    &["c"],
    When::QueuedOp,
    Act::CancelOp,
    "cancel it while it is queued; end a restart or a prewarm",
);
const RETRY: Verb = verb(
    "retry prewarm",
    &["r"],
    When::FailedPrewarm,
    Act::RetryPrewarm,
    "begin a failed prewarm once more on the hosts where it failed",
);
const YANK: Verb = verb(
    "copy command",
    &["y"],
    When::Always,
    Act::Yank,
    "show and copy the command line that does the same",
);
const FILTER: Verb =
    verb("filter", &["/"], When::Always, Act::Filter, "only rows with this text; !text for those without");
const ALL: Verb = verb("all", &["a"], When::Always, Act::All, "all operations, on the whole screen");

const VERBS: &[Verb] = &[OPEN, CANCEL, RETRY, YANK, FILTER, ALL];
const HOME_VERBS: &[Verb] = &[OPEN, CANCEL, RETRY, YANK, FILTER, ALL, replication::SWITCH];

/// The columns of the pane of the home screen.
pub const HOME_COLUMNS: &[Column] = &[
    rest("OPERATION", 22, "what was asked"),
    left("PROGRESS", 8, 1, "healthy of wanted; of a prewarm: hosts that have the image"),
    left("STATUS", 9, 0, "where it stands"),
];

/// The columns of the view of all.
pub const COLUMNS: &[Column] = &[
    rest("OPERATION", 22, "what was asked"),
    left("PROGRESS", 8, 3, "healthy of wanted; of a prewarm: hosts that have the image"),
    left("STATUS", 10, 0, "where it stands"),
    left("NUMBER", 8, 4, "its number, for `longshore journal --op`"),
    left("BY", 10, 5, "who asked"),
    right("AGE", 4, 6, "since it was acknowledged"),
];

const WORDS: &[(&str, &str)] = &[
    ("queued", "waits until another operation on the same pool has ended"),
    ("running", "under way"),
    ("stalled", "under way, but nothing has moved for 30 seconds; the line beneath says what it waits for"),
    ("done", "what it asked for is the case"),
    (
        "prewarm",
        "brings an image onto hosts before it is needed; Enter lists them with their proof, or why one failed",
    ),
    ("superseded", "a newer operation asked for something else"),
];

impl Listed for OpRow {
    fn key(&self) -> RowKey {
        RowKey::Op(self.id)
    }

    fn words(&self) -> String {
        format!("{} {} {} {}", self.id, self.what, self.by, self.status)
    }

    fn notes(&self, _now: Millis, user: &str) -> Vec<(String, Role)> {
        let by = if self.by == user { String::new() } else { format!("{} · ", self.by) };
        vec![(format!("{by}{}", self.line), if self.over { Role::Note } else { rows::role(self.grade) })]
    }

    fn line(&self, cx: &Cx<'_>, cursor: bool) -> Line {
        let role = rows::role(self.grade);
        let progress = if self.over { String::new() } else { bars::progress(self.done.0, self.done.1, 8) };
        Line::Row {
            mark: rows::mark(self.grade),
            cells: vec![
                (self.what.clone(), if self.over { Role::Dim } else { Role::Text }),
                (progress, role),
                (self.status.to_owned(), role),
                (self.id.to_string(), Role::Dim),
                (self.by.clone(), Role::Dim),
                (units::age(cx.now.since(self.at)), Role::Dim),
            ],
            cursor,
            run: None,
        }
    }
}
