//! Which names make a value sensitive, whatever it looks like.
//!
//! Names are compared without case and without everything that is no letter or digit: `card_number`, `Card-Number`,
//! `cardNumber` and `card[number]` are one name. Some count as whole names only (`pin`, `pan`), some wherever they
//! occur (`token`, `password`); what only tells about a secret (`token_type`, `password_changed_at`) is let through.

use std::collections::HashSet;
use std::sync::LazyLock;

use super::keys::find;
use super::mask::What;
use super::names::Names;
use super::names::Rule::{Begins, Ends, EndsRole, Harmless, Whole, WholeRole, Within};

/// The names, built in and configured.
#[derive(Debug, Default)]
pub(super) struct Fields {
    extra: HashSet<Vec<u8>>,
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
    /// Is a secret where an OAuth grant is spoken of: `code`, `state`. Elsewhere it is an error's code.
    Grant,
}

/// What is built in. Of those that count within a name, the first that occurs tells what the value is.
const RULES: &[(&str, super::names::Rule)] = &[
    ("accountno", Whole(What::Account)),
    ("acctno", Whole(What::Account)),
    ("acctnumber", Whole(What::Account)),
    ("assertion", Whole(What::Secret)),
    ("auth", Whole(What::Secret)),
    ("authcode", Whole(What::Secret)),
    ("authkey", Whole(What::Key)),
    ("backupcode", Whole(What::Secret)),
    ("bearer", Whole(What::Secret)),
    ("cardcode", Whole(What::Cvc)),
    ("cardno", Whole(What::Card)),
    ("cardnum", Whole(What::Card)),
    ("cardpan", Whole(What::Card)),
    ("cardpin", Whole(What::Password)),
    ("ccno", Whole(What::Card)),
    ("ccnum", Whole(What::Card)),
    ("ccnumber", Whole(What::Card)),
    ("cell", Whole(What::Phone)),
    ("clientassertion", Whole(What::Secret)),
    ("clientkey", Whole(What::Key)),
    ("codeverifier", Whole(What::Secret)),
    ("connectionstring", Whole(What::Secret)),
    ("consumerkey", Whole(What::Key)),
    ("creditcard", Whole(What::Card)),
    ("csc", Whole(What::Cvc)),
    ("debitcard", Whole(What::Card)),
    ("devicecode", Whole(What::Secret)),
    ("encryptionkey", Whole(What::Key)),
    ("hmac", Whole(What::Secret)),
    ("jwt", Whole(What::Jwt)),
    ("mail", Whole(What::Email)),
    ("masterkey", Whole(What::Key)),
    ("mfacode", Whole(What::Secret)),
    ("mobile", Whole(What::Phone)),
    ("mobileno", Whole(What::Phone)),
    ("mobilenumber", Whole(What::Phone)),
    ("msisdn", Whole(What::Phone)),
    ("nationalid", Whole(What::Ssn)),
    ("newpin", Whole(What::Password)),
    ("nino", Whole(What::Ssn)),
    ("oauthcode", Whole(What::Secret)),
    ("oldpin", Whole(What::Password)),
    ("otpcode", Whole(What::Secret)),
    ("pan", Whole(What::Card)),
    ("pass", Whole(What::Password)),
    ("passcode", Whole(What::Password)),
    ("passportno", Whole(What::Ssn)),
    ("passportnumber", Whole(What::Ssn)),
    ("phpsessid", Whole(What::Session)),
    ("pin", Whole(What::Password)),
    ("pinblock", Whole(What::Password)),
    ("pincode", Whole(What::Password)),
    ("pinnumber", Whole(What::Password)),
    ("puk", Whole(What::Password)),
    ("pw", Whole(What::Password)),
    ("pwd", Whole(What::Password)),
    ("recoverycode", Whole(What::Secret)),
    ("samlrequest", Whole(What::Secret)),
    ("samlresponse", Whole(What::Secret)),
    ("securityanswer", Whole(What::Secret)),
    ("securitycode", Whole(What::Cvc)),
    ("session", Whole(What::Session)),
    ("sessionkey", Whole(What::Session)),
    ("sharedkey", Whole(What::Key)),
    ("sig", Whole(What::Secret)),
    ("smscode", Whole(What::Secret)),
    ("sortcode", Whole(What::Account)),
    ("tan", Whole(What::Secret)),
    ("taxid", Whole(What::Ssn)),
    ("taxpayerid", Whole(What::Ssn)),
    ("tel", Whole(What::Phone)),
    ("telno", Whole(What::Phone)),
    ("totp", Whole(What::Secret)),
    ("track1", Whole(What::Card)),
    ("track2", Whole(What::Card)),
    ("trackdata", Whole(What::Card)),
    ("usercode", Whole(What::Secret)),
    ("verificationcode", Whole(What::Secret)),
    ("verificationvalue", Whole(What::Cvc)),
    ("xauth", Whole(What::Secret)),
    ("primaryaccountnumber", Within(What::Card)),
    ("accesskey", Within(What::Key)),
    ("accountkey", Within(What::Key)),
    ("accountnumber", Within(What::Account)),
    ("apikey", Within(What::Key)),
    ("authorization", Within(What::Authorization)),
    ("cardnumber", Within(What::Card)),
    ("cookie", Within(What::Cookie)),
    ("credential", Within(What::Secret)),
    ("csrf", Within(What::Token)),
    ("email", Within(What::Email)),
    ("licensekey", Within(What::Key)),
    ("nationalinsurance", Within(What::Ssn)),
    ("passphrase", Within(What::Password)),
    ("passwd", Within(What::Password)),
    ("password", Within(What::Password)),
    ("phone", Within(What::Phone)),
    ("privatekey", Within(What::Key)),
    ("routingnumber", Within(What::Account)),
    ("secret", Within(What::Secret)),
    ("sessionid", Within(What::Session)),
    ("sharedaccess", Within(What::Key)),
    ("signature", Within(What::Secret)),
    ("signingkey", Within(What::Key)),
    ("socialsecurity", Within(What::Ssn)),
    ("token", Within(What::Token)),
    ("xsrf", Within(What::Token)),
    ("iban", Begins(What::Iban)),
    ("iban", Ends(What::Iban)),
    ("ssn", Begins(What::Ssn)),
    ("ssn", Ends(What::Ssn)),
    ("cvc", Ends(What::Cvc)),
    ("cvc2", Ends(What::Cvc)),
    ("cvv", Ends(What::Cvc)),
    ("cvv2", Ends(What::Cvc)),
    ("pwd", Ends(What::Password)),
    ("otp", Ends(What::Secret)),
    ("card", EndsRole(Role::Card)),
    ("cards", EndsRole(Role::Card)),
    ("number", WholeRole(Role::Number)),
    ("name", WholeRole(Role::Name)),
    ("key", WholeRole(Role::Name)),
    ("field", WholeRole(Role::Name)),
    ("header", WholeRole(Role::Name)),
    ("value", WholeRole(Role::Value)),
    ("code", WholeRole(Role::Grant)),
    ("state", WholeRole(Role::Grant)),
    ("count", Harmless),
    ("type", Harmless),
    ("expiresin", Harmless),
    ("expiresat", Harmless),
    ("expires", Harmless),
    ("expiry", Harmless),
    ("ttl", Harmless),
    ("length", Harmless),
    ("limit", Harmless),
    ("createdat", Harmless),
    ("updatedat", Harmless),
    ("changedat", Harmless),
    ("verified", Harmless),
    ("required", Harmless),
    ("status", Harmless),
    ("method", Harmless),
    ("policy", Harmless),
    ("version", Harmless),
    ("enabled", Harmless),
];

