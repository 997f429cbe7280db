//! Connectors: from a host's address to the adapter behind it.

use std::path::Path;
use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use crate::adapters::credentials::Keyring;
use crate::adapters::docker::{DockerEngine, Options};
use crate::adapters::oci;
use crate::adapters::sim::Fleet;
use crate::base::clock::SharedClock;
use crate::base::fault::Outcome;
use crate::engine::core::Connector;
use crate::model::host::HostConfig;
use crate::model::registry::Registry;
use crate::ports::registry::RegistryClient;
use crate::ports::runtime::Runtime;
use crate::wire::config::Config;

/// Real Docker engines.
pub struct Docker {
    options: Options,
    keyring: Keyring,
    clock: SharedClock,
}

impl Docker {
    /// A connector with the options of the configuration and the environment.
    pub fn new(config: &Config, home: Option<&Path>, clock: SharedClock) -> Docker {
        let options = Options::from_env(&crate::wire::env, home);
        let keyring = Keyring { config_dir: options.docker_config.clone() };
        Docker { keyring, clock, options: Options { allow_plain_tcp: config.allow_plain_tcp, ..options } }
    }
}

impl Connector for Docker {
    fn connect(&self, host: &HostConfig) -> Outcome<Arc<dyn Runtime>> {
        Ok(Arc::new(DockerEngine::connect(host, self.options.clone())?))
    }

    fn registry<'a>(&'a self, registry: &'a Registry) -> BoxFuture<'a, Outcome<Arc<dyn RegistryClient>>> {
        async move {
            let login = self.keyring.find(&registry.address).await?;
            let client = oci::Client::new(registry, login, self.clock.clone(), oci::Limits::default())?;
            Ok(Arc::new(client) as Arc<dyn RegistryClient>)
        }
        .boxed()
    }
}

/// A simulated fleet.
pub struct Simulated(pub Arc<Fleet>);

impl Connector for Simulated {
    fn connect(&self, host: &HostConfig) -> Outcome<Arc<dyn Runtime>> {
        self.0.runtime(&host.id)
    }
}
