//! The `causeway` command.

use std::process::ExitCode;

/// Half the time of an operation's many small allocations is saved against the system's allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    causeway::cli::main()
}
