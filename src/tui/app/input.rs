//! Keys, pastes and the wheel: who gets them.

use ratatui::crossterm::event::KeyCode;
use regex::RegexBuilder;

use crate::tui::app::{App, Field, Mode, View};
use crate::tui::effect::Effect;
use crate::tui::keys::Key;
use crate::tui::kit::input::Input;
use crate::tui::panes::PaneId;
use crate::tui::verbs::{Act, When};

/// Ctrl-C twice within this time quits.
const TWICE_MS: u64 = 2_000;
/// Largest compiled regular expression, in bytes: a guard against one that eats the memory.
const REGEX_MAX: usize = 1 << 20;

impl App {
    pub(crate) fn key(&mut self, key: Key) -> Vec<Effect> {
        self.foot = None;
        if key == Key::ctrl('c') {
            return self.cancel();
        }
        match std::mem::replace(&mut self.mode, Mode::Normal) {
            Mode::Normal => self.verb_key(key),
            Mode::Dialog(dialog) => self.dialog_key(dialog, key),
            Mode::Palette(palette) => self.palette_key(palette, key),
            Mode::Field(field, input) => self.field_key(field, input, key),
            Mode::Help(top) => self.help_key(top, key),
        }
    }

    fn verb_key(&mut self, key: Key) -> Vec<Effect> {
        let Some(verb) = self.verbs().into_iter().find(|v| v.has(key)) else { return Vec::new() };
        if let Some(reason) = self.reason(verb.when) {
            self.warn(format!("{}: {reason}", verb.name), None);
            return Vec::new();
        }
        self.act(verb.act)
    }

    /// Why a condition does not hold; `None` when it does.
    pub fn reason(&self, when: When) -> Option<String> {
        let change = || self.settings.read_only.then(|| "this console is read-only (--read-only)".to_owned());
        let on_pool = || self.pool().is_none().then(|| "no pool of longshore is under the cursor".to_owned());
        let row =
            || self.at_hand().current().is_none().then(|| "no container is under the cursor".to_owned());
        let there = || match self.at_hand().current() {
            Some(item) if item.row.container.is_none() => Some("it has no container yet".to_owned()),
            _ => row(),
        };
        match when {
            When::Always => None,
            When::OnPool => on_pool(),
            When::ChangePool => change().or_else(on_pool),
            When::OnContainer => row(),
            When::HasContainer => there(),
            When::EnterContainer => change().or_else(there),
            When::QueuedOp => change().or_else(|| match self.operations.current() {
                Some(op) if op.status == "queued" || (!op.over && self.when_cancelled(op.id).is_some()) => None,
                _ => Some(
                    "only a queued operation, a restart, a rebalancing or a prewarm can be cancelled; scale the pool to change a running one"
                        .to_owned(),
                ),
            }),
            When::FailedPrewarm => change().or_else(|| match self.failed_prewarm() {
                Some(_) => None,
                None => Some("only a prewarm that has failed can be tried again".to_owned()),
            }),
            When::OnSlot => match self.at_hand().current().map(|i| &i.key) {
                Some(crate::tui::panes::rows::RowKey::Slot(..)) => None,
                _ => Some("no container of a pool of longshore is under the cursor".to_owned()),
            },
            When::OnHostOrSite => {
                self.host_or_site().is_none().then(|| "no host is under the cursor".to_owned())
            }
            When::ChangeHost => change().or_else(|| self.no_host(false)),
            When::LostHost => change().or_else(|| self.no_host(true)),
            When::HasRegistries => {
                self.world.registries.is_empty().then(|| "there are no registries yet".to_owned())
            }
            When::OnRow => self.row_at_hand().is_none().then(|| "nothing is under the cursor".to_owned()),
            When::ChangeRule => change().or_else(|| self.no_rule()),
            When::ChangeRun => change().or_else(|| self.no_run()),
            When::RetryRun => change().or_else(|| self.no_retry()),
            When::ReviewRun => change().or_else(|| self.no_review()),
            When::ChangeTag => change().or_else(|| self.no_tag(false)),
            When::ConflictTag => change().or_else(|| self.no_tag(true)),
            When::Staged => self.staged.is_none().then(|| "nothing is staged".to_owned()),
        }
    }

