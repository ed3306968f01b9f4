//! Which names make a value sensitive, whatever it looks like.
//!
//! Names are compared without case and without everything that is no letter or digit: `card_number`, `Card-Number`,
//! `cardNumber` and `card[number]` are one name. Some count as whole names only (`pin`, `pan`), some wherever they
//! occur (`token`, `password`); what only tells about a secret (`token_type`, `password_changed_at`) is let through.

use super::mask::What;

/// Names up to this long are compared without an allocation.
const SHORT: usize = 64;

/// The names, built in and configured.
#[derive(Debug, Default)]
pub(super) struct Fields {
    extra: Vec<Vec<u8>>,
}

/// What a name says of its value.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Judgement {
    /// What the value is, if the name makes it sensitive by itself.
    pub(super) what: Option<What>,
    pub(super) role: Role,
}

/// What a name says together with others.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Role {
    #[default]
    None,
    /// What stands in it is a card's.
    Card,
    /// Is a card's number within a card.
    Number,
    /// Names the value beside it: `{"name": "password", "value": …}`.
    Name,
    /// Is named by what stands beside it.
    Value,
}

/// Names that count only by themselves, in order.
const WHOLE: &[(&[u8], What)] = &[
    (b"accountno", What::Account),
    (b"acctno", What::Account),
    (b"acctnumber", What::Account),
    (b"auth", What::Secret),
    (b"bearer", What::Secret),
    (b"cardcode", What::Cvc),
    (b"cardno", What::Card),
    (b"cardnum", What::Card),
    (b"cardpan", What::Card),
    (b"cardpin", What::Password),
    (b"ccno", What::Card),
    (b"ccnum", What::Card),
    (b"ccnumber", What::Card),
    (b"cell", What::Phone),
    (b"clientassertion", What::Secret),
    (b"codeverifier", What::Secret),
    (b"creditcard", What::Card),
    (b"csc", What::Cvc),
    (b"debitcard", What::Card),
    (b"encryptionkey", What::Key),
    (b"jwt", What::Jwt),
    (b"mail", What::Email),
    (b"masterkey", What::Key),
    (b"mfacode", What::Secret),
    (b"mobile", What::Phone),
    (b"mobilenumber", What::Phone),
    (b"msisdn", What::Phone),
    (b"nationalid", What::Ssn),
    (b"newpin", What::Password),
    (b"oldpin", What::Password),
    (b"otpcode", What::Secret),
    (b"pan", What::Card),
    (b"pass", What::Password),
    (b"passcode", What::Password),
    (b"passportno", What::Ssn),
    (b"passportnumber", What::Ssn),
    (b"phpsessid", What::Session),
    (b"pin", What::Password),
    (b"pinblock", What::Password),
    (b"pincode", What::Password),
    (b"pwd", What::Password),
    (b"securitycode", What::Cvc),
    (b"session", What::Session),
    (b"sessionkey", What::Session),
    (b"sharedkey", What::Key),
    (b"sig", What::Secret),
    (b"signature", What::Secret),
    (b"smscode", What::Secret),
    (b"sortcode", What::Account),
    (b"taxid", What::Ssn),
    (b"tel", What::Phone),
    (b"totp", What::Secret),
    (b"track1", What::Card),
    (b"track2", What::Card),
    (b"trackdata", What::Card),
    (b"verificationcode", What::Secret),
    (b"verificationvalue", What::Cvc),
    (b"xamzsignature", What::Secret),
];

/// Names that count wherever they occur in a name.
const WITHIN: &[(&[u8], What)] = &[
    (b"accesskey", What::Key),
    (b"accountnumber", What::Account),
    (b"apikey", What::Key),
    (b"authorization", What::Authorization),
    (b"cardnumber", What::Card),
    (b"cookie", What::Cookie),
    (b"credential", What::Secret),
    (b"csrf", What::Token),
    (b"email", What::Email),
    (b"passphrase", What::Password),
    (b"passwd", What::Password),
    (b"password", What::Password),
    (b"phone", What::Phone),
    (b"privatekey", What::Key),
    (b"routingnumber", What::Account),
    (b"secret", What::Secret),
    (b"sessionid", What::Session),
    (b"signingkey", What::Key),
    (b"socialsecurity", What::Ssn),
    (b"token", What::Token),
    (b"xsrf", What::Token),
];

