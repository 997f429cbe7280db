//! From the world to rows, badges and sentences, shared by console and command line.

pub mod json;
pub mod logs;
pub mod table;
