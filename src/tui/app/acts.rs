//! What each verb does.

use crate::base::text::safe;
use crate::model::command::{Command, Target};
use crate::model::logs::LogTarget;
use crate::model::query::{Query, Request};
use crate::model::world::World;
use crate::tui::app::dialog::{Dialog, Then};
use crate::tui::app::palette::Palette;
use crate::tui::app::{App, Field, Mode, Pending, View};
use crate::tui::effect::Effect;
use crate::tui::kit::input::Input;
use crate::tui::panes::rows::{Listed, RowKey};
use crate::tui::panes::{PaneId, pools as pools_pane};
use crate::tui::theme::{Depth, Role};
use crate::tui::verbs::Act;
use crate::view::{describe, ops, units};

impl App {
    /// Does what a verb says. Whether it applies was asked before.
    pub(crate) fn act(&mut self, act: Act) -> Vec<Effect> {
        if let (PaneId::Logs, Act::Move(..0) | Act::Half(..0) | Act::Page(..0) | Act::Top) = (self.top(), act)
        {
            // The pane on the home screen is always live; scrolling up means to read.
            return self.logs(false);
        }
        match act {
            Act::Move(by) => self.step(i64::from(by)),
            Act::Half(by) => self.step(i64::from(by) * (self.page() / 2).max(1)),
            Act::Page(by) => self.step(i64::from(by) * self.page()),
            Act::Side(by) => self.heat_move(0, i64::from(by)),
            Act::Top => self.step(i64::MIN / 2),
            Act::Bottom => self.step(i64::MAX / 2),
            Act::Focus(by) => return self.focus_next(by),
            Act::Goto(pane) => return self.goto(pane),
            Act::Open => return self.open(),
            Act::Back => return self.back(),
            Act::Quit => return self.quit(),
            Act::Cancel => {}
            Act::Filter => self.mode = Mode::Field(Field::Filter, Input::with(self.filter())),
            Act::Search => self.mode = Mode::Field(Field::Search, Input::default()),
            Act::Regex => self.mode = Mode::Field(Field::Regex, Input::default()),
            Act::Match(by) => self.find(by),
            Act::Palette => self.mode = Mode::Palette(Palette::default()),
            Act::Help => self.mode = Mode::Help(0),
            Act::Stage(by) => return self.stage_by(by),
            Act::SetTo if self.staged.is_some() => return self.next_strategy(),
            Act::SetTo => self.ask_number(),
            Act::Send => return self.send_staged(),
            Act::Undo => return self.undo(),
            Act::Restart => self.ask_restart(),
            Act::Logs | Act::Previous => return self.logs(act == Act::Previous),
            Act::Inspect => return self.inspect(),
            Act::Describe => self.describe(),
            Act::Shell => self.ask_shell(),
            Act::Yank => return self.yank(),
            Act::All => return self.goto(PaneId::AllOperations),
            Act::CancelOp => self.ask_cancel_op(),
            Act::OpenHost
            | Act::Fold
            | Act::Cordon
            | Act::Drain
            | Act::Undrain
            | Act::GiveUp
            | Act::Metric => return self.host_act(act),
            Act::Why => return self.ask_why(),
            Act::Order if self.top() == PaneId::Hosts => self.order_hosts(),
            Act::Order => self.order_pools(),
            Act::Reload => return self.reload(),
            Act::Mouse => return self.toggle_mouse(),
            Act::Stamps | Act::Wrap | Act::Json | Act::Follow => self.log_switch(act),
            Act::Since(minutes) => return self.since(minutes),
            Act::Save => return self.save(),
            Act::Look => return self.look_into(),
            Act::Switch
            | Act::RunRule
            | Act::PauseRun
            | Act::StopRun
            | Act::RetryRun
            | Act::Raise
            | Act::Choose
            | Act::ConfirmDeletes => return self.run_act(act),
            Act::Prewarm | Act::ImageFirst | Act::RetryPrewarm => return self.prewarm_act(act),
            Act::Suspend => return vec![Effect::Suspend],
            Act::Redraw => return vec![Effect::Redraw],
        }
        self.more_rows().into_iter().collect()
    }

    fn toggle_mouse(&mut self) -> Vec<Effect> {
        self.mouse = !self.mouse;
        vec![Effect::Mouse(self.mouse)]
    }

