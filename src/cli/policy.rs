//! `policy`: the rules for images of an install.

use std::path::Path;

use serde_json::json;

use crate::base::stamp::rfc3339;
use crate::base::text::safe;
use crate::cli::args::image::PolicyVerb;
use crate::cli::cx::{Cx, Done, Engine, Stop};
use crate::cli::image::read_policy;
use crate::cli::{DONE, Purpose, act};
use crate::model::command::Command;
use crate::model::policy::{ImageVerdict, StoredPolicy};
use crate::model::pool::ClusterSpec;
use crate::model::query::{Query, Reply, Request};

/// `longshore policy`
pub async fn run(cx: &mut Cx<'_>, verb: PolicyVerb) -> Done {
    match verb {
        PolicyVerb::Set { file } => set(cx, &file).await,
        PolicyVerb::Show => show(cx).await,
        PolicyVerb::Rm => act::run(cx, vec![Command::DropImagePolicy], act::Patience::Default).await,
    }
}

async fn set(cx: &mut Cx<'_>, file: &Path) -> Done {
    let policy = read_policy(file)?;
    let shown = file.display();
    let source =
        std::fs::read_to_string(file).map_err(|e| Stop::said(format!("{shown}: cannot be read: {e}")))?;
    let command = Command::PutImagePolicy { policy: Box::new(policy), source };
    act::run(cx, vec![command], act::Patience::Default).await
}

async fn show(cx: &mut Cx<'_>) -> Done {
    let engine = cx.open(Purpose::Look).await?;
    let Reply::ImagePolicy(found) = cx.ask(&engine, Request::Query(Query::ImagePolicy)).await? else {
        return Err(Stop::misfit());
    };
    if cx.json {
        cx.print.json(&found.as_deref().map(record))?;
        return Ok(DONE);
    }
    match found {
        None => {
            cx.print.note("there are no rules for images: every image may run (`longshore policy set FILE`)");
        }
        Some(stored) => {
            cx.print.note(&format!("set by {} on {}", safe(&stored.by), rfc3339(stored.at)));
            stored.source.lines().try_for_each(|line| cx.print.line(line))?;
        }
    }
    Ok(DONE)
}

fn record(stored: &StoredPolicy) -> serde_json::Value {
    json!({ "policy": stored.policy, "source": stored.source, "by": stored.by,
            "at": rfc3339(stored.at), "at_ms": stored.at.0 })
}

/// What the rules of this install say of the images of pool files; nothing where there are none.
pub async fn verdicts(
    cx: &mut Cx<'_>,
    engine: &Engine,
    specs: &[ClusterSpec],
) -> Result<Vec<ImageVerdict>, Stop> {
    let mut images: Vec<String> =
        specs.iter().flat_map(|spec| &spec.pools).map(|(_, pool)| pool.image.clone()).collect();
    images.sort();
    images.dedup();
    match cx.ask(engine, Request::Query(Query::CheckImages { images })).await? {
        Reply::ImageVerdicts(found) => Ok(found),
        _ => Err(Stop::misfit()),
    }
}

/// Says what does not pass, and gives whether all may run.
pub fn say(cx: &mut Cx<'_>, verdicts: &[ImageVerdict]) -> bool {
    for verdict in verdicts.iter().filter(|v| !v.breaches.is_empty()) {
        let word = if verdict.passes { "warning: image" } else { "refused: image" };
        cx.print.note(&format!("{word} {}: {}", safe(&verdict.image), verdict.sentence()));
    }
    verdicts.iter().all(|verdict| verdict.passes)
}
