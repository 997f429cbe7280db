//! Commands about hosts and sites: whether they are accepted, and what they change. A pure decision; the core writes it.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::base::clock::Millis;
use crate::base::ids::{HostId, OpId, PoolId};
use crate::base::text::count;
use crate::engine::intake::{Admission, Caller, Decided, accepted, operation};
use crate::model::command::{Accepted, Command, HostEdit, NewHost, Refusal, RefusalKind};
use crate::model::container::{Container, State};
use crate::model::desired::{Desired, Write};
use crate::model::host::{Duty, HostConfig, HostRecord, HostSource, HostView};
use crate::model::instance::{Instance, Phase};
use crate::model::journal::{Draft, What};
use crate::model::moves::Move;
use crate::model::operation::{OpKind, Operation};
use crate::model::placement::LossRule;
use crate::model::site::Site;
use crate::plan::loss::is_tied;

/// What a decision about hosts is made from.
pub struct Known<'a> {
    /// What is wanted and recorded.
    pub desired: &'a Desired,
    /// What is seen.
    pub hosts: &'a BTreeMap<HostId, Arc<HostView>>,
    /// Hosts that come from the configuration and the environment.
    pub fixed: &'a [HostConfig],
    /// The present.
    pub now: Millis,
}

/// Decides about a command that changes hosts or sites; `None` when it is about something else.
pub fn decide(known: &Known<'_>, command: &Command, caller: &Caller) -> Option<Decided> {
    Some(match command {
        Command::AddHosts(hosts) => add(known, hosts, caller),
        Command::RemoveHost { host, force } => remove(known, host, *force, caller),
        Command::EditHosts { hosts, edit } => change(known, hosts, caller, "changed", |record| {
            apply(record, edit);
        }),
        Command::Cordon { hosts } => cordon(known, hosts, caller),
        Command::Drain { hosts, force } => drain(known, hosts, *force, caller),
        Command::Undrain { hosts } => undrain(known, hosts, caller),
        Command::GiveUp { hosts } => give_up(known, hosts, caller),
        Command::AcceptEngine { host } => accept_engine(known, host, caller),
        Command::PutSite(site) => put_site(known, site, caller),
        Command::RemoveSite(name) => remove_site(known, name, caller),
        Command::Rebalance { moves } => rebalance(known, moves, caller),
        _ => return None,
    })
}

fn done(caller: &Caller, mut writes: Vec<Write>, text: String, host: Option<&HostId>) -> Admission {
    let mut line = Draft::by(&caller.who, What::Accepted, text.clone());
    if let Some(host) = host {
        line = line.host(host);
    }
    writes.push(Write::Journal(line));
    Admission { writes, accepted: Accepted { op: None, text } }
}

fn nothing(text: String) -> Admission {
    Admission { writes: Vec::new(), accepted: Accepted { op: None, text } }
}

fn names(hosts: &[HostId]) -> String {
    match hosts {
        [one] => format!("host {one}"),
        some if some.len() <= 4 => {
            format!("hosts {}", some.iter().map(HostId::as_str).collect::<Vec<_>>().join(", "))
        }
        many => format!("{} hosts", many.len()),
    }
}

fn one(hosts: &[HostId]) -> Option<&HostId> {
    if let [one] = hosts { Some(one) } else { None }
}

/// Every named host must be known; the first that is not is named.
fn all_known(known: &Known<'_>, hosts: &[HostId]) -> Result<(), Refusal> {
    if hosts.is_empty() {
        return Err(Refusal::new(RefusalKind::Invalid, "no host is named").hint("name at least one host"));
    }
    match hosts.iter().find(|id| !known.hosts.contains_key(*id)) {
        Some(id) => Err(Refusal::new(RefusalKind::NotFound, format!("there is no host {id}"))
            .hint("see `longshore hosts`; nothing was changed")),
        None => Ok(()),
    }
}

fn record_of(known: &Known<'_>, host: &HostId) -> HostRecord {
    known.desired.records.get(host).map(|r| (**r).clone()).unwrap_or_default()
}

