//! A throw-away Docker engine for tests: started with its own socket and data, holding the image `lab/busybox:1`.
//!
//! `LONGSHORE_TEST_DOCKER=/path/docker.sock` uses an engine that is there already (it must hold the image);
//! `LONGSHORE_TEST_DOCKERD=1` (as root) starts one. With neither, [`Lab::start`] says why and gives `None`.

#[allow(dead_code, clippy::unwrap_used, clippy::allow_attributes, reason = "benches use it, too")]
pub mod skopeo;

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

/// The image that every lab engine holds: busybox with sh, sleep, httpd, nc, wget.
pub const IMAGE: &str = "lab/busybox:1";

/// One engine. Dropping it removes its containers, ends it and deletes its data, if this test started it.
pub struct Lab {
    socket: PathBuf,
    own: Option<Own>,
}

struct Own {
    child: Child,
    dir: tempfile::TempDir,
    more: Vec<String>,
    /// The network namespace that it lives in; that of the test when there is none.
    space: Option<PathBuf>,
}

/// Before version 25 an engine's identity comes of a key that all engines of a machine share, unless each is given its own.
fn shares_identity() -> bool {
    let Ok(said) = Command::new("dockerd").arg("--version").output() else { return false };
    let said = String::from_utf8_lossy(&said.stdout).into_owned();
    let version = said.split_whitespace().find_map(|word| word.split('.').next()?.parse::<u32>().ok());
    version.is_some_and(|major| major < 25)
}

fn launch(dir: &Path, space: Option<&Path>, more: &[String]) -> std::io::Result<Child> {
    let at = |name: &str| dir.join(name);
    let log = std::fs::File::options().create(true).append(true).open(at("dockerd.log"))?;
    let mut command = match space {
        None => Command::new("dockerd"),
        // Not `ip netns exec`: that mounts /sys anew, and the engine finds no control groups there.
        Some(space) => {
            let mut enter = Command::new("nsenter");
            enter.arg(format!("--net={}", space.display())).arg("dockerd");
            enter
        }
    };
    if shares_identity() {
        let key = serde_json::json!({ "deprecated-key-path": at("key.json") });
        std::fs::write(at("daemon.json"), key.to_string())?;
        command.arg("--config-file").arg(at("daemon.json"));
    }
    command
        .arg("-H")
        .arg(format!("unix://{}", at("docker.sock").display()))
        .arg("--data-root")
        .arg(at("data"))
        .arg("--exec-root")
        .arg(at("exec"))
        .arg("-p")
        .arg(at("pid"))
        .args(["--bridge=none", "--iptables=false", "--shutdown-timeout=2"])
        .args(more)
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn()
}

/// How long the Docker CLI may take, in seconds: a daemon that hangs must fail its test, not hold up all of them.
const DOCKER_PATIENCE: &str = "180";

impl Lab {
    /// The engine of `LONGSHORE_TEST_DOCKER`, or a new one; `None`, with the reason printed, when neither is possible.
    pub fn start() -> Option<Lab> {
        match std::env::var_os("LONGSHORE_TEST_DOCKER") {
            Some(socket) => Some(Lab { socket: socket.into(), own: None }),
            None => Lab::start_own(&[]),
        }
    }

    /// An engine of this test alone (it may be frozen or killed), with more arguments for `dockerd`.
    pub fn start_own(more: &[&str]) -> Option<Lab> {
        if std::env::var("LONGSHORE_TEST_DOCKERD").as_deref() != Ok("1") {
            println!(
                "skipped: no engine (LONGSHORE_TEST_DOCKER=SOCKET, or LONGSHORE_TEST_DOCKERD=1 as root)"
            );
            return None;
        }
        Lab::launched(None, more.iter().map(|&arg| arg.to_owned()).collect())
    }

    /// The same, in a network namespace.
    pub fn start_in(space: &Path, more: &[String]) -> Option<Lab> {
        Lab::launched(Some(space.to_owned()), more.to_vec())
    }