    /// Asks for the number of the pool under the cursor.
    fn ask_number(&mut self) {
        if let Some((pool, want, _)) = self.chosen() {
            self.mode = Mode::Dialog(Dialog::set_to(&pool, want, self.now));
        }
    }

    /// Asks whether the containers of the pool shall be replaced by fresh ones.
    fn ask_restart(&mut self) {
        let Some((id, ..)) = self.chosen() else { return };
        let Some(view) = self.world.pool(&id) else { return };
        let spec = &view.pool.spec;
        let pause = match spec.update_delay_ms {
            0 => String::new(),
            ms => format!(", with a pause of {} between them", crate::base::text::took(ms)),
        };
        let count = crate::base::text::count(u64::from(view.pool.target()), "container");
        let batch = spec.update_parallelism.clamp(1, view.pool.target().max(1));
        let body = vec![
            format!(
                "{count} of {id} are replaced by fresh ones of the same specification: {batch} at a time{pause}."
            ),
            format!("The same: longshore restart {id}"),
        ];
        let act = Then::Do(Box::new(Command::Restart { target: Target::Pool(id.clone()) }));
        let buttons = vec![(format!("Restart {id}{}", self.place()), act)];
        self.mode = Mode::Dialog(Dialog::ask(format!("Restart {id}?"), body, buttons, self.now));
    }

    fn order_pools(&mut self) {
        let (order, name) = self.order.next();
        self.order = order;
        self.refresh();
        self.say(format!("pools {name}"));
    }

    /// Lines of the list or text on top.
    fn page(&self) -> i64 {
        let whole = i64::from(self.size.1).saturating_sub(6);
        if self.views.is_empty() && self.is_wide() { (whole / 2).max(1) } else { whole.max(1) }
    }

    fn step(&mut self, by: i64) {
        let page = usize::try_from(self.page()).unwrap_or(1);
        match self.top() {
            PaneId::Pools => {
                if self.pools.step(by) {
                    self.moved();
                }
            }
            PaneId::Containers => drop(self.containers.step(by)),
            PaneId::Operations | PaneId::AllOperations => drop(self.operations.step(by)),
            PaneId::Hosts => drop(self.hosts.step(by)),
            PaneId::OnHost => drop(self.fleet.on_host.step(by)),
            PaneId::Sites => drop(self.fleet.sites.step(by)),
            PaneId::Access => drop(self.fleet.access.step(by)),
            PaneId::Advice => drop(self.fleet.advice.step(by)),
            PaneId::Heat => self.heat_move(by, 0),
            PaneId::Journal => drop(self.journal.step(by)),
            PaneId::HomeReplication
            | PaneId::Registries
            | PaneId::Repositories
            | PaneId::Tags
            | PaneId::Replication
            | PaneId::Run => self.step_images(by),
            PaneId::Logs => {}
            PaneId::FullLogs | PaneId::Text => match self.views.last_mut() {
                Some(View::Logs(view)) => view.scroll(by),
                Some(View::Text(view)) => view.scroll(by, page),
                _ => {}
            },
        }
    }

    /// The cursor is on another pool: what was staged for the one before is dropped, aloud.
    pub(crate) fn moved(&mut self) {
        if let Some(staged) = self.staged.take() {
            if self.pool() == Some(&staged.pool) {
                self.staged = Some(staged);
            } else {
                self.warn(format!("{} {}→{} was not sent", staged.pool, staged.from, staged.to), None);
            }
        }
        self.containers.cursor = crate::tui::kit::list::Cursor::default();
        self.containers.filter.clear();
        self.refresh_containers();
    }

    fn focus_next(&mut self, by: i32) -> Vec<Effect> {
        const ORDER: [PaneId; 4] = [PaneId::Pools, PaneId::Containers, PaneId::Logs, PaneId::Operations];
        let at = ORDER.iter().position(|p| *p == self.focus).unwrap_or(0);
        let to = if by > 0 { at + 1 } else { at + ORDER.len() - 1 };
        self.goto(ORDER[to % ORDER.len()])
    }

    /// Closes all views over home.
    pub(crate) fn home(&mut self) -> Vec<Effect> {
        let mut effects = Vec::new();
        while !self.views.is_empty() {
            effects.extend(self.pop());
        }
        effects
    }

