//! The lock of the state directory: one mutating core at a time. The kernel frees it when its holder dies.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::base::fault::{Fault, Kind, Outcome};

/// The lock's file in the state directory. It stays there; what counts is the kernel's lock on it.
const FILE: &str = "engine.lock";
/// The engine's socket in the state directory.
const SOCKET: &str = "engine.sock";

/// Who holds a lock, as the holder wrote it into the file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// Process.
    pub pid: u32,
    /// User.
    pub user: String,
}

/// The held lock; dropping it frees it.
#[derive(Debug)]
pub struct Held {
    _file: File,
}

/// Tries to take the lock. `Err(holder)` inside when somebody has it.
///
/// # Errors
/// When the file cannot be made or locked at all.
pub fn try_take(dir: &Path, me: &Holder) -> Outcome<Result<Held, Option<Holder>>> {
    let path = dir.join(FILE);
    let fail = |e: std::io::Error| {
        Fault::new(Kind::Refused, format!("the lock {} cannot be taken: {e}", path.display()))
            .hint("make the state directory writable, or give another with --state DIR")
    };
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o600);
    let mut file = options.custom_flags(nix::libc::O_NOFOLLOW).open(&path).map_err(fail)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut text = String::new();
            let read = file.read_to_string(&mut text).ok();
            return Ok(Err(read.and_then(|_| serde_json::from_str(&text).ok())));
        }
        Err(TryLockError::Error(e)) => return Err(fail(e)),
    }
    // Only a help for those who wait: the lock holds without it, so a full disk must not stop us here.
    let _ = file
        .set_len(0)
        .and_then(|()| file.write_all(serde_json::to_string(me).unwrap_or_else(|_| "{}".into()).as_bytes()));
    Ok(Ok(Held { _file: file }))
}

/// Where the engine of a state directory listens.
pub fn socket(dir: &Path) -> PathBuf {
    dir.join(SOCKET)
}

/// A user's name, or their number when the machine does not know one.
pub fn user_name(uid: nix::unistd::Uid) -> String {
    nix::unistd::User::from_uid(uid).ok().flatten().map_or_else(|| uid.to_string(), |user| user.name)
}

/// This process, as the lock's holder.
pub fn me() -> Holder {
    Holder { pid: std::process::id(), user: user_name(nix::unistd::geteuid()) }
}
