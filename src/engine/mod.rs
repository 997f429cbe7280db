//! The engine core: intake, observers, reconciler, executor, and the link for other consoles.

pub mod core;
pub mod execute;
pub mod handle;
mod identity;
pub mod intake;
pub mod intents;
pub mod inventory;
pub mod link;
pub mod lock;
mod losses;
mod moving;
pub mod observe;
pub mod operations;
pub mod questions;
pub mod session;
mod standing;
pub mod tails;
