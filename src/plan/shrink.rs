//! Which slots of a pool go when it shrinks: those that hurt least, so that what stays is spread as evenly as can be.
//!
//! Swarm removes what does not run, then from the node with most of the service (orchestration research 4.5); the domains
//! that a pool is spread over are levelled in the same way here, in the order in which placement fills them.

use std::borrow::Cow;
use std::collections::{BTreeMap, BinaryHeap};
use std::sync::Arc;

use crate::base::clock::Millis;
use crate::base::ids::{HostId, Slot};
use crate::model::container::{Health, State};
use crate::model::desired::Desired;
use crate::model::host::{Duty, HostView};
use crate::model::instance::Phase;
use crate::model::placement::Strategy;
use crate::model::pool::Pool;
use crate::plan::moves::serves;
use crate::plan::place::value;
use crate::plan::seen::Seen;
use crate::plan::surplus::Ours;

/// One slot, as far as it matters here.
#[derive(Clone, Debug, PartialEq)]
pub struct Held {
    /// Its number.
    pub slot: Slot,
    /// Where it is; `None` when it waits for a host.
    pub host: Option<HostId>,
    /// That host answers and takes containers: it is not silent, cordoned or being drained.
    pub ready: bool,
    /// The values of what the pool asks to be spread over, the outermost first: levelled before hosts are.
    pub domains: Vec<Option<String>>,
    /// The site of its host: levelled among hosts that hold as many.
    pub site: Option<String>,
    /// The state of its container; `None` when there is none.
    pub state: Option<State>,
    /// Its health.
    pub health: Health,
    /// When it was made.
    pub created: Millis,
}

impl Held {
    /// How much is lost with it: the least goes first.
    fn worth(&self) -> u8 {
        match self.state {
            None if self.host.is_none() => 0,
            Some(State::Running) if !self.ready => 3,
            Some(State::Running) if self.health == Health::Unhealthy => 2,
            Some(State::Running) if self.health == Health::Starting => 4,
            Some(State::Running) => 5,
            _ => 1,
        }
    }

    /// The younger goes first.
    fn youth(&self) -> (i64, Slot) {
        (self.created.0, self.slot)
    }
}

/// The wanted slots of a pool that go so that `keep` stay, in the order in which they go. `seen` is what is seen of it.
pub fn chosen(
    desired: &Desired,
    hosts: &BTreeMap<HostId, Arc<HostView>>,
    seen: &Seen<'_>,
    pool: &Pool,
    keep: u32,
) -> Vec<Slot> {
    if keep >= pool.target() {
        return Vec::new();
    }
    let all: Vec<Held> = pool.slots().map(|slot| held(desired, hosts, seen, pool, slot)).collect();
    going(&all, keep, pool.strategy() == Strategy::Spread)
}

fn held(
    desired: &Desired,
    hosts: &BTreeMap<HostId, Arc<HostView>>,
    seen: &Seen<'_>,
    pool: &Pool,
    slot: Slot,
) -> Held {
    let record = desired.instances.get(&pool.id).and_then(|records| records.get(&slot));
    let ours = seen.slots.get(&slot).map_or(&[][..], Vec::as_slice);
    let best: Option<&Ours<'_>> = ours.iter().max_by_key(|o| (serves(o), o.is_alive(), o.tag.generation));
    let host = record.map(|r| &r.host).or(best.map(|o| o.host));
    let view = host.and_then(|host| hosts.get(host));
    let ready = view.is_some_and(|v| {
        v.is_live() && v.record.duty == Duty::Active && !v.other_engine && !v.facts.engine_id.raw().is_empty()
    });
    // What ran on a host that is silent now may still do so.
    let unseen = view.is_some_and(|v| !v.is_live()) && record.is_some_and(|r| r.phase == Phase::Started);
    let on = |attribute| view.and_then(|v| value(attribute, v)).map(Cow::into_owned);
    Held {
        slot,
        host: host.cloned(),
        ready,
        domains: pool.spec.placement.spread.iter().map(on).collect(),
        site: view.and_then(|v| v.record.site.as_ref()).map(ToString::to_string),
        state: best.map(|o| o.container.state).or_else(|| unseen.then_some(State::Running)),
        health: best.map_or(Health::None, |o| o.container.health),
        created: best.map_or(Millis(0), |o| o.container.created),
    }
}

