//! Hosts that do not answer: what becomes of their containers, and when so many are silent that people are asked first.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::base::clock::Millis;
use crate::base::ids::{HostId, SiteName};
use crate::base::text::took;
use crate::model::desired::Desired;
use crate::model::host::{HostState, HostView, LOST_AFTER_MS, Seen};
use crate::model::instance::Phase;
use crate::model::placement::LossRule;
use crate::model::pool::Pool;
use crate::model::site::MassLoss;
use crate::model::world::SlotStatus;

/// Fewer lost hosts than this are never a mass loss: in a small fleet each host is a large share (Kubernetes' cluster
/// autoscaler: `ok-total-unready-count` 3).
pub const MASS_LOSS_MIN: u32 = 3;

/// More than this share of the hosts, in per cent, lost together is more likely our own line than theirs. (Kubernetes' node
/// controller slows down at 55 %, its autoscaler stops at 45 %; both act on machines that they can make again.)
pub const MASS_LOSS_SHARE: u32 = 25;

/// A site of so many hosts that is lost as a whole is a mass loss, whatever its share.
pub const SITE_LOSS_MIN: u32 = 2;

/// True for a host that has answered at some time, to this core or to one before.
fn has_answered(desired: &Desired, host: &HostView) -> bool {
    !host.facts.engine_id.raw().is_empty() || desired.identities.contains_key(&host.config.id)
}

/// True while a host does not answer that did, or that was tried in vain.
pub fn is_silent(host: &HostView) -> bool {
    matches!(host.seen, Seen::Lost { .. } | Seen::Never { why: Some(_) })
}

/// Hosts that count and those that are gone, as a whole and by site. Hosts that were given up count no more.
fn tally(
    desired: &Desired,
    hosts: &BTreeMap<HostId, Arc<HostView>>,
    is_gone: impl Fn(&HostView) -> bool,
) -> MassLoss {
    let mut sites: BTreeMap<&SiteName, (u32, u32)> = BTreeMap::new();
    let (mut lost, mut of) = (0, 0);
    for host in hosts.values().filter(|h| h.record.given_up.is_none() && has_answered(desired, h)) {
        let gone = u32::from(is_gone(host));
        of += 1;
        lost += gone;
        if let Some(site) = &host.record.site {
            let site = sites.entry(site).or_default();
            *site = (site.0 + 1, site.1 + gone);
        }
    }
    let whole = |(all, gone): &(u32, u32)| *all >= SITE_LOSS_MIN && gone == all;
    let sites = sites.into_iter().filter(|(_, n)| whole(n)).map(|(site, _)| site.clone()).collect();
    MassLoss { lost, of, sites, containers: 0 }
}

fn is_mass(tally: &MassLoss) -> bool {
    let many = tally.lost >= MASS_LOSS_MIN && tally.lost * 100 > tally.of * MASS_LOSS_SHARE;
    many || !tally.sites.is_empty()
}

/// The mass loss that people are asked about, if there is one.
pub fn mass_loss(
    desired: &Desired,
    hosts: &BTreeMap<HostId, Arc<HostView>>,
    now: Millis,
) -> Option<MassLoss> {
    let is_lost = |h: &HostView| h.state_at(now) == HostState::Lost;
    let tally = tally(desired, hosts, is_lost);
    if !is_mass(&tally) {
        return None;
    }
    let waits = |id: &HostId| hosts.get(id).is_some_and(|h| is_lost(h) && h.record.given_up.is_none());
    let records = desired.instances.values().flat_map(BTreeMap::values);
    let containers = records.filter(|i| i.phase != Phase::Finished && waits(&i.host)).count();
    Some(MassLoss { containers: u32::try_from(containers).unwrap_or(u32::MAX), ..tally })
}

/// What is lost, of all hosts together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Losses {
    /// So many hosts are silent that nothing is replaced. (Silence counts from its first moment here: of many that vanish
    /// together, one is always noticed first.)
    pub mass: bool,
    /// Sites that are lost as a whole.
    pub sites: BTreeSet<SiteName>,
}

impl Losses {
    /// What is lost now.
    pub fn of(desired: &Desired, hosts: &BTreeMap<HostId, Arc<HostView>>, now: Millis) -> Losses {
        if !hosts.values().any(|h| is_silent(h)) {
            return Losses::default();
        }
        let mass = is_mass(&tally(desired, hosts, is_silent));
        let sites = tally(desired, hosts, |h| h.state_at(now) == HostState::Lost).sites;
        Losses { mass, sites: sites.into_iter().collect() }
    }

    /// The host, or the whole site that is lost with it, with a verb.
    fn who(&self, host: &HostView) -> String {
        match host.record.site.as_ref().filter(|site| self.sites.contains(*site)) {
            Some(site) => format!("site {site} is lost"),
            None => format!("{} does not answer", host.config.id),
        }
    }
}

/// What becomes of a container whose host does not answer.
#[derive(Clone, Debug, PartialEq)]
pub enum Fate {
    /// It waits.
    Wait {
        /// In these words.
        status: SlotStatus,
        /// For this.
        why: String,
        /// It is looked at again then.
        wake_at: Option<Millis>,
    },
    /// It is made elsewhere.
    Replace {
        /// On hosts of this class only.
        class: Option<String>,
        /// Why.
        why: String,
    },
}

