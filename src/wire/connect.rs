//! Connectors: from a host's address to the adapter behind it.

use std::path::Path;
use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use crate::adapters::credentials::{Credentials, Keyring};
use crate::adapters::docker::{DockerEngine, Options};
use crate::adapters::harbor::{self, Harbor};
use crate::adapters::oci;
use crate::adapters::sim::Fleet;
use crate::base::clock::SharedClock;
use crate::base::fault::{Fault, Kind, Outcome};
use crate::engine::core::Connector;
use crate::model::harbor::Secret;
use crate::model::host::HostConfig;
use crate::model::registry::{Registry, RegistryKind};
use crate::ports::registry::RegistryClient;
use crate::ports::registry_admin::RegistryAdmin;
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

    fn registry_admin<'a>(
        &'a self,
        registry: &'a Registry,
    ) -> BoxFuture<'a, Outcome<Arc<dyn RegistryAdmin>>> {
        async move {
            if registry.kind != RegistryKind::Harbor {
                let text = format!("registry {} is no Harbor", registry.name);
                let hint = format!("if it is one: longshore registry set {} --kind harbor", registry.name);
                return Err(Fault::new(Kind::Invalid, text).hint(hint));
            }
            let login = match self.keyring.find(&registry.address).await? {
                None => None,
                Some(Credentials::Password { username, secret }) => {
                    Some(harbor::Credentials { user: username, password: Secret::new(secret) })
                }
                // Harbor's API takes a name and a password; such a token is for a registry's token service.
                Some(Credentials::IdentityToken(_)) => {
                    let text = format!("the login that is kept for {} has no password", registry.address);
                    return Err(Fault::new(Kind::Refused, text)
                        .hint(format!("docker login {} with a name and a password", registry.address)));
                }
            };
            let address = registry.addresses().next().unwrap_or(&registry.address);
            Ok(Arc::new(Harbor::connect(registry, address, login)?) as Arc<dyn RegistryAdmin>)
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
