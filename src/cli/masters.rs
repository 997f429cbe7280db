//! `replicate conflicts`, `resolve`, `deletes`, `verify`: what waits for somebody between two registries, and the proof of a rule.

use std::time::Duration;

use crate::base::fault::{Fault, Kind};
use crate::base::ids::RuleName;
use crate::base::stamp::rfc3339;
use crate::base::text::{age, bytes, count};
use crate::cli::args::replicate::{DeletesArgs, ResolveArgs, VerifyArgs};
use crate::cli::cx::{Cx, Done, Engine, Stop};
use crate::cli::{DONE, FAILED, Purpose, act, list as lists};
use crate::model::command::Command;
use crate::model::oci::{Digest, Repository, Tag};
use crate::model::query::{PageAsk, Query, Reply, Request};
use crate::model::replication::RunId;
use crate::model::replication::known::{Answer, Choice, Conflict};
use crate::model::replication::review::{Report, Review};
use crate::view::table::{Side, Table};

/// Rows that are asked for at a time.
const PAGE: u32 = 1_000;
/// While something is being carried out, it is looked at so often.
const LOOK_EVERY: Duration = Duration::from_millis(300);

fn rule_name(text: &str) -> Result<RuleName, Stop> {
    text.parse().map_err(|e| Stop::usage(&e))
}

/// `REPOSITORY:TAG`, as the source calls it.
fn image(text: &str) -> Result<(Repository, Tag), Stop> {
    let bad = || {
        let fault = Fault::new(Kind::Invalid, format!("{text:?} is not REPOSITORY:TAG"));
        Stop::usage(&fault.hint("write it as the rule's source calls it, such as feed/web:v1"))
    };
    let (repository, tag) = text.rsplit_once(':').ok_or_else(bad)?;
    Ok((repository.parse().map_err(|_| bad())?, tag.parse().map_err(|_| bad())?))
}

async fn all_conflicts(cx: &Cx<'_>, engine: &Engine, rule: Option<&RuleName>) -> Result<Vec<Conflict>, Stop> {
    let (mut out, mut after) = (Vec::new(), None);
    loop {
        let ask = PageAsk { filter: String::new(), after, limit: PAGE };
        let request = Request::Query(Query::Conflicts { rule: rule.cloned(), ask });
        let Reply::Conflicts(page) = cx.ask(engine, request).await? else { return Err(Stop::misfit()) };
        out.extend(page.items);
        after = page.next;
        if after.is_none() {
            return Ok(out);
        }
    }
}

/// `longshore replicate conflicts`
pub async fn conflicts(cx: &mut Cx<'_>, rule: Option<&str>) -> Done {
    let rule = rule.map(rule_name).transpose()?;
    let engine = cx.open(Purpose::Look).await?;
    let all = all_conflicts(cx, &engine, rule.as_ref()).await?;
    if cx.json {
        cx.print.json(&all)?;
        return Ok(DONE);
    }
    use Side::{Cut, Left};
    let heads =
        [("RULE", Left), ("IMAGE", Cut), ("SOURCE", Left), ("TARGET", Left), ("STATE", Left), ("WHY", Cut)];
    let mut table = Table::new(&heads);
    let side = |digest: &Option<Digest>, name: &str| match digest {
        Some(digest) => format!("{name} {}", digest.short()),
        None => format!("{name} (deleted)"),
    };
    for c in &all {
        let state = match (&c.answered, &c.trouble) {
            (Some(answered), None) => format!("being done, {} chose", answered.by),
            (Some(_), Some(_)) => "tried again".to_owned(),
            (None, _) => "waits".to_owned(),
        };
        let why = c.trouble.as_ref().map_or_else(|| c.why.clone(), |t| format!("{}; {}", c.why, t.safe()));
        table.row([
            c.rule.to_string(),
            format!("{}:{}", c.repository, c.tag),
            side(&c.source, c.line.from.as_str()),
            side(&c.target, c.line.to.as_str()),
            state,
            why,
        ]);
    }
    lists::print_table(cx, &table)?;
    if let Some(first) = all.iter().find(|c| c.answered.is_none()) {
        cx.print.note(&format!(
            "choose: longshore replicate resolve {} {}:{} --source|--target|--both",
            first.rule, first.repository, first.tag
        ));
    }
    Ok(DONE)
}

