//! `hosts`: the list, and the commands that change it.

mod import;
mod label;
mod stated;

use crate::base::clock::Millis;
use crate::base::fault::{Fault, Kind};
use crate::base::ids::{HostId, SiteName};
use crate::base::text::{age, bytes, count};
use crate::cli::args::hosts::{HostAdd, HostDrain, HostVerb, HostsOf};
use crate::cli::cx::{Cx, Done, Engine, Stop, listing_status};
use crate::cli::{Purpose, act, list as lists};
use crate::model::command::{Command, NewHost};
use crate::model::host::{Duty, HostConfig, HostSource, HostState, HostView};
use crate::model::world::World;
use crate::view::json::fleet::HostRecord;
use crate::view::table::{Side, Table};

/// `longshore hosts VERB`. A site before the verb would be the list's: it is refused rather than passed over.
pub async fn run(cx: &mut Cx<'_>, verb: HostVerb, site: Option<&str>) -> Done {
    if site.is_some() {
        let fault = Fault::new(Kind::Invalid, "--site stands before the command, and is the list's there");
        return Err(Stop::usage(&fault.hint("write it behind: longshore hosts COMMAND --site SITE")));
    }
    match verb {
        HostVerb::Add(args) => add(cx, args).await,
        HostVerb::Import(args) => import::run(cx, &args).await,
        HostVerb::Label(args) => label::run(cx, &args).await,
        HostVerb::Cordon(of) => each(cx, &of, |hosts| Command::Cordon { hosts }).await,
        HostVerb::Undrain(of) => each(cx, &of, |hosts| Command::Undrain { hosts }).await,
        HostVerb::GiveUp(of) => each(cx, &of, |hosts| Command::GiveUp { hosts }).await,
        HostVerb::Drain(args) => drain(cx, &args).await,
        HostVerb::Accept { name } => {
            let host = host_id(&name)?;
            act::run(cx, vec![Command::AcceptEngine { host }], act::Patience::Default).await
        }
        HostVerb::Remove { name, force } => {
            let host = host_id(&name)?;
            act::run(cx, vec![Command::RemoveHost { host, force }], act::Patience::Default).await
        }
    }
}

fn host_id(name: &str) -> Result<HostId, Stop> {
    name.parse().map_err(|e| Stop::usage(&e))
}

async fn add(cx: &mut Cx<'_>, args: HostAdd) -> Done {
    let id = host_id(&args.name)?;
    let labels = args.labels.iter().map(|word| stated::label(word)).collect::<Result<_, _>>()?;
    let record = stated::Stated::read(&args.record)?.record(labels);
    let config = HostConfig { id, address: args.address, tls_dir: args.tls_dir, source: HostSource::Added };
    act::run(cx, vec![Command::AddHosts(vec![NewHost { config, record }])], act::Patience::Default).await
}

async fn drain(cx: &mut Cx<'_>, args: &HostDrain) -> Done {
    let patience = act::Patience::read(&args.wait)?;
    let named = Named::read(&args.of.names, args.of.site.as_deref())?;
    let engine = act::connect(cx).await?;
    let hosts = named.hosts(cx, &engine).await?;
    act::send(cx, &engine, vec![Command::Drain { hosts, force: args.force }], patience).await
}

async fn each(cx: &mut Cx<'_>, of: &HostsOf, command: impl Fn(Vec<HostId>) -> Command) -> Done {
    let named = Named::read(&of.names, of.site.as_deref())?;
    let engine = act::connect(cx).await?;
    let hosts = named.hosts(cx, &engine).await?;
    act::send(cx, &engine, vec![command(hosts)], act::Patience::Default).await
}

/// Hosts as they were named.
enum Named {
    /// By their names.
    Hosts(Vec<HostId>),
    /// All of a site.
    Site(SiteName),
}

impl Named {
    fn read(names: &[String], site: Option<&str>) -> Result<Named, Stop> {
        if let Some(site) = site {
            return site.parse().map(Named::Site).map_err(|e| Stop::usage(&e));
        }
        let hosts: Vec<HostId> = names.iter().map(|name| host_id(name)).collect::<Result<_, _>>()?;
        if hosts.is_empty() {
            let fault = Fault::new(Kind::Invalid, "no host is named");
            return Err(Stop::usage(&fault.hint("name hosts, or all hosts of a site")));
        }
        Ok(Named::Hosts(hosts))
    }

    async fn hosts(self, cx: &Cx<'_>, engine: &Engine) -> Result<Vec<HostId>, Stop> {
        match self {
            Named::Hosts(hosts) => Ok(hosts),
            Named::Site(site) => cx.find(engine, |world| of_site(world, &site)).await,
        }
    }
}

