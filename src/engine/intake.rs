//! Intake: whether a command is accepted, and the durable changes that it makes. A pure decision; the core writes them.

use std::sync::Arc;

use crate::base::clock::Millis;
use crate::base::ids::{OpId, PoolId, Slot};
use crate::base::text::age;
use crate::engine::restarts;
use crate::model::access::Subject;
use crate::model::command::{Accepted, Busy, Change, Command, Refusal, RefusalKind, Target};
use crate::model::desired::{Desired, QueuedCommand, Write};
use crate::model::instance::Instance;
use crate::model::journal::{Draft, What};
use crate::model::operation::{OpKind, OpStatus, Operation, Progress};
use crate::model::placement::Strategy;
use crate::model::pool::{ClusterSpec, LastScale, Pool, REPLICAS_MAX};

/// Who asks, and what the session may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// The person, as the journal names them.
    pub who: String,
    /// The session may only look.
    pub read_only: bool,
    /// Who logged in at the token service; none for whoever the kernel says, on the engine's own machine.
    pub login: Option<Subject>,
}

/// An accepted command: its durable changes, and the answer that is given once they are durable.
#[derive(Clone, Debug, PartialEq)]
pub struct Admission {
    /// The changes, one transaction.
    pub writes: Vec<Write>,
    /// The answer.
    pub accepted: Accepted,
}

/// The outcome of a decision.
pub type Decided = Result<Admission, Refusal>;

/// The slots of a pool that go so that so many stay: worked out from what is seen, which intake does not see.
pub type Shrink<'a> = dyn Fn(&Pool, u32) -> Vec<Slot> + 'a;

/// Decides about commands that change pools. Hosts are the core's own business.
pub fn decide(
    desired: &Desired,
    command: &Command,
    caller: &Caller,
    shrink: &Shrink<'_>,
    now: Millis,
) -> Decided {
    if caller.read_only {
        return Err(read_only());
    }
    match command {
        Command::Up { spec, reset_scale } => up(desired, spec, *reset_scale, caller, shrink, now),
        Command::Restart { target } => restarts::restart(desired, target, caller, now),
        Command::Down { target, confirm } => down(desired, target, confirm.as_deref(), caller, now),
        Command::SetReplicas { pool, change, expect, busy, confirm, strategy } => {
            let (confirm, strategy) = (confirm.as_deref(), *strategy);
            let ask = Ask {
                change: *change,
                expect: *expect,
                busy: *busy,
                confirm,
                strategy,
                undoes: None,
                as_op: None,
            };
            scale(desired, pool, &ask, command, caller, shrink, now)
        }
        Command::Undo { pool, op } => undo(desired, pool, *op, caller, shrink, now),
        Command::Cancel { op } => cancel(desired, *op, caller, now),
        Command::AddHosts(_)
        | Command::Rebalance { .. }
        | Command::RemoveHost { .. }
        | Command::EditHosts { .. }
        | Command::Cordon { .. }
        | Command::Drain { .. }
        | Command::Undrain { .. }
        | Command::GiveUp { .. }
        | Command::AcceptEngine { .. }
        | Command::Prewarm(_)
        | Command::PutSite(_)
        | Command::RemoveSite(_) => {
            Err(Refusal::new(RefusalKind::Invalid, "hosts are not changed by this part of the engine"))
        }
        Command::PutRegistry(_)
        | Command::RemoveRegistry(_)
        | Command::RenewLogin(_)
        | Command::Harbor { .. }
        | Command::PutRule(_)
        | Command::RemoveRule(_)
        | Command::PutLineLimits(_)
        | Command::Access(_)
        | Command::Replicate { .. }
        | Command::PauseRun(_)
        | Command::ResumeRun(_)
        | Command::StopRun(_)
        | Command::RetryRun(_)
        | Command::Prioritise { .. }
        | Command::ResolveConflict { .. }
        | Command::ConfirmDeletes { .. }
        | Command::SpareDeletes { .. }
        | Command::Rejoin { .. }
        | Command::PutImagePolicy { .. }
        | Command::DropImagePolicy => {
            Err(Refusal::new(RefusalKind::Invalid, "registries are not changed by this part of the engine"))
        }
    }
}

