//! `harbor`: what only Harbor has, and its own replication in the words of ours.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::base::clock::Millis;
use crate::base::fault::{Fault, Kind};
use crate::base::ids::RegistryName;
use crate::base::text::age;
use crate::cli::args::harbor::{HarborVerb, OneExecution, OnePolicy};
use crate::cli::cx::{Cx, Done, Engine, Stop};
use crate::cli::{DONE, FAILED, Purpose, act, list as lists};
use crate::model::command::Command;
use crate::model::harbor::ask::{HarborAsk, HarborDeed, HarborDone, HarborSaid, PolicyName, PolicyRow};
use crate::model::harbor::runs::{Execution, Task};
use crate::model::query::{Query, Reply, Request};
use crate::model::replication::RunState;
use crate::view::harbor;
use crate::view::json::harbor::{
    ExecutionRecord, HarborEndpointRecord, MemberRecord, PolicyRecord, ProjectRecord, RobotRecord,
    TaskRecord, member_kind, rights,
};
use crate::view::table::{Side, Table};
use crate::view::units;
use Side::{Cut, Left, Right};

/// How often an execution that is waited for is asked for.
const POLL: Duration = Duration::from_secs(2);

/// `longshore harbor`
pub async fn run(cx: &mut Cx<'_>, verb: HarborVerb) -> Done {
    match verb {
        HarborVerb::Projects(of) => projects(cx, &of.registry).await,
        HarborVerb::Members(of) => members(cx, &of.registry, of.project).await,
        HarborVerb::Robots(of) => robots(cx, &of.registry, of.project).await,
        HarborVerb::Registries(of) => registries(cx, &of.registry).await,
        HarborVerb::Policies(of) => policies(cx, &of.registry).await,
        HarborVerb::Executions { of, limit } => executions(cx, &of, limit).await,
        HarborVerb::Tasks { of, failed } => tasks(cx, &of, failed).await,
        HarborVerb::Log { of, task } => log(cx, &of, task).await,
        HarborVerb::Start { of, wait } => start(cx, of, &wait).await,
        HarborVerb::Stop(of) => stop(cx, &of).await,
    }
}

fn named(text: &str) -> Result<RegistryName, Stop> {
    text.parse().map_err(|e| Stop::usage(&e))
}

fn policy(text: &str) -> Result<PolicyName, Stop> {
    text.parse().map_err(|e| Stop::usage(&e))
}

/// Asks a Harbor through the engine.
pub async fn ask(
    cx: &Cx<'_>,
    engine: &Engine,
    registry: &RegistryName,
    ask: HarborAsk,
) -> Result<HarborSaid, Stop> {
    let query = Query::Harbor { registry: registry.clone(), ask };
    let Reply::Harbor(said) = cx.ask(engine, Request::Query(query)).await? else {
        return Err(Stop::misfit());
    };
    Ok(*said)
}

async fn look(cx: &mut Cx<'_>, registry: &str, what: HarborAsk) -> Result<HarborSaid, Stop> {
    let registry = named(registry)?;
    let engine = cx.open(Purpose::Look).await?;
    ask(cx, &engine, &registry, what).await
}

fn dash(text: String) -> String {
    if text.is_empty() { "-".to_owned() } else { text }
}

fn ago(at: Option<Millis>, now: Millis) -> String {
    at.map_or_else(|| "-".to_owned(), |at| units::ago(now.since(at)))
}

async fn projects(cx: &mut Cx<'_>, registry: &str) -> Done {
    let HarborSaid::Projects(rows) = look(cx, registry, HarborAsk::Projects).await? else {
        return Err(Stop::misfit());
    };
    if cx.json {
        let records: Vec<ProjectRecord> = rows.iter().map(ProjectRecord::of).collect();
        cx.print.json(&records)?;
        return Ok(DONE);
    }
    let heads =
        [("PROJECT", Left), ("REPOSITORIES", Right), ("IN USE", Left), ("READ BY", Left), ("NOTE", Cut)];
    let mut table = Table::new(&heads);
    for row in &rows {
        let project = &row.project;
        let readers = match project.public {
            Some(true) => "everybody",
            Some(false) => "members",
            None => "not known",
        };
        let cache = project.cache_of.map_or("", |_| "a cache of another registry: nobody can push to it");
        let why = row.why.as_ref().map(|w| w.safe().into_owned()).unwrap_or_default();
        table.row([
            project.name.safe().into_owned(),
            project.repositories.to_string(),
            row.quota.map_or_else(|| "not known".to_owned(), harbor::quota),
            readers.to_owned(),
            dash(if why.is_empty() { cache.to_owned() } else { why }),
        ]);
    }
    lists::print_table(cx, &table)?;
    Ok(DONE)
}

