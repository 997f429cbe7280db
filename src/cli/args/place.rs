//! The arguments of the commands about placement and its risks: `why`, `rebalance`, `set`.

use clap::Args;

use crate::cli::args::WaitArgs;

/// Arguments of `why`.
#[derive(Args, Debug)]
pub struct WhyArgs {
    /// CLUSTER/POOL for one more of it, CLUSTER/POOL.SLOT for that one
    #[arg(value_name = "TARGET")]
    pub target: String,
    /// By this strategy instead of the pool's own: spread, binpack or random
    #[arg(long, value_name = "STRATEGY")]
    pub strategy: Option<String>,
    /// Every host on a line of its own
    #[arg(long)]
    pub all: bool,
}

/// Arguments of `rebalance`.
#[derive(Args, Debug)]
pub struct RebalanceArgs {
    /// Only this pool or cluster
    #[arg(value_name = "TARGET")]
    pub target: Option<String>,
    /// At most so many moves
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub limit: u32,
    /// Make the moves
    #[arg(long)]
    pub yes: bool,
    /// When to return.
    #[command(flatten)]
    pub wait: WaitArgs,
}

/// Arguments of `set`.
#[derive(Args, Debug)]
pub struct SetArgs {
    /// The pool
    #[arg(value_name = "CLUSTER/POOL")]
    pub pool: String,
    /// What to change; an empty value takes it away
    #[arg(value_name = "KEY=VALUE", required = true)]
    pub changes: Vec<String>,
    /// Say what would change, and change nothing
    #[arg(long)]
    pub plan: bool,
    /// When to return.
    #[command(flatten)]
    pub wait: WaitArgs,
}
