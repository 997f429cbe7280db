//! The command palette: every verb, every pool and every theme by name, found by a few letters of it.

use ratatui::crossterm::event::KeyCode;

use crate::tui::app::{App, Mode};
use crate::tui::effect::Effect;
use crate::tui::keys::Key;
use crate::tui::kit::input::Input;
use crate::tui::panes::rows::RowKey;
use crate::tui::theme;
use crate::tui::verbs::{self, Act, Verb};

/// The palette.
#[derive(Clone, Debug, Default)]
pub struct Palette {
    /// What has been typed.
    pub input: Input,
    /// The chosen line.
    pub at: usize,
}

/// One line of the palette.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Its name.
    pub name: String,
    /// What it does.
    pub doc: String,
    /// Its keys.
    pub keys: String,
    /// Why it does not apply here.
    pub reason: Option<String>,
    /// What happens.
    pub run: Run,
}

/// What a line of the palette does.
#[derive(Clone, Debug, PartialEq)]
pub enum Run {
    /// A verb.
    Act(Act),
    /// Goes to a pool or a group.
    Select(RowKey),
    /// Takes another theme.
    Theme(&'static str),
}

/// How well `needle` is found in `name` as a subsequence; lower is better, `None` is not at all.
pub fn fuzzy(needle: &str, name: &str) -> Option<usize> {
    let name = name.to_lowercase();
    let mut cost = 0;
    let mut rest = name.char_indices();
    for c in needle.to_lowercase().chars().filter(|c| *c != ' ') {
        let before = rest.clone().count();
        rest.find(|(_, n)| *n == c)?;
        cost += before - rest.clone().count() - 1;
    }
    Some(cost * 100 + name.len())
}

impl App {
    /// The verbs of the view on top: its own first.
    pub fn verbs(&self) -> Vec<&'static Verb> {
        verbs::of(crate::tui::panes::pane(self.top())).collect()
    }

    /// The lines of the palette that fit what has been typed, the best first.
    pub fn entries(&self, needle: &str) -> Vec<Entry> {
        let mut found: Vec<(usize, usize, Entry)> = Vec::new();
        let mut add = |entry: Entry| {
            if let Some(cost) = fuzzy(needle, &entry.name) {
                found.push((if needle.is_empty() { 0 } else { cost }, found.len(), entry));
            }
        };
        for verb in self.verbs().into_iter().filter(|v| !matches!(v.act, Act::Palette | Act::Move(_))) {
            add(Entry {
                name: verb.name.to_owned(),
                doc: verb.doc.to_owned(),
                keys: verb.keys.join(" "),
                reason: self.reason(verb.when),
                run: Run::Act(verb.act),
            });
        }
        for (name, _) in theme::BUILT_IN {
            let (doc, keys) = ("change the colours".to_owned(), String::new());
            add(Entry { name: format!("theme {name}"), doc, keys, reason: None, run: Run::Theme(name) });
        }
        for view in self.world.pools.keys() {
            let run = Run::Select(RowKey::Pool(view.clone()));
            let (doc, keys) = ("go to this pool".to_owned(), String::new());
            add(Entry { name: view.to_string(), doc, keys, reason: None, run });
        }
        found.sort_by_key(|(cost, order, _)| (*cost, *order));
        found.into_iter().map(|(_, _, entry)| entry).collect()
    }

    pub(crate) fn palette_key(&mut self, mut palette: Palette, key: Key) -> Vec<Effect> {
        let entries = self.entries(&palette.input.text);
        let last = entries.len().saturating_sub(1);
        match (key.code, key.ctrl) {
            (KeyCode::Esc, _) => return Vec::new(),
            (KeyCode::Down | KeyCode::Tab, _) | (KeyCode::Char('n' | 'j'), true) => {
                palette.at = if palette.at >= last { 0 } else { palette.at + 1 };
            }
            (KeyCode::Up | KeyCode::BackTab, _) | (KeyCode::Char('p' | 'k'), true) => {
                palette.at = palette.at.checked_sub(1).unwrap_or(last);
            }
            (KeyCode::Enter, _) => {
                let Some(entry) = entries.into_iter().nth(palette.at) else {
                    self.warn(format!("no command is called {:?}", palette.input.text), None);
                    return Vec::new();
                };
                return self.run_entry(entry);
            }
            _ => {
                palette.input.key(key);
                palette.at = 0;
            }
        }
        self.mode = Mode::Palette(palette);
        Vec::new()
    }

    fn run_entry(&mut self, entry: Entry) -> Vec<Effect> {
        if let Some(reason) = entry.reason {
            self.warn(format!("{}: {reason}", entry.name), None);
            return Vec::new();
        }
        match entry.run {
            Run::Act(act) => self.act(act),
            Run::Theme(name) => {
                let depth = self.settings_depth();
                match theme::built_in(name, depth) {
                    Ok(theme) => self.theme = theme,
                    Err(fault) => self.warn(fault.to_string(), fault.hint),
                }
                Vec::new()
            }
            Run::Select(key) => {
                let effects = self.home();
                self.pools.filter.clear();
                self.pools.settle(self.now, &self.settings.user);
                self.pools.select(&key);
                self.moved();
                effects
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_letters_find_a_name() {
        assert!(fuzzy("fw", "feed/web").is_some());
        assert!(fuzzy("bew", "feed/web").is_none());
        assert!(fuzzy("hosts", "hosts") < fuzzy("hosts", "h o s t s x"));
        assert!(fuzzy("scale", "scale") < fuzzy("scale", "show the scale of things"));
    }
}