async fn members(cx: &mut Cx<'_>, registry: &str, project: String) -> Done {
    let HarborSaid::Members(rows) = look(cx, registry, HarborAsk::Members { project }).await? else {
        return Err(Stop::misfit());
    };
    if cx.json {
        let records: Vec<MemberRecord> = rows.iter().map(MemberRecord::of).collect();
        cx.print.json(&records)?;
        return Ok(DONE);
    }
    let mut table = Table::new(&[("MEMBER", Left), ("KIND", Left), ("ROLE", Left), ("OURS", Cut)]);
    for member in &rows {
        let ours = member.role.ours().map_or("no such role here", crate::model::access::Role::word);
        table.row([
            member.name.safe().into_owned(),
            member_kind(&member.kind),
            member.role.to_string(),
            ours.to_owned(),
        ]);
    }
    lists::print_table(cx, &table)?;
    Ok(DONE)
}

async fn robots(cx: &mut Cx<'_>, registry: &str, project: String) -> Done {
    let HarborSaid::Robots(rows) = look(cx, registry, HarborAsk::Robots { project }).await? else {
        return Err(Stop::misfit());
    };
    if cx.json {
        let records: Vec<RobotRecord> = rows.iter().map(RobotRecord::of).collect();
        cx.print.json(&records)?;
        return Ok(DONE);
    }
    let now = cx.now();
    let mut table = Table::new(&[("ROBOT", Left), ("STATE", Left), ("ENDS", Left), ("RIGHTS", Cut)]);
    for robot in &rows {
        let (state, ends) = match robot.expires {
            Some(at) if at <= now => ("expired", format!("{} ago", age(now.since(at)))),
            Some(at) => ("", format!("in {}", age(at.since(now)))),
            None => ("", "never".to_owned()),
        };
        let state = if robot.disabled { "disabled" } else { state };
        let state = if state.is_empty() { "ok" } else { state };
        table.row([robot.login.safe().into_owned(), state.to_owned(), ends, dash(rights(robot).join("; "))]);
    }
    lists::print_table(cx, &table)?;
    Ok(DONE)
}

async fn registries(cx: &mut Cx<'_>, registry: &str) -> Done {
    let HarborSaid::Endpoints(rows) = look(cx, registry, HarborAsk::Endpoints).await? else {
        return Err(Stop::misfit());
    };
    if cx.json {
        let records: Vec<HarborEndpointRecord> = rows.iter().map(HarborEndpointRecord::of).collect();
        cx.print.json(&records)?;
        return Ok(DONE);
    }
    let heads = [("REGISTRY", Left), ("KIND", Left), ("URL", Left), ("STATE", Left), ("LOGS IN AS", Cut)];
    let mut table = Table::new(&heads);
    for e in &rows {
        let insecure = if e.insecure { " (certificate not checked)" } else { "" };
        table.row([
            e.name.safe().into_owned(),
            e.kind.safe().into_owned(),
            format!("{}{insecure}", e.url.safe()),
            e.health.to_string(),
            e.user.as_ref().map_or_else(|| "nobody".to_owned(), |u| u.safe().into_owned()),
        ]);
    }
    lists::print_table(cx, &table)?;
    Ok(DONE)
}

async fn policies(cx: &mut Cx<'_>, registry: &str) -> Done {
    let HarborSaid::Policies(rows) = look(cx, registry, HarborAsk::Policies).await? else {
        return Err(Stop::misfit());
    };
    if cx.json {
        let records: Vec<PolicyRecord> = rows.iter().map(PolicyRecord::of_row).collect();
        cx.print.json(&records)?;
        return Ok(DONE);
    }
    let heads = [
        ("POLICY", Left),
        ("ID", Right),
        ("FROM", Left),
        ("TO", Left),
        ("RUNS", Left),
        ("LAST", Right),
        ("STATE", Cut),
    ];
    let mut table = Table::new(&heads);
    let now = cx.now();
    rows.iter().for_each(|row| table.row(policy_cells(row, now)));
    lists::print_table(cx, &table)?;
    Ok(DONE)
}

