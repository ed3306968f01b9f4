//! Queued runs are executed in a fair order: urgent ones first, the others all the same, and of one urgency each client's in turn.

use serde_json::json;

use crate::support::queued::{self, LATER, over, place, say};
use crate::support::{Ask, Config, Provider, Server};

const ONE_AT_A_TIME: &str = "[queue]\nslots = 1\n";

/// The amounts that were charged, in their order.
fn amounts(provider: &Provider) -> Vec<u64> {
    provider.effects().iter().map(|effect| effect.amount).collect()
}

#[tokio::test]
async fn urgent_ones_first_and_the_others_all_the_same() {
    let provider = Provider::start();
    let server = Server::start(&Config::payments(&provider.url(), ONE_AT_A_TIME).operation("later", LATER));
    say(&server, "payments", "pause").await;
    let mut places = Vec::new();
    for (n, priority) in ["low", "normal", "high"].into_iter().enumerate() {
        for m in 0..6_u64 {
            let amount = 100 * (n as u64 + 1) + m;
            let ask = queued::of("later", amount).header("x-priority", priority);
            places.push(place(&server.api.send(ask).await));
        }
    }
    say(&server, "payments", "resume").await;
    for path in places {
        assert_eq!(over(&server.api, &path).await["status"], "succeeded");
    }
    let order = amounts(&provider);
    assert_eq!(order.len(), 18);
    let last = |of: u64| order.iter().rposition(|amount| amount / 100 == of).expect("one of them");
    let before = |of: u64, place: usize| order[..place].iter().filter(|amount| **amount / 100 == of).count();
    // So that they never starve, one in eight leases goes to the lowest.
    assert!(before(1, last(3)) <= 1 && before(2, last(3)) == 0, "{order:?}");
    assert!(before(1, last(2)) <= 2, "{order:?}");
    for of in [1, 2, 3] {
        let own: Vec<_> = order.iter().filter(|amount| **amount / 100 == of).collect();
        assert!(own.is_sorted(), "first come, first served: {order:?}");
    }
}

#[tokio::test]
async fn each_clients_in_turn() {
    let (provider, dir) = (Provider::start(), tempfile::tempdir().expect("a directory"));
    let key = |name: &str| format!("cw_the-key-of-the-{name}-0");
    let clients = ["shop", "crm"].map(|name| {
        let path = dir.path().join(name);
        std::fs::write(&path, key(name)).expect("a file for the key");
        let path = path.display();
        format!("[[clients]]\nname = \"{name}\"\nkey = {{ file = \"{path}\" }}\noperations = [\"*\"]\n")
    });
    let config = Config::payments(&provider.url(), ONE_AT_A_TIME).operation("later", LATER);
    let server = Server::start(&config.append("causeway.toml", &clients.concat()));
    say(&server, "payments", "pause").await;
    let as_a = |name: &str, ask: Ask| ask.header("authorization", &format!("Bearer {}", key(name)));
    // One has left many before the other leaves a few.
    for (name, amounts) in [("crm", 100..112), ("shop", 200..203)] {
        for amount in amounts {
            let accepted = server.api.send(as_a(name, queued::of("later", amount))).await;
            assert_eq!(accepted.status, 202, "{accepted:?}");
        }
    }
    say(&server, "payments", "resume").await;
    provider.arrived(15).await;
    server.at_rest().await;
    let order = amounts(&provider);
    let last = order.iter().rposition(|amount| *amount >= 200).expect("one of the few");
    assert!(last <= 6, "three of each and one more, at most: {order:?}");
    let failed = server.admin.get("/admin/v1/runs?status=failed").await.ok();
    assert_eq!(failed["items"], json!([]));
}
