//! What every command works with: the printer, the engine, the wish to stop, and how a command ends.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Notify;

use crate::base::clock::Millis;
use crate::base::fault::Fault;
use crate::base::ids::SiteName;
use crate::base::text::{age, count};
use crate::cli::args::Global;
use crate::cli::print::Printer;
use crate::cli::{Backend, DONE, FAILED, Purpose, Session, USAGE};
use crate::engine::handle::Handle;
use crate::model::command::Refusal;
use crate::model::host::{HostView, Seen};
use crate::model::query::{Reply, Request};
use crate::model::world::{Mode, World};

/// How long a listing waits for hosts that have neither answered nor failed.
const SETTLE: Duration = Duration::from_secs(5);

/// Silent hosts that are each named with their reason; more of them are told together.
const NAMED_ALONE: usize = 5;

/// How a command ends: an exit status, or what kept it from going on.
pub type Done = Result<u8, Stop>;

/// What keeps a command from going on.
#[derive(Debug)]
pub enum Stop {
    /// Something to say, on standard error.
    Said {
        /// The sentence.
        text: String,
        /// The next step.
        hint: Option<String>,
        /// The exit status.
        status: u8,
    },
    /// Nobody reads any more: end without a word.
    BrokenPipe,
}

impl Stop {
    /// Refused or failed.
    pub fn said(text: impl Into<String>) -> Stop {
        Stop::Said { text: text.into(), hint: None, status: FAILED }
    }

    /// The arguments make no sense.
    pub fn usage(fault: &Fault) -> Stop {
        Stop::Said { text: fault.to_string(), hint: fault.hint.clone(), status: USAGE }
    }

    /// The same with the next step.
    #[must_use]
    pub fn hint(mut self, next: impl Into<String>) -> Stop {
        if let Stop::Said { hint, .. } = &mut self {
            *hint = Some(next.into());
        }
        self
    }

    /// An answer that does not fit the question.
    pub fn misfit() -> Stop {
        Stop::said("the engine gave an answer that does not fit the question")
            .hint("is it another version of longshore? restart it with this one")
    }
}

impl From<Fault> for Stop {
    fn from(fault: Fault) -> Stop {
        Stop::Said { text: fault.to_string(), hint: fault.hint, status: FAILED }
    }
}

impl From<Refusal> for Stop {
    fn from(refusal: Refusal) -> Stop {
        Stop::Said { text: refusal.text, hint: refusal.hint, status: FAILED }
    }
}

/// A connection to an engine.
#[derive(Clone, Debug)]
pub struct Engine {
    /// The way to talk to it.
    pub handle: Handle,
    /// It lives in this process and ends with it.
    pub own: bool,
}

/// What every command works with.
pub struct Cx<'a> {
    /// The rest of the program.
    pub backend: &'a dyn Backend,
    /// The one printer.
    pub print: Printer<'a>,
    /// Which install, and how.
    pub session: Session,
    /// JSON is wanted.
    pub json: bool,
    interrupt: Arc<Notify>,
    open: Option<(Purpose, Engine)>,
    close: Option<Box<dyn FnOnce() -> BoxFuture<'static, ()> + Send>>,
}

