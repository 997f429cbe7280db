//! Every deadline and cap of the Docker adapter in one place, each with its reason.

use std::time::Duration;

/// How long one kind of call may take and how large its answer may be.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// The call in words, for the error sentence.
    pub what: &'static str,
    /// From the first byte sent to the last byte of the answer.
    pub deadline: Duration,
    /// Largest answer in bytes.
    pub cap: usize,
}

const fn limits(what: &'static str, seconds: u64, cap: usize) -> Limits {
    Limits { what, deadline: Duration::from_secs(seconds), cap }
}

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

/// 1,000 containers take 0.05 s and 0.65 MB when the engine is well; 10,000 with long labels stay below 64 MiB.
pub(super) const LIST: Limits = limits("list its containers", 10, 64 * MIB);
/// An engine that is alive answers at once: its own answer is two bytes.
pub(super) const PING: Limits = limits("answer", 10, KIB);
/// Some 500 bytes an image; hosts with thousands of them exist.
pub(super) const IMAGES: Limits = limits("list its images", 10, 16 * MIB);
/// An answer takes 0.2 ms; a container with thousands of mounts and labels stays below 8 MiB.
pub(super) const INSPECT: Limits = limits("inspect a container", 10, 8 * MIB);
/// What the engine says about itself: a few kB, more with many plugins and warnings.
pub(super) const FACTS: Limits = limits("describe itself", 10, 4 * MIB);
/// A loaded engine with a slow disk may take long to unpack a root file system. Same for the next two.
pub(super) const CREATE: Limits = limits("create a container", 60, MIB);
/// See [`CREATE`].
pub(super) const START: Limits = limits("start a container", 60, MIB);
/// See [`CREATE`].
pub(super) const REMOVE: Limits = limits("remove a container", 60, MIB);
/// A stop takes up to its grace time; [`STOP_SPARE`] is added for the kill.
pub(super) const STOP: Limits = limits("stop a container", 0, MIB);
/// Time beyond the grace time in which an engine kills what does not end (it waits 10 s after its KILL).
pub(super) const STOP_SPARE: Duration = Duration::from_secs(15);
/// A network with 10,000 members lists them all when it is inspected.
pub(super) const NETWORK: Limits = limits("handle a network", 30, 16 * MIB);
/// Some 1 kB a network.
pub(super) const NETWORKS: Limits = limits("list its networks", 10, 16 * MIB);
/// Some 300 bytes a volume; a driver that hangs holds the whole list up.
pub(super) const VOLUMES: Limits = limits("list its volumes", 10, 16 * MIB);
/// See [`VOLUMES`].
pub(super) const VOLUME: Limits = limits("look for a volume", 10, MIB);
/// Whether an image is there: its whole description comes along.
pub(super) const IMAGE: Limits = limits("look for an image", 10, 4 * MIB);
/// One sample takes a second by itself; hundreds at once somewhat longer.
pub(super) const STATS: Limits = limits("measure a container", 10, MIB);
/// The first byte of a stream (log, events, exec): an idle log answers at once.
pub(super) const OPEN: Limits = limits("open a stream", 10, MIB);
/// The small calls around an exec.
pub(super) const EXEC: Limits = limits("run a program", 10, MIB);
/// A pull may take as long as it likes while it moves; the header waits for the registry's first answer.
pub(super) const PULL: Limits = limits("pull an image", 60, MIB);
/// A pull without a sign of progress for so long has died: the engine itself writes several lines a second.
pub(super) const PULL_SILENCE: Duration = Duration::from_secs(60);

/// An archive of an image: the first byte waits until the engine has put its layers together again.
pub(super) const EXPORT: Limits = limits("give an image away", 60, MIB);
/// An image that is taken in: see [`PULL_SILENCE`]; what it answers are a few lines.
pub(super) const LOAD: Limits = limits("take an image in", 60, MIB);
/// After its last byte an archive is unpacked in silence: gigabytes on a slow disk.
pub(super) const UNPACK: Duration = Duration::from_secs(900);

/// A machine that is up accepts a connection within milliseconds; a TLS handshake around the world takes below 2 s.
pub(super) const DIAL: Duration = Duration::from_secs(5);
/// An ssh login may ask slow name services and hardware keys.
pub(super) const SSH_LOGIN: Duration = Duration::from_secs(20);

/// Kept-alive connections a host: as many as an executor uses at once, so that none is opened twice.
pub(super) const IDLE_CONNECTIONS: usize = 32;
/// Samples asked for at once where the engine takes a second for each.
pub(super) const STATS_AT_ONCE: usize = 256;
/// Longest single text that is kept of a container (a name, an image, a port): more is cut.
pub(super) const TEXT_MAX: usize = 4 * KIB;
/// Longest line of an event or progress stream: a longer one is skipped.
pub(super) const STREAM_LINE_MAX: usize = 64 * KIB;
/// Longest error text that is kept of an engine's answer.
pub(super) const ERROR_TEXT_MAX: usize = 1024;
/// Largest configuration file of the Docker CLI that is read.
pub(super) const CONFIG_CAP: u64 = 4 * 1024 * 1024;
