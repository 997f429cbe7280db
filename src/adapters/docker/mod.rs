//! One Docker engine behind the runtime port: over a local socket, TCP with TLS, or ssh.

mod address;
mod archive;
mod auth;
mod body;
mod cgroup;
mod client;
pub mod contexts;
mod dial;
mod events;
mod exec;
mod faults;
mod frames;
mod holdings;
mod images;
mod lifecycle;
mod limits;
mod lines;
mod list;
mod logs;
mod lookup;
mod pull;
mod ssh;
mod stamp;
mod tls;
mod usage;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;

use crate::adapters::credentials::Keyring;
use crate::base::fault::{Fault, Kind, Outcome};
use crate::base::ids::{ContainerId, InstallId};
use crate::model::container::{Container, Tag, Usage};
use crate::model::exec::{ExecSession, ExecWanted};
use crate::model::holdings::Sort;
use crate::model::host::{HostConfig, HostFacts, Image};
use crate::model::pool::PoolSpec;
use crate::model::prewarm::{HeldImage, PullProgress};
use crate::ports::runtime::{Ending, EngineEvent, Images, Lifecycle, LogWanted, Observe, Peek, RawLine};

/// A list beyond this size is read on a thread of its own, so that nothing else waits for it.
const READ_ASIDE: usize = 1024 * 1024;

/// What differs between installs and tests.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Plain TCP may also be used beyond this machine.
    pub allow_plain_tcp: bool,
    /// A configuration file of its own for ssh (`-F`).
    pub ssh_config: Option<PathBuf>,
    /// Where private sockets of ssh are made; the system's temporary directory when absent.
    pub runtime_dir: Option<PathBuf>,
    /// Directory of the Docker CLI's `config.json`, for registry logins; anonymous pulls when absent.
    pub docker_config: Option<PathBuf>,
    /// Another root of the control groups, for tests.
    pub cgroup_root: Option<PathBuf>,
}

impl Options {
    /// The options that the environment asks for: `LONGSHORE_SSH_CONFIG`, `XDG_RUNTIME_DIR`, `DOCKER_CONFIG`.
    pub fn from_env(env: &dyn Fn(&str) -> Option<String>, home: Option<&std::path::Path>) -> Options {
        let path = |name: &str| env(name).filter(|v| !v.is_empty()).map(PathBuf::from);
        Options {
            ssh_config: path("LONGSHORE_SSH_CONFIG"),
            runtime_dir: path("XDG_RUNTIME_DIR"),
            docker_config: path("DOCKER_CONFIG").or_else(|| home.map(|home| home.join(".docker"))),
            ..Options::default()
        }
    }
}

/// One engine. Cheap to make: the first call opens the first connection.
pub struct DockerEngine {
    client: Arc<client::Client>,
    credentials: Keyring,
    meter: usage::Meter,
}

impl DockerEngine {
    /// An engine at the host's address. Nothing is sent yet; only the address and the TLS files are checked.
    ///
    /// # Errors
    /// `Invalid` when the address or a TLS file cannot be read, `Refused` for plain TCP beyond this machine and for a
    /// key that everybody can read.
    pub fn connect(config: &HostConfig, options: Options) -> Outcome<DockerEngine> {
        let address = address::parse(config, options.allow_plain_tcp)?;
        let tls = match (&address, &config.tls_dir) {
            (address::Address::Tcp { .. }, Some(dir)) => Some(tls::connector(dir)?),
            _ => None,
        };
        let runtime_dir = options.runtime_dir.unwrap_or_else(std::env::temp_dir);
        let ssh_config = options.ssh_config;
        let dialer = dial::Dialer::new(address, tls, |user, host, port, socket| {
            ssh::Tunnel::new(ssh::SshTarget { user, host, port, socket, config: ssh_config, runtime_dir })
        });
        let root = options.cgroup_root.unwrap_or_else(|| PathBuf::from(cgroup::CGROUP_ROOT));
        let client = Arc::new(client::Client::new(dialer));
        Ok(DockerEngine {
            credentials: Keyring { config_dir: options.docker_config },
            meter: usage::Meter::new(client.is_local(), root),
            client,
        })
    }
}

/// Percent-encodes a text for a path or a query.
fn encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

