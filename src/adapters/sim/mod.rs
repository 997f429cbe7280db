//! The simulated fleet: many virtual engines on virtual time, for practice, demonstrations and tests.
