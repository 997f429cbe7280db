//! What goes over the link: length-prefixed JSON frames, the world as differences.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio_util::codec::LengthDelimitedCodec;

use crate::base::clock::Millis;
use crate::base::fault::{Fault, Kind, Outcome};
use crate::base::ids::{ContainerId, HostId, OpId, PoolId, RegistryName, SiteName};
use crate::model::access::view::AccessView;
use crate::model::exec::{ExecInput, ExecOutput, ExecWanted};
use crate::model::host::HostView;
use crate::model::logs::{LogChunk, LogRequest};
use crate::model::operation::Operation;
use crate::model::prewarm::PrewarmView;
use crate::model::query::{Reply, Request};
use crate::model::registry::RegistryView;
use crate::model::replication::ReplicationView;
use crate::model::site::{MassLoss, SiteView};
use crate::model::world::{EngineView, PoolView, World};

/// The version of this protocol. Another version is refused in words: both sides come from the same binary.
pub const PROTOCOL: u32 = 5;
/// Largest frame: the world of 100,000 containers with room to spare. A larger one ends the connection.
pub const FRAME_MAX: usize = 256 << 20;

/// The engine says something at least so often, so that silence means something.
pub const BEAT: Duration = Duration::from_secs(2);

/// A number that joins the frames of one request, tail or program.
pub type Id = u64;

/// From a console or a command to the engine.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ToEngine {
    /// The first frame.
    Hello {
        /// See [`PROTOCOL`].
        protocol: u32,
        /// This session may only look.
        read_only: bool,
    },
    /// A request for one answer.
    Ask(Id, Request),
    /// Open a log.
    Tail(Id, LogRequest),
    /// Close it.
    CloseTail(Id),
    /// Run a program.
    Exec(Id, HostId, ContainerId, ExecWanted),
    /// Something for it.
    ExecInput(Id, ExecInput),
    /// Its standard input is at its end.
    ExecInputEnd(Id),
}

/// From the engine to a console or a command.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FromEngine {
    /// The connection is refused: why.
    Refused(String),
    /// What has changed in the world since the last one.
    World(Box<Difference>),
    /// The answer to a request.
    Reply(Id, Box<Reply>),
    /// Part of a log.
    Chunk(Id, LogChunk),
    /// A program has begun, or not.
    ExecBegun(Id, Result<(), Fault>),
    /// Something from it.
    ExecOutput(Id, ExecOutput),
}

/// The difference between two worlds: whole hosts and pools that have changed, and names of those that are gone.
#[derive(Debug, Serialize, Deserialize)]
pub struct Difference {
    at: Millis,
    revision: u64,
    engine: EngineView,
    hosts: Vec<Arc<HostView>>,
    hosts_gone: Vec<HostId>,
    pools: Vec<Arc<PoolView>>,
    pools_gone: Vec<PoolId>,
    operations: Option<Arc<Vec<Operation>>>,
    sites: Option<Arc<BTreeMap<SiteName, SiteView>>>,
    mass_loss: Option<MassLoss>,
    registries: Option<Arc<BTreeMap<RegistryName, RegistryView>>>,
    replication: Option<Arc<ReplicationView>>,
    prewarms: Vec<Arc<PrewarmView>>,
    prewarms_gone: Vec<OpId>,
    access: Option<Arc<AccessView>>,
    /// More parts of the same difference follow: the world is not whole before the last.
    more: bool,
}

/// A part of a difference has about so many containers and slots: some hundred kilobytes.
const PART: usize = 1_000;

fn changed<K: Ord, V>(old: &BTreeMap<K, Arc<V>>, new: &BTreeMap<K, Arc<V>>) -> Vec<Arc<V>> {
    new.iter()
        .filter(|(k, v)| old.get(k).is_none_or(|o| !Arc::ptr_eq(o, v)))
        .map(|(_, v)| v.clone())
        .collect()
}

fn gone<K: Ord + Clone, V>(old: &BTreeMap<K, V>, new: &BTreeMap<K, V>) -> Vec<K> {
    old.keys().filter(|k| !new.contains_key(k)).cloned().collect()
}

/// Takes from the end of a list what there is room for, but at least one while there is any room.
fn take_some<T>(all: &mut Vec<T>, room: &mut usize, size: impl Fn(&T) -> usize) -> Vec<T> {
    let mut taken = Vec::new();
    while *room > 0
        && let Some(one) = all.pop()
    {
        *room = room.saturating_sub(size(&one).max(1));
        taken.push(one);
    }
    taken
}

