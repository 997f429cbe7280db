//! Questions about an image: how far it is where it is needed, and how long it takes to bring it there.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::{Instant, timeout};

use crate::base::fault::{Fault, Kind, Outcome};
use crate::base::ids::{HostId, RegistryName, SiteName};
use crate::engine::core::Core;
use crate::engine::weigh::{Scales, parts, recorded};
use crate::model::command::Refusal;
use crate::model::coverage::{Coverage, EstimateAsk, HostHolds, listed_as, source_name};
use crate::model::estimate::{Question, SiteQuestion};
use crate::model::host::Image;
use crate::model::prewarm::{PrewarmAsk, Weight};
use crate::model::query::Reply;
use crate::model::replication::Line;
use crate::plan::coverage::{SiteFacts, coverage, holds};
use crate::plan::estimate::estimate;

/// What registries have said is good for so long: a preview is asked for at each key.
const FRESH: Duration = Duration::from_secs(20);
/// Images of which that is kept.
const KEPT: usize = 64;
/// A question waits for registries at most so long; a preview for less: it stands between a person and the next key.
const PATIENCE: Duration = Duration::from_secs(10);
/// See [`PATIENCE`].
pub(super) const GLANCE: Duration = Duration::from_millis(500);

/// What registries have said lately, and which of the sites' registries have it.
#[derive(Clone, Default)]
pub(super) struct Lately(Arc<Mutex<BTreeMap<String, (Instant, Outcome<Weight>, Owns)>>>);

/// What sites' registries have said, by their address.
type Owns = BTreeMap<String, Result<bool, String>>;

impl Lately {
    fn get(&self, image: &str) -> Option<(Outcome<Weight>, Owns)> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (at, weight, owns) = kept.get(image)?;
        (at.elapsed() < FRESH).then(|| (weight.clone(), owns.clone()))
    }

    fn put(&self, image: String, weight: Outcome<Weight>, owns: Owns) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.retain(|_, (at, ..)| at.elapsed() < FRESH);
        if kept.len() < KEPT {
            kept.insert(image, (Instant::now(), weight, owns));
        }
    }
}

/// All that is needed to say how far an image is; made by the core, carried out beside it.
pub(super) struct Looking {
    image: String,
    scales: Scales,
    lately: Lately,
    /// The hosts, with what they list under the image's name; `None` for one that is silent or has not listed.
    hosts: Vec<(HostId, Option<SiteName>, Option<Option<Image>>)>,
    facts: BTreeMap<Option<SiteName>, SiteFacts>,
    /// The address of each site's own registry.
    own: BTreeMap<SiteName, String>,
    empty: Coverage,
}

