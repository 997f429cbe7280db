//! Who uses what a registry holds: pools that name an image of it, or whose hosts pull their image from it first.

use std::collections::BTreeSet;

use crate::base::ids::{PoolId, SiteName};
use crate::model::image::ImageName;
use crate::model::oci::{Digest, Repository, Tag};
use crate::model::registry::Registry;
use crate::model::world::{PoolView, World};

/// The pools that use a registry, each with the image that it uses.
#[derive(Clone, Debug, Default)]
pub struct Users(Vec<(PoolId, ImageName)>);

impl Users {
    /// The pools that use this registry, as the world is.
    pub fn of(world: &World, registry: &Registry) -> Users {
        let own = |site: &SiteName| {
            let view = world.sites.get(site);
            let first = view.and_then(|view| view.site.registry.as_ref());
            registry.sites.contains(site) || first == Some(&registry.address)
        };
        let at_own_site = |pool: &PoolView| {
            let hosts = pool.slots.iter().filter_map(|slot| slot.host.as_ref());
            let mut sites =
                hosts.filter_map(|host| world.hosts.get(host)).filter_map(|h| h.record.site.as_ref());
            sites.any(own)
        };
        let used = world.pools.values().filter_map(|view| {
            let name: ImageName = view.pool.spec.image.parse().ok()?;
            let is_here = name.registry == crate::model::image::own_name(&registry.address);
            // A digest has no second name: such images are never pulled from a site's own registry.
            let is_pulled = name.digest.is_none() && at_own_site(view);
            (is_here || is_pulled).then(|| (view.pool.id.clone(), name))
        });
        Users(used.collect())
    }

    /// The repositories that are used.
    pub fn repositories(&self) -> BTreeSet<Repository> {
        self.0.iter().map(|(_, name)| name.repository.clone()).collect()
    }

    /// The pools that use an image of a repository.
    pub fn repository(&self, of: &Repository) -> Vec<PoolId> {
        self.pools(|name| name.repository == *of)
    }

    /// The pools that use this tag, or what it points to.
    pub fn tag(&self, of: &Repository, tag: &Tag, digest: Option<&Digest>) -> Vec<PoolId> {
        self.pools(|name| {
            let is_it = match &name.digest {
                Some(named) => digest == Some(named),
                None => name.tag.as_ref() == Some(tag),
            };
            name.repository == *of && is_it
        })
    }

    fn pools(&self, is_it: impl Fn(&ImageName) -> bool) -> Vec<PoolId> {
        self.0.iter().filter(|(_, name)| is_it(name)).map(|(pool, _)| pool.clone()).collect()
    }
}
