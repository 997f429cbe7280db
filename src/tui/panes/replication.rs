//! Replication: the matrix of registries, lines, rules and runs; the tags and blobs of one run.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use crate::base::clock::Millis;
use crate::base::text;
use crate::model::replication::{TagRun, Transfer};
use crate::tui::kit::paint;
use crate::tui::kit::table::{Column, Line, left, rest, right};
use crate::tui::panes::rows::{self, Cx, Listed, RowKey};
use crate::tui::panes::{Pane, PaneId};
use crate::tui::theme::{Role, Theme};
use crate::tui::verbs::{Act, Verb, When, verb};
use crate::view::replication::{self, LineRow, Matrix, RuleRow};
use crate::view::units;

const DOC: &str = "A line is the way from one registry to another. It is behind while the target lacks tags or has others than \
                   the source: the numbers say how many tags, at least how many bytes, and for how long. What does not move \
                   although it should is said to be stalled; what could not be asked is not known, never in sync.";

/// What the tables say of the pane of the home screen.
pub const HOME_PANE: Pane = Pane {
    id: PaneId::HomeReplication,
    title: "Replication",
    doc: DOC,
    verbs: HOME_VERBS,
    columns: HOME_COLUMNS,
    words: WORDS,
    home: true,
};

/// What the tables say of the whole view.
pub const PANE: Pane =
    Pane { id: PaneId::Replication, verbs: VERBS, columns: COLUMNS, home: false, ..HOME_PANE };

/// What the tables say of a run.
pub const RUN: Pane = Pane {
    id: PaneId::Run,
    title: "Run",
    doc: "One run of a rule: first the tags that need a person, with the reason in the registry's own words, then the blobs on \
          their way, then the other tags. What has arrived was checked by its digest. Nothing that has arrived is sent \
          again when a run is stopped and begun anew.",
    verbs: RUN_VERBS,
    columns: RUN_COLUMNS,
    words: &[
        ("waiting", "its turn has not come"),
        ("moving", "its content is on its way"),
        ("done", "the target's tag points to what the source's did; every digest was checked"),
        ("skipped", "nothing was to be done; the line beneath says why"),
        ("failed", "could not be done; the line beneath says why, r tries it again"),
        ("conflict", "both sides moved it: nothing is done until somebody chooses with c"),
        ("stopped", "somebody stopped the run before its turn came"),
        ("on its way", "a blob: how much has arrived, how fast, how long it will take"),
        ("stalled", "nothing of it has arrived for 30 seconds"),
    ],
    home: false,
};

const WORDS: &[(&str, &str)] = &[
    ("in sync", "when both ends were last compared, the target had all that it should"),
    ("behind", "the target lacks tags or has older ones, and nothing is on its way"),
    ("moving", "content is on its way"),
    ("stalled", "something should move, and nothing has arrived for 30 seconds"),
    ("conflict", "a tag was moved on both sides: nothing is done until somebody chooses"),
    ("review", "tags are gone from the source; deleting them at the target waits for a yes"),
    ("unreachable", "one end does not answer; the age says since when"),
    ("failed", "a run has failed; the line beneath says why"),
    ("paused", "somebody paused its run"),
    ("incomplete", "a run that is over, and some tags are not as they should be"),
    ("missed", "the rule's time passed and it did not run"),
    ("not known", "both ends were never compared in full"),
];

const YANK: Verb = verb(
    "copy command",
    &["y"],
    When::Always,
    Act::Yank,
    "show and copy the command line that does the same",
);
const FILTER: Verb =
    verb("filter", &["/"], When::Always, Act::Filter, "only rows with this text; !text for those without");

const HOME_VERBS: &[Verb] = &[
    verb("open", &["Enter", "a"], When::Always, Act::Goto(PaneId::Replication), "the replication view"),
    SWITCH,
    verb("describe", &["d"], When::OnRow, Act::Describe, "all that is known of it"),
    FILTER,
    verb("registries", &["r"], When::Always, Act::Goto(PaneId::Registries), "the registries view"),
    YANK,
];

