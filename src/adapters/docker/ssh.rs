//! The way to an engine behind ssh: one `ssh` child forwards the remote socket to a private one here.

use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::net::UnixStream;
use tokio::process::{Child, Command};

use crate::adapters::docker::limits::{ERROR_TEXT_MAX, SSH_LOGIN};
use crate::base::fault::{Fault, Kind, Outcome};

/// How often a login in progress is looked at: below what a person notices.
const LOOK: Duration = Duration::from_millis(25);
/// ssh's own error lines are short; a remote banner may be long.
const STDERR_LINE_MAX: u64 = 4096;

/// Starts ssh and ends it when this program is gone, however that came about: then the pipe on standard input closes.
/// (Linux's parent-death signal would need unsafe code.)
const GUARD: &str = r#"exec 3<&0 </dev/null
"$@" 3<&- &
ssh=$!
{ read -r _ <&3; kill "$ssh"; } 2>/dev/null &
guard=$!
wait "$ssh"
status=$?
kill "$guard" 2>/dev/null
exit "$status""#;

/// What is needed to start `ssh`.
#[derive(Clone, Debug)]
pub(super) struct SshTarget {
    pub(super) user: Option<String>,
    pub(super) host: String,
    pub(super) port: Option<u16>,
    /// The engine's socket over there.
    pub(super) socket: String,
    /// An ssh configuration file of its own (`-F`).
    pub(super) config: Option<PathBuf>,
    /// Directory that is private to this user; a fresh directory is made in it.
    pub(super) runtime_dir: PathBuf,
}

/// One forwarded socket, started on demand and again when it has died.
pub(super) struct Tunnel(Arc<Shared>);

struct Shared {
    target: SshTarget,
    running: tokio::sync::Mutex<Option<Running>>,
    complaint: Arc<Mutex<Option<String>>>,
}

struct Running {
    child: Child,
    dir: PathBuf,
}

impl Drop for Running {
    fn drop(&mut self) {
        // The guard is killed by its handle, which closes the pipe that keeps ssh. A directory that cannot be removed harms nobody: it is private.
        let _gone = std::fs::remove_dir_all(&self.dir);
    }
}

impl Tunnel {
    pub(super) fn new(target: SshTarget) -> Tunnel {
        let (running, complaint) = (tokio::sync::Mutex::default(), Arc::default());
        Tunnel(Arc::new(Shared { target, running, complaint }))
    }

    /// The last line that ssh wrote to its standard error.
    pub(super) fn complaint(&self) -> Option<String> {
        self.0.complaint()
    }

    /// A connection to the remote socket; logs in first when no login stands. The login goes on by itself when the caller
    /// gives up: otherwise one that takes longer than a call's deadline would never succeed.
    pub(super) async fn connect(&self) -> Outcome<UnixStream> {
        let shared = self.0.clone();
        let task = tokio::spawn(async move { shared.connect().await });
        task.await.unwrap_or_else(|why| Err(Fault::new(Kind::Bug, why.to_string()).because("ssh")))
    }
}