/// The slots that go so that `keep` stay, in the order in which they go: what does not run, what is unhealthy, what is on
/// hosts that are not ready, what is still being checked, then what serves. Among equals, if it shall be `even`, from the
/// domains and hosts with most of the pool; then the youngest.
pub fn going(all: &[Held], keep: u32, even: bool) -> Vec<Slot> {
    let keep = usize::try_from(keep).unwrap_or(usize::MAX);
    let take = all.len().saturating_sub(keep);
    let mut counts = Counts::default();
    let mut classes: BTreeMap<u8, Groups<'_>> = BTreeMap::new();
    for held in all {
        let path = if even { counts.enter(held) } else { Vec::new() };
        classes.entry(held.worth()).or_default().entry(path).or_default().push(held);
    }
    let mut out = Vec::with_capacity(take);
    for groups in classes.into_values() {
        counts.level(groups, take, &mut out);
    }
    out
}

/// Slots that lose as much, by the places of their counts.
type Groups<'a> = BTreeMap<Vec<usize>, Vec<&'a Held>>;

/// How many of the pool stay in each domain, on each host and in each site.
#[derive(Default)]
struct Counts<'a> {
    /// The place of a count: of a site or not, inside which other, its name.
    places: BTreeMap<(bool, usize, Option<&'a str>), usize>,
    stay: Vec<u32>,
}

impl<'a> Counts<'a> {
    /// Counts one. Returns the places of its counts, in the order in which they are levelled: what the pool asks for, the
    /// host, and the site inside what was asked for.
    fn enter(&mut self, held: &'a Held) -> Vec<usize> {
        let mut path = Vec::with_capacity(held.domains.len() + 2);
        let mut within = usize::MAX;
        for domain in &held.domains {
            within = self.place((false, within, domain.as_deref()));
            path.push(within);
        }
        path.push(self.place((false, within, held.host.as_ref().map(HostId::as_str))));
        path.push(self.place((true, within, held.site.as_deref())));
        path.iter().for_each(|at| self.stay[*at] += 1);
        path
    }

    fn place(&mut self, key: (bool, usize, Option<&'a str>)) -> usize {
        let stay = &mut self.stay;
        *self.places.entry(key).or_insert_with(|| {
            stay.push(0);
            stay.len() - 1
        })
    }

    /// Lets slots go, one after the other from where most stay, until so many have gone.
    fn level(&mut self, mut groups: Groups<'_>, take: usize, out: &mut Vec<Slot>) {
        let mut next = BinaryHeap::new();
        for (path, group) in &mut groups {
            group.sort_by_key(|held| held.youth());
            next.extend(group.last().map(|held| (self.of(path), held.youth(), path.clone())));
        }
        while out.len() < take
            && let Some((counts, youth, path)) = next.pop()
        {
            // Counts only fall: what is the first by counts that still hold is the first of all.
            let now = self.of(&path);
            if now != counts {
                next.push((now, youth, path));
                continue;
            }
            let Some(group) = groups.get_mut(&path) else { continue };
            out.extend(group.pop().map(|held| held.slot));
            path.iter().for_each(|at| self.stay[*at] -= 1);
            next.extend(group.last().map(|held| (self.of(&path), held.youth(), path)));
        }
    }

    fn of(&self, path: &[usize]) -> Vec<u32> {
        path.iter().map(|at| self.stay[*at]).collect()
    }
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
            domains: vec![Some(format!("r{site}"))],
            site: None,
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
        all[3].health = Health::Starting;
        assert_eq!(going(&all, 1, true), [5, 3, 1, 4, 6]);
        assert_eq!(going(&all, 6, true), Vec::<Slot>::new());
        assert_eq!(going(&all, 0, false).len(), 6);
    }

    #[test]
    fn the_fuller_host_gives_before_the_younger_slot() {
        let all = [held(1, 0, 0), held(2, 0, 0), held(3, 0, 0), held(4, 1, 0)];
        assert_eq!(going(&all, 2, true), [3, 2]);
        assert_eq!(going(&all, 2, false), [4, 3], "packed hosts are not evened out");
    }

