//! `prewarm`: an image is brought onto hosts before it is needed; `--plan` says what that would take.

use crate::base::fault::{Fault, Kind};
use crate::base::ids::{HostId, OpId, PoolId};
use crate::base::text::{age, took};
use crate::cli::act::{self, Patience};
use crate::cli::args::prewarm::PrewarmArgs;
use crate::cli::cx::{Cx, Done, Engine, Stop};
use crate::cli::{DONE, Purpose, amount, list as lists};
use crate::model::command::Command;
use crate::model::coverage::{Coverage, Holds};
use crate::model::operation::{OpKind, OpStatus, Operation};
use crate::model::prewarm::{Prewarm, PrewarmAsk, PrewarmView};
use crate::model::query::{Query, Reply, Request};
use crate::model::world::World;
use crate::view::coverage::{host_rows, sentences};
use crate::view::json::prewarm::{CoverageRecord, PrewarmRecord};
use crate::view::table::{Side, Table};

/// `longshore prewarm`
pub async fn run(cx: &mut Cx<'_>, args: &PrewarmArgs) -> Done {
    let patience = Patience::read(&args.wait)?;
    let mut ask = read(args)?;
    let engine = if args.plan { cx.open(Purpose::Look).await? } else { act::connect(cx).await? };
    let world = cx.settled(&engine).await?;
    name(&mut ask, &args.target, &world)?;
    if args.plan {
        return plan(cx, &engine, ask).await;
    }
    act::send(cx, &engine, vec![Command::Prewarm(Box::new(ask))], patience).await
}

fn read(args: &PrewarmArgs) -> Result<PrewarmAsk, Stop> {
    if args.wait.wait.is_some() && args.plan {
        let fault = Fault::new(Kind::Invalid, "--wait waits for what --plan does not begin");
        return Err(Stop::usage(&fault.hint("leave one of them out")));
    }
    let size = args.size.as_deref().map(|text| amount::bytes("--size", text)).transpose()?;
    let rate = args.rate.as_deref().map(|text| amount::bytes("--rate", text)).transpose()?;
    let names = args.names.iter().map(|t| t.parse()).collect::<Result<_, _>>();
    let sites = args.sites.iter().map(|t| t.parse()).collect::<Result<_, _>>();
    Ok(PrewarmAsk {
        image: None,
        pool: args.pool.as_deref().map(str::parse).transpose().map_err(|e| Stop::usage(&e))?,
        hosts: names.map_err(|e| Stop::usage(&e))?,
        sites: sites.map_err(|e| Stop::usage(&e))?,
        limit: args.limit,
        rate,
        size,
        from_peers: args.from_peers,
    })
}

/// What the target is: a pool that is there means its image, everything else is an image.
fn name(ask: &mut PrewarmAsk, target: &str, world: &World) -> Result<(), Stop> {
    let pool = target.parse::<PoolId>().ok().filter(|id| world.pool(id).is_some());
    match (pool, &ask.pool) {
        (Some(pool), None) => ask.pool = Some(pool),
        (Some(pool), Some(other)) if pool != *other => {
            let fault = Fault::new(Kind::Invalid, format!("{pool} is a pool, and --pool names another one"));
            return Err(Stop::usage(&fault.hint("name an image, or leave out --pool")));
        }
        (Some(_), Some(_)) => {}
        (None, _) => ask.image = Some(target.to_owned()),
    }
    if ask.image.is_some() && ask.pool.is_none() && ask.hosts.is_empty() && ask.sites.is_empty() {
        let text =
            format!("{target} is no pool: as an image it needs to be said onto which hosts it is to come");
        return Err(Stop::usage(
            &Fault::new(Kind::Invalid, text)
                .hint("say --pool POOL, --site SITE or --hosts HOST; `longshore pools` lists the pools"),
        ));
    }
    Ok(())
}

