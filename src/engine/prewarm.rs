//! Prewarms: accepted here, begun anew after a restart from what hosts hold, carried on at each turn, and told host by host.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tokio::task::JoinSet;

use crate::base::clock::Millis;
use crate::base::fault::{Fault, Kind, Outcome};
use crate::base::ids::{HostId, OpId, SiteName};
use crate::base::text::{count, took};
use crate::engine::core::Core;
use crate::engine::execute::{Report, WarmNews};
use crate::engine::intake::{self, Caller, Decided};
use crate::engine::warm;
use crate::engine::weigh::{Scales, parts};
use crate::model::command::{Refusal, RefusalKind};
use crate::model::desired::{Desired, Write};
use crate::model::explain::Filter;
use crate::model::host::{Duty, HostView};
use crate::model::journal::{Draft, What};
use crate::model::operation::{OpKind, OpStatus, Operation, Progress};
use crate::model::pool::Pool;
use crate::model::prewarm::{
    Came, HostWarm, PULLS_A_SITE, Prewarm, PrewarmAsk, PrewarmView, Proof, WarmState, Weight,
};
use crate::model::query::Reply;
use crate::model::site::Site;
use crate::plan::place::Ask;
use crate::plan::prewarm::{self as plan, Input, Rates};
use crate::plan::progress::Standing;

/// More pulls at a time at one site than this are a slipped digit.
const LIMIT_MAX: u32 = 1_000;
/// Less than this is over before a speed can be told from it.
const MEASURED_MIN: u64 = 1_000_000;
/// Measured speeds that are kept of each site.
const SPEEDS_KEPT: usize = 16;

/// A prewarm that is carried out.
#[derive(Default)]
pub(super) struct Warming {
    looked: BTreeSet<HostId>,
    looking: BTreeSet<HostId>,
    begun: BTreeMap<Option<SiteName>, Millis>,
    asking: bool,
    /// Something is to begin at this time without anything else happening.
    wake_at: Option<Millis>,
    /// They end with it: what is on its way to a host breaks off there.
    tasks: JoinSet<()>,
}

/// How quick pulls and hand-overs were, in bytes a second, by site: what this core has measured.
#[derive(Default)]
pub(super) struct Speeds(BTreeMap<(Option<SiteName>, bool), Vec<u64>>);

impl Speeds {
    /// What the last prewarms have measured.
    pub(super) fn from_past(desired: &Desired) -> Speeds {
        let mut speeds = Speeds::default();
        for host in desired.prewarms.values().flat_map(|view| view.hosts.values()) {
            if let WarmState::Held(proof) = &host.state {
                let given = matches!(proof.came, Came::From(_));
                speeds.note(host.site.clone(), given, proof.bytes, proof.ms);
            }
        }
        speeds
    }

    /// One more; what was too small to be measured says nothing.
    pub(super) fn note(&mut self, site: Option<SiteName>, given: bool, bytes: u64, ms: u64) {
        if bytes < MEASURED_MIN || ms == 0 {
            return;
        }
        let last = self.0.entry((site, given)).or_default();
        if last.len() == SPEEDS_KEPT {
            last.remove(0);
        }
        last.push(bytes.saturating_mul(1000) / ms.max(1));
    }

    fn median(&self, site: Option<&SiteName>, given: bool) -> Option<u64> {
        let mut all = self.0.get(&(site.cloned(), given))?.clone();
        all.sort_unstable();
        all.get(all.len() / 2).copied()
    }

    /// What is known of a site.
    pub(super) fn of(&self, site: Option<&SiteName>) -> Rates {
        Rates { pull: self.median(site, false), give: self.median(site, true) }
    }
}

/// The hosts that an ask means, and those that are left out although it seems to mean them, each with the reason.
pub(super) struct Chosen {
    pub hosts: Vec<HostId>,
    pub left_out: Vec<(HostId, String)>,
}

fn refuse(why: RefusalKind, text: impl Into<String>, hint: impl Into<String>) -> Refusal {
    Refusal::new(why, text).hint(hint)
}

