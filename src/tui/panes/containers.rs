//! Home, 2: the containers of the chosen pool or group.

use crate::tui::kit::bars;
use crate::tui::kit::table::{Column, Line, left, rest, right};
use crate::tui::panes::rows::{self, Cx, Listed, RowKey};
use crate::tui::panes::{Pane, PaneId, STATES};
use crate::tui::theme::Role;
use crate::tui::verbs::{Act, Verb, When, verb};
use crate::view::containers::ContainerRow;
use crate::view::units;

/// What the tables say of it.
pub const PANE: Pane = Pane {
    id: PaneId::Containers,
    title: "Containers",
    doc: "The containers of the chosen pool. Each has a number (its slot) that stays the same when the container is \
          replaced. A slot that waits says what it waits for.",
    verbs: VERBS,
    columns: COLUMNS,
    words: STATES,
    home: true,
};

/// What the tables say of the view of one host's containers.
pub const HOST_PANE: Pane = Pane {
    id: PaneId::OnHost,
    title: "Containers of a host",
    doc: "Everything that runs on one host, as it was last listed: instances of your pools by pool and slot, and what others \
          made there, which is shown and never touched.",
    columns: HOST_COLUMNS,
    home: false,
    ..PANE
};

const VERBS: &[Verb] = &[
    verb("open", &["Enter", "d"], When::OnContainer, Act::Describe, "all that is known of it"),
    verb("logs", &["l"], When::OnContainer, Act::Logs, "its log, on the whole screen"),
    verb(
        "previous log",
        &["p"],
        When::OnContainer,
        Act::Previous,
        "the log of the container that it replaced",
    ),
    verb("inspect", &["i"], When::HasContainer, Act::Inspect, "the engine's own JSON"),
    verb("why", &["w"], When::OnSlot, Act::Why, "why it is where it is, or nowhere"),
    verb("shell", &["x"], When::EnterContainer, Act::Shell, "a shell inside it"),
    verb(
        "copy command",
        &["y"],
        When::OnContainer,
        Act::Yank,
        "show and copy the command line that does the same",
    ),
    verb("filter", &["/"], When::Always, Act::Filter, "only rows with this text; !text for those without"),
];

/// Its columns.
pub const COLUMNS: &[Column] = &[
    rest("INSTANCE", 9, "pool and slot"),
    left("HOST", 8, 2, "where it runs"),
    left("STATE", 11, 0, "what it does"),
    right("AGE", 4, 3, "since its container was made"),
    right("CPU", 4, 4, "cores in use"),
    right("MEM", 5, 5, "memory in use"),
];

/// The columns of the view of one host's containers.
pub const HOST_COLUMNS: &[Column] = &[
    rest("CONTAINER", 16, "pool and slot, or the engine's name for it"),
    left("WHOSE", 14, 2, "ours, or what made it"),
    left("STATE", 11, 0, "what it does"),
    right("AGE", 4, 3, "since it was made"),
    right("CPU", 4, 4, "cores in use"),
    right("MEM", 5, 5, "memory in use"),
];

/// A row of the pane.
#[derive(Clone, Debug, PartialEq)]
pub struct Item {
    /// Its identity.
    pub key: RowKey,
    /// What it says.
    pub row: ContainerRow,
    /// Whose it is, where that is told instead of its host.
    pub whose: Option<String>,
}

impl Listed for Item {
    fn key(&self) -> RowKey {
        self.key.clone()
    }

    fn words(&self) -> String {
        let host = self.row.host.as_ref().map_or("", |h| h.as_str());
        format!("{} {host} {} {}", self.row.name, self.row.state, self.whose.as_deref().unwrap_or(""))
    }

    fn line(&self, cx: &Cx<'_>, cursor: bool) -> Line {
        let row = &self.row;
        let plain = if row.live { Role::Text } else { Role::Lost };
        let age = row.created.map_or_else(|| "-".to_owned(), |at| units::age(cx.now.since(at)));
        let mut cells = vec![
            (row.name.clone(), plain),
            (
                self.whose
                    .clone()
                    .unwrap_or_else(|| row.host.as_ref().map_or("-", |h| h.as_str()).to_owned()),
                Role::Dim,
            ),
            (row.state.clone(), rows::role(row.grade)),
            (age, Role::Dim),
            (row.cpu_milli.map_or_else(|| "-".to_owned(), units::cores), plain),
            (row.memory.map_or_else(|| "-".to_owned(), units::memory), plain),
        ];
        if let Some(done) = row.pulled {
            cells[3].0 = bars::progress(u32::from(done), 1000, 4);
        }
        if let Some(why) = &row.why {
            let host = row.host.as_ref().map_or_else(String::new, |h| format!(" {h}"));
            cells[0] = (format!("{:<10}{host} {}: {why}", row.name, row.state), rows::role(row.grade));
        }
        Line::Row { mark: rows::mark(row.grade), cells, cursor, run: row.why.as_ref().map(|_| 0) }
    }
}
