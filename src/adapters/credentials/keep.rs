//! Keeping and forgetting a login, where and how the Docker CLI does: with its credential helper, else in its file.

use std::fs::{File, OpenOptions, Permissions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use crate::adapters::credentials::{Config, Keyring, NONE_KEPT, call, helper_of, key_of, names_of};
use crate::base::fault::{Fault, Kind, Outcome};

/// Where a login is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kept {
    /// By a credential helper of this name.
    Helper(String),
    /// In this file, readable by its owner only.
    File(PathBuf),
}

impl std::fmt::Display for Kept {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Kept::Helper(name) => write!(f, "docker-credential-{name}"),
            Kept::File(path) => path.display().fmt(f),
        }
    }
}

impl Keyring {
    /// Keeps the login of a registry (`HOST[:PORT]`) instead of the one that was kept before.
    ///
    /// # Errors
    /// When the helper fails or the file cannot be written. No error repeats the secret.
    pub async fn keep(&self, registry: &str, username: &str, secret: &str) -> Outcome<Kept> {
        let path = self.file()?;
        let config = self.config()?.unwrap_or_default();
        let key = key_of(registry);
        if let Some(helper) = helper_of(&config, registry) {
            let login = json!({ "ServerURL": key, "Username": username, "Secret": secret }).to_string();
            call(helper, "store", &login).await?.ok_or_else(|| failed(helper))?;
            // As the Docker CLI does: the file says that there is a login, and not which.
            change(&path, |auths| {
                names_of(key).iter().for_each(|name| drop(auths.remove(name)));
                auths.insert(key.to_owned(), json!({}));
            })?;
            return Ok(Kept::Helper(helper.to_owned()));
        }
        let auth = STANDARD.encode(format!("{username}:{secret}"));
        change(&path, |auths| {
            names_of(key).iter().for_each(|name| drop(auths.remove(name)));
            auths.insert(key.to_owned(), json!({ "auth": auth }));
        })?;
        Ok(Kept::File(path))
    }

    /// Forgets the login of a registry. `None` when there was none.
    ///
    /// # Errors
    /// When the helper fails or the file cannot be written.
    pub async fn forget(&self, registry: &str) -> Outcome<Option<Kept>> {
        let Some(config) = self.config()? else { return Ok(None) };
        let key = key_of(registry);
        let path = self.file()?;
        let is_in_file = names_of(key).iter().any(|name| config.auths.contains_key(name));
        let helper = helper_of(&config, registry).map(str::to_owned);
        let with_helper = match &helper {
            Some(helper) if self.find(registry).await?.is_some() => {
                call(helper, "erase", key).await?.ok_or_else(|| failed(helper))?;
                true
            }
            _ => false,
        };
        if is_in_file {
            change(&path, |auths| names_of(key).iter().for_each(|name| drop(auths.remove(name))))?;
        }
        Ok(match helper {
            Some(helper) if with_helper => Some(Kept::Helper(helper)),
            _ => is_in_file.then_some(Kept::File(path)),
        })
    }

    fn file(&self) -> Outcome<PathBuf> {
        self.config_dir.as_ref().map(|dir| dir.join("config.json")).ok_or_else(|| {
            Fault::new(Kind::Refused, "there is no home directory to keep a login in")
                .hint("set DOCKER_CONFIG to a directory of your own")
        })
    }
}

fn failed(helper: &str) -> Fault {
    Fault::new(Kind::Refused, format!("docker-credential-{helper}: {NONE_KEPT}"))
}

