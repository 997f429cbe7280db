//! `set`: single things of a pool's specification, changed without its pool file.

use std::path::PathBuf;

use crate::base::fault::{Fault, Kind};
use crate::base::ids::PoolId;
use crate::cli::act::{self, Patience};
use crate::cli::args::place::SetArgs;
use crate::cli::cx::{Cx, Done, Stop};
use crate::cli::{DONE, Purpose};
use crate::model::command::Command;
use crate::model::pool::{ClusterSpec, HealthCheck, Pool, PoolSpec};
use crate::model::query::{Query, Reply, Request};
use crate::spec::{self, Sources, units, words};

/// How a value is put into a specification; an empty one takes the thing away. The error says what would be right.
type Put = fn(&mut PoolSpec, &str) -> Result<(), &'static str>;

/// Everything that can be set.
const KEYS: [(&str, Put); 18] = [
    ("image", |spec, text| {
        text.clone_into(&mut spec.image);
        if text.is_empty() { Err("an image: a pool cannot be without") } else { Ok(()) }
    }),
    ("memory", |spec, text| put(&mut spec.resources.memory_limit, text, units::size, units::SIZE_EXPECTED)),
    ("memory-reserved", |spec, text| {
        put(&mut spec.resources.memory_reserved, text, units::size, units::SIZE_EXPECTED)
    }),
    ("cpus", |spec, text| put(&mut spec.resources.cpu_limit_milli, text, units::cpus, units::CPUS_EXPECTED)),
    ("cpu-reserved", |spec, text| {
        put(&mut spec.resources.cpu_reserved_milli, text, units::cpus, units::CPUS_EXPECTED)
    }),
    ("pids", |spec, text| {
        put(&mut spec.resources.pids_limit, text, positive, "a number of processes, from 1")
    }),
    ("disk-reserved", |spec, text| {
        put(&mut spec.resources.disk_reserved, text, units::size, units::SIZE_EXPECTED)
    }),
    ("bandwidth-reserved", |spec, text| {
        put(&mut spec.resources.bandwidth_reserved, text, units::bandwidth, units::BANDWIDTH_EXPECTED)
    }),
    ("healthcheck", healthcheck),
    ("want", want),
    // As Compose calls it.
    ("replicas", want),
    ("min", |spec, text| put(&mut spec.limits.min, text, number, "a number of containers")),
    ("max", |spec, text| put(&mut spec.limits.max, text, number, "a number of containers")),
    ("step", |spec, text| put(&mut spec.limits.step, text, number, "a number of containers, from 1")),
    ("strategy", |spec, text| {
        spec.placement.strategy = if text.is_empty() {
            Default::default()
        } else {
            text.parse().map_err(|_| "spread, binpack or random")?
        };
        Ok(())
    }),
    ("max-per-host", |spec, text| put(&mut spec.placement.max_per_host, text, number, "a number, from 1")),
    ("on-host-loss", |spec, text| {
        let read = |t: &str| t.parse().ok();
        put(&mut spec.placement.on_loss.rule, text, read, "wait, elsewhere, same-class or never")
    }),
    ("protect", |spec, text| {
        spec.protect = text.parse().map_err(|_| "true or false")?;
        Ok(())
    }),
];

fn put<T>(
    into: &mut Option<T>,
    text: &str,
    read: impl Fn(&str) -> Option<T>,
    expected: &'static str,
) -> Result<(), &'static str> {
    *into = if text.is_empty() { None } else { Some(read(text).ok_or(expected)?) };
    Ok(())
}

fn want(spec: &mut PoolSpec, text: &str) -> Result<(), &'static str> {
    spec.replicas = text.parse().map_err(|_| "a number of containers")?;
    Ok(())
}

fn number(text: &str) -> Option<u32> {
    text.parse().ok()
}

fn positive(text: &str) -> Option<i64> {
    text.parse().ok().filter(|n| *n > 0)
}

/// `CMD-SHELL line`, `CMD program argument…`, `NONE`, or a line for the shell. Its times stay as they are.
fn healthcheck(spec: &mut PoolSpec, text: &str) -> Result<(), &'static str> {
    let expected = "CMD-SHELL followed by a line, CMD followed by a program, or NONE";
    let (word, rest) = text.split_once(' ').map_or((text, ""), |(word, rest)| (word, rest.trim()));
    let test = match word {
        "" => {
            spec.healthcheck = None;
            return Ok(());
        }
        "NONE" if rest.is_empty() => vec!["NONE".to_owned()],
        "CMD-SHELL" | "CMD" | "NONE" if rest.is_empty() || word == "NONE" => return Err(expected),
        "CMD" => {
            let program = words::split(rest).map_err(|_| expected)?;
            std::iter::once("CMD".to_owned()).chain(program).collect()
        }
        "CMD-SHELL" => vec!["CMD-SHELL".to_owned(), rest.to_owned()],
        _ => vec!["CMD-SHELL".to_owned(), text.to_owned()],
    };
    match &mut spec.healthcheck {
        Some(check) => check.test = test,
        none => {
            *none = Some(HealthCheck {
                test,
                interval_ms: None,
                timeout_ms: None,
                retries: None,
                start_period_ms: None,
            });
        }
    }
    Ok(())
}

