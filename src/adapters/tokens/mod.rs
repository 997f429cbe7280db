//! The token service for registries: secrets, the signing key, tokens, and the listener that gives them out.

pub mod asking;
pub mod counts;
mod events;
mod form;
mod guard;
pub mod keys;
pub mod limits;
pub mod listener;
mod routes;
pub mod secrets;
pub mod sign;
pub mod tls;

use crate::base::fault::{Fault, Kind};

/// A fault of a file that is needed here.
fn of_file(path: &std::path::Path, why: impl std::fmt::Display) -> Fault {
    Fault::new(Kind::Refused, format!("{}: {why}", path.display()))
}