    fn goto(&mut self, pane: PaneId) -> Vec<Effect> {
        let mut effects = self.home();
        match pane {
            PaneId::Pools | PaneId::Containers | PaneId::Logs | PaneId::Operations => self.focus = pane,
            PaneId::Hosts => self.views.push(View::Hosts),
            PaneId::Heat => self.views.extend([View::Hosts, View::Heat]),
            PaneId::Sites => self.views.push(View::Sites),
            PaneId::Access => self.views.push(View::Access),
            PaneId::Advice => {
                self.fleet.advised = None;
                self.views.push(View::Advice);
            }
            PaneId::AllOperations => self.views.push(View::Operations),
            PaneId::Journal => {
                self.views.push(View::Journal);
                effects.push(self.ask_journal());
            }
            PaneId::HomeReplication => {
                self.images.operations_shown = false;
                self.focus = PaneId::Operations;
            }
            PaneId::Registries => self.views.push(View::Registries),
            PaneId::Replication => self.views.push(View::Replication),
            PaneId::FullLogs
            | PaneId::Text
            | PaneId::OnHost
            | PaneId::Repositories
            | PaneId::Tags
            | PaneId::Run => {}
        }
        self.refresh_fleet();
        self.refresh_images();
        effects
    }

    fn open(&mut self) -> Vec<Effect> {
        if self.staged.is_some() { self.send_staged() } else { self.goto(PaneId::Containers) }
    }

    fn back(&mut self) -> Vec<Effect> {
        if let Some(staged) = self.staged.take() {
            self.say(format!("{} stays at {}: nothing was sent", staged.pool, staged.from));
            return Vec::new();
        }
        if !self.filter().is_empty() {
            self.apply(Field::Filter, "");
            return Vec::new();
        }
        if let Some(View::Logs(view)) = self.views.last_mut()
            && !view.regex.is_empty()
        {
            view.regex.clear();
            view.buf.set_filter(None);
            return Vec::new();
        }
        if self.views.is_empty() {
            self.focus = PaneId::Pools;
            return Vec::new();
        }
        self.pop()
    }

    fn quit(&mut self) -> Vec<Effect> {
        if !self.views.is_empty() || self.focus != PaneId::Pools || self.staged.is_some() {
            return self.back();
        }
        let engine = &self.world.engine;
        // Nothing ends with this console, or there is nothing yet that could.
        if engine.attached || is_idle(&self.world) {
            return vec![Effect::Quit];
        }
        let body = if engine.simulated {
            vec!["The practice fleet ends with the console.".to_owned()]
        } else {
            vec![
                "The engine runs inside this console. Containers run on without it,".to_owned(),
                "but nobody replaces those that fail until an engine runs again.".to_owned(),
            ]
        };
        let buttons = vec![("Quit the console".to_owned(), Then::Quit)];
        self.mode = Mode::Dialog(Dialog::ask("Quit?", body, buttons, self.now));
        Vec::new()
    }

    fn find(&mut self, by: i32) {
        let page = usize::try_from(self.page()).unwrap_or(1);
        let (found, search) = match self.views.last_mut() {
            Some(View::Logs(view)) => (view.find(by, page), view.search.clone()),
            Some(View::Text(view)) => (view.find(if by == 0 { 1 } else { by }, page), view.search.clone()),
            _ => return,
        };
        if search.is_empty() {
            self.say("nothing is searched for: / searches");
        } else if !found {
            self.say(format!("{search:?} does not stand further in this direction"));
        }
    }

    fn logs(&mut self, previous: bool) -> Vec<Effect> {
        if let Some(View::Logs(view)) = self.views.last() {
            let LogTarget::Slot(pool, slot) = view.target.clone() else {
                self.warn("only the log of one container of a pool has one before it", None);
                return Vec::new();
            };
            let name = format!("{pool}.{slot}, the container before");
            return self.open_logs(LogTarget::Previous(pool, slot), name);
        }
        let key = match self.top() {
            PaneId::Containers | PaneId::OnHost => self.at_hand().current().map(|i| i.key.clone()),
            _ => self.pool().cloned().map(RowKey::Pool),
        };
        match key {
            Some(RowKey::Pool(pool)) => self.open_logs(LogTarget::Pool(pool.clone()), pool.to_string()),
            Some(RowKey::Slot(pool, slot)) if previous => {
                let name = format!("{pool}.{slot}, the container before");
                self.open_logs(LogTarget::Previous(pool, slot), name)
            }
            Some(RowKey::Slot(pool, slot)) => {
                let name = format!("{pool}.{slot}");
                self.open_logs(LogTarget::Slot(pool, slot), name)
            }
            Some(RowKey::Container(host, id)) if !previous => {
                let name = self.at_hand().current().map_or_else(String::new, |i| i.row.name.clone());
                self.open_logs(LogTarget::Container(host, id), name)
            }
            _ => {
                self.warn("choose one of its containers in pane 2 first", None);
                Vec::new()
            }
        }
    }

