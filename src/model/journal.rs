//! The journal: who did what, what was tried, what became of it. In order; what people asked for is kept for good, the engine's own lines as far back as the last half million.

use serde::{Deserialize, Serialize};

use crate::base::clock::Millis;
use crate::base::ids::{HostId, OpId, PoolId, Slot};

/// Who the engine itself is in the journal.
pub const ENGINE: &str = "engine";

/// One line of the journal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// Its number, from 1; later is larger, whatever the clock says.
    pub seq: u64,
    /// When it was written.
    pub at: Millis,
    /// What sort of line.
    pub what: What,
    /// Who: a person (`alice`) or `engine`.
    pub by: String,
    /// The operation that it belongs to.
    pub op: Option<OpId>,
    /// The pool that it is about.
    pub pool: Option<PoolId>,
    /// The slot that it is about.
    pub slot: Option<Slot>,
    /// The host that it is about.
    pub host: Option<HostId>,
    /// The sentence. May quote text from outside: it is sanitised when shown.
    pub text: String,
}

/// The sort of a journal line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum What {
    /// A request was accepted.
    Accepted,
    /// A request was refused.
    Refused,
    /// A step is about to be tried.
    Intent,
    /// A step ended as it should.
    Outcome,
    /// A step failed.
    Failed,
    /// A step's outcome is not known yet.
    Unknown,
    /// Something changed by itself: a container ended, a host was lost, health changed.
    Observed,
    /// An operation ended.
    Ended,
    /// The engine core itself: started, stopped, fenced, took over.
    Engine,
}

impl What {
    /// The sort in one word.
    pub fn word(self) -> &'static str {
        match self {
            What::Accepted => "accepted",
            What::Refused => "refused",
            What::Intent => "intent",
            What::Outcome => "outcome",
            What::Failed => "failed",
            What::Unknown => "unknown",
            What::Observed => "observed",
            What::Ended => "ended",
            What::Engine => "engine",
        }
    }

    /// Reads the word back.
    pub fn from_word(word: &str) -> Option<What> {
        use What::*;
        [Accepted, Refused, Intent, Outcome, Failed, Unknown, Observed, Ended, Engine]
            .into_iter()
            .find(|w| w.word() == word)
    }
}

/// A line that is to be written: all of [`Entry`] but number and time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Draft {
    /// What sort of line.
    pub what: What,
    /// Who.
    pub by: String,
    /// The operation that it belongs to.
    pub op: Option<OpId>,
    /// The pool that it is about.
    pub pool: Option<PoolId>,
    /// The slot that it is about.
    pub slot: Option<Slot>,
    /// The host that it is about.
    pub host: Option<HostId>,
    /// The sentence.
    pub text: String,
}

impl Draft {
    /// A line by the engine itself.
    pub fn engine(what: What, text: impl Into<String>) -> Draft {
        Draft::by(ENGINE, what, text)
    }

    /// A line by somebody.
    pub fn by(who: &str, what: What, text: impl Into<String>) -> Draft {
        Draft { what, by: who.to_owned(), op: None, pool: None, slot: None, host: None, text: text.into() }
    }

    /// About a pool.
    #[must_use]
    pub fn pool(mut self, pool: &PoolId) -> Draft {
        self.pool = Some(pool.clone());
        self
    }

    /// About a slot of a pool.
    #[must_use]
    pub fn slot(mut self, pool: &PoolId, slot: Slot) -> Draft {
        self.slot = Some(slot);
        self.pool(pool)
    }

    /// About a host.
    #[must_use]
    pub fn host(mut self, host: &HostId) -> Draft {
        self.host = Some(host.clone());
        self
    }

    /// Part of an operation. What is done on no operation's behalf (mending) carries the number 0, which names none.
    #[must_use]
    pub fn op(mut self, op: OpId) -> Draft {
        self.op = (op.0 > 0).then_some(op);
        self
    }
}
