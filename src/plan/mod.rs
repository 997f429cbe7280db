//! Pure decisions: what to do next, given what is wanted and seen. No clock, no IO, no randomness.

pub mod access;
pub mod batch;
pub mod coverage;
pub mod estimate;
pub mod harbor;
pub mod image_policy;
pub mod loss;
pub mod misplaced;
pub mod moves;
pub mod place;
pub mod preview;
pub mod prewarm;
pub mod progress;
pub mod rebalance;
pub mod reconcile;
pub mod renew;
pub mod replicate;
pub mod restart;
pub mod seen;
pub mod shrink;
pub mod slot;
pub mod sources;
pub mod surplus;
