//! The views of many hosts: hosts, heat map, one host's containers, sites, advice; and what is done to hosts.

use std::collections::BTreeSet;

use crate::base::clock::Millis;
use crate::base::ids::{HostId, SiteName};
use crate::base::text;
use crate::model::command::Command;
use crate::model::container::Owner;
use crate::model::host::{Duty, HostState, HostView};
use crate::model::query::{Query, Request};
use crate::model::world::SlotStatus;
use crate::tui::app::dialog::{Dialog, Then};
use crate::tui::app::sparks::Sparks;
use crate::tui::app::{App, Field, Mode, Pending, View};
use crate::tui::effect::Effect;
use crate::tui::panes::rows::{RowKey, Rows};
use crate::tui::panes::{PaneId, containers, heat as heat_pane};
use crate::tui::verbs::Act;
use crate::view::access::{self, AccessRow};
use crate::view::advice::{self, Advice};
use crate::view::heat::{self, Cell, Group, Layout, Metric};
use crate::view::hosts::{self, Held, Order, Total};
use crate::view::sites::{self, SiteRow};
use crate::view::uses::Uses;
use crate::view::{containers as container_rows, units};

/// Advice looks at every slot: not at each of several snapshots a second.
const ADVISE_MS: u64 = 2_000;

/// What the views of many hosts keep. Rows are made only while their view is open.
#[derive(Debug, Default)]
pub struct Fleet {
    /// Measured use by host.
    pub uses: Uses,
    /// CPU of the last 15 minutes of each host.
    pub sparks: Sparks<HostId>,
    /// All hosts as one.
    pub total: Total,
    /// How the hosts are ordered.
    pub order: Order,
    /// Lost sites whose hosts are shown.
    pub unfolded: BTreeSet<SiteName>,
    /// Rows of one host's containers.
    pub on_host: Rows<containers::Item>,
    /// Rows of the sites view.
    pub sites: Rows<SiteRow>,
    /// Rows of the access view.
    pub access: Rows<AccessRow>,
    /// Rows of the advice view.
    pub advice: Rows<Advice>,
    /// When advice was worked out last.
    pub advised: Option<Millis>,
    /// The cells of the heat map.
    pub heat: Vec<Group>,
    /// What the heat map shows.
    pub metric: Metric,
    /// The host under the cursor of the heat map.
    pub heat_at: Option<HostId>,
}

/// What a verb of hosts acts on.
struct Targets {
    name: String,
    hosts: Vec<HostId>,
    site: bool,
}

impl App {
    /// Takes a new snapshot: what must be kept of each, whatever view is open.
    pub(crate) fn fleet_seen(&mut self) {
        self.fleet.uses.update(&self.world);
        let Fleet { uses, sparks, .. } = &mut self.fleet;
        sparks.add(self.world.at, uses.all());
    }

    /// Makes the rows of the open views of many hosts anew.
    pub(crate) fn refresh_fleet(&mut self) {
        let (world, now) = (self.world.clone(), self.now);
        let user = self.settings.user.clone();
        let open = |what: fn(&View) -> bool| self.views.iter().any(what);
        let columns = usize::from(self.size.0).saturating_sub(8).max(20);
        if open(|v| matches!(v, View::Hosts)) {
            let f = &mut self.fleet;
            self.hosts.note_width = columns;
            self.hosts.set(hosts::items(&world, now, &f.uses, f.order, &f.unfolded), now, &user);
            f.total = hosts::total(&world, now, &f.uses);
        }
        if open(|v| matches!(v, View::Heat)) {
            let f = &mut self.fleet;
            f.heat = heat::groups(&world, now, &f.uses, f.metric);
        }
        if open(|v| matches!(v, View::Sites)) {
            self.fleet.sites.set(sites::rows(&world, now), now, &user);
        }
        if open(|v| matches!(v, View::Access)) {
            self.fleet.access.note_width = columns;
            self.fleet.access.set(access::rows(&world.access, now), now, &user);
        }
        let due = self.fleet.advised.is_none_or(|at| now.since(at) >= ADVISE_MS);
        if open(|v| matches!(v, View::Advice)) && due {
            self.fleet.advised = Some(now);
            self.fleet.advice.note_width = columns;
            self.fleet.advice.set(advice::advise(&world, now), now, &user);
        }
        let of =
            self.views.iter().find_map(|v| if let View::OnHost(id) = v { Some(id.clone()) } else { None });
        if let Some(id) = of {
            let rows = world.hosts.get(&id).map_or_else(Vec::new, |h| self.rows_on(h));
            self.fleet.on_host.set(rows, now, &user);
        }
    }

