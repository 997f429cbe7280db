//! The world in rows, badges and sentences, for the console and the command line alike. Pure: `&World` in, rows out.

pub mod access;
pub mod advice;
pub mod containers;
pub mod coverage;
pub mod describe;
pub mod harbor;
pub mod heat;
pub mod hosts;
pub mod json;
pub mod logs;
pub mod ops;
pub mod pools;
pub mod registries;
pub mod registry_auth;
pub mod replication;
pub mod sites;
pub mod table;
pub mod units;
pub mod uses;
pub mod why;
