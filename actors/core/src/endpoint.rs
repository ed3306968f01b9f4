//! One call an integration offers: how its request is written, and how its response is read.
//!
//! [`Endpoint::materialise`] turns a step's input into the bytes that every attempt of it will send;
//! [`Endpoint::interpret`] turns an answer into a result or a [`Failure`]. Where nothing is mapped, bytes pass
//! through untouched. A provider's own rules come before the table in [`crate::classify`].

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, header};

use crate::classify::{self, Phase};
use crate::failure::{ErrorClass, Failure, Reason};
use crate::idempotency::Resend;
use crate::integration::CallRules;
use crate::json::Json;
use crate::mapping::{Input, Program, RunView, Vars};
use crate::name::EndpointName;
use crate::retry::{self, RetrySpec};
use crate::sanitise::Sanitiser;
use crate::time::Wall;

mod form;
mod message;
mod multipart;
mod path;
mod rule;
mod schema;

pub use path::{InvalidPath, PathTemplate};
pub use rule::{Meaning, Rule};
pub use schema::{Breach, ResponseSchema, SCHEMA_VIOLATED, SchemaMode};

use rule::Ruling;

/// How long each part of an exchange may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// Name, TCP and TLS together, for a new connection.
    pub connect: Duration,
    /// From the request being handed to a connection to the response's head.
    pub first_byte: Duration,
    /// From the response's head to the end of its body.
    pub body: Duration,
    /// The whole attempt.
    pub total: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(1),
            first_byte: Duration::from_secs(5),
            body: Duration::from_secs(5),
            total: Duration::from_secs(10),
        }
    }
}

/// How a request's body is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyKind {
    /// `application/json`.
    Json,
    /// `application/x-www-form-urlencoded`, nested names in brackets.
    Form,
    /// `multipart/form-data`: fields and files.
    Multipart,
    /// `text/plain`: a string as it is.
    Text,
    /// None is sent.
    None,
}

/// A request's body and the type it has.
type Written = (Bytes, Option<HeaderValue>);

/// How much a call takes of each limit that holds for its endpoint.
#[derive(Clone, Debug)]
pub enum Cost {
    /// Always as much; 0 takes nothing.
    Fixed(u32),
    /// What the program makes of the step's input.
    By(Program),
}

impl Default for Cost {
    fn default() -> Self {
        Self::Fixed(1)
    }
}

/// One call an integration offers.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// Its name.
    pub name: EndpointName,
    /// The method.
    pub method: Method,
    /// The path below the integration's base URL.
    pub path: PathTemplate,
    /// How the body is written.
    pub body: BodyKind,
    /// Headers of every request, the integration's among them.
    pub headers: HeaderMap,
    /// Makes path, query, headers and body from the step's input.
    pub request: Option<Program>,
    /// Makes the step's result from the answer.
    pub response: Option<Program>,
    /// The provider's rules, first match first.
    pub rules: Vec<Rule>,
    /// What successful answers should look like.
    pub schema: Option<ResponseSchema>,
    /// The header that tells the provider the time left, in milliseconds.
    pub deadline_header: Option<HeaderName>,
    /// What makes a resend harmless.
    pub resend: Resend,
    /// The header that carries the idempotency key.
    pub key_header: Option<HeaderName>,
    /// Whether its provider can be asked whether it has acted.
    pub verified: bool,
    /// How long each part may take.
    pub timeouts: Timeouts,
    /// How it is tried again: the integration's retries, with what the endpoint overrides.
    pub retry: Arc<RetrySpec>,
    /// How much a call takes of the limits.
    pub cost: Cost,
    /// The most redirects followed, to the same origin only; a further one is a refusal.
    pub follow_redirects: u8,
}

/// A request as every attempt of a step sends it, but for credentials.
#[derive(Clone)]
pub struct Materialised {
    /// The method.
    pub method: Method,
    /// The path, percent-encoded, with the query.
    pub path_and_query: String,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

/// Shows what it is and how much, and nothing that travels.
impl fmt::Debug for Materialised {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (headers, body) = (self.headers.len(), self.body.len());
        write!(f, "Materialised({}, {headers} headers, {body} bytes)", self.method)
    }
}