/// Between the two faces of the fourth pane.
pub const SWITCH: Verb = verb(
    "other pane 4",
    &["o"],
    When::HasRegistries,
    Act::Switch,
    "pane 4 shows the operations, or the replication",
);

const VERBS: &[Verb] = &[
    verb(
        "open",
        &["Enter"],
        When::OnRow,
        Act::Look,
        "the run of the rule under the cursor; of a line, all that is known",
    ),
    verb("describe", &["d"], When::OnRow, Act::Describe, "all that is known of it"),
    verb(
        "run now",
        &["r"],
        When::ChangeRule,
        Act::RunRule,
        "run the rule now; if it runs already, join that run",
    ),
    verb("pause", &["p"], When::ChangeRun, Act::PauseRun, "pause its run, or let it go on"),
    verb("stop", &["X"], When::ChangeRun, Act::StopRun, "stop its run for good; it asks first"),
    verb(
        "deletes",
        &["D"],
        When::ReviewRun,
        Act::ConfirmDeletes,
        "delete at the target what is gone; it asks first",
    ),
    FILTER,
    verb("registries", &["R"], When::Always, Act::Goto(PaneId::Registries), "the registries view"),
    YANK,
];

const RUN_VERBS: &[Verb] = &[
    verb("describe", &["Enter", "d"], When::OnRow, Act::Describe, "all that is known of it"),
    verb("pause", &["p"], When::ChangeRun, Act::PauseRun, "pause the run, or let it go on"),
    verb("stop", &["X"], When::ChangeRun, Act::StopRun, "stop the run for good; it asks first"),
    verb("retry", &["r"], When::RetryRun, Act::RetryRun, "try once more what failed"),
    verb("first", &["P"], When::ChangeTag, Act::Raise, "bring the tag under the cursor first"),
    verb(
        "choose",
        &["c"],
        When::ConflictTag,
        Act::Choose,
        "choose which side of a conflict counts; it asks first",
    ),
    FILTER,
    YANK,
];

/// The columns of the pane of the home screen.
pub const HOME_COLUMNS: &[Column] = &[
    rest("LINE", 10, "from which registry to which"),
    left("STATE", 11, 0, "how it stands"),
    right("TAGS", 4, 1, "tags that the target lacks or has otherwise"),
    right("BYTES", 5, 3, "bytes that have to be moved, at least"),
    right("AGE", 4, 2, "age of the oldest difference, or since when an end is silent"),
];

/// The columns of the whole view.
pub const COLUMNS: &[Column] = &[
    rest("LINE OR RULE", 16, "a line from registry to registry, or a rule and its ends"),
    left("STATE", 11, 0, "how it stands"),
    right("TAGS", 13, 1, "of a line, tags behind and for how long; of a rule, tags as they should be / all"),
    right("BYTES", 11, 3, "of a line, bytes behind; of a rule, moved / all of its run"),
    right("RATE", 7, 4, "bytes a second"),
    right("LEFT", 5, 2, "how long the run will take at that rate"),
    left("NEXT", 9, 5, "when the rule runs by itself"),
];

/// The columns of a run.
pub const RUN_COLUMNS: &[Column] = &[
    rest("TAG OR BLOB", 20, "repository and tag, or repository and digest"),
    left("STATE", 10, 0, "how it stands"),
    right("BYTES", 11, 1, "arrived / needed"),
    right("RATE", 7, 4, "bytes a second, of a blob"),
    right("LEFT", 5, 3, "how long it will take at that rate"),
    left("LINE", 14, 2, "from which registry to which"),
    right("TRIES", 5, 5, "how often it was tried again"),
];

/// A row of the replication view.
#[derive(Clone, Debug, PartialEq)]
pub enum Item {
    /// A line.
    Line(LineRow),
    /// A rule.
    Rule(RuleRow),
}

