//! Replication between registries, decided: what is wanted, what differs, what is to be done about it, and when.

pub mod conflict;
#[cfg(test)]
mod converge;
pub mod deletes;
pub mod difference;
pub mod filter;
pub mod schedule;
pub mod state;
pub mod topology;
pub mod work;
