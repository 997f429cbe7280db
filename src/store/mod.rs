//! The durable state: one SQLite database, one connection, one owner task.
