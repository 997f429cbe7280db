//! Replication in rows and sentences: how far each line is behind, what each rule and run does, what is on its way.

use crate::base::clock::Millis;
use crate::base::ids::{RegistryName, RuleName};
use crate::base::text;
use crate::model::host::Seen;
use crate::model::replication::{
    Budget, Deletes, Difference, Line, LineView, On, Pattern, Rule, RuleView, RunState, RunView, TagRun,
    TagState, Transfer,
};
use crate::model::world::World;
use crate::view::units::{self, Grade};

/// A blob of which nothing has arrived for so long is stalled.
pub const STALLED_MS: u64 = 30_000;

/// How a line stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Standing {
    /// One end does not answer.
    Unreachable,
    /// Tags were moved on both sides.
    Conflict,
    /// Something should move and does not.
    Stalled,
    /// A run has failed.
    Failed,
    /// Deletions wait for somebody.
    Review,
    /// Somebody paused its run.
    Paused,
    /// Tags are missing, and nothing is on its way.
    Behind,
    /// Content is on its way.
    Moving,
    /// Both ends were never compared.
    Unknown,
    /// The target has all that it should.
    InSync,
}

impl Standing {
    /// The standing in a word.
    pub fn word(self) -> &'static str {
        match self {
            Standing::Unreachable => "unreachable",
            Standing::Conflict => "conflict",
            Standing::Stalled => "stalled",
            Standing::Failed => "failed",
            Standing::Review => "review",
            Standing::Paused => "paused",
            Standing::Behind => "behind",
            Standing::Moving => "moving",
            Standing::Unknown => "not known",
            Standing::InSync => "in sync",
        }
    }

    /// Its grade.
    pub fn grade(self) -> Grade {
        match self {
            Standing::Unreachable => Grade::Lost,
            Standing::Conflict | Standing::Failed => Grade::Bad,
            Standing::Stalled | Standing::Behind | Standing::Review => Grade::Warn,
            Standing::Moving => Grade::Busy,
            Standing::Unknown | Standing::Paused => Grade::Off,
            Standing::InSync => Grade::Ok,
        }
    }
}

/// One line.
#[derive(Clone, Debug, PartialEq)]
pub struct LineRow {
    /// Which.
    pub line: Line,
    /// How it stands.
    pub standing: Standing,
    /// Tags that the target lacks or has otherwise.
    pub tags: u32,
    /// Bytes that have to be moved, at least.
    pub bytes: u64,
    /// The age of the oldest difference; of an unreachable line, since when.
    pub since_ms: Option<u64>,
    /// Bytes a second.
    pub rate: Option<u64>,
    /// What to know beyond the numbers, one sentence each.
    pub notes: Vec<String>,
}

impl LineRow {
    /// The same in a few words: `behind 3 120M 2m`.
    pub fn cell(&self) -> String {
        let mut out = self.standing.word().to_owned();
        if matches!(self.standing, Standing::InSync | Standing::Unknown) {
            return out;
        }
        if self.tags > 0 {
            out += &format!(" {} {}", self.tags, units::size(self.bytes));
        }
        if let Some(ms) = self.since_ms {
            out += &format!(" {}", units::age(ms));
        }
        out
    }
}

/// All lines, those that need a person first.
pub fn lines(world: &World, now: Millis) -> Vec<LineRow> {
    let mut rows: Vec<LineRow> = world.replication.lines.iter().map(|l| line(world, l, now)).collect();
    rows.sort_by(|a, b| (a.standing, &a.line).cmp(&(b.standing, &b.line)));
    rows
}

/// True when this rule's content takes this line.
pub fn takes(rule: &Rule, line: &Line) -> bool {
    let goes = |from: &RegistryName, to: &RegistryName| rule.source == *from && rule.targets.contains(to);
    goes(&line.from, &line.to) || rule.two_way && goes(&line.to, &line.from)
}

/// Since when none of an end's endpoints answers; `None` while one does, or before the first try.
fn silent(world: &World, name: &RegistryName) -> Option<(Option<Millis>, String)> {
    let view = world.registries.get(name)?;
    let mut found = None;
    for e in &view.endpoints {
        match &e.seen {
            Seen::At(_) | Seen::Never { why: None } => return None,
            Seen::Lost { last, why, .. } => found = Some((Some(*last), text::safe(why).into_owned())),
            Seen::Never { why: Some(why) } => found = found.or(Some((None, text::safe(why).into_owned()))),
        }
    }
    found
}

