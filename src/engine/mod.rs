//! The engine core: intake, observers, reconciler, executor, and the link for other consoles.

pub mod core;
mod doubt;
mod dying;
pub mod execute;
pub mod handle;
mod held;
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
mod pace;
mod planning;
mod publish;
pub mod questions;
mod record;
pub mod session;
mod sight;
mod standing;
pub mod tails;
