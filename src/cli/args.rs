//! The arguments: every command, its options and an example of its use.

pub mod access;
pub mod harbor;
pub mod hosts;
pub mod image;
pub mod place;
pub mod prewarm;
pub mod registry;
pub mod replicate;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::cli::Color;
use crate::cli::args::access::{ProjectVerb, RobotVerb, UserVerb};
use crate::cli::args::harbor::HarborVerb;
use crate::cli::args::hosts::{HostVerb, SiteVerb};
use crate::cli::args::image::{ImageVerb, ImagesVerb, PolicyVerb};
use crate::cli::args::place::{RebalanceArgs, SetArgs, WhyArgs};
use crate::cli::args::prewarm::{EstimateArgs, PrewarmArgs};
use crate::cli::args::registry::RegistryVerb;
use crate::cli::args::replicate::ReplicateVerb;

/// Pools of containers on many hosts: a console, and the same verbs for scripts.
#[derive(Debug, Parser)]
#[command(name = "longshore", version, max_term_width = 100)]
#[command(
    after_help = "Without a command, the full-screen console opens. `longshore demo` is the place to practise.\n\
    Exit status: 0 done, 1 refused or failed, 2 the arguments make no sense."
)]
pub struct Cli {
    /// What every command understands.
    #[command(flatten)]
    pub global: Global,
    /// Theme of the console: a name, or a file
    #[arg(long, value_name = "NAME|FILE")]
    pub theme: Option<String>,
    /// Name that the console shows in its header, for example PROD
    #[arg(long, value_name = "NAME")]
    pub environment: Option<String>,
    /// The command; none opens the console.
    #[command(subcommand)]
    pub verb: Option<Verb>,
}

/// What every command understands.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Everywhere")]
pub struct Global {
    /// State directory of the install
    #[arg(long, global = true, value_name = "DIR")]
    pub state: Option<PathBuf>,
    /// Change nothing: the engine refuses every change
    #[arg(long, global = true)]
    pub read_only: bool,
    /// Print JSON for programs instead of text for people
    #[arg(long, global = true)]
    pub json: bool,
    /// Use just this engine (unix:///…, tcp://…, ssh://…); may be given several times
    #[arg(long = "host", global = true, value_name = "ADDRESS")]
    pub hosts: Vec<String>,
    /// Colours: auto (on a terminal, unless NO_COLOR is set), always, never
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto", hide_possible_values = true)]
    pub color: Color,
}

