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
use crate::engine::access::service::TokenService;
use crate::engine::core::Connector;
use crate::model::harbor::Secret;
use crate::model::host::HostConfig;
use crate::model::registry::{LoginKind, Registry, RegistryKind};
use crate::ports::desk::OwnTokens;
use crate::ports::registry::{Catalogue, RegistryClient};
use crate::ports::registry_admin::RegistryAdmin;
use crate::ports::runtime::Runtime;
use crate::wire::config::Config;
use crate::wire::tokens::{ForEngine, TokenSettings, Tokens};

/// Real Docker engines.
pub struct Docker {
    options: Options,
    keyring: Keyring,
    clock: SharedClock,
    tokens: Option<Arc<Tokens>>,
}

impl Docker {
    /// A connector with the options of the configuration and the environment.
    pub fn new(config: &Config, home: Option<&Path>, clock: SharedClock) -> Docker {
        let options = Options::from_env(&crate::wire::env, home);
        let keyring = Keyring { config_dir: options.docker_config.clone() };
        let options = Options { allow_plain_tcp: config.allow_plain_tcp, ..options };
        Docker { keyring, clock, options, tokens: None }
    }

    /// The same with the token service of a state directory, if one is configured.
    #[must_use]
    pub fn with_tokens(self, config: &Config, state: &Path) -> Docker {
        let make = |settings: &TokenSettings| {
            Arc::new(Tokens::new(settings.clone(), state.to_owned(), self.clock.clone()))
        };
        Docker { tokens: config.tokens.as_ref().map(make), ..self }
    }

    /// Checks a login at its registry and keeps it; says where.
    ///
    /// # Errors
    /// When the registry does not accept it or asks for none, or it cannot be kept.
    pub async fn log_in(&self, registry: &Registry, username: &str, secret: &str) -> Outcome<String> {
        let login = Credentials::Password { username: username.to_owned(), secret: secret.to_owned() };
        let client = oci::Client::new(registry, Some(login), self.clock.clone(), oci::Limits::default())?;
        if client.facts().await?.login == LoginKind::None {
            let text = format!("{} asks for no login: none was kept", registry.address);
            return Err(Fault::new(Kind::Refused, text).hint("anybody may read there as it is"));
        }
        Ok(self.keyring.keep(&registry.address, username, secret).await?.to_string())
    }

    /// Forgets the login of a registry; says where it was. `None` when there was none.
    ///
    /// # Errors
    /// When it cannot be taken out.
    pub async fn log_out(&self, registry: &Registry) -> Outcome<Option<String>> {
        Ok(self.keyring.forget(&registry.address).await?.map(|kept| kept.to_string()))
    }
}

impl Connector for Docker {
    fn connect(&self, host: &HostConfig) -> Outcome<Arc<dyn Runtime>> {
        Ok(Arc::new(DockerEngine::connect(host, self.options.clone())?))
    }

    fn registry<'a>(&'a self, registry: &'a Registry) -> BoxFuture<'a, Outcome<Arc<dyn RegistryClient>>> {
        async move {
            let login = self.keyring.find(&registry.address).await?;
            let own = self.tokens.as_ref().map(|tokens| {
                let own = ForEngine { tokens: tokens.clone(), registry: registry.name.clone() };
                Arc::new(own) as Arc<dyn OwnTokens>
            });
            let (clock, limits) = (self.clock.clone(), oci::Limits::default());
            let client = oci::Client::signing(registry, login, own, clock, limits)?;
            Ok(Arc::new(client) as Arc<dyn RegistryClient>)
        }
        .boxed()
    }

    fn tokens(&self) -> Option<Arc<dyn TokenService>> {
        self.tokens.clone().map(|tokens| tokens as Arc<dyn TokenService>)
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