    fn inspect(&mut self) -> Vec<Effect> {
        let Some(row) = self.at_hand().current().map(|i| i.row.clone()) else { return Vec::new() };
        let (Some(host), Some(container)) = (row.host, row.container) else { return Vec::new() };
        let pending = Pending::Inspect(host.clone(), container.clone());
        self.say(format!("asking {host} about {}", row.name));
        vec![self.ask(Request::Query(Query::Inspect { host, container }), pending).1]
    }

    /// The object under the cursor of the view on top.
    fn under_cursor(&self) -> Option<RowKey> {
        match self.top() {
            PaneId::Pools | PaneId::Logs => self.pools.cursor.at.clone(),
            PaneId::Containers | PaneId::OnHost => self.at_hand().cursor.at.clone(),
            PaneId::Access => self.fleet.access.cursor.at.clone(),
            PaneId::Advice => self.fleet.advice.cursor.at.clone(),
            PaneId::Operations | PaneId::AllOperations => self.operations.cursor.at.clone(),
            PaneId::Hosts | PaneId::Heat | PaneId::Sites => self.host_or_site(),
            PaneId::Journal => self.journal.cursor.at.clone(),
            PaneId::HomeReplication
            | PaneId::Registries
            | PaneId::Repositories
            | PaneId::Tags
            | PaneId::Replication
            | PaneId::Run => self.row_at_hand(),
            PaneId::FullLogs => None,
            PaneId::Text => match self.views.last() {
                Some(View::Text(view)) => view.about.clone(),
                _ => None,
            },
        }
    }

    pub(crate) fn describe(&mut self) {
        let Some(key) = self.under_cursor() else { return };
        let lines = self.described(&key);
        let title = match &key {
            RowKey::Pool(id) => id.to_string(),
            RowKey::Group(origin, name) => format!("{name} ({}, not ours)", origin.word()),
            RowKey::Slot(pool, slot) => format!("{pool}.{slot}"),
            RowKey::Container(host, id) => format!("{} on {host}", id.short()),
            RowKey::Host(id) => id.to_string(),
            RowKey::Site(name) => format!("site {name}"),
            RowKey::Advice(_) => "Advice".to_owned(),
            RowKey::Access(_) => "Access".to_owned(),
            RowKey::Op(id) => id.to_string(),
            RowKey::Entry(seq) => format!("line {seq} of the journal"),
            RowKey::Registry(name) => format!("registry {name}"),
            RowKey::Repository(path) => path.to_string(),
            RowKey::Tag(tag) => self.tag_at_hand().map_or_else(|| tag.to_string(), |(name, _)| name),
            RowKey::Line(line) => line.to_string(),
            RowKey::Rule(name) => format!("rule {name}"),
            RowKey::RunTag(_, path, tag) => format!("{path}:{tag}"),
            RowKey::Blob(_, digest) => format!("blob {}", digest.short()),
        };
        let command = self.command_for(&key);
        self.show(title, Some(key), command, lines);
    }

