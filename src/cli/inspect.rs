//! `inspect`: the engine's own JSON of a container, byte for byte for a program, safe for a terminal.

use crate::cli::cx::{Cx, Done, Stop};
use crate::cli::print::escape_json;
use crate::cli::target::Written;
use crate::cli::{DONE, Purpose};
use crate::model::query::{Query, Reply, Request};

/// `longshore inspect`
pub async fn run(cx: &mut Cx<'_>, text: &str) -> Done {
    let target = Written::read(text)?;
    let engine = cx.open(Purpose::Look).await?;
    let (host, container) = cx.find(&engine, |world| target.find_one(world)).await?;
    let question = Request::Query(Query::Inspect { host, container });
    let Reply::Inspect(json) = cx.ask(&engine, question).await? else { return Err(Stop::misfit()) };
    if cx.print.io.out_is_tty {
        cx.print.raw(format!("{}\n", escape_json(&json)).as_bytes())?;
    } else {
        cx.print.raw(json.as_bytes())?;
    }
    Ok(DONE)
}
