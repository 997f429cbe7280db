//! `replicate`: rules, runs, how far each line is behind, and what differs.

use crate::base::fault::{Fault, Kind};
use crate::base::ids::{RegistryName, RuleName};
use crate::base::text::bytes;
use crate::cli::args::registry::YesNo;
use crate::cli::args::replicate::{ReplicateVerb, RuleAdd, RuleVerb};
use crate::cli::cx::{Cx, Done, Stop, listing_status};
use crate::cli::registry::kept_list;
use crate::cli::{Purpose, act, list as lists, masters};
use crate::model::command::Command;
use crate::model::oci::Platform;
use crate::model::query::{PageAsk, Query, Reply, Request};
use crate::model::replication::{Deletes, DiffRow, Difference, Filter, On, Pattern, Rule, RunId, Trigger};
use crate::view::table::{Side, Table};

/// Rows of a comparison that are asked for at a time.
const PAGE: u32 = 1_000;

/// `longshore replicate`
pub async fn run(cx: &mut Cx<'_>, verb: ReplicateVerb) -> Done {
    let command = match verb {
        ReplicateVerb::Status => return status(cx).await,
        ReplicateVerb::Conflicts { rule } => return masters::conflicts(cx, rule.as_deref()).await,
        ReplicateVerb::Resolve(args) => return masters::resolve(cx, args).await,
        ReplicateVerb::Deletes(args) => return masters::deletes(cx, args).await,
        ReplicateVerb::Verify(args) => return masters::verify(cx, args).await,
        ReplicateVerb::Diff { rule, all } => return diff(cx, &rule, all).await,
        ReplicateVerb::Rule { verb: RuleVerb::Ls } => return rules(cx).await,
        ReplicateVerb::Rule { verb: RuleVerb::Add(args) } => return add(cx, *args).await,
        ReplicateVerb::Rule { verb: RuleVerb::Rm { name } } => Command::RemoveRule(rule_name(&name)?),
        ReplicateVerb::Run { rule } => Command::Replicate { rule: rule_name(&rule)? },
        ReplicateVerb::Pause(one) => Command::PauseRun(run_id(&one.run)?),
        ReplicateVerb::Resume(one) => Command::ResumeRun(run_id(&one.run)?),
        ReplicateVerb::Stop(one) => Command::StopRun(run_id(&one.run)?),
        ReplicateVerb::Retry(one) => Command::RetryRun(run_id(&one.run)?),
    };
    act::run(cx, vec![command], act::Patience::Default).await
}

fn rule_name(text: &str) -> Result<RuleName, Stop> {
    text.parse().map_err(|e| Stop::usage(&e))
}

fn run_id(text: &str) -> Result<RunId, Stop> {
    let number = text.strip_prefix("run-").unwrap_or(text).parse().ok();
    number.map(RunId).ok_or_else(|| {
        let fault = Fault::new(Kind::Invalid, format!("{text:?} is not a run"));
        Stop::usage(&fault.hint("write it as run-12; see `longshore replicate status`"))
    })
}

/// A pattern: a glob, or what `regex:` and `semver:` say.
fn pattern(text: &str) -> Pattern {
    match text.split_once(':') {
        Some(("regex", rest)) => Pattern::Regex(rest.trim().to_owned()),
        Some(("semver", rest)) => Pattern::Semver(rest.trim().to_owned()),
        Some(("glob", rest)) => Pattern::Glob(rest.to_owned()),
        _ => Pattern::Glob(text.to_owned()),
    }
}

/// The filters after this command: each of the four lists that was given replaces its own.
fn filters(args: &RuleAdd, before: &[Filter]) -> Vec<Filter> {
    let lists = [
        (On::Repository, false, &args.repositories),
        (On::Repository, true, &args.not_repositories),
        (On::Tag, false, &args.tags),
        (On::Tag, true, &args.not_tags),
    ];
    let mut out = Vec::new();
    for (on, exclude, given) in lists {
        match given {
            None => out.extend(before.iter().filter(|f| f.on == on && f.exclude == exclude).cloned()),
            Some(texts) => out.extend(texts.iter().filter(|t| !t.trim().is_empty()).map(|text| Filter {
                on,
                pattern: pattern(text.trim()),
                exclude,
            })),
        }
    }
    out
}

