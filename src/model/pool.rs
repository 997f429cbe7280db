//! A pool: a number of equal containers that is kept, and the specification that they are made from.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::base::clock::Millis;
use crate::base::ids::{HostId, OpId, PoolId, Slot};
use crate::model::holdings::Sort;
use crate::model::host::Need;
use crate::model::placement::{LossRule, Placement, Strategy};

/// What a container of a pool is made from. Every field comes from a pool file; names follow the Compose Specification.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct PoolSpec {
    /// Image reference, as written.
    pub image: String,
    /// Arguments; replaces the image's own (`Cmd`).
    pub command: Option<Vec<String>>,
    /// Program; replaces the image's own (`Entrypoint`). An empty list clears it.
    pub entrypoint: Option<Vec<String>>,
    /// Environment, interpolated, with `env_file` merged in.
    pub environment: BTreeMap<String, String>,
    /// Published ports.
    pub ports: Vec<Port>,
    /// Volumes, bind mounts and tmpfs.
    pub mounts: Vec<Mount>,
    /// Networks to join, by their name on the engine; empty means the engine's default.
    pub networks: Vec<Network>,
    /// `network_mode`: `none`, `host`, `bridge`. Excludes `networks`.
    pub network_mode: Option<String>,
    /// Labels of the container (ours are added).
    pub labels: BTreeMap<String, String>,
    /// Labels of the pool itself (`deploy.labels`).
    pub pool_labels: BTreeMap<String, String>,
    /// User, `name|uid[:group|gid]`.
    pub user: Option<String>,
    /// Working directory.
    pub working_dir: Option<String>,
    /// How the engine checks that a container is healthy.
    pub healthcheck: Option<HealthCheck>,
    /// Signal that asks a container to end; the image's own or TERM when absent.
    pub stop_signal: Option<String>,
    /// How long a container may take to end before it is killed, in milliseconds.
    pub stop_grace_ms: u64,
    /// Reservations and limits.
    pub resources: Resources,
    /// What happens when a container ends by itself.
    pub restart: RestartPolicy,
    /// Number of containers that the file asks for (`deploy.replicas`, `scale`; 1 when absent).
    pub replicas: u32,
    /// Limits on scaling by people.
    pub limits: Limits,
    /// Zero and removal ask for the pool's name.
    pub protect: bool,
    /// Many pools depend on it.
    pub core: bool,
    /// How many old containers are replaced at a time when the specification changes (`update_config.parallelism`).
    pub update_parallelism: u32,
    /// A batch of so many begins this long after the last of the one before has started, in milliseconds
    /// (`update_config.delay`), and not before that one serves.
    #[serde(default)]
    pub update_delay_ms: u64,
    /// Where its containers are placed.
    pub placement: Placement,
}

impl PoolSpec {
    /// True when containers made from the other specification are equal to those made from this one: a number, a limit or
    /// a guard of the pool may differ, and no container has to be replaced for it.
    pub fn same_containers(&self, other: &PoolSpec) -> bool {
        let bare = |spec: &PoolSpec| PoolSpec {
            replicas: 0,
            limits: Limits::default(),
            protect: false,
            core: false,
            restart: RestartPolicy::default(),
            update_parallelism: 0,
            update_delay_ms: 0,
            pool_labels: BTreeMap::new(),
            // Who made a volume is no matter of the container.
            mounts: spec.mounts.iter().map(|m| Mount { external: false, ..m.clone() }).collect(),
            placement: Placement { platform: spec.placement.platform.clone(), ..Placement::default() },
            resources: Resources { disk_reserved: None, bandwidth_reserved: None, ..spec.resources.clone() },
            ..spec.clone()
        };
        bare(self) == bare(other)
    }
}

impl PoolSpec {
    /// What one container of it reserves.
    pub fn need(&self) -> Need {
        let r = &self.resources;
        Need {
            cpu_milli: r.cpu_reserved_milli.unwrap_or(0),
            memory: r.memory_reserved.unwrap_or(0),
            pids: r.pids_limit.and_then(|n| u64::try_from(n).ok()).unwrap_or(0),
            disk: r.disk_reserved.unwrap_or(0),
            bandwidth: r.bandwidth_reserved.unwrap_or(0),
        }
    }

