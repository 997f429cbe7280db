//! The promises of each port as functions that every adapter must pass: the simulator and the real thing alike.
