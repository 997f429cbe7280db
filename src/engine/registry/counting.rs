//! How much each registry holds: counted slowly in the background, one call at a time with a rest after each.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use crate::base::clock::SharedClock;
use crate::base::fault::{Kind, Outcome};
use crate::base::ids::RegistryName;
use crate::engine::observe::Wakes;
use crate::engine::registry::clients::Clients;
use crate::engine::registry::pages::Pages;
use crate::model::oci::Repository;
use crate::model::registry::{Counted, Page, Registry};
use crate::ports::registry::RegistryClient;

/// A registry is counted so long after it became known: what matters more goes first.
pub const FIRST_AFTER: Duration = Duration::from_secs(30);
/// It is counted again so long after a count has ended.
pub const EVERY: Duration = Duration::from_secs(3_600);
/// And so long after one that failed. The last count stays, with its age.
const AGAIN: Duration = Duration::from_secs(600);
/// The rest after each call is so many times as long as the call took: a fifth of one connection at most …
const REST_TIMES: u32 = 4;
/// … and never shorter than this.
const REST_LEAST: Duration = Duration::from_millis(20);
/// Repositories of which the number of tags is kept; the sums count all of them.
const KEPT_MAX: usize = 50_000;

/// What was counted in one registry.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// The sums; none while it was not counted.
    pub sums: Option<Counted>,
    /// Tags by repository.
    pub tags: BTreeMap<Repository, u32>,
}

/// What was counted, by registry.
pub type AllCounts = BTreeMap<RegistryName, Arc<Counts>>;

/// The tasks that count. They end when this is dropped.
pub struct Counting {
    clients: Arc<Clients>,
    clock: SharedClock,
    wakes: Wakes,
    counts: watch::Sender<Arc<AllCounts>>,
    tasks: BTreeMap<RegistryName, (Registry, JoinHandle<()>)>,
}

impl Counting {
    /// Nothing is counted yet.
    pub fn new(clients: Arc<Clients>, clock: SharedClock, wakes: Wakes) -> Counting {
        let (counts, _) = watch::channel(Arc::default());
        Counting { clients, clock, wakes, counts, tasks: BTreeMap::new() }
    }

    /// What was counted.
    pub fn counts(&self) -> Arc<AllCounts> {
        self.counts.borrow().clone()
    }

    /// These registries are to be counted, and no others.
    pub fn look_at(&mut self, wanted: &BTreeMap<RegistryName, Registry>) {
        let gone = |name: &RegistryName, had: &Registry| wanted.get(name) != Some(had);
        let gone: Vec<RegistryName> =
            self.tasks.iter().filter(|(name, (had, _))| gone(name, had)).map(|(n, _)| n.clone()).collect();
        for name in gone {
            if let Some((_, task)) = self.tasks.remove(&name) {
                task.abort();
            }
            self.counts.send_modify(|all| drop(Arc::make_mut(all).remove(&name)));
        }
        for (name, registry) in wanted {
            if !self.tasks.contains_key(name) {
                let task = self.begin(registry.clone());
                self.tasks.insert(name.clone(), (registry.clone(), task));
            }
        }
    }

    fn begin(&self, registry: Registry) -> JoinHandle<()> {
        let (clients, clock, counts, wakes) =
            (self.clients.clone(), self.clock.clone(), self.counts.clone(), self.wakes.clone());
        tokio::spawn(async move {
            sleep(FIRST_AFTER).await;
            loop {
                let counted = match clients.one(&registry).await {
                    Ok(client) => count(client.as_ref(), &clock).await,
                    Err(fault) => Err(fault),
                };
                let rest = if counted.is_ok() { EVERY } else { AGAIN };
                if let Ok(counted) = counted {
                    let name = registry.name.clone();
                    counts.send_modify(|all| drop(Arc::make_mut(all).insert(name, Arc::new(counted))));
                    wakes.changed.notify_one();
                }
                sleep(rest).await;
            }
        })
    }
}

impl Drop for Counting {
    fn drop(&mut self) {
        self.tasks.values().for_each(|(_, task)| task.abort());
    }
}

/// Counts one registry. All of it, or nothing: half a count would be a wrong one.
async fn count(client: &dyn RegistryClient, clock: &SharedClock) -> Outcome<Counts> {
    let mut repositories = Vec::new();
    pages(|next| async move { client.repositories(next.as_deref()).await }, |page| repositories.extend(page))
        .await?;
    let (mut sum, mut tags) = (0_usize, BTreeMap::new());
    let all = repositories.len();
    for of in repositories {
        let mut here = 0;
        let fetch = |next: Option<String>| {
            let of = &of;
            async move { client.tags(of, next.as_deref()).await }
        };
        match pages(fetch, |page| here += page.len()).await {
            // It went away since it was listed.
            Err(fault) if fault.kind == Kind::NotFound => {}
            other => other?,
        }
        sum += here;
        if tags.len() < KEPT_MAX {
            tags.insert(of, number(here));
        }
    }
    let sums = Some(Counted { at: clock.now(), repositories: number(all), tags: number(sum) });
    Ok(Counts { sums, tags })
}

fn number(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

/// Every page of a list, with a rest after each.
async fn pages<T, F: Future<Output = Outcome<Page<T>>>>(
    fetch: impl Fn(Option<String>) -> F,
    mut take: impl FnMut(Vec<T>),
) -> Outcome<()> {
    let mut pages = Pages::default();
    loop {
        let begun = Instant::now();
        let page = fetch(pages.next()).await?;
        take(page.items);
        sleep((begun.elapsed() * REST_TIMES).max(REST_LEAST)).await;
        if !pages.turn(page.next)? {
            return Ok(());
        }
    }
}