    fn cancel(&mut self) -> Vec<Effect> {
        let twice = self.cancelled.is_some_and(|at| self.now.since(at) < TWICE_MS);
        let idle = matches!(self.mode, Mode::Normal) && self.staged.is_none();
        if twice && idle {
            return vec![Effect::Quit];
        }
        self.cancelled = Some(self.now);
        self.mode = Mode::Normal;
        let dropped = self.staged.take().map(|s| format!("{} {}→{} was not sent · ", s.pool, s.from, s.to));
        self.say(format!("{}Ctrl-C again quits", dropped.unwrap_or_default()));
        Vec::new()
    }

    fn help_key(&mut self, top: usize, key: Key) -> Vec<Effect> {
        let page = usize::from(self.size.1.saturating_sub(6)).max(1);
        let top = match (key.code, key.ctrl) {
            (KeyCode::Esc | KeyCode::Enter | KeyCode::Char('q' | '?' | 'h'), false) | (KeyCode::F(1), _) => {
                return Vec::new();
            }
            (KeyCode::Down | KeyCode::Char('j'), false) => top + 1,
            (KeyCode::Up | KeyCode::Char('k'), false) => top.saturating_sub(1),
            (KeyCode::PageDown | KeyCode::Char(' '), _) | (KeyCode::Char('f' | 'd'), true) => top + page,
            (KeyCode::PageUp, _) | (KeyCode::Char('b' | 'u'), true) => top.saturating_sub(page),
            (KeyCode::Char('g') | KeyCode::Home, _) => 0,
            (KeyCode::Char('G') | KeyCode::End, _) => usize::MAX / 2,
            _ => top,
        };
        let (width, height) = self.sheet_size();
        let lines = self.help(width).len();
        self.mode = Mode::Help(top.min(lines.saturating_sub(height)));
        Vec::new()
    }

    /// Columns and rows of text inside the help sheet.
    pub fn sheet_size(&self) -> (usize, usize) {
        let width = usize::from(self.size.0.min(100)).saturating_sub(8).max(10);
        (width, usize::from(self.size.1.saturating_sub(4)).max(1))
    }

    fn field_key(&mut self, field: Field, mut input: Input, key: Key) -> Vec<Effect> {
        match key.code {
            KeyCode::Esc => {
                self.apply(field, "");
                return Vec::new();
            }
            KeyCode::Enter => {
                self.apply(field, &input.text);
                return if field == Field::Search { self.act(Act::Match(-1)) } else { Vec::new() };
            }
            _ => {
                input.key(key);
            }
        }
        if field == Field::Filter {
            self.apply(field, &input.text);
        }
        self.mode = Mode::Field(field, input);
        Vec::new()
    }

    /// Puts what was typed to use.
    pub(crate) fn apply(&mut self, field: Field, text: &str) {
        match field {
            Field::Filter => self.set_filter(text),
            Field::Search => match self.views.last_mut() {
                Some(View::Logs(view)) => text.clone_into(&mut view.search),
                Some(View::Text(view)) => text.clone_into(&mut view.search),
                _ => {}
            },
            Field::Regex => self.set_regex(text),
        }
    }

    fn set_regex(&mut self, text: &str) {
        let Some(View::Logs(view)) = self.views.last_mut() else { return };
        let built = RegexBuilder::new(text).size_limit(REGEX_MAX).build();
        match built {
            _ if text.is_empty() => view.buf.set_filter(None),
            Ok(regex) => view.buf.set_filter(Some(regex)),
            Err(_) => {
                self.warn(
                    format!("{text:?} is not a regular expression"),
                    Some("\\. stands for a dot".to_owned()),
                );
                return;
            }
        }
        text.clone_into(&mut view.regex);
        view.bottom = None;
    }