/// A command.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Open the console on a simulated fleet, to practise
    #[command(after_help = "Example: longshore demo --seed 7")]
    Demo {
        /// The same seed gives the same fleet and the same accidents
        #[arg(long, value_name = "N")]
        seed: Option<u64>,
        /// What there is, and what happens when
        #[arg(long, value_name = "FILE")]
        scenario: Option<PathBuf>,
    },
    /// Run the engine without a screen, until a signal ends it
    #[command(after_help = "Example: longshore --state /var/lib/longshore engine")]
    Engine,
    /// Bring the pools of a pool file (Compose) up, or change them to it
    #[command(after_help = "Examples:\n  longshore up feed.yml\n  longshore up feed.yml --plan\n  \
        longshore up feed.yml --wait=120")]
    Up(UpArgs),
    /// Take a pool or a whole cluster away
    #[command(after_help = "Examples:\n  longshore down feed/web\n  longshore down feed --yes-name feed")]
    Down(DownArgs),
    /// Change the number of containers of a pool, and nothing else of it
    #[command(after_help = "Examples:\n  longshore scale feed/web 45         exactly 45\n  \
        longshore scale feed/web +5         five more\n  \
        longshore scale feed/web -3         three fewer\n  \
        longshore scale feed/web x1.5       one and a half times as many\n  \
        longshore scale feed/web +5 --plan  say what would happen, change nothing")]
    Scale(ScaleArgs),
    /// Replace the containers of a pool or cluster by fresh ones, a batch at a time
    #[command(after_help = "Examples:\n  longshore restart feed/web\n  longshore restart feed --wait\n\n\
        Batches and pauses are those of the pool file: deploy.update_config, parallelism and delay.")]
    Restart {
        /// The pool or cluster
        #[arg(value_name = "TARGET")]
        target: String,
        /// When to return.
        #[command(flatten)]
        wait: WaitArgs,
    },
    /// Take back the last scale of a pool
    #[command(after_help = "Example: longshore undo feed/web")]
    Undo {
        /// The pool
        #[arg(value_name = "CLUSTER/POOL")]
        pool: String,
        /// When to return.
        #[command(flatten)]
        wait: WaitArgs,
    },
    /// Take back an operation that is still queued; end a restart or a prewarm, what has come about stays
    #[command(after_help = "Example: longshore cancel op-12")]
    Cancel {
        /// The operation, as `longshore ops` shows it
        #[arg(value_name = "OP")]
        op: String,
    },
    /// List pools: wanted, running, healthy, and what they wait for
    #[command(
        visible_alias = "ls",
        after_help = "Examples:\n  longshore pools\n  longshore pools feed --json"
    )]
    Pools {
        /// Only this pool or cluster
        #[arg(value_name = "TARGET")]
        target: Option<String>,
    },
    /// List containers of this install's pools
    #[command(after_help = "Examples:\n  longshore ps feed/web\n  longshore ps --all")]
    Ps {
        /// Only this pool or cluster
        #[arg(value_name = "TARGET")]
        target: Option<String>,
        /// Also containers that longshore does not manage
        #[arg(short, long)]
        all: bool,
    },
    /// List hosts, problems first; or add, import, label, cordon, drain and remove them
    #[command(after_help = "Examples:\n  longshore hosts\n  longshore hosts --site bj\n  \
        longshore hosts add bj-03 tcp://10.0.0.3:2376 --tls-dir certs\n  \
        longshore hosts import fleet.csv\n  longshore hosts drain bj-03")]
    Hosts {
        /// Only hosts of this site
        #[arg(long, value_name = "SITE")]
        site: Option<String>,
        /// What to do; none lists them.
        #[command(subcommand)]
        verb: Option<HostVerb>,
    },
    /// List sites, or record what their hosts share: registry and limits
    #[command(after_help = "Examples:\n  longshore sites\n  longshore sites set bj --max-pulls 20")]
    Sites {
        /// What to do; none lists them.
        #[command(subcommand)]
        verb: Option<SiteVerb>,
    },
    /// Say which images are to be in which registries, carry that out, see how far each is behind
    #[command(
        after_help = "Examples:\n  longshore replicate rule add hq-to-tc --from hq --to tc --repositories 'feed/**'\n  \
        longshore replicate run hq-to-tc\n  longshore replicate diff hq-to-tc"
    )]
    Replicate {
        /// What to do.
        #[command(subcommand)]
        verb: ReplicateVerb,
    },
    /// List image registries, or record how they are reached and who pulls from them
    #[command(
        visible_alias = "registries",
        after_help = "Examples:\n  longshore registry\n  \
        longshore registry add hq registry.bj.example:5000 --site bj"
    )]
    Registry {
        /// What to do; none lists them.
        #[command(subcommand)]
        verb: Option<RegistryVerb>,
    },
    /// Bring an image onto hosts before it is needed there, and prove it on each by its digest
    #[command(
        after_help = "Examples:\n  longshore prewarm feed/web                the pool's image, on its hosts that lack it\n  \
        longshore prewarm hq.example:5000/feed/web:v2.32 --pool feed/web --wait\n  \
        longshore prewarm feed/web --site tc --limit 2 --rate 20MB\n  \
        longshore prewarm feed/web --plan         who has it, what it takes; change nothing\n\n\
        `longshore ops OP` lists its hosts, `longshore cancel OP` ends it. The same again pulls only where it is missing."
    )]
    Prewarm(PrewarmArgs),
    /// Work out how long it takes to bring an image to hosts, and what lines and registries carry: star, tree, peers
    #[command(
        after_help = "Examples:\n  longshore estimate --size 1.2GB --hosts tc=40 --line 100Mbit --uplink 1Gbit --card 1Gbit\n  \
        longshore estimate hq.example:5000/feed/web:v2.32 --pool feed/web --line tc=100Mbit\n\n\
        Sizes are asked from registries, cards from what is recorded of hosts, lines from their limits.\n\
        What is not known is asked for by name."
    )]
    Estimate(EstimateArgs),
    /// List users of the registries, or make, change and remove them
    #[command(visible_alias = "users", after_help = "Examples:\n  longshore user\n  longshore user add ada")]
    User {
        /// What to do; none lists them.
        #[command(subcommand)]
        verb: Option<UserVerb>,
    },
    /// List projects, or make them and say who may do what in them
    #[command(
        visible_alias = "projects",
        after_help = "Examples:\n  longshore project\n  longshore project add feed\n  \
        longshore project grant feed ada developer"
    )]
    Project {
        /// What to do; none lists them.
        #[command(subcommand)]
        verb: Option<ProjectVerb>,
    },
    /// List robots, or make, renew and remove them: programs that log in to a project for a time
    #[command(
        visible_alias = "robots",
        after_help = "Examples:\n  longshore robot\n  longshore robot add feed/ci --role developer --expires 90d"
    )]
    Robot {
        /// What to do; none lists them.
        #[command(subcommand)]
        verb: Option<RobotVerb>,
    },
    /// List the images that pools use and where they are; or what a registry holds
    #[command(after_help = "Examples:\n  longshore images\n  longshore images ls hq\n  \
        longshore images ls hq feed/web --filter v1.2")]
    Images {
        /// What to do; none lists the images that pools use.
        #[command(subcommand)]
        verb: Option<ImagesVerb>,
    },
    /// Carry images in files to places without a line, or hold one against the rules for images
    #[command(after_help = "Examples:\n  longshore image export hq/feed/web:v1 -o web.tar\n  \
        longshore image import web.tar --to branch\n  longshore image check hq/feed/web:v1")]
    Image {
        /// What to do.
        #[command(subcommand)]
        verb: ImageVerb,
    },
    /// Set, show or take away the rules that images must meet to run here
    #[command(after_help = "Examples:\n  longshore policy set rules.toml\n  longshore policy show")]
    Policy {
        /// What to do.
        #[command(subcommand)]
        verb: PolicyVerb,
    },
    /// Ask a Harbor what only Harbor has: projects, members, robots, and replication of its own
    #[command(
        after_help = "Examples:\n  longshore harbor policies hq\n  longshore harbor executions hq to-branch\n  \
        longshore harbor tasks hq 103\n  longshore harbor log hq 103 502\n  longshore harbor start hq to-branch --wait"
    )]
    Harbor {
        /// What to ask or do.
        #[command(subcommand)]
        verb: HarborVerb,
    },
    /// Say why a container is where it is, or nowhere: for every host its scores, or all that refuses it
    #[command(
        after_help = "Examples:\n  longshore why feed/web.3\n  longshore why feed/web   where one more would go\n  \
        longshore why feed/web --strategy binpack --all"
    )]
    Why(WhyArgs),
    /// Propose moves that even the load out, with their effect; with --yes make them
    #[command(after_help = "Examples:\n  longshore rebalance\n  longshore rebalance feed/web --limit 5\n  \
        longshore rebalance --yes --wait")]
    Rebalance(RebalanceArgs),
    /// List risks, each with its evidence and the command that mends it
    #[command(after_help = "Examples:\n  longshore advice\n  longshore advice feed/web --json")]
    Advice {
        /// Only about this pool, cluster, host or site
        #[arg(value_name = "TARGET")]
        target: Option<String>,
    },
    /// Change single things of a pool's specification
    #[command(after_help = "Examples:\n  longshore set feed/web memory=512M cpus=1.5 --plan\n  \
        longshore set feed/web healthcheck='CMD-SHELL wget -qO- http://127.0.0.1/ok'\n  \
        longshore set feed/web max=            take the limit away\n\n\
        Keys: image, memory, cpus, pids (limits); memory-reserved, cpu-reserved, disk-reserved, bandwidth-reserved;\n\
        healthcheck; want, min, max, step, protect; strategy, max-per-host, on-host-loss.\n\
        The pool file is not changed: write it there too, or the next `up` takes it back.")]
    Set(SetArgs),
    /// Print logs of a pool (merged by time), of one of its containers, or of any container
    #[command(
        after_help = "Examples:\n  longshore logs -f feed/web\n  longshore logs --since 10m feed/web.3\n  \
        longshore logs --previous feed/web.3\n  longshore logs bj-03:nginx"
    )]
    Logs(LogsArgs),
    /// Print the engine's own JSON of a container, byte for byte
    #[command(after_help = "Examples:\n  longshore inspect feed/web.3\n  longshore inspect bj-03:nginx")]
    Inspect {
        /// CLUSTER/POOL.SLOT, or HOST:CONTAINER (id or name)
        #[arg(value_name = "TARGET")]
        target: String,
    },
    /// Run a program in a container; its exit status becomes ours
    #[command(
        after_help = "Examples:\n  longshore exec feed/web.3 -- ps aux\n  longshore exec -it feed/web.3 -- sh"
    )]
    Exec(ExecArgs),
    /// Print the journal: who did what, what was tried, what became of it (oldest first)
    #[command(
        after_help = "Examples:\n  longshore journal --pool feed/web\n  longshore journal --op 12 --json"
    )]
    Journal {
        /// Only lines about this pool
        #[arg(long, value_name = "CLUSTER/POOL")]
        pool: Option<String>,
        /// Only lines of this operation
        #[arg(long, value_name = "OP")]
        op: Option<String>,
        /// The newest so many lines
        #[arg(long, value_name = "N", default_value_t = 50)]
        limit: u32,
    },
    /// List operations, newest first; or one of them, a prewarm with all of its hosts
    #[command(after_help = "Examples:\n  longshore ops --limit 5\n  longshore ops op-12")]
    Ops {
        /// Only this one, in full
        #[arg(value_name = "OP")]
        op: Option<String>,
        /// At most so many
        #[arg(long, value_name = "N", default_value_t = 20)]
        limit: u32,
    },
    /// Print pools as a pool file, with the numbers wanted now
    #[command(after_help = "Example: longshore show feed > feed.yml")]
    Show {
        /// A pool (CLUSTER/POOL) or a cluster
        #[arg(value_name = "TARGET")]
        target: String,
    },
    /// Say whether a pool file is good, without touching anything
    #[command(after_help = "Example: longshore check feed.yml")]
    Check {
        /// The pool file
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// File of variables for ${…} in the pool file
        #[arg(long, value_name = "FILE")]
        env_file: Option<PathBuf>,
    },
    /// Look at everything that longshore needs, and say what to do about what is wrong
    #[command(after_help = "Example: longshore doctor --json")]
    Doctor,
    /// Print a completion script for a shell
    #[command(
        after_help = "Example: longshore completions bash > ~/.local/share/bash-completion/completions/longshore"
    )]
    Completions {
        /// The shell
        #[arg(value_name = "SHELL")]
        shell: clap_complete::Shell,
    },
}

