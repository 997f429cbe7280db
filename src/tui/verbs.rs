//! Verbs: everything that a key or the palette can do, as tables. Help and palette are made from them.

use crate::tui::keys::Key;
use crate::tui::panes::{Pane, PaneId};

/// One thing that can be done in a view.
#[derive(Debug)]
pub struct Verb {
    /// Its name in the palette.
    pub name: &'static str,
    /// What it does, in one sentence.
    pub doc: &'static str,
    /// Its keys, as [`Key::parse`] reads them.
    pub keys: &'static [&'static str],
    /// When it applies.
    pub when: When,
    /// What happens.
    pub act: Act,
}

impl Verb {
    /// True when `key` is one of its keys.
    pub fn has(&self, key: Key) -> bool {
        self.keys.iter().any(|k| Key::parse(k) == Some(key))
    }
}

/// A condition under which a verb applies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// Always.
    Always,
    /// A pool of this install is under the cursor.
    OnPool,
    /// A pool of this install is under the cursor and this console may change things.
    ChangePool,
    /// A container is under the cursor.
    OnContainer,
    /// A slot is under the cursor that has a container.
    HasContainer,
    /// A container is under the cursor and this console may change things.
    EnterContainer,
    /// An operation that is still queued is under the cursor, and this console may change things.
    QueuedOp,
    /// A prewarm that has failed is under the cursor, and this console may change things.
    FailedPrewarm,
    /// A number is staged.
    Staged,
    /// A slot of a pool is under the cursor.
    OnSlot,
    /// A host or a site is under the cursor.
    OnHostOrSite,
    /// A host is under the cursor and this console may change things.
    ChangeHost,
    /// A lost host or site is under the cursor and this console may change things.
    LostHost,
    /// There are registries.
    HasRegistries,
    /// A row of a view of registries or replication is under the cursor.
    OnRow,
    /// A rule is at hand and this console may change things.
    ChangeRule,
    /// A run that is not over is at hand and this console may change things.
    ChangeRun,
    /// A run in which something failed is at hand and this console may change things.
    RetryRun,
    /// A rule whose deletions wait for a yes is at hand and this console may change things.
    ReviewRun,
    /// A tag of a run is under the cursor and this console may change things.
    ChangeTag,
    /// A tag that both sides moved is under the cursor and this console may change things.
    ConflictTag,
}

