//! The console's end of the link: the same calls as in-process, carried over the socket; the world rebuilt from differences.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use tokio::net::UnixStream;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, sleep_until};
use tokio_util::codec::{Framed, LengthDelimitedCodec};

use crate::base::fault::{Fault, Kind, Outcome};
use crate::engine::handle::Call;
use crate::engine::link::frames::{FromEngine, Id, PROTOCOL, ToEngine, codec, decode, encode};
use crate::model::exec::{ExecInput, ExecOutput, ExecSession};
use crate::model::logs::LogChunk;
use crate::model::query::Reply;
use crate::model::world::{EngineView, World};

/// Inputs and outputs of a program that may wait.
const PROGRAM_MAX: usize = 64;

/// Longest wait for the engine's first words.
const HELLO_WITHIN: Duration = Duration::from_secs(2);
/// The engine says something at least every [`BEAT`](crate::engine::link::frames::BEAT); silent for so long, it is stopped or starved.
const SILENT_AFTER: Duration = Duration::from_secs(6);

type Frames = Framed<UnixStream, LengthDelimitedCodec>;

/// A connection to the engine that holds the lock.
pub struct Link {
    sink: SplitSink<Frames, bytes::Bytes>,
    frames: SplitStream<Frames>,
    /// The first frame, which has shown that somebody is there.
    first: Option<FromEngine>,
}

/// Connects, says hello and waits for the answer.
///
/// # Errors
/// `Unreachable` when no engine listens there, or it does not answer.
pub async fn connect(path: &Path, read_only: bool) -> Outcome<Link> {
    let stream = UnixStream::connect(path).await.map_err(|e| {
        Fault::new(Kind::Unreachable, format!("no engine answers at {}: {e}", path.display()))
    })?;
    let (mut sink, mut frames) = Framed::new(stream, codec()).split();
    let hello = encode(&ToEngine::Hello { protocol: PROTOCOL, read_only })?;
    sink.send(hello).await.map_err(|e| lost(&e.to_string()))?;
    let first = tokio::time::timeout(HELLO_WITHIN, frames.next()).await.map_err(|_| {
        Fault::new(Kind::Unreachable, format!("it has said nothing for {} s", HELLO_WITHIN.as_secs()))
    })?;
    Ok(Link { sink, frames, first: Some(read(first)?) })
}

fn read(frame: Option<std::io::Result<bytes::BytesMut>>) -> Outcome<FromEngine> {
    match frame {
        Some(Ok(bytes)) => decode(&bytes),
        Some(Err(e)) => Err(lost(&e.to_string())),
        None => Err(lost("it was closed")),
    }
}

/// Says on screen that the engine is silent; its next words take that back.
fn tell_silence(publish: &watch::Sender<Arc<World>>) {
    publish.send_modify(|world| {
        let why = format!("silent for {} s: stopped or starved", SILENT_AFTER.as_secs());
        let engine = EngineView { trouble: Some(why), ..world.engine.clone() };
        *world = Arc::new(World { engine, ..(**world).clone() });
    });
}

fn lost(why: &str) -> Fault {
    Fault::new(Kind::Unreachable, format!("the connection to the engine was lost: {why}"))
}

/// Who waits for which frames.
#[derive(Default)]
struct Open {
    next: Id,
    asked: BTreeMap<Id, oneshot::Sender<Reply>>,
    /// With the number of lines that found no room and are not told yet.
    tails: BTreeMap<Id, (mpsc::Sender<LogChunk>, u64)>,
    begun: BTreeMap<Id, oneshot::Sender<Outcome<ExecSession>>>,
    programs: BTreeMap<Id, mpsc::Sender<ExecOutput>>,
}

