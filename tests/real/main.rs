//! The real program and its adapters on real engines, registries and terminals. Where one of these is not there, a test says
//! that it is skipped, and why.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::disallowed_methods,
    clippy::cast_possible_truncation,
    reason = "real processes are waited for in real time; tests say what failed by failing"
)]

#[cfg(test)]
#[path = "../support/fleet.rs"]
mod fleet;
#[cfg(test)]
#[expect(dead_code, reason = "other test programs use the rest")]
#[path = "../support/proxy.rs"]
mod proxy;
#[cfg(test)]
#[expect(dead_code, reason = "other test programs use the rest")]
#[path = "../support/registry.rs"]
mod registry;
#[path = "../support/site.rs"]
mod site;
#[cfg(test)]
#[path = "../support/mod.rs"]
mod support;
#[cfg(test)]
#[path = "../support/terminal.rs"]
mod terminal;
#[cfg(test)]
#[path = "../support/tls.rs"]
mod tls;

mod access;
mod cli;
mod console;
mod crash;
mod docker;
mod faults;
mod hosts;
mod images;
mod kills;
mod prewarm;
mod registries;
mod replication;
mod takeover;
