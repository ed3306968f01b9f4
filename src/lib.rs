//! Causeway's server.
