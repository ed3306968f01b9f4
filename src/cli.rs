//! The command line.
//!
//! `serve` runs the server; `check` tells what is wrong with its configuration, and `schema` writes down for editors
//! what may stand in it; `demo` runs it on a sample configuration with a simulated provider, in one process;
//! `sandbox` runs the provider alone; `call`, `status`, `integrations` and `breaker` talk to a server that runs; `keys`
//! makes keys for it, `completions` what a shell completes this command with. Exit codes: 0 done, 1 failed, 2 usage or
//! configuration.
//!
//! `client` asks servers, `screen` makes text for people, `output` prints it.

mod attempts;
mod breaker;
mod call;
mod check;
mod client;
mod completions;
mod dead_letters;
mod demo;
mod integrations;
mod keys;
mod output;
mod runs;
mod sandbox;
mod schema;
mod screen;
mod serve;
mod status;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// One server between your business services and the external APIs they depend on.
#[derive(Debug, Parser)]
#[command(name = "causeway", version, about, max_term_width = 100, after_help = AFTER_HELP)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

const AFTER_HELP: &str = "Try it: `causeway demo` in one shell, `causeway status --watch` in another.

Environment:
  CAUSEWAY_CONFIG        the directory of configuration files, for serve and check
  CAUSEWAY_URL           where the business API is, for call
  CAUSEWAY_ADMIN_URL     where the admin API is, for the commands that look at a server and operate it
  CAUSEWAY_CLIENT_KEY    the key for the business API, where the server asks for one
  CAUSEWAY_OPERATOR_KEY  the key for the admin API, where the server asks for one
  NO_COLOR               no colours

Exit codes: 0 done, 1 failed, 2 usage or configuration.";

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the server on a directory of configuration files.
    Serve(serve::Args),
    /// Tell everything that is wrong with a directory of configuration files, and what may be better.
    Check(check::Args),
    /// Run the server on a sample configuration, with simulated providers, in this one process.
    Demo(demo::Args),
    /// Run an operation on a server and print its result.
    Call(call::Args),
    /// Tell how a server and its integrations are doing.
    Status(status::Args),
    /// Tell everything about the integrations of a server: breaker, limits, pool.
    Integrations(integrations::Args),
    /// List the runs that a server keeps, show one, or have one stopped.
    Runs(runs::Args),
    /// Find what was sent to providers and what came back, as it was, for curl, or beside what succeeded.
    Attempts(attempts::Args),
    /// Look after the runs that a person has to look at.
    DeadLetters(dead_letters::Args),
    /// Open an integration's circuit breaker by hand, put it back to automatic, or set another mode.
    Breaker(breaker::Args),
    /// Make keys for those who call a server and those who operate it.
    Keys(keys::Args),
    /// Run the simulated providers alone.
    Sandbox(sandbox::Args),
    /// Write the JSON Schemas of the configuration's files, for editors that complete them.
    Schema(schema::Args),
    /// Print what makes a shell complete this command.
    Completions(completions::Args),
}

/// How a command ended badly.
#[derive(Debug)]
enum CommandError {
    /// It was tried and did not work.
    Failed(String),
    /// It could not be tried: usage or configuration.
    Usage(String),
    /// The same, and what is wrong has been printed.
    Told,
}

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    #[cfg(feature = "failpoints")]
    let _armed = crate::failpoint::arm();
    let done = match Cli::parse().command {
        Command::Serve(args) => serve::run(&args),
        Command::Check(args) => check::run(&args),
        Command::Schema(args) => schema::run(&args),
        Command::Demo(args) => demo::run(&args),
        Command::Sandbox(args) => sandbox::run(&args),
        Command::Call(args) => call::run(&args),
        Command::Status(args) => status::run(&args),
        Command::Integrations(args) => integrations::run(&args),
        Command::Runs(args) => runs::run(&args),
        Command::Attempts(args) => attempts::run(&args),
        Command::DeadLetters(args) => dead_letters::run(&args),
        Command::Keys(args) => keys::run(&args),
        Command::Completions(args) => completions::run(&args),
        Command::Breaker(args) => breaker::run(&args),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(CommandError::Failed(message)) => {
            output::complain(&message);
            ExitCode::from(1)
        }
        Err(CommandError::Usage(message)) => {
            output::complain(&message);
            ExitCode::from(2)
        }
        Err(CommandError::Told) => ExitCode::from(2),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::Cli;

    #[test]
    fn the_command_line_contradicts_itself_nowhere() {
        Cli::command().debug_assert();
    }
}