    /// The containers of a host: ours by pool and slot, then what others made.
    fn rows_on(&self, host: &HostView) -> Vec<containers::Item> {
        let install = self.world.engine.install.as_ref();
        let item = |c: &crate::model::container::Container| {
            let mut row = container_rows::any_row(host, c);
            let id = &host.config.id;
            let mut key = RowKey::Container(id.clone(), c.id.clone());
            let whose = match (&c.owner, install.and_then(|i| c.owner.ours(i))) {
                (_, Some(tag)) => {
                    row.name = tag.to_string();
                    let slots = self.world.pool(&tag.pool).map_or(&[][..], |p| &p.slots);
                    let of =
                        slots.binary_search_by_key(&tag.slot, |s| s.slot).ok().and_then(|i| slots.get(i));
                    if of.is_some_and(|s| s.container.as_ref() == Some(&c.id)) {
                        key = RowKey::Slot(tag.pool.clone(), tag.slot);
                        (row.slot, row.host) = (Some(tag.slot), Some(id.clone()));
                    }
                    "ours".to_owned()
                }
                (Owner::Longshore(tag), None) => format!("install {}", text::safe(&tag.install.0)),
                (Owner::Compose { project, .. }, _) => format!("compose {project}"),
                (Owner::Swarm { .. }, _) => "swarm".to_owned(),
                (Owner::Nobody, _) => "no owner".to_owned(),
            };
            containers::Item { key, row, whose: Some(whose) }
        };
        let mut rows: Vec<containers::Item> = host.containers.iter().map(item).collect();
        let rank = |i: &containers::Item| (!i.row.grade.is_problem(), i.whose.as_deref() != Some("ours"));
        rows.sort_by(|a, b| rank(a).cmp(&rank(b)).then_with(|| a.row.name.cmp(&b.row.name)));
        rows
    }

    /// The rows of containers of the view on top.
    pub(crate) fn at_hand(&self) -> &Rows<containers::Item> {
        if self.top() == PaneId::OnHost { &self.fleet.on_host } else { &self.containers }
    }

    /// How the cells of the heat map lie on this screen.
    pub fn heat_layout(&self) -> Layout {
        let wide = |g: &Group| u16::try_from(text::width(&heat_pane::name(g))).unwrap_or(u16::MAX);
        let (around, sizes) = (heat_pane::AROUND, self.fleet.heat.iter().map(|g| (g.hosts.len(), wide(g))));
        let banner = u16::try_from(self.banner().len()).unwrap_or(0);
        let height = self.size.1.saturating_sub(around.1 + banner);
        heat::layout(&sizes.collect::<Vec<_>>(), self.size.0.saturating_sub(around.0).max(1), height)
    }

    /// The number of the cell under the cursor.
    pub fn heat_cell(&self, map: &Layout) -> usize {
        let Some(at) = &self.fleet.heat_at else { return 0 };
        let here = |c: &Cell| heat_pane::of(&self.fleet.heat, c).iter().any(|h| h.id == *at);
        map.cells().position(here).unwrap_or(0)
    }

    /// Moves the cursor of the heat map: so many lines down, or so many cells to the right.
    pub(crate) fn heat_move(&mut self, down: i64, right: i64) {
        let map = self.heat_layout();
        let at = self.heat_cell(&map);
        let last = i64::try_from(map.cells().count()).unwrap_or(i64::MAX) - 1;
        let to = match down {
            0 => i64::try_from(at).unwrap_or(0).saturating_add(right).clamp(0, last.max(0)),
            _ => i64::try_from(map.below(at, down)).unwrap_or(0),
        };
        let cell = map.cells().nth(usize::try_from(to).unwrap_or(0)).copied();
        self.fleet.heat_at =
            cell.and_then(|c| heat_pane::of(&self.fleet.heat, &c).first()).map(|h| h.id.clone());
    }

