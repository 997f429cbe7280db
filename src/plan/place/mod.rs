//! Where containers go: filters say which hosts can take one, scores which of these is best; the same input gives the same.
//!
//! Sources (orchestration research): filters and the order "fewest of the pool in a domain, then on a host" are Swarm's
//! (4.5), fullness, wishes and evenness Nomad's functions (4.4), a bounded number of scored hosts both Nomad's and
//! Kubernetes' (4.6). A strategy means: **spread** — domains, then hosts with the fewest, then the best score; **binpack** —
//! the best score, where a full host is good (and domains first, if the pool names some); **random** — any host that fits.

mod batch;
mod books;
mod constraint;
mod contest;
mod explain;
mod moves;
mod pick;
mod refuse;
mod score;
mod sorted;
mod terms;

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::base::ids::{HostId, PoolId, SiteName, Slot};
use crate::model::desired::Desired;
use crate::model::explain::Refused;
use crate::model::host::{HostView, Taken};
use crate::model::instance::{Instance, Phase};
use crate::model::placement::Strategy;
use crate::model::pool::Pool;
use crate::model::site::Site;
use crate::plan::place::batch::{Batch, Before};
use crate::plan::place::books::{Books, Entry, Shape};
use crate::plan::place::refuse::{NOT_ASKED, NOT_YET};
use crate::plan::place::terms::Terms;

pub use crate::plan::place::constraint::{Test, value};
pub(crate) use crate::plan::place::moves::share;

/// What is asked of a placement: one container of a pool.
#[derive(Clone, Copy, Debug)]
pub struct Ask<'a> {
    /// The pool.
    pub pool: &'a Pool,
    /// The slot that it is for. Where that slot was counted before is given back first.
    pub slot: Slot,
    /// Which of the hosts that can take it is preferred.
    pub strategy: Strategy,
    /// The host of its last failure: taken only if there is no other.
    pub avoid: Option<&'a HostId>,
    /// Not this host: it moves away from there.
    pub not_on: Option<&'a HostId>,
    /// Only on hosts of this class.
    pub class: Option<&'a str>,
    /// Only on this host.
    pub only: Option<&'a HostId>,
}

impl<'a> Ask<'a> {
    /// One container of a pool, without further wishes.
    pub fn new(pool: &'a Pool, slot: Slot) -> Ask<'a> {
        Ask { pool, slot, strategy: pool.strategy(), avoid: None, not_on: None, class: None, only: None }
    }
}

/// All that placement counts: hosts, and what every slot takes of them. Kept up to date by its owner, change by change.
#[derive(Default)]
pub struct Room {
    books: Books,
    /// What was worked out for the last pool that was asked for.
    batch: Option<Box<Batch>>,
    /// What each change since [`Room::begin_trial`] replaced.
    undo: Option<Vec<((u32, Slot), Option<Entry>)>>,
    /// Nothing is placed before every host has answered or failed once.
    pub wait_for_all: bool,
}

impl Room {
    /// Counts everything that is on record.
    pub fn new(desired: &Desired, hosts: &BTreeMap<HostId, Arc<HostView>>) -> Room {
        let mut room = Room::default();
        room.books.sites.clone_from(&desired.sites);
        hosts.values().for_each(|view| room.put_host(view));
        for pool in desired.pools.values() {
            room.pool(pool);
        }
        for (id, slots) in &desired.instances {
            let Some(pool) = desired.pools.get(id) else { continue };
            slots.values().for_each(|instance| room.put(instance, pool));
        }
        room
    }

    /// A host is new, or its view has changed.
    pub fn put_host(&mut self, view: &Arc<HostView>) {
        if self.books.put_host(view) {
            self.batch = None;
        }
    }

    /// A host is not known any more. What is counted on it stays counted, should it come back.
    pub fn drop_host(&mut self, host: &HostId) {
        self.books.drop_host(host);
        self.batch = None;
    }

    /// The sites as recorded.
    pub fn set_sites(&mut self, sites: &BTreeMap<SiteName, Site>) {
        if self.books.sites != *sites {
            self.books.sites.clone_from(sites);
            self.batch = None;
        }
    }

    /// Images that may not run, each with the reason. True when they are others than before.
    pub fn set_banned(&mut self, banned: BTreeMap<String, String>) -> bool {
        let is_new = self.books.banned != banned;
        if is_new {
            self.books.banned = banned;
            self.batch = None;
        }
        is_new
    }

