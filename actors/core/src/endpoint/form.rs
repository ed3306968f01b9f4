//! Form bodies: JSON written as `application/x-www-form-urlencoded`, nested names in brackets.
//!
//! `{"card": {"exp": 12}, "items": ["a"]}` becomes `card[exp]=12&items[0]=a` (brackets percent-encoded), the way
//! the providers that take forms read them. `null` is left out: a form has no word for it.

use bytes::Bytes;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

use crate::json::Json;

/// All but what the form encoding leaves alone; the space becomes `%20`, which every reader takes.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'*').remove(b'-').remove(b'.').remove(b'_');

/// Why a value cannot be written as a form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a form body is made from an object, not from {0}")]
pub(super) struct NotAForm(&'static str);

impl NotAForm {
    pub(super) const ARRAY: &'static str = "an array";
    pub(super) const SCALAR: &'static str = "a scalar";
    pub(super) const RANGE: &'static str = "a number out of range";
}

pub(super) fn encode(json: &Json) -> Result<Bytes, NotAForm> {
    let mut form = String::new();
    match serde_json::from_str(json.as_str()) {
        Ok(Value::Object(fields)) => {
            for (name, value) in &fields {
                write(&mut form, name, value);
            }
        }
        Ok(Value::Array(_)) => return Err(NotAForm(NotAForm::ARRAY)),
        Ok(Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_)) => {
            return Err(NotAForm(NotAForm::SCALAR));
        }
        Err(_) => return Err(NotAForm(NotAForm::RANGE)),
    }
    Ok(Bytes::from(form))
}

fn write(form: &mut String, name: &str, value: &Value) {
    match value {
        Value::Null => {}
        Value::Bool(bool) => pair(form, name, if *bool { "true" } else { "false" }),
        Value::Number(number) => pair(form, name, &number.to_string()),
        Value::String(text) => pair(form, name, text),
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                write(form, &format!("{name}[{index}]"), item);
            }
        }
        Value::Object(fields) => {
            for (field, item) in fields {
                write(form, &format!("{name}[{field}]"), item);
            }
        }
    }
}

fn pair(form: &mut String, name: &str, value: &str) {
    if !form.is_empty() {
        form.push('&');
    }
    form.extend(utf8_percent_encode(name, ENCODED));
    form.push('=');
    form.extend(utf8_percent_encode(value, ENCODED));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form(text: &'static str) -> Result<Bytes, NotAForm> {
        encode(&Json::parse(Bytes::from_static(text.as_bytes())).unwrap())
    }

    #[test]
    fn nested_names_stand_in_brackets() {
        let body =
            form(r#"{"amount":100,"card":{"exp":12,"none":null},"items":["a b","c&d"],"ok":true}"#).unwrap();
        assert_eq!(body, "amount=100&card%5Bexp%5D=12&items%5B0%5D=a%20b&items%5B1%5D=c%26d&ok=true");
        assert_eq!(form("{}").unwrap(), "");
    }

    #[test]
    fn only_an_object_is_a_form() {
        assert_eq!(form("[1]"), Err(NotAForm("an array")));
        assert_eq!(form("1"), Err(NotAForm("a scalar")));
    }
}
