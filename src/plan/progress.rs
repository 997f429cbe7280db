//! Where an operation stands, derived from the pools: never kept, so it cannot be wrong for long.

use crate::base::clock::Millis;
use crate::base::ids::{OpId, PoolId};
use crate::model::instance::{Instance, Phase};
use crate::model::operation::{OpKind, Operation, Progress};
use crate::model::world::{PoolView, SlotStatus, SlotView};
use crate::plan::restart::is_crash_loop;

/// What an operation's pools say about it.
#[derive(Clone, Debug, PartialEq)]
pub enum Standing {
    /// What it asked for is the case.
    Reached,
    /// Under way.
    Moving,
    /// It cannot go on by itself; the reason.
    Stuck(String),
    /// It has ended and did not reach what was asked for; the reason.
    Failed(String),
    /// Somebody has decided otherwise since; by this operation, if it was one.
    TakenBack(Option<OpId>),
}

/// So long must a container have run before an operation counts it as done.
pub const PROVEN_AFTER_MS: u64 = 1_000;

/// Counters and standing of an operation. `pool` gives a pool's view, `None` for a pool that is gone.
pub fn of<'a>(
    op: &Operation,
    pace_ms: Option<u64>,
    now: Millis,
    pool: impl Fn(&PoolId) -> Option<&'a PoolView>,
) -> (Progress, Standing) {
    let mut progress = Progress::default();
    let mut stuck: Option<String> = None;
    let mut failed: Option<String> = None;
    let (mut reached, mut moving) = (true, false);
    for view in op.pools.iter().filter_map(pool) {
        reached &= op.kind != OpKind::Down && is_reached(view, now);
        add(&mut progress, view);
        for slot in &view.slots {
            let cause = || slot.instance.as_ref().and_then(|i| i.cause.clone()).unwrap_or_default();
            let named = |why: String| format!("{}.{}: {why}", view.pool.id, slot.slot);
            match &slot.status {
                SlotStatus::Running | SlotStatus::Checking | SlotStatus::Paused => {
                    // One that serves and cannot be renewed.
                    let outdated = slot.instance.as_ref().is_some_and(|i| i.revision != view.pool.revision);
                    let why = slot.why.clone().filter(|_| outdated);
                    stuck = stuck.or_else(|| why.map(named));
                }
                SlotStatus::Unhealthy => stuck = stuck.or_else(|| Some(named("unhealthy".into()))),
                SlotStatus::Finished
                    if slot
                        .instance
                        .as_ref()
                        .is_some_and(|i| i.failures > 0 && !ended_well(i) && i.since >= op.at) =>
                {
                    failed = failed.or_else(|| Some(named(cause())));
                }
                SlotStatus::Finished => {}
                SlotStatus::Waiting(why) => stuck = stuck.or_else(|| Some(named(why.clone()))),
                SlotStatus::HostLost | SlotStatus::AwaitingHost => {
                    let why = slot.why.clone().unwrap_or_else(|| "its host does not answer".into());
                    stuck = stuck.or_else(|| Some(named(why)));
                }
                SlotStatus::CrashLoop(_) => stuck = stuck.or_else(|| Some(named(cause()))),
                SlotStatus::BackOff(_) if slot.instance.as_ref().is_some_and(is_crash_loop) => {
                    stuck = stuck.or_else(|| Some(named(cause())));
                }
                _ => moving = true,
            }
            if matches!(slot.status, SlotStatus::CrashLoop(_) | SlotStatus::BackOff(_)) {
                progress.failed += 1;
                progress.reason = progress.reason.or_else(|| Some(named(cause())));
            }
        }
    }
    let left = progress.target.saturating_sub(progress.running);
    progress.eta_ms = pace_ms.map(|pace| pace * u64::from(left));
    let standing = match (reached, moving, failed, stuck) {
        (true, _, None, _) => Standing::Reached,
        (_, false, Some(why), _) => Standing::Failed(why),
        (_, false, None, Some(why)) => Standing::Stuck(why),
        _ => Standing::Moving,
    };
    (progress, standing)
}

/// True when the last container ended with status 0.
pub fn ended_well(instance: &Instance) -> bool {
    instance.cause.as_deref().is_some_and(|c| c.contains("exit status 0"))
}

fn is_reached(view: &PoolView, now: Millis) -> bool {
    let c = &view.counts;
    let all = c.healthy + c.finished == c.want && c.leaving == 0 && c.outdated == 0;
    let proven = |slot: &SlotView| slot.instance.as_ref().is_none_or(|i| is_proven(view, i, now));
    !view.pool.down && all && view.slots.iter().all(proven)
}

/// A container that has only just started may end at once: it counts when it has run for a moment, and for the restart
/// policy's window if the attempt before it failed.
fn is_proven(view: &PoolView, instance: &Instance, now: Millis) -> bool {
    let needed = if instance.failures == 0 { PROVEN_AFTER_MS } else { view.pool.spec.restart.window_ms };
    // A start that lies ahead was noted before the clock was put back.
    instance.phase != Phase::Started || now.since(instance.since) >= needed || instance.since > now
}

fn add(progress: &mut Progress, view: &PoolView) {
    let c = &view.counts;
    progress.target += c.want;
    progress.running += c.running;
    progress.healthy += c.healthy;
    progress.leaving += c.leaving;
    progress.next_batch = progress.next_batch.max(view.next_batch);
    for slot in view.slots.iter().filter(|s| view.pool.wants(s.slot)) {
        progress.placed += u32::from(slot.instance.is_some());
        progress.pulling += u32::from(matches!(slot.status, SlotStatus::Pulling(_)));
        progress.created += u32::from(slot.container.is_some());
    }
}
