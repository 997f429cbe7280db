//! The books of placement: every host with what is taken of it, every pool with where it is, hosts that are equal together.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use crate::base::ids::{ClusterName, HostId, PoolId, SiteName, Slot};
use crate::model::holdings::{External, Sort};
use crate::model::host::{Duty, HostView, Need, Seen, Taken};
use crate::model::pool::Pool;
use crate::model::site::Site;
use crate::plan::place::score;
use crate::plan::place::sorted::Sorted;

/// A host's place in the order of fullness: what is free of it (as bits that sort), then its name's hash, then its number.
pub(super) type Order = (u64, u64, u32);

/// What one container of a pool takes. Containers made from equal specifications share it.
#[derive(Debug, PartialEq)]
pub(super) struct Shape {
    pub need: Need,
    /// Fixed ports of the host, by protocol.
    pub ports: Vec<(String, u16)>,
}

impl Shape {
    pub fn of(pool: &Pool) -> Shape {
        let ports = pool.spec.ports.iter().filter_map(|p| Some((p.protocol.clone(), p.published?)));
        Shape { need: pool.spec.need(), ports: ports.collect() }
    }
}

/// What one slot takes, and where.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Entry {
    /// Its host.
    pub host: u32,
    /// The host that it moves away from.
    pub from: Option<u32>,
    pub shape: Arc<Shape>,
}

/// One host.
pub(super) struct Node {
    pub id: HostId,
    pub hash: u64,
    /// As last seen; `None` when it is not known any more.
    pub view: Option<Arc<HostView>>,
    /// It answers and takes containers.
    pub ready: bool,
    pub class: u32,
    pub cap: Need,
    pub taken: Taken,
    /// CPU and memory as they count for fullness.
    pub weight: (u64, u64),
    /// Ten to the power of the share of CPU, and of memory, that is free.
    pub free: (f64, f64),
    ports: Vec<((String, u16), u32)>,
}

impl Node {
    pub fn order(&self, ix: u32) -> Order {
        (score::bits(self.free.0 + self.free.1), self.hash, ix)
    }

    pub fn port_taken(&self, port: &(String, u16)) -> bool {
        self.ports.iter().any(|(p, _)| p == port)
    }
}

/// All that must be equal for hosts to be of one class here: a constraint, a wish or a policy cannot tell them apart.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct ClassKey {
    record: (Option<SiteName>, Option<String>, Option<String>, BTreeMap<String, String>),
    months: Option<i64>,
    size: (u64, u64, Option<u32>),
    engine: (String, String, String),
    labels: BTreeMap<String, String>,
    /// What pools name of it and others have made: what is there, what is not, and which sorts it does not tell.
    holdings: (BTreeSet<External>, BTreeSet<External>, Vec<Sort>),
}

/// Hosts that are equal but for their names and what is taken of them.
pub(super) struct Class {
    pub hash: u64,
    /// One of them.
    pub sample: Arc<HostView>,
    pub site: Option<u32>,
    pub cluster: Option<ClusterName>,
    /// Its place in the list of sizes.
    pub size: u32,
    /// Those that are ready, in order of fullness.
    pub ready: BTreeSet<Order>,
    /// The first and the last of these: they are asked for far more often than they change.
    pub ends: Option<(Order, Order)>,
    /// How many there are.
    pub hosts: u32,
}

impl Class {
    fn change(&mut self, out: Option<&Order>, into: Option<Order>) {
        if let Some(out) = out {
            self.ready.remove(out);
        }
        if let Some(into) = into {
            self.ready.insert(into);
        }
        self.ends = self.ready.first().copied().zip(self.ready.last().copied());
    }
}

/// One pool.
pub(super) struct PoolBook {
    pub id: PoolId,
    /// How many of it are on each host.
    pub on: BTreeMap<u32, u32>,
    /// Pools that it must not share a host with.
    pub apart: Vec<PoolId>,
    shape: Option<Arc<Shape>>,
}

/// One site.
pub(super) struct SiteBook {
    pub name: SiteName,
    pub taken: u32,
}

