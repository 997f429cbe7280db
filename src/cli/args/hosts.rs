//! The arguments of `hosts` and `sites`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::cli::args::WaitArgs;

/// What to do with hosts.
#[derive(Debug, Subcommand)]
pub enum HostVerb {
    /// Know a new host
    #[command(after_help = "Examples:\n  longshore hosts add bj-03 ssh://ops@10.0.0.3\n  \
        longshore hosts add bj-03 tcp://10.0.0.3:2376 --tls-dir certs --site bj --label disk=ssd")]
    Add(HostAdd),
    /// Add and change hosts by an inventory (CSV, Ansible INI or YAML), or by the Docker CLI's contexts
    #[command(
        after_help = "Examples:\n  longshore hosts import                          the contexts of the Docker CLI\n  \
        longshore hosts import fleet.csv --dry-run      say what is new and what changed\n  \
        longshore hosts import inventory --format ini\n\n\
        Nothing is imported while there is a fault in the file. docs/cli.md says how files are read."
    )]
    Import(HostImport),
    /// Change what is recorded about hosts: labels, site, class, capacity
    #[command(
        after_help = "Examples:\n  longshore hosts label bj-03 bj-04 disk=ssd old-     set disk, take old away\n  \
        longshore hosts label bj-03 --site bj --class new\n  \
        longshore hosts label --of-site bj --site beijing   of all hosts of a site\n  \
        longshore hosts label bj-03 --class ''              take it away"
    )]
    Label(HostLabel),
    /// Let hosts take no new containers; those that they have stay
    #[command(after_help = "Examples:\n  longshore hosts cordon bj-03\n  longshore hosts cordon --site bj")]
    Cordon(HostsOf),
    /// Let hosts take no new containers, and move those that they have away
    #[command(
        after_help = "Examples:\n  longshore hosts drain bj-03 --wait=600\n  longshore hosts drain --site bj"
    )]
    Drain(HostDrain),
    /// Let cordoned and drained hosts take containers again
    #[command(visible_alias = "uncordon", after_help = "Example: longshore hosts undrain bj-03")]
    Undrain(HostsOf),
    /// Forget a host
    #[command(after_help = "Example: longshore hosts remove bj-03")]
    Remove {
        /// Its name
        #[arg(value_name = "NAME")]
        name: String,
        /// Although containers of ours are (or may be) on it
        #[arg(long)]
        force: bool,
    },
    /// Lost hosts will not come back: replace what they held now
    #[command(after_help = "Examples:\n  longshore hosts give-up bj-03\n  longshore hosts give-up --site bj")]
    GiveUp(HostsOf),
    /// Another engine answers at a known address, and that is right
    #[command(after_help = "Example: longshore hosts accept bj-03")]
    Accept {
        /// The host
        #[arg(value_name = "HOST")]
        name: String,
    },
}

/// Hosts by name, or all of a site.
#[derive(Args, Clone, Debug)]
pub struct HostsOf {
    /// The hosts
    #[arg(value_name = "HOST", required_unless_present = "site", conflicts_with = "site")]
    pub names: Vec<String>,
    /// All hosts of this site
    #[arg(long, value_name = "SITE")]
    pub site: Option<String>,
}

/// What can be recorded about a host. An empty value (`''`) takes it away.
#[derive(Args, Clone, Debug, Default)]
pub struct RecordArgs {
    /// The site that it stands in
    #[arg(long, value_name = "SITE")]
    pub site: Option<String>,
    /// The cluster that it belongs to: it takes that cluster's pools only
    #[arg(long, value_name = "CLUSTER")]
    pub cluster: Option<String>,
    /// Its class; without one it is measured (32c-64g)
    #[arg(long, value_name = "CLASS")]
    pub class: Option<String>,
    /// In service since
    #[arg(long, value_name = "YYYY-MM-DD")]
    pub in_service: Option<String>,
    /// Disk for containers, like 2T
    #[arg(long, value_name = "SIZE")]
    pub disk: Option<String>,
    /// Bandwidth in bits per second, like 10G
    #[arg(long, value_name = "BITS")]
    pub bandwidth: Option<String>,
    /// Processes that it can hold
    #[arg(long, value_name = "N")]
    pub pids: Option<String>,
    /// CPU that may be reserved, per cent of its cores: more than 100 overcommits
    #[arg(long, value_name = "N")]
    pub cpu_percent: Option<String>,
}

