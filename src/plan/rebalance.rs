//! Moves that would mend and even the load out: containers away from where their pool's rules would not put them any more,
//! pools out of one basket, then skew over domains and hosts, then full hosts to empty.
//!
//! The last follows the Kubernetes descheduler's LowNodeUtilization (orchestration research 4.12): only hosts that are more
//! than a tenth above the mean give, only those more than a tenth below it take, so that a balanced fleet is left alone.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::base::ids::{HostId, PoolId, SiteName};
use crate::model::command::Target;
use crate::model::desired::Desired;
use crate::model::host::HostView;
use crate::model::instance::{Instance, Phase};
use crate::model::moves::{Balance, Move, Proposal};
use crate::model::placement::{LossRule, Strategy};
use crate::model::pool::Pool;
use crate::model::world::Misplaced;
use crate::plan::misplaced;
use crate::plan::place::{Ask, Room};

/// How far a host may be from the mean before it gives or takes.
const BAND: f64 = 0.1;

/// Where all of a pool may be together.
const ONE_HOST: &str = "on one host";

/// Hosts that a container of a full host is tried on.
const TARGETS: usize = 4;

/// Tries in all, and classes of hosts that are looked at in all tries: so the answer comes in time whatever the fleet.
const TRIES: usize = 4_000;
const LOOKS: usize = 2_000_000;

/// Sentences about what cannot be bettered, at most.
const BLOCKED: usize = 20;

/// One kind of move can make way for another: so often all are looked at again.
const ROUNDS: u32 = 8;

struct Work<'a> {
    desired: &'a Desired,
    hosts: &'a BTreeMap<HostId, Arc<HostView>>,
    target: Option<&'a Target>,
    room: &'a mut Room,
    limit: usize,
    tries: usize,
    /// How uneven each pool is, as far as this has come.
    skews: BTreeMap<PoolId, u32>,
    /// What cannot be mended, as far as this has come.
    stuck: Vec<String>,
    out: Proposal,
}

/// Works moves out, the most useful first. Nothing is done, and `room` is the same afterwards.
pub fn propose(
    desired: &Desired,
    hosts: &BTreeMap<HostId, Arc<HostView>>,
    room: &mut Room,
    target: Option<&Target>,
    limit: u32,
) -> Proposal {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let tries = (LOOKS / room.classes().max(1)).clamp(50, TRIES);
    let (skews, out) = (BTreeMap::new(), Proposal::default());
    let stuck = Vec::new();
    let mut work = Work { desired, hosts, target, room, limit, tries, skews, stuck, out };
    work.out.before = work.balance(hosts);
    work.room.begin_trial();
    let pools: Vec<&Pool> = desired.pools.values().filter(|p| work.covers(p)).collect();
    let all: Vec<&Pool> =
        desired.pools.values().filter(|p| !p.down && target.is_none_or(|t| t.covers(&p.id))).collect();
    for _ in 0..ROUNDS {
        let before = work.tries;
        let moves = work.out.moves.clone();
        work.mend_all(&all);
        for baskets in [true, false] {
            for pool in &pools {
                work.spread(pool, baskets);
            }
        }
        work.relieve(hosts);
        if work.out.moves == moves || work.tries == before {
            break;
        }
    }
    work.out.blocked.splice(0..0, std::mem::take(&mut work.stuck));
    work.out.blocked.truncate(BLOCKED);
    work.out.after = if work.out.moves.is_empty() { work.out.before } else { work.balance(hosts) };
    work.room.end_trial();
    work.out
}

fn is_settled(instance: &Instance, pool: &Pool) -> bool {
    instance.phase == Phase::Started
        && pool.wants(instance.slot)
        && instance.moved_from.is_none()
        && instance.move_to.is_none()
        && instance.retry_at.is_none()
}

fn is_movable(pool: &Pool) -> bool {
    !matches!(pool.spec.loss_rule(), LossRule::Wait | LossRule::Never)
}

