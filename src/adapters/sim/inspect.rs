//! The JSON that a simulated engine tells of a container, in the shape of Docker's.

use serde_json::{Map, Value, json};

use crate::adapters::sim::Ms;
use crate::adapters::sim::host::HostState;
use crate::adapters::sim::unit::Unit;
use crate::model::container::{Health, State};

/// What `docker inspect` would print of it.
pub(super) fn inspect(state: &HostState, unit: &Unit, now: Ms) -> String {
    let run = unit.run(now);
    let end = run.and_then(|run| run.ended(now));
    let word = unit.state(now);
    let stamp =
        |at: Option<Ms>| at.map_or_else(|| "0001-01-01T00:00:00Z".into(), |at| rfc3339(state.stamp(at).0));
    let spec = unit.spec.as_deref().cloned().unwrap_or_default();
    let env: Vec<String> = spec.environment.iter().map(|(k, v)| format!("{k}={v}")).collect();
    let mut about = json!({
        "Status": word.word(),
        "Running": word == State::Running,
        "Paused": false,
        "Restarting": false,
        "OOMKilled": end.is_some_and(|e| e.oom),
        "Dead": false,
        "Pid": if word == State::Running { 1_000 + unit.serial } else { 0 },
        "ExitCode": end.map_or(0, |e| e.exit),
        "Error": unit.error.as_deref().unwrap_or(""),
        "StartedAt": stamp(run.map(|r| r.start)),
        "FinishedAt": stamp(end.map(|e| e.at)),
    });
    let health = match unit.health(now) {
        Health::None => None,
        Health::Starting => Some("starting"),
        Health::Healthy => Some("healthy"),
        Health::Unhealthy => Some("unhealthy"),
    };
    if let (Some(word), Some(map)) = (health, about.as_object_mut()) {
        map.insert("Health".into(), json!({ "Status": word, "FailingStreak": 0, "Log": [] }));
    }
    let whole = json!({
        "Id": unit.id.as_str(),
        "Created": rfc3339(state.stamp(unit.created).0),
        "Path": spec.entrypoint.as_ref().and_then(|e| e.first()).map_or("/app", String::as_str),
        "Args": spec.command.clone().unwrap_or_default(),
        "State": about,
        "Image": format!("sha256:{:064x}", crate::adapters::sim::chance::number_of(&unit.image)),
        "Name": format!("/{}", unit.name),
        "RestartCount": 0,
        "Driver": "overlay2",
        "HostConfig": {
            "Memory": spec.resources.memory_limit.unwrap_or(0),
            "NanoCpus": spec.resources.cpu_limit_milli.unwrap_or(0) * 1_000_000,
            "NetworkMode": spec.network_mode.as_deref().unwrap_or("default"),
            "RestartPolicy": { "Name": "no", "MaximumRetryCount": 0 },
        },
        "Config": {
            "Hostname": unit.id.short(),
            "User": spec.user.unwrap_or_default(),
            "Env": env,
            "Cmd": spec.command,
            "Image": unit.image,
            "WorkingDir": spec.working_dir.unwrap_or_default(),
            "Entrypoint": spec.entrypoint,
            "Labels": unit.labels(),
        },
        "NetworkSettings": {
            "Ports": ports(unit),
            "IPAddress": if word == State::Running { unit.address() } else { String::new() },
        },
    });
    whole.to_string()
}

/// The ports that are bound, by the container's own.
fn ports(unit: &Unit) -> Map<String, Value> {
    let there = |b: &crate::adapters::sim::unit::Bound| {
        let ip = b.ip.as_deref().unwrap_or("0.0.0.0");
        let there = json!([{ "HostIp": ip, "HostPort": b.published.to_string() }]);
        (format!("{}/{}", b.target, b.protocol), there)
    };
    unit.bound.iter().map(there).collect()
}

/// A stamp as `2026-01-02T03:04:05.678Z` (civil date by Howard Hinnant's days algorithm).
pub(super) fn rfc3339(ms: i64) -> String {
    let (days, in_day) = (ms.div_euclid(86_400_000), ms.rem_euclid(86_400_000));
    let z = days + 719_468;
    let era = z.div_euclid(146_097);
    let day_of_era = z.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let (h, m, s) = (in_day / 3_600_000, in_day / 60_000 % 60, in_day / 1000 % 60);
    format!("{year:04}-{month:02}-{day:02}T{h:02}:{m:02}:{s:02}.{:03}Z", in_day % 1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stamps_read_as_dates() {
        assert_eq!(rfc3339(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(rfc3339(951_782_399_999), "2000-02-28T23:59:59.999Z");
        assert_eq!(rfc3339(951_782_400_000), "2000-02-29T00:00:00.000Z");
        assert_eq!(rfc3339(1_798_761_600_000), "2027-01-01T00:00:00.000Z");
    }
}
