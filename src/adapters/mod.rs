//! The outside systems behind the ports: real Docker engines, the simulated fleet, and the service that gives registries tokens.

pub mod docker;
pub mod sim;
pub mod tokens;
