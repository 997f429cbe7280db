//! The engine core: intake, observers, reconciler, executor, and the link for other consoles.

pub mod handle;
