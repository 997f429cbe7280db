//! longshore: a console and an engine for pools of containers on many hosts.
//!
//! Layers, lowest first: base, model, spec, plan, ports, store, adapters, engine, view, tui, cli, wire.
//! Who may name whom is a table in `tests/tidy.rs`.

pub mod adapters;
pub mod base;
pub mod cli;
pub mod engine;
pub mod model;
pub mod plan;
pub mod ports;
pub mod spec;
pub mod store;
pub mod tui;
pub mod view;
pub mod wire;
