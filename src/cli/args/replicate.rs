//! The arguments of `replicate`.

use clap::{Args, Subcommand};

use crate::cli::args::WaitArgs;
use crate::cli::args::registry::YesNo;

/// What to do with replication.
#[derive(Debug, Subcommand)]
pub enum ReplicateVerb {
    /// Say which images are to be where, too
    Rule {
        /// What to do
        #[command(subcommand)]
        verb: RuleVerb,
    },
    /// Carry a rule out now; one that is under way is joined
    #[command(
        after_help = "Examples:\n  longshore replicate run hq-to-tc\n  longshore replicate run hq-to-tc --wait"
    )]
    Run {
        /// The rule
        #[arg(value_name = "RULE")]
        rule: String,
        /// When to return
        #[command(flatten)]
        wait: WaitArgs,
    },
    /// How far each line is behind, and what is under way
    #[command(after_help = "Example: longshore replicate status --json")]
    Status,
    /// How far each registry is behind each other one, in tags, bytes and time
    #[command(after_help = "Example: longshore replicate matrix")]
    Matrix,
    /// The runs that are remembered, newest first
    #[command(
        after_help = "Examples:\n  longshore replicate runs\n  longshore replicate runs hq-to-tc --limit 5 --json"
    )]
    Runs {
        /// Only those of this rule
        #[arg(value_name = "RULE")]
        rule: Option<String>,
        /// At most so many
        #[arg(long, value_name = "N", default_value_t = 20)]
        limit: u32,
    },
    /// The tags of a run that were not the same on both sides: bytes, state and reason of each
    #[command(
        after_help = "Examples:\n  longshore replicate tags run-12\n  longshore replicate tags run-12 --failed"
    )]
    Tags(TagsArgs),
    /// Bring an image before all others, in every run that has it still to move
    #[command(after_help = "Example: longshore replicate first feed/web:v12")]
    First {
        /// As a pool names it, or REPOSITORY or REPOSITORY:TAG as the source calls it
        #[arg(value_name = "IMAGE")]
        image: String,
    },
    /// What a line may carry: shown, or changed at once, also for what is under way
    #[command(
        after_help = "Examples:\n  longshore replicate limits hq:tc\n  longshore replicate limits hq:tc --parallel 4 \
        --budget 9-18=10M/s --budget 18-9=80M/s,7200/h\n  longshore replicate limits hq:tc --budget ''\n\n\
        A budget counts in these hours of local time; 22-6 reaches over midnight, all is the whole day. K, M and G are 1024-fold."
    )]
    Limits(LimitsArgs),
    /// What differs, tag by tag, and how many bytes that is: a dry run, and the proof of sync
    #[command(
        after_help = "Examples:\n  longshore replicate diff hq-to-tc\n  longshore replicate diff hq-to-tc --all --json\n\n\
        Exit status 0: in sync. 1: something differs, or could not be compared."
    )]
    Diff {
        /// The rule
        #[arg(value_name = "RULE")]
        rule: String,
        /// Also what is the same
        #[arg(long)]
        all: bool,
    },
    /// Let a run rest; what has arrived stays
    Pause(OneRun),
    /// Let it go on
    Resume(OneRun),
    /// End a run, also inside a blob; what has arrived stays
    Stop(OneRun),
    /// Try again what failed in a run
    Retry {
        /// The run
        #[arg(value_name = "run-N")]
        run: String,
        /// When to return
        #[command(flatten)]
        wait: WaitArgs,
    },
    /// Tags that were changed on both sides of two masters: they wait until somebody chooses
    #[command(
        after_help = "Examples:\n  longshore replicate conflicts\n  longshore replicate conflicts masters --json"
    )]
    Conflicts {
        /// Only those of this rule
        #[arg(value_name = "RULE")]
        rule: Option<String>,
    },
    /// Choose the way out of a conflict, and wait until it is carried out
    #[command(after_help = "Examples:\n  longshore replicate resolve masters feed/web:v1 --source\n  \
        longshore replicate resolve masters feed/web:v1 --both\n\n\
        The answer is for what `conflicts` shows: if a side has changed since, it is refused and asked again.")]
    Resolve(ResolveArgs),
    /// Deletions that wait for a yes; with --yes and the run that proposes them they are done
    #[command(after_help = "Examples:\n  longshore replicate deletes masters\n  \
        longshore replicate deletes masters --keep feed/web:v1 --yes run-5\n\n\
        The list says which run proposes them. \
        Both sides are asked once more before each one goes. Exit status 1: some of them stay.")]
    Deletes(DeletesArgs),
    /// Forget what is remembered of a rule's tags, after one of its registries was rebuilt or restored from a backup
    #[command(after_help = "Example: longshore replicate rejoin masters --yes-name masters\n\n\
        The next run of two masters copies what one side lacks to it, also what was deleted there only,\n\
        and asks about each tag that both have otherwise (`replicate conflicts`).")]
    Rejoin {
        /// The rule
        #[arg(value_name = "RULE")]
        rule: String,
        /// The rule's name once more: without it nothing is done
        #[arg(long, value_name = "NAME")]
        yes_name: Option<String>,
    },
    /// Look for every tag, manifest and blob of a rule at both ends, and keep the report
    #[command(
        after_help = "Examples:\n  longshore replicate verify masters\n  longshore replicate verify masters --read --json\n  \
        longshore replicate verify masters --kept\n\nExit status 0: all is whole. 1: something is not."
    )]
    Verify(VerifyArgs),
}

