//! A queued run waits at the integration whose turn it is, also where it was leased for another: while that is paused, it
//! is sent nothing and burns no try, and the run goes on from there when it is resumed.

use serde_json::json;

use crate::support::{Ask, Config, Provider, Server, charge, until};

const BOTH: &str = r#"
mode = "async"

[[steps]]
name = "pay"
call = "bank.charge"

[[steps]]
name = "tell"
after = ["pay"]
call = "post.charge"
input = '.input'
"#;

#[tokio::test]
async fn also_where_the_run_was_leased_for_another() {
    let (bank, post) = (Provider::start(), Provider::start());
    let config = Config::new().providers(&[("bank", &bank), ("post", &post)], "").operation("both", BOTH);
    let server = Server::start(&config);
    let turn = async |word: &str| {
        let order = Ask::post(format!("/admin/v1/integrations/post/{word}"), &json!({}));
        server.admin.send(order).await.ok();
    };
    turn("pause").await;
    let accepted = server.api.run("both", &charge()).await;
    let place = accepted.header("location").expect("where to look").to_owned();
    let waiting = until("it waits at the one that is paused", async || {
        let queue = server.integration("post").await["queue"].clone();
        (queue["pending"] == 1).then_some(queue)
    })
    .await;
    assert_eq!(waiting["leased"], 0, "{waiting}");
    let health = server.api.get("/v1/health").await.ok();
    assert_eq!(health["status"], "degraded", "{health}");
    assert_eq!(
        (&health["integrations"]["post"]["status"], &health["integrations"]["post"]["reasons"]),
        (&json!("paused"), &json!(["paused"]))
    );
    assert_eq!(health["integrations"]["bank"]["status"], "healthy");
    assert_eq!(server.integration("post").await["status"], "paused");
    assert_eq!((bank.effects().len(), post.arrivals().len()), (1, 0));
    assert_eq!(server.integration("bank").await["queue"]["pending"], 0);

    turn("resume").await;
    assert_eq!(server.api.get("/v1/health").await.ok()["status"], "healthy");
    let run = until("it is over", async || {
        let run = server.api.get(&format!("{place}?wait=5")).await.ok();
        run["finished_at"].is_string().then_some(run)
    })
    .await;
    assert_eq!((&run["status"], &run["steps"][1]["attempts"]), (&json!("succeeded"), &json!(1)), "{run}");
    assert_eq!((bank.effects().len(), post.effects().len()), (1, 1), "and nothing twice");
}
