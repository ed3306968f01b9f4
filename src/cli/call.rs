//! `causeway call OPERATION JSON`: runs an operation on a server and prints its outcome. Where the server asks for a key,
//! it is read from `CAUSEWAY_CLIENT_KEY`.

use std::io::Read;
use std::time::Duration;

use http::Method;

use super::{CommandError, client, output};

/// How long a call waits beyond its own deadline, or without one.
const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The operation, as in `payments.charge` or `payments.charge@1`.
    operation: String,
    /// Its input; `-` reads it from standard input.
    input: String,
    /// How long the run may take in all.
    #[arg(long, value_name = "MS")]
    deadline_ms: Option<u64>,
    /// What links the run to the event behind it.
    #[arg(long, value_name = "ID")]
    correlation_id: Option<String>,
    /// Where the business API listens.
    #[arg(long, env = "CAUSEWAY_URL", default_value = "http://127.0.0.1:8080")]
    url: String,
}

pub(super) fn run(args: &Args) -> Result<(), CommandError> {
    let mut input = args.input.clone();
    if input == "-" {
        input.clear();
        let read = std::io::stdin().read_to_string(&mut input);
        read.map_err(|error| CommandError::Usage(format!("reading standard input: {error}")))?;
    }
    let mut headers = Vec::new();
    headers.extend(args.deadline_ms.map(|millis| ("X-Deadline-Ms", millis.to_string())));
    headers.extend(args.correlation_id.clone().map(|id| ("X-Correlation-Id", id)));
    let patience = PATIENCE + Duration::from_millis(args.deadline_ms.unwrap_or(0));
    let path = format!("/v1/operations/{}", args.operation);
    let answer =
        client::send(Method::POST, &args.url, &path, input, &headers, &client::Key::of_client(), patience)?;
    output::show_json(&answer.body);
    if answer.status.is_success() {
        return Ok(());
    }
    Err(CommandError::Failed(format!("{} answers {}", args.operation, answer.status)))
}