/// Which tags of which run.
#[derive(Args, Clone, Debug)]
pub struct TagsArgs {
    /// The run
    #[arg(value_name = "run-N")]
    pub run: String,
    /// Only what failed or is in conflict
    #[arg(long)]
    pub failed: bool,
    /// Only images with this text in REPOSITORY:TAG; `!TEXT` for those without it
    #[arg(long, value_name = "TEXT")]
    pub filter: Option<String>,
}

/// What a line may carry. What is not given stays as it was.
#[derive(Args, Clone, Debug)]
pub struct LimitsArgs {
    /// The line
    #[arg(value_name = "FROM:TO")]
    pub line: String,
    /// Blobs at a time
    #[arg(long, value_name = "N")]
    pub parallel: Option<u32>,
    /// Bytes a second, requests an hour, or both, at these hours; give it once for each ('' takes all away)
    #[arg(long = "budget", value_name = "HOURS=LIMIT")]
    pub budgets: Option<Vec<String>>,
}

/// A choice about a conflict.
#[derive(Args, Clone, Debug)]
pub struct ResolveArgs {
    /// The rule
    #[arg(value_name = "RULE")]
    pub rule: String,
    /// The tag, as the source calls it
    #[arg(value_name = "REPOSITORY:TAG")]
    pub image: String,
    /// The choice
    #[command(flatten)]
    pub choice: ChoiceArgs,
}

/// One of the ways out of a conflict.
#[derive(Args, Clone, Debug)]
#[group(required = true, multiple = false)]
pub struct ChoiceArgs {
    /// The source's counts: the target gets it too
    #[arg(long)]
    pub source: bool,
    /// The target's counts: the source gets it too
    #[arg(long)]
    pub target: bool,
    /// The source's counts, and the target's stays on both sides under TAG-TARGET
    #[arg(long)]
    pub both: bool,
}

/// What to do about proposed deletions.
#[derive(Args, Clone, Debug)]
pub struct DeletesArgs {
    /// The rule
    #[arg(value_name = "RULE")]
    pub rule: String,
    /// Delete all that this run proposes, but for --keep; refused if another has compared since
    #[arg(long, value_name = "run-N")]
    pub yes: Option<String>,
    /// Say no to this one: it stays, and between two masters comes back; give it once for each
    #[arg(long, value_name = "REPOSITORY:TAG")]
    pub keep: Vec<String>,
}

/// What to look at.
#[derive(Args, Clone, Debug)]
pub struct VerifyArgs {
    /// The rule
    #[arg(value_name = "RULE")]
    pub rule: String,
    /// Read every blob at both ends and hold it against its digest, too
    #[arg(long, conflicts_with = "kept")]
    pub read: bool,
    /// Nothing anew: the last 20 reports
    #[arg(long)]
    pub kept: bool,
}

