//! The reader: a thread that waits for terminal bytes and notices when the terminal dies.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use tokio::sync::mpsc;

use crate::tui::bytes::{Decoder, Input};

/// Inputs that may wait for the loop; the thread waits when it is full.
const INPUTS_MAX: usize = 256;
/// An Esc that nothing follows for so long, in milliseconds, is the key.
const ESC_MS: u16 = 40;

/// The running reader.
pub struct Reader {
    /// What comes in.
    pub inputs: mpsc::Receiver<Input>,
    /// Set while a shell has the screen: bytes are passed on as they come.
    pub switch: Arc<AtomicBool>,
}

/// Starts the thread.
pub fn start(tty: File) -> io::Result<Reader> {
    let (to, inputs) = mpsc::channel(INPUTS_MAX);
    let switch = Arc::new(AtomicBool::new(false));
    let raw = switch.clone();
    std::thread::Builder::new().name("keys".into()).spawn(move || {
        read(tty, &to, &raw);
        // The loop may be gone already; then nobody is left to tell.
        let _gone = to.blocking_send(Input::Hangup);
    })?;
    Ok(Reader { inputs, switch })
}

fn read(mut tty: File, to: &mpsc::Sender<Input>, raw: &AtomicBool) {
    let mut decoder = Decoder::default();
    let mut bytes = [0; 4096];
    loop {
        let wait = if decoder.is_waiting() { PollTimeout::from(ESC_MS) } else { PollTimeout::NONE };
        let ready = {
            let mut fds = [PollFd::new(tty.as_fd(), PollFlags::POLLIN)];
            match poll(&mut fds, wait) {
                Ok(0) => Ok(PollFlags::empty()),
                Ok(_) => Ok(fds[0].revents().unwrap_or(PollFlags::POLLERR)),
                Err(e) => Err(e),
            }
        };
        let inputs = match ready {
            Err(nix::errno::Errno::EINTR) => continue,
            Err(_) => return,
            Ok(flags) if flags.is_empty() => decoder.flush(),
            Ok(flags) if !flags.contains(PollFlags::POLLIN) => return,
            Ok(_) => match tty.read(&mut bytes) {
                Ok(0) => return,
                Ok(n) if raw.load(Ordering::Relaxed) => vec![Input::Raw(bytes[..n].to_vec())],
                Ok(n) => decoder.feed(&bytes[..n]),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(_) => return,
            },
        };
        for input in inputs {
            if to.blocking_send(input).is_err() {
                return;
            }
        }
    }
}
