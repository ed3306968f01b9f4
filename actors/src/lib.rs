//! Causeway's actors: thin shells round the pure core.

pub mod ports;
