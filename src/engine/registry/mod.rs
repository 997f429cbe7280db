//! The registry layer: whether registries answer, and replication between them, which compares by digests, moves what is
//! missing, and owns every run until it is over.

mod asked;
pub mod bring;
pub mod browse;
mod budget;
pub mod clients;
mod compare;
pub mod counting;
mod debts;
pub mod facts;
mod flight;
mod guard;
pub mod harbor;
pub mod health;
pub mod hints;
mod image;
mod lag;
mod lines;
pub mod listing;
mod matters;
mod notes;
mod pace;
mod pages;
mod parts;
mod pool;
mod progress;
mod reader;
mod rejoin;
mod remove;
mod replicator;
mod resolve;
mod review;
mod run;
pub mod summary;
mod tally;
mod tasks;
mod trail;
pub mod triggers;
pub mod users;
mod verify;
mod weigh;

pub use asked::is_asked;
pub use image::chosen;
pub use lines::Views;
pub use pace::{TRIES, may_pass, pause};
pub use replicator::{Diff, Handle, Past, Registries, Replicator};
