//! `causeway sandbox`: runs the simulated providers alone.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde_json::json;

use super::{CommandError, output, serve};
use crate::sandbox::{Options, Sandbox};

#[derive(Debug, clap::Args)]
#[command(after_help = "Example:
  causeway sandbox --listen 127.0.0.1:9000
  causeway sandbox --tls ca.pem

An integration uses it with base_url = \"http://127.0.0.1:9000\". Ctrl-C stops it.")]
pub(super) struct Args {
    /// Where it listens.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8090")]
    listen: SocketAddr,
    /// Speak TLS only; the certificate of the authority to trust, made for this start, is written to FILE.
    #[arg(long, value_name = "FILE")]
    tls: Option<PathBuf>,
    /// Take so many connections at once and close what comes beyond, as providers with a connection limit do.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=10_000))]
    max_connections: Option<u16>,
    /// Decides ids and jitter: equal seeds and equal requests give equal ids.
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// Ignore idempotency keys, as providers without them do.
    #[arg(long)]
    ignore_keys: bool,
    /// Print the address as a JSON document.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args) -> Result<(), CommandError> {
    let options = Options {
        seed: args.seed,
        ignores_keys: args.ignore_keys,
        max_connections: args.max_connections.map(usize::from),
        tls: args.tls.is_some(),
        ..Options::default()
    };
    actix::System::new().block_on(async {
        let sandbox = Sandbox::start_with(args.listen, options).map_err(|error| {
            let what = format!("listening on {}: {error}", args.listen);
            CommandError::Failed(format!(
                "{what}; is another one running there? --listen names another address"
            ))
        })?;
        if let (Some(file), Some(authority)) = (&args.tls, sandbox.authority()) {
            fs::write(file, authority)
                .map_err(|error| CommandError::Failed(format!("writing {}: {error}", file.display())))?;
        }
        if args.json {
            let ca_file = args.tls.as_ref().map(|file| file.display().to_string());
            output::say(&json!({ "sandbox_url": sandbox.url(), "ca_file": ca_file }).to_string())?;
        } else {
            output::say(&guide(&sandbox.url(), args.tls.as_deref()))?;
        }
        let stopped = serve::told_to_stop().await;
        sandbox.stop().await;
        stopped
    })
}

fn guide(url: &str, ca_file: Option<&Path>) -> String {
    let trusting = ca_file.map_or_else(String::new, |file| format!(" --cacert {}", file.display()));
    let trust = ca_file.map_or_else(String::new, |file| {
        format!("\n  trust it:          [tls] ca_file = \"{}\" in the integration's file", file.display())
    });
    format!(
        "The simulated providers listen on {url}{trust}\n  \
         its ledger:        curl{trusting} {url}/_control/ledger\n  \
         make it fail:      curl{trusting} -X PUT {url}/_control/plan -d '{{\"then\":{{\"kind\":\"status\",\"status\":500}}}}'\n  \
         make it well:      curl{trusting} -X DELETE {url}/_control/ledger"
    )
}
