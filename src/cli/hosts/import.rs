//! `hosts import`: an inventory or the Docker CLI's contexts against what is known: what is new, and what changed.

use std::collections::BTreeSet;
use std::io::Read;
use std::path::Path;

use serde::Serialize;

use crate::base::stamp::rfc3339;
use crate::cli::args::hosts::HostImport;
use crate::cli::cx::{Cx, Done, Stop};
use crate::cli::hosts::label::together;
use crate::cli::{DONE, Purpose, act};
use crate::model::command::{Command, HostEdit, NewHost};
use crate::model::host::{Capacity, HostRecord};
use crate::model::world::World;
use crate::spec::inventory::{self, Format, GROUP_LABEL, INVENTORY_MAX};

/// What an import does to one host.
#[derive(Clone, Debug, PartialEq, Serialize)]
struct Line {
    host: String,
    address: String,
    /// `new`, `changed`, `unchanged` or `conflict`.
    what: &'static str,
    changed: Vec<String>,
    why: Option<String>,
}

impl Line {
    fn words(&self) -> String {
        match self.what {
            "new" => format!("+ {}: new, {}", self.host, self.address),
            "changed" => format!("~ {}: changed {}", self.host, self.changed.join("; ")),
            "unchanged" => format!("= {}: unchanged", self.host),
            _ => format!("! {}: {}", self.host, self.why.as_deref().unwrap_or("conflict")),
        }
    }
}

/// `longshore hosts import`
pub async fn run(cx: &mut Cx<'_>, args: &HostImport) -> Done {
    let (found, groups) = match &args.file {
        Some(file) => from_file(cx, file, args.format.as_deref())?,
        None => {
            let contexts = cx.backend.contexts()?;
            let known = |config| NewHost { config, record: HostRecord::default() };
            (contexts.into_iter().map(known).collect(), false)
        }
    };
    if found.is_empty() {
        cx.print.note("the Docker CLI has no contexts to import");
        return Ok(DONE);
    }
    let engine = if args.dry_run { cx.open(Purpose::Look).await? } else { act::connect(cx).await? };
    let world = cx.present(&engine);
    let plan = compare(&world, found, groups);
    say(cx, &plan.lines, args.dry_run)?;
    let conflicts = plan.lines.iter().filter(|line| line.what == "conflict").count();
    if conflicts > 0 && args.file.is_some() {
        return Err(Stop::said(format!("{conflicts} of the hosts are known otherwise: nothing was changed"))
            .hint("one engine is one host under one name: mend the file, or `longshore hosts remove` the other first"));
    }
    let commands = plan.commands();
    if args.dry_run || commands.is_empty() {
        return Ok(DONE);
    }
    act::send(cx, &engine, commands, act::Patience::Default).await
}

fn say(cx: &mut Cx<'_>, lines: &[Line], dry_run: bool) -> Result<(), Stop> {
    match (cx.json, dry_run) {
        (true, true) => cx.print.json(&lines),
        (true, false) => lines.iter().try_for_each(|line| cx.print.json_line(line)),
        (false, _) => lines.iter().try_for_each(|line| cx.print.line(&line.words())),
    }
}

fn from_file(cx: &mut Cx<'_>, path: &Path, format: Option<&str>) -> Result<(Vec<NewHost>, bool), Stop> {
    let format: Option<Format> = format.map(str::parse).transpose().map_err(|e| Stop::usage(&e))?;
    let name = path.display().to_string();
    let cannot = |why: String| {
        Stop::said(format!("{name}: {why}")).hint("give a file in CSV, or an Ansible inventory")
    };
    let file = std::fs::File::open(path).map_err(|e| cannot(format!("cannot be read: {e}")))?;
    let mut bytes = Vec::new();
    let most = u64::try_from(INVENTORY_MAX).unwrap_or(u64::MAX);
    file.take(most + 1).read_to_end(&mut bytes).map_err(|e| cannot(format!("cannot be read: {e}")))?;
    let text = String::from_utf8(bytes).map_err(|_| cannot("is not UTF-8 text".to_owned()))?;
    let format = format.unwrap_or_else(|| Format::guess(&name, &text));
    let found = inventory::read(&name, &text, format).map_err(|faults| {
        let hint = format!("it was read as {format}; --format csv, ini or yaml says otherwise");
        Stop::said(faults.to_string()).hint(hint)
    })?;
    for note in &found.notes {
        cx.print.note(&note.to_string());
    }
    Ok((found.hosts, found.groups))
}

/// What an import does.
struct Plan {
    lines: Vec<Line>,
    new: Vec<NewHost>,
    edits: Vec<(crate::base::ids::HostId, HostEdit)>,
}

