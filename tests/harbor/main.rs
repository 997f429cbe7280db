//! The Harbor adapter against replies written after Harbor's API description (`fixtures/harbor/README.md`).
#![expect(clippy::unwrap_used, reason = "a test's helpers")]

#[cfg(test)]
mod access;
#[cfg(test)]
mod cli;
#[cfg(test)]
mod estate;
#[cfg(test)]
mod faults;
#[cfg(test)]
mod grants;
#[cfg(test)]
mod look;
#[cfg(test)]
mod runs;
#[cfg(test)]
mod server;
#[cfg(test)]
#[path = "../support/site.rs"]
#[allow(dead_code, clippy::allow_attributes, reason = "each test program uses a part of it")]
mod site;
#[cfg(test)]
#[path = "../support/mod.rs"]
#[allow(dead_code, clippy::allow_attributes, reason = "each test program uses a part of it")]
mod support;

use longshore::adapters::harbor::{Credentials, Harbor};
use longshore::base::ids::RegistryName;
use longshore::model::harbor::{HarborProject, Secret};
use longshore::model::registry::{Registry, RegistryKind};

/// `admin:Passw0rd`, as basic authentication writes it.
pub const BASIC: &str = "Basic YWRtaW46UGFzc3cwcmQ=";

/// A fixture's text.
#[macro_export]
macro_rules! fixture {
    ($name:literal) => {
        include_str!(concat!("../../fixtures/harbor/", $name))
    };
}

/// The record of a Harbor at this address.
pub fn registry(address: &str) -> Registry {
    Registry {
        name: RegistryName::new("hq").unwrap(),
        kind: RegistryKind::Harbor,
        address: address.to_owned(),
        endpoints: vec![],
        sites: vec![],
        plain_http: true,
        ca: None,
        storage: None,
        parallel: 8,
    }
}

/// A Harbor at this address, with a log-in.
pub fn harbor(address: &str) -> Harbor {
    let login = Credentials { user: "admin".to_owned(), password: Secret::new("Passw0rd") };
    Harbor::connect(&registry(address), address, Some(login)).unwrap()
}

/// The project `feed`.
pub fn feed() -> HarborProject {
    HarborProject {
        id: 7,
        name: "feed".into(),
        public: Some(false),
        repositories: 0,
        cache_of: None,
        created: None,
    }
}