impl Shared {
    fn complaint(&self) -> Option<String> {
        self.complaint.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn connect(&self) -> Outcome<UnixStream> {
        let mut running = self.running.lock().await;
        if let Some(old) = running.as_mut()
            && matches!(old.child.try_wait(), Ok(None))
            && let Ok(stream) = UnixStream::connect(old.dir.join("engine.sock")).await
        {
            return Ok(stream);
        }
        *running = None;
        let mut fresh = self.start()?;
        let stream = match tokio::time::timeout(SSH_LOGIN, self.logged_in(&mut fresh)).await {
            Ok(result) => result?,
            Err(_) => return Err(self.failed(&format!("no login within {} s", SSH_LOGIN.as_secs()))),
        };
        *running = Some(fresh);
        Ok(stream)
    }

    async fn logged_in(&self, fresh: &mut Running) -> Outcome<UnixStream> {
        let socket = fresh.dir.join("engine.sock");
        loop {
            if let Ok(stream) = UnixStream::connect(&socket).await {
                return Ok(stream);
            }
            if let Ok(Some(_)) = fresh.child.try_wait() {
                // Its last words may still be in the pipe.
                tokio::time::sleep(LOOK).await;
                return Err(self.failed("ssh ended"));
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    fn failed(&self, why: &str) -> Fault {
        let SshTarget { user, host, .. } = &self.target;
        let who = user.as_ref().map_or_else(|| host.clone(), |user| format!("{user}@{host}"));
        Fault::new(Kind::Unreachable, self.complaint().unwrap_or_else(|| why.to_owned()))
            .because(format!("cannot log in to {who} by ssh"))
            .hint(format!("try: ssh {who} docker version"))
    }

    fn start(&self) -> Outcome<Running> {
        let dir = private_dir(&self.target.runtime_dir)?;
        let child = self.command(&dir).spawn();
        let mut child = match child {
            Ok(child) => child,
            Err(why) => {
                let _gone = std::fs::remove_dir(&dir);
                return Err(Fault::new(Kind::Unreachable, why.to_string()).because("ssh cannot be started"));
            }
        };
        *self.complaint.lock().unwrap_or_else(PoisonError::into_inner) = None;
        if let Some(stderr) = child.stderr.take() {
            tokio::spawn(keep_last_line(stderr, self.complaint.clone()));
        }
        Ok(Running { child, dir })
    }

    fn command(&self, dir: &std::path::Path) -> Command {
        let target = &self.target;
        let mut ssh = Command::new("sh");
        ssh.args(["-c", GUARD, "longshore-ssh", "ssh"]);
        if let Some(config) = &target.config {
            ssh.arg("-F").arg(config);
        }
        for option in [
            "BatchMode=yes",
            "ServerAliveInterval=10",
            "ServerAliveCountMax=3",
            "ExitOnForwardFailure=yes",
            "StreamLocalBindMask=0177",
            // A shared master would take the forward over and let our child end.
            "ControlPath=none",
        ] {
            ssh.arg("-o").arg(option);
        }
        let mut forward = dir.join("engine.sock").into_os_string();
        forward.push(":");
        forward.push(&target.socket);
        ssh.args(["-N", "-T", "-L"]).arg(forward);
        if let Some(user) = &target.user {
            ssh.arg("-l").arg(user);
        }
        if let Some(port) = target.port {
            ssh.arg("-p").arg(port.to_string());
        }
        ssh.arg("--").arg(&target.host);
        ssh.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true);
        // A Ctrl-C in the console's terminal is not meant for ssh.
        ssh.process_group(0);
        ssh
    }
}

/// A directory that nobody else can enter. An existing one is never reused: it might be a trap.
fn private_dir(parent: &std::path::Path) -> Outcome<PathBuf> {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    for attempt in 0..100 {
        let dir = parent.join(format!("longshore-ssh-{}-{number}-{attempt}", std::process::id()));
        match std::fs::DirBuilder::new().mode(0o700).create(&dir) {
            Ok(()) => return Ok(dir),
            Err(why) if why.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(why) => {
                return Err(Fault::new(Kind::Refused, why.to_string())
                    .because(format!("cannot make a private directory in {}", parent.display())));
            }
        }
    }
    Err(Fault::new(Kind::Refused, format!("{} is full of old ssh directories", parent.display())))
}

async fn keep_last_line(stderr: tokio::process::ChildStderr, place: Arc<Mutex<Option<String>>>) {
    let mut reader = BufReader::new(stderr);
    let mut line = Vec::new();
    while let Ok(read) = (&mut reader).take(STDERR_LINE_MAX).read_until(b'\n', &mut line).await {
        if read == 0 {
            break;
        }
        let text: String = String::from_utf8_lossy(&line).trim().chars().take(ERROR_TEXT_MAX).collect();
        if !text.is_empty() {
            *place.lock().unwrap_or_else(PoisonError::into_inner) = Some(text);
        }
        line.clear();
    }
}
