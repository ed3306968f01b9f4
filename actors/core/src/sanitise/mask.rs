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
    /// What a pattern of the configuration matches.
    Pattern,
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
            Self::Pattern => "[masked:pattern]",
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

/// Whether this is placeholders and nothing else: what is masked is not masked again.
pub(super) fn is_placeholder(text: &[u8]) -> bool {
    let mut rest = text;
    while let Some(inner) = rest.strip_prefix(b"[masked:") {
        let length = inner.iter().take_while(|byte| byte.is_ascii_lowercase()).count();
        match inner.get(length..) {
            Some([b']', after @ ..]) if length > 0 => rest = after,
            _ => return false,
        }
    }
    rest.is_empty() && !text.is_empty()
}

/// Whether the text ends with a placeholder.
pub(super) fn ends_with_placeholder(text: &[u8]) -> bool {
    let start = text.iter().rev().take(32).position(|&byte| byte == b'[').map(|back| text.len() - back - 1);
    start.is_some_and(|start| is_placeholder(&text[start..]))
}
