//! The outside systems behind the ports: real Docker engines, Harbor, the simulated fleet, and the service that gives registries tokens.

pub mod docker;
pub mod harbor;
pub mod sim;
pub mod tokens;
