//! Mutual TLS from a directory with `ca.pem`, `cert.pem` and `key.pem`, as the Docker CLI keeps it.

use std::path::Path;
use std::sync::Arc;

use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, crypto::ring};

use crate::base::fault::{Fault, Kind, Outcome};

/// Reads the three files. The engine's certificate is checked against `ca.pem` alone; there is no way around that.
pub(super) fn connector(dir: &Path) -> Outcome<TlsConnector> {
    let (ca, cert, key) = (dir.join("ca.pem"), dir.join("cert.pem"), dir.join("key.pem"));
    let mut roots = RootCertStore::empty();
    for root in certificates(&ca)? {
        roots.add(root).map_err(|why| bad(&ca, &why.to_string()))?;
    }
    check_private(&key)?;
    let chain = certificates(&cert)?;
    let key_der = PrivateKeyDer::from_pem_file(&key).map_err(|why| bad(&key, &why.to_string()))?;
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|why| Fault::new(Kind::Bug, why.to_string()))?
        .with_root_certificates(roots)
        .with_client_auth_cert(chain, key_der)
        .map_err(|why| bad(&cert, &why.to_string()))?;
    Ok(TlsConnector::from(Arc::new(config)))
}

fn certificates(path: &Path) -> Outcome<Vec<CertificateDer<'static>>> {
    let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let list = read.map_err(|why| bad(path, &why.to_string()))?;
    if list.is_empty() { Err(bad(path, "there is no certificate in it")) } else { Ok(list) }
}

/// A key that every user of the machine can read is no secret.
fn check_private(key: &Path) -> Outcome<()> {
    use std::os::unix::fs::PermissionsExt;
    let mode = std::fs::metadata(key).map_err(|why| bad(key, &why.to_string()))?.permissions().mode();
    if mode & 0o004 == 0 {
        return Ok(());
    }
    Err(Fault::new(Kind::Refused, format!("{} can be read by every user", key.display()))
        .hint(format!("chmod 600 {}", key.display())))
}

fn bad(path: &Path, why: &str) -> Fault {
    Fault::new(Kind::Invalid, why).because(format!("cannot use {}", path.display()))
}
