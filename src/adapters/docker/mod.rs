//! The Docker adapter: one engine behind the runtime port, by its HTTP interface.
