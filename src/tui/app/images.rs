//! The views of registries: the registries, and what one of them holds, fetched part by part as the cursor goes on.

use crate::base::clock::Millis;
use crate::base::ids::RegistryName;
use crate::model::oci::Repository;
use crate::model::query::{PageAsk, Query, Reply, Request};
use crate::model::registry::{Page, RepositoryRow, TagRow};
use crate::tui::app::runs::Sides;
use crate::tui::app::{App, Loaded, Pending, View};
use crate::tui::effect::Effect;
use crate::tui::panes::PaneId;
use crate::tui::panes::replication::{HomeLine, Item, RunItem};
use crate::tui::panes::rows::{Listed, RowKey, Rows};
use crate::view::registries::{self, RegistryRow};
use crate::view::replication::Matrix;

/// Rows of a long list that are asked for at a time.
pub const PAGE: u32 = 500;
/// The next part is asked for when the cursor is so near to the end of what is here.
const NEAR: usize = 200;
/// A filter is sent when nothing was typed for so long.
const FILTER_PAUSE_MS: u64 = 250;

/// A long list that is fetched part by part, and filtered by the engine.
#[derive(Clone, Debug)]
pub struct Paged<R> {
    /// What is here.
    pub rows: Rows<R>,
    /// Whether the last part asked for is here.
    pub state: Loaded,
    /// What to ask for the next part with; none at the end.
    pub next: Option<String>,
    /// What the engine filters by.
    pub filter: String,
    /// The filter changed then and was not sent yet.
    pub typed: Option<Millis>,
    /// When a part was asked for last.
    pub asked: Option<Millis>,
    /// Which asking the answer has to belong to.
    pub turn: u64,
}

impl<R> Default for Paged<R> {
    fn default() -> Self {
        Paged {
            rows: Rows::default(),
            state: Loaded::Waiting,
            next: None,
            filter: String::new(),
            typed: None,
            asked: None,
            turn: 0,
        }
    }
}

impl<R: Listed> Paged<R> {
    /// The part that comes next: the first one, or that after what is here.
    pub(crate) fn ask(&mut self, anew: bool, now: Millis) -> PageAsk {
        self.turn += 1;
        self.asked = Some(now);
        self.typed = None;
        self.state = Loaded::Waiting;
        let after = if anew { None } else { self.next.clone() };
        PageAsk { filter: self.filter.clone(), after, limit: PAGE }
    }

    /// True when the cursor is near the end of what is here and there is more.
    pub(crate) fn wants_more(&self) -> bool {
        self.next.is_some()
            && self.state == Loaded::Here
            && self.typed.is_none()
            && self.rows.cursor.index + NEAR >= self.rows.count()
    }

    /// True when the filter has rested and is to be sent.
    pub(crate) fn is_due(&self, now: Millis) -> bool {
        self.typed.is_some_and(|at| now.since(at) >= FILTER_PAUSE_MS)
    }

    /// Another filter: the engine is asked when it rests.
    pub(crate) fn type_filter(&mut self, text: &str, now: Millis) {
        if self.filter != text {
            text.clone_into(&mut self.filter);
            self.typed = Some(now);
        }
    }

    /// A part, or why there is none.
    pub(crate) fn take(&mut self, first: bool, part: Result<Page<R>, String>, now: Millis, user: &str) {
        match part {
            Err(why) => self.state = Loaded::Failed(why),
            Ok(page) => {
                self.state = Loaded::Here;
                self.next = page.next;
                if first {
                    self.rows.set(page.items, now, user);
                } else {
                    self.rows.append(page.items, now, user);
                }
            }
        }
    }

    /// `(500)`, `(500 and more)`, `(12) · only "v2"`.
    pub fn counted(&self, title: &str) -> String {
        let more = if self.next.is_some() { " and more" } else { "" };
        let only = if self.filter.is_empty() { String::new() } else { format!(" · only {:?}", self.filter) };
        format!("{title} ({}{more}){only}", self.rows.count())
    }
}

/// What a part of a list was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PageOf {
    /// Repositories of a registry.
    Repositories(RegistryName),
    /// Tags of a repository.
    Tags(RegistryName, Repository),
    /// Tags of a run.
    Run(crate::model::replication::RunId),
}