/// An answer, as received.
#[derive(Clone, Copy, Debug)]
pub struct Answer<'a> {
    /// The status.
    pub status: u16,
    /// The headers.
    pub headers: &'a HeaderMap,
    /// The body.
    pub body: &'a Bytes,
    /// When it was received.
    pub at: Wall,
    /// Whether its request sent an idempotency key that an earlier attempt had sent already.
    pub resends_key: bool,
}

impl Endpoint {
    /// What a call of it keeps to the end, whatever is configured meanwhile.
    pub fn call_rules(&self) -> CallRules {
        CallRules { resend: self.resend, retry: Arc::clone(&self.retry) }
    }

    /// Writes the request for a step's input; `key` goes into the key header, where there is one.
    ///
    /// # Errors
    /// `internal`: the mapping failed, or yielded what cannot be sent.
    pub fn materialise(
        &self,
        input: &Json,
        run: &RunView<'_>,
        key: Option<&str>,
    ) -> Result<Materialised, Failure> {
        let mut headers = self.headers.clone();
        let (path_and_query, (body, kind)) = match &self.request {
            None => (
                self.path.fill(&[], &[]).map_err(|error| self.unmappable(&error))?,
                self.pass_through(input)?,
            ),
            Some(program) => {
                let source = Input::json(input).map_err(|error| self.unmappable(&error))?;
                let parts = program
                    .request(&source, &Vars::request(run, key))
                    .map_err(|error| self.unmappable(&error))?;
                for (name, value) in &parts.headers {
                    self.set_header(&mut headers, name, value)?;
                }
                let path =
                    self.path.fill(&parts.path, &parts.query).map_err(|error| self.unmappable(&error))?;
                (path, parts.body.map_or(Ok((Bytes::new(), None)), |body| self.write_body(&body))?)
            }
        };
        match kind {
            // Only it knows its boundary.
            Some(kind) if self.body == BodyKind::Multipart => {
                headers.insert(header::CONTENT_TYPE, kind);
            }
            Some(kind) if !body.is_empty() => {
                headers.entry(header::CONTENT_TYPE).or_insert(kind);
            }
            Some(_) | None => {}
        }
        if let (Some(name), Some(key)) = (&self.key_header, key) {
            let value = HeaderValue::from_str(key).map_err(|error| self.unmappable(&error))?;
            headers.insert(name.clone(), value);
        }
        Ok(Materialised { method: self.method.clone(), path_and_query, headers, body })
    }

    fn pass_through(&self, input: &Json) -> Result<Written, Failure> {
        match self.body {
            BodyKind::None => Ok((Bytes::new(), None)),
            BodyKind::Json | BodyKind::Form | BodyKind::Multipart | BodyKind::Text => self.write_body(input),
        }
    }

    fn write_body(&self, body: &Json) -> Result<Written, Failure> {
        let typed = |kind: &'static str| Some(HeaderValue::from_static(kind));
        match self.body {
            BodyKind::Json => Ok((body.bytes().clone(), typed("application/json"))),
            BodyKind::Form => {
                let form = form::encode(body).map_err(|error| self.unmappable(&error))?;
                Ok((form, typed("application/x-www-form-urlencoded")))
            }
            BodyKind::Multipart => {
                let (parts, boundary) = multipart::encode(body).map_err(|error| self.unmappable(&error))?;
                let kind = HeaderValue::try_from(format!("multipart/form-data; boundary={boundary}"));
                Ok((parts, Some(kind.map_err(|error| self.unmappable(&error))?)))
            }
            BodyKind::Text => {
                let text: String = serde_json::from_str(body.as_str())
                    .map_err(|_| self.unmappable(&"a text body is made from a string"))?;
                Ok((Bytes::from(text), typed("text/plain; charset=utf-8")))
            }
            BodyKind::None => Err(self.unmappable(&"the mapping yields a body, but the endpoint sends none")),
        }
    }

