//! What a pool asks of the hosts that it is placed on, and what becomes of it when one is lost.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::base::fault::{Fault, Kind};
use crate::base::ids::{PoolId, SiteName};

/// Which of the hosts that can take a container is preferred.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Strategy {
    /// The host with the fewest of the pool, then the emptiest: survives most.
    #[default]
    Spread,
    /// The fullest host on which it still fits: leaves the largest holes.
    Binpack,
    /// Any, by a seeded choice.
    Random,
}

impl Strategy {
    /// The strategy in one word.
    pub fn word(self) -> &'static str {
        match self {
            Strategy::Spread => "spread",
            Strategy::Binpack => "binpack",
            Strategy::Random => "random",
        }
    }
}

impl fmt::Display for Strategy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

impl FromStr for Strategy {
    type Err = Fault;
    fn from_str(text: &str) -> Result<Strategy, Fault> {
        [Strategy::Spread, Strategy::Binpack, Strategy::Random]
            .into_iter()
            .find(|s| s.word() == text)
            .ok_or_else(|| {
                Fault::new(Kind::Invalid, format!("{text:?} is not a placement strategy"))
                    .hint("use spread, binpack or random")
            })
    }
}

/// Everything that a pool says about where it is placed (Compose `deploy.placement`, and ours under `x-longshore`).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Placement {
    /// All of them must hold on a host.
    pub constraints: Vec<Constraint>,
    /// Spread evenly over the values of these, the first outermost (`preferences: [{spread: node.labels.rack}]`).
    pub spread: Vec<Attribute>,
    /// Most containers of the pool on one host (`max_replicas_per_node`).
    pub max_per_host: Option<u32>,
    /// Which host is preferred, unless a request says otherwise.
    pub strategy: Strategy,
    /// Never on a host that holds containers of these pools (`apart`).
    pub apart: Vec<PoolId>,
    /// Rather on hosts that match, by weight (`prefer`).
    pub prefer: Vec<Preference>,
    /// Only on hosts of these sites; empty means any.
    pub sites: Vec<SiteName>,
    /// Never pull: only on hosts that have the image (Compose `pull_policy: never`).
    pub image_must_be_there: bool,
    /// Platform `os/arch` that the image is for (Compose `platform`); `None` takes any.
    pub platform: Option<String>,
    /// What becomes of containers whose host is lost.
    pub on_loss: OnLoss,
}

/// A weighted wish.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Preference {
    /// What is wished for.
    pub constraint: Constraint,
    /// How much, -100 to 100; below zero is a wish to avoid.
    pub weight: i32,
}

/// Something of a host that can be compared.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Attribute {
    /// `node.id`: our name of the host.
    Id,
    /// `node.hostname`: the machine's own name.
    Hostname,
    /// `node.platform.os`.
    Os,
    /// `node.platform.arch` (`amd64` and `x86_64` are one).
    Arch,
    /// `node.site`.
    Site,
    /// `node.cluster`.
    Cluster,
    /// `node.class`.
    Class,
    /// `node.cpus`: cores.
    Cpus,
    /// `node.memory`: bytes; values may carry a unit.
    Memory,
    /// `node.version`: the engine's version.
    Version,
    /// `node.labels.KEY`: labels that people gave it.
    Label(String),
    /// `engine.labels.KEY`: labels of the engine itself.
    EngineLabel(String),
}

/// One condition on a host.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Constraint {
    /// Of what.
    pub attribute: Attribute,
    /// How it is compared.
    pub operator: Operator,
    /// With what; more than one only for `in` and `not in`.
    pub values: Vec<String>,
}

/// How an attribute is compared with a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Operator {
    /// `==`, ignoring case as Swarm does.
    Is,
    /// `!=`
    IsNot,
    /// `in (a, b)`
    In,
    /// `not in (a, b)`
    NotIn,
    /// `=~ EXPRESSION`
    Matches,
    /// `!~ EXPRESSION`
    MatchesNot,
    /// `<`, of numbers, sizes and versions.
    Less,
    /// `<=`
    AtMost,
    /// `>`
    More,
    /// `>=`
    AtLeast,
}

/// What becomes of containers whose host is lost.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct OnLoss {
    /// Where they are replaced; `None` leaves it to what the pool keeps (see [`PoolSpec::loss_rule`](crate::model::pool::PoolSpec::loss_rule)).
    pub rule: Option<LossRule>,
    /// How long a host must have been silent before, in milliseconds.
    pub after_ms: u64,
    /// So many of the pool are replaced at once; the next one only when one of these serves.
    pub at_once: u32,
}

/// Default time that a host must have been silent before its containers are replaced: 5 min (Kubernetes' toleration of
/// unreachable nodes).
pub const REPLACE_AFTER_MS: u64 = 300_000;

/// Default number of a pool's lost containers that are replaced at once.
pub const REPLACE_AT_ONCE: u32 = 8;

impl Default for OnLoss {
    fn default() -> OnLoss {
        OnLoss { rule: None, after_ms: REPLACE_AFTER_MS, at_once: REPLACE_AT_ONCE }
    }
}

/// Where containers of a lost host are replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LossRule {
    /// They wait for their host; when it is taken out of the inventory they are replaced elsewhere.
    Wait,
    /// On any host.
    Elsewhere,
    /// On a host of the same class only.
    SameClass,
    /// Never, until somebody says so (`hosts give-up`).
    Never,
}

impl LossRule {
    /// The rule in one word.
    pub fn word(self) -> &'static str {
        match self {
            LossRule::Wait => "wait",
            LossRule::Elsewhere => "elsewhere",
            LossRule::SameClass => "same-class",
            LossRule::Never => "never",
        }
    }
}

impl FromStr for LossRule {
    type Err = Fault;
    fn from_str(text: &str) -> Result<LossRule, Fault> {
        [LossRule::Wait, LossRule::Elsewhere, LossRule::SameClass, LossRule::Never]
            .into_iter()
            .find(|r| r.word() == text)
            .ok_or_else(|| {
                Fault::new(Kind::Invalid, format!("{text:?} says nothing about a lost host"))
                    .hint("use wait, elsewhere, same-class or never")
            })
    }
}
