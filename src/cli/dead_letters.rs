//! `causeway dead-letters list|groups|show|redrive|redrives|resolve|forget`: runs that a person has to look at, and what a person does.

use serde::Deserialize;
use serde_json::{Value, json};

use super::client::{AdminArgs, Ask, block_on, segment};
use super::screen::{Colour, Screen, Tone, Words, moment};
use super::{CommandError, output};

mod redrives;

const PATH: &str = "/admin/v1/dead-letters";

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  causeway dead-letters list
  causeway dead-letters groups
  causeway dead-letters show run_01a20d64904f7054aa9a9cad10192e9d
  causeway dead-letters redrive run_01a2… --reason 'the provider is mended'
  causeway dead-letters redrive --integration stripe --code http_503 --rate 20 --dry-run
  causeway dead-letters redrives cancel rdr_01a2…
  causeway dead-letters resolve run_01a2… --as succeeded --result '{\"id\":\"ch_1\"}' --reason 'seen at the provider'

A key, where the server asks for one, is read from CAUSEWAY_OPERATOR_KEY; its role must be operator or admin to act.")]
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
    /// The dead letters, newest first, each in a line.
    List {
        /// Of this integration.
        #[arg(long)]
        integration: Option<String>,
        /// Of this operation.
        #[arg(long)]
        operation: Option<String>,
        /// With this error.
        #[arg(long)]
        code: Option<String>,
        /// At most so many.
        #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=100))]
        limit: u32,
    },
    /// How many there are of each kind.
    Groups,
    /// One of them, whole, as JSON: why, its run, its input as logs would show it, its requests.
    Show {
        /// Its run's id.
        id: String,
    },
    /// Try runs again, with the same keys: one, or all of a kind at a measured rate.
    Redrive(Redriven),
    /// The redrives of many: how far they are, and what they are to do.
    Redrives {
        #[command(subcommand)]
        action: Option<OfRedrive>,
    },
    /// Say what has become of its run.
    Resolve {
        /// Its run's id.
        id: String,
        /// `succeeded`: it was done; `failed`: it was not; `resend`: send it again, whatever was.
        #[arg(long = "as", value_parser = ["succeeded", "failed", "resend"])]
        resolution: String,
        /// What the step would have yielded, as JSON; with `--as succeeded`.
        #[arg(long, value_name = "JSON")]
        result: Option<String>,
        /// Why, for the log.
        #[arg(long)]
        reason: Option<String>,
    },
    /// Let it go; its run stays as it is.
    Forget {
        /// Its run's id.
        id: String,
        /// Why, for the audit trail.
        #[arg(long)]
        reason: Option<String>,
    },
}

#[derive(Debug, clap::Args)]
#[group(id = "which", required = true, multiple = true)]
struct Which {
    /// Its run's id.
    #[arg(conflicts_with_all = ["integration", "operation", "code", "all", "rate", "dry_run", "detach"])]
    id: Option<String>,
    /// All of this integration.
    #[arg(long)]
    integration: Option<String>,
    /// All of this operation.
    #[arg(long)]
    operation: Option<String>,
    /// All with this error.
    #[arg(long)]
    code: Option<String>,
    /// All there are.
    #[arg(long)]
    all: bool,
}

#[derive(Debug, clap::Args)]
struct Redriven {
    #[command(flatten)]
    which: Which,
    /// How many a second.
    #[arg(long)]
    rate: Option<f64>,
    /// Only tell how many there are.
    #[arg(long)]
    dry_run: bool,
    /// Do not wait for the end.
    #[arg(long)]
    detach: bool,
    /// Why, for the audit trail.
    #[arg(long)]
    reason: Option<String>,
}

#[derive(Debug, clap::Subcommand)]
enum OfRedrive {
    /// Tell how far one is.
    Show {
        /// Its id.
        id: String,
    },
    /// Stop for a while.
    Pause {
        /// Its id.
        id: String,
    },
    /// Go on.
    Resume {
        /// Its id.
        id: String,
    },
    /// Stop for good; what is taken up already goes on.
    Cancel {
        /// Its id.
        id: String,
    },
}

#[derive(Debug, Deserialize)]
struct Letters {
    items: Vec<Letter>,
}

#[derive(Debug, Deserialize)]
struct Letter {
    id: String,
    integration: String,
    operation: String,
    class: String,
    code: String,
    message: Option<String>,
    died_at: String,
}

#[derive(Debug, Deserialize)]
struct Groups {
    items: Vec<Group>,
}

#[derive(Debug, Deserialize)]
struct Group {
    integration: String,
    operation: String,
    class: String,
    code: String,
    count: u64,
    first: String,
    last: String,
}

