//! A real registry for tests: Distribution's `docker-registry` on a free port of this machine with storage of its own.
//!
//! `LONGSHORE_TEST_REGISTRY=1` asks for it; without that, [`Registry::start`] says so and gives `None`.

use std::fmt::Write;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// One registry. Dropping it ends it and deletes its storage.
pub struct Registry {
    child: Option<Child>,
    dir: tempfile::TempDir,
    port: u16,
    /// The storage of another one that it serves as well.
    shared: Option<PathBuf>,
}

/// Why there is no registry in this run, if there is none.
pub fn skipped() -> Option<&'static str> {
    let is_wanted = std::env::var("LONGSHORE_TEST_REGISTRY").is_ok_and(|v| v == "1");
    (!is_wanted).then_some("LONGSHORE_TEST_REGISTRY is not 1")
}

/// A port of this machine that nobody uses just now.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("its address").port()
}

impl Registry {
    /// Starts one with deletes enabled; `None`, with a word why, when the run has none.
    pub fn start() -> Option<Registry> {
        Registry::start_with("")
    }

    /// The same with more of its configuration, as YAML of the top level (`auth:`, `notifications:` …).
    pub fn start_with(more: &str) -> Option<Registry> {
        if let Some(why) = skipped() {
            println!("skipped: {why}");
            return None;
        }
        let dir = tempfile::tempdir().expect("a directory");
        let mut registry = Registry { child: None, dir, port: free_port(), shared: None };
        registry.configure(more);
        registry.launch();
        Some(registry)
    }

    /// Another one that serves the same storage, as a second machine on a shared file system does.
    pub fn twin(&self) -> Registry {
        let (dir, shared) = (tempfile::tempdir().expect("a directory"), Some(self.storage()));
        let mut twin = Registry { child: None, dir, port: free_port(), shared };
        twin.configure("");
        twin.launch();
        twin
    }

    /// `HOST:PORT`.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Its process; 0 when it was killed.
    pub fn pid(&self) -> u32 {
        self.child.as_ref().map_or(0, Child::id)
    }

    /// Where it keeps its content.
    pub fn storage(&self) -> PathBuf {
        self.shared.clone().unwrap_or_else(|| self.dir.path().join("storage"))
    }

    /// What it has written about itself.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("log")).unwrap_or_else(|why| why.to_string())
    }

    /// Writes its configuration; the next launch reads it.
    pub fn configure(&self, more: &str) {
        let mut text =
            String::from("version: 0.1\nlog: {level: warn}\nstorage:\n  delete: {enabled: true}\n");
        let storage = self.storage();
        let _ = writeln!(text, "  filesystem: {{rootdirectory: {}}}", storage.display());
        let _ = writeln!(text, "http:\n  addr: 127.0.0.1:{}\n{more}", self.port);
        std::fs::create_dir_all(&storage).expect("its storage");
        std::fs::write(self.config(), text).expect("its configuration");
    }

    fn config(&self) -> PathBuf {
        Path::new(self.dir.path()).join("config.yml")
    }

    /// Starts it, with the storage that it had before.
    pub fn launch(&mut self) {
        let log = std::fs::File::options().create(true).append(true).open(self.dir.path().join("log"));
        let child = Command::new("docker-registry")
            .arg("serve")
            .arg(self.config())
            .stdout(Stdio::null())
            .stderr(log.expect("its log"))
            .stdin(Stdio::null())
            .spawn()
            .expect("docker-registry");
        self.child = Some(child);
        for _ in 0..600 {
            if TcpStream::connect(self.address()).is_ok() {
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("the registry does not answer: {}", self.log());
    }

    /// Kills it at once; its storage stays.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _killed = child.kill();
            let _reaped = child.wait();
        }
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        self.kill();
    }
}