/// The hosts of a site.
fn of_site(world: &World, site: &SiteName) -> Result<Vec<HostId>, Stop> {
    let here = |host: &HostView| host.record.site.as_ref() == Some(site);
    let hosts: Vec<HostId> = world.hosts.values().filter(|h| here(h)).map(|h| h.config.id.clone()).collect();
    if hosts.is_empty() {
        return Err(Stop::said(format!("no host belongs to a site {site}"))
            .hint("`longshore sites` lists the sites, `longshore hosts label HOST --site SITE` gives a host its site"));
    }
    Ok(hosts)
}

/// What a person should look at first.
fn rank(state: HostState) -> u8 {
    match state {
        HostState::Lost => 0,
        HostState::Joining => 1,
        HostState::Draining => 2,
        HostState::Cordoned => 3,
        HostState::Drained => 4,
        HostState::Ready => 5,
    }
}

/// `longshore hosts`: problems first, then by name.
pub async fn list(cx: &mut Cx<'_>, site: Option<&str>) -> Done {
    let site: Option<SiteName> = site.map(str::parse).transpose().map_err(|e| Stop::usage(&e))?;
    let engine = cx.open(Purpose::Look).await?;
    let world = cx.settled(&engine).await?;
    if let Some(site) = &site {
        of_site(&world, site)?;
    }
    let wanted = |host: &&HostView| site.is_none() || host.record.site == site;
    let mut hosts: Vec<&HostView> = world.hosts.values().map(AsRef::as_ref).filter(wanted).collect();
    hosts.sort_by_key(|host| (rank(host.state), host.config.id.clone()));
    let records: Vec<HostRecord> = hosts.iter().map(|host| HostRecord::of(host, &world)).collect();
    if cx.json {
        cx.print.json(&records)?;
    } else if !records.is_empty() {
        let table = table(records, &hosts, cx.now());
        lists::print_table(cx, &table)?;
    }
    if let Some(loss) = &world.mass_loss {
        let sites: Vec<String> = loss.sites.iter().map(ToString::to_string).collect();
        let of = if sites.is_empty() { String::new() } else { format!(" (sites {})", sites.join(", ")) };
        cx.print.note(&format!(
            "{} of {} hosts were lost together{of}: {} of theirs are not replaced until you say so, with `longshore hosts give-up`",
            loss.lost,
            loss.of,
            count(loss.containers.into(), "container")
        ));
    }
    Ok(listing_status(&world))
}

fn table(records: Vec<HostRecord>, hosts: &[&HostView], now: Millis) -> Table {
    use Side::{Cut, Left, Right};
    let mut table = Table::new(&[
        ("HOST", Left),
        ("STATE", Left),
        ("SEEN", Left),
        ("SITE", Left),
        ("CLASS", Left),
        ("OURS", Right),
        ("ALL", Right),
        ("CPUS", Right),
        ("MEM", Right),
        ("RESERVED", Right),
        ("ENGINE", Left),
        ("ADDRESS", Cut),
        ("WHY", Cut),
    ]);
    let number = |n: Option<usize>| n.map_or_else(|| "?".to_owned(), |n| n.to_string());
    for (record, host) in records.into_iter().zip(hosts) {
        table.row([
            record.name,
            record.lifecycle.to_owned(),
            lists::seen_cell(&host.seen, now),
            record.site.unwrap_or_else(|| "-".to_owned()),
            record.class.unwrap_or_else(|| "?".to_owned()),
            number(record.ours),
            number(record.containers),
            record.cpus.map_or_else(|| "?".to_owned(), |n| n.to_string()),
            record.memory.map_or_else(|| "?".to_owned(), bytes),
            reserved(host),
            record.version.unwrap_or_else(|| "?".to_owned()),
            record.address,
            record.why.or_else(|| duty(&host.record.duty, now)).unwrap_or_default(),
        ]);
    }
    table
}

/// How much of the scarcest resource is reserved.
fn reserved(host: &HostView) -> String {
    let (taken, has) = (&host.taken.need, host.capacity());
    let shares = [
        ("cpu", taken.cpu_milli, has.cpu_milli),
        ("mem", taken.memory, has.memory),
        ("pids", taken.pids, has.pids),
        ("disk", taken.disk, has.disk),
        ("net", taken.bandwidth, has.bandwidth),
    ];
    let known = shares.iter().filter(|(_, taken, has)| *taken > 0 && *has > 0);
    let share =
        |(name, taken, has): &(&'static str, u64, u64)| (u128::from(*taken) * 100 / u128::from(*has), *name);
    known.map(share).max().map_or_else(|| "-".to_owned(), |(percent, name)| format!("{name} {percent}%"))
}

/// Who took a host out of service, and when.
fn duty(duty: &Duty, now: Millis) -> Option<String> {
    match duty {
        Duty::Active => None,
        Duty::Cordoned { by, at } | Duty::Draining { by, at, .. } | Duty::Drained { by, at } => {
            Some(format!("by {by}, {} ago", age(now.since(*at))))
        }
    }
}
