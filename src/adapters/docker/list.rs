//! The list of containers: the engine's JSON down to what a row needs, all else dropped at once.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::Deserialize;

use crate::adapters::docker::client::nonsense;
use crate::adapters::docker::limits::{LIST, TEXT_MAX};
use crate::base::clock::Millis;
use crate::base::fault::Outcome;
use crate::base::ids::ContainerId;
use crate::base::text::Untrusted;
use crate::model::container::{Container, Health, Owner, State};

/// One row of `GET /containers/json`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Row<'a> {
    #[serde(borrow)]
    id: Cow<'a, str>,
    names: Option<Vec<String>>,
    #[serde(borrow)]
    image: Cow<'a, str>,
    created: i64,
    #[serde(borrow)]
    state: Option<Cow<'a, str>>,
    #[serde(borrow)]
    status: Cow<'a, str>,
    ports: Option<Vec<PortRow>>,
    labels: Option<BTreeMap<String, String>>,
    network_settings: Option<Networks>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct PortRow {
    #[serde(rename = "IP")]
    ip: Option<String>,
    private_port: u16,
    public_port: Option<u16>,
    #[serde(rename = "Type")]
    kind: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Networks {
    networks: Option<BTreeMap<String, Option<Endpoint>>>,
}

#[derive(Deserialize)]
struct Endpoint {
    #[serde(rename = "IPAddress")]
    v4: Option<String>,
    #[serde(rename = "GlobalIPv6Address")]
    v6: Option<String>,
}

/// Reads the whole list, sorted by id. One row that makes no sense spoils the list: a part is not the whole.
pub(super) fn read(json: &[u8]) -> Outcome<Vec<Container>> {
    let rows: Vec<Row<'_>> = serde_json::from_slice(json).map_err(|why| nonsense(LIST, &why.to_string()))?;
    let mut list: Vec<Container> = rows.into_iter().map(container).collect();
    list.sort_unstable_by(|a, b| a.id.cmp(&b.id));
    list.dedup_by(|a, b| a.id == b.id);
    Ok(list)
}

fn container(row: Row<'_>) -> Container {
    let state = state(row.state.as_deref(), &row.status);
    // A container that others link to has their names too, with a second slash.
    let names = row.names.as_deref().unwrap_or_default();
    let own = names.iter().find(|n| n.matches('/').count() < 2).or(names.first());
    let name = own.map_or("", |n| n.trim_start_matches('/'));
    Container {
        id: ContainerId::new(&row.id),
        name: cut(name),
        image: cut(&row.image),
        state,
        health: health(&row.status),
        exit: exit(state, &row.status),
        created: Millis(row.created.saturating_mul(1000)),
        ports: ports(row.ports.as_deref().unwrap_or_default()),
        address: address(row.network_settings),
        owner: row.labels.as_ref().map_or(Owner::Nobody, |labels| Owner::of(name, labels)),
    }
}

fn cut(text: &str) -> Untrusted {
    Untrusted::from(text.get(..text.floor_char_boundary(TEXT_MAX)).unwrap_or_default())
}

/// The state's word; engines before 1.13 tell it in the status text alone.
fn state(word: Option<&str>, status: &str) -> State {
    match word.unwrap_or_default() {
        "created" => State::Created,
        "running" => State::Running,
        "paused" => State::Paused,
        "restarting" => State::Restarting,
        "removing" => State::Removing,
        "exited" | "stopped" => State::Exited,
        "dead" => State::Dead,
        "" if status.starts_with("Up") && status.ends_with("(Paused)") => State::Paused,
        "" if status.starts_with("Up") => State::Running,
        "" if status.starts_with("Exited") => State::Exited,
        "" if status.starts_with("Created") => State::Created,
        _ => State::Unknown,
    }
}

/// `Up 3 minutes (healthy)`.
fn health(status: &str) -> Health {
    if status.ends_with("(healthy)") {
        Health::Healthy
    } else if status.ends_with("(unhealthy)") {
        Health::Unhealthy
    } else if status.ends_with("(health: starting)") || status.ends_with("(starting)") {
        Health::Starting
    } else {
        Health::None
    }
}

/// `Exited (137) 2 hours ago`, `Restarting (1) 5 seconds ago`.
fn exit(state: State, status: &str) -> Option<i64> {
    if !matches!(state, State::Exited | State::Restarting | State::Dead) {
        return None;
    }
    let (_, rest) = status.split_once('(')?;
    rest.split_once(')')?.0.parse().ok()
}

/// Published ports, short, each once although it is bound for IPv4 and IPv6.
fn ports(rows: &[PortRow]) -> Vec<Untrusted> {
    let mut texts: Vec<String> = rows
        .iter()
        .filter_map(|row| {
            let public = row.public_port.filter(|p| *p != 0)?;
            let ip = row.ip.as_deref().unwrap_or_default();
            let kind = row.kind.as_deref().unwrap_or("tcp");
            Some(match ip {
                "" | "0.0.0.0" | "::" => format!("{public}->{}/{kind}", row.private_port),
                ip => format!("{ip}:{public}->{}/{kind}", row.private_port),
            })
        })
        .collect();
    texts.sort_unstable();
    texts.dedup();
    texts.iter().map(|t| cut(t)).collect()
}

fn address(settings: Option<Networks>) -> Option<Untrusted> {
    let endpoints = settings?.networks?.into_values().flatten();
    let mut found =
        endpoints.filter_map(|e| e.v4.filter(|a| !a.is_empty()).or(e.v6.filter(|a| !a.is_empty())));
    found.next().map(|a| cut(&a))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What Docker Engine 20.10.24 answered in the lab.
    const REAL: &[u8] = include_bytes!("../../../fixtures/docker/list.json");

    #[test]
    fn a_real_list_is_read() {
        let list = read(REAL).unwrap();
        let rows: Vec<String> = list
            .iter()
            .map(|c| {
                let ports: Vec<_> = c.ports.iter().map(ToString::to_string).collect();
                let address = c.address.as_ref().map(ToString::to_string);
                format!(
                    "{} {} {:?} {:?} {:?} {ports:?} {address:?}",
                    c.name, c.image, c.state, c.health, c.exit
                )
            })
            .collect();
        insta::assert_debug_snapshot!(rows);
        assert!(list.is_sorted_by(|a, b| a.id < b.id));
    }

    #[test]
    fn the_status_text_tells_health_and_exit() {
        let health_of =
            ["Up 3 minutes (healthy)", "Up 1 second (health: starting)", "Up 2 hours (unhealthy)", "Up"];
        assert_eq!(
            health_of.map(health),
            [Health::Healthy, Health::Starting, Health::Unhealthy, Health::None]
        );
        assert_eq!(exit(State::Exited, "Exited (137) 2 hours ago"), Some(137));
        assert_eq!(exit(State::Running, "Up 2 hours (1)"), None);
        assert_eq!(state(Some("hibernating"), "?"), State::Unknown);
        assert_eq!(state(None, "Up 2 minutes (Paused)"), State::Paused);
    }

    #[test]
    fn a_list_that_makes_no_sense_is_a_fault_not_an_empty_list() {
        for bad in [&b""[..], b"{}", b"null", b"<html>", b"[{}]", br#"[{"Id":3}]"#] {
            assert!(read(bad).is_err(), "{}", String::from_utf8_lossy(bad));
        }
        assert_eq!(read(b"[]"), Ok(vec![]));
    }

    #[test]
    fn endless_texts_are_cut_between_characters() {
        let name = "é".repeat(50_000);
        let json = format!(r#"[{{"Id":"a","Names":["/{name}"],"Image":"i","Created":1,"Status":"Up"}}]"#);
        let list = read(json.as_bytes()).unwrap();
        assert_eq!(list[0].name.raw().len(), TEXT_MAX);
    }

    proptest! {
        #[test]
        fn any_status_is_survived(status in any::<String>()) {
            let _answers = (health(&status), exit(State::Exited, &status), state(None, &status));
        }
    }
}
