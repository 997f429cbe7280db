//! A list of rows with a cursor, a filter and notes beneath rows: what all list views have in common.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use crate::base::clock::Millis;
use crate::base::ids::{ContainerId, HostId, OpId, PoolId, RegistryName, RuleName, SiteName, Slot};
use crate::model::oci::{Digest, Repository, Tag};
use crate::model::replication::Line as Way;
use crate::model::world::World;
use crate::tui::app::sparks::Sparks;
use crate::tui::app::staged::Staged;
use crate::tui::kit::list::{self, Cursor};
use crate::tui::kit::paint;
use crate::tui::kit::table::{self, Column, Line};
use crate::tui::theme::{Role, Theme};
use crate::view::pools::Origin;
use crate::view::units::Grade;

/// A note beneath a row takes at most so many lines.
const NOTE_LINES: usize = 3;

/// The identity of a row: the cursor is pinned to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RowKey {
    /// A pool.
    Pool(PoolId),
    /// Containers that are not ours.
    Group(Origin, String),
    /// A slot of a pool.
    Slot(PoolId, Slot),
    /// A container.
    Container(HostId, ContainerId),
    /// A host.
    Host(HostId),
    /// A site.
    Site(SiteName),
    /// A risk.
    Advice(String),
    /// An operation.
    Op(OpId),
    /// A line of the journal.
    Entry(u64),
    /// A project, robot or user, by the command that changes it.
    Access(String),
    /// A registry.
    Registry(RegistryName),
    /// A repository of the registry that is looked at.
    Repository(Repository),
    /// A tag of the repository that is looked at.
    Tag(Tag),
    /// A line between registries.
    Line(Way),
    /// A replication rule.
    Rule(RuleName),
    /// A tag of the run that is looked at.
    RunTag(Way, Repository, Tag),
    /// A blob on its way.
    Blob(Way, Digest),
}

/// What drawing a row may look at.
#[derive(Clone, Copy, Debug)]
pub struct Cx<'a> {
    /// The latest snapshot.
    pub world: &'a World,
    /// The present time.
    pub now: Millis,
    /// The theme.
    pub theme: &'a Theme,
    /// CPU of the last 15 minutes of each pool.
    pub sparks: &'a Sparks<PoolId>,
    /// The same of each host.
    pub host_sparks: &'a Sparks<HostId>,
    /// The staged number.
    pub staged: Option<&'a Staged>,
    /// Who sits here.
    pub user: &'a str,
}

/// A row of a list.
pub trait Listed {
    /// Its identity.
    fn key(&self) -> RowKey;
    /// The text that a filter looks at.
    fn words(&self) -> String;
    /// Sentences beneath it.
    fn notes(&self, now: Millis, user: &str) -> Vec<(String, Role)> {
        let _ = (now, user);
        Vec::new()
    }
    /// A heading before it, given the row before.
    fn heading(&self, before: Option<&Self>) -> Option<String> {
        let _ = before;
        None
    }
    /// The row itself.
    fn line(&self, cx: &Cx<'_>, cursor: bool) -> Line;
}

/// A list.
#[derive(Clone, Debug)]
pub struct Rows<R> {
    rows: Vec<R>,
    keys: Vec<RowKey>,
    shown: Vec<usize>,
    lines: Vec<At>,
    /// The cursor.
    pub cursor: Cursor<RowKey>,
    /// Only rows with this text.
    pub filter: String,
    /// Columns that a note may take; longer ones are broken into at most three lines.
    pub note_width: usize,
}

#[derive(Clone, Debug)]
enum At {
    Row(usize),
    Note(String, Role),
}

impl<R> Default for Rows<R> {
    fn default() -> Self {
        Rows {
            rows: Vec::new(),
            keys: Vec::new(),
            shown: Vec::new(),
            lines: Vec::new(),
            cursor: Cursor::default(),
            filter: String::new(),
            note_width: 100,
        }
    }
}

impl<R: Listed> Rows<R> {
    /// Takes new rows and finds the cursor's object among them.
    pub fn set(&mut self, rows: Vec<R>, now: Millis, user: &str) -> bool {
        self.rows = rows;
        self.settle(now, user)
    }

