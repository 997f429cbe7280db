//! What befalls a fleet.

use std::collections::{BTreeMap, BTreeSet};

use longshore::base::ids::HostId;
use longshore::model::container::{Container, Health, State};
use longshore::model::desired::Write;
use longshore::model::host::{Duty, HostRecord};
use longshore::model::instance::{Instance, Phase};
use longshore::model::pool::Pool;
use longshore::plan::loss::is_tied;
use longshore::plan::seen::Index;
use longshore::plan::shrink::chosen;

use crate::model::{Job, Model};

impl Model {
    pub fn any_host(&mut self) -> HostId {
        let n = self.dice.below(self.truth.len() as u64) as usize;
        self.truth.keys().nth(n).unwrap().clone()
    }

    pub fn any_pool(&mut self) -> Option<Pool> {
        let n = self.dice.below(self.desired.pools.len() as u64) as usize;
        self.desired.pools.values().nth(n).cloned()
    }

    pub fn duty(&mut self, host: &HostId, duty: Duty) {
        let old = self.desired.records.get(host).map(|r| (**r).clone()).unwrap_or_default();
        self.desired.apply(&Write::PutRecord(host.clone(), Box::new(HostRecord { duty, ..old })));
    }

    pub fn crash(&mut self) {
        // What was sent may be done all the same; nobody hears of it.
        for (_, _, job) in std::mem::take(&mut self.jobs) {
            if let Job::Create(instance) = job
                && self.dice.one_in(2)
            {
                self.create(instance, false);
            }
        }
        (self.busy, self.unsettled, self.leaving) = (BTreeMap::new(), BTreeMap::new(), BTreeSet::new());
        self.views.clear();
        self.now = self.now.plus(self.dice.below(60_000));
        self.begun = self.now;
    }

    pub fn befall(&mut self) -> String {
        let host = self.any_host();
        match self.dice.below(27) {
            what @ (0..=3 | 24 | 25) => self.at_pools(what),
            what @ 4..=14 => self.at_links(what, &host),
            what @ (15..=19 | 26) => self.at_duties(what, &host),
            what => self.at_containers(what, &host),
        }
    }

    /// What people ask of pools.
    fn at_pools(&mut self, what: u64) -> String {
        match what {
            0..=2 => {
                let Some(pool) = self.any_pool() else { return String::new() };
                let most = pool.spec.limits.max.unwrap_or(60).min(40);
                let want = self.dice.number(pool.spec.limits.min.unwrap_or(0).min(most), most);
                let text = format!("scale {} {}", pool.id, want);
                let index = Index::of(&self.desired.install, &self.views);
                let seen = index.pool(&pool.id, &self.views);
                let going = chosen(&self.desired, &self.views, &seen, &pool, want);
                let holes = pool.holes_at(want, &going);
                self.desired.apply(&Write::PutPool(Box::new(Pool { want, holes, down: false, ..pool })));
                text
            }
            3 => {
                let Some(pool) = self.any_pool() else { return String::new() };
                let text = format!("revision {}", pool.id);
                let revision = pool.revision + 1;
                self.desired.revisions.insert(pool.id.clone(), revision);
                self.desired.apply(&Write::PutPool(Box::new(Pool { revision, ..pool })));
                text
            }
            25 => {
                let Some(pool) = self.any_pool().filter(|_| self.dice.one_in(2)) else {
                    return String::new();
                };
                let text = format!("down {}", pool.id);
                self.desired.apply(&Write::PutPool(Box::new(Pool {
                    down: true,
                    holes: BTreeSet::new(),
                    ..pool
                })));
                text
            }
            _ => self.wish(),
        }
    }