impl Core {
    /// What is to be asked about an image on these hosts.
    pub(super) fn looking(&self, image: &str, hosts: &[HostId]) -> Looking {
        let listed = listed_as(image);
        let sites = self.sites_with_registries();
        let of = |id: &HostId| {
            let view = self.hosts.get(id);
            let found = |images: &Arc<BTreeMap<String, Image>>| match image.split_once('@') {
                Some((_, digest)) => {
                    images.values().find(|i| i.digest.as_ref().is_some_and(|d| d.raw() == digest)).cloned()
                }
                None => images.get(&listed).cloned(),
            };
            let images = view.filter(|v| v.is_live()).and_then(|v| v.images.as_ref()).map(found);
            (id.clone(), view.and_then(|v| v.record.site.clone()), images)
        };
        let hosts: Vec<_> = hosts.iter().map(of).collect();
        let used: BTreeSet<Option<SiteName>> = hosts.iter().map(|(_, site, _)| site.clone()).collect();
        // A name that cannot be read is of no registry that is known.
        let address = parts(image).map_or_else(|_| String::new(), |p| p.address);
        let source = recorded(&self.desired.registries, &address);
        let fact = |site: Option<SiteName>| {
            let recorded_site = site.as_ref().and_then(|s| sites.get(s));
            let own = recorded_site.and_then(|s| s.registry.clone()).filter(|own| *own != address);
            let near = own.as_deref().and_then(|own| recorded(&self.desired.registries, own));
            let stands =
                site.as_ref().is_some_and(|s| source.is_some_and(|r| r.sites.contains(s)) && own.is_none());
            let from_name = source.map_or(address.as_str(), |r| r.name.as_str());
            let from = match (&own, near) {
                (Some(_), Some(near)) => near.name.to_string(),
                (Some(own), None) => own.clone(),
                (None, _) => from_name.to_owned(),
            };
            let to = if own.is_some() { Some(from.clone()) } else { site.as_ref().map(ToString::to_string) };
            let line = to.filter(|_| !stands && source.is_some()).map(|to| format!("{from_name} → {to}"));
            let bits = source.zip(near).and_then(|(a, b)| self.line_bits(&a.name, &b.name));
            let facts = SiteFacts {
                from,
                own: own.as_ref().map(|_| Err("it was not asked".to_owned())),
                line,
                bits,
                rate: self.speeds.of(site.as_ref()).pull,
                at_a_time: recorded_site.and_then(|s| s.limits.pulls).unwrap_or(u32::MAX),
            };
            (site, facts)
        };
        let own = sites.iter().filter_map(|(name, s)| Some((name.clone(), s.registry.clone()?)));
        Looking {
            image: image.to_owned(),
            scales: self.scales(),
            lately: self.lately.clone(),
            hosts,
            facts: used.into_iter().map(fact).collect(),
            own: own.filter(|(_, own)| *own != address).collect(),
            empty: Coverage {
                image: image.to_owned(),
                pool: None,
                weight: None,
                unweighed: None,
                hosts: Vec::new(),
                left_out: Vec::new(),
                sites: Vec::new(),
                eta_ms: None,
                warnings: Vec::new(),
            },
        }
    }

    /// What a line between two registries may carry just now, in bits a second.
    fn line_bits(&self, from: &RegistryName, to: &RegistryName) -> Option<u64> {
        let line = Line { from: from.clone(), to: to.clone() };
        let now = self.replication.line(&line).and_then(|l| l.budget);
        let all = self.desired.line_limits.get(&line).map(|l| l.budgets.as_slice()).unwrap_or_default();
        let tightest = all.iter().filter_map(|b| b.bytes_per_s).min();
        now.and_then(|b| b.bytes_per_s).or(tightest).map(|bytes| bytes.saturating_mul(8))
    }

    /// How far an image is on the hosts that an ask means.
    pub(super) fn cover(&self, ask: &PrewarmAsk, reply: oneshot::Sender<Reply>) {
        let found = self.image_of(ask).and_then(|image| {
            self.may_bring(&image)?;
            Ok((self.chosen_hosts(ask, &image)?, image))
        });
        let (chosen, image) = match found {
            Ok(found) => found,
            Err(refusal) => return drop(reply.send(Reply::Refused(refusal))),
        };
        let mut looking = self.looking(&image, &chosen.hosts);
        (looking.empty.pool, looking.empty.left_out) = (ask.pool.clone(), chosen.left_out);
        tokio::spawn(async move {
            let _ = reply.send(Reply::Coverage(Box::new(looking.look(PATIENCE).await)));
        });
    }

    /// How long it takes to bring an image to hosts, by all ways.
    pub(super) fn estimate(&self, ask: EstimateAsk, reply: oneshot::Sender<Reply>) {
        let looking = match self.for_estimate(&ask) {
            Ok(looking) => looking,
            Err(refusal) => return drop(reply.send(Reply::Refused(refusal))),
        };
        let card = |hosts: &[HostHolds]| {
            let of = |h: &HostHolds| self.desired.records.get(&h.host)?.capacity.bandwidth;
            hosts.iter().filter_map(of).min()
        };
        let known = looking.as_ref().map(|l| l.hosts.iter().map(|(id, ..)| id.clone()).collect::<Vec<_>>());
        let card = known.and_then(|hosts| {
            let as_held =
                |host: HostId| HostHolds { host, site: None, holds: crate::model::coverage::Holds::Unknown };
            card(&hosts.into_iter().map(as_held).collect::<Vec<_>>())
        });
        let near: BTreeMap<SiteName, BTreeSet<RegistryName>> = self.stands();
        tokio::spawn(async move {
            let found = match looking {
                Some(looking) => Some(looking.look(PATIENCE).await),
                None => None,
            };
            let answer = question(&ask, found.as_ref(), card, &near).and_then(|q| estimate(&q));
            let _ = reply.send(match answer {
                Ok(answer) => Reply::Estimate(Box::new(answer)),
                Err(fault) => Reply::Failed(fault),
            });
        });
    }

