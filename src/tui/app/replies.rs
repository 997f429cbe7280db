//! Answers of the engine: accepted, refused, shown.

use crate::base::text::safe_lines;
use crate::model::command::{Refusal, RefusalKind};
use crate::model::query::{Query, Reply, Request};
use crate::tui::app::dialog::Dialog;
use crate::tui::app::{App, Loaded, Mode, Pending, View};
use crate::tui::effect::Effect;
use crate::tui::event::Ticket;
use crate::tui::panes::rows::RowKey;
use crate::tui::panes::text::TextView;
use crate::tui::theme::Role;

/// Lines of the journal that are asked for.
const JOURNAL_LINES: u32 = 500;

impl App {
    pub(crate) fn replied(&mut self, ticket: Ticket, reply: Reply) -> Vec<Effect> {
        let Some(pending) = self.pending.remove(&ticket) else { return Vec::new() };
        match (pending, reply) {
            (Pending::Preview, Reply::Preview(preview)) => return self.previewed(ticket, Ok(*preview)),
            (Pending::Preview, Reply::Refused(r)) => return self.previewed(ticket, Err(r.to_string())),
            (Pending::Preview, Reply::Failed(f)) => return self.previewed(ticket, Err(f.to_string())),
            (Pending::Scale(scale), Reply::Refused(refusal)) => match refusal.why.clone() {
                RefusalKind::Busy { op, by } => {
                    self.foot = None;
                    self.mode = Mode::Dialog(Dialog::busy(&scale, op, &by, &refusal.text, self.now));
                }
                RefusalKind::NeedsName(name) if scale.confirm.is_none() => {
                    self.foot = None;
                    self.mode = Mode::Dialog(Dialog::name(scale, name, &self.settings.environment, self.now));
                }
                _ => self.refused(&refusal),
            },
            (Pending::Quiet, _) => {}
            (Pending::Journal, Reply::Journal(entries)) => {
                self.journal_state = Loaded::Here;
                self.journal.set(entries, self.now, &self.settings.user);
            }
            (Pending::Journal, Reply::Refused(r)) => self.journal_state = Loaded::Failed(r.to_string()),
            (Pending::Journal, Reply::Failed(f)) => self.journal_state = Loaded::Failed(f.to_string()),
            (Pending::Inspect(host, id), Reply::Inspect(json)) => {
                let command = format!("longshore inspect {host}:{}", id.short());
                let title = format!("{} on {host}, as the engine tells it", id.short());
                self.show(title, None, command, pretty(&json));
            }
            (_, Reply::Accepted(accepted)) => {
                let op = accepted.op.map(|op| format!(" ({op})")).unwrap_or_default();
                let text = crate::base::text::safe(&accepted.text).into_owned();
                self.foot =
                    Some(crate::tui::app::Foot { text: format!("{text}{op}"), hint: None, role: Role::Ok });
            }
            (_, Reply::Refused(refusal)) => self.refused(&refusal),
            (_, Reply::Failed(fault)) => self.refused(&Refusal::from(fault)),
            (_, _) => {}
        }
        Vec::new()
    }

    fn refused(&mut self, refusal: &Refusal) {
        self.foot = Some(crate::tui::app::Foot {
            text: format!("not done: {refusal}"),
            hint: refusal.hint.as_deref().map(|h| crate::base::text::safe(h).into_owned()),
            role: Role::Bad,
        });
    }

    /// Asks for the journal.
    pub(crate) fn ask_journal(&mut self) -> Effect {
        self.journal_state = Loaded::Waiting;
        let query = Query::Journal { before: None, limit: JOURNAL_LINES, pool: None, op: None };
        self.ask(Request::Query(query), Pending::Journal).1
    }

    /// Shows text on the whole screen.
    pub(crate) fn show(&mut self, title: String, about: Option<RowKey>, command: String, lines: Vec<String>) {
        let lives = about.is_some();
        self.views.push(View::Text(TextView {
            title,
            about,
            lives,
            command,
            lines,
            top: 0,
            search: String::new(),
        }));
    }
}

/// JSON laid out; what is no JSON stays as it came.
fn pretty(json: &str) -> Vec<String> {
    let laid_out =
        serde_json::from_str::<serde_json::Value>(json).and_then(|v| serde_json::to_string_pretty(&v));
    let text = laid_out.unwrap_or_else(|_| json.to_owned());
    safe_lines(&text).lines().map(str::to_owned).collect()
}
