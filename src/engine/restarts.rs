//! A restart: the same specification as a new revision, so that every container is replaced as a changed file would do it, in
//! batches and within the pool's limits. A pure decision.

use std::collections::BTreeMap;

use crate::base::clock::Millis;
use crate::base::ids::PoolId;
use crate::engine::intake::{Caller, Decided, accepted, busy, covered, operation, supersede};
use crate::model::command::{Refusal, RefusalKind, Target};
use crate::model::desired::{Desired, Write};
use crate::model::instance::{Instance, Phase};
use crate::model::operation::{OpKind, OpStatus, Operation};
use crate::model::pool::Pool;

/// Decides about a restart of a pool, or of all pools of a cluster.
///
/// # Errors
/// A refusal in words: there is no such pool, it is being taken down, or somebody else's operation runs on one of them.
pub fn restart(desired: &Desired, target: &Target, caller: &Caller, now: Millis) -> Decided {
    let pools: Vec<&Pool> = covered(desired, target)?.into_iter().filter(|p| !p.down).collect();
    if pools.is_empty() {
        let text = format!("{target} is being taken down: nothing of it is to run");
        return Err(Refusal::new(RefusalKind::Invalid, text).hint("to have it again: longshore up FILE"));
    }
    // What is stalled holds nobody up: it may stay so for ever.
    let runs = |op: &&Operation| op.by != caller.who && op.status == OpStatus::Running;
    let by_others =
        |pool: &&Pool| desired.operations.values().rev().filter(runs).find(|op| op.pools.contains(&pool.id));
    if let Some((pool, running)) = pools.iter().find_map(|p| Some((p, by_others(p)?))) {
        return Err(busy(&pool.id, running, now).hint("wait until that is over, see `longshore ops`"));
    }
    let ids: Vec<PoolId> = pools.iter().map(|p| p.id.clone()).collect();
    let op = operation(desired, OpKind::Restart, ids.clone(), caller, now);
    let mut writes = Vec::new();
    for pool in &pools {
        let revision = desired.revisions.get(&pool.id).copied().unwrap_or(pool.revision) + 1;
        let next = Pool { revision, version: pool.version + 1, ..(*pool).clone() };
        writes.push(Write::PutPool(Box::new(next)));
        let source = format!("# restart by {}: as revision {}\n", caller.who, pool.revision);
        let (pool, by) = (pool.id.clone(), caller.who.clone());
        writes.push(Write::PutRevision { pool, revision, source: source.into(), by });
    }
    supersede(desired, &ids, op.id, false, now, &mut writes);
    let count: u64 = pools.iter().map(|p| u64::from(p.target())).sum();
    let text = format!("restart {target}: {}", crate::base::text::count(count, "container"));
    Ok(accepted(op, text, caller, writes))
}

/// What ends a restart: the containers that were not renewed yet count as of the pool's present revision from now on, for they
/// were made from the same specification. Those of an older one are still replaced, as the file that changed it asks.
pub fn ended(desired: &Desired, op: &Operation) -> Vec<Write> {
    let mut writes = Vec::new();
    for pool in op.pools.iter().filter_map(|id| desired.pools.get(id)) {
        let (to, from) = (pool.revision, pool.revision.saturating_sub(restarts(desired, op, &pool.id)));
        let alike = |revision: u32| (from..to).contains(&revision);
        let records = desired.instances.get(&pool.id).into_iter().flat_map(BTreeMap::values);
        // Of one that is only intended nothing runs that could stay.
        let stay = records.filter(|i| i.phase != Phase::Intended && alike(i.revision));
        writes.extend(stay.map(|i| Write::PutInstance(Instance { revision: to, ..i.clone() })));
    }
    writes
}

/// How many restarts in a row have made the pool's present revision: this one, and those that it took the place of.
fn restarts(desired: &Desired, op: &Operation, pool: &PoolId) -> u32 {
    let before = desired.operations.values().rev().find(|o| {
        o.kind == OpKind::Restart && o.pools.contains(pool) && o.status == OpStatus::Superseded { by: op.id }
    });
    before.map_or(1, |before| restarts(desired, before, pool).saturating_add(1))
}