    /// Counts an instance where its record says, instead of where it was counted before. One that is finished takes nothing.
    pub fn put(&mut self, instance: &Instance, pool: &Pool) {
        let (ix, shape) = self.pool(pool);
        if instance.phase == Phase::Finished {
            return self.set((ix, instance.slot), None);
        }
        let host = self.books.intern_host(&instance.host);
        let from = instance.moved_from.as_ref().map(|from| self.books.intern_host(&from.host));
        let from = from.filter(|from| *from != host);
        self.set((ix, instance.slot), Some(Entry { host, from, shape }));
    }

    /// A slot takes nothing any more.
    pub fn drop_slot(&mut self, pool: &PoolId, slot: Slot) {
        if let Some(pool) = self.books.pool(pool) {
            self.set((pool, slot), None);
        }
    }

    /// From now on changes are on trial, until [`Room::end_trial`] takes them all back.
    pub fn begin_trial(&mut self) {
        self.undo = Some(Vec::new());
    }

    /// Takes back every change since [`Room::begin_trial`].
    pub fn end_trial(&mut self) {
        for (key, before) in self.undo.take().unwrap_or_default().into_iter().rev() {
            self.set(key, before);
        }
    }

    /// A pool's number, and what one container of it takes.
    fn pool(&mut self, pool: &Pool) -> (u32, Arc<Shape>) {
        let new = self.books.pool(&pool.id).is_none();
        let ix = self.books.intern_pool(&pool.id);
        if self.books.note_apart(ix, pool) || new {
            self.batch = None;
        }
        (ix, self.books.shape(ix, pool))
    }

    fn set(&mut self, key: (u32, Slot), entry: Option<Entry>) {
        let before = self.books.entries.get(&key).cloned();
        if before == entry {
            return;
        }
        if let Some(old) = &before {
            self.count(key.0, old, false);
        }
        if let Some(new) = &entry {
            self.count(key.0, new, true);
        }
        match entry {
            Some(new) => drop(self.books.entries.insert(key, new)),
            None => drop(self.books.entries.remove(&key)),
        }
        if let Some(undo) = &mut self.undo {
            undo.push((key, before));
        }
    }

    fn count(&mut self, pool: u32, entry: &Entry, more: bool) {
        for host in [Some(entry.host), entry.from].into_iter().flatten() {
            let order = self.books.node(host).order(host);
            let Some(batch) = &mut self.batch else {
                self.books.count(pool, host, &entry.shape, more);
                continue;
            };
            let before = Before { order, of_pool: self.books.of_pool(batch.terms.pool, host) };
            self.books.count(pool, host, &entry.shape, more);
            batch.touch(&self.books, pool, host, &before);
        }
    }

    /// What our containers on record take of a host.
    pub fn taken(&self, host: &HostId) -> Taken {
        self.books.host(host).map(|ix| self.books.node(ix).taken).unwrap_or_default()
    }

    /// **All** reasons why a host cannot take a container; empty when it can. The host is looked at as it was last put.
    pub fn refusals(&self, host: &HostView, ask: &Ask<'_>) -> Vec<Refused> {
        let own;
        let terms = match &self.batch {
            Some(batch) if self.is_for(batch, ask) => &batch.terms,
            _ => {
                own = Terms::new(&self.books, ask, Arc::new(Shape::of(ask.pool)));
                &own
            }
        };
        let known = self.books.known.get(&host.config.id);
        let Some((ix, view)) = known.and_then(|ix| Some((*ix, self.books.node(*ix).view.as_ref()?))) else {
            let why = "is not known to placement".to_owned();
            return vec![Refused { filter: crate::model::explain::Filter::Ready, why }];
        };
        let why = refuse::reasons(&self.books, terms, ask, ix, false);
        why.into_iter().map(|w| w.refused(&self.books, terms, ask, view)).collect()
    }

    /// The same were the ask's slot not counted anywhere: whether a host takes the successor of what it has.
    pub fn refusals_but_own(&mut self, host: &HostView, ask: &Ask<'_>) -> Vec<Refused> {
        let (pool, _) = self.pool(ask.pool);
        let key = (pool, ask.slot);
        let before = self.books.entries.get(&key).cloned();
        let failure = self.batch.as_ref().and_then(|b| b.failure.clone());
        self.set(key, None);
        let refusals = self.refusals(host, ask);
        self.set(key, before);
        if let Some(batch) = &mut self.batch {
            batch.failure = failure;
        }
        refusals
    }

