//! The port to a registry that has projects, members and replication of its own (Harbor): looking, access, its runs.
//!
//! Every call has a deadline of its own inside the adapter; only calls that read are repeated there. A fault carries the
//! registry's own code in its reasons. After a write, [`Fault::is_unknown`](crate::base::fault::Fault::is_unknown) means that
//! nobody knows whether it had its effect: read back before trying again. A failure is never an empty list.

use futures_util::future::BoxFuture;

use crate::base::fault::Outcome;
use crate::model::harbor::access::{AccessStep, Applied, HarborRobot, Member};
use crate::model::harbor::runs::{Endpoint, Execution, Policy, Task, TaskLog};
use crate::model::harbor::{
    ArtifactFacts, HarborFacts, HarborHealth, HarborProject, Login, ProjectQuota, Quota, Space,
};
use crate::model::oci::Repository;
use crate::model::registry::Page;

/// Looking. Nothing is changed.
pub trait Condition: Send + Sync {
    /// How it is and how its parts are; no log-in is sent.
    fn health(&self) -> BoxFuture<'_, Outcome<HarborHealth>>;

    /// As whom it knows us. `Refused` when it does not.
    fn login(&self) -> BoxFuture<'_, Outcome<Login>>;

    /// All projects that we may see. `Refused` when it does not know us, though it would show the public ones.
    fn projects(&self) -> BoxFuture<'_, Outcome<Vec<HarborProject>>>;

    /// A project's quota; `None` when it does not tell us.
    fn quota<'a>(&'a self, project: &'a HarborProject) -> BoxFuture<'a, Outcome<Option<Quota>>>;

    /// A page of what is in a repository (its first part is the project), from where `next` of the page before says.
    fn artifacts<'a>(
        &'a self,
        of: &'a Repository,
        next: Option<&'a str>,
    ) -> BoxFuture<'a, Outcome<Page<ArtifactFacts>>>;
}

/// What it is, and how much room it has. Only those whom it knows are told, of room only its administrators.
pub trait Estate: Send + Sync {
    /// What it says of itself.
    fn about(&self) -> BoxFuture<'_, Outcome<HarborFacts>>;

    /// The room where it keeps its content; `None` when it does not tell (an object store has no end).
    fn space(&self) -> BoxFuture<'_, Outcome<Option<Space>>>;

    /// The quotas of all projects.
    fn quotas(&self) -> BoxFuture<'_, Outcome<Vec<ProjectQuota>>>;
}

/// Who may do what.
pub trait AccessAdmin: Send + Sync {
    /// All members of a project, people and groups.
    fn members<'a>(&'a self, project: &'a HarborProject) -> BoxFuture<'a, Outcome<Vec<Member>>>;

    /// All robots of a project.
    fn robots<'a>(&'a self, project: &'a HarborProject) -> BoxFuture<'a, Outcome<Vec<HarborRobot>>>;

    /// Makes one change. Making what is there already, and ending what is gone already, succeeds as
    /// [`Applied::Already`]; a member or robot that is there in another way is a `Conflict`.
    fn apply<'a>(&'a self, step: &'a AccessStep) -> BoxFuture<'a, Outcome<Applied>>;
}

/// Its own replication. Only its administrators see that.
pub trait RunAdmin: Send + Sync {
    /// All registries that it copies to or from.
    fn endpoints(&self) -> BoxFuture<'_, Outcome<Vec<Endpoint>>>;

    /// All policies.
    fn policies(&self) -> BoxFuture<'_, Outcome<Vec<Policy>>>;

    /// A page of a policy's executions, the latest first.
    fn executions<'a>(
        &'a self,
        policy: i64,
        next: Option<&'a str>,
    ) -> BoxFuture<'a, Outcome<Page<Execution>>>;

    /// A page of an execution's tasks.
    fn tasks<'a>(&'a self, execution: i64, next: Option<&'a str>) -> BoxFuture<'a, Outcome<Page<Task>>>;

    /// The log of a task, its end where it is very long. `NotFound` when the execution has no such task.
    fn log(&self, execution: i64, task: i64) -> BoxFuture<'_, Outcome<TaskLog>>;

    /// Starts a policy, whatever its trigger, and gives the execution's number. `Refused` when it is disabled.
    /// Twice is two executions: never repeated by itself.
    fn start(&self, policy: i64) -> BoxFuture<'_, Outcome<i64>>;

    /// Asks an execution to stop: it ends between two blobs, not inside of one. Succeeds when it is over already.
    fn stop(&self, execution: i64) -> BoxFuture<'_, Outcome<()>>;
}

/// One such registry.
pub trait RegistryAdmin: Condition + Estate + AccessAdmin + RunAdmin {}

impl<T: Condition + Estate + AccessAdmin + RunAdmin> RegistryAdmin for T {}
