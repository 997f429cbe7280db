//! Commands about registries, rules and lines: whether they are accepted, and what they change. A pure decision; the core writes it.

use std::collections::BTreeSet;

use crate::base::ids::{RegistryName, RuleName, SiteName};
use crate::engine::intake::{Admission, Caller, Decided};
use crate::model::command::{Accepted, Command, Refusal, RefusalKind};
use crate::model::desired::{Desired, Write};
use crate::model::journal::{Draft, What};
use crate::model::registry::Registry;
use crate::model::replication::{Budget, LineLimits, On, Pattern, Rule};
use crate::plan::replicate::{schedule, topology};

/// More requests at a time than this are a slipped digit: a registry gains nothing from them.
const PARALLEL_MAX: u32 = 256;
/// A pattern longer than this is no pattern that a person wrote.
const PATTERN_MAX: usize = 1_024;
/// The shortest time after which a rule runs again by itself, in milliseconds.
const EVERY_MIN_MS: u64 = 10_000;

/// Decides about a command that records registries, rules or limits of lines; `None` when it is about something else.
pub fn decide(desired: &Desired, command: &Command, caller: &Caller) -> Option<Decided> {
    Some(match command {
        Command::PutRegistry(registry) => put_registry(desired, registry, caller),
        Command::RemoveRegistry(name) => remove_registry(desired, name, caller),
        Command::RenewLogin(name) => renew_login(desired, name, caller),
        Command::PutRule(rule) => put_rule(desired, rule, caller),
        Command::RemoveRule(name) => remove_rule(desired, name, caller),
        Command::PutLineLimits(limits) => put_limits(desired, limits, caller),
        _ => return None,
    })
}

fn done(caller: &Caller, mut writes: Vec<Write>, text: String) -> Decided {
    writes.push(Write::Journal(Draft::by(&caller.who, What::Accepted, text.clone())));
    Ok(Admission { writes, accepted: Accepted { op: None, text } })
}

fn nothing(text: String) -> Decided {
    Ok(Admission { writes: Vec::new(), accepted: Accepted { op: None, text } })
}

fn invalid(text: impl Into<String>, hint: impl Into<String>) -> Refusal {
    Refusal::new(RefusalKind::Invalid, text).hint(hint)
}

/// `HOST[:PORT]` or `[ADDRESS]:PORT`, with nothing before or behind it.
fn is_address(text: &str) -> bool {
    let port = |p: &str| p.parse::<u16>().is_ok_and(|p| p > 0);
    let word = |h: &str, more: &[u8]| {
        !h.is_empty() && h.bytes().all(|b| b.is_ascii_alphanumeric() || more.contains(&b))
    };
    if let Some((address, rest)) = text.strip_prefix('[').and_then(|t| t.split_once(']')) {
        return word(address, b":.") && (rest.is_empty() || rest.strip_prefix(':').is_some_and(port));
    }
    match text.split_once(':') {
        Some((host, p)) => word(host, b"-.") && port(p),
        None => word(text, b"-."),
    }
}

fn put_registry(desired: &Desired, new: &Registry, caller: &Caller) -> Decided {
    if desired.registries.get(&new.name) == Some(new) {
        return nothing(format!("registry {}: nothing to change", new.name));
    }
    for address in std::iter::once(&new.address).chain(&new.endpoints) {
        if !is_address(address) {
            return Err(invalid(
                format!("{address:?} is not the address of a registry"),
                "write it as HOST or HOST:PORT, without https:// before it and without a path",
            ));
        }
    }
    let distinct: BTreeSet<&String> = new.endpoints.iter().collect();
    if distinct.len() < new.endpoints.len() {
        return Err(invalid(
            format!("registry {} has the same endpoint twice", new.name),
            "name each instance behind its address once",
        ));
    }
    if new.parallel == 0 || new.parallel > PARALLEL_MAX {
        return Err(invalid(
            format!("{} requests at a time cannot be", new.parallel),
            format!("use 1 to {PARALLEL_MAX}; 8 is usual"),
        ));
    }
    if new.ca.as_ref().is_some_and(|path| !path.starts_with('/')) {
        return Err(invalid("the file of certificate authorities is not named in full", "begin it with /"));
    }
    let others = || desired.registries.values().filter(|r| r.name != new.name);
    if let Some(other) = others().find(|r| r.address == new.address) {
        let text = format!("{} is known already as registry {}", new.address, other.name);
        return Err(Refusal::new(RefusalKind::Changed, text)
            .hint("one registry has one name; further instances of it are its endpoints"));
    }
    check_sites(desired, new, others())?;
    let word = if desired.registries.contains_key(&new.name) { "changed" } else { "recorded" };
    let text = format!("registry {} {word}: {}", new.name, new.address);
    done(caller, vec![Write::PutRegistry(Box::new(new.clone()))], text)
}

