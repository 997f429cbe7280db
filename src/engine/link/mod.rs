//! The link: other consoles and commands on this machine work through the engine that holds the lock, over a Unix socket.

pub mod client;
pub mod frames;
pub mod server;
