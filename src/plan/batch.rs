//! A renewal goes in batches: so many containers at a time, and a pause between one batch and the next.

use std::collections::BTreeMap;

use crate::base::clock::Millis;
use crate::base::ids::Slot;
use crate::model::instance::Instance;
use crate::model::pool::Pool;

/// When the next batch of a pool's renewal may begin, if that is still to come: `update_config.delay` after the last slot took the
/// present revision from another one. A container that begins anew, moves or is added meanwhile puts nothing off. None when
/// nothing is to be renewed, or nothing has to be waited for.
pub fn next(pool: &Pool, records: Option<&BTreeMap<Slot, Instance>>, now: Millis) -> Option<Millis> {
    let delay = pool.spec.update_delay_ms;
    let wanted = || records.into_iter().flatten().filter(|(slot, _)| pool.wants(**slot)).map(|(_, i)| i);
    if delay == 0 || wanted().all(|i| i.revision == pool.revision) {
        return None;
    }
    let newest = wanted().filter(|i| i.revision == pool.revision).filter_map(|i| i.renewed).max()?;
    // A time further ahead than the pause itself was noted before the clock was put back.
    Some(newest.plus(delay)).filter(|at| *at > now && at.since(now) <= delay)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ids::OpId;
    use crate::model::instance::Phase;
    use crate::model::pool::PoolSpec;

    fn instance(slot: u32, revision: u32, renewed: Option<i64>) -> Instance {
        Instance {
            pool: "feed/web".parse().unwrap(),
            slot,
            generation: 1,
            host: "h1".parse().unwrap(),
            revision,
            op: OpId(1),
            phase: Phase::Started,
            failures: 0,
            retry_at: None,
            cause: None,
            // It began anew just now: that has no say.
            since: Millis(9_999),
            renewed: renewed.map(Millis),
            moved_from: None,
            move_to: None,
        }
    }

    #[test]
    fn the_next_batch_waits_after_the_newest_renewal_of_the_one_before() {
        let spec = PoolSpec { update_delay_ms: 600_000, ..PoolSpec::default() };
        let pool = Pool {
            id: "feed/web".parse().unwrap(),
            revision: 2,
            spec,
            want: 3,
            holes: Default::default(),
            version: 1,
            down: false,
            hosts: Vec::new(),
            last_scale: None,
        };
        let all = |of: [(u32, Option<i64>); 3]| -> BTreeMap<Slot, Instance> {
            (1..).zip(of).map(|(n, (revision, renewed))| (n, instance(n, revision, renewed))).collect()
        };
        let next = |of, now| next(&pool, Some(&all(of)), Millis(now));
        let at = Some;
        assert_eq!(next([(2, at(1_000)), (2, at(5_000)), (1, None)], 10_000), Some(Millis(605_000)));
        assert_eq!(next([(2, at(1_000)), (2, at(5_000)), (1, None)], 605_000), None, "its time has come");
        assert_eq!(next([(1, at(1_000)), (1, at(5_000)), (1, None)], 10_000), None, "the first batch");
        assert_eq!(next([(2, None), (1, None), (1, None)], 10_000), None, "added, not renewed");
        assert_eq!(
            next([(2, at(1_000)), (2, at(5_000)), (2, None)], 10_000),
            None,
            "nothing is left to renew"
        );
        assert_eq!(
            next([(2, at(1_000)), (2, at(5_000)), (1, None)], 1_000),
            None,
            "a clock that was put back"
        );
    }
}
