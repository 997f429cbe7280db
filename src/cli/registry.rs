//! `registry`: the list, and what is recorded of one.

use crate::base::fault::{Fault, Kind};
use crate::base::ids::{RegistryName, SiteName};
use crate::base::text::{age, safe};
use crate::cli::args::registry::{Kind as KindArg, RegistryAdd, RegistryVerb, YesNo};
use crate::cli::cx::{Cx, Done, Stop, listing_status};
use crate::cli::{Purpose, act, harbor_access, list as lists, login};
use crate::model::command::Command;
use crate::model::host::Seen;
use crate::model::registry::{EndpointView, Registry, RegistryKind, RegistryView};
use crate::view::json::registries::RegistryRecord;
use crate::view::table::{Side, Table};
use crate::view::{harbor, registries};

/// `longshore registry`
pub async fn run(cx: &mut Cx<'_>, verb: Option<RegistryVerb>) -> Done {
    match verb {
        None | Some(RegistryVerb::Ls) => list(cx).await,
        Some(RegistryVerb::Show { name }) => show(cx, &name).await,
        Some(RegistryVerb::AccessPlan(args)) => harbor_access::run(cx, args).await,
        Some(RegistryVerb::Add(args)) => add(cx, *args).await,
        Some(RegistryVerb::AuthConfig(args)) => login::config(cx, args).await,
        Some(RegistryVerb::Login(args)) => login::log_in(cx, args).await,
        Some(RegistryVerb::Logout { name }) => login::log_out(cx, &name).await,
        Some(RegistryVerb::Rm { name }) => {
            let name: RegistryName = name.parse().map_err(|e| Stop::usage(&e))?;
            act::run(cx, vec![Command::RemoveRegistry(name)], act::Patience::Default).await
        }
    }
}

/// `HOST[:PORT]` as image references begin.
pub fn address(text: &str) -> Result<String, Stop> {
    let (host, port) = text.split_once(':').unwrap_or((text, "443"));
    let name = !host.is_empty() && host.bytes().all(|b| b.is_ascii_alphanumeric() || b"-.".contains(&b));
    if name && !host.starts_with(['-', '.']) && port.parse::<u16>().is_ok_and(|p| p > 0) {
        return Ok(text.to_owned());
    }
    let fault = Fault::new(Kind::Invalid, format!("{text:?} is not the address of a registry"));
    Err(Stop::usage(&fault.hint("write HOST or HOST:PORT, as image references begin")))
}

/// A text that an empty one takes away; `None` leaves it as it is.
fn kept(given: Option<String>, before: Option<String>) -> Option<String> {
    given.map_or(before, |text| Some(text.trim().to_owned()).filter(|t| !t.is_empty()))
}

/// A list that a single empty text takes away; `None` leaves it as it is.
pub fn kept_list<T>(
    given: Option<Vec<String>>,
    before: Vec<T>,
    read: impl Fn(&str) -> Result<T, Stop>,
) -> Result<Vec<T>, Stop> {
    let Some(given) = given else { return Ok(before) };
    given.iter().map(|text| text.trim()).filter(|text| !text.is_empty()).map(read).collect()
}

async fn add(cx: &mut Cx<'_>, args: RegistryAdd) -> Done {
    let name: RegistryName = args.name.parse().map_err(|e| Stop::usage(&e))?;
    let given = args.address.as_deref().map(address).transpose()?;
    let engine = act::connect(cx).await?;
    let world = cx.present(&engine);
    let before = match (world.registries.get(&name), &given) {
        (Some(view), _) => view.registry.clone(),
        (None, Some(address)) => Registry::new(name.clone(), address.clone()),
        (None, None) => {
            let fault = Fault::new(Kind::Invalid, format!("{name} is not known yet: say its address"));
            return Err(Stop::usage(&fault.hint(format!("longshore registry add {name} HOST[:PORT]"))));
        }
    };
    let site = |text: &str| text.parse::<SiteName>().map_err(|e| Stop::usage(&e));
    let registry = Registry {
        name,
        kind: args.kind.map_or(before.kind, |kind| match kind {
            KindArg::Distribution => RegistryKind::Distribution,
            KindArg::Harbor => RegistryKind::Harbor,
        }),
        address: given.unwrap_or(before.address),
        endpoints: kept_list(args.endpoints, before.endpoints, address)?,
        sites: kept_list(args.sites, before.sites, site)?,
        plain_http: args.plain_http.map_or(before.plain_http, |y| y == YesNo::Yes),
        ca: kept(args.ca, before.ca),
        storage: kept(args.storage, before.storage),
        parallel: args.parallel.unwrap_or(before.parallel),
    };
    act::send(cx, &engine, vec![Command::PutRegistry(Box::new(registry))], act::Patience::Default).await
}