async fn plan(cx: &mut Cx<'_>, engine: &Engine, ask: PrewarmAsk) -> Done {
    let question = Request::Query(Query::Coverage(Box::new(ask)));
    let Reply::Coverage(found) = cx.ask(engine, question).await? else { return Err(Stop::misfit()) };
    if cx.json {
        cx.print.json(&CoverageRecord::of(&found))?;
        return Ok(DONE);
    }
    say(cx, &found)?;
    let lacking: Vec<String> = found
        .hosts
        .iter()
        .filter(|h| h.holds != Holds::Yes)
        .map(|h| format!("{} ({})", h.host, h.holds.word()))
        .collect();
    if !lacking.is_empty() {
        cx.print.line(&format!("  to be brought to: {}", lacking.join(", ")))?;
    }
    for (host, why) in &found.left_out {
        cx.print.line(&format!("  left out: {host}: {why}"))?;
    }
    cx.print.note("nothing was changed: the same without --plan begins it");
    Ok(DONE)
}

fn say(cx: &mut Cx<'_>, found: &Coverage) -> Result<(), Stop> {
    cx.print.line(&found.image)?;
    sentences(found).iter().try_for_each(|line| cx.print.line(&format!("  {line}")))
}

/// `longshore ops OP`: one operation; of a prewarm every host.
pub async fn operation(cx: &mut Cx<'_>, text: &str) -> Done {
    let op: OpId = text.parse().map_err(|e| Stop::usage(&e))?;
    let engine = cx.open(Purpose::Look).await?;
    let Reply::Operations(all) =
        cx.ask(&engine, Request::Query(Query::Operations { limit: u32::MAX })).await?
    else {
        return Err(Stop::misfit());
    };
    let Some(found) = all.into_iter().find(|o| o.id == op) else {
        return Err(Stop::said(format!("there is no operation {op}")).hint("see `longshore ops`"));
    };
    let view = match &found.kind {
        OpKind::Prewarm(_) => match engine.handle.ask(Request::Query(Query::Prewarm { op })).await {
            Reply::Prewarm(view) => Some(*view),
            // Nobody carries it on just now, or it was long ago: then only the operation is known.
            Reply::Failed(fault) if fault.kind == Kind::NotFound => None,
            Reply::Failed(fault) => return Err(fault.into()),
            Reply::Refused(refusal) => return Err(refusal.into()),
            _ => return Err(Stop::misfit()),
        },
        _ => None,
    };
    if cx.json {
        cx.print.json(&PrewarmRecord::of(&found, view.as_ref()))?;
        return Ok(DONE);
    }
    tell(cx, &found, view.as_ref())
}

fn tell(cx: &mut Cx<'_>, op: &Operation, view: Option<&PrewarmView>) -> Done {
    let now = cx.now();
    let row = crate::view::ops::row(op, now);
    let took = op.ended.map_or_else(String::new, |at| format!(", took {}", took(at.since(op.at))));
    cx.print.line(&format!("{}: {} by {}, {} ago{took}", op.id, row.what, row.by, age(now.since(op.at))))?;
    let running = op.status == OpStatus::Running;
    cx.print.line(&format!("  {}{}", if running { "running: " } else { "" }, row.line))?;
    let OpKind::Prewarm(wanted) = &op.kind else { return Ok(DONE) };
    let Some(view) = view else { return alone(cx, op, wanted) };
    match (&view.digest, &view.unproved) {
        (Some(digest), _) => cx.print.line(&format!("  digest: {digest}"))?,
        (None, Some(why)) => {
            cx.print.line(&format!("  digest: not known ({why}): each host's own is listed"))?;
        }
        (None, None) => cx.print.line("  digest: its registry is being asked")?,
    }
    let mut table =
        Table::new(&[("HOST", Side::Left), ("SITE", Side::Left), ("STATE", Side::Left), ("HOW", Side::Cut)]);
    for row in host_rows(view) {
        table.row([row.host, row.site, row.state.to_owned(), row.how]);
    }
    lists::print_table(cx, &table)?;
    Ok(DONE)
}

/// A prewarm of which only the operation is known: how its hosts stand is not told.
fn alone(cx: &mut Cx<'_>, op: &Operation, wanted: &Prewarm) -> Done {
    if let Some(digest) = &wanted.digest {
        cx.print.line(&format!("  digest: {digest}"))?;
    }
    let hosts: Vec<&str> = wanted.hosts.iter().map(HostId::as_str).collect();
    cx.print.line(&format!("  hosts: {}", hosts.join(", ")))?;
    cx.print.note(if op.status.is_over() {
        "how each of them stood is not kept any more: see `longshore journal`"
    } else {
        "how each of them stands is not known: no engine carries it on just now"
    });
    Ok(DONE)
}
