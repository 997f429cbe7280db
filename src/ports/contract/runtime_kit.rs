//! What the promises have in common: containers that are removed at the end, waiting, words for what went wrong.

use std::fmt::Debug;
use std::future::Future;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::base::fault::{Kind, Outcome};
use crate::base::ids::{ContainerId, OpId, PoolId};
use crate::model::container::{Container, Tag};
use crate::model::pool::PoolSpec;
use crate::ports::contract::runtime::ContractEnv;

/// How long a promise waits for something that must come about.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);
const LOOK: Duration = Duration::from_millis(50);

/// The result of a promise.
pub(super) type Kept = Result<(), String>;

impl ContractEnv {
    /// A tag that no other promise uses.
    pub(super) fn tag(&self) -> Result<Tag, String> {
        Ok(Tag {
            install: self.install.clone(),
            pool: PoolId::new("contract", "web").or_broken("a pool's id")?,
            slot: self.slots.fetch_add(1, Ordering::Relaxed) + 1,
            generation: 1,
            revision: 1,
            op: OpId(1),
        })
    }

    /// A pool whose containers run `sh -c SCRIPT`, without a network.
    pub(super) fn script(&self, script: &str) -> PoolSpec {
        self.command(&["sh", "-c", script])
    }

    /// A pool whose containers run a command, without a network.
    pub(super) fn command(&self, command: &[&str]) -> PoolSpec {
        PoolSpec {
            image: self.image.clone(),
            command: Some(command.iter().map(|s| (*s).to_owned()).collect()),
            network_mode: Some("none".to_owned()),
            stop_grace_ms: 1000,
            replicas: 1,
            ..PoolSpec::default()
        }
    }

    /// Makes and starts a container, runs `check` with it and removes it, whatever the check said.
    pub(super) async fn with_running<F>(&self, spec: &PoolSpec, check: impl FnOnce(ContainerId) -> F) -> Kept
    where
        F: Future<Output = Kept>,
    {
        let tag = self.tag()?;
        let id = self.runtime.create(&tag, spec).await.or_broken("create")?;
        let kept = match self.runtime.start(&id).await.or_broken("start") {
            Ok(()) => check(id.clone()).await,
            Err(why) => Err(why),
        };
        self.clean(&[id], kept).await
    }

    /// Removes containers and gives the result on; a removal that fails breaks the promise too.
    pub(super) async fn clean(&self, ids: &[ContainerId], kept: Kept) -> Kept {
        let mut removed = Ok(());
        for id in ids {
            removed = removed.and(self.runtime.remove(id).await.or_broken("remove"));
        }
        kept.and(removed)
    }

    /// The container in the list.
    pub(super) async fn listed(&self, id: &ContainerId) -> Result<Option<Container>, String> {
        let list = self.runtime.list().await.or_broken("list")?;
        let sorted = list.is_sorted_by(|a, b| a.id < b.id);
        ensure(sorted, || "the list is not sorted by id".to_owned())?;
        Ok(list.into_iter().find(|c| c.id == *id))
    }

    /// Waits until the container is listed and as wanted.
    pub(super) async fn wait_for(
        &self,
        id: &ContainerId,
        what: &str,
        wanted: impl Fn(&Container) -> bool,
    ) -> Kept {
        let mut last = None;
        for _ in 0..PATIENCE.as_millis() / LOOK.as_millis() {
            last = self.listed(id).await?;
            if last.as_ref().is_some_and(&wanted) {
                return Ok(());
            }
            tokio::time::sleep(LOOK).await;
        }
        Err(format!("it never became {what}, last seen: {last:?}"))
    }
}

/// Breaks the promise with these words unless `holds`.
pub(super) fn ensure(holds: bool, words: impl FnOnce() -> String) -> Kept {
    if holds { Ok(()) } else { Err(words()) }
}

/// Breaks the promise unless both are equal.
pub(super) fn same<T: PartialEq + Debug>(what: &str, found: &T, wanted: &T) -> Kept {
    ensure(found == wanted, || format!("{what} is {found:?}, not {wanted:?}"))
}

/// Breaks the promise unless the call failed in this way.
pub(super) fn fails<T: Debug>(what: &str, result: Outcome<T>, wanted: Kind) -> Result<String, String> {
    match result {
        Err(fault) if fault.kind == wanted => Ok(fault.to_string()),
        Err(fault) => Err(format!("{what} failed as {:?}, not {wanted:?}: {fault}", fault.kind)),
        Ok(value) => Err(format!("{what} should have failed as {wanted:?}, but gave {value:?}")),
    }
}

/// Waits for a step at most as long as the patience lasts.
pub(super) async fn in_time<T>(what: &str, step: impl Future<Output = T>) -> Result<T, String> {
    tokio::time::timeout(PATIENCE, step).await.map_err(|_| format!("{what} did not come within {PATIENCE:?}"))
}

/// Words for a step that must not fail.
pub(super) trait OrBroken<T> {
    /// The value, or the words.
    fn or_broken(self, what: &str) -> Result<T, String>;
}

impl<T> OrBroken<T> for Outcome<T> {
    fn or_broken(self, what: &str) -> Result<T, String> {
        self.map_err(|fault| format!("{what} failed as {:?}: {fault}", fault.kind))
    }
}
