//! The core's side of the registry layer: what looks at registries for it, and what it remembers of them.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::base::clock::SharedClock;
use crate::base::ids::RuleName;
use crate::engine::bringing::Bringing;
use crate::engine::core::Connector;
use crate::engine::observe::Wakes;
use crate::engine::policing::Policing;
use crate::engine::pulling::Pulls;
use crate::engine::registry::browse::Browser;
use crate::engine::registry::clients::Clients;
use crate::engine::registry::counting::Counting;
use crate::engine::registry::facts::Looker;
use crate::engine::registry::harbor::Harbors;
use crate::engine::registry::triggers::Triggers;
use crate::engine::replication::Diffs;
use crate::store::Store;

/// Tasks that look at registries, and what is remembered of them. The tasks end when this is dropped.
pub(super) struct RegistryLayer {
    /// When rules run by themselves.
    pub(super) triggers: Triggers,
    /// Why a rule's last run failed, as the journal was told.
    pub(super) failing: BTreeMap<RuleName, String>,
    /// Comparisons that are being read part by part.
    pub(super) diffs: Diffs,
    /// How much they hold.
    pub(super) counting: Counting,
    /// The rules for images.
    pub(super) policing: Policing,
    /// What looks into them when somebody asks.
    pub(super) browser: Browser,
    /// What only Harbor tells.
    pub(super) harbors: Harbors,
    /// Grants that are on their way to Harbors.
    pub(super) bringing: Bringing,
    /// What is remembered of pulls.
    pub(super) pulls: Pulls,
}

impl RegistryLayer {
    /// Nothing is looked at yet.
    pub(super) fn new(
        connector: &Arc<dyn Connector>,
        clients: &Arc<Clients>,
        store: Option<Store>,
        clock: &SharedClock,
        wakes: &Wakes,
    ) -> RegistryLayer {
        RegistryLayer {
            triggers: Triggers::default(),
            failing: BTreeMap::new(),
            diffs: Diffs::default(),
            counting: Counting::new(clients.clone(), clock.clone(), wakes.clone()),
            policing: Policing::new(Looker::new(clients.clone(), store, wakes.clone())),
            browser: Browser::default(),
            harbors: Harbors::new(connector.clone(), clock.clone(), wakes.clone()),
            bringing: Bringing::default(),
            pulls: Pulls::default(),
        }
    }
}
