//! Help about the view on top, made from the tables.

use crate::base::text;
use crate::tui::app::App;
use crate::tui::kit::paint;
use crate::tui::panes;
use crate::tui::theme::Role;
use crate::tui::verbs::{self, HOME, Verb};

impl App {
    /// The lines of help, each with its role.
    pub fn help(&self, columns: usize) -> Vec<(String, Role)> {
        let pane = panes::pane(self.top());
        let mut out: Vec<(String, Role)> = Vec::new();
        out.extend(paint::wrap(pane.doc, columns).into_iter().map(|l| (l, Role::Text)));
        self.verb_lines(&mut out, "Keys of this view", pane.verbs, columns);
        table(&mut out, "Columns", pane.columns.iter().map(|c| (c.title, c.doc)), columns);
        table(&mut out, "Words", pane.words.iter().copied(), columns);
        if pane.home {
            self.verb_lines(&mut out, "Keys of the home screen", HOME, columns);
        }
        self.verb_lines(&mut out, "Keys that jump", verbs::jumps(pane), columns);
        self.verb_lines(&mut out, "Keys everywhere", verbs::everywhere(pane), columns);
        out.push((String::new(), Role::Text));
        let practice =
            "`longshore demo` opens this console on a practice fleet: nothing real can break there.";
        out.extend(paint::wrap(practice, columns).into_iter().map(|l| (l, Role::Text)));
        out
    }

    fn verb_lines(
        &self,
        out: &mut Vec<(String, Role)>,
        title: &str,
        verbs: impl IntoIterator<Item = &'static Verb>,
        columns: usize,
    ) {
        heading(out, title);
        for verb in verbs {
            let keys = if verb.keys.is_empty() { format!(":{}", verb.name) } else { verb.keys.join(" ") };
            let reason = self.reason(verb.when);
            let role = if reason.is_some() { Role::Dim } else { Role::Text };
            let doc = reason.map_or_else(|| verb.doc.to_owned(), |r| format!("{} ({r})", verb.doc));
            item(out, &keys, &doc, role, columns);
        }
    }
}

fn heading(out: &mut Vec<(String, Role)>, title: &str) {
    out.push((String::new(), Role::Text));
    out.push((title.to_owned(), Role::Key));
}

fn table(
    out: &mut Vec<(String, Role)>,
    title: &str,
    rows: impl Iterator<Item = (&'static str, &'static str)>,
    columns: usize,
) {
    let rows: Vec<_> = rows.collect();
    if !rows.is_empty() {
        heading(out, title);
        rows.iter().for_each(|(word, doc)| item(out, word, doc, Role::Text, columns));
    }
}

fn item(out: &mut Vec<(String, Role)>, word: &str, doc: &str, role: Role, columns: usize) {
    const INDENT: usize = 16;
    let pad = INDENT.saturating_sub(text::width(word) + 2).max(1);
    for (i, line) in paint::wrap(doc, columns.saturating_sub(INDENT)).into_iter().enumerate() {
        let head = if i == 0 { format!("  {word}{}", " ".repeat(pad)) } else { " ".repeat(INDENT) };
        out.push((format!("{head}{line}"), role));
    }
}