    /// Hosts are lost, return and are given up.
    fn at_links(&mut self, what: u64, host: &HostId) -> String {
        let at = self.now;
        match what {
            4..=7 => {
                self.truth.get_mut(host).unwrap().up = false;
                format!("cut {host}")
            }
            8..=11 => {
                let down: Vec<HostId> =
                    self.truth.iter().filter(|(_, t)| !t.up).map(|(id, _)| id.clone()).collect();
                let n = self.dice.below(down.len() as u64) as usize;
                let Some(host) = down.get(n) else { return String::new() };
                self.truth.get_mut(host).unwrap().up = true;
                format!("back {host}")
            }
            12 => {
                let site = ["bj", "sh", "gz"][self.dice.below(3) as usize];
                let up = self.dice.one_in(3);
                for (id, truth) in &mut self.truth {
                    let record = self.desired.records.get(id);
                    if record.and_then(|r| r.site.as_ref()).is_some_and(|s| s.as_str() == site) {
                        truth.up = up;
                    }
                }
                format!("site {site} {up}")
            }
            _ => {
                let silent: Vec<HostId> =
                    self.views.iter().filter(|(_, v)| !v.is_live()).map(|(id, _)| id.clone()).collect();
                let n = self.dice.below(silent.len() as u64) as usize;
                let Some(host) = silent.get(n) else { return String::new() };
                let old = self.desired.records.get(host).map(|r| (**r).clone()).unwrap_or_default();
                let record = HostRecord { given_up: Some(at), ..old };
                self.desired.apply(&Write::PutRecord(host.clone(), Box::new(record)));
                format!("give up {host}")
            }
        }
    }

    /// What people decide about hosts.
    fn at_duties(&mut self, what: u64, host: &HostId) -> String {
        let (by, at) = ("alice".to_owned(), self.now);
        match what {
            15..=17 => {
                let (op, force) = (longshore::base::ids::OpId(9), self.dice.one_in(2));
                self.duty(host, Duty::Draining { by, at, op, force });
                format!("drain {host} {force}")
            }
            18 => {
                self.duty(host, Duty::Cordoned { by, at });
                format!("cordon {host}")
            }
            19 => {
                self.duty(host, Duty::Active);
                format!("undrain {host}")
            }
            _ => {
                let truth = self.truth.get_mut(host).unwrap();
                truth.known = !truth.known;
                let known = truth.known;
                if known {
                    self.desired.apply(&Write::PutIdentity(host.clone(), host.to_string()));
                } else {
                    self.desired.apply(&Write::DropHost(host.clone()));
                }
                format!("known {host} {known}")
            }
        }
    }

    /// What happens to containers, and to the core.
    fn at_containers(&mut self, what: u64, host: &HostId) -> String {
        match what {
            20 => {
                self.crash();
                "crash".into()
            }
            21 => {
                let kill = self.dice.below(3);
                let at = self.now;
                for c in &mut self.truth.get_mut(host).unwrap().containers {
                    if c.owner.ours(&self.desired.install).is_some() && c.state == State::Running {
                        (c.state, c.exit, c.health) = (State::Exited, Some(137), Health::None);
                        if kill > 0 {
                            break;
                        }
                    }
                }
                format!("kill on {host} at {at:?}")
            }
            22 => {
                let install = self.desired.install.clone();
                let theirs = |c: &Container| c.owner.ours(&install).is_none();
                self.truth.get_mut(host).unwrap().containers.retain(theirs);
                format!("removed outside on {host}")
            }
            _ => {
                self.flaky = !self.flaky;
                let full = self.dice.one_in(2);
                self.truth.get_mut(host).unwrap().full = full;
                format!("flaky {} full {host} {full}", self.flaky)
            }
        }
    }

    /// Wishes to move, as rebalancing writes them down.
    pub fn wish(&mut self) -> String {
        let Some(pool) = self.any_pool() else { return String::new() };
        let started: Vec<Instance> = self
            .desired
            .instances
            .get(&pool.id)
            .into_iter()
            .flat_map(|s| s.values())
            .filter(|i| i.phase == Phase::Started && i.moved_from.is_none() && pool.wants(i.slot))
            .filter(|_| !is_tied(&pool))
            .cloned()
            .collect();
        for instance in started.into_iter().take(3) {
            let to = self.any_host();
            if self.views.contains_key(&to) {
                self.desired.apply(&Write::PutInstance(Instance { move_to: Some(to), ..instance }));
            }
        }
        format!("wish {}", pool.id)
    }
}
