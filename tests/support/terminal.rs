//! A terminal for the console in tests: a real pty, an emulator behind it, and every byte that came.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::num::NonZeroU16;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use portable_pty::{Child, CommandBuilder, MasterPty, PtySize, SlavePty, native_pty_system};

use crate::site::{BIN, Site, pause, within};

/// Longest wait for something to be on the screen.
const SCREEN_WITHIN: Duration = Duration::from_secs(20);

struct Shown {
    parser: vt100::Parser,
    bytes: Vec<u8>,
}

/// A terminal in which the console runs.
pub struct Terminal {
    // Open until the end, as a shell's would be: the terminal outlives the program.
    slave: Option<Box<dyn SlavePty + Send>>,
    master: Option<Box<dyn MasterPty + Send>>,
    writer: Option<Box<dyn Write + Send>>,
    child: Box<dyn Child + Send + Sync>,
    shown: Arc<Mutex<Shown>>,
    reads: Arc<AtomicBool>,
    ends: Arc<AtomicBool>,
    reader: Option<JoinHandle<()>>,
    modes: String,
}

fn size((cols, rows): (u16, u16)) -> PtySize {
    PtySize { rows, cols, pixel_width: 0, pixel_height: 0 }
}

fn cells(n: u16) -> NonZeroU16 {
    NonZeroU16::new(n).unwrap_or(NonZeroU16::MIN)
}

fn modes(master: &dyn MasterPty) -> String {
    format!("{:?}", master.get_termios().unwrap())
}

impl Terminal {
    /// Opens the program with these arguments in a terminal of this size (columns, rows).
    pub fn open(site: &Site, args: &[&str], at: (u16, u16)) -> Terminal {
        let mut command = CommandBuilder::new(BIN);
        command.env_clear();
        site.env().into_iter().for_each(|(name, value)| command.env(name, value));
        command.arg("--state");
        command.arg(site.state());
        command.args(args);
        Terminal::of(command, at)
    }

    /// Runs any program in a terminal of this size.
    pub fn of(command: CommandBuilder, at: (u16, u16)) -> Terminal {
        let pty = native_pty_system().openpty(size(at)).unwrap();
        let modes = modes(&*pty.master);
        let child = pty.slave.spawn_command(command).unwrap();
        let shown = Shown { parser: vt100::Parser::new(cells(at.1), cells(at.0), 0), bytes: Vec::new() };
        let mut terminal = Terminal {
            slave: Some(pty.slave),
            writer: Some(pty.master.take_writer().unwrap()),
            master: Some(pty.master),
            child,
            shown: Arc::new(Mutex::new(shown)),
            reads: Arc::new(AtomicBool::new(true)),
            ends: Arc::new(AtomicBool::new(false)),
            reader: None,
            modes,
        };
        terminal.start_reading();
        terminal
    }

    fn start_reading(&mut self) {
        let mut from = self.master.as_ref().unwrap().try_clone_reader().unwrap();
        let (shown, reads, ends) = (self.shown.clone(), self.reads.clone(), self.ends.clone());
        self.reader = Some(std::thread::spawn(move || {
            let mut block = [0; 16 * 1024];
            while !ends.load(Ordering::SeqCst) {
                if !reads.load(Ordering::SeqCst) {
                    pause(10);
                    continue;
                }
                // It fails when the last that had the other end open is gone.
                let Ok(n) = from.read(&mut block) else { return };
                let mut shown = shown.lock().unwrap();
                shown.parser.process(&block[..n]);
                shown.bytes.extend_from_slice(&block[..n]);
            }
        }));
    }

    /// Types.
    pub fn keys(&mut self, keys: &str) {
        let to = self.writer.as_mut().unwrap();
        // A lone Esc is told from a sequence by the silence after it.
        if let Some(rest) = keys.strip_prefix('\x1b') {
            to.write_all(b"\x1b").unwrap();
            to.flush().unwrap();
            pause(120);
            if !rest.is_empty() {
                self.keys(rest);
            }
            return;
        }
        to.write_all(keys.as_bytes()).unwrap();
        to.flush().unwrap();
    }

    /// What is on the screen.
    pub fn screen(&self) -> String {
        self.shown.lock().unwrap().parser.screen().contents()
    }

    pub fn is_full_screen(&self) -> bool {
        self.shown.lock().unwrap().parser.screen().alternate_screen()
    }

    pub fn until(&self, what: &str, mut is_so: impl FnMut(&str) -> bool) {
        for _ in 0..SCREEN_WITHIN.as_millis() / 25 {
            if is_so(&self.screen()) {
                return;
            }
            pause(25);
        }
        panic!("never: {what}; the screen shows:\n{}", self.screen());
    }