/// The refusal of every change in a read-only session.
pub fn read_only() -> Refusal {
    Refusal::new(RefusalKind::ReadOnly, "this session is read-only: nothing was changed")
        .hint("start longshore without --read-only to change things")
}

fn unknown_pool(desired: &Desired, id: &PoolId) -> Refusal {
    let names: Vec<String> = desired.pools.keys().map(ToString::to_string).collect();
    let hint = match names.as_slice() {
        [] => "there are no pools yet: bring some up with `longshore up FILE`".to_owned(),
        some if some.len() <= 8 => format!("pools: {}", some.join(", ")),
        _ => "see `longshore pools`".to_owned(),
    };
    Refusal::new(RefusalKind::NotFound, format!("there is no pool {id}")).hint(hint)
}

/// A queued command whose turn has not come, because another operation began on its pool meanwhile: it waits for that one.
pub fn wait_on(desired: &Desired, id: OpId, queued: &QueuedCommand) -> Option<Vec<Write>> {
    let op = desired.operations.get(&id)?;
    let behind = op.pools.iter().find_map(|pool| desired.running_on(pool))?.id;
    let queued = QueuedCommand { behind, ..queued.clone() };
    Some(vec![
        Write::PutOperation(Operation { status: OpStatus::Queued { behind }, ..op.clone() }),
        Write::PutQueued(id, Box::new(queued)),
    ])
}

/// Decides about a command that has waited for another operation to end. It keeps its number.
///
/// # Errors
/// When it cannot be done any more.
pub fn release(
    desired: &Desired,
    op: OpId,
    queued: &QueuedCommand,
    shrink: &Shrink<'_>,
    now: Millis,
) -> Decided {
    let caller = Caller { who: queued.by.clone(), read_only: false, login: None };
    let Command::SetReplicas { pool, change, confirm, strategy, .. } = &queued.command else {
        return Err(Refusal::new(RefusalKind::Invalid, "only a scale can be queued"));
    };
    let (change, confirm, strategy) = (*change, confirm.as_deref(), *strategy);
    let ask =
        Ask { change, expect: None, busy: Busy::Replace, confirm, strategy, undoes: None, as_op: Some(op) };
    let mut admission = scale(desired, pool, &ask, &queued.command, &caller, shrink, now)?;
    admission.writes.push(Write::DropQueued(op));
    Ok(admission)
}

/// A new operation under way.
pub fn operation(
    desired: &Desired,
    kind: OpKind,
    pools: Vec<PoolId>,
    caller: &Caller,
    now: Millis,
) -> Operation {
    Operation {
        id: OpId(desired.next_op.max(1)),
        kind,
        pools,
        by: caller.who.clone(),
        at: now,
        status: OpStatus::Running,
        ended: None,
        progress: Progress::default(),
    }
}

/// Ends the operations under way on some pools, because `by` asks for something newer; also those that are queued, if
/// what it asks for leaves nothing for them to do.
pub fn supersede(
    desired: &Desired,
    pools: &[PoolId],
    by: OpId,
    and_queued: bool,
    now: Millis,
    writes: &mut Vec<Write>,
) {
    let is_queued = |o: &Operation| matches!(o.status, OpStatus::Queued { .. });
    let open = desired.operations.values().filter(|o| !o.status.is_over() && o.id != by);
    for old in
        open.filter(|o| and_queued || !is_queued(o)).filter(|o| o.pools.iter().any(|p| pools.contains(p)))
    {
        let status = OpStatus::Superseded { by };
        writes.push(Write::PutOperation(Operation { status, ended: Some(now), ..old.clone() }));
        if desired.queued.contains_key(&old.id) {
            writes.push(Write::DropQueued(old.id));
        }
        let text = format!("{} {} is superseded by {by}", old.id, old.kind.word());
        writes.push(Write::Journal(Draft::engine(What::Ended, text).op(old.id)));
    }
}