impl Plan {
    /// New hosts all together, changes by what they change.
    fn commands(self) -> Vec<Command> {
        let add = (!self.new.is_empty()).then_some(Command::AddHosts(self.new));
        add.into_iter().chain(together(self.edits.into_iter())).collect()
    }
}

fn compare(world: &World, found: Vec<NewHost>, groups: bool) -> Plan {
    let mut plan = Plan { lines: Vec::new(), new: Vec::new(), edits: Vec::new() };
    for host in found {
        let (id, address) = (&host.config.id, &host.config.address);
        let mut line = Line {
            host: id.to_string(),
            address: address.clone(),
            what: "unchanged",
            changed: Vec::new(),
            why: None,
        };
        let twin = world.hosts.values().find(|h| h.config.address == *address && h.config.id != *id);
        match world.hosts.get(id) {
            Some(known) if known.config.address != *address => {
                line.what = "conflict";
                line.why = Some(format!("known already at {}", known.config.address));
            }
            Some(known) if host.config.tls_dir.is_some() && host.config.tls_dir != known.config.tls_dir => {
                line.what = "conflict";
                line.why = Some("known already with another TLS directory".to_owned());
            }
            Some(known) => {
                let (edit, changed) = difference(&known.record, &host.record, groups);
                if !changed.is_empty() {
                    line.what = "changed";
                    line.changed = changed;
                    plan.edits.push((id.clone(), edit));
                }
            }
            None => match twin {
                Some(twin) => {
                    line.what = "conflict";
                    line.why = Some(format!("{address} is known already as host {}", twin.config.id));
                }
                None => {
                    line.what = "new";
                    plan.new.push(host);
                }
            },
        }
        plan.lines.push(line);
    }
    plan
}

/// What the file says otherwise than the record. What it does not say stays; only groups are the file's alone.
fn difference(before: &HostRecord, file: &HostRecord, groups: bool) -> (HostEdit, Vec<String>) {
    let (mut edit, mut changed) = (HostEdit::default(), Vec::new());
    let mut tell = |what: &str, old: Option<String>, new: Option<String>| {
        let show = |value: Option<String>| value.unwrap_or_else(|| "none".to_owned());
        changed.push(format!("{what} {} -> {}", show(old), show(new)));
    };
    let word = |value: &Option<crate::base::ids::SiteName>| value.as_ref().map(ToString::to_string);
    if file.site.is_some() && file.site != before.site {
        tell("site", word(&before.site), word(&file.site));
        edit.site = Some(file.site.clone());
    }
    if file.cluster.is_some() && file.cluster != before.cluster {
        let word = |value: &Option<crate::base::ids::ClusterName>| value.as_ref().map(ToString::to_string);
        tell("cluster", word(&before.cluster), word(&file.cluster));
        edit.cluster = Some(file.cluster.clone());
    }
    if file.class.is_some() && file.class != before.class {
        tell("class", before.class.clone(), file.class.clone());
        edit.class = Some(file.class.clone());
    }
    if file.in_service.is_some() && file.in_service != before.in_service {
        tell("in service", before.in_service.map(rfc3339), file.in_service.map(rfc3339));
        edit.in_service = Some(file.in_service);
    }
    let (old, new) = (before.capacity, file.capacity);
    let merged = Capacity {
        disk: new.disk.or(old.disk),
        bandwidth: new.bandwidth.or(old.bandwidth),
        pids: new.pids.or(old.pids),
        cpu_percent: new.cpu_percent.or(old.cpu_percent),
    };
    if merged != old {
        let number = |n: Option<u64>| n.map(|n| n.to_string());
        for (what, old, new) in [
            ("disk", old.disk, merged.disk),
            ("bandwidth", old.bandwidth, merged.bandwidth),
            ("pids", old.pids, merged.pids),
            ("cpu percent", old.cpu_percent.map(u64::from), merged.cpu_percent.map(u64::from)),
        ] {
            if old != new {
                tell(what, number(old), number(new));
            }
        }
        edit.capacity = Some(merged);
    }
    let gone = before.labels.keys().filter(|key| groups && key.starts_with(GROUP_LABEL));
    let keys: BTreeSet<&String> = file.labels.keys().chain(gone).collect();
    for key in keys {
        let (old, new) = (before.labels.get(key), file.labels.get(key));
        if old != new {
            tell(&format!("label {key}"), old.cloned(), new.cloned());
            edit.labels.insert(key.clone(), new.cloned());
        }
    }
    (edit, changed)
}
