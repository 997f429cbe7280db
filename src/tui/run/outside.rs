//! What effects do: requests, logs, the clipboard, files, shells.

use std::collections::BTreeMap;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::signal::unix::Signal;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

use crate::base::ids::{ContainerId, HostId};
use crate::engine::handle::Handle;
use crate::model::exec::{ExecInput, ExecOutput, ExecWanted};
use crate::model::logs::{LogChunk, LogRequest};
use crate::model::query::{Reply, Request};
use crate::tui::bytes::Input;
use crate::tui::effect::Effect;
use crate::tui::event::{Event, TailId, Ticket};
use crate::tui::screen::{Screen, clipboard};
use crate::tui::term;

/// Events from outside that may wait for the loop; senders wait when it is full.
const EVENTS_MAX: usize = 64;
/// A shell that has not begun after this time is given up: keys must not wait longer.
const SHELL_WAIT: Duration = Duration::from_secs(5);
/// Ctrl-] leaves a shell that does not end.
const ESCAPE: u8 = 0x1d;

/// What to do after an effect.
pub enum Next {
    /// Nothing.
    Go,
    /// An event that is its immediate answer.
    Tell(Event),
    /// End the console.
    Quit,
}

/// The world outside of the app.
pub struct Outside {
    handle: Handle,
    screen: Screen,
    raw: Arc<AtomicBool>,
    to: mpsc::Sender<Event>,
    from: mpsc::Receiver<Event>,
    tails: BTreeMap<TailId, AbortHandle>,
    /// A shell was asked for.
    pub shell: Option<(HostId, ContainerId)>,
    /// The process shall stop.
    pub suspend: bool,
}

impl Outside {
    /// The outside behind a handle and a screen.
    pub fn new(handle: Handle, screen: Screen, raw: Arc<AtomicBool>) -> Outside {
        let (to, from) = mpsc::channel(EVENTS_MAX);
        Outside { handle, screen, raw, to, from, tails: BTreeMap::new(), shell: None, suspend: false }
    }

    /// The next event from outside. Never ends.
    pub async fn next(&mut self) -> Event {
        match self.from.recv().await {
            Some(event) => event,
            None => std::future::pending().await,
        }
    }

    /// Does one effect. Nothing here waits.
    pub fn act(&mut self, effect: Effect) -> Next {
        match effect {
            Effect::Ask(ticket, request) => return self.ask(ticket, request),
            Effect::OpenTail(id, request) => return self.open_tail(id, request),
            Effect::CloseTail(id) => {
                if let Some(task) = self.tails.remove(&id) {
                    task.abort();
                }
            }
            Effect::Copy(text) => {
                let tmux = std::env::var_os("TMUX").is_some();
                if !self.screen.raw(&clipboard(&text, tmux)) {
                    return Next::Tell(Event::Told("the terminal is too slow for the clipboard now".into()));
                }
            }
            Effect::Exec { host, container } => self.shell = Some((host, container)),
            Effect::SaveFile { name, text } => self.save(name, text),
            Effect::Mouse(on) => {
                self.screen.raw(if on { term::MOUSE_ON } else { term::MOUSE_OFF }.as_bytes());
                let what = if on {
                    "the wheel scrolls here; hold Shift to select text"
                } else {
                    "the mouse is the terminal's own"
                };
                return Next::Tell(Event::Told(what.into()));
            }
            Effect::Suspend => self.suspend = true,
            Effect::Redraw => self.screen.forget(),
            Effect::Quit => return Next::Quit,
        }
        Next::Go
    }

    fn ask(&self, ticket: Ticket, request: Request) -> Next {
        match self.handle.try_ask(request) {
            Err(refusal) => Next::Tell(Event::Replied(ticket, Reply::Refused(refusal))),
            Ok(answer) => {
                let to = self.to.clone();
                tokio::spawn(async move {
                    let gone = || {
                        let fault = crate::base::fault::Kind::Unreachable;
                        Reply::Failed(crate::base::fault::Fault::new(
                            fault,
                            "the engine stopped before it answered",
                        ))
                    };
                    let reply = answer.await.unwrap_or_else(|_| gone());
                    // The console may be gone.
                    let _gone = to.send(Event::Replied(ticket, reply)).await;
                });
                Next::Go
            }
        }
    }

