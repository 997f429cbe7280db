//! The console's state and the one function that changes it: [`App::update`]. No IO, no clock, no threads.

pub mod acts;
pub mod dialog;
pub mod fleet;
pub mod help;
pub mod images;
pub mod input;
pub mod palette;
pub mod prewarm;
pub mod replies;
pub mod runs;
pub mod sparks;
pub mod staged;
pub mod tails;

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::base::clock::Millis;
use crate::base::ids::{ContainerId, HostId, PoolId, RegistryName};
use crate::model::journal::Entry;
use crate::model::oci::Repository;
use crate::model::query::{Query, Request};
use crate::model::replication::RunId;
use crate::model::world::World;
use crate::tui::app::dialog::Dialog;
use crate::tui::app::fleet::Fleet;
use crate::tui::app::images::{Images, PageOf};
use crate::tui::app::palette::Palette;
use crate::tui::app::sparks::Sparks;
use crate::tui::app::staged::{Scale, Staged};
use crate::tui::app::tails::HomeTail;
use crate::tui::effect::Effect;
use crate::tui::event::{Event, Ticket};
use crate::tui::kit::input::Input;
use crate::tui::panes::logs::LogView;
use crate::tui::panes::rows::{Cx, RowKey, Rows};
use crate::tui::panes::text::TextView;
use crate::tui::panes::{PaneId, containers, pools as pools_pane};
use crate::tui::theme::{Depth, Role, Theme};
use crate::view::hosts::Item as HostItem;
use crate::view::ops::OpRow;
use crate::view::units::Grade;
use crate::view::{containers as container_rows, ops, pools};

/// A staged number is sent after this pause, unless the settings say otherwise.
pub const PAUSE_MS: u64 = 800;
/// The use of what is on the screen is asked for so often.
pub const LOOK_MS: u64 = 5_000;
/// Ages in sentences are made anew so often.
const AGES_MS: u64 = 10_000;
/// Pools around the cursor that are measured when there are more than this.
pub const LOOK_POOLS: usize = 50;
/// Widest and highest screen that is drawn; larger sizes are a lie or a waste (ratatui counts cells in 16 bits).
pub const SIZE_MAX: (u16, u16) = (500, 130);

/// What does not change while the console runs.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Nothing can be changed.
    pub read_only: bool,
    /// The terminal cannot show UTF-8.
    pub ascii: bool,
    /// Name of the environment (`PROD`), shown first and in buttons.
    pub environment: String,
    /// Who sits here.
    pub user: String,
    /// A staged number is sent after this pause.
    pub pause_ms: u64,
    /// How many colours the terminal has.
    pub depth: Depth,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            read_only: false,
            ascii: false,
            environment: String::new(),
            user: String::new(),
            pause_ms: PAUSE_MS,
            depth: Depth::True,
        }
    }
}

/// What lies over the view.
#[derive(Clone, Debug)]
pub enum Mode {
    /// Nothing.
    Normal,
    /// A text field at the foot.
    Field(Field, Input),
    /// The command palette.
    Palette(Palette),
    /// Help, scrolled by so many lines.
    Help(usize),
    /// A question.
    Dialog(Dialog),
}

/// What a text field at the foot is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    /// Filters a list.
    Filter,
    /// Searches in text.
    Search,
    /// Only matching lines.
    Regex,
}

/// A view over home.
#[derive(Clone, Debug)]
pub enum View {
    /// Hosts.
    Hosts,
    /// The containers of one host.
    OnHost(HostId),
    /// All hosts as cells.
    Heat,
    /// Sites.
    Sites,
    /// Risks.
    Advice,
    /// All operations.
    Operations,
    /// The journal.
    Journal,
    /// Registries.
    Registries,
    /// The repositories of a registry.
    Repositories(RegistryName),
    /// The tags of a repository.
    Tags(RegistryName, Repository),
    /// Projects, members and robots.
    Access,
    /// Replication.
    Replication,
    /// One run of a rule.
    Run(RunId),
    /// Logs.
    Logs(Box<LogView>),
    /// Text.
    Text(TextView),
}

