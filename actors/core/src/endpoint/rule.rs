//! A provider's own rules: what its answers mean, where the status does not say.

use std::time::Duration;

use http::{HeaderMap, HeaderValue, header};
use serde_json::Value;

use super::{Answer, Endpoint, message};
use crate::failure::{ErrorClass, Failure};
use crate::limits::DrainScope;
use crate::mapping::{Input, Program, Vars};
use crate::retry::{self, LONGEST_RETRY_AFTER};
use crate::sanitise::Sanitiser;
use crate::time::Wall;

/// What an answer means when `when` holds. The first rule that holds decides; a rule that fails on an answer
/// (`.body.error.code` of an HTML page) does not hold for it.
#[derive(Clone, Debug)]
pub struct Rule {
    /// Whether the rule applies.
    pub when: Program,
    /// What it makes of the answer; without it, the status decides.
    pub class: Option<Meaning>,
    /// Extracts the provider's code.
    pub code: Option<Program>,
    /// Extracts the provider's message.
    pub message: Option<Program>,
    /// Extracts how long to wait: seconds as a number, or a text as Retry-After has it or such as `30s`.
    pub retry_after: Option<Program>,
    /// Whom a `rate_limited` holds up.
    pub scope: Option<DrainScope>,
}

/// What a rule makes of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// A failure of this class, whatever the status.
    Failure(ErrorClass),
    /// A success, whatever the status: a 404 to a deletion, say.
    Success,
}

/// What rules and status make of an answer.
pub(super) enum Ruling {
    Success,
    Failure(Failure),
}

impl Endpoint {
    /// Asks the rules, then the status.
    pub(super) fn rule(&self, answer: &Answer<'_>, input: &Input, sanitiser: &Sanitiser) -> Ruling {
        let success = (200..=299).contains(&answer.status);
        let rule = self.rules.iter().find(|rule| rule.when.truth(input).unwrap_or(false));
        match (rule, rule.and_then(|rule| rule.class)) {
            (_, Some(Meaning::Success)) => Ruling::Success,
            (Some(rule), Some(Meaning::Failure(class))) => {
                Ruling::Failure(self.ruled(rule, Some(class), answer, input, sanitiser))
            }
            (Some(rule), None) if !success => {
                Ruling::Failure(self.ruled(rule, None, answer, input, sanitiser))
            }
            _ if success => Ruling::Success,
            _ => Ruling::Failure(self.refused(answer, sanitiser)),
        }
    }

    fn ruled(
        &self,
        rule: &Rule,
        class: Option<ErrorClass>,
        answer: &Answer<'_>,
        input: &Input,
        sanitiser: &Sanitiser,
    ) -> Failure {
        let wait = rule.retry_after.as_ref().and_then(|program| wait(program, input, answer.at));
        let mut failure = self.refused_with(
            answer,
            wait.or_else(|| retry::retry_after(answer.headers, answer.at)),
            sanitiser,
        );
        if let Some(class) = class {
            failure.class = class;
            failure.ruled = true;
            failure.retry_after =
                failure.retry_after.or_else(|| self.reset(class, answer.headers, answer.at));
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
        failure.scope.clone_from(&rule.scope);
        failure
    }
}

/// The wait that a program yields; none for what makes no sense, as with Retry-After.
fn wait(program: &Program, input: &Input, now: Wall) -> Option<Duration> {
    let value = program.value(input, &Vars::default()).ok()?;
    let wait = match serde_json::from_str(value.as_str()).ok()? {
        Value::Number(seconds) => Duration::try_from_secs_f64(seconds.as_f64()?).ok()?,
        Value::String(text) => text_wait(text.trim(), now)?,
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => return None,
    };
    (wait <= LONGEST_RETRY_AFTER).then_some(wait)
}

fn text_wait(text: &str, now: Wall) -> Option<Duration> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at_checked(digits)?;
    let millis = match unit {
        "ms" => 1,
        "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => {
            let mut headers = HeaderMap::new();
            headers.insert(header::RETRY_AFTER, HeaderValue::from_str(text).ok()?);
            return retry::retry_after(&headers, now);
        }
    };
    number.parse::<u64>().ok()?.checked_mul(millis).map(Duration::from_millis)
}