/// When a changing command returns.
#[derive(Args, Clone, Debug, Default)]
pub struct WaitArgs {
    /// Return when the operation is over; give up after SECS (also 90s, 5m, 1h)
    #[arg(long, value_name = "SECS", num_args = 0..=1, require_equals = true, default_missing_value = "")]
    pub wait: Option<String>,
}

/// Arguments of `up`.
#[derive(Args, Debug)]
pub struct UpArgs {
    /// Pool files, one cluster each
    #[arg(value_name = "FILE", required = true)]
    pub files: Vec<PathBuf>,
    /// File of variables for ${…} in the pool files
    #[arg(long, value_name = "FILE")]
    pub env_file: Option<PathBuf>,
    /// Take the file's numbers also for pools that were scaled since
    #[arg(long)]
    pub reset_scale: bool,
    /// Say what would be made or changed, and change nothing
    #[arg(long)]
    pub plan: bool,
    /// When to return.
    #[command(flatten)]
    pub wait: WaitArgs,
}

/// Arguments of `down`.
#[derive(Args, Debug)]
pub struct DownArgs {
    /// CLUSTER/POOL or CLUSTER
    #[arg(value_name = "TARGET")]
    pub target: String,
    /// The name once more, for protected pools
    #[arg(long, value_name = "NAME")]
    pub yes_name: Option<String>,
    /// When to return.
    #[command(flatten)]
    pub wait: WaitArgs,
}

