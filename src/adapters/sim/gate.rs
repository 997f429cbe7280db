//! The way into a simulated engine: every call is counted, delayed, lost or left hanging as the host's condition has it.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::oneshot;
use tokio::time::{Instant, sleep_until, timeout_at};

use crate::adapters::sim::chance::chance;
use crate::adapters::sim::host::{HostState, SimHost};
use crate::adapters::sim::trouble::Link;
use crate::adapters::sim::{Ms, ms};
use crate::base::fault::{Fault, Kind, Outcome};

/// How long a call may take before it counts as unanswered, in milliseconds.
pub const CALL_DEADLINE_MS: u64 = 10_000;

/// The kinds of calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CallKind {
    /// `Images::pull`
    Pull,
    /// `Images::has_image`
    HasImage,
    /// `Images::name_image`
    NameImage,
    /// `Images::held`
    Held,
    /// `Images::export`
    Export,
    /// `Images::load`
    Load,
    /// `Lifecycle::create`
    Create,
    /// `Lifecycle::start`
    Start,
    /// `Lifecycle::stop`
    Stop,
    /// `Lifecycle::remove`
    Remove,
    /// `Lifecycle::remove_network`
    RemoveNetwork,
    /// `Observe::facts`
    Facts,
    /// `Observe::ping`
    Ping,
    /// `Observe::images`
    Images,
    /// `Observe::holds`
    Holds,
    /// `Observe::list`
    List,
    /// `Observe::events`
    Events,
    /// `Observe::ending`
    Ending,
    /// `Observe::usage`
    Usage,
    /// `Peek::inspect`
    Inspect,
    /// `Peek::logs`
    Logs,
    /// `Peek::exec`
    Exec,
}

/// How often each kind of call was made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Calls {
    counts: BTreeMap<CallKind, u64>,
}

impl Calls {
    /// Calls of one kind.
    pub fn of(&self, kind: CallKind) -> u64 {
        self.counts.get(&kind).copied().unwrap_or(0)
    }

    /// All calls.
    pub fn total(&self) -> u64 {
        self.counts.values().sum()
    }

    fn add(&mut self, kind: CallKind) -> u64 {
        *self.counts.entry(kind).or_default() += 1;
        self.total()
    }
}

/// What a call brings, and when its answer is ready at the earliest.
pub(super) struct Done<T> {
    pub value: T,
    pub ready: Ms,
}

impl<T> Done<T> {
    /// An answer that is ready at once.
    pub fn now(value: T) -> Done<T> {
        Done { value, ready: Ms::MIN }
    }
}

impl SimHost {
    /// Makes one call: the request travels, has its effect, and the answer travels back. Trouble may strike at each of the
    /// three, as it does with a real engine.
    pub(super) async fn call<T: Send + 'static>(
        &self,
        kind: CallKind,
        deadline_ms: u64,
        work: impl FnOnce(&mut HostState, Ms) -> Outcome<Done<T>> + Send + 'static,
    ) -> Outcome<T> {
        let deadline = self.now() + ms(deadline_ms);
        let half = self.admit(kind)?.min(ms(deadline_ms) / 2);
        let _slot = self.slot(deadline).await?;
        self.send(self.now() + half).await?;
        let done = self.perform(deadline, work).await??;
        self.travel(done.ready.max(self.now() + half), deadline).await?;
        Ok(done.value)
    }

    /// Counts a call and draws half of its travel time; fails when the host cannot be reached.
    fn admit(&self, kind: CallKind) -> Outcome<Ms> {
        let (mut state, _) = self.state();
        let number = state.calls.add(kind);
        if state.condition.link == Link::Cut {
            return Err(self.unreachable());
        }
        let mut dice = chance(&[state.seed, 5, number]);
        let factor = u64::from(state.condition.slow.max(1));
        Ok(ms(self.0.plan.latency_ms.pick(&mut dice).saturating_mul(factor)) / 2)
    }

    async fn slot(&self, deadline: Ms) -> Outcome<Option<tokio::sync::SemaphorePermit<'_>>> {
        match &self.0.slots {
            None => Ok(None),
            Some(slots) => match timeout_at(self.instant(deadline), slots.acquire()).await {
                Ok(permit) => Ok(permit.ok()),
                Err(_) => Err(self.unanswered()),
            },
        }
    }

    /// Has the work done, at once or, when the engine is stopped, as soon as it goes on: also when the caller is gone by then.
    async fn perform<T: Send + 'static>(
        &self,
        deadline: Ms,
        work: impl FnOnce(&mut HostState, Ms) -> Outcome<Done<T>> + Send + 'static,
    ) -> Outcome<Outcome<Done<T>>> {
        let (answer, answered) = oneshot::channel();
        let task = move |state: &mut HostState, at: Ms| {
            // The caller may have given up: the effect stays.
            let _ = answer.send(work(state, at));
        };
        {
            let (mut state, now) = self.state();
            match state.condition.link {
                Link::Up => task(&mut state, now),
                Link::Hung => state.deferred.push(Box::new(task)),
                Link::Cut => return Err(self.unreachable()),
            }
        }
        self.travel(Ms::MIN, deadline).await?;
        answered.await.map_err(|_| self.unreachable())
    }

    /// Waits until a request has arrived. A stopped engine does not keep it from arriving.
    async fn send(&self, until: Ms) -> Outcome<()> {
        loop {
            let mut changed = self.watch();
            let wake = {
                let (state, now) = self.state();
                if state.condition.link == Link::Cut {
                    return Err(self.unreachable());
                }
                if now >= until {
                    return Ok(());
                }
                state.next_turn()
            };
            self.rest(Some(wake.unwrap_or(until).min(until)), &mut changed).await;
        }
    }

    /// Waits until a time; longer while the engine is stopped, but not beyond the deadline.
    pub(super) async fn travel(&self, until: Ms, deadline: Ms) -> Outcome<()> {
        loop {
            let mut changed = self.watch();
            let (wake, hung) = {
                let (state, now) = self.state();
                let hung = state.condition.link == Link::Hung;
                if state.condition.link == Link::Cut {
                    return Err(self.unreachable());
                }
                if !hung && now >= until {
                    return Ok(());
                }
                if now >= deadline {
                    return Err(self.unanswered());
                }
                (state.next_turn(), hung)
            };
            let until = if hung { deadline } else { until.min(deadline) };
            self.rest(Some(wake.unwrap_or(until).min(until)), &mut changed).await;
        }
    }

    /// Rests until a time of the fleet, or until something changes.
    pub(super) async fn rest(&self, until: Option<Ms>, changed: &mut tokio::sync::watch::Receiver<u64>) {
        let far = Instant::now() + tokio::time::Duration::from_secs(3600);
        tokio::select! {
            () = sleep_until(until.map_or(far, |at| self.instant(at))) => {}
            _ = changed.changed() => {}
        }
    }

    pub(super) fn unreachable(&self) -> Fault {
        Fault::new(Kind::Unreachable, format!("{}: connection refused", self.0.plan.name))
            .hint("the simulated host is cut off; it comes back when its scenario says so")
    }

    pub(super) fn unanswered(&self) -> Fault {
        Fault::new(Kind::Timeout, format!("{}: no answer within the deadline", self.0.plan.name))
    }
}

impl std::fmt::Debug for SimHost {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SimHost({}, {} clones)", self.0.plan.name, Arc::strong_count(&self.0))
    }
}
