//! `images`: which images pools use and where they are; what a registry holds.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::{StreamExt, stream};
use serde::Serialize;

use crate::base::ids::{HostId, RegistryName};
use crate::base::text::safe;
use crate::cli::args::image::{ImagesVerb, ListArgs};
use crate::cli::cx::{Cx, Done, Engine, Stop, listing_status};
use crate::cli::{DONE, Purpose, list as lists};
use crate::model::image::ImageName;
use crate::model::oci::Repository;
use crate::model::query::{PageAsk, Query, Reply, Request};
use crate::model::registry::{Page, RepositoryRow, TagRow};
use crate::model::world::World;
use crate::view::json::registries::{RepositoryRecord, TagRecord};
use crate::view::table::{Side, Table};
use crate::view::{registries, units};

/// Questions to registries that are asked at a time.
const AT_ONCE: usize = 8;
/// Rows that are asked for at a time.
const PAGE: u32 = 100;

/// `longshore images`
pub async fn run(cx: &mut Cx<'_>, verb: Option<ImagesVerb>) -> Done {
    match verb {
        None => used(cx).await,
        Some(ImagesVerb::Ls(args)) => list(cx, &args).await,
    }
}

/// Where one image is.
#[derive(Clone, Debug, PartialEq, Serialize)]
struct At {
    registry: String,
    /// None when it is not there, or when that is not known: then `why` says so.
    digest: Option<String>,
    size: Option<u64>,
    why: Option<String>,
}

/// An image that pools use.
#[derive(Clone, Debug, PartialEq, Serialize)]
struct Used {
    image: String,
    pools: Vec<String>,
    /// Hosts that the pools are on.
    hosts: u32,
    /// Of these, those that have it; none while not all of them have told.
    hold: Option<u32>,
    at: Vec<At>,
}

/// The images that pools use, each with its pools and the hosts that these are on.
fn in_use(world: &World) -> Vec<Used> {
    let mut by_image: BTreeMap<&str, (Vec<String>, Vec<&HostId>)> = BTreeMap::new();
    for view in world.pools.values() {
        let of = by_image.entry(view.pool.spec.image.as_str()).or_default();
        of.0.push(view.pool.id.to_string());
        of.1.extend(view.slots.iter().filter_map(|slot| slot.host.as_ref()));
    }
    let row = |(image, (pools, mut hosts)): (&str, (Vec<String>, Vec<&HostId>))| {
        hosts.sort();
        hosts.dedup();
        let held: Option<Vec<bool>> = hosts.iter().map(|host| holds(world, host, image)).collect();
        let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        let hold = held.map(|held| number(held.iter().filter(|has| **has).count()));
        Used { image: image.to_owned(), pools, hosts: number(hosts.len()), hold, at: Vec::new() }
    };
    by_image.into_iter().map(row).collect()
}

/// Whether a host has an image, under its own name or that of its site's registry.
fn holds(world: &World, host: &HostId, image: &str) -> Option<bool> {
    let view = world.hosts.get(host)?;
    let images = view.images.as_ref()?;
    let site = view.record.site.as_ref().and_then(|name| world.sites.get(name));
    let own = site.and_then(|site| site.site.own_reference(image));
    let is_there = |name: &str| images.contains_key(name) || images.contains_key(&format!("{name}:latest"));
    Some(is_there(image) || own.is_some_and(|own| is_there(&own)))
}

/// Where an image is by each registry that could have it.
async fn look(engine: &Engine, registry: RegistryName, image: ImageName) -> At {
    let tag = image.tag.as_ref().map(ToString::to_string).unwrap_or_default();
    let ask = PageAsk { filter: format!("={tag}"), after: None, limit: 1 };
    let query = Query::Browse { registry: registry.clone(), repository: Some(image.repository.clone()), ask };
    let mut at = At { registry: registry.to_string(), digest: None, size: None, why: None };
    match engine.handle.query(query).await {
        Reply::Tags(page) => {
            if let Some(row) = page.items.into_iter().next() {
                at.digest = row.digest.map(|d| d.to_string());
                at.size = row.size;
                at.why = row.why.map(|why| why.safe().into_owned());
            }
        }
        Reply::Failed(fault) => at.why = Some(fault.to_string()),
        Reply::Refused(refusal) => at.why = Some(refusal.text),
        _ => at.why = Some("the engine gave an answer that does not fit the question".to_owned()),
    }
    at
}

async fn used(cx: &mut Cx<'_>) -> Done {
    let engine = cx.open(Purpose::Look).await?;
    let world: Arc<World> = cx.settled(&engine).await?;
    let mut rows = in_use(&world);
    let names: Vec<RegistryName> = world.registries.keys().cloned().collect();
    for row in &mut rows {
        // By its digest an image is the same everywhere: only tags are looked up.
        let Some(image) = row.image.parse::<ImageName>().ok().filter(|image| image.tag.is_some()) else {
            continue;
        };
        let asked: Vec<_> = names.iter().map(|name| look(&engine, name.clone(), image.clone())).collect();
        row.at = stream::iter(asked).buffered(AT_ONCE).collect().await;
    }
    if cx.json {
        cx.print.json(&rows)?;
        return Ok(listing_status(&world));
    }
    if rows.is_empty() {
        cx.print.note("no pool uses an image: bring some up with `longshore up FILE`");
        return Ok(listing_status(&world));
    }
    use Side::{Cut, Left};
    let heads =
        [("IMAGE", Cut), ("POOLS", Cut), ("ON HOSTS", Left), ("REGISTRY", Left), ("DIGEST", Left), ("", Cut)];
    let mut table = Table::new(&heads);
    for row in &rows {
        let hold = row.hold.map_or_else(|| "?".to_owned(), |n| n.to_string());
        let mut first = [row.image.clone(), row.pools.join(", "), format!("{hold} of {}", row.hosts)];
        if row.at.is_empty() {
            let why = if names.is_empty() { "no registry is known" } else { "" };
            let [image, pools, hosts] = first.clone();
            table.row([image, pools, hosts, "-".to_owned(), "-".to_owned(), why.to_owned()]);
        }
        for at in &row.at {
            let digest = at.digest.as_deref().and_then(|d| d.get(7..19)).unwrap_or("-").to_owned();
            let note = at.why.clone().unwrap_or_else(|| match &at.digest {
                Some(_) => String::new(),
                None => "not there".to_owned(),
            });
            let [image, pools, hosts] = std::mem::take(&mut first);
            table.row([image, pools, hosts, at.registry.clone(), digest, note]);
        }
    }
    lists::print_table(cx, &table)?;
    Ok(listing_status(&world))
}