static NAMES: LazyLock<Names> = LazyLock::new(|| Names::new(RULES));

impl Fields {
    pub(super) fn new(extra: &[String]) -> Self {
        Self {
            extra: extra.iter().map(|name| folded(name.as_bytes())).filter(|name| !name.is_empty()).collect(),
        }
    }

    /// What this name makes of its value.
    pub(super) fn judge(&self, name: &[u8]) -> Judgement {
        if !self.extra.is_empty() && self.extra.contains(&folded(name)) {
            return Judgement { what: Some(What::Field), role: Role::None };
        }
        let (what, role) = NAMES.judge(name);
        if what.is_some() && find(name, b"[masked:").is_some() {
            // The word is that of a placeholder.
            return Judgement::default();
        }
        let plural = what == Some(What::Token)
            && name.last_chunk::<6>().is_some_and(|end| end.eq_ignore_ascii_case(b"tokens"));
        Judgement { what: if plural { Some(What::Tokens) } else { what }, role }
    }

    /// The same for a name in brackets or with dots (`card[number]`, `auth[0].user`), in which every part counts as a
    /// name around the rest would.
    pub(super) fn judge_path(&self, path: &[u8]) -> Judgement {
        let whole = self.judge(path);
        if find(path, b"[masked:").is_some() {
            return whole;
        }
        if whole.what.is_some() || !path.iter().any(|byte| matches!(byte, b'[' | b'.')) {
            return whole;
        }
        let mut in_card = false;
        let mut last = whole;
        for part in path.split(|byte| matches!(byte, b'[' | b']' | b'.')) {
            if part.is_empty() || part.iter().all(u8::is_ascii_digit) {
                continue;
            }
            last = self.judge(part);
            if last.role == Role::Number && in_card {
                last.what = Some(What::Card);
            }
            if last.what.is_some() {
                return last;
            }
            in_card = last.role == Role::Card;
        }
        last
    }
}