    fn launched(space: Option<PathBuf>, more: Vec<String>) -> Option<Lab> {
        let dir = tempfile::Builder::new().prefix("ls-lab-").tempdir().expect("a directory for the engine");
        let child = match launch(dir.path(), space.as_deref(), &more) {
            Ok(child) => child,
            Err(why) => {
                println!("skipped: dockerd cannot be started: {why}");
                return None;
            }
        };
        let lab = Lab { socket: dir.path().join("docker.sock"), own: Some(Own { child, dir, more, space }) };
        lab.until_it_answers();
        lab.load_image();
        Some(lab)
    }

    /// The engine of this test program, for tests that leave it as it is: started once, ended with its last user.
    pub fn shared() -> Option<Arc<Lab>> {
        static SHARED: Mutex<Weak<Lab>> = Mutex::new(Weak::new());
        let mut shared = SHARED.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(lab) = shared.upgrade() {
            return Some(lab);
        }
        let lab = Arc::new(Lab::start()?);
        *shared = Arc::downgrade(&lab);
        Some(lab)
    }

    #[expect(clippy::disallowed_methods, reason = "waits for a process outside, in real time")]
    fn until_it_answers(&self) {
        for _ in 0..600 {
            if self.docker(&["version"]).status.success() {
                return;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        let log = std::fs::read_to_string(self.dir().expect("own").join("dockerd.log"));
        panic!("dockerd did not answer within 60 s:\n{}", log.expect("the engine's log"));
    }

    /// kill -9 of its process.
    pub fn kill(&mut self) {
        let own = self.own.as_mut().expect("only an engine of this test's own may be killed");
        own.child.kill().expect("kill");
        own.child.wait().expect("reaped");
    }

    /// Starts it again on the same data after [`Lab::kill`].
    pub fn restart(&mut self) {
        let own = self.own.as_mut().expect("only an engine of this test's own may be restarted");
        // Left over by kill -9; the next start fails on them: "timeout waiting for containerd".
        for stale in ["pid", "docker.sock", "exec/containerd"] {
            let path = own.dir.path().join(stale);
            let gone =
                if path.is_dir() { std::fs::remove_dir_all(&path) } else { std::fs::remove_file(&path) };
            if let Err(why) = gone {
                println!("{} stays: {why}", path.display());
            }
        }
        own.child = launch(own.dir.path(), own.space.as_deref(), &own.more).expect("dockerd");
        self.until_it_answers();
    }

    /// Its socket.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// Its socket as an address.
    pub fn address(&self) -> String {
        format!("unix://{}", self.socket.display())
    }

    /// The image to make containers from: `LONGSHORE_TEST_IMAGE` or [`IMAGE`].
    pub fn image(&self) -> String {
        std::env::var("LONGSHORE_TEST_IMAGE").unwrap_or_else(|_| IMAGE.to_owned())
    }

    /// Its own directory, when this test started it.
    pub fn dir(&self) -> Option<&Path> {
        self.own.as_ref().map(|own| own.dir.path())
    }

    /// Its process, when this test started it.
    pub fn pid(&self) -> Option<u32> {
        self.own.as_ref().map(|own| own.child.id())
    }

    /// Runs the Docker CLI against it.
    pub fn docker(&self, args: &[&str]) -> Output {
        let out = Command::new("timeout")
            .args([DOCKER_PATIENCE, "docker", "-H"])
            .arg(self.address())
            .args(args)
            .stdin(Stdio::null())
            .output()
            .expect("the docker CLI");
        assert!(out.status.code() != Some(124), "docker {args:?}: no end within {DOCKER_PATIENCE} s");
        out
    }

    /// Runs the Docker CLI against it and gives what it wrote; panics when it fails.
    pub fn docker_ok(&self, args: &[&str]) -> String {
        let out = self.docker(args);
        assert!(out.status.success(), "docker {args:?}: {}", String::from_utf8_lossy(&out.stderr));
        String::from_utf8_lossy(&out.stdout).trim().to_owned()
    }

    /// Freezes its process: it accepts connections and never answers.
    pub fn freeze(&self) {
        self.signal("STOP");
    }

    /// Lets it go on.
    pub fn thaw(&self) {
        self.signal("CONT");
    }

    fn signal(&self, name: &str) {
        let pid = self.pid().expect("only an engine of this test's own may be signalled");
        let sent = Command::new("kill").arg(format!("-{name}")).arg(pid.to_string()).status();
        assert!(sent.is_ok_and(|s| s.success()), "kill -{name} {pid}");
    }

    fn load_image(&self) {
        let root = self.dir().expect("own").join("image");
        std::fs::create_dir_all(root.join("bin")).expect("image folder");
        std::fs::create_dir_all(root.join("tmp")).expect("image folder");
        std::fs::copy("/bin/busybox", root.join("bin/busybox")).expect("busybox-static is installed");
        let names = Command::new("/bin/busybox").arg("--list").output().expect("busybox");
        for name in String::from_utf8_lossy(&names.stdout).lines().filter(|n| *n != "busybox") {
            std::os::unix::fs::symlink("busybox", root.join("bin").join(name)).expect("link");
        }
        let tar = self.dir().expect("own").join("image.tar");
        let made = Command::new("tar").arg("-C").arg(&root).arg("-cf").arg(&tar).arg(".").status();
        assert!(made.is_ok_and(|s| s.success()), "tar");
        self.docker_ok(&["import", &tar.display().to_string(), IMAGE]);
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        let Some(own) = &mut self.own else { return };
        if own.child.try_wait().is_ok_and(|ended| ended.is_some()) {
            // Its containers still run: only an engine ends them.
            self.restart();
        }
        self.thaw();
        let ids = self.docker(&["ps", "-aq"]);
        let ids = String::from_utf8_lossy(&ids.stdout).into_owned();
        if !ids.trim().is_empty() {
            let rm: Vec<&str> = ["rm", "-f"].into_iter().chain(ids.split_whitespace()).collect();
            self.docker(&rm);
        }
        self.docker(&["network", "prune", "-f"]);
        self.signal("TERM");
        if let Some(Own { mut child, dir, .. }) = self.own.take() {
            let _ended = child.wait();
            end_orphans(dir.path());
            unmount(dir.path());
            if let Err(why) = dir.close() {
                println!("the lab's directory stays: {why}");
            }
        }
    }
}

/// Takes away what an engine that was killed has left mounted beneath its directory.
fn unmount(dir: &Path) {
    let mounts = std::fs::read_to_string("/proc/mounts").unwrap_or_else(|why| panic!("/proc/mounts: {why}"));
    let prefix = format!("{}/", dir.display());
    let points =
        mounts.lines().filter_map(|line| line.split(' ').nth(1)).filter(|at| at.starts_with(&prefix));
    for point in points.collect::<Vec<_>>().into_iter().rev() {
        let _gone = Command::new("umount").args(["-l", point]).status();
    }
}

/// Ends, by pid, what an engine that was killed has left: the shims that its successor does not know, each with what it
/// runs. They are told by the lab's own directory in their arguments.
fn end_orphans(dir: &Path) {
    let list = |args: &[&str]| {
        let found = Command::new("pgrep").args(args).output();
        found.map_or_else(|_| String::new(), |o| String::from_utf8_lossy(&o.stdout).into_owned())
    };
    let exec = dir.join("exec");
    for shim in list(&["-f", &format!("containerd-shim.*{}/", exec.display())]).split_whitespace() {
        for pid in list(&["-P", shim]).split_whitespace().chain([shim]) {
            let _gone = Command::new("kill").args(["-9", pid]).status();
        }
    }
}
