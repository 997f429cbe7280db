//! One simulated container: its runs are fixed when it is started, so its state at any time can be computed.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::adapters::sim::Ms;
use crate::adapters::sim::behaviour::Behaviour;
use crate::adapters::sim::chance::{chance, happens};
use crate::adapters::sim::ms;
use crate::adapters::sim::play::{Play, play};
use crate::base::clock::Millis;
use crate::base::ids::ContainerId;
use crate::base::text::Untrusted;
use crate::model::container::{Container, Health, Owner, State};
use crate::model::pool::PoolSpec;

/// A container on a simulated host.
#[derive(Clone, Debug)]
pub(super) struct Unit {
    pub id: ContainerId,
    /// The seed of its chance.
    pub seed: u64,
    pub name: Arc<str>,
    pub image: String,
    pub owner: Owner,
    /// What it was made from; absent for containers of others.
    pub spec: Option<Arc<PoolSpec>>,
    pub behaviour: Arc<Behaviour>,
    /// What it does when its command is a small script; then the behaviour's chance does not count.
    pub play: Option<Arc<Play>>,
    pub checked: bool,
    pub created: Ms,
    pub runs: Vec<Run>,
    pub bound: Vec<Bound>,
    /// Set by a test or a scenario: what its health check says from now on.
    pub forced: Option<Health>,
    /// Why it could not be started.
    pub error: Option<String>,
    /// Number on its host, from which its address follows.
    pub serial: u64,
}

/// One run of a container, from its start to its end.
#[derive(Clone, Debug)]
pub(super) struct Run {
    pub start: Ms,
    pub healthy: Option<Ms>,
    pub sick: Option<Ms>,
    pub end: Option<End>,
}

/// How a run ends.
#[derive(Clone, Debug)]
pub(super) struct End {
    pub at: Ms,
    pub exit: i64,
    pub oom: bool,
    /// By itself, not because somebody asked.
    pub by_itself: bool,
}

/// A port of the host that leads to a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Bound {
    pub ip: Option<String>,
    pub published: u16,
    pub target: u16,
    pub protocol: String,
}

impl Run {
    /// A run that starts then, its future drawn from the container's seed. `base` is what times count from (the start,
    /// or the beginning of the fleet for what ran before).
    pub fn drawn(unit: &Unit, start: Ms, base: Ms) -> Run {
        if let Some(play) = &unit.play {
            return Run::played(unit, play, start);
        }
        let b = &unit.behaviour;
        let mut dice = chance(&[unit.seed, 1, unit.runs.len() as u64]);
        let healthy_after = ms(b.healthy_ms.pick(&mut dice));
        let sick = happens(&mut dice, b.unhealthy_per_mille);
        let sick_after = ms(b.unhealthy_ms.pick(&mut dice));
        let crash = happens(&mut dice, b.crash_per_mille);
        let crash_after = ms(b.crash_ms.pick(&mut dice));
        Run {
            start,
            healthy: unit.checked.then_some(start + healthy_after),
            sick: (unit.checked && sick).then_some(base + sick_after),
            end: crash.then_some(End {
                at: base + crash_after,
                exit: if b.oom { 137 } else { b.exit },
                oom: b.oom,
                by_itself: true,
            }),
        }
    }

    /// A run of a script. Its check fails once a file is there that `test ! -e FILE` asks for.
    fn played(unit: &Unit, play: &Play, start: Ms) -> Run {
        let check = unit.spec.as_ref().and_then(|spec| spec.healthcheck.as_ref()).filter(|_| unit.checked);
        let interval = ms(check.and_then(|c| c.interval_ms).unwrap_or(1_000));
        let file = check.and_then(|c| c.test.last()?.strip_prefix("test ! -e "));
        let touched = file.and_then(|file| play.touched.get(file));
        let end = |(at, exit): (Ms, i64)| End { at: start + at, exit, oom: false, by_itself: true };
        Run {
            start,
            healthy: check.map(|_| start + interval),
            sick: touched.map(|at| start + at + interval),
            end: play.end.map(end),
        }
    }

