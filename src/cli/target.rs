//! What a TARGET on the command line means: a pool, a slot of a pool, or any container of a host.

use crate::base::fault::{Fault, Kind};
use crate::base::ids::{ContainerId, HostId, PoolId, Slot};
use crate::cli::cx::Stop;
use crate::model::world::World;

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

/// Reads a target. Pools may have dots in their names: a pool of the whole name goes before a slot.
pub fn read(text: &str, world: &World) -> Result<Named, Stop> {
    if let Some((host, container)) = text.split_once(':') {
        let host: HostId = host.parse().map_err(|e| Stop::usage(&e))?;
        return container_on(&host, container, world).map(|id| Named::Container(host, id));
    }
    let whole = text.parse::<PoolId>();
    if let Ok(pool) = &whole
        && world.pools.contains_key(pool)
    {
        return Ok(Named::Pool(pool.clone()));
    }
    if let Some((pool, slot)) = text.rsplit_once('.')
        && let (Ok(pool), Ok(slot)) = (pool.parse::<PoolId>(), slot.parse::<Slot>())
        && let Some(view) = world.pools.get(&pool)
    {
        return if view.slots.iter().any(|s| s.slot == slot) {
            Ok(Named::Slot(pool, slot))
        } else {
            Err(Stop::said(format!("{pool} has no slot {slot} now"))
                .hint(format!("`longshore ps {pool}` lists its containers")))
        };
    }
    match whole {
        Ok(pool) => {
            Err(Stop::said(format!("there is no pool {pool}")).hint("`longshore pools` lists the pools"))
        }
        Err(_) => Err(Stop::usage(
            &Fault::new(Kind::Invalid, format!("{text:?} names neither a pool nor a container"))
                .hint("write CLUSTER/POOL, CLUSTER/POOL.SLOT, or HOST:CONTAINER (id or name)"),
        )),
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

/// The one container that is meant.
pub fn one_container(named: Named, world: &World) -> Result<(HostId, ContainerId), Stop> {
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
