//! Masking (being built).
