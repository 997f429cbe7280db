//! What a pool asks of a host, made ready once for all of its containers and all hosts.

use std::sync::Arc;

use crate::base::ids::{HostId, PoolId};
use crate::model::holdings::External;
use crate::model::placement::{Attribute, Placement, Strategy};
use crate::plan::place::Ask;
use crate::plan::place::books::{Books, Shape};
use crate::plan::place::constraint::{Test, arch_word};
use crate::plan::place::score;

/// What a pool asks of a host.
pub(super) struct Terms {
    /// The pool's number; one that no pool has when nothing of it was ever counted.
    pub pool: u32,
    pub id: PoolId,
    pub hash: u64,
    pub strategy: Strategy,
    pub class: Option<String>,
    pub placement: Placement,
    pub image: String,
    pub core: bool,
    pub hosts: Vec<HostId>,
    pub shape: Arc<Shape>,
    pub tests: Vec<Test>,
    pub wishes: Vec<(Test, i32)>,
    /// Operating system and architecture, in our words.
    pub platform: Option<(String, Option<String>)>,
    /// Networks and volumes that others must have made on the host.
    pub externals: Vec<External>,
    /// Pools that must not be on the same host, whichever of the two says so.
    pub apart: Vec<u32>,
    /// Hosts with fewer of the pool come first.
    pub by_host: bool,
    /// Domains that it asks to be spread over, the outermost first.
    pub spread: Vec<Attribute>,
}

/// The attributes that a pool is spread over, each once, but for the host itself.
pub(super) fn domains(spread: &[Attribute]) -> Vec<Attribute> {
    let is_domain = |a: &Attribute| !matches!(a, Attribute::Id | Attribute::Hostname);
    let mut out: Vec<Attribute> = Vec::new();
    for attribute in spread.iter().filter(|a| is_domain(a)) {
        if !out.contains(attribute) {
            out.push(attribute.clone());
        }
    }
    out
}

impl Terms {
    pub fn new(books: &Books, ask: &Ask<'_>, shape: Arc<Shape>) -> Terms {
        let pool = ask.pool;
        let placement = &pool.spec.placement;
        let names = |p: u32| books.pools[p as usize].apart.contains(&pool.id);
        let mut apart: Vec<u32> = placement.apart.iter().filter_map(|p| books.pool(p)).collect();
        apart.extend(books.apart.iter().copied().filter(|p| names(*p)));
        let is_host = |a: &Attribute| matches!(a, Attribute::Id | Attribute::Hostname);
        let own = books.pool(&pool.id).unwrap_or(u32::MAX);
        apart.retain(|p| *p != own);
        apart.sort_by_key(|p| books.pool_name(*p));
        apart.dedup();
        Terms {
            pool: own,
            id: pool.id.clone(),
            hash: score::hash(&pool.id.to_string()),
            strategy: ask.strategy,
            class: ask.class.map(str::to_owned),
            placement: placement.clone(),
            image: pool.spec.image.clone(),
            core: pool.spec.core,
            hosts: pool.hosts.clone(),
            shape,
            tests: placement.constraints.iter().map(Test::new).collect(),
            wishes: placement.prefer.iter().map(|p| (Test::new(&p.constraint), p.weight)).collect(),
            platform: placement.platform.as_deref().map(|p| {
                let mut parts = p.split('/');
                let os = parts.next().unwrap_or_default().to_ascii_lowercase();
                (os, parts.next().map(arch_word))
            }),
            externals: (pool.spec.externals())
                .map(|(sort, name)| External { sort, name: name.to_owned() })
                .collect(),
            apart,
            by_host: ask.strategy == Strategy::Spread || placement.spread.iter().any(is_host),
            spread: domains(&placement.spread),
        }
    }

    /// True when they are still what this ask says.
    pub fn are_of(&self, ask: &Ask<'_>, pool: u32, shape: &Arc<Shape>) -> bool {
        let spec = &ask.pool.spec;
        self.pool == pool
            && self.strategy == ask.strategy
            && self.class.as_deref() == ask.class
            && (Arc::ptr_eq(&self.shape, shape) || self.shape == *shape)
            && self.core == spec.core
            && self.image == spec.image
            && self.hosts == ask.pool.hosts
            && self.placement == spec.placement
            && self.externals.iter().map(|e| (e.sort, e.name.as_str())).eq(spec.externals())
    }
}