/// Arguments of `scale`.
#[derive(Args, Debug)]
pub struct ScaleArgs {
    /// The pool
    #[arg(value_name = "CLUSTER/POOL")]
    pub pool: String,
    /// N exactly, +N more, -N fewer, xF times as many
    #[arg(value_name = "N|+N|-N|xF", allow_negative_numbers = true)]
    pub change: String,
    /// Say what would happen, and change nothing; exit status 1 if it would be refused
    #[arg(long)]
    pub plan: bool,
    /// The pool's name once more, for zero and for protected pools
    #[arg(long, value_name = "NAME")]
    pub confirm: Option<String>,
    /// While another operation runs on the pool: refuse, replace it, or queue behind it
    #[arg(long, value_name = "WHAT", default_value = "refuse", hide_possible_values = true)]
    pub busy: BusyWord,
    /// Place what is added by this strategy instead of the pool's own: spread, binpack or random
    #[arg(long, value_name = "STRATEGY")]
    pub strategy: Option<String>,
    /// When to return.
    #[command(flatten)]
    pub wait: WaitArgs,
}

/// What to do while another operation runs on the pool.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub enum BusyWord {
    /// Refuse, and say who started it
    Refuse,
    /// Take its place: the newest number counts
    Replace,
    /// Wait until it has ended
    Queue,
}

