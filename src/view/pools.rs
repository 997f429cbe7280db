//! Pools as rows, and what else runs on the hosts, grouped by what made it.

use std::collections::{BTreeMap, BTreeSet};

use crate::base::clock::Millis;
use crate::base::ids::{HostId, PoolId};
use crate::base::text;
use crate::model::container::{Container, Owner, State, Usage};
use crate::model::host::Seen;
use crate::model::world::{PoolView, SlotStatus, World};
use crate::view::units::{self, Grade};
use crate::view::uses::Uses;

/// A change by somebody else is shown in the row for this long (two minutes: longer than a scale takes to settle).
pub const CHANGE_SHOWN_MS: u64 = 120_000;

/// Measured use of a group of containers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Used {
    /// Thousandths of a core.
    pub cpu_milli: u64,
    /// Bytes.
    pub memory: u64,
    /// Containers that were measured.
    pub measured: u32,
}

impl Used {
    /// Adds one container's sample.
    pub fn add(&mut self, usage: &Usage) {
        self.cpu_milli += usage.cpu_milli.unwrap_or(0);
        self.memory += usage.memory;
        self.measured += 1;
    }

    /// Adds others' use.
    pub fn put(&mut self, other: &Used) {
        self.cpu_milli += other.cpu_milli;
        self.memory += other.memory;
        self.measured += other.measured;
    }

    /// Takes away what was added.
    pub fn take(&mut self, other: &Used) {
        self.cpu_milli = self.cpu_milli.saturating_sub(other.cpu_milli);
        self.memory = self.memory.saturating_sub(other.memory);
        self.measured = self.measured.saturating_sub(other.measured);
    }
}

/// One pool.
#[derive(Clone, Debug, PartialEq)]
pub struct PoolRow {
    /// Which.
    pub id: PoolId,
    /// Containers wanted.
    pub want: u32,
    /// Containers running on hosts that answer.
    pub have: u32,
    /// Running, and healthy if they have a check.
    pub healthy: u32,
    /// Running, but not (yet) healthy.
    pub checking: u32,
    /// How it stands.
    pub grade: Grade,
    /// Revision of its specification.
    pub revision: u32,
    /// CPU: share of its limit, or cores where it has none; `-` when nothing was measured.
    pub cpu: String,
    /// Memory: share of its limit, or bytes where it has none.
    pub memory: String,
    /// Cores in use, for the history.
    pub used: Used,
    /// Why it is not as wanted, in one sentence.
    pub trouble: Option<String>,
    /// A number changed lately: who, from, to, when.
    pub change: Option<(String, u32, u32, Millis)>,
    /// It is being taken away.
    pub down: bool,
    /// Zero and removal ask for its name.
    pub protect: bool,
}

/// All pools, by name.
pub fn rows(world: &World, uses: &Uses) -> Vec<PoolRow> {
    world.pools.values().map(|view| row(view, uses.of_pool(&view.pool.id))).collect()
}

fn row(view: &PoolView, used: Used) -> PoolRow {
    let (pool, counts) = (&view.pool, view.counts);
    let limits = &pool.spec.resources;
    let measured = u64::from(used.measured);
    let cpu = match limits.cpu_limit_milli {
        _ if measured == 0 => "-".to_owned(),
        Some(limit) => units::percent(used.cpu_milli, limit * measured),
        None => units::cores(used.cpu_milli),
    };
    let memory = match limits.memory_limit {
        _ if measured == 0 => "-".to_owned(),
        Some(limit) => units::percent(used.memory, limit.saturating_mul(measured)),
        None => units::memory(used.memory),
    };
    PoolRow {
        id: pool.id.clone(),
        want: pool.target(),
        have: counts.running,
        healthy: counts.healthy,
        checking: counts.running.saturating_sub(counts.healthy + counts.unhealthy),
        grade: grade(view),
        revision: pool.revision,
        cpu,
        memory,
        used,
        trouble: trouble(view),
        change: pool.last_scale.as_ref().map(|s| (s.by.clone(), s.from, s.to, s.at)),
        down: pool.down,
        protect: pool.spec.protect,
    }
}

/// How a pool stands.
pub fn grade(view: &PoolView) -> Grade {
    let c = view.counts;
    let present = c.healthy + c.finished;
    if c.failing > 0 || c.unhealthy > 0 {
        Grade::Bad
    } else if c.lost > 0 {
        Grade::Lost
    } else if c.want == 0 && c.running == 0 && c.leaving == 0 {
        Grade::Off
    } else if present < c.want && !view.waits.is_empty() {
        Grade::Warn
    } else if present < c.want || c.leaving > 0 || c.outdated > 0 {
        Grade::Busy
    } else {
        Grade::Ok
    }
}

/// Why a pool is not as wanted, in one sentence, the worst first.
pub fn trouble(view: &PoolView) -> Option<String> {
    let c = view.counts;
    let cause = || {
        let failed = view.slots.iter().find(|s| {
            matches!(s.status, SlotStatus::CrashLoop(_) | SlotStatus::BackOff(_) | SlotStatus::Unhealthy)
        })?;
        let cause = failed.instance.as_ref()?.cause.as_deref()?;
        Some(text::safe(cause).into_owned())
    };
    let mut parts = Vec::new();
    if c.failing > 0 {
        parts.push(format!("{} failing{}", c.failing, cause().map(|c| format!(": {c}")).unwrap_or_default()));
    }
    if c.unhealthy > 0 {
        parts.push(format!("{} unhealthy", c.unhealthy));
    }
    if c.lost > 0 {
        parts.push(format!("{} on {} (no answer)", c.lost, lost_hosts(view)));
    }
    for wait in view.waits.iter().take(2) {
        let verb = if wait.slots == 1 { "waits" } else { "wait" };
        parts.push(format!("{} {verb}: {}", wait.slots, text::safe(&wait.why)));
    }
    if view.pool.down {
        parts.push(format!("going: {} left", text::count(u64::from(c.running.max(c.leaving)), "container")));
    }
    if parts.is_empty() { None } else { Some(parts.join(" · ")) }
}

