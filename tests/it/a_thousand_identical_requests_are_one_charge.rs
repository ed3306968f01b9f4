//! However many ask the same at once with the same key, the provider is asked once.

use std::time::Duration;

use causeway::sandbox::Behaviour;
use futures_util::future::join_all;

use crate::support::{Ask, Config, Provider, Server, charge};

const CALLERS: usize = 1000;

#[tokio::test]
async fn and_all_of_them_get_its_answer() {
    let provider = Provider::start();
    let server = Server::start(&Config::payments(&provider.url(), ""));
    provider.always(Behaviour::normal().delayed(Duration::from_millis(300)));
    let asks = (0..CALLERS).map(|_| {
        let ask = Ask::run("payments.charge", &charge()).header("idempotency-key", "the-one");
        server.api.send(ask)
    });
    let answers = join_all(asks).await;
    let first = answers.iter().find(|answer| answer.header("idempotency-replayed").is_none());
    let first = first.expect("one of them was the first");
    first.ok();
    let replayed = answers.iter().filter(|answer| answer.header("idempotency-replayed").is_some()).count();
    assert_eq!(replayed, CALLERS - 1);
    assert!(answers.iter().all(|answer| (answer.status, &answer.body) == (200, &first.body)));
    assert_eq!((provider.arrivals().len(), provider.effects().len()), (1, 1));
}
