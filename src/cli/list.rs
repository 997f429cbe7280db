//! `pools` and `ps`: what there is, as aligned text or JSON.

use crate::base::clock::Millis;
use crate::base::text::{age, bytes, count};
use crate::cli::Purpose;
use crate::cli::cx::{Cx, Done, Stop, listing_status};
use crate::model::command::Target;
use crate::model::container::{Container, Owner, State};
use crate::model::host::{HostView, Seen};
use crate::model::world::{PoolView, SlotStatus, World};
use crate::view::json::{ContainerRecord, PoolRecord, health_word, owner_of};
use crate::view::table::{Side, Table};

/// Stands where nothing is known.
const NONE: &str = "-";

/// `longshore pools`
pub async fn pools(cx: &mut Cx<'_>, target: Option<&str>) -> Done {
    let target = read_target(target)?;
    let engine = cx.open(Purpose::Look).await?;
    let world = cx.settled(&engine).await?;
    let views: Vec<&PoolView> = world
        .pools
        .iter()
        .filter(|(id, _)| target.as_ref().is_none_or(|t| t.covers(id)))
        .map(|(_, view)| view.as_ref())
        .collect();
    if let (Some(target), true) = (&target, views.is_empty()) {
        return Err(no_such(target));
    }
    if cx.json {
        let records: Vec<PoolRecord> = views.iter().map(|view| PoolRecord::of(view, &world)).collect();
        cx.print.json(&records)?;
    } else if views.is_empty() {
        cx.print.note("there are no pools yet: bring some up with `longshore up FILE`");
    } else {
        let table = pool_table(&views);
        print_table(cx, &table)?;
        for view in &views {
            for wait in &view.waits {
                cx.print.line(&format!("{}: {} waiting: {}", view.pool.id, wait.slots, wait.why))?;
            }
        }
    }
    Ok(listing_status(&world))
}

fn read_target(text: Option<&str>) -> Result<Option<Target>, Stop> {
    text.map(str::parse).transpose().map_err(|e| Stop::usage(&e))
}

fn no_such(target: &Target) -> Stop {
    let what = match target {
        Target::Pool(_) => "pool",
        Target::Cluster(_) => "cluster",
    };
    Stop::said(format!("there is no {what} {target}"))
        .hint("`longshore pools` lists the pools of all clusters")
}

fn pool_table(views: &[&PoolView]) -> Table {
    use Side::{Cut, Left, Right};
    let mut table = Table::new(&[
        ("POOL", Left),
        ("WANT", Right),
        ("RUN", Right),
        ("HEALTHY", Right),
        ("FAILING", Right),
        ("LOST", Right),
        ("LEAVING", Right),
        ("REV", Right),
        ("STATE", Left),
        ("IMAGE", Cut),
    ]);
    for view in views {
        let (pool, c) = (&view.pool, &view.counts);
        table.row([
            pool.id.to_string(),
            pool.want.to_string(),
            c.running.to_string(),
            c.healthy.to_string(),
            (c.failing + c.unhealthy).to_string(),
            c.lost.to_string(),
            c.leaving.to_string(),
            pool.revision.to_string(),
            pool_state(view).to_owned(),
            pool.spec.image.clone(),
        ]);
    }
    table
}

fn pool_state(view: &PoolView) -> &'static str {
    let c = &view.counts;
    if view.pool.down {
        "going down"
    } else if c.lost > 0 {
        "host lost"
    } else if c.failing > 0 {
        "failing"
    } else if c.unhealthy > 0 {
        "unhealthy"
    } else if !view.waits.is_empty() {
        "waiting"
    } else if c.healthy + c.finished < c.want || c.leaving > 0 || c.outdated > 0 {
        "changing"
    } else {
        "ok"
    }
}

/// Prints a table, as wide as the terminal or as wide as it is.
pub fn print_table(cx: &mut Cx<'_>, table: &Table) -> Result<(), Stop> {
    table.lines(cx.print.columns()).iter().try_for_each(|line| cx.print.line(line))
}

/// `longshore ps`
pub async fn ps(cx: &mut Cx<'_>, target: Option<&str>, all: bool) -> Done {
    let target = read_target(target)?;
    let engine = cx.open(Purpose::Look).await?;
    let world = cx.settled(&engine).await?;
    let found = containers(&world, target.as_ref(), all);
    if let (Some(target), true) = (&target, found.is_empty())
        && !world.pools.keys().any(|id| target.covers(id))
    {
        return Err(no_such(target));
    }
    if cx.json {
        let records: Vec<ContainerRecord> =
            found.iter().map(|(host, c)| ContainerRecord::of(c, host, &world)).collect();
        cx.print.json(&records)?;
    } else if found.is_empty() {
        cx.print.note(nothing_seen(&world, all));
    } else {
        let table = container_table(&found, &world, all, cx.now());
        print_table(cx, &table)?;
        let others = containers(&world, None, true).len() - containers(&world, None, false).len();
        if !all && target.is_none() && others > 0 {
            cx.print.note(&format!(
                "{} that this install does not manage: `longshore ps --all` lists them too",
                count(others as u64, "container")
            ));
        }
    }
    Ok(listing_status(&world))
}

