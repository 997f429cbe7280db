//! Connectors: from a host's address to the adapter behind it.

use std::path::Path;
use std::sync::Arc;

use crate::adapters::docker::{DockerEngine, Options};
use crate::adapters::sim::Fleet;
use crate::base::fault::Outcome;
use crate::engine::core::Connector;
use crate::model::host::HostConfig;
use crate::ports::runtime::Runtime;
use crate::wire::config::Config;

/// Real Docker engines.
pub struct Docker {
    options: Options,
}

impl Docker {
    /// A connector with the options of the configuration and the environment.
    pub fn new(config: &Config, home: Option<&Path>) -> Docker {
        let options = Options::from_env(&crate::wire::env, home);
        Docker { options: Options { allow_plain_tcp: config.allow_plain_tcp, ..options } }
    }
}

impl Connector for Docker {
    fn connect(&self, host: &HostConfig) -> Outcome<Arc<dyn Runtime>> {
        Ok(Arc::new(DockerEngine::connect(host, self.options.clone())?))
    }
}

/// A simulated fleet.
pub struct Simulated(pub Arc<Fleet>);

impl Connector for Simulated {
    fn connect(&self, host: &HostConfig) -> Outcome<Arc<dyn Runtime>> {
        self.0.runtime(&host.id)
    }
}
