//! The registry layer: whether registries answer, and replication between them, which compares by digests, moves what is
//! missing, and owns every run until it is over.

pub mod browse;
mod budget;
pub mod clients;
mod compare;
pub mod counting;
mod decide;
pub mod facts;
mod flight;
pub mod health;
mod image;
mod lines;
pub mod listing;
mod notes;
mod pace;
mod parts;
mod pool;
mod progress;
mod reader;
mod replicator;
mod run;
pub mod summary;
mod tasks;
pub mod users;

pub use decide::is_asked;
pub use image::chosen;
pub use lines::Views;
pub use pace::{TRIES, may_pass, pause};
pub use replicator::{Diff, Handle, Registries, Replicator};