fn add(known: &Known<'_>, new: &[NewHost], caller: &Caller) -> Decided {
    let mut writes = Vec::new();
    for (at, NewHost { config, record }) in new.iter().enumerate() {
        let taken = |other: &HostConfig| other.id == config.id || other.address == config.address;
        let twin = new.iter().take(at).map(|n| &n.config).find(|c| taken(c));
        if let Some(other) = known.hosts.values().map(|h| &h.config).chain(twin).find(|c| taken(c)) {
            let text = if other.id == config.id {
                format!("there is a host {} already: {}", other.id, other.address)
            } else {
                format!("{} is known already as host {}", config.address, other.id)
            };
            return Err(Refusal::new(RefusalKind::Changed, text)
                .hint("one engine is one host under one name; remove the other first"));
        }
        writes.push(Write::PutHost(config.clone()));
        if *record != HostRecord::default() {
            writes.push(Write::PutRecord(config.id.clone(), Box::new(record.clone())));
        }
    }
    let text = match new {
        [] => return Ok(nothing("no hosts to add".into())),
        [one] => format!("host {} added: {}", one.config.id, one.config.address),
        many => format!("{} hosts added", many.len()),
    };
    Ok(done(caller, writes, text, new.first().filter(|_| new.len() == 1).map(|n| &n.config.id)))
}

fn remove(known: &Known<'_>, host: &HostId, force: bool, caller: &Caller) -> Decided {
    may_remove(known, host, force)?;
    Ok(done(caller, vec![Write::DropHost(host.clone())], format!("host {host} removed"), Some(host)))
}

fn may_remove(known: &Known<'_>, host: &HostId, force: bool) -> Result<(), Refusal> {
    if let Some(fixed) = known.fixed.iter().find(|h| h.id == *host) {
        let from = match fixed.source {
            HostSource::Environment => {
                "the environment (DOCKER_HOST, the Docker context or the default socket)"
            }
            _ => "the configuration file",
        };
        let text = format!("host {host} comes from {from}");
        return Err(Refusal::new(RefusalKind::Invalid, text).hint("take it out there"));
    }
    if !known.desired.hosts.contains_key(host) {
        return Err(Refusal::new(RefusalKind::NotFound, format!("there is no host {host}"))
            .hint("see `longshore hosts`"));
    }
    let ours = |view: &Arc<HostView>| {
        let held = |c: &&Container| !matches!(c.state, State::Exited | State::Dead);
        view.containers.iter().filter(held).filter(|c| c.owner.ours(&known.desired.install).is_some()).count()
    };
    let listed = known.hosts.get(host).map_or(0, ours);
    // What has ended for good is only a log: a drained host may have some.
    let stays = |i: &&Instance| i.host == *host && i.phase != Phase::Finished;
    let recorded = known.desired.instances.values().flat_map(BTreeMap::values).filter(stays).count();
    let held = listed.max(recorded) as u64;
    if held > 0 && !force {
        let text = format!("host {host} holds {} of ours", count(held, "container"));
        let data = match keeping_data(known.desired, host) {
            0 => String::new(),
            n if n == held => "; they keep data there, which the new ones will not have".to_owned(),
            1 => "; one of them keeps data there, which the new one will not have".to_owned(),
            n => format!("; {n} of them keep data there, which the new ones will not have"),
        };
        return Err(Refusal::new(RefusalKind::Limit, text).hint(format!(
            "empty it first: longshore hosts drain {host}; or forget it all the same with --force: its containers stay, new ones are made elsewhere{data}"
        )));
    }
    Ok(())
}

/// How many containers on a host would begin elsewhere without the data that their pools keep there.
fn keeping_data(desired: &Desired, host: &HostId) -> u64 {
    let keeps = |id: &PoolId| {
        let pool = desired.pools.get(id);
        pool.is_some_and(|p| p.spec.keeps_data() && p.spec.loss_rule() != LossRule::Never)
    };
    let slots = desired.instances.iter().filter(|(id, _)| keeps(id)).flat_map(|(_, slots)| slots.values());
    slots.filter(|i| i.host == *host && i.phase != Phase::Finished).count() as u64
}

/// Changes the records of some hosts, those that differ.
fn change(
    known: &Known<'_>,
    hosts: &[HostId],
    caller: &Caller,
    word: &str,
    edit: impl Fn(&mut HostRecord),
) -> Decided {
    all_known(known, hosts)?;
    let mut writes = Vec::new();
    for host in hosts {
        let before = record_of(known, host);
        let mut after = before.clone();
        edit(&mut after);
        if after != before {
            writes.push(Write::PutRecord(host.clone(), Box::new(after)));
        }
    }
    if writes.is_empty() {
        return Ok(nothing(format!("{}: nothing to change", names(hosts))));
    }
    Ok(done(caller, writes, format!("{} {word}", names(hosts)), one(hosts)))
}

