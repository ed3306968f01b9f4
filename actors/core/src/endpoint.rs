//! One call an integration offers: how its request is written and its response is read (being built).

use std::time::Duration;

/// How long each part of an exchange may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// Name, TCP and TLS together, for a new connection.
    pub connect: Duration,
    /// From the request being handed to a connection to the response's head.
    pub first_byte: Duration,
    /// From the response's head to the end of its body.
    pub body: Duration,
    /// The whole attempt.
    pub total: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(1),
            first_byte: Duration::from_secs(5),
            body: Duration::from_secs(5),
            total: Duration::from_secs(10),
        }
    }
}
