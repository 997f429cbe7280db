//! The nouns of the product: what there is, what is wanted, what may be asked. Data and small rules, no IO.

pub mod command;
pub mod container;
pub mod desired;
pub mod exec;
pub mod host;
pub mod instance;
pub mod journal;
pub mod logs;
pub mod operation;
pub mod pool;
pub mod preview;
pub mod query;
pub mod world;
