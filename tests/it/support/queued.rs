//! Runs that nobody waits for.

use serde_json::Value;

use super::{Answer, Ask, Client, Server, charge, until};

/// An operation that is left to the queue: a charge with a key towards the provider.
pub(crate) const LATER: &str = "mode = \"async\"\n[[steps]]\nname = \"charge\"\ncall = \"payments.charge\"\n";

/// The same without a key towards the provider.
pub(crate) const ONCE: &str =
    "mode = \"async\"\n[[steps]]\nname = \"charge\"\ncall = \"payments.charge_once\"\n";

/// Asks for a charge of this amount, so that it is known again at the provider.
pub(crate) fn of(operation: &str, amount: u64) -> Ask {
    let mut input = charge();
    input["amount"] = amount.into();
    Ask::run(operation, &input)
}

/// Where an answer says that its run is to be found.
pub(crate) fn place(answer: &Answer) -> String {
    assert_eq!(answer.status, 202, "{answer:?}");
    let place = answer.header("location").expect("where to look").to_owned();
    assert_eq!(place, format!("/v1/runs/{}", answer.json()["id"].as_str().expect("an id")));
    place
}

/// The run when it is over.
pub(crate) async fn over(api: &Client, place: &str) -> Value {
    until("the run is over", async || {
        let run = api.get(&format!("{place}?wait=5")).await.ok();
        run["finished_at"].is_string().then_some(run)
    })
    .await
}

/// Whether every run is over. One that is put off and taken up again may pass by each question about a status, so at last
/// every run is looked at.
pub(crate) async fn are_all_over(api: &Client) -> bool {
    for status in ["accepted", "running", "waiting"] {
        let left = api.get(&format!("/v1/runs?limit=1&status={status}")).await.ok();
        if left["items"] != serde_json::json!([]) {
            return false;
        }
    }
    let mut cursor = String::new();
    loop {
        let page = api.get(&format!("/v1/runs?limit=100{cursor}")).await.ok();
        if !page["items"].as_array().expect("a list").iter().all(|run| run["finished_at"].is_string()) {
            return false;
        }
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return true,
        }
    }
}

/// The run when it stands so.
pub(crate) async fn is(api: &Client, place: &str, status: &str) -> Value {
    until(&format!("the run is {status}"), async || {
        let run = api.get(place).await.ok();
        (run["status"] == status).then_some(run)
    })
    .await
}

/// Says something about an integration, as an operator.
pub(crate) async fn say(server: &Server, integration: &str, word: &str) -> Value {
    let path = format!("/admin/v1/integrations/{integration}/{word}");
    server.admin.send(Ask::post(path, &serde_json::json!({ "reason": "a test" }))).await.ok()
}

/// The dead letters, newest first, when there are so many.
pub(crate) async fn letters(server: &Server, count: usize) -> Vec<Value> {
    until(&format!("{count} dead letters"), async || {
        let letters = server.admin.get("/admin/v1/dead-letters").await.ok()["items"].as_array().cloned()?;
        (letters.len() == count).then_some(letters)
    })
    .await
}