impl Difference {
    /// From one world to a later one. Parts are compared by address: what is shared has not changed.
    pub fn between(old: &World, new: &World) -> Difference {
        Difference {
            at: new.at,
            revision: new.revision,
            engine: new.engine.clone(),
            hosts: changed(&old.hosts, &new.hosts),
            hosts_gone: gone(&old.hosts, &new.hosts),
            pools: changed(&old.pools, &new.pools),
            pools_gone: gone(&old.pools, &new.pools),
            operations: (!Arc::ptr_eq(&old.operations, &new.operations)).then(|| new.operations.clone()),
            sites: (!Arc::ptr_eq(&old.sites, &new.sites)).then(|| new.sites.clone()),
            mass_loss: new.mass_loss.clone(),
            registries: (!Arc::ptr_eq(&old.registries, &new.registries)).then(|| new.registries.clone()),
            replication: (!Arc::ptr_eq(&old.replication, &new.replication)).then(|| new.replication.clone()),
            prewarms: changed(&old.prewarms, &new.prewarms),
            prewarms_gone: gone(&old.prewarms, &new.prewarms),
            access: (!Arc::ptr_eq(&old.access, &new.access)).then(|| new.access.clone()),
            more: false,
        }
    }

    /// The same in parts, so that a hundred thousand containers are never one text in memory.
    pub fn parts(mut self) -> impl Iterator<Item = Difference> {
        let mut over = false;
        std::iter::from_fn(move || {
            if over {
                return None;
            }
            let mut room = PART;
            let hosts = take_some(&mut self.hosts, &mut room, |host| host.containers.len());
            let pools = take_some(&mut self.pools, &mut room, |pool| pool.slots.len());
            let prewarms = take_some(&mut self.prewarms, &mut room, |warm| warm.hosts.len());
            over = self.hosts.is_empty() && self.pools.is_empty() && self.prewarms.is_empty();
            Some(Difference {
                at: self.at,
                revision: self.revision,
                engine: self.engine.clone(),
                hosts,
                hosts_gone: if over { std::mem::take(&mut self.hosts_gone) } else { Vec::new() },
                pools,
                pools_gone: if over { std::mem::take(&mut self.pools_gone) } else { Vec::new() },
                operations: self.operations.take_if(|_| over),
                sites: self.sites.take_if(|_| over),
                mass_loss: self.mass_loss.take_if(|_| over),
                registries: self.registries.take_if(|_| over),
                replication: self.replication.take_if(|_| over),
                prewarms,
                prewarms_gone: if over { std::mem::take(&mut self.prewarms_gone) } else { Vec::new() },
                access: self.access.take_if(|_| over),
                more: !over,
            })
        })
    }

    /// The later world, from the earlier one. False when it is the same, or not whole yet.
    pub fn apply(self, world: &mut World) -> bool {
        let differs = !self.more && (self.revision == 0 || self.revision != world.revision);
        if !self.more {
            world.at = self.at;
            world.revision = self.revision;
            world.mass_loss = self.mass_loss;
        }
        if let Some(sites) = self.sites {
            world.sites = sites;
        }
        if let Some(registries) = self.registries {
            world.registries = registries;
        }
        if let Some(replication) = self.replication {
            world.replication = replication;
        }
        if !(self.prewarms.is_empty() && self.prewarms_gone.is_empty()) {
            let all = Arc::make_mut(&mut world.prewarms);
            all.retain(|op, _| !self.prewarms_gone.contains(op));
            all.extend(self.prewarms.into_iter().map(|warm| (warm.op, warm)));
        }
        if let Some(access) = self.access {
            world.access = access;
        }
        world.engine = EngineView { attached: true, ..self.engine };
        for id in self.hosts_gone {
            world.hosts.remove(&id);
        }
        for id in self.pools_gone {
            world.pools.remove(&id);
        }
        world.hosts.extend(self.hosts.into_iter().map(|h| (h.config.id.clone(), h)));
        world.pools.extend(self.pools.into_iter().map(|p| (p.pool.id.clone(), p)));
        if let Some(operations) = self.operations {
            world.operations = operations;
        }
        differs
    }
}

/// The framing of the link.
pub fn codec() -> LengthDelimitedCodec {
    LengthDelimitedCodec::builder().max_frame_length(FRAME_MAX).new_codec()
}

/// A frame's bytes.
///
/// # Errors
/// Never for our own types; a fault of the program if it does.
pub fn encode<T: Serialize>(frame: &T) -> Outcome<bytes::Bytes> {
    serde_json::to_vec(frame)
        .map(bytes::Bytes::from)
        .map_err(|e| Fault::new(Kind::Bug, format!("a frame of the link cannot be written: {e}")))
}