#[derive(Default)]
pub(super) struct Books {
    pub hosts: Vec<Node>,
    host_ix: HashMap<HostId, u32>,
    pub pools: Vec<PoolBook>,
    pool_ix: HashMap<PoolId, u32>,
    pub entries: HashMap<(u32, Slot), Entry>,
    pub classes: Vec<Class>,
    class_ix: HashMap<ClassKey, u32>,
    /// CPU and memory of the classes, each combination once.
    pub sizes: Vec<Need>,
    /// What was read off the classes.
    pub sorted: Sorted,
    pub site_books: Vec<SiteBook>,
    pub sites: BTreeMap<SiteName, Site>,
    /// Pools that name others in `apart`.
    pub apart: BTreeSet<u32>,
    /// Hosts that are ready, in a fixed order without meaning.
    pub ring: BTreeSet<(u64, u32)>,
    /// Known hosts by name.
    pub known: BTreeMap<HostId, u32>,
    /// Hosts that have not been tried yet.
    pub untried: BTreeSet<HostId>,
    /// How many hosts have an image.
    pub images: HashMap<String, u32>,
    /// Images that the rules for images do not let run, with the reason.
    pub banned: BTreeMap<String, String>,
}

/// A number for a place in a list.
pub(super) fn number(at: usize) -> u32 {
    u32::try_from(at).unwrap_or(u32::MAX)
}

/// True while nothing has been heard of a host, good or bad.
pub(super) fn is_untried(view: &HostView) -> bool {
    match &view.seen {
        Seen::At(_) => view.facts.engine_id.raw().is_empty(),
        Seen::Never { why } => why.is_none(),
        Seen::Lost { .. } => false,
    }
}

fn same_images(a: &HostView, b: &HostView) -> bool {
    match (&a.images, &b.images) {
        (Some(a), Some(b)) => Arc::ptr_eq(a, b) || a.keys().eq(b.keys()),
        (None, None) => true,
        _ => false,
    }
}

impl Books {
    pub fn host(&self, id: &HostId) -> Option<u32> {
        self.host_ix.get(id).copied()
    }

    pub fn node(&self, ix: u32) -> &Node {
        &self.hosts[ix as usize]
    }

    pub fn class(&self, ix: u32) -> &Class {
        &self.classes[ix as usize]
    }

    pub fn pool_name(&self, ix: u32) -> Option<&PoolId> {
        self.pools.get(ix as usize).map(|p| &p.id)
    }

    pub fn pool(&self, id: &PoolId) -> Option<u32> {
        self.pool_ix.get(id).copied()
    }

    /// How many of a pool are on a host.
    pub fn of_pool(&self, pool: u32, host: u32) -> u32 {
        self.pools.get(pool as usize).and_then(|p| p.on.get(&host)).copied().unwrap_or(0)
    }

    /// The number of a host, known or not.
    pub fn intern_host(&mut self, id: &HostId) -> u32 {
        if let Some(ix) = self.host_ix.get(id) {
            return *ix;
        }
        let ix = number(self.hosts.len());
        self.hosts.push(Node {
            id: id.clone(),
            hash: score::hash(id.as_str()),
            view: None,
            ready: false,
            class: 0,
            cap: Need::default(),
            taken: Taken::default(),
            weight: (0, 0),
            free: (10.0, 10.0),
            ports: Vec::new(),
        });
        self.host_ix.insert(id.clone(), ix);
        ix
    }

    pub fn intern_pool(&mut self, id: &PoolId) -> u32 {
        if let Some(ix) = self.pool_ix.get(id) {
            return *ix;
        }
        let ix = number(self.pools.len());
        self.pools.push(PoolBook { id: id.clone(), on: BTreeMap::new(), apart: Vec::new(), shape: None });
        self.pool_ix.insert(id.clone(), ix);
        ix
    }

    /// Notes what a pool asks of others. True when that is news.
    pub fn note_apart(&mut self, ix: u32, pool: &Pool) -> bool {
        let (book, apart) = (&mut self.pools[ix as usize], &pool.spec.placement.apart);
        if book.apart == *apart {
            return false;
        }
        book.apart.clone_from(apart);
        let _ = if apart.is_empty() { self.apart.remove(&ix) } else { self.apart.insert(ix) };
        true
    }

    /// What a container of this pool takes: the same as last time, if its specification says the same.
    pub fn shape(&mut self, ix: u32, pool: &Pool) -> Arc<Shape> {
        let spec = &pool.spec;
        let ports = || spec.ports.iter().filter_map(|p| Some((p.protocol.as_str(), p.published?)));
        let book = &mut self.pools[ix as usize];
        if let Some(shape) = &book.shape
            && shape.need == spec.need()
            && shape.ports.iter().map(|(protocol, port)| (protocol.as_str(), *port)).eq(ports())
        {
            return shape.clone();
        }
        let shape = Arc::new(Shape::of(pool));
        book.shape = Some(shape.clone());
        shape
    }

