//! Replication between registries: rules, what differs, runs and their parts, lines with their budgets.
//!
//! The state of a whole is always worked out from its parts: a run's from its tags', a tag's from its transfers'.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::base::clock::Millis;
use crate::base::fault::{Fault, Kind, Outcome};
use crate::base::ids::{RegistryName, RuleName};
use crate::base::text::Untrusted;
use crate::model::oci::{Digest, Platform, Repository, Tag};

pub mod known;
pub mod review;

/// What people want to have where, durable.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rule {
    /// Its name.
    pub name: RuleName,
    /// Where images come from.
    pub source: RegistryName,
    /// Where they are to be, too. Rules whose source is another rule's target make a tree.
    pub targets: Vec<RegistryName>,
    /// The targets are masters as well: what changes there comes back to the source (one target only).
    #[serde(default)]
    pub two_way: bool,
    /// Which repositories and tags: all that no filter leaves out. The filters of one kind are tried in order, the last that
    /// matches decides; when the first includes, what none matches is out.
    #[serde(default)]
    pub filters: Vec<Filter>,
    /// Only these platforms' children of an index; the index itself is carried as it is. Empty carries all.
    #[serde(default)]
    pub platforms: Vec<Platform>,
    /// When it runs by itself.
    #[serde(default)]
    pub trigger: Trigger,
    /// What becomes of tags at the targets that are gone from the source.
    #[serde(default)]
    pub deletes: Deletes,
    /// Of tags that are the same on both sides, what refers to them is compared, too: signatures that came later. That costs two
    /// requests more a tag.
    #[serde(default)]
    pub compare_referrers: bool,
    /// A tag must have been gone for so many milliseconds before its deletion is proposed; none is an hour.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grace_ms: Option<u64>,
    /// Put before the path at the targets (`hq` makes `feed/web` into `hq/feed/web`).
    #[serde(default)]
    pub prefix: Option<Repository>,
    /// Runs with a higher number go first.
    #[serde(default)]
    pub priority: i32,
    /// It runs by itself.
    #[serde(default = "yes")]
    pub enabled: bool,
}

impl Rule {
    /// A rule of which only the source is known: it has no target, and carries everything when it is asked to.
    pub fn new(name: RuleName, source: RegistryName) -> Rule {
        Rule {
            name,
            source,
            targets: Vec::new(),
            two_way: false,
            filters: Vec::new(),
            platforms: Vec::new(),
            trigger: Trigger::default(),
            deletes: Deletes::default(),
            compare_referrers: false,
            grace_ms: None,
            prefix: None,
            priority: 0,
            enabled: true,
        }
    }
}

fn yes() -> bool {
    true
}

/// One filter of a rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Filter {
    /// What it looks at.
    pub on: On,
    /// What it looks for.
    pub pattern: Pattern,
    /// What matches is left out.
    #[serde(default)]
    pub exclude: bool,
}

/// What a filter looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum On {
    /// The repository's path.
    Repository,
    /// The tag.
    Tag,
}

/// What a filter looks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Pattern {
    /// `*` within a part of the path, `**` over several, `?`, `[a-z]`, `{a,b}`.
    Glob(String),
    /// A regular expression for the whole name.
    Regex(String),
    /// A requirement of semantic versions, such as `>=1.2, <2`; a `v` before the version does not count.
    Semver(String),
}

/// When a rule runs by itself. By hand it always may.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Trigger {
    /// After this many milliseconds again.
    pub every_ms: Option<u64>,
    /// At these times: five fields of cron, in local time.
    pub cron: Option<String>,
    /// When the source's registry tells of a change. A hint only: a timer, and the return of a registry, compare anew.
    pub event: bool,
}

/// What becomes of tags at the targets that are gone from the source.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Deletes {
    /// They stay.
    #[default]
    Keep,
    /// They are proposed, and go when somebody has said yes.
    Review,
}

/// One way that content takes: from a registry to another.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Line {
    /// Where it begins.
    pub from: RegistryName,
    /// Where it ends.
    pub to: RegistryName,
}

impl Line {
    /// The same line the other way.
    pub fn back(&self) -> Line {
        Line { from: self.to.clone(), to: self.from.clone() }
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} → {}", self.from, self.to)
    }
}

