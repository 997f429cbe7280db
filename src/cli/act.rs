//! The commands that change what is wanted: sent, acknowledged, and waited for when that is asked for.

use std::time::Duration;

use serde::Serialize;

use crate::base::fault::{Fault, Kind};
use crate::base::ids::{OpId, PoolId};
use crate::cli::args::{BusyWord, DownArgs, ScaleArgs, WaitArgs};
use crate::cli::cx::{Cx, Done, Engine, Stop, read_span};
use crate::cli::{DONE, Purpose, preview, wait};
use crate::model::command::{Accepted, Busy, Change, Command, Target};
use crate::model::placement::Strategy;
use crate::model::query::{Reply, Request};

/// When a command returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Patience {
    /// As it suits the engine: after the acknowledgement, or at the end when the engine is our own.
    Default,
    /// When the operation is over.
    Forever,
    /// When the operation is over, or this time has passed.
    AtMost(Duration),
}

impl Patience {
    /// Reads `--wait[=SECS]`.
    pub fn read(args: &WaitArgs) -> Result<Patience, Stop> {
        match args.wait.as_deref() {
            None => Ok(Patience::Default),
            Some("") => Ok(Patience::Forever),
            Some(text) => {
                read_span(text).map(|ms| Patience::AtMost(Duration::from_millis(ms))).ok_or_else(|| {
                    let fault = Fault::new(Kind::Invalid, format!("--wait={text} is not a time"));
                    Stop::usage(&fault.hint("write seconds, or 90s, 5m, 1h"))
                })
            }
        }
    }
}

/// `longshore scale`
pub async fn scale(cx: &mut Cx<'_>, args: ScaleArgs) -> Done {
    let pool: PoolId = args.pool.parse().map_err(|e| Stop::usage(&e))?;
    let change: Change = args.change.parse().map_err(|e| Stop::usage(&e))?;
    let patience = Patience::read(&args.wait)?;
    let strategy = read_strategy(args.strategy.as_deref())?;
    if args.plan {
        return preview::scale(cx, pool, change, args.confirm, strategy).await;
    }
    let busy = match args.busy {
        BusyWord::Refuse => Busy::Refuse,
        BusyWord::Replace => Busy::Replace,
        BusyWord::Queue => Busy::Queue,
    };
    let confirm = args.confirm;
    run(cx, vec![Command::SetReplicas { pool, change, expect: None, busy, confirm, strategy }], patience)
        .await
}

/// `longshore down`
pub async fn down(cx: &mut Cx<'_>, args: DownArgs) -> Done {
    let target: Target = args.target.parse().map_err(|e| Stop::usage(&e))?;
    let patience = Patience::read(&args.wait)?;
    run(cx, vec![Command::Down { target, confirm: args.yes_name }], patience).await
}

/// `longshore restart`
pub async fn restart(cx: &mut Cx<'_>, target: &str, wait: &WaitArgs) -> Done {
    let target: Target = target.parse().map_err(|e| Stop::usage(&e))?;
    let patience = Patience::read(wait)?;
    run(cx, vec![Command::Restart { target }], patience).await
}

/// `longshore undo`
pub async fn undo(cx: &mut Cx<'_>, pool: &str, wait: &WaitArgs) -> Done {
    let pool: PoolId = pool.parse().map_err(|e| Stop::usage(&e))?;
    let patience = Patience::read(wait)?;
    run(cx, vec![Command::Undo { pool, op: None }], patience).await
}

/// `longshore cancel`
pub async fn cancel(cx: &mut Cx<'_>, op: &str) -> Done {
    let op: OpId = op.parse().map_err(|e| Stop::usage(&e))?;
    let engine = connect(cx).await?;
    acknowledge(cx, &engine, Command::Cancel { op }).await?;
    Ok(DONE)
}

/// Connects for a change; refused in a read-only session.
pub async fn connect(cx: &mut Cx<'_>) -> Result<Engine, Stop> {
    if cx.session.read_only {
        return Err(Stop::said("this session is read-only: nothing was changed")
            .hint("leave out --read-only to change something"));
    }
    cx.open(Purpose::Act).await
}

/// Reads `--strategy`.
pub fn read_strategy(text: Option<&str>) -> Result<Option<Strategy>, Stop> {
    text.map(str::parse).transpose().map_err(|e| Stop::usage(&e))
}

/// Connects, sends commands, and waits as long as is wanted.
pub async fn run(cx: &mut Cx<'_>, commands: Vec<Command>, patience: Patience) -> Done {
    let engine = connect(cx).await?;
    send(cx, &engine, commands, patience).await
}

/// Sends commands one after the other, acknowledges each, and then waits as long as is wanted.
pub async fn send(cx: &mut Cx<'_>, engine: &Engine, commands: Vec<Command>, patience: Patience) -> Done {
    if engine.own && commands.iter().any(works_on) {
        cx.print.note(
            "no engine is running: this command does the work itself; leave it running or start `longshore engine`",
        );
    }
    let mut ops = Vec::new();
    let mut status = DONE;
    for command in commands {
        match acknowledge(cx, engine, command).await {
            Ok(op) => ops.extend(op),
            // What was acknowledged before is still waited for; what comes after is not sent.
            Err(stop) => {
                status = cx.report(stop);
                break;
            }
        }
    }
    if ops.is_empty() || (patience == Patience::Default && !engine.own) {
        return Ok(status);
    }
    Ok(status.max(wait::until_over(cx, engine, &ops, patience).await?))
}

/// True for commands that begin an operation: what they ask for takes its time.
fn works_on(command: &Command) -> bool {
    matches!(
        command,
        Command::Up { .. }
            | Command::Down { .. }
            | Command::SetReplicas { .. }
            | Command::Restart { .. }
            | Command::Undo { .. }
            | Command::Drain { .. }
            | Command::Rebalance { .. }
            | Command::Prewarm(_)
    )
}

#[derive(Serialize)]
struct Acknowledgement<'a> {
    accepted: bool,
    op: Option<String>,
    text: &'a str,
}

/// Sends one command; as soon as it is durable, says so.
pub async fn acknowledge(cx: &mut Cx<'_>, engine: &Engine, command: Command) -> Result<Option<OpId>, Stop> {
    let Reply::Accepted(accepted) = cx.ask(engine, Request::Command(command)).await? else {
        return Err(Stop::misfit());
    };
    acknowledged(cx, &accepted);
    Ok(accepted.op)
}

/// Says that it was accepted.
pub fn acknowledged(cx: &mut Cx<'_>, accepted: &Accepted) {
    let said = if cx.json {
        let op = accepted.op.map(|op| op.to_string());
        cx.print.json_line(&Acknowledgement { accepted: true, op, text: &accepted.text })
    } else {
        match accepted.op {
            Some(op) => cx.print.line(&format!("accepted {op}: {}", accepted.text)),
            None => cx.print.line(&format!("accepted: {}", accepted.text)),
        }
    };
    // The change stands, read or not: the work goes on. The printer keeps the fault, and the end of the command tells it.
    drop(said.and_then(|()| cx.print.flush()));
}