/// `longshore set`
pub async fn run(cx: &mut Cx<'_>, args: &SetArgs) -> Done {
    let id: PoolId = args.pool.parse().map_err(|e| Stop::usage(&e))?;
    let patience = Patience::read(&args.wait)?;
    let changes: Vec<(Put, String)> = args.changes.iter().map(|word| read(word)).collect::<Result<_, _>>()?;
    let numbered = args.changes.iter().any(|word| word.starts_with("want=") || word.starts_with("replicas="));
    let engine = if args.plan { cx.open(Purpose::Look).await? } else { act::connect(cx).await? };
    let Reply::Pool(pool) = cx.ask(&engine, Request::Query(Query::Pool { pool: id.clone() })).await? else {
        return Err(Stop::misfit());
    };
    let Pool { spec: before, want, down, .. } = *pool;
    if down {
        return Err(Stop::said(format!("{id} is being taken away"))
            .hint("bring it up again with its pool file: `longshore up FILE`"));
    }
    let before = PoolSpec { replicas: want, ..before };
    let mut after = before.clone();
    for ((put, value), word) in changes.iter().zip(&args.changes) {
        put(&mut after, value).map_err(|expected| misfit(word, expected))?;
    }
    let source = checked(&id, &after)?;
    let changed = spec::diff(&before, &after);
    let whole = !before.same_containers(&after);
    if cx.json {
        let record = serde_json::json!({ "pool": id, "changed": changed, "renews_containers": whole });
        cx.print.json_line(&record)?;
    } else if changed.is_empty() {
        cx.print.line(&format!("= {id}: nothing changes"))?;
    } else {
        let renewed = if whole { "; its containers are renewed" } else { "" };
        cx.print.line(&format!("~ {id}: {}{renewed}", changed.join("; ")))?;
    }
    if args.plan || changed.is_empty() {
        return Ok(DONE);
    }
    let cluster = ClusterSpec { name: id.cluster.clone(), pools: vec![(id.pool.clone(), after)], source };
    let command = Command::Up { spec: Box::new(cluster), reset_scale: numbered };
    act::send(cx, &engine, vec![command], patience).await
}

fn misfit(word: &str, expected: &str) -> Stop {
    let fault = Fault::new(Kind::Invalid, format!("{word:?} does not fit"));
    Stop::usage(&fault.hint(format!("write {expected}")))
}

fn read(word: &str) -> Result<(Put, String), Stop> {
    let keys = || KEYS.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
    let Some((key, value)) = word.split_once('=') else {
        return Err(misfit(word, &format!("KEY=VALUE, the key one of {}", keys())));
    };
    let Some((_, put)) = KEYS.iter().find(|(name, _)| *name == key) else {
        let fault = Fault::new(Kind::Invalid, format!("{key:?} cannot be set"));
        return Err(Stop::usage(
            &fault.hint(format!("keys are {}; the rest is said by a pool file", keys())),
        ));
    };
    put(&mut PoolSpec::default(), value.trim()).map_err(|expected| misfit(word, expected))?;
    Ok((*put, value.trim().to_owned()))
}

/// Holds a specification against every rule of pool files, by writing it as one and reading that. Gives that text.
fn checked(id: &PoolId, spec: &PoolSpec) -> Result<String, Stop> {
    let pools = vec![(id.pool.clone(), spec.clone())];
    let text = spec::to_compose(&ClusterSpec { name: id.cluster.clone(), pools, source: String::new() });
    let nothing = |_: &std::path::Path| Ok(None);
    let sources = Sources { folder: PathBuf::from("/"), env: &|_| None, read: &nothing };
    let Err(faults) = spec::read_text("set", &text, &sources) else { return Ok(text) };
    let said = |f: &spec::PoolFileFault| match &f.expected {
        Some(expected) => format!("{}: {}; expected {expected}", f.path, f.what),
        None => format!("{}: {}", f.path, f.what),
    };
    let all: Vec<String> = faults.faults.iter().map(said).collect();
    let hint = faults.faults.iter().find_map(|f| f.hint.clone());
    Err(Stop::said(all.join("\n")).hint(hint.unwrap_or_else(|| "nothing was changed".to_owned())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn health_checks_are_read_as_pool_files_write_them() {
        let old = HealthCheck {
            test: vec!["NONE".into()],
            interval_ms: Some(5),
            timeout_ms: None,
            retries: None,
            start_period_ms: None,
        };
        for (text, test) in [
            ("CMD-SHELL wget -q 'http://x'", vec!["CMD-SHELL", "wget -q 'http://x'"]),
            ("CMD wget -q 'a b'", vec!["CMD", "wget", "-q", "a b"]),
            ("true || false", vec!["CMD-SHELL", "true || false"]),
            ("NONE", vec!["NONE"]),
        ] {
            let mut spec = PoolSpec { healthcheck: Some(old.clone()), ..PoolSpec::default() };
            healthcheck(&mut spec, text).unwrap();
            let check = spec.healthcheck.unwrap();
            assert_eq!(
                (check.test, check.interval_ms),
                (test.iter().map(|t| (*t).to_owned()).collect(), Some(5))
            );
        }
        for bad in ["CMD", "CMD-SHELL", "NONE of it", "CMD 'open"] {
            assert!(healthcheck(&mut PoolSpec::default(), bad).is_err(), "{bad}");
        }
        let mut spec = PoolSpec { healthcheck: Some(old), ..PoolSpec::default() };
        healthcheck(&mut spec, "").unwrap();
        assert_eq!(spec.healthcheck, None);
    }
}
