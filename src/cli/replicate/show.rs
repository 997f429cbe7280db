//! What `replicate` shows: lines, rules, runs with their tags, the matrix, and what differs.

use crate::base::clock::Millis;
use crate::base::ids::{RegistryName, RuleName};
use crate::base::text::{age, bytes, count, took};
use crate::cli::args::replicate::TagsArgs;
use crate::cli::cx::{Cx, Done, Engine, Stop, listing_status};
use crate::cli::{DONE, Purpose, list as lists};
use crate::model::query::{PageAsk, Query, Reply, Request};
use crate::model::replication::{Cause, DiffRow, Difference, RunId, RunView, TagRun, Trigger};
use crate::model::world::World;
use crate::view::json::registries::{
    DiffRecord, LineRecord, RuleRecord, RunRecord, TagRunRecord, TransferRecord,
};
use crate::view::replication::{self as view, LineRow, RuleRow};
use crate::view::table::{Side, Table};
use crate::view::units;

/// Rows that are asked for at a time.
const PAGE: u32 = 1_000;
/// Stands where nothing is known.
const NONE: &str = "-";

fn or_none(text: Option<String>) -> String {
    text.filter(|t| !t.is_empty()).unwrap_or_else(|| NONE.to_owned())
}

/// `longshore replicate status`
pub async fn status(cx: &mut Cx<'_>) -> Done {
    let engine = cx.open(Purpose::Look).await?;
    let world = cx.settled(&engine).await?;
    let now = cx.now();
    let (lines, rules) = (view::lines(&world, now), view::rules(&world, now));
    if cx.json {
        let lines: Vec<LineRecord<'_>> = lines.iter().map(LineRecord::of).collect();
        let rules: Vec<RuleRecord> = world.replication.rules.iter().map(RuleRecord::of).collect();
        let blobs = world.replication.lines.iter().flat_map(|line| &line.transfers);
        let blobs: Vec<TransferRecord> = blobs.map(TransferRecord::of).collect();
        cx.print.json(&serde_json::json!({ "lines": lines, "rules": rules, "transfers": blobs }))?;
        return Ok(listing_status(&world));
    }
    if world.replication.rules.is_empty() {
        cx.print.note("there is no rule: `longshore replicate rule add NAME --from A --to B`");
        return Ok(listing_status(&world));
    }
    if !lines.is_empty() {
        let table = line_table(&world, &lines);
        lists::print_table(cx, &table)?;
        cx.print.line("")?;
    }
    let table = run_table(rules.iter().filter_map(|r| r.run.as_ref()), now);
    if table.is_empty() {
        cx.print.note("no rule has run yet: `longshore replicate run RULE`");
    } else {
        lists::print_table(cx, &table)?;
    }
    for line in &world.replication.lines {
        for blob in &line.transfers {
            cx.print.line(&format!("{}: {}", line.line, view::transfer(blob, now)))?;
        }
    }
    for rule in rules.iter().filter(|r| r.state == "missed") {
        for note in &rule.notes {
            cx.print.line(&format!("rule {}: {note}", rule.name))?;
        }
    }
    Ok(listing_status(&world))
}

fn line_table(world: &World, rows: &[LineRow]) -> Table {
    use Side::{Cut, Left, Right};
    let mut table = Table::new(&[
        ("LINE", Left),
        ("STATE", Left),
        ("TAGS", Right),
        ("BYTES", Right),
        ("SINCE", Right),
        ("RATE", Right),
        ("COMPARED", Left),
        ("NOTE", Cut),
    ]);
    for row in rows {
        let compared = world.replication.line(&row.line).and_then(|line| line.compared);
        table.row([
            row.line.to_string(),
            row.standing.word().to_owned(),
            row.tags.to_string(),
            if row.tags > 0 { bytes(row.bytes) } else { NONE.to_owned() },
            or_none(row.since_ms.map(age)),
            or_none(row.rate.map(view::rate)),
            compared.map_or_else(|| "never".to_owned(), |at| units::ago(world.at.since(at))),
            or_none(Some(row.notes.join("; "))),
        ]);
    }
    table
}

fn cause(run: &RunView) -> String {
    match &run.cause {
        Cause::Person(who) => who.clone(),
        Cause::Schedule => "schedule".to_owned(),
        Cause::Event => "event".to_owned(),
        Cause::Return => "return".to_owned(),
        Cause::Resume => "resume".to_owned(),
    }
}

