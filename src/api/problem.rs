//! Every error answer, as RFC 9457 (`application/problem+json`) tells it.
//!
//! A [`Problem`] has a stable `code`; status and title follow from it. Where a run exists its outcome document is part
//! of the answer, so that nothing that is known about it is kept from the caller.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use actix_web::body::BoxBody;
use actix_web::http::{StatusCode, header};
use actix_web::{HttpRequest, HttpResponse, ResponseError};
use causeway_actors::plan::whole_seconds;
use causeway_actors::router::Standing;
use causeway_core::failure::{ErrorClass, Failure};
use causeway_core::operation::{Outcome, RunStatus};
use serde::Serialize;

use super::context;
use crate::settings::Finding;

/// The media type of a problem.
pub const MEDIA_TYPE: &str = "application/problem+json";

/// What went wrong, as a closed set: the code is its name in snake case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Code {
    /// The request is not what this API takes.
    MalformedRequest,
    /// A web page of another origin asks.
    ForeignOrigin,
    /// There is no key, or a wrong one.
    Unauthenticated,
    /// The key does not allow it.
    Forbidden,
    /// Too many wrong keys have come from there.
    LockedOut,
    /// The client calls too often, or has too much under way.
    TooManyRequests,
    /// There is no such page.
    NotFound,
    /// There is no such operation, or not in this version.
    UnknownOperation,
    /// There is no such run, or it is forgotten.
    UnknownRun,
    /// There is no such integration.
    UnknownIntegration,
    /// The body did not come in time.
    RequestTimeout,
    /// The body is too large.
    BodyTooLarge,
    /// The body is not JSON.
    UnsupportedMediaType,
    /// What the files of the configuration say is wrong.
    WrongConfiguration,
    /// The run was cancelled.
    Cancelled,
    /// The provider refuses the request.
    ProviderRefused,
    /// The provider asks for patience.
    RateLimited,
    /// A rate budget has no token in time.
    Throttled,
    /// Our own mapping, configuration or code failed.
    Internal,
    /// It asks for what this version does not have.
    NotImplemented,
    /// The provider failed.
    ProviderFailed,
    /// The provider's answer could not be used.
    InvalidResponse,
    /// Credentials or certificates were not accepted.
    Credential,
    /// The breaker refuses calls.
    BreakerOpen,
    /// There is no room.
    Overloaded,
    /// The server is stopping.
    Draining,
    /// The time was up, and nothing is in doubt.
    DeadlineExceeded,
    /// It is not known whether the provider has acted.
    OutcomeUnknown,
    /// The time was up, and the run goes on.
    OutcomePending,
}

impl Code {
    const fn status(self) -> StatusCode {
        match self {
            Self::MalformedRequest => StatusCode::BAD_REQUEST,
            Self::Unauthenticated => StatusCode::UNAUTHORIZED,
            Self::ForeignOrigin | Self::Forbidden => StatusCode::FORBIDDEN,
            Self::NotFound | Self::UnknownOperation | Self::UnknownRun | Self::UnknownIntegration => {
                StatusCode::NOT_FOUND
            }
            Self::RequestTimeout => StatusCode::REQUEST_TIMEOUT,
            Self::Cancelled => StatusCode::CONFLICT,
            Self::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::UnsupportedMediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::ProviderRefused | Self::WrongConfiguration => StatusCode::UNPROCESSABLE_ENTITY,
            Self::RateLimited | Self::Throttled | Self::LockedOut | Self::TooManyRequests => {
                StatusCode::TOO_MANY_REQUESTS
            }
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
            Self::NotImplemented => StatusCode::NOT_IMPLEMENTED,
            Self::ProviderFailed | Self::InvalidResponse | Self::Credential => StatusCode::BAD_GATEWAY,
            Self::BreakerOpen | Self::Overloaded | Self::Draining => StatusCode::SERVICE_UNAVAILABLE,
            Self::DeadlineExceeded | Self::OutcomeUnknown | Self::OutcomePending => {
                StatusCode::GATEWAY_TIMEOUT
            }
        }
    }

