//! `longshore doctor`: looks at everything that is needed, and says what to do about what is not as it should be.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::timeout;

use crate::adapters::tokens::keys::certificate_path;
use crate::adapters::tokens::tls::{ends, usable};
use crate::base::clock::Millis;
use crate::base::fault::Fault;
use crate::base::stamp::rfc3339;
use crate::base::text::{age, count};
use crate::cli::{Backend, Check, Purpose, Session, Verdict};
use crate::engine::core::Connector;
use crate::engine::lock;
use crate::model::host::{HostConfig, HostFacts};
use crate::wire::config::Config;
use crate::wire::{Wire, connect, env};

/// An engine must answer within this.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// Clocks of this machine and an engine's may differ by so many milliseconds.
const CLOCK_TOLERANCE_MS: u64 = 5_000;
/// Smallest terminal on which the console shows more than a sentence.
const SMALLEST: (u16, u16) = (40, 10);

/// Looks at everything.
pub async fn examine(wire: &Wire, session: Session) -> Vec<Check> {
    let mut checks = vec![configuration(), terminal(), locale()];
    match Wire::state_dir(&session) {
        Ok(dir) => checks.extend(state(wire, &dir).await),
        Err(fault) => checks.push(failed("state directory", &fault)),
    }
    let config = Config::load().unwrap_or_else(|_| Config::default());
    checks.extend(token_service(wire, &session, &config).await);
    checks.extend(certificates(wire, &session, &config));
    match wire.hosts(&session, &config) {
        Ok(hosts) => {
            let known = added_hosts(wire, &session).await;
            let connector = connect::Docker::new(&config, wire.home.as_deref(), wire.clock.clone());
            let all: Vec<HostConfig> = hosts.into_iter().chain(known).collect();
            checks.extend(
                join_all(all.iter().map(|host| engine(wire, &connector, host))).await.into_iter().flatten(),
            );
        }
        Err(fault) => checks.push(failed("engine", &fault)),
    }
    checks
}

fn check(name: &str, verdict: Verdict, finding: impl Into<String>, advice: Option<&str>) -> Check {
    Check { name: name.to_owned(), verdict, finding: finding.into(), advice: advice.map(str::to_owned) }
}

fn failed(name: &str, fault: &Fault) -> Check {
    check(name, Verdict::Fail, fault.to_string(), fault.hint.as_deref())
}

fn configuration() -> Check {
    let shown = Config::path().map_or_else(|| "none".to_owned(), |p| p.display().to_string());
    match Config::load() {
        Ok(config) if config.hosts.is_empty() => {
            check("configuration", Verdict::Ok, format!("{shown}: no hosts in it"), None)
        }
        Ok(config) => {
            let hosts = crate::base::text::count(config.hosts.len() as u64, "host");
            check("configuration", Verdict::Ok, format!("{shown}: {hosts}"), None)
        }
        Err(fault) => failed("configuration", &fault),
    }
}

fn terminal() -> Check {
    let name = "terminal";
    if !std::io::stdout().is_terminal() {
        let advice = Some("the console needs a terminal; commands work without one");
        return check(name, Verdict::Warn, "standard output is not a terminal", advice);
    }
    let term = env("TERM").unwrap_or_default();
    if term.is_empty() || term == "dumb" {
        return check(
            name,
            Verdict::Fail,
            format!("TERM is {term:?}"),
            Some("set TERM to your terminal's name, such as xterm-256color"),
        );
    }
    let (columns, rows) = crossterm_size();
    if columns < SMALLEST.0 || rows < SMALLEST.1 {
        let advice = format!(
            "make it at least {} columns by {} rows; 120 by 40 shows everything at once",
            SMALLEST.0, SMALLEST.1
        );
        return check(name, Verdict::Warn, format!("{term}, {columns}x{rows}"), Some(&advice));
    }
    let colours = match env("COLORTERM").as_deref() {
        Some("truecolor" | "24bit") => "16 million colours",
        _ if term.contains("256color") => "256 colours",
        _ => "16 colours",
    };
    check(name, Verdict::Ok, format!("{term}, {columns}x{rows}, {colours}"), None)
}