fn line(world: &World, view: &LineView, now: Millis) -> LineRow {
    let runs = || {
        let rules = world.replication.rules.iter().filter(|r| takes(&r.rule, &view.line));
        rules.filter_map(|r| r.run.as_ref()).filter(|r| !r.state.is_over())
    };
    let deaf = [&view.line.from, &view.line.to].into_iter().find_map(|n| Some((n, silent(world, n)?)));
    let resting = view.transfers.iter().map(|t| t.last).max().filter(|at| now.since(*at) >= STALLED_MS);
    let stalled = resting.or_else(|| runs().find_map(|r| r.stalled).filter(|_| view.rate.is_none()));
    let standing = if deaf.is_some() {
        Standing::Unreachable
    } else if view.conflicts > 0 {
        Standing::Conflict
    } else if stalled.is_some() {
        Standing::Stalled
    } else if view.trouble.is_some() {
        Standing::Failed
    } else if !view.transfers.is_empty() {
        Standing::Moving
    } else if view.reviews > 0 {
        Standing::Review
    } else if (view.tags_behind > 0 || view.compared.is_none()) && runs().any(|r| r.state == RunState::Paused)
    {
        Standing::Paused
    } else if view.tags_behind > 0 {
        Standing::Behind
    } else if view.compared.is_none() {
        Standing::Unknown
    } else {
        Standing::InSync
    };
    let mut notes = Vec::new();
    if let Some((name, (since, why))) = &deaf {
        let long = since.map_or("has never answered".to_owned(), |at| {
            format!("has not answered for {}", units::age(now.since(at)))
        });
        notes.push(format!("{name} {long}: {why}"));
    }
    if view.conflicts > 0 {
        let what = text::count(u64::from(view.conflicts), "tag");
        notes.push(format!("{what} moved on both sides: nothing is done until somebody chooses"));
    }
    notes.extend(stalled.map(|at| format!("stalled: nothing has arrived for {}", units::age(now.since(at)))));
    notes.extend(view.trouble.iter().filter(|_| deaf.is_none()).map(ToString::to_string));
    if view.reviews > 0 {
        let what = text::count(u64::from(view.reviews), "tag");
        notes.push(format!("{what} gone from {}: deleting them waits for a yes", view.line.from));
    }
    let since = deaf.and_then(|(_, (since, _))| since).or(view.behind_since);
    let rate = view.rate.filter(|_| standing == Standing::Moving);
    let (tags, bytes) = (view.tags_behind, view.bytes_behind);
    let since_ms = since.map(|at| now.since(at));
    LineRow { line: view.line.clone(), standing, tags, bytes, since_ms, rate, notes }
}

/// The matrix of registries: from each row to each column.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Matrix {
    /// Where lines begin.
    pub from: Vec<RegistryName>,
    /// Where lines end.
    pub to: Vec<RegistryName>,
    /// By row and column; `None` where there is no line.
    pub cells: Vec<Vec<Option<LineRow>>>,
}

/// The matrix of all lines.
pub fn matrix(rows: &[LineRow]) -> Matrix {
    let sorted = |names: Vec<RegistryName>| {
        let mut names = names;
        names.sort();
        names.dedup();
        names
    };
    let from = sorted(rows.iter().map(|r| r.line.from.clone()).collect());
    let to = sorted(rows.iter().map(|r| r.line.to.clone()).collect());
    let cell = |f: &RegistryName, t: &RegistryName| {
        rows.iter().find(|r| r.line.from == *f && r.line.to == *t).cloned()
    };
    let cells = from.iter().map(|f| to.iter().map(|t| cell(f, t)).collect()).collect();
    Matrix { from, to, cells }
}

/// One rule with its run.
#[derive(Clone, Debug, PartialEq)]
pub struct RuleRow {
    /// Its name.
    pub name: RuleName,
    /// `hq → bj, tc`, `bj ↔ tc`.
    pub what: String,
    /// How it stands, in a word.
    pub state: &'static str,
    /// How it stands.
    pub grade: Grade,
    /// The run that goes on, or the last one.
    pub run: Option<RunView>,
    /// When it runs by itself: `in 3h`, `by hand`, `off`.
    pub next: String,
    /// What to know, one sentence each.
    pub notes: Vec<String>,
}

/// All rules, those that need a person first.
pub fn rules(world: &World, now: Millis) -> Vec<RuleRow> {
    let mut rows: Vec<RuleRow> = world.replication.rules.iter().map(|r| rule(r, now)).collect();
    rows.sort_by(|a, b| b.grade.is_problem().cmp(&a.grade.is_problem()).then_with(|| a.name.cmp(&b.name)));
    rows
}

