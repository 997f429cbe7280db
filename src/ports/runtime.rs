//! The port to one container engine: its life cycle, what is seen of it, and a closer look at one container.
//!
//! Every call has a deadline and caps of its own inside the adapter. A [`Kind::Timeout`](crate::base::fault::Kind) means
//! **unknown**: the caller reads back by name before it tries again.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;

use crate::base::clock::Millis;
use crate::base::fault::Outcome;
use crate::base::ids::{ContainerId, InstallId};
use crate::base::text::Untrusted;
use crate::model::container::{Container, Tag, Usage};
use crate::model::exec::{ExecSession, ExecWanted};
use crate::model::holdings::Sort;
use crate::model::host::{HostFacts, Image};
use crate::model::pool::PoolSpec;
use crate::model::prewarm::{HeldImage, PullProgress};

/// Making and unmaking containers. Every method is idempotent as stated.
pub trait Lifecycle: Send + Sync {
    /// Makes a container, not started, with the tag's name and labels; also makes the networks it needs that are not
    /// external. If a container of that name with the same tag exists, that one is returned. `Conflict` when the name is
    /// taken by a stranger, `NotFound` when the image is not on the host, `Refused` when an external network or volume is not.
    fn create<'a>(&'a self, tag: &'a Tag, spec: &'a PoolSpec) -> BoxFuture<'a, Outcome<ContainerId>>;

    /// Starts a container; succeeds if it runs already.
    fn start<'a>(&'a self, id: &'a ContainerId) -> BoxFuture<'a, Outcome<()>>;

    /// Asks a container to end by its stop signal, kills it after the grace time. Succeeds if it has ended already.
    /// `NotFound` when it is not there.
    fn stop<'a>(&'a self, id: &'a ContainerId, grace_ms: u64) -> BoxFuture<'a, Outcome<()>>;

    /// Removes a container with its anonymous volumes, by force. Succeeds if it is not there.
    fn remove<'a>(&'a self, id: &'a ContainerId) -> BoxFuture<'a, Outcome<()>>;

    /// Removes a network that [`Lifecycle::create`] made for this install. Succeeds if it is not there; `Conflict` while it is
    /// in use, or when it is not this install's.
    fn remove_network<'a>(&'a self, name: &'a str, install: &'a InstallId) -> BoxFuture<'a, Outcome<()>>;
}

/// Images on a host: getting them there, saying what is there, and handing them on. Every method is idempotent.
pub trait Images: Send + Sync {
    /// Makes sure that the image is on the host, pulling it if it is not; reports how far it is.
    /// `NotFound` when no registry has it.
    fn pull<'a>(
        &'a self,
        image: &'a str,
        progress: &'a (dyn Fn(PullProgress) + Send + Sync),
    ) -> BoxFuture<'a, Outcome<()>>;

    /// True when the image is on the host.
    fn has_image<'a>(&'a self, image: &'a str) -> BoxFuture<'a, Outcome<bool>>;

    /// Gives an image that is on the host another name, too. `NotFound` when it is not there.
    fn name_image<'a>(&'a self, image: &'a str, name: &'a str) -> BoxFuture<'a, Outcome<()>>;

    /// What an image reference stands for on the host, with the digests that prove it; `None` when it is not there.
    fn held<'a>(&'a self, image: &'a str) -> BoxFuture<'a, Outcome<Option<HeldImage>>>;

    /// The whole image as an archive, piece by piece. `NotFound` when it is not there. The stream fails when it is cut off.
    fn export<'a>(&'a self, image: &'a str) -> BoxFuture<'a, Outcome<BoxStream<'static, Outcome<Bytes>>>>;

    /// Takes an image from such an archive, under the names that it has in it. The engine checks layers and configuration; an
    /// archive that breaks off leaves nothing that has a name. **Digests of registries do not come along**: what arrives is
    /// proved by the image's own id.
    fn load<'a>(&'a self, archive: BoxStream<'static, Outcome<Bytes>>) -> BoxFuture<'a, Outcome<()>>;
}