fn up(
    desired: &Desired,
    spec: &ClusterSpec,
    reset_scale: bool,
    caller: &Caller,
    shrink: &Shrink<'_>,
    now: Millis,
) -> Decided {
    let mut writes = Vec::new();
    let mut changed = Vec::new();
    let mut sentences = Vec::new();
    let source: Arc<str> = spec.source.as_str().into();
    for (name, wanted) in &spec.pools {
        let id = PoolId { cluster: spec.name.clone(), pool: name.clone() };
        let old = desired.pools.get(&id);
        let scaled_by_people = old.is_some_and(|p| p.last_scale.is_some() && !p.down);
        let want = match old {
            Some(pool) if scaled_by_people && !reset_scale => pool.want,
            _ => wanted.replicas,
        };
        if old.is_some_and(|p| p.spec == *wanted && p.want == want && !p.down) {
            continue;
        }
        let same_containers = old.is_some_and(|p| p.spec.same_containers(wanted));
        let newest = desired.revisions.get(&id).copied().unwrap_or(0);
        let revision = old.filter(|_| same_containers).map_or(newest + 1, |p| p.revision);
        let last_scale = old.filter(|_| scaled_by_people && !reset_scale).and_then(|p| p.last_scale.clone());
        let pool = Pool {
            id: id.clone(),
            revision,
            spec: wanted.clone(),
            want,
            holes: old.map_or_else(Default::default, |p| p.holes_at(want, &shrink(p, want))),
            version: old.map_or(1, |p| p.version + 1),
            down: false,
            hosts: old.map_or_else(Vec::new, |p| p.hosts.clone()),
            last_scale,
        };
        sentences.push(match old {
            None => format!("{id} {want}"),
            Some(old) if !same_containers => format!("{id} revision {} -> {revision}, {want}", old.revision),
            Some(old) => format!("{id} {} -> {want}", old.target()),
        });
        writes.push(Write::PutPool(Box::new(pool)));
        if !same_containers {
            writes.push(Write::PutRevision {
                pool: id.clone(),
                revision,
                source: source.clone(),
                by: caller.who.clone(),
            });
        }
        changed.push(id);
    }
    if changed.is_empty() {
        return Ok(nothing(format!("{} is as the file says: nothing to change", spec.name)));
    }
    let op = operation(desired, OpKind::Up, changed.clone(), caller, now);
    let text = format!("up {}: {}", spec.name, sentences.join("; "));
    supersede(desired, &changed, op.id, true, now, &mut writes);
    Ok(accepted(op, text, caller, writes))
}

fn nothing(text: String) -> Admission {
    Admission { writes: Vec::new(), accepted: Accepted { op: None, text } }
}

/// The admission of an operation, with its line in the journal.
pub fn accepted(op: Operation, text: String, caller: &Caller, mut writes: Vec<Write>) -> Admission {
    let mut line = Draft::by(&caller.who, What::Accepted, text.clone()).op(op.id);
    if let [pool] = op.pools.as_slice() {
        line = line.pool(pool);
    }
    let answer = Accepted { op: Some(op.id), text };
    writes.push(Write::PutOperation(op));
    writes.push(Write::Journal(line));
    Admission { writes, accepted: answer }
}

/// The pools that are meant: at least one.
///
/// # Errors
/// When there is none.
pub fn covered<'a>(desired: &'a Desired, target: &Target) -> Result<Vec<&'a Pool>, Refusal> {
    let pools: Vec<&Pool> = desired.pools.values().filter(|p| target.covers(&p.id)).collect();
    if !pools.is_empty() {
        return Ok(pools);
    }
    Err(match target {
        Target::Pool(id) => unknown_pool(desired, id),
        Target::Cluster(name) => Refusal::new(RefusalKind::NotFound, format!("there is no cluster {name}"))
            .hint("see `longshore pools`; a single pool is written CLUSTER/POOL"),
    })
}

