//! The writer: a thread of its own that brings the newest frame to the terminal. A terminal that reads nothing stops
//! this thread and nobody else; frames that nobody saw are skipped.

use std::fs::File;
use std::io::{self, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ratatui::backend::{Backend, CrosstermBackend};
use ratatui::buffer::{Buffer, Cell};
use ratatui::layout::Rect;

use crate::tui::kit::last::is_clean;

/// Raw bytes (a shell's output, the clipboard) that may wait for the terminal.
pub const RAW_MAX: usize = 64 << 10;

#[derive(Debug, Default)]
struct Slot {
    frame: Option<Buffer>,
    raw: Vec<u8>,
    forget: bool,
    synchronized: bool,
    end: bool,
    busy: bool,
    broken: bool,
}

/// A handle to the writer. Nothing here ever blocks on the terminal.
#[derive(Clone, Debug, Default)]
pub struct Screen(Arc<(Mutex<Slot>, Condvar)>);

impl Screen {
    /// Starts the thread that writes to `out`.
    ///
    /// # Errors
    /// When no thread can be had.
    pub fn start(out: File) -> io::Result<Screen> {
        let screen = Screen::default();
        let theirs = screen.clone();
        std::thread::Builder::new().name("screen".into()).spawn(move || theirs.write_all(out))?;
        Ok(screen)
    }

    fn slot(&self) -> MutexGuard<'_, Slot> {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, act: impl FnOnce(&mut Slot)) {
        act(&mut self.slot());
        self.0.1.notify_all();
    }

    /// The newest frame. It takes the place of one that has not been written yet.
    pub fn show(&self, frame: Buffer) {
        self.change(|s| s.frame = Some(frame));
    }

    /// Bytes to be written as they are, before the next frame. False when too many wait already.
    pub fn raw(&self, bytes: &[u8]) -> bool {
        let mut taken = false;
        self.change(|s| {
            taken = s.raw.len() + bytes.len() <= RAW_MAX || s.raw.is_empty();
            if taken {
                s.raw.extend_from_slice(bytes);
            }
        });
        taken
    }

    /// The terminal does not show any more what was written: the next frame is written whole.
    pub fn forget(&self) {
        self.change(|s| s.forget = true);
    }

    /// The terminal can hold a frame back until it is whole.
    pub fn synchronized(&self, yes: bool) {
        self.change(|s| s.synchronized = yes);
    }

    /// True when all has been written.
    pub fn is_idle(&self) -> bool {
        let s = self.slot();
        s.broken || (s.frame.is_none() && s.raw.is_empty() && !s.busy)
    }

    /// Ends the thread once it is free.
    pub fn end(&self) {
        self.change(|s| s.end = true);
    }

    fn write_all(&self, mut out: File) {
        let mut shown = Buffer::empty(Rect::ZERO);
        loop {
            let (bytes, frame) = {
                let mut slot = self.slot();
                slot.busy = false;
                while slot.frame.is_none() && slot.raw.is_empty() && !slot.end {
                    let waited = self.0.1.wait_timeout(slot, Duration::from_secs(3600));
                    slot = waited.unwrap_or_else(PoisonError::into_inner).0;
                }
                if slot.end {
                    return;
                }
                slot.busy = true;
                if std::mem::take(&mut slot.forget) {
                    shown = Buffer::empty(Rect::ZERO);
                }
                let frame = slot.frame.take();
                let mut bytes = std::mem::take(&mut slot.raw);
                if let Some(frame) = &frame {
                    bytes.extend(encode(&shown, frame, slot.synchronized));
                }
                (bytes, frame)
            };
            if !bytes.is_empty() && out.write_all(&bytes).and_then(|()| out.flush()).is_err() {
                self.change(|s| s.broken = true);
                return;
            }
            shown = frame.unwrap_or(shown);
        }
    }
}

