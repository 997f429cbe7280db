//! The way into the journal of replication: notes queue up and those that wait together are one transaction.

use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout_at};

use crate::base::fault::{Fault, Kind, Outcome};
use crate::store::Store;
use crate::store::replication::{NOTES_MAX, Note};

/// Notes that may wait; whoever has more waits itself.
const QUEUE_MAX: usize = 1_024;
/// Notes that nobody waits for are written after this long at the latest.
const LAZY: Duration = Duration::from_millis(200);

type Item = (Vec<Note>, Option<oneshot::Sender<Outcome<()>>>);

/// Where notes are given to. Cheap to clone.
#[derive(Clone)]
pub struct Notes(mpsc::Sender<Item>);

impl Notes {
    /// The way in, and the task that has to be run behind it.
    pub fn new(store: Store) -> (Notes, impl Future<Output = ()> + Send + 'static) {
        let (notes, inbox) = mpsc::channel(QUEUE_MAX);
        (Notes(notes), write(store, inbox))
    }

    /// Notes that may get lost in a crash: what they say is found out again.
    pub async fn lazily(&self, notes: Vec<Note>) {
        // The writer ends with the replicator: then nothing is lost that is not found again.
        let _ = self.0.send((notes, None)).await;
    }

    /// Notes that survive a crash once this returns `Ok`.
    ///
    /// # Errors
    /// When the disk says no, or another core has taken over.
    pub async fn now(&self, notes: Vec<Note>) -> Outcome<()> {
        let gone = || Fault::new(Kind::Bug, "replication has stopped").hint("start longshore again");
        let (done, answer) = oneshot::channel();
        self.0.send((notes, Some(done))).await.map_err(|_| gone())?;
        answer.await.unwrap_or_else(|_| Err(gone()))
    }
}

async fn write(store: Store, mut inbox: mpsc::Receiver<Item>) {
    while let Some(first) = inbox.recv().await {
        let deadline = Instant::now() + LAZY;
        let mut is_urgent = first.1.is_some();
        let mut items = vec![first];
        let mut count = items[0].0.len();
        while count < NOTES_MAX {
            let next = if is_urgent {
                inbox.try_recv().ok()
            } else {
                timeout_at(deadline, inbox.recv()).await.ok().flatten()
            };
            let Some(next) = next else { break };
            is_urgent |= next.1.is_some();
            count += next.0.len();
            items.push(next);
        }
        commit(&store, items).await;
    }
}

async fn commit(store: &Store, items: Vec<Item>) {
    let (mut notes, mut waiting) = (Vec::new(), Vec::new());
    for (of_one, done) in items {
        notes.extend(of_one);
        waiting.extend(done);
    }
    let mut outcome = Ok(());
    while !notes.is_empty() && outcome.is_ok() {
        let rest = notes.split_off(notes.len().min(NOTES_MAX));
        outcome = store.note(std::mem::replace(&mut notes, rest)).await;
    }
    for done in waiting {
        let _ = done.send(outcome.clone());
    }
}
