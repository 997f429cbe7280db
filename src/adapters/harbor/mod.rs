//! One Harbor behind the port to registries that have projects, members and replication of their own.
//!
//! Written after Harbor's API description (`api/v2.0/swagger.yaml`) and the handlers behind it; `fixtures/harbor/README.md`
//! says which. Images themselves move through the distribution protocol, not through here.

mod access;
mod estate;
mod faults;
mod http;
mod paging;
mod runs;
mod stamp;
mod wire;

use std::path::Path;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde::de::DeserializeOwned;

pub use crate::adapters::harbor::http::Credentials;
use crate::adapters::harbor::http::{Call, Http, Limits, encode};
use crate::adapters::harbor::wire::{ArtifactBody, HealthBody, ProjectBody, SummaryBody, UserBody};
use crate::base::fault::{Fault, Kind, Outcome};
use crate::model::harbor::{ArtifactFacts, HarborHealth, HarborProject, Login, Quota};
use crate::model::oci::Repository;
use crate::model::registry::{Page, Registry};
use crate::ports::registry_admin::Condition;

const fn limits(what: &'static str, seconds: u64, cap: usize) -> Limits {
    Limits { what, deadline: Duration::from_secs(seconds), cap, tail: false }
}

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

/// Harbor asks each of its parts, with a minute for those that hang; we do not wait for them all.
const HEALTH: Limits = limits("ask how it is", 20, 256 * KIB);
/// One row of its database. Same for the next.
const LOGIN: Limits = limits("log in", 20, 256 * KIB);
/// See [`LOGIN`].
const QUOTA: Limits = limits("read a quota", 20, 256 * KIB);
/// A hundred projects with their allowlists of CVEs, which may be long.
const PROJECTS: Limits = limits("list projects", 30, 16 * MIB);
/// A hundred artifacts with their configuration, some kB each; loading them is slow in Harbor.
const ARTIFACTS: Limits = limits("list artifacts", 60, 32 * MIB);

/// One Harbor. Cheap to make: the first call opens the first connection.
pub struct Harbor {
    http: Http,
}

impl Harbor {
    /// A Harbor at this address (`HOST[:PORT]`), of those of the registry. Nothing is sent yet.
    ///
    /// # Errors
    /// `Invalid` when the address or the file with certificate authorities cannot be read.
    pub fn connect(registry: &Registry, address: &str, credentials: Option<Credentials>) -> Outcome<Harbor> {
        let ca = registry.ca.as_deref().map(Path::new);
        // As for its images: on this machine without TLS, unless an authority is named.
        let plain = registry.plain_http || (ca.is_none() && is_loopback(address));
        let http = Http::new(address, plain, ca, credentials);
        Ok(Harbor {
            http: http.map_err(|fault| fault.because(format!("cannot use registry {}", registry.name)))?,
        })
    }

    /// Sends a call whose answer is one object.
    async fn object<T: DeserializeOwned>(&self, call: &Call) -> Outcome<T> {
        let answer = self.http.send(call).await?;
        read(call, &answer.body)
    }

    async fn known_as(&self) -> Outcome<Login> {
        let call = Call::get(LOGIN, "/api/v2.0/users/current");
        match self.http.send(&call).await {
            Ok(answer) => Ok(read::<UserBody>(&call, &answer.body)?.noun()),
            // `GetCurrentUserInfo` refuses those whom it knows and who are no people.
            Err(failed) if failed.status == Some(412) => Ok(Login::NoPerson),
            Err(failed) => Err(failed.fault),
        }
    }
}

/// True for an address of this machine.
fn is_loopback(address: &str) -> bool {
    let bare = address.rsplit_once(':').map_or(address, |(host, port)| {
        if port.bytes().all(|b| b.is_ascii_digit()) { host } else { address }
    });
    let bare = bare.trim_start_matches('[').trim_end_matches(']');
    bare == "localhost" || bare.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// Reads the one object of an answer.
fn read<T: DeserializeOwned>(call: &Call, body: &[u8]) -> Outcome<T> {
    serde_json::from_slice(body)
        .map_err(|why| faults::not_understood(&why).because(format!("cannot {}", call.limits.what)))
}

impl Condition for Harbor {
    fn health(&self) -> BoxFuture<'_, Outcome<HarborHealth>> {
        async {
            let mut call = Call::get(HEALTH, "/api/v2.0/health");
            call.login = false;
            Ok(self.object::<HealthBody>(&call).await?.noun())
        }
        .boxed()
    }

    fn login(&self) -> BoxFuture<'_, Outcome<Login>> {
        self.known_as().boxed()
    }

    fn projects(&self) -> BoxFuture<'_, Outcome<Vec<HarborProject>>> {
        async {
            // Whom Harbor does not know gets the public projects with status 200: a wrong password would read as an
            // almost empty Harbor.
            self.known_as().await?;
            paging::all::<ProjectBody>(&self.http, &Call::get(PROJECTS, "/api/v2.0/projects")).await
        }
        .boxed()
    }

    fn quota<'a>(&'a self, project: &'a HarborProject) -> BoxFuture<'a, Outcome<Option<Quota>>> {
        async {
            let call = Call::get(QUOTA, format!("/api/v2.0/projects/{}/summary", project.id));
            Ok(self.object::<SummaryBody>(&call).await?.noun())
        }
        .boxed()
    }

    fn artifacts<'a>(
        &'a self,
        of: &'a Repository,
        next: Option<&'a str>,
    ) -> BoxFuture<'a, Outcome<Page<ArtifactFacts>>> {
        async move {
            let Some((project, rest)) = of.as_str().split_once('/') else {
                return Err(Fault::new(Kind::Invalid, format!("{of} has no project before its name")));
            };
            // A slash within the name is encoded twice (`repositoryName` in the API description).
            let rest = encode(&encode(rest));
            let path = format!("/api/v2.0/projects/{}/repositories/{rest}/artifacts", encode(project));
            let list = Call::get(ARTIFACTS, path).with("with_tag", "true");
            paging::one::<ArtifactBody>(&self.http, &list, next).await
        }
        .boxed()
    }
}
