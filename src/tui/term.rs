//! The terminal's guard: takes the screen over and gives it back whole, whatever ends the console.

use std::fs::{File, OpenOptions};
use std::io::{IsTerminal, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};

use ratatui::crossterm::{style, terminal};

use crate::base::fault::{Fault, Kind, Outcome};

/// Other screen, no cursor, bracketed paste; and the question whether frames can be held back (mode 2026).
pub const ENTER: &str = "\x1b[?1049h\x1b[?25l\x1b[?2004h\x1b[0m\x1b[2J\x1b[?2026$p";
/// All of it taken back.
pub const LEAVE: &str = "\x1b[?2026l\x1b[?1006l\x1b[?1000l\x1b[?2004l\x1b[0m\x1b[?25h\x1b[?1049l";
/// The wheel is reported.
pub const MOUSE_ON: &str = "\x1b[?1000h\x1b[?1006h";
/// The wheel is the terminal's own again.
pub const MOUSE_OFF: &str = "\x1b[?1006l\x1b[?1000l";

static TAKEN: AtomicBool = AtomicBool::new(false);
static HOOK: Once = Once::new();

/// Gives the terminal back when it is dropped.
#[derive(Debug)]
pub struct Guard(());

impl Guard {
    /// Takes the terminal over: raw mode now, [`ENTER`] is written by the caller's writer.
    ///
    /// # Errors
    /// When standard input is no terminal, or it refuses raw mode.
    pub fn take() -> Outcome<Guard> {
        HOOK.call_once(|| {
            let before = std::panic::take_hook();
            std::panic::set_hook(Box::new(move |info| {
                give_back();
                before(info);
            }));
        });
        // The library would turn NO_COLOR into a reset that also wipes reverse video: colours are left out by the theme.
        style::force_color_output(true);
        TAKEN.store(true, Ordering::SeqCst);
        if let Err(e) = terminal::enable_raw_mode() {
            TAKEN.store(false, Ordering::SeqCst);
            return Err(Fault::new(Kind::Refused, e.to_string())
                .because("the terminal cannot be used for the console")
                .hint("run it in a terminal; for scripts there are commands such as `longshore ps`"));
        }
        Ok(Guard(()))
    }

    /// Takes the terminal again after it was given back for a while.
    ///
    /// # Errors
    /// When it refuses raw mode.
    pub fn again(&self) -> Outcome<()> {
        TAKEN.store(true, Ordering::SeqCst);
        terminal::enable_raw_mode().map_err(|e| Fault::new(Kind::Refused, e.to_string()))
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        give_back();
    }
}

/// True while the console has the terminal. A panic anywhere in the process gives it back, also one that is survived.
pub fn is_taken() -> bool {
    TAKEN.load(Ordering::SeqCst)
}

/// Gives the terminal back. Safe to call at any time and twice; never waits for a terminal that reads nothing.
pub fn give_back() {
    if !TAKEN.swap(false, Ordering::SeqCst) {
        return;
    }
    // A descriptor of its own that does not block: the usual one may be stuck in the writer.
    let tty = OpenOptions::new().write(true).custom_flags(nix::libc::O_NONBLOCK).open("/dev/tty");
    match tty {
        Ok(mut tty) => drop(tty.write_all(LEAVE.as_bytes())),
        Err(_) => drop(std::io::stdout().write_all(LEAVE.as_bytes())),
    }
    drop(terminal::disable_raw_mode());
}

/// The terminal to read from and the one to write to.
///
/// # Errors
/// When there is no terminal.
pub fn open() -> Outcome<(File, File)> {
    let no_terminal = |e: std::io::Error| {
        Fault::new(Kind::Refused, e.to_string())
            .because("there is no terminal here")
            .hint("run it in a terminal; for scripts there are commands such as `longshore ps`")
    };
    let (stdin, stdout) = (std::io::stdin(), std::io::stdout());
    let input = if stdin.is_terminal() {
        stdin.as_fd().try_clone_to_owned().map(File::from)
    } else {
        File::open("/dev/tty")
    };
    let output = if stdout.is_terminal() {
        stdout.as_fd().try_clone_to_owned().map(File::from)
    } else {
        OpenOptions::new().write(true).open("/dev/tty")
    };
    Ok((input.map_err(no_terminal)?, output.map_err(no_terminal)?))
}

/// Columns and rows of the terminal; 80x24 when it does not tell.
pub fn size() -> (u16, u16) {
    match terminal::size() {
        Ok((0, _) | (_, 0)) | Err(_) => (80, 24),
        Ok(size) => size,
    }
}
