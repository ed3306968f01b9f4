//! `causeway demo`: the server on a sample configuration, with simulated providers and sample traffic, in one process.

mod traffic;

use std::net::SocketAddr;
use std::path::PathBuf;

use serde_json::json;

use super::{CommandError, output, serve};
use crate::sandbox::Sandbox;
use crate::settings::{LogFormat, Settings, StoreUrl};

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  causeway demo
  causeway demo --api 127.0.0.1:0 --admin 127.0.0.1:0 --sandbox 127.0.0.1:0    # any free ports

It prints what to try; Ctrl-C stops it. What it has run is kept in the directory that --data names, and found again at
the next start.")]
pub(super) struct Args {
    /// Where the business API listens.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8080")]
    api: SocketAddr,
    /// Where the admin API listens.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8081")]
    admin: SocketAddr,
    /// Where the simulated providers listen.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8090")]
    sandbox: SocketAddr,
    /// Where runs are kept.
    #[arg(long, value_name = "DIR", default_value = "data/demo")]
    data: PathBuf,
    /// No sample traffic and no troubles: nothing happens but what you ask for.
    #[arg(long)]
    no_traffic: bool,
    /// Print the addresses as a JSON document, and logs as JSON lines.
    #[arg(long)]
    json: bool,
}

/// The sample configuration; `{{sandbox}}` stands for the provider's URL.
const FILES: [(&str, &str); 7] = [
    ("causeway.toml", include_str!("../sandbox/demo/causeway.toml")),
    ("integrations/payments.toml", include_str!("../sandbox/demo/integrations/payments.toml")),
    ("integrations/email.toml", include_str!("../sandbox/demo/integrations/email.toml")),
    ("integrations/crm.toml", include_str!("../sandbox/demo/integrations/crm.toml")),
    ("operations/orders.place.toml", include_str!("../sandbox/demo/operations/orders.place.toml")),
    ("operations/payments.charge.toml", include_str!("../sandbox/demo/operations/payments.charge.toml")),
    ("operations/payments.ping.toml", include_str!("../sandbox/demo/operations/payments.ping.toml")),
];

pub(super) fn run(args: &Args) -> Result<(), CommandError> {
    actix::System::new().block_on(async {
        let sandbox = Sandbox::run_in_thread(args.sandbox).map_err(|error| {
            let what = format!("listening on {} for the sandbox: {error}", args.sandbox);
            CommandError::Failed(format!(
                "{what}; is another one running there? --sandbox names another address"
            ))
        })?;
        let settings = settings(args, sandbox.addr())?;
        let (logs, metrics) = serve::observe(&settings.server.logs)?;
        let running = serve::start(settings, None, metrics, &logs).await?;
        let (api, admin, provider) = (running.api, running.admin, sandbox.addr());
        if !args.no_traffic {
            actix::spawn(traffic::troubles(sandbox.control()));
            actix::spawn(traffic::orders(api));
        }
        if args.json {
            let url = |address: SocketAddr| format!("http://{address}");
            output::say(
                &json!({ "url": url(api), "admin_url": url(admin), "sandbox_url": url(provider) })
                    .to_string(),
            )?;
        } else {
            let data = args.data.display().to_string();
            output::say(&guide(api, admin, provider, &data, !args.no_traffic))?;
        }
        serve::until_told_to_stop(running).await
    })
}

fn settings(args: &Args, sandbox: SocketAddr) -> Result<Settings, CommandError> {
    let url = format!("http://{sandbox}");
    let files = FILES.map(|(path, text)| (path, text.replace("{{sandbox}}", &url)));
    let files: Vec<(&str, &str)> = files.iter().map(|(path, text)| (*path, text.as_str())).collect();
    let mut settings =
        Settings::from_texts(&files).map_err(|errors| CommandError::Usage(errors.to_string()))?;
    settings.server.store.url = StoreUrl::Sqlite(args.data.join("causeway.db"));
    settings.server.listen.api = args.api;
    settings.server.listen.admin = args.admin;
    if !args.api.ip().is_loopback() || !args.admin.ip().is_loopback() {
        return Err(CommandError::Usage(
            "the demo asks for no keys and so listens on loopback addresses only".into(),
        ));
    }
    settings.server.logs.format = if args.json { LogFormat::Json } else { LogFormat::Pretty };
    Ok(settings)
}

fn guide(api: SocketAddr, admin: SocketAddr, sandbox: SocketAddr, data: &str, traffic: bool) -> String {
    let json = "-H 'Content-Type: application/json'";
    let watch = if traffic {
        format!(
            r#"
Some orders a second are placed already: each charges a card, sends a receipt and adds a contact. Every minute the
e-mail provider fails for ten seconds: its breaker opens, orders are `partial` meanwhile, and it closes by itself. Then
the CRM asks for patience, and calls wait for it. Watch it (in another terminal):
  causeway status --watch --admin-url http://{admin}
  curl http://{api}/v1/health
"#
        )
    } else {
        String::new()
    };
    format!(
        r#"
Causeway runs, with simulated providers behind it. What it has run is kept in {data}: end it as rudely as you like
(kill -9), start it again, and it goes on where it was.

  business API  http://{api}      admin API  http://{admin}      providers  http://{sandbox}
  as a page     http://{api}/docs                 http://{admin}/docs
{watch}
Place an order: three providers, one outcome.
  curl http://{api}/v1/operations/orders.place {json} -d '{{"amount":1250,"currency":"eur","source":"tok_visa","email":"ada@example.com"}}'
The same with a key: asked again, it answers the same and charges nobody twice.
  curl -i http://{api}/v1/operations/payments.charge {json} -H 'Idempotency-Key: order-17' -d '{{"amount":1250,"currency":"eur","source":"tok_visa"}}'
  curl http://{api}/v1/runs
A card that is declined:
  curl http://{api}/v1/operations/payments.charge {json} -d '{{"amount":1250,"currency":"eur","source":"tok_declined"}}'
What the providers have really done:
  curl http://{sandbox}/_control/ledger
Let payments fail, charge a few times, and see the breaker open:
  curl -X PUT http://{sandbox}/_control/plan -d '{{"path":"/v1/charges","then":{{"kind":"status","status":500}}}}'
  curl http://{admin}/admin/v1/integrations/payments
Let them recover; within five seconds the next charges close the breaker:
  curl -X PUT http://{sandbox}/_control/plan -d '{{"path":"/v1/charges","then":{{"kind":"normal"}}}}'
Open a breaker by hand, look at it, and put it back:
  curl http://{admin}/admin/v1/integrations/payments/breaker/trip {json} -d '{{"reason":"provider asked us to stop","for":"1m"}}'
  curl http://{admin}/admin/v1/integrations/payments/breaker/reset {json} -d '{{}}'
Metrics:
  curl http://{admin}/metrics

The same with this program, in another shell:
  causeway status --watch --admin-url http://{admin}
  causeway call payments.charge '{{"amount":1250,"currency":"eur","source":"tok_visa"}}' --url http://{api}
  causeway integrations show payments --admin-url http://{admin}
  causeway breaker trip payments --reason 'provider asked us to stop' --for 1m --admin-url http://{admin}

Ctrl-C stops it.
"#
    )
}