    /// Hosts that cannot take one, each with all of its reasons, at most so many, and how many more there are.
    pub fn refused_hosts(&mut self, ask: &Ask<'_>, most: usize) -> (Vec<(HostId, String)>, u32) {
        let (pool, shape) = self.pool(ask.pool);
        self.ready(ask, pool, shape);
        let (mut out, mut more) = (Vec::new(), 0);
        let Some(batch) = &self.batch else { return (out, more) };
        for (id, ix) in &self.books.known {
            let Some(view) = &self.books.node(*ix).view else { continue };
            if batch.takes(&self.books, *ix) {
                continue;
            }
            if out.len() == most {
                more += 1;
                continue;
            }
            let why = refuse::reasons(&self.books, &batch.terms, ask, *ix, false);
            let why: Vec<String> =
                why.iter().map(|w| w.of_one(&self.books, &batch.terms, ask, view)).collect();
            out.push((id.clone(), why.join("; ")));
        }
        (out, more)
    }

    fn is_for(&self, batch: &Batch, ask: &Ask<'_>) -> bool {
        let shape = Arc::new(Shape::of(ask.pool));
        self.books.pool(&ask.pool.id).is_some_and(|pool| batch.terms.are_of(ask, pool, &shape))
    }

    /// Chooses a host for one container and counts it there.
    ///
    /// # Errors
    /// One sentence that says why no host takes it.
    pub fn choose(&mut self, ask: &Ask<'_>) -> Result<HostId, String> {
        let (pool, shape) = self.pool(ask.pool);
        let key = (pool, ask.slot);
        let before = self.books.entries.get(&key).cloned();
        let frees_nothing = before.as_ref().is_none_or(|entry| self.frees_nothing(entry));
        if frees_nothing && let Some(why) = self.known_failure(ask, pool, &shape) {
            return Err(why);
        }
        // What this slot holds is given back for the while: that alone does not change why none of the others fits.
        let failure = self.batch.as_ref().and_then(|b| b.failure.clone());
        self.set(key, None);
        if let Some(batch) = &mut self.batch {
            batch.failure.clone_from(&failure);
        }
        let picked = self.pick(ask, pool);
        match &picked {
            Ok(id) => {
                let host = self.books.intern_host(id);
                self.set(key, Some(Entry { host, from: None, shape }));
            }
            Err(_) => {
                // What was found out while it was given back holds afterwards only if that freed nothing.
                let found = self.batch.as_mut().and_then(|b| b.failure.take());
                let failure = if frees_nothing { found } else { failure };
                self.set(key, before);
                if let Some(batch) = &mut self.batch {
                    batch.failure = failure;
                }
            }
        }
        picked
    }

    /// True when no host could take more, were this not counted: it is on hosts that take none.
    fn frees_nothing(&self, entry: &Entry) -> bool {
        [Some(entry.host), entry.from].into_iter().flatten().all(|host| {
            let node = self.books.node(host);
            !node.ready && (node.view.is_none() || !self.books.is_limited(self.books.class(node.class).site))
        })
    }

    /// Why no host takes one, if that was found out for another of the pool and nothing has changed since.
    fn known_failure(&self, ask: &Ask<'_>, pool: u32, shape: &Arc<Shape>) -> Option<String> {
        let batch = self.batch.as_ref().filter(|b| b.terms.are_of(ask, pool, shape))?;
        batch.failure.clone().filter(|_| ask.only.is_none() && ask.not_on.is_none())
    }

    /// Makes what was worked out fit this ask.
    fn ready(&mut self, ask: &Ask<'_>, pool: u32, shape: Arc<Shape>) {
        if self.batch.as_ref().is_none_or(|b| !b.terms.are_of(ask, pool, &shape)) {
            let terms = Terms::new(&self.books, ask, shape);
            self.books.sort_for(&terms);
            self.batch = Some(Box::new(Batch::new(&self.books, terms)));
        }
    }

    /// Chooses a host, and counts nothing.
    fn pick(&mut self, ask: &Ask<'_>, pool: u32) -> Result<HostId, String> {
        let shape = self.books.shape(pool, ask.pool);
        self.ready(ask, pool, shape);
        if self.wait_for_all
            && let Some(host) = self.books.untried.first()
        {
            return Err(format!("no host can take it ({host}: {NOT_YET})"));
        }
        let Some(batch) = &mut self.batch else { return Err("no host can take it".into()) };
        if let Some(ix) = batch.to_be_asked {
            let host = &self.books.node(ix).id;
            return Err(format!("no host can take it ({host}: {NOT_ASKED})"));
        }
        if let Some(ix) = batch.pick(&self.books, ask) {
            return Ok(self.books.node(ix).id.clone());
        }
        // What this ask alone excludes is in its own sentence.
        if ask.only.is_some() || ask.not_on.is_some() {
            return Err(refuse::sentence(&self.books, &batch.terms, ask));
        }
        let why = || refuse::sentence(&self.books, &batch.terms, ask);
        let why = batch.failure.take().unwrap_or_else(why);
        batch.failure = Some(why.clone());
        Err(why)
    }
}
