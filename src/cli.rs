//! The command line.
//!
//! `serve` runs the server; `demo` runs it on a sample configuration with a simulated provider, in one process;
//! `sandbox` runs the provider alone; `call` and `breaker` talk to a server that runs. Exit codes: 0 done, 1 failed,
//! 2 usage or configuration.

mod breaker;
mod call;
mod client;
mod demo;
mod output;
mod sandbox;
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
    /// Run the server on a sample configuration, with a simulated payments provider, in this one process.
    Demo(demo::Args),
    /// Run the simulated payments provider alone.
    Sandbox(sandbox::Args),
    /// Run an operation on a server and print its outcome.
    Call(call::Args),
    /// Open an integration's circuit breaker by hand, or put it back to automatic.
    Breaker(breaker::Args),
}

/// How a command ended badly.
#[derive(Debug)]
enum CommandError {
    /// It was tried and did not work.
    Failed(String),
    /// It could not be tried: usage or configuration.
    Usage(String),
}

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Serve(args) => serve::run(&args),
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
    }
}
