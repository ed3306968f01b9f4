//! `causeway breaker trip|reset INTEGRATION`: opens a breaker by hand, or puts it back to automatic.

use std::time::Duration;

use http::Method;
use serde_json::{Value, json};

use super::{CommandError, client, output};

const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    action: Action,
    /// Where the admin API listens.
    #[arg(long, env = "CAUSEWAY_ADMIN_URL", default_value = "http://127.0.0.1:8081", global = true)]
    admin_url: String,
    /// Print the integration's state as JSON.
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Refuse every call to the integration from now on.
    Trip {
        /// The integration.
        integration: String,
        /// Why; shown to other operators.
        #[arg(long)]
        reason: String,
        /// For how long (`30s`, `5m`, `12h`); without it, until it is reset.
        #[arg(long = "for", value_name = "DURATION")]
        lasting: Option<String>,
    },
    /// Back to automatic: closed, with an empty window.
    Reset {
        /// The integration.
        integration: String,
        /// Why, for the log.
        #[arg(long)]
        reason: Option<String>,
    },
}

pub(super) fn run(args: &Args) -> Result<(), CommandError> {
    let (integration, action, body) = match &args.action {
        Action::Trip { integration, reason, lasting } => {
            (integration, "trip", json!({ "reason": reason, "for": lasting }))
        }
        Action::Reset { integration, reason } => (integration, "reset", json!({ "reason": reason })),
    };
    let path = format!("/admin/v1/integrations/{integration}/breaker/{action}");
    let answer = client::send(Method::POST, &args.admin_url, &path, body.to_string(), &[], PATIENCE)?;
    let document: Value = serde_json::from_str(&answer.body).unwrap_or_default();
    if !answer.status.is_success() {
        let detail = document["detail"].as_str().unwrap_or(&answer.body);
        return Err(CommandError::Failed(format!("{action} {integration}: {detail}")));
    }
    if args.json {
        output::show_json(&answer.body);
    } else {
        let state = document["breaker"]["state"].as_str().unwrap_or("?");
        output::say(&format!(
            "{integration}: breaker is {state} (kept in memory only: a restart forgets it)"
        ));
    }
    Ok(())
}
