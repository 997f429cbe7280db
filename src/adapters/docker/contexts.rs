//! Where the Docker CLI would find its engine: the environment, its contexts, or the usual socket; and all contexts as hosts.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::adapters::docker::address::DEFAULT_SOCKET;
use crate::adapters::docker::limits::CONFIG_CAP;
use crate::base::fault::{Fault, Kind, Outcome};
use crate::base::ids::HostId;
use crate::model::host::{HostConfig, HostSource};

/// Most contexts that are read.
const CONTEXTS_MAX: usize = 1000;

/// Looks a variable of the environment up.
pub type Env<'a> = &'a dyn Fn(&str) -> Option<String>;

#[derive(Default, Deserialize)]
#[serde(default)]
struct CliConfig {
    #[serde(rename = "currentContext")]
    current: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Meta {
    name: String,
    #[serde(default)]
    endpoints: std::collections::HashMap<String, Endpoint>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Endpoint {
    #[serde(default)]
    host: String,
}

/// The engine that the Docker CLI would use: `DOCKER_HOST` (with `DOCKER_TLS_VERIFY` and `DOCKER_CERT_PATH`), else
/// `DOCKER_CONTEXT` or the CLI's current context, else the usual socket.
///
/// # Errors
/// `NotFound` when the named context does not exist, `Invalid` when a file of the CLI cannot be read.
pub fn default_engine(env: Env<'_>, home: Option<&Path>) -> Outcome<HostConfig> {
    let set = |name: &str| env(name).filter(|value| !value.is_empty());
    let dir = config_dir(env, home);
    if let Some(address) = set("DOCKER_HOST") {
        let certificates = || set("DOCKER_CERT_PATH").map(PathBuf::from).or_else(|| dir.clone());
        let tls = set("DOCKER_TLS_VERIFY").or_else(|| set("DOCKER_TLS"));
        return host("local", address, tls.and_then(|_| certificates()), HostSource::Environment);
    }
    let name = match (set("DOCKER_CONTEXT"), &dir) {
        (Some(name), _) => name,
        (None, Some(dir)) => current(dir)?,
        (None, None) => String::new(),
    };
    if name.is_empty() || name == "default" {
        return host("local", format!("unix://{DEFAULT_SOCKET}"), None, HostSource::Environment);
    }
    let missing = || {
        Fault::new(Kind::NotFound, format!("the Docker context {name:?} does not exist"))
            .hint("docker context ls shows those that do")
    };
    let all = contexts_in(&dir.ok_or_else(missing)?)?;
    let (_, found) = all.into_iter().find(|(theirs, _)| *theirs == name).ok_or_else(missing)?;
    Ok(HostConfig { source: HostSource::Environment, ..found? })
}

/// Every context of the Docker CLI as a host, by its name there; one that cannot be used is a fault in its place.
///
/// # Errors
/// When the directory of contexts is there but cannot be read.
pub fn all(env: Env<'_>, home: Option<&Path>) -> Outcome<Vec<(String, Outcome<HostConfig>)>> {
    config_dir(env, home).map_or_else(|| Ok(Vec::new()), |dir| contexts_in(&dir))
}

fn config_dir(env: Env<'_>, home: Option<&Path>) -> Option<PathBuf> {
    let told = env("DOCKER_CONFIG").filter(|dir| !dir.is_empty()).map(PathBuf::from);
    told.or_else(|| home.map(|home| home.join(".docker")))
}

fn current(dir: &Path) -> Outcome<String> {
    let config: Option<CliConfig> = read(&dir.join("config.json"))?;
    Ok(config.map(|c| c.current).unwrap_or_default())
}

fn contexts_in(dir: &Path) -> Outcome<Vec<(String, Outcome<HostConfig>)>> {
    let store = dir.join("contexts").join("meta");
    let because = |why: &std::io::Error| {
        Fault::new(Kind::Invalid, why.to_string()).because(format!("cannot read {}", store.display()))
    };
    let entries = match std::fs::read_dir(&store) {
        Ok(entries) => entries,
        Err(why) if why.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(why) => return Err(because(&why)),
    };
    let mut found = Vec::new();
    for entry in entries.take(CONTEXTS_MAX) {
        let id = entry.map_err(|why| because(&why))?.file_name();
        match read::<Meta>(&store.join(&id).join("meta.json")) {
            Ok(Some(meta)) => {
                let tls = dir.join("contexts").join("tls").join(&id).join("docker");
                let tls_dir = tls.join("ca.pem").exists().then_some(tls);
                let name = meta.name.clone();
                found.push((name, from_meta(meta, tls_dir)));
            }
            // A directory without the file is a context that is being removed.
            Ok(None) => {}
            Err(fault) => found.push((id.to_string_lossy().into_owned(), Err(fault))),
        }
    }
    found.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(found)
}

fn from_meta(mut meta: Meta, tls_dir: Option<PathBuf>) -> Outcome<HostConfig> {
    let endpoint = meta.endpoints.remove("docker").filter(|e| !e.host.is_empty());
    let Some(endpoint) = endpoint else {
        return Err(Fault::new(Kind::Invalid, format!("the Docker context {:?} names no engine", meta.name)));
    };
    host(&meta.name, endpoint.host, tls_dir, HostSource::Context)
}

fn host(name: &str, address: String, tls_dir: Option<PathBuf>, source: HostSource) -> Outcome<HostConfig> {
    // The CLI allows upper case and `+` in names, ours do not.
    let clean: String = name
        .to_lowercase()
        .chars()
        .map(|c| if c.is_ascii_lowercase() || c.is_ascii_digit() || "-_.".contains(c) { c } else { '-' })
        .take(crate::base::ids::NAME_MAX)
        .collect();
    let id = HostId::new(clean.trim_start_matches(['-', '_', '.']))?;
    Ok(HostConfig { id, address, tls_dir, source })
}

fn read<T: for<'de> Deserialize<'de>>(path: &Path) -> Outcome<Option<T>> {
    let because =
        |why: String| Fault::new(Kind::Invalid, why).because(format!("cannot read {}", path.display()));
    match std::fs::metadata(path) {
        Err(why) if why.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(why) => return Err(because(why.to_string())),
        Ok(meta) if meta.len() > CONFIG_CAP => return Err(because("it is far too large".to_owned())),
        Ok(_) => {}
    }
    let text = std::fs::read(path).map_err(|why| because(why.to_string()))?;
    serde_json::from_slice(&text).map(Some).map_err(|why| because(why.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(home: &Path, path: &str, text: &str) {
        let path = home.join(".docker").join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    fn find(home: &Path, env: &[(&str, &str)]) -> Outcome<HostConfig> {
        let env = |name: &str| env.iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned());
        default_engine(&env, Some(home))
    }

    #[test]
    fn the_environment_comes_first_then_the_context_then_the_socket() {
        let home = tempfile::tempdir().unwrap();
        let home = home.path();
        assert_eq!(find(home, &[]).unwrap().address, "unix:///var/run/docker.sock");
        put(home, "config.json", r#"{"currentContext":"Far","auths":{}}"#);
        assert_eq!(find(home, &[]).unwrap_err().kind, Kind::NotFound);
        let meta = r#"{"Name":"Far","Metadata":{},"Endpoints":{"docker":{"Host":"tcp://far:2376","SkipTLSVerify":false}}}"#;
        put(home, "contexts/meta/ab12/meta.json", meta);
        put(home, "contexts/tls/ab12/docker/ca.pem", "");
        let far = find(home, &[]).unwrap();
        assert_eq!((far.id.as_str(), far.address.as_str()), ("far", "tcp://far:2376"));
        assert_eq!(far.tls_dir, Some(home.join(".docker/contexts/tls/ab12/docker")));
        let env = [("DOCKER_HOST", "tcp://x:1"), ("DOCKER_TLS_VERIFY", "1"), ("DOCKER_CERT_PATH", "/c")];
        let told = find(home, &env).unwrap();
        assert_eq!((told.address.as_str(), told.tls_dir), ("tcp://x:1", Some("/c".into())));
        assert_eq!(
            find(home, &[("DOCKER_CONTEXT", "default")]).unwrap().address,
            "unix:///var/run/docker.sock"
        );
    }

    #[test]
    fn a_broken_context_is_named_and_the_others_are_found() {
        let home = tempfile::tempdir().unwrap();
        put(home.path(), "contexts/meta/a/meta.json", "{");
        put(home.path(), "contexts/meta/b/meta.json", r#"{"Name":"k8s","Endpoints":{}}"#);
        put(
            home.path(),
            "contexts/meta/c/meta.json",
            r#"{"Name":"ok","Endpoints":{"docker":{"Host":"ssh://me@box"}}}"#,
        );
        let found = all(&|_| None, Some(home.path())).unwrap();
        let shape: Vec<_> = found.iter().map(|(name, host)| (name.as_str(), host.is_ok())).collect();
        assert_eq!(shape, [("a", false), ("k8s", false), ("ok", true)]);
        assert_eq!(all(&|_| None, None), Ok(vec![]));
    }
}
