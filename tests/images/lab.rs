//! A simulated fleet with simulated registries, and what tests ask of them.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use longshore::adapters::sim::{Scenario, SimRegistry, layer};
use longshore::base::fault::{Fault, Kind, Outcome};
use longshore::engine::core::Connector;
use longshore::model::command::Command;
use longshore::model::host::HostConfig;
use longshore::model::oci::{Digest, Manifest, Reference, Repository};
use longshore::model::query::{PageAsk, Query, Reply, Request};
use longshore::model::registry::{Page, Registry, RepositoryRow, TagRow};
use longshore::ports::registry::{Content, RegistryClient};
use longshore::ports::runtime::Runtime;
use serde_json::json;

use crate::flow::{Flow, SimConnector};

/// A fleet, and registries by their address.
pub struct WithRegistries {
    pub hosts: SimConnector,
    pub registries: BTreeMap<String, Arc<SimRegistry>>,
}

impl Connector for WithRegistries {
    fn connect(&self, host: &HostConfig) -> Outcome<Arc<dyn Runtime>> {
        self.hosts.connect(host)
    }

    fn registry<'a>(&'a self, registry: &'a Registry) -> BoxFuture<'a, Outcome<Arc<dyn RegistryClient>>> {
        let address = registry.addresses().next().unwrap_or_default();
        let known = self.registries.get(address).cloned().map(|r| r as Arc<dyn RegistryClient>);
        let client = known.ok_or_else(|| Fault::new(Kind::Unreachable, format!("{address}: no route")));
        Box::pin(async move { client })
    }
}

/// A running engine on two hosts, and a registry `hq` at `hq.example:5000` that it knows.
pub struct Lab {
    pub flow: Flow,
    pub hq: Arc<SimRegistry>,
}

pub async fn begin() -> Lab {
    let mut flow = Flow::begin(Scenario::uniform(2, "app:1").unwrap()).await;
    let hq = Arc::new(SimRegistry::new("hq"));
    let registries = BTreeMap::from([("hq.example:5000".to_owned(), hq.clone())]);
    let connector = WithRegistries { hosts: SimConnector(flow.fleet.clone()), registries };
    let hosts = flow.fleet.hosts();
    flow.crash();
    flow.start_with(Arc::new(connector), hosts).await;
    let registry = Registry::new("hq".parse().unwrap(), "hq.example:5000".into());
    flow.command("alice", Command::PutRegistry(Box::new(registry))).await.unwrap();
    Lab { flow, hq }
}

pub fn ask(filter: &str, limit: u32) -> PageAsk {
    PageAsk { filter: filter.to_owned(), after: None, limit }
}

impl Lab {
    async fn browse(&self, of: Option<&str>, ask: PageAsk) -> Reply {
        let repository = of.map(|of| of.parse().unwrap());
        let query = Query::Browse { registry: "hq".parse().unwrap(), repository, ask };
        self.flow.ask_as("alice", Request::Query(query)).await
    }

    pub async fn tags(&self, of: &str, ask: PageAsk) -> Outcome<Page<TagRow>> {
        match self.browse(Some(of), ask).await {
            Reply::Tags(page) => Ok(page),
            Reply::Failed(fault) => Err(fault),
            other => panic!("no tags: {other:?}"),
        }
    }

    pub async fn repositories(&self, ask: PageAsk) -> Outcome<Page<RepositoryRow>> {
        match self.browse(None, ask).await {
            Reply::Repositories(page) => Ok(page),
            Reply::Failed(fault) => Err(fault),
            other => panic!("no repositories: {other:?}"),
        }
    }
}

/// Pushes an image with this configuration of its program.
pub async fn push_with(
    registry: &SimRegistry,
    to: &str,
    tag: &str,
    created: &str,
    config: serde_json::Value,
) -> Digest {
    let to: Repository = to.parse().unwrap();
    let said = json!({ "architecture": "arm64", "os": "linux", "created": created, "config": config,
                       "rootfs": { "type": "layers", "diff_ids": [Digest::of(b"base")] } });
    let config = Bytes::from(said.to_string());
    let top = layer(7, 3_000);
    let blob = |media: &str, bytes: &Bytes| json!({ "mediaType": media, "digest": registry.push_blob(&to, bytes.clone()), "size": bytes.len() });
    let image = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": blob("application/vnd.oci.image.config.v1+json", &config),
        "layers": [blob("application/vnd.oci.image.layer.v1.tar+gzip", &top)],
    });
    let manifest = Manifest::read("", image.to_string().into_bytes()).unwrap();
    registry.put_manifest(&to, &Reference::Tag(tag.parse().unwrap()), &manifest).await.unwrap();
    manifest.digest
}
