//! Which slots of a pool go when it shrinks: those that hurt least, so that what stays is spread as evenly as can be.
//!
//! Swarm removes what does not run, then from the node with most of the service (orchestration research 4.5); the domains
//! that a pool is spread over are levelled in the same way here, from the outermost inwards.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use crate::base::clock::Millis;
use crate::base::ids::{HostId, Slot};
use crate::model::container::{Health, State};

/// One slot, as far as it matters here.
#[derive(Clone, Debug, PartialEq)]
pub struct Held {
    /// Its number.
    pub slot: Slot,
    /// Where it is; `None` when it waits for a host.
    pub host: Option<HostId>,
    /// That host answers and takes containers: it is not silent, cordoned or being drained.
    pub ready: bool,
    /// The domains that the host lies in (its site, then values of the pool's spread), the outermost first.
    pub domains: Vec<Option<String>>,
    /// The state of its container; `None` when there is none.
    pub state: Option<State>,
    /// Its health.
    pub health: Health,
    /// When it was made.
    pub created: Millis,
}

impl Held {
    /// How little is lost with it: the least goes first.
    fn worth(&self) -> u8 {
        match self.state {
            Some(State::Running) if !self.ready => 2,
            Some(State::Running) if self.health == Health::Unhealthy => 1,
            Some(State::Running) => 3,
            _ => 0,
        }
    }

    fn age_order(&self) -> (Reverse<i64>, Reverse<Slot>) {
        (Reverse(self.created.0), Reverse(self.slot))
    }
}

/// The slots that go so that `keep` stay, in the order in which they go: what does not run, what is unhealthy, what is on
/// hosts that are not ready, then from the domains and hosts with most of the pool, the youngest first.
pub fn going(all: &[Held], keep: u32) -> Vec<Slot> {
    let keep = usize::try_from(keep).unwrap_or(usize::MAX);
    let surplus = all.len().saturating_sub(keep);
    let mut poor: Vec<&Held> = all.iter().filter(|h| h.worth() < 3).collect();
    poor.sort_by_key(|h| (h.worth(), h.age_order()));
    poor.truncate(surplus);
    let good: Vec<&Held> = all.iter().filter(|h| h.worth() == 3).collect();
    let mut out: Vec<Slot> = poor.iter().map(|h| h.slot).collect();
    let mut more = Vec::new();
    level(good, 0, surplus - poor.len(), &mut more);
    more.sort_by_key(|h| h.age_order());
    out.extend(more.iter().map(|h| h.slot));
    out
}

/// Takes so many, from the fullest domains at this depth, and inside them in the same way.
fn level<'a>(mut of: Vec<&'a Held>, depth: usize, take: usize, out: &mut Vec<&'a Held>) {
    if take == 0 {
        return;
    }
    let depths = of.iter().map(|h| h.domains.len()).max().unwrap_or(0);
    if depth > depths {
        of.sort_by_key(|h| h.age_order());
        return out.extend(of.into_iter().take(take));
    }
    let mut parts: BTreeMap<Option<&str>, Vec<&Held>> = BTreeMap::new();
    for held in of {
        let host = || held.host.as_ref().map(HostId::as_str);
        let key = if depth == depths { host() } else { held.domains.get(depth).and_then(|d| d.as_deref()) };
        parts.entry(key).or_default().push(held);
    }
    let counts: Vec<usize> = parts.values().map(Vec::len).collect();
    let youngest: Vec<_> = parts.values().map(|p| p.iter().map(|h| h.age_order()).min()).collect();
    let shares = shares(&counts, take, |at| youngest[at]);
    for (part, share) in parts.into_values().zip(shares) {
        level(part, depth + 1, share, out);
    }
}

/// How many each of several counts gives, so that `take` go and what stays is level; among equals by `rank`.
fn shares<K: Ord>(counts: &[usize], take: usize, rank: impl Fn(usize) -> K) -> Vec<usize> {
    let above = |line: usize| counts.iter().map(|n| n.saturating_sub(line)).sum::<usize>();
    // The lowest line above which there are not more than are taken.
    let (mut low, mut high) = (0, counts.iter().copied().max().unwrap_or(0));
    while low < high {
        let middle = low.midpoint(high);
        if above(middle) <= take {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    let mut out: Vec<usize> = counts.iter().map(|n| n.saturating_sub(low)).collect();
    let rest = take - out.iter().sum::<usize>();
    let mut at_line: Vec<usize> = (0..counts.len()).filter(|at| low > 0 && counts[*at] >= low).collect();
    at_line.sort_by_cached_key(|at| rank(*at));
    for at in at_line.into_iter().take(rest) {
        out[at] += 1;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn held(slot: Slot, host: usize, site: usize) -> Held {
        Held {
            slot,
            host: Some(format!("h{host}").parse().unwrap()),
            ready: true,
            domains: vec![Some(format!("s{site}"))],
            state: Some(State::Running),
            health: Health::None,
            created: Millis(i64::from(slot)),
        }
    }

    #[test]
    fn what_hurts_least_goes_first() {
        let mut all: Vec<Held> = (1..=6).map(|slot| held(slot, 0, 0)).collect();
        all[2].health = Health::Unhealthy;
        all[0].ready = false;
        all[4].state = Some(State::Exited);
        assert_eq!(going(&all, 2), [5, 3, 1, 6]);
        assert_eq!(going(&all, 6), Vec::<Slot>::new());
        assert_eq!(going(&all, 0).len(), 6);
    }

    #[test]
    fn the_fuller_host_gives_before_the_younger_slot() {
        let all = [held(1, 0, 0), held(2, 0, 0), held(3, 0, 0), held(4, 1, 0)];
        assert_eq!(going(&all, 2), [3, 2]);
    }

    proptest! {
        #[test]
        fn what_stays_is_as_even_as_it_can_be(
            places in prop::collection::vec((0..3usize, 0..3usize), 1..40), keep in 0..40u32,
        ) {
            let slot = |i: usize| Slot::try_from(i + 1).unwrap();
            let all: Vec<Held> =
                places.iter().enumerate().map(|(i, (h, s))| held(slot(i), s * 10 + h, *s)).collect();
            let gone = going(&all, keep);
            let stay: Vec<&Held> = all.iter().filter(|h| !gone.contains(&h.slot)).collect();
            prop_assert_eq!(stay.len(), all.len().min(keep as usize));
            prop_assert_eq!(gone.len(), all.len() - stay.len());
            let count = |of: &[&Held], site: usize| {
                of.iter().filter(|h| h.domains[0].as_deref() == Some(&format!("s{site}"))).count()
            };
            let (every, most): (Vec<&Held>, usize) =
                (all.iter().collect(), (0..3).map(|s| count(&stay, s)).max().unwrap_or(0));
            for site in 0..3 {
                // A site with fewer than the fullest has either given at most to one below it, or has given nothing.
                let here = count(&stay, site);
                prop_assert!(here + 1 >= most || here == count(&every, site), "{places:?} {gone:?}");
            }
        }
    }
}