    /// All that is known of an object.
    pub(crate) fn described(&self, key: &RowKey) -> Vec<String> {
        let (world, now) = (&self.world, self.now);
        match key {
            RowKey::Pool(id) => describe::pool(world, id, now),
            RowKey::Slot(pool, slot) => describe::slot(world, pool, *slot, now),
            RowKey::Container(host, id) => describe::container(world, host, id, now),
            RowKey::Host(id) => describe::host(world, id, now),
            RowKey::Site(name) => describe::site(world, name, now),
            RowKey::Advice(_) => match self.fleet.advice.all().iter().find(|a| a.key() == *key) {
                Some(a) => vec![
                    format!("risk: {} ({})", a.risk, a.severity.word()),
                    format!("about: {}", a.subject),
                    format!("evidence: {}", a.evidence),
                    format!("command: {}", a.command),
                ],
                None => vec!["this risk is gone".to_owned()],
            },
            RowKey::Access(command) => vec![format!("command: {command}")],
            RowKey::Op(id) => describe::operation(world, *id, now),
            RowKey::Group(..) => match self.pools.current() {
                Some(pools_pane::Item::Group(g)) => {
                    let members =
                        g.members.iter().map(|(host, id)| format!("container: {} on {host}", id.short()));
                    let made = format!("made-by: {} (not ours: shown, never touched)", g.origin.word());
                    std::iter::once(made).chain(members).collect()
                }
                _ => vec!["gone".to_owned()],
            },
            RowKey::Registry(_)
            | RowKey::Repository(_)
            | RowKey::Tag(_)
            | RowKey::Line(_)
            | RowKey::Rule(_)
            | RowKey::RunTag(..)
            | RowKey::Blob(..) => self.described_image(key),
            RowKey::Entry(seq) => {
                self.journal.all().iter().find(|e| e.seq == *seq).map_or_else(Vec::new, |e| {
                    let time = format!("time: {} UTC", units::clock_millis(e.at.0));
                    let mut out =
                        vec![time, format!("what: {}", e.what.word()), format!("by: {}", safe(&e.by))];
                    out.extend(e.op.map(|op| format!("operation: {op}")));
                    out.extend(e.pool.as_ref().map(|p| format!("pool: {p}")));
                    out.extend(e.host.as_ref().map(|h| format!("host: {h}")));
                    out.push(format!("text: {}", safe(&e.text)));
                    out
                })
            }
        }
    }

    fn ask_shell(&mut self) {
        let Some(row) = self.at_hand().current().map(|i| i.row.clone()) else { return };
        let (Some(host), Some(container)) = (row.host, row.container) else { return };
        let place = match self.settings.environment.as_str() {
            "" => String::new(),
            name => format!(" in {name}"),
        };
        let body =
            vec![format!("A shell in {} on {host}{place}. `exit` or Ctrl-] comes back here.", row.name)];
        let buttons = vec![(format!("Open a shell{place}"), Then::Shell(host, container))];
        self.mode = Mode::Dialog(Dialog::ask(format!("Shell in {}", row.name), body, buttons, self.now));
    }

    fn ask_cancel_op(&mut self) {
        let Some(op) = self.operations.current().cloned() else { return };
        let buttons = vec![(format!("Cancel {}", op.id), Then::CancelOp(op.id))];
        let then = self.when_cancelled(op.id).unwrap_or("has not begun; it will not run");
        let body = vec![format!("{} by {}: {then}.", op.what, op.by)];
        let mut dialog = Dialog::ask(format!("Cancel {}?", op.id), body, buttons, self.now);
        "Keep it".clone_into(&mut dialog.buttons[0].0);
        self.mode = Mode::Dialog(dialog);
    }

    fn reload(&mut self) -> Vec<Effect> {
        if self.page_state().is_some() {
            return self.ask_page(true).into_iter().collect();
        }
        if self.top() == PaneId::Journal { vec![self.ask_journal()] } else { vec![self.look()] }
    }

    fn log_switch(&mut self, act: Act) {
        let Some(View::Logs(view)) = self.views.last_mut() else { return };
        match act {
            Act::Stamps => view.stamps = !view.stamps,
            Act::Wrap => view.wrap = !view.wrap,
            Act::Json => view.json = !view.json,
            _ if view.bottom.is_some() => view.bottom = None,
            _ => view.pause_at(view.buf.len().saturating_sub(1)),
        }
    }