    const fn title(self) -> &'static str {
        match self {
            Self::MalformedRequest => "The request is malformed",
            Self::ForeignOrigin => "Web pages may not call this API",
            Self::Unauthenticated => "A key is needed",
            Self::Forbidden => "The key does not allow this",
            Self::LockedOut => "Too many wrong keys",
            Self::TooManyRequests => "The client calls too much",
            Self::NotFound => "There is nothing here",
            Self::UnknownOperation => "There is no such operation",
            Self::UnknownRun => "There is no such run",
            Self::UnknownIntegration => "There is no such integration",
            Self::RequestTimeout => "The request did not come in time",
            Self::BodyTooLarge => "The request body is too large",
            Self::UnsupportedMediaType => "The request body must be JSON",
            Self::WrongConfiguration => "The configuration is wrong",
            Self::Cancelled => "The run was cancelled",
            Self::ProviderRefused => "The provider refuses the request",
            Self::RateLimited => "The provider asks for patience",
            Self::Throttled => "The rate budget is used up",
            Self::Internal => "Causeway failed",
            Self::NotImplemented => "This version cannot do that",
            Self::ProviderFailed => "The provider failed",
            Self::InvalidResponse => "The provider's answer could not be used",
            Self::Credential => "Credentials were not accepted",
            Self::BreakerOpen => "The circuit breaker is open",
            Self::Overloaded => "There is no room for another call",
            Self::Draining => "The server is stopping",
            Self::DeadlineExceeded => "The deadline passed",
            Self::OutcomeUnknown => "It is not known whether the provider has acted",
            Self::OutcomePending => "The deadline passed and the run goes on",
        }
    }

    /// Whether the same request may help later, and cannot do harm.
    const fn retryable(self) -> bool {
        match self {
            Self::RequestTimeout
            | Self::LockedOut
            | Self::TooManyRequests
            | Self::Cancelled
            | Self::RateLimited
            | Self::Throttled
            | Self::ProviderFailed
            | Self::BreakerOpen
            | Self::Overloaded
            | Self::Draining
            | Self::DeadlineExceeded => true,
            Self::MalformedRequest
            | Self::ForeignOrigin
            | Self::Unauthenticated
            | Self::Forbidden
            | Self::NotFound
            | Self::UnknownOperation
            | Self::UnknownRun
            | Self::UnknownIntegration
            | Self::BodyTooLarge
            | Self::UnsupportedMediaType
            | Self::WrongConfiguration
            | Self::ProviderRefused
            | Self::Internal
            | Self::NotImplemented
            | Self::InvalidResponse
            | Self::Credential
            | Self::OutcomeUnknown
            | Self::OutcomePending => false,
        }
    }

    /// Of a run that failed.
    const fn of(class: ErrorClass) -> Self {
        match class {
            ErrorClass::Transient => Self::ProviderFailed,
            ErrorClass::RateLimited => Self::RateLimited,
            ErrorClass::Client => Self::ProviderRefused,
            ErrorClass::Ambiguous => Self::OutcomeUnknown,
            ErrorClass::BreakerOpen => Self::BreakerOpen,
            ErrorClass::Throttled => Self::Throttled,
            ErrorClass::Overloaded => Self::Overloaded,
            ErrorClass::Deadline => Self::DeadlineExceeded,
            ErrorClass::InvalidResponse => Self::InvalidResponse,
            ErrorClass::Credential => Self::Credential,
            ErrorClass::Internal => Self::Internal,
        }
    }
}

/// The code as written.
impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serialize(f)
    }
}

/// An error answer.
#[derive(Clone, Debug)]
pub struct Problem {
    code: Code,
    detail: Cow<'static, str>,
    retry_after: Option<Duration>,
    correlation_id: Option<String>,
    run: Option<Box<Outcome>>,
    errors: Vec<Finding>,
}

#[derive(Serialize)]
struct Document<'a> {
    r#type: String,
    title: &'static str,
    status: u16,
    detail: &'a str,
    code: Code,
    retryable: bool,
    correlation_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    run: Option<&'a Outcome>,
    #[serde(skip_serializing_if = "<[Finding]>::is_empty")]
    errors: &'a [Finding],
}

impl Problem {
    /// A problem of this kind; `detail` tells this case, and what to do.
    pub fn new(code: Code, detail: impl Into<Cow<'static, str>>) -> Self {
        Self {
            code,
            detail: detail.into(),
            retry_after: None,
            correlation_id: None,
            run: None,
            errors: Vec::new(),
        }
    }

    /// The same, with a wait to tell.
    #[must_use]
    pub const fn retry_after(mut self, wait: Option<Duration>) -> Self {
        self.retry_after = wait;
        self
    }

    /// The same, with what links it to the event behind it.
    #[must_use]
    pub fn correlated(mut self, correlation_id: &str) -> Self {
        self.correlation_id = Some(correlation_id.to_owned());
        self
    }

