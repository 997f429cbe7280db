//! A session: one console's or command's stable handle, whatever is behind it. It takes the lock and runs the core in
//! this process, or attaches to the process that does, and takes over when that one ends.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;

use crate::base::clock::SharedClock;
use crate::base::fault::{Fault, Kind, Outcome};
use crate::base::ids::InstallId;
use crate::engine::core::{Connector, Incoming, Parts, Running, start_seeing};
use crate::engine::handle::{CALLS_MAX, Call, Handle};
use crate::engine::intake::Caller;
use crate::engine::link::{client, server};
use crate::engine::lock::{Held, Holder, me, socket, try_take};
use crate::engine::observe::Eyes;
use crate::model::desired::{Desired, Write};
use crate::model::host::HostConfig;
use crate::model::journal::{Draft, What};
use crate::model::world::{EngineView, Mode, World};
use crate::store::Store;

/// A console whose engine has ended looks for the lock this often: takeover within 5 s is promised.
const TAKEOVER_EVERY: Duration = Duration::from_millis(250);
/// A lock is held, but its socket does not answer: the holder is starting or ending. Wait at most this long at the start.
const ATTACH_WITHIN: Duration = Duration::from_secs(5);

/// How a session is opened.
#[derive(Clone)]
pub struct Setup {
    /// The state directory.
    pub dir: PathBuf,
    /// Nothing may be changed through this session, nor any program run; it never takes the lock.
    pub read_only: bool,
    /// It never takes the lock: an engine of its own only looks, and may run programs in containers.
    pub look: bool,
    /// Where stamps come from.
    pub clock: SharedClock,
    /// How hosts are connected.
    pub connector: Arc<dyn Connector>,
    /// Hosts of the configuration and the environment.
    pub hosts: Vec<HostConfig>,
    /// The install id that a new state directory gets.
    pub fresh_install: InstallId,
    /// A practice fleet.
    pub simulated: bool,
}

/// An open session. Dropping it ends it; if the core ran in this process, the lock is free then.
pub struct Session {
    /// The stable handle.
    pub handle: Handle,
    /// True when this process's own core runs (at the time of opening).
    pub own_engine: bool,
    task: JoinHandle<()>,
}

