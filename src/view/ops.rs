//! Operations as rows and sentences: what was asked, by whom, how far it is, what it waits for.

use crate::base::clock::Millis;
use crate::base::ids::OpId;
use crate::base::{stamp, text};
use crate::model::operation::{OpKind, OpStatus, Operation, Progress};
use crate::view::units::{self, Grade};

/// One operation.
#[derive(Clone, Debug, PartialEq)]
pub struct OpRow {
    /// Which.
    pub id: OpId,
    /// `scale feed/web 40→45`.
    pub what: String,
    /// Who asked, sanitised.
    pub by: String,
    /// When.
    pub at: Millis,
    /// One word.
    pub status: &'static str,
    /// How it stands.
    pub grade: Grade,
    /// Nothing more will happen.
    pub over: bool,
    /// Healthy containers and how many there shall be.
    pub done: (u32, u32),
    /// How far it is, or why it ended, in one sentence.
    pub line: String,
}

/// Operations in the order given.
pub fn rows(operations: &[Operation], now: Millis) -> Vec<OpRow> {
    operations.iter().map(|op| row(op, now)).collect()
}

/// One operation as a row.
pub fn row(op: &Operation, now: Millis) -> OpRow {
    OpRow {
        id: op.id,
        what: what(op),
        by: text::safe(&op.by).into_owned(),
        at: op.at,
        status: op.status.word(),
        grade: match &op.status {
            OpStatus::Queued { .. } | OpStatus::Running => Grade::Busy,
            OpStatus::Stalled { .. } => Grade::Warn,
            OpStatus::Failed { .. } => Grade::Bad,
            OpStatus::Done => Grade::Ok,
            OpStatus::Superseded { .. } | OpStatus::Cancelled => Grade::Off,
        },
        over: op.status.is_over(),
        done: (op.progress.healthy.min(op.progress.target), op.progress.target),
        line: line(op, now),
    }
}

/// What it does: `scale feed/web 40→45`, `up feed/web and 3 more`.
pub fn what(op: &Operation) -> String {
    let pools = match op.pools.as_slice() {
        [] => "nothing".to_owned(),
        [one] => one.to_string(),
        [first, rest @ ..] => format!("{first} and {} more", rest.len()),
    };
    match &op.kind {
        OpKind::Scale { from, to, .. } => format!("{} {pools} {from}→{to}", op.kind.word()),
        OpKind::Up | OpKind::Down | OpKind::Restart => format!("{} {pools}", op.kind.word()),
        OpKind::Drain { hosts: which } => format!("{} {}", op.kind.word(), hosts(which)),
        OpKind::Rebalance { moves } => {
            format!("{} {}", op.kind.word(), text::count(u64::from(*moves), "container"))
        }
        OpKind::Prewarm(wanted) => {
            let hosts = text::count(wanted.hosts.len() as u64, "host");
            format!("{} {} on {hosts}", op.kind.word(), text::safe(&wanted.image))
        }
    }
}

/// Hosts in a few words: `h1`, `h1 and 3 more`.
pub fn hosts(which: &[crate::base::ids::HostId]) -> String {
    match which {
        [] => "no host".to_owned(),
        [one] => one.to_string(),
        [first, rest @ ..] => format!("{first} and {} more", rest.len()),
    }
}

/// How far it is, or how it ended.
pub fn line(op: &Operation, now: Millis) -> String {
    match &op.status {
        OpStatus::Queued { behind } => format!("waits until {behind} has ended"),
        OpStatus::Running => progress(op),
        OpStatus::Stalled { why } => format!("stalled: {} · {}", text::safe(why), progress(op)),
        OpStatus::Done => {
            let took = op.ended.map(|e| format!("done in {}", text::took(e.since(op.at))));
            format!(
                "{}, {}",
                took.unwrap_or_else(|| "done".to_owned()),
                units::ago(now.since(op.ended.unwrap_or(op.at)))
            )
        }
        OpStatus::Failed { why } => format!("failed: {}", text::safe(why)),
        OpStatus::Superseded { by } => format!("replaced by {by}"),
        OpStatus::Cancelled if matches!(op.kind, OpKind::Scale { .. }) => {
            "cancelled before it ran".to_owned()
        }
        OpStatus::Cancelled => "cancelled".to_owned(),
    }
}

fn progress(op: &Operation) -> String {
    let p = &op.progress;
    if matches!(op.kind, OpKind::Drain { .. } | OpKind::Rebalance { .. }) {
        return moved(p);
    }
    if matches!(op.kind, OpKind::Prewarm(_)) {
        return warmed(p);
    }
    let mut parts = vec![format!("{} of {} healthy", p.healthy, p.target)];
    if p.placed < p.target {
        parts.push(format!("{} of {} placed", p.placed, p.target));
    }
    let steps = [(p.pulling, "pulling"), (p.created.saturating_sub(p.running), "starting")];
    parts.extend(steps.iter().filter(|(n, _)| *n > 0).map(|(n, word)| format!("{n} {word}")));
    if p.leaving > 0 {
        parts.push(format!("{} leaving", p.leaving));
    }
    if p.failed > 0 {
        let reason = p.reason.as_deref().map(|r| format!(": {}", text::safe(r))).unwrap_or_default();
        parts.push(format!("{} failed{reason}", p.failed));
    }
    parts.extend(p.next_batch.map(|at| format!("the next batch at {}", stamp::hms(at))));
    if let Some(eta) = p.eta_ms {
        parts.push(format!("~{} left", text::age(eta)));
    }
    parts.join(" · ")
}

/// How far moving is: `12 of 40 moved · 3 under way · feed/db.1 is tied to this host`.
fn moved(p: &Progress) -> String {
    let mut parts = vec![format!("{} of {} moved", p.healthy.min(p.target), p.target)];
    if p.leaving > 0 {
        parts.push(format!("{} still there", p.leaving));
    }
    if p.failed > 0 {
        parts.push(format!("{} failed", p.failed));
    }
    parts.extend(p.reason.as_deref().map(|r| text::safe(r).into_owned()));
    parts.extend(p.eta_ms.map(|eta| format!("~{} left", text::age(eta))));
    parts.join(" · ")
}

/// How far a prewarm is: `12 of 40 hosts have it · 4 on their way, 310 MB · 1 failed: h7: …`.
fn warmed(p: &Progress) -> String {
    let mut parts = vec![format!("{} of {} hosts have it", p.healthy.min(p.target), p.target)];
    if p.pulling > 0 {
        let bytes =
            if p.bytes > 0 { format!(", {} so far", units::transfer(p.bytes)) } else { String::new() };
        parts.push(format!("{} on their way{bytes}", p.pulling));
    }
    if p.failed > 0 {
        let reason = p.reason.as_deref().map(|r| format!(": {}", text::safe(r))).unwrap_or_default();
        parts.push(format!("{} failed{reason}", p.failed));
    }
    parts.extend(p.eta_ms.map(|eta| format!("~{} left", text::age(eta))));
    parts.join(" · ")
}

/// The command line that does the same as a scale in the console.
pub fn scale_command(pool: &crate::base::ids::PoolId, to: u32, confirm: Option<&str>) -> String {
    let confirm = confirm.map(|name| format!(" --confirm {name}")).unwrap_or_default();
    format!("longshore scale {pool} {to}{confirm}")
}
