//! The example operation that charges a card, sends a mail and adds a contact, all at once, on a server that speaks
//! Stripe's API and a real SMTP server behind a mail API: `partial`, and truthful, while the mail cannot be sent.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::Command;

use serde_json::{Value, json};

use crate::support::stripe::{KEY, delivered, found, peer, repository, stripe};
use crate::support::{Client, Process, Provider, process, until};

const MAIL_KEY: &str = "mail-key-of-this-test";

/// A port that is free now.
fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    listener.local_addr().expect("a bound address").port()
}

/// An SMTP server that keeps what it is sent.
struct Mailbox {
    smtp: u16,
    api: Client,
    _process: Process,
    _dir: tempfile::TempDir,
}

impl Mailbox {
    async fn start() -> Self {
        let program = repository().join(".peers/maildev/node_modules/.bin/maildev");
        assert!(program.exists(), "the SMTP server is not installed: run scripts/peers maildev");
        let dir = tempfile::tempdir().expect("a directory");
        let (smtp, web) = (free_port(), free_port());
        let mut command = Command::new("node");
        command.arg(program).args(["--ip", "127.0.0.1", "--web-ip", "127.0.0.1"]);
        command.args(["--smtp", &smtp.to_string(), "--web", &web.to_string()]);
        command.arg("--mail-directory").arg(dir.path());
        let process = Process::start(&mut command);
        let api = Client::new(SocketAddr::from((Ipv4Addr::LOCALHOST, web)));
        let mailbox = Self { smtp, api, _process: process, _dir: dir };
        until("the SMTP server listens", async || mailbox.mails().await).await;
        mailbox
    }

    async fn mails(&self) -> Option<Vec<Value>> {
        TcpStream::connect(self.api.address()).ok()?;
        // In HTTP/1.0, whose bodies come as they are.
        let answer = self.api.raw(b"GET /api/email HTTP/1.0\r\n\r\n").await;
        serde_json::from_str(answer.split_once("\r\n\r\n")?.1).ok()
    }

    /// Those to an address.
    async fn mails_to(&self, address: &str) -> Vec<Value> {
        let mails = self.mails().await.expect("a list of mails");
        mails.into_iter().filter(|mail| mail["to"][0]["address"] == address).collect()
    }
}

/// The mail API in front of it, on this port, 0 for any.
async fn mail_api(smtp: u16, port: u16) -> (Process, String) {
    let arguments = ["--smtp", &smtp.to_string(), "--key", MAIL_KEY, "--port", &port.to_string()];
    let mut process = Process::start(&mut peer("mail_api.py", &arguments));
    let url = process
        .says("where it listens", |out| Some(out.strip_prefix("listening on ")?.trim().to_owned()))
        .await;
    (process, url)
}

struct World {
    api: Client,
    _process: Process,
    _dir: tempfile::TempDir,
}

/// Causeway on the delivered configuration and the example beside it, in front of these servers.
async fn causeway(stripe: &str, mail: &str, crm: &str) -> World {
    let dir = tempfile::tempdir().expect("a directory");
    let write = |from: &str, to: &str, changes: &[(&str, &str)]| {
        let to = dir.path().join(to);
        fs::create_dir_all(to.parent().expect("a directory")).expect("a directory is made");
        fs::write(to, delivered(from, changes)).expect("a file is written");
    };
    let store = format!("sqlite://{}", dir.path().join("causeway.db").display());
    let ports = [
        ("127.0.0.1:8080", "127.0.0.1:0"),
        ("127.0.0.1:8081", "127.0.0.1:0"),
        ("sqlite://data/causeway.db", store.as_str()),
    ];
    write("config/causeway.toml", "causeway.toml", &ports);
    for (from, placeholder, url) in [
        ("config/integrations/stripe.toml", "https://api.stripe.com", stripe),
        ("examples/orders/integrations/mail.toml", "https://mail.example.com", mail),
        ("examples/orders/integrations/crm.toml", "https://crm.example.com", crm),
    ] {
        let to = from.split_once("integrations/").expect("an integration").1;
        write(from, &format!("integrations/{to}"), &[(placeholder, url)]);
    }
    for from in [
        "config/operations/payments.charge.toml",
        "config/operations/payments.refund.toml",
        "config/operations/customers.create.toml",
        "examples/orders/operations/orders.place.toml",
    ] {
        let to = from.split_once("operations/").expect("an operation").1;
        write(from, &format!("operations/{to}"), &[]);
    }
    let mut command = process::causeway(&["serve", "--config", &dir.path().display().to_string()]);
    command.env("STRIPE_API_KEY", KEY).env("MAIL_API_KEY", MAIL_KEY).env("CRM_API_KEY", "crm-key");
    let mut process = Process::start(&mut command);
    let (api, _) = process.serves().await;
    World { api, _process: process, _dir: dir }
}

