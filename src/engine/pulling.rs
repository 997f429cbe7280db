//! Where images come from: each creation gets the places to pull from, and what became of that is told by the registry that is
//! down, not by the words of a connection that broke.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::base::clock::Millis;
use crate::base::fault::{Fault, Kind, Outcome};
use crate::base::ids::{HostId, PoolId, RegistryName, Slot};
use crate::base::text::safe;
use crate::engine::core::Core;
use crate::engine::execute::{Came, Missed};
use crate::engine::operations::line;
use crate::model::desired::Write;
use crate::model::instance::{Instance, Phase};
use crate::model::journal::What;
use crate::model::registry::RegistryView;
use crate::plan::slot::Activity;
use crate::plan::sources::{Source, sources};

/// While a registry is down its images are tried again this seldom; when it answers again, at once.
const OUTAGE_PAUSE: Duration = Duration::from_secs(60);
/// That a host's images come from elsewhere is told again after this long, in milliseconds.
const TOLD_AGAIN_MS: u64 = 10 * 60_000;
/// So many tellings are remembered; beyond that the same may be told twice.
const TOLD_MAX: usize = 1_000;

/// What is remembered of pulls.
#[derive(Default)]
pub(super) struct Pulls {
    /// Slots that wait for registries to answer again.
    held: std::collections::BTreeMap<(PoolId, Slot), BTreeSet<RegistryName>>,
    /// Which host was told to pull from elsewhere, instead of what, and when.
    told: std::collections::BTreeMap<(HostId, String, String), Millis>,
}

impl Core {
    /// Where a host gets an image, in order.
    pub(super) fn sources_on(&self, host: &HostId, image: &str) -> Vec<Source> {
        let site = self.desired.records.get(host).and_then(|record| record.site.as_ref());
        sources(&self.desired, &self.registries, site, image)
    }

    /// A source as its registry stands now.
    fn present(&self, source: &Source) -> Source {
        let view = source.registry.as_ref().and_then(|name| self.registries.get(name));
        let silent = view.and_then(RegistryView::silent_since).map(|(last, _)| last);
        Source { silent, ..source.clone() }
    }

    /// An image came from somewhere else than it should have: a line of the journal.
    pub(super) fn pulled(&mut self, instance: &Instance, came: &Came, writes: &mut Vec<Write>) {
        let instead_of = self.present(&came.instead_of);
        let (from, instead) = (came.from.name(), instead_of.name());
        let now = self.clock.now();
        let key = (instance.host.clone(), from.clone(), instead.clone());
        if self.layer.pulls.told.get(&key).is_some_and(|at| now.since(*at) < TOLD_AGAIN_MS) {
            return;
        }
        if self.layer.pulls.told.len() >= TOLD_MAX {
            self.layer.pulls.told.clear();
        }
        self.layer.pulls.told.insert(key, now);
        let why = match (instead_of.outage(), &came.why) {
            (Some(outage), _) => outage,
            (None, Some(fault)) => format!("{instead} did not give it: {fault}"),
            (None, None) => format!("{instead} did not answer us"),
        };
        let text = format!("its image was pulled from {from}, as {}: {why}", safe(&came.from.reference));
        writes.push(line(What::Observed, instance, &text));
    }

    /// An image could not be had. While a registry that should have it is down, that is the reason, nothing of it is the
    /// container's own failure, and its return ends the wait.
    pub(super) fn not_pulled(&mut self, instance: &Instance, missed: &[Missed], writes: &mut Vec<Write>) {
        let image = self.desired.pools.get(&instance.pool).map(|pool| pool.spec.image.clone());
        let image = image.map(|i| safe(&i).into_owned()).unwrap_or_default();
        let present: Vec<Source> = missed.iter().map(|m| self.present(&m.source)).collect();
        let down: BTreeSet<RegistryName> =
            present.iter().filter(|s| s.silent.is_some()).filter_map(|s| s.registry.clone()).collect();
        if down.is_empty() {
            return self.plainly_failed(instance, &image, missed, writes);
        }
        let said = present.iter().zip(missed).map(|(source, m)| match source.outage() {
            Some(outage) => outage,
            None if m.fault.kind == Kind::NotFound => format!("{} does not have it", source.name()),
            None => format!("{}: {}", source.name(), m.fault),
        });
        let cause = format!("image {image} cannot be pulled: {}", said.collect::<Vec<_>>().join("; "));
        self.settle_later(instance, Activity::Settling);
        writes.push(line(What::Failed, instance, &cause));
        let now = self.clock.now();
        let pause = u64::try_from(OUTAGE_PAUSE.as_millis()).unwrap_or(u64::MAX);
        let (phase, retry_at) = (Phase::Intended, Some(now.plus(pause)));
        let next = Instance { phase, retry_at, cause: Some(cause), since: now, ..instance.clone() };
        writes.push(Write::PutInstance(next));
        self.layer.pulls.held.insert((instance.pool.clone(), instance.slot), down);
    }

    /// No registry is known to be down: it failed in the words of the host's engine. Whether one is down is asked now.
    fn plainly_failed(
        &mut self,
        instance: &Instance,
        image: &str,
        missed: &[Missed],
        writes: &mut Vec<Write>,
    ) {
        missed.iter().filter_map(|m| m.source.registry.as_ref()).for_each(|name| self.health.ask_now(name));
        let before: Vec<String> = missed.iter().rev().skip(1).rev().map(|m| m.fault.to_string()).collect();
        let last = missed.last().map(|m| m.fault.clone());
        let fault = last.unwrap_or_else(|| Fault::new(Kind::Bug, "there is no place to pull it from"));
        let fault = before.into_iter().rev().fold(fault, |fault, earlier| {
            fault.because(format!("nor from the registry that comes before ({earlier})"))
        });
        let fault = fault.because(format!("image {image} is not on {} and cannot be pulled", instance.host));
        if fault.is_unknown() {
            self.unknown(instance, &fault, writes);
        } else {
            self.failed(instance, &fault, writes);
        }
    }

    /// Slots of which one of the registries that were down answers again are tried at once.
    pub(super) async fn release_held(&mut self) -> Outcome<()> {
        if self.layer.pulls.held.is_empty() {
            return Ok(());
        }
        let is_down =
            |name: &RegistryName| self.registries.get(name).is_some_and(|view| view.silent_since().is_some());
        let back: Vec<(PoolId, Slot)> = self
            .layer
            .pulls
            .held
            .iter()
            .filter(|(_, names)| names.iter().any(|name| !is_down(name)))
            .map(|(key, _)| key.clone())
            .collect();
        let now = self.clock.now();
        let mut writes = Vec::new();
        for key in back {
            self.layer.pulls.held.remove(&key);
            let instance = self.desired.instances.get(&key.0).and_then(|slots| slots.get(&key.1));
            let waits = |i: &&Instance| i.phase == Phase::Intended && i.retry_at.is_some_and(|at| at > now);
            if let Some(instance) = instance.filter(waits) {
                writes.push(Write::PutInstance(Instance { retry_at: Some(now), ..instance.clone() }));
            }
        }
        // Not written down: they are tried after their pause.
        self.write(writes).await.map(|_| ())
    }
}
