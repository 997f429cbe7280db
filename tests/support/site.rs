//! The real program for tests: with a state directory, a home and a configuration of its own, against one engine address.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use serde_json::Value;

/// The program under test.
pub const BIN: &str = env!("CARGO_BIN_EXE_longshore");
/// The label that names the install a container belongs to.
pub const INSTALL_LABEL: &str = "io.longshore.install";
/// No command of these tests takes longer; one that does hangs.
const PATIENCE: Duration = Duration::from_secs(60);
const STEP: Duration = Duration::from_millis(25);

/// Lets real time pass.
#[expect(clippy::disallowed_methods, reason = "waits for processes outside, in real time")]
pub fn pause(ms: u64) {
    std::thread::sleep(Duration::from_millis(ms));
}

/// Looks again and again until something is there; fails, with the words of `what`, after a minute.
pub fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    within(PATIENCE, what, &mut look)
}

/// The same, with another patience.
pub fn within<T>(patience: Duration, what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    for _ in 0..patience.as_millis() / STEP.as_millis() {
        if let Some(found) = look() {
            return found;
        }
        pause(25);
    }
    panic!("not within {patience:?}: {what}");
}

/// What a command said, and its exit status.
#[derive(Debug)]
pub struct Said {
    pub status: i32,
    pub out: String,
    pub err: String,
}

impl Said {
    /// Fails unless the command ended with this status and one of its streams holds each of these words.
    pub fn expect(self, status: i32, words: &[&str]) -> Said {
        assert_eq!(self.status, status, "{self:?}");
        for word in words {
            assert!(self.out.contains(word) || self.err.contains(word), "no {word:?} in {self:#?}");
        }
        self
    }
}

/// A process in the background, killed with its test.
pub struct Process {
    child: Child,
    out: PathBuf,
}

impl Process {
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it has written so far, both streams.
    pub fn said(&self) -> String {
        std::fs::read(&self.out).map(|b| String::from_utf8_lossy(&b).into_owned()).unwrap()
    }

    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill").arg(format!("-{name}")).arg(self.pid().to_string()).status();
        assert!(sent.is_ok_and(|s| s.success()), "kill -{name} {}", self.pid());
    }

    /// kill -9, and reaped.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Its exit status, when it has ended.
    pub fn ended(&mut self) -> Option<std::process::ExitStatus> {
        self.child.try_wait().unwrap()
    }

    /// Waits for its end.
    pub fn wait(&mut self) -> i32 {
        let status = until("the process ends", || self.child.try_wait().unwrap());
        status.code().unwrap_or(-1)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _killed = self.child.kill();
        let _reaped = self.child.wait();
    }
}

/// One person's machine: state, home and configuration in a directory of their own.
pub struct Site {
    dir: tempfile::TempDir,
    state: PathBuf,
    docker_host: String,
    runs: AtomicU32,
}

impl Site {
    /// A fresh machine whose Docker engine is at this address.
    pub fn on(address: &str) -> Site {
        let dir = tempfile::Builder::new().prefix("ls-site-").tempdir().unwrap();
        std::fs::create_dir(dir.path().join("home")).unwrap();
        let state = dir.path().join("state");
        Site { dir, state, docker_host: address.to_owned(), runs: AtomicU32::new(0) }
    }

    /// A fresh machine without any Docker engine.
    pub fn without_engine() -> Site {
        Site::on("unix:///nonexistent/longshore-test/docker.sock")
    }

    /// The same machine with another state directory.
    pub fn with_state(self, state: PathBuf) -> Site {
        Site { state, ..self }
    }

    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    pub fn state(&self) -> &Path {
        &self.state
    }