pub(super) fn run(args: &Args) -> Result<(), CommandError> {
    let server = args.admin.server();
    if let Action::Redrive(many) = &args.action
        && many.which.id.is_none()
    {
        let Redriven { which, rate, dry_run, detach, reason } = many;
        let filter =
            json!({ "integration": which.integration, "operation": which.operation, "code": which.code });
        let body = json!({ "filter": filter, "rate": rate, "dry_run": dry_run, "reason": reason });
        return redrives::begin(&server, &body, !dry_run && !detach, args.json);
    }
    let screen = Screen::of_output(args.color);
    let ask = ask(&args.action)?;
    let answer = block_on(server.get(&ask))?;
    if args.json && !answer.is_empty() {
        return output::show_json(&answer);
    }
    match &args.action {
        Action::List { .. } => {
            let letters: Letters = server.read(&ask, &answer)?;
            output::say(&list(&letters.items, screen))
        }
        Action::Groups => {
            let groups: Groups = server.read(&ask, &answer)?;
            output::say(&kinds(&groups.items, screen))
        }
        Action::Show { .. } => output::show_json(&answer),
        Action::Redrives { action } => redrives::show(&server, &ask, &answer, action.is_some(), screen),
        Action::Redrive(Redriven { which: Which { id, .. }, .. }) => {
            taken_up(id.as_deref().unwrap_or_default())
        }
        Action::Resolve { id, .. } => taken_up(id),
        Action::Forget { id, .. } => output::say(&format!("{id} is no dead letter any more")),
    }
}

fn taken_up(id: &str) -> Result<(), CommandError> {
    output::say(&format!("{id} goes on; `causeway runs show {id}` tells what becomes of it"))
}

fn ask(action: &Action) -> Result<Ask, CommandError> {
    let of = |id: &str, action: &str| format!("{PATH}/{}{action}", segment(id));
    Ok(match action {
        Action::List { integration, operation, code, limit } => {
            let mut path = format!("{PATH}?limit={limit}");
            for (name, value) in [("integration", integration), ("operation", operation), ("code", code)] {
                if let Some(value) = value {
                    path.push_str(&format!("&{name}={}", segment(value)));
                }
            }
            Ask::get("listing the dead letters", path)
        }
        Action::Groups => Ask::get("grouping the dead letters", format!("{PATH}/groups")),
        Action::Show { id } => Ask::get(format!("showing {id}"), of(id, "")),
        Action::Redrive(Redriven { which, reason, .. }) => {
            let id = which.id.as_deref().unwrap_or_default();
            Ask::post(format!("redriving {id}"), of(id, "/redrive"), json!({ "reason": reason }).to_string())
        }
        Action::Redrives { action } => redrives::ask(action.as_ref()),
        Action::Resolve { id, resolution, result, reason } => {
            let mut body = json!({ "as": resolution, "reason": reason });
            if let Some(result) = result {
                let result: Value = serde_json::from_str(result)
                    .map_err(|error| CommandError::Usage(format!("--result is no JSON: {error}")))?;
                body["result"] = result;
            }
            Ask::post(format!("resolving {id}"), of(id, "/resolve"), body.to_string())
        }
        Action::Forget { id, reason } => {
            let why = reason.as_deref().map_or_else(String::new, |why| format!("?reason={}", segment(why)));
            Ask { method: http::Method::DELETE, ..Ask::get(format!("letting {id} go"), of(id, &why)) }
        }
    })
}

fn list(letters: &[Letter], screen: Screen) -> String {
    if letters.is_empty() {
        return "There is no dead letter like this.".to_owned();
    }
    let row = |letter: &Letter| {
        vec![
            Words::new(&letter.id),
            Words::new(&letter.operation),
            Words::new(&letter.integration),
            Words::toned(&letter.class, tone(&letter.class)),
            Words::new(&letter.code),
            Words::new(&moment(&letter.died_at)),
            Words::new(letter.message.as_deref().unwrap_or_default()),
        ]
    };
    let header = ["RUN", "OPERATION", "INTEGRATION", "CLASS", "ERROR", "SINCE", "WHY"];
    screen.table(&header, letters.iter().map(row).collect())
}

/// A doubt is worse than a refusal.
fn tone(class: &str) -> Tone {
    if class == "ambiguous" { Tone::Bad } else { Tone::Doubtful }
}

fn kinds(groups: &[Group], screen: Screen) -> String {
    if groups.is_empty() {
        return "There is no dead letter.".to_owned();
    }
    let row = |group: &Group| {
        vec![
            Words::new(&group.count.to_string()),
            Words::new(&group.integration),
            Words::new(&group.operation),
            Words::toned(&group.class, tone(&group.class)),
            Words::new(&group.code),
            Words::new(&moment(&group.first)),
            Words::new(&moment(&group.last)),
        ]
    };
    let header = ["COUNT", "INTEGRATION", "OPERATION", "CLASS", "ERROR", "FIRST", "LAST"];
    screen.table(&header, groups.iter().map(row).collect())
}
