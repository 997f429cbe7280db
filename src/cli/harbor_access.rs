//! `registry access-plan`: our projects, members and robots beside those of a Harbor, and how they become the same.

use crate::base::ids::RegistryName;
use crate::base::text::count;
use crate::cli::args::registry::AccessPlanArgs;
use crate::cli::cx::{Cx, Done, Stop};
use crate::cli::{DONE, FAILED, Purpose, act, harbor};
use crate::model::harbor::ask::{AccessChoices, HarborAsk, HarborDeed, HarborDone, HarborSaid};

/// `longshore registry access-plan`
pub async fn run(cx: &mut Cx<'_>, args: AccessPlanArgs) -> Done {
    let name: RegistryName = args.name.parse().map_err(|e| Stop::usage(&e))?;
    let choices = AccessChoices {
        remove_extra: args.remove_extra,
        replace_unknown: args.replace_unknown,
        close_public: args.close_public,
    };
    if args.off {
        let engine = act::connect(cx).await?;
        let done = harbor::deed(cx, &engine, &name, HarborDeed::LeaveAccess).await?;
        return finish(cx, done);
    }
    if args.yes {
        let engine = act::connect(cx).await?;
        let done = harbor::deed(cx, &engine, &name, HarborDeed::Access(choices)).await?;
        if !cx.json && done.lines.is_empty() && done.failed.is_none() {
            cx.print.line("all is as here already; grants follow from now on")?;
        }
        return finish(cx, done);
    }
    plan(cx, &name, choices).await
}

async fn plan(cx: &mut Cx<'_>, name: &RegistryName, choices: AccessChoices) -> Done {
    let engine = cx.open(Purpose::Look).await?;
    let HarborSaid::Access(rows) = harbor::ask(cx, &engine, name, HarborAsk::Access(choices)).await? else {
        return Err(Stop::misfit());
    };
    if cx.json {
        cx.print.json(&rows)?;
        return Ok(if rows.steps.is_empty() { DONE } else { FAILED });
    }
    rows.steps.iter().try_for_each(|step| cx.print.line(&format!("would: {step}")))?;
    rows.apart.iter().try_for_each(|apart| cx.print.line(&format!("stays apart: {apart}")))?;
    if rows.steps.is_empty() {
        cx.print.line(&format!("nothing to do at Harbor {name}"))?;
    }
    let steps = count(rows.steps.len() as u64, "step");
    cx.print.note(&match (rows.follows, rows.steps.is_empty()) {
        (true, true) => format!("grants follow to {name}"),
        (true, false) => {
            format!("grants follow to {name}; {steps} behind: `longshore registry show {name}` says why")
        }
        (false, _) => {
            format!("grants do not follow to {name} yet: `longshore registry access-plan {name} --yes`")
        }
    });
    Ok(if rows.steps.is_empty() { DONE } else { FAILED })
}

/// Robots with their secrets, which are seen this once, and what could not be done.
fn finish(cx: &mut Cx<'_>, done: HarborDone) -> Done {
    if cx.json {
        let robots: Vec<serde_json::Value> = (done.robots.iter())
            .map(|r| {
                let expires = r.expires.map(crate::base::stamp::rfc3339);
                serde_json::json!({"login": r.login.raw(), "secret": r.secret, "expires": expires})
            })
            .collect();
        let failed = done.failed.as_ref().map(ToString::to_string);
        let record = serde_json::json!({
            "accepted": true, "lines": done.lines, "robots": robots, "failed": failed,
        });
        cx.print.json_line(&record)?;
    } else {
        for robot in &done.robots {
            let end = robot.expires.map_or("never".to_owned(), crate::base::stamp::rfc3339);
            cx.print.line(&format!("robot {}: secret {} (ends: {end})", robot.login.safe(), robot.secret))?;
        }
        if !done.robots.is_empty() {
            cx.print.note(
                "these secrets are Harbor's, not those of the other registries, and are not shown again",
            );
        }
    }
    match done.failed {
        Some(fault) => Err(fault.into()),
        None => Ok(DONE),
    }
}
