//! Seeing what is on a simulated host.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::future::BoxFuture;
use futures_util::stream::{self, BoxStream, StreamExt};
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::TryRecvError;

use crate::adapters::sim::Ms;
use crate::adapters::sim::chance::{chance, hex, number_of};
use crate::adapters::sim::gate::{CALL_DEADLINE_MS, CallKind, Done};
use crate::adapters::sim::host::SimHost;
use crate::adapters::sim::images::SimImage;
use crate::adapters::sim::load;
use crate::adapters::sim::trouble::Link;
use crate::base::clock::Millis;
use crate::base::fault::{Fault, Kind, Outcome};
use crate::base::ids::ContainerId;
use crate::base::text::Untrusted;
use crate::model::container::{Container, Usage};
use crate::model::holdings::Sort;
use crate::model::host::{HostFacts, Image};
use crate::ports::runtime::{Ending, EngineEvent, Observe};

impl Observe for SimHost {
    fn facts(&self) -> BoxFuture<'_, Outcome<HostFacts>> {
        let facts = self.own_facts();
        Box::pin(self.call(CallKind::Facts, CALL_DEADLINE_MS, move |_, _| Ok(Done::now(facts))))
    }

    fn ping(&self) -> BoxFuture<'_, Outcome<()>> {
        Box::pin(self.call(CallKind::Ping, CALL_DEADLINE_MS, |_, _| Ok(Done::now(()))))
    }

    fn images(&self) -> BoxFuture<'_, Outcome<BTreeMap<String, Image>>> {
        Box::pin(self.call(CallKind::Images, CALL_DEADLINE_MS, move |state, _| {
            // All were built a month before the fleet began.
            let created = Millis(state.stamp(0).0 - 30 * 86_400_000);
            let image = |(name, held): (&String, &SimImage)| {
                let size = held.size_mb << 20;
                let digest =
                    held.from.first().and_then(|d| d.split_once('@')).map(|(_, digest)| digest.into());
                (name.clone(), Image { id: held.id().into(), created, size, digest })
            };
            Ok(Done::now(state.images.iter().filter(|(name, _)| !name.contains('@')).map(image).collect()))
        }))
    }

    fn holds<'a>(
        &'a self,
        sort: Sort,
        names: &'a BTreeSet<String>,
    ) -> BoxFuture<'a, Outcome<BTreeSet<String>>> {
        let names = names.clone();
        Box::pin(self.call(CallKind::Holds, CALL_DEADLINE_MS, move |state, _| {
            let is_there = |name: &String| match sort {
                Sort::Network => state.networks.contains_key(name),
                Sort::Volume => state.volumes.contains(name),
            };
            Ok(Done::now(names.into_iter().filter(is_there).collect()))
        }))
    }

    fn list(&self) -> BoxFuture<'_, Outcome<Vec<Container>>> {
        Box::pin(self.call(CallKind::List, CALL_DEADLINE_MS, |state, now| Ok(Done::now(state.listed(now)))))
    }

    fn events(&self) -> BoxFuture<'_, Outcome<BoxStream<'static, Outcome<EngineEvent>>>> {
        Box::pin(async move {
            let subscribe = |state: &mut crate::adapters::sim::host::HostState, _: Ms| {
                Ok(Done::now((state.events.subscribe(), state.session)))
            };
            let (queue, session) = self.call(CallKind::Events, CALL_DEADLINE_MS, subscribe).await?;
            let feed = Feed { host: self.clone(), queue, session, over: false };
            Ok(stream::unfold(feed, Feed::next).boxed())
        })
    }

    fn ending<'a>(&'a self, id: &'a ContainerId) -> BoxFuture<'a, Outcome<Ending>> {
        let id = id.clone();
        Box::pin(self.call(CallKind::Ending, CALL_DEADLINE_MS, move |state, now| {
            let unit = state.unit(&id)?;
            let run = unit.run(now);
            let end = run.and_then(|run| run.ended(now));
            Ok(Done::now(Ending {
                exit: end.map_or(if unit.error.is_some() { 127 } else { 0 }, |end| end.exit),
                oom: end.is_some_and(|end| end.oom),
                error: unit.error.as_deref().map(Untrusted::from),
                started: run.map(|run| state.stamp(run.start)),
                finished: end.map(|end| state.stamp(end.at)),
            }))
        }))
    }

    fn usage<'a>(&'a self, ids: &'a [ContainerId]) -> BoxFuture<'a, Outcome<BTreeMap<ContainerId, Usage>>> {
        let ids = ids.to_vec();
        Box::pin(self.call(CallKind::Usage, CALL_DEADLINE_MS, move |state, now| {
            let stamp = state.stamp(now);
            // Those who ask for very many ask in order: then one walk finds them all.
            let mut rest = state.units.iter().peekable();
            let mut used = |id: &ContainerId| {
                while rest.next_if(|(other, _)| *other < id).is_some() {}
                let next = rest.next_if(|(other, _)| *other == id).map(|(_, unit)| unit);
                load::usage(next.or_else(|| state.units.get(id))?, now, stamp)
            };
            let one = |id: ContainerId| used(&id).map(|usage| (id, usage));
            Ok(Done::now(ids.into_iter().filter_map(one).collect()))
        }))
    }

    fn usage_is_free(&self) -> bool {
        true
    }
}

impl SimHost {
    fn own_facts(&self) -> HostFacts {
        let plan = &self.0.plan;
        let mut dice = chance(&[self.0.scenario.seed, 9, number_of(plan.name.as_str())]);
        let labels = plan.labels.iter().map(|(k, v)| (k.clone(), Untrusted::from(v.as_str())));
        HostFacts {
            engine_id: hex(&mut dice, 48).into(),
            hostname: plan.name.as_str().into(),
            version: "20.10.24".into(),
            api: "1.41".into(),
            os: "Simulated Linux".into(),
            arch: plan.arch.as_str().into(),
            cpus: plan.cpus,
            memory: plan.memory_mb << 20,
            labels: labels.collect(),
            swarm: plan.swarm,
            clock: None,
        }
    }
}

/// One subscription to a host's events.
struct Feed {
    host: SimHost,
    queue: broadcast::Receiver<EngineEvent>,
    session: u64,
    over: bool,
}

impl Feed {
    async fn next(mut self) -> Option<(Outcome<EngineEvent>, Feed)> {
        while !self.over {
            let mut changed = self.host.watch();
            let (hung, wake) = {
                let (state, _) = self.host.state();
                let hung = state.condition.link == Link::Hung;
                self.over = state.session != self.session;
                let fault = state.next_turn();
                (hung, fault.into_iter().chain(state.agenda.next().filter(|_| !hung)).min())
            };
            if self.over {
                return Some((Err(self.host.unreachable()), self));
            }
            if !hung {
                match self.queue.try_recv() {
                    Ok(event) => return Some((Ok(event), self)),
                    Err(TryRecvError::Lagged(lost)) => {
                        self.over = true;
                        let fault = Fault::new(Kind::Unreachable, format!("{lost} events were lost"));
                        return Some((Err(fault), self));
                    }
                    Err(TryRecvError::Closed) => return None,
                    Err(TryRecvError::Empty) => {}
                }
            }
            self.host.rest(wake, &mut changed).await;
        }
        None
    }
}