    /// The host or site under the cursor of the view on top.
    pub(crate) fn host_or_site(&self) -> Option<RowKey> {
        match self.top() {
            PaneId::Hosts => self.hosts.cursor.at.clone(),
            PaneId::Sites => self.fleet.sites.cursor.at.clone(),
            PaneId::Heat => {
                let first = || self.fleet.heat.first().and_then(|g| g.hosts.first()).map(|h| h.id.clone());
                self.fleet.heat_at.clone().or_else(first).map(RowKey::Host)
            }
            _ => None,
        }
    }

    /// Why nothing can be done to the host under the cursor; `None` when it can.
    pub(crate) fn no_host(&self, lost: bool) -> Option<String> {
        match self.host_or_site() {
            Some(RowKey::Host(id)) => {
                let is_lost =
                    self.world.hosts.get(&id).is_some_and(|h| h.state_at(self.now) == HostState::Lost);
                (lost && !is_lost).then(|| format!("{id} is not lost: drain moves away what it holds"))
            }
            Some(RowKey::Site(name)) if lost => {
                let lost = self.world.sites.get(&name).is_some_and(|s| s.lost.is_some());
                (!lost).then(|| format!("site {name} is not lost as a whole: choose one of its hosts"))
            }
            Some(RowKey::Site(_)) => Some("a site is under the cursor: Enter shows its hosts".to_owned()),
            _ => Some("no host is under the cursor".to_owned()),
        }
    }

    /// The hosts that a verb acts on.
    fn targets(&self) -> Option<Targets> {
        match self.host_or_site()? {
            RowKey::Host(id) => Some(Targets { name: id.to_string(), hosts: vec![id], site: false }),
            RowKey::Site(name) => {
                let here = |h: &&std::sync::Arc<HostView>| h.record.site.as_ref() == Some(&name);
                let hosts = self.world.hosts.values().filter(here).map(|h| h.config.id.clone()).collect();
                Some(Targets { name: name.to_string(), hosts, site: true })
            }
            _ => None,
        }
    }

    /// Does what a verb of hosts says.
    pub(crate) fn host_act(&mut self, act: Act) -> Vec<Effect> {
        match act {
            Act::OpenHost => return self.open_host(),
            Act::Cordon => return self.cordon(),
            Act::Undrain => return self.undrain(),
            Act::Drain => self.ask_drain(),
            Act::GiveUp => self.ask_give_up(),
            Act::Fold => self.fold(),
            Act::Metric => self.next_metric(),
            _ => {}
        }
        Vec::new()
    }

    /// Looks into the host or site under the cursor.
    fn open_host(&mut self) -> Vec<Effect> {
        let top = self.top();
        match self.host_or_site() {
            Some(RowKey::Site(name)) if top == PaneId::Sites => {
                let effects = self.act(Act::Goto(PaneId::Hosts));
                self.fleet.unfolded.insert(name.clone());
                self.refresh_fleet();
                self.apply(Field::Filter, &format!("site:{name}"));
                return effects;
            }
            Some(RowKey::Site(_)) => self.fold(),
            Some(RowKey::Host(id)) => {
                let map = self.heat_layout();
                let cell = map.cells().nth(self.heat_cell(&map)).filter(|_| top == PaneId::Heat);
                if cell.is_some_and(|c| c.count > 1) {
                    self.views.pop();
                    self.refresh_fleet();
                    self.hosts.select(&RowKey::Host(id));
                    return Vec::new();
                }
                self.views.push(View::OnHost(id));
                self.fleet.on_host = Rows::default();
                self.refresh_fleet();
            }
            _ => {}
        }
        Vec::new()
    }

    /// Folds or unfolds the lost site under the cursor, or that of the host under it.
    fn fold(&mut self) {
        let name = match self.host_or_site() {
            Some(RowKey::Site(name)) => Some(name),
            Some(RowKey::Host(id)) => self.world.hosts.get(&id).and_then(|h| h.record.site.clone()),
            _ => None,
        };
        let lost = |n: &SiteName| self.world.sites.get(n).is_some_and(|s| s.lost.is_some() && s.hosts > 1);
        let Some(name) = name.filter(lost) else {
            self.say("only the hosts of a site that is lost as a whole are folded");
            return;
        };
        if !self.fleet.unfolded.remove(&name) {
            self.fleet.unfolded.insert(name.clone());
        }
        self.refresh_fleet();
        self.hosts.select(&RowKey::Site(name));
    }

