//! Worlds with registries and replication in every state, and answers to what their views ask.

use std::collections::BTreeMap;
use std::sync::Arc;

use longshore::base::clock::Millis;
use longshore::model::host::Seen;
use longshore::model::oci::{Digest, Platform};
use longshore::model::query::{Query, Reply, Request};
use longshore::model::registry::{
    Counted, EndpointView, LoginKind, Page, Registry, RegistryFacts, RegistryKind, RegistryView,
    RepositoryRow, TagRow,
};
use longshore::model::replication::{
    Cause, Line, LineView, ReplicationView, Rule, RuleView, RunId, RunState, RunView, TagCounts, TagRun,
    TagState, Transfer,
};
use longshore::model::world::World;
use longshore::tui::effect::Effect;
use longshore::tui::event::{Event, Ticket};

use crate::harness::Console;
use crate::world::{self, NOW};

pub const EVIL: &str = "\u{1b}]52;c;eA==\u{7}\u{9b}31m\u{202e}txt\u{200b}";

pub fn ago(ms: i64) -> Millis {
    Millis(NOW.0 - ms)
}

pub fn line(from: &str, to: &str) -> Line {
    Line { from: from.parse().unwrap(), to: to.parse().unwrap() }
}

/// A registry with these endpoints.
pub fn registry(world: &mut World, name: &str, site: &str, seen: &[Seen], counted: (u32, u32)) {
    let registry = Registry {
        name: name.parse().unwrap(),
        kind: if name == "hq" { RegistryKind::Harbor } else { RegistryKind::Distribution },
        address: format!("{name}.registry.example:5000"),
        endpoints: (0..seen.len()).map(|i| format!("{name}-{i}.example:5000")).collect(),
        sites: vec![site.parse().unwrap()],
        plain_http: false,
        ca: None,
        storage: Some("s3".into()),
        parallel: 8,
    };
    let facts = RegistryFacts { version: Some("2.8.2".into()), login: LoginKind::Token, lists: true };
    let endpoint = |(e, seen): (EndpointView, &Seen)| EndpointView {
        seen: seen.clone(),
        took_ms: Some(12),
        facts: (!matches!(seen, Seen::Never { .. })).then(|| facts.clone()),
        ..e
    };
    let mut view = RegistryView::never(registry);
    view.endpoints = std::mem::take(&mut view.endpoints).into_iter().zip(seen).map(endpoint).collect();
    view.active = seen.iter().position(|s| matches!(s, Seen::At(_)));
    let (repositories, tags) = counted;
    view.counted = (tags > 0).then_some(Counted { at: ago(60_000), repositories, tags });
    Arc::make_mut(&mut world.registries).insert(view.registry.name.clone(), view);
}

pub fn line_view(from: &str, to: &str, tags: u32) -> LineView {
    LineView {
        line: line(from, to),
        compared: Some(ago(20_000)),
        tags_behind: tags,
        bytes_behind: u64::from(tags) * (40 << 20),
        behind_since: (tags > 0).then(|| ago(130_000)),
        conflicts: 0,
        reviews: 0,
        transfers: Vec::new(),
        rate: None,
        budget: None,
        trouble: None,
        limits: None,
    }
}

pub fn blob(line: &Line, n: u64, moved: u64, last: i64) -> Transfer {
    Transfer {
        line: line.clone(),
        repository: "feed/web".parse().unwrap(),
        digest: Digest::of(&n.to_le_bytes()),
        size: 80 << 20,
        moved,
        since: ago(last + 4_000),
        last: ago(last),
    }
}

pub fn run(id: u64, rule: &str, state: RunState) -> RunView {
    RunView {
        id: RunId(id),
        rule: rule.parse().unwrap(),
        cause: Cause::Schedule,
        began: ago(62_000),
        ended: state.is_over().then(|| ago(9_000)),
        state,
        compared: 142,
        tags: TagCounts { same: 120, done: 14, waiting: 5, moving: 3, ..TagCounts::default() },
        bytes: 3 << 30,
        moved: 1 << 30,
        rate: Some(8 << 20),
        eta_ms: Some(250_000),
        stalled: None,
        reason: None,
        joined: 0,
    }
}

fn rule(json: &str, run: Option<RunView>) -> RuleView {
    let rule: Rule = serde_json::from_str(json).unwrap();
    RuleView { rule, run, next: Some(Millis(NOW.0 + 3 * 3_600_000)), missed: None }
}

