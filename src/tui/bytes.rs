//! Terminal bytes to keys, pastes and answers. Written here because a library's parser that meets an answer it does not
//! know waits for ever, and one that owns the descriptor spins when the terminal dies.

use ratatui::crossterm::event::KeyCode;

use crate::tui::keys::Key;

/// Longest paste that is kept, in bytes; the rest is dropped.
const PASTE_MAX: usize = 64 << 10;
/// Longest escape sequence; a longer one is dropped.
const SEQUENCE_MAX: usize = 64;

/// Something that the terminal sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// A key.
    Key(Key),
    /// Text that was pasted (bracketed paste).
    Paste(String),
    /// The wheel: lines down, up when negative.
    Wheel(i32),
    /// The terminal told whether it can hold a frame back until it is whole (mode 2026).
    Synchronized(bool),
    /// Bytes as they came, while a shell has the screen.
    Raw(Vec<u8>),
    /// The terminal is gone.
    Hangup,
}

/// The decoder. Bytes may come in any pieces.
#[derive(Debug, Default)]
pub struct Decoder {
    held: Vec<u8>,
    paste: Option<Vec<u8>>,
}

impl Decoder {
    /// True when bytes are held that may be a lone Esc or the start of a sequence.
    pub fn is_waiting(&self) -> bool {
        !self.held.is_empty()
    }

    /// Takes bytes and gives what is whole.
    pub fn feed(&mut self, bytes: &[u8]) -> Vec<Input> {
        let mut out = Vec::new();
        for byte in bytes {
            if self.paste.is_some() {
                self.pasted(*byte, &mut out);
                continue;
            }
            self.held.push(*byte);
            if let Some(input) = self.decode() {
                out.extend(input);
                self.held.clear();
            } else if self.held.len() > SEQUENCE_MAX {
                self.held.clear();
            }
        }
        out
    }

    /// No more bytes came for a while: what is held is a lone Esc, or junk.
    pub fn flush(&mut self) -> Vec<Input> {
        let held = std::mem::take(&mut self.held);
        match held.as_slice() {
            [0x1b] => vec![Input::Key(Key::plain(KeyCode::Esc))],
            [0x1b, b'O' | b'['] => vec![alt(char::from(held[1]))],
            _ => Vec::new(),
        }
    }

    fn pasted(&mut self, byte: u8, out: &mut Vec<Input>) {
        let Some(paste) = &mut self.paste else { return };
        const END: &[u8] = b"\x1b[201~";
        paste.push(byte);
        if paste.ends_with(END) {
            let whole = paste.len() - END.len();
            paste.truncate(whole.min(PASTE_MAX));
            out.push(Input::Paste(String::from_utf8_lossy(paste).into_owned()));
            self.paste = None;
        } else if paste.len() > PASTE_MAX + 1024 {
            let tail = paste.split_off(paste.len() - END.len());
            paste.truncate(PASTE_MAX);
            paste.extend(tail);
        }
    }

    /// What is held, once it is whole: `Some(None)` for something that means nothing here.
    fn decode(&mut self) -> Option<Option<Input>> {
        let held = self.held.as_slice();
        match held {
            [] => Some(None),
            [0x1b] => None,
            [0x1b, b'[' | b'O'] => None,
            [0x1b, b'O', last] => Some(ss3(*last)),
            [0x1b, b'[', rest @ ..] => {
                let last = *rest.last()?;
                // Mouse reports of the oldest kind carry three more bytes; they are swallowed whole.
                if rest[0] == b'M' {
                    return (rest.len() >= 4).then_some(None);
                }
                if !(0x40..=0x7e).contains(&last) {
                    return None;
                }
                let body = std::str::from_utf8(&rest[..rest.len() - 1]).unwrap_or("").to_owned();
                if body == "200" && last == b'~' {
                    self.paste = Some(Vec::new());
                    return Some(None);
                }
                Some(csi(&body, last))
            }
            // Strings (DCS, OSC, APC, PM, SOS) end with BEL or ST and mean nothing here.
            [0x1b, b'P' | b']' | b'_' | b'^' | b'X', rest @ ..] => {
                (rest.last() == Some(&0x07) || rest.ends_with(b"\x1b\\")).then_some(None)
            }
            [0x1b, 0x1b] => Some(Some(Input::Key(Key::plain(KeyCode::Esc)))),
            [0x1b, rest @ ..] => utf8(rest).map(|c| c.map(alt)),
            bytes => utf8(bytes).map(|c| c.map(|c| Input::Key(plain(c)))),
        }
    }
}

/// A character once it is whole; `Some(None)` for bytes that are none.
fn utf8(bytes: &[u8]) -> Option<Option<char>> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Some(text.chars().next()),
        Err(e) if e.error_len().is_none() && bytes.len() < 4 => None,
        Err(_) => Some(None),
    }
}