impl Lifecycle for DockerEngine {
    fn create<'a>(&'a self, tag: &'a Tag, spec: &'a PoolSpec) -> BoxFuture<'a, Outcome<ContainerId>> {
        lifecycle::create(&self.client, tag, spec).boxed()
    }

    fn start<'a>(&'a self, id: &'a ContainerId) -> BoxFuture<'a, Outcome<()>> {
        lifecycle::start(&self.client, id).boxed()
    }

    fn stop<'a>(&'a self, id: &'a ContainerId, grace_ms: u64) -> BoxFuture<'a, Outcome<()>> {
        lifecycle::stop(&self.client, id, grace_ms).boxed()
    }

    fn remove<'a>(&'a self, id: &'a ContainerId) -> BoxFuture<'a, Outcome<()>> {
        lifecycle::remove(&self.client, id).boxed()
    }

    fn remove_network<'a>(&'a self, name: &'a str, install: &'a InstallId) -> BoxFuture<'a, Outcome<()>> {
        lifecycle::remove_network(&self.client, name, install).boxed()
    }
}

impl Images for DockerEngine {
    fn pull<'a>(
        &'a self,
        image: &'a str,
        progress: &'a (dyn Fn(PullProgress) + Send + Sync),
    ) -> BoxFuture<'a, Outcome<()>> {
        pull::pull(&self.client, &self.credentials, image, progress).boxed()
    }

    fn has_image<'a>(&'a self, image: &'a str) -> BoxFuture<'a, Outcome<bool>> {
        lifecycle::has_image(&self.client, image).boxed()
    }

    fn name_image<'a>(&'a self, image: &'a str, name: &'a str) -> BoxFuture<'a, Outcome<()>> {
        lifecycle::name_image(&self.client, image, name).boxed()
    }

    fn held<'a>(&'a self, image: &'a str) -> BoxFuture<'a, Outcome<Option<HeldImage>>> {
        images::held(&self.client, image).boxed()
    }

    fn export<'a>(&'a self, image: &'a str) -> BoxFuture<'a, Outcome<BoxStream<'static, Outcome<Bytes>>>> {
        archive::export(&self.client, image).boxed()
    }

    fn load<'a>(&'a self, archive: BoxStream<'static, Outcome<Bytes>>) -> BoxFuture<'a, Outcome<()>> {
        archive::load(&self.client, archive).boxed()
    }
}

impl Observe for DockerEngine {
    fn facts(&self) -> BoxFuture<'_, Outcome<HostFacts>> {
        async {
            let facts = lookup::facts(&self.client).await?;
            self.meter.machine_memory(facts.memory);
            Ok(facts)
        }
        .boxed()
    }

    fn ping(&self) -> BoxFuture<'_, Outcome<()>> {
        async { self.client.get(limits::PING, "/_ping").await.map(drop) }.boxed()
    }

    fn images(&self) -> BoxFuture<'_, Outcome<BTreeMap<String, Image>>> {
        async { images::read(&self.client.get(limits::IMAGES, "/images/json").await?.body) }.boxed()
    }

    fn holds<'a>(
        &'a self,
        sort: Sort,
        names: &'a BTreeSet<String>,
    ) -> BoxFuture<'a, Outcome<BTreeSet<String>>> {
        holdings::holds(&self.client, sort, names).boxed()
    }

    fn list(&self) -> BoxFuture<'_, Outcome<Vec<Container>>> {
        async {
            let answer = self.client.get(limits::LIST, "/containers/json?all=1").await?;
            if answer.body.len() < READ_ASIDE {
                return list::read(&answer.body);
            }
            let job = tokio::task::spawn_blocking(move || list::read(&answer.body));
            job.await.map_err(|why| Fault::new(Kind::Bug, why.to_string()))?
        }
        .boxed()
    }

    fn events(&self) -> BoxFuture<'_, Outcome<BoxStream<'static, Outcome<EngineEvent>>>> {
        events::open(&self.client).boxed()
    }

    fn ending<'a>(&'a self, id: &'a ContainerId) -> BoxFuture<'a, Outcome<Ending>> {
        lookup::ending(&self.client, id).boxed()
    }

    fn usage<'a>(&'a self, ids: &'a [ContainerId]) -> BoxFuture<'a, Outcome<BTreeMap<ContainerId, Usage>>> {
        self.meter.usage(&self.client, ids).boxed()
    }

    fn usage_is_free(&self) -> bool {
        self.meter.is_free()
    }
}

impl Peek for DockerEngine {
    fn inspect<'a>(&'a self, id: &'a ContainerId) -> BoxFuture<'a, Outcome<String>> {
        lookup::inspect(&self.client, id).boxed()
    }

    fn logs<'a>(
        &'a self,
        id: &'a ContainerId,
        wanted: &'a LogWanted,
    ) -> BoxFuture<'a, Outcome<BoxStream<'static, Outcome<RawLine>>>> {
        logs::open(&self.client, id, wanted).boxed()
    }

    fn exec<'a>(
        &'a self,
        id: &'a ContainerId,
        wanted: &'a ExecWanted,
    ) -> BoxFuture<'a, Outcome<ExecSession>> {
        exec::exec(&self.client, id, wanted).boxed()
    }
}