/// A frame from its bytes.
///
/// # Errors
/// When it is not one of ours.
pub fn decode<T: for<'a> Deserialize<'a>>(bytes: &[u8]) -> Outcome<T> {
    serde_json::from_slice(bytes).map_err(|e| {
        Fault::new(Kind::Invalid, format!("a frame of the link cannot be read: {e}"))
            .hint("are both sides the same version of longshore?")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::access::view::UserView;
    use crate::model::command::HostEdit;
    use crate::model::host::{HostConfig, HostSource};
    use crate::model::registry::Registry;
    use crate::model::replication::{Rule, RuleView};
    use crate::model::site::{Site, SiteLimits};

    #[test]
    fn nothing_of_a_world_is_lost_on_the_way() {
        let (host, site) = (HostId::new("h1").unwrap(), SiteName::new("bj").unwrap());
        let address = "tcp://h1:2376".to_owned();
        let config = HostConfig { id: host.clone(), address, tls_dir: None, source: HostSource::Added };
        let reg: Registry =
            serde_json::from_str(r#"{"name":"hq","address":"hq.example:5000","sites":["bj"]}"#).unwrap();
        let rule: Rule =
            serde_json::from_str(r#"{"name":"all","source":"hq","targets":["branch"]}"#).unwrap();
        let bj = Site { name: site.clone(), registry: None, limits: SiteLimits::default() };
        let registries = Arc::new([(reg.name.clone(), RegistryView::never(reg))].into());
        let rules = vec![RuleView { rule, run: None, next: Some(Millis(9)), missed: None }];
        let replication = Arc::new(ReplicationView { rules, lines: Vec::new() });
        let view = SiteView { site: bj, hosts: 1, silent: 1, lost: Some(Millis(5)) };
        let warm = PrewarmView {
            op: OpId(4),
            image: "app:1".into(),
            digest: None,
            unproved: Some("nobody knows".into()),
            size: Some(9),
            hosts: BTreeMap::new(),
        };
        let user = UserView { admin: true, disabled: false };
        let access = AccessView { users: [("ada".parse().unwrap(), user)].into(), ..AccessView::default() };
        // Every part is named here, so that a new one is not forgotten.
        let world = World {
            at: Millis(7),
            revision: 3,
            engine: EngineView { attached: true, epoch: 4, ..EngineView::default() },
            hosts: [(host, Arc::new(HostView::never(config)))].into(),
            pools: BTreeMap::new(),
            operations: Arc::default(),
            sites: Arc::new([(site.clone(), view)].into()),
            mass_loss: Some(MassLoss { lost: 1, of: 1, sites: vec![site], containers: 2 }),
            registries,
            replication,
            prewarms: Arc::new([(OpId(4), Arc::new(warm))].into()),
            access: Arc::new(access),
        };
        let mut there = World::default();
        let empty = World::default();
        for (from, to) in [(&empty, &world), (&world, &empty)] {
            let bytes = encode(&Difference::between(from, to)).unwrap();
            decode::<Difference>(&bytes).unwrap().apply(&mut there);
            let attached = EngineView { attached: true, ..to.engine.clone() };
            assert_eq!(there, World { engine: attached, ..to.clone() });
        }
    }

    #[test]
    fn what_did_not_change_does_not_travel() {
        let world = World { revision: 3, ..World::default() };
        let later = World { revision: 4, registries: Arc::default(), ..world.clone() };
        let difference = Difference::between(&world, &later);
        assert!(difference.registries.is_some() && difference.replication.is_none());
        // Of many prewarms only the one that has changed.
        let warm = |op, size| {
            let (image, hosts) = ("app:1".to_owned(), BTreeMap::new());
            Arc::new(PrewarmView { op: OpId(op), image, digest: None, unproved: None, size, hosts })
        };
        let mut warms: BTreeMap<_, _> = (1..=9).map(|op| (OpId(op), warm(op, None))).collect();
        let world = World { prewarms: Arc::new(warms.clone()), ..world };
        warms.insert(OpId(4), warm(4, Some(7)));
        warms.remove(&OpId(9));
        let later = World { prewarms: Arc::new(warms), ..later };
        let difference = Difference::between(&world, &later);
        assert_eq!((difference.prewarms.len(), difference.prewarms_gone.as_slice()), (1, &[OpId(9)][..]));
        let mut there = world.clone();
        difference.apply(&mut there);
        assert_eq!(there.prewarms, later.prewarms);
        let text = encode(&Difference::between(&later, &later)).unwrap();
        assert!(text.len() < 500, "{} bytes for nothing new", text.len());
    }

    #[test]
    fn what_is_taken_away_is_taken_away_on_the_other_side_too() {
        let site = SiteName::new("bj").unwrap();
        let edits = [
            HostEdit::default(),
            HostEdit { site: Some(None), cluster: Some(None), class: Some(None), ..HostEdit::default() },
            HostEdit { site: Some(Some(site)), in_service: Some(None), ..HostEdit::default() },
        ];
        for edit in edits {
            assert_eq!(decode::<HostEdit>(&encode(&edit).unwrap()).unwrap(), edit);
        }
    }
}
