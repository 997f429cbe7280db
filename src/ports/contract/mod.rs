//! The promises of each port as functions that every adapter must pass: the simulator and the real thing alike.

pub mod registry;
mod registry_kit;
mod registry_look;
mod registry_move;
pub mod runtime;
mod runtime_images;
mod runtime_kit;
mod runtime_life;
mod runtime_look;
pub mod scripts;