fn down(desired: &Desired, target: &Target, confirm: Option<&str>, caller: &Caller, now: Millis) -> Decided {
    let pools = covered(desired, target)?;
    let name = target.to_string();
    if let Some(pool) = pools.iter().find(|p| p.spec.protect)
        && confirm != Some(name.as_str())
    {
        return Err(Refusal::new(RefusalKind::NeedsName(name.clone()), format!("{} is protected", pool.id))
            .hint(format!("to take it away, confirm with its name: {name}")));
    }
    let ids: Vec<PoolId> = pools.iter().map(|p| p.id.clone()).collect();
    let op = operation(desired, OpKind::Down, ids.clone(), caller, now);
    let mut writes: Vec<Write> = pools
        .iter()
        .map(|p| {
            Write::PutPool(Box::new(Pool {
                down: true,
                holes: Default::default(),
                version: p.version + 1,
                ..(*p).clone()
            }))
        })
        .collect();
    supersede(desired, &ids, op.id, true, now, &mut writes);
    let count: u32 = pools.iter().map(|p| p.target()).sum();
    let text = format!(
        "down {target}: {}, {}",
        crate::base::text::count(ids.len() as u64, "pool"),
        crate::base::text::count(u64::from(count), "container")
    );
    Ok(accepted(op, text, caller, writes))
}

/// What exactly is asked of a scale.
pub struct Ask<'a> {
    /// The change.
    pub change: Change,
    /// The version that the caller saw.
    pub expect: Option<u64>,
    /// What to do if it is busy.
    pub busy: Busy,
    /// The name typed.
    pub confirm: Option<&'a str>,
    /// Another placement strategy than the pool's.
    pub strategy: Option<Strategy>,
    /// It takes back this operation.
    pub undoes: Option<OpId>,
    /// It has a number already: it was queued.
    pub as_op: Option<OpId>,
}

/// The number that a change leads to, checked against the pool's limits and guards.
///
/// # Errors
/// A refusal in words: a limit, or the name that must be typed.
pub fn check_scale(pool: &Pool, change: Change, confirm: Option<&str>) -> Result<u32, Refusal> {
    let from = pool.target();
    let to = change.apply(from)?;
    let limits = &pool.spec.limits;
    let refuse = |text: String, hint: &str| Err(Refusal::new(RefusalKind::Limit, text).hint(hint));
    const EDIT: &str = "the limit stands under x-longshore in the pool's file";
    if to > REPLICAS_MAX {
        return refuse(
            format!("{} cannot have {to}: no pool may have more than {REPLICAS_MAX}", pool.id),
            "a slipped digit?",
        );
    }
    if let Some(max) = limits.max.filter(|max| to > *max) {
        return refuse(format!("{} may have at most {max}, not {to}", pool.id), EDIT);
    }
    if let Some(min) = limits.min.filter(|min| to < *min) {
        return refuse(format!("{} must have at least {min}, not {to}", pool.id), EDIT);
    }
    if let Some(step) = limits.step.filter(|step| from.abs_diff(to) > *step) {
        return refuse(
            format!("{} may change by at most {step} at a time, not by {}", pool.id, from.abs_diff(to)),
            EDIT,
        );
    }
    let name = pool.id.to_string();
    let must_name = to < from && (to == 0 || pool.spec.protect);
    if must_name && confirm != Some(name.as_str()) {
        let why = if to == 0 {
            format!("{name} would have no container left")
        } else {
            format!("{name} is protected")
        };
        return Err(Refusal::new(RefusalKind::NeedsName(name.clone()), why)
            .hint(format!("to do it, confirm with its name: {name}")));
    }
    Ok(to)
}