    /// Which registries stand at which sites.
    fn stands(&self) -> BTreeMap<SiteName, BTreeSet<RegistryName>> {
        let mut out: BTreeMap<SiteName, BTreeSet<RegistryName>> = BTreeMap::new();
        for registry in self.desired.registries.values() {
            for site in &registry.sites {
                out.entry(site.clone()).or_default().insert(registry.name.clone());
            }
        }
        out
    }

    /// What is looked up for an estimate; nothing when all was given.
    fn for_estimate(&self, ask: &EstimateAsk) -> Result<Option<Looking>, Refusal> {
        let as_prewarm = PrewarmAsk {
            image: ask.image.clone(),
            pool: ask.pool.clone(),
            sites: ask.hosts.iter().map(|(site, _)| site.clone()).collect(),
            ..PrewarmAsk::default()
        };
        if ask.image.is_none() && ask.pool.is_none() {
            return Ok(None);
        }
        let image = self.image_of(&as_prewarm)?;
        if !ask.hosts.is_empty() {
            // Sites that are only thought of need not exist: their hosts were counted by whoever asks.
            return Ok(Some(self.looking(&image, &[])));
        }
        let chosen = self.chosen_hosts(&as_prewarm, &image)?;
        Ok(Some(self.looking(&image, &chosen.hosts)))
    }
}

impl Looking {
    /// Asks the registries and puts all together.
    pub(super) async fn look(mut self, patience: Duration) -> Coverage {
        let told = match self.lately.get(&self.image) {
            Some(told) => Some(told),
            None => self.ask(patience).await,
        };
        let patience_ms = patience.as_millis();
        let (weight, owns) = told.unwrap_or_else(|| {
            let why = format!("its registry has not answered within {patience_ms} ms");
            (Err(Fault::new(Kind::Timeout, why)), Owns::new())
        });
        for (site, facts) in &mut self.facts {
            let own = site.as_ref().and_then(|s| self.own.get(s));
            if let (Some(own), Some(has)) = (own, &mut facts.own) {
                *has = match (&weight, owns.get(own)) {
                    (_, Some(told)) => told.clone(),
                    (Err(fault), None) => Err(fault.to_string()),
                    (Ok(_), None) => Err(format!("no registry is recorded at {own}")),
                };
            }
        }
        let mut empty = self.empty;
        match weight {
            Ok(weight) => empty.weight = Some(weight),
            Err(fault) => empty.unweighed = Some(fault.to_string()),
        }
        let hosts = self.hosts.into_iter().map(|(host, site, listed)| {
            let listed = listed.as_ref().map(Option::as_ref);
            HostHolds { host, site, holds: holds(listed, empty.weight.as_ref()) }
        });
        let hosts = hosts.collect();
        coverage(empty, hosts, &self.facts)
    }

    /// Asks in a task of its own: what comes too late for this question is there for the next.
    async fn ask(&self, patience: Duration) -> Option<(Outcome<Weight>, Owns)> {
        let (image, scales, lately) = (self.image.clone(), self.scales.clone(), self.lately.clone());
        let own: BTreeSet<String> = self.own.values().cloned().collect();
        let asking = tokio::spawn(async move {
            let others: Vec<String> = own.iter().cloned().collect();
            let weight = scales.weigh(&image, &others).await;
            let mut owns = Owns::new();
            if let Ok(weight) = &weight {
                for address in own {
                    if let Some(told) = scales.has(&address, &image, weight).await {
                        owns.insert(address, told.map_err(|fault| fault.to_string()));
                    }
                }
            }
            lately.put(image, weight.clone(), owns.clone());
            (weight, owns)
        });
        timeout(patience, asking).await.ok()?.ok()
    }
}