    /// True when it has begun and not ended at that time.
    pub fn runs_at(&self, now: Ms) -> bool {
        self.start <= now && self.ended(now).is_none()
    }

    /// Its end, once that has come.
    pub fn ended(&self, now: Ms) -> Option<&End> {
        self.end.as_ref().filter(|end| end.at <= now)
    }
}

impl Unit {
    /// The last run that has begun.
    pub fn run(&self, now: Ms) -> Option<&Run> {
        self.runs.iter().rev().find(|run| run.start <= now)
    }

    /// True when it runs.
    pub fn is_running(&self, now: Ms) -> bool {
        self.run(now).is_some_and(|run| run.runs_at(now))
    }

    /// What the engine says it does.
    pub fn state(&self, now: Ms) -> State {
        match self.run(now) {
            None => State::Created,
            Some(run) if run.runs_at(now) => State::Running,
            Some(_) => State::Exited,
        }
    }

    /// What its health check says; nothing when it does not run, as `docker ps` has it.
    pub fn health(&self, now: Ms) -> Health {
        let Some(run) = self.run(now).filter(|run| self.checked && run.runs_at(now)) else {
            return Health::None;
        };
        if let Some(forced) = self.forced {
            return forced;
        }
        if run.sick.is_some_and(|at| at <= now) {
            Health::Unhealthy
        } else if run.healthy.is_some_and(|at| at <= now) {
            Health::Healthy
        } else {
            Health::Starting
        }
    }

    /// The container as the engine lists it.
    pub fn listed(&self, now: Ms, stamp: impl Fn(Ms) -> Millis) -> Container {
        let running = self.is_running(now);
        let ports = self
            .bound
            .iter()
            .filter(|_| running)
            .map(|p| Untrusted::from(format!("{}->{}/{}", p.published, p.target, p.protocol)));
        Container {
            id: self.id.clone(),
            name: (*self.name).into(),
            image: self.image.as_str().into(),
            state: self.state(now),
            health: self.health(now),
            exit: self.run(now).and_then(|run| run.ended(now)).map(|end| end.exit),
            created: stamp(self.created),
            ports: ports.collect(),
            address: (running && self.has_network()).then(|| self.address().into()),
            owner: self.owner.clone(),
        }
    }

    /// True unless it was made without one.
    fn has_network(&self) -> bool {
        !self.spec.as_ref().is_some_and(|s| matches!(s.network_mode.as_deref(), Some("none" | "host")))
    }

    /// Its address on the engine's network.
    pub fn address(&self) -> String {
        let n = self.serial + 2;
        format!("172.{}.{}.{}", 17 + n / 65_536 % 15, n / 256 % 256, n % 256)
    }

    /// All its labels.
    pub fn labels(&self) -> BTreeMap<String, String> {
        let mut labels = self.spec.as_ref().map(|spec| spec.labels.clone()).unwrap_or_default();
        match &self.owner {
            Owner::Longshore(tag) => labels.extend(tag.to_labels()),
            Owner::Compose { project, service } => {
                labels.insert("com.docker.compose.project".into(), project.raw().into());
                labels.insert("com.docker.compose.service".into(), service.raw().into());
            }
            Owner::Swarm { service } => {
                labels.insert("com.docker.swarm.service.name".into(), service.raw().into());
            }
            Owner::Nobody => {}
        }
        labels
    }
}

/// What a specification's command does, when it is a script for a shell.
pub(super) fn scripted(spec: Option<&PoolSpec>) -> Option<Arc<Play>> {
    match spec?.command.as_deref()? {
        [shell, flag, script] if crate::adapters::sim::shell::is_shell(shell) && flag == "-c" => {
            Some(Arc::new(play(script)))
        }
        _ => None,
    }
}
