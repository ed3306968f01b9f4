//! `causeway schema`: writes the JSON Schemas of the configuration's files, for editors.

use std::fs;
use std::path::PathBuf;

use serde_json::json;

use super::{CommandError, output};
use crate::settings::{keys, schemas};

#[derive(Debug, clap::Args)]
#[command(after_help = "Example:
  causeway schema config/schemas

A file that begins with `#:schema schemas/causeway.json` is then completed and checked by editors that know TOML.")]
pub(super) struct Args {
    /// The directory to write them to; made if it is not there.
    #[arg(value_name = "DIR")]
    dir: PathBuf,
    /// Print the files' names as a JSON document.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args) -> Result<(), CommandError> {
    let failed = |what: &str, error: std::io::Error| {
        CommandError::Failed(format!("{what} {}: {error}", args.dir.display()))
    };
    fs::create_dir_all(&args.dir).map_err(|error| failed("making", error))?;
    let mut written = Vec::new();
    for schema in schemas() {
        let path = args.dir.join(schema.file);
        fs::write(&path, schema.text()).map_err(|error| failed("writing to", error))?;
        written.push(path.display().to_string());
    }
    let path = args.dir.join("keys.md");
    fs::write(&path, keys()).map_err(|error| failed("writing to", error))?;
    written.push(path.display().to_string());
    if args.json {
        return output::show_json(&json!({ "written": written }).to_string());
    }
    output::say(&written.join("\n"))
}