    #[test]
    fn of_hosts_that_hold_as_many_the_one_in_the_fuller_site_gives() {
        let at = |slot, host, site: &str| Held { site: Some(site.into()), ..held(slot, host, 0) };
        let all = [at(1, 0, "bj"), at(2, 1, "bj"), at(3, 2, "sh")];
        assert_eq!(going(&all, 2, true), [2]);
    }

    #[test]
    fn what_is_unhealthy_counts_where_it_stays() {
        let mut all = [held(1, 0, 0), held(2, 0, 0), held(3, 1, 0), held(4, 1, 0)];
        (all[1].health, all[3].health) = (Health::Unhealthy, Health::Unhealthy);
        assert_eq!(going(&all, 3, true), [4]);
        all[3].created = Millis(0);
        let more = [&all[..], &[held(5, 1, 0)]].concat();
        assert_eq!(going(&more, 4, true), [4], "from the fuller host, though the other is younger");
    }

    proptest! {
        #[test]
        fn what_stays_is_as_even_as_it_can_be(
            places in prop::collection::vec((0..3usize, 0..3usize), 1..40), keep in 0..40u32,
        ) {
            let slot = |i: usize| Slot::try_from(i + 1).unwrap();
            let all: Vec<Held> =
                places.iter().enumerate().map(|(i, (h, s))| held(slot(i), s * 10 + h, *s)).collect();
            let gone = going(&all, keep, true);
            let stay: Vec<&Held> = all.iter().filter(|h| !gone.contains(&h.slot)).collect();
            prop_assert_eq!(stay.len(), all.len().min(keep as usize));
            prop_assert_eq!(gone.len(), all.len() - stay.len());
            let count = |of: &[&Held], site: usize| {
                of.iter().filter(|h| h.domains[0].as_deref() == Some(&format!("r{site}"))).count()
            };
            let (every, most): (Vec<&Held>, usize) =
                (all.iter().collect(), (0..3).map(|s| count(&stay, s)).max().unwrap_or(0));
            for site in 0..3 {
                // A site with fewer than the fullest has either given at most to one below it, or has given nothing.
                let here = count(&stay, site);
                prop_assert!(here + 1 >= most || here == count(&every, site), "{places:?} {gone:?}");
            }
            // Within a site the same holds for its hosts.
            let on = |of: &[&Held], host: &HostId| of.iter().filter(|h| h.host.as_ref() == Some(host)).count();
            for (a, b) in all.iter().flat_map(|a| all.iter().map(move |b| (a, b))).filter(|(a, b)| a.domains == b.domains) {
                let (a, b) = (a.host.as_ref().unwrap(), b.host.as_ref().unwrap());
                prop_assert!(on(&stay, a) + 1 >= on(&stay, b) || on(&stay, a) == on(&every, a), "{places:?} {gone:?}");
            }
        }

        #[test]
        fn never_a_better_one_goes_while_a_worse_one_stays(
            states in prop::collection::vec((0..3usize, 0..6u8), 1..30), keep in 0..30u32, even: bool,
        ) {
            let all: Vec<Held> = states.iter().enumerate().map(|(i, (host, state))| {
                let mut one = held(Slot::try_from(i + 1).unwrap(), *host, 0);
                match state {
                    0 => (one.state, one.host) = (None, None),
                    1 => one.state = Some(State::Exited),
                    2 => one.health = Health::Unhealthy,
                    3 => one.ready = false,
                    4 => one.health = Health::Starting,
                    _ => {}
                }
                one
            }).collect();
            let gone = going(&all, keep, even);
            let worth = |slot: &Slot| all[*slot as usize - 1].worth();
            let stay = all.iter().filter(|h| !gone.contains(&h.slot));
            let least = stay.map(Held::worth).min().unwrap_or(u8::MAX);
            prop_assert!(gone.iter().all(|slot| worth(slot) <= least));
            prop_assert!(gone.is_sorted_by_key(worth));
        }
    }
}