impl Drop for Session {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Session {
    /// Ends the session and waits until the lock and the socket are free.
    pub async fn close(mut self) {
        self.task.abort();
        let _ = (&mut self.task).await;
    }
}

/// Opens a session: takes the lock if it is free, else attaches to its holder.
///
/// # Errors
/// When the state cannot be opened, or its holder does not answer.
pub async fn open(setup: Setup) -> Outcome<Session> {
    let (calls, inbox) = mpsc::channel(CALLS_MAX);
    let first = World { engine: starting(&setup), ..World::default() };
    let (publish, world) = watch::channel(Arc::new(first));
    let (ready, opened) = oneshot::channel();
    let task = tokio::spawn(supervise(setup, inbox, publish, ready));
    let failed = || Err(Fault::new(Kind::Bug, "the session ended before it began"));
    let own_engine = opened.await.unwrap_or_else(|_| failed())?;
    Ok(Session { handle: Handle::new(calls, world), own_engine, task })
}

fn starting(setup: &Setup) -> EngineView {
    EngineView { mode: Mode::Starting, simulated: setup.simulated, ..EngineView::default() }
}

/// What is behind the session now.
enum Behind {
    Core(Box<OwnCore>),
    Link(client::Link),
}

/// Device and inode.
type FileId = Option<(u64, u64)>;

fn file_id(path: &Path) -> FileId {
    std::fs::symlink_metadata(path).ok().map(|meta| (meta.dev(), meta.ino()))
}

struct OwnCore {
    running: Running,
    server: Option<JoinHandle<()>>,
    /// The socket, and which file it is: a holder that was fenced must not take away its successor's.
    socket: Option<(PathBuf, FileId)>,
    _lock: Option<Held>,
}

impl Drop for OwnCore {
    fn drop(&mut self) {
        if let Some(server) = &self.server {
            server.abort();
        }
        if let Some((socket, _)) = self.socket.as_ref().filter(|(path, id)| file_id(path) == *id) {
            // Left over otherwise; the next holder removes it then.
            let _ = std::fs::remove_file(socket);
        }
    }
}

async fn supervise(
    setup: Setup,
    mut calls: mpsc::Receiver<Call>,
    publish: watch::Sender<Arc<World>>,
    ready: oneshot::Sender<Outcome<bool>>,
) {
    let mut behind = match begin(&setup).await {
        Ok(behind) => behind,
        Err(fault) => return drop(ready.send(Err(fault))),
    };
    let _ = ready.send(Ok(matches!(behind, Behind::Core(_))));
    loop {
        let fault = match behind {
            Behind::Core(core) => run_core(&setup, *core, &mut calls, &publish).await,
            Behind::Link(link) => link.carry(&mut calls, &publish).await,
        };
        if calls.is_closed() {
            return;
        }
        say(&publish, &fault);
        behind = loop {
            tokio::time::sleep(TAKEOVER_EVERY).await;
            match again(&setup).await {
                Ok(behind) => break behind,
                Err(fault) => say(&publish, &fault),
            }
            answer_meanwhile(&mut calls);
            if calls.is_closed() {
                return;
            }
        };
    }
}

/// While nothing is behind the session, callers are told so at once.
fn answer_meanwhile(calls: &mut mpsc::Receiver<Call>) {
    // Dropping a call answers it: "the engine has stopped before it answered".
    while calls.try_recv().is_ok() {}
}

fn say(publish: &watch::Sender<Arc<World>>, fault: &Fault) {
    publish.send_modify(|world| {
        let engine =
            EngineView { mode: Mode::Starting, trouble: Some(fault.to_string()), ..world.engine.clone() };
        *world = Arc::new(World { engine, ..(**world).clone() });
    });
}

async fn begin(setup: &Setup) -> Outcome<Behind> {
    let deadline = tokio::time::Instant::now() + ATTACH_WITHIN;
    loop {
        match again(setup).await {
            Err(fault) if fault.kind == Kind::Unreachable && tokio::time::Instant::now() < deadline => {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            other => return other,
        }
    }
}

/// One try: the lock, else its holder.
async fn again(setup: &Setup) -> Outcome<Behind> {
    if setup.read_only || setup.look {
        return match client::connect(&socket(&setup.dir), setup.read_only).await {
            Ok(link) => Ok(Behind::Link(link)),
            Err(_) => observe_only(setup).await,
        };
    }
    crate::store::open::prepare_dir(&setup.dir)?;
    match try_take(&setup.dir, &me())? {
        Ok(lock) => own_core(setup, lock).await,
        Err(holder) => match client::connect(&socket(&setup.dir), false).await {
            Ok(link) => Ok(Behind::Link(link)),
            Err(fault) if fault.kind == Kind::Unreachable => Err(fault
                .because(held_by(&setup.dir, holder.as_ref()))
                .hint("if that process is stopped, let it go on (kill -CONT) or end it; nothing is lost")),
            Err(fault) => Err(fault),
        },
    }
}

fn held_by(dir: &Path, holder: Option<&Holder>) -> String {
    let who = holder.map_or_else(|| "another process".to_owned(), |h| format!("{} (pid {})", h.user, h.pid));
    format!("the state directory {} is held by {who}, which does not answer", dir.display())
}

async fn own_core(setup: &Setup, lock: Held) -> Outcome<Behind> {
    let eyes = eyes(setup);
    let opened = Store::open(&setup.dir, setup.clock.clone(), setup.fresh_install.clone()).await?;
    let holder = me();
    let engine = EngineView {
        install: Some(opened.desired.install.clone()),
        mode: Mode::Active,
        epoch: opened.epoch,
        user: holder.user.clone(),
        pid: holder.pid,
        since: setup.clock.now(),
        attached: false,
        trouble: None,
        simulated: setup.simulated,
    };
    let store = opened.store.clone();
    let running = start_seeing(parts(setup, Some(opened.store), opened.desired, engine), eyes);
    let path = socket(&setup.dir);
    let listener = server::listen(&path)?;
    let server = tokio::spawn(server::serve(listener, running.calls.clone(), running.world.clone()));
    let text = format!("engine started by {} (pid {}), epoch {}", holder.user, holder.pid, opened.epoch);
    tokio::spawn(
        async move { drop(store.apply(vec![Write::Journal(Draft::engine(What::Engine, text))]).await) },
    );
    Ok(Behind::Core(Box::new(OwnCore {
        running,
        server: Some(server),
        socket: Some((path.clone(), file_id(&path))),
        _lock: Some(lock),
    })))
}

async fn observe_only(setup: &Setup) -> Outcome<Behind> {
    let eyes = eyes(setup);
    let (store, desired) = Store::open_read_only(&setup.dir, setup.clock.clone()).await?.unzip();
    let desired = desired.unwrap_or_default();
    let holder = me();
    let install = (!desired.install.0.is_empty()).then(|| desired.install.clone());
    let engine = EngineView {
        install,
        mode: Mode::ObserveOnly,
        user: holder.user,
        pid: holder.pid,
        since: setup.clock.now(),
        simulated: setup.simulated,
        ..EngineView::default()
    };
    let running = start_seeing(parts(setup, store, desired, engine), eyes);
    Ok(Behind::Core(Box::new(OwnCore { running, server: None, socket: None, _lock: None })))
}

/// Looks at the hosts that are known already, while the state is read.
fn eyes(setup: &Setup) -> Eyes {
    let mut eyes = Eyes::default();
    for host in &setup.hosts {
        eyes.observe_early(host, || setup.connector.connect(host), &setup.clock);
    }
    eyes
}

fn parts(setup: &Setup, store: Option<Store>, desired: Desired, engine: EngineView) -> Parts {
    let (clock, connector, hosts) = (setup.clock.clone(), setup.connector.clone(), setup.hosts.clone());
    Parts { clock, store, desired, connector, hosts, engine }
}

/// Completes when another process's engine can be reached: one that only observes does not see what is wanted since.
async fn engine_appears(setup: &Setup) {
    if !setup.read_only {
        std::future::pending::<()>().await;
    }
    loop {
        tokio::time::sleep(TAKEOVER_EVERY * 4).await;
        if client::connect(&socket(&setup.dir), true).await.is_ok() {
            return;
        }
    }
}

/// Carries calls to the core of this process until it stops; returns why.
async fn run_core(
    setup: &Setup,
    mut core: OwnCore,
    calls: &mut mpsc::Receiver<Call>,
    publish: &watch::Sender<Arc<World>>,
) -> Fault {
    let caller = Caller { who: me().user, read_only: setup.read_only, login: None };
    let appeared = engine_appears(setup);
    tokio::pin!(appeared);
    loop {
        tokio::select! {
            () = &mut appeared => return Fault::new(Kind::Conflict, "an engine has started: joining it"),
            fault = &mut core.running.stopped => {
                return fault.unwrap_or_else(|_| Fault::new(Kind::Bug, "the engine core failed; this is a fault of longshore"));
            }
            changed = core.running.world.changed() => {
                if changed.is_ok() {
                    let world = core.running.world.borrow_and_update().clone();
                    publish.send_replace(world);
                }
            }
            call = calls.recv() => match call {
                Some(call) => {
                    let incoming = Incoming { caller: caller.clone(), call };
                    if core.running.calls.send(incoming).await.is_err() {
                        return Fault::new(Kind::Bug, "the engine core failed; this is a fault of longshore");
                    }
                }
                None => return Fault::new(Kind::Bug, "nobody uses this session any more"),
            },
        }
    }
}