impl<'a> Cx<'a> {
    /// Surroundings for one command.
    pub fn new(backend: &'a dyn Backend, print: Printer<'a>, global: &Global) -> Cx<'a> {
        let session =
            Session { state: global.state.clone(), read_only: global.read_only, hosts: global.hosts.clone() };
        let interrupt = Arc::clone(&print.io.interrupt);
        Cx { backend, print, session, json: global.json, interrupt, open: None, close: None }
    }

    /// The present time.
    pub fn now(&self) -> Millis {
        self.print.io.clock.now()
    }

    /// Takes Ctrl-C, TERM and HUP as the wish to stop, if they are the process's own.
    pub fn listen(&self) -> Result<(), Stop> {
        if !self.print.io.signals {
            return Ok(());
        }
        let hear = |kind| signal(kind).map_err(|e| Stop::said(format!("signals cannot be received: {e}")));
        let mut int = hear(SignalKind::interrupt())?;
        let mut term = hear(SignalKind::terminate())?;
        let mut hup = hear(SignalKind::hangup())?;
        let interrupt = Arc::clone(&self.interrupt);
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    Some(()) = int.recv() => {}
                    Some(()) = term.recv() => {}
                    Some(()) = hup.recv() => {}
                    else => break,
                }
                interrupt.notify_one();
            }
        });
        Ok(())
    }

    /// Waits for the wish to stop.
    pub fn interrupted(&self) -> impl Future<Output = ()> + use<> {
        let interrupt = Arc::clone(&self.interrupt);
        async move { interrupt.notified().await }
    }

    /// Connects to an engine and waits until its core is up (5 s at most). Once a command: who asks again gets the same.
    pub async fn open(&mut self, purpose: Purpose) -> Result<Engine, Stop> {
        if let Some((was, engine)) = &self.open
            && *was == purpose
        {
            return Ok(engine.clone());
        }
        let opened = tokio::select! {
            opened = self.backend.open(self.session.clone(), purpose) => opened?,
            () = self.interrupted() => return Err(Stop::said("stopped before the engine was reached")),
        };
        self.close = Some(opened.close);
        let engine = Engine { handle: opened.handle, own: opened.own_engine };
        // (The first world of a core that has just begun is empty: what is recorded comes with the next.)
        let whole = |world: &World| world.engine.mode != Mode::Starting && world.revision > 0;
        let world = self.world_when(&engine, whole).await?;
        if world.engine.mode == Mode::Starting {
            return Err(Stop::said("the engine has said nothing for 5 s")
                .hint("`longshore doctor` looks for the reason"));
        }
        if let Some(trouble) = &world.engine.trouble {
            self.print.note(&format!("the engine has trouble: {trouble}"));
        }
        self.open = Some((purpose, engine.clone()));
        Ok(engine)
    }

    /// The world once every host has answered or failed (5 s at most); says which hosts are unreachable.
    pub async fn settled(&mut self, engine: &Engine) -> Result<Arc<World>, Stop> {
        let world = self.world_when(engine, all_tried).await?;
        let silent: Vec<&HostView> =
            world.hosts.values().map(AsRef::as_ref).filter(|h| !h.is_live()).collect();
        let notes = if silent.len() > NAMED_ALONE {
            together(&silent)
        } else {
            let now = self.now();
            silent.into_iter().map(|host| alone(host, now)).collect()
        };
        for note in notes {
            self.print.note(&note);
        }
        if world.hosts.is_empty() {
            self.print.note("no host is known: add one with `longshore hosts add NAME ADDRESS`");
        }
        Ok(world)
    }

    /// Looks for something in the world until it is there, or every host has answered or failed (5 s at most): one
    /// slow host does not hold up work on another.
    pub async fn find<T>(
        &self,
        engine: &Engine,
        look: impl Fn(&World) -> Result<T, Stop>,
    ) -> Result<T, Stop> {
        let world = self.world_when(engine, |world| all_tried(world) || look(world).is_ok()).await?;
        look(&world)
    }

    /// The world as it is now: what is recorded is whole, what is seen may not be yet.
    pub fn present(&self, engine: &Engine) -> Arc<World> {
        Arc::clone(&engine.handle.world().borrow())
    }

    /// The world once something is the case in it, or what there is after 5 s.
    pub async fn world_when(
        &self,
        engine: &Engine,
        enough: impl Fn(&World) -> bool,
    ) -> Result<Arc<World>, Stop> {
        let mut worlds = engine.handle.world();
        let wait = async {
            loop {
                let world = Arc::clone(&worlds.borrow_and_update());
                // Once the core is gone nothing newer comes: what there is must do.
                if enough(&world) || worlds.changed().await.is_err() {
                    return;
                }
            }
        };
        tokio::select! {
            () = wait => {}
            () = tokio::time::sleep(SETTLE) => {}
            () = self.interrupted() => return Err(Stop::said("stopped")),
        }
        Ok(self.present(engine))
    }

    /// Asks the engine; refusals and failures end the command.
    pub async fn ask(&self, engine: &Engine, request: Request) -> Result<Reply, Stop> {
        let unknown = match &request {
            Request::Command(_) => {
                "stopped before the engine answered: whether it took the request is not known"
            }
            Request::Query(_) => "stopped",
        };
        let reply = tokio::select! {
            reply = engine.handle.ask(request) => reply,
            () = self.interrupted() => return Err(Stop::said(unknown).hint("`longshore ops` lists what was accepted")),
        };
        match reply {
            Reply::Refused(refusal) => Err(refusal.into()),
            Reply::Failed(fault) => Err(fault.into()),
            reply => Ok(reply),
        }
    }

    /// Says what kept a command from going on, and gives its exit status.
    pub fn report(&mut self, stop: Stop) -> u8 {
        match stop {
            Stop::BrokenPipe => DONE,
            Stop::Said { text, hint, status } => {
                self.print.failure(&text, hint.as_deref());
                status
            }
        }
    }

    /// Ends the connection; the wish to stop cuts it short.
    pub async fn close(&mut self) {
        if let Some(close) = self.close.take() {
            tokio::select! {
                () = close() => {}
                () = self.interrupted() => {}
            }
        }
    }
}

