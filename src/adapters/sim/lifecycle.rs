//! Making and unmaking simulated containers, by the rules of a real engine (Docker 20.10).

use std::sync::{Arc, LazyLock};

use futures_util::future::BoxFuture;

use crate::adapters::sim::chance::chance;
use crate::adapters::sim::gate::{CALL_DEADLINE_MS, CallKind, Done};
use crate::adapters::sim::host::{HostState, NewUnit, SimHost, with_tag};
use crate::adapters::sim::images::no_space;
use crate::adapters::sim::scenario::Scenario;
use crate::adapters::sim::unit::{Bound, End, Unit};
use crate::adapters::sim::{Behaviour, Ms, length, ms};
use crate::base::fault::{Fault, Kind, Outcome};
use crate::base::ids::{ContainerId, InstallId};
use crate::model::container::{Owner, Tag};
use crate::model::holdings::Sort;
use crate::model::pool::{MountKind, PoolSpec, Port};
use crate::ports::runtime::Lifecycle;

/// The first port that an engine chooses by itself (Linux `ip_local_port_range`).
const FIRST_FREE_PORT: u16 = 32_768;

/// How containers behave of which the scenario says nothing.
static USUAL: LazyLock<Arc<Behaviour>> = LazyLock::new(Arc::default);

impl Lifecycle for SimHost {
    fn create<'a>(&'a self, tag: &'a Tag, spec: &'a PoolSpec) -> BoxFuture<'a, Outcome<ContainerId>> {
        let (tag, spec) = (tag.clone(), self.0.specs.shared(&tag.pool, spec));
        let scenario = self.0.scenario.clone();
        Box::pin(self.call(CallKind::Create, CALL_DEADLINE_MS, move |state, at| {
            state.create(tag, spec, &scenario, at).map(Done::now)
        }))
    }

    fn start<'a>(&'a self, id: &'a ContainerId) -> BoxFuture<'a, Outcome<()>> {
        let (id, limit) = (id.clone(), self.0.plan.enforce_memory.then_some(self.0.plan.memory_mb << 20));
        Box::pin(self.call(CallKind::Start, CALL_DEADLINE_MS, move |state, at| {
            state.start(&id, limit, at).map(|ready| Done { value: (), ready })
        }))
    }

    fn stop<'a>(&'a self, id: &'a ContainerId, grace_ms: u64) -> BoxFuture<'a, Outcome<()>> {
        let id = id.clone();
        Box::pin(self.call(CallKind::Stop, grace_ms.saturating_add(CALL_DEADLINE_MS), move |state, at| {
            state.stop(&id, grace_ms, at).map(|ready| Done { value: (), ready })
        }))
    }

    fn remove<'a>(&'a self, id: &'a ContainerId) -> BoxFuture<'a, Outcome<()>> {
        let id = id.clone();
        Box::pin(self.call(CallKind::Remove, CALL_DEADLINE_MS, move |state, at| {
            state.take_away(&id, at);
            Ok(Done::now(()))
        }))
    }

    fn remove_network<'a>(&'a self, name: &'a str, install: &'a InstallId) -> BoxFuture<'a, Outcome<()>> {
        let (name, install) = (name.to_string(), install.clone());
        Box::pin(self.call(CallKind::RemoveNetwork, CALL_DEADLINE_MS, move |state, at| {
            state.remove_network(&name, &install, at).map(Done::now)
        }))
    }
}

