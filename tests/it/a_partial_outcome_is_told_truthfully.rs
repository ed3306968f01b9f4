//! Where a required step has succeeded and an optional one has not, the caller is told exactly that.

use std::time::Duration;

use causeway::sandbox::{Action, Behaviour, Ending};
use serde_json::json;

use crate::support::wait::Watch;
use crate::support::{Ask, Config, Provider, Server, charge, until};

const ORDER: &str = r#"
deadline = "5s"
[[steps]]
name = "charge"
call = "bank.charge"
[[steps]]
name = "mail"
call = "post.charge_once"
after = ["charge"]
required = false
"#;

struct World {
    bank: Provider,
    post: Provider,
    server: Server,
}

fn world() -> World {
    let (bank, post) = (Provider::start(), Provider::start());
    let config = Config::new().providers(&[("bank", &bank), ("post", &post)], "").operation("order", ORDER);
    let server = Server::start(&config);
    World { bank, post, server }
}

#[tokio::test]
async fn an_optional_step_that_fails_makes_it_partial() {
    let World { bank, post, server } = world();
    post.always(Behaviour::status(404));
    let outcome = server.api.run("order", &charge()).await.ok();
    assert_eq!((&outcome["status"], &outcome["degraded"]), (&json!("partial"), &json!(false)));
    assert_eq!(outcome["error"], json!(null));
    let [paid, mail] = &outcome["steps"].as_array().expect("steps")[..] else { panic!("two steps") };
    assert_eq!((&paid["status"], &paid["error"]), (&json!("succeeded"), &json!(null)));
    assert_eq!((&mail["status"], &mail["error"]["provider_status"]), (&json!("failed"), &json!(404)));
    let result = json!({ "charge": { "id": bank.effects()[0].id, "status": "succeeded" } });
    assert_eq!(outcome["result"], result, "of the steps that succeeded");
    assert_eq!(post.effects(), []);
}

#[tokio::test]
async fn an_optional_step_that_is_out_at_the_deadline_is_unknown_and_comes_home() {
    let World { bank, post, server } = world();
    post.always(Action::Delay { ms: 2_000, jitter_ms: 0 });
    let watch = Watch::start();
    let answer = server.api.send(Ask::run("order", &charge()).deadline_ms(700)).await;
    assert!(
        watch.elapsed() < Duration::from_millis(1_700),
        "at the deadline, not after {:?}",
        watch.elapsed()
    );
    let outcome = answer.ok();
    assert_eq!(outcome["status"], "partial");
    let mail = &outcome["steps"][1];
    assert_eq!((&mail["status"], &mail["attempts"]), (&json!("unknown"), &json!(1)));
    assert_eq!(
        (&mail["error"]["class"], &mail["error"]["code"]),
        (&json!("ambiguous"), &json!("deadline_exceeded"))
    );

    until("the mail is done", async || (post.endings() == [Ending::Answered { status: 200 }]).then_some(()))
        .await;
    server.at_rest().await;
    assert_eq!((bank.effects().len(), post.effects().len()), (1, 1));
    let id = outcome["id"].as_str().expect("an id");
    let later = server.api.get(&format!("/v1/runs/{id}")).await.ok();
    assert_eq!(
        (&later["status"], &later["steps"]),
        (&outcome["status"], &outcome["steps"]),
        "it stays as told"
    );
}
