//! Clients of registries, made anew only when what is recorded of a registry changes: they hold connections and tokens.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::Mutex;

use crate::base::fault::Outcome;
use crate::base::ids::RegistryName;
use crate::engine::core::Connector;
use crate::engine::registry::Registries;
use crate::model::registry::Registry;
use crate::ports::registry::RegistryClient;

/// What is kept of each registry.
pub struct Clients {
    connector: Arc<dyn Connector>,
    kept: Mutex<BTreeMap<RegistryName, (Registry, Arc<dyn RegistryClient>)>>,
}

impl Clients {
    /// None yet.
    pub fn new(connector: Arc<dyn Connector>) -> Clients {
        Clients { connector, kept: Mutex::default() }
    }

    /// Connects anew to a registry the next time that it is asked for.
    pub async fn forget(&self, name: &RegistryName) {
        self.kept.lock().await.remove(name);
    }

    /// The client of this registry.
    ///
    /// # Errors
    /// When it cannot be made: its address, its authorities or the credentials for it cannot be used.
    pub async fn one(&self, registry: &Registry) -> Outcome<Arc<dyn RegistryClient>> {
        let mut kept = self.kept.lock().await;
        if let Some((_, client)) = kept.get(&registry.name).filter(|(had, _)| had == registry) {
            return Ok(client.clone());
        }
        let client = self.connector.registry(registry).await?;
        kept.insert(registry.name.clone(), (registry.clone(), client.clone()));
        Ok(client)
    }

    /// The clients of these registries. One that cannot be made is left out: whoever needs it says that it is not there, and its
    /// view says why.
    pub async fn of(&self, wanted: &BTreeMap<RegistryName, Registry>) -> Registries {
        let mut kept = self.kept.lock().await;
        kept.retain(|name, (had, _)| wanted.get(name) == Some(had));
        for (name, registry) in wanted {
            if !kept.contains_key(name)
                && let Ok(client) = self.connector.registry(registry).await
            {
                kept.insert(name.clone(), (registry.clone(), client));
            }
        }
        kept.iter().map(|(name, (_, client))| (name.clone(), client.clone())).collect()
    }
}
