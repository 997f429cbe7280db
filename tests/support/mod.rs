//! A throw-away Docker engine for tests: started with its own socket and data, holding the image `lab/busybox:1`.
//!
//! `LONGSHORE_TEST_DOCKER=/path/docker.sock` uses an engine that is there already (it must hold the image);
//! `LONGSHORE_TEST_DOCKERD=1` (as root) starts one. With neither, [`Lab::start`] says why and gives `None`.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

/// The image that every lab engine holds: busybox with sh, sleep, httpd, nc, wget.
pub const IMAGE: &str = "lab/busybox:1";

/// One engine. Dropping it removes its containers, ends it and deletes its data, if this test started it.
pub struct Lab {
    socket: PathBuf,
    own: Option<(Child, tempfile::TempDir)>,
}

impl Lab {
    /// The engine of `LONGSHORE_TEST_DOCKER`, or a new one; `None`, with the reason printed, when neither is possible.
    pub fn start() -> Option<Lab> {
        match std::env::var_os("LONGSHORE_TEST_DOCKER") {
            Some(socket) => Some(Lab { socket: socket.into(), own: None }),
            None => Lab::start_own(&[]),
        }
    }

    /// An engine of this test alone (it may be frozen or killed), with more arguments for `dockerd`.
    #[expect(clippy::disallowed_methods, reason = "waits for a process outside, in real time")]
    pub fn start_own(more: &[&str]) -> Option<Lab> {
        if std::env::var("LONGSHORE_TEST_DOCKERD").as_deref() != Ok("1") {
            println!(
                "skipped: no engine (LONGSHORE_TEST_DOCKER=SOCKET, or LONGSHORE_TEST_DOCKERD=1 as root)"
            );
            return None;
        }
        let dir = tempfile::Builder::new().prefix("ls-lab-").tempdir().expect("a directory for the engine");
        let at = |name: &str| dir.path().join(name);
        let socket = at("docker.sock");
        let log = std::fs::File::create(at("dockerd.log")).expect("the engine's log");
        let child = Command::new("dockerd")
            .arg("-H")
            .arg(format!("unix://{}", socket.display()))
            .arg("--data-root")
            .arg(at("data"))
            .arg("--exec-root")
            .arg(at("exec"))
            .arg("-p")
            .arg(at("pid"))
            .args(["--bridge=none", "--iptables=false", "--shutdown-timeout=2"])
            .args(more)
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("the engine's log"))
            .stderr(log)
            .spawn();
        let child = match child {
            Ok(child) => child,
            Err(why) => {
                println!("skipped: dockerd cannot be started: {why}");
                return None;
            }
        };
        let lab = Lab { socket, own: Some((child, dir)) };
        for _ in 0..600 {
            if lab.docker(&["version"]).status.success() {
                lab.load_image();
                return Some(lab);
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        let log =
            std::fs::read_to_string(lab.dir().expect("own").join("dockerd.log")).expect("the engine's log");
        panic!("dockerd did not answer within 60 s:\n{log}");
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
        self.own.as_ref().map(|(_, dir)| dir.path())
    }

    /// Its process, when this test started it.
    pub fn pid(&self) -> Option<u32> {
        self.own.as_ref().map(|(child, _)| child.id())
    }

    /// Runs the Docker CLI against it.
    pub fn docker(&self, args: &[&str]) -> Output {
        Command::new("docker")
            .arg("-H")
            .arg(self.address())
            .args(args)
            .stdin(Stdio::null())
            .output()
            .expect("the docker CLI")
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
        if self.own.is_none() {
            return;
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
        if let Some((mut child, dir)) = self.own.take() {
            let _ended = child.wait();
            if let Err(why) = dir.close() {
                println!("the lab's directory stays: {why}");
            }
        }
    }
}
