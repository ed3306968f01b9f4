//! Every error answer, as RFC 9457 (`application/problem+json`) tells it.
//!
//! A [`Problem`] has a stable `code`; status and title follow from it. Where a run exists its outcome document is part
//! of the answer, so that nothing that is known about it is kept from the caller.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use actix_web::body::BoxBody;
use actix_web::http::{StatusCode, header};
use actix_web::{HttpRequest, HttpResponse, ResponseError};
use causeway_actors::plan::whole_seconds;
use causeway_actors::router::{STORE_UNAVAILABLE, Standing};
use causeway_actors::store::Unavailable;
use causeway_core::failure::{ErrorClass, Failure};
use causeway_core::operation::{Outcome, RunStatus, UNDO_FAILED};
use causeway_core::schema::Violation;
use serde::Serialize;

use super::context;
use crate::settings::Finding;

/// The media type of a problem.
pub const MEDIA_TYPE: &str = "application/problem+json";

/// Whether the same request may help later, and cannot do harm.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Again {
    Retryable,
    Final,
}

/// One row a code: its status, its title, and whether it is worth trying again.
macro_rules! codes {
    ($($(#[$doc:meta])+ $code:ident: $status:ident, $title:literal, $again:ident;)+) => {
        /// What went wrong, as a closed set: the code is its name in snake case.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
        #[serde(rename_all = "snake_case")]
        pub enum Code {
            $($(#[$doc])+ $code,)+
        }

        impl Code {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$code,)+];

            /// The status that it is answered with.
            pub const fn status(self) -> StatusCode {
                match self {
                    $(Self::$code => StatusCode::$status,)+
                }
            }

            /// What it is, in a few words.
            pub const fn title(self) -> &'static str {
                match self {
                    $(Self::$code => $title,)+
                }
            }

            const fn again(self) -> Again {
                match self {
                    $(Self::$code => Again::$again,)+
                }
            }
        }
    };
}

codes! {
    /// The request is not what this API takes.
    MalformedRequest: BAD_REQUEST, "The request is malformed", Final;
    /// A web page of another origin asks.
    ForeignOrigin: FORBIDDEN, "Web pages may not call this API", Final;
    /// There is no key, or a wrong one.
    Unauthenticated: UNAUTHORIZED, "A key is needed", Final;
    /// The key does not allow it.
    Forbidden: FORBIDDEN, "The key does not allow this", Final;
    /// Too many wrong keys have come from there.
    LockedOut: TOO_MANY_REQUESTS, "Too many wrong keys", Retryable;
    /// The client calls too often, or has too much under way.
    TooManyRequests: TOO_MANY_REQUESTS, "The client calls too much", Retryable;
    /// There is no such page.
    NotFound: NOT_FOUND, "There is nothing here", Final;
    /// The path has another method.
    MethodNotAllowed: METHOD_NOT_ALLOWED, "The path has another method", Final;
    /// There is no such operation, or not in this version.
    UnknownOperation: NOT_FOUND, "There is no such operation", Final;
    /// There is no such run, or it is forgotten.
    UnknownRun: NOT_FOUND, "There is no such run", Final;
    /// There is no such bulk redrive, or it is forgotten.
    UnknownRedrive: NOT_FOUND, "There is no such redrive", Final;
    /// There is no such attempt, or it is forgotten.
    UnknownAttempt: NOT_FOUND, "There is no such attempt", Final;
    /// There is no such integration.
    UnknownIntegration: NOT_FOUND, "There is no such integration", Final;
    /// The body did not come in time.
    RequestTimeout: REQUEST_TIMEOUT, "The request did not come in time", Retryable;
    /// The body is too large.
    BodyTooLarge: PAYLOAD_TOO_LARGE, "The request body is too large", Final;
    /// The body is not JSON.
    UnsupportedMediaType: UNSUPPORTED_MEDIA_TYPE, "The request body must be JSON", Final;
    /// What the files of the configuration say is wrong.
    WrongConfiguration: UNPROCESSABLE_ENTITY, "The configuration is wrong", Final;
    /// The operation wants a key, and there is none.
    IdempotencyKeyRequired: BAD_REQUEST, "An idempotency key is needed", Final;
    /// The key was used for something else.
    IdempotencyKeyReused: UNPROCESSABLE_ENTITY, "The idempotency key belongs to another request", Final;
    /// The run of the same key is under way.
    RunInFlight: CONFLICT, "The same request is under way", Retryable;
    /// The run cannot be taken up again.
    NotReopened: CONFLICT, "The run is not taken up again", Final;
    /// The call of an attempt is not made again.
    NotReplayed: CONFLICT, "The call is not made again", Final;
    /// The store does not take anything.
    StoreUnavailable: SERVICE_UNAVAILABLE, "The store is not available", Retryable;
    /// The operation's input does not look as its schema says.
    InvalidInput: UNPROCESSABLE_ENTITY, "The input breaks the operation's schema", Final;
    /// The run was cancelled.
    Cancelled: CONFLICT, "The run was cancelled", Retryable;
    /// The provider refuses the request.
    ProviderRefused: UNPROCESSABLE_ENTITY, "The provider refuses the request", Final;
    /// The provider asks for patience.
    RateLimited: TOO_MANY_REQUESTS, "The provider asks for patience", Retryable;
    /// A rate budget has no token in time.
    Throttled: TOO_MANY_REQUESTS, "The rate budget is used up", Retryable;
    /// Our own mapping, configuration or code failed.
    Internal: INTERNAL_SERVER_ERROR, "Causeway failed", Final;
    /// It asks for what this version does not have.
    NotImplemented: NOT_IMPLEMENTED, "This version cannot do that", Final;
    /// The provider failed.
    ProviderFailed: BAD_GATEWAY, "The provider failed", Retryable;
    /// The provider's answer could not be used.
    InvalidResponse: BAD_GATEWAY, "The provider's answer could not be used", Final;
    /// Credentials or certificates were not accepted.
    Credential: BAD_GATEWAY, "Credentials were not accepted", Final;
    /// The breaker refuses calls.
    BreakerOpen: SERVICE_UNAVAILABLE, "The circuit breaker is open", Retryable;
    /// There is no room.
    Overloaded: SERVICE_UNAVAILABLE, "There is no room for another call", Retryable;
    /// The server is stopping.
    Draining: SERVICE_UNAVAILABLE, "The server is stopping", Retryable;
    /// The time was up, and nothing is in doubt.
    DeadlineExceeded: GATEWAY_TIMEOUT, "The deadline passed", Retryable;
    /// It is not known whether the provider has acted.
    OutcomeUnknown: GATEWAY_TIMEOUT, "It is not known whether the provider has acted", Final;
    /// The time was up, and the run goes on.
    OutcomePending: GATEWAY_TIMEOUT, "The deadline passed and the run goes on", Final;
}

impl Code {
    /// Whether the same request may help later, and cannot do harm.
    pub fn retryable(self) -> bool {
        self.again() == Again::Retryable
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
    errors: Errors,
    /// The method that the path has.
    allow: Option<Only>,
}

/// The method that a path has.
#[derive(Clone, Copy, Debug)]
pub(super) enum Only {
    Get,
    Post,
    GetOrDelete,
    GetOrPost,
}

impl Only {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::GetOrDelete => "GET, DELETE",
            Self::GetOrPost => "GET, POST",
        }
    }
}