fn policy_cells(row: &PolicyRow, now: Millis) -> [String; 7] {
    let policy = &row.policy;
    let end = |e: &Option<crate::model::harbor::runs::Endpoint>| {
        e.as_ref().map_or_else(|| "?".to_owned(), |e| e.name.safe().into_owned())
    };
    let disabled = if policy.enabled { "" } else { " (disabled)" };
    let last = row.last.as_ref();
    [
        policy.name.safe().into_owned(),
        policy.id.to_string(),
        end(&policy.from),
        end(&policy.to),
        format!("{}{disabled}", policy.trigger),
        last.map_or_else(|| "-".to_owned(), |run| run.id.to_string()),
        last.map_or_else(|| "never ran".to_owned(), |run| harbor::run_line(run, now)),
    ]
}

async fn executions(cx: &mut Cx<'_>, of: &OnePolicy, limit: u32) -> Done {
    let (registry, policy) = (named(&of.registry)?, policy(&of.policy)?);
    let engine = cx.open(Purpose::Look).await?;
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let (mut rows, mut after): (Vec<Execution>, _) = (Vec::new(), None);
    while rows.len() < limit {
        let what = HarborAsk::Executions { policy: policy.clone(), after };
        let HarborSaid::Executions(page) = ask(cx, &engine, &registry, what).await? else {
            return Err(Stop::misfit());
        };
        rows.extend(page.items);
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    rows.truncate(limit);
    if cx.json {
        let records: Vec<ExecutionRecord> = rows.iter().map(ExecutionRecord::of).collect();
        cx.print.json(&records)?;
        return Ok(DONE);
    }
    let heads = [
        ("EXECUTION", Right),
        ("STATE", Left),
        ("DONE", Right),
        ("FAILED", Right),
        ("OF", Right),
        ("CAUSE", Left),
        ("BEGAN", Left),
        ("ENDED", Left),
        ("REASON", Cut),
    ];
    let mut table = Table::new(&heads);
    let now = cx.now();
    for run in &rows {
        table.row([
            run.id.to_string(),
            harbor::run_stands(run).1,
            run.tasks.done.to_string(),
            run.tasks.failed.to_string(),
            run.tasks.total.to_string(),
            run.trigger.safe().into_owned(),
            ago(run.began, now),
            ago(run.ended, now),
            dash(run.why.safe().into_owned()),
        ]);
    }
    lists::print_table(cx, &table)?;
    Ok(DONE)
}

async fn tasks(cx: &mut Cx<'_>, of: &OneExecution, failed: bool) -> Done {
    let registry = named(&of.registry)?;
    let engine = cx.open(Purpose::Look).await?;
    let (mut rows, mut after): (Vec<Task>, _) = (Vec::new(), None);
    loop {
        let what = HarborAsk::Tasks { execution: of.execution, after };
        let HarborSaid::Tasks(page) = ask(cx, &engine, &registry, what).await? else {
            return Err(Stop::misfit());
        };
        rows.extend(page.items);
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    rows.retain(|task| !failed || harbor::task_stands(task).0.is_problem());
    rows.sort_by_key(|task| !harbor::task_stands(task).0.is_problem());
    if cx.json {
        let records: Vec<TaskRecord> = rows.iter().map(TaskRecord::of).collect();
        cx.print.json(&records)?;
        return Ok(DONE);
    }
    let heads = [
        ("TASK", Right),
        ("STATE", Left),
        ("DOES", Left),
        ("BEGAN", Left),
        ("ENDED", Left),
        ("FROM", Left),
        ("TO", Cut),
    ];
    let mut table = Table::new(&heads);
    let now = cx.now();
    for task in &rows {
        table.row([
            task.id.to_string(),
            harbor::task_stands(task).1,
            dash(task.operation.safe().into_owned()),
            ago(task.began, now),
            ago(task.ended, now),
            dash(task.from.safe().into_owned()),
            dash(task.to.safe().into_owned()),
        ]);
    }
    lists::print_table(cx, &table)?;
    Ok(DONE)
}

async fn log(cx: &mut Cx<'_>, of: &OneExecution, task: i64) -> Done {
    let what = HarborAsk::Log { execution: of.execution, task };
    let HarborSaid::Log(log) = look(cx, &of.registry, what).await? else { return Err(Stop::misfit()) };
    if log.cut {
        cx.print.note("the log is very long: its beginning is left out");
    }
    if cx.json {
        let lines: Vec<&str> = log.text.raw().lines().collect();
        cx.print.json(&serde_json::json!({ "cut": log.cut, "lines": lines }))?;
    } else {
        cx.print.text(log.text.raw())?;
    }
    Ok(DONE)
}

/// Does something at a Harbor, and says what came of it.
pub async fn deed(
    cx: &mut Cx<'_>,
    engine: &Engine,
    registry: &RegistryName,
    deed: HarborDeed,
) -> Result<HarborDone, Stop> {
    let command = Command::Harbor { registry: registry.clone(), deed };
    let Reply::HarborDone(done) = cx.ask(engine, Request::Command(command)).await? else {
        return Err(Stop::misfit());
    };
    if !cx.json {
        done.lines.iter().try_for_each(|line| cx.print.line(line))?;
    }
    Ok(*done)
}

/// The end of a command that did something: its record, and the fault that ended it.
fn finish(cx: &mut Cx<'_>, done: HarborDone, state: Option<&str>) -> Done {
    if cx.json {
        let failed = done.failed.as_ref().map(ToString::to_string);
        let record = serde_json::json!({
            "accepted": true, "lines": done.lines, "execution": done.execution, "failed": failed, "state": state,
        });
        cx.print.json_line(&record)?;
    }
    match done.failed {
        Some(fault) => Err(fault.into()),
        None => Ok(DONE),
    }
}

async fn start(cx: &mut Cx<'_>, of: OnePolicy, wait: &crate::cli::args::WaitArgs) -> Done {
    let (registry, policy) = (named(&of.registry)?, policy(&of.policy)?);
    let patience = act::Patience::read(wait)?;
    let engine = act::connect(cx).await?;
    let what = HarborDeed::Start { policy: policy.clone() };
    let done = deed(cx, &engine, &registry, what).await?;
    let until = match patience {
        act::Patience::Default => return finish(cx, done, None),
        act::Patience::Forever => None,
        act::Patience::AtMost(time) => Some(Instant::now() + time),
    };
    let Some(execution) = done.execution.filter(|_| done.failed.is_none()) else {
        return finish(cx, done, None);
    };
    let run = wait_for(cx, &engine, &registry, (&policy, execution), until).await?;
    let state = harbor::run_stands(&run).1;
    let is_done = run.run_state() == Some(RunState::Done);
    let text = harbor::run_line(&run, cx.now());
    finish(cx, done, Some(&state))?;
    if is_done {
        if !cx.json {
            cx.print.line(&format!("execution {execution} is {text}"))?;
        }
        return Ok(DONE);
    }
    let hint = format!("longshore harbor tasks {registry} {execution} --failed");
    Err(Stop::Said { text: format!("execution {execution} is {text}"), hint: Some(hint), status: FAILED })
}

/// The execution when it is over.
async fn wait_for(
    cx: &mut Cx<'_>,
    engine: &Engine,
    registry: &RegistryName,
    (policy, execution): (&PolicyName, i64),
    until: Option<Instant>,
) -> Result<Execution, Stop> {
    let mut last = String::new();
    loop {
        let what = HarborAsk::Executions { policy: policy.clone(), after: None };
        let HarborSaid::Executions(page) = ask(cx, engine, registry, what).await? else {
            return Err(Stop::misfit());
        };
        let Some(run) = page.items.into_iter().find(|run| run.id == execution) else {
            let text = format!("Harbor does not list execution {execution}: how it stands is not known");
            return Err(Stop::said(text).hint(format!("longshore harbor executions {registry} {policy}")));
        };
        if harbor::is_over(&run) {
            return Ok(run);
        }
        let line = harbor::run_line(&Execution { began: None, ..run }, cx.now());
        if line != last {
            cx.print.progress(&format!("execution {execution} is {line}"));
            last = line;
        }
        if until.is_some_and(|until| Instant::now() + POLL > until) {
            let text = format!("execution {execution} is not over yet: it goes on");
            return Err(Stop::said(text).hint(format!("longshore harbor executions {registry} {policy}")));
        }
        tokio::select! {
            () = sleep(POLL) => {}
            () = cx.interrupted() => return Err(Stop::said(format!("stopped waiting; execution {execution} goes on"))),
        }
    }
}

async fn stop(cx: &mut Cx<'_>, of: &OneExecution) -> Done {
    let registry = named(&of.registry)?;
    if of.execution <= 0 {
        let fault = Fault::new(Kind::Invalid, format!("{} is no execution", of.execution));
        return Err(Stop::usage(&fault.hint("see `longshore harbor executions`")));
    }
    let engine = act::connect(cx).await?;
    let done = deed(cx, &engine, &registry, HarborDeed::Stop { execution: of.execution }).await?;
    finish(cx, done, None)
}
