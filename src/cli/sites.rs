//! `sites`: the list, and what the hosts of a site share.

use crate::base::fault::{Fault, Kind};
use crate::base::ids::SiteName;
use crate::base::text::age;
use crate::cli::args::hosts::{SiteSet, SiteVerb};
use crate::cli::cx::{Cx, Done, Stop, listing_status};
use crate::cli::{Purpose, act, list as lists, registry};
use crate::model::command::Command;
use crate::model::site::{Site, SiteLimits};
use crate::view::json::fleet::SiteRecord;
use crate::view::table::{Side, Table};

/// `longshore sites`
pub async fn run(cx: &mut Cx<'_>, verb: Option<SiteVerb>) -> Done {
    match verb {
        None => list(cx).await,
        Some(SiteVerb::Set(args)) => set(cx, args).await,
        Some(SiteVerb::Remove { name }) => {
            let site: SiteName = name.parse().map_err(|e| Stop::usage(&e))?;
            act::run(cx, vec![Command::RemoveSite(site)], act::Patience::Default).await
        }
    }
}

/// A limit that may be taken away by an empty text: `None` leaves it as it is.
fn limit(option: &str, text: Option<&str>) -> Result<Option<Option<u32>>, Stop> {
    let Some(text) = text.map(str::trim) else { return Ok(None) };
    if text.is_empty() {
        return Ok(Some(None));
    }
    text.parse().ok().filter(|n| *n > 0).map(|n| Some(Some(n))).ok_or_else(|| {
        let fault = Fault::new(Kind::Invalid, format!("{option}: {text:?} is not a limit"));
        Stop::usage(&fault.hint("write a number from 1, or '' for no limit"))
    })
}

async fn set(cx: &mut Cx<'_>, args: SiteSet) -> Done {
    let name: SiteName = args.name.parse().map_err(|e| Stop::usage(&e))?;
    let containers = limit("--max-containers", args.max_containers.as_deref())?;
    let pulls = limit("--max-pulls", args.max_pulls.as_deref())?;
    let some = |text: &str| (!text.is_empty()).then(|| registry::address(text)).transpose();
    let registry = args.registry.as_deref().map(str::trim).map(some).transpose()?;
    let engine = act::connect(cx).await?;
    let world = cx.present(&engine);
    let empty = || Site { name: name.clone(), registry: None, limits: SiteLimits::default() };
    let before = world.sites.get(&name).map_or_else(empty, |view| view.site.clone());
    let images = args.allow_images.map(|all| all.into_iter().filter(|p| !p.is_empty()).collect());
    let site = Site {
        name,
        registry: registry.unwrap_or(before.registry),
        limits: SiteLimits {
            containers: containers.unwrap_or(before.limits.containers),
            pulls: pulls.unwrap_or(before.limits.pulls),
            images: images.unwrap_or(before.limits.images),
        },
    };
    act::send(cx, &engine, vec![Command::PutSite(site)], act::Patience::Default).await
}

async fn list(cx: &mut Cx<'_>) -> Done {
    let engine = cx.open(Purpose::Look).await?;
    let world = cx.settled(&engine).await?;
    let records: Vec<SiteRecord> = world.sites.values().map(SiteRecord::of).collect();
    if cx.json {
        cx.print.json(&records)?;
        return Ok(listing_status(&world));
    }
    if records.is_empty() {
        cx.print.note("no site is known: `longshore hosts label HOST --site SITE` gives a host its site");
        return Ok(listing_status(&world));
    }
    use Side::{Cut, Left, Right};
    let heads = [
        ("SITE", Left),
        ("STATE", Left),
        ("HOSTS", Right),
        ("SILENT", Right),
        ("MAX CONTAINERS", Right),
        ("MAX PULLS", Right),
        ("REGISTRY", Cut),
        ("IMAGES", Cut),
    ];
    let mut table = Table::new(&heads);
    let now = cx.now();
    let number = |n: Option<u32>| n.map_or_else(|| "-".to_owned(), |n| n.to_string());
    for (record, view) in records.into_iter().zip(world.sites.values()) {
        let state = match view.lost {
            Some(at) => format!("lost {}", age(now.since(at))),
            None if record.silent > 0 => "part silent".to_owned(),
            None => "ok".to_owned(),
        };
        table.row([
            record.site,
            state,
            record.hosts.to_string(),
            record.silent.to_string(),
            number(record.max_containers),
            number(record.max_pulls),
            record.registry.unwrap_or_else(|| "-".to_owned()),
            if record.allowed_images.is_empty() {
                "all".to_owned()
            } else {
                record.allowed_images.join(", ")
            },
        ]);
    }
    lists::print_table(cx, &table)?;
    Ok(listing_status(&world))
}