/// `OS/ARCHITECTURE[/VARIANT]`.
pub fn platform(text: &str) -> Result<Platform, Stop> {
    let parts: Vec<&str> = text.split('/').collect();
    let own = |s: &&str| (*s).to_owned();
    match parts.as_slice() {
        [os, architecture] => Ok(Platform { os: own(os), architecture: own(architecture), variant: None }),
        [os, architecture, variant] => {
            Ok(Platform { os: own(os), architecture: own(architecture), variant: Some(own(variant)) })
        }
        _ => {
            let fault = Fault::new(Kind::Invalid, format!("{text:?} is not a platform"));
            Err(Stop::usage(&fault.hint("write OS/ARCHITECTURE, such as linux/arm64")))
        }
    }
}

/// Milliseconds of `90s`, `15m`, `6h` or `1d`.
fn length(option: &str, text: &str) -> Result<u64, Stop> {
    let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let unit = match unit.trim() {
        "s" => Some(1_000),
        "m" => Some(60_000),
        "h" => Some(3_600_000),
        "d" => Some(86_400_000),
        _ => None,
    };
    let length = unit.and_then(|u| number.parse::<u64>().ok().and_then(|n| n.checked_mul(u)));
    length.filter(|ms| *ms > 0).ok_or_else(|| {
        let fault = Fault::new(Kind::Invalid, format!("{option}: {text:?} is not a time"));
        Stop::usage(&fault.hint("write it as 90s, 15m, 6h or 1d"))
    })
}

fn trigger(args: &RuleAdd, before: Trigger) -> Result<Trigger, Stop> {
    let given = |text: &Option<String>| text.as_deref().map(str::trim).map(str::to_owned);
    let every_ms = match given(&args.every) {
        None => before.every_ms,
        Some(text) if text.is_empty() => None,
        Some(text) => Some(length("--every", &text)?),
    };
    let cron = given(&args.cron).map_or(before.cron, |text| Some(text).filter(|t| !t.is_empty()));
    Ok(Trigger { every_ms, cron, event: args.on_event.map_or(before.event, |y| y == YesNo::Yes) })
}

async fn add(cx: &mut Cx<'_>, args: RuleAdd) -> Done {
    let name = rule_name(&args.name)?;
    let registry = |text: &str| text.parse::<RegistryName>().map_err(|e| Stop::usage(&e));
    let from = args.from.as_deref().map(registry).transpose()?;
    let engine = act::connect(cx).await?;
    let world = cx.present(&engine);
    let before = world.replication.rule(&name).map(|view| view.rule.clone());
    let Some(source) = from.or_else(|| before.as_ref().map(|r| r.source.clone())) else {
        let fault = Fault::new(Kind::Invalid, format!("{name} is not known yet: say where images come from"));
        return Err(Stop::usage(&fault.hint(format!("longshore replicate rule add {name} --from A --to B"))));
    };
    let before = before.unwrap_or_else(|| Rule::new(name, source.clone()));
    let yes = |given: Option<YesNo>, was: bool| given.map_or(was, |y| y == YesNo::Yes);
    let prefix = match args.prefix.as_deref().map(str::trim) {
        None => before.prefix.clone(),
        Some("") => None,
        Some(path) => Some(path.parse().map_err(|e: Fault| Stop::usage(&e))?),
    };
    let deletes = yes(args.deletes, before.deletes == Deletes::Review);
    let rule = Rule {
        source,
        targets: kept_list(args.to.clone(), before.targets.clone(), registry)?,
        two_way: yes(args.two_way, before.two_way),
        filters: filters(&args, &before.filters),
        platforms: kept_list(args.platforms.clone(), before.platforms.clone(), platform)?,
        trigger: trigger(&args, before.trigger.clone())?,
        deletes: if deletes { Deletes::Review } else { Deletes::Keep },
        grace_ms: args.grace.as_deref().map(|text| length("--grace", text)).transpose()?.or(before.grace_ms),
        prefix,
        priority: args.priority.unwrap_or(before.priority),
        enabled: yes(args.enabled, before.enabled),
        name: before.name,
    };
    act::send(cx, &engine, vec![Command::PutRule(Box::new(rule))], act::Patience::Default).await
}

