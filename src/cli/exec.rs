//! `exec`: a program in a container, with our input, our output and its exit status.

use futures_util::future::{Either, pending};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;

use crate::base::text::safe_lines;
use crate::cli::Purpose;
use crate::cli::args::ExecArgs;
use crate::cli::cx::{Cx, Done, Stop};
use crate::cli::target::Written;
use crate::model::exec::{ExecInput, ExecOutput, ExecSession, ExecWanted};

/// `longshore exec`
pub async fn run(cx: &mut Cx<'_>, args: ExecArgs) -> Done {
    if cx.session.read_only {
        return Err(Stop::said("this session is read-only: no program is run")
            .hint("leave out --read-only to run programs"));
    }
    let tty = match (args.tty, cx.print.io.keys.size()) {
        (false, _) => None,
        (true, Some(size)) => Some(size),
        (true, None) => {
            return Err(Stop::said("-t needs a terminal on standard input and output").hint("leave out -t"));
        }
    };
    let target = Written::read(&args.target)?;
    let engine = cx.open(Purpose::Look).await?;
    let (host, container) = cx.find(&engine, |world| target.find_one(world)).await?;
    let wanted = ExecWanted { command: args.command, tty, stdin: args.interactive };
    let session = tokio::select! {
        session = engine.handle.exec(host, container, wanted) => session?,
        () = cx.interrupted() => return Err(Stop::said("stopped before the program ran")),
    };
    // Keys go through unread only when somebody is there to read them: without -i, Ctrl-C stays ours.
    let raw = if tty.is_some() && args.interactive { Some(cx.print.io.keys.raw()?) } else { None };
    let keys = args.interactive.then(|| cx.print.io.keys.read());
    let done = relay(cx, session, keys, tty.is_some()).await;
    drop(raw);
    done
}

async fn relay(
    cx: &mut Cx<'_>,
    session: ExecSession,
    mut keys: Option<mpsc::Receiver<Vec<u8>>>,
    tty: bool,
) -> Done {
    let ExecSession { input, mut output } = session;
    // Without `-i` the program's standard input is closed at once; with a terminal it stays, for the window's size.
    let mut input = (keys.is_some() || tty).then_some(input);
    let mut resized = window_changes(tty)?;
    let mut shown = Shown { out: Decoder::default(), err: Decoder::default(), tty };
    loop {
        tokio::select! {
            out = output.recv() => match out {
                Some(ExecOutput::Exit(status)) => {
                    return Ok(u8::try_from(status.clamp(0, 255)).unwrap_or(u8::MAX));
                }
                Some(ExecOutput::Lost(why)) => return Err(lost(&why)),
                None => return Err(lost("the engine has ended the session")),
                Some(ExecOutput::Out(bytes)) => shown.out(cx, &bytes)?,
                Some(ExecOutput::Err(bytes)) => shown.err(cx, &bytes),
            },
            block = next_block(&mut keys) => match (block, &input) {
                (Some(bytes), Some(to)) => {
                    if to.send(ExecInput::Bytes(bytes)).await.is_err() {
                        keys = None;
                    }
                }
                _ => {
                    keys = None;
                    // The end of our input is the end of the program's; a terminal ends by its own key.
                    if !tty {
                        input = None;
                    }
                }
            },
            () = window_changed(&mut resized) => {
                if let (Some(to), Some((columns, rows))) = (&input, cx.print.io.keys.size()) {
                    // A full queue or an ended program: the next change tells the size again.
                    drop(to.try_send(ExecInput::Resize(columns, rows)));
                }
            }
            () = cx.interrupted() => {
                return Err(Stop::said("stopped; the program may still run in the container"));
            }
        }
    }
}

async fn next_block(keys: &mut Option<mpsc::Receiver<Vec<u8>>>) -> Option<Vec<u8>> {
    match keys {
        Some(keys) => keys.recv().await,
        None => pending().await,
    }
}

fn window_changes(tty: bool) -> Result<Option<Signal>, Stop> {
    let signals = tty.then(|| signal(SignalKind::window_change())).transpose();
    signals.map_err(|e| Stop::said(format!("signals cannot be received: {e}")))
}

async fn window_changed(signals: &mut Option<Signal>) {
    let change = match signals {
        Some(signals) => Either::Left(signals.recv()),
        None => Either::Right(pending()),
    };
    change.await;
}

fn lost(why: &str) -> Stop {
    Stop::said(format!("the connection to the program was lost: {why}"))
        .hint("the program may still run in the container")
}

/// What the program says: as it is for programs and for a terminal that is given to it, sanitised for any other.
struct Shown {
    out: Decoder,
    err: Decoder,
    tty: bool,
}

impl Shown {
    fn out(&mut self, cx: &mut Cx<'_>, bytes: &[u8]) -> Result<(), Stop> {
        if self.tty || !cx.print.io.out_is_tty {
            cx.print.raw(bytes)?;
        } else {
            cx.print.raw(self.out.safe(bytes).as_bytes())?;
        }
        cx.print.flush()
    }

    fn err(&mut self, cx: &mut Cx<'_>, bytes: &[u8]) {
        if self.tty || !cx.print.io.err_is_tty {
            cx.print.raw_error(bytes);
        } else {
            let text = self.err.safe(bytes);
            cx.print.raw_error(text.as_bytes());
        }
    }
}

/// Bytes as text that is safe for a terminal; what is cut in two is kept until its rest comes.
#[derive(Default)]
struct Decoder {
    rest: Vec<u8>,
}

impl Decoder {
    fn safe(&mut self, bytes: &[u8]) -> String {
        self.rest.extend_from_slice(bytes);
        let mut cut = whole_characters(&self.rest);
        // A carriage return may be the first half of a line end.
        cut -= usize::from(self.rest[..cut].ends_with(b"\r"));
        let text = String::from_utf8_lossy(&self.rest[..cut]).replace("\r\n", "\n");
        self.rest.drain(..cut);
        let end = if text.ends_with('\n') { "\n" } else { "" };
        format!("{}{end}", safe_lines(&text))
    }
}

/// How many bytes there are before a character that is cut off at the end.
fn whole_characters(bytes: &[u8]) -> usize {
    let mut from = 0;
    loop {
        match std::str::from_utf8(&bytes[from..]) {
            Ok(_) => return bytes.len(),
            Err(e) => match e.error_len() {
                None => return from + e.valid_up_to(),
                Some(bad) => from += e.valid_up_to() + bad,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_for_a_terminal_is_safe_and_whole() {
        let mut decoder = Decoder::default();
        let all = "a中\n\u{1b}[2Jb\r\n";
        let shown: String = all.as_bytes().iter().map(|b| decoder.safe(&[*b])).collect();
        assert_eq!(shown, "a中\n\\e[2Jb\n");
        assert_eq!(decoder.safe(b"x\xff\t\xe4"), "x\u{fffd}    ");
    }
}
