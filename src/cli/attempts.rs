//! `causeway attempts list|show|curl|compare|replay`: what was sent to providers, and what came back.

use serde::Deserialize;
use serde_json::json;

use super::client::{AdminArgs, Ask, block_on, segment};
use super::screen::{Colour, Screen, Tone, Words, moment};
use super::{CommandError, output};

const PATH: &str = "/admin/v1/attempts";

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  causeway attempts list --integration stripe --status 5xx
  causeway attempts list --run run_01a20d64904f7054aa9a9cad10192e9d
  causeway attempts show att_01a20d64904f…
  causeway attempts curl att_01a20d64904f…
  causeway attempts compare att_01a20d64904f… | jq .differences
  causeway attempts replay att_01a20d64904f… --reason 'is the mapping mended?'

A key, where the server asks for one, is read from CAUSEWAY_OPERATOR_KEY; a viewer's will do, but for `replay`.")]
pub(super) struct Args {
    #[command(subcommand)]
    action: Action,
    #[command(flatten)]
    admin: AdminArgs,
    /// Print what the admin API answers, as JSON.
    #[arg(long, global = true)]
    json: bool,
    /// Use colours.
    #[arg(long, value_enum, value_name = "WHEN", default_value_t, global = true)]
    color: Colour,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// The attempts, newest first, each in a line.
    List {
        /// Of this run.
        #[arg(long, value_name = "ID")]
        run: Option<String>,
        /// Of this integration.
        #[arg(long)]
        integration: Option<String>,
        /// Of this endpoint.
        #[arg(long)]
        endpoint: Option<String>,
        /// That ended so: success, or an error's class.
        #[arg(long)]
        outcome: Option<String>,
        /// Answered with this status (503), class of statuses (5xx), or not at all (none).
        #[arg(long)]
        status: Option<String>,
        /// With this correlation id.
        #[arg(long, value_name = "ID")]
        correlation_id: Option<String>,
        /// Begun then or later (2026-11-24T09:30:00Z).
        #[arg(long, value_name = "TIME")]
        since: Option<String>,
        /// At most so many.
        #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=100))]
        limit: u32,
    },
    /// One attempt, whole, as JSON; what must not be shown is masked.
    Show {
        /// Its id.
        id: String,
    },
    /// One attempt as a curl command; what was masked is to be filled in.
    Curl {
        /// Its id.
        id: String,
    },
    /// One attempt beside the last at its endpoint that succeeded, as JSON.
    Compare {
        /// Its id.
        id: String,
    },
    /// Make its call anew, as a run of its own.
    Replay {
        /// Its id.
        id: String,
        /// The call may act, and is to act once more.
        #[arg(long)]
        again: bool,
        /// Why, for the audit trail.
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
    },
}

#[derive(Debug, Deserialize)]
struct Page {
    items: Vec<Attempt>,
    next_cursor: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Attempt {
    id: String,
    at: String,
    integration: String,
    endpoint: String,
    attempt: u32,
    status: Option<u16>,
    outcome: String,
    error: Option<String>,
    total_ms: f64,
}

/// The run that makes a call anew.
#[derive(Debug, Deserialize)]
struct Replayed {
    id: String,
}

pub(super) fn run(args: &Args) -> Result<(), CommandError> {
    let server = args.admin.server();
    let ask = ask(&args.action);
    let answer = block_on(server.get(&ask))?;
    match &args.action {
        Action::Curl { .. } => output::write(&answer),
        Action::List { .. } if !args.json => {
            let page: Page = server.read(&ask, &answer)?;
            output::say(&table(&page.items, Screen::of_output(args.color)))?;
            if page.next_cursor.is_some() {
                output::note("There are more: --limit, --since and the other conditions narrow the list.");
            }
            Ok(())
        }
        Action::Replay { .. } if !args.json => {
            let Replayed { id } = server.read(&ask, &answer)?;
            output::say(&format!("The call is made anew as the run {id}: causeway runs show {id}"))
        }
        Action::List { .. } | Action::Show { .. } | Action::Compare { .. } | Action::Replay { .. } => {
            output::show_json(&answer)
        }
    }
}

fn ask(action: &Action) -> Ask {
    let of = |id: &str, what: &str| format!("{PATH}/{}{what}", segment(id));
    match action {
        Action::List { run, integration, endpoint, outcome, status, correlation_id, since, limit } => {
            let mut path = format!("{PATH}?limit={limit}");
            for (name, value) in [
                ("run", run),
                ("integration", integration),
                ("endpoint", endpoint),
                ("outcome", outcome),
                ("status", status),
                ("correlation_id", correlation_id),
                ("since", since),
            ] {
                if let Some(value) = value {
                    path.push_str(&format!("&{name}={}", segment(value)));
                }
            }
            Ask::get("listing the attempts", path)
        }
        Action::Show { id } => Ask::get(format!("showing {id}"), of(id, "")),
        Action::Curl { id } => Ask::get(format!("writing {id} for curl"), of(id, "/curl")),
        Action::Compare { id } => Ask::get(format!("comparing {id}"), of(id, "/compare")),
        Action::Replay { id, again, reason } => {
            let body = json!({ "again": again, "reason": reason }).to_string();
            Ask::post(format!("replaying {id}"), of(id, "/replay"), body)
        }
    }
}

fn table(attempts: &[Attempt], screen: Screen) -> String {
    if attempts.is_empty() {
        return "There is no attempt like this.".to_owned();
    }
    let row = |attempt: &Attempt| {
        let tone = if attempt.outcome == "success" { Tone::Good } else { Tone::Bad };
        vec![
            Words::new(&attempt.id),
            Words::new(&moment(&attempt.at)),
            Words::new(&format!("{}.{}", attempt.integration, attempt.endpoint)),
            Words::new(&attempt.attempt.to_string()),
            Words::new(&attempt.status.map_or_else(|| "–".to_owned(), |status| status.to_string())),
            Words::toned(&attempt.outcome, tone),
            Words::new(&format!("{:.1} ms", attempt.total_ms)),
            Words::new(attempt.error.as_deref().unwrap_or_default()),
        ]
    };
    let header = ["ATTEMPT", "BEGUN", "CALL", "NO", "STATUS", "OUTCOME", "TOOK", "WHY"];
    screen.table(&header, attempts.iter().map(row).collect())
}