impl Core {
    /// Decides about a prewarm.
    pub(super) fn decide_prewarm(&self, ask: &PrewarmAsk, caller: &Caller) -> Decided {
        let image = self.image_of(ask)?;
        let warning = self.may_bring(&image)?;
        let limit = ask.limit.unwrap_or(PULLS_A_SITE);
        if limit == 0 || limit > LIMIT_MAX || ask.rate == Some(0) {
            let text = "a prewarm with no pull at a time, or no byte a second, would never end";
            return Err(refuse(
                RefusalKind::Invalid,
                text,
                format!("--limit is 1 to {LIMIT_MAX}, --rate 1 and more"),
            ));
        }
        let Chosen { hosts, left_out } = self.chosen_hosts(ask, &image)?;
        if hosts.is_empty() {
            let why = left_out
                .first()
                .map_or_else(|| "no host is known there".to_owned(), |(host, why)| format!("{host}: {why}"));
            let text = format!("no host can take {image} now ({why})");
            return Err(refuse(
                RefusalKind::Invalid,
                text,
                "see `longshore hosts`, or name hosts with --hosts",
            ));
        }
        let kind = OpKind::Prewarm(Box::new(Prewarm {
            image: image.clone(),
            hosts: hosts.clone(),
            limit,
            rate: ask.rate,
            size: ask.size,
            from_peers: ask.from_peers,
            digest: None,
            ids: Vec::new(),
            asked: false,
            unproved: None,
        }));
        // It changes no pool: a scale neither waits for it nor takes its place.
        let op = intake::operation(&self.desired, kind, Vec::new(), caller, self.clock.now());
        let mut text = format!("prewarm {image} on {}", count(hosts.len() as u64, "host"));
        if let [(host, why), rest @ ..] = left_out.as_slice() {
            let more = if rest.is_empty() { String::new() } else { format!(", and {} more", rest.len()) };
            text.push_str(&format!("; left out: {host} ({why}){more}"));
        }
        if let Some(warning) = warning {
            text.push_str(&format!(" (warning: {warning})"));
        }
        Ok(intake::accepted(op, text, caller, Vec::new()))
    }

    /// The image that an ask means.
    pub(super) fn image_of(&self, ask: &PrewarmAsk) -> Result<String, Refusal> {
        let pool = match &ask.pool {
            Some(id) => Some(self.desired.pools.get(id).filter(|p| !p.down).ok_or_else(|| {
                refuse(RefusalKind::NotFound, format!("there is no pool {id}"), "see `longshore pools`")
            })?),
            None => None,
        };
        let image = ask.image.clone().or_else(|| pool.map(|p| p.spec.image.clone())).ok_or_else(|| {
            refuse(
                RefusalKind::Invalid,
                "neither an image nor a pool is named",
                "see `longshore prewarm --help`",
            )
        })?;
        parts(&image)?;
        if ask.from_peers && image.contains('@') {
            let text =
                format!("{image} cannot be handed from host to host: an archive brings no digest as a name");
            return Err(refuse(RefusalKind::Invalid, text, "leave out --from-peers, or name it by its tag"));
        }
        Ok(image)
    }

    /// The hosts that an ask means: named ones as they are, else those where the pool may be placed, else those of the sites.
    pub(super) fn chosen_hosts(&self, ask: &PrewarmAsk, image: &str) -> Result<Chosen, Refusal> {
        for host in &ask.hosts {
            if !self.hosts.contains_key(host) {
                let text = format!("there is no host {host}");
                return Err(refuse(RefusalKind::NotFound, text, "see `longshore hosts`"));
            }
        }
        for site in &ask.sites {
            if !self.sites.contains_key(site) {
                let text = format!("there is no site {site}");
                return Err(refuse(RefusalKind::NotFound, text, "see `longshore sites`"));
            }
        }
        if ask.pool.is_none() && ask.hosts.is_empty() && ask.sites.is_empty() {
            let text = "onto which hosts is not said";
            return Err(refuse(RefusalKind::Invalid, text, "say --pool POOL, --site SITE or --hosts HOST"));
        }
        let pool = ask.pool.as_ref().and_then(|id| self.desired.pools.get(id));
        let pool = pool.map(|pool| {
            let mut pool = pool.clone();
            pool.spec.image = image.to_owned();
            // It is brought there just for that.
            pool.spec.placement.image_must_be_there = false;
            pool
        });
        let mut chosen = Chosen { hosts: Vec::new(), left_out: Vec::new() };
        for (id, view) in &self.hosts {
            let named = ask.hosts.contains(id);
            let of_site = view.record.site.as_ref().is_some_and(|s| ask.sites.contains(s));
            if !(named || of_site || (ask.hosts.is_empty() && ask.sites.is_empty())) {
                continue;
            }
            match self.unfit(view, pool.as_ref(), named) {
                None => chosen.hosts.push(id.clone()),
                Some(Some(why)) => chosen.left_out.push((id.clone(), why)),
                Some(None) => {}
            }
        }
        Ok(chosen)
    }

