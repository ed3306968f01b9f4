//! What a server promises while its store fails, and when it works again; and how a store is made to fail.

use std::path::Path;
use std::process::Command;

use serde_json::json;

use super::fault::installed;
use super::{Answer, Ask, Client, Process, Provider, charge, until};

/// Has a process to be started take orders to fail, at a pipe.
pub(crate) fn may_fail(command: &mut Command, orders: &Path) {
    let libraries =
        ["fiu_run_preload.so", "fiu_posix_preload.so"].map(|name| installed(name).display().to_string());
    command.env("LD_PRELOAD", libraries.join(" ")).env("FIU_CTRL_FIFO", orders);
}

/// Gives such a process an order.
pub(crate) fn fails(process: &Process, orders: &Path, words: &str) {
    let told = Command::new("fiu-ctrl")
        .arg("-f")
        .arg(orders)
        .args(["-c", words, &process.id().to_string()])
        .status();
    assert!(told.expect("fiu-ctrl: run scripts/peers faults").success());
}

/// A charge with this key.
pub(crate) fn keyed(key: &str) -> Ask {
    Ask::run("payments.charge", &charge()).header("idempotency-key", key)
}

/// What may act is refused, what only reads is served, and nothing is sent.
pub(crate) async fn promises_nothing(api: Client, provider: &Provider) {
    let effects = provider.effects().len();
    for _ in 0..3 {
        api.send(keyed("refused")).await.problem(503, "store_unavailable");
    }
    api.run("payments.ping", &json!({})).await.ok();
    assert_eq!(provider.effects().len(), effects, "nothing was sent");
}

/// It does again what it is asked, and remembers what it had promised.
pub(crate) async fn works_again(api: Client, first: &Answer) {
    let second = until("the store works again", async || {
        let answer = api.send(keyed("refused")).await;
        (answer.status == 200).then_some(answer)
    })
    .await;
    assert_eq!(second.header("idempotency-replayed"), None);
    let replay = api.send(keyed("first")).await;
    assert_eq!((replay.header("idempotency-replayed"), &replay.body), (Some("true"), &first.body));
}

/// A key is answered what it was.
pub(crate) async fn works_for(api: Client, key: &str, known: &Answer) {
    let replay = api.send(keyed(key)).await;
    assert_eq!((replay.header("idempotency-replayed"), &replay.body), (Some("true"), &known.body));
}