/// Seeing what is on a host.
pub trait Observe: Send + Sync {
    /// What the engine says about itself.
    fn facts(&self) -> BoxFuture<'_, Outcome<HostFacts>>;

    /// Whether the engine answers at all, as cheaply as it can be asked.
    fn ping(&self) -> BoxFuture<'_, Outcome<()>>;

    /// Every image on the host that has a reference, by each of its references (`name:tag`).
    fn images(&self) -> BoxFuture<'_, Outcome<BTreeMap<String, Image>>>;

    /// Which of these networks or volumes are on the host, whoever made them.
    fn holds<'a>(
        &'a self,
        sort: Sort,
        names: &'a BTreeSet<String>,
    ) -> BoxFuture<'a, Outcome<BTreeSet<String>>>;

    /// Every container on the host, complete, ours or not. An error is never an empty list.
    fn list(&self) -> BoxFuture<'_, Outcome<Vec<Container>>>;

    /// Changes from now on, as hints: the list is the truth. The stream ends or fails when the connection is lost.
    fn events(&self) -> BoxFuture<'_, Outcome<BoxStream<'static, Outcome<EngineEvent>>>>;

    /// How a container ended; `NotFound` when it is not there.
    fn ending<'a>(&'a self, id: &'a ContainerId) -> BoxFuture<'a, Outcome<Ending>>;

    /// The use of these containers; those that are not running are left out. Cheap where the engine is on this machine
    /// (control groups are read), one-shot samples where it is not.
    fn usage<'a>(&'a self, ids: &'a [ContainerId]) -> BoxFuture<'a, Outcome<BTreeMap<ContainerId, Usage>>>;

    /// True when [`Observe::usage`] costs the engine nothing, so that all containers may be sampled.
    fn usage_is_free(&self) -> bool;
}

/// A closer look at one container.
pub trait Peek: Send + Sync {
    /// The engine's own JSON, byte for byte.
    fn inspect<'a>(&'a self, id: &'a ContainerId) -> BoxFuture<'a, Outcome<String>>;

    /// Its log. The stream ends when `follow` is false or the container is gone.
    fn logs<'a>(
        &'a self,
        id: &'a ContainerId,
        wanted: &'a LogWanted,
    ) -> BoxFuture<'a, Outcome<BoxStream<'static, Outcome<RawLine>>>>;

    /// Runs a program in it.
    fn exec<'a>(&'a self, id: &'a ContainerId, wanted: &'a ExecWanted)
    -> BoxFuture<'a, Outcome<ExecSession>>;
}

/// One engine, whole.
pub trait Runtime: Lifecycle + Images + Observe + Peek {}
impl<T: Lifecycle + Images + Observe + Peek> Runtime for T {}

/// A hint that something changed.
#[derive(Clone, Debug, PartialEq)]
pub struct EngineEvent {
    /// The container, when it is about one.
    pub container: Option<ContainerId>,
    /// The engine's word: `start`, `die`, `health_status: unhealthy` …
    pub action: Untrusted,
    /// When, by the engine's clock.
    pub at: Millis,
}

/// How a container ended.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Ending {
    /// Exit status (128 + signal when it was killed by one).
    pub exit: i64,
    /// The kernel killed it for its memory limit.
    pub oom: bool,
    /// The engine's own error text (a program that could not be started).
    pub error: Option<Untrusted>,
    /// When it started last.
    pub started: Option<Millis>,
    /// When it ended.
    pub finished: Option<Millis>,
}

/// Which part of a log.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LogWanted {
    /// From this time on.
    pub since: Option<Millis>,
    /// At most so many of the last lines.
    pub tail: Option<u32>,
    /// Go on with new lines.
    pub follow: bool,
}

/// One line of a log, at most [`LINE_MAX`](crate::model::logs::LINE_MAX) bytes.
#[derive(Clone, Debug, PartialEq)]
pub struct RawLine {
    /// The engine's stamp.
    pub at: Millis,
    /// Standard error.
    pub stderr: bool,
    /// The text without the line end.
    pub text: Untrusted,
}