/// Each site must be one that is known, and pull from one registry first.
fn check_sites<'a>(
    desired: &Desired,
    new: &Registry,
    others: impl Iterator<Item = &'a Registry>,
) -> Result<(), Refusal> {
    let named = desired.records.values().filter_map(|r| r.site.as_ref());
    let known: BTreeSet<&SiteName> = desired.sites.keys().chain(named).collect();
    if let Some(site) = new.sites.iter().find(|s| !known.contains(s)) {
        return Err(Refusal::new(RefusalKind::NotFound, format!("there is no site {site}"))
            .hint(format!("see `longshore sites`; record it with: longshore sites set {site}")));
    }
    for other in others {
        if let Some(site) = new.sites.iter().find(|s| other.sites.contains(s)) {
            let text = format!("the hosts of site {site} pull from registry {} first", other.name);
            return Err(Refusal::new(RefusalKind::Changed, text)
                .hint(format!("a site has one registry: take {site} from {} before", other.name)));
        }
    }
    Ok(())
}

fn unknown_registry(desired: &Desired, name: &RegistryName) -> Refusal {
    let names: Vec<&str> = desired.registries.keys().map(RegistryName::as_str).collect();
    let hint = match names.as_slice() {
        [] => "there are no registries yet: longshore registry add NAME ADDRESS".to_owned(),
        some if some.len() <= 8 => format!("registries: {}", some.join(", ")),
        _ => "see `longshore registry ls`".to_owned(),
    };
    Refusal::new(RefusalKind::NotFound, format!("there is no registry {name}")).hint(hint)
}

fn must_exist(desired: &Desired, name: &RegistryName) -> Result<(), Refusal> {
    if desired.registries.contains_key(name) { Ok(()) } else { Err(unknown_registry(desired, name)) }
}

fn remove_registry(desired: &Desired, name: &RegistryName, caller: &Caller) -> Decided {
    must_exist(desired, name)?;
    let names = |r: &&Rule| r.source == *name || r.targets.contains(name);
    let rules: Vec<&str> = desired.rules.values().filter(names).map(|r| r.name.as_str()).collect();
    if !rules.is_empty() {
        let text = format!("registry {name} is named by {}", list("rule", &rules));
        return Err(Refusal::new(RefusalKind::Limit, text)
            .hint(format!("remove it there first: longshore replicate rule rm {}", rules[0])));
    }
    let lines = desired.line_limits.keys().filter(|l| l.from == *name || l.to == *name);
    let mut writes: Vec<Write> = lines.map(|l| Write::DropLineLimits(l.clone())).collect();
    if desired.brought.contains_key(name) {
        writes.push(Write::DropBrought(name.clone()));
    }
    writes.push(Write::DropRegistry(name.clone()));
    done(caller, writes, format!("registry {name} removed: what it holds stays there"))
}

fn renew_login(desired: &Desired, name: &RegistryName, caller: &Caller) -> Decided {
    must_exist(desired, name)?;
    done(caller, Vec::new(), format!("the login for registry {name} has changed"))
}

fn list(noun: &str, names: &[&str]) -> String {
    match names {
        [one] => format!("{noun} {one}"),
        some if some.len() <= 4 => format!("{noun}s {}", some.join(", ")),
        many => format!("{} {noun}s", many.len()),
    }
}

fn put_rule(desired: &Desired, new: &Rule, caller: &Caller) -> Decided {
    if desired.rules.get(&new.name) == Some(new) {
        return nothing(format!("rule {}: nothing to change", new.name));
    }
    if new.targets.is_empty() {
        return Err(invalid(format!("rule {} has no target", new.name), "name at least one registry"));
    }
    std::iter::once(&new.source).chain(&new.targets).try_for_each(|name| must_exist(desired, name))?;
    let distinct: BTreeSet<&RegistryName> = new.targets.iter().collect();
    if distinct.len() < new.targets.len() || distinct.contains(&new.source) {
        return Err(invalid(
            format!("rule {} names a registry twice", new.name),
            "source and targets are different registries",
        ));
    }
    if new.two_way && (new.targets.len() > 1 || new.prefix.is_some()) {
        return Err(invalid(
            format!("rule {} cannot work both ways", new.name),
            "two masters are two registries with the same paths: one target, and no prefix",
        ));
    }
    check_filters(new)?;
    check_trigger(new)?;
    check_together(desired, new)?;
    let word = if desired.rules.contains_key(&new.name) { "changed" } else { "recorded" };
    let targets: Vec<&str> = new.targets.iter().map(RegistryName::as_str).collect();
    let sign = if new.two_way { '↔' } else { '→' };
    let text = format!("rule {} {word}: {} {sign} {}", new.name, new.source, targets.join(", "));
    done(caller, vec![Write::PutRule(Box::new(new.clone()))], text)
}