/// A row of a run.
#[derive(Clone, Debug, PartialEq)]
pub enum RunItem {
    /// A tag.
    Tag(TagRun),
    /// A blob on its way.
    Blob(Transfer),
}

fn line_cells(row: &LineRow) -> [(String, Role); 5] {
    let role = rows::role(row.standing.grade());
    let plain = if row.standing.grade().is_problem() { role } else { Role::Text };
    let some = |n: u64, shown: String| if n == 0 { "-".to_owned() } else { shown };
    [
        (row.line.to_string(), plain),
        (row.standing.word().to_owned(), role),
        (some(u64::from(row.tags), row.tags.to_string()), plain),
        (some(row.bytes, units::size(row.bytes)), plain),
        (row.since_ms.map_or("-".to_owned(), units::age), Role::Dim),
    ]
}

impl Listed for LineRow {
    fn key(&self) -> RowKey {
        RowKey::Line(self.line.clone())
    }

    fn words(&self) -> String {
        format!("{} {}", self.line, self.standing.word())
    }

    fn notes(&self, _now: Millis, _user: &str) -> Vec<(String, Role)> {
        self.notes.iter().map(|n| (n.clone(), rows::role(self.standing.grade()))).collect()
    }

    fn line(&self, _cx: &Cx<'_>, cursor: bool) -> Line {
        let cells = line_cells(self).to_vec();
        Line::Row { mark: rows::mark(self.standing.grade()), cells, cursor, run: None }
    }
}

/// A line of the home screen: with the blobs on their way beneath it.
#[derive(Clone, Debug, PartialEq)]
pub struct HomeLine {
    /// The line.
    pub row: LineRow,
    /// Blobs on their way, one sentence each.
    pub blobs: Vec<String>,
}

impl Listed for HomeLine {
    fn key(&self) -> RowKey {
        self.row.key()
    }

    fn words(&self) -> String {
        self.row.words()
    }

    fn notes(&self, now: Millis, user: &str) -> Vec<(String, Role)> {
        let mut notes = self.row.notes(now, user);
        notes.extend(self.blobs.iter().map(|b| (b.clone(), Role::Note)));
        notes
    }

    fn line(&self, cx: &Cx<'_>, cursor: bool) -> Line {
        self.row.line(cx, cursor)
    }
}

impl Listed for Item {
    fn key(&self) -> RowKey {
        match self {
            Item::Line(row) => row.key(),
            Item::Rule(row) => RowKey::Rule(row.name.clone()),
        }
    }

    fn words(&self) -> String {
        match self {
            Item::Line(row) => row.words(),
            Item::Rule(row) => format!("{}: {} {}", row.name, row.what, row.state),
        }
    }

    fn notes(&self, now: Millis, user: &str) -> Vec<(String, Role)> {
        match self {
            Item::Line(row) => row.notes(now, user),
            Item::Rule(row) => {
                let role = if row.grade.is_problem() { rows::role(row.grade) } else { Role::Note };
                row.notes.iter().map(|n| (n.clone(), role)).collect()
            }
        }
    }

    fn heading(&self, before: Option<&Item>) -> Option<String> {
        match (self, before) {
            (Item::Line(_), None) => Some("Lines".to_owned()),
            (Item::Rule(_), None | Some(Item::Line(_))) => Some("Rules".to_owned()),
            _ => None,
        }
    }

    fn line(&self, _cx: &Cx<'_>, cursor: bool) -> Line {
        let (grade, cells) = match self {
            Item::Line(row) => {
                let [name, state, (mut tags, role), bytes, _] = line_cells(row);
                if let Some(ms) = row.since_ms.filter(|_| row.tags > 0) {
                    tags += &format!(" for {}", units::age(ms));
                }
                let rate = row.rate.map_or("-".to_owned(), replication::rate);
                (row.standing.grade(), vec![name, state, (tags, role), bytes, (rate, Role::Dim)])
            }
            Item::Rule(row) => (row.grade, rule_cells(row)),
        };
        Line::Row { mark: rows::mark(grade), cells, cursor, run: None }
    }
}

