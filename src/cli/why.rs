//! `why`: where a container is placed and why, host by host.

use std::collections::BTreeMap;

use crate::base::ids::HostId;
use crate::base::text::count;
use crate::cli::args::place::WhyArgs;
use crate::cli::cx::{Cx, Done, Stop};
use crate::cli::target::{Named, Written};
use crate::cli::{DONE, Purpose, act, list as lists};
use crate::model::explain::{Explanation, Filter, Refused, Scorer, Verdict};
use crate::model::query::{Query, Reply, Request};
use crate::view::table::{Side, Table};

/// Hosts that can take it and are shown without `--all`.
const HOSTS_SHOWN: usize = 20;
/// Groups of equal reasons that are shown before groups are made by what refuses alone.
const REASONS_SHOWN: usize = 10;
/// Hosts of a group that are named.
const NAMES_SHOWN: usize = 5;

/// `longshore why`
pub async fn run(cx: &mut Cx<'_>, args: &WhyArgs) -> Done {
    let written = Written::read(&args.target)?;
    let strategy = act::read_strategy(args.strategy.as_deref())?;
    let engine = cx.open(Purpose::Look).await?;
    // What refuses a container is only known once every host has answered or failed.
    let world = cx.settled(&engine).await?;
    let (pool, slot) = match written.find(&world)? {
        Named::Pool(pool) => (pool, None),
        Named::Slot(pool, slot) => (pool, Some(slot)),
        Named::Container(..) => {
            return Err(Stop::said(format!("{} is a container, not a pool or a slot", args.target))
                .hint("write CLUSTER/POOL or CLUSTER/POOL.SLOT"));
        }
    };
    let question = Request::Query(Query::Why { pool, slot, strategy });
    let Reply::Why(why) = cx.ask(&engine, question).await? else { return Err(Stop::misfit()) };
    if cx.json {
        cx.print.json(&why)?;
    } else {
        cx.print.line(&why.sentence)?;
        can(cx, &why, args.all)?;
        refuse(cx, &why, args.all)?;
    }
    Ok(DONE)
}

/// The name of a filter or a scorer for people.
fn name(value: &impl serde::Serialize) -> String {
    let text = serde_json::to_value(value).ok().and_then(|v| v.as_str().map(|t| t.replace('-', " ")));
    text.unwrap_or_default()
}

fn can(cx: &mut Cx<'_>, why: &Explanation, all: bool) -> Result<(), Stop> {
    let able: Vec<&Verdict> = why.hosts.iter().filter(|v| v.refused.is_empty()).collect();
    if able.is_empty() {
        return Ok(());
    }
    let shown = if all { able.len() } else { HOSTS_SHOWN.min(able.len()) };
    let scorers: Vec<Scorer> =
        able.first().map_or_else(Vec::new, |v| v.scores.iter().map(|s| s.scorer).collect());
    let mut table =
        Table::new(&[("HOST", Side::Left), ("", Side::Left), ("TOTAL", Side::Right), ("SCORES", Side::Cut)]);
    for verdict in able.iter().take(shown) {
        let scores: Vec<String> = verdict
            .scores
            .iter()
            .filter(|s| s.value != 0.0 || scorers.len() == 1)
            .map(|s| format!("{} {:+.2}", name(&s.scorer), s.value))
            .collect();
        table.row([
            verdict.host.to_string(),
            standing(why, &verdict.host).to_owned(),
            format!("{:+.2}", verdict.total),
            scores.join(", "),
        ]);
    }
    cx.print.line(&format!("by strategy {}, scores from -1 to 1:", why.strategy))?;
    lists::print_table(cx, &table)?;
    if able.len() > shown {
        cx.print.line(&format!("and {} more that can take it (--all)", able.len() - shown))?;
    }
    Ok(())
}

fn standing(why: &Explanation, host: &HostId) -> &'static str {
    match (why.choice.as_ref() == Some(host), why.now_on.as_ref() == Some(host)) {
        (true, true) => "chosen, now",
        (true, false) => "chosen",
        (false, true) => "now",
        (false, false) => "",
    }
}

/// Hosts that refuse alike: the first stands for all of them.
struct Group<'w> {
    hosts: Vec<&'w Verdict>,
    /// The same filters refuse, but in other words: numbers differ.
    loose: bool,
}

fn refuse(cx: &mut Cx<'_>, why: &Explanation, all: bool) -> Result<(), Stop> {
    let refusing: Vec<&Verdict> = why.hosts.iter().filter(|v| !v.refused.is_empty()).collect();
    let groups = if all {
        refusing.iter().map(|v| Group { hosts: vec![*v], loose: false }).collect()
    } else {
        grouped(&refusing)
    };
    for Group { hosts, loose } in groups {
        let Some(first) = hosts.first() else { continue };
        let names: Vec<String> = hosts.iter().take(NAMES_SHOWN).map(|v| v.host.to_string()).collect();
        let more = hosts.len() - names.len();
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        let there =
            if hosts.iter().any(|v| why.now_on.as_ref() == Some(&v.host)) { ", it is there now" } else { "" };
        let example = if loose { format!(", for example {}", first.host) } else { String::new() };
        let number = count(hosts.len() as u64, "host");
        cx.print.line(&format!("refused by {number} ({}{more}){there}{example}:", names.join(", ")))?;
        for refused in &first.refused {
            cx.print.line(&format!("  {}: {}", name(&refused.filter), refused.why))?;
        }
    }
    Ok(())
}

/// Hosts by equal reasons, the largest group first; where these are too many, by what refuses.
fn grouped<'w>(refusing: &[&'w Verdict]) -> Vec<Group<'w>> {
    let mut equal: BTreeMap<&[Refused], Vec<&Verdict>> = BTreeMap::new();
    for verdict in refusing {
        equal.entry(&verdict.refused).or_default().push(verdict);
    }
    let mut groups: Vec<Group<'w>> = if equal.len() <= REASONS_SHOWN {
        equal.into_values().map(|hosts| Group { hosts, loose: false }).collect()
    } else {
        let mut alike: BTreeMap<Vec<Filter>, Vec<&Verdict>> = BTreeMap::new();
        for verdict in refusing {
            alike.entry(verdict.refused.iter().map(|r| r.filter).collect()).or_default().push(verdict);
        }
        let of = |hosts: Vec<&'w Verdict>| {
            let loose = hosts.iter().any(|v| v.refused != hosts[0].refused);
            Group { hosts, loose }
        };
        alike.into_values().map(of).collect()
    };
    groups.sort_by_key(|group| std::cmp::Reverse(group.hosts.len()));
    groups
}