impl FromStr for Line {
    type Err = Fault;
    /// Reads `hq:tc`, and the line as it is shown: `hq → tc`.
    fn from_str(text: &str) -> Outcome<Line> {
        let ends = text.split_once('→').or_else(|| text.split_once("->")).or_else(|| text.split_once(':'));
        let (from, to) = ends.ok_or_else(|| {
            let hint = "write FROM:TO with the names of two registries, such as hq:tc";
            Fault::new(Kind::Invalid, format!("{text:?} is not a line")).hint(hint)
        })?;
        Ok(Line { from: from.trim().parse()?, to: to.trim().parse()? })
    }
}

/// How much a line may carry, durable. Everything that goes over it shares this.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LineLimits {
    /// Which line.
    pub line: Line,
    /// Blobs at a time.
    pub parallel: u32,
    /// What counts at which hours of the day, local time; outside of all of them nothing is limited.
    #[serde(default)]
    pub budgets: Vec<Budget>,
}

/// What a line may carry at certain hours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Budget {
    /// From this hour of the day on, 0 to 23.
    pub from: u8,
    /// Until this hour, 1 to 24; one that is not above `from` reaches over midnight.
    pub until: u8,
    /// Bytes a second.
    #[serde(default)]
    pub bytes_per_s: Option<u64>,
    /// Requests an hour.
    #[serde(default)]
    pub requests_per_hour: Option<u64>,
}

/// Number of a run, in order of their beginning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RunId(pub u64);

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("run-{}", self.0))
    }
}

impl FromStr for RunId {
    type Err = Fault;
    fn from_str(text: &str) -> Outcome<RunId> {
        let digits = text.strip_prefix("run-").unwrap_or(text);
        digits.parse().map(RunId).map_err(|_| {
            Fault::new(Kind::Invalid, format!("{text:?} is not a run")).hint("write it as run-12 or 12")
        })
    }
}

/// Why a run began.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cause {
    /// Somebody asked.
    Person(String),
    /// Its time had come.
    Schedule,
    /// The source's registry told of a change.
    Event,
    /// A registry answers again.
    Return,
    /// An engine core that ended left it unfinished.
    Resume,
}

/// How a tag at a target differs from the source.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Difference {
    /// Both point to the same.
    Same,
    /// The target does not have it.
    Missing,
    /// The target's points elsewhere, and that is what the source's pointed to before, or the rule has one direction.
    Behind,
    /// Only the target has it.
    Extra,
    /// With two masters: it was moved on both sides since they were equal. Nothing is done until somebody chooses.
    Conflict,
    /// One side could not be asked: nothing is known, and nothing is done.
    Unknown(Untrusted),
}

/// One tag of a comparison.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DiffRow {
    /// Which way.
    pub line: Line,
    /// The repository, as the source calls it.
    pub repository: Repository,
    /// The tag.
    pub tag: Tag,
    /// How it differs.
    pub difference: Difference,
    /// What the source's tag points to.
    pub source: Option<Digest>,
    /// What the target's tag points to.
    pub target: Option<Digest>,
    /// Bytes that have to be moved for it, after all that the target has already; none while that is not worked out.
    pub bytes: Option<u64>,
}

/// How far one tag of a run is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TagState {
    /// Its turn has not come.
    Waiting,
    /// Its content is being moved.
    Moving,
    /// The target's tag points to what the source's did; every digest was checked.
    Done,
    /// There was nothing to do; for this reason.
    Skipped(String),
    /// It could not be done; in these words.
    Failed(Untrusted),
    /// Both sides moved it: somebody has to choose.
    Conflict,
    /// Somebody stopped it.
    Stopped,
}

/// One tag of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TagRun {
    /// Which way.
    pub line: Line,
    /// The repository, as the source calls it.
    pub repository: Repository,
    /// The tag.
    pub tag: Tag,
    /// What it is to point to at the target.
    pub digest: Option<Digest>,
    /// How far it is.
    pub state: TagState,
    /// Bytes that it needs and the target did not have.
    pub bytes: u64,
    /// Of these, those that have arrived.
    pub moved: u64,
    /// How often it was tried again.
    pub retries: u32,
    /// Platforms of its index that the rule leaves out: the target has the index, and not these.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gaps: Vec<Platform>,
}

/// One blob on its way.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Transfer {
    /// Which way.
    pub line: Line,
    /// Into which repository of the target.
    pub repository: Repository,
    /// The blob.
    pub digest: Digest,
    /// Its length in bytes.
    pub size: u64,
    /// Bytes that have arrived.
    pub moved: u64,
    /// Since when it is on its way.
    pub since: Millis,
    /// When its last byte arrived.
    pub last: Millis,
}