fn crossterm_size() -> (u16, u16) {
    terminal_size::terminal_size().map_or((0, 0), |(columns, rows)| (columns.0, rows.0))
}

fn locale() -> Check {
    let value =
        ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().find_map(|name| env(name).filter(|v| !v.is_empty()));
    match value {
        Some(value) if value.to_lowercase().replace('-', "").contains("utf8") => {
            check("locale", Verdict::Ok, value, None)
        }
        other => check(
            "locale",
            Verdict::Warn,
            format!("{} is not UTF-8", other.unwrap_or_else(|| "the locale".into())),
            Some("frames and bars are drawn in ASCII; set LANG to a UTF-8 locale (C.UTF-8) for better ones"),
        ),
    }
}

async fn state(wire: &Wire, dir: &Path) -> Vec<Check> {
    let name = "state directory";
    if let Err(fault) = crate::store::open::prepare_dir(dir) {
        return vec![failed(name, &fault)];
    }
    let mut checks = vec![disk(dir)];
    match lock::try_take(dir, &lock::me()) {
        Err(fault) => checks.push(failed("engine lock", &fault)),
        Ok(Ok(held)) => {
            drop(held);
            let text = "no engine is running on this state directory: containers run on, nobody repairs them";
            let advice = Some("start the console, or `longshore engine` under your service manager");
            checks.push(check("engine lock", Verdict::Warn, text, advice));
        }
        Ok(Err(holder)) => {
            let who = holder
                .map_or_else(|| "another process".to_owned(), |h| format!("{} (pid {})", h.user, h.pid));
            let answers =
                timeout(ANSWER_WITHIN, crate::engine::link::client::connect(&lock::socket(dir), true)).await;
            checks.push(match answers {
                Ok(Ok(_)) => {
                    check("engine lock", Verdict::Ok, format!("the engine of {who} is running"), None)
                }
                _ => check(
                    "engine lock",
                    Verdict::Fail,
                    format!("held by {who}, whose engine does not answer"),
                    Some("look at that process: stopped (kill -CONT)? another version? end it if need be"),
                ),
            });
        }
    }
    checks.push(match crate::store::Store::open_read_only(dir, wire.clock.clone()).await {
        Ok(None) => check("state", Verdict::Ok, "empty: nothing has been brought up yet", None),
        Ok(Some((_, desired))) => {
            let (pools, hosts) = (desired.pools.len() as u64, desired.hosts.len() as u64);
            let count = crate::base::text::count;
            let text = format!(
                "install {}, {}, {} added",
                desired.install,
                count(pools, "pool"),
                count(hosts, "host")
            );
            check("state", Verdict::Ok, text, None)
        }
        Err(fault) => failed("state", &fault),
    });
    checks
}

/// Free space below this, in MiB, is named: the state needs little, but SQLite needs some to write at all.
const FREE_MIB: u64 = 64;

fn disk(dir: &Path) -> Check {
    let shown = dir.display();
    let Ok(stat) = nix::sys::statvfs::statvfs(dir) else {
        return check(
            "state directory",
            Verdict::Warn,
            format!("{shown}: its free space cannot be told"),
            None,
        );
    };
    let free = stat.blocks_available().saturating_mul(stat.fragment_size());
    let text = format!("{shown}, {} free", crate::base::text::bytes(free));
    if free < FREE_MIB << 20 {
        return check(
            "state directory",
            Verdict::Fail,
            text,
            Some("free some space: changes are refused when the disk is full"),
        );
    }
    check("state directory", Verdict::Ok, text, None)
}

