//! A restart: the same specification as a new revision, so that every container is replaced as a changed file would do it, in
//! batches and within the pool's limits. A pure decision.

use crate::base::clock::Millis;
use crate::base::ids::PoolId;
use crate::engine::intake::{Caller, Decided, accepted, busy, covered, operation, supersede};
use crate::model::command::Target;
use crate::model::desired::{Desired, Write};
use crate::model::operation::OpKind;
use crate::model::pool::Pool;

/// Decides about a restart of a pool, or of all pools of a cluster.
///
/// # Errors
/// A refusal in words: there is no such pool, or somebody else's operation runs on one of them.
pub fn restart(desired: &Desired, target: &Target, caller: &Caller, now: Millis) -> Decided {
    let pools: Vec<&Pool> = covered(desired, target)?.into_iter().filter(|p| !p.down).collect();
    let by_others = |pool: &&Pool| desired.running_on(&pool.id).filter(|op| op.by != caller.who);
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
