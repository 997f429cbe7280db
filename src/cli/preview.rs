//! `scale --plan`: what a change of a pool's number would do, in words.

use crate::base::ids::PoolId;
use crate::base::text::{age, count, took};
use crate::cli::cx::{Cx, Done, Stop};
use crate::cli::{DONE, FAILED, Purpose};
use crate::model::command::Change;
use crate::model::container::Health;
use crate::model::placement::Strategy;
use crate::model::preview::{Leaving, Preview};
use crate::model::query::{Query, Reply, Request};
use crate::view::coverage::sentences;
use crate::view::json::{PreviewRecord, health_word};

/// Asks for the preview and prints it. The status is 1 when the change would be refused.
pub async fn scale(
    cx: &mut Cx<'_>,
    pool: PoolId,
    change: Change,
    confirm: Option<String>,
    strategy: Option<Strategy>,
) -> Done {
    let engine = cx.open(Purpose::Look).await?;
    cx.settled(&engine).await?;
    let question = Request::Query(Query::Preview { pool, change, confirm, strategy });
    let Reply::Preview(preview) = cx.ask(&engine, question).await? else { return Err(Stop::misfit()) };
    if cx.json {
        cx.print.json(&PreviewRecord::of(&preview))?;
    } else {
        for line in words(&preview) {
            cx.print.line(&line)?;
        }
    }
    match preview.refusal {
        None => Ok(DONE),
        Some(_) if cx.json => Ok(FAILED),
        Some(mut refusal) => {
            refusal.text = format!("this would be refused: {}", refusal.text);
            Err(refusal.into())
        }
    }
}

fn words(preview: &Preview) -> Vec<String> {
    let mut lines = vec![format!("{} {} -> {}", preview.pool, preview.from, preview.to)];
    if !preview.places.is_empty() {
        lines.push(format!("  by strategy {}", preview.strategy));
    }
    if preview.from == preview.to {
        lines.push("  nothing would change".to_owned());
    }
    for place in &preview.places {
        let image = match place.has_image {
            Some(true) => "",
            Some(false) => ", its image must be pulled first",
            None => ", whether it has the image is not known",
        };
        lines.push(format!("  + {} on {}{image}", count(place.count.into(), "container"), place.host));
    }
    lines.extend(preview.removals.iter().map(|gone| removal(&preview.pool, gone)));
    if preview.unplaced > 0 {
        lines.push(format!("  ! {} would find no host", count(preview.unplaced.into(), "container")));
    }
    let image = preview.coverage.iter().flat_map(sentences);
    lines.extend(image.map(|line| format!("  image: {line}")));
    lines.extend(preview.refused_hosts.iter().map(|(host, why)| format!("  not on {host}: {why}")));
    if let Some(ms) = preview.eta_ms {
        lines.push(format!("  should take {}", took(ms)));
    }
    lines.extend(preview.notes.iter().map(|note| format!("  note: {note}")));
    lines
}

fn removal(pool: &PoolId, gone: &Leaving) -> String {
    let health = match gone.health {
        Health::None => "",
        other => &format!(", {}", health_word(other)),
    };
    format!(
        "  - {pool}.{} on {} ({}{health}, {} old)",
        gone.slot,
        gone.host,
        gone.state.word(),
        age(gone.age_ms)
    )
}