/// Whether registries' clients get tokens, as the running engine says.
async fn token_service(wire: &Wire, session: &Session, config: &Config) -> Option<Check> {
    let (name, settings) = ("token service", config.tokens.as_ref()?);
    let url = &settings.url;
    let look = Session { read_only: true, ..session.clone() };
    let opened = match wire.open(look, Purpose::Look).await {
        Ok(opened) => opened,
        Err(fault) => return Some(failed(name, &fault)),
    };
    let mut worlds = opened.handle.world();
    let whole = worlds.wait_for(|world| world.revision > 0);
    let service = match timeout(ANSWER_WITHIN, whole).await {
        Ok(Ok(world)) => world.access.service.clone(),
        Ok(Err(_)) | Err(_) => None,
    };
    (opened.close)().await;
    Some(match service {
        Some(service) if service.open => {
            let (url, done) = (&service.url, service.counts);
            let (tokens, denied) = (count(done.tokens, "token"), count(done.denied, "right"));
            let failed = count(done.failed + done.throttled, "log-in");
            let found =
                format!("open at {url}; since then {tokens} given, {denied} refused, {failed} failed");
            check(name, Verdict::Ok, found, None)
        }
        Some(service) => {
            let why = service.trouble.unwrap_or_else(|| "the token service is about to open".to_owned());
            check(name, Verdict::Fail, why, Some("mend that; the engine tries again every few seconds"))
        }
        None if opened.own_engine => {
            let text =
                format!("{url}: no engine is running, so nobody gets tokens and registries refuse everybody");
            check(
                name,
                Verdict::Fail,
                text,
                Some("start the console, or `longshore engine` under your service manager"),
            )
        }
        None => {
            let text = format!("{url} is configured, and the running engine does not know that");
            check(
                name,
                Verdict::Fail,
                text,
                Some("start the engine again: it reads its configuration at the start"),
            )
        }
    })
}

/// A certificate that ends within so many days is named: time enough for an authority that takes weeks.
const ENDS_SOON_DAYS: u64 = 21;
/// Of one that ends later than in so many days (ten years), only the end is told.
const FAR_DAYS: u64 = 3_650;
const DAY_MS: u64 = 86_400_000;

/// The certificates of the token service: the one that clients see, and the one by which registries know its tokens.
fn certificates(wire: &Wire, session: &Session, config: &Config) -> Vec<Check> {
    let Some(settings) = &config.tokens else { return Vec::new() };
    let now = wire.clock.now();
    let shown = settings.tls.as_ref().map(|(path, key)| {
        let next = "put a new certificate and its key into the files that config.toml names; it is shown within a minute";
        ("certificate of the token service", path.clone(), Some(key), next)
    });
    // Before the first start there is none: that is not amiss.
    let signing =
        Wire::state_dir(session).ok().map(|dir| certificate_path(&dir)).filter(|path| path.exists());
    let signing = signing.map(|path| {
        let next = "end the engine, move both .pem files of the folder registry-tokens away, start it again, and give every \
                    registry the new certificate (`longshore registry auth-config NAME --pem`)";
        ("certificate of tokens", path, None, next)
    });
    let all = shown.into_iter().chain(signing);
    let end = |path: &Path, key: Option<&PathBuf>| {
        key.map_or(Ok(()), |key| usable(path, key))?;
        ends(path)
    };
    all.map(|(name, path, key, next)| match end(&path, key) {
        Ok(end) => certificate(name, &path, end, next, now),
        Err(fault) => check(name, Verdict::Fail, fault.to_string(), fault.hint.as_deref().or(Some(next))),
    })
    .collect()
}

fn certificate(name: &str, path: &Path, end: Millis, next: &str, now: Millis) -> Check {
    let (shown, at) = (path.display(), rfc3339(end));
    if end <= now {
        let text = format!("{shown} has ended, {} ago ({at}): clients refuse it", age(now.since(end)));
        return check(name, Verdict::Fail, text, Some(next));
    }
    let days = end.since(now) / DAY_MS;
    let text = format!("{shown} ends in {} ({at})", count(days, "day"));
    if days < ENDS_SOON_DAYS {
        return check(name, Verdict::Warn, text, Some(next));
    }
    // (Ours for tokens has no end to speak of: two thousand years in days are no help.)
    let text = if days > FAR_DAYS { format!("{shown} is good until {at}") } else { text };
    check(name, Verdict::Ok, text, None)
}