/// What an open request was for.
#[derive(Clone, Debug)]
pub enum Pending {
    /// How far a pool's image is, before it is asked whether to bring it.
    Coverage(PoolId),
    /// A preview of what is staged.
    Preview,
    /// A scale.
    Scale(Scale),
    /// An undo.
    Undo(PoolId),
    /// Another command.
    Command,
    /// The journal.
    Journal,
    /// Why something is placed as it is: its name.
    Why(String),
    /// A container's JSON.
    Inspect(HostId, ContainerId),
    /// A part of a long list.
    Page {
        /// Of which list.
        of: PageOf,
        /// It is the first part.
        first: bool,
        /// The asking that it belongs to.
        turn: u64,
    },
    /// One side of a conflict.
    Side {
        /// Which.
        registry: RegistryName,
        /// The asking that it belongs to.
        turn: u64,
    },
    /// Nothing is shown of the answer.
    Quiet,
}

/// A sentence at the foot, until the next key.
#[derive(Clone, Debug, PartialEq)]
pub struct Foot {
    /// What it says.
    pub text: String,
    /// What to do.
    pub hint: Option<String>,
    /// How it looks.
    pub role: Role,
}

/// What is known of the journal.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Loaded {
    /// Asked for, not answered.
    #[default]
    Waiting,
    /// Here.
    Here,
    /// It could not be had.
    Failed(String),
}

/// The console.
#[derive(Debug)]
pub struct App {
    /// What does not change.
    pub settings: Settings,
    /// How it looks.
    pub theme: Theme,
    /// The latest snapshot.
    pub world: Arc<World>,
    /// The present time.
    pub now: Millis,
    /// Columns and rows of the terminal.
    pub size: (u16, u16),
    /// The pane of the home screen with the focus.
    pub focus: PaneId,
    /// Views over home, the last on top.
    pub views: Vec<View>,
    /// What lies over the view.
    pub mode: Mode,
    /// Rows of the pools pane.
    pub pools: Rows<pools_pane::Item>,
    /// Rows of the containers pane.
    pub containers: Rows<containers::Item>,
    /// Rows of operations.
    pub operations: Rows<OpRow>,
    /// Rows of the hosts view.
    pub hosts: Rows<HostItem>,
    /// What the views of many hosts keep.
    pub fleet: Fleet,
    /// What the views of registries and replication keep.
    pub images: Images,
    /// Rows of the journal view.
    pub journal: Rows<Entry>,
    /// Whether the journal is here.
    pub journal_state: Loaded,
    /// The staged number.
    pub staged: Option<Staged>,
    /// The sentence at the foot.
    pub foot: Option<Foot>,
    /// The log of the home screen.
    pub tail: HomeTail,
    /// CPU of the last 15 minutes.
    pub sparks: Sparks<PoolId>,
    /// How the pools are ordered.
    pub order: pools_pane::Order,
    /// The mouse is captured.
    pub mouse: bool,
    /// Counts of hosts and pools.
    pub totals: pools::Totals,
    pending: BTreeMap<Ticket, Pending>,
    next: u64,
    looked: Option<Millis>,
    aged: Millis,
    cancelled: Option<Millis>,
}

impl App {
    /// A console that has seen nothing yet.
    pub fn new(settings: Settings, theme: Theme, size: (u16, u16)) -> App {
        App {
            settings,
            theme,
            world: Arc::default(),
            now: Millis::default(),
            size: clamp(size),
            focus: PaneId::Pools,
            views: Vec::new(),
            mode: Mode::Normal,
            pools: Rows::default(),
            containers: Rows::default(),
            operations: Rows::default(),
            hosts: Rows::default(),
            fleet: Fleet::default(),
            images: Images::default(),
            journal: Rows::default(),
            journal_state: Loaded::Waiting,
            staged: None,
            foot: None,
            tail: HomeTail::default(),
            sparks: Sparks::default(),
            order: pools_pane::Order::Name,
            mouse: false,
            totals: pools::Totals::default(),
            pending: BTreeMap::new(),
            next: 0,
            looked: None,
            aged: Millis::default(),
            cancelled: None,
        }
    }

