//! `show`: pools as a pool file, so that what runs can be read, kept, edited and brought up again.

use std::collections::BTreeMap;

use crate::base::ids::ClusterName;
use crate::cli::cx::{Cx, Done, Stop};
use crate::cli::{DONE, Purpose};
use crate::model::command::Target;
use crate::model::pool::{ClusterSpec, PoolSpec};
use crate::model::world::World;

/// `longshore show`
pub async fn run(cx: &mut Cx<'_>, target: &str) -> Done {
    let target: Target = target.parse().map_err(|e| Stop::usage(&e))?;
    let engine = cx.open(Purpose::Look).await?;
    let clusters = cx.find(&engine, |world| clusters(world, &target)).await?;
    for (i, cluster) in clusters.iter().enumerate() {
        if i > 0 {
            cx.print.line("---")?;
        }
        for line in crate::spec::to_compose(cluster).lines() {
            cx.print.line(line)?;
        }
    }
    Ok(DONE)
}

/// The pools of a target by cluster, with the number that is wanted now.
fn clusters(world: &World, target: &Target) -> Result<Vec<ClusterSpec>, Stop> {
    let mut found: BTreeMap<ClusterName, ClusterSpec> = BTreeMap::new();
    for (id, view) in world.pools.iter().filter(|(id, _)| target.covers(id)) {
        let empty = || ClusterSpec { name: id.cluster.clone(), pools: Vec::new(), source: String::new() };
        let spec = PoolSpec { replicas: view.pool.want, ..view.pool.spec.clone() };
        found.entry(id.cluster.clone()).or_insert_with(empty).pools.push((id.pool.clone(), spec));
    }
    if found.is_empty() {
        return Err(Stop::said(format!("there is no pool {target}")).hint("see `longshore pools`"));
    }
    Ok(found.into_values().collect())
}
