//! Questions to the engine that change nothing, and their answers.

use serde::{Deserialize, Serialize};

use crate::base::fault::Fault;
use crate::base::ids::{ContainerId, HostId, OpId, PoolId, RegistryName, RuleName, Slot};
use crate::model::command::{Accepted, Change, Command, Refusal, Target};
use crate::model::coverage::{Coverage, EstimateAsk};
use crate::model::estimate::Answer;
use crate::model::explain::Explanation;
use crate::model::harbor::ask::{HarborAsk, HarborDone, HarborSaid};
use crate::model::journal::Entry;
use crate::model::moves::Proposal;
use crate::model::oci::Repository;
use crate::model::operation::Operation;
use crate::model::placement::Strategy;
use crate::model::policy::{ImageVerdict, StoredPolicy};
use crate::model::pool::Pool;
use crate::model::preview::Preview;
use crate::model::prewarm::{PrewarmAsk, PrewarmView};
use crate::model::registry::{Page, RepositoryRow, TagRow};
use crate::model::replication::known::Conflict;
use crate::model::replication::review::{Report, Review};
use crate::model::replication::{DiffRow, RunId, RunView, TagRun};

/// A question.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Query {
    /// How far an image is on the hosts that a prewarm would mean.
    Coverage(Box<PrewarmAsk>),
    /// How long it takes to bring an image to hosts, by all ways.
    Estimate(Box<EstimateAsk>),
    /// A prewarm, host by host.
    Prewarm {
        /// Its operation.
        op: OpId,
    },
    /// The engine's own JSON of a container, byte for byte.
    Inspect {
        /// Its host.
        host: HostId,
        /// Its id.
        container: ContainerId,
    },
    /// What a scale would do.
    Preview {
        /// The pool.
        pool: PoolId,
        /// The change.
        change: Change,
        /// The name typed, for zero and protected pools.
        confirm: Option<String>,
        /// By this strategy, not by the pool's own.
        #[serde(default)]
        strategy: Option<Strategy>,
    },
    /// Why a slot is where it is or nowhere, or where one more of the pool would go.
    Why {
        /// The pool.
        pool: PoolId,
        /// The slot; `None` means one more.
        slot: Option<Slot>,
        /// By this strategy, not by the one that counts.
        #[serde(default)]
        strategy: Option<Strategy>,
    },
    /// Moves that would even the load out.
    Rebalance {
        /// Only pools of this; `None` means all.
        target: Option<Target>,
        /// At most so many moves.
        limit: u32,
    },
    /// Lines of the journal, newest first.
    Journal {
        /// Only lines before this number.
        before: Option<u64>,
        /// At most so many.
        limit: u32,
        /// Only lines about this pool.
        pool: Option<PoolId>,
        /// Only lines of this operation.
        op: Option<OpId>,
    },
    /// Operations, newest first.
    Operations {
        /// At most so many.
        limit: u32,
    },
    /// The whole record of a pool.
    Pool {
        /// Which.
        pool: PoolId,
    },
    /// Somebody looks at the use of these pools' containers: sample them for a while. Sent again every few seconds.
    Look {
        /// The pools; empty means all.
        pools: Vec<PoolId>,
    },
    /// What a registry holds: its repositories, or the tags of one of them. Answered by [`Reply::Repositories`] or
    /// [`Reply::Tags`].
    Browse {
        /// The registry.
        registry: RegistryName,
        /// The repository; `None` means all repositories.
        repository: Option<Repository>,
        /// Which part.
        ask: PageAsk,
    },
    /// What the rules of this install say of these images; nothing where there are no rules. Answered by
    /// [`Reply::ImageVerdicts`].
    CheckImages {
        /// Their names, as pool files have them.
        images: Vec<String>,
    },
    /// The rules for images. Answered by [`Reply::ImagePolicy`].
    ImagePolicy,
    /// The tags of a run, those that need a person first.
    RunTags {
        /// The run.
        run: RunId,
        /// Which part.
        ask: PageAsk,
    },
    /// What differs between the sides of a rule, by asking both: nothing is changed.
    Diff {
        /// The rule.
        rule: RuleName,
        /// Which part.
        ask: PageAsk,
    },
    /// What a Harbor says when it is asked now. Answered by [`Reply::Harbor`].
    Harbor {
        /// The registry.
        registry: RegistryName,
        /// What.
        ask: HarborAsk,
    },
    /// Runs, newest first.
    Runs {
        /// Only those of this rule.
        rule: Option<RuleName>,
        /// At most so many.
        limit: u32,
    },
    /// Tags that were changed on both sides and wait for somebody.
    Conflicts {
        /// Only those of this rule.
        rule: Option<RuleName>,
        /// Which part.
        ask: PageAsk,
    },
    /// Every tag, manifest and blob of a rule, looked for at both ends: nothing is moved. The report is kept.
    Verify {
        /// The rule.
        rule: RuleName,
        /// Nothing anew: the reports that are kept, newest first.
        kept: bool,
        /// Read every blob and hold it against its digest, too.
        read: bool,
    },
    /// Deletions that wait for a yes, and what stays although one side does not have it any more.
    Reviews {
        /// Only those of this rule.
        rule: Option<RuleName>,
    },
}