fn check_filters(rule: &Rule) -> Result<(), Refusal> {
    for filter in &rule.filters {
        let (Pattern::Glob(text) | Pattern::Regex(text) | Pattern::Semver(text)) = &filter.pattern;
        if text.is_empty() || text.len() > PATTERN_MAX {
            return Err(invalid(
                format!(
                    "rule {} has a filter without a pattern, or with one that is far too long",
                    rule.name
                ),
                format!("a pattern has 1 to {PATTERN_MAX} bytes; `**` fits everything"),
            ));
        }
        if matches!(filter.pattern, Pattern::Semver(_)) && filter.on == On::Repository {
            return Err(invalid(
                format!("rule {} compares versions with a repository", rule.name),
                "only tags are versions",
            ));
        }
    }
    Ok(())
}

fn check_trigger(rule: &Rule) -> Result<(), Refusal> {
    let trigger = &rule.trigger;
    if trigger.every_ms.is_some_and(|ms| ms < EVERY_MIN_MS) {
        return Err(invalid(
            format!("rule {} would run all the time", rule.name),
            format!(
                "let it run every {} s at most, or when the registry tells of a change",
                EVERY_MIN_MS / 1000
            ),
        ));
    }
    if trigger.cron.as_ref().is_some_and(|text| text.split_whitespace().count() != 5) {
        return Err(invalid(
            format!("the times of rule {} are not five fields", rule.name),
            "minute, hour, day of the month, month, day of the week: 30 2 * * 1-5",
        ));
    }
    schedule::check(trigger).map_err(|fault| {
        invalid(
            format!("rule {} would never run by itself: {fault}", rule.name),
            "minute, hour, day of the month, month, day of the week: 30 2 * * 1-5",
        )
    })
}

/// All rules together, with the new one among them: a fault that was there before is no matter of this change.
fn check_together(desired: &Desired, new: &Rule) -> Result<(), Refusal> {
    let registries: Vec<Registry> = desired.registries.values().cloned().collect();
    let mut rules: Vec<Rule> = desired.rules.values().cloned().collect();
    let before: BTreeSet<String> =
        topology::check(&rules, &registries).iter().map(ToString::to_string).collect();
    match rules.iter_mut().find(|r| r.name == new.name) {
        Some(old) => *old = new.clone(),
        None => rules.push(new.clone()),
    }
    let found = topology::check(&rules, &registries).into_iter().find(|f| !before.contains(&f.to_string()));
    found.map_or(Ok(()), |fault| {
        let hint = fault.hint.clone().unwrap_or_else(|| {
            format!("correct the filters of {}: docs/replication.md says what patterns are", new.name)
        });
        Err(Refusal::from(fault).hint(hint))
    })
}

fn remove_rule(desired: &Desired, name: &RuleName, caller: &Caller) -> Decided {
    if !desired.rules.contains_key(name) {
        return Err(Refusal::new(RefusalKind::NotFound, format!("there is no rule {name}"))
            .hint("see `longshore replicate rule ls`"));
    }
    let text = format!("rule {name} removed: what it has brought stays where it is");
    done(caller, vec![Write::DropRule(name.clone())], text)
}

fn put_limits(desired: &Desired, new: &LineLimits, caller: &Caller) -> Decided {
    let line = &new.line;
    must_exist(desired, &line.from)?;
    must_exist(desired, &line.to)?;
    if line.from == line.to {
        return Err(invalid(format!("{line} is no line"), "a line goes from a registry to another"));
    }
    if desired.line_limits.get(line) == Some(new) {
        return nothing(format!("{line}: nothing to change"));
    }
    if new.parallel == 0 || new.parallel > PARALLEL_MAX {
        let text = format!("{} blobs at a time cannot be", new.parallel);
        return Err(invalid(text, format!("use 1 to {PARALLEL_MAX}; to stop a line, pause its runs")));
    }
    check_budgets(&new.budgets)?;
    done(caller, vec![Write::PutLineLimits(new.clone())], format!("limits of {line} changed"))
}

fn check_budgets(budgets: &[Budget]) -> Result<(), Refusal> {
    let mut taken = [false; 24];
    for budget in budgets {
        let (from, until) = (budget.from, budget.until);
        if from > 23 || until == 0 || until > 24 {
            let text = format!("{from} to {until} are not hours of a day");
            return Err(invalid(text, "from 0 to 23, until 1 to 24; 22 to 6 reaches over midnight"));
        }
        if budget.bytes_per_s == Some(0) || budget.requests_per_hour == Some(0) {
            let text = format!("nothing could go from {from} to {until} o'clock");
            return Err(invalid(text, "to stop a line, pause its runs"));
        }
        let length = (usize::from(until) + 24 - usize::from(from) - 1) % 24 + 1;
        for hour in (usize::from(from)..).take(length) {
            if std::mem::replace(&mut taken[hour % 24], true) {
                let text = format!("two limits count at {} o'clock", hour % 24);
                return Err(invalid(text, "give each hour one limit"));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
