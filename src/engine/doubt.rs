//! What has to be planned again: the pools of which something may have changed since they were planned last, and what is
//! under way on their slots.

use std::collections::{BTreeMap, BTreeSet};

use crate::base::clock::Millis;
use crate::base::ids::{HostId, PoolId, Slot};
use crate::engine::core::Busy;
use crate::model::world::{PoolView, SlotStatus};
use crate::plan::slot::Doing;

/// Which pools have to be planned again.
#[derive(Debug, Default)]
pub struct Doubt {
    all: bool,
    pools: BTreeSet<PoolId>,
    /// There may be room that was not there before: pools that wait for it are planned again.
    grown: bool,
    waiting: BTreeSet<PoolId>,
    wakes: BTreeMap<PoolId, Millis>,
    times: BTreeSet<(Millis, PoolId)>,
}

/// What is planned in one go.
#[derive(Debug, PartialEq)]
pub enum Scope {
    /// Every pool.
    All,
    /// These.
    Some(BTreeSet<PoolId>),
}

impl Doubt {
    /// Anything may have changed.
    pub fn everything(&mut self) {
        self.all = true;
    }

    /// Something of this pool may have changed.
    pub fn pool(&mut self, id: &PoolId) {
        if !self.pools.contains(id) {
            self.pools.insert(id.clone());
        }
    }

    /// Something of these pools may have changed.
    pub fn pools(&mut self, ids: impl IntoIterator<Item = PoolId>) {
        self.pools.extend(ids);
    }

    /// There may be more room, or a host may have said something that somebody waits for.
    pub fn room(&mut self) {
        self.grown = true;
    }

    /// What was planned last holds: its own records do not change it.
    pub fn settled(&mut self, id: &PoolId) {
        self.pools.remove(id);
    }

    /// A pool is gone.
    pub fn forget(&mut self, id: &PoolId) {
        self.pools.remove(id);
        self.waiting.remove(id);
        self.wake(id, None);
    }

    /// True when something has to be planned at once.
    pub fn is_open(&self) -> bool {
        self.all || !self.pools.is_empty() || (self.grown && !self.waiting.is_empty())
    }

    /// When the next pool has to be looked at by itself.
    pub fn next(&self) -> Option<Millis> {
        self.times.first().map(|(at, _)| *at)
    }

    /// Takes what has to be planned now; `None` when nothing has.
    pub fn take(&mut self, now: Millis) -> Option<Scope> {
        while let Some((at, id)) = self.times.first().cloned() {
            if at > now {
                break;
            }
            self.wake(&id, None);
            self.pools.insert(id);
        }
        if std::mem::take(&mut self.grown) {
            self.pools.extend(self.waiting.iter().cloned());
        }
        let pools = std::mem::take(&mut self.pools);
        match std::mem::take(&mut self.all) {
            true => Some(Scope::All),
            false => (!pools.is_empty()).then_some(Scope::Some(pools)),
        }
    }

    /// A pool was planned: how it stands, and when it has to be looked at by itself.
    pub fn planned(&mut self, id: &PoolId, view: &PoolView, wake_at: Option<Millis>) {
        self.wake(id, wake_at);
        let waits = |slot: &SlotStatus| matches!(slot, SlotStatus::Waiting(_) | SlotStatus::AwaitingHost);
        if view.slots.iter().any(|s| waits(&s.status) || s.why.is_some()) {
            self.waiting.insert(id.clone());
        } else {
            self.waiting.remove(id);
        }
    }

    fn wake(&mut self, id: &PoolId, at: Option<Millis>) {
        let before = match at {
            Some(at) => self.wakes.insert(id.clone(), at),
            None => self.wakes.remove(id),
        };
        if let Some(before) = before {
            self.times.remove(&(before, id.clone()));
        }
        self.times.extend(at.map(|at| (at, id.clone())));
    }
}

/// What is under way on slots, with the pools of which that has changed, and what waits for a list.
#[derive(Default)]
pub struct UnderWay {
    slots: BTreeMap<(PoolId, Slot), Busy>,
    settling: BTreeMap<HostId, BTreeSet<(PoolId, Slot)>>,
    changed: BTreeSet<PoolId>,
}

impl UnderWay {
    /// Something is under way on a slot now.
    pub fn insert(&mut self, key: (PoolId, Slot), busy: Busy) {
        self.remove(&key);
        if let Some((host, _)) = &busy.settles {
            self.settling.entry(host.clone()).or_default().insert(key.clone());
        }
        self.changed.insert(key.0.clone());
        self.slots.insert(key, busy);
    }

    /// Nothing is any more.
    pub fn remove(&mut self, key: &(PoolId, Slot)) {
        let Some(old) = self.slots.remove(key) else { return };
        if let Some((host, _)) = &old.settles
            && let Some(keys) = self.settling.get_mut(host)
        {
            keys.remove(key);
        }
        self.changed.insert(key.0.clone());
    }

    /// What is under way on a slot, to be changed (but not what it waits for).
    pub fn get_mut(&mut self, key: &(PoolId, Slot)) -> Option<&mut Busy> {
        let busy = self.slots.get_mut(key)?;
        if !self.changed.contains(&key.0) {
            self.changed.insert(key.0.clone());
        }
        Some(busy)
    }

    /// Everything that is under way.
    pub fn values(&self) -> impl Iterator<Item = &Busy> {
        self.slots.values()
    }

    /// What is under way on the slots of a pool.
    pub fn of_pool(&self, id: &PoolId) -> impl Iterator<Item = (&(PoolId, Slot), &Busy)> {
        self.slots.range((id.clone(), Slot::MIN)..=(id.clone(), Slot::MAX))
    }

    /// The same as the planner wants it, of some pools or of all.
    pub fn activities(&self, scope: &Scope) -> BTreeMap<(PoolId, Slot), Doing> {
        let one = |(key, busy): (&(PoolId, Slot), &Busy)| {
            (key.clone(), Doing { activity: busy.activity.clone(), host: busy.host.clone() })
        };
        match scope {
            Scope::All => self.slots.iter().map(one).collect(),
            Scope::Some(pools) => pools.iter().flat_map(|id| self.of_pool(id)).map(one).collect(),
        }
    }

    /// A list of a host has come: what waited for it is over.
    pub fn listed(&mut self, host: &HostId, is_shown: impl Fn(u64) -> bool) {
        let Some(keys) = self.settling.get(host) else { return };
        let shown = |key: &&(PoolId, Slot)| {
            let settles = self.slots.get(*key).and_then(|busy| busy.settles.as_ref());
            settles.is_none_or(|(_, list)| is_shown(*list))
        };
        let over: Vec<_> = keys.iter().filter(shown).cloned().collect();
        over.iter().for_each(|key| self.remove(key));
    }

    /// Takes the pools of which something has changed.
    pub fn take_changed(&mut self) -> BTreeSet<PoolId> {
        std::mem::take(&mut self.changed)
    }
}
