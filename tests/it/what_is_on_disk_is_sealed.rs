//! What travels is on disk sealed: under a key of one's own, or one that is made beside the database for nobody else's eyes.
//! What is sent again is what was sent, and not what logs show of it.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use causeway::sandbox::Behaviour;
use serde_json::{Value, json};

use crate::support::hostile::{Hostile, Step};
use crate::support::process::{causeway, run};
use crate::support::queued::{over, place};
use crate::support::{Ask, Client, Config, Process, Provider, charge, until};

const MARK: &str = "tok_marked_for_this_test";

fn marked() -> Value {
    let mut input = charge();
    input["source"] = json!(MARK);
    input
}

async fn serve(dir: &Path) -> (Process, Client, Client) {
    let mut server = Process::start(&mut causeway(&["serve", "--config", dir.to_str().expect("a path")]));
    let (api, admin) = server.serves().await;
    (server, api, admin)
}

/// Whether the database, or its log, holds this in the clear.
fn shows(dir: &Path, mark: &str) -> bool {
    let files =
        ["", "-wal"].map(|end| fs::read(dir.join(format!("data/causeway.db{end}"))).unwrap_or_default());
    assert!(files.iter().any(|bytes| !bytes.is_empty()), "there is a database");
    files.iter().any(|bytes| bytes.windows(mark.len()).any(|window| window == mark.as_bytes()))
}

#[tokio::test]
async fn by_a_key_that_is_made_beside_it() {
    let (provider, dir) = (Provider::start(), tempfile::tempdir().expect("a directory"));
    let later = "mode = \"async\"\n[[steps]]\nname = \"charge\"\ncall = \"payments.charge\"\n";
    let once = "[retry]\nmax_retries = 0\n[retry.queued]\nmax_retries = 0\n";
    Config::payments(&provider.url(), once).operation("later", later).write(dir.path());
    let (server, api, admin) = serve(dir.path()).await;
    let key = dir.path().join("data/causeway.db.key");
    assert_eq!(fs::metadata(&key).expect("a key").permissions().mode() & 0o777, 0o600);
    // One that is over, one that waits, and a dead letter.
    api.run("payments.charge", &marked()).await.ok();
    provider.next([Behaviour::status(422)]);
    let dead = place(&api.run("later", &marked()).await);
    assert_eq!(over(&api, &dead).await["status"], "failed");
    let pause = Ask::post("/admin/v1/integrations/payments/pause", &json!({}));
    admin.send(pause).await.ok();
    let waiting = place(&api.run("later", &marked()).await);
    assert!(!shows(dir.path(), MARK), "in the clear");
    assert!(shows(dir.path(), "payments.charge"), "what does not travel is to be searched");
    server.terminate();
    let ended = server.ended().await;
    assert!(ended.out.contains("WARN") && ended.out.contains("causeway.db.key"), "{}", ended.out);

    // Another life opens it, and nobody without the key does.
    let away = dir.path().join("away");
    fs::rename(&key, &away).expect("the key is taken away");
    let config = dir.path().to_str().expect("a path");
    let refused = Process::start(&mut causeway(&["serve", "--config", config])).ended().await;
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    fs::rename(&away, &key).expect("the key is brought back");
    let (_server, api, admin) = serve(dir.path()).await;
    admin.send(Ask::post("/admin/v1/integrations/payments/resume", &json!({}))).await.ok();
    assert_eq!(over(&api, &waiting).await["status"], "succeeded");
}

#[tokio::test]
async fn by_a_key_of_ones_own() {
    let (provider, dir) = (Provider::start(), tempfile::tempdir().expect("a directory"));
    let made = run(&["keys", "new", "encryption"]).await;
    assert!(made.status.success() && made.err.contains("[[encryption.keys]]"), "{made:?}");
    let path = dir.path().join("secret");
    fs::write(&path, &made.out).expect("a file for the key");
    let keys = format!("[[encryption.keys]]\nid = \"k1\"\nkey = {{ file = \"{}\" }}\n", path.display());
    Config::payments(&provider.url(), "").append("causeway.toml", &keys).write(dir.path());
    let (server, api, _) = serve(dir.path()).await;
    let ask = || Ask::run("payments.charge", &marked()).header("idempotency-key", "k");
    let first = api.send(ask()).await;
    first.ok();
    assert!(!shows(dir.path(), MARK) && !dir.path().join("data/causeway.db.key").exists());
    server.terminate();
    assert!(!server.ended().await.out.contains("causeway.db.key"), "nothing is made beside it");
    let (_server, api, _) = serve(dir.path()).await;
    assert_eq!(api.send(ask()).await.body, first.body);
}

const REFUSED: &str =
    "HTTP/1.1 422 Unprocessable Content\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}";
const DONE: &str =
    "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 11\r\n\r\n{\"ok\":true}";

#[tokio::test]
async fn and_what_is_sent_again_is_what_was_sent() {
    let dir = tempfile::tempdir().expect("a directory");
    let provider = Hostile::start_each(&[&[Step::Read, Step::Say(REFUSED)], &[Step::Read, Step::Say(DONE)]]);
    let integration = format!(
        "base_url = \"{}\"\n[retry.queued]\nmax_retries = 0\n[endpoints.pay]\nmethod = \"POST\"\npath = \"/pay\"\n\
         idempotency = {{ header = \"Idempotency-Key\" }}\n",
        provider.url()
    );
    Config::new()
        .file("integrations/bank.toml", &integration)
        .operation("pay", "mode = \"async\"\n[[steps]]\nname = \"pay\"\ncall = \"bank.pay\"\n")
        .write(dir.path());
    let (server, api, _) = serve(dir.path()).await;
    let input = json!({ "password": MARK, "card": "4242424242424242", "note": "ü" });
    let path = place(&api.run("pay", &input).await);
    assert_eq!(over(&api, &path).await["status"], "failed");
    server.terminate();
    let logged = server.ended().await;
    assert!(!logged.out.contains(MARK), "it is masked in logs");
    let (_server, api, admin) = serve(dir.path()).await;
    let id = path.trim_start_matches("/v1/runs/");
    let letter = admin.get(&format!("/admin/v1/dead-letters/{id}")).await;
    assert!(letter.ok()["input"]["note"] == "ü" && !letter.body.contains(MARK), "{letter:?}");
    let redrive = Ask::post(format!("/admin/v1/dead-letters/{id}/redrive"), &json!({}));
    assert_eq!(admin.send(redrive).await.status, 202);
    until("it is over again", async || (over(&api, &path).await["status"] == "succeeded").then_some(()))
        .await;
    let sent = provider.raw();
    let key = |n: usize| sent[n].all("idempotency-key").concat();
    assert_eq!((sent.len(), &sent[0].body, key(0)), (2, &sent[1].body, key(1)));
    assert_eq!(serde_json::from_slice::<Value>(&sent[1].body).expect("JSON"), input);
}
