//! Making and unmaking containers and their networks on one engine.

use serde::Deserialize;
use serde_json::json;

use crate::adapters::docker::client::{Client, timed_out};
use crate::adapters::docker::limits::{
    CREATE, IMAGE, INSPECT, Limits, NETWORK, REMOVE, START, STOP, STOP_SPARE,
};
use crate::adapters::docker::{body, encode, holdings, lookup, pull};
use crate::base::fault::{Fault, Kind, Outcome};
use crate::base::ids::{ContainerId, InstallId};
use crate::model::container::{LABEL_PREFIX, Owner, Tag};
use crate::model::pool::{Network, PoolSpec};

/// A creation or removal in progress is looked at so often.
const LOOK: std::time::Duration = std::time::Duration::from_millis(100);

#[derive(Deserialize)]
struct Made {
    #[serde(rename = "Id")]
    id: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct FoundNetwork {
    name: String,
    labels: Option<std::collections::BTreeMap<String, String>>,
}

/// True when the image is on the host.
pub(super) async fn has_image(client: &Client, image: &str) -> Outcome<bool> {
    match client.get(IMAGE, &format!("/images/{}/json", encode(image))).await {
        Ok(_) => Ok(true),
        Err(fault) if fault.kind == Kind::NotFound => Ok(false),
        Err(fault) => Err(fault),
    }
}

/// Gives an image another name.
pub(super) async fn name_image(client: &Client, image: &str, name: &str) -> Outcome<()> {
    let (repository, tag) = pull::split(name);
    let path = format!("/images/{}/tag?repo={}&tag={}", encode(image), encode(repository), encode(tag));
    client.post(IMAGE, &path, &json!({})).await.map(drop)
}

/// Makes a container, or finds the one that an earlier attempt has made.
pub(super) async fn create(client: &Client, tag: &Tag, spec: &PoolSpec) -> Outcome<ContainerId> {
    holdings::check(client, spec).await?;
    for network in spec.networks.iter().filter(|n| !n.external) {
        ensure_network(client, network, &tag.install).await?;
    }
    let making = tokio::time::timeout(CREATE.deadline, make_or_adopt(client, tag, spec));
    let id = making.await.unwrap_or_else(|_| Err(timed_out(CREATE)))?;
    // Also after an adoption: the earlier attempt may have died between its create and this.
    for network in spec.networks.iter().skip(1) {
        if let Err(fault) = join(client, &id, network).await {
            // Half a container must not be left for the next attempt to adopt.
            remove(client, &id).await?;
            return Err(fault.because(format!("cannot join the network {}", network.name)));
        }
    }
    Ok(id)
}

async fn make_or_adopt(client: &Client, tag: &Tag, spec: &PoolSpec) -> Outcome<ContainerId> {
    let name = tag.container_name();
    let path = format!("/containers/create?name={}", encode(&name));
    loop {
        match client.post(CREATE, &path, &body::create(tag, spec)).await {
            Ok(answer) => return Ok(ContainerId::new(&answer.json::<Made>(CREATE)?.id)),
            Err(fault) if fault.kind == Kind::Conflict => {}
            Err(fault) => return Err(fault),
        }
        match adopt(client, tag, &name).await {
            // The name is held by a creation that is still under way: it ends as a container, or frees the name.
            Err(fault) if fault.kind == Kind::NotFound => tokio::time::sleep(LOOK).await,
            found_or_taken => return found_or_taken,
        }
    }
}

/// The container of that name, if it carries this very tag.
async fn adopt(client: &Client, tag: &Tag, name: &str) -> Outcome<ContainerId> {
    let found = lookup::details(client, name).await?;
    let labels = found.config.and_then(|c| c.labels).unwrap_or_default();
    match Owner::from_labels(&labels) {
        Owner::Longshore(theirs) if theirs == *tag => Ok(ContainerId::new(&found.id)),
        _ => Err(Fault::new(Kind::Conflict, "it is taken by a container that is not ours")
            .because(format!("cannot use the name {name}"))
            .hint("remove or rename that container")),
    }
}

/// Starts a container; one that runs already is answered with 304, which is no fault.
pub(super) async fn start(client: &Client, id: &ContainerId) -> Outcome<()> {
    match client.post_empty(START, &format!("/containers/{id}/start")).await {
        Ok(_) => Ok(()),
        // An engine also answers 404 when a network of the container is gone: the container itself is still there.
        Err(fault)
            if fault.kind == Kind::NotFound && fault.reasons.iter().any(|r| r.starts_with("network ")) =>
        {
            Err(Fault { kind: Kind::Refused, ..fault })
        }
        Err(fault) => Err(fault),
    }
}

/// Asks a container to end.
pub(super) async fn stop(client: &Client, id: &ContainerId, grace_ms: u64) -> Outcome<()> {
    let seconds = body::grace_seconds(grace_ms);
    let grace = std::time::Duration::from_secs(u64::try_from(seconds).unwrap_or(0));
    let limits = Limits { deadline: grace + STOP_SPARE, ..STOP };
    client.post_empty(limits, &format!("/containers/{id}/stop?t={seconds}")).await.map(drop)
}

/// Removes a container with its anonymous volumes.
pub(super) async fn remove(client: &Client, id: &ContainerId) -> Outcome<()> {
    match client.delete(REMOVE, &format!("/containers/{id}?force=1&v=1")).await {
        Ok(_) => Ok(()),
        Err(fault) if fault.kind == Kind::NotFound => Ok(()),
        // Somebody else removes it just now: it is gone when it cannot be found.
        Err(fault) if fault.kind == Kind::Conflict => {
            let gone = tokio::time::timeout(REMOVE.deadline, wait_until_gone(client, id)).await;
            gone.unwrap_or(Err(fault))
        }
        Err(fault) => Err(fault),
    }
}

async fn wait_until_gone(client: &Client, id: &ContainerId) -> Outcome<()> {
    loop {
        match client.get(INSPECT, &format!("/containers/{id}/json")).await {
            Ok(_) => tokio::time::sleep(LOOK).await,
            Err(fault) if fault.kind == Kind::NotFound => return Ok(()),
            Err(fault) => return Err(fault),
        }
    }
}

/// Removes a network that carries this install's label.
pub(super) async fn remove_network(client: &Client, name: &str, install: &InstallId) -> Outcome<()> {
    let Some(found) = find_network(client, name).await? else { return Ok(()) };
    if found.labels.unwrap_or_default().get(&install_label()) != Some(&install.to_string()) {
        return Err(Fault::new(Kind::Conflict, "it was not made by this install of longshore")
            .because(format!("the network {name} is left alone")));
    }
    match client.delete(NETWORK, &format!("/networks/{}", encode(name))).await {
        Ok(_) => Ok(()),
        Err(fault) if fault.kind == Kind::NotFound => Ok(()),
        Err(fault) => Err(fault.because(format!("cannot remove the network {name}"))),
    }
}

fn install_label() -> String {
    format!("{LABEL_PREFIX}install")
}

/// Makes a network unless it is there.
async fn ensure_network(client: &Client, network: &Network, install: &InstallId) -> Outcome<()> {
    if find_network(client, &network.name).await?.is_some() {
        return Ok(());
    }
    let request = json!({
        "Name": network.name,
        "Driver": "bridge",
        // Without it old engines make a second network of the same name.
        "CheckDuplicate": true,
        "Labels": { install_label(): install.to_string() },
    });
    match client.post(NETWORK, "/networks/create", &request).await {
        Ok(_) => Ok(()),
        // Another creation was quicker.
        Err(fault) if fault.kind == Kind::Conflict => Ok(()),
        Err(fault) => Err(fault.because(format!("cannot make the network {}", network.name))),
    }
}

pub(super) async fn find_network(client: &Client, name: &str) -> Outcome<Option<FoundNetwork>> {
    match client.get(NETWORK, &format!("/networks/{}", encode(name))).await {
        // An engine also finds networks by the beginning of their id.
        Ok(answer) => Ok(Some(answer.json::<FoundNetwork>(NETWORK)?).filter(|found| found.name == name)),
        Err(fault) if fault.kind == Kind::NotFound => Ok(None),
        Err(fault) => Err(fault),
    }
}

async fn join(client: &Client, id: &ContainerId, network: &Network) -> Outcome<()> {
    let request = bollard::models::NetworkConnectRequest {
        container: id.to_string(),
        endpoint_config: Some(body::endpoint(network)),
    };
    let path = format!("/networks/{}/connect", encode(&network.name));
    match client.post(NETWORK, &path, &request).await {
        Ok(_) => Ok(()),
        Err(fault) if fault.reasons.iter().any(|r| r.contains("already exists in network")) => Ok(()),
        Err(fault) => Err(fault),
    }
}
