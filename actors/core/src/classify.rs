//! What happened, and could the provider have acted? (being built)

/// Whether calling an endpoint may change something at the provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Safety {
    /// It only reads, or is declared so: it may be sent again at will.
    Safe,
    /// It may act.
    Mutating,
}

/// How far an exchange got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// No byte of the request reached the socket: the provider cannot have acted.
    NotSent,
    /// Anything else.
    Sent,
}