    /// Counts an entry more or less on one host.
    pub fn count(&mut self, pool: u32, host: u32, shape: &Shape, more: bool) {
        let on = &mut self.pools[pool as usize].on;
        let of_pool = on.entry(host).or_default();
        *of_pool = if more { *of_pool + 1 } else { of_pool.saturating_sub(1) };
        if *of_pool == 0 {
            on.remove(&host);
        }
        let node = &mut self.hosts[host as usize];
        let old = node.order(host);
        node.count(shape, more);
        if node.view.is_none() {
            return;
        }
        let class = &mut self.classes[node.class as usize];
        if node.ready {
            class.change(Some(&old), Some(node.order(host)));
        }
        if let Some(site) = class.site {
            let taken = &mut self.site_books[site as usize].taken;
            *taken = if more { *taken + 1 } else { taken.saturating_sub(1) };
        }
    }

    /// Whether a site takes so many containers and no more.
    pub fn is_limited(&self, site: Option<u32>) -> bool {
        let name = site.map(|site| &self.site_books[site as usize].name);
        name.and_then(|name| self.sites.get(name)).is_some_and(|site| site.limits.containers.is_some())
    }

    /// Whether a site takes no more containers, and how many it takes.
    pub fn site_full(&self, site: Option<u32>) -> Option<u32> {
        let book = &self.site_books[site? as usize];
        let limit = self.sites.get(&book.name)?.limits.containers?;
        (book.taken >= limit).then_some(limit)
    }

    /// A host is new, or its view has changed. True when that can change a choice.
    pub fn put_host(&mut self, view: &Arc<HostView>) -> bool {
        let ix = self.intern_host(&view.config.id);
        let ready = matches!(view.seen, Seen::At(_)) && !is_untried(view) && view.record.duty == Duty::Active;
        let _ = if is_untried(view) {
            self.untried.insert(view.config.id.clone())
        } else {
            self.untried.remove(&view.config.id)
        };
        let node = &mut self.hosts[ix as usize];
        if let Some(old) = &node.view {
            let same = |a: &HostView, b: &HostView| {
                (Arc::ptr_eq(&a.facts, &b.facts) || a.facts == b.facts)
                    && (Arc::ptr_eq(&a.record, &b.record) || a.record == b.record)
                    && (Arc::ptr_eq(&a.holdings, &b.holdings) || a.holdings == b.holdings)
                    && same_images(a, b)
            };
            // A host that is not ready is refused with a reason that its view holds.
            let as_before = ready == node.ready && (ready || old.seen == view.seen);
            if as_before && same(old, view) {
                node.view = Some(view.clone());
                return false;
            }
        }
        self.leave(ix);
        self.enter(ix, view, ready);
        true
    }

    /// A host is not known any more.
    pub fn drop_host(&mut self, id: &HostId) {
        self.untried.remove(id);
        if let Some(ix) = self.host(id) {
            self.leave(ix);
        }
    }

    fn enter(&mut self, ix: u32, view: &Arc<HostView>, ready: bool) {
        let class = self.class_of(view);
        for image in view.images.iter().flat_map(|i| i.keys()) {
            *self.images.entry(image.clone()).or_default() += 1;
        }
        let node = &mut self.hosts[ix as usize];
        (node.class, node.ready, node.cap) = (class, ready, view.capacity());
        node.view = Some(view.clone());
        node.refresh();
        self.known.insert(node.id.clone(), ix);
        let book = &mut self.classes[class as usize];
        book.hosts += 1;
        self.sorted.forget(book.hosts == 1);
        if let Some(site) = book.site {
            self.site_books[site as usize].taken += node.taken.containers;
        }
        if ready {
            book.change(None, Some(node.order(ix)));
            self.ring.insert((node.hash, ix));
        }
    }

    fn leave(&mut self, ix: u32) {
        let node = &mut self.hosts[ix as usize];
        let Some(view) = node.view.take() else { return };
        for image in view.images.iter().flat_map(|i| i.keys()) {
            if let Some(hosts) = self.images.get_mut(image) {
                *hosts -= 1;
                if *hosts == 0 {
                    self.images.remove(image);
                }
            }
        }
        let book = &mut self.classes[node.class as usize];
        book.hosts -= 1;
        self.sorted.forget(book.hosts == 0);
        if let Some(site) = book.site {
            let taken = &mut self.site_books[site as usize].taken;
            *taken = taken.saturating_sub(node.taken.containers);
        }
        book.change(Some(&node.order(ix)), None);
        self.ring.remove(&(node.hash, ix));
        self.known.remove(&node.id);
        node.ready = false;
    }

