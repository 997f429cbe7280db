//! A line of text that a person types.

use ratatui::crossterm::event::KeyCode;

use crate::base::text::is_hostile;
use crate::tui::keys::Key;

/// Longest text that a field takes, in characters.
const INPUT_MAX: usize = 200;

/// A text field; the caret is always at its end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Input {
    /// What has been typed.
    pub text: String,
}

impl Input {
    /// A field that holds something already.
    pub fn with(text: impl Into<String>) -> Input {
        Input { text: text.into() }
    }

    /// Takes a key; false when the field has no use for it.
    pub fn key(&mut self, key: Key) -> bool {
        if let Some(c) = key.typed() {
            self.push(c);
            return true;
        }
        match (key.code, key.ctrl) {
            (KeyCode::Backspace, false) => drop(self.text.pop()),
            (KeyCode::Char('h'), true) => drop(self.text.pop()),
            (KeyCode::Char('u'), true) => self.text.clear(),
            (KeyCode::Char('w'), true) => {
                let kept = self.text.trim_end().rfind(' ').map_or(0, |at| at + 1);
                self.text.truncate(kept);
            }
            _ => return false,
        }
        true
    }

    /// Takes pasted text; control and other hostile characters are dropped.
    pub fn paste(&mut self, text: &str) {
        text.chars().take(INPUT_MAX).for_each(|c| self.push(c));
    }

    fn push(&mut self, c: char) {
        if !is_hostile(c) && self.text.chars().count() < INPUT_MAX {
            self.text.push(c);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_takes_text_and_drops_controls() {
        let mut field = Input::with("web ");
        field.paste("a\u{1b}[201~\nb");
        assert_eq!(field.text, "web a[201~b");
        assert!(field.key(Key::ctrl('w')));
        assert_eq!(field.text, "web ");
        assert!(field.key(Key::ctrl('u')) && field.text.is_empty());
        assert!(!field.key(Key::plain(KeyCode::Up)));
    }
}