/// `longshore replicate resolve`
pub async fn resolve(cx: &mut Cx<'_>, args: ResolveArgs) -> Done {
    let rule = rule_name(&args.rule)?;
    let (repository, tag) = image(&args.image)?;
    let choice = match (args.choice.source, args.choice.target) {
        (true, _) => Choice::SourceWins,
        (_, true) => Choice::TargetWins,
        _ => Choice::KeepBoth,
    };
    let engine = act::connect(cx).await?;
    let is_it = |c: &&Conflict| c.repository == repository && c.tag == tag;
    let all = all_conflicts(cx, &engine, Some(&rule)).await?;
    let Some(conflict) = all.iter().find(is_it) else {
        return Err(Stop::said(format!("{repository}:{tag} is not in conflict by rule {rule}"))
            .hint(format!("see `longshore replicate conflicts {rule}`; a run looks anew")));
    };
    let answer = Answer { choice, source: conflict.source.clone(), target: conflict.target.clone() };
    let line = conflict.line.clone();
    let (of, name) = (repository.clone(), tag.clone());
    act::acknowledge(cx, &engine, Command::ResolveConflict { line, repository: of, tag: name, answer })
        .await?;
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        let all = all_conflicts(cx, &engine, Some(&rule)).await?;
        let Some(now) = all.iter().find(is_it) else {
            if !cx.json {
                cx.print.line(&format!("done: {repository}:{tag} is the same on both sides"))?;
            }
            return Ok(DONE);
        };
        if let Some(why) = &now.trouble {
            let next = if now.answered.is_some() {
                "it is tried again with the next run".to_owned()
            } else {
                format!("look at it again: longshore replicate conflicts {rule}")
            };
            return Err(
                Stop::said(format!("{repository}:{tag} is still in conflict: {}", why.safe())).hint(next)
            );
        }
    }
}

async fn reviews(cx: &Cx<'_>, engine: &Engine, rule: &RuleName) -> Result<Vec<Review>, Stop> {
    let request = Request::Query(Query::Reviews { rule: Some(rule.clone()) });
    let Reply::Reviews(all) = cx.ask(engine, request).await? else { return Err(Stop::misfit()) };
    Ok(all)
}

/// `longshore replicate deletes`
pub async fn deletes(cx: &mut Cx<'_>, args: DeletesArgs) -> Done {
    let rule = rule_name(&args.rule)?;
    let keep = args.keep.iter().map(|text| image(text)).collect::<Result<Vec<_>, Stop>>()?;
    let yes = args.yes.as_deref().map(str::parse::<RunId>).transpose().map_err(|e| Stop::usage(&e))?;
    if yes.is_none() && keep.is_empty() {
        let engine = cx.open(Purpose::Look).await?;
        let all = reviews(cx, &engine, &rule).await?;
        return list_deletes(cx, &rule, &all);
    }
    let engine = act::connect(cx).await?;
    let all = reviews(cx, &engine, &rule).await?;
    let proposed: usize = all.iter().map(|r| r.plan.items.len()).sum();
    let Some(newest) = all.iter().filter(|r| !r.plan.items.is_empty()).map(|r| r.run).max() else {
        return Err(Stop::said(format!("no deletion of {rule} waits for a yes"))
            .hint(format!("see why: longshore replicate deletes {rule}")));
    };
    // A yes is for what was looked at: the engine refuses it when another run has compared since.
    let run = yes.unwrap_or(newest);
    let left = proposed.saturating_sub(keep.len());
    if !keep.is_empty() {
        let command = Command::SpareDeletes { rule: rule.clone(), run, tags: keep };
        act::acknowledge(cx, &engine, command).await?;
    }
    if yes.is_none() || left == 0 {
        return Ok(DONE);
    }
    act::acknowledge(cx, &engine, Command::ConfirmDeletes { rule: rule.clone(), run }).await?;
    let going: Vec<_> = all.iter().flat_map(|r| r.plan.items.clone()).collect();
    let held = loop {
        tokio::time::sleep(LOOK_EVERY).await;
        let now = reviews(cx, &engine, &rule).await?;
        if now.iter().all(|r| r.going.is_empty()) {
            break now.into_iter().flat_map(|r| r.plan.held).collect::<Vec<_>>();
        }
    };
    let stays = |h: &&crate::model::replication::review::Held| {
        going.iter().any(|i| i.repository == h.repository && i.tag == h.tag)
    };
    let stayed: Vec<_> = held.iter().filter(stays).collect();
    if !cx.json {
        let gone = u64::try_from(left.saturating_sub(stayed.len())).unwrap_or(u64::MAX);
        cx.print.line(&format!("deleted {}", count(gone, "tag")))?;
    }
    for held in &stayed {
        cx.print.note(&format!(
            "{}:{} stays at the {}: {}",
            held.repository,
            held.tag,
            held.at.noun(),
            held.why
        ));
    }
    Ok(if stayed.is_empty() { DONE } else { FAILED })
}

