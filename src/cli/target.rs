//! What a TARGET on the command line means: a pool, a slot of a pool, or any container of a host.

use crate::base::fault::Fault;
use crate::base::ids::{ContainerId, HostId, PoolId, Slot};
use crate::cli::cx::Stop;
use crate::model::world::World;

/// A target as written: what it means depends on what there is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Written {
    /// `CLUSTER/POOL` or `CLUSTER/POOL.SLOT`.
    Pool(PoolId),
    /// `HOST:CONTAINER`, an id, the beginning of one, or a name.
    Container(HostId, String),
}

/// What was named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Named {
    /// A pool.
    Pool(PoolId),
    /// A slot of a pool.
    Slot(PoolId, Slot),
    /// A container.
    Container(HostId, ContainerId),
}

impl Written {
    /// Reads a target.
    pub fn read(text: &str) -> Result<Written, Stop> {
        let shape = |fault: Fault| {
            Stop::usage(&fault.hint("write CLUSTER/POOL, CLUSTER/POOL.SLOT, or HOST:CONTAINER (id or name)"))
        };
        match text.split_once(':') {
            Some((host, container)) => {
                host.parse().map(|host| Written::Container(host, container.to_owned())).map_err(shape)
            }
            // Names of pools may have dots, so a slot of a pool reads like a pool.
            None => text.parse().map(Written::Pool).map_err(shape),
        }
    }

    /// What it means in this world. A pool of the whole name goes before a slot.
    pub fn find(&self, world: &World) -> Result<Named, Stop> {
        let pool = match self {
            Written::Container(host, wanted) => {
                return container_on(host, wanted, world).map(|id| Named::Container(host.clone(), id));
            }
            Written::Pool(pool) => pool,
        };
        if world.pools.contains_key(pool) {
            return Ok(Named::Pool(pool.clone()));
        }
        let none =
            || Stop::said(format!("there is no pool {pool}")).hint("`longshore pools` lists the pools");
        let text = pool.to_string();
        let (name, slot) = text.rsplit_once('.').ok_or_else(none)?;
        let (Ok(pool), Ok(slot)) = (name.parse::<PoolId>(), slot.parse::<Slot>()) else { return Err(none()) };
        let view = world.pools.get(&pool).ok_or_else(none)?;
        if view.slots.iter().any(|s| s.slot == slot) {
            return Ok(Named::Slot(pool, slot));
        }
        Err(Stop::said(format!("{pool} has no slot {slot} now"))
            .hint(format!("`longshore ps {pool}` lists its containers")))
    }

    /// The one container that it means in this world.
    pub fn find_one(&self, world: &World) -> Result<(HostId, ContainerId), Stop> {
        one_container(self.find(world)?, world)
    }
}

fn container_on(host: &HostId, wanted: &str, world: &World) -> Result<ContainerId, Stop> {
    let Some(view) = world.hosts.get(host) else {
        return Err(Stop::said(format!("there is no host {host}")).hint("`longshore hosts` lists the hosts"));
    };
    let all = || view.containers.iter();
    if let Some(found) = all().find(|c| c.id.as_str() == wanted || c.name.raw() == wanted) {
        return Ok(found.id.clone());
    }
    let mut begin = all().filter(|c| !wanted.is_empty() && c.id.as_str().starts_with(wanted));
    match (begin.next(), begin.next()) {
        (Some(found), None) => Ok(found.id.clone()),
        (Some(_), Some(_)) => Err(Stop::said(format!("several containers of {host} begin with {wanted}"))
            .hint("write more of the id, or the name")),
        (None, _) if !view.is_live() => Err(Stop::said(format!(
            "host {host} does not answer: whether it has a container {wanted} is not known"
        ))
        .hint(format!("`longshore hosts` says why {host} does not answer"))),
        (None, _) => Err(Stop::said(format!("{host} has no container {wanted}"))
            .hint("`longshore ps --all` lists the containers of all hosts")),
    }
}

fn one_container(named: Named, world: &World) -> Result<(HostId, ContainerId), Stop> {
    let (pool, slot) = match named {
        Named::Container(host, id) => return Ok((host, id)),
        Named::Pool(pool) => {
            return Err(Stop::said(format!("{pool} is a pool, not one container"))
                .hint(format!("name one of its slots, for example {pool}.1")));
        }
        Named::Slot(pool, slot) => (pool, slot),
    };
    let view = world.pool(&pool).and_then(|view| view.slots.iter().find(|s| s.slot == slot));
    match view.map(|s| (s.host.clone(), s.container.clone(), s.status.word())) {
        Some((Some(host), Some(id), _)) => Ok((host, id)),
        other => {
            let state = other.map_or("gone", |(_, _, word)| word);
            Err(Stop::said(format!("{pool}.{slot} has no container now: it is {state}"))
                .hint(format!("`longshore pools {pool}` says what it waits for")))
        }
    }
}