    fn set_header(&self, headers: &mut HeaderMap, name: &str, value: &str) -> Result<(), Failure> {
        let name = HeaderName::try_from(name).map_err(|error| self.unmappable(&error))?;
        if framing(&name) {
            return Err(self.unmappable(&format_args!("the header `{name}` is not a mapping's to set")));
        }
        let value = HeaderValue::from_str(value).map_err(|_| {
            self.unmappable(&format_args!("the value of header `{name}` has a control character"))
        })?;
        headers.insert(name, value);
        Ok(())
    }

    fn unmappable(&self, error: &dyn fmt::Display) -> Failure {
        let message = format!("writing the request of endpoint `{}`: {error}", self.name);
        Failure::new(ErrorClass::Internal, "request_mapping_failed", message)
    }

    /// Reads an answer.
    ///
    /// # Errors
    /// The [`Failure`] that the provider's rules, or else the status, make of it.
    pub fn interpret(&self, answer: &Answer<'_>, sanitiser: &Sanitiser) -> Result<Json, Failure> {
        let success = (200..=299).contains(&answer.status);
        let coding = answer.headers.get(header::CONTENT_ENCODING);
        if let Some(coding) = coding.filter(|coding| *coding != "identity") {
            return Err(self.encoded(answer, coding, sanitiser));
        }
        if self.rules.is_empty() && self.response.is_none() && success {
            self.hold(answer)?;
            return self.untouched(answer);
        }
        let input = Input::response(answer.status, answer.headers, answer.body);
        if let Ruling::Failure(failure) = self.rule(answer, &input, sanitiser) {
            return Err(failure);
        }
        self.hold(answer)?;
        let Some(program) = &self.response else { return self.untouched(answer) };
        if let Some(kind) = self.unfit_type(answer, &input) {
            return Err(self.unreadable(answer, "unexpected_content_type", &kind));
        }
        program
            .value(&input, &Vars::default())
            .map_err(|error| self.unreadable(answer, "response_mapping_failed", &error))
    }

    /// Where a successful answer breaks its schema. What comes of it is [`SchemaMode`]'s; [`Self::interpret`] fails
    /// one under `enforce` itself.
    pub fn breach(&self, answer: &Answer<'_>) -> Option<(SchemaMode, Breach)> {
        let schema = self.schema.as_ref()?;
        schema.check(answer.body).err().map(|breach| (schema.mode(), breach))
    }

    fn hold(&self, answer: &Answer<'_>) -> Result<(), Failure> {
        if !self.schema.as_ref().is_some_and(|schema| schema.mode() == SchemaMode::Enforce) {
            return Ok(());
        }
        match self.breach(answer) {
            Some((_, breach)) => Err(self.unreadable(answer, SCHEMA_VIOLATED, &breach)),
            None => Ok(()),
        }
    }