/// What the views of registries and replication keep.
#[derive(Debug, Default)]
pub struct Images {
    /// Rows of the registries view.
    pub registries: Rows<RegistryRow>,
    /// The repositories that are looked at.
    pub repositories: Paged<RepositoryRow>,
    /// The tags that are looked at.
    pub tags: Paged<TagRow>,
    /// Rows of the fourth pane of home.
    pub home: Rows<HomeLine>,
    /// What stands in its title.
    pub summary: String,
    /// Operations that are not over.
    pub open_operations: usize,
    /// The fourth pane of home shows the operations although there are registries.
    pub operations_shown: bool,
    /// The matrix of all lines.
    pub matrix: Matrix,
    /// Rows of the replication view.
    pub rules: Rows<Item>,
    /// Rows of the run that is looked at.
    pub run: Paged<RunItem>,
    /// Both sides of a conflict, as they come.
    pub sides: Option<Sides>,
    /// The last asking for both sides.
    pub sides_turn: u64,
}

impl App {
    /// Makes the rows of registries and their replication anew.
    pub(crate) fn refresh_images(&mut self) {
        self.refresh_replication();
        if self.views.iter().any(|v| matches!(v, View::Registries)) {
            let (rows, now) = (registries::rows(&self.world, self.now), self.now);
            self.images.registries.note_width = usize::from(self.size.0).saturating_sub(8).max(20);
            self.images.registries.set(rows, now, &self.settings.user);
        }
    }

    /// Looks into what is under the cursor.
    pub(crate) fn look_into(&mut self) -> Vec<Effect> {
        match (self.top(), self.row_at_hand()) {
            (PaneId::Registries, Some(RowKey::Registry(name))) => {
                self.images.repositories = Paged::default();
                self.views.push(View::Repositories(name));
            }
            (PaneId::Repositories, Some(RowKey::Repository(path))) => {
                let Some(View::Repositories(registry)) = self.views.last() else { return Vec::new() };
                let registry = registry.clone();
                self.images.tags = Paged::default();
                self.views.push(View::Tags(registry, path));
            }
            (PaneId::Tags | PaneId::Run, Some(_)) => {
                self.describe();
                return Vec::new();
            }
            (PaneId::Replication, Some(RowKey::Rule(name))) => {
                let run = self.world.replication.rule(&name).and_then(|r| r.run.as_ref()).map(|r| r.id);
                let Some(run) = run else {
                    self.say(format!("{name} never ran: r runs it now"));
                    return Vec::new();
                };
                self.images.run = Paged::default();
                self.views.push(View::Run(run));
            }
            (PaneId::Replication, Some(RowKey::Line(_))) => {
                self.describe();
                return Vec::new();
            }
            _ => return Vec::new(),
        }
        self.ask_page(true).into_iter().collect()
    }

    /// The row under the cursor of a view of registries or replication.
    pub(crate) fn row_at_hand(&self) -> Option<RowKey> {
        let i = &self.images;
        match self.top() {
            PaneId::Registries => i.registries.cursor.at.clone(),
            PaneId::Repositories => i.repositories.rows.cursor.at.clone(),
            PaneId::Tags => i.tags.rows.cursor.at.clone(),
            PaneId::HomeReplication => i.home.cursor.at.clone(),
            PaneId::Replication => i.rules.cursor.at.clone(),
            PaneId::Run => i.run.rows.cursor.at.clone(),
            _ => None,
        }
    }

    /// Asks for a part of the list on top: the first, or the next.
    pub(crate) fn ask_page(&mut self, anew: bool) -> Option<Effect> {
        let now = self.now;
        let (of, query, turn) = match self.views.last()? {
            View::Repositories(registry) => {
                let ask = self.images.repositories.ask(anew, now);
                let query = Query::Browse { registry: registry.clone(), repository: None, ask };
                (PageOf::Repositories(registry.clone()), query, self.images.repositories.turn)
            }
            View::Tags(registry, path) => {
                let ask = self.images.tags.ask(anew, now);
                let query = Query::Browse { registry: registry.clone(), repository: Some(path.clone()), ask };
                (PageOf::Tags(registry.clone(), path.clone()), query, self.images.tags.turn)
            }
            View::Run(run) => {
                let ask = self.images.run.ask(anew, now);
                (PageOf::Run(*run), Query::RunTags { run: *run, ask }, self.images.run.turn)
            }
            _ => return None,
        };
        Some(self.ask(Request::Query(query), Pending::Page { of, first: anew, turn }).1)
    }

