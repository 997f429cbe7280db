//! `replicate`: rules, runs, how far each line is behind, and what differs.

mod follow;
mod limits;
mod show;

use crate::base::fault::{Fault, Kind};
use crate::base::ids::{RegistryName, RuleName};
use crate::cli::args::WaitArgs;
use crate::cli::args::registry::YesNo;
use crate::cli::args::replicate::{ReplicateVerb, RuleAdd, RuleVerb};
use crate::cli::cx::{Cx, Done, Stop};
use crate::cli::registry::kept_list;
use crate::cli::{act, masters};
use crate::model::command::Command;
use crate::model::oci::Platform;
use crate::model::replication::{Deletes, Filter, On, Pattern, Rule, RunId, Trigger};

/// `longshore replicate`
pub async fn run(cx: &mut Cx<'_>, verb: ReplicateVerb) -> Done {
    let command = match verb {
        ReplicateVerb::Status => return show::status(cx).await,
        ReplicateVerb::Matrix => return show::matrix(cx).await,
        ReplicateVerb::Runs { rule, limit } => return show::runs(cx, rule.as_deref(), limit).await,
        ReplicateVerb::Tags(args) => return show::tags(cx, &args).await,
        ReplicateVerb::Limits(args) => return limits::run(cx, args).await,
        ReplicateVerb::Conflicts { rule } => return masters::conflicts(cx, rule.as_deref()).await,
        ReplicateVerb::Resolve(args) => return masters::resolve(cx, args).await,
        ReplicateVerb::Deletes(args) => return masters::deletes(cx, args).await,
        ReplicateVerb::Verify(args) => return masters::verify(cx, args).await,
        ReplicateVerb::Diff { rule, all } => return show::diff(cx, &rule, all).await,
        ReplicateVerb::Rule { verb: RuleVerb::Ls } => return show::rules(cx).await,
        ReplicateVerb::Rule { verb: RuleVerb::Add(args) } => return add(cx, *args).await,
        ReplicateVerb::Rule { verb: RuleVerb::Rm { name } } => Command::RemoveRule(rule_name(&name)?),
        ReplicateVerb::Run { rule, wait } => {
            let (rule, patience) = (rule_name(&rule)?, act::Patience::read(&wait)?);
            return follow::begin(cx, Command::Replicate { rule: rule.clone() }, rule, patience).await;
        }
        ReplicateVerb::First { image } => Command::Prioritise { image, line: None },
        ReplicateVerb::Pause(one) => Command::PauseRun(run_id(&one.run)?),
        ReplicateVerb::Resume(one) => Command::ResumeRun(run_id(&one.run)?),
        ReplicateVerb::Stop(one) => Command::StopRun(run_id(&one.run)?),
        ReplicateVerb::Rejoin { rule, yes_name } => {
            Command::Rejoin { rule: rule_name(&rule)?, confirm: yes_name }
        }
        ReplicateVerb::Retry { run, wait } => return retry(cx, &run, &wait).await,
    };
    act::run(cx, vec![command], act::Patience::Default).await
}

fn rule_name(text: &str) -> Result<RuleName, Stop> {
    text.parse().map_err(|e| Stop::usage(&e))
}

fn run_id(text: &str) -> Result<RunId, Stop> {
    text.parse().map_err(|e| Stop::usage(&e))
}

async fn retry(cx: &mut Cx<'_>, run: &str, wait: &WaitArgs) -> Done {
    let run = run_id(run)?;
    let patience = act::Patience::read(wait)?;
    let engine = act::connect(cx).await?;
    let Some(rule) = cx.present(&engine).replication.run(run).map(|view| view.rule.clone()) else {
        return Err(Stop::said(format!("there is no {run}, or its rule has run since"))
            .hint("see `longshore replicate runs`; `longshore replicate run RULE` brings what is missing"));
    };
    follow::begin_on(cx, &engine, Command::RetryRun(run), rule, patience).await
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
        compare_referrers: yes(args.compare_referrers, before.compare_referrers),
        grace_ms: args.grace.as_deref().map(|text| length("--grace", text)).transpose()?.or(before.grace_ms),
        prefix,
        priority: args.priority.unwrap_or(before.priority),
        enabled: yes(args.enabled, before.enabled),
        name: before.name,
    };
    act::send(cx, &engine, vec![Command::PutRule(Box::new(rule))], act::Patience::Default).await
}
