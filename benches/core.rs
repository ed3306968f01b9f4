//! Core benches.
fn main() {}
