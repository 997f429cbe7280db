//! Pool files: Compose in, pools out, every fault with its place.
//!
//! [`read_text`] is pure: what is not in the text comes through [`Sources`]. [`read_file`] is the one function that
//! touches a disk. [`diff`](diff::diff) says in sentences what changed, [`to_compose`] writes a model back.

pub mod diff;
pub mod fault;
pub mod units;

mod cx;
mod deploy;
pub mod dotenv;
mod environment;
mod file;
mod health;
mod image;
mod interpolate;
pub mod inventory;
pub mod keys;
mod mounts;
mod networks;
mod placement;
pub mod policy;
mod ports;
mod service;
mod tree;
mod vars;
pub mod words;
mod write;

use std::path::Path;

use crate::model::pool::ClusterSpec;

pub use crate::spec::cx::Sources;
pub use crate::spec::diff::diff;
pub use crate::spec::fault::{At, PoolFileFault, PoolFileFaults, Severity};
pub use crate::spec::tree::TEXT_MAX;
pub use crate::spec::write::to_compose;

/// A pool file that was understood.
#[derive(Clone, Debug, PartialEq)]
pub struct Read {
    /// The cluster and its pools.
    pub spec: ClusterSpec,
    /// What has no effect or may surprise, in the order of the lines.
    pub warnings: Vec<PoolFileFault>,
}

/// Reads a pool file from its text. `file_name` is only used in messages.
///
/// # Errors
/// Everything that is wrong with the file, at once.
pub fn read_text(file_name: &str, text: &str, sources: &Sources<'_>) -> Result<Read, PoolFileFaults> {
    let mut cx = cx::Cx::new(file_name, sources);
    let spec = file::read(&mut cx, text);
    let (spec, warnings) = cx.finish(spec)?;
    Ok(Read { spec, warnings })
}

/// Reads a pool file from the disk, with the `.env` beside it and the `env_file`s that it names. `env` gives variables of
/// the environment.
///
/// # Errors
/// Everything that is wrong with the file, at once; also when it cannot be read.
pub fn read_file(path: &Path, env: &dyn Fn(&str) -> Option<String>) -> Result<Read, PoolFileFaults> {
    let name = path.display().to_string();
    let refuse = |what: String| {
        let fault = PoolFileFault::new(At::default(), "", what).in_file(name.as_str());
        PoolFileFaults { faults: vec![fault], warnings: Vec::new() }
    };
    let whole = std::path::absolute(path).map_err(|e| refuse(format!("the path is not usable: {e}")))?;
    let folder = whole.parent().map_or_else(|| whole.clone(), Path::to_path_buf);
    let text = match read_disk(&whole) {
        Ok(Some(text)) => text,
        Ok(None) => return Err(refuse("there is no such file".to_owned())),
        Err(why) => return Err(refuse(why)),
    };
    read_text(&name, &text, &Sources { folder, env, read: &read_disk })
}

/// A file's text, at most [`TEXT_MAX`] bytes; `Ok(None)` when there is no such file.
fn read_disk(path: &Path) -> Result<Option<String>, String> {
    use std::io::Read as _;
    let file = match std::fs::File::open(path) {
        Ok(file) => file,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(format!("it cannot be read: {e}")),
    };
    let mut bytes = Vec::new();
    let most = u64::try_from(TEXT_MAX).unwrap_or(u64::MAX);
    file.take(most + 1).read_to_end(&mut bytes).map_err(|e| format!("it cannot be read: {e}"))?;
    if bytes.len() > TEXT_MAX {
        return Err(format!("it is longer than {TEXT_MAX} bytes"));
    }
    match String::from_utf8(bytes) {
        Ok(text) => Ok(Some(text)),
        Err(e) => {
            let before = &e.as_bytes()[..e.utf8_error().valid_up_to()];
            let line = before.split(|b| *b == b'\n').count();
            Err(format!("line {line} is not UTF-8 text"))
        }
    }
}
