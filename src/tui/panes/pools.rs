//! Home, 1: the pools, and what else runs on the hosts.

use crate::base::clock::Millis;
use crate::tui::kit::bars;
use crate::tui::kit::table::{Column, Line, left, rest, right};
use crate::tui::panes::rows::{self, Cx, Listed, RowKey};
use crate::tui::panes::{Pane, PaneId};
use crate::tui::theme::Role;
use crate::tui::verbs::{Act, Verb, When, verb};
use crate::view::pools::{self, CHANGE_SHOWN_MS, GroupRow, PoolRow};
use crate::view::units::{self, Grade};

/// What the tables say of it.
pub const PANE: Pane = Pane {
    id: PaneId::Pools,
    title: "Pools",
    doc: "A pool is a number of equal containers that longshore keeps running, spread over your hosts. Each row says how \
          many are wanted, how many run, and how they do. + and - change the wanted number: it is staged first, with a \
          preview at the foot, and sent after a short pause or with Enter; Esc drops it. Below the pools stand containers \
          that others made: they are shown and never touched.",
    verbs: VERBS,
    columns: COLUMNS,
    words: WORDS,
    home: true,
};

const VERBS: &[Verb] = &[
    verb("more", &["+", "="], When::ChangePool, Act::Stage(1), "stage one container more"),
    verb("fewer", &["-", "_"], When::ChangePool, Act::Stage(-1), "stage one container fewer"),
    verb("scale", &["s"], When::ChangePool, Act::SetTo, "set the number: 12, +5, -3 or x2"),
    verb("send", &[], When::Staged, Act::Send, "send the staged number now"),
    verb("undo", &["u"], When::ChangePool, Act::Undo, "take back the last scale of this pool"),
    verb(
        "restart",
        &["R"],
        When::ChangePool,
        Act::Restart,
        "replace its containers a batch at a time; it asks first",
    ),
    verb("logs", &["l"], When::Always, Act::Logs, "logs of all its containers, on the whole screen"),
    verb("open", &["Enter"], When::Always, Act::Open, "its containers; sends what is staged"),
    verb("why", &["w"], When::OnPool, Act::Why, "where one more of it would go, or why a slot waits"),
    verb("describe", &["d"], When::Always, Act::Describe, "all that is known of it"),
    verb(
        "copy command",
        &["y"],
        When::OnPool,
        Act::Yank,
        "show and copy the command line that does the same",
    ),
    verb("filter", &["/"], When::Always, Act::Filter, "only rows with this text; !text for those without"),
    verb("order", &["o"], When::Always, Act::Order, "by name, problems first, or most CPU first"),
    verb(
        "prewarm",
        &["p"],
        When::ChangePool,
        Act::Prewarm,
        "bring its image onto its hosts before it is needed: first says what that takes, and asks",
    ),
    verb(
        "image first",
        &["P"],
        When::ChangePool,
        Act::ImageFirst,
        "replicate its image before all others, also while a number is staged",
    ),
    verb("reload", &["Ctrl-R"], When::Always, Act::Reload, "measure again"),
];

/// Its columns.
pub const COLUMNS: &[Column] = &[
    rest("NAME", 16, "cluster/pool"),
    right("WANT", 7, 0, "containers wanted; 40→45 while a change is staged"),
    right("HAVE", 4, 0, "containers running on hosts that answer"),
    left("HEALTH", 10, 3, "■ healthy  ◧ not decided yet  □ missing or failing"),
    left("REV", 4, 8, "revision of its pool file"),
    right("CPU", 4, 4, "share of its CPU limit; without a limit: cores in use"),
    right("MEM", 4, 5, "share of its memory limit; without a limit: bytes"),
    left("LAST 15 MIN", 11, 6, "CPU of the last 15 minutes, 90 s a cell"),
];

const WORDS: &[(&str, &str)] = &[
    ("!", "a problem: the line beneath says what it is"),
    ("~", "on its way to what is wanted"),
    ("?", "some of it is on hosts that do not answer"),
    ("staged", "a number that you chose and that has not been sent yet; s then takes another strategy"),
    ("not ours", "made by Compose, Swarm, another install or by hand: read-only here"),
];

/// How the pools are ordered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// By name.
    Name,
    /// What needs a person first.
    Problems,
    /// The most CPU first.
    Cpu,
}