/// What a verb does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// Move the cursor, or scroll, by so many lines.
    Move(i32),
    /// Move the cursor sideways.
    Side(i32),
    /// Move by so many half pages.
    Half(i32),
    /// Move by so many pages.
    Page(i32),
    /// To the first line.
    Top,
    /// To the last line; in logs: back to live.
    Bottom,
    /// To the next or the previous pane.
    Focus(i32),
    /// To this view.
    Goto(PaneId),
    /// Look into what is under the cursor.
    Open,
    /// Drop a filter, then go back.
    Back,
    /// Back; at the top: ask, then quit.
    Quit,
    /// Cancel; twice: quit.
    Cancel,
    /// Filter a list.
    Filter,
    /// Search in text.
    Search,
    /// Next or previous match.
    Match(i32),
    /// Only lines that match a regular expression.
    Regex,
    /// The command palette.
    Palette,
    /// Help about this view.
    Help,
    /// Stage one more, or one fewer.
    Stage(i64),
    /// Open "set to N".
    SetTo,
    /// Send the staged number.
    Send,
    /// Take back the last scale.
    Undo,
    /// Replace the containers of the pool under the cursor, a batch at a time.
    Restart,
    /// Logs of what is under the cursor.
    Logs,
    /// The engine's JSON of the container under the cursor.
    Inspect,
    /// Details of what is under the cursor.
    Describe,
    /// A shell in the container under the cursor.
    Shell,
    /// Show and copy the command line that does the same.
    Yank,
    /// Show stopped containers and ended operations too, or not.
    All,
    /// Cancel the queued operation under the cursor.
    CancelOp,
    /// Another order of the rows.
    Order,
    /// Ask again for what is shown.
    Reload,
    /// Capture the mouse or not.
    Mouse,
    /// Stamps in logs or not.
    Stamps,
    /// JSON lines laid out or not.
    Json,
    /// Long lines wrapped or not.
    Wrap,
    /// Logs from so many minutes ago on.
    Since(u32),
    /// The log of the container before this one.
    Previous,
    /// Follow or pause.
    Follow,
    /// Save what is shown to a file.
    Save,
    /// Look into the host or site under the cursor.
    OpenHost,
    /// Fold or unfold a lost site.
    Fold,
    /// Let a host take no new containers, or let it again.
    Cordon,
    /// Move away what a host holds.
    Drain,
    /// Let a host take containers again.
    Undrain,
    /// Replace what lost hosts held.
    GiveUp,
    /// What the heat map shows.
    Metric,
    /// Why a container is where it is.
    Why,
    /// Look into what is under the cursor of a view of registries or replication.
    Look,
    /// The other face of the fourth pane of home.
    Switch,
    /// Run a rule.
    RunRule,
    /// Pause a run, or let it go on.
    PauseRun,
    /// Stop a run for good.
    StopRun,
    /// Try what failed once more.
    RetryRun,
    /// Bring a tag first.
    Raise,
    /// Choose which side of a conflict counts.
    Choose,
    /// Say yes to deletions.
    ConfirmDeletes,
    /// Say what bringing a pool's image onto its hosts takes, and ask.
    Prewarm,
    /// Bring a pool's image first between registries.
    ImageFirst,
    /// Begin a failed prewarm once more where it failed.
    RetryPrewarm,
    /// Stop the process (job control).
    Suspend,
    /// Draw the screen anew.
    Redraw,
}

/// Shorthand for the tables.
pub const fn verb(
    name: &'static str,
    keys: &'static [&'static str],
    when: When,
    act: Act,
    doc: &'static str,
) -> Verb {
    Verb { name, doc, keys, when, act }
}

/// Verbs of every view.
pub const GLOBAL: &[Verb] = &[
    verb("down", &["j", "Down"], When::Always, Act::Move(1), "one line down"),
    verb("up", &["k", "Up"], When::Always, Act::Move(-1), "one line up"),
    verb("half page down", &["Ctrl-D"], When::Always, Act::Half(1), "half a page down"),
    verb("half page up", &["Ctrl-U"], When::Always, Act::Half(-1), "half a page up"),
    verb("page down", &["Ctrl-F", "PgDn"], When::Always, Act::Page(1), "a page down"),
    verb("page up", &["Ctrl-B", "PgUp"], When::Always, Act::Page(-1), "a page up"),
    verb("top", &["g", "Home"], When::Always, Act::Top, "to the first line"),
    verb("bottom", &["G", "End"], When::Always, Act::Bottom, "to the last line; in logs: back to live"),
    verb(
        "back",
        &["Esc", "h", "Left"],
        When::Always,
        Act::Back,
        "drop the filter or what is staged, then go back",
    ),
    verb("quit", &["q"], When::Always, Act::Quit, "back; at the top it asks, then quits"),
    verb("cancel", &["Ctrl-C"], When::Always, Act::Cancel, "cancel; twice quits at once"),
    verb("command", &[":"], When::Always, Act::Palette, "all commands, with completion"),
    verb("help", &["?", "F1"], When::Always, Act::Help, "explain this view, its columns and its words"),
    verb("mouse", &["m"], When::Always, Act::Mouse, "wheel scrolls here (then hold Shift to select text)"),
    verb("redraw", &["Ctrl-L"], When::Always, Act::Redraw, "draw the screen anew"),
    verb("suspend", &["Ctrl-Z"], When::Always, Act::Suspend, "back to the shell; `fg` returns"),
    verb("hosts", &[], When::Always, Act::Goto(PaneId::Hosts), "hosts: who answers, what they hold"),
    verb(
        "operations",
        &[],
        When::Always,
        Act::Goto(PaneId::AllOperations),
        "operations: what was asked, how far it is",
    ),
    verb(
        "journal",
        &[],
        When::Always,
        Act::Goto(PaneId::Journal),
        "journal: who did what, and what became of it",
    ),
    verb("heat map", &[], When::Always, Act::Goto(PaneId::Heat), "heat map: all hosts on one screen"),
    verb("sites", &[], When::Always, Act::Goto(PaneId::Sites), "sites: who answers there, what they hold"),
    verb(
        "advice",
        &[],
        When::Always,
        Act::Goto(PaneId::Advice),
        "advice: risks, and commands that mend them",
    ),
    verb(
        "registries",
        &[],
        When::Always,
        Act::Goto(PaneId::Registries),
        "registries: who answers there, what they hold",
    ),
    verb(
        "images",
        &[],
        When::Always,
        Act::Goto(PaneId::Registries),
        "repositories and tags: choose a registry, Enter looks into it",
    ),
    verb(
        "access",
        &[],
        When::Always,
        Act::Goto(PaneId::Access),
        "access: projects, their members, robots and when their time ends",
    ),
    verb(
        "replication",
        &[],
        When::Always,
        Act::Goto(PaneId::Replication),
        "replication: how far each registry is behind, rules and runs",
    ),
    verb("pools", &[], When::Always, Act::Goto(PaneId::Pools), "home: the pools"),
];

