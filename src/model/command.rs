//! What may be asked of the engine, and how it is refused.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::base::clock::Millis;
use crate::base::fault::{Fault, Kind};
use crate::base::ids::{ClusterName, HostId, OpId, PoolId, RegistryName, RuleName, SiteName};
use crate::model::access::command::AccessCommand;
use crate::model::harbor::ask::HarborDeed;
use crate::model::host::{Capacity, HostConfig, HostRecord};
use crate::model::moves::Move;
use crate::model::oci::{Repository, Tag};
use crate::model::placement::Strategy;
use crate::model::policy::ImagePolicy;
use crate::model::pool::ClusterSpec;
use crate::model::prewarm::PrewarmAsk;
use crate::model::registry::Registry;
use crate::model::replication::known::Answer;
use crate::model::replication::{Line, LineLimits, Rule, RunId};
use crate::model::site::Site;

/// A request that changes what is wanted. It is acknowledged only after it is durable.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Command {
    /// Bring the pools of a file up, or change them to it.
    Up {
        /// The file, read.
        spec: Box<ClusterSpec>,
        /// Take the file's numbers also for pools that people have scaled since (otherwise their number is kept).
        reset_scale: bool,
    },
    /// Take a pool or a whole cluster away.
    Down {
        /// What.
        target: Target,
        /// The name typed, for protected pools.
        confirm: Option<String>,
    },
    /// Replace the containers of a pool, or of a whole cluster, by fresh ones of the same specification, a batch at a time.
    Restart {
        /// What.
        target: Target,
    },
    /// Change the number of a pool. Nothing else of the pool is touched.
    SetReplicas {
        /// The pool.
        pool: PoolId,
        /// How.
        change: Change,
        /// Refuse if the pool's version is not this any more.
        expect: Option<u64>,
        /// What to do if somebody else's operation runs on the pool.
        busy: Busy,
        /// The name typed, for zero and protected pools.
        confirm: Option<String>,
        /// Place what is added by this strategy, not by the pool's own.
        #[serde(default)]
        strategy: Option<Strategy>,
    },
    /// Take back the last scale of a pool; refused if the pool has changed since.
    Undo {
        /// The pool.
        pool: PoolId,
        /// The scale that the caller means; refused if it is not the last one any more.
        #[serde(default)]
        op: Option<OpId>,
    },
    /// Take back an operation that is still queued.
    Cancel {
        /// The operation.
        op: OpId,
    },
    /// Know new hosts: all of them or none.
    AddHosts(Vec<NewHost>),
    /// Change what is recorded about hosts.
    EditHosts {
        /// Which.
        hosts: Vec<HostId>,
        /// What changes.
        edit: Box<HostEdit>,
    },
    /// Let hosts take no new containers; those that they have stay.
    Cordon {
        /// Which.
        hosts: Vec<HostId>,
    },
    /// Let hosts take no new containers and move those that they have away.
    Drain {
        /// Which.
        hosts: Vec<HostId>,
        /// Move also what its pool's rule ties to its host.
        force: bool,
    },
    /// Let cordoned, draining or drained hosts take containers again.
    Undrain {
        /// Which.
        hosts: Vec<HostId>,
    },
    /// These lost hosts will not come back: replace what they held now, whatever the pools' rules say.
    GiveUp {
        /// Which.
        hosts: Vec<HostId>,
    },
    /// The other engine that answers at a known address is right: it is the host from now on.
    AcceptEngine {
        /// Which host.
        host: HostId,
    },
    /// Record a site, or change it.
    PutSite(Site),
    /// Forget a site. Refused while hosts belong to it.
    RemoveSite(SiteName),
    /// Make these moves, within each pool's limits.
    Rebalance {
        /// As they were proposed.
        moves: Vec<Move>,
    },
    /// Forget a host. Refused while it holds containers of ours, unless forced.
    RemoveHost {
        /// The host.
        host: HostId,
        /// Forget it although containers of ours are (or may be) on it.
        force: bool,
    },
    /// Record an image registry, or change it.
    PutRegistry(Box<Registry>),
    /// The login of a registry has changed: it is looked up anew.
    RenewLogin(RegistryName),
    /// Forget a registry. Refused while a rule names it. What it holds stays.
    RemoveRegistry(RegistryName),
    /// Do something at a Harbor. The answer says what came of it: [`Reply::HarborDone`](crate::model::query::Reply).
    Harbor {
        /// The registry.
        registry: RegistryName,
        /// What.
        deed: HarborDeed,
    },
    /// Record a replication rule, or change it.
    PutRule(Box<Rule>),
    /// Forget a rule. What it has brought stays where it is.
    RemoveRule(RuleName),
    /// What a line may carry.
    PutLineLimits(LineLimits),
    /// Change who may do what in the registries: one list for all of them.
    Access(Box<AccessCommand>),
    /// Let these rules count for every image from now on.
    PutImagePolicy {
        /// The rules.
        policy: Box<ImagePolicy>,
        /// The text that they were read from.
        source: String,
    },
    /// Take the rules for images away.
    DropImagePolicy,
    /// Run a rule now. While it runs already, this joins that run.
    Replicate {
        /// The rule.
        rule: RuleName,
    },
    /// Pause a run: blobs on their way stop where they are.
    PauseRun(RunId),
    /// Let a paused run go on.
    ResumeRun(RunId),
    /// Stop a run for good. What has arrived stays.
    StopRun(RunId),
    /// Try what failed in a run once more.
    RetryRun(RunId),
    /// Bring an image first.
    Prioritise {
        /// The image: a reference as a pool names it, or `REPOSITORY:TAG` as the source of the line calls it.
        image: String,
        /// Over this line only; `None` means over all that need it.
        line: Option<Line>,
    },
    /// Bring an image onto hosts before it is needed there.
    Prewarm(Box<PrewarmAsk>),
    /// Choose the way out of a conflict: it is carried out at once, and again after a crash.
    ResolveConflict {
        /// Between which registries: from the rule's source to its target.
        line: Line,
        /// The repository, as the source calls it.
        repository: Repository,
        /// The tag.
        tag: Tag,
        /// The choice, and what both sides had when it was made; refused if that is not so any more.
        answer: Answer,
    },
    /// Delete what a run has found to be gone from the other side. Both sides are asked once more before each one goes.
    ConfirmDeletes {
        /// The rule.
        rule: RuleName,
        /// The run that found them; refused if another has compared since.
        run: RunId,
    },
    /// Forget what is remembered of a rule's tags, because one of its sides was rebuilt or restored: what is absent there is copied
    /// to it by the next run of two masters, and what is otherwise is asked about.
    Rejoin {
        /// The rule.
        rule: RuleName,
        /// The rule's name once more; refused without it.
        confirm: Option<String>,
    },
    /// Say no to some of the deletions that a run proposes: these tags stay.
    SpareDeletes {
        /// The rule.
        rule: RuleName,
        /// The run that found them; refused if another has compared since.
        run: RunId,
        /// Which: the repository as the source calls it, and the tag.
        tags: Vec<(Repository, Tag)>,
    },
}

