//! `causeway call OPERATION JSON`: runs an operation on a server. Where the server asks for a key, it is read from
//! `CAUSEWAY_CLIENT_KEY`.
//!
//! Its result goes to standard output, on a terminal and into a pipe alike, and how the run went to standard error: what
//! a pipe reads is what one has seen. `--json` prints the server's whole answer instead, good or bad.

use std::io::Read;
use std::time::Duration;

use causeway_core::priority::Priority;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use super::client::{Api, Ask, Server, block_on, segment};
use super::screen::{Colour, Screen, Tone, Words, between, count, span};
use super::{CommandError, output};
use crate::settings::{duration, nearest};

/// How long a call waits beyond its own deadline, or without one.
const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  causeway call payments.charge '{\"amount\":1250,\"currency\":\"eur\",\"source\":\"tok_visa\"}'
  causeway call payments.charge - --deadline 5s --idempotency-key order-17 < charge.json
  causeway call payments.balance '{}' | jq .available
  causeway call payments.charge \"$input\" --json | jq -r '.status, .steps[].attempts'

The result goes to standard output, how the run went to standard error. A run that fails prints no result and exits
with 1. A key, where the server asks for one, is read from CAUSEWAY_CLIENT_KEY.")]
pub(super) struct Args {
    /// The operation, as in `payments.charge` or `payments.charge@1`.
    operation: String,
    /// Its input; `-` reads it from standard input.
    #[arg(value_name = "JSON")]
    input: String,
    /// How long the run may take in all (`500ms`, `8s`); the operation's own deadline holds too.
    #[arg(long, value_name = "DURATION", value_parser = deadline)]
    deadline: Option<Duration>,
    /// What links the run to the event behind it.
    #[arg(long, value_name = "ID")]
    correlation_id: Option<String>,
    /// What tells it from others: asked again with the same key, it is answered the same and done once. Without one, a
    /// new one is made.
    #[arg(long, value_name = "KEY")]
    idempotency_key: Option<String>,
    /// Before which other calls it goes, where there is a queue.
    #[arg(long, value_parser = Priority::ALL.map(Priority::as_str))]
    priority: Option<String>,
    /// Where the business API listens.
    #[arg(long, env = "CAUSEWAY_URL", default_value = "http://127.0.0.1:8080")]
    url: String,
    /// Print the server's whole answer as JSON: the outcome, or the problem.
    #[arg(long)]
    json: bool,
    /// Use colours.
    #[arg(long, value_enum, value_name = "WHEN", default_value_t)]
    color: Colour,
}

fn deadline(text: &str) -> Result<Duration, String> {
    let read = duration(text).filter(|deadline| !deadline.is_zero());
    read.ok_or_else(|| "write a duration such as 500ms, 8s or 1m".to_owned())
}

/// An outcome document, as far as it is told.
#[derive(Deserialize)]
struct Outcome<'a> {
    id: String,
    operation: String,
    version: u32,
    correlation_id: String,
    status: String,
    #[serde(default)]
    degraded: bool,
    /// As it was written: a price is no float.
    #[serde(borrow)]
    result: &'a RawValue,
    steps: Vec<Step>,
    created_at: String,
    finished_at: Option<String>,
}

#[derive(Deserialize)]
struct Step {
    name: String,
    integration: String,
    endpoint: String,
    status: String,
    attempts: usize,
    duration_ms: u64,
    served_by: Option<String>,
    error: Option<Failure>,
}

#[derive(Deserialize)]
struct Failure {
    code: String,
    message: String,
}

/// A problem with a run.
#[derive(Deserialize)]
struct Problem<'a> {
    #[serde(borrow)]
    run: Option<Outcome<'a>>,
}

pub(super) fn run(args: &Args) -> Result<(), CommandError> {
    let input = input(&args.input)?;
    let server = Server::at(Api::Business, &args.url);
    let purpose = format!("calling {}", args.operation);
    let mut ask = Ask::post(purpose, format!("/v1/operations/{}", segment(&args.operation)), input);
    ask.headers.extend(args.deadline.map(|deadline| ("X-Deadline-Ms", deadline.as_millis().to_string())));
    ask.headers.extend(args.correlation_id.clone().map(|id| ("X-Correlation-Id", id)));
    ask.headers.extend(args.priority.clone().map(|priority| ("X-Priority", priority)));
    let key = args.idempotency_key.clone().unwrap_or_else(|| uuid::Uuid::new_v4().to_string());
    ask.headers.push(("Idempotency-Key", key));
    ask.patience = PATIENCE + args.deadline.unwrap_or_default();
    let answer = block_on(server.send(&ask))?;
    let good = answer.status.is_success();
    if args.json {
        output::show_json(&answer.body)?;
        return if good { Ok(()) } else { Err(server.refused(&ask, &answer)) };
    }
    let screen = Screen::of_notes(args.color);
    if good {
        let outcome: Outcome<'_> =
            serde_json::from_str(&answer.body).map_err(|error| server.unreadable(&ask, &error))?;
        output::note(&summary(&outcome, screen));
        return output::show_json(outcome.result.get());
    }
    if let Ok(Problem { run: Some(outcome) }) = serde_json::from_str(&answer.body) {
        output::note(&summary(&outcome, screen));
    }
    if answer.code().as_deref() == Some("unknown_operation")
        && let Ok(Some(near)) = block_on(nearest_of(&server, &args.operation))
    {
        output::note(&format!("Did you mean `{near}`?"));
    }
    Err(server.refused(&ask, &answer))
}

/// An operation as the catalogue tells it, as far as a name goes.
#[derive(Deserialize)]
struct Listed {
    operation: String,
}

/// A page of the catalogue.
#[derive(Deserialize)]
struct Catalogue {
    items: Vec<Listed>,
}