async fn rules(cx: &mut Cx<'_>) -> Done {
    let engine = cx.open(Purpose::Look).await?;
    let world = cx.settled(&engine).await?;
    if cx.json {
        cx.print.json(&world.replication.rules)?;
        return Ok(listing_status(&world));
    }
    if world.replication.rules.is_empty() {
        cx.print.note("there is no rule: `longshore replicate rule add NAME --from A --to B`");
        return Ok(listing_status(&world));
    }
    use Side::{Cut, Left};
    let mut table = Table::new(&[("RULE", Left), ("FROM", Left), ("TO", Cut), ("LAST RUN", Cut)]);
    for view in &world.replication.rules {
        let targets: Vec<&str> = view.rule.targets.iter().map(RegistryName::as_str).collect();
        let to = format!("{}{}", if view.rule.two_way { "⇄ " } else { "" }, targets.join(", "));
        let last =
            view.run.as_ref().map_or_else(|| "-".to_owned(), |run| format!("{} {:?}", run.id, run.state));
        table.row([view.rule.name.to_string(), view.rule.source.to_string(), to, last]);
    }
    lists::print_table(cx, &table)?;
    Ok(listing_status(&world))
}

async fn status(cx: &mut Cx<'_>) -> Done {
    let engine = cx.open(Purpose::Look).await?;
    let world = cx.settled(&engine).await?;
    let replication = &world.replication;
    if cx.json {
        cx.print.json(&**replication)?;
        return Ok(listing_status(&world));
    }
    use Side::{Cut, Left, Right};
    let heads = [
        ("RUN", Left),
        ("RULE", Left),
        ("STATE", Left),
        ("TAGS DONE", Right),
        ("FAILED", Right),
        ("BYTES", Right),
        ("OF", Right),
        ("REASON", Cut),
    ];
    let mut table = Table::new(&heads);
    for run in replication.rules.iter().filter_map(|r| r.run.as_ref()) {
        let state = serde_json::to_value(run.state).ok();
        let state = state.as_ref().and_then(|s| s.as_str()).unwrap_or("-").to_owned();
        table.row([
            run.id.to_string(),
            run.rule.to_string(),
            state,
            (run.tags.same + run.tags.done).to_string(),
            run.tags.failed.to_string(),
            bytes(run.moved),
            bytes(run.bytes),
            run.reason.as_ref().map_or_else(|| "-".to_owned(), |why| why.safe().into_owned()),
        ]);
    }
    lists::print_table(cx, &table)?;
    Ok(listing_status(&world))
}

async fn diff(cx: &mut Cx<'_>, rule: &str, all: bool) -> Done {
    let rule = rule_name(rule)?;
    let engine = act::connect(cx).await?;
    let mut rows: Vec<DiffRow> = Vec::new();
    let mut after = None;
    loop {
        let ask = PageAsk { filter: String::new(), after, limit: PAGE };
        let request = Request::Query(Query::Diff { rule: rule.clone(), ask });
        let Reply::Diff(page) = cx.ask(&engine, request).await? else { return Err(Stop::misfit()) };
        rows.extend(page.items.into_iter().filter(|row| all || row.difference != Difference::Same));
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    if cx.json {
        cx.print.json(&rows)?;
    } else {
        let mut table = Table::new(&[("LINE", Side::Left), ("IMAGE", Side::Cut), ("DIFFERENCE", Side::Left)]);
        for row in &rows {
            let word = serde_json::to_value(&row.difference).ok();
            let word = word.as_ref().and_then(|w| w.as_str()).unwrap_or("unknown").to_owned();
            table.row([row.line.to_string(), format!("{}:{}", row.repository, row.tag), word]);
        }
        lists::print_table(cx, &table)?;
    }
    let differs = rows.iter().any(|row| row.difference != Difference::Same);
    Ok(u8::from(differs))
}
