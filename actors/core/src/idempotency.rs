//! Idempotency (being built).
