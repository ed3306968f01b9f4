//! What a masked value was, as its placeholder tells.

/// What stood there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum What {
    Account,
    Authorization,
    Card,
    Cookie,
    Cvc,
    Email,
    /// A field the configuration names.
    Field,
    Header,
    Iban,
    Jwt,
    Key,
    Password,
    Pem,
    Phone,
    Secret,
    Session,
    Ssn,
    Token,
    /// A token by its name, a count if its value is a number (`max_tokens`).
    Tokens,
    Userinfo,
}

impl What {
    pub(super) const fn placeholder(self) -> &'static str {
        match self {
            Self::Account => "[masked:account]",
            Self::Authorization => "[masked:authorization]",
            Self::Card => "[masked:card]",
            Self::Cookie => "[masked:cookie]",
            Self::Cvc => "[masked:cvc]",
            Self::Email => "[masked:email]",
            Self::Field => "[masked:field]",
            Self::Header => "[masked:header]",
            Self::Iban => "[masked:iban]",
            Self::Jwt => "[masked:jwt]",
            Self::Key => "[masked:key]",
            Self::Password => "[masked:password]",
            Self::Pem => "[masked:pem]",
            Self::Phone => "[masked:phone]",
            Self::Secret => "[masked:secret]",
            Self::Session => "[masked:session]",
            Self::Ssn => "[masked:ssn]",
            Self::Token | Self::Tokens => "[masked:token]",
            Self::Userinfo => "[masked:userinfo]",
        }
    }
}