    /// Another measure of the heat map.
    fn next_metric(&mut self) {
        self.fleet.metric = self.fleet.metric.next();
        self.refresh_fleet();
    }

    /// Another order of the hosts.
    pub(crate) fn order_hosts(&mut self) {
        let (order, name) = self.fleet.order.next();
        self.fleet.order = order;
        self.refresh_fleet();
        self.say(format!("hosts {name}"));
    }

    /// Sends a command about hosts.
    pub(crate) fn command(&mut self, command: Command) -> Vec<Effect> {
        vec![self.ask(Request::Command(command), Pending::Command).1]
    }

    /// Cordons the host, or lets it take containers again.
    fn cordon(&mut self) -> Vec<Effect> {
        let Some(Targets { name, hosts, .. }) = self.targets() else { return Vec::new() };
        let active = hosts
            .first()
            .and_then(|id| self.world.hosts.get(id))
            .is_none_or(|h| matches!(h.record.duty, Duty::Active));
        if active {
            self.say(format!("sending: longshore hosts cordon {name}"));
            self.command(Command::Cordon { hosts })
        } else {
            self.undrain()
        }
    }

    /// Lets the host take containers again.
    fn undrain(&mut self) -> Vec<Effect> {
        let Some(Targets { name, hosts, .. }) = self.targets() else { return Vec::new() };
        self.say(format!("sending: longshore hosts undrain {name}"));
        self.command(Command::Undrain { hosts })
    }

    /// Asks whether the host shall be emptied: says what moves and what is tied to it.
    fn ask_drain(&mut self) {
        let Some(Targets { name, hosts, .. }) = self.targets() else { return };
        let held = hosts.first().map_or_else(Vec::new, |id| hosts::held(&self.world, id));
        let (tied, free): (Vec<Held>, Vec<Held>) = held.into_iter().partition(|h| h.tied);
        let mut body = vec![match sum(&free) {
            0 => format!("{name} takes no new containers, and nothing on it moves by itself."),
            1 => format!("1 container moves to another host: {}.", names(&free)),
            n => format!("{n} containers move to other hosts: {}.", names(&free)),
        }];
        if !tied.is_empty() {
            let stay = if sum(&tied) == 1 { "1 is tied to it and stays" } else { "are tied to it and stay" };
            let stay = if sum(&tied) == 1 { stay.to_owned() } else { format!("{} {stay}", sum(&tied)) };
            body.push(format!(
                "{stay} unless you force it: {}. What it keeps on this host stays behind.",
                names(&tied)
            ));
        }
        body.push("Each new container serves before the old one ends.".to_owned());
        body.push(format!("The same: longshore hosts drain {name}"));
        let place = self.place();
        let act = |force| Then::Do(Box::new(Command::Drain { hosts: hosts.clone(), force }));
        let mut buttons = vec![(format!("Drain {name}{place}"), act(false))];
        if !tied.is_empty() {
            buttons.push((format!("Drain {name}{place}, tied ones too"), act(true)));
        }
        self.mode = Mode::Dialog(Dialog::ask(format!("Drain {name}?"), body, buttons, self.now));
    }

    /// Asks for the name of a lost host or site whose containers shall be replaced now.
    fn ask_give_up(&mut self) {
        let Some(Targets { name, hosts, site }) = self.targets() else { return };
        let held: u32 =
            hosts.iter().filter_map(|id| self.world.hosts.get(id)).map(|h| h.taken.containers).sum();
        let what = if site {
            format!("site {name} ({})", text::count(hosts.len() as u64, "host"))
        } else {
            format!("host {name}")
        };
        let since =
            hosts.first().and_then(|id| self.world.hosts.get(id)).map(|h| hosts::stands(h, self.now).1);
        let flag = if site { "--site " } else { "" };
        let body = vec![
            format!("The {what} does not answer ({}).", since.unwrap_or_default()),
            format!(
                "{} on record there: replaced elsewhere now, whatever their pools' rules say. If it comes back, what it \
                 still runs is surplus and is removed; what was written there alone is lost.",
                text::count(u64::from(held), "container")
            ),
            format!("The same: longshore hosts give-up {flag}{name}"),
            format!("Type {name} to go on:"),
        ];
        let act = Then::Typed(name.clone(), Box::new(Command::GiveUp { hosts }));
        let label = format!("Replace what {name} held{}", self.place());
        let mut dialog = Dialog::ask(format!("Give {name} up?"), body, vec![(label, act)], self.now);
        dialog.input = Some(crate::tui::kit::input::Input::default());
        self.mode = Mode::Dialog(dialog);
    }