    /// True when a container leaves data on its host that another host would not have: a named volume or a bind mount that
    /// is written to.
    pub fn keeps_data(&self) -> bool {
        self.mounts.iter().any(|m| {
            !m.read_only
                && match m.kind {
                    MountKind::Bind => true,
                    MountKind::Volume => !m.source.is_empty(),
                    MountKind::Tmpfs => false,
                }
        })
    }

    /// What others must have made on a host before a container of it can run there.
    pub fn externals(&self) -> impl Iterator<Item = (Sort, &str)> {
        let networks = self.networks.iter().filter(|n| n.external).map(|n| (Sort::Network, n.name.as_str()));
        let volumes = self.mounts.iter().filter(|m| m.external).map(|m| (Sort::Volume, m.source.as_str()));
        networks.chain(volumes)
    }

    /// What becomes of its containers when their host is lost: as stated, else they wait if they keep data there and are
    /// replaced elsewhere if they do not.
    pub fn loss_rule(&self) -> LossRule {
        let by_data = if self.keeps_data() { LossRule::Wait } else { LossRule::Elsewhere };
        self.placement.on_loss.rule.unwrap_or(by_data)
    }
}

/// Default of `stop_grace_period`: 10 s (Compose Specification).
pub const STOP_GRACE_MS: u64 = 10_000;

/// A published port (Compose `ports`).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Port {
    /// Port inside the container.
    pub target: u16,
    /// Port on the host; `None` lets the engine choose.
    pub published: Option<u16>,
    /// Address on the host to bind; all when absent.
    pub host_ip: Option<String>,
    /// `tcp`, `udp` or `sctp`.
    pub protocol: String,
}

/// A mount (Compose `volumes` and `tmpfs`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mount {
    /// What is mounted.
    pub kind: MountKind,
    /// Host path or the volume's name on the engine; empty for tmpfs and anonymous volumes.
    pub source: String,
    /// Path inside the container.
    pub target: String,
    /// Mounted read-only.
    pub read_only: bool,
    /// A volume made by somebody else: it must exist, we never make it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub external: bool,
}

/// The sort of a mount.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MountKind {
    /// A directory or file of the host.
    Bind,
    /// A volume of the engine.
    Volume,
    /// Memory.
    Tmpfs,
}

/// Membership of a network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Network {
    /// The network's name on the engine.
    pub name: String,
    /// Other names by which the containers are reached on it.
    pub aliases: Vec<String>,
    /// Made by somebody else: it must exist, we never create or remove it.
    pub external: bool,
}

/// A health check (Compose `healthcheck`), durations in milliseconds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthCheck {
    /// `["CMD", …]`, `["CMD-SHELL", "…"]` or `["NONE"]` (switched off).
    pub test: Vec<String>,
    /// Time between checks.
    pub interval_ms: Option<u64>,
    /// Longest time of one check.
    pub timeout_ms: Option<u64>,
    /// Failures in a row that make a container unhealthy.
    pub retries: Option<u32>,
    /// Failures in this time after the start do not count.
    pub start_period_ms: Option<u64>,
}

impl HealthCheck {
    /// True when the file switches the image's own check off.
    pub fn is_off(&self) -> bool {
        self.test.first().is_some_and(|t| t == "NONE")
    }
}

/// Resource reservations and limits (Compose `deploy.resources`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Resources {
    /// CPU limit in thousandths of a core.
    pub cpu_limit_milli: Option<u64>,
    /// Memory limit in bytes.
    pub memory_limit: Option<u64>,
    /// Limit of processes.
    pub pids_limit: Option<i64>,
    /// CPU reservation in thousandths of a core.
    pub cpu_reserved_milli: Option<u64>,
    /// Memory reservation in bytes.
    pub memory_reserved: Option<u64>,
    /// Disk reservation in bytes (`x-longshore.reserve.disk`): scheduled, not enforced by the engine.
    pub disk_reserved: Option<u64>,
    /// Bandwidth reservation in bits per second (`x-longshore.reserve.bandwidth`): scheduled, not enforced.
    pub bandwidth_reserved: Option<u64>,
}

