//! Asking a host what others have made on it: which of the external networks and volumes that pools name it has. A host is
//! asked only for what some pool names, and never in the way of its lists.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};

use crate::model::holdings::{External, Holdings, Sort};
use crate::ports::runtime::Runtime;

/// Longest time of one answer.
const DEADLINE: Duration = Duration::from_secs(8);
/// What is there is asked for again so often; with many hosts all together make no more than one question a second.
const EVERY: Duration = Duration::from_secs(600);
/// What is not there, or was not told, is asked for again so often: somebody may be about to make it.
const AGAIN: Duration = Duration::from_secs(15);
/// For each host at least so long, in either case.
const EVERY_A_HOST: Duration = Duration::from_secs(1);
/// A name that is new is not asked for on a thousand hosts at once: the questions spread over this for each host.
const NEW_A_HOST: Duration = Duration::from_millis(4);

/// What is new is asked for at most so often.
const NEW_AGAIN: Duration = Duration::from_secs(1);

/// The external networks and volumes that pools name.
pub type Named = Arc<BTreeSet<External>>;

/// What hosts said, sort by sort.
type Told = Vec<(Sort, BTreeSet<String>, Result<BTreeSet<String>, String>)>;

/// When one host is asked, and what is under way of it.
pub struct Held {
    named: watch::Receiver<Named>,
    /// When it was asked last.
    at: Option<Instant>,
    /// What is new is not asked for before.
    not_before: Instant,
    /// At most one question; it ends with this.
    asking: JoinSet<Told>,
}

impl Held {
    /// Begins with what is named now.
    pub fn new(named: watch::Receiver<Named>) -> Held {
        Held { named, at: None, not_before: Instant::now(), asking: JoinSet::new() }
    }

    /// Waits until it is time to ask, asks, and gives what is known then. May be dropped and called again at any time. `place`
    /// is where among all hosts this one stands, of 256.
    pub async fn next(
        &mut self,
        runtime: &Arc<dyn Runtime>,
        known: &Holdings,
        hosts: u32,
        place: u32,
    ) -> Holdings {
        loop {
            if let Some(told) = self.asking.join_next().await {
                let mut known = known.clone();
                for (sort, names, answer) in told.into_iter().flatten() {
                    known.learn(sort, &names, answer);
                }
                return known;
            }
            let due = self.due(known, hosts);
            tokio::select! {
                changed = self.named.changed() => {
                    if changed.is_err() {
                        // The core is gone, and its observers are about to go.
                        return std::future::pending().await;
                    }
                    self.not_before = Instant::now() + NEW_A_HOST * hosts / 256 * place;
                }
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {
                    self.at = Some(Instant::now());
                    let named = self.named.borrow_and_update().clone();
                    self.asking.spawn(ask(runtime.clone(), named));
                }
            }
        }
    }

    /// When to ask; `None` while no pool names anything.
    fn due(&self, known: &Holdings, hosts: u32) -> Option<Instant> {
        let named = self.named.borrow();
        if named.is_empty() {
            return None;
        }
        let Some(at) = self.at else { return Some(self.not_before) };
        let knows = |e: &External| known.there.contains(e) || known.absent.contains(e);
        if named.iter().any(|e| !knows(e) && !known.faults.contains_key(&e.sort)) {
            return Some(self.not_before.max(at + NEW_AGAIN));
        }
        let every = if named.iter().all(|e| known.there.contains(e)) { EVERY } else { AGAIN };
        Some(at + every.max(EVERY_A_HOST * hosts))
    }
}

async fn ask(runtime: Arc<dyn Runtime>, named: Named) -> Told {
    let mut by_sort: BTreeMap<Sort, BTreeSet<String>> = BTreeMap::new();
    for external in named.iter() {
        by_sort.entry(external.sort).or_default().insert(external.name.clone());
    }
    let mut told = Told::new();
    for (sort, names) in by_sort {
        let answer = match timeout(DEADLINE, runtime.holds(sort, &names)).await {
            Ok(answer) => answer.map_err(|fault| fault.to_string()),
            Err(_) => Err(format!("no answer within {} s", DEADLINE.as_secs())),
        };
        told.push((sort, names, answer));
    }
    told
}