/// A run by its number.
#[derive(Args, Clone, Debug)]
pub struct OneRun {
    /// The run
    #[arg(value_name = "run-N")]
    pub run: String,
}

/// What to do with rules.
#[derive(Debug, Subcommand)]
pub enum RuleVerb {
    /// Make a rule, or change one
    #[command(
        visible_alias = "set",
        after_help = "Examples:\n  longshore replicate rule add hq-to-tc --from hq --to tc --repositories 'feed/**' --every 15m\n  \
        longshore replicate rule add masters --from bj --to tc --two-way --on-event\n  \
        longshore replicate rule add releases --from hq --to tc --to gz --tags 'semver:>=2.0, <3' --not-tags '*-rc*'\n\n\
        A pattern is a glob; `regex:` or `semver:` before it make it one of those. docs/replication.md explains all."
    )]
    Add(Box<RuleAdd>),
    /// List rules
    #[command(visible_alias = "list")]
    Ls,
    /// Forget a rule; nothing in the registries is touched
    Rm {
        /// Its name
        #[arg(value_name = "NAME")]
        name: String,
    },
}

/// What a rule says. What is not given stays as it was.
#[derive(Args, Clone, Debug)]
pub struct RuleAdd {
    /// Its name
    #[arg(value_name = "NAME")]
    pub name: String,
    /// Where images come from
    #[arg(long, value_name = "REGISTRY")]
    pub from: Option<String>,
    /// Where they are to be; give it once for each
    #[arg(long, value_name = "REGISTRY")]
    pub to: Option<Vec<String>>,
    /// Both are masters: changes go both ways
    #[arg(long, value_name = "yes|no", num_args = 0..=1, default_missing_value = "yes")]
    pub two_way: Option<YesNo>,
    /// Only repositories like this; give it once for each
    #[arg(long, value_name = "PATTERN")]
    pub repositories: Option<Vec<String>>,
    /// No repositories like this
    #[arg(long, value_name = "PATTERN")]
    pub not_repositories: Option<Vec<String>>,
    /// Only tags like this
    #[arg(long, value_name = "PATTERN")]
    pub tags: Option<Vec<String>>,
    /// No tags like this
    #[arg(long, value_name = "PATTERN")]
    pub not_tags: Option<Vec<String>>,
    /// Only this platform's part of an index; give it once for each ('' carries all)
    #[arg(long = "platform", value_name = "OS/ARCH[/VARIANT]")]
    pub platforms: Option<Vec<String>>,
    /// Run again after this time ('' takes it away)
    #[arg(long, value_name = "TIME")]
    pub every: Option<String>,
    /// Run at these times, five fields of cron, local time ('' takes it away)
    #[arg(long, value_name = "CRON")]
    pub cron: Option<String>,
    /// Run when the source's registry tells of a change
    #[arg(long, value_name = "yes|no", num_args = 0..=1, default_missing_value = "yes")]
    pub on_event: Option<YesNo>,
    /// Propose deletions of what is gone from the source; they wait for a yes
    #[arg(long, value_name = "yes|no", num_args = 0..=1, default_missing_value = "yes")]
    pub deletes: Option<YesNo>,
    /// Compare also what refers to images whose tags are the same, such as signatures that came later (two requests more a tag)
    #[arg(long, value_name = "yes|no", num_args = 0..=1, default_missing_value = "yes")]
    pub compare_referrers: Option<YesNo>,
    /// A tag must be gone for so long before its deletion is proposed (1h)
    #[arg(long, value_name = "TIME")]
    pub grace: Option<String>,
    /// Put before the path at the targets ('' takes it away)
    #[arg(long, value_name = "PATH")]
    pub prefix: Option<String>,
    /// Runs with a higher number go first
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub priority: Option<i32>,
    /// It runs by itself, or only when asked to
    #[arg(long, value_name = "yes|no")]
    pub enabled: Option<YesNo>,
}
