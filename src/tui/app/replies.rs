//! Answers of the engine: accepted, refused, shown.

use crate::base::text::safe_lines;
use crate::model::command::{Refusal, RefusalKind};
use crate::model::query::{Query, Reply, Request};
use crate::tui::app::dialog::Dialog;
use crate::tui::app::{App, Loaded, Mode, Pending, View};
use crate::tui::effect::Effect;
use crate::tui::event::Ticket;
use crate::tui::kit::paint;
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
            (Pending::Coverage(pool), Reply::Coverage(found)) => self.covered(&pool, &found),
            (Pending::Coverage(pool), Reply::Refused(r)) => {
                self.warn(format!("prewarm {pool}: {r}"), r.hint.clone());
            }
            (Pending::Coverage(pool), Reply::Failed(f)) => {
                self.warn(format!("prewarm {pool}: {f}"), f.hint.clone());
            }
            (Pending::Quiet, _) => {}
            (Pending::Page { of, first, turn }, reply) => self.paged(&of, first, turn, reply),
            (Pending::Side { registry, turn }, reply) => self.side_told(registry, turn, reply),
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
            (Pending::Why(name), Reply::Why(explanation)) => {
                let command = format!("longshore why {name}");
                self.foot = None;
                let columns = usize::from(self.size.0).saturating_sub(4);
                let lines = crate::view::why::lines(&explanation);
                let lines = lines.iter().flat_map(|l| paint::wrap_indented(l, columns)).collect();
                self.show(format!("Why {name}"), None, command, lines);
            }
            (Pending::Why(name), Reply::Refused(r)) => self.warn(format!("no reason for {name}: {r}"), None),
            (Pending::Why(name), Reply::Failed(f)) => {
                self.warn(format!("no reason for {name}: {f}"), f.hint.clone());
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

/// The engine's JSON laid out, in the engine's own order and spelling; what is no JSON stands as it is.
fn pretty(json: &str) -> Vec<String> {
    let is_json = serde_json::from_str::<serde::de::IgnoredAny>(json).is_ok();
    let text = if is_json { laid_out(json).join("\n") } else { json.to_owned() };
    safe_lines(&text).lines().map(str::to_owned).collect()
}

/// JSON as lines; strings are not looked into.
fn laid_out(json: &str) -> Vec<String> {
    let mut lines = vec![String::new()];
    let (mut depth, mut quoted, mut escaped) = (0_usize, false, false);
    let mut chars = json.chars().filter(|c| !matches!(c, '\n' | '\r')).peekable();
    let fresh = |depth: usize| "  ".repeat(depth);
    while let Some(c) = chars.next() {
        if !quoted && c == ' ' {
            continue;
        }
        if matches!(c, '}' | ']') && !quoted {
            depth = depth.saturating_sub(1);
            if !lines.last().is_some_and(|l| l.ends_with(['{', '['])) {
                lines.push(fresh(depth));
            }
        }
        if let Some(line) = lines.last_mut() {
            line.push(c);
            if c == ':' && !quoted {
                line.push(' ');
            }
        }
        match c {
            _ if quoted => quoted = escaped || c != '"',
            '"' => quoted = true,
            '{' | '[' => {
                depth += 1;
                if chars.peek().is_some_and(|next| !matches!(next, '}' | ']')) {
                    lines.push(fresh(depth));
                }
            }
            ',' => lines.push(fresh(depth)),
            _ => {}
        }
        escaped = quoted && c == '\\' && !escaped;
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_laid_out_in_its_own_order() {
        let json = r#"{"Id":"b\"{,}","Args":[],"Z":{"a":1.50,"None":null},"L":["x:y\\",[2]],"E":{}}"#;
        let wanted = [
            "{",
            r#"  "Id": "b\"{,}","#,
            r#"  "Args": [],"#,
            r#"  "Z": {"#,
            r#"    "a": 1.50,"#,
            r#"    "None": null"#,
            "  },",
            r#"  "L": ["#,
            r#"    "x:y\\","#,
            "    [",
            "      2",
            "    ]",
            "  ],",
            r#"  "E": {}"#,
            "}",
        ];
        assert_eq!(pretty(json), wanted);
        assert_eq!(pretty("no\njson"), ["no", "json"]);
    }
}
