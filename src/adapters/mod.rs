//! The outside systems behind the ports: real Docker engines, the simulated fleet, and image registries.

pub mod credentials;
pub mod docker;
pub mod oci;
pub mod sim;