fn alt(c: char) -> Input {
    Input::Key(Key { alt: true, ..plain(c) })
}

fn plain(c: char) -> Key {
    match c {
        '\r' | '\n' => Key::plain(KeyCode::Enter),
        '\t' => Key::plain(KeyCode::Tab),
        '\u{7f}' | '\u{8}' => Key::plain(KeyCode::Backspace),
        '\u{0}' => Key::ctrl(' '),
        '\u{1}'..='\u{1a}' => Key::ctrl(char::from_u32(u32::from(c) + 0x60).unwrap_or(' ')),
        '\u{1c}'..='\u{1f}' => Key::ctrl(char::from_u32(u32::from(c) + 0x40).unwrap_or(' ')),
        c => Key::char(c),
    }
}

fn ss3(last: u8) -> Option<Input> {
    let code = match last {
        b'P' => KeyCode::F(1),
        other => return csi("", other),
    };
    Some(Input::Key(Key::plain(code)))
}

fn csi(body: &str, last: u8) -> Option<Input> {
    if let Some(report) = body.strip_prefix('?') {
        let state = report.strip_suffix('$')?.strip_prefix("2026;")?;
        return (last == b'y').then_some(Input::Synchronized(matches!(state, "1" | "2" | "3")));
    }
    if let Some(mouse) = body.strip_prefix('<') {
        return match (mouse.split(';').next()?, last) {
            ("64", b'M') => Some(Input::Wheel(-3)),
            ("65", b'M') => Some(Input::Wheel(3)),
            _ => None,
        };
    }
    let mut numbers = body.split(';').map(|n| n.parse::<u8>().unwrap_or(0));
    let (first, modifier) = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(1));
    let code = match (last, first) {
        (b'A', _) => KeyCode::Up,
        (b'B', _) => KeyCode::Down,
        (b'C', _) => KeyCode::Right,
        (b'D', _) => KeyCode::Left,
        (b'H', _) | (b'~', 1 | 7) => KeyCode::Home,
        (b'F', _) | (b'~', 4 | 8) => KeyCode::End,
        (b'~', 3) => KeyCode::Delete,
        (b'~', 5) => KeyCode::PageUp,
        (b'~', 6) => KeyCode::PageDown,
        (b'~', 11) => KeyCode::F(1),
        (b'Z', _) => KeyCode::BackTab,
        _ => return None,
    };
    let bits = modifier.saturating_sub(1);
    Some(Input::Key(Key { code, ctrl: bits & 4 != 0, alt: bits & 2 != 0 }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn keys_pastes_and_answers_are_told_apart() {
        let mut d = Decoder::default();
        let key = |text: &str| Input::Key(Key::parse(text).unwrap());
        assert_eq!(
            d.feed(b"j\r\x1b[A\x1b[6~\x04\x1bOA\x1b[Z"),
            ["j", "Enter", "Up", "PgDn", "Ctrl-D", "Up", "Shift-Tab"].map(key)
        );
        assert_eq!(d.feed("中".as_bytes()), [key("中")]);
        assert_eq!(d.feed(b"\x1b[?2026;2$y"), [Input::Synchronized(true)]);
        assert_eq!(d.feed(b"\x1b[?2026;0$y"), [Input::Synchronized(false)]);
        assert_eq!(d.feed(b"\x1b[<65;10;10M"), [Input::Wheel(3)]);
        assert_eq!(d.feed(b"\x1b[?62;22c\x1b]11;rgb:0/0/0\x07\x1bP1$r0m\x1b\\q"), [key("q")]);
    }

    #[test]
    fn a_paste_never_becomes_keys_and_a_lone_esc_is_a_key() {
        let mut d = Decoder::default();
        assert_eq!(d.feed(b"\x1b[200~q\r+\x1b[A\x1b[201"), []);
        assert_eq!(d.feed(b"~"), [Input::Paste("q\r+\u{1b}[A".into())]);
        assert_eq!(d.feed(b"\x1b"), []);
        assert!(d.is_waiting());
        assert_eq!(d.flush(), [Input::Key(Key::parse("Esc").unwrap())]);
        let big: Vec<u8> = [b"\x1b[200~".to_vec(), vec![b'x'; 1 << 20], b"\x1b[201~".to_vec()].concat();
        let Some(Input::Paste(text)) = d.feed(&big).pop() else { panic!("no paste") };
        assert_eq!(text.len(), PASTE_MAX);
    }

    proptest! {
        #[test]
        fn any_bytes_in_any_pieces_are_taken(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let mut d = Decoder::default();
            for piece in bytes.chunks(3) {
                d.feed(piece);
            }
            d.flush();
            prop_assert!(d.held.len() <= SEQUENCE_MAX);
        }
    }
}