/// `hq → bj, tc`, or `bj ↔ tc`.
pub fn ends(rule: &Rule) -> String {
    let targets: Vec<&str> = rule.targets.iter().map(RegistryName::as_str).collect();
    format!("{} {} {}", rule.source, if rule.two_way { "↔" } else { "→" }, targets.join(", "))
}

fn rule(view: &RuleView, now: Millis) -> RuleRow {
    let mut notes = Vec::new();
    let (mut grade, mut state) = view.run.as_ref().map_or((Grade::Off, "never ran"), run_stands);
    if let Some(at) = view.missed {
        notes.push(format!("its time passed {} and it did not run", units::ago(now.since(at))));
        if !grade.is_problem() {
            (grade, state) = (Grade::Warn, "missed");
        }
    }
    notes.extend(view.run.as_ref().map(|r| format!("{}: {}", r.id, run_line(r, now))));
    let trigger = &view.rule.trigger;
    let next = match view.next {
        _ if !view.rule.enabled => "off".to_owned(),
        Some(at) if at > now => format!("in {}", units::age(at.since(now))),
        Some(_) => "now".to_owned(),
        None if trigger.event => "on change".to_owned(),
        None if trigger.every_ms.is_some() || trigger.cron.is_some() => "not known".to_owned(),
        None => "by hand".to_owned(),
    };
    RuleRow {
        name: view.rule.name.clone(),
        what: ends(&view.rule),
        state,
        grade,
        run: view.run.clone(),
        next,
        notes,
    }
}

/// A run's grade and word, worked out from its parts: one that says it is done is not while a tag of it is not.
pub fn run_stands(run: &RunView) -> (Grade, &'static str) {
    let t = &run.tags;
    let open = t.failed + t.conflicts + t.unknown > 0;
    match run.state {
        _ if run.stalled.is_some() && !run.state.is_over() => (Grade::Warn, "stalled"),
        RunState::Comparing => (Grade::Busy, "comparing"),
        RunState::Moving => (Grade::Busy, "moving"),
        RunState::Paused => (Grade::Off, "paused"),
        RunState::Done if !open => (Grade::Ok, "done"),
        RunState::Done | RunState::Incomplete => (Grade::Bad, "incomplete"),
        RunState::Stopped => (Grade::Off, "stopped"),
        RunState::Failed => (Grade::Bad, "failed"),
    }
}

/// Tags of a run that are as they should be, and all that were compared.
pub fn run_tags(run: &RunView) -> (u32, u32) {
    (run.tags.same + run.tags.done, run.compared)
}

/// True while content of the run is on its way: only then its pace and end are worth telling.
pub fn moves(run: &RunView) -> bool {
    run.state == RunState::Moving && run.stalled.is_none()
}

/// Bytes a second: `8.1M/s`.
pub fn rate(bytes: u64) -> String {
    format!("{}/s", units::memory(bytes))
}