    /// The environment that the program gets, and nothing else but PATH.
    pub fn env(&self) -> Vec<(String, String)> {
        let at = |name: &str| self.dir.path().join(name).display().to_string();
        [
            ("DOCKER_HOST", self.docker_host.clone()),
            ("HOME", at("home")),
            ("XDG_CONFIG_HOME", at("config")),
            ("XDG_STATE_HOME", at("xdg-state")),
            ("XDG_DATA_HOME", at("data")),
            ("XDG_CACHE_HOME", at("cache")),
            ("LONGSHORE_CONFIG", at("config.toml")),
            ("PATH", std::env::var("PATH").unwrap()),
            ("TERM", "xterm-256color".to_owned()),
            ("LANG", "C.UTF-8".to_owned()),
            ("TZ", "UTC".to_owned()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .to_vec()
    }

    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(BIN);
        command.env_clear().envs(self.env()).arg("--state").arg(&self.state).args(args);
        command
    }

    /// Starts a command in the background; its words go to a file.
    pub fn spawn(&self, args: &[&str]) -> Process {
        let out = self.dir.path().join(format!("run-{}.out", self.runs.fetch_add(1, Ordering::Relaxed)));
        let file = std::fs::File::create(&out).unwrap();
        let mut command = self.command(args);
        command.stdin(Stdio::null()).stdout(file.try_clone().unwrap()).stderr(file);
        Process { child: command.spawn().unwrap(), out }
    }

    /// Starts `longshore engine` and waits until it listens.
    pub fn engine(&self) -> Process {
        let mut engine = self.spawn(&["engine"]);
        let socket = self.state.join("engine.sock");
        until("the engine listens", || {
            assert!(engine.ended().is_none(), "the engine has ended: {}", engine.said());
            std::os::unix::net::UnixStream::connect(&socket).ok()
        });
        engine
    }

    /// Runs a command to its end.
    pub fn run(&self, args: &[&str]) -> Said {
        self.run_with(args, b"")
    }

    /// Runs a command to its end, with this on its standard input.
    pub fn run_with(&self, args: &[&str], input: &[u8]) -> Said {
        let number = self.runs.fetch_add(1, Ordering::Relaxed);
        let path = |name: &str| self.dir.path().join(format!("run-{number}.{name}"));
        let mut command = self.command(args);
        command.stdin(Stdio::piped());
        command.stdout(std::fs::File::create(path("out")).unwrap());
        command.stderr(std::fs::File::create(path("err")).unwrap());
        let mut child = command.spawn().unwrap();
        // A command that reads nothing may be gone by now: that is its right.
        let _written = child.stdin.take().unwrap().write_all(input);
        let read = |name: &str| String::from_utf8_lossy(&std::fs::read(path(name)).unwrap()).into_owned();
        for _ in 0..PATIENCE.as_millis() / 5 {
            if let Some(status) = child.try_wait().unwrap() {
                return Said { status: status.code().unwrap_or(-1), out: read("out"), err: read("err") };
            }
            pause(5);
        }
        child.kill().unwrap();
        child.wait().unwrap();
        panic!("{args:?} hangs; it said: {}{}", read("out"), read("err"));
    }

    /// Runs a command that must succeed, and gives its standard output.
    pub fn ok(&self, args: &[&str]) -> String {
        self.run(args).expect(0, &[]).out
    }

    /// Runs a listing with `--json`.
    pub fn json(&self, args: &[&str]) -> Value {
        let mut all = args.to_vec();
        all.push("--json");
        serde_json::from_str(&self.ok(&all)).unwrap()
    }

    /// The same, whatever its exit status (1 when no host answered).
    pub fn json_any(&self, args: &[&str]) -> Value {
        let mut all = args.to_vec();
        all.push("--json");
        let said = self.run(&all);
        serde_json::from_str(&said.out).unwrap_or_else(|e| panic!("{e} in {said:#?}"))
    }

    /// A pool's record, when it is listed.
    pub fn pool(&self, cluster: &str, pool: &str) -> Option<Value> {
        let said = self.run(&["pools", "--json"]);
        let all: Value = serde_json::from_str(&said.out).unwrap_or_else(|e| panic!("{e} in {said:#?}"));
        all.as_array().unwrap().iter().find(|p| p["cluster"] == cluster && p["pool"] == pool).cloned()
    }

    /// Waits until a pool runs this many, all of them healthy, and none is leaving.
    pub fn until_serving(&self, cluster: &str, pool: &str, count: u32) {
        let mut last = None;
        let mut look = || {
            last = self.pool(cluster, pool);
            last.as_ref()
                .is_some_and(|p| p["healthy"] == count && p["running"] == count && p["leaving"] == 0)
                .then_some(())
        };
        for _ in 0..600 {
            if look().is_some() {
                return;
            }
            pause(100);
        }
        panic!("{cluster}/{pool} never serves {count}: {last:#?}\n{}", self.run(&["journal"]).out);
    }

    /// Writes a file of this machine, and gives its path.
    pub fn file(&self, name: &str, text: &str) -> String {
        let path = self.dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    }

    /// Writes a pool file of one pool.
    pub fn pool_file(&self, cluster: &str, pool: &str, count: u32, more: &str) -> String {
        let text = format!(
            "name: {cluster}\nservices:\n  {pool}:\n    network_mode: none\n    stop_grace_period: 1s\n    \
             deploy: {{replicas: {count}}}\n{more}"
        );
        self.file(&format!("{cluster}-{pool}.yml"), &text)
    }

    /// A pool file of containers that only sleep.
    pub fn sleepers(&self, cluster: &str, pool: &str, count: u32, image: &str) -> String {
        let more =
            format!("    image: {image}\n    command: [sleep, \"100000\"]\n    stop_signal: SIGKILL\n");
        self.pool_file(cluster, pool, count, &more)
    }

    /// The journal's sentences, oldest first.
    pub fn journal(&self) -> Vec<String> {
        self.ok(&["journal", "--limit", "1000"]).lines().map(str::to_owned).collect()
    }

    /// The install's id.
    pub fn install(&self) -> String {
        let said = self.run(&["doctor"]).out;
        let rest = said.split("install ").nth(1).unwrap_or_else(|| panic!("no install in {said}"));
        rest[..8].to_owned()
    }
}

/// The labels of containers, by a filter of `docker ps`: (slot, state) of each.
pub fn slots(lab: &crate::support::Lab, install: &str, pool: &str) -> Vec<(u32, String)> {
    let said = lab.docker_ok(&[
        "ps",
        "-a",
        "--filter",
        &format!("label={INSTALL_LABEL}={install}"),
        "--filter",
        &format!("label=io.longshore.pool={pool}"),
        "--format",
        "{{.Label \"io.longshore.slot\"}} {{.State}}",
    ]);
    let mut all: Vec<(u32, String)> = said
        .lines()
        .map(|line| line.split_once(' ').unwrap())
        .map(|(slot, state)| (slot.parse().unwrap(), state.to_owned()))
        .collect();
    all.sort();
    all
}

/// True when so many containers of a pool are there, all of them running, no slot twice: which slots stay of a pool that
/// shrinks is for its planner to say.
pub fn so_many_run(mut there: Vec<(u32, String)>, count: u32) -> bool {
    let all = there.len();
    there.sort();
    there.dedup_by_key(|(slot, _)| *slot);
    there.len() == all && all == count as usize && there.iter().all(|(_, state)| state == "running")
}

/// Slots 1 to `count`, each running once.
pub fn running(count: u32) -> Vec<(u32, String)> {
    (1..=count).map(|slot| (slot, "running".to_owned())).collect()
}