/// True when a pool's containers stay with their host.
pub fn is_tied(pool: &Pool) -> bool {
    matches!(pool.spec.loss_rule(), LossRule::Wait | LossRule::Never)
}

/// What becomes of a container of this pool on this host, which does not answer.
pub fn fate(losses: &Losses, host: &HostView, pool: &Pool, now: Millis) -> Fate {
    let (who, id, rule) = (losses.who(host), &host.config.id, pool.spec.loss_rule().word());
    if host.record.given_up.is_some() {
        return Fate::Replace { class: None, why: format!("{id} was given up") };
    }
    let wait = |status, why, wake_at| Fate::Wait { status, why, wake_at };
    if is_tied(pool) {
        let is_lost = host.state_at(now) == HostState::Lost;
        let status = if is_lost { SlotStatus::AwaitingHost } else { SlotStatus::HostLost };
        let give_up = format!("`longshore hosts give-up {id}` replaces them");
        let why = format!("{who}; its containers wait for it by their pool's rule ({rule}): {give_up}");
        return wait(status, why, None);
    }
    if losses.mass {
        let why = format!(
            "{who}, and many hosts with it: nothing is replaced until they answer or are given up (`longshore hosts give-up`)"
        );
        return wait(SlotStatus::HostLost, why, None);
    }
    let class = match (pool.spec.loss_rule(), host.class()) {
        (LossRule::SameClass, None) => {
            let why = format!(
                "{who}, and its class, to which its containers are tied, is not known: `longshore hosts label {id} --class CLASS` states it"
            );
            return wait(SlotStatus::AwaitingHost, why, None);
        }
        (LossRule::SameClass, class) => class,
        _ => None,
    };
    let after_ms = pool.spec.placement.on_loss.after_ms.max(LOST_AFTER_MS);
    let due = host.silent_since().map(|since| since.plus(after_ms));
    if due.is_none_or(|due| now < due) {
        let why = format!("{who}; its containers are replaced after {} of silence", took(after_ms));
        return wait(SlotStatus::HostLost, why, due);
    }
    Fate::Replace { class, why: who }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::host::{HostConfig, HostFacts, HostRecord, HostSource};

    /// Hosts by site, each with how many are lost; `given` of the lost are given up.
    fn fleet(sites: &[(u32, u32)], given: u32) -> BTreeMap<HostId, Arc<HostView>> {
        let mut given = given;
        let mut out = BTreeMap::new();
        for (site, (all, lost)) in sites.iter().enumerate() {
            for n in 0..*all {
                let id = HostId::new(&format!("s{site}-{n}")).unwrap();
                let (address, source) = (format!("sim://{id}"), HostSource::Simulated);
                let config = HostConfig { id: id.clone(), address, tls_dir: None, source };
                let is_lost = n < *lost;
                let give = is_lost && given > 0;
                given -= u32::from(give);
                let site = if sites.len() > 1 { format!("s{site}").parse().ok() } else { None };
                let record =
                    HostRecord { site, given_up: give.then_some(Millis(0)), ..HostRecord::default() };
                let facts = HostFacts { engine_id: id.as_str().into(), ..HostFacts::default() };
                let lost = Seen::Lost { last: Millis(0), since: Millis(0), why: "cut".into() };
                let view = HostView {
                    seen: if is_lost { lost } else { Seen::At(Millis(60_000)) },
                    facts: Arc::new(facts),
                    record: Arc::new(record),
                    ..HostView::never(config)
                };
                out.insert(id, Arc::new(view));
            }
        }
        out
    }

    #[test]
    fn small_fleets_mend_by_themselves_and_large_losses_ask() {
        // Hosts and lost ones by site (one entry: no sites), of them given up, and whether people are asked.
        let table: &[(&[(u32, u32)], u32, bool)] = &[
            (&[(1, 1)], 0, false),
            (&[(2, 1)], 0, false),
            (&[(2, 2)], 0, false),
            (&[(3, 1)], 0, false),
            (&[(3, 2)], 0, false),
            (&[(4, 2)], 0, false),
            (&[(4, 3)], 0, true),
            (&[(10, 2)], 0, false),
            (&[(10, 3)], 0, true),
            (&[(12, 3)], 0, false),
            (&[(13, 4)], 0, true),
            (&[(10, 3)], 1, false),
            (&[(100, 25)], 0, false),
            (&[(100, 26)], 0, true),
            (&[(100, 26)], 26, false),
            (&[(1, 1), (5, 0)], 0, false),
            (&[(2, 2), (20, 0)], 0, true),
            (&[(2, 2), (20, 0)], 1, false),
            (&[(3, 2), (20, 0)], 0, false),
        ];
        for (sites, given, asks) in table {
            let (hosts, desired) = (fleet(sites, *given), Desired::default());
            let mass = mass_loss(&desired, &hosts, Millis(60_000));
            assert_eq!(mass.is_some(), *asks, "{sites:?}, {given} given up: {mass:?}");
            assert_eq!(Losses::of(&desired, &hosts, Millis(60_000)).mass, *asks, "{sites:?}");
        }
    }

    #[test]
    fn hosts_that_never_answered_do_not_count() {
        let mut hosts = fleet(&[(4, 3)], 0);
        for view in hosts.values_mut() {
            Arc::make_mut(view).facts = Arc::default();
        }
        assert_eq!(mass_loss(&Desired::default(), &hosts, Millis(60_000)), None);
    }
}
