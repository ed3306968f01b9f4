//! `causeway breaker trip|reset|mode INTEGRATION`: opens a breaker by hand, puts it back, or sets another mode.
//! Where the server asks for a key, it is read from `CAUSEWAY_OPERATOR_KEY`.

use causeway_core::breaker::ModeKind;
use serde_json::{Value, json};

use super::client::{AdminArgs, Ask, block_on, segment};
use super::screen::moment;
use super::{CommandError, integrations, output};
use crate::settings::duration;

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  causeway breaker trip stripe --reason 'Stripe asked us to stop' --for 30m
  causeway breaker reset stripe --reason 'it works again'
  causeway breaker mode stripe metrics_only --reason 'finding good numbers'

A key, where the server asks for one, is read from CAUSEWAY_OPERATOR_KEY; its role must be operator or admin.")]
pub(super) struct Args {
    #[command(subcommand)]
    action: Action,
    #[command(flatten)]
    admin: AdminArgs,
    /// Print the integration's state as JSON.
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Refuse every call to the integration from now on.
    Trip {
        /// The integration.
        #[arg(value_name = "NAME")]
        integration: String,
        /// Why; shown to other operators.
        #[arg(long)]
        reason: String,
        /// For how long (`30s`, `5m`, `12h`); without it, until it is reset.
        #[arg(long = "for", value_name = "DURATION", value_parser = lasting)]
        lasting: Option<String>,
    },
    /// Back to automatic: closed, with an empty window.
    Reset {
        /// The integration.
        #[arg(value_name = "NAME")]
        integration: String,
        /// Why, for the log.
        #[arg(long)]
        reason: Option<String>,
    },
    /// Say who rules the breaker.
    Mode {
        /// The integration.
        #[arg(value_name = "NAME")]
        integration: String,
        /// `auto`: outcomes and time, beginning half-open; `forced_open`: nothing passes; `disabled`: everything
        /// passes; `metrics_only`: everything passes, and what it would have done is told.
        #[arg(value_parser = ModeKind::ALL.map(ModeKind::as_str))]
        mode: String,
        /// Why; shown to other operators.
        #[arg(long)]
        reason: String,
        /// For how long (`30s`, `5m`, `12h`); without it, until another command.
        #[arg(long = "for", value_name = "DURATION", value_parser = lasting)]
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
    let path = format!("{}/{}/breaker/{action}", integrations::PATH, segment(integration));
    let purpose = match action {
        "trip" => format!("tripping the breaker of {integration}"),
        "reset" => format!("resetting the breaker of {integration}"),
        _ => format!("setting the breaker's mode of {integration}"),
    };
    let ask = Ask::post(purpose, path, body.to_string());
    let server = args.admin.server();
    let answer = block_on(integrations::send(&server, &ask, integration))?;
    if args.json {
        return output::show_json(&answer);
    }
    let document: Value = server.read(&ask, &answer)?;
    let state = document["breaker"]["state"].as_str().unwrap_or("?");
    let until = document["breaker"]["manual"]["until"].as_str();
    let until = until.map_or_else(String::new, |until| format!(" until {}", moment(until)));
    output::say(&format!(
        "{integration}: breaker is {state}{until}{}",
        if document["durable"] == false { " (kept in memory only: a restart forgets it)" } else { "" }
    ))
}

/// A duration, as it was written.
fn lasting(text: &str) -> Result<String, String> {
    let read = duration(text).filter(|span| !span.is_zero());
    read.map(|_| text.to_owned()).ok_or_else(|| "write a duration such as 30s, 5m or 12h".to_owned())
}
