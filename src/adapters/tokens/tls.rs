//! The certificate that the token service shows: read again when its files change, so that a renewed one needs no restart.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::adapters::tokens::of_file;
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

fn acceptor(files: &TlsFiles) -> Outcome<TlsAcceptor> {
    let chain = CertificateDer::pem_file_iter(&files.certificate)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|e| of_file(&files.certificate, e))?;
    let key = PrivateKeyDer::from_pem_file(&files.key).map_err(|e| of_file(&files.key, e))?;
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .and_then(|b| b.with_no_client_auth().with_single_cert(chain, key))
        .map_err(|e| of_file(&files.certificate, e))?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}
