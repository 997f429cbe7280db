//! `hosts`: the list, and adding, removing and importing.

use crate::base::ids::HostId;
use crate::base::text::bytes;
use crate::cli::args::HostVerb;
use crate::cli::cx::{Cx, Done, Stop, listing_status};
use crate::cli::{DONE, FAILED, Purpose, act, list};
use crate::model::command::{Command, NewHost};
use crate::model::host::{self, HostConfig, HostSource};
use crate::view::json::HostRecord;
use crate::view::table::{Side, Table};

/// `longshore hosts`
pub async fn run(cx: &mut Cx<'_>, verb: Option<HostVerb>) -> Done {
    match verb {
        None => show(cx).await,
        Some(HostVerb::Add { name, address, tls_dir }) => {
            let id: HostId = name.parse().map_err(|e| Stop::usage(&e))?;
            let host = HostConfig { id, address, tls_dir, source: HostSource::Added };
            send(cx, Command::AddHosts(vec![NewHost { config: host, record: host::HostRecord::default() }]))
                .await
        }
        Some(HostVerb::Remove { name, force }) => {
            let host: HostId = name.parse().map_err(|e| Stop::usage(&e))?;
            send(cx, Command::RemoveHost { host, force }).await
        }
        Some(HostVerb::Import) => import(cx).await,
    }
}

async fn send(cx: &mut Cx<'_>, command: Command) -> Done {
    let engine = act::connect(cx).await?;
    act::acknowledge(cx, &engine, command).await?;
    Ok(DONE)
}

async fn import(cx: &mut Cx<'_>) -> Done {
    let found = cx.backend.contexts()?;
    if found.is_empty() {
        cx.print.note("the Docker CLI has no contexts to import");
        return Ok(DONE);
    }
    let engine = act::connect(cx).await?;
    let known = cx.settled(&engine).await?;
    let mut status = DONE;
    for host in found {
        if known.hosts.values().any(|h| h.config.id == host.id || h.config.address == host.address) {
            cx.print.note(&format!("{} ({}) is known already", host.id, host.address));
            continue;
        }
        match act::acknowledge(
            cx,
            &engine,
            Command::AddHosts(vec![NewHost { config: host, record: host::HostRecord::default() }]),
        )
        .await
        {
            Ok(_) => {}
            Err(stop @ Stop::BrokenPipe) => return Err(stop),
            Err(stop) => {
                cx.report(stop);
                status = FAILED;
            }
        }
    }
    Ok(status)
}

async fn show(cx: &mut Cx<'_>) -> Done {
    let engine = cx.open(Purpose::Look).await?;
    let world = cx.settled(&engine).await?;
    let records: Vec<HostRecord> = world.hosts.values().map(|host| HostRecord::of(host, &world)).collect();
    if cx.json {
        cx.print.json(&records)?;
    } else if !records.is_empty() {
        let mut table = Table::new(&[
            ("HOST", Side::Left),
            ("STATE", Side::Left),
            ("SEEN", Side::Left),
            ("OURS", Side::Right),
            ("ALL", Side::Right),
            ("CPUS", Side::Right),
            ("MEM", Side::Right),
            ("ENGINE", Side::Left),
            ("ADDRESS", Side::Cut),
            ("WHY", Side::Cut),
        ]);
        let now = cx.now();
        let number = |n: Option<usize>| n.map_or_else(|| "?".to_owned(), |n| n.to_string());
        for (record, host) in records.into_iter().zip(world.hosts.values()) {
            table.row([
                record.name,
                record.state.to_owned(),
                list::seen_cell(&host.seen, now),
                number(record.ours),
                number(record.containers),
                record.cpus.map_or_else(|| "?".to_owned(), |n| n.to_string()),
                record.memory.map_or_else(|| "?".to_owned(), bytes),
                record.version.unwrap_or_else(|| "?".to_owned()),
                record.address,
                record.why.unwrap_or_default(),
            ]);
        }
        list::print_table(cx, &table)?;
    }
    Ok(listing_status(&world))
}