fn scale(
    desired: &Desired,
    id: &PoolId,
    ask: &Ask<'_>,
    command: &Command,
    caller: &Caller,
    shrink: &Shrink<'_>,
    now: Millis,
) -> Decided {
    let pool = desired.pools.get(id).filter(|p| !p.down).ok_or_else(|| unknown_pool(desired, id))?;
    if ask.expect.is_some_and(|version| version != pool.version) {
        return Err(changed(pool, now));
    }
    let to = check_scale(pool, ask.change, ask.confirm)?;
    let from = pool.want;
    if let Some(running) = desired.running_on(id).filter(|o| o.by != caller.who) {
        match ask.busy {
            Busy::Replace => {}
            Busy::Queue if desired.queued.len() >= QUEUED_MAX => return Err(queue_full()),
            Busy::Queue => return Ok(queue(desired, id, running.id, command, (from, to), caller, now)),
            Busy::Refuse => return Err(busy(id, running, now)),
        }
    }
    if to == from {
        return Ok(nothing(format!("{id} has {to} already")));
    }
    let mut writes = Vec::new();
    let mut op =
        operation(desired, OpKind::Scale { from, to, undoes: ask.undoes }, vec![id.clone()], caller, now);
    op.id = ask.as_op.unwrap_or(op.id);
    // Who queued was promised a turn: only somebody who takes the place of others on purpose ends that, too.
    let and_queued = ask.busy == Busy::Replace && ask.as_op.is_none();
    supersede(desired, std::slice::from_ref(id), op.id, and_queued, now, &mut writes);
    let last_scale =
        Some(LastScale { op: op.id, by: caller.who.clone(), at: now, from, to, strategy: ask.strategy });
    let holes = pool.holes_at(to, &shrink(pool, to));
    let scaled = Pool { want: to, holes, version: pool.version + 1, last_scale, ..pool.clone() };
    writes.push(Write::PutPool(Box::new(scaled)));
    let word = op.kind.word();
    let by = by_strategy(ask.strategy);
    Ok(accepted(op, format!("{word} {id} {from} -> {to}{by}"), caller, writes))
}

/// What a sentence about a change says of the placement that was asked for with it.
fn by_strategy(strategy: Option<Strategy>) -> String {
    strategy.map_or_else(String::new, |strategy| format!(", by {strategy}"))
}

fn changed(pool: &Pool, now: Millis) -> Refusal {
    let text = match &pool.last_scale {
        Some(s) => format!(
            "{} has changed since you looked: {} {} -> {}, {} ago",
            pool.id,
            s.by,
            s.from,
            s.to,
            age(now.since(s.at))
        ),
        None => format!("{} has changed since you looked", pool.id),
    };
    Refusal::new(RefusalKind::Changed, text)
        .hint("nothing was sent; look again and repeat what you still want")
}

/// The refusal while somebody else's operation runs on a pool.
pub fn busy(id: &PoolId, running: &Operation, now: Millis) -> Refusal {
    let why = RefusalKind::Busy { op: running.id, by: running.by.clone() };
    let text = format!(
        "{id} is busy: {} started {} {} {} ago",
        running.by,
        running.kind.word(),
        running.id,
        age(now.since(running.at))
    );
    Refusal::new(why, text)
        .hint("queue it behind that (--busy queue), replace that (--busy replace), or leave it")
}

/// Commands that may wait behind others at a time, over all pools.
const QUEUED_MAX: usize = 256;

fn queue_full() -> Refusal {
    Refusal::new(RefusalKind::Unavailable, format!("{QUEUED_MAX} operations are queued already"))
        .hint("cancel some of them, or try again when they have ended")
}

fn queue(
    desired: &Desired,
    id: &PoolId,
    behind: OpId,
    command: &Command,
    (from, to): (u32, u32),
    caller: &Caller,
    now: Millis,
) -> Admission {
    let kind = OpKind::Scale { from, to, undoes: None };
    let op = Operation {
        status: OpStatus::Queued { behind },
        ..operation(desired, kind, vec![id.clone()], caller, now)
    };
    let queued = QueuedCommand { command: command.clone(), by: caller.who.clone(), behind };
    let asked = match command {
        Command::SetReplicas { strategy, .. } => *strategy,
        _ => None,
    };
    let text = format!("queued behind {behind}: scale {id} {from} -> {to}{}", by_strategy(asked));
    let queued = Write::PutQueued(op.id, Box::new(queued));
    let mut change = accepted(op, text, caller, Vec::new());
    // The queue refers to the operation, so the operation is written first.
    let at = change.writes.len() - 1;
    change.writes.insert(at, queued);
    change
}

