//! An instance: one slot of a pool, with the durable record of where it lives and how it has fared.

use serde::{Deserialize, Serialize};

use crate::base::clock::Millis;
use crate::base::ids::{HostId, InstallId, OpId, PoolId, Slot};
use crate::model::container::Tag;

/// The record of one slot. It is written before an engine is asked for anything, so that a crash forgets nothing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Instance {
    /// Its pool.
    pub pool: PoolId,
    /// Its number, from 1.
    pub slot: Slot,
    /// Which attempt at this slot, from 1.
    pub generation: u32,
    /// The host that it was given to.
    pub host: HostId,
    /// The pool's revision that it is made from.
    pub revision: u32,
    /// The operation that caused this generation.
    pub op: OpId,
    /// How far this generation came.
    pub phase: Phase,
    /// Failures in a row.
    pub failures: u32,
    /// No new attempt before this time.
    pub retry_at: Option<Millis>,
    /// Why the last attempt failed or the last container ended.
    pub cause: Option<String>,
    /// When this generation was recorded.
    pub since: Millis,
    /// When its slot took this revision from another one: as that was recorded, then as the container began. What becomes of
    /// the container afterwards does not change it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub renewed: Option<Millis>,
    /// It was moved: the container that serves until this one does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub moved_from: Option<Box<MovedFrom>>,
    /// It shall move to this host (rebalancing).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub move_to: Option<HostId>,
}

/// The container that an instance takes over from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MovedFrom {
    /// Its host.
    pub host: HostId,
    /// Its generation.
    pub generation: u32,
    /// Its revision.
    pub revision: u32,
    /// Its operation.
    pub op: OpId,
}

/// How far one generation of an instance came, as far as we have seen it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// Recorded; the engine may or may not have made the container.
    Intended,
    /// The container was started (or seen running).
    Started,
    /// It ended, failed its health check or is out of date: a new generation follows at `retry_at`.
    Ended,
    /// It ended or failed and is not to be replaced (restart policy).
    Finished,
}

impl Instance {
    /// The record of a container that was found running: its labels say all of it.
    pub fn found(tag: &Tag, host: &HostId, now: Millis) -> Instance {
        Instance {
            pool: tag.pool.clone(),
            slot: tag.slot,
            generation: tag.generation,
            host: host.clone(),
            revision: tag.revision,
            op: tag.op,
            phase: Phase::Started,
            failures: 0,
            retry_at: None,
            cause: None,
            since: now,
            renewed: None,
            moved_from: None,
            move_to: None,
        }
    }

    /// When the slot took `revision` from another one, for a record that follows this one at `now`.
    pub fn renewed_as(&self, revision: u32, now: Millis) -> Option<Millis> {
        if self.revision == revision { self.renewed } else { Some(now) }
    }

    /// The record once its container has begun.
    pub fn begun(&self, now: Millis) -> Instance {
        // Nothing has happened to it since it was renewed: that counts from here.
        let is_first = self.phase == Phase::Intended && self.renewed == Some(self.since);
        let renewed = if is_first { Some(now) } else { self.renewed };
        Instance { phase: Phase::Started, since: now, renewed, ..self.clone() }
    }

    /// The hosts that it has to do with: where it is, where it comes from and where it goes.
    pub fn hosts(&self) -> impl Iterator<Item = &HostId> {
        let from = self.moved_from.as_ref().map(|from| &from.host);
        std::iter::once(&self.host).chain(from).chain(&self.move_to)
    }

    /// The labels' content of this generation's container.
    pub fn tag(&self, install: &InstallId) -> Tag {
        Tag {
            install: install.clone(),
            pool: self.pool.clone(),
            slot: self.slot,
            generation: self.generation,
            revision: self.revision,
            op: self.op,
        }
    }
}
