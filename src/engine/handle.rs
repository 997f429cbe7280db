//! The one way to talk to an engine core, the same whether it runs in this process or behind a socket.

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot, watch};

use crate::base::fault::{Fault, Kind, Outcome};
use crate::base::ids::{ContainerId, HostId};
use crate::model::command::{Command, Refusal, RefusalKind};
use crate::model::exec::{ExecSession, ExecWanted};
use crate::model::logs::{LogChunk, LogRequest};
use crate::model::query::{Query, Reply, Request};
use crate::model::world::World;

/// Requests that may wait for the core; one more is refused at once (house rule: a full queue never freezes a screen).
pub const CALLS_MAX: usize = 64;
/// Log chunks that may wait for a reader; beyond that the oldest lines are dropped and counted by the core.
pub const TAIL_CHUNKS_MAX: usize = 64;

/// Something on its way to a core.
#[derive(Debug)]
pub enum Call {
    /// A request for one answer.
    Ask {
        /// What is asked.
        request: Request,
        /// Where the answer goes.
        reply: oneshot::Sender<Reply>,
    },
    /// The same, after the core let it wait until what it is about was looked up.
    Looked {
        /// What is asked.
        request: Request,
        /// Where the answer goes.
        reply: oneshot::Sender<Reply>,
    },
    /// A log to be followed until the receiver is dropped.
    Tail {
        /// What is asked for.
        request: LogRequest,
        /// Where the chunks go.
        sink: mpsc::Sender<LogChunk>,
    },
    /// A program to be run in a container.
    Exec {
        /// The host.
        host: HostId,
        /// The container.
        container: ContainerId,
        /// The program.
        wanted: ExecWanted,
        /// Where the session goes, once it has begun.
        reply: oneshot::Sender<Outcome<ExecSession>>,
    },
}

/// A console's or a command's connection to the core. It stays valid over takeovers: what is behind it may change.
#[derive(Clone, Debug)]
pub struct Handle {
    calls: mpsc::Sender<Call>,
    world: watch::Receiver<Arc<World>>,
}

impl Handle {
    /// Joins the two ends.
    pub fn new(calls: mpsc::Sender<Call>, world: watch::Receiver<Arc<World>>) -> Handle {
        Handle { calls, world }
    }

    /// The latest world, and a way to wait for the next.
    pub fn world(&self) -> watch::Receiver<Arc<World>> {
        self.world.clone()
    }

    /// Sends a request without waiting for room. The answer comes by the receiver.
    ///
    /// # Errors
    /// A refusal in words when the queue is full or the core is gone.
    pub fn try_ask(&self, request: Request) -> Result<oneshot::Receiver<Reply>, Refusal> {
        let (reply, answer) = oneshot::channel();
        self.try_call(Call::Ask { request, reply })?;
        Ok(answer)
    }

    /// Sends a request and waits for its answer.
    pub async fn ask(&self, request: Request) -> Reply {
        match self.try_ask(request) {
            Ok(answer) => answer.await.unwrap_or_else(|_| Reply::Refused(gone())),
            Err(refusal) => Reply::Refused(refusal),
        }
    }

    /// Sends a command and waits until it is durable or refused.
    pub async fn command(&self, command: Command) -> Reply {
        self.ask(Request::Command(command)).await
    }

    /// Asks a question.
    pub async fn query(&self, query: Query) -> Reply {
        self.ask(Request::Query(query)).await
    }

    /// Opens a log. Dropping the receiver closes it.
    ///
    /// # Errors
    /// A refusal in words when the queue is full or the core is gone.
    pub fn tail(&self, request: LogRequest) -> Result<mpsc::Receiver<LogChunk>, Refusal> {
        let (sink, chunks) = mpsc::channel(TAIL_CHUNKS_MAX);
        self.try_call(Call::Tail { request, sink })?;
        Ok(chunks)
    }

    /// Runs a program in a container.
    ///
    /// # Errors
    /// When the container or the program cannot be had, or the core is gone.
    pub async fn exec(
        &self,
        host: HostId,
        container: ContainerId,
        wanted: ExecWanted,
    ) -> Outcome<ExecSession> {
        let (reply, session) = oneshot::channel();
        let call = Call::Exec { host, container, wanted, reply };
        self.try_call(call).map_err(|refusal| Fault::new(Kind::Refused, refusal.text))?;
        session.await.unwrap_or_else(|_| Err(Fault::new(Kind::Unreachable, gone().text)))
    }

    fn try_call(&self, call: Call) -> Result<(), Refusal> {
        self.calls.try_send(call).map_err(|e| match e {
            mpsc::error::TrySendError::Full(_) => {
                Refusal::new(RefusalKind::Unavailable, format!("{CALLS_MAX} requests are waiting already"))
                    .hint("nothing was sent; try again in a moment")
            }
            mpsc::error::TrySendError::Closed(_) => gone(),
        })
    }
}

fn gone() -> Refusal {
    Refusal::new(RefusalKind::Unavailable, "the engine has stopped before it answered")
        .hint("look at `longshore journal`: what was acknowledged there is kept")
}