    fn open_tail(&mut self, id: TailId, request: LogRequest) -> Next {
        let mut chunks = match self.handle.tail(request) {
            Ok(chunks) => chunks,
            Err(refusal) => {
                let note = LogChunk::Note(refusal.to_string());
                return Next::Tell(Event::Tail(id, note));
            }
        };
        let to = self.to.clone();
        let task = tokio::spawn(async move {
            while let Some(chunk) = chunks.recv().await {
                if to.send(Event::Tail(id, chunk)).await.is_err() {
                    return;
                }
            }
            let _gone = to.send(Event::Tail(id, LogChunk::End)).await;
        });
        self.tails.insert(id, task.abort_handle());
        Next::Go
    }

    fn save(&self, name: String, text: String) {
        let to = self.to.clone();
        tokio::task::spawn_blocking(move || {
            let made = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&name);
            let told = match made.and_then(|mut file| file.write_all(text.as_bytes())) {
                Ok(()) => format!("saved to {name}"),
                Err(e) => format!("not saved to {name}: {e}"),
            };
            let _gone = to.blocking_send(Event::Told(told));
        });
    }

    /// Writes a shell's output; waits, without blocking anybody else, while the terminal is slow.
    async fn write(&self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let (head, tail) = bytes.split_at(bytes.len().min(4096));
            while !self.screen.raw(head) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            bytes = tail;
        }
    }
}

impl Drop for Outside {
    fn drop(&mut self) {
        self.tails.values().for_each(AbortHandle::abort);
    }
}

/// Leaves the screen to a shell in a container until it ends. Returns a sentence about how it ended.
pub async fn shell(
    outside: &mut Outside,
    host: HostId,
    container: ContainerId,
    inputs: &mut mpsc::Receiver<Input>,
    resized: &mut Signal,
) -> String {
    let find = "command -v bash >/dev/null 2>&1 && exec bash; exec sh";
    let wanted = ExecWanted {
        command: ["/bin/sh", "-c", find].map(str::to_owned).to_vec(),
        tty: Some(term::size()),
        stdin: true,
    };
    let asked = outside.handle.exec(host.clone(), container.clone(), wanted);
    let mut session = match tokio::time::timeout(SHELL_WAIT, asked).await {
        Err(_) => return format!("no shell in {} on {host}: no answer in time", container.short()),
        Ok(Ok(session)) => session,
        Ok(Err(fault)) => return format!("no shell in {} on {host}: {fault}", container.short()),
    };
    outside.raw.store(true, Ordering::Relaxed);
    outside.write(term::LEAVE.as_bytes()).await;
    outside
        .write(format!("shell in {} on {host}; exit or Ctrl-] comes back\r\n", container.short()).as_bytes())
        .await;
    let told = loop {
        tokio::select! {
            input = inputs.recv() => match input {
                Some(Input::Raw(bytes)) if bytes.contains(&ESCAPE) => break "the shell was left".to_owned(),
                Some(Input::Raw(bytes)) => {
                    if session.input.send(ExecInput::Bytes(bytes)).await.is_err() {
                        break "the shell has ended".to_owned();
                    }
                }
                Some(Input::Hangup) | None => break "the terminal is gone".to_owned(),
                Some(_) => {}
            },
            _ = resized.recv() => {
                let (columns, rows) = term::size();
                // A shell that has ended needs no size.
                let _gone = session.input.send(ExecInput::Resize(columns, rows)).await;
            }
            output = session.output.recv() => match output {
                Some(ExecOutput::Out(bytes) | ExecOutput::Err(bytes)) => outside.write(&bytes).await,
                Some(ExecOutput::Exit(status)) => break format!("the shell ended with status {status}"),
                Some(ExecOutput::Lost(why)) => {
                    break format!("the shell was lost: {}", crate::base::text::safe(&why));
                }
                None => break "the shell has ended".to_owned(),
            },
        }
    };
    outside.raw.store(false, Ordering::Relaxed);
    told
}