/// An ordinary day with trouble: four registries, one of them lost, lines in sync, moving, behind, in conflict.
pub fn sites() -> World {
    let mut w = world::feed();
    let at = Seen::At(NOW);
    let lost = |ms| Seen::Lost { last: ago(ms), since: ago(ms), why: "no route to host".into() };
    registry(&mut w, "hq", "bj", &[at.clone(), at.clone()], (31, 4_120));
    registry(&mut w, "bj", "bj", &[at.clone(), lost(90_000)], (31, 4_119));
    registry(&mut w, "tc", "tc", &[lost(300_000)], (31, 4_002));
    registry(&mut w, "ali", "ali", &[at], (12, 900));
    let mut moving = line_view("hq", "bj", 3);
    moving.transfers = (0..4).map(|n| blob(&moving.line, n, (n + 1) * (9 << 20), 500)).collect();
    moving.rate = Some(8 << 20);
    let mut conflict = line_view("bj", "ali", 1);
    conflict.conflicts = 1;
    let lines = vec![line_view("hq", "ali", 0), moving, line_view("hq", "tc", 139), conflict];
    let mut broken = run(8, "both", RunState::Incomplete);
    broken.tags = TagCounts { same: 138, failed: 2, conflicts: 1, done: 1, ..TagCounts::default() };
    broken.reason = Some("tc answers 507: no space left".into());
    let rules = vec![
        rule(
            r#"{"name":"all","source":"hq","targets":["bj","tc","ali"]}"#,
            Some(run(9, "all", RunState::Moving)),
        ),
        rule(r#"{"name":"both","source":"bj","targets":["ali"],"two_way":true}"#, Some(broken)),
        rule(r#"{"name":"nightly","source":"hq","targets":["ali"],"enabled":false}"#, None),
    ];
    w.replication = Arc::new(ReplicationView { rules, lines });
    w
}

pub fn change(world: &mut World, name: &str, edit: impl FnOnce(&mut RegistryView)) {
    let name = name.parse().unwrap();
    edit(Arc::make_mut(&mut world.registries).get_mut(&name).unwrap());
}

pub fn change_replication(world: &mut World, edit: impl FnOnce(&mut ReplicationView)) {
    edit(Arc::make_mut(&mut world.replication));
}

/// The same, and nothing moves although it should.
pub fn stalled() -> World {
    let mut w = sites();
    change_replication(&mut w, |r| {
        let line = r.lines[1].line.clone();
        r.lines[1].transfers = vec![blob(&line, 1, 9 << 20, 70_000)];
        r.lines[1].rate = None;
        let run = r.rules[0].run.as_mut().unwrap();
        (run.stalled, run.reason) = (Some(ago(70_000)), Some("bj answers 503 again and again".into()));
        r.rules[2].missed = Some(ago(7_300_000));
        r.rules[2].rule.enabled = true;
    });
    w
}

/// Registries that have never answered, and no rule.
pub fn never() -> World {
    let mut w = world::feed();
    registry(&mut w, "hq", "bj", &[Seen::Never { why: Some("connection refused".into()) }], (0, 0));
    registry(&mut w, "tc", "tc", &[Seen::Never { why: None }], (0, 0));
    w
}

/// Thirty branches.
pub fn many() -> World {
    let mut w = world::feed();
    registry(&mut w, "hq", "bj", &[Seen::At(NOW)], (400, 100_000));
    let mut lines = Vec::new();
    for i in 0..30 {
        let name = format!("branch-{i:02}");
        registry(&mut w, &name, "bj", &[Seen::At(NOW)], (400, 99_000));
        lines.push(line_view("hq", &name, if i % 7 == 3 { i } else { 0 }));
    }
    let targets: Vec<String> = (0..30).map(|i| format!("\"branch-{i:02}\"")).collect();
    let json = format!(r#"{{"name":"all","source":"hq","targets":[{}]}}"#, targets.join(","));
    let rules = vec![rule(&json, Some(run(9, "all", RunState::Paused)))];
    w.replication = Arc::new(ReplicationView { rules, lines });
    w
}

/// Hostile bytes in all that comes from outside.
pub fn hostile() -> World {
    let mut w = stalled();
    change(&mut w, "hq", |v| {
        v.registry.storage = Some(EVIL.into());
        v.registry.address = EVIL.into();
        v.endpoints[0].facts.as_mut().unwrap().version = Some(EVIL.into());
        v.endpoints[1].seen = Seen::Lost { last: NOW, since: NOW, why: EVIL.into() };
        v.endpoints[1].address = EVIL.into();
    });
    change_replication(&mut w, |r| {
        r.lines[0].trouble = Some(EVIL.into());
        r.rules[0].run.as_mut().unwrap().reason = Some(EVIL.into());
        r.rules[1].run.as_mut().unwrap().reason = Some(EVIL.into());
        let json = format!(r#"[{{"on":"tag","pattern":{{"regex":{}}}}}]"#, serde_json::json!(EVIL));
        r.rules[0].rule.filters = serde_json::from_str(&json).unwrap();
    });
    w
}

pub fn tag(n: usize, evil: bool) -> TagRow {
    let text = |plain: &str| if evil { EVIL.into() } else { plain.to_owned() };
    let platform = |a: &str| Platform { os: text("linux"), architecture: text(a), variant: None };
    let read = n % 9 != 4;
    TagRow {
        tag: format!("v2.{n}").parse().unwrap(),
        digest: Some(Digest::of(&n.to_le_bytes())),
        size: read.then(|| (40 << 20) + n as u64 * 1_000_000),
        platforms: if read { vec![platform("amd64"), platform("arm64")] } else { Vec::new() },
        created: read.then(|| ago(i64::try_from(n).unwrap() * 7_200_000 + 600_000)),
        labels: BTreeMap::from([(text("team").into(), text("feed").into())]),
        used_by: if n == 2 {
            vec![world::pool_id("feed/web"), world::pool_id("pay/api")]
        } else {
            Vec::new()
        },
        why: (n % 9 == 4).then(|| text("its manifest cannot be read: 500 UNKNOWN").into()),
    }
}

pub fn run_tag(n: usize, state: TagState) -> TagRun {
    TagRun {
        gaps: Default::default(),
        line: line("hq", "bj"),
        repository: "feed/web".parse().unwrap(),
        tag: format!("v2.{n}").parse().unwrap(),
        digest: Some(Digest::of(&n.to_le_bytes())),
        bytes: 60 << 20,
        moved: if state == TagState::Done { 60 << 20 } else { 11 << 20 },
        retries: u32::from(matches!(state, TagState::Failed(_))) * 3,
        state,
    }
}

fn part<T>(all: usize, after: Option<&str>, limit: u32, make: impl Fn(usize) -> T) -> Page<T> {
    let from: usize = after.map_or(0, |a| a.parse().unwrap());
    let to = all.min(from + limit as usize);
    Page { items: (from..to).map(make).collect(), next: (to < all).then(|| to.to_string()) }
}

/// A registry of 31 repositories with so many tags in each.
pub fn answer(query: &Query, tags: usize, evil: bool) -> Option<Reply> {
    Some(match query {
        Query::Browse { repository: None, ask, .. } => {
            let wanted = |r: &RepositoryRow| r.repository.as_str().contains(&ask.filter);
            let row = |n: usize| RepositoryRow {
                repository: format!("line-{:02}/app-{n:02}", n % 4).parse().unwrap(),
                tags: (n != 3).then(|| u32::try_from(n).unwrap() * 17),
                used_by: if n == 1 { vec![world::pool_id("feed/web")] } else { Vec::new() },
            };
            let mut page = part(31, ask.after.as_deref(), ask.limit, row);
            page.items.retain(wanted);
            Reply::Repositories(page)
        }
        Query::Browse { ask, registry, .. } => match ask.filter.strip_prefix('=') {
            Some(name) => {
                let n: usize = name.trim_start_matches("v2.").parse().unwrap();
                let at = if registry.as_str() == "hq" { n } else { n + 3 };
                let row = TagRow { tag: name.parse().unwrap(), ..tag(at, evil) };
                Reply::Tags(Page { items: vec![row], next: None })
            }
            None => Reply::Tags(part(tags, ask.after.as_deref(), ask.limit, |n| tag(n, evil))),
        },
        Query::RunTags { ask, .. } => {
            let why = if evil { EVIL } else { "bj answers 413: the manifest is too large" };
            Reply::RunTags(part(40, ask.after.as_deref(), ask.limit, |n| {
                run_tag(
                    n,
                    match n {
                        0 => TagState::Conflict,
                        1 => TagState::Failed(why.into()),
                        2..5 => TagState::Moving,
                        5..10 => TagState::Waiting,
                        10 => {
                            TagState::Skipped(format!("it was there already{}", if evil { EVIL } else { "" }))
                        }
                        _ => TagState::Done,
                    },
                )
            }))
        }
        _ => return None,
    })
}

impl Console {
    /// Answers everything that the views of registries have asked; how many questions that were.
    pub fn answered(&mut self, tags: usize, evil: bool) -> usize {
        let asked: Vec<(Ticket, Reply)> = self
            .take()
            .into_iter()
            .filter_map(|e| match e {
                Effect::Ask(ticket, Request::Query(query)) => Some((ticket, answer(&query, tags, evil)?)),
                _ => None,
            })
            .collect();
        let count = asked.len();
        asked.into_iter().for_each(|(ticket, reply)| self.event(Event::Replied(ticket, reply)));
        count
    }
}