/// The bytes that turn `shown` into `next`; none when they are equal.
pub fn encode(shown: &Buffer, next: &Buffer, synchronized: bool) -> Vec<u8> {
    let fresh = shown.area != next.area;
    let blank = Buffer::empty(next.area);
    let before = if fresh { &blank } else { shown };
    let changes = before.diff(next);
    if changes.is_empty() && !fresh {
        return Vec::new();
    }
    let hidden = Cell::new("?");
    let clean =
        changes.into_iter().map(|(x, y, cell)| (x, y, if is_clean(cell.symbol()) { cell } else { &hidden }));
    let mut body = Vec::new();
    // Writing to a vector cannot fail.
    let drawn = CrosstermBackend::new(&mut body).draw(clean);
    debug_assert!(drawn.is_ok());
    let mut out = Vec::with_capacity(body.len() + 24);
    if synchronized {
        out.extend_from_slice(b"\x1b[?2026h");
    }
    if fresh {
        out.extend_from_slice(b"\x1b[0m\x1b[2J");
    }
    out.extend(body);
    if synchronized {
        out.extend_from_slice(b"\x1b[?2026l");
    }
    out
}

/// The bytes that put text on the clipboard of the person's own terminal (OSC 52), wrapped for tmux if need be.
pub fn clipboard(text: &str, tmux: bool) -> Vec<u8> {
    let osc = format!("\x1b]52;c;{}\x07", base64(text.as_bytes()));
    if tmux { format!("\x1bPtmux;\x1b{osc}\x1b\\").into_bytes() } else { osc.into_bytes() }
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for chunk in bytes.chunks(3) {
        let all = chunk.iter().fold(0u32, |n, b| n << 8 | u32::from(*b)) << (8 * (3 - chunk.len()));
        for i in 0..4 {
            let digit = DIGITS[usize::from((all >> (18 - 6 * i) & 63) as u8)];
            out.push(if i <= chunk.len() { char::from(digit) } else { '=' });
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use ratatui::style::{Modifier, Style};

    fn buffer(text: &str, style: Style) -> Buffer {
        let mut buf = Buffer::empty(Rect::new(0, 0, 20, 2));
        buf.set_string(0, 0, text, style);
        buf
    }

    #[test]
    fn an_equal_frame_costs_nothing() {
        let frame = buffer("feed/web 40", Style::default());
        assert!(encode(&frame, &frame.clone(), true).is_empty());
        let next = buffer("feed/web 41", Style::default());
        assert!(encode(&frame, &next, false).len() < 40);
        assert!(encode(&frame, &next, true).starts_with(b"\x1b[?2026h"));
    }

    #[test]
    fn a_reversed_cell_stays_reversed() {
        let frame = buffer("x", Style::default().add_modifier(Modifier::REVERSED | Modifier::BOLD));
        let text = String::from_utf8(encode(&Buffer::empty(Rect::ZERO), &frame, false)).unwrap();
        let x = text.find('x').unwrap();
        assert!(text[..x].contains("\x1b[7m") && !text[..x].ends_with("\x1b[;m"), "{text:?}");
    }

    #[test]
    fn a_hostile_cell_does_not_leave() {
        let mut frame = buffer("ab", Style::default());
        frame[(1, 0)].set_symbol("\u{1b}]52;c;x\u{7}");
        let text = String::from_utf8(encode(&Buffer::empty(Rect::ZERO), &frame, false)).unwrap();
        assert!(!text.contains("]52") && text.contains("a?"), "{text:?}");
    }

    #[test]
    fn the_clipboard_is_encoded() {
        assert_eq!(base64(b"longshore"), "bG9uZ3Nob3Jl");
        assert_eq!([base64(b"a"), base64(b"ab")], ["YQ==", "YWI="]);
        assert_eq!(clipboard("a", true), b"\x1bPtmux;\x1b\x1b]52;c;YQ==\x07\x1b\\");
    }

    #[test]
    fn a_terminal_that_reads_nothing_stops_only_the_writer() {
        let (reader, writer) = nix::unistd::pipe().unwrap();
        let screen = Screen::start(File::from(writer)).unwrap();
        for i in 0..2_000 {
            screen.show(buffer(&format!("{i} {}", "x".repeat(i % 7)), Style::default()));
            screen.raw(&[b'x'; 1000]);
        }
        assert!(screen.slot().raw.len() <= RAW_MAX);
        screen.end();
        drop(reader);
    }
}
