//! The nouns of the product: what there is, what is wanted, what may be asked. Data and small rules, no IO.

pub mod access;
pub mod command;
pub mod constraint;
pub mod container;
pub mod desired;
pub mod exec;
pub mod explain;
pub mod harbor;
pub mod holdings;
pub mod host;
pub mod instance;
pub mod journal;
pub mod logs;
pub mod moves;
pub mod oci;
pub mod operation;
pub mod pace;
pub mod placement;
pub mod policy;
pub mod pool;
pub mod preview;
pub mod query;
pub mod registry;
pub mod replication;
pub mod site;
pub mod world;
