//! The certificate that the token service shows: read again when its files change, so that a renewed one needs no restart.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::adapters::tokens::of_file;
use crate::base::clock::Millis;
use crate::base::fault::Outcome;
use crate::model::journal::{Draft, What};

/// The files of a TLS server, PEM.
#[derive(Clone, Debug)]
pub struct TlsFiles {
    /// Its certificate, and those between it and the authority.
    pub certificate: PathBuf,
    /// Its key.
    pub key: PathBuf,
}

/// When a file was written and how long it is; none when it cannot be looked at.
type Stamp = Option<(SystemTime, u64)>;

impl TlsFiles {
    fn stamps(&self) -> [Stamp; 2] {
        [&self.certificate, &self.key].map(|path| {
            let is = std::fs::metadata(path).ok()?;
            Some((is.modified().ok()?, is.len()))
        })
    }
}

/// What answers TLS handshakes.
pub(super) struct Tls {
    files: TlsFiles,
    stamps: [Stamp; 2],
    acceptor: TlsAcceptor,
}

impl Tls {
    /// Reads the files.
    ///
    /// # Errors
    /// When one cannot be read, or they do not belong together.
    pub fn open(files: &TlsFiles) -> Outcome<Tls> {
        // (Before the files themselves: what is written meanwhile is read at the next look.)
        let stamps = files.stamps();
        Ok(Tls { files: files.clone(), stamps, acceptor: acceptor(files)? })
    }

    /// What answers the next handshake.
    pub fn acceptor(&self) -> TlsAcceptor {
        self.acceptor.clone()
    }

    /// Reads the files again if they have changed, and says what came of it. A pair that cannot be used changes nothing.
    pub fn renew(&mut self) -> Option<Draft> {
        let stamps = self.files.stamps();
        if stamps == self.stamps {
            return None;
        }
        self.stamps = stamps;
        Some(match acceptor(&self.files) {
            Ok(acceptor) => {
                self.acceptor = acceptor;
                let from = self.files.certificate.display();
                Draft::engine(What::Outcome, format!("the token service has a new certificate, from {from}"))
            }
            Err(fault) => {
                let text =
                    format!("the token service's new certificate cannot be used, the old one stays: {fault}");
                Draft::engine(What::Failed, text)
            }
        })
    }
}

/// Whether a certificate and its key can be shown.
///
/// # Errors
/// When one cannot be read, or they do not belong together.
pub fn usable(certificate: &Path, key: &Path) -> Outcome<()> {
    let (certificate, key) = (certificate.to_owned(), key.to_owned());
    acceptor(&TlsFiles { certificate, key }).map(|_| ())
}

/// When a certificate ends: the first in its PEM file. (Those after it are for clients to choose from.)
///
/// # Errors
/// When the file cannot be read, or holds no certificate.
pub fn ends(path: &Path) -> Outcome<Millis> {
    let chain = chain(path)?;
    let first = chain.first().ok_or_else(|| of_file(path, "there is no certificate in it"))?;
    let (_, read) = x509_parser::parse_x509_certificate(first).map_err(|e| of_file(path, e))?;
    Ok(Millis(read.validity().not_after.timestamp().saturating_mul(1000)))
}

fn chain(path: &Path) -> Outcome<Vec<CertificateDer<'static>>> {
    CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|e| of_file(path, e))
}

fn acceptor(files: &TlsFiles) -> Outcome<TlsAcceptor> {
    let chain = chain(&files.certificate)?;
    let key = PrivateKeyDer::from_pem_file(&files.key).map_err(|e| of_file(&files.key, e))?;
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .and_then(|b| b.with_no_client_auth().with_single_cert(chain, key))
        .map_err(|e| of_file(&files.certificate, e))?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair, date_time_ymd};

    use super::*;
    use crate::adapters::tokens::keys::{SigningKey, certificate_path};
    use crate::base::stamp::rfc3339;

    fn pem(year: i32, month: u8, day: u8) -> String {
        let mut params = CertificateParams::new(["longshore.test".to_owned()]).unwrap();
        params.not_after = date_time_ymd(year, month, day);
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().pem()
    }

    #[test]
    fn a_chain_ends_with_its_first_certificate() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("chain.pem");
        for (text, end) in [
            (pem(2027, 3, 1), "2027-03-01T00:00:00.000Z"),
            (pem(2027, 3, 1) + &pem(2026, 12, 24), "2027-03-01T00:00:00.000Z"),
            (pem(2055, 1, 1), "2055-01-01T00:00:00.000Z"),
        ] {
            std::fs::write(&path, text).unwrap();
            assert_eq!(rfc3339(ends(&path).unwrap()), end);
        }
        SigningKey::open(dir.path()).unwrap();
        assert_eq!(rfc3339(ends(&certificate_path(dir.path())).unwrap()), "4096-01-01T00:00:00.000Z");
    }

    #[test]
    fn a_certificate_with_the_key_of_another_cannot_be_shown() {
        let dir = tempfile::tempdir().unwrap();
        let (path, key) = (dir.path().join("chain.pem"), dir.path().join("key.pem"));
        let (first, other) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
        let params = CertificateParams::new(["longshore.test".to_owned()]).unwrap();
        std::fs::write(&path, params.self_signed(&first).unwrap().pem()).unwrap();
        std::fs::write(&key, first.serialize_pem()).unwrap();
        usable(&path, &key).unwrap();
        std::fs::write(&key, other.serialize_pem()).unwrap();
        assert!(usable(&path, &key).unwrap_err().to_string().contains("chain.pem: "));
    }

    #[test]
    fn what_is_no_certificate_is_a_fault_that_names_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("chain.pem");
        let not_there = ends(&path).unwrap_err().to_string();
        let nonsense = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        let mut said = vec![not_there];
        for text in ["", "no PEM at all", nonsense] {
            std::fs::write(&path, text).unwrap();
            said.push(ends(&path).unwrap_err().to_string());
        }
        assert!(said.iter().all(|text| text.contains("chain.pem: ")), "{said:?}");
    }
}
