//! `causeway runs list|show ID|cancel ID`: the runs that a server keeps, of all its clients.

use serde::Deserialize;
use serde_json::{Value, json};

use super::client::{AdminArgs, Ask, block_on, segment};
use super::screen::{Colour, Screen, Tone, Words, between, moment, span};
use super::{CommandError, output};

const PATH: &str = "/admin/v1/runs";

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  causeway runs list
  causeway runs list --recovered
  causeway runs list --status unknown --operation payments.charge
  causeway runs show run_01a20d64904f7054aa9a9cad10192e9d
  causeway runs list --json | jq -r '.items[].id'

A key, where the server asks for one, is read from CAUSEWAY_OPERATOR_KEY; a viewer's will do, but to cancel.")]
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
    /// The runs, newest first, each in a line.
    List {
        /// Of this operation.
        #[arg(long)]
        operation: Option<String>,
        /// That stand so: accepted, running, waiting, succeeded, partial, failed, unknown, cancelled.
        #[arg(long)]
        status: Option<String>,
        /// With this correlation id.
        #[arg(long, value_name = "ID")]
        correlation_id: Option<String>,
        /// Begun then or later (2026-11-24T09:30:00Z).
        #[arg(long, value_name = "TIME")]
        since: Option<String>,
        /// Only those that a server went on with after it had been killed or restarted.
        #[arg(long)]
        recovered: bool,
        /// At most so many.
        #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=100))]
        limit: u32,
    },
    /// One run, with its steps.
    Show {
        /// Its id.
        id: String,
    },
    /// Have a run stopped: what is safe or unsent is stopped, and what succeeded is taken back.
    Cancel {
        /// Its id.
        id: String,
        /// Why, for the audit trail.
        #[arg(long)]
        reason: Option<String>,
    },
}

/// A run, as far as a line tells it.
#[derive(Debug, Deserialize)]
struct Run {
    id: String,
    operation: String,
    status: String,
    created_at: String,
    finished_at: Option<String>,
    error: Option<Value>,
    #[serde(default)]
    steps: Vec<Step>,
    /// A server went on with it after it had been killed or restarted.
    #[serde(default)]
    recovered: bool,
}

impl Run {
    fn standing(&self) -> Words {
        let words = if self.recovered { format!("{}, recovered", self.status) } else { self.status.clone() };
        Words::toned(&words, tone(&self.status))
    }
}

#[derive(Debug, Deserialize)]
struct Step {
    name: String,
    integration: String,
    endpoint: String,
    status: String,
    attempts: u64,
    error: Option<Value>,
    run: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Page {
    items: Vec<Run>,
    next_cursor: Option<String>,
}

pub(super) fn run(args: &Args) -> Result<(), CommandError> {
    let server = args.admin.server();
    let screen = Screen::of_output(args.color);
    let ask = match &args.action {
        Action::List { operation, status, correlation_id, since, recovered, limit } => {
            let conditions = [
                ("operation", operation),
                ("status", status),
                ("correlation_id", correlation_id),
                ("since", since),
            ];
            let mut path = format!("{PATH}?limit={limit}");
            for (name, value) in conditions {
                if let Some(value) = value {
                    path.push_str(&format!("&{name}={}", segment(value)));
                }
            }
            if *recovered {
                path.push_str("&recovered=true");
            }
            Ask::get("listing the runs", path)
        }
        Action::Show { id } => Ask::get(format!("showing {id}"), format!("{PATH}/{}", segment(id))),
        Action::Cancel { id, reason } => {
            let body = json!({ "reason": reason }).to_string();
            Ask::post(format!("cancelling {id}"), format!("{PATH}/{}/cancel", segment(id)), body)
        }
    };
    let answer = block_on(server.get(&ask))?;
    if args.json {
        return output::show_json(&answer);
    }
    if let Action::List { .. } = args.action {
        let page: Page = server.read(&ask, &answer)?;
        output::say(&table(&page.items, screen))?;
        if page.next_cursor.is_some() {
            output::note("There are more: --limit, --since and the other conditions narrow the list.");
        }
        return Ok(());
    }
    output::say(&whole(&server.read(&ask, &answer)?, screen))
}

/// What tells of a status.
pub(super) fn tone(status: &str) -> Tone {
    match status {
        "succeeded" => Tone::Good,
        "failed" | "unknown" => Tone::Bad,
        "partial" | "cancelled" | "waiting" => Tone::Doubtful,
        _ => Tone::Neutral,
    }
}

fn code(error: Option<&Value>) -> &str {
    error.and_then(|error| error["code"].as_str()).unwrap_or_default()
}

fn took(run: &Run) -> String {
    run.finished_at.as_deref().and_then(|end| between(&run.created_at, end)).map(span).unwrap_or_default()
}

fn table(runs: &[Run], screen: Screen) -> String {
    if runs.is_empty() {
        return "No run is kept that is like this.".to_owned();
    }
    let row = |run: &Run| {
        vec![
            Words::new(&run.id),
            Words::new(&run.operation),
            run.standing(),
            Words::new(&moment(&run.created_at)),
            Words::new(&took(run)),
            Words::new(code(run.error.as_ref())),
        ]
    };
    screen.table(&["RUN", "OPERATION", "STATUS", "BEGUN", "TOOK", "ERROR"], runs.iter().map(row).collect())
}

fn whole(run: &Run, screen: Screen) -> String {
    let fact = |name: &str, value: &str| vec![Words::new(name), Words::new(value)];
    let mut facts = vec![
        fact("run", &run.id),
        fact("operation", &run.operation),
        vec![Words::new("status"), run.standing()],
        fact("begun", &moment(&run.created_at)),
    ];
    if let Some(end) = &run.finished_at {
        facts.push(fact("ended", &format!("{} (after {})", moment(end), took(run))));
    }
    if let Some(error) = &run.error {
        let message = error["message"].as_str().unwrap_or_default();
        facts.push(fact("error", &format!("{}: {message}", code(Some(error)))));
    }
    let row = |step: &Step| {
        vec![
            Words::new(&step.name),
            Words::new(&format!("{}.{}", step.integration, step.endpoint)),
            Words::toned(&step.status, tone(&step.status)),
            Words::new(&step.attempts.to_string()),
            Words::new(step.run.as_deref().unwrap_or_else(|| code(step.error.as_ref()))),
        ]
    };
    let facts = screen.table(&[], facts);
    if run.steps.is_empty() {
        return facts;
    }
    let steps = screen
        .table(&["STEP", "CALL", "STATUS", "ATTEMPTS", "ERROR OR RUN"], run.steps.iter().map(row).collect());
    format!("{facts}\n\n{steps}")
}