/// Everything that is wrong, one by one.
#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
enum Errors {
    None,
    Findings(Vec<Finding>),
    Violations(Vec<Violation>),
}

impl Errors {
    const fn is_none(&self) -> bool {
        matches!(self, Self::None)
    }
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
    #[serde(skip_serializing_if = "Errors::is_none")]
    errors: &'a Errors,
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
            errors: Errors::None,
            allow: None,
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
        self.errors = Errors::Findings(errors);
        self
    }

    /// The same, with everything that is wrong with the input.
    #[must_use]
    pub fn violations(mut self, errors: Vec<Violation>) -> Self {
        self.errors = Errors::Violations(errors);
        self
    }

    /// The same, with the run that it is about, as it stands.
    #[must_use]
    pub fn so_far(mut self, run: Option<Arc<Outcome>>) -> Self {
        self.run = run.map(|run| Box::new(Arc::unwrap_or_clone(run)));
        self
    }

    /// Of a run that did not succeed.
    pub fn of_run(outcome: Outcome, standing: Standing) -> Self {
        let failure = outcome.error.as_ref();
        let code = match outcome.status {
            _ if standing == Standing::Pending => Code::OutcomePending,
            RunStatus::Unknown => Code::OutcomeUnknown,
            RunStatus::Cancelled => Code::Cancelled,
            RunStatus::Failed
            | RunStatus::Accepted
            | RunStatus::Running
            | RunStatus::Waiting
            | RunStatus::Succeeded
            | RunStatus::Partial => match failure {
                Some(failure) if failure.code == STORE_UNAVAILABLE => Code::StoreUnavailable,
                failure => Code::of(failure.map_or(ErrorClass::Internal, |failure| failure.class)),
            },
        };
        let mut problem = Self::new(code, detail(code, &outcome, failure));
        // To be told when to come back is to be asked to.
        problem.retry_after = wait(code, failure).filter(|_| !outcome.has_lasting_effects());
        problem.correlation_id = Some(outcome.correlation_id.as_str().to_owned());
        problem.run = Some(Box::new(outcome));
        problem
    }

    /// The status and the body of the answer.
    pub(super) fn written(&self) -> (StatusCode, Vec<u8>) {
        (self.code.status(), serde_json::to_vec(&self.document()).unwrap_or_default())
    }

    fn document(&self) -> Document<'_> {
        Document {
            r#type: format!("/docs/errors/{}", self.code),
            title: self.code.title(),
            status: self.code.status().as_u16(),
            detail: &self.detail,
            code: self.code,
            // To ask again for what is under way is no repetition.
            retryable: self.code.retryable()
                && (self.code == Code::RunInFlight
                    || !self.run.as_ref().is_some_and(|run| run.has_lasting_effects())),
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
             outcome"
        ),
        (Code::OutcomeUnknown, Some(failure)) if failure.code == UNDO_FAILED => failure.message.to_string(),
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
    let refused_here = matches!(
        code,
        Code::RateLimited | Code::Throttled | Code::BreakerOpen | Code::Overloaded | Code::StoreUnavailable
    );
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
        if let Some(method) = self.allow {
            response.insert_header((header::ALLOW, method.as_str()));
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

/// Answers a method that a path does not have.
pub(super) fn other_method(request: &HttpRequest, method: Only) -> Result<HttpResponse, Problem> {
    let detail =
        format!("{} has no {}, but {}", printable(request.path()), request.method(), method.as_str());
    let problem = Problem { allow: Some(method), ..Problem::new(Code::MethodNotAllowed, detail) };
    Err(problem.correlated(context::correlation_id(request).as_str()))
}

/// The first part of a path or name, for an error message.
pub(super) fn printable(text: &str) -> String {
    text.chars().take(128).flat_map(char::escape_default).collect()
}

/// The store did not answer as it was asked to.
pub(super) fn unavailable(error: &Unavailable) -> Problem {
    Problem::new(Code::StoreUnavailable, error.to_string()).retry_after(Some(Duration::from_secs(1)))
}