impl Work<'_> {
    fn covers(&self, pool: &Pool) -> bool {
        self.target.is_none_or(|t| t.covers(&pool.id)) && pool.strategy() == Strategy::Spread && !pool.down
    }

    /// Where the slots of a pool are now, as far as this has come.
    fn places(&self, pool: &Pool) -> Vec<(&Instance, HostId)> {
        let moved: BTreeMap<u32, &HostId> =
            self.out.moves.iter().filter(|m| m.pool == pool.id).map(|m| (m.slot, &m.to)).collect();
        let slots = self.desired.instances.get(&pool.id).into_iter().flat_map(|s| s.values());
        slots.map(|i| (i, moved.get(&i.slot).map_or_else(|| i.host.clone(), |h| (*h).clone()))).collect()
    }

    /// Where two or more of a pool are all together: on one host, or in one of several sites.
    fn basket(&self, pool: &Pool) -> Option<&'static str> {
        let places = self.places(pool);
        let site = |host: &HostId| self.hosts.get(host).and_then(|h| h.record.site.as_ref());
        let elsewhere = |one: Option<&SiteName>| {
            self.hosts.values().any(|h| h.record.site.as_ref() != one && self.room.takes_part(&h.config.id))
        };
        match places.as_slice() {
            [] | [_] => None,
            all if all.windows(2).all(|w| w[0].1 == w[1].1) => Some(ONE_HOST),
            all if all.windows(2).all(|w| site(&w[0].1) == site(&w[1].1)) && elsewhere(site(&all[0].1)) => {
                Some("in one site")
            }
            _ => None,
        }
    }

    fn blocked(&mut self, sentence: String) {
        if self.out.blocked.len() < BLOCKED && !self.out.blocked.contains(&sentence) {
            self.out.blocked.push(sentence);
        }
    }

    fn has_more(&self) -> bool {
        self.out.moves.len() < self.limit && self.tries > 0
    }

    fn skew(&mut self, pool: &Pool) -> u32 {
        if let Some(skew) = self.skews.get(&pool.id) {
            return *skew;
        }
        let skew = self.room.skew(&Ask::new(pool, 0));
        self.skews.insert(pool.id.clone(), skew);
        skew
    }

    /// Notes a move; a slot that has one already goes straight to its last place.
    fn moved(&mut self, instance: &Instance, to: HostId, why: String) {
        let (pool, slot, generation) = (instance.pool.clone(), instance.slot, instance.generation);
        self.out.moves.retain(|m| m.pool != pool || m.slot != slot);
        self.skews.remove(&pool);
        let from = instance.host.clone();
        if from != to {
            self.out.moves.push(Move { pool, slot, generation, from, to, why });
        }
    }

    /// Moves slots from where their pools' rules would not put them any more; again while some went, since that makes room for others.
    fn mend_all(&mut self, pools: &[&Pool]) {
        loop {
            let before = self.out.moves.len();
            self.stuck.clear();
            for pool in pools {
                self.mend(pool);
            }
            if self.out.moves.len() == before || !self.has_more() {
                return;
            }
        }
    }

    fn stuck(&mut self, sentence: String) {
        if self.stuck.len() < BLOCKED {
            self.stuck.push(sentence);
        }
    }

    /// Moves slots of a pool from where its rules would not put them any more.
    fn mend(&mut self, pool: &Pool) {
        for Misplaced { host, slots, why } in misplaced::of(self.desired, pool, self.room) {
            if !is_movable(pool) {
                let rule = pool.spec.loss_rule().word();
                self.stuck(format!("{} stays on {host}, which {why}: its rule is {rule}", pool.id));
                continue;
            }
            for slot in slots {
                let records = self.desired.instances.get(&pool.id);
                let Some(instance) = records.and_then(|r| r.get(&slot)) else { continue };
                if self.out.moves.iter().any(|m| m.pool == pool.id && m.slot == slot) {
                    continue;
                }
                if !self.has_more() {
                    return;
                }
                self.tries -= 1;
                match self.room.choose(&Ask { not_on: Some(&host), ..Ask::new(pool, slot) }) {
                    Ok(to) => self.moved(instance, to, format!("{host} {why}")),
                    Err(no) => {
                        self.stuck(format!("{}.{slot} stays on {host}, which {why}: {no}", pool.id));
                        break;
                    }
                }
            }
        }
    }

    /// Moves slots of a pool from where most of it is to where fewest is, while that makes it more even.
    fn spread(&mut self, pool: &Pool, baskets: bool) {
        let basket = self.basket(pool);
        if basket.is_some() != baskets {
            return;
        }
        if let Some(place) = basket.filter(|_| !is_movable(pool)) {
            let rule = pool.spec.loss_rule().word();
            return self.blocked(format!("{} is all {place} and stays there: its rule is {rule}", pool.id));
        }
        if !is_movable(pool) || self.skew(pool) < if baskets { 1 } else { 2 } {
            return;
        }
        while self.has_more() {
            match self.step(pool) {
                Ok(true) => {}
                Ok(false) => return,
                Err(why) => {
                    if let Some(place) = basket {
                        self.blocked(format!("{} stays {place}: {why}", pool.id));
                    }
                    return;
                }
            }
        }
    }

    /// One move of a pool, if there is one that makes it more even.
    fn step(&mut self, pool: &Pool) -> Result<bool, String> {
        let mut on: BTreeMap<HostId, Instance> = BTreeMap::new();
        for (instance, host) in self.places(pool) {
            if is_settled(instance, pool) {
                on.insert(host, instance.clone());
            }
        }
        on.retain(|host, _| self.room.takes_part(host));
        let ask = Ask::new(pool, 0);
        let mut worst: Vec<(Vec<u32>, HostId)> =
            on.keys().map(|host| (self.room.crowding(&ask, host), host.clone())).collect();
        worst.sort_by(|a, b| b.cmp(a));
        let mut refusal = None;
        for (_, host) in worst.into_iter().take(TARGETS) {
            let Some(instance) = on.get(&host) else { continue };
            self.tries = self.tries.saturating_sub(1);
            let ask = Ask { not_on: Some(&host), ..Ask::new(pool, instance.slot) };
            let before = self.room.crowding(&ask, &host);
            let skew = self.room.skew(&ask);
            match self.room.relocate(&ask, false) {
                // More even over sites must not be less even over hosts.
                Ok(_) if self.room.skew(&ask) > skew => {
                    self.room.put(&Instance { host: host.clone(), ..instance.clone() }, pool);
                }
                Ok(to) => {
                    let after = self.room.crowding(&ask, &to);
                    let asked = self.room.domains_asked(&ask);
                    let why = better(&before, &after, asked);
                    let instance = instance.clone();
                    self.moved(&instance, to, why);
                    return Ok(true);
                }
                Err(why) => refusal = refusal.or(why),
            }
        }
        refusal.map_or(Ok(false), Err)
    }

    /// Moves containers of hosts far above the mean to hosts far below it.
    fn relieve(&mut self, hosts: &BTreeMap<HostId, Arc<HostView>>) {
        let (cap, taken) = self.room.totals();
        let Some(mean) = crate::plan::place::share(&taken, &cap) else { return };
        let mut shares: Vec<(f64, &HostId)> =
            hosts.keys().filter_map(|h| Some((self.room.share(h)?, h))).collect();
        shares.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(b.1)));
        let full: Vec<&HostId> =
            shares.iter().rev().take_while(|s| s.0 > mean + BAND).map(|s| s.1).take(self.tries).collect();
        // Shares are not negative: their bits sort as they do.
        let mut empty: BTreeSet<(u64, &HostId)> =
            shares.iter().take_while(|s| s.0 < mean - BAND).map(|s| (s.0.to_bits(), s.1)).collect();
        if full.is_empty() || empty.is_empty() {
            return;
        }
        let of_host = self.movable_by_host(&full.iter().copied().collect());
        for from in full {
            for (pool, slot) in of_host.get(from).into_iter().flatten() {
                if !self.has_more() || self.room.share(from).is_none_or(|s| s <= mean + BAND) {
                    break;
                }
                self.relieve_one(pool, *slot, from, &mut empty, mean);
            }
        }
    }

    /// Slots of full hosts that may move, by the host where they would be now, those that reserve most first.
    fn movable_by_host(&self, full: &BTreeSet<&HostId>) -> BTreeMap<HostId, Vec<(PoolId, u32)>> {
        let mut out: BTreeMap<HostId, Vec<(PoolId, u32)>> = BTreeMap::new();
        let mut pools: Vec<&Pool> = self.desired.pools.values().filter(|p| self.covers(p)).collect();
        pools.retain(|p| is_movable(p));
        pools.sort_by_key(|p| std::cmp::Reverse((p.spec.need().memory, p.spec.need().cpu_milli)));
        for pool in pools {
            for (instance, host) in self.places(pool) {
                if full.contains(&host) && is_settled(instance, pool) {
                    out.entry(host).or_default().push((pool.id.clone(), instance.slot));
                }
            }
        }
        out
    }

    fn relieve_one<'h>(
        &mut self,
        pool: &PoolId,
        slot: u32,
        from: &HostId,
        empty: &mut BTreeSet<(u64, &'h HostId)>,
        mean: f64,
    ) {
        let desired = self.desired;
        let instance = desired.instances.get(pool).and_then(|s| s.get(&slot));
        let (Some(pool), Some(instance)) = (desired.pools.get(pool), instance) else { return };
        let need = pool.spec.need();
        if need.cpu_milli == 0 && need.memory == 0 {
            return;
        }
        let targets: Vec<(u64, &'h HostId)> = empty.iter().copied().take(TARGETS).collect();
        let before = self.room.share(from).unwrap_or(0.0);
        for target in targets {
            let (was, to) = (f64::from_bits(target.0), target.1);
            self.tries = self.tries.saturating_sub(1);
            let ask = Ask { only: Some(to), ..Ask::new(pool, slot) };
            let skew = self.room.skew(&ask);
            if self.room.relocate(&ask, true).is_err() {
                continue;
            }
            let (here, there) = (self.room.share(from).unwrap_or(0.0), self.room.share(to).unwrap_or(1.0));
            if there > mean + BAND || there >= before || self.room.skew(&ask) > skew {
                // It would only change places: back again.
                self.room.put(&Instance { host: from.clone(), ..instance.clone() }, pool);
                continue;
            }
            empty.remove(&target);
            if there < mean - BAND {
                empty.insert((there.to_bits(), to));
            }
            let percent = |share: f64| format!("{:.0} %", share * 100.0);
            let why = format!(
                "{from} is reserved to {} instead of {}, {to} to {} instead of {}",
                percent(here),
                percent(before),
                percent(there),
                percent(was)
            );
            return self.moved(instance, to.clone(), why);
        }
    }

    fn balance(&mut self, hosts: &BTreeMap<HostId, Arc<HostView>>) -> Balance {
        let shares: Vec<f64> = hosts.keys().filter_map(|h| self.room.share(h)).collect();
        let mut out = Balance {
            fullest: shares.iter().copied().fold(0.0, f64::max),
            emptiest: shares.iter().copied().reduce(f64::min).unwrap_or(0.0),
            ..Balance::default()
        };
        for pool in self.desired.pools.values().filter(|p| !p.down) {
            if !self.target.is_none_or(|t| t.covers(&pool.id)) {
                continue;
            }
            out.one_basket += u32::from(self.basket(pool) == Some(ONE_HOST));
            if pool.strategy() == Strategy::Spread {
                out.skew = out.skew.max(self.skew(pool));
            }
        }
        out
    }
}

/// What is better after a move, by the counts before and after (see [`Room::crowding`]); the host is the `asked`th.
fn better(before: &[u32], after: &[u32], asked: usize) -> String {
    let differs = before.iter().zip(after).position(|(b, a)| b > a).unwrap_or(asked);
    let what = match differs.cmp(&asked) {
        std::cmp::Ordering::Less => "domain",
        std::cmp::Ordering::Equal => "host",
        std::cmp::Ordering::Greater => "site",
    };
    let (from, to) = (before.get(differs).unwrap_or(&0), after.get(differs).unwrap_or(&0));
    format!("one {what} holds {from} of the pool, the other only {} without it", to.saturating_sub(1))
}
