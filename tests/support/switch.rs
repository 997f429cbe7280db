//! Engines under other names than their own: several names for one, or one name for two in turn.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use longshore::adapters::sim::Fleet;
use longshore::base::fault::Outcome;
use longshore::base::ids::{ContainerId, HostId, InstallId};
use longshore::engine::core::Connector;
use longshore::model::container::{Container, Tag, Usage};
use longshore::model::exec::{ExecSession, ExecWanted};
use longshore::model::holdings::Sort;
use longshore::model::host::{HostConfig, HostFacts, Image};
use longshore::model::pool::PoolSpec;
use longshore::model::prewarm::{HeldImage, PullProgress};
use longshore::ports::runtime::{
    Ending, EngineEvent, Images, Lifecycle, LogWanted, Observe, Peek, RawLine, Runtime,
};

/// Every name leads to the same engine.
pub struct Named(Arc<dyn Runtime>);

impl Named {
    pub fn all(fleet: &Fleet, host: &str) -> Named {
        Named(fleet.runtime(&HostId::new(host).unwrap()).unwrap())
    }

    pub fn one(switch: Arc<Switch>) -> Named {
        Named(switch)
    }
}

impl Connector for Named {
    fn connect(&self, _: &HostConfig) -> Outcome<Arc<dyn Runtime>> {
        Ok(self.0.clone())
    }
}

/// One address behind which another engine may answer.
pub struct Switch {
    engines: [Arc<dyn Runtime>; 2],
    turned: AtomicBool,
}

impl Switch {
    pub fn between(fleet: &Fleet, first: &str, second: &str) -> Switch {
        let engines = [first, second].map(|h| fleet.runtime(&HostId::new(h).unwrap()).unwrap());
        Switch { engines, turned: AtomicBool::new(false) }
    }

    pub fn turn(&self) {
        self.turned.store(true, Ordering::SeqCst);
    }

    fn now(&self) -> &dyn Runtime {
        &*self.engines[usize::from(self.turned.load(Ordering::SeqCst))]
    }
}

impl Lifecycle for Switch {
    fn create<'a>(&'a self, tag: &'a Tag, spec: &'a PoolSpec) -> BoxFuture<'a, Outcome<ContainerId>> {
        self.now().create(tag, spec)
    }
    fn start<'a>(&'a self, id: &'a ContainerId) -> BoxFuture<'a, Outcome<()>> {
        self.now().start(id)
    }
    fn stop<'a>(&'a self, id: &'a ContainerId, grace_ms: u64) -> BoxFuture<'a, Outcome<()>> {
        self.now().stop(id, grace_ms)
    }
    fn remove<'a>(&'a self, id: &'a ContainerId) -> BoxFuture<'a, Outcome<()>> {
        self.now().remove(id)
    }
    fn remove_network<'a>(&'a self, name: &'a str, install: &'a InstallId) -> BoxFuture<'a, Outcome<()>> {
        self.now().remove_network(name, install)
    }
}

impl Images for Switch {
    fn pull<'a>(
        &'a self,
        image: &'a str,
        progress: &'a (dyn Fn(PullProgress) + Send + Sync),
    ) -> BoxFuture<'a, Outcome<()>> {
        self.now().pull(image, progress)
    }
    fn has_image<'a>(&'a self, image: &'a str) -> BoxFuture<'a, Outcome<bool>> {
        self.now().has_image(image)
    }

    fn name_image<'a>(&'a self, image: &'a str, name: &'a str) -> BoxFuture<'a, Outcome<()>> {
        self.now().name_image(image, name)
    }

    fn held<'a>(&'a self, image: &'a str) -> BoxFuture<'a, Outcome<Option<HeldImage>>> {
        self.now().held(image)
    }
    fn export<'a>(&'a self, image: &'a str) -> BoxFuture<'a, Outcome<BoxStream<'static, Outcome<Bytes>>>> {
        self.now().export(image)
    }
    fn load<'a>(&'a self, archive: BoxStream<'static, Outcome<Bytes>>) -> BoxFuture<'a, Outcome<()>> {
        self.now().load(archive)
    }
}

impl Observe for Switch {
    /// The other engine is slower with its facts than with its list.
    fn facts(&self) -> BoxFuture<'_, Outcome<HostFacts>> {
        Box::pin(async {
            tokio::time::sleep(std::time::Duration::from_secs(2)).await;
            self.now().facts().await
        })
    }
    fn ping(&self) -> BoxFuture<'_, Outcome<()>> {
        self.now().ping()
    }
    fn images(&self) -> BoxFuture<'_, Outcome<BTreeMap<String, Image>>> {
        self.now().images()
    }
    fn holds<'a>(
        &'a self,
        sort: Sort,
        names: &'a BTreeSet<String>,
    ) -> BoxFuture<'a, Outcome<BTreeSet<String>>> {
        self.now().holds(sort, names)
    }
    fn list(&self) -> BoxFuture<'_, Outcome<Vec<Container>>> {
        self.now().list()
    }
    fn events(&self) -> BoxFuture<'_, Outcome<BoxStream<'static, Outcome<EngineEvent>>>> {
        self.now().events()
    }
    fn ending<'a>(&'a self, id: &'a ContainerId) -> BoxFuture<'a, Outcome<Ending>> {
        self.now().ending(id)
    }
    fn usage<'a>(&'a self, ids: &'a [ContainerId]) -> BoxFuture<'a, Outcome<BTreeMap<ContainerId, Usage>>> {
        self.now().usage(ids)
    }
    fn usage_is_free(&self) -> bool {
        true
    }
}

impl Peek for Switch {
    fn inspect<'a>(&'a self, id: &'a ContainerId) -> BoxFuture<'a, Outcome<String>> {
        self.now().inspect(id)
    }
    fn logs<'a>(
        &'a self,
        id: &'a ContainerId,
        wanted: &'a LogWanted,
    ) -> BoxFuture<'a, Outcome<BoxStream<'static, Outcome<RawLine>>>> {
        self.now().logs(id, wanted)
    }
    fn exec<'a>(
        &'a self,
        id: &'a ContainerId,
        wanted: &'a ExecWanted,
    ) -> BoxFuture<'a, Outcome<ExecSession>> {
        self.now().exec(id, wanted)
    }
}
