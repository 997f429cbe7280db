//! How Harbors stand: one task each asks it for its parts, its room, its projects and its own replication.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::base::clock::SharedClock;
use crate::base::fault::{Fault, Kind, Outcome};
use crate::base::ids::RegistryName;
use crate::base::text::Untrusted;
use crate::engine::core::Connector;
use crate::engine::observe::Wakes;
use crate::model::harbor::Login;
use crate::model::harbor::runs::Policy;
use crate::model::harbor::view::{HarborView, PolicyView, Quotas};
use crate::model::registry::{Registry, RegistryKind};
use crate::ports::registry_admin::RegistryAdmin;

/// A Harbor is asked this often: a dozen short calls, of which one makes it ask all of its parts.
const EVERY: Duration = Duration::from_secs(60);
/// One of which something could not be read is asked again this soon.
const AGAIN: Duration = Duration::from_secs(15);
/// The last execution is read of so many policies at most: it is a call each.
const POLICIES_MAX: usize = 32;

/// What is seen of every Harbor, with the record that it was asked by.
pub type Views = BTreeMap<RegistryName, (Registry, Box<HarborView>)>;

struct Looked {
    registry: Registry,
    task: JoinHandle<()>,
    /// It is to be asked now.
    now: Arc<Notify>,
}

/// The tasks that look at Harbors. They end when this is dropped.
pub struct Harbors {
    connector: Arc<dyn Connector>,
    clock: SharedClock,
    wakes: Wakes,
    views: watch::Sender<Arc<Views>>,
    taken: watch::Receiver<Arc<Views>>,
    looked: BTreeMap<RegistryName, Looked>,
}

impl Harbors {
    /// Nothing is looked at yet. `wakes` are notified when something is seen.
    pub fn new(connector: Arc<dyn Connector>, clock: SharedClock, wakes: Wakes) -> Harbors {
        let (views, taken) = watch::channel(Arc::default());
        Harbors { connector, clock, wakes, views, taken, looked: BTreeMap::new() }
    }

    /// What is seen, if that has changed since this was asked last.
    pub fn take(&mut self) -> Option<Arc<Views>> {
        self.taken.has_changed().ok().filter(|changed| *changed)?;
        Some(self.taken.borrow_and_update().clone())
    }

    /// The Harbors among these registries are to be looked at, and no others.
    pub fn look_at(&mut self, wanted: &BTreeMap<RegistryName, Registry>) {
        let same = |name: &RegistryName, had: &Registry| {
            wanted.get(name).is_some_and(|is| is == had && is.kind == RegistryKind::Harbor)
        };
        let gone = self.looked.extract_if(.., |name, had| !same(name, &had.registry));
        for (name, looked) in gone {
            looked.task.abort();
            self.views.send_modify(|views| drop(Arc::make_mut(views).remove(&name)));
        }
        for (name, registry) in wanted.iter().filter(|(_, r)| r.kind == RegistryKind::Harbor) {
            if !self.looked.contains_key(name) {
                let now = Arc::new(Notify::new());
                let task = self.begin(registry.clone(), now.clone());
                self.looked.insert(name.clone(), Looked { registry: registry.clone(), task, now });
            }
        }
    }

    /// To be notified when something was done there: then it is asked at once.
    pub fn alarm(&self, name: &RegistryName) -> Option<Arc<Notify>> {
        self.looked.get(name).map(|looked| looked.now.clone())
    }

    fn begin(&self, registry: Registry, now: Arc<Notify>) -> JoinHandle<()> {
        let (connector, clock) = (self.connector.clone(), self.clock.clone());
        let (views, wakes) = (self.views.clone(), self.wakes.clone());
        tokio::spawn(async move {
            loop {
                let view = look(&*connector, &registry, &clock).await;
                let pause = if view.why.is_empty() { EVERY } else { AGAIN };
                let entry = (registry.clone(), Box::new(view));
                views.send_modify(|views| {
                    Arc::make_mut(views).insert(registry.name.clone(), entry);
                });
                wakes.changed.notify_one();
                // Asked for meanwhile, or its time has come: both lead to the next look.
                let _ = timeout(pause, now.notified()).await;
            }
        })
    }
}

