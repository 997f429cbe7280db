//! Image registries: how each is reached, which sites pull from it, how it stands, and what is asked of it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::base::clock::Millis;
use crate::base::ids::{PoolId, RegistryName, SiteName};
use crate::base::text::Untrusted;
use crate::model::harbor::view::HarborView;
use crate::model::host::Seen;
use crate::model::oci::{Digest, Platform, Repository, Tag};

/// What serves a registry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RegistryKind {
    /// CNCF Distribution, or anything that speaks its protocol.
    #[default]
    Distribution,
    /// Harbor, with projects, members and replication of its own.
    Harbor,
}

/// What people have decided about a registry, durable. Credentials are not here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Registry {
    /// Its name in this install.
    pub name: RegistryName,
    /// What serves it.
    #[serde(default)]
    pub kind: RegistryKind,
    /// What image references call it: `HOST[:PORT]`.
    pub address: String,
    /// The instances behind that address, each `HOST[:PORT]`; empty means the address itself. All hold the same content:
    /// calls go to the first that is well.
    #[serde(default)]
    pub endpoints: Vec<String>,
    /// Sites whose hosts pull from it first.
    #[serde(default)]
    pub sites: Vec<SiteName>,
    /// It speaks HTTP without TLS. Only loopback addresses may without being told so.
    #[serde(default)]
    pub plain_http: bool,
    /// A file with further certificate authorities, PEM.
    #[serde(default)]
    pub ca: Option<String>,
    /// Where it keeps its content (`filesystem`, `s3`, `ceph` …), in the operator's words.
    #[serde(default)]
    pub storage: Option<String>,
    /// Requests to it at a time, at most.
    #[serde(default = "default_parallel")]
    pub parallel: u32,
}

/// Beyond this, uploads to a registry on two cores gain nothing (measured on Distribution 2.8.2).
fn default_parallel() -> u32 {
    8
}

impl Registry {
    /// A registry of which only the address is known.
    pub fn new(name: RegistryName, address: String) -> Registry {
        Registry {
            name,
            kind: RegistryKind::default(),
            address,
            endpoints: Vec::new(),
            sites: Vec::new(),
            plain_http: false,
            ca: None,
            storage: None,
            parallel: default_parallel(),
        }
    }

    /// The addresses that calls go to, in order.
    pub fn addresses(&self) -> impl Iterator<Item = &str> {
        let own = self.endpoints.is_empty().then_some(self.address.as_str());
        self.endpoints.iter().map(String::as_str).chain(own)
    }
}

/// How a registry wants its callers to log in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LoginKind {
    /// Not at all.
    None,
    /// By name and password at each call.
    Basic,
    /// By tokens that another service gives out.
    Token,
}

/// What one endpoint says of itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RegistryFacts {
    /// Its product and version, where it tells them.
    pub version: Option<Untrusted>,
    /// How it wants callers to log in.
    pub login: LoginKind,
    /// It lists its repositories to us.
    pub lists: bool,
}

/// One endpoint as it stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EndpointView {
    /// `HOST[:PORT]`.
    pub address: String,
    /// When it was last heard of, and why not since.
    pub seen: Seen,
    /// How long it took to answer last, in milliseconds.
    pub took_ms: Option<u64>,
    /// What it says of itself.
    pub facts: Option<RegistryFacts>,
}

/// A registry as it stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RegistryView {
    /// What people have decided.
    pub registry: Registry,
    /// Its endpoints, in order.
    pub endpoints: Vec<EndpointView>,
    /// The endpoint that calls go to now, by its place in the list; none while no one answers.
    pub active: Option<usize>,
    /// Repositories and tags, as they were counted last.
    pub counted: Option<Counted>,
    /// What only Harbor tells; none for other kinds.
    #[serde(default)]
    pub harbor: Option<Box<HarborView>>,
}

impl RegistryView {
    /// A registry of which nothing has been heard yet.
    pub fn never(registry: Registry) -> RegistryView {
        let fresh = |address: &str| EndpointView {
            address: address.to_owned(),
            seen: Seen::Never { why: None },
            took_ms: None,
            facts: None,
        };
        let endpoints = registry.addresses().map(fresh).collect();
        let harbor = (registry.kind == RegistryKind::Harbor).then(Box::default);
        RegistryView { registry, endpoints, active: None, counted: None, harbor }
    }

    /// The same after people have decided otherwise: what is known of endpoints that stay is kept.
    #[must_use]
    pub fn decided(&self, registry: Registry) -> RegistryView {
        let same = |e: &EndpointView| self.endpoints.iter().find(|old| old.address == e.address).cloned();
        let mut new = RegistryView::never(registry);
        for endpoint in &mut new.endpoints {
            if let Some(old) = same(endpoint) {
                *endpoint = old;
            }
        }
        let active = self.active.and_then(|i| self.endpoints.get(i)).map(|e| &e.address);
        new.active = new.endpoints.iter().position(|e| Some(&e.address) == active);
        new.counted = self.counted;
        new.harbor = new.harbor.take().map(|fresh| self.harbor.clone().unwrap_or(fresh));
        new
    }

    /// Since when none of its endpoints answers, and why; `None` while one does, or before the first try.
    pub fn silent_since(&self) -> Option<(Option<Millis>, &str)> {
        let mut found: Option<(Option<Millis>, &str)> = None;
        for endpoint in &self.endpoints {
            match &endpoint.seen {
                Seen::At(_) | Seen::Never { why: None } => return None,
                // The last of them to be heard of is what the registry was heard of last.
                Seen::Lost { last, why, .. } => {
                    if found.is_none_or(|(before, _)| before.is_none_or(|before| before < *last)) {
                        found = Some((Some(*last), why));
                    }
                }
                Seen::Never { why: Some(why) } => found = found.or(Some((None, why))),
            }
        }
        found
    }
}

/// How much a registry holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counted {
    /// When that was counted.
    pub at: Millis,
    /// Repositories.
    pub repositories: u32,
    /// Tags in all of them.
    pub tags: u32,
}

/// A part of a long list, and where the next begins.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Page<T> {
    /// The part, in the registry's own order.
    pub items: Vec<T>,
    /// What to ask for the next part with; none at the end.
    pub next: Option<String>,
}

/// A repository of a registry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RepositoryRow {
    /// Its path.
    pub repository: Repository,
    /// Tags in it; none while they are not counted.
    #[serde(default)]
    pub tags: Option<u32>,
    /// Pools that name an image of it.
    #[serde(default)]
    pub used_by: Vec<PoolId>,
}

/// A tag of a repository. What has not been read of it yet is none, not nothing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TagRow {
    /// The tag.
    pub tag: Tag,
    /// What it points to.
    #[serde(default)]
    pub digest: Option<Digest>,
    /// Bytes of all that it needs, manifests included.
    #[serde(default)]
    pub size: Option<u64>,
    /// Platforms that it was made for.
    #[serde(default)]
    pub platforms: Vec<Platform>,
    /// When the image was made, as it says itself.
    #[serde(default)]
    pub created: Option<Millis>,
    /// Its labels.
    #[serde(default)]
    pub labels: BTreeMap<Untrusted, Untrusted>,
    /// Pools that run it.
    #[serde(default)]
    pub used_by: Vec<PoolId>,
    /// Why the rest could not be read.
    #[serde(default)]
    pub why: Option<Untrusted>,
}