/// Which part of a long list is asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PageAsk {
    /// Only rows whose name has this text in it, `!text` for those without, `=text` for the one that is called so; empty means
    /// all.
    pub filter: String,
    /// [`Page::next`] of the part before; `None` begins anew.
    pub after: Option<String>,
    /// At most so many.
    pub limit: u32,
}

/// Anything that can be sent to the engine for one answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Request {
    /// A change.
    Command(Command),
    /// A question.
    Query(Query),
}

/// The one answer to a [`Request`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reply {
    /// A prewarm.
    Prewarm(Box<PrewarmView>),
    /// How far an image is.
    Coverage(Box<Coverage>),
    /// How long it takes.
    Estimate(Box<Answer>),
    /// A command was accepted and is durable.
    Accepted(Accepted),
    /// A command was refused; nothing was changed.
    Refused(Refusal),
    /// A question could not be answered.
    Failed(Fault),
    /// The JSON of [`Query::Inspect`].
    Inspect(String),
    /// The answer to [`Query::Preview`].
    Preview(Box<Preview>),
    /// The answer to [`Query::Why`].
    Why(Box<Explanation>),
    /// The answer to [`Query::Rebalance`].
    Proposal(Box<Proposal>),
    /// The answer to [`Query::Journal`].
    Journal(Vec<Entry>),
    /// The answer to [`Query::Operations`].
    Operations(Vec<Operation>),
    /// The answer to [`Query::Pool`].
    Pool(Box<Pool>),
    /// The answer to [`Query::Browse`] without a repository.
    Repositories(Page<RepositoryRow>),
    /// The answer to [`Query::Browse`] of a repository.
    Tags(Page<TagRow>),
    /// The answer to [`Query::CheckImages`].
    ImageVerdicts(Vec<ImageVerdict>),
    /// The answer to [`Query::ImagePolicy`]; none while there are no rules.
    ImagePolicy(Option<Box<StoredPolicy>>),
    /// The answer to [`Query::RunTags`].
    RunTags(Page<TagRun>),
    /// The answer to [`Query::Diff`].
    Diff(Page<DiffRow>),
    /// The answer to [`Query::Runs`].
    Runs(Vec<RunView>),
    /// The answer to [`Query::Conflicts`].
    Conflicts(Page<Conflict>),
    /// The answer to [`Query::Verify`].
    Reports(Vec<Report>),
    /// The answer to [`Query::Reviews`].
    Reviews(Vec<Review>),
    /// The answer to [`Query::Harbor`].
    Harbor(Box<HarborSaid>),
    /// The answer to [`Command::Harbor`]: it was accepted, and this came of it.
    HarborDone(Box<HarborDone>),
    /// Done, nothing to say.
    Nothing,
}