/// The hosts of slots that are lost: two by name, more by number.
fn lost_hosts(view: &PoolView) -> String {
    let lost =
        view.slots.iter().filter(|s| matches!(s.status, SlotStatus::HostLost | SlotStatus::AwaitingHost));
    let hosts: BTreeSet<&str> = lost.filter_map(|s| s.host.as_ref()).map(HostId::as_str).collect();
    match hosts.len() {
        0 => "lost hosts".to_owned(),
        1 | 2 => hosts.into_iter().collect::<Vec<_>>().join(", "),
        n => format!("{n} hosts"),
    }
}

/// The sentence about a change of a pool's number: `bob: 12→20, 8s ago`.
pub fn change_sentence(by: &str, from: u32, to: u32, at: Millis, now: Millis) -> String {
    format!("{}: {from}→{to}, {}", text::safe(by), units::ago(now.since(at)))
}

/// Containers that are not ours, which share an origin. They are shown and never touched.
#[derive(Clone, Debug, PartialEq)]
pub struct GroupRow {
    /// What made them.
    pub origin: Origin,
    /// Project and service, sanitised.
    pub name: String,
    /// Hosts that they are on.
    pub hosts: u32,
    /// Containers.
    pub total: u32,
    /// Of those, running on hosts that answer.
    pub running: u32,
    /// Measured use.
    pub used: Used,
    /// The containers, by host.
    pub members: Vec<(HostId, crate::base::ids::ContainerId)>,
}

/// What made containers that are not ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Origin {
    /// Docker Compose.
    Compose,
    /// Docker Swarm.
    Swarm,
    /// Another install of longshore.
    OtherInstall,
    /// Nobody left a label.
    Loose,
}

impl Origin {
    /// The origin in one word.
    pub fn word(self) -> &'static str {
        match self {
            Origin::Compose => "compose",
            Origin::Swarm => "swarm",
            Origin::OtherInstall => "other install",
            Origin::Loose => "no owner",
        }
    }
}

/// All containers that are not ours, grouped by Compose project and service, Swarm service, or loose ones together.
pub fn groups(world: &World, uses: &Uses) -> Vec<GroupRow> {
    let mut found: BTreeMap<(Origin, String), (GroupRow, BTreeSet<&HostId>)> = BTreeMap::new();
    for (id, host) in world.hosts.iter().filter(|(id, _)| uses.is_mixed(id)) {
        for container in host.containers.iter() {
            let Some((origin, name)) = group_of(world, container) else { continue };
            let (row, hosts) = found.entry((origin, name.clone())).or_insert_with(|| {
                let members = Vec::new();
                let row =
                    GroupRow { origin, name, hosts: 0, total: 0, running: 0, used: Used::default(), members };
                (row, BTreeSet::new())
            });
            hosts.insert(id);
            row.total += 1;
            row.running += u32::from(container.state == State::Running && host.is_live());
            if let Some(usage) = host.usage.get(&container.id) {
                row.used.add(usage);
            }
            row.members.push((id.clone(), container.id.clone()));
        }
    }
    let settle = |(mut row, hosts): (GroupRow, BTreeSet<&HostId>)| {
        row.hosts = u32::try_from(hosts.len()).unwrap_or(u32::MAX);
        row
    };
    found.into_values().map(settle).collect()
}

fn group_of(world: &World, container: &Container) -> Option<(Origin, String)> {
    Some(match &container.owner {
        Owner::Longshore(tag) if world.engine.install.as_ref() == Some(&tag.install) => return None,
        Owner::Longshore(tag) => (Origin::OtherInstall, format!("{} {}", tag.install, tag.pool)),
        Owner::Compose { project, service } => {
            (Origin::Compose, format!("{}/{}", project.safe(), service.safe()))
        }
        Owner::Swarm { service } => (Origin::Swarm, service.safe().into_owned()),
        Owner::Nobody => (Origin::Loose, "loose containers".to_owned()),
    })
}

/// The counts that stand in the first line of the screen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Hosts that answer.
    pub hosts_ok: u32,
    /// Hosts that answered once and do not now.
    pub hosts_lost: u32,
    /// Hosts that have not answered yet.
    pub hosts_never: u32,
    /// Pools as wanted, or on their way.
    pub pools_ok: u32,
    /// Pools with a problem.
    pub pools_bad: u32,
}

/// Counts hosts and pools.
pub fn totals(world: &World) -> Totals {
    let mut t = Totals::default();
    for host in world.hosts.values() {
        match host.seen {
            Seen::At(_) => t.hosts_ok += 1,
            Seen::Lost { .. } => t.hosts_lost += 1,
            Seen::Never { .. } => t.hosts_never += 1,
        }
    }
    for pool in world.pools.values() {
        if grade(pool).is_problem() {
            t.pools_bad += 1;
        } else {
            t.pools_ok += 1;
        }
    }
    t
}
