//! Windows of outcomes (being built).