fn rule_cells(row: &RuleRow) -> Vec<(String, Role)> {
    let role = rows::role(row.grade);
    let plain = if row.grade.is_problem() { role } else { Role::Text };
    let none = || "-".to_owned();
    let run = row.run.as_ref();
    let tags = run.map(replication::run_tags).map_or_else(none, |(right, all)| format!("{right}/{all}"));
    let moved =
        |r: &crate::model::replication::RunView| format!("{}/{}", units::size(r.moved), units::size(r.bytes));
    let moves = run.filter(|r| replication::moves(r));
    vec![
        (format!("{}: {}", row.name, row.what), plain),
        (row.state.to_owned(), role),
        (tags, plain),
        (run.filter(|r| r.bytes > 0).map_or_else(none, moved), plain),
        (moves.and_then(|r| r.rate).map_or_else(none, replication::rate), Role::Dim),
        (moves.and_then(|r| r.eta_ms).map_or_else(none, text::age), plain),
        (row.next.clone(), Role::Dim),
    ]
}

impl RunItem {
    fn rank(&self) -> u8 {
        match self {
            RunItem::Tag(t) if replication::needs_person(t) => 0,
            RunItem::Blob(_) => 1,
            RunItem::Tag(_) => 2,
        }
    }
}

impl Listed for RunItem {
    fn key(&self) -> RowKey {
        match self {
            RunItem::Tag(t) => RowKey::RunTag(t.line.clone(), t.repository.clone(), t.tag.clone()),
            RunItem::Blob(t) => RowKey::Blob(t.line.clone(), t.digest.clone()),
        }
    }

    fn words(&self) -> String {
        match self {
            RunItem::Tag(t) => format!("{}:{} {}", t.repository, t.tag, replication::tag_stands(t).1),
            RunItem::Blob(t) => format!("{} {} on its way", t.repository, t.digest),
        }
    }

    fn notes(&self, _now: Millis, _user: &str) -> Vec<(String, Role)> {
        let RunItem::Tag(tag) = self else { return Vec::new() };
        let (grade, _, why) = replication::tag_stands(tag);
        let role = if grade.is_problem() { rows::role(grade) } else { Role::Note };
        why.into_iter().map(|why| (why, role)).collect()
    }

    fn heading(&self, before: Option<&RunItem>) -> Option<String> {
        let rank = self.rank();
        if before.is_some_and(|b| b.rank() == rank) {
            return None;
        }
        Some(["Tags that need a person", "Blobs on their way", "Tags"][usize::from(rank.min(2))].to_owned())
    }

    fn line(&self, cx: &Cx<'_>, cursor: bool) -> Line {
        let none = || "-".to_owned();
        let of = |moved: u64, all: u64| match all {
            0 => none(),
            _ => format!("{}/{}", units::size(moved), units::size(all)),
        };
        let (grade, cells) = match self {
            RunItem::Tag(t) => {
                let (grade, word, _) = replication::tag_stands(t);
                let tries = if t.retries == 0 { none() } else { t.retries.to_string() };
                let name = format!("{}:{}", t.repository, t.tag);
                (
                    grade,
                    vec![
                        name,
                        word.to_owned(),
                        of(t.moved, t.bytes),
                        none(),
                        none(),
                        t.line.to_string(),
                        tries,
                    ],
                )
            }
            RunItem::Blob(t) => {
                let pace = replication::pace(t, cx.now);
                let word = if pace.stalled_ms.is_some() { "stalled" } else { "on its way" };
                let rate = pace.rate.map_or_else(none, replication::rate);
                let left = pace.eta_ms.map_or_else(none, text::age);
                let name = format!("{} {}", t.repository, t.digest.short());
                (
                    pace.grade,
                    vec![name, word.to_owned(), of(t.moved, t.size), rate, left, t.line.to_string(), none()],
                )
            }
        };
        let role = rows::role(grade);
        let plain = if grade.is_problem() { role } else { Role::Text };
        let roles = [plain, role, plain, Role::Dim, plain, Role::Dim, Role::Dim];
        let cells = cells.into_iter().zip(roles).collect();
        Line::Row { mark: rows::mark(grade), cells, cursor, run: None }
    }
}

