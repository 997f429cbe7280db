//! How a Harbor stands: what the engine last read of it, and in words what could not be read.

use serde::{Deserialize, Serialize};

use crate::base::clock::Millis;
use crate::base::text::Untrusted;
use crate::model::harbor::runs::{Execution, PolicyTrigger};
use crate::model::harbor::{HarborFacts, HarborHealth, Login, ProjectQuota, Quota, Space};

/// A Harbor as it stands. What was not read is none, and [`HarborView::why`] says why.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct HarborView {
    /// When it was asked last; none before the first time.
    pub asked: Option<Millis>,
    /// How it and its parts are.
    pub health: Option<HarborHealth>,
    /// As whom it knows us.
    pub login: Option<Login>,
    /// What it says of itself.
    pub facts: Option<HarborFacts>,
    /// Projects that we may see.
    pub projects: Option<u32>,
    /// Repositories in them.
    pub repositories: Option<u64>,
    /// The room that it has.
    pub space: Option<Space>,
    /// What its projects may hold and hold.
    pub quotas: Option<Quotas>,
    /// Its own replication policies, each with its last execution.
    pub policies: Option<Vec<PolicyView>>,
    /// What could not be read, in words.
    pub why: Vec<Untrusted>,
    /// How it stands with the grants that are brought to it.
    #[serde(default)]
    pub access: AccessView,
}

/// The quotas of all projects together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quotas {
    /// Bytes in use by all projects.
    pub used: u64,
    /// Projects with a limit.
    pub limited: u32,
    /// The one that is nearest to its limit.
    pub fullest: Option<ProjectQuota>,
}

impl Quotas {
    /// The sum of these.
    pub fn of(all: &[ProjectQuota]) -> Quotas {
        let limit = |q: &&ProjectQuota| q.quota.limit.is_some();
        // Without a limit nothing is full; a limit of nothing is full at once.
        let share = |q: &Quota| match q.limit {
            Some(0) => u128::MAX,
            Some(limit) => u128::from(q.used) * 1_000_000 / u128::from(limit),
            None => 0,
        };
        Quotas {
            used: all.iter().map(|q| q.quota.used).fold(0, u64::saturating_add),
            limited: u32::try_from(all.iter().filter(limit).count()).unwrap_or(u32::MAX),
            fullest: all.iter().filter(limit).max_by_key(|q| share(&q.quota)).cloned(),
        }
    }
}

/// One of Harbor's replication policies, in short.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyView {
    /// Its number.
    pub id: i64,
    /// Its name.
    pub name: Untrusted,
    /// It can run.
    pub enabled: bool,
    /// When it runs by itself.
    pub trigger: PolicyTrigger,
    /// From where; none when Harbor does not say.
    pub from: Option<Untrusted>,
    /// Where to.
    pub to: Option<Untrusted>,
    /// Its last execution; none when there was none, or it could not be read.
    pub last: Option<Execution>,
}

/// How a Harbor stands with our list of users, projects and robots.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AccessView {
    /// Grants are not brought to it: nobody has asked for that.
    #[default]
    Apart,
    /// It was compared last then; what differs.
    Brought {
        /// When.
        at: Millis,
        /// Steps that wait for a person: robots, whose secret somebody has to take.
        waiting: Vec<String>,
    },
    /// It is behind: the last try failed.
    Behind {
        /// Since when.
        since: Millis,
        /// Why, in words.
        why: Untrusted,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fullest_project_is_the_one_nearest_to_its_limit() {
        let one = |name: &str, used, limit| ProjectQuota {
            project: Some(name.into()),
            quota: Quota { used, limit },
        };
        let all = [one("a", 900, None), one("b", 50, Some(100)), one("c", 60, Some(1000))];
        let sum = Quotas::of(&all);
        assert_eq!((sum.used, sum.limited), (1010, 2));
        assert_eq!(sum.fullest.and_then(|f| f.project).unwrap().raw(), "b");
        let none = [all[1].clone(), one("d", 0, Some(0))];
        assert_eq!(Quotas::of(&none).fullest.and_then(|f| f.project).unwrap().raw(), "d");
        assert_eq!(Quotas::of(&all[..1]).fullest, None);
    }
}
