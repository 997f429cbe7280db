//! `journal` and `ops`: what was done, and what is under way.

use crate::base::ids::{OpId, PoolId};
use crate::base::stamp::rfc3339;
use crate::base::text::{age, took};
use crate::cli::cx::{Cx, Done, Stop};
use crate::cli::{DONE, Purpose, list};
use crate::model::journal::Entry;
use crate::model::operation::{OpKind, OpStatus, Operation};
use crate::model::query::{Query, Reply, Request};
use crate::view::json::{EntryRecord, OpRecord};
use crate::view::table::{Side, Table};

/// Lines asked for at a time.
const PAGE: u32 = 500;

/// `longshore journal`: the newest lines, oldest of them first.
pub async fn journal(cx: &mut Cx<'_>, pool: Option<&str>, op: Option<&str>, limit: u32) -> Done {
    let pool: Option<PoolId> = pool.map(str::parse).transpose().map_err(|e| Stop::usage(&e))?;
    let op: Option<OpId> = op.map(str::parse).transpose().map_err(|e| Stop::usage(&e))?;
    let engine = cx.open(Purpose::Look).await?;
    let mut entries: Vec<Entry> = Vec::new();
    let mut left = limit;
    while left > 0 {
        let (before, page) = (entries.last().map(|e| e.seq), left.min(PAGE));
        let question = Query::Journal { before, limit: page, pool: pool.clone(), op };
        let Reply::Journal(some) = cx.ask(&engine, Request::Query(question)).await? else {
            return Err(Stop::misfit());
        };
        let got = u32::try_from(some.len()).unwrap_or(u32::MAX);
        entries.extend(some);
        left = if got < page { 0 } else { left.saturating_sub(got) };
    }
    entries.reverse();
    if cx.json {
        let records: Vec<EntryRecord> = entries.iter().map(EntryRecord::of).collect();
        cx.print.json(&records)?;
        return Ok(DONE);
    }
    if entries.is_empty() {
        cx.print.note("the journal has no such lines");
    }
    for entry in &entries {
        cx.print.line(&words(entry))?;
    }
    Ok(DONE)
}

fn words(entry: &Entry) -> String {
    let op = entry.op.map_or_else(|| "-".to_owned(), |op| op.to_string());
    let about = match (&entry.pool, entry.slot) {
        (Some(pool), Some(slot)) => format!(" {pool}.{slot}"),
        (Some(pool), None) => format!(" {pool}"),
        (None, _) => String::new(),
    };
    let host = entry.host.as_ref().map_or_else(String::new, |host| format!(" on {host}"));
    let (at, what, by, text) = (rfc3339(entry.at), entry.what.word(), &entry.by, &entry.text);
    format!("{at} {what:<8} {op:<6} {by}{about}{host}: {text}")
}

/// `longshore ops`: newest first.
pub async fn ops(cx: &mut Cx<'_>, limit: u32) -> Done {
    let engine = cx.open(Purpose::Look).await?;
    let Reply::Operations(all) = cx.ask(&engine, Request::Query(Query::Operations { limit })).await? else {
        return Err(Stop::misfit());
    };
    if cx.json {
        let records: Vec<OpRecord> = all.iter().map(OpRecord::of).collect();
        cx.print.json(&records)?;
        return Ok(DONE);
    }
    if all.is_empty() {
        cx.print.note("nothing has been asked for yet");
        return Ok(DONE);
    }
    let heads = ["OP", "WHAT", "POOLS", "STATUS", "BY", "AGE", "TOOK", "WHY"];
    let side = |head| if matches!(head, "POOLS" | "WHY") { Side::Cut } else { Side::Left };
    let mut table = Table::new(&heads.map(|head| (head, side(head))));
    let now = cx.now();
    for op in &all {
        table.row([
            op.id.to_string(),
            what(op),
            op.pools.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
            op.status.word().to_owned(),
            op.by.clone(),
            age(now.since(op.at)),
            op.ended.map_or_else(|| "-".to_owned(), |at| took(at.since(op.at))),
            why(&op.status),
        ]);
    }
    list::print_table(cx, &table)?;
    Ok(DONE)
}

fn what(op: &Operation) -> String {
    match &op.kind {
        OpKind::Scale { from, to, .. } => format!("{} {from} -> {to}", op.kind.word()),
        OpKind::Up | OpKind::Down | OpKind::Restart => op.kind.word().to_owned(),
        OpKind::Drain { hosts } => format!("{} {}", op.kind.word(), crate::view::ops::hosts(hosts)),
        OpKind::Rebalance { moves } => format!("{} {moves}", op.kind.word()),
        OpKind::Prewarm(_) => crate::view::ops::what(op),
    }
}

fn why(status: &OpStatus) -> String {
    match status {
        OpStatus::Failed { why } | OpStatus::Stalled { why } => why.clone(),
        OpStatus::Queued { behind } => format!("behind {behind}"),
        OpStatus::Superseded { by } => format!("by {by}"),
        OpStatus::Running | OpStatus::Done | OpStatus::Cancelled => String::new(),
    }
}
