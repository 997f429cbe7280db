//! Dialogs: a question, Cancel with the focus, and buttons that name the act.

use ratatui::crossterm::event::KeyCode;

use crate::base::clock::Millis;
use crate::base::ids::{ContainerId, HostId, OpId, PoolId};
use crate::model::command::{Busy, Change, Command};
use crate::model::query::Request;
use crate::tui::app::staged::Scale;
use crate::tui::app::{App, Mode, Pending};
use crate::tui::effect::Effect;
use crate::tui::keys::Key;
use crate::tui::kit::input::Input;

/// A question ignores Enter for so long: what is typed ahead must not answer what nobody has read.
pub const DEAF_MS: u64 = 300;

/// What a button does.
#[derive(Clone, Debug, PartialEq)]
pub enum Then {
    /// Nothing.
    Cancel,
    /// End the console.
    Quit,
    /// Stage the number in the field.
    Stage(PoolId, u32),
    /// Send a scale once the name has been typed.
    Named(Scale, String),
    /// Send a scale.
    Send(Scale),
    /// Cancel an operation.
    CancelOp(OpId),
    /// Send a command.
    Do(Box<Command>),
    /// Send a command once the name has been typed.
    Typed(String, Box<Command>),
    /// Open a shell.
    Shell(HostId, ContainerId),
}

/// A question.
#[derive(Clone, Debug, PartialEq)]
pub struct Dialog {
    /// What it is about.
    pub title: String,
    /// What to know.
    pub body: Vec<String>,
    /// A text field.
    pub input: Option<Input>,
    /// The field still holds what it was opened with: the first character replaces it.
    pub fresh: bool,
    /// Buttons; the first is Cancel.
    pub buttons: Vec<(String, Then)>,
    /// The button with the focus.
    pub focus: usize,
    /// When it was opened.
    pub opened: Millis,
    /// Why the last answer was not taken.
    pub error: Option<String>,
}

impl Dialog {
    /// A question with these buttons beside Cancel.
    pub fn ask(
        title: impl Into<String>,
        body: Vec<String>,
        buttons: Vec<(String, Then)>,
        now: Millis,
    ) -> Dialog {
        let mut all = vec![("Cancel".to_owned(), Then::Cancel)];
        all.extend(buttons);
        let title = title.into();
        Dialog { title, body, input: None, fresh: false, buttons: all, focus: 0, opened: now, error: None }
    }

    /// "Set to N".
    pub fn set_to(pool: &PoolId, want: u32, now: Millis) -> Dialog {
        let body = vec!["N for exactly N, +N for more, -N for fewer, xF for F times as many".to_owned()];
        let act = Then::Stage(pool.clone(), want);
        let mut dialog = Dialog::ask(
            format!("Set the number of {pool} (now {want})"),
            body,
            vec![("Stage it".to_owned(), act)],
            now,
        );
        dialog.input = Some(Input::with(want.to_string()));
        dialog.fresh = true;
        dialog.focus = 1;
        dialog
    }

    /// Asks for the pool's name.
    pub fn name(scale: Scale, name: String, environment: &str, now: Millis) -> Dialog {
        let place = if environment.is_empty() { String::new() } else { format!(" in {environment}") };
        let body = vec![
            format!("This sets {} from {} to {}{place}.", scale.pool, scale.from, scale.to),
            format!("Type {name} to go on:"),
        ];
        let label = format!("Set {} to {}{place}", scale.pool, scale.to);
        let title = format!("{} {}→{}", scale.pool, scale.from, scale.to);
        let mut dialog = Dialog::ask(title, body, vec![(label, Then::Named(scale, name))], now);
        dialog.input = Some(Input::default());
        dialog
    }

