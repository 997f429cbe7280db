//! Small drawing tools: text in a place, frames, tables, bars, and the last pass over every cell.

pub mod bars;
pub mod input;
pub mod last;
pub mod list;
pub mod paint;
pub mod table;
