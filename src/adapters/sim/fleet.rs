//! The fleet: all simulated hosts, and the hands that tests and scenarios have in it.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::time::Instant;

use crate::adapters::sim::behaviour::Behaviour;
use crate::adapters::sim::gate::Calls;
use crate::adapters::sim::host::{NewUnit, SimHost};
use crate::adapters::sim::populate::{SlotsGiven, populate};
use crate::adapters::sim::scenario::Scenario;
use crate::adapters::sim::trouble::Trouble;
use crate::adapters::sim::unit::{Bound, End};
use crate::base::clock::SharedClock;
use crate::base::fault::{Fault, Kind, Outcome};
use crate::base::ids::{ContainerId, HostId, InstallId};
use crate::model::container::{Container, Health, Owner};
use crate::model::holdings::Sort;
use crate::model::host::{HostConfig, HostSource};
use crate::ports::runtime::Runtime;

/// A fleet of simulated hosts.
#[derive(Debug)]
pub struct Fleet {
    hosts: BTreeMap<HostId, SimHost>,
}

impl Fleet {
    /// A fleet that begins now. Stamps count from what the clock says now; waiting is done on tokio's time.
    #[expect(clippy::needless_pass_by_value, reason = "a clock is handed in shared, as everywhere")]
    pub fn new(scenario: Scenario, clock: SharedClock) -> Arc<Fleet> {
        let (start, epoch) = (Instant::now(), clock.now());
        let scenario = Arc::new(scenario);
        let specs = Arc::default();
        let mut slots = SlotsGiven::new();
        let mut hosts = BTreeMap::new();
        for plan in &scenario.hosts {
            let host = SimHost::new(plan, &scenario, &specs, start, epoch);
            populate(&mut host.state().0, &scenario, &mut slots);
            hosts.insert(plan.name.clone(), host);
        }
        Arc::new(Fleet { hosts })
    }

    /// The entries of the hosts, as an inventory has them.
    pub fn hosts(&self) -> Vec<HostConfig> {
        let entry = |id: &HostId| HostConfig {
            id: id.clone(),
            address: format!("sim://{id}"),
            tls_dir: None,
            source: HostSource::Simulated,
        };
        self.hosts.keys().map(entry).collect()
    }

    /// The engine of a host.
    ///
    /// # Errors
    /// `NotFound` when the scenario has no such host.
    pub fn runtime(&self, host: &HostId) -> Outcome<Arc<dyn Runtime>> {
        Ok(Arc::new(self.host(host)?.clone()))
    }

    /// The engine of a host, by its own type.
    ///
    /// # Errors
    /// `NotFound` when the scenario has no such host.
    pub fn host(&self, host: &HostId) -> Outcome<&SimHost> {
        self.hosts.get(host).ok_or_else(|| {
            Fault::new(Kind::NotFound, format!("the simulated fleet has no host {host}"))
                .hint("its hosts are those of its scenario file")
        })
    }

    /// Lets trouble happen to a host now.
    ///
    /// # Errors
    /// `NotFound` when there is no such host.
    pub fn fault(&self, host: &HostId, trouble: &Trouble) -> Outcome<()> {
        let (mut state, now) = self.host(host)?.state();
        state.befall(trouble, now);
        Ok(())
    }

    /// Ends a container's process now, as if it had done so by itself.
    ///
    /// # Errors
    /// `NotFound` when there is no such host or container.
    pub fn kill(&self, host: &HostId, id: &ContainerId, exit: i64) -> Outcome<()> {
        let (mut state, now) = self.host(host)?.state();
        state.unit(id)?;
        state.end(id, End { at: now, exit, oom: false, by_itself: true });
        state.settle(now);
        Ok(())
    }

    /// Removes a container behind everybody's back, as `docker rm -f` on the host does.
    ///
    /// # Errors
    /// `NotFound` when there is no such host or container.
    pub fn remove_outside(&self, host: &HostId, id: &ContainerId) -> Outcome<()> {
        let (mut state, now) = self.host(host)?.state();
        state.unit(id)?;
        state.take_away(id, now);
        Ok(())
    }

    /// Starts a container that is nobody's under this name, with a published port if one is given.
    ///
    /// # Errors
    /// `NotFound` when there is no such host, `Conflict` when the name is taken.
    pub fn make_stranger(&self, host: &HostId, name: &str, port: Option<u16>) -> Outcome<ContainerId> {
        let (mut state, now) = self.host(host)?.state();
        if state.names.contains_key(name) {
            return Err(Fault::new(Kind::Conflict, format!("the name {name} is taken on {host}")));
        }
        let bound = port.map(|p| Bound { ip: None, published: p, target: p, protocol: "tcp".into() });
        let stranger = NewUnit {
            name: name.into(),
            image: "busybox:latest".into(),
            owner: Owner::Nobody,
            spec: None,
            behaviour: Arc::new(Behaviour::default()),
            checked: false,
            bound: bound.into_iter().collect(),
        };
        let id = state.put(stranger, now);
        state.tell(&id, "create", now);
        state.begin(&id, now, now);
        state.settle(now);
        Ok(id)
    }

    /// Makes a network or a volume behind everybody's back, as `docker network create` on the host does.
    ///
    /// # Errors
    /// `NotFound` when there is no such host.
    pub fn make_external(&self, host: &HostId, sort: Sort, name: &str) -> Outcome<()> {
        let (mut state, _) = self.host(host)?.state();
        match sort {
            Sort::Network => drop(state.networks.insert(name.into(), InstallId::default())),
            Sort::Volume => drop(state.volumes.insert(name.into())),
        }
        Ok(())
    }

    /// Overrules what a container's health check says.
    ///
    /// # Errors
    /// `NotFound` when there is no such host or container.
    pub fn set_health(&self, host: &HostId, id: &ContainerId, health: Health) -> Outcome<()> {
        let (mut state, now) = self.host(host)?.state();
        state.unit(id)?;
        state.force_health(id, health, now);
        Ok(())
    }

    /// How often each kind of call was made to a host.
    ///
    /// # Errors
    /// `NotFound` when there is no such host.
    pub fn calls(&self, host: &HostId) -> Outcome<Calls> {
        Ok(self.host(host)?.state().0.calls.clone())
    }

    /// The truth of a host, whatever its condition: every container, by id.
    ///
    /// # Errors
    /// `NotFound` when there is no such host.
    pub fn snapshot(&self, host: &HostId) -> Outcome<Vec<Container>> {
        let (state, now) = self.host(host)?.state();
        Ok(state.listed(now))
    }
}
