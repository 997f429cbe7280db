//! Waiting for operations: where they stand, that they are over, or what is missing when patience ends.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};

use crate::base::ids::OpId;
use crate::base::text::{count, took};
use crate::cli::act::Patience;
use crate::cli::cx::{Cx, Done, Engine, Stop};
use crate::cli::{DONE, FAILED};
use crate::model::operation::{OpKind, OpStatus, Operation};
use crate::model::query::{Query, Reply, Request};
use crate::model::world::{SlotStatus, World};
use crate::view::json::OpRecord;

/// Shortest time between two progress lines where lines are not written over.
const LINE_EVERY: Duration = Duration::from_secs(1);
/// Shortest time between two progress lines that are written over.
const REWRITE_EVERY: Duration = Duration::from_millis(100);
/// Operations asked for when the world does not show ours any more.
const LOOK_BACK: u32 = 200;

/// Waits until all operations are over, or patience ends. Gives 0 when all did what was asked.
pub async fn until_over(cx: &mut Cx<'_>, engine: &Engine, ops: &[OpId], patience: Patience) -> Done {
    let limit = match patience {
        Patience::AtMost(limit) => Some((Instant::now() + limit, limit)),
        Patience::Default | Patience::Forever => None,
    };
    let mut status = DONE;
    for op in ops {
        let ended = one(cx, engine, *op, limit).await?;
        // A failed operation does not end the waiting for the others.
        status = status.max(match tell_end(cx, &ended) {
            Err(stop @ Stop::Said { .. }) => cx.report(stop),
            told => told?,
        });
    }
    Ok(status)
}

