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

impl Site {
    /// The reference by which this site's own registry knows an image: the same repository and tag. `None` when the site has
    /// no registry, or when the reference is a digest (an engine cannot give a digest as a second name).
    pub fn own_reference(&self, image: &str) -> Option<String> {
        let registry = self.registry.as_deref()?;
        if image.contains('@') {
            return None;
        }
        let path = match image.split_once('/') {
            Some((host, path)) if host.contains(['.', ':']) || host == "localhost" => path.to_owned(),
            Some(_) => image.to_owned(),
            // Docker's official images live under `library/`.
            None => format!("library/{image}"),
        };
        Some(format!("{registry}/{path}")).filter(|own| own != image)
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_site_knows_images_by_its_own_registry() {
        let site = |registry: Option<&str>| Site {
            name: SiteName::new("bj").unwrap(),
            registry: registry.map(str::to_owned),
            limits: SiteLimits::default(),
        };
        let own = |image| site(Some("reg.bj:5000")).own_reference(image);
        assert_eq!(own("reg.hq/feed/web:v2").as_deref(), Some("reg.bj:5000/feed/web:v2"));
        assert_eq!(own("feed/web:v2").as_deref(), Some("reg.bj:5000/feed/web:v2"));
        assert_eq!(own("busybox").as_deref(), Some("reg.bj:5000/library/busybox"));
        assert_eq!(own("reg.bj:5000/feed/web:v2"), None, "it is there already");
        assert_eq!(own("reg.hq/feed/web@sha256:00"), None, "a digest is no name that can be given");
        assert_eq!(site(None).own_reference("feed/web:v2"), None);
    }
}
