//! Where the command line reads and writes: handed in, so that tests drive it without a process.

use std::collections::BTreeMap;
use std::io::{IsTerminal, Read, Write};
use std::sync::Arc;

use tokio::sync::{Notify, mpsc};

use crate::base::clock::{SharedClock, SystemClock};
use crate::base::fault::Outcome;
use crate::cli::rawtty;

/// Input blocks of `exec` that may wait to be sent; then reading pauses.
const INPUT_BLOCKS: usize = 16;
/// Bytes read from standard input at a time.
const INPUT_BYTES: usize = 8 * 1024;
/// Columns where there is no terminal to ask.
const COLUMNS: usize = 80;

/// The command line's surroundings.
pub struct Io {
    /// Standard output.
    pub out: Box<dyn Write + Send>,
    /// Standard error.
    pub err: Box<dyn Write + Send>,
    /// Standard output is a terminal.
    pub out_is_tty: bool,
    /// Standard error is a terminal.
    pub err_is_tty: bool,
    /// Columns of the terminal (80 when there is none).
    pub width: usize,
    /// The environment.
    pub env: BTreeMap<String, String>,
    /// Gives stamps and ages.
    pub clock: SharedClock,
    /// Told when the person wants to stop (Ctrl-C, TERM).
    pub interrupt: Arc<Notify>,
    /// Take Ctrl-C and TERM from the process; tests tell `interrupt` themselves.
    pub signals: bool,
    /// The keyboard and its terminal.
    pub keys: Box<dyn Keys>,
}

/// Standard input, and the terminal that it may be.
pub trait Keys: Send {
    /// Columns and rows, when standard input and output are a terminal.
    fn size(&self) -> Option<(u16, u16)>;
    /// Hands every key through unread until the guard is dropped.
    ///
    /// # Errors
    /// When standard input is not a terminal, or does not obey.
    fn raw(&self) -> Outcome<Box<dyn Send>>;
    /// Begins to read standard input; the channel closes at its end.
    fn read(&mut self) -> mpsc::Receiver<Vec<u8>>;
}

impl Io {
    /// The surroundings of this process.
    pub fn process() -> Io {
        let out_is_tty = std::io::stdout().is_terminal();
        Io {
            out: Box::new(std::io::BufWriter::new(std::io::stdout())),
            err: Box::new(std::io::stderr()),
            out_is_tty,
            err_is_tty: std::io::stderr().is_terminal(),
            width: terminal_size::terminal_size().map_or(COLUMNS, |(w, _)| usize::from(w.0)),
            env: std::env::vars_os()
                .filter_map(|(key, value)| Some((key.into_string().ok()?, value.into_string().ok()?)))
                .collect(),
            clock: Arc::new(SystemClock),
            interrupt: Arc::new(Notify::new()),
            signals: true,
            keys: Box::new(ProcessKeys),
        }
    }
}

struct ProcessKeys;

impl Keys for ProcessKeys {
    fn size(&self) -> Option<(u16, u16)> {
        let both = std::io::stdin().is_terminal() && std::io::stdout().is_terminal();
        terminal_size::terminal_size().filter(|_| both).map(|(w, h)| (w.0, h.0))
    }

    fn raw(&self) -> Outcome<Box<dyn Send>> {
        Ok(Box::new(rawtty::RawTty::enter()?))
    }

    fn read(&mut self) -> mpsc::Receiver<Vec<u8>> {
        let (blocks, input) = mpsc::channel(INPUT_BLOCKS);
        // A thread of its own: a read of standard input cannot be cancelled, and must not hold up the runtime's end.
        std::thread::spawn(move || {
            let mut block = vec![0; INPUT_BYTES];
            while let Ok(n @ 1..) = std::io::stdin().read(&mut block) {
                if blocks.blocking_send(block[..n].to_vec()).is_err() {
                    break;
                }
            }
        });
        input
    }
}
