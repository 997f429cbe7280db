//! skopeo: a registry's client that is not ours, as somebody with a name and a secret.

use std::process::Stdio;
use std::time::Duration;

/// Runs skopeo without any login of whoever runs the tests: what it said, or why it failed.
pub async fn skopeo(args: &[&str]) -> Result<String, String> {
    let home = tempfile::tempdir().unwrap();
    let auth = home.path().join("auth.json");
    with_logins(&auth, args).await
}

/// The same with the logins of a file.
pub async fn with_logins(auth: &std::path::Path, args: &[&str]) -> Result<String, String> {
    let home = tempfile::tempdir().unwrap();
    let done = tokio::process::Command::new("skopeo")
        .arg("--insecure-policy")
        .args(args)
        .env("HOME", home.path())
        .env("REGISTRY_AUTH_FILE", auth)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let done =
        tokio::time::timeout(Duration::from_secs(60), done).await.expect("skopeo ends").expect("skopeo");
    match done.status.success() {
        true => Ok(String::from_utf8_lossy(&done.stdout).into_owned()),
        false => Err(String::from_utf8_lossy(&done.stderr).into_owned()),
    }
}

/// Pushes the image of a directory.
pub async fn copy(login: &str, secret: &str, dir: &tempfile::TempDir, to: &str) -> Result<String, String> {
    let (from, to) = (format!("dir:{}", dir.path().display()), format!("docker://{to}"));
    let creds = format!("--dest-creds={login}:{secret}");
    let who = if login.is_empty() { "--dest-no-creds" } else { &creds };
    skopeo(&["copy", "--dest-tls-verify=false", who, &from, &to]).await
}

/// Pulls an image into a directory that goes.
pub async fn look(login: &str, secret: &str, image: &str) -> Result<String, String> {
    let dir = tempfile::tempdir().unwrap();
    let (from, to) = (format!("docker://{image}"), format!("dir:{}", dir.path().display()));
    let creds = format!("--src-creds={login}:{secret}");
    let who = if login.is_empty() { "--src-no-creds" } else { &creds };
    skopeo(&["copy", "--src-tls-verify=false", who, &from, &to]).await
}

/// Deletes an image's manifest.
pub async fn delete(login: &str, secret: &str, image: &str) -> Result<String, String> {
    let creds = format!("--creds={login}:{secret}");
    let who = if login.is_empty() { "--no-creds" } else { &creds };
    skopeo(&["delete", "--tls-verify=false", who, &format!("docker://{image}")]).await
}

/// A small image in skopeo's `dir:` form: its only layer is an empty tar archive.
pub fn image() -> tempfile::TempDir {
    image_of(&[0u8; 1024])
}

/// An image with this layer.
pub fn image_of(layer: &[u8]) -> tempfile::TempDir {
    use longshore::base::hash::sha256;
    let dir = tempfile::tempdir().unwrap();
    let put = |name: &str, bytes: &[u8]| std::fs::write(dir.path().join(name), bytes).unwrap();
    let sum = sha256(layer);
    let config = serde_json::json!({
        "architecture": "amd64", "os": "linux", "config": {},
        "rootfs": {"type": "layers", "diff_ids": [format!("sha256:{sum}")]},
    })
    .to_string();
    let config_sum = sha256(config.as_bytes());
    let manifest = serde_json::json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
        "config": {"mediaType": "application/vnd.docker.container.image.v1+json", "size": config.len(), "digest": format!("sha256:{config_sum}")},
        "layers": [{"mediaType": "application/vnd.docker.image.rootfs.diff.tar", "size": layer.len(), "digest": format!("sha256:{sum}")}],
    });
    put(&sum, layer);
    put(&config_sum, config.as_bytes());
    put("manifest.json", manifest.to_string().as_bytes());
    put("version", b"Directory Transport Version: 1.1\n");
    dir
}
