//! `api_version`: the version of a provider's API that an integration is written for, and how a request says so.

use http::{HeaderName, HeaderValue};

use super::base_url::is_path_byte;
use super::headers::{header_value, request_header};
use super::reader::Value;

/// The longest name or value, in bytes.
const MAX_TEXT: usize = 256;

const EXAMPLE: &str =
    "a version such as { header = \"Stripe-Version\", value = \"2025-09-30\" } or { path = \"/v2\" }";

/// How each request says which version of the provider's API it is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ApiVersion {
    /// By a header.
    Header {
        /// The header.
        name: HeaderName,
        /// The version.
        value: HeaderValue,
    },
    /// By a parameter of the query.
    Query {
        /// The parameter, not yet encoded.
        name: String,
        /// The version, not yet encoded.
        value: String,
    },
    /// By what stands before every path: begins and does not end with `/`.
    Path(String),
}

impl ApiVersion {
    pub(super) fn read(value: Value<'_>) -> Option<Self> {
        value.table(EXAMPLE, |table| {
            let header = table.optional("header", request_header);
            let query = table.optional("query", text);
            let path = table.optional("path", path);
            let ways = ["header", "query", "path"].into_iter().filter(|key| table.had(key)).count();
            if ways != 1 {
                table.ignore_rest();
                table.wrong_whole("a version is told in one way; write one of `header`, `query` and `path`");
                return None;
            }
            if table.had("path") {
                table.not_here("value", "stands in the path already; remove it");
                return path.map(Self::Path);
            }
            if table.had("query") {
                let value = table.required("value", "\"2025-09-30\"", text);
                return query.zip(value).map(|(name, value)| Self::Query { name, value });
            }
            let value = table.required("value", "\"2025-09-30\"", |value| header_value(&value));
            header.zip(value).map(|(name, value)| Self::Header { name, value })
        })
    }

    /// The header that says so, if one does.
    pub(super) fn header(&self) -> Option<(HeaderName, HeaderValue)> {
        match self {
            Self::Header { name, value } => Some((name.clone(), value.clone())),
            Self::Query { .. } | Self::Path(_) => None,
        }
    }
}

fn text(value: Value<'_>) -> Option<String> {
    let text = value.string("a string")?;
    if (1..=MAX_TEXT).contains(&text.len()) && !text.contains(char::is_control) {
        return Some(text.to_owned());
    }
    value
        .wrong(&format!("the text is empty, too long or has control characters; write 1 to {MAX_TEXT} bytes"))
}

fn path(value: Value<'_>) -> Option<String> {
    let text = value.string("a path such as \"/v2\"")?;
    let fits = text.starts_with('/')
        && !text.ends_with('/')
        && text.len() <= MAX_TEXT
        && text.bytes().all(is_path_byte);
    if fits {
        return Some(text.to_owned());
    }
    value.wrong("this is not the beginning of a path; write one such as \"/v2\", without a `/` at its end")
}