fn list_deletes(cx: &mut Cx<'_>, rule: &RuleName, all: &[Review]) -> Done {
    if cx.json {
        cx.print.json(&all)?;
        return Ok(DONE);
    }
    use Side::{Cut, Left, Right};
    let heads = [("IMAGE", Cut), ("AT", Left), ("DIGEST", Left), ("GONE", Right), ("STATE", Cut)];
    let mut table = Table::new(&heads);
    for review in all {
        let at = |side: crate::model::replication::known::Side| match side {
            crate::model::replication::known::Side::Source => review.line.from.to_string(),
            crate::model::replication::known::Side::Target => review.line.to.to_string(),
        };
        let name = |repository: &Repository, tag: &Tag| format!("{repository}:{tag}");
        for item in &review.plan.items {
            let digest = item.digest.short().to_owned();
            let gone = age(review.at.since(item.gone_since));
            table.row([
                name(&item.repository, &item.tag),
                at(item.at),
                digest,
                gone,
                "waits for a yes".to_owned(),
            ]);
        }
        for going in &review.going {
            let (item, state) = (&going.item, format!("being deleted, {} said yes", going.by));
            let gone = age(review.at.since(item.gone_since));
            table.row([
                name(&item.repository, &item.tag),
                at(item.at),
                item.digest.short().to_owned(),
                gone,
                state,
            ]);
        }
        for held in &review.plan.held {
            let dash = "-".to_owned();
            let state = format!("stays: {}", held.why);
            table.row([name(&held.repository, &held.tag), at(held.at), dash.clone(), dash, state]);
        }
    }
    lists::print_table(cx, &table)?;
    if let Some(run) = all.iter().filter(|r| !r.plan.items.is_empty()).map(|r| r.run).max() {
        cx.print.note(&format!(
            "say yes: longshore replicate deletes {rule} --yes {run}; no to some: --keep REPOSITORY:TAG"
        ));
    }
    Ok(DONE)
}

/// `longshore replicate verify`
pub async fn verify(cx: &mut Cx<'_>, args: VerifyArgs) -> Done {
    let rule = rule_name(&args.rule)?;
    // Where no engine runs this looks by itself, and begins nothing: neither runs that are due nor repairs of pools.
    let engine = cx.open(Purpose::Look).await?;
    if engine.own && !args.kept {
        cx.print.note("no engine is running: the report is shown and not kept");
    }
    let request = Request::Query(Query::Verify { rule, kept: args.kept, read: args.read });
    let Reply::Reports(all) = cx.ask(&engine, request).await? else { return Err(Stop::misfit()) };
    if cx.json {
        cx.print.json(&all)?;
    } else {
        all.iter().try_for_each(|report| print_report(cx, report))?;
        if all.is_empty() {
            cx.print
                .note(&format!("no report is kept: `longshore replicate verify {}` makes one", args.rule));
        }
    }
    let whole = all.first().is_none_or(Report::is_whole);
    Ok(if whole { DONE } else { FAILED })
}

fn print_report(cx: &mut Cx<'_>, report: &Report) -> Result<(), Stop> {
    let how = if report.read { "every blob read" } else { "every blob looked for" };
    cx.print.line(&format!(
        "{} at {}: {} of {} the same, {} in conflict, {} extra; {how}, {:.1} s",
        report.rule,
        rfc3339(report.at),
        report.same,
        count(report.tags.into(), "tag"),
        report.conflicts,
        report.extra,
        f64::from(u32::try_from(report.took_ms).unwrap_or(u32::MAX)) / 1000.0
    ))?;
    for end in &report.ends {
        cx.print.line(&format!(
            "  {}: {}, {}, {}",
            end.registry,
            count(end.manifests.into(), "manifest"),
            count(end.blobs.into(), "blob"),
            bytes(end.bytes)
        ))?;
    }
    for finding in &report.findings {
        cx.print.line(&format!("  ! {}", finding.safe()))?;
    }
    let more = usize::try_from(report.found).unwrap_or(usize::MAX).saturating_sub(report.findings.len());
    if more > 0 {
        cx.print.line(&format!("  ! and {more} more"))?;
    }
    let verdict = if report.is_whole() { "all is whole" } else { "NOT whole" };
    cx.print.line(&format!("  {verdict}"))
}