/// When a container that ended by itself is replaced (Compose `deploy.restart_policy`, `restart`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestartPolicy {
    /// Which ends are followed by a new container.
    pub condition: RestartCondition,
    /// First wait before a new container, in milliseconds; it doubles with each failure in a row.
    pub delay_ms: u64,
    /// Give up after so many failures in a row; `None` never gives up.
    pub max_attempts: Option<u32>,
    /// How long a container must run before it counts as a success, in milliseconds.
    pub window_ms: u64,
}

impl Default for RestartPolicy {
    /// Swarm's defaults: any, 5 s; the window is ours (10 s).
    fn default() -> RestartPolicy {
        RestartPolicy {
            condition: RestartCondition::Any,
            delay_ms: 5_000,
            max_attempts: None,
            window_ms: 10_000,
        }
    }
}

/// The condition of a restart policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RestartCondition {
    /// Never.
    None,
    /// Only when the exit status is not zero.
    OnFailure,
    /// Always.
    Any,
}

/// Limits on what people may scale a pool to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Limits {
    /// Fewest containers.
    pub min: Option<u32>,
    /// Most containers.
    pub max: Option<u32>,
    /// Largest change in one step.
    pub step: Option<u32>,
}

/// Most containers that any pool may want: a guard against a slipped digit.
pub const REPLICAS_MAX: u32 = 10_000;

/// A pool as it is wanted: the durable half, written only by the engine's intake.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Pool {
    /// `cluster/pool`.
    pub id: PoolId,
    /// Number of its present specification, from 1.
    pub revision: u32,
    /// The present specification.
    pub spec: PoolSpec,
    /// Number of containers wanted.
    pub want: u32,
    /// Slots that are not wanted although a higher one is: they went when the pool shrank.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub holes: BTreeSet<Slot>,
    /// Grows with every change of `want`, `spec` or `down`: what an undo or a staged change is checked against.
    pub version: u64,
    /// `longshore down` was said: nothing of it shall run, and it goes when its last container is gone.
    pub down: bool,
    /// Hosts it is pinned to; empty means any.
    #[serde(default)]
    pub hosts: Vec<HostId>,
    /// The last change of `want`.
    pub last_scale: Option<LastScale>,
}

/// Who changed the number of a pool last, and from what.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LastScale {
    /// The operation that did it.
    pub op: OpId,
    /// Who asked.
    pub by: String,
    /// When.
    pub at: Millis,
    /// The number before.
    pub from: u32,
    /// The number after.
    pub to: u32,
    /// The placement strategy that was asked for, for containers that this change adds.
    #[serde(default)]
    pub strategy: Option<Strategy>,
}

impl Pool {
    /// The strategy that counts for a new container, but for those that its last change adds.
    pub fn strategy(&self) -> Strategy {
        self.spec.placement.strategy
    }

    /// The strategy for containers that an operation adds: the one asked for with it, if it is the last change of the number.
    pub fn strategy_in(&self, op: OpId) -> Strategy {
        let asked = self.last_scale.as_ref().filter(|s| s.op == op).and_then(|s| s.strategy);
        asked.unwrap_or_else(|| self.strategy())
    }

    /// How many containers shall run now.
    pub fn target(&self) -> u32 {
        if self.down { 0 } else { self.want }
    }

    /// The slots that are wanted now, the lowest first: the first [`Pool::target`] numbers from 1 that are no holes.
    pub fn slots(&self) -> impl Iterator<Item = Slot> {
        let count = usize::try_from(self.target()).unwrap_or(usize::MAX);
        (1..=Slot::MAX).filter(|slot| !self.holes.contains(slot)).take(count)
    }

