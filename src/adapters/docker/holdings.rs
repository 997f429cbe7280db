//! Networks and volumes by name, whoever made them: which of those that are asked for an engine has.

use std::collections::BTreeSet;

use serde::Deserialize;

use crate::adapters::docker::client::{Client, nonsense};
use crate::adapters::docker::encode;
use crate::adapters::docker::lifecycle::find_network;
use crate::adapters::docker::limits::{Limits, NETWORKS, VOLUME, VOLUMES};
use crate::base::fault::{Fault, Kind, Outcome};
use crate::model::holdings::Sort;
use crate::model::pool::PoolSpec;

#[derive(Deserialize)]
struct Row {
    #[serde(rename = "Name")]
    name: String,
}

/// `GET /volumes`; `null` when there are none.
#[derive(Deserialize)]
struct Volumes {
    #[serde(rename = "Volumes")]
    volumes: Option<Vec<Row>>,
}

/// Which of these networks or volumes are there.
pub(super) async fn holds(
    client: &Client,
    sort: Sort,
    names: &BTreeSet<String>,
) -> Outcome<BTreeSet<String>> {
    let (limits, path) = match sort {
        Sort::Network => (NETWORKS, "/networks"),
        Sort::Volume => (VOLUMES, "/volumes"),
    };
    // The engine takes each for a part of a name: more may come than was asked for, never less.
    let filters = serde_json::json!({ "name": names }).to_string();
    let answer = client.get(limits, &format!("{path}?filters={}", encode(&filters))).await?;
    let mut there = read(sort, limits, &answer.body)?;
    there.retain(|name| names.contains(name));
    Ok(there)
}

fn read(sort: Sort, limits: Limits, body: &[u8]) -> Outcome<BTreeSet<String>> {
    let rows: Result<Vec<Row>, _> = match sort {
        Sort::Network => serde_json::from_slice(body),
        Sort::Volume => serde_json::from_slice::<Volumes>(body).map(|v| v.volumes.unwrap_or_default()),
    };
    let rows = rows.map_err(|why| nonsense(limits, &why.to_string()))?;
    Ok(rows.into_iter().map(|row| row.name).collect())
}

/// Checks that everything external is there: an engine would make a missing volume, empty.
///
/// # Errors
/// `Refused`, naming the first that is missing.
pub(super) async fn check(client: &Client, spec: &PoolSpec) -> Outcome<()> {
    for (sort, name) in spec.externals() {
        let is_there = match sort {
            Sort::Network => find_network(client, name).await?.is_some(),
            Sort::Volume => has_volume(client, name).await?,
        };
        if !is_there {
            let sort = sort.word();
            return Err(Fault::new(Kind::Refused, format!("the host has no {sort} {name}"))
                .hint(format!("docker {sort} create {name}, or drop `external` in the pool file")));
        }
    }
    Ok(())
}

async fn has_volume(client: &Client, name: &str) -> Outcome<bool> {
    match client.get(VOLUME, &format!("/volumes/{}", encode(name))).await {
        Ok(_) => Ok(true),
        Err(fault) if fault.kind == Kind::NotFound => Ok(false),
        Err(fault) => Err(fault),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_read_and_nonsense_is_never_an_empty_list() {
        let names = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect::<BTreeSet<_>>();
        let networks = br#"[{"Name":"front","Id":"ab"},{"Name":"bridge","Driver":"bridge"}]"#;
        assert_eq!(read(Sort::Network, NETWORKS, networks), Ok(names(&["bridge", "front"])));
        let volumes = br#"{"Volumes":[{"Name":"data","Driver":"local"}],"Warnings":null}"#;
        assert_eq!(read(Sort::Volume, VOLUMES, volumes), Ok(names(&["data"])));
        assert_eq!(read(Sort::Volume, VOLUMES, br#"{"Volumes":null,"Warnings":null}"#), Ok(names(&[])));
        for bad in [&b""[..], b"{}", b"null", b"<html>", b"[{}]"] {
            assert!(read(Sort::Network, NETWORKS, bad).is_err());
        }
        for bad in [&b""[..], b"[]", b"null", b"<html>", br#"{"Volumes":[{}]}"#] {
            assert!(read(Sort::Volume, VOLUMES, bad).is_err(), "{}", String::from_utf8_lossy(bad));
        }
    }
}
