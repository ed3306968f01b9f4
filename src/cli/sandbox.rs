//! `causeway sandbox`: runs the simulated payments provider alone.

use std::net::SocketAddr;

use serde_json::json;

use super::{CommandError, output, serve};
use crate::sandbox::Sandbox;

#[derive(Debug, clap::Args)]
#[command(after_help = "Example:
  causeway sandbox --listen 127.0.0.1:9000

An integration uses it with base_url = \"http://127.0.0.1:9000\". Ctrl-C stops it.")]
pub(super) struct Args {
    /// Where it listens.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8090")]
    listen: SocketAddr,
    /// Print the address as a JSON document.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args) -> Result<(), CommandError> {
    actix::System::new().block_on(async {
        let sandbox = Sandbox::start(args.listen).map_err(|error| {
            let what = format!("listening on {}: {error}", args.listen);
            CommandError::Failed(format!(
                "{what}; is another one running there? --listen names another address"
            ))
        })?;
        let address = sandbox.addr();
        if args.json {
            output::say(&json!({ "sandbox_url": format!("http://{address}") }).to_string())?;
        } else {
            output::say(&guide(address))?;
        }
        let stopped = serve::told_to_stop().await;
        sandbox.stop().await;
        stopped
    })
}

fn guide(address: SocketAddr) -> String {
    format!(
        "The simulated payments provider listens on http://{address}\n  \
         its ledger:        curl http://{address}/_control/ledger\n  \
         make it fail:      curl -X PUT http://{address}/_control/plan -d '{{\"then\":{{\"kind\":\"status\",\"status\":500}}}}'\n  \
         make it well:      curl -X DELETE http://{address}/_control/ledger"
    )
}