/// The question to the estimator, with all that is missing named at once.
fn question(
    ask: &EstimateAsk,
    found: Option<&Coverage>,
    card: Option<u64>,
    near: &BTreeMap<SiteName, BTreeSet<RegistryName>>,
) -> Outcome<Question> {
    let mut missing: Vec<String> = Vec::new();
    let layers = match (ask.size, found.and_then(|f| f.weight.as_ref())) {
        (Some(size), _) => vec![size],
        (None, Some(weight)) => weight.layers.clone(),
        (None, None) => {
            let why = found.and_then(|f| f.unweighed.as_deref()).unwrap_or("no image is named");
            missing.push(format!("how large the image is ({why}): --size 1.2GB"));
            Vec::new()
        }
    };
    let registry = found.and_then(|f| f.weight.as_ref()).map(|w| &w.registry);
    let source = source_name(registry);
    let counts: Vec<(SiteName, u32)> = match (ask.hosts.as_slice(), found) {
        ([], Some(found)) => found.sites.iter().filter_map(|s| Some((s.site.clone()?, s.lack))).collect(),
        (given, _) => given.to_vec(),
    };
    if counts.is_empty() {
        missing.push(
            "how many hosts need it at which site: --hosts tc=40, or --pool with hosts that have a site"
                .into(),
        );
    }
    let mut sites = Vec::new();
    for (site, hosts) in counts.into_iter().filter(|(_, hosts)| *hosts > 0 || !ask.hosts.is_empty()) {
        let stands = registry.is_some_and(|r| near.get(&site).is_some_and(|all| all.contains(r)));
        let line = of_site(&ask.lines, &site).map(|bits| (format!("{source} → {site}"), bits));
        if line.is_none() && !stands {
            missing.push(format!("what the line from {source} to {site} carries: --line {site}=100Mbit"));
        }
        let registry = match of_site(&ask.registries, &site) {
            Some(given) => given,
            None if stands || !near.contains_key(&site) => None,
            None => {
                missing.push(format!(
                    "what the registry of {site} can send: --registry {site}=1Gbit (or {site}=none)"
                ));
                None
            }
        };
        sites.push(SiteQuestion { site, hosts, line, registry });
    }
    let Some(uplink) = ask.uplink else {
        missing.push(format!("what {source} can send: --uplink 1Gbit"));
        return Err(unknown(&missing_card(missing, ask.card.or(card))));
    };
    let Some(card) = ask.card.or(card) else { return Err(unknown(&missing_card(missing, None))) };
    if !missing.is_empty() {
        return Err(unknown(&missing));
    }
    if sites.iter().all(|s| s.hosts == 0) {
        return Err(Fault::new(Kind::Refused, "no host lacks the image: there is nothing to bring")
            .hint("to estimate as if none had it: --hosts SITE=N"));
    }
    Ok(Question {
        layers,
        present_percent: ask.present_percent,
        source: source.parse()?,
        uplink,
        card,
        parallel: ask.parallel,
        peers: ask.peers,
        sites,
    })
}

fn missing_card(mut missing: Vec<String>, card: Option<u64>) -> Vec<String> {
    if card.is_none() {
        missing.push(
            "what the network card of a host can do: --card 1Gbit (or record it: hosts label --bandwidth)"
                .into(),
        );
    }
    missing
}

fn unknown(missing: &[String]) -> Fault {
    Fault::new(Kind::Invalid, format!("this cannot be estimated without: {}", missing.join("; ")))
        .hint("docs/replication.md says what each figure means")
}

/// What was said for this site, else what was said for all.
fn of_site<T: Copy>(said: &[(Option<SiteName>, T)], site: &SiteName) -> Option<T> {
    let named = said.iter().find(|(name, _)| name.as_ref() == Some(site));
    named.or_else(|| said.iter().find(|(name, _)| name.is_none())).map(|(_, value)| *value)
}