/// A host that is to be known.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NewHost {
    /// How it is reached.
    pub config: HostConfig,
    /// What is recorded about it.
    #[serde(default)]
    pub record: HostRecord,
}

/// What is written is said, even when it is nothing: `null` is `Some(None)`.
fn said<'de, T: Deserialize<'de>, D: serde::Deserializer<'de>>(
    from: D,
) -> Result<Option<Option<T>>, D::Error> {
    Option::deserialize(from).map(Some)
}

/// Changes to what is recorded about a host: `None` leaves a thing as it is, `Some(None)` takes it away.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct HostEdit {
    /// Its site.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "said")]
    pub site: Option<Option<SiteName>>,
    /// The cluster that it belongs to.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "said")]
    pub cluster: Option<Option<ClusterName>>,
    /// Labels to set, and those to take away (`None`).
    pub labels: BTreeMap<String, Option<String>>,
    /// Its stated class.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "said")]
    pub class: Option<Option<String>>,
    /// In service since.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "said")]
    pub in_service: Option<Option<Millis>>,
    /// What its engine does not tell; the whole of it.
    pub capacity: Option<Capacity>,
}

/// A pool or all pools of a cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Target {
    /// One pool.
    Pool(PoolId),
    /// A cluster.
    Cluster(ClusterName),
}

impl Target {
    /// True for a pool that is meant.
    pub fn covers(&self, pool: &PoolId) -> bool {
        match self {
            Target::Pool(id) => id == pool,
            Target::Cluster(name) => *name == pool.cluster,
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Target::Pool(id) => id.fmt(f),
            Target::Cluster(name) => name.fmt(f),
        }
    }
}

impl FromStr for Target {
    type Err = Fault;
    fn from_str(text: &str) -> Result<Target, Fault> {
        if text.contains('/') { text.parse().map(Target::Pool) } else { text.parse().map(Target::Cluster) }
    }
}

/// A change of a number: `N`, `+N`, `-N` or `xF`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Change {
    /// Exactly so many.
    To(u32),
    /// So many more, or fewer.
    By(i64),
    /// So many times as many, rounded up.
    Times(f64),
}

