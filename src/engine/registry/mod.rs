//! The registry layer: whether registries answer, and replication between them, which compares by digests, moves what is
//! missing, and owns every run until it is over.

mod budget;
pub mod clients;
mod compare;
mod flight;
pub mod health;
mod image;
mod lines;
mod matters;
mod notes;
mod pace;
mod parts;
mod pool;
mod progress;
mod reader;
mod remove;
mod replicator;
mod resolve;
mod review;
mod run;
mod tally;
mod tasks;
mod trail;
mod verify;

pub use lines::Views;
pub use replicator::{Diff, Handle, Registries, Replicator};
