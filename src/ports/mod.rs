//! Narrow traits to everything outside, in our own nouns. Each has a contract that every adapter must keep.

pub mod archive;
pub mod contract;
pub mod desk;
pub mod registry;
pub mod registry_admin;
pub mod runtime;
