//! `causeway sandbox`: runs the simulated payments provider alone.

use std::net::SocketAddr;

use super::{CommandError, output};
use crate::sandbox::Sandbox;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Where it listens.
    #[arg(long, default_value = "127.0.0.1:8090")]
    listen: SocketAddr,
}

pub(super) fn run(args: &Args) -> Result<(), CommandError> {
    actix::System::new().block_on(async {
        let listening = Sandbox::start(args.listen);
        let sandbox = listening.map_err(|error| CommandError::Failed(format!("listening on {}: {error}", args.listen)))?;
        let address = sandbox.addr();
        output::say(&format!(
            "The simulated payments provider listens on http://{address}\n  \
             its ledger:        curl http://{address}/_control/ledger\n  \
             make it fail:      curl -X PUT http://{address}/_control/plan -d '{{\"then\":{{\"kind\":\"status\",\"status\":500}}}}'\n  \
             make it well:      curl -X DELETE http://{address}/_control/ledger"
        ));
        let interrupted = tokio::signal::ctrl_c().await;
        sandbox.stop().await;
        interrupted.map_err(|error| CommandError::Failed(format!("listening for signals: {error}")))
    })
}
