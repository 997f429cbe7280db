//! The arguments of `prewarm` and `estimate`.

use clap::Args;

use crate::cli::args::WaitArgs;

/// Arguments of `prewarm`.
#[derive(Args, Debug)]
pub struct PrewarmArgs {
    /// A pool, whose image is meant, or an image
    #[arg(value_name = "CLUSTER/POOL|IMAGE")]
    pub target: String,
    /// Onto the hosts where this pool may be placed (with an image that is not rolled out yet)
    #[arg(long, value_name = "CLUSTER/POOL")]
    pub pool: Option<String>,
    /// Only onto hosts of this site; give it once for each
    #[arg(long = "site", value_name = "SITE")]
    pub sites: Vec<String>,
    /// Only onto these hosts
    #[arg(long = "hosts", value_name = "HOST", num_args = 1.., value_delimiter = ',')]
    pub names: Vec<String>,
    /// Pulls at a time at each site [default: 4]; the site's own limit counts too
    #[arg(long, value_name = "N")]
    pub limit: Option<u32>,
    /// Bytes a second at each site, on the average (10MB, 1GiB): pulls begin so far apart
    #[arg(long, value_name = "BYTES")]
    pub rate: Option<String>,
    /// The image's length as it is transferred (1.2GB), where its registry cannot be asked
    #[arg(long, value_name = "BYTES")]
    pub size: Option<String>,
    /// Let hosts of a site without a registry give it to each other, through this engine, where that is faster
    #[arg(long)]
    pub from_peers: bool,
    /// Say which hosts have it, how much the others have to pull and over which lines; change nothing
    #[arg(long)]
    pub plan: bool,
    /// When to return.
    #[command(flatten)]
    pub wait: WaitArgs,
}

/// Arguments of `estimate`.
#[derive(Args, Debug)]
pub struct EstimateArgs {
    /// The image; its size is asked from its registry
    #[arg(value_name = "IMAGE")]
    pub image: Option<String>,
    /// For the hosts where this pool may be placed (and its image, if none is named)
    #[arg(long, value_name = "CLUSTER/POOL")]
    pub pool: Option<String>,
    /// So many hosts at a site; give it once for each site
    #[arg(long = "hosts", value_name = "SITE=N", num_args = 1.., value_delimiter = ',')]
    pub counts: Vec<String>,
    /// The image's length as it is transferred: 1.2GB, 300MiB
    #[arg(long, value_name = "BYTES")]
    pub size: Option<String>,
    /// What the line to a site carries: 100Mbit for all, tc=100Mbit for one
    #[arg(long = "line", value_name = "[SITE=]BITS")]
    pub lines: Vec<String>,
    /// What the source registry can send: 1Gbit
    #[arg(long, value_name = "BITS")]
    pub uplink: Option<String>,
    /// What the network card of a host can do, each way: 1Gbit
    #[arg(long, value_name = "BITS")]
    pub card: Option<String>,
    /// What a site's own registry can send: 1Gbit for all, tc=1Gbit for one, tc=none for a site without
    #[arg(long = "registry", value_name = "[SITE=]BITS")]
    pub registries: Vec<String>,
    /// Hosts of one site that pull at a time [default: all]
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    pub parallel: u32,
    /// What hosts have of it already, in per cent
    #[arg(long, value_name = "PERCENT", default_value_t = 0, hide_default_value = true)]
    pub present: u8,
    /// Leave out the way from host to host
    #[arg(long)]
    pub no_peers: bool,
}
