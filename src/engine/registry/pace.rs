//! Whether a run may go on, and how long to wait before something is tried again.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use crate::base::fault::{Fault, Kind, Outcome};

/// What people want of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// It goes on.
    Go,
    /// It stands still, also inside a blob.
    Paused,
    /// It ends, also inside a blob.
    Stopped,
}

/// Waits until a run may go on. One whose owner is gone never may.
pub async fn go(pace: &watch::Receiver<Pace>) {
    let mut pace = pace.clone();
    if pace.wait_for(|p| *p == Pace::Go).await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// How often a call is tried in all.
pub const TRIES: u32 = 5;
/// The first pause before it is tried again; each further one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// Nothing is tried anew that has been tried in vain for so long. A host that cannot be reached costs more than a minute a
/// call: the client has tries of its own, within seconds.
pub const PATIENCE: Duration = Duration::from_secs(90);
/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// The pause before the try after this one, which is counted from 0.
pub fn pause(after: u32) -> Duration {
    (FIRST_PAUSE * 2u32.saturating_pow(after.min(16))).min(LONGEST_PAUSE)
}

/// True when the same call may have another outcome later: not where the other side said no, or where what was asked for
/// is not there.
pub fn may_pass(fault: &Fault) -> bool {
    !matches!(fault.kind, Kind::Refused | Kind::NotFound | Kind::Conflict | Kind::Fenced)
}

/// Calls again, with growing pauses, while that may help.
///
/// # Errors
/// The last call's.
pub async fn again<T, F: Future<Output = Outcome<T>>>(tries: u32, call: impl Fn() -> F) -> Outcome<T> {
    let (began, mut done) = (Instant::now(), 0);
    loop {
        match call().await {
            Err(fault) if may_pass(&fault) && done + 1 < tries && began.elapsed() < PATIENCE => {
                tokio::time::sleep(pause(done)).await
            }
            other => return other,
        }
        done += 1;
    }
}
