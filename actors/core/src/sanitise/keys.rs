//! Finding keys and tokens: by the prefixes that providers give them, behind the name of a scheme, and in PEM blocks.

use super::detect::Region;
use super::mask::What;

/// What follows a prefix.
#[derive(Clone, Copy)]
enum Tail {
    /// Letters, digits, `_`, `-`.
    Plain,
    /// The same and `.`.
    Dotted,
    /// Upper-case letters and digits.
    Upper,
    /// As `Plain`, and at least one digit: the prefix is a word of its own as well.
    Mixed,
    /// As `Dotted`, with a dot in it: a JWT, not just any JSON in base64.
    Jwt,
}

/// Beginnings of keys, with the least that follows.
const PREFIXES: &[(&[u8], usize, Tail)] = &[
    (b"sk_live_", 4, Tail::Plain),
    (b"sk_test_", 4, Tail::Plain),
    (b"rk_live_", 4, Tail::Plain),
    (b"rk_test_", 4, Tail::Plain),
    (b"whsec_", 4, Tail::Plain),
    (b"github_pat_", 8, Tail::Plain),
    (b"ghp_", 8, Tail::Plain),
    (b"gho_", 8, Tail::Plain),
    (b"ghu_", 8, Tail::Plain),
    (b"ghs_", 8, Tail::Plain),
    (b"ghr_", 8, Tail::Plain),
    (b"glpat-", 8, Tail::Dotted),
    (b"xoxb-", 4, Tail::Plain),
    (b"xoxp-", 4, Tail::Plain),
    (b"xoxa-", 4, Tail::Plain),
    (b"xoxr-", 4, Tail::Plain),
    (b"xoxs-", 4, Tail::Plain),
    (b"xapp-", 8, Tail::Plain),
    (b"shpat_", 8, Tail::Plain),
    (b"shpss_", 8, Tail::Plain),
    (b"sk-", 16, Tail::Mixed),
    (b"npm_", 24, Tail::Mixed),
    (b"hf_", 20, Tail::Mixed),
    (b"AKIA", 12, Tail::Upper),
    (b"ASIA", 12, Tail::Upper),
    (b"AIza", 20, Tail::Plain),
    (b"SG.", 12, Tail::Dotted),
    (b"ya29.", 12, Tail::Dotted),
    (b"eyJ", 12, Tail::Jwt),
];

/// For each first letter of a prefix, the second ones, as bits by their lower five.
const STARTS: [u32; 128] = {
    let mut starts = [0; 128];
    let mut index = 0;
    while index < PREFIXES.len() {
        let prefix = PREFIXES[index].0;
        starts[prefix[0] as usize] |= 1 << (prefix[1] & 31);
        index += 1;
    }
    let after_b = 1 << (b'a' & 31) | 1 << (b'e' & 31);
    starts[b'b' as usize] = after_b;
    starts[b'B' as usize] = after_b;
    starts
};

/// Whether a prefix may begin with this byte.
pub(super) const fn begins(first: usize) -> bool {
    STARTS[first] != 0
}

/// Whether a prefix may begin with these two bytes.
pub(super) const fn may_begin(first: u8, second: u8) -> bool {
    STARTS[(first & 127) as usize] >> (second & 31) & 1 == 1
}

/// A key by its prefix, or what follows `Bearer` and `Basic`, at the beginning of a word.
pub(super) fn prefixed(text: &[u8], start: usize) -> Option<Region> {
    let rest = &text[start..];
    match rest[0] {
        b'b' | b'B' => scheme(text, start),
        first => {
            PREFIXES.iter().filter(|(prefix, _, _)| prefix[0] == first).find_map(|(prefix, least, tail)| {
                let after = rest.strip_prefix(*prefix)?;
                let length = tail.length(after);
                let what = if matches!(tail, Tail::Jwt) { What::Jwt } else { What::Key };
                (length >= *least).then_some((start, start + prefix.len() + length, what))
            })
        }
    }
}

impl Tail {
    /// How long the tail is; 0 if it is none of this kind.
    fn length(self, after: &[u8]) -> usize {
        let plain = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
        let run = |fits: &dyn Fn(&u8) -> bool| after.iter().take_while(|byte| fits(byte)).count();
        match self {
            Self::Plain => run(&plain),
            Self::Dotted => run(&|byte| plain(byte) || *byte == b'.'),
            Self::Upper => run(&|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit()),
            Self::Mixed => {
                let length = run(&plain);
                if after[..length].iter().any(u8::is_ascii_digit) { length } else { 0 }
            }
            Self::Jwt => {
                let length = run(&|byte| plain(byte) || *byte == b'.');
                if after[..length].contains(&b'.') { length } else { 0 }
            }
        }
    }
}

/// Words that follow `Bearer` and `Basic` in sentences about them.
const NO_CREDENTIALS: [&[u8]; 12] = [
    b"token",
    b"tokens",
    b"auth",
    b"authentication",
    b"authorization",
    b"scheme",
    b"format",
    b"header",
    b"error",
    b"is",
    b"realm",
    b"of",
];

fn scheme(text: &[u8], start: usize) -> Option<Region> {
    let rest = &text[start..];
    let is = |word: &[u8]| rest.len() > word.len() && rest[..word.len()].eq_ignore_ascii_case(word);
    let (length, bearer) = if is(b"bearer") {
        (6, true)
    } else if is(b"basic") {
        (5, false)
    } else {
        return None;
    };
    let mut from = start + length;
    while matches!(text.get(from), Some(b' ' | b'\t' | b'+')) || text[from..].starts_with(b"%20") {
        from += if text[from] == b'%' { 3 } else { 1 };
    }
    let in_token = |byte: &u8| {
        byte.is_ascii_alphanumeric()
            || matches!(byte, b'-' | b'.' | b'_' | b'~' | b'+' | b'/' | b'=' | b'%' | b':')
    };
    let token = &text[from..from + text[from..].iter().take_while(|byte| in_token(byte)).count()];
    if from == start + length || token.is_empty() {
        return None;
    }
    let is_word = |word: &&[u8]| token.eq_ignore_ascii_case(word);
    let is_base64 = token.len() >= 4
        && token[1..].iter().any(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || *byte == b'=');
    let credentials = if bearer {
        !NO_CREDENTIALS.iter().any(is_word) && !token.starts_with(b"realm=") && !token.starts_with(b"error=")
    } else {
        is_base64 && !token.starts_with(b"realm=")
    };
    credentials.then_some((from, from + token.len(), What::Secret))
}

pub(super) fn pem(text: &[u8], start: usize) -> Option<Region> {
    let rest = text[start..].strip_prefix(b"-----BEGIN ")?;
    let offset = text.len() - rest.len();
    let end = find(rest, b"-----END ").map_or(text.len(), |end| {
        let after = offset + end + b"-----END ".len();
        find(&text[after..], b"-----").map_or(text.len(), |close| after + close + 5)
    });
    Some((start, end, What::Pem))
}

pub(super) fn find(text: &[u8], needle: &[u8]) -> Option<usize> {
    text.windows(needle.len()).position(|window| window == needle)
}