/// The verbs of every view, without one that this view has in a form of its own: where the cursor moves sideways, `h` does
/// not go back.
pub fn everywhere(pane: &'static Pane) -> impl Iterator<Item = &'static Verb> {
    GLOBAL.iter().filter(|v| v.act != Act::Back || pane.verbs.iter().all(|own| own.act != Act::Back))
}

/// The jumps that a view has no use of its own for the keys of.
pub fn jumps(pane: &'static Pane) -> impl Iterator<Item = &'static Verb> {
    let taken = |jump: &Verb| pane.verbs.iter().any(|own| own.keys.iter().any(|key| jump.keys.contains(key)));
    JUMPS.iter().filter(move |jump| !taken(jump))
}

/// All verbs of a view, its own first.
pub fn of(pane: &'static Pane) -> impl Iterator<Item = &'static Verb> {
    let home: &[Verb] = if pane.home { HOME } else { &[] };
    pane.verbs.iter().chain(home).chain(jumps(pane)).chain(everywhere(pane))
}

/// Verbs of the four panes of the home screen.
pub const HOME: &[Verb] = &[
    verb("next pane", &["Tab", "]"], When::Always, Act::Focus(1), "to the next pane"),
    verb("previous pane", &["Shift-Tab", "["], When::Always, Act::Focus(-1), "to the previous pane"),
];

/// Straight to a view from every other, but where a view has a use of its own for the key.
pub const JUMPS: &[Verb] = &[
    verb("pane 1", &["1"], When::Always, Act::Goto(PaneId::Pools), "to the pools"),
    verb(
        "pane 2",
        &["2"],
        When::Always,
        Act::Goto(PaneId::Containers),
        "to the containers of the chosen pool",
    ),
    verb("pane 3", &["3"], When::Always, Act::Goto(PaneId::Logs), "to the logs of the chosen pool"),
    verb(
        "pane 4",
        &["4"],
        When::Always,
        Act::Goto(PaneId::Operations),
        "to the operations; with registries, to the replication",
    ),
    verb("view hosts", &["5"], When::Always, Act::Goto(PaneId::Hosts), "hosts view"),
    verb("view advice", &["A"], When::Always, Act::Goto(PaneId::Advice), "advice view"),
    verb("view journal", &["6"], When::Always, Act::Goto(PaneId::Journal), "journal view"),
    verb("view registries", &["7"], When::Always, Act::Goto(PaneId::Registries), "registries view"),
    verb("view access", &["9"], When::Always, Act::Goto(PaneId::Access), "access view"),
    verb("view replication", &["8"], When::Always, Act::Goto(PaneId::Replication), "replication view"),
];
