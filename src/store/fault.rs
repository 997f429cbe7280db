//! SQLite's errors in our words.

use rusqlite::ErrorCode;

use crate::base::fault::{Fault, Kind};

/// Turns an error of the database into a sentence with the next step.
pub fn from_sqlite(error: &rusqlite::Error) -> Fault {
    let (kind, sentence, hint) = match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => (
            Kind::Exhausted,
            "the disk of the state directory is full",
            "free some space; nothing was changed",
        ),
        Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => (
            Kind::Refused,
            "the state directory is read-only",
            "make it writable for this user, or give another with --state DIR",
        ),
        Some(ErrorCode::CannotOpen) => (
            Kind::Refused,
            "the state database cannot be opened",
            "check the rights of the state directory, or give another with --state DIR",
        ),
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => (
            Kind::Exhausted,
            "the state database is locked by another program",
            "end the program that holds it (a sqlite3 shell or a backup); nothing was changed",
        ),
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => (
            Kind::Bug,
            "the state database is damaged",
            "nothing was repaired by guessing: restore a copy of the state directory, or start with a new one",
        ),
        Some(ErrorCode::SystemIoFailure) => (
            Kind::Exhausted,
            "the disk of the state directory failed",
            "look at the kernel's log; nothing was changed",
        ),
        _ => (Kind::Bug, "the state database refused", "this is a fault of longshore: please report it"),
    };
    Fault::new(kind, sentence).hint(hint).with_reason(error.to_string())
}

/// Turns an error of encoding or decoding a record into a fault.
pub fn from_json(noun: &str, error: &serde_json::Error) -> Fault {
    Fault::new(Kind::Bug, format!("a record of {noun} in the state database cannot be read: {error}"))
        .hint("was the state written by another version? restore a copy of the state directory")
}
