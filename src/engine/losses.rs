//! The journal's lines about hosts that are lost and return: one a host, or one for a whole site that goes together.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::base::clock::Millis;
use crate::base::ids::{HostId, SiteName};
use crate::base::text::{age, count};
use crate::model::container::Owner;
use crate::model::desired::Desired;
use crate::model::host::{HostState, HostView, LOST_AFTER_MS, Seen};
use crate::model::journal::{Draft, What};
use crate::plan::loss::{SITE_LOSS_MIN, is_silent};

/// What has been told: hosts one by one, and sites whose hosts are not told one by one.
#[derive(Debug, Default)]
pub(super) struct Told {
    /// Silent since.
    hosts: BTreeMap<HostId, Millis>,
    sites: BTreeMap<SiteName, SiteLoss>,
}

#[derive(Debug)]
struct SiteLoss {
    since: Millis,
    /// Its first host answered again then: the others have as long as a host has before it is called lost.
    returning: Option<Millis>,
}

/// The hosts of one site that have answered at some time.
type OfSite<'a> = BTreeMap<&'a SiteName, Vec<&'a HostView>>;

impl Told {
    /// The lines that are due now, and when to look again.
    pub(super) fn tell(
        &mut self,
        desired: &Desired,
        hosts: &BTreeMap<HostId, Arc<HostView>>,
        now: Millis,
    ) -> (Vec<Draft>, Option<Millis>) {
        self.hosts.retain(|id, _| hosts.contains_key(id));
        let mut sites: OfSite<'_> = BTreeMap::new();
        let known = |h: &HostView| desired.identities.contains_key(&h.config.id);
        for host in hosts.values().filter(|h| known(h)) {
            if let Some(site) = &host.record.site {
                sites.entry(site).or_default().push(host);
            }
        }
        self.sites.retain(|site, _| sites.contains_key(site));
        let (mut lines, mut wake) = (Vec::new(), None);
        let mut together: BTreeSet<&HostId> = BTreeSet::new();
        for (site, members) in &sites {
            if self.tell_site(desired, site, members, now, &mut lines, &mut wake) {
                together.extend(members.iter().map(|h| &h.config.id));
            }
        }
        for host in hosts.values().filter(|h| known(h) && !together.contains(&h.config.id)) {
            lines.extend(self.tell_host(host, now));
        }
        (lines, wake)
    }

    /// True when the site's hosts are not told one by one just now.
    fn tell_site(
        &mut self,
        desired: &Desired,
        site: &SiteName,
        members: &[&HostView],
        now: Millis,
        lines: &mut Vec<Draft>,
        wake: &mut Option<Millis>,
    ) -> bool {
        let lost = members.iter().filter(|h| h.state == HostState::Lost).count();
        let silent = members.iter().filter(|h| is_silent(h)).count();
        let all = members.len();
        if let Some(loss) = self.sites.get_mut(site) {
            if silent == all {
                loss.returning = None;
                return true;
            }
            let first = *loss.returning.get_or_insert(now);
            let due = first.plus(LOST_AFTER_MS);
            if silent > 0 && now < due {
                *wake = Some(wake.map_or(due, |at| at.min(due)));
                return true;
            }
            let for_how_long = age(first.since(loss.since));
            let rest = if silent == 0 { String::new() } else { format!(": {} of {all} hosts", all - silent) };
            lines.push(Draft::engine(
                What::Observed,
                format!("site {site} is back after {for_how_long}{rest}"),
            ));
            self.sites.remove(site);
            return false;
        }
        if all < SITE_LOSS_MIN as usize || silent < all {
            return false;
        }
        // Of many that vanish together one is always lost first: the others have their time, too. Those that were told before
        // are lost already.
        let fresh = members.iter().any(|h| !self.hosts.contains_key(&h.config.id));
        if lost == all && fresh {
            self.hosts.retain(|id, _| !members.iter().any(|h| h.config.id == *id));
            let here = |h: &&&HostView| h.containers.iter().filter(|c| ours(desired, &c.owner)).count();
            let containers: usize = members.iter().map(|h| here(&h)).sum();
            let text = format!(
                "site {site} lost: {}, {}",
                count(all as u64, "host"),
                count(containers as u64, "container")
            );
            lines.push(Draft::engine(What::Observed, text));
            let since = members.iter().filter_map(|h| h.silent_since()).max().unwrap_or(now);
            self.sites.insert(site.clone(), SiteLoss { since, returning: None });
        }
        fresh
    }

    fn tell_host(&mut self, host: &HostView, now: Millis) -> Option<Draft> {
        let id = &host.config.id;
        if host.state == HostState::Lost {
            if self.hosts.contains_key(id) {
                return None;
            }
            let since = host.silent_since().unwrap_or(now);
            self.hosts.insert(id.clone(), since);
            let text = match &host.seen {
                Seen::Lost { last, why, .. } => {
                    format!("host {id} lost: no answer for {} ({why})", age(now.since(*last)))
                }
                Seen::Never { why: Some(why) } => {
                    format!("host {id} lost: no answer since this engine began ({why})")
                }
                _ => return None,
            };
            return Some(Draft::engine(What::Observed, text).host(id));
        }
        if !host.is_live() {
            return None;
        }
        let since = self.hosts.remove(id)?;
        let text = format!("host {id} is back after {}", age(now.since(since)));
        Some(Draft::engine(What::Observed, text).host(id))
    }
}

fn ours(desired: &Desired, owner: &Owner) -> bool {
    owner.ours(&desired.install).is_some()
}
