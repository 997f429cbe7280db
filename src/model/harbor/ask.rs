//! What a person can ask of a Harbor through the engine, what can be done there, and the answers.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::base::clock::Millis;
use crate::base::fault::{Fault, Kind};
use crate::base::text::Untrusted;
use crate::model::harbor::access::{HarborRobot, Member};
use crate::model::harbor::runs::{Endpoint, Execution, Policy, Task, TaskLog};
use crate::model::harbor::{HarborProject, Quota};
use crate::model::registry::Page;

/// A question to a Harbor. It is asked now, not remembered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HarborAsk {
    /// Its projects, each with its quota.
    Projects,
    /// Who is a member of a project.
    Members {
        /// The project's name.
        project: String,
    },
    /// The robots of a project.
    Robots {
        /// The project's name.
        project: String,
    },
    /// The registries that it copies to or from.
    Endpoints,
    /// Its replication policies, each with its last execution.
    Policies,
    /// The executions of a policy, the latest first.
    Executions {
        /// Which policy.
        policy: PolicyName,
        /// From where `next` of the page before says.
        after: Option<String>,
    },
    /// The tasks of an execution.
    Tasks {
        /// The execution's number.
        execution: i64,
        /// From where `next` of the page before says.
        after: Option<String>,
    },
    /// The log of a task.
    Log {
        /// The execution's number.
        execution: i64,
        /// The task's number.
        task: i64,
    },
    /// What would have to be done so that its projects, members and robots are as here.
    Access(AccessChoices),
}

/// The answer to a [`HarborAsk`], in the same order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HarborSaid {
    /// The projects.
    Projects(Vec<ProjectRow>),
    /// The members.
    Members(Vec<Member>),
    /// The robots.
    Robots(Vec<HarborRobot>),
    /// The registries.
    Endpoints(Vec<Endpoint>),
    /// The policies.
    Policies(Vec<PolicyRow>),
    /// A page of executions.
    Executions(Page<Execution>),
    /// A page of tasks.
    Tasks(Page<Task>),
    /// The log.
    Log(TaskLog),
    /// The plan.
    Access(AccessRows),
}

/// A policy, and how its last execution stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PolicyRow {
    /// The policy.
    pub policy: Policy,
    /// Its last execution; none when there was none.
    pub last: Option<Execution>,
}

/// A project with its quota.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ProjectRow {
    /// The project.
    pub project: HarborProject,
    /// What it may hold and holds; none when Harbor does not tell us.
    pub quota: Option<Quota>,
    /// Why the quota could not be read.
    pub why: Option<Untrusted>,
}

/// A replication policy by its number or its name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PolicyName {
    /// By number.
    Id(i64),
    /// By name.
    Name(String),
}

impl PolicyName {
    /// True for the policy that is meant.
    pub fn is(&self, policy: &Policy) -> bool {
        match self {
            PolicyName::Id(id) => policy.id == *id,
            PolicyName::Name(name) => policy.name.raw() == name,
        }
    }
}

impl FromStr for PolicyName {
    type Err = Fault;

    /// Digits are a number; `=NAME` is a name in any case.
    fn from_str(text: &str) -> Result<PolicyName, Fault> {
        if let Some(name) = text.strip_prefix('=') {
            return Ok(PolicyName::Name(name.to_owned()));
        }
        match text.parse() {
            Ok(id) => Ok(PolicyName::Id(id)),
            Err(_) if text.is_empty() => {
                Err(Fault::new(Kind::Invalid, "a policy without a name").hint("give its name or its number"))
            }
            Err(_) => Ok(PolicyName::Name(text.to_owned())),
        }
    }
}

impl fmt::Display for PolicyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PolicyName::Id(id) => write!(f, "{id}"),
            PolicyName::Name(name) => f.write_str(&crate::base::text::safe(name)),
        }
    }
}

/// What somebody has decided about things that only Harbor has. All of it is left alone unless said so.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct AccessChoices {
    /// Members and robots that only Harbor has lose their roles.
    pub remove_extra: bool,
    /// Roles and rights that we have no word for give way to what is wanted.
    pub replace_unknown: bool,
    /// Projects that everybody may read are closed.
    pub close_public: bool,
}

/// A plan of access in sentences.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessRows {
    /// What would be done, in this order.
    pub steps: Vec<String>,
    /// What stays apart.
    pub apart: Vec<String>,
    /// Grants follow to this Harbor by themselves.
    pub follows: bool,
}

/// Something to be done at a Harbor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HarborDeed {
    /// Start a policy now, whatever its trigger.
    Start {
        /// Which.
        policy: PolicyName,
    },
    /// Stop an execution.
    Stop {
        /// Its number.
        execution: i64,
    },
    /// Make its projects, members and robots as here, and let grants follow from now on.
    Access(AccessChoices),
    /// Grants follow no more; what is there stays.
    LeaveAccess,
}

/// What came of a deed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HarborDone {
    /// One sentence each, in order.
    pub lines: Vec<String>,
    /// The execution that was begun.
    pub execution: Option<i64>,
    /// Robots that were made. Their secrets are seen this once, and are kept nowhere.
    #[serde(default)]
    pub robots: Vec<NewRobot>,
    /// What could not be done.
    pub failed: Option<Fault>,
}

impl HarborDone {
    /// Nothing yet.
    pub fn nothing() -> HarborDone {
        HarborDone { lines: Vec::new(), execution: None, robots: Vec::new(), failed: None }
    }
}

/// A robot that was made at a Harbor.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewRobot {
    /// What it logs in as.
    pub login: Untrusted,
    /// Its password.
    pub secret: String,
    /// It cannot log in from then on; none means never.
    pub expires: Option<Millis>,
}

impl fmt::Debug for NewRobot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NewRobot").field("login", &self.login).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policies_are_named_by_number_or_name() {
        for (text, wanted) in [
            ("11", PolicyName::Id(11)),
            ("=11", PolicyName::Name("11".into())),
            ("to-branch", PolicyName::Name("to-branch".into())),
        ] {
            assert_eq!(text.parse::<PolicyName>().unwrap(), wanted);
        }
        assert!("".parse::<PolicyName>().is_err());
    }

    #[test]
    fn a_new_robots_secret_is_not_printed_by_accident() {
        let robot = NewRobot { login: "robot$feed+ci".into(), secret: "hunter2".into(), expires: None };
        assert!(!format!("{robot:?}").contains("hunter2"));
    }
}
