//! The outside systems behind the ports: real Docker engines, image registries, Harbor, the simulated fleet, and the service that
//! gives registries tokens.

pub mod archive;
pub mod credentials;
pub mod docker;
pub mod harbor;
pub mod oci;
pub mod sim;
pub mod tokens;