/// Arguments of `logs`.
#[derive(Args, Debug)]
pub struct LogsArgs {
    /// CLUSTER/POOL, CLUSTER/POOL.SLOT, or HOST:CONTAINER (id or name)
    #[arg(value_name = "TARGET")]
    pub target: String,
    /// Go on with new lines until Ctrl-C
    #[arg(short, long)]
    pub follow: bool,
    /// Only lines from this time on: 30s, 10m, 2h, 1d, or RFC 3339
    #[arg(long, value_name = "WHEN")]
    pub since: Option<String>,
    /// At most so many of the last lines of each container, or `all` [default: 100, all with --since]
    #[arg(long, value_name = "N")]
    pub tail: Option<String>,
    /// The container before the present one of that slot
    #[arg(long)]
    pub previous: bool,
    /// Begin each line with its time
    #[arg(short, long)]
    pub timestamps: bool,
}

/// Arguments of `exec`.
#[derive(Args, Debug)]
pub struct ExecArgs {
    /// Give the program a terminal
    #[arg(short, long)]
    pub tty: bool,
    /// Hand standard input to the program
    #[arg(short, long)]
    pub interactive: bool,
    /// CLUSTER/POOL.SLOT, or HOST:CONTAINER (id or name)
    #[arg(value_name = "TARGET")]
    pub target: String,
    /// The program and its arguments
    #[arg(value_name = "CMD", last = true, required = true)]
    pub command: Vec<String>,
}