    /// Why a host does not take part: `Some(None)` for one where the pool may not be placed anyway, unless it was named.
    fn unfit(&self, view: &HostView, pool: Option<&Pool>, named: bool) -> Option<Option<String>> {
        if view.other_engine {
            return Some(Some("another engine answers there".to_owned()));
        }
        if named {
            return None;
        }
        if let Some(pool) = pool {
            // What a host has room for now says nothing about the next revision: that takes the place of this one.
            let may_not = |filter: &Filter| {
                matches!(
                    filter,
                    Filter::Pinned
                        | Filter::Site
                        | Filter::Platform
                        | Filter::Constraint
                        | Filter::Image
                        | Filter::Class
                )
            };
            let ask = Ask::new(pool, pool.top().saturating_add(1));
            let refused = self.room.refusals(view, &ask);
            if let Some(refused) = refused.iter().find(|r| may_not(&r.filter)) {
                let policy = refused.filter == Filter::Image;
                return Some(policy.then(|| refused.why.clone()));
            }
        }
        match &view.record.duty {
            Duty::Active => {}
            Duty::Cordoned { .. } => return Some(Some("cordoned".to_owned())),
            Duty::Draining { .. } | Duty::Drained { .. } => return Some(Some("drained".to_owned())),
        }
        (!view.is_live()).then(|| Some("it does not answer".to_owned()))
    }

    /// Carries prewarms on.
    pub(super) async fn see_prewarms(&mut self) -> Outcome<()> {
        if !self.is_active() {
            return Ok(());
        }
        let open: BTreeMap<OpId, Prewarm> = self
            .desired
            .operations
            .values()
            .filter(|o| !o.status.is_over() && !matches!(o.status, OpStatus::Queued { .. }))
            .filter_map(|o| match &o.kind {
                OpKind::Prewarm(wanted) => Some((o.id, (**wanted).clone())),
                _ => None,
            })
            .collect();
        let over: Vec<OpId> = self.warming.keys().filter(|op| !open.contains_key(op)).copied().collect();
        for op in over {
            // Cancelled: what was on its way breaks off, and how far it came is kept.
            self.warming.remove(&op);
            let view = self.desired.prewarms.get(&op).cloned();
            self.write(view.into_iter().map(Write::PutPrewarm).collect()).await?;
        }
        for (op, wanted) in open {
            self.carry_on(op, &wanted);
        }
        Ok(())
    }