    /// Waits until all of these words are on the screen.
    pub fn until_shows(&self, words: &[&str]) {
        self.until(&format!("{words:?} on the screen"), |screen| words.iter().all(|w| screen.contains(w)));
    }

    pub fn resize(&self, to: (u16, u16)) {
        self.master.as_ref().unwrap().resize(size(to)).unwrap();
        self.shown.lock().unwrap().parser.screen_mut().set_size(cells(to.1), cells(to.0));
    }

    pub fn signal(&self, name: &str) {
        let pid = self.child.process_id().unwrap().to_string();
        let sent = std::process::Command::new("kill").arg(format!("-{name}")).arg(pid).status();
        assert!(sent.is_ok_and(|s| s.success()), "kill -{name}");
    }

    /// Goes on reading, or lets the program's output pile up.
    pub fn read(&self, on: bool) {
        self.reads.store(on, Ordering::SeqCst);
    }

    pub fn ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// Quits without being asked, and checks that the terminal is as it was.
    pub fn quit(&mut self) {
        self.keys("\x03");
        self.until_shows(&["Ctrl-C again quits"]);
        self.keys("\x03");
        self.ends_whole();
    }

    /// Waits for the program's end, and checks that the terminal is as it was.
    pub fn ends_whole(&mut self) {
        within(Duration::from_secs(10), "the console ends", || self.ended().then_some(()));
        pause(50);
        let shown = self.shown.lock().unwrap();
        let screen = shown.parser.screen();
        assert!(!screen.alternate_screen(), "the alternate screen is left");
        assert!(!screen.hide_cursor(), "the cursor is shown");
        assert!(!screen.bracketed_paste(), "pastes are plain again");
        assert_eq!(screen.mouse_protocol_mode(), vt100::MouseProtocolMode::None, "the mouse is free");
        let end = String::from_utf8_lossy(&shown.bytes[shown.bytes.len().saturating_sub(300)..]).into_owned();
        assert_eq!(
            modes(&**self.master.as_ref().unwrap()),
            self.modes,
            "the modes are as before; last: {end:?}"
        );
    }

    /// The terminal goes away, as when an SSH session is cut.
    pub fn hang_up(&mut self) {
        self.ends.store(true, Ordering::SeqCst);
        // The reader waits inside the kernel: an answer to a key lets it go.
        self.keys("?");
        self.reader.take().unwrap().join().unwrap();
        (self.writer, self.slave, self.master) = (None, None, None);
    }

    /// Sequences and characters that came and are on no list of ours.
    pub fn unlisted(&self) -> BTreeSet<String> {
        unlisted(&String::from_utf8_lossy(&self.shown.lock().unwrap().bytes))
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _killed = self.child.kill();
        let _reaped = self.child.wait();
        self.ends.store(true, Ordering::SeqCst);
        self.slave = None;
        if let Some(reader) = self.reader.take() {
            let _joined = reader.join();
        }
    }
}

/// Final bytes of plain control sequences that a console needs: cursor, erase, colours.
const PLAIN: &str = "ABCDGHJKdfmr";
/// Private modes that it may set and reset: cursor, alternate screen, paste, mouse, focus, synchronized output, wrap.
const MODES: &[&str] = &["7", "25", "1000", "1002", "1003", "1004", "1006", "1015", "1049", "2004", "2026"];

fn unlisted(text: &str) -> BTreeSet<String> {
    let mut strange = BTreeSet::new();
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        if c != '\x1b' {
            let invisible = matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}');
            if (c.is_control() && c != '\r' && c != '\n') || invisible {
                strange.insert(format!("{c:?}"));
            }
            continue;
        }
        match rest.next() {
            Some('[') => {
                let mut body = String::new();
                while let Some(c) = rest.next_if(|c| !('\x40'..='\x7e').contains(c)) {
                    body.push(c);
                }
                let end = rest.next().unwrap_or(' ');
                let plain =
                    PLAIN.contains(end) && body.chars().all(|c| c.is_ascii_digit() || c == ';' || c == ':');
                let mode = "hl".contains(end)
                    && body.strip_prefix('?').is_some_and(|m| m.split(';').all(|m| MODES.contains(&m)));
                // "Do you know synchronized output?"
                let asks = (body.as_str(), end) == ("?2026$", 'p') || (body.as_str(), end) == ("", 'c');
                if !plain && !mode && !asks {
                    strange.insert(format!("CSI {body}{end}"));
                }
            }
            other => drop(strange.insert(format!("ESC {other:?}"))),
        }
    }
    strange
}