    /// True for a slot that is wanted now: one of [`Pool::slots`].
    pub fn wants(&self, slot: Slot) -> bool {
        if slot == 0 || self.holes.contains(&slot) {
            return false;
        }
        let left_out = |slot: Slot| self.holes.range(..slot).count();
        slot <= self.target() || slot - u32::try_from(left_out(slot)).unwrap_or(slot) <= self.target()
    }

    /// The highest slot that is wanted now; 0 when none is.
    pub fn top(&self) -> Slot {
        self.slots().last().unwrap_or(0)
    }

    /// The holes when `want` are wanted: of the slots that are wanted now those that are `going` are not; if that leaves too
    /// few, the lowest that are free are wanted, too.
    pub fn holes_at(&self, want: u32, going: &[Slot]) -> BTreeSet<Slot> {
        let going: BTreeSet<&Slot> = going.iter().collect();
        let mut stay: BTreeSet<Slot> = self.slots().filter(|slot| !going.contains(slot)).collect();
        let want = usize::try_from(want).unwrap_or(usize::MAX);
        while stay.len() > want {
            stay.pop_last();
        }
        let mut free = 1..=Slot::MAX;
        while stay.len() < want
            && let Some(slot) = free.next()
        {
            stay.insert(slot);
        }
        (1..stay.last().copied().unwrap_or(0)).filter(|slot| !stay.contains(slot)).collect()
    }
}

/// A whole pool file, read: a cluster and its pools.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClusterSpec {
    /// The cluster (`name:`).
    pub name: crate::base::ids::ClusterName,
    /// The pools by name, in the file's order.
    pub pools: Vec<(crate::base::ids::PoolName, PoolSpec)>,
    /// The file as it was read, kept with the revision.
    pub source: String,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn pool(want: u32, holes: BTreeSet<Slot>) -> Pool {
        let (id, spec) = (PoolId::new("feed", "web").unwrap(), PoolSpec::default());
        Pool { id, revision: 1, spec, want, holes, version: 1, down: false, hosts: vec![], last_scale: None }
    }

    fn slots(pool: &Pool) -> Vec<Slot> {
        pool.slots().collect()
    }

    #[test]
    fn holes_are_filled_from_the_lowest_and_forgotten_when_nothing_higher_is_wanted() {
        let six = pool(6, BTreeSet::new());
        let four = pool(4, six.holes_at(4, &[3, 2]));
        assert_eq!((slots(&four), four.top()), (vec![1, 4, 5, 6], 6));
        let five = pool(5, four.holes_at(5, &[]));
        assert_eq!(slots(&five), [1, 2, 4, 5, 6]);
        let eight = pool(8, five.holes_at(8, &[]));
        assert_eq!((slots(&eight), eight.holes.len()), ((1..=8).collect(), 0));
        let one = pool(1, four.holes_at(1, &[6, 5, 4]));
        assert_eq!((slots(&one), one.holes.len()), (vec![1], 0));
        let down = Pool { down: true, ..four };
        assert_eq!((slots(&down), down.top(), down.wants(1)), (vec![], 0, false));
    }

    proptest! {
        #[test]
        fn so_many_slots_are_wanted_as_are_asked_for(
            want in 0..30u32,
            holes in prop::collection::btree_set(1..50u32, 0..20),
            going in prop::collection::vec(1..60u32, 0..20),
            to in 0..40u32,
        ) {
            let before = pool(want, holes);
            let after = pool(to, before.holes_at(to, &going));
            for pool in [&before, &after] {
                prop_assert_eq!(slots(pool).len(), pool.want as usize);
                prop_assert_eq!((0..100).filter(|s| pool.wants(*s)).collect::<Vec<_>>(), slots(pool));
                prop_assert_eq!(pool.top(), slots(pool).last().copied().unwrap_or(0));
            }
            prop_assert!(after.holes.iter().all(|hole| *hole < after.top()), "{:?}", after.holes);
            if to >= want {
                let none = pool(to, before.holes_at(to, &[]));
                prop_assert!(before.slots().all(|slot| none.wants(slot)), "what is wanted stays wanted");
            }
        }
    }
}