/// How an endpoint stands, in words.
fn state(endpoint: &EndpointView, now: crate::base::clock::Millis) -> String {
    match &endpoint.seen {
        Seen::At(_) => match endpoint.took_ms {
            Some(ms) => format!("ok, {ms} ms"),
            None => "ok".to_owned(),
        },
        Seen::Lost { last, why, .. } => format!("silent {}: {}", age(now.since(*last)), safe(why)),
        Seen::Never { why: Some(why) } => format!("never seen: {}", safe(why)),
        Seen::Never { why: None } => "not asked yet".to_owned(),
    }
}

async fn list(cx: &mut Cx<'_>) -> Done {
    let engine = cx.open(Purpose::Look).await?;
    let world = cx.settled(&engine).await?;
    let views: Vec<&RegistryView> = world.registries.values().collect();
    if cx.json {
        let records: Vec<RegistryRecord> = views.iter().map(|view| RegistryRecord::of(view)).collect();
        cx.print.json(&records)?;
        return Ok(listing_status(&world));
    }
    if views.is_empty() {
        cx.print.note("no registry is known: `longshore registry add NAME HOST[:PORT]`");
        return Ok(listing_status(&world));
    }
    use Side::{Cut, Left};
    let heads = [
        ("REGISTRY", Left),
        ("KIND", Left),
        ("ADDRESS", Left),
        ("SITES", Cut),
        ("STORAGE", Cut),
        ("VERSION", Left),
        ("STATE", Cut),
    ];
    let mut table = Table::new(&heads);
    let now = cx.now();
    for view in views {
        let registry = &view.registry;
        let sites: Vec<&str> = registry.sites.iter().map(SiteName::as_str).collect();
        let dash = |text: String| if text.is_empty() { "-".to_owned() } else { text };
        let version = registries::version(view).unwrap_or_default();
        let storage = registries::storage(view).unwrap_or_default();
        let first = view.endpoints.first().map(|e| state(e, now)).unwrap_or_default();
        table.row([
            registry.name.to_string(),
            registries::kind(registry.kind).to_owned(),
            registry.address.clone(),
            dash(sites.join(", ")),
            dash(storage),
            dash(version),
            if registry.endpoints.is_empty() { first } else { String::new() },
        ]);
        for endpoint in view.endpoints.iter().filter(|_| !registry.endpoints.is_empty()) {
            let mark =
                if view.active == view.endpoints.iter().position(|e| e == endpoint) { "→ " } else { "  " };
            let empty = String::new;
            let address = format!("{mark}{}", endpoint.address);
            table.row([empty(), empty(), address, empty(), empty(), empty(), state(endpoint, now)]);
        }
    }
    lists::print_table(cx, &table)?;
    for view in world.registries.values() {
        for note in view.harbor.iter().flat_map(|told| harbor::notes(told)) {
            cx.print.note(&format!("registry {}: {note}", view.registry.name));
        }
    }
    Ok(listing_status(&world))
}

/// A view of it that is not just its record: something has been heard of each of its endpoints, and of its Harbor.
fn is_asked(view: &RegistryView) -> bool {
    let answered = view.endpoints.iter().all(|e| e.seen != Seen::Never { why: None });
    answered && view.harbor.as_ref().is_none_or(|told| told.asked.is_some())
}

async fn show(cx: &mut Cx<'_>, name: &str) -> Done {
    let name: RegistryName = name.parse().map_err(|e| Stop::usage(&e))?;
    let engine = cx.open(Purpose::Look).await?;
    let gone = || {
        Stop::said(format!("there is no registry {name}"))
            .hint("`longshore registry ls` lists those that are known")
    };
    // An engine that has only just begun has not asked it yet.
    let world = cx.world_when(&engine, |world| world.registries.get(&name).is_none_or(is_asked)).await?;
    let view = world.registries.get(&name).ok_or_else(gone)?;
    if cx.json {
        cx.print.json(&RegistryRecord::of(view))?;
    } else {
        let now = cx.now();
        registries::described(&world, &name, now).iter().try_for_each(|line| cx.print.line(line))?;
    }
    // Nobody answers: what is shown is what was, not what is.
    Ok(u8::from(view.silent_since().is_some()))
}