fn run_table<'a>(runs: impl Iterator<Item = &'a RunView>, now: Millis) -> Table {
    use Side::{Cut, Left, Right};
    let mut table = Table::new(&[
        ("RUN", Left),
        ("RULE", Left),
        ("CAUSE", Left),
        ("STATE", Left),
        ("BEGAN", Left),
        ("TOOK", Right),
        ("TAGS", Right),
        ("MOVED", Right),
        ("RATE", Right),
        ("LEFT", Right),
        ("NOTE", Cut),
    ]);
    for run in runs {
        let (right, all) = view::run_tags(run);
        let moved = if run.bytes == run.moved {
            bytes(run.moved)
        } else {
            format!("{} of {}", bytes(run.moved), bytes(run.bytes))
        };
        table.row([
            run.id.to_string(),
            run.rule.to_string(),
            cause(run),
            view::run_stands(run).1.to_owned(),
            units::ago(now.since(run.began)),
            took(run.ended.unwrap_or(now).since(run.began)),
            format!("{right}/{all}"),
            moved,
            or_none(run.rate.map(view::rate)),
            or_none(run.eta_ms.map(age)),
            or_none(run.reason.as_ref().map(|why| why.safe().into_owned())),
        ]);
    }
    table
}

/// When a rule runs by itself, in a few words.
fn when(trigger: &Trigger) -> String {
    let every = trigger.every_ms.map(|ms| format!("every {}", age(ms)));
    let cron = trigger.cron.as_ref().map(|line| format!("at {line}"));
    let event = trigger.event.then(|| "on change".to_owned());
    let all: Vec<String> = every.into_iter().chain(cron).chain(event).collect();
    if all.is_empty() { "by hand".to_owned() } else { all.join(", ") }
}

/// `longshore replicate rule ls`
pub async fn rules(cx: &mut Cx<'_>) -> Done {
    let engine = cx.open(Purpose::Look).await?;
    let world = cx.settled(&engine).await?;
    if cx.json {
        let records: Vec<RuleRecord> = world.replication.rules.iter().map(RuleRecord::of).collect();
        cx.print.json(&records)?;
        return Ok(listing_status(&world));
    }
    if world.replication.rules.is_empty() {
        cx.print.note("there is no rule: `longshore replicate rule add NAME --from A --to B`");
        return Ok(listing_status(&world));
    }
    use Side::{Cut, Left, Right};
    let mut table = Table::new(&[
        ("RULE", Left),
        ("LINES", Left),
        ("RUNS", Cut),
        ("NEXT", Left),
        ("STATE", Left),
        ("LAST RUN", Left),
        ("PRIORITY", Right),
        ("NOTE", Cut),
    ]);
    let now = cx.now();
    for row in view::rules(&world, now) {
        let Some(rule) = world.replication.rule(&row.name).map(|view| &view.rule) else { continue };
        table.row([
            row.name.to_string(),
            row.what.clone(),
            when(&rule.trigger),
            row.next.clone(),
            row.state.to_owned(),
            or_none(row.run.as_ref().map(|run| format!("{} {}", run.id, units::ago(now.since(run.began))))),
            rule.priority.to_string(),
            or_none(note_of(&row)),
        ]);
    }
    lists::print_table(cx, &table)?;
    Ok(listing_status(&world))
}

/// What to know of a rule: a time that it missed, or why its last run went wrong.
fn note_of(row: &RuleRow) -> Option<String> {
    let why = row.run.as_ref().filter(|_| row.grade.is_problem()).and_then(|run| run.reason.as_ref());
    let missed = row.notes.first().filter(|_| row.state == "missed").cloned();
    missed.or_else(|| why.map(|why| why.safe().into_owned()))
}

/// `longshore replicate runs`
pub async fn runs(cx: &mut Cx<'_>, rule: Option<&str>, limit: u32) -> Done {
    let rule: Option<RuleName> = rule.map(str::parse).transpose().map_err(|e| Stop::usage(&e))?;
    let engine = cx.open(Purpose::Look).await?;
    let world = cx.present(&engine);
    if let Some(name) = rule.as_ref().filter(|name| world.replication.rule(name).is_none()) {
        return Err(Stop::said(format!("there is no rule {name}")).hint("see `longshore replicate rule ls`"));
    }
    let Reply::Runs(runs) = cx.ask(&engine, Request::Query(Query::Runs { rule, limit })).await? else {
        return Err(Stop::misfit());
    };
    if cx.json {
        cx.print.json(&runs.iter().map(RunRecord::of).collect::<Vec<_>>())?;
    } else if runs.is_empty() {
        cx.print.note("no rule has run yet: `longshore replicate run RULE`");
    } else {
        let table = run_table(runs.iter(), cx.now());
        lists::print_table(cx, &table)?;
    }
    Ok(DONE)
}

