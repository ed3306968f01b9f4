//! The beginnings that providers give their keys, so that they are known again; ours are `cwc_`, of clients, and `cwo_`,
//! of operators.
//!
//! Publishable keys (`pk_live_`) and identifiers (`ch_`, `cus_`) are none.

use super::mask::What;

/// What follows a prefix.
#[derive(Clone, Copy)]
enum Tail {
    /// Letters, digits, `_`, `-`.
    Plain,
    /// The same and `.`.
    Dotted,
    /// The same and `/`: a path that is a secret.
    Path,
    /// Upper-case letters and digits.
    Upper,
    /// As many hexadecimal digits as are asked for, and then none.
    Hex,
    /// As `Plain`, and at least one digit: the prefix is a word of its own as well.
    Mixed,
    /// As `Dotted`, with a dot in it: a JWT, not just any JSON in base64.
    Jwt,
    /// As `Plain`, with `_secret_` in it: an identifier that is followed by its secret.
    Holder,
}

use Tail::{Dotted, Hex, Holder, Jwt, Mixed, Path, Plain, Upper};

/// Beginnings of keys by their first letters, with the least that follows.
const PREFIXES: &[(&[u8], usize, Tail)] = &[
    (b"AC", 32, Hex),
    (b"AGE-SECRET-KEY-", 16, Upper),
    (b"AKIA", 12, Upper),
    (b"ASIA", 12, Upper),
    (b"AIza", 20, Plain),
    (b"EAAA", 40, Plain),
    (b"EZAK", 40, Plain),
    (b"EZTK", 40, Plain),
    (b"FLWSECK", 16, Plain),
    (b"GOCSPX-", 16, Plain),
    (b"NRAK-", 20, Upper),
    (b"PMAK-", 24, Plain),
    (b"SG.", 12, Dotted),
    (b"SK", 32, Hex),
    (b"access_token$production$", 8, Plain),
    (b"access_token$sandbox$", 8, Plain),
    (b"cwc_", 16, Plain),
    (b"cwo_", 16, Plain),
    (b"discord.com/api/webhooks/", 16, Path),
    (b"dckr_pat_", 16, Plain),
    (b"dop_v1_", 16, Plain),
    (b"doo_v1_", 16, Plain),
    (b"dor_v1_", 16, Plain),
    (b"eyA", 12, Jwt),
    (b"eyJ", 12, Jwt),
    (b"ewo", 12, Jwt),
    (b"figd_", 16, Plain),
    (b"github_pat_", 8, Plain),
    (b"ghp_", 8, Plain),
    (b"gho_", 8, Plain),
    (b"ghu_", 8, Plain),
    (b"ghs_", 8, Plain),
    (b"ghr_", 8, Plain),
    (b"glpat-", 8, Dotted),
    (b"gldt-", 16, Mixed),
    (b"glrt-", 16, Mixed),
    (b"glptt-", 16, Mixed),
    (b"hf_", 20, Mixed),
    (b"hooks.slack.com/services/", 8, Path),
    (b"hvb.", 20, Dotted),
    (b"hvs.", 20, Dotted),
    (b"key-", 32, Hex),
    (b"lin_api_", 16, Plain),
    (b"npm_", 24, Mixed),
    (b"ntn_", 24, Mixed),
    (b"pi_", 16, Holder),
    (b"pypi-", 32, Mixed),
    (b"rk_live_", 4, Plain),
    (b"rk_test_", 4, Plain),
    (b"rubygems_", 24, Mixed),
    (b"sk_live_", 4, Plain),
    (b"sk_test_", 4, Plain),
    (b"sk-", 16, Mixed),
    (b"seti_", 16, Holder),
    (b"shpat_", 8, Plain),
    (b"shpca_", 8, Plain),
    (b"shppa_", 8, Plain),
    (b"shpss_", 8, Plain),
    (b"sntrys_", 20, Plain),
    (b"sq0atp-", 12, Plain),
    (b"sq0csp-", 12, Plain),
    (b"whsec_", 4, Plain),
    (b"xapp-", 8, Plain),
    (b"xoxa-", 4, Plain),
    (b"xoxb-", 4, Plain),
    (b"xoxe-", 4, Plain),
    (b"xoxe.", 4, Dotted),
    (b"xoxo-", 4, Plain),
    (b"xoxp-", 4, Plain),
    (b"xoxr-", 4, Plain),
    (b"xoxs-", 4, Plain),
    (b"ya29.", 12, Dotted),
];

/// Where the prefixes of a first letter stand.
const BY_LETTER: [(usize, usize); 128] = {
    let mut by_letter = [(0, 0); 128];
    let mut index = 0;
    while index < PREFIXES.len() {
        let letter = PREFIXES[index].0[0] as usize;
        if by_letter[letter].1 == 0 {
            by_letter[letter].0 = index;
        }
        by_letter[letter].1 = index + 1;
        index += 1;
    }
    by_letter
};

/// For each first letter of a prefix, the second ones, as bits by their lower five.
pub(super) const STARTS: [u32; 128] = {
    let mut starts = [0; 128];
    let mut index = 0;
    while index < PREFIXES.len() {
        let prefix = PREFIXES[index].0;
        starts[prefix[0] as usize] |= 1 << (prefix[1] & 31);
        index += 1;
    }
    starts
};

/// How long the key is that `text` begins with, and what it is.
pub(super) fn key(text: &[u8]) -> Option<(usize, What)> {
    let &(from, to) = BY_LETTER.get(usize::from(*text.first()?))?;
    PREFIXES[from..to].iter().find_map(|(prefix, least, tail)| {
        let length = tail.length(text.strip_prefix(*prefix)?, *least);
        let what = if matches!(tail, Jwt) { What::Jwt } else { What::Key };
        (length >= *least).then_some((prefix.len() + length, what))
    })
}

impl Tail {
    /// How long the tail is; 0 if it is none of this kind.
    fn length(self, after: &[u8], least: usize) -> usize {
        let plain = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
        let dotted = |byte: &u8| plain(byte) || *byte == b'.';
        let run = |fits: &dyn Fn(&u8) -> bool| after.iter().take_while(|byte| fits(byte)).count();
        let only_if = |length: usize, holds: &dyn Fn(&[u8]) -> bool| {
            if holds(&after[..length]) { length } else { 0 }
        };
        match self {
            Plain => run(&plain),
            Dotted => run(&dotted),
            Path => run(&|byte| dotted(byte) || *byte == b'/'),
            Upper => run(&|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit()),
            Hex => {
                let length = run(&u8::is_ascii_hexdigit);
                if length == least && !after.get(length).is_some_and(plain) { length } else { 0 }
            }
            Mixed => only_if(run(&plain), &|tail| tail.iter().any(u8::is_ascii_digit)),
            Jwt => only_if(run(&dotted), &|tail| tail.contains(&b'.')),
            Holder => only_if(run(&plain), &|tail| super::keys::find(tail, b"_secret_").is_some()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sanitise::json::SHORTEST;

    #[test]
    fn prefixes_stand_together_by_their_first_letters() {
        assert!(PREFIXES.is_sorted_by_key(|(prefix, _, _)| prefix[0]));
        for (prefix, least, _) in PREFIXES {
            assert!(prefix.len() >= 2 && *least > 0);
            // Short strings of these letters alone are not looked into.
            let plain = prefix.iter().all(|byte| byte.is_ascii_lowercase() || *byte == b'_');
            assert!(!plain || prefix.len() + least >= SHORTEST);
        }
    }
}
