//! A closer look at one container: the engine's own JSON, how it ended, whether it has a terminal.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::adapters::docker::client::Client;
use crate::adapters::docker::limits::{FACTS, INSPECT};
use crate::adapters::docker::{encode, stamp};
use crate::base::fault::{Fault, Kind, Outcome};
use crate::base::ids::ContainerId;
use crate::base::text::Untrusted;
use crate::model::host::HostFacts;
use crate::ports::runtime::Ending;

/// The parts of an inspection that this adapter reads itself.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Details {
    pub(super) id: String,
    pub(super) state: Option<StateOf>,
    pub(super) config: Option<ConfigOf>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ConfigOf {
    #[serde(default)]
    pub(super) tty: bool,
    pub(super) labels: Option<BTreeMap<String, String>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct StateOf {
    #[serde(default)]
    pub(super) pid: i64,
    #[serde(default)]
    running: bool,
    #[serde(default)]
    exit_code: i64,
    #[serde(default, rename = "OOMKilled")]
    oom_killed: bool,
    #[serde(default)]
    error: String,
    #[serde(default)]
    started_at: String,
    #[serde(default)]
    finished_at: String,
}

/// One container, by id or name.
pub(super) async fn details(client: &Client, id: &str) -> Outcome<Details> {
    client.get(INSPECT, &format!("/containers/{}/json", encode(id))).await?.json(INSPECT)
}

/// The engine's own JSON, byte for byte.
pub(super) async fn inspect(client: &Client, id: &ContainerId) -> Outcome<String> {
    let answer = client.get(INSPECT, &format!("/containers/{id}/json")).await?;
    String::from_utf8(answer.body.into())
        .map_err(|_| Fault::new(Kind::Bug, "the engine's answer to an inspection is not text"))
}

/// How a container ended.
pub(super) async fn ending(client: &Client, id: &ContainerId) -> Outcome<Ending> {
    let Some(state) = details(client, id.as_str()).await?.state else {
        return Err(Fault::new(Kind::Bug, "the engine tells no state of the container"));
    };
    let (started, finished) = (stamp::millis(&state.started_at), stamp::millis(&state.finished_at));
    Ok(Ending {
        exit: state.exit_code,
        oom: state.oom_killed,
        error: (!state.error.is_empty()).then(|| Untrusted::from(state.error)),
        started,
        // An engine stamps a program that ends at once up to some milliseconds before its own note of the start.
        finished: if state.running { finished } else { finished.map(|at| at.max(started.unwrap_or(at))) },
    })
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Info {
    #[serde(default, rename = "ID")]
    id: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    server_version: String,
    #[serde(default)]
    operating_system: String,
    #[serde(default)]
    architecture: String,
    #[serde(default, rename = "NCPU")]
    cpus: u64,
    #[serde(default)]
    mem_total: u64,
    labels: Option<Vec<String>>,
    swarm: Option<Swarm>,
    #[serde(default)]
    system_time: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Swarm {
    #[serde(default)]
    local_node_state: String,
}

/// What the engine says about itself.
pub(super) async fn facts(client: &Client) -> Outcome<HostFacts> {
    let info: Info = client.get(FACTS, "/info").await?.json(FACTS)?;
    let label = |text: String| {
        let (key, value) = text.split_once('=').unwrap_or((&text, ""));
        (key.to_owned(), Untrusted::from(value))
    };
    Ok(HostFacts {
        engine_id: info.id.into(),
        hostname: info.name.into(),
        version: info.server_version.into(),
        api: client.api().unwrap_or_default().into(),
        os: info.operating_system.into(),
        arch: info.architecture.into(),
        cpus: info.cpus,
        memory: info.mem_total,
        labels: info.labels.unwrap_or_default().into_iter().map(label).collect(),
        swarm: info.swarm.is_some_and(|s| s.local_node_state == "active"),
        clock: stamp::millis(&info.system_time),
    })
}
