//! Masking, once, at the edge, before anything leaves memory.
//!
//! What goes into a log, an attempt record, an error or an audit entry passes through a [`Sanitiser`] first, and
//! only through it. It masks by name (`password`, `card[number]`, whatever the configuration adds) and by looks
//! (card numbers, tokens, keys by their prefixes, addresses), in JSON, forms, URLs, headers and plain text; a
//! placeholder such as `[masked:card]` tells what stood there. Escapes and encodings are taken away before judging,
//! and masking comes before cutting: a secret cut in half would not be recognised. Results are one line: control
//! characters are written as escapes.
//!
//! It is on the path of every call, so the passes are single ones over bytes, without trees, and without regular
//! expressions but those that the configuration adds: a few nanoseconds per byte.
//!
//! The parts:
//! - our own secrets, by their values: `secrets`;
//! - what is sensitive by its name: `fields`, of which `names` makes one automaton;
//! - what is sensitive by its looks: `detect` goes through text and asks `cards`, `numbers`, `keys` with `prefixes`,
//!   `patterns`; `pairs`, `values` and `markup` find names in text; `percent` what is encoded in it;
//! - what it stands in: `json`, `form`, `headers`;
//! - how it is written: `escape`; what is written instead: `mask`.

mod cards;
mod detect;
mod escape;
mod fields;
mod form;
mod headers;
mod json;
mod keys;
mod markup;
mod mask;
mod names;
mod numbers;
mod pairs;
mod patterns;
mod percent;
mod prefixes;
mod secrets;
mod values;

#[cfg(test)]
mod shapes;

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use http::HeaderMap;

pub use headers::SafeHeaders;
pub use patterns::{InvalidPattern, MAX_PATTERN, Pattern};
pub use secrets::{KnownSecrets, MIN_SECRET};

use escape::{beginning, cut, decode_unicode};
use fields::Fields;

/// What the configuration adds to the built-in lists.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Extra {
    /// Names of fields whose values are masked, compared without case and separators.
    pub fields: Vec<String>,
    /// Headers that are masked although they are on the list of those shown.
    pub headers: Vec<String>,
    /// What is masked by its looks: in every string and number of JSON, every name and value of a form, in text.
    pub patterns: Vec<Pattern>,
}

/// Masks what is sensitive. Cheap to clone and to share.
#[derive(Clone)]
pub struct Sanitiser(Arc<Rules>, KnownSecrets);

struct Rules {
    fields: Fields,
    patterns: Vec<Pattern>,
    hidden_headers: Vec<String>,
}

impl fmt::Debug for Sanitiser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sanitiser")
    }
}

impl Sanitiser {
    /// The built-in lists and what is added to them.
    pub fn new(extra: &Extra) -> Self {
        let hidden_headers = extra.headers.iter().map(|name| name.to_ascii_lowercase()).collect();
        let patterns = extra.patterns.clone();
        let rules = Rules { fields: Fields::new(&extra.fields), patterns, hidden_headers };
        Self(Arc::new(rules), KnownSecrets::default())
    }

    /// The same, masking these values too, and those that are learnt later.
    #[must_use]
    pub fn with_secrets(self, secrets: KnownSecrets) -> Self {
        Self(self.0, secrets)
    }

    /// Headers: those known to be harmless with their values, all others masked.
    pub fn headers(&self, headers: &HeaderMap) -> SafeHeaders {
        SafeHeaders::new(headers, &self.0, &self.1)
    }

    /// A body by its content type: JSON, form or text, cut to `cap` bytes. What is not text is told by its size, as
    /// are multipart bodies, whose parts may be anything.
    pub fn body(&self, content_type: Option<&str>, body: &[u8], cap: usize) -> String {
        let is = |part: &str| {
            content_type.is_some_and(|kind| {
                kind.as_bytes().windows(part.len()).any(|window| window.eq_ignore_ascii_case(part.as_bytes()))
            })
        };
        if is("multipart/") {
            return format!("[multipart {} bytes]", body.len());
        }
        let said_to_be_text = is("text/") || is("json") || is("xml") || is("form-urlencoded");
        let Some(text) = readable(body, said_to_be_text) else {
            return format!("[binary {} bytes]", body.len());
        };
        // A mark of the byte order is no part of the text.
        let text = text.strip_prefix("\u{feff}".as_bytes()).unwrap_or(&text);
        if is("x-www-form-urlencoded") {
            return self.form(&self.1.hide(text, cap), cap);
        }
        if is("json") || json::looks_like_json(text) { self.json(text, cap) } else { self.utf8(text, cap) }
    }

