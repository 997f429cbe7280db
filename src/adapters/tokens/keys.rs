//! The key that signs tokens and its certificate, which registries trust: made once, kept in the state directory.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jsonwebtoken::EncodingKey;
use rcgen::{CertificateParams, DnType, KeyPair, PKCS_ECDSA_P256_SHA256, PublicKeyData};
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject;

use crate::adapters::tokens::of_file;
use crate::adapters::tokens::secrets::random;
use crate::base::fault::{Fault, Kind, Outcome};

/// The folder in the state directory, and the two files in it.
const FOLDER: &str = "registry-tokens";
const KEY: &str = "key.pem";
const CERTIFICATE: &str = "certificate.pem";
const REPORTS: &str = "reports.secret";

/// The certificate's place under a state directory: what a registry's `rootcertbundle` must name (or a copy of it).
pub fn certificate_path(state: &Path) -> PathBuf {
    state.join(FOLDER).join(CERTIFICATE)
}

/// The secret that registries report with; `None` when it has not been made yet.
///
/// # Errors
/// When others can read it, or it cannot be read.
pub fn reports_secret(state: &Path) -> Outcome<Option<String>> {
    let kept = read_private(&state.join(FOLDER).join(REPORTS))?;
    Ok(kept.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty()))
}

/// The same; it is made if there never was one. For the holder of the engine's lock only, after [`SigningKey::open`].
///
/// # Errors
/// When others can read it, or it cannot be read or written.
pub fn make_reports_secret(state: &Path) -> Outcome<String> {
    if let Some(secret) = reports_secret(state)? {
        return Ok(secret);
    }
    let secret = random()?;
    write(&state.join(FOLDER).join(REPORTS), &format!("{secret}\n"), 0o600)?;
    Ok(secret)
}

/// The key, ready to sign with.
pub struct SigningKey {
    pub(crate) key: EncodingKey,
    /// The certificate, as tokens carry it.
    pub(crate) certificate: String,
}

impl SigningKey {
    /// Reads the key from the state directory, or makes it if there never was one. For the holder of the engine's lock only.
    ///
    /// # Errors
    /// When others can read the key, when it or the certificate is gone while the other is there (a new key would be
    /// refused by every registry without a word), or when they cannot be read or written.
    pub fn open(state: &Path) -> Outcome<SigningKey> {
        let folder = state.join(FOLDER);
        let (key_at, certificate_at) = (folder.join(KEY), folder.join(CERTIFICATE));
        let text = match (read_private(&key_at)?, read(&certificate_at)?) {
            (Some(key), Some(certificate)) => (key, certificate),
            // It was being made when the machine stopped: no registry has seen its certificate yet.
            (Some(key), None) => {
                let certificate = certify(&pair(&key, &key_at)?)?;
                write(&certificate_at, &certificate, 0o644)?;
                (key, certificate)
            }
            (None, None) => {
                fs::create_dir_all(&folder).map_err(|e| of_file(&folder, e))?;
                fs::set_permissions(&folder, Permissions::from_mode(0o700))
                    .map_err(|e| of_file(&folder, e))?;
                let made = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(|e| unmade(&e))?;
                let (key, certificate) = (made.serialize_pem(), certify(&made)?);
                write(&key_at, &key, 0o600)?;
                write(&certificate_at, &certificate, 0o644)?;
                (key, certificate)
            }
            (None, Some(_)) => {
                let hint = "bring the key back, or remove the certificate too: then a new pair is made, \
                            and every registry needs the new certificate";
                return Err(of_file(&key_at, "the key is gone and its certificate is there").hint(hint));
            }
        };
        SigningKey::of(&text.0, &text.1, &key_at)
    }

    /// Reads the key where it has been made; nothing is written.
    ///
    /// # Errors
    /// When others can read the key, or it cannot be read.
    pub fn read(state: &Path) -> Outcome<Option<SigningKey>> {
        let folder = state.join(FOLDER);
        let (key_at, certificate_at) = (folder.join(KEY), folder.join(CERTIFICATE));
        match (read_private(&key_at)?, read(&certificate_at)?) {
            (Some(key), Some(certificate)) => SigningKey::of(&key, &certificate, &key_at).map(Some),
            _ => Ok(None),
        }
    }

    fn of(key: &str, certificate: &str, at: &Path) -> Outcome<SigningKey> {
        let der = CertificateDer::from_pem_slice(certificate.as_bytes())
            .map_err(|e| of_file(at, format!("the certificate beside it cannot be read: {e}")))?;
        let public = pair(key, at)?.der_bytes().to_vec();
        if !der.as_ref().windows(public.len().max(1)).any(|part| part == public) {
            return Err(of_file(at, "the certificate beside it belongs to another key"));
        }
        let key = EncodingKey::from_ec_pem(key.as_bytes()).map_err(|e| of_file(at, e))?;
        Ok(SigningKey { key, certificate: STANDARD.encode(der) })
    }
}

