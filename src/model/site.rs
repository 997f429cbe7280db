//! A site: hosts that share a building, a line and a fate.

use serde::{Deserialize, Serialize};

use crate::base::clock::Millis;
use crate::base::ids::SiteName;

/// What people have decided about a site, durable.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Site {
    /// Its name.
    pub name: SiteName,
    /// The registry that its hosts pull from first (`HOST[:PORT]`); an image that it does not have comes from where its name says.
    #[serde(default)]
    pub registry: Option<String>,
    /// Limits of the whole site.
    #[serde(default)]
    pub limits: SiteLimits,
}

/// What a whole site takes at most.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SiteLimits {
    /// Containers of ours on all its hosts together.
    pub containers: Option<u32>,
    /// Images pulled at a time by all its hosts together, to spare its line.
    pub pulls: Option<u32>,
    /// Image references that may run there, as patterns with `*`; empty allows all.
    pub images: Vec<String>,
}

/// A site as it stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SiteView {
    /// What people have decided.
    pub site: Site,
    /// Hosts that belong to it.
    pub hosts: u32,
    /// Of these, those that do not answer.
    pub silent: u32,
    /// All of them have been lost since then.
    pub lost: Option<Millis>,
}

/// A question that the engine has put to people before it goes on: very many hosts vanished together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MassLoss {
    /// Hosts that are lost.
    pub lost: u32,
    /// Hosts that have answered at some time.
    pub of: u32,
    /// Sites that are lost as a whole.
    pub sites: Vec<SiteName>,
    /// Containers that are not replaced until somebody answers.
    pub containers: u32,
}
