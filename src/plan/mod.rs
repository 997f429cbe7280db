//! Pure decisions: what to do next, given what is wanted and seen. No clock, no IO, no randomness.