    fn save(&mut self) -> Vec<Effect> {
        let stamp: String = units::clock_seconds(self.now.0).chars().filter(char::is_ascii_digit).collect();
        let (name, text) = match self.views.last() {
            Some(View::Logs(view)) => {
                let rows = (0..view.buf.len()).filter_map(|i| view.buf.get(i));
                let line = |r: &crate::tui::logbuf::Row| match r.what {
                    crate::tui::logbuf::What::Line { lane, .. } => {
                        let time = units::clock_millis(r.at.0);
                        format!("{time} {} {}\n", view.buf.lane(lane), r.text())
                    }
                    _ => format!("{}\n", r.text()),
                };
                (view.name.clone(), rows.map(line).collect())
            }
            Some(View::Text(view)) => (view.title.clone(), view.lines.join("\n") + "\n"),
            _ => return Vec::new(),
        };
        let fine = |c: char| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '-' };
        let name: String = name.chars().map(fine).take(60).collect();
        vec![Effect::SaveFile { name: format!("longshore-{name}-{stamp}.txt"), text }]
    }

    fn yank(&mut self) -> Vec<Effect> {
        let command = match (&self.staged, self.views.last()) {
            (Some(s), _) => s.command(),
            (None, Some(View::Logs(view))) => log_command(&view.target),
            (None, Some(View::Text(view))) => view.command.clone(),
            _ => self.under_cursor().map_or_else(|| self.view_command().to_owned(), |k| self.command_for(&k)),
        };
        self.foot =
            Some(crate::tui::app::Foot { text: format!("copied: {command}"), hint: None, role: Role::Ok });
        vec![Effect::Copy(command)]
    }

    fn view_command(&self) -> &'static str {
        match self.top() {
            PaneId::Hosts | PaneId::Heat | PaneId::Sites => "longshore hosts",
            PaneId::Advice => "longshore advice",
            PaneId::Access => "longshore project",
            PaneId::Operations | PaneId::AllOperations => "longshore ops",
            PaneId::Journal => "longshore journal",
            PaneId::Registries | PaneId::Repositories | PaneId::Tags => "longshore registry ls",
            PaneId::HomeReplication | PaneId::Replication | PaneId::Run => "longshore replicate status",
            _ => "longshore ps",
        }
    }

    fn command_for(&self, key: &RowKey) -> String {
        match key {
            RowKey::Pool(id) => match self.world.pool(id) {
                Some(view) => ops::scale_command(id, view.pool.target(), None),
                None => format!("longshore ps {id}"),
            },
            RowKey::Group(..) => "longshore ps --all".to_owned(),
            RowKey::Slot(pool, slot) => format!("longshore logs {pool}.{slot} --follow"),
            RowKey::Container(host, id) => format!("longshore inspect {host}:{}", id.short()),
            RowKey::Host(id) => self.host_command(id),
            RowKey::Site(name) if self.world.sites.get(name).is_some_and(|s| s.lost.is_some()) => {
                format!("longshore hosts give-up --site {name}")
            }
            RowKey::Site(_) => "longshore sites".to_owned(),
            RowKey::Advice(_) => match self.fleet.advice.all().iter().find(|a| a.key() == *key) {
                Some(a) => a.command.clone(),
                None => "longshore advice".to_owned(),
            },
            RowKey::Op(id) if self.is_prewarm(*id) => format!("longshore ops {id}"),
            RowKey::Access(command) => command.clone(),
            RowKey::Op(id) => format!("longshore journal --op {}", id.0),
            RowKey::Entry(_) => "longshore journal".to_owned(),
            RowKey::Registry(_)
            | RowKey::Repository(_)
            | RowKey::Tag(_)
            | RowKey::Line(_)
            | RowKey::Rule(_)
            | RowKey::RunTag(..)
            | RowKey::Blob(..) => self.image_command(key),
        }
    }

    /// How many colours the present theme was made for.
    pub(crate) fn settings_depth(&self) -> Depth {
        self.settings.depth
    }
}

fn log_command(target: &LogTarget) -> String {
    match target {
        LogTarget::Pool(pool) => format!("longshore logs {pool} --follow"),
        LogTarget::Slot(pool, slot) => format!("longshore logs {pool}.{slot} --follow"),
        LogTarget::Previous(pool, slot) => format!("longshore logs {pool}.{slot} --previous"),
        LogTarget::Container(host, id) => format!("longshore logs {host}:{} --follow", id.short()),
    }
}

/// True when an engine has come up and has nothing to see to.
fn is_idle(world: &World) -> bool {
    let is_empty = world.pools.is_empty() && world.replication.rules.is_empty() && world.prewarms.is_empty();
    let has_work = world.operations.iter().any(|op| op.ended.is_none()) || world.access.service.is_some();
    world.revision > 0 && is_empty && !has_work
}
