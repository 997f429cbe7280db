//! The outside systems behind the ports: real Docker engines, and the simulated fleet.

pub mod docker;
pub mod harbor;
pub mod sim;
