//! `causeway completions SHELL`: prints what makes a shell complete this command.

use clap::CommandFactory;
use clap_complete::Shell;

use super::{Cli, CommandError, output};

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  causeway completions bash > ~/.local/share/bash-completion/completions/causeway
  causeway completions zsh > ~/.zfunc/_causeway          # a directory of $fpath
  causeway completions fish > ~/.config/fish/completions/causeway.fish")]
pub(super) struct Args {
    /// The shell.
    #[arg(value_enum)]
    shell: Shell,
}

pub(super) fn run(args: &Args) -> Result<(), CommandError> {
    // Into memory first: it panics where it cannot write.
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "causeway", &mut script);
    output::write(&String::from_utf8_lossy(&script))
}