async fn one(
    cx: &mut Cx<'_>,
    engine: &Engine,
    op: OpId,
    limit: Option<(Instant, Duration)>,
) -> Result<Operation, Stop> {
    let mut worlds = engine.handle.world();
    let mut tick = interval(LINE_EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    tick.tick().await;
    let mut strip = Strip::default();
    let mut last = None;
    let mut ask = false;
    loop {
        let world = Arc::clone(&worlds.borrow_and_update());
        let mut found = world.operations.iter().find(|o| o.id == op).cloned();
        if found.is_none() && std::mem::take(&mut ask) {
            found = look_back(cx, engine, op).await?;
        }
        if let Some(found) = found {
            if found.status.is_over() {
                return Ok(found);
            }
            strip.show(cx, &found);
            last = Some(found);
        }
        tokio::select! {
            changed = worlds.changed() => {
                changed.map_err(|_| gone(op))?;
            }
            _ = tick.tick() => ask = true,
            () = until(limit) => return Err(timed_out(op, last.as_ref(), &world, limit, engine.own)),
            () = cx.interrupted() => return Err(left_alone(op, engine.own)),
        }
    }
}

async fn until(limit: Option<(Instant, Duration)>) {
    match limit {
        Some((end, _)) => sleep_until(end).await,
        None => pending().await,
    }
}

async fn look_back(cx: &Cx<'_>, engine: &Engine, op: OpId) -> Result<Option<Operation>, Stop> {
    match cx.ask(engine, Request::Query(Query::Operations { limit: LOOK_BACK })).await? {
        Reply::Operations(all) => Ok(all.into_iter().find(|o| o.id == op)),
        _ => Err(Stop::misfit()),
    }
}

/// The progress lines: each change, but not too often for a terminal or a log file.
#[derive(Default)]
struct Strip {
    shown: Option<(String, Instant)>,
}

impl Strip {
    fn show(&mut self, cx: &mut Cx<'_>, op: &Operation) {
        let words = progress(op);
        let due = match &self.shown {
            None => true,
            Some((_, at)) if cx.print.rewrites() => at.elapsed() >= REWRITE_EVERY,
            Some((before, at)) => *before != words && at.elapsed() >= LINE_EVERY,
        };
        if due {
            let eta = op.progress.eta_ms.map_or_else(String::new, |ms| format!(", eta {}", took(ms)));
            cx.print.progress(&format!("{words}{eta}"));
            self.shown = Some((words, Instant::now()));
        }
    }
}

/// Where an operation stands, without what changes by itself.
fn progress(op: &Operation) -> String {
    let p = &op.progress;
    if matches!(op.kind, OpKind::Prewarm(_)) {
        return format!("{} {}: {}", op.id, op.kind.word(), crate::view::ops::line(op, op.at));
    }
    let mut words = vec![
        format!("placed {}/{}", p.placed, p.target),
        format!("created {}", p.created),
        format!("running {}", p.running),
        format!("healthy {}", p.healthy),
    ];
    let more = [(p.pulling, "pulling"), (p.leaving, "leaving"), (p.failed, "failed")];
    words.extend(more.into_iter().filter(|(n, _)| *n > 0).map(|(n, word)| format!("{word} {n}")));
    let mut line = format!("{} {}: {}", op.id, op.kind.word(), words.join(", "));
    if let Some(reason) = &p.reason {
        line.push_str(&format!(" ({reason})"));
    }
    match &op.status {
        OpStatus::Stalled { why } => format!("{line}, stalled: {why}"),
        OpStatus::Queued { behind } => format!("{} {}: queued behind {behind}", op.id, op.kind.word()),
        _ => line,
    }
}

/// So many pools are named at the end of an operation; of more only the first is.
const NAMED_POOLS: usize = 8;

fn tell_end(cx: &mut Cx<'_>, op: &Operation) -> Done {
    if cx.json {
        cx.print.json_line(&OpRecord::of(op))?;
        return Ok(if op.status == OpStatus::Done { DONE } else { FAILED });
    }
    let pools: Vec<String> = op.pools.iter().map(ToString::to_string).collect();
    let few = pools.len() <= NAMED_POOLS;
    let what = match &op.kind {
        OpKind::Scale { from, to, .. } => format!("{} {from} -> {to}", pools.join(", ")),
        OpKind::Up | OpKind::Down | OpKind::Restart if few => {
            format!("{} {}", op.kind.word(), pools.join(", "))
        }
        _ => crate::view::ops::what(op),
    };
    match &op.status {
        OpStatus::Done => {
            let time = op.ended.map_or_else(String::new, |at| format!(" in {}", took(at.since(op.at))));
            cx.print.line(&format!("{} done: {what}{time}", op.id))?;
            Ok(DONE)
        }
        OpStatus::Failed { why } => Err(Stop::said(format!("{} failed: {what}: {why}", op.id))
            .hint(format!("`longshore journal --op {}` shows what was tried", op.id.0))),
        OpStatus::Superseded { by } => Err(Stop::said(format!("{} was replaced by {by}: {what}", op.id))
            .hint(format!("`longshore journal --op {}` shows who asked for it", by.0))),
        other => Err(Stop::said(format!("{} is {}: {what}", op.id, other.word()))),
    }
}

fn timed_out(
    op: OpId,
    last: Option<&Operation>,
    world: &World,
    limit: Option<(Instant, Duration)>,
    own: bool,
) -> Stop {
    let ms = limit.map_or(0, |(_, time)| u64::try_from(time.as_millis()).unwrap_or(u64::MAX));
    let missing = last.map_or_else(|| "the engine has not shown it yet".to_owned(), |o| missing(o, world));
    Stop::said(format!("{op} is not over after {}: {missing}", took(ms))).hint(goes_on(own))
}

/// What is not yet the case, and why.
fn missing(op: &Operation, world: &World) -> String {
    let p = &op.progress;
    if matches!(op.kind, OpKind::Prewarm(_)) {
        return crate::view::ops::line(op, op.at);
    }
    let mut parts = Vec::new();
    if p.healthy < p.target {
        parts.push(format!("{} of {} healthy", p.healthy, count(p.target.into(), "container")));
    }
    if p.placed < p.target {
        parts.push(format!("{} without a host", p.target - p.placed));
    }
    if p.pulling > 0 {
        parts.push(format!("{} being pulled", count(p.pulling.into(), "image")));
    }
    if p.leaving > 0 {
        parts.push(format!("{} still to go", count(p.leaving.into(), "container")));
    }
    if p.failed > 0 {
        let why = p.reason.as_deref().unwrap_or("no reason known");
        parts.push(format!("{} failed: {why}", p.failed));
    }
    match &op.status {
        OpStatus::Stalled { why } => parts.push(format!("stalled: {why}")),
        OpStatus::Queued { behind } => parts.push(format!("queued behind {behind}")),
        _ => {}
    }
    let pools = || op.pools.iter().filter_map(|id| world.pool(id));
    parts.extend(pools().flat_map(|view| &view.waits).map(|w| format!("{} waiting: {}", w.slots, w.why)));
    if p.failed == 0 && parts.len() < 2 {
        // Between two attempts nothing is failed or waits: what went wrong last is the reason all the same.
        let last = pools().flat_map(|view| &view.slots).filter(|s| s.status != SlotStatus::Running);
        let cause = last.filter_map(|s| s.instance.as_ref()?.cause.clone()).next();
        parts.extend(cause.map(|why| format!("last attempt: {why}")));
    }
    if parts.is_empty() { "it is still under way".to_owned() } else { parts.join("; ") }
}

fn goes_on(own: bool) -> &'static str {
    if own {
        "it is kept, and the next engine goes on with it: start `longshore engine`, or open the console"
    } else {
        "the engine goes on with it: `longshore ops` shows where it stands"
    }
}

fn left_alone(op: OpId, own: bool) -> Stop {
    let text = if own { "this command, which was the engine, ends now" } else { "waiting was given up" };
    Stop::said(format!("{op} is acknowledged but not over; {text}")).hint(goes_on(own))
}

fn gone(op: OpId) -> Stop {
    Stop::said(format!("the engine has stopped before {op} was over"))
        .hint("what was acknowledged is kept: start `longshore engine`, or open the console")
}