impl Change {
    /// The number after the change.
    ///
    /// # Errors
    /// When the result is below zero or not a number of containers.
    pub fn apply(self, from: u32) -> Result<u32, Fault> {
        let result = match self {
            Change::To(n) => i64::from(n),
            Change::By(d) => i64::from(from).saturating_add(d),
            #[expect(clippy::cast_possible_truncation, reason = "saturates, and the range is checked below")]
            Change::Times(f) => (f64::from(from) * f - 1e-9).ceil() as i64,
        };
        u32::try_from(result).map_err(|_| {
            Fault::new(Kind::Invalid, format!("{from} {self} would be {result}"))
                .hint("a pool cannot have fewer than 0 containers")
        })
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Change::To(n) => write!(f, "{n}"),
            Change::By(d) => write!(f, "{d:+}"),
            Change::Times(x) => write!(f, "x{x}"),
        }
    }
}

impl FromStr for Change {
    type Err = Fault;
    fn from_str(text: &str) -> Result<Change, Fault> {
        let bad = || {
            Fault::new(Kind::Invalid, format!("{text:?} is not a number of containers"))
                .hint("write N for exactly N, +N for more, -N for fewer, xF for F times as many (x2, x1.5)")
        };
        let text = text.trim();
        if let Some(factor) = text.strip_prefix(['x', 'X', '*']) {
            let factor: f64 = factor.parse().map_err(|_| bad())?;
            return if factor.is_finite() && (0.0..=1000.0).contains(&factor) {
                Ok(Change::Times(factor))
            } else {
                Err(bad())
            };
        }
        let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
        if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
            return Err(bad());
        }
        let n: u32 = digits.parse().map_err(|_| bad())?;
        Ok(match text.as_bytes().first() {
            Some(b'+') => Change::By(i64::from(n)),
            Some(b'-') => Change::By(-i64::from(n)),
            _ => Change::To(n),
        })
    }
}

/// What to do with a scale when somebody else's operation runs on the pool.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Busy {
    /// Refuse, and say who started it.
    #[default]
    Refuse,
    /// Take its place: the newest number counts.
    Replace,
    /// Wait until it has ended.
    Queue,
}

/// The answer to an accepted command. It is given only after the change is durable.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Accepted {
    /// The operation that was begun; `None` when there is nothing to do or the effect is immediate.
    pub op: Option<OpId>,
    /// What was accepted, in one sentence.
    pub text: String,
}

/// A command that was not accepted: why, what to do, and what sort of refusal it is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Refusal {
    /// The part to branch on.
    pub why: RefusalKind,
    /// The reason, in one sentence.
    pub text: String,
    /// What to do.
    pub hint: Option<String>,
}

/// The sort of a refusal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RefusalKind {
    /// The named thing does not exist.
    NotFound,
    /// The session is read-only.
    ReadOnly,
    /// A limit of the pool.
    Limit,
    /// The name must be typed: this one.
    NeedsName(String),
    /// Somebody else's operation runs on it.
    Busy {
        /// Which.
        op: OpId,
        /// Whose.
        by: String,
    },
    /// It has changed since the caller looked.
    Changed,
    /// The request makes no sense.
    Invalid,
    /// The queue is full, the disk is full, the engine is not there: nothing was done, it may work later.
    Unavailable,
    /// Another engine core took over meanwhile.
    Fenced,
}

impl Refusal {
    /// A refusal without a hint.
    pub fn new(why: RefusalKind, text: impl Into<String>) -> Refusal {
        Refusal { why, text: text.into(), hint: None }
    }

    /// The same with the next step.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Refusal {
        self.hint = Some(hint.into());
        self
    }
}

impl From<Fault> for Refusal {
    fn from(fault: Fault) -> Refusal {
        let why = match fault.kind {
            Kind::NotFound => RefusalKind::NotFound,
            Kind::Conflict => RefusalKind::Changed,
            Kind::Invalid | Kind::Refused => RefusalKind::Invalid,
            Kind::Fenced => RefusalKind::Fenced,
            Kind::Unreachable | Kind::Timeout | Kind::Exhausted | Kind::Bug => RefusalKind::Unavailable,
        };
        Refusal { why, text: fault.to_string(), hint: fault.hint }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&crate::base::text::safe(&self.text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_read_and_applied() {
        let after = |text: &str, from| text.parse::<Change>().ok().and_then(|c| c.apply(from).ok());
        assert_eq!(
            [after("7", 3), after("+5", 3), after("-3", 3), after("x2", 3), after("x1.5", 3)],
            [7, 8, 0, 6, 5].map(Some)
        );
        assert_eq!(after("-4", 3), None);
        for bad in ["", "+", "x", "1e3", "x-1", "xNaN", "99999999999", "++1", "0x10", "five"] {
            assert!(bad.parse::<Change>().is_err(), "{bad:?} passed");
        }
    }
}
