//! The engine's end of the link: accepts consoles, knows who they are by their peer credentials, serves each in its task.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream::SplitSink;
use futures_util::{SinkExt, StreamExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio_util::codec::{Framed, LengthDelimitedCodec};

use crate::base::fault::{Fault, Kind, Outcome};
use crate::engine::core::Incoming;
use crate::engine::handle::{Call, TAIL_CHUNKS_MAX};
use crate::engine::intake::Caller;
use crate::engine::link::frames::{
    BEAT, Difference, FromEngine, Id, PROTOCOL, ToEngine, codec, decode, encode,
};
use crate::model::exec::{ExecInput, ExecSession};
use crate::model::world::World;

/// Consoles and commands that may be attached at a time; one more is refused in words.
const CLIENTS_MAX: usize = 64;
/// Frames that may wait for one client; tails drop lines before that, a client that reads nothing is waited for alone.
const FRAMES_MAX: usize = 64;
/// A slow client gets the world at most so often.
const WORLD_EVERY: std::time::Duration = std::time::Duration::from_millis(30);

/// Who says nothing for so long after connecting gives up the place.
const HELLO_WITHIN: std::time::Duration = std::time::Duration::from_secs(5);

/// Opens the socket, mode 0600. The caller holds the lock, so a socket that is there is left over.
///
/// # Errors
/// When it cannot be made.
pub fn listen(path: &Path) -> Outcome<UnixListener> {
    let fail = |e: std::io::Error| {
        Fault::new(Kind::Refused, format!("the engine's socket {} cannot be made: {e}", path.display()))
            .hint("give another state directory with --state DIR (its path must be shorter than 100 bytes)")
    };
    match std::fs::remove_file(path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(fail(e)),
        _ => {}
    }
    let listener = UnixListener::bind(path).map_err(fail)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).map_err(fail)?;
    Ok(listener)
}

/// Accepts clients until it is dropped.
pub async fn serve(
    listener: UnixListener,
    calls: mpsc::Sender<Incoming>,
    world: watch::Receiver<Arc<World>>,
) {
    let mut clients = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) if clients.len() < CLIENTS_MAX => {
                    clients.spawn(client(stream, calls.clone(), world.clone()));
                }
                Ok((stream, _)) => drop(tokio::spawn(refuse(stream, format!("{CLIENTS_MAX} consoles are attached already")))),
                // Out of descriptors: those that are attached go on; try again when one has left.
                Err(_) => tokio::time::sleep(std::time::Duration::from_millis(200)).await,
            },
            Some(_) = clients.join_next() => {}
        }
    }
}

async fn refuse(stream: UnixStream, why: String) {
    let mut frames = Framed::new(stream, codec());
    if let Ok(bytes) = encode(&FromEngine::Refused(why)) {
        let _ = frames.send(bytes).await;
    }
}

/// The user's name behind a peer, or their number.
fn user_of(stream: &UnixStream) -> String {
    stream.peer_cred().map_or_else(
        |_| "unknown".to_owned(),
        |peer| crate::engine::lock::user_name(nix::unistd::Uid::from_raw(peer.uid())),
    )
}

async fn client(stream: UnixStream, calls: mpsc::Sender<Incoming>, world: watch::Receiver<Arc<World>>) {
    let who = user_of(&stream);
    let (mut sink, mut frames) = Framed::new(stream, codec()).split();
    let hello = tokio::time::timeout(HELLO_WITHIN, frames.next()).await.ok().flatten();
    let hello = hello.and_then(Result::ok).and_then(|bytes| decode(&bytes).ok());
    let Some(ToEngine::Hello { protocol: PROTOCOL, read_only }) = hello else {
        let why =
            "this console is another version of longshore than the running engine: end that engine first"
                .to_owned();
        if let Ok(bytes) = encode(&FromEngine::Refused(why)) {
            let _ = sink.send(bytes).await;
        }
        return;
    };
    let (out, outbox) = mpsc::channel::<Bytes>(FRAMES_MAX);
    let mut served = Served {
        caller: Caller { who, read_only, login: None },
        calls,
        out,
        tails: BTreeMap::new(),
        programs: BTreeMap::new(),
        tasks: JoinSet::new(),
    };
    // Side by side: a client that waits until its input is taken still gets what it is told, and the other way round.
    let reading = async {
        loop {
            tokio::select! {
                frame = frames.next() => match frame.and_then(Result::ok).map(|bytes| decode(&bytes)) {
                    Some(Ok(frame)) => served.take(frame).await,
                    Some(Err(_)) | None => return,
                },
                Some(_) = served.tasks.join_next() => {}
            }
        }
    };
    tokio::select! {
        () = reading => {}
        () = tell(&mut sink, outbox, world) => {}
    }
}

/// Writes what there is for one client: answers first, then the latest world.
async fn tell(
    sink: &mut SplitSink<Framed<UnixStream, LengthDelimitedCodec>, Bytes>,
    mut outbox: mpsc::Receiver<Bytes>,
    mut world: watch::Receiver<Arc<World>>,
) {
    let mut sent = Arc::new(World::default());
    let mut pace = tokio::time::interval(WORLD_EVERY);
    pace.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut beat = tokio::time::interval(BEAT);
    beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut fresh = true;
    loop {
        tokio::select! {
            biased;
            Some(bytes) = outbox.recv() => if sink.send(bytes).await.is_err() { return },
            _ = pace.tick(), if fresh => {
                fresh = false;
                let now = world.borrow_and_update().clone();
                let difference = Difference::between(&sent, &now);
                sent = now;
                for part in difference.parts() {
                    let Ok(bytes) = encode(&FromEngine::World(Box::new(part))) else { return };
                    if sink.send(bytes).await.is_err() { return }
                    while let Ok(bytes) = outbox.try_recv() {
                        if sink.send(bytes).await.is_err() { return }
                    }
                }
            }
            changed = world.changed(), if !fresh => if changed.is_err() { return } else { fresh = true },
            _ = beat.tick() => fresh = true,
        }
    }
}

