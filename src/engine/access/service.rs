//! The token service as the engine runs it: opened when a core begins, opened again when that fails, closed with the core.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;

use crate::base::clock::SharedClock;
use crate::base::fault::{Fault, Outcome};
use crate::engine::access::desk::{ChangeSink, EngineDesk, HintSink, Known};
use crate::engine::core::{Core, Incoming};
use crate::engine::handle::Call;
use crate::engine::intake::Caller;
use crate::engine::observe::Wakes;
use crate::model::access::view::{AccessView, ServiceCounts, ServiceView};
use crate::model::command::{Command, Refusal, RefusalKind};
use crate::model::desired::Write;
use crate::model::journal::Draft;
use crate::model::query::{Reply, Request};
use crate::ports::desk::{Desk, Secrets};
use crate::store::Store;

/// Lines about failed log-ins that wait to be written; when it is full they are told later.
const LINES_MAX: usize = 64;
/// A service that could not be opened is tried again this soon: the holder before us may still be closing its own.
const OPEN_AGAIN: Duration = Duration::from_secs(3);

/// The token service as it is configured; given by `wire.rs`, which knows the adapters.
pub trait TokenService: Send + Sync {
    /// Where registries' clients reach it.
    fn url(&self) -> String;

    /// What it has done since it was opened.
    fn counts(&self) -> ServiceCounts {
        ServiceCounts::default()
    }

    /// What checks secrets.
    fn secrets(&self) -> BoxFuture<'_, Outcome<Arc<dyn Secrets>>>;

    /// Opens it. The future that comes of it answers until it is dropped. For the holder of the engine's lock only.
    ///
    /// # Errors
    /// When the address is taken, a file cannot be read, or passwords would cross a network in the clear.
    fn open(
        &self,
        desk: Arc<dyn Desk>,
        journal: mpsc::Sender<Draft>,
    ) -> BoxFuture<'_, Outcome<BoxFuture<'static, ()>>>;
}

/// Where what comes in at the service goes.
#[derive(Clone)]
pub struct Sinks {
    /// What registries report.
    pub hints: HintSink,
    /// What people want changed.
    pub changes: ChangeSink,
}

/// The running service, as the core holds it. Dropping it closes the service.
pub struct Tokens {
    service: Arc<dyn TokenService>,
    known: watch::Sender<Known>,
    view: watch::Receiver<ServiceView>,
    tasks: [JoinHandle<()>; 2],
}

impl Drop for Tokens {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

impl Tokens {
    /// Begins to open it. `wakes` are notified when how it stands has changed; `sinks` get what comes in.
    pub fn begin(
        service: Arc<dyn TokenService>,
        known: Known,
        store: Store,
        clock: SharedClock,
        wakes: Wakes,
        sinks: Sinks,
    ) -> Tokens {
        let (known, seen) = watch::channel(known);
        let counts = ServiceCounts::default();
        let first = ServiceView { url: service.url(), open: false, trouble: None, counts };
        let (shown, view) = watch::channel(first);
        let (journal, lines) = mpsc::channel(LINES_MAX);
        let kept = service.clone();
        let keeping = async move {
            loop {
                let begun = open(&*service, &seen, &clock, &sinks, journal.clone()).await;
                let trouble = begun.as_ref().err().map(words);
                shown.send_modify(|view| (view.open, view.trouble) = (trouble.is_none(), trouble));
                wakes.changed.notify_one();
                if let Ok(serving) = begun {
                    serving.await;
                }
                tokio::time::sleep(OPEN_AGAIN).await;
            }
        };
        Tokens {
            service: kept,
            known,
            view,
            tasks: [tokio::spawn(keeping), tokio::spawn(write_down(store, lines))],
        }
    }

    /// Says who may do what from now on.
    pub fn say(&self, known: Known) {
        self.known.send_replace(known);
    }