fn apply(record: &mut HostRecord, edit: &HostEdit) {
    let HostEdit { site, cluster, labels, class, in_service, capacity } = edit;
    if let Some(site) = site {
        record.site.clone_from(site);
    }
    if let Some(cluster) = cluster {
        record.cluster.clone_from(cluster);
    }
    if let Some(class) = class {
        record.class.clone_from(class);
    }
    if let Some(since) = in_service {
        record.in_service = *since;
    }
    if let Some(capacity) = capacity {
        record.capacity = *capacity;
    }
    for (key, value) in labels {
        match value {
            Some(value) => drop(record.labels.insert(key.clone(), value.clone())),
            None => drop(record.labels.remove(key)),
        }
    }
}

fn cordon(known: &Known<'_>, hosts: &[HostId], caller: &Caller) -> Decided {
    change(known, hosts, caller, "cordoned: new containers go elsewhere", |record| {
        if matches!(record.duty, Duty::Active | Duty::Draining { .. }) {
            record.duty = Duty::Cordoned { by: caller.who.clone(), at: known.now };
        }
    })
}

fn drain(known: &Known<'_>, hosts: &[HostId], force: bool, caller: &Caller) -> Decided {
    all_known(known, hosts)?;
    let begins = |host: &&HostId| match record_of(known, host).duty {
        Duty::Active | Duty::Cordoned { .. } => true,
        Duty::Draining { force: before, .. } => force && !before,
        Duty::Drained { .. } => false,
    };
    let fresh: Vec<HostId> = hosts.iter().filter(begins).cloned().collect();
    if fresh.is_empty() {
        return Ok(nothing(format!("{}: drained, or being drained, already", names(hosts))));
    }
    let kind = OpKind::Drain { hosts: fresh.clone() };
    let mut op = operation(known.desired, kind, Vec::new(), caller, known.now);
    let records = known.desired.instances.values().flat_map(BTreeMap::values);
    let goes = records.filter(|i| fresh.contains(&i.host) && i.phase != Phase::Finished).count();
    op.progress.target = u32::try_from(goes).unwrap_or(u32::MAX);
    let duty = draining(caller, known.now, op.id, force);
    let writes = fresh.iter().map(|host| put_duty(known, host, duty.clone()));
    let text = format!("drain {}", names(&fresh));
    Ok(accepted(op, text, caller, writes.collect()))
}

fn draining(caller: &Caller, at: Millis, op: OpId, force: bool) -> Duty {
    Duty::Draining { by: caller.who.clone(), at, op, force }
}

fn put_duty(known: &Known<'_>, host: &HostId, duty: Duty) -> Write {
    Write::PutRecord(host.clone(), Box::new(HostRecord { duty, ..record_of(known, host) }))
}

fn undrain(known: &Known<'_>, hosts: &[HostId], caller: &Caller) -> Decided {
    change(known, hosts, caller, "takes containers again", |record| record.duty = Duty::Active)
}

fn give_up(known: &Known<'_>, hosts: &[HostId], caller: &Caller) -> Decided {
    all_known(known, hosts)?;
    if let Some(alive) = hosts.iter().find(|id| known.hosts.get(*id).is_some_and(|h| h.is_live())) {
        let text = format!("host {alive} answers: it is not lost");
        return Err(Refusal::new(RefusalKind::Invalid, text)
            .hint(format!("to empty it: longshore hosts drain {alive}")));
    }
    change(known, hosts, caller, "given up: what they held is replaced now", |record| {
        record.given_up = Some(known.now);
    })
}