    /// ` in PROD`, or nothing.
    pub(super) fn place(&self) -> String {
        match self.settings.environment.as_str() {
            "" => String::new(),
            name => format!(" in {name}"),
        }
    }

    /// Asks why the slot under the cursor is where it is, or where one more of the pool would go.
    pub(crate) fn ask_why(&mut self) -> Vec<Effect> {
        let (pool, slot) = match self.top() {
            PaneId::Pools => {
                let Some(id) = self.pool().cloned() else { return Vec::new() };
                let waits = self.world.pool(&id).and_then(|p| {
                    p.slots.iter().find(|s| matches!(s.status, SlotStatus::Waiting(_)) && s.host.is_none())
                });
                (id, waits.map(|s| s.slot))
            }
            _ => match self.at_hand().cursor.at.clone() {
                Some(RowKey::Slot(pool, slot)) => (pool, Some(slot)),
                _ => return Vec::new(),
            },
        };
        let name = slot.map_or_else(|| pool.to_string(), |s| format!("{pool}.{s}"));
        self.say(format!("asking why {name} is placed as it is"));
        let query = Query::Why { pool, slot, strategy: None };
        vec![self.ask(Request::Query(query), Pending::Why(name)).1]
    }

    /// The command line that does what a verb would do to a host.
    pub(crate) fn host_command(&self, id: &HostId) -> String {
        let Some(host) = self.world.hosts.get(id) else { return "longshore hosts".to_owned() };
        let verb = match host.state_at(self.now) {
            HostState::Lost => "give-up",
            HostState::Cordoned | HostState::Draining | HostState::Drained => "undrain",
            HostState::Ready | HostState::Joining => "drain",
        };
        format!("longshore hosts {verb} {id}")
    }

    /// The lines of the banner: a question of the engine that waits for its answer, at most two.
    pub fn banner(&self) -> Vec<String> {
        let shown = self.views.is_empty()
            || matches!(self.top(), PaneId::Hosts | PaneId::Heat | PaneId::Sites | PaneId::OnHost);
        let Some(loss) = self.world.mass_loss.as_ref().filter(|_| shown) else { return Vec::new() };
        let columns = usize::from(self.size.0).saturating_sub(2);
        let wrapped = |short| crate::tui::kit::paint::wrap(&hosts::mass_loss(loss, short), columns);
        let mut lines = wrapped(false);
        if lines.len() > 2 {
            lines = wrapped(true);
        }
        if lines.len() > 2 {
            let rest = lines.split_off(1).join(" ");
            lines.push(text::fit(&rest, columns).into_owned());
        }
        lines
    }

    /// Title of the view of one host's containers.
    pub(crate) fn on_host_title(&self, id: &HostId) -> String {
        let state =
            self.world.hosts.get(id).map_or_else(|| "gone".to_owned(), |h| hosts::stands(h, self.now).1);
        let age = units::ago(self.now.since(self.world.at));
        let age =
            if self.now.since(self.world.at) >= crate::tui::draw::DATA_OLD_MS { age } else { String::new() };
        format!("Containers of {id}, {state} {age}").trim_end().to_owned()
    }
}

fn sum(held: &[Held]) -> u32 {
    held.iter().map(|h| h.count).sum()
}

/// `8 of feed/web, 4 of pay/api and 3 pools more`.
fn names(held: &[Held]) -> String {
    let first: Vec<String> = held.iter().take(6).map(|h| format!("{} of {}", h.count, h.pool)).collect();
    let more = held.len().saturating_sub(first.len());
    let more =
        if more > 0 { format!(" and {} more", text::count(more as u64, "pool")) } else { String::new() };
    format!("{}{more}", first.join(", "))
}