    /// Applies the filter and finds the cursor's object again; true when it is another one.
    pub fn settle(&mut self, now: Millis, user: &str) -> bool {
        let needle = self.filter.to_lowercase();
        let (want, needle) = match needle.strip_prefix('!') {
            Some(rest) => (false, rest),
            None => (true, needle.as_str()),
        };
        let fits = |r: &R| needle.is_empty() || r.words().to_lowercase().contains(needle) == want;
        self.shown = (0..self.rows.len()).filter(|i| fits(&self.rows[*i])).collect();
        self.keys = self.shown.iter().map(|i| self.rows[*i].key()).collect();
        self.lines.clear();
        self.lay(0, now, user);
        self.cursor.settle(&self.keys)
    }

    /// Puts rows behind those that are there, which stay as they are. Only for a list without a filter.
    pub fn append(&mut self, rows: Vec<R>, now: Millis, user: &str) {
        let from = self.rows.len();
        self.keys.extend(rows.iter().map(R::key));
        self.rows.extend(rows);
        self.shown.extend(from..self.rows.len());
        self.lay(from, now, user);
        if self.cursor.at.is_none() {
            self.cursor.settle(&self.keys);
        }
    }

    /// Lays out the lines of the shown rows from this place on.
    fn lay(&mut self, from: usize, now: Millis, user: &str) {
        let mut before = from.checked_sub(1).and_then(|i| self.shown.get(i)).map(|i| &self.rows[*i]);
        for (place, i) in self.shown.iter().enumerate().skip(from) {
            let row = &self.rows[*i];
            if let Some(heading) = row.heading(before) {
                self.lines.push(At::Note(heading, Role::Column));
            }
            self.lines.push(At::Row(place));
            for (note, role) in row.notes(now, user) {
                let broken = paint::wrap(&note, self.note_width).into_iter();
                self.lines.extend(broken.take(NOTE_LINES).map(|n| At::Note(n, role)));
            }
            before = Some(row);
        }
    }

    /// Moves the cursor; true when it is on another object.
    pub fn step(&mut self, by: i64) -> bool {
        let before = self.cursor.at.clone();
        self.cursor.step(&self.keys, by);
        before != self.cursor.at
    }

    /// Puts the cursor on an object, if it is shown.
    pub fn select(&mut self, key: &RowKey) -> bool {
        let found = self.keys.iter().position(|k| k == key);
        if let Some(at) = found {
            self.cursor = Cursor { at: Some(key.clone()), index: at };
        }
        found.is_some()
    }

    /// The row under the cursor.
    pub fn current(&self) -> Option<&R> {
        self.shown.get(self.cursor.index).and_then(|i| self.rows.get(*i))
    }

    /// All rows, shown or not.
    pub fn all(&self) -> &[R] {
        &self.rows
    }

    /// Rows that are shown.
    pub fn count(&self) -> usize {
        self.shown.len()
    }

    /// Draws heading and visible lines.
    pub fn draw(&self, buf: &mut Buffer, area: Rect, columns: &[Column], focused: bool, cx: &Cx<'_>) {
        let height = usize::from(area.height.saturating_sub(1));
        let here = |at: &At| matches!(at, At::Row(place) if *place == self.cursor.index);
        let at = self.lines.iter().position(here).unwrap_or(0);
        let top = list::top(at, self.lines.len(), height);
        table::draw(buf, area, cx.theme, columns, top..self.lines.len(), focused, |i| match &self.lines[i] {
            At::Note(note, role) => Line::Note(note.clone(), *role),
            At::Row(place) => {
                let row = &self.rows[self.shown[*place]];
                row.line(cx, *place == self.cursor.index)
            }
        });
    }
}

/// The role of a grade.
pub fn role(grade: Grade) -> Role {
    match grade {
        Grade::Off => Role::Off,
        Grade::Ok => Role::Ok,
        Grade::Busy => Role::Busy,
        Grade::Warn => Role::Warn,
        Grade::Lost => Role::Lost,
        Grade::Bad => Role::Bad,
    }
}

/// The mark before a row.
pub fn mark(grade: Grade) -> (char, Role) {
    (grade.sign(), role(grade))
}
