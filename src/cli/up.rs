//! `up`: pool files in, pools up. With `--plan` it says what would be made or changed.

use std::collections::BTreeMap;
use std::path::Path;

use crate::base::ids::PoolId;
use crate::cli::args::UpArgs;
use crate::cli::cx::{Cx, Done, Engine, Stop};
use crate::cli::{DONE, FAILED, Purpose, act, policy};
use crate::model::command::Command;
use crate::model::pool::{ClusterSpec, PoolSpec};
use crate::model::prewarm::PrewarmAsk;
use crate::model::query::{Query, Reply, Request};
use crate::model::world::{PoolView, World};
use crate::view::coverage::sentences;

/// Reads a pool file: what it says, and warnings. The error is text of one or more lines, the first says what is wrong.
pub fn read_pool_file(
    path: &Path,
    env_file: Option<&Path>,
    env: &BTreeMap<String, String>,
) -> Result<(ClusterSpec, Vec<String>), String> {
    let more = match env_file {
        Some(file) => read_env_file(file, env)?,
        None => BTreeMap::new(),
    };
    let lookup = |name: &str| env.get(name).or_else(|| more.get(name)).cloned();
    let read = crate::spec::read_file(path, &lookup).map_err(|faults| faults.to_string())?;
    Ok((read.spec, read.warnings.iter().map(ToString::to_string).collect()))
}

/// Variables of `--env-file`; the process's own environment goes before them.
fn read_env_file(path: &Path, env: &BTreeMap<String, String>) -> Result<BTreeMap<String, String>, String> {
    let shown = path.display().to_string();
    let text = std::fs::read_to_string(path).map_err(|e| format!("{shown}: cannot be read: {e}"))?;
    let (pairs, faults) = crate::spec::dotenv::parse(&text, false, &|name| env.get(name).cloned());
    if faults.is_empty() {
        return Ok(pairs.into_iter().filter_map(|(key, value)| Some((key, value?))).collect());
    }
    let lines: Vec<String> = faults.into_iter().map(|f| f.in_file(shown.clone()).to_string()).collect();
    Err(lines.join("\n"))
}

/// `longshore up`
pub async fn run(cx: &mut Cx<'_>, args: &UpArgs) -> Done {
    let patience = act::Patience::read(&args.wait)?;
    // All files are read before anything is sent: a fault in the second leaves the first untouched.
    let mut specs = Vec::new();
    for path in &args.files {
        let (spec, warnings) =
            read_pool_file(path, args.env_file.as_deref(), &cx.print.io.env).map_err(Stop::said)?;
        warn(cx, &warnings);
        specs.push(spec);
    }
    if args.plan {
        return plan(cx, &specs, args.reset_scale).await;
    }
    let reset_scale = args.reset_scale;
    let commands = specs.into_iter().map(|spec| Command::Up { spec: Box::new(spec), reset_scale }).collect();
    act::run(cx, commands, patience).await
}

/// Says warnings about a file on standard error.
pub fn warn(cx: &mut Cx<'_>, warnings: &[String]) {
    for warning in warnings {
        cx.print.note(&format!("warning: {warning}"));
    }
}

async fn plan(cx: &mut Cx<'_>, specs: &[ClusterSpec], reset_scale: bool) -> Done {
    let engine = cx.open(Purpose::Look).await?;
    let world = cx.settled(&engine).await?;
    let may_run = {
        let verdicts = policy::verdicts(cx, &engine, specs).await?;
        policy::say(cx, &verdicts)
    };
    let status = if may_run { DONE } else { FAILED };
    let plans: Vec<PoolPlan> = specs.iter().flat_map(|spec| plan_of(spec, &world, reset_scale)).collect();
    if cx.json {
        cx.print.json(&plans)?;
        return Ok(status);
    }
    for plan in &plans {
        cx.print.line(&plan.words())?;
    }
    images(cx, &engine, specs, &world).await?;
    Ok(status)
}

/// For each pool whose image changes: how far the new one is on the hosts where the pool may be placed.
async fn images(cx: &mut Cx<'_>, engine: &Engine, specs: &[ClusterSpec], world: &World) -> Result<(), Stop> {
    for spec in specs {
        for (name, wanted) in &spec.pools {
            let id = PoolId { cluster: spec.name.clone(), pool: name.clone() };
            let changes = |view: &PoolView| view.pool.spec.image != wanted.image;
            if !world.pool(&id).is_some_and(|view| !view.pool.down && changes(view)) {
                continue;
            }
            let ask = PrewarmAsk {
                image: Some(wanted.image.clone()),
                pool: Some(id.clone()),
                ..PrewarmAsk::default()
            };
            match cx.ask(engine, Request::Query(Query::Coverage(Box::new(ask)))).await {
                Ok(Reply::Coverage(found)) => {
                    for line in sentences(&found) {
                        cx.print.line(&format!("  image of {id}: {line}"))?;
                    }
                    if found.lack() > 0 {
                        let image = &wanted.image;
                        cx.print
                            .note(&format!("`longshore prewarm {image} --pool {id}` brings it there before"));
                    }
                }
                // The plan stands without it.
                Ok(_) => {}
                Err(Stop::Said { text, .. }) => {
                    cx.print.note(&format!("how far the image of {id} is cannot be said: {text}"));
                }
                Err(stop) => return Err(stop),
            }
        }
    }
    Ok(())
}

/// What `up` would do to one pool.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
struct PoolPlan {
    pool: String,
    /// `create`, `change`, `scale`, `keep` or `left-alone`.
    what: &'static str,
    from: u32,
    to: u32,
    changed: Vec<String>,
    note: Option<String>,
}

