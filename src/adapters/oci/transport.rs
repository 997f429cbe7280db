//! The connections: HTTP/1.1 over TLS by rustls, proxies from the environment, and words for what goes wrong with them.

use std::error::Error as _;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use reqwest::{Client, Url, redirect};
use rustls::crypto::ring;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};

use crate::adapters::oci::limits::Limits;
use crate::adapters::oci::origin::is_loopback;
use crate::base::fault::{Fault, Kind, Outcome};

/// Connections to a registry and to what it points at.
///
/// HTTP/1.1 on purpose: HTTP/2 would put all transfers on one TCP window. Redirects are followed by hand, so that no header
/// goes where it should not.
#[derive(Clone, Debug)]
pub struct Transport {
    outer: Client,
    /// For this machine itself, where no proxy is asked, as in Go's and curl's clients.
    near: Client,
}

impl Transport {
    /// Connections that trust the machine's authorities and those in the file `ca` (PEM).
    ///
    /// # Errors
    /// When the file cannot be read or holds no certificate.
    pub fn new(ca: Option<&Path>, limits: &Limits) -> Outcome<Transport> {
        let tls = config(ca)?;
        let builder = || {
            Client::builder()
                .tls_backend_preconfigured(tls.clone())
                .http1_only()
                .redirect(redirect::Policy::none())
                .connect_timeout(limits.connect)
                .tcp_nodelay(true)
                .pool_max_idle_per_host(64)
                .user_agent(concat!("longshore/", env!("CARGO_PKG_VERSION")))
        };
        let build = |b: reqwest::ClientBuilder| b.build().map_err(|why| fault_of(why, "the client"));
        Ok(Transport { outer: build(builder())?, near: build(builder().no_proxy())? })
    }

    /// The client for a URL.
    pub fn to(&self, url: &Url) -> &Client {
        if is_loopback(url) { &self.near } else { &self.outer }
    }
}

fn config(ca: Option<&Path>) -> Outcome<ClientConfig> {
    let mut roots = machine_roots().clone();
    if let Some(path) = ca {
        let bad =
            |why: String| Fault::new(Kind::Invalid, why).because(format!("cannot use {}", path.display()));
        let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
        let list = read.map_err(|why| bad(why.to_string()))?;
        if list.is_empty() {
            return Err(bad("there is no certificate in it".to_owned()));
        }
        for certificate in list {
            roots.add(certificate).map_err(|why| bad(why.to_string()))?;
        }
    }
    Ok(ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|why| Fault::new(Kind::Bug, why.to_string()))?
        .with_root_certificates(roots)
        .with_no_client_auth())
}

/// The machine's authorities, read once. A machine without any is no fault here: the handshake then says whom it does not trust.
fn machine_roots() -> &'static RootCertStore {
    static ROOTS: OnceLock<RootCertStore> = OnceLock::new();
    ROOTS.get_or_init(|| {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        roots
    })
}

/// Words of the layers between us and the reason, which say nothing more.
const NOISE: [&str; 3] = ["error sending request", "client error (Connect)", "tcp connect error"];

/// What became of a request that got no answer. URLs are left out: those of uploads and stores hold secrets.
pub(super) fn fault_of(error: reqwest::Error, host: &str) -> Fault {
    let error = error.without_url();
    let mut reasons = vec![error.to_string()];
    let mut source = error.source();
    while let Some(inner) = source {
        let text = inner.to_string();
        if reasons.last() != Some(&text) {
            reasons.push(text);
        }
        source = inner.source();
    }
    if reasons.iter().any(|r| !NOISE.contains(&r.as_str())) {
        reasons.retain(|r| !NOISE.contains(&r.as_str()));
    }
    // The certificate's fault will not go away by asking again.
    if let Some(why) = reasons.iter().find(|r| r.contains("certificate") || r.contains("InvalidContentType"))
    {
        return Fault::new(Kind::Refused, why.clone())
            .because(format!("{host} cannot be trusted"))
            .hint("name the file of its certificate authority in the registry's `ca`, or say that it speaks plain HTTP");
    }
    if error.is_builder() {
        return Fault { kind: Kind::Bug, reasons, hint: None };
    }
    let outer = if error.is_connect() { "cannot be reached" } else { "cut the connection" };
    Fault { kind: Kind::Unreachable, reasons, hint: None }.because(format!("{host} {outer}"))
}