    /// JSON, without white space between its tokens, cut to `cap` bytes. What is no JSON is masked as text.
    pub fn json(&self, body: &[u8], cap: usize) -> String {
        let Ok(text) = std::str::from_utf8(body) else {
            return self.text(&String::from_utf8_lossy(body), cap);
        };
        let text = self.1.hide(text.as_bytes(), cap);
        match json::mask(&text, cap, &self.0) {
            Some(masked) => cut(masked.out, cap, masked.unread),
            None => self.utf8(&text, cap),
        }
    }

    /// Plain text (a message, an error), cut to `cap` bytes. One line: control characters are written as escapes.
    pub fn text(&self, text: &str, cap: usize) -> String {
        self.utf8(text.as_bytes(), cap)
    }

    /// A URL: the user before the host and sensitive values of its query, fragment and path are masked.
    pub fn query(&self, url: &str) -> String {
        let mut out = Vec::with_capacity(url.len());
        form::url(&mut out, &self.1.hide(url.as_bytes(), usize::MAX), &self.0);
        cut(out, usize::MAX, 0)
    }

    fn form(&self, body: &[u8], cap: usize) -> String {
        let mut out = Vec::with_capacity(body.len().min(cap));
        let unread = form::pairs(&mut out, body, cap, &self.0, false);
        cut(out, cap, unread)
    }

    fn utf8(&self, text: &[u8], cap: usize) -> String {
        let text: Cow<'_, [u8]> = self.1.hide(text, cap);
        let seen = beginning(&text, cap.saturating_add(json::SLACK));
        let decoded = decode_unicode(seen);
        let mut out = Vec::with_capacity(decoded.len().min(cap));
        form::text(&mut out, &decoded, &self.0);
        cut(out, cap, text.len() - seen.len())
    }
}