/// Rows of a list in parts, until there are enough.
async fn parts<T>(
    cx: &mut Cx<'_>,
    engine: &Engine,
    args: &ListArgs,
    of: Option<&Repository>,
    pick: impl Fn(Reply) -> Option<Page<T>>,
) -> Result<(Vec<T>, Option<String>), Stop> {
    let registry: RegistryName = args.registry.parse().map_err(|e| Stop::usage(&e))?;
    let (mut rows, mut after) = (Vec::new(), args.after.clone());
    loop {
        let left = args.limit.saturating_sub(u32::try_from(rows.len()).unwrap_or(u32::MAX));
        let filter = args.filter.clone().unwrap_or_default();
        let ask = PageAsk { filter, after: after.clone(), limit: left.min(PAGE) };
        let query = Query::Browse { registry: registry.clone(), repository: of.cloned(), ask };
        let page = pick(cx.ask(engine, Request::Query(query)).await?).ok_or_else(Stop::misfit)?;
        rows.extend(page.items);
        after = page.next;
        if after.is_none() || rows.len() >= usize::try_from(args.limit).unwrap_or(usize::MAX) {
            return Ok((rows, after));
        }
    }
}

async fn list(cx: &mut Cx<'_>, args: &ListArgs) -> Done {
    let of = args.repository.as_deref().map(str::parse::<Repository>).transpose();
    let of = of.map_err(|e| Stop::usage(&e))?;
    let engine = cx.open(Purpose::Look).await?;
    let next = match &of {
        None => {
            let pick = |reply| match reply {
                Reply::Repositories(page) => Some(page),
                _ => None,
            };
            let (rows, next) = parts(cx, &engine, args, None, pick).await?;
            print_repositories(cx, &rows)?;
            next
        }
        Some(of) => {
            let pick = |reply| match reply {
                Reply::Tags(page) => Some(page),
                _ => None,
            };
            let (rows, next) = parts(cx, &engine, args, Some(of), pick).await?;
            print_tags(cx, &rows)?;
            next
        }
    };
    if let Some(next) = next {
        let of = args.repository.as_ref().map(|of| format!(" {of}")).unwrap_or_default();
        let only = args.filter.as_ref().map(|f| format!(" --filter '{}'", safe(f))).unwrap_or_default();
        let place = safe(&next).into_owned();
        cx.print.note(&format!(
            "there are more: longshore images ls {}{of}{only} --after '{place}'",
            args.registry
        ));
    }
    Ok(DONE)
}

fn print_repositories(cx: &mut Cx<'_>, rows: &[RepositoryRow]) -> Result<(), Stop> {
    if cx.json {
        return cx.print.json(&rows.iter().map(RepositoryRecord::of).collect::<Vec<_>>());
    }
    if rows.is_empty() {
        cx.print.note("no repository");
        return Ok(());
    }
    let mut table = Table::new(&[("REPOSITORY", Side::Left), ("TAGS", Side::Right), ("USED BY", Side::Cut)]);
    for row in rows {
        let tags = row.tags.map_or("-".to_owned(), |n| n.to_string());
        table.row([row.repository.to_string(), tags, registries::pools(&row.used_by)]);
    }
    lists::print_table(cx, &table)
}

fn print_tags(cx: &mut Cx<'_>, rows: &[TagRow]) -> Result<(), Stop> {
    if cx.json {
        return cx.print.json(&rows.iter().map(TagRecord::of).collect::<Vec<_>>());
    }
    if rows.is_empty() {
        cx.print.note("no tag");
        return Ok(());
    }
    use Side::{Cut, Left, Right};
    let heads = [
        ("TAG", Left),
        ("DIGEST", Left),
        ("SIZE", Right),
        ("AGE", Right),
        ("PLATFORMS", Cut),
        ("USED BY", Cut),
        ("", Cut),
    ];
    let (mut table, now) = (Table::new(&heads), cx.now());
    let dash = || "-".to_owned();
    for row in rows {
        table.row([
            row.tag.to_string(),
            row.digest.as_ref().map_or_else(dash, |d| d.short().to_owned()),
            row.size.map_or_else(dash, units::size),
            row.created.map_or_else(dash, |at| crate::base::text::age(now.since(at))),
            if row.platforms.is_empty() { dash() } else { registries::platforms(row) },
            registries::pools(&row.used_by),
            row.why.as_ref().map_or_else(String::new, |why| why.safe().into_owned()),
        ]);
    }
    lists::print_table(cx, &table)
}