fn order(email: &str) -> Value {
    let order = format!("ord-{}", uuid::Uuid::new_v4().simple());
    json!({ "amount": 1250, "currency": "EUR", "token": "pm_card_visa", "order": order, "email": email })
}

fn statuses(outcome: &Value) -> Vec<&str> {
    let steps = outcome["steps"].as_array().expect("steps");
    steps.iter().map(|step| step["status"].as_str().expect("a status")).collect()
}

#[tokio::test]
async fn all_three_and_partial_while_the_mail_cannot_be_sent() {
    let ((_stripe, stripe_url), mailbox, crm) =
        (stripe("0").await, Mailbox::start().await, Provider::start());
    let (mut mail, mail_url) = mail_api(mailbox.smtp, 0).await;
    let world = causeway(&stripe_url, &mail_url, &crm.url()).await;

    let good = order("ada@example.com");
    let outcome = world.api.run("orders.place", &good).await.ok();
    assert_eq!(
        (&outcome["status"], statuses(&outcome)),
        (&json!("succeeded"), vec!["succeeded"; 3]),
        "{outcome}"
    );
    let [charge] = &found(&stripe_url, &good).await[..] else { panic!("not one charge for {good}") };
    assert_eq!(charge["id"], outcome["result"]["charge"]);
    let [sent] = &mailbox.mails_to("ada@example.com").await[..] else { panic!("not one mail") };
    assert_eq!(sent["subject"], json!(format!("Order {}", good["order"].as_str().expect("an order"))));
    assert_eq!(
        (&sent["headers"]["x-reference"], &outcome["result"]["mail"]),
        (&outcome["id"], &outcome["id"])
    );
    assert_eq!(crm.effects().len(), 1);

    mail.kill();
    let lonely = order("grace@example.com");
    let outcome = world.api.run("orders.place", &lonely).await.ok();
    assert_eq!(
        (&outcome["status"], statuses(&outcome)),
        (&json!("partial"), vec!["succeeded", "failed", "succeeded"]),
        "{outcome}"
    );
    assert_eq!(
        (&outcome["result"]["mail"], &outcome["steps"][1]["error"]["class"]),
        (&Value::Null, &json!("transient"))
    );
    assert_eq!(found(&stripe_url, &lonely).await.len(), 1, "it is charged all the same, once");

    let port = mail_url.rsplit(':').next().and_then(|port| port.parse().ok()).expect("a port");
    let (_mail, again) = mail_api(mailbox.smtp, port).await;
    assert_eq!(again, mail_url);
    let last = order("joan@example.com");
    let outcome = world.api.run("orders.place", &last).await.ok();
    assert_eq!(outcome["status"], "succeeded", "{outcome}");
    assert_eq!(mailbox.mails_to("joan@example.com").await.len(), 1);
    assert_eq!(mailbox.mails_to("grace@example.com").await.len(), 0);
}

#[tokio::test]
async fn a_refused_card_is_no_order_and_what_was_charged_can_be_refunded() {
    let ((_stripe, stripe_url), mailbox, crm) =
        (stripe("0").await, Mailbox::start().await, Provider::start());
    let (_mail, mail_url) = mail_api(mailbox.smtp, 0).await;
    let world = causeway(&stripe_url, &mail_url, &crm.url()).await;

    let mut refused = order("ada@example.com");
    refused["token"] = json!("pm_card_chargeCustomerFail");
    let problem = world.api.run("orders.place", &refused).await.problem(422, "provider_refused");
    assert_eq!(problem["run"]["error"]["code"], "card_declined");

    let input = json!({ "email": "ada@example.com", "name": "Ada", "reference": "cust-17" });
    let customer = world.api.run("customers.create", &input).await.ok();
    assert!(customer["result"]["customer"].as_str().is_some_and(|id| id.starts_with("cus_")), "{customer}");

    let good = order("ada@example.com");
    let charge = world.api.run("payments.charge", &good).await.ok()["result"]["charge"].clone();
    let input = json!({ "charge": charge, "amount": 500, "order": good["order"] });
    let refund = world.api.run("payments.refund", &input).await.ok();
    assert_eq!(
        (&refund["result"]["status"], &refund["result"]["amount"]),
        (&json!("succeeded"), &json!(500))
    );
    let [found] = &found(&stripe_url, &good).await[..] else { panic!("not one charge") };
    assert_eq!((&found["id"], &found["amount_refunded"]), (&charge, &json!(500)));
}
