//! The simulated fleet: many virtual engines on virtual time, for practice, demonstrations and tests.
//!
//! No task runs behind it: what a container does at a time is computed when somebody looks, from the scenario's seed and
//! the time alone. The same seed and the same calls at the same times give the same fleet, line by line.

mod agenda;
mod behaviour;
mod chance;
mod demo;
mod exec;
mod fleet;
mod gate;
mod host;
mod images;
mod inspect;
mod lifecycle;
mod load;
mod logs;
mod observe;
mod play;
mod populate;
mod registry;
mod registry_client;
mod registry_images;
mod scenario;
mod shell;
mod trouble;
mod unit;

pub use behaviour::{Behaviour, LogStyle};
pub use chance::Span;
pub use demo::demo;
pub use fleet::Fleet;
pub use gate::{CALL_DEADLINE_MS, CallKind, Calls};
pub use host::SimHost;
pub use logs::LOG_KEPT;
pub use registry::{RegistryCall, RegistryCounts, RegistryPace, RegistryTrouble, SimRegistry};
pub use registry_images::layer;
pub use scenario::{Belongs, Existing, HostPlan, ImagePlan, Scenario, Turn};
pub use trouble::{Lies, Trouble};

/// Milliseconds since the fleet was made; negative for what happened before.
type Ms = i64;

/// A length of time as a signed number of milliseconds.
fn ms(length: u64) -> Ms {
    Ms::try_from(length).unwrap_or(Ms::MAX / 4)
}

/// A signed number of milliseconds as a length, zero when negative.
fn length(ms: Ms) -> u64 {
    u64::try_from(ms).unwrap_or(0)
}
