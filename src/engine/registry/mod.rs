//! The registry layer: whether registries answer, and moving images between them.

pub mod health;