impl PoolPlan {
    fn words(&self) -> String {
        let note = self.note.as_ref().map_or_else(String::new, |note| format!(" ({note})"));
        let number = if self.from == self.to {
            format!("{} kept", self.to)
        } else {
            format!("{} -> {}", self.from, self.to)
        };
        match self.what {
            "create" => format!("+ {}: made new, {} wanted{note}", self.pool, self.to),
            "change" => {
                format!("~ {}: changed {}; {number}{note}", self.pool, self.changed.join("; "))
            }
            "scale" => format!("~ {}: {number}{note}", self.pool),
            "keep" => format!("= {}: nothing changes{note}", self.pool),
            _ => format!("  {}: not in the file, left alone", self.pool),
        }
    }
}

fn plan_of(spec: &ClusterSpec, world: &World, reset_scale: bool) -> Vec<PoolPlan> {
    let of_cluster = |(id, view): (&crate::base::ids::PoolId, &std::sync::Arc<PoolView>)| {
        (id.cluster == spec.name).then(|| (id.pool.clone(), std::sync::Arc::clone(view)))
    };
    let present: BTreeMap<_, _> = world.pools.iter().filter_map(of_cluster).collect();
    let named = spec.pools.iter().map(|(name, pool)| {
        let id = format!("{}/{name}", spec.name);
        present.get(name).map_or_else(
            || new_pool(id.clone(), pool),
            |view| known_pool(id.clone(), pool, view, reset_scale),
        )
    });
    let others =
        present.iter().filter(|(name, _)| !spec.pools.iter().any(|(n, _)| n == *name)).map(|(name, view)| {
            PoolPlan {
                pool: format!("{}/{name}", spec.name),
                what: "left-alone",
                from: view.pool.want,
                to: view.pool.want,
                changed: Vec::new(),
                note: None,
            }
        });
    named.chain(others).collect()
}

fn new_pool(pool: String, spec: &PoolSpec) -> PoolPlan {
    PoolPlan { pool, what: "create", from: 0, to: spec.replicas, changed: Vec::new(), note: None }
}

fn known_pool(id: String, spec: &PoolSpec, view: &PoolView, reset_scale: bool) -> PoolPlan {
    let pool = &view.pool;
    let from = pool.want;
    // The number that people gave it counts, unless it is to be reset or the pool was taken down.
    let scaled = pool.last_scale.is_some() && !pool.down && !reset_scale;
    let to = if scaled { from } else { spec.replicas };
    let note = (scaled && from != spec.replicas)
        .then(|| format!("scaled since: the file's {} is not taken without --reset-scale", spec.replicas));
    let changed = changed_fields(&pool.spec, spec);
    let what = match (changed.is_empty(), from == to && !pool.down) {
        (false, _) => "change",
        (true, false) => "scale",
        (true, true) => "keep",
    };
    PoolPlan { pool: id, what, from: if pool.down { 0 } else { from }, to, changed, note }
}

/// What differs between two specifications, in sentences; the number is told apart.
fn changed_fields(old: &PoolSpec, new: &PoolSpec) -> Vec<String> {
    let old = PoolSpec { replicas: new.replicas, ..old.clone() };
    crate::spec::diff::diff(&old, new)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::base::clock::Millis;
    use crate::base::ids::{ClusterName, OpId, PoolId, PoolName};
    use crate::model::pool::{LastScale, Pool};
    use crate::model::world::Counts;

    fn world(scaled: bool) -> World {
        let id = PoolId::new("feed", "web").unwrap();
        let spec = PoolSpec { image: "web:1".into(), replicas: 4, ..PoolSpec::default() };
        let last_scale = scaled.then(|| LastScale {
            op: OpId(1),
            by: "bob".into(),
            at: Millis(0),
            from: 4,
            to: 9,
            strategy: None,
        });
        let pool = Pool {
            id: id.clone(),
            revision: 1,
            spec,
            want: if scaled { 9 } else { 4 },
            version: 1,
            down: false,
            hosts: Vec::new(),
            holes: Default::default(),
            last_scale,
        };
        let (slots, waits, misplaced) = (Vec::new(), Vec::new(), Vec::new());
        let view = PoolView { pool, slots, waits, misplaced, next_batch: None, counts: Counts::default() };
        let mut other = view.clone();
        other.pool.id = PoolId::new("feed", "db").unwrap();
        let pools = [(id, Arc::new(view)), (other.pool.id.clone(), Arc::new(other))].into();
        World { pools, ..World::default() }
    }

    fn file() -> ClusterSpec {
        let spec = |image: &str| PoolSpec { image: image.into(), replicas: 5, ..PoolSpec::default() };
        ClusterSpec {
            name: ClusterName::new("feed").unwrap(),
            pools: vec![
                (PoolName::new("web").unwrap(), spec("web:2")),
                (PoolName::new("cache").unwrap(), spec("cache:1")),
            ],
            source: String::new(),
        }
    }

    fn words(scaled: bool, reset: bool) -> Vec<String> {
        plan_of(&file(), &world(scaled), reset).iter().map(PoolPlan::words).collect()
    }

    #[test]
    fn a_plan_names_what_is_made_and_changed() {
        assert_eq!(
            words(false, false),
            [
                "~ feed/web: changed image web:1 -> web:2; 4 -> 5",
                "+ feed/cache: made new, 5 wanted",
                "  feed/db: not in the file, left alone"
            ]
        );
    }

    #[test]
    fn a_number_given_by_people_is_kept_unless_reset() {
        assert_eq!(
            words(true, false)[0],
            "~ feed/web: changed image web:1 -> web:2; 9 kept (scaled since: the file's 5 is not taken without --reset-scale)"
        );
        assert_eq!(words(true, true)[0], "~ feed/web: changed image web:1 -> web:2; 9 -> 5");
    }
}
