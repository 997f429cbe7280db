//! A whole engine on the simulated fleet, in virtual time: commands in, truth of the fleet and journal out.

use std::sync::Arc;
use std::time::Duration;

use longshore::adapters::sim::{Fleet, Scenario};
use longshore::base::clock::{Millis, SharedClock, TokioClock};
use longshore::base::fault::Outcome;
use longshore::base::ids::{HostId, InstallId, PoolId};
use longshore::engine::core::{Connector, Parts, Running, start};
use longshore::engine::handle::Call;
use longshore::engine::intake::Caller;
use longshore::model::command::{Accepted, Busy, Change, Command, Refusal};
use longshore::model::container::{Container, Owner, State, Tag};
use longshore::model::host::HostConfig;
use longshore::model::journal::Entry;
use longshore::model::pool::{ClusterSpec, PoolSpec, STOP_GRACE_MS};
use longshore::model::query::{Query, Reply, Request};
use longshore::model::world::{EngineView, Mode, PoolView, World};
use longshore::ports::runtime::Runtime;
use longshore::store::Store;

pub struct SimConnector(pub Arc<Fleet>);

impl Connector for SimConnector {
    fn connect(&self, host: &HostConfig) -> Outcome<Arc<dyn Runtime>> {
        self.0.runtime(&host.id)
    }
}

/// A fleet, a state directory, and the core that runs on them (until it is crashed).
pub struct Flow {
    pub fleet: Arc<Fleet>,
    pub dir: tempfile::TempDir,
    pub clock: SharedClock,
    pub core: Option<Running>,
}

pub fn host(name: &str) -> HostId {
    HostId::new(name).unwrap()
}

pub fn pool_id(text: &str) -> PoolId {
    text.parse().unwrap()
}

pub fn spec(replicas: u32) -> PoolSpec {
    PoolSpec {
        image: "app:1".into(),
        replicas,
        stop_grace_ms: STOP_GRACE_MS,
        update_parallelism: 1,
        ..PoolSpec::default()
    }
}

pub fn cluster(name: &str, pools: &[(&str, PoolSpec)]) -> ClusterSpec {
    ClusterSpec {
        name: name.parse().unwrap(),
        pools: pools.iter().map(|(n, s)| (n.parse().unwrap(), s.clone())).collect(),
        source: "services: {}".into(),
    }
}

impl Flow {
    pub async fn begin(scenario: Scenario) -> Flow {
        let clock: SharedClock = Arc::new(TokioClock::starting_at(Millis(1_760_000_000_000)));
        let fleet = Fleet::new(scenario, clock.clone());
        let mut flow = Flow { fleet, dir: tempfile::tempdir().unwrap(), clock, core: None };
        flow.start().await;
        flow
    }

    pub async fn start(&mut self) {
        let (connector, hosts) = (Arc::new(SimConnector(self.fleet.clone())), self.fleet.hosts());
        self.start_with(connector, hosts).await;
    }

    /// Starts a core that sees these hosts through that connector.
    pub async fn start_with(&mut self, connector: Arc<dyn Connector>, hosts: Vec<HostConfig>) {
        let install = InstallId("0a1b2c3d".into());
        let opened = Store::open(self.dir.path(), self.clock.clone(), install).await.unwrap();
        let engine = EngineView { mode: Mode::Active, epoch: opened.epoch, ..EngineView::default() };
        let parts = Parts {
            clock: self.clock.clone(),
            store: Some(opened.store),
            desired: opened.desired,
            connector,
            hosts,
            engine,
        };
        self.core = Some(start(parts));
    }

    /// As kill -9: the core is gone in the middle of whatever it did.
    pub fn crash(&mut self) {
        self.core = None;
    }

    pub async fn ask_as(&self, who: &str, request: Request) -> Reply {
        let (reply, answer) = tokio::sync::oneshot::channel();
        let caller = Caller { who: who.into(), read_only: who == "guest", login: None };
        let incoming = longshore::engine::core::Incoming { caller, call: Call::Ask { request, reply } };
        self.core.as_ref().unwrap().calls.send(incoming).await.unwrap();
        answer.await.unwrap()
    }

    pub async fn command(&self, who: &str, command: Command) -> Result<Accepted, Refusal> {
        match self.ask_as(who, Request::Command(command)).await {
            Reply::Accepted(accepted) => Ok(accepted),
            Reply::Refused(refusal) => Err(refusal),
            other => panic!("not an answer to a command: {other:?}"),
        }
    }

    pub async fn up(&self, spec: ClusterSpec) -> Accepted {
        self.command("alice", Command::Up { spec: Box::new(spec), reset_scale: false }).await.unwrap()
    }

    pub async fn scale(&self, who: &str, pool: &str, change: &str, busy: Busy) -> Result<Accepted, Refusal> {
        let change: Change = change.parse().unwrap();
        let command = Command::SetReplicas {
            pool: pool_id(pool),
            change,
            expect: None,
            busy,
            confirm: None,
            strategy: None,
        };
        self.command(who, command).await
    }

    pub async fn journal(&self) -> Vec<Entry> {
        match self
            .ask_as(
                "alice",
                Request::Query(Query::Journal { before: None, limit: 1000, pool: None, op: None }),
            )
            .await
        {
            Reply::Journal(lines) => lines,
            other => panic!("no journal: {other:?}"),
        }
    }

    pub fn world(&self) -> Arc<World> {
        self.core.as_ref().unwrap().world.borrow().clone()
    }

    pub fn pool(&self, id: &str) -> Option<PoolView> {
        self.world().pool(&pool_id(id)).cloned()
    }

    /// Lets virtual time pass until something is the case; fails after ten virtual minutes.
    pub async fn until(&self, what: &str, is_so: impl Fn(&World) -> bool) {
        for _ in 0..6_000 {
            if is_so(&self.world()) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("never: {what}; pools: {:#?}", self.world().pools);
    }

    pub async fn until_serving(&self, pool: &str, count: u32) {
        let id = pool_id(pool);
        self.until(&format!("{pool} serves {count}"), |w| {
            w.pool(&id)
                .is_some_and(|p| p.counts.healthy == count && p.counts.want == count && p.counts.leaving == 0)
        })
        .await;
    }

    /// The truth: our containers on all hosts, as the fleet has them.
    pub fn truth(&self) -> Vec<(HostId, Container, Tag)> {
        let mut out = Vec::new();
        for host in self.fleet.hosts() {
            for container in self.fleet.snapshot(&host.id).unwrap() {
                if let Owner::Longshore(tag) = &container.owner {
                    out.push((host.id.clone(), container.clone(), tag.clone()));
                }
            }
        }
        out
    }

    /// Running containers of a pool by slot; fails if a slot has two.
    pub fn running_slots(&self, pool: &str) -> Vec<u32> {
        let id = pool_id(pool);
        let mut slots: Vec<u32> = self
            .truth()
            .into_iter()
            .filter(|(_, c, t)| t.pool == id && c.state == State::Running)
            .map(|(_, _, t)| t.slot)
            .collect();
        slots.sort_unstable();
        let all = slots.len();
        slots.dedup();
        assert_eq!(all, slots.len(), "a slot of {pool} runs twice");
        slots
    }
}

pub async fn pass(seconds: u64) {
    tokio::time::sleep(Duration::from_secs(seconds)).await;
}
