//! From configuration to adapters, store and engine: with main.rs the only place that knows every layer.