/// Changes the logins of the file and leaves all else in it as it was. The new file is there whole or not at all, and
/// readable by its owner only.
fn change(path: &Path, edit: impl FnOnce(&mut Map<String, Value>)) -> Outcome<()> {
    let fail = |why: String| {
        Fault::new(Kind::Refused, why).because(format!("the login cannot be kept in {}", path.display()))
    };
    // Whoever links the file to another place means that place.
    let real = match path.canonicalize() {
        Ok(real) => real,
        Err(e) if e.kind() == ErrorKind::NotFound => path.to_owned(),
        Err(e) => return Err(fail(e.to_string())),
    };
    let mut whole: Value = match std::fs::read(&real) {
        Ok(text) => serde_json::from_slice(&text).map_err(|e| fail(e.to_string()))?,
        Err(e) if e.kind() == ErrorKind::NotFound => json!({}),
        Err(e) => return Err(fail(e.to_string())),
    };
    let object = whole.as_object_mut().ok_or_else(|| fail("it is no JSON object".to_owned()))?;
    let auths = object.entry("auths").or_insert_with(|| json!({}));
    edit(auths.as_object_mut().ok_or_else(|| fail("its \"auths\" is no JSON object".to_owned()))?);
    let text = serde_json::to_string_pretty(&whole).map_err(|e| fail(e.to_string()))?;
    write(&real, &text).map_err(|e| fail(e.to_string()))
}

fn write(path: &Path, text: &str) -> std::io::Result<()> {
    if let Some(folder) = path.parent()
        && !folder.exists()
    {
        std::fs::create_dir_all(folder)?;
        std::fs::set_permissions(folder, Permissions::from_mode(0o700))?;
    }
    // A name of this process's own: two that log in at a time must not write into one another's file.
    let part = path.with_extension(format!("json.{}", std::process::id()));
    match std::fs::remove_file(&part) {
        Err(e) if e.kind() != ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&part)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    std::fs::rename(&part, path)?;
    path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}

impl Config {
    /// Whether it names a helper for all registries that none is named for.
    pub(super) fn store(&self) -> Option<&String> {
        self.store.as_ref().filter(|name| !name.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adapters::credentials::Credentials;

    fn ring(dir: &tempfile::TempDir) -> Keyring {
        Keyring { config_dir: Some(dir.path().join("docker")) }
    }

    #[tokio::test]
    async fn a_login_is_kept_as_the_docker_cli_does_and_forgotten_again() {
        let dir = tempfile::tempdir().unwrap();
        let ring = ring(&dir);
        let file = dir.path().join("docker/config.json");
        assert_eq!(ring.forget("r.example:5000").await.unwrap(), None);
        let kept = ring.keep("r.example:5000", "ada", "pw:1").await.unwrap();
        assert_eq!(kept, Kept::File(file.clone()));
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&file), mode(file.parent().unwrap())), (0o600, 0o700));
        let login = Credentials::Password { username: "ada".into(), secret: "pw:1".into() };
        assert_eq!(ring.find("r.example:5000").await.unwrap(), Some(login));
        std::fs::write(&file, r#"{"proxies":{"x":1},"auths":{"https://r.example/v1/":{"auth":"bWU6YQ=="},"other":{"auth":"bWU6YQ=="}}}"#)
            .unwrap();
        ring.keep("r.example", "ada", "pw").await.unwrap();
        let whole: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
        assert_eq!(whole["proxies"]["x"], 1, "what else is in it stays");
        assert_eq!(
            whole["auths"].as_object().unwrap().len(),
            2,
            "an older form of the key is not left: {whole}"
        );
        assert_eq!(mode(&file), 0o600);
        assert_eq!(ring.forget("r.example").await.unwrap(), Some(Kept::File(file.clone())));
        assert_eq!(ring.find("r.example").await.unwrap(), None);
        assert!(ring.find("other").await.unwrap().is_some());
        std::fs::write(&file, "[]").unwrap();
        assert!(ring.keep("r.example", "ada", "pw").await.is_err(), "what is no configuration is left alone");
        assert_eq!(std::fs::read(&file).unwrap(), b"[]");
    }

    #[tokio::test]
    async fn a_helper_that_is_not_there_keeps_nothing_and_says_so() {
        let dir = tempfile::tempdir().unwrap();
        let ring = ring(&dir);
        std::fs::create_dir(dir.path().join("docker")).unwrap();
        let file = dir.path().join("docker/config.json");
        let text = r#"{"credsStore":"longshore-test-none"}"#;
        std::fs::write(&file, text).unwrap();
        let why = ring.keep("r.example", "ada", "s3cret").await.unwrap_err().to_string();
        assert!(why.contains("docker-credential-longshore-test-none") && !why.contains("s3cret"), "{why}");
        assert_eq!(std::fs::read_to_string(&file).unwrap(), text);
    }
}
