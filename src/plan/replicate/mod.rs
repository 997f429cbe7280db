//! Replication between registries, decided: what is wanted, what differs, what is to be done about it, and when.

pub mod filter;
