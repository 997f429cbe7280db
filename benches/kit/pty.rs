//! A full-screen program in a terminal of its own: starts it, answers what it asks, presses keys and looks at the screen.

use std::io::{Read, Write};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::{Duration, Instant};

use portable_pty::{Child, CommandBuilder, MasterPty, PtySize, native_pty_system};
use regex::Regex;

/// Columns and rows of every measurement.
pub const SIZE: (u16, u16) = (120, 40);
/// A press that shows nothing within this time has no effect.
const NO_EFFECT: Duration = Duration::from_secs(2);

/// What programs ask a terminal at the start, and what a plain xterm says. Some wait for it.
const ANSWERS: [(&[u8], &[u8]); 5] = [
    (b"\x1b[6n", b"\x1b[1;1R"),
    (b"\x1b[c", b"\x1b[?62;22c"),
    (b"\x1b[?2026$p", b"\x1b[?2026;0$y"),
    (b"\x1b[?u", b""),
    (b"\x1b]11;?", b"\x1b]11;rgb:0000/0000/0000\x1b\\"),
];

/// Where each match of a pattern stands, what stands before it, and how it looks.
pub type Marks = Vec<(u16, usize, String, vt100::Color, vt100::Color, bool, bool)>;

/// A running program and its screen.
pub struct Tui {
    child: Box<dyn Child + Send + Sync>,
    // Held: the terminal is closed with it.
    _master: Box<dyn MasterPty + Send>,
    keys: Box<dyn Write + Send>,
    output: Receiver<(Instant, Vec<u8>)>,
    screen: vt100::Parser,
    /// When it was started.
    pub started: Instant,
    /// Bytes that it has written.
    pub bytes: usize,
}

/// What became of one key press.
#[derive(Clone, Copy, Debug)]
pub struct Press {
    /// Milliseconds until the screen showed it.
    pub ms: f64,
    /// Bytes that were written for it.
    pub bytes: usize,
}

impl Tui {
    /// Starts a program with these arguments and variables.
    pub fn start(program: &str, args: &[&str], vars: &[(&str, &str)]) -> Tui {
        let size = PtySize { rows: SIZE.1, cols: SIZE.0, pixel_width: 0, pixel_height: 0 };
        let pair = native_pty_system().openpty(size).expect("a terminal");
        let mut command = CommandBuilder::new(program);
        command.args(args);
        command.env("TERM", "xterm-256color");
        for gone in ["COLORTERM", "NO_COLOR", "TMUX", "COLORFGBG"] {
            command.env_remove(gone);
        }
        for (name, value) in vars {
            command.env(name, value);
        }
        let mut reader = pair.master.try_clone_reader().expect("the terminal's output");
        let (to, output) = sync_channel(1 << 16);
        std::thread::spawn(move || {
            let mut buffer = vec![0; 1 << 16];
            while let Ok(n) = reader.read(&mut buffer)
                && n > 0
                && to.send((Instant::now(), buffer[..n].to_vec())).is_ok()
            {}
        });
        let keys = pair.master.take_writer().expect("the terminal's input");
        let started = Instant::now();
        let child = pair.slave.spawn_command(command).expect("the program starts");
        drop(pair.slave);
        let screen =
            vt100::Parser::new(SIZE.1.try_into().expect("rows"), SIZE.0.try_into().expect("columns"), 0);
        Tui { child, _master: pair.master, keys, output, screen, started, bytes: 0 }
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.process_id().expect("it runs")
    }

    /// Waits for the next output until `end` and shows it; `None` when nothing came.
    fn next(&mut self, end: Instant) -> Option<Instant> {
        let wait = end.saturating_duration_since(Instant::now());
        match self.output.recv_timeout(wait) {
            Ok((at, data)) => {
                self.bytes += data.len();
                for (question, answer) in ANSWERS {
                    if !answer.is_empty() && data.windows(question.len()).any(|w| w == question) {
                        self.send(answer);
                    }
                }
                self.screen.process(&data);
                Some(at)
            }
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => None,
        }
    }

