//! One call an integration offers: how its request is written, and how its response is read.
//!
//! [`Endpoint::materialise`] turns a step's input into the bytes that every attempt of it will send;
//! [`Endpoint::interpret`] turns an answer into a result or a [`Failure`]. Where nothing is mapped, bytes pass
//! through untouched. A provider's own rules come before the table in [`crate::classify`].

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, header};

use crate::classify::{self, Phase};
use crate::failure::{ErrorClass, Failure, Reason};
use crate::idempotency::Resend;
use crate::json::Json;
use crate::mapping::{Input, Program, RunView, Vars};
use crate::name::EndpointName;
use crate::retry;
use crate::sanitise::Sanitiser;
use crate::time::Wall;

mod form;
mod message;
mod path;

pub use path::{InvalidPath, PathTemplate};

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
    /// None is sent.
    None,
}

impl BodyKind {
    const fn content_type(self) -> Option<HeaderValue> {
        match self {
            Self::Json => Some(HeaderValue::from_static("application/json")),
            Self::Form => Some(HeaderValue::from_static("application/x-www-form-urlencoded")),
            Self::None => None,
        }
    }
}

/// A provider's own rule: what an answer means when `when` holds.
#[derive(Clone, Debug)]
pub struct Rule {
    /// Whether the rule applies.
    pub when: Program,
    /// The class it gives; without one, the status decides.
    pub class: Option<ErrorClass>,
    /// Extracts the provider's code.
    pub code: Option<Program>,
    /// Extracts the provider's message.
    pub message: Option<Program>,
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
    /// What makes a resend harmless.
    pub resend: Resend,
    /// The header that carries the idempotency key.
    pub key_header: Option<HeaderName>,
    /// How long each part may take.
    pub timeouts: Timeouts,
}

/// A request as every attempt of a step sends it, but for credentials.
#[derive(Clone, Debug)]
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
        let (path_and_query, body) = match &self.request {
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
                (path, parts.body.map_or(Ok(Bytes::new()), |body| self.write_body(&body))?)
            }
        };
        if !body.is_empty()
            && let Some(kind) = self.body.content_type()
        {
            headers.entry(header::CONTENT_TYPE).or_insert(kind);
        }
        if let (Some(name), Some(key)) = (&self.key_header, key) {
            let value = HeaderValue::from_str(key).map_err(|error| self.unmappable(&error))?;
            headers.insert(name.clone(), value);
        }
        Ok(Materialised { method: self.method.clone(), path_and_query, headers, body })
    }

    fn pass_through(&self, input: &Json) -> Result<Bytes, Failure> {
        match self.body {
            BodyKind::None => Ok(Bytes::new()),
            BodyKind::Json | BodyKind::Form => self.write_body(input),
        }
    }

    fn write_body(&self, body: &Json) -> Result<Bytes, Failure> {
        match self.body {
            BodyKind::Json => Ok(body.bytes().clone()),
            BodyKind::Form => form::encode(body).map_err(|error| self.unmappable(&error)),
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

    fn unmappable(&self, error: &dyn std::fmt::Display) -> Failure {
        let message = format!("writing the request of endpoint `{}`: {error}", self.name);
        Failure::new(ErrorClass::Internal, "request_mapping_failed", message)
    }

    /// Reads an answer.
    ///
    /// # Errors
    /// The [`Failure`] that the provider's rules, or else the status, make of it.
    pub fn interpret(&self, answer: &Answer<'_>, sanitiser: &Sanitiser) -> Result<Json, Failure> {
        let success = (200..=299).contains(&answer.status);
        if let Some(coding) =
            answer.headers.get(header::CONTENT_ENCODING).filter(|coding| *coding != "identity")
        {
            return Err(self.encoded(answer, success, coding, sanitiser));
        }
        if self.rules.is_empty() && self.response.is_none() && success {
            return self.untouched(answer);
        }
        let input = Input::response(answer.status, answer.headers, answer.body);
        // A rule that fails on an answer (`.body.error.code` of an HTML page) does not apply to it.
        if let Some(rule) = self.rules.iter().find(|rule| rule.when.truth(&input).unwrap_or(false))
            && (rule.class.is_some() || !success)
        {
            return Err(self.ruled(rule, answer, &input, sanitiser));
        }
        if !success {
            return Err(self.refused(answer, sanitiser));
        }
        let Some(program) = &self.response else { return self.untouched(answer) };
        program
            .value(&input, &Vars::default())
            .map_err(|error| self.unreadable(answer, "response_mapping_failed", &error))
    }

    fn untouched(&self, answer: &Answer<'_>) -> Result<Json, Failure> {
        if answer.body.is_empty() {
            return Ok(Json::NULL);
        }
        Json::parse(answer.body.clone()).map_err(|error| self.unreadable(answer, "response_not_json", &error))
    }

    /// The failure that the status alone makes of an answer.
    fn refused(&self, answer: &Answer<'_>, sanitiser: &Sanitiser) -> Failure {
        let wait = retry::retry_after(answer.headers, answer.at);
        let class =
            classify::answered(self.resend.safety(), answer.status, wait.is_some(), answer.resends_key)
                .unwrap_or(ErrorClass::InvalidResponse);
        let message = message::of(answer, sanitiser);
        Failure::new(class, format!("http_{}", answer.status), message)
            .status(Some(answer.status))
            .retry_after(wait)
    }

    fn ruled(&self, rule: &Rule, answer: &Answer<'_>, input: &Input, sanitiser: &Sanitiser) -> Failure {
        let mut failure = self.refused(answer, sanitiser);
        if let Some(class) = rule.class {
            failure.class = class;
            failure.ruled = true;
        }
        let extract = |program: &Option<Program>| {
            program.as_ref().and_then(|program| program.text(input).ok().flatten())
        };
        if let Some(code) = extract(&rule.code).and_then(|code| message::stable_code(&code)) {
            failure.code = code.into();
        }
        if let Some(text) = extract(&rule.message) {
            failure.message = sanitiser.text(&text, message::MAX_MESSAGE).into();
        }
        failure
    }

    /// Only `identity` is asked for; what comes otherwise cannot be read.
    fn encoded(
        &self,
        answer: &Answer<'_>,
        success: bool,
        coding: &HeaderValue,
        sanitiser: &Sanitiser,
    ) -> Failure {
        let shown = sanitiser.text(coding.to_str().unwrap_or("?"), 32);
        let message = format!("the provider answered with content coding `{shown}`, which was not asked for");
        if success {
            return self.unreadable(answer, "unexpected_content_encoding", &message);
        }
        let empty = Answer { body: &Bytes::new(), ..*answer };
        self.refused(&empty, sanitiser)
    }

    fn unreadable(&self, answer: &Answer<'_>, code: &'static str, error: &dyn std::fmt::Display) -> Failure {
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
        Failure::new(class, reason.as_str(), message).because(reason).status(status).retry_after(wait)
    }
}

/// Headers that frame the message or belong to the connection: never a mapping's or a file's to set.
pub fn framing(name: &HeaderName) -> bool {
    [
        header::HOST,
        header::CONTENT_LENGTH,
        header::TRANSFER_ENCODING,
        header::CONNECTION,
        header::UPGRADE,
        header::TE,
    ]
    .contains(name)
}

#[cfg(test)]
mod tests;