/// Ends of names that tell about a secret without being one.
const HARMLESS: &[&[u8]] = &[
    b"count",
    b"type",
    b"expiresin",
    b"expiresat",
    b"expires",
    b"expiry",
    b"ttl",
    b"length",
    b"limit",
    b"createdat",
    b"updatedat",
    b"changedat",
    b"verified",
    b"required",
];

/// Those of [`WHOLE`] that begin with a letter: how long they are, as bits; where they begin and end.
const BY_LETTER: [(u32, usize, usize); 128] = {
    let mut by_letter = [(0, 0, 0); 128];
    let mut index = 0;
    while index < WHOLE.len() {
        let name = WHOLE[index].0;
        let (lengths, start, _) = by_letter[name[0] as usize];
        let start = if lengths == 0 { index } else { start };
        by_letter[name[0] as usize] = (lengths | 1 << name.len(), start, index + 1);
        index += 1;
    }
    by_letter
};

/// The letters of each of [`WITHIN`]: a name that lacks one of them cannot hold it.
const LETTERS: [u32; WITHIN.len()] = {
    let mut letters = [0; WITHIN.len()];
    let mut index = 0;
    while index < WITHIN.len() {
        let mut at = 0;
        while at < WITHIN[index].0.len() {
            letters[index] |= letter(WITHIN[index].0[at]);
            at += 1;
        }
        index += 1;
    }
    letters
};

/// A byte as it is compared: lower case; 0 if it is left out.
const FOLDED: [u8; 256] = {
    let mut folded = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let character = (byte & 0xff) as u8;
        if character.is_ascii_alphanumeric() || !character.is_ascii() {
            folded[byte] = character.to_ascii_lowercase();
        }
        byte += 1;
    }
    folded
};

/// The bit of every byte.
const BITS: [u32; 256] = {
    let mut bits = [0; 256];
    let mut byte = b'a';
    while byte <= b'z' {
        bits[byte as usize] = letter(byte);
        byte += 1;
    }
    bits
};

/// The bit of a lower-case letter.
const fn letter(byte: u8) -> u32 {
    if byte.is_ascii_lowercase() { 1 << (byte - b'a') } else { 0 }
}

impl Fields {
    pub(super) fn new(extra: &[String]) -> Self {
        Self {
            extra: extra.iter().map(|name| folded(name.as_bytes())).filter(|name| !name.is_empty()).collect(),
        }
    }

    /// What this name makes of its value.
    pub(super) fn judge(&self, name: &[u8]) -> Judgement {
        if name.len() > SHORT {
            return self.judge_folded(&folded(name));
        }
        let (mut buffer, mut length) = ([0; SHORT], 0);
        for &byte in name {
            let fold = FOLDED[usize::from(byte)];
            // Names are no longer than the buffer, so there is always room.
            if let Some(place) = buffer.get_mut(length) {
                *place = fold;
            }
            length += usize::from(fold != 0);
        }
        self.judge_folded(&buffer[..length])
    }

    fn judge_folded(&self, name: &[u8]) -> Judgement {
        if self.extra.iter().any(|extra| extra == name) {
            return Judgement { what: Some(What::Field), role: Role::None };
        }
        let what =
            if name.len() < 3 { None } else { whole(name).or_else(|| within(name)).or_else(|| ending(name)) };
        Judgement { what, role: role(name) }
    }
}

const fn role(name: &[u8]) -> Role {
    match name {
        [.., b'c', b'a', b'r', b'd'] | [.., b'c', b'a', b'r', b'd', b's'] => Role::Card,
        [b'n', b'u', b'm', b'b', b'e', b'r'] => Role::Number,
        [b'n', b'a', b'm', b'e'] | [b'k', b'e', b'y'] => Role::Name,
        [b'f', b'i', b'e', b'l', b'd'] | [b'h', b'e', b'a', b'd', b'e', b'r'] => Role::Name,
        [b'v', b'a', b'l', b'u', b'e'] => Role::Value,
        _ => Role::None,
    }
}

/// Whether two words before a colon are one sensitive name (`api key: …`).
pub(super) fn two_words(words: &[u8]) -> Option<What> {
    match &folded(words)[..] {
        b"apikey" | b"accesskey" | b"privatekey" | b"secretkey" | b"signingkey" => Some(What::Key),
        b"cardnumber" => Some(What::Card),
        b"securitycode" => Some(What::Cvc),
        b"accountnumber" | b"routingnumber" | b"sortcode" => Some(What::Account),
        b"emailaddress" => Some(What::Email),
        b"phonenumber" | b"mobilenumber" => Some(What::Phone),
        _ => None,
    }
}