    fn carry_on(&mut self, op: OpId, wanted: &Prewarm) {
        let site = |id: &HostId| self.desired.records.get(id).and_then(|r| r.site.clone());
        let begins = !self.warming.contains_key(&op);
        if begins {
            let hosts = wanted.hosts.iter().map(|id| (id.clone(), HostWarm::new(site(id)))).collect();
            let view = PrewarmView {
                op,
                image: wanted.image.clone(),
                digest: wanted.digest.clone(),
                unproved: wanted.unproved.clone(),
                size: wanted.size,
                hosts,
            };
            self.desired.prewarms.insert(op, Arc::new(view));
            self.warming.insert(op, Warming::default());
        }
        if !wanted.asked {
            return self.ask_weight(op, wanted);
        }
        let now = self.clock.now();
        let Some(mut view) = self.desired.prewarms.get(&op).map(|v| (**v).clone()) else { return };
        for (id, host) in &mut view.hosts {
            match self.hosts.get(id) {
                Some(seen) => plan::heard(host, seen.is_live() && !seen.other_engine, now),
                None if !host.state.is_over() => {
                    host.state = WarmState::Failed("the host was removed".to_owned());
                }
                None => {}
            }
        }
        let Some(warming) = self.warming.get(&op) else { return };
        let sites = self.sites_with_registries();
        let speeds = &self.speeds;
        let next = plan::next(&Input {
            wanted,
            hosts: &view.hosts,
            looked: &warming.looked,
            looking: &warming.looking,
            sites: &sites,
            begun: &warming.begun,
            rates: &|site| speeds.of(site),
            now,
        });
        for (id, why) in next.waits {
            if let Some(host) = view.hosts.get_mut(&id) {
                host.state = WarmState::Waiting(why);
            }
        }
        next.look.iter().for_each(|id| self.look_at_image(op, id, wanted));
        for (id, from) in &next.begin {
            if let Some(host) = view.hosts.get_mut(id) {
                host.state = WarmState::Coming { from: from.clone(), progress: None };
                if let Some(warming) = self.warming.get_mut(&op) {
                    warming.begun.insert(host.site.clone(), now);
                }
                let site = host.site.as_ref().and_then(|s| sites.get(s));
                self.bring_image(op, id, from.as_ref(), wanted, site);
            }
        }
        if let Some(warming) = self.warming.get_mut(&op) {
            warming.wake_at = next.wake_at;
        }
        let silent = view.hosts.values().any(|h| h.silent.is_some() && !h.state.is_over());
        let give_up = silent.then(|| now.plus(plan::GIVE_UP_MS / 100));
        if let Some(at) = next.wake_at.into_iter().chain(give_up).min() {
            self.look_again_in(at.since(now).max(1));
        }
        self.show_prewarm(view);
    }

    /// Takes a view over if it says something new.
    fn show_prewarm(&mut self, view: PrewarmView) {
        if self.desired.prewarms.get(&view.op).is_none_or(|old| **old != view) {
            self.desired.prewarms.insert(view.op, Arc::new(view));
            self.stir();
        }
    }

    /// Sites as they are recorded; one without a registry of its own has the one that is recorded as its site's.
    pub(super) fn sites_with_registries(&self) -> BTreeMap<SiteName, Site> {
        self.desired.sites.iter().map(|(name, site)| (name.clone(), self.with_registry(site))).collect()
    }

    /// The same site with the registry that its hosts pull from.
    pub(super) fn with_registry(&self, site: &Site) -> Site {
        let of_site = || self.desired.registries.values().find(|r| r.sites.contains(&site.name));
        let registry = site.registry.clone().or_else(|| of_site().map(|r| r.address.clone()));
        Site { registry, ..site.clone() }
    }

    /// What registries are asked with.
    pub(super) fn scales(&self) -> Scales {
        Scales { clients: self.clients.clone(), registries: self.desired.registries.clone() }
    }

    fn ask_weight(&mut self, op: OpId, wanted: &Prewarm) {
        let scales = self.scales();
        // Registries of the hosts' sites may know it where the one that it names cannot be asked.
        let site = |id: &HostId| self.desired.records.get(id).and_then(|r| r.site.clone());
        let sites: BTreeSet<SiteName> = wanted.hosts.iter().filter_map(site).collect();
        let all = self.sites_with_registries();
        let others: Vec<String> = sites.iter().filter_map(|s| all.get(s)?.registry.clone()).collect();
        let (image, reports) = (wanted.image.clone(), self.executor.reports());
        let Some(warming) = self.warming.get_mut(&op).filter(|w| !w.asking) else { return };
        warming.asking = true;
        warming.tasks.spawn(async move {
            let told = scales.weigh(&image, &others).await;
            let _ = reports.send(Report::Warm(op, WarmNews::Weighed(told))).await;
        });
    }

