//! What registries say of an image: its digest, how much of it goes over a line, and whether a site's own registry has it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::base::fault::{Fault, Kind, Outcome};
use crate::base::ids::RegistryName;
use crate::engine::registry::Registries;
use crate::engine::registry::clients::Clients;
use crate::model::oci::{Descriptor, Form, Manifest, Reference, Repository, Tag};
use crate::model::prewarm::Weight;
use crate::model::registry::Registry;
use crate::ports::registry::RegistryClient;

/// A registry that has not said what an image is after so long is not waited for: its adapter tries again by itself meanwhile.
pub const WEIGH_WITHIN: Duration = Duration::from_secs(20);
/// Platforms of one index that are looked at: nobody publishes more.
const PLATFORMS_MAX: usize = 32;

/// An image reference taken apart: the registry's address, the repository's path there, and the tag or digest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parts {
    /// `HOST[:PORT]`; `docker.io` when the reference names none.
    pub address: String,
    /// The path.
    pub repository: Repository,
    /// Which manifest.
    pub reference: Reference,
}

/// Takes a reference apart.
///
/// # Errors
/// `Invalid` when it is no reference.
pub fn parts(image: &str) -> Outcome<Parts> {
    let (name, digest) = match image.split_once('@') {
        Some((name, digest)) => (name, Some(digest.parse()?)),
        None => (image, None),
    };
    let (address, rest) = match name.split_once('/') {
        Some((host, rest)) if host.contains(['.', ':']) || host == "localhost" => (host, rest.to_owned()),
        Some(_) => ("docker.io", name.to_owned()),
        None => ("docker.io", format!("library/{name}")),
    };
    let (path, tag) = match rest.rsplit_once(':') {
        Some((path, tag)) => (path.to_owned(), tag.to_owned()),
        None => (rest, "latest".to_owned()),
    };
    let reference = match digest {
        Some(digest) => Reference::Digest(digest),
        None => Reference::Tag(tag.parse::<Tag>()?),
    };
    Ok(Parts { address: address.to_owned(), repository: path.parse()?, reference })
}

/// The registry that is recorded under an address.
pub fn recorded<'a>(registries: &'a BTreeMap<RegistryName, Registry>, address: &str) -> Option<&'a Registry> {
    registries.values().find(|r| r.address == address || r.endpoints.iter().any(|e| e == address))
}

/// What is needed to ask.
#[derive(Clone)]
pub struct Scales {
    /// How registries are reached.
    pub clients: Arc<Clients>,
    /// Those that are recorded.
    pub registries: BTreeMap<RegistryName, Registry>,
}

impl Scales {
    /// Asks the registry that the reference names, then these others that may have the same path, until one of them knows it.
    ///
    /// # Errors
    /// Why none of them has told; `NotFound` only when all that were asked do not have it.
    pub async fn weigh(&self, image: &str, others: &[String]) -> Outcome<Weight> {
        let parts = parts(image)?;
        let clients = self.clients.of(&self.registries).await;
        let mut fault: Option<Fault> = None;
        let addresses = std::iter::once(&parts.address).chain(others.iter().filter(|o| **o != parts.address));
        for address in addresses {
            let asked = self.ask(&clients, address, &parts);
            let told = match tokio::time::timeout(WEIGH_WITHIN, asked).await {
                Ok(told) => told,
                Err(_) => Err(Fault::new(
                    Kind::Timeout,
                    format!("{address} did not say what {image} is within {} s", WEIGH_WITHIN.as_secs()),
                )),
            };
            match told {
                Ok(weight) => return Ok(weight),
                // One that cannot be asked is another thing than one that does not have it.
                Err(new) if fault.as_ref().is_none_or(|f| f.kind == Kind::NotFound) => fault = Some(new),
                Err(_) => {}
            }
        }
        Err(fault.unwrap_or_else(|| not_recorded(&parts.address)))
    }

    async fn ask(&self, clients: &Registries, address: &str, parts: &Parts) -> Outcome<Weight> {
        let registry = recorded(&self.registries, address).ok_or_else(|| not_recorded(address))?;
        let client = clients.get(&registry.name).ok_or_else(|| {
            Fault::new(Kind::Unreachable, format!("registry {} cannot be used", registry.name))
                .hint("see `longshore registry ls`")
        })?;
        weigh(&**client, parts, &registry.name)
            .await
            .map_err(|f| f.because(format!("registry {}", registry.name)))
    }

    /// Whether the registry at an address has exactly this: `None` when none is recorded there.
    pub async fn has(&self, address: &str, image: &str, weight: &Weight) -> Option<Outcome<bool>> {
        let registry = recorded(&self.registries, address)?;
        let parts = match parts(image) {
            Ok(parts) => parts,
            Err(fault) => return Some(Err(fault)),
        };
        let clients = self.clients.of(&self.registries).await;
        let client = clients.get(&registry.name)?;
        let reference = Reference::Digest(weight.digest.clone());
        Some(client.head(&parts.repository, &reference).await.map(|found| found.is_some()))
    }
}

fn not_recorded(address: &str) -> Fault {
    Fault::new(Kind::Refused, format!("no registry is recorded at {address}"))
        .hint(format!("`longshore registry add NAME {address}` lets longshore ask it"))
}

async fn weigh(client: &dyn RegistryClient, parts: &Parts, name: &RegistryName) -> Outcome<Weight> {
    let manifest = client.manifest(&parts.repository, &parts.reference).await?;
    let mut weight = Weight {
        digest: manifest.digest.clone(),
        ids: Vec::new(),
        layers: Vec::new(),
        registry: name.clone(),
    };
    if manifest.form == Form::Image {
        add(&mut weight, &manifest);
        return Ok(weight);
    }
    for child in manifest.manifests.iter().filter(|d| is_image(d)).take(PLATFORMS_MAX) {
        match client.manifest(&parts.repository, &Reference::Digest(child.digest.clone())).await {
            Ok(child) => add(&mut weight, &child),
            // A platform that was left out when it was copied: nobody can pull it here.
            Err(fault) if fault.kind == Kind::NotFound => {}
            Err(fault) => return Err(fault),
        }
    }
    Ok(weight)
}

/// True for what runs: attestations lie in the same index under an unknown platform.
fn is_image(child: &Descriptor) -> bool {
    child.platform.as_ref().is_none_or(|p| p.os != "unknown")
}

fn add(weight: &mut Weight, image: &Manifest) {
    let (config, layers): (Vec<&Descriptor>, Vec<&Descriptor>) = image
        .blobs
        .iter()
        .partition(|b| b.media_type.contains("config") || b.media_type.contains("container.image"));
    weight.ids.extend(config.into_iter().map(|c| c.digest.clone()));
    let layers: Vec<u64> = layers.into_iter().map(|l| l.size).collect();
    if layers.iter().sum::<u64>() > weight.bytes() {
        weight.layers = layers;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_taken_apart() {
        let told = |image: &str| {
            let p = parts(image).unwrap();
            format!("{} {} {}", p.address, p.repository, p.reference)
        };
        assert_eq!(told("hq.example:5000/feed/web:v2"), "hq.example:5000 feed/web v2");
        assert_eq!(told("busybox"), "docker.io library/busybox latest");
        assert_eq!(told("lab/busybox:1"), "docker.io lab/busybox 1");
        let sum = "ab".repeat(32);
        assert_eq!(told(&format!("localhost/a:1@sha256:{sum}")), format!("localhost a sha256:{sum}"));
        assert!(parts("hq.example/A:1").is_err() && parts("a@sha256:1").is_err());
    }
}