    /// Takes one event and says what the outside shall do.
    pub fn update(&mut self, now: Millis, event: Event) -> Vec<Effect> {
        self.now = self.now.max(now);
        let mut effects = match event {
            Event::Key(key) => self.key(key),
            Event::Paste(text) => self.paste(&text),
            Event::Scroll(by) => self.scrolled(by),
            Event::Resize(columns, rows) => {
                self.size = clamp((columns, rows));
                self.refresh();
                Vec::new()
            }
            Event::World(world) => self.new_world(world),
            Event::Replied(ticket, reply) => self.replied(ticket, reply),
            Event::Tail(id, chunk) => self.tailed(id, chunk),
            Event::Told(text) => {
                self.say(text);
                Vec::new()
            }
            Event::Tick(_) => self.tick(),
        };
        effects.extend(self.sync_tail());
        effects
    }

    fn new_world(&mut self, world: Arc<World>) -> Vec<Effect> {
        let at = world.at;
        self.world = world;
        self.fleet_seen();
        self.refresh();
        let rows = self.pools.all().iter().filter_map(|i| match i {
            pools_pane::Item::Pool(row) => Some((&row.id, &row.used)),
            pools_pane::Item::Group(_) => None,
        });
        self.sparks.add(at, rows);
        self.check_staged();
        Vec::new()
    }

    /// Makes all rows anew from the latest snapshot.
    pub(crate) fn refresh(&mut self) {
        self.aged = self.now;
        let (world, now) = (self.world.clone(), self.now);
        let user = self.settings.user.clone();
        let items = pools::rows(&world, &self.fleet.uses).into_iter().map(pools_pane::Item::Pool);
        let groups = pools::groups(&world, &self.fleet.uses).into_iter().map(pools_pane::Item::Group);
        let mut items: Vec<_> = items.chain(groups).collect();
        pools_pane::sort(&mut items, self.order);
        let (columns, wide) = (usize::from(self.size.0), self.is_wide());
        let share = |part: usize, of: usize| if wide { columns * part / of } else { columns };
        self.pools.note_width = share(4, 7).saturating_sub(8).max(20);
        self.operations.note_width = share(1, 3).saturating_sub(8).max(20);
        self.pools.set(items, now, &user);
        self.totals = pools::totals(&world);
        self.operations.set(ops::rows(&world.operations, now), now, &user);
        self.refresh_fleet();
        self.refresh_images();
        self.refresh_containers();
        let about = match self.views.last() {
            Some(View::Text(t)) if t.lives => t.about.clone(),
            _ => None,
        };
        if let Some(key) = about {
            let lines = self.described(&key);
            if let Some(View::Text(t)) = self.views.last_mut() {
                t.lines = lines;
            }
        }
    }

    /// Makes the rows of the containers pane anew: those of the pool or group under the cursor.
    pub(crate) fn refresh_containers(&mut self) {
        let items = match self.pools.current() {
            Some(pools_pane::Item::Pool(p)) => {
                let id = p.id.clone();
                let item = |row: container_rows::ContainerRow| {
                    let slot = row.slot.unwrap_or_default();
                    containers::Item { key: RowKey::Slot(id.clone(), slot), row, whose: None }
                };
                // What is not as it should be comes first: it must not hide below forty healthy ones.
                let mut rows = container_rows::of_pool(&self.world, &p.id);
                rows.sort_by_key(|r| matches!(r.grade, Grade::Ok | Grade::Off));
                rows.into_iter().map(item).collect()
            }
            Some(pools_pane::Item::Group(g)) => {
                let item = |row: container_rows::ContainerRow| {
                    let (host, id) = (row.host.clone()?, row.container.clone()?);
                    Some(containers::Item { key: RowKey::Container(host, id), row, whose: None })
                };
                container_rows::of_members(&self.world, &g.members).into_iter().filter_map(item).collect()
            }
            None => Vec::new(),
        };
        self.containers.set(items, self.now, &self.settings.user);
    }