    /// Somebody else's operation runs on the pool.
    pub fn busy(scale: &Scale, op: OpId, by: &str, text: &str, now: Millis) -> Dialog {
        let by = crate::base::text::safe(by).into_owned();
        let with = |busy| Then::Send(Scale { busy, ..scale.clone() });
        let body = vec![
            crate::base::text::safe(text).into_owned(),
            format!(
                "{op} by {by} runs on {} now. What shall become of {}→{}?",
                scale.pool, scale.from, scale.to
            ),
        ];
        let buttons = vec![
            (format!("Queue behind {op}"), with(Busy::Queue)),
            (format!("Replace {by}'s {op}"), with(Busy::Replace)),
        ];
        Dialog::ask(format!("{} is busy", scale.pool), body, buttons, now)
    }
}

impl App {
    /// A key while a dialog is open.
    pub(crate) fn dialog_key(&mut self, mut dialog: Dialog, key: Key) -> Vec<Effect> {
        dialog.error = None;
        let last = dialog.buttons.len().saturating_sub(1);
        match key.code {
            KeyCode::Esc => return Vec::new(),
            KeyCode::Enter => return self.dialog_enter(dialog),
            KeyCode::Tab | KeyCode::Right => {
                dialog.focus = if dialog.focus >= last { 0 } else { dialog.focus + 1 }
            }
            KeyCode::BackTab | KeyCode::Left => {
                dialog.focus = dialog.focus.checked_sub(1).unwrap_or(last);
            }
            _ => {
                let fresh = std::mem::take(&mut dialog.fresh);
                if let Some(input) = &mut dialog.input {
                    if fresh && key.typed().is_some() {
                        input.text.clear();
                    }
                    input.key(key);
                } else {
                    dialog.fresh = fresh;
                }
            }
        }
        self.mode = Mode::Dialog(dialog);
        Vec::new()
    }

    fn dialog_enter(&mut self, mut dialog: Dialog) -> Vec<Effect> {
        let typed = dialog.input.as_ref().map(|i| i.text.trim().to_owned());
        // A field with a name in it is an answer of its own: Enter there means the act, checked against the name.
        let mut focus = dialog.focus;
        if focus == 0 && typed.as_ref().is_some_and(|t| !t.is_empty()) {
            focus = dialog.buttons.len() - 1;
        }
        let Some((_, then)) = dialog.buttons.get(focus).cloned() else { return Vec::new() };
        let staging = matches!(then, Then::Stage(..));
        if !staging && self.now.since(dialog.opened) < DEAF_MS {
            self.mode = Mode::Dialog(dialog);
            return Vec::new();
        }
        match then {
            Then::Cancel => self.say("nothing was sent"),
            Then::Quit => return vec![Effect::Quit],
            Then::Stage(pool, want) => {
                let to = typed.as_deref().unwrap_or("").parse::<Change>().and_then(|c| c.apply(want));
                return match to {
                    Ok(to) if self.pool() == Some(&pool) => self.stage_to(to, None),
                    Ok(_) => {
                        self.warn(format!("the cursor is not on {pool} any more: nothing was staged"), None);
                        Vec::new()
                    }
                    Err(fault) => {
                        dialog.error = Some(fault.to_string());
                        self.mode = Mode::Dialog(dialog);
                        Vec::new()
                    }
                };
            }
            Then::Named(scale, name) => {
                if typed.as_deref() == Some(name.as_str()) {
                    return self.send(Scale { confirm: Some(name), ..scale });
                }
                dialog.error = Some(format!("that is not {name}"));
                self.mode = Mode::Dialog(dialog);
            }
            Then::Send(scale) => return self.send(scale),
            Then::Do(command) => return self.command(*command),
            Then::Typed(name, command) => {
                if typed.as_deref() == Some(name.as_str()) {
                    return self.command(*command);
                }
                dialog.error = Some(format!("that is not {name}"));
                self.mode = Mode::Dialog(dialog);
            }
            Then::CancelOp(op) => {
                let request = Request::Command(Command::Cancel { op });
                return vec![self.ask(request, Pending::Command).1];
            }
            Then::Shell(host, container) => return vec![Effect::Exec { host, container }],
        }
        Vec::new()
    }
}