fn undo(
    desired: &Desired,
    id: &PoolId,
    op: Option<OpId>,
    caller: &Caller,
    shrink: &Shrink<'_>,
    now: Millis,
) -> Decided {
    let pool = desired.pools.get(id).filter(|p| !p.down).ok_or_else(|| unknown_pool(desired, id))?;
    let Some(last) = pool.last_scale.clone() else {
        return Err(Refusal::new(
            RefusalKind::Changed,
            format!("{id} has not been scaled, or its file was brought up since"),
        )
        .hint("see `longshore journal --pool` for what has happened to it"));
    };
    if last.to != pool.want || op.is_some_and(|op| op != last.op) {
        return Err(changed(pool, now));
    }
    let undone = desired
        .operations
        .get(&last.op)
        .is_some_and(|o| matches!(o.kind, OpKind::Scale { undoes: Some(_), .. }));
    if undone {
        return Err(Refusal::new(
            RefusalKind::Changed,
            format!("the last scale of {id} has been taken back already ({})", last.op),
        )
        .hint("scale it to the number that you want"));
    }
    // Taking back what was confirmed once needs no name; limits still hold.
    let name = id.to_string();
    let ask = Ask {
        change: Change::To(last.from),
        expect: None,
        busy: Busy::Replace,
        confirm: Some(&name),
        strategy: None,
        undoes: Some(last.op),
        as_op: None,
    };
    scale(desired, id, &ask, &Command::Undo { pool: id.clone(), op }, caller, shrink, now)
}

fn cancel(desired: &Desired, id: OpId, caller: &Caller, now: Millis) -> Decided {
    let op = desired.operations.get(&id).ok_or_else(|| {
        Refusal::new(RefusalKind::NotFound, format!("there is no operation {id} that could be cancelled"))
            .hint("see `longshore ops`")
    })?;
    let moves = matches!(op.kind, OpKind::Rebalance { .. }) && !op.status.is_over();
    let warms = matches!(op.kind, OpKind::Prewarm(_)) && !op.status.is_over();
    let renews = op.kind == OpKind::Restart && !op.status.is_over();
    if !moves && !warms && !renews && !matches!(op.status, OpStatus::Queued { .. }) {
        let hint = match &op.kind {
            OpKind::Drain { .. } => "a drain is taken back with `longshore hosts undrain`",
            OpKind::Up => "what a file asks for is changed with the next `longshore up FILE`",
            OpKind::Down => "what is taken down is brought back with `longshore up FILE`",
            OpKind::Scale { .. } => "a scale is taken back with `longshore undo`",
            OpKind::Restart | OpKind::Rebalance { .. } | OpKind::Prewarm(_) => {
                "it is over: there is nothing left to end"
            }
        };
        return Err(Refusal::new(RefusalKind::Invalid, format!("{id} is {}, not queued", op.status.word()))
            .hint(hint));
    }
    let text = if moves {
        format!("cancelled {id}: moves that have begun come to their end")
    } else if warms {
        format!("cancelled {id}: what is on its way breaks off, what has arrived stays")
    } else if renews {
        format!("cancelled {id}: what was renewed stays, and so do the containers that were not")
    } else {
        format!("cancelled {id}")
    };
    let wishes = desired
        .instances
        .values()
        .flat_map(std::collections::BTreeMap::values)
        .filter(|i| moves && i.move_to.is_some() && i.moved_from.is_none());
    let mut writes: Vec<Write> =
        wishes.map(|i| Write::PutInstance(Instance { move_to: None, ..i.clone() })).collect();
    if renews {
        writes.extend(restarts::ended(desired, op));
    }
    writes.extend([
        Write::PutOperation(Operation { status: OpStatus::Cancelled, ended: Some(now), ..op.clone() }),
        Write::DropQueued(id),
        Write::Journal(Draft::by(&caller.who, What::Ended, text.clone()).op(id)),
    ]);
    Ok(Admission { writes, accepted: Accepted { op: None, text } })
}