fn accept_engine(known: &Known<'_>, host: &HostId, caller: &Caller) -> Decided {
    all_known(known, std::slice::from_ref(host))?;
    let answering = known.hosts.get(host).map(|h| h.facts.engine_id.raw().to_owned()).unwrap_or_default();
    if answering.is_empty() || known.desired.identities.get(host) == Some(&answering) {
        let text = format!("host {host}: no other engine answers there");
        return Err(Refusal::new(RefusalKind::Invalid, text).hint("see `longshore hosts`: nothing to accept"));
    }
    if let Some((twin, _)) = known.desired.identities.iter().find(|(_, theirs)| **theirs == answering) {
        let text = format!("the engine that answers at {host} is host {twin} already");
        return Err(Refusal::new(RefusalKind::Changed, text).hint("one engine is one host: remove one name"));
    }
    let text = format!("host {host} is another engine from now on; what the old one held is made anew");
    Ok(done(caller, vec![Write::PutIdentity(host.clone(), answering)], text, Some(host)))
}

fn put_site(known: &Known<'_>, site: &Site, caller: &Caller) -> Decided {
    if known.desired.sites.get(&site.name) == Some(site) {
        return Ok(nothing(format!("site {}: nothing to change", site.name)));
    }
    Ok(done(caller, vec![Write::PutSite(site.clone())], format!("site {} recorded", site.name), None))
}

fn remove_site(known: &Known<'_>, name: &crate::base::ids::SiteName, caller: &Caller) -> Decided {
    let here = known.desired.records.values().filter(|r| r.site.as_ref() == Some(name)).count();
    if here > 0 {
        let text = format!("site {name} has {}", count(here as u64, "host"));
        return Err(Refusal::new(RefusalKind::Limit, text)
            .hint("give them another site first: longshore hosts label HOST --site OTHER"));
    }
    if !known.desired.sites.contains_key(name) {
        return Err(Refusal::new(RefusalKind::NotFound, format!("there is no site {name}"))
            .hint("see `longshore sites`"));
    }
    Ok(done(caller, vec![Write::DropSite(name.clone())], format!("site {name} removed"), None))
}

fn rebalance(known: &Known<'_>, moves: &[Move], caller: &Caller) -> Decided {
    if moves.is_empty() {
        return Ok(nothing("no moves to make".into()));
    }
    let open = |o: &&Operation| matches!(o.kind, OpKind::Rebalance { .. }) && !o.status.is_over();
    if let Some(other) = known.desired.operations.values().find(open) {
        let why = RefusalKind::Busy { op: other.id, by: other.by.clone() };
        return Err(Refusal::new(why, format!("{} rebalances already ({})", other.by, other.id))
            .hint("wait until that has ended; nothing was changed"));
    }
    let mut wished = BTreeMap::new();
    for one in moves {
        wished.insert((one.pool.clone(), one.slot), may_move(known, one)?);
    }
    let count = u32::try_from(wished.len()).unwrap_or(u32::MAX);
    let mut op = operation(known.desired, OpKind::Rebalance { moves: count }, Vec::new(), caller, known.now);
    op.progress.target = count;
    let text = format!("rebalance: {}", crate::base::text::count(u64::from(count), "move"));
    Ok(accepted(op, text, caller, wished.into_values().map(Write::PutInstance).collect()))
}

/// The record with its wish to move; refused when the slot is not as it was when the move was worked out.
fn may_move(known: &Known<'_>, one: &Move) -> Result<Instance, Refusal> {
    let name = format!("{}.{}", one.pool, one.slot);
    let refuse = |kind, why: &str| {
        Err(Refusal::new(kind, format!("{name} {why}"))
            .hint("nothing was changed; ask for a new proposal: longshore rebalance"))
    };
    let pool = known.desired.pools.get(&one.pool).filter(|p| p.wants(one.slot));
    let record = known.desired.instances.get(&one.pool).and_then(|s| s.get(&one.slot));
    let (Some(pool), Some(record)) = (pool, record) else {
        return refuse(RefusalKind::NotFound, "is not there any more");
    };
    if record.generation != one.generation || record.host != one.from || record.moved_from.is_some() {
        return refuse(RefusalKind::Changed, "has changed since the moves were worked out");
    }
    if record.phase != Phase::Started {
        return refuse(RefusalKind::Changed, "does not run");
    }
    if !known.hosts.contains_key(&one.to) {
        return refuse(RefusalKind::NotFound, &format!("cannot move: there is no host {}", one.to));
    }
    if is_tied(pool) {
        return refuse(RefusalKind::Invalid, "is tied to its host by its pool's rule");
    }
    Ok(Instance { move_to: Some(one.to.clone()), ..record.clone() })
}
