//! Multipart bodies: an object written as `multipart/form-data` (RFC 7578).
//!
//! Each member is a part: a string, number or boolean as its text, a list as several parts of its name, `null` as
//! none, and `{ content, filename, content_type }` as a file; `{ base64, … }` is one whose content is not text. The
//! boundary is made of the parts themselves, so every attempt sends the same bytes.

use bytes::Bytes;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use super::form::NotAForm;
use crate::json::Json;

/// Why a value cannot be written as a multipart body.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum NotMultipart {
    #[error("a multipart body is made from an object, not from {0}")]
    Shape(&'static str),
    #[error(
        "a part is text, a number, a boolean, a list of these, or a file, {{ content, filename, content_type }}"
    )]
    Part,
    #[error(
        "a file has `content` (text) or `base64`, and perhaps `filename` and `content_type`, each a string"
    )]
    File,
    #[error("the name of a part or file, or a content type, has a control character")]
    Control,
}

struct Part {
    head: String,
    content: Vec<u8>,
}

/// The body and its boundary.
pub(super) fn encode(json: &Json) -> Result<(Bytes, String), NotMultipart> {
    let fields = match serde_json::from_str(json.as_str()) {
        Ok(Value::Object(fields)) => fields,
        Ok(Value::Array(_)) => return Err(NotMultipart::Shape(NotAForm::ARRAY)),
        Ok(Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_)) => {
            return Err(NotMultipart::Shape(NotAForm::SCALAR));
        }
        Err(_) => return Err(NotMultipart::Shape(NotAForm::RANGE)),
    };
    let mut parts = Vec::new();
    for (name, value) in &fields {
        let single = std::slice::from_ref(value);
        let items = if let Value::Array(items) = value { items } else { single };
        for item in items {
            parts.extend(part(name, item)?);
        }
    }
    let boundary = boundary(&parts);
    let mut body = Vec::new();
    for part in &parts {
        body.extend_from_slice(format!("--{boundary}\r\n{}\r\n", part.head).as_bytes());
        body.extend_from_slice(&part.content);
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(format!("--{boundary}--\r\n").as_bytes());
    Ok((Bytes::from(body), boundary))
}

fn part(name: &str, value: &Value) -> Result<Option<Part>, NotMultipart> {
    let disposition = format!("Content-Disposition: form-data; name=\"{}\"", quoted(name)?);
    let text = match value {
        Value::Null => return Ok(None),
        Value::Bool(truth) => truth.to_string(),
        Value::Number(number) => number.to_string(),
        Value::String(text) => text.clone(),
        Value::Object(file) => return self::file(disposition, file).map(Some),
        Value::Array(_) => return Err(NotMultipart::Part),
    };
    Ok(Some(Part { head: format!("{disposition}\r\n"), content: text.into_bytes() }))
}

fn file(disposition: String, file: &Map<String, Value>) -> Result<Part, NotMultipart> {
    const KEYS: [&str; 4] = ["content", "base64", "filename", "content_type"];
    if file.iter().any(|(key, value)| !KEYS.contains(&key.as_str()) || !value.is_string()) {
        return Err(NotMultipart::File);
    }
    let text = |key: &str| file.get(key).and_then(Value::as_str);
    let (content, default) = match (text("content"), text("base64")) {
        (Some(content), None) => (content.as_bytes().to_vec(), "text/plain; charset=utf-8"),
        (None, Some(content)) => (decoded(content).ok_or(NotMultipart::File)?, "application/octet-stream"),
        (Some(_), Some(_)) | (None, None) => return Err(NotMultipart::File),
    };
    let mut head = disposition;
    if let Some(filename) = text("filename") {
        head.push_str(&format!("; filename=\"{}\"", quoted(filename)?));
    }
    let content_type = text("content_type").unwrap_or(default);
    if content_type.contains(char::is_control) {
        return Err(NotMultipart::Control);
    }
    head.push_str(&format!("\r\nContent-Type: {content_type}\r\n"));
    Ok(Part { head, content })
}

/// As browsers do (WHATWG HTML, multipart/form-data encoding).
fn quoted(name: &str) -> Result<String, NotMultipart> {
    if name.contains(char::is_control) {
        return Err(NotMultipart::Control);
    }
    Ok(name.replace('"', "%22"))
}

/// Standard base64 with padding.
fn decoded(text: &str) -> Option<Vec<u8>> {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.decode(text).ok()
}

/// Of 128 bits of the parts' hash: that content holds it is not to be expected, and could not be arranged.
fn boundary(parts: &[Part]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.head.len() as u64).to_be_bytes());
        hash.update(&part.head);
        hash.update((part.content.len() as u64).to_be_bytes());
        hash.update(&part.content);
    }
    let digest = hash.finalize();
    let hex: String = digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    format!("causeway-{hex}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(text: &'static str) -> Result<(Bytes, String), NotMultipart> {
        encode(&Json::parse(Bytes::from_static(text.as_bytes())).unwrap())
    }

    #[test]
    fn members_are_parts_and_files() {
        let text = r#"{"n":1,"none":null,"tags":["a","b"],"doc":{"base64":"AAE=","filename":"a\"b.bin"}}"#;
        let (first, boundary) = body(text).unwrap();
        let expected = format!(
            "--{boundary}\r\nContent-Disposition: form-data; name=\"n\"\r\n\r\n1\r\n\
             --{boundary}\r\nContent-Disposition: form-data; name=\"tags\"\r\n\r\na\r\n\
             --{boundary}\r\nContent-Disposition: form-data; name=\"tags\"\r\n\r\nb\r\n\
             --{boundary}\r\nContent-Disposition: form-data; name=\"doc\"; filename=\"a%22b.bin\"\r\n\
             Content-Type: application/octet-stream\r\n\r\n\0\u{1}\r\n--{boundary}--\r\n"
        );
        assert_eq!(first, expected);
        assert_eq!(body(text).unwrap(), (first, boundary.clone()), "every attempt sends the same bytes");
        assert_ne!(body(r#"{"n":2}"#).unwrap().1, boundary);
    }

    #[test]
    fn what_is_no_part_is_refused() {
        for (text, error) in [
            ("[1]", NotMultipart::Shape("an array")),
            ("1", NotMultipart::Shape("a scalar")),
            (r#"{"a":[[1]]}"#, NotMultipart::Part),
            (r#"{"a":{"b":1}}"#, NotMultipart::File),
            (r#"{"a":{"base64":"?"}}"#, NotMultipart::File),
            (r#"{"a":{"content":"x","base64":"AAE="}}"#, NotMultipart::File),
            ("{\"a\\r\\nX: y\":1}", NotMultipart::Control),
            (r#"{"a":{"content":"x","content_type":"a\r\nX: y"}}"#, NotMultipart::Control),
        ] {
            assert_eq!(body(text).map(|_| ()), Err(error), "{text}");
        }
    }
}