/// Why one host is silent, and how old what is shown of it is.
fn alone(host: &HostView, now: Millis) -> String {
    let name = &host.config.id;
    match &host.seen {
        Seen::Lost { last, why, .. } => {
            let old = age(now.since(*last));
            format!("host {name} does not answer ({why}): what is shown of it is {old} old")
        }
        Seen::Never { why } => {
            let why = why.as_deref().unwrap_or("no answer within 5 s");
            format!("host {name} has not answered yet ({why}): what is on it is not known")
        }
        Seen::At(_) => String::new(),
    }
}

/// Many silent hosts, one line a site: a lost site is one thing to read, not a thousand.
fn together(silent: &[&HostView]) -> Vec<String> {
    let mut sites: BTreeMap<Option<&SiteName>, Vec<&HostView>> = BTreeMap::new();
    for host in silent {
        sites.entry(host.record.site.as_ref()).or_default().push(host);
    }
    let line = |(site, hosts): (Option<&SiteName>, Vec<&HostView>)| {
        let of = site.map_or_else(|| "of no site".to_owned(), |site| format!("of site {site}"));
        let names: Vec<&str> = hosts.iter().take(3).map(|h| h.config.id.as_str()).collect();
        let more = if hosts.len() > names.len() { ", …" } else { "" };
        let verb = if hosts.len() == 1 { "does" } else { "do" };
        format!(
            "{} {of} {verb} not answer ({}{more}): what is shown of them is old or missing, `longshore hosts` says why",
            count(hosts.len() as u64, "host"),
            names.join(", ")
        )
    };
    sites.into_iter().map(line).collect()
}

/// True when every host has answered or failed.
fn all_tried(world: &World) -> bool {
    let tried = |host: &Arc<HostView>| match &host.seen {
        Seen::Never { why } => why.is_some(),
        // The list comes first, what the engine says about itself a moment later.
        Seen::At(_) => !host.facts.engine_id.raw().is_empty(),
        Seen::Lost { .. } => true,
    };
    world.hosts.values().all(tried)
}

/// The exit status of a listing: failed when there are hosts, but none of them answers.
pub fn listing_status(world: &World) -> u8 {
    let silent = !world.hosts.is_empty() && !world.hosts.values().any(|host| host.is_live());
    if silent { FAILED } else { DONE }
}

/// Reads a span of time: seconds, or a number with s, m, h or d. Gives milliseconds.
pub fn read_span(text: &str) -> Option<u64> {
    let unit_at = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, unit) = text.split_at(unit_at);
    let factor = match unit {
        "" | "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    digits.parse::<u64>().ok()?.checked_mul(factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_read() {
        assert_eq!(
            ["90", "90s", "5m", "1h", "2d"].map(read_span),
            [90_000, 90_000, 300_000, 3_600_000, 172_800_000].map(Some)
        );
        assert!(["", "s", "-1", "5x", "5 m", "99999999999999999999"].iter().all(|t| read_span(t).is_none()));
    }
}