    fn look_at_image(&mut self, op: OpId, host: &HostId, wanted: &Prewarm) {
        let Some(runtime) = self.observers.get(host).map(|o| o.runtime.clone()) else { return };
        let (id, wanted, reports) = (host.clone(), wanted.clone(), self.executor.reports());
        let Some(warming) = self.warming.get_mut(&op) else { return };
        warming.looking.insert(host.clone());
        while warming.tasks.try_join_next().is_some() {}
        warming.tasks.spawn(async move {
            let told = warm::look(&*runtime, &wanted).await;
            let _ = reports.send(Report::Warm(op, WarmNews::Looked(id, told))).await;
        });
    }

    fn bring_image(
        &mut self,
        op: OpId,
        host: &HostId,
        from: Option<&HostId>,
        wanted: &Prewarm,
        site: Option<&Site>,
    ) {
        let Some(runtime) = self.observers.get(host).map(|o| o.runtime.clone()) else { return };
        let proved = |id: &HostId| match &self.desired.prewarms.get(&op)?.hosts.get(id)?.state {
            WarmState::Held(proof) => Some(proof.id.clone()),
            _ => None,
        };
        let giver =
            from.and_then(|id| Some((id.clone(), self.observers.get(id)?.runtime.clone(), proved(id)?)));
        let turns = self.executor.pull_turns(host, site);
        let references: Vec<String> =
            self.sources_on(host, &wanted.image).into_iter().map(|source| source.reference).collect();
        let (id, wanted, reports) = (host.clone(), wanted.clone(), self.executor.reports());
        let Some(warming) = self.warming.get_mut(&op) else { return };
        while warming.tasks.try_join_next().is_some() {}
        warming.tasks.spawn(async move {
            let (tell, of) = (reports.clone(), id.clone());
            // Progress is only shown: when the core is busy, it may be dropped.
            let progress = move |p| drop(tell.try_send(Report::Warm(op, WarmNews::Progress(of.clone(), p))));
            let name = giver.as_ref().map(|(name, ..)| name.clone());
            let came = match giver {
                Some((name, from, id)) => {
                    warm::hand_over((&name, from, id), &*runtime, &wanted, &turns, &progress).await
                }
                None => warm::pull(&*runtime, &wanted, &references, &turns, &progress).await,
            };
            let _ = reports.send(Report::Warm(op, WarmNews::Came(id, name, came))).await;
        });
    }

    /// Takes news of a prewarm over.
    pub(super) fn warmed(&mut self, op: OpId, news: WarmNews, writes: &mut Vec<Write>) {
        // Of one that is over nobody wants to know any more.
        if !self.warming.contains_key(&op) {
            return;
        }
        let now = self.clock.now();
        match news {
            WarmNews::Weighed(told) => self.weighed(op, told, writes),
            WarmNews::Looked(id, told) => {
                let Some(warming) = self.warming.get_mut(&op) else { return };
                warming.looking.remove(&id);
                if told.is_ok() {
                    warming.looked.insert(id.clone());
                }
                self.on_host(op, &id, |host| match told {
                    Ok(Some(proof)) => host.state = WarmState::Held(proof),
                    Ok(None) => {}
                    Err(fault) => plan::failed(host, &fault, None, now),
                });
            }
            WarmNews::Progress(id, progress) => self.on_host(op, &id, |host| {
                if let WarmState::Coming { progress: shown, .. } = &mut host.state {
                    *shown = Some(progress);
                }
            }),
            WarmNews::Came(id, from, came) => self.came(op, &id, from.as_ref(), came, writes),
        }
    }

    fn came(
        &mut self,
        op: OpId,
        id: &HostId,
        from: Option<&HostId>,
        came: Outcome<Proof>,
        writes: &mut Vec<Write>,
    ) {
        let now = self.clock.now();
        let Some(view) = self.desired.prewarms.get(&op).cloned() else { return };
        let image = &view.image;
        let (what, text) = match &came {
            Ok(proof) => (What::Outcome, format!("{id} has {image} ({})", of_proof(proof))),
            Err(fault) => (What::Failed, format!("{id} has not got {image}: {fault}")),
        };
        writes.push(Write::Journal(Draft::engine(what, text).host(id).op(op)));
        if let Ok(proof) = &came {
            let site = view.hosts.get(id).and_then(|h| h.site.clone());
            self.speeds.note(site, from.is_some(), proof.bytes, proof.ms);
        }
        self.on_host(op, id, |host| match came {
            Ok(proof) => host.state = WarmState::Held(proof),
            Err(fault) => plan::failed(host, &fault, from, now),
        });
        if let Some(observer) = self.observers.get(id) {
            observer.refresh();
        }
    }