    /// Asks for more of the list on top when it is wanted: the next part, or anew by another filter.
    pub(crate) fn more_rows(&mut self) -> Option<Effect> {
        let (i, now) = (&self.images, self.now);
        let (due, more) = match self.top() {
            PaneId::Repositories => (i.repositories.is_due(now), i.repositories.wants_more()),
            PaneId::Tags => (i.tags.is_due(now), i.tags.wants_more()),
            PaneId::Run => (i.run.is_due(now) || self.run_is_old(), i.run.wants_more()),
            _ => (false, false),
        };
        if due || more { self.ask_page(due) } else { None }
    }

    /// A part of a list has come, or not. One that nobody waits for any more is dropped.
    pub(crate) fn paged(&mut self, of: &PageOf, first: bool, turn: u64, reply: Reply) {
        let (now, user) = (self.now, self.settings.user.clone());
        let why = |reply: &Reply| match reply {
            Reply::Refused(r) => r.to_string(),
            Reply::Failed(f) => f.to_string(),
            _ => "the engine gave another answer than was asked for".to_owned(),
        };
        match (of, reply) {
            (PageOf::Repositories(_), reply) if turn == self.images.repositories.turn => {
                let part = match reply {
                    Reply::Repositories(page) => Ok(page),
                    other => Err(why(&other)),
                };
                self.images.repositories.take(first, part, now, &user);
            }
            (PageOf::Tags(..), reply) if turn == self.images.tags.turn => {
                let part = match reply {
                    Reply::Tags(page) => Ok(page),
                    other => Err(why(&other)),
                };
                self.images.tags.take(first, part, now, &user);
            }
            (PageOf::Run(run), reply) if turn == self.images.run.turn => {
                let part = match reply {
                    Reply::RunTags(page) => Ok(page),
                    other => Err(why(&other)),
                };
                self.run_paged(*run, first, part);
            }
            _ => {}
        }
    }

    /// Which list on top is paged: its state, and how many rows are here.
    pub fn page_state(&self) -> Option<(&Loaded, usize)> {
        let i = &self.images;
        match self.top() {
            PaneId::Repositories => Some((&i.repositories.state, i.repositories.rows.count())),
            PaneId::Tags => Some((&i.tags.state, i.tags.rows.count())),
            PaneId::Run => Some((&i.run.state, i.run.rows.count())),
            _ => None,
        }
    }

    /// Moves the cursor of a view of registries or replication.
    pub(crate) fn step_images(&mut self, by: i64) {
        let top = self.top();
        let i = &mut self.images;
        match top {
            PaneId::Registries => drop(i.registries.step(by)),
            PaneId::Repositories => drop(i.repositories.rows.step(by)),
            PaneId::Tags => drop(i.tags.rows.step(by)),
            PaneId::HomeReplication => drop(i.home.step(by)),
            PaneId::Replication => drop(i.rules.step(by)),
            PaneId::Run => drop(i.run.rows.step(by)),
            _ => {}
        }
    }

    /// Filters a view of registries or replication.
    pub(crate) fn filter_images(&mut self, text: &str) {
        let (top, now, user) = (self.top(), self.now, self.settings.user.clone());
        let i = &mut self.images;
        match top {
            PaneId::Registries => {
                text.clone_into(&mut i.registries.filter);
                i.registries.settle(now, &user);
            }
            PaneId::HomeReplication => {
                text.clone_into(&mut i.home.filter);
                i.home.settle(now, &user);
            }
            PaneId::Replication => {
                text.clone_into(&mut i.rules.filter);
                i.rules.settle(now, &user);
            }
            PaneId::Repositories => i.repositories.type_filter(text, now),
            PaneId::Tags => i.tags.type_filter(text, now),
            PaneId::Run => i.run.type_filter(text, now),
            _ => {}
        }
    }