/// How far a run is, or how it ended, in one sentence.
pub fn run_line(run: &RunView, now: Millis) -> String {
    let t = &run.tags;
    let reason = || run.reason.as_ref().map(|r| format!(": {r}")).unwrap_or_default();
    let (right, all) = run_tags(run);
    let mut parts = Vec::new();
    match run.state {
        RunState::Comparing => {
            parts.push(format!("comparing, {} so far", text::count(u64::from(all), "tag")));
        }
        RunState::Failed => return format!("could not compare{}", reason()),
        _ => parts.push(format!("{right} of {} as they should be", text::count(u64::from(all), "tag"))),
    }
    if run.bytes > 0 {
        parts.push(format!("{} of {}", units::size(run.moved), units::size(run.bytes)));
    }
    if !run.state.is_over() {
        if let Some(at) = run.stalled {
            let long = units::age(now.since(at));
            parts.insert(0, format!("stalled, nothing has moved for {long}{}", reason()));
        }
        parts.extend(run.rate.filter(|_| moves(run)).map(rate));
        parts.extend(run.eta_ms.filter(|_| moves(run)).map(|ms| format!("~{} left", text::age(ms))));
    }
    let counts = [(t.failed, "failed"), (t.conflicts, "in conflict"), (t.unknown, "could not be asked")];
    parts.extend(counts.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{n} {what}")));
    if t.failed + t.conflicts + t.unknown > 0
        && run.stalled.is_none()
        && let Some(last) = parts.last_mut()
    {
        *last += &reason();
    }
    if t.extra > 0 {
        parts.push(format!("{} on one side only", t.extra));
    }
    if let Some(ended) = run.ended {
        let took = text::took(ended.since(run.began));
        parts.push(format!("{} in {took}, {}", run_stands(run).1, units::ago(now.since(ended))));
    }
    if run.joined > 0 {
        parts.push(format!("{} joined it", text::count(u64::from(run.joined), "request")));
    }
    parts.join(" · ")
}

/// A tag's state: grade, word, and the reason if there is one.
pub fn tag_stands(tag: &TagRun) -> (Grade, &'static str, Option<String>) {
    match &tag.state {
        TagState::Failed(why) => (Grade::Bad, "failed", Some(why.safe().into_owned())),
        TagState::Conflict => {
            (Grade::Bad, "conflict", Some("both sides moved it: c chooses which counts".into()))
        }
        TagState::Stopped => (Grade::Off, "stopped", None),
        TagState::Moving => (Grade::Busy, "moving", None),
        TagState::Waiting => (Grade::Off, "waiting", None),
        TagState::Skipped(why) => (Grade::Ok, "skipped", Some(text::safe(why).into_owned())),
        TagState::Done => (Grade::Ok, "done", None),
    }
}

/// A difference in a word.
pub fn difference(difference: &Difference) -> &'static str {
    match difference {
        Difference::Same => "same",
        Difference::Missing => "missing",
        Difference::Behind => "behind",
        Difference::Extra => "extra",
        Difference::Conflict => "conflict",
        Difference::Unknown(_) => "unknown",
    }
}

/// True when somebody has to look at this tag.
pub fn needs_person(tag: &TagRun) -> bool {
    matches!(tag.state, TagState::Failed(_) | TagState::Conflict)
}

/// A blob on its way: its grade, bytes a second and what is left, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// How it stands.
    pub grade: Grade,
    /// Bytes a second since it began; none before the first has arrived, or when it is stalled.
    pub rate: Option<u64>,
    /// Milliseconds that are left at that rate.
    pub eta_ms: Option<u64>,
    /// Nothing has arrived for so many milliseconds, and that is too long.
    pub stalled_ms: Option<u64>,
}

/// How fast a blob is.
pub fn pace(t: &Transfer, now: Millis) -> Pace {
    let quiet = now.since(t.last);
    if quiet >= STALLED_MS {
        return Pace { grade: Grade::Warn, rate: None, eta_ms: None, stalled_ms: Some(quiet) };
    }
    let took = t.last.since(t.since);
    let rate = t.moved.saturating_mul(1000).checked_div(took).filter(|r| *r > 0);
    let eta_ms = rate.map(|r| t.size.saturating_sub(t.moved).saturating_mul(1000) / r);
    Pace { grade: Grade::Busy, rate, eta_ms, stalled_ms: None }
}

/// A blob on its way in one line: `feed/web 9f86d081884c 61% of 1.2G · 8.1M/s · ~12s left`.
pub fn transfer(t: &Transfer, now: Millis) -> String {
    let pace = pace(t, now);
    let short = t.digest.short();
    let share = units::percent(t.moved.min(t.size), t.size);
    let mut out = format!("{} {short} {share} of {}", t.repository, units::size(t.size));
    out += &pace.rate.map(|r| format!(" · {}", rate(r))).unwrap_or_default();
    out += &pace.eta_ms.map(|ms| format!(" · ~{} left", text::age(ms))).unwrap_or_default();
    out += &pace.stalled_ms.map(|ms| format!(" · stalled for {}", units::age(ms))).unwrap_or_default();
    out
}

/// A budget in a few words.
pub fn budget(b: &Budget) -> String {
    let mut parts = Vec::new();
    parts.extend(b.bytes_per_s.map(|n| format!("{} at most", rate(n))));
    parts.extend(b.requests_per_hour.map(|n| format!("{n} requests an hour at most")));
    if parts.is_empty() {
        parts.push("not limited".to_owned());
    }
    format!("{} ({:02} to {:02} o'clock)", parts.join(", "), b.from, b.until)
}