    fn on_host(&mut self, op: OpId, id: &HostId, change: impl FnOnce(&mut HostWarm)) {
        let Some(view) = self.desired.prewarms.get_mut(&op) else { return };
        if let Some(host) = Arc::make_mut(view).hosts.get_mut(id) {
            change(host);
        }
    }

    /// The registry's answer becomes a part of the operation: a restart does not ask for another digest.
    fn weighed(&mut self, op: OpId, told: Outcome<Weight>, writes: &mut Vec<Write>) {
        let Some(old) = self.desired.operations.get(&op).cloned() else { return };
        let OpKind::Prewarm(wanted) = &old.kind else { return };
        let mut wanted = (**wanted).clone();
        wanted.asked = true;
        let mut over = None;
        match told {
            Ok(weight) => {
                wanted.size = wanted.size.or(Some(weight.bytes()));
                (wanted.digest, wanted.ids) = (Some(weight.digest), weight.ids);
            }
            Err(fault) if fault.kind == Kind::NotFound => over = Some(fault.to_string()),
            Err(fault) => wanted.unproved = Some(fault.to_string()),
        }
        if wanted.rate.is_some() && wanted.size.is_none() {
            let why = wanted.unproved.clone().unwrap_or_default();
            over = Some(format!(
                "a rate needs the size of the image, and that is not known ({why}): give --size"
            ));
        }
        if let Some(warming) = self.warming.get_mut(&op) {
            warming.asking = false;
        }
        if let Some(view) = self.desired.prewarms.get_mut(&op) {
            let view = Arc::make_mut(view);
            (view.digest, view.size) = (wanted.digest.clone(), wanted.size);
            view.unproved = wanted.unproved.clone();
            if let Some(why) = &over {
                view.hosts.values_mut().for_each(|h| h.state = WarmState::Failed(why.clone()));
            }
        }
        let kind = OpKind::Prewarm(Box::new(wanted));
        writes.push(Write::PutOperation(Operation { kind, ..old }));
    }

    /// A prewarm, host by host.
    pub(super) fn told_prewarm(&self, op: OpId) -> Reply {
        match self.desired.prewarms.get(&op) {
            Some(view) => Reply::Prewarm(Box::new((**view).clone())),
            None => Reply::Failed(
                Fault::new(Kind::NotFound, format!("{op} is no prewarm, or it was long ago"))
                    .hint("see `longshore ops`; the journal keeps what became of each host"),
            ),
        }
    }

    /// Where a prewarm stands; what it brought is written down as it ends.
    pub(super) fn warm_standing(&mut self, op: &Operation, writes: &mut Vec<Write>) -> (Progress, Standing) {
        let Some(view) =
            self.desired.prewarms.get(&op.id).cloned().filter(|_| self.warming.contains_key(&op.id))
        else {
            return (op.progress.clone(), Standing::Moving);
        };
        let now = self.clock.now();
        let (progress, standing) = plan::standing(&view, now);
        if matches!(standing, Standing::Reached | Standing::Failed(_)) {
            writes.push(Write::PutPrewarm(view));
            self.warming.remove(&op.id);
        } else if self.warming.get(&op.id).and_then(|w| w.wake_at).is_some_and(|at| at > now) {
            // It waits for a time that it has set itself: that is no stall.
            self.moved.insert(op.id, (progress.clone(), now));
        }
        (progress, standing)
    }
}

/// How an image came and what proves it, in words.
pub fn of_proof(proof: &Proof) -> String {
    let by = match &proof.digest {
        Some(digest) => digest.to_string(),
        None => format!("id {}", proof.id.safe()),
    };
    match &proof.came {
        Came::WasThere => format!("{by}; it was there"),
        Came::Pulled(reference) => format!("{by}; pulled as {reference} in {}", took(proof.ms)),
        Came::From(host) => format!("{by}; from {host} in {}", took(proof.ms)),
    }
}
