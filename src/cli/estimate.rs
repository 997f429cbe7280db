//! `estimate`: how long it takes to bring an image to hosts, and what that does to lines and registries.

use crate::base::fault::{Fault, Kind};
use crate::base::ids::SiteName;
use crate::cli::args::prewarm::EstimateArgs;
use crate::cli::cx::{Cx, Done, Stop};
use crate::cli::{DONE, Purpose, amount};
use crate::model::coverage::EstimateAsk;
use crate::model::estimate::Answer;
use crate::model::query::{Query, Reply, Request};
use crate::view::table::{Side, Table};

/// `longshore estimate`
pub async fn run(cx: &mut Cx<'_>, args: &EstimateArgs) -> Done {
    let ask = read(args)?;
    let engine = cx.open(Purpose::Look).await?;
    if ask.image.is_some() || ask.pool.is_some() {
        cx.settled(&engine).await?;
    }
    let Reply::Estimate(answer) = cx.ask(&engine, Request::Query(Query::Estimate(Box::new(ask)))).await?
    else {
        return Err(Stop::misfit());
    };
    if cx.json {
        cx.print.json(&answer)?;
    } else {
        say(cx, &answer)?;
    }
    Ok(DONE)
}

fn read(args: &EstimateArgs) -> Result<EstimateAsk, Stop> {
    let wrong = |text: String, hint: &str| Stop::usage(&Fault::new(Kind::Invalid, text).hint(hint));
    if args.present > 100 {
        return Err(wrong(format!("--present {}: more than all", args.present), "per cent, 0 to 100"));
    }
    let count = |text: &String| {
        let bad = || wrong(format!("--hosts: {text:?} is not SITE=N"), "write --hosts tc=40");
        let (site, n) = text.split_once('=').ok_or_else(bad)?;
        let site: SiteName = site.parse().map_err(|e| Stop::usage(&e))?;
        Ok::<_, Stop>((site, n.parse().map_err(|_| bad())?))
    };
    let bits = |option: &'static str| move |text: &String| amount::bits(option, text);
    let lines = args.lines.iter().map(|text| {
        let (site, value) = of_site(text)?;
        Ok((site, amount::bits("--line", value)?))
    });
    let registries = args.registries.iter().map(|text| {
        let (site, value) = of_site(text)?;
        let none = value.eq_ignore_ascii_case("none");
        Ok((site, if none { None } else { Some(amount::bits("--registry", value)?) }))
    });
    Ok(EstimateAsk {
        image: args.image.clone(),
        pool: args.pool.as_deref().map(str::parse).transpose().map_err(|e| Stop::usage(&e))?,
        hosts: args.counts.iter().map(count).collect::<Result<_, _>>()?,
        size: args.size.as_deref().map(|text| amount::bytes("--size", text)).transpose()?,
        lines: lines.collect::<Result<_, Stop>>()?,
        uplink: args.uplink.as_ref().map(bits("--uplink")).transpose()?,
        card: args.card.as_ref().map(bits("--card")).transpose()?,
        registries: registries.collect::<Result<_, Stop>>()?,
        parallel: args.parallel,
        present_percent: args.present,
        peers: !args.no_peers,
    })
}

/// `SITE=VALUE`, or a value for all sites.
fn of_site(text: &str) -> Result<(Option<SiteName>, &str), Stop> {
    match text.split_once('=') {
        Some((site, value)) => Ok((Some(site.parse().map_err(|e| Stop::usage(&e))?), value)),
        None => Ok((None, text)),
    }
}

fn say(cx: &mut Cx<'_>, answer: &Answer) -> Result<(), Stop> {
    for way in &answer.ways {
        cx.print.line(&format!("{}:", way.way.noun()))?;
        way.steps.iter().try_for_each(|step| cx.print.line(&format!("  {step}")))?;
    }
    let mut table =
        Table::new(&[("WAY", Side::Left), ("LAST HOST AFTER", Side::Right), ("OVER LINES", Side::Cut)]);
    for way in &answer.ways {
        let lines: Vec<String> = way
            .lines
            .iter()
            .map(|l| format!("{} {}", l.line, crate::view::units::transfer(l.bytes)))
            .collect();
        table.row([way.way.noun().to_owned(), crate::base::text::took(way.ms), lines.join(", ")]);
    }
    crate::cli::list::print_table(cx, &table)?;
    answer.warnings.iter().try_for_each(|w| cx.print.line(&format!("warning: {w}")))?;
    cx.print.line(&format!("advice: {}", answer.advice))
}