    fn class_of(&mut self, view: &Arc<HostView>) -> u32 {
        const MONTH_MS: i64 = 30 * 86_400_000;
        let (facts, record) = (&view.facts, &view.record);
        let key = ClassKey {
            record: (
                record.site.clone(),
                record.cluster.as_ref().map(ToString::to_string),
                record.class.clone(),
                record.labels.clone(),
            ),
            months: record.in_service.map(|at| at.0 / MONTH_MS),
            // Equal machines differ by some bytes of memory: what fits is looked at host by host.
            size: (facts.cpus, (facts.memory + (1 << 29)) >> 30, record.capacity.cpu_percent),
            engine: (facts.os.raw().to_owned(), facts.arch.raw().to_owned(), facts.version.raw().to_owned()),
            labels: facts.labels.iter().map(|(k, v)| (k.clone(), v.raw().to_owned())).collect(),
            holdings: (
                view.holdings.there.clone(),
                view.holdings.absent.clone(),
                view.holdings.faults.keys().copied().collect(),
            ),
        };
        if let Some(ix) = self.class_ix.get(&key) {
            self.classes[*ix as usize].sample = view.clone();
            return *ix;
        }
        let site = record.site.as_ref().map(|name| {
            let at = self.site_books.iter().position(|s| s.name == *name).unwrap_or_else(|| {
                self.site_books.push(SiteBook { name: name.clone(), taken: 0 });
                self.site_books.len() - 1
            });
            number(at)
        });
        let ix = number(self.classes.len());
        let hash = score::hash(&format!("{key:?}"));
        let (sample, cluster, size) = (view.clone(), record.cluster.clone(), self.size(view));
        let (ready, ends, hosts) = (BTreeSet::new(), None, 0);
        self.classes.push(Class { hash, sample, site, cluster, size, ready, ends, hosts });
        self.class_ix.insert(key, ix);
        ix
    }
}

impl Books {
    /// How many hosts of each size are ready.
    pub fn hosts_by_size(&self) -> Vec<f64> {
        let mut out = vec![0.0; self.sizes.len()];
        for class in &self.classes {
            out[class.size as usize] += class.ready.len() as f64;
        }
        out
    }

    /// The place of a host's size, to the gibibyte, in the list of sizes.
    fn size(&mut self, view: &HostView) -> u32 {
        const GIB: u64 = 1 << 30;
        let Need { cpu_milli, memory, .. } = view.capacity();
        let whole = memory.saturating_add(GIB / 2) / GIB * GIB;
        let size = Need { cpu_milli, memory: if whole > 0 { whole } else { memory }, ..Need::default() };
        let at = self.sizes.iter().position(|s| *s == size).unwrap_or_else(|| {
            self.sizes.push(size);
            self.sizes.len() - 1
        });
        number(at)
    }
}

impl Node {
    fn count(&mut self, shape: &Shape, more: bool) {
        let step = |n: u64, by: u64| if more { n.saturating_add(by) } else { n.saturating_sub(by) };
        let weight = score::weight(&shape.need);
        self.weight = (step(self.weight.0, weight.0), step(self.weight.1, weight.1));
        let taken = &mut self.taken;
        taken.containers = if more { taken.containers + 1 } else { taken.containers.saturating_sub(1) };
        let (n, by) = (&mut taken.need, &shape.need);
        n.cpu_milli = step(n.cpu_milli, by.cpu_milli);
        n.memory = step(n.memory, by.memory);
        n.pids = step(n.pids, by.pids);
        n.disk = step(n.disk, by.disk);
        n.bandwidth = step(n.bandwidth, by.bandwidth);
        for port in &shape.ports {
            match self.ports.iter_mut().find(|(p, _)| p == port) {
                Some((_, times)) if more => *times += 1,
                Some((_, times)) => *times = times.saturating_sub(1),
                None if more => self.ports.push((port.clone(), 1)),
                None => {}
            }
        }
        self.ports.retain(|(_, times)| *times > 0);
        self.refresh();
    }

    fn refresh(&mut self) {
        self.free = score::free(&self.cap, self.weight);
    }
}