/// Arguments of `hosts add`.
#[derive(Args, Debug)]
pub struct HostAdd {
    /// Our name for it
    #[arg(value_name = "NAME")]
    pub name: String,
    /// Its address.
    #[arg(value_name = "ADDRESS", help = "unix:///path, tcp://host:port or ssh://[user@]host[:port]")]
    pub address: String,
    /// Directory with ca.pem, cert.pem and key.pem
    #[arg(long, value_name = "DIR")]
    pub tls_dir: Option<PathBuf>,
    /// A label; may be given several times
    #[arg(long = "label", value_name = "KEY=VALUE")]
    pub labels: Vec<String>,
    /// What is recorded about it.
    #[command(flatten)]
    pub record: RecordArgs,
}

/// Arguments of `hosts import`.
#[derive(Args, Debug)]
pub struct HostImport {
    /// The inventory; without one, the contexts of the Docker CLI
    #[arg(value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// How the file is written: csv, ini or yaml [default: by its name, else by its content]
    #[arg(long, value_name = "FORMAT", requires = "file")]
    pub format: Option<String>,
    /// Say what would be added and changed, and change nothing
    #[arg(long)]
    pub dry_run: bool,
}

/// Arguments of `hosts label`.
#[derive(Args, Debug)]
pub struct HostLabel {
    /// Hosts by name; KEY=VALUE sets a label, KEY- takes one away
    #[arg(value_name = "HOST|KEY=VALUE|KEY-")]
    pub words: Vec<String>,
    /// All hosts of this site
    #[arg(long, value_name = "SITE")]
    pub of_site: Option<String>,
    /// What else is recorded.
    #[command(flatten)]
    pub record: RecordArgs,
}

/// Arguments of `hosts drain`.
#[derive(Args, Debug)]
pub struct HostDrain {
    /// Which.
    #[command(flatten)]
    pub of: HostsOf,
    /// Move also what its pool's rule ties to its host
    #[arg(long)]
    pub force: bool,
    /// When to return.
    #[command(flatten)]
    pub wait: WaitArgs,
}

/// What to do with sites.
#[derive(Debug, Subcommand)]
pub enum SiteVerb {
    /// Record a site, or change what is recorded about it; an empty value ('') takes it away
    #[command(
        after_help = "Examples:\n  longshore sites set bj --registry registry.bj.example:5000 --max-pulls 20\n  \
        longshore sites set bj --allow-image 'registry.bj.example:5000/*'\n  longshore sites set bj --registry ''"
    )]
    Set(SiteSet),
    /// Forget a site that has no hosts
    #[command(after_help = "Example: longshore sites remove bj")]
    Remove {
        /// The site
        #[arg(value_name = "SITE")]
        name: String,
    },
}

/// Arguments of `sites set`.
#[derive(Args, Debug)]
pub struct SiteSet {
    /// The site
    #[arg(value_name = "SITE")]
    pub name: String,
    /// The registry that its hosts pull from first
    #[arg(long, value_name = "HOST:PORT")]
    pub registry: Option<String>,
    /// Most containers on all its hosts together
    #[arg(long, value_name = "N")]
    pub max_containers: Option<String>,
    /// Most images that all its hosts pull at a time
    #[arg(long, value_name = "N")]
    pub max_pulls: Option<String>,
    /// Only images that match this pattern (with *) run there; may be given several times, replaces those before
    #[arg(long = "allow-image", value_name = "PATTERN", num_args = 1..)]
    pub allow_images: Option<Vec<String>>,
}
