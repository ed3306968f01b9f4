//! The command line.
//!
//! `serve` runs the server; `check` tells what is wrong with its configuration, and `schema` writes down for editors
//! what may stand in it; `demo` runs it on a sample configuration with a simulated provider, in one process;
//! `sandbox` runs the provider alone; `call` and `breaker` talk to a server that runs. Exit codes: 0 done, 1 failed,
//! 2 usage or configuration.

mod breaker;
mod call;
mod check;
mod client;
mod demo;
mod output;
mod sandbox;
mod schema;
mod serve;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// One server between your business services and the external APIs they depend on.
#[derive(Debug, Parser)]
#[command(name = "causeway", version, about, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the server on a directory of configuration files.
    Serve(serve::Args),
    /// Tell everything that is wrong with a directory of configuration files, and what may be better.
    Check(check::Args),
    /// Write the JSON Schemas of the configuration's files, for editors that complete them.
    Schema(schema::Args),
    /// Run the server on a sample configuration, with a simulated payments provider, in this one process.
    Demo(demo::Args),
    /// Run the simulated payments provider alone.
    Sandbox(sandbox::Args),
    /// Run an operation on a server and print its outcome; a key is read from `CAUSEWAY_CLIENT_KEY`.
    Call(call::Args),
    /// Open an integration's circuit breaker by hand, put it back to automatic, or set another mode; a key is
    /// read from `CAUSEWAY_OPERATOR_KEY`.
    Breaker(breaker::Args),
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
    let done = match Cli::parse().command {
        Command::Serve(args) => serve::run(&args),
        Command::Check(args) => check::run(&args),
        Command::Schema(args) => schema::run(&args),
        Command::Demo(args) => demo::run(&args),
        Command::Sandbox(args) => sandbox::run(&args),
        Command::Call(args) => call::run(&args),
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