fn nothing_seen(world: &World, all: bool) -> &'static str {
    if world.hosts.values().any(|host| !host.is_live()) {
        "no container is known, but not every host answers"
    } else if all {
        "there are no containers on the known hosts"
    } else {
        "there are no containers of this install; `longshore ps --all` also lists others"
    }
}

/// Ours by pool and slot, then all others by host and name.
fn containers<'a>(
    world: &'a World,
    target: Option<&Target>,
    all: bool,
) -> Vec<(&'a HostView, &'a Container)> {
    let ours = |c: &Container| owner_of(c, world).0 == "ours";
    let wanted = |c: &Container| match (&c.owner, target) {
        (Owner::Longshore(tag), Some(target)) => target.covers(&tag.pool) && (all || ours(c)),
        (_, Some(_)) => false,
        (_, None) => all || ours(c),
    };
    let mut found: Vec<(&HostView, &Container)> = world
        .hosts
        .values()
        .flat_map(|host| host.containers.iter().map(move |c| (host.as_ref(), c)))
        .filter(|(_, c)| wanted(c))
        .collect();
    found.sort_by_key(|(host, c)| {
        let tag = match &c.owner {
            Owner::Longshore(tag) if ours(c) => Some((tag.pool.clone(), tag.slot, tag.generation)),
            _ => None,
        };
        (tag.is_none(), tag, host.config.id.clone(), c.name.clone())
    });
    found
}

fn container_table(found: &[(&HostView, &Container)], world: &World, all: bool, now: Millis) -> Table {
    use Side::{Cut, Left, Right};
    let mut heads = vec![
        ("INSTANCE", Left),
        ("HOST", Left),
        ("SEEN", Left),
        ("ID", Left),
        ("STATE", Left),
        ("HEALTH", Left),
        ("AGE", Right),
        ("CPU", Right),
        ("MEM", Right),
        ("REV", Right),
        ("IMAGE", Cut),
    ];
    if all {
        heads.push(("OWNER", Cut));
    }
    let mut table = Table::new(&heads);
    for (host, c) in found {
        table.row(container_cells(host, c, world, now));
    }
    table
}

fn container_cells(host: &HostView, c: &Container, world: &World, now: Millis) -> Vec<String> {
    let usage = host.usage.get(&c.id);
    let tag = match &c.owner {
        Owner::Longshore(tag) => Some(tag),
        _ => None,
    };
    let (owner, owner_name) = owner_of(c, world);
    let state = match (c.state, c.exit) {
        (State::Exited, Some(status)) => format!("exited ({status})"),
        _ if !host.is_live() && awaits_host(c, world) => SlotStatus::AwaitingHost.word().to_owned(),
        // What a silent host said last is not what is.
        (state, _) if !host.is_live() => format!("{}?", state.word()),
        (state, _) => state.word().to_owned(),
    };
    let none = || NONE.to_owned();
    vec![
        tag.filter(|_| owner == "ours")
            .map_or_else(|| c.name.to_string(), |t| format!("{}.{}", t.pool, t.slot)),
        host.config.id.to_string(),
        seen_cell(&host.seen, now),
        c.id.short().to_owned(),
        state,
        if health_word(c.health) == "none" { none() } else { health_word(c.health).to_owned() },
        age(now.since(c.created)),
        usage.and_then(|u| u.cpu_milli).map_or_else(none, |m| format!("{}.{:02}", m / 1000, m % 1000 / 10)),
        usage.map_or_else(none, |u| bytes(u.memory)),
        tag.map_or_else(none, |t| t.revision.to_string()),
        c.image.to_string(),
        owner_name.map_or_else(|| owner.to_owned(), |name| format!("{owner} {name}")),
    ]
}

/// True for a container that its pool's rule ties to a host that is lost.
fn awaits_host(c: &Container, world: &World) -> bool {
    let Owner::Longshore(tag) = &c.owner else { return false };
    let slots = world.pool(&tag.pool).map_or(&[][..], |view| view.slots.as_slice());
    slots.iter().any(|s| {
        s.slot == tag.slot && s.status == SlotStatus::AwaitingHost && s.container.as_ref() == Some(&c.id)
    })
}

/// How old the view of a host is, in a word.
pub fn seen_cell(seen: &Seen, now: Millis) -> String {
    match seen {
        Seen::Never { .. } => "never".to_owned(),
        Seen::At(_) => "live".to_owned(),
        Seen::Lost { last, .. } => format!("{} ago", age(now.since(*last))),
    }
}
