//! `rebalance`: moves that even the load out, shown with their effect, and made when that is said.

use crate::base::fault::{Fault, Kind};
use crate::base::text::count;
use crate::cli::act::{self, Patience};
use crate::cli::args::place::RebalanceArgs;
use crate::cli::cx::{Cx, Done, Stop};
use crate::cli::{DONE, Purpose, list as lists};
use crate::model::command::{Command, Target};
use crate::model::moves::{Balance, Proposal};
use crate::model::query::{Query, Reply, Request};
use crate::view::table::{Side, Table};

/// `longshore rebalance`
pub async fn run(cx: &mut Cx<'_>, args: &RebalanceArgs) -> Done {
    let target: Option<Target> =
        args.target.as_deref().map(str::parse).transpose().map_err(|e| Stop::usage(&e))?;
    let patience = Patience::read(&args.wait)?;
    if args.limit == 0 || (args.wait.wait.is_some() && !args.yes) {
        let what =
            if args.limit == 0 { "--limit 0 allows no move" } else { "--wait waits for moves that are made" };
        return Err(Stop::usage(&Fault::new(Kind::Invalid, what).hint("see `longshore rebalance --help`")));
    }
    let engine = if args.yes { act::connect(cx).await? } else { cx.open(Purpose::Look).await? };
    let world = cx.settled(&engine).await?;
    if let Some(target) = &target
        && !world.pools.keys().any(|id| target.covers(id))
    {
        return Err(Stop::said(format!("there is no {target}")).hint("`longshore pools` lists the pools"));
    }
    let question = Request::Query(Query::Rebalance { target, limit: args.limit });
    let Reply::Proposal(proposal) = cx.ask(&engine, question).await? else { return Err(Stop::misfit()) };
    if !cx.json {
        say(cx, &proposal)?;
    } else if args.yes {
        cx.print.json_line(&proposal)?;
    } else {
        cx.print.json(&proposal)?;
    }
    if proposal.moves.is_empty() {
        return Ok(DONE);
    }
    if !args.yes {
        cx.print.note("nothing was changed: the same with --yes makes these moves");
        return Ok(DONE);
    }
    act::send(cx, &engine, vec![Command::Rebalance { moves: proposal.moves }], patience).await
}

fn say(cx: &mut Cx<'_>, proposal: &Proposal) -> Result<(), Stop> {
    let Proposal { moves, before, after, blocked } = proposal;
    if moves.is_empty() {
        cx.print.line("no move would even the load out further")?;
    } else {
        cx.print.line(&format!("{}:", count(moves.len() as u64, "move")))?;
        let mut table = Table::new(&[
            ("INSTANCE", Side::Left),
            ("FROM", Side::Left),
            ("TO", Side::Left),
            ("WHY", Side::Cut),
        ]);
        for step in moves {
            table.row([
                format!("{}.{}", step.pool, step.slot),
                step.from.to_string(),
                step.to.to_string(),
                step.why.clone(),
            ]);
        }
        lists::print_table(cx, &table)?;
    }
    let mut table = Table::new(&[("EFFECT", Side::Left), ("BEFORE", Side::Right), ("AFTER", Side::Right)]);
    let percent = |share: f64| format!("{:.0}%", share * 100.0);
    let rows: [(&str, fn(&Balance) -> f64); 2] =
        [("fullest host", |b| b.fullest), ("emptiest host", |b| b.emptiest)];
    for (what, of) in rows {
        table.row([what.to_owned(), percent(of(before)), percent(of(after))]);
    }
    let rows: [(&str, fn(&Balance) -> u32); 2] =
        [("largest difference within a pool", |b| b.skew), ("pools on one host only", |b| b.one_basket)];
    for (what, of) in rows {
        table.row([what.to_owned(), of(before).to_string(), of(after).to_string()]);
    }
    lists::print_table(cx, &table)?;
    blocked.iter().try_for_each(|why| cx.print.line(&format!("blocked: {why}")))
}
