//! Images on virtual time: looking into large registries, files that carry images, rules for images, with simulated registries.

#![expect(clippy::unwrap_used, clippy::panic, reason = "tests say what failed by failing")]

#[path = "support/flow.rs"]
mod flow;
#[path = "images/lab.rs"]
mod lab;

#[path = "images/archives.rs"]
mod archives;
#[path = "images/browse.rs"]
mod browse;
#[path = "images/rules.rs"]
mod rules;