impl Link {
    /// Carries calls until the connection ends; returns why. Open tails end, open requests are answered by their drop.
    pub async fn carry(
        mut self,
        calls: &mut mpsc::Receiver<Call>,
        publish: &watch::Sender<Arc<World>>,
    ) -> Fault {
        let mut open = Open::default();
        // Inputs of programs from all sessions, and tails whose reader has gone.
        let (later, mut outgoing) = mpsc::channel::<ToEngine>(PROGRAM_MAX);
        let mut world = World::default();
        let mut next = self.first.take().map(Ok);
        let mut silent_at = Some(Instant::now() + SILENT_AFTER);
        loop {
            if let Some(frame) = next.take() {
                match frame {
                    Ok(FromEngine::World(difference)) => {
                        // A beat brings nothing new; after a silence it takes the trouble back.
                        if difference.apply(&mut world) || silent_at.is_none() {
                            publish.send_replace(Arc::new(world.clone()));
                        }
                    }
                    Ok(FromEngine::Refused(why)) => return Fault::new(Kind::Refused, why),
                    Ok(frame) => open.receive(frame, &later).await,
                    Err(fault) => return fault,
                }
                silent_at = Some(Instant::now() + SILENT_AFTER);
            }
            tokio::select! {
                frame = self.frames.next() => next = Some(read(frame)),
                () = sleep_until(silent_at.unwrap_or_else(Instant::now)), if silent_at.is_some() => {
                    silent_at = None;
                    tell_silence(publish);
                }
                call = calls.recv() => match call {
                    Some(call) => {
                        let frame = open.send(call, &later);
                        if let Err(fault) = self.write(&frame).await { return fault }
                    }
                    None => return Fault::new(Kind::Bug, "nobody uses this connection any more"),
                },
                Some(frame) = outgoing.recv() => {
                    if let ToEngine::CloseTail(id) = &frame {
                        open.tails.remove(id);
                    }
                    if let Err(fault) = self.write(&frame).await { return fault }
                }
            }
        }
    }

    async fn write(&mut self, frame: &ToEngine) -> Outcome<()> {
        let bytes = encode(frame)?;
        self.sink.send(bytes).await.map_err(|e| lost(&e.to_string()))
    }
}

impl Open {
    fn send(&mut self, call: Call, later: &mpsc::Sender<ToEngine>) -> ToEngine {
        self.next += 1;
        let id = self.next;
        match call {
            Call::Ask { request, reply } | Call::Looked { request, reply } => {
                self.asked.insert(id, reply);
                ToEngine::Ask(id, request)
            }
            Call::Tail { request, sink } => {
                let (gone, later) = (sink.clone(), later.clone());
                tokio::spawn(async move {
                    gone.closed().await;
                    let _ = later.send(ToEngine::CloseTail(id)).await;
                });
                self.tails.insert(id, (sink, 0));
                ToEngine::Tail(id, request)
            }
            Call::Exec { host, container, wanted, reply } => {
                self.begun.insert(id, reply);
                ToEngine::Exec(id, host, container, wanted)
            }
        }
    }

    async fn receive(&mut self, frame: FromEngine, later: &mpsc::Sender<ToEngine>) {
        match frame {
            FromEngine::Reply(id, reply) => {
                if let Some(asked) = self.asked.remove(&id) {
                    let _ = asked.send(*reply);
                }
            }
            FromEngine::Chunk(id, chunk) => self.chunk(id, chunk),
            FromEngine::ExecBegun(id, result) => self.begin(id, result, later),
            FromEngine::ExecOutput(id, output) => {
                let over = matches!(output, ExecOutput::Exit(_) | ExecOutput::Lost(_));
                if let Some(program) = self.programs.get(&id) {
                    let _ = program.send(output).await;
                }
                if over {
                    self.programs.remove(&id);
                }
            }
            FromEngine::World(_) | FromEngine::Refused(_) => {}
        }
    }

    /// A reader that is too slow loses lines here as it would in-process, counted.
    fn chunk(&mut self, id: Id, chunk: LogChunk) {
        let Some((tail, skipped)) = self.tails.get_mut(&id) else { return };
        let over = chunk == LogChunk::End;
        if *skipped > 0 && tail.try_send(LogChunk::Skipped(*skipped)).is_ok() {
            *skipped = 0;
        }
        if let Err(mpsc::error::TrySendError::Full(lost)) = tail.try_send(chunk) {
            *skipped += match lost {
                LogChunk::Lines(lines) => lines.len() as u64,
                LogChunk::Skipped(more) => more,
                LogChunk::Lanes(_) | LogChunk::Note(_) | LogChunk::End => 0,
            };
        }
        if over {
            self.tails.remove(&id);
        }
    }

    fn begin(&mut self, id: Id, result: Result<(), Fault>, later: &mpsc::Sender<ToEngine>) {
        let Some(waiting) = self.begun.remove(&id) else { return };
        let session = result.map(|()| {
            let (input, mut inputs) = mpsc::channel::<ExecInput>(PROGRAM_MAX);
            let (out, output) = mpsc::channel(PROGRAM_MAX);
            self.programs.insert(id, out);
            let later = later.clone();
            tokio::spawn(async move {
                while let Some(item) = inputs.recv().await {
                    let _ = later.send(ToEngine::ExecInput(id, item)).await;
                }
                let _ = later.send(ToEngine::ExecInputEnd(id)).await;
            });
            ExecSession { input, output }
        });
        let _ = waiting.send(session);
    }
}