/// Columns of a cell of the matrix: at least so that `behind 139 120M 12m` is whole, and no more than `unreachable 1390 5.4G
/// 12m` needs.
const CELL: (u16, u16) = (20, 26);

/// Lines that the matrix needs; `None` when it does not fit, or is no matrix.
pub fn matrix_height(matrix: &Matrix, area: (u16, u16)) -> Option<u16> {
    let rows = u16::try_from(matrix.from.len()).ok()?;
    (rows > 0 && cell_width(matrix, area.0) >= CELL.0 && rows + 2 <= area.1 / 2).then_some(rows + 2)
}

/// Columns that each cell can have.
fn cell_width(matrix: &Matrix, width: u16) -> u16 {
    let columns = u16::try_from(matrix.to.len()).unwrap_or(u16::MAX).max(1);
    (width.saturating_sub(name_width(matrix) + 2) / columns).saturating_sub(1).min(CELL.1)
}

fn name_width(matrix: &Matrix) -> u16 {
    let widest = matrix.from.iter().map(|n| text::width(n.as_str())).max().unwrap_or(0);
    u16::try_from(widest).unwrap_or(u16::MAX).clamp(9, 24) + 2
}

/// Draws the matrix and gives the area that is left.
pub fn head(matrix: &Matrix, buf: &mut Buffer, area: Rect, theme: &Theme) -> Rect {
    let Some(height) = matrix_height(matrix, (area.width, area.height)) else { return area };
    let (first, width) = (name_width(matrix), cell_width(matrix, area.width));
    let at = |i: usize| 1 + first + u16::try_from(i).unwrap_or(u16::MAX).saturating_mul(width + 1);
    let cell = |x: u16| Rect { x: area.x + x, width, ..area };
    paint::put(buf, area, 1, 0, "FROM ╲ TO", theme.style(Role::Column));
    for (i, to) in matrix.to.iter().enumerate() {
        paint::put(buf, cell(at(i)), 0, 0, to.as_str(), theme.style(Role::Column));
    }
    for (y, (from, cells)) in (1..).zip(matrix.from.iter().zip(&matrix.cells)) {
        let name = Rect { x: area.x + 1, width: first - 1, ..area };
        paint::put(buf, name, 0, y, from.as_str(), theme.style(Role::Text));
        for (i, row) in cells.iter().enumerate() {
            let (shown, role) = match row {
                Some(row) => (row.cell(), rows::role(row.standing.grade())),
                None => ("·".to_owned(), Role::Dim),
            };
            paint::put(buf, cell(at(i)), 0, y, &shown, theme.style(role));
        }
    }
    Rect { y: area.y + height, height: area.height.saturating_sub(height), ..area }
}

/// Draws the sentence of a run over its tags and gives the area that is left.
pub fn run_head(
    line: &str,
    grade: crate::view::units::Grade,
    buf: &mut Buffer,
    area: Rect,
    theme: &Theme,
) -> Rect {
    let role = if grade.is_problem() { rows::role(grade) } else { Role::Text };
    let lines = paint::wrap(line, usize::from(area.width.saturating_sub(2)));
    let height = u16::try_from(lines.len().min(2)).unwrap_or(0).min(area.height);
    for (y, line) in (0..height).zip(&lines) {
        paint::put(buf, area, 1, y, line, theme.style(role));
    }
    Rect { y: area.y + height, height: area.height.saturating_sub(height), ..area }
}
