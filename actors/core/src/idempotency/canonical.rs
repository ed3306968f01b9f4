//! JSON in one spelling: what two requests are compared by.
//!
//! Members are in the order of their names, there are no blanks, strings are escaped one way. Numbers stay as they are
//! written: `1.0` and `1` may mean different things to who reads them, and no digit of a long one is lost. Of two
//! members with the same name both count, in their order.

use std::borrow::Cow;
use std::fmt;

use serde::de::{MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use crate::json::Json;

/// The one spelling of a document.
pub fn canonical(json: &Json) -> String {
    let mut text = String::with_capacity(json.bytes().len());
    write(json.as_str(), &mut text);
    text
}

/// Recursion ends: the document has been checked to be no deeper than [`crate::json::MAX_DEPTH`].
fn write(json: &str, out: &mut String) {
    let json = json.trim_matches([' ', '\t', '\n', '\r']);
    match json.as_bytes().first() {
        Some(b'{') => {
            let Members(mut members) = serde_json::from_str(json).unwrap_or_default();
            members.sort_by(|(one, _), (other, _)| one.cmp(other));
            out.push('{');
            for (place, (name, value)) in members.into_iter().enumerate() {
                if place > 0 {
                    out.push(',');
                }
                string(&name, out);
                out.push(':');
                write(value.get(), out);
            }
            out.push('}');
        }
        Some(b'[') => {
            let Elements(elements) = serde_json::from_str(json).unwrap_or_default();
            out.push('[');
            for (place, value) in elements.into_iter().enumerate() {
                if place > 0 {
                    out.push(',');
                }
                write(value.get(), out);
            }
            out.push(']');
        }
        Some(b'"') => match serde_json::from_str::<Cow<'_, str>>(json) {
            Ok(text) => string(&text, out),
            // A lone surrogate is no text, and yet well-formed.
            Err(_) => out.push_str(json),
        },
        _ => out.push_str(json),
    }
}

fn string(text: &str, out: &mut String) {
    out.push_str(&serde_json::to_string(text).unwrap_or_default());
}

#[derive(Default)]
struct Members<'a>(Vec<(String, &'a RawValue)>);

#[derive(Default)]
struct Elements<'a>(Vec<&'a RawValue>);

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct All;
        impl<'de> Visitor<'de> for All {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(All)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Elements<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct All;
        impl<'de> Visitor<'de> for All {
            type Value = Elements<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an array")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
                let mut elements = Vec::new();
                while let Some(element) = seq.next_element()? {
                    elements.push(element);
                }
                Ok(Elements(elements))
            }
        }
        deserializer.deserialize_seq(All)
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::prelude::*;

    use super::*;

    fn of(text: &str) -> String {
        canonical(&Json::parse(Bytes::copy_from_slice(text.as_bytes())).unwrap())
    }

    #[test]
    fn the_same_is_spelt_the_same() {
        for (text, spelt) in [
            ("{ \"b\" : [ 1 , 2 ] , \"a\" : { } }", r#"{"a":{},"b":[1,2]}"#),
            (r#"{"a":"\u0041\/"}"#, r#"{"a":"A/"}"#),
            (r#"{"a":1,"a":2}"#, r#"{"a":1,"a":2}"#),
            (" null ", "null"),
            ("[1.10,1e400,123456789012345678901234567890]", "[1.10,1e400,123456789012345678901234567890]"),
            (r#""\ud800""#, r#""\ud800""#),
        ] {
            assert_eq!(of(text), spelt, "{text}");
        }
        assert_ne!(of("1"), of("1.0"));
        assert_ne!(of(r#"{"a":1,"a":2}"#), of(r#"{"a":2,"a":1}"#));
    }

    proptest! {
        #[test]
        fn it_says_what_was_said(members in prop::collection::btree_map("[a-z\u{e9}\"]{1,4}", -9i64..9, 0..6), blanks in "[ \n\t]{0,3}") {
            let value = serde_json::to_value(&members).unwrap();
            let plain = serde_json::to_string_pretty(&value).unwrap();
            let spelt = of(&format!("{blanks}{plain}{blanks}"));
            prop_assert_eq!(serde_json::from_str::<serde_json::Value>(&spelt).unwrap(), value);
            prop_assert_eq!(of(&spelt), spelt.clone());
        }
    }
}