    fn tick(&mut self) -> Vec<Effect> {
        let mut effects = self.staged_due();
        if self.now.since(self.aged) >= AGES_MS {
            self.refresh();
        }
        if self.looked.is_none_or(|at| self.now.since(at) >= LOOK_MS) {
            self.looked = Some(self.now);
            effects.push(self.look());
        }
        effects.extend(self.more_rows());
        effects
    }

    /// Tells the engine whose use to measure.
    pub(crate) fn look(&mut self) -> Effect {
        let mut wanted = Vec::new();
        if self.pools.count() > LOOK_POOLS {
            let start = self.pools.cursor.index.saturating_sub(LOOK_POOLS / 2);
            let ids = self.pools.all().iter().filter_map(|i| match i {
                pools_pane::Item::Pool(row) => Some(row.id.clone()),
                pools_pane::Item::Group(_) => None,
            });
            wanted = ids.skip(start).take(LOOK_POOLS).collect();
        }
        self.ask(Request::Query(Query::Look { pools: wanted }), Pending::Quiet).1
    }

    /// Milliseconds until the next tick is worth it.
    pub fn tick_in(&self) -> u64 {
        let busy = self.staged.is_some() || self.tail.is_resting() || self.filter_waits();
        if busy { 100 } else { 1_000 }
    }

    /// Which view is on top.
    pub fn top(&self) -> PaneId {
        match self.views.last() {
            None if self.focus == PaneId::Operations => self.fourth(),
            None => self.focus,
            Some(View::Hosts) => PaneId::Hosts,
            Some(View::OnHost(_)) => PaneId::OnHost,
            Some(View::Heat) => PaneId::Heat,
            Some(View::Sites) => PaneId::Sites,
            Some(View::Advice) => PaneId::Advice,
            Some(View::Operations) => PaneId::AllOperations,
            Some(View::Journal) => PaneId::Journal,
            Some(View::Registries) => PaneId::Registries,
            Some(View::Repositories(_)) => PaneId::Repositories,
            Some(View::Tags(..)) => PaneId::Tags,
            Some(View::Access) => PaneId::Access,
            Some(View::Replication) => PaneId::Replication,
            Some(View::Run(_)) => PaneId::Run,
            Some(View::Logs(_)) => PaneId::FullLogs,
            Some(View::Text(_)) => PaneId::Text,
        }
    }

    /// True when the four panes stand side by side; otherwise they are tabs.
    pub fn is_wide(&self) -> bool {
        self.size.0 >= 100 && self.size.1 >= 28
    }

    /// The managed pool under the cursor.
    pub fn pool(&self) -> Option<&PoolId> {
        match self.pools.current() {
            Some(pools_pane::Item::Pool(p)) => Some(&p.id),
            _ => None,
        }
    }

    /// What drawing may look at.
    pub fn cx(&self) -> Cx<'_> {
        Cx {
            world: &self.world,
            now: self.now,
            theme: &self.theme,
            sparks: &self.sparks,
            host_sparks: &self.fleet.sparks,
            staged: self.staged.as_ref(),
            user: &self.settings.user,
        }
    }

    pub(crate) fn ask(&mut self, request: Request, pending: Pending) -> (Ticket, Effect) {
        self.next += 1;
        let ticket = Ticket(self.next);
        self.pending.insert(ticket, pending);
        (ticket, Effect::Ask(ticket, request))
    }

    pub(crate) fn say(&mut self, text: impl Into<String>) {
        self.foot = Some(Foot { text: text.into(), hint: None, role: Role::Text });
    }

    pub(crate) fn warn(&mut self, text: impl Into<String>, hint: Option<String>) {
        self.foot = Some(Foot { text: text.into(), hint, role: Role::Warn });
    }
}

fn clamp((columns, rows): (u16, u16)) -> (u16, u16) {
    (columns.min(SIZE_MAX.0), rows.min(SIZE_MAX.1))
}
