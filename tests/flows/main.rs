//! Whole flows on virtual time with the simulated fleet: what people ask for, what fails meanwhile, what comes of it.
#![expect(clippy::unwrap_used, clippy::panic, reason = "tests say what failed by failing")]

#[path = "../support/flow.rs"]
mod flow;
#[path = "../support/switch.rs"]
mod switch;

mod access;
mod checks;
mod hosts;
mod prewarm;
mod registries;
mod replication;
mod review;
mod scaling;
mod sites;
mod trouble;
