//! Sessions on one state directory: who runs the engine, who joins it, and what each leaves behind.
#![expect(clippy::unwrap_used, reason = "tests say what failed by failing")]

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use longshore::adapters::sim::{Fleet, Scenario};
use longshore::base::clock::{SharedClock, SystemClock};
use longshore::base::fault::Outcome;
use longshore::base::ids::InstallId;
use longshore::engine::core::Connector;
use longshore::engine::session::{Session, Setup, open};
use longshore::model::host::HostConfig;
use longshore::model::world::World;
use longshore::ports::runtime::Runtime;

struct Practice(Arc<Fleet>);

impl Connector for Practice {
    fn connect(&self, host: &HostConfig) -> Outcome<Arc<dyn Runtime>> {
        self.0.runtime(&host.id)
    }
}

async fn session(dir: &Path, read_only: bool) -> Session {
    let clock: SharedClock = Arc::new(SystemClock);
    let fleet = Fleet::new(Scenario::uniform(1, "app:1").unwrap(), clock.clone());
    let setup = Setup {
        dir: dir.to_owned(),
        read_only,
        look: false,
        clock,
        hosts: fleet.hosts(),
        connector: Arc::new(Practice(fleet)),
        fresh_install: InstallId("0a1b2c3d".into()),
        simulated: true,
    };
    open(setup).await.unwrap()
}

async fn until(session: &Session, is_so: impl FnMut(&Arc<World>) -> bool) {
    let mut world = session.handle.world();
    tokio::time::timeout(Duration::from_secs(20), world.wait_for(is_so)).await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_console_that_only_observes_joins_an_engine_that_starts_later() {
    let dir = tempfile::tempdir().unwrap();
    let looking = session(dir.path(), true).await;
    assert!(looking.own_engine);
    let engine = session(dir.path(), false).await;
    until(&looking, |world| world.engine.attached).await;
    engine.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_takes_away_its_own_socket_only() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("engine.sock");
    let first = session(dir.path(), false).await;
    first.close().await;
    assert!(!socket.exists(), "its own is gone");
    let second = session(dir.path(), false).await;
    std::fs::remove_file(&socket).unwrap();
    let _successor = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    second.close().await;
    assert!(socket.exists(), "the successor's stays");
}
