//! Which containers of ours are where: lists indexed by pool and slot, kept up to date list by list.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::base::ids::{HostId, InstallId, PoolId, Slot};
use crate::model::container::{Container, Tag};
use crate::model::host::HostView;
use crate::plan::surplus::Ours;

/// The containers of one pool by slot, on hosts that answer, and how many were last seen on hosts that do not.
#[derive(Default)]
pub struct Seen<'a> {
    /// On hosts that answer.
    pub slots: BTreeMap<Slot, Vec<Ours<'a>>>,
    /// Last seen on hosts that do not.
    pub lost: BTreeMap<Slot, u32>,
}

/// The last list of one host, and where in it our containers are.
struct Listed {
    containers: Arc<Vec<Container>>,
    /// Positions of our containers in it, by pool, then as listed.
    order: Vec<u32>,
}

/// The lists of all hosts, indexed by pool. Four bytes a container: what is said of it stays in its list.
#[derive(Default)]
pub struct Index {
    install: InstallId,
    hosts: BTreeMap<HostId, Listed>,
    pools: BTreeMap<PoolId, BTreeSet<HostId>>,
}

impl Index {
    /// An empty index of the containers of one install.
    pub fn new(install: &InstallId) -> Index {
        Index { install: install.clone(), ..Index::default() }
    }

    /// An index of everything that is seen.
    pub fn of(install: &InstallId, hosts: &BTreeMap<HostId, Arc<HostView>>) -> Index {
        let mut index = Index::new(install);
        for (host, view) in hosts {
            index.put(host, &view.containers, &mut BTreeSet::new());
        }
        index
    }

    /// A host's list is this now. Adds the pools of which something differs from its list before to `changed`.
    pub fn put(&mut self, host: &HostId, list: &Arc<Vec<Container>>, changed: &mut BTreeSet<PoolId>) {
        let before = match self.hosts.get(host) {
            Some(old) if Arc::ptr_eq(&old.containers, list) => return,
            Some(old) => old.containers.clone(),
            None => Arc::default(),
        };
        let mut differs = BTreeSet::new();
        differences(&self.install, &before, list, &mut differs);
        for pool in &differs {
            if list.iter().any(|c| c.owner.ours(&self.install).is_some_and(|tag| tag.pool == *pool)) {
                self.pools.entry(pool.clone()).or_default().insert(host.clone());
            } else {
                self.leave(pool, host);
            }
        }
        if list.is_empty() {
            self.hosts.remove(host);
        } else {
            let order = self.order(list);
            self.hosts.insert(host.clone(), Listed { containers: list.clone(), order });
        }
        changed.extend(differs);
    }

    /// A host is not known any more.
    pub fn drop_host(&mut self, host: &HostId, changed: &mut BTreeSet<PoolId>) {
        self.put(host, &Arc::default(), changed);
    }

    /// Adds every pool of which a host's last list has a container.
    pub fn pools_on(&self, host: &HostId, pools: &mut BTreeSet<PoolId>) {
        let Some(listed) = self.hosts.get(host) else { return };
        let mut last = None;
        for tag in listed.ours(&self.install).filter_map(|one| one.owner.ours(&self.install)) {
            if last != Some(&tag.pool) {
                pools.insert(tag.pool.clone());
                last = Some(&tag.pool);
            }
        }
    }

    /// Every pool of which a host's last list has a container.
    pub fn pools(&self) -> impl Iterator<Item = &PoolId> {
        self.pools.keys()
    }

    /// The containers of one pool.
    pub fn pool<'a>(&'a self, pool: &PoolId, hosts: &BTreeMap<HostId, Arc<HostView>>) -> Seen<'a> {
        let mut seen = Seen::default();
        for host in self.pools.get(pool).into_iter().flatten() {
            let Some(listed) = self.hosts.get(host) else { continue };
            let Some(view) = hosts.get(host) else { continue };
            let is_live = view.is_live();
            // Nobody waits for what is on a host that was given up.
            if !is_live && view.record.given_up.is_some() {
                continue;
            }
            for (container, tag) in listed.of_pool(&self.install, pool) {
                if is_live {
                    seen.slots.entry(tag.slot).or_default().push(Ours { host, container, tag });
                } else {
                    *seen.lost.entry(tag.slot).or_default() += 1;
                }
            }
        }
        seen
    }

    fn leave(&mut self, pool: &PoolId, host: &HostId) {
        if let Some(hosts) = self.pools.get_mut(pool) {
            hosts.remove(host);
            if hosts.is_empty() {
                self.pools.remove(pool);
            }
        }
    }

    fn order(&self, list: &[Container]) -> Vec<u32> {
        let tag = |at: &u32| tag_at(&self.install, list, *at);
        let mut order: Vec<u32> = (0..).take(list.len()).filter(|at| tag(at).is_some()).collect();
        order.sort_by(|a, b| tag(a).map(|t| &t.pool).cmp(&tag(b).map(|t| &t.pool)));
        order.shrink_to_fit();
        order
    }
}

fn tag_at<'a>(install: &InstallId, list: &'a [Container], at: u32) -> Option<&'a Tag> {
    list.get(usize::try_from(at).ok()?)?.owner.ours(install)
}

impl Listed {
    fn ours<'a>(&'a self, install: &'a InstallId) -> impl Iterator<Item = &'a Container> {
        let at = |at: &u32| self.containers.get(usize::try_from(*at).ok()?);
        self.order.iter().filter_map(at).filter(|c| c.owner.ours(install).is_some())
    }

    fn of_pool<'a>(
        &'a self,
        install: &InstallId,
        pool: &PoolId,
    ) -> impl Iterator<Item = (&'a Container, &'a Tag)> {
        let tag = |at: &u32| tag_at(install, &self.containers, *at).map(|tag| &tag.pool);
        let first = self.order.partition_point(|at| tag(at) < Some(pool));
        let behind = self.order.partition_point(|at| tag(at) <= Some(pool));
        let positions = self.order.get(first..behind).unwrap_or_default();
        positions.iter().filter_map(|at| {
            let container = self.containers.get(usize::try_from(*at).ok()?)?;
            match &container.owner {
                crate::model::container::Owner::Longshore(tag) => Some((container, tag)),
                _ => None,
            }
        })
    }
}

/// The pools of which something differs between two lists, both sorted by id.
fn differences(install: &InstallId, a: &[Container], b: &[Container], out: &mut BTreeSet<PoolId>) {
    let mut note = |c: &Container| {
        if let Some(tag) = c.owner.ours(install)
            && !out.contains(&tag.pool)
        {
            out.insert(tag.pool.clone());
        }
    };
    let (mut a, mut b) = (a.iter().peekable(), b.iter().peekable());
    loop {
        let order = match (a.peek(), b.peek()) {
            (None, None) => return,
            (Some(_), None) => std::cmp::Ordering::Less,
            (None, Some(_)) => std::cmp::Ordering::Greater,
            (Some(x), Some(y)) => x.id.cmp(&y.id),
        };
        let old = if order.is_le() { a.next() } else { None };
        let new = if order.is_ge() { b.next() } else { None };
        if old != new {
            old.into_iter().chain(new).for_each(&mut note);
        }
    }
}