/// All that is known of a line, as `key: value` lines.
pub fn described_line(world: &World, which: &Line, now: Millis) -> Vec<String> {
    let Some(view) = world.replication.line(which) else { return vec!["this line is gone".to_owned()] };
    let row = line(world, view, now);
    let mut out = vec![
        format!("line: {which}"),
        format!("state: {}", row.standing.word()),
        match view.compared {
            Some(at) => format!("compared: {}", units::ago(now.since(at))),
            None => "compared: never in full".to_owned(),
        },
        format!("behind: {}, {} at least", text::count(u64::from(row.tags), "tag"), text::bytes(row.bytes)),
    ];
    out.extend(view.behind_since.map(|at| format!("since: {}", units::ago(now.since(at)))));
    out.extend(row.notes.iter().map(|n| format!("note: {n}")));
    out.extend(view.rate.map(|n| format!("rate: {}", rate(n))));
    out.push(format!("budget: {}", view.budget.as_ref().map_or("none just now".to_owned(), budget)));
    let rules = world.replication.rules.iter().filter(|r| takes(&r.rule, which));
    out.extend(rules.map(|r| format!("rule: {}", r.rule.name)));
    out.extend(view.transfers.iter().map(|t| format!("on-its-way: {}", transfer(t, now))));
    out
}

/// All that is known of a rule, as `key: value` lines.
pub fn described_rule(world: &World, name: &RuleName, now: Millis) -> Vec<String> {
    let Some(view) = world.replication.rule(name) else { return vec!["this rule is gone".to_owned()] };
    let (row, r) = (rule(view, now), &view.rule);
    let mut out = vec![
        format!("rule: {name}"),
        format!("ends: {}", row.what),
        format!("state: {}", row.state),
        format!("next: {}", row.next),
        format!("priority: {}", r.priority),
    ];
    for f in &r.filters {
        let on = if f.on == On::Repository { "repository" } else { "tag" };
        let (kind, pattern) = match &f.pattern {
            Pattern::Glob(p) => ("like", p),
            Pattern::Regex(p) => ("fits", p),
            Pattern::Semver(p) => ("version", p),
        };
        let not = if f.exclude { "leave out" } else { "take" };
        out.push(format!("filter: {not} {on} {kind} {}", text::safe(pattern)));
    }
    if r.filters.is_empty() {
        out.push("filter: none: everything".to_owned());
    }
    if !r.platforms.is_empty() {
        let all: Vec<String> = r.platforms.iter().map(ToString::to_string).collect();
        out.push(format!("platforms: {}; indexes stay as they are", text::safe(&all.join(", "))));
    }
    out.extend(r.prefix.as_ref().map(|p| format!("prefix: {p}/")));
    out.push(match r.deletes {
        Deletes::Keep => "deletes: what is gone from the source stays at the target".to_owned(),
        Deletes::Review => "deletes: proposed, and done when somebody has said yes".to_owned(),
    });
    let trigger = &r.trigger;
    out.extend(trigger.every_ms.map(|ms| format!("runs: every {}", text::age(ms))));
    out.extend(trigger.cron.as_ref().map(|c| format!("runs: at {} (local time)", text::safe(c))));
    if trigger.event {
        out.push("runs: when the source's registry tells of a change".to_owned());
    }
    out.extend(row.notes.iter().map(|n| format!("note: {n}")));
    out
}

/// All that is known of a tag of a run, as `key: value` lines.
pub fn described_tag(tag: &TagRun) -> Vec<String> {
    let (_, word, why) = tag_stands(tag);
    let mut out = vec![
        format!("tag: {}:{}", tag.repository, tag.tag),
        format!("line: {}", tag.line),
        format!("state: {word}"),
    ];
    out.extend(why.map(|why| format!("reason: {why}")));
    out.extend(tag.digest.as_ref().map(|d| format!("digest: {d}")));
    out.push(format!("bytes: {} of {}", text::bytes(tag.moved), text::bytes(tag.bytes)));
    out.push(format!("tried-again: {}", tag.retries));
    out
}

/// What is wrong with replication, or that nothing is, in a few words for a title.
pub fn summary(rows: &[LineRow]) -> String {
    if rows.is_empty() {
        return "no lines".to_owned();
    }
    let mut parts = Vec::new();
    for standing in [
        Standing::Unreachable,
        Standing::Conflict,
        Standing::Stalled,
        Standing::Failed,
        Standing::Review,
        Standing::Paused,
        Standing::Behind,
        Standing::Moving,
        Standing::Unknown,
    ] {
        let n = rows.iter().filter(|r| r.standing == standing).count();
        if n > 0 {
            parts.push(format!("{n} {}", standing.word()));
        }
    }
    if parts.is_empty() { "in sync".to_owned() } else { parts.join(" · ") }
}

#[cfg(test)]
mod tests;