fn unmade(e: &rcgen::Error) -> Fault {
    Fault::new(Kind::Bug, format!("the key for tokens cannot be made: {e}"))
}

fn pair(key: &str, at: &Path) -> Outcome<KeyPair> {
    KeyPair::from_pkcs8_pem_and_sign_algo(key, &PKCS_ECDSA_P256_SHA256)
        .map_err(|e| of_file(at, format!("this is no key for tokens: {e}")))
}

/// A certificate for the key by itself. It never ends: registries trust this very one, by its file.
fn certify(key: &KeyPair) -> Outcome<String> {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, "longshore registry tokens");
    params.self_signed(key).map(|c| c.pem()).map_err(|e| unmade(&e))
}

fn read(path: &Path) -> Outcome<Option<String>> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
        Err(e) => Err(of_file(path, e)),
    }
}

/// The same for what only we may read.
fn read_private(path: &Path) -> Outcome<Option<String>> {
    match fs::metadata(path) {
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
        Err(e) => Err(of_file(path, e)),
        Ok(meta) if meta.permissions().mode() & 0o077 != 0 => {
            let hint =
                format!("chmod 600 {} if nobody else has read it; else remove the folder", path.display());
            Err(of_file(path, "others may read the key that signs tokens").hint(hint))
        }
        Ok(_) => read(path),
    }
}

/// Writes a file that is there whole or not at all, also after a power cut.
fn write(path: &Path, text: &str, mode: u32) -> Outcome<()> {
    let part = path.with_extension("part");
    let all = || -> std::io::Result<()> {
        match fs::remove_file(&part) {
            Err(e) if e.kind() != ErrorKind::NotFound => return Err(e),
            _ => {}
        }
        let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&part)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&part, path)?;
        path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
    };
    all().map_err(|e| of_file(path, e))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_is_made_once_and_is_ours_alone() {
        let dir = tempfile::tempdir().unwrap();
        let first = SigningKey::open(dir.path()).unwrap().certificate;
        assert_eq!(SigningKey::open(dir.path()).unwrap().certificate, first);
        let key = dir.path().join(FOLDER).join(KEY);
        assert_eq!(fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(certificate_path(dir.path()).exists());
        fs::set_permissions(&key, Permissions::from_mode(0o640)).unwrap();
        let why = SigningKey::open(dir.path()).map(|_| ()).unwrap_err();
        assert!(why.to_string().contains("others may read"), "{why}");
    }

    #[test]
    fn reading_makes_nothing_and_the_secret_of_reports_is_made_once() {
        let dir = tempfile::tempdir().unwrap();
        assert!(
            SigningKey::read(dir.path()).unwrap().is_none() && reports_secret(dir.path()).unwrap().is_none()
        );
        assert!(!dir.path().join(FOLDER).exists());
        let made = SigningKey::open(dir.path()).unwrap().certificate;
        assert_eq!(SigningKey::read(dir.path()).unwrap().unwrap().certificate, made);
        let secret = make_reports_secret(dir.path()).unwrap();
        assert!(secret.len() == 64 && make_reports_secret(dir.path()).unwrap() == secret);
        assert_eq!(reports_secret(dir.path()).unwrap(), Some(secret));
        let kept = dir.path().join(FOLDER).join(REPORTS);
        assert_eq!(fs::metadata(&kept).unwrap().permissions().mode() & 0o777, 0o600);
        fs::set_permissions(&kept, Permissions::from_mode(0o644)).unwrap();
        assert!(reports_secret(dir.path()).is_err());
    }

    #[test]
    fn half_a_pair_is_finished_or_refused() {
        let dir = tempfile::tempdir().unwrap();
        SigningKey::open(dir.path()).unwrap();
        fs::remove_file(certificate_path(dir.path())).unwrap();
        let again = SigningKey::open(dir.path()).unwrap().certificate;
        let key = dir.path().join(FOLDER).join(KEY);
        let other = tempfile::tempdir().unwrap();
        assert_ne!(SigningKey::open(other.path()).unwrap().certificate, again);
        fs::copy(certificate_path(other.path()), certificate_path(dir.path())).unwrap();
        let why = SigningKey::open(dir.path()).map(|_| ()).unwrap_err();
        assert!(why.to_string().contains("another key"), "{why}");
        fs::remove_file(key).unwrap();
        let why = SigningKey::open(dir.path()).map(|_| ()).unwrap_err();
        assert!(why.to_string().contains("the key is gone"), "{why}");
    }
}
