//! One integration (being built).