/// Whether two words before a colon are one sensitive name (`api key: …`).
pub(super) fn two_words(words: &[u8]) -> Option<What> {
    match &folded(words)[..] {
        b"apikey" | b"accesskey" | b"accountkey" | b"privatekey" | b"secretkey" | b"signingkey" => {
            Some(What::Key)
        }
        b"cardnumber" => Some(What::Card),
        b"securitycode" => Some(What::Cvc),
        b"accountnumber" | b"routingnumber" | b"sortcode" => Some(What::Account),
        b"emailaddress" => Some(What::Email),
        b"phonenumber" | b"mobilenumber" => Some(What::Phone),
        b"onetimepassword" => Some(What::Password),
        _ => None,
    }
}

fn folded(name: &[u8]) -> Vec<u8> {
    let kept = |byte: &&u8| byte.is_ascii_alphanumeric() || !byte.is_ascii();
    name.iter().filter(kept).map(u8::to_ascii_lowercase).collect()
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
    fn every_part_of_a_path_counts() {
        let fields = Fields::default();
        for (path, what) in [
            ("card[number]", Some(What::Card)),
            ("cards[0][number]", Some(What::Card)),
            ("payment.card.number", Some(What::Card)),
            ("auth[user]", Some(What::Secret)),
            ("pin[0]", Some(What::Password)),
            ("items[0][number]", None),
            ("card[brand]", None),
            ("cards[0][x][number]", None),
        ] {
            assert_eq!(fields.judge_path(path.as_bytes()).what, what, "{path}");
        }
    }

    #[test]
    fn what_is_configured_counts_without_case_and_separators() {
        let fields = Fields::new(&["Loyalty-Nr".to_owned(), "--".to_owned(), "Prénom".to_owned()]);
        let masked = |name: &str| fields.judge(name.as_bytes()).what.is_some();
        assert!(masked("loyalty_nr") && masked("loyaltyNr") && masked("Pré-nom"));
        assert!(!masked("loyalty_nrs") && !masked("") && !masked("--") && !masked("prnom"));
    }

    #[test]
    fn the_rules_are_written_as_names_are_compared() {
        assert!(RULES.iter().all(|(name, _)| name.len() >= 2 && folded(name.as_bytes()) == name.as_bytes()));
        assert!(NAMES.is_small(), "states are told apart by 16 bits");
    }

    #[test]
    fn a_long_name_hides_nothing() {
        let name = format!("{}_password_{}", "x".repeat(300), "y".repeat(300));
        assert_eq!(Fields::default().judge(name.as_bytes()).what, Some(What::Password));
    }
}