/// How a run stands: worked out from its tags.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RunState {
    /// Both sides are being listed and compared.
    Comparing,
    /// Content is being moved.
    Moving,
    /// Somebody paused it.
    Paused,
    /// Everything is as it should be.
    Done,
    /// It is over, and something failed, is in conflict or could not be asked.
    Incomplete,
    /// Somebody stopped it.
    Stopped,
    /// It could not compare at all.
    Failed,
}

impl RunState {
    /// True when nothing more happens.
    pub fn is_over(self) -> bool {
        !matches!(self, RunState::Comparing | RunState::Moving | RunState::Paused)
    }
}

/// A run of a rule, in numbers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunView {
    /// Its number.
    pub id: RunId,
    /// Of which rule.
    pub rule: RuleName,
    /// Why it began.
    pub cause: Cause,
    /// When.
    pub began: Millis,
    /// When it was over.
    pub ended: Option<Millis>,
    /// How it stands.
    pub state: RunState,
    /// Tags that were compared.
    pub compared: u32,
    /// Of those, by how they stand.
    pub tags: TagCounts,
    /// Bytes that had to be moved.
    pub bytes: u64,
    /// Of these, those that have arrived.
    pub moved: u64,
    /// Bytes a second, over the last seconds; none while nothing moves.
    pub rate: Option<u64>,
    /// When it will be over, in milliseconds from now, at that rate.
    pub eta_ms: Option<u64>,
    /// Nothing has moved since then, although something should.
    pub stalled: Option<Millis>,
    /// The first failure, or why it could not compare.
    pub reason: Option<Untrusted>,
    /// Requests of other causes that joined this run meanwhile.
    pub joined: u32,
}

/// Tags of a run by how they stand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TagCounts {
    /// Nothing was to be done.
    pub same: u32,
    /// Their turn has not come.
    pub waiting: u32,
    /// On their way.
    pub moving: u32,
    /// Arrived.
    pub done: u32,
    /// Failed.
    pub failed: u32,
    /// In conflict.
    pub conflicts: u32,
    /// Only the target has them.
    pub extra: u32,
    /// Could not be compared.
    pub unknown: u32,
}

/// How far one line is behind: a cell of the matrix of sites.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LineView {
    /// Which.
    pub line: Line,
    /// When both ends were last compared in full.
    pub compared: Option<Millis>,
    /// Tags that the target lacks or has otherwise.
    pub tags_behind: u32,
    /// Bytes that have to be moved for them; at least so many.
    pub bytes_behind: u64,
    /// The oldest of those differences was first seen then.
    pub behind_since: Option<Millis>,
    /// Conflicts that wait for somebody.
    pub conflicts: u32,
    /// Deletions that wait for somebody.
    pub reviews: u32,
    /// Blobs on their way now.
    pub transfers: Vec<Transfer>,
    /// Bytes a second, over the last seconds.
    pub rate: Option<u64>,
    /// What it may carry just now.
    pub budget: Option<Budget>,
    /// One end does not answer, or a run has failed; in words.
    pub trouble: Option<Untrusted>,
    /// What people decided about what it may carry; none is eight blobs at a time and no other limit.
    #[serde(default)]
    pub limits: Option<LineLimits>,
}

/// A rule as it stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RuleView {
    /// What people have decided.
    pub rule: Rule,
    /// The run that goes on, or the last one.
    pub run: Option<RunView>,
    /// When it runs by itself next.
    pub next: Option<Millis>,
    /// Its time passed and it did not run: since then.
    pub missed: Option<Millis>,
}

/// Replication as it stands: all rules and all lines.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ReplicationView {
    /// Rules, by name.
    pub rules: Vec<RuleView>,
    /// Lines that some rule uses, or that something is on its way over.
    pub lines: Vec<LineView>,
}

impl ReplicationView {
    /// The rule with this name.
    pub fn rule(&self, name: &RuleName) -> Option<&RuleView> {
        self.rules.iter().find(|r| r.rule.name == *name)
    }

    /// The run with this number, of those that go on or were the last of their rule.
    pub fn run(&self, id: RunId) -> Option<&RunView> {
        self.rules.iter().filter_map(|r| r.run.as_ref()).find(|r| r.id == id)
    }

    /// How far a line is.
    pub fn line(&self, line: &Line) -> Option<&LineView> {
        self.lines.iter().find(|l| l.line == *line)
    }
}