/// The body as UTF-8, if it is text: such as it is, cut within a character, or in another encoding that keeps ASCII.
/// Without ASCII (UTF-16) names would not be known again.
fn readable(body: &[u8], said_to_be_text: bool) -> Option<Cow<'_, [u8]>> {
    if body.contains(&0) {
        return None;
    }
    let error = match std::str::from_utf8(body) {
        Ok(_) => return Some(Cow::Borrowed(body)),
        Err(error) => error,
    };
    let cut_off = error.error_len().is_none();
    if cut_off {
        return Some(Cow::Borrowed(body.get(..error.valid_up_to()).unwrap_or_default()));
    }
    let plain = |byte: &u8| *byte >= b' ' || byte.is_ascii_whitespace();
    let text = said_to_be_text && body.iter().all(plain);
    text.then(|| Cow::Owned(String::from_utf8_lossy(body).into_owned().into_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::Value;

    const ALL: usize = usize::MAX;

    fn sanitiser() -> Sanitiser {
        Sanitiser::new(&Extra {
            fields: vec!["customer_ref".to_owned()],
            headers: vec!["Server".to_owned()],
            ..Extra::default()
        })
    }

    fn json(text: &str) -> String {
        sanitiser().json(text.as_bytes(), ALL)
    }

    fn text(text: &str) -> String {
        sanitiser().text(text, ALL)
    }

    #[test]
    fn values_are_masked_by_their_names() {
        for (document, expected) in [
            (r#"{"password":"hunter2","a":1}"#, r#"{"password":"[masked:password]","a":1}"#),
            (r#"{"user":{"E-Mail":"x"}}"#, r#"{"user":{"E-Mail":"[masked:email]"}}"#),
            (r#"{"client_secret":{"a":[1,"x"]},"b":2}"#, r#"{"client_secret":"[masked:secret]","b":2}"#),
            (r#"{"tokens":["a","b"],"b":2}"#, r#"{"tokens":"[masked:token]","b":2}"#),
            (
                r#"{"pin":1234,"otp":null,"has_password":true}"#,
                r#"{"pin":"[masked:password]","otp":null,"has_password":true}"#,
            ),
            (
                r#"{"max_tokens":100,"token_count":5,"token_type":"card"}"#,
                r#"{"max_tokens":100,"token_count":5,"token_type":"card"}"#,
            ),
            (
                r#"{"card":{"number":"42","cvc":"1","brand":"visa"}}"#,
                r#"{"card":{"number":"[masked:card]","cvc":"[masked:cvc]","brand":"visa"}}"#,
            ),
            (
                r#"{"cards":[{"number":42}],"number":"INV-1"}"#,
                r#"{"cards":[{"number":"[masked:card]"}],"number":"INV-1"}"#,
            ),
            (
                r#"{"iban":"DE89","ssn":"1","account_number":"2","phone":"+49"}"#,
                r#"{"iban":"[masked:iban]","ssn":"[masked:ssn]","account_number":"[masked:account]","phone":"[masked:phone]"}"#,
            ),
            (r#"{"customerRef":"x","password":""}"#, r#"{"customerRef":"[masked:field]","password":""}"#),
            (r#"{"p\u0061ssword":"x"}"#, r#"{"p\u0061ssword":"[masked:password]"}"#),
            (
                r#"[{"Name":"p\u0061ssword","value":"x"},{"name":"colour","value":"red"}]"#,
                r#"[{"Name":"p\u0061ssword","value":"[masked:password]"},{"name":"colour","value":"red"}]"#,
            ),
            ("[ 1 ,\n\t{ \"a\" : [ ] , \"b\":{ } } ]\r\n", r#"[1,{"a":[],"b":{}}]"#),
        ] {
            assert_eq!(json(document), expected);
        }
    }

    #[test]
    fn values_are_masked_by_their_looks() {
        for (value, expected) in [
            ("4111111111111111", "[masked:card]"),
            ("pay 4111 1111 1111 1111 now", "pay [masked:card] now"),
            ("on 2026-01-02 5555-5555-5555-4444", "on 2026-01-02 [masked:card]"),
            ("3782 822463 10005", "[masked:card]"),
            ("a@b.co and Jörg.Müller+x@exämple.de!", "[masked:email] and [masked:email]!"),
            ("https://x.io/?m=a%40b.co", "https://x.io/?m=[masked:email]"),
            ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln", "[masked:jwt]"),
            ("Bearer abc", "Bearer [masked:secret]"),
            ("got basic dXNlcjpwYXNz!", "got basic [masked:secret]!"),
            ("use sk_live_4eC39Hq or whsec_abcd", "use [masked:key] or [masked:key]"),
            ("ghp_16C7e42F292c69", "[masked:key]"),
            (
                "sent cwc_0Zx4GhmQ7aPtL2vKc9RdYbNw3SfUeJ6iTo1XqHl5MkE and cwo_0Zx4GhmQ7aPtL2vK.",
                "sent [masked:key] and [masked:key].",
            ),
            ("xoxb-1234-abc AKIAIOSFODNN7EXAMPLE", "[masked:key] [masked:key]"),
            ("AIzaSyA1234567890123456789012345678901", "[masked:key]"),
            ("SG.abcdefghijkl.mnopqr glpat-abcdefgh1234", "[masked:key] [masked:key]"),
            ("-----BEGIN RSA PRIVATE KEY----- MIIE -----END RSA PRIVATE KEY----- x", "[masked:pem] x"),
            ("-----BEGIN PRIVATE KEY----- cut", "[masked:pem]"),
            ("postgres://app:hunter2@db:5432/x", "postgres://[masked:userinfo]@db:5432/x"),
            ("https://x.io/cb?access_token=abc&a=1", "https://x.io/cb?access_token=[masked:token]&a=1"),
        ] {
            assert_eq!(text(value), expected);
            assert_eq!(json(&format!("{{\"note\":\"{value}\"}}")), format!("{{\"note\":\"{expected}\"}}"));
            assert_eq!(
                json(&format!("{{\"{value}\":null}}")),
                format!("{{\"{expected}\":null}}"),
                "as a key"
            );
        }
        assert_eq!(
            json("[4111111111111111,4111111111111112,1735689600000]"),
            "[\"[masked:card]\",4111111111111112,1735689600000]"
        );
    }

    #[test]
    fn what_is_harmless_stays() {
        for value in [
            "ch_3MmlLrLkdIwHu7ix0snN0B15",
            "2026-01-02T03:04:05.678Z",
            "550e8400-e29b-41d4-a716-446655440000",
            "4111111111111112",
            "1735689600000",
            "51.50735091234567",
            "user @home, a@b, @handle, x@localhost",
            "Basic plan, the bearer of this",
            "basic information",
            "task_live_streaming sk-learn-something-quite-long npm_config_registry_and_more",
            "eyJpZCI6MX0",
            "AKIA is a prefix, SG. too",
            "https://pay.example.com/receipts/1?limit=10&starting_after=ch_1",
            "time: 12:30, status=ok",
            "token_count=5; password_required: true",
            "A -- B - C",
        ] {
            assert_eq!(text(value), value);
            let document = format!("{{\"note\":\"{value}\"}}");
            assert_eq!(json(&document), document);
        }
    }

    #[test]
    fn pairs_in_text_are_masked() {
        for (message, expected) in [
            (
                "login failed: password=hunter2, user=bob",
                "login failed: password=[masked:password], user=bob",
            ),
            ("password: hun,ter2 rest", "password: [masked:password] rest"),
            ("{'api_key': 'abc def', 'b': 1}", "{'api_key': '[masked:key]', 'b': 1}"),
            (r#"got {"secret":"a\"b","x":1"#, r#"got {"secret":"[masked:secret]","x":1"#),
            (
                r#"body "{\"password\":\"a b\",\"x\":1}""#,
                r#"body "{\"password\":\"[masked:password]\",\"x\":1}""#,
            ),
            ("Authorization: Token a b c\nHost: x", "Authorization: [masked:authorization]\\nHost: x"),
            ("curl -H 'Cookie: a=b; c=d' x", "curl -H 'Cookie: [masked:cookie]' x"),
            ("api key: abc, access_token => xyz", "api key: [masked:key], access_token => [masked:token]"),
            ("phone: +44 20 7946 0958 called", "phone: [masked:phone] called"),
            (
                "<a:Password x=\"1\">hun<ter2</a:Password><b>1</b>",
                "<a:Password x=\"1\">[masked:password]</a:Password><b>1</b>",
            ),
            ("<secret><![CDATA[x]]></secret>", "<secret>[masked:secret]</secret>"),
            ("credentials: {user: x, pass: [y]} end", "credentials: [masked:secret] end"),
            ("session: bearer abc next", "session: [masked:session] next"),
            (r#"cut {"p\u0061ssword":"hunt"#, r#"cut {"password":"[masked:password]"#),
            (r"mail a\u0040b.co", "mail [masked:email]"),
        ] {
            assert_eq!(text(message), expected);
        }
    }

    #[test]
    fn escapes_hide_nothing() {
        assert_eq!(json(r#"{"note":"a\u0040b.co \"q\" é"}"#), r#"{"note":"[masked:email] \"q\" é"}"#);
        assert_eq!(json(r#"{"note":"x\nsk\u005flive_abcdef"}"#), r#"{"note":"x\n[masked:key]"}"#);
        assert_eq!(json(r#"{"a\u0040b.co":"\u00e9\n\/"}"#), r#"{"[masked:email]":"\u00e9\n\/"}"#);
        let nested = r#"{"body":"{\"x\":\"a\\u0040b.co\",\"password\":\"hunter2\"}"}"#;
        let masked = json(nested);
        assert!(!masked.contains("hunter2") && !masked.contains("b.co"), "{masked}");
        assert!(serde_json::from_str::<Value>(&masked).is_ok(), "{masked}");
    }

    #[test]
    fn what_is_no_json_is_text() {
        assert_eq!(json("{\"password\":\"hunter2\""), "{\"password\":\"[masked:password]\"");
        assert_eq!(json("{\"a\":1} password=x"), "{\"a\":1} password=[masked:password]");
        assert_eq!(json("{\"a\":\"\n\"}"), "{\"a\":\"\\n\"}");
        assert_eq!(json(&"[".repeat(200)), "[".repeat(200));
        assert_eq!(json("\"\\"), "\"\\");
        assert_eq!(sanitiser().json(b"\xffpassword=x", ALL), "\u{fffd}password=[masked:password]");
    }

    #[test]
    fn no_control_character_is_raw() {
        assert_eq!(
            text("a\r\nb\tc\0d\u{85}e\u{2028}f\u{202e}g\u{7f}"),
            "a\\r\\nb\\tc\\u0000d\\u0085e\\u2028f\\u202eg\\u007f"
        );
        assert_eq!(
            json("{\"a\":\"\u{85}\u{2029} \\n \u{7f}é€\"}"),
            "{\"a\":\"\\u0085\\u2029 \\n \\u007fé€\"}"
        );
    }

    #[test]
    fn masking_comes_before_cutting() {
        let s = sanitiser();
        assert_eq!(s.json(b"{\"a\":\"4111111111111111\",\"b\":2}", 10), "{\"a\":\"[mas…[truncated 17 bytes]");
        assert_eq!(s.text("pay 4111 1111 1111 1111 now", 8), "pay [mas…[truncated 13 bytes]");
        assert_eq!(s.text("aé", 2), "a…[truncated 2 bytes]");
        assert_eq!(s.text("abc", 3), "abc");
        assert_eq!(s.json(b"[1,2,3,4]", 4), "[1,2…[truncated 5 bytes]");
        let long = format!("{{\"a\":\"{}\"}}", "x".repeat(100_000));
        let cut = s.json(long.as_bytes(), 100);
        assert!(cut.starts_with("{\"a\":\"xxx") && cut.ends_with("…[truncated 99908 bytes]"), "{cut}");
        for cap in 0..120 {
            let shown = s.json(
                br#"{"a":"password=hunter2 a@b.co","b":{"secret":"hunter2"},"c":"4111 1111 1111 1111"}"#,
                cap,
            );
            assert!(!shown.contains("hunt") && !shown.contains("4111") && !shown.contains("a@"), "{shown}");
        }
    }

    #[test]
    fn bodies_are_told_apart() {
        let body = |kind: Option<&str>, body: &[u8]| sanitiser().body(kind, body, 100);
        let form = Some("application/x-www-form-urlencoded; charset=utf-8");
        assert_eq!(
            body(form, b"card%5Bnumber%5D=42&card[cvc]=1&amount=10&note=to+a%40b.co%26&x"),
            "card%5Bnumber%5D=[masked:card]&card[cvc]=[masked:cvc]&amount=10&note=to%20[masked:email]%26&x"
        );
        assert_eq!(body(form, b"a=%0Ab\n&p%61ssword=x"), "a=%0Ab\\n&p%61ssword=[masked:password]");
        assert_eq!(
            body(Some("application/problem+JSON"), b"{\"token\": \"x\"}"),
            "{\"token\":\"[masked:token]\"}"
        );
        assert_eq!(body(None, b" {\"token\": \"x\"}"), "{\"token\":\"[masked:token]\"}");
        assert_eq!(body(Some("text/plain"), b"a\nb"), "a\\nb");
        assert_eq!(body(Some("image/png"), b"\x89PNG\xff"), "[binary 5 bytes]");
        assert_eq!(body(Some("multipart/form-data; boundary=x"), b"--x"), "[multipart 3 bytes]");
        assert_eq!(body(None, b""), "");
    }

    #[test]
    fn urls_keep_their_form() {
        let url = |url: &str| sanitiser().query(url);
        assert_eq!(
            url("https://u:p@h/a@b.co/x?key=1&a=2&token=3#access_token=4"),
            "https://[masked:userinfo]@h/[masked:email]/x?key=[masked:key]&a=2&token=[masked:token]#access_token=[masked:token]"
        );
        assert_eq!(
            url("https://h/v1/charges?limit=10&created%5Bgte%5D=1"),
            "https://h/v1/charges?limit=10&created%5Bgte%5D=1"
        );
        assert_eq!(url("/cb?to=sk_live_abcdef"), "/cb?to=[masked:key]");
    }

    #[test]
    fn unknown_headers_are_masked() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("content-type", "application/json"),
            ("authorization", "Bearer x"),
            ("x-new-thing", "1"),
            ("server", "nginx"),
            ("idempotency-key", "k-1"),
            ("location", "https://h/cb?token=x"),
            ("x-request-id", "a@b.co"),
            ("vary", "a"),
            ("vary", "b"),
        ] {
            headers.append(name, value.parse().unwrap());
        }
        let safe = serde_json::to_value(sanitiser().headers(&headers)).unwrap();
        let expected = serde_json::json!({
            "content-type": "application/json",
            "authorization": "[masked:header]",
            "x-new-thing": "[masked:header]",
            "server": "[masked:header]",
            "idempotency-key": "k-1",
            "location": "https://h/cb?token=[masked:token]",
            "x-request-id": "[masked:email]",
            "vary": "a, b",
        });
        assert_eq!(safe, expected);
    }

    /// A secret, and whether it is one by its looks (else only by its name).
    fn secret() -> impl Strategy<Value = (String, bool)> {
        prop_oneof![
            "sk_live_[0-9a-zA-Z]{16,24}".prop_map(|key| (key, true)),
            "ghp_[0-9a-zA-Z]{36}".prop_map(|key| (key, true)),
            "xoxb-[0-9]{10}-[a-zA-Z0-9]{12}".prop_map(|key| (key, true)),
            "eyJ[a-zA-Z0-9]{20}\\.[a-zA-Z0-9]{20}\\.[a-zA-Z0-9_]{20}".prop_map(|key| (key, true)),
            "[a-z]{4,8}\\.[a-z]{4,8}@[a-z]{4,8}\\.com".prop_map(|mail| (mail, true)),
            "4[0-9]{14}".prop_map(|digits| (with_check_digit(&digits), true)),
            "[a-zA-Z0-9!$ ,/\"\\\\é]{12,20}z".prop_map(|secret| (secret, false)),
        ]
    }

    fn with_check_digit(digits: &str) -> String {
        let sum = |text: &str| -> u32 {
            let digits = text.bytes().rev().map(|byte| u32::from(byte - b'0')).enumerate();
            digits
                .map(|(place, digit)| if place % 2 == 0 { digit } else { digit * 2 / 10 + digit * 2 % 10 })
                .sum()
        };
        let check = (0..10).find(|check| sum(&format!("{digits}{check}")) % 10 == 0).unwrap();
        format!("{digits}{check}")
    }

    /// Any JSON without a name that masks.
    fn document() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i32>().prop_map(Value::from),
            any::<f32>().prop_map(Value::from),
            "\\PC{0,12}".prop_map(Value::from),
            any::<String>().prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 24, 5, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
                prop::collection::vec(("[a-zA-Z_]{1,8}", inner), 0..5)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    /// Puts `planted` somewhere into `host`, at the place `path` leads to.
    fn plant(host: Value, planted: Value, path: &[usize]) -> Value {
        match (host, path) {
            (Value::Array(mut items), [step, path @ ..]) if !items.is_empty() => {
                let index = step % items.len();
                items[index] = plant(items[index].take(), planted, path);
                Value::Array(items)
            }
            (Value::Object(mut members), [step, path @ ..]) if !members.is_empty() => {
                let index = step % members.len();
                if let Some(member) = members.values_mut().nth(index) {
                    *member = plant(member.take(), planted, path);
                }
                Value::Object(members)
            }
            _ => planted,
        }
    }

    /// Writes JSON with some characters of its strings as escapes, and with white space.
    fn write(value: &Value, dice: &mut impl FnMut() -> u8, out: &mut String) {
        let string = |text: &str, dice: &mut dyn FnMut() -> u8, out: &mut String| {
            out.push('"');
            for character in text.chars() {
                if dice() < 60 || character.is_control() || matches!(character, '"' | '\\') {
                    let mut units = [0; 2];
                    for unit in character.encode_utf16(&mut units) {
                        out.push_str(&format!("\\u{unit:04x}"));
                    }
                } else {
                    out.push(character);
                }
            }
            out.push('"');
        };
        if dice() < 60 {
            out.push_str("\n ");
        }
        match value {
            Value::Array(items) => {
                out.push('[');
                for (index, item) in items.iter().enumerate() {
                    out.push_str(if index > 0 { "," } else { "" });
                    write(item, dice, out);
                }
                out.push(']');
            }
            Value::Object(members) => {
                out.push('{');
                for (index, (key, member)) in members.iter().enumerate() {
                    out.push_str(if index > 0 { " ,\t" } else { "" });
                    string(key, dice, out);
                    out.push_str(if dice() < 60 { " : " } else { ":" });
                    write(member, dice, out);
                }
                out.push('}');
            }
            Value::String(text) => string(text, dice, out),
            Value::Null | Value::Bool(_) | Value::Number(_) => out.push_str(&value.to_string()),
        }
    }

    fn strings(value: &Value, into: &mut Vec<String>) {
        match value {
            Value::Array(items) => items.iter().for_each(|item| strings(item, into)),
            Value::Object(members) => members.iter().for_each(|(key, member)| {
                into.push(key.clone());
                strings(member, into);
            }),
            Value::String(text) => into.push(text.clone()),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(512))]

        /// Wherever and however a secret stands in a document, it is not in what is shown, cut or whole.
        #[test]
        fn a_planted_secret_is_never_shown(
            host in document(),
            (secret, by_looks) in secret(),
            name in prop::sample::select(vec!["password", "ApiKey", "client-secret", "access_token", "customer_ref", "sessionid"]),
            around in ("[ .,;(]{0,2}", "[ ,;)]{0,2}"),
            path in prop::collection::vec(0_usize..5, 0..5),
            dice in prop::collection::vec(any::<u8>(), 64),
            cap in 0_usize..400,
        ) {
            let planted = if by_looks {
                serde_json::json!({ "note": format!("{}{secret}{}", around.0, around.1) })
            } else {
                serde_json::json!({ name: secret })
            };
            let document = plant(host, planted, &path);
            let mut turn = 0;
            let mut roll = || { turn += 1; dice[turn % dice.len()] };
            let mut body = String::new();
            write(&document, &mut roll, &mut body);

            let shown = json(&body);
            prop_assert!(!shown.contains(&secret), "{}", shown);
            let read: Value = serde_json::from_str(&shown).expect("well-formed stays well-formed");
            let mut found = Vec::new();
            strings(&read, &mut found);
            prop_assert!(found.iter().all(|text| !text.contains(&secret)), "{}", shown);
            prop_assert!(!shown.chars().any(char::is_control), "{}", shown);

            let cut = sanitiser().json(body.as_bytes(), cap);
            prop_assert!(!cut.contains(&secret) && cut.len() < cap + 40, "{}", cut);
            let as_text = text(&body);
            prop_assert!(!as_text.contains(&secret), "{}", as_text);
        }

        /// Whatever comes, what is shown is one line without control characters.
        #[test]
        fn text_is_one_line(any in any::<String>(), bytes in prop::collection::vec(any::<u8>(), 0..200), cap in 0_usize..300) {
            let s = sanitiser();
            for shown in [
                s.text(&any, cap),
                s.json(any.as_bytes(), cap),
                s.query(&any),
                s.body(Some("application/x-www-form-urlencoded"), any.as_bytes(), cap),
                s.body(None, &bytes, cap),
                s.json(&bytes, cap),
            ] {
                prop_assert!(!shown.chars().any(char::is_control), "{:?}", shown);
            }
        }

        /// JSON that holds nothing sensitive comes out as it went in.
        #[test]
        fn harmless_json_keeps_its_meaning(members in prop::collection::vec(("[a-d]{1,3}", "[a-z ]{0,12}", any::<i16>()), 0..8)) {
            let document: Value = members.iter().map(|(key, text, number)| {
                (key.clone(), serde_json::json!({ "s": text, "n": number }))
            }).collect::<serde_json::Map<_, _>>().into();
            let pretty = serde_json::to_string_pretty(&document).unwrap();
            prop_assert_eq!(serde_json::from_str::<Value>(&json(&pretty)).unwrap(), document);
        }
    }
}
