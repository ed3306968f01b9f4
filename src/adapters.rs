//! What the server reaches the outside world with: implementations of the actors' ports, and the sources of secrets.

pub mod credential;
pub mod secrets;
pub mod store;
pub mod tls_files;
pub mod traces;
pub mod transport;