impl Drop for Harbors {
    fn drop(&mut self) {
        self.looked.values().for_each(|looked| looked.task.abort());
    }
}

/// A client of the first address that answers. Made anew for each occasion: the login may have been changed.
///
/// # Errors
/// When no address of it answers, or it cannot be used.
pub async fn reach(connector: &dyn Connector, registry: &Registry) -> Outcome<Arc<dyn RegistryAdmin>> {
    let mut last: Option<Fault> = None;
    let addresses: Vec<&str> = registry.addresses().collect();
    for address in &addresses {
        let one = Registry { endpoints: vec![(*address).to_owned()], ..registry.clone() };
        let client = connector.registry_admin(&one).await?;
        // With a single address the call itself says what is wrong with it.
        if addresses.len() == 1 {
            return Ok(client);
        }
        match client.health().await {
            Ok(_) => return Ok(client),
            Err(fault) => last = Some(fault),
        }
    }
    Err(last.unwrap_or_else(|| Fault::new(Kind::Invalid, "it has no address")))
}

async fn look(connector: &dyn Connector, registry: &Registry, clock: &SharedClock) -> HarborView {
    let mut view = HarborView::default();
    if let Err(fault) = read(connector, registry, &mut view).await {
        view.why.push(fault.to_string().into());
    }
    view.asked = Some(clock.now());
    view
}

/// Reads all of it. The first call that fails for the whole of it ends that; one that fails for a part is noted there.
async fn read(connector: &dyn Connector, registry: &Registry, view: &mut HarborView) -> Outcome<()> {
    let admin = reach(connector, registry).await?;
    view.health = Some(admin.health().await?);
    view.login = Some(admin.login().await?);
    note(&mut view.facts, admin.about().await, &mut view.why);
    if let Some(projects) = kept(admin.projects().await, &mut view.why) {
        view.projects = u32::try_from(projects.len()).ok();
        view.repositories = Some(projects.iter().map(|p| p.repositories).fold(0, u64::saturating_add));
    }
    // The rest is for administrators: to ask without being one would be a refusal a minute.
    if !matches!(view.login, Some(Login::User { admin: true, .. })) {
        return Ok(());
    }
    view.space = kept(admin.space().await, &mut view.why).flatten();
    note(&mut view.quotas, admin.quotas().await.map(|all| Quotas::of(&all)), &mut view.why);
    if let Some(policies) = kept(admin.policies().await, &mut view.why) {
        view.policies = Some(with_last(&*admin, policies, &mut view.why).await);
    }
    Ok(())
}

fn note<T>(place: &mut Option<T>, read: Outcome<T>, why: &mut Vec<Untrusted>) {
    *place = kept(read, why);
}

fn kept<T>(read: Outcome<T>, why: &mut Vec<Untrusted>) -> Option<T> {
    read.map_err(|fault| why.push(fault.to_string().into())).ok()
}

async fn with_last(
    admin: &dyn RegistryAdmin,
    policies: Vec<Policy>,
    why: &mut Vec<Untrusted>,
) -> Vec<PolicyView> {
    let mut out = Vec::with_capacity(policies.len());
    for (at, policy) in policies.into_iter().enumerate() {
        let mut last = None;
        if at < POLICIES_MAX {
            let page = kept(admin.executions(policy.id, None).await, why);
            last = page.and_then(|page| page.items.into_iter().next());
        }
        out.push(PolicyView {
            id: policy.id,
            name: policy.name,
            enabled: policy.enabled,
            trigger: policy.trigger,
            from: policy.from.map(|e| e.name),
            to: policy.to.map(|e| e.name),
            last,
        });
    }
    out
}