/// `longshore replicate tags`
pub async fn tags(cx: &mut Cx<'_>, args: &TagsArgs) -> Done {
    let run: RunId = args.run.parse().map_err(|e| Stop::usage(&e))?;
    let engine = cx.open(Purpose::Look).await?;
    let mut rows: Vec<TagRun> = Vec::new();
    let mut after = None;
    loop {
        let ask = PageAsk { filter: args.filter.clone().unwrap_or_default(), after, limit: PAGE };
        let Reply::RunTags(page) = cx.ask(&engine, Request::Query(Query::RunTags { run, ask })).await? else {
            return Err(Stop::misfit());
        };
        rows.extend(page.items.into_iter().filter(|tag| !args.failed || view::needs_person(tag)));
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    if cx.json {
        cx.print.json(&rows.iter().map(TagRunRecord::of).collect::<Vec<_>>())?;
        return Ok(DONE);
    }
    if rows.is_empty() {
        let what = if args.failed { "no tag of it failed" } else { "every tag was the same on both sides" };
        cx.print
            .note(&format!("{run}: {what}, or the run is not remembered: see `longshore replicate runs`"));
        return Ok(DONE);
    }
    use Side::{Cut, Left, Right};
    let mut table = Table::new(&[
        ("IMAGE", Cut),
        ("LINE", Left),
        ("STATE", Left),
        ("BYTES", Right),
        ("MOVED", Right),
        ("RETRIES", Right),
        ("REASON", Cut),
    ]);
    for tag in &rows {
        let (_, word, why) = view::tag_stands(tag);
        let gaps: Vec<String> = tag.gaps.iter().map(ToString::to_string).collect();
        let gaps = (!gaps.is_empty()).then(|| format!("left out: {}", gaps.join(", ")));
        table.row([
            format!("{}:{}", tag.repository, tag.tag),
            tag.line.to_string(),
            word.to_owned(),
            bytes(tag.bytes),
            bytes(tag.moved),
            tag.retries.to_string(),
            or_none(why.or(gaps)),
        ]);
    }
    lists::print_table(cx, &table)?;
    Ok(DONE)
}

/// `longshore replicate matrix`
pub async fn matrix(cx: &mut Cx<'_>) -> Done {
    let engine = cx.open(Purpose::Look).await?;
    let world = cx.settled(&engine).await?;
    let rows = view::lines(&world, cx.now());
    let matrix = view::matrix(&rows);
    if cx.json {
        let record = |row: &Option<LineRow>| row.as_ref().map(|row| serde_json::json!(LineRecord::of(row)));
        let cells: Vec<Vec<_>> = matrix.cells.iter().map(|row| row.iter().map(record).collect()).collect();
        cx.print.json(&serde_json::json!({ "from": matrix.from, "to": matrix.to, "cells": cells }))?;
        return Ok(listing_status(&world));
    }
    if rows.is_empty() {
        cx.print.note("no rule has run yet: `longshore replicate run RULE`");
        return Ok(listing_status(&world));
    }
    // The columns of a matrix have names that are known only now: the table is turned into text here.
    let label = |name: &RegistryName| {
        let sites = world.registries.get(name).map(|view| &view.registry.sites);
        let sites: Vec<String> = sites.into_iter().flatten().map(ToString::to_string).collect();
        if sites.is_empty() { name.to_string() } else { format!("{name} ({})", sites.join(", ")) }
    };
    let heads: Vec<(&'static str, Side)> =
        std::iter::once(("", Side::Left)).chain(matrix.to.iter().map(|_| ("", Side::Left))).collect();
    let mut table = Table::new(&heads);
    let first = std::iter::once("FROM \\ TO".to_owned()).chain(matrix.to.iter().map(&label));
    table.row(first);
    for (from, cells) in matrix.from.iter().zip(&matrix.cells) {
        let cells = cells.iter().map(|cell| cell.as_ref().map_or_else(String::new, LineRow::cell));
        table.row(std::iter::once(label(from)).chain(cells));
    }
    for line in table.lines(cx.print.columns()).iter().skip(1) {
        cx.print.line(line)?;
    }
    cx.print.line(&view::summary(&rows))?;
    Ok(listing_status(&world))
}

async fn compared(cx: &Cx<'_>, engine: &Engine, rule: &RuleName) -> Result<Vec<DiffRow>, Stop> {
    let (mut rows, mut after) = (Vec::new(), None);
    loop {
        let ask = PageAsk { filter: String::new(), after, limit: PAGE };
        let request = Request::Query(Query::Diff { rule: rule.clone(), ask });
        let Reply::Diff(page) = cx.ask(engine, request).await? else { return Err(Stop::misfit()) };
        rows.extend(page.items);
        after = page.next;
        if after.is_none() {
            return Ok(rows);
        }
    }
}

/// `longshore replicate diff`
pub async fn diff(cx: &mut Cx<'_>, rule: &str, all: bool) -> Done {
    let rule: RuleName = rule.parse().map_err(|e| Stop::usage(&e))?;
    // Where no engine runs this compares by itself, and begins nothing: neither runs that are due nor repairs of pools.
    let engine = cx.open(Purpose::Look).await?;
    let rows = compared(cx, &engine, &rule).await?;
    let open: Vec<&DiffRow> = rows.iter().filter(|row| row.difference != Difference::Same).collect();
    let shown: Vec<&DiffRow> = if all { rows.iter().collect() } else { open.clone() };
    if cx.json {
        let records: Vec<DiffRecord> = shown.iter().map(|row| DiffRecord::of(row)).collect();
        cx.print.json(&records)?;
        return Ok(u8::from(!open.is_empty()));
    }
    if !shown.is_empty() {
        use Side::{Cut, Left, Right};
        let heads = [
            ("LINE", Left),
            ("IMAGE", Cut),
            ("DIFFERENCE", Left),
            ("SOURCE", Left),
            ("TARGET", Left),
            ("BYTES", Right),
            ("WHY", Cut),
        ];
        let mut table = Table::new(&heads);
        for row in &shown {
            let short = |digest: &Option<crate::model::oci::Digest>| {
                or_none(digest.as_ref().map(|digest| digest.short().to_owned()))
            };
            let why = match &row.difference {
                Difference::Unknown(why) => Some(why.safe().into_owned()),
                _ => None,
            };
            table.row([
                row.line.to_string(),
                format!("{}:{}", row.repository, row.tag),
                view::difference(&row.difference).to_owned(),
                short(&row.source),
                short(&row.target),
                or_none(row.bytes.map(bytes)),
                or_none(why),
            ]);
        }
        lists::print_table(cx, &table)?;
    }
    cx.print.note(&diff_summary(&rows));
    Ok(u8::from(!open.is_empty()))
}

/// How many tags differ, and at least how many bytes that is.
fn diff_summary(rows: &[DiffRow]) -> String {
    let all = count(rows.len() as u64, "tag");
    let mut parts = Vec::new();
    for word in ["missing", "behind", "conflict", "unknown", "extra"] {
        let n = rows.iter().filter(|row| view::difference(&row.difference) == word).count();
        if n > 0 {
            parts.push(format!("{n} {word}"));
        }
    }
    if parts.is_empty() {
        return format!("{all} compared: in sync");
    }
    let moved: u64 = rows.iter().filter_map(|row| row.bytes).sum();
    let is_known = |row: &&DiffRow| matches!(row.difference, Difference::Missing | Difference::Behind);
    let least = if rows.iter().filter(is_known).any(|row| row.bytes.is_none()) { "at least " } else { "" };
    format!("{all} compared: {}; {least}{} to move", parts.join(", "), bytes(moved))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::replication::Line;

    fn row(difference: Difference, bytes: Option<u64>) -> DiffRow {
        let line = Line { from: "hq".parse().unwrap(), to: "bj".parse().unwrap() };
        let (repository, tag) = ("feed/web".parse().unwrap(), "v1".parse().unwrap());
        DiffRow { line, repository, tag, difference, source: None, target: None, bytes }
    }

    #[test]
    fn a_comparison_is_summed_up() {
        let same = row(Difference::Same, None);
        assert_eq!(diff_summary(&[same.clone(), same.clone()]), "2 tags compared: in sync");
        let some = [same, row(Difference::Missing, Some(1 << 20)), row(Difference::Behind, None)];
        assert_eq!(diff_summary(&some), "3 tags compared: 1 missing, 1 behind; at least 1.0M to move");
    }

    #[test]
    fn times_of_a_rule_are_few_words() {
        let all = Trigger { every_ms: Some(900_000), cron: Some("0 2 * * *".into()), event: true };
        assert_eq!(when(&all), "every 15m, at 0 2 * * *, on change");
        assert_eq!(when(&Trigger::default()), "by hand");
    }
}