impl Order {
    /// The order after this one, and its name.
    pub fn next(self) -> (Order, &'static str) {
        match self {
            Order::Name => (Order::Problems, "problems first"),
            Order::Problems => (Order::Cpu, "most CPU first"),
            Order::Cpu => (Order::Name, "by name"),
        }
    }
}

/// Puts the pools in order; what is not ours stays below them.
pub fn sort(items: &mut [Item], order: Order) {
    let rank = |item: &Item| match (item, order) {
        (Item::Group(_), _) => (1, 0),
        (Item::Pool(_), Order::Name) => (0, 0),
        (Item::Pool(p), Order::Problems) => (0, u64::MAX - p.grade as u64),
        (Item::Pool(p), Order::Cpu) => (0, u64::MAX - p.used.cpu_milli),
    };
    items.sort_by_key(rank);
}

/// A row of the pane.
#[derive(Clone, Debug, PartialEq)]
pub enum Item {
    /// A pool.
    Pool(PoolRow),
    /// Containers that are not ours.
    Group(GroupRow),
}

impl Listed for Item {
    fn key(&self) -> RowKey {
        match self {
            Item::Pool(p) => RowKey::Pool(p.id.clone()),
            Item::Group(g) => RowKey::Group(g.origin, g.name.clone()),
        }
    }

    fn words(&self) -> String {
        match self {
            Item::Pool(p) => p.id.to_string(),
            Item::Group(g) => format!("{} {}", g.origin.word(), g.name),
        }
    }

    fn notes(&self, now: Millis, user: &str) -> Vec<(String, Role)> {
        let Item::Pool(p) = self else { return Vec::new() };
        let mut notes = Vec::new();
        if let Some(why) = &p.trouble {
            notes.push((why.clone(), rows::role(p.grade)));
        }
        if let Some((by, from, to, at)) = &p.change
            && by != user
            && now.since(*at) < CHANGE_SHOWN_MS
        {
            notes.push((pools::change_sentence(by, *from, *to, *at, now), Role::Staged));
        }
        notes
    }

    fn heading(&self, before: Option<&Item>) -> Option<String> {
        let first = matches!(self, Item::Group(_)) && !matches!(before, Some(Item::Group(_)));
        first.then(|| "not ours: shown, never touched".to_owned())
    }

    fn line(&self, cx: &Cx<'_>, cursor: bool) -> Line {
        match self {
            Item::Pool(p) => pool_line(p, cx, cursor),
            Item::Group(g) => group_line(g, cursor),
        }
    }
}

fn pool_line(p: &PoolRow, cx: &Cx<'_>, cursor: bool) -> Line {
    let staged = cx.staged.filter(|s| s.pool == p.id);
    let want = match staged {
        Some(s) => (format!("{}→{}", s.from, s.to), Role::Staged),
        None => (p.want.to_string(), Role::Text),
    };
    let plain = if p.grade == Grade::Off { Role::Off } else { Role::Text };
    let name = format!("{}{}", p.id, if p.down { " (going)" } else { "" });
    let short = if p.have < p.want { rows::role(p.grade) } else { plain };
    Line::Row {
        mark: rows::mark(p.grade),
        cells: vec![
            (name, plain),
            want,
            (p.have.to_string(), short),
            (bars::health(p.want, p.healthy, p.checking, 10), rows::role(p.grade)),
            (format!("r{}", p.revision), Role::Dim),
            (p.cpu.clone(), plain),
            (p.memory.clone(), plain),
            (cx.sparks.line(&p.id), Role::Spark),
        ],
        cursor,
        run: None,
    }
}

fn group_line(g: &GroupRow, cursor: bool) -> Line {
    let measured = g.used.measured > 0;
    Line::Row {
        mark: (' ', Role::Dim),
        cells: vec![
            (g.name.clone(), Role::Dim),
            ("-".to_owned(), Role::Dim),
            (g.running.to_string(), Role::Dim),
            (g.origin.word().to_owned(), Role::Dim),
            (String::new(), Role::Dim),
            (if measured { units::cores(g.used.cpu_milli) } else { "-".to_owned() }, Role::Dim),
            (if measured { units::memory(g.used.memory) } else { "-".to_owned() }, Role::Dim),
            (String::new(), Role::Dim),
        ],
        cursor,
        run: None,
    }
}
