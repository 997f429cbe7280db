//! `logs`: lines of a pool, a slot or any container, until the end or until Ctrl-C.

use serde::Serialize;

use crate::base::clock::Millis;
use crate::base::fault::{Fault, Kind};
use crate::base::stamp::{parse_rfc3339, rfc3339};
use crate::cli::args::LogsArgs;
use crate::cli::cx::{Cx, Done, Stop, read_span};
use crate::cli::target::{Named, Written};
use crate::cli::{DONE, Purpose};
use crate::model::logs::{LogChunk, LogRequest, LogTarget};
use crate::view::logs::{LogLines, LogRow};

/// Last lines of each container that are shown when neither `--tail` nor `--since` is given.
const TAIL: u32 = 100;

/// `longshore logs`
pub async fn run(cx: &mut Cx<'_>, args: LogsArgs) -> Done {
    let since = args.since.as_deref().map(|text| read_since(text, cx.now())).transpose()?;
    let tail = read_tail(args.tail.as_deref(), since.is_some())?;
    let written = Written::read(&args.target)?;
    let engine = cx.open(Purpose::Look).await?;
    let named = cx.find(&engine, |world| written.find(world)).await?;
    let target = match (named, args.previous) {
        (Named::Slot(pool, slot), true) => LogTarget::Previous(pool, slot),
        (_, true) => {
            let fault = Fault::new(Kind::Invalid, "--previous needs one slot of a pool");
            return Err(Stop::usage(&fault.hint("write CLUSTER/POOL.SLOT, for example feed/web.3")));
        }
        (Named::Pool(pool), false) => LogTarget::Pool(pool),
        (Named::Slot(pool, slot), false) => LogTarget::Slot(pool, slot),
        (Named::Container(host, id), false) => LogTarget::Container(host, id),
    };
    if !args.follow && !matches!(target, LogTarget::Container(..)) {
        // What there is, is read once: every host has to have said what it has.
        cx.settled(&engine).await?;
    }
    let request = LogRequest { target, since, tail, follow: args.follow };
    let mut chunks = engine.handle.tail(request)?;
    let mut lines = LogLines::new(args.timestamps);
    loop {
        let chunk = tokio::select! {
            chunk = chunks.recv() => chunk,
            () = cx.interrupted() => return Ok(DONE),
        };
        let Some(chunk) = chunk else {
            cx.print.flush()?;
            return Err(Stop::said("the engine has ended the log").hint("ask again to go on reading"));
        };
        let ended =
            if cx.json { print_json(cx, &mut lines, &chunk)? } else { print(cx, &mut lines, &chunk)? };
        cx.print.flush()?;
        if ended {
            return Ok(DONE);
        }
    }
}

fn read_since(text: &str, now: Millis) -> Result<Millis, Stop> {
    if let Some(ms) = read_span(text) {
        return Ok(Millis(now.0.saturating_sub(i64::try_from(ms).unwrap_or(i64::MAX))));
    }
    parse_rfc3339(text).map_err(|fault| {
        Stop::usage(&fault.hint("write 30s, 10m, 2h, 1d, or a time as 2026-11-20T21:42:30Z"))
    })
}

fn read_tail(text: Option<&str>, since: bool) -> Result<Option<u32>, Stop> {
    match text {
        None => Ok((!since).then_some(TAIL)),
        Some("all") => Ok(None),
        Some(text) => text.parse().map(Some).map_err(|_| {
            let fault = Fault::new(Kind::Invalid, format!("{text:?} is not a number of lines"));
            Stop::usage(&fault.hint("write a number, or all"))
        }),
    }
}

/// Prints a chunk; true when nothing more will come.
fn print(cx: &mut Cx<'_>, lines: &mut LogLines, chunk: &LogChunk) -> Result<bool, Stop> {
    for row in lines.rows(chunk) {
        match row {
            LogRow::Line { lane, prefix, text, .. } => cx.print.lane_line(lane, &prefix, &text)?,
            LogRow::About(text) => cx.print.line(&text)?,
            LogRow::End => return Ok(true),
        }
    }
    Ok(false)
}

#[derive(Serialize)]
struct LineRecord<'a> {
    at: String,
    at_ms: i64,
    lane: &'a str,
    stderr: bool,
    text: &'a str,
}

fn print_json(cx: &mut Cx<'_>, lines: &mut LogLines, chunk: &LogChunk) -> Result<bool, Stop> {
    match chunk {
        LogChunk::Lanes(_) => {
            lines.rows(chunk);
        }
        LogChunk::Lines(some) => {
            for line in some {
                let record = LineRecord {
                    at: rfc3339(line.at),
                    at_ms: line.at.0,
                    lane: lines.lane(line.lane),
                    stderr: line.stderr,
                    text: line.text.raw(),
                };
                cx.print.json_line(&record)?;
            }
        }
        LogChunk::Skipped(n) => cx.print.json_line(&serde_json::json!({ "skipped": n }))?,
        LogChunk::Note(text) => cx.print.json_line(&serde_json::json!({ "note": text }))?,
        LogChunk::End => return Ok(true),
    }
    Ok(false)
}