    fn set_filter(&mut self, text: &str) {
        let (now, user) = (self.now, self.settings.user.clone());
        match self.top() {
            PaneId::Pools => {
                text.clone_into(&mut self.pools.filter);
                if self.pools.settle(now, &user) {
                    self.moved();
                }
            }
            PaneId::Containers => {
                text.clone_into(&mut self.containers.filter);
                self.containers.settle(now, &user);
            }
            PaneId::Operations | PaneId::AllOperations => {
                text.clone_into(&mut self.operations.filter);
                self.operations.settle(now, &user);
            }
            PaneId::Hosts => {
                text.clone_into(&mut self.hosts.filter);
                self.hosts.settle(now, &user);
            }
            PaneId::OnHost => {
                text.clone_into(&mut self.fleet.on_host.filter);
                self.fleet.on_host.settle(now, &user);
            }
            PaneId::Sites => {
                text.clone_into(&mut self.fleet.sites.filter);
                self.fleet.sites.settle(now, &user);
            }
            PaneId::Access => {
                text.clone_into(&mut self.fleet.access.filter);
                self.fleet.access.settle(now, &user);
            }
            PaneId::Advice => {
                text.clone_into(&mut self.fleet.advice.filter);
                self.fleet.advice.settle(now, &user);
            }
            PaneId::Journal => {
                text.clone_into(&mut self.journal.filter);
                self.journal.settle(now, &user);
            }
            PaneId::HomeReplication
            | PaneId::Registries
            | PaneId::Repositories
            | PaneId::Tags
            | PaneId::Replication
            | PaneId::Run => self.filter_images(text),
            PaneId::Logs | PaneId::FullLogs | PaneId::Text | PaneId::Heat => {}
        }
    }

    /// The filter of the list on top.
    pub fn filter(&self) -> &str {
        match self.top() {
            PaneId::Pools => &self.pools.filter,
            PaneId::Containers => &self.containers.filter,
            PaneId::Operations | PaneId::AllOperations => &self.operations.filter,
            PaneId::Hosts => &self.hosts.filter,
            PaneId::OnHost => &self.fleet.on_host.filter,
            PaneId::Sites => &self.fleet.sites.filter,
            PaneId::Access => &self.fleet.access.filter,
            PaneId::Advice => &self.fleet.advice.filter,
            PaneId::Journal => &self.journal.filter,
            PaneId::HomeReplication
            | PaneId::Registries
            | PaneId::Repositories
            | PaneId::Tags
            | PaneId::Replication
            | PaneId::Run => self.images_filter(),
            PaneId::Logs | PaneId::FullLogs | PaneId::Text | PaneId::Heat => "",
        }
    }

    pub(crate) fn paste(&mut self, text: &str) -> Vec<Effect> {
        match &mut self.mode {
            Mode::Field(Field::Filter, input) => {
                input.paste(text);
                let text = input.text.clone();
                self.apply(Field::Filter, &text);
            }
            Mode::Field(_, input) => input.paste(text),
            Mode::Palette(palette) => palette.input.paste(text),
            Mode::Dialog(dialog) if dialog.input.is_some() => {
                if let Some(input) = &mut dialog.input {
                    if std::mem::take(&mut dialog.fresh) {
                        input.text.clear();
                    }
                    input.paste(text);
                }
            }
            Mode::Normal | Mode::Help(_) | Mode::Dialog(_) => {
                self.say("pasted text was ignored: no text field is open");
            }
        }
        Vec::new()
    }

    pub(crate) fn scrolled(&mut self, by: i32) -> Vec<Effect> {
        if matches!(self.mode, Mode::Normal) { self.act(Act::Move(by)) } else { Vec::new() }
    }
}