    /// The same, with everything that is wrong with the configuration.
    #[must_use]
    pub fn findings(mut self, errors: Vec<Finding>) -> Self {
        self.errors = errors;
        self
    }

    /// Of a run that did not succeed.
    pub fn of_run(outcome: Outcome, standing: Standing) -> Self {
        let failure = outcome.error.as_ref();
        let code = match outcome.status {
            _ if standing == Standing::Pending => Code::OutcomePending,
            RunStatus::Unknown => Code::OutcomeUnknown,
            RunStatus::Cancelled => Code::Cancelled,
            RunStatus::Failed | RunStatus::Running | RunStatus::Succeeded | RunStatus::Partial => {
                Code::of(failure.map_or(ErrorClass::Internal, |failure| failure.class))
            }
        };
        let mut problem = Self::new(code, detail(code, &outcome, failure));
        // To be told when to come back is to be asked to.
        problem.retry_after = wait(code, failure).filter(|_| !outcome.has_lasting_effects());
        problem.correlation_id = Some(outcome.correlation_id.as_str().to_owned());
        problem.run = Some(Box::new(outcome));
        problem
    }

    fn document(&self) -> Document<'_> {
        Document {
            r#type: format!("/docs/errors/{}", self.code),
            title: self.code.title(),
            status: self.code.status().as_u16(),
            detail: &self.detail,
            code: self.code,
            retryable: self.code.retryable()
                && !self.run.as_ref().is_some_and(|run| run.has_lasting_effects()),
            correlation_id: self.correlation_id.as_deref(),
            run: self.run.as_deref(),
            errors: &self.errors,
        }
    }
}

fn detail(code: Code, outcome: &Outcome, failure: Option<&Failure>) -> String {
    let id = &outcome.id;
    let mut detail = match (code, failure) {
        (Code::OutcomePending, _) => format!(
            "a request that may act is under way, or one is being undone; the run goes on: GET /v1/runs/{id} tells its \
             outcome until a restart, or until many later runs have taken its place"
        ),
        (Code::OutcomeUnknown, Some(failure)) if failure.code == "undo_failed" => failure.message.to_string(),
        (Code::OutcomeUnknown, Some(failure)) => format!(
            "{}; it may or may not have acted: look it up at the provider before you repeat it",
            failure.message
        ),
        (_, Some(failure)) => failure.message.to_string(),
        (Code::Cancelled, None) => "the run was cancelled before it was done".to_owned(),
        (_, None) => "the run ended without a result".to_owned(),
    };
    if code != Code::OutcomePending && outcome.has_lasting_effects() {
        detail.push_str("; what other steps have done stands: see the run");
    }
    detail
}

/// The wait to tell: what is known, and for refusals of our own at least a second.
fn wait(code: Code, failure: Option<&Failure>) -> Option<Duration> {
    let known = failure.and_then(|failure| failure.retry_after);
    let refused_here =
        matches!(code, Code::RateLimited | Code::Throttled | Code::BreakerOpen | Code::Overloaded);
    if refused_here { known.or(Some(Duration::from_secs(1))) } else { known.filter(|_| code.retryable()) }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.detail)
    }
}

impl ResponseError for Problem {
    fn status_code(&self) -> StatusCode {
        self.code.status()
    }

    fn error_response(&self) -> HttpResponse<BoxBody> {
        let mut response = HttpResponse::build(self.code.status());
        response.content_type(MEDIA_TYPE);
        if let Some(wait) = self.retry_after {
            response.insert_header((header::RETRY_AFTER, whole_seconds(wait)));
        }
        if self.code == Code::Unauthenticated {
            response.insert_header((header::WWW_AUTHENTICATE, "Bearer realm=\"causeway\""));
        }
        if let Some(correlation_id) = &self.correlation_id {
            response.insert_header((context::CORRELATION_ID, correlation_id.as_str()));
        }
        response.body(serde_json::to_vec(&self.document()).unwrap_or_default())
    }
}

/// Answers what no route takes.
pub(super) async fn no_such_page(request: HttpRequest) -> Result<HttpResponse, Problem> {
    let detail = format!("there is no {} {}", request.method(), printable(request.path()));
    Err(Problem::new(Code::NotFound, detail).correlated(context::correlation_id(&request).as_str()))
}

/// The first part of a path or name, for an error message.
pub(super) fn printable(text: &str) -> String {
    text.chars().take(128).flat_map(char::escape_default).collect()
}