    /// Shows what comes for so long.
    pub fn watch(&mut self, time: Duration) {
        let end = Instant::now() + time;
        while Instant::now() < end {
            if self.next(end).is_none() {
                std::thread::sleep(end.saturating_duration_since(Instant::now()));
            }
        }
    }

    /// Milliseconds from the start to the first screen that shows as much of `names` as it ever does within `time`.
    pub fn full_after(&mut self, names: &Regex, time: Duration) -> f64 {
        let end = Instant::now() + time;
        let (mut most, mut at) = (0, self.started);
        while let Some(seen) = self.next(end) {
            let count = self.marks(names).len();
            if count > most {
                (most, at) = (count, seen);
            }
        }
        at.duration_since(self.started).as_secs_f64() * 1000.0
    }

    /// Shows what comes until the screen shows `what`; milliseconds from now, `None` when it never does.
    pub fn until(&mut self, what: &Regex, wanted: bool, time: Duration) -> Option<f64> {
        let begin = Instant::now();
        let end = begin + time;
        while what.is_match(&self.text()) != wanted {
            self.next(end)?;
        }
        Some(begin.elapsed().as_secs_f64() * 1000.0)
    }

    /// The screen as text.
    pub fn text(&self) -> String {
        self.screen.screen().contents()
    }

    /// The matches of a pattern on the screen.
    pub fn marks(&self, names: &Regex) -> Marks {
        let screen = self.screen.screen();
        let mut marks = Vec::new();
        for (row, line) in (0..).zip(screen.rows(0, SIZE.0)) {
            for found in names.find_iter(&line) {
                let column = line[..found.start()].chars().count();
                let before = if column <= 12 { &line[..found.end()] } else { found.as_str() };
                let cell = screen.cell(row, u16::try_from(column).unwrap_or(0));
                let Some(cell) = cell else { continue };
                let (fg, bg) = (cell.fgcolor(), cell.bgcolor());
                marks.push((row, column, before.to_owned(), fg, bg, cell.inverse(), cell.bold()));
            }
        }
        marks
    }

    /// Presses keys.
    pub fn send(&mut self, keys: &[u8]) {
        // A program that has ended takes no keys; the caller sees that nothing moves.
        let _ended = self.keys.write_all(keys).and_then(|()| self.keys.flush());
    }

    /// Presses a key and waits until a match of `names` moves or looks different; `None` when none does.
    pub fn press(&mut self, key: &[u8], names: &Regex) -> Option<Press> {
        let quiet = Instant::now() + Duration::from_millis(20);
        while self.next(quiet).is_some() {}
        let before = self.marks(names);
        let bytes = self.bytes;
        let begin = Instant::now();
        self.send(key);
        let end = begin + NO_EFFECT;
        let at = loop {
            let at = self.next(end)?;
            if self.marks(names) != before {
                break at;
            }
        };
        self.watch(Duration::from_millis(60 + u64::try_from(bytes % 90).unwrap_or(0)));
        Some(Press {
            ms: at.saturating_duration_since(begin).as_secs_f64() * 1000.0,
            bytes: self.bytes - bytes,
        })
    }

    /// Presses a key and waits until `what` appears or goes; milliseconds.
    pub fn flip(&mut self, key: &[u8], what: &Regex) -> Option<f64> {
        let before = what.is_match(&self.text());
        let begin = Instant::now();
        self.send(key);
        let end = begin + NO_EFFECT;
        loop {
            let at = self.next(end)?;
            if what.is_match(&self.text()) != before {
                return Some(at.saturating_duration_since(begin).as_secs_f64() * 1000.0);
            }
        }
    }

    /// Asks it to end, and ends it if it does not.
    pub fn close(mut self, key: &[u8]) {
        self.send(key);
        for _ in 0..200 {
            if self.child.try_wait().is_ok_and(|ended| ended.is_some()) {
                return;
            }
            self.watch(Duration::from_millis(10));
        }
        let _ended = self.child.kill();
        let _ended = self.child.wait();
    }
}
