//! `replicate limits`: what a line may carry, shown and changed.

use serde::Serialize;

use crate::base::fault::{Fault, Kind};
use crate::cli::args::replicate::LimitsArgs;
use crate::cli::cx::{Cx, Done, Stop};
use crate::cli::{DONE, Purpose, act};
use crate::model::command::Command;
use crate::model::replication::{Budget, Line, LineLimits};
use crate::view::replication::budget;

/// Blobs at a time on a line about which nobody has decided.
const PARALLEL: u32 = 8;

#[derive(Serialize)]
struct LimitsRecord<'a> {
    from: &'a str,
    to: &'a str,
    parallel: u32,
    budgets: &'a [Budget],
    now: Option<Budget>,
}

fn wrong(text: &str, what: &str) -> Stop {
    let fault = Fault::new(Kind::Invalid, format!("--budget: {text:?} {what}"));
    Stop::usage(&fault.hint("write HOURS=LIMIT, such as 9-18=10M/s, 22-6=50M/s,7200/h or all=5M/s"))
}

/// `10M` in bytes.
fn amount(text: &str) -> Option<u64> {
    let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let shift = match unit {
        "" | "B" => 0,
        "K" | "k" | "KiB" => 10,
        "M" | "MiB" => 20,
        "G" | "GiB" => 30,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(1 << shift).filter(|n| *n > 0)
}

/// Reads `9-18=10M/s,3600/h`.
fn read_budget(text: &str) -> Result<Budget, Stop> {
    let (hours, limits) = text.split_once('=').ok_or_else(|| wrong(text, "has no ="))?;
    let hour = |part: &str| part.trim().parse::<u8>().map_err(|_| wrong(text, "has no such hours"));
    let (from, until) = match hours.trim() {
        "all" => (0, 24),
        span => {
            let (from, until) = span.split_once('-').ok_or_else(|| wrong(text, "has no hours"))?;
            (hour(from)?, hour(until)?)
        }
    };
    let mut out = Budget { from, until, bytes_per_s: None, requests_per_hour: None };
    for limit in limits.split(',').map(str::trim) {
        let read = match limit.split_once('/') {
            Some((n, "s")) => amount(n).map(|n| out.bytes_per_s = Some(n)),
            Some((n, "h")) => {
                n.parse().ok().filter(|n: &u64| *n > 0).map(|n| out.requests_per_hour = Some(n))
            }
            _ => None,
        };
        read.ok_or_else(|| wrong(text, "has a limit that is neither bytes a second nor requests an hour"))?;
    }
    Ok(out)
}

/// `longshore replicate limits`
pub async fn run(cx: &mut Cx<'_>, args: LimitsArgs) -> Done {
    let line: Line = args.line.parse().map_err(|e| Stop::usage(&e))?;
    let given = args.budgets.as_ref().map(|all| all.iter().filter(|t| !t.trim().is_empty()));
    let budgets =
        given.map(|all| all.map(|t| read_budget(t)).collect::<Result<Vec<Budget>, Stop>>()).transpose()?;
    let changes = args.parallel.is_some() || budgets.is_some();
    let engine = if changes { act::connect(cx).await? } else { cx.open(Purpose::Look).await? };
    let world = cx.present(&engine);
    for end in [&line.from, &line.to] {
        if !world.registries.contains_key(end) {
            return Err(Stop::said(format!("there is no registry {end}")).hint("see `longshore registry ls`"));
        }
    }
    let view = world.replication.line(&line);
    let before = view.and_then(|v| v.limits.clone());
    let before =
        before.unwrap_or_else(|| LineLimits { line: line.clone(), parallel: PARALLEL, budgets: Vec::new() });
    if changes {
        let limits = LineLimits {
            line,
            parallel: args.parallel.unwrap_or(before.parallel),
            budgets: budgets.unwrap_or(before.budgets),
        };
        return act::send(cx, &engine, vec![Command::PutLineLimits(limits)], act::Patience::Default).await;
    }
    let now = view.and_then(|v| v.budget);
    if cx.json {
        let (from, to) = (line.from.as_str(), line.to.as_str());
        let (parallel, budgets) = (before.parallel, before.budgets.as_slice());
        cx.print.json(&LimitsRecord { from, to, parallel, budgets, now })?;
        return Ok(DONE);
    }
    cx.print.line(&format!("line: {line}"))?;
    cx.print.line(&format!("blobs at a time: {}", before.parallel))?;
    for one in &before.budgets {
        cx.print.line(&format!("budget: {}", budget(one)))?;
    }
    let words = now.as_ref().map_or_else(|| "not limited".to_owned(), budget);
    cx.print.line(&format!("just now: {words}"))?;
    Ok(DONE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn budgets_are_read() {
        let read = |text: &str| read_budget(text).ok();
        let one = |from, until, bytes_per_s, requests_per_hour| {
            Some(Budget { from, until, bytes_per_s, requests_per_hour })
        };
        assert_eq!(read("9-18=10M/s"), one(9, 18, Some(10 << 20), None));
        assert_eq!(read("22-6=512K/s, 7200/h"), one(22, 6, Some(512 << 10), Some(7200)));
        assert_eq!(read("all=3600/h"), one(0, 24, None, Some(3600)));
        for bad in
            ["", "9-18", "9=1M/s", "9-18=1M", "9-18=0/h", "a-b=1M/s", "9-18=1X/s", "9-18=", "9-18=-1/s"]
        {
            assert!(read(bad).is_none(), "{bad}");
        }
    }
}