impl HostState {
    fn create(&mut self, tag: Tag, spec: Arc<PoolSpec>, scenario: &Scenario, at: Ms) -> Outcome<ContainerId> {
        let (name, install) = (tag.container_name(), tag.install.clone());
        let owner = Owner::Longshore(tag);
        if let Some(there) = self.names.get(name.as_str()).and_then(|id| self.units.get(id)) {
            if there.owner == owner {
                return Ok(there.id.clone());
            }
            return Err(Fault::new(
                Kind::Conflict,
                format!("the name {name} is taken by container {}", there.id.short()),
            )
            .hint("a container that longshore did not make has this name; rename or remove it by hand"));
        }
        let image = with_tag(&spec.image);
        if self.image(&image).is_none() {
            return Err(Fault::new(Kind::NotFound, format!("no such image on {}: {image}", self.host)));
        }
        no_space(self)?;
        self.join_networks(&spec, &install)?;
        let checked = match &spec.healthcheck {
            Some(check) => !check.is_off(),
            None => scenario.images.iter().any(|i| with_tag(&i.name) == image && i.healthcheck),
        };
        let wanted = NewUnit {
            name,
            behaviour: scenario.behaviour(&spec.image, &owner),
            image: spec.image.clone(),
            owner,
            spec: Some(spec),
            checked,
            bound: Vec::new(),
        };
        let id = self.put(wanted, at);
        self.tell(&id, "create", at);
        Ok(id)
    }

    fn join_networks(&mut self, spec: &PoolSpec, install: &InstallId) -> Outcome<()> {
        let missing = spec.externals().find(|(sort, name)| match sort {
            Sort::Network => !self.networks.contains_key(*name),
            Sort::Volume => !self.volumes.contains(*name),
        });
        if let Some((sort, name)) = missing {
            return Err(Fault::new(Kind::Refused, format!("{} has no {} {name}", self.host, sort.word())));
        }
        let named = spec.mounts.iter().filter(|m| m.kind == MountKind::Volume && !m.source.is_empty());
        self.volumes.extend(named.map(|m| m.source.clone()));
        for network in spec.networks.iter().filter(|n| !n.external) {
            self.networks.entry(network.name.clone()).or_insert_with(|| install.clone());
        }
        Ok(())
    }

    /// Starts a container; gives the time when it runs.
    fn start(&mut self, id: &ContainerId, memory: Option<u64>, at: Ms) -> Outcome<Ms> {
        let unit = self.unit(id)?;
        if let Some(run) = unit.runs.last().filter(|run| run.ended(at).is_none()) {
            return Ok(run.start);
        }
        if let Some(why) = unit.behaviour.broken.clone().or_else(|| no_program(unit)) {
            let fault = Fault::new(Kind::Refused, why.clone()).because("the container could not be started");
            if let Some(unit) = self.units.get_mut(id) {
                unit.error = Some(why);
            }
            return Err(fault);
        }
        self.room_for(unit, memory, at)?;
        let ports = unit.spec.as_ref().filter(|s| s.network_mode.as_deref() != Some("host"));
        let ports = ports.map(|s| s.ports.clone()).unwrap_or_default();
        let mut dice = chance(&[unit.seed, 6, unit.runs.len() as u64]);
        let start = at + ms(unit.behaviour.start_ms.pick(&mut dice));
        let bound = self.bind(id, &ports, at)?;
        if let Some(unit) = self.units.get_mut(id).filter(|u| !ports.is_empty() || u.spec.is_some()) {
            unit.bound = bound;
        }
        self.begin(id, start, start);
        Ok(start)
    }

    fn room_for(&self, unit: &Unit, memory: Option<u64>, at: Ms) -> Outcome<()> {
        let wanted = reserved(unit);
        let used = || self.units.values().filter(|u| has_live_run(u, at)).map(|u| reserved(u)).sum::<u64>();
        if self.condition.no_memory || memory.is_some_and(|limit| used().saturating_add(wanted) > limit) {
            return Err(Fault::new(Kind::Exhausted, format!("{}: cannot allocate memory", self.host)));
        }
        Ok(())
    }

    /// Finds the ports of the host for a container that is about to start.
    fn bind(&self, id: &ContainerId, ports: &[Port], at: Ms) -> Outcome<Vec<Bound>> {
        let mut bound: Vec<Bound> = Vec::new();
        for port in ports {
            let free = |number: u16| {
                self.port_is_free(id, number, port, at)
                    && !bound.iter().any(|b| b.published == number && b.protocol == port.protocol)
            };
            let number = match port.published {
                Some(number) if free(number) => number,
                Some(number) => {
                    return Err(Fault::new(
                        Kind::Conflict,
                        format!("port {number} is already taken on this host"),
                    ));
                }
                None => (FIRST_FREE_PORT..=60_999)
                    .find(|n| free(*n))
                    .ok_or_else(|| Fault::new(Kind::Exhausted, "all ports are taken on this host"))?,
            };
            bound.push(Bound {
                ip: port.host_ip.clone(),
                published: number,
                target: port.target,
                protocol: port.protocol.clone(),
            });
        }
        Ok(bound)
    }

