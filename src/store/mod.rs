//! The durable state: one SQLite database, one connection, one owner task.
//!
//! WAL, `synchronous=FULL`, `BEGIN IMMEDIATE` for every write, no mmap. Every write transaction checks the epoch of the
//! engine lock, so that a core that was paused and replaced is fenced. Nothing outside this folder names SQLite.

pub mod fault;
pub mod journal;
pub mod load;
pub mod memory;
pub mod open;
pub mod owner;
pub mod replication;
pub mod schema;
pub mod write;

pub use owner::Store;