    /// The filter of a view of registries or replication.
    pub(crate) fn images_filter(&self) -> &str {
        let i = &self.images;
        match self.top() {
            PaneId::Registries => &i.registries.filter,
            PaneId::HomeReplication => &i.home.filter,
            PaneId::Replication => &i.rules.filter,
            PaneId::Repositories => &i.repositories.filter,
            PaneId::Tags => &i.tags.filter,
            PaneId::Run => &i.run.filter,
            _ => "",
        }
    }

    /// True while a filter waits to be sent.
    pub(crate) fn filter_waits(&self) -> bool {
        let i = &self.images;
        i.repositories.typed.is_some() || i.tags.typed.is_some() || i.run.typed.is_some()
    }

    /// `REGISTRY/REPOSITORY:TAG` and the row of the tag under the cursor.
    pub(crate) fn tag_at_hand(&self) -> Option<(String, &TagRow)> {
        let path = self.views.iter().rev().find_map(|v| match v {
            View::Tags(registry, path) => Some((registry, path)),
            _ => None,
        });
        let row = self.images.tags.rows.current()?;
        let (registry, path) = path?;
        let host = self.world.registries.get(registry).map_or_else(
            || registry.to_string(),
            |r| crate::base::text::safe(&r.registry.address).into_owned(),
        );
        Some((format!("{host}/{path}:{}", row.tag), row))
    }

    /// Title of a view of registries or replication.
    pub fn images_title(&self, view: &View) -> String {
        let i = &self.images;
        let counted = |title: &str, n: usize, filter: &str| match filter {
            "" => format!("{title} ({n})"),
            _ => format!("{title} ({n}) · only {filter:?}"),
        };
        match view {
            View::Repositories(registry) => {
                self.with_state(i.repositories.counted(&format!("Repositories of {registry}")))
            }
            View::Tags(registry, path) => {
                self.with_state(i.tags.counted(&format!("Tags of {registry} · {path}")))
            }
            View::Replication => {
                let only = if i.rules.filter.is_empty() {
                    String::new()
                } else {
                    format!(" · only {:?}", i.rules.filter)
                };
                format!("Replication · {}{only}", i.summary)
            }
            View::Run(id) => self.with_state(i.run.counted(&self.run_title(*id))),
            _ => counted("Registries", i.registries.count(), &i.registries.filter),
        }
    }

    /// A title, and why what is shown is not all or not new.
    fn with_state(&self, title: String) -> String {
        match self.page_state() {
            Some((Loaded::Failed(why), 1..)) => format!("{title} · the rest cannot be had: {why}"),
            Some((Loaded::Waiting, 1..)) => format!("{title} · asking…"),
            _ => title,
        }
    }

    fn run_title(&self, id: crate::model::replication::RunId) -> String {
        match self.world.replication.run(id) {
            Some(run) => {
                format!("{id} of {} · {}", run.rule, crate::view::replication::run_stands(run).1)
            }
            None => format!("{id}, not the last of its rule any more"),
        }
    }

    /// All that is known of an object of these views.
    pub(crate) fn described_image(&self, key: &RowKey) -> Vec<String> {
        let (world, now) = (&self.world, self.now);
        match key {
            RowKey::Registry(name) => registries::described(world, name, now),
            RowKey::Repository(path) => {
                let here = self.images.repositories.rows.all().iter().find(|r| r.repository == *path);
                let mut out = vec![format!("repository: {path}")];
                out.extend(here.and_then(|r| r.tags).map(|n| format!("tags: {n}")));
                out.extend(here.iter().flat_map(|r| &r.used_by).map(|p| format!("used-by: {p}")));
                out
            }
            RowKey::Tag(tag) => match self.tag_at_hand().filter(|(_, row)| row.tag == *tag) {
                Some((name, row)) => registries::described_tag(row, &name, now),
                None => vec!["not shown any more".to_owned()],
            },
            _ => self.described_run(key),
        }
    }
}