    fn port_is_free(&self, id: &ContainerId, number: u16, port: &Port, at: Ms) -> bool {
        let holders = self.ports.get(&(number, port.protocol.clone()));
        !holders.into_iter().flatten().any(|(ip, holder)| {
            let overlaps = ip.is_none() || port.host_ip.is_none() || *ip == port.host_ip;
            let holds = |u: &Unit| has_live_run(u, at) && u.bound.iter().any(|b| b.published == number);
            overlaps && holder != id && self.units.get(holder).is_some_and(|u| holds(u))
        })
    }

    /// Asks a container to end; gives the time when it will have ended.
    fn stop(&mut self, id: &ContainerId, grace_ms: u64, at: Ms) -> Outcome<Ms> {
        let unit = self.unit(id)?;
        let Some(run) = unit.runs.last().filter(|run| run.ended(at).is_none()) else { return Ok(at) };
        let (asked, behaviour) = (at.max(run.start), unit.behaviour.clone());
        let mut dice = chance(&[unit.seed, 7, unit.runs.len() as u64]);
        let own = behaviour.stop_ms.pick(&mut dice);
        let (own, exit, ignores) = match unit.play.as_ref().map(|play| play.on_term) {
            Some(Some((after, exit))) => (length(after), exit, false),
            Some(None) => (0, 0, true),
            None => (own, 0, behaviour.ignores_term),
        };
        let killed = ignores || own > grace_ms;
        let end = End {
            at: asked + ms(if killed { grace_ms } else { own }),
            exit: if killed { 137 } else { exit },
            oom: false,
            by_itself: false,
        };
        let mut ended = end.at;
        self.end(id, end);
        if let Some(end) = self.unit(id)?.runs.last().and_then(|run| run.end.as_ref()) {
            ended = end.at;
        }
        Ok(ended)
    }

    fn remove_network(&mut self, name: &str, install: &InstallId, at: Ms) -> Outcome<()> {
        if self.networks.get(name).is_some_and(|owner| owner != install) {
            let why = format!("network {name} was not made by this install of longshore");
            return Err(Fault::new(Kind::Conflict, why));
        }
        let uses = |u: &Unit| {
            has_live_run(u, at) && u.spec.as_ref().is_some_and(|s| s.networks.iter().any(|n| n.name == name))
        };
        if let Some(user) = self.units.values().find(|u| uses(u)) {
            return Err(Fault::new(Kind::Conflict, format!("network {name} is in use by {}", user.name)));
        }
        self.networks.remove(name);
        Ok(())
    }
}

impl Scenario {
    /// How a container of this image and owner behaves.
    pub(super) fn behaviour(&self, image: &str, owner: &Owner) -> Arc<Behaviour> {
        let fitting = self.behaviours.iter().find(|b| b.fits(image, owner));
        fitting.unwrap_or(&USUAL).clone()
    }
}

/// True from the moment of its start call until it has ended.
fn has_live_run(unit: &Unit, at: Ms) -> bool {
    unit.runs.last().is_some_and(|run| run.ended(at).is_none())
}

fn reserved(unit: &Unit) -> u64 {
    unit.spec.as_ref().and_then(|s| s.resources.memory_reserved).unwrap_or(0)
}

/// A program whose name begins with `no-such-` is in no image.
fn no_program(unit: &Unit) -> Option<String> {
    let program = unit.spec.as_ref()?.command.as_ref()?.first()?;
    program.starts_with("no-such-").then(|| format!("exec: {program:?}: executable file not found in $PATH"))
}
