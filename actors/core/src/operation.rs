//! One run (being built).