/// Of the operations that the caller may run, on the catalogue's first page, the one whose name `operation` is most
/// likely a slip of.
async fn nearest_of(server: &Server<'_>, operation: &str) -> Result<Option<String>, CommandError> {
    let ask = Ask::get("listing the operations", "/v1/operations?limit=100");
    let body = server.get(&ask).await?;
    let catalogue: Catalogue = server.read(&ask, &body)?;
    let name = operation.split('@').next().unwrap_or(operation);
    let names = catalogue.items.iter().map(|listed| listed.operation.as_str());
    Ok(nearest(name, names.filter(|known| slips(name, known))).map(str::to_owned))
}

/// Whether each part of the name may be a slip of the other's: a long part that is equal makes up for no other.
fn slips(name: &str, known: &str) -> bool {
    let parts = |name: &str| name.split('.').count();
    parts(name) == parts(known)
        && name.split('.').zip(known.split('.')).all(|(part, known)| nearest(part, [known]).is_some())
}

/// The input, which must be JSON.
fn input(argument: &str) -> Result<String, CommandError> {
    let mut text = argument.to_owned();
    if text == "-" {
        text.clear();
        let read = std::io::stdin().read_to_string(&mut text);
        read.map_err(|error| CommandError::Usage(format!("reading standard input: {error}")))?;
    }
    serde_json::from_str::<IgnoredAny>(&text).map_err(|error| {
        let example = r#"quote it for the shell, as in '{"amount":1250}'"#;
        CommandError::Usage(format!(
            "the input is no JSON: {error}; {example}, or `-` to read it from standard input"
        ))
    })?;
    Ok(text)
}

/// How the run went: itself in a line, then its steps.
fn summary(outcome: &Outcome<'_>, screen: Screen) -> String {
    let Outcome { operation, version, id, correlation_id, status, .. } = outcome;
    let took = outcome.finished_at.as_ref().and_then(|finished| between(&outcome.created_at, finished));
    let took = took.map_or_else(String::new, |millis| format!(" in {}", span(millis)));
    let degraded = if outcome.degraded { ", degraded" } else { "" };
    let status = screen.word(&Words::toned(status, tone(status)));
    let named = |text: &str| Words::new(text);
    let head = format!(
        "{}@{version}: {status}{degraded}{took}; run {}, correlation id {}",
        screen.word(&named(operation)),
        screen.word(&named(id)),
        screen.word(&named(correlation_id)),
    );
    if outcome.steps.is_empty() {
        return head;
    }
    let steps = screen.table(&[], outcome.steps.iter().map(row).collect());
    let steps: Vec<String> = steps.lines().map(|line| format!("  {line}")).collect();
    format!("{head}\n{}", steps.join("\n"))
}

fn row(step: &Step) -> Vec<Words> {
    let served = step.served_by.as_deref().filter(|by| *by != "primary").map(|by| format!("served by: {by}"));
    let failed = step.error.as_ref().map(|error| format!("{}: {}", error.code, error.message));
    vec![
        Words::new(&step.name),
        Words::new(&format!("{}.{}", step.integration, step.endpoint)),
        Words::toned(&step.status, tone(&step.status)),
        Words::new(&count(step.attempts, "attempt")),
        Words::new(&span(step.duration_ms)),
        Words::new(&[served, failed].into_iter().flatten().collect::<Vec<_>>().join("; ")),
    ]
}

/// Of a run's status, or a step's.
fn tone(status: &str) -> Tone {
    match status {
        "succeeded" => Tone::Good,
        "failed" | "unknown" => Tone::Bad,
        "partial" | "cancelled" | "undone" => Tone::Doubtful,
        _ => Tone::Neutral,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_summary_tells_the_run_and_each_step() {
        let document = r#"{
            "id": "run_1", "operation": "orders.place", "version": 2, "correlation_id": "order-7", "status": "partial",
            "degraded": true, "result": {"total":12.10},
            "steps": [
                {"name": "charge", "integration": "stripe", "endpoint": "create_charge", "status": "succeeded",
                 "attempts": 2, "duration_ms": 182, "served_by": "primary", "error": null},
                {"name": "rates", "integration": "ecb", "endpoint": "get", "status": "succeeded",
                 "attempts": 0, "duration_ms": 1, "served_by": "stale", "error": null},
                {"name": "mail", "integration": "postmark", "endpoint": "send", "status": "failed", "attempts": 1,
                 "duration_ms": 1200, "served_by": null, "error": {"code": "http_500", "message": "it\u001b[2J failed"}}
            ],
            "error": null, "created_at": "2026-11-24T03:20:00Z", "finished_at": "2026-11-24T03:20:01.4Z" }"#;
        let outcome: Outcome<'_> = serde_json::from_str(document).unwrap();
        assert_eq!(outcome.result.get(), r#"{"total":12.10}"#);
        let expected = "\
orders.place@2: partial, degraded in 1.4 s; run run_1, correlation id order-7
  charge  stripe.create_charge  succeeded  2 attempts  182 ms
  rates   ecb.get               succeeded  0 attempts  1 ms    served by: stale
  mail    postmark.send         failed     1 attempt   1.2 s   http_500: it\\u{1b}[2J failed";
        assert_eq!(summary(&outcome, Screen::default()), expected);
    }

    #[test]
    fn input_that_is_no_json_is_not_sent() {
        assert_eq!(input(r#"{"amount":12.10}"#).unwrap(), r#"{"amount":12.10}"#);
        for text in ["", "{amount:1}", "{} {}"] {
            let Err(CommandError::Usage(message)) = input(text) else { panic!("{text}") };
            assert!(message.starts_with("the input is no JSON: "), "{message}");
        }
        assert!(deadline("0s").is_err() && deadline("soon").is_err() && deadline("8s").is_ok());
    }
}