fn folded(name: &[u8]) -> Vec<u8> {
    name.iter().map(|&byte| FOLDED[usize::from(byte)]).filter(|&byte| byte != 0).collect()
}

fn whole(name: &[u8]) -> Option<What> {
    let (lengths, start, end) = BY_LETTER[usize::from(name.first()? & 127)];
    if name.len() >= 32 || lengths >> name.len() & 1 == 0 {
        return None;
    }
    WHOLE[start..end].iter().find(|(whole, _)| *whole == name).map(|(_, what)| *what)
}

fn within(name: &[u8]) -> Option<What> {
    let letters = name.iter().fold(0, |letters, &byte| letters | BITS[usize::from(byte)]);
    if !LETTERS.iter().fold(false, |any, needed| any | (needed & !letters == 0)) {
        return None;
    }
    let holds =
        |needle: &[u8]| name.windows(needle.len()).any(|window| window[0] == needle[0] && window == needle);
    let candidates = WITHIN.iter().zip(LETTERS).filter(|(_, needed)| needed & !letters == 0);
    let found = candidates.map(|(rule, _)| rule).find(|(needle, _)| holds(needle)).map(|(_, what)| *what)?;
    if HARMLESS.iter().any(|harmless| name.ends_with(harmless)) {
        return None;
    }
    Some(if found == What::Token && name.ends_with(b"tokens") { What::Tokens } else { found })
}

/// Names that count at the end (or beginning) of a name.
const fn ending(name: &[u8]) -> Option<What> {
    match name {
        [.., b'i', b'b', b'a', b'n'] | [b'i', b'b', b'a', b'n', ..] => Some(What::Iban),
        [.., b's', b's', b'n'] | [b's', b's', b'n', ..] => Some(What::Ssn),
        [.., b'c', b'v', b'c' | b'v'] | [.., b'c', b'v', b'c' | b'v', b'2'] => Some(What::Cvc),
        [.., b'p', b'w', b'd'] => Some(What::Password),
        [.., b'o', b't', b'p'] => Some(What::Secret),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_judged_without_case_and_separators() {
        let fields = Fields::new(&["Customer-Ref".to_owned()]);
        for (name, what) in [
            ("password", What::Password),
            ("user_PASSWORD", What::Password),
            ("pass-wd", What::Password),
            ("client_secret", What::Secret),
            ("accessToken", What::Token),
            ("X-API-Key", What::Key),
            ("card_number", What::Card),
            ("card[number]", What::Card),
            ("pan", What::Card),
            ("cvv2", What::Cvc),
            ("card_cvc", What::Cvc),
            ("IBAN", What::Iban),
            ("customer_iban", What::Iban),
            ("ssn", What::Ssn),
            ("user.ssn", What::Ssn),
            ("billing_email", What::Email),
            ("phone-number", What::Phone),
            ("bank_account_number", What::Account),
            ("Set-Cookie", What::Cookie),
            ("pin", What::Password),
            ("otp", What::Secret),
            ("sms_otp", What::Secret),
            ("PHPSESSID", What::Session),
            ("customerref", What::Field),
        ] {
            assert_eq!(fields.judge(name.as_bytes()).what, Some(what), "{name}");
        }
    }

    #[test]
    fn harmless_names_stay() {
        let fields = Fields::default();
        for name in [
            "",
            "id",
            "n",
            "amount",
            "currency",
            "number",
            "status",
            "description",
            "shipping",
            "mapping",
            "company",
            "timespan",
            "class_name",
            "business_name",
            "token_count",
            "token_type",
            "password_changed_at",
            "token_expires_in",
            "created",
            "object",
            "card",
            "opinion",
            "minibank",
            "author",
            "authored_by",
            "pins",
        ] {
            assert_eq!(fields.judge(name.as_bytes()).what, None, "{name}");
        }
        let is_card = |name: &str| fields.judge(name.as_bytes()).role == Role::Card;
        assert!(
            is_card("payment-Card") && is_card("cards") && !is_card("cardinal") && !is_card("discards_all")
        );
    }

    #[test]
    fn the_list_is_in_order() {
        assert!(WHOLE.is_sorted_by_key(|(name, _)| name));
        assert!(WHOLE.iter().all(|(name, _)| (3..32).contains(&name.len()) && folded(name) == *name));
    }

    #[test]
    fn a_long_name_hides_nothing() {
        let name = format!("{}_password_{}", "x".repeat(300), "y".repeat(300));
        assert_eq!(Fields::default().judge(name.as_bytes()).what, Some(What::Password));
    }
}