    /// How it stands.
    pub fn view(&self) -> ServiceView {
        ServiceView { counts: self.service.counts(), ..self.view.borrow().clone() }
    }
}

fn words(fault: &Fault) -> String {
    let hint = fault.hint.as_ref().map_or_else(String::new, |hint| format!(" ({hint})"));
    format!("the token service is not open: {fault}{hint}")
}

async fn open(
    service: &dyn TokenService,
    known: &watch::Receiver<Known>,
    clock: &SharedClock,
    sinks: &Sinks,
    journal: mpsc::Sender<Draft>,
) -> Outcome<BoxFuture<'static, ()>> {
    let secrets = service.secrets().await?;
    let (known, clock, Sinks { hints, changes }) = (known.clone(), clock.clone(), sinks.clone());
    service.open(Arc::new(EngineDesk { known, secrets, clock, hints, changes }), journal).await
}

/// Writes the service's own lines into the journal.
async fn write_down(store: Store, mut lines: mpsc::Receiver<Draft>) {
    let mut batch = Vec::new();
    while lines.recv_many(&mut batch, LINES_MAX).await > 0 {
        let writes: Vec<Write> = batch.drain(..).map(Write::Journal).collect();
        // A disk that says no is the core's to tell; these lines are about strangers.
        drop(store.apply(writes).await);
    }
}

impl Core {
    fn known(&self) -> Known {
        let registries: BTreeSet<_> = self.desired.registries.keys().cloned().collect();
        Known { access: self.desired.access.clone(), registries: Arc::new(registries) }
    }

    /// Hands on what somebody who has logged in wants changed: into the queue that all requests go through.
    fn changes(&self) -> ChangeSink {
        let inbox = self.layer.policing.inbox.clone();
        Arc::new(move |by, command| {
            let inbox = inbox.clone();
            let lost = |why: &str| Refusal::new(RefusalKind::Unavailable, why);
            Box::pin(async move {
                let busy = lost("the engine takes no requests now: nothing was changed");
                let Some(calls) = inbox.and_then(|inbox| inbox.upgrade()) else { return Err(busy) };
                let (reply, answer) = oneshot::channel();
                let caller = Caller { who: by.to_string(), read_only: false, login: Some(by) };
                let request = Request::Command(Command::Access(Box::new(command)));
                if calls.try_send(Incoming { caller, call: Call::Ask { request, reply } }).is_err() {
                    return Err(busy.hint("try again in a moment"));
                }
                drop(calls);
                match answer.await {
                    Ok(Reply::Accepted(accepted)) => Ok(accepted),
                    Ok(Reply::Refused(refusal)) => Err(refusal),
                    _ => {
                        Err(lost("the engine has stopped before it answered")
                            .hint("look whether it was done"))
                    }
                }
            })
        })
    }

    /// Opens the token service, if one is configured and this core may write.
    pub(in crate::engine) fn begin_tokens(&mut self) {
        let Some(store) = self.store.clone().filter(|_| self.is_active()) else { return };
        let Some(service) = self.connector.tokens() else { return };
        let (clock, wakes) = (self.clock.clone(), self.eyes.wakes.clone());
        // What a report says is looked at by the rules that run on events.
        let hints = self.hints.clone();
        let hints: HintSink = Arc::new(move |hint| hints.hint(hint));
        let sinks = Sinks { hints, changes: self.changes() };
        self.tokens = Some(Tokens::begin(service, self.known(), store, clock, wakes, sinks));
        self.note_access();
    }

    /// Brings who may do what to those who give out tokens, and into what is shown.
    pub(in crate::engine) fn note_access(&mut self) {
        let service = self.tokens.as_ref().map(Tokens::view);
        if let Some(tokens) = &self.tokens {
            tokens.say(self.known());
        }
        self.access = Arc::new(AccessView::of(&self.desired.access, service));
        self.dirty = true;
    }

    /// Takes over how the token service stands.
    pub(in crate::engine) fn see_tokens(&mut self) {
        let service = self.tokens.as_ref().map(Tokens::view);
        if self.access.service != service {
            self.access = Arc::new(AccessView { service, ..(*self.access).clone() });
        }
    }
}
