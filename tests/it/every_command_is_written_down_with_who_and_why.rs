//! Whatever an operator has the server do is in the audit trail: what, about what, who and why.

use causeway::sandbox::Behaviour;
use serde_json::{Value, json};

use crate::support::queued::{self, LATER, over, place};
use crate::support::{Answer, Ask, Config, Provider, Server, charge, until};

const KEY: &str = "cw_the-key-of-the-oncall";

fn with(ask: Ask) -> Ask {
    ask.header("authorization", &format!("Bearer {KEY}"))
}

async fn post(server: &Server, path: &str, body: &Value) -> Answer {
    let answer = server.admin.send(with(Ask::post(format!("/admin/v1/{path}"), body))).await;
    assert!((200..300).contains(&answer.status), "{path}: {answer:?}");
    answer
}

#[tokio::test]
async fn all_of_them() {
    let (provider, dir) = (Provider::start(), tempfile::tempdir().expect("a directory"));
    let path = dir.path().join("key");
    std::fs::write(&path, KEY).expect("a file for the key");
    let operator = format!(
        "[[operators]]\nname = \"oncall\"\nkey = {{ file = \"{}\" }}\nrole = \"admin\"\n",
        path.display()
    );
    let config = Config::payments(&provider.url(), "[retry.queued]\nmax_retries = 0\n");
    let config = config.append("causeway.toml", &operator).operation("later", LATER);
    let files = tempfile::tempdir().expect("a directory");
    let server = Server::start_in(files.path(), &config);
    let why = |n: u64| json!({ "reason": format!("reason {n}") });

    let of = |word: &str| format!("integrations/payments/{word}");
    let mode = |reason: &str| json!({ "mode": "disabled", "reason": reason });
    post(&server, &of("breaker/trip"), &why(1)).await;
    post(&server, &of("breaker/mode"), &mode("reason 2")).await;
    post(&server, &of("breaker/reset"), &why(3)).await;
    post(&server, &of("pause"), &why(4)).await;
    let waiting = place(&server.api.send(queued::of("later", 1)).await);
    let id = |path: &str| path.trim_start_matches("/v1/runs/").to_owned();
    post(&server, &format!("runs/{}/cancel", id(&waiting)), &why(5)).await;
    post(&server, &of("resume"), &why(6)).await;
    assert_eq!(over(&server.api, &waiting).await["status"], "cancelled");

    // Three dead letters: one is redriven, one resolved, one let go.
    provider.next([1, 2, 3, 4].map(|_| Behaviour::status(422)));
    let mut dead = Vec::new();
    for amount in 1..=3 {
        let path = place(&server.api.send(queued::of("later", amount)).await);
        assert_eq!(over(&server.api, &path).await["status"], "failed");
        dead.push(id(&path));
    }
    post(&server, &format!("dead-letters/{}/redrive", dead[0]), &why(7)).await;
    let is_dead = async |id: &str| {
        let letter = server.admin.send(with(Ask::get(format!("/admin/v1/dead-letters/{id}")))).await;
        (letter.status == 200).then_some(())
    };
    until("it is dead again", async || {
        let run = server.api.get(&format!("/v1/runs/{}", dead[0])).await.ok();
        if run["status"] == "failed" { is_dead(&dead[0]).await } else { None }
    })
    .await;
    let resolution = json!({ "as": "succeeded", "result": 1, "reason": "reason 8" });
    post(&server, &format!("dead-letters/{}/resolve", dead[1]), &resolution).await;
    let path = format!("/admin/v1/dead-letters/{}?reason=reason%209", dead[2]);
    assert_eq!(server.admin.delete_as(&path, KEY).await.status, 204);
    let body = json!({ "filter": { "operation": "later" }, "rate": 0.01, "reason": "reason 10" });
    let redrive = post(&server, "redrives", &body).await.json()["id"].as_str().expect("an id").to_owned();
    for (n, word) in [(11, "pause"), (12, "resume"), (13, "cancel")] {
        post(&server, &format!("redrives/{redrive}/{word}"), &why(n)).await;
    }
    server.admin.send(with(Ask::post_text("/admin/v1/config/reload", ""))).await.ok();

    let trail = server.admin.send(with(Ask::get("/admin/v1/audit?limit=100"))).await.ok();
    let mut said: Vec<Value> = trail["items"].as_array().expect("a list").clone();
    said.reverse();
    let told: Vec<_> = said
        .iter()
        .map(|entry| {
            let word = |name: &str| entry[name].as_str().unwrap_or_default().to_owned();
            assert_eq!(entry["operator"], "oncall", "{entry}");
            assert!(entry["at"].is_string(), "{entry}");
            (word("action"), word("subject"), word("reason"))
        })
        .collect();
    let payments = "payments";
    let expected = [
        ("breaker.trip", payments, 1),
        ("breaker.mode", payments, 2),
        ("breaker.reset", payments, 3),
        ("queue.pause", payments, 4),
        ("run.cancel", &id(&waiting), 5),
        ("queue.resume", payments, 6),
        ("dead_letter.redrive", &dead[0], 7),
        ("dead_letter.resolve.succeeded", &dead[1], 8),
        ("dead_letter.forget", &dead[2], 9),
        ("redrive.begin", &redrive, 10),
        ("redrive.pause", &redrive, 11),
        ("redrive.resume", &redrive, 12),
        ("redrive.cancel", &redrive, 13),
    ];
    let expected: Vec<_> = expected
        .into_iter()
        .map(|(action, subject, n)| (action.to_owned(), subject.to_owned(), format!("reason {n}")))
        .collect();
    assert_eq!(told[..expected.len()], expected[..]);
    assert_eq!((told.len(), told.last().map(|(action, ..)| action.as_str())), (14, Some("config.reload")));
    // Who only looks is not written down.
    server.admin.send(with(Ask::get("/admin/v1/runs"))).await.ok();
    server.api.run("payments.charge", &charge()).await.ok();
    let again = server.admin.send(with(Ask::get("/admin/v1/audit?limit=100"))).await.ok();
    assert_eq!(again["items"].as_array().map(Vec::len), Some(14));
}