async fn added_hosts(wire: &Wire, session: &Session) -> Vec<HostConfig> {
    let Ok(dir) = Wire::state_dir(session) else { return Vec::new() };
    match crate::store::Store::open_read_only(&dir, wire.clock.clone()).await {
        Ok(Some((_, desired))) => desired.hosts.into_values().collect(),
        // A damaged state is named by its own check.
        Ok(None) | Err(_) => Vec::new(),
    }
}

async fn engine(wire: &Wire, connector: &dyn Connector, host: &HostConfig) -> Vec<Check> {
    let name = format!("engine {}", host.id);
    let runtime = match connector.connect(host) {
        Ok(runtime) => runtime,
        Err(fault) => return vec![failed(&name, &fault)],
    };
    let facts = match timeout(ANSWER_WITHIN, runtime.facts()).await {
        Ok(Ok(facts)) => facts,
        Ok(Err(fault)) => return vec![unreachable(&name, host, &fault)],
        Err(_) => {
            let text = format!(
                "{}: connects, but does not answer within {} s",
                host.address,
                ANSWER_WITHIN.as_secs()
            );
            return vec![check(
                &name,
                Verdict::Fail,
                text,
                Some("look at the engine on its host: it hangs or is stopped"),
            )];
        }
    };
    let text = format!(
        "{}: Docker {} (API {}), {} cores, {} memory",
        host.address,
        facts.version,
        facts.api,
        facts.cpus,
        crate::base::text::bytes(facts.memory)
    );
    let mut checks = vec![check(&name, Verdict::Ok, text, None)];
    checks.extend(clock(wire, host, &facts));
    checks
}

fn unreachable(name: &str, host: &HostConfig, fault: &Fault) -> Check {
    let advice = fault.hint.clone().unwrap_or_else(|| match host.address.split_once("://") {
        Some(("unix", path)) => format!("is an engine running, and may this user use it? ls -l {path}; or `longshore hosts add NAME ADDRESS`"),
        _ => "is the engine running, and is the address right? `longshore hosts` lists them".to_owned(),
    });
    check(name, Verdict::Fail, format!("{}: {fault}", host.address), Some(&advice))
}

/// Ages and orders of events are wrong when clocks differ.
fn clock(wire: &Wire, host: &HostConfig, facts: &HostFacts) -> Option<Check> {
    let theirs = facts.clock?;
    let ours = wire.clock.now();
    let apart = ours.since(theirs).max(theirs.since(ours));
    let name = format!("clock of {}", host.id);
    if apart <= CLOCK_TOLERANCE_MS {
        return Some(check(&name, Verdict::Ok, format!("{} apart", crate::base::text::took(apart)), None));
    }
    let text = format!("{} apart from this machine's", crate::base::text::took(apart));
    Some(check(
        &name,
        Verdict::Warn,
        text,
        Some("set both by NTP: ages and the order of log lines are wrong otherwise"),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_that_ends_soon_or_has_ended_is_named_with_the_next_step() {
        let day = i64::try_from(DAY_MS).unwrap();
        let now = Millis(1_796_083_200_000);
        let look =
            |end: i64| certificate("x", Path::new("/etc/tls.pem"), Millis(now.0 + end), "renew it", now);
        for (end, verdict, words) in [
            (400 * day, Verdict::Ok, "/etc/tls.pem ends in 400 days (2028-01-05T00:00:00.000Z)"),
            (4_000 * day, Verdict::Ok, "/etc/tls.pem is good until 2037-11-13T00:00:00.000Z"),
            (21 * day, Verdict::Ok, "ends in 21 days"),
            (21 * day - 1, Verdict::Warn, "ends in 20 days"),
            (day, Verdict::Warn, "ends in 1 day ("),
            (1, Verdict::Warn, "ends in 0 days"),
            (0, Verdict::Fail, "has ended"),
            (-3 * day, Verdict::Fail, "has ended, 3d ago (2026-11-28T00:00:00.000Z): clients refuse it"),
        ] {
            let said = look(end);
            assert_eq!(said.verdict, verdict, "{said:?}");
            assert!(said.finding.contains(words), "{said:?}");
            assert_eq!(said.advice.is_some(), verdict != Verdict::Ok, "{said:?}");
        }
    }
}
