//! `replicate run` and `retry`: begun, and followed to the end when that is asked for.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};

use crate::base::ids::RuleName;
use crate::base::text::{bytes, count, took};
use crate::cli::act::{self, Patience};
use crate::cli::cx::{Cx, Done, Engine, Stop};
use crate::cli::{DONE, FAILED};
use crate::model::command::Command;
use crate::model::query::{PageAsk, Query, Reply, Request};
use crate::model::replication::{RunId, RunState, RunView};
use crate::view::json::registries::RunRecord;
use crate::view::replication::{needs_person, rate, run_line, run_stands, run_tags, tag_stands};

/// Shortest time between two progress lines where lines are not written over.
const LINE_EVERY: Duration = Duration::from_secs(2);
/// Shortest time between two progress lines that are written over.
const REWRITE_EVERY: Duration = Duration::from_millis(200);
/// Tags that could not be brought, named one by one at the end.
const NAMED: usize = 10;
/// Runs that are asked for when the one in question is not shown any more.
const LOOK_BACK: u32 = 50;

/// Begins a run by this command, and stays until it is over if that is wanted or nobody else would do the work.
pub async fn begin(cx: &mut Cx<'_>, command: Command, rule: RuleName, patience: Patience) -> Done {
    let engine = act::connect(cx).await?;
    begin_on(cx, &engine, command, rule, patience).await
}

/// The same on an engine that is connected already.
pub async fn begin_on(
    cx: &mut Cx<'_>,
    engine: &Engine,
    command: Command,
    rule: RuleName,
    patience: Patience,
) -> Done {
    if engine.own {
        cx.print.note(
            "no engine is running: this command does the work itself; leave it running or start `longshore engine`",
        );
    }
    act::acknowledge(cx, engine, command).await?;
    if patience == Patience::Default && !engine.own {
        return Ok(DONE);
    }
    // A rule never runs twice at once: its newest run is the one that was begun, or joined.
    let Some(run) = runs(cx, engine, &rule, 1).await?.into_iter().next() else { return Err(Stop::misfit()) };
    let over = until_over(cx, engine, &rule, run.id, patience).await?;
    tell_end(cx, engine, &over).await
}

async fn runs(cx: &Cx<'_>, engine: &Engine, rule: &RuleName, limit: u32) -> Result<Vec<RunView>, Stop> {
    let query = Query::Runs { rule: Some(rule.clone()), limit };
    match cx.ask(engine, Request::Query(query)).await? {
        Reply::Runs(runs) => Ok(runs),
        _ => Err(Stop::misfit()),
    }
}

async fn until_over(
    cx: &mut Cx<'_>,
    engine: &Engine,
    rule: &RuleName,
    id: RunId,
    patience: Patience,
) -> Result<RunView, Stop> {
    let limit = match patience {
        Patience::AtMost(limit) => Some((Instant::now() + limit, limit)),
        Patience::Default | Patience::Forever => None,
    };
    let end = async {
        match limit {
            Some((end, _)) => sleep_until(end).await,
            None => pending().await,
        }
    };
    tokio::pin!(end);
    let mut worlds = engine.handle.world();
    let mut tick = interval(LINE_EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut shown: Option<Instant> = None;
    loop {
        let world = Arc::clone(&worlds.borrow_and_update());
        let mut found = world.replication.rule(rule).and_then(|r| r.run.clone()).filter(|r| r.id == id);
        if found.is_none() {
            found = runs(cx, engine, rule, LOOK_BACK).await?.into_iter().find(|r| r.id == id);
        }
        if let Some(run) = found {
            if run.state.is_over() {
                return Ok(run);
            }
            let every = if cx.print.rewrites() { REWRITE_EVERY } else { LINE_EVERY };
            if shown.is_none_or(|at| at.elapsed() >= every) {
                let line = format!("{id} {rule}: {}", run_line(&run, cx.now()));
                cx.print.progress(&line);
                shown = Some(Instant::now());
            }
        }
        tokio::select! {
            changed = worlds.changed() => {
                changed.map_err(|_| Stop::said(format!("the engine has stopped before {id} was over"))
                    .hint("the next engine goes on with it: start `longshore engine`, or open the console"))?;
            }
            _ = tick.tick() => {}
            () = &mut end => {
                let ms = limit.map_or(0, |(_, l)| u64::try_from(l.as_millis()).unwrap_or(u64::MAX));
                return Err(Stop::said(format!("{id} is not over after {}", took(ms))).hint(goes_on(engine)));
            }
            () = cx.interrupted() => {
                let text = format!("{id} has begun and is not over; waiting was given up");
                return Err(Stop::said(text).hint(goes_on(engine)));
            }
        }
    }
}

fn goes_on(engine: &Engine) -> &'static str {
    if engine.own {
        "it is kept, and the next engine goes on with it: start `longshore engine`, or open the console"
    } else {
        "the engine goes on with it: `longshore replicate status` shows where it stands"
    }
}

/// What became of a run in a sentence.
fn summary(run: &RunView) -> String {
    let (right, all) = run_tags(run);
    let ms = run.ended.map_or(0, |at| at.since(run.began));
    let mut out = format!("{} {}: {} in {}", run.id, run.rule, run_stands(run).1, took(ms));
    if run.state == RunState::Failed {
        return out;
    }
    out += &format!(": {right} of {} as they should be", count(u64::from(all), "tag"));
    if run.moved > 0 {
        out += &format!(", {} moved", bytes(run.moved));
        out += &run
            .moved
            .saturating_mul(1000)
            .checked_div(ms)
            .map(|n| format!(" ({})", rate(n)))
            .unwrap_or_default();
    }
    if run.tags.extra > 0 {
        out += &format!(", {} on one side only", count(u64::from(run.tags.extra), "tag"));
    }
    out
}

async fn tell_end(cx: &mut Cx<'_>, engine: &Engine, run: &RunView) -> Done {
    if cx.json {
        cx.print.json_line(&RunRecord::of(run))?;
    } else {
        cx.print.line(&summary(run))?;
    }
    cx.print.flush()?;
    if run.state == RunState::Done {
        return Ok(DONE);
    }
    if run.state == RunState::Stopped {
        return Err(Stop::said(format!("{} was stopped", run.id))
            .hint(format!("`longshore replicate run {}` begins anew; what has arrived stays", run.rule)));
    }
    if let Some(why) = &run.reason {
        cx.print.note(&format!("{}: {why}", run.id));
    }
    let ask = PageAsk { limit: 100, ..PageAsk::default() };
    if let Reply::RunTags(page) = cx.ask(engine, Request::Query(Query::RunTags { run: run.id, ask })).await? {
        for tag in page.items.iter().filter(|tag| needs_person(tag)).take(NAMED) {
            let (_, word, why) = tag_stands(tag);
            let why = why.map(|why| format!(": {why}")).unwrap_or_default();
            cx.print.note(&format!("{}:{} to {} {word}{why}", tag.repository, tag.tag, tag.line.to));
        }
    }
    let open = run.tags.failed + run.tags.conflicts + run.tags.unknown;
    if open > 0 {
        cx.print.note(&format!("hint: `longshore replicate tags {} --failed` names all", run.id));
    }
    Ok(FAILED)
}
