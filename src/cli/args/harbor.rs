//! The arguments of `harbor`.

use clap::{Args, Subcommand};

/// What to ask of a Harbor, and what to do there.
#[derive(Debug, Subcommand)]
pub enum HarborVerb {
    /// Its projects, with what they may hold and hold
    #[command(after_help = "Example: longshore harbor projects hq --json")]
    Projects(OneHarbor),
    /// Who is a member of a project, with Harbor's roles
    #[command(after_help = "Example: longshore harbor members hq feed")]
    Members(OneProject),
    /// The robots of a project, with their rights and their end
    #[command(after_help = "Example: longshore harbor robots hq feed")]
    Robots(OneProject),
    /// The registries that it copies to or from itself, and whether it reaches them
    #[command(after_help = "Example: longshore harbor registries hq")]
    Registries(OneHarbor),
    /// Its own replication policies, each with how its last execution stands
    #[command(after_help = "Example: longshore harbor policies hq")]
    Policies(OneHarbor),
    /// The executions of a policy, the latest first, in the words of our own runs
    #[command(
        visible_alias = "runs",
        after_help = "Examples:\n  longshore harbor executions hq to-branch\n  longshore harbor executions hq 11 --limit 100"
    )]
    Executions {
        /// The Harbor and the policy.
        #[command(flatten)]
        of: OnePolicy,
        /// At most so many
        #[arg(long, value_name = "N", default_value_t = 20)]
        limit: u32,
    },
    /// The tasks of an execution, a repository each; those that failed first
    #[command(
        after_help = "Examples:\n  longshore harbor tasks hq 103\n  longshore harbor tasks hq 103 --failed"
    )]
    Tasks {
        /// The Harbor and the execution.
        #[command(flatten)]
        of: OneExecution,
        /// Only those that failed
        #[arg(long)]
        failed: bool,
    },
    /// The log of a task
    #[command(after_help = "Example: longshore harbor log hq 103 502")]
    Log {
        /// The Harbor and the execution.
        #[command(flatten)]
        of: OneExecution,
        /// The task's number
        #[arg(value_name = "TASK")]
        task: i64,
    },
    /// Start a policy now, whatever its trigger; twice is two executions
    #[command(
        after_help = "Examples:\n  longshore harbor start hq to-branch\n  longshore harbor start hq to-branch --wait=30m\n\n\
        With --wait the exit status is 0 when it is done, 1 when it is not."
    )]
    Start {
        /// The Harbor and the policy.
        #[command(flatten)]
        of: OnePolicy,
        /// When to return.
        #[command(flatten)]
        wait: crate::cli::args::WaitArgs,
    },
    /// Stop an execution: Harbor ends it between two blobs
    #[command(after_help = "Example: longshore harbor stop hq 103")]
    Stop(OneExecution),
}

/// A Harbor.
#[derive(Args, Clone, Debug)]
pub struct OneHarbor {
    /// The registry, of kind harbor
    #[arg(value_name = "REGISTRY")]
    pub registry: String,
}

/// A project of a Harbor.
#[derive(Args, Clone, Debug)]
pub struct OneProject {
    /// The registry, of kind harbor
    #[arg(value_name = "REGISTRY")]
    pub registry: String,
    /// The project
    #[arg(value_name = "PROJECT")]
    pub project: String,
}

/// A policy of a Harbor.
#[derive(Args, Clone, Debug)]
pub struct OnePolicy {
    /// The registry, of kind harbor
    #[arg(value_name = "REGISTRY")]
    pub registry: String,
    /// The policy's name or number (=NAME where a name is a number)
    #[arg(value_name = "POLICY")]
    pub policy: String,
}

/// An execution of a Harbor.
#[derive(Args, Clone, Debug)]
pub struct OneExecution {
    /// The registry, of kind harbor
    #[arg(value_name = "REGISTRY")]
    pub registry: String,
    /// The execution's number
    #[arg(value_name = "EXECUTION")]
    pub execution: i64,
}