/// What one client has open.
struct Served {
    caller: Caller,
    calls: mpsc::Sender<Incoming>,
    out: mpsc::Sender<Bytes>,
    /// Dropping the sender closes the tail.
    tails: BTreeMap<Id, oneshot::Sender<()>>,
    programs: BTreeMap<Id, mpsc::Sender<ExecInput>>,
    tasks: JoinSet<()>,
}

impl Served {
    async fn take(&mut self, frame: ToEngine) {
        match frame {
            ToEngine::Hello { .. } => {}
            ToEngine::Ask(id, request) => {
                let (reply, answer) = oneshot::channel();
                self.call(Call::Ask { request, reply }).await;
                let out = self.out.clone();
                self.tasks.spawn(async move {
                    if let Ok(reply) = answer.await {
                        send(&out, &FromEngine::Reply(id, Box::new(reply))).await;
                    }
                });
            }
            ToEngine::Tail(id, request) => {
                let (sink, chunks) = mpsc::channel(TAIL_CHUNKS_MAX);
                let (close, closed) = oneshot::channel();
                self.call(Call::Tail { request, sink }).await;
                self.tails.insert(id, close);
                self.tasks.spawn(pump_tail(id, chunks, closed, self.out.clone()));
            }
            ToEngine::CloseTail(id) => drop(self.tails.remove(&id)),
            ToEngine::Exec(id, host, container, wanted) => {
                let (reply, session) = oneshot::channel();
                let (input, inputs) = mpsc::channel(FRAMES_MAX);
                self.call(Call::Exec { host, container, wanted, reply }).await;
                self.programs.insert(id, input);
                self.tasks.spawn(pump_program(id, session, inputs, self.out.clone()));
            }
            ToEngine::ExecInput(id, input) => {
                if let Some(program) = self.programs.get(&id) {
                    let _ = program.send(input).await;
                }
            }
            ToEngine::ExecInputEnd(id) => drop(self.programs.remove(&id)),
        }
    }

    async fn call(&self, call: Call) {
        let _ = self.calls.send(Incoming { caller: self.caller.clone(), call }).await;
    }
}

async fn send(out: &mpsc::Sender<Bytes>, frame: &FromEngine) {
    if let Ok(bytes) = encode(frame) {
        let _ = out.send(bytes).await;
    }
}

async fn pump_tail(
    id: Id,
    mut chunks: mpsc::Receiver<crate::model::logs::LogChunk>,
    mut closed: oneshot::Receiver<()>,
    out: mpsc::Sender<Bytes>,
) {
    loop {
        tokio::select! {
            _ = &mut closed => return,
            chunk = chunks.recv() => match chunk {
                Some(chunk) => send(&out, &FromEngine::Chunk(id, chunk)).await,
                None => return,
            },
        }
    }
}

async fn pump_program(
    id: Id,
    session: oneshot::Receiver<Outcome<ExecSession>>,
    mut inputs: mpsc::Receiver<ExecInput>,
    out: mpsc::Sender<Bytes>,
) {
    let gone = || Err(Fault::new(Kind::Unreachable, "the engine has stopped"));
    let mut session = match session.await.unwrap_or_else(|_| gone()) {
        Ok(session) => session,
        Err(fault) => return send(&out, &FromEngine::ExecBegun(id, Err(fault))).await,
    };
    send(&out, &FromEngine::ExecBegun(id, Ok(()))).await;
    let input = session.input;
    let feeding = async move {
        while let Some(item) = inputs.recv().await {
            if input.send(item).await.is_err() {
                break;
            }
        }
        drop(input);
        std::future::pending::<()>().await;
    };
    let telling = async {
        while let Some(output) = session.output.recv().await {
            send(&out, &FromEngine::ExecOutput(id, output)).await;
        }
    };
    // Side by side: a program that waits until its output is taken does not read its input meanwhile.
    tokio::select! {
        () = feeding => {}
        () = telling => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::exec::ExecOutput;

    #[tokio::test(start_paused = true)]
    async fn a_program_that_writes_while_it_is_written_to_does_not_get_stuck() {
        let (input, mut to_program) = mpsc::channel(1);
        let (from_program, output) = mpsc::channel(1);
        tokio::spawn(async move {
            while to_program.recv().await.is_some() {
                for _ in 0..4 {
                    from_program.send(ExecOutput::Out(vec![0])).await.unwrap();
                }
            }
        });
        let (begun, session) = oneshot::channel();
        begun.send(Ok(ExecSession { input, output })).unwrap();
        let (feed, inputs) = mpsc::channel(FRAMES_MAX);
        let (out, mut frames) = mpsc::channel(FRAMES_MAX);
        tokio::spawn(pump_program(1, session, inputs, out));
        let feeding = async {
            for _ in 0..200 {
                feed.send(ExecInput::Bytes(vec![0])).await.unwrap();
            }
            drop(feed);
        };
        let reading = async {
            let mut got = 0;
            while frames.recv().await.is_some() {
                got += 1;
            }
            got
        };
        let both = async { tokio::join!(feeding, reading).1 };
        let got = tokio::time::timeout(std::time::Duration::from_secs(60), both).await;
        assert_eq!(got, Ok(1 + 200 * 4));
    }
}
