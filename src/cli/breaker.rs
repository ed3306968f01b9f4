//! `causeway breaker trip|reset|mode INTEGRATION`: opens a breaker by hand, puts it back, or sets another mode.
//! Where the server asks for a key, it is read from `CAUSEWAY_OPERATOR_KEY`.

use std::time::Duration;

use causeway_core::breaker::ModeKind;
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
    /// Say who rules the breaker.
    Mode {
        /// The integration.
        integration: String,
        /// `auto`: outcomes and time, beginning half-open; `forced_open`: nothing passes; `disabled`: everything
        /// passes; `metrics_only`: everything passes, and what it would have done is told.
        #[arg(value_parser = ModeKind::ALL.map(ModeKind::as_str))]
        mode: String,
        /// Why; shown to other operators.
        #[arg(long)]
        reason: String,
        /// For how long (`30s`, `5m`, `12h`); without it, until another command.
        #[arg(long = "for", value_name = "DURATION")]
        lasting: Option<String>,
    },
}

pub(super) fn run(args: &Args) -> Result<(), CommandError> {
    let (integration, action, body) = match &args.action {
        Action::Trip { integration, reason, lasting } => {
            (integration, "trip", json!({ "reason": reason, "for": lasting }))
        }
        Action::Reset { integration, reason } => (integration, "reset", json!({ "reason": reason })),
        Action::Mode { integration, mode, reason, lasting } => {
            (integration, "mode", json!({ "mode": mode, "reason": reason, "for": lasting }))
        }
    };
    let path = format!("/admin/v1/integrations/{integration}/breaker/{action}");
    let key = client::Key::of_operator();
    let answer = client::send(Method::POST, &args.admin_url, &path, body.to_string(), &[], &key, PATIENCE)?;
    let document: Value = serde_json::from_str(&answer.body).unwrap_or_default();
    if !answer.status.is_success() {
        let detail = document["detail"].as_str().unwrap_or(&answer.body);
        return Err(CommandError::Failed(format!("{action} {integration}: {detail}")));
    }
    if args.json {
        output::show_json(&answer.body);
    } else {
        let state = document["breaker"]["state"].as_str().unwrap_or("?");
        let until = document["breaker"]["manual"]["until"].as_str();
        let until = until.map_or_else(String::new, |until| format!(" until {until}"));
        output::say(&format!(
            "{integration}: breaker is {state}{until} (kept in memory only: a restart forgets it)"
        ));
    }
    Ok(())
}