    /// A page for people where a document is mapped, or JSON that is none: a proxy's answer, not the provider's.
    fn unfit_type(&self, answer: &Answer<'_>, input: &Input) -> Option<&'static str> {
        let media = |headers: &HeaderMap, name| {
            let text = headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
            text.to_ascii_lowercase()
        };
        let kind = media(answer.headers, header::CONTENT_TYPE);
        let kind = kind.split(';').next().unwrap_or_default().trim();
        let asked = media(&self.headers, header::ACCEPT);
        if kind == "text/html" && !asked.contains("html") {
            return Some(
                "the answer is an HTML page; write headers = { Accept = \"text/html\" } if that is meant",
            );
        }
        let json = kind == "application/json" || kind.ends_with("+json");
        (json && input.is_unread(answer.body))
            .then_some("the answer says that it is JSON, and is not, or is nested too deep")
    }

    fn untouched(&self, answer: &Answer<'_>) -> Result<Json, Failure> {
        if answer.body.is_empty() {
            return Ok(Json::NULL);
        }
        Json::parse(answer.body.clone()).map_err(|error| self.unreadable(answer, "response_not_json", &error))
    }

    /// The failure that the status alone makes of an answer.
    fn refused(&self, answer: &Answer<'_>, sanitiser: &Sanitiser) -> Failure {
        self.refused_with(answer, retry::retry_after(answer.headers, answer.at), sanitiser)
    }

    fn refused_with(&self, answer: &Answer<'_>, wait: Option<Duration>, sanitiser: &Sanitiser) -> Failure {
        let class =
            classify::answered(self.resend.safety(), answer.status, wait.is_some(), answer.resends_key)
                .unwrap_or(ErrorClass::InvalidResponse);
        let wait = wait.or_else(|| self.reset(class, answer.headers, answer.at));
        let message = message::of(answer, sanitiser);
        Failure::new(class, format!("http_{}", answer.status), message)
            .status(Some(answer.status))
            .retry_after(wait)
    }

    /// Only `identity` is asked for. What comes otherwise is a text to the rules that has no fields, and no source of
    /// words for people.
    fn encoded(&self, answer: &Answer<'_>, coding: &HeaderValue, sanitiser: &Sanitiser) -> Failure {
        let input = Input::response(answer.status, answer.headers, answer.body);
        let wordless = Answer { body: &Bytes::new(), ..*answer };
        if let Ruling::Failure(failure) = self.rule(&wordless, &input, sanitiser) {
            return failure;
        }
        let shown = sanitiser.text(coding.to_str().unwrap_or("?"), 32);
        let message = format!("the provider answered with content coding `{shown}`, which was not asked for");
        self.unreadable(answer, "unexpected_content_encoding", &message)
    }

    fn unreadable(&self, answer: &Answer<'_>, code: &'static str, error: &dyn fmt::Display) -> Failure {
        let message = format!("reading the response of endpoint `{}`: {error}", self.name);
        Failure::new(ErrorClass::InvalidResponse, code, message).status(Some(answer.status))
    }

    /// The failure of an exchange that broke before its response was whole. `head` is what had arrived of it by then:
    /// status, headers, and when.
    pub fn broken(
        &self,
        reason: Reason,
        phase: Phase,
        head: Option<(u16, &HeaderMap, Wall)>,
        message: String,
    ) -> Failure {
        let wait = head.and_then(|(_, headers, at)| retry::retry_after(headers, at));
        let status = head.map(|(status, ..)| status);
        let by_status = |status| {
            classify::answered(self.resend.safety(), status, wait.is_some(), false)
                .unwrap_or(ErrorClass::InvalidResponse)
        };
        let class = match status {
            // Too many words do not undo what the status says; a refusal is one, whatever became of its words.
            Some(status) if reason == Reason::BodyTooLarge => by_status(status),
            Some(status @ (425 | 429)) => by_status(status),
            Some(503) if wait.is_some() => by_status(503),
            Some(_) | None => classify::broken(self.resend.safety(), reason, phase),
        };
        let reset = || head.and_then(|(_, headers, at)| self.reset(class, headers, at));
        let wait = wait.or_else(reset);
        Failure::new(class, reason.as_str(), message).because(reason).status(status).retry_after(wait)
    }

    /// When a used-up budget is full again, by the headers that the retries name. They come with other answers too,
    /// and mean no wait there.
    fn reset(&self, class: ErrorClass, headers: &HeaderMap, at: Wall) -> Option<Duration> {
        let used_up = class == ErrorClass::RateLimited;
        used_up.then(|| retry::wait_named(headers, &self.retry.reset_headers, at)).flatten()
    }
}

/// Headers that frame the message or belong to the connection, and are written with it: HTTP/1 framing, RFC 9110 §7.6.1,
/// and forbidden in HTTP/2 (RFC 9113 §8.2.2).
const FRAMING: [&str; 9] = [
    "connection",
    "content-length",
    "host",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Whether it is such a header: never a mapping's or a file's to set.
pub fn framing(name: &HeaderName) -> bool {
    FRAMING.contains(&name.as_str())
}

#[cfg(test)]
mod tests;
