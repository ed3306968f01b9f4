//! Lists, a page at a time: `limit` and `cursor` in, `{ items, next_cursor }` out.
//!
//! A cursor is the key of the last item that was told, so a page goes on where the one before ended, whatever has come
//! or gone meanwhile. What it is made of is nobody's business.

use actix_web::HttpRequest;
use actix_web::web::Query;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use causeway_core::time::Wall;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::problem::{Code, Problem, printable};

/// The most items of a page.
pub(super) const MAX_LIMIT: usize = 100;
/// Those of a page that asks for no number.
pub(super) const DEFAULT_LIMIT: usize = 50;

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct Asked {
    limit: Option<usize>,
    cursor: Option<String>,
}

/// A page of a list.
#[derive(Debug, Serialize)]
pub(super) struct Page<T> {
    items: Vec<T>,
    /// Asks for the page after this one; `null`: there is none.
    next_cursor: Option<String>,
}

/// What a request asks for behind the `?`.
pub(super) fn query<T: DeserializeOwned>(request: &HttpRequest) -> Result<T, Problem> {
    let asked = Query::<T>::from_query(request.query_string()).map_err(|error| {
        let detail = format!("the query: {}", printable(&error.to_string()));
        Problem::new(Code::MalformedRequest, detail)
    });
    Ok(asked?.into_inner())
}

/// A time from which on something is asked for.
pub(super) fn since(text: &str) -> Result<Wall, Problem> {
    let at: Option<jiff::Timestamp> = text.parse().ok();
    let millis = at.and_then(|at| u64::try_from(at.as_millisecond()).ok());
    millis.map(Wall::from_unix_millis).ok_or_else(|| {
        let detail = "`since` is a time such as 2026-11-24T09:30:00Z (RFC 3339)";
        Problem::new(Code::MalformedRequest, detail)
    })
}

/// How many items a page has that asks for so many.
pub(super) fn limit(asked: Option<usize>) -> Result<usize, Problem> {
    let limit = asked.unwrap_or(DEFAULT_LIMIT);
    if (1..=MAX_LIMIT).contains(&limit) {
        return Ok(limit);
    }
    let detail = format!("`limit` is a number from 1 to {MAX_LIMIT}");
    Err(Problem::new(Code::MalformedRequest, detail))
}

/// The key of the last item before the page that a cursor asks for.
pub(super) fn key(cursor: &str) -> Result<String, Problem> {
    let decoded = URL_SAFE_NO_PAD.decode(cursor).ok().and_then(|key| String::from_utf8(key).ok());
    let wrong = || Problem::new(Code::MalformedRequest, "`cursor` is a `next_cursor` of this list");
    decoded.ok_or_else(wrong)
}

/// A page of these items; `last` is the key of the last one, where there are more behind it.
pub(super) fn after<T>(items: Vec<T>, last: Option<String>) -> Page<T> {
    Page { items, next_cursor: last.map(|key| URL_SAFE_NO_PAD.encode(key)) }
}

/// The page that a request asks for, of `all` in the order of their keys, each of which is told apart from the others.
pub(super) fn of<T>(request: &HttpRequest, mut all: Vec<(String, T)>) -> Result<Page<T>, Problem> {
    let asked: Asked = query(request)?;
    let limit = self::limit(asked.limit)?;
    let after = asked.cursor.as_deref().map(key).transpose()?;
    all.sort_by(|(one, _), (other, _)| one.cmp(other));
    let mut rest =
        all.into_iter().filter(|(key, _)| after.as_ref().is_none_or(|after| key > after)).peekable();
    let (mut items, mut last) = (Vec::new(), String::new());
    while items.len() < limit
        && let Some((key, item)) = rest.next()
    {
        items.push(item);
        last = key;
    }
    let next_cursor = rest.peek().is_some().then(|| URL_SAFE_NO_PAD.encode(last));
    Ok(Page { items, next_cursor })
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    fn page(query: &str) -> Result<Page<u32>, Problem> {
        let request = TestRequest::with_uri(&format!("/list?{query}")).to_http_request();
        // Not in order, for nobody says that they come so.
        of(&request, (0..120).rev().map(|n| (format!("{n:03}"), n)).collect())
    }

    #[test]
    fn pages_follow_each_other_and_end() {
        let mut seen = Vec::new();
        let mut next = page("limit=50").unwrap();
        loop {
            seen.append(&mut next.items);
            let Some(cursor) = next.next_cursor else { break };
            next = page(&format!("limit=50&cursor={cursor}")).unwrap();
        }
        assert_eq!(seen, (0..120).collect::<Vec<_>>());
        assert_eq!(page("").unwrap().items.len(), DEFAULT_LIMIT);
    }

    #[test]
    fn nonsense_is_refused() {
        for query in ["limit=0", "limit=101", "limit=-1", "limit=x", "cursor=%00", "cursor=!!", "colour=red"]
        {
            assert_eq!(
                page(query).unwrap_err().to_string().split(':').next(),
                Some("malformed_request"),
                "{query}"
            );
        }
    }
}
