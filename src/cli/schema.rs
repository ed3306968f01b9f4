//! `causeway schema`: writes the JSON Schemas of the configuration's files, for editors.

use std::fs;
use std::path::PathBuf;

use super::{CommandError, output};
use crate::settings::schemas;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The directory to write them to; made if it is not there.
    #[arg(value_name = "DIR")]
    dir: PathBuf,
}

pub(super) fn run(args: &Args) -> Result<(), CommandError> {
    let failed = |what: &str, error: std::io::Error| {
        CommandError::Failed(format!("{what} {}: {error}", args.dir.display()))
    };
    fs::create_dir_all(&args.dir).map_err(|error| failed("making", error))?;
    for schema in schemas() {
        let path = args.dir.join(schema.file);
        fs::write(&path, schema.text()).map_err(|error| failed("writing to", error))?;
        output::say(&path.display().to_string());
    }
    Ok(())
}
