//! `causeway check`: tells everything that is wrong with a configuration, and what may be better, without serving it.

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::screen::count;
use super::{CommandError, output};
use crate::plans::{self, Secrets};
use crate::settings::{Examined, Finding};

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  causeway check
  causeway check --config /etc/causeway --no-secrets
  causeway check --json | jq -r '.errors[] | \"\\(.file):\\(.line): \\(.message)\"'

Exit codes: 0 a server would start with it, 2 it would not. Advice stops nothing.")]
pub(super) struct Args {
    /// The directory of configuration files.
    #[arg(long, env = "CAUSEWAY_CONFIG", default_value = "config", value_name = "DIR")]
    config: PathBuf,
    /// Do not look for the secrets: they are not on this machine.
    #[arg(long)]
    no_secrets: bool,
    /// Print the findings as JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Document {
    /// Whether a server would start with it.
    usable: bool,
    errors: Vec<Finding>,
    advice: Vec<Finding>,
    integrations: usize,
    operations: usize,
}

pub(super) fn run(args: &Args) -> Result<(), CommandError> {
    let secrets = if args.no_secrets { Secrets::Elsewhere } else { Secrets::Read };
    let examined = examine(&args.config, secrets);
    let usable = examined.errors.is_empty();
    if args.json {
        output::show_json(&json(&examined))?;
        return if usable { Ok(()) } else { Err(CommandError::Told) };
    }
    for advice in &examined.advice {
        output::say(&format!("advice: {advice}"))?;
    }
    if usable {
        return output::say(&good(&args.config, &examined, secrets));
    }
    let wrong = count(examined.errors.len(), "error");
    Err(CommandError::Usage(format!("{wrong} in {}:\n{}", args.config.display(), examined.errors)))
}

/// Reads a configuration and finds out everything that is wrong with it.
pub(super) fn examine(dir: &Path, secrets: Secrets) -> Examined {
    let mut examined = Examined::directory(dir);
    examined.and_wrong(plans::check(&examined.settings, secrets));
    examined
}

fn good(dir: &Path, examined: &Examined, secrets: Secrets) -> String {
    let settings = &examined.settings;
    let looked = if secrets == Secrets::Elsewhere { "; secrets were not looked for" } else { "" };
    format!(
        "{} can be served: {}, {}; {} of advice{looked}",
        dir.display(),
        count(settings.integrations.len(), "integration"),
        count(settings.operations.len(), "operation"),
        count(examined.advice.len(), "piece"),
    )
}

fn json(examined: &Examined) -> String {
    let document = Document {
        usable: examined.errors.is_empty(),
        errors: examined.errors.iter().map(Finding::from).collect(),
        advice: examined.advice.iter().map(Finding::from).collect(),
        integrations: examined.settings.integrations.len(),
        operations: examined.settings.operations.len(),
    };
    serde_json::to_string(&document).unwrap_or_default()
}
